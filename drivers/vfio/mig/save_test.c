// SPDX-License-Identifier: GPL-2.0-only
/* KUnit tests of the stream's writer; a part of save.c */
#include "leb128_test.h"
#include "mock_test.h"

static void numbers_are_written_as_leb128(struct kunit *test)
{
	u8 buf[RUN_BYTES_MAX];
	int i;

	for (i = 0; i < ARRAY_SIZE(leb128_forms); i++) {
		u8 *end = put_leb128(buf, leb128_forms[i].value);

		KUNIT_EXPECT_EQ(test, leb128_forms[i].len, end - buf);
		KUNIT_EXPECT_EQ(test, 0, memcmp(buf, leb128_forms[i].bytes,
						leb128_forms[i].len));
	}
}

static void runs_are_a_gap_and_a_length(struct kunit *test)
{
	static const struct {
		struct run run;
		pgoff_t prev_end;
		u8 len;
		u8 bytes[4];
	} want[] = {
		{ { 5, 1, false }, 5, 1, { 0x00 } },
		{ { 5, 1, true }, 5, 1, { 0x02 } },
		{ { 7, 1, false }, 5, 1, { 0x08 } },
		{ { 5, 3, false }, 5, 2, { 0x01, 0x03 } },
		{ { 6, 2, true }, 5, 2, { 0x07, 0x02 } },
		{ { 37, 200, false }, 5, 4, { 0x81, 0x01, 0xc8, 0x01 } },
	};
	u8 buf[RUN_BYTES_MAX];
	int i;

	for (i = 0; i < ARRAY_SIZE(want); i++) {
		u8 *end = put_run(buf, &want[i].run, want[i].prev_end);

		KUNIT_EXPECT_EQ(test, want[i].len, end - buf);
		KUNIT_EXPECT_EQ(test, 0,
				memcmp(buf, want[i].bytes, want[i].len));
	}
}

static void longest_run_fits(struct kunit *test)
{
	struct run run = { .start = ULONG_MAX >> 2, .len = ULONG_MAX };
	u8 buf[RUN_BYTES_MAX];

	KUNIT_EXPECT_LE(test, put_run(buf, &run, 0) - buf, RUN_BYTES_MAX);
}

/* Expects that the next chunk has this type and number. Returns its payload. */
static const void *next_chunk(struct kunit *test, struct mock *m, u16 type,
			      u32 seq)
{
	const struct vfio_mig_chunk_hdr *hdr;
	struct vfio_mig_chunk *chunk = m->chunk;

	vfio_mig_chunk_put(chunk);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_save_next(&m->mig, MOCK_WINDOW,
						    chunk));
	hdr = chunk->meta;
	KUNIT_EXPECT_EQ(test, VFIO_MIG_STREAM_MAGIC, le32_to_cpu(hdr->magic));
	KUNIT_EXPECT_EQ(test, type, le16_to_cpu(hdr->type));
	KUNIT_EXPECT_EQ(test, seq, le32_to_cpu(hdr->seq));
	KUNIT_EXPECT_EQ(test, vfio_mig_chunk_size(chunk),
			sizeof(*hdr) + le32_to_cpu(hdr->length));
	KUNIT_EXPECT_EQ(test, 0, le32_to_cpu(hdr->length) %
				 VFIO_MIG_STREAM_ALIGN);
	return hdr + 1;
}

static void nothing_next(struct kunit *test, struct mock *m)
{
	vfio_mig_chunk_put(m->chunk);
	KUNIT_EXPECT_EQ(test, -EAGAIN, vfio_mig_save_next(&m->mig, MOCK_WINDOW,
							  m->chunk));
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_save_pending(&m->mig));
}

static void chunks_come_in_order(struct kunit *test)
{
	struct mock *m = test->priv;

	mock_fill(test, m, 3, 0x44);
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_PRE_COPY));
	next_chunk(test, m, VFIO_MIG_CHUNK_HEADER, 0);
	next_chunk(test, m, VFIO_MIG_CHUNK_PAGES, 1);
	nothing_next(test, m);
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_STOP_COPY));
	KUNIT_EXPECT_NE(test, 0, vfio_mig_save_pending(&m->mig));
	next_chunk(test, m, VFIO_MIG_CHUNK_CONTROL, 2);
	next_chunk(test, m, VFIO_MIG_CHUNK_END, 3);
	nothing_next(test, m);
}

