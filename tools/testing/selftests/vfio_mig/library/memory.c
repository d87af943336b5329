// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the driver allocates. Each store of a user must move to the target, whatever
 * kind of access it is. A driver that cannot access its memory loses nothing.
 *
 * The memory is BAR2 of devices of vfio_mig_test. With VFIO_MIG_DEVICE and VFIO_MIG_DEVICE_B
 * the tests that need no knobs run on these two devices.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/child.h"
#include "lib/knob.h"
#include "lib/stream.h"
#include "lib/suite.h"
#include "lib/testdev.h"

#define PAGE		4096
#define FEW		(64 << 10)	/* bytes of a stream with one or two pages */

/* Memory of the driver, tracked by page faults or by the device, and memory of the library */
enum { MEMORY, BITMAP, PLAIN, NR };

static const char * const types[NR] = { "memory", "bitmap", "plain" };
static struct mdev source[NR], target[NR];
static int given;		/* two devices of one kind that were named */

struct end {
	struct testdev t;
	struct region bar;
	size_t size;		/* of BAR2 */
	unsigned char *map;
};

FIXTURE(memory) {
	struct end a, b;
	struct buffer stream;
	size_t size;
	int unfit;		/* the devices cannot be used for this variant */
};

FIXTURE_VARIANT(memory) {
	int type;
	int to;
	int v2;
};

FIXTURE_VARIANT_ADD(memory, v1_by_faults) { MEMORY, MEMORY, 0 };
FIXTURE_VARIANT_ADD(memory, v2_by_faults) { MEMORY, MEMORY, 1 };
FIXTURE_VARIANT_ADD(memory, v1_by_bitmap) { BITMAP, BITMAP, 0 };
FIXTURE_VARIANT_ADD(memory, v2_by_bitmap) { BITMAP, BITMAP, 1 };
FIXTURE_VARIANT_ADD(memory, v2_from_plain) { PLAIN, MEMORY, 1 };
FIXTURE_VARIANT_ADD(memory, v2_to_plain) { MEMORY, PLAIN, 1 };

static int end_open(struct end *end, const struct mdev *mdev, int v2)
{
	void *map;
	int ret;

	ret = testdev_open(&end->t, mdev);
	if (!ret)
		ret = region_open(&end->bar, &end->t.end.dev, VFIO_PCI_BAR2_REGION_INDEX);
	end->size = end->bar.size;
	if (!ret)
		ret = region_mmap(&end->bar, 0, end->size, PROT_READ | PROT_WRITE, MAP_SHARED,
				  &map);
	if (ret)
		return ret;
	end->map = map;
	end->t.end.by_v2 = v2;
	return 0;
}

static void end_close(struct end *end)
{
	if (end->map)
		munmap(end->map, end->size);
	end->map = NULL;
	testdev_close(&end->t);
}

FIXTURE_SETUP(memory)
{
	ASSERT_RET(0, end_open(&self->a, &source[variant->type], variant->v2));
	ASSERT_RET(0, end_open(&self->b, &target[variant->to], variant->v2));
	self->size = self->a.size;
	self->unfit = given && (variant->type != MEMORY || variant->to != MEMORY);
	if (!(variant->v2 ? self->a.t.end.has_v2 : self->a.t.end.has_v1))
		self->unfit = 1;
}

FIXTURE_TEARDOWN(memory)
{
	buffer_free(&self->stream);
	end_close(&self->a);
	end_close(&self->b);
}

/* Reads all data while the device runs. Returns the bytes, or a negative errno. */
static ssize_t take_all(struct endpoint *e, struct buffer *out)
{
	size_t had = out->len;
	ssize_t ret;

	do
		ret = endpoint_take(e, out);
	while (ret > 0);
	return ret ? ret : (ssize_t)(out->len - had);
}

