// SPDX-License-Identifier: GPL-2.0-only
/*
 * The speed of an mnvme controller without a guest. A driver in user space sends commands
 * through /dev/vfio. In the same run
 *
 * - fio does the same on the kernel's RAM disk, at the same depth, with and without batches;
 * - large transfers are compared with pread() and pwrite() of tmpfs, which the kernel copies,
 *   too, and with a memcpy() of the same bytes;
 * - two queues on two CPUs are compared with one queue.
 *
 * Prints the medians of several rounds, the medians of the rounds' ratios, and the CPU time of
 * the whole machine for a command.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"
#include "clock.h"
#include "guest.h"
#include "mdev.h"
#include "nvme.h"

#define SPAN		(256 * MIB)	/* used part of the namespace and of the RAM disk */
#define SMALL		4096
#define DEPTH_MAX	32
#define QUEUES		2
#define TMPFS		"/dev/shm/bench"

#define FIO "fio --name=bench --filename=/dev/ram0 --ioengine=io_uring --direct=1" \
	    " --gtod_reduce=1" \
	    " --rw=rand%s --bs=4k --iodepth=%u --size=256m --time_based" \
	    " --runtime=%g --output-format=terse --terse-version=3%s"
/* fio takes all complete commands, and submits as many, as small_nvme() does. */
#define FIO_BATCH " --iodepth_batch_submit=32 --iodepth_batch_complete_min=1" \
		  " --iodepth_batch_complete_max=32"
/* Fields of fio's terse output, counted from 0 */
#define TERSE_READ_IOPS		7
#define TERSE_WRITE_IOPS	48

/**
 * struct driver - a thread with a queue
 * @buf: MIB of guest memory for the commands
 */
struct driver {
	struct bench *bench;
	const struct bench_case *c;
	struct nvme_queue *q;
	unsigned char *buf;
	__u32 random;
	double rate;
	pthread_t thread;
};

struct bench {
	struct mdev mdev;
	struct device dev;
	struct guest guest;
	struct nvme nvme;
	struct driver driver[QUEUES];
	unsigned char *disk;		/* SPAN bytes of ordinary memory */
	int tmpfs;			/* a file of SPAN bytes */
	double seconds;			/* duration of each measurement */
};

/**
 * struct bench_case - a measurement
 * @run: returns commands per second of mnvme
 * @base: returns the rate for comparison
 * @scattered: no page of guest memory follows the previous one
 * @untouched: guest memory has no pages yet, as in a guest that was just started
 */
struct bench_case {
	const char *name;
	const char *base_name;
	double (*run)(struct bench *b, const struct bench_case *c);
	double (*base)(struct bench *b, const struct bench_case *c);
	int write;
	__u32 depth;
	int scattered;
	int untouched;
	double rate[ROUNDS_MAX], base_rate[ROUNDS_MAX], cpu[ROUNDS_MAX];
};

static __u32 next_random(struct driver *d)
{
	d->random ^= d->random << 13;
	d->random ^= d->random >> 17;
	d->random ^= d->random << 5;
	return d->random;
}

static __u8 opcode_of(const struct bench_case *c)
{
	return c->write ? NVME_OP_WRITE : NVME_OP_READ;
}

static void submit_small(struct driver *d, __u32 nr)
{
	struct nvme *nvme = &d->bench->nvme;
	__u32 blocks = SMALL / nvme->lba_size;
	__u64 lba;

	while (nr--) {
		lba = (__u64)(next_random(d) % (SPAN / SMALL)) * blocks;
		must("submitting",
		     nvme_submit_io(nvme, d->q, opcode_of(d->c), lba, blocks,
				    d->buf + nr * SMALL));
	}
	must("ringing the doorbell", nvme_ring(nvme, d->q));
}

/* Takes all completions, and writes both doorbells once for all of them. */
static __u32 reap(struct driver *d)
{
	struct nvme_cqe cqe[DEPTH_MAX];
	int nr, i;

	nr = nvme_poll_many(&d->bench->nvme, d->q, cqe, DEPTH_MAX);
	must("polling", nr);
	for (i = 0; i < nr; i++)
		if (cqe[i].status >> 1)
			fail("a command", -EIO);
	return nr;
}

/* Returns commands per second with a constant number of commands in flight. */
static double drive_small(struct driver *d)
{
	double start = clock_now(), end;
	unsigned long done = 0;
	__u32 nr, i;

	submit_small(d, d->c->depth);
	do {
		/* The clock is read rarely, because a read can be slow. */
		for (i = 0; i < 64; i++) {
			nr = reap(d);
			if (nr)
				submit_small(d, nr);
			done += nr;
		}
		end = clock_now();
	} while (end - start < d->bench->seconds);
	for (nr = d->c->depth; nr; )
		nr -= reap(d);
	return done / (end - start);
}

