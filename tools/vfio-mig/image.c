// SPDX-License-Identifier: GPL-2.0-only
/* Writes the pages of a stream to a file, a device or a pipe. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
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
		return error_errno(image->fd, "%s", image_name(image));
	return EXIT_OK;
}

static const unsigned char zeros[VFIO_MIG_STREAM_PAGE_SIZE];

static int put_page(struct image *image, const void *data, off_t at)
{
	errno = 0;
	if (pwrite(image->fd, data, sizeof(zeros), at) == (ssize_t)sizeof(zeros))
		return 0;
	return -(errno ? errno : ENOSPC);
}

/*
 * A hole in the stream becomes a hole in the file, also if an earlier chunk had data for
 * the page. The file keeps its size. Not every file system can punch a hole.
 */
static int put_hole(struct image *image, off_t at, off_t end)
{
	int ret = 0;

	if (end > (off_t)image->used)
		end = image->used;
	if (at >= end || !fallocate(image->fd, FALLOC_FL_PUNCH_HOLE |
				    FALLOC_FL_KEEP_SIZE, at, end - at))
		return 0;
	if (errno != EOPNOTSUPP)
		return -errno;
	for (; at < end && !ret; at += sizeof(zeros))
		ret = put_page(image, zeros, at);
	return ret;
}

static int put_data(struct image *image, const unsigned char *data, off_t at, off_t end)
{
	int ret = 0;

	for (; at < end && !ret; at += sizeof(zeros), data += sizeof(zeros))
		ret = put_page(image, data, at);
	if ((__u64)end > image->used)
		image->used = end;
	return ret;
}

static int put_pages(struct image *image, const struct decode_chunk *c)
{
	const unsigned char *data = c->pages.data;
	int ret = 0;
	__u32 i;

	for (i = 0; i < c->pages.nr_runs && !ret; i++) {
		const struct decode_run *r = &c->pages.runs[i];
		off_t at = r->start * VFIO_MIG_STREAM_PAGE_SIZE;
		off_t len = r->len * VFIO_MIG_STREAM_PAGE_SIZE;

		if (r->hole) {
			ret = put_hole(image, at, at + len);
			continue;
		}
		ret = put_data(image, data, at, at + len);
		data += len;
	}
	return ret;
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

/* Returns 0 or a negative errno. @c belongs to a stream without a problem so far. */
int image_chunk(struct image *image, const struct decode_chunk *c)
{
	if (c->type == VFIO_MIG_CHUNK_HEADER)
		return start_over(image, c->header.nr_pages);
	if (c->type == VFIO_MIG_CHUNK_PAGES)
		return put_pages(image, c);
	return 0;
}

/* The file that gets the pages, for messages */
const char *image_name(const struct image *image)
{
	return image->copied ? "the temporary file in TMPDIR or /var/tmp" :
			       image->out.name;
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
		ret = len < 0 ? error_errno(-errno, "%s", image_name(image)) :
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
