// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes and checks data on an NVMe device's namespace, for tests that are scripts:
 *
 *   nvme_disk fill DEVICE MIB	write a pattern to the first MIB
 *   nvme_disk check DEVICE MIB	check the pattern
 *
 * The exit status is 0, or 1 with a message that names the place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/errname.h"
#include "lib/nvme.h"

#define MIB	(1U << 20)

struct disk {
	struct device dev;
	struct guest guest;
	struct nvme nvme;
	void *buf;
};

static int disk_open(struct disk *d, const char *path)
{
	int ret;

	ret = device_open(&d->dev, path);
	if (!ret)
		ret = guest_create(&d->guest, 8 * MIB);
	if (!ret)
		ret = guest_attach(&d->guest, &d->dev);
	if (!ret)
		ret = nvme_start(&d->nvme, &d->dev, &d->guest, 1, 64);
	if (ret)
		fprintf(stderr, "nvme_disk: %s: %s\n", path, errname(ret));
	else
		d->buf = guest_alloc(&d->guest, MIB);
	return ret;
}

static int one_mib(struct disk *d, unsigned long i, int check)
{
	__u32 nr = MIB / d->nvme.lba_size;
	__s64 bad = -1;
	int ret;

	if (!check)
		pattern_fill(&d->nvme, d->buf, i * nr, nr, 1);
	ret = nvme_io(&d->nvme, check ? NVME_OP_READ : NVME_OP_WRITE, i * nr,
		      nr, d->buf);
	if (!ret && check)
		bad = pattern_check(&d->nvme, d->buf, i * nr, nr, 1);
	if (ret)
		fprintf(stderr, "nvme_disk: MiB %lu: %s\n", i, errname(ret));
	else if (bad >= 0)
		fprintf(stderr, "nvme_disk: block %lld differs\n", bad);
	return ret || bad >= 0;
}

int main(int argc, char **argv)
{
	static struct disk d;
	unsigned long i, mib;
	int ret = 0, check;

	check = argc > 1 && !strcmp(argv[1], "check");
	mib = argc == 4 ? strtoul(argv[3], NULL, 0) : 0;
	if (!mib || (!check && strcmp(argv[1], "fill"))) {
		fputs("usage: nvme_disk fill|check DEVICE MIB\n", stderr);
		return 2;
	}
	if (disk_open(&d, argv[2]))
		return 1;
	for (i = 0; i < mib && !ret; i++)
		ret = one_mib(&d, i, check);
	nvme_close(&d.nvme);
	device_close(&d.dev);
	return ret;
}
