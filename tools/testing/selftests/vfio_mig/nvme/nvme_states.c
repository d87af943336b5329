// SPDX-License-Identifier: GPL-2.0-only
/*
 * A controller migrates in any state, by both protocols. The state has requests for events,
 * features, counters, masked interrupts and commands that were not executed. The controller
 * can be disabled, in reset, shut down or failed.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fixture.h"
#include "lib/flood.h"
#include "lib/nvme_errors.h"
#include "lib/v2.h"

#define MSIX_TABLE		0x2000
#define MSIX_PBA		0x3000

#define PCI_COMMAND_ALL		6
#define PCI_CAP_EXP		0x10
#define PCI_POWER		0x44

#define ADMIN_CREATE_SQ		0x01
#define ADMIN_GET_LOG		0x02
#define ADMIN_CREATE_CQ		0x05
#define ADMIN_SET_FEATURES	0x09
#define ADMIN_GET_FEATURES	0x0a
#define ADMIN_AER		0x0c

/* Results of requests for events: an invalid doorbell, and the temperature */
#define EVENT_DOORBELL		0x010100
#define EVENT_TEMPERATURE	0x020101

#define DELAY			"/sys/module/mnvme/parameters/delay_us"

struct side {
	struct device dev;
	struct v1 v1;
	struct v2 v2;
};

FIXTURE(states) {
	struct side side[2];
	struct side *from;
	struct side *to;
	struct guest guest;
	struct nvme nvme;
	struct nvme_queue *q;
	unsigned char *buf;
};

FIXTURE_VARIANT(states) {
	bool v2;
};

FIXTURE_VARIANT_ADD(states, v1) { .v2 = false };
FIXTURE_VARIANT_ADD(states, v2) { .v2 = true };

FIXTURE_SETUP(states)
{
	int i;

	ASSERT_RET(0, guest_create(&self->guest, 16 << 20));
	for (i = 0; i < 2; i++) {
		fixture_open(_metadata, i ? suite_device_b() : suite_device(),
			     &self->side[i].dev, &self->side[i].v1);
		if (variant->v2)
			ASSERT_RET(0, v2_open(&self->side[i].v2,
					      &self->side[i].dev));
		ASSERT_RET(0, guest_attach(&self->guest, &self->side[i].dev));
	}
	self->from = &self->side[0];
	self->to = &self->side[1];
	ASSERT_EQ(0, nvme_start(&self->nvme, &self->from->dev, &self->guest, 1,
				64));
	self->q = &self->nvme.io[0];
	self->buf = guest_alloc(&self->guest, FLOOD_BYTES);
}

FIXTURE_TEARDOWN(states)
{
	int i;

	nvme_close(&self->nvme);
	for (i = 0; i < 2; i++) {
		if (variant->v2)
			v2_close(&self->side[i].v2);
		fixture_close(&self->side[i].dev, &self->side[i].v1);
	}
	guest_destroy(&self->guest);
}

static int stop(struct side *s, bool v2)
{
	return v2 ? v2_set_state(&s->v2, V2_STOP) :
		    v1_set_state(&s->v1, V1_STOPPED);
}

static int run(struct side *s, bool v2)
{
	return v2 ? v2_set_state(&s->v2, V2_RUNNING) :
		    v1_set_state(&s->v1, V1_RUNNING);
}

static int transfer(struct side *from, struct side *to, bool v2,
		    struct buffer *s)
{
	int ret;

	if (v2) {
		ret = v2_save(&from->v2, s, 0);
		return ret ? ret : v2_load(&to->v2, s, 0);
	}
	ret = v1_save(&from->v1, s);
	return ret ? ret : v1_load(&to->v1, s, 0);
}

/* Moves from running or stopped to the target, which is stopped, with the guest's interrupts. */
static int move(struct nvme *nvme, struct side *from, struct side *to, bool v2)
{
	struct buffer s = { 0 };
	int ret = transfer(from, to, v2, &s);

	buffer_free(&s);
	if (!ret)
		ret = stop(from, v2);
	if (!ret)
		ret = stop(to, v2);
	return ret ? ret : nvme_adopt(nvme, &to->dev);
}

