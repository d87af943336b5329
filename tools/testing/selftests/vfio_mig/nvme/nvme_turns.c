// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands that a guest makes long: an SGL with very many descriptors, memory that comes slowly,
 * and ranges to deallocate. The write of a doorbell returns soon, other queues have their turn, the
 * device stops, and SIGKILL ends the process.
 */
#include <endian.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/mdev.h"
#include "lib/nvme_fixture.h"
#include "lib/waiter.h"

#define MIB		(1UL << 20)
#define MEMORY		(8 * MIB)
#define DEPTH		16
#define COMMANDS	(DEPTH - 1)
#define RANGES		256
#define EXECUTORS	"/sys/module/mnvme/parameters/executors"
#define GONE		10.0	/* seconds until a killed process is gone */

#define TRIES		3	/* because a busy machine makes anything slow now and then */

struct range {
	__u32 attributes;
	__u32 nr;
	__u64 lba;
};

FIXTURE(turns) {
	char executors[32];
	struct mdev mdev;
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct nvme nvme;
	__u64 *list;
	unsigned char *buf;
};

/* One thread executes the commands of both queues. */
FIXTURE_SETUP(turns)
{
	memset(self, 0, sizeof(*self));
	ASSERT_RET(0, file_read(EXECUTORS, self->executors, sizeof(self->executors)));
	ASSERT_RET(0, file_write(EXECUTORS, "1"));
	ASSERT_RET(0, mdev_create(&self->mdev, "mnvme", "16G"));
	fixture_open(_metadata, self->mdev.path, &self->dev, &self->v1);
	ASSERT_RET(0, guest_create(&self->guest, MEMORY));
	ASSERT_RET(0, guest_attach(&self->guest, &self->dev));
	ASSERT_EQ(0, nvme_start(&self->nvme, &self->dev, &self->guest, 2, DEPTH));
	self->list = guest_alloc(&self->guest, GUEST_PAGE);
	self->buf = guest_alloc(&self->guest, MIB);
}

FIXTURE_TEARDOWN(turns)
{
	file_write(EXECUTORS, self->executors);
	nvme_close(&self->nvme);
	fixture_close(&self->dev, &self->v1);
	guest_destroy(&self->guest);
	mdev_remove(&self->mdev);
}

/* Submits a command whose SGL segment points to itself, so the controller reads it very often. */
static int submit_long(struct nvme *nvme, __u8 opcode, __u64 *list)
{
	__u64 iova = guest_iova(nvme->guest, list);
	struct nvme_cmd cmd = {
		.opcode = opcode, .flags = CMD_SGL, .nsid = 1,
		.prp1 = iova, .prp2 = SGL_SEGMENT << 56 | 16,
	};

	list[0] = htole64(iova);
	list[1] = htole64(SGL_SEGMENT << 56 | 16);
	return nvme_submit(nvme, &nvme->io[0], &cmd);
}

/* Returns the reason why this kernel is too slow for such commands, or NULL. */
static const char *too_long(void)
{
	return waiter_patience(1) > 1 ? "such a command takes minutes on this kernel" : NULL;
}

static void submit_all(struct __test_metadata *_metadata, struct nvme *nvme,
		       __u8 opcode, __u64 *list, int nr)
{
	while (nr--)
		ASSERT_LE(0, submit_long(nvme, opcode, list));
}

static void wait_all(struct __test_metadata *_metadata, struct nvme *nvme, int nr)
{
	struct nvme_cqe cqe;

	while (nr--) {
		ASSERT_RET(0, nvme_wait(nvme, &nvme->io[0], &cqe));
		EXPECT_EQ(ST_SGL_NUMBER, cqe.status >> 1 & ST_CODE);
	}
}

