/* SPDX-License-Identifier: GPL-2.0-only */
/* A buffer that grows, for a stream */
#ifndef VFIO_MIG_LIB_BUFFER_H
#define VFIO_MIG_LIB_BUFFER_H

#include <stddef.h>

struct buffer {
	unsigned char *data;
	size_t len;
	size_t room;
};

void *buffer_grow(struct buffer *b, size_t len);
void buffer_append(struct buffer *b, const void *data, size_t len);
void buffer_cut(struct buffer *b, size_t at, size_t len);
void buffer_insert(struct buffer *b, size_t at, const void *data, size_t len);
void buffer_copy(struct buffer *to, const struct buffer *from);
void buffer_free(struct buffer *b);

#endif /* VFIO_MIG_LIB_BUFFER_H */
