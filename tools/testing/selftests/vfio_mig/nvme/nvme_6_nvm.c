// SPDX-License-Identifier: GPL-2.0-only
/* NVMe 1.4, chapter 6: the NVM command set. nvme_4_memory.c tests errors of the data pointer. */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "lib/nvme_fixture.h"

#define FLUSH		NVME_OP_FLUSH
#define WRITE		NVME_OP_WRITE
#define READ		NVME_OP_READ
#define COMPARE		NVME_OP_COMPARE
#define WRITE_ZEROES	NVME_OP_WRITE_ZEROES
#define DSM		NVME_OP_DSM
#define VERIFY		NVME_OP_VERIFY
#define COPY		NVME_OP_COPY

#define AD		4
/* Blocks of mnvme-64M. */
#define BLOCKS		131072U

/* Cases that are the same for each opcode */
static const struct nvme_case of_each[] = {
	{ "6.1", "of no namespace", { .cdw10 = 0 }, ST_INVALID_NS, AT_NSID },
	{ "6.1", "of namespace 2", { .nsid = 2 }, ST_INVALID_NS, AT_NSID },
	{ "6.1", "of namespace FFFFFFFEh", { .nsid = ~0U - 1 },
	  ST_INVALID_NS, AT_NSID },
	{ "6.2", "first of two that are fused", { .flags = 1, .nsid = 1 },
	  ST_INVALID_FIELD, AT_FLAGS },
	{ "6.2", "second of two that are fused", { .flags = 2, .nsid = 1 },
	  ST_INVALID_FIELD, AT_FLAGS },
	{ "4.2", "a reserved value of FUSE", { .flags = 3, .nsid = 1 },
	  ST_INVALID_FIELD, AT_FLAGS },
	{ "4.2", "PSDT 2, which SGLS does not offer",
	  { .flags = 2 << 6, .nsid = 1 }, ST_INVALID_FIELD, AT_PSDT },
	{ "4.2", "PSDT 3, which is reserved",
	  { .flags = 3 << 6, .nsid = 1 }, ST_INVALID_FIELD, AT_PSDT },
};

/* Cases for each opcode but Flush */
static const struct nvme_case of_all_namespaces[] = {
	{ "6.1", "of all namespaces", { .nsid = ~0U },
	  ST_INVALID_FIELD, AT_NSID },
};

/* Cases for opcodes that name blocks */
static const struct nvme_case of_blocks[] = {
	{ "6", "behind the end", { .nsid = 1, .cdw10 = BLOCKS },
	  ST_LBA_RANGE, AT_CDW10 },
	{ "6", "over the end", { .nsid = 1, .cdw10 = BLOCKS - 1, .cdw12 = 1 },
	  ST_LBA_RANGE, AT_CDW10 },
	{ "6", "2^32 blocks behind", { .nsid = 1, .cdw11 = 1 },
	  ST_LBA_RANGE, AT_CDW10 },
	{ "6", "the last block there can be",
	  { .nsid = 1, .cdw10 = -1U, .cdw11 = -1U }, ST_LBA_RANGE, AT_CDW10 },
	{ "6", "over the last block there can be",
	  { .nsid = 1, .cdw10 = -1U, .cdw11 = -1U, .cdw12 = 1 },
	  ST_LBA_RANGE, AT_CDW10 },
	{ "6", "the first block", { .nsid = 1 } },
	{ "6", "the last block", { .nsid = 1, .cdw10 = BLOCKS - 1 } },
	{ "6", "blocks in the middle", { .nsid = 1, .cdw10 = 7, .cdw12 = 5 } },
	{ "6", "with Force Unit Access and Limited Retry",
	  { .nsid = 1, .cdw12 = 3U << 30 } },
};

/* Cases for opcodes with data: MDTS */
static const struct nvme_case of_data[] = {
	{ "5.15.2.2", "one block more than MDTS", { .nsid = 1, .cdw12 = 2048 },
	  ST_INVALID_FIELD, AT_CDW12 },
	{ "5.15.2.2", "65536 blocks", { .nsid = 1, .cdw12 = 0xffff },
	  ST_INVALID_FIELD, AT_CDW12 },
};

/* Cases for opcodes without data: any number of blocks */
static const struct nvme_case without_data[] = {
	{ "6", "65536 blocks", { .nsid = 1, .cdw12 = 0xffff } },
};

static const struct nvme_case of_flush[] = {
	{ "6.8", "of namespace 1", { FLUSH, .nsid = 1 } },
	{ "6.8", "of all namespaces", { FLUSH, .nsid = ~0U } },
};

