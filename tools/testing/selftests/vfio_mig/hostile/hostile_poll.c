// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device breaks while tasks wait for it. poll() must return, calls must return the error,
 * and a reset must help.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/endpoint.h"
#include "lib/fixture.h"
#include "lib/kmsg.h"
#include "lib/knob.h"
#include "lib/poke.h"
#include "lib/waiter.h"

#define SLEEPS		10.0	/* seconds of a timeout of poll() */
#define SOON		4.0	/* seconds within which poll() must return */
#define SETTLES		200000	/* microseconds until a new thread is in poll() */
#define CLOSES		100	/* more than the log may get lines in that time */
#define LOG_INTERVAL	6	/* seconds after which the log has a new rate limit */

/**
 * struct sleeper - a thread in poll()
 * @fd: file descriptor
 * @events: requested events
 * @revents: returned events, 0 after a timeout
 * @thread: the thread
 * @woke: time at which poll() returned
 */
struct sleeper {
	int fd;
	short events;
	short revents;
	pthread_t thread;
	double woke;
};

static void *sleep_in_poll(void *arg)
{
	struct sleeper *s = arg;
	struct pollfd p = { .fd = s->fd, .events = s->events };

	poll(&p, 1, waiter_patience(SLEEPS) * 1000);
	s->woke = clock_now();
	s->revents = p.revents;
	return NULL;
}

static void start_sleeper(struct __test_metadata *_metadata, struct sleeper *s, int fd,
			  short events)
{
	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->events = events;
	ASSERT_EQ(0, pthread_create(&s->thread, NULL, sleep_in_poll, s));
	usleep(SETTLES);
	ASSERT_FALSE(s->woke);
}

static void check_woken(struct __test_metadata *_metadata, struct sleeper *s,
			short events, double since)
{
	ASSERT_EQ(0, pthread_join(s->thread, NULL));
	EXPECT_EQ(events, s->revents & events)
		TH_LOG("woken for %#x", s->revents);
	EXPECT_GT(waiter_patience(SOON), s->woke - since)
		TH_LOG("after %.2f s", s->woke - since);
}

FIXTURE(poll) {
	struct endpoint end;
	struct buffer stream;
	struct sleeper sleeper;
};

FIXTURE_SETUP(poll)
{
	ASSERT_RET(0, endpoint_open(&self->end, suite_device()));
	if (knob_there(suite_device()))
		ASSERT_RET(0, knob_all_off(&self->end.dev));
}

FIXTURE_TEARDOWN(poll)
{
	if (knob_there(suite_device()))
		knob_all_off(&self->end.dev);
	device_reset(&self->end.dev);
	buffer_free(&self->stream);
	endpoint_close(&self->end);
}

TEST_F(poll, wakes_when_PRE_COPY_becomes_STOP_COPY)
{
	struct v2 *v2 = &self->end.v2;
	struct sleeper *s = &self->sleeper;
	double since;

	if (!self->end.has_v2 || !v2_has(v2, V2_PRE_COPY))
		SKIP(return, "the device has no PRE_COPY");
	ASSERT_RET(0, v2_set_state(v2, V2_PRE_COPY));
	ASSERT_LE(0, v2_drain(v2, &self->stream, 0));
	start_sleeper(_metadata, s, v2->data, POLLIN);
	since = clock_now();
	ASSERT_RET(0, v2_set_state(v2, V2_STOP_COPY));
	check_woken(_metadata, s, POLLIN, since);
}

/* These sessions have nothing to read, so poll() waits for errors only. */
static const __u32 sessions[] = { V2_STOP_COPY, V2_PRE_COPY, V2_RESUMING };

typedef int (*end_fn)(struct device *dev);

static int break_device(struct device *dev)
{
	return knob_set(dev, "break", "1");
}

/* @end ends a session of each kind. The device is in state @after then. */
static void check_end(struct __test_metadata *_metadata, struct endpoint *e,
		      struct sleeper *s, end_fn end, __u32 after)
{
	struct device *dev = &e->dev;
	struct v2 *v2 = &e->v2;
	unsigned int i;
	double since;

	for (i = 0; i < ARRAY_SIZE(sessions); i++) {
		if (!v2_has(v2, sessions[i]))
			continue;
		ASSERT_RET(0, v2_set_state(v2, sessions[i]));
		start_sleeper(_metadata, s, v2->data, 0);
		since = clock_now();
		ASSERT_RET(0, end(dev));
		check_woken(_metadata, s, POLLERR, since);
		EXPECT_EQ(after, v2_get_state(v2));
		ASSERT_RET(0, device_reset(dev));
	}
}

