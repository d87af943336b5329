// SPDX-License-Identifier: GPL-2.0-only
/*
 * A paged state in the driver's own memory
 *
 * The memory is a BAR, a carve-out, or system memory whose address must not change. The
 * driver accesses it by the callbacks of struct vfio_mig_memory_ops.
 *
 * A chunk cannot share a page of this memory, so the save side copies the page for the
 * chunk. The page can change while the chunk waits for its reader, and the chunk's checksum
 * stays right. The save side marks a page as sent before it copies the page. A writer marks
 * the page as changed after the write. So if a write and a copy overlap, the page is sent
 * again. mapping.c finds the stores of users to their mappings.
 *
 * A load stages pages as it does for the library's own memory. When the load takes effect, it
 * writes the staged pages to the driver's memory. This can fail in the middle. Then the device
 * has no valid state, and enters the error state.
 *
 * Saves and loads call these functions with the session mutex held. read(2) and write(2) of
 * the memory do not take this mutex.
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
 * vfio_mig_pages_changed - report that the driver's own memory was written
 * @p: the paged state
 * @off: offset of the first byte in the memory
 * @len: number of bytes. Bytes beyond the end of the memory do not count.
 *
 * If a save is in progress, it sends the pages again. The driver calls this function after
 * the write, because bytes that are written after the call may not be sent. Without a save
 * the function does nothing.
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
	/* The thread that clears the mark sees the write; pairs with vfio_mig_memory_take(). */
	smp_mb();
	for (i = off >> PAGE_SHIFT; i <= (off + len - 1) >> PAGE_SHIFT; i++)
		vfio_mig_pages_redirty(p, i);
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_changed);

/**
 * vfio_mig_memory_begin - let the driver record which pages are written
 * @p: the paged state; may be the library's own memory
 *
 * Called when a save begins.
 *
 * Return: 0, or the driver's error.
 */
int vfio_mig_memory_begin(struct vfio_mig_pages *p)
{
	return p->memory && p->memory->track ? p->memory->track(p, true) : 0;
}

/**
 * vfio_mig_memory_end - let the driver stop its record when a save ends
 * @p: the paged state; may be the library's own memory
 */
void vfio_mig_memory_end(struct vfio_mig_pages *p)
{
	if (p->memory && p->memory->track)
		p->memory->track(p, false);
}

/**
 * vfio_mig_memory_sync - let the driver mark the pages that its record has
 * @mig: the device; session mutex held
 *
 * Does nothing without a save, and for a driver without such a record.
 *
 * Return: 0, or an error for the user.
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
 * vfio_mig_memory_error - log that the driver cannot access its memory
 * @mig: the device; session mutex held
 * @what: the operation that failed, for the log
 * @err: return value of a callback, not 0
 *
 * Return: the error for the user.
 */
int vfio_mig_memory_error(struct vfio_mig *mig, const char *what, int err)
{
	err = vfio_mig_image_error(err);
	if (err != -EINTR && __ratelimit(&mig->log))
		dev_err(mig->vdev->dev, "the device's memory: %s failed (%d)\n", what, err);
	return err;
}

/* A positive value, such as a number of bytes that were not copied, is an error, too. */
static int driver_error(int ret)
{
	return ret > 0 ? -EIO : ret;
}

static int begin(struct vfio_mig_pages *p)
{
	return p->memory->begin ? driver_error(p->memory->begin(p)) : 0;
}

static int read(struct vfio_mig_pages *p, u64 off, void *to, size_t len)
{
	return driver_error(p->memory->read(p, off, to, len));
}

static int write(struct vfio_mig_pages *p, u64 off, const void *from, size_t len)
{
	return driver_error(p->memory->write(p, off, from, len));
}

static void end(struct vfio_mig_pages *p)
{
	if (p->memory->end)
		p->memory->end(p);
}

/**
 * vfio_mig_memory_read - copy from the driver's memory
 * @p: the paged state
 * @off: offset in the memory, in bytes
 * @to: kernel buffer
 * @len: number of bytes, all within a page
 *
 * Context: may sleep. The session mutex need not be held.
 * Return: 0 or the driver's error.
 */
int vfio_mig_memory_read(struct vfio_mig_pages *p, u64 off, void *to, size_t len)
{
	int ret = begin(p);

	if (ret)
		return ret;
	ret = read(p, off, to, len);
	end(p);
	return ret;
}

/**
 * vfio_mig_memory_write - copy to the driver's memory, and mark the page as changed
 * @p: the paged state
 * @off: offset in the memory, in bytes
 * @from: kernel buffer
 * @len: number of bytes, all within a page
 *
 * Context: may sleep. The session mutex need not be held.
 * Return: 0 or the driver's error. After an error a part may have been written.
 */
int vfio_mig_memory_write(struct vfio_mig_pages *p, u64 off, const void *from, size_t len)
{
	int ret = begin(p);

	if (ret)
		return ret;
	ret = write(p, off, from, len);
	end(p);
	vfio_mig_pages_changed(p, off, len);
	return ret;
}

/* Counts changed pages from @first on that share its lock, up to @max. */
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

/* Returns the number of copied pages. If it is less than @n, *@err is the driver's error. */
static u32 copy_pages(struct vfio_mig_pages *p, struct page **pages, const pgoff_t *index,
		      u32 n, int *err)
{
	u32 i = 0;

	*err = begin(p);
	if (*err)
		return 0;
	for (; i < n && !*err; i++)
		*err = read(p, (u64)index[i] << PAGE_SHIFT, page_address(pages[i]),
			    PAGE_SIZE);
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
 * vfio_mig_memory_take - copy changed pages of the driver's memory to send them
 * @p: the paged state, tracked
 * @first: number of the first page, which has changed
 * @max: the limit of pages to take, not 0
 * @pages: the copies are stored here, and belong to the caller
 * @index: the page numbers are stored here
 *
 * Does the same as vfio_mig_pages_take() for the driver's own memory. If the driver fails in
 * the middle, the pages that were not copied count as changed again.
 *
 * Context: may sleep. The session mutex is held. The library holds no other lock during the
 * copy, because the driver's begin() may take a lock that page faults need.
 * Return: the number of pages that were taken; or -ENOMEM or the driver's error, and then no
 * page was taken.
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
	/* Either the copy includes a write, or the writer marks the page after the take. */
	smp_mb();
	done = copy_pages(p, pages, index, n, &ret);
	for (i = done; i < n; i++)
		vfio_mig_pages_redirty(p, index[i]);
	for (i = done; i < nr; i++)
		put_page(pages[i]);
	return done ? done : ret;
}

/*
 * Writes the block of pages that begins with @first. The driver's begin() may hold a lock, so
 * it is called once for each block, and other threads get the lock in between.
 */
static int load_block(struct vfio_mig_pages *p, struct xarray *xa, pgoff_t first)
{
	pgoff_t i, last = min(p->nr, first + BLOCK);
	struct page *page;
	int ret = begin(p);

	if (ret)
		return ret;
	for (i = first; i < last && !ret; i++) {
		page = xa_load(xa, i);
		ret = write(p, (u64)i << PAGE_SHIFT,
			    page_address(page ? page : ZERO_PAGE(0)), PAGE_SIZE);
	}
	end(p);
	return ret;
}

/**
 * vfio_mig_memory_load - write the staged pages of a load to the driver's memory
 * @mig: the device; session mutex held
 * @xa: the staged pages. A page that is not in the array is written as zeros.
 *
 * Context: may sleep. Continues if the caller is being killed, because a part of a state is
 * not valid. Ends if a user waits to reset or close the device.
 * Return: 0; or an error for the user, and then a part of the memory was written.
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
