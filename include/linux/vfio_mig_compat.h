/* SPDX-License-Identifier: GPL-2.0-only */
/* Differences between the kernels that this builds for, and nothing else */
#ifndef _LINUX_VFIO_MIG_COMPAT_H
#define _LINUX_VFIO_MIG_COMPAT_H

#include <linux/eventfd.h>
#include <linux/mm.h>
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

/* 6.2 has the VFIO core free the device after its release(). */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define vfio_mig_free_device(vdev)	vfio_free_device(vdev)
#else
#define vfio_mig_free_device(vdev)	do { } while (0)
#endif

/* 6.8 took the count away, which had to be 1. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define vfio_mig_signal(eventfd)	eventfd_signal(eventfd, 1)
#else
#define vfio_mig_signal(eventfd)	eventfd_signal(eventfd)
#endif

/* 6.19 made an operation of VFIO_DEVICE_GET_REGION_INFO. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0)
#define VFIO_MIG_REGION_INFO_OP(fn)
#else
#define VFIO_MIG_REGION_INFO_OP(fn)	.get_region_info_caps = (fn),
#endif

/*
 * Where VFIO has iommufd it takes no device without these. 6.2 brought them, 6.6
 * the last one.
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

/* 6.4 takes classes that are const. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define VFIO_MIG_CONST_CLASS
#else
#define VFIO_MIG_CONST_CLASS		const
#endif

/* The same for a driver that embeds a struct vfio_pci_core_device. */
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

/* 6.17 made an operation of the check of a VF's token. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
#define VFIO_MIG_PCI_TOKEN_OP
#else
#define VFIO_MIG_PCI_TOKEN_OP	.match_token_uuid = vfio_pci_core_match_token_uuid,
#endif

/*
 * vfio-pci maps a page in a fault from 6.12 on, in the address space of the device's own
 * inode. Before that a fault maps all that was asked for.
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
 * Where the kernel has no iova_bitmap it has stubs of it: a user would find DMA
 * logging offered, and every report fail. Until 6.2 it was a part of VFIO itself.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define VFIO_MIG_HAS_IOVA_BITMAP	1
#define VFIO_MIG_IMPORT_IOMMUFD()	static_assert(1)
#else
#define VFIO_MIG_HAS_IOVA_BITMAP	IS_ENABLED(CONFIG_IOMMUFD_DRIVER)
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
#define VFIO_MIG_IMPORT_IOMMUFD()	MODULE_IMPORT_NS(IOMMUFD)
#else
#define VFIO_MIG_IMPORT_IOMMUFD()	MODULE_IMPORT_NS("IOMMUFD")
#endif
#endif

/*
 * 6.2 brought PRE_COPY to the v2 protocol, with the ioctl that is probed here. A
 * kernel without it is not told of the states that only v1 can then reach.
 */
#ifdef VFIO_MIG_GET_PRECOPY_INFO
#define VFIO_MIG_V2_PRE_COPY	VFIO_MIGRATION_PRE_COPY
#else
#define VFIO_MIG_V2_PRE_COPY	0
#endif

/* Threads of a user's process: 6.4 brought them, 6.10 the way to survive its death. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define VFIO_MIG_HAS_VHOST_TASK	IS_ENABLED(CONFIG_VHOST_TASK)
#else
#define VFIO_MIG_HAS_VHOST_TASK	0
#endif

/* 7.1 has users opt in to flags of struct vfio_precopy_info. */
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
