// SPDX-License-Identifier: GPL-2.0-only
/*
 * The benefit of pre-copy: the stop-and-copy phase moves only data that changed since it was
 * sent. Pages of zeros are not sent, and take no memory. The figures are those of mnvme
 * devices.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/fixture.h"
#include "lib/mdev.h"
#include "lib/migrate.h"
#include "lib/nvme.h"
#include "lib/stream.h"

#define MIB		0x100000ULL
#define BLACKOUT_SLACK	(64ULL << 10)
#define MEMORY_USED	"/sys/class/mnvme/mnvme/memory_used"

/* Two empty devices of another size */
struct pair {
	struct mdev mdev[2];
	struct device dev[2];
	struct v1 v1[2];
	struct guest guest;
	struct nvme nvme;
	unsigned char *buf;	/* 1 MiB */
	__u32 mib;		/* blocks in it */
};

static void pair_open(struct __test_metadata *_metadata, struct pair *p,
		      const char *type)
{
	int i;

	ASSERT_RET(0, guest_create(&p->guest, 8 << 20));
	for (i = 0; i < 2; i++) {
		ASSERT_RET_FOR(0, mdev_create(&p->mdev[i], "mnvme", type),
			       "type %s", type);
		fixture_open(_metadata, p->mdev[i].path, &p->dev[i], &p->v1[i]);
		ASSERT_RET(0, guest_attach(&p->guest, &p->dev[i]));
		ASSERT_RET(0, v1_map(&p->v1[i]));
	}
	ASSERT_EQ(0, nvme_start(&p->nvme, &p->dev[0], &p->guest, 1, 64));
	p->buf = guest_alloc(&p->guest, MIB);
	p->mib = MIB / p->nvme.lba_size;
}

static void pair_close(struct pair *p)
{
	int i;

	nvme_close(&p->nvme);
	for (i = 0; i < 2; i++) {
		fixture_close(&p->dev[i], &p->v1[i]);
		mdev_remove(&p->mdev[i]);
	}
	guest_destroy(&p->guest);
}

static void write_mibs(struct __test_metadata *_metadata, struct pair *p,
		       __u32 first, __u32 nr, __u32 when)
{
	__u32 i;

	for (i = first; i < first + nr; i++) {
		__u64 lba = (__u64)i * p->mib;

		pattern_fill(&p->nvme, p->buf, lba, p->mib, when);
		ASSERT_EQ(0, nvme_io(&p->nvme, NVME_OP_WRITE, lba, p->mib,
				     p->buf));
	}
}

static void check_mibs(struct __test_metadata *_metadata, struct pair *p,
		       __u32 first, __u32 nr, __u32 when)
{
	__u32 i;

	for (i = first; i < first + nr; i++) {
		__u64 lba = (__u64)i * p->mib;

		ASSERT_EQ(0, nvme_io(&p->nvme, NVME_OP_READ, lba, p->mib,
				     p->buf));
		ASSERT_EQ(-1, pattern_check(&p->nvme, p->buf, lba, p->mib,
					    when))
			TH_LOG("MiB %u is not what was written", i);
	}
}

/* Writes single pages, spread over the written part. */
static void dirty_pages(struct __test_metadata *_metadata, struct pair *p,
			__u32 mibs, __u32 nr)
{
	__u32 blocks = STREAM_PAGE / p->nvme.lba_size, i;
	__u64 pages = mibs * MIB / STREAM_PAGE;

	for (i = 0; i < nr; i++) {
		__u64 lba = i * (pages / nr) * blocks;

		pattern_fill(&p->nvme, p->buf, lba, blocks, 7);
		ASSERT_EQ(0, nvme_io(&p->nvme, NVME_OP_WRITE, lba, blocks,
				     p->buf));
	}
}

/* The same places have the new data, and all other places have the old data. */
static void check_pages(struct __test_metadata *_metadata, struct pair *p,
			__u32 mibs, __u32 nr)
{
	__u32 blocks = STREAM_PAGE / p->nvme.lba_size, when;
	__u64 pages = mibs * MIB / STREAM_PAGE, page, at;

	for (page = 0; page < pages; page++) {
		at = page * STREAM_PAGE % MIB;
		if (!at)
			ASSERT_EQ(0, nvme_io(&p->nvme, NVME_OP_READ,
					     page * blocks, p->mib, p->buf));
		when = nr && page % (pages / nr) == 0 &&
		       page / (pages / nr) < nr ? 7 : 1;
		ASSERT_EQ(-1, pattern_check(&p->nvme, p->buf + at,
					    page * blocks, blocks, when))
			TH_LOG("page %llu is not what was written", page);
	}
}

static long long memory_used(void)
{
	char text[32] = "";
	ssize_t len;
	int fd;

	fd = open(MEMORY_USED, O_RDONLY);
	if (fd < 0)
		return -1;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	return len > 0 ? atoll(text) : -1;
}

