// SPDX-License-Identifier: GPL-2.0-only
/* Memory that does not answer (slow.h) */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "slow.h"

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd	438
#endif

/**
 * struct slow_shared - data from the process that maps the memory, for the test
 * @pid: the process, 0 until it has mapped the memory
 * @uffd: its userfaultfd
 * @mem: address of the memory
 */
struct slow_shared {
	pid_t pid;
	int uffd;
	unsigned char *mem;
};

static int uffd_open(__u64 features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd;

	/* poll() needs O_NONBLOCK. */
	fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (!ioctl(fd, UFFDIO_API, &api))
		return fd;
	close(fd);
	return -EOPNOTSUPP;
}

static __u64 uffd_features(enum slow_kind kind)
{
	return kind == SLOW_UFFD_WP ? UFFD_FEATURE_PAGEFAULT_FLAG_WP : 0;
}

/* Returns the reason why the test cannot create such memory, or NULL. */
const char *slow_missing(enum slow_kind kind)
{
	int fd;

	if (kind == SLOW_FUSE)
		return slow_fuse_missing();
	fd = uffd_open(uffd_features(kind));
	if (fd < 0)
		return fd == -EOPNOTSUPP ? "userfaultfd cannot write protect here" :
					   "no userfaultfd here";
	close(fd);
	return NULL;
}

const char *slow_kind_name(enum slow_kind kind)
{
	static const char * const names[SLOW_NR_KINDS] = {
		[SLOW_UFFD]		= "userfaultfd",
		[SLOW_UFFD_KEPT]	= "userfaultfd kept by another process",
		[SLOW_UFFD_WP]		= "userfaultfd, write protected",
		[SLOW_FUSE]		= "FUSE",
	};

	return names[kind];
}