static void a_change_after_the_end_brings_another(struct kunit *test)
{
	struct mock *m = test->priv;

	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_STOP_COPY));
	next_chunk(test, m, VFIO_MIG_CHUNK_HEADER, 0);
	next_chunk(test, m, VFIO_MIG_CHUNK_CONTROL, 1);
	next_chunk(test, m, VFIO_MIG_CHUNK_END, 2);
	nothing_next(test, m);
	WRITE_ONCE(m->mig.control_dirty, true);
	next_chunk(test, m, VFIO_MIG_CHUNK_CONTROL, 3);
	next_chunk(test, m, VFIO_MIG_CHUNK_END, 4);
	nothing_next(test, m);
	mock_fill(test, m, 0, 0x55);
	next_chunk(test, m, VFIO_MIG_CHUNK_PAGES, 5);
	next_chunk(test, m, VFIO_MIG_CHUNK_END, 6);
	nothing_next(test, m);
}

static void pages_of_zeros_are_holes(struct kunit *test)
{
	static const u8 runs[] = { 0x01, 2, 0x03, 3, 0x00, 0x10 };
	const struct vfio_mig_pages_hdr *h;
	struct mock *m = test->priv;
	pgoff_t i;

	/* Two pages with data, three of zeros, one with data, and one four pages later. */
	for (i = 10; i < 16; i++)
		mock_fill(test, m, i, i < 12 || i == 15 ? 0x66 : 0);
	mock_fill(test, m, 20, 0x66);
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_PRE_COPY));
	next_chunk(test, m, VFIO_MIG_CHUNK_HEADER, 0);
	h = next_chunk(test, m, VFIO_MIG_CHUNK_PAGES, 1);
	KUNIT_EXPECT_EQ(test, 10, le64_to_cpu(h->base));
	KUNIT_EXPECT_EQ(test, 4, le32_to_cpu(h->nr_pages));
	KUNIT_ASSERT_EQ(test, sizeof(runs), le32_to_cpu(h->runs_bytes));
	KUNIT_EXPECT_EQ(test, 0, memcmp(h + 1, runs, sizeof(runs)));
	KUNIT_EXPECT_EQ(test, 4, mock_count(m, VFIO_MIG_PAGES_SENT));
}

/* A chunk has no more pages than the buffer and the format permit. */
static void chunks_have_bounds(struct kunit *test)
{
	struct mock *m = test->priv;
	struct vfio_mig_chunk *chunk = m->chunk;
	pgoff_t i;

	for (i = 0; i < 2 * VFIO_MIG_STREAM_PAGES_MAX; i++)
		mock_fill(test, m, i, 0x77);
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_PRE_COPY));
	next_chunk(test, m, VFIO_MIG_CHUNK_HEADER, 0);
	vfio_mig_chunk_put(chunk);

	KUNIT_EXPECT_EQ(test, -EAGAIN,
			vfio_mig_save_next(&m->mig, VFIO_MIG_CHUNK_ROOM_MIN - 1,
					   chunk));
	KUNIT_ASSERT_EQ(test, 0,
			vfio_mig_save_next(&m->mig, VFIO_MIG_CHUNK_ROOM_MIN,
					   chunk));
	KUNIT_EXPECT_LE(test, vfio_mig_chunk_size(chunk),
			VFIO_MIG_CHUNK_ROOM_MIN);
	KUNIT_EXPECT_GT(test, chunk->nr_pages, 0);
	vfio_mig_chunk_put(chunk);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_save_next(&m->mig, SZ_16M, chunk));
	KUNIT_EXPECT_LE(test, vfio_mig_chunk_size(chunk),
			VFIO_MIG_CHUNK_ROOM_MAX);
	KUNIT_EXPECT_GT(test, vfio_mig_chunk_size(chunk),
			VFIO_MIG_CHUNK_ROOM_MAX - VFIO_MIG_CHUNK_ROOM_MIN);
}

static void each_save_has_its_own_identity(struct kunit *test)
{
	struct mock *m = test->priv;
	u64 first;

	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_STOP_COPY));
	first = m->mig.save->id;
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_RUNNING));
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_STOP_COPY));
	KUNIT_EXPECT_NE(test, first, m->mig.save->id);
	next_chunk(test, m, VFIO_MIG_CHUNK_HEADER, 0);
}

static struct kunit_case save_cases[] = {
	KUNIT_CASE(numbers_are_written_as_leb128),
	KUNIT_CASE(runs_are_a_gap_and_a_length),
	KUNIT_CASE(longest_run_fits),
	KUNIT_CASE(chunks_come_in_order),
	KUNIT_CASE(a_change_after_the_end_brings_another),
	KUNIT_CASE(pages_of_zeros_are_holes),
	KUNIT_CASE(chunks_have_bounds),
	KUNIT_CASE(each_save_has_its_own_identity),
	{}
};

static struct kunit_suite save_suite = {
	.name = "vfio_mig_save",
	.init = mock_suite_init,
	.exit = mock_suite_exit,
	.test_cases = save_cases,
};

kunit_test_suite(save_suite);
