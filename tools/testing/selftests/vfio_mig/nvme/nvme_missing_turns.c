// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands of several queues access missing memory. Each of them has its turn, so none waits for
 * ever because the memory of another command stays missing or comes slowly.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/file.h"
#include "lib/fixture.h"
#include "lib/nvme.h"
#include "lib/slow.h"
#include "lib/waiter.h"

#define QUEUES		6
#define LATE		0	/* the queue whose only command has memory that comes late */
#define DEPTH		16
#define EXECUTORS	"/sys/module/mnvme/parameters/executors"
#define PAGES		2048
#define BEFORE		200	/* commands before the late memory comes */
#define LATE_IOVA	0x100000000ULL
#define PAGES_IOVA	0x110000000ULL
#define REACH		5.0	/* seconds until the controller accesses the memory */
#define STARTS		30
#define PAGE_COMES	0.002	/* seconds until a page comes */

FIXTURE(turns) {
	char executors[32];
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct nvme nvme;
	struct slow late;
	struct slow pages;
};

static void make_missing(struct __test_metadata *_metadata, struct device *dev,
			 struct slow *slow, size_t pages, __u64 iova)
{
	ASSERT_RET(0, slow_create(slow, SLOW_UFFD_KEPT, pages * GUEST_PAGE));
	ASSERT_RET(0, slow_map(slow, 0, NULL, 0));
	ASSERT_RET(0, device_map(dev, slow->mem, iova, pages * GUEST_PAGE));
}

static struct nvme_cmd read_page(__u64 iova)
{
	return (struct nvme_cmd){ .opcode = NVME_OP_READ, .nsid = 1, .prp1 = iova, .cdw12 = 7 };
}

static void begin(struct __test_metadata *_metadata, struct nvme *nvme, int queue, __u64 iova)
{
	struct nvme_cmd cmd = read_page(iova);

	ASSERT_LE(0, nvme_submit(nvme, &nvme->io[queue], &cmd));
	ASSERT_RET(0, nvme_ring(nvme, &nvme->io[queue]));
}

/* Each queue has a thread that executes its commands. */
FIXTURE_SETUP(turns)
{
	if (slow_missing(SLOW_UFFD_KEPT))
		SKIP(return, "%s", slow_missing(SLOW_UFFD_KEPT));
	ASSERT_RET(0, file_read(EXECUTORS, self->executors, sizeof(self->executors)));
	ASSERT_RET(0, file_write(EXECUTORS, "8"));
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_RET(0, guest_create(&self->guest, 1 << 20));
	ASSERT_RET(0, guest_attach(&self->guest, &self->dev));
	ASSERT_EQ(0, nvme_start(&self->nvme, &self->dev, &self->guest, QUEUES, DEPTH));
	make_missing(_metadata, &self->dev, &self->late, 1, LATE_IOVA);
	make_missing(_metadata, &self->dev, &self->pages, PAGES, PAGES_IOVA);
	begin(_metadata, &self->nvme, LATE, LATE_IOVA);
	ASSERT_EQ(1, slow_waiting(&self->late, waiter_patience(REACH)));
	/* Then the pause between two attempts has its full length. */
	usleep(waiter_patience(200000));
}

FIXTURE_TEARDOWN(turns)
{
	file_write(EXECUTORS, self->executors);
	slow_destroy(&self->pages);
	slow_destroy(&self->late);
	nvme_close(&self->nvme);
	fixture_close(&self->dev, &self->v1);
	guest_destroy(&self->guest);
}

/* Returns whether the controller accesses a missing page within @seconds. Provides the page. */
static bool is_answered(struct slow *pages, double seconds)
{
	double until = clock_now() + seconds;
	int ret;

	do {
		ret = slow_answer_one(pages);
		usleep(500);
	} while (!ret && clock_now() < until);
	return ret == 1;
}

/*
 * The late memory stays missing. Commands of another queue begin at different times in the pause
 * between two attempts to access it. Each of them is tried again, so its page can come.
 */
TEST_F_TIMEOUT(turns, beside_memory_that_stays_missing, 180)
{
	struct nvme *nvme = &self->nvme;
	struct nvme_cqe cqe;
	int i;

	for (i = 0; i < STARTS; i++) {
		usleep(i * 3000);
		begin(_metadata, nvme, 1, PAGES_IOVA + i * GUEST_PAGE);
		ASSERT_EQ(1, slow_waiting(&self->pages, waiter_patience(REACH)));
		usleep(waiter_patience(150000));
		ASSERT_TRUE(is_answered(&self->pages, waiter_patience(2)))
			TH_LOG("command %d is not tried again", i);
		ASSERT_RET(0, nvme_wait(nvme, &nvme->io[1], &cqe));
		ASSERT_EQ(0, cqe.status >> 1);
	}
}

struct provider {
	struct slow *pages;
	volatile bool end;
	int failed;
};

/* Provides one page after the other. */
static void *provide(void *arg)
{
	struct provider *p = arg;
	int ret;

	while (!p->end && !p->failed) {
		usleep(1e6 * PAGE_COMES);
		ret = slow_answer_one(p->pages);
		if (ret < 0)
			p->failed = ret;
	}
	return NULL;
}

/* Takes completions, and fills the queue with commands for further pages. */
static void go_on(struct __test_metadata *_metadata, struct nvme *nvme, int queue,
		  int *in_flight, int *begun)
{
	struct nvme_cqe cqe;

	while (nvme_poll(nvme, &nvme->io[queue], &cqe) == 1) {
		EXPECT_EQ(0, cqe.status >> 1);
		(*in_flight)--;
	}
	for (; *in_flight < DEPTH - 1 && *begun < PAGES; (*in_flight)++)
		begin(_metadata, nvme, queue, PAGES_IOVA + (*begun)++ * GUEST_PAGE);
}

/*
 * The other queues make one access after the other, each to a page that comes soon. The late
 * memory comes meanwhile, and its command completes before theirs.
 *
 * A driver that always prefers new accesses fails with iommufd only. With a container, executors
 * wait for its lock during a copy, so there is no new access after the copy.
 */
TEST_F_TIMEOUT(turns, beside_memory_that_comes_slowly, 180)
{
	struct provider p = { .pages = &self->pages };
	struct nvme *nvme = &self->nvme;
	int in_flight[QUEUES] = { 0 }, begun = 0, i, ret = 0;
	bool answered = false;
	struct nvme_cqe cqe;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, provide, &p));
	while (begun < PAGES && !ret) {
		for (i = LATE + 1; i < QUEUES; i++)
			go_on(_metadata, nvme, i, &in_flight[i], &begun);
		if (!answered && begun >= BEFORE) {
			ASSERT_RET(0, slow_answer(&self->late));
			answered = true;
		}
		usleep(500);
		ret = nvme_poll(nvme, &nvme->io[LATE], &cqe);
	}
	EXPECT_EQ(1, ret);
	TH_LOG("it completes when %d other commands were begun", begun);
	p.end = true;
	pthread_join(thread, NULL);
	EXPECT_RET(0, p.failed);
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
}

SUITE_MAIN(need_all())
