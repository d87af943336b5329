// SPDX-License-Identifier: GPL-2.0-only
/* Decodes the payloads of chunks. */
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "decode-priv.h"

static bool is_zero(const void *data, size_t len)
{
	const unsigned char *byte = data;

	while (len && !*byte)
		byte++, len--;
	return !len;
}

static size_t padded(size_t len)
{
	return (len + VFIO_MIG_STREAM_ALIGN - 1) / VFIO_MIG_STREAM_ALIGN *
	       VFIO_MIG_STREAM_ALIGN;
}

/* A name, then only NULs, at least one of them */
static bool type_valid(const char *type)
{
	size_t len = strnlen(type, VFIO_MIG_STREAM_TYPE_LEN);

	return len < VFIO_MIG_STREAM_TYPE_LEN &&
	       is_zero(type + len, VFIO_MIG_STREAM_TYPE_LEN - len);
}

/* Type, size and version are not checked, because only a device knows its own. */
static int take_header(struct decoder *d, struct decode_chunk *c)
{
	const struct vfio_mig_header *h = (const void *)d->payload;

	d->totals->saves++;
	d->totals->pages = 0;
	d->totals->holes = 0;
	d->totals->control_total = 0;
	d->control_have = 0;
	d->control_done = false;
	d->totals->has_image = false;
	d->totals->image = 0;
	d->image_left = 0;
	d->image_done = false;
	d->header_known = false;

	c->header.version = c->length < sizeof(h->version) ? 0 :
			    le32toh(h->version);
	if (c->header.version != VFIO_MIG_STREAM_VERSION)
		return problem_at(d, c->at, EPROTONOSUPPORT,
				  "stream version %u, this program knows %u",
				  c->header.version, VFIO_MIG_STREAM_VERSION);
	if (c->length != sizeof(*h))
		return problem_at(d, c->at, EBADMSG, "a header of %u bytes",
				  c->length);
	if (le32toh(h->page_size) != VFIO_MIG_STREAM_PAGE_SIZE)
		return problem_at(d, c->at, EPROTONOSUPPORT, "pages of %u bytes",
				  le32toh(h->page_size));
	if (le64toh(h->features) & ~VFIO_MIG_STREAM_F_KNOWN)
		return problem_at(d, c->at, EPROTONOSUPPORT, "unknown features %#llx",
				  (__u64)le64toh(h->features));
	if (!type_valid(h->type))
		return problem_at(d, c->at, EBADMSG, "a malformed device type");

	memcpy(c->header.type, h->type, sizeof(h->type));
	c->header.nr_pages = le64toh(h->nr_pages);
	c->header.control_version = le32toh(h->control_version);
	c->header.control_max = le32toh(h->control_max);
	c->header.image = le64toh(h->features) & VFIO_MIG_STREAM_F_IMAGE;
	d->totals->has_image = c->header.image;
	d->nr_pages = c->header.nr_pages;
	d->control_max = c->header.control_max;
	d->header_known = true;
	return 0;
}

