// SPDX-License-Identifier: GPL-2.0-only
/* KUnit tests of the paged state and its dirty set; a part of pages.c */
#include <kunit/test.h>

#define TEST_PAGES	1000

struct pages_test {
	struct vfio_mig_pages pages;
	struct vfio_mig_budget budget;
};

static int pages_test_init(struct kunit *test)
{
	struct pages_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	if (!t)
		return -ENOMEM;
	t->budget.limit = 8;
	if (vfio_mig_pages_init(&t->pages, TEST_PAGES, &t->budget))
		return -ENOMEM;
	test->priv = t;
	return 0;
}

static void pages_test_exit(struct kunit *test)
{
	struct pages_test *t = test->priv;

	if (!t)
		return;
	vfio_mig_pages_destroy(&t->pages);
	/* After each test no page is left allocated. */
	KUNIT_EXPECT_EQ(test, 0, atomic_long_read(&t->budget.used));
}

static struct page *fill(struct kunit *test, struct vfio_mig_pages *p,
			 pgoff_t index, u8 value)
{
	struct page *page = vfio_mig_page_write_begin(p, index);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	memset(page_address(page), value, PAGE_SIZE);
	vfio_mig_page_write_end(p, index);
	return page;
}

/* Returns the first byte of a page, or -1 if there is no page. */
static int look(struct vfio_mig_pages *p, pgoff_t index)
{
	struct page *page = vfio_mig_page_read_begin(p, index);
	int value = page ? *(u8 *)page_address(page) : -1;

	vfio_mig_page_read_end(p, index);
	return value;
}

/* Takes a changed page. Returns NULL if the page reads as zeros. */
static struct page *take(struct kunit *test, struct vfio_mig_pages *p,
			 pgoff_t index)
{
	struct page *page;
	pgoff_t taken;

	KUNIT_ASSERT_EQ(test, 1,
			vfio_mig_pages_take(p, index, 1, &page, &taken));
	KUNIT_EXPECT_EQ(test, index, taken);
	return page;
}

static void pages_exist_once_written(struct kunit *test)
{
	struct pages_test *t = test->priv;
	struct vfio_mig_pages *p = &t->pages;
	struct page *page;

	KUNIT_EXPECT_EQ(test, -1, look(p, 5));
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_pages_resident(p));
	page = vfio_mig_page_write_begin(p, 5);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	KUNIT_EXPECT_NULL(test, memchr_inv(page_address(page), 0, PAGE_SIZE));
	vfio_mig_page_write_end(p, 5);
	KUNIT_EXPECT_PTR_EQ(test, page, fill(test, p, 5, 9));
	KUNIT_EXPECT_EQ(test, 9, look(p, 5));
	KUNIT_EXPECT_EQ(test, 1, vfio_mig_pages_resident(p));
	KUNIT_EXPECT_EQ(test, 1, atomic_long_read(&t->budget.used));
}

/* KVM has a reference for a moment. A page that a chunk has must keep its contents. */
static void only_a_chunk_makes_a_copy(struct kunit *test)
{
	struct pages_test *t = test->priv;
	struct vfio_mig_pages *p = &t->pages;
	struct page *page, *taken;

	page = fill(test, p, 5, 1);
	get_page(page);
	KUNIT_EXPECT_PTR_EQ(test, page, fill(test, p, 5, 2));
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_pages_track(p));
	taken = take(test, p, 5);
	KUNIT_EXPECT_PTR_EQ(test, page, taken);
	put_page(page);
	KUNIT_EXPECT_PTR_NE(test, page, fill(test, p, 5, 3));
	KUNIT_EXPECT_EQ(test, 2, *(u8 *)page_address(taken));
	put_page(taken);

	/* The chunk has put its reference. */
	page = fill(test, p, 5, 4);
	put_page(take(test, p, 5));
	KUNIT_EXPECT_PTR_EQ(test, page, fill(test, p, 5, 5));
	get_page(page);
	KUNIT_EXPECT_PTR_EQ(test, page, fill(test, p, 5, 6));
	put_page(page);
	vfio_mig_pages_untrack(p);
}

static void budget_is_a_limit(struct kunit *test)
{
	struct pages_test *t = test->priv;
	struct vfio_mig_pages *p = &t->pages;
	pgoff_t i;

	for (i = 0; i < t->budget.limit; i++)
		fill(test, p, i, 1);
	KUNIT_EXPECT_PTR_EQ(test, (struct page *)ERR_PTR(-ENOSPC),
			    vfio_mig_page_write_begin(p, i));
	KUNIT_EXPECT_EQ(test, t->budget.limit,
			vfio_mig_pages_resident(p));
	vfio_mig_pages_discard(p, 0, 1);
	fill(test, p, i, 1);
}