TEST_F(poll, wakes_when_the_session_ends)
{
	if (!self->end.has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	check_end(_metadata, &self->end, &self->sleeper, device_reset, V2_RUNNING);
}

TEST_F(poll, wakes_when_the_device_breaks)
{
	if (!self->end.has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	if (!knob_there(suite_device()))
		SKIP(return, "no fault knobs here");
	check_end(_metadata, &self->end, &self->sleeper, break_device, V2_ERROR);
}

/* A device that breaks, by both protocols */

FIXTURE(broken) {
	struct endpoint end;
	struct buffer stream;
};

FIXTURE_VARIANT(broken) {
	int v2;
};

FIXTURE_VARIANT_ADD(broken, v1) { .v2 = 0 };
FIXTURE_VARIANT_ADD(broken, v2) { .v2 = 1 };

FIXTURE_SETUP(broken)
{
	ASSERT_RET(0, endpoint_open(&self->end, suite_device()));
	if (knob_there(suite_device()))
		ASSERT_RET(0, knob_all_off(&self->end.dev));
	self->end.by_v2 = variant->v2;
}

FIXTURE_TEARDOWN(broken)
{
	if (knob_there(suite_device()))
		knob_all_off(&self->end.dev);
	device_reset(&self->end.dev);
	buffer_free(&self->stream);
	endpoint_close(&self->end);
}

/* Returns the reason why the test cannot run here, or NULL. */
static const char *missing(const struct endpoint *e)
{
	if (!knob_there(suite_device()))
		return "no fault knobs here";
	if (e->by_v2 && !e->has_v2)
		return "the device does not speak the v2 protocol";
	return NULL;
}

/* Both protocols show the error state, a reset ends it, and then a state loads and runs. */
static void check_error(struct __test_metadata *_metadata, struct endpoint *e)
{
	EXPECT_STATE(V1_ERROR, &e->v1);
	if (e->has_v2)
		EXPECT_EQ(V2_ERROR, v2_get_state(&e->v2));
	ASSERT_RET(0, device_reset(&e->dev));
	EXPECT_STATE(V1_RUNNING, &e->v1);
}

TEST_F(broken, a_resume_that_breaks_is_EIO)
{
	struct endpoint *e = &self->end;

	if (missing(e))
		SKIP(return, "%s", missing(e));
	ASSERT_RET(0, v1_save(&e->v1, &self->stream));
	ASSERT_RET(0, v1_set_state(&e->v1, V1_RUNNING));
	ASSERT_RET(0, endpoint_resume(e));
	ASSERT_RET(0, endpoint_give(e, &self->stream));
	ASSERT_RET(0, knob_set(&e->dev, "run", "1"));
	EXPECT_RET(-EIO, endpoint_run(e));
	ASSERT_RET(0, knob_set(&e->dev, "run", "off"));
	check_error(_metadata, e);
}

TEST_F(broken, a_cancelled_save_that_breaks_is_EIO)
{
	struct endpoint *e = &self->end;

	if (missing(e))
		SKIP(return, "%s", missing(e));
	ASSERT_RET(0, endpoint_stop(e));
	ASSERT_RET(0, knob_set(&e->dev, "run", "1"));
	EXPECT_RET(-EIO, endpoint_cancel(e));
	check_error(_metadata, e);
}

/* The state stays the same, and neither a reset nor an open asks the device to stop. */
TEST_F(broken, a_device_that_does_not_stop_can_be_reset)
{
	struct endpoint *e = &self->end;

	if (missing(e))
		SKIP(return, "%s", missing(e));
	ASSERT_RET(0, knob_set(&e->dev, "stop", "%d", ETIMEDOUT));
	EXPECT_RET(-ETIMEDOUT, endpoint_stop(e));
	EXPECT_STATE(V1_RUNNING, &e->v1);
	EXPECT_RET(0, device_reset(&e->dev));
	EXPECT_STATE(V1_RUNNING, &e->v1);
	ASSERT_RET(0, endpoint_precopy(e));
	EXPECT_RET(0, device_reset(&e->dev));
	endpoint_close(e);
	ASSERT_RET(0, endpoint_open(e, suite_device()));
	EXPECT_STATE(V1_RUNNING, &e->v1);
	ASSERT_RET(0, knob_set(&e->dev, "stop", "off"));
	EXPECT_RET(0, endpoint_stop(e));
}

/* In the error state the window raises SIGBUS. After a reset it has its old content. */
TEST_F(broken, a_window_is_SIGBUS_until_the_reset)
{
	struct endpoint *e = &self->end;
	struct v1 *v1 = &e->v1;
	unsigned char byte;

	if (missing(e))
		SKIP(return, "%s", missing(e));
	ASSERT_RET(0, v1_map(v1));
	ASSERT_RET(0, v1_set_state(v1, V1_RESUMING));
	ASSERT_RET(0, poke_store(v1->map, 0x42));
	ASSERT_RET(0, knob_set(&e->dev, "break", "1"));
	EXPECT_STATE(V1_ERROR, v1);
	EXPECT_RET(-EFAULT, poke_load(v1->map, &byte));
	EXPECT_RET(-EFAULT, poke_store(v1->map, 0));
	ASSERT_RET(0, device_reset(&e->dev));
	EXPECT_RET(0, poke_load(v1->map, &byte));
	EXPECT_EQ(0x42, byte);
	EXPECT_RET(-EFAULT, poke_store(v1->map, 0));
}

/*
 * A user opens and closes a device that does not stop, as often as the user likes. This is the
 * last test, because it uses up the rate limit.
 */
TEST_F_TIMEOUT(broken, closing_it_does_not_fill_the_log, 120)
{
	struct endpoint *e = &self->end;
	double since = clock_now();
	int i, kmsg;

	if (missing(e))
		SKIP(return, "%s", missing(e));
	if (!variant->v2)
		SKIP(return, "once is enough");
	kmsg = kmsg_open();
	ASSERT_LE(0, kmsg);
	ASSERT_RET(0, knob_set(&e->dev, "stop", "%d", ETIMEDOUT));
	for (i = 0; i < CLOSES; i++) {
		endpoint_close(e);
		ASSERT_RET(0, endpoint_open(e, suite_device()));
	}
	EXPECT_GE(kmsg_most(clock_now() - since), kmsg_count(kmsg, &e->dev));
	close(kmsg);
}

/* Calls for the file of an earlier session, while a thread has the device's session mutex */

#define DELAY	5.0	/* seconds that a transition takes, more than SOON */

struct stopper {
	struct endpoint *end;
	int ret;
	pthread_t thread;
};

static void *stop_slowly(void *arg)
{
	struct stopper *s = arg;

	s->ret = v1_set_state(&s->end->v1, V1_STOPPED);
	return NULL;
}

FIXTURE(dead) {
	struct endpoint end;
	struct stopper stopper;
	int saved, loaded;
};

FIXTURE_SETUP(dead)
{
	self->saved = -1;
	self->loaded = -1;
	ASSERT_RET(0, endpoint_open(&self->end, suite_device()));
	self->end.by_v2 = 1;
	if (knob_there(suite_device()))
		ASSERT_RET(0, knob_all_off(&self->end.dev));
}

FIXTURE_TEARDOWN(dead)
{
	if (knob_there(suite_device()))
		knob_all_off(&self->end.dev);
	device_reset(&self->end.dev);
	close(self->saved);
	close(self->loaded);
	endpoint_close(&self->end);
}

/* Makes a file of a save and a file of a load, both dead. */
static void make_dead_files(struct __test_metadata *_metadata, struct endpoint *e, int *saved,
			    int *loaded)
{
	struct v2 *v2 = &e->v2;

	ASSERT_RET(0, v2_set_state(v2, V2_STOP_COPY));
	*saved = dup(v2->data);
	ASSERT_RET(0, v2_set_state(v2, V2_RUNNING));
	ASSERT_RET(0, v2_set_state(v2, V2_RESUMING));
	*loaded = dup(v2->data);
	ASSERT_RET(0, device_reset(&e->dev));
}

TEST_F_TIMEOUT(dead, a_file_does_not_wait_for_the_device, 60)
{
	struct stopper *s = &self->stopper;
	struct v2_precopy_info info;
	struct v2 saved, loaded;
	double since;
	char byte = 0;

	if (missing(&self->end))
		SKIP(return, "%s", missing(&self->end));
	make_dead_files(_metadata, &self->end, &self->saved, &self->loaded);
	saved = (struct v2) { .dev = &self->end.dev, .data = self->saved };
	loaded = (struct v2) { .dev = &self->end.dev, .data = self->loaded };
	s->end = &self->end;
	ASSERT_RET(0, knob_set(&self->end.dev, "arcs", "any any delay %.0f",
			       waiter_patience(DELAY) * 1000));
	ASSERT_EQ(0, pthread_create(&s->thread, NULL, stop_slowly, s));
	usleep(SETTLES);

	since = clock_now();
	EXPECT_RET(-ENODEV, v2_read(&saved, &byte, 1));
	EXPECT_RET(-ENODEV, v2_write(&loaded, &byte, 1));
	if (v2_has(&self->end.v2, V2_PRE_COPY))
		EXPECT_RET(-ENODEV, v2_precopy_info(&saved, &info));
	EXPECT_GT(waiter_patience(SOON), clock_now() - since)
		TH_LOG("after %.2f s", clock_now() - since);

	ASSERT_EQ(0, pthread_join(s->thread, NULL));
	EXPECT_RET(0, s->ret);
}

/* If the next session woke a dead file, its owner would learn what the next user does. */
TEST_F(dead, a_file_is_not_woken_by_the_next_session)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct v2 *v2 = &self->end.v2;
	int epoll;

	if (!self->end.has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	epoll = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, epoll);
	ASSERT_RET(0, v2_set_state(v2, V2_STOP_COPY));
	self->saved = dup(v2->data);
	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->saved, &event));
	ASSERT_RET(0, v2_set_state(v2, V2_RUNNING));
	ASSERT_EQ(1, epoll_wait(epoll, &event, 1, 0));
	EXPECT_TRUE(event.events & EPOLLERR);
	/* Each wake-up is one event. */
	ASSERT_EQ(0, epoll_wait(epoll, &event, 1, 0));

	ASSERT_RET(0, v2_set_state(v2, V2_STOP_COPY));
	ASSERT_RET(0, v2_set_state(v2, V2_RUNNING));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	close(epoll);
}

SUITE_MAIN(suite_need_v1())
