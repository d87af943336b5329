// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that does not answer as the argument of each entry point of a device. While the call
 * waits, no other task waits. SIGKILL ends the caller, and the device can be opened again.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/bystander.h"
#include "lib/clock.h"
#include "lib/dma_log.h"
#include "lib/endpoint.h"
#include "lib/fill.h"
#include "lib/fixture.h"
#include "lib/guest.h"
#include "lib/mdev.h"
#include "lib/nvme.h"
#include "lib/poke.h"
#include "lib/waiter.h"

#define SLOW_BYTES	(64UL << 10)
#define REACH		5.0	/* seconds until the call accesses the memory */
#define GONE		10.0	/* seconds until a killed process is gone */
#define ARG_WORDS	24
#define PRECOPY_INFO	_IO(VFIO_TYPE, VFIO_BASE + 21)

/**
 * enum session - the session of the device
 * @RUNS: none
 * @V1_SAVES: a save by v1 of a stopped device, with an open iteration
 * @V1_LOADS: a load by v1
 * @V2_SAVES: a save by v2 of a stopped device
 * @V2_PRECOPIES: a save by v2 in pre-copy
 * @V2_LOADS: a load by v2
 * @LOGS: none, but DMA logging is on
 */
enum session {
	RUNS,
	V1_SAVES,
	V1_LOADS,
	V2_SAVES,
	V2_PRECOPIES,
	V2_LOADS,
	LOGS,
};

/* The kernel's access to the memory. With write protection only stores wait. */
enum touch { LOADS = 1, STORES = 2, BOTH = 3 };

struct attack;

/**
 * struct entry - an entry point
 * @name: name for messages
 * @session: session of the device
 * @scratch: the device is an mscratch device, else an mnvme device
 * @touch: the kernel's access to the memory
 * @call: does the call with memory at @mem; a negative errno: not available here
 * @cmd: ioctl
 * @region: index of a region
 * @at: offset in the region
 * @len: length in bytes
 * @before: number of bytes in memory that answers
 * @arg: start of the ioctl's argument
 */
struct entry {
	const char *name;
	enum session session;
	bool scratch;
	enum touch touch;
	long (*call)(struct attack *a, const struct entry *e, void *mem);
	unsigned long cmd;
	__u32 region;
	__u64 at;
	size_t len;
	size_t before;
	__u32 arg[ARG_WORDS];
};

/**
 * struct offer - data from the process for its parent, before the call
 * @device: file descriptor of the device in the process
 * @data: file descriptor of its data file, or -1
 * @dead: file descriptor of a data file of an earlier session, or -1
 * @ret: a negative errno: the process cannot do the call
 * @ready: the other members are valid; stored last, by a release
 * @taken: the parent is ready, too
 */
struct offer {
	int device;
	int data;
	int dead;
	long ret;
	int ready;
	int taken;
};

/**
 * struct attack - the process that does the call
 * @entry: entry point
 * @path: device
 * @offer: memory that the process shares with its parent
 * @end: the open device
 * @guest: memory that the device wrote while its DMA was logged
 * @dead: data file of an earlier session, or -1
 * @mapping: a mapping instead of slow memory, or MAP_NONE
 */
struct attack {
	const struct entry *entry;
	const char *path;
	struct offer *offer;
	struct endpoint end;
	struct guest guest;
	int dead;
	int mapping;
};

enum { MAP_NONE, MAP_WINDOW, MAP_BAR };

static struct mdev scratch;

/* The entry points. */

static long call_device(struct attack *a, const struct entry *e, void *mem)
{
	return ioctl(a->end.dev.fd, e->cmd, mem - e->before) ? -errno : 0;
}

static long call_data(struct attack *a, const struct entry *e, void *mem)
{
	return ioctl(a->end.v2.data, e->cmd, mem - e->before) ? -errno : 0;
}

static long call_feature(struct attack *a, const struct entry *e, void *mem)
{
	return a->end.has_v2 ? call_device(a, e, mem) : -ENOTTY;
}

/* The region whose description has capabilities. */
static long call_region_info(struct attack *a, const struct entry *e, void *mem)
{
	struct vfio_region_info *info = mem - e->before;

	/* One byte is enough, and the memory may be a mapping that is not accessible. */
	poke_store(&info->index, a->end.v1.region.index);
	return call_device(a, e, mem);
}

