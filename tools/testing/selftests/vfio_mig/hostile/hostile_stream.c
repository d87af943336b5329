// SPDX-License-Identifier: GPL-2.0-only
/*
 * A write of a portion of a stream fails in the middle, and the stream continues with
 * something else. The loaded state must be the one of the portions that the device took: no
 * byte of the portion that failed, and no earlier content of the memory.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/endpoint.h"
#include "lib/fault.h"
#include "lib/file.h"
#include "lib/fixture.h"
#include "lib/mdev.h"
#include "lib/memcg.h"
#include "lib/nvme_fixture.h"
#include "lib/stream.h"
#include "lib/waiter.h"

#define PAGES		16	/* pages of the disk that the test checks */
#define FIRST		3	/* first page in the portion that fails */
#define NR		3	/* number of pages in that portion */
#define SAVE		0x5a5eULL
#define OTHER_SAVE	0x07e5ULL
#define HEAD		(sizeof(struct chunk_hdr) + sizeof(struct pages_payload) + 8)
#define MIB		(1LL << 20)

static const unsigned char fill[NR] = { 0x31, 0x32, 0x33 };
static const unsigned char other_fill[NR] = { 0x71, 0x72, 0x73 };

/**
 * enum rest - the continuation after the portion that failed
 * @SAME: the same portion again
 * @END_NOW: the end
 * @OTHER_PAGES: other pages
 * @HOLE: a hole in place of the pages
 * @ANOTHER_SAVE: another save, with other pages
 * @NR_RESTS: number of continuations
 */
enum rest {
	SAME,
	END_NOW,
	OTHER_PAGES,
	HOLE,
	ANOTHER_SAVE,
	NR_RESTS,
};

static const char * const rests[NR_RESTS] = {
	"the same", "the end", "other pages", "a hole", "another save",
};

/**
 * struct target - the device that loads
 * @end: the device
 * @guest: memory for its DMA
 * @nvme: its driver, to read the disk
 * @model: a state of the device, for its header and control state
 * @expect: byte that must fill each page of the disk
 * @area: memory for portions, which can be read up to @edge
 * @edge: end of the memory that can be read
 */
struct target {
	struct endpoint end;
	struct guest guest;
	struct nvme nvme;
	struct buffer model;
	unsigned char expect[PAGES];
	unsigned char *area;
	unsigned char *edge;
};

FIXTURE(stream) {
	struct target t;
};

FIXTURE_VARIANT(stream) {
	int v2;
};

FIXTURE_VARIANT_ADD(stream, v1) { .v2 = 0 };
FIXTURE_VARIANT_ADD(stream, v2) { .v2 = 1 };

/* Twice the portion, because the memory behind @edge cannot be read. */
#define AREA	((NR + 2) * STREAM_PAGE)

FIXTURE_SETUP(stream)
{
	struct target *t = &self->t;
	struct endpoint *e = &t->end;

	memset(t, 0, sizeof(*t));
	ASSERT_RET(0, endpoint_open(e, suite_device()));
	ASSERT_RET(0, guest_create(&t->guest, 1 << 20));
	ASSERT_RET(0, guest_attach(&t->guest, &e->dev));
	ASSERT_RET(0, v1_save(&e->v1, &t->model));
	ASSERT_RET(0, v1_set_state(&e->v1, V1_RUNNING));
	e->by_v2 = variant->v2;
	t->area = mmap(NULL, 2 * AREA, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, t->area);
	t->edge = t->area + AREA;
	ASSERT_EQ(0, mprotect(t->edge, AREA, PROT_NONE));
}

FIXTURE_TEARDOWN(stream)
{
	struct target *t = &self->t;

	nvme_close(&t->nvme);
	endpoint_close(&t->end);
	guest_destroy(&t->guest);
	buffer_free(&t->model);
	munmap(t->area, 2 * AREA);
}

/* Returns the bytes of memory that the device's state needs. */
static long long device_memory(const struct device *dev)
{
	char path[PATH_MAX + 16], text[32];

	snprintf(path, sizeof(path), "%s/memory_used", dev->path);
	return file_read(path, text, sizeof(text)) ? -1 : atoll(text);
}

