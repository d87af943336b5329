// SPDX-License-Identifier: GPL-2.0-only
/* The target refuses a bad stream at a commit, while the source still sends. */
#include "lib/fixture.h"
#include "lib/stream.h"

FIXTURE(stream) {
	struct device dev;
	struct v1 v1;
	struct buffer good;
};

FIXTURE_SETUP(stream)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_RET(0, v1_save(&self->v1, &self->good));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
}

FIXTURE_TEARDOWN(stream)
{
	buffer_free(&self->good);
	fixture_close(&self->dev, &self->v1);
}

/* A VMM can cancel a migration only while the source still sends. */
TEST_F(stream, the_header_is_checked_as_soon_as_it_is_there)
{
	struct chunk c;

	ASSERT_EQ(0, stream_find(&self->good, CHUNK_HEADER, 0, &c));
	((struct header_payload *)c.payload)->type[0] ^= 1;
	chunk_sum(&c);
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
	EXPECT_RET(0, v1_feed(&self->v1, self->good.data, c.size - 1, 0));
	EXPECT_RET(-ENODEV, v1_feed(&self->v1, self->good.data + c.size - 1,
				    1, 0));
}

static void check_damaged(struct __test_metadata *_metadata, struct device *dev,
			  struct v1 *v1, const struct buffer *good, int i, bool middle)
{
	struct buffer s = { 0 };
	struct chunk c;

	buffer_copy(&s, good);
	ASSERT_EQ(0, stream_chunk(&s, i, &c));
	((unsigned char *)c.payload)[middle ? c.length / 2 : c.length - 1] ^= 1;
	ASSERT_RET(0, v1_set_state(v1, V1_RESUMING));
	EXPECT_RET_FOR(0, v1_feed(v1, s.data, c.at, 0), "before chunk %d", i);
	EXPECT_RET_FOR(-EBADMSG, v1_feed(v1, s.data + c.at, c.size, 0),
		       "chunk %d, %s", i, middle ? "in the middle" : "at the end");
	ASSERT_RET(0, device_reset(dev));
	buffer_free(&s);
}

/* Only the checksum protects the data in the middle of a control chunk. */
TEST_F(stream, each_chunk_is_checked_when_it_is_committed)
{
	int i, n = stream_count(&self->good, 0);

	for (i = 0; i < n; i++) {
		check_damaged(_metadata, &self->dev, &self->v1, &self->good, i, true);
		check_damaged(_metadata, &self->dev, &self->v1, &self->good, i, false);
	}
}

TEST_F(stream, an_unknown_optional_chunk_is_skipped)
{
	stream_insert_unknown(&self->good, CHUNK_SUM);
	ASSERT_RET(0, v1_load(&self->v1, &self->good, 0));
	EXPECT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
}

TEST_F(stream, a_close_ends_a_poisoned_session)
{
	self->good.data[0] ^= 1;
	EXPECT_RET(-EBADMSG, v1_load(&self->v1, &self->good, 0));
	fixture_close(&self->dev, &self->v1);
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	self->good.data[0] ^= 1;
	ASSERT_RET(0, v1_load(&self->v1, &self->good, 0));
	EXPECT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
}

/*
 * The source concluded an iteration without reading it. Its data counts as consumed, so the
 * target refuses the rest of the stream.
 */
static void breach(struct __test_metadata *_metadata, struct v1 *v1, int nth)
{
	struct buffer s = { 0 };
	__u64 pending;
	int i;

	ASSERT_RET(0, v1_set_state(v1, V1_STOP_COPY));
	for (i = 0; ; i++) {
		ASSERT_RET(0, v1_pending(v1, &pending));
		if (!pending)
			break;
		if (i == nth) {
			struct buffer lost = { 0 };

			ASSERT_LT(0, v1_iteration(v1, &lost));
			buffer_free(&lost);
		} else {
			ASSERT_LT(0, v1_iteration(v1, &s));
		}
	}
	ASSERT_RET(0, v1_set_state(v1, V1_RUNNING));
	ASSERT_RET(0, v1_set_state(v1, V1_RESUMING));
	if (!s.len)
		EXPECT_RET(-ENODATA, v1_set_state(v1, V1_RUNNING));
	else
		EXPECT_RET(-EILSEQ, v1_feed(v1, s.data, s.len, 0));
	buffer_free(&s);
}

TEST_F(stream, without_its_first_iteration_is_EILSEQ)
{
	breach(_metadata, &self->v1, 0);
}

SUITE_MAIN(suite_need_stream())
