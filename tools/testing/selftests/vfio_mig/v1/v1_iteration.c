// SPDX-License-Identifier: GPL-2.0-only
/*
 * Saving: what opens an iteration, what an open iteration shows, what concludes an iteration,
 * and the properties of a whole save
 */
#include <endian.h>
#include <string.h>

#include "lib/fill.h"
#include "lib/fixture.h"
#include "lib/stream.h"

FIXTURE(iteration) {
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct buffer data;
};

FIXTURE_VARIANT(iteration) {
	__u32 state;
};

FIXTURE_VARIANT_ADD(iteration, in_010) { .state = V1_STOP_COPY };

FIXTURE_VARIANT_ADD(iteration, in_011) { .state = V1_PRE_COPY };

FIXTURE_SETUP(iteration)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_EQ(0, fill_device(&self->dev, &self->guest));
	ASSERT_RET(0, v1_set_state(&self->v1, variant->state));
}

FIXTURE_TEARDOWN(iteration)
{
	buffer_free(&self->data);
	fixture_close(&self->dev, &self->v1);
	guest_destroy(&self->guest);
}

/* A save always has its first chunk to send, whatever the device does. */
static __u64 open_iteration(struct __test_metadata *_metadata, struct v1 *v1,
			    struct buffer *data)
{
	ssize_t size = v1_iteration(v1, data);

	ASSERT_LT(0, size)
		TH_LOG("no iteration opened: %s", errname(size));
	return size;
}

TEST_F(iteration, closed_pending_bytes_has_no_side_effect)
{
	__u64 pending, size;
	struct chunk c;
	int i;

	for (i = 0; i < 100; i++) {
		ASSERT_RET(0, v1_pending(&self->v1, &pending));
		EXPECT_NE(0, pending);
		ASSERT_RET(0, v1_data_size(&self->v1, &size));
		EXPECT_EQ(0, size);
	}
	/*
	 * If one of the accesses had opened and concluded an iteration, this would not be
	 * the first.
	 */
	open_iteration(_metadata, &self->v1, &self->data);
	if (stream_chunk(&self->data, 0, &c))
		SKIP(return, "the stream is in a format of its own");
	EXPECT_EQ(0, le32toh(c.hdr->seq));
}

TEST_F(iteration, closed_data_offset_opens_an_iteration)
{
	__u64 offset, size;

	ASSERT_RET(0, v1_data_offset(&self->v1, &offset));
	EXPECT_EQ(self->v1.data, offset);
	ASSERT_RET(0, v1_data_size(&self->v1, &size));
	EXPECT_LT(0, size);
	EXPECT_GE(self->v1.window, size);
}

TEST_F(iteration, closed_data_size_is_0)
{
	EXPECT_REG64(0, &self->v1, V1_DATA_SIZE);
	EXPECT_REG64(0, &self->v1, V1_DATA_SIZE);
}

TEST_F(iteration, closed_access_to_the_data_section_is_EINVAL)
{
	unsigned char buf[8] = { 0 };

	EXPECT_RET(-EINVAL, v1_read_data(&self->v1, 0, buf, 8));
	EXPECT_RET(-EINVAL, v1_read_data(&self->v1, 0, buf, 1));
	EXPECT_RET(-EINVAL, v1_write_data(&self->v1, 0, buf, 8));
}

TEST_F(iteration, closed_writing_data_size_is_EINVAL)
{
	EXPECT_RET(-EINVAL, v1_write_data_size(&self->v1, 0));
	EXPECT_RET(-EINVAL, v1_write_data_size(&self->v1, 8));
}

TEST_F(iteration, open_data_offset_again_prepares_nothing)
{
	struct v1 *v1 = &self->v1;
	unsigned char *again;
	__u64 size;
	int i;

	size = open_iteration(_metadata, v1, &self->data);
	again = malloc(size);
	ASSERT_NE(NULL, again);
	for (i = 0; i < 3; i++) {
		EXPECT_REG64(v1->data, v1, V1_DATA_OFFSET);
		EXPECT_REG64(size, v1, V1_DATA_SIZE);
		EXPECT_RET(0, v1_read_data(v1, 0, again, size));
		EXPECT_EQ(0, memcmp(again, self->data.data, size));
	}
	free(again);
}