/* Returns the seconds that one long command takes. */
static double measure(struct __test_metadata *_metadata, struct nvme *nvme, __u8 opcode,
		      __u64 *list)
{
	double start = clock_now();

	submit_all(_metadata, nvme, opcode, list, 1);
	ASSERT_RET(0, nvme_ring(nvme, &nvme->io[0]));
	wait_all(_metadata, nvme, 1);
	TH_LOG("one command takes %.0f ms", 1e3 * (clock_now() - start));
	return clock_now() - start;
}

/* Executes two long commands. Returns the share of the time that the doorbell's write takes. */
static double share_of_ringing(struct __test_metadata *_metadata, struct nvme *nvme,
			       __u64 *list)
{
	double start, took;

	submit_all(_metadata, nvme, NVME_OP_READ, list, 2);
	start = clock_now();
	ASSERT_RET(0, nvme_ring(nvme, &nvme->io[0]));
	took = clock_now() - start;
	wait_all(_metadata, nvme, 2);
	return took / (clock_now() - start);
}

/* The thread that rings executes most reads itself, but not those with such an SGL. */
TEST_F_TIMEOUT(turns, the_write_of_a_doorbell_returns_soon, 120)
{
	double share = 1;
	int i;

	if (too_long())
		SKIP(return, "%s", too_long());
	for (i = 0; i < TRIES && share >= 0.25; i++)
		share = share_of_ringing(_metadata, &self->nvme, self->list);
	EXPECT_GT(0.25, share)
		TH_LOG("the write takes %.0f %% of the commands' time", share * 100);
}

static int verify(struct nvme *nvme)
{
	struct nvme_cmd cmd = { .opcode = NVME_OP_VERIFY, .nsid = 1 };

	return nvme_do(nvme, &nvme->io[1], &cmd, NULL);
}

/* The executor executes Compare and Verify. */
TEST_F_TIMEOUT(turns, another_queue_has_its_turn, 120)
{
	struct nvme *nvme = &self->nvme;
	double start, took, all;

	if (too_long())
		SKIP(return, "%s", too_long());
	submit_all(_metadata, nvme, NVME_OP_COMPARE, self->list, COMMANDS);
	start = clock_now();
	ASSERT_RET(0, nvme_ring(nvme, &nvme->io[0]));
	ASSERT_EQ(0, verify(nvme));
	took = clock_now() - start;
	wait_all(_metadata, nvme, COMMANDS);
	all = clock_now() - start;
	EXPECT_GT(all / 2, took)
		TH_LOG("a command of the other queue takes %.0f of %.0f ms", took * 1e3,
		       all * 1e3);
}

#define SLOW_IOVA	0x100000000ULL
#define PAGE_COMES	0.002	/* seconds until a page comes */
#define MOST		0.5	/* of the time of the write */

struct provider {
	struct slow slow;
	volatile bool end;
	int failed;
};

/* Provides one page after the other. */
static void *provide(void *arg)
{
	struct provider *p = arg;

	while (!p->end && !p->failed) {
		int ret = slow_answer_one(&p->slow);

		if (ret < 0)
			p->failed = ret;
		usleep(ret > 0 ? 1e6 * PAGE_COMES : 100);
	}
	return NULL;
}

/*
 * Writes 1 MiB from pages that come slowly. Returns the longest time of a command of the other
 * queue meanwhile, as a share of the time of the write.
 */
static double longest_turn(struct __test_metadata *_metadata, struct nvme *nvme, __u64 *list)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_OP_WRITE, .nsid = 1, .prp1 = SLOW_IOVA,
		.prp2 = guest_iova(nvme->guest, list), .cdw12 = MIB / nvme->lba_size - 1,
	};
	double start = clock_now(), longest = 0, begun;
	struct nvme_cqe cqe;
	unsigned int i;
	int ret;

	for (i = 0; i < MIB / GUEST_PAGE - 1; i++)
		list[i] = htole64(SLOW_IOVA + (i + 1) * GUEST_PAGE);
	ASSERT_LE(0, nvme_submit(nvme, &nvme->io[0], &cmd));
	ASSERT_RET(0, nvme_ring(nvme, &nvme->io[0]));
	do {
		begun = clock_now();
		ASSERT_EQ(0, verify(nvme));
		if (clock_now() - begun > longest)
			longest = clock_now() - begun;
		ret = nvme_poll(nvme, &nvme->io[0], &cqe);
		ASSERT_LE(0, ret);
	} while (!ret);
	EXPECT_EQ(0, cqe.status >> 1);
	TH_LOG("the write takes %.0f ms, and a command of the other queue at most %.0f ms",
	       1e3 * (clock_now() - start), 1e3 * longest);
	EXPECT_LT(MIB / GUEST_PAGE * PAGE_COMES / 2, clock_now() - start);
	return longest / (clock_now() - start);
}

