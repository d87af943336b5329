// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rows: pages of a paged state that are neighbours in memory, too
 *
 * To copy a page at a time costs a call of VFIO for each. So memory for several pages
 * is allocated in one piece, filled by one copy, and put in the place of old pages
 * then. From then on its pages have nothing to do with each other: each is tracked,
 * shared with a save, replaced and freed alone.
 *
 * A row lies within the pages that share a lock.
 */
#include <linux/log2.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "mapping.h"
#include "pages.h"

/* Not worth a wait: page by page it goes, too. */
#define ROW_GFP		(GFP_NOWAIT | __GFP_ACCOUNT | __GFP_NOWARN)

/* Of @nr pages from @index on, those that share a lock with the first. */
static u32 row_clamp(pgoff_t index, u32 nr)
{
	return min_t(u32, nr, BLOCK - index % BLOCK);
}

/*
 * Of @nr pages from @index on, those that a row can replace without more work for the
 * allocator: pages that are a row, which becomes the next one, or that are not there yet.
 * To free pages one by one, and to clear as many new ones, costs more than a row saves.
 */
static u32 row_replaces(struct vfio_mig_pages *p, pgoff_t index, u32 nr)
{
	u32 present = nr;
	struct page *page;

	page = vfio_mig_row_read_begin(p, index, &present);
	vfio_mig_page_read_end(p, index);
	return page ? present : nr;
}

static struct page *alloc_row(struct vfio_mig_pages *p, unsigned int *order)
{
	struct mem_cgroup *old = set_active_memcg(p->memcg);
	struct page *page = NULL;

	for (; *order; --*order) {
		page = alloc_pages(ROW_GFP, *order);
		if (page)
			break;
	}
	set_active_memcg(old);
	/* Of a higher order only until here: each page is charged and freed alone. */
	if (page)
		split_page(page, *order);
	return page;
}

/**
 * vfio_mig_row_alloc - have memory for neighbours of a paged state
 * @p: the paged state, whose memory control group pays. Its budget does not, until
 *	vfio_mig_row_exchange().
 * @row: what is there from before is taken, if it is enough
 * @index: page number of the first
 * @nr: how many there are to be, at least 2
 *
 * Context: may sleep. Does not wait for memory. No access of a page is open.
 * Return: how many of them can be filled, with old contents of any kind: from 2 to @nr.
 * 1 where the pages that are there are no row. 0 where the kernel has no memory in one
 * piece, or the control group is at its limit.
 */
u32 vfio_mig_row_alloc(struct vfio_mig_pages *p, struct vfio_mig_row *row,
		       pgoff_t index, u32 nr)
{
	unsigned int order;

	nr = row_replaces(p, index, row_clamp(index, nr));
	if (nr < 2)
		return 1;
	if (row->nr >= nr)
		return nr;
	vfio_mig_row_free(row);

	order = ilog2(nr);
	row->first = alloc_row(p, &order);
	row->nr = row->first ? 1u << order : 0;
	return row->nr;
}
EXPORT_SYMBOL_GPL(vfio_mig_row_alloc);

/* Pages that come out of the paged state, as long as they are a row, too. */
static void row_collect(struct vfio_mig_row *row, u32 i, struct page *old)
{
	if (!old)
		return;
	if (row->nr == i && page_writable(old) && (!i || old == row->first + i)) {
		row->first = i ? row->first : old;
		row->nr++;
	} else {
		put_page(old);
	}
}

/*
 * From the @i-th page on, as long as there are pages, which needs no memory and changes
 * no budget. The page's lock is held for writing, so nobody else changes the entries.
 * Return: how many pages are in place now.
 */
static u32 swap_present(struct vfio_mig_pages *p, pgoff_t index,
			struct vfio_mig_row *row, u32 i, u32 nr,
			struct vfio_mig_row *out)
{
	XA_STATE(xas, p->xa, index + i);
	struct page *old;

	xas_lock(&xas);
	for (old = xas_load(&xas); old && i < nr; old = xas_next(&xas)) {
		xas_store(&xas, row->first + i);
		row_collect(out, i++, old);
	}
	xas_unlock(&xas);
	return i;
}

static u32 row_exchange(struct vfio_mig_pages *p, pgoff_t index,
			struct vfio_mig_row *row, u32 nr, struct vfio_mig_row *out)
{
	struct page *old;
	u32 i = 0;

	while (i < nr) {
		if (xa_load(p->xa, index + i)) {
			i = swap_present(p, index, row, i, nr, out);
			continue;
		}
		old = vfio_mig_pages_exchange_locked(p, index + i, row->first + i);
		if (IS_ERR(old))
			break;
		i++;
	}
	return i;
}

/**
 * vfio_mig_row_exchange - put a row in place of neighbours of a paged state
 * @p: the paged state
 * @index: page number of the first
 * @row: what was filled. Becomes what was there, where that is a row and no reader has
 *	a page of it; else what is left of it.
 * @nr: how many pages, no more than vfio_mig_row_alloc() said
 *
 * Nobody sees some of the pages and not the others.
 *
 * Context: may sleep. No bracket is open.
 * Return: how many pages were put in place: fewer than @nr where the budget is used up
 * or there is no memory for the array.
 */
u32 vfio_mig_row_exchange(struct vfio_mig_pages *p, pgoff_t index,
			  struct vfio_mig_row *row, u32 nr)
{
	struct vfio_mig_row out = { };
	u32 i, done;

	down_write(page_lock(p, index));
	/* First, because old pages are given back on the way. No fault enters them. */
	vfio_mig_mapping_unmap(p, index, nr);
	done = row_exchange(p, index, row, nr, &out);
	/* Either they are seen by the walk that starts a save, or mark themselves. */
	smp_mb();
	if (rcu_access_pointer(p->dirty))
		for (i = 0; i < done; i++)
			vfio_mig_pages_redirty(p, index + i);
	up_write(page_lock(p, index));

	row->first += done;
	row->nr -= done;
	if (out.nr > row->nr)
		swap(*row, out);
	vfio_mig_row_free(&out);
	return done;
}
EXPORT_SYMBOL_GPL(vfio_mig_row_exchange);

/**
 * vfio_mig_row_free - give back what became of no use
 * @row: may have no pages
 */
void vfio_mig_row_free(struct vfio_mig_row *row)
{
	while (row->nr)
		put_page(row->first + --row->nr);
	row->first = NULL;
}
EXPORT_SYMBOL_GPL(vfio_mig_row_free);

/**
 * vfio_mig_row_read_begin - look at neighbours of a paged state
 * @p: the paged state
 * @index: page number of the first, below &vfio_mig_pages.nr
 * @nr: how many are wanted, all below &vfio_mig_pages.nr. Becomes how many are
 *	neighbours in memory, at least 1.
 *
 * As vfio_mig_page_read_begin(). To be ended by vfio_mig_page_read_end() of @index.
 *
 * Context: may sleep, as for vfio_mig_page_read_begin().
 * Return: the first page, or NULL where that reads as zeros.
 */
struct page *vfio_mig_row_read_begin(struct vfio_mig_pages *p, pgoff_t index,
				     u32 *nr)
{
	struct page *first = vfio_mig_page_read_begin(p, index);
	u32 i, max = first ? row_clamp(index, *nr) : 1;

	for (i = 1; i < max; i++)
		if (xa_load(p->xa, index + i) != first + i)
			break;
	*nr = i;
	return first;
}
EXPORT_SYMBOL_GPL(vfio_mig_row_read_begin);
