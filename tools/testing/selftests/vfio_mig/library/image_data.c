// SPDX-License-Identifier: GPL-2.0-only
/* Images: which data moves to the target, when it moves, and which data the target refuses */
#include <endian.h>
#include <string.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/memcg.h"
#include "lib/stream.h"
#include "lib/suite.h"
#include "lib/testdev.h"

#define SEED	0x1234567890abcdefULL
#define PAGE	4096UL

/* Two devices with every kind of state, two with only an image, and one without an image */
static struct mdev all[2], alone[2], plain;

struct pair {
	struct testdev a, b;
	struct buffer stream;
};

FIXTURE(image) {
	struct pair p;
};

FIXTURE_VARIANT(image) {
	const struct mdev *mdev;
	int v2;
};

FIXTURE_VARIANT_ADD(image, v1_all) { all, 0 };
FIXTURE_VARIANT_ADD(image, v2_all) { all, 1 };
FIXTURE_VARIANT_ADD(image, v1_alone) { alone, 0 };
FIXTURE_VARIANT_ADD(image, v2_alone) { alone, 1 };

FIXTURE_SETUP(image)
{
	ASSERT_RET(0, testdev_open(&self->p.a, &variant->mdev[0]));
	ASSERT_RET(0, testdev_open(&self->p.b, &variant->mdev[1]));
	self->p.a.end.by_v2 = variant->v2;
	self->p.b.end.by_v2 = variant->v2;
}

FIXTURE_TEARDOWN(image)
{
	buffer_free(&self->p.stream);
	testdev_close(&self->p.a);
	testdev_close(&self->p.b);
	EXPECT_TRUE(testdev_idle(&variant->mdev[0]));
	EXPECT_TRUE(testdev_idle(&variant->mdev[1]));
}

static void expect_image(struct __test_metadata *_metadata, struct testdev *t, __u64 seed,
			 __u64 size)
{
	struct testdev_image image;

	ASSERT_RET(0, testdev_image(t, &image));
	EXPECT_EQ(seed, image.seed);
	EXPECT_EQ(size, image.size);
}

static void expect_sound(struct __test_metadata *_metadata, const struct buffer *s)
{
	char why[160];

	EXPECT_EQ(0, stream_check(s, why, sizeof(why)))
		TH_LOG("%s", why);
}

static void save(struct __test_metadata *_metadata, struct pair *p)
{
	ASSERT_RET(0, endpoint_stop(&p->a.end));
	ASSERT_RET(0, endpoint_drain(&p->a.end, &p->stream));
	expect_sound(_metadata, &p->stream);
}

static void load(struct __test_metadata *_metadata, struct pair *p)
{
	ASSERT_RET(0, endpoint_resume(&p->b.end));
	ASSERT_RET(0, endpoint_give(&p->b.end, &p->stream));
	ASSERT_RET(0, endpoint_run(&p->b.end));
}

TEST_F(image, of_each_size_moves)
{
	static const __u64 sizes[] = {
		0, 8, 4096, TESTDEV_PIECE - TESTDEV_RECORD - 8,
		TESTDEV_PIECE - TESTDEV_RECORD, TESTDEV_PIECE,
		3 * TESTDEV_PIECE + 16,
	};
	unsigned int i;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		ASSERT_RET(0, testdev_set_image(&self->p.a, SEED + i, sizes[i]));
		self->p.stream.len = 0;
		save(_metadata, &self->p);
		load(_metadata, &self->p);
		expect_image(_metadata, &self->p.b, SEED + i, sizes[i]);
		ASSERT_RET(0, endpoint_cancel(&self->p.a.end));
	}
}

/* The image has no bytes, so no record is due. The stream has one piece that says this. */
TEST_F(image, that_is_empty_takes_one_piece)
{
	struct chunk c;

	ASSERT_RET(0, testdev_set_image(&self->p.a, 0, 0));
	save(_metadata, &self->p);
	EXPECT_EQ(1, stream_count(&self->p.stream, CHUNK_IMAGE));
	ASSERT_EQ(0, stream_find(&self->p.stream, CHUNK_IMAGE, 0, &c));
	EXPECT_EQ(sizeof(struct image_payload), c.length);
	load(_metadata, &self->p);
	expect_image(_metadata, &self->p.b, 0, 0);
}

