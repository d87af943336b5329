// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pre-copy by the v2 protocol, of mnvme devices in use: the rest for STOP_COPY, and the values
 * of VFIO_MIG_GET_PRECOPY_INFO and poll() before
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "lib/fixture.h"
#include "lib/mdev.h"
#include "lib/migrate.h"
#include "lib/nvme.h"
#include "lib/stream.h"
#include "lib/suite.h"
#include "lib/v2.h"

#define MIB		0x100000ULL
#define BLACKOUT_SLACK	(64ULL << 10)
#define WRITTEN		(32 * MIB)

/* Two devices. The first has a driver. */
struct rig {
	struct mdev mdev[2];
	struct device dev[2];
	struct v2 v2[2];
	struct guest guest;
	struct nvme nvme;
	struct buffer stream;
	unsigned char *buf;	/* 1 MiB */
	__u32 blocks;		/* of a page */
};

FIXTURE(precopy) {
	struct rig rig;
};

FIXTURE_VARIANT(precopy) {
	__u32 dirty;		/* pages written between two reads */
};

FIXTURE_VARIANT_ADD(precopy, of_a_quiet_device) { .dirty = 0 };

FIXTURE_VARIANT_ADD(precopy, with_1_dirty_page) { .dirty = 1 };

FIXTURE_VARIANT_ADD(precopy, with_1000_dirty_pages) { .dirty = 1000 };

FIXTURE_SETUP(precopy)
{
	struct rig *r = &self->rig;
	int i;

	ASSERT_RET(0, guest_create(&r->guest, 8 << 20));
	for (i = 0; i < 2; i++) {
		ASSERT_RET(0, mdev_create(&r->mdev[i], "mnvme", "64M"));
		ASSERT_RET(0, device_open(&r->dev[i], r->mdev[i].path));
		ASSERT_RET(0, v2_open(&r->v2[i], &r->dev[i]));
		ASSERT_RET(0, guest_attach(&r->guest, &r->dev[i]));
	}
	ASSERT_EQ(0, nvme_start(&r->nvme, &r->dev[0], &r->guest, 1, 64));
	r->buf = guest_alloc(&r->guest, MIB);
	r->blocks = STREAM_PAGE / r->nvme.lba_size;
}

FIXTURE_TEARDOWN(precopy)
{
	struct rig *r = &self->rig;
	int i;

	buffer_free(&r->stream);
	nvme_close(&r->nvme);
	for (i = 0; i < 2; i++) {
		v2_close(&r->v2[i]);
		device_close(&r->dev[i]);
		mdev_remove(&r->mdev[i]);
	}
	guest_destroy(&r->guest);
}

static int write_at(struct nvme *nvme, void *buf, __u64 lba, __u32 blocks,
		    __u32 when)
{
	pattern_fill(nvme, buf, lba, blocks, when);
	return nvme_io(nvme, NVME_OP_WRITE, lba, blocks, buf);
}

/* Writes single pages, spread over the written part. */
static void dirty_pages(struct __test_metadata *_metadata,
			struct rig *r, __u32 nr, __u32 when)
{
	__u64 pages = WRITTEN / STREAM_PAGE;
	__u32 i;

	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, write_at(&r->nvme, r->buf,
				      i * (pages / nr) * r->blocks,
				      r->blocks, when));
}

static void write_all(struct __test_metadata *_metadata,
		      struct rig *r)
{
	__u32 mib = MIB / r->nvme.lba_size, i;

	for (i = 0; i < WRITTEN / MIB; i++)
		ASSERT_EQ(0, write_at(&r->nvme, r->buf, (__u64)i * mib,
				      mib, 1));
}

/* The last written pages have the number @when, and all others have the first number. */
static void check_all(struct __test_metadata *_metadata,
		      struct rig *r, __u32 nr, __u32 when)
{
	__u64 pages = WRITTEN / STREAM_PAGE, page;
	__u32 want;

	for (page = 0; page < pages; page++) {
		want = nr && page % (pages / nr) == 0 &&
		       page / (pages / nr) < nr ? when : 1;
		ASSERT_EQ(0, nvme_io(&r->nvme, NVME_OP_READ,
				     page * r->blocks, r->blocks,
				     r->buf));
		ASSERT_EQ(-1, pattern_check(&r->nvme, r->buf,
					    page * r->blocks, r->blocks,
					    want))
			TH_LOG("page %llu is not what was written", page);
	}
}

