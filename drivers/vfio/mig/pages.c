// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paged state: a sparse array of pages that knows which of them changed
 *
 * A vendor driver calls _begin() and _end() around each access to a page.
 *
 * The array holds one reference to each of its pages. The save side takes
 * another reference while a chunk has the page. During this time the page never
 * changes, because a writer replaces the page in the array by a copy, see
 * page_is_taken(). This has three consequences.
 *
 * - A checksum matches the data that is sent after it.
 * - The device never waits for a reader, however slow the reader is.
 * - A reader that outlives its session, or the device, needs only its references.
 *   It sees the page as it was taken, and no later user's data.
 *
 * The save side takes its reference with the page's lock held for writing. The
 * front end drops this reference at any time.
 *
 * The pages of a block share a lock. A page access holds the lock for reading. Code that
 * stores another page in the array, removes a page, or takes a page to send it holds the lock
 * for writing.
 *
 * During a save, the dirty set has a bit for each page that changed since it was last sent.
 * The end of a page access sets the bit. Threads find the dirty set by RCU, so the end of a
 * save does not wait for them.
 *
 * If the paged state is the driver's own memory, the array stays empty, and memory.c accesses
 * the pages. The page locks and the dirty set are the same.
 */
#include <linux/bitmap.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "mapping.h"
#include "pages.h"

/**
 * struct vfio_mig_dirty - pages that changed since they were last sent
 * @rcu: a writer may still hold the set when the save has ended
 * @count: number of bits that are set; may be wrong for a moment
 * @bits: one bit for each page
 */
struct vfio_mig_dirty {
	struct rcu_head rcu;
	atomic_long_t count;
	unsigned long bits[];
};

/* A walk over all pages calls cond_resched() after so many pages. */
#define WALK_PAUSE	1024

static void budget_uncharge(struct vfio_mig_budget *budget)
{
	if (budget)
		atomic_long_dec(&budget->used);
}

static bool budget_charge(struct vfio_mig_budget *budget, bool force)
{
	if (!budget)
		return true;
	if (atomic_long_inc_return(&budget->used) <= budget->limit || force)
		return true;
	budget_uncharge(budget);
	return false;
}

static struct page *alloc_charged(struct vfio_mig_pages *p, gfp_t gfp, bool force)
{
	struct mem_cgroup *old;
	struct page *page;

	if (!budget_charge(p->budget, force))
		return ERR_PTR(-ENOSPC);

	/* A kernel thread may call this, and the device's user is charged in any case. */
	old = set_active_memcg(p->memcg);
	page = alloc_page(VFIO_MIG_GFP | gfp);
	set_active_memcg(old);
	if (!page) {
		budget_uncharge(p->budget);
		return ERR_PTR(-ENOMEM);
	}
	return page;
}

/**
 * vfio_mig_pages_alloc - allocate a page that is charged to the paged state
 * @p: the paged state whose budget and memory control group are charged
 * @gfp: flags in addition to VFIO_MIG_GFP, such as __GFP_ZERO
 * @force: may exceed the budget, because the page soon replaces another page
 *
 * Context: may sleep. If there is no memory, waits for pages that are being freed.
 * Return: the page, ERR_PTR(-ENOSPC) if the budget is used up, or ERR_PTR(-ENOMEM).
 */
struct page *vfio_mig_pages_alloc(struct vfio_mig_pages *p, gfp_t gfp,
				  bool force)
{
	struct page *page = alloc_charged(p, gfp, force);

	if (!IS_ERR(page))
		return page;
	/* A work item may still have to free the pages that a load replaced. */
	flush_workqueue(vfio_mig_wq);
	return alloc_charged(p, gfp, force);
}

/**
 * vfio_mig_pages_free - free a page from vfio_mig_pages_alloc()
 * @p: the paged state
 * @page: the page, which is in no array any more
 *
 * If a chunk has a reference to the page, the page stays charged to the memory control
 * group. The budget is uncharged in any case.
 */
void vfio_mig_pages_free(struct vfio_mig_pages *p, struct page *page)
{
	set_page_private(page, 0);
	put_page(page);
	budget_uncharge(p->budget);
}

