// SPDX-License-Identifier: GPL-2.0-only
/*
 * A user violates the protocol at the source. The device counts the violation, and the target
 * refuses the resulting stream. Also streams between windows of different sizes.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "lib/fill.h"
#include "lib/fixture.h"
#include "lib/mdev.h"
#include "lib/stream.h"

struct breach {
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct buffer stream;
	long long before;
};

FIXTURE(breach) {
	struct breach f;
};

FIXTURE_SETUP(breach)
{
	fixture_open(_metadata, suite_device(), &self->f.dev, &self->f.v1);
	ASSERT_EQ(0, fill_device(&self->f.dev, &self->f.guest));
	self->f.before = device_counter(&self->f.dev, "migration/breaches");
	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_STOP_COPY));
}

FIXTURE_TEARDOWN(breach)
{
	buffer_free(&self->f.stream);
	fixture_close(&self->f.dev, &self->f.v1);
	guest_destroy(&self->f.guest);
}

static void check_breaches(struct __test_metadata *_metadata,
			   struct breach *self, int more)
{
	if (self->before < 0)
		SKIP(return, "the device has no counter of breaches");
	EXPECT_EQ(self->before + more,
		  device_counter(&self->dev, "migration/breaches"));
}

/* Opens an iteration by a read of data_offset only. */
static void open_only(struct __test_metadata *_metadata, struct v1 *v1)
{
	__u64 offset;

	ASSERT_RET(0, v1_data_offset(v1, &offset));
}

static __u64 size_of(struct __test_metadata *_metadata, struct v1 *v1)
{
	__u64 size;

	ASSERT_RET(0, v1_data_size(v1, &size));
	ASSERT_LT(8, size);
	return size;
}

static void conclude(struct __test_metadata *_metadata, struct v1 *v1)
{
	__u64 pending;

	ASSERT_RET(0, v1_pending(v1, &pending));
}

TEST_F(breach, concluding_without_data_size)
{
	open_only(_metadata, &self->f.v1);
	conclude(_metadata, &self->f.v1);
	check_breaches(_metadata, &self->f, 1);
}

TEST_F(breach, concluding_without_data_size_although_mapped)
{
	ASSERT_RET(0, v1_map(&self->f.v1));
	open_only(_metadata, &self->f.v1);
	conclude(_metadata, &self->f.v1);
	check_breaches(_metadata, &self->f, 1);
}

TEST_F(breach, concluding_without_the_data)
{
	open_only(_metadata, &self->f.v1);
	size_of(_metadata, &self->f.v1);
	conclude(_metadata, &self->f.v1);
	check_breaches(_metadata, &self->f, 1);
}

TEST_F(breach, concluding_without_the_last_byte)
{
	__u64 size;
	void *buf;

	open_only(_metadata, &self->f.v1);
	size = size_of(_metadata, &self->f.v1);
	buf = malloc(size);
	ASSERT_RET(0, v1_read_data(&self->f.v1, 0, buf, size - 1));
	conclude(_metadata, &self->f.v1);
	check_breaches(_metadata, &self->f, 1);
	free(buf);
}

TEST_F(breach, concluding_without_a_byte_in_the_middle)
{
	__u64 size, half;
	void *buf;

	open_only(_metadata, &self->f.v1);
	size = size_of(_metadata, &self->f.v1);
	half = size / 2;
	buf = malloc(size);
	ASSERT_RET(0, v1_read_data(&self->f.v1, half + 1, buf, size - half - 1));
	ASSERT_RET(0, v1_read_data(&self->f.v1, 0, buf, half));
	conclude(_metadata, &self->f.v1);
	check_breaches(_metadata, &self->f, 1);
	free(buf);
}

TEST_F(breach, none_if_all_was_read_in_pieces_of_any_order)
{
	unsigned char buf[1000];
	__u64 size, at, n;

	open_only(_metadata, &self->f.v1);
	size = size_of(_metadata, &self->f.v1);
	for (at = size; at; at -= n) {
		n = at < sizeof(buf) ? at : sizeof(buf);
		ASSERT_RET(0, v1_read_data(&self->f.v1, at - n, buf, n));
	}
	conclude(_metadata, &self->f.v1);
	check_breaches(_metadata, &self->f, 0);
}

TEST_F(breach, none_if_mapped_and_data_size_was_read)
{
	ASSERT_RET(0, v1_map(&self->f.v1));
	open_only(_metadata, &self->f.v1);
	size_of(_metadata, &self->f.v1);
	conclude(_metadata, &self->f.v1);
	check_breaches(_metadata, &self->f, 0);
}

TEST_F(breach, none_if_left_open_by_leaving)
{
	open_only(_metadata, &self->f.v1);
	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_RUNNING));
	check_breaches(_metadata, &self->f, 0);
}

/* The data counts as consumed, so the next iteration has the next data. */
TEST_F(breach, the_data_counts_as_consumed_all_the_same)
{
	struct buffer first = { 0 };
	struct chunk a, b;

	ASSERT_LT(0, v1_iteration(&self->f.v1, &first));
	conclude(_metadata, &self->f.v1);
	open_only(_metadata, &self->f.v1);
	conclude(_metadata, &self->f.v1);
	ASSERT_LE(0, v1_iteration(&self->f.v1, &self->f.stream));
	if (stream_count(&first, 0) <= 0 || !self->f.stream.len)
		SKIP(return, "all there is fits into one iteration");
	ASSERT_EQ(0, stream_chunk(&first, stream_count(&first, 0) - 1, &a));
	ASSERT_EQ(0, stream_chunk(&self->f.stream, 0, &b));
	EXPECT_LT(le32toh(a.hdr->seq) + 1, le32toh(b.hdr->seq))
		TH_LOG("what was not read is there again");
	buffer_free(&first);
}

