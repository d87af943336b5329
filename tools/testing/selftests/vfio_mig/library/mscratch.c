// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registers and the interrupt of mscratch: what a stopped device does not do, what moves
 * to the target, and which states the target refuses
 */
#define _GNU_SOURCE
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/irq.h"
#include "lib/migrate.h"
#include "lib/scratch.h"
#include "lib/stream.h"
#include "lib/suite.h"
#include "lib/v1.h"

#define WINDOW_KIB	64

enum { SCRATCH = 0, DOORBELL = 4, STATUS = 8, COUNT = 12 };

/* Layout of the control state: configuration space, then the registers */
#define AT_BAR0		256
#define AT_BAR2_ADDRESS	0x18

/* The third device has INTx. */
static struct mdev mdev[3];

struct side {
	struct device dev;
	struct v1 v1;
	struct region bar;
	int irq;
};

static void side_open_irq(struct __test_metadata *_metadata, struct side *s,
			  int i, int irq_index)
{
	ASSERT_RET(0, device_open(&s->dev, mdev[i].path));
	ASSERT_RET(0, v1_open(&s->v1, &s->dev));
	ASSERT_RET(0, region_open(&s->bar, &s->dev, VFIO_PCI_BAR0_REGION_INDEX));
	s->irq = eventfd(0, EFD_NONBLOCK);
	ASSERT_LE(0, s->irq);
	ASSERT_RET(0, device_irq_eventfds(&s->dev, irq_index, &s->irq, 1));
}

static void side_open(struct __test_metadata *_metadata, struct side *s, int i)
{
	side_open_irq(_metadata, s, i, VFIO_PCI_MSI_IRQ_INDEX);
}

static void side_close(struct side *s)
{
	close(s->irq);
	v1_close(&s->v1);
	device_close(&s->dev);
}

static void put(struct __test_metadata *_metadata, struct side *s, int reg,
		__u32 value)
{
	value = htole32(value);
	ASSERT_EQ(4, region_write(&s->bar, reg, &value, 4));
}

static __u32 get(struct __test_metadata *_metadata, struct side *s, int reg)
{
	__u32 value = 0;

	ASSERT_EQ(4, region_read(&s->bar, reg, &value, 4));
	return le32toh(value);
}

