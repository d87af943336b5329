// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks whether a stream is complete, well-formed and of one save. The check does not use
 * the driver's code, because the driver's writer and reader could have the same error.
 */
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "stream.h"

struct checker {
	__u64 id;
	__u32 seq;
	int type;		/* type of the last chunk */
	int has_image;
	__u64 image_off;	/* bytes of the image so far */
	__u64 image_left;	/* bytes of the image that were announced and have not come yet */
	int image_done;
	char *why;
	size_t room;
};

static int refuse(struct checker *k, const char *fmt, ...)
{
	va_list args;
	int n;

	n = snprintf(k->why, k->room, "chunk %u: ", k->seq);
	va_start(args, fmt);
	vsnprintf(k->why + n, k->room - n, fmt, args);
	va_end(args);
	return -EBADMSG;
}

static int check_image(struct checker *k, const struct chunk *c)
{
	const struct image_payload *p = c->payload;
	__u64 left = le64toh(p->left);
	__u32 len = le32toh(p->length);
	int final = le32toh(p->flags) & IMAGE_FINAL;

	if (!k->has_image)
		return refuse(k, "an image that the header does not announce");
	if (c->length < sizeof(*p) || len > IMAGE_PIECE ||
	    c->length != sizeof(*p) + (len + 7) / 8 * 8)
		return refuse(k, "%u bytes of image in %zu", len, c->length);
	if (le64toh(p->offset) != k->image_off)
		return refuse(k, "image at %llu, due is %llu",
			      (unsigned long long)le64toh(p->offset),
			      (unsigned long long)k->image_off);
	if (final ? (k->image_left && left + len != k->image_left) || (!len && left) :
		    left || !len || k->image_left || k->image_done)
		return refuse(k, "%u and %llu bytes of image, announced were %llu", len,
			      (unsigned long long)left,
			      (unsigned long long)k->image_left);
	k->image_off += len;
	k->image_left = left;
	k->image_done = final && !left;
	return 0;
}

static int check_type(struct checker *k, const struct chunk *c)
{
	const struct header_payload *h = c->payload;

	switch (k->type) {
	case CHUNK_HEADER:
		k->has_image = c->length == sizeof(*h) &&
			       le64toh(h->features) & STREAM_HAS_IMAGE;
		return 0;
	case CHUNK_IMAGE:
		return check_image(k, c);
	case CHUNK_END:
		if (k->has_image && !k->image_done)
			return refuse(k, "an end without a whole image");
		return 0;
	default:
		return 0;
	}
}

static int check_chunk(struct checker *k, struct chunk *c)
{
	if (!chunk_header_sound(c))
		return refuse(k, "the header's sum is wrong");
	if (!chunk_payload_sound(c))
		return refuse(k, "the payload's sum is wrong");
	if (le32toh(c->hdr->seq) != k->seq)
		return refuse(k, "numbered %u", le32toh(c->hdr->seq));
	if (!k->seq)
		k->id = c->hdr->save_id;
	if (c->hdr->save_id != k->id)
		return refuse(k, "of another save");
	k->type = le16toh(c->hdr->type);
	if (k->seq ? k->type == CHUNK_HEADER : k->type != CHUNK_HEADER)
		return refuse(k, "a chunk of type %d", k->type);
	if (c->length % 8)
		return refuse(k, "%zu bytes long", c->length);
	return check_type(k, c);
}

/* Returns 0, or -EBADMSG with the reason in @why, which has @room bytes. */
int stream_check(const struct buffer *s, char *why, size_t room)
{
	struct checker k = { .why = why, .room = room };
	struct chunk c;
	size_t at;
	int ret;

	for (at = 0; at < s->len; at += c.size, k.seq++) {
		if (stream_chunk_at(s, at, &c))
			return refuse(&k, "no chunk at %zu", at);
		ret = check_chunk(&k, &c);
		if (ret)
			return ret;
	}
	if (k.type != CHUNK_END)
		return refuse(&k, "the last chunk is of type %d, not an end",
			      k.type);
	return 0;
}
