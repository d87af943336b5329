// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device is stopped while it is busy. From then on no byte of memory changes, no interrupt is
 * signalled, and writes have no effect. After the resume each command completes exactly once.
 */
#include <endian.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fixture.h"
#include "lib/flood.h"
#include "lib/knob.h"
#include "lib/stream.h"
#include "lib/v2.h"
#include "lib/waiter.h"

#define ROUNDS		24
#define ROUNDS_MAX	(10 * ROUNDS)	/* on a machine that is busy with other work */

FIXTURE(stop) {
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct nvme nvme;
	struct flood flood[2];
	void *scratch;
};

FIXTURE_VARIANT(stop) {
	__u32 from;
	__u32 to;
};

FIXTURE_VARIANT_ADD(stop, from_001_to_000) {
	.from = V1_RUNNING, .to = V1_STOPPED
};

FIXTURE_VARIANT_ADD(stop, from_001_to_010) {
	.from = V1_RUNNING, .to = V1_STOP_COPY
};

FIXTURE_VARIANT_ADD(stop, from_011_to_000) {
	.from = V1_PRE_COPY, .to = V1_STOPPED
};

FIXTURE_VARIANT_ADD(stop, from_011_to_010) {
	.from = V1_PRE_COPY, .to = V1_STOP_COPY
};

FIXTURE_SETUP(stop)
{
	struct nvme *nvme = &self->nvme;
	int i;

	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_RET(0, guest_create(&self->guest, 16 << 20));
	ASSERT_RET(0, guest_attach(&self->guest, &self->dev));
	ASSERT_EQ(0, nvme_start(nvme, &self->dev, &self->guest, 2, 64));
	self->scratch = guest_alloc(&self->guest, FLOOD_BYTES);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, flood_init(&self->flood[i], nvme, &nvme->io[i],
					(__u64)i * (8 << 20) / nvme->lba_size));
}

FIXTURE_TEARDOWN(stop)
{
	nvme_close(&self->nvme);
	fixture_close(&self->dev, &self->v1);
	guest_destroy(&self->guest);
}

static int irqs(struct nvme *nvme)
{
	return nvme_irqs(&nvme->admin) + nvme_irqs(&nvme->io[0]) +
	       nvme_irqs(&nvme->io[1]);
}

/* Returns how many completions are in memory and were not taken. */
static __u32 posted(struct nvme_queue *q)
{
	__u16 head = q->head, phase = q->phase;
	__u32 n = 0;

	while ((q->cq[head].status & 1) == phase) {
		n++;
		head = (head + 1) % q->depth;
		phase ^= !head;
	}
	return n;
}

/* Checks that nothing happens for a while. */
static void check_still(struct __test_metadata *_metadata, struct nvme *nvme,
			const char *when)
{
	__u64 sum;

	irqs(nvme);
	sum = guest_sum(nvme->guest);
	usleep(20000);
	EXPECT_EQ(sum, guest_sum(nvme->guest))
		TH_LOG("%s: memory changes", when);
	EXPECT_EQ(0, irqs(nvme))
		TH_LOG("%s: an interrupt is signalled", when);
}

static void flood_both(struct __test_metadata *_metadata, struct nvme *nvme,
		       struct flood *floods, __u32 nr)
{
	int i;

	for (i = 0; i < 2; i++)
		ASSERT_RET(0, flood_submit(&floods[i], nr));
	for (i = 0; i < 2; i++)
		ASSERT_RET(0, nvme_ring(nvme, floods[i].q));
}

static void finish_both(struct __test_metadata *_metadata,
			struct flood *floods, void *scratch, const char *when)
{
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_RET_FOR(0, flood_finish(&floods[i]), "queue %d, %s",
			       i + 1, when);
		EXPECT_EQ(-1, flood_check_reads(&floods[i]))
			TH_LOG("queue %d, %s: wrong data was read", i + 1,
			       when);
		EXPECT_EQ(-1, flood_check_blocks(&floods[i], scratch))
			TH_LOG("queue %d, %s: wrong data is in the namespace",
			       i + 1, when);
	}
}

/* Returns the shortest time in microseconds that the device is busy after the doorbells. */
static long busy_us(struct __test_metadata *_metadata, struct nvme *nvme,
		    struct flood *floods)
{
	long best = LONG_MAX, us;
	double begin;
	int i;

	for (i = 0; i < 3; i++) {
		flood_both(_metadata, nvme, floods, FLOOD_MAX);
		begin = clock_now();
		ASSERT_RET(0, flood_finish(&floods[0]));
		ASSERT_RET(0, flood_finish(&floods[1]));
		us = (clock_now() - begin) * 1e6;
		best = us < best ? us : best;
	}
	return best;
}

