// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cost of an access to mapped device memory (BAR2 of an mscratch, 64 MiB), page by page:
 * loads in a writable and in a read-only mapping, and stores. They are measured at the first
 * access, at the second one, and in pre-copy after the page was sent. Prints the time for a
 * page, and the bytes that a save must send after that. Each figure is the smallest of all
 * rounds.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "bench.h"
#include "clock.h"
#include "mdev.h"
#include "v1.h"

#define PAGE	4096UL
#define SIZE	(64UL << 20)
#define PAGES	(SIZE / PAGE)
#define ROUNDS	5

enum { LOAD_RO, LOAD_RW, STORE, NR_WAYS };

static const char * const ways[NR_WAYS] = {
	"load, mapped for reading", "load, mapped for writing", "store",
};

struct figures {
	double first;
	double again;
	double sent;		/* in pre-copy, after all pages were sent */
	double pending;		/* MiB to send afterwards */
};

static double touch(volatile unsigned char *map, int way)
{
	double start = clock_now();
	unsigned long i;

	for (i = 0; i < PAGES; i++)
		if (way == STORE)
			map[i * PAGE] = i;
		else
			(void)map[i * PAGE];
	return (clock_now() - start) / PAGES * 1e6;
}

static void least(double *figure, double value)
{
	if (!*figure || value < *figure)
		*figure = value;
}

static void measure(const struct mdev *mdev, int way, struct figures *f)
{
	struct buffer stream = { 0 };
	struct device dev;
	struct region bar;
	__u64 pending;
	struct v1 v1;
	void *map;

	must("opening", device_open(&dev, mdev->path));
	must("the region", v1_open(&v1, &dev));
	must("BAR2", region_open(&bar, &dev, VFIO_PCI_BAR2_REGION_INDEX));
	must("mmap", region_mmap(&bar, 0, SIZE, way == LOAD_RO ? PROT_READ :
				 PROT_READ | PROT_WRITE, MAP_SHARED, &map));
	least(&f->first, touch(map, way));
	least(&f->again, touch(map, way));
	must("pre-copy", v1_set_state(&v1, V1_PRE_COPY));
	if (v1_drain(&v1, &stream) < 0)
		fail("saving", -1);
	least(&f->sent, touch(map, way));
	must("pending", v1_pending(&v1, &pending));
	least(&f->pending, (double)pending / MIB);
	buffer_free(&stream);
	munmap(map, SIZE);
	v1_close(&v1);
	device_close(&dev);
}

int main(void)
{
	struct figures f[NR_WAYS] = { 0 };
	struct mdev mdev;
	int way, i;

	mdev_init();
	must("creating an mscratch", mdev_create(&mdev, "mscratch", "64M"));
	for (i = 0; i < ROUNDS; i++)
		for (way = 0; way < NR_WAYS; way++)
			measure(&mdev, way, &f[way]);
	mdev_remove(&mdev);
	printf("us for a page of 4 KiB      first   again   sent before   MiB to send then\n");
	for (way = 0; way < NR_WAYS; way++)
		printf("%-26s %6.2f  %6.2f        %6.2f             %6.1f\n",
		       ways[way], f[way].first, f[way].again, f[way].sent,
		       f[way].pending);
	return 0;
}
