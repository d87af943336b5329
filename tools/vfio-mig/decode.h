/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Decodes a stream, and reports its problems.
 *
 * The decoder trusts no value of the stream, and no problem ends the decoding. After a
 * problem the decoder continues with the next chunk that it can find.
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

/* A valid chunk. Only the members of its type are set. */
struct decode_chunk {
	__u64 at;			/* offset in the stream */
	__u64 save_id;
	__u32 seq;
	__u32 length;		/* length of the payload */
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
		__u32 nr;		/* number of pages with data */
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
		__u64 left;		/* announced by a final piece */
		__u32 length;
		bool final;
		const unsigned char *data;
	} image;
	__u64 pages_sent;		/* members of an END chunk */
};

struct decode_problem {
	__u64 at;
	__u32 chunk;			/* expected number of the chunk */
	int err;			/* errno of a device that refuses it */
	char text[160];
};

struct decode_ops {
	int (*chunk)(void *ctx, const struct decode_chunk *c);
	void (*problem)(void *ctx, const struct decode_problem *p);
};

struct decode_totals {
	__u64 bytes;
	__u64 chunks;		/* number of valid chunks */
	__u64 problems;
	__u32 saves;			/* number of headers */
	__u32 control_total;		/* size of the last control state */
	__u64 pages;			/* pages with data in the last save */
	__u64 holes;
	bool has_image;			/* whether the last save has an image */
	__u64 image;			/* bytes of the image */
	bool complete;			/* whether a device would load the stream */
};

int decode(FILE *in, const struct decode_ops *ops, void *ctx,
	   struct decode_totals *totals);

#endif /* VFIO_MIG_TOOL_DECODE_H */