TEST_F(iteration, open_data_size_is_the_same_every_time)
{
	__u64 size;
	int i;

	size = open_iteration(_metadata, &self->v1, &self->data);
	for (i = 0; i < 100; i++)
		EXPECT_REG64(size, &self->v1, V1_DATA_SIZE);
}

TEST_F(iteration, open_data_is_the_same_in_any_order)
{
	struct v1 *v1 = &self->v1;
	unsigned char buf[64];
	__u64 size, at;
	size_t len;
	int i;

	size = open_iteration(_metadata, v1, &self->data);
	srand(1);
	for (i = 0; i < 2000; i++) {
		at = rand() % size;
		len = 1 + rand() % sizeof(buf);
		if (len > size - at)
			len = size - at;
		ASSERT_RET_FOR(0, v1_read_data(v1, at, buf, len),
			       "%zu bytes at %llu of %llu", len, at, size);
		ASSERT_EQ(0, memcmp(buf, self->data.data + at, len))
			TH_LOG("%zu bytes at %llu differ", len, at);
	}
	/* Reads backwards, byte by byte. */
	for (at = size; at-- && size - at < 5000; ) {
		ASSERT_RET(0, v1_read_data(v1, at, buf, 1));
		ASSERT_EQ(self->data.data[at], buf[0]);
	}
}

TEST_F(iteration, open_read_not_wholly_inside_is_EINVAL)
{
	struct v1 *v1 = &self->v1;
	unsigned char *buf;
	__u64 size;

	size = open_iteration(_metadata, v1, &self->data);
	buf = malloc(v1->window);
	ASSERT_NE(NULL, buf);
	EXPECT_RET(0, v1_read_data(v1, size - 1, buf, 1));
	EXPECT_RET(0, v1_read_data(v1, 0, buf, size));
	if (size == v1->window)
		goto out;
	EXPECT_RET(-EINVAL, v1_read_data(v1, size - 1, buf, 2));
	EXPECT_RET(-EINVAL, v1_read_data(v1, 0, buf, size + 1));
	EXPECT_RET(-EINVAL, v1_read_data(v1, size, buf, 1));
	EXPECT_RET(-EINVAL, v1_read_data(v1, v1->window - 1, buf, 1));
	EXPECT_RET(-EINVAL, v1_read_data(v1, 0, buf, v1->window));
out:
	/* None of the accesses changed the iteration. */
	EXPECT_REG64(size, v1, V1_DATA_SIZE);
	free(buf);
}

TEST_F(iteration, open_writing_the_data_section_is_EINVAL)
{
	struct v1 *v1 = &self->v1;
	unsigned char buf[8] = { 0 }, seen[8];
	__u64 size;

	size = open_iteration(_metadata, v1, &self->data);
	ASSERT_LE(sizeof(buf), size);
	EXPECT_RET(-EINVAL, v1_write_data(v1, 0, buf, 1));
	EXPECT_RET(-EINVAL, v1_write_data(v1, 0, buf, 8));
	EXPECT_RET(0, v1_read_data(v1, 0, seen, 8));
	EXPECT_EQ(0, memcmp(seen, self->data.data, 8));
}

TEST_F(iteration, open_writing_data_size_is_EINVAL)
{
	struct v1 *v1 = &self->v1;
	__u64 size;

	size = open_iteration(_metadata, v1, &self->data);
	EXPECT_RET(-EINVAL, v1_write_data_size(v1, 0));
	EXPECT_RET(-EINVAL, v1_write_data_size(v1, size));
	EXPECT_REG64(size, v1, V1_DATA_SIZE);
}

TEST_F(iteration, pending_bytes_concludes_an_open_one)
{
	unsigned char buf[8];
	__u64 pending;

	open_iteration(_metadata, &self->v1, &self->data);
	ASSERT_RET(0, v1_pending(&self->v1, &pending));
	EXPECT_REG64(0, &self->v1, V1_DATA_SIZE);
	EXPECT_RET(-EINVAL, v1_read_data(&self->v1, 0, buf, 8));
}

