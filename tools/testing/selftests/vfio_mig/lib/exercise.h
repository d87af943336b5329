/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random operations on an open device, valid and invalid ones. The results do not matter,
 * but the kernel and the device must work afterwards.
 */
#ifndef VFIO_MIG_LIB_EXERCISE_H
#define VFIO_MIG_LIB_EXERCISE_H

#include <stdlib.h>

#include "buffer.h"
#include "endpoint.h"
#include "guest.h"

#define EXERCISE_DEVICES	4

/**
 * struct exercise_counts - counters of operations, in memory that all processes share
 */
struct exercise_counts {
	unsigned long ioctls;
	unsigned long accesses;
	unsigned long mappings;
	unsigned long streams;
	unsigned long commands;
	unsigned long slow;
	unsigned long kills;
};

/**
 * struct exercised - an open device
 * @end: the device
 * @bar: its BAR0
 * @is_nvme: whether it is an NVMe controller
 * @guest: memory for its DMA, which all processes share
 * @stream: a saved state
 */
struct exercised {
	struct endpoint end;
	struct region bar;
	int is_nvme;
	struct guest guest;
	struct buffer stream;
};

/**
 * struct actor - a thread that does random operations
 * @devices: the devices
 * @own: for each device, the thread's own mapping and data file
 * @nr: number of devices
 * @seed: seed of the random numbers
 * @counts: counters of the operations
 */
struct actor {
	struct exercised *devices;
	struct endpoint own[EXERCISE_DEVICES];
	int nr;
	unsigned int seed;
	struct exercise_counts *counts;
};

int exercised_open(struct exercised *x, const char *path);
void actor_init(struct actor *a, struct exercised *devices, int nr,
		unsigned int seed, struct exercise_counts *counts);
void actor_act(struct actor *a);
void actor_end(struct actor *a);

/* exercise_slow.c: with memory that does not answer */
void exercise_slow(struct actor *a, struct exercised *x, struct endpoint *e);

/* exercise_nvme.c */
void exercise_nvme(struct actor *a, struct exercised *x);

static inline void exercise_did(unsigned long *count)
{
	__atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
}

/* A random number below @n */
static inline unsigned int actor_dice(struct actor *a, unsigned int n)
{
	return rand_r(&a->seed) % n;
}

/* A random number of any size, often a small one */
static inline __u64 actor_number(struct actor *a)
{
	__u64 n = (__u64)rand_r(&a->seed) << 33 ^ (__u64)rand_r(&a->seed) << 11 ^
		  rand_r(&a->seed);

	return n >> actor_dice(a, 64);
}

#endif /* VFIO_MIG_LIB_EXERCISE_H */