/* Stops the source, and loads everything into the target. */
static int finish(struct _test_data_memory *self)
{
	struct endpoint *a = &self->a.t.end, *b = &self->b.t.end;
	int ret;

	ret = endpoint_stop(a);
	if (!ret)
		ret = endpoint_drain(a, &self->stream);
	if (!ret)
		ret = endpoint_resume(b);
	if (!ret)
		ret = endpoint_give(b, &self->stream);
	if (!ret)
		ret = endpoint_run(b);
	return ret ? ret : endpoint_cancel(a);
}

static int precopy(struct _test_data_memory *self)
{
	return !self->a.t.end.by_v2 || v2_has(&self->a.t.end.v2, V2_PRE_COPY);
}

/* Each page, including the last one, has another pattern. */
static void fill(struct end *end, int seed)
{
	size_t i;

	for (i = 0; i < end->size / PAGE; i += 3)
		memset(end->map + i * PAGE, seed + i % 200, PAGE);
	end->map[end->size - 1] = seed;
}

TEST_F(memory, moves_and_leaves_nothing_of_before)
{
	if (self->unfit)
		SKIP(return, "not of these devices");
	fill(&self->a, 1);
	memset(self->b.map, 0xee, self->size);
	ASSERT_RET(0, finish(self));
	EXPECT_EQ(0, memcmp(self->a.map, self->b.map, self->size));
	EXPECT_EQ(1, self->b.map[self->size - 1]);
}

TEST_F(memory, shows_in_a_mapping_and_by_read_alike)
{
	unsigned char bytes[3] = { 7, 8, 9 }, seen[3];

	if (self->unfit)
		SKIP(return, "not of these devices");
	ASSERT_RET(0, region_write_all(&self->a.bar, 2 * PAGE - 1, bytes, 3));
	EXPECT_EQ(0, memcmp(self->a.map + 2 * PAGE - 1, bytes, 3));
	self->a.map[self->size - 1] = 5;
	ASSERT_RET(0, region_read_all(&self->a.bar, self->size - 1, seen, 1));
	EXPECT_EQ(5, seen[0]);
	EXPECT_EQ(2, region_read(&self->a.bar, self->size - 2, seen, 3));
	EXPECT_RET(-EINVAL, region_read(&self->a.bar, self->size, seen, 1));
}

/* A store that the compiler does not move */
static void store(unsigned char *at, int value)
{
	__atomic_store_n(at, value, __ATOMIC_SEQ_CST);
}

/* After the first pass the device sends only stored pages, and all of them. */
TEST_F(memory, that_is_stored_to_in_pre_copy_is_sent_again)
{
	unsigned char byte = 0x77;
	ssize_t ret;
	int round;

	if (self->unfit)
		SKIP(return, "not of these devices");
	if (!precopy(self))
		SKIP(return, "the device's v2 protocol has no PRE_COPY");
	fill(&self->a, 1);
	ASSERT_RET(0, endpoint_precopy(&self->a.t.end));
	ret = take_all(&self->a.t.end, &self->stream);
	ASSERT_LT((ssize_t)self->size / 4, ret);
	for (round = 1; round < 4; round++) {
		store(self->a.map + 10 * PAGE + round, 0x60 + round);
		ret = take_all(&self->a.t.end, &self->stream);
		EXPECT_LT(PAGE, ret);
		EXPECT_GT(FEW, ret);
	}
	ASSERT_RET(0, region_write_all(&self->a.bar, 20 * PAGE, &byte, 1));
	ret = take_all(&self->a.t.end, &self->stream);
	EXPECT_LT(PAGE, ret);
	EXPECT_GT(FEW, ret);
	self->a.map[self->size - 1] = 0x55;
	ASSERT_RET(0, finish(self));
	EXPECT_EQ(0x61, self->b.map[10 * PAGE + 1]);
	EXPECT_EQ(0x63, self->b.map[10 * PAGE + 3]);
	EXPECT_EQ(0x77, self->b.map[20 * PAGE]);
	EXPECT_EQ(0, memcmp(self->a.map, self->b.map, self->size));
}

