// SPDX-License-Identifier: GPL-2.0-only
/*
 * The v2 data file and its chunks in pre-copy: where a read ends, the reported initial data,
 * and a save that another save replaces. The device is mscratch, because a test can write its
 * memory directly.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/knob.h"
#include "lib/scratch.h"
#include "lib/stream.h"
#include "lib/suite.h"
#include "lib/v2.h"

#define WINDOW_KIB	64
#define MIB		(1UL << 20)
#define PAGE		4096UL
#define WRITTEN		(8 * MIB)

static struct mdev mdev[2];

struct side {
	struct device dev;
	struct v2 v2;
	struct region bar;
};

FIXTURE(chunks) {
	struct side a;
	struct side b;
	struct buffer stream;
	struct v2_precopy_info info;
	unsigned char *mem;	/* content of the memory */
};

static void side_open(struct __test_metadata *_metadata, struct side *s, int i)
{
	ASSERT_RET(0, device_open(&s->dev, mdev[i].path));
	ASSERT_RET(0, v2_open(&s->v2, &s->dev));
	ASSERT_RET(0, region_open(&s->bar, &s->dev, VFIO_PCI_BAR2_REGION_INDEX));
}

static void side_close(struct side *s)
{
	v2_close(&s->v2);
	device_close(&s->dev);
}

/* Changes the content of @len bytes from @at on. */
static void fill(struct __test_metadata *_metadata, struct _test_data_chunks *self,
		 size_t at, size_t len, unsigned int what)
{
	size_t i;

	for (i = at; i < at + len; i += sizeof(what))
		*(unsigned int *)(self->mem + i) = what * 0x9e3779b9 + i;
	ASSERT_RET(0, region_write_all(&self->a.bar, at, self->mem + at, len));
}

FIXTURE_SETUP(chunks)
{
	side_open(_metadata, &self->a, 0);
	side_open(_metadata, &self->b, 1);
	self->mem = calloc(1, WRITTEN);
	ASSERT_NE(NULL, self->mem);
	fill(_metadata, self, 0, WRITTEN, 1);
	ASSERT_RET(0, v2_set_state(&self->a.v2, V2_PRE_COPY));
}

FIXTURE_TEARDOWN(chunks)
{
	knob_all_off(&self->a.dev);
	buffer_free(&self->stream);
	side_close(&self->a);
	side_close(&self->b);
	free(self->mem);
}

/* Reads once. Returns the bytes, or 0 if there is no data at present. */
static ssize_t read_once(struct __test_metadata *_metadata,
			 struct _test_data_chunks *self, size_t portion)
{
	void *to = buffer_grow(&self->stream, portion);
	ssize_t ret = v2_read(&self->a.v2, to, portion);

	self->stream.len -= portion - (ret > 0 ? ret : 0);
	ret = ret == -ENOMSG ? 0 : ret;
	ASSERT_LE(0, ret);
	return ret;
}

/* The stream so far consists of whole chunks. Returns the largest size. */
static size_t largest(struct __test_metadata *_metadata,
		      struct _test_data_chunks *self)
{
	size_t at = 0, most = 0;
	struct chunk c;

	while (at < self->stream.len) {
		ASSERT_RET(0, stream_chunk_at(&self->stream, at, &c));
		most = c.size > most ? c.size : most;
		at += c.size;
	}
	return most;
}

static void arrives(struct __test_metadata *_metadata,
		    struct _test_data_chunks *self)
{
	unsigned char *is = malloc(WRITTEN);

	ASSERT_NE(NULL, is);
	ASSERT_RET(0, v2_load(&self->b.v2, &self->stream, 0));
	ASSERT_RET(0, v2_set_state(&self->b.v2, V2_RUNNING));
	ASSERT_RET(0, region_read_all(&self->b.bar, 0, is, WRITTEN));
	EXPECT_EQ(0, memcmp(is, self->mem, WRITTEN));
	free(is);
}

