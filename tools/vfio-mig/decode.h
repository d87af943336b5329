/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stream, taken apart: what is in it and what is wrong with it.
 *
 * Nothing is believed, and nothing ends it: after what is wrong it goes on with
 * the next chunk, where one can be found.
 */
#ifndef VFIO_MIG_TOOL_DECODE_H
#define VFIO_MIG_TOOL_DECODE_H

#include <linux/vfio_mig_stream.h>
#include <stdbool.h>
#include <linux/types.h>
#include <stdio.h>

struct decode_run {
	__u64 start;
	__u64 len;
	bool hole;
};

/* A chunk that is sound. Only what belongs to its type is filled in. */
struct decode_chunk {
	__u64 at;			/* in the stream */
	__u64 save_id;
	__u32 seq;
	__u32 length;		/* of the payload */
	unsigned int type;		/* enum vfio_mig_chunk_type */
	unsigned int flags;
	struct {
		char type[VFIO_MIG_STREAM_TYPE_LEN];
		__u64 nr_pages;
		__u32 version;
		__u32 control_version;
		__u32 control_max;
		bool image;
	} header;
	struct {
		__u32 nr;		/* with data */
		__u64 holes;
		__u32 nr_runs;
		const struct decode_run *runs;
		const unsigned char *data;
	} pages;
	struct {
		__u32 total;
		__u32 offset;
		__u32 length;
		const unsigned char *data;
	} control;
	struct {
		__u64 offset;
		__u64 left;		/* that a final piece announces */
		__u32 length;
		bool final;
		const unsigned char *data;
	} image;
	__u64 pages_sent;		/* of an end */
};

struct decode_problem {
	__u64 at;
	__u32 chunk;			/* the number that was due */
	int err;			/* what a device refuses it with */
	char text[160];
};

struct decode_ops {
	int (*chunk)(void *ctx, const struct decode_chunk *c);
	void (*problem)(void *ctx, const struct decode_problem *p);
};

struct decode_totals {
	__u64 bytes;
	__u64 chunks;		/* sound ones */
	__u64 problems;
	__u32 saves;			/* headers */
	__u32 control_total;		/* of the last control state */
	__u64 pages;			/* with data, of the last save */
	__u64 holes;
	bool has_image;			/* the last save has one */
	__u64 image;			/* bytes of it */
	bool complete;			/* a device would load it */
};

int decode(FILE *in, const struct decode_ops *ops, void *ctx,
	   struct decode_totals *totals);

#endif /* VFIO_MIG_TOOL_DECODE_H */
