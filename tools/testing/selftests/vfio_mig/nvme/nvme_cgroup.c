// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads of the process that opened the device execute commands. Their CPU time counts as
 * that of the process, so a control group bounds it, and they end with the process. The
 * threads of an idle device take no CPU time.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/mdev.h"
#include "lib/nvme_fixture.h"
#include "lib/waiter.h"

#define ROOT		"/sys/fs/cgroup"
#define SECONDS		2.0
#define SHARE		0.5	/* of a CPU */
#define TOLERANCE	1.1
#define DEPTH		8
#define BLOCKS		2048

FIXTURE(cgroup) {
	struct nvme_fixture f;
	char path[64];
	void *data;
};

static bool cpu_missing(void)
{
	char text[256];

	return file_read(ROOT "/cgroup.controllers", text, sizeof(text)) ||
	       !strstr(text, "cpu ") ||
	       file_write(ROOT "/cgroup.subtree_control", "+cpu");
}

FIXTURE_SETUP(cgroup)
{
	nvme_fixture_open(_metadata, &self->f, 8 << 20);
	self->data = guest_alloc(&self->f.guest, BLOCKS * 512);
	ASSERT_EQ(0, system("echo 0 > /sys/module/mnvme/parameters/inline_kib"));
}

FIXTURE_TEARDOWN(cgroup)
{
	system("echo 1024 > /sys/module/mnvme/parameters/inline_kib");
	nvme_fixture_close(&self->f);
	if (self->path[0])
		rmdir(self->path);
}

/* Returns how many threads of this process execute commands. */
static int executors(void)
{
	struct dirent *entry;
	char path[300], name[32];
	int n = 0;
	DIR *dir = opendir("/proc/self/task");

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		if (!file_read(path, name, sizeof(name)))
			n += !strncmp(name, "mnvme-", strlen("mnvme-"));
	}
	if (dir)
		closedir(dir);
	return n;
}

/* Without the device's threads the process itself uses almost no CPU time. */
static int keep_busy(struct nvme *nvme, void *data, double seconds)
{
	double until = clock_now() + seconds;
	struct nvme_queue *q = &nvme->io[0];
	struct nvme_cqe cqe;
	int i, ret = 0;

	for (i = 0; !ret && i < DEPTH; i++)
		ret = nvme_submit_io(nvme, q, NVME_OP_WRITE, i * BLOCKS, BLOCKS, data) < 0;
	if (!ret)
		ret = nvme_ring(nvme, q);
	while (!ret && clock_now() < until) {
		usleep(1000);
		while ((ret = nvme_poll(nvme, q, &cqe)) > 0)
			nvme_submit_io(nvme, q, NVME_OP_WRITE, 0, BLOCKS, data);
		if (!ret)
			ret = nvme_ring(nvme, q);
	}
	while (!ret && q->in_flight)
		ret = nvme_wait(nvme, q, &cqe);
	return ret;
}

static long long usage_us(const char *group)
{
	char path[128], text[1024], *at;

	snprintf(path, sizeof(path), "%s/cpu.stat", group);
	if (file_read(path, text, sizeof(text)))
		return -1;
	at = strstr(text, "usage_usec ");
	return at ? atoll(at + strlen("usage_usec ")) : -1;
}

static int set_max(const char *group, const char *max)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/cpu.max", group);
	return file_write(path, max);
}

static int enter(const char *group)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	return file_write(path, "0");
}

TEST_F_TIMEOUT(cgroup, cpu_time_is_bounded_with_the_process, 120)
{
	long long before, used;
	double start, took;

	if (!executors())
		SKIP(return, "this kernel has no threads of the user's for a driver");
	if (cpu_missing())
		SKIP(return, "no cgroup v2 with a cpu controller");
	snprintf(self->path, sizeof(self->path), ROOT "/vfio_mig_cpu-%d", getpid());
	ASSERT_EQ(0, mkdir(self->path, 0755));
	if (set_max(self->path, "50000 100000") == -ENOENT)
		SKIP(return, "no cpu.max: CONFIG_CFS_BANDWIDTH");
	ASSERT_RET(0, enter(self->path));

	before = usage_us(self->path);
	start = clock_now();
	EXPECT_EQ(0, keep_busy(&self->f.nvme, self->data, SECONDS));
	took = clock_now() - start;
	used = usage_us(self->path) - before;
	ASSERT_RET(0, enter(ROOT));

	TH_LOG("%.2f s of CPU time in %.2f s", used / 1e6, took);
	EXPECT_LT(0, used);
	/*
	 * One more period, which may have begun before. A thread of a busy virtual machine may also
	 * use more than its share of a period, and then has less in later periods.
	 */
	EXPECT_GT(took * SHARE * TOLERANCE + 0.3, used / 1e6);
	/* With less CPU time it was not the group that bounded the commands. */
	EXPECT_LT(took * SHARE / 4, used / 1e6);
}

