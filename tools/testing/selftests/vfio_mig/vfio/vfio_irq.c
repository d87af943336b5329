// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_DEVICE_SET_IRQS: each index, range, kind of data and action, for all interrupts of a
 * device. The rules are those of include/uapi/linux/vfio.h, and else the behaviour of vfio-pci.
 * The test itself signals the interrupts (loopback).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/irq.h"
#include "lib/kinds.h"

#define INTX	VFIO_PCI_INTX_IRQ_INDEX
#define MSIX	VFIO_PCI_MSIX_IRQ_INDEX
#define ERR	VFIO_PCI_ERR_IRQ_INDEX
#define NR	VFIO_PCI_NUM_IRQS
#define MAX	64		/* most vectors of a kind that the test uses */

FIXTURE(irq) {
	struct device dev;
	__u32 count[NR];	/* 0: the device does not have this kind */
	int fd[MAX];
};

FIXTURE_VARIANT(irq) {
	struct kind kind;
};

FIXTURE_SETUP(irq)
{
	int i, count;

	ASSERT_RET(0, device_open(&self->dev, variant->kind.path));
	for (i = 0; i < NR; i++) {
		count = device_irq_count(&self->dev, i);
		self->count[i] = count < 0 ? 0 : count > MAX ? MAX : count;
	}
	for (i = 0; i < MAX; i++) {
		self->fd[i] = irq_open();
		ASSERT_LE(0, self->fd[i]);
	}
}

FIXTURE_TEARDOWN(irq)
{
	int i;

	device_close(&self->dev);
	for (i = 0; i < MAX; i++)
		close(self->fd[i]);
}

/* Returns the next kind of interrupt that the device has, from @i on. */
static __u32 next(struct _test_data_irq *self, __u32 i)
{
	while (i < NR && !self->count[i])
		i++;
	return i;
}

/* Registers an eventfd for each vector of a kind. */
static int enable(struct _test_data_irq *self, __u32 index)
{
	return irq_eventfds(&self->dev, index, 0, self->fd, self->count[index]);
}

static int taken(struct _test_data_irq *self, int i)
{
	return irq_taken(self->fd[i]);
}

TEST_F(irq, an_index_that_there_is_not_is_EINVAL)
{
	const __u32 beyond[] = { NR, NR + 1, 100, 1U << 31, ~0U };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(beyond); i++)
		EXPECT_RET(-EINVAL, irq_eventfds(&self->dev, beyond[i], 0,
						 self->fd, 1));
	for (i = 0; i < NR; i++)
		if (device_irq_count(&self->dev, i) <= 0)
			EXPECT_RET_FOR(-EINVAL, irq_eventfds(&self->dev, i, 0, self->fd, 1),
				       "%s", irq_name(i));
}

TEST_F(irq, a_range_that_is_not_inside_is_EINVAL)
{
	__u32 i, n;

	for (i = next(self, 0); i < NR; i = next(self, i + 1)) {
		n = device_irq_count(&self->dev, i);
		const __u32 bad[][2] = {
			{ 0, n + 1 }, { n, 1 }, { n - 1, 2 }, { n, 0 }, { ~0U, 1 },
			{ 1, ~0U }, { ~0U, ~0U }, { 0, ~0U }, { 1U << 31, 1U << 31 },
		};
		for (unsigned int b = 0; b < ARRAY_SIZE(bad); b++) {
			EXPECT_RET_FOR(-EINVAL,
				       irq_set_argsz(&self->dev, ~0U, IRQ_EVENTFD |
						     IRQ_TRIGGER, i, bad[b][0],
						     bad[b][1], self->fd,
						     sizeof(self->fd)),
				       "%s, %u from %u", irq_name(i), bad[b][1], bad[b][0]);
			EXPECT_RET_FOR(-EINVAL,
				       irq_set(&self->dev, IRQ_NONE | IRQ_TRIGGER, i,
					       bad[b][0], bad[b][1], NULL, 0),
				       "%s, %u from %u", irq_name(i), bad[b][1], bad[b][0]);
		}
	}
}

