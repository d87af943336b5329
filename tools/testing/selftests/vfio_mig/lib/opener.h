/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ways to open a VFIO device. Each has the verbs that device_open(),
 * device_map() and device_unmap() stand for; 0 or a negative errno.
 */
#ifndef VFIO_MIG_LIB_OPENER_H
#define VFIO_MIG_LIB_OPENER_H

#include "device.h"

/**
 * struct opener - a way to open a device
 * @name: what VFIO_MIG_OPEN calls it
 * @open: sets the device's @fd, and what else it keeps. What was opened when it
 *	fails is closed by its caller.
 * @missing: why the running kernel cannot open the device at a path so, or NULL
 * @map: memory for the device's DMA, to read and to write
 * @unmap: the same range again
 */
struct opener {
	const char *name;
	int (*open)(struct device *dev);
	const char *(*missing)(const char *path);
	int (*map)(struct device *dev, void *vaddr, __u64 iova, size_t size);
	int (*unmap)(struct device *dev, __u64 iova, size_t size);
};

extern const struct opener group_opener;
extern const struct opener cdev_opener;

#endif /* VFIO_MIG_LIB_OPENER_H */
