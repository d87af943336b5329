// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many queues wait for memory at the same time. One user has eight devices with 64 I/O queues
 * each, and a command in each queue whose data is in memory that does not answer. Meanwhile
 * the device of another user starts, does I/O and is removed, because the users share no
 * thread and no lock.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fixture.h"
#include "lib/mdev.h"
#include "lib/nvme.h"
#include "lib/waiter.h"

#define DEVICES		8
#define QUEUES		64	/* of each */
#define OWN		2	/* queues that the driver creates itself */
#define SLOW_IOVA	0x100000000ULL
#define MEMORY		(4UL << 20)

#define ADMIN_CREATE_SQ	0x01
#define ADMIN_CREATE_CQ	0x05
#define DOORBELLS	0x1000
#define CONTIGUOUS	1

#define READS		500
#define SOON		5.0	/* most seconds that a controller takes to start */
#define TRIES		5
#define REACH		20.0	/* seconds until all attackers' queues wait */

/**
 * struct attacker - a process with a device whose queues all wait
 * @mdev: device
 * @waiter: process
 * @ready: shared with the parent: all doorbells are written
 */
struct attacker {
	struct mdev mdev;
	struct waiter waiter;
	volatile int *ready;
};

static int create_queue(struct nvme *nvme, __u16 id, void *sq, void *cq)
{
	struct nvme_cmd cmd = {
		.opcode = ADMIN_CREATE_CQ,
		.prp1 = guest_iova(nvme->guest, cq),
		.cdw10 = 1 << 16 | id,
		.cdw11 = CONTIGUOUS,
	};
	int ret;

	ret = nvme_do(nvme, &nvme->admin, &cmd, NULL);
	if (ret)
		return ret;
	cmd.opcode = ADMIN_CREATE_SQ;
	cmd.prp1 = guest_iova(nvme->guest, sq);
	cmd.cdw11 = id << 16 | CONTIGUOUS;
	return nvme_do(nvme, &nvme->admin, &cmd, NULL);
}

/* Creates a queue with one command, which reads to memory that does not answer. */
static int wait_in_queue(struct nvme *nvme, __u16 id)
{
	struct nvme_cmd *sq = guest_alloc(nvme->guest, GUEST_PAGE);
	void *cq = guest_alloc(nvme->guest, GUEST_PAGE);
	int ret;

	memset(cq, 0, GUEST_PAGE);
	sq[0] = (struct nvme_cmd) {
		.opcode = NVME_OP_READ, .nsid = 1, .prp1 = SLOW_IOVA,
		.cdw12 = GUEST_PAGE / nvme->lba_size - 1,
	};
	ret = create_queue(nvme, id, sq, cq);
	if (ret)
		return ret;
	return nvme_write32(nvme, DOORBELLS + 2 * id * nvme->doorbell_stride, 1);
}

static long attack(struct slow *s, void *arg)
{
	struct attacker *a = arg;
	struct device dev;
	struct guest guest;
	struct nvme nvme;
	int ret;
	__u16 id;

	ret = device_open(&dev, a->mdev.path);
	if (!ret)
		ret = guest_create(&guest, MEMORY);
	if (!ret)
		ret = guest_attach(&guest, &dev);
	if (!ret)
		ret = nvme_start(&nvme, &dev, &guest, OWN, 16);
	if (!ret)
		ret = slow_map(s, 0, NULL, 0);
	if (!ret)
		ret = device_map(&dev, s->mem, SLOW_IOVA, GUEST_PAGE);
	for (id = OWN + 1; id <= QUEUES && !ret; id++)
		ret = wait_in_queue(&nvme, id);
	*a->ready = ret ? ret : 1;
	while (!ret)
		pause();
	return ret;
}

/**
 * struct speed - speed of another user's device
 * @start: seconds to open the device and to start its controller
 * @read: seconds to read 4 KiB
 */
struct speed {
	double start;
	double read;
};

