// SPDX-License-Identifier: GPL-2.0-only
/*
 * A completion queue whose memory does not answer. Two submission queues use it.
 *
 * A completion waits for this memory alone. It is never written when the function may not do
 * DMA, and no entry that was not posted looks like a completion.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "lib/clock.h"
#include "lib/fixture.h"
#include "lib/nvme.h"
#include "lib/nvme_fixture.h"
#include "lib/nvme_regs.h"
#include "lib/nvme_third.h"
#include "lib/slow.h"
#include "lib/waiter.h"

#define CQ_IOVA		0x100000000ULL
#define DATA_IOVA	0x100001000ULL
#define REACH		5.0	/* seconds until the controller accesses the memory */
#define FOURTH		4	/* identifier of the second submission queue */
#define TOO_SLOW	"two commands take more than a turn of their queue here"

FIXTURE(posts) {
	struct nvme_fixture f;
	struct slow cq;
	struct slow data;
	struct nvme_cmd *sq;	/* commands of both submission queues, zeros at first */
	volatile struct nvme_cqe *cqe;
};

static void make_missing(struct __test_metadata *_metadata, struct nvme_fixture *f,
			 struct slow *slow, __u64 iova)
{
	ASSERT_RET(0, slow_create(slow, SLOW_UFFD, GUEST_PAGE));
	ASSERT_RET(0, slow_map(slow, 0, NULL, 0));
	ASSERT_RET(0, device_map(&f->dev, slow->mem, iova, GUEST_PAGE));
}

static int create_fourth(struct nvme *nvme, __u64 sq)
{
	struct nvme_cmd create = {
		.opcode = ADMIN_CREATE_SQ, .prp1 = sq, .cdw10 = 15 << 16 | FOURTH,
		.cdw11 = THIRD << 16 | 1,
	};

	return nvme_do(nvme, &nvme->admin, &create, NULL);
}

static int ring_fourth(struct nvme *nvme, __u32 tail)
{
	return nvme_write32(nvme, DOORBELLS + 2 * FOURTH * nvme->doorbell_stride, tail);
}

static int delete_sq(struct nvme *nvme, __u16 id)
{
	struct nvme_cmd delete = { .opcode = ADMIN_DELETE_SQ, .cdw10 = id };

	return nvme_do(nvme, &nvme->admin, &delete, NULL);
}

/* Both submission queues have commands of zeros, which complete, in the same memory. */
static void create_queues(struct __test_metadata *_metadata, struct _test_data_posts *self)
{
	struct nvme_fixture *f = &self->f;
	__u64 sq;

	self->sq = guest_alloc(&f->guest, GUEST_PAGE);
	memset(self->sq, 0, GUEST_PAGE);
	sq = guest_iova(&f->guest, self->sq);
	make_missing(_metadata, f, &self->cq, CQ_IOVA);
	make_missing(_metadata, f, &self->data, DATA_IOVA);
	self->cqe = (void *)self->cq.mem;
	ASSERT_EQ(0, create_third(&f->nvme, sq, CQ_IOVA));
	ASSERT_EQ(0, create_fourth(&f->nvme, sq));
}

static void destroy_memory(struct _test_data_posts *self)
{
	slow_destroy(&self->data);
	slow_destroy(&self->cq);
}

FIXTURE_SETUP(posts)
{
	if (slow_missing(SLOW_UFFD))
		SKIP(return, "%s", slow_missing(SLOW_UFFD));
	nvme_fixture_open(_metadata, &self->f, 1 << 20);
	create_queues(_metadata, self);
}

FIXTURE_TEARDOWN(posts)
{
	destroy_memory(self);
	nvme_fixture_close(&self->f);
}

/*
 * Makes the second command a Read to memory that does not answer. An executor executes both in
 * one batch, because Write Zeroes is not for the thread that writes the doorbell. But on a slow
 * kernel the first command may take the whole turn of the queue, and ends the batch.
 */
static void second_waits_for_data(struct nvme_cmd *sq)
{
	sq[0] = (struct nvme_cmd){ .opcode = NVME_OP_WRITE_ZEROES, .nsid = 1 };
	sq[1] = (struct nvme_cmd){
		.opcode = NVME_OP_READ, .nsid = 1, .prp1 = DATA_IOVA, .cdw12 = 7, .cid = 1,
	};
}

