// SPDX-License-Identifier: GPL-2.0-only
/*
 * A reset takes a bounded time in any state of the controller. Meanwhile reads of registers and
 * of configuration space return.
 */
#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/nvme_fixture.h"
#include "lib/waiter.h"

#define QUEUES		16
#define DEPTH		16
#define BLOCKS		2048	/* blocks of 512 bytes: 1 MiB */
#define RESET		0.100	/* seconds, of PCI Express */
#define ACCESS		0.010	/* most seconds of an access */
#define ADMIN_CREATE_SQ	0x01
#define ADMIN_CREATE_CQ	0x05

/**
 * struct looker - a thread that reads registers all the time
 * @nvme: the controller
 * @config: its configuration space
 * @slowest: seconds of the slowest read
 * @looks: number of reads
 * @late: number of reads that took too long
 * @stop: the thread must end
 * @thread: the thread
 */
struct looker {
	struct nvme *nvme;
	struct region config;
	double slowest;
	unsigned long looks;
	unsigned long late;
	volatile int stop;
	pthread_t thread;
};

FIXTURE(reset) {
	struct nvme_fixture f;
	unsigned char *data;
	__u64 *list;
	struct nvme_cmd *sq[QUEUES];
	struct looker look;
};

FIXTURE_VARIANT(reset) {
	int by;
};

enum { BY_CC, BY_FLR, BY_IOCTL };

FIXTURE_VARIANT_ADD(reset, by_cc) { .by = BY_CC };
FIXTURE_VARIANT_ADD(reset, by_flr) { .by = BY_FLR };
FIXTURE_VARIANT_ADD(reset, by_ioctl) { .by = BY_IOCTL };

static int create_pair(struct nvme *nvme, __u16 id, void *sq, void *cq)
{
	struct nvme_cmd create_cq = {
		.opcode = ADMIN_CREATE_CQ, .prp1 = guest_iova(nvme->guest, cq),
		.cdw10 = (DEPTH - 1) << 16 | id, .cdw11 = 1,
	};
	struct nvme_cmd create_sq = {
		.opcode = ADMIN_CREATE_SQ, .prp1 = guest_iova(nvme->guest, sq),
		.cdw10 = (DEPTH - 1) << 16 | id, .cdw11 = id << 16 | 1,
	};
	int ret = nvme_do(nvme, &nvme->admin, &create_cq, NULL);

	return ret ? ret : nvme_do(nvme, &nvme->admin, &create_sq, NULL);
}

FIXTURE_SETUP(reset)
{
	struct nvme *nvme = &self->f.nvme;
	int i;

	nvme_fixture_open(_metadata, &self->f, 16 << 20);
	ASSERT_RET(0, region_open(&self->look.config, &self->f.dev,
				  VFIO_PCI_CONFIG_REGION_INDEX));
	self->data = guest_alloc(&self->f.guest, BLOCKS * 512);
	self->list = guest_alloc(&self->f.guest, GUEST_PAGE);
	for (i = 0; i < 256; i++)
		self->list[i] = guest_iova(&self->f.guest,
					   self->data + (i + 1) % 256 * GUEST_PAGE);
	for (i = 0; i < QUEUES; i++) {
		self->sq[i] = guest_alloc(&self->f.guest, GUEST_PAGE);
		ASSERT_EQ(0, create_pair(nvme, i + 2, self->sq[i],
					 guest_alloc(&self->f.guest, GUEST_PAGE)));
	}
}

FIXTURE_TEARDOWN(reset)
{
	nvme_fixture_close(&self->f);
}

static void fill_queue(struct nvme *nvme, struct nvme_cmd *sq, __u64 data, __u64 list)
{
	int i;

	for (i = 0; i < DEPTH - 1; i++)
		sq[i] = (struct nvme_cmd) {
			.opcode = i % 2 ? NVME_OP_READ : NVME_OP_WRITE, .cid = i,
			.nsid = 1, .prp1 = data, .prp2 = list, .cdw12 = BLOCKS - 1,
			.cdw10 = i * BLOCKS,
		};
	(void)nvme;
}

