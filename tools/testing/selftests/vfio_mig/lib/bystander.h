/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A bystander is a process that a hostile user of one device must not harm. It does what
 * other processes do, and its parent watches how long each step takes.
 */
#ifndef VFIO_MIG_LIB_BYSTANDER_H
#define VFIO_MIG_LIB_BYSTANDER_H

#include <sys/types.h>

struct bystander_shared;

/**
 * struct bystander - a bystander, as its parent has it
 * @pid: process
 * @ask: the parent's end of the pipe of requests
 * @shared: memory that parent and bystander share
 * @failed: name of the step that failed last, for a message
 */
struct bystander {
	pid_t pid;
	int ask;
	struct bystander_shared *shared;
	char failed[128];
};

/**
 * struct bystander_target - the device under attack, and its files
 * @path: sysfs path
 * @pid: process that has the device open, or 0
 * @device: file descriptor of the device in @pid
 * @data: file descriptor in @pid of the data file of the present session, or -1
 * @dead: file descriptor in @pid of the data file of a session that has ended, or -1
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