#define MOVE() do {							\
	ASSERT_RET(0, move(&self->nvme, self->from, self->to,		\
			   variant->v2));				\
	ASSERT_RET(0, run(self->to, variant->v2));			\
} while (0)

/* The controller can be started, whatever its state, and works. */
static void check_restart(struct __test_metadata *_metadata, struct nvme *nvme)
{
	struct device *dev = nvme->dev;
	struct guest *guest = nvme->guest;

	ASSERT_RET(0, nvme_write32(nvme, REG_CC, 0));
	ASSERT_EQ(0, nvme_wait_csts(nvme, 0));
	nvme_close(nvme);
	ASSERT_EQ(0, nvme_start(nvme, dev, guest, 1, 16));
	EXPECT_EQ(0, nvme_flush(nvme));
}

static int admin(struct nvme *nvme, __u8 opcode, __u32 nsid, __u32 cdw10,
		 __u32 cdw11, const void *buf, __u32 *result)
{
	struct nvme_cmd cmd = {
		.opcode = opcode, .nsid = nsid, .cdw10 = cdw10, .cdw11 = cdw11,
		.prp1 = buf ? guest_iova(nvme->guest, buf) : 0,
	};

	return nvme_do(nvme, &nvme->admin, &cmd, result);
}

static int read_log(struct nvme *nvme, __u8 lid, void *buf)
{
	return admin(nvme, ADMIN_GET_LOG, 0, 1023U << 16 | lid, 0, buf, NULL);
}

/* A doorbell value beyond the queue's end causes an event, and nothing else. */
static int bad_doorbell(struct nvme *nvme)
{
	return nvme_write32(nvme, DOORBELLS + 8, 64);
}

static int no_completion(struct nvme *nvme)
{
	struct nvme_cqe cqe;

	usleep(100000);
	return nvme_poll(nvme, &nvme->admin, &cqe);
}

TEST_F(states, requests_for_events_are_answered_there)
{
	struct nvme *nvme = &self->nvme;
	struct nvme_cqe cqe;
	int cid[3], i;

	ASSERT_EQ(0, admin(nvme, ADMIN_SET_FEATURES, 0, 11, 0xff, NULL, NULL));
	for (i = 0; i < 3; i++) {
		cid[i] = nvme_request_event(nvme);
		ASSERT_LE(0, cid[i]);
	}
	/* The requests are fetched, because a command behind them is executed. */
	ASSERT_EQ(0, read_log(nvme, 2, self->buf));
	MOVE();
	EXPECT_EQ(0, no_completion(nvme));
	ASSERT_RET(0, bad_doorbell(nvme));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->admin, &cqe));
	EXPECT_EQ(cid[0], cqe.cid);
	EXPECT_EQ(EVENT_DOORBELL, cqe.result);
	/* The temperature exceeds the threshold of 1 K. The answers may come in any order. */
	nvme->admin.busy[cid[0]] = 0;
	EXPECT_EQ(cid[0], nvme_request_event(nvme));
	struct nvme_cmd cmd = {
		.opcode = ADMIN_SET_FEATURES, .cdw10 = 4, .cdw11 = 1,
	};
	ASSERT_LE(0, nvme_submit(nvme, &nvme->admin, &cmd));
	ASSERT_RET(0, nvme_ring(nvme, &nvme->admin));
	for (i = 0; i < 2; i++) {
		ASSERT_RET(0, nvme_wait(nvme, &nvme->admin, &cqe));
		EXPECT_EQ(0, cqe.status >> 1);
		if (cqe.cid == cmd.cid)
			continue;
		EXPECT_EQ(cid[1], cqe.cid);
		EXPECT_EQ(EVENT_TEMPERATURE, cqe.result);
	}
}

TEST_F(states, an_event_without_a_request_is_reported_there)
{
	struct nvme *nvme = &self->nvme;
	struct nvme_cqe cqe;

	ASSERT_RET(0, bad_doorbell(nvme));
	MOVE();
	ASSERT_LE(0, nvme_request_event(nvme));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->admin, &cqe));
	EXPECT_EQ(EVENT_DOORBELL, cqe.result);
}

