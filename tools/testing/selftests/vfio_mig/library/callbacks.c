// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lets each callback of a vendor driver fail, at each of its calls in a migration. The user
 * must get the error, and the device must be in the state that the uapi defines. A reset
 * must help, and the library must end each operation that it has begun.
 */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/child.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/stream.h"
#include "lib/suite.h"
#include "lib/testdev.h"

#define SEED	77
#define SIZE	(2 * TESTDEV_PIECE)
/* Exceeds the number of calls of any callback in one migration */
#define CALLS	64

static struct mdev mdev[2];

/**
 * enum effect - the effect of a callback that fails
 * @KEEPS: the call fails, the state stays, and the same call succeeds when it is repeated
 * @REFUSES: the device refuses the stream, and only a reset helps
 * @BREAKS: the device enters the error state, and only a reset helps
 */
enum effect { KEEPS, REFUSES, BREAKS };

struct pair {
	struct testdev a, b;
	struct buffer stream;
};

FIXTURE(callback) {
	struct pair p;
};

/* A fault and its effect */
struct what {
	const char *name;
	const char *action;
	int target;		/* the target's driver fails, not the source's */
	enum effect effect;
	int want;		/* 0: any error */
};

FIXTURE_VARIANT(callback) {
	struct what what;
};

/*
 * The library itself never returns ENXIO. If the device breaks in a call, the session ends
 * after that call. The protocol determines the call in which the user notices this.
 */
FIXTURE_VARIANT_ADD(callback, quiesce_fails) {
	{ "quiesce", "fail 6", 0, KEEPS, -ENXIO } };
FIXTURE_VARIANT_ADD(callback, stop_fails) {
	{ "stop", "fail 6", 0, KEEPS, -ENXIO } };
FIXTURE_VARIANT_ADD(callback, save_begin_fails) {
	{ "save_begin", "fail 6", 0, KEEPS, -ENXIO } };
FIXTURE_VARIANT_ADD(callback, size_fails) {
	{ "size", "fail 6", 0, KEEPS, -ENXIO } };
FIXTURE_VARIANT_ADD(callback, read_fails) {
	{ "read", "fail 6", 0, KEEPS, -ENXIO } };
FIXTURE_VARIANT_ADD(callback, stop_breaks) {
	{ "stop", "break", 0, BREAKS, 0 } };
FIXTURE_VARIANT_ADD(callback, save_begin_breaks) {
	{ "save_begin", "break", 0, BREAKS, 0 } };
FIXTURE_VARIANT_ADD(callback, size_breaks) {
	{ "size", "break", 0, BREAKS, 0 } };
FIXTURE_VARIANT_ADD(callback, read_breaks) {
	{ "read", "break", 0, BREAKS, 0 } };
FIXTURE_VARIANT_ADD(callback, load_begin_fails) {
	{ "load_begin", "fail 6", 1, REFUSES, -ENXIO } };
FIXTURE_VARIANT_ADD(callback, write_fails) {
	{ "write", "fail 6", 1, REFUSES, -ENXIO } };
FIXTURE_VARIANT_ADD(callback, check_fails) {
	{ "check", "fail 6", 1, REFUSES, -ENXIO } };
FIXTURE_VARIANT_ADD(callback, prepare_fails) {
	{ "prepare", "fail 6", 1, REFUSES, -ENXIO } };
FIXTURE_VARIANT_ADD(callback, write_breaks) {
	{ "write", "break", 1, BREAKS, 0 } };
FIXTURE_VARIANT_ADD(callback, check_breaks) {
	{ "check", "break", 1, BREAKS, 0 } };
FIXTURE_VARIANT_ADD(callback, apply_breaks) {
	{ "apply", "break", 1, BREAKS, 0 } };
FIXTURE_VARIANT_ADD(callback, run_breaks) {
	{ "run", "break", 1, BREAKS, 0 } };
FIXTURE_VARIANT_ADD(callback, start_breaks) {
	{ "start", "break", 1, BREAKS, 0 } };
FIXTURE_VARIANT_ADD(callback, load_end_breaks) {
	{ "load_end", "break", 1, BREAKS, 0 } };
/* Impossible numbers, which have the same effect as a failure */
FIXTURE_VARIANT_ADD(callback, size_is_huge) {
	{ "size", "huge", 0, KEEPS, -EIO } };
FIXTURE_VARIANT_ADD(callback, read_is_huge) {
	{ "read", "huge", 0, KEEPS, -EIO } };
