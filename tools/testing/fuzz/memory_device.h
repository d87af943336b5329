/* SPDX-License-Identifier: GPL-2.0-only */
/* A device that is nothing but memory: a few pages and a control state. */
#ifndef FUZZ_MEMORY_DEVICE_H
#define FUZZ_MEMORY_DEVICE_H

#include "library.h"

#define DEVICE_PAGES	64
#define DEVICE_CONTROL	200

struct memory_device {
	struct vfio_mig mig;
	struct vfio_device vdev;
	struct vfio_mig_pages pages;
	struct vfio_mig_budget budget;
	size_t control_len;
	u8 control[DEVICE_CONTROL];
};

void device_init(struct memory_device *dev, bool has_pages);
void device_destroy(struct memory_device *dev);
void device_fill(struct memory_device *dev, pgoff_t index, u8 value);

#endif /* FUZZ_MEMORY_DEVICE_H */