static const struct nvme_case of_dsm[] = {
	{ "6.7", "ranges at no dword", { DSM, .nsid = 1, .cdw11 = AD },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 2 },
	{ "6.7", "ranges where no memory is", { DSM, .nsid = 1, .cdw11 = AD },
	  ST_DATA_TRANSFER, AT_NONE, DATA_PRP1, FAR },
	{ "6.7", "256 ranges of which the rest is nowhere",
	  { DSM, .nsid = 1, .cdw10 = 255, .cdw11 = AD, .prp1 = FAR },
	  ST_DATA_TRANSFER, AT_NONE, DATA_OWN },
	{ "6.7", "an SGL with less than the ranges",
	  { DSM, .nsid = 1, .cdw11 = AD, .prp2 = 12 },
	  ST_SGL_LENGTH, AT_NONE, DATA_SGL, SGL_DATA },
	{ "6.7", "a range of no block", { DSM, .nsid = 1, .cdw11 = AD } },
	{ "6.7", "hints only", { DSM, .nsid = 1, .cdw11 = 3 } },
	{ "6.7", "256 ranges of no block", { DSM, .nsid = 1, .cdw10 = 255, .cdw11 = AD } },
};

/* Cases whose data is one valid range: one block from 0 on */
static const struct nvme_case of_copy[] = {
	{ "TP 4065", "ranges in format 1",
	  { COPY, .nsid = 1, .cdw10 = 8, .cdw12 = 1 << 8 },
	  ST_INVALID_FIELD, AT_CDW12_SECOND },
	{ "TP 4065", "ranges in format 15",
	  { COPY, .nsid = 1, .cdw10 = 8, .cdw12 = 15 << 8 },
	  ST_INVALID_FIELD, AT_CDW12_SECOND },
	{ "TP 4065", "one range more than MSRC",
	  { COPY, .nsid = 1, .cdw10 = 8, .cdw12 = 128 },
	  ST_COPY_LIMIT, AT_CDW12 },
	{ "TP 4065", "256 ranges", { COPY, .nsid = 1, .cdw10 = 8, .cdw12 = 255 },
	  ST_COPY_LIMIT, AT_CDW12 },
	{ "TP 4065", "to behind the end", { COPY, .nsid = 1, .cdw10 = BLOCKS },
	  ST_LBA_RANGE, AT_CDW10 },
	{ "TP 4065", "to over the end",
	  { COPY, .nsid = 1, .cdw10 = BLOCKS - 1, .cdw12 = 1 },
	  ST_LBA_RANGE, AT_CDW10 },
	{ "TP 4065", "ranges at no dword", { COPY, .nsid = 1 },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 2 },
	{ "TP 4065", "ranges where no memory is", { COPY, .nsid = 1 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_PRP1, FAR },
	{ "TP 4065", "an SGL with less than the ranges",
	  { COPY, .nsid = 1, .prp2 = 28 }, ST_SGL_LENGTH, AT_NONE, DATA_SGL,
	  SGL_DATA },
	{ "TP 4065", "one block to 8", { COPY, .nsid = 1, .cdw10 = 8 } },
};

FIXTURE(io) {
	struct nvme_fixture f;
	struct nvme_cases c;
};

FIXTURE_SETUP(io)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	ASSERT_EQ(0, nvme_cases_init(&self->c, &self->f.nvme,
				     &self->f.nvme.io[0]));
	if (self->f.nvme.nr_lbas != BLOCKS)
		SKIP(return, "the cases are mnvme-64M's");
}

FIXTURE_TEARDOWN(io)
{
	nvme_fixture_close(&self->f);
}

FIXTURE_VARIANT(io) {
	__u8 opcode;
	bool blocks;
	bool data;
};

FIXTURE_VARIANT_ADD(io, s6_8_flush) { .opcode = FLUSH };
FIXTURE_VARIANT_ADD(io, s6_15_write) {
	.opcode = WRITE, .blocks = true, .data = true
};

FIXTURE_VARIANT_ADD(io, s6_9_read) {
	.opcode = READ, .blocks = true, .data = true
};

FIXTURE_VARIANT_ADD(io, s6_6_compare) {
	.opcode = COMPARE, .blocks = true, .data = true
};

FIXTURE_VARIANT_ADD(io, s6_17_write_zeroes) {
	.opcode = WRITE_ZEROES, .blocks = true
};

FIXTURE_VARIANT_ADD(io, s6_7_dsm) { .opcode = DSM };
FIXTURE_VARIANT_ADD(io, s6_14_verify) { .opcode = VERIFY, .blocks = true };
FIXTURE_VARIANT_ADD(io, tp4065_copy) { .opcode = COPY };

/* Zeroes the whole namespace, for a comparison with zeros. */
static int clear(struct nvme *nvme, void *scratch)
{
	return nvme_deallocate(nvme, 0, nvme->nr_lbas, scratch);
}

