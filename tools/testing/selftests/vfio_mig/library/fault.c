// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that fails: transitions that do not succeed, the error state, and damaged, lost or
 * slow data. The fault knobs in debugfs inject these.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/clock.h"
#include "lib/fill.h"
#include "lib/fixture.h"
#include "lib/knob.h"
#include "lib/nvme.h"
#include "lib/poke.h"
#include "lib/stream.h"
#include "lib/v2.h"

#define MIB		(1024 * 1024)

/* Goes from 001 to @state. In 100 a whole stream is loaded, so that the device can leave 100. */
static void enter(struct __test_metadata *_metadata, struct v1 *v1, __u32 state,
		  struct buffer *stream)
{
	if (state != V1_RESUMING) {
		ASSERT_RET(0, v1_go(v1, state));
		return;
	}
	ASSERT_RET(0, v1_save(v1, stream));
	ASSERT_RET(0, v1_set_state(v1, V1_RUNNING));
	ASSERT_RET(0, v1_load(v1, stream, 0));
}

/* Each transition, when it fails */

FIXTURE(transition) {
	struct device dev;
	struct v1 v1;
	struct buffer stream;
};

FIXTURE_VARIANT(transition) {
	__u32 from, to;
	const char *knob;	/* the transition's name in the knob */
};

FIXTURE_VARIANT_ADD(transition, from_000_to_001) {
	.from = 0, .to = 1, .knob = "stopped running"
};

FIXTURE_VARIANT_ADD(transition, from_000_to_010) {
	.from = 0, .to = 2, .knob = "stopped stop-and-copy"
};

FIXTURE_VARIANT_ADD(transition, from_000_to_100) {
	.from = 0, .to = 4, .knob = "stopped resuming"
};

FIXTURE_VARIANT_ADD(transition, from_001_to_000) {
	.from = 1, .to = 0, .knob = "running stopped"
};

FIXTURE_VARIANT_ADD(transition, from_001_to_010) {
	.from = 1, .to = 2, .knob = "running stop-and-copy"
};

FIXTURE_VARIANT_ADD(transition, from_001_to_011) {
	.from = 1, .to = 3, .knob = "running pre-copy"
};

FIXTURE_VARIANT_ADD(transition, from_001_to_100) {
	.from = 1, .to = 4, .knob = "running resuming"
};

FIXTURE_VARIANT_ADD(transition, from_010_to_000) {
	.from = 2, .to = 0, .knob = "stop-and-copy stopped"
};

FIXTURE_VARIANT_ADD(transition, from_010_to_001) {
	.from = 2, .to = 1, .knob = "stop-and-copy running"
};

FIXTURE_VARIANT_ADD(transition, from_011_to_000) {
	.from = 3, .to = 0, .knob = "pre-copy stopped"
};

FIXTURE_VARIANT_ADD(transition, from_011_to_001) {
	.from = 3, .to = 1, .knob = "pre-copy running"
};

FIXTURE_VARIANT_ADD(transition, from_011_to_010) {
	.from = 3, .to = 2, .knob = "pre-copy stop-and-copy"
};

FIXTURE_VARIANT_ADD(transition, from_100_to_000) {
	.from = 4, .to = 0, .knob = "resuming stopped"
};

FIXTURE_VARIANT_ADD(transition, from_100_to_001) {
	.from = 4, .to = 1, .knob = "resuming running"
};

FIXTURE_SETUP(transition)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_RET(0, knob_all_off(&self->dev));
	enter(_metadata, &self->v1, variant->from, &self->stream);
}

FIXTURE_TEARDOWN(transition)
{
	knob_all_off(&self->dev);
	buffer_free(&self->stream);
	fixture_close(&self->dev, &self->v1);
}

