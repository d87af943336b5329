// SPDX-License-Identifier: GPL-2.0-only
/* Writes the pages of a stream to a file, a device or a pipe. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"
#include "migdev.h"
#include "vfio-mig.h"

/*
 * A page can occur more than once, and the damage of a stream may show at its end. So an
 * output that cannot be replaced is not written before the image is complete: a device or a
 * pipe gets a copy of the image. Returns an exit code.
 */
int image_open(struct image *image, const char *name)
{
	int ret;

	*image = (struct image) { .fd = -1 };
	ret = output_open(&image->out, name);
	if (ret)
		return ret;
	image->copied = !image->out.path;
	image->fd = image->copied ? output_temporary() : image->out.fd;
	if (image->fd < 0)
		return error_errno(image->fd, "a temporary file in TMPDIR or /var/tmp");
	return EXIT_OK;
}

/*
 * A hole in the stream becomes a hole in the file, also if an earlier chunk had data for
 * the page. The file keeps its size.
 */
static int put_pages(struct image *image, const struct decode_chunk *c)
{
	static const unsigned char zeros[VFIO_MIG_STREAM_PAGE_SIZE];
	const unsigned char *data = c->pages.data, *from;
	__u32 i;
	__u64 n;

	for (i = 0; i < c->pages.nr_runs; i++) {
		const struct decode_run *r = &c->pages.runs[i];
		off_t at = r->start * VFIO_MIG_STREAM_PAGE_SIZE;

		for (n = 0; n < r->len; n++, at += VFIO_MIG_STREAM_PAGE_SIZE) {
			if (r->hole && at >= (off_t)image->used)
				break;
			from = r->hole ? zeros : data;
			errno = 0;
			if (pwrite(image->fd, from, sizeof(zeros), at) !=
			    (ssize_t)sizeof(zeros))
				return -(errno ? errno : ENOSPC);
			if (r->hole)
				continue;
			data += sizeof(zeros);
			if ((__u64)at + sizeof(zeros) > image->used)
				image->used = at + sizeof(zeros);
		}
	}
	return 0;
}

/* Begins another save, and drops the data of the save before. */
static int start_over(struct image *image, __u64 nr_pages)
{
	image->used = 0;
	if (nr_pages > INT64_MAX / VFIO_MIG_STREAM_PAGE_SIZE)
		return -EFBIG;
	if (ftruncate(image->fd, 0) ||
	    ftruncate(image->fd, nr_pages * VFIO_MIG_STREAM_PAGE_SIZE))
		return -errno;
	return 0;
}

/* Returns 0 or a negative errno. */
int image_chunk(struct image *image, const struct decode_chunk *c)
{
	if (c->type == VFIO_MIG_CHUNK_HEADER)
		return start_over(image, c->header.nr_pages);
	if (c->type == VFIO_MIG_CHUNK_PAGES)
		return put_pages(image, c);
	return 0;
}

/* A device is written only if it has space for the whole image. */
static int check_room(const struct image *image)
{
	struct stat to, from;
	off_t room;

	if (fstat(image->out.fd, &to) || fstat(image->fd, &from))
		return error_errno(-errno, "%s", image->out.name);
	if (!S_ISBLK(to.st_mode))
		return EXIT_OK;
	room = lseek(image->out.fd, 0, SEEK_END);
	if (room < 0 || lseek(image->out.fd, 0, SEEK_SET))
		return error_errno(-errno, "%s", image->out.name);
	if (room >= from.st_size)
		return EXIT_OK;
	return error("%s: the device has %s, the image %s: nothing is written",
		     image->out.name, human_size(room), human_size(from.st_size));
}

static int copy_out(struct image *image)
{
	ssize_t len;
	void *buf;
	int ret;

	ret = check_room(image);
	if (ret)
		return ret;
	buf = malloc(PORTION);
	if (!buf)
		return error("%s: no memory", image->out.name);
	lseek(image->fd, 0, SEEK_SET);
	while (!ret && (len = read(image->fd, buf, PORTION)) != 0)
		ret = len < 0 ? error_errno(-errno, "the temporary file") :
				output_write(&image->out, buf, len);
	free(buf);
	return ret;
}

/* If @ret is 0, the image is complete and is kept. Returns @ret or another exit code. */
int image_close(struct image *image, int ret)
{
	if (image->copied && image->fd >= 0) {
		if (!ret)
			ret = copy_out(image);
		close(image->fd);
	}
	image->fd = -1;
	return output_close(&image->out, ret);
}