/* Two completions of the third submission queue wait, longer than for the first attempt. */
static void two_completions_wait(struct __test_metadata *_metadata, struct _test_data_posts *self)
{
	ASSERT_RET(0, ring_third(&self->f.nvme, 2));
	ASSERT_EQ(1, slow_waiting(&self->cq, waiter_patience(REACH)));
	usleep(waiter_patience(100000));
}

static void write_command_register(struct __test_metadata *_metadata, struct device *dev,
				   __u16 value)
{
	struct region config;

	ASSERT_RET(0, region_open(&config, dev, VFIO_PCI_CONFIG_REGION_INDEX));
	ASSERT_RET(0, region_write_all(&config, PCI_COMMAND, &value, sizeof(value)));
}

/* The next command of the same queue waits for its data. */
TEST_F(posts, a_completion_does_not_wait_for_other_memory)
{
	struct nvme *nvme = &self->f.nvme;

	second_waits_for_data(self->sq);
	ASSERT_RET(0, ring_third(nvme, 2));
	if (slow_waiting(&self->data, waiter_patience(REACH)) != 1)
		SKIP(return, TOO_SLOW);
	ASSERT_EQ(1, slow_waiting(&self->cq, waiter_patience(REACH)));
	/* Longer than the controller waits before it does other work. */
	usleep(waiter_patience(100000));
	ASSERT_RET(0, slow_answer(&self->cq));
	EXPECT_TRUE(third_completes(&self->cqe[0], waiter_patience(REACH)))
		TH_LOG("the completion waits for the data of another command");
	ASSERT_RET(0, slow_answer(&self->data));
	EXPECT_TRUE(third_completes(&self->cqe[1], waiter_patience(REACH)));
	EXPECT_EQ(0, self->cqe[1].status >> 1);
}

/*
 * Two completions of the third submission queue wait, and the host deletes this queue. Then
 * the fourth posts one completion. The host must not take the entry after it for another.
 */
TEST_F(posts, a_deleted_queue_leaves_no_completion)
{
	struct nvme *nvme = &self->f.nvme;

	two_completions_wait(_metadata, self);
	ASSERT_EQ(0, delete_sq(nvme, THIRD));
	ASSERT_RET(0, ring_fourth(nvme, 1));
	usleep(waiter_patience(30000));
	ASSERT_RET(0, slow_answer(&self->cq));
	ASSERT_TRUE(third_completes(&self->cqe[0], waiter_patience(REACH)));
	/* Longer than the pause before an attempt */
	usleep(waiter_patience(200000));
	EXPECT_EQ(FOURTH, self->cqe[0].sq_id);
	EXPECT_EQ(0, self->cqe[1].status & 1)
		TH_LOG("an entry of the deleted queue looks like a completion");
	ASSERT_RET(0, ring_fourth(nvme, 2));
	EXPECT_TRUE(third_completes(&self->cqe[1], waiter_patience(REACH)));
	EXPECT_EQ(FOURTH, self->cqe[1].sq_id);
}

/* As above, but the device stops before the fourth queue posts. Its target knows nothing. */
TEST_F(posts, a_stop_leaves_no_entry_of_a_deleted_queue)
{
	struct nvme *nvme = &self->f.nvme;

	two_completions_wait(_metadata, self);
	ASSERT_EQ(0, delete_sq(nvme, THIRD));
	ASSERT_RET(0, slow_answer(&self->cq));
	usleep(waiter_patience(200000));
	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_STOPPED));
	EXPECT_EQ(0, self->cqe[0].status & 1);
	EXPECT_EQ(0, self->cqe[1].status & 1)
		TH_LOG("an entry of the deleted queue looks like a completion");
	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_RUNNING));
}

/*
 * A completion waits, and the host clears Bus Master. A stop must not write the completion, and
 * a state does not contain it. So the controller fails, and the host has to reset it.
 */
