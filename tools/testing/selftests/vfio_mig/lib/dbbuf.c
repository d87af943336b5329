// SPDX-License-Identifier: GPL-2.0-only
/* Shadow doorbells, in memory; those of the admin queue only for a driver that asks. */
#include <string.h>

#include "nvme.h"

#define ADMIN_DBBUF	0x7c

/* Doorbell Buffer Config: 0, a negative errno or the NVMe status. */
int nvme_dbbuf_at(struct nvme *nvme, __u64 shadow, __u64 event_idx)
{
	struct nvme_cmd cmd = {
		.opcode = ADMIN_DBBUF,
		.prp1 = shadow,
		.prp2 = event_idx,
	};

	return nvme_do(nvme, &nvme->admin, &cmd, NULL);
}

/* The same with pages of the guest's, which are used from then on. */
int nvme_dbbuf(struct nvme *nvme)
{
	void *shadow = guest_alloc(nvme->guest, GUEST_PAGE);
	void *event_idx = guest_alloc(nvme->guest, GUEST_PAGE);
	int ret;

	memset(shadow, 0, GUEST_PAGE);
	memset(event_idx, 0, GUEST_PAGE);
	ret = nvme_dbbuf_at(nvme, guest_iova(nvme->guest, shadow),
			    guest_iova(nvme->guest, event_idx));
	if (ret)
		return ret;
	nvme->shadow = shadow;
	nvme->event_idx = event_idx;
	return 0;
}

/*
 * Write a doorbell in memory. Is the register to be written as well? It is when
 * the value passes EventIdx, in numbers of 16 bits that wrap around.
 */
int nvme_passes_event_idx(struct nvme *nvme, __u32 doorbell, __u16 value)
{
	__u16 old = nvme->shadow[doorbell], at;

	__sync_synchronize(); /* the entries before the doorbell */
	nvme->shadow[doorbell] = value;
	__sync_synchronize(); /* the doorbell before the look at EventIdx */
	at = nvme->event_idx[doorbell];
	return (__u16)(value - at - 1) < (__u16)(value - old);
}
