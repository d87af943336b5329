// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow doorbells of the admin queue: hosts that write them in memory, as NVMe 7.13 requires,
 * hosts that write registers only, as Linux does, and hosts that do both
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/file.h"
#include "lib/migrate.h"
#include "lib/nvme_fixture.h"
#include "lib/slow.h"
#include "lib/waiter.h"

#define ADMIN_ABORT		0x08
#define ADMIN_AER		0x0c

/* More than one cycle of the admin queue */
#define ROUNDS			100
/* Error type, Invalid Doorbell Write Value, error log */
#define EVENT_BAD_DOORBELL	0x010100
/* Offsets of the admin queue's doorbells in either page */
#define TAIL			0
#define HEAD			1

FIXTURE(admin) {
	struct nvme_pair p;
	int here;
};

/* The admin queue's doorbells that the host writes */
enum host { MEMORY, REGISTERS, BOTH };

FIXTURE_VARIANT(admin) {
	enum host host;
};

FIXTURE_VARIANT_ADD(admin, memory) { .host = MEMORY };
FIXTURE_VARIANT_ADD(admin, registers) { .host = REGISTERS };
FIXTURE_VARIANT_ADD(admin, both) { .host = BOTH };

static void use(struct nvme *nvme, enum host host)
{
	nvme->shadow_admin = host != REGISTERS;
	nvme->ring_all = host == BOTH;
}

FIXTURE_SETUP(admin)
{
	nvme_pair_open(_metadata, &self->p, 1, 16);
	ASSERT_EQ(0, nvme_dbbuf(&self->p.nvme));
	use(&self->p.nvme, variant->host);
}

FIXTURE_TEARDOWN(admin)
{
	nvme_pair_close(&self->p);
}

/* A command without data: an abort of a command that does not exist */
static struct nvme_cmd quick(void)
{
	return (struct nvme_cmd) { .opcode = ADMIN_ABORT, .cdw10 = 99 << 16 };
}

static int one(struct nvme *nvme)
{
	struct nvme_cmd cmd = quick();
	__u32 result = 0;
	int ret = nvme_do(nvme, &nvme->admin, &cmd, &result);

	return ret ? ret : !(result & 1);
}

/* Submits several commands without a doorbell. */
static int submit(struct nvme *nvme, int nr)
{
	struct nvme_cmd cmd;
	int cid = 0;

	while (nr-- && cid >= 0) {
		cmd = quick();
		cid = nvme_submit(nvme, &nvme->admin, &cmd);
	}
	return cid < 0 ? cid : 0;
}

/* Waits for all commands in flight. */
static int finish(struct nvme *nvme)
{
	struct nvme_cqe cqe;
	int ret = 0;

	while (!ret && nvme->admin.in_flight)
		ret = nvme_wait(nvme, &nvme->admin, &cqe) ?: cqe.status >> 1;
	return ret;
}

static bool becomes(volatile __u32 *at, __u32 want)
{
	double until = clock_now() + 10;

	while (*at != want && clock_now() < until)
		usleep(1000);
	return *at == want;
}

TEST_F_TIMEOUT(admin, commands_one_by_one, 120)
{
	int i;

	for (i = 0; i < ROUNDS; i++)
		ASSERT_EQ(0, one(&self->p.nvme))
			TH_LOG("command %d", i);
	ASSERT_EQ(0, nvme_flush(&self->p.nvme));
}

/* Submits as many commands as the queue has space for, and takes their completions late. */
TEST_F_TIMEOUT(admin, commands_of_a_full_queue, 120)
{
	struct nvme *nvme = &self->p.nvme;
	int i;

	for (i = 0; i < 20; i++) {
		ASSERT_RET(0, submit(nvme, nvme->admin.depth - 1 - i % 2));
		ASSERT_RET(0, nvme_ring(nvme, &nvme->admin));
		if (i % 3)
			usleep(2000);
		ASSERT_RET_FOR(0, finish(nvme), "round %d", i);
	}
}

