// SPDX-License-Identifier: GPL-2.0-only
/*
 * Paged state: a sparse array of pages that knows which of them changed
 *
 * A vendor driver brackets each access to a page with _begin() and _end().
 *
 * The array holds one reference to each of its pages. The save side takes
 * another one while a chunk has the page. A page with more than one reference
 * never changes: a writer replaces it in the array by a copy. This has three
 * consequences.
 *
 * - A checksum matches the data that is sent after it.
 * - The device never waits for a reader, however slow the reader is.
 * - A reader that outlives its session, or the device, needs nothing but its
 *   references. It sees the page as it was taken, and no later user's data.
 *
 * A page's reference count grows with the page's lock held for writing only, and
 * falls at any time.
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
 * @count: bits that are set
 * @bits: a bit a page
 */
struct vfio_mig_dirty {
	struct rcu_head rcu;
	atomic_long_t count;
	unsigned long bits[];
};

/* Pages after which a walk over all of them lets others run. */
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

	/* The device works in kernel threads: its user pays all the same. */
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
 * @p: the paged state whose budget and memory control group pay
 * @gfp: flags on top of VFIO_MIG_GFP, such as __GFP_ZERO
 * @force: go over the budget: the page takes another's place soon
 *
 * Context: may sleep; waits for memory that is being freed if there is no other.
 * Return: the page, ERR_PTR(-ENOSPC) where the budget is used up, or
 * ERR_PTR(-ENOMEM).
 */
struct page *vfio_mig_pages_alloc(struct vfio_mig_pages *p, gfp_t gfp,
				  bool force)
{
	struct page *page = alloc_charged(p, gfp, force);

	if (!IS_ERR(page))
		return page;
	/* What a load has replaced may still be on its way back. */
	flush_workqueue(vfio_mig_wq);
	return alloc_charged(p, gfp, force);
}

/**
 * vfio_mig_pages_free - give back a page from vfio_mig_pages_alloc()
 * @p: the paged state
 * @page: the page, in no array any more
 *
 * A chunk that has the page keeps its memory, which stays charged to the memory
 * control group. The budget is not charged for it any more.
 */
void vfio_mig_pages_free(struct vfio_mig_pages *p, struct page *page)
{
	set_page_private(page, 0);
	put_page(page);
	budget_uncharge(p->budget);
}

/**
 * vfio_mig_pages_store - put a page at its place in an array of pages
 * @p: the paged state that pays for the array's nodes
 * @xa: the array
 * @index: where
 * @old: what is expected there
 * @new: the page
 *
 * Return: what was there (@old where the store took place), or an xa_err()
 * entry.
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
 * vfio_mig_pages_new_array - an empty array, as a paged state and a load have
 *
 * Return: the array or NULL. Freed by vfio_mig_pages_free_array().
 */
struct xarray *vfio_mig_pages_new_array(void)
{
	struct xarray *xa = kzalloc(sizeof(*xa), GFP_KERNEL_ACCOUNT);

	if (xa)
		xa_init_flags(xa, XA_FLAGS_ACCOUNT);
	return xa;
}

/* In a walk by xas_for_each(), in an RCU read side section: lets others run. */
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
 * @xa: the array or NULL; nobody else uses it
 *
 * The nodes go with the array in one go, because to erase each entry costs more than
 * to free its page.
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
	rcu_read_lock();
	xas_for_each(&xas, page, ULONG_MAX) {
		vfio_mig_pages_free(p, page);
		walk_pause(&xas, &walked);
	}
	rcu_read_unlock();
	xa_destroy(xa);
	kfree(xa);
}

/**
 * struct old_array - an array that a load has replaced
 * @work: frees it
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

/*
 * A guest stands still while a load takes effect, and to free a GiB takes as long as a
 * guest may stand still for. So that is done later, where there is memory to note it.
 */
