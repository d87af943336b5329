/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIO_MIG_LIB_FILL_H
#define VFIO_MIG_LIB_FILL_H

#include "device.h"
#include "guest.h"

#define FILL_BYTES	0x100000U

int fill_device(struct device *dev, struct guest *guest);

#endif /* VFIO_MIG_LIB_FILL_H */