static long call_read(struct attack *a, const struct entry *e, void *mem)
{
	struct region r;

	if (region_open(&r, &a->end.dev, e->region))
		return -ENOTTY;
	return region_read(&r, e->at, mem - e->before, e->len);
}

static long call_write(struct attack *a, const struct entry *e, void *mem)
{
	struct region r;

	if (region_open(&r, &a->end.dev, e->region))
		return -ENOTTY;
	return region_write(&r, e->at, mem - e->before, e->len);
}

static long call_v1_read(struct attack *a, const struct entry *e, void *mem)
{
	return region_read(&a->end.v1.region, e->at, mem - e->before, e->len);
}

static long call_v1_write(struct attack *a, const struct entry *e, void *mem)
{
	return region_write(&a->end.v1.region, e->at, mem - e->before, e->len);
}

static long call_data_read(struct attack *a, const struct entry *e, void *mem)
{
	return v2_read(&a->end.v2, mem - e->before, e->len);
}

static long call_data_write(struct attack *a, const struct entry *e, void *mem)
{
	return v2_write(&a->end.v2, mem - e->before, e->len);
}

/* The first part of the vector answers, and the second part does not. */
static long call_data_readv(struct attack *a, const struct entry *e, void *mem)
{
	static char there[100];
	struct iovec parts[2] = { { there, sizeof(there) }, { mem, e->len } };

	return readv(a->end.v2.data, parts, 2);
}

/* A pointer in the argument leads to the ranges or to the bitmap. */
static long call_log_start(struct attack *a, const struct entry *e, void *mem)
{
	(void)e;
	if (dma_log_probe(&a->end.v2))
		return -ENOTTY;
	return dma_log_start(&a->end.v2, mem, 1, GUEST_PAGE);
}

static long call_log_report(struct attack *a, const struct entry *e, void *mem)
{
	if (dma_log_probe(&a->end.v2) || !a->guest.mem)
		return -ENOTTY;
	return dma_log_report(&a->end.v2, a->guest.iova, e->len * 8 * GUEST_PAGE,
			      GUEST_PAGE, mem);
}

static long call_log_feature(struct attack *a, const struct entry *e, void *mem)
{
	if (dma_log_probe(&a->end.v2))
		return -ENOTTY;
	return call_device(a, e, mem);
}

#define HEADER		sizeof(struct vfio_device_feature)
#define GET(f)		(VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_##f)
#define SET(f)		(VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_##f)
#define EVENTFDS	(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)
#define BOOLS		(VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER)
#define IRQ_HEADER	sizeof(struct vfio_irq_set)
#define DATA_AT		V1_PAGE	/* offset of the data section in the region */

#define DEVICE_IOCTL(nr)	.call = call_device, .cmd = VFIO_DEVICE_##nr
#define FEATURE			.call = call_feature, .cmd = VFIO_DEVICE_FEATURE
#define LOG_FEATURE		.call = call_log_feature, .cmd = VFIO_DEVICE_FEATURE

