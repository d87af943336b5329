/* SPDX-License-Identifier: GPL-2.0-only */
/* The save side: a device's state as a sequence of chunks */
#ifndef VFIO_MIG_SAVE_H
#define VFIO_MIG_SAVE_H

#include <linux/types.h>
#include <linux/vfio_mig_core.h>
#include <uapi/linux/vfio_mig_stream.h>

#include "mig.h"

struct vfio_mig_save;

/* A smaller window cannot hold all kinds of chunks. */
#define VFIO_MIG_CHUNK_ROOM_MIN		SZ_64K
/* No chunk is larger, because a VMM reads and sends up to 1 MiB at a time. */
#define VFIO_MIG_CHUNK_ROOM_MAX		SZ_1M
/* After this time a chunk or an iteration ends with the data that it has. */
#define VFIO_MIG_CHUNK_NS		NSEC_PER_SEC

/**
 * struct vfio_mig_chunk - a chunk that a front end copies to the user
 * @meta: header, and all of the payload except pages
 * @meta_len: length of @meta in bytes, 0 in an empty chunk
 * @nr_pages: number of pages that follow @meta
 * @looked: number of pages that were looked at for the chunk, including pages of zeros
 * @pages: the pages, with a reference to each. They do not change, see pages.c.
 * @index: numbers of the pages, used only while the chunk is made
 */
struct vfio_mig_chunk {
	void *meta;
	u32 meta_len;
	u32 nr_pages;
	u32 looked;
	struct page *pages[VFIO_MIG_STREAM_PAGES_MAX];
	pgoff_t index[VFIO_MIG_STREAM_PAGES_MAX];
};

static inline size_t vfio_mig_chunk_size(const struct vfio_mig_chunk *chunk)
{
	return chunk->meta_len + (size_t)chunk->nr_pages * PAGE_SIZE;
}

struct vfio_mig_chunk *vfio_mig_chunk_alloc(const struct vfio_mig *mig);
void vfio_mig_chunk_put(struct vfio_mig_chunk *chunk);
void vfio_mig_chunk_free(struct vfio_mig_chunk *chunk);

int vfio_mig_save_begin(struct vfio_mig *mig, enum vfio_mig_state to);
void vfio_mig_save_end(struct vfio_mig *mig);
int vfio_mig_save_ask(struct vfio_mig *mig);
u64 vfio_mig_save_pending(struct vfio_mig *mig);
u64 vfio_mig_save_initial(struct vfio_mig *mig);
void vfio_mig_save_again(struct vfio_mig *mig);
void vfio_mig_save_announce(struct vfio_mig *mig);
u64 vfio_mig_save_stop_size(struct vfio_mig *mig);
bool vfio_mig_save_ready(struct vfio_mig *mig);
int vfio_mig_save_next(struct vfio_mig *mig, size_t room,
		       struct vfio_mig_chunk *chunk);

#endif /* VFIO_MIG_SAVE_H */
