// SPDX-License-Identifier: GPL-2.0-only
/*
 * INTx of emulated functions: a signal masks it, whatever its source. An ioctl or an eventfd
 * unmasks it, as KVM does when a guest ends an interrupt.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/irq.h"
#include "lib/kinds.h"

#define INTX	VFIO_PCI_INTX_IRQ_INDEX

FIXTURE(intx) {
	struct device dev;
	int trigger;
	int unmask;
};

FIXTURE_VARIANT(intx) {
	struct kind kind;
};

FIXTURE_SETUP(intx)
{
	ASSERT_RET(0, device_open(&self->dev, variant->kind.path));
	self->trigger = irq_open();
	self->unmask = irq_open();
	ASSERT_LE(0, self->trigger);
	ASSERT_LE(0, self->unmask);
	ASSERT_RET(0, irq_eventfds(&self->dev, INTX, 0, &self->trigger, 1));
}

FIXTURE_TEARDOWN(intx)
{
	device_close(&self->dev);
	close(self->trigger);
	close(self->unmask);
}

static int raise_it(struct device *dev)
{
	return irq_fire(dev, INTX, 0, 1);
}

static int mask(struct device *dev)
{
	return irq_set(dev, IRQ_NONE | IRQ_MASK, INTX, 0, 1, NULL, 0);
}

static int unmask(struct device *dev)
{
	return irq_set(dev, IRQ_NONE | IRQ_UNMASK, INTX, 0, 1, NULL, 0);
}

static int unmask_by(struct device *dev, int fd)
{
	return irq_set(dev, IRQ_EVENTFD | IRQ_UNMASK, INTX, 0, 1, &fd, sizeof(fd));
}

static void give(struct __test_metadata *_metadata, int fd)
{
	uint64_t one = 1;

	ASSERT_EQ(sizeof(one), write(fd, &one, sizeof(one)));
}

/* An eventfd unmasks by a work item, so a signal may take up to 5 s. */
static int comes(int fd)
{
	int i, n = 0;

	for (i = 0; i < 5000 && !n; i++) {
		n = irq_taken(fd);
		if (!n)
			usleep(1000);
	}
	return n;
}

static int silent(int fd)
{
	usleep(50000);
	return !irq_taken(fd);
}

TEST_F(intx, is_signalled_once_until_it_is_unmasked)
{
	ASSERT_RET(0, raise_it(&self->dev));
	ASSERT_RET(0, raise_it(&self->dev));
	ASSERT_RET(0, raise_it(&self->dev));
	EXPECT_EQ(1, irq_taken(self->trigger));
	ASSERT_RET(0, unmask(&self->dev));
	EXPECT_EQ(1, irq_taken(self->trigger));
	ASSERT_RET(0, unmask(&self->dev));
	EXPECT_EQ(0, irq_taken(self->trigger));
	ASSERT_RET(0, raise_it(&self->dev));
	EXPECT_EQ(1, irq_taken(self->trigger));
}

TEST_F(intx, masked_by_the_user_it_waits)
{
	ASSERT_RET(0, mask(&self->dev));
	ASSERT_RET(0, mask(&self->dev));
	ASSERT_RET(0, raise_it(&self->dev));
	EXPECT_EQ(0, irq_taken(self->trigger));
	ASSERT_RET(0, unmask(&self->dev));
	EXPECT_EQ(1, irq_taken(self->trigger));
}

TEST_F(intx, a_BOOL_other_than_0_masks_and_unmasks)
{
	__u8 no = 0, yes = 2;

	ASSERT_RET(0, irq_set(&self->dev, IRQ_BOOL | IRQ_MASK, INTX, 0, 1, &no, 1));
	ASSERT_RET(0, raise_it(&self->dev));
	EXPECT_EQ(1, irq_taken(self->trigger));
	ASSERT_RET(0, raise_it(&self->dev));
	ASSERT_RET(0, irq_set(&self->dev, IRQ_BOOL | IRQ_UNMASK, INTX, 0, 1, &no, 1));
	EXPECT_EQ(0, irq_taken(self->trigger));
	ASSERT_RET(0, irq_set(&self->dev, IRQ_BOOL | IRQ_UNMASK, INTX, 0, 1, &yes, 1));
	EXPECT_EQ(1, irq_taken(self->trigger));
	ASSERT_RET(0, unmask(&self->dev));
	ASSERT_RET(0, irq_set(&self->dev, IRQ_BOOL | IRQ_MASK, INTX, 0, 1, &yes, 1));
	ASSERT_RET(0, raise_it(&self->dev));
	EXPECT_EQ(0, irq_taken(self->trigger));
}

