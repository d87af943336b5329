/* SPDX-License-Identifier: GPL-2.0-only */
/* What the benchmarks have in common: errors end them, and medians. */
#ifndef VFIO_MIG_BENCH_H
#define VFIO_MIG_BENCH_H

#define MIB		(1UL << 20)
#define ROUNDS_MAX	32

void fail(const char *what, long ret);
void must(const char *what, long ret);
double median(const double *values, int nr);

#endif /* VFIO_MIG_BENCH_H */