TEST_F(irq, an_argsz_that_the_data_do_not_fit_is_EINVAL)
{
	__u32 i, argsz, all;

	for (i = next(self, 0); i < NR; i = next(self, i + 1)) {
		all = sizeof(struct vfio_irq_set) + self->count[i] * sizeof(int);
		for (argsz = 0; argsz < all; argsz++)
			EXPECT_RET_FOR(-EINVAL,
				       irq_set_argsz(&self->dev, argsz,
						     IRQ_EVENTFD | IRQ_TRIGGER, i, 0,
						     self->count[i], self->fd,
						     sizeof(self->fd)),
				       "%s, argsz %u", irq_name(i), argsz);
		EXPECT_RET(0, irq_set_argsz(&self->dev, all + 100, IRQ_EVENTFD |
					    IRQ_TRIGGER, i, 0, self->count[i],
					    self->fd, sizeof(self->fd)));
		EXPECT_RET(0, irq_disable(&self->dev, i));
	}
}

TEST_F(irq, flags_that_make_no_sense_are_refused)
{
	const __u32 bad[] = {
		0, IRQ_TRIGGER, IRQ_NONE | IRQ_BOOL | IRQ_TRIGGER,
		IRQ_BOOL | IRQ_EVENTFD | IRQ_TRIGGER,
		IRQ_NONE | IRQ_BOOL | IRQ_EVENTFD | IRQ_TRIGGER,
		IRQ_NONE, IRQ_EVENTFD, IRQ_NONE | IRQ_MASK | IRQ_UNMASK,
		IRQ_EVENTFD | IRQ_TRIGGER | IRQ_MASK, IRQ_NONE | IRQ_TRIGGER | 1 << 6,
		IRQ_NONE | IRQ_TRIGGER | 1U << 31, ~0U,
	};
	unsigned int b;
	__u32 i;
	int ret;

	for (i = next(self, 0); i < NR; i = next(self, i + 1)) {
		ASSERT_RET(0, enable(self, i));
		for (b = 0; b < ARRAY_SIZE(bad); b++) {
			ret = irq_set(&self->dev, bad[b], i, 0, 1, self->fd + 1,
				      sizeof(int));
			EXPECT_TRUE(ret == -EINVAL || ret == -ENOTTY)
				TH_LOG("%s, flags %#x: %s", irq_name(i), bad[b],
				       errname(ret));
		}
		/* The refused call had no effect. */
		EXPECT_RET(0, irq_fire(&self->dev, i, 0, 1));
		EXPECT_EQ(1, taken(self, 0));
		EXPECT_EQ(0, taken(self, 1));
		EXPECT_RET(0, irq_disable(&self->dev, i));
	}
}

/* VFIO masks only INTx here. An eventfd unmasks it, and no eventfd masks it. */
TEST_F(irq, each_kind_of_data_with_each_action)
{
	const __u32 actions[] = { IRQ_MASK, IRQ_UNMASK, IRQ_TRIGGER };
	const __u32 datas[] = { IRQ_NONE, IRQ_BOOL, IRQ_EVENTFD };
	unsigned int a, d;
	int want, yes;
	__u32 i;

	for (i = next(self, 0); i < NR; i = next(self, i + 1)) {
		ASSERT_RET(0, enable(self, i));
		for (a = 0; a < ARRAY_SIZE(actions); a++)
			for (d = 0; d < ARRAY_SIZE(datas); d++) {
				want = actions[a] == IRQ_TRIGGER ? 0 :
				       i != INTX ? -ENOTTY :
				       actions[a] == IRQ_MASK &&
				       datas[d] == IRQ_EVENTFD ? -ENOTTY : 0;
				yes = datas[d] == IRQ_EVENTFD ? self->fd[MAX - 1] : 1;
				EXPECT_RET_FOR(want,
					       irq_set(&self->dev, actions[a] | datas[d],
						       i, 0, 1, &yes, sizeof(yes)),
					       "%s, action %#x, data %#x", irq_name(i),
					       actions[a], datas[d]);
			}
		EXPECT_RET(0, irq_disable(&self->dev, i));
	}
}

