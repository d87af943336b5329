// SPDX-License-Identifier: GPL-2.0-only
/*
 * Migration between two NVMe devices: every block arrives, and every command completes exactly
 * once, also on the way back.
 */
#include <endian.h>
#include <string.h>
#include <time.h>

#include "lib/fixture.h"
#include "lib/flood.h"
#include "lib/migrate.h"
#include "lib/stream.h"

#define MIB		0x100000ULL

struct setting {
	struct device dev[2];
	struct v1 v1[2];
	struct guest guest;
	struct nvme nvme;
	unsigned char *buf;	/* of 1 MiB */
	__u32 mib;		/* blocks in it */
};

FIXTURE(migrate) {
	struct setting f;
};

FIXTURE_VARIANT(migrate) {
	bool mapped;
};

FIXTURE_VARIANT_ADD(migrate, read) { .mapped = false };

FIXTURE_VARIANT_ADD(migrate, mapped) { .mapped = true };

/* The guest runs on the first device. Data of earlier tests is gone. */
FIXTURE_SETUP(migrate)
{
	int i;

	ASSERT_RET(0, guest_create(&self->f.guest, 32 << 20));
	for (i = 0; i < 2; i++) {
		fixture_open(_metadata, i ? suite_device_b() : suite_device(),
			     &self->f.dev[i], &self->f.v1[i]);
		ASSERT_RET(0, guest_attach(&self->f.guest, &self->f.dev[i]));
		if (variant->mapped)
			ASSERT_RET(0, v1_map(&self->f.v1[i]));
	}
	ASSERT_EQ(0, nvme_start(&self->f.nvme, &self->f.dev[0], &self->f.guest, 2,
				64));
	self->f.buf = guest_alloc(&self->f.guest, MIB);
	self->f.mib = MIB / self->f.nvme.lba_size;
	ASSERT_EQ(0, nvme_deallocate(&self->f.nvme, 0, self->f.nvme.nr_lbas,
				     self->f.buf));
}

FIXTURE_TEARDOWN(migrate)
{
	int i;

	nvme_close(&self->f.nvme);
	for (i = 0; i < 2; i++)
		fixture_close(&self->f.dev[i], &self->f.v1[i]);
	guest_destroy(&self->f.guest);
}

/* Returns a place in the namespace in MiB: its start, its end or a place between them. */
static __u64 place(struct nvme *nvme, __u32 mib, int i)
{
	static const int eighths[] = { 0, 1, 3, 5 };

	if (i == 4)
		return nvme->nr_lbas - mib;
	return nvme->nr_lbas / 8 * eighths[i];
}

#define PLACES	5

static void write_all(struct __test_metadata *_metadata,
		      struct setting *self, __u32 when)
{
	struct nvme *nvme = &self->nvme;
	int i;

	for (i = 0; i < PLACES; i++) {
		__u64 lba = place(nvme, self->mib, i);

		pattern_fill(nvme, self->buf, lba, self->mib, when);
		ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, lba, self->mib,
				     self->buf));
	}
}

static bool zeros(const unsigned char *at, size_t len)
{
	return !at[0] && !memcmp(at, at + 1, len - 1);
}

/* Checks the whole namespace: written blocks, and zeros between them. */
static void check_all(struct __test_metadata *_metadata,
		      struct setting *self, __u32 when)
{
	struct nvme *nvme = &self->nvme;
	__u64 lba;
	int i;

	for (lba = 0; lba < nvme->nr_lbas; lba += self->mib) {
		ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, lba, self->mib,
				     self->buf))
			TH_LOG("reading at block %llu", lba);
		for (i = 0; i < PLACES; i++)
			if (place(nvme, self->mib, i) == lba)
				break;
		if (i == PLACES) {
			EXPECT_TRUE(zeros(self->buf, MIB))
				TH_LOG("block %llu is not zeros", lba);
			continue;
		}
		EXPECT_EQ(-1, pattern_check(nvme, self->buf, lba, self->mib,
					    when))
			TH_LOG("at block %llu is not what was written", lba);
	}
}

/* The guest continues on the device that has the state. */
static void move_guest(struct __test_metadata *_metadata,
		       struct setting *self, int to)
{
	ASSERT_RET(0, migrate(&self->v1[!to], &self->v1[to]));
	ASSERT_RET(0, nvme_adopt(&self->nvme, &self->dev[to]));
	ASSERT_RET(0, v1_set_state(&self->v1[to], V1_RUNNING));
}