/* Each page comes before the controller gives up its wait, so it can begin the next wait. */
TEST_F_TIMEOUT(turns, memory_that_comes_slowly_delays_nobody, 120)
{
	struct provider p = { .failed = 0 };
	double longest = 1;
	pthread_t thread;
	int i;

	if (slow_missing(SLOW_UFFD_KEPT))
		SKIP(return, "%s", slow_missing(SLOW_UFFD_KEPT));
	ASSERT_RET(0, slow_create(&p.slow, SLOW_UFFD_KEPT, MIB));
	ASSERT_RET(0, slow_map(&p.slow, 0, NULL, 0));
	ASSERT_RET(0, device_map(&self->dev, p.slow.mem, SLOW_IOVA, MIB));
	ASSERT_EQ(0, pthread_create(&thread, NULL, provide, &p));
	for (i = 0; i < TRIES && longest >= MOST; i++) {
		ASSERT_EQ(0, madvise(p.slow.mem, MIB, MADV_DONTNEED));
		longest = longest_turn(_metadata, &self->nvme, self->list);
	}
	EXPECT_GT(MOST, longest);
	p.end = true;
	pthread_join(thread, NULL);
	EXPECT_RET(0, p.failed);
	slow_destroy(&p.slow);
}

/* Returns the seconds that a stop takes in the middle of a long command of @one seconds. */
static double stop_in_the_middle(struct __test_metadata *_metadata, struct nvme *nvme,
				 struct v1 *v1, __u64 *list, double one)
{
	double start, took;

	submit_all(_metadata, nvme, NVME_OP_COMPARE, list, 2);
	ASSERT_RET(0, nvme_ring(nvme, &nvme->io[0]));
	usleep(one * 1e6 / 10);
	start = clock_now();
	ASSERT_RET(0, v1_set_state(v1, V1_STOPPED));
	took = clock_now() - start;
	ASSERT_RET(0, v1_set_state(v1, V1_RUNNING));
	wait_all(_metadata, nvme, 2);
	return took;
}

TEST_F_TIMEOUT(turns, a_long_command_does_not_delay_a_stop, 120)
{
	struct nvme *nvme = &self->nvme;
	double one, took, least = 1e3;
	int i;

	if (too_long())
		SKIP(return, "%s", too_long());
	one = measure(_metadata, nvme, NVME_OP_COMPARE, self->list);
	for (i = 0; i < TRIES && least > one / 2; i++) {
		took = stop_in_the_middle(_metadata, nvme, &self->v1, self->list, one);
		if (took < least)
			least = took;
	}
	EXPECT_GT(one / 2 + 0.02, least)
		TH_LOG("the stop takes %.0f ms", least * 1e3);
}

/* Runs in the process that has the device. Sets *@ready just before it writes the doorbell. */
static void ring_and_wait(const char *path, __u8 opcode, volatile int *ready)
{
	struct device dev;
	struct guest guest;
	struct nvme nvme;
	int i, ret;

	ret = device_open(&dev, path);
	if (!ret)
		ret = guest_create(&guest, MEMORY);
	if (!ret)
		ret = guest_attach(&guest, &dev);
	if (!ret)
		ret = nvme_start(&nvme, &dev, &guest, 1, DEPTH);
	for (i = 0; i < COMMANDS && ret >= 0; i++)
		ret = submit_long(&nvme, opcode, guest_alloc(&guest, GUEST_PAGE));
	*ready = ret < 0 ? ret : 1;
	if (ret >= 0)
		nvme_ring(&nvme, &nvme.io[0]);
	for (;;)
		pause();
}

