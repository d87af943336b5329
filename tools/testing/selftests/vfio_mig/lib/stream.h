/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A second definition of the stream format of vfio-mig-core.
 *
 * The tests do not use the uapi header, because the format must not change between
 * releases. A test that shares the header with the driver would not notice a change.
 */
#ifndef VFIO_MIG_LIB_STREAM_H
#define VFIO_MIG_LIB_STREAM_H

#include <linux/types.h>

#include "buffer.h"

#define STREAM_MAGIC		0x474d4656	/* "VFMG" */
#define STREAM_VERSION		1
#define STREAM_PAGE		4096
#define STREAM_TYPE_LEN		64

enum {
	CHUNK_HEADER	= 1,
	CHUNK_PAGES	= 2,
	CHUNK_CONTROL	= 3,
	CHUNK_END	= 4,
	CHUNK_IMAGE	= 5,
};

#define CHUNK_MANDATORY		0x1
#define CHUNK_SUM		0x2

#define STREAM_HAS_IMAGE	0x1	/* bits of the header's features */
#define IMAGE_FINAL		0x1
#define IMAGE_PIECE		(256 << 10)

struct chunk_hdr {
	__le32 magic;
	__le16 type;
	__le16 flags;
	__le64 save_id;
	__le32 seq;
	__le32 length;
	__le64 sum;
	__le32 reserved;
	__le32 hdr_sum;
};

struct header_payload {
	__le32 version;
	__le32 page_size;
	__le64 features;
	__le64 nr_pages;
	__le32 control_version;
	__le32 control_max;
	char type[STREAM_TYPE_LEN];
};

struct pages_payload {
	__le64 base;
	__le32 nr_pages;
	__le32 runs_bytes;
};

struct control_payload {
	__le32 total;
	__le32 offset;
	__le32 length;
	__le32 reserved;
};

struct image_payload {
	__le64 offset;
	__le64 left;
	__le32 length;
	__le32 flags;
};

struct end_payload {
	__le64 pages_sent;
};

/* The place of a chunk in a buffer. It is valid until the buffer grows. */
struct chunk {
	size_t at;			/* offset in the buffer */
	size_t size;			/* header and payload */
	struct chunk_hdr *hdr;
	void *payload;
	size_t length;			/* length of the payload */
};

int stream_chunk_at(const struct buffer *s, size_t at, struct chunk *c);
int stream_chunk(const struct buffer *s, unsigned int index, struct chunk *c);
int stream_find(const struct buffer *s, int type, unsigned int nth,
		struct chunk *c);
int stream_count(const struct buffer *s, int type);
int stream_check(const struct buffer *s, char *why, size_t room);

int chunk_header_sound(const struct chunk *c);
int chunk_payload_sound(const struct chunk *c);
void chunk_sum_header(struct chunk *c);
void chunk_sum(struct chunk *c);
void stream_renumber(struct buffer *s);
void stream_swap(struct buffer *s, unsigned int a, unsigned int b);
void stream_remove(struct buffer *s, unsigned int index);
void stream_repeat(struct buffer *s, unsigned int index);
void stream_insert_unknown(struct buffer *s, int flags);

/* stream_build.c: builds chunks */
void stream_put_pages(struct buffer *s, __u64 save_id, __u32 seq, __u64 first,
		      __u32 nr, const unsigned char *fill);
void stream_put_end(struct buffer *s, __u64 save_id, __u32 seq, __u64 pages_sent);
void stream_put_image(struct buffer *s, __u64 save_id, __u32 seq,
		      const struct image_payload *piece, const void *data);
void stream_put_chunk(struct buffer *s, __u64 save_id, __u32 seq,
		      const struct chunk *from);

struct pages_total {
	__u64 data;			/* pages with data in the stream */
	__u64 holes;			/* pages that the stream describes as zeros */
	__u64 zero;			/* pages of @data that consist of zeros */
};

int stream_pages(const struct buffer *s, struct pages_total *total);

#endif /* VFIO_MIG_LIB_STREAM_H */