/*
 * The test computes the checksum immediately after the write returns, so that it notices a
 * device that continues for a moment.
 */
TEST_F_TIMEOUT(stop, a_busy_device_stops_and_finishes_later, 300)
{
	struct nvme *nvme = &self->nvme;
	__u32 unfinished, caught = 0;
	char when[32];
	long busy;
	int round;

	busy = busy_us(_metadata, nvme, self->flood);
	for (round = 0; round < ROUNDS || (caught <= ROUNDS / 4 && round < ROUNDS_MAX); round++) {
		snprintf(when, sizeof(when), "round %d", round);
		ASSERT_RET(0, v1_set_state(&self->v1, variant->from));
		flood_both(_metadata, nvme, self->flood, FLOOD_MAX);
		usleep(busy / 2 * (round % ROUNDS) / ROUNDS);
		ASSERT_RET(0, v1_set_state(&self->v1, variant->to));
		check_still(_metadata, nvme, when);
		unfinished = 2 * FLOOD_MAX - posted(&nvme->io[0]) -
			     posted(&nvme->io[1]);
		caught += !!unfinished;
		ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
		finish_both(_metadata, self->flood, self->scratch, when);
	}
	/* Otherwise the device was idle, and the test shows nothing. */
	EXPECT_LT(ROUNDS / 4, caught)
		TH_LOG("the device was busy at the stop in %u of %d rounds, for %ld us",
		       caught, round, busy);
}

TEST_F_TIMEOUT(stop, doorbells_are_not_acted_upon_until_it_runs, 120)
{
	struct nvme *nvme = &self->nvme;
	int round;

	for (round = 0; round < 5; round++) {
		ASSERT_RET(0, v1_set_state(&self->v1, variant->from));
		ASSERT_RET(0, v1_set_state(&self->v1, variant->to));
		flood_both(_metadata, nvme, self->flood, 16);
		check_still(_metadata, nvme, "after doorbells");
		EXPECT_EQ(0, posted(&nvme->io[0]) + posted(&nvme->io[1]));
		ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
		finish_both(_metadata, self->flood, self->scratch,
			    "after the resume");
	}
}

/* Several writes of a doorbell count as one, because the last value counts. */
TEST_F(stop, of_several_doorbells_the_last_counts)
{
	struct nvme *nvme = &self->nvme;
	struct flood *f = &self->flood[0];
	int i;

	ASSERT_RET(0, v1_set_state(&self->v1, variant->from));
	ASSERT_RET(0, v1_set_state(&self->v1, variant->to));
	ASSERT_RET(0, flood_submit(f, 16));
	for (i = 0; i < 20; i++)
		ASSERT_RET(0, nvme_ring(nvme, f->q));
	check_still(_metadata, nvme, "after doorbells");
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	ASSERT_RET(0, flood_finish(f));
}

TEST_F(stop, every_command_is_signalled_after_the_resume)
{
	struct nvme *nvme = &self->nvme;
	struct flood *f = &self->flood[0];
	int i, n = 0;

	ASSERT_RET(0, v1_set_state(&self->v1, variant->from));
	ASSERT_RET(0, v1_set_state(&self->v1, variant->to));
	irqs(nvme);
	ASSERT_RET(0, flood_submit(f, 16));
	ASSERT_RET(0, nvme_ring(nvme, f->q));
	check_still(_metadata, nvme, "after a doorbell");
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	for (i = 0; i < 10000 && !n; i++) {
		n = nvme_irqs(f->q);
		usleep(1000);
	}
	EXPECT_LT(0, n)
		TH_LOG("no interrupt in 2 s");
	ASSERT_RET(0, flood_finish(f));
}

/* A save during all this does not disturb the commands. */
TEST_F_TIMEOUT(stop, a_save_while_stopped_changes_nothing, 120)
{
	struct nvme *nvme = &self->nvme;
	struct buffer stream = { 0 };
	__u64 sum;

	ASSERT_RET(0, v1_set_state(&self->v1, variant->from));
	flood_both(_metadata, nvme, self->flood, FLOOD_MAX);
	ASSERT_RET(0, v1_set_state(&self->v1, variant->to));
	sum = guest_sum(&self->guest);
	irqs(nvme);
	ASSERT_RET(0, v1_save(&self->v1, &stream));
	EXPECT_LT(0, stream.len);
	EXPECT_EQ(sum, guest_sum(&self->guest));
	EXPECT_EQ(0, irqs(nvme));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	finish_both(_metadata, self->flood, self->scratch, "after the save");
	buffer_free(&stream);
}

