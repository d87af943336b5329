// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many threads on one device: no deadlock, no torn value, and only results that some order of
 * the operations explains
 */
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/fixture.h"
#include "lib/nvme.h"
#include "lib/poke.h"

#define SECONDS		15
#define SECONDS_LONG	120
#define THREADS_MAX	16

struct worker {
	struct device *dev;
	struct v1 v1;			/* a copy, because each thread has another mapping */
	const struct buffer *good;
	unsigned int seed;
	volatile int *stop;
	unsigned long rounds;
	char why[160];			/* empty: no wrong result */
};

#define wrong(w, fmt, ...)						\
	snprintf((w)->why, sizeof((w)->why), fmt, ##__VA_ARGS__)

/* Returns whether an access may return @ret while other threads change the device's state. */
static bool may_be(int ret)
{
	switch (ret) {
	case 0:
	case -EINVAL:		/* a transition or access that the state does not permit */
	case -EILSEQ:		/* two threads write to one stream */
	case -EBADMSG:
	case -EPROTONOSUPPORT:
	case -ENODEV:
	case -ENODATA:
		return true;
	default:
		return false;
	}
}

static void states(struct worker *w)
{
	static const __u32 to[] = { 0, 1, 2, 3, 4, 1, 2, 3, 1, 6, 7 };
	__u32 state = to[rand_r(&w->seed) % ARRAY_SIZE(to)];
	int ret = v1_set_state(&w->v1, state);

	if (!may_be(ret))
		wrong(w, "writing %u to device_state: %s", state, errname(ret));
}

static void registers(struct worker *w)
{
	__u64 pending, offset, size;
	long state = v1_get_state(&w->v1);

	if (state < 0 || state > V1_RESUMING)
		wrong(w, "device_state reads %ld", state);
	if (v1_pending(&w->v1, &pending) || pending > 1ULL << 40)
		wrong(w, "pending_bytes reads %#llx", pending);
	if (v1_data_offset(&w->v1, &offset) ||
	    (offset && offset != w->v1.data))
		wrong(w, "data_offset reads %#llx", offset);
	if (v1_data_size(&w->v1, &size) || size > w->v1.window)
		wrong(w, "data_size reads %#llx", size);
}

static void data_section(struct worker *w)
{
	unsigned char buf[4096];
	int ret;

	ret = v1_read_data(&w->v1, rand_r(&w->seed) % 8192, buf, sizeof(buf));
	if (!may_be(ret))
		wrong(w, "reading data: %s", errname(ret));
	memset(buf, 0x3c, sizeof(buf));
	ret = v1_write_data(&w->v1, rand_r(&w->seed) % 8192, buf, 512);
	if (!may_be(ret))
		wrong(w, "writing data: %s", errname(ret));
}

static void feeder(struct worker *w)
{
	size_t at = rand_r(&w->seed) % w->good->len;
	int ret;

	if (rand_r(&w->seed) % 4) {
		ret = v1_feed(&w->v1, w->good->data, w->good->len, 0);
	} else {
		ret = v1_feed(&w->v1, w->good->data + at, w->good->len - at,
			      4000);
	}
	if (!may_be(ret))
		wrong(w, "feeding: %s", errname(ret));
}

static void mapping(struct worker *w)
{
	unsigned char byte;
	__u64 at;
	int i;

	if (v1_map(&w->v1)) {
		wrong(w, "mmap failed");
		return;
	}
	for (i = 0; i < 200; i++) {
		at = rand_r(&w->seed) % w->v1.window;
		poke_load(w->v1.map + at, &byte);
		poke_store(w->v1.map + at, byte);
	}
	v1_unmap(&w->v1);
}

static void resets(struct worker *w)
{
	int ret = device_reset(w->dev);

	if (ret)
		wrong(w, "reset: %s", errname(ret));
	usleep(3000);
}

/* The kind of interrupt that a driver would use, or a negative errno. */
static int irq_index(struct device *dev)
{
	int index;

	for (index = VFIO_PCI_MSIX_IRQ_INDEX; index >= VFIO_PCI_INTX_IRQ_INDEX; index--)
		if (device_irq_count(dev, index) > 0)
			return index;
	return -ENOENT;
}

static bool has_interrupts(struct device *dev)
{
	return irq_index(dev) >= 0;
}

static void interrupts(struct worker *w)
{
	int fd = eventfd(0, EFD_NONBLOCK), index = irq_index(w->dev), ret;

	ret = device_irq_eventfds(w->dev, index, &fd, 1);
	if (!ret)
		ret = device_irq_disable(w->dev, index);
	/* Two of these threads may run at the same time. */
	if (ret && ret != -EINVAL && ret != -EBUSY)
		wrong(w, "SET_IRQS: %s", errname(ret));
	close(fd);
}

static bool has_bar0(struct device *dev)
{
	struct region bar;

	return !region_open(&bar, dev, VFIO_PCI_BAR0_REGION_INDEX) && bar.size >= 4;
}

/* Accesses BAR0 as a guest does: all registers, and doorbells without commands. */
static void bar0(struct worker *w)
{
	struct region bar;
	__u32 value;
	int i;

	if (region_open(&bar, w->dev, VFIO_PCI_BAR0_REGION_INDEX)) {
		wrong(w, "BAR0 does not open");
		return;
	}
	for (i = 0; i < 50; i++) {
		__u64 at = rand_r(&w->seed) % (bar.size / 4) * 4;

		region_read(&bar, at, &value, sizeof(value));
		if (rand_r(&w->seed) % 2)
			region_write(&bar, at, &value, sizeof(value));
	}
}

static const struct {
	const char *name;
	void (*fn)(struct worker *w);
	bool (*has)(struct device *dev);	/* NULL: each device has it */
} kinds[] = {
	{ "states", states }, { "registers", registers },
	{ "data section", data_section }, { "feeder", feeder },
	{ "mapping", mapping }, { "resets", resets },
	{ "SET_IRQS", interrupts, has_interrupts }, { "bar0", bar0, has_bar0 },
	{ "states", states }, { "registers", registers },
	{ "mapping", mapping },
};

struct job {
	struct worker w;
	unsigned int kind;
	bool started;
	pthread_t thread;
};

static void *work(void *arg)
{
	struct job *job = arg;

	while (!*job->w.stop && !job->w.why[0]) {
		kinds[job->kind].fn(&job->w);
		job->w.rounds++;
	}
	return NULL;
}

FIXTURE(threads) {
	struct device dev;
	struct v1 v1;
	struct buffer good;
	struct job jobs[ARRAY_SIZE(kinds)];
};

FIXTURE_SETUP(threads)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_RET(0, v1_save(&self->v1, &self->good));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
}