/* All pages but the first are in reverse order. */
static void scatter(struct driver *d, int cid)
{
	__u64 *list = d->q->prp_lists + cid * (GUEST_PAGE / sizeof(*list)), entry;
	int nr = MIB / GUEST_PAGE - 1, i;

	for (i = 0; i < nr / 2; i++) {
		entry = list[i];
		list[i] = list[nr - 1 - i];
		list[nr - 1 - i] = entry;
	}
}

static void move_nvme(struct driver *d, unsigned long at)
{
	struct nvme *nvme = &d->bench->nvme;
	int cid;

	cid = nvme_submit_io(nvme, d->q, opcode_of(d->c), at / nvme->lba_size,
			     MIB / nvme->lba_size, d->buf);
	must("submitting", cid);
	if (d->c->scattered)
		scatter(d, cid);
	must("ringing the doorbell", nvme_ring(nvme, d->q));
	while (!reap(d))
		;
}

static void move_memcpy(struct driver *d, unsigned long at)
{
	unsigned char *disk = d->bench->disk + at;

	memcpy(d->c->write ? disk : d->buf, d->c->write ? d->buf : disk, MIB);
}

static void move_tmpfs(struct driver *d, unsigned long at)
{
	ssize_t ret;

	ret = d->c->write ? pwrite(d->bench->tmpfs, d->buf, MIB, at) :
			    pread(d->bench->tmpfs, d->buf, MIB, at);
	if (ret != (ssize_t)MIB)
		fail("tmpfs", -EIO);
}

static double drive_large(struct driver *d, void (*move)(struct driver *d, unsigned long at))
{
	double start = clock_now(), end;
	unsigned long at = 0, mib = 0;

	/* The two drivers use different blocks. */
	if (d != d->bench->driver)
		at = SPAN / 2;
	do {
		if (d->c->untouched && madvise(d->buf, MIB, MADV_REMOVE))
			fail("giving guest memory back", -errno);
		move(d, at);
		at = (at + MIB) % SPAN;
		mib++;
		end = clock_now();
	} while (end - start < d->bench->seconds);
	return mib / (end - start);
}

static struct driver *first_driver(struct bench *b, const struct bench_case *c)
{
	b->driver[0].c = c;
	return &b->driver[0];
}

static double small_nvme(struct bench *b, const struct bench_case *c)
{
	return drive_small(first_driver(b, c));
}

static double large_nvme(struct bench *b, const struct bench_case *c)
{
	return drive_large(first_driver(b, c), move_nvme);
}

static double large_memcpy(struct bench *b, const struct bench_case *c)
{
	return drive_large(first_driver(b, c), move_memcpy);
}

static double large_tmpfs(struct bench *b, const struct bench_case *c)
{
	return drive_large(first_driver(b, c), move_tmpfs);
}

static void *drive(void *arg)
{
	struct driver *d = arg;

	d->rate = d->c->depth > 1 ? drive_small(d) : drive_large(d, move_nvme);
	return NULL;
}

/* Returns the rate of both queues together. Each queue has a CPU. */
static double two_queues(struct bench *b, const struct bench_case *c)
{
	double rate = 0;
	cpu_set_t cpu;
	int i;

	for (i = 0; i < QUEUES; i++) {
		b->driver[i].c = c;
		if (pthread_create(&b->driver[i].thread, NULL, drive, &b->driver[i]))
			fail("a thread", -ENOMEM);
		CPU_ZERO(&cpu);
		CPU_SET(i, &cpu);
		if (pthread_setaffinity_np(b->driver[i].thread, sizeof(cpu), &cpu))
			fail("a second CPU", -EINVAL);
	}
	for (i = 0; i < QUEUES; i++) {
		pthread_join(b->driver[i].thread, NULL);
		rate += b->driver[i].rate;
	}
	return rate;
}

static double run_fio(struct bench *b, const struct bench_case *c, const char *more)
{
	char command[512], line[4096], *at = line, *field = NULL;
	int i, nr = c->write ? TERSE_WRITE_IOPS : TERSE_READ_IOPS;
	FILE *fio;

	snprintf(command, sizeof(command), FIO, c->write ? "write" : "read",
		 c->depth, b->seconds, more);
	fio = popen(command, "r");
	if (!fio || !fgets(line, sizeof(line), fio) || pclose(fio))
		fail("fio", -EIO);
	for (i = 0; i <= nr; i++)
		field = strsep(&at, ";");
	if (!field || atof(field) <= 0)
		fail("what fio printed", -EINVAL);
	return atof(field);
}

static double small_brd(struct bench *b, const struct bench_case *c)
{
	return run_fio(b, c, "");
}

static double batched_brd(struct bench *b, const struct bench_case *c)
{
	return run_fio(b, c, FIO_BATCH);
}

/* Returns the CPU seconds that the whole machine has used. */
static double cpu_spent(void)
{
	unsigned long user, nice, system, idle, wait, irq, softirq;
	FILE *f = fopen("/proc/stat", "r");

	if (!f || fscanf(f, "cpu %lu %lu %lu %lu %lu %lu %lu", &user, &nice, &system,
			 &idle, &wait, &irq, &softirq) != 7)
		fail("/proc/stat", -EIO);
	fclose(f);
	return (double)(user + nice + system + irq + softirq) / sysconf(_SC_CLK_TCK);
}

