// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on devices by threads and processes, some of which are killed:
 * exerciser [MINUTES [SEED]]. At the end each device must work, and no memory may be lost.
 * The caller checks the kernel's log.
 *
 * The run consists of generations. In each generation a process, the keeper, opens all
 * devices. Its threads and the processes that it starts do operations on them. The keeper
 * ends or is killed, and then the program checks the devices.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/clock.h"
#include "lib/endpoint.h"
#include "lib/errname.h"
#include "lib/exercise.h"
#include "lib/mdev.h"
#include "lib/migrate.h"
#include "lib/nvme.h"
#include "kselftest.h"

#define THREADS		3	/* of the keeper */
#define PROCESSES	2	/* other processes at a time */
#define TELL		60	/* seconds between progress messages */
#define PATIENCE	180	/* seconds that a killed process may take to end */
#define KMEMLEAK	"/sys/kernel/debug/kmemleak"

static const char * const parents[EXERCISE_DEVICES] = {
	"mnvme", "mnvme", "mscratch", "mscratch",
};

static struct mdev mdev[EXERCISE_DEVICES];
static struct exercise_counts *counts;
static unsigned long generations, removals;

/* Variables of the keeper's process */
static struct exercised devices[EXERCISE_DEVICES];
static struct actor actors[THREADS];
static volatile int stop;

static void *act(void *arg)
{
	struct actor *a = arg;

	while (!stop)
		actor_act(a);
	actor_end(a);
	return NULL;
}

/* Starts a process that shares the keeper's open files until it is killed. */
static pid_t start_process(unsigned int seed)
{
	static struct actor a;
	pid_t pid = child_start();

	if (pid)
		return pid;
	actor_init(&a, devices, EXERCISE_DEVICES, seed, counts);
	for (;;)
		actor_act(&a);
}

/* Starts and kills processes until the time is over. */
static void shepherd(double until, unsigned int *seed)
{
	pid_t pids[PROCESSES] = { 0 };
	int i;

	while (clock_now() < until) {
		i = rand_r(seed) % PROCESSES;
		if (pids[i] > 0) {
			kill(pids[i], SIGKILL);
			waitpid(pids[i], NULL, 0);
			exercise_did(&counts->kills);
		}
		pids[i] = start_process(rand_r(seed));
		usleep(rand_r(seed) % 1000000);
	}
	for (i = 0; i < PROCESSES; i++) {
		if (pids[i] <= 0)
			continue;
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
		exercise_did(&counts->kills);
	}
}

static void keeper(unsigned int seed, int lasts)
{
	pthread_t threads[THREADS];
	int i, ret;

	for (i = 0; i < EXERCISE_DEVICES; i++) {
		ret = exercised_open(&devices[i], mdev[i].path);
		if (ret) {
			printf("# device %d, a %s: %s\n", i, parents[i],
			       errname(ret));
			fflush(stdout);
			_exit(1);
		}
	}
	for (i = 0; i < THREADS; i++) {
		actor_init(&actors[i], devices, EXERCISE_DEVICES, rand_r(&seed),
			   counts);
		if (pthread_create(&threads[i], NULL, act, &actors[i]))
			_exit(2);
	}
	shepherd(clock_now() + lasts, &seed);
	stop = 1;
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	_exit(0);
}

/* Waits for all children, including those of a killed keeper. */
static int reap(pid_t keeper, int *status)
{
	double until = clock_now() + PATIENCE;
	int one;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &one, WNOHANG);
		if (pid == keeper)
			*status = one;
		if (pid < 0)
			return errno == ECHILD ? 0 : -errno;
		if (!pid && clock_now() > until)
			return -ETIMEDOUT;
		if (!pid)
			usleep(10000);
	}
}

static int create(int i)
{
	static const long windows[] = { 64, 256, 1024 };
	int ret;

	mdev_window_kib(windows[rand() % 3]);
	ret = mdev_create(&mdev[i], parents[i], "64M");
	if (ret)
		printf("# no device of %s: %s\n", parents[i], errname(ret));
	return ret;
}

