// SPDX-License-Identifier: GPL-2.0-only
/* KUnit tests of the stream's reader, and of writer and reader together; a part of parse.c */
#include <linux/uio.h>

#include "leb128_test.h"
#include "mock_test.h"

#define STREAM_MAX	SZ_512K
#define CHUNKS_MAX	16

/* A device that saves, a device that loads, and the stream between them. */
struct pair {
	struct mock from;
	struct mock to;
	u8 *stream;
	size_t at[CHUNKS_MAX + 1];	/* where each chunk starts, and the end */
	int nr_chunks;
	u8 page[2][PAGE_SIZE];		/* a page of each device, for a comparison */
};

static int pair_init(struct kunit *test)
{
	struct pair *p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);
	int ret;

	if (!p)
		return -ENOMEM;
	p->stream = kunit_kmalloc(test, STREAM_MAX, GFP_KERNEL);
	if (!p->stream)
		return -ENOMEM;
	test->priv = p;
	ret = mock_init(&p->from);
	return ret ? ret : mock_init(&p->to);
}

static void pair_exit(struct kunit *test)
{
	struct pair *p = test->priv;

	if (!p)
		return;
	mock_destroy(&p->from);
	mock_destroy(&p->to);
}

static void keep_chunk(struct kunit *test, struct pair *p,
		       const struct vfio_mig_chunk *chunk)
{
	size_t at = p->at[p->nr_chunks];
	u32 i;

	KUNIT_ASSERT_LT(test, p->nr_chunks, CHUNKS_MAX);
	KUNIT_ASSERT_LE(test, at + vfio_mig_chunk_size(chunk), STREAM_MAX);
	memcpy(p->stream + at, chunk->meta, chunk->meta_len);
	at += chunk->meta_len;
	for (i = 0; i < chunk->nr_pages; i++, at += PAGE_SIZE)
		memcpy(p->stream + at, page_address(chunk->pages[i]),
		       PAGE_SIZE);
	p->at[++p->nr_chunks] = at;
}

/* Saves the whole state: header, pages, control state, end. */
static void save_all(struct kunit *test, struct pair *p)
{
	struct vfio_mig_chunk *chunk = p->from.chunk;

	p->nr_chunks = 0;
	KUNIT_ASSERT_EQ(test, 0, mock_enter(&p->from, VFIO_MIG_STOP_COPY));
	while (!vfio_mig_save_next(&p->from.mig, MOCK_WINDOW, chunk)) {
		keep_chunk(test, p, chunk);
		vfio_mig_chunk_put(chunk);
	}
	KUNIT_ASSERT_EQ(test, 4, p->nr_chunks);
	KUNIT_ASSERT_EQ(test, 0, mock_enter(&p->from, VFIO_MIG_RUNNING));
}

/* Saves some pages with gaps and zeros between them, and a control state. */
static void save_some(struct kunit *test, struct pair *p)
{
	static const u16 places[] = { 0, 1, 2, 5, 63, 64, 65, 500, 501, 999 };
	int i;

	for (i = 0; i < ARRAY_SIZE(places); i++)
		mock_fill(test, &p->from, places[i], i % 4 == 2 ? 0 : i + 1);
	for (i = 0; i < MOCK_CONTROL; i++)
		p->from.control[i] = i + 100;
	save_all(test, p);
}

static int feed(struct mock *m, const void *data, size_t len, size_t portion)
{
	size_t n;
	int ret;

	for (; len; data += n, len -= n) {
		struct kvec vec = { .iov_base = (void *)data };
		struct iov_iter from;

		n = min(len, portion);
		vec.iov_len = n;
		iov_iter_kvec(&from, WRITE, &vec, 1, n);
		ret = vfio_mig_load_feed(&m->mig, &from);
		if (ret)
			return ret;
	}
	return 0;
}

static int feed_chunk(struct pair *p, int index)
{
	size_t at = p->at[index];

	return feed(&p->to, p->stream + at, p->at[index + 1] - at, STREAM_MAX);
}

static int feed_all(struct pair *p, size_t portion)
{
	return feed(&p->to, p->stream, p->at[p->nr_chunks], portion);
}