FIXTURE(stop_and_copy) {
	struct pair p;
	long long memory;
};

FIXTURE_VARIANT(stop_and_copy) {
	__u32 dirty;		/* pages that are written between pre-copy and the stop */
};

FIXTURE_VARIANT_ADD(stop_and_copy, of_a_quiet_device) { .dirty = 0 };

FIXTURE_VARIANT_ADD(stop_and_copy, of_1_dirty_page) { .dirty = 1 };

FIXTURE_VARIANT_ADD(stop_and_copy, of_1000_dirty_pages) { .dirty = 1000 };

FIXTURE_SETUP(stop_and_copy)
{
	self->memory = memory_used();
	ASSERT_LE(0, self->memory)
		TH_LOG("no %s", MEMORY_USED);
	pair_open(_metadata, &self->p, "1G");
}

FIXTURE_TEARDOWN(stop_and_copy)
{
	pair_close(&self->p);
	/* The module's memory figure must have its old value again. */
	EXPECT_EQ(self->memory, memory_used());
}

/* 512 MiB are written, and the VMM reads all data of pre-copy. */
TEST_F_TIMEOUT(stop_and_copy, moves_dirty_pages_and_at_most_64k, 600)
{
	struct pair *p = &self->p;
	struct migration m = { .from = &p->v1[0], .to = &p->v1[1] };
	__u64 most = variant->dirty * (__u64)STREAM_PAGE + BLACKOUT_SLACK;

	write_mibs(_metadata, p, 0, 512, 1);
	ASSERT_RET(0, migration_begin(&m));
	ASSERT_RET(0, migration_precopy(&m, 0));
	if (variant->dirty)
		dirty_pages(_metadata, p, 512, variant->dirty);
	ASSERT_RET(0, migration_blackout(&m));
	ASSERT_RET(0, migration_finish(&m, V1_STOPPED));
	migration_free(&m);

	TH_LOG("pre-copy %llu bytes, stop-and-copy %llu bytes, at most %llu allowed",
	       m.precopy_bytes, m.blackout_bytes, most);
	EXPECT_LE(512 * MIB, m.precopy_bytes);
	EXPECT_GE(512 * MIB + 8 * MIB, m.precopy_bytes)
		TH_LOG("an idle device's pages were sent more than once");
	EXPECT_GE(most, m.blackout_bytes);

	ASSERT_RET(0, nvme_adopt(&p->nvme, &p->dev[1]));
	ASSERT_RET(0, v1_set_state(&p->v1[1], V1_RUNNING));
	check_pages(_metadata, p, 512, variant->dirty);
}

FIXTURE(sparse) {
	struct pair p;
	long long memory;
	struct buffer stream;
};

FIXTURE_VARIANT(sparse) {
	const char *type;
};

FIXTURE_VARIANT_ADD(sparse, in_64M) { .type = "64M" };

FIXTURE_VARIANT_ADD(sparse, in_1G) { .type = "1G" };

FIXTURE_VARIANT_ADD(sparse, in_16G) { .type = "16G" };

FIXTURE_VARIANT_ADD(sparse, in_64M_of_4k_blocks) { .type = "64M-4k" };

FIXTURE_SETUP(sparse)
{
	self->memory = memory_used();
	pair_open(_metadata, &self->p, variant->type);
}

FIXTURE_TEARDOWN(sparse)
{
	buffer_free(&self->stream);
	pair_close(&self->p);
	/* The module's memory figure must have its old value again. */
	EXPECT_EQ(self->memory, memory_used());
}

static void keep_stream(struct __test_metadata *_metadata, struct pair *p,
			struct buffer *stream)
{
	struct migration m = {
		.from = &p->v1[0], .to = &p->v1[1], .keep = stream
	};

	ASSERT_RET(0, migration_begin(&m));
	ASSERT_RET(0, migration_precopy(&m, 0));
	ASSERT_RET(0, migration_blackout(&m));
	ASSERT_RET(0, migration_finish(&m, V1_STOPPED));
	migration_free(&m);
	ASSERT_RET(0, nvme_adopt(&p->nvme, &p->dev[1]));
	ASSERT_RET(0, v1_set_state(&p->v1[1], V1_RUNNING));
}

TEST_F_TIMEOUT(sparse, untouched_it_is_less_than_a_mebibyte, 120)
{
	struct pages_total pages;

	keep_stream(_metadata, &self->p, &self->stream);
	TH_LOG("%zu bytes of stream", self->stream.len);
	EXPECT_GT(MIB, self->stream.len);
	ASSERT_EQ(0, stream_pages(&self->stream, &pages));
	EXPECT_EQ(0, pages.data);
	EXPECT_EQ(self->memory, memory_used());
}

