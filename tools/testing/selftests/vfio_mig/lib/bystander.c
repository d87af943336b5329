// SPDX-License-Identifier: GPL-2.0-only
/* A process that a hostile user of one device must not harm */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest.h"
#include "bystander.h"
#include "child.h"
#include "clock.h"
#include "endpoint.h"
#include "errname.h"
#include "file.h"
#include "nvme.h"
#include "poke.h"
#include "waiter.h"

#define LIMIT		3.0	/* seconds that each step may take */
#define TIMES		5	/* a step may also take this many times its usual time */
#define GUEST_BYTES	(1 << 20)
#define PARAMETERS	"/sys/module/"

/**
 * struct bystander_shared - memory that the bystander shares with its parent
 * @other: sysfs path of a device that only the bystander uses
 * @path: sysfs path of the device under attack
 * @pid: process that has the device under attack open
 * @fds: file descriptors of @pid: the device, a data file, the data file of a session that
 *	has ended
 * @doing: number of the present step, counted from 1; 0 between requests
 * @began: time at which the present step began
 * @asked: number of requests of the parent
 * @answered: number of answers
 * @ret: last answer
 * @usual: seconds that each step takes without an attack
 */
struct bystander_shared {
	char other[PATH_MAX];
	char path[PATH_MAX];
	pid_t pid;
	int fds[3];
	volatile int doing;
	volatile double began;
	volatile unsigned int asked;
	unsigned int answered;
	int ret;
	double usual[32];
};

enum { DEVICE, DATA, DEAD, NR_FDS };

/* Variables of the bystander's process */
static struct bystander_shared *shared;
static int fds[NR_FDS] = { -1, -1, -1 };

/* Steps that have nothing to do with the device under attack */

static int other_device(void)
{
	struct buffer s = { 0 };
	struct endpoint e;
	struct guest guest;
	struct nvme nvme;
	int ret;

	ret = endpoint_open(&e, shared->other);
	if (ret)
		return ret;
	ret = guest_create(&guest, GUEST_BYTES);
	if (!ret)
		ret = guest_attach(&guest, &e.dev);
	if (!ret)
		ret = nvme_start(&nvme, &e.dev, &guest, 1, 16);
	if (!ret) {
		ret = nvme_io(&nvme, NVME_OP_WRITE, 0, 8,
			      guest_alloc(&guest, GUEST_PAGE));
		nvme_close(&nvme);
	}
	if (!ret)
		ret = v1_save(&e.v1, &s);
	buffer_free(&s);
	endpoint_close(&e);
	guest_destroy(&guest);
	return ret;
}

/* The last reference to a file is in a ring, so a kernel worker closes the file. */
static int deferred_close(void)
{
	struct io_uring_params params = { 0 };
	struct pollfd p = { .events = POLLIN };
	int ends[2], ring, ret;

	ring = syscall(SYS_io_uring_setup, 1, &params);
	if (ring < 0)
		return 0;	/* this kernel has no io_uring, or users may not use it */
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	ret = syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &ends[1], 1);
	close(ends[1]);
	close(ring);
	p.fd = ends[0];
	if (!ret && poll(&p, 1, -1) != 1)
		ret = -EIO;
	close(ends[0]);
	return ret;
}

static int read_all_in(const char *dir)
{
	char path[PATH_MAX + 300], text[4096];
	struct dirent *entry;
	DIR *d = opendir(dir);
	int n = 0;

	if (!d)
		return -errno;
	while ((entry = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		n += !file_read(path, text, sizeof(text));
	}
	closedir(d);
	return n ? 0 : -ENOENT;
}

/* Reads each parameter, and writes the same value. */
static int module_parameters(void)
{
	static const char * const names[] = {
		"vfio_mig_core/parameters/window_kib",
		"mnvme/parameters/shadow_doorbells",
	};
	char path[128], text[64];
	unsigned int i;
	int ret = 0;

	for (i = 0; i < ARRAY_SIZE(names) && !ret; i++) {
		snprintf(path, sizeof(path), PARAMETERS "%s", names[i]);
		ret = file_read(path, text, sizeof(text));
		if (ret == -ENOENT)
			ret = 0;
		else if (!ret)
			ret = file_write(path, text);
	}
	return ret;
}

static int sysfs(void)
{
	char dir[PATH_MAX + 16];

	snprintf(dir, sizeof(dir), "%s/migration", shared->path);
	return read_all_in(dir);
}

static int debugfs(void)
{
	char dir[PATH_MAX + 64];

	snprintf(dir, sizeof(dir), "/sys/kernel/debug/vfio_mig/%s",
		 strrchr(shared->path, '/') + 1);
	if (access(dir, R_OK))
		return 0;
	return read_all_in(dir);
}

/* Steps of another process that shares the device under attack */

static int device_info(void)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	if (fds[DEVICE] < 0)
		return 0;
	return ioctl(fds[DEVICE], VFIO_DEVICE_GET_INFO, &info) ? -errno : 0;
}

