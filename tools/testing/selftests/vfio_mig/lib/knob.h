/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fault knobs of vfio-mig-core in debugfs, which make a device fail.
 *
 * Each function returns 0 or a negative errno.
 */
#ifndef VFIO_MIG_LIB_KNOB_H
#define VFIO_MIG_LIB_KNOB_H

#include <stddef.h>

#include "device.h"

int knob_there(const char *device);
int knob_set(const struct device *dev, const char *name, const char *fmt, ...);
int knob_get(const struct device *dev, const char *name, char *text,
	     size_t room);
int knob_all_off(const struct device *dev);

#endif /* VFIO_MIG_LIB_KNOB_H */
