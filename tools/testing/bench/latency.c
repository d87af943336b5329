// SPDX-License-Identifier: GPL-2.0-only
/*
 * The latency of other accesses while an mnvme controller executes commands of 1 MiB: reads of
 * a register, as another vCPU does, and of configuration space, as a VMM does. In the same
 * rounds the controller is idle for comparison.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "clock.h"
#include "guest.h"
#include "mdev.h"
#include "nvme.h"

#define READS_MAX	100000

struct bench {
	struct mdev mdev;
	struct device dev;
	struct guest guest;
	struct nvme nvme;
	struct region config;
	unsigned char *buf;
	volatile int stop;
	unsigned long commands;
};

/* A thread that waits for each command before the next one, as a vCPU does */
static void *work(void *arg)
{
	struct bench *b = arg;
	__u32 nr = MIB / b->nvme.lba_size;

	while (!b->stop) {
		if (nvme_io(&b->nvme, b->commands % 2 ? NVME_OP_READ : NVME_OP_WRITE,
			    b->commands / 2 % 64 * nr, nr, b->buf))
			fail("a command", -EIO);
		b->commands++;
	}
	return NULL;
}

static void read_register(struct bench *b)
{
	__u32 value;

	must("a register", nvme_read32(&b->nvme, REG_CSTS, &value));
}

static void read_config(struct bench *b)
{
	__u16 value;

	must("configuration space", region_read_all(&b->config, 4, &value, sizeof(value)));
}

/**
 * struct latency - latency of many reads, in seconds
 */
struct latency {
	double typical;
	double worst;
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct latency measure(struct bench *b, void (*read)(struct bench *b), double seconds)
{
	static double took[READS_MAX];
	double start = clock_now(), begin, now;
	int nr = 0;

	do {
		begin = clock_now();
		read(b);
		now = clock_now();
		took[nr++] = now - begin;
		usleep(200);
	} while (now - start < seconds && nr < READS_MAX);
	qsort(took, nr, sizeof(*took), by_value);
	return (struct latency) { took[nr / 2], took[nr - 1] };
}

static void show(const char *name, double typical[2][ROUNDS_MAX],
		 double worst[2][ROUNDS_MAX], int rounds)
{
	printf("%-28s %10.1f %10.1f %10.1f %10.1f\n", name,
	       median(typical[0], rounds) * 1e6, median(worst[0], rounds) * 1e6,
	       median(typical[1], rounds) * 1e6, median(worst[1], rounds) * 1e6);
}

static void set_up(struct bench *b)
{
	start_mnvme("1G", &b->mdev, &b->dev, &b->guest, &b->nvme, 1, 16);
	must("configuration space",
	     region_open(&b->config, &b->dev, VFIO_PCI_CONFIG_REGION_INDEX));
	b->buf = guest_alloc(&b->guest, MIB);
	memset(b->buf, 0x5a, MIB);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*read)(struct bench *b);
	} cases[] = {
		{ "a register", read_register },
		{ "configuration space", read_config },
	};
	static double typical[2][2][ROUNDS_MAX], worst[2][2][ROUNDS_MAX];
	int rounds = argc > 1 ? atoi(argv[1]) : 5, r, i, busy;
	double seconds = argc > 2 ? atof(argv[2]) : 2;
	static struct bench b;
	struct latency l;
	pthread_t thread;

	if (rounds < 1 || rounds > ROUNDS_MAX || seconds <= 0) {
		fprintf(stderr, "usage: latency [ROUNDS, 1..%d [SECONDS]]\n", ROUNDS_MAX);
		return 2;
	}
	set_up(&b);
	for (r = 0; r < rounds; r++) {
		for (busy = 0; busy < 2; busy++) {
			b.stop = 0;
			if (busy && pthread_create(&thread, NULL, work, &b))
				fail("a thread", -ENOMEM);
			for (i = 0; i < 2; i++) {
				l = measure(&b, cases[i].read, seconds / 2);
				typical[i][busy][r] = l.typical;
				worst[i][busy][r] = l.worst;
			}
			b.stop = 1;
			if (busy)
				pthread_join(thread, NULL);
		}
		fprintf(stderr, "round %d of %d\n", r + 1, rounds);
	}

	printf("%-28s %21s %21s\n", "a read, in microseconds", "controller idle",
	       "1 MiB commands");
	printf("%-28s %10s %10s %10s %10s\n", "", "median", "worst", "median", "worst");
	for (i = 0; i < 2; i++)
		show(cases[i].name, typical[i], worst[i], rounds);
	printf("%lu commands of 1 MiB meanwhile\n", b.commands);

	nvme_close(&b.nvme);
	device_close(&b.dev);
	return 0;
}
