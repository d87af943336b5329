// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA logging: a log of the guest pages that the device wrote
 *
 * This file implements VFIO_DEVICE_FEATURE_DMA_LOGGING_* for devices that do DMA by
 * vfio_mig_dma_rw(). The library offers these features if the running kernel can give a bitmap
 * to the user. Otherwise the VMM has to use the container's tracking, which also records
 * writes of vfio_dma_rw().
 *
 * The log has a bit for each page of guest memory. An XArray has these bits in value entries,
 * BITS_PER_XA_VALUE in each. If there is no memory for an entry, the whole range that the
 * user asked to log counts as written.
 *
 * DMA and reports run at the same time. They hold the log's lock for reading, and change
 * entries by xa_cmpxchg(). A start and a stop hold the lock for writing.
 */
#include <linux/interval_tree.h>
#include <linux/iova_bitmap.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include "dma_log.h"
#include "mig.h"

/**
 * struct vfio_mig_log_range - a range of addresses that the user asked to log
 * @first: first page of the range
 * @last: last page of the range
 * @all: the whole range counts as written, because there was no memory to log a page
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

/* Several threads may run this at the same time, and also a report. */
static void note_page(struct vfio_mig_log *log, u64 page)
{
	struct vfio_mig_log_range *range = find_range(log, page);
	unsigned long index = page / BITS_PER_XA_VALUE;
	unsigned long bit = BIT(page % BITS_PER_XA_VALUE);
	void *old, *cur;

	if (!range)
		return;
	cur = xa_load(log->pages, index);
	do {
		unsigned long bits = cur ? xa_to_value(cur) : 0;

		if (bits & bit)
			return;
		old = cur;
		cur = xa_cmpxchg(log->pages, index, old,
				 xa_mk_value(bits | bit), VFIO_MIG_GFP);
		if (xa_is_err(cur)) {
			WRITE_ONCE(range->all, true);
			return;
		}
	} while (cur != old);
}

static void note_write(struct vfio_mig_log *log, dma_addr_t iova, size_t len)
{
	u64 page = iova >> PAGE_SHIFT, last = (iova + len - 1) >> PAGE_SHIFT;
	struct mem_cgroup *old;

	down_read(&log->lock);
	if (log->on) {
		/* Any thread may write, and the user who started the log is charged. */
		old = set_active_memcg(log->memcg);
		for (; page <= last; page++)
			note_page(log, page);
		set_active_memcg(old);
	}
	up_read(&log->lock);
}

/**
 * vfio_mig_log_write - log that guest memory was written, or may have been written
 * @mig: the device
 * @iova: address in the device's I/O address space
 * @len: number of bytes
 *
 * Does nothing if DMA logging is off.
 *
 * Context: may sleep.
 */
void vfio_mig_log_write(struct vfio_mig *mig, dma_addr_t iova, size_t len)
{
	if (!len)
		return;
	/*
	 * Orders the write before the look at the log. Otherwise the user could start the log,
	 * read the old bytes, and get no report of the write.
	 */
	smp_mb();
	if (READ_ONCE(mig->log_dma.on))
		note_write(&mig->log_dma, iova, len);
}

static void log_free(struct vfio_mig_log *log)
{
	unsigned long index;
	void *bits;

	/* Entry by entry, because xa_destroy() would free all nodes at once, without interrupts. */
	if (log->pages) {
		xa_for_each(log->pages, index, bits) {
			xa_erase(log->pages, index);
			cond_resched();
		}
		xa_destroy(log->pages);
	}
	kfree(log->pages);
	kvfree(log->ranges);
	mem_cgroup_put(log->memcg);
}

