// SPDX-License-Identifier: GPL-2.0-only
/* A buffer that grows. A lack of memory ends the test with abort(). */
#include <stdlib.h>
#include <string.h>

#include "buffer.h"

/* Appends @len bytes, and returns a pointer to the first of them. */
void *buffer_grow(struct buffer *b, size_t len)
{
	if (b->room - b->len < len) {
		b->room = b->len + len + b->room / 2 + 4096;
		b->data = realloc(b->data, b->room);
		if (!b->data)
			abort();
	}
	b->len += len;
	return b->data + b->len - len;
}

void buffer_append(struct buffer *b, const void *data, size_t len)
{
	memcpy(buffer_grow(b, len), data, len);
}

void buffer_cut(struct buffer *b, size_t at, size_t len)
{
	memmove(b->data + at, b->data + at + len, b->len - at - len);
	b->len -= len;
}

/* @data must not point into @b. */
void buffer_insert(struct buffer *b, size_t at, const void *data, size_t len)
{
	size_t tail = b->len - at;

	buffer_grow(b, len);
	memmove(b->data + at + len, b->data + at, tail);
	memcpy(b->data + at, data, len);
}

void buffer_copy(struct buffer *to, const struct buffer *from)
{
	to->len = 0;
	buffer_append(to, from->data, from->len);
}

void buffer_free(struct buffer *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}