/* Written zeros, blocks that were written and deallocated, and one page */
TEST_F_TIMEOUT(sparse, pages_of_zeros_are_not_sent, 120)
{
	struct pair *p = &self->p;
	struct pages_total pages;

	memset(p->buf, 0, MIB);
	ASSERT_EQ(0, nvme_io(&p->nvme, NVME_OP_WRITE, 8 * p->mib, p->mib,
			     p->buf));
	write_mibs(_metadata, p, 16, 2, 1);
	ASSERT_EQ(0, nvme_deallocate(&p->nvme, 16 * p->mib, p->mib, p->buf));
	ASSERT_EQ(0, nvme_io(&p->nvme, NVME_OP_WRITE_ZEROES, 17 * p->mib,
			     p->mib, NULL));
	write_mibs(_metadata, p, 32, 1, 1);

	keep_stream(_metadata, p, &self->stream);
	ASSERT_EQ(0, stream_pages(&self->stream, &pages));
	EXPECT_EQ(MIB / STREAM_PAGE, pages.data)
		TH_LOG("%llu pages were sent, of which %llu are zeros",
		       pages.data, pages.zero);
	EXPECT_EQ(0, pages.zero);
	check_mibs(_metadata, p, 32, 1, 1);
}

/* The end of a session frees the staged data, however the session ends. */
TEST_F_TIMEOUT(sparse, memory_is_freed_after_a_cancelled_load, 120)
{
	struct pair *p = &self->p;
	struct migration m = { .from = &p->v1[0], .to = &p->v1[1] };
	long long before;

	write_mibs(_metadata, p, 0, 32, 1);
	before = memory_used();
	EXPECT_LE(self->memory + 32 * (long long)MIB, before);

	ASSERT_RET(0, migration_begin(&m));
	ASSERT_RET(0, migration_precopy(&m, 0));
	EXPECT_LE(before + 32 * (long long)MIB, memory_used());
	ASSERT_RET(0, device_reset(&p->dev[1]));
	ASSERT_RET(0, v1_set_state(&p->v1[0], V1_RUNNING));
	EXPECT_EQ(before, memory_used())
		TH_LOG("after a reset of the target and a cancelled save");

	ASSERT_RET(0, migration_begin(&m));
	ASSERT_RET(0, migration_precopy(&m, 0));
	fixture_close(&p->dev[1], &p->v1[1]);
	ASSERT_RET(0, v1_set_state(&p->v1[0], V1_RUNNING));
	EXPECT_EQ(before, memory_used())
		TH_LOG("after the target was closed");
	fixture_open(_metadata, p->mdev[1].path, &p->dev[1], &p->v1[1]);
	migration_free(&m);

	ASSERT_EQ(0, nvme_deallocate(&p->nvme, 0, 32 * p->mib, p->buf));
	EXPECT_EQ(self->memory, memory_used())
		TH_LOG("after all was deallocated");
}

/* The memory of a loaded state is allocated before the transition that cannot fail. */
TEST_F_TIMEOUT(sparse, leaving_100_takes_no_memory, 120)
{
	struct pair *p = &self->p;
	struct migration m = { .from = &p->v1[0], .to = &p->v1[1] };
	long long before, loaded;

	write_mibs(_metadata, p, 0, 32, 1);
	before = memory_used();
	ASSERT_RET(0, migration_begin(&m));
	ASSERT_RET(0, migration_precopy(&m, 0));
	ASSERT_RET(0, migration_blackout(&m));
	loaded = memory_used();
	EXPECT_LE(before + 32 * (long long)MIB, loaded);
	ASSERT_RET(0, migration_finish(&m, V1_STOPPED));
	EXPECT_EQ(loaded, memory_used());
	migration_free(&m);
}

/* pending_bytes is 0 if nothing is dirty that can be sent in pre-copy. */
TEST_F_TIMEOUT(sparse, pre_copy_goes_quiet_and_wakes_up_again, 120)
{
	struct pair *p = &self->p;
	struct buffer *s = &self->stream;
	__u64 pending;

	ASSERT_RET(0, v1_set_state(&p->v1[0], V1_PRE_COPY));
	ASSERT_LE(0, v1_drain(&p->v1[0], s));
	EXPECT_REG64(0, &p->v1[0], V1_PENDING_BYTES);
	write_mibs(_metadata, p, 3, 1, 1);
	ASSERT_RET(0, v1_pending(&p->v1[0], &pending));
	EXPECT_NE(0, pending)
		TH_LOG("1 MiB was written, and nothing is pending");
	s->len = 0;
	ASSERT_LE(0, v1_drain(&p->v1[0], s));
	EXPECT_LE(MIB, s->len);
	EXPECT_GE(MIB + BLACKOUT_SLACK, s->len);
	EXPECT_REG64(0, &p->v1[0], V1_PENDING_BYTES);
	/* A read does not make a page dirty. */
	check_mibs(_metadata, p, 3, 1, 1);
	EXPECT_REG64(0, &p->v1[0], V1_PENDING_BYTES);
}

SUITE_MAIN(suite_need_mnvme())
