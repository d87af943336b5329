/* SPDX-License-Identifier: GPL-2.0-only */
/* Devices of vfio_mig_test: their image, and fault injection into their driver */
#ifndef VFIO_MIG_LIB_TESTDEV_H
#define VFIO_MIG_LIB_TESTDEV_H

#include "endpoint.h"
#include "mdev.h"

#define TESTDEV_PIECE	(256 << 10)	/* most bytes of an image in a chunk */
#define TESTDEV_RECORD	24		/* size of the header of an image's record */

struct testdev {
	struct endpoint end;
	struct region bar;
};

struct testdev_image {
	__u64 seed;
	__u64 size;
};

void testdev_init(void);
int testdev_create(struct mdev *mdev, const char *type);

int testdev_open(struct testdev *t, const struct mdev *mdev);
void testdev_close(struct testdev *t);
int testdev_set_image(struct testdev *t, __u64 seed, __u64 size);
int testdev_image(struct testdev *t, struct testdev_image *image);

int testdev_fault(const struct mdev *mdev, const char *line);
int testdev_waits(const struct mdev *mdev, double seconds);
long testdev_calls(const struct mdev *mdev, const char *callback);
int testdev_stop_reason(const struct mdev *mdev, const char *reason);
int testdev_idle(const struct mdev *mdev);

#endif /* VFIO_MIG_LIB_TESTDEV_H */
