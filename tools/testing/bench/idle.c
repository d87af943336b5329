// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cost of a device that is open, enabled and idle: CPU time and wakeups of its threads
 * over 10 s. Before that the device is used with shadow doorbells, so that it has polled them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"
#include "guest.h"
#include "mdev.h"
#include "nvme.h"
#include "threads.h"

#define COMMANDS	1000
#define SETTLE_S	1

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 10, i;
	struct threads before, after;
	static struct mdev mdev;
	static struct device dev;
	static struct guest guest;
	static struct nvme nvme;
	unsigned char *buf;

	if (seconds < 1) {
		fprintf(stderr, "usage: idle [SECONDS]\n");
		return 2;
	}
	start_mnvme("64M", &mdev, &dev, &guest, &nvme, 1, 16);
	if (nvme_dbbuf(&nvme))
		fail("its shadow doorbells", -EIO);
	buf = guest_alloc(&guest, GUEST_PAGE);
	for (i = 0; i < COMMANDS; i++)
		if (nvme_io(&nvme, i % 2 ? NVME_OP_COMPARE : NVME_OP_WRITE, 0, 8, buf))
			fail("a command", -EIO);

	sleep(SETTLE_S);
	must("threads", threads_sum(&before));
	sleep(seconds);
	must("threads", threads_sum(&after));
	printf("%d threads of an idle device in %d s: %.3f ms of CPU time, %llu wake-ups\n",
	       after.nr, seconds, (after.cpu_ns - before.cpu_ns) / 1e6,
	       after.switches - before.switches);

	nvme_close(&nvme);
	device_close(&dev);
	return 0;
}
