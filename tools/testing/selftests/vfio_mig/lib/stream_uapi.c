// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compares the definition of the stream format in stream.h with the uapi header, if the
 * header is installed. A difference is a change of the format, and breaks the build.
 */
#ifdef HAVE_STREAM_UAPI
#include <assert.h>
#include <linux/vfio_mig_stream.h>

#include "stream.h"

static_assert(sizeof(struct chunk_hdr) == sizeof(struct vfio_mig_chunk_hdr),
	      "the chunk header changed");
static_assert(sizeof(struct header_payload) == sizeof(struct vfio_mig_header),
	      "the header chunk changed");
static_assert(sizeof(struct pages_payload) == sizeof(struct vfio_mig_pages_hdr),
	      "the pages chunk changed");
static_assert(sizeof(struct control_payload) ==
	      sizeof(struct vfio_mig_control_hdr),
	      "the control chunk changed");
static_assert(sizeof(struct image_payload) == sizeof(struct vfio_mig_image_hdr),
	      "the image chunk changed");
static_assert(sizeof(struct end_payload) == sizeof(struct vfio_mig_end),
	      "the end chunk changed");
static_assert(VFIO_MIG_STREAM_MAGIC == STREAM_MAGIC, "the magic changed");
static_assert(VFIO_MIG_STREAM_VERSION == STREAM_VERSION,
	      "the version changed");
static_assert(VFIO_MIG_STREAM_IMAGE_PIECE == IMAGE_PIECE,
	      "the largest piece of an image changed");
static_assert(VFIO_MIG_STREAM_PAGE_SIZE == STREAM_PAGE,
	      "the page size changed");
#endif
