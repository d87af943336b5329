/* SPDX-License-Identifier: GPL-2.0-only */
/* Common functions of the benchmarks: errors end a benchmark, and medians */
#ifndef VFIO_MIG_BENCH_H
#define VFIO_MIG_BENCH_H

#include "mdev.h"
#include "nvme.h"

#define MIB		(1UL << 20)
#define ROUNDS_MAX	32

void fail(const char *what, long ret);
void must(const char *what, long ret);
double median(const double *values, int nr);

/* Creates an mnvme device with 8 MiB of guest memory, and starts its controller. */
void start_mnvme(const char *type, struct mdev *mdev, struct device *dev,
		 struct guest *guest, struct nvme *nvme, int nr_queues, int depth);

#endif /* VFIO_MIG_BENCH_H */
