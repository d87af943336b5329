/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that does not answer: whoever touches it waits, until the test lets it go on.
 *
 * One process, the test, creates it and watches; the same or another one maps it. The
 * page before @mem is ordinary memory, so that something can begin in memory that
 * answers and go on in memory that does not. Each verb returns 0 (or a number) or a
 * negative errno.
 */
#ifndef VFIO_MIG_LIB_SLOW_H
#define VFIO_MIG_LIB_SLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * enum slow_kind - why it does not answer
 * @SLOW_UFFD: its pages are missing, and the userfaultfd that could provide them is
 *	open in the process that mapped it and nowhere else
 * @SLOW_UFFD_KEPT: the same, but the test has the userfaultfd open too, so that the
 *	end of the process does not close it
 * @SLOW_UFFD_WP: loads are answered, stores are not: the pages are there and write
 *	protected. The test has the userfaultfd open too.
 * @SLOW_FUSE: its pages are those of a file on a FUSE file system, which was mounted in
 *	a user namespace and so without any privilege. Its server does not answer READ.
 * @SLOW_NR_KINDS: how many there are
 */
enum slow_kind {
	SLOW_UFFD,
	SLOW_UFFD_KEPT,
	SLOW_UFFD_WP,
	SLOW_FUSE,
	SLOW_NR_KINDS,
};

#define SLOW_PAGE	4096UL

struct slow_shared;
struct slow_fuse;

/**
 * struct slow - memory that does not answer
 * @kind: why
 * @size: its size, whole pages
 * @mem: its start, in the process that called slow_map()
 * @file: the file that is mapped, or -1
 * @kept: the userfaultfd in the process that watches, or -1
 * @shared: what the processes tell each other
 * @fuse: the server of the file system, or NULL
 */
struct slow {
	enum slow_kind kind;
	size_t size;
	unsigned char *mem;
	int file;
	int kept;
	struct slow_shared *shared;
	struct slow_fuse *fuse;
};

const char *slow_missing(enum slow_kind kind);
const char *slow_kind_name(enum slow_kind kind);
int slow_create(struct slow *s, enum slow_kind kind, size_t size);
int slow_map(struct slow *s, size_t before, const void *content, size_t len);
int slow_waiting(struct slow *s, double seconds);
int slow_answer(struct slow *s);
void slow_destroy(struct slow *s);

/* slow_fuse.c: the file system, of one file */
const char *slow_fuse_missing(void);
struct slow_fuse *slow_fuse_start(size_t size);
int slow_fuse_open(struct slow_fuse *fuse);
unsigned int slow_fuse_reads(const struct slow_fuse *fuse);
void slow_fuse_answer(struct slow_fuse *fuse);
void slow_fuse_stop(struct slow_fuse *fuse);

#endif /* VFIO_MIG_LIB_SLOW_H */