static const struct entry entries[] = {
	{ "GET_INFO", .touch = BOTH, DEVICE_IOCTL(GET_INFO), .len = 24, .arg = { 24 } },
	{ "GET_REGION_INFO", .touch = BOTH, DEVICE_IOCTL(GET_REGION_INFO), .len = 32,
	  .arg = { 32, 0, VFIO_PCI_CONFIG_REGION_INDEX } },
	{ "GET_REGION_INFO's capabilities", .touch = STORES, .call = call_region_info,
	  .cmd = VFIO_DEVICE_GET_REGION_INFO, .len = 32, .before = 32,
	  .arg = { 4096 } },
	{ "GET_IRQ_INFO", .touch = BOTH, DEVICE_IOCTL(GET_IRQ_INFO), .len = 16,
	  .arg = { 16, 0, VFIO_PCI_MSIX_IRQ_INDEX } },
	{ "SET_IRQS", .touch = LOADS, DEVICE_IOCTL(SET_IRQS), .len = IRQ_HEADER,
	  .arg = { IRQ_HEADER, VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		   VFIO_PCI_MSIX_IRQ_INDEX } },
	{ "SET_IRQS's eventfds", .touch = LOADS, DEVICE_IOCTL(SET_IRQS),
	  .len = IRQ_HEADER + 4, .before = IRQ_HEADER,
	  .arg = { IRQ_HEADER + 4, EVENTFDS, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, -1 } },
	{ "SET_IRQS's truth values", .touch = LOADS, DEVICE_IOCTL(SET_IRQS),
	  .len = IRQ_HEADER + 1, .before = IRQ_HEADER,
	  .arg = { IRQ_HEADER + 1, BOOLS, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, 0 } },
	{ "FEATURE", .touch = LOADS, FEATURE, .len = HEADER,
	  .arg = { HEADER, GET(MIGRATION) } },
	{ "FEATURE MIGRATION", .touch = STORES, FEATURE, .len = HEADER + 8,
	  .before = HEADER, .arg = { HEADER + 8, GET(MIGRATION) } },
	{ "FEATURE MIG_DEVICE_STATE to get", .touch = BOTH, FEATURE,
	  .len = HEADER + 8, .before = HEADER,
	  .arg = { HEADER + 8, GET(MIG_DEVICE_STATE) } },
	{ "FEATURE MIG_DEVICE_STATE to set", .touch = BOTH, FEATURE,
	  .len = HEADER + 8, .before = HEADER,
	  .arg = { HEADER + 8, SET(MIG_DEVICE_STATE), V2_STOP_COPY, -1 } },
	{ "FEATURE MIG_DEVICE_STATE in a save", .session = V2_PRECOPIES, .touch = BOTH,
	  FEATURE, .len = HEADER + 8, .before = HEADER,
	  .arg = { HEADER + 8, SET(MIG_DEVICE_STATE), V2_STOP_COPY, -1 } },
	{ "FEATURE MIG_DATA_SIZE", .touch = STORES, FEATURE, .len = HEADER + 8,
	  .before = HEADER,
	  .arg = { HEADER + 8, VFIO_DEVICE_FEATURE_GET | V2_FEATURE_DATA_SIZE } },
	{ "FEATURE DMA_LOGGING_START", .touch = LOADS, LOG_FEATURE,
	  .len = HEADER + 24, .before = HEADER,
	  .arg = { HEADER + 24, SET(DMA_LOGGING_START) } },
	{ "DMA_LOGGING_START's ranges", .touch = LOADS, .call = call_log_start },
	{ "FEATURE DMA_LOGGING_REPORT", .session = LOGS, .touch = LOADS, LOG_FEATURE,
	  .len = HEADER + 32, .before = HEADER,
	  .arg = { HEADER + 32, GET(DMA_LOGGING_REPORT) } },
	{ "DMA_LOGGING_REPORT's bitmap", .session = LOGS, .touch = BOTH,
	  .call = call_log_report, .len = 8 },
	{ "MIG_GET_PRECOPY_INFO", .session = V2_PRECOPIES, .touch = BOTH,
	  .call = call_data, .cmd = PRECOPY_INFO, .len = 24, .arg = { 24 } },

	{ "read of BAR0", .touch = STORES, .call = call_read,
	  .region = VFIO_PCI_BAR0_REGION_INDEX, .len = 4 },
	{ "write of BAR0", .touch = LOADS, .call = call_write,
	  .region = VFIO_PCI_BAR0_REGION_INDEX, .at = 0xc, .len = 4 },
	{ "write of a doorbell", .touch = LOADS, .call = call_write,
	  .region = VFIO_PCI_BAR0_REGION_INDEX, .at = 0x1000, .len = 4 },
	{ "read of configuration space", .touch = STORES, .call = call_read,
	  .region = VFIO_PCI_CONFIG_REGION_INDEX, .len = 64 },
	{ "write of configuration space", .touch = LOADS, .call = call_write,
	  .region = VFIO_PCI_CONFIG_REGION_INDEX, .at = 4, .len = 2 },
	{ "read of mscratch's BAR2", .scratch = true, .touch = STORES,
	  .call = call_read, .region = VFIO_PCI_BAR2_REGION_INDEX, .len = 8192 },
	{ "write of mscratch's BAR2", .scratch = true, .touch = LOADS,
	  .call = call_write, .region = VFIO_PCI_BAR2_REGION_INDEX, .len = 8192 },

	{ "read of device_state", .touch = STORES, .call = call_v1_read,
	  .at = V1_DEVICE_STATE, .len = 4 },
	{ "write of device_state", .touch = LOADS, .call = call_v1_write,
	  .at = V1_DEVICE_STATE, .len = 4 },
	{ "read of pending_bytes", .session = V1_SAVES, .touch = STORES,
	  .call = call_v1_read, .at = V1_PENDING_BYTES, .len = 8 },
	{ "read of data_offset", .session = V1_SAVES, .touch = STORES,
	  .call = call_v1_read, .at = V1_DATA_OFFSET, .len = 8 },
	{ "read of data_size", .session = V1_SAVES, .touch = STORES,
	  .call = call_v1_read, .at = V1_DATA_SIZE, .len = 8 },
	{ "write of data_size", .session = V1_LOADS, .touch = LOADS,
	  .call = call_v1_write, .at = V1_DATA_SIZE, .len = 8 },
	{ "read of the data section, saving", .session = V1_SAVES, .touch = STORES,
	  .call = call_v1_read, .at = DATA_AT, .len = 256 },
	{ "read of the data section, resuming", .session = V1_LOADS, .touch = STORES,
	  .call = call_v1_read, .at = DATA_AT, .len = 8192 },
	{ "write of the data section", .session = V1_LOADS, .touch = LOADS,
	  .call = call_v1_write, .at = DATA_AT, .len = 8192 },
	{ "read of mscratch's data section", .scratch = true, .session = V1_SAVES,
	  .touch = STORES, .call = call_v1_read, .at = DATA_AT, .len = 256 },

	{ "read of the data file in STOP_COPY", .session = V2_SAVES, .touch = STORES,
	  .call = call_data_read, .len = 8192 },
	{ "read of the data file in PRE_COPY", .session = V2_PRECOPIES,
	  .touch = STORES, .call = call_data_read, .len = 8192 },
	{ "read of the data file from the middle", .session = V2_SAVES, .touch = STORES,
	  .call = call_data_read, .len = 8192, .before = 64 },
	{ "readv of the data file", .session = V2_SAVES, .touch = STORES,
	  .call = call_data_readv, .len = 8192 },
	{ "write of the data file", .session = V2_LOADS, .touch = LOADS,
	  .call = call_data_write, .len = 8192 },
	{ "write of the data file after some bytes", .session = V2_LOADS,
	  .touch = LOADS, .call = call_data_write, .len = 24, .before = 16,
	  .arg = { 0x474d4656 } },
};

