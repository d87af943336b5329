// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that is open, enabled and idle needs no CPU time. Its threads are not woken, also
 * after a time in which the device polled its doorbells.
 */
#include <unistd.h>

#include "lib/nvme_fixture.h"
#include "lib/threads.h"

/* Much longer than a queue is polled or an interrupt waits */
#define SETTLE_MS	1000
#define IDLE_MS		(suite_long() ? 10000 : 3000)
#define COMMANDS	200

FIXTURE(idle) {
	struct nvme_fixture f;
	unsigned char *buf;
};

FIXTURE_VARIANT(idle) {
	bool shadow;		/* doorbells in memory */
	bool busy;		/* before the device is idle */
};

FIXTURE_VARIANT_ADD(idle, never_used) { .shadow = false, .busy = false };
FIXTURE_VARIANT_ADD(idle, after_commands) { .shadow = false, .busy = true };
FIXTURE_VARIANT_ADD(idle, after_polling) { .shadow = true, .busy = true };

FIXTURE_SETUP(idle)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	self->buf = guest_alloc(&self->f.guest, 64 << 10);
	if (variant->shadow)
		ASSERT_EQ(0, nvme_dbbuf(&self->f.nvme));
}

FIXTURE_TEARDOWN(idle)
{
	nvme_fixture_close(&self->f);
}

/* Some commands are for the executor, which executes all commands but Read, Write and Flush. */
static void work(struct __test_metadata *_metadata, struct nvme *nvme,
		 unsigned char *buf)
{
	__u32 nr = (64 << 10) / nvme->lba_size, i;

	for (i = 0; i < COMMANDS; i++) {
		ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, i * nr % 1024, nr, buf));
		ASSERT_EQ(0, nvme_io(nvme, NVME_OP_COMPARE, i * nr % 1024, nr, buf));
	}
}

TEST_F_TIMEOUT(idle, its_threads_sleep, 60)
{
	struct threads before, after;

	if (access("/proc/self/schedstat", R_OK))
		SKIP(return, "the kernel does not count what a thread runs (CONFIG_SCHEDSTATS)");
	if (variant->busy)
		work(_metadata, &self->f.nvme, self->buf);
	usleep(SETTLE_MS * 1000);
	ASSERT_EQ(0, threads_sum(&before));
	/* An executor for the admin queue, another one for I/O queues, and the fault thread */
	ASSERT_LE(3, before.nr);
	ASSERT_LT(0, before.cpu_ns);
	usleep(IDLE_MS * 1000);
	ASSERT_EQ(0, threads_sum(&after));
	EXPECT_EQ(before.nr, after.nr);
	EXPECT_EQ(before.cpu_ns, after.cpu_ns);
	EXPECT_EQ(before.switches, after.switches);
	/* The device works immediately. */
	EXPECT_EQ(0, nvme_io(&self->f.nvme, NVME_OP_READ, 0, 8, self->buf));
}

SUITE_MAIN(suite_need_mnvme())