TEST_F(posts, a_stop_without_bus_master_writes_nothing)
{
	struct nvme *nvme = &self->f.nvme;
	__u32 csts = 0;

	ASSERT_RET(0, ring_third(nvme, 1));
	ASSERT_EQ(1, slow_waiting(&self->cq, waiter_patience(REACH)));
	write_command_register(_metadata, &self->f.dev, PCI_COMMAND_MEMORY);
	ASSERT_RET(0, slow_answer(&self->cq));
	usleep(waiter_patience(200000));
	EXPECT_EQ(0, self->cqe[0].status & 1);
	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_STOPPED));
	EXPECT_EQ(0, self->cqe[0].status & 1)
		TH_LOG("the stop wrote to guest memory");
	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_RUNNING));
	ASSERT_RET(0, nvme_read32(nvme, REG_CSTS, &csts));
	EXPECT_EQ(CSTS_CFS, csts & CSTS_CFS);
}

/*
 * A completion waits, and the host resets the device. The device has Bus Master off now, and a
 * stop must not take the completion for one that is still to be posted.
 */
TEST_F(posts, a_reset_forgets_what_was_not_posted)
{
	__u32 csts = 0;

	two_completions_wait(_metadata, self);
	ASSERT_RET(0, device_reset(&self->f.dev));
	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_STOPPED));
	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_RUNNING));
	write_command_register(_metadata, &self->f.dev, PCI_COMMAND_MEMORY);
	ASSERT_RET(0, nvme_read32(&self->f.nvme, REG_CSTS, &csts));
	EXPECT_EQ(0, csts & CSTS_CFS);
}

/* Without a completion that waits, Bus Master does not matter. */
TEST_F(posts, a_stop_without_bus_master_is_no_failure)
{
	struct nvme *nvme = &self->f.nvme;
	__u32 csts = 0;

	write_command_register(_metadata, &self->f.dev, PCI_COMMAND_MEMORY);
	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_STOPPED));
	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_RUNNING));
	ASSERT_RET(0, nvme_read32(nvme, REG_CSTS, &csts));
	EXPECT_EQ(0, csts & CSTS_CFS);
}

#define ATTEMPTS	8

/*
 * The fourth submission queue executes a batch that ends with a post to the third completion
 * queue, while the host clears Bus Master. The post must not begin after the controller has
 * given up the access of this completion queue.
 */
TEST_F_TIMEOUT(posts, no_completion_after_bus_master, 120)
{
	struct nvme *nvme = &self->f.nvme;
	struct device *dev = &self->f.dev;
	int i;

	for (i = 0; i < ATTEMPTS; i++) {
		second_waits_for_data(self->sq);
		ASSERT_RET(0, ring_fourth(nvme, 2));
		/* The command waits for some milliseconds, and then the batch ends. */
		if (slow_waiting(&self->data, waiter_patience(REACH)) != 1)
			SKIP(return, TOO_SLOW);
		write_command_register(_metadata, dev, PCI_COMMAND_MEMORY);
		ASSERT_RET(0, slow_answer(&self->cq));
		usleep(waiter_patience(100000));
		ASSERT_EQ(0, self->cqe[0].status | self->cqe[0].sq_id)
			TH_LOG("an entry was written in attempt %d", i);

		destroy_memory(self);
		ASSERT_RET(0, device_reset(dev));
		ASSERT_RET(0, device_unmap(dev, CQ_IOVA, GUEST_PAGE));
		ASSERT_RET(0, device_unmap(dev, DATA_IOVA, GUEST_PAGE));
		self->f.guest.used = 0;
		ASSERT_EQ(0, nvme_start(nvme, dev, &self->f.guest, 1, 16));
		create_queues(_metadata, self);
	}
}

#define BATCH		13	/* so that the last two commands are not at the end of the queue */
#define SPLIT_ENTRIES	(2 * GUEST_PAGE / sizeof(struct nvme_cqe))
#define SPLIT_LAST	(SPLIT_ENTRIES / 2 - 1)	/* the last entry in the first page */
#define SPLIT_TRIES	3	/* because a busy machine may post them one by one */

/* Completes commands of the third queue, until only one entry of the first page is free. */
static void fill_page(struct __test_metadata *_metadata, struct nvme *nvme,
		      volatile struct nvme_cqe *cqe)
{
	__u32 done, n;

	for (done = 0; done < SPLIT_LAST; done += n) {
		n = SPLIT_LAST - done < BATCH ? SPLIT_LAST - done : BATCH;
		ASSERT_RET(0, ring_third(nvme, (done + n) % (BATCH + 1)));
		ASSERT_TRUE(third_completes(&cqe[done + n - 1], waiter_patience(REACH)));
	}
}