TEST_F_TIMEOUT(migrate, every_block_arrives, 300)
{
	write_all(_metadata, &self->f, 1);
	move_guest(_metadata, &self->f, 1);
	check_all(_metadata, &self->f, 1);
}

/* The old device still has its content when the guest comes back. */
TEST_F_TIMEOUT(migrate, A_to_B_to_A_with_writes_between, 300)
{
	write_all(_metadata, &self->f, 1);
	move_guest(_metadata, &self->f, 1);
	check_all(_metadata, &self->f, 1);
	write_all(_metadata, &self->f, 2);
	move_guest(_metadata, &self->f, 0);
	check_all(_metadata, &self->f, 2);
	write_all(_metadata, &self->f, 3);
	move_guest(_metadata, &self->f, 1);
	check_all(_metadata, &self->f, 3);
}

TEST_F_TIMEOUT(migrate, what_was_deallocated_reads_as_zeros_there_too, 300)
{
	struct nvme *nvme = &self->f.nvme;
	__u64 lba = nvme->nr_lbas / 4;

	/* Both devices have data, and then the guest deallocates its data. */
	write_all(_metadata, &self->f, 1);
	pattern_fill(nvme, self->f.buf, lba, self->f.mib, 1);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, lba, self->f.mib, self->f.buf));
	move_guest(_metadata, &self->f, 1);
	ASSERT_EQ(0, nvme_deallocate(nvme, lba, self->f.mib, self->f.buf));
	move_guest(_metadata, &self->f, 0);
	check_all(_metadata, &self->f, 1);
}

TEST_F_TIMEOUT(migrate, what_was_zeroed_in_pre_copy_reads_as_zeros, 300)
{
	struct migration m = { .from = &self->f.v1[0], .to = &self->f.v1[1] };
	struct nvme *nvme = &self->f.nvme;
	__u64 lba = nvme->nr_lbas / 4;

	write_all(_metadata, &self->f, 1);
	pattern_fill(nvme, self->f.buf, lba, self->f.mib, 1);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, lba, self->f.mib, self->f.buf));
	ASSERT_RET(0, migration_begin(&m));
	ASSERT_RET(0, migration_precopy(&m, 0));
	/* Each method deallocates one half. */
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE_ZEROES, lba, self->f.mib / 2,
			     NULL));
	ASSERT_EQ(0, nvme_deallocate(nvme, lba + self->f.mib / 2, self->f.mib / 2,
				     self->f.buf));
	ASSERT_RET(0, migration_blackout(&m));
	ASSERT_RET(0, migration_finish(&m, V1_STOPPED));
	migration_free(&m);
	ASSERT_RET(0, nvme_adopt(nvme, &self->f.dev[1]));
	ASSERT_RET(0, v1_set_state(&self->f.v1[1], V1_RUNNING));
	check_all(_metadata, &self->f, 1);
}

/* Pages that are written during pre-copy are sent again. */
TEST_F_TIMEOUT(migrate, writes_in_pre_copy_arrive, 300)
{
	struct migration m = { .from = &self->f.v1[0], .to = &self->f.v1[1] };
	__u32 when;

	write_all(_metadata, &self->f, 1);
	ASSERT_RET(0, migration_begin(&m));
	for (when = 2; when < 6; when++) {
		ASSERT_RET(0, migration_precopy(&m, 1));
		write_all(_metadata, &self->f, when);
	}
	ASSERT_RET(0, migration_blackout(&m));
	ASSERT_RET(0, migration_finish(&m, V1_STOPPED));
	migration_free(&m);
	ASSERT_RET(0, nvme_adopt(&self->f.nvme, &self->f.dev[1]));
	ASSERT_RET(0, v1_set_state(&self->f.v1[1], V1_RUNNING));
	check_all(_metadata, &self->f, 5);
}

