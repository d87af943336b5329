// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cost of many mnvme devices: 256 are created, opened and used at the same time. Prints
 * the time to create a device, for the first and for the last devices, and the kernel memory
 * of an idle device. The fastest creation shows the time without other work on the machine.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench.h"
#include "clock.h"
#include "guest.h"
#include "mdev.h"
#include "nvme.h"

#define DEVICES		256
#define SAMPLE		32	/* devices of a median */

struct one {
	struct mdev mdev;
	struct device dev;
	struct guest guest;
	struct nvme nvme;
	void *buf;
};

static struct one one[DEVICES];

/* Memory in use that belongs to no process, including percpu memory */
static long long used(void)
{
	long long total = 0, kib;
	char line[256];
	FILE *f;

	f = fopen("/proc/meminfo", "r");
	if (!f)
		fail("/proc/meminfo", -errno);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemTotal: %lld", &kib) == 1)
			total += kib;
		if (sscanf(line, "MemFree: %lld", &kib) == 1 ||
		    sscanf(line, "Cached: %lld", &kib) == 1 ||
		    sscanf(line, "Buffers: %lld", &kib) == 1 ||
		    sscanf(line, "AnonPages: %lld", &kib) == 1)
			total -= kib;
	}
	fclose(f);
	return total * 1024;
}

/* Writes one block, and reads it back. */
static void drive(struct one *o, int i)
{
	unsigned char *buf = o->buf;

	memset(buf, i, o->nvme.lba_size);
	if (nvme_io(&o->nvme, NVME_OP_WRITE, i, 1, buf))
		fail("writing", -EIO);
	memset(buf, ~i, o->nvme.lba_size);
	if (nvme_io(&o->nvme, NVME_OP_READ, i, 1, buf))
		fail("reading", -EIO);
	if (buf[0] != (i & 0xff) || memcmp(buf, buf + 1, o->nvme.lba_size - 1))
		fail("what was read", -EILSEQ);
}

static double least(const double *values, int nr)
{
	double min = *values;

	while (--nr)
		if (values[nr] < min)
			min = values[nr];
	return min;
}

static void show_creation(const char *which, const double *seconds)
{
	printf("creating one, %-5s %d: least %8.2f ms, median %8.2f ms\n", which,
	       SAMPLE, least(seconds, SAMPLE) * 1e3,
	       median(seconds, SAMPLE) * 1e3);
}

static void start(struct one *o)
{
	must("memory", guest_create(&o->guest, MIB));
	must("opening a device", device_open(&o->dev, o->mdev.path));
	must("mapping memory", guest_attach(&o->guest, &o->dev));
	if (nvme_start(&o->nvme, &o->dev, &o->guest, 1, 16))
		fail("starting a controller", -EIO);
	o->buf = guest_alloc(&o->guest, GUEST_PAGE);
}

int main(void)
{
	struct rlimit files = { .rlim_cur = 16 * DEVICES,
				.rlim_max = 16 * DEVICES };
	long long before, created, opened;
	double seconds[DEVICES], begin;
	int i;

	if (setrlimit(RLIMIT_NOFILE, &files))
		fail("open files", -errno);
	mdev_init();
	atexit(mdev_sweep);

	before = used();
	for (i = 0; i < DEVICES; i++) {
		begin = clock_now();
		must("creating a device",
		     mdev_create(&one[i].mdev, "mnvme", "64M"));
		seconds[i] = clock_now() - begin;
	}
	created = used();
	for (i = 0; i < DEVICES; i++)
		start(&one[i]);
	opened = used();
	for (i = 0; i < DEVICES; i++)
		drive(&one[i], i);

	printf("%d devices\n", DEVICES);
	show_creation("first", seconds);
	show_creation("last", seconds + DEVICES - SAMPLE);
	printf("%-36s %8.1f KiB\n", "memory of one, created",
	       (created - before) / 1024.0 / DEVICES);
	printf("%-36s %8.1f KiB\n", "memory of one, opened and enabled",
	       (opened - before) / 1024.0 / DEVICES);

	for (i = 0; i < DEVICES; i++) {
		nvme_close(&one[i].nvme);
		device_close(&one[i].dev);
	}
	return 0;
}