/* Begins a new load, also if the last one was not complete. */
static void begin_load(struct kunit *test, struct pair *p)
{
	vfio_mig_machine_start(&p->to.mig);
	KUNIT_ASSERT_EQ(test, 0, mock_enter(&p->to, VFIO_MIG_RESUMING));
}

/* Copies a page. A page without memory reads as zeros. */
static void look_at(struct mock *m, pgoff_t index, u8 *to)
{
	struct page *page = vfio_mig_page_read_begin(&m->pages, index);

	if (page)
		memcpy(to, page_address(page), PAGE_SIZE);
	else
		memset(to, 0, PAGE_SIZE);
	vfio_mig_page_read_end(&m->pages, index);
}

/* Reads the pages one after the other, because a caller has one page access at a time. */
static bool same_page(struct pair *p, pgoff_t index)
{
	look_at(&p->from, index, p->page[0]);
	look_at(&p->to, index, p->page[1]);
	return !memcmp(p->page[0], p->page[1], PAGE_SIZE);
}

static void expect_same(struct kunit *test, struct pair *p)
{
	pgoff_t i;

	for (i = 0; i < MOCK_PAGES; i++)
		KUNIT_EXPECT_TRUE_MSG(test, same_page(p, i), "page %lu", i);
	KUNIT_EXPECT_EQ(test, 0, memcmp(p->from.control, p->to.control,
					MOCK_CONTROL));
}

static void numbers_are_read_as_leb128(struct kunit *test)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(leb128_forms); i++) {
		const u8 *from = leb128_forms[i].bytes;
		const u8 *end = from + leb128_forms[i].len;
		u64 value;

		KUNIT_EXPECT_TRUE(test, get_leb128(&from, end, &value));
		KUNIT_EXPECT_EQ(test, leb128_forms[i].value, value);
		KUNIT_EXPECT_PTR_EQ(test, end, from);
		/* Without the last byte the number is not valid. */
		from = leb128_forms[i].bytes;
		KUNIT_EXPECT_FALSE(test, get_leb128(&from, end - 1, &value));
	}
}

static void what_is_no_number_is_not_read(struct kunit *test)
{
	static const struct {
		u8 len;
		u8 bytes[11];
	} bad[] = {
		{ 2, { 0x80, 0x00 } },
		{ 3, { 0xff, 0x80, 0x00 } },
		{ 10, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0x02 } },
		{ 10, { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
			0x7f } },
		{ 11, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0x81, 0x00 } },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		const u8 *from = bad[i].bytes;
		u64 value;

		KUNIT_EXPECT_FALSE_MSG(test, get_leb128(&from,
							from + bad[i].len,
							&value),
				       "case %d", i);
	}
}

static void runs_have_bounds(struct kunit *test)
{
	static const struct {
		u64 base;
		u32 nr_pages;
		u32 runs_bytes;
		u8 runs[8];
		int want;
	} cases[] = {
		{ 0, 1, 1, { 0x00 }, 0 },
		{ MOCK_PAGES - 1, 1, 1, { 0x00 }, 0 },
		{ 0, MOCK_PAGES, 3, { 0x01, 0xe8, 0x07 }, 0 },
		{ 0, 0, 1, { 0x02 }, 0 },
		/* beyond the last page */
		{ MOCK_PAGES, 1, 1, { 0x00 }, -EINVAL },
		{ U64_MAX, 1, 1, { 0x00 }, -EINVAL },
		{ 0, MOCK_PAGES + 1, 3, { 0x01, 0xe9, 0x07 }, -EINVAL },
		{ 0, 1, 2, { 0xa0, 0x1f }, -EINVAL },
		{ MOCK_PAGES - 2, 3, 3, { 0x00, 0x00, 0x00 }, -EINVAL },
		/* malformed */
		{ 0, 1, 1, { 0x01 }, -EBADMSG },
		{ 0, 1, 1, { 0x80 }, -EBADMSG },
		{ 0, 1, 2, { 0x01, 0x01 }, -EBADMSG },
		{ 0, 0, 2, { 0x01, 0x00 }, -EBADMSG },
		/* another count, and padding that is not zero */
		{ 0, 2, 1, { 0x00 }, -EBADMSG },
		{ 0, 1, 1, { 0x02 }, -EBADMSG },
		{ 0, 1, 1, { 0x00, 0x00, 0x01 }, -EBADMSG },
	};
	struct {
		struct vfio_mig_pages_hdr h;
		u8 runs[8];
	} __aligned(8) buf;
	struct pair *p = test->priv;
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		begin_load(test, p);
		buf.h.base = cpu_to_le64(cases[i].base);
		buf.h.nr_pages = cpu_to_le32(cases[i].nr_pages);
		buf.h.runs_bytes = cpu_to_le32(cases[i].runs_bytes);
		memcpy(buf.runs, cases[i].runs, sizeof(buf.runs));
		KUNIT_EXPECT_EQ_MSG(test, cases[i].want,
				    decode_runs(&p->to.mig, &buf.h),
				    "case %d", i);
	}
}

