// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copy (NVMe TP 4065) is compared with a model of the namespace: the data, the limits in
 * Identify, and that a copy of deallocated blocks allocates nothing.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "lib/nvme_errors.h"
#include "lib/nvme_fixture.h"

#define IDENTIFY	0x06

#define SPAN		1024		/* number of blocks in the model */
#define RANGES_MAX	256
#define BLOCK_MAX	4096

/* Source range entry, descriptor format 0 */
struct source {
	__u64 rsvd;
	__u64 lba;
	__u16 nr;			/* 0's based */
	__u8 rest[14];
};

struct copier {
	struct nvme_fixture f;
	struct source *source;
	unsigned char *buf;		/* buffer of SPAN blocks for the device */
	unsigned char *model;
	__u32 single_max, total_max, ranges_max;
	__u32 entry;			/* dword 0 of the last completion */
};

FIXTURE(copy) {
	struct copier c;
};

static int identify(struct nvme *nvme, __u32 nsid, __u32 cns, void *page)
{
	struct nvme_cmd cmd = {
		.opcode = IDENTIFY, .nsid = nsid, .cdw10 = cns,
		.prp1 = guest_iova(nvme->guest, page),
	};

	return nvme_do(nvme, &nvme->admin, &cmd, NULL);
}

/* Returns the number of blocks in use, from Identify. */
static __u64 used(struct nvme *nvme, void *page)
{
	return identify(nvme, 1, 0, page) ? ~0ULL : le64toh(((__u64 *)page)[2]);
}

FIXTURE_SETUP(copy)
{
	struct nvme *nvme = &self->c.f.nvme;
	unsigned char *id;
	__u16 oncs, single;

	nvme_fixture_open(_metadata, &self->c.f, 16 << 20);
	self->c.source = guest_alloc(&self->c.f.guest, 2 * GUEST_PAGE);
	memset(self->c.source, 0, RANGES_MAX * sizeof(*self->c.source));
	self->c.buf = guest_alloc(&self->c.f.guest, SPAN * nvme->lba_size);
	self->c.model = calloc(SPAN, nvme->lba_size);
	ASSERT_NE(NULL, self->c.model);
	id = self->c.buf;
	ASSERT_EQ(0, identify(nvme, 0, 1, id));
	memcpy(&oncs, id + 520, sizeof(oncs));
	if (!(oncs & 1 << 8))
		SKIP(return, "no Copy");
	/* OCFS: format 0, and no reserved format */
	EXPECT_EQ(1, id[534] & 1);
	ASSERT_EQ(0, identify(nvme, 1, 0, id));
	memcpy(&single, id + 74, sizeof(single));
	memcpy(&self->c.total_max, id + 76, sizeof(self->c.total_max));
	self->c.single_max = single;
	self->c.ranges_max = id[80] + 1;
	ASSERT_EQ(0, nvme_deallocate(nvme, 0, nvme->nr_lbas, self->c.buf));
}

FIXTURE_TEARDOWN(copy)
{
	free(self->c.model);
	nvme_fixture_close(&self->c.f);
}

/* Copies the first @nr sources. Returns the status, and keeps dword 0 of the completion. */
static int copy(struct copier *self, __u64 to, __u32 nr)
{
	struct nvme *nvme = &self->f.nvme;
	struct nvme_cmd cmd = {
		.opcode = NVME_OP_COPY, .nsid = 1,
		.prp1 = guest_iova(nvme->guest, self->source),
		.prp2 = guest_iova(nvme->guest, self->source) + GUEST_PAGE,
		.cdw10 = to, .cdw11 = to >> 32, .cdw12 = nr - 1,
	};
	int ret = nvme_do(nvme, &nvme->io[0], &cmd, &self->entry);

	return ret < 0 ? ret : ret & ST_CODE;
}

static void set_source(struct copier *self, int i, __u64 lba, __u32 nr)
{
	self->source[i].lba = htole64(lba);
	self->source[i].nr = htole16(nr - 1);
}

