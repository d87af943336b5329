// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVMe 1.4, chapter 7: interrupts (7.5) and resets (7.3). Also the asynchronous events of
 * chapter 5 (5.2, 5.14.1), because the controller reports them by itself, and the phase tag of
 * completions (4.6), for hosts that poll instead of waiting for an interrupt
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/irq.h"
#include "lib/nvme_fixture.h"

#define MSIX_MASK(v)	(0x2000 + 16 * (v) + 12)
#define PBA		0x3000
#define REG_INTMC	0x10

/* LBA Out of Range: without the phase tag, the status has a low byte of zeros. */
#define OUT_OF_RANGE	0x80
#define POLLED		20000
#define POLL_S		5

#define LOG_ERROR	1
#define LOG_SMART	2
#define RAE		(1 << 15)

#define EVENT_REGISTER	0x010000
#define EVENT_VALUE	0x010100
#define EVENT_TEMP	0x020101

FIXTURE(control) {
	struct nvme_fixture f;
	struct nvme_queue *q;
	unsigned char *buf;
};

FIXTURE_SETUP(control)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	self->q = &self->f.nvme.io[0];
	self->buf = guest_alloc(&self->f.guest, GUEST_PAGE);
}

FIXTURE_TEARDOWN(control)
{
	nvme_fixture_close(&self->f);
}

/* A command completes, and its entry is not taken. */
static int post(struct nvme *nvme, struct nvme_queue *q)
{
	struct nvme_cmd cmd = { .opcode = NVME_OP_FLUSH, .nsid = 1 };
	int i, ret = nvme_submit(nvme, q, &cmd);

	ret = ret < 0 ? ret : nvme_ring(nvme, q);
	for (i = 0; !ret && (q->cq[q->head].status & 1) != q->phase; i++) {
		if (i == 5000)
			return -ETIMEDOUT;
		usleep(1000);
	}
	/* The controller signals the interrupt after it has written the entry. */
	usleep(20000);
	return ret;
}

/* The status and the phase tag are in one word, which is read at once. */
static __u16 poll_status(struct nvme_queue *q)
{
	double until = clock_now() + POLL_S;
	volatile struct nvme_cqe *at = &q->cq[q->head];
	__u16 word;
	int i;

	do {
		for (i = 0; i < 4096; i++) {
			word = at->status;
			if ((word & 1) == q->phase)
				return word;
		}
	} while (clock_now() < until);
	return word;
}

/* The executor executes Compare, so the host polls while the completion is written. */
TEST_F_TIMEOUT(control, s4_6_the_phase_tag_comes_last, 120)
{
	struct nvme *nvme = &self->f.nvme;
	struct nvme_cmd cmd = {
		.opcode = NVME_OP_COMPARE, .nsid = 1,
		.prp1 = guest_iova(&self->f.guest, self->buf),
		.cdw10 = nvme->nr_lbas, .cdw11 = nvme->nr_lbas >> 32,
	};
	double until = clock_now() + 40;
	int i, early = 0;
	struct nvme_cqe cqe;
	__u16 word;

	for (i = 0; i < POLLED && clock_now() < until; i++) {
		ASSERT_LE(0, nvme_submit(nvme, self->q, &cmd));
		ASSERT_RET(0, nvme_ring(nvme, self->q));
		word = poll_status(self->q);
		ASSERT_EQ(self->q->phase, word & 1);
		early += (word >> 1 & 0xff) != OUT_OF_RANGE;
		ASSERT_EQ(1, nvme_poll(nvme, self->q, &cqe));
		EXPECT_EQ(OUT_OF_RANGE, cqe.status >> 1 & 0xff);
	}
	EXPECT_EQ(0, early)
		TH_LOG("%d of %d were seen before they were whole", early, i);
}

static int take(struct nvme *nvme, struct nvme_queue *q)
{
	struct nvme_cqe cqe;

	return nvme_wait(nvme, q, &cqe);
}

static int irqs(struct nvme_queue *q)
{
	usleep(50000);
	return nvme_irqs(q);
}

/* The ways to mask a vector. All of them must have the same effect. */
enum mask { BY_TABLE, BY_FUNCTION, BY_INTMS };

