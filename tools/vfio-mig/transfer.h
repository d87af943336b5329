/* SPDX-License-Identifier: GPL-2.0-only */
/* The order in which the state of a device is read: rounds, then the rest */
#ifndef VFIO_MIG_TOOL_TRANSFER_H
#define VFIO_MIG_TOOL_TRANSFER_H

#include "migdev.h"
#include "progress.h"

struct round {
	unsigned int nr;	/* number of the round, from 1; 0: the device was stopped */
	__u64 bytes;
	__u64 left;		/* estimate after the round */
	double seconds;
};

/*
 * @put takes bytes of the stream. It returns an exit code, and has printed the error then.
 * @round is called after each round, and may be NULL.
 */
struct transfer {
	struct migdev *from;
	const struct options *options;
	const char *what;
	int rounds;		/* limit of pre-copy rounds, 0 for none */
	int (*put)(void *ctx, const void *data, size_t len);
	void (*round)(void *ctx, const struct round *r);
	void *ctx;
	/* results */
	__u64 bytes;
	double seconds;
	double stopped;		/* seconds for which the device was stopped */
	struct progress progress;
};

int transfer_run(struct transfer *t);

#endif /* VFIO_MIG_TOOL_TRANSFER_H */