/**
 * vfio_mig_pages_store - store a page in an array of pages
 * @p: the paged state whose memory control group is charged for the array's nodes
 * @xa: the array
 * @index: index in the array
 * @old: the expected entry
 * @new: the page
 *
 * Return: the previous entry, which is @old if @new was stored, or an xa_err() entry.
 */
struct page *vfio_mig_pages_store(struct vfio_mig_pages *p, struct xarray *xa,
				  pgoff_t index, struct page *old,
				  struct page *new)
{
	struct mem_cgroup *memcg = set_active_memcg(p->memcg);
	struct page *cur;

	cur = xa_cmpxchg(xa, index, old, new, VFIO_MIG_GFP);
	set_active_memcg(memcg);
	return cur;
}

/**
 * vfio_mig_pages_new_array - allocate an empty array for a paged state or a load
 *
 * Return: the array or NULL. vfio_mig_pages_free_array() frees the array.
 */
struct xarray *vfio_mig_pages_new_array(void)
{
	struct xarray *xa = kzalloc(sizeof(*xa), GFP_KERNEL_ACCOUNT);

	if (xa)
		xa_init_flags(xa, XA_FLAGS_ACCOUNT);
	return xa;
}

/* Calls cond_resched() now and then during xas_for_each() in an RCU read-side section. */
static void walk_pause(struct xa_state *xas, unsigned long *walked)
{
	if (++*walked % WALK_PAUSE)
		return;
	xas_pause(xas);
	rcu_read_unlock();
	cond_resched();
	rcu_read_lock();
}

/**
 * vfio_mig_pages_free_array - free an array with all its pages
 * @p: the paged state that the pages are charged to
 * @xa: the array or NULL; no other thread uses the array
 *
 * Erases each entry, because xa_destroy() would free the nodes of a large array at one time and
 * without interrupts.
 *
 * Context: may sleep.
 */
void vfio_mig_pages_free_array(struct vfio_mig_pages *p, struct xarray *xa)
{
	unsigned long walked = 0;
	XA_STATE(xas, xa, 0);
	struct page *page;

	if (!xa)
		return;
	xas_lock(&xas);
	xas_for_each(&xas, page, ULONG_MAX) {
		vfio_mig_pages_free(p, page);
		xas_store(&xas, NULL);
		if (++walked % WALK_PAUSE)
			continue;
		/* xas_pause() of 6.1 skips entries if the last one's node is gone. */
		xas_set(&xas, xas.xa_index + 1);
		xas_unlock(&xas);
		cond_resched();
		xas_lock(&xas);
	}
	xas_unlock(&xas);
	xa_destroy(xa);
	kfree(xa);
}

/**
 * struct old_array - an array that a load has replaced
 * @work: work item that frees the array
 * @p: the paged state that its pages are charged to
 * @xa: the array
 */
struct old_array {
	struct work_struct work;
	struct vfio_mig_pages *p;
	struct xarray *xa;
};

static void free_old_array(struct work_struct *work)
{
	struct old_array *old = container_of(work, struct old_array, work);

	vfio_mig_pages_free_array(old->p, old->xa);
	kfree(old);
}

/**
 * vfio_mig_pages_free_array_later - free an array without delaying the caller
 * @p: the paged state that the pages are charged to
 * @xa: the array, which no other thread uses
 *
 * The guest is stopped while a load takes effect, and freeing 1 GiB takes too long for
 * that. So a work item frees the array, if there is memory for the work item.
 */
void vfio_mig_pages_free_array_later(struct vfio_mig_pages *p, struct xarray *xa)
{
	struct old_array *old = NULL;

	if (!xa_empty(xa))
		old = kmalloc(sizeof(*old), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!old) {
		vfio_mig_pages_free_array(p, xa);
		return;
	}
	INIT_WORK(&old->work, free_old_array);
	old->p = p;
	old->xa = xa;
	queue_work(vfio_mig_wq, &old->work);
}

int __vfio_mig_pages_init(struct vfio_mig_pages *p, pgoff_t nr,
			  struct vfio_mig_budget *budget,
			  struct lock_class_key *key)
{
	int i;

	/* A page of the stream has the size of a page of the kernel. */
	BUILD_BUG_ON(PAGE_SIZE != VFIO_MIG_STREAM_PAGE_SIZE);

