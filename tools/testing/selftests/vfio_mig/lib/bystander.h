/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Somebody else, who must not be harmed by what a hostile user does to one device: a
 * process that does what others do, while its parent watches how long each thing takes.
 */
#ifndef VFIO_MIG_LIB_BYSTANDER_H
#define VFIO_MIG_LIB_BYSTANDER_H

#include <sys/types.h>

struct bystander_shared;

/**
 * struct bystander - such a process
 * @pid: it
 * @ask: where its parent asks
 * @shared: what both see
 * @failed: what failed last, for a message
 */
struct bystander {
	pid_t pid;
	int ask;
	struct bystander_shared *shared;
	char failed[128];
};

/**
 * struct bystander_target - the device that is under attack, and what is to be shared
 * @path: in sysfs
 * @pid: the process that has it open, or 0
 * @device: that process' file of the device
 * @data: its data file of a session that goes on, or -1
 * @dead: its data file of a session that is over, or -1
 */
struct bystander_target {
	const char *path;
	pid_t pid;
	int device;
	int data;
	int dead;
};

int bystander_start(struct bystander *b, const char *path, const char *other_device);
int bystander_take(struct bystander *b, const struct bystander_target *target);
int bystander_lives(struct bystander *b);
int bystander_reopens(struct bystander *b);
void bystander_end(struct bystander *b);

#endif /* VFIO_MIG_LIB_BYSTANDER_H */
