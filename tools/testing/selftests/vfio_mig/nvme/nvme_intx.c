// SPDX-License-Identifier: GPL-2.0-only
/*
 * INTx: the first signal masks it. If completions are left when it is unmasked, it is
 * signalled again. Tests unmask by ioctl and by eventfd, also across a stop.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fixture.h"
#include "lib/nvme.h"
#include "lib/waiter.h"

#define UNMASK	VFIO_IRQ_SET_ACTION_UNMASK
#define MASK	VFIO_IRQ_SET_ACTION_MASK
#define NONE	VFIO_IRQ_SET_DATA_NONE
#define EVENTFD	VFIO_IRQ_SET_DATA_EVENTFD

#define DEPTH	64

FIXTURE(intx) {
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct nvme nvme;
	struct nvme_queue *q;
	int trigger;
	int unmask;
};

FIXTURE_SETUP(intx)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_RET(0, guest_create(&self->guest, 4 << 20));
	ASSERT_RET(0, guest_attach(&self->guest, &self->dev));
	ASSERT_EQ(0, nvme_start(&self->nvme, &self->dev, &self->guest, 1, DEPTH));
	self->q = &self->nvme.io[0];
	self->trigger = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	self->unmask = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->trigger);
	ASSERT_LE(0, self->unmask);
	ASSERT_RET(0, device_irq_disable(&self->dev,
					 VFIO_PCI_MSIX_IRQ_INDEX));
	ASSERT_RET(0, device_irq_eventfds(&self->dev, VFIO_PCI_INTX_IRQ_INDEX,
					  &self->trigger, 1));
}

FIXTURE_TEARDOWN(intx)
{
	nvme_close(&self->nvme);
	fixture_close(&self->dev, &self->v1);
	guest_destroy(&self->guest);
	close(self->trigger);
	close(self->unmask);
}

static int set_irq(struct device *dev, __u32 flags, int fd)
{
	struct {
		struct vfio_irq_set set;
		__s32 fd;
	} s = {
		.set = {
			.argsz = sizeof(s),
			.flags = flags,
			.index = VFIO_PCI_INTX_IRQ_INDEX,
			.count = 1,
		},
		.fd = fd,
	};

	return ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, &s) ? -errno : 0;
}

/* Returns how often INTx was signalled. Waits up to 5 s for the first signal. */
static int signalled(int fd)
{
	uint64_t count;
	int i;

	for (i = 0; i < 5000; i++) {
		if (read(fd, &count, sizeof(count)) == sizeof(count))
			return count;
		usleep(1000);
	}
	return 0;
}

/* Waits the whole time, because no signal must come. */
static int silent(int fd)
{
	uint64_t count;
	int i;

	for (i = 0; i < 50; i++)
		usleep(1000);
	return read(fd, &count, sizeof(count)) != sizeof(count);
}

static void flush(struct __test_metadata *_metadata, struct nvme *nvme,
		  struct nvme_queue *q)
{
	struct nvme_cmd cmd = { .opcode = NVME_OP_FLUSH, .nsid = 1 };

	ASSERT_LE(0, nvme_submit(nvme, q, &cmd));
	ASSERT_RET(0, nvme_ring(nvme, q));
}

static void take(struct __test_metadata *_metadata, struct nvme *nvme,
		 struct nvme_queue *q)
{
	struct nvme_cqe cqe;

	ASSERT_RET(0, nvme_wait(nvme, q, &cqe));
	EXPECT_EQ(0, cqe.status >> 1);
}

static void give(struct __test_metadata *_metadata, int fd)
{
	uint64_t one = 1;

	ASSERT_EQ(sizeof(one), write(fd, &one, sizeof(one)));
}

TEST_F(intx, is_signalled_once_until_it_is_unmasked)
{
	flush(_metadata, &self->nvme, self->q);
	EXPECT_EQ(1, signalled(self->trigger));
	flush(_metadata, &self->nvme, self->q);
	EXPECT_TRUE(silent(self->trigger));
	EXPECT_RET(0, set_irq(&self->dev, UNMASK | NONE, 0));
	EXPECT_EQ(1, signalled(self->trigger));
	take(_metadata, &self->nvme, self->q);
	take(_metadata, &self->nvme, self->q);
	EXPECT_RET(0, set_irq(&self->dev, UNMASK | NONE, 0));
	EXPECT_TRUE(silent(self->trigger));
}