/* Commands arrive while the device goes idle. */
TEST_F_TIMEOUT(admin, no_submission_is_lost, 300)
{
	int rounds = suite_long() ? 200000 : 10000, i;
	struct nvme *nvme = &self->p.nvme;
	volatile int spin;
	struct nvme_cqe cqe;
	int ret;

	srand(1);
	for (i = 0; i < rounds; i++) {
		double until = clock_now() + 10;

		while (nvme->admin.in_flight > (unsigned int)i % 3) {
			ret = nvme_poll(nvme, &nvme->admin, &cqe);
			ASSERT_LE(0, ret);
			ASSERT_GT(until, clock_now())
				TH_LOG("command %d is lost", i);
		}
		for (spin = rand() % 2000; spin; spin--)
			;
		ASSERT_RET(0, submit(nvme, 1));
		ASSERT_RET(0, nvme_ring(nvme, &nvme->admin));
	}
	ASSERT_RET(0, finish(nvme));
}

TEST_F(admin, pages_follow_the_host)
{
	struct nvme *nvme = &self->p.nvme;
	int i;

	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, one(nvme));
		EXPECT_TRUE(becomes(&nvme->shadow[TAIL], nvme->admin.tail));
		EXPECT_TRUE(becomes(&nvme->event_idx[TAIL], nvme->admin.tail))
			TH_LOG("EventIdx stays at %u", nvme->event_idx[TAIL]);
	}
}

/* A host may change its method. */
TEST_F_TIMEOUT(admin, one_way_and_the_other, 120)
{
	struct nvme *nvme = &self->p.nvme;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, one(nvme))
			TH_LOG("command %d", i);
		if (variant->host == MEMORY || i % 7)
			continue;
		/* The host must update a doorbell that the device has not read yet. */
		nvme->shadow[TAIL] = nvme->admin.tail;
		nvme->shadow[HEAD] = nvme->admin.head;
		use(nvme, i % 2 ? MEMORY : BOTH);
	}
}

TEST_F(admin, pages_are_replaced)
{
	int i, j;

	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, nvme_dbbuf(&self->p.nvme));
		for (j = 0; j < i + 3; j++)
			ASSERT_EQ(0, one(&self->p.nvme))
				TH_LOG("command %d of pages %d", j, i);
	}
}

TEST_F(admin, a_queue_that_is_full_of_events)
{
	struct nvme *nvme = &self->p.nvme;
	struct nvme_cqe cqe;
	int i;

	/* The queue has no space for the event. */
	ASSERT_LE(0, nvme_request_event(nvme));
	ASSERT_RET(0, submit(nvme, nvme->admin.depth - 2));
	ASSERT_RET(0, nvme_ring(nvme, &nvme->admin));
	for (i = 0; i < 3; i++)
		ASSERT_RET(0, nvme_write32(nvme, DOORBELLS +
					   2 * 9 * nvme->doorbell_stride, 1));
	usleep(20000);
	for (i = 0; nvme->admin.in_flight; i++) {
		ASSERT_RET(0, nvme_wait(nvme, &nvme->admin, &cqe));
		ASSERT_EQ(0, cqe.status >> 1);
	}
	EXPECT_EQ(nvme->admin.depth - 1, i);
	EXPECT_EQ(0, one(nvme));
}

TEST_F(admin, a_tail_that_cannot_be)
{
	struct nvme *nvme = &self->p.nvme;
	struct nvme_cqe cqe;

	ASSERT_LE(0, nvme_request_event(nvme));
	ASSERT_TRUE(becomes(&nvme->event_idx[TAIL], nvme->admin.tail));
	nvme->shadow[TAIL] = nvme->admin.depth;
	ASSERT_RET(0, nvme_write32(nvme, DOORBELLS, nvme->admin.tail));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->admin, &cqe));
	EXPECT_EQ(0, cqe.status >> 1);
	EXPECT_EQ(EVENT_BAD_DOORBELL, cqe.result);
	/* Other hosts do not write the page. */
	if (variant->host != REGISTERS)
		nvme->shadow[TAIL] = nvme->admin.tail;
	EXPECT_EQ(0, one(nvme));
}

TEST_F(admin, registers_that_cannot_be)
{
	struct nvme *nvme = &self->p.nvme;
	__u32 depth = nvme->admin.depth;
	struct nvme_cqe cqe;

	ASSERT_LE(0, nvme_request_event(nvme));
	ASSERT_RET(0, nvme_write32(nvme, DOORBELLS, depth));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->admin, &cqe));
	EXPECT_EQ(EVENT_BAD_DOORBELL, cqe.result);
	/* The value exceeds the number of posted completions. */
	ASSERT_RET(0, nvme_write32(nvme, DOORBELLS + nvme->doorbell_stride,
				   (nvme->admin.head + 3) % depth));
	EXPECT_EQ(0, one(nvme));
}