static int set_mask(struct nvme *nvme, struct region *config, enum mask how,
		    __u16 v, bool mask)
{
	__u16 control = mask ? 0xc000 : 0x8000;

	switch (how) {
	case BY_TABLE:
		return nvme_write32(nvme, MSIX_MASK(v), mask);
	case BY_FUNCTION:
		return region_write_all(config, 0xa2, &control, 2);
	default:
		return nvme_write32(nvme, mask ? REG_INTMS : REG_INTMC, 1 << v);
	}
}

FIXTURE(irq) {
	struct nvme_fixture f;
	struct region config;
	struct nvme_queue *q;
};

FIXTURE_VARIANT(irq) {
	enum mask how;
	__u32 index;
};

FIXTURE_VARIANT_ADD(irq, msix_table) {
	.how = BY_TABLE, .index = VFIO_PCI_MSIX_IRQ_INDEX
};

FIXTURE_VARIANT_ADD(irq, msix_function) {
	.how = BY_FUNCTION, .index = VFIO_PCI_MSIX_IRQ_INDEX
};

FIXTURE_VARIANT_ADD(irq, msi_intms) {
	.how = BY_INTMS, .index = VFIO_PCI_MSI_IRQ_INDEX
};

FIXTURE_SETUP(irq)
{
	int fds[2];

	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	ASSERT_RET(0, region_open(&self->config, &self->f.dev,
				  VFIO_PCI_CONFIG_REGION_INDEX));
	self->q = &self->f.nvme.io[0];
	if (variant->index == VFIO_PCI_MSIX_IRQ_INDEX)
		return;
	fds[0] = self->f.nvme.admin.eventfd;
	fds[1] = self->q->eventfd;
	ASSERT_RET(0, device_irq_disable(&self->f.dev, VFIO_PCI_MSIX_IRQ_INDEX));
	ASSERT_RET(0, device_irq_eventfds(&self->f.dev, variant->index, fds, 2));
}

FIXTURE_TEARDOWN(irq)
{
	nvme_fixture_close(&self->f);
}

#define MASK(on)							\
	ASSERT_RET(0, set_mask(&self->f.nvme, &self->config, variant->how, \
			       self->q->id, on))

TEST_F(irq, s7_5_an_entry_posted_while_masked)
{
	nvme_irqs(self->q);
	MASK(true);
	ASSERT_RET(0, post(&self->f.nvme, self->q));
	EXPECT_EQ(0, irqs(self->q));
	MASK(false);
	EXPECT_EQ(1, irqs(self->q));
	ASSERT_RET(0, take(&self->f.nvme, self->q));
	EXPECT_EQ(0, irqs(self->q));
}

/*
 * 7.5.1.1: without a cause there is no message. A pending MSI-X message is sent in any case
 * (7.5.1.2).
 */
TEST_F(irq, s7_5_1_1_an_entry_taken_while_masked)
{
	int due = variant->index == VFIO_PCI_MSIX_IRQ_INDEX;
	__u32 pending;

	nvme_irqs(self->q);
	MASK(true);
	ASSERT_RET(0, post(&self->f.nvme, self->q));
	ASSERT_RET(0, take(&self->f.nvme, self->q));
	ASSERT_RET(0, nvme_read32(&self->f.nvme, PBA, &pending));
	/* A late message of the admin queue can be pending, too. */
	EXPECT_EQ(due, pending >> self->q->id & 1);
	MASK(false);
	EXPECT_EQ(due, irqs(self->q));
	/* The next message comes, too. */
	ASSERT_RET(0, post(&self->f.nvme, self->q));
	EXPECT_EQ(1, irqs(self->q));
	ASSERT_RET(0, take(&self->f.nvme, self->q));
}

/*
 * 7.5.1.1: the host had a message for an entry, and leaves the entry. Clearing the mask bit
 * sends a message again, because a host may take a part of the entries only. MSI-X has no
 * such rule.
 */
TEST_F(irq, s7_5_1_1_an_entry_left_while_masked)
{
	int due = variant->index == VFIO_PCI_MSI_IRQ_INDEX;

	nvme_irqs(self->q);
	ASSERT_RET(0, post(&self->f.nvme, self->q));
	EXPECT_EQ(1, irqs(self->q));
	MASK(true);
	EXPECT_EQ(0, irqs(self->q));
	MASK(false);
	EXPECT_EQ(due, irqs(self->q));
	/* The bit is clear already. */
	MASK(false);
	EXPECT_EQ(0, irqs(self->q));
	ASSERT_RET(0, take(&self->f.nvme, self->q));
	MASK(true);
	MASK(false);
	EXPECT_EQ(0, irqs(self->q));
}

