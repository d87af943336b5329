/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's actions before the state of its controller was recorded. A test repeats them
 * on another device, so it has the same guest memory and the same queues. Then it loads the
 * recorded state of an older driver and continues.
 */
#ifndef VFIO_MIG_LIB_RECORDED_H
#define VFIO_MIG_LIB_RECORDED_H

#include "nvme.h"

#define RECORDED_BLOCKS		24	/* pattern, from block 3 */
#define RECORDED_LBA		3
#define RECORDED_WHEN		1
#define RECORDED_MEMORY		(4 << 20)

struct recorded {
	struct nvme nvme;
	unsigned char *buf;
	int event;		/* identifier of the outstanding request for an event */
};

int recorded_drive(struct recorded *r, struct device *dev, struct guest *guest,
		   int level);

#endif /* VFIO_MIG_LIB_RECORDED_H */
