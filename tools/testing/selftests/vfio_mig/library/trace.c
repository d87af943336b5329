// SPDX-License-Identifier: GPL-2.0-only
/*
 * The trace events vfio_mig:* with their fields, and the files in the device's directory
 * "migration", which show a migration to an administrator
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fill.h"
#include "lib/fixture.h"
#include "lib/stream.h"
#include "lib/v2.h"

/* A separate tracing instance, so that other traces are not disturbed. */
#define INSTANCE	"instances/vfio_mig_selftest"
/* Space for a device's name in an event */
#define NAME_MAX_LEN	39

/* The directory of tracefs, or NULL. It is determined once, before the tests. */
static const char *tracefs;

static const char *find_tracefs(void)
{
	static const char * const places[] = {
		"/sys/kernel/tracing", "/sys/kernel/debug/tracing",
	};
	char path[PATH_MAX];
	unsigned int i;

	/* It is usually mounted already. If the mount fails, the check below notices it. */
	mount("tracefs", places[0], "tracefs", 0, NULL);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(path, sizeof(path), "%s/events/vfio_mig", places[i]);
		if (!access(path, F_OK))
			return places[i];
	}
	return NULL;
}

static void trace_path(char path[PATH_MAX], const char *name)
{
	snprintf(path, PATH_MAX, "%s/" INSTANCE "/%s", tracefs, name);
}

static int trace_start(void)
{
	char path[PATH_MAX];
	ssize_t ret;
	int fd;

	/* An instance that an earlier test left has old events. */
	trace_path(path, "");
	rmdir(path);
	if (mkdir(path, 0700))
		return -errno;
	trace_path(path, "events/vfio_mig/enable");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = write(fd, "1", 1);
	close(fd);
	return ret == 1 ? 0 : -EIO;
}

static void trace_stop(void)
{
	char path[PATH_MAX];

	trace_path(path, "");
	rmdir(path);
}

/* Returns whether the line ends with ": " and @what, the event with all of its fields. */
static bool line_is(const char *line, const char *what)
{
	size_t len = strcspn(line, "\n"), want = strlen(what);

	return len > want + 2 && line[0] != '#' &&
	       !strncmp(line + len - want, what, want) &&
	       !strncmp(line + len - want - 2, ": ", 2);
}

/* Returns how many lines of the trace are @what, or a negative errno. */
static int count_lines(const char *what)
{
	char path[PATH_MAX], line[512];
	FILE *file;
	int n = 0;

	trace_path(path, "trace");
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		n += line_is(line, what);
	fclose(file);
	return n;
}

/* The trace has the event "EVENT: NAME: " with its fields so often. */
static void traced(struct __test_metadata *_metadata, const struct device *dev,
		   int times, const char *event, const char *fmt, ...)
{
	const char *name = strrchr(dev->path, '/');
	char fields[160], what[256];
	va_list args;
	int seen;

	va_start(args, fmt);
	vsnprintf(fields, sizeof(fields), fmt, args);
	va_end(args);
	snprintf(what, sizeof(what), "%s: %.*s: %s", event, NAME_MAX_LEN,
		 name ? name + 1 : dev->path, fields);
	seen = count_lines(what);
	EXPECT_EQ(times, seen)
		TH_LOG("\"%s\": expected %d times, saw %d", what, times, seen);
}

FIXTURE(events) {
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct buffer stream;
};

FIXTURE_SETUP(events)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_EQ(0, fill_device(&self->dev, &self->guest));
	ASSERT_RET(0, trace_start());
}

FIXTURE_TEARDOWN(events)
{
	trace_stop();
	buffer_free(&self->stream);
	fixture_close(&self->dev, &self->v1);
	guest_destroy(&self->guest);
}

TEST_F(events, each_transition)
{
	static const struct {
		__u32 to;
		const char *transition;
	} walk[] = {
		{ V1_STOPPED,	"running -> stopped" },
		{ V1_STOP_COPY,	"stopped -> stop-and-copy" },
		{ V1_RUNNING,	"stop-and-copy -> running" },
		{ V1_PRE_COPY,	"running -> pre-copy" },
		{ V1_STOP_COPY,	"pre-copy -> stop-and-copy" },
		{ V1_STOPPED,	"stop-and-copy -> stopped" },
		{ V1_RESUMING,	"stopped -> resuming" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(walk); i++) {
		traced(_metadata, &self->dev, 0, "vfio_mig_state",
		       "%s by v1: 0", walk[i].transition);
		ASSERT_RET(0, v1_set_state(&self->v1, walk[i].to));
		traced(_metadata, &self->dev, 1, "vfio_mig_state",
		       "%s by v1: 0", walk[i].transition);
	}
}

/* The transition was tried, and the event has the errno. */
TEST_F(events, a_transition_that_fails)
{
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
	ASSERT_RET(-ENODATA, v1_set_state(&self->v1, V1_RUNNING));
	traced(_metadata, &self->dev, 1, "vfio_mig_state",
	       "resuming -> running by v1: %d", -ENODATA);
}

TEST_F(events, a_transition_of_v2)
{
	struct v2 v2;

	if (v2_open(&v2, &self->dev))
		SKIP(return, "the device does not speak the v2 protocol");
	ASSERT_RET(0, v2_set_state(&v2, V2_STOP_COPY));
	/* The transition has intermediate states. */
	traced(_metadata, &self->dev, 1, "vfio_mig_state",
	       "stopped -> stop-and-copy by v2: 0");
	v2_close(&v2);
}

TEST_F(events, an_iteration)
{
	__u64 pending;
	ssize_t size;

	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOP_COPY));
	size = v1_iteration(&self->v1, &self->stream);
	ASSERT_LT(0, size);
	traced(_metadata, &self->dev, 1, "vfio_mig_iteration_open",
	       "%zd bytes", size);
	traced(_metadata, &self->dev, 0, "vfio_mig_iteration_conclude",
	       "%zd bytes", size);
	ASSERT_RET(0, v1_pending(&self->v1, &pending));
	traced(_metadata, &self->dev, 1, "vfio_mig_iteration_conclude",
	       "%zd bytes", size);
	traced(_metadata, &self->dev, 0, "vfio_mig_breach",
	       "%zd bytes", size);
}