TEST_F(irq, what_is_not_in_use_cannot_be_fired_or_masked)
{
	__u8 yes = 1;
	__u32 i;

	for (i = next(self, 0); i < NR; i = next(self, i + 1)) {
		if (i > MSIX)
			continue;	/* The other interrupts exist, too. */
		EXPECT_RET(-EINVAL, irq_fire(&self->dev, i, 0, 1));
		EXPECT_RET(-EINVAL, irq_set(&self->dev, IRQ_BOOL | IRQ_TRIGGER, i,
					    0, 1, &yes, 1));
	}
	if (!self->count[INTX])
		return;
	EXPECT_RET(-EINVAL, irq_set(&self->dev, IRQ_NONE | IRQ_MASK, INTX, 0, 1,
				    NULL, 0));
	EXPECT_RET(-EINVAL, irq_set(&self->dev, IRQ_NONE | IRQ_UNMASK, INTX, 0, 1,
				    NULL, 0));
	EXPECT_RET(-EINVAL, irq_set(&self->dev, IRQ_EVENTFD | IRQ_UNMASK, INTX, 0, 1,
				    self->fd, sizeof(int)));
}

TEST_F(irq, loopback_by_NONE_fires_the_range)
{
	__u32 i, n;

	for (i = next(self, 0); i < NR; i = next(self, i + 1)) {
		ASSERT_RET(0, enable(self, i));
		for (n = 0; n < self->count[i]; n++) {
			EXPECT_RET(0, irq_fire(&self->dev, i, n, 1));
			EXPECT_EQ(1, taken(self, n));
		}
		for (n = 0; n < MAX; n++)
			EXPECT_EQ(0, taken(self, n));
		EXPECT_RET(0, irq_disable(&self->dev, i));
		if (self->count[i] < 3)
			continue;
		ASSERT_RET(0, enable(self, i));
		EXPECT_RET(0, irq_fire(&self->dev, i, 1, self->count[i] - 2));
		for (n = 0; n < self->count[i]; n++)
			EXPECT_EQ(n && n < self->count[i] - 1, taken(self, n));
		EXPECT_RET(0, irq_disable(&self->dev, i));
	}
}

TEST_F(irq, loopback_by_BOOL_fires_where_it_is_not_0)
{
	__u8 bools[MAX];
	__u32 i, n;

	for (n = 0; n < MAX; n++)
		bools[n] = n % 3 ? 0 : n % 2 ? 1 : 0x80;
	for (i = next(self, 0); i < NR; i = next(self, i + 1)) {
		ASSERT_RET(0, enable(self, i));
		EXPECT_RET(0, irq_set(&self->dev, IRQ_BOOL | IRQ_TRIGGER, i, 0,
				      self->count[i], bools, self->count[i]));
		for (n = 0; n < self->count[i]; n++)
			EXPECT_EQ(!!bools[n], taken(self, n))
				TH_LOG("%s %u", irq_name(i), n);
		bools[1] = 0;
		EXPECT_RET(0, irq_set(&self->dev, IRQ_BOOL | IRQ_TRIGGER, i, 0, 1,
				      bools + 1, 1));
		EXPECT_EQ(0, taken(self, 0));
		EXPECT_RET(0, irq_disable(&self->dev, i));
	}
}