static void finish(struct __test_metadata *_metadata,
		   struct _test_data_chunks *self)
{
	ASSERT_RET(0, v2_save(&self->a.v2, &self->stream, MIB));
	arrives(_metadata, self);
}

/* Reads of any size, including sizes with which a VMM splits a chunk */
TEST_F(chunks, a_read_ends_where_a_chunk_does)
{
	static const size_t portions[] = {
		64 << 10, 100000, MIB - 1, MIB, MIB + PAGE, 3 * MIB, 16 * MIB,
	};
	unsigned int i, n = 0;

	for (i = 0; i < ARRAY_SIZE(portions); i++) {
		fill(_metadata, self, i * MIB, MIB, 2 + i);
		while (read_once(_metadata, self, portions[i])) {
			EXPECT_GE(MIB, largest(_metadata, self))
				TH_LOG("portions of %zu", portions[i]);
			n++;
		}
	}
	EXPECT_LT(ARRAY_SIZE(portions), n);
	finish(_metadata, self);
}

TEST_F(chunks, a_read_of_less_gets_a_part)
{
	static const size_t portions[] = { 1000, PAGE, 65535 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(portions); i++) {
		fill(_metadata, self, i * MIB, MIB, 2 + i);
		while (read_once(_metadata, self, portions[i]))
			;
		EXPECT_GE(MIB, largest(_metadata, self));
	}
	finish(_metadata, self);
}

/*
 * A save that begins again, for example after a cancelled migration or a guest's reset,
 * sends everything in one stream.
 */
TEST_F(chunks, a_save_begun_anew_drops_what_came_before)
{
	int i, reads;

	for (reads = 0; reads < 5; reads++) {
		for (i = 0; i < reads; i++)
			ASSERT_LT(0, read_once(_metadata, self, MIB));
		ASSERT_RET(0, v2_set_state(&self->a.v2, V2_RUNNING));
		fill(_metadata, self, reads * MIB, MIB, 100 + reads);
		ASSERT_RET(0, v2_set_state(&self->a.v2, V2_PRE_COPY));
	}
	finish(_metadata, self);
}

/*
 * QEMU asks for the size before the save, and allocates the buffer of its reads by the answer.
 * The device is empty then, and the guest fills it during the save.
 */
TEST_F(chunks, DATA_SIZE_when_empty_has_room_for_a_chunk)
{
	__u64 size = 0;

	side_close(&self->a);
	side_open(_metadata, &self->a, 0);
	ASSERT_RET(0, v2_data_size(&self->a.v2, &size));
	EXPECT_GE(64 << 10, size);
	ASSERT_RET(0, v2_set_state(&self->a.v2, V2_PRE_COPY));
	memset(self->mem, 0, WRITTEN);
	fill(_metadata, self, 0, MIB, 2);
	while (read_once(_metadata, self, size))
		EXPECT_GE(size, largest(_metadata, self));
	finish(_metadata, self);
}

/* The device is idle, so all data belongs to the first pass. */
TEST_F(chunks, what_is_half_read_is_told_as_what_it_was)
{
	struct v2_precopy_info *info = &self->info;
	__u64 before = ~0ULL;

	do {
		ASSERT_RET(0, v2_precopy_info(&self->a.v2, info));
		EXPECT_EQ(0, info->dirty_bytes)
			TH_LOG("%llu initial bytes", info->initial_bytes);
		EXPECT_GE(before, info->initial_bytes);
		before = info->initial_bytes;
	} while (read_once(_metadata, self, 100000 / 3));
	EXPECT_EQ(0, info->initial_bytes);
	fill(_metadata, self, 0, MIB, 3);
	ASSERT_LT(0, read_once(_metadata, self, 1000));
	ASSERT_RET(0, v2_precopy_info(&self->a.v2, info));
	EXPECT_EQ(0, info->initial_bytes);
	EXPECT_LE(MIB - 1000, info->dirty_bytes);
}

