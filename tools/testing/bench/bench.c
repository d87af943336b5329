// SPDX-License-Identifier: GPL-2.0-only
/* Common functions of the benchmarks: errors end a benchmark, and medians */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* @ret is a negative errno. */
void fail(const char *what, long ret)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(-ret));
	exit(1);
}

void must(const char *what, long ret)
{
	if (ret < 0)
		fail(what, ret);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double median(const double *values, int nr)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, values, nr * sizeof(*values));
	qsort(sorted, nr, sizeof(*sorted), by_value);
	return nr % 2 ? sorted[nr / 2] :
			(sorted[nr / 2 - 1] + sorted[nr / 2]) / 2;
}

void start_mnvme(const char *type, struct mdev *mdev, struct device *dev,
		 struct guest *guest, struct nvme *nvme, int nr_queues, int depth)
{
	mdev_init();
	atexit(mdev_sweep);
	must("creating a device", mdev_create(mdev, "mnvme", type));
	must("opening it", device_open(dev, mdev->path));
	must("memory", guest_create(guest, 8 * MIB));
	must("mapping memory", guest_attach(guest, dev));
	if (nvme_start(nvme, dev, guest, nr_queues, depth))
		fail("starting the controller", -EIO);
}
