/* SPDX-License-Identifier: GPL-2.0-only */
/* Children that do not outlive their parent: what they have open ends with the test. */
#ifndef VFIO_MIG_CHILD_H
#define VFIO_MIG_CHILD_H

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/**
 * child_ends_with() - the calling process is killed when its parent ends
 * @parent: who started it; the signal does not come if the parent has ended before
 *
 * A child that somebody else adopted can wait for the parent's memory for ever.
 */
static inline void child_ends_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
}

/** child_start() - fork(); the child ends with its parent. */
static inline pid_t child_start(void)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid)
		child_ends_with(parent);
	return pid;
}

#endif
