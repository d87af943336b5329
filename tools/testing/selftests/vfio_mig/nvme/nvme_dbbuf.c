// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow doorbells: no submission is lost, the host writes the register less often, a stopped
 * device does nothing, and the device does not trust the host's memory.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/flood.h"
#include "lib/migrate.h"
#include "lib/nvme_fixture.h"
#include "lib/stream.h"
#include "lib/waiter.h"

#define ADMIN_DELETE_SQ		0x00
#define ADMIN_CREATE_SQ		0x01
#define ADMIN_GET_LOG		0x02
#define ADMIN_CREATE_CQ		0x05
#define ADMIN_IDENTIFY		0x06
#define ADMIN_AER		0x0c

#define DNR			0x4000
#define MORE			0x2000
#define INVALID_OPCODE		(DNR | MORE | 0x01)
#define INVALID_FIELD		(DNR | MORE | 0x02)

/* Error type, Invalid Doorbell Write Value, error log */
#define EVENT_BAD_DOORBELL	0x010100

FIXTURE(dbbuf) {
	struct nvme_pair p;
	struct nvme_queue *q;
	unsigned char *page;
};

FIXTURE_SETUP(dbbuf)
{
	nvme_pair_open(_metadata, &self->p, 2, 64);
	self->q = &self->p.nvme.io[0];
	self->page = guest_alloc(&self->p.guest, GUEST_PAGE);
}

FIXTURE_TEARDOWN(dbbuf)
{
	nvme_pair_close(&self->p);
}

static int submit(struct nvme *nvme, struct nvme_queue *q, __u8 opcode)
{
	int cid = nvme_submit_io(nvme, q, opcode, 0, 1, NULL);

	return cid < 0 ? cid : nvme_ring(nvme, q);
}

static int identify(struct nvme *nvme, void *page)
{
	struct nvme_cmd cmd = {
		.opcode = ADMIN_IDENTIFY,
		.prp1 = guest_iova(nvme->guest, page),
		.cdw10 = 1,
	};

	return nvme_do(nvme, &nvme->admin, &cmd, NULL);
}

TEST_F(dbbuf, is_offered)
{
	ASSERT_EQ(0, identify(&self->p.nvme, self->page));
	EXPECT_EQ(1, self->page[257] & 1)
		TH_LOG("bit 8 of OACS is not set");
	EXPECT_EQ(0, nvme_dbbuf(&self->p.nvme));
	EXPECT_EQ(0, nvme_flush(&self->p.nvme));
}

#define PARAMETER	"/sys/module/mnvme/parameters/shadow_doorbells"

static int parameter(const char *value)
{
	FILE *f = fopen(PARAMETER, "w");

	if (!f)
		return -1;
	fputs(value, f);
	return fclose(f);
}

static int restart(struct nvme_pair *p)
{
	nvme_close(&p->nvme);
	return nvme_start(&p->nvme, &p->dev[0], &p->guest, 1, 16);
}

TEST_F(dbbuf, can_be_switched_off)
{
	if (parameter("N"))
		SKIP(return, "no parameter shadow_doorbells");
	EXPECT_EQ(0, restart(&self->p));
	EXPECT_EQ(0, identify(&self->p.nvme, self->page));
	EXPECT_EQ(0, self->page[257] & 1);
	EXPECT_EQ(INVALID_OPCODE, nvme_dbbuf(&self->p.nvme));
	EXPECT_EQ(0, parameter("Y"));
	EXPECT_EQ(0, nvme_flush(&self->p.nvme));
}

/* The offer that a host has read is valid until the host starts the controller again. */
TEST_F(dbbuf, stays_offered_after_the_host_was_told)
{
	if (parameter("N"))
		SKIP(return, "no parameter shadow_doorbells");
	EXPECT_EQ(0, nvme_dbbuf(&self->p.nvme));
	EXPECT_EQ(0, identify(&self->p.nvme, self->page));
	EXPECT_EQ(1, self->page[257] & 1);
	EXPECT_EQ(0, restart(&self->p));
	EXPECT_EQ(0, parameter("Y"));
	EXPECT_EQ(INVALID_OPCODE, nvme_dbbuf(&self->p.nvme));
	EXPECT_EQ(0, restart(&self->p));
	EXPECT_EQ(0, nvme_dbbuf(&self->p.nvme));
}