/* Saves the stream without iteration number @lost. Returns the number of iterations. */
static int save_without(struct __test_metadata *_metadata, struct v1 *v1,
			struct buffer *s, int lost)
{
	struct buffer one = { 0 };
	__u64 pending;
	int n = 0;

	s->len = 0;
	ASSERT_RET(0, v1_go(v1, V1_STOP_COPY));
	for (;;) {
		ASSERT_RET(0, v1_pending(v1, &pending));
		if (!pending)
			break;
		one.len = 0;
		ASSERT_LT(0, v1_iteration(v1, &one));
		if (n++ != lost)
			buffer_append(s, one.data, one.len);
	}
	buffer_free(&one);
	ASSERT_RET(0, v1_set_state(v1, V1_RUNNING));
	return n;
}

TEST_F_TIMEOUT(breach, a_stream_that_lacks_an_iteration_never_loads, 120)
{
	struct v1 *v1 = &self->f.v1;
	int lost, n, want, ret;

	n = save_without(_metadata, v1, &self->f.stream, -1);
	for (lost = 0; lost < n; lost++) {
		ASSERT_EQ(n, save_without(_metadata, v1, &self->f.stream, lost));
		/*
		 * If the last iteration is missing, the order is right, but the stream ends
		 * early.
		 */
		want = lost < n - 1 ? -EILSEQ : -ENODATA;
		if (!self->f.stream.len)
			want = -ENODATA;
		ret = v1_load(v1, &self->f.stream, 0);
		if (!ret)
			ret = v1_set_state(v1, V1_RUNNING);
		EXPECT_EQ(want, ret)
			TH_LOG("without iteration %d of %d: expected %s, saw %s",
			       lost + 1, n, errname(want), errname(ret));
		ASSERT_RET(0, device_reset(&self->f.dev));
	}
}

TEST_F(breach, a_refused_stream_is_counted)
{
	long long before = device_counter(&self->f.dev, "migration/refused");

	if (before < 0)
		SKIP(return, "the device has no counter of refused streams");
	save_without(_metadata, &self->f.v1, &self->f.stream, -1);
	self->f.stream.data[0] ^= 1;
	ASSERT_RET(-EBADMSG, v1_load(&self->f.v1, &self->f.stream, 0));
	EXPECT_EQ(before + 1, device_counter(&self->f.dev, "migration/refused"));
}

/* From windows of each size to windows of each size */
static const long kibs[] = { 64, 68, 256, 1024, 16384 };

FIXTURE(windows) {
	struct mdev mdev[ARRAY_SIZE(kibs)];
	struct device dev[ARRAY_SIZE(kibs)];
	struct v1 v1[ARRAY_SIZE(kibs)];
	struct guest guest;
	struct buffer stream;
};

FIXTURE_SETUP(windows)
{
	long before = mdev_window_kib(0);
	unsigned int i;
	int ret = 0;

	if (before < 0)
		return;
	for (i = 0; i < ARRAY_SIZE(kibs) && !ret; i++) {
		mdev_window_kib(kibs[i]);
		ret = mdev_create(&self->mdev[i], "mnvme", "64M");
	}
	/* Also if mnvme is not loaded, because other programs run after this one */
	mdev_window_kib(before);
	if (ret == -ENOENT)
		return;
	ASSERT_RET(0, ret);
	for (i = 0; i < ARRAY_SIZE(kibs); i++) {
		fixture_open(_metadata, self->mdev[i].path, &self->dev[i],
			     &self->v1[i]);
		EXPECT_EQ(kibs[i] * 1024, self->v1[i].window);
	}
	ASSERT_EQ(0, fill_device(&self->dev[0], &self->guest));
}

FIXTURE_TEARDOWN(windows)
{
	unsigned int i;

	buffer_free(&self->stream);
	for (i = 0; i < ARRAY_SIZE(kibs) && self->v1[i].dev; i++) {
		fixture_close(&self->dev[i], &self->v1[i]);
		mdev_remove(&self->mdev[i]);
	}
	guest_destroy(&self->guest);
}

TEST_F_TIMEOUT(windows, a_stream_loads_into_any_other, 120)
{
	struct buffer *s = &self->stream;
	unsigned int i, j, from = 0;
	struct pages_total pages;
	char why[128];

	if (!self->v1[0].dev)
		SKIP(return, "no mnvme devices with windows of several sizes");
	/* The state goes from the first device to each device in turn. */
	for (i = 0; i < 2 * ARRAY_SIZE(kibs); i++) {
		j = (i * 3 + 1) % ARRAY_SIZE(kibs);
		if (j == from)
			continue;
		s->len = 0;
		ASSERT_RET_FOR(0, v1_save(&self->v1[from], s),
			       "from %ld KiB", kibs[from]);
		ASSERT_EQ(0, stream_check(s, why, sizeof(why)))
			TH_LOG("%s", why);
		ASSERT_EQ(0, stream_pages(s, &pages));
		EXPECT_EQ(FILL_BYTES / STREAM_PAGE, pages.data);
		ASSERT_RET_FOR(0, v1_load(&self->v1[j], s, 0),
			       "from %ld KiB into %ld KiB", kibs[from],
			       kibs[j]);
		ASSERT_RET(0, v1_set_state(&self->v1[from], V1_STOPPED));
		ASSERT_RET(0, v1_set_state(&self->v1[j], V1_STOPPED));
		from = j;
	}
}

SUITE_MAIN_WINDOW(SUITE_WINDOW_KIB_MIN, suite_need_v1())