static void tracking_starts_with_what_is_there(struct kunit *test)
{
	struct vfio_mig_pages *p = &((struct pages_test *)test->priv)->pages;

	fill(test, p, 0, 1);
	fill(test, p, 64, 1);
	fill(test, p, TEST_PAGES - 1, 1);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_pages_track(p));
	KUNIT_EXPECT_EQ(test, 3, vfio_mig_pages_dirty(p));
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_pages_next_dirty(p, 0));
	KUNIT_EXPECT_EQ(test, 64, vfio_mig_pages_next_dirty(p, 1));
	KUNIT_EXPECT_EQ(test, TEST_PAGES - 1, vfio_mig_pages_next_dirty(p, 65));
	KUNIT_EXPECT_EQ(test, TEST_PAGES,
			vfio_mig_pages_next_dirty(p, TEST_PAGES));
}

static void a_page_is_dirty_once(struct kunit *test)
{
	struct vfio_mig_pages *p = &((struct pages_test *)test->priv)->pages;

	KUNIT_ASSERT_EQ(test, 0, vfio_mig_pages_track(p));
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_pages_dirty(p));
	look(p, 3);
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_pages_dirty(p));
	fill(test, p, 3, 1);
	fill(test, p, 3, 2);
	KUNIT_EXPECT_EQ(test, 1, vfio_mig_pages_dirty(p));
	vfio_mig_pages_redirty(p, 3);
	KUNIT_EXPECT_EQ(test, 1, vfio_mig_pages_dirty(p));
}

static void taking_sends_and_redirty_takes_it_back(struct kunit *test)
{
	struct vfio_mig_pages *p = &((struct pages_test *)test->priv)->pages;
	struct page *page;

	fill(test, p, 3, 1);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_pages_track(p));
	page = take(test, p, 3);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_pages_dirty(p));
	KUNIT_EXPECT_EQ(test, TEST_PAGES, vfio_mig_pages_next_dirty(p, 0));
	put_page(page);
	vfio_mig_pages_redirty(p, 3);
	KUNIT_EXPECT_EQ(test, 3, vfio_mig_pages_next_dirty(p, 0));
	/* After the reader has dropped it, the page is written in place again. */
	KUNIT_EXPECT_PTR_EQ(test, page, fill(test, p, 3, 2));
	/* A page without memory has no reference to drop. */
	vfio_mig_pages_redirty(p, 4);
	KUNIT_EXPECT_NULL(test, take(test, p, 4));
}

/* Neighbours are taken together, up to the limit and up to the end of the block. */
static void taking_takes_neighbours(struct kunit *test)
{
	static const pgoff_t filled[] = { 3, 60, 61, 63, 64 };
	struct vfio_mig_pages *p = &((struct pages_test *)test->priv)->pages;
	struct page *pages[BLOCK];
	pgoff_t index[BLOCK];
	int i;

	for (i = 0; i < ARRAY_SIZE(filled); i++)
		fill(test, p, filled[i], 1);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_pages_track(p));
	KUNIT_ASSERT_EQ(test, 2, vfio_mig_pages_take(p, 3, 2, pages, index));
	KUNIT_EXPECT_EQ(test, 3, index[0]);
	KUNIT_EXPECT_EQ(test, 60, index[1]);
	KUNIT_EXPECT_EQ(test, 3, vfio_mig_pages_dirty(p));

	KUNIT_ASSERT_EQ(test, 2, vfio_mig_pages_take(p, 61, BLOCK - 2,
						     pages + 2, index + 2));
	KUNIT_EXPECT_EQ(test, 61, index[2]);
	KUNIT_EXPECT_EQ(test, 63, index[3]);
	KUNIT_EXPECT_EQ(test, 1, vfio_mig_pages_dirty(p));
	KUNIT_EXPECT_EQ(test, 64, vfio_mig_pages_next_dirty(p, 0));
	for (i = 0; i < 4; i++)
		put_page(pages[i]);
	KUNIT_EXPECT_PTR_EQ(test, pages[3], fill(test, p, 63, 2));
}