/* An open iteration does not change while the device writes to the same pages. */
TEST_F_TIMEOUT(migrate, an_open_iteration_does_not_change_meanwhile, 300)
{
	struct v1 *v1 = &self->f.v1[0];
	struct buffer before = { 0 }, after = { 0 };
	ssize_t size;

	write_all(_metadata, &self->f, 1);
	ASSERT_RET(0, v1_set_state(v1, V1_PRE_COPY));
	size = v1_iteration(v1, &before);
	ASSERT_LT(0, size);
	write_all(_metadata, &self->f, 2);
	ASSERT_EQ(size, v1_iteration(v1, &after));
	EXPECT_EQ(0, memcmp(before.data, after.data, size));
	ASSERT_RET(0, v1_set_state(v1, V1_STOP_COPY));
	after.len = 0;
	ASSERT_EQ(size, v1_iteration(v1, &after));
	EXPECT_EQ(0, memcmp(before.data, after.data, size));

	/* The device's writes are sent later. */
	ASSERT_LT(0, v1_drain(v1, &after));
	ASSERT_RET(0, v1_set_state(v1, V1_STOPPED));
	ASSERT_RET(0, v1_load(&self->f.v1[1], &after, 0));
	ASSERT_RET(0, v1_set_state(&self->f.v1[1], V1_STOPPED));
	ASSERT_RET(0, nvme_adopt(&self->f.nvme, &self->f.dev[1]));
	ASSERT_RET(0, v1_set_state(&self->f.v1[1], V1_RUNNING));
	check_all(_metadata, &self->f, 2);
	buffer_free(&before);
	buffer_free(&after);
}

/* Commands are in flight at the stop, in many rounds, back and forth. */
TEST_F_TIMEOUT(migrate, commands_in_flight_complete_once_on_the_other, 300)
{
	struct nvme *nvme = &self->f.nvme;
	struct flood f;
	int round, here = 0;

	ASSERT_EQ(0, flood_init(&f, nvme, &nvme->io[0], 0));
	for (round = 0; round < 10; round++) {
		struct migration m = {
			.from = &self->f.v1[here], .to = &self->f.v1[!here]
		};

		ASSERT_RET(0, migration_begin(&m));
		ASSERT_RET(0, migration_precopy(&m, 0));
		ASSERT_RET(0, flood_submit(&f, FLOOD_MAX));
		ASSERT_RET(0, nvme_ring(nvme, f.q));
		usleep(round * 200);
		ASSERT_RET(0, migration_blackout(&m));
		ASSERT_RET(0, migration_finish(&m, V1_STOPPED));
		migration_free(&m);
		here = !here;
		ASSERT_RET(0, nvme_adopt(nvme, &self->f.dev[here]));
		ASSERT_RET(0, v1_set_state(&self->f.v1[here], V1_RUNNING));
		ASSERT_RET_FOR(0, flood_finish(&f), "round %d", round);
		EXPECT_EQ(-1, flood_check_reads(&f))
			TH_LOG("round %d: wrong data was read", round);
		EXPECT_EQ(-1, flood_check_blocks(&f, self->f.buf))
			TH_LOG("round %d: wrong data is in the namespace",
			       round);
	}
}

static void wait_irq(struct __test_metadata *_metadata, struct nvme_queue *q)
{
	int i, n = 0;

	for (i = 0; i < 10000 && !n; i++) {
		n = nvme_irqs(q);
		usleep(1000);
	}
	EXPECT_LT(0, n)
		TH_LOG("queue %d: no interrupt in 2 s", q->id);
}

TEST_F_TIMEOUT(migrate, a_doorbell_rung_while_stopped_is_served_there, 120)
{
	struct nvme *nvme = &self->f.nvme;
	struct flood f;

	ASSERT_EQ(0, flood_init(&f, nvme, &nvme->io[1], 0));
	ASSERT_RET(0, v1_set_state(&self->f.v1[0], V1_STOPPED));
	nvme_irqs(f.q);
	ASSERT_RET(0, flood_submit(&f, 16));
	ASSERT_RET(0, nvme_ring(nvme, f.q));
	/* From 000 on, as QEMU migrates a paused guest */
	struct buffer s = { 0 };

	ASSERT_RET(0, v1_save(&self->f.v1[0], &s));
	ASSERT_RET(0, v1_load(&self->f.v1[1], &s, 0));
	ASSERT_RET(0, v1_set_state(&self->f.v1[1], V1_STOPPED));
	ASSERT_RET(0, nvme_adopt(nvme, &self->f.dev[1]));
	EXPECT_EQ(0, nvme_irqs(f.q));
	ASSERT_RET(0, v1_set_state(&self->f.v1[1], V1_RUNNING));
	ASSERT_RET(0, flood_finish(&f));
	wait_irq(_metadata, f.q);
	EXPECT_EQ(-1, flood_check_reads(&f));
	EXPECT_EQ(-1, flood_check_blocks(&f, self->f.buf));
	buffer_free(&s);
}

