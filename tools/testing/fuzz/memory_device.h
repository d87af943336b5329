/* SPDX-License-Identifier: GPL-2.0-only */
/* A device that consists of a few pages, a control state and an image */
#ifndef FUZZ_MEMORY_DEVICE_H
#define FUZZ_MEMORY_DEVICE_H

#include "library.h"

#define DEVICE_PAGES	64
#define DEVICE_CONTROL	200
#define DEVICE_IMAGE	1500

/* Parts of the state besides the control state */
#define DEVICE_HAS_PAGES	1
#define DEVICE_HAS_IMAGE	2

struct memory_device {
	struct vfio_mig mig;
	struct vfio_device vdev;
	struct vfio_mig_pages pages;
	struct vfio_mig_budget budget;
	size_t control_len;
	u8 control[DEVICE_CONTROL];
	size_t image_len;
	size_t image_read;
	u8 image[DEVICE_IMAGE];
	size_t coming_len;		/* the image that a load has written */
	u8 coming[DEVICE_IMAGE];
	bool saving, loading, checked;
};

void device_init(struct memory_device *dev, unsigned int has);
void device_destroy(struct memory_device *dev);
void device_fill(struct memory_device *dev, pgoff_t index, u8 value);

#endif /* FUZZ_MEMORY_DEVICE_H */
