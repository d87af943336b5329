/* SPDX-License-Identifier: GPL-2.0-only */
/* The parser of streams: structures that it shares with load.c */
#ifndef VFIO_MIG_PARSE_H
#define VFIO_MIG_PARSE_H

#include <linux/kref.h>
#include <linux/xxhash.h>
#include <uapi/linux/vfio_mig_stream.h>

#include "stage.h"

struct vfio_mig;
struct vfio_mig_portion;

/* Limit of a header chunk's payload in any version, in bytes */
#define HEADER_MAX	4096
#define BUF_MAX		(sizeof(struct vfio_mig_pages_hdr) +	\
			 VFIO_MIG_STREAM_RUNS_BYTES_MAX)

static_assert(HEADER_MAX <= BUF_MAX);

/**
 * enum load_part - kind of the next bytes of the stream
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
 * @PART_SKIP: payload of a chunk that is not mandatory and not known
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
 * struct load_run - a run of a pages chunk
 * @start: first page
 * @len: number of pages
 * @hole: the pages read as zeros, and the chunk has no data for them
 */
struct load_run {
	u64 start;
	u64 len;
	bool hole;
};

/**
 * struct load_pos - a position in the stream
 * @part: the current part
 * @have: bytes of the part that were taken
 * @want: size of the part in bytes
 * @left: bytes of the chunk's payload after this part
 * @sum: checksum of the payload so far
 * @hdr: the chunk's header
 * @started: a header chunk was accepted
 * @save_id: identifies the save that the header started
 * @control_version: version of the save's control state
 * @seq: number of the next chunk
 * @pages: data pages taken in this save
 * @nr_runs: number of runs of the pages chunk
 * @run: index of the current run
 * @run_page: index of the current page in the run
 * @control_slot: index of the buffer that has the control state
 * @control_total: size of the control state in bytes
 * @control_have: bytes of the control state that were taken
 * @control_done: the control state is complete
 * @control_checked: the vendor driver accepted the control state
 * @image_begun: a piece of this save's image came
 * @image_off: bytes of the image that were taken
 * @image_len: bytes of the current piece
 * @image_final: the current piece was read from a stopped device
 * @image_left: bytes that a final piece announced and that are still to come
 * @image_next: value of @image_left after the current piece
 * @image_done: the image is complete
 * @image_checked: the vendor driver accepted the image
 * @complete: the last chunk was END, and the state was accepted
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
 * struct load_cursor - a position in the stream, with the data collected there
 * @pos: the position
 * @runs: runs of the current pages chunk
 * @buf: bytes of the current part
 */
struct load_cursor {
	struct load_pos pos;
	struct load_run runs[VFIO_MIG_STREAM_RUNS_MAX];
	u8 buf[BUF_MAX] __aligned(8);
};

/**
 * struct vfio_mig_load - a load in progress
 * @kref: held by the session, and by a caller that copies without the session mutex
 * @error: the errno that refused the stream, or 0
 * @stage: the staged pages
 * @control: the control state; two buffers, so that a new state can be undone
 * @piece: the current piece of the image
 * @image_begun: &vfio_mig_image_ops.load_begin has succeeded
 * @handed_over: the driver got data of this portion, which it cannot undo
 * @prepared: the object that the vendor driver made from the control state
 * @prepared_before: value of @prepared at the start of the open portion
 * @prepared_changed: the open portion changed @prepared
 * @at: the current position in the stream
 * @before: the position at the start of the open portion
 *
 * User data are copied to memory that is freed with this structure, or to a page.
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