static int measure(const char *path, struct speed *speed)
{
	double begin = clock_now();
	struct device dev;
	struct guest guest;
	struct nvme nvme;
	void *buf;
	int i, ret;

	ret = device_open(&dev, path);
	if (ret)
		return ret;
	ret = guest_create(&guest, MEMORY);
	if (!ret)
		ret = guest_attach(&guest, &dev);
	if (!ret)
		ret = nvme_start(&nvme, &dev, &guest, 1, 16);
	speed->start = clock_now() - begin;
	buf = ret ? NULL : guest_alloc(&guest, GUEST_PAGE);
	begin = clock_now();
	for (i = 0; i < READS && !ret; i++)
		ret = nvme_io(&nvme, NVME_OP_READ, 0, GUEST_PAGE / nvme.lba_size, buf);
	speed->read = (clock_now() - begin) / READS;
	if (!ret)
		nvme_close(&nvme);
	device_close(&dev);
	guest_destroy(&guest);
	return ret;
}

FIXTURE(queues) {
	struct attacker attackers[DEVICES];
	struct mdev other;
};

FIXTURE_SETUP(queues)
{
	int i;

	memset(self, 0, sizeof(*self));
	ASSERT_RET(0, mdev_create(&self->other, "mnvme", "64M"));
	for (i = 0; i < DEVICES; i++) {
		self->attackers[i].ready = mmap(NULL, GUEST_PAGE, PROT_READ | PROT_WRITE,
						MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(MAP_FAILED, (void *)self->attackers[i].ready);
		ASSERT_RET(0, mdev_create(&self->attackers[i].mdev, "mnvme", "64M"));
	}
}

FIXTURE_TEARDOWN(queues)
{
	int i;

	for (i = 0; i < DEVICES; i++) {
		if (self->attackers[i].waiter.pid)
			EXPECT_RET(0, waiter_kill(&self->attackers[i].waiter,
						  waiter_patience(10)));
		waiter_end(&self->attackers[i].waiter);
		mdev_remove(&self->attackers[i].mdev);
		munmap((void *)self->attackers[i].ready, GUEST_PAGE);
	}
	mdev_remove(&self->other);
}

static void begin_attack(struct __test_metadata *_metadata, struct attacker *a)
{
	double until = clock_now() + waiter_patience(REACH);

	ASSERT_RET(0, waiter_start(&a->waiter, SLOW_UFFD_KEPT, GUEST_PAGE, attack, a));
	while (!*a->ready && clock_now() < until)
		usleep(1000);
	ASSERT_EQ(1, *a->ready);
	ASSERT_EQ(1, waiter_waits(&a->waiter, waiter_patience(REACH)));
}

/*
 * Another user's device works as before. Its latency may be twice as long and a millisecond
 * more, because the machine has other work.
 */
TEST_F_TIMEOUT(queues, that_wait_stop_no_other_device, 180)
{
	struct speed alone, beside;
	int i;

	if (slow_missing(SLOW_UFFD_KEPT))
		SKIP(return, "%s", slow_missing(SLOW_UFFD_KEPT));
	ASSERT_RET(0, measure(self->other.path, &alone));
	for (i = 0; i < DEVICES; i++)
		begin_attack(_metadata, &self->attackers[i]);
	/* Several times, because the machine may have other work. */
	for (i = 0; i < TRIES; i++) {
		ASSERT_RET(0, measure(self->other.path, &beside));
		if (beside.read < waiter_patience(2 * alone.read + 0.001))
			break;
	}
	TH_LOG("start %.3f s alone, %.3f s beside; read %.0f us alone, %.0f us beside",
	       alone.start, beside.start, alone.read * 1e6, beside.read * 1e6);
	EXPECT_GT(waiter_patience(SOON), beside.start);
	EXPECT_GT(waiter_patience(2 * alone.read + 0.001), beside.read);
	EXPECT_RET(0, mdev_remove(&self->other));
	ASSERT_RET(0, mdev_create(&self->other, "mnvme", "64M"));
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
}

SUITE_MAIN(need_all())
