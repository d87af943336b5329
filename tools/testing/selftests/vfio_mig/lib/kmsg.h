/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's log, of a device, from a moment on. */
#ifndef VFIO_MIG_LIB_KMSG_H
#define VFIO_MIG_LIB_KMSG_H

#include "device.h"

/* Most lines in a row of what is rate limited, and seconds until there are more. */
#define KMSG_BURST	10
#define KMSG_INTERVAL	5

int kmsg_open(void);
const char *kmsg_next(int kmsg, const struct device *dev);
int kmsg_count(int kmsg, const struct device *dev);

#endif /* VFIO_MIG_LIB_KMSG_H */
