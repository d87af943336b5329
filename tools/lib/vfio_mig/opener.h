/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two implementations of device_open(), device_map() and device_unmap(). Their functions
 * return 0 or a negative errno.
 */
#ifndef VFIO_MIG_LIB_OPENER_H
#define VFIO_MIG_LIB_OPENER_H

#include "device.h"

/**
 * struct opener - functions that open a device and map its DMA
 * @name: value of VFIO_MIG_OPEN that selects this opener
 * @open: sets &device.fd and the opener's own members. After a failure the caller closes
 *	the files that are open.
 * @missing: returns the reason why the running kernel cannot open the device at a path with
 *	this opener, or NULL
 * @map: maps memory for the device's DMA, for reads and writes
 * @map_file: as @map, for the first bytes of a memfd; NULL where that is not possible
 * @unmap: unmaps a range that @map or @map_file has mapped
 */
struct opener {
	const char *name;
	int (*open)(struct device *dev);
	const char *(*missing)(const char *path);
	int (*map)(struct device *dev, void *vaddr, __u64 iova, size_t size);
	int (*map_file)(struct device *dev, int fd, __u64 iova, size_t size);
	int (*unmap)(struct device *dev, __u64 iova, size_t size);
};

extern const struct opener group_opener;
extern const struct opener cdev_opener;

#endif /* VFIO_MIG_LIB_OPENER_H */