TEST_F(image, in_pre_copy_is_not_sent_again)
{
	ssize_t before;

	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED, 1 << 20));
	ASSERT_RET(0, endpoint_precopy(&self->p.a.end));
	if (variant->v2 && !v2_has(&self->p.a.end.v2, V2_PRE_COPY))
		SKIP(return, "this kernel's v2 has no pre-copy");
	ASSERT_RET(0, endpoint_drain(&self->p.a.end, &self->p.stream));
	before = self->p.stream.len;
	EXPECT_LT(1 << 20, before);
	save(_metadata, &self->p);
	EXPECT_GT(1 << 16, self->p.stream.len - before);
	load(_metadata, &self->p);
	expect_image(_metadata, &self->p.b, SEED, 1 << 20);
}

TEST_F(image, that_changes_in_pre_copy_is_sent_again)
{
	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED, 1 << 20));
	ASSERT_RET(0, endpoint_precopy(&self->p.a.end));
	if (variant->v2 && !v2_has(&self->p.a.end.v2, V2_PRE_COPY))
		SKIP(return, "this kernel's v2 has no pre-copy");
	/* In the middle of a record, and behind its end */
	ASSERT_LT(0, endpoint_take(&self->p.a.end, &self->p.stream));
	ASSERT_LT(0, endpoint_take(&self->p.a.end, &self->p.stream));
	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED + 1, 1 << 19));
	ASSERT_RET(0, endpoint_drain(&self->p.a.end, &self->p.stream));
	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED + 2, 1 << 18));
	save(_metadata, &self->p);
	load(_metadata, &self->p);
	expect_image(_metadata, &self->p.b, SEED + 2, 1 << 18);
}

/* The user can write registers while the device is stopped, so another END follows. */
TEST_F(image, that_changes_behind_the_end_is_sent_again)
{
	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED, 1 << 16));
	save(_metadata, &self->p);
	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED + 1, 1 << 17));
	ASSERT_RET(0, endpoint_drain(&self->p.a.end, &self->p.stream));
	EXPECT_EQ(2, stream_count(&self->p.stream, CHUNK_END));
	expect_sound(_metadata, &self->p.stream);
	load(_metadata, &self->p);
	expect_image(_metadata, &self->p.b, SEED + 1, 1 << 17);
}

/* The announced bytes follow in spite of later writes, and then the new bytes. */
TEST_F(image, that_changes_while_it_is_read_is_whole)
{
	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED, 1 << 20));
	ASSERT_RET(0, endpoint_stop(&self->p.a.end));
	ASSERT_LT(0, endpoint_take(&self->p.a.end, &self->p.stream));
	ASSERT_LT(0, endpoint_take(&self->p.a.end, &self->p.stream));
	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED + 1, 8));
	ASSERT_RET(0, endpoint_drain(&self->p.a.end, &self->p.stream));
	expect_sound(_metadata, &self->p.stream);
	load(_metadata, &self->p);
	expect_image(_metadata, &self->p.b, SEED + 1, 8);
}

TEST_F(image, comes_in_any_portions)
{
	static const size_t portions[] = { 1000, 4096, 100000, 1 << 18 };
	struct testdev *b = &self->p.b;
	unsigned int i;

	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED, TESTDEV_PIECE + 800));
	save(_metadata, &self->p);
	for (i = 0; i < sizeof(portions) / sizeof(*portions); i++) {
		ASSERT_RET(0, endpoint_resume(&b->end));
		ASSERT_RET(0, variant->v2 ?
			   v2_feed(&b->end.v2, self->p.stream.data, self->p.stream.len,
				   portions[i]) :
			   v1_feed(&b->end.v1, self->p.stream.data, self->p.stream.len,
				   portions[i]));
		ASSERT_RET(0, endpoint_run(&b->end));
		expect_image(_metadata, b, SEED, TESTDEV_PIECE + 800);
	}
}