TEST_F_TIMEOUT(io, cases, 120)
{
	__u8 opcode = variant->opcode;
	const struct {
		bool applies;
		const struct nvme_case *cases;
		size_t nr;
	} tables[] = {
		{ true, of_each, ARRAY_SIZE(of_each) },
		{ opcode != FLUSH, of_all_namespaces, ARRAY_SIZE(of_all_namespaces) },
		{ variant->blocks, of_blocks, ARRAY_SIZE(of_blocks) },
		{ variant->data, of_data, ARRAY_SIZE(of_data) },
		{ variant->blocks && !variant->data, without_data, ARRAY_SIZE(without_data) },
		{ opcode == FLUSH, of_flush, ARRAY_SIZE(of_flush) },
		{ opcode == DSM, of_dsm, ARRAY_SIZE(of_dsm) },
		{ opcode == COPY, of_copy, ARRAY_SIZE(of_copy) },
	};
	size_t i;

	ASSERT_EQ(0, clear(&self->f.nvme, self->c.buf));
	memset(self->c.buf, 0, 16);
	for (i = 0; i < ARRAY_SIZE(tables); i++)
		if (tables[i].applies)
			try_opcode(_metadata, &self->c, tables[i].cases,
				   tables[i].nr, opcode);
}

FIXTURE(other) {
	struct nvme_fixture f;
	struct nvme_cases c;
};

FIXTURE_SETUP(other)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	ASSERT_EQ(0, nvme_cases_init(&self->c, &self->f.nvme,
				     &self->f.nvme.io[0]));
}

FIXTURE_TEARDOWN(other)
{
	nvme_fixture_close(&self->f);
}

TEST_F_TIMEOUT(other, s6_every_other_opcode, 120)
{
	static const __u8 known[] = {
		FLUSH, WRITE, READ, COMPARE, WRITE_ZEROES, DSM, VERIFY,
		COPY,
	};

	EXPECT_EQ(-1, nvme_cases_opcodes(&self->c, "6", known, sizeof(known)))
		TH_LOG("%s", self->c.why);
}

/* Returns the first block in error, from the last entry of the error log (5.14.1.1). */
static __u64 error_lba(struct nvme_cases *c)
{
	struct nvme_cmd cmd = {
		.opcode = ADMIN_GET_LOG, .cdw10 = 15 << 16 | 1,
		.prp1 = guest_iova(c->nvme->guest, c->log),
	};
	__u64 lba;

	if (nvme_do(c->nvme, &c->nvme->admin, &cmd, NULL))
		return ~0ULL;
	memcpy(&lba, c->log + 16, sizeof(lba));
	return le64toh(lba);
}

/* One bad range among valid ones: no range is deallocated. */
TEST_F(other, s6_7_a_range_behind_the_end)
{
	static const struct nvme_case error = {
		"6.7", "the second of two ranges",
		{ DSM, .nsid = 1, .cdw10 = 1, .cdw11 = AD },
		ST_LBA_RANGE, AT_NONE,
	};
	struct {
		__u32 attributes;
		__u32 nr;
		__u64 lba;
	} range[2] = { { .nr = 8 }, { .nr = 1 } };
	unsigned char *buf = self->c.buf;

	memset(buf, 0x5a, GUEST_PAGE);
	ASSERT_EQ(0, nvme_io(&self->f.nvme, WRITE, 0, 8, buf));
	range[1].lba = self->f.nvme.nr_lbas;
	memcpy(buf, range, sizeof(range));
	EXPECT_EQ(0, nvme_case_try(&self->c, &error))
		TH_LOG("%s", self->c.why);
	EXPECT_EQ(self->f.nvme.nr_lbas, error_lba(&self->c));
	/* A range over the end: its first block exists. */
	range[1].lba = self->f.nvme.nr_lbas - 1;
	range[1].nr = 2;
	memcpy(buf, range, sizeof(range));
	EXPECT_EQ(0, nvme_case_try(&self->c, &error))
		TH_LOG("%s", self->c.why);
	EXPECT_EQ(self->f.nvme.nr_lbas, error_lba(&self->c));
	ASSERT_EQ(0, nvme_io(&self->f.nvme, READ, 0, 8, buf));
	EXPECT_EQ(0x5a, buf[0]);
}