static int log_alloc(struct vfio_mig_log *log, struct rb_root_cached *ranges, u32 nr)
{
	struct interval_tree_node *node;

	log->pages = kzalloc(sizeof(*log->pages), GFP_KERNEL_ACCOUNT);
	if (!log->pages)
		return -ENOMEM;
	/* Initialised before anything else can fail, because log_free() destroys it. */
	xa_init_flags(log->pages, XA_FLAGS_ACCOUNT);
	log->ranges = kvcalloc(nr, sizeof(*log->ranges), VFIO_MIG_GFP);
	if (!log->ranges)
		return -ENOMEM;
	log->memcg = get_mem_cgroup_from_mm(current->mm);
	for (node = interval_tree_iter_first(ranges, 0, ULONG_MAX);
	     node && log->nr_ranges < nr;
	     node = interval_tree_iter_next(node, 0, ULONG_MAX))
		log->ranges[log->nr_ranges++] = (struct vfio_mig_log_range) {
			.first = node->start >> PAGE_SHIFT,
			.last = node->last >> PAGE_SHIFT,
		};
	return 0;
}

/* Moves the log to @old, and @new to the log. */
static void log_exchange(struct vfio_mig_log *log, const struct vfio_mig_log *new,
			 struct vfio_mig_log *old)
{
	lockdep_assert_held_write(&log->lock);
	old->pages = log->pages;
	old->ranges = log->ranges;
	old->memcg = log->memcg;
	log->pages = new->pages;
	log->ranges = new->ranges;
	log->nr_ranges = new->nr_ranges;
	log->memcg = new->memcg;
	WRITE_ONCE(log->on, new->on);
}

/* Replaces the log by @new, if the log is on or off as expected. */
static int log_replace(struct vfio_mig_log *log, const struct vfio_mig_log *new,
		       bool was_on)
{
	struct vfio_mig_log old = {};
	int ret = -EINVAL;

	if (down_write_killable(&log->lock))
		return -EINTR;
	if (log->on == was_on) {
		log_exchange(log, new, &old);
		ret = 0;
	}
	up_write(&log->lock);
	/* Freed without the lock, because it takes long and DMA must not wait for it. */
	log_free(&old);
	return ret;
}

static int log_start(struct vfio_device *vdev, struct rb_root_cached *ranges,
		     u32 nr, u64 *page_size)
{
	struct vfio_mig_log new = { .on = true };
	int ret;

	ret = log_alloc(&new, ranges, nr);
	if (!ret)
		ret = log_replace(&vfio_mig_of(vdev)->log_dma, &new, false);
	if (ret) {
		log_free(&new);
		return ret;
	}
	*page_size = PAGE_SIZE;
	return 0;
}

static int log_stop(struct vfio_device *vdev)
{
	struct vfio_mig_log none = {};

	return log_replace(&vfio_mig_of(vdev)->log_dma, &none, true);
}

/* Takes the requested part of a range if the whole range counts as written. */
static bool take_range(struct vfio_mig_log *log, u32 i, u64 *first, u64 *last)
{
	struct vfio_mig_log_range *r = &log->ranges[i];

	*first = max(*first, r->first);
	*last = min(*last, r->last);
	if (!READ_ONCE(r->all) || *first > *last)
		return false;
	if (*first == r->first && *last == r->last)
		WRITE_ONCE(r->all, false);
	return true;
}

/* Takes the bits of @mask from an entry, which keeps its other bits. */
static unsigned long take_bits(struct vfio_mig_log *log, unsigned long index,
			       unsigned long mask)
{
	void *old, *cur = xa_load(log->pages, index);
	unsigned long bits;

	do {
		if (!cur)
			return 0;
		old = cur;
		bits = xa_to_value(old);
		cur = xa_cmpxchg(log->pages, index, old, bits & ~mask ?
				 xa_mk_value(bits & ~mask) : NULL, GFP_KERNEL);
	} while (cur != old);
	return bits & mask;
}

