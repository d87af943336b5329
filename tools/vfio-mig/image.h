/* SPDX-License-Identifier: GPL-2.0-only */
/* The pages of a stream as an image: each at its place. */
#ifndef VFIO_MIG_TOOL_IMAGE_H
#define VFIO_MIG_TOOL_IMAGE_H

#include "decode.h"
#include "output.h"

struct image {
	struct output out;
	int fd;			/* what pages are written to, or -1 */
	bool copied;		/* to @out, from a temporary file */
	__u64 used;		/* where the last page with data ends */
};

int image_open(struct image *image, const char *name);
int image_chunk(struct image *image, const struct decode_chunk *c);
int image_close(struct image *image, int ret);

#endif /* VFIO_MIG_TOOL_IMAGE_H */
