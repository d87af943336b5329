/* SPDX-License-Identifier: GPL-2.0-only */
/* A process that waits for memory that does not answer (slow.h) */
#ifndef VFIO_MIG_LIB_WAITER_H
#define VFIO_MIG_LIB_WAITER_H

#include "slow.h"

struct waiter_shared;

/**
 * struct waiter - a process that waits for memory that does not answer
 * @pid: the process, or 0
 * @slow: the memory
 * @shared: memory that the process shares with its parent
 */
struct waiter {
	pid_t pid;
	struct slow slow;
	struct waiter_shared *shared;
};

/*
 * The function of the process. It calls slow_map() itself, because it chooses the content.
 * waiter_result() passes its return value to the parent.
 */
typedef long (*waiter_fn)(struct slow *s, void *arg);

double waiter_patience(double seconds);
int waiter_start(struct waiter *w, enum slow_kind kind, size_t size, waiter_fn fn,
		 void *arg);
int waiter_waits(struct waiter *w, double seconds);
char waiter_state(const struct waiter *w);
int waiter_sleeps(const struct waiter *w, double seconds);
int waiter_kill(struct waiter *w, double seconds);
int waiter_result(struct waiter *w, double seconds, long *ret);
void waiter_end(struct waiter *w);

#endif /* VFIO_MIG_LIB_WAITER_H */