/* A page that nobody has accessed yet, and a page of a read-only mapping */
TEST_F(memory, stores_by_other_mappings_are_sent_again)
{
	int status = -1;
	pid_t child;
	unsigned char *map;
	void *made;

	if (self->unfit)
		SKIP(return, "not of these devices");
	if (!precopy(self))
		SKIP(return, "the device's v2 protocol has no PRE_COPY");
	ASSERT_RET(0, region_mmap(&self->a.bar, PAGE, 4 * PAGE, PROT_READ, MAP_SHARED, &made));
	map = made;
	ASSERT_RET(0, endpoint_precopy(&self->a.t.end));
	ASSERT_LE(0, take_all(&self->a.t.end, &self->stream));
	EXPECT_EQ(0, __atomic_load_n(map, __ATOMIC_SEQ_CST));
	ASSERT_EQ(0, mprotect(map, 4 * PAGE, PROT_READ | PROT_WRITE));
	store(map, 1);
	ASSERT_LE(0, take_all(&self->a.t.end, &self->stream));
	store(map + 1, 2);
	ASSERT_LE(0, take_all(&self->a.t.end, &self->stream));

	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		store(map + 2, 3);
		store(self->a.map + 9 * PAGE, 4);
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_RET(0, finish(self));
	EXPECT_EQ(1, self->b.map[PAGE]);
	EXPECT_EQ(2, self->b.map[PAGE + 1]);
	EXPECT_EQ(3, self->b.map[PAGE + 2]);
	EXPECT_EQ(4, self->b.map[9 * PAGE]);
	munmap(map, 4 * PAGE);
}

/* A chunk does not change while a reader reads it, so its checksums are right. */
TEST_F(memory, changes_while_a_chunk_is_read)
{
	struct endpoint *a = &self->a.t.end;
	ssize_t ret;

	if (self->unfit)
		SKIP(return, "not of these devices");
	if (!variant->v2)
		SKIP(return, "a chunk can be read in parts by v2");
	fill(&self->a, 1);
	ASSERT_RET(0, endpoint_stop(a));
	for (;;) {
		ret = v2_read(&a->v2, buffer_grow(&self->stream, 5000), 5000);
		self->stream.len -= 5000 - (ret > 0 ? ret : 0);
		if (ret <= 0)
			break;
		/* The stores end, because the device sends each change again. */
		if (self->stream.len < 20 * 5000)
			self->a.map[3 * PAGE + self->stream.len % PAGE] ^= 1;
	}
	ASSERT_RET(0, ret);
	ASSERT_RET(0, endpoint_resume(&self->b.t.end));
	ASSERT_RET(0, endpoint_give(&self->b.t.end, &self->stream));
	EXPECT_RET(0, endpoint_run(&self->b.t.end));
	EXPECT_EQ(0, memcmp(self->a.map, self->b.map, self->size));
}

/* The target's mapping is older than the load, and stays valid. */
TEST_F(memory, of_a_refused_stream_is_not_written)
{
	struct endpoint *a = &self->a.t.end, *b = &self->b.t.end;

	if (self->unfit)
		SKIP(return, "not of these devices");
	fill(&self->a, 1);
	memset(self->b.map, 0x44, self->size);
	ASSERT_RET(0, endpoint_stop(a));
	ASSERT_RET(0, endpoint_drain(a, &self->stream));
	ASSERT_RET(0, endpoint_resume(b));
	self->stream.len -= 64;
	ASSERT_RET(0, endpoint_give(b, &self->stream));
	EXPECT_RET(-ENODATA, endpoint_run(b));
	EXPECT_EQ(0x44, self->b.map[0]);
	EXPECT_EQ(0x44, self->b.map[self->size - 1]);
	EXPECT_RET(0, device_reset(&b->dev));
	EXPECT_EQ(0x44, self->b.map[3 * PAGE]);
}

FIXTURE(driver) {
	struct end a, b;
	struct buffer stream;
};

FIXTURE_VARIANT(driver) {
	int v2;
};

FIXTURE_VARIANT_ADD(driver, v1) { 0 };
FIXTURE_VARIANT_ADD(driver, v2) { 1 };

