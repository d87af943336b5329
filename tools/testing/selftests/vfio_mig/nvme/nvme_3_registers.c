// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVMe 1.4, chapter 3: the controller's registers, by a table of values that are written and
 * read back. The values are those of mnvme.
 */
#include <unistd.h>

#include "lib/nvme_fixture.h"

#define NO_WRITE	0

/* An access: @value is written with @width bytes, and @want is read back. */
struct access {
	const char *section;
	const char *name;
	__u32 reg;
	int width;		/* width of the write, or 0 */
	__u64 value;
	int read;		/* width of the read */
	__u64 want;
};

/* While the controller is disabled */
static const struct access disabled[] = {
	{ "3.1.1", "CAP: 4096 entries, contiguous, 30 s", 0x00, NO_WRITE, 0, 4, 0x3c010fff },
	{ "3.1.1", "CAP: NVM command set, pages to 64 KiB", 0x04, NO_WRITE, 0, 4, 0x00400020 },
	{ "3.1.1", "CAP at once", 0x00, NO_WRITE, 0, 8, 0x004000203c010fff },
	{ "3.1.1", "CAP is read-only", 0x00, 8, ~0ULL, 8, 0x004000203c010fff },
	{ "3.1.1", "its first byte", 0x00, NO_WRITE, 0, 1, 0xff },
	{ "3.1.1", "its second half", 0x02, NO_WRITE, 0, 2, 0x3c01 },
	{ "3.1.2", "VS", 0x08, NO_WRITE, 0, 4, 0x00010400 },
	{ "3.1.2", "VS is read-only", 0x08, 4, ~0U, 4, 0x00010400 },
	{ "3.1.3", "INTMS sets bits", 0x0c, 4, 0x5, 4, 0x5 },
	{ "3.1.3", "INTMS sets more", 0x0c, 4, 0x80000000, 4, 0x80000005 },
	{ "3.1.3", "zeros leave INTMS alone", 0x0c, 4, 0, 4, 0x80000005 },
	{ "3.1.4", "INTMC reads the same", 0x10, NO_WRITE, 0, 4, 0x80000005 },
	{ "3.1.4", "INTMC clears bits", 0x10, 4, 0x4, 4, 0x80000001 },
	{ "3.1.4", "INTMC clears all", 0x10, 4, ~0U, 4, 0 },
	{ "3.1.5", "CC keeps its fields", 0x14, 4, 0x00460000, 4, 0x00460000 },
	{ "3.1.5", "CC's reserved bits read 0", 0x14, 4, 0xff00000e, 4, 0 },
	{ "3.1.5", "a byte does nothing", 0x14, 1, 0x70, 4, 0 },
	{ "3.1.5", "half a register does nothing", 0x14, 2, 0x70, 4, 0 },
	{ "3.1.6", "CSTS is 0", 0x1c, NO_WRITE, 0, 4, 0 },
	{ "3.1.6", "CSTS is read-only", 0x1c, 4, ~0U, 4, 0 },
	{ "3.1.7", "NSSR, which there is not", 0x20, 4, 0x4e564d65, 4, 0 },
	{ "3.1.8", "AQA keeps both sizes", 0x24, 4, 0x001f000f, 4, 0x001f000f },
	{ "3.1.8", "AQA's reserved bits read 0", 0x24, 4, ~0U, 4, 0x0fff0fff },
	{ "3.1.9", "ASQ, low", 0x28, 4, 0x12345fff, 4, 0x12345000 },
	{ "3.1.9", "ASQ, high", 0x2c, 4, 0x9abcdef0, 4, 0x9abcdef0 },
	{ "3.1.9", "ASQ at once", 0x28, 8, 0x123456789abcdfff, 8, 0x123456789abcd000 },
	{ "3.1.10", "ACQ, low", 0x30, 4, 0x54321fff, 4, 0x54321000 },
	{ "3.1.10", "ACQ, high", 0x34, 4, 0x0fedcba9, 4, 0x0fedcba9 },
	{ "3.1.10", "ACQ at once", 0x30, 8, 0xfedcba9876543fff, 8, 0xfedcba9876543000 },
	{ "3.1.11", "CMBLOC, which there is not", 0x38, 4, ~0U, 4, 0 },
	{ "3.1.12", "CMBSZ, which there is not", 0x3c, 4, ~0U, 4, 0 },
	{ "3.1.13", "BPINFO, which there is not", 0x40, 4, ~0U, 4, 0 },
	{ "3.1.14", "BPRSEL, which there is not", 0x44, 4, ~0U, 4, 0 },
	{ "3.1.15", "BPMBL, which there is not", 0x48, 8, ~0ULL, 8, 0 },
	{ "3.1.16", "CMBMSC, which there is not", 0x50, 8, ~0ULL, 8, 0 },
	{ "3.1.17", "CMBSTS, which there is not", 0x58, 4, ~0U, 4, 0 },
	{ "3.1", "reserved", 0x5c, 4, ~0U, 4, 0 },
	{ "3.1", "reserved, up to 0DFFh", 0xdf8, 8, ~0ULL, 8, 0 },
	{ "3.1.18", "PMRCAP, which there is not", 0xe00, 4, ~0U, 4, 0 },
	{ "3.1.19", "PMRCTL, which there is not", 0xe04, 4, ~0U, 4, 0 },
	{ "3.1.23", "PMRMSC, which there is not", 0xe14, 8, 0, 4, 0 },
	{ "3.1.24", "a doorbell reads 0", 0x1000, 4, 3, 4, 0 },
	{ "3.1.25", "the last doorbell", 0x1fc, NO_WRITE, 0, 4, 0 },
};

