// SPDX-License-Identifier: GPL-2.0-only
/* The mapped data section: its content, and the cases in which it raises SIGBUS */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/fixture.h"
#include "lib/poke.h"

FIXTURE(map) {
	struct device dev;
	struct v1 v1;
	struct buffer stream;
};

/* The mapping is older than any session of the test. */
FIXTURE_SETUP(map)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_RET(0, v1_map(&self->v1));
}

FIXTURE_TEARDOWN(map)
{
	buffer_free(&self->stream);
	fixture_close(&self->dev, &self->v1);
}

/* Checks the first page, a page in the middle and the last page. */
static void check_sigbus(struct __test_metadata *_metadata, struct v1 *v1,
			 unsigned char *map, const char *when)
{
	const __u64 places[] = { 0, v1->window / 2, v1->window - 1 };
	unsigned char byte;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		EXPECT_RET_FOR(-EFAULT, poke_load(map + places[i], &byte),
			       "load at %#llx, %s", places[i], when);
		EXPECT_RET_FOR(-EFAULT, poke_store(map + places[i], 0),
			       "store at %#llx, %s", places[i], when);
	}
}

static void check_works(struct __test_metadata *_metadata, struct v1 *v1,
			unsigned char *map, const char *when)
{
	const __u64 places[] = { 0, v1->window / 2, v1->window - 1 };
	unsigned char byte;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		EXPECT_RET_FOR(0, poke_store(map + places[i], 0x5a),
			       "store at %#llx, %s", places[i], when);
		EXPECT_RET_FOR(0, poke_load(map + places[i], &byte),
			       "load at %#llx, %s", places[i], when);
		EXPECT_EQ(0x5a, byte);
	}
}

/* Begins a save, opens an iteration in it, and reads its data to self->stream. */
static __u64 begin_save(struct __test_metadata *_metadata, struct v1 *v1,
			__u32 state, struct buffer *stream)
{
	void *map = v1->map;
	ssize_t size;

	ASSERT_RET(0, v1_set_state(v1, state));
	stream->len = 0;
	v1->map = NULL;		/* by read(2) */
	size = v1_iteration(v1, stream);
	v1->map = map;
	ASSERT_LT(0, size);
	return size;
}

/* The window shows nothing before the first session after an open. */
TEST_F(map, before_a_session_is_SIGBUS)
{
	check_sigbus(_metadata, &self->v1, self->v1.map, "in 001");
	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOPPED));
	check_sigbus(_metadata, &self->v1, self->v1.map, "in 000");
	ASSERT_RET(0, device_reset(&self->dev));
	check_sigbus(_metadata, &self->v1, self->v1.map, "after a reset");
}

static void check_saving(struct __test_metadata *_metadata, struct v1 *v1,
			 __u32 state, struct buffer *stream)
{
	unsigned char *map = v1->map;
	__u64 size, at;

	size = begin_save(_metadata, v1, state, stream);
	EXPECT_EQ(0, memcmp(map, stream->data, size))
		TH_LOG("the mapping shows other data than read(2)");
	/* Pages that a load has mapped, and pages that it has not mapped */
	EXPECT_RET(-EFAULT, poke_store(map, 0));
	EXPECT_RET(-EFAULT, poke_store(map + v1->window - 1, 0));
	for (at = 0; at < size; at += V1_PAGE)
		EXPECT_RET(-EFAULT, poke_store(map + at, ~map[at]));
	EXPECT_EQ(0, memcmp(map, stream->data, size));
}

TEST_F(map, pre_copy_loads_work_stores_are_SIGBUS)
{
	check_saving(_metadata, &self->v1, V1_PRE_COPY, &self->stream);
}

TEST_F(map, stop_and_copy_loads_work_stores_are_SIGBUS)
{
	check_saving(_metadata, &self->v1, V1_STOP_COPY, &self->stream);
}

TEST_F(map, saving_stores_are_SIGBUS_after_mprotect_too)
{
	struct v1 *v1 = &self->v1;
	unsigned char byte, *map = v1->map;

	ASSERT_EQ(0, mprotect(map, v1->window, PROT_READ));
	begin_save(_metadata, v1, V1_STOP_COPY, &self->stream);
	EXPECT_RET(0, poke_load(map, &byte));
	ASSERT_EQ(0, mprotect(map, v1->window, PROT_READ | PROT_WRITE));
	EXPECT_RET(-EFAULT, poke_store(map, ~byte));
	EXPECT_RET(0, poke_load(map, &byte));
	EXPECT_EQ(self->stream.data[0], byte);
}