	p->xa = vfio_mig_pages_new_array();
	if (!p->xa)
		return -ENOMEM;
	p->nr = nr;
	p->budget = budget;
	p->memory = NULL;
	p->bar = NULL;
	p->memcg = NULL;
	p->wait = NULL;
	atomic_long_set(&p->resident, 0);
	RCU_INIT_POINTER(p->dirty, NULL);
	p->mapping = NULL;
	for (i = 0; i < VFIO_MIG_PAGES_LOCKS; i++)
		__init_rwsem(&p->locks[i], "vfio_mig_pages", key);
	return 0;
}
EXPORT_SYMBOL_GPL(__vfio_mig_pages_init);

/**
 * vfio_mig_pages_destroy - free a paged state's memory
 * @p: the paged state; the device is closed, and vfio_mig_destroy() was called
 *
 * Context: may sleep.
 */
void vfio_mig_pages_destroy(struct vfio_mig_pages *p)
{
	if (!p->xa)
		return;
	flush_workqueue(vfio_mig_wq);
	vfio_mig_pages_untrack(p);
	vfio_mig_mapping_close(p);
	vfio_mig_pages_free_array(p, p->xa);
	p->xa = NULL;
	kfree(p->bar);
	p->bar = NULL;
	vfio_mig_pages_set_payer(p, NULL);
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_destroy);

/**
 * vfio_mig_pages_set_payer - choose the memory control group that is charged
 * @p: the paged state; no other thread allocates pages meanwhile
 * @mm: address space of the device's user, or NULL to charge no control group
 */
void vfio_mig_pages_set_payer(struct vfio_mig_pages *p, struct mm_struct *mm)
{
	struct mem_cgroup *old = p->memcg;

	p->memcg = mm ? get_mem_cgroup_from_mm(mm) : NULL;
	mem_cgroup_put(old);
}

/**
 * vfio_mig_pages_resident - count the pages that have memory
 * @p: the paged state
 *
 * Context: any.
 * Return: the number of pages, which may change at any time.
 */
unsigned long vfio_mig_pages_resident(struct vfio_mig_pages *p)
{
	return atomic_long_read(&p->resident);
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_resident);

/**
 * vfio_mig_pages_next - find a page that has memory
 * @p: the paged state
 * @index: first page to look at
 *
 * A driver skips pages that read as zeros with this function.
 *
 * Context: any; no load takes effect meanwhile.
 * Return: the number of the next page that has memory, or &vfio_mig_pages.nr if there is
 * none. Both may change at any time.
 */
pgoff_t vfio_mig_pages_next(struct vfio_mig_pages *p, pgoff_t index)
{
	unsigned long next = index;

	return xa_find(p->xa, &next, p->nr - 1, XA_PRESENT) ? next : p->nr;
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_next);

/*
 * Allocates a page if there is none, and a copy if a chunk has the page. The caller holds
 * the page's lock for writing, so no page access uses the old page, and no mapping gets an
 * entry for it until the new page is in the array.
 */
static struct page *page_install(struct vfio_mig_pages *p, pgoff_t index)
{
	struct page *old = xa_load(p->xa, index), *new, *cur;

	if (WARN_ON_ONCE(p->memory))
		return ERR_PTR(-EINVAL);
	if (old && !page_is_taken(old))
		return old;
	new = vfio_mig_pages_alloc(p, old ? 0 : __GFP_ZERO, old);
	if (IS_ERR(new))
		return new;
	/*
	 * Unmapped before the copy, because a store after the copy would be lost. The page may be
	 * mapped if the chunk has put its reference, and KVM has one.
	 */
	vfio_mig_mapping_unmap(p, index, 1);
	if (old)
		copy_page(page_address(new), page_address(old));

	cur = vfio_mig_pages_store(p, p->xa, index, old, new);
	if (xa_is_err(cur)) {
		vfio_mig_pages_free(p, new);
		return ERR_PTR(xa_err(cur));
	}
	/* Either the walk that starts a save sees the page, or the writer marks it. */
	smp_mb();
	if (old)
		vfio_mig_pages_free(p, old);
	else
		atomic_long_inc(&p->resident);
	return new;
}