TEST_F(dbbuf, addresses_that_cannot_be_are_refused)
{
	struct nvme *nvme = &self->p.nvme;
	__u64 good = guest_iova(&self->p.guest, self->page), far = 1ULL << 50;

	EXPECT_EQ(INVALID_FIELD, nvme_dbbuf_at(nvme, good + 4, good));
	EXPECT_EQ(INVALID_FIELD, nvme_dbbuf_at(nvme, good, good + 2048));
	EXPECT_EQ(INVALID_FIELD, nvme_dbbuf_at(nvme, far, good));
	EXPECT_EQ(INVALID_FIELD, nvme_dbbuf_at(nvme, good, far));
	EXPECT_EQ(INVALID_FIELD, nvme_dbbuf_at(nvme, ~0xfffULL, good));
	/* The failed commands had no effect, so the register still works. */
	EXPECT_EQ(0, nvme_flush(nvme));
	EXPECT_EQ(0, nvme_dbbuf(nvme));
	EXPECT_EQ(0, nvme_flush(nvme));
}

/* Sends commands one at a time, with a doorbell for each. */
static unsigned long rings_of(struct __test_metadata *_metadata,
			      struct nvme *nvme, struct nvme_queue *q, int nr)
{
	unsigned long before = nvme->rings;
	struct nvme_cqe cqe;
	int i, done = 0, ret;

	for (i = 0; i < nr; i++) {
		while (q->in_flight >= 32) {
			ret = nvme_poll(nvme, q, &cqe);
			ASSERT_LE(0, ret);
			done += ret;
		}
		ASSERT_RET(0, submit(nvme, q, NVME_OP_VERIFY));
	}
	for (; done < nr; done++)
		ASSERT_RET(0, nvme_wait(nvme, q, &cqe));
	return nvme->rings - before;
}

TEST_F_TIMEOUT(dbbuf, the_register_is_rung_less_often, 120)
{
	unsigned long without, with;

	without = rings_of(_metadata, &self->p.nvme, self->q, 2000);
	ASSERT_EQ(0, nvme_dbbuf(&self->p.nvme));
	with = rings_of(_metadata, &self->p.nvme, self->q, 2000);
	TH_LOG("2000 commands: %lu writes of registers, %lu with shadow doorbells",
	       without, with);
	EXPECT_LE(4000, without);
	/*
	 * The host writes the completion queue's register only once for each cycle of the
	 * queue.
	 */
	EXPECT_GT(2000 + 2000 / 32, with);
}

/* Spins, because the next submission must meet the device while it goes idle. */
static int take_one(struct nvme *nvme, struct nvme_queue *q)
{
	double end = clock_now() + 10;
	struct nvme_cqe cqe;
	int ret;

	for (;;) {
		ret = nvme_poll(nvme, q, &cqe);
		if (ret < 0)
			return ret;
		if (ret)
			return cqe.status >> 1;
		if (clock_now() > end)
			return -ETIMEDOUT;
	}
}

/*
 * The device writes EventIdx while the host submits a command. One of them must see the
 * other's write. Another thread than this one executes Verify.
 */
