// SPDX-License-Identifier: GPL-2.0-only
/* Counts pages in the pages chunks of a stream. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "stream.h"

/* Reads a LEB128 number. A number that does not end is malformed. */
static int leb128(const unsigned char **at, const unsigned char *end,
		  __u64 *value)
{
	unsigned int shift;

	*value = 0;
	for (shift = 0; shift < 64 && *at < end; shift += 7) {
		__u64 byte = *(*at)++;

		*value |= (byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return 0;
	}
	return -EBADMSG;
}

static int count_runs(const unsigned char *at, size_t len,
		      struct pages_total *total, __u64 *data)
{
	const unsigned char *end = at + len;
	__u64 word, length;

	while (at < end) {
		length = 1;
		if (leb128(&at, end, &word) ||
		    ((word & 1) && leb128(&at, end, &length)))
			return -EBADMSG;
		if (word & 2)
			total->holes += length;
		else
			*data += length;
	}
	return 0;
}

static int is_zero(const unsigned char *page)
{
	return !page[0] && !memcmp(page, page + 1, STREAM_PAGE - 1);
}

static int count_chunk(const struct chunk *c, struct pages_total *total)
{
	const struct pages_payload *head = c->payload;
	const unsigned char *page;
	__u64 data = 0, nr, i;
	size_t runs;

	if (c->length < sizeof(*head))
		return -EBADMSG;
	nr = le32toh(head->nr_pages);
	runs = ((size_t)le32toh(head->runs_bytes) + 7) & ~7UL;
	if (sizeof(*head) + runs + nr * STREAM_PAGE != c->length)
		return -EBADMSG;
	if (count_runs((const unsigned char *)(head + 1),
		       le32toh(head->runs_bytes), total, &data) || data != nr)
		return -EBADMSG;

	page = (const unsigned char *)(head + 1) + runs;
	for (i = 0; i < nr; i++)
		total->zero += is_zero(page + i * STREAM_PAGE);
	total->data += nr;
	return 0;
}

/* Counts the pages of a stream, or of any sequence of whole chunks. */
int stream_pages(const struct buffer *s, struct pages_total *total)
{
	struct chunk c;
	size_t at;
	int ret;

	memset(total, 0, sizeof(*total));
	for (at = 0; !(ret = stream_chunk_at(s, at, &c)); at += c.size) {
		if (le16toh(c.hdr->type) != CHUNK_PAGES)
			continue;
		ret = count_chunk(&c, total);
		if (ret)
			return ret;
	}
	return ret == -ENODATA ? 0 : ret;
}