TEST_F(map, resuming_both_work)
{
	struct v1 *v1 = &self->v1;
	unsigned char byte;

	ASSERT_RET(0, v1_set_state(v1, V1_RESUMING));
	check_works(_metadata, v1, v1->map, "in 100");
	/* There is one window: read(2) returns stored data, and a load sees written data. */
	EXPECT_RET(0, v1_read_data(v1, 0, &byte, 1));
	EXPECT_EQ(0x5a, byte);
	byte = 0xc3;
	EXPECT_RET(0, v1_write_data(v1, 1, &byte, 1));
	EXPECT_RET(0, poke_load(v1->map + 1, &byte));
	EXPECT_EQ(0xc3, byte);
}

TEST_F(map, resuming_stores_work_after_mprotect_too)
{
	struct v1 *v1 = &self->v1;
	unsigned char byte, *map = v1->map;

	ASSERT_EQ(0, mprotect(map, v1->window, PROT_READ));
	ASSERT_RET(0, v1_set_state(v1, V1_RESUMING));
	EXPECT_RET(0, poke_load(map, &byte));
	ASSERT_EQ(0, mprotect(map, v1->window, PROT_READ | PROT_WRITE));
	EXPECT_RET(0, poke_store(map, 0x77));
	EXPECT_RET(0, v1_read_data(v1, 0, &byte, 1));
	EXPECT_EQ(0x77, byte);
}

/*
 * The end of each kind of session. A VMM may still copy from its mapping, in a thread that
 * does not know of the end. Its loads continue, and see the last content of the window.
 */
FIXTURE(end) {
	struct device dev;
	struct v1 v1;
	struct buffer stream;
	unsigned char *last;
};

FIXTURE_VARIANT(end) {
	__u32 session;
	__u32 to;
	bool reset;
};

FIXTURE_VARIANT_ADD(end, from_010_to_001) {
	.session = V1_STOP_COPY, .to = V1_RUNNING
};

FIXTURE_VARIANT_ADD(end, from_010_to_000) {
	.session = V1_STOP_COPY, .to = V1_STOPPED
};

FIXTURE_VARIANT_ADD(end, from_010_by_reset) {
	.session = V1_STOP_COPY, .reset = true
};

FIXTURE_VARIANT_ADD(end, from_011_to_001) {
	.session = V1_PRE_COPY, .to = V1_RUNNING
};

FIXTURE_VARIANT_ADD(end, from_011_to_000) {
	.session = V1_PRE_COPY, .to = V1_STOPPED
};

FIXTURE_VARIANT_ADD(end, from_011_by_reset) {
	.session = V1_PRE_COPY, .reset = true
};

FIXTURE_VARIANT_ADD(end, from_100_to_001) {
	.session = V1_RESUMING, .to = V1_RUNNING
};

FIXTURE_VARIANT_ADD(end, from_100_to_000) {
	.session = V1_RESUMING, .to = V1_STOPPED
};

FIXTURE_VARIANT_ADD(end, from_100_by_reset) {
	.session = V1_RESUMING, .reset = true
};

FIXTURE_SETUP(end)
{
	struct v1 *v1 = &self->v1;

	fixture_open(_metadata, suite_device(), &self->dev, v1);
	ASSERT_RET(0, v1_save(v1, &self->stream));
	ASSERT_RET(0, v1_set_state(v1, V1_RUNNING));
	ASSERT_RET(0, v1_map(v1));
}

FIXTURE_TEARDOWN(end)
{
	free(self->last);
	buffer_free(&self->stream);
	fixture_close(&self->dev, &self->v1);
}

/* Begins the session and touches every page, so that all pages can be removed. */
static void begin_session(struct __test_metadata *_metadata, struct v1 *v1,
			  __u32 session, const struct buffer *stream)
{
	struct buffer data = { 0 };
	__u64 at, size = v1->window;
	unsigned char byte;

	if (session == V1_RESUMING)
		ASSERT_RET(0, v1_load(v1, stream, 0));
	else
		size = begin_save(_metadata, v1, session, &data);
	for (at = 0; at < size; at += V1_PAGE)
		ASSERT_RET(0, poke_load(v1->map + at, &byte));
	buffer_free(&data);
}

