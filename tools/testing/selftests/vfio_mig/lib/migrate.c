// SPDX-License-Identifier: GPL-2.0-only
/*
 * A migration in one process. The target loads each piece as soon as the source has sent it.
 * Each function returns the first error of either side.
 */
#include <errno.h>
#include <string.h>

#include "migrate.h"

/* The source enters pre-copy, and the target enters resuming. */
int migration_begin(struct migration *m)
{
	int ret = v1_set_state(m->from, V1_PRE_COPY);

	return ret ? ret : v1_set_state(m->to, V1_RESUMING);
}

/* Moves the data of one iteration. Returns its bytes, 0 if there was nothing to send. */
static ssize_t move_one(struct migration *m)
{
	ssize_t size;
	int ret;

	m->chunk.len = 0;
	size = v1_iteration(m->from, &m->chunk);
	if (size <= 0)
		return size;
	if (m->keep)
		buffer_append(m->keep, m->chunk.data, m->chunk.len);
	ret = v1_feed(m->to, m->chunk.data, m->chunk.len, m->portion);
	return ret ? ret : size;
}

/* Moves data until nothing is pending, or for @rounds iterations if that is not 0. */
static int move(struct migration *m, unsigned int rounds, __u64 *bytes)
{
	__u64 pending;
	ssize_t ret;

	for (;;) {
		ret = v1_pending(m->from, &pending);
		if (ret || !pending)
			return ret;
		ret = move_one(m);
		if (ret <= 0)
			return ret;
		*bytes += ret;
		if (rounds && !--rounds)
			return 0;
	}
}

int migration_precopy(struct migration *m, unsigned int rounds)
{
	return move(m, rounds, &m->precopy_bytes);
}

int migration_blackout(struct migration *m)
{
	int ret = v1_set_state(m->from, V1_STOP_COPY);

	return ret ? ret : move(m, 0, &m->blackout_bytes);
}

/* The source stops and keeps its state, and the target enters @state. */
int migration_finish(struct migration *m, __u32 state)
{
	int ret = v1_set_state(m->from, V1_STOPPED);

	return ret ? ret : v1_set_state(m->to, state);
}

void migration_free(struct migration *m)
{
	buffer_free(&m->chunk);
}

/* Migrates. The target stays stopped, so that the caller can move the guest to it. */
int migrate(struct v1 *from, struct v1 *to)
{
	struct migration m = { .from = from, .to = to };
	int ret;

	ret = migration_begin(&m);
	if (!ret)
		ret = migration_precopy(&m, 0);
	if (!ret)
		ret = migration_blackout(&m);
	if (!ret)
		ret = migration_finish(&m, V1_STOPPED);
	migration_free(&m);
	return ret;
}
