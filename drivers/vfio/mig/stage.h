/* SPDX-License-Identifier: GPL-2.0-only */
/* Staged pages: the part of a paged state that a load has taken so far */
#ifndef VFIO_MIG_STAGE_H
#define VFIO_MIG_STAGE_H

#include <linux/types.h>
#include <linux/xarray.h>

struct page;
struct vfio_mig_pages;

#define VFIO_MIG_STAGE_FEW	4

/**
 * struct vfio_mig_stage - staged pages, and data to undo the open portion
 * @pages: the paged state that is charged, or NULL
 * @xa: the staged pages, which are complete
 * @nr: number of pages in @xa
 * @filling: the page that is being filled, which is in no array yet
 * @open: a portion is open
 * @portion: number of the open portion. Its pages have this number in page_private().
 * @made: numbers of pages that the portion staged where there was no page
 * @nr_made: number of entries of @made
 * @few: memory for @made in a small portion
 * @replaced: pages that the portion replaced or removed, by page number
 * @xa_before: value of @xa at the start of the portion, if another save began in it
 * @nr_before: value of @nr at the start of the portion
 * @filling_before: value of @filling at the start of the portion
 * @filling_dropped: the portion staged @filling_before and removed it again
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
