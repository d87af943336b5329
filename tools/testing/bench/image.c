// SPDX-License-Identifier: GPL-2.0-only
/*
 * How fast an image moves from one device to another, against paged state, in the same
 * run and with data sections of the same size. The image is that of vfio_mig_test, whose
 * driver makes it at the source and compares it at the target. The paged state is the
 * namespace of mnvme.
 *
 * Prints the medians of several rounds, and the image's speed as a ratio to that of
 * paged state, round by round.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "clock.h"
#include "endpoint.h"
#include "guest.h"
#include "mdev.h"
#include "nvme.h"

#define WINDOW_KIB	256
#define REG_IMAGE	16	/* seed and size, in BAR0 of vfio_mig_test */
#define PAGED_MIB	512	/* source, target and staged pages fit into mnvme's memory */

struct pair {
	struct mdev mdev[2];
	struct endpoint end[2];
	unsigned long mib;
};

struct bench_case {
	const char *name;
	struct pair *pair;
	int by_v2;
	double speed[ROUNDS_MAX];	/* MiB/s */
};

static void move(struct pair *p, int by_v2)
{
	struct endpoint *a = &p->end[0], *b = &p->end[1];
	struct buffer s = { 0 };
	ssize_t n;

	a->by_v2 = by_v2;
	b->by_v2 = by_v2;
	must("stopping the source", endpoint_stop(a));
	must("starting a load", endpoint_resume(b));
	do {
		s.len = 0;
		n = endpoint_take(a, &s);
		must("reading", n);
		if (n)
			must("writing", endpoint_give(b, &s));
	} while (n);
	must("ending a load", endpoint_run(b));
	must("ending a save", endpoint_cancel(a));
	buffer_free(&s);
}

static void make_pair(struct pair *p, const char *parent, const char *type)
{
	long window = mdev_window_kib(WINDOW_KIB);
	int i;

	for (i = 0; i < 2; i++) {
		must(type, mdev_create(&p->mdev[i], parent, type));
		must("opening it", endpoint_open(&p->end[i], p->mdev[i].path));
	}
	mdev_window_kib(window);
}

static void set_image(struct pair *p)
{
	__le64 seed = htole64(1), size = htole64(p->mib * MIB);
	struct region bar;

	must("BAR0", region_open(&bar, &p->end[0].dev, VFIO_PCI_BAR0_REGION_INDEX));
	must("the image's seed", region_write_all(&bar, REG_IMAGE, &seed, sizeof(seed)));
	must("the image's size", region_write_all(&bar, REG_IMAGE + 8, &size, sizeof(size)));
}

static void fill_namespace(struct pair *p, struct guest *guest)
{
	struct device *dev = &p->end[0].dev;
	struct nvme nvme;
	unsigned long i;
	void *buf;
	__u32 nr;

	must("guest memory", guest_create(guest, 8 * MIB));
	must("mapping it", guest_attach(guest, dev));
	if (nvme_start(&nvme, dev, guest, 1, 64))
		fail("starting the controller", -EIO);
	nr = MIB / nvme.lba_size;
	buf = guest_alloc(guest, MIB);
	for (i = 0; i < p->mib; i++) {
		pattern_fill(&nvme, buf, i * nr, nr, 1);
		if (nvme_io(&nvme, NVME_OP_WRITE, i * nr, nr, buf))
			fail("writing to the namespace", -EIO);
	}
	nvme_close(&nvme);
}

static void show(struct bench_case *image, const struct bench_case *paged, int rounds)
{
	double ratio[ROUNDS_MAX];
	int r;

	for (r = 0; r < rounds; r++)
		ratio[r] = image->speed[r] / paged->speed[r];
	printf("%-10s %10.0f %10.0f %10.2f\n", image->by_v2 ? "v2" : "v1",
	       median(paged->speed, rounds), median(image->speed, rounds),
	       median(ratio, rounds));
}

int main(int argc, char **argv)
{
	static struct pair image, paged = { .mib = PAGED_MIB };
	static struct bench_case cases[] = {
		{ "paged state, v1", &paged, 0 }, { "image, v1", &image, 0 },
		{ "paged state, v2", &paged, 1 }, { "image, v2", &image, 1 },
	};
	int nr = sizeof(cases) / sizeof(*cases), rounds, i, r;
	static struct guest guest;

	image.mib = argc > 1 ? strtoul(argv[1], NULL, 0) : 2048;
	rounds = argc > 2 ? atoi(argv[2]) : 3;
	if (!image.mib || image.mib > 8192 || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: image [MIB, 1..8192 [ROUNDS, 1..%d]]\n", ROUNDS_MAX);
		return 2;
	}
	if (paged.mib > image.mib)
		paged.mib = image.mib;
	mdev_init();
	atexit(mdev_sweep);
	make_pair(&image, "vfio_mig_test", "image");
	make_pair(&paged, "mnvme", "1G");
	set_image(&image);
	fill_namespace(&paged, &guest);

	for (r = 0; r < rounds; r++) {
		for (i = 0; i < nr; i++) {
			double start = clock_now();

			move(cases[i].pair, cases[i].by_v2);
			cases[i].speed[r] = cases[i].pair->mib / (clock_now() - start);
		}
		fprintf(stderr, "round %d of %d\n", r + 1, rounds);
	}
	printf("%-10s %10s %10s %10s\n", "moving", "paged MiB/s", "image MiB/s", "ratio");
	for (i = 0; i < nr; i += 2)
		show(&cases[i + 1], &cases[i], rounds);

	/* A device's removal waits for who has it open. */
	for (i = 0; i < 2; i++) {
		endpoint_close(&image.end[i]);
		endpoint_close(&paged.end[i]);
	}
	guest_destroy(&guest);
	return 0;
}
