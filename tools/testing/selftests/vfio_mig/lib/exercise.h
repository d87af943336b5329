/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What can be done to a device that is open, valid or not, chosen at random. Nothing
 * is expected of it but that the kernel and the device are well afterwards.
 */
#ifndef VFIO_MIG_LIB_EXERCISE_H
#define VFIO_MIG_LIB_EXERCISE_H

#include <stdlib.h>

#include "buffer.h"
#include "endpoint.h"
#include "guest.h"

#define EXERCISE_DEVICES	4

/**
 * struct exercise_counts - what was done, by all processes: in memory they share
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
 * struct exercised - a device that is open
 * @end: it
 * @bar: its BAR0
 * @is_nvme: it is an NVMe controller
 * @guest: its memory for DMA, which processes share
 * @stream: a state of it
 */
struct exercised {
	struct endpoint end;
	struct region bar;
	int is_nvme;
	struct guest guest;
	struct buffer stream;
};

/**
 * struct actor - one thread that does things
 * @devices: to which
 * @own: for each, what of it is the thread's own: mapping and data file
 * @nr: how many
 * @seed: of what it does
 * @counts: where it is counted
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

/* A number below @n. */
static inline unsigned int actor_dice(struct actor *a, unsigned int n)
{
	return rand_r(&a->seed) % n;
}

/* A number of any size, small ones often. */
static inline __u64 actor_number(struct actor *a)
{
	__u64 n = (__u64)rand_r(&a->seed) << 33 ^ (__u64)rand_r(&a->seed) << 11 ^
		  rand_r(&a->seed);

	return n >> actor_dice(a, 64);
}

#endif /* VFIO_MIG_LIB_EXERCISE_H */
