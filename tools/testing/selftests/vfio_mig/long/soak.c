// SPDX-License-Identifier: GPL-2.0-only
/*
 * Migrations between two NVMe devices while commands are in flight, by both protocols in turn:
 * soak [COUNT]. In between the program cancels migrations, resets and removes devices, kills
 * the process that has them open, and reloads the modules. At the end the disk must have all
 * acknowledged data, and no memory may be lost.
 *
 * A child does the migrations. Data that must outlive the child is in shared memory.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/endpoint.h"
#include "lib/errname.h"
#include "lib/guest.h"
#include "lib/mdev.h"
#include "lib/nvme.h"
#include "kselftest.h"

#define SLOTS		48
#define SLOT_BYTES	(16U << 10)
#define IN_FLIGHT	24
#define PER_CHILD	6	/* migrations of a child that is not killed */

/**
 * struct ledger - operations so far, and the expected content of the disk
 * @current: device that has the guest's disk
 * @when: generation of the next write
 * @sent: generation of the last write to each slot
 * @acked: generation of the last write that completed; 0 for a slot never written
 * @migrations: completed migrations, by protocol of source and target
 * @cancels: migrations cancelled in pre-copy or in the stop-and-copy phase
 * @resets: resets during a migration
 * @open: whether the child has the devices open
 */
struct ledger {
	int current;
	volatile int open;
	__u32 when;
	__u32 sent[SLOTS];
	__u32 acked[SLOTS];
	long migrations[2][2];
	long cancels;
	long resets;
};

static struct ledger *ledger;
static struct mdev mdev[2];
static long kills, removals, reloads;

/* Variables of a child's process */
static struct endpoint end[2];
static struct guest guest;
static struct nvme nvme;
static unsigned char *buf[SLOTS];
static int slot_of[NVME_DEPTH_MAX];
static int busy[SLOTS];

#define fail(fmt, ...) do {						\
	printf("# " fmt "\n", ##__VA_ARGS__);				\
	fflush(stdout);							\
	_exit(1);							\
} while (0)

#define must(call) do {							\
	long __ret = (call);						\
									\
	if (__ret)							\
		fail("%s: %s", #call, errname(__ret));			\
} while (0)

static long migrations(void)
{
	return ledger->migrations[0][0] + ledger->migrations[0][1] +
	       ledger->migrations[1][0] + ledger->migrations[1][1];
}

static __u32 blocks(void)
{
	return SLOT_BYTES / nvme.lba_size;
}

static __u64 lba_of(int slot)
{
	/* The slots are apart, so that the pages between them are holes. */
	return (__u64)slot * 4 * blocks();
}

/* Each block has the data of the acknowledged write, or of a later write. */
static void check_slot(int slot)
{
	__u64 lba = lba_of(slot);
	__u32 i;

	if (!ledger->acked[slot])
		return;
	if (nvme_io(&nvme, NVME_OP_READ, lba, blocks(), buf[slot]))
		fail("slot %d cannot be read", slot);
	for (i = 0; i < blocks(); i++) {
		void *at = buf[slot] + i * nvme.lba_size;

		if (pattern_check(&nvme, at, lba + i, 1, ledger->acked[slot]) < 0)
			continue;
		if (pattern_check(&nvme, at, lba + i, 1, ledger->sent[slot]) < 0)
			continue;
		fail("slot %d, block %u: neither write %u nor %u", slot, i,
		     ledger->acked[slot], ledger->sent[slot]);
	}
}

static void check_all(void)
{
	int i;

	for (i = 0; i < SLOTS; i++)
		check_slot(i);
}

static void submit_some(void)
{
	struct nvme_queue *q = &nvme.io[0];
	int slot, cid, tries;

	for (tries = 0; tries < 8 && q->in_flight < IN_FLIGHT; tries++) {
		slot = rand() % SLOTS;
		if (busy[slot])
			continue;
		ledger->sent[slot] = ++ledger->when;
		pattern_fill(&nvme, buf[slot], lba_of(slot), blocks(),
			     ledger->sent[slot]);
		cid = nvme_submit_io(&nvme, q, NVME_OP_WRITE, lba_of(slot),
				     blocks(), buf[slot]);
		if (cid < 0)
			fail("no command can be queued: %s", errname(cid));
		slot_of[cid] = slot;
		busy[slot] = 1;
	}
	must(nvme_ring(&nvme, q));
}