/*
 * Two commands complete together. The first entry is in a page that is present, and the second in
 * a page that is not. Returns whether the host can see the first entry before the page is present.
 */
static bool is_seen_early(struct __test_metadata *_metadata, struct nvme_fixture *f,
			  struct slow *slow, __u64 sq)
{
	volatile struct nvme_cqe *cqe = (void *)(slow->mem - SLOW_PAGE);
	bool early;

	ASSERT_EQ(0, create_third_sized(&f->nvme, sq, BATCH + 1, CQ_IOVA, SPLIT_ENTRIES));
	fill_page(_metadata, &f->nvme, cqe);
	ASSERT_RET(0, ring_third(&f->nvme, (SPLIT_LAST + 2) % (BATCH + 1)));
	ASSERT_EQ(1, slow_waiting(slow, waiter_patience(REACH)));
	usleep(waiter_patience(30000));
	early = cqe[SPLIT_LAST].status & 1;
	ASSERT_RET(0, slow_answer(slow));
	EXPECT_TRUE(third_completes(&cqe[SPLIT_LAST], waiter_patience(REACH)));
	EXPECT_TRUE(third_completes(&cqe[SPLIT_LAST + 1], waiter_patience(REACH)));
	EXPECT_EQ(0, delete_third(&f->nvme));
	return early;
}

FIXTURE(split) {
	struct nvme_fixture f;
	__u64 sq;
};

FIXTURE_SETUP(split)
{
	void *sq;

	if (slow_missing(SLOW_UFFD))
		SKIP(return, "%s", slow_missing(SLOW_UFFD));
	nvme_fixture_open(_metadata, &self->f, 1 << 20);
	sq = guest_alloc(&self->f.guest, GUEST_PAGE);
	memset(sq, 0, GUEST_PAGE);
	self->sq = guest_iova(&self->f.guest, sq);
}

FIXTURE_TEARDOWN(split)
{
	nvme_fixture_close(&self->f);
}

/* The host may take both entries as soon as it sees the first, because the tail is behind both. */
TEST_F_TIMEOUT(split, the_first_phase_tag_is_written_last, 120)
{
	struct device *dev = &self->f.dev;
	bool early = true;
	struct slow slow;
	int i;

	for (i = 0; early && i < SPLIT_TRIES; i++) {
		ASSERT_RET(0, slow_create(&slow, SLOW_UFFD, GUEST_PAGE));
		ASSERT_RET(0, slow_map(&slow, 0, NULL, 0));
		ASSERT_RET(0, device_map(dev, slow.mem - SLOW_PAGE, CQ_IOVA, 2 * GUEST_PAGE));
		early = is_seen_early(_metadata, &self->f, &slow, self->sq);
		ASSERT_RET(0, device_unmap(dev, CQ_IOVA, 2 * GUEST_PAGE));
		slow_destroy(&slow);
	}
	EXPECT_FALSE(early);
}

/*
 * A completion queue of two entries, so that it is full after each completion. EventIdx of its
 * doorbell is in memory that cannot be written for a while.
 */
FIXTURE(armed) {
	struct nvme_fixture f;
	struct slow idx;
	volatile struct nvme_cqe *cqe;
};

#define SQ_DOORBELL	(2 * THIRD)
#define CQ_DOORBELL	(2 * THIRD + 1)
#define COMMANDS	5