static void *read_registers(void *arg)
{
	struct looker *look = arg;
	double start, took;
	__u32 value;

	while (!look->stop) {
		start = clock_now();
		region_read_all(&look->config, 0, &value, sizeof(value));
		nvme_read32(look->nvme, REG_CSTS, &value);
		took = clock_now() - start;
		if (took > look->slowest)
			look->slowest = took;
		look->looks++;
		look->late += took > waiter_patience(ACCESS);
	}
	return NULL;
}

/* Returns the offset of the PCI Express capability, or 0. */
static __u8 find_express(struct region *config)
{
	__u8 at, id;

	if (region_read_all(config, PCI_CAPABILITY_LIST, &at, 1))
		return 0;
	for (; at; region_read_all(config, at + 1, &at, 1))
		if (!region_read_all(config, at, &id, 1) && id == PCI_CAP_ID_EXP)
			return at;
	return 0;
}

static int start_reset(struct nvme *nvme, struct region *config, int by)
{
	__u16 control = PCI_EXP_DEVCTL_BCR_FLR;

	if (by == BY_CC)
		return nvme_write32(nvme, REG_CC, 0);
	if (by == BY_IOCTL)
		return device_reset(nvme->dev);
	return region_write_all(config, find_express(config) + PCI_EXP_DEVCTL, &control,
				sizeof(control));
}

/* All resets but the controller reset clear Memory Space. */
static int wait_reset(struct nvme *nvme, struct region *config, int by)
{
	double until = clock_now() + 10;
	__u16 command = PCI_COMMAND_MEMORY;
	__u32 csts;
	int ret;

	do {
		if (by != BY_CC)
			region_write_all(config, PCI_COMMAND, &command, sizeof(command));
		ret = nvme_read32(nvme, REG_CSTS, &csts);
		if (!ret && !(csts & CSTS_RDY))
			return 0;
		usleep(200);
	} while (clock_now() < until);
	return -ETIMEDOUT;
}

TEST_F_TIMEOUT(reset, is_quick_and_registers_answer, 120)
{
	struct nvme *nvme = &self->f.nvme;
	struct looker *look = &self->look;
	double start, took;
	int i;

	for (i = 0; i < QUEUES; i++)
		fill_queue(nvme, self->sq[i], guest_iova(nvme->guest, self->data),
			   guest_iova(nvme->guest, self->list));
	ASSERT_EQ(0, system("echo 0 > /sys/module/mnvme/parameters/inline_kib"));
	for (i = 0; i < QUEUES; i++)
		ASSERT_RET(0, nvme_write32(nvme, DOORBELLS + 2 * (i + 2) *
					   nvme->doorbell_stride, DEPTH - 1));
	look->nvme = nvme;
	ASSERT_EQ(0, pthread_create(&look->thread, NULL, read_registers, look));
	usleep(20000);
	look->slowest = 0;
	look->looks = 0;
	look->late = 0;

	start = clock_now();
	EXPECT_RET(0, start_reset(nvme, &look->config, variant->by));
	EXPECT_RET(0, wait_reset(nvme, &look->config, variant->by));
	took = clock_now() - start;
	look->stop = 1;
	pthread_join(look->thread, NULL);
	ASSERT_EQ(0, system("echo 1024 > /sys/module/mnvme/parameters/inline_kib"));

	TH_LOG("reset took %.1f ms, the slowest access meanwhile %.1f ms",
	       took * 1e3, look->slowest * 1e3);
	/* Ten times the limit, because the machine is emulated and has other work. */
	EXPECT_GT(waiter_patience(10 * RESET), took);
	EXPECT_GT(waiter_patience(10 * RESET), look->slowest);
	/* An access that has to wait for the executors is late almost each time. */
	EXPECT_GE(2 + look->looks / 4, look->late);
	EXPECT_EQ(0, nvme_start(nvme, &self->f.dev, &self->f.guest, 1, 16));
}

SUITE_MAIN(suite_need_mnvme())
