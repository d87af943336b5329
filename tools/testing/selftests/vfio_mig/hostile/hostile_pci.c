// SPDX-License-Identifier: GPL-2.0-only
/*
 * Migration data is copied to and from a mapping of the device's own BAR, while other threads
 * reset the device or disable its BARs. A fault in such a mapping waits for a lock that
 * vfio-pci holds in a reset. A driver deadlocks if it holds a lock during the copy, and
 * takes the same lock in the reset.
 *
 * VFIO_MIG_DEVICE should be a PCI function behind vfio-pci. Without VFIO_MIG_DEVICE the test
 * uses a device of vfio_mig_test whose driver allocates the memory.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/bar.h"
#include "lib/check.h"
#include "lib/clock.h"
#include "lib/suite.h"
#include "lib/testdev.h"
#include "lib/v2.h"

#define SECONDS		6.0
#define PORTION		(256 << 10)

static struct mdev mdev;
static const char *path;

/* Threads that work on one device until the time is over */
struct work {
	struct device dev;
	struct region bar;	/* a BAR that can be mapped */
	struct region config;
	unsigned char *map;
	size_t size;		/* of the mapping */
	double end;
	unsigned long reads;	/* bytes of migration data that were read or written */
	unsigned long resets;
	unsigned long toggles;
};

FIXTURE(busy) {
	struct work w;
};

FIXTURE_SETUP(busy)
{
	struct work *w = &self->w;
	void *map;

	ASSERT_RET(0, device_open(&w->dev, path));
	if (bar_find(&w->bar, &w->dev, PORTION))
		return;
	ASSERT_RET(0, region_open(&w->config, &w->dev, VFIO_PCI_CONFIG_REGION_INDEX));
	w->size = PORTION;
	ASSERT_RET(0, region_mmap(&w->bar, 0, w->size, PROT_READ | PROT_WRITE, MAP_SHARED,
				  &map));
	w->map = map;
	w->end = clock_now() + SECONDS;
}

FIXTURE_TEARDOWN(busy)
{
	if (self->w.map)
		munmap(self->w.map, self->w.size);
	device_reset(&self->w.dev);
	device_close(&self->w.dev);
}

static int on(struct work *w)
{
	return clock_now() < w->end;
}

/* Other threads end the session, so any error is right. */
static void *read_to_bar(void *arg)
{
	struct work *w = arg;
	struct v2 v2;
	ssize_t ret;

	while (on(w)) {
		if (v2_open(&v2, &w->dev) || v2_set_state(&v2, V2_STOP_COPY))
			continue;
		do {
			ret = v2_read(&v2, w->map, w->size);
			w->reads += ret > 0 ? ret : 0;
		} while (ret > 0 && on(w));
		v2_set_state(&v2, V2_RUNNING);
		v2_close(&v2);
	}
	return NULL;
}

static void *write_from_bar(void *arg)
{
	struct work *w = arg;
	struct v2 v2;
	ssize_t ret;

	while (on(w)) {
		if (v2_open(&v2, &w->dev) || v2_set_state(&v2, V2_RESUMING))
			continue;
		ret = v2_write(&v2, w->map, w->size);
		/* The data is no stream. The test only needs the device to read it. */
		w->reads += ret > 0 || ret == -EILSEQ || ret == -EBADMSG;
		device_reset(&w->dev);
		v2_close(&v2);
	}
	return NULL;
}

static void *reset(void *arg)
{
	struct work *w = arg;

	while (on(w))
		w->resets += !device_reset(&w->dev);
	return NULL;
}

/* Disables and enables the BARs. This takes vfio-pci's lock, too, and faults in the BAR fail. */
static void *toggle(void *arg)
{
	struct work *w = arg;
	__u16 command;

	while (on(w)) {
		if (region_read_all(&w->config, PCI_COMMAND, &command, 2))
			continue;
		command ^= PCI_COMMAND_MEMORY;
		w->toggles += !region_write_all(&w->config, PCI_COMMAND, &command, 2);
	}
	return NULL;
}

static void run(struct __test_metadata *_metadata, struct work *w,
		void *(*const *what)(void *), int nr)
{
	pthread_t thread[4];
	int i;

	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, what[i], w));
	for (i = 0; i < nr; i++)
		pthread_join(thread[i], NULL);
	TH_LOG("%lu bytes or writes, %lu resets, %lu changes of the command register",
	       w->reads, w->resets, w->toggles);
}

/* Afterwards the device works. */
static void expect_works(struct __test_metadata *_metadata, struct work *w)
{
	struct buffer stream = { 0 };
	struct v2 v2;

	ASSERT_RET(0, device_reset(&w->dev));
	ASSERT_RET(0, v2_open(&v2, &w->dev));
	EXPECT_EQ(V2_RUNNING, v2_get_state(&v2));
	EXPECT_RET(0, v2_save(&v2, &stream, 0));
	EXPECT_LT(0, stream.len);
	EXPECT_RET(0, v2_set_state(&v2, V2_RUNNING));
	v2_close(&v2);
	buffer_free(&stream);
}