FIXTURE_TEARDOWN(threads)
{
	buffer_free(&self->good);
	fixture_close(&self->dev, &self->v1);
}

TEST_F_TIMEOUT(threads, on_all_of_a_device_at_once, 600)
{
	volatile int stop = 0;
	struct buffer s = { 0 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct job *job = &self->jobs[i];

		if (kinds[i].has && !kinds[i].has(&self->dev)) {
			TH_LOG("%s: not of this device", kinds[i].name);
			continue;
		}
		job->started = true;
		job->kind = i;
		job->w.dev = &self->dev;
		job->w.v1 = self->v1;
		job->w.good = &self->good;
		job->w.seed = i + 1;
		job->w.stop = &stop;
		ASSERT_EQ(0, pthread_create(&job->thread, NULL, work, job));
	}
	sleep(suite_long() ? SECONDS_LONG : SECONDS);
	stop = 1;
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct job *job = &self->jobs[i];

		if (!job->started)
			continue;
		ASSERT_EQ(0, pthread_join(job->thread, NULL));
		EXPECT_STREQ("", job->w.why);
		EXPECT_LT(0, job->w.rounds)
			TH_LOG("%s: did nothing", kinds[i].name);
		TH_LOG("%s: %lu rounds", kinds[i].name, job->w.rounds);
	}

	/* Afterwards the device works. */
	ASSERT_RET(0, device_reset(&self->dev));
	ASSERT_STATE(V1_RUNNING, &self->v1);
	ASSERT_RET(0, v1_save(&self->v1, &s));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	ASSERT_RET(0, v1_load(&self->v1, &s, 0));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	buffer_free(&s);
}

SUITE_MAIN_WINDOW(SUITE_WINDOW_KIB_MIN, suite_need_v1())