/* A save that starts over after the target got a part of another image */
TEST_F(image, of_another_save_takes_its_place)
{
	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED, 1 << 20));
	ASSERT_RET(0, endpoint_stop(&self->p.a.end));
	ASSERT_LT(0, endpoint_take(&self->p.a.end, &self->p.stream));
	ASSERT_LT(0, endpoint_take(&self->p.a.end, &self->p.stream));
	ASSERT_RET(0, endpoint_resume(&self->p.b.end));
	ASSERT_RET(0, endpoint_give(&self->p.b.end, &self->p.stream));
	ASSERT_RET(0, endpoint_cancel(&self->p.a.end));
	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED + 1, 1 << 16));
	self->p.stream.len = 0;
	save(_metadata, &self->p);
	ASSERT_RET(0, endpoint_give(&self->p.b.end, &self->p.stream));
	ASSERT_RET(0, endpoint_run(&self->p.b.end));
	expect_image(_metadata, &self->p.b, SEED + 1, 1 << 16);
}

TEST_F(image, size_is_in_the_estimates)
{
	struct v2_precopy_info info;
	__u64 bytes, with;

	if (!variant->v2 || !v2_has(&self->p.a.end.v2, V2_PRE_COPY))
		SKIP(return, "this kernel's v2 has no such estimate");
	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED, 0));
	ASSERT_RET(0, v2_data_size(&self->p.a.end.v2, &bytes));
	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED, 1 << 20));
	ASSERT_RET(0, v2_data_size(&self->p.a.end.v2, &with));
	EXPECT_EQ(bytes + (1 << 20), with);
	ASSERT_RET(0, endpoint_precopy(&self->p.a.end));
	ASSERT_RET(0, v2_precopy_info(&self->p.a.end.v2, &info));
	EXPECT_LE(1 << 20, info.initial_bytes);
	ASSERT_RET(0, endpoint_drain(&self->p.a.end, &self->p.stream));
	ASSERT_RET(0, v2_precopy_info(&self->p.a.end.v2, &info));
	EXPECT_EQ(0, info.initial_bytes);
	EXPECT_EQ(0, info.dirty_bytes);
	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED + 1, 1 << 16));
	ASSERT_RET(0, v2_precopy_info(&self->p.a.end.v2, &info));
	EXPECT_EQ(0, info.initial_bytes);
	EXPECT_EQ((1 << 16) + TESTDEV_RECORD, info.dirty_bytes);
}

/* A save that was given up in the middle of an image, or behind it, counts no more. */
TEST_F(image, size_is_whole_after_a_save)
{
	struct v2 *v2 = &self->p.a.end.v2;
	__u64 before, after;

	if (!variant->v2)
		SKIP(return, "only v2 has an estimate without a save");
	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED, 8 << 20));
	ASSERT_RET(0, v2_set_state(v2, V2_STOP));
	if (v2_data_size(v2, &before) == -ENOTTY)
		SKIP(return, "this kernel's v2 has no such estimate");
	EXPECT_LE(8 << 20, before);
	ASSERT_RET(0, v2_set_state(v2, V2_STOP_COPY));
	ASSERT_LT(0, endpoint_take(&self->p.a.end, &self->p.stream));
	ASSERT_LT(0, endpoint_take(&self->p.a.end, &self->p.stream));
	ASSERT_RET(0, v2_set_state(v2, V2_STOP));
	ASSERT_RET(0, v2_data_size(v2, &after));
	EXPECT_EQ(before, after);
	ASSERT_RET(0, v2_set_state(v2, V2_STOP_COPY));
	ASSERT_RET(0, endpoint_drain(&self->p.a.end, &self->p.stream));
	ASSERT_RET(0, v2_set_state(v2, V2_STOP));
	ASSERT_RET(0, v2_data_size(v2, &after));
	EXPECT_EQ(before, after);
}

