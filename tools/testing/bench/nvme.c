// SPDX-License-Identifier: GPL-2.0-only
/*
 * How fast an mnvme controller is, without a guest: commands of a driver in user
 * space through /dev/vfio, against what fio gets from the kernel's RAM disk at the
 * same depth in the same run; and large transfers against a memcpy() of the same
 * bytes.
 *
 * Prints the medians of several rounds, and of the ratios, round by round.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "clock.h"
#include "guest.h"
#include "mdev.h"
#include "nvme.h"

#define SPAN		(256 * MIB)	/* of the namespace, and of the RAM disk */
#define SMALL		4096
#define DEPTH_MAX	32
#define NAMESIZE	32

#define FIO "fio --name=bench --filename=/dev/ram0 --ioengine=io_uring --direct=1" \
	    " --gtod_reduce=1" \
	    " --rw=rand%s --bs=4k --iodepth=%u --size=256m --time_based" \
	    " --runtime=%g --output-format=terse --terse-version=3"
/* Of fio's terse output, counted from 0. */
#define TERSE_READ_IOPS		7
#define TERSE_WRITE_IOPS	48

struct bench {
	struct mdev mdev;
	struct device dev;
	struct guest guest;
	struct nvme nvme;
	unsigned char *buf;		/* MIB for the device to read and write */
	unsigned char *disk;		/* SPAN of ordinary memory */
	double seconds;			/* of each measurement */
	__u32 random;
};

struct bench_case {
	const char *name;
	double (*run)(struct bench *b, const struct bench_case *c);
	double (*base)(struct bench *b, const struct bench_case *c);
	int write;
	__u32 depth;
	double rate[ROUNDS_MAX], base_rate[ROUNDS_MAX];
};

static __u32 next_random(struct bench *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 17;
	b->random ^= b->random << 5;
	return b->random;
}

static void submit_small(struct bench *b, const struct bench_case *c, __u32 nr)
{
	struct nvme *nvme = &b->nvme;
	__u32 blocks = SMALL / nvme->lba_size;
	__u64 lba;

	while (nr--) {
		lba = (__u64)(next_random(b) % (SPAN / SMALL)) * blocks;
		must("submitting",
		     nvme_submit_io(nvme, &nvme->io[0],
				    c->write ? NVME_OP_WRITE : NVME_OP_READ, lba,
				    blocks, b->buf + nr * SMALL));
	}
	must("ringing the doorbell", nvme_ring(nvme, &nvme->io[0]));
}

/* As many as are complete; both doorbells are rung once for all of them. */
static __u32 reap(struct bench *b)
{
	struct nvme_cqe cqe[DEPTH_MAX];
	int nr, i;

	nr = nvme_poll_many(&b->nvme, &b->nvme.io[0], cqe, DEPTH_MAX);
	must("polling", nr);
	for (i = 0; i < nr; i++)
		if (cqe[i].status >> 1)
			fail("a command", -EIO);
	return nr;
}

/* Commands per second with @depth of them in flight at any time. */
static double small_nvme(struct bench *b, const struct bench_case *c)
{
	double start = clock_now(), end;
	unsigned long done = 0;
	__u32 nr, i;

	submit_small(b, c, c->depth);
	do {
		/* The clock is not read too often: that can be slow. */
		for (i = 0; i < 64; i++) {
			nr = reap(b);
			if (nr)
				submit_small(b, c, nr);
			done += nr;
		}
		end = clock_now();
	} while (end - start < b->seconds);
	for (nr = c->depth; nr; )
		nr -= reap(b);
	return done / (end - start);
}

static double small_brd(struct bench *b, const struct bench_case *c)
{
	char command[512], line[4096], *at = line, *field = NULL;
	int i, nr = c->write ? TERSE_WRITE_IOPS : TERSE_READ_IOPS;
	FILE *fio;

	snprintf(command, sizeof(command), FIO, c->write ? "write" : "read",
		 c->depth, b->seconds);
	fio = popen(command, "r");
	if (!fio || !fgets(line, sizeof(line), fio) || pclose(fio))
		fail("fio", -EIO);
	for (i = 0; i <= nr; i++)
		field = strsep(&at, ";");
	if (!field || atof(field) <= 0)
		fail("what fio printed", -EINVAL);
	return atof(field);
}

static double large(struct bench *b, const struct bench_case *c,
		    void (*move)(struct bench *b, const struct bench_case *c,
				 unsigned long at))
{
	double start = clock_now(), end;
	unsigned long at = 0, mib = 0;

	do {
		move(b, c, at);
		at = (at + MIB) % SPAN;
		mib++;
		end = clock_now();
	} while (end - start < b->seconds);
	return mib / (end - start);
}

