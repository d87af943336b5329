/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIO_MIG_LIB_KIND_H
#define VFIO_MIG_LIB_KIND_H

struct device;

/* A device to test, which is the variant of a fixture */
struct kind {
	const char *name;
	const char *path;	/* in sysfs */
};

void kinds_init(int argc, char **argv, int (*has)(struct device *dev));
const struct kind *kinds_get(unsigned int i);

#endif /* VFIO_MIG_LIB_KIND_H */