/* An event that was reported is not reported again before the host reads its log page. */
TEST_F(states, an_event_that_is_masked_stays_so)
{
	struct nvme *nvme = &self->nvme;
	struct nvme_cqe cqe;

	ASSERT_LE(0, nvme_request_event(nvme));
	ASSERT_RET(0, bad_doorbell(nvme));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->admin, &cqe));
	ASSERT_RET(0, bad_doorbell(nvme));
	ASSERT_LE(0, nvme_request_event(nvme));
	MOVE();
	EXPECT_EQ(0, no_completion(nvme));
	struct nvme_cmd cmd = {
		.opcode = ADMIN_GET_LOG, .cdw10 = 15 << 16 | 1,
		.prp1 = guest_iova(&self->guest, self->buf),
	};
	ASSERT_LE(0, nvme_submit(nvme, &nvme->admin, &cmd));
	ASSERT_RET(0, nvme_ring(nvme, &nvme->admin));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->admin, &cqe));
	EXPECT_EQ(cmd.cid, cqe.cid);
	/* The page has reported the events that came meanwhile. The next event is reported. */
	EXPECT_EQ(0, no_completion(nvme));
	ASSERT_RET(0, bad_doorbell(nvme));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->admin, &cqe));
	EXPECT_EQ(EVENT_DOORBELL, cqe.result);
}

/* Values of CDW11 that differ from the defaults, and temperatures without an effect */
static const struct {
	__u8 fid;
	__u32 nsid;
	__u32 value;
	__u32 which;		/* in Get Features */
} features[] = {
	{ 0x01, 0, 0x03020103, 0 },
	{ 0x04, 0, 0x1f0, 0 },
	{ 0x04, 0, 1 << 16 | 0x1f1, 1 << 16 },
	{ 0x04, 0, 1 << 20 | 0x12, 1 << 20 },
	{ 0x05, 1, 0x1234, 0 },
	{ 0x08, 0, 0x0507, 0 },
	{ 0x09, 0, 1 << 16 | 3, 3 },
	{ 0x0a, 0, 1, 0 },
	{ 0x0b, 0, 0x1e, 0 },
};

static void check_features(struct __test_metadata *_metadata,
			   struct nvme *nvme, const char *when)
{
	__u32 value, want;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(features); i++) {
		ASSERT_EQ(0, admin(nvme, ADMIN_GET_FEATURES, features[i].nsid,
				   features[i].fid, features[i].which, NULL,
				   &value));
		want = features[i].value;
		if (features[i].fid == 0x04)
			want &= 0xffff;
		EXPECT_EQ(want, value)
			TH_LOG("%s: feature %#x is %#x", when, features[i].fid,
			       value);
	}
}

TEST_F(states, features_that_were_changed)
{
	struct nvme *nvme = &self->nvme;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(features); i++)
		ASSERT_EQ(0, admin(nvme, ADMIN_SET_FEATURES, features[i].nsid,
				   features[i].fid, features[i].value, NULL,
				   NULL));
	check_features(_metadata, nvme, "before");
	MOVE();
	check_features(_metadata, nvme, "after");
}

/* The health log without its times, and the error log */
TEST_F(states, counters_and_logs)
{
	struct nvme_cmd wrong = { .opcode = 0x7f, .nsid = 1 };
	unsigned char before[2][4096], *log = self->buf;
	struct nvme *nvme = &self->nvme;
	int i;

	for (i = 0; i < 70; i++) {
		nvme_do(nvme, self->q, &wrong, NULL);
		ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 8 * i, 8, log));
		ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, 8 * i, 8, log));
	}
	/* A reset without a shutdown does not clear the counters. */
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, read_log(nvme, i + 1, log));
		memcpy(before[i], log, sizeof(before[i]));
	}
	EXPECT_LE(70, before[1][64]);
	MOVE();
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, read_log(nvme, i + 1, log));
		if (i) {
			memcpy(before[i] + 96, log + 96, 16);	/* busy */
			memcpy(before[i] + 128, log + 128, 16);	/* power on */
		}
		EXPECT_EQ(0, memcmp(before[i], log, i ? 512 : 4096))
			TH_LOG("log page %d is another one", i + 1);
	}
}

