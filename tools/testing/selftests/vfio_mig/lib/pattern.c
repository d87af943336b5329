// SPDX-License-Identifier: GPL-2.0-only
/* Data of blocks that depends on the block and on the generation of the write */
#include "nvme.h"

static __u64 word(__u64 lba, __u32 when, __u32 i)
{
	__u64 x = lba * 0x9e3779b97f4a7c15ULL + ((__u64)when << 32) + i;

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9ULL;
	/* Never 0, because drivers treat pages of zeros differently. */
	return (x ^ x >> 32) | 1;
}

void pattern_fill(struct nvme *nvme, void *buf, __u64 lba, __u32 nr, __u32 when)
{
	__u32 words = nvme->lba_size / sizeof(__u64), i;
	__u64 *at = buf;

	for (; nr--; lba++)
		for (i = 0; i < words; i++)
			*at++ = word(lba, when, i);
}

/* Returns the first block with wrong data, or -1. */
__s64 pattern_check(struct nvme *nvme, const void *buf, __u64 lba, __u32 nr,
		    __u32 when)
{
	__u32 words = nvme->lba_size / sizeof(__u64), i;
	const __u64 *at = buf;

	for (; nr--; lba++)
		for (i = 0; i < words; i++)
			if (*at++ != word(lba, when, i))
				return lba;
	return -1;
}