TEST_F(irq, a_count_of_0_is_for_taking_all_back)
{
	__u32 i;
	int n;

	for (i = next(self, 0); i < NR; i = next(self, i + 1)) {
		ASSERT_RET(0, enable(self, i));
		EXPECT_RET(0, irq_disable(&self->dev, i));
		for (n = 0; i <= MSIX && n < 2; n++) {
			EXPECT_RET(-EINVAL, irq_fire(&self->dev, i, 0, 1));
			EXPECT_EQ(0, taken(self, 0));
			/* A count of 0 does not enable the kind of interrupt. */
			EXPECT_GT(0, irq_eventfds(&self->dev, i, 0, self->fd, 0));
		}
		ASSERT_RET(0, enable(self, i));
		EXPECT_RET(0, irq_fire(&self->dev, i, 0, 1));
		EXPECT_EQ(1, taken(self, 0));
		EXPECT_RET(0, irq_disable(&self->dev, i));
	}
}

TEST_F(irq, minus_1_takes_one_eventfd_back)
{
	const int none = -1;
	__u32 i, n;
	int ret;

	for (i = next(self, 0); i < NR; i = next(self, i + 1)) {
		ASSERT_RET(0, enable(self, i));
		n = self->count[i] / 2;
		EXPECT_RET(0, irq_eventfds(&self->dev, i, n, &none, 1));
		ret = irq_fire(&self->dev, i, 0, self->count[i]);
		/* ERR and REQ have one eventfd. Without it, vfio-pci refuses to signal. */
		if (i <= MSIX || ret != -EINVAL)
			EXPECT_RET(0, ret);
		EXPECT_EQ(0, taken(self, n));
		if (n)
			EXPECT_EQ(1, taken(self, 0));
		EXPECT_RET(0, irq_eventfds(&self->dev, i, n, self->fd + n, 1));
		EXPECT_RET(0, irq_fire(&self->dev, i, n, 1));
		EXPECT_EQ(1, taken(self, n));
		EXPECT_RET(0, irq_disable(&self->dev, i));
	}
}

TEST_F(irq, another_eventfd_replaces_the_first)
{
	__u32 i;

	for (i = next(self, 0); i < NR; i = next(self, i + 1)) {
		ASSERT_RET(0, enable(self, i));
		EXPECT_RET(0, irq_eventfds(&self->dev, i, 0, self->fd + MAX - 1, 1));
		EXPECT_RET(0, irq_fire(&self->dev, i, 0, 1));
		EXPECT_EQ(0, taken(self, 0));
		EXPECT_EQ(1, taken(self, MAX - 1));
		EXPECT_RET(0, irq_disable(&self->dev, i));
	}
}

/* If one file of a range is no eventfd, the call sets none, and does not enable the kind. */
TEST_F(irq, what_is_no_eventfd_is_refused_as_a_whole)
{
	const struct {
		int fd;
		int want;
	} bad[] = {
		{ 1000, -EBADF }, { self->dev.fd, -EINVAL }, { -2, -EINVAL },
	};
	int fds[MAX];
	unsigned int b;
	__u32 i, n;

	for (i = next(self, 0); i < NR; i = next(self, i + 1))
		for (b = 0; b < ARRAY_SIZE(bad); b++) {
			n = self->count[i];
			memcpy(fds, self->fd, sizeof(fds));
			fds[n - 1] = bad[b].fd;
			EXPECT_RET_FOR(bad[b].want,
				       irq_eventfds(&self->dev, i, 0, fds, n),
				       "%s, fd %d", irq_name(i), bad[b].fd);
			if (i <= MSIX)
				EXPECT_RET(-EINVAL, irq_fire(&self->dev, i, 0, 1));
			ASSERT_RET(0, enable(self, i));
			fds[0] = n > 1 ? self->fd[MAX - 1] : fds[0];
			EXPECT_RET(bad[b].want,
				   irq_eventfds(&self->dev, i, 0, fds, n));
			EXPECT_RET(0, irq_fire(&self->dev, i, 0, 1));
			EXPECT_EQ(1, taken(self, 0))
				TH_LOG("%s, fd %d", irq_name(i), bad[b].fd);
			EXPECT_RET(0, irq_disable(&self->dev, i));
		}
}

