/* SPDX-License-Identifier: GPL-2.0-only */
/* Differences between the kernels that this builds for, and nothing else */
#ifndef VFIO_MIG_COMPAT_H
#define VFIO_MIG_COMPAT_H

#include <linux/mm.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "vfio-mig-core supports Linux 6.1 and later"
#endif

/* 6.3 made vm_flags read-only and added the accessors. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags |= flags;
}
#endif

#endif /* VFIO_MIG_COMPAT_H */
