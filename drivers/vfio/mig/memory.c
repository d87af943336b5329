// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of the driver's own that is a paged state
 *
 * A BAR, a carve-out, or system memory that has to stay where it is. A page of it is
 * copied when it is sent, because the chunk cannot share it. So the page can change
 * while the chunk waits for its reader, and the chunk's checksum still holds.
 *
 * A page counts as sent before it is copied. A later writer marks the page after the
 * write, so the page is sent again. mapping.c finds the stores to mappings of users.
 *
 * A load stages pages as it does for the library's own memory, and writes the memory
 * when it takes effect.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/xarray.h>

#include "image.h"
#include "memory.h"
#include "mig.h"
#include "pages.h"

/* See vfio_mig_memory_init(). */
int __vfio_mig_memory_init(struct vfio_mig_pages *p, pgoff_t nr,
			   const struct vfio_mig_memory_ops *ops,
			   struct lock_class_key *key)
{
	int ret;

	if (!nr || !ops->read || !ops->write || !ops->track != !ops->dirty ||
	    !ops->begin != !ops->end)
		return -EINVAL;
	ret = __vfio_mig_pages_init(p, nr, NULL, key);
	if (ret)
		return ret;
	p->memory = ops;
	atomic_long_set(&p->resident, nr);
	return 0;
}
EXPORT_SYMBOL_GPL(__vfio_mig_memory_init);

/**
 * vfio_mig_pages_changed - say that memory of the driver's own was written
 * @p: the paged state
 * @off: where, in bytes
 * @len: how many bytes; what is beyond the end of the memory does not count
 *
 * A save that goes on will send the pages again. To be called after the write: what is
 * written after the call may not be sent.
 *
 * Context: any.
 */
void vfio_mig_pages_changed(struct vfio_mig_pages *p, u64 off, u64 len)
{
	u64 size = (u64)p->nr << PAGE_SHIFT;
	pgoff_t i;

	if (!len || off >= size)
		return;
	len = min(len, size - off);
	/* Whoever takes the mark away sees the write, see vfio_mig_memory_take(). */
	smp_mb();
	for (i = off >> PAGE_SHIFT; i <= (off + len - 1) >> PAGE_SHIFT; i++)
		vfio_mig_pages_redirty(p, i);
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_changed);

/**
 * vfio_mig_memory_begin - a save begins
 * @p: the paged state
 *
 * Return: 0, or the driver's error.
 */
int vfio_mig_memory_begin(struct vfio_mig_pages *p)
{
	return p->memory && p->memory->track ? p->memory->track(p, true) : 0;
}

/**
 * vfio_mig_memory_end - a save ends
 * @p: the paged state
 */
void vfio_mig_memory_end(struct vfio_mig_pages *p)
{
	if (p->memory && p->memory->track)
		p->memory->track(p, false);
}

/**
 * vfio_mig_memory_sync - have the device say which pages it knows to have changed
 * @mig: the device; session mutex held. It may have no such memory, or no save goes on.
 *
 * Return: 0 or an error, for the user.
 */
int vfio_mig_memory_sync(struct vfio_mig *mig)
{
	struct vfio_mig_pages *p = mig->desc.pages;
	int ret;

	if (!mig->save || !p || !p->memory || !p->memory->dirty)
		return 0;
	ret = p->memory->dirty(p);
	return ret ? vfio_mig_memory_error(mig, "asking what changed", ret) : 0;
}

/**
 * vfio_mig_memory_error - report that the driver cannot reach its memory
 * @mig: the device; session mutex held
 * @what: what failed
 * @err: what a callback returned, not 0
 *
 * Return: an error for the user.
 */
int vfio_mig_memory_error(struct vfio_mig *mig, const char *what, int err)
{
	err = vfio_mig_image_error(err);
	if (err != -EINTR && __ratelimit(&mig->log))
		dev_err(mig->vdev->dev, "the device's memory: %s failed (%d)\n", what, err);
	return err;
}

static int begin(struct vfio_mig_pages *p)
{
	return p->memory->begin ? p->memory->begin(p) : 0;
}

static void end(struct vfio_mig_pages *p)
{
	if (p->memory->end)
		p->memory->end(p);
}

/**
 * vfio_mig_memory_read - copy from the driver's memory
 * @p: the paged state
 * @off: where
 * @to: where to
 * @len: bytes, all within a page
 *
 * Return: 0 or the driver's error.
 */
int vfio_mig_memory_read(struct vfio_mig_pages *p, u64 off, void *to, size_t len)
{
	int ret = begin(p);

	if (ret)
		return ret;
	ret = p->memory->read(p, off, to, len);
	end(p);
	return ret;
}