/* A timer must not change the state either: a later save is the same. */
TEST_F(stop, nothing_inside_advances_while_stopped)
{
	struct buffer a = { 0 }, b = { 0 };
	struct chunk ca, cb;
	int i;

	ASSERT_RET(0, v1_set_state(&self->v1, variant->from));
	flood_both(_metadata, &self->nvme, self->flood, FLOOD_MAX);
	ASSERT_RET(0, v1_set_state(&self->v1, variant->to));
	ASSERT_RET(0, v1_save(&self->v1, &a));
	usleep(300000);
	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOPPED));
	ASSERT_RET(0, v1_save(&self->v1, &b));
	if (stream_count(&a, 0) <= 0)
		SKIP(return, "the stream is in a format of its own");
	for (i = 0; !stream_find(&a, CHUNK_CONTROL, i, &ca); i++) {
		ASSERT_EQ(0, stream_find(&b, CHUNK_CONTROL, i, &cb));
		ASSERT_EQ(ca.length, cb.length);
		EXPECT_EQ(0, memcmp(ca.payload, cb.payload, ca.length));
	}
	buffer_free(&a);
	buffer_free(&b);
}

FIXTURE(registers) {
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct nvme nvme;
};

FIXTURE_SETUP(registers)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_RET(0, guest_create(&self->guest, 4 << 20));
	ASSERT_RET(0, guest_attach(&self->guest, &self->dev));
	ASSERT_EQ(0, nvme_start(&self->nvme, &self->dev, &self->guest, 1, 16));
}

FIXTURE_TEARDOWN(registers)
{
	nvme_close(&self->nvme);
	fixture_close(&self->dev, &self->v1);
	guest_destroy(&self->guest);
}

static void wait_csts(struct __test_metadata *_metadata, struct nvme *nvme,
		      __u32 ready)
{
	__u32 csts = ~0;
	int i;

	for (i = 0; i < 10000; i++) {
		ASSERT_RET(0, nvme_read32(nvme, REG_CSTS, &csts));
		if ((csts & 1) == ready)
			return;
		usleep(1000);
	}
	ASSERT_EQ(ready, csts & 1)
		TH_LOG("CSTS stays %#x", csts);
}

TEST_F(registers, keep_what_is_written_while_stopped)
{
	struct nvme *nvme = &self->nvme;
	__u32 value;

	ASSERT_RET(0, nvme_write32(nvme, REG_CC, 0));
	wait_csts(_metadata, nvme, 0);
	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOPPED));
	EXPECT_RET(0, nvme_write32(nvme, REG_AQA, 0x000f0007));
	EXPECT_RET(0, nvme_write32(nvme, REG_ASQ, 0x12345000));
	EXPECT_RET(0, nvme_write32(nvme, REG_ACQ, 0x56789000));
	EXPECT_RET(0, nvme_read32(nvme, REG_AQA, &value));
	EXPECT_EQ(0x000f0007, value);
	EXPECT_RET(0, nvme_read32(nvme, REG_ASQ, &value));
	EXPECT_EQ(0x12345000, value);
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	EXPECT_RET(0, nvme_read32(nvme, REG_AQA, &value));
	EXPECT_EQ(0x000f0007, value);
	EXPECT_RET(0, nvme_read32(nvme, REG_ACQ, &value));
	EXPECT_EQ(0x56789000, value);
}

TEST_F(registers, a_disable_while_stopped_waits_for_the_resume)
{
	struct nvme *nvme = &self->nvme;
	__u32 csts;

	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOPPED));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, 0));
	usleep(50000);
	ASSERT_RET(0, nvme_read32(nvme, REG_CSTS, &csts));
	EXPECT_EQ(1, csts & 1)
		TH_LOG("the controller was disabled while stopped");
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	wait_csts(_metadata, nvme, 0);
}

TEST_F(registers, an_enable_while_stopped_waits_for_the_resume)
{
	struct nvme *nvme = &self->nvme;
	__u32 cc, csts;

	ASSERT_RET(0, nvme_read32(nvme, REG_CC, &cc));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, 0));
	wait_csts(_metadata, nvme, 0);
	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOPPED));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, cc));
	usleep(50000);
	ASSERT_RET(0, nvme_read32(nvme, REG_CSTS, &csts));
	EXPECT_EQ(0, csts & 1)
		TH_LOG("the controller became ready while stopped");
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	wait_csts(_metadata, nvme, 1);
}