/* 5.5: a pending interrupt of a deleted queue is not that of the next queue. */
TEST_F(irq, s5_5_a_deletion_while_pending)
{
	struct nvme *nvme = &self->f.nvme;
	struct nvme_cmd cmd = { ADMIN_DELETE_SQ, .cdw10 = 1 };

	nvme_irqs(self->q);
	MASK(true);
	ASSERT_RET(0, post(nvme, self->q));
	ASSERT_EQ(0, nvme_do(nvme, &nvme->admin, &cmd, NULL));
	cmd.opcode = ADMIN_DELETE_CQ;
	ASSERT_EQ(0, nvme_do(nvme, &nvme->admin, &cmd, NULL));
	cmd.opcode = ADMIN_CREATE_CQ;
	cmd.cdw10 = 15 << 16 | 1;
	cmd.cdw11 = VECTOR(1) | IEN | PC;
	cmd.prp1 = guest_iova(nvme->guest, (void *)self->q->cq);
	ASSERT_EQ(0, nvme_do(nvme, &nvme->admin, &cmd, NULL));
	MASK(false);
	EXPECT_EQ(0, irqs(self->q));
}

/* 7.3.2: the reset deletes the queue and its interrupt. */
TEST_F(irq, s7_3_2_a_reset_while_pending)
{
	struct nvme *nvme = &self->f.nvme;
	__u32 pending;

	nvme_irqs(self->q);
	MASK(true);
	ASSERT_RET(0, post(nvme, self->q));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, 0));
	EXPECT_EQ(0, nvme_wait_csts(nvme, 0));
	ASSERT_RET(0, nvme_read32(nvme, PBA, &pending));
	EXPECT_EQ(0, pending);
	MASK(false);
	EXPECT_EQ(0, irqs(self->q));
}

/* A vector that the user triggers waits for its mask, but not for other eventfds. */
TEST_F(control, s7_5_a_trigger_ends_with_its_eventfds)
{
	const __u32 vector = 5, index = VFIO_PCI_MSIX_IRQ_INDEX;
	struct device *dev = &self->f.dev;
	struct nvme *nvme = &self->f.nvme;
	int fd = irq_open();

	ASSERT_LE(0, fd);
	irq_disable(dev, index);
	ASSERT_RET(0, irq_eventfds(dev, index, vector, &fd, 1));
	ASSERT_RET(0, nvme_write32(nvme, MSIX_MASK(vector), 1));
	ASSERT_RET(0, irq_fire(dev, index, vector, 1));
	ASSERT_RET(0, nvme_write32(nvme, MSIX_MASK(vector), 0));
	EXPECT_EQ(1, irq_taken(fd));

	ASSERT_RET(0, nvme_write32(nvme, MSIX_MASK(vector), 1));
	ASSERT_RET(0, irq_fire(dev, index, vector, 1));
	ASSERT_RET(0, irq_disable(dev, index));
	ASSERT_RET(0, irq_eventfds(dev, index, vector, &fd, 1));
	ASSERT_RET(0, nvme_write32(nvme, MSIX_MASK(vector), 0));
	EXPECT_EQ(0, irq_taken(fd));
	close(fd);
}

/* Returns the result of the next request for an event, or 0 if there is none in time. */
static __u32 event_within(struct nvme *nvme, double seconds)
{
	double until = clock_now() + seconds;
	struct nvme_cqe cqe;

	do {
		if (nvme_poll(nvme, &nvme->admin, &cqe) == 1)
			return cqe.result;
		usleep(1000);
	} while (clock_now() < until);
	return 0;
}

static __u32 event(struct nvme *nvme)
{
	return event_within(nvme, 5);
}

static __u32 no_event(struct nvme *nvme)
{
	return event_within(nvme, 0.1);
}

/* Reads the first @dwords of a log page, also while requests are outstanding. */
static int read_log(struct nvme *nvme, __u32 lid, int dwords, void *buf)
{
	struct nvme_cmd cmd = {
		.opcode = ADMIN_GET_LOG, .cdw10 = (dwords - 1U) << 16 | lid,
		.prp1 = guest_iova(nvme->guest, buf),
	};
	int ret = nvme_do(nvme, &nvme->admin, &cmd, NULL);

	/* An event after this time comes after the read of the log page. */
	usleep(20000);
	return ret;
}