static void free_array_later(struct vfio_mig_pages *p, struct xarray *xa)
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

	/* The stream's page is the kernel's, here. */
	BUILD_BUG_ON(PAGE_SIZE != VFIO_MIG_STREAM_PAGE_SIZE);

	p->xa = vfio_mig_pages_new_array();
	if (!p->xa)
		return -ENOMEM;
	p->nr = nr;
	p->budget = budget;
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
 * @p: the paged state; the device is closed, and its library object destroyed
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
	vfio_mig_pages_set_payer(p, NULL);
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_destroy);

/**
 * vfio_mig_pages_set_payer - choose whose memory control group pays from now on
 * @p: the paged state; nobody allocates from it meanwhile
 * @mm: the device's user, or NULL for nobody
 */
void vfio_mig_pages_set_payer(struct vfio_mig_pages *p, struct mm_struct *mm)
{
	struct mem_cgroup *old = p->memcg;

	p->memcg = mm ? get_mem_cgroup_from_mm(mm) : NULL;
	mem_cgroup_put(old);
}

/**
 * vfio_mig_pages_resident - pages that take memory
 * @p: the paged state
 *
 * Return: their number, which may change at once.
 */
unsigned long vfio_mig_pages_resident(struct vfio_mig_pages *p)
{
	return atomic_long_read(&p->resident);
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_resident);

/*
 * Allocates a page where there is none, and a copy where a chunk has the page. The
 * caller holds the page's lock for writing, so that no bracket and no mapping shows
 * the old page when the array lets go of it.
 */
static struct page *page_install(struct vfio_mig_pages *p, pgoff_t index)
{
	struct page *old = xa_load(p->xa, index), *new, *cur;

	if (page_writable(old))
		return old;
	new = vfio_mig_pages_alloc(p, old ? 0 : __GFP_ZERO, old);
	if (IS_ERR(new))
		return new;
	if (old)
		copy_page(page_address(new), page_address(old));

	cur = vfio_mig_pages_store(p, p->xa, index, old, new);
	if (xa_is_err(cur)) {
		vfio_mig_pages_free(p, new);
		return ERR_PTR(xa_err(cur));
	}
	/* Either it is seen by the walk that starts a save, or marks itself. */
	smp_mb();
	vfio_mig_mapping_unmap(p, index, 1);
	if (old)
		vfio_mig_pages_free(p, old);
	else
		atomic_long_inc(&p->resident);
	return new;
}

/**
 * vfio_mig_page_read_begin - look at a page of the paged state
 * @p: the paged state
 * @index: page number, below &vfio_mig_pages.nr
 *
 * The page stays until vfio_mig_page_read_end(), also when it is discarded
 * meanwhile. A caller holds one page at a time.
 *
 * Context: may sleep. Holds a lock that a page's discard and the save side wait
 * for, so the bracket should be short; DMA inside is fine.
 * Return: the page, or NULL where it reads as zeros. The bracket is open either
 * way.
 */
struct page *vfio_mig_page_read_begin(struct vfio_mig_pages *p, pgoff_t index)
{
	down_read(page_lock(p, index));
	return xa_load(p->xa, index);
}
EXPORT_SYMBOL_GPL(vfio_mig_page_read_begin);

/**
 * vfio_mig_page_read_end - end what vfio_mig_page_read_begin() began
 * @p: the paged state
 * @index: the same page number
 */
void vfio_mig_page_read_end(struct vfio_mig_pages *p, pgoff_t index)
{
	up_read(page_lock(p, index));
}
EXPORT_SYMBOL_GPL(vfio_mig_page_read_end);

/**
 * vfio_mig_page_write_begin - get a page of the paged state to write to
 * @p: the paged state
 * @index: page number, below &vfio_mig_pages.nr
 *
 * Allocates the page where it was never written. Several writers may hold the
 * same page. A caller holds one page at a time.
 *
 * Context: may sleep, as for vfio_mig_page_read_begin().
 * Return: the page, ERR_PTR(-ENOSPC) where the budget is used up, or
 * ERR_PTR(-ENOMEM). With an error the bracket is not open.
 */