static void complete(const struct nvme_cqe *cqe)
{
	int slot = slot_of[cqe->cid];

	if (cqe->status >> 1)
		fail("a write failed with status %#x", cqe->status >> 1);
	if (!busy[slot])
		fail("slot %d: a second completion", slot);
	busy[slot] = 0;
	ledger->acked[slot] = ledger->sent[slot];
}

static void reap(void)
{
	struct nvme_cqe cqe;
	int ret;

	while ((ret = nvme_poll(&nvme, &nvme.io[0], &cqe)) > 0)
		complete(&cqe);
	must(ret);
}

/* Waits until each command in flight has completed once. */
static void settle(void)
{
	struct nvme_cqe cqe;

	while (nvme.io[0].in_flight) {
		must(nvme_wait(&nvme, &nvme.io[0], &cqe));
		complete(&cqe);
	}
	reap();
}

/* A controller that was reset has lost its queued commands, but no data. */
static void start_over(struct endpoint *e)
{
	nvme_close(&nvme);
	guest.used = 0;
	if (nvme_start(&nvme, &e->dev, &guest, 1, 64))
		fail("the controller does not start");
	memset(busy, 0, sizeof(busy));
	for (int i = 0; i < SLOTS; i++)
		buf[i] = guest_alloc(&guest, SLOT_BYTES);
	check_all();
}

static void give_up(struct endpoint *from, struct endpoint *to)
{
	must(endpoint_cancel(from));
	must(device_reset(&to->dev));
	ledger->cancels++;
	settle();
}

/* Moves a part of the state while the guest works. */
static void precopy(struct endpoint *from, struct endpoint *to, struct buffer *b)
{
	int rounds = rand() % 6;

	while (rounds--) {
		submit_some();
		b->len = 0;
		must(endpoint_take(from, b) < 0);
		must(endpoint_give(to, b));
		reap();
	}
	submit_some();
}

/* Moves the rest of the state. The guest continues on the target. */
static void stop_and_copy(struct endpoint *from, struct endpoint *to, struct buffer *b)
{
	b->len = 0;
	must(endpoint_drain(from, b));
	must(endpoint_give(to, b));
	must(endpoint_rest(from));
	must(nvme_adopt(&nvme, &to->dev));
	must(endpoint_run(to));
	ledger->current = !ledger->current;
	ledger->migrations[from->by_v2][to->by_v2]++;
	settle();
}

static void migrate_once(struct buffer *b)
{
	struct endpoint *from = &end[ledger->current];
	struct endpoint *to = &end[!ledger->current];
	int fate = rand() % 12;

	from->by_v2 = from->has_v2 && rand() % 2;
	to->by_v2 = to->has_v2 && rand() % 2;
	must(endpoint_precopy(from));
	must(endpoint_resume(to));
	precopy(from, to, b);
	if (fate == 0)
		return give_up(from, to);
	if (fate == 1) {
		must(device_reset(&from->dev));
		must(device_reset(&to->dev));
		ledger->resets += 2;
		return start_over(from);
	}
	must(endpoint_stop(from));
	if (fate == 2)
		return give_up(from, to);
	stop_and_copy(from, to, b);
	check_slot(rand() % SLOTS);
}

static void child(unsigned int seed)
{
	struct buffer b = { 0 };
	int i;

	srand(seed);
	must(guest_create(&guest, 8 << 20));
	for (i = 0; i < 2; i++) {
		must(endpoint_open(&end[i], mdev[i].path));
		must(guest_attach(&guest, &end[i].dev));
	}
	ledger->open = 1;
	start_over(&end[ledger->current]);
	for (i = 0; i < PER_CHILD; i++) {
		migrate_once(&b);
		submit_some();
	}
	settle();
	check_all();
	_exit(0);
}

/* The parent's part: actions between migrations */

static void forget(void)
{
	ledger->current = 0;
	memset(ledger->sent, 0, sizeof(ledger->sent));
	memset(ledger->acked, 0, sizeof(ledger->acked));
}