/* Takes the first entry with bits from *@index on. Returns false if there is none. */
static bool take_entry(struct vfio_mig_log *log, unsigned long *index, u64 first,
		       u64 last, unsigned long *bits)
{
	unsigned long mask = GENMASK(BITS_PER_XA_VALUE - 1, 0);
	u64 base;

	if (!xa_find(log->pages, index, last / BITS_PER_XA_VALUE, XA_PRESENT))
		return false;
	base = (u64)*index * BITS_PER_XA_VALUE;
	if (base < first)
		mask &= ~0UL << (first - base);
	if (last - base < BITS_PER_XA_VALUE - 1)
		mask &= GENMASK(last - base, 0);
	*bits = take_bits(log, *index, mask);
	return true;
}

/* Context: no lock is held, because setting a bit may wait for user memory. */
static void report_entry(struct iova_bitmap *dirty, unsigned long index,
			 unsigned long bits)
{
	u64 base = (u64)index * BITS_PER_XA_VALUE;
	unsigned int i;

	for_each_set_bit(i, &bits, BITS_PER_XA_VALUE)
		iova_bitmap_set(dirty, (base + i) << PAGE_SHIFT, PAGE_SIZE);
}

static int report_ranges(struct vfio_mig_log *log, u64 first, u64 last,
			 struct iova_bitmap *dirty)
{
	u64 from, to;
	bool taken;
	u32 i, nr;

	for (i = 0;; i++) {
		from = first;
		to = last;
		if (down_read_killable(&log->lock))
			return -EINTR;
		nr = log->nr_ranges;
		taken = i < nr && take_range(log, i, &from, &to);
		up_read(&log->lock);
		if (i >= nr)
			return 0;
		if (taken)
			iova_bitmap_set(dirty, from << PAGE_SHIFT,
					(to - from + 1) << PAGE_SHIFT);
	}
}

static int log_read_and_clear(struct vfio_device *vdev, unsigned long iova,
			      unsigned long length, struct iova_bitmap *dirty)
{
	struct vfio_mig_log *log = &vfio_mig_of(vdev)->log_dma;
	u64 first = iova >> PAGE_SHIFT, last = (iova + length - 1) >> PAGE_SHIFT;
	unsigned long index = first / BITS_PER_XA_VALUE, bits;
	bool on, found;
	int ret;

	/*
	 * The bitmap has no bit for a page that begins before @iova. VFIO checks neither
	 * @iova nor @length, and before Linux 6.8 iova_bitmap_set() does not check its range.
	 */
	if (!length || offset_in_page(iova))
		return -EINVAL;
	ret = report_ranges(log, first, last, dirty);
	if (ret)
		return ret;
	do {
		if (down_read_killable(&log->lock))
			return -EINTR;
		on = log->on;
		found = on && take_entry(log, &index, first, last, &bits);
		up_read(&log->lock);
		if (!on)
			return -EINVAL;
		if (found)
			report_entry(dirty, index++, bits);
		cond_resched();
	} while (found);
	return 0;
}

static const struct vfio_log_ops log_ops = {
	.log_start = log_start,
	.log_stop = log_stop,
	.log_read_and_clear = log_read_and_clear,
};

/**
 * vfio_mig_log_init - set up DMA logging, and offer it if the kernel supports it
 * @mig: the device; not registered yet
 */
void vfio_mig_log_init(struct vfio_mig *mig)
{
	init_rwsem(&mig->log_dma.lock);
	/* The VFIO core calls these operations even if the device has no v2. */
	if (VFIO_MIG_HAS_IOVA_BITMAP && mig->desc.dma_logging && mig->vdev->mig_ops)
		mig->vdev->log_ops = &log_ops;
}

/**
 * vfio_mig_log_end - end DMA logging when the device is closed
 * @mig: the device. DMA logging may be off. A device that did not stop may still do DMA.
 *
 * Context: may sleep.
 */
void vfio_mig_log_end(struct vfio_mig *mig)
{
	struct vfio_mig_log *log = &mig->log_dma, none = {}, old = {};

	/* Nobody holds the lock for long, because no user memory is accessed with it held. */
	down_write(&log->lock);
	log_exchange(log, &none, &old);
	up_write(&log->lock);
	log_free(&old);
}