/* Each attempt returns the errno. The state and the session must be intact afterwards. */
TEST_F(transition, fails_and_leaves_the_state_it_came_from)
{
	int i;

	ASSERT_RET(0, knob_set(&self->dev, "arcs", "%s fail %d times 2",
			       variant->knob, EBUSY));
	for (i = 0; i < 2; i++) {
		EXPECT_RET(-EBUSY, v1_set_state(&self->v1, variant->to));
		EXPECT_STATE(variant->from, &self->v1);
	}
	EXPECT_RET(0, v1_set_state(&self->v1, variant->to));
	EXPECT_STATE(variant->to, &self->v1);
}

TEST_F(transition, leaves_110_when_the_device_broke)
{
	ASSERT_RET(0, knob_set(&self->dev, "arcs", "%s break", variant->knob));
	EXPECT_RET(-EIO, v1_set_state(&self->v1, variant->to));
	EXPECT_STATE(V1_ERROR, &self->v1);
	EXPECT_RET(-EIO, v1_set_state(&self->v1, variant->to));
	ASSERT_RET(0, device_reset(&self->dev));
	EXPECT_STATE(V1_RUNNING, &self->v1);
}

TEST_F(transition, takes_longer)
{
	double begun;
	long ms;

	ASSERT_RET(0, knob_set(&self->dev, "arcs", "%s delay 300",
			       variant->knob));
	begun = clock_now();
	EXPECT_RET(0, v1_set_state(&self->v1, variant->to));
	ms = (clock_now() - begun) * 1000;
	EXPECT_LE(300, ms);
	EXPECT_STATE(variant->to, &self->v1);
}

/* A device in a state that the test chooses */

FIXTURE(fault) {
	struct device dev;
	struct v1 v1;
	struct v2 v2;
	bool has_v2;
	struct guest guest;
	struct buffer stream;
};

FIXTURE_SETUP(fault)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	self->has_v2 = !v2_open(&self->v2, &self->dev);
	ASSERT_RET(0, knob_all_off(&self->dev));
	ASSERT_EQ(0, fill_device(&self->dev, &self->guest));
}

FIXTURE_TEARDOWN(fault)
{
	knob_all_off(&self->dev);
	buffer_free(&self->stream);
	if (self->has_v2)
		v2_close(&self->v2);
	fixture_close(&self->dev, &self->v1);
	guest_destroy(&self->guest);
}

/* Checks that the device works for its user. */
static void check_runs(struct __test_metadata *_metadata, struct device *dev,
		       struct guest *guest)
{
	struct nvme nvme;
	void *buf;

	if (nvme_probe(dev))
		return;
	guest->used = 0;
	ASSERT_EQ(0, nvme_start(&nvme, dev, guest, 1, 16));
	buf = guest_alloc(guest, FILL_BYTES);
	EXPECT_EQ(0, nvme_io(&nvme, NVME_OP_READ, 0, FILL_BYTES / nvme.lba_size,
			     buf));
	EXPECT_EQ(-1, pattern_check(&nvme, buf, 0, FILL_BYTES / nvme.lba_size,
				    1));
	nvme_close(&nvme);
}

TEST_F(fault, a_device_runs_after_a_failed_transition)
{
	ASSERT_RET(0, knob_set(&self->dev, "arcs", "any any fail %d", ENOMEM));
	EXPECT_RET(-ENOMEM, v1_set_state(&self->v1, V1_STOPPED));
	EXPECT_RET(-ENOMEM, v1_set_state(&self->v1, V1_STOP_COPY));
	EXPECT_RET(-ENOMEM, v1_set_state(&self->v1, V1_RESUMING));
	check_runs(_metadata, &self->dev, &self->guest);
}

/* No mapping, session or data is lost, and the save continues. */
TEST_F(fault, a_failed_transition_leaves_the_iteration)
{
	struct buffer again = { 0 };
	ssize_t size;

	ASSERT_RET(0, v1_set_state(&self->v1, V1_PRE_COPY));
	size = v1_iteration(&self->v1, &self->stream);
	ASSERT_LT(0, size);
	ASSERT_RET(0, knob_set(&self->dev, "arcs",
			       "pre-copy any fail %d", EBUSY));
	EXPECT_RET(-EBUSY, v1_set_state(&self->v1, V1_STOP_COPY));
	EXPECT_RET(-EBUSY, v1_set_state(&self->v1, V1_RUNNING));
	EXPECT_EQ(size, v1_iteration(&self->v1, &again));
	EXPECT_EQ(0, memcmp(again.data, self->stream.data, size));
	buffer_free(&again);
	ASSERT_RET(0, knob_all_off(&self->dev));
	ASSERT_RET(0, v1_save(&self->v1, &self->stream));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	ASSERT_RET(0, v1_load(&self->v1, &self->stream, 0));
	EXPECT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
}