/* Reads all data, and then lets the device announce new initial data. */
static void drained(struct __test_metadata *_metadata,
		    struct _test_data_chunks *self)
{
	while (read_once(_metadata, self, MIB))
		;
	if (!knob_there(self->a.dev.path))
		SKIP(return, "no fault knobs: CONFIG_VFIO_MIG_CORE_FAULT_KNOBS");
	ASSERT_RET(0, knob_set(&self->a.dev, "reinit", "1"));
	ASSERT_RET(0, v2_precopy_info(&self->a.v2, &self->info));
}

TEST_F(chunks, new_initial_data_are_changes_without_opt_in)
{
	drained(_metadata, self);
	EXPECT_EQ(0, self->info.flags);
	EXPECT_EQ(0, self->info.initial_bytes);
	EXPECT_LE(WRITTEN, self->info.dirty_bytes);
	finish(_metadata, self);
}

TEST_F(chunks, new_initial_data_are_announced_once)
{
	struct v2_precopy_info *info = &self->info;
	__u64 before;

	if (v2_precopy_opt_in(&self->a.v2) == -ENOTTY)
		SKIP(return, "the kernel has no VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2");
	drained(_metadata, self);
	EXPECT_EQ(V2_PRECOPY_REINIT, info->flags);
	EXPECT_LE(WRITTEN, info->initial_bytes);
	EXPECT_EQ(0, info->dirty_bytes);
	do {
		before = info->initial_bytes;
		ASSERT_RET(0, v2_precopy_info(&self->a.v2, info));
		EXPECT_EQ(0, info->flags);
		EXPECT_EQ(0, info->dirty_bytes);
		EXPECT_GE(before, info->initial_bytes);
	} while (read_once(_metadata, self, MIB));
	EXPECT_EQ(0, info->initial_bytes);
	finish(_metadata, self);
}

/*
 * A chunk that is half read when new initial data is announced precedes the new data. So
 * the chunk counts as a part of it.
 */
TEST_F(chunks, half_a_chunk_belongs_to_new_initial_data)
{
	struct v2_precopy_info *info = &self->info;

	if (v2_precopy_opt_in(&self->a.v2) == -ENOTTY)
		SKIP(return, "the kernel has no VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2");
	while (read_once(_metadata, self, MIB))
		;
	fill(_metadata, self, 0, MIB, 3);
	ASSERT_EQ(1000, read_once(_metadata, self, 1000));
	ASSERT_RET(0, knob_set(&self->a.dev, "reinit", "1"));
	ASSERT_RET(0, v2_precopy_info(&self->a.v2, info));
	EXPECT_EQ(V2_PRECOPY_REINIT, info->flags);
	EXPECT_LT(WRITTEN, info->initial_bytes);
	EXPECT_EQ(0, info->dirty_bytes);
	finish(_metadata, self);
}

TEST_F(chunks, the_opt_in_goes_with_the_user)
{
	if (v2_precopy_opt_in(&self->a.v2) == -ENOTTY)
		SKIP(return, "the kernel has no VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2");
	side_close(&self->a);
	side_open(_metadata, &self->a, 0);
	fill(_metadata, self, 0, WRITTEN, 2);
	ASSERT_RET(0, v2_set_state(&self->a.v2, V2_PRE_COPY));
	drained(_metadata, self);
	EXPECT_EQ(0, self->info.flags);
}

static int lacks_pre_copy(void)
{
	struct device dev;
	struct v2 v2;
	int ret;

	if (device_open(&dev, mdev[0].path))
		return 0;
	ret = v2_open(&v2, &dev) || !v2_has(&v2, V2_PRE_COPY);
	v2_close(&v2);
	device_close(&dev);
	return ret;
}

int main(int argc, char **argv)
{
	(void)argc;
	scratch_create(mdev, WINDOW_KIB);
	if (lacks_pre_copy()) {
		ksft_print_header();
		ksft_exit_skip("the device's v2 protocol has no PRE_COPY\n");
	}
	SUITE_RUN(argv);
}