static void runs_are_counted(struct kunit *test)
{
	size_t room = ALIGN(VFIO_MIG_STREAM_RUNS_MAX + 1, 8);
	struct vfio_mig_pages_hdr *h;
	struct pair *p = test->priv;

	h = kunit_kzalloc(test, sizeof(*h) + room, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, h);
	memset(h + 1, 0x02, VFIO_MIG_STREAM_RUNS_MAX);
	h->runs_bytes = cpu_to_le32(VFIO_MIG_STREAM_RUNS_MAX);
	begin_load(test, p);
	KUNIT_EXPECT_EQ(test, 0, decode_runs(&p->to.mig, h));
	KUNIT_EXPECT_EQ(test, VFIO_MIG_STREAM_RUNS_MAX,
			p->to.mig.load->at.pos.nr_runs);
	memset(h + 1, 0x02, VFIO_MIG_STREAM_RUNS_MAX + 1);
	h->runs_bytes = cpu_to_le32(VFIO_MIG_STREAM_RUNS_MAX + 1);
	KUNIT_EXPECT_EQ(test, -EBADMSG, decode_runs(&p->to.mig, h));
}

static void what_was_saved_loads_in_any_portions(struct kunit *test)
{
	static const size_t portions[] = { 1, 7, 40, 4095, STREAM_MAX };
	struct pair *p = test->priv;
	int i;

	save_some(test, p);
	for (i = 0; i < ARRAY_SIZE(portions); i++) {
		/* The load has to remove this page. */
		mock_fill(test, &p->to, 300, 0xee);
		mock_fill(test, &p->to, 5, 0xee);
		memset(p->to.control, 0, MOCK_CONTROL);
		begin_load(test, p);
		KUNIT_ASSERT_EQ(test, 0, feed_all(p, portions[i]));
		KUNIT_EXPECT_EQ(test, 0, p->to.control[1]);
		KUNIT_ASSERT_EQ(test, 0, mock_enter(&p->to, VFIO_MIG_RUNNING));
		expect_same(test, p);
		KUNIT_EXPECT_EQ(test, i + 1, mock_count(&p->to, VFIO_MIG_LOADS));
	}
}

static void chunks_are_in_sequence(struct kunit *test)
{
	struct pair *p = test->priv;

	save_some(test, p);
	begin_load(test, p);
	KUNIT_EXPECT_EQ(test, -EILSEQ, feed_chunk(p, 1));

	begin_load(test, p);
	KUNIT_ASSERT_EQ(test, 0, feed_chunk(p, 0));
	KUNIT_EXPECT_EQ(test, -EILSEQ, feed_chunk(p, 0));

	begin_load(test, p);
	KUNIT_ASSERT_EQ(test, 0, feed_chunk(p, 0));
	KUNIT_EXPECT_EQ(test, -EILSEQ, feed_chunk(p, 2));
	/* All later chunks get the same error. */
	KUNIT_EXPECT_EQ(test, -EILSEQ, feed_chunk(p, 1));
	KUNIT_EXPECT_EQ(test, -EILSEQ, mock_enter(&p->to, VFIO_MIG_RUNNING));

	begin_load(test, p);
	KUNIT_ASSERT_EQ(test, 0, feed_chunk(p, 0));
	KUNIT_ASSERT_EQ(test, 0, feed_chunk(p, 1));
	KUNIT_EXPECT_EQ(test, -EILSEQ, feed_chunk(p, 1));
}