/* Changes an image that was read, and memory where there is any. Returns the bytes. */
static __u64 change(struct __test_metadata *_metadata, struct testdev *t, __u64 seed)
{
	unsigned char page[PAGE];
	struct region memory;
	__u64 bytes = (1 << 16) + TESTDEV_RECORD;

	ASSERT_RET(0, testdev_set_image(t, seed, 1 << 16));
	ASSERT_RET(0, region_open(&memory, &t->end.dev, VFIO_PCI_BAR2_REGION_INDEX));
	if (!memory.size)
		return bytes;
	memset(page, (unsigned char)seed, sizeof(page));
	ASSERT_RET(0, region_write_all(&memory, 5 * PAGE, page, sizeof(page)));
	return bytes + PAGE;
}

static void start_pre_copy(struct __test_metadata *_metadata, struct pair *p)
{
	ASSERT_RET(0, testdev_set_image(&p->a, SEED, 1 << 20));
	ASSERT_RET(0, endpoint_precopy(&p->a.end));
	ASSERT_RET(0, endpoint_drain(&p->a.end, &p->stream));
}

static void finish(struct __test_metadata *_metadata, struct pair *p, __u64 seed)
{
	struct v2_precopy_info info;

	ASSERT_RET(0, endpoint_drain(&p->a.end, &p->stream));
	ASSERT_RET(0, v2_precopy_info(&p->a.end.v2, &info));
	EXPECT_EQ(0, info.initial_bytes);
	EXPECT_EQ(0, info.dirty_bytes);
	save(_metadata, p);
	load(_metadata, p);
	expect_image(_metadata, &p->b, seed, 1 << 16);
}

static void expect_info(struct __test_metadata *_metadata, struct v2 *v2, __u32 flags,
			__u64 initial, __u64 dirty)
{
	struct v2_precopy_info info;

	ASSERT_RET(0, v2_precopy_info(v2, &info));
	EXPECT_EQ(flags, info.flags);
	EXPECT_EQ(initial, info.initial_bytes);
	EXPECT_EQ(dirty, info.dirty_bytes);
}

/* struct vfio_precopy_info: "dirty_bytes is also reset to zero". */
TEST_F(image, new_initial_data_include_earlier_changes)
{
	struct v2 *v2 = &self->p.a.end.v2;
	__u64 bytes;

	if (!variant->v2 || v2_precopy_opt_in(v2) == -ENOTTY)
		SKIP(return, "no VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2");
	start_pre_copy(_metadata, &self->p);
	bytes = change(_metadata, &self->p.a, SEED + 1);
	ASSERT_RET(0, testdev_fault(&variant->mdev[0], "size 1 reinit"));
	expect_info(_metadata, v2, V2_PRECOPY_REINIT, bytes, 0);
	/* The driver tells of the same bytes as dirty from now on. */
	ASSERT_RET(0, testdev_fault(&variant->mdev[0], "off"));
	expect_info(_metadata, v2, 0, bytes, 0);
	finish(_metadata, &self->p, SEED + 1);
}

/* Data count as dirty for a user who has not opted in, but not after the user did. */
TEST_F(image, new_initial_data_after_a_late_opt_in)
{
	struct v2 *v2 = &self->p.a.end.v2;
	__u64 bytes;

	if (!variant->v2 || !v2_has(v2, V2_PRE_COPY))
		SKIP(return, "this kernel's v2 has no pre-copy");
	start_pre_copy(_metadata, &self->p);
	bytes = change(_metadata, &self->p.a, SEED + 1);
	ASSERT_RET(0, testdev_fault(&variant->mdev[0], "size 1 reinit"));
	expect_info(_metadata, v2, 0, 0, bytes);
	ASSERT_RET(0, testdev_fault(&variant->mdev[0], "off"));
	if (v2_precopy_opt_in(v2) == -ENOTTY)
		SKIP(return, "no VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2");
	ASSERT_RET(0, testdev_fault(&variant->mdev[0], "size 1 reinit"));
	expect_info(_metadata, v2, V2_PRECOPY_REINIT, bytes, 0);
	ASSERT_RET(0, testdev_fault(&variant->mdev[0], "off"));
	finish(_metadata, &self->p, SEED + 1);
}