/**
 * vfio_mig_page_read_begin - begin a read access to a page of the paged state
 * @p: the paged state
 * @index: page number, below &vfio_mig_pages.nr
 *
 * The page stays until vfio_mig_page_read_end(), because a discard waits for the access.
 * A caller has one page access at a time.
 *
 * Context: may sleep. Takes a lock that a discard and the save side wait for, so the
 * access should be short. It may include DMA.
 * Return: the page, or NULL if the page reads as zeros. vfio_mig_page_read_end() has to
 * be called in both cases.
 */
struct page *vfio_mig_page_read_begin(struct vfio_mig_pages *p, pgoff_t index)
{
	down_read(page_lock(p, index));
	return xa_load(p->xa, index);
}
EXPORT_SYMBOL_GPL(vfio_mig_page_read_begin);

/**
 * vfio_mig_page_read_end - end a read access
 * @p: the paged state
 * @index: the same page number
 */
void vfio_mig_page_read_end(struct vfio_mig_pages *p, pgoff_t index)
{
	up_read(page_lock(p, index));
}
EXPORT_SYMBOL_GPL(vfio_mig_page_read_end);

/**
 * vfio_mig_page_write_begin - begin a write access to a page of the paged state
 * @p: the paged state
 * @index: page number, below &vfio_mig_pages.nr
 *
 * Allocates the page if it has no memory. Several writers may access the same page. A
 * caller has one page access at a time.
 *
 * Context: may sleep, as for vfio_mig_page_read_begin().
 * Return: the page, ERR_PTR(-ENOSPC) if the budget is used up, or ERR_PTR(-ENOMEM). After
 * an error there is no access to end.
 */
struct page *vfio_mig_page_write_begin(struct vfio_mig_pages *p, pgoff_t index)
{
	struct page *page;

	down_read(page_lock(p, index));
	page = xa_load(p->xa, index);
	if (likely(page && !page_is_taken(page)))
		return page;
	up_read(page_lock(p, index));

	down_write(page_lock(p, index));
	page = page_install(p, index);
	if (IS_ERR(page))
		up_write(page_lock(p, index));
	else
		downgrade_write(page_lock(p, index));
	return page;
}
EXPORT_SYMBOL_GPL(vfio_mig_page_write_begin);

static void page_mark(struct vfio_mig_pages *p, pgoff_t index)
{
	struct vfio_mig_dirty *dirty;
	wait_queue_head_t *wait;

	rcu_read_lock();
	dirty = rcu_dereference(p->dirty);
	if (dirty && !test_bit(index, dirty->bits) &&
	    !test_and_set_bit(index, dirty->bits) &&
	    atomic_long_inc_return(&dirty->count) == 1) {
		/* A member of the data file's structure, which an RCU grace period keeps. */
		wait = READ_ONCE(p->wait);
		if (wait)
			wake_up_interruptible(wait);
	}
	rcu_read_unlock();
}

/**
 * vfio_mig_page_write_end - end a write access
 * @p: the paged state
 * @index: the same page number
 *
 * A save that is in progress sends the page again.
 *
 * Context: the thread that began the access.
 */
void vfio_mig_page_write_end(struct vfio_mig_pages *p, pgoff_t index)
{
	page_mark(p, index);
	up_read(page_lock(p, index));
}
EXPORT_SYMBOL_GPL(vfio_mig_page_write_end);

/**
 * vfio_mig_page_write - write to a page of the paged state atomically
 * @p: the paged state
 * @index: page number, below &vfio_mig_pages.nr
 * @off: offset in the page
 * @data: the new bytes
 * @len: number of bytes, all within the page
 *
 * A read access sees all of the new bytes or none. This needs that all writers of these
 * bytes call this function or vfio_mig_page_exchange().
 *
 * Context: may sleep. No page access is open.
 * Return: 0, -ENOSPC if the budget is used up, or -ENOMEM.
 */
int vfio_mig_page_write(struct vfio_mig_pages *p, pgoff_t index, u32 off,
			const void *data, u32 len)
{
	struct page *page;

	down_write(page_lock(p, index));
	page = page_install(p, index);
	if (!IS_ERR(page)) {
		memcpy(page_address(page) + off, data, len);
		page_mark(p, index);
	}
	up_write(page_lock(p, index));
	return PTR_ERR_OR_ZERO(page);
}
EXPORT_SYMBOL_GPL(vfio_mig_page_write);