static void a_stream_without_its_end_is_not_complete(struct kunit *test)
{
	struct pair *p = test->priv;

	save_some(test, p);
	begin_load(test, p);
	KUNIT_ASSERT_EQ(test, 0, feed_chunk(p, 0));
	KUNIT_ASSERT_EQ(test, 0, feed_chunk(p, 1));
	KUNIT_ASSERT_EQ(test, 0, feed_chunk(p, 2));
	KUNIT_EXPECT_EQ(test, -ENODATA, mock_enter(&p->to, VFIO_MIG_STOP));
	KUNIT_EXPECT_EQ(test, -ENODATA, feed_chunk(p, 3));
}

/* A header of another save at a chunk's start drops all staged data. */
static void a_save_may_start_over(struct kunit *test)
{
	struct pair *p = test->priv;
	int cut;

	for (cut = 0; cut < 4; cut++) {
		int i;

		save_some(test, p);
		begin_load(test, p);
		for (i = 0; i <= cut; i++)
			KUNIT_ASSERT_EQ(test, 0, feed_chunk(p, i));
		save_some(test, p);
		KUNIT_ASSERT_EQ(test, 0, feed_all(p, STREAM_MAX));
		KUNIT_ASSERT_EQ(test, 0, mock_enter(&p->to, VFIO_MIG_RUNNING));
		expect_same(test, p);
	}
}

static void no_byte_of_the_header_may_change(struct kunit *test)
{
	struct pair *p = test->priv;
	size_t i;

	save_some(test, p);
	for (i = 0; i < p->at[1]; i++) {
		begin_load(test, p);
		p->stream[i] ^= 0x10;
		KUNIT_EXPECT_EQ_MSG(test, -EBADMSG, feed_chunk(p, 0),
				    "byte %zu", i);
		p->stream[i] ^= 0x10;
	}
}

/* The last commit reports a state that the driver refuses, and not the transition. */
static void the_end_has_the_state_checked(struct kunit *test)
{
	struct pair *p = test->priv;

	save_some(test, p);
	p->from.control[0] = 0xff;
	save_all(test, p);
	begin_load(test, p);
	KUNIT_ASSERT_EQ(test, 0, feed_chunk(p, 0));
	KUNIT_ASSERT_EQ(test, 0, feed_chunk(p, 1));
	KUNIT_ASSERT_EQ(test, 0, feed_chunk(p, 2));
	KUNIT_EXPECT_EQ(test, -EINVAL, feed_chunk(p, 3));
	KUNIT_EXPECT_EQ(test, -EINVAL, mock_enter(&p->to, VFIO_MIG_RUNNING));
	KUNIT_EXPECT_EQ(test, VFIO_MIG_RESUMING, p->to.mig.state);
}

static void staged_memory_is_given_back(struct kunit *test)
{
	struct pair *p = test->priv;
	long used;

	save_some(test, p);
	mock_fill(test, &p->to, 300, 0xee);
	used = atomic_long_read(&p->to.budget.used);
	begin_load(test, p);
	KUNIT_ASSERT_EQ(test, 0, feed_all(p, STREAM_MAX));
	KUNIT_EXPECT_GT(test, atomic_long_read(&p->to.budget.used), used);
	vfio_mig_machine_start(&p->to.mig);
	KUNIT_EXPECT_EQ(test, used, atomic_long_read(&p->to.budget.used));
}

static struct kunit_case load_cases[] = {
	KUNIT_CASE(numbers_are_read_as_leb128),
	KUNIT_CASE(what_is_no_number_is_not_read),
	KUNIT_CASE(runs_have_bounds),
	KUNIT_CASE(runs_are_counted),
	KUNIT_CASE(what_was_saved_loads_in_any_portions),
	KUNIT_CASE(chunks_are_in_sequence),
	KUNIT_CASE(a_stream_without_its_end_is_not_complete),
	KUNIT_CASE(a_save_may_start_over),
	KUNIT_CASE(no_byte_of_the_header_may_change),
	KUNIT_CASE(the_end_has_the_state_checked),
	KUNIT_CASE(staged_memory_is_given_back),
	{}
};

static struct kunit_suite load_suite = {
	.name = "vfio_mig_load",
	.init = pair_init,
	.exit = pair_exit,
	.test_cases = load_cases,
};

kunit_test_suite(load_suite);