struct page *vfio_mig_page_write_begin(struct vfio_mig_pages *p, pgoff_t index)
{
	struct page *page;

	down_read(page_lock(p, index));
	page = xa_load(p->xa, index);
	if (likely(page_writable(page)))
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

	rcu_read_lock();
	dirty = rcu_dereference(p->dirty);
	if (dirty && !test_bit(index, dirty->bits) &&
	    !test_and_set_bit(index, dirty->bits) &&
	    atomic_long_inc_return(&dirty->count) == 1 && p->wait)
		wake_up_interruptible(p->wait);
	rcu_read_unlock();
}

/**
 * vfio_mig_page_write_end - end what vfio_mig_page_write_begin() began
 * @p: the paged state
 * @index: the same page number
 *
 * A save that goes on will send the page again.
 */
void vfio_mig_page_write_end(struct vfio_mig_pages *p, pgoff_t index)
{
	page_mark(p, index);
	up_read(page_lock(p, index));
}
EXPORT_SYMBOL_GPL(vfio_mig_page_write_end);

/**
 * vfio_mig_page_write - write to a page of the paged state, all at once
 * @p: the paged state
 * @index: page number, below &vfio_mig_pages.nr
 * @off: where in the page
 * @data: what to write
 * @len: bytes, all within the page
 *
 * Who reads the page in a bracket sees all of it or nothing of it, as long as all that
 * write to this part of the page do it in this way, or by vfio_mig_page_exchange().
 *
 * Context: may sleep. No bracket is open.
 * Return: 0, -ENOSPC where the budget is used up, or -ENOMEM.
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
 * vfio_mig_spare_alloc - allocate a page that is to become part of the paged state
 * @p: the paged state, whose memory control group pays. Its budget does not, until
 *	vfio_mig_page_exchange().
 *
 * Context: may sleep.
 * Return: the page, with old contents of any kind, or NULL. Given to
 * vfio_mig_page_exchange() or freed by put_page().
 */
struct page *vfio_mig_spare_alloc(struct vfio_mig_pages *p)
{
	struct page *page = alloc_spare(p);

	if (page)
		return page;
	/* What a load has replaced may still be on its way back. */
	flush_workqueue(vfio_mig_wq);
	return alloc_spare(p);
}
EXPORT_SYMBOL_GPL(vfio_mig_spare_alloc);

/**
 * vfio_mig_pages_exchange_locked - put another page in place of one
 * @p: the paged state
 * @index: page number
 * @new: a page that was filled, and that the budget is not charged for
 *
 * Context: the page's lock is held for writing.
 * Return: the page that was there, which the budget is not charged for any more; NULL
 * where there was none; or ERR_PTR(-ENOSPC) or ERR_PTR(-ENOMEM), and nothing was done.
 */
struct page *vfio_mig_pages_exchange_locked(struct vfio_mig_pages *p, pgoff_t index,
					    struct page *new)
{
	struct page *old = xa_load(p->xa, index), *cur;

	lockdep_assert_held_write(page_lock(p, index));
	if (!old && !budget_charge(p->budget, false))
		return ERR_PTR(-ENOSPC);
	cur = vfio_mig_pages_store(p, p->xa, index, old, new);
	if (xa_is_err(cur)) {
		if (!old)
			budget_uncharge(p->budget);
		return ERR_PTR(xa_err(cur));
	}
	/* Either it is seen by the walk that starts a save, or marks itself. */
	smp_mb();
	vfio_mig_mapping_unmap(p, index, 1);
	if (!old)
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
 * vfio_mig_page_exchange - put another page in place of one of the paged state
 * @p: the paged state
 * @index: page number, below &vfio_mig_pages.nr
 * @spare: a page that was filled, from vfio_mig_spare_alloc(). Becomes the one that was
 *	there, or NULL where there was none or a reader still has it.
 *
 * So all of a page is written at once, and what takes its time, DMA say, was done before.
 *
 * Context: may sleep. No bracket is open.
 * Return: 0; or -ENOSPC where the budget is used up or -ENOMEM, and nothing was done.
 */
int vfio_mig_page_exchange(struct vfio_mig_pages *p, pgoff_t index,
			   struct page **spare)
{
	struct page *old = page_exchange(p, index, *spare);

