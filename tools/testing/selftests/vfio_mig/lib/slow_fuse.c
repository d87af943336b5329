// SPDX-License-Identifier: GPL-2.0-only
/*
 * A FUSE file system with one file, whose server does not answer READ until the test
 * requests it. A process mounts the file system in a new user namespace and serves it, so
 * this needs no privilege. The server implements the kernel's protocol itself, because
 * libfuse would choose the order of the answers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "clock.h"
#include "file.h"
#include "slow.h"

#define MOUNT_POINT	"/tmp"
#define NAME		"slow"
#define FILE_ID		2
#define HELD_MAX	64
#define REQUEST_MAX	(1 << 17)
#define READ_MAX	(1 << 16)
#define START_SECONDS	10

/**
 * struct slow_fuse - the server, in memory that it shares with the test
 * @pid: process of the server
 * @size: size of the file in bytes
 * @status: 1 after the mount, or the negative errno of the mount
 * @reads: number of READ requests that wait
 * @answer: the test requests answers
 */
struct slow_fuse {
	pid_t pid;
	size_t size;
	volatile int status;
	volatile unsigned int reads;
	volatile int answer;
};

/* The READ requests that wait; only in the server's process */
static struct {
	__u64 unique;
	__u32 size;
} held[HELD_MAX];

const char *slow_fuse_missing(void)
{
	if (access("/dev/fuse", R_OK | W_OK) &&
	    system("modprobe -q fuse 2>/dev/null"))
		return "this kernel has no FUSE";
	if (access("/dev/fuse", R_OK | W_OK))
		return "there is no /dev/fuse";
	if (access("/proc/self/ns/user", R_OK))
		return "this kernel has no user namespaces";
	return NULL;
}

static void reply(int dev, __u64 unique, int error, const void *data, size_t len)
{
	static char buf[sizeof(struct fuse_out_header) + READ_MAX];
	struct fuse_out_header out = {
		.len = sizeof(out) + len,
		.error = error,
		.unique = unique,
	};

	memcpy(buf, &out, sizeof(out));
	memcpy(buf + sizeof(out), data, len);
	/* The write fails if the kernel has given up the request. */
	if (write(dev, buf, out.len) < 0)
		errno = 0;
}

static void fill_attr(struct slow_fuse *fuse, struct fuse_attr *attr, __u64 node)
{
	bool root = node == FUSE_ROOT_ID;

	memset(attr, 0, sizeof(*attr));
	attr->ino = node;
	attr->mode = root ? S_IFDIR | 0755 : S_IFREG | 0644;
	attr->nlink = 1;
	attr->size = root ? 0 : fuse->size;
	attr->blksize = SLOW_PAGE;
}

/* FUSE_ASYNC_READ: the task that faults waits for the page, and can be killed. */
static void serve_init(int dev, const struct fuse_in_header *in)
{
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = READ_MAX,
		.flags = FUSE_ASYNC_READ,
		.max_background = HELD_MAX,
		.congestion_threshold = HELD_MAX,
		.max_write = SLOW_PAGE,
		.time_gran = 1,
	};

	reply(dev, in->unique, 0, &out, sizeof(out));
}

static void serve_lookup(struct slow_fuse *fuse, int dev,
			 const struct fuse_in_header *in)
{
	struct fuse_entry_out out = {
		.nodeid = FILE_ID,
		.entry_valid = 3600,
		.attr_valid = 3600,
	};

	if (strcmp((const char *)(in + 1), NAME))
		return reply(dev, in->unique, -ENOENT, NULL, 0);
	fill_attr(fuse, &out.attr, FILE_ID);
	reply(dev, in->unique, 0, &out, sizeof(out));
}

static void serve_getattr(struct slow_fuse *fuse, int dev,
			  const struct fuse_in_header *in)
{
	struct fuse_attr_out out = { .attr_valid = 3600 };

	fill_attr(fuse, &out.attr, in->nodeid);
	reply(dev, in->unique, 0, &out, sizeof(out));
}