static void a_writer_gets_a_copy_of_a_taken_page(struct kunit *test)
{
	struct pages_test *t = test->priv;
	struct vfio_mig_pages *p = &t->pages;
	struct page *page, *copy;

	fill(test, p, 3, 1);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_pages_track(p));
	page = take(test, p, 3);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	KUNIT_EXPECT_EQ(test, 1, look(p, 3));

	copy = vfio_mig_page_write_begin(p, 3);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, copy);
	KUNIT_EXPECT_PTR_NE(test, page, copy);
	KUNIT_EXPECT_EQ(test, 0, memcmp(page_address(page), page_address(copy),
					PAGE_SIZE));
	vfio_mig_page_write_end(p, 3);
	fill(test, p, 3, 2);
	KUNIT_EXPECT_EQ(test, 1, *(u8 *)page_address(page));
	KUNIT_EXPECT_EQ(test, 2, look(p, 3));
	KUNIT_EXPECT_EQ(test, 1, vfio_mig_pages_dirty(p));
	KUNIT_EXPECT_EQ(test, 1, vfio_mig_pages_resident(p));
	/* The budget counts pages of the device, and not pages that only a reader has. */
	KUNIT_EXPECT_EQ(test, 1, atomic_long_read(&t->budget.used));
	put_page(page);
}

/* The device never waits for the save, also if the budget is used up. */
static void a_copy_goes_over_the_budget(struct kunit *test)
{
	struct pages_test *t = test->priv;
	struct vfio_mig_pages *p = &t->pages;
	struct page *page;
	pgoff_t i;

	for (i = 0; i < t->budget.limit; i++)
		fill(test, p, i, 1);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_pages_track(p));
	page = take(test, p, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	fill(test, p, 0, 2);
	put_page(page);
	KUNIT_EXPECT_EQ(test, t->budget.limit,
			atomic_long_read(&t->budget.used));
}

static void discarded_pages_are_dirty_and_gone(struct kunit *test)
{
	struct pages_test *t = test->priv;
	struct vfio_mig_pages *p = &t->pages;

	fill(test, p, 1, 1);
	fill(test, p, 2, 1);
	fill(test, p, 4, 1);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_pages_track(p));
	KUNIT_EXPECT_NOT_ERR_OR_NULL(test, take(test, p, 4));
	put_page(xa_load(p->xa, 4));
	vfio_mig_pages_discard(p, 0, 0);
	KUNIT_EXPECT_EQ(test, 3, vfio_mig_pages_resident(p));
	vfio_mig_pages_discard(p, 2, 10);
	KUNIT_EXPECT_EQ(test, 1, vfio_mig_pages_resident(p));
	KUNIT_EXPECT_EQ(test, 1, atomic_long_read(&t->budget.used));
	KUNIT_EXPECT_EQ(test, 1, look(p, 1));
	KUNIT_EXPECT_EQ(test, -1, look(p, 2));
	/* A discarded page that was sent before has to be sent as a hole. */
	KUNIT_EXPECT_EQ(test, 4, vfio_mig_pages_next_dirty(p, 3));
	KUNIT_EXPECT_EQ(test, 3, vfio_mig_pages_dirty(p));
}

static void a_taken_page_outlives_its_discard(struct kunit *test)
{
	struct pages_test *t = test->priv;
	struct vfio_mig_pages *p = &t->pages;
	struct page *page;

	fill(test, p, 6, 1);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_pages_track(p));
	page = take(test, p, 6);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	vfio_mig_pages_discard(p, 6, 1);
	KUNIT_EXPECT_EQ(test, -1, look(p, 6));
	KUNIT_EXPECT_EQ(test, 1, *(u8 *)page_address(page));
	KUNIT_EXPECT_EQ(test, 1, vfio_mig_pages_dirty(p));
	KUNIT_EXPECT_EQ(test, 0, atomic_long_read(&t->budget.used));
	put_page(page);
}

static void untracked_nothing_is_noted(struct kunit *test)
{
	struct vfio_mig_pages *p = &((struct pages_test *)test->priv)->pages;

	KUNIT_ASSERT_EQ(test, 0, vfio_mig_pages_track(p));
	vfio_mig_pages_untrack(p);
	vfio_mig_pages_untrack(p);
	fill(test, p, 3, 1);
	vfio_mig_pages_discard(p, 3, 1);
	/* The next save starts with the pages that have memory then. */
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_pages_track(p));
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_pages_dirty(p));
}

/* Puts a row of @nr pages with @value at @index. Returns how many pages were put. */
static u32 put_row(struct kunit *test, struct vfio_mig_pages *p, pgoff_t index,
		   u32 nr, u8 value, struct vfio_mig_row *row)
{
	u32 i;

	nr = vfio_mig_row_alloc(p, row, index, nr);
	KUNIT_ASSERT_GE(test, nr, 2);
	for (i = 0; i < nr; i++)
		memset(page_address(row->first + i), value, PAGE_SIZE);
	return vfio_mig_row_exchange(p, index, row, nr);
}

static u32 row_at(struct vfio_mig_pages *p, pgoff_t index, u32 nr)
{
	nr = vfio_mig_row_read_begin(p, index, nr);
	vfio_mig_row_read_next(p, index, &nr);
	vfio_mig_page_read_end(p, index);
	return nr;
}