TEST_F(registers, reset_while_stopped_is_a_power_on)
{
	struct nvme *nvme = &self->nvme;
	__u32 cc = ~0;

	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOPPED));
	ASSERT_RET(0, device_reset(&self->dev));
	ASSERT_STATE(V1_RUNNING, &self->v1);
	/* The registers are those of a device after an open. */
	nvme_close(nvme);
	ASSERT_EQ(0, nvme_start(nvme, &self->dev, &self->guest, 1, 16));
	ASSERT_RET(0, nvme_read32(nvme, REG_CC, &cc));
	EXPECT_EQ(1, cc & 1);
	EXPECT_EQ(0, nvme_flush(nvme));
}

/*
 * A state of mnvme: identity, from level 3 on the serial number and what was offered,
 * configuration space, CC. The layout of a level never changes.
 */
#define CC_AT(level)	(16 + ((level) >= 3 ? 21 : 0) + 256)
#define CLOSES		10

/* A thread that reads the data file of a session */
struct reader {
	struct v2 v2;
	struct buffer out;
};

/* The device is closed while another thread reads the data file. */
FIXTURE(close) {
	struct device dev;
	struct guest guest;
	struct nvme nvme;
	struct reader reader;
};

FIXTURE_SETUP(close)
{
	struct nvme *nvme = &self->nvme;

	if (!knob_there(suite_device()))
		SKIP(return, "no fault knobs of vfio-mig-core in debugfs");
	ASSERT_RET(0, guest_create(&self->guest, 4 << 20));
	ASSERT_RET(0, device_open(&self->dev, suite_device()));
	if (v2_open(&self->reader.v2, &self->dev))
		SKIP(return, "the device does not speak the v2 protocol");
	/* Without pages the control state is the second chunk. */
	ASSERT_RET(0, guest_attach(&self->guest, &self->dev));
	ASSERT_EQ(0, nvme_start(nvme, &self->dev, &self->guest, 1, 16));
	ASSERT_EQ(0, nvme_deallocate(nvme, 0, nvme->nr_lbas,
				     guest_alloc(&self->guest, GUEST_PAGE)));
	nvme_close(nvme);
	device_close(&self->dev);
}

FIXTURE_TEARDOWN(close)
{
	if (self->dev.path[0] && knob_there(suite_device()))
		EXPECT_RET(0, knob_set(&self->dev, "bandwidth", "off"));
	buffer_free(&self->reader.out);
}

static void *read_stream(void *arg)
{
	struct reader *r = arg;

	v2_drain(&r->v2, &r->out, 0);
	return NULL;
}

/* Returns whether the stream has no control state, or that of an enabled controller. */
static bool is_enabled(const struct buffer *out)
{
	const struct header_payload *h;
	struct chunk c;
	__le32 cc;
	int at;

	if (stream_find(out, CHUNK_HEADER, 0, &c))
		return true;
	h = c.payload;
	if (strncmp(h->type, "mnvme-", strlen("mnvme-")))
		return true;
	at = CC_AT(le32toh(h->control_version));
	if (stream_find(out, CHUNK_CONTROL, 0, &c))
		return true;
	memcpy(&cc, c.payload + sizeof(struct control_payload) + at, sizeof(cc));
	return le32toh(cc) & 1;
}

/* The reader waits for the bandwidth in the first chunk, until the close ends this wait. */
TEST_F_TIMEOUT(close, a_reader_gets_no_reset_state, 120)
{
	pthread_t thread;
	int i, ret;

	for (i = 0; i < CLOSES; i++) {
		self->guest.used = 0;
		self->reader.out.len = 0;
		ASSERT_RET(0, device_open(&self->dev, suite_device()));
		ASSERT_RET(0, v2_open(&self->reader.v2, &self->dev));
		ASSERT_RET(0, guest_attach(&self->guest, &self->dev));
		ASSERT_EQ(0, nvme_start(&self->nvme, &self->dev, &self->guest, 1, 16));
		ASSERT_RET(0, v2_set_state(&self->reader.v2, V2_STOP_COPY));
		ASSERT_RET(0, knob_set(&self->dev, "bandwidth", "1"));

		ret = pthread_create(&thread, NULL, read_stream, &self->reader);
		ASSERT_EQ(0, ret);
		usleep(waiter_patience(100000));
		nvme_close(&self->nvme);
		device_close(&self->dev);
		pthread_join(thread, NULL);
		v2_close(&self->reader.v2);
		ASSERT_RET(0, knob_set(&self->dev, "bandwidth", "off"));
		ASSERT_TRUE(is_enabled(&self->reader.out))
			TH_LOG("close %d: the reader has the state of a reset controller", i);
	}
}

SUITE_MAIN(suite_need_nvme())
