// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whatever a user makes the kernel allocate, the user's memory control group pays for:
 * what the machine has less is in the group, but for one part in a hundred.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/endpoint.h"
#include "lib/fixture.h"
#include "lib/mdev.h"
#include "lib/memcg.h"
#include "lib/nvme_fixture.h"

#define MIB		(1LL << 20)
#define LIMIT		(1024 * MIB)
#define LARGE_KIB	(64 << 10)	/* a window, and so what a session takes */
/*
 * What the machine's figures move by themselves: caches of each processor, and what
 * the slab allocators keep. What is measured is many times as large.
 */
#define NOISE		(2 * MIB)
#define TRIES		3

/**
 * struct payer - a user, in a control group
 * @mdev: the device
 * @group: the group
 * @end: the device, open
 * @guest: memory for its DMA
 * @nvme: its driver
 */
struct payer {
	struct mdev mdev;
	struct memcg group;
	struct endpoint end;
	struct guest guest;
	struct nvme nvme;
};

FIXTURE(memcg) {
	struct payer p;
};

/* In the group from before the device is opened, as a VMM is. */
FIXTURE_SETUP(memcg)
{
	struct payer *p = &self->p;
	struct endpoint *e = &p->end;
	long window;

	memset(p, 0, sizeof(*p));
	if (memcg_missing())
		return;
	window = mdev_window_kib(LARGE_KIB);
	ASSERT_RET(0, mdev_create(&p->mdev, "mnvme", "64M"));
	mdev_window_kib(window);
	ASSERT_RET(0, memcg_create(&p->group, LIMIT));
	ASSERT_RET(0, memcg_enter(&p->group));
	ASSERT_RET(0, endpoint_open(e, p->mdev.path));
	ASSERT_RET(0, guest_create(&p->guest, 16 * MIB));
	memset(p->guest.mem, 0, p->guest.size);
	ASSERT_RET(0, guest_attach(&p->guest, &e->dev));
	ASSERT_EQ(0, nvme_start(&p->nvme, &e->dev, &p->guest, 1, 16));
}

FIXTURE_TEARDOWN(memcg)
{
	struct payer *p = &self->p;

	if (memcg_missing())
		return;
	nvme_close(&p->nvme);
	endpoint_close(&p->end);
	guest_destroy(&p->guest);
	mdev_remove(&p->mdev);
	EXPECT_RET(0, memcg_leave(&p->group));
	memcg_destroy(&p->group);
}

/* A figure of /proc/meminfo, in bytes. */
static long long machine_figure(const char *name)
{
	FILE *f = fopen("/proc/meminfo", "r");
	long long kb = -1;
	char line[256];

	while (f && kb < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			kb = atoll(line + strlen(name) + 1);
	if (f)
		fclose(f);
	return kb * 1024;
}

/* What the machine has less than it would with nothing in use. */
static long long machine_used(void)
{
	return machine_figure("MemTotal") - machine_figure("MemFree") - machine_figure("Cached") -
	       machine_figure("Buffers");
}

/**
 * struct grown - how much more is in use
 * @machine: by all
 * @group: by the group
 */
struct grown {
	long long machine;
	long long group;
};

static struct grown grown_since(struct memcg *group, const struct grown *before)
{
	return (struct grown) {
		.machine = machine_used() - (before ? before->machine : 0),
		.group = memcg_used(group) - (before ? before->group : 0),
	};
}

typedef int (*step_fn)(struct payer *p);

/*
 * @take makes the kernel allocate, about @least bytes or more; @give has it freed.
 * Several times, because the figures are the whole machine's.
 */
static void check_charged(struct __test_metadata *_metadata, struct payer *p,
			  step_fn take, step_fn give, long long least)
{
	struct grown before, more = { 0 };
	long long outside = 0;
	int i, ret;

	for (i = 0; i < TRIES; i++) {
		before = grown_since(&p->group, NULL);
		ret = take(p);
		ASSERT_RET(0, ret);
		more = grown_since(&p->group, &before);
		ASSERT_RET(0, give(p));
		outside = more.machine - more.group;
		if (outside < more.machine / 100 + NOISE)
			break;
	}
	EXPECT_LE(least, more.group)
		TH_LOG("the group has %lld more", more.group);
	EXPECT_GT(more.machine / 100 + NOISE, outside)
		TH_LOG("%lld of %lld bytes are outside of the group", outside,
		       more.machine);
}

/* A session: its window, and what it is loaded or saved with. */

static int begin_resuming(struct payer *p)
{
	return v1_set_state(&p->end.v1, V1_RESUMING);
}

static int begin_saving(struct payer *p)
{
	return v1_set_state(&p->end.v1, V1_STOP_COPY);
}

/* The window's memory stays until the device is closed. */
static int reopen(struct payer *p)
{
	int ret;

	nvme_close(&p->nvme);
	endpoint_close(&p->end);
	ret = endpoint_open(&p->end, p->mdev.path);
	if (!ret)
		ret = guest_attach(&p->guest, &p->end.dev);
	p->guest.used = 0;
	return ret ? ret : nvme_start(&p->nvme, &p->end.dev, &p->guest, 1, 16);
}

TEST_F_TIMEOUT(memcg, the_window_of_a_load, 60)
{
	if (memcg_missing())
		SKIP(return, "%s", memcg_missing());
	check_charged(_metadata, &self->p, begin_resuming, reopen, LARGE_KIB * 1024 / 2);
}

TEST_F_TIMEOUT(memcg, the_window_of_a_save, 60)
{
	if (memcg_missing())
		SKIP(return, "%s", memcg_missing());
	check_charged(_metadata, &self->p, begin_saving, reopen, LARGE_KIB * 1024 / 2);
}

/* Bytes that are read by system call are noted, a bit each. */
static int read_a_byte(struct payer *p)
{
	struct v1 *v1 = &p->end.v1;
	unsigned char byte;
	ssize_t ret = v1_open_iteration(v1);

	return ret < 0 ? ret : v1_read_data(v1, 0, &byte, 1);
}

static int save_and_read(struct payer *p)
{
	int ret = begin_saving(p);

	return ret ? ret : read_a_byte(p);
}

TEST_F_TIMEOUT(memcg, what_was_read_of_an_iteration, 60)
{
	if (memcg_missing())
		SKIP(return, "%s", memcg_missing());
	check_charged(_metadata, &self->p, save_and_read, reopen, LARGE_KIB * 1024 / 2);
}

/* Pages: of the disk, and staged. */

#define DISK_BYTES	(32 * MIB)

static int write_disk(struct payer *p)
{
	struct nvme *nvme = &p->nvme;
	__u32 blocks = (64 << 10) / nvme->lba_size;
	unsigned char *buf = p->guest.mem + 8 * MIB;
	__u64 lba;
	int ret = 0;

	for (lba = 0; lba * nvme->lba_size < DISK_BYTES && !ret; lba += blocks)
		ret = nvme_io(nvme, NVME_OP_WRITE, lba, blocks, buf);
	return ret;
}

static int drop_disk(struct payer *p)
{
	return nvme_deallocate(&p->nvme, 0, p->nvme.nr_lbas,
			       p->guest.mem + 8 * MIB);
}

TEST_F_TIMEOUT(memcg, the_pages_of_a_disk, 60)
{
	if (memcg_missing())
		SKIP(return, "%s", memcg_missing());
	check_charged(_metadata, &self->p, write_disk, drop_disk, DISK_BYTES / 2);
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
}

SUITE_MAIN(need_all())
