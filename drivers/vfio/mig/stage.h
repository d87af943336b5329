/* SPDX-License-Identifier: GPL-2.0-only */
/* Staged pages: what a load has taken of a paged state */
#ifndef VFIO_MIG_STAGE_H
#define VFIO_MIG_STAGE_H

#include <linux/types.h>
#include <linux/xarray.h>

struct page;
struct vfio_mig_pages;

#define VFIO_MIG_STAGE_FEW	4

/**
 * struct vfio_mig_stage - staged pages, and how to take back the open portion
 * @pages: the paged state that pays for them, NULL for a device without
 * @xa: the pages, all of them whole
 * @nr: how many there are
 * @filling: the page that is being filled, in no array yet
 * @open: a portion is open
 * @portion: its number; a page that it staged has the number in page_private()
 * @made: page numbers that it staged a page at, where there was none
 * @nr_made: how many
 * @few: what @made is for a small portion
 * @replaced: pages that it replaced or removed, by page number
 * @xa_before: what @xa was when it began, where a save started over in it
 * @nr_before: what @nr was then
 * @filling_before: what @filling was when it began
 * @filling_dropped: @filling_before was staged in it and removed again
 */
struct vfio_mig_stage {
	struct vfio_mig_pages *pages;
	struct xarray *xa;
	unsigned long nr;
	struct page *filling;
	bool open;
	unsigned long portion;
	pgoff_t *made;
	size_t nr_made;
	pgoff_t few[VFIO_MIG_STAGE_FEW];
	struct xarray replaced;
	struct xarray *xa_before;
	unsigned long nr_before;
	struct page *filling_before;
	bool filling_dropped;
};

int vfio_mig_stage_init(struct vfio_mig_stage *stage,
			struct vfio_mig_pages *pages);
void vfio_mig_stage_destroy(struct vfio_mig_stage *stage);
struct xarray *vfio_mig_stage_take(struct vfio_mig_stage *stage);

int vfio_mig_stage_open(struct vfio_mig_stage *stage, size_t bytes);
void vfio_mig_stage_keep(struct vfio_mig_stage *stage);
int vfio_mig_stage_undo(struct vfio_mig_stage *stage);

struct page *vfio_mig_stage_fill(struct vfio_mig_stage *stage);
int vfio_mig_stage_page(struct vfio_mig_stage *stage, pgoff_t index);
int vfio_mig_stage_hole(struct vfio_mig_stage *stage, pgoff_t first, pgoff_t nr);
int vfio_mig_stage_restart(struct vfio_mig_stage *stage);

#endif /* VFIO_MIG_STAGE_H */