/* The process that calls. */

/* The device writes completions, because some kernels access the bitmap only for dirty pages. */
static int write_memory(struct attack *a)
{
	static struct nvme nvme;
	int ret;

	if (nvme_probe(&a->end.dev))
		return 0;
	ret = guest_create(&a->guest, 4UL << 20);
	if (!ret)
		ret = guest_attach(&a->guest, &a->end.dev);
	return ret ? ret : nvme_start(&nvme, &a->end.dev, &a->guest, 1, 16);
}

static int log_dma(struct attack *a)
{
	struct vfio_device_feature_dma_logging_range range = {
		.length = 1UL << 30,
	};
	struct v2 *v2 = &a->end.v2;
	int ret;

	if (!a->end.has_v2 || dma_log_probe(v2))
		return -ENOTTY;
	ret = dma_log_start(v2, &range, 1, GUEST_PAGE);
	return ret ? ret : write_memory(a);
}

static int begin(struct attack *a, enum session session)
{
	struct endpoint *e = &a->end;
	ssize_t ret;

	switch (session) {
	case RUNS:
		return 0;
	case LOGS:
		return log_dma(a);
	case V1_SAVES:
		ret = v1_set_state(&e->v1, V1_STOP_COPY);
		if (!ret)
			ret = v1_open_iteration(&e->v1);
		return ret < 0 ? ret : 0;
	case V1_LOADS:
		return v1_set_state(&e->v1, V1_RESUMING);
	case V2_SAVES:
		return e->has_v2 ? v2_set_state(&e->v2, V2_STOP_COPY) : -ENOTTY;
	case V2_PRECOPIES:
		if (!e->has_v2 || !v2_has(&e->v2, V2_PRE_COPY))
			return -ENOTTY;
		return v2_set_state(&e->v2, V2_PRE_COPY);
	default:
		return e->has_v2 ? v2_set_state(&e->v2, V2_RESUMING) : -ENOTTY;
	}
}

