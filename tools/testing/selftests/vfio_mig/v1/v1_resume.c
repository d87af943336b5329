// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resuming: the window, commits, streams in portions of any size, and saves that start over.
 * v1_stream_errors.c tests bad streams.
 */
#include <string.h>

#include "lib/fixture.h"
#include "lib/stream.h"

FIXTURE(resume) {
	struct device dev;
	struct v1 v1;
	struct buffer stream;
};

FIXTURE_VARIANT(resume) {
	bool mapped;		/* whether data is stored into a mapping */
};

FIXTURE_VARIANT_ADD(resume, written) { .mapped = false };

FIXTURE_VARIANT_ADD(resume, mapped) { .mapped = true };

static void save(struct __test_metadata *_metadata, struct v1 *v1,
		 struct buffer *stream)
{
	ASSERT_RET(0, v1_set_state(v1, V1_PRE_COPY));
	ASSERT_LT(0, v1_iteration(v1, stream));
	ASSERT_RET(0, v1_save(v1, stream));
	ASSERT_RET(0, v1_set_state(v1, V1_RUNNING));
}

/* The tests start in 100 with a good stream. */
FIXTURE_SETUP(resume)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	save(_metadata, &self->v1, &self->stream);
	if (variant->mapped)
		ASSERT_RET(0, v1_map(&self->v1));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
}

FIXTURE_TEARDOWN(resume)
{
	buffer_free(&self->stream);
	fixture_close(&self->dev, &self->v1);
}

static void check_runs(struct __test_metadata *_metadata, struct v1 *v1)
{
	EXPECT_STATE(V1_RESUMING, v1);
	EXPECT_RET(0, v1_set_state(v1, V1_RUNNING));
	EXPECT_STATE(V1_RUNNING, v1);
}

TEST_F(resume, registers)
{
	int i;

	for (i = 0; i < 3; i++) {
		EXPECT_REG64(0, &self->v1, V1_PENDING_BYTES);
		EXPECT_REG64(self->v1.data, &self->v1, V1_DATA_OFFSET);
		EXPECT_REG64(0, &self->v1, V1_DATA_SIZE);
	}
}

static void check_zeroed(struct __test_metadata *_metadata, struct v1 *v1)
{
	unsigned char *buf = malloc(v1->window);
	__u64 i;

	ASSERT_NE(NULL, buf);
	if (v1->map)
		memcpy(buf, v1->map, v1->window);
	else
		ASSERT_RET(0, v1_read_data(v1, 0, buf, v1->window));
	for (i = 0; i < v1->window && !buf[i]; i++)
		;
	EXPECT_EQ(v1->window, i)
		TH_LOG("byte %llu is %#x", i, buf[i]);
	free(buf);
}

TEST_F(resume, the_window_starts_zeroed)
{
	check_zeroed(_metadata, &self->v1);
}

/* The memory is new, and nothing was written to it yet. */
TEST_F(resume, the_window_of_a_first_session_starts_zeroed)
{
	fixture_close(&self->dev, &self->v1);
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	if (variant->mapped)
		ASSERT_RET(0, v1_map(&self->v1));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
	check_zeroed(_metadata, &self->v1);
}

TEST_F(resume, the_window_reads_back_what_was_written)
{
	struct v1 *v1 = &self->v1;
	unsigned char *buf = malloc(v1->window), seen[300];
	size_t len;
	__u64 at;
	int i;

	ASSERT_NE(NULL, buf);
	memset(buf, 0, v1->window);
	srand(2);
	for (i = 0; i < 500; i++) {
		at = rand() % v1->window;
		len = 1 + rand() % sizeof(seen);
		if (len > v1->window - at)
			len = v1->window - at;
		memset(buf + at, rand(), len);
		if (v1->map && i % 2)
			memcpy(v1->map + at, buf + at, len);
		else
			ASSERT_RET_FOR(0, v1_write_data(v1, at, buf + at, len),
				       "%zu bytes at %llu", len, at);
		ASSERT_RET(0, v1_read_data(v1, at, seen, len));
		ASSERT_EQ(0, memcmp(seen, buf + at, len));
	}
	if (v1->map)
		EXPECT_EQ(0, memcmp(v1->map, buf, v1->window));
	free(buf);
}

TEST_F(resume, an_access_not_wholly_inside_is_EINVAL)
{
	struct v1 *v1 = &self->v1;
	unsigned char buf[16] = { 0 };

	EXPECT_RET(-EINVAL, v1_write_data(v1, v1->window - 8, buf, 16));
	EXPECT_RET(-EINVAL, v1_read_data(v1, v1->window - 8, buf, 16));
	EXPECT_RET(-EINVAL, v1_write_data(v1, v1->window, buf, 1));
	EXPECT_RET(0, v1_write_data(v1, v1->window - 1, buf, 1));
}