static void end_session(struct __test_metadata *_metadata, struct v1 *v1,
			__u32 to, bool reset)
{
	if (reset)
		ASSERT_RET(0, device_reset(v1->dev));
	else
		ASSERT_RET(0, v1_set_state(v1, to));
}

/* Checks the whole content of the window. */
static unsigned char *look(struct __test_metadata *_metadata, struct v1 *v1)
{
	unsigned char *copy = malloc(v1->window);

	ASSERT_NE(NULL, copy);
	ASSERT_RET(0, poke_copy(copy, v1->map, v1->window));
	return copy;
}

/* Each byte still has its value, and stores fail. */
static void check_kept(struct __test_metadata *_metadata, struct v1 *v1,
		       unsigned char *map, const unsigned char *last, const char *when)
{
	unsigned char *copy = malloc(v1->window);
	__u64 at;

	ASSERT_NE(NULL, copy);
	EXPECT_RET_FOR(0, poke_copy(copy, map, v1->window), "loads, %s", when);
	EXPECT_EQ(0, memcmp(copy, last, v1->window))
		TH_LOG("other data, %s", when);
	for (at = 0; at < v1->window; at += v1->window / 4)
		EXPECT_RET_FOR(-EFAULT, poke_store(map + at, 0),
			       "store at %#llx, %s", at, when);
	free(copy);
}

TEST_F(end, keeps_what_it_showed_for_loads)
{
	struct v1 *v1 = &self->v1;

	begin_session(_metadata, v1, variant->session, &self->stream);
	self->last = look(_metadata, v1);
	end_session(_metadata, v1, variant->to, variant->reset);
	check_kept(_metadata, v1, v1->map, self->last, "after the session");
	/* The same mapping works in the next session. */
	ASSERT_RET(0, v1_go(v1, V1_RESUMING));
	check_works(_metadata, v1, v1->map, "in the next session");
}

/* A new save shows nothing new until the first read of data_offset. */
TEST_F(end, a_save_changes_nothing_before_data_offset)
{
	struct v1 *v1 = &self->v1;
	unsigned char byte;

	begin_session(_metadata, v1, variant->session, &self->stream);
	self->last = look(_metadata, v1);
	end_session(_metadata, v1, variant->to, variant->reset);
	ASSERT_RET(0, v1_set_state(v1, V1_STOP_COPY));
	check_kept(_metadata, v1, v1->map, self->last, "before data_offset");
	/* read(2) depends on the session, and returns no data. */
	EXPECT_RET(-EINVAL, v1_read_data(v1, 0, &byte, 1));
}

TEST_F(end, resuming_zeroes_what_was_there)
{
	struct v1 *v1 = &self->v1;
	__u64 at;

	begin_session(_metadata, v1, variant->session, &self->stream);
	end_session(_metadata, v1, variant->to, variant->reset);
	ASSERT_RET(0, v1_go(v1, V1_RESUMING));
	self->last = look(_metadata, v1);
	for (at = 0; at < v1->window && !self->last[at]; at++)
		;
	EXPECT_EQ(v1->window, at);
}

TEST_F(end, outside_a_session_read_and_write_are_EINVAL)
{
	struct v1 *v1 = &self->v1;
	unsigned char byte = 0;

	begin_session(_metadata, v1, variant->session, &self->stream);
	end_session(_metadata, v1, variant->to, variant->reset);
	EXPECT_RET(-EINVAL, v1_read_data(v1, 0, &byte, 1));
	EXPECT_RET(-EINVAL, v1_write_data(v1, 0, &byte, 1));
}

/* Touches the mapping, reports this, waits for the parent, and touches it again. */
static void child_with_mapping(void *map, int say, int hear)
{
	unsigned char byte;

	if (poke_load(map, &byte))
		_exit(1);
	if (write(say, "x", 1) != 1 || read(hear, &byte, 1) != 1)
		_exit(2);
	if (poke_load(map, &byte))
		_exit(3);
	_exit(poke_store(map, 0) ? 0 : 4);
}

