/* SPDX-License-Identifier: GPL-2.0-only */
/* Child processes that do not outlive their parent, so that their open files end with the test */
#ifndef VFIO_MIG_CHILD_H
#define VFIO_MIG_CHILD_H

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/**
 * child_ends_with() - let the kernel kill the calling process when its parent ends
 * @parent: the parent. If it has ended already, no signal comes, so the process exits.
 *
 * Otherwise the process could wait for ever for memory that its parent provides.
 */
static inline void child_ends_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
}

/** child_start() - fork a child that ends with its parent */
static inline pid_t child_start(void)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid)
		child_ends_with(parent);
	return pid;
}

/** child_shared_page() - map a page that parent and child share; MAP_FAILED if there is none */
static inline void *child_shared_page(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

#endif
