/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The registers of the v1 migration region, as Linux 5.10 had them in <linux/vfio.h>.
 * Linux 5.18 gave the constants other names, and marked the region's type as deprecated.
 */
#ifndef _UAPI_LINUX_VFIO_MIG_REGION_H
#define _UAPI_LINUX_VFIO_MIG_REGION_H

#include <linux/types.h>

/* The macro marks a <linux/vfio.h> that still has the structure. */
#ifndef VFIO_DEVICE_STATE_VALID
/**
 * struct vfio_device_migration_info - registers at the start of the region
 * @device_state: read and write, VFIO_MIG_V1_*
 * @reserved: reads 0, ignores writes
 * @pending_bytes: read only, an estimate of the bytes that are still to be sent
 * @data_offset: read only, offset of the data section in the region
 * @data_size: number of bytes in the data section, which are prepared (saving) or are to
 *	be consumed (resuming)
 *
 * An access is to a whole register, with the register's width and alignment.
 */
struct vfio_device_migration_info {
	__u32 device_state;
	__u32 reserved;
	__u64 pending_bytes;
	__u64 data_offset;
	__u64 data_size;
};
#endif

/* Values of device_state; bit 0 is _RUNNING, bit 1 _SAVING, bit 2 _RESUMING. */
#define VFIO_MIG_V1_STOP	0
#define VFIO_MIG_V1_RUNNING	1
#define VFIO_MIG_V1_STOP_COPY	2
#define VFIO_MIG_V1_PRE_COPY	3
#define VFIO_MIG_V1_RESUMING	4
#define VFIO_MIG_V1_ERROR	6

#endif /* _UAPI_LINUX_VFIO_MIG_REGION_H */