/*
 * The source wrote completions, and its interrupt may be lost. Their cause still stands, so
 * the target signals. It does not write a completion again.
 */
TEST_F_TIMEOUT(migrate, an_interrupt_with_a_cause_is_signalled_again, 120)
{
	struct nvme *nvme = &self->f.nvme;
	struct nvme_cqe cqe;
	struct flood f;

	ASSERT_EQ(0, flood_init(&f, nvme, &nvme->io[0], 0));
	ASSERT_RET(0, flood_submit(&f, 1));
	ASSERT_RET(0, nvme_ring(nvme, f.q));
	while ((f.q->cq[f.q->head].status & 1) != f.q->phase)
		usleep(1000);
	ASSERT_RET(0, migrate(&self->f.v1[0], &self->f.v1[1]));
	ASSERT_RET(0, nvme_adopt(nvme, &self->f.dev[1]));
	/* Both devices have the same eventfd, so the source's signal is taken first. */
	nvme_irqs(f.q);
	ASSERT_RET(0, v1_set_state(&self->f.v1[1], V1_RUNNING));
	wait_irq(_metadata, f.q);
	ASSERT_RET(0, flood_finish(&f));
	usleep(50000);
	EXPECT_EQ(0, nvme_poll(nvme, f.q, &cqe))
		TH_LOG("a completion came twice");
}

TEST_F(migrate, without_eventfds_nothing_happens)
{
	struct nvme *nvme = &self->f.nvme;
	struct flood f;

	ASSERT_EQ(0, flood_init(&f, nvme, &nvme->io[0], 0));
	ASSERT_RET(0, flood_submit(&f, 1));
	ASSERT_RET(0, nvme_ring(nvme, f.q));
	while ((f.q->cq[f.q->head].status & 1) != f.q->phase)
		usleep(1000);
	ASSERT_RET(0, migrate(&self->f.v1[0], &self->f.v1[1]));
	ASSERT_RET(0, v1_set_state(&self->f.v1[1], V1_RUNNING));
	usleep(20000);
	ASSERT_RET(0, nvme_adopt(nvme, &self->f.dev[1]));
	ASSERT_RET(0, flood_finish(&f));
}

/* Registers are written in 010, so more chunks and another END follow. */
TEST_F(migrate, a_change_while_stopped_brings_another_end)
{
	struct nvme *nvme = &self->f.nvme;
	struct buffer s = { 0 };
	struct flood f;
	__u64 pending;
	int ends;

	ASSERT_EQ(0, flood_init(&f, nvme, &nvme->io[0], 0));
	ASSERT_RET(0, v1_save(&self->f.v1[0], &s));
	ends = stream_count(&s, CHUNK_END);
	ASSERT_RET(0, flood_submit(&f, 8));
	ASSERT_RET(0, nvme_ring(nvme, f.q));
	ASSERT_RET(0, v1_pending(&self->f.v1[0], &pending));
	EXPECT_NE(0, pending)
		TH_LOG("a doorbell was written, and nothing is pending");
	ASSERT_LT(0, v1_drain(&self->f.v1[0], &s));
	EXPECT_EQ(ends + 1, stream_count(&s, CHUNK_END));

	ASSERT_RET(0, v1_load(&self->f.v1[1], &s, 0));
	ASSERT_RET(0, v1_set_state(&self->f.v1[1], V1_STOPPED));
	ASSERT_RET(0, nvme_adopt(nvme, &self->f.dev[1]));
	ASSERT_RET(0, v1_set_state(&self->f.v1[1], V1_RUNNING));
	ASSERT_RET(0, flood_finish(&f));
	buffer_free(&s);
}

TEST_F_TIMEOUT(migrate, cancelled_the_source_goes_on, 120)
{
	struct migration m = { .from = &self->f.v1[0], .to = &self->f.v1[1] };
	struct nvme *nvme = &self->f.nvme;
	struct flood f;
	int i;

	ASSERT_EQ(0, flood_init(&f, nvme, &nvme->io[0], 0));
	for (i = 0; i < 4; i++) {
		ASSERT_RET(0, migration_begin(&m));
		ASSERT_RET(0, migration_precopy(&m, i / 2));
		ASSERT_RET(0, flood_submit(&f, FLOOD_MAX));
		ASSERT_RET(0, nvme_ring(nvme, f.q));
		if (i % 2)
			ASSERT_RET(0, migration_blackout(&m));
		ASSERT_RET(0, v1_set_state(&self->f.v1[0], V1_RUNNING));
		ASSERT_RET(0, device_reset(&self->f.dev[1]));
		ASSERT_RET(0, flood_finish(&f));
		EXPECT_EQ(-1, flood_check_blocks(&f, self->f.buf));
	}
	move_guest(_metadata, &self->f, 1);
	EXPECT_EQ(-1, flood_check_blocks(&f, self->f.buf));
	migration_free(&m);
}