/* Opens the device, runs it and saves its state. */
static int look_at(int i)
{
	struct buffer s = { 0 };
	struct endpoint e;
	int ret;

	ret = endpoint_open(&e, mdev[i].path);
	if (ret)
		return ret;
	ret = v1_get_state(&e.v1) == V1_RUNNING ? 0 : -EPROTO;
	if (!ret)
		ret = v1_save(&e.v1, &s);
	endpoint_close(&e);
	buffer_free(&s);
	return ret;
}

static int look_at_all(void)
{
	int i, ret;

	for (i = 0; i < EXERCISE_DEVICES; i++) {
		ret = look_at(i);
		if (!ret)
			continue;
		printf("# device %d, a %s, does not work: %s\n", i, parents[i],
		       errname(ret));
		return ret;
	}
	return 0;
}

/* Selects the opener of the next keeper. If there are two, they take turns. */
static void choose_way(void)
{
	setenv("VFIO_MIG_OPEN", rand() % 2 ? "cdev" : "group", 1);
	if (device_missing(mdev[0].path))
		setenv("VFIO_MIG_OPEN", "group", 1);
}

/* Prints a file of a task as lines of a comment. */
static void show_file(const char *task, const char *name)
{
	char path[PATH_MAX], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", task, name);
	f = fopen(path, "r");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		printf("#   %s: %s", name, line);
	fclose(f);
}

/* Shows the stacks of this program's tasks, to find out why a task does not end. */
static void show_tasks(void)
{
	glob_t tasks;
	size_t i;

	if (glob("/proc/[0-9]*/task/[0-9]*", GLOB_NOSORT, NULL, &tasks))
		return;
	for (i = 0; i < tasks.gl_pathc; i++) {
		printf("# %s\n", tasks.gl_pathv[i]);
		show_file(tasks.gl_pathv[i], "comm");
		show_file(tasks.gl_pathv[i], "syscall");
		show_file(tasks.gl_pathv[i], "stack");
	}
	globfree(&tasks);
	fflush(stdout);
}

static int generation(void)
{
	int lasts = 2 + rand() % 8, killed = rand() % 2, delay = rand() % 5000000;
	int victim = rand() % 16, status = 0, ret;
	pid_t pid;

	choose_way();
	fflush(stdout);
	pid = child_start();
	if (!pid)
		keeper(rand(), lasts);
	if (killed) {
		usleep(delay);
		killed = !kill(pid, SIGKILL);
		exercise_did(&counts->kills);
	} else {
		usleep(lasts * 1000000);
	}
	ret = reap(pid, &status);
	if (ret) {
		printf("# somebody does not end: %s\n", errname(ret));
		show_tasks();
		return ret;
	}
	if (WIFSIGNALED(status) ? !killed || WTERMSIG(status) != SIGKILL : status) {
		printf("# the keeper ended with status %#x\n", status);
		return -EPROTO;
	}
	generations++;
	ret = look_at_all();
	if (ret || victim >= EXERCISE_DEVICES)
		return ret;
	removals++;
	ret = mdev_remove(&mdev[victim]);
	return ret ? ret : create(victim);
}

static void report(void)
{
	ksft_print_msg("%lu generations, %lu kills, %lu devices removed\n",
		       generations, counts->kills, removals);
	ksft_print_msg("%lu ioctls, %lu register accesses, %lu mappings\n",
		       counts->ioctls, counts->accesses, counts->mappings);
	ksft_print_msg("%lu streams, %lu NVMe commands, %lu waits for slow memory\n",
		       counts->streams, counts->commands, counts->slow);
	fflush(stdout);
}

static int write_and_read(struct device *dev, struct guest *guest)
{
	struct nvme nvme;
	void *buf;
	__u32 nr;
	int ret;

	ret = nvme_start(&nvme, dev, guest, 1, 16);
	if (ret)
		return ret;
	nr = (64 << 10) / nvme.lba_size;
	buf = guest_alloc(guest, 64 << 10);
	pattern_fill(&nvme, buf, 0, nr, 1);
	ret = nvme_io(&nvme, NVME_OP_WRITE, 0, nr, buf);
	memset(buf, 0, 64 << 10);
	if (!ret)
		ret = nvme_io(&nvme, NVME_OP_READ, 0, nr, buf);
	if (!ret && pattern_check(&nvme, buf, 0, nr, 1) >= 0)
		ret = -EIO;
	nvme_close(&nvme);
	return ret;
}

