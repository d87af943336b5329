// SPDX-License-Identifier: GPL-2.0-only
/*
 * The user's memory control group pays for all memory that a user makes the kernel allocate.
 * The test compares the memory that the machine lacks with the group's usage. They may differ
 * by one percent.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/dma_log.h"
#include "lib/endpoint.h"
#include "lib/file.h"
#include "lib/fixture.h"
#include "lib/mdev.h"
#include "lib/memcg.h"
#include "lib/nvme_errors.h"
#include "lib/nvme_fixture.h"

#define MIB		(1LL << 20)
#define LIMIT		(1024 * MIB)
#define LARGE_KIB	(64 << 10)	/* size of the window, and so of a session */
/*
 * Changes of the machine's figures without the test: caches of each processor, and free
 * objects of the slab allocators. The test allocates many times more.
 */
#define NOISE		(2 * MIB)
#define TRIES		3

/**
 * struct payer - a user in a control group
 * @mdev: device
 * @group: control group
 * @end: the open device
 * @guest: memory for DMA
 * @nvme: driver of the device
 */
struct payer {
	struct mdev mdev;
	struct memcg group;
	struct endpoint end;
	struct guest guest;
	struct nvme nvme;
};

/* Debug kernels allocate more memory for each allocation, and charge nobody for it. */
static const char *accounting_missing(void)
{
	if (!access("/sys/kernel/debug/kmemleak", F_OK))
		return "kmemleak and KASAN keep memory for what is allocated";
	return memcg_missing();
}

FIXTURE(memcg) {
	struct payer p;
};

/* The process enters the group before it opens the device, as a VMM does. */
FIXTURE_SETUP(memcg)
{
	struct payer *p = &self->p;
	struct endpoint *e = &p->end;
	long window;

	memset(p, 0, sizeof(*p));
	if (accounting_missing())
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

	if (accounting_missing())
		return;
	nvme_close(&p->nvme);
	endpoint_close(&p->end);
	guest_destroy(&p->guest);
	mdev_remove(&p->mdev);
	EXPECT_RET(0, memcg_leave(&p->group));
	memcg_destroy(&p->group);
}

/* Reads a value of /proc/meminfo in bytes. */
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

/* The memory that the machine has in use */
static long long machine_used(void)
{
	return machine_figure("MemTotal") - machine_figure("MemFree") - machine_figure("Cached") -
	       machine_figure("Buffers");
}

/**
 * struct grown - increase of memory in use
 * @machine: of the machine
 * @group: of the group
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

/* Waits until the kernel has freed everything. It frees some memory after an RCU grace period. */
static void settle(struct memcg *group)
{
	long long was = memcg_used(group), is;
	int quiet = 0, i;

	for (i = 0; i < 100 && quiet < 4; i++) {
		usleep(50000);
		is = memcg_used(group);
		quiet = is < was ? 0 : quiet + 1;
		was = is;
	}
}

/*
 * @take makes the kernel allocate about @least bytes or more, and @give frees them. The
 * test repeats this, because other processes change the machine's figures.
 */
static void check_charged(struct __test_metadata *_metadata, struct payer *p,
			  step_fn take, step_fn give, long long least)
{
	struct grown before, more = { 0 };
	long long outside = 0;
	int i, ret;

	for (i = 0; i < TRIES; i++) {
		settle(&p->group);
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

/* A session: its window, and the data that it saves or loads */

static int begin_resuming(struct payer *p)
{
	return v1_set_state(&p->end.v1, V1_RESUMING);
}

static int begin_saving(struct payer *p)
{
	return v1_set_state(&p->end.v1, V1_STOP_COPY);
}

/* The memory of the window stays until the device is closed. */
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
	if (accounting_missing())
		SKIP(return, "%s", accounting_missing());
	check_charged(_metadata, &self->p, begin_resuming, reopen, LARGE_KIB * 1024 / 2);
}

TEST_F_TIMEOUT(memcg, the_window_of_a_save, 60)
{
	if (accounting_missing())
		SKIP(return, "%s", accounting_missing());
	check_charged(_metadata, &self->p, begin_saving, reopen, LARGE_KIB * 1024 / 2);
}

/* The library records bytes that a system call reads, with a bit for each. */
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
	if (accounting_missing())
		SKIP(return, "%s", accounting_missing());
	check_charged(_metadata, &self->p, save_and_read, reopen, LARGE_KIB * 1024 / 2);
}