/* The error log has the block that differs, wherever it is (5.14.1.1). */
TEST_F(other, s6_6_a_comparison_that_fails)
{
	static const struct nvme_case error = {
		"6.6", "", { COMPARE, .nsid = 1, .cdw10 = 3, .cdw12 = 20 },
		ST_COMPARE, AT_NONE, DATA_LIST,
	};
	static const int at[] = { 0, 511, 512, 2047, 4096, 4096 + 511, 21 * 512 - 1 };
	unsigned char *buf = self->c.buf;
	size_t i;

	memset(buf, 0x5a, 21 * 512);
	ASSERT_EQ(0, nvme_io(&self->f.nvme, WRITE, 3, 21, buf));
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		buf[at[i]] ^= 1;
		EXPECT_EQ(0, nvme_case_try(&self->c, &error))
			TH_LOG("%s", self->c.why);
		EXPECT_EQ(3 + at[i] / 512, error_lba(&self->c))
			TH_LOG("byte %d differs", at[i]);
		buf[at[i]] ^= 1;
	}
	EXPECT_EQ(0, nvme_io(&self->f.nvme, COMPARE, 3, 21, buf));
	/* The blocks are deallocated, and a comparison with other data must fail. */
	ASSERT_EQ(0, nvme_deallocate(&self->f.nvme, 0, 64, self->c.list));
	memset(buf, 0, 21 * 512);
	EXPECT_EQ(0, nvme_io(&self->f.nvme, COMPARE, 3, 21, buf));
	buf[5000] = 1;
	EXPECT_EQ(0, nvme_case_try(&self->c, &error))
		TH_LOG("%s", self->c.why);
	EXPECT_EQ(3 + 5000 / 512, error_lba(&self->c));
}

/* A place in the data that cannot be used, and the blocks that can be moved before */
static const struct {
	struct nvme_case one;
	__u64 descs[4];			/* of an SGL: address, type and length */
	__u32 blocks;
} places[] = {
	{ { "4.3", "PRP1 where no memory is", { .cdw12 = 31 }, ST_DATA_TRANSFER, AT_NONE,
	    DATA_PRP1, FAR } },
	{ { "4.3", "PRP2 where no memory is", { .cdw12 = 15 }, ST_DATA_TRANSFER, AT_NONE,
	    DATA_PRP2, FAR }, .blocks = 8 },
	{ { "4.3", "the third page at no page", { .cdw12 = 31 }, ST_PRP_OFFSET, AT_NONE,
	    DATA_LIST_ENTRY, 512 }, .blocks = 16 },
	{ { "4.3", "the third page where no memory is", { .cdw12 = 31 }, ST_DATA_TRANSFER,
	    AT_NONE, DATA_LIST_ENTRY, FAR }, .blocks = 16 },
	{ { "4.4", "a list whose first descriptor is of a reserved type", { .cdw12 = 7 },
	    ST_SGL_TYPE, AT_NONE, DATA_OWN }, { 0, 0x60ULL << 56 | 4096 } },
	{ { "4.4", "a list whose second descriptor is of a reserved type", { .cdw12 = 7 },
	    ST_SGL_TYPE, AT_NONE, DATA_OWN }, { 0, 1536, 0, 0x60ULL << 56 | 4096 },
	  .blocks = 3 },
	{ { "4.4", "a list with less than the data", { .cdw12 = 7 }, ST_SGL_LENGTH, AT_NONE,
	    DATA_OWN }, { 0, 1536, 0, 512 }, .blocks = 4 },
};

/* Puts two descriptors into the list. */
static void set_list(struct nvme_cases *c, struct nvme_cmd *cmd, const __u64 *descs)
{
	__u64 data = guest_iova(c->nvme->guest, c->buf);
	int i;

	for (i = 0; i < 4; i += 2) {
		c->list[i] = htole64(data + descs[i]);
		c->list[i + 1] = htole64(descs[i + 1]);
	}
	nvme_cmd_sgl(cmd, guest_iova(c->nvme->guest, c->list), 2);
}

/* The error log has the first block that could not be moved (5.14.1.1). */
TEST_F_TIMEOUT(other, s5_14_1_1_the_first_block_in_error, 120)
{
	static const __u8 opcodes[] = { READ, WRITE, COMPARE };
	static const __u64 from[] = { 0, 8, 16 };
	struct nvme_case one;
	size_t i, j, k;

	memset(self->c.buf, 0, 32 * 512);
	ASSERT_EQ(0, nvme_io(&self->f.nvme, WRITE, 0, 32, self->c.buf));
	ASSERT_EQ(0, nvme_io(&self->f.nvme, WRITE, 32, 32, self->c.buf));
	for (i = 0; i < ARRAY_SIZE(opcodes) * ARRAY_SIZE(from); i++) {
		j = i % ARRAY_SIZE(from);
		for (k = 0; k < ARRAY_SIZE(places); k++) {
			one = places[k].one;
			one.cmd.opcode = opcodes[i / ARRAY_SIZE(from)];
			one.cmd.nsid = 1;
			one.cmd.cdw10 = from[j];
			if (one.data == DATA_OWN)
				set_list(&self->c, &one.cmd, places[k].descs);
			EXPECT_EQ(0, nvme_case_try(&self->c, &one))
				TH_LOG("%s", self->c.why);
			EXPECT_EQ(from[j] + places[k].blocks, error_lba(&self->c))
				TH_LOG("opcode %#x from block %llu: %s", one.cmd.opcode,
				       (unsigned long long)from[j], one.name);
		}
	}
}

SUITE_MAIN(suite_need_mnvme())
