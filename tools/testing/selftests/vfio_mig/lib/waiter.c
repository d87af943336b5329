// SPDX-License-Identifier: GPL-2.0-only
/* A process that waits for memory that does not answer (slow.h) */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"
#include "file.h"
#include "suite.h"
#include "waiter.h"

/**
 * struct waiter_shared - data from the process for its parent
 * @done: the function has returned
 * @ret: return value of the function
 */
struct waiter_shared {
	int done;
	long ret;
};

/* Multiplies a limit by VFIO_MIG_SLOW, for slow kernels. */
double waiter_patience(double seconds)
{
	return seconds * suite_number("VFIO_MIG_SLOW", 1);
}

int waiter_start(struct waiter *w, enum slow_kind kind, size_t size, waiter_fn fn,
		 void *arg)
{
	int ret;

	memset(w, 0, sizeof(*w));
	ret = slow_create(&w->slow, kind, size);
	if (ret)
		return ret;
	w->shared = mmap(NULL, sizeof(*w->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w->shared == MAP_FAILED)
		return -errno;
	w->pid = child_start();
	if (w->pid)
		return w->pid < 0 ? -errno : 0;
	w->shared->ret = fn(&w->slow, arg);
	__atomic_store_n(&w->shared->done, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

/* Returns whether the function has returned, so that its return value is there. */
static bool is_done(const struct waiter *w)
{
	return __atomic_load_n(&w->shared->done, __ATOMIC_ACQUIRE);
}

/* Returns whether the process has ended, and reaps it then. */
static int is_gone(struct waiter *w)
{
	if (w->pid > 0 && waitpid(w->pid, NULL, WNOHANG) == w->pid)
		w->pid = 0;
	return !w->pid;
}

/*
 * Returns whether the process waits for the memory now or within @seconds. Returns 0 also if
 * the function returned without a wait, or the process died.
 */
int waiter_waits(struct waiter *w, double seconds)
{
	double until = clock_now() + seconds;
	int ret;

	do {
		ret = slow_waiting(&w->slow, 0);
		if (ret || is_done(w) || is_gone(w))
			return ret;
		usleep(1000);
	} while (clock_now() < until);
	return -ETIMEDOUT;
}

/* Returns the state of the process from /proc: 'S' or 'D', for example. '-': it has ended. */
char waiter_state(const struct waiter *w)
{
	char path[64], text[512], *end;

	snprintf(path, sizeof(path), "/proc/%d/stat", w->pid);
	if (!w->pid || file_read(path, text, sizeof(text)))
		return '-';
	end = strrchr(text, ')');
	return end ? end[2] : '-';
}

/* Checks that the process waits without CPU time. -ETIMEDOUT: not within @seconds. */
int waiter_sleeps(const struct waiter *w, double seconds)
{
	double until = clock_now() + seconds;

	while (!strchr("SD", waiter_state(w))) {
		if (clock_now() > until)
			return -ETIMEDOUT;
		usleep(1000);
	}
	return 0;
}

/* Kills the process. -ETIMEDOUT: the process still exists after @seconds. */
int waiter_kill(struct waiter *w, double seconds)
{
	double until = clock_now() + seconds;

	if (w->pid)
		kill(w->pid, SIGKILL);
	while (!is_gone(w)) {
		if (clock_now() > until)
			return -ETIMEDOUT;
		usleep(1000);
	}
	return 0;
}

/* Gets the return value of the function. -ETIMEDOUT: it still waits. -ESRCH: it died. */
int waiter_result(struct waiter *w, double seconds, long *ret)
{
	double until = clock_now() + seconds;

	while (!is_done(w)) {
		if (is_gone(w))
			return -ESRCH;
		if (clock_now() > until)
			return -ETIMEDOUT;
		usleep(1000);
	}
	*ret = w->shared->ret;
	return 0;
}

/* Lets the memory answer, so that a process that could not be killed ends, too. */
void waiter_end(struct waiter *w)
{
	slow_destroy(&w->slow);
	/* A process that still does not end stays behind. */
	waiter_kill(w, waiter_patience(10));
	if (w->shared)
		munmap(w->shared, sizeof(*w->shared));
	memset(w, 0, sizeof(*w));
}
