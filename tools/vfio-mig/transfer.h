/* SPDX-License-Identifier: GPL-2.0-only */
/* The order in which a device's state is read: rounds, then the rest. */
#ifndef VFIO_MIG_TOOL_TRANSFER_H
#define VFIO_MIG_TOOL_TRANSFER_H

#include "migdev.h"
#include "progress.h"

struct round {
	unsigned int nr;	/* from 1; 0: the device was stopped */
	__u64 bytes;
	__u64 left;		/* estimated, after it */
	double seconds;
};

/*
 * @put takes bytes of the stream. It returns an exit code and has told what is
 * wrong. @round is told of each round, NULL where nobody wants to know.
 */
struct transfer {
	struct migdev *from;
	const struct options *options;
	const char *what;
	int rounds;		/* of pre-copy at most, 0 for none */
	int (*put)(void *ctx, const void *data, size_t len);
	void (*round)(void *ctx, const struct round *r);
	void *ctx;
	/* the results */
	__u64 bytes;
	double seconds;
	double stopped;		/* seconds that the device was stopped */
	struct progress progress;
};

int transfer_run(struct transfer *t);

#endif /* VFIO_MIG_TOOL_TRANSFER_H */
