// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA logging: which pages of guest memory the device wrote
 *
 * The front end of VFIO_DEVICE_FEATURE_DMA_LOGGING_*, for devices that do DMA by
 * vfio_mig_dma_rw(). Exact to the page. It is offered where the running kernel can
 * hand a bitmap to the user; elsewhere the container's tracking has to serve, which
 * notes what vfio_dma_rw() writes as well.
 */
#include <linux/interval_tree.h>
#include <linux/iova_bitmap.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include "log.h"
#include "mig.h"

/**
 * struct vfio_mig_log_range - a range of addresses that is logged
 * @first: its first page
 * @last: its last page
 * @all: all of it counts as written: there was no memory to note what was
 */
struct vfio_mig_log_range {
	u64 first;
	u64 last;
	bool all;
};

static struct vfio_mig_log_range *find_range(struct vfio_mig_log *log, u64 page)
{
	u32 i;

	for (i = 0; i < log->nr_ranges; i++) {
		if (page >= log->ranges[i].first && page <= log->ranges[i].last)
			return &log->ranges[i];
	}
	return NULL;
}

/* Any number of these can go on at once, and a report as well. */
static void note_page(struct vfio_mig_log *log, u64 page)
{
	struct vfio_mig_log_range *range = find_range(log, page);
	unsigned long index = page / BITS_PER_XA_VALUE;
	unsigned long bit = BIT(page % BITS_PER_XA_VALUE);
	void *old, *cur;

	if (!range)
		return;
	cur = xa_load(&log->pages, index);
	do {
		unsigned long bits = cur ? xa_to_value(cur) : 0;

		if (bits & bit)
			return;
		old = cur;
		cur = xa_cmpxchg(&log->pages, index, old,
				 xa_mk_value(bits | bit), GFP_KERNEL_ACCOUNT);
		if (xa_is_err(cur)) {
			WRITE_ONCE(range->all, true);
			return;
		}
	} while (cur != old);
}

static void note_write(struct vfio_mig_log *log, dma_addr_t iova, size_t len)
{
	u64 page = iova >> PAGE_SHIFT, last = (iova + len - 1) >> PAGE_SHIFT;

	down_read(&log->lock);
	if (log->on) {
		for (; page <= last; page++)
			note_page(log, page);
	}
	up_read(&log->lock);
}

/**
 * vfio_mig_dma_rw - read or write guest memory, and note what is written
 * @mig: the device
 * @iova: address in the device's I/O address space
 * @data: kernel buffer
 * @len: bytes
 * @write: write guest memory; else read it
 *
 * vfio_dma_rw() for devices that offer DMA logging.
 *
 * Context: may sleep; the device is open, or being closed.
 * Return: what vfio_dma_rw() returns, or -EFAULT for a process that ends, which has
 * no memory left. A write that fails can have written a part; all of it is noted.
 */
int vfio_mig_dma_rw(struct vfio_mig *mig, dma_addr_t iova, void *data,
		    size_t len, bool write)
{
	int ret;

	/* VFIO would take a process that has given up its memory for a kernel thread. */
	if (!current->mm && !(current->flags & PF_KTHREAD))
		return -EFAULT;

	ret = vfio_dma_rw(mig->vdev, iova, data, len, write);

	/* After the write: a report that comes between is followed by another. */
	if (write && len && READ_ONCE(mig->log_dma.on))
		note_write(&mig->log_dma, iova, len);
	return ret;
}
EXPORT_SYMBOL_GPL(vfio_mig_dma_rw);

static int log_start(struct vfio_device *vdev, struct rb_root_cached *ranges,
		     u32 nr, u64 *page_size)
{
	struct vfio_mig_log *log = &vfio_mig_of(vdev)->log_dma;
	struct interval_tree_node *node;
	struct vfio_mig_log_range *r;
	int ret = 0;

	r = kvcalloc(nr, sizeof(*r), GFP_KERNEL_ACCOUNT);
	if (!r)
		return -ENOMEM;
	down_write(&log->lock);
	if (log->on) {
		kvfree(r);
		ret = -EINVAL;
		goto out;
	}
	log->ranges = r;
	log->nr_ranges = 0;
	for (node = interval_tree_iter_first(ranges, 0, ULONG_MAX);
	     node && log->nr_ranges < nr;
	     node = interval_tree_iter_next(node, 0, ULONG_MAX))
		r[log->nr_ranges++] = (struct vfio_mig_log_range) {
			.first = node->start >> PAGE_SHIFT,
			.last = node->last >> PAGE_SHIFT,
		};
	*page_size = PAGE_SIZE;
	WRITE_ONCE(log->on, true);
out:
	up_write(&log->lock);
	return ret;
}