static void rows_are_in_one_piece(struct kunit *test)
{
	struct vfio_mig_pages *p = &((struct pages_test *)test->priv)->pages;
	struct vfio_mig_row row = { };
	pgoff_t i;

	KUNIT_EXPECT_EQ(test, 4, put_row(test, p, 64, 4, 1, &row));
	KUNIT_EXPECT_EQ(test, 0, row.nr);
	KUNIT_EXPECT_EQ(test, 4, row_at(p, 64, 8));
	KUNIT_EXPECT_EQ(test, 3, row_at(p, 65, 8));
	KUNIT_EXPECT_EQ(test, 2, row_at(p, 64, 2));
	KUNIT_EXPECT_EQ(test, 1, row_at(p, 63, 8));
	/* The old pages are the next row. */
	KUNIT_EXPECT_EQ(test, 4, put_row(test, p, 64, 4, 2, &row));
	KUNIT_EXPECT_EQ(test, 4, row.nr);
	vfio_mig_row_free(&row);
	for (i = 64; i < 68; i++)
		KUNIT_EXPECT_EQ(test, 2, look(p, i));
	KUNIT_EXPECT_EQ(test, 4, vfio_mig_pages_resident(p));
	/* The row ends at the last page that shares the lock. */
	KUNIT_EXPECT_EQ(test, 2, put_row(test, p, 126, 4, 3, &row));
	KUNIT_EXPECT_EQ(test, 1, vfio_mig_row_alloc(p, &row, 127, 4));
	vfio_mig_row_free(&row);
}

static void rows_stop_at_the_budget(struct kunit *test)
{
	struct pages_test *t = test->priv;
	struct vfio_mig_pages *p = &t->pages;
	struct vfio_mig_row row = { };

	fill(test, p, 1, 1);
	KUNIT_EXPECT_EQ(test, t->budget.limit, put_row(test, p, 0, 16, 2, &row));
	KUNIT_EXPECT_EQ(test, 16 - t->budget.limit, row.nr);
	vfio_mig_row_free(&row);
	KUNIT_EXPECT_EQ(test, t->budget.limit, vfio_mig_pages_resident(p));
	KUNIT_EXPECT_EQ(test, 2, look(p, 1));
	KUNIT_EXPECT_EQ(test, -1, look(p, t->budget.limit));
}

static void rows_leave_what_is_sent(struct kunit *test)
{
	struct vfio_mig_pages *p = &((struct pages_test *)test->priv)->pages;
	struct vfio_mig_row row = { };
	struct page *sent;

	put_row(test, p, 0, 4, 1, &row);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_pages_track(p));
	sent = take(test, p, 2);
	KUNIT_EXPECT_EQ(test, 3, vfio_mig_pages_dirty(p));
	KUNIT_EXPECT_EQ(test, 4, put_row(test, p, 0, 4, 2, &row));
	/* A chunk has one of the old pages, so these are not a row. */
	KUNIT_EXPECT_EQ(test, 2, row.nr);
	vfio_mig_row_free(&row);
	KUNIT_EXPECT_EQ(test, 4, vfio_mig_pages_dirty(p));
	KUNIT_EXPECT_EQ(test, 1, *(u8 *)page_address(sent));
	KUNIT_EXPECT_EQ(test, 2, look(p, 2));
	put_page(sent);
	vfio_mig_pages_untrack(p);
}

static struct kunit_case pages_cases[] = {
	KUNIT_CASE(pages_exist_once_written),
	KUNIT_CASE(only_a_chunk_makes_a_copy),
	KUNIT_CASE(budget_is_a_limit),
	KUNIT_CASE(rows_are_in_one_piece),
	KUNIT_CASE(rows_stop_at_the_budget),
	KUNIT_CASE(rows_leave_what_is_sent),
	KUNIT_CASE(tracking_starts_with_what_is_there),
	KUNIT_CASE(a_page_is_dirty_once),
	KUNIT_CASE(taking_sends_and_redirty_takes_it_back),
	KUNIT_CASE(taking_takes_neighbours),
	KUNIT_CASE(a_writer_gets_a_copy_of_a_taken_page),
	KUNIT_CASE(a_copy_goes_over_the_budget),
	KUNIT_CASE(discarded_pages_are_dirty_and_gone),
	KUNIT_CASE(a_taken_page_outlives_its_discard),
	KUNIT_CASE(untracked_nothing_is_noted),
	{}
};

static struct kunit_suite pages_suite = {
	.name = "vfio_mig_pages",
	.init = pages_test_init,
	.exit = pages_test_exit,
	.test_cases = pages_cases,
};

kunit_test_suite(pages_suite);