static int submit_flush(struct nvme *nvme, struct nvme_queue *q)
{
	struct nvme_cmd cmd = { .opcode = NVME_OP_FLUSH, .nsid = 1 };
	int cid = nvme_submit(nvme, q, &cmd);

	return cid < 0 ? cid : nvme_ring(nvme, q);
}

static int wait_irq(struct nvme_queue *q)
{
	int i, n = 0;

	for (i = 0; i < 5000 && !n; i++) {
		n = nvme_irqs(q);
		usleep(1000);
	}
	return n;
}

TEST_F(states, an_interrupt_that_is_masked_and_pending)
{
	__u32 control = MSIX_TABLE + 16 + 12, pending = 0;
	struct nvme *nvme = &self->nvme;
	struct nvme_cqe cqe;
	int i;

	ASSERT_RET(0, nvme_write32(nvme, MSIX_TABLE + 16, 0xfee01000));
	ASSERT_RET(0, nvme_write32(nvme, MSIX_TABLE + 16 + 8, 0x4031));
	ASSERT_RET(0, nvme_write32(nvme, control, 1));
	nvme_irqs(self->q);
	ASSERT_RET(0, submit_flush(nvme, self->q));
	for (i = 0; i < 10000 && !(pending & 2); i++) {
		ASSERT_RET(0, nvme_read32(nvme, MSIX_PBA, &pending));
		usleep(1000);
	}
	EXPECT_EQ(2, pending & 2);
	ASSERT_RET(0, nvme_wait(nvme, self->q, &cqe));
	MOVE();
	ASSERT_RET(0, nvme_read32(nvme, MSIX_PBA, &pending));
	EXPECT_EQ(2, pending & 2)
		TH_LOG("it is not pending any more");
	ASSERT_RET(0, nvme_read32(nvme, MSIX_TABLE + 16, &pending));
	EXPECT_EQ(0xfee01000, pending);
	ASSERT_RET(0, nvme_read32(nvme, MSIX_TABLE + 16 + 8, &pending));
	EXPECT_EQ(0x4031, pending);
	usleep(50000);
	EXPECT_EQ(0, nvme_irqs(self->q))
		TH_LOG("it was signalled although it is masked");
	ASSERT_RET(0, nvme_write32(nvme, control, 0));
	EXPECT_EQ(1, wait_irq(self->q));
	ASSERT_RET(0, nvme_read32(nvme, MSIX_PBA, &pending));
	EXPECT_EQ(0, pending & 2);
}

static int delay(const char *us)
{
	FILE *f = fopen(DELAY, "w");

	if (!f)
		return -1;
	fputs(us, f);
	return fclose(f);
}

/* Returns how many of the next @nr completions are in memory. */
static int flood_posted(const struct nvme_queue *q, int nr)
{
	int i, done = 0;

	for (i = 0; i < nr; i++)
		done += (q->cq[(q->head + i) % q->depth].status & 1) ==
			(q->phase ^ (q->head + i >= q->depth));
	return done;
}

/* Some commands are complete, one is being executed, and the others are not fetched. */
static void half_processed(struct __test_metadata *_metadata,
			   struct nvme *nvme, struct side *from,
			   struct side *to, bool v2, void *scratch)
{
	struct nvme_queue *q = &nvme->io[0];
	double until = clock_now() + 10;
	struct flood f;

	ASSERT_EQ(0, flood_init(&f, nvme, q, 0));
	/* 40 commands take 2 s, so some are left even if this machine has other work. */
	if (delay("50000"))
		SKIP(return, "no parameter delay_us");
	ASSERT_RET(0, flood_submit(&f, 40));
	ASSERT_RET(0, nvme_ring(nvme, q));
	while (!flood_posted(q, 40) && clock_now() < until)
		usleep(1000);
	ASSERT_RET(0, move(nvme, from, to, v2));
	EXPECT_EQ(0, delay("0"));
	EXPECT_LT(0, flood_posted(q, 40));
	EXPECT_GT(40, flood_posted(q, 40))
		TH_LOG("all were done at the stop: this has shown nothing");
	ASSERT_RET(0, run(to, v2));
	ASSERT_RET(0, flood_finish(&f));
	EXPECT_EQ(-1, flood_check_reads(&f));
	EXPECT_EQ(-1, flood_check_blocks(&f, scratch));
}