TEST_F(iteration, state_no_op_leaves_an_open_one_as_it_is)
{
	struct v1 *v1 = &self->v1;
	struct buffer again = { 0 };
	__u64 size;

	size = open_iteration(_metadata, v1, &self->data);
	EXPECT_RET(0, v1_set_state(v1, variant->state));
	EXPECT_REG64(size, v1, V1_DATA_SIZE);
	EXPECT_EQ(size, v1_iteration(v1, &again));
	EXPECT_EQ(0, memcmp(again.data, self->data.data, size));
	buffer_free(&again);
}

TEST_F(iteration, refused_transition_leaves_an_open_one)
{
	struct v1 *v1 = &self->v1;
	struct buffer again = { 0 };
	__u64 size;

	size = open_iteration(_metadata, v1, &self->data);
	EXPECT_RET(-EINVAL, v1_set_state(v1, V1_RESUMING));
	EXPECT_RET(-EINVAL, v1_set_state(v1, 7));
	EXPECT_REG64(size, v1, V1_DATA_SIZE);
	EXPECT_EQ(size, v1_iteration(v1, &again));
	EXPECT_EQ(0, memcmp(again.data, self->data.data, size));
	buffer_free(&again);
}

/* The end of the session drops the iteration, and the next save starts from the beginning. */
static void leave_and_save(struct __test_metadata *_metadata, struct v1 *v1,
			   struct buffer *first, __u32 out)
{
	struct buffer second = { 0 };
	struct chunk a, b;

	open_iteration(_metadata, v1, first);
	ASSERT_RET(0, v1_set_state(v1, out));
	EXPECT_REG64(0, v1, V1_PENDING_BYTES);
	EXPECT_REG64(0, v1, V1_DATA_OFFSET);
	EXPECT_REG64(0, v1, V1_DATA_SIZE);
	ASSERT_RET(0, v1_save(v1, &second));
	if (!stream_chunk(first, 0, &a)) {
		ASSERT_EQ(0, stream_chunk(&second, 0, &b));
		EXPECT_EQ(0, le32toh(b.hdr->seq));
		EXPECT_NE(a.hdr->save_id, b.hdr->save_id)
			TH_LOG("two saves have the same identity");
	}
	buffer_free(&second);
}

TEST_F(iteration, leaving_for_001_drops_an_open_one)
{
	leave_and_save(_metadata, &self->v1, &self->data, V1_RUNNING);
}

TEST_F(iteration, leaving_for_000_drops_an_open_one)
{
	leave_and_save(_metadata, &self->v1, &self->data, V1_STOPPED);
}

FIXTURE(save) {
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct buffer data;
};

FIXTURE_VARIANT(save) {
	bool mapped;		/* whether data is copied from a mapping */
};

FIXTURE_VARIANT_ADD(save, read) { .mapped = false };

FIXTURE_VARIANT_ADD(save, mapped) { .mapped = true };

FIXTURE_SETUP(save)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_EQ(0, fill_device(&self->dev, &self->guest));
	if (variant->mapped)
		ASSERT_RET(0, v1_map(&self->v1));
}

FIXTURE_TEARDOWN(save)
{
	buffer_free(&self->data);
	fixture_close(&self->dev, &self->v1);
	guest_destroy(&self->guest);
}

/* From 011 to 010 the prepared data stays the same. */
TEST_F(save, an_open_iteration_survives_011_to_010)
{
	struct v1 *v1 = &self->v1;
	struct buffer again = { 0 };
	__u64 size;

	ASSERT_RET(0, v1_set_state(v1, V1_PRE_COPY));
	size = open_iteration(_metadata, v1, &self->data);
	ASSERT_RET(0, v1_set_state(v1, V1_STOP_COPY));
	EXPECT_REG64(size, v1, V1_DATA_SIZE);
	EXPECT_REG64(v1->data, v1, V1_DATA_OFFSET);
	ASSERT_EQ(size, v1_iteration(v1, &again));
	EXPECT_EQ(0, memcmp(again.data, self->data.data, size));
	buffer_free(&again);
}