/* While nvme_start() has enabled the controller */
static const struct access enabled[] = {
	{ "3.1.6", "CSTS.RDY", 0x1c, NO_WRITE, 0, 4, 1 },
	{ "3.1.5", "CC", 0x14, NO_WRITE, 0, 4, CC_ENABLE },
	{ "3.1.6", "CSTS is read-only", 0x1c, 4, 0, 4, 1 },
	{ "3.1.24", "a doorbell reads 0", 0x1000, NO_WRITE, 0, 4, 0 },
};

FIXTURE(registers) {
	struct nvme_fixture f;
};

FIXTURE_SETUP(registers)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
}

FIXTURE_TEARDOWN(registers)
{
	nvme_fixture_close(&self->f);
}

static void try_all(struct __test_metadata *_metadata, struct region *bar0,
		    const struct access *a, size_t nr)
{
	__u64 got;

	for (; nr--; a++) {
		/* PMR registers, which do not exist: 8 bytes are at 8, not at 4. */
		if (a->reg % (a->width ?: 1) || a->reg % a->read)
			continue;
		if (a->width)
			EXPECT_RET(0, region_write_all(bar0, a->reg, &a->value,
						       a->width));
		got = 0;
		EXPECT_RET(0, region_read_all(bar0, a->reg, &got, a->read));
		EXPECT_EQ(a->want, got)
			TH_LOG("%s, %s: %#llx", a->section, a->name,
			       (unsigned long long)got);
	}
}

TEST_F(registers, s3_1_disabled)
{
	ASSERT_RET(0, nvme_write32(&self->f.nvme, REG_CC, 0));
	ASSERT_EQ(0, nvme_wait_csts(&self->f.nvme, 0));
	try_all(_metadata, &self->f.nvme.bar0, disabled, ARRAY_SIZE(disabled));
}

TEST_F(registers, s3_1_enabled)
{
	try_all(_metadata, &self->f.nvme.bar0, enabled, ARRAY_SIZE(enabled));
}

/* Values of CC and AQA that the controller cannot start with: CSTS.CFS until a reset */
struct enable {
	const char *section;
	const char *name;
	__u32 cc;
	__u32 aqa;
	__u64 asq;
	__u32 csts;
};

static const struct enable enables[] = {
	{ "3.1.5", "CC.CSS 1", CC_ENABLE | 1 << 4, 0x1f001f, 0, CSTS_CFS },
	{ "3.1.5", "CC.CSS 7", CC_ENABLE | 7 << 4, 0x1f001f, 0, CSTS_CFS },
	{ "3.1.5", "CC.MPS 5", CC_ENABLE | 5 << 7, 0x1f001f, 0, CSTS_CFS },
	{ "3.1.5", "CC.MPS 15", CC_ENABLE | 15 << 7, 0x1f001f, 0, CSTS_CFS },
	{ "3.1.5", "CC.AMS 1", CC_ENABLE | 1 << 11, 0x1f001f, 0, CSTS_CFS },
	{ "3.1.5", "CC.AMS 7", CC_ENABLE | 7 << 11, 0x1f001f, 0, CSTS_CFS },
	{ "3.1.8", "AQA.ASQS 0", CC_ENABLE, 0x1f0000, 0, CSTS_CFS },
	{ "3.1.8", "AQA.ACQS 0", CC_ENABLE, 0x1f, 0, CSTS_CFS },
	{ "3.1.9", "ASQ that is not at a page of 64 KiB", CC_ENABLE | 4 << 7,
	  0x1f001f, 0x1000, CSTS_CFS },
	{ "3.1.5", "CC.MPS 4", CC_ENABLE | 4 << 7, 0x1f001f, 0x10000, CSTS_RDY },
	{ "3.1.8", "queues of two entries", CC_ENABLE, 0x10001, 0, CSTS_RDY },
	{ "3.1.8", "queues of 4096 entries", CC_ENABLE, 0x0fff0fff, 0, CSTS_RDY },
	{ "3.1.5", "no sizes of entries of I/O queues", 1, 0x1f001f, 0, CSTS_RDY },
};