FIXTURE_VARIANT_ADD(callback, read_is_short) {
	{ "read", "short", 0, KEEPS, -EIO } };
/* Errors that have another meaning for the user of a data file, or no meaning */
FIXTURE_VARIANT_ADD(callback, read_EAGAIN) {
	{ "read", "fail 11", 0, KEEPS, -EIO } };
FIXTURE_VARIANT_ADD(callback, read_ENOMSG) {
	{ "read", "fail 42", 0, KEEPS, -EIO } };
FIXTURE_VARIANT_ADD(callback, read_ERESTARTSYS) {
	{ "read", "fail 512", 0, KEEPS, -EINTR } };
FIXTURE_VARIANT_ADD(callback, read_ENOIOCTLCMD) {
	{ "read", "fail 515", 0, KEEPS, -EIO } };

FIXTURE_SETUP(callback)
{
	ASSERT_RET(0, testdev_open(&self->p.a, &mdev[0]));
	ASSERT_RET(0, testdev_open(&self->p.b, &mdev[1]));
}

static void off(void)
{
	testdev_fault(&mdev[0], "off");
	testdev_fault(&mdev[1], "off");
}

FIXTURE_TEARDOWN(callback)
{
	off();
	buffer_free(&self->p.stream);
	testdev_close(&self->p.a);
	testdev_close(&self->p.b);
	EXPECT_TRUE(testdev_idle(&mdev[0]));
	EXPECT_TRUE(testdev_idle(&mdev[1]));
}

/* Steps of a migration. A step can be repeated after a failure. */
enum step { PRECOPY, TAKE_EARLY, STOP, TAKE, RESUME, GIVE, RUN, DONE };

static long do_step(struct pair *p, enum step step)
{
	long ret;

	switch (step) {
	case PRECOPY:
		return endpoint_precopy(&p->a.end);
	case TAKE_EARLY:
		return p->a.end.by_v2 && !v2_has(&p->a.end.v2, V2_PRE_COPY) ? 0 :
		       endpoint_take(&p->a.end, &p->stream);
	case STOP:
		return endpoint_stop(&p->a.end);
	case TAKE:
		ret = endpoint_drain(&p->a.end, &p->stream);
		return ret;
	case RESUME:
		return endpoint_resume(&p->b.end);
	case GIVE:
		return endpoint_give(&p->b.end, &p->stream);
	case RUN:
		return endpoint_run(&p->b.end);
	default:
		return 0;
	}
}