/* Appends the control state as the next chunks of a save. Returns the next chunk number. */
static __u32 put_control(struct buffer *s, const struct buffer *model, __u64 save,
			 __u32 seq)
{
	struct chunk c;
	int i;

	for (i = 0; !stream_find(model, CHUNK_CONTROL, i, &c); i++)
		stream_put_chunk(s, save, seq++, &c);
	return seq;
}

static void put_header(struct buffer *s, const struct buffer *model, __u64 save)
{
	struct chunk c;

	if (!stream_find(model, CHUNK_HEADER, 0, &c))
		stream_put_chunk(s, save, 0, &c);
}

static void set_expect(unsigned char *expect, int first, const unsigned char *to)
{
	memset(expect, 0, PAGES);
	if (to)
		memcpy(expect + first, to, NR);
}

/* Appends the continuation after the failed portion, chunk 1, and sets the expected state. */
static void put_rest(struct target *t, enum rest what, struct buffer *s)
{
	const struct buffer *model = &t->model;
	__u64 save = SAVE;
	__u32 seq = 1;

	set_expect(t->expect, 0, NULL);
	switch (what) {
	case SAME:
		stream_put_pages(s, save, seq++, FIRST, NR, fill);
		set_expect(t->expect, FIRST, fill);
		break;
	case OTHER_PAGES:
		stream_put_pages(s, save, seq++, FIRST + NR, NR, other_fill);
		set_expect(t->expect, FIRST + NR, other_fill);
		break;
	case HOLE:
		stream_put_pages(s, save, seq++, FIRST, NR, NULL);
		break;
	case ANOTHER_SAVE:
		save = OTHER_SAVE;
		put_header(s, model, save);
		stream_put_pages(s, save, seq++, FIRST + 1, NR, other_fill);
		set_expect(t->expect, FIRST + 1, other_fill);
		break;
	default:
		break;
	}
	seq = put_control(s, model, save, seq);
	stream_put_end(s, save, seq, what == END_NOW || what == HOLE ? 0 : NR);
}

/* The disk has the expected bytes, and no other memory is in use. */
static void check_disk(struct __test_metadata *_metadata, struct target *t,
		       const char *what, size_t cut)
{
	struct endpoint *e = &t->end;
	struct nvme *nvme = &t->nvme;
	unsigned char *buf;
	int i, bad, pages = 0;
	__u32 blocks;
	size_t at;

	t->guest.used = 0;
	nvme_close(nvme);
	ASSERT_EQ(0, nvme_start(nvme, &e->dev, &t->guest, 1, 16));
	buf = guest_alloc(&t->guest, PAGES * STREAM_PAGE);
	blocks = STREAM_PAGE / nvme->lba_size;
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, 0, PAGES * blocks, buf));
	for (i = 0; i < PAGES; i++) {
		pages += !!t->expect[i];
		for (at = 0, bad = 0; at < STREAM_PAGE; at++)
			bad += buf[i * STREAM_PAGE + at] != t->expect[i];
		EXPECT_EQ(0, bad)
			TH_LOG("%s after %zu bytes: page %d has %d bytes that are not %#x",
			       what, cut, i, bad, t->expect[i]);
	}
	EXPECT_EQ(pages * (long long)STREAM_PAGE, device_memory(&e->dev))
		TH_LOG("%s after %zu bytes: %lld bytes in use for %d pages", what, cut,
		       device_memory(&e->dev), pages);
	nvme_close(nvme);
}

static void run_and_check(struct __test_metadata *_metadata, struct target *t,
			  const struct buffer *rest, const char *what, size_t cut)
{
	struct endpoint *e = &t->end;

	ASSERT_RET_FOR(0, endpoint_give(e, rest), "%s after %zu bytes", what, cut);
	ASSERT_RET_FOR(0, endpoint_run(e), "%s after %zu bytes", what, cut);
	check_disk(_metadata, t, what, cut);
	ASSERT_RET(0, device_reset(&e->dev));
}

