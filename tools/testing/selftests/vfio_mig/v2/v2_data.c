// SPDX-License-Identifier: GPL-2.0-only
/* The v2 data file descriptor, and sessions of v1 and v2 on one device */
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/bar.h"
#include "lib/fixture.h"
#include "lib/stream.h"
#include "lib/v2.h"

FIXTURE(data) {
	struct device dev;
	struct v2 v2;
	struct buffer stream;
	char byte;
};

FIXTURE_SETUP(data)
{
	ASSERT_RET(0, device_open(&self->dev, suite_device()));
	ASSERT_RET(0, v2_open(&self->v2, &self->dev));
}

/* A reset, because some drivers keep a session across a close */
FIXTURE_TEARDOWN(data)
{
	device_reset(&self->dev);
	buffer_free(&self->stream);
	v2_close(&self->v2);
	device_close(&self->dev);
}

static short polled(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

TEST_F(data, STOP_COPY_reads_to_the_end_and_stays_there)
{
	ASSERT_RET(0, v2_save(&self->v2, &self->stream, 0));
	EXPECT_LT(0, self->stream.len);
	EXPECT_RET(0, v2_read(&self->v2, &self->byte, 1));
	EXPECT_RET(0, v2_read(&self->v2, &self->byte, 1));
}

TEST_F(data, a_saving_file_cannot_be_written)
{
	ASSERT_RET(0, v2_set_state(&self->v2, V2_STOP_COPY));
	EXPECT_RET(-EBADF, v2_write(&self->v2, &self->byte, 1));
}

TEST_F(data, a_resuming_file_cannot_be_read)
{
	ASSERT_RET(0, v2_set_state(&self->v2, V2_RESUMING));
	EXPECT_RET(-EBADF, v2_read(&self->v2, &self->byte, 1));
}

TEST_F(data, no_seek_and_no_position)
{
	ASSERT_RET(0, v2_set_state(&self->v2, V2_STOP_COPY));
	EXPECT_EQ(-1, lseek(self->v2.data, 0, SEEK_SET));
	EXPECT_EQ(-1, pread(self->v2.data, &self->byte, 1, 0));
}

TEST_F(data, a_bad_buffer_is_EFAULT_and_loses_nothing)
{
	struct chunk c;

	ASSERT_RET(0, v2_set_state(&self->v2, V2_STOP_COPY));
	EXPECT_RET(-EFAULT, v2_read(&self->v2, (void *)8, 4096));
	ASSERT_LT(0, v2_drain(&self->v2, &self->stream, 0));
	EXPECT_EQ(0, stream_chunk(&self->stream, 0, &c));
	EXPECT_EQ(CHUNK_HEADER, c.hdr->type);
}

TEST_F(data, a_file_is_dead_after_its_session)
{
	int i;

	for (i = 0; i < 4; i++) {
		ASSERT_RET(0, v2_set_state(&self->v2, V2_STOP_COPY));
		if (i == 0)
			ASSERT_RET(0, v2_set_state(&self->v2, V2_STOP));
		else if (i == 1)
			ASSERT_RET(0, v2_set_state(&self->v2, V2_RUNNING));
		else if (i == 2)
			ASSERT_RET(0, device_reset(&self->dev));
		else
			device_close(&self->dev);
		EXPECT_RET_FOR(-ENODEV, v2_read(&self->v2, &self->byte, 1),
			       "case %d", i);
		EXPECT_TRUE(polled(self->v2.data) & POLLERR);
	}
}

TEST_F(data, a_dead_file_stays_dead_in_the_next_session)
{
	int old;

	ASSERT_RET(0, v2_set_state(&self->v2, V2_STOP_COPY));
	old = dup(self->v2.data);
	ASSERT_RET(0, v2_set_state(&self->v2, V2_STOP));
	ASSERT_RET(0, v2_set_state(&self->v2, V2_STOP_COPY));
	EXPECT_EQ(-1, read(old, &self->byte, 1));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_RET(1, v2_read(&self->v2, &self->byte, 1));
	close(old);
}

TEST_F(data, closing_the_file_does_not_end_the_session)
{
	ASSERT_RET(0, v2_set_state(&self->v2, V2_STOP_COPY));
	v2_close(&self->v2);
	EXPECT_EQ(V2_STOP_COPY, v2_get_state(&self->v2));
	EXPECT_RET(0, v2_set_state(&self->v2, V2_RUNNING));
}

TEST_F(data, PRE_COPY_with_nothing_for_now_is_ENOMSG)
{
	struct v2_precopy_info info;

	if (!v2_has(&self->v2, V2_PRE_COPY))
		SKIP(return, "the device has no PRE_COPY");
	ASSERT_RET(0, v2_set_state(&self->v2, V2_PRE_COPY));
	EXPECT_TRUE(polled(self->v2.data) & POLLIN);
	ASSERT_LE(0, v2_drain(&self->v2, &self->stream, 0));
	EXPECT_RET(-ENOMSG, v2_read(&self->v2, &self->byte, 1));
	EXPECT_EQ(0, polled(self->v2.data));
	ASSERT_RET(0, v2_precopy_info(&self->v2, &info));
	EXPECT_EQ(0, info.initial_bytes);
	EXPECT_EQ(0, info.dirty_bytes);
	/* The same file returns the rest of the stream. */
	ASSERT_RET(0, v2_set_state(&self->v2, V2_STOP_COPY));
	EXPECT_TRUE(polled(self->v2.data) & POLLIN);
	EXPECT_RET(1, v2_read(&self->v2, &self->byte, 1));
}

TEST_F(data, PRECOPY_INFO_tells_what_read_gives)
{
	struct v2_precopy_info info;
	ssize_t got;

	if (!v2_has(&self->v2, V2_PRE_COPY))
		SKIP(return, "the device has no PRE_COPY");
	ASSERT_RET(0, bar_fill(&self->dev, 0x3c));
	ASSERT_RET(0, v2_set_state(&self->v2, V2_PRE_COPY));
	ASSERT_RET(0, v2_precopy_info(&self->v2, &info));
	EXPECT_LT(0, info.initial_bytes);
	EXPECT_EQ(0, info.dirty_bytes);
	got = v2_drain(&self->v2, &self->stream, 0);
	/* The estimate may leave out the headers of chunks. */
	EXPECT_LE(info.initial_bytes, got);
	EXPECT_GE(info.initial_bytes + info.initial_bytes / 8 + 65536, got);
}

TEST_F(data, PRECOPY_INFO_is_EINVAL_outside_of_pre_copy)
{
	struct v2_precopy_info info;

	if (!v2_has(&self->v2, V2_PRE_COPY))
		SKIP(return, "the device has no PRE_COPY");
	ASSERT_RET(0, v2_set_state(&self->v2, V2_STOP_COPY));
	EXPECT_RET(-EINVAL, v2_precopy_info(&self->v2, &info));
}

TEST_F(data, DATA_SIZE_is_a_true_estimate)
{
	__u64 size;
	int ret;

	ASSERT_RET(0, bar_fill(&self->dev, 0x3c));
	ret = v2_data_size(&self->v2, &size);
	if (ret == -ENOTTY)
		SKIP(return, "this kernel has no MIG_DATA_SIZE");
	ASSERT_RET(0, ret);
	ASSERT_RET(0, v2_save(&self->v2, &self->stream, 0));
	EXPECT_GE(size + size / 8 + 65536, self->stream.len);
	EXPECT_LE(size, self->stream.len + self->stream.len / 8 + 65536);
	ASSERT_RET(0, v2_data_size(&self->v2, &size));
	EXPECT_EQ(0, size);
}

TEST_F(data, any_portions_load)
{
	static const size_t portions[] = { 1, 7, 4095, 0 };
	unsigned int i;

	ASSERT_RET(0, v2_save(&self->v2, &self->stream, 333));
	for (i = 0; i < ARRAY_SIZE(portions); i++) {
		ASSERT_RET_FOR(0, v2_load(&self->v2, &self->stream,
					  portions[i]),
			       "portions of %zu", portions[i]);
		ASSERT_RET(0, v2_set_state(&self->v2, V2_RUNNING));
	}
}

TEST_F(data, transition_repeats_the_error_of_write)
{
	int i;

	ASSERT_RET(0, v2_save(&self->v2, &self->stream, 0));
	self->stream.data[0] ^= 1;
	for (i = 0; i < 2; i++) {
		EXPECT_RET(-EBADMSG, v2_load(&self->v2, &self->stream, 0));
		EXPECT_RET(-EBADMSG, v2_set_state(&self->v2, V2_RUNNING));
		EXPECT_EQ(V2_RESUMING, v2_get_state(&self->v2));
		EXPECT_RET(-EBADMSG, v2_write(&self->v2, self->stream.data, 1));
		ASSERT_RET(0, device_reset(&self->dev));
	}
}

TEST_F(data, an_incomplete_stream_is_ENODATA)
{
	ASSERT_RET(0, v2_save(&self->v2, &self->stream, 0));
	self->stream.len -= 8;
	ASSERT_RET(0, v2_load(&self->v2, &self->stream, 0));
	EXPECT_RET(-ENODATA, v2_set_state(&self->v2, V2_RUNNING));
	EXPECT_EQ(V2_RESUMING, v2_get_state(&self->v2));
}

TEST_F(data, process_death_ends_the_session)
{
	pid_t child;
	int status;

	device_close(&self->dev);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (device_open(&self->dev, suite_device()) ||
		    v2_open(&self->v2, &self->dev) ||
		    v2_set_state(&self->v2, V2_STOP_COPY))
			_exit(1);
		raise(SIGKILL);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status))
		TH_LOG("the process began no session");
	ASSERT_RET(0, device_open(&self->dev, suite_device()));
	EXPECT_EQ(V2_RUNNING, v2_get_state(&self->v2));
}