/* v2 goes through several transitions, and stops before the one that fails. */
TEST_F(fault, v2_stays_where_the_transition_failed)
{
	if (!self->has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	ASSERT_RET(0, knob_set(&self->dev, "arcs",
			       "stopped stop-and-copy fail %d times 1", EBUSY));
	EXPECT_RET(-EBUSY, v2_set_state(&self->v2, V2_STOP_COPY));
	EXPECT_EQ(V2_STOP, v2_get_state(&self->v2));
	EXPECT_EQ(-1, self->v2.data);
	EXPECT_RET(0, v2_set_state(&self->v2, V2_STOP_COPY));
	EXPECT_LE(0, self->v2.data);
	EXPECT_EQ(V2_STOP_COPY, v2_get_state(&self->v2));
}

TEST_F(fault, v2_shows_ERROR_when_the_device_broke)
{
	if (!self->has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	ASSERT_RET(0, knob_set(&self->dev, "arcs",
			       "stopped stop-and-copy break"));
	EXPECT_RET(-EIO, v2_set_state(&self->v2, V2_STOP_COPY));
	EXPECT_EQ(V2_ERROR, v2_get_state(&self->v2));
	EXPECT_STATE(V1_ERROR, &self->v1);
	EXPECT_RET(-EINVAL, v2_set_state(&self->v2, V2_RUNNING));
	EXPECT_EQ(V2_ERROR, v2_get_state(&self->v2));
	ASSERT_RET(0, device_reset(&self->dev));
	EXPECT_EQ(V2_RUNNING, v2_get_state(&self->v2));
}

TEST_F(fault, v2_file_is_dead_when_the_device_broke)
{
	char byte;

	if (!self->has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	ASSERT_RET(0, v2_set_state(&self->v2, V2_STOP_COPY));
	ASSERT_RET(1, v2_read(&self->v2, &byte, 1));
	ASSERT_RET(0, knob_set(&self->dev, "break", "1"));
	EXPECT_RET(-ENODEV, v2_read(&self->v2, &byte, 1));
	EXPECT_EQ(V2_ERROR, v2_get_state(&self->v2));
}

/* Loads the saved stream. Returns 0, or the errno of the commit or of the transition. */
static int load_result(struct v1 *v1, const struct buffer *stream)
{
	int ret = device_reset(v1->dev);

	if (!ret)
		ret = v1_load(v1, stream, 0);
	if (!ret)
		ret = v1_set_state(v1, V1_RUNNING);
	return ret;
}

static int save_again(struct v1 *v1, struct buffer *stream)
{
	int ret = device_reset(v1->dev);

	stream->len = 0;
	return ret ? ret : v1_save(v1, stream);
}

TEST_F(fault, a_chunk_that_was_dropped_is_missed)
{
	struct v1 *v1 = &self->v1;
	int nr, i;

	ASSERT_RET(0, save_again(v1, &self->stream));
	nr = stream_count(&self->stream, 0);
	ASSERT_LE(3, nr);
	for (i = 0; i < nr; i++) {
		ASSERT_RET(0, knob_set(&self->dev, "chunk", "%d drop", i));
		ASSERT_RET(0, save_again(v1, &self->stream));
		EXPECT_EQ(nr - 1, stream_count(&self->stream, 0));
		EXPECT_RET_FOR(i < nr - 1 ? -EILSEQ : -ENODATA,
			       load_result(v1, &self->stream), "chunk %d", i);
	}
	ASSERT_RET(0, knob_set(&self->dev, "chunk", "off"));
	ASSERT_RET(0, save_again(v1, &self->stream));
	EXPECT_RET(0, load_result(v1, &self->stream));
}

TEST_F(fault, a_chunk_that_was_damaged_is_refused)
{
	struct v1 *v1 = &self->v1;
	int nr, i;

	ASSERT_RET(0, save_again(v1, &self->stream));
	nr = stream_count(&self->stream, 0);
	for (i = 0; i < nr; i++) {
		ASSERT_RET(0, knob_set(&self->dev, "chunk", "%d damage", i));
		ASSERT_RET(0, save_again(v1, &self->stream));
		EXPECT_EQ(nr, stream_count(&self->stream, 0));
		EXPECT_RET_FOR(-EBADMSG, load_result(v1, &self->stream),
			       "chunk %d", i);
	}
}

TEST_F(fault, v2_hands_out_the_damage_too)
{
	if (!self->has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	ASSERT_RET(0, knob_set(&self->dev, "chunk", "1 drop"));
	ASSERT_RET(0, v2_save(&self->v2, &self->stream, 0));
	ASSERT_RET(0, v2_set_state(&self->v2, V2_RUNNING));
	EXPECT_RET(-EILSEQ, v2_load(&self->v2, &self->stream, 0));
}

static void check_time(struct __test_metadata *_metadata, double begun,
		       size_t bytes, const char *what)
{
	double took = clock_now() - begun;

	/* The first bytes may pass before the limit applies. */
	EXPECT_LE(bytes * 0.9 / MIB, took)
		TH_LOG("%s: %zu bytes in %.3f s", what, bytes, took);
	EXPECT_GE(bytes * 1.5 / MIB + 5, took)
		TH_LOG("%s: %zu bytes in %.3f s", what, bytes, took);
}

TEST_F(fault, the_data_path_has_no_more_than_its_bandwidth)
{
	struct v1 *v1 = &self->v1;
	double begun;

	ASSERT_RET(0, knob_set(&self->dev, "bandwidth", "%d", MIB));
	begun = clock_now();
	ASSERT_RET(0, v1_save(v1, &self->stream));
	check_time(_metadata, begun, self->stream.len, "saved");
	ASSERT_RET(0, v1_set_state(v1, V1_RUNNING));
	begun = clock_now();
	ASSERT_RET(0, v1_load(v1, &self->stream, 0));
	check_time(_metadata, begun, self->stream.len, "loaded");
	ASSERT_RET(0, v1_set_state(v1, V1_RUNNING));
	if (!self->has_v2)
		return;
	self->stream.len = 0;
	begun = clock_now();
	ASSERT_RET(0, v2_save(&self->v2, &self->stream, 0));
	check_time(_metadata, begun, self->stream.len, "saved by v2");
}

/* Starts a process that waits for the bandwidth, with the session mutex, for minutes. */
static pid_t start_slow_reader(struct __test_metadata *_metadata, struct _test_data_fault *self)
{
	pid_t pid;

	ASSERT_RET(0, v1_set_state(&self->v1, V1_PRE_COPY));
	ASSERT_RET(0, knob_set(&self->dev, "bandwidth", "1"));
	pid = child_start();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(v1_open_iteration(&self->v1) < 0);
	usleep(500000);
	return pid;
}

TEST_F_TIMEOUT(fault, a_reset_does_not_wait_for_the_bandwidth, 20)
{
	double begun;
	pid_t pid;

	pid = start_slow_reader(_metadata, self);
	EXPECT_EQ(0, waitpid(pid, NULL, WNOHANG))
		TH_LOG("the process does not wait");
	begun = clock_now();
	EXPECT_RET(0, device_reset(&self->dev));
	EXPECT_GT(8, clock_now() - begun)
		TH_LOG("the reset takes %.1f s", clock_now() - begun);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A reader had minutes to wait, and is killed. The next reader does not wait for them. */
TEST_F_TIMEOUT(fault, a_killed_reader_leaves_no_wait_to_others, 60)
{
	double begun;
	pid_t pid;

	pid = start_slow_reader(_metadata, self);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ASSERT_RET(0, knob_set(&self->dev, "bandwidth", "%d", MIB));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	begun = clock_now();
	ASSERT_RET(0, v1_save(&self->v1, &self->stream));
	check_time(_metadata, begun, self->stream.len, "saved");
}

TEST_F(fault, pending_bytes_is_what_it_is_told)
{
	static const __u32 states[] = { V1_PRE_COPY, V1_STOP_COPY };
	unsigned int i;

	ASSERT_RET(0, knob_set(&self->dev, "pending", "12345"));
	EXPECT_REG64(0, &self->v1, V1_PENDING_BYTES);
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		ASSERT_RET(0, v1_set_state(&self->v1, states[i]));
		EXPECT_REG64(12345, &self->v1, V1_PENDING_BYTES);
		ASSERT_LE(0, v1_drain(&self->v1, &self->stream));
		EXPECT_REG64(12345, &self->v1, V1_PENDING_BYTES);
	}
	/* A user that believes the 0 loses data. */
	ASSERT_RET(0, knob_set(&self->dev, "pending", "0"));
	ASSERT_RET(0, save_again(&self->v1, &self->stream));
	EXPECT_EQ(0, self->stream.len);
	EXPECT_LT(0, v1_iteration(&self->v1, &self->stream));
}

TEST_F(fault, PRECOPY_INFO_is_what_it_is_told)
{
	struct v2_precopy_info info;

	if (!self->has_v2 || !v2_has(&self->v2, V2_PRE_COPY))
		SKIP(return, "the device has no PRE_COPY");
	ASSERT_RET(0, knob_set(&self->dev, "pending", "12345"));
	ASSERT_RET(0, v2_set_state(&self->v2, V2_PRE_COPY));
	ASSERT_RET(0, v2_precopy_info(&self->v2, &info));
	EXPECT_EQ(12345, info.initial_bytes + info.dirty_bytes);
	ASSERT_LE(0, v2_drain(&self->v2, &self->stream, 0));
	ASSERT_RET(0, v2_precopy_info(&self->v2, &info));
	EXPECT_EQ(12345, info.initial_bytes + info.dirty_bytes);
}

TEST_F(fault, DATA_SIZE_is_what_it_is_told)
{
	__u64 size;

	if (!self->has_v2 || v2_data_size(&self->v2, &size) == -ENOTTY)
		SKIP(return, "this kernel has no MIG_DATA_SIZE");
	ASSERT_RET(0, knob_set(&self->dev, "data_size", "123456789012"));
	ASSERT_RET(0, v2_data_size(&self->v2, &size));
	EXPECT_EQ(123456789012, size);
}

TEST_F(fault, pages_change_at_a_rate)
{
	struct pages_total total;
	struct chunk c;
	double begun;

	if (nvme_probe(&self->dev))
		SKIP(return, "the device has no pages that hold something");
	ASSERT_RET(0, v1_set_state(&self->v1, V1_PRE_COPY));
	ASSERT_LT(0, v1_drain(&self->v1, &self->stream));
	ASSERT_RET(0, knob_set(&self->dev, "dirty_rate", "50"));
	self->stream.len = 0;
	begun = clock_now();
	usleep(2000000);
	ASSERT_LT(0, v1_drain(&self->v1, &self->stream));
	/*
	 * The buffer is only a part of a stream, but it has whole chunks, and only pages
	 * count.
	 */
	ASSERT_EQ(0, stream_pages(&self->stream, &total));
	EXPECT_LE(100, total.data);
	EXPECT_GE(50 * (clock_now() - begun) + 100, total.data);
	ASSERT_EQ(0, stream_find(&self->stream, CHUNK_PAGES, 0, &c));
	/* A stopped device changes nothing. */
	ASSERT_RET(0, v1_save(&self->v1, &self->stream));
	usleep(200000);
	EXPECT_REG64(0, &self->v1, V1_PENDING_BYTES);
}

/* The knobs themselves. */

static void check_text(struct __test_metadata *_metadata, struct device *dev,
		       const char *name, const char *want)
{
	char text[1024] = "";

	ASSERT_RET(0, knob_get(dev, name, text, sizeof(text)));
	EXPECT_STREQ(want, text);
}

TEST_F(fault, a_knob_shows_what_it_was_told)
{
	struct device *dev = &self->dev;

	check_text(_metadata, dev, "arcs", "");
	ASSERT_RET(0, knob_set(dev, "arcs", "running stopped fail 5\n"));
	ASSERT_RET(0, knob_set(dev, "arcs",
			       "any pre-copy delay 7 break times 3"));
	ASSERT_RET(0, knob_set(dev, "arcs", "resuming pre-copy"));
	ASSERT_RET(0, knob_set(dev, "arcs", "stop-and-copy pre-copy"));
	check_text(_metadata, dev, "arcs",
		   "stopped pre-copy delay 7 break times 3\n"
		   "running stopped fail 5\n"
		   "running pre-copy delay 7 break times 3\n"
		   "running-p2p pre-copy delay 7 break times 3\n"
		   "pre-copy-p2p pre-copy delay 7 break times 3\n");
	ASSERT_RET(0, knob_set(dev, "arcs", "off"));
	check_text(_metadata, dev, "arcs", "");

	check_text(_metadata, dev, "chunk", "off\n");
	ASSERT_RET(0, knob_set(dev, "chunk", "3 damage"));
	check_text(_metadata, dev, "chunk", "3 damage\n");
	check_text(_metadata, dev, "bandwidth", "off\n");
	ASSERT_RET(0, knob_set(dev, "bandwidth", "0x100000\n"));
	check_text(_metadata, dev, "bandwidth", "1048576\n");
}

TEST_F(fault, a_wrong_line_is_EINVAL_and_changes_nothing)
{
	static const struct {
		const char *name, *text;
	} wrong[] = {
		{ "arcs", "" }, { "arcs", "running" }, { "arcs", "running gone" },
		{ "arcs", "running error fail 5" },
		{ "arcs", "running stopped fail" },
		{ "arcs", "running stopped fail 0" },
		{ "arcs", "running stopped fail 4096" },
		{ "arcs", "running stopped fail EIO" },
		{ "arcs", "running stopped delay 600001" },
		{ "arcs", "running stopped burn 1" },
		{ "chunk", "1" }, { "chunk", "-1 drop" }, { "chunk", "1 eat" },
		{ "chunk", "1 drop it" },
		{ "bandwidth", "0" }, { "bandwidth", "fast" },
		{ "pending", "-1" }, { "data_size", "" },
		{ "dirty_rate", "99999999999" }, { "break", "0" },
	};
	struct device *dev = &self->dev;
	unsigned int i;

	ASSERT_RET(0, knob_set(dev, "arcs", "running stopped fail 5"));
	ASSERT_RET(0, knob_set(dev, "bandwidth", "77"));
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		/* A write of no bytes does not reach the driver. */
		EXPECT_RET_FOR(-EINVAL, knob_set(dev, wrong[i].name, "%s\n",
						 wrong[i].text),
			       "%s: %s", wrong[i].name, wrong[i].text);
	}
	check_text(_metadata, dev, "arcs", "running stopped fail 5\n");
	check_text(_metadata, dev, "chunk", "off\n");
	check_text(_metadata, dev, "bandwidth", "77\n");
	check_text(_metadata, dev, "pending", "off\n");
	check_text(_metadata, dev, "data_size", "off\n");
	check_text(_metadata, dev, "dirty_rate", "off\n");
	EXPECT_STATE(V1_RUNNING, &self->v1);
}

/* The error state, whatever its cause */

FIXTURE(error) {
	struct device dev;
	struct v1 v1;
	struct v2 v2;
	bool has_v2;
	struct buffer stream;
};

FIXTURE_VARIANT(error) {
	__u32 from;
};

FIXTURE_VARIANT_ADD(error, from_000) { .from = V1_STOPPED };
FIXTURE_VARIANT_ADD(error, from_001) { .from = V1_RUNNING };
FIXTURE_VARIANT_ADD(error, from_010) { .from = V1_STOP_COPY };
FIXTURE_VARIANT_ADD(error, from_011) { .from = V1_PRE_COPY };
FIXTURE_VARIANT_ADD(error, from_100) { .from = V1_RESUMING };

FIXTURE_SETUP(error)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	self->has_v2 = !v2_open(&self->v2, &self->dev);
	ASSERT_RET(0, v1_map(&self->v1));
	enter(_metadata, &self->v1, variant->from, &self->stream);
	if (variant->from == V1_STOP_COPY || variant->from == V1_PRE_COPY)
		ASSERT_LT(0, v1_iteration(&self->v1, &self->stream));
	ASSERT_RET(0, knob_set(&self->dev, "break", "1"));
	ASSERT_STATE(V1_ERROR, &self->v1);
}

FIXTURE_TEARDOWN(error)
{
	buffer_free(&self->stream);
	if (self->has_v2)
		v2_close(&self->v2);
	fixture_close(&self->dev, &self->v1);
}

TEST_F(error, every_write_is_EIO)
{
	static const __u32 values[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x80000001 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		EXPECT_RET_FOR(-EIO, v1_set_state(&self->v1, values[i]),
			       "to %s", v1_state_name(values[i]));
		EXPECT_STATE(V1_ERROR, &self->v1);
	}
}

TEST_F(error, registers_read_0)
{
	EXPECT_REG64(0, &self->v1, V1_PENDING_BYTES);
	EXPECT_REG64(0, &self->v1, V1_DATA_OFFSET);
	EXPECT_REG64(0, &self->v1, V1_DATA_SIZE);
	EXPECT_REG64(0, &self->v1, V1_PENDING_BYTES);
}

TEST_F(error, data_size_and_data_section_are_EINVAL)
{
	char byte = 0;

	EXPECT_RET(-EINVAL, v1_write_data_size(&self->v1, 0));
	EXPECT_RET(-EINVAL, v1_write_data_size(&self->v1, 1));
	EXPECT_RET(-EINVAL, v1_read_data(&self->v1, 0, &byte, 1));
	EXPECT_RET(-EINVAL, v1_write_data(&self->v1, 0, &byte, 1));
}

TEST_F(error, mapping_is_SIGBUS)
{
	unsigned char byte, *map = self->v1.map;

	EXPECT_RET(-EFAULT, poke_load(map, &byte));
	EXPECT_RET(-EFAULT, poke_store(map, 0));
	EXPECT_RET(-EFAULT, poke_load(map + self->v1.window - 1, &byte));
}

TEST_F(error, v2_shows_ERROR)
{
	__u32 to;

	if (!self->has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	EXPECT_EQ(V2_ERROR, v2_get_state(&self->v2));
	for (to = V2_STOP; to < V2_NR_STATES; to++)
		EXPECT_RET_FOR(-EINVAL, v2_set_state(&self->v2, to), "to %s",
			       v2_state_name(to));
	EXPECT_EQ(V2_ERROR, v2_get_state(&self->v2));
}

/* Afterwards the device works like any other. */
TEST_F(error, a_reset_is_the_way_out)
{
	ASSERT_RET(0, device_reset(&self->dev));
	EXPECT_STATE(V1_RUNNING, &self->v1);
	self->stream.len = 0;
	ASSERT_RET(0, v1_save(&self->v1, &self->stream));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	ASSERT_RET(0, v1_load(&self->v1, &self->stream, 0));
	EXPECT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
}

TEST_F(error, close_and_open_leads_to_001)
{
	fixture_close(&self->dev, &self->v1);
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
}

static void need_knobs(void)
{
	suite_need_stream();
	if (knob_there(suite_device()))
		return;
	ksft_print_header();
	ksft_exit_skip("no fault knobs: CONFIG_VFIO_MIG_CORE_FAULT_KNOBS\n");
}

SUITE_MAIN(need_knobs())