/* Writes different blocks, also to the model. */
static int fill(struct copier *self, __u32 lba, __u32 nr)
{
	struct nvme *nvme = &self->f.nvme;

	pattern_fill(nvme, self->buf, lba, nr, 1);
	memcpy(self->model + lba * nvme->lba_size, self->buf,
	       nr * nvme->lba_size);
	return nvme_io(nvme, NVME_OP_WRITE, lba, nr, self->buf);
}

/* The expected effect of copy(): it reads all sources before it writes. */
static void model_copy(struct copier *self, __u32 to, __u32 nr)
{
	__u32 size = self->f.nvme.lba_size, len, i;
	unsigned char *all = malloc(SPAN * size), *at = all;

	for (i = 0; i < nr; i++, at += len) {
		len = (le16toh(self->source[i].nr) + 1) * size;
		memcpy(at, self->model + le64toh(self->source[i].lba) * size, len);
	}
	memcpy(self->model + to * size, all, at - all);
	free(all);
}

/* Returns the first block that differs from the model, or -1. */
static int differs(struct copier *self)
{
	struct nvme *nvme = &self->f.nvme;
	__u32 i;

	if (nvme_io(nvme, NVME_OP_READ, 0, SPAN, self->buf))
		return SPAN;
	for (i = 0; i < SPAN; i++)
		if (memcmp(self->buf + i * nvme->lba_size,
			   self->model + i * nvme->lba_size, nvme->lba_size))
			return i;
	return -1;
}

static void copy_both(struct __test_metadata *_metadata,
		      struct copier *self, __u32 to, __u32 nr)
{
	EXPECT_EQ(0, copy(self, to, nr));
	EXPECT_EQ(0, self->entry);
	model_copy(self, to, nr);
	EXPECT_EQ(-1, differs(self));
}

TEST_F(copy, one_range)
{
	ASSERT_EQ(0, fill(&self->c, 0, 64));
	set_source(&self->c, 0, 0, 16);
	copy_both(_metadata, &self->c, 128, 1);
}

/* Source and destination have different offsets in their pages. */
TEST_F(copy, a_range_that_is_not_aligned)
{
	ASSERT_EQ(0, fill(&self->c, 0, 256));
	set_source(&self->c, 0, 3, 29);
	copy_both(_metadata, &self->c, 102, 1);
	set_source(&self->c, 0, 255, 1);
	copy_both(_metadata, &self->c, 511, 1);
}

TEST_F(copy, several_ranges_one_behind_the_other)
{
	ASSERT_EQ(0, fill(&self->c, 0, 256));
	set_source(&self->c, 0, 100, 10);
	set_source(&self->c, 1, 7, 1);
	set_source(&self->c, 2, 60, 33);
	/* The same blocks may be copied twice. */
	set_source(&self->c, 3, 99, 20);
	copy_both(_metadata, &self->c, 301, 4);
}

TEST_F(copy, as_many_ranges_as_there_may_be)
{
	__u32 i;

	ASSERT_GE(SPAN / 2, self->c.ranges_max);
	ASSERT_EQ(0, fill(&self->c, 0, 512));
	for (i = 0; i < self->c.ranges_max; i++)
		set_source(&self->c, i, 511 - i, 1);
	copy_both(_metadata, &self->c, 512, self->c.ranges_max);
}

TEST_F(copy, onto_itself_forwards_and_backwards)
{
	ASSERT_EQ(0, fill(&self->c, 0, 256));
	set_source(&self->c, 0, 0, 100);
	copy_both(_metadata, &self->c, 9, 1);
	set_source(&self->c, 0, 60, 100);
	copy_both(_metadata, &self->c, 51, 1);
	set_source(&self->c, 0, 40, 8);
	copy_both(_metadata, &self->c, 40, 1);
	/* The second source is the destination of the first one. */
	set_source(&self->c, 0, 0, 20);
	set_source(&self->c, 1, 80, 20);
	copy_both(_metadata, &self->c, 80, 2);
}