static void load(struct __test_metadata *_metadata, struct rig *r)
{
	ASSERT_RET(0, v2_load(&r->v2[1], &r->stream, 0));
	ASSERT_RET(0, nvme_adopt(&r->nvme, &r->dev[1]));
	ASSERT_RET(0, v2_set_state(&r->v2[1], V2_RUNNING));
}

/* Rounds of pre-copy, each after a number of dirty pages, and then the stop-and-copy phase */
TEST_F_TIMEOUT(precopy, STOP_COPY_moves_dirty_pages_and_at_most_64k, 120)
{
	struct rig *r = &self->rig;
	__u64 most = variant->dirty * (__u64)STREAM_PAGE + BLACKOUT_SLACK;
	ssize_t sent;
	__u32 round;

	write_all(_metadata, r);
	ASSERT_RET(0, v2_set_state(&r->v2[0], V2_PRE_COPY));
	sent = v2_drain(&r->v2[0], &r->stream, 0);
	EXPECT_LE((ssize_t)WRITTEN, sent);
	for (round = 2; round < 5; round++) {
		dirty_pages(_metadata, r, variant->dirty, round);
		sent = v2_drain(&r->v2[0], &r->stream, 0);
		ASSERT_LE(0, sent);
		EXPECT_GE(most, (__u64)sent)
			TH_LOG("round %u sent more than was dirtied", round);
	}
	dirty_pages(_metadata, r, variant->dirty, round);
	ASSERT_RET(0, v2_set_state(&r->v2[0], V2_STOP_COPY));
	sent = v2_drain(&r->v2[0], &r->stream, 0);
	TH_LOG("%zd bytes in STOP_COPY, %llu allowed", sent, most);
	EXPECT_LT(0, sent);
	EXPECT_GE(most, (__u64)sent);

	load(_metadata, r);
	check_all(_metadata, r, variant->dirty, round);
}

/* The reported size must be enough, and not too large. */
TEST_F_TIMEOUT(precopy, the_info_tells_what_is_dirty, 120)
{
	struct rig *r = &self->rig;
	struct v2_precopy_info info = { .argsz = sizeof(info) };
	__u64 most = variant->dirty * (__u64)STREAM_PAGE + BLACKOUT_SLACK;

	write_all(_metadata, r);
	ASSERT_RET(0, v2_set_state(&r->v2[0], V2_PRE_COPY));
	ASSERT_RET(0, v2_precopy_info(&r->v2[0], &info));
	EXPECT_LE(WRITTEN, info.initial_bytes + info.dirty_bytes);
	EXPECT_GE(WRITTEN + BLACKOUT_SLACK + WRITTEN / 64,
		  info.initial_bytes + info.dirty_bytes);

	ASSERT_LT(0, v2_drain(&r->v2[0], &r->stream, 0));
	ASSERT_RET(0, v2_precopy_info(&r->v2[0], &info));
	EXPECT_EQ(0, info.initial_bytes);
	EXPECT_EQ(0, info.dirty_bytes);

	dirty_pages(_metadata, r, variant->dirty, 2);
	ASSERT_RET(0, v2_precopy_info(&r->v2[0], &info));
	EXPECT_EQ(0, info.initial_bytes);
	EXPECT_LE(variant->dirty * (__u64)STREAM_PAGE, info.dirty_bytes);
	EXPECT_GE(most, info.dirty_bytes);
}

/* poll() does not report an empty file, and reports it when it has data again. */
TEST_F(precopy, poll_tells_when_there_is_something)
{
	struct rig *r = &self->rig;
	struct pollfd p = { .events = POLLIN };
	char byte;

	ASSERT_RET(0, v2_set_state(&r->v2[0], V2_PRE_COPY));
	ASSERT_LT(0, v2_drain(&r->v2[0], &r->stream, 0));
	p.fd = r->v2[0].data;
	EXPECT_EQ(0, poll(&p, 1, 0));
	EXPECT_RET(-ENOMSG, v2_read(&r->v2[0], &byte, 1));

	dirty_pages(_metadata, r, variant->dirty, 2);
	EXPECT_EQ(variant->dirty ? 1 : 0, poll(&p, 1, 0));
	EXPECT_EQ(variant->dirty ? POLLIN : 0, p.revents & POLLIN);

	ASSERT_RET(0, v2_set_state(&r->v2[0], V2_STOP_COPY));
	EXPECT_EQ(1, poll(&p, 1, 1000));
}

static void need_pre_copy(void)
{
	suite_need_mnvme();
	suite_need_pre_copy();
}

SUITE_MAIN(need_pre_copy())