FIXTURE_SETUP(driver)
{
	if (given)
		return;
	ASSERT_RET(0, end_open(&self->a, &source[BITMAP], variant->v2));
	ASSERT_RET(0, end_open(&self->b, &target[BITMAP], variant->v2));
	fill(&self->a, 1);
}

FIXTURE_TEARDOWN(driver)
{
	if (given)
		return;
	testdev_fault(&source[BITMAP], "off");
	testdev_fault(&target[BITMAP], "off");
	buffer_free(&self->stream);
	end_close(&self->a);
	end_close(&self->b);
}

static void expect_moved(struct __test_metadata *_metadata, struct _test_data_driver *self)
{
	struct endpoint *b = &self->b.t.end;

	ASSERT_RET(0, endpoint_resume(b));
	ASSERT_RET(0, endpoint_give(b, &self->stream));
	EXPECT_RET(0, endpoint_run(b));
	EXPECT_EQ(0, memcmp(self->a.map, self->b.map, self->a.size));
}

/* The library itself never returns ENXIO. */
static void fail_and_go_on(struct __test_metadata *_metadata, struct _test_data_driver *self,
			   const char *callback)
{
	struct endpoint *a = &self->a.t.end;
	char line[32];
	int call, ret;

	snprintf(line, sizeof(line), "%s 1 fail 6", callback);
	ASSERT_RET(0, endpoint_stop(a));
	for (call = 0; call < 3; call++) {
		ASSERT_RET(0, testdev_fault(&source[BITMAP], line));
		ret = endpoint_drain(a, &self->stream);
		EXPECT_RET_FOR(-ENXIO, ret, "%s, time %d", callback, call);
		ASSERT_RET(0, testdev_fault(&source[BITMAP], "off"));
		ASSERT_LE(0, endpoint_take(a, &self->stream));
	}
	EXPECT_RET(0, endpoint_drain(a, &self->stream));
	expect_moved(_metadata, self);
}

TEST_F(driver, whose_read_fails_loses_nothing)
{
	if (given)
		SKIP(return, "needs knobs");
	fail_and_go_on(_metadata, self, "mem_read");
}

/* The failure occurs within a chunk. The data that was copied before is sent. */
TEST_F(driver, whose_100th_read_fails_loses_nothing)
{
	struct endpoint *a = &self->a.t.end;

	if (given)
		SKIP(return, "needs knobs");
	ASSERT_RET(0, endpoint_stop(a));
	ASSERT_RET(0, testdev_fault(&source[BITMAP], "mem_read 100 fail 6"));
	EXPECT_RET(-ENXIO, endpoint_drain(a, &self->stream));
	EXPECT_LT(64 * PAGE / 3, self->stream.len);
	ASSERT_RET(0, testdev_fault(&source[BITMAP], "off"));
	EXPECT_RET(0, endpoint_drain(a, &self->stream));
	expect_moved(_metadata, self);
}

TEST_F(driver, that_cannot_say_what_changed_loses_nothing)
{
	struct endpoint *a = &self->a.t.end;

	if (given)
		SKIP(return, "needs knobs");
	ASSERT_RET(0, endpoint_stop(a));
	ASSERT_RET(0, testdev_fault(&source[BITMAP], "dirty 1 fail 6"));
	EXPECT_RET(-ENXIO, endpoint_drain(a, &self->stream));
	ASSERT_RET(0, testdev_fault(&source[BITMAP], "off"));
	EXPECT_RET(0, endpoint_drain(a, &self->stream));
	expect_moved(_metadata, self);
}

/* The knob changes the driver's own memory, too, although no page of it is the library's. */
TEST_F(driver, memory_changes_by_the_dirty_rate)
{
	struct endpoint *a = &self->a.t.end;
	__u64 pending = 0;

	if (given || knob_set(&a->dev, "dirty_rate", "off"))
		SKIP(return, "needs knobs");
	if (variant->v2)
		SKIP(return, "the same by v1, which has pre-copy on each kernel");
	ASSERT_RET(0, endpoint_precopy(a));
	ASSERT_LE(0, endpoint_drain(a, &self->stream));
	ASSERT_RET(0, knob_set(&a->dev, "dirty_rate", "50"));
	usleep(1000000);
	ASSERT_RET(0, v1_pending(&a->v1, &pending));
	ASSERT_RET(0, knob_set(&a->dev, "dirty_rate", "off"));
	EXPECT_LT(10 * 4096, pending);
}