static struct page *alloc_spare(struct vfio_mig_pages *p)
{
	struct mem_cgroup *old = set_active_memcg(p->memcg);
	struct page *page = alloc_page(VFIO_MIG_GFP);

	set_active_memcg(old);
	return page;
}

/**
 * vfio_mig_spare_alloc - allocate a page for vfio_mig_page_exchange()
 * @p: the paged state. Its memory control group is charged now, and its budget is
 *	charged by vfio_mig_page_exchange().
 *
 * Context: may sleep.
 * Return: the page or NULL. The page has old contents, which the caller overwrites. The
 * caller gives it to vfio_mig_page_exchange(), or frees it by put_page().
 */
struct page *vfio_mig_spare_alloc(struct vfio_mig_pages *p)
{
	struct page *page = alloc_spare(p);

	if (page)
		return page;
	/* A work item may still have to free the pages that a load replaced. */
	flush_workqueue(vfio_mig_wq);
	return alloc_spare(p);
}
EXPORT_SYMBOL_GPL(vfio_mig_spare_alloc);

/**
 * vfio_mig_pages_exchange_locked - replace a page of the paged state
 * @p: the paged state
 * @index: page number
 * @new: a filled page, which the budget is not charged for
 *
 * Context: the page's lock is held for writing.
 * Return: the old page, which the budget is not charged for any more; NULL if there was
 * none; or ERR_PTR(-ENOSPC) or ERR_PTR(-ENOMEM), and then nothing has changed.
 */
struct page *vfio_mig_pages_exchange_locked(struct vfio_mig_pages *p, pgoff_t index,
					    struct page *new)
{
	struct page *old = xa_load(p->xa, index), *cur;

	lockdep_assert_held_write(page_lock(p, index));
	if (WARN_ON_ONCE(p->memory))
		return ERR_PTR(-EINVAL);
	if (!old && !budget_charge(p->budget, false))
		return ERR_PTR(-ENOSPC);
	cur = vfio_mig_pages_store(p, p->xa, index, old, new);
	if (xa_is_err(cur)) {
		if (!old)
			budget_uncharge(p->budget);
		return ERR_PTR(xa_err(cur));
	}
	/* Either the walk that starts a save sees the page, or page_mark() marks it. */
	smp_mb();
	vfio_mig_mapping_unmap(p, index, 1);
	if (old)
		/* A page that is freed must have 0 here. A load or a save has set this field. */
		set_page_private(old, 0);
	else
		atomic_long_inc(&p->resident);
	page_mark(p, index);
	return old;
}

static struct page *page_exchange(struct vfio_mig_pages *p, pgoff_t index,
				  struct page *new)
{
	struct page *old;

	down_write(page_lock(p, index));
	old = vfio_mig_pages_exchange_locked(p, index, new);
	up_write(page_lock(p, index));
	return old;
}

/**
 * vfio_mig_page_exchange - replace a page of the paged state
 * @p: the paged state
 * @index: page number, below &vfio_mig_pages.nr
 * @spare: in: a filled page from vfio_mig_spare_alloc(). Out: the old page, or NULL if
 *	there was none or if a reader still has it.
 *
 * The caller fills the page before the call, for example by DMA. So the whole page changes
 * at one moment, and no lock is held during the DMA.
 *
 * Context: may sleep. No page access is open.
 * Return: 0; or -ENOSPC if the budget is used up, or -ENOMEM, and then nothing has changed.
 */
int vfio_mig_page_exchange(struct vfio_mig_pages *p, pgoff_t index,
			   struct page **spare)
{
	struct page *old = page_exchange(p, index, *spare);

