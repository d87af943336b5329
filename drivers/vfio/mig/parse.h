/* SPDX-License-Identifier: GPL-2.0-only */
/* The parser of streams: what it shares with load.c */
#ifndef VFIO_MIG_PARSE_H
#define VFIO_MIG_PARSE_H

#include <linux/kref.h>
#include <linux/xxhash.h>
#include <uapi/linux/vfio_mig_stream.h>

#include "stage.h"

struct vfio_mig;
struct vfio_mig_portion;

/* The longest that a header chunk of any version may be. */
#define HEADER_MAX	4096
#define BUF_MAX		(sizeof(struct vfio_mig_pages_hdr) +	\
			 VFIO_MIG_STREAM_RUNS_BYTES_MAX)

static_assert(HEADER_MAX <= BUF_MAX);

/**
 * enum load_part - what the next bytes of the stream are
 * @PART_CHUNK_HDR: a chunk's header
 * @PART_HEADER: payload of a header chunk
 * @PART_PAGES_HDR: start of a pages chunk's payload
 * @PART_RUNS: a pages chunk's runs
 * @PART_PAGE: a page of a pages chunk
 * @PART_CONTROL_HDR: start of a control chunk's payload
 * @PART_CONTROL: a piece of the control state
 * @PART_IMAGE_HDR: start of an image chunk's payload
 * @PART_IMAGE: a piece of the image
 * @PART_END: payload of an end chunk
 * @PART_PADDING: zeros up to the end of the chunk
 * @PART_SKIP: payload of a chunk that need not be understood
 */
enum load_part {
	PART_CHUNK_HDR,
	PART_HEADER,
	PART_PAGES_HDR,
	PART_RUNS,
	PART_PAGE,
	PART_CONTROL_HDR,
	PART_CONTROL,
	PART_IMAGE_HDR,
	PART_IMAGE,
	PART_END,
	PART_PADDING,
	PART_SKIP,
};

/**
 * struct load_run - pages in a row that are alike
 * @start: first page
 * @len: number of pages
 * @hole: they read as zeros, no data follows for them
 */
struct load_run {
	u64 start;
	u64 len;
	bool hole;
};

/**
 * struct load_pos - how far the stream was taken
 * @part: what comes next
 * @have: bytes of it taken
 * @want: bytes of it in all
 * @left: bytes of the chunk's payload after this part
 * @sum: running sum of the payload
 * @hdr: the chunk's header
 * @started: a header chunk was accepted
 * @save_id: whose
 * @control_version: version of its control state
 * @seq: of the next chunk
 * @pages: data pages taken in this save
 * @nr_runs: runs of the pages chunk
 * @run: the one at hand
 * @run_page: the page in it
 * @control_slot: which of the two buffers has the control state
 * @control_total: size of the control state
 * @control_have: bytes of it taken
 * @control_done: all of it is there
 * @control_checked: the vendor driver found it good
 * @image_begun: a piece of this save's image came
 * @image_off: bytes of the image taken
 * @image_len: bytes of the piece at hand
 * @image_final: the piece at hand was read from a stopped device
 * @image_left: bytes that are still to come of those that a final piece announced
 * @image_next: what @image_left is after the piece at hand
 * @image_done: all of the image is there
 * @image_checked: the vendor driver found it good
 * @complete: the last chunk taken was END, and all of it was found good
 */
struct load_pos {
	enum load_part part;
	u32 have;
	u32 want;
	u32 left;
	struct xxh64_state sum;
	struct vfio_mig_chunk_hdr hdr;
	bool started;
	u64 save_id;
	u32 control_version;
	u32 seq;
	u64 pages;
	u32 nr_runs;
	u32 run;
	u64 run_page;
	u8 control_slot;
	u32 control_total;
	u32 control_have;
	bool control_done;
	bool control_checked;
	bool image_begun;
	u64 image_off;
	u32 image_len;
	bool image_final;
	u64 image_left;
	u64 image_next;
	bool image_done;
	bool image_checked;
	bool complete;
};

/**
 * struct load_cursor - a place in the stream
 * @pos: how far the stream was taken
 * @runs: runs of the pages chunk at hand
 * @buf: the part at hand, while it is collected
 */
struct load_cursor {
	struct load_pos pos;
	struct load_run runs[VFIO_MIG_STREAM_RUNS_MAX];
	u8 buf[BUF_MAX] __aligned(8);
};

/**
 * struct vfio_mig_load - a load that goes on
 * @kref: held by the session, and by a caller that copies without the session mutex
 * @error: why it was refused, 0 if it was not
 * @stage: the pages
 * @control: the control state; two buffers, so that a new state can be taken back
 * @piece: the piece of the image at hand
 * @image_begun: the driver knows of an image
 * @handed_over: the driver was given something that cannot be taken back, in the portion
 * @prepared: what the vendor driver made of the control state
 * @prepared_before: what @prepared was when the open portion began
 * @prepared_changed: the open portion changed @prepared
 * @at: where the stream is, and what was collected of the part at hand
 * @before: the same, as it was when the open portion began
 *
 * The memory that copies go to is freed with this structure, or is a page.
 */
struct vfio_mig_load {
	struct kref kref;
	int error;
	struct vfio_mig_stage stage;
	void *control[2];
	void *piece;
	bool image_begun;
	bool handed_over;
	void *prepared;
	void *prepared_before;
	bool prepared_changed;
	struct load_cursor at;
	struct load_cursor before;
};

__printf(3, 4) int vfio_mig_refuse(struct vfio_mig *mig, int err,
				   const char *fmt, ...);
void vfio_mig_discard_prepared(struct vfio_mig *mig, void *prepared);
int vfio_mig_parse_target(struct vfio_mig *mig, struct vfio_mig_portion *p);
int vfio_mig_parse_bytes(struct vfio_mig *mig, const void *from, size_t n);
void vfio_mig_parse_start(struct load_pos *pos);
void vfio_mig_parse_image_end(struct vfio_mig *mig);

#endif /* VFIO_MIG_PARSE_H */