TEST_F(intx, is_unmasked_by_an_eventfd)
{
	ASSERT_RET(0, set_irq(&self->dev, UNMASK | EVENTFD, self->unmask));
	flush(_metadata, &self->nvme, self->q);
	EXPECT_EQ(1, signalled(self->trigger));
	EXPECT_TRUE(silent(self->trigger));
	give(_metadata, self->unmask);
	EXPECT_EQ(1, signalled(self->trigger));
	take(_metadata, &self->nvme, self->q);
	give(_metadata, self->unmask);
	EXPECT_TRUE(silent(self->trigger));
	flush(_metadata, &self->nvme, self->q);
	EXPECT_EQ(1, signalled(self->trigger));
	take(_metadata, &self->nvme, self->q);
}

TEST_F(intx, the_eventfd_can_be_taken_back)
{
	ASSERT_RET(0, set_irq(&self->dev, UNMASK | EVENTFD, self->unmask));
	EXPECT_RET(-EBUSY, set_irq(&self->dev, UNMASK | EVENTFD, self->unmask));
	ASSERT_RET(0, set_irq(&self->dev, UNMASK | EVENTFD, -1));
	flush(_metadata, &self->nvme, self->q);
	EXPECT_EQ(1, signalled(self->trigger));
	give(_metadata, self->unmask);
	EXPECT_TRUE(silent(self->trigger));
	/* The unmask eventfd ends with the interrupt. */
	ASSERT_RET(0, set_irq(&self->dev, UNMASK | EVENTFD, self->unmask));
	ASSERT_RET(0, device_irq_disable(&self->dev,
					 VFIO_PCI_INTX_IRQ_INDEX));
	EXPECT_RET(-EINVAL, set_irq(&self->dev, UNMASK | EVENTFD, self->unmask));
}

TEST_F(intx, what_is_no_eventfd_is_refused)
{
	EXPECT_RET(-EBADF, set_irq(&self->dev, UNMASK | EVENTFD, 1000));
	EXPECT_RET(-EINVAL, set_irq(&self->dev, UNMASK | EVENTFD, self->dev.fd));
	EXPECT_RET(-ENOTTY, set_irq(&self->dev, MASK | EVENTFD, self->unmask));
}

TEST_F(intx, unmasked_while_stopped_is_signalled_later)
{
	ASSERT_RET(0, set_irq(&self->dev, UNMASK | EVENTFD, self->unmask));
	flush(_metadata, &self->nvme, self->q);
	EXPECT_EQ(1, signalled(self->trigger));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOPPED));
	give(_metadata, self->unmask);
	EXPECT_TRUE(silent(self->trigger));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	EXPECT_EQ(1, signalled(self->trigger));
	take(_metadata, &self->nvme, self->q);
}

/* Returns the CPU time that all CPUs were busy, in hundredths of a second. */
static long busy(void)
{
	unsigned long long t[7] = { 0 };
	FILE *f = fopen("/proc/stat", "r");
	int n = f ? fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu", t, t + 1, t + 2,
			   t + 3, t + 4, t + 5, t + 6) : 0;

	if (f)
		fclose(f);
	/* Without idle and iowait */
	return n == 7 ? (long)(t[0] + t[1] + t[2] + t[5] + t[6]) : -1;
}

/* Returns the time that all CPUs are busy from now on, as a share of the time that passes. */
static double busy_share(unsigned int seconds)
{
	double begun = clock_now();
	long before = busy();

	sleep(seconds);
	return before < 0 ? 1 : (busy() - before) / 100.0 / (clock_now() - begun);
}

/*
 * The same eventfd is the trigger and unmasks INTx, and the host does not take the entry. The
 * user that does this must not keep a CPU busy, because nobody is charged for that.
 */
TEST_F(intx, eventfds_in_a_circle)
{
	double share = 1;
	int i;

	ASSERT_RET(0, set_irq(&self->dev, UNMASK | EVENTFD, self->trigger));
	flush(_metadata, &self->nvme, self->q);
	usleep(500000);
	/* Several periods, because a busy host makes a virtual machine look busy. */
	for (i = 0; i < 4 && share >= 0.5; i++)
		share = busy_share(2);
	EXPECT_GT(0.5, share)
		TH_LOG("a CPU is busy for %.0f %% of the time", share * 100);
	ASSERT_RET(0, set_irq(&self->dev, UNMASK | EVENTFD, -1));
	take(_metadata, &self->nvme, self->q);
	EXPECT_RET(0, set_irq(&self->dev, UNMASK | NONE, 0));
	/* Drops the last signal. */
	silent(self->trigger);
	flush(_metadata, &self->nvme, self->q);
	EXPECT_EQ(1, signalled(self->trigger));
	take(_metadata, &self->nvme, self->q);
}