/* Migrates from a device to the next one of the same kind, and back. */
static int use(int i)
{
	struct endpoint e[2];
	struct guest guest;
	int ret, n;

	ret = guest_create(&guest, 2 << 20);
	for (n = 0; n < 2 && !ret; n++) {
		ret = endpoint_open(&e[n], mdev[i + n].path);
		if (!ret)
			ret = guest_attach(&guest, &e[n].dev);
	}
	for (n = 0; n < 2 && !ret; n++) {
		if (!nvme_probe(&e[n].dev))
			ret = write_and_read(&e[n].dev, &guest);
		if (!ret)
			ret = migrate(&e[n].v1, &e[!n].v1);
		if (!ret)
			ret = v1_set_state(&e[!n].v1, V1_RUNNING);
		if (!ret)
			ret = v1_set_state(&e[n].v1, V1_RUNNING);
	}
	if (ret)
		return ret;
	endpoint_close(&e[0]);
	endpoint_close(&e[1]);
	guest_destroy(&guest);
	return 0;
}

static int all_work(void)
{
	int i, ret;

	setenv("VFIO_MIG_OPEN", "group", 1);
	for (i = 0; i < EXERCISE_DEVICES; i += 2) {
		ret = use(i);
		if (!ret)
			continue;
		printf("# devices %d and %d of %s: %#x, %s\n", i, i + 1,
		       parents[i], ret, errname(ret));
		return ret;
	}
	return 0;
}

static int tell_kmemleak(const char *what)
{
	int fd = open(KMEMLEAK, O_WRONLY), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, what, strlen(what)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* Scans twice, because kmemleak does not report objects younger than five seconds. */
static void find_lost(void)
{
	char text[4096];
	ssize_t len = -1;
	int fd;

	if (tell_kmemleak("scan")) {
		ksft_test_result_skip("this kernel does not search for lost memory\n");
		return;
	}
	sleep(6);
	tell_kmemleak("scan");
	fd = open(KMEMLEAK, O_RDONLY);
	if (fd >= 0)
		len = read(fd, text, sizeof(text) - 1);
	if (len > 0) {
		text[len] = '\0';
		printf("# %s\n", text);
	}
	ksft_test_result(!len, "no memory was lost\n");
}

static void set_up(void)
{
	struct rlimit none = { 0, 0 };
	const char *missing;
	int i;

	if (system("modprobe mnvme && modprobe mscratch"))
		ksft_exit_skip("no mnvme, or no mscratch\n");
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setrlimit(RLIMIT_CORE, &none);
	mdev_init();
	atexit(mdev_sweep);
	for (i = 0; i < EXERCISE_DEVICES; i++)
		if (create(i))
			ksft_exit_fail_msg("a device is missing\n");
	missing = device_missing(mdev[0].path);
	if (missing)
		ksft_exit_skip("%s\n", missing);
	tell_kmemleak("clear");
}

int main(int argc, char **argv)
{
	double until = clock_now() + 60 * (argc > 1 ? atol(argv[1]) : 15);
	unsigned int seed = argc > 2 ? strtoul(argv[2], NULL, 0) :
				      (unsigned int)getpid();
	double told = clock_now();
	int good = 1, i;

	ksft_print_header();
	ksft_set_plan(4);
	srand(seed);
	ksft_print_msg("seed %u\n", seed);
	set_up();
	while (good && clock_now() < until) {
		good = !generation();
		if (clock_now() - told < TELL)
			continue;
		told = clock_now();
		report();
	}
	report();
	ksft_test_result(good, "every device can be opened and saved, whoever was killed\n");
	ksft_test_result(good && !all_work(), "every device works and migrates at the end\n");
	for (i = 0; i < EXERCISE_DEVICES; i++)
		mdev_remove(&mdev[i]);
	ksft_test_result(!mdev_parent_number("mnvme", "memory_used") &&
			 !mdev_parent_number("mnvme", "instances"),
			 "no memory is held at the end\n");
	find_lost();
	ksft_finished();
}