/* Enters 100, and gives the header. */
static void begin_load(struct __test_metadata *_metadata, struct target *t)
{
	struct buffer s = { 0 };

	put_header(&s, &t->model, SAVE);
	ASSERT_RET(0, endpoint_resume(&t->end));
	ASSERT_RET(0, endpoint_give(&t->end, &s));
	buffer_free(&s);
}

static void put_portion(struct buffer *s)
{
	stream_put_pages(s, SAVE, 1, FIRST, NR, fill);
}

/* Offsets within each part of a pages chunk, and at the end of each part */
static const size_t cuts[] = {
	0, 1, sizeof(struct chunk_hdr) - 1, sizeof(struct chunk_hdr),
	sizeof(struct chunk_hdr) + 9, HEAD - 8, HEAD - 1, HEAD, HEAD + 1,
	HEAD + STREAM_PAGE / 2, HEAD + STREAM_PAGE - 1, HEAD + STREAM_PAGE,
	HEAD + STREAM_PAGE + 1, HEAD + 2 * STREAM_PAGE + 100,
	HEAD + 3 * STREAM_PAGE - 1,
};

/*
 * Gives a portion of which the device can read @cut bytes. Returns the number of bytes that
 * the device took, which is 0 after a failure.
 */
static size_t give_cut(struct __test_metadata *_metadata, struct target *t,
		       const struct buffer *portion, size_t cut)
{
	unsigned char *from = t->edge - cut;
	ssize_t ret;

	memcpy(from, portion->data, cut);
	ret = v2_write(&t->end.v2, from, portion->len);
	if (ret < 0)
		EXPECT_RET_FOR(-EFAULT, ret, "after %zu bytes", cut);
	EXPECT_GE((ssize_t)cut, ret);
	return ret < 0 ? 0 : ret;
}

/*
 * The device took a part of a chunk, which is no error. The rest of the chunk must follow,
 * and may differ from the part that could not be read.
 */
static void go_on_inside(struct __test_metadata *_metadata, struct target *t,
			 size_t taken, size_t cut)
{
	struct buffer s = { 0 };

	put_portion(&s);
	buffer_cut(&s, 0, taken);
	put_control(&s, &t->model, SAVE, 2);
	stream_put_end(&s, SAVE, 2 + stream_count(&t->model, CHUNK_CONTROL), NR);
	set_expect(t->expect, FIRST, fill);
	run_and_check(_metadata, t, &s, "the rest", cut);
	buffer_free(&s);
}