TEST_F_TIMEOUT(dbbuf, no_submission_is_lost, 300)
{
	int rounds = suite_long() ? 2000000 : 60000, i;
	struct nvme *nvme = &self->p.nvme;
	double until = clock_now() + waiter_patience(100);
	volatile int spin;
	unsigned int most;

	ASSERT_EQ(0, nvme_dbbuf(nvme));
	srand(1);
	for (i = 0; i < rounds && (suite_long() || clock_now() < until); i++) {
		most = rand() % 3;
		while (self->q->in_flight > most)
			ASSERT_RET_FOR(0, take_one(nvme, self->q), "command %d",
				       i);
		for (spin = rand() % 2000; spin; spin--)
			;
		ASSERT_RET(0, submit(nvme, self->q, NVME_OP_VERIFY));
	}
	while (self->q->in_flight)
		ASSERT_RET(0, take_one(nvme, self->q));
	TH_LOG("%d commands, %lu writes of registers", i, nvme->rings);
	/* Otherwise the device was idle each time, and the test shows nothing. */
	EXPECT_GT(i, nvme->rings);
}

TEST_F_TIMEOUT(dbbuf, queues_that_were_used_before_go_on, 120)
{
	struct nvme *nvme = &self->p.nvme;
	struct flood f;
	int i;

	ASSERT_EQ(0, flood_init(&f, nvme, &nvme->io[0], 0));
	for (i = 0; i < 6; i++) {
		/* The second run uses other pages. */
		if (i % 2)
			ASSERT_EQ(0, nvme_dbbuf(nvme));
		ASSERT_RET(0, flood_submit(&f, 40));
		ASSERT_RET(0, nvme_ring(nvme, f.q));
		ASSERT_RET(0, flood_finish(&f));
		EXPECT_EQ(-1, flood_check_reads(&f));
	}
}

/* A submission queue with a much smaller completion queue */
#define SMALL_ID	3
#define SMALL_SQ	64
#define SMALL_CQ	4

struct small {
	struct nvme_cmd *sq[2];
	__u16 tail[2];
	volatile struct nvme_cqe *cq;
	__u16 head;
	__u16 phase;
};

static int small_create(struct nvme *nvme, struct small *s)
{
	struct nvme_cmd cmd = { 0 };
	int i, ret;

	memset(s, 0, sizeof(*s));
	s->phase = 1;
	s->cq = guest_alloc(nvme->guest, GUEST_PAGE);
	memset((void *)s->cq, 0, GUEST_PAGE);
	cmd.opcode = ADMIN_CREATE_CQ;
	cmd.prp1 = guest_iova(nvme->guest, (void *)s->cq);
	cmd.cdw10 = (SMALL_CQ - 1) << 16 | SMALL_ID;
	cmd.cdw11 = SMALL_ID << 16 | 3;
	ret = nvme_do(nvme, &nvme->admin, &cmd, NULL);
	for (i = 0; i < 2 && !ret; i++) {
		s->sq[i] = guest_alloc(nvme->guest, GUEST_PAGE);
		cmd.opcode = ADMIN_CREATE_SQ;
		cmd.prp1 = guest_iova(nvme->guest, s->sq[i]);
		cmd.cdw10 = (SMALL_SQ - 1) << 16 | (SMALL_ID + i);
		cmd.cdw11 = SMALL_ID << 16 | 1;
		ret = nvme_do(nvme, &nvme->admin, &cmd, NULL);
	}
	return ret;
}

static int small_doorbell(struct nvme *nvme, __u32 doorbell, __u16 value)
{
	if (nvme->shadow && !nvme_passes_event_idx(nvme, doorbell, value))
		return 0;
	return nvme_write32(nvme, 0x1000 + doorbell * 4, value);
}

static int small_submit(struct nvme *nvme, struct small *s, int i, int nr)
{
	while (nr--) {
		s->sq[i][s->tail[i]] = (struct nvme_cmd) {
			.opcode = NVME_OP_VERIFY, .nsid = 1,
			.cid = s->tail[i],
		};
		s->tail[i] = (s->tail[i] + 1) % SMALL_SQ;
	}
	return small_doorbell(nvme, 2 * (SMALL_ID + i), s->tail[i]);
}

