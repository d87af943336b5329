/* SPDX-License-Identifier: GPL-2.0-only */
/* A paged state in the driver's own memory */
#ifndef VFIO_MIG_MEMORY_H
#define VFIO_MIG_MEMORY_H

#include <linux/types.h>

struct page;
struct vfio_mig;
struct vfio_mig_pages;
struct xarray;

int vfio_mig_memory_begin(struct vfio_mig_pages *p);
void vfio_mig_memory_end(struct vfio_mig_pages *p);
int vfio_mig_memory_sync(struct vfio_mig *mig);
int vfio_mig_memory_error(struct vfio_mig *mig, const char *what, int err);
int vfio_mig_memory_take(struct vfio_mig_pages *p, pgoff_t first, u32 max,
			 struct page **pages, pgoff_t *index);
int vfio_mig_memory_read(struct vfio_mig_pages *p, u64 off, void *to, size_t len);
int vfio_mig_memory_write(struct vfio_mig_pages *p, u64 off, const void *from, size_t len);
int vfio_mig_memory_load(struct vfio_mig *mig, struct xarray *xa);

#endif /* VFIO_MIG_MEMORY_H */