TEST_F(driver, that_cannot_track_begins_no_save)
{
	struct endpoint *a = &self->a.t.end;

	if (given)
		SKIP(return, "needs knobs");
	ASSERT_RET(0, testdev_fault(&source[BITMAP], "track 1 fail 6"));
	EXPECT_RET(-ENXIO, endpoint_stop(a));
	ASSERT_RET(0, testdev_fault(&source[BITMAP], "off"));
	ASSERT_RET(0, endpoint_stop(a));
	EXPECT_RET(0, endpoint_drain(a, &self->stream));
	expect_moved(_metadata, self);
}

/* The driver wrote a part, so the device has no valid state. After a reset a load works. */
TEST_F(driver, whose_write_fails_is_in_error)
{
	static const char * const calls[] = { "1", "2000", "4096" };
	struct endpoint *a = &self->a.t.end, *b = &self->b.t.end;
	char line[32];
	unsigned int i;

	if (given)
		SKIP(return, "needs knobs");
	ASSERT_RET(0, endpoint_stop(a));
	ASSERT_RET(0, endpoint_drain(a, &self->stream));
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		ASSERT_RET(0, endpoint_resume(b));
		ASSERT_RET(0, endpoint_give(b, &self->stream));
		snprintf(line, sizeof(line), "mem_write %s fail 6", calls[i]);
		ASSERT_RET(0, testdev_fault(&target[BITMAP], line));
		EXPECT_RET_FOR(-ENXIO, endpoint_run(b), "call %s", calls[i]);
		EXPECT_TRUE(variant->v2 ? v2_get_state(&b->v2) == V2_ERROR :
					  v1_get_state(&b->v1) == V1_ERROR);
		ASSERT_RET(0, testdev_fault(&target[BITMAP], "off"));
		ASSERT_RET(0, device_reset(&b->dev));
	}
	expect_moved(_metadata, self);
}

/* A reset does not wait for the rest of the write. */
TEST_F(driver, whose_write_waits_does_not_delay_a_reset)
{
	struct endpoint *a = &self->a.t.end, *b = &self->b.t.end;
	int status = -1;
	pid_t child;

	if (given)
		SKIP(return, "needs knobs");
	ASSERT_RET(0, endpoint_stop(a));
	ASSERT_RET(0, endpoint_drain(a, &self->stream));
	ASSERT_RET(0, endpoint_resume(b));
	ASSERT_RET(0, endpoint_give(b, &self->stream));
	ASSERT_RET(0, testdev_fault(&target[BITMAP], "mem_write 5 wait"));
	child = child_start();
	ASSERT_LE(0, child);
	if (!child)
		_exit(endpoint_run(b) == 0);
	EXPECT_TRUE(testdev_waits(&target[BITMAP], 10));
	EXPECT_RET(0, device_reset(&b->dev));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_RET(0, testdev_fault(&target[BITMAP], "off"));
	expect_moved(_metadata, self);
}

int main(int argc, char **argv)
{
	int i, ret = 0;

	if (argc > 1 || getenv("VFIO_MIG_DEVICE")) {
		suite_init(argc, argv, 0);
		suite_need_b();
		for (i = 0; i < NR; i++) {
			strcpy(source[i].path, suite_device());
			strcpy(target[i].path, suite_device_b());
		}
		given = 1;
		SUITE_RUN(argv);
	}
	testdev_init();
	for (i = 0; i < NR && !ret; i++)
		ret = testdev_create(&source[i], types[i]) ?:
		      testdev_create(&target[i], types[i]);
	if (ret) {
		ksft_print_header();
		ksft_exit_skip("no device: %s\n", strerror(-ret));
	}
	SUITE_RUN(argv);
}