TEST_F(save, with_nothing_to_send_nothing_opens)
{
	struct v1 *v1 = &self->v1;
	unsigned char buf[8];
	int i;

	ASSERT_RET(0, v1_save(v1, &self->data));
	for (i = 0; i < 3; i++) {
		EXPECT_REG64(0, v1, V1_PENDING_BYTES);
		EXPECT_REG64(v1->data, v1, V1_DATA_OFFSET);
		EXPECT_REG64(0, v1, V1_DATA_SIZE);
		EXPECT_RET(-EINVAL, v1_read_data(v1, 0, buf, 8));
	}
}

/* From 001 and from 000, with and without pre-copy, with all or a part of its data read */
TEST_F(save, pre_copy_need_not_be_drained)
{
	struct v1 *v1 = &self->v1;
	char why[128];

	ASSERT_RET(0, v1_set_state(v1, V1_PRE_COPY));
	ASSERT_RET(0, v1_save(v1, &self->data));
	EXPECT_REG64(0, v1, V1_PENDING_BYTES);
	if (stream_count(&self->data, 0) <= 0)
		SKIP(return, "the stream is in a format of its own");
	EXPECT_EQ(0, stream_check(&self->data, why, sizeof(why)))
		TH_LOG("%s", why);
}

TEST_F(save, a_stream_is_whole_and_ends_with_an_end)
{
	struct v1 *v1 = &self->v1;
	char why[128];

	ASSERT_RET(0, v1_set_state(v1, V1_PRE_COPY));
	ASSERT_LE(0, v1_drain(v1, &self->data));
	ASSERT_RET(0, v1_save(v1, &self->data));
	if (stream_count(&self->data, 0) <= 0)
		SKIP(return, "the stream is in a format of its own");
	EXPECT_EQ(0, stream_check(&self->data, why, sizeof(why)))
		TH_LOG("%s", why);
	EXPECT_EQ(1, stream_count(&self->data, CHUNK_HEADER));
	EXPECT_LE(1, stream_count(&self->data, CHUNK_END));
}

TEST_F(save, from_000_works_as_from_001)
{
	struct v1 *v1 = &self->v1;
	char why[128];

	ASSERT_RET(0, v1_set_state(v1, V1_STOPPED));
	ASSERT_RET(0, v1_save(v1, &self->data));
	EXPECT_LT(0, self->data.len);
	if (stream_count(&self->data, 0) <= 0)
		SKIP(return, "the stream is in a format of its own");
	EXPECT_EQ(0, stream_check(&self->data, why, sizeof(why)))
		TH_LOG("%s", why);
}

/* In pre-copy an idle device has nothing left once all was sent. */
TEST_F(save, pre_copy_of_an_idle_device_drains)
{
	struct v1 *v1 = &self->v1;

	ASSERT_RET(0, v1_set_state(v1, V1_PRE_COPY));
	ASSERT_LT(0, v1_drain(v1, &self->data));
	EXPECT_REG64(0, v1, V1_PENDING_BYTES);
	EXPECT_REG64(0, v1, V1_PENDING_BYTES);
}

TEST_F(save, no_chunk_of_two_saves_is_the_same)
{
	struct v1 *v1 = &self->v1;
	struct buffer second = { 0 };
	struct chunk a, b;

	ASSERT_RET(0, v1_save(v1, &self->data));
	ASSERT_RET(0, v1_set_state(v1, V1_STOPPED));
	ASSERT_RET(0, v1_save(v1, &second));
	if (stream_chunk(&self->data, 0, &a) || stream_chunk(&second, 0, &b))
		SKIP(return, "the stream is in a format of its own");
	EXPECT_NE(a.hdr->save_id, b.hdr->save_id);
	buffer_free(&second);
}

SUITE_MAIN(suite_need_v1())
