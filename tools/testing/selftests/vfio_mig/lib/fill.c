// SPDX-License-Identifier: GPL-2.0-only
/* Gives a device more state than fits into a small window. */
#include "fill.h"
#include "nvme.h"

/*
 * Writes FILL_BYTES to an NVMe device by DMA from @guest, which this function creates. Any
 * other device stays as it is. Returns 0, a negative errno, or an NVMe status.
 */
int fill_device(struct device *dev, struct guest *guest)
{
	struct nvme nvme;
	void *buf;
	int ret;

	if (nvme_probe(dev))
		return 0;
	ret = guest_create(guest, 4 << 20);
	if (!ret)
		ret = guest_attach(guest, dev);
	if (!ret)
		ret = nvme_start(&nvme, dev, guest, 1, 16);
	if (ret)
		return ret;
	buf = guest_alloc(guest, FILL_BYTES);
	pattern_fill(&nvme, buf, 0, FILL_BYTES / nvme.lba_size, 1);
	ret = nvme_io(&nvme, NVME_OP_WRITE, 0, FILL_BYTES / nvme.lba_size, buf);
	nvme_close(&nvme);
	return ret;
}
