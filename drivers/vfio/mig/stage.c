// SPDX-License-Identifier: GPL-2.0-only
/*
 * Staged pages: the part of a paged state that a load has taken so far
 *
 * A stream comes in portions, and a portion is taken as a whole or not at all. If user
 * memory cannot be read, or if there is no memory, then the portion is undone, and the
 * user may continue with other bytes. The state must not contain any data of a portion
 * that was undone.
 *
 * Two rules ensure this.
 *
 * - A page is staged when it is complete. Only &vfio_mig_stage.filling points to a page that is
 *   being filled, so a state never contains memory that was not filled.
 * - The first change of a page number in a portion is recorded. The record is the page
 *   number if no page was staged there, and the old page otherwise. Most pages come once,
 *   so a record is mostly one array entry.
 *
 * All functions are called with the session mutex held.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "pages.h"
#include "stage.h"

/**
 * vfio_mig_stage_init - initialise, with no page staged
 * @stage: zeroed memory
 * @pages: the paged state that is charged, or NULL
 *
 * Return: 0 or -ENOMEM.
 */
int vfio_mig_stage_init(struct vfio_mig_stage *stage,
			struct vfio_mig_pages *pages)
{
	xa_init_flags(&stage->replaced, XA_FLAGS_ACCOUNT);
	stage->pages = pages;
	if (!pages)
		return 0;
	stage->xa = vfio_mig_pages_new_array();
	return stage->xa ? 0 : -ENOMEM;
}

/* Frees a page, except the one that an undo of the portion has to restore as @filling. */
static void drop_page(struct vfio_mig_stage *stage, struct page *page)
{
	if (page == stage->filling_before)
		stage->filling_dropped = true;
	else
		vfio_mig_pages_free(stage->pages, page);
}

static void close_portion(struct vfio_mig_stage *stage)
{
	if (stage->made != stage->few)
		kvfree(stage->made);
	stage->made = NULL;
	stage->nr_made = 0;
	stage->filling_before = NULL;
	stage->filling_dropped = false;
	stage->open = false;
}

/**
 * vfio_mig_stage_open - begin a portion
 * @stage: no portion is open
 * @bytes: size of the portion
 *
 * Return: 0 or -ENOMEM.
 */
int vfio_mig_stage_open(struct vfio_mig_stage *stage, size_t bytes)
{
	/* The portion completes at most one page that an earlier portion began. */
	size_t max = bytes / PAGE_SIZE + 1;

	stage->made = stage->few;
	if (stage->pages && max > VFIO_MIG_STAGE_FEW) {
		stage->made = kvmalloc_array(max, sizeof(*stage->made),
					     VFIO_MIG_GFP);
		if (!stage->made)
			return -ENOMEM;
	}
	stage->portion++;
	stage->filling_before = stage->filling;
	stage->open = true;
	return 0;
}

/**
 * vfio_mig_stage_keep - keep the portion, and free the data to undo it
 * @stage: staged pages, with a portion open
 */
void vfio_mig_stage_keep(struct vfio_mig_stage *stage)
{
	struct page *page, *filling = stage->filling_before;
	unsigned long i;

	stage->filling_before = NULL;
	if (stage->filling_dropped)
		vfio_mig_pages_free(stage->pages, filling);
	xa_for_each(&stage->replaced, i, page) {
		vfio_mig_pages_free(stage->pages, page);
		/* As in vfio_mig_pages_free_array(), no nodes are left for xa_destroy(). */
		xa_erase(&stage->replaced, i);
		cond_resched();
	}
	xa_destroy(&stage->replaced);
	if (stage->xa_before) {
		vfio_mig_pages_free_array(stage->pages, stage->xa_before);
		stage->xa_before = NULL;
	}
	close_portion(stage);
}

/* Removes pages that the portion staged where there was no page. */
static void undo_made(struct vfio_mig_stage *stage)
{
	struct page *page;
	size_t i;

	for (i = 0; i < stage->nr_made; i++) {
		page = xa_erase(stage->xa, stage->made[i]);
		if (!page)
			continue;
		stage->nr--;
		drop_page(stage, page);
		cond_resched();
	}
}

/* Restores replaced pages. This can need memory, because the array may have freed a node. */
static int undo_replaced(struct vfio_mig_stage *stage)
{
	struct page *old, *page, *cur;
	unsigned long i;
	int ret = 0;

	xa_for_each(&stage->replaced, i, old) {
		xa_erase(&stage->replaced, i);
		page = xa_load(stage->xa, i);
		if (page == old)
			continue;
		cur = vfio_mig_pages_store(stage->pages, stage->xa, i, page,
					   old);
		if (xa_is_err(cur)) {
			vfio_mig_pages_free(stage->pages, old);
			ret = xa_err(cur);
			continue;
		}
		if (page)
			drop_page(stage, page);
		else
			stage->nr++;
		cond_resched();
	}
	xa_destroy(&stage->replaced);
	return ret;
}

/**
 * vfio_mig_stage_undo - undo the portion
 * @stage: staged pages, with a portion open
 *
 * Return: 0, or -ENOMEM if there was no memory to restore a page. Then the stream has to
 * be refused.
 */