/* Writes a doorbell value beyond the end of queue 1. */
static int bad_value(struct nvme *nvme)
{
	return nvme_write32(nvme, DOORBELLS + 2 * nvme->doorbell_stride, 0x40);
}

static int set_feature(struct nvme *nvme, __u32 fid, __u32 value)
{
	struct nvme_cmd cmd = {
		.opcode = ADMIN_SET_FEATURES, .cdw10 = fid, .cdw11 = value,
	};

	return nvme_do(nvme, &nvme->admin, &cmd, NULL);
}

/* The controller keeps an event until the host requests events. */
TEST_F(control, s5_2_an_event_before_its_request)
{
	struct nvme *nvme = &self->f.nvme;

	ASSERT_RET(0, bad_value(nvme));
	usleep(20000);
	ASSERT_LE(0, nvme_request_event(nvme));
	EXPECT_EQ(EVENT_VALUE, event(nvme));
}

/* The controller drops an event if the host reads its log page before it requests events. */
TEST_F(control, s5_2_a_read_clears_what_was_not_reported)
{
	struct nvme *nvme = &self->f.nvme;

	ASSERT_RET(0, bad_value(nvme));
	usleep(20000);
	ASSERT_EQ(0, read_log(nvme, LOG_ERROR, 16, self->buf));
	ASSERT_LE(0, nvme_request_event(nvme));
	EXPECT_EQ(0, no_event(nvme));
	/* The next event is reported. */
	ASSERT_RET(0, bad_value(nvme));
	EXPECT_EQ(EVENT_VALUE, event(nvme));
}

TEST_F(control, s5_14_retain_asynchronous_event)
{
	struct nvme *nvme = &self->f.nvme;

	ASSERT_RET(0, bad_value(nvme));
	usleep(20000);
	ASSERT_EQ(0, read_log(nvme, LOG_ERROR | RAE, 16, self->buf));
	ASSERT_LE(0, nvme_request_event(nvme));
	EXPECT_EQ(EVENT_VALUE, event(nvme));
}

/*
 * The event was reported once and is masked now. The read also clears events that came
 * meanwhile.
 */
TEST_F(control, s5_2_an_event_while_masked)
{
	struct nvme *nvme = &self->f.nvme;

	ASSERT_LE(0, nvme_request_event(nvme));
	ASSERT_RET(0, bad_value(nvme));
	EXPECT_EQ(EVENT_VALUE, event(nvme));
	ASSERT_LE(0, nvme_request_event(nvme));
	ASSERT_RET(0, bad_value(nvme));
	EXPECT_EQ(0, no_event(nvme));
	/* An event of another type, which is not masked */
	ASSERT_EQ(0, read_log(nvme, LOG_SMART, 128, self->buf));
	EXPECT_EQ(0, no_event(nvme));
	ASSERT_EQ(0, read_log(nvme, LOG_ERROR | RAE, 16, self->buf));
	EXPECT_EQ(0, no_event(nvme));
	ASSERT_EQ(0, read_log(nvme, LOG_ERROR, 16, self->buf));
	EXPECT_EQ(0, no_event(nvme));
	ASSERT_RET(0, bad_value(nvme));
	EXPECT_EQ(EVENT_VALUE, event(nvme));
}

/* A read of a part of the page is enough. A read that fails clears nothing. */
TEST_F(control, s5_14_a_read_that_fails_clears_nothing)
{
	struct nvme *nvme = &self->f.nvme;
	struct nvme_cmd cmd = {
		.opcode = ADMIN_GET_LOG, .cdw10 = 15 << 16 | LOG_ERROR,
		.prp1 = FAR,
	};

	ASSERT_RET(0, bad_value(nvme));
	usleep(20000);
	EXPECT_EQ(ST_DATA_TRANSFER,
		  nvme_do(nvme, &nvme->admin, &cmd, NULL) & ST_CODE);
	ASSERT_LE(0, nvme_request_event(nvme));
	EXPECT_EQ(EVENT_VALUE, event(nvme));
}