/* The statistics of a group are up to two seconds old. */
static long long kernel_memory(struct memcg *g)
{
	sleep(3);
	return memcg_stat(g, "kernel");
}

static ssize_t move_some(struct pair *p)
{
	ssize_t n;

	p->stream.len = 0;
	n = endpoint_take(&p->a.end, &p->stream);
	return n > 0 ? endpoint_give(&p->b.end, &p->stream) ?: n : n;
}

/*
 * Moves a large image. The group has no room for the image, and each end takes at most
 * 1 MiB of the kernel's memory, with its data section.
 */
TEST_F_TIMEOUT(image, that_is_large_takes_no_memory, 1200)
{
	__u64 size = suite_long() ? 2ULL << 30 : 48 << 20;
	long long before, source, target, now, most;
	struct testdev *a = &self->p.a, *b = &self->p.b;
	unsigned int takes = 0;
	struct memcg g;
	ssize_t n;

	if (memcg_missing())
		SKIP(return, "%s", memcg_missing());
	ASSERT_RET(0, testdev_set_image(a, SEED, size));
	ASSERT_RET(0, memcg_create(&g, 4 << 20));
	ASSERT_RET(0, memcg_enter(&g));
	before = kernel_memory(&g);
	ASSERT_LE(0, before);
	ASSERT_RET(0, endpoint_stop(&a->end));
	ASSERT_LT(0, endpoint_take(&a->end, &self->p.stream));
	source = kernel_memory(&g) - before;
	ASSERT_RET(0, endpoint_resume(&b->end));
	ASSERT_RET(0, endpoint_give(&b->end, &self->p.stream));
	most = kernel_memory(&g) - before;
	target = most - source;
	do {
		n = move_some(&self->p);
		if (takes++ % 32)
			continue;
		now = memcg_stat(&g, "kernel") - before;
		most = now > most ? now : most;
	} while (n > 0);
	EXPECT_RET(0, n);
	EXPECT_EQ(0, memcg_event(&g, "oom"));
	/* Each end may take this much more than at first. */
	EXPECT_GE(1 << 20, most - target);
	EXPECT_GE(1 << 20, most - source);
	TH_LOG("%llu MiB: at most %lld KiB of the kernel's memory, at first %lld and %lld",
	       size >> 20, most >> 10, source >> 10, target >> 10);
	EXPECT_RET(0, endpoint_run(&b->end));
	memcg_leave(&g);
	memcg_destroy(&g);
	expect_image(_metadata, b, SEED, size);
}

/* A change of a good stream */
struct spoiled {
	unsigned int nth;
	void (*piece)(struct image_payload *p);
	void (*stream)(struct buffer *s);
	int want;
};

FIXTURE(bad) {
	struct pair p;
};

FIXTURE_VARIANT(bad) {
	struct spoiled spoiled;
};

static void other_bytes(struct image_payload *p)
{
	((unsigned char *)(p + 1))[1000] ^= 1;
}

static void other_record(struct image_payload *p)
{
	((unsigned char *)(p + 1))[0] ^= 1;
}

static void gap(struct image_payload *p)
{
	p->offset = htole64(le64toh(p->offset) + 8);
}

static void less_to_come(struct image_payload *p)
{
	p->left = htole64(le64toh(p->left) - 8);
}

static void more_to_come(struct image_payload *p)
{
	p->left = htole64(le64toh(p->left) + 8);
}

static void endless(struct image_payload *p)
{
	p->left = htole64(~0ULL);
}

static void not_final(struct image_payload *p)
{
	p->flags = 0;
}

static void unknown_flag(struct image_payload *p)
{
	p->flags |= htole32(2);
}

static void longer_than_its_chunk(struct image_payload *p)
{
	p->length = htole32(le32toh(p->length) + 8);
}