TEST_F_TIMEOUT(busy, data_is_read_into_a_BAR_and_the_device_reset, 120)
{
	void *(*const what[])(void *) = { read_to_bar, reset };

	if (!self->w.map)
		SKIP(return, "the device has no BAR that can be mapped");
	run(_metadata, &self->w, what, 2);
	EXPECT_LT(0, self->w.reads);
	EXPECT_LT(0, self->w.resets);
	expect_works(_metadata, &self->w);
}

TEST_F_TIMEOUT(busy, data_is_read_into_a_BAR_and_it_is_disabled, 120)
{
	void *(*const what[])(void *) = { read_to_bar, toggle, reset };

	if (!self->w.map)
		SKIP(return, "the device has no BAR that can be mapped");
	run(_metadata, &self->w, what, 3);
	EXPECT_LT(0, self->w.toggles);
	expect_works(_metadata, &self->w);
}

TEST_F_TIMEOUT(busy, data_is_written_from_a_BAR_during_resets, 120)
{
	void *(*const what[])(void *) = { write_from_bar, toggle, reset };

	if (!self->w.map)
		SKIP(return, "the device has no BAR that can be mapped");
	run(_metadata, &self->w, what, 3);
	EXPECT_LT(0, self->w.resets);
	expect_works(_metadata, &self->w);
}

/* The memory is part of the state, whatever the command register of the guest's driver is. */
TEST_F_TIMEOUT(busy, a_state_is_saved_while_the_BAR_is_disabled, 120)
{
	struct buffer on = { 0 }, off = { 0 };
	struct work *w = &self->w;
	__u16 command;
	struct v2 v2;

	if (!w->map)
		SKIP(return, "the device has no BAR that can be mapped");
	memset(w->map, 0x5a, w->size);
	ASSERT_RET(0, v2_open(&v2, &w->dev));
	ASSERT_RET(0, v2_save(&v2, &on, 0));
	ASSERT_RET(0, v2_set_state(&v2, V2_RUNNING));
	ASSERT_RET(0, region_read_all(&w->config, PCI_COMMAND, &command, 2));
	command &= ~PCI_COMMAND_MEMORY;
	ASSERT_RET(0, region_write_all(&w->config, PCI_COMMAND, &command, 2));
	ASSERT_RET(0, v2_save(&v2, &off, 0));
	ASSERT_RET(0, v2_set_state(&v2, V2_RUNNING));
	EXPECT_EQ(on.len, off.len);
	EXPECT_LT(w->size, off.len);
	ASSERT_RET(0, region_read_all(&w->config, PCI_COMMAND, &command, 2));
	EXPECT_EQ(0, command & PCI_COMMAND_MEMORY);
	command |= PCI_COMMAND_MEMORY;
	ASSERT_RET(0, region_write_all(&w->config, PCI_COMMAND, &command, 2));
	EXPECT_EQ(0x5a, w->map[w->size - 1]);
	v2_close(&v2);
	buffer_free(&on);
	buffer_free(&off);
}

/* A user suspends the function and closes it. The next user must not see this user's data. */
TEST_F_TIMEOUT(busy, a_sleeping_device_is_cleared, 60)
{
	struct vfio_device_feature sleep = {
		.argsz = sizeof(sleep),
		.flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
	};
	struct work *w = &self->w;
	unsigned char buf[4096];
	__u16 command;

	if (!w->map)
		SKIP(return, "the device has no BAR that can be mapped");
	memset(w->map, 0x5a, w->size);
	if (ioctl(w->dev.fd, VFIO_DEVICE_FEATURE, &sleep))
		SKIP(return, "the device cannot be put to sleep: %s", strerror(errno));
	munmap(w->map, w->size);
	w->map = NULL;
	device_close(&w->dev);

	ASSERT_RET(0, device_open(&w->dev, path));
	ASSERT_RET(0, bar_find(&w->bar, &w->dev, PORTION));
	ASSERT_RET(0, region_open(&w->config, &w->dev, VFIO_PCI_CONFIG_REGION_INDEX));
	ASSERT_RET(0, region_read_all(&w->config, PCI_COMMAND, &command, 2));
	command |= PCI_COMMAND_MEMORY;
	ASSERT_RET(0, region_write_all(&w->config, PCI_COMMAND, &command, 2));
	ASSERT_RET(0, region_read_all(&w->bar, 0, buf, sizeof(buf)));
	EXPECT_EQ(0, buf[0] | memcmp(buf, buf + 1, sizeof(buf) - 1));
}

int main(int argc, char **argv)
{
	if (argc > 1 || getenv("VFIO_MIG_DEVICE")) {
		suite_init(argc, argv, 0);
		suite_need_v2();
		path = suite_device();
		SUITE_RUN(argv);
	}
	testdev_init();
	if (testdev_create(&mdev, "memory")) {
		ksft_print_header();
		ksft_exit_skip("no device of vfio_mig_test\n");
	}
	path = mdev.path;
	SUITE_RUN(argv);
}
