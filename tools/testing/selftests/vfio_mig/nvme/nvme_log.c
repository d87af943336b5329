// SPDX-License-Identifier: GPL-2.0-only
/* A guest that makes errors all the time does not fill its host's log. */
#include <unistd.h>

#include "lib/clock.h"
#include "lib/kmsg.h"
#include "lib/nvme_fixture.h"

#define TIMES		3000

FIXTURE(log) {
	struct nvme_fixture f;
	int kmsg;
};

FIXTURE_VARIANT(log) {
	int (*wrong)(struct nvme *nvme);
};

/* Writes a doorbell value that the queue cannot have. */
static int doorbell(struct nvme *nvme)
{
	return nvme_write32(nvme, DOORBELLS + 2 * nvme->doorbell_stride, 0xffff);
}

/* Half a register. */
static int width(struct nvme *nvme)
{
	__u16 half = 0;

	return region_write_all(&nvme->bar0, REG_CC, &half, sizeof(half));
}

/* An admin queue of one entry causes the fatal status until the reset. */
static int fatal(struct nvme *nvme)
{
	return nvme_write32(nvme, REG_CC, 0) ?: nvme_write32(nvme, REG_AQA, 0) ?:
	       nvme_write32(nvme, REG_CC, CC_ENABLE);
}

FIXTURE_VARIANT_ADD(log, doorbells) { .wrong = doorbell };
FIXTURE_VARIANT_ADD(log, widths) { .wrong = width };
FIXTURE_VARIANT_ADD(log, fatal_status) { .wrong = fatal };

FIXTURE_SETUP(log)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	self->kmsg = kmsg_open();
	ASSERT_LE(0, self->kmsg)
		TH_LOG("/dev/kmsg: %s", errname(self->kmsg));
}

FIXTURE_TEARDOWN(log)
{
	close(self->kmsg);
	nvme_fixture_close(&self->f);
}

TEST_F(log, is_not_filled)
{
	double begin = clock_now(), took;
	int lines, i;

	for (i = 0; i < TIMES; i++)
		ASSERT_RET(0, variant->wrong(&self->f.nvme));
	took = clock_now() - begin;
	lines = kmsg_count(self->kmsg, &self->f.dev);
	/* Some events are logged, and others are suppressed. */
	EXPECT_LT(0, lines);
	EXPECT_GE(kmsg_most(took), lines)
		TH_LOG("%d lines in %.0f s", lines, took);
}

static void need_mnvme(void)
{
	suite_need_v1();
	suite_need_nvme();
	suite_need_mnvme();
}

SUITE_MAIN(need_mnvme())