/* Waits for a completion, and does not take it. */
static int posted(struct nvme_queue *q)
{
	double until = clock_now() + 5;

	while ((q->cq[q->head].status & 1) != q->phase && clock_now() < until)
		usleep(100);
	return (q->cq[q->head].status & 1) == q->phase;
}

/* Returns the seconds from the unmask to the next signal. */
static double unmask_takes(struct __test_metadata *_metadata, int unmask, int trigger)
{
	double start = clock_now();
	uint64_t count;

	give(_metadata, unmask);
	while (read(trigger, &count, sizeof(count)) != sizeof(count) &&
	       clock_now() < start + 5)
		;
	return clock_now() - start;
}

/*
 * A host with shadow doorbells takes entries without a write of a register. It is no circle
 * of eventfds, so no unmask takes longer.
 */
TEST_F(intx, is_unmasked_at_once_with_shadow_doorbells)
{
	double best = 5, takes;
	int i;

	if (waiter_patience(1) > 1)
		SKIP(return, "this kernel is too slow to tell");
	ASSERT_EQ(0, nvme_dbbuf(&self->nvme));
	ASSERT_RET(0, set_irq(&self->dev, UNMASK | EVENTFD, self->unmask));
	flush(_metadata, &self->nvme, self->q);
	EXPECT_EQ(1, signalled(self->trigger));
	take(_metadata, &self->nvme, self->q);
	/* The host writes the register once in each pass through the queue. */
	for (i = 0; i < DEPTH - 4; i++) {
		flush(_metadata, &self->nvme, self->q);
		ASSERT_TRUE(posted(self->q));
		/* Longer than the interrupt may wait for more completions */
		usleep(3000);
		takes = unmask_takes(_metadata, self->unmask, self->trigger);
		ASSERT_GT(5, takes)
			TH_LOG("no signal in round %d", i);
		if (i >= DEPTH / 2 && takes < best)
			best = takes;
		take(_metadata, &self->nvme, self->q);
	}
	EXPECT_GT(0.001, best)
		TH_LOG("each unmask takes %.1f ms", 1e3 * best);
}

#define PCI_STATUS	6
#define PCI_STATUS_INTX	8

/* Returns the offset of the power management register, or 0. */
static __u16 find_power(struct region *config)
{
	__u8 at = 0, id = 0;
	int ret;

	ret = region_read_all(config, 0x34, &at, 1);
	while (!ret && at) {
		ret = region_read_all(config, at, &id, 1);
		if (!ret && id == 1)
			return at + 4;
		ret = ret ? ret : region_read_all(config, at + 1, &at, 1);
	}
	return 0;
}

/* A function in D3hot sends no messages (PCI Express 5.3.1.4), also not those of INTx. */
TEST_F(intx, is_silent_while_the_function_sleeps)
{
	const __u16 d0 = 0, d3 = 3;
	struct region config;
	__u16 power, status;

	ASSERT_RET(0, region_open(&config, &self->dev, VFIO_PCI_CONFIG_REGION_INDEX));
	power = find_power(&config);
	if (!power)
		SKIP(return, "no power management");
	flush(_metadata, &self->nvme, self->q);
	EXPECT_EQ(1, signalled(self->trigger));
	ASSERT_RET(0, region_read_all(&config, PCI_STATUS, &status, 2));
	EXPECT_EQ(PCI_STATUS_INTX, status & PCI_STATUS_INTX);

	ASSERT_RET(0, region_write_all(&config, power, &d3, 2));
	ASSERT_RET(0, set_irq(&self->dev, UNMASK | NONE, 0));
	EXPECT_TRUE(silent(self->trigger));
	ASSERT_RET(0, region_read_all(&config, PCI_STATUS, &status, 2));
	EXPECT_EQ(0, status & PCI_STATUS_INTX);

	ASSERT_RET(0, region_write_all(&config, power, &d0, 2));
	EXPECT_EQ(1, signalled(self->trigger));
	take(_metadata, &self->nvme, self->q);
}

SUITE_MAIN(suite_need_nvme())