/* Pages of the disk, and staged pages */

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
	if (accounting_missing())
		SKIP(return, "%s", accounting_missing());
	check_charged(_metadata, &self->p, write_disk, drop_disk, DISK_BYTES / 2);
}

/* Pages of logged DMA that are far apart, so that each page needs a node of its own */

#define LOGGED		20480
#define APART		(16ULL << 20)	/* distance of two pages */
#define LOG_AT		(1ULL << 40)
#define NODE		576		/* smallest size of an xarray's node in bytes */
#define AT_ONCE		32		/* pages of one command */
#define INLINE		"/sys/module/mnvme/parameters/inline_kib"

/* Sends a command whose data goes to pages from number @first on. */
static int read_far_apart(struct nvme *nvme, __u64 *list, __u64 first)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_OP_READ,
		.nsid = 1,
		.prp1 = LOG_AT + first * APART,
		.prp2 = guest_iova(nvme->guest, list),
		.cdw12 = AT_ONCE * GUEST_PAGE / nvme->lba_size - 1,
	};
	int i;

	for (i = 1; i < AT_ONCE; i++)
		list[i - 1] = LOG_AT + (first + i) * APART;
	return nvme_do(nvme, &nvme->io[0], &cmd, NULL);
}

static int log_far_apart(struct payer *p)
{
	struct vfio_device_feature_dma_logging_range range = {
		.iova = LOG_AT,
		.length = LOGGED * APART,
	};
	__u64 *list = (void *)(p->guest.mem + 8 * MIB);
	__u64 first;
	int ret;

	ret = dma_log_start(&p->end.v2, &range, 1, GUEST_PAGE);
	for (first = 0; first < LOGGED && !ret; first += AT_ONCE)
		ret = read_far_apart(&p->nvme, list, first);
	return ret;
}

static int stop_logging(struct payer *p)
{
	return dma_log_stop(&p->end.v2);
}

TEST_F_TIMEOUT(memcg, the_log_of_DMA, 120)
{
	struct payer *p = &self->p;
	char text[32] = "";
	void *far;

	if (accounting_missing())
		SKIP(return, "%s", accounting_missing());
	if (!p->end.has_v2 || dma_log_probe(&p->end.v2))
		SKIP(return, "the device does not log DMA here");
	/* Only other threads than the caller's execute commands. */
	if (!file_read(INLINE, text, sizeof(text)))
		ASSERT_RET(0, file_write(INLINE, "0"));
	far = mmap(NULL, LOGGED * APART, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, far);
	/* A touched page must allocate one page, and not 2 MiB. */
	if (madvise(far, LOGGED * APART, MADV_NOHUGEPAGE))
		ASSERT_EQ(EINVAL, errno);
	ASSERT_RET(0, device_map(&p->end.dev, far, LOG_AT, LOGGED * APART));
	/* Allocates the memory before the measurement. */
	ASSERT_RET(0, log_far_apart(p));
	ASSERT_RET(0, stop_logging(p));
	check_charged(_metadata, p, log_far_apart, stop_logging, LOGGED * NODE / 2);
	if (text[0])
		file_write(INLINE, text);
	ASSERT_RET(0, device_unmap(&p->end.dev, LOG_AT, LOGGED * APART));
	munmap(far, LOGGED * APART);
}

/* Many devices that are open and in sessions, and the memory that each needs */

#define DEVICES		12

static struct mdev many_mdev[DEVICES];
static struct endpoint many[DEVICES];

static int open_many(struct payer *p)
{
	int i, ret = 0;

	(void)p;
	for (i = 0; i < DEVICES && !ret; i++) {
		ret = endpoint_open(&many[i], many_mdev[i].path);
		if (!ret && many[i].has_v2)
			ret = v2_set_state(&many[i].v2, V2_RESUMING);
		else if (!ret)
			ret = v1_set_state(&many[i].v1, V1_RESUMING);
	}
	return ret;
}

static int close_many(struct payer *p)
{
	int i;

	(void)p;
	for (i = 0; i < DEVICES; i++)
		endpoint_close(&many[i]);
	return 0;
}

TEST_F_TIMEOUT(memcg, devices_with_a_load_each, 120)
{
	int i;

	if (accounting_missing())
		SKIP(return, "%s", accounting_missing());
	for (i = 0; i < DEVICES; i++)
		ASSERT_RET(0, mdev_create(&many_mdev[i], "mnvme", "64M"));
	check_charged(_metadata, &self->p, open_many, close_many, 0);
	for (i = 0; i < DEVICES; i++)
		mdev_remove(&many_mdev[i]);
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
}

SUITE_MAIN(need_all())