/* Leaves a data file of an ended session, without another reference to it. */
static int leave_dead_file(struct attack *a)
{
	struct v2 *v2 = &a->end.v2;
	int ret;

	a->dead = -1;
	if (!a->end.has_v2)
		return 0;
	ret = v2_set_state(v2, V2_STOP_COPY);
	if (!ret)
		ret = v2_set_state(v2, V2_RUNNING);
	a->dead = v2->data;
	v2->data = -1;
	return ret;
}

/* Without this BAR0 is not accessible. */
static int enable_memory(struct device *dev)
{
	__u16 command = 0x6;	/* memory space, bus master */
	struct region config;
	int ret;

	ret = region_open(&config, dev, VFIO_PCI_CONFIG_REGION_INDEX);
	return ret ? ret : region_write_all(&config, 4, &command, sizeof(command));
}

/* Prepares the call, and shares the files with the bystander. */
static long get_ready(struct attack *a)
{
	struct offer *offer = a->offer;
	int ret;

	ret = endpoint_open(&a->end, a->path);
	if (!ret)
		ret = enable_memory(&a->end.dev);
	if (!ret)
		ret = leave_dead_file(a);
	if (!ret)
		ret = begin(a, a->entry->session);
	offer->device = a->end.dev.fd;
	offer->data = a->end.v2.data;
	offer->dead = a->dead;
	offer->ret = ret;
	__atomic_store_n(&offer->ready, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&offer->taken, __ATOMIC_ACQUIRE))
		usleep(500);
	if (a->dead >= 0)
		close(a->dead);
	return ret;
}

static long call_slow(struct slow *s, void *arg)
{
	struct attack *a = arg;
	const struct entry *e = a->entry;
	long ret = get_ready(a);

	if (ret)
		return ret;
	/*
	 * The content before the memory, and in it if it can be read, is there before the
	 * call.
	 */
	ret = slow_map(s, e->before, e->arg, e->len < sizeof(e->arg) ?
		       e->len : sizeof(e->arg));
	return ret ? ret : e->call(a, e, s->mem);
}

static void *map_buffer(struct attack *a)
{
	struct region bar;
	void *map;

	if (a->mapping == MAP_WINDOW)
		return v1_map(&a->end.v1) ? NULL : a->end.v1.map;
	if (region_open(&bar, &a->end.dev, VFIO_PCI_BAR2_REGION_INDEX) ||
	    region_mmap(&bar, 0, SLOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, &map))
		return NULL;
	return map;
}

/* The memory is not slow. It belongs to the device. */
static long call_mapping(struct slow *s, void *arg)
{
	struct attack *a = arg;
	const struct entry *e = a->entry;
	unsigned char *map;
	long ret = get_ready(a);
	size_t i;

	(void)s;
	if (ret)
		return ret;
	map = map_buffer(a);
	if (!map)
		return -ENOTTY;
	map += GUEST_PAGE;
	for (i = 0; i < e->len && i < sizeof(e->arg); i++)
		poke_store(map - e->before + i, ((const unsigned char *)e->arg)[i]);
	return e->call(a, e, map);
}

/* The test. */

FIXTURE(slow) {
	struct bystander other;
	struct waiter waiter;
	struct attack attack;
};

FIXTURE_VARIANT(slow) {
	enum slow_kind kind;
};

FIXTURE_VARIANT_ADD(slow, uffd) { .kind = SLOW_UFFD };
FIXTURE_VARIANT_ADD(slow, uffd_kept) { .kind = SLOW_UFFD_KEPT };
FIXTURE_VARIANT_ADD(slow, uffd_wp) { .kind = SLOW_UFFD_WP };
FIXTURE_VARIANT_ADD(slow, fuse) { .kind = SLOW_FUSE };

static void attack_init(struct __test_metadata *_metadata, struct attack *a)
{
	memset(a, 0, sizeof(*a));
	a->offer = mmap(NULL, sizeof(*a->offer), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, a->offer);
}

