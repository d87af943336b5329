// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow doorbells. Those of the admin queue are used only if the test sets
 * &nvme.shadow_admin.
 */
#include <string.h>

#include "nvme.h"

#define ADMIN_DBBUF	0x7c

/* Doorbell Buffer Config. Returns 0, a negative errno or the NVMe status. */
int nvme_dbbuf_at(struct nvme *nvme, __u64 shadow, __u64 event_idx)
{
	struct nvme_cmd cmd = {
		.opcode = ADMIN_DBBUF,
		.prp1 = shadow,
		.prp2 = event_idx,
	};

	return nvme_do(nvme, &nvme->admin, &cmd, NULL);
}

/* Doorbell Buffer Config with two new pages of guest memory, which are used from now on. */
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
 * Writes a shadow doorbell. Returns whether the driver must write the register as well: it
 * must if the value passes EventIdx. These numbers have 16 bits and wrap around.
 */
int nvme_passes_event_idx(struct nvme *nvme, __u32 doorbell, __u16 value)
{
	__u16 old = nvme->shadow[doorbell], at;

	__sync_synchronize(); /* write the entries before the doorbell */
	nvme->shadow[doorbell] = value;
	__sync_synchronize(); /* write the doorbell before reading EventIdx */
	at = nvme->event_idx[doorbell];
	return (__u16)(value - at - 1) < (__u16)(value - old);
}