FIXTURE_SETUP(armed)
{
	struct nvme_fixture *f = &self->f;
	struct nvme *nvme = &f->nvme;
	struct nvme_cmd *sq;
	__u32 *shadow;
	int i;

	if (slow_missing(SLOW_UFFD_WP))
		SKIP(return, "%s", slow_missing(SLOW_UFFD_WP));
	nvme_fixture_open(_metadata, f, 1 << 20);
	shadow = guest_alloc(&f->guest, GUEST_PAGE);
	sq = guest_alloc(&f->guest, GUEST_PAGE);
	self->cqe = guest_alloc(&f->guest, GUEST_PAGE);
	memset(shadow, 0, GUEST_PAGE);
	memset(sq, 0, GUEST_PAGE);
	memset((void *)self->cqe, 0, GUEST_PAGE);
	for (i = 0; i < COMMANDS; i++)
		sq[i].cid = i + 1;

	ASSERT_RET(0, slow_create(&self->idx, SLOW_UFFD_WP, GUEST_PAGE));
	ASSERT_RET(0, slow_map(&self->idx, 0, NULL, 0));
	ASSERT_RET(0, slow_answer(&self->idx));
	ASSERT_RET(0, device_map(&f->dev, self->idx.mem, DATA_IOVA, GUEST_PAGE));
	ASSERT_EQ(0, nvme_dbbuf_at(nvme, guest_iova(&f->guest, shadow), DATA_IOVA));
	nvme->shadow = shadow;
	nvme->event_idx = (void *)self->idx.mem;
	ASSERT_EQ(0, create_third_sized(nvme, guest_iova(&f->guest, sq), 8,
					guest_iova(&f->guest, (void *)self->cqe), 2));
}

FIXTURE_TEARDOWN(armed)
{
	slow_destroy(&self->idx);
	nvme_fixture_close(&self->f);
}

/* Writes a doorbell as a host does, the register only if the value passes EventIdx. */
static void ring(struct __test_metadata *_metadata, struct nvme *nvme, __u32 doorbell,
		 __u16 value)
{
	if (nvme_passes_event_idx(nvme, doorbell, value))
		ASSERT_RET(0, nvme_write32(nvme, DOORBELLS + doorbell * nvme->doorbell_stride,
					   value));
}

/* Waits until the entry is that of the command. */
static bool completed(volatile struct nvme_cqe *cqe, __u16 cid)
{
	double until = clock_now() + waiter_patience(REACH);

	while (cqe->cid != cid && clock_now() < until)
		usleep(1000);
	return cqe->cid == cid;
}

/* Two commands are complete, and the controller waits to write EventIdx for the second one. */
static void wait_for_event_idx(struct __test_metadata *_metadata, struct _test_data_armed *self)
{
	struct nvme *nvme = &self->f.nvme;

	ring(_metadata, nvme, SQ_DOORBELL, COMMANDS);
	ASSERT_TRUE(completed(&self->cqe[0], 1));
	/* The controller finds the queue full. */
	usleep(waiter_patience(100000));
	ASSERT_RET(0, slow_again(&self->idx));
	ring(_metadata, nvme, CQ_DOORBELL, 1);
	ASSERT_TRUE(completed(&self->cqe[1], 2));
	ASSERT_EQ(1, slow_waiting(&self->idx, waiter_patience(REACH)));
	usleep(waiter_patience(100000));
}

TEST_F(armed, a_completion_does_not_wait_for_event_idx)
{
	struct nvme *nvme = &self->f.nvme;

	wait_for_event_idx(_metadata, self);
	nvme_passes_event_idx(nvme, CQ_DOORBELL, 0);
	ASSERT_RET(0, nvme_write32(nvme, DOORBELLS + CQ_DOORBELL * nvme->doorbell_stride, 0));
	EXPECT_TRUE(completed(&self->cqe[0], 3))
		TH_LOG("the completion waits for EventIdx");
	EXPECT_RET(0, v1_set_state(&self->f.v1, V1_STOPPED));
	ASSERT_RET(0, slow_answer(&self->idx));
	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_RUNNING));
}

/* The write that waited has stored another value than the controller had written before. */
TEST_F(armed, event_idx_is_written_again_after_a_wait)
{
	struct nvme *nvme = &self->f.nvme;

	wait_for_event_idx(_metadata, self);
	ring(_metadata, nvme, CQ_DOORBELL, 0);
	ASSERT_RET(0, slow_answer(&self->idx));
	ASSERT_TRUE(completed(&self->cqe[0], 3));
	usleep(waiter_patience(100000));
	ring(_metadata, nvme, CQ_DOORBELL, 1);
	EXPECT_TRUE(completed(&self->cqe[1], 4))
		TH_LOG("the doorbell was lost");
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
}

SUITE_MAIN(need_all())