TEST_F(end, is_for_loads_only_in_a_child_too)
{
	static const char * const ends[] = {
		"is as it should be", "had no access from the start",
		"lost its parent", "lost access", "can still store"
	};
	int up[2], down[2], status;
	struct v1 *v1 = &self->v1;
	char byte;
	pid_t pid;

	ASSERT_EQ(0, pipe(up));
	ASSERT_EQ(0, pipe(down));
	begin_session(_metadata, v1, variant->session, &self->stream);
	self->last = look(_metadata, v1);
	pid = child_start();
	ASSERT_LE(0, pid);
	if (!pid)
		child_with_mapping(v1->map, up[1], down[0]);
	close(up[1]);
	EXPECT_EQ(1, read(up[0], &byte, 1));
	end_session(_metadata, v1, variant->to, variant->reset);
	check_kept(_metadata, v1, v1->map, self->last, "in the parent");
	EXPECT_EQ(1, write(down[1], "x", 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFEXITED(status) && !WEXITSTATUS(status))
		TH_LOG("the child %s", !WIFEXITED(status) ? "died" :
		       ends[WEXITSTATUS(status) % 5]);
	close(up[0]);
	close(down[0]);
	close(down[1]);
}

/* mremap() moves the entries of the page table with the mapping. */
TEST_F(end, is_for_loads_only_where_it_was_moved)
{
	struct v1 *v1 = &self->v1;
	unsigned char *moved, byte;
	void *to;

	begin_session(_metadata, v1, variant->session, &self->stream);
	to = mmap(NULL, v1->window, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		  0);
	ASSERT_NE(MAP_FAILED, to);
	moved = mremap(v1->map, v1->window, v1->window,
		       MREMAP_MAYMOVE | MREMAP_FIXED, to);
	ASSERT_NE(MAP_FAILED, (void *)moved);
	v1->map = moved;
	EXPECT_RET(0, poke_load(moved, &byte));
	self->last = look(_metadata, v1);
	end_session(_metadata, v1, variant->to, variant->reset);
	check_kept(_metadata, v1, moved, self->last, "where it was moved to");
}

TEST_F(end, is_for_loads_only_in_both_parts_of_a_split)
{
	struct v1 *v1 = &self->v1;
	unsigned char *map = v1->map, byte;
	__u64 half = v1->window / 2 & ~(V1_PAGE - 1ULL);

	if (v1->window < 4 * V1_PAGE)
		SKIP(return, "the window is too small to be split");
	begin_session(_metadata, v1, variant->session, &self->stream);
	ASSERT_EQ(0, munmap(map + half, V1_PAGE));
	end_session(_metadata, v1, variant->to, variant->reset);
	EXPECT_RET(0, poke_load(map, &byte));
	EXPECT_RET(0, poke_load(map + v1->window - 1, &byte));
	EXPECT_RET(-EFAULT, poke_store(map, byte));
	EXPECT_RET(-EFAULT, poke_store(map + half - 1, byte));
	EXPECT_RET(-EFAULT, poke_store(map + half + V1_PAGE, byte));
	EXPECT_RET(-EFAULT, poke_store(map + v1->window - 1, byte));
}

/* A page may fault again after 011 to 010, but never raises SIGBUS. */
TEST_F(map, pre_copy_to_stop_and_copy_never_raises_SIGBUS)
{
	struct v1 *v1 = &self->v1;
	unsigned char *copy;
	__u64 size;
	int i;

	for (i = 0; i < 20; i++) {
		size = begin_save(_metadata, v1, V1_PRE_COPY, &self->stream);
		copy = malloc(size);
		ASSERT_NE(NULL, copy);
		ASSERT_RET(0, poke_copy(copy, v1->map, size));
		ASSERT_RET(0, v1_set_state(v1, V1_STOP_COPY));
		ASSERT_RET(0, poke_copy(copy, v1->map, size));
		EXPECT_EQ(0, memcmp(copy, self->stream.data, size));
		free(copy);
		ASSERT_RET(0, v1_set_state(v1, V1_RUNNING));
	}
}

/* Copies like QEMU, in a thread that does not know the session. SIGBUS would kill the process. */
static void copy_for_ever(const void *map, size_t size)
{
	void *to = malloc(size);

	while (to)
		memcpy(to, map, size);
	_exit(1);
}

TEST_F(map, a_copy_survives_whatever_ends_the_session)
{
	static const __u32 sessions[] = { V1_PRE_COPY, V1_STOP_COPY, V1_RESUMING };
	struct v1 *v1 = &self->v1;
	int i, status;
	pid_t pid;

	ASSERT_RET(0, v1_set_state(v1, V1_PRE_COPY));
	pid = child_start();
	ASSERT_LE(0, pid);
	if (!pid)
		copy_for_ever(v1->map, v1->window);
	for (i = 0; i < 60; i++) {
		/* A reset, a stop and start of the guest, or a new session */
		if (i % 3 == 0)
			ASSERT_RET(0, device_reset(&self->dev));
		else if (i % 3 == 1)
			v1_set_state(v1, V1_STOPPED);
		ASSERT_RET(0, v1_go(v1, sessions[i / 3 % 3]));
		if (v1_get_state(v1) != V1_RESUMING)
			ASSERT_LE(0, v1_open_iteration(v1));
		usleep(1000);
		ASSERT_EQ(0, waitpid(pid, &status, WNOHANG))
			TH_LOG("the copy ended with %#x in round %d", status, i);
	}
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
}

/* The next user of the device has another window. */
TEST_F(map, kept_after_close_is_SIGBUS)
{
	struct v1 *v1 = &self->v1;
	void *map = v1->map;
	unsigned char byte;

	ASSERT_RET(0, v1_set_state(v1, V1_RESUMING));
	EXPECT_RET(0, poke_store(map, 1));
	/* The end of a session removes pages. The close must remove a page that came later. */
	ASSERT_RET(0, device_reset(&self->dev));
	EXPECT_RET(0, poke_load(map, &byte));
	device_close(&self->dev);
	check_sigbus(_metadata, v1, map, "after the device was closed");
	v1_unmap(v1);
	fixture_open(_metadata, suite_device(), &self->dev, v1);
}

/*
 * The user's buffer is the window itself. The call succeeds or returns EFAULT, and does not
 * hang.
 */
TEST_F(map, reading_into_its_own_mapping_does_not_hang)
{
	struct v1 *v1 = &self->v1;
	__u64 size;
	int ret;

	size = begin_save(_metadata, v1, V1_STOP_COPY, &self->stream);
	ret = v1_read_data(v1, 0, v1->map, size);
	EXPECT_TRUE(ret == 0 || ret == -EFAULT)
		TH_LOG("saving: %s", errname(ret));
	ASSERT_RET(0, v1_set_state(v1, V1_RUNNING));

	ASSERT_RET(0, v1_set_state(v1, V1_RESUMING));
	ret = v1_read_data(v1, 0, v1->map, v1->window);
	EXPECT_TRUE(ret == 0 || ret == -EFAULT)
		TH_LOG("resuming: %s", errname(ret));
	ret = v1_write_data(v1, V1_PAGE, v1->map, v1->window - V1_PAGE);
	EXPECT_TRUE(ret == 0 || ret == -EFAULT)
		TH_LOG("writing: %s", errname(ret));
	ASSERT_RET(0, device_reset(&self->dev));
	/* Reads a register into a mapping that does not permit stores. */
	ret = region_read(&v1->region, V1_DEVICE_STATE, v1->map, 4);
	EXPECT_RET(-EFAULT, ret);
}

static __u64 find(const unsigned char *mem, __u64 len, unsigned char byte)
{
	__u64 i, row = 0;

	for (i = 0; i < len && row < 64; i++)
		row = mem[i] == byte ? row + 1 : 0;
	return row == 64 ? i - 64 : len;
}

TEST_F(map, no_byte_of_another_device_is_visible)
{
	struct device other;
	struct v1 v1;
	__u64 at;

	if (!suite_device_b())
		SKIP(return, "there is no second device: VFIO_MIG_DEVICE_B");
	fixture_open(_metadata, suite_device_b(), &other, &v1);
	ASSERT_RET(0, v1_map(&v1));
	ASSERT_RET(0, v1_set_state(&v1, V1_RESUMING));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
	memset(v1.map, 0xd7, v1.window);
	at = find(self->v1.map, self->v1.window, 0xd7);
	EXPECT_EQ(self->v1.window, at);
	fixture_close(&other, &v1);
}

SUITE_MAIN(suite_need_v1())
