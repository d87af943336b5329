/* SPDX-License-Identifier: GPL-2.0-only */
/* BARs that consist of memory and that a user can map */
#ifndef VFIO_MIG_LIB_BAR_H
#define VFIO_MIG_LIB_BAR_H

#include "device.h"

int bar_find(struct region *r, struct device *dev, size_t size);
int bar_fill(struct device *dev, int byte);

#endif /* VFIO_MIG_LIB_BAR_H */