TEST_F_TIMEOUT(stream, goes_on_differently_after_EFAULT, 120)
{
	struct target *t = &self->t;
	struct buffer portion = { 0 }, s = { 0 };
	enum rest rest;
	unsigned int i;
	size_t taken;

	if (!variant->v2)
		SKIP(return, "a commit has no user memory that could be missing");
	if (!t->end.has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	put_portion(&portion);
	for (i = 0; i < ARRAY_SIZE(cuts) * NR_RESTS; i++) {
		rest = i % NR_RESTS;
		begin_load(_metadata, t);
		taken = give_cut(_metadata, t, &portion, cuts[i / NR_RESTS]);
		if (taken) {
			go_on_inside(_metadata, t, taken, cuts[i / NR_RESTS]);
			continue;
		}
		s.len = 0;
		put_rest(t, rest, &s);
		run_and_check(_metadata, t, &s, rests[rest], cuts[i / NR_RESTS]);
	}
	buffer_free(&portion);
	buffer_free(&s);
}

/* A failed write to the window changes the window up to the failure. */
TEST_F(stream, a_window_has_nothing_but_what_was_written)
{
	struct target *t = &self->t;
	struct v1 *v1 = &t->end.v1;
	unsigned char window[2 * STREAM_PAGE];
	unsigned int i;
	size_t at;
	int ret;

	if (variant->v2)
		SKIP(return, "v2 has no window");
	for (i = 0; i < ARRAY_SIZE(cuts); i++) {
		size_t cut = cuts[i] % sizeof(window);

		ASSERT_RET(0, v1_set_state(v1, V1_RESUMING));
		memset(t->edge - cut, 0x5a, cut);
		ret = v1_write_data(v1, 0, t->edge - cut, sizeof(window));
		EXPECT_TRUE(ret == -EFAULT || ret == -EMSGSIZE)
			TH_LOG("after %zu bytes: %s", cut, errname(ret));
		ASSERT_RET(0, v1_read_data(v1, 0, window, sizeof(window)));
		for (at = 0; at < sizeof(window) && window[at] == 0x5a; at++)
			;
		EXPECT_GE(cut, at);
		for (; at < sizeof(window) && !window[at]; at++)
			;
		EXPECT_EQ(sizeof(window), at)
			TH_LOG("after %zu bytes: %#x at %zu", cut, window[at], at);
		ASSERT_RET(0, v1_set_state(v1, V1_RUNNING) ?
			   device_reset(&t->end.dev) : 0);
	}
}

/* A process that shares the data file is killed while it writes. */

/* One page precedes the memory that does not answer. */
static const size_t kills[] = { 20, HEAD, HEAD + 2000 };

struct writer {
	int data;
	const struct buffer *portion;
	size_t cut;
};

static long write_slow(struct slow *s, void *arg)
{
	struct writer *w = arg;
	int ret;

	ret = slow_map(s, w->cut < STREAM_PAGE ? w->cut : STREAM_PAGE,
		       w->portion->data, w->portion->len);
	if (ret)
		return ret;
	return write(w->data, s->mem - w->cut, w->portion->len);
}

TEST_F_TIMEOUT(stream, goes_on_differently_after_a_kill, 120)
{
	struct target *t = &self->t;
	struct buffer portion = { 0 }, s = { 0 };
	struct waiter waiter;
	struct writer writer;
	enum rest rest;
	unsigned int i;

	if (!variant->v2 || !t->end.has_v2)
		SKIP(return, "only a data file is written so");
	if (slow_missing(SLOW_UFFD))
		SKIP(return, "%s", slow_missing(SLOW_UFFD));
	put_portion(&portion);
	for (i = 0; i < ARRAY_SIZE(kills) * NR_RESTS; i++) {
		writer.cut = kills[i / NR_RESTS];
		writer.portion = &portion;
		rest = i % NR_RESTS;
		begin_load(_metadata, t);
		writer.data = t->end.v2.data;
		ASSERT_RET(0, waiter_start(&waiter, SLOW_UFFD, AREA, write_slow,
					   &writer));
		EXPECT_EQ(1, waiter_waits(&waiter, waiter_patience(5)));
		EXPECT_RET(0, waiter_kill(&waiter, waiter_patience(2)));
		waiter_end(&waiter);
		s.len = 0;
		put_rest(t, rest, &s);
		run_and_check(_metadata, t, &s, rests[rest], writer.cut);
	}
	buffer_free(&portion);
	buffer_free(&s);
}

/* There is not enough memory for the whole portion. */

static int give_failing(struct endpoint *e, const struct buffer *portion,
			unsigned int nth, int *failed)
{
	ssize_t ret;

	/* The data is in the window before, so that only the commit fails. */
	if (!e->by_v2) {
		ret = v1_write_data(&e->v1, 0, portion->data, portion->len);
		if (ret)
			return ret;
	}
	fault_begin(nth);
	if (e->by_v2)
		ret = v2_write(&e->v2, portion->data, portion->len);
	else
		ret = v1_write_data_size(&e->v1, portion->len);
	*failed = fault_end();
	return ret;
}

TEST_F_TIMEOUT(stream, goes_on_differently_after_ENOMEM, 120)
{
	struct target *t = &self->t;
	struct buffer portion = { 0 }, s = { 0 };
	unsigned int nth;
	int ret, failed;
	enum rest rest;

	if (fault_init())
		SKIP(return, "this kernel cannot have allocations fail");
	if (variant->v2 && !t->end.has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	put_portion(&portion);
	for (nth = 1, failed = 1; failed; nth++) {
		rest = nth % NR_RESTS;
		begin_load(_metadata, t);
		ret = give_failing(&t->end, &portion, nth, &failed);
		if (ret < 0) {
			s.len = 0;
			put_rest(t, rest, &s);
			run_and_check(_metadata, t, &s, rests[rest], nth);
		}
		ASSERT_RET(0, device_reset(&t->end.dev));
	}
	EXPECT_LT(NR, nth);
	buffer_free(&portion);
	buffer_free(&s);
}

/* The group that pays is at its limit, so it cannot pay for a portion of so many pages. */

#define LIMIT		(4 * MIB)
#define PORTION_PAGES	48

FIXTURE(memcg) {
	struct mdev mdev;
	struct memcg group;
	struct endpoint end;
	struct buffer model;
};

FIXTURE_VARIANT(memcg) {
	int v2;
};

FIXTURE_VARIANT_ADD(memcg, v1) { .v2 = 0 };
FIXTURE_VARIANT_ADD(memcg, v2) { .v2 = 1 };

FIXTURE_SETUP(memcg)
{
	struct endpoint *e = &self->end;
	long window;
	int ret;

	memset(self, 0, sizeof(*self));
	if (memcg_missing())
		return;
	window = mdev_window_kib(SUITE_WINDOW_KIB);
	ASSERT_RET(0, mdev_create(&self->mdev, "mnvme", "64M"));
	mdev_window_kib(window);
	ASSERT_RET(0, memcg_create(&self->group, LIMIT));
	ASSERT_RET(0, memcg_enter(&self->group));
	ret = endpoint_open(e, self->mdev.path);
	ASSERT_RET(0, memcg_leave(&self->group));
	ASSERT_RET(0, ret);
	ASSERT_RET(0, v1_save(&e->v1, &self->model));
	ASSERT_RET(0, v1_set_state(&e->v1, V1_RUNNING));
	e->by_v2 = variant->v2;
}

FIXTURE_TEARDOWN(memcg)
{
	if (memcg_missing())
		return;
	endpoint_close(&self->end);
	mdev_remove(&self->mdev);
	buffer_free(&self->model);
	EXPECT_RET(0, memcg_destroy(&self->group));
}

/* A failure leaves no partly staged data. Only whole portions take memory. */
TEST_F_TIMEOUT(memcg, what_fails_leaves_nothing_staged, 120)
{
	unsigned char many[PORTION_PAGES];
	struct endpoint *e = &self->end;
	struct buffer s = { 0 };
	__u32 seq, taken = 0;
	int ret = 0;

	if (memcg_missing())
		SKIP(return, "%s", memcg_missing());
	if (variant->v2 && !e->has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	memset(many, 0x42, sizeof(many));
	put_header(&s, &self->model, SAVE);
	ASSERT_RET(0, endpoint_resume(e));
	ASSERT_RET(0, endpoint_give(e, &s));
	for (seq = 1; !ret; seq++) {
		s.len = 0;
		stream_put_pages(&s, SAVE, seq, taken, PORTION_PAGES, many);
		ret = endpoint_give(e, &s);
		taken += ret ? 0 : PORTION_PAGES;
		ASSERT_GT(2 * LIMIT / STREAM_PAGE, taken);
	}
	seq--;
	EXPECT_EQ(-ENOMEM, ret)
		TH_LOG("saw %s", errname(ret));
	ASSERT_RET(0, memcg_set_limit(&self->group, 8 * LIMIT));
	s.len = 0;
	seq = put_control(&s, &self->model, SAVE, seq);
	stream_put_end(&s, SAVE, seq, taken);
	ASSERT_RET(0, endpoint_give(e, &s));
	ASSERT_RET(0, endpoint_run(e));
	EXPECT_EQ((long long)taken * STREAM_PAGE, device_memory(&e->dev));
	buffer_free(&s);
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
	suite_need_stream();
}

SUITE_MAIN(need_all())
