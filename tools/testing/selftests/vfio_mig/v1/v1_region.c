// SPDX-License-Identifier: GPL-2.0-only
/* The v1 migration region: layout and description, and the permitted accesses to its registers */
#include <string.h>
#include <sys/mman.h>

#include "lib/fixture.h"

FIXTURE(region) {
	struct device dev;
	struct v1 v1;
};

FIXTURE_SETUP(region)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
}

FIXTURE_TEARDOWN(region)
{
	fixture_close(&self->dev, &self->v1);
}

TEST_F(region, there_is_exactly_one)
{
	struct region r;
	unsigned int i, n = 0;

	for (i = 0; i < self->dev.info.num_regions; i++)
		n += !region_open(&r, &self->dev, i) &&
		     r.type == VFIO_REGION_TYPE_MIGRATION_DEPRECATED &&
		     r.subtype == VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED;
	EXPECT_EQ(1, n);
}

TEST_F(region, flags_are_read_write_mmap_caps)
{
	EXPECT_EQ(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
		  VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS,
		  self->v1.region.flags);
}

TEST_F(region, sparse_mmap_covers_the_data_section_only)
{
	struct region *r = &self->v1.region;

	ASSERT_TRUE(r->sparse)
		TH_LOG("there is no sparse-mmap capability");
	ASSERT_EQ(1, r->nr_areas);
	EXPECT_GE(r->areas[0].offset, V1_PAGE)
		TH_LOG("the page of the registers can be mapped");
	EXPECT_EQ(0, r->areas[0].offset % V1_PAGE);
	EXPECT_EQ(0, r->areas[0].size % V1_PAGE);
	EXPECT_EQ(r->size, r->areas[0].offset + r->areas[0].size)
		TH_LOG("the mapping does not reach the end of the region");
}

TEST_F(region, data_offset_is_the_start_of_the_data_section)
{
	static const __u32 states[] = {
		V1_PRE_COPY, V1_STOP_COPY, V1_RESUMING
	};
	unsigned int i;
	__u64 offset;

	for (i = 0; i < ARRAY_SIZE(states); i++) {
		ASSERT_RET(0, v1_go(&self->v1, states[i]));
		ASSERT_RET(0, v1_data_offset(&self->v1, &offset));
		EXPECT_EQ(self->v1.region.areas[0].offset, offset)
			TH_LOG("in %s", v1_state_name(states[i]));
	}
}

/* Maps the registers' page, alone or with the pages behind it. */
TEST_F(region, mmap_that_touches_the_registers_is_refused)
{
	static const int prots[] = { PROT_READ, PROT_READ | PROT_WRITE };
	struct region *r = &self->v1.region;
	unsigned int i;
	void *map;

	for (i = 0; i < ARRAY_SIZE(prots); i++) {
		EXPECT_GT(0, region_mmap(r, 0, V1_PAGE, prots[i], MAP_SHARED,
					 &map))
			TH_LOG("the registers' page can be mapped");
		EXPECT_GT(0, region_mmap(r, 0, r->size, prots[i], MAP_SHARED,
					 &map))
			TH_LOG("the whole region can be mapped");
		EXPECT_GT(0, region_mmap(r, self->v1.data - V1_PAGE,
					 2 * V1_PAGE, prots[i], MAP_SHARED,
					 &map))
			TH_LOG("the page before the data section can be mapped");
	}
}

TEST_F(region, mmap_past_the_end_is_refused)
{
	struct region *r = &self->v1.region;
	void *map;

	EXPECT_GT(0, region_mmap(r, r->size, V1_PAGE, PROT_READ, MAP_SHARED,
				 &map));
	EXPECT_GT(0, region_mmap(r, r->size - V1_PAGE, 2 * V1_PAGE, PROT_READ,
				 MAP_SHARED, &map));
	EXPECT_GT(0, region_mmap(r, self->v1.data, self->v1.window + V1_PAGE,
				 PROT_READ, MAP_SHARED, &map));
}

TEST_F(region, mmap_private_is_EINVAL)
{
	struct v1 *v1 = &self->v1;
	void *map;

	EXPECT_RET(-EINVAL, region_mmap(&v1->region, v1->data, v1->window,
					PROT_READ, MAP_PRIVATE, &map));
	EXPECT_RET(-EINVAL, region_mmap(&v1->region, v1->data, v1->window,
					PROT_READ | PROT_WRITE, MAP_PRIVATE,
					&map));
}

/* Maps any part of the data section, at any time. */
TEST_F(region, mmap_works_outside_a_session)
{
	struct v1 *v1 = &self->v1;
	void *map;

	EXPECT_RET(0, region_mmap(&v1->region, v1->data, v1->window,
				  PROT_READ | PROT_WRITE, MAP_SHARED, &map));
	munmap(map, v1->window);
	EXPECT_RET(0, region_mmap(&v1->region, v1->region.size - V1_PAGE,
				  V1_PAGE, PROT_READ, MAP_SHARED, &map));
	munmap(map, V1_PAGE);
}

