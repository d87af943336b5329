/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commands that keep an NVMe device busy, each of which must complete once.
 *
 * A flood reads and writes disjoint ranges of blocks. What was read is checked
 * against what the range holds, what was written is read back by the caller.
 */
#ifndef VFIO_MIG_LIB_FLOOD_H
#define VFIO_MIG_LIB_FLOOD_H

#include "nvme.h"

#define FLOOD_MAX	48		/* commands at a time */
#define FLOOD_BYTES	(64U << 10)	/* each of them */

struct flood {
	struct nvme *nvme;
	struct nvme_queue *q;
	__u32 blocks;			/* of one command */
	__u64 lba;			/* where its ranges start */
	__u32 when;			/* generation of what is written */
	unsigned char *buf[FLOOD_MAX];
	int slot[NVME_DEPTH_MAX];	/* by command id */
	int done[FLOOD_MAX];		/* how often each completed */
	__u32 nr;
};

int flood_init(struct flood *f, struct nvme *nvme, struct nvme_queue *q,
	       __u64 lba);
int flood_submit(struct flood *f, __u32 nr);
int flood_finish(struct flood *f);
int flood_check_reads(struct flood *f);
int flood_check_blocks(struct flood *f, void *scratch);

#endif /* VFIO_MIG_LIB_FLOOD_H */
