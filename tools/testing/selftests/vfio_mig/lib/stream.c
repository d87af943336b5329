// SPDX-License-Identifier: GPL-2.0-only
/* Finds chunks in a stream, and edits a stream. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "stream.h"

/* Returns -ENODATA at the end of the stream, -EBADMSG if no chunk starts at @at. */
int stream_chunk_at(const struct buffer *s, size_t at, struct chunk *c)
{
	if (at == s->len)
		return -ENODATA;
	if (s->len - at < sizeof(*c->hdr))
		return -EBADMSG;
	c->at = at;
	c->hdr = (struct chunk_hdr *)(s->data + at);
	c->payload = c->hdr + 1;
	c->length = le32toh(c->hdr->length);
	c->size = sizeof(*c->hdr) + c->length;
	if (le32toh(c->hdr->magic) != STREAM_MAGIC || c->size > s->len - at)
		return -EBADMSG;
	return 0;
}

int stream_chunk(const struct buffer *s, unsigned int index, struct chunk *c)
{
	size_t at = 0;
	int ret;

	for (;;) {
		ret = stream_chunk_at(s, at, c);
		if (ret || !index--)
			return ret;
		at += c->size;
	}
}

/* Finds the @nth chunk (from 0) of type @type, or of any type if @type is 0. */
int stream_find(const struct buffer *s, int type, unsigned int nth,
		struct chunk *c)
{
	size_t at;
	int ret;

	for (at = 0; ; at += c->size) {
		ret = stream_chunk_at(s, at, c);
		if (ret)
			return ret;
		if ((!type || le16toh(c->hdr->type) == type) && !nth--)
			return 0;
	}
}

/* Counts the chunks of type @type, or of any type if @type is 0. Negative: not a stream. */
int stream_count(const struct buffer *s, int type)
{
	struct chunk c;
	size_t at;
	int n = 0, ret;

	for (at = 0; !(ret = stream_chunk_at(s, at, &c)); at += c.size)
		n += !type || le16toh(c.hdr->type) == type;
	return ret == -ENODATA ? n : ret;
}

static __u32 header_sum(const struct chunk_hdr *hdr)
{
	return (__u32)XXH64(hdr, offsetof(struct chunk_hdr, hdr_sum), 0);
}

int chunk_header_sound(const struct chunk *c)
{
	return header_sum(c->hdr) == le32toh(c->hdr->hdr_sum);
}

/* Returns true also for a chunk without a checksum. */
int chunk_payload_sound(const struct chunk *c)
{
	return !(le16toh(c->hdr->flags) & CHUNK_SUM) ||
	       XXH64(c->payload, c->length, 0) == le64toh(c->hdr->sum);
}

void chunk_sum_header(struct chunk *c)
{
	c->hdr->hdr_sum = htole32(header_sum(c->hdr));
}

/* Computes both checksums anew after an edit. */
void chunk_sum(struct chunk *c)
{
	if (le16toh(c->hdr->flags) & CHUNK_SUM)
		c->hdr->sum = htole64(XXH64(c->payload, c->length, 0));
	chunk_sum_header(c);
}

/* Numbers the chunks in their present order. */
void stream_renumber(struct buffer *s)
{
	struct chunk c;
	__u32 seq = 0;
	size_t at;

	for (at = 0; !stream_chunk_at(s, at, &c); at += c.size) {
		c.hdr->seq = htole32(seq++);
		chunk_sum_header(&c);
	}
}

void stream_remove(struct buffer *s, unsigned int index)
{
	struct chunk c;

	if (!stream_chunk(s, index, &c))
		buffer_cut(s, c.at, c.size);
}

/* Inserts a copy of the chunk behind the chunk. */
void stream_repeat(struct buffer *s, unsigned int index)
{
	struct chunk c;
	void *copy;

	if (stream_chunk(s, index, &c))
		return;
	copy = malloc(c.size);
	if (!copy)
		abort();
	memcpy(copy, c.hdr, c.size);
	buffer_insert(s, c.at + c.size, copy, c.size);
	free(copy);
}

/* Swaps two chunks. @a is before @b. */
void stream_swap(struct buffer *s, unsigned int a, unsigned int b)
{
	struct buffer out = { 0 };
	struct chunk ca, cb;

	if (stream_chunk(s, a, &ca) || stream_chunk(s, b, &cb))
		return;
	buffer_append(&out, s->data, ca.at);
	buffer_append(&out, cb.hdr, cb.size);
	buffer_append(&out, s->data + ca.at + ca.size,
		      cb.at - ca.at - ca.size);
	buffer_append(&out, ca.hdr, ca.size);
	buffer_append(&out, s->data + cb.at + cb.size,
		      s->len - cb.at - cb.size);
	buffer_free(s);
	*s = out;
}

/* Inserts a chunk of an unknown type behind the first chunk. */
void stream_insert_unknown(struct buffer *s, int flags)
{
	struct chunk c;

	/* The chunk gets the payload of the second chunk, because any payload will do. */
	stream_repeat(s, 1);
	if (stream_chunk(s, 1, &c))
		return;
	c.hdr->type = htole16(0x7001);
	c.hdr->flags = htole16(flags);
	if (!(flags & CHUNK_SUM))
		c.hdr->sum = 0;
	chunk_sum(&c);
	stream_renumber(s);
}
