/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reference model of the v1 region, for a device with one user.
 *
 * op_run() does an operation on the device, and model_judge() checks the result. Only the
 * device knows some values, the size of an iteration for example. The model learns such a
 * value when it sees it first, and expects it from then on.
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
	OP_FEED_BYTE,		/* writes of a good stream, each from the end of the last one */
	OP_FEED_CHUNK,		/* up to the end of a chunk */
	OP_FEED_ALL,		/* up to the end of the stream */
	OP_FEED_BAD,		/* bytes that are no chunk */
	OP_COMMIT_0,
	OP_COMMIT_TOO_MUCH,	/* arg: 0, the window and one byte; else ~0 */
	OP_READ_RESERVED,
	OP_WRITE_RESERVED,
	OP_WRITE_PENDING,
	OP_WRITE_OFFSET,
	OP_READ_WRONG,		/* arg: index of an invalid access */
	OP_WRITE_WRONG,
	OP_DATA_READ_1,		/* the first byte */
	OP_DATA_READ_ALL,	/* data_size bytes */
	OP_DATA_READ_MORE,	/* one byte more than data_size */
	OP_DATA_READ_PAST,	/* across the end of the window */
	OP_DATA_WRITE,		/* arg: offset in the window */
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
	__u64 value;		/* value of a register, or the first byte of data */
};

struct model {
	struct v1 *v1;
	const struct buffer *good;	/* a stream that the device can load */
	__u32 state;
	/* saving */
	bool open;
	bool rest;			/* whether there is something to send */
	__u64 size;			/* of the open iteration; 0: unknown */
	bool learned;			/* whether @data has the open iteration */
	bool gap;			/* whether a part of this save was not read */
	struct buffer data;
	struct buffer stream;		/* this save so far */
	/* resuming */
	size_t pos;			/* in @good */
	int poison;
	unsigned char *window;		/* content of the window */
	size_t used;			/* bytes from its start that may not be 0 */
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

/* op_run() and the model use the same sizes. */
size_t model_feed_size(const struct model *m, const struct op *op);
void op_wrong(const struct model *m, __u32 index, __u64 *at, size_t *len);

#endif /* VFIO_MIG_LIB_MODEL_H */