static int small_take(struct nvme *nvme, struct small *s)
{
	double end = clock_now() + 10;
	int status;

	while ((s->cq[s->head].status & 1) != s->phase) {
		if (clock_now() > end)
			return -ETIMEDOUT;
	}
	status = s->cq[s->head].status >> 1;
	s->head = (s->head + 1) % SMALL_CQ;
	if (!s->head)
		s->phase ^= 1;
	return status ? status : small_doorbell(nvme, 2 * SMALL_ID + 1, s->head);
}

/* Sends more commands than there is space for completions, in two queues. */
static void starve(struct __test_metadata *_metadata, struct nvme *nvme,
		   struct small *s, int rounds)
{
	int round, i;

	for (round = 0; round < rounds; round++) {
		ASSERT_RET(0, small_submit(nvme, s, 0, SMALL_SQ - 1));
		ASSERT_RET(0, small_submit(nvme, s, 1, SMALL_SQ - 1));
		if (round % 2)
			usleep(2000);
		for (i = 0; i < 2 * (SMALL_SQ - 1); i++)
			ASSERT_RET_FOR(0, small_take(nvme, s),
				       "round %d, completion %d", round, i);
	}
}

TEST_F_TIMEOUT(dbbuf, a_full_completion_queue_is_rung_for, 120)
{
	struct small s;

	ASSERT_EQ(0, nvme_dbbuf(&self->p.nvme));
	ASSERT_EQ(0, small_create(&self->p.nvme, &s));
	starve(_metadata, &self->p.nvme, &s, 40);
}

/* The same with registers only */
TEST_F_TIMEOUT(dbbuf, a_full_completion_queue_goes_on, 120)
{
	struct small s;

	ASSERT_EQ(0, small_create(&self->p.nvme, &s));
	starve(_metadata, &self->p.nvme, &s, 40);
}

/* A new queue does not begin with the values of the old queue. */
TEST_F(dbbuf, of_a_queue_that_was_deleted_nothing_is_left)
{
	struct nvme_cmd cmd = { 0 };
	struct small s;

	ASSERT_EQ(0, nvme_dbbuf(&self->p.nvme));
	ASSERT_EQ(0, small_create(&self->p.nvme, &s));
	starve(_metadata, &self->p.nvme, &s, 1);
	cmd.opcode = ADMIN_DELETE_SQ;
	cmd.cdw10 = SMALL_ID + 1;
	ASSERT_EQ(0, nvme_do(&self->p.nvme, &self->p.nvme.admin, &cmd, NULL));
	cmd.opcode = ADMIN_CREATE_SQ;
	cmd.prp1 = guest_iova(&self->p.guest, s.sq[1]);
	cmd.cdw10 = (SMALL_SQ - 1) << 16 | (SMALL_ID + 1);
	cmd.cdw11 = SMALL_ID << 16 | 1;
	ASSERT_EQ(0, nvme_do(&self->p.nvme, &self->p.nvme.admin, &cmd, NULL));
	EXPECT_EQ(0, self->p.nvme.shadow[2 * (SMALL_ID + 1)]);
	s.tail[1] = 0;
	starve(_metadata, &self->p.nvme, &s, 2);
}

TEST_F(dbbuf, writes_while_stopped_wait_for_the_resume)
{
	struct nvme *nvme = &self->p.nvme;
	struct flood f;
	__u64 sum;

	ASSERT_EQ(0, nvme_dbbuf(nvme));
	ASSERT_EQ(0, flood_init(&f, nvme, &nvme->io[0], 0));
	ASSERT_RET(0, v1_set_state(&self->p.v1[0], V1_STOPPED));
	/* Submits half of the commands without the register, as EventIdx may permit. */
	ASSERT_RET(0, flood_submit(&f, 20));
	nvme_passes_event_idx(nvme, 2, f.q->tail);
	sum = guest_sum(&self->p.guest);
	usleep(20000);
	EXPECT_EQ(sum, guest_sum(&self->p.guest))
		TH_LOG("a stopped device wrote to memory");
	ASSERT_RET(0, nvme_write32(nvme, 0x1008, f.q->tail));
	usleep(20000);
	EXPECT_EQ(sum, guest_sum(&self->p.guest))
		TH_LOG("a stopped device acted upon a doorbell");
	ASSERT_RET(0, v1_set_state(&self->p.v1[0], V1_RUNNING));
	ASSERT_RET(0, flood_finish(&f));
}