/* Returns how often the interrupt was signalled since the last call. */
static __u64 irqs(struct side *s)
{
	__u64 n;

	return read(s->irq, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

FIXTURE(regs) {
	struct side a;
	struct side b;
	struct buffer stream;
};

FIXTURE_SETUP(regs)
{
	side_open(_metadata, &self->a, 0);
	side_open(_metadata, &self->b, 1);
}

FIXTURE_TEARDOWN(regs)
{
	buffer_free(&self->stream);
	side_close(&self->a);
	side_close(&self->b);
}

TEST_F(regs, the_doorbell_raises_the_interrupt)
{
	struct side *a = &self->a;

	put(_metadata, a, DOORBELL, 1);
	EXPECT_EQ(1, irqs(a));
	EXPECT_EQ(0, get(_metadata, a, DOORBELL));
	EXPECT_EQ(1, get(_metadata, a, STATUS));
	put(_metadata, a, STATUS, 0);
	put(_metadata, a, DOORBELL, 7);
	EXPECT_EQ(1, irqs(a));
	EXPECT_EQ(2, get(_metadata, a, COUNT));
	ASSERT_RET(0, device_irq_disable(&a->dev, VFIO_PCI_MSI_IRQ_INDEX));
	put(_metadata, a, DOORBELL, 1);
	EXPECT_EQ(0, irqs(a));
	ASSERT_RET(0, device_reset(&a->dev));
	EXPECT_EQ(0, get(_metadata, a, COUNT));
}

TEST_F(regs, a_stopped_device_acts_when_it_runs_again)
{
	struct side *a = &self->a;

	ASSERT_RET(0, v1_set_state(&a->v1, V1_STOPPED));
	put(_metadata, a, DOORBELL, 1);
	EXPECT_EQ(0, irqs(a));
	EXPECT_EQ(1, get(_metadata, a, DOORBELL));
	EXPECT_EQ(0, get(_metadata, a, STATUS));
	ASSERT_RET(0, v1_set_state(&a->v1, V1_RUNNING));
	EXPECT_EQ(1, irqs(a));
	EXPECT_EQ(1, get(_metadata, a, COUNT));
}

TEST_F(regs, what_was_not_done_is_done_by_the_target_once)
{
	struct side *a = &self->a, *b = &self->b;

	put(_metadata, a, SCRATCH, 0x12345678);
	ASSERT_RET(0, v1_set_state(&a->v1, V1_STOPPED));
	put(_metadata, a, DOORBELL, 1);
	ASSERT_RET(0, v1_save(&a->v1, &self->stream));
	ASSERT_RET(0, v1_load(&b->v1, &self->stream, 0));
	EXPECT_EQ(0, irqs(b));
	ASSERT_RET(0, v1_set_state(&b->v1, V1_RUNNING));
	EXPECT_EQ(1, irqs(b));
	EXPECT_EQ(1, get(_metadata, b, COUNT));
	EXPECT_EQ(0x12345678, get(_metadata, b, SCRATCH));
	EXPECT_EQ(0, irqs(a));
}

/* The source may have signalled its eventfd when nobody listened. */
TEST_F(regs, a_cause_that_stands_is_signalled_after_a_load)
{
	struct side *a = &self->a, *b = &self->b;

	put(_metadata, a, DOORBELL, 1);
	ASSERT_RET(0, v1_save(&a->v1, &self->stream));
	ASSERT_RET(0, v1_load(&b->v1, &self->stream, 0));
	ASSERT_RET(0, v1_set_state(&b->v1, V1_STOPPED));
	EXPECT_EQ(0, irqs(b));
	ASSERT_RET(0, v1_set_state(&b->v1, V1_RUNNING));
	EXPECT_EQ(1, irqs(b));
	EXPECT_EQ(1, get(_metadata, b, COUNT));
}

/* A register that the user writes in 010 after the END is sent again. */
TEST_F(regs, a_write_after_END_is_sent)
{
	struct side *a = &self->a, *b = &self->b;

	ASSERT_RET(0, v1_save(&a->v1, &self->stream));
	put(_metadata, a, SCRATCH, 0x5555aaaa);
	ASSERT_LT(0, v1_drain(&a->v1, &self->stream));
	ASSERT_RET(0, v1_load(&b->v1, &self->stream, 1));
	ASSERT_RET(0, v1_set_state(&b->v1, V1_RUNNING));
	EXPECT_EQ(0x5555aaaa, get(_metadata, b, SCRATCH));
}

FIXTURE(pin) {
	struct side a;
};

FIXTURE_SETUP(pin)
{
	side_open_irq(_metadata, &self->a, 2, VFIO_PCI_INTX_IRQ_INDEX);
}

FIXTURE_TEARDOWN(pin)
{
	side_close(&self->a);
}

static void unmask(struct __test_metadata *_metadata, struct side *a)
{
	ASSERT_RET(0, irq_set(&a->dev, IRQ_NONE | IRQ_UNMASK,
			      VFIO_PCI_INTX_IRQ_INDEX, 0, 1, NULL, 0));
}

/* The library masks INTx when it is signalled. */
TEST_F(pin, is_signalled_once_for_each_unmask)
{
	struct side *a = &self->a;
	int i;

	for (i = 0; i < 3; i++)
		put(_metadata, a, DOORBELL, 1);
	EXPECT_EQ(3, get(_metadata, a, COUNT));
	EXPECT_EQ(1, irqs(a));
	unmask(_metadata, a);
	EXPECT_EQ(1, irqs(a));
	put(_metadata, a, STATUS, 0);
	unmask(_metadata, a);
	EXPECT_EQ(0, irqs(a));
	put(_metadata, a, DOORBELL, 1);
	EXPECT_EQ(1, irqs(a));
}

/* INTx has a level. A VMM unmasks it before it knows whether the guest has handled the cause. */
TEST_F(pin, comes_again_while_its_cause_stands)
{
	struct side *a = &self->a;
	int i;

	put(_metadata, a, DOORBELL, 1);
	EXPECT_EQ(1, irqs(a));
	for (i = 0; i < 3; i++) {
		unmask(_metadata, a);
		EXPECT_EQ(1, irqs(a));
	}
	put(_metadata, a, STATUS, 0);
	unmask(_metadata, a);
	EXPECT_EQ(0, irqs(a));
}

/* The guest handles the cause while the device is stopped. */
TEST_F(pin, handled_while_stopped_does_not_come)
{
	struct side *a = &self->a;

	put(_metadata, a, DOORBELL, 1);
	EXPECT_EQ(1, irqs(a));
	ASSERT_RET(0, v1_set_state(&a->v1, V1_STOPPED));
	put(_metadata, a, STATUS, 0);
	unmask(_metadata, a);
	ASSERT_RET(0, v1_set_state(&a->v1, V1_RUNNING));
	EXPECT_EQ(0, irqs(a));
}

TEST_F(pin, unmasked_while_stopped_comes_on_the_resume)
{
	struct side *a = &self->a;

	put(_metadata, a, DOORBELL, 1);
	put(_metadata, a, DOORBELL, 1);
	EXPECT_EQ(1, irqs(a));
	ASSERT_RET(0, v1_set_state(&a->v1, V1_STOPPED));
	ASSERT_RET(0, irq_set(&a->dev, IRQ_NONE | IRQ_UNMASK,
			      VFIO_PCI_INTX_IRQ_INDEX, 0, 1, NULL, 0));
	EXPECT_EQ(0, irqs(a));
	ASSERT_RET(0, v1_set_state(&a->v1, V1_RUNNING));
	EXPECT_EQ(1, irqs(a));
}

TEST_F(pin, a_reset_forgets_what_waits_to_be_unmasked)
{
	struct side *a = &self->a;

	put(_metadata, a, DOORBELL, 1);
	put(_metadata, a, DOORBELL, 1);
	EXPECT_EQ(1, irqs(a));
	ASSERT_RET(0, device_reset(&a->dev));
	ASSERT_RET(0, irq_set(&a->dev, IRQ_NONE | IRQ_UNMASK,
			      VFIO_PCI_INTX_IRQ_INDEX, 0, 1, NULL, 0));
	EXPECT_EQ(0, irqs(a));
}

FIXTURE(bad) {
	struct side b;
	struct buffer stream;
};

FIXTURE_VARIANT(bad) {
	int at;			/* offset in the control state */
	__u32 bits;		/* the value there after the change */
};

FIXTURE_VARIANT_ADD(bad, status) { .at = AT_BAR0 + STATUS, .bits = 2 };
FIXTURE_VARIANT_ADD(bad, vendor_id) { .at = 0, .bits = 1 };
FIXTURE_VARIANT_ADD(bad, command) { .at = 4, .bits = 0x100 };
FIXTURE_VARIANT_ADD(bad, capability_list) { .at = 0x34, .bits = 0x80 };
FIXTURE_VARIANT_ADD(bad, bar2_address) { .at = AT_BAR2_ADDRESS, .bits = 1 << 25 };
FIXTURE_VARIANT_ADD(bad, beyond_the_capabilities) { .at = 0xfc, .bits = 1U << 31 };

FIXTURE_SETUP(bad)
{
	struct side a;

	side_open(_metadata, &a, 0);
	ASSERT_RET(0, v1_save(&a.v1, &self->stream));
	side_close(&a);
	side_open(_metadata, &self->b, 1);
}

FIXTURE_TEARDOWN(bad)
{
	buffer_free(&self->stream);
	side_close(&self->b);
}

TEST_F(bad, state_is_refused)
{
	struct side *b = &self->b;
	struct chunk c;
	__le32 word;

	put(_metadata, b, SCRATCH, 0x600d);
	ASSERT_RET(0, stream_find(&self->stream, CHUNK_CONTROL, 0, &c));
	memcpy(&word, c.payload + sizeof(struct control_payload) + variant->at,
	       4);
	word ^= htole32(variant->bits);
	memcpy(c.payload + sizeof(struct control_payload) + variant->at, &word,
	       4);
	chunk_sum(&c);
	chunk_sum_header(&c);
	EXPECT_RET(-EINVAL, v1_load(&b->v1, &self->stream, 0));
	EXPECT_RET(-EINVAL, v1_set_state(&b->v1, V1_RUNNING));
	EXPECT_STATE(V1_RESUMING, &b->v1);
	EXPECT_EQ(0x600d, get(_metadata, b, SCRATCH));
}

int main(int argc, char **argv)
{
	(void)argc;
	scratch_create(mdev, WINDOW_KIB);
	if (mdev_create(&mdev[2], "mscratch", "intx"))
		ksft_exit_fail_msg("no mscratch device of the type intx\n");
	SUITE_RUN(argv);
}