/* Called by the test, before another process maps the memory. */
int slow_create(struct slow *s, enum slow_kind kind, size_t size)
{
	int ret = 0;

	memset(s, 0, sizeof(*s));
	s->kind = kind;
	s->size = size;
	s->file = -1;
	s->kept = -1;
	s->shared = mmap(NULL, sizeof(*s->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->shared == MAP_FAILED)
		return -errno;
	if (kind == SLOW_FUSE) {
		s->fuse = slow_fuse_start(size);
		s->file = s->fuse ? slow_fuse_open(s->fuse) : -ENODEV;
		ret = s->file < 0 ? s->file : 0;
	}
	if (ret)
		slow_destroy(s);
	return ret;
}

static int uffd_register(struct slow *s)
{
	struct uffdio_range range = { (unsigned long)s->mem, s->size };
	struct uffdio_writeprotect protect = {
		.range = range,
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	struct uffdio_register reg = {
		.range = range,
		.mode = s->kind == SLOW_UFFD_WP ? UFFDIO_REGISTER_MODE_WP :
						  UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd, ret;

	fd = uffd_open(uffd_features(s->kind));
	if (fd < 0)
		return fd;
	if (!ioctl(fd, UFFDIO_REGISTER, &reg) &&
	    (s->kind != SLOW_UFFD_WP || !ioctl(fd, UFFDIO_WRITEPROTECT, &protect)))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

static int map_pages(struct slow *s)
{
	unsigned char *page;

	page = mmap(NULL, SLOW_PAGE + s->size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return -errno;
	s->mem = page + SLOW_PAGE;
	if (s->kind != SLOW_FUSE)
		return 0;
	if (mmap(s->mem, s->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED,
		 s->file, 0) == MAP_FAILED)
		return -errno;
	return 0;
}

/*
 * Called by the process that will wait. Copies @content to @mem - @before, so the first
 * @before bytes are in ordinary memory. The rest is copied only if the memory can be read
 * (SLOW_UFFD_WP).
 */
int slow_map(struct slow *s, size_t before, const void *content, size_t len)
{
	size_t there = before < len ? before : len;
	int ret;

	ret = map_pages(s);
	if (ret)
		return ret;
	memset(s->mem - SLOW_PAGE, 0, SLOW_PAGE);
	if (s->kind == SLOW_UFFD_WP) {
		memset(s->mem, 0, s->size);
		there = len;
	}
	if (there)
		memcpy(s->mem - before, content, there);
	if (s->kind != SLOW_FUSE) {
		ret = uffd_register(s);
		if (ret < 0)
			return ret;
	}
	s->shared->uffd = ret;
	s->shared->mem = s->mem;
	__atomic_store_n(&s->shared->pid, getpid(), __ATOMIC_RELEASE);
	return 0;
}

/* Gets a copy of the userfaultfd of the process that mapped the memory. */
static int uffd_take(struct slow *s)
{
	int pidfd, fd;

	if (s->kept >= 0)
		return s->kept;
	pidfd = syscall(SYS_pidfd_open, s->shared->pid, 0);
	if (pidfd < 0)
		return -errno;
	fd = syscall(SYS_pidfd_getfd, pidfd, s->shared->uffd, 0);
	if (fd < 0)
		fd = -errno;
	close(pidfd);
	/* SLOW_UFFD: the test must not keep it, because it must close when the process ends. */
	if (s->kind != SLOW_UFFD)
		s->kept = fd;
	return fd;
}

static void uffd_release(struct slow *s, int fd)
{
	if (fd >= 0 && fd != s->kept)
		close(fd);
}

static int uffd_waiting(struct slow *s)
{
	struct pollfd p = { .events = POLLIN };
	int ret;

	p.fd = uffd_take(s);
	if (p.fd < 0)
		return p.fd;
	ret = poll(&p, 1, 0);
	uffd_release(s, p.fd);
	return ret == 1 && p.revents & POLLIN;
}

static int is_waiting(struct slow *s)
{
	if (!__atomic_load_n(&s->shared->pid, __ATOMIC_ACQUIRE))
		return 0;
	return s->kind == SLOW_FUSE ? slow_fuse_reads(s->fuse) > 0 : uffd_waiting(s);
}

/* Returns whether a task waits for the memory now or within @seconds. */
int slow_waiting(struct slow *s, double seconds)
{
	double until = clock_now() + seconds;
	int ret;

	do {
		ret = is_waiting(s);
		if (ret)
			return ret;
		usleep(1000);
	} while (clock_now() < until);
	return 0;
}

/*
 * Provides the page that a task waits for (SLOW_UFFD_KEPT only). Returns 1, or 0 if no task
 * waits.
 */
int slow_answer_one(struct slow *s)
{
	struct uffdio_zeropage zero = { .range.len = SLOW_PAGE };
	struct uffd_msg msg;
	int fd = uffd_take(s);

	if (fd < 0)
		return fd;
	if (read(fd, &msg, sizeof(msg)) != sizeof(msg))
		return errno == EAGAIN ? 0 : -errno;
	zero.range.start = msg.arg.pagefault.address & ~(SLOW_PAGE - 1);
	/* Another fault on the same page may have been answered before. */
	if (ioctl(fd, UFFDIO_ZEROPAGE, &zero) && errno != EEXIST)
		return -errno;
	return 1;
}

/* Makes it ordinary memory, and wakes the tasks that wait for it. */
int slow_answer(struct slow *s)
{
	struct uffdio_range range = { (unsigned long)s->shared->mem, s->size };
	int fd, ret;

	if (s->kind == SLOW_FUSE) {
		slow_fuse_answer(s->fuse);
		return 0;
	}
	fd = uffd_take(s);
	if (fd < 0)
		return fd;
	/* UFFDIO_UNREGISTER does not wake a task that waits because of write protection. */
	ret = ioctl(fd, UFFDIO_UNREGISTER, &range) || ioctl(fd, UFFDIO_WAKE, &range) ?
	      -errno : 0;
	uffd_release(s, fd);
	return ret;
}

/* SLOW_UFFD*: as slow_answer(), but the first page has the content of @page. */
int slow_answer_with(struct slow *s, const void *page)
{
	struct uffdio_copy copy = {
		.dst = (unsigned long)s->shared->mem,
		.src = (unsigned long)page,
		.len = SLOW_PAGE,
	};
	int fd, ret;

	fd = uffd_take(s);
	if (fd < 0)
		return fd;
	ret = ioctl(fd, UFFDIO_COPY, &copy) ? -errno : 0;
	uffd_release(s, fd);
	return ret ? ret : slow_answer(s);
}

/*
 * Makes it memory that does not answer once more, after slow_answer(). Called by the process
 * that mapped the memory, which is the test itself.
 */
int slow_again(struct slow *s)
{
	int fd = uffd_register(s);

	if (fd < 0)
		return fd;
	if (s->kept >= 0)
		close(s->kept);
	s->kept = -1;
	close(s->shared->uffd);
	s->shared->uffd = fd;
	return 0;
}

/* Called by the test. A task that still waits gets an error. */
void slow_destroy(struct slow *s)
{
	if (s->kept >= 0)
		close(s->kept);
	if (s->file >= 0)
		close(s->file);
	if (s->fuse)
		slow_fuse_stop(s->fuse);
	if (s->shared)
		munmap(s->shared, sizeof(*s->shared));
	memset(s, 0, sizeof(*s));
	s->kept = -1;
	s->file = -1;
}
