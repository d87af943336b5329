/* SPDX-License-Identifier: GPL-2.0-only */
/* Declarations that both files of the decoder use */
#ifndef VFIO_MIG_TOOL_DECODE_PRIV_H
#define VFIO_MIG_TOOL_DECODE_PRIV_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "decode.h"
#include "vfio-mig.h"

/* The longest payload of a known type: a full pages chunk. */
#define DECODE_PAYLOAD_MAX						\
	(sizeof(struct vfio_mig_pages_hdr) + VFIO_MIG_STREAM_RUNS_BYTES_MAX + \
	 VFIO_MIG_STREAM_PAGES_MAX * VFIO_MIG_STREAM_PAGE_SIZE)

struct decoder {
	FILE *in;
	const struct decode_ops *ops;
	void *ctx;
	struct decode_totals *totals;
	int read_error;			/* a negative errno, or 0 */
	__u64 at;
	bool started;
	__u64 save_id;
	__u32 seq;			/* expected number of the next chunk */
	__u64 nr_pages;		/* from the header */
	bool header_known;
	__u32 control_max;
	__u32 control_have;
	bool control_done;
	__u64 image_left;
	bool image_done;
	struct decode_run runs[VFIO_MIG_STREAM_RUNS_MAX];
	/* aligned like the members before it */
	unsigned char payload[DECODE_PAYLOAD_MAX];
};

int problem_at(struct decoder *d, __u64 at, int err, const char *fmt, ...)
	__printf(4, 5);

/* payload.c */
int decode_payload(struct decoder *d, struct decode_chunk *c);

#endif /* VFIO_MIG_TOOL_DECODE_PRIV_H */