static void move_nvme(struct bench *b, const struct bench_case *c,
		      unsigned long at)
{
	struct nvme *nvme = &b->nvme;
	struct nvme_queue *q = &nvme->io[0];

	must("submitting",
	     nvme_submit_io(nvme, q, c->write ? NVME_OP_WRITE : NVME_OP_READ,
			    at / nvme->lba_size, MIB / nvme->lba_size, b->buf));
	must("ringing the doorbell", nvme_ring(nvme, q));
	while (!reap(b))
		;
}

static void move_memcpy(struct bench *b, const struct bench_case *c,
			unsigned long at)
{
	memcpy(c->write ? b->disk + at : b->buf,
	       c->write ? b->buf : b->disk + at, MIB);
}

static double large_nvme(struct bench *b, const struct bench_case *c)
{
	return large(b, c, move_nvme);
}

static double large_memcpy(struct bench *b, const struct bench_case *c)
{
	return large(b, c, move_memcpy);
}

static void set_up(struct bench *b)
{
	struct bench_case fill = { .write = 1 };
	unsigned long at;

	mdev_init();
	atexit(mdev_sweep);
	must("creating a device", mdev_create(&b->mdev, "mnvme", "1G"));
	must("opening it", device_open(&b->dev, b->mdev.path));
	must("memory", guest_create(&b->guest, 8 * MIB));
	must("mapping memory", guest_attach(&b->guest, &b->dev));
	if (nvme_start(&b->nvme, &b->dev, &b->guest, 1, 64))
		fail("starting the controller", -EIO);
	b->buf = guest_alloc(&b->guest, MIB);
	b->disk = malloc(SPAN);
	if (!b->disk)
		fail("memory", -ENOMEM);
	memset(b->buf, 0x5a, MIB);
	memset(b->disk, 0xa5, SPAN);
	for (at = 0; at < SPAN; at += MIB)
		move_nvme(b, &fill, at);
	if (system("dd if=/dev/urandom of=/dev/ram0 bs=1M count=256 oflag=direct status=none"))
		must("filling", 0);
}

int main(int argc, char **argv)
{
	static struct bench_case cases[] = {
		{ "4 KiB read, depth 1", small_nvme, small_brd, 0, 1 },
		{ "4 KiB write, depth 1", small_nvme, small_brd, 1, 1 },
		{ "4 KiB read, depth 32", small_nvme, small_brd, 0, 32 },
		{ "4 KiB write, depth 32", small_nvme, small_brd, 1, 32 },
		{ "1 MiB read, depth 1", large_nvme, large_memcpy, 0, 1 },
		{ "1 MiB write, depth 1", large_nvme, large_memcpy, 1, 1 },
	};
	int nr = sizeof(cases) / sizeof(*cases), rounds, i, r;
	static struct bench b = { .random = 1 };
	double ratio[ROUNDS_MAX];
	const char *only;

	rounds = argc > 1 ? atoi(argv[1]) : 5;
	b.seconds = argc > 2 ? atof(argv[2]) : 2;
	only = argc > 3 ? argv[3] : "";
	if (rounds < 1 || rounds > ROUNDS_MAX || b.seconds < 1) {
		fprintf(stderr, "usage: nvme [ROUNDS, 1..%d [SECONDS, at least 1 [CASE]]]\n",
			ROUNDS_MAX);
		return 2;
	}
	set_up(&b);

	for (r = 0; r < rounds; r++) {
		for (i = 0; i < nr; i++) {
			if (!strstr(cases[i].name, only))
				continue;
			cases[i].base_rate[r] = cases[i].base(&b, &cases[i]);
			cases[i].rate[r] = cases[i].run(&b, &cases[i]);
		}
		fprintf(stderr, "round %d of %d\n", r + 1, rounds);
	}

	printf("%-24s %10s %10s %8s\n", "commands per second", "mnvme", "base",
	       "ratio");
	for (i = 0; i < nr; i++) {
		if (!strstr(cases[i].name, only))
			continue;
		for (r = 0; r < rounds; r++)
			ratio[r] = cases[i].rate[r] / cases[i].base_rate[r];
		printf("%-24s %10.0f %10.0f %8.2f\n", cases[i].name,
		       median(cases[i].rate, rounds),
		       median(cases[i].base_rate, rounds),
		       median(ratio, rounds));
	}
	printf("base: 4 KiB: fio (io_uring, direct) on brd; 1 MiB: memcpy()\n");

	/* A device's removal waits for who has it open. */
	nvme_close(&b.nvme);
	device_close(&b.dev);
	return 0;
}