	/* As for vfio_mig_spare_alloc(). */
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

/* Marks many pages of a block in one go. Others may mark some of them meanwhile. */
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

/**
 * vfio_mig_pages_redirty_all - have all pages that have memory count as changed
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
 * vfio_mig_pages_track - start to note which pages change
 * @p: the paged state; not tracked yet
 *
 * All pages that have memory count as changed at first.
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

	/* Published first: a page that is added during the walk marks itself. */
	rcu_assign_pointer(p->dirty, dirty);
	smp_mb(); /* pairs with page_install() */
	vfio_mig_pages_redirty_all(p);
	return 0;
}

/**
 * vfio_mig_pages_untrack - stop to note which pages change
 * @p: the paged state; may be untracked already
 */
void vfio_mig_pages_untrack(struct vfio_mig_pages *p)
{
	struct vfio_mig_dirty *dirty;

	dirty = rcu_replace_pointer(p->dirty, NULL, true);
	if (dirty)
		kvfree_rcu(dirty, rcu);
}

/* Only the save side changes the pointer, and only it calls what uses this. */
static struct vfio_mig_dirty *dirty_set(struct vfio_mig_pages *p)
{
	return rcu_dereference_protected(p->dirty, true);
}

/**
 * vfio_mig_pages_dirty - pages that changed since they were last sent
 * @p: the paged state, tracked
 *
 * Return: their number, which may change at once.
 */
unsigned long vfio_mig_pages_dirty(struct vfio_mig_pages *p)
{
	return atomic_long_read(&dirty_set(p)->count);
}

/**
 * vfio_mig_pages_next_dirty - find a changed page
 * @p: the paged state, tracked
 * @start: first page to look at
 *
 * Return: its number, or &vfio_mig_pages.nr where there is none.
 */
pgoff_t vfio_mig_pages_next_dirty(struct vfio_mig_pages *p, pgoff_t start)
{
	return find_next_bit(dirty_set(p)->bits, p->nr, start);
}

/**
 * vfio_mig_pages_redirty - take back that a page was sent
 * @p: the paged state, tracked
 * @index: page number
 */
void vfio_mig_pages_redirty(struct vfio_mig_pages *p, pgoff_t index)
{
	page_mark(p, index);
}

/**
 * vfio_mig_pages_take - take changed pages to be sent
 * @p: the paged state, tracked
 * @first: the first of them, a changed page
 * @max: the most to take, not 0
 * @pages: where to put the pages; NULL for one that reads as zeros
 * @index: where to put their page numbers
 *
 * Takes neighbours that changed as well, as many as share a lock, and counts all of
 * them as sent. Removes them from mappings, so that the next store to one faults.
 * The caller has a reference to each page, and gives it back with put_page(). Until
 * then the page keeps its contents.
 *
 * Context: may sleep. Waits for brackets around these pages, which are short.
 * Return: how many were taken.
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
		struct page *page = xa_load(p->xa, i);

		clear_bit(i, dirty->bits);
		if (page)
			get_page(page);
		pages[n] = page;
		index[n++] = i;
	}
	atomic_long_sub(n, &dirty->count);
	vfio_mig_mapping_unmap(p, first, index[n - 1] - first + 1);
	up_write(page_lock(p, first));
	vfio_mig_mapping_unlock(mm);
	return n;
}

/**
 * vfio_mig_pages_replace - put other pages in place of all there are
 * @p: the paged state; not tracked
 * @xa: the new pages, charged to @p; taken over
 * @nr: how many there are
 * @nest: the lock that lets one caller in at a time
 *
 * Cannot fail: it is how a load takes effect.
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
	free_array_later(p, old);
}

#if IS_ENABLED(CONFIG_VFIO_MIG_CORE_KUNIT_TEST)
#include "pages_test.c"
#endif
