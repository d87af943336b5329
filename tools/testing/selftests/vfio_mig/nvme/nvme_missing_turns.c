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
#include "lib/fixture.h"
#include "lib/nvme.h"
#include "lib/nvme_third.h"
#include "lib/slow.h"
#include "lib/waiter.h"

#define DEPTH		16
#define PAGES		2048
#define BEFORE		100	/* commands before the third queue's memory comes */
#define LATE_IOVA	0x100000000ULL
#define PAGES_IOVA	0x110000000ULL
#define REACH		5.0	/* seconds until the controller accesses the memory */
#define STARTS		30
#define PAGE_COMES	0.002	/* seconds until a page comes */

FIXTURE(turns) {
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct nvme nvme;
	struct slow late;	/* memory of the third queue's only command */
	struct slow pages;
	volatile struct nvme_cqe *cqe;
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

static void third_waits(struct __test_metadata *_metadata, struct _test_data_turns *self)
{
	struct nvme_cmd *sq = guest_alloc(&self->guest, GUEST_PAGE);
	void *cq = guest_alloc(&self->guest, GUEST_PAGE);

	memset(cq, 0, GUEST_PAGE);
	self->cqe = cq;
	sq[0] = read_page(LATE_IOVA);
	ASSERT_EQ(0, create_third(&self->nvme, guest_iova(&self->guest, sq),
				  guest_iova(&self->guest, cq)));
	ASSERT_RET(0, ring_third(&self->nvme, 1));
	ASSERT_EQ(1, slow_waiting(&self->late, waiter_patience(REACH)));
	/* Then the pause between two attempts has its full length. */
	usleep(waiter_patience(200000));
}

FIXTURE_SETUP(turns)
{
	if (slow_missing(SLOW_UFFD_KEPT))
		SKIP(return, "%s", slow_missing(SLOW_UFFD_KEPT));
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_RET(0, guest_create(&self->guest, 1 << 20));
	ASSERT_RET(0, guest_attach(&self->guest, &self->dev));
	ASSERT_EQ(0, nvme_start(&self->nvme, &self->dev, &self->guest, 2, DEPTH));
	make_missing(_metadata, &self->dev, &self->late, 1, LATE_IOVA);
	make_missing(_metadata, &self->dev, &self->pages, PAGES, PAGES_IOVA);
	third_waits(_metadata, self);
}

FIXTURE_TEARDOWN(turns)
{
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
 * The third queue's memory stays missing. Commands of another queue begin at different times in
 * the pause between two attempts of the third. Each is tried again, so its page can come.
 */
TEST_F_TIMEOUT(turns, beside_memory_that_stays_missing, 180)
{
	struct nvme *nvme = &self->nvme;
	struct nvme_cqe cqe;
	int i;

	for (i = 0; i < STARTS; i++) {
		struct nvme_cmd cmd = read_page(PAGES_IOVA + i * GUEST_PAGE);

		usleep(i * 3000);
		ASSERT_LE(0, nvme_submit(nvme, &nvme->io[0], &cmd));
		ASSERT_RET(0, nvme_ring(nvme, &nvme->io[0]));
		ASSERT_EQ(1, slow_waiting(&self->pages, waiter_patience(REACH)));
		usleep(waiter_patience(150000));
		ASSERT_TRUE(is_answered(&self->pages, waiter_patience(2)))
			TH_LOG("command %d is not tried again", i);
		ASSERT_RET(0, nvme_wait(nvme, &nvme->io[0], &cqe));
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
static void go_on(struct __test_metadata *_metadata, struct nvme *nvme, struct nvme_queue *q,
		  int *in_flight, int *begun)
{
	struct nvme_cqe cqe;
	struct nvme_cmd cmd;
	int before = *begun;

	while (nvme_poll(nvme, q, &cqe) == 1) {
		EXPECT_EQ(0, cqe.status >> 1);
		(*in_flight)--;
	}
	for (; *in_flight < DEPTH - 1 && *begun < PAGES; (*in_flight)++) {
		cmd = read_page(PAGES_IOVA + (*begun)++ * GUEST_PAGE);
		ASSERT_LE(0, nvme_submit(nvme, q, &cmd));
	}
	if (*begun > before)
		ASSERT_RET(0, nvme_ring(nvme, q));
}

/*
 * Two queues make one access after the other, each to a page that comes soon. The third queue's
 * memory can be present meanwhile, and its command completes before those of the two.
 */
TEST_F_TIMEOUT(turns, beside_memory_that_comes_slowly, 180)
{
	struct provider p = { .pages = &self->pages };
	int in_flight[2] = { 0, 0 }, begun = 0;
	bool answered = false;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, provide, &p));
	while (begun < PAGES && !(self->cqe->status & 1)) {
		go_on(_metadata, &self->nvme, &self->nvme.io[0], &in_flight[0], &begun);
		go_on(_metadata, &self->nvme, &self->nvme.io[1], &in_flight[1], &begun);
		if (!answered && begun >= BEFORE) {
			ASSERT_RET(0, slow_answer(&self->late));
			answered = true;
		}
		usleep(500);
	}
	EXPECT_EQ(1, self->cqe->status & 1);
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