/* Blocks that were never written read as zeros after they are copied, and take no memory. */
TEST_F(copy, nothing_is_copied_as_nothing)
{
	struct nvme *nvme = &self->c.f.nvme;
	__u64 before, after;

	ASSERT_EQ(0, fill(&self->c, 0, 64));
	before = used(nvme, self->c.buf);
	set_source(&self->c, 0, 256, 256);
	copy_both(_metadata, &self->c, 600, 1);
	EXPECT_EQ(before, used(nvme, self->c.buf));
	/* The copy overwrites data. 64 blocks of whole pages free their memory. */
	set_source(&self->c, 0, 512, 64);
	copy_both(_metadata, &self->c, 0, 1);
	after = used(nvme, self->c.buf);
	EXPECT_EQ(64, before - after);
}

TEST_F(copy, of_part_of_a_page_leaves_the_rest)
{
	ASSERT_EQ(0, fill(&self->c, 0, 64));
	set_source(&self->c, 0, 901, 3);
	copy_both(_metadata, &self->c, 17, 1);
	set_source(&self->c, 0, 50, 3);
	copy_both(_metadata, &self->c, 903, 1);
}

TEST_F(copy, limits_of_the_length)
{
	ASSERT_LE(1U, self->c.single_max);
	ASSERT_LE(self->c.single_max, self->c.total_max);

	set_source(&self->c, 0, 0, self->c.single_max);
	EXPECT_EQ(0, copy(&self->c, self->c.single_max, 1));
	if (self->c.single_max < 1 << 16) {
		set_source(&self->c, 0, 0, self->c.single_max + 1);
		EXPECT_EQ(ST_COPY_LIMIT, copy(&self->c, 2 * self->c.single_max, 1));
	}
	set_source(&self->c, 0, 0, self->c.single_max);
	set_source(&self->c, 1, 0, 1);
	if (self->c.single_max == self->c.total_max) {
		EXPECT_EQ(ST_COPY_LIMIT, copy(&self->c, 0, 2));
		EXPECT_EQ(1, self->c.entry);
	}
}

TEST_F(copy, limit_of_the_number_of_ranges)
{
	__u32 i;

	if (self->c.ranges_max == RANGES_MAX)
		SKIP(return, "as many as can be named");
	for (i = 0; i <= self->c.ranges_max; i++)
		set_source(&self->c, i, i, 1);
	EXPECT_EQ(0, copy(&self->c, 512, self->c.ranges_max));
	EXPECT_EQ(ST_COPY_LIMIT, copy(&self->c, 512, self->c.ranges_max + 1));
}

/* One bad range among valid ones: the result names it, and nothing is copied. */
TEST_F(copy, a_range_behind_the_end_among_others)
{
	ASSERT_EQ(0, fill(&self->c, 0, 64));
	set_source(&self->c, 0, 0, 8);
	set_source(&self->c, 1, 8, 8);
	set_source(&self->c, 2, self->c.f.nvme.nr_lbas - 7, 8);
	set_source(&self->c, 3, 8, 8);
	EXPECT_EQ(ST_LBA_RANGE, copy(&self->c, 128, 4));
	EXPECT_EQ(2, self->c.entry);
	EXPECT_EQ(-1, differs(&self->c));

	set_source(&self->c, 2, -1ULL, 2);
	EXPECT_EQ(ST_LBA_RANGE, copy(&self->c, 128, 4));
	EXPECT_EQ(2, self->c.entry);
	EXPECT_EQ(-1, differs(&self->c));
}

/* Each source is valid, but together they exceed the namespace at the destination. */
TEST_F(copy, to_over_the_end)
{
	ASSERT_EQ(0, fill(&self->c, 0, 64));
	set_source(&self->c, 0, 0, 8);
	set_source(&self->c, 1, 8, 8);
	EXPECT_EQ(0, copy(&self->c, self->c.f.nvme.nr_lbas - 16, 2));
	EXPECT_EQ(ST_LBA_RANGE, copy(&self->c, self->c.f.nvme.nr_lbas - 15, 2));
	EXPECT_EQ(-1, differs(&self->c));
}

SUITE_MAIN(suite_need_mnvme())
