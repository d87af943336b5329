// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's part of a recorded state. This must not change, because recorded files depend
 * on it.
 */
#include "recorded.h"

#define SET_FEATURES	0x09
#define AER		0x0c

static int set_feature(struct nvme *nvme, __u32 fid, __u32 value)
{
	struct nvme_cmd cmd = {
		.opcode = SET_FEATURES, .cdw10 = fid, .cdw11 = value,
	};

	return nvme_do(nvme, &nvme->admin, &cmd, NULL);
}

static int request(struct recorded *r)
{
	struct nvme_cmd cmd = { .opcode = AER };

	r->event = nvme_submit(&r->nvme, &r->nvme.admin, &cmd);
	if (r->event < 0)
		return r->event;
	return nvme_ring(&r->nvme, &r->nvme.admin);
}

/* Adds an entry to the error log. */
static int fail_once(struct nvme *nvme)
{
	struct nvme_cmd cmd = { .opcode = 0x7f, .nsid = 1 };

	return nvme_do(nvme, &nvme->io[0], &cmd, NULL) > 0 ? 0 : -1;
}

/*
 * Creates a state: a queue of 16 that has wrapped around, data, features, an outstanding
 * Asynchronous Event Request, an error and, from level 2 on, shadow doorbells. Returns 0, a
 * negative errno or an NVMe status.
 */
int recorded_drive(struct recorded *r, struct device *dev, struct guest *guest,
		   int level)
{
	struct nvme *nvme = &r->nvme;
	int ret, i;

	ret = nvme_start(nvme, dev, guest, 1, 16);
	if (ret)
		return ret;
	r->buf = guest_alloc(guest, 8 * GUEST_PAGE);
	if (level >= 2)
		ret = nvme_dbbuf(nvme);
	ret = ret ?: set_feature(nvme, 1, 0x03020103);
	ret = ret ?: set_feature(nvme, 4, 0x1f0);
	ret = ret ?: set_feature(nvme, 11, 0xff);
	ret = ret ?: request(r);
	pattern_fill(nvme, r->buf, RECORDED_LBA, RECORDED_BLOCKS, RECORDED_WHEN);
	ret = ret ?: nvme_io(nvme, NVME_OP_WRITE, RECORDED_LBA, RECORDED_BLOCKS,
			     r->buf);
	ret = ret ?: fail_once(nvme);
	for (i = 0; !ret && i < 20; i++)
		ret = nvme_flush(nvme);
	return ret;
}