/* A refused stream does not change the target, although pages were staged. */
TEST_F_TIMEOUT(migrate, a_refused_stream_leaves_the_namespace, 300)
{
	struct nvme *nvme = &self->f.nvme;
	struct buffer s = { 0 };
	struct chunk c;

	write_all(_metadata, &self->f, 1);
	move_guest(_metadata, &self->f, 1);
	/*
	 * The second device has generation 1, the first gets 2, and then a save with 1 is
	 * loaded.
	 */
	write_all(_metadata, &self->f, 2);
	ASSERT_RET(0, v1_save(&self->f.v1[1], &s));
	ASSERT_EQ(0, stream_find(&s, CHUNK_END, 0, &c));
	c.hdr->seq ^= htole32(1);
	chunk_sum_header(&c);
	ASSERT_RET(0, device_reset(&self->f.dev[0]));
	ASSERT_RET(-EILSEQ, v1_load(&self->f.v1[0], &s, 0));
	ASSERT_RET(0, device_reset(&self->f.dev[0]));
	nvme_close(nvme);
	ASSERT_EQ(0, nvme_start(nvme, &self->f.dev[0], &self->f.guest, 1, 16));
	check_all(_metadata, &self->f, 1);
	buffer_free(&s);
}

/* Commands and data of a save that started over. Only the last save counts. */
TEST_F_TIMEOUT(migrate, a_save_that_starts_over_replaces_all, 300)
{
	struct migration m = { .from = &self->f.v1[0], .to = &self->f.v1[1] };
	struct nvme *nvme = &self->f.nvme;
	__u64 lba = nvme->nr_lbas / 4;

	/* The first save has sent the data, which is gone when the second save starts. */
	pattern_fill(nvme, self->f.buf, lba, self->f.mib, 1);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, lba, self->f.mib, self->f.buf));
	ASSERT_RET(0, migration_begin(&m));
	ASSERT_RET(0, migration_precopy(&m, 0));
	ASSERT_RET(0, v1_set_state(&self->f.v1[0], V1_RUNNING));
	ASSERT_EQ(0, nvme_deallocate(nvme, lba, self->f.mib, self->f.buf));
	write_all(_metadata, &self->f, 2);
	ASSERT_RET(0, v1_set_state(&self->f.v1[0], V1_PRE_COPY));
	ASSERT_RET(0, migration_precopy(&m, 0));
	ASSERT_RET(0, migration_blackout(&m));
	ASSERT_RET(0, migration_finish(&m, V1_STOPPED));
	migration_free(&m);
	ASSERT_RET(0, nvme_adopt(nvme, &self->f.dev[1]));
	ASSERT_RET(0, v1_set_state(&self->f.v1[1], V1_RUNNING));
	check_all(_metadata, &self->f, 2);
}

/* A device that saves after a load sends the same control state, bit by bit. */
TEST_F(migrate, a_state_loaded_is_saved_the_same)
{
	struct buffer a = { 0 }, b = { 0 };
	struct chunk ca, cb;
	int i;

	ASSERT_RET(0, v1_save(&self->f.v1[0], &a));
	ASSERT_RET(0, v1_load(&self->f.v1[1], &a, 0));
	ASSERT_RET(0, v1_set_state(&self->f.v1[1], V1_STOPPED));
	ASSERT_RET(0, v1_save(&self->f.v1[1], &b));
	for (i = 0; !stream_find(&a, CHUNK_CONTROL, i, &ca); i++) {
		ASSERT_EQ(0, stream_find(&b, CHUNK_CONTROL, i, &cb));
		ASSERT_EQ(ca.length, cb.length);
		EXPECT_EQ(0, memcmp(ca.payload, cb.payload, ca.length));
	}
	EXPECT_LT(0, i);
	buffer_free(&a);
	buffer_free(&b);
}

static void need_two(void)
{
	suite_need_nvme();
	suite_need_stream();
	suite_need_b();
}

SUITE_MAIN(need_two())
