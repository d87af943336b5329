/* SPDX-License-Identifier: GPL-2.0-only */
/* CPU time and wakeups of the threads that work for devices */
#ifndef VFIO_MIG_LIB_THREADS_H
#define VFIO_MIG_LIB_THREADS_H

/**
 * struct threads - all threads on the machine that work for devices
 * @nr: number of threads
 * @cpu_ns: CPU time of all threads together
 * @switches: number of times that a thread got a CPU
 */
struct threads {
	int nr;
	unsigned long long cpu_ns;
	unsigned long long switches;
};

int threads_sum(struct threads *t);

#endif /* VFIO_MIG_LIB_THREADS_H */
