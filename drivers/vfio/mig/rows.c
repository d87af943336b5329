// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rows: pages of a paged state that are contiguous in memory
 *
 * If pages are replaced one by one, this takes at least as long as the copy of their data.
 * So this file allocates contiguous memory for several pages, the driver fills the memory,
 * and the pages then replace old pages together. After that the pages are independent,
 * because each page is tracked, shared with a save, replaced and freed alone.
 *
 * All pages of a row share a lock.
 */
#include <linux/log2.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "mapping.h"
#include "pages.h"

/* The allocation does not wait, because the caller can copy page by page instead. */
#define ROW_GFP		(GFP_NOWAIT | __GFP_ACCOUNT | __GFP_NOWARN)

/* Returns how many of @nr pages from @index on share a lock with the first. */
static u32 row_clamp(pgoff_t index, u32 nr)
{
	return min_t(u32, nr, BLOCK - index % BLOCK);
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
	/* From here on each page is charged and freed alone. */
	if (page)
		split_page(page, *order);
	return page;
}

/**
 * vfio_mig_row_alloc - allocate a row for contiguous pages of a paged state
 * @p: the paged state. Its memory control group is charged now, and its budget is
 *	charged by vfio_mig_row_exchange().
 * @row: the row. If it has enough pages from an earlier call, they are used.
 * @index: number of the first page
 * @nr: number of pages, at least 2
 *
 * The pages have old contents, which the caller overwrites.
 *
 * Context: may sleep. Does not wait for memory. No page access is open.
 * Return: the number of pages in the row that can be used at @index, from 2 to @nr. 1 if the
 * page after @index has another lock, and then nothing was allocated. 0 if the kernel has no
 * contiguous memory, or if the control group is at its limit.
 */
u32 vfio_mig_row_alloc(struct vfio_mig_pages *p, struct vfio_mig_row *row,
		       pgoff_t index, u32 nr)
{
	unsigned int order;

	nr = row_clamp(index, nr);
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

/* Collects pages that leave the paged state while they form a row. Frees the others. */
static void row_collect(struct vfio_mig_row *row, u32 i, struct page *old)
{
	if (!old)
		return;
	set_page_private(old, 0); /* as in vfio_mig_pages_exchange_locked() */
	if (row->nr == i && page_writable(old) && (!i || old == row->first + i)) {
		row->first = i ? row->first : old;
		row->nr++;
	} else {
		put_page(old);
	}
}

/*
 * Replaces pages from the @i-th page on, up to the first page without memory. This needs
 * no memory and does not change the budget. The caller holds the page's lock for writing,
 * so no other thread changes the entries. Returns how many pages are in place now.
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
 * vfio_mig_row_exchange - replace contiguous pages of a paged state by a row
 * @p: the paged state
 * @index: number of the first page
 * @row: the filled row. If the old pages are a row, and no reader has one of them, they
 *	become the caller's row. Otherwise @row keeps its unused pages.
 * @nr: number of pages, at most the return value of vfio_mig_row_alloc()
 *
 * A reader sees all of the new pages or none.
 *
 * Context: may sleep. No page access is open.
 * Return: the number of pages that were replaced. It is less than @nr if the budget is
 * used up, or if there is no memory for the array.
 */
u32 vfio_mig_row_exchange(struct vfio_mig_pages *p, pgoff_t index,
			  struct vfio_mig_row *row, u32 nr)
{
	struct vfio_mig_row out = { };
	u32 i, done;

	down_write(page_lock(p, index));
	/* The unmap comes first, because row_exchange() frees old pages. */
	vfio_mig_mapping_unmap(p, index, nr);
	done = row_exchange(p, index, row, nr, &out);
	/* Either the walk that starts a save sees the pages, or the loop below marks them. */
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
 * vfio_mig_row_free - free the pages of a row
 * @row: the row, which may have no pages
 *
 * Context: any.
 */
void vfio_mig_row_free(struct vfio_mig_row *row)
{
	while (row->nr)
		put_page(row->first + --row->nr);
	row->first = NULL;
}
EXPORT_SYMBOL_GPL(vfio_mig_row_free);

/**
 * vfio_mig_row_read_begin - begin a read access to several pages of a paged state
 * @p: the paged state
 * @index: number of the first page
 * @nr: number of pages, all below &vfio_mig_pages.nr
 *
 * Works as vfio_mig_page_read_begin(). vfio_mig_page_read_end() of @index ends the access.
 *
 * Context: may sleep, as for vfio_mig_page_read_begin().
 * Return: the number of pages that the access includes, from 1 to @nr.
 */
u32 vfio_mig_row_read_begin(struct vfio_mig_pages *p, pgoff_t index, u32 nr)
{
	down_read(page_lock(p, index));
	return row_clamp(index, nr);
}
EXPORT_SYMBOL_GPL(vfio_mig_row_read_begin);

/**
 * vfio_mig_row_read_next - find contiguous pages inside a read access
 * @p: the paged state
 * @index: number of the first page
 * @nr: in: number of pages that the access includes from @index on. Out: how many of these
 *	are contiguous in memory, at least 1.
 *
 * Context: between vfio_mig_row_read_begin() and vfio_mig_page_read_end().
 * Return: the first page, or NULL if one page reads as zeros.
 */
struct page *vfio_mig_row_read_next(struct vfio_mig_pages *p, pgoff_t index, u32 *nr)
{
	struct page *first = xa_load(p->xa, index);
	u32 i, max = first ? *nr : 1;

	for (i = 1; i < max; i++)
		if (xa_load(p->xa, index + i) != first + i)
			break;
	*nr = i;
	return first;
}
EXPORT_SYMBOL_GPL(vfio_mig_row_read_next);