/*
 * The target must find doorbells that the host writes while the device is stopped, in
 * registers or in memory.
 */
static void go_over(struct __test_metadata *_metadata,
		    struct _test_data_admin *self, int late, int rung)
{
	struct nvme *nvme = &self->p.nvme;
	struct migration m = {
		.from = &self->p.v1[self->here], .to = &self->p.v1[!self->here]
	};

	ASSERT_RET(0, migration_begin(&m));
	ASSERT_RET(0, migration_precopy(&m, 0));
	if (late)
		ASSERT_RET(0, migration_blackout(&m));
	ASSERT_RET(0, submit(nvme, 5));
	if (rung)
		ASSERT_RET(0, nvme_ring(nvme, &nvme->admin));
	else
		nvme_passes_event_idx(nvme, TAIL, nvme->admin.tail);
	if (!late)
		ASSERT_RET(0, migration_blackout(&m));
	ASSERT_RET(0, migration_finish(&m, V1_STOPPED));
	migration_free(&m);
	self->here = !self->here;
	ASSERT_RET(0, nvme_adopt(nvme, &self->p.dev[self->here]));
	ASSERT_RET(0, v1_set_state(&self->p.v1[self->here], V1_RUNNING));
}

TEST_F_TIMEOUT(admin, they_migrate, 300)
{
	int round, i;

	for (round = 0; round < 12; round++) {
		/* A register write after the save of the state is lost. */
		go_over(_metadata, self, variant->host == MEMORY && round % 2,
			variant->host == REGISTERS || round % 4 < 2);
		ASSERT_RET_FOR(0, finish(&self->p.nvme), "round %d", round);
		for (i = 0; i < round; i++)
			ASSERT_EQ(0, one(&self->p.nvme));
	}
}

/*
 * The host writes doorbells of the stopped device before the save. The device continues
 * here or at the target.
 */
TEST_F_TIMEOUT(admin, rung_while_it_is_stopped, 120)
{
	struct nvme *nvme = &self->p.nvme;
	struct buffer s = { 0 };
	int round, i;

	for (round = 0; round < 12; round++) {
		struct v1 *from = &self->p.v1[self->here], *to = from;

		for (i = 0; i < round; i++)
			ASSERT_EQ(0, one(nvme));
		ASSERT_RET(0, v1_set_state(from, V1_STOPPED));
		ASSERT_RET(0, submit(nvme, 3));
		ASSERT_RET(0, nvme_ring(nvme, &nvme->admin));
		if (round % 3) {
			s.len = 0;
			ASSERT_RET(0, v1_save(from, &s));
			ASSERT_RET(0, v1_set_state(from, V1_STOPPED));
		}
		if (round % 3 == 1) {
			self->here = !self->here;
			to = &self->p.v1[self->here];
			ASSERT_RET(0, v1_load(to, &s, 0));
			ASSERT_RET(0, nvme_adopt(nvme, &self->p.dev[self->here]));
		}
		ASSERT_RET(0, v1_set_state(to, V1_RUNNING));
		ASSERT_RET_FOR(0, finish(nvme), "round %d", round);
	}
	buffer_free(&s);
}

/*
 * A state of level 2 does not describe the pages of the admin queue, because drivers of
 * that time did not read them. So the pages may have any content.
 */
FIXTURE(older) {
	struct nvme_pair p;
	int here;
};

static int set_level(const char *device, const char *level)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/level", device);
	return file_write(path, level);
}

FIXTURE_SETUP(older)
{
	ASSERT_RET(0, set_level(suite_device(), "2"));
	ASSERT_RET(0, set_level(suite_device_b(), "2"));
	nvme_pair_open(_metadata, &self->p, 1, 16);
	ASSERT_EQ(0, nvme_dbbuf(&self->p.nvme));
}

FIXTURE_TEARDOWN(older)
{
	nvme_pair_close(&self->p);
	EXPECT_RET(0, set_level(suite_device(), "3"));
	EXPECT_RET(0, set_level(suite_device_b(), "3"));
}