FIXTURE_SETUP(slow)
{
	attack_init(_metadata, &self->attack);
	ASSERT_RET_FOR(0, bystander_start(&self->other, suite_device(),
					  suite_device_b()),
		       "%s", self->other.failed);
}

FIXTURE_TEARDOWN(slow)
{
	bystander_end(&self->other);
}

static const char *device_of(const struct entry *e)
{
	return e->scratch ? scratch.path : suite_device();
}

/* A process that still waits is left alone, and another device takes its place. */
static void replace(struct __test_metadata *_metadata, struct bystander *b,
		    const struct entry *e)
{
	bystander_end(b);
	ASSERT_RET_FOR(0, bystander_start(b, device_of(e), suite_device_b()), "%s",
		       b->failed);
}

static bool exists(const struct entry *e)
{
	return !e->scratch || scratch.path[0];
}

/* Waits until the process is ready, and shares its files with the bystander. */
static int begin_attack(struct __test_metadata *_metadata, struct bystander *b,
			struct waiter *w, struct attack *a, const struct entry *e,
			enum slow_kind kind)
{
	waiter_fn fn = a->mapping == MAP_NONE ? call_slow : call_mapping;
	double until = clock_now() + waiter_patience(REACH);
	struct bystander_target target;

	a->entry = e;
	a->path = device_of(e);
	memset(a->offer, 0, sizeof(*a->offer));
	ASSERT_RET(0, waiter_start(w, kind, SLOW_BYTES, fn, a));
	while (!__atomic_load_n(&a->offer->ready, __ATOMIC_ACQUIRE) && clock_now() < until)
		usleep(500);
	ASSERT_TRUE(a->offer->ready)
		TH_LOG("%s: the device does not become ready", e->name);
	target = (struct bystander_target) {
		.path = a->path,
		.pid = a->offer->ret ? 0 : w->pid,
		.device = a->offer->device,
		.data = a->offer->data,
		.dead = a->offer->dead,
	};
	EXPECT_RET_FOR(0, bystander_take(b, &target), "%s: %s", e->name, b->failed);
	__atomic_store_n(&a->offer->taken, 1, __ATOMIC_RELEASE);
	return a->offer->ret;
}

static void check_others(struct __test_metadata *_metadata, struct bystander *b,
			 const struct entry *e)
{
	int ret = bystander_lives(b);

	EXPECT_EQ(0, ret)
		TH_LOG("%s waits: %s", e->name, b->failed);
	if (ret == -ETIMEDOUT)
		replace(_metadata, b, e);
}

/* The killed process is gone, and its device works like any other. */
static void check_kill(struct __test_metadata *_metadata, struct bystander *b,
		       struct waiter *w, const struct entry *e)
{
	EXPECT_RET_FOR(0, waiter_kill(w, waiter_patience(GONE)),
		       "%s: killed, in state %c", e->name, waiter_state(w));
	waiter_end(w);
	if (bystander_reopens(b)) {
		EXPECT_TRUE(false)
			TH_LOG("after %s: %s", e->name, b->failed);
		replace(_metadata, b, e);
	}
}

static void attack_entry(struct __test_metadata *_metadata, struct bystander *b,
			 struct waiter *w, struct attack *a, const struct entry *e,
			 enum slow_kind kind)
{
	bool waits = kind != SLOW_UFFD_WP || e->touch & STORES;
	long ret = 0;
	int is;

	if (begin_attack(_metadata, b, w, a, e, kind) == -ENOTTY) {
		waiter_end(w);
		return;
	}
	is = waiter_waits(w, waiter_patience(REACH));
	if (!is)
		waiter_result(w, 0, &ret);
	if (ret != -ENOTTY)
		EXPECT_EQ(waits, is)
			TH_LOG("%s %s the memory (%s)", e->name,
			       is ? "waits for" : "returns without",
			       errname(is < 0 ? is : ret));
	if (is > 0)
		EXPECT_RET_FOR(0, waiter_sleeps(w, waiter_patience(REACH)),
			       "%s waits in state %c", e->name, waiter_state(w));
	check_others(_metadata, b, e);
	check_kill(_metadata, b, w, e);
}

/* If this fails, the other tests show nothing. */
static long read_pipe(struct slow *s, void *arg)
{
	int *ends = arg, ret = slow_map(s, 1, "x", 1);

	return ret ? ret : read(ends[0], s->mem, 1);
}