TEST_F_TIMEOUT(states, a_queue_that_is_half_processed, 120)
{
	half_processed(_metadata, &self->nvme, self->from, self->to,
		       variant->v2, self->buf);
}

TEST_F_TIMEOUT(states, a_queue_with_shadow_doorbells, 120)
{
	ASSERT_EQ(0, nvme_dbbuf(&self->nvme));
	half_processed(_metadata, &self->nvme, self->from, self->to,
		       variant->v2, self->buf);
}

TEST_F(states, disabled)
{
	__u32 aqa, asq, value;
	struct nvme *nvme = &self->nvme;

	ASSERT_RET(0, nvme_read32(nvme, REG_AQA, &aqa));
	ASSERT_RET(0, nvme_read32(nvme, REG_ASQ, &asq));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, 0));
	ASSERT_EQ(0, nvme_wait_csts(nvme, 0));
	MOVE();
	usleep(20000);
	EXPECT_EQ(0, nvme_wait_csts(nvme, 0));
	ASSERT_RET(0, nvme_read32(nvme, REG_AQA, &value));
	EXPECT_EQ(aqa, value);
	ASSERT_RET(0, nvme_read32(nvme, REG_ASQ, &value));
	EXPECT_EQ(asq, value);
	check_restart(_metadata, nvme);
}

/* The target acts upon values that the host writes while the device is stopped. */
TEST_F(states, in_reset)
{
	struct nvme *nvme = &self->nvme;

	ASSERT_RET(0, stop(self->from, variant->v2));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, 0));
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY));
	MOVE();
	EXPECT_EQ(0, nvme_wait_csts(nvme, 0));
	check_restart(_metadata, nvme);
}

/* The host disables and enables the controller again before it runs. This is still a reset. */
TEST_F(states, in_reset_and_enabled_again)
{
	struct nvme *nvme = &self->nvme;

	ASSERT_RET(0, stop(self->from, variant->v2));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, 0));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, CC_ENABLE));
	memset((void *)nvme->admin.cq, 0, 32 * sizeof(struct nvme_cqe));
	nvme->admin.head = 0;
	nvme->admin.tail = 0;
	nvme->admin.phase = 1;
	MOVE();
	/* CSTS.RDY is set before and after the reset, so the test cannot wait for a change. */
	usleep(1000000);
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY));
	/* The admin queue is at its beginning, and the I/O queue is deleted. */
	EXPECT_EQ(ST_QUEUE_ID, admin(nvme, 0x00, 0, 1, 0, NULL, NULL) & ST_CODE);
	check_restart(_metadata, nvme);
}

TEST_F(states, being_enabled)
{
	struct nvme *nvme = &self->nvme;

	ASSERT_RET(0, nvme_write32(nvme, REG_CC, 0));
	ASSERT_EQ(0, nvme_wait_csts(nvme, 0));
	ASSERT_RET(0, stop(self->from, variant->v2));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, CC_ENABLE));
	MOVE();
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY));
	check_restart(_metadata, nvme);
}

TEST_F(states, shut_down)
{
	struct nvme *nvme = &self->nvme;
	struct nvme_cqe cqe;

	ASSERT_RET(0, nvme_write32(nvme, REG_CC, CC_ENABLE | CC_SHN));
	ASSERT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY | CSTS_SHST_DONE));
	MOVE();
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY | CSTS_SHST_DONE));
	ASSERT_RET(0, submit_flush(nvme, self->q));
	usleep(50000);
	EXPECT_EQ(0, nvme_poll(nvme, self->q, &cqe))
		TH_LOG("it executes commands after its shutdown");
	check_restart(_metadata, nvme);
}

TEST_F(states, being_shut_down)
{
	struct nvme *nvme = &self->nvme;

	ASSERT_RET(0, stop(self->from, variant->v2));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, CC_ENABLE | CC_SHN));
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY));
	MOVE();
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY | CSTS_SHST_DONE));
	check_restart(_metadata, nvme);
}

