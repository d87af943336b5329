// SPDX-License-Identifier: GPL-2.0-only
/* Builds chunks, including some that no device sends. */
#include <endian.h>
#include <string.h>

#include "stream.h"

static void finish(struct buffer *s, size_t at)
{
	struct chunk c;

	if (!stream_chunk_at(s, at, &c))
		chunk_sum(&c);
}

/* Appends a header. The caller appends the payload of @length bytes. */
static size_t begin(struct buffer *s, int type, __u64 save_id, __u32 seq,
		    size_t length)
{
	struct chunk_hdr hdr = {
		.magic = htole32(STREAM_MAGIC),
		.type = htole16(type),
		.flags = htole16(CHUNK_MANDATORY),
		.save_id = htole64(save_id),
		.seq = htole32(seq),
		.length = htole32(length),
	};
	size_t at = s->len;

	buffer_append(s, &hdr, sizeof(hdr));
	return at;
}

/* Encodes a run of @nr pages, which has data or is a hole. */
static size_t put_run(unsigned char runs[8], __u32 nr, int hole)
{
	size_t len = 0;

	memset(runs, 0, 8);
	runs[len++] = (hole ? 2 : 0) | (nr > 1 ? 1 : 0);
	for (; nr > 1 && nr >= 0x80; nr >>= 7)
		runs[len++] = nr | 0x80;
	if (nr > 1 || len > 1)
		runs[len++] = nr;
	return len;
}

/* Appends pages from @first on. Each is filled with one byte of @fill. NULL: a hole. */
void stream_put_pages(struct buffer *s, __u64 save_id, __u32 seq, __u64 first,
		      __u32 nr, const unsigned char *fill)
{
	struct pages_payload head = {
		.base = htole64(first),
		.nr_pages = htole32(fill ? nr : 0),
	};
	unsigned char runs[8];
	size_t at;
	__u32 i;

	head.runs_bytes = htole32(put_run(runs, nr, !fill));
	at = begin(s, CHUNK_PAGES, save_id, seq, sizeof(head) + sizeof(runs) +
		   (fill ? (size_t)nr * STREAM_PAGE : 0));
	buffer_append(s, &head, sizeof(head));
	buffer_append(s, runs, sizeof(runs));
	for (i = 0; fill && i < nr; i++)
		memset(buffer_grow(s, STREAM_PAGE), fill[i], STREAM_PAGE);
	finish(s, at);
}

void stream_put_end(struct buffer *s, __u64 save_id, __u32 seq, __u64 pages_sent)
{
	struct end_payload end = { .pages_sent = htole64(pages_sent) };
	size_t at = begin(s, CHUNK_END, save_id, seq, sizeof(end));

	buffer_append(s, &end, sizeof(end));
	finish(s, at);
}

/* Appends a piece of an image with any header. The length is that of @data. */
void stream_put_image(struct buffer *s, __u64 save_id, __u32 seq,
		      const struct image_payload *piece, const void *data)
{
	size_t len = le32toh(piece->length), padded = (len + 7) / 8 * 8;
	size_t at = begin(s, CHUNK_IMAGE, save_id, seq, sizeof(*piece) + padded);

	buffer_append(s, piece, sizeof(*piece));
	buffer_append(s, data, len);
	memset(buffer_grow(s, padded - len), 0, padded - len);
	finish(s, at);
}

/* Appends a chunk of another stream with the identifier of this save. */
void stream_put_chunk(struct buffer *s, __u64 save_id, __u32 seq,
		      const struct chunk *from)
{
	size_t at = s->len;
	struct chunk c;

	buffer_append(s, from->hdr, from->size);
	if (stream_chunk_at(s, at, &c))
		return;
	c.hdr->save_id = htole64(save_id);
	c.hdr->seq = htole32(seq);
	chunk_sum(&c);
}