TEST_F(slow, memory_waits_and_answers)
{
	struct waiter *w = &self->waiter;
	int ends[2], i;
	long ret;

	if (slow_missing(variant->kind))
		SKIP(return, "%s", slow_missing(variant->kind));
	ASSERT_EQ(0, pipe(ends));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(1, write(ends[1], "y", 1));
		ASSERT_RET(0, waiter_start(w, variant->kind, SLOW_BYTES, read_pipe,
					   ends));
		ASSERT_EQ(1, waiter_waits(w, waiter_patience(REACH)));
		EXPECT_RET(-ETIMEDOUT, waiter_result(w, 0.1, &ret));
		if (i) {
			EXPECT_RET(0, waiter_kill(w, waiter_patience(GONE)));
		} else {
			EXPECT_RET(0, slow_answer(&w->slow));
			EXPECT_RET(0, waiter_result(w, waiter_patience(GONE), &ret));
			EXPECT_EQ(1, ret);
		}
		waiter_end(w);
	}
}

TEST_F_TIMEOUT(slow, memory_hurts_nobody_else, 300)
{
	unsigned int i;

	if (slow_missing(variant->kind))
		SKIP(return, "%s", slow_missing(variant->kind));
	for (i = 0; i < ARRAY_SIZE(entries); i++)
		if (exists(&entries[i]))
			attack_entry(_metadata, &self->other, &self->waiter,
				     &self->attack, &entries[i], variant->kind);
}

/* Memory whose fault handlers belong to the device */

FIXTURE(own) {
	struct bystander other;
	struct waiter waiter;
	struct attack attack;
};

FIXTURE_VARIANT(own) {
	int mapping;
};

FIXTURE_VARIANT_ADD(own, window) { .mapping = MAP_WINDOW };
FIXTURE_VARIANT_ADD(own, bar) { .mapping = MAP_BAR };

FIXTURE_SETUP(own)
{
	attack_init(_metadata, &self->attack);
	self->attack.mapping = variant->mapping;
	ASSERT_RET_FOR(0, bystander_start(&self->other, suite_device(),
					  suite_device_b()),
		       "%s", self->other.failed);
}

FIXTURE_TEARDOWN(own)
{
	bystander_end(&self->other);
}

TEST_F_TIMEOUT(own, mapping_as_the_memory_returns, 300)
{
	struct bystander *b = &self->other;
	struct waiter *w = &self->waiter;
	struct attack *a = &self->attack;
	const struct entry *e;
	unsigned int i;
	long ret;

	for (i = 0; i < ARRAY_SIZE(entries); i++) {
		e = &entries[i];
		/* Only mscratch has a BAR that a user can map. */
		if (!exists(e) || (variant->mapping == MAP_BAR && !e->scratch))
			continue;
		begin_attack(_metadata, b, w, a, e, SLOW_UFFD);
		EXPECT_RET_FOR(0, waiter_result(w, waiter_patience(REACH), &ret),
			       "%s", e->name);
		check_others(_metadata, b, e);
		check_kill(_metadata, b, w, e);
	}
}

/* The last test: nothing keeps the modules loaded. */

FIXTURE(afterwards) { };

FIXTURE_SETUP(afterwards) { }

FIXTURE_TEARDOWN(afterwards) { }

TEST_F(afterwards, the_modules_unload)
{
	mdev_sweep();
	/* The module is loaded if another program has loaded it. */
	if (!access("/sys/module/vfio_mig_test", F_OK))
		EXPECT_EQ(0, system("rmmod vfio_mig_test"));
	EXPECT_EQ(0, system("rmmod mscratch mnvme vfio_mig_core"));
}

/* Gives the device a state that takes more than one iteration. */
static void fill(void)
{
	struct guest guest = { 0 };
	struct device dev;

	if (device_open(&dev, suite_device()))
		return;
	if (fill_device(&dev, &guest))
		ksft_print_msg("the device could not be filled\n");
	device_close(&dev);
	guest_destroy(&guest);
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
	suite_need_b();
	fill();
	if (system("modprobe -q mscratch") || mdev_create(&scratch, "mscratch", "64M"))
		ksft_print_msg("there is no mscratch\n");
}

SUITE_MAIN(need_all())