/* Makes a struct device of a file descriptor. */
static int adopt(struct device *dev)
{
	memset(dev, 0, sizeof(*dev));
	dev->fd = fds[DEVICE];
	dev->group = -1;
	dev->container = -1;
	dev->iommufd = -1;
	dev->info.argsz = sizeof(dev->info);
	return ioctl(dev->fd, VFIO_DEVICE_GET_INFO, &dev->info) ? -errno : 0;
}

static int state_of_v1(void)
{
	struct device dev;
	struct v1 v1;
	long ret;

	if (fds[DEVICE] < 0)
		return 0;
	ret = adopt(&dev);
	if (!ret)
		ret = v1_open(&v1, &dev);
	if (!ret)
		ret = v1_get_state(&v1);
	return ret < 0 ? ret : 0;
}

static int state_of_v2(void)
{
	struct device dev;
	struct v2 v2;
	long ret;

	if (fds[DEVICE] < 0)
		return 0;
	ret = adopt(&dev);
	if (!ret && v2_open(&v2, &dev))
		return 0;
	if (!ret)
		ret = v2_get_state(&v2);
	return ret < 0 ? ret : 0;
}

/* The access may raise SIGBUS, but it must end. */
static int mapped_window(void)
{
	unsigned char byte;
	struct device dev;
	struct v1 v1;
	int ret;

	if (fds[DEVICE] < 0)
		return 0;
	ret = adopt(&dev);
	if (!ret)
		ret = v1_open(&v1, &dev);
	if (!ret)
		ret = v1_map(&v1);
	if (ret)
		return ret;
	poke_load(v1.map, &byte);
	poke_store(v1.map + v1.window - 1, 0);
	v1_unmap(&v1);
	return 0;
}

static int poll_data(void)
{
	struct pollfd p = { .fd = fds[DATA], .events = POLLIN | POLLOUT };

	return fds[DATA] >= 0 && poll(&p, 1, 0) < 0 ? -errno : 0;
}

static int close_fd(int which)
{
	if (fds[which] >= 0)
		close(fds[which]);
	fds[which] = -1;
	return 0;
}

static int close_dead_data(void)
{
	return close_fd(DEAD);
}

static int close_data(void)
{
	return close_fd(DATA);
}

static int reset(void)
{
	if (fds[DEVICE] < 0)
		return 0;
	return ioctl(fds[DEVICE], VFIO_DEVICE_RESET) ? -errno : 0;
}

static int let_go(void)
{
	return close_fd(DEVICE);
}

/* Steps with the device under attack, after the attack */
static int reopen(void)
{
	struct buffer s = { 0 };
	struct endpoint e;
	int ret;

	ret = endpoint_open(&e, shared->path);
	if (ret)
		return ret;
	ret = v1_get_state(&e.v1) == V1_RUNNING ? 0 : -EPROTO;
	if (!ret)
		ret = v1_save(&e.v1, &s);
	buffer_free(&s);
	endpoint_close(&e);
	return ret;
}

static const struct step {
	const char *name;
	int (*do_it)(void);
} steps[] = {
	{ "poll() of the data file", poll_data },
	{ "a pipe that is closed by a ring", deferred_close },
	{ "another device", other_device },
	{ "module parameters", module_parameters },
	{ "the device in sysfs", sysfs },
	{ "the device in debugfs", debugfs },
	{ "GET_INFO by another process", device_info },
	{ "the state by v1, by another process", state_of_v1 },
	{ "the state by v2, by another process", state_of_v2 },
	{ "the mapped window, in another process", mapped_window },
	{ "close() of a dead data file", close_dead_data },
	{ "close() of the data file", close_data },
	{ "RESET by another process", reset },
	{ "close() by another process", let_go },
	{ "opening it again", reopen },
};

#define NR_STEPS	((int)ARRAY_SIZE(steps))
#define FIRST_OF_SAME	4
#define REOPEN		(NR_STEPS - 1)

static int take(void)
{
	int pidfd, i;

	for (i = 0; i < NR_FDS; i++)
		close_fd(i);
	if (!shared->pid)
		return 0;
	pidfd = syscall(SYS_pidfd_open, shared->pid, 0);
	if (pidfd < 0)
		return -errno;
	for (i = 0; i < NR_FDS; i++)
		if (shared->fds[i] >= 0)
			fds[i] = syscall(SYS_pidfd_getfd, pidfd, shared->fds[i], 0);
	close(pidfd);
	return fds[DEVICE] < 0 ? -ENODEV : 0;
}