static void measure(struct bench *b, struct bench_case *c, int round)
{
	double before;

	c->base_rate[round] = c->base(b, c);
	before = cpu_spent();
	c->rate[round] = c->run(b, c);
	c->cpu[round] = (cpu_spent() - before) / (c->rate[round] * b->seconds);
}

static void show(struct bench_case *c, int rounds)
{
	double ratio[ROUNDS_MAX];
	int r;

	for (r = 0; r < rounds; r++)
		ratio[r] = c->rate[r] / c->base_rate[r];
	printf("%-28s %9.0f %9.0f %6.2f %10.1f  %s\n", c->name, median(c->rate, rounds),
	       median(c->base_rate, rounds), median(ratio, rounds),
	       median(c->cpu, rounds) * 1e6, c->base_name);
}

static void set_up(struct bench *b)
{
	struct bench_case fill = { .write = 1 };
	unsigned long at;
	int i;

	start_mnvme("1G", &b->mdev, &b->dev, &b->guest, &b->nvme, QUEUES, 64);
	for (i = 0; i < QUEUES; i++) {
		b->driver[i].bench = b;
		b->driver[i].q = &b->nvme.io[i];
		b->driver[i].buf = guest_alloc(&b->guest, MIB);
		b->driver[i].random = i + 1;
		memset(b->driver[i].buf, 0x5a, MIB);
	}
	b->disk = malloc(SPAN);
	if (!b->disk)
		fail("memory", -ENOMEM);
	memset(b->disk, 0xa5, SPAN);
	b->tmpfs = open(TMPFS, O_RDWR | O_CREAT | O_TRUNC, 0600);
	must("tmpfs", b->tmpfs < 0 ? -errno : 0);
	unlink(TMPFS);
	if (pwrite(b->tmpfs, b->disk, SPAN, 0) != (ssize_t)SPAN)
		fail("filling tmpfs", -ENOSPC);
	for (at = 0; at < SPAN; at += MIB)
		move_nvme(first_driver(b, &fill), at);
	if (system("dd if=/dev/urandom of=/dev/ram0 bs=1M count=256 oflag=direct status=none"))
		fail("filling the RAM disk", -EIO);
}

int main(int argc, char **argv)
{
	static struct bench_case cases[] = {
		{ "4 KiB read, depth 1", "brd", small_nvme, small_brd, 0, 1 },
		{ "4 KiB write, depth 1", "brd", small_nvme, small_brd, 1, 1 },
		{ "4 KiB read, depth 32", "brd", small_nvme, small_brd, 0, 32 },
		{ "4 KiB write, depth 32", "brd", small_nvme, small_brd, 1, 32 },
		{ "4 KiB read, depth 32", "brd, in batches", small_nvme, batched_brd, 0, 32 },
		{ "4 KiB write, depth 32", "brd, in batches", small_nvme, batched_brd, 1, 32 },
		{ "1 MiB read, adjacent", "pread of tmpfs", large_nvme, large_tmpfs, 0, 1 },
		{ "1 MiB write, adjacent", "pwrite of tmpfs", large_nvme, large_tmpfs, 1, 1 },
		{ "1 MiB read, scattered", "pread of tmpfs", large_nvme, large_tmpfs, 0, 1, 1 },
		{ "1 MiB write, scattered", "pwrite of tmpfs", large_nvme, large_tmpfs, 1, 1, 1 },
		{ "1 MiB read, untouched", "pread of tmpfs", large_nvme, large_tmpfs, 0, 1, 0, 1 },
		{ "1 MiB read, adjacent", "memcpy()", large_nvme, large_memcpy, 0, 1 },
		{ "1 MiB write, adjacent", "memcpy()", large_nvme, large_memcpy, 1, 1 },
		{ "4 KiB read, two queues", "one", two_queues, small_nvme, 0, 32 },
		{ "4 KiB write, two queues", "one", two_queues, small_nvme, 1, 32 },
		{ "1 MiB read, two queues", "one", two_queues, large_nvme, 0, 1 },
		{ "1 MiB write, two queues", "one", two_queues, large_nvme, 1, 1 },
	};
	int nr = sizeof(cases) / sizeof(*cases), rounds, i, r;
	static struct bench b;
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
		for (i = 0; i < nr; i++)
			if (strstr(cases[i].name, only))
				measure(&b, &cases[i], r);
		fprintf(stderr, "round %d of %d\n", r + 1, rounds);
	}

	printf("%-28s %9s %9s %6s %10s  %s\n", "commands per second", "mnvme", "base",
	       "ratio", "CPU us", "base");
	for (i = 0; i < nr; i++)
		if (strstr(cases[i].name, only))
			show(&cases[i], rounds);
	printf("4 KiB: random; brd by fio (io_uring, direct)\n");

	/* The removal of a device waits until it is closed. */
	nvme_close(&b.nvme);
	device_close(&b.dev);
	return 0;
}