TEST_F(resume, a_commit_of_0_does_nothing)
{
	struct v1 *v1 = &self->v1;
	int i;

	for (i = 0; i < 10; i++)
		EXPECT_RET(0, v1_write_data_size(v1, 0));
	EXPECT_RET(0, v1_feed(v1, self->stream.data, self->stream.len / 2, 0));
	EXPECT_RET(0, v1_write_data_size(v1, 0));
	EXPECT_RET(0, v1_feed(v1, self->stream.data + self->stream.len / 2,
			      self->stream.len - self->stream.len / 2, 0));
	EXPECT_RET(0, v1_write_data_size(v1, 0));
	check_runs(_metadata, v1);
}

TEST_F(resume, a_commit_beyond_the_window_is_EINVAL)
{
	struct v1 *v1 = &self->v1;

	EXPECT_RET(-EINVAL, v1_write_data_size(v1, v1->window + 1));
	EXPECT_RET(-EINVAL, v1_write_data_size(v1, 1ULL << 32));
	EXPECT_RET(-EINVAL, v1_write_data_size(v1, ~0ULL));
	EXPECT_STATE(V1_RESUMING, v1);
	EXPECT_RET(0, v1_feed(v1, self->stream.data, self->stream.len, 0));
	check_runs(_metadata, v1);
}

TEST_F(resume, no_op_in_the_middle_changes_nothing)
{
	struct v1 *v1 = &self->v1;
	size_t half = self->stream.len / 2;

	EXPECT_RET(0, v1_feed(v1, self->stream.data, half, 0));
	EXPECT_RET(0, v1_set_state(v1, V1_RESUMING));
	EXPECT_RET(0, v1_feed(v1, self->stream.data + half,
			      self->stream.len - half, 0));
	EXPECT_RET(0, v1_set_state(v1, V1_RESUMING));
	check_runs(_metadata, v1);
}

TEST_F(resume, refused_transition_changes_nothing)
{
	struct v1 *v1 = &self->v1;
	size_t half = self->stream.len / 2;

	EXPECT_RET(0, v1_feed(v1, self->stream.data, half, 0));
	EXPECT_RET(-EINVAL, v1_set_state(v1, V1_STOP_COPY));
	EXPECT_RET(-EINVAL, v1_set_state(v1, V1_PRE_COPY));
	EXPECT_RET(-EINVAL, v1_set_state(v1, V1_ERROR));
	EXPECT_RET(0, v1_feed(v1, self->stream.data + half,
			      self->stream.len - half, 0));
	check_runs(_metadata, v1);
}

TEST_F(resume, in_one_piece)
{
	EXPECT_RET(0, v1_feed(&self->v1, self->stream.data, self->stream.len,
			      0));
	check_runs(_metadata, &self->v1);
}

/* Start and end are written byte by byte. The long part between is written faster. */
TEST_F_TIMEOUT(resume, one_byte_at_a_time, 180)
{
	struct buffer *s = &self->stream;
	size_t head = s->len, tail = 0;

	if (head > 48 << 10) {
		head = 16 << 10;
		tail = 16 << 10;
	}
	EXPECT_RET(0, v1_feed(&self->v1, s->data, head, 1));
	EXPECT_RET(0, v1_feed(&self->v1, s->data + head, s->len - head - tail,
			      0));
	EXPECT_RET(0, v1_feed(&self->v1, s->data + s->len - tail, tail, 1));
	check_runs(_metadata, &self->v1);
}

TEST_F_TIMEOUT(resume, in_portions_of_any_size, 180)
{
	static const size_t portions[] = {
		3, 7, 8, 31, 39, 40, 41, 511, 4095, 4096, 4097, 65536, 1000003
	};
	struct buffer *s = &self->stream;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(portions); i++) {
		if (s->len / portions[i] > 20000)
			continue;
		ASSERT_RET_FOR(0, v1_feed(&self->v1, s->data, s->len,
					  portions[i]), "portions of %zu bytes",
			       portions[i]);
		check_runs(_metadata, &self->v1);
		ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
	}
}

TEST_F_TIMEOUT(resume, in_random_portions, 180)
{
	struct buffer *s = &self->stream;
	size_t at, n;
	int seed;

	for (seed = 0; seed < 20; seed++) {
		srand(seed);
		for (at = 0; at < s->len; at += n) {
			n = 1 + rand() % (rand() % 4 ? 20000 : 64);
			if (n > s->len - at)
				n = s->len - at;
			ASSERT_RET_FOR(0, v1_feed(&self->v1, s->data + at, n,
						  0),
				       "seed %d, %zu bytes at %zu", seed, n,
				       at);
		}
		check_runs(_metadata, &self->v1);
		ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
	}
}