static int walk(int from, int to)
{
	int i, ret = 0;

	for (i = from; i < to && !ret; i++) {
		shared->began = clock_now();
		shared->doing = i + 1;
		ret = steps[i].do_it();
		if (!shared->usual[i])
			shared->usual[i] = clock_now() - shared->began;
	}
	if (!ret)
		shared->doing = 0;
	return ret;
}

enum { ASK_USUAL = 'u', ASK_TAKE = 't', ASK_LIVES = 'l', ASK_REOPEN = 'r' };

static void run(int hear)
{
	char ask;

	while (read(hear, &ask, 1) == 1) {
		if (ask == ASK_TAKE)
			shared->ret = take();
		else if (ask == ASK_USUAL)
			shared->ret = walk(0, FIRST_OF_SAME);
		else if (ask == ASK_LIVES)
			shared->ret = walk(0, REOPEN);
		else
			shared->ret = walk(REOPEN, NR_STEPS);
		__atomic_add_fetch(&shared->answered, 1, __ATOMIC_RELEASE);
	}
	_exit(0);
}

/* Returns how long the step may take. The usual time counts, because the machine may be busy. */
static double may_take(const struct bystander_shared *s)
{
	int doing = s->doing;

	return waiter_patience(LIMIT) + (doing ? TIMES * s->usual[doing - 1] : 0);
}

static int ask(struct bystander *b, char what, double more)
{
	struct bystander_shared *s = b->shared;
	int doing;

	s->doing = 0;
	s->began = clock_now();
	s->asked++;
	if (write(b->ask, &what, 1) != 1)
		return -errno;
	while (__atomic_load_n(&s->answered, __ATOMIC_ACQUIRE) != s->asked) {
		doing = s->doing;
		if (clock_now() - s->began > may_take(s) + more && doing == s->doing) {
			snprintf(b->failed, sizeof(b->failed), "%s has no end",
				 doing ? steps[doing - 1].name : "taking its files");
			return -ETIMEDOUT;
		}
		usleep(500);
	}
	doing = s->doing;
	if (s->ret)
		snprintf(b->failed, sizeof(b->failed), "%s: %s",
			 doing ? steps[doing - 1].name : "taking its files",
			 errname(s->ret));
	return s->ret;
}

static int start(struct bystander *b)
{
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	b->pid = child_start();
	if (!b->pid) {
		shared = b->shared;
		close(pipes[1]);
		run(pipes[0]);
	}
	close(pipes[0]);
	b->ask = pipes[1];
	return b->pid < 0 ? -errno : 0;
}

/*
 * Starts the bystander and measures its usual times. The attack on the device at @path has
 * not begun yet.
 */
int bystander_start(struct bystander *b, const char *path, const char *other_device)
{
	int ret;

	memset(b, 0, sizeof(*b));
	b->shared = mmap(NULL, sizeof(*b->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b->shared == MAP_FAILED)
		return -errno;
	snprintf(b->shared->other, sizeof(b->shared->other), "%s", other_device);
	snprintf(b->shared->path, sizeof(b->shared->path), "%s", path);
	ret = start(b);
	return ret ? ret : ask(b, ASK_USUAL, 30);
}

/*
 * The bystander takes references to the files of the device under attack, as another
 * process of the same user would. If the user closes a file now, the bystander holds its
 * last reference.
 */
int bystander_take(struct bystander *b, const struct bystander_target *target)
{
	struct bystander_shared *s = b->shared;

	snprintf(s->path, sizeof(s->path), "%s", target->path);
	s->pid = target->pid;
	s->fds[DEVICE] = target->device;
	s->fds[DATA] = target->data;
	s->fds[DEAD] = target->dead;
	return ask(b, ASK_TAKE, 0);
}

/*
 * The bystander does all steps, and drops its references. Returns -ETIMEDOUT if a step did
 * not end in time.
 */
int bystander_lives(struct bystander *b)
{
	return ask(b, ASK_LIVES, 0);
}

/* The bystander opens the device under attack again, runs it and saves its state. */
int bystander_reopens(struct bystander *b)
{
	return ask(b, ASK_REOPEN, 0);
}

/* Ends the bystander. A bystander that cannot be killed stays behind. */
void bystander_end(struct bystander *b)
{
	double until = clock_now() + waiter_patience(5);

	close(b->ask);
	kill(b->pid, SIGKILL);
	while (waitpid(b->pid, NULL, WNOHANG) != b->pid && clock_now() < until)
		usleep(1000);
	munmap(b->shared, sizeof(*b->shared));
	b->pid = 0;
}