TEST_F(control, s5_14_1_2_temperature)
{
	struct nvme *nvme = &self->f.nvme;

	/* The host has not enabled this event. The warning stands, and no event is reported. */
	ASSERT_EQ(0, set_feature(nvme, 4, 300));
	ASSERT_EQ(0, read_log(nvme, LOG_SMART | RAE, 128, self->buf));
	EXPECT_EQ(2, self->buf[0]);
	ASSERT_EQ(0, set_feature(nvme, 11, 2));
	ASSERT_EQ(0, set_feature(nvme, 4, 301));
	usleep(20000);
	ASSERT_LE(0, nvme_request_event(nvme));
	EXPECT_EQ(EVENT_TEMP, event(nvme));
	ASSERT_EQ(0, set_feature(nvme, 4, 343));
	ASSERT_EQ(0, read_log(nvme, LOG_SMART, 128, self->buf));
	EXPECT_EQ(0, self->buf[0]);
}

/* 5.21.1.11: a warning that stands when its event is enabled is reported. */
TEST_F(control, s5_21_1_11_a_warning_before_its_event)
{
	struct nvme *nvme = &self->f.nvme;

	ASSERT_LE(0, nvme_request_event(nvme));
	ASSERT_EQ(0, set_feature(nvme, 4, 300));
	EXPECT_EQ(0, no_event(nvme));
	/* The event of another warning */
	ASSERT_EQ(0, set_feature(nvme, 11, 1));
	EXPECT_EQ(0, no_event(nvme));
	ASSERT_EQ(0, set_feature(nvme, 11, 2));
	EXPECT_EQ(EVENT_TEMP, event(nvme));
}

/* The host disables an event before it was reported. */
TEST_F(control, s5_21_1_11_an_event_that_is_disabled)
{
	struct nvme *nvme = &self->f.nvme;

	ASSERT_EQ(0, set_feature(nvme, 11, 2));
	ASSERT_EQ(0, set_feature(nvme, 4, 300));
	ASSERT_EQ(0, set_feature(nvme, 11, 0));
	ASSERT_LE(0, nvme_request_event(nvme));
	EXPECT_EQ(0, no_event(nvme));
}

/* Bad doorbell values cause an event, and an entry without a command (5.14.1.1). */
static const struct {
	const char *name;
	__u32 doorbell;		/* two doorbells for each queue */
	__u32 value;
	__u32 event;
	__u16 status;
} doorbells[] = {
	{ "a submission queue that was not created", 2 * 60, 1, EVENT_REGISTER,
	  ST_QUEUE_ID },
	{ "a completion queue that was not created", 2 * 60 + 1, 1, EVENT_REGISTER,
	  ST_QUEUE_ID },
	{ "the last queue", 2 * 64, 1, EVENT_REGISTER, ST_QUEUE_ID },
	{ "a queue that cannot be", 2 * 65, 1, EVENT_REGISTER, ST_QUEUE_ID },
	{ "queue 70", 2 * 70, 1, EVENT_REGISTER, ST_QUEUE_ID },
	{ "the last doorbell that there is room for", 1023, 1, EVENT_REGISTER,
	  ST_QUEUE_ID },
	{ "a tail beyond the end", 2, 16, EVENT_VALUE, ST_INVALID_FIELD },
	{ "a tail of FFFFh", 2, 0xffff, EVENT_VALUE, ST_INVALID_FIELD },
	{ "a head beyond the end", 3, 16, EVENT_VALUE, ST_INVALID_FIELD },
	{ "a head in front of the entries", 3, 1, EVENT_VALUE, ST_INVALID_FIELD },
};

TEST_F(control, s5_2_doorbells)
{
	struct nvme *nvme = &self->f.nvme;
	__u64 count, before;
	__u16 field[4];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(doorbells); i++) {
		ASSERT_EQ(0, read_log(nvme, LOG_ERROR, 16, self->buf));
		memcpy(&before, self->buf, sizeof(before));
		ASSERT_LE(0, nvme_request_event(nvme));
		ASSERT_RET(0, nvme_write32(nvme, DOORBELLS + doorbells[i].doorbell *
					   nvme->doorbell_stride,
					   doorbells[i].value));
		EXPECT_EQ(doorbells[i].event, event(nvme))
			TH_LOG("%s", doorbells[i].name);
		ASSERT_EQ(0, read_log(nvme, LOG_ERROR, 16, self->buf));
		memcpy(&count, self->buf, sizeof(count));
		memcpy(field, self->buf + 8, sizeof(field));
		EXPECT_EQ(before + 1, count)
			TH_LOG("%s: no entry", doorbells[i].name);
		EXPECT_EQ(0xffff, field[0]);			/* SQID */
		EXPECT_EQ(0xffff, field[1]);			/* CID */
		EXPECT_EQ(doorbells[i].status, field[2] >> 1);
		EXPECT_EQ(0xffff, field[3]);			/* location */
	}
	EXPECT_EQ(0, nvme_flush(nvme));
}