/* Migrates back and forth while commands are in flight. Some are only in memory at the stop. */
TEST_F_TIMEOUT(dbbuf, they_migrate, 300)
{
	struct nvme *nvme = &self->p.nvme;
	int round, here = 0;
	void *scratch;
	struct flood f;

	ASSERT_EQ(0, nvme_dbbuf(nvme));
	ASSERT_EQ(0, flood_init(&f, nvme, &nvme->io[0], 0));
	scratch = guest_alloc(&self->p.guest, FLOOD_BYTES);
	for (round = 0; round < 10; round++) {
		struct migration m = {
			.from = &self->p.v1[here], .to = &self->p.v1[!here]
		};

		ASSERT_RET(0, migration_begin(&m));
		ASSERT_RET(0, migration_precopy(&m, 0));
		if (round % 3 == 2)
			ASSERT_RET(0, migration_blackout(&m));
		ASSERT_RET(0, flood_submit(&f, FLOOD_MAX));
		if (round % 3)
			nvme_passes_event_idx(nvme, 2, f.q->tail);
		else
			ASSERT_RET(0, nvme_ring(nvme, f.q));
		if (round % 3 != 2)
			ASSERT_RET(0, migration_blackout(&m));
		ASSERT_RET(0, migration_finish(&m, V1_STOPPED));
		migration_free(&m);
		here = !here;
		ASSERT_RET(0, nvme_adopt(nvme, &self->p.dev[here]));
		ASSERT_RET(0, v1_set_state(&self->p.v1[here], V1_RUNNING));
		ASSERT_RET_FOR(0, flood_finish(&f), "round %d", round);
		EXPECT_EQ(-1, flood_check_reads(&f));
		EXPECT_EQ(-1, flood_check_blocks(&f, scratch));
	}
}

static int wait_ready(struct nvme *nvme, __u32 want)
{
	__u32 csts = ~0;
	int i;

	for (i = 0; i < 5000; i++) {
		if (nvme_read32(nvme, REG_CSTS, &csts))
			return -1;
		if ((csts & 3) == want)
			return 0;
		usleep(1000);
	}
	return csts;
}

TEST_F(dbbuf, a_controller_reset_ends_them)
{
	struct nvme *nvme = &self->p.nvme;
	volatile __u32 *pages[2];
	int i, j;

	ASSERT_EQ(0, nvme_dbbuf(nvme));
	ASSERT_EQ(0, nvme_flush(nvme));
	pages[0] = nvme->shadow;
	pages[1] = nvme->event_idx;
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, 0));
	ASSERT_EQ(0, wait_ready(nvme, 0));
	for (i = 0; i < 2; i++)
		memset((void *)pages[i], 0xa5, GUEST_PAGE);
	nvme_close(nvme);
	ASSERT_EQ(0, nvme_start(nvme, &self->p.dev[0], &self->p.guest, 2, 64));
	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, nvme_flush(nvme));
	for (i = 0; i < 2; i++)
		for (j = 0; j < 1024; j++)
			ASSERT_EQ(0xa5a5a5a5, pages[i][j]);
}

TEST_F(dbbuf, a_tail_beyond_the_queue_is_an_event_only)
{
	struct nvme *nvme = &self->p.nvme;
	struct nvme_cqe cqe;
	__u16 tail;

	ASSERT_EQ(0, nvme_dbbuf(nvme));
	ASSERT_EQ(0, nvme_flush(nvme));
	ASSERT_LE(0, nvme_request_event(nvme));
	tail = self->q->tail;
	nvme->shadow[2] = 64;
	ASSERT_RET(0, nvme_write32(nvme, 0x1008, tail));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->admin, &cqe));
	EXPECT_EQ(0, cqe.status >> 1);
	EXPECT_EQ(EVENT_BAD_DOORBELL, cqe.result);
	nvme->shadow[2] = tail;
	EXPECT_EQ(0, nvme_flush(nvme));
}

