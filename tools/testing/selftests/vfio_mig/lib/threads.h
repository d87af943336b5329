/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads that work for devices: what CPU time they take, and how often they wake up. */
#ifndef VFIO_MIG_LIB_THREADS_H
#define VFIO_MIG_LIB_THREADS_H

/**
 * struct threads - threads that work for devices, of all the machine
 * @nr: how many there are
 * @cpu_ns: CPU time that they have taken together
 * @switches: how often they were put on a CPU
 */
struct threads {
	int nr;
	unsigned long long cpu_ns;
	unsigned long long switches;
};

int threads_sum(struct threads *t);

#endif /* VFIO_MIG_LIB_THREADS_H */