/**
 * vfio_mig_memory_write - copy to the driver's memory, which changes
 * @p: the paged state
 * @off: where
 * @from: where from
 * @len: bytes, all within a page
 *
 * Return: 0 or the driver's error.
 */
int vfio_mig_memory_write(struct vfio_mig_pages *p, u64 off, const void *from, size_t len)
{
	int ret = begin(p);

	if (ret)
		return ret;
	ret = p->memory->write(p, off, from, len);
	end(p);
	vfio_mig_pages_changed(p, off, len);
	return ret;
}

/* Changed pages from @first on that share a lock with it, @max at most. */
static u32 count_near(struct vfio_mig_pages *p, pgoff_t first, u32 max)
{
	pgoff_t end = min(p->nr, round_down(first, BLOCK) + BLOCK), i = first;
	u32 n = 0;

	while (i < end && n < max) {
		n++;
		i = vfio_mig_pages_next_dirty(p, i + 1);
	}
	return n;
}

/* Returns how many were copied; *@err says why not all. */
static u32 copy_pages(struct vfio_mig_pages *p, struct page **pages, const pgoff_t *index,
		      u32 n, int *err)
{
	u32 i = 0;

	*err = begin(p);
	if (*err)
		return 0;
	for (; i < n && !*err; i++)
		*err = p->memory->read(p, (u64)index[i] << PAGE_SHIFT,
				       page_address(pages[i]), PAGE_SIZE);
	end(p);
	return *err ? i - 1 : i;
}

static u32 alloc_copies(struct vfio_mig_pages *p, struct page **pages, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++) {
		pages[i] = vfio_mig_spare_alloc(p);
		if (!pages[i])
			break;
	}
	return i;
}

/**
 * vfio_mig_memory_take - copy changed pages of the driver's memory, to be sent
 * @p: the paged state, tracked
 * @first: the first of them, a changed page
 * @max: the most to take, not 0
 * @pages: where to put the copies, which are the caller's
 * @index: where to put their page numbers
 *
 * As vfio_mig_pages_take(). No lock but the session mutex is held during the copy.
 *
 * Context: may sleep.
 * Return: how many were taken; -ENOMEM or what the driver's read said, and none was.
 */
int vfio_mig_memory_take(struct vfio_mig_pages *p, pgoff_t first, u32 max,
			 struct page **pages, pgoff_t *index)
{
	u32 nr, n, i, done;
	int ret;

	nr = alloc_copies(p, pages, count_near(p, first, max));
	if (!nr)
		return -ENOMEM;
	n = vfio_mig_pages_take(p, first, nr, NULL, index);
	/* Either a write is seen by the copy, or its page is marked again. */
	smp_mb();
	done = copy_pages(p, pages, index, n, &ret);
	for (i = done; i < n; i++)
		vfio_mig_pages_redirty(p, index[i]);
	for (i = done; i < nr; i++)
		put_page(pages[i]);
	return done ? done : ret;
}

/* Writes pages from @first on that share a lock. */
static int load_block(struct vfio_mig_pages *p, struct xarray *xa, pgoff_t first)
{
	pgoff_t i, last = min(p->nr, first + BLOCK);
	struct page *page;
	int ret = begin(p);

	if (ret)
		return ret;
	for (i = first; i < last && !ret; i++) {
		page = xa_load(xa, i);
		ret = p->memory->write(p, (u64)i << PAGE_SHIFT,
				       page_address(page ? page : ZERO_PAGE(0)), PAGE_SIZE);
	}
	end(p);
	return ret;
}

/**
 * vfio_mig_memory_load - write what a load has staged to the driver's memory
 * @mig: the device; session mutex held
 * @xa: the staged pages. A page that is not there is one of zeros.
 *
 * Context: may sleep. Goes on when the caller is being killed, because half a state is
 * none, and stops when the device is to be reset or closed.
 * Return: 0, or an error for the user. Then a part of the memory was written.
 */
int vfio_mig_memory_load(struct vfio_mig *mig, struct xarray *xa)
{
	struct vfio_mig_pages *p = mig->desc.pages;
	pgoff_t i;
	int ret;

	for (i = 0; i < p->nr; i += BLOCK) {
		ret = vfio_mig_cancelled(mig) ? -ECANCELED : load_block(p, xa, i);
		if (ret)
			return vfio_mig_memory_error(mig, "loading it", ret);
		cond_resched();
	}
	return 0;
}
