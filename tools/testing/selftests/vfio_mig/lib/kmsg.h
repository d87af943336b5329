/* SPDX-License-Identifier: GPL-2.0-only */
/* The messages about one device in the kernel's log */
#ifndef VFIO_MIG_LIB_KMSG_H
#define VFIO_MIG_LIB_KMSG_H

#include "device.h"

int kmsg_open(void);
const char *kmsg_next(int kmsg, const struct device *dev);
int kmsg_count(int kmsg, const struct device *dev);
int kmsg_most(double seconds);

#endif /* VFIO_MIG_LIB_KMSG_H */
