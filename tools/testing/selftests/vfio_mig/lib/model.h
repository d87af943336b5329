/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reference model: what the v1 region of a device that nobody else touches
 * must show, as plainly as it can be said.
 *
 * An operation is carried out on the device (op_run()), and the model judges
 * what came of it (model_judge()). What only the device can know, such as the
 * size of an iteration, the model learns when it is first seen, and holds the
 * device to it from then on.
 */
#ifndef VFIO_MIG_LIB_MODEL_H
#define VFIO_MIG_LIB_MODEL_H

#include <stdbool.h>

#include "buffer.h"
#include "v1.h"

enum op_code {
	OP_SET_STATE,		/* arg: the value */
	OP_GET_STATE,
	OP_READ_PENDING,
	OP_READ_OFFSET,
	OP_READ_SIZE,
	OP_RESET,
	OP_FEED_BYTE,		/* of a good stream, from where it was left */
	OP_FEED_CHUNK,		/* up to the end of a chunk */
	OP_FEED_ALL,		/* up to its end */
	OP_FEED_BAD,		/* junk, where a chunk should start */
	OP_COMMIT_0,
	OP_COMMIT_TOO_MUCH,	/* arg: 0, the window and one byte; else ~0 */
	OP_READ_RESERVED,
	OP_WRITE_RESERVED,
	OP_WRITE_PENDING,
	OP_WRITE_OFFSET,
	OP_READ_WRONG,		/* arg: index of an access that is none */
	OP_WRITE_WRONG,
	OP_DATA_READ_1,		/* the first byte */
	OP_DATA_READ_ALL,	/* as much as data_size said */
	OP_DATA_READ_MORE,	/* and one byte more */
	OP_DATA_READ_PAST,	/* across the window's end */
	OP_DATA_WRITE,		/* arg: where, in the window */
	OP_DATA_WRITE_PAST,
	OP_NR_CODES
};

struct op {
	enum op_code code;
	__u32 arg;
};

#define OP_WRONG_NR	12

struct result {
	int ret;
	__u64 value;		/* of a register, or the first byte of data */
};

struct model {
	struct v1 *v1;
	const struct buffer *good;	/* a stream that loads here */
	__u32 state;
	/* saving */
	bool open;
	bool rest;			/* is there something to send? */
	__u64 size;			/* of what is open; 0: not seen yet */
	bool learned;			/* @data is what is open */
	bool gap;			/* of this save not all was seen */
	struct buffer data;
	struct buffer stream;		/* this save, as far as it was taken */
	/* resuming */
	size_t pos;			/* in @good */
	int poison;
	unsigned char *window;		/* what is in it */
	/* scratch for op_run() */
	unsigned char *scratch;
	char why[256];
};

int model_init(struct model *m, struct v1 *v1, const struct buffer *good);
void model_free(struct model *m);
void model_reset(struct model *m);
bool model_step(struct model *m, const struct op *op);

void op_run(struct model *m, const struct op *op, struct result *r);
bool model_judge(struct model *m, const struct op *op, const struct result *r);
const char *op_name(const struct op *op);

/* op_run() and the model agree on these */
size_t model_feed_size(const struct model *m, const struct op *op);
void op_wrong(const struct model *m, __u32 index, __u64 *at, size_t *len);

#endif /* VFIO_MIG_LIB_MODEL_H */
