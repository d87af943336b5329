/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences between the kernels that the modules are built for
 *
 * No other file tests the kernel's version. Where a feature can be probed by a macro of the
 * kernel's headers, this file does so, because stable kernels get features of later ones.
 */
#ifndef _LINUX_VFIO_MIG_COMPAT_H
#define _LINUX_VFIO_MIG_COMPAT_H

#include <linux/eventfd.h>
#include <linux/mm.h>
#include <linux/timer.h>
#include <linux/version.h>
#include <linux/vfio.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "vfio-mig-core supports Linux 6.1 and later"
#endif

/* From 6.2 on, the VFIO core frees the device after &vfio_device_ops.release. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define vfio_mig_free_device(vdev)	vfio_free_device(vdev)
#else
#define vfio_mig_free_device(vdev)	do { } while (0)
#endif

/* 6.2 renamed the function, and 6.1.84 has both names. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define timer_delete_sync(timer)	del_timer_sync(timer)
#endif

/* 6.8 removed the second argument, which had to be 1. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define vfio_mig_signal(eventfd)	eventfd_signal(eventfd, 1)
#else
#define vfio_mig_signal(eventfd)	eventfd_signal(eventfd)
#endif

/* 6.19 added an operation for VFIO_DEVICE_GET_REGION_INFO. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
#define VFIO_MIG_REGION_INFO_OP(fn)
#else
#define VFIO_MIG_REGION_INFO_OP(fn)	.get_region_info_caps = (fn),
#endif

/*
 * A kernel with iommufd registers no VFIO device without these operations. 6.2 added the
 * first three, and 6.6 added detach_ioas.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define VFIO_MIG_IOMMUFD_OPS
#else
#define VFIO_MIG_IOMMUFD_OPS						\
	.bind_iommufd = vfio_iommufd_emulated_bind,			\
	.unbind_iommufd = vfio_iommufd_emulated_unbind,			\
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,		\
	VFIO_MIG_DETACH_OP
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
#define VFIO_MIG_DETACH_OP
#else
#define VFIO_MIG_DETACH_OP						\
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
#endif
#endif

/* 6.4 and later register classes that are const. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define VFIO_MIG_CONST_CLASS
#else
#define VFIO_MIG_CONST_CLASS		const
#endif

/* VFIO_MIG_IOMMUFD_OPS for a driver that embeds a struct vfio_pci_core_device */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define VFIO_MIG_IOMMUFD_PHYSICAL_OPS
#else
#define VFIO_MIG_IOMMUFD_PHYSICAL_OPS					\
	.bind_iommufd = vfio_iommufd_physical_bind,			\
	.unbind_iommufd = vfio_iommufd_physical_unbind,			\
	.attach_ioas = vfio_iommufd_physical_attach_ioas,		\
	VFIO_MIG_PHYSICAL_DETACH_OP
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
#define VFIO_MIG_PHYSICAL_DETACH_OP
#else
#define VFIO_MIG_PHYSICAL_DETACH_OP					\
	.detach_ioas = vfio_iommufd_physical_detach_ioas,
#endif
#endif

/* 6.17 added an operation that checks the token of a VF. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
#define VFIO_MIG_PCI_TOKEN_OP
#else
#define VFIO_MIG_PCI_TOKEN_OP	.match_token_uuid = vfio_pci_core_match_token_uuid,
#endif

/*
 * From 6.12 on, a fault in a mapping of vfio-pci maps one page, and the device has an
 * inode whose address space has all its mappings. In older kernels the first fault maps
 * the whole range.
 */
#define VFIO_MIG_PCI_FAULTS_BY_PAGE	(LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0))

/* 6.3 made vm_flags read-only and added the accessors. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags |= flags;
}
#endif

/*
 * A kernel that is built without iova_bitmap has stubs of its functions. With these stubs
 * the library would offer DMA logging, and each report would fail. Before 6.7 iova_bitmap
 * was a part of VFIO.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
#define VFIO_MIG_HAS_IOVA_BITMAP	1
#else
#define VFIO_MIG_HAS_IOVA_BITMAP	IS_ENABLED(CONFIG_IOMMUFD_DRIVER)
#endif

/*
 * 6.2 added the namespace IOMMUFD, and the functions of iova_bitmap are in it since 6.7. From
 * 6.13 on, the namespace is a string.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define VFIO_MIG_IMPORT_IOMMUFD()	static_assert(1)
#else
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
#define VFIO_MIG_IMPORT_IOMMUFD()	MODULE_IMPORT_NS(IOMMUFD)
#else
#define VFIO_MIG_IMPORT_IOMMUFD()	MODULE_IMPORT_NS("IOMMUFD")
#endif
#endif

/*
 * 6.2 added PRE_COPY to the v2 protocol, and the ioctl that is probed here. On an older
 * kernel only v1 reaches the states of pre-copy, and v2 does not offer them.
 */
#ifdef VFIO_MIG_GET_PRECOPY_INFO
#define VFIO_MIG_V2_PRE_COPY	VFIO_MIGRATION_PRE_COPY
#else
#define VFIO_MIG_V2_PRE_COPY	0
#endif

/*
 * vhost_task makes a thread of a user's process. Linux 6.4 added it. Since 6.10 a callback
 * reports that the process was killed, and the library needs this callback.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define VFIO_MIG_HAS_VHOST_TASK	IS_ENABLED(CONFIG_VHOST_TASK)
#else
#define VFIO_MIG_HAS_VHOST_TASK	0
#endif

/* From 7.1 on, a user opts in to the flags of struct vfio_precopy_info. */
#ifdef VFIO_PRECOPY_INFO_REINIT
#define VFIO_MIG_PRECOPY_REINIT	VFIO_PRECOPY_INFO_REINIT
static inline bool vfio_mig_precopy_info_v2(struct vfio_device *vdev)
{
	return vdev->precopy_info_v2;
}
#else
#define VFIO_MIG_PRECOPY_REINIT	0
static inline bool vfio_mig_precopy_info_v2(struct vfio_device *vdev)
{
	return false;
}
#endif

#endif /* _LINUX_VFIO_MIG_COMPAT_H */
