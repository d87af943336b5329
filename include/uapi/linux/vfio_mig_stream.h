/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The stream in which vfio-mig-core saves a device's state.
 *
 * Documentation/driver-api/vfio-mig-stream.rst is the specification. This header has its
 * structures. All fields are little-endian.
 */
#ifndef _UAPI_LINUX_VFIO_MIG_STREAM_H
#define _UAPI_LINUX_VFIO_MIG_STREAM_H

#include <linux/types.h>

#define VFIO_MIG_STREAM_MAGIC		0x474d4656	/* "VFMG" */
#define VFIO_MIG_STREAM_VERSION		1
#define VFIO_MIG_STREAM_PAGE_SIZE	4096
#define VFIO_MIG_STREAM_TYPE_LEN	64

/* Every payload is padded with zeros to a multiple of this, so all chunks are aligned. */
#define VFIO_MIG_STREAM_ALIGN		8

/* Limits of the format. A reader refuses larger values with -EBADMSG. */
#define VFIO_MIG_STREAM_PAGES_MAX	256		/* pages in one chunk */
#define VFIO_MIG_STREAM_RUNS_MAX	512		/* runs in one chunk */
#define VFIO_MIG_STREAM_RUNS_BYTES_MAX	8192		/* encoded size of the runs */
#define VFIO_MIG_STREAM_CONTROL_PIECE	32768		/* control bytes in one chunk */
#define VFIO_MIG_STREAM_CONTROL_MAX	(1 << 20)	/* control bytes in all */
#define VFIO_MIG_STREAM_IMAGE_PIECE	(256 << 10)	/* image bytes in one chunk */

/* Bits of &vfio_mig_header.features. */
#define VFIO_MIG_STREAM_F_IMAGE		(1ULL << 0)	/* the state has an image */
#define VFIO_MIG_STREAM_F_KNOWN		VFIO_MIG_STREAM_F_IMAGE

/**
 * enum vfio_mig_chunk_type - type of a chunk
 * @VFIO_MIG_CHUNK_HEADER: identity of the device; the first chunk, and no other
 * @VFIO_MIG_CHUNK_PAGES: pages of the device's paged state
 * @VFIO_MIG_CHUNK_CONTROL: a piece of the control state
 * @VFIO_MIG_CHUNK_END: all chunks up to here are one complete state
 * @VFIO_MIG_CHUNK_IMAGE: a piece of the device's image
 */
enum vfio_mig_chunk_type {
	VFIO_MIG_CHUNK_HEADER	= 1,
	VFIO_MIG_CHUNK_PAGES	= 2,
	VFIO_MIG_CHUNK_CONTROL	= 3,
	VFIO_MIG_CHUNK_END	= 4,
	VFIO_MIG_CHUNK_IMAGE	= 5,
};

/*
 * If this flag is set in a chunk of unknown type, the reader refuses the chunk with
 * -EPROTONOSUPPORT. Otherwise the reader skips the chunk.
 */
#define VFIO_MIG_CHUNK_F_MANDATORY	(1 << 0)
/* The payload's checksum is present, and the reader must check it. */
#define VFIO_MIG_CHUNK_F_SUM		(1 << 1)
#define VFIO_MIG_CHUNK_F_KNOWN		(VFIO_MIG_CHUNK_F_MANDATORY | \
					 VFIO_MIG_CHUNK_F_SUM)

/**
 * struct vfio_mig_chunk_hdr - start of every chunk
 * @magic: VFIO_MIG_STREAM_MAGIC
 * @type: enum vfio_mig_chunk_type
 * @flags: VFIO_MIG_CHUNK_F_*
 * @save_id: random number, the same in all chunks of one save
 * @seq: 0 in the header chunk, and one more in each next chunk
 * @length: bytes of payload that follow, a multiple of VFIO_MIG_STREAM_ALIGN
 * @sum: XXH64 of the payload, seed 0, or 0 without VFIO_MIG_CHUNK_F_SUM
 * @reserved: 0
 * @hdr_sum: low half of XXH64, seed 0, of this structure up to this field
 */
struct vfio_mig_chunk_hdr {
	__le32 magic;
	__le16 type;
	__le16 flags;
	__le64 save_id;
	__le32 seq;
	__le32 length;
	__le64 sum;
	__le32 reserved;
	__le32 hdr_sum;
};

/**
 * struct vfio_mig_header - payload of a header chunk
 * @version: VFIO_MIG_STREAM_VERSION
 * @page_size: VFIO_MIG_STREAM_PAGE_SIZE
 * @features: mandatory features that the stream uses, VFIO_MIG_STREAM_F_*
 * @nr_pages: size of the paged state in pages, 0 if there is none
 * @control_version: the vendor driver's version of the control state
 * @control_max: upper bound of the control state, in bytes
 * @type: the device's type, padded with at least one NUL
 */
struct vfio_mig_header {
	__le32 version;
	__le32 page_size;
	__le64 features;
	__le64 nr_pages;
	__le32 control_version;
	__le32 control_max;
	char type[VFIO_MIG_STREAM_TYPE_LEN];
};

/**
 * struct vfio_mig_pages_hdr - start of the payload of a pages chunk
 * @base: page number from which the first run's gap counts
 * @nr_pages: number of pages whose contents follow the runs
 * @runs_bytes: size of the encoded runs without padding
 *
 * The runs follow, padded with zeros to VFIO_MIG_STREAM_ALIGN. Then @nr_pages pages of
 * data follow.
 *
 * A run is one or two LEB128 numbers. The first number is the gap in pages since the
 * previous run's end (since @base for the first run), shifted left by two. Bit 0 is set if
 * a second number follows, which is the run's length in pages. Otherwise the run has one
 * page. Bit 1 is set for a hole, whose pages read as zeros and have no data in the chunk.
 */
struct vfio_mig_pages_hdr {
	__le64 base;
	__le32 nr_pages;
	__le32 runs_bytes;
};

/**
 * struct vfio_mig_control_hdr - start of the payload of a control chunk
 * @total: size of the whole control state in bytes
 * @offset: offset of this piece; pieces come in order, without a gap
 * @length: size of this piece in bytes, without padding
 * @reserved: 0
 */
struct vfio_mig_control_hdr {
	__le32 total;
	__le32 offset;
	__le32 length;
	__le32 reserved;
};

/* The device is stopped, so &vfio_mig_image_hdr.left is known. */
#define VFIO_MIG_IMAGE_F_FINAL		(1 << 0)

/**
 * struct vfio_mig_image_hdr - start of the payload of an image chunk
 * @offset: bytes of the image that the save has sent before this piece
 * @left: bytes that follow this piece until the image is complete; 0 without
 *	VFIO_MIG_IMAGE_F_FINAL
 * @length: size of this piece in bytes, without padding
 * @flags: VFIO_MIG_IMAGE_F_*
 *
 * The image is complete after a final piece with a @left of 0.
 */
struct vfio_mig_image_hdr {
	__le64 offset;
	__le64 left;
	__le32 length;
	__le32 flags;
};

/**
 * struct vfio_mig_end - payload of an end chunk
 * @pages_sent: number of pages with data in this save, which the reader compares
 */
struct vfio_mig_end {
	__le64 pages_sent;
};

#endif /* _UAPI_LINUX_VFIO_MIG_STREAM_H */
