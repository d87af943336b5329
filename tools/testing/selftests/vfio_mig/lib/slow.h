/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that does not answer: a task that accesses it waits until the test ends this.
 *
 * The test creates the memory and watches it. The test itself or another process maps it.
 * The page before @mem is ordinary memory, so an object can begin in ordinary memory and
 * continue in memory that does not answer. Each function returns 0 (or a number) or a
 * negative errno.
 */
#ifndef VFIO_MIG_LIB_SLOW_H
#define VFIO_MIG_LIB_SLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * enum slow_kind - reason why the memory does not answer
 * @SLOW_UFFD: the pages are missing. Only the process that mapped the memory has the
 *	userfaultfd open that could provide them.
 * @SLOW_UFFD_KEPT: as @SLOW_UFFD, but the test has the userfaultfd open, too. So the end of
 *	the process does not close it.
 * @SLOW_UFFD_WP: the pages are write-protected, so loads succeed and stores wait. The test
 *	has the userfaultfd open, too.
 * @SLOW_FUSE: the pages are those of a file on a FUSE file system whose server does not
 *	answer READ. A user namespace mounts the file system, so this needs no privilege.
 * @SLOW_NR_KINDS: number of kinds
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
 * @kind: reason
 * @size: size in bytes, whole pages
 * @mem: address in the process that called slow_map()
 * @file: mapped file, or -1
 * @kept: userfaultfd in the test, or -1
 * @shared: data that the processes share
 * @fuse: server of the file system, or NULL
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
int slow_answer_one(struct slow *s);
int slow_answer_with(struct slow *s, const void *page);
int slow_again(struct slow *s);
void slow_destroy(struct slow *s);

/* slow_fuse.c: a file system with one file */
const char *slow_fuse_missing(void);
struct slow_fuse *slow_fuse_start(size_t size);
int slow_fuse_open(struct slow_fuse *fuse);
unsigned int slow_fuse_reads(const struct slow_fuse *fuse);
void slow_fuse_answer(struct slow_fuse *fuse);
void slow_fuse_stop(struct slow_fuse *fuse);

#endif /* VFIO_MIG_LIB_SLOW_H */
