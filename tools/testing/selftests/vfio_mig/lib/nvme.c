// SPDX-License-Identifier: GPL-2.0-only
/* Initialises an NVMe controller, and continues on another one after a migration. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "nvme.h"

#define PCI_COMMAND		4
#define PCI_COMMAND_MEM_MASTER	6
#define PCI_CLASS_REVISION	8
#define PCI_CLASS_NVME		0x010802

#define ADMIN_CREATE_SQ		0x01
#define ADMIN_CREATE_CQ		0x05
#define ADMIN_IDENTIFY		0x06

#define ADMIN_DEPTH		32

int nvme_read32(struct nvme *nvme, __u32 reg, __u32 *value)
{
	return region_read_all(&nvme->bar0, reg, value, sizeof(*value));
}

int nvme_write32(struct nvme *nvme, __u32 reg, __u32 value)
{
	return region_write_all(&nvme->bar0, reg, &value, sizeof(value));
}

static int write64(struct nvme *nvme, __u32 reg, __u64 value)
{
	int ret = nvme_write32(nvme, reg, (__u32)value);

	return ret ? ret : nvme_write32(nvme, reg + 4, value >> 32);
}

/* Returns 0 for an NVMe controller, and -ENODEV for any other device. */
int nvme_probe(struct device *dev)
{
	struct region config;
	__u32 class;
	int ret;

	if (!(dev->info.flags & VFIO_DEVICE_FLAGS_PCI))
		return -ENODEV;
	ret = region_open(&config, dev, VFIO_PCI_CONFIG_REGION_INDEX);
	if (ret)
		return ret;
	ret = region_read_all(&config, PCI_CLASS_REVISION, &class, sizeof(class));
	if (ret)
		return ret;
	return class >> 8 == PCI_CLASS_NVME ? 0 : -ENODEV;
}

/* Sets the PCI command register and the interrupts, as a VMM does after a migration. */
static int attach(struct nvme *nvme, struct device *dev)
{
	__u16 command = PCI_COMMAND_MEM_MASTER;
	int fds[NVME_QUEUES_MAX + 1];
	struct region config;
	int ret;
	__u32 i;

	nvme->dev = dev;
	ret = region_open(&nvme->bar0, dev, VFIO_PCI_BAR0_REGION_INDEX);
	if (!ret)
		ret = region_open(&config, dev, VFIO_PCI_CONFIG_REGION_INDEX);
	if (ret)
		return ret;
	ret = region_write_all(&config, PCI_COMMAND, &command, sizeof(command));
	if (ret)
		return ret;

	fds[0] = nvme->admin.eventfd;
	for (i = 0; i < nvme->nr_queues; i++)
		fds[i + 1] = nvme->io[i].eventfd;
	return device_irq_eventfds(dev, VFIO_PCI_MSIX_IRQ_INDEX, fds, i + 1);
}