/* CSTS.CFS, because a submission queue is not in memory */
TEST_F(states, failed)
{
	struct nvme *nvme = &self->nvme;
	struct nvme_cqe cqe;
	struct nvme_cmd cmd = {
		.opcode = ADMIN_CREATE_SQ, .prp1 = 1ULL << 50,
		.cdw10 = 31 << 16 | 9, .cdw11 = 1 << 16 | 1,
	};

	ASSERT_EQ(0, nvme_do(nvme, &nvme->admin, &cmd, NULL));
	ASSERT_RET(0, nvme_write32(nvme, DOORBELLS + 9 * 8, 1));
	ASSERT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY | CSTS_CFS));
	MOVE();
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY | CSTS_CFS));
	ASSERT_RET(0, submit_flush(nvme, self->q));
	usleep(50000);
	EXPECT_EQ(0, nvme_poll(nvme, self->q, &cqe))
		TH_LOG("it executes commands although it failed");
	check_restart(_metadata, nvme);
}

/* In D3hot the function answers accesses to configuration space only, also there. */
TEST_F(states, asleep)
{
	__u16 power = 3;
	struct region config;
	__u32 value;

	ASSERT_RET(0, region_open(&config, &self->from->dev, VFIO_PCI_CONFIG_REGION_INDEX));
	ASSERT_RET(0, region_write_all(&config, PCI_POWER, &power, 2));
	MOVE();
	ASSERT_RET(0, region_open(&config, &self->to->dev, VFIO_PCI_CONFIG_REGION_INDEX));
	ASSERT_RET(0, region_read_all(&config, PCI_POWER, &power, 2));
	EXPECT_EQ(3, power & 3);
	EXPECT_RET(-EIO, nvme_read32(&self->nvme, REG_CSTS, &value));
	power = 0;
	ASSERT_RET(0, region_write_all(&config, PCI_POWER, &power, 2));
	EXPECT_EQ(0, nvme_wait_csts(&self->nvme, CSTS_RDY));
	EXPECT_EQ(0, nvme_flush(&self->nvme));
}

/* A completion queue whose memory comes and goes */
#define CQ_IOVA		0x300000000ULL

static int create_ninth(struct nvme *nvme, const void *sq)
{
	struct nvme_cmd cq_cmd = {
		.opcode = ADMIN_CREATE_CQ, .prp1 = CQ_IOVA, .cdw10 = 31 << 16 | 9,
		.cdw11 = 1,
	};
	struct nvme_cmd sq_cmd = {
		.opcode = ADMIN_CREATE_SQ, .prp1 = guest_iova(nvme->guest, sq),
		.cdw10 = 31 << 16 | 9, .cdw11 = 9 << 16 | 1,
	};
	int ret = nvme_do(nvme, &nvme->admin, &cq_cmd, NULL);

	return ret ? ret : nvme_do(nvme, &nvme->admin, &sq_cmd, NULL);
}

static int ring_ninth(struct nvme *nvme, __u32 tail)
{
	return nvme_write32(nvme, DOORBELLS + 9 * 8, tail);
}

/*
 * The controller fails, because it cannot post a completion. Then the same device loads an
 * earlier state. The old completion must not appear among those of that state.
 */
