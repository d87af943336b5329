// SPDX-License-Identifier: GPL-2.0-only
/* The devices that a test program uses */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest.h"
#include "mdev.h"
#include "nvme.h"
#include "stream.h"
#include "suite.h"
#include "v1.h"
#include "v2.h"

#define PARENT	"mnvme"

static struct mdev created[2];
static const char *device_a, *device_b;

static void skip(const char *reason)
{
	ksft_print_header();
	ksft_exit_skip("%s\n", reason);
}

static void load_module(void)
{
	if (system("modprobe -q " PARENT " 2>/dev/null"))
		ksft_print_msg("modprobe " PARENT " did not succeed\n");
}

static void create_devices(long window_kib)
{
	char reason[128];
	long window;
	int i, ret;

	load_module();
	mdev_init();
	atexit(mdev_sweep);
	window = mdev_window_kib(window_kib);
	for (i = 0, ret = 0; i < 2 && !ret; i++)
		ret = mdev_create(&created[i], PARENT, "64M");
	mdev_window_kib(window);
	if (ret) {
		snprintf(reason, sizeof(reason),
			 "no VFIO_MIG_DEVICE, and no " PARENT " device: %s",
			 strerror(-ret));
		skip(reason);
	}
	device_a = created[0].path;
	device_b = created[1].path;
}

/* Called before the harness runs. Skips all tests if there is no device. */
void suite_init(int argc, char **argv, long window_kib)
{
	device_a = argc > 1 ? argv[1] : getenv("VFIO_MIG_DEVICE");
	device_b = argc > 2 ? argv[2] : getenv("VFIO_MIG_DEVICE_B");
	if (!device_a)
		create_devices(window_kib);
	suite_need_opener(device_a);
}

/* Skips all tests if the opener of VFIO_MIG_OPEN cannot open the device. */
void suite_need_opener(const char *path)
{
	const char *reason = device_missing(path);

	if (reason)
		skip(reason);
}

/*
 * Skips all tests with @reason if @lacks returns true for the device. A device that cannot
 * be opened does not skip them, so that the tests fail.
 */
static void need(int (*lacks)(struct device *dev), const char *reason)
{
	struct device dev;
	int ret;

	if (device_open(&dev, device_a))
		return;
	ret = lacks(&dev);
	device_close(&dev);
	if (ret)
		skip(reason);
}

static int lacks_v1(struct device *dev)
{
	struct v1 v1;

	return v1_open(&v1, dev) == -ENOENT;
}

void suite_need_v1(void)
{
	need(lacks_v1, "the device has no v1 migration region");
}

static int lacks_v2(struct device *dev)
{
	struct v2 v2;

	return v2_open(&v2, dev) == -ENOTTY;
}

void suite_need_v2(void)
{
	need(lacks_v2, "the device does not speak the v2 protocol");
}

static int lacks_pre_copy(struct device *dev)
{
	struct v2 v2;

	return v2_open(&v2, dev) || !v2_has(&v2, V2_PRE_COPY);
}

void suite_need_pre_copy(void)
{
	need(lacks_pre_copy, "the device's v2 protocol has no PRE_COPY");
}

/* Returns whether the device's stream has another format than that of vfio-mig-core. */
static int lacks_stream(struct device *dev)
{
	struct buffer s = { 0 };
	struct chunk c;
	struct v1 v1;
	int ret;

	if (v1_open(&v1, dev))
		return 1;
	if (v1_save(&v1, &s))
		return 0;
	ret = stream_chunk(&s, 0, &c);
	buffer_free(&s);
	return ret;
}

void suite_need_stream(void)
{
	suite_need_v1();
	need(lacks_stream, "the device's stream is in a format of its own");
}

void suite_need_nvme(void)
{
	suite_need_v1();
	need(nvme_probe, "the device is no NVMe controller");
}

/* Returns whether the caller named a device. Other programs use the same device then. */
int suite_given(void)
{
	return device_a != created[0].path;
}

/* Skips tests of figures that apply to mnvme only. */
void suite_need_mnvme(void)
{
	if (suite_given())
		skip("is about " PARENT " devices: runs without VFIO_MIG_DEVICE");
}

void suite_need_b(void)
{
	if (!device_b)
		skip("there is no second device: VFIO_MIG_DEVICE_B");
}

const char *suite_device(void)
{
	return device_a;
}

/* Returns NULL if the caller named one device only. */
const char *suite_device_b(void)
{
	return device_b;
}

/* Returns a number from the environment, or @other. */
unsigned long suite_number(const char *name, unsigned long other)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 0) : other;
}

/* Returns whether a long run is requested. Other runs end within a few minutes. */
int suite_long(void)
{
	return suite_number("VFIO_MIG_LONG", 0) != 0;
}