static int set_up(struct nvme *nvme, const struct enable *e)
{
	__u64 zero = 0;
	int ret;

	ret = nvme_write32(nvme, REG_CC, 0);
	ret = ret ?: nvme_wait_csts(nvme, 0);
	ret = ret ?: nvme_write32(nvme, REG_AQA, e->aqa);
	ret = ret ?: region_write_all(&nvme->bar0, REG_ASQ, &e->asq, 8);
	ret = ret ?: region_write_all(&nvme->bar0, REG_ACQ, &zero, 8);
	return ret ?: nvme_write32(nvme, REG_CC, e->cc);
}

TEST_F(registers, s3_1_5_enable)
{
	struct nvme *nvme = &self->f.nvme;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(enables); i++) {
		ASSERT_EQ(0, set_up(nvme, &enables[i]));
		EXPECT_EQ(0, nvme_wait_csts(nvme, enables[i].csts))
			TH_LOG("%s, %s", enables[i].section, enables[i].name);
	}
}

/* EN is cleared and set at once, so the first fatal status is not visible. */
TEST_F(registers, s3_1_6_a_reset_hides_the_fatal_status)
{
	const struct enable bad = { .cc = CC_ENABLE, .aqa = 0 };
	struct nvme *nvme = &self->f.nvme;
	__u32 csts;
	int i;

	for (i = 0; i < 50; i++) {
		ASSERT_EQ(0, set_up(nvme, &bad));
		ASSERT_EQ(0, nvme_wait_csts(nvme, CSTS_CFS));
		ASSERT_RET(0, nvme_write32(nvme, REG_CC, 0));
		ASSERT_RET(0, nvme_write32(nvme, REG_AQA, 0x1f001f));
		ASSERT_RET(0, nvme_write32(nvme, REG_CC, CC_ENABLE));
		ASSERT_RET(0, nvme_read32(nvme, REG_CSTS, &csts));
		EXPECT_EQ(0, csts & CSTS_CFS);
		ASSERT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY));
	}
}

/* 7.6.2: a shutdown of a ready controller, which a reset ends */
TEST_F(registers, s7_6_2_shutdown)
{
	struct nvme *nvme = &self->f.nvme;

	ASSERT_RET(0, nvme_write32(nvme, REG_CC, CC_ENABLE | 1 << 14));
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY | CSTS_SHST_DONE));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, 0));
	EXPECT_EQ(0, nvme_wait_csts(nvme, 0));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, CC_ENABLE));
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, CC_ENABLE | 2 << 14));
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY | CSTS_SHST_DONE));
}

/*
 * 3.1.5: a controller reset sets CC to 0. A host that clears only CC.EN after a shutdown has a
 * controller that starts again, and is not shut down again.
 */
TEST_F(registers, s3_1_5_a_reset_ends_a_shutdown)
{
	struct nvme *nvme = &self->f.nvme;
	__u32 cc = ~0U;

	ASSERT_RET(0, nvme_write32(nvme, REG_CC, CC_ENABLE | CC_SHN));
	ASSERT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY | CSTS_SHST_DONE));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, (CC_ENABLE | CC_SHN) & ~1));
	EXPECT_EQ(0, nvme_wait_csts(nvme, 0));
	ASSERT_RET(0, nvme_read32(nvme, REG_CC, &cc));
	EXPECT_EQ(0, cc);
	usleep(50000);
	EXPECT_EQ(0, nvme_wait_csts(nvme, 0))
		TH_LOG("the controller was shut down again");
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, cc | CC_ENABLE));
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY));
	usleep(50000);
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY));
}

/* One write asks for both: the reset comes first. */
TEST_F(registers, s3_1_5_a_shutdown_with_the_reset)
{
	struct nvme *nvme = &self->f.nvme;

	ASSERT_RET(0, nvme_write32(nvme, REG_CC, (CC_ENABLE | CC_SHN) & ~1));
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_SHST_DONE));
	ASSERT_RET(0, nvme_write32(nvme, REG_CC, CC_ENABLE));
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY));
}

SUITE_MAIN(suite_need_mnvme())