static void check_killed(struct __test_metadata *_metadata, __u8 opcode)
{
	volatile int *ready = mmap(NULL, sizeof(*ready), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct device dev;
	struct mdev mdev;
	double start;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, ready);
	ASSERT_RET(0, mdev_create(&mdev, "mnvme", "64M"));
	pid = child_start();
	ASSERT_LE(0, pid);
	if (!pid)
		ring_and_wait(mdev.path, opcode, ready);
	while (!*ready)
		usleep(1000);
	ASSERT_EQ(1, *ready);
	usleep(50000);
	start = clock_now();
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_GT(waiter_patience(GONE), clock_now() - start)
		TH_LOG("killed, it is gone after %.1f s", clock_now() - start);
	ASSERT_RET(0, device_open(&dev, mdev.path));
	device_close(&dev);
	mdev_remove(&mdev);
}

TEST_F_TIMEOUT(turns, killed_while_it_rings_it_is_gone, 120)
{
	check_killed(_metadata, NVME_OP_READ);
}

TEST_F_TIMEOUT(turns, killed_its_threads_are_gone, 120)
{
	check_killed(_metadata, NVME_OP_COMPARE);
}

static int deallocate(struct nvme *nvme, const void *ranges, int nr)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_OP_DSM, .nsid = 1, .cdw10 = nr - 1, .cdw11 = 1 << 2,
		.prp1 = guest_iova(nvme->guest, ranges),
	};

	return nvme_do(nvme, &nvme->io[0], &cmd, NULL);
}

/* The ranges have 4 TiB together. They have no memory, so the command frees nothing. */
TEST_F(turns, ranges_without_memory_take_no_time)
{
	struct range *range = (void *)self->buf;
	double start = clock_now(), took;
	int i;

	for (i = 0; i < RANGES; i++)
		range[i] = (struct range){ .nr = self->nvme.nr_lbas };
	ASSERT_EQ(0, deallocate(&self->nvme, range, RANGES));
	took = clock_now() - start;
	EXPECT_GT(waiter_patience(3), took)
		TH_LOG("the command takes %.1f s", took);
}

#define FILLED		(64 * MIB)

/* The command takes several turns. It frees all blocks except the first and the last. */
TEST_F_TIMEOUT(turns, a_long_range_is_freed_to_its_end, 60)
{
	__u32 blocks = MIB / self->nvme.lba_size, total = FILLED / self->nvme.lba_size;
	__u32 size = self->nvme.lba_size, i;
	struct range *range = (void *)self->list;
	unsigned char *buf = self->buf;
	struct nvme *nvme = &self->nvme;

	memset(buf, 0x5a, MIB);
	for (i = 0; i < total; i += blocks)
		ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, i, blocks, buf));
	range[0] = (struct range){ .nr = total / 2 - 1, .lba = 1 };
	range[1] = (struct range){ .nr = total / 2 - 1, .lba = total / 2 };
	ASSERT_EQ(0, deallocate(nvme, range, 2));
	for (i = 0; i < total; i += blocks) {
		ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, i, blocks, buf));
		if (!i) {
			EXPECT_EQ(0x5a, buf[size - 1]);
			memset(buf, 0, size);
		}
		if (i + blocks == total) {
			EXPECT_EQ(0x5a, buf[MIB - size]);
			memset(buf + MIB - size, 0, size);
		}
		EXPECT_EQ(0, buf[0] | memcmp(buf, buf + 1, MIB - 1))
			TH_LOG("not all zeros in the MiB from block %u on", i);
	}
}

SUITE_MAIN(suite_need_mnvme())