TEST_F_TIMEOUT(older, what_is_in_the_pages_does_not_count, 120)
{
	struct nvme *nvme = &self->p.nvme;
	int i, j;

	for (i = 0; i < 8; i++) {
		struct migration m = {
			.from = &self->p.v1[self->here], .to = &self->p.v1[!self->here]
		};

		ASSERT_EQ(0, one(nvme));
		ASSERT_RET(0, migration_begin(&m));
		ASSERT_RET(0, migration_precopy(&m, 0));
		ASSERT_RET(0, migration_blackout(&m));
		nvme->shadow[TAIL] = i % 3 * 7;
		nvme->shadow[HEAD] = i % 2 ? 3 : ~0U;
		nvme->event_idx[TAIL] = 0;
		ASSERT_RET(0, migration_finish(&m, V1_STOPPED));
		migration_free(&m);
		self->here = !self->here;
		ASSERT_RET(0, nvme_adopt(nvme, &self->p.dev[self->here]));
		ASSERT_RET(0, v1_set_state(&self->p.v1[self->here], V1_RUNNING));
		for (j = 0; j < 5 * i; j++)
			ASSERT_EQ(0, one(nvme))
				TH_LOG("command %d after migration %d", j, i);
		if (i)
			EXPECT_EQ(nvme->admin.tail, nvme->shadow[TAIL]);
	}
}

#define SLOW_IOVA	0x100000000ULL
#define REACH		10.0	/* seconds until the controller has begun to read */

/* The doorbells are in memory that the test can make missing. */
FIXTURE(late) {
	struct nvme_fixture f;
	struct slow shadow;
};

FIXTURE_SETUP(late)
{
	struct nvme *nvme = &self->f.nvme;
	__u32 *event_idx;

	if (slow_missing(SLOW_UFFD_KEPT))
		SKIP(return, "%s", slow_missing(SLOW_UFFD_KEPT));
	nvme_fixture_open(_metadata, &self->f, 16 << 20);
	event_idx = guest_alloc(&self->f.guest, GUEST_PAGE);
	memset(event_idx, 0, GUEST_PAGE);
	ASSERT_RET(0, slow_create(&self->shadow, SLOW_UFFD_KEPT, GUEST_PAGE));
	ASSERT_RET(0, slow_map(&self->shadow, 0, NULL, 0));
	ASSERT_RET(0, slow_answer(&self->shadow));
	ASSERT_RET(0, device_map(&self->f.dev, self->shadow.mem, SLOW_IOVA, GUEST_PAGE));
	ASSERT_EQ(0, nvme_dbbuf_at(nvme, SLOW_IOVA, guest_iova(&self->f.guest, event_idx)));
	nvme->shadow = (__u32 *)self->shadow.mem;
	nvme->event_idx = event_idx;
	use(nvme, MEMORY);
}

FIXTURE_TEARDOWN(late)
{
	nvme_fixture_close(&self->f);
	slow_destroy(&self->shadow);
}

/*
 * A host writes memory and then the register. The controller's read of memory can take so long
 * that the host writes the register for one command and memory for the next. The register's
 * value is the older one then, and the tail must not move back.
 */
TEST_F_TIMEOUT(late, register_is_older_than_memory, 120)
{
	struct nvme *nvme = &self->f.nvme;
	unsigned int old;
	__u32 page[GUEST_PAGE / sizeof(__u32)];
	int i;

	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, one(nvme));
		ASSERT_RET(0, slow_again(&self->shadow));
		memcpy(page, self->shadow.mem, GUEST_PAGE);
		ASSERT_EQ(0, madvise(self->shadow.mem, GUEST_PAGE, MADV_DONTNEED));
		ASSERT_RET(0, submit(nvme, 1));
		old = nvme->admin.tail;
		/* The controller begins to read memory, and waits for the page. */
		ASSERT_RET(0, nvme_write32(nvme, DOORBELLS, old));
		ASSERT_EQ(1, slow_waiting(&self->shadow, waiter_patience(REACH)));
		ASSERT_RET(0, submit(nvme, 1));
		page[TAIL] = nvme->admin.tail;
		/* The late write for the command before */
		ASSERT_RET(0, nvme_write32(nvme, DOORBELLS, old));
		ASSERT_RET(0, slow_answer_with(&self->shadow, page));
		ASSERT_RET(0, finish(nvme));
		ASSERT_EQ(nvme->admin.tail, nvme->shadow[TAIL])
			TH_LOG("round %d: the tail moved back", i);
	}
	EXPECT_EQ(0, one(nvme));
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
	suite_need_b();
}

SUITE_MAIN(need_all())
