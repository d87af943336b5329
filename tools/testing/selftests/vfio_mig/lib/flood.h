/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A flood of commands keeps an NVMe device busy. Each command must complete once.
 *
 * The commands read and write disjoint ranges of blocks. flood_check_reads() checks the data
 * that the flood read, and the caller checks the data that it wrote.
 */
#ifndef VFIO_MIG_LIB_FLOOD_H
#define VFIO_MIG_LIB_FLOOD_H

#include "nvme.h"

#define FLOOD_MAX	48		/* most commands in flight */
#define FLOOD_BYTES	(64U << 10)	/* of each command */

struct flood {
	struct nvme *nvme;
	struct nvme_queue *q;
	__u32 blocks;			/* of each command */
	__u64 lba;			/* first block of the ranges */
	__u32 when;			/* generation of the data that is written */
	unsigned char *buf[FLOOD_MAX];
	int slot[NVME_DEPTH_MAX];	/* by command id */
	int done[FLOOD_MAX];		/* number of completions of each command */
	__u32 nr;
};

int flood_init(struct flood *f, struct nvme *nvme, struct nvme_queue *q,
	       __u64 lba);
int flood_submit(struct flood *f, __u32 nr);
int flood_finish(struct flood *f);
int flood_check_reads(struct flood *f);
int flood_check_blocks(struct flood *f, void *scratch);

#endif /* VFIO_MIG_LIB_FLOOD_H */