	/* Wait for pages that are being freed, as vfio_mig_spare_alloc() does. */
	if (IS_ERR(old)) {
		flush_workqueue(vfio_mig_wq);
		old = page_exchange(p, index, *spare);
	}
	if (IS_ERR(old))
		return PTR_ERR(old);
	*spare = old;
	if (old && !page_writable(old)) {
		put_page(old);
		*spare = NULL;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_mig_page_exchange);

/**
 * vfio_mig_pages_discard - make a range read as zeros, and free its memory
 * @p: the paged state
 * @index: first page
 * @nr: number of pages
 *
 * Context: may sleep; waits for accesses to each page.
 */
void vfio_mig_pages_discard(struct vfio_mig_pages *p, pgoff_t index, pgoff_t nr)
{
	struct page *page;
	unsigned long i;

	if (!nr)
		return;

	xa_for_each_range(p->xa, i, page, index, index + nr - 1) {
		down_write(page_lock(p, i));
		page = xa_erase(p->xa, i);
		if (page) {
			vfio_mig_mapping_unmap(p, i, 1);
			atomic_long_dec(&p->resident);
			page_mark(p, i);
			vfio_mig_pages_free(p, page);
		}
		up_write(page_lock(p, i));
		cond_resched();
	}
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_discard);

/* Marks several pages of a block at once. Other threads may mark pages meanwhile. */
static void mark_block(struct vfio_mig_dirty *dirty, unsigned long block,
		       unsigned long bits)
{
	unsigned long *word = &dirty->bits[block], old = READ_ONCE(*word), cur;

	if (!bits)
		return;
	while ((cur = cmpxchg(word, old, old | bits)) != old)
		old = cur;
	atomic_long_add(hweight_long(bits & ~old), &dirty->count);
}

/* The driver's own memory has all pages at any time. */
static void redirty_memory(struct vfio_mig_pages *p, struct vfio_mig_dirty *dirty)
{
	unsigned long block, blocks = p->nr / BLOCK;

	for (block = 0; block < blocks; block++)
		mark_block(dirty, block, ~0UL);
	if (p->nr % BLOCK)
		mark_block(dirty, blocks, BIT(p->nr % BLOCK) - 1);
}

/**
 * vfio_mig_pages_redirty_all - mark all pages that have memory as changed
 * @p: the paged state, tracked
 *
 * Context: may sleep.
 */
void vfio_mig_pages_redirty_all(struct vfio_mig_pages *p)
{
	struct vfio_mig_dirty *dirty = rcu_dereference_protected(p->dirty, true);
	unsigned long block = 0, bits = 0, walked = 0;
	XA_STATE(xas, p->xa, 0);
	struct page *page;

	if (p->memory) {
		redirty_memory(p, dirty);
		return;
	}
	rcu_read_lock();
	xas_for_each(&xas, page, ULONG_MAX) {
		if (xas_retry(&xas, page))
			continue;
		if (xas.xa_index / BLOCK != block) {
			mark_block(dirty, block, bits);
			block = xas.xa_index / BLOCK;
			bits = 0;
		}
		bits |= BIT(xas.xa_index % BLOCK);
		walk_pause(&xas, &walked);
	}
	rcu_read_unlock();
	mark_block(dirty, block, bits);
}

/**
 * vfio_mig_pages_track - start tracking which pages change
 * @p: the paged state; not tracked yet
 *
 * At first all pages that have memory count as changed.
 *
 * Return: 0 or -ENOMEM.
 */
int vfio_mig_pages_track(struct vfio_mig_pages *p)
{
	struct vfio_mig_dirty *dirty;

	dirty = kvzalloc(struct_size(dirty, bits, BITS_TO_LONGS(p->nr)),
			 VFIO_MIG_GFP);
	if (!dirty)
		return -ENOMEM;

	/* Published before the walk, so that writers mark pages during the walk. */
	rcu_assign_pointer(p->dirty, dirty);
	smp_mb(); /* pairs with page_install() */
	vfio_mig_pages_redirty_all(p);
	return 0;
}

/**
 * vfio_mig_pages_untrack - stop tracking which pages change
 * @p: the paged state; may be untracked already
 */
void vfio_mig_pages_untrack(struct vfio_mig_pages *p)
{
	struct vfio_mig_dirty *dirty;

	dirty = rcu_replace_pointer(p->dirty, NULL, true);
	if (dirty)
		kvfree_rcu(dirty, rcu);
}

/* Only the save side calls this, and only the save side changes the pointer. */
static struct vfio_mig_dirty *dirty_set(struct vfio_mig_pages *p)
{
	return rcu_dereference_protected(p->dirty, true);
}

/**
 * vfio_mig_pages_dirty - count the pages that changed since they were last sent
 * @p: the paged state, tracked
 *
 * Return: the number of pages, which may change at any time.
 */
unsigned long vfio_mig_pages_dirty(struct vfio_mig_pages *p)
{
	/*
	 * A thread that marks a page sets the bit first, so the save can take the page before
	 * the thread counts it. The count is then too small, and may be negative.
	 */
	return max(0L, atomic_long_read(&dirty_set(p)->count));
}

/**
 * vfio_mig_pages_next_dirty - find a changed page
 * @p: the paged state, tracked
 * @start: first page to look at
 *
 * Return: the number of the next changed page, or &vfio_mig_pages.nr if there is none.
 */
pgoff_t vfio_mig_pages_next_dirty(struct vfio_mig_pages *p, pgoff_t start)
{
	return find_next_bit(dirty_set(p)->bits, p->nr, start);
}

/**
 * vfio_mig_pages_redirty - mark a page as changed
 * @p: the paged state. The function does nothing if it is not tracked.
 * @index: page number
 *
 * Context: any.
 */
void vfio_mig_pages_redirty(struct vfio_mig_pages *p, pgoff_t index)
{
	page_mark(p, index);
}

/**
 * vfio_mig_pages_take - take changed pages to send them
 * @p: the paged state, tracked
 * @first: number of the first page, which has changed
 * @max: the limit of pages to take, not 0
 * @pages: the pages are stored here, NULL for a page that reads as zeros. If the memory is
 *	the driver's own, @pages is NULL, and only the page numbers are stored.
 * @index: the page numbers are stored here
 *
 * Takes the page and changed pages after it that share its lock, and marks them as sent.
 * Removes them from mappings, so that the next store to a page faults. The caller gets a
 * reference to each page, and drops the reference by put_page(). Until then the page keeps
 * its contents.
 *
 * Context: may sleep. Waits for accesses to these pages, which are short.
 * Return: the number of pages that were taken.
 */
u32 vfio_mig_pages_take(struct vfio_mig_pages *p, pgoff_t first, u32 max,
			struct page **pages, pgoff_t *index)
{
	pgoff_t i = first, end = min(p->nr, round_down(first, BLOCK) + BLOCK);
	struct vfio_mig_dirty *dirty = dirty_set(p);
	struct mm_struct *mm;
	u32 n = 0;