/* A commit takes the first n bytes of the window, wherever the user wrote last. */
TEST_F(resume, a_commit_takes_the_first_bytes_of_the_window)
{
	struct v1 *v1 = &self->v1;
	struct buffer *s = &self->stream;
	unsigned char junk[64];
	size_t n;

	memset(junk, 0xa5, sizeof(junk));
	n = s->len < v1->window - sizeof(junk) ? s->len :
	    v1->window - sizeof(junk);
	/* Two writes, the later part first, with other bytes behind it */
	ASSERT_RET(0, v1_write_data(v1, n / 2, s->data + n / 2, n - n / 2));
	ASSERT_RET(0, v1_write_data(v1, 0, s->data, n / 2));
	ASSERT_RET(0, v1_write_data(v1, n, junk, sizeof(junk)));
	EXPECT_RET(0, v1_write_data_size(v1, n));
	EXPECT_RET(0, v1_feed(v1, s->data + n, s->len - n, 0));
	check_runs(_metadata, v1);
}

TEST_F(resume, into_000_and_then_001)
{
	ASSERT_RET(0, v1_feed(&self->v1, self->stream.data, self->stream.len,
			      0));
	EXPECT_RET(0, v1_set_state(&self->v1, V1_STOPPED));
	EXPECT_STATE(V1_STOPPED, &self->v1);
	EXPECT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	EXPECT_STATE(V1_RUNNING, &self->v1);
}

TEST_F(resume, from_000)
{
	ASSERT_RET(0, device_reset(&self->dev));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOPPED));
	ASSERT_RET(0, v1_load(&self->v1, &self->stream, 0));
	check_runs(_metadata, &self->v1);
}

TEST_F(resume, reset_recovers_and_the_next_load_works)
{
	ASSERT_RET(0, v1_feed(&self->v1, self->stream.data,
			      self->stream.len / 2, 0));
	ASSERT_RET(0, device_reset(&self->dev));
	ASSERT_STATE(V1_RUNNING, &self->v1);
	ASSERT_RET(0, v1_load(&self->v1, &self->stream, 0));
	check_runs(_metadata, &self->v1);
}

TEST_F(resume, what_was_loaded_can_be_saved_and_loaded_again)
{
	struct v1 *v1 = &self->v1;
	struct buffer second = { 0 };

	ASSERT_RET(0, v1_feed(v1, self->stream.data, self->stream.len, 0));
	check_runs(_metadata, v1);
	save(_metadata, v1, &second);
	ASSERT_RET(0, v1_load(v1, &second, 0));
	check_runs(_metadata, v1);
	buffer_free(&second);
}

/* A complete stream continues with more chunks and another end. */
TEST_F(resume, a_save_may_start_over_at_a_chunk_boundary)
{
	struct v1 *v1 = &self->v1;
	struct buffer second = { 0 };
	struct chunk c;
	int n, cut;

	n = stream_count(&self->stream, 0);
	if (n <= 0)
		SKIP(return, "the stream is in a format of its own");
	ASSERT_RET(0, device_reset(&self->dev));
	save(_metadata, v1, &second);

	/* The first save ends behind any of its chunks, including the last. */
	for (cut = 0; cut < n; cut++) {
		ASSERT_EQ(0, stream_chunk(&self->stream, cut, &c));
		ASSERT_RET(0, v1_set_state(v1, V1_RESUMING));
		ASSERT_RET(0, v1_feed(v1, self->stream.data, c.at + c.size, 0));
		EXPECT_RET_FOR(0, v1_feed(v1, second.data, second.len, 0),
			       "behind %d of %d chunks", cut + 1, n);
		check_runs(_metadata, v1);
	}
	buffer_free(&second);
}

TEST_F(resume, a_save_may_start_over_many_times)
{
	struct v1 *v1 = &self->v1;
	struct buffer s = { 0 };
	struct chunk c;
	int i;

	if (stream_count(&self->stream, 0) <= 0)
		SKIP(return, "the stream is in a format of its own");
	ASSERT_RET(0, device_reset(&self->dev));
	for (i = 0; i < 10; i++) {
		struct buffer next = { 0 };

		save(_metadata, v1, &next);
		ASSERT_EQ(0, stream_chunk(&next, 0, &c));
		buffer_append(&s, next.data, i < 9 ? c.size : next.len);
		buffer_free(&next);
	}
	ASSERT_RET(0, v1_load(v1, &s, 0));
	check_runs(_metadata, v1);
	buffer_free(&s);
}

TEST_F(resume, closing_the_device_ends_the_session)
{
	ASSERT_RET(0, v1_feed(&self->v1, self->stream.data,
			      self->stream.len / 2, 0));
	fixture_close(&self->dev, &self->v1);
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_RET(0, v1_load(&self->v1, &self->stream, 0));
	check_runs(_metadata, &self->v1);
}

/*
 * The commit that completes a stream does everything that can fail, so that the transition
 * out of 100 cannot fail. A VMM can refuse a migration at this commit for the last time.
 */
TEST_F(resume, no_failure_after_the_last_commit)
{
	int i;

	for (i = 0; i < 50; i++) {
		ASSERT_RET(0, v1_feed(&self->v1, self->stream.data,
				      self->stream.len, 0));
		ASSERT_RET(0, v1_set_state(&self->v1, i % 2 ? V1_RUNNING :
							      V1_STOPPED));
		ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
	}
}

SUITE_MAIN(suite_need_v1())
