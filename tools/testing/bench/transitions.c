// SPDX-License-Identifier: GPL-2.0-only
/*
 * The time for which a guest stands still in the library's transitions, with a namespace that
 * is completely written: to STOP_COPY without pre-copy, and out of RESUMING if the target had
 * another state. Also the time to remove such a device. Prints medians of several rounds, and
 * the time of one removal.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "buffer.h"
#include "clock.h"
#include "guest.h"
#include "mdev.h"
#include "nvme.h"
#include "v2.h"

struct bench {
	struct mdev mdev;
	struct device dev;
	struct guest guest;
	struct nvme nvme;
	struct v2 v2;
	unsigned long mib;
};

static void set_up(struct bench *b)
{
	start_mnvme(b->mib > 1024 ? "16G" : "1G", &b->mdev, &b->dev, &b->guest, &b->nvme,
		    1, 64);
	must("its v2 protocol", v2_open(&b->v2, &b->dev));
}

static void fill(struct bench *b)
{
	__u32 nr = MIB / b->nvme.lba_size;
	void *buf = guest_alloc(&b->guest, MIB);
	unsigned long i;

	memset(buf, 0x5a, MIB);
	for (i = 0; i < b->mib; i++)
		if (nvme_io(&b->nvme, NVME_OP_WRITE, i * nr, nr, buf))
			fail("writing to the namespace", -EIO);
}

static double timed(struct bench *b, const char *what, __u32 state)
{
	double start = clock_now();

	must(what, v2_set_state(&b->v2, state));
	return clock_now() - start;
}

int main(int argc, char **argv)
{
	double stop[ROUNDS_MAX], leave[ROUNDS_MAX], start;
	struct buffer stream = { 0 };
	static struct bench b;
	int rounds, r;

	b.mib = argc > 1 ? strtoul(argv[1], NULL, 0) : 1024;
	rounds = argc > 2 ? atoi(argv[2]) : 5;
	if (!b.mib || b.mib > 16384 || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: transitions [MIB, 1..16384 [ROUNDS, 1..%d]]\n",
			ROUNDS_MAX);
		return 2;
	}
	set_up(&b);
	fill(&b);
	for (r = 0; r < rounds; r++) {
		stop[r] = timed(&b, "to STOP_COPY", V2_STOP_COPY);
		stream.len = 0;
		must("reading the state", v2_drain(&b.v2, &stream, 0));
		must("to STOP", v2_set_state(&b.v2, V2_STOP));
		must("to RESUMING", v2_set_state(&b.v2, V2_RESUMING));
		must("writing it", v2_feed(&b.v2, stream.data, stream.len, 0));
		leave[r] = timed(&b, "to STOP", V2_STOP);
		must("to RUNNING", v2_set_state(&b.v2, V2_RUNNING));
		fprintf(stderr, "round %d of %d\n", r + 1, rounds);
	}
	buffer_free(&stream);
	v2_close(&b.v2);
	nvme_close(&b.nvme);
	device_close(&b.dev);
	start = clock_now();
	mdev_remove(&b.mdev);

	printf("%lu MiB in the namespace%25s\n", b.mib, "milliseconds");
	printf("%-42s %8.1f\n", "RUNNING to STOP_COPY, without pre-copy",
	       median(stop, rounds) * 1e3);
	printf("%-42s %8.1f\n", "out of RESUMING, over a state as large",
	       median(leave, rounds) * 1e3);
	printf("%-42s %8.1f\n", "removal of the device", (clock_now() - start) * 1e3);
	return 0;
}