static int wait_ready(struct nvme *nvme, __u32 ready)
{
	__u32 csts;
	int i, ret;

	for (i = 0; i < NVME_TIMEOUT_MS; i++) {
		ret = nvme_read32(nvme, REG_CSTS, &csts);
		if (ret)
			return ret;
		/* A reset clears CSTS.CFS, but not at once. */
		if (ready && csts & CSTS_CFS)
			return -EIO;
		if ((csts & CSTS_RDY) == ready)
			return 0;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

int nvme_wait_csts(struct nvme *nvme, __u32 want)
{
	__u32 csts = ~0;
	int i, ret;

	for (i = 0; i < 5000; i++) {
		ret = nvme_read32(nvme, REG_CSTS, &csts);
		if (ret)
			return ret;
		if ((csts & CSTS_ALL) == want)
			return 0;
		usleep(1000);
	}
	return csts;
}

static int queue_alloc(struct nvme *nvme, struct nvme_queue *q, __u16 id,
		       __u16 depth)
{
	memset(q, 0, sizeof(*q));
	q->id = id;
	q->depth = depth;
	q->phase = 1;
	q->sq = guest_alloc(nvme->guest, depth * sizeof(struct nvme_cmd));
	q->cq = guest_alloc(nvme->guest, depth * sizeof(struct nvme_cqe));
	q->prp_lists = guest_alloc(nvme->guest, depth * GUEST_PAGE);
	memset((void *)q->cq, 0, depth * sizeof(struct nvme_cqe));
	q->eventfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return q->eventfd < 0 ? -errno : 0;
}

static int enable(struct nvme *nvme)
{
	__u32 size = ADMIN_DEPTH - 1;
	int ret;

	ret = nvme_write32(nvme, REG_CC, 0);
	if (!ret)
		ret = wait_ready(nvme, 0);
	if (!ret)
		ret = nvme_write32(nvme, REG_AQA, size << 16 | size);
	if (!ret)
		ret = write64(nvme, REG_ASQ,
			      guest_iova(nvme->guest, nvme->admin.sq));
	if (!ret)
		ret = write64(nvme, REG_ACQ, guest_iova(nvme->guest,
							(void *)nvme->admin.cq));
	if (!ret)
		ret = nvme_write32(nvme, REG_CC, CC_ENABLE);
	return ret ? ret : wait_ready(nvme, CSTS_RDY);
}

static int identify(struct nvme *nvme)
{
	__u8 *id = guest_alloc(nvme->guest, GUEST_PAGE);
	struct nvme_cmd cmd = {
		.opcode = ADMIN_IDENTIFY,
		.prp1 = guest_iova(nvme->guest, id),
		.cdw10 = 1,
	};
	__u32 lbaf;
	int ret;

	ret = nvme_do(nvme, &nvme->admin, &cmd, NULL);
	if (ret)
		return ret;
	/* MDTS. If MDTS is 0, a PRP list of one page is the limit. */
	nvme->transfer_max = id[77] ? GUEST_PAGE << id[77] : GUEST_PAGE * 512;
	if (nvme->transfer_max > GUEST_PAGE * 512)
		nvme->transfer_max = GUEST_PAGE * 512;

	cmd.cdw10 = 0;
	cmd.nsid = 1;
	ret = nvme_do(nvme, &nvme->admin, &cmd, NULL);
	if (ret)
		return ret;
	memcpy(&nvme->nr_lbas, id, sizeof(nvme->nr_lbas));
	memcpy(&lbaf, id + 128 + 4 * (id[26] & 0xf), sizeof(lbaf));
	nvme->lba_size = 1U << ((lbaf >> 16) & 0xff);
	return 0;
}

static int create_queue(struct nvme *nvme, struct nvme_queue *q)
{
	struct nvme_cmd cq = {
		.opcode = ADMIN_CREATE_CQ,
		.prp1 = guest_iova(nvme->guest, (void *)q->cq),
		.cdw10 = (__u32)(q->depth - 1) << 16 | q->id,
		.cdw11 = (__u32)q->id << 16 | 3,
	};
	struct nvme_cmd sq = {
		.opcode = ADMIN_CREATE_SQ,
		.prp1 = guest_iova(nvme->guest, q->sq),
		.cdw10 = (__u32)(q->depth - 1) << 16 | q->id,
		.cdw11 = (__u32)q->id << 16 | 1,
	};
	int ret;

	ret = nvme_do(nvme, &nvme->admin, &cq, NULL);
	return ret ? ret : nvme_do(nvme, &nvme->admin, &sq, NULL);
}

static int start(struct nvme *nvme, __u16 depth)
{
	__u32 low, high, i;
	int ret;

	ret = queue_alloc(nvme, &nvme->admin, 0, ADMIN_DEPTH);
	for (i = 0; !ret && i < nvme->nr_queues; i++)
		ret = queue_alloc(nvme, &nvme->io[i], i + 1, depth);
	if (!ret)
		ret = attach(nvme, nvme->dev);
	if (!ret)
		ret = nvme_read32(nvme, REG_CAP_LOW, &low);
	if (!ret)
		ret = nvme_read32(nvme, REG_CAP_HIGH, &high);
	if (ret)
		return ret;
	if ((low & 0xffff) + 1 < depth)
		return -EINVAL;
	nvme->doorbell_stride = 4 << (high & 0xf);

	ret = enable(nvme);
	if (!ret)
		ret = identify(nvme);
	for (i = 0; !ret && i < nvme->nr_queues; i++)
		ret = create_queue(nvme, &nvme->io[i]);
	return ret;
}

/*
 * Resets and initialises the controller of @dev. The memory of @guest is mapped already.
 * Returns 0, a negative errno, or the NVMe status of a command that failed.
 */
int nvme_start(struct nvme *nvme, struct device *dev, struct guest *guest,
	       __u32 nr_queues, __u16 depth)
{
	__u32 i;
	int ret;

	memset(nvme, 0, sizeof(*nvme));
	nvme->admin.eventfd = -1;
	for (i = 0; i < NVME_QUEUES_MAX; i++)
		nvme->io[i].eventfd = -1;
	if (nr_queues > NVME_QUEUES_MAX || depth > NVME_DEPTH_MAX)
		return -EINVAL;
	nvme->dev = dev;
	nvme->guest = guest;
	nvme->nr_queues = nr_queues;

	ret = start(nvme, depth);
	if (ret)
		nvme_close(nvme);
	return ret;
}

/* Continues on @dev, which has the state of the old device. The guest's memory is mapped. */
int nvme_adopt(struct nvme *nvme, struct device *dev)
{
	return attach(nvme, dev);
}

static void queue_close(struct nvme_queue *q)
{
	if (q->eventfd >= 0)
		close(q->eventfd);
	q->eventfd = -1;
}

/* Does not access the device, which may not exist any more. */
void nvme_close(struct nvme *nvme)
{
	__u32 i;

	if (!nvme->guest)
		return;
	queue_close(&nvme->admin);
	for (i = 0; i < nvme->nr_queues; i++)
		queue_close(&nvme->io[i]);
	nvme->guest = NULL;
}