static void no_image(struct buffer *s)
{
	struct chunk c;

	while (!stream_find(s, CHUNK_IMAGE, 0, &c))
		buffer_cut(s, c.at, c.size);
	stream_renumber(s);
}

static void last_piece_lost(struct buffer *s)
{
	struct chunk c;

	if (!stream_find(s, CHUNK_IMAGE, stream_count(s, CHUNK_IMAGE) - 1, &c))
		buffer_cut(s, c.at, c.size);
	stream_renumber(s);
}

/* A piece for the time before the stop comes after the last piece of the image. */
static void more_after_the_end(struct buffer *s)
{
	unsigned int nr = stream_count(s, CHUNK_IMAGE);
	struct image_payload *p;
	struct chunk c;
	size_t next;

	if (stream_find(s, CHUNK_IMAGE, nr - 1, &c))
		return;
	next = c.at + c.size;
	buffer_insert(s, next, c.hdr, c.size);
	if (stream_find(s, CHUNK_IMAGE, nr, &c))
		return;
	p = c.payload;
	p->offset = htole64(le64toh(p->offset) + le32toh(p->length));
	p->flags = 0;
	chunk_sum(&c);
	stream_renumber(s);
}

/* Only a piece with data may announce more. */
static void empty_before_the_end(struct buffer *s)
{
	struct {
		struct chunk_hdr hdr;
		struct image_payload piece;
	} empty;
	struct chunk c;

	if (stream_find(s, CHUNK_IMAGE, stream_count(s, CHUNK_IMAGE) - 1, &c))
		return;
	memcpy(&empty, c.hdr, sizeof(empty));
	empty.hdr.length = htole32(sizeof(empty.piece));
	empty.piece.left = htole64(le64toh(empty.piece.left) + le32toh(empty.piece.length));
	empty.piece.length = 0;
	buffer_insert(s, c.at, &empty, sizeof(empty));
	if (!stream_chunk_at(s, c.at, &c))
		chunk_sum(&c);
	stream_renumber(s);
}

static void no_feature(struct buffer *s)
{
	struct chunk c;

	if (stream_chunk(s, 0, &c))
		return;
	((struct header_payload *)c.payload)->features = 0;
	chunk_sum(&c);
}

FIXTURE_VARIANT_ADD(bad, other_bytes) { { 1, other_bytes, NULL, -EINVAL } };
FIXTURE_VARIANT_ADD(bad, other_record) { { 0, other_record, NULL, -EINVAL } };
FIXTURE_VARIANT_ADD(bad, gap) { { 1, gap, NULL, -EBADMSG } };
FIXTURE_VARIANT_ADD(bad, less_to_come) { { 0, less_to_come, NULL, -EBADMSG } };
FIXTURE_VARIANT_ADD(bad, more_to_come) { { 1, more_to_come, NULL, -EBADMSG } };
FIXTURE_VARIANT_ADD(bad, endless) { { 0, endless, NULL, -EBADMSG } };
FIXTURE_VARIANT_ADD(bad, not_final) { { 1, not_final, NULL, -EBADMSG } };
FIXTURE_VARIANT_ADD(bad, unknown_flag) { { 0, unknown_flag, NULL, -EBADMSG } };
FIXTURE_VARIANT_ADD(bad, longer_than_its_chunk) { { 0, longer_than_its_chunk, NULL, -EBADMSG } };
FIXTURE_VARIANT_ADD(bad, no_image) { { 0, NULL, no_image, -EBADMSG } };
FIXTURE_VARIANT_ADD(bad, last_piece_lost) { { 0, NULL, last_piece_lost, -EBADMSG } };
FIXTURE_VARIANT_ADD(bad, more_after_the_end) { { 0, NULL, more_after_the_end, -EBADMSG } };
FIXTURE_VARIANT_ADD(bad, empty_before_the_end) { { 0, NULL, empty_before_the_end, -EBADMSG } };
FIXTURE_VARIANT_ADD(bad, no_feature) { { 0, NULL, no_feature, -ENODEV } };

