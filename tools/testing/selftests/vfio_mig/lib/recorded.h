/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a guest did before its controller was recorded: the same each time, so that
 * whoever does it again on another device has the guest's memory and queues as they
 * were, and goes on with a state that was recorded by an older driver.
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
	int event;		/* command identifier of a request that is outstanding */
};

int recorded_drive(struct recorded *r, struct device *dev, struct guest *guest,
		   int level);

#endif /* VFIO_MIG_LIB_RECORDED_H */