static void stop_locked(struct vfio_mig_log *log)
{
	WRITE_ONCE(log->on, false);
	xa_destroy(&log->pages);
	kvfree(log->ranges);
	log->ranges = NULL;
	log->nr_ranges = 0;
}

static int log_stop(struct vfio_device *vdev)
{
	struct vfio_mig_log *log = &vfio_mig_of(vdev)->log_dma;
	int ret = 0;

	down_write(&log->lock);
	if (log->on)
		stop_locked(log);
	else
		ret = -EINVAL;
	up_write(&log->lock);
	return ret;
}

/* Reports ranges that count as written as a whole, as far as they are asked for. */
static void report_ranges(struct vfio_mig_log *log, u64 first, u64 last,
			  struct iova_bitmap *dirty)
{
	u32 i;

	for (i = 0; i < log->nr_ranges; i++) {
		struct vfio_mig_log_range *r = &log->ranges[i];
		u64 from = max(first, r->first), to = min(last, r->last);

		if (!READ_ONCE(r->all) || from > to)
			continue;
		if (from == r->first && to == r->last)
			WRITE_ONCE(r->all, false);
		iova_bitmap_set(dirty, from << PAGE_SHIFT,
				(to - from + 1) << PAGE_SHIFT);
	}
}

/* An entry that is only partly asked for keeps the rest. */
static unsigned long take_bits(struct vfio_mig_log *log, unsigned long index,
			       unsigned long mask)
{
	void *old, *cur = xa_load(&log->pages, index);
	unsigned long bits;

	do {
		if (!cur)
			return 0;
		old = cur;
		bits = xa_to_value(old);
		cur = xa_cmpxchg(&log->pages, index, old, bits & ~mask ?
				 xa_mk_value(bits & ~mask) : NULL, GFP_KERNEL);
	} while (cur != old);
	return bits & mask;
}

static int log_read_and_clear(struct vfio_device *vdev, unsigned long iova,
			      unsigned long length, struct iova_bitmap *dirty)
{
	struct vfio_mig_log *log = &vfio_mig_of(vdev)->log_dma;
	u64 first = iova >> PAGE_SHIFT, last = (iova + length - 1) >> PAGE_SHIFT;
	unsigned long index;
	int ret = 0;
	void *entry;

	down_read(&log->lock);
	if (!log->on) {
		ret = -EINVAL;
		goto out;
	}
	report_ranges(log, first, last, dirty);
	xa_for_each_range(&log->pages, index, entry, first / BITS_PER_XA_VALUE,
			  last / BITS_PER_XA_VALUE) {
		u64 base = (u64)index * BITS_PER_XA_VALUE;
		unsigned long mask = GENMASK(BITS_PER_XA_VALUE - 1, 0), bits;
		unsigned int i;

		if (base < first)
			mask &= ~0UL << (first - base);
		if (last - base < BITS_PER_XA_VALUE - 1)
			mask &= GENMASK(last - base, 0);
		bits = take_bits(log, index, mask);
		for_each_set_bit(i, &bits, BITS_PER_XA_VALUE)
			iova_bitmap_set(dirty, (base + i) << PAGE_SHIFT,
					PAGE_SIZE);
		cond_resched();
	}
out:
	up_read(&log->lock);
	return ret;
}

static const struct vfio_log_ops log_ops = {
	.log_start = log_start,
	.log_stop = log_stop,
	.log_read_and_clear = log_read_and_clear,
};

/**
 * vfio_mig_log_init - set up DMA logging, and offer it where that is of use
 * @mig: the device; not registered yet
 */
void vfio_mig_log_init(struct vfio_mig *mig)
{
	init_rwsem(&mig->log_dma.lock);
	xa_init_flags(&mig->log_dma.pages, XA_FLAGS_ACCOUNT);
	if (VFIO_MIG_HAS_IOVA_BITMAP && mig->desc.dma_logging)
		mig->vdev->log_ops = &log_ops;
}

/**
 * vfio_mig_log_end - the device is closed: logging ends
 * @mig: the device
 */
void vfio_mig_log_end(struct vfio_mig *mig)
{
	down_write(&mig->log_dma.lock);
	stop_locked(&mig->log_dma);
	up_write(&mig->log_dma.lock);
}