	mm = vfio_mig_mapping_lock(p);
	down_write(page_lock(p, first));
	for (; i < end && n < max; i = find_next_bit(dirty->bits, end, i + 1)) {
		struct page *page = pages ? xa_load(p->xa, i) : NULL;

		clear_bit(i, dirty->bits);
		if (page) {
			get_page(page);
			set_bit(PAGE_TAKEN, &page->private);
		}
		if (pages)
			pages[n] = page;
		index[n++] = i;
	}
	atomic_long_sub(n, &dirty->count);
	/* If the driver records itself which pages are written, the mappings keep the pages. */
	if (!p->memory || !p->memory->dirty)
		vfio_mig_mapping_unmap(p, first, index[n - 1] - first + 1);
	up_write(page_lock(p, first));
	vfio_mig_mapping_unlock(mm);
	return n;
}

/**
 * vfio_mig_pages_replace - replace all pages
 * @p: the paged state; not tracked
 * @xa: array of the new pages, which are charged to @p; @p owns the array afterwards
 * @nr: number of new pages
 * @nest: the mutex that the caller holds. Lockdep needs it, because all page locks are taken.
 *
 * A load takes effect by this function, so it cannot fail.
 *
 * Context: may sleep. Waits for all page accesses.
 */
void vfio_mig_pages_replace(struct vfio_mig_pages *p, struct xarray *xa,
			    unsigned long nr, struct mutex *nest)
{
	struct xarray *old;
	int i;

	for (i = 0; i < VFIO_MIG_PAGES_LOCKS; i++)
		down_write_nest_lock(&p->locks[i], nest);
	old = p->xa;
	p->xa = xa;
	atomic_long_set(&p->resident, nr);
	vfio_mig_mapping_unmap(p, 0, 0);
	for (i = 0; i < VFIO_MIG_PAGES_LOCKS; i++)
		up_write(&p->locks[i]);
	vfio_mig_pages_free_array_later(p, old);
}

#if IS_ENABLED(CONFIG_VFIO_MIG_CORE_KUNIT_TEST)
#include "pages_test.c"
#endif