TEST_F_TIMEOUT(dbbuf, an_impossible_head_is_an_event_only, 60)
{
	struct nvme *nvme = &self->p.nvme;
	struct nvme_cqe cqe;
	struct small s;
	int i;

	ASSERT_EQ(0, nvme_dbbuf(nvme));
	ASSERT_EQ(0, small_create(nvme, &s));
	ASSERT_LE(0, nvme_request_event(nvme));
	nvme->shadow[2 * SMALL_ID + 1] = SMALL_CQ + 3;
	ASSERT_RET(0, small_submit(nvme, &s, 0, 20));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->admin, &cqe));
	EXPECT_EQ(EVENT_BAD_DOORBELL, cqe.result);
	nvme->shadow[2 * SMALL_ID + 1] = 0;
	for (i = 0; i < 20; i++)
		ASSERT_RET(0, small_take(nvme, &s));
}

/* Doorbell pages in other memory, which is unmapped later */
TEST_F(dbbuf, pages_that_go_away_are_fatal_until_a_reset)
{
	__u64 iova = 1ULL << 32;
	struct nvme *nvme = &self->p.nvme;
	void *mem = mmap(NULL, 2 * GUEST_PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_RET(0, device_map(&self->p.dev[0], mem, iova, 2 * GUEST_PAGE));
	ASSERT_EQ(0, nvme_dbbuf_at(nvme, iova, iova + GUEST_PAGE));
	nvme->shadow = mem;
	nvme->event_idx = mem + GUEST_PAGE;
	ASSERT_EQ(0, nvme_flush(nvme));
	ASSERT_RET(0, device_unmap(&self->p.dev[0], iova, 2 * GUEST_PAGE));
	ASSERT_RET(0, submit(nvme, self->q, NVME_OP_FLUSH));
	EXPECT_EQ(0, wait_ready(nvme, 1 | CSTS_CFS));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, 0));
	ASSERT_EQ(0, wait_ready(nvme, 0));
	nvme_close(nvme);
	ASSERT_EQ(0, nvme_start(nvme, &self->p.dev[0], &self->p.guest, 2, 64));
	EXPECT_EQ(0, nvme_flush(nvme));
	munmap(mem, 2 * GUEST_PAGE);
}

struct scribbler {
	volatile __u32 *page[2];
	volatile int stop;
};

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	unsigned int seed = 7;
	int r;

	while (!s->stop) {
		r = rand_r(&seed);
		s->page[r & 1][(r >> 1) % 8] = (r >> 8) & (r & 0x10 ? 0xffff : 63);
	}
	return NULL;
}

/* The host changes its doorbells in memory at random. Only this host's own I/O may suffer. */
TEST_F_TIMEOUT(dbbuf, values_that_change_at_random_hurt_nobody, 120)
{
	struct nvme *nvme = &self->p.nvme;
	struct scribbler s = { 0 };
	pthread_t thread;
	int i;

	ASSERT_EQ(0, nvme_dbbuf(nvme));
	s.page[0] = nvme->shadow;
	s.page[1] = nvme->event_idx;
	ASSERT_EQ(0, pthread_create(&thread, NULL, scribble, &s));
	for (i = 0; i < 3000; i++)
		ASSERT_RET(0, nvme_write32(nvme, 0x1008 + i % 4 * 4, i % 64));
	ASSERT_RET(0, v1_set_state(&self->p.v1[0], V1_STOPPED));
	ASSERT_RET(0, v1_set_state(&self->p.v1[0], V1_RUNNING));
	s.stop = 1;
	pthread_join(thread, NULL);
	nvme_close(nvme);
	ASSERT_EQ(0, nvme_start(nvme, &self->p.dev[0], &self->p.guest, 2, 64));
	EXPECT_EQ(0, nvme_flush(nvme));
}

