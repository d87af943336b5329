/* SPDX-License-Identifier: GPL-2.0-only */
/* Paged state: functions for the rest of the library */
#ifndef VFIO_MIG_PAGES_H
#define VFIO_MIG_PAGES_H

#include <linux/vfio_mig_core.h>
#include <uapi/linux/vfio_mig_stream.h>

/*
 * A workqueue whose work items free pages that a load has replaced. The work items access no
 * user memory and wait for no mutex, so a flush of the workqueue takes a bounded time.
 */
extern struct workqueue_struct *vfio_mig_wq;

/*
 * Neighbouring pages share a lock, and a word of the dirty set. So the save side can take
 * the changed pages of a block together.
 */
#define BLOCK		BITS_PER_LONG

static inline struct rw_semaphore *page_lock(struct vfio_mig_pages *p, pgoff_t index)
{
	return &p->locks[index / BLOCK % VFIO_MIG_PAGES_LOCKS];
}

/*
 * Bit of page_private() that is set while a chunk may have a reference to the page. The lower
 * bits can have the number of a portion (stage.c), which never reaches this bit.
 */
#define PAGE_TAKEN	(BITS_PER_LONG - 1)

/* Returns whether the array has the only reference, so that the page may be changed. */
static inline bool page_writable(struct page *page)
{
	return page && page_count(page) == 1;
}

/*
 * Returns whether a chunk may have a reference, so that the page must keep its contents. The
 * reference count alone does not show this, because KVM up to Linux 6.12 has a reference for a
 * moment after a fault on a mapped page. A page with KVM's reference may be changed. It must not
 * be replaced, because KVM looks for the page again.
 *
 * Context: the page's lock is held. It has to be held for writing before the page is replaced.
 */
static inline bool page_is_taken(struct page *page)
{
	if (!test_bit(PAGE_TAKEN, &page->private))
		return false;
	if (!page_writable(page))
		return true;
	/* The chunk has put its reference. */
	clear_bit(PAGE_TAKEN, &page->private);
	return false;
}

struct page *vfio_mig_pages_alloc(struct vfio_mig_pages *p, gfp_t gfp,
				  bool force);
void vfio_mig_pages_free(struct vfio_mig_pages *p, struct page *page);
struct page *vfio_mig_pages_store(struct vfio_mig_pages *p, struct xarray *xa,
				  pgoff_t index, struct page *old,
				  struct page *new);
struct page *vfio_mig_pages_exchange_locked(struct vfio_mig_pages *p, pgoff_t index,
					    struct page *new);
struct xarray *vfio_mig_pages_new_array(void);
void vfio_mig_pages_free_array(struct vfio_mig_pages *p, struct xarray *xa);
void vfio_mig_pages_free_array_later(struct vfio_mig_pages *p, struct xarray *xa);
void vfio_mig_pages_set_payer(struct vfio_mig_pages *p, struct mm_struct *mm);

int vfio_mig_pages_track(struct vfio_mig_pages *p);
void vfio_mig_pages_untrack(struct vfio_mig_pages *p);
unsigned long vfio_mig_pages_dirty(struct vfio_mig_pages *p);
pgoff_t vfio_mig_pages_next_dirty(struct vfio_mig_pages *p, pgoff_t start);
void vfio_mig_pages_redirty(struct vfio_mig_pages *p, pgoff_t index);
void vfio_mig_pages_redirty_all(struct vfio_mig_pages *p);
u32 vfio_mig_pages_take(struct vfio_mig_pages *p, pgoff_t first, u32 max,
			struct page **pages, pgoff_t *index);
void vfio_mig_pages_replace(struct vfio_mig_pages *p, struct xarray *xa,
			    unsigned long nr, struct mutex *nest);

#endif /* VFIO_MIG_PAGES_H */
