// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls that a user makes long: others on the same processor get their turn meanwhile,
 * and the process that makes the call ends soon after it was killed.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/endpoint.h"
#include "lib/fixture.h"
#include "lib/mdev.h"
#include "lib/nvme_fixture.h"
#include "lib/stream.h"
#include "lib/waiter.h"

#define MIB		(1UL << 20)
#define WINDOW		(16 * MIB)
#define SAVE		0x5a5eULL
#define GAP		1.0	/* seconds that another may have to wait for its turn */
#define TIMES		5	/* and so many times what it waits for it anyway */
#define GONE		2.0	/* seconds until what was killed is gone */
#define TURNS		5.0	/* seconds for which the other takes its turns */

FIXTURE(time) {
	struct mdev mdev;
	struct endpoint end;
	struct buffer model;
	struct buffer stream;
};

FIXTURE_VARIANT(time) {
	int v2;
};

FIXTURE_VARIANT_ADD(time, v1) { .v2 = 0 };
FIXTURE_VARIANT_ADD(time, v2) { .v2 = 1 };

FIXTURE_SETUP(time)
{
	struct endpoint *e = &self->end;
	long window;

	memset(self, 0, sizeof(*self));
	window = mdev_window_kib(WINDOW / 1024);
	ASSERT_RET(0, mdev_create(&self->mdev, "mnvme", "64M"));
	mdev_window_kib(window);
	ASSERT_RET(0, endpoint_open(e, self->mdev.path));
	ASSERT_RET(0, v1_save(&e->v1, &self->model));
	ASSERT_RET(0, v1_set_state(&e->v1, V1_RUNNING));
	e->by_v2 = variant->v2;
}

FIXTURE_TEARDOWN(time)
{
	endpoint_close(&self->end);
	mdev_remove(&self->mdev);
	buffer_free(&self->model);
	buffer_free(&self->stream);
}

/* A state, and ends up to the size of a window. */
static void put_ends(struct buffer *s, const struct buffer *model)
{
	struct chunk c;
	__u32 seq = 0;
	int i;

	if (!stream_find(model, CHUNK_HEADER, 0, &c))
		stream_put_chunk(s, SAVE, seq++, &c);
	for (i = 0; !stream_find(model, CHUNK_CONTROL, i, &c); i++)
		stream_put_chunk(s, SAVE, seq++, &c);
	while (s->len + 64 < WINDOW)
		stream_put_end(s, SAVE, seq++, 0);
}

static void stay_on_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* The process that makes the call, on the same processor as its parent. */
static pid_t start_call(long (*call)(struct endpoint *e, void *arg), struct endpoint *e,
			void *arg)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		if (call(e, arg) < 0)
			_exit(1);
}

/* Takes turns with the call. The longest that one was waited for. */
static double longest_gap(double seconds)
{
	double now = clock_now(), until = now + seconds, longest = 0, then;

	while (now < until) {
		usleep(1000);
		then = now;
		now = clock_now();
		if (now - then > longest)
			longest = now - then;
	}
	return longest;
}

static void check_call(struct __test_metadata *_metadata, struct endpoint *e,
		       long (*call)(struct endpoint *e, void *arg), void *arg)
{
	double usual, gap, since;
	int status;
	pid_t pid;

	stay_on_one_cpu();
	usual = longest_gap(1);
	pid = start_call(call, e, arg);
	ASSERT_LT(0, pid);
	gap = longest_gap(TURNS);
	EXPECT_GT(waiter_patience(GAP) + TIMES * usual, gap)
		TH_LOG("another waits %.2f s for the processor, %.2f s before", gap,
		       usual);
	since = clock_now();
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status))
		TH_LOG("the call failed");
	EXPECT_GT(waiter_patience(GONE), clock_now() - since)
		TH_LOG("killed, it is gone after %.2f s", clock_now() - since);
}

/* The load begins anew each time: by another save's header it would, too. */
static long give_ends(struct endpoint *e, void *arg)
{
	struct buffer *s = arg;
	int ret = endpoint_resume(e);

	if (!ret)
		ret = endpoint_give(e, s);
	return ret ? ret : device_reset(&e->dev);
}

TEST_F_TIMEOUT(time, ends_in_a_row, 120)
{
	if (variant->v2 && !self->end.has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	put_ends(&self->stream, &self->model);
	check_call(_metadata, &self->end, give_ends, &self->stream);
	ASSERT_RET(0, device_reset(&self->end.dev));
}

static long save_zeros(struct endpoint *e, void *arg)
{
	struct buffer s = { 0 };
	int ret;

	(void)arg;
	ret = endpoint_stop(e);
	if (!ret)
		ret = endpoint_drain(e, &s);
	if (!ret)
		ret = endpoint_cancel(e);
	buffer_free(&s);
	return ret;
}

/* Pages that have memory, and nothing but zeros in it: all are looked at for one chunk. */
TEST_F_TIMEOUT(time, zeros_in_a_row, 120)
{
	struct endpoint *e = &self->end;
	struct guest guest;
	struct nvme nvme;
	__u32 blocks;
	__u64 lba;
	void *buf;

	if (variant->v2 && !e->has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	ASSERT_RET(0, guest_create(&guest, 4 * MIB));
	ASSERT_RET(0, guest_attach(&guest, &e->dev));
	ASSERT_EQ(0, nvme_start(&nvme, &e->dev, &guest, 1, 16));
	blocks = nvme.transfer_max / nvme.lba_size;
	if (!blocks || blocks > MIB / nvme.lba_size)
		blocks = MIB / nvme.lba_size;
	buf = guest_alloc(&guest, blocks * nvme.lba_size);
	for (lba = 0; lba + blocks <= nvme.nr_lbas; lba += blocks)
		ASSERT_EQ(0, nvme_io(&nvme, NVME_OP_WRITE, lba, blocks, buf));
	nvme_close(&nvme);
	check_call(_metadata, e, save_zeros, NULL);
	ASSERT_RET(0, device_reset(&e->dev));
	guest_destroy(&guest);
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
	suite_need_stream();
}

SUITE_MAIN(need_all())