/* Returns the CPU time of the process and its threads in clock ticks. */
static long ticks(void)
{
	unsigned long user, system;
	char text[1024], *at;

	if (file_read("/proc/self/stat", text, sizeof(text)))
		return -1;
	at = strrchr(text, ')');
	if (!at || sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			  &user, &system) != 2)
		return -1;
	return user + system;
}

TEST_F_TIMEOUT(cgroup, idle_threads_take_no_cpu_time, 60)
{
	long before, used = 0;
	int i;

	if (!executors())
		SKIP(return, "this kernel has no threads of the user's for a driver");
	ASSERT_EQ(0, nvme_dbbuf(&self->f.nvme));
	ASSERT_EQ(0, keep_busy(&self->f.nvme, self->data, 0.2));
	/*
	 * On a busy machine the device may poll a queue a little longer, and a tick may find the
	 * process by chance. A device that is not idle uses CPU time in each of these periods.
	 */
	for (i = 0; i < 4 && (!i || used > 1); i++) {
		before = ticks();
		sleep(3);
		used = ticks() - before;
	}
	EXPECT_GE(1, used);
}

TEST_F(cgroup, threads_are_as_many_as_asked_for)
{
	int usual = executors(), i;
	struct device dev;

	if (!usual)
		SKIP(return, "this kernel has no threads of the user's for a driver");
	ASSERT_EQ(0, system("echo 3 > /sys/module/mnvme/parameters/executors"));
	EXPECT_RET(0, device_open(&dev, suite_device_b()));
	EXPECT_EQ(usual + 1 + 3, executors());
	ASSERT_EQ(0, system("echo 0 > /sys/module/mnvme/parameters/executors"));
	device_close(&dev);
	/* The close does not wait for the end of the threads. */
	for (i = 0; i < 1000 && executors() != usual; i++)
		usleep(10000);
	EXPECT_EQ(usual, executors());
}

#define PROCESSES	8

/* A process that stops when it has closed the device, while the device's threads end. */
static pid_t start_and_stop(const char *path)
{
	pid_t pid = child_start();
	struct device dev;

	if (pid)
		return pid;
	if (device_open(&dev, path))
		_exit(1);
	close(dev.fd);
	raise(SIGSTOP);
	_exit(0);
}

/* Returns how many threads of the kernel wait for a thread of a user to end. */
static int waiting_for_threads(void)
{
	char path[300], stack[4096];
	struct dirent *entry;
	DIR *dir = opendir("/proc");
	int n = 0;

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%s/stack", entry->d_name);
		if (!file_read(path, stack, sizeof(stack)))
			n += !!strstr(stack, "vhost_task_stop");
	}
	if (dir)
		closedir(dir);
	return n;
}

/*
 * Threads of a process that is stopped cannot end. Nobody waits for them, so others can close
 * their devices.
 */
TEST_F_TIMEOUT(cgroup, nobody_waits_for_a_stopped_process, 120)
{
	struct mdev mdev[PROCESSES];
	pid_t pid[PROCESSES];
	int i, status;

	if (!executors())
		SKIP(return, "this kernel has no threads of the user's for a driver");
	ASSERT_EQ(0, system("echo 16 > /sys/module/mnvme/parameters/executors"));
	for (i = 0; i < PROCESSES; i++) {
		ASSERT_RET(0, mdev_create(&mdev[i], "mnvme", "64M"));
		pid[i] = start_and_stop(mdev[i].path);
		ASSERT_EQ(pid[i], waitpid(pid[i], &status, WUNTRACED));
		EXPECT_TRUE(WIFSTOPPED(status));
	}
	ASSERT_EQ(0, system("echo 0 > /sys/module/mnvme/parameters/executors"));
	sleep(1);
	EXPECT_EQ(0, waiting_for_threads());

	for (i = 0; i < PROCESSES; i++) {
		kill(pid[i], SIGKILL);
		EXPECT_EQ(pid[i], waitpid(pid[i], NULL, 0));
		EXPECT_RET(0, mdev_remove(&mdev[i]));
	}
}

static void need_all(void)
{
	suite_need_mnvme();
	suite_need_b();
}

SUITE_MAIN(need_all())
