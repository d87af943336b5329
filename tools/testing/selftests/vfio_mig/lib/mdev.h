/* SPDX-License-Identifier: GPL-2.0-only */
/* Finds, creates and removes mediated devices through sysfs. */
#ifndef VFIO_MIG_LIB_MDEV_H
#define VFIO_MIG_LIB_MDEV_H

#include <limits.h>

struct mdev {
	char uuid[37];
	char path[PATH_MAX];	/* in sysfs; empty without a device */
};

void mdev_init(void);
int mdev_create(struct mdev *mdev, const char *parent, const char *type);
int mdev_remove(struct mdev *mdev);
void mdev_sweep(void);
long mdev_window_kib(long kib);
long long mdev_parent_number(const char *parent, const char *name);

#endif /* VFIO_MIG_LIB_MDEV_H */