/* Each test checks this, because older harnesses run a test after a SKIP in its setup. */
#define NO_V1	"the device has no v1 migration region"

FIXTURE(both) {
	struct device dev;
	bool has_v1;
	struct v1 v1;
	struct v2 v2;
	struct buffer stream;
};

FIXTURE_SETUP(both)
{
	ASSERT_RET(0, device_open(&self->dev, suite_device()));
	ASSERT_RET(0, v2_open(&self->v2, &self->dev));
	self->has_v1 = !v1_open(&self->v1, &self->dev);
}

FIXTURE_TEARDOWN(both)
{
	device_reset(&self->dev);
	buffer_free(&self->stream);
	v1_close(&self->v1);
	v2_close(&self->v2);
	device_close(&self->dev);
}

TEST_F(both, what_the_one_does_the_other_shows)
{
	if (!self->has_v1)
		SKIP(return, NO_V1);
	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOPPED));
	EXPECT_EQ(V2_STOP, v2_get_state(&self->v2));
	ASSERT_RET(0, v2_set_state(&self->v2, V2_RUNNING));
	EXPECT_STATE(V1_RUNNING, &self->v1);
	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOP_COPY));
	EXPECT_EQ(V2_STOP_COPY, v2_get_state(&self->v2));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	ASSERT_RET(0, v2_set_state(&self->v2, V2_RESUMING));
	EXPECT_STATE(V1_RESUMING, &self->v1);
	ASSERT_RET(0, device_reset(&self->dev));
	if (!v2_has(&self->v2, V2_RUNNING_P2P))
		return;
	ASSERT_RET(0, v2_set_state(&self->v2, V2_RUNNING_P2P));
	EXPECT_STATE(V1_RUNNING, &self->v1);
	if (!v2_has(&self->v2, V2_PRE_COPY))
		return;
	ASSERT_RET(0, v2_set_state(&self->v2, V2_PRE_COPY_P2P));
	EXPECT_STATE(V1_PRE_COPY, &self->v1);
}