TEST_F(events, a_breach)
{
	__u64 offset, size, pending;

	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOP_COPY));
	ASSERT_RET(0, v1_data_offset(&self->v1, &offset));
	ASSERT_RET(0, v1_data_size(&self->v1, &size));
	ASSERT_RET(0, v1_pending(&self->v1, &pending));
	traced(_metadata, &self->dev, 1, "vfio_mig_breach",
	       "%llu bytes", size);
	traced(_metadata, &self->dev, 1, "vfio_mig_iteration_conclude",
	       "%llu bytes", size);
}

/* Each portion, and the refused portion with its errno */
TEST_F(events, a_commit)
{
	struct buffer *s = &self->stream;
	size_t rest;

	ASSERT_RET(0, v1_save(&self->v1, s));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
	ASSERT_LT(24, s->len);
	rest = s->len < 524 ? s->len - 24 : 500;
	ASSERT_RET(0, v1_feed(&self->v1, s->data, 11, 0));
	traced(_metadata, &self->dev, 1, "vfio_mig_commit",
	       "11 bytes: 0");
	ASSERT_RET(0, v1_feed(&self->v1, s->data + 11, 13, 0));
	traced(_metadata, &self->dev, 1, "vfio_mig_commit",
	       "13 bytes: 0");
	s->data[24] ^= 1;
	ASSERT_RET(-EBADMSG, v1_feed(&self->v1, s->data + 24, rest, 0));
	traced(_metadata, &self->dev, 1, "vfio_mig_commit",
	       "%zu bytes: %d", rest, -EBADMSG);
}

/* The files of the directory "migration" */

FIXTURE(counters) {
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct buffer stream;
};

FIXTURE_SETUP(counters)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_EQ(0, fill_device(&self->dev, &self->guest));
}

FIXTURE_TEARDOWN(counters)
{
	buffer_free(&self->stream);
	fixture_close(&self->dev, &self->v1);
	guest_destroy(&self->guest);
}

static long long counter(struct __test_metadata *_metadata,
			 struct device *dev, const char *name)
{
	char path[64];
	long long value;

	snprintf(path, sizeof(path), "migration/%s", name);
	value = device_counter(dev, path);
	ASSERT_LE(0, value)
		TH_LOG("%s: %s", path, errname(value));
	return value;
}

#define COUNTER(name)	counter(_metadata, &self->dev, name)

/* Compares a file's text, without the newline. */
static bool file_is(const struct device *dev, const char *name,
		    const char *want)
{
	char path[PATH_MAX + 64], text[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/migration/%s", dev->path, name);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(text, sizeof(text), file))
		text[0] = 0;
	fclose(file);
	text[strcspn(text, "\n")] = 0;
	return !strcmp(text, want);
}

static void check_file(struct __test_metadata *_metadata,
		       const struct device *dev, const char *name,
		       const char *want)
{
	EXPECT_TRUE(file_is(dev, name, want))
		TH_LOG("migration/%s is not \"%s\"", name, want);
}

TEST_F(counters, state_and_owner)
{
	static const struct {
		__u32 to;
		const char *state, *owner;
	} walk[] = {
		{ V1_RUNNING,	"running", "none" },
		{ V1_STOPPED,	"stopped", "none" },
		{ V1_RUNNING,	"running", "none" },
		{ V1_PRE_COPY,	"pre-copy", "v1" },
		{ V1_STOP_COPY,	"stop-and-copy", "v1" },
		{ V1_STOPPED,	"stopped", "none" },
		{ V1_RESUMING,	"resuming", "v1" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(walk); i++) {
		ASSERT_RET(0, v1_set_state(&self->v1, walk[i].to));
		check_file(_metadata, &self->dev, "state", walk[i].state);
		check_file(_metadata, &self->dev, "owner", walk[i].owner);
	}
	ASSERT_RET(0, device_reset(&self->dev));
	check_file(_metadata, &self->dev, "state", "running");
	check_file(_metadata, &self->dev, "owner", "none");
	fixture_close(&self->dev, &self->v1);
	check_file(_metadata, &self->dev, "state", "closed");
}

TEST_F(counters, owner_is_v2_in_its_session)
{
	struct v2 v2;

	if (v2_open(&v2, &self->dev))
		SKIP(return, "the device does not speak the v2 protocol");
	ASSERT_RET(0, v2_set_state(&v2, V2_STOP_COPY));
	check_file(_metadata, &self->dev, "state", "stop-and-copy");
	check_file(_metadata, &self->dev, "owner", "v2");
	v2_close(&v2);
}

TEST_F(counters, saves_counts_each_begun)
{
	long long before = COUNTER("saves");

	ASSERT_RET(0, v1_set_state(&self->v1, V1_PRE_COPY));
	EXPECT_EQ(before + 1, COUNTER("saves"));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOP_COPY));
	EXPECT_EQ(before + 1, COUNTER("saves"));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOP_COPY));
	EXPECT_EQ(before + 2, COUNTER("saves"));
}