/* The rules of accesses in each state */
FIXTURE(access) {
	struct device dev;
	struct v1 v1;
};

FIXTURE_VARIANT(access) {
	__u32 state;
};

FIXTURE_VARIANT_ADD(access, in_000) { .state = V1_STOPPED };

FIXTURE_VARIANT_ADD(access, in_001) { .state = V1_RUNNING };

FIXTURE_VARIANT_ADD(access, in_010) { .state = V1_STOP_COPY };

FIXTURE_VARIANT_ADD(access, in_011) { .state = V1_PRE_COPY };

FIXTURE_VARIANT_ADD(access, in_100) { .state = V1_RESUMING };

FIXTURE_SETUP(access)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_RET(0, v1_go(&self->v1, variant->state));
}

FIXTURE_TEARDOWN(access)
{
	fixture_close(&self->dev, &self->v1);
}

static bool is_native(__u64 at, size_t len)
{
	switch (at) {
	case V1_DEVICE_STATE:
	case V1_RESERVED:
		return len == 4;
	case V1_PENDING_BYTES:
	case V1_DATA_OFFSET:
	case V1_DATA_SIZE:
		return len == 8;
	default:
		return false;
	}
}

static const size_t lengths[] = {
	1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 24, 31, 32, 40
};

/* A wrong read could open an iteration, which data_size would show. */
TEST_F(access, reads_of_wrong_width_or_alignment_are_EINVAL)
{
	unsigned char buf[64];
	unsigned int i;
	__u64 at;

	for (at = 0; at < V1_REGISTERS_END; at++) {
		for (i = 0; i < ARRAY_SIZE(lengths); i++) {
			if (is_native(at, lengths[i]))
				continue;
			EXPECT_RET_FOR(-EINVAL,
				       region_read(&self->v1.region, at, buf,
						   lengths[i]),
				       "%zu bytes at %llu", lengths[i], at);
		}
	}
	EXPECT_STATE(variant->state, &self->v1);
	EXPECT_REG64(0, &self->v1, V1_DATA_SIZE);
}

/*
 * Each written byte has the value of a permitted transition, so that the test notices a
 * device that takes the byte for a state.
 */
TEST_F(access, writes_of_wrong_width_or_alignment_are_EINVAL)
{
	unsigned char buf[64];
	unsigned int i;
	__u64 at;

	memset(buf, 0, sizeof(buf));
	buf[0] = variant->state == V1_RUNNING ? V1_STOPPED : V1_RUNNING;
	for (at = 0; at < V1_REGISTERS_END; at++) {
		for (i = 0; i < ARRAY_SIZE(lengths); i++) {
			if (is_native(at, lengths[i]))
				continue;
			EXPECT_RET_FOR(-EINVAL,
				       region_write(&self->v1.region, at, buf,
						    lengths[i]),
				       "%zu bytes at %llu", lengths[i], at);
		}
	}
	EXPECT_STATE(variant->state, &self->v1);
	EXPECT_REG64(0, &self->v1, V1_DATA_SIZE);
}

TEST_F(access, reserved_reads_0_and_ignores_writes)
{
	__u32 value = ~0;

	EXPECT_RET(0, v1_read32(&self->v1, V1_RESERVED, &value));
	EXPECT_EQ(0, value);
	EXPECT_RET(0, v1_write32(&self->v1, V1_RESERVED, 0x12345678));
	EXPECT_RET(0, v1_read32(&self->v1, V1_RESERVED, &value));
	EXPECT_EQ(0, value);
	EXPECT_STATE(variant->state, &self->v1);
}

TEST_F(access, writes_to_pending_bytes_are_EINVAL)
{
	EXPECT_RET(-EINVAL, v1_write64(&self->v1, V1_PENDING_BYTES, 0));
	EXPECT_RET(-EINVAL, v1_write64(&self->v1, V1_PENDING_BYTES, ~0ULL));
}

TEST_F(access, writes_to_data_offset_are_EINVAL)
{
	EXPECT_RET(-EINVAL, v1_write64(&self->v1, V1_DATA_OFFSET, 0));
	EXPECT_RET(-EINVAL, v1_write64(&self->v1, V1_DATA_OFFSET,
				       self->v1.data));
	EXPECT_REG64(0, &self->v1, V1_DATA_SIZE);
}

TEST_F(access, the_hole_behind_the_registers_is_EINVAL)
{
	static const size_t sizes[] = { 1, 2, 4, 8 };
	const __u64 places[] = {
		V1_REGISTERS_END, V1_REGISTERS_END + 8, 64, 1024,
		self->v1.data - 8
	};
	unsigned char buf[8] = { 0 };
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			EXPECT_RET_FOR(-EINVAL,
				       region_read(&self->v1.region, places[i],
						   buf, sizes[j]),
				       "%zu bytes at %llu", sizes[j],
				       places[i]);
			EXPECT_RET_FOR(-EINVAL,
				       region_write(&self->v1.region, places[i],
						    buf, sizes[j]),
				       "%zu bytes at %llu", sizes[j],
				       places[i]);
		}
	}
}