TEST_F(both, v1_in_011_shows_as_PRE_COPY)
{
	if (!self->has_v1)
		SKIP(return, NO_V1);
	if (!v2_has(&self->v2, V2_PRE_COPY))
		SKIP(return, "the device has no PRE_COPY");
	ASSERT_RET(0, v1_set_state(&self->v1, V1_PRE_COPY));
	EXPECT_EQ(V2_PRE_COPY, v2_get_state(&self->v2));
}

/* A state that the device does not offer is EINVAL, also if v1 has led the device there. */
TEST_F(both, v1_in_011_leads_v2_to_no_unknown_state)
{
	if (!self->has_v1)
		SKIP(return, NO_V1);
	if (v2_has(&self->v2, V2_PRE_COPY))
		SKIP(return, "the device has PRE_COPY");
	ASSERT_RET(0, v1_set_state(&self->v1, V1_PRE_COPY));
	EXPECT_RET(-EINVAL, v2_set_state(&self->v2, V2_PRE_COPY));
	EXPECT_RET(-EINVAL, v2_set_state(&self->v2, V2_PRE_COPY_P2P));
	EXPECT_EQ(V2_RUNNING, v2_get_state(&self->v2));
	EXPECT_STATE(V1_PRE_COPY, &self->v1);
}

TEST_F(both, v2_gets_EBUSY_in_a_session_of_v1)
{
	static const __u32 states[] = { V1_STOP_COPY, V1_PRE_COPY, V1_RESUMING };
	unsigned int i;

	if (!self->has_v1)
		SKIP(return, NO_V1);
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		ASSERT_RET(0, v1_set_state(&self->v1, states[i]));
		EXPECT_RET(-EBUSY, v2_set_state(&self->v2, V2_STOP));
		EXPECT_RET(-EBUSY, v2_set_state(&self->v2, V2_RUNNING));
		EXPECT_STATE(states[i], &self->v1);
		ASSERT_RET(0, device_reset(&self->dev));
	}
}