TEST_F(counters, iterations_counts_each_opened)
{
	long long before = COUNTER("iterations");
	__u64 pending;

	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOP_COPY));
	EXPECT_EQ(before, COUNTER("iterations"));
	ASSERT_LT(0, v1_iteration(&self->v1, &self->stream));
	ASSERT_LT(0, v1_iteration(&self->v1, &self->stream));
	EXPECT_EQ(before + 1, COUNTER("iterations"));
	ASSERT_RET(0, v1_pending(&self->v1, &pending));
	/* A small state is sent in one iteration, so the next one is of another save. */
	if (!pending) {
		ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
		ASSERT_RET(0, v1_set_state(&self->v1, V1_STOP_COPY));
	}
	ASSERT_LT(0, v1_iteration(&self->v1, &self->stream));
	EXPECT_EQ(before + 2, COUNTER("iterations"));
}

TEST_F(counters, bytes_read_while_running_and_while_stopped)
{
	long long running = COUNTER("precopy_bytes");
	long long stopped = COUNTER("stopcopy_bytes");
	ssize_t early, late;

	ASSERT_RET(0, v1_set_state(&self->v1, V1_PRE_COPY));
	early = v1_drain(&self->v1, &self->stream);
	ASSERT_LT(0, early);
	EXPECT_EQ(running + early, COUNTER("precopy_bytes"));
	EXPECT_EQ(stopped, COUNTER("stopcopy_bytes"));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOP_COPY));
	late = v1_drain(&self->v1, &self->stream);
	ASSERT_LT(0, late);
	EXPECT_EQ(running + early, COUNTER("precopy_bytes"));
	EXPECT_EQ(stopped + late, COUNTER("stopcopy_bytes"));
}

TEST_F(counters, read_bytes_counts_system_calls_only)
{
	long long before = COUNTER("read_bytes");
	ssize_t size;

	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOP_COPY));
	size = v1_iteration(&self->v1, &self->stream);
	ASSERT_LT(0, size);
	EXPECT_EQ(before + size, COUNTER("read_bytes"));
	ASSERT_RET(0, v1_map(&self->v1));
	ASSERT_LT(0, v1_iteration(&self->v1, &self->stream));
	EXPECT_EQ(before + size, COUNTER("read_bytes"));
}

TEST_F(counters, pages_sent_counts_pages_with_data)
{
	long long before = COUNTER("pages_sent");
	struct pages_total total;

	ASSERT_RET(0, v1_save(&self->v1, &self->stream));
	ASSERT_EQ(0, stream_pages(&self->stream, &total));
	EXPECT_EQ(before + (long long)total.data, COUNTER("pages_sent"));
}

TEST_F(counters, resume_bytes_and_loads)
{
	long long bytes = COUNTER("resume_bytes"), loads = COUNTER("loads");
	struct buffer *s = &self->stream;

	ASSERT_RET(0, v1_save(&self->v1, s));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RESUMING));
	ASSERT_RET(0, v1_feed(&self->v1, s->data, 100, 0));
	EXPECT_EQ(bytes + 100, COUNTER("resume_bytes"));
	ASSERT_RET(0, v1_feed(&self->v1, s->data + 100, s->len - 100, 0));
	EXPECT_EQ(bytes + (long long)s->len, COUNTER("resume_bytes"));
	/* The load takes effect when the device leaves 100. */
	EXPECT_EQ(loads, COUNTER("loads"));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	EXPECT_EQ(loads + 1, COUNTER("loads"));
}

/* v1_sequence tests the counters breaches and refused. */

static void need_trace(void)
{
	suite_need_stream();
	tracefs = find_tracefs();
	if (tracefs)
		return;
	ksft_print_header();
	ksft_exit_skip("no trace events vfio_mig in tracefs\n");
}

SUITE_MAIN(need_trace())
