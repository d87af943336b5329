// SPDX-License-Identifier: GPL-2.0-only
/*
 * The speed of reading a device's state, by the v2 data file and by the mapped v1 window, with
 * and without checksums of the pages. In the same run a file of the same size is read from
 * tmpfs, with the same buffer.
 *
 * Prints the medians of several rounds, and the median of each case's ratio to tmpfs in the
 * same round.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
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
#include "v1.h"
#include "v2.h"

#define BUFFER		MIB
#define SUMS		"/sys/module/vfio_mig_core/parameters/page_sums"

struct bench {
	struct mdev mdev;
	struct device dev;
	struct guest guest;
	struct nvme nvme;
	struct v1 v1;
	struct v2 v2;
	int file;
	unsigned long mib;
	unsigned char *buf;
};

struct bench_case {
	const char *name;
	long long (*read)(struct bench *b);	/* bytes, or a negative errno */
	int sums;
	double seconds[ROUNDS_MAX];
};

static long long read_file(int fd, unsigned char *buf)
{
	long long total = 0;
	ssize_t n;

	while ((n = read(fd, buf, BUFFER)) > 0)
		total += n;
	return n < 0 ? -errno : total;
}

static long long read_tmpfs(struct bench *b)
{
	lseek(b->file, 0, SEEK_SET);
	return read_file(b->file, b->buf);
}

static long long read_v2(struct bench *b)
{
	long long total;

	must("to STOP_COPY", v2_set_state(&b->v2, V2_STOP_COPY));
	total = read_file(b->v2.data, b->buf);
	must("to RUNNING", v2_set_state(&b->v2, V2_RUNNING));
	return total;
}

/* Copies each iteration out of the mapping, as a VMM does. */
static long long read_v1(struct bench *b)
{
	__u64 pending, offset, size, at;
	long long total = 0;

	must("to 010", v1_set_state(&b->v1, V1_STOP_COPY));
	for (;;) {
		must("pending_bytes", v1_pending(&b->v1, &pending));
		if (!pending)
			break;
		must("data_offset", v1_data_offset(&b->v1, &offset));
		must("data_size", v1_data_size(&b->v1, &size));
		for (at = 0; at < size; at += BUFFER)
			memcpy(b->buf, b->v1.map + at,
			       size - at < BUFFER ? size - at : BUFFER);
		total += size;
	}
	must("to 001", v1_set_state(&b->v1, V1_RUNNING));
	return total;
}

static void set_checksums(int on)
{
	int fd = open(SUMS, O_WRONLY);

	if (fd < 0 || write(fd, on ? "1" : "0", 1) != 1)
		fail(SUMS, -errno);
	close(fd);
}

static void fill(struct bench *b)
{
	__u32 nr = MIB / b->nvme.lba_size;
	unsigned long i;
	void *buf;

	b->file = memfd_create("bench", MFD_CLOEXEC);
	must("tmpfs", b->file < 0 ? -errno : 0);
	buf = guest_alloc(&b->guest, MIB);
	for (i = 0; i < b->mib; i++) {
		pattern_fill(&b->nvme, buf, i * nr, nr, 1);
		if (nvme_io(&b->nvme, NVME_OP_WRITE, i * nr, nr, buf))
			fail("writing to the namespace", -EIO);
		if (write(b->file, buf, MIB) != MIB)
			fail("writing to tmpfs", -errno);
	}
}

static void set_up(struct bench *b, const char *type)
{
	start_mnvme(type, &b->mdev, &b->dev, &b->guest, &b->nvme, 1, 64);
	must("its v1 region", v1_open(&b->v1, &b->dev));
	must("its data section", v1_map(&b->v1));
	must("its v2 protocol", v2_open(&b->v2, &b->dev));
	b->buf = malloc(BUFFER);
	memset(b->buf, 0, BUFFER);
}

int main(int argc, char **argv)
{
	static struct bench_case cases[] = {
		{ "tmpfs file", read_tmpfs, 1 },
		{ "v2 data file", read_v2, 1 },
		{ "v2 data file, no sums", read_v2, 0 },
		{ "v1 mapped window", read_v1, 1 },
		{ "v1 mapped window, no sums", read_v1, 0 },
	};
	int nr = sizeof(cases) / sizeof(*cases), rounds, i, r;
	static struct bench b;
	double ratio[ROUNDS_MAX];

	b.mib = argc > 1 ? strtoul(argv[1], NULL, 0) : 1024;
	rounds = argc > 2 ? atoi(argv[2]) : 5;
	if (!b.mib || b.mib > 1024 || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: state [MIB, 1..1024 [ROUNDS, 1..%d]]\n",
			ROUNDS_MAX);
		return 2;
	}
	set_up(&b, "1G");
	fill(&b);

	for (r = 0; r < rounds; r++) {
		for (i = 0; i < nr; i++) {
			long long bytes;
			double start;

			set_checksums(cases[i].sums);
			start = clock_now();
			bytes = cases[i].read(&b);
			cases[i].seconds[r] = clock_now() - start;
			must(cases[i].name, bytes);
			if (bytes < (long long)(b.mib * MIB))
				fail("fewer bytes than were written", -EIO);
		}
		fprintf(stderr, "round %d of %d\n", r + 1, rounds);
	}
	set_checksums(1);

	printf("%-28s %10s %8s\n", "reading the state", "MiB/s", "time/tmpfs");
	for (i = 0; i < nr; i++) {
		for (r = 0; r < rounds; r++)
			ratio[r] = cases[i].seconds[r] / cases[0].seconds[r];
		printf("%-28s %10.0f %8.2f\n", cases[i].name,
		       b.mib / median(cases[i].seconds, rounds),
		       median(ratio, rounds));
	}

	/* The removal of a device waits until it is closed. */
	v2_close(&b.v2);
	v1_close(&b.v1);
	nvme_close(&b.nvme);
	device_close(&b.dev);
	return 0;
}