TEST_F(irq, data_at_an_address_that_is_none_are_EFAULT)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_irq_set *set;
	__u32 i;

	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, munmap(page + 4096, 4096));
	set = (void *)(page + 4096 - sizeof(*set));
	for (i = next(self, 0); i < NR; i = next(self, i + 1)) {
		*set = (struct vfio_irq_set) {
			.argsz = sizeof(*set) + sizeof(int), .index = i, .count = 1,
			.flags = IRQ_EVENTFD | IRQ_TRIGGER,
		};
		EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_DEVICE_SET_IRQS, set));
		EXPECT_EQ(EFAULT, errno);
	}
	EXPECT_EQ(-1, ioctl(self->dev.fd, VFIO_DEVICE_SET_IRQS, NULL));
	EXPECT_EQ(EFAULT, errno);
	munmap(page, 4096);
}

TEST_F(irq, one_of_intx_msi_and_msix_at_a_time)
{
	__u32 i, other;

	for (i = next(self, 0); i < NR; i = next(self, i + 1)) {
		if (i > MSIX)
			continue;
		ASSERT_RET(0, enable(self, i));
		for (other = 0; other <= MSIX; other++) {
			if (other == i || !self->count[other])
				continue;
			EXPECT_RET_FOR(-EINVAL, enable(self, other), "%s beside %s",
				       irq_name(other), irq_name(i));
			EXPECT_RET(-EINVAL, irq_fire(&self->dev, other, 0, 1));
		}
		EXPECT_RET(0, irq_fire(&self->dev, i, 0, 1));
		EXPECT_EQ(1, taken(self, 0));
		EXPECT_RET(0, irq_disable(&self->dev, i));
	}
}

TEST_F(irq, ERR_and_REQ_are_there_beside_the_others)
{
	__u32 i, other;

	for (i = next(self, 0); i < NR; i = next(self, i + 1))
		for (other = ERR; i <= MSIX && other < NR; other++) {
			if (!self->count[other])
				continue;
			ASSERT_RET(0, enable(self, i));
			ASSERT_RET(0, irq_eventfds(&self->dev, other, 0,
						   self->fd + MAX - 1, 1));
			EXPECT_RET(0, irq_fire(&self->dev, other, 0, 1));
			EXPECT_EQ(1, taken(self, MAX - 1));
			EXPECT_EQ(0, taken(self, 0));
			EXPECT_RET(0, irq_disable(&self->dev, i));
			EXPECT_RET(0, irq_fire(&self->dev, other, 0, 1));
			EXPECT_EQ(1, taken(self, MAX - 1));
			EXPECT_RET(0, irq_disable(&self->dev, other));
		}
}

TEST_F(irq, eventfds_survive_a_reset_but_not_the_user)
{
	__u32 i;

	for (i = next(self, 0); i < NR; i = next(self, i + 1)) {
		ASSERT_RET(0, enable(self, i));
		ASSERT_RET(0, device_reset(&self->dev));
		EXPECT_RET(0, irq_fire(&self->dev, i, 0, 1));
		EXPECT_EQ(1, taken(self, 0))
			TH_LOG("%s", irq_name(i));
		device_close(&self->dev);
		ASSERT_RET(0, device_open(&self->dev, variant->kind.path));
		if (i <= MSIX)
			EXPECT_RET(-EINVAL, irq_fire(&self->dev, i, 0, 1));
		else
			irq_fire(&self->dev, i, 0, 1);
		EXPECT_EQ(0, taken(self, 0));
	}
}

TEST_F(irq, signals_come_as_often_as_they_are_fired)
{
	__u32 i;
	int n;

	for (i = next(self, 0); i < NR; i = next(self, i + 1)) {
		if (i == INTX)
			continue;
		ASSERT_RET(0, enable(self, i));
		for (n = 0; n < 1000; n++)
			EXPECT_RET(0, irq_fire(&self->dev, i, 0, 1));
		EXPECT_EQ(1000, taken(self, 0));
		EXPECT_RET(0, irq_disable(&self->dev, i));
	}
}

KINDS_MAIN()