static int unmask(struct device *dev)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_DATA_NONE,
		.index = VFIO_PCI_INTX_IRQ_INDEX,
		.count = 1,
	};

	return ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, &set);
}

/* Returns the signals within 100 ms, or waits up to 5 s for the first one. */
static int intx(int fd, int patient)
{
	int i, nr = 0;
	__u64 count;

	for (i = 0; i < (patient ? 5000 : 100) && !nr; i++) {
		usleep(1000);
		if (read(fd, &count, sizeof(count)) == sizeof(count))
			nr = count;
	}
	return nr;
}

/*
 * The host's memory alone shows which completions it took. This is no reason for another
 * signal.
 */
TEST_F(dbbuf, intx_is_not_signalled_for_what_was_taken)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), i;
	struct nvme *nvme = &self->p.nvme;
	struct nvme_cqe cqe;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, nvme_dbbuf(nvme));
	ASSERT_RET(0, device_irq_disable(&self->p.dev[0],
					 VFIO_PCI_MSIX_IRQ_INDEX));
	ASSERT_RET(0, device_irq_eventfds(&self->p.dev[0],
					  VFIO_PCI_INTX_IRQ_INDEX, &fd, 1));
	intx(fd, 0);
	ASSERT_EQ(0, unmask(&self->p.dev[0]));
	intx(fd, 0);
	ASSERT_EQ(0, unmask(&self->p.dev[0]));
	for (i = 0; i < 3; i++) {
		ASSERT_RET(0, submit(nvme, self->q, NVME_OP_FLUSH));
		EXPECT_EQ(1, intx(fd, 1));
		/* One more completion, before the host is done */
		ASSERT_RET(0, submit(nvme, self->q, NVME_OP_FLUSH));
		ASSERT_RET(0, nvme_wait(nvme, self->q, &cqe));
		ASSERT_RET(0, nvme_wait(nvme, self->q, &cqe));
		ASSERT_EQ(0, unmask(&self->p.dev[0]));
		EXPECT_EQ(1, intx(fd, 1));
		ASSERT_EQ(0, unmask(&self->p.dev[0]));
		EXPECT_EQ(0, intx(fd, 0));
	}
	close(fd);
}

/* A warning of the kernel sets its taint flag. */
static bool warned(void)
{
	unsigned long taint = 0;
	FILE *f = fopen("/proc/sys/kernel/tainted", "r");

	if (f) {
		if (fscanf(f, "%lu", &taint) != 1)
			taint = 0;
		fclose(f);
	}
	return taint & 1 << 9;
}

/* A task that shares the process's memory, but not its files, until the files are closed */
static int keep_memory(void *closed)
{
	pid_t parent = getppid();
	int fd;

	for (fd = 3; fd < 64; fd++)
		close(fd);
	__atomic_store_n((bool *)closed, true, __ATOMIC_RELEASE);
	while (getppid() == parent)
		usleep(1000);
	return 0;
}

/*
 * Exits without a close. The kernel closes the files when the process has no memory any
 * more. The memory itself still exists, as in a VMM with many threads.
 */
static int leave_open(void)
{
	static long stack[8192];
	static struct guest guest;
	static struct device dev;
	static struct nvme nvme;
	static bool closed;

	if (guest_create(&guest, 16 << 20) || device_open(&dev, suite_device()) ||
	    guest_attach(&guest, &dev) || nvme_start(&nvme, &dev, &guest, 1, 16))
		return 1;
	if (nvme_dbbuf(&nvme))
		return 2;
	if (clone(keep_memory, stack + ARRAY_SIZE(stack), CLONE_VM, &closed) < 0)
		return 3;
	while (!__atomic_load_n(&closed, __ATOMIC_ACQUIRE))
		usleep(1000);
	return 0;
}

TEST(a_process_may_end_with_the_device_open)
{
	bool before = warned();
	int status;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(leave_open());
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(before, warned());
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
	suite_need_b();
}

SUITE_MAIN(need_all())