FIXTURE_SETUP(bad)
{
	ASSERT_RET(0, testdev_open(&self->p.a, &all[0]));
	ASSERT_RET(0, testdev_open(&self->p.b, &all[1]));
	ASSERT_RET(0, testdev_set_image(&self->p.a, SEED, 2 * TESTDEV_PIECE));
	ASSERT_RET(0, v1_save(&self->p.a.end.v1, &self->p.stream));
}

FIXTURE_TEARDOWN(bad)
{
	buffer_free(&self->p.stream);
	testdev_close(&self->p.a);
	testdev_close(&self->p.b);
	EXPECT_TRUE(testdev_idle(&all[1]));
}

static void spoil(struct buffer *s, const struct spoiled *how)
{
	struct chunk c;

	if (how->stream)
		return how->stream(s);
	if (stream_find(s, CHUNK_IMAGE, how->nth, &c))
		return;
	how->piece(c.payload);
	chunk_sum(&c);
}

static void refused(struct __test_metadata *_metadata, struct pair *p,
		    const struct spoiled *how, int v2)
{
	struct buffer good = { 0 };
	char why[160];

	p->b.end.by_v2 = v2;
	buffer_copy(&good, &p->stream);
	spoil(&p->stream, how);
	/* The suite's own decoder has no device, so it knows only rules of the stream. */
	if (how->stream == more_after_the_end || how->stream == empty_before_the_end)
		EXPECT_RET(-EBADMSG, stream_check(&p->stream, why, sizeof(why)));
	ASSERT_RET(0, endpoint_resume(&p->b.end));
	EXPECT_RET(how->want, endpoint_give(&p->b.end, &p->stream));
	EXPECT_RET(how->want, endpoint_give(&p->b.end, &good));
	EXPECT_RET(how->want, endpoint_run(&p->b.end));
	EXPECT_STATE(V1_RESUMING, &p->b.end.v1);

	ASSERT_RET(0, device_reset(&p->b.end.dev));
	ASSERT_RET(0, endpoint_resume(&p->b.end));
	ASSERT_RET(0, endpoint_give(&p->b.end, &good));
	ASSERT_RET(0, endpoint_run(&p->b.end));
	expect_image(_metadata, &p->b, SEED, 2 * TESTDEV_PIECE);
	buffer_free(&good);
}

TEST_F(bad, is_refused_by_v1_and_a_reset_helps)
{
	refused(_metadata, &self->p, &variant->spoiled, 0);
}

TEST_F(bad, is_refused_by_v2_and_a_reset_helps)
{
	refused(_metadata, &self->p, &variant->spoiled, 1);
}

/* The rest of the header is valid. */
TEST(a_device_without_an_image_refuses_one)
{
	struct buffer stream = { 0 };
	struct header_payload *h;
	struct testdev a, b;
	struct chunk c;

	ASSERT_RET(0, testdev_open(&a, &all[0]));
	ASSERT_RET(0, testdev_open(&b, &plain));
	ASSERT_RET(0, v1_save(&a.end.v1, &stream));
	ASSERT_EQ(0, stream_chunk(&stream, 0, &c));
	h = c.payload;
	strcpy(h->type, "vfio_mig_test-plain");
	chunk_sum(&c);
	ASSERT_RET(0, v1_set_state(&b.end.v1, V1_RESUMING));
	EXPECT_RET(-ENODEV, v1_feed(&b.end.v1, stream.data, stream.len, 0));
	buffer_free(&stream);
	testdev_close(&a);
	testdev_close(&b);
}

int main(int argc, char **argv)
{
	int i, ret = 0;

	(void)argc;
	testdev_init();
	for (i = 0; i < 2 && !ret; i++)
		ret = testdev_create(&all[i], "all") ?: testdev_create(&alone[i], "image");
	ret = ret ?: testdev_create(&plain, "plain");
	if (ret) {
		ksft_print_header();
		ksft_exit_skip("no device: %s\n", strerror(-ret));
	}
	SUITE_RUN(argv);
}
