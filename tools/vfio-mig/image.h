/* SPDX-License-Identifier: GPL-2.0-only */
/* Writes each page of a stream to its place in an image. */
#ifndef VFIO_MIG_TOOL_IMAGE_H
#define VFIO_MIG_TOOL_IMAGE_H

#include "decode.h"
#include "output.h"

struct image {
	struct output out;
	int fd;			/* file that gets the pages, or -1 */
	bool copied;		/* whether @out gets a copy of a temporary file */
	__u64 used;		/* end of the last page with data */
};

int image_open(struct image *image, const char *name);
int image_chunk(struct image *image, const struct decode_chunk *c);
const char *image_name(const struct image *image);
int image_close(struct image *image, int ret);

#endif /* VFIO_MIG_TOOL_IMAGE_H */
