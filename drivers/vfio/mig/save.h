/* SPDX-License-Identifier: GPL-2.0-only */
/* The save side: a device's state as a sequence of chunks */
#ifndef VFIO_MIG_SAVE_H
#define VFIO_MIG_SAVE_H

#include <linux/types.h>
#include <linux/vfio_mig_core.h>
#include <uapi/linux/vfio_mig_stream.h>

struct vfio_mig;
struct vfio_mig_save;

/* A window smaller than this cannot hold every kind of chunk. */
#define VFIO_MIG_CHUNK_ROOM_MIN		SZ_64K

/**
 * struct vfio_mig_chunk - a chunk that is ready to be copied out
 * @meta: header and all of the payload that is not pages
 * @meta_len: its length in bytes
 * @nr_pages: pages that follow
 * @pages: the pages, frozen
 * @index: their page numbers
 */
struct vfio_mig_chunk {
	void *meta;
	u32 meta_len;
	u32 nr_pages;
	struct page *pages[VFIO_MIG_STREAM_PAGES_MAX];
	pgoff_t index[VFIO_MIG_STREAM_PAGES_MAX];
};

static inline size_t vfio_mig_chunk_size(const struct vfio_mig_chunk *chunk)
{
	return chunk->meta_len + (size_t)chunk->nr_pages * PAGE_SIZE;
}

int vfio_mig_save_begin(struct vfio_mig *mig);
void vfio_mig_save_end(struct vfio_mig *mig);
u64 vfio_mig_save_pending(struct vfio_mig *mig);
u64 vfio_mig_save_initial(struct vfio_mig *mig);
u64 vfio_mig_save_stop_size(struct vfio_mig *mig);
int vfio_mig_save_next(struct vfio_mig *mig, size_t room,
		       const struct vfio_mig_chunk **chunk);
void vfio_mig_save_put(struct vfio_mig *mig);

#endif /* VFIO_MIG_SAVE_H */