/* Reads a LEB128 number. Each number has one valid encoding only. */
static bool leb128(const unsigned char **at, const unsigned char *end,
		   __u64 *value)
{
	unsigned int shift = 0;
	unsigned char byte;

	*value = 0;
	do {
		if (*at == end || shift > 63)
			return false;
		byte = *(*at)++;
		if (shift == 63 && (byte & 0x7e))
			return false;
		*value |= (__u64)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return byte || shift == 7;
}

/* Stores the runs, and counts pages with data and pages of holes. */
static int take_runs(struct decoder *d, struct decode_chunk *c, __u64 next,
		     const unsigned char *at, size_t len, __u64 *data)
{
	__u64 limit = d->header_known ? d->nr_pages : UINT64_MAX >> 12;
	const unsigned char *end = at + len;
	__u64 gap, nr;

	while (at < end) {
		nr = 1;
		if (c->pages.nr_runs == VFIO_MIG_STREAM_RUNS_MAX)
			return problem_at(d, c->at, EBADMSG, "more than %u runs",
					  VFIO_MIG_STREAM_RUNS_MAX);
		if (!leb128(&at, end, &gap) ||
		    ((gap & 1) && (!leb128(&at, end, &nr) || nr < 2)))
			return problem_at(d, c->at, EBADMSG, "run %u is malformed",
					  c->pages.nr_runs);
		if (next > limit || gap >> 2 > limit - next ||
		    nr > limit - next - (gap >> 2))
			return problem_at(d, c->at, EINVAL,
					  "run %u goes beyond the device's %llu pages",
					  c->pages.nr_runs,
					  limit);
		next += gap >> 2;
		d->runs[c->pages.nr_runs++] = (struct decode_run) {
			.start = next, .len = nr, .hole = gap & 2,
		};
		*(gap & 2 ? &c->pages.holes : data) += nr;
		next += nr;
	}
	c->pages.runs = d->runs;
	return 0;
}

static int take_pages(struct decoder *d, struct decode_chunk *c)
{
	const struct vfio_mig_pages_hdr *h = (const void *)d->payload;
	const unsigned char *at = d->payload + sizeof(*h);
	__u64 data = 0;
	__u32 nr, bytes;
	int ret;

	nr = c->length < sizeof(*h) ? 0 : le32toh(h->nr_pages);
	bytes = c->length < sizeof(*h) ? 0 : le32toh(h->runs_bytes);
	if (!bytes || bytes > VFIO_MIG_STREAM_RUNS_BYTES_MAX ||
	    nr > VFIO_MIG_STREAM_PAGES_MAX ||
	    c->length != sizeof(*h) + padded(bytes) +
			 nr * VFIO_MIG_STREAM_PAGE_SIZE)
		return problem_at(d, c->at, EBADMSG, "%u pages and %u bytes of runs in %u bytes",
				  nr, bytes, c->length);
	if (!is_zero(at + bytes, padded(bytes) - bytes))
		return problem_at(d, c->at, EBADMSG, "padding that is not zero");
	ret = take_runs(d, c, le64toh(h->base), at, bytes, &data);
	if (ret)
		return ret;
	if (data != nr)
		return problem_at(d, c->at, EBADMSG, "runs of %llu pages, and %u with data",
				  data, nr);
	c->pages.nr = nr;
	c->pages.data = at + padded(bytes);
	d->totals->pages += nr;
	d->totals->holes += c->pages.holes;
	return 0;
}

static int control_in_order(struct decoder *d, struct decode_chunk *c)
{
	__u32 total = c->control.total, offset = c->control.offset;

	if (!offset) {
		d->totals->control_total = total;
		d->control_have = 0;
		d->control_done = false;
	}
	if (total != d->totals->control_total || offset != d->control_have ||
	    c->control.length > total - offset || (!c->control.length && total))
		return problem_at(d, c->at, EBADMSG,
				  "control state, %u bytes at %u of %u, where %u of %u was due",
				  c->control.length, offset, total,
				  d->control_have, d->totals->control_total);
	d->control_have += c->control.length;
	d->control_done = d->control_have == total;
	return 0;
}

static int take_control(struct decoder *d, struct decode_chunk *c)
{
	const struct vfio_mig_control_hdr *h = (const void *)d->payload;

	if (c->length < sizeof(*h))
		return problem_at(d, c->at, EBADMSG, "a control chunk of %u bytes",
				  c->length);
	c->control.total = le32toh(h->total);
	c->control.offset = le32toh(h->offset);
	c->control.length = le32toh(h->length);
	c->control.data = d->payload + sizeof(*h);
	if (h->reserved || c->control.length > VFIO_MIG_STREAM_CONTROL_PIECE ||
	    c->length != sizeof(*h) + padded(c->control.length))
		return problem_at(d, c->at, EBADMSG, "%u bytes of control state in %u",
				  c->control.length, c->length);
	if (!is_zero(c->control.data + c->control.length,
		     padded(c->control.length) - c->control.length))
		return problem_at(d, c->at, EBADMSG, "padding that is not zero");
	if (c->control.total > VFIO_MIG_STREAM_CONTROL_MAX ||
	    (d->header_known && c->control.total > d->control_max))
		return problem_at(d, c->at, EBADMSG, "%u bytes of control state",
				  c->control.total);
	return control_in_order(d, c);
}

static int image_in_order(struct decoder *d, struct decode_chunk *c)
{
	__u64 left = c->image.left;
	__u32 len = c->image.length;

	if (d->header_known && !d->totals->has_image)
		return problem_at(d, c->at, EINVAL,
				  "an image, and the header says that there is none");
	if (c->image.offset != d->totals->image)
		return problem_at(d, c->at, EBADMSG, "image at %llu where %llu was due",
				  c->image.offset, d->totals->image);
	if (c->image.final ? (d->image_left && left + len != d->image_left) || (!len && left) :
			     left || !len || d->image_left || d->image_done)
		return problem_at(d, c->at, EBADMSG,
				  "%u and %llu bytes of image where %llu were announced",
				  len, left, d->image_left);
	d->totals->image += len;
	d->image_left = left;
	d->image_done = c->image.final && !left;
	return 0;
}

static int take_image(struct decoder *d, struct decode_chunk *c)
{
	const struct vfio_mig_image_hdr *h = (const void *)d->payload;
	__u32 flags;

	if (c->length < sizeof(*h))
		return problem_at(d, c->at, EBADMSG, "an image chunk of %u bytes",
				  c->length);
	flags = le32toh(h->flags);
	c->image.offset = le64toh(h->offset);
	c->image.left = le64toh(h->left);
	c->image.length = le32toh(h->length);
	c->image.final = flags & VFIO_MIG_IMAGE_F_FINAL;
	c->image.data = d->payload + sizeof(*h);
	if (c->image.length > VFIO_MIG_STREAM_IMAGE_PIECE ||
	    flags & ~VFIO_MIG_IMAGE_F_FINAL ||
	    c->length != sizeof(*h) + padded(c->image.length))
		return problem_at(d, c->at, EBADMSG, "%u bytes of image in %u, flags %#x",
				  c->image.length, c->length, flags);
	if (!is_zero(c->image.data + c->image.length,
		     padded(c->image.length) - c->image.length))
		return problem_at(d, c->at, EBADMSG, "padding that is not zero");
	return image_in_order(d, c);
}

static int take_end(struct decoder *d, struct decode_chunk *c)
{
	const struct vfio_mig_end *h = (const void *)d->payload;

	if (c->length != sizeof(*h))
		return problem_at(d, c->at, EBADMSG, "an end of %u bytes",
				  c->length);
	c->pages_sent = le64toh(h->pages_sent);
	if (c->pages_sent != d->totals->pages)
		return problem_at(d, c->at, EBADMSG, "%llu pages came, the end says %llu",
				  d->totals->pages,
				  c->pages_sent);
	if (!d->control_done)
		return problem_at(d, c->at, EBADMSG, "an end before the control state is whole");
	if (d->totals->has_image && !d->image_done)
		return problem_at(d, c->at, EBADMSG, "an end before the image is whole");
	d->totals->complete = true;
	return 0;
}

/* Returns 0, or the value of the problem that it reported. */
int decode_payload(struct decoder *d, struct decode_chunk *c)
{
	switch (c->type) {
	case VFIO_MIG_CHUNK_HEADER:
		return take_header(d, c);
	case VFIO_MIG_CHUNK_PAGES:
		return take_pages(d, c);
	case VFIO_MIG_CHUNK_CONTROL:
		return take_control(d, c);
	case VFIO_MIG_CHUNK_END:
		return take_end(d, c);
	case VFIO_MIG_CHUNK_IMAGE:
		return take_image(d, c);
	default:
		if (c->flags & VFIO_MIG_CHUNK_F_MANDATORY)
			return problem_at(d, c->at, EPROTONOSUPPORT,
					  "an unknown mandatory chunk, type %u",
					  c->type);
		return 0;
	}
}