/*
 * 5.2: a tail that adds more commands than the queue has room for is invalid. The commands of
 * the earlier tail are executed. The device is stopped, so it fetches none meanwhile.
 */
TEST_F(control, s5_2_a_tail_that_goes_over_the_head)
{
	struct nvme_cmd cmd = { .opcode = NVME_OP_FLUSH, .nsid = 1 };
	static const __u32 tails[] = { 0, 1, 14 };
	struct nvme *nvme = &self->f.nvme;
	struct nvme_cqe cqe;
	size_t i;

	ASSERT_LE(0, nvme_request_event(nvme));
	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_STOPPED));
	for (i = 0; i < 15; i++)
		ASSERT_LE(0, nvme_submit(nvme, self->q, &cmd));
	ASSERT_RET(0, nvme_ring(nvme, self->q));
	for (i = 0; i < ARRAY_SIZE(tails); i++)
		ASSERT_RET(0, nvme_write32(nvme, DOORBELLS + 2 * nvme->doorbell_stride,
					   tails[i]));
	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_RUNNING));
	EXPECT_EQ(EVENT_VALUE, event(nvme));
	for (i = 0; i < 15; i++) {
		ASSERT_RET_FOR(0, nvme_wait(nvme, self->q, &cqe), "command %zu", i);
		EXPECT_EQ(0, cqe.status >> 1);
	}
	EXPECT_EQ(0, nvme_flush(nvme));
}

/* 5.1: Abort completes a request for an event with the status Abort Requested. */
TEST_F(control, s5_1_abort_a_request)
{
	struct nvme *nvme = &self->f.nvme;
	struct nvme_cmd cmd = { .opcode = ADMIN_ABORT };
	int cid = nvme_request_event(nvme), i, seen = 0;
	struct nvme_cqe cqe;

	ASSERT_LE(0, cid);
	cmd.cdw10 = cid << 16;
	ASSERT_LE(0, nvme_submit(nvme, &nvme->admin, &cmd));
	ASSERT_RET(0, nvme_ring(nvme, &nvme->admin));
	for (i = 0; i < 2; i++) {
		ASSERT_RET(0, nvme_wait(nvme, &nvme->admin, &cqe));
		if (cqe.cid == cid) {
			EXPECT_EQ(ST_ABORTED, cqe.status >> 1 & ST_CODE);
			seen++;
		} else {
			EXPECT_EQ(0, cqe.status >> 1);
			EXPECT_EQ(0, cqe.result & 1);
		}
	}
	EXPECT_EQ(1, seen);
}

/* One more Asynchronous Event Request than AERL permits (5.2) */
TEST_F(control, s5_2_requests_beyond_the_limit)
{
	const struct nvme_case fifth = {
		"5.2", "the fifth", { ADMIN_AER }, ST_AER_LIMIT, AT_NONE, DATA_OWN,
	};
	struct nvme_cases c;
	int i;

	ASSERT_EQ(0, nvme_cases_init(&c, &self->f.nvme, &self->f.nvme.admin));
	for (i = 0; i < 4; i++)
		ASSERT_LE(0, nvme_request_event(&self->f.nvme));
	EXPECT_EQ(0, nvme_case_try(&c, &fifth))
		TH_LOG("%s", c.why);
}

/* 5.2: a request for an event uses no namespace. */
TEST_F(control, s5_2_requests_that_are_wrong)
{
	static const struct nvme_case cases[] = {
		{ "5.2", "of namespace 1", { ADMIN_AER, .nsid = 1 },
		  ST_INVALID_FIELD, AT_NSID },
		{ "5.2", "of all namespaces", { ADMIN_AER, .nsid = ~0U },
		  ST_INVALID_FIELD, AT_NSID },
		{ "5.2", "fused", { ADMIN_AER, 1 }, ST_INVALID_FIELD, AT_FLAGS },
		{ "5.2", "with an SGL", { ADMIN_AER, 1 << 6 },
		  ST_INVALID_FIELD, AT_PSDT },
	};
	struct nvme_cases c;

	ASSERT_EQ(0, nvme_cases_init(&c, &self->f.nvme, &self->f.nvme.admin));
	try_cases(_metadata, &c, cases, ARRAY_SIZE(cases));
}

SUITE_MAIN(suite_need_mnvme())