int vfio_mig_stage_undo(struct vfio_mig_stage *stage)
{
	int ret = 0;

	if (stage->xa_before) {
		vfio_mig_pages_free_array(stage->pages, stage->xa);
		stage->xa = stage->xa_before;
		stage->nr = stage->nr_before;
		stage->xa_before = NULL;
	}
	if (stage->pages) {
		undo_made(stage);
		ret = undo_replaced(stage);
	}
	if (stage->filling && stage->filling != stage->filling_before)
		vfio_mig_pages_free(stage->pages, stage->filling);
	stage->filling = stage->filling_before;
	close_portion(stage);
	return ret;
}

/**
 * vfio_mig_stage_destroy - free all staged pages
 * @stage: staged pages; a portion may be open
 */
void vfio_mig_stage_destroy(struct vfio_mig_stage *stage)
{
	if (stage->open)
		vfio_mig_stage_keep(stage);
	if (stage->filling)
		vfio_mig_pages_free(stage->pages, stage->filling);
	vfio_mig_pages_free_array(stage->pages, stage->xa);
	stage->filling = NULL;
	stage->xa = NULL;
}

/**
 * vfio_mig_stage_take - take the staged pages to make them a device's state
 * @stage: staged pages, with no portion open
 *
 * Return: the array, which the caller owns, or NULL if there is no paged state.
 */
struct xarray *vfio_mig_stage_take(struct vfio_mig_stage *stage)
{
	struct xarray *xa = stage->xa;

	stage->xa = NULL;
	return xa;
}

/**
 * vfio_mig_stage_fill - return the page that is being filled
 * @stage: staged pages, with a portion open
 *
 * Allocates a page if none is being filled.
 *
 * Return: the page, ERR_PTR(-ENOSPC) if the budget is used up, or ERR_PTR(-ENOMEM).
 */
struct page *vfio_mig_stage_fill(struct vfio_mig_stage *stage)
{
	struct page *page = stage->filling;

	if (page)
		return page;
	page = vfio_mig_pages_alloc(stage->pages, 0, false);
	if (!IS_ERR(page))
		stage->filling = page;
	return page;
}

/* Returns whether the open portion staged @page, so that an undo does not restore it. */
static bool is_new(struct vfio_mig_stage *stage, struct page *page)
{
	return stage->xa_before || page_private(page) == stage->portion;
}

/* Records the first change of @index. @old is the page that is staged there, or NULL. */
static int note_change(struct vfio_mig_stage *stage, pgoff_t index,
		       struct page *old)
{
	void *cur;

	if (stage->xa_before || xa_load(&stage->replaced, index))
		return 0;
	if (!old) {
		/*
		 * A page number may be recorded more than once, which does no harm. There is
		 * space, because each entry is for another page that the portion has completed.
		 */
		stage->made[stage->nr_made++] = index;
		return 0;
	}
	if (is_new(stage, old))
		return 0;
	cur = vfio_mig_pages_store(stage->pages, &stage->replaced, index, NULL,
				   old);
	return xa_is_err(cur) ? xa_err(cur) : 0;
}

/**
 * vfio_mig_stage_page - stage the page that was being filled and is complete now
 * @stage: staged pages, with a portion open
 * @index: its page number
 *
 * Return: 0; or -ENOMEM, and then the portion has to be undone.
 */
int vfio_mig_stage_page(struct vfio_mig_stage *stage, pgoff_t index)
{
	struct page *page = stage->filling, *old = xa_load(stage->xa, index), *cur;
	int ret;

	ret = note_change(stage, index, old);
	if (ret)
		return ret;
	cur = vfio_mig_pages_store(stage->pages, stage->xa, index, old, page);
	if (xa_is_err(cur))
		return xa_err(cur);
	if (!old)
		stage->nr++;
	else if (is_new(stage, old))
		drop_page(stage, old);
	set_page_private(page, stage->portion);
	stage->filling = NULL;
	return 0;
}

/**
 * vfio_mig_stage_hole - remove a range of pages, which then reads as zeros
 * @stage: staged pages, with a portion open
 * @first: first page
 * @nr: number of pages, not 0
 *
 * Return: 0; or -ENOMEM or -EINTR, and then the portion has to be undone.
 */
int vfio_mig_stage_hole(struct vfio_mig_stage *stage, pgoff_t first, pgoff_t nr)
{
	struct page *page;
	unsigned long i;
	int ret;

	xa_for_each_range(stage->xa, i, page, first, first + nr - 1) {
		ret = note_change(stage, i, page);
		if (ret)
			return ret;
		xa_erase(stage->xa, i);
		stage->nr--;
		if (is_new(stage, page))
			drop_page(stage, page);
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/**
 * vfio_mig_stage_restart - remove all staged pages, because another save begins
 * @stage: staged pages, with a portion open, and no page being filled
 *
 * Return: 0; or -ENOMEM, and then the portion has to be undone.
 */
int vfio_mig_stage_restart(struct vfio_mig_stage *stage)
{
	struct xarray *xa;

	if (!stage->pages)
		return 0;
	xa = vfio_mig_pages_new_array();
	if (!xa)
		return -ENOMEM;
	if (stage->xa_before) {
		vfio_mig_pages_free_array(stage->pages, stage->xa);
	} else {
		stage->xa_before = stage->xa;
		stage->nr_before = stage->nr;
	}
	stage->xa = xa;
	stage->nr = 0;
	return 0;
}