TEST_F(states, failed_and_loaded_with_an_earlier_state)
{
	volatile struct nvme_cqe *cq = guest_alloc(&self->guest, GUEST_PAGE);
	void *sq = guest_alloc(&self->guest, GUEST_PAGE);
	struct device *dev = &self->from->dev;
	struct nvme *nvme = &self->nvme;
	struct buffer s = { 0 };
	int i;

	memset(sq, 0, GUEST_PAGE);
	memset((void *)cq, 0, GUEST_PAGE);
	ASSERT_RET(0, device_map(dev, (void *)cq, CQ_IOVA, GUEST_PAGE));
	ASSERT_EQ(0, create_ninth(nvme, sq));
	ASSERT_RET(0, variant->v2 ? v2_save(&self->from->v2, &s, 0) :
				    v1_save(&self->from->v1, &s));
	ASSERT_RET(0, stop(self->from, variant->v2));
	ASSERT_RET(0, run(self->from, variant->v2));

	ASSERT_RET(0, device_unmap(dev, CQ_IOVA, GUEST_PAGE));
	ASSERT_RET(0, ring_ninth(nvme, 1));
	ASSERT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY | CSTS_CFS));
	ASSERT_RET(0, device_map(dev, (void *)cq, CQ_IOVA, GUEST_PAGE));
	ASSERT_RET(0, stop(self->from, variant->v2));
	ASSERT_RET(0, ring_ninth(nvme, 1));
	usleep(50000);
	EXPECT_EQ(0, cq[0].status)
		TH_LOG("a device that is stopped posts a completion");

	memset((void *)cq, 0, GUEST_PAGE);
	ASSERT_RET(0, variant->v2 ? v2_load(&self->from->v2, &s, 0) :
				    v1_load(&self->from->v1, &s, 0));
	buffer_free(&s);
	ASSERT_RET(0, stop(self->from, variant->v2));
	ASSERT_RET(0, run(self->from, variant->v2));
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY));
	usleep(100000);
	EXPECT_EQ(0, cq[0].status)
		TH_LOG("a completion of another life");
	ASSERT_RET(0, ring_ninth(nvme, 1));
	for (i = 0; i < 5000 && !cq[0].status; i++)
		usleep(1000);
	EXPECT_EQ(1, cq[0].status & 1);
	EXPECT_EQ(1, cq[0].sq_head);
	usleep(50000);
	EXPECT_EQ(0, cq[1].status);
	EXPECT_EQ(0, nvme_flush(nvme));
}

/* A function level reset that was requested and not done yet */
TEST_F(states, in_a_function_level_reset)
{
	struct nvme *nvme = &self->nvme;
	__u16 command = PCI_COMMAND_ALL;
	struct region config;
	__u8 cap, id[2];
	__u32 cc = ~0;
	int i;

	ASSERT_RET(0, region_open(&config, &self->from->dev,
				  VFIO_PCI_CONFIG_REGION_INDEX));
	ASSERT_EQ(1, region_read(&config, 0x34, &cap, 1));
	for (i = 0; i < 16 && cap; i++) {
		ASSERT_EQ(2, region_read(&config, cap, id, 2));
		if (id[0] == PCI_CAP_EXP)
			break;
		cap = id[1];
	}
	ASSERT_EQ(PCI_CAP_EXP, id[0]);
	ASSERT_RET(0, stop(self->from, variant->v2));
	id[1] = 0x80;
	ASSERT_EQ(1, region_write(&config, cap + 9, &id[1], 1));
	MOVE();
	ASSERT_RET(0, region_open(&config, &self->to->dev,
				  VFIO_PCI_CONFIG_REGION_INDEX));
	/* The controller also takes the command register that the VMM wrote. */
	for (i = 0; i < 5000 && command; i++) {
		ASSERT_EQ(2, region_read(&config, 4, &command, 2));
		usleep(1000);
	}
	EXPECT_EQ(0, command);
	EXPECT_RET(-EIO, nvme_read32(nvme, REG_CC, &cc));
	command = PCI_COMMAND_ALL;
	ASSERT_EQ(2, region_write(&config, 4, &command, 2));
	ASSERT_RET(0, nvme_read32(nvme, REG_CC, &cc));
	EXPECT_EQ(0, cc);
	check_restart(_metadata, nvme);
}

static void *keep_failing(void *arg)
{
	int i;

	for (i = 0; i < 5000; i++)
		bad_doorbell(arg);
	return NULL;
}

/* A stopped device logs errors while its state is saved. The target must accept the state. */
TEST_F_TIMEOUT(states, errors_while_it_is_saved, 180)
{
	struct buffer s = { 0 };
	pthread_t thread;
	int i;

	ASSERT_RET(0, stop(self->from, variant->v2));
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, pthread_create(&thread, NULL, keep_failing, &self->nvme));
		EXPECT_RET(0, transfer(self->from, self->to, variant->v2, &s));
		pthread_join(thread, NULL);
		buffer_free(&s);
		ASSERT_RET(0, stop(self->from, variant->v2));
		ASSERT_RET(0, stop(self->to, variant->v2));
	}
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
	suite_need_v2();
	suite_need_b();
}

SUITE_MAIN(need_all())