static void create(int i)
{
	int ret = mdev_create(&mdev[i], "mnvme", "64M");

	if (ret)
		ksft_exit_fail_msg("no device: %s\n", errname(ret));
}

/* Removes an open device. The removal completes when the last user closes it. */
static pid_t start_removing(int i)
{
	struct mdev victim = mdev[i];
	pid_t pid = fork();

	if (pid)
		return pid;
	while (!ledger->open)
		usleep(1000);
	_exit(!!mdev_remove(&victim));
}

static void end_removing(pid_t pid, int i)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		ksft_exit_fail_msg("a device was not removed\n");
	create(i);
	removals++;
	/* The device's data is gone. */
	if (ledger->current == i)
		forget();
}

static void reload(void)
{
	mdev_remove(&mdev[0]);
	mdev_remove(&mdev[1]);
	if (system("rmmod mnvme && rmmod vfio_mig_core && modprobe mnvme"))
		ksft_exit_fail_msg("the modules are not to be reloaded\n");
	reloads++;
	forget();
	create(0);
	create(1);
}

static int has_ended(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid;
}

/*
 * Kills the child somewhere in a migration. The migration and a delay of 1 to 128 ms are
 * random, because the speed of machines differs.
 */
static int kill_somewhere(pid_t pid)
{
	long after = migrations() + rand() % PER_CHILD;

	while (migrations() < after && !has_ended(pid))
		usleep(1000);
	usleep(1000 << rand() % 8);
	return !kill(pid, SIGKILL);
}

/* Returns true if all went well. A killed child has not failed. */
static int run_child(void)
{
	int victim = rand() % 2, status, killed = 0;
	unsigned int seed = rand();
	pid_t remover = 0, pid;

	ledger->open = 0;
	fflush(stdout);
	pid = fork();
	if (!pid)
		child(seed);
	if (rand() % 8 == 0)
		remover = start_removing(victim);
	if (rand() % 3 == 0)
		killed = kill_somewhere(pid);
	waitpid(pid, &status, 0);
	/* The remover must not wait for ever if the child did not open the devices. */
	ledger->open = 1;
	killed = killed && WIFSIGNALED(status);
	kills += killed;
	if (remover)
		end_removing(remover, victim);
	if (!killed && status)
		printf("# child: status %#x\n", status);
	return killed || !status;
}

static void report(void)
{
	ksft_print_msg("%ld migrations: %ld v1-v1, %ld v1-v2, %ld v2-v1, %ld v2-v2\n",
		       migrations(), ledger->migrations[0][0],
		       ledger->migrations[0][1], ledger->migrations[1][0],
		       ledger->migrations[1][1]);
	ksft_print_msg("%ld cancelled, %ld resets, %ld kills, %ld removals, %ld reloads\n",
		       ledger->cancels, ledger->resets, kills, removals, reloads);
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 300, told = 0;
	unsigned int seed = argc > 2 ? atoi(argv[2]) : getpid();
	const char *missing;
	int good = 1;

	ksft_print_header();
	ksft_set_plan(2);
	if (system("modprobe mnvme"))
		ksft_exit_skip("no mnvme\n");
	ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	mdev_init();
	atexit(mdev_sweep);
	ksft_print_msg("seed %u\n", seed);
	fflush(stdout);
	srand(seed);
	mdev_window_kib(256);
	create(0);
	create(1);
	missing = device_missing(mdev[0].path);
	if (missing)
		ksft_exit_skip("%s\n", missing);

	while (good && migrations() < count) {
		good = run_child();
		if (good && rand() % 16 == 0)
			reload();
		if (migrations() - told >= 25) {
			told = migrations();
			report();
			fflush(stdout);
		}
	}
	report();
	ksft_test_result(good, "every write arrives, once, whatever happens\n");

	mdev_remove(&mdev[0]);
	mdev_remove(&mdev[1]);
	ksft_test_result(!mdev_parent_number("mnvme", "memory_used") &&
			 !mdev_parent_number("mnvme", "instances"),
			 "no memory is held at the end\n");
	ksft_finished();
}
