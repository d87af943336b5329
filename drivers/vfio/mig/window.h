/* SPDX-License-Identifier: GPL-2.0-only */
/* The v1 region's data section: memory that the user reads, writes and maps */
#ifndef VFIO_MIG_WINDOW_H
#define VFIO_MIG_WINDOW_H

#include <linux/types.h>

struct vfio_mig_window;
struct vm_area_struct;

struct vfio_mig_window *vfio_mig_window_create(size_t size);
void vfio_mig_window_destroy(struct vfio_mig_window *win);
int vfio_mig_window_begin(struct vfio_mig_window *win, bool load);
void vfio_mig_window_end(struct vfio_mig_window *win);
void vfio_mig_window_hide(struct vfio_mig_window *win, bool hidden);
void *vfio_mig_window_mem(struct vfio_mig_window *win);
size_t vfio_mig_window_size(struct vfio_mig_window *win);
bool vfio_mig_window_mapped(struct vfio_mig_window *win);
int vfio_mig_window_mmap(struct vfio_mig_window *win,
			 struct vm_area_struct *vma, pgoff_t first);

#endif /* VFIO_MIG_WINDOW_H */