/* Returns the first error, and the failed step in *@step. DONE: all steps succeeded. */
static long go_on(struct pair *p, enum step *step)
{
	long ret;

	for (; *step < DONE; ++*step) {
		ret = do_step(p, *step);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static void reset(struct __test_metadata *_metadata, struct pair *p)
{
	ASSERT_RET(0, device_reset(&p->a.end.dev));
	ASSERT_RET(0, device_reset(&p->b.end.dev));
	ASSERT_STATE(V1_RUNNING, &p->a.end.v1);
	ASSERT_STATE(V1_RUNNING, &p->b.end.v1);
	v2_close(&p->a.end.v2);
	v2_close(&p->b.end.v2);
	p->stream.len = 0;
	ASSERT_RET(0, testdev_set_image(&p->a, SEED, SIZE));
}

static void moved(struct __test_metadata *_metadata, struct pair *p)
{
	struct testdev_image image;

	ASSERT_RET(0, testdev_image(&p->b, &image));
	EXPECT_EQ(SEED, image.seed);
	EXPECT_EQ(SIZE, image.size);
}

static void failed(struct __test_metadata *_metadata, struct pair *p,
		   const struct what *what, enum step step, long state)
{
	struct testdev *t = what->target ? &p->b : &p->a;

	if (what->effect != REFUSES)
		off();
	switch (what->effect) {
	case KEEPS:
		EXPECT_STATE(state, &t->end.v1);
		ASSERT_RET(0, go_on(p, &step));
		moved(_metadata, p);
		break;
	case REFUSES:
		EXPECT_STATE(V1_RESUMING, &t->end.v1);
		EXPECT_RET(what->want, endpoint_run(&t->end));
		break;
	case BREAKS:
		EXPECT_STATE(V1_ERROR, &t->end.v1);
		break;
	}
	/* After a reset the device works. */
	off();
	reset(_metadata, p);
	step = PRECOPY;
	ASSERT_RET(0, go_on(p, &step));
	moved(_metadata, p);
}

/* Returns the state of the failing device before a step. */
static long state_before(enum step step)
{
	static const long states[] = {
		[PRECOPY] = V1_RUNNING, [TAKE_EARLY] = V1_PRE_COPY, [STOP] = V1_PRE_COPY,
		[TAKE] = V1_STOP_COPY,
	};

	return step < RESUME ? states[step] : V1_RESUMING;
}

/* Repeats the migration with the fault at each call of the callback. */
static void at_each_call(struct __test_metadata *_metadata, struct pair *p,
			 const struct what *what, int v2)
{
	const struct mdev *m = &mdev[what->target];
	enum step step;
	long state, ret, calls;
	int n, failures = 0;
	char line[64];

	p->a.end.by_v2 = v2;
	p->b.end.by_v2 = v2;

	for (n = 1; n < CALLS; n++) {
		reset(_metadata, p);
		calls = testdev_calls(m, what->name);
		snprintf(line, sizeof(line), "%s %d %s", what->name, n, what->action);
		ASSERT_RET(0, testdev_fault(m, line));
		step = PRECOPY;
		ret = go_on(p, &step);
		if (testdev_calls(m, what->name) < calls + n)
			break;
		/* A read without data is no failure while the device runs. */
		if (!ret && !strcmp(what->action, "short"))
			continue;
		failures++;
		EXPECT_GT(0, ret);
		if (what->want)
			EXPECT_RET_FOR(what->want, ret, "call %d, step %d", n, step);
		state = state_before(step);
		/* If v2 has no pre-copy, the device runs until it is stopped. */
		if (p->a.end.by_v2 && !v2_has(&p->a.end.v2, V2_PRE_COPY) && step == STOP)
			state = strcmp(what->name, "save_begin") ? V1_RUNNING : V1_STOPPED;
		failed(_metadata, p, what, step, state);
	}
	EXPECT_LT(n, CALLS);
	/* Without a failure the test would show nothing. */
	EXPECT_LT(0, failures);
}

TEST_F_TIMEOUT(callback, goes_wrong_in_v1, 300)
{
	at_each_call(_metadata, &self->p, &variant->what, 0);
}

TEST_F_TIMEOUT(callback, goes_wrong_in_v2, 300)
{
	at_each_call(_metadata, &self->p, &variant->what, 1);
}

/* Only a size and a read have results that are not just an error. */
TEST(a_fault_that_cannot_be_is_refused)
{
	static const char * const lines[] = {
		"prepare 1 huge", "stop 1 huge", "write 1 huge", "mem_read 1 huge",
		"prepare 1 short", "size 1 short", "apply 1 short",
		"read 1 reinit", "save_begin 1 reinit", "stop 1 reinit",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lines); i++)
		EXPECT_RET_FOR(-EINVAL, testdev_fault(&mdev[0], lines[i]), "%s", lines[i]);
}

/* A callback that waits */
FIXTURE(waits) {
	struct testdev a;
	pid_t pid;
};

FIXTURE_SETUP(waits)
{
	ASSERT_RET(0, testdev_open(&self->a, &mdev[0]));
	ASSERT_RET(0, testdev_set_image(&self->a, SEED, SIZE));
	ASSERT_RET(0, v2_set_state(&self->a.end.v2, V2_STOP_COPY));
	ASSERT_RET(0, testdev_fault(&mdev[0], "read 1 wait"));
	self->pid = child_start();
	ASSERT_LE(0, self->pid);
	if (!self->pid) {
		struct buffer out = { 0 };
		ssize_t ret;

		/* Only the parent keeps the device open. */
		close(self->a.end.dev.fd);
		if (self->a.end.dev.group >= 0)
			close(self->a.end.dev.group);
		ret = v2_drain(&self->a.end.v2, &out, 1 << 20);
		/*
		 * A read that has data already returns them. The next read gives the
		 * error again, or finds that the session has ended.
		 */
		_exit(ret == -ECANCELED || ret == -ENODEV ? 0 : 1);
	}
	ASSERT_TRUE(testdev_waits(&mdev[0], 20));
}

FIXTURE_TEARDOWN(waits)
{
	testdev_fault(&mdev[0], "off");
	kill(self->pid, SIGKILL);
	waitpid(self->pid, NULL, 0);
	testdev_close(&self->a);
	EXPECT_TRUE(testdev_idle(&mdev[0]));
}

/* Waits for the end of the reader. Returns whether it ended, with its status. */
static int gone(pid_t pid, double seconds, int *status)
{
	double end = clock_now() + seconds;

	do {
		if (waitpid(pid, status, WNOHANG) == pid)
			return 1;
		usleep(10000);
	} while (clock_now() < end);
	return 0;
}

TEST_F(waits, and_the_reader_can_be_killed)
{
	int status;

	kill(self->pid, SIGKILL);
	EXPECT_TRUE(gone(self->pid, 20, &status));
	EXPECT_EQ(V2_STOP_COPY, v2_get_state(&self->a.end.v2));
}

TEST_F(waits, and_a_reset_does_not)
{
	double before = clock_now();
	int status = -1;

	ASSERT_RET(0, device_reset(&self->a.end.dev));
	EXPECT_GT(20, clock_now() - before);
	EXPECT_TRUE(gone(self->pid, 20, &status));
	EXPECT_EQ(0, status);
	EXPECT_STATE(V1_RUNNING, &self->a.end.v1);
}

/*
 * Neither sysfs nor poll() waits for the callback. A task that waits for the state can be
 * killed.
 */
TEST_F(waits, and_who_only_looks_does_not)
{
	struct pollfd p = { .fd = self->a.end.v2.data, .events = POLLIN };
	char path[PATH_MAX + 32], text[32];
	double before = clock_now();
	int status;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/migration/state", mdev[0].path);
	EXPECT_RET(0, file_read(path, text, sizeof(text)));
	EXPECT_EQ(0, strncmp(text, "stop-and-copy", 13));
	EXPECT_EQ(1, poll(&p, 1, 0));
	EXPECT_GT(20, clock_now() - before);

	pid = child_start();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(v2_get_state(&self->a.end.v2) < 0);
	EXPECT_FALSE(gone(pid, 1, &status));
	kill(pid, SIGKILL);
	EXPECT_TRUE(gone(pid, 20, &status));
}

/* The last user closes the device. Another process has the data file. */
TEST_F(waits, and_a_close_does_not)
{
	double before = clock_now();
	int status = -1;

	device_close(&self->a.end.dev);
	EXPECT_GT(20, clock_now() - before);
	kill(self->pid, SIGKILL);
	EXPECT_TRUE(gone(self->pid, 20, &status));
}

TEST_F(waits, and_goes_on_when_it_is_released)
{
	int status = -1;

	ASSERT_RET(0, testdev_fault(&mdev[0], "off"));
	EXPECT_TRUE(gone(self->pid, 20, &status));
	EXPECT_EQ(1, WEXITSTATUS(status));
	EXPECT_EQ(V2_STOP_COPY, v2_get_state(&self->a.end.v2));
}

/* A process that has the device, which does not stop */
FIXTURE(killed) {
	pid_t pid;
};

static void use_until_killed(int ready)
{
	struct testdev t;

	if (testdev_open(&t, &mdev[0]) || testdev_fault(&mdev[0], "stop 1 wait"))
		_exit(1);
	if (write(ready, "x", 1) == 1)
		pause();
	_exit(1);
}

FIXTURE_SETUP(killed)
{
	int ends[2];
	char c;

	ASSERT_EQ(0, pipe(ends));
	self->pid = child_start();
	ASSERT_LE(0, self->pid);
	if (!self->pid)
		use_until_killed(ends[1]);
	close(ends[1]);
	ASSERT_EQ(1, read(ends[0], &c, 1));
	close(ends[0]);
}

FIXTURE_TEARDOWN(killed)
{
	testdev_fault(&mdev[0], "off");
	kill(self->pid, SIGKILL);
	waitpid(self->pid, NULL, 0);
}

/*
 * The process closes the device when it takes no signal any more. It ends nevertheless, and
 * the next user can open the device.
 */
TEST_F_TIMEOUT(killed, a_process_ends_if_the_device_does_not_stop, 120)
{
	struct testdev t;
	int status;

	kill(self->pid, SIGKILL);
	EXPECT_TRUE(testdev_waits(&mdev[0], 20));
	EXPECT_TRUE(gone(self->pid, 40, &status))
		TH_LOG("the killed process waits for the device");
	ASSERT_RET(0, testdev_fault(&mdev[0], "off"));
	ASSERT_RET(0, testdev_open(&t, &mdev[0]));
	testdev_close(&t);
	EXPECT_TRUE(testdev_idle(&mdev[0]));
}

FIXTURE(reason) {
	struct testdev t;
	struct endpoint *end;
};

FIXTURE_VARIANT(reason) {
	int v2;
};

FIXTURE_VARIANT_ADD(reason, v1) { 0 };
FIXTURE_VARIANT_ADD(reason, v2) { 1 };

FIXTURE_SETUP(reason)
{
	self->end = &self->t.end;
	ASSERT_RET(0, testdev_open(&self->t, &mdev[0]));
	self->end->by_v2 = variant->v2;
}

FIXTURE_TEARDOWN(reason)
{
	off();
	testdev_close(&self->t);
}

/* By v2 the device stops on the way to STOP_COPY, in the state STOP. */
TEST_F(reason, a_save_follows)
{
	ASSERT_RET(0, endpoint_stop(self->end));
	EXPECT_TRUE(testdev_stop_reason(&mdev[0], "save"));
	ASSERT_RET(0, endpoint_cancel(self->end));
	ASSERT_RET(0, endpoint_rest(self->end));
	ASSERT_RET(0, endpoint_cancel(self->end));
	ASSERT_RET(0, endpoint_precopy(self->end));
	ASSERT_RET(0, endpoint_stop(self->end));
	EXPECT_TRUE(testdev_stop_reason(&mdev[0], "save"));
}

/* QEMU stops a device and saves its state later. The driver is not called again. */
TEST_F(reason, the_device_pauses)
{
	long calls;

	ASSERT_RET(0, endpoint_rest(self->end));
	EXPECT_TRUE(testdev_stop_reason(&mdev[0], "pause"));
	calls = testdev_calls(&mdev[0], "stop");
	ASSERT_RET(0, endpoint_stop(self->end));
	EXPECT_TRUE(testdev_stop_reason(&mdev[0], "pause"));
	EXPECT_EQ(calls, testdev_calls(&mdev[0], "stop"));
}

TEST_F(reason, a_load_follows)
{
	ASSERT_RET(0, endpoint_resume(self->end));
	EXPECT_TRUE(testdev_stop_reason(&mdev[0], "load"));
}

TEST_F(reason, a_reset_follows)
{
	ASSERT_RET(0, endpoint_rest(self->end));
	ASSERT_RET(0, endpoint_cancel(self->end));
	ASSERT_RET(0, device_reset(&self->end->dev));
	EXPECT_TRUE(testdev_stop_reason(&mdev[0], "reset"));
}

TEST_F(reason, a_close_is_as_a_reset)
{
	ASSERT_RET(0, endpoint_rest(self->end));
	ASSERT_RET(0, endpoint_cancel(self->end));
	endpoint_close(self->end);
	EXPECT_TRUE(testdev_stop_reason(&mdev[0], "reset"));
	ASSERT_RET(0, testdev_open(&self->t, &mdev[0]));
}

TEST_F(reason, a_broken_device_waits_for_its_reset)
{
	ASSERT_RET(0, endpoint_rest(self->end));
	ASSERT_RET(0, endpoint_cancel(self->end));
	ASSERT_RET(0, testdev_fault(&mdev[0], "run 1 break"));
	ASSERT_RET(0, endpoint_rest(self->end));
	EXPECT_RET(-EIO, endpoint_cancel(self->end));
	EXPECT_TRUE(testdev_stop_reason(&mdev[0], "reset"));
	off();
	ASSERT_RET(0, device_reset(&self->end->dev));
}

/*
 * A device that breaks and does not stop may still do DMA, so a close tries to stop it again.
 * The transition that fails lets a device run that was not quiesced before, as it is by v2 on
 * the way to STOP. The error state does not let it run.
 */
TEST_F(reason, a_close_stops_a_broken_device)
{
	long stops, runs;

	ASSERT_RET(0, testdev_fault(&mdev[0], "stop 1 break"));
	runs = testdev_calls(&mdev[0], "run");
	EXPECT_RET(-EIO, endpoint_rest(self->end));
	EXPECT_EQ(runs + !variant->v2, testdev_calls(&mdev[0], "run"));
	off();
	stops = testdev_calls(&mdev[0], "stop");
	endpoint_close(self->end);
	EXPECT_EQ(stops + 1, testdev_calls(&mdev[0], "stop"));
	ASSERT_RET(0, testdev_open(&self->t, &mdev[0]));
}

/* A device that does not quiesce is stopped by a close all the same. */
TEST_F(reason, a_close_stops_a_device_that_stays_active)
{
	long stops;

	ASSERT_RET(0, testdev_fault(&mdev[0], "quiesce 1 fail 6"));
	stops = testdev_calls(&mdev[0], "stop");
	endpoint_close(self->end);
	EXPECT_EQ(stops + 1, testdev_calls(&mdev[0], "stop"));
	off();
	ASSERT_RET(0, testdev_open(&self->t, &mdev[0]));
}

/*
 * A read of a file whose session has ended does not stop the device, which may be another
 * user's then, or not exist any more.
 */
TEST_F(reason, a_dead_file_leaves_a_closed_device_alone)
{
	long stops;
	char byte;
	int old;

	if (!variant->v2)
		SKIP(return, "v1 has no data file");
	ASSERT_RET(0, v2_set_state(&self->end->v2, V2_STOP_COPY));
	old = dup(self->end->v2.data);
	ASSERT_LE(0, old);
	ASSERT_RET(0, v2_set_state(&self->end->v2, V2_RUNNING));
	/* The device breaks at the close, and does not stop. */
	ASSERT_RET(0, testdev_fault(&mdev[0], "stop 1 break"));
	endpoint_close(self->end);
	stops = testdev_calls(&mdev[0], "stop");
	EXPECT_EQ(-1, read(old, &byte, 1));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(stops, testdev_calls(&mdev[0], "stop"));
	close(old);
	off();
	ASSERT_RET(0, testdev_open(&self->t, &mdev[0]));
}

/* A driver that stops its device in two steps runs it in two steps after an open and a reset. */
TEST_F(reason, an_open_and_a_reset_start)
{
	long starts = testdev_calls(&mdev[0], "start"), runs = testdev_calls(&mdev[0], "run");

	/* A stopped device */
	ASSERT_RET(0, endpoint_rest(self->end));
	ASSERT_RET(0, device_reset(&self->end->dev));
	EXPECT_EQ(starts + 1, testdev_calls(&mdev[0], "start"));
	EXPECT_EQ(runs + 1, testdev_calls(&mdev[0], "run"));
	/* A device that runs: the reset stops it first. */
	ASSERT_RET(0, device_reset(&self->end->dev));
	EXPECT_EQ(starts + 2, testdev_calls(&mdev[0], "start"));
	EXPECT_EQ(runs + 2, testdev_calls(&mdev[0], "run"));
	/* A close stops the device, too. */
	endpoint_close(self->end);
	ASSERT_RET(0, testdev_open(&self->t, &mdev[0]));
	EXPECT_EQ(starts + 3, testdev_calls(&mdev[0], "start"));
	EXPECT_EQ(runs + 3, testdev_calls(&mdev[0], "run"));
}

/* A device that cannot say how much it has to send */
FIXTURE(fails) {
	struct testdev t;
};

FIXTURE_SETUP(fails)
{
	ASSERT_RET(0, testdev_open(&self->t, &mdev[0]));
	ASSERT_RET(0, testdev_set_image(&self->t, SEED, SIZE));
}

FIXTURE_TEARDOWN(fails)
{
	off();
	testdev_close(&self->t);
}

/* The iteration stays open, and its data can be read. */
TEST_F(fails, pending_bytes_that_fails_concludes_nothing)
{
	struct device *dev = &self->t.end.dev;
	struct v1 *v1 = &self->t.end.v1;
	long long breaches = device_counter(dev, "breaches");
	__u64 pending, size;
	ssize_t bytes;
	char first[64];

	ASSERT_RET(0, v1_set_state(v1, V1_PRE_COPY));
	ASSERT_RET(0, v1_pending(v1, &pending));
	bytes = v1_open_iteration(v1);
	ASSERT_LE(sizeof(first), bytes);
	ASSERT_RET(0, testdev_fault(&mdev[0], "size 1 fail 6"));
	EXPECT_RET(-ENXIO, v1_pending(v1, &pending));
	ASSERT_RET(0, v1_data_size(v1, &size));
	EXPECT_EQ(bytes, size);
	EXPECT_RET(0, v1_read_data(v1, 0, first, sizeof(first)));
	EXPECT_EQ(breaches, device_counter(dev, "breaches"));
}

int main(int argc, char **argv)
{
	int i, ret = 0;

	(void)argc;
	testdev_init();
	for (i = 0; i < 2 && !ret; i++)
		ret = testdev_create(&mdev[i], "all");
	if (ret) {
		ksft_print_header();
		ksft_exit_skip("no device: %s\n", strerror(-ret));
	}
	SUITE_RUN(argv);
}
