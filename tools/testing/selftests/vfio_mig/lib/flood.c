// SPDX-License-Identifier: GPL-2.0-only
/* Commands that keep an NVMe device busy. */
#include <errno.h>
#include <string.h>

#include "flood.h"

/* Even slots write their range. Odd slots read theirs, which does not change. */
static int is_read(__u32 slot)
{
	return slot & 1;
}

static __u64 range(struct flood *f, __u32 slot)
{
	return f->lba + (__u64)slot * f->blocks;
}

/* Allocates buffers and writes all ranges. */
int flood_init(struct flood *f, struct nvme *nvme, struct nvme_queue *q,
	       __u64 lba)
{
	__u32 i;
	int ret;

	memset(f, 0, sizeof(*f));
	f->nvme = nvme;
	f->q = q;
	f->lba = lba;
	f->blocks = FLOOD_BYTES / nvme->lba_size;
	for (i = 0; i < FLOOD_MAX; i++) {
		f->buf[i] = guest_alloc(nvme->guest, FLOOD_BYTES);
		pattern_fill(nvme, f->buf[i], range(f, i), f->blocks, 0);
		ret = nvme_io(nvme, NVME_OP_WRITE, range(f, i), f->blocks,
			      f->buf[i]);
		if (ret)
			return ret;
	}
	return 0;
}

/* Queues @nr commands. The caller writes the doorbell. */
int flood_submit(struct flood *f, __u32 nr)
{
	int cid;
	__u32 i;

	f->when++;
	f->nr = nr;
	memset(f->done, 0, sizeof(f->done));
	for (i = 0; i < nr; i++) {
		if (is_read(i))
			memset(f->buf[i], 0xee, FLOOD_BYTES);
		else
			pattern_fill(f->nvme, f->buf[i], range(f, i), f->blocks,
				     f->when);
		cid = nvme_submit_io(f->nvme, f->q, is_read(i) ? NVME_OP_READ :
				     NVME_OP_WRITE, range(f, i), f->blocks,
				     f->buf[i]);
		if (cid < 0)
			return cid;
		f->slot[cid] = i;
	}
	return 0;
}

/*
 * Takes completions until each command has one. Returns -EPROTO if a command has two,
 * -ETIMEDOUT if one has none, and -EIO if one failed.
 */
int flood_finish(struct flood *f)
{
	struct nvme_cqe cqe;
	__u32 left = f->nr, slot;
	int ret;

	while (left) {
		ret = nvme_wait(f->nvme, f->q, &cqe);
		if (ret)
			return ret;
		slot = f->slot[cqe.cid];
		if (f->done[slot]++)
			return -EPROTO;
		if (cqe.status >> 1)
			return -EIO;
		left--;
	}
	/* There must be no other completion. */
	ret = nvme_poll(f->nvme, f->q, &cqe);
	return ret > 0 ? -EPROTO : ret;
}

/* Compares the data that was read with the ranges. Returns the index of a bad one, or -1. */
int flood_check_reads(struct flood *f)
{
	__u32 i;

	for (i = 0; i < f->nr; i++)
		if (is_read(i) &&
		    pattern_check(f->nvme, f->buf[i], range(f, i), f->blocks,
				  0) >= 0)
			return i;
	return -1;
}

/* Reads all ranges back, into @scratch. Returns the index of a bad one, or -1. */
int flood_check_blocks(struct flood *f, void *scratch)
{
	__u32 i, when;

	for (i = 0; i < FLOOD_MAX; i++) {
		when = is_read(i) || i >= f->nr ? 0 : f->when;
		if (nvme_io(f->nvme, NVME_OP_READ, range(f, i), f->blocks,
			    scratch))
			return i;
		/* A range that this flood did not write has the generation of an earlier flood. */
		if (i >= f->nr && !is_read(i))
			continue;
		if (pattern_check(f->nvme, scratch, range(f, i), f->blocks,
				  when) >= 0)
			return i;
	}
	return -1;
}