/* Keeps the request until the test requests answers. */
static void serve_read(struct slow_fuse *fuse, const struct fuse_in_header *in)
{
	const struct fuse_read_in *read = (const void *)(in + 1);

	if (fuse->reads == HELD_MAX)
		return;
	held[fuse->reads].unique = in->unique;
	held[fuse->reads].size = read->size;
	fuse->reads++;
}

static void serve(struct slow_fuse *fuse, int dev, const struct fuse_in_header *in)
{
	struct fuse_open_out open_out = { .open_flags = FOPEN_KEEP_CACHE };

	switch (in->opcode) {
	case FUSE_INIT:
		return serve_init(dev, in);
	case FUSE_LOOKUP:
		return serve_lookup(fuse, dev, in);
	case FUSE_GETATTR:
		return serve_getattr(fuse, dev, in);
	case FUSE_OPEN:
		return reply(dev, in->unique, 0, &open_out, sizeof(open_out));
	case FUSE_READ:
		return serve_read(fuse, in);
	case FUSE_FLUSH:
	case FUSE_RELEASE:
		return reply(dev, in->unique, 0, NULL, 0);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	default:
		return reply(dev, in->unique, -EOPNOTSUPP, NULL, 0);
	}
}

static void answer_held(struct slow_fuse *fuse, int dev)
{
	static const char zeros[READ_MAX];
	unsigned int i;

	for (i = 0; i < fuse->reads; i++)
		reply(dev, held[i].unique, 0, zeros,
		      held[i].size < READ_MAX ? held[i].size : READ_MAX);
	fuse->reads = 0;
}

static int mount_it(int *dev)
{
	char options[128];

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) ||
	    file_write("/proc/self/setgroups", "deny") ||
	    file_write("/proc/self/uid_map", "0 0 1") ||
	    file_write("/proc/self/gid_map", "0 0 1") ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -errno;
	*dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (*dev < 0)
		return -errno;
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0", *dev);
	return mount(NAME, MOUNT_POINT, "fuse", MS_NOSUID | MS_NODEV, options) ?
	       -errno : 0;
}

static void run_server(struct slow_fuse *fuse, pid_t parent)
{
	static __u64 request[REQUEST_MAX / sizeof(__u64)];
	struct pollfd p = { .events = POLLIN };
	int dev = -1, ret;

	/* The server must not keep files of the test open. */
	close_range(3, ~0U, 0);
	ret = mount_it(&dev);
	/* Behind unshare(), because a change of credentials clears the signal. */
	child_ends_with(parent);
	fuse->status = ret ? ret : 1;
	if (ret)
		_exit(1);
	p.fd = dev;
	for (;;) {
		if (fuse->answer)
			answer_held(fuse, dev);
		if (poll(&p, 1, 20) <= 0)
			continue;
		if (read(dev, request, sizeof(request)) > 0)
			serve(fuse, dev, (const void *)request);
		else if (errno == ENODEV)
			_exit(0);
	}
}

struct slow_fuse *slow_fuse_start(size_t size)
{
	double until = clock_now() + START_SECONDS;
	struct slow_fuse *fuse;
	pid_t parent = getpid(), pid;

	fuse = mmap(NULL, sizeof(*fuse), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fuse == MAP_FAILED)
		return NULL;
	fuse->size = size;
	pid = fork();
	if (!pid)
		run_server(fuse, parent);
	fuse->pid = pid;
	while (!fuse->status && clock_now() < until)
		usleep(1000);
	if (fuse->status == 1)
		return fuse;
	slow_fuse_stop(fuse);
	return NULL;
}

/* Opens the file through /proc, because only the server is in its mount namespace. */
int slow_fuse_open(struct slow_fuse *fuse)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/root" MOUNT_POINT "/" NAME, fuse->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

unsigned int slow_fuse_reads(const struct slow_fuse *fuse)
{
	return fuse->reads;
}

void slow_fuse_answer(struct slow_fuse *fuse)
{
	fuse->answer = 1;
}

/* The end of the server ends the file system, and a task that waits gets an error. */
void slow_fuse_stop(struct slow_fuse *fuse)
{
	if (fuse->pid > 0) {
		kill(fuse->pid, SIGKILL);
		waitpid(fuse->pid, NULL, 0);
	}
	munmap(fuse, sizeof(*fuse));
}