TEST_F(both, v1_gets_EBUSY_in_a_session_of_v2)
{
	static const __u32 states[] = { V2_STOP_COPY, V2_RESUMING,
					V2_RUNNING_P2P, V2_PRE_COPY,
					V2_PRE_COPY_P2P };
	unsigned int i;

	if (!self->has_v1)
		SKIP(return, NO_V1);
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		if (!v2_has(&self->v2, states[i]))
			continue;
		ASSERT_RET(0, v2_set_state(&self->v2, states[i]));
		EXPECT_RET_FOR(-EBUSY, v1_set_state(&self->v1, V1_STOPPED),
			       "in %s", v2_state_name(states[i]));
		EXPECT_REG64(0, &self->v1, V1_PENDING_BYTES);
		EXPECT_REG64(0, &self->v1, V1_DATA_OFFSET);
		EXPECT_EQ(states[i], v2_get_state(&self->v2));
		ASSERT_RET(0, device_reset(&self->dev));
	}
}

TEST_F(both, saved_by_v1_loads_by_v2)
{
	if (!self->has_v1)
		SKIP(return, NO_V1);
	ASSERT_RET(0, v1_save(&self->v1, &self->stream));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	ASSERT_RET(0, v2_load(&self->v2, &self->stream, 0));
	EXPECT_RET(0, v2_set_state(&self->v2, V2_RUNNING));
}

TEST_F(both, saved_by_v2_loads_by_v1)
{
	if (!self->has_v1)
		SKIP(return, NO_V1);
	ASSERT_RET(0, v2_save(&self->v2, &self->stream, 0));
	ASSERT_RET(0, v2_set_state(&self->v2, V2_RUNNING));
	ASSERT_RET(0, v1_load(&self->v1, &self->stream, 0));
	EXPECT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
}

SUITE_MAIN(suite_need_v2())