/* An access is neither short nor wraps around. */
TEST_F(access, accesses_across_the_data_section_are_EINVAL)
{
	const struct { __u64 at; size_t len; } bad[] = {
		{ self->v1.data - 8, 16 },
		{ self->v1.data - 1, 2 },
		{ self->v1.region.size - 4, 8 },
		{ self->v1.region.size, 1 },
		{ self->v1.region.size + V1_PAGE, 8 },
	};
	unsigned char buf[16] = { 0 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_RET_FOR(-EINVAL, region_read(&self->v1.region, bad[i].at,
						    buf, bad[i].len),
			       "%zu bytes at %#llx", bad[i].len, bad[i].at);
		EXPECT_RET_FOR(-EINVAL, region_write(&self->v1.region,
						     bad[i].at, buf,
						     bad[i].len),
			       "%zu bytes at %#llx", bad[i].len, bad[i].at);
	}
}

/* Outside a session. */
FIXTURE(no_session) {
	struct device dev;
	struct v1 v1;
};

FIXTURE_VARIANT(no_session) {
	__u32 state;
	__u32 after;		/* state with a session, or 0 */
	bool reset;		/* whether a reset leaves it */
};

FIXTURE_VARIANT_ADD(no_session, when_opened) { .state = V1_RUNNING };

FIXTURE_VARIANT_ADD(no_session, stopped) { .state = V1_STOPPED };

FIXTURE_VARIANT_ADD(no_session, running_after_010) {
	.state = V1_RUNNING, .after = V1_STOP_COPY
};

FIXTURE_VARIANT_ADD(no_session, stopped_after_010) {
	.state = V1_STOPPED, .after = V1_STOP_COPY
};

FIXTURE_VARIANT_ADD(no_session, running_after_011) {
	.state = V1_RUNNING, .after = V1_PRE_COPY
};

FIXTURE_VARIANT_ADD(no_session, stopped_after_011) {
	.state = V1_STOPPED, .after = V1_PRE_COPY
};

FIXTURE_VARIANT_ADD(no_session, reset_in_010) {
	.state = V1_RUNNING, .after = V1_STOP_COPY, .reset = true
};

FIXTURE_VARIANT_ADD(no_session, reset_in_011) {
	.state = V1_RUNNING, .after = V1_PRE_COPY, .reset = true
};

FIXTURE_VARIANT_ADD(no_session, reset_in_100) {
	.state = V1_RUNNING, .after = V1_RESUMING, .reset = true
};

FIXTURE_SETUP(no_session)
{
	__u64 offset;

	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	if (variant->after) {
		ASSERT_RET(0, v1_set_state(&self->v1, variant->after));
		ASSERT_RET(0, v1_data_offset(&self->v1, &offset));
	}
	if (variant->reset)
		ASSERT_RET(0, device_reset(&self->dev));
	else
		ASSERT_RET(0, v1_set_state(&self->v1, variant->state));
	ASSERT_STATE(variant->state, &self->v1);
}

FIXTURE_TEARDOWN(no_session)
{
	fixture_close(&self->dev, &self->v1);
}

TEST_F(no_session, registers_read_0)
{
	int i;

	for (i = 0; i < 2; i++) {
		EXPECT_REG64(0, &self->v1, V1_PENDING_BYTES);
		EXPECT_REG64(0, &self->v1, V1_DATA_OFFSET);
		EXPECT_REG64(0, &self->v1, V1_DATA_SIZE);
	}
}

TEST_F(no_session, writing_data_size_is_EINVAL)
{
	EXPECT_RET(-EINVAL, v1_write_data_size(&self->v1, 0));
	EXPECT_RET(-EINVAL, v1_write_data_size(&self->v1, 8));
	EXPECT_RET(-EINVAL, v1_write_data_size(&self->v1, ~0ULL));
	EXPECT_STATE(variant->state, &self->v1);
}

TEST_F(no_session, accessing_the_data_section_is_EINVAL)
{
	static const size_t sizes[] = { 1, 4, 8, V1_PAGE };
	unsigned char buf[V1_PAGE] = { 0 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_RET(-EINVAL, v1_read_data(&self->v1, 0, buf, sizes[i]));
		EXPECT_RET(-EINVAL, v1_write_data(&self->v1, 0, buf, sizes[i]));
		EXPECT_RET(-EINVAL, v1_read_data(&self->v1, self->v1.window -
						 sizes[i], buf, sizes[i]));
	}
}

SUITE_MAIN(suite_need_v1())