TEST_F(intx, a_range_of_none_or_two_is_EINVAL)
{
	EXPECT_RET(-EINVAL, irq_set(&self->dev, IRQ_NONE | IRQ_MASK, INTX, 0, 0,
				    NULL, 0));
	EXPECT_RET(-EINVAL, irq_set(&self->dev, IRQ_NONE | IRQ_UNMASK, INTX, 0, 2,
				    NULL, 0));
	EXPECT_RET(-EINVAL, irq_set(&self->dev, IRQ_NONE | IRQ_UNMASK, INTX, 1, 1,
				    NULL, 0));
}

TEST_F(intx, an_eventfd_unmasks_it)
{
	ASSERT_RET(0, unmask_by(&self->dev, self->unmask));
	ASSERT_RET(0, raise_it(&self->dev));
	ASSERT_RET(0, raise_it(&self->dev));
	EXPECT_EQ(1, irq_taken(self->trigger));
	give(_metadata, self->unmask);
	EXPECT_EQ(1, comes(self->trigger));
	give(_metadata, self->unmask);
	EXPECT_TRUE(silent(self->trigger));
	ASSERT_RET(0, raise_it(&self->dev));
	EXPECT_EQ(1, irq_taken(self->trigger));
}

/* An eventfd that was signalled before it was registered counts. */
TEST_F(intx, a_signalled_eventfd_unmasks_at_once)
{
	ASSERT_RET(0, mask(&self->dev));
	ASSERT_RET(0, raise_it(&self->dev));
	give(_metadata, self->unmask);
	ASSERT_RET(0, unmask_by(&self->dev, self->unmask));
	EXPECT_EQ(1, comes(self->trigger));
}

TEST_F(intx, the_unmasking_eventfd_can_be_taken_back)
{
	ASSERT_RET(0, unmask_by(&self->dev, self->unmask));
	EXPECT_RET(-EBUSY, unmask_by(&self->dev, self->unmask));
	ASSERT_RET(0, unmask_by(&self->dev, -1));
	ASSERT_RET(0, raise_it(&self->dev));
	ASSERT_RET(0, raise_it(&self->dev));
	EXPECT_EQ(1, irq_taken(self->trigger));
	give(_metadata, self->unmask);
	EXPECT_TRUE(silent(self->trigger));
	/* The unmask eventfd ends with the interrupt. */
	ASSERT_EQ(1, irq_taken(self->unmask));
	ASSERT_RET(0, unmask_by(&self->dev, self->unmask));
	ASSERT_RET(0, irq_disable(&self->dev, INTX));
	EXPECT_RET(-EINVAL, unmask_by(&self->dev, self->unmask));
	ASSERT_RET(0, irq_eventfds(&self->dev, INTX, 0, &self->trigger, 1));
	ASSERT_RET(0, unmask_by(&self->dev, self->unmask));
}

TEST_F(intx, closing_the_unmasking_eventfd_takes_it_back)
{
	int fd = irq_open(), i, ret = -EBUSY;

	ASSERT_RET(0, unmask_by(&self->dev, fd));
	close(fd);
	for (i = 0; i < 5000 && ret == -EBUSY; i++) {
		ret = unmask_by(&self->dev, self->unmask);
		usleep(1000);
	}
	EXPECT_RET(0, ret);
}

TEST_F(intx, what_is_no_eventfd_does_not_unmask)
{
	EXPECT_RET(-EBADF, unmask_by(&self->dev, 1000));
	EXPECT_RET(-EINVAL, unmask_by(&self->dev, self->dev.fd));
	EXPECT_RET(0, unmask_by(&self->dev, self->unmask));
}

/* One eventfd is trigger and unmask, so each signal unmasks. No lock may be taken twice. */
TEST_F(intx, one_eventfd_may_be_signalled_and_unmask)
{
	int i, ret = 0;

	ASSERT_RET(0, unmask_by(&self->dev, self->trigger));
	for (i = 0; i < 1000 && !ret; i++)
		ret = raise_it(&self->dev);
	EXPECT_RET(0, ret);
	/* The unmask took the last signal. */
	ASSERT_RET(0, irq_eventfds(&self->dev, INTX, 0, &self->unmask, 1));
	ASSERT_RET(0, raise_it(&self->dev));
	EXPECT_LE(1, comes(self->unmask));
}

TEST_F(intx, disabled_and_enabled_it_is_not_masked)
{
	ASSERT_RET(0, mask(&self->dev));
	ASSERT_RET(0, raise_it(&self->dev));
	ASSERT_RET(0, irq_disable(&self->dev, INTX));
	ASSERT_RET(0, irq_eventfds(&self->dev, INTX, 0, &self->trigger, 1));
	EXPECT_EQ(0, irq_taken(self->trigger));
	ASSERT_RET(0, raise_it(&self->dev));
	EXPECT_EQ(1, irq_taken(self->trigger));
}

static int has_intx(struct device *dev)
{
	return device_irq_count(dev, INTX) == 1;
}

KINDS_MAIN_OF(has_intx)
