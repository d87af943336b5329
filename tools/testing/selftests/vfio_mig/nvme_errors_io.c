// SPDX-License-Identifier: GPL-2.0-only
/*
 * I/O commands that are wrong: each opcode with each field that can be, by NVMe 1.4,
 * chapters 4 (data pointers) and 6.
 */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "lib/nvme_errors.h"
#include "lib/nvme_fixture.h"

#define FLUSH		0x00
#define WRITE		0x01
#define READ		0x02
#define COMPARE		0x05
#define WRITE_ZEROES	0x08
#define DSM		0x09
#define VERIFY		0x0c
#define COPY		0x19

#define FAR		(1ULL << 50)
#define SGL		(1 << 6)
/* Descriptor types, with their subtype in the lower half. */
#define SGL_DATA	0x00
#define SGL_SEGMENT	0x20
#define SGL_LAST	0x30

/* For each opcode: what does not depend on it. */
static const struct nvme_error of_each[] = {
	{ "of no namespace", { 0 }, ST_INVALID_NS, AT_NSID },
	{ "of namespace 2", { .nsid = 2 }, ST_INVALID_NS, AT_NSID },
	{ "of namespace FFFFFFFEh", { .nsid = ~0U - 1 },
	  ST_INVALID_NS, AT_NSID },
	{ "first of two that are fused", { .flags = 1, .nsid = 1 },
	  ST_INVALID_FIELD, AT_FLAGS },
	{ "second of two that are fused", { .flags = 2, .nsid = 1 },
	  ST_INVALID_FIELD, AT_FLAGS },
	{ "with a data pointer that is reserved",
	  { .flags = 3 << 6, .nsid = 1 }, ST_INVALID_FIELD, AT_FLAGS },
};

/* For each but Flush. */
static const struct nvme_error of_all_namespaces = {
	"of all namespaces", { .nsid = ~0U }, ST_INVALID_NS, AT_NSID
};

/* For those that name blocks. The namespace's size is added to CDW10. */
static const struct nvme_error of_blocks[] = {
	{ "behind the end", { .nsid = 1 }, ST_LBA_RANGE, AT_CDW10 },
	{ "over the end", { .nsid = 1, .cdw10 = -1U, .cdw12 = 1 },
	  ST_LBA_RANGE, AT_CDW10 },
	{ "at the last block there can be",
	  { .nsid = 1, .cdw10 = -2U, .cdw11 = -1U },
	  ST_LBA_RANGE, AT_CDW10 },
};

/* For those with data. Blocks are of 512 bytes. */
static const struct nvme_error of_data[] = {
	{ "of more than MDTS", { .nsid = 1, .cdw12 = 2048 },
	  ST_INVALID_FIELD, AT_CDW12 },
	{ "PRP1 of no dword", { .nsid = 1 },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 2 },
	{ "PRP1 where no memory is", { .nsid = 1 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_PRP1, FAR },
	{ "PRP2 with an offset", { .nsid = 1, .cdw12 = 15 },
	  ST_PRP_OFFSET, AT_PRP2, DATA_PRP2, 4 },
	{ "PRP2 where no memory is", { .nsid = 1, .cdw12 = 15 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_PRP2, FAR },
	{ "a PRP list at no qword", { .nsid = 1, .cdw12 = 31 },
	  ST_PRP_OFFSET, AT_PRP2, DATA_LIST, 4 },
	{ "a PRP list where no memory is", { .nsid = 1, .cdw12 = 31 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_LIST, FAR },
	{ "a PRP list with an offset in it", { .nsid = 1, .cdw12 = 31 },
	  ST_PRP_OFFSET, AT_NONE, DATA_LIST_ENTRY, 512 },
	{ "a PRP list to where no memory is", { .nsid = 1, .cdw12 = 31 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_LIST_ENTRY, FAR },
	{ "an SGL descriptor of a type that is reserved",
	  { .nsid = 1, .prp2 = 512 }, ST_SGL_TYPE, AT_PRP1, DATA_SGL, 0x60 },
	{ "an SGL descriptor of a subtype that is not for PCIe",
	  { .nsid = 1, .prp2 = 512 }, ST_SGL_TYPE, AT_PRP1, DATA_SGL, 0x01 },
	{ "an SGL with less than the data",
	  { .nsid = 1, .prp2 = 508 }, ST_SGL_LENGTH, AT_NONE, DATA_SGL,
	  SGL_DATA },
	{ "an SGL segment of no descriptor",
	  { .nsid = 1, .prp2 = 0 }, ST_SGL_SEGMENT, AT_PRP1, DATA_SGL,
	  SGL_SEGMENT },
	{ "an SGL segment of half a descriptor",
	  { .nsid = 1, .prp2 = 24 }, ST_SGL_SEGMENT, AT_PRP1, DATA_SGL,
	  SGL_LAST },
	{ "an SGL segment where no memory is",
	  { .nsid = 1, .flags = SGL, .prp1 = FAR,
	    .prp2 = (__u64)SGL_LAST << 56 | 16 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_OWN },
	{ "SGL data where no memory is",
	  { .nsid = 1, .flags = SGL, .prp1 = FAR,
	    .prp2 = (__u64)SGL_DATA << 56 | 512 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_OWN },
};

static const struct nvme_error of_dsm[] = {
	{ "ranges at no dword", { DSM, .nsid = 1, .cdw11 = 4 },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 2 },
	{ "ranges where no memory is", { DSM, .nsid = 1, .cdw11 = 4 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_PRP1, FAR },
	{ "256 ranges of which the rest is nowhere",
	  { DSM, .nsid = 1, .cdw10 = 255, .cdw11 = 4, .prp1 = FAR },
	  ST_DATA_TRANSFER, AT_NONE, DATA_OWN },
};

/* Of what the data are good for: one block from 0. */
static const struct nvme_error of_copy[] = {
	{ "of ranges in a format that there is not",
	  { COPY, .nsid = 1, .cdw10 = 8, .cdw12 = 1 << 8 },
	  ST_INVALID_FIELD, AT_CDW12_SECOND },
	{ "of more ranges than there may be",
	  { COPY, .nsid = 1, .cdw10 = 8, .cdw12 = 255 },
	  ST_COPY_LIMIT, AT_CDW12 },
	{ "to behind the end", { COPY, .nsid = 1 }, ST_LBA_RANGE, AT_CDW10 },
	{ "to over the end", { COPY, .nsid = 1, .cdw10 = -1U, .cdw12 = 1 },
	  ST_LBA_RANGE, AT_CDW10 },
	{ "of ranges at no dword", { COPY, .nsid = 1 },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 2 },
	{ "of ranges where no memory is", { COPY, .nsid = 1 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_PRP1, FAR },
	{ "an SGL with less than the ranges",
	  { COPY, .nsid = 1, .prp2 = 28 }, ST_SGL_LENGTH, AT_NONE, DATA_SGL,
	  SGL_DATA },
};

FIXTURE(io) {
	struct nvme_fixture f;
	struct nvme_errors e;
};

FIXTURE_SETUP(io)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	ASSERT_EQ(0, nvme_errors_init(&self->e, &self->f.nvme,
				      &self->f.nvme.io[0]));
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

FIXTURE_VARIANT_ADD(io, flush) { .opcode = FLUSH };
FIXTURE_VARIANT_ADD(io, write) {
	.opcode = WRITE, .blocks = true, .data = true
};

FIXTURE_VARIANT_ADD(io, read) {
	.opcode = READ, .blocks = true, .data = true
};

FIXTURE_VARIANT_ADD(io, compare) {
	.opcode = COMPARE, .blocks = true, .data = true
};

FIXTURE_VARIANT_ADD(io, write_zeroes) {
	.opcode = WRITE_ZEROES, .blocks = true
};

FIXTURE_VARIANT_ADD(io, dsm) { .opcode = DSM };
FIXTURE_VARIANT_ADD(io, verify) { .opcode = VERIFY, .blocks = true };
FIXTURE_VARIANT_ADD(io, copy) { .opcode = COPY };

static void try_one(struct __test_metadata *_metadata, struct nvme_errors *e,
		    const struct nvme_error *error, __u8 opcode)
{
	struct nvme_error copy = *error;

	copy.cmd.opcode = opcode;
	/* An address of 64 bits is one of its own. */
	if (error->status == ST_LBA_RANGE && !copy.cmd.cdw11)
		copy.cmd.cdw10 += e->nvme->nr_lbas;
	EXPECT_EQ(0, nvme_errors_try(e, &copy))
		TH_LOG("%s", e->why);
}

static void try_all(struct __test_metadata *_metadata, struct nvme_errors *e,
		    const struct nvme_error *errors, size_t nr, __u8 opcode)
{
	size_t i;

	for (i = 0; i < nr; i++)
		try_one(_metadata, e, errors + i, opcode);
}

TEST_F_TIMEOUT(io, what_is_wrong_has_the_status_that_is_specified, 120)
{
	try_all(_metadata, &self->e, of_each, ARRAY_SIZE(of_each),
		variant->opcode);
	if (variant->opcode != FLUSH)
		try_one(_metadata, &self->e, &of_all_namespaces,
			variant->opcode);
	if (variant->blocks)
		try_all(_metadata, &self->e, of_blocks, ARRAY_SIZE(of_blocks),
			variant->opcode);
	if (variant->data)
		try_all(_metadata, &self->e, of_data, ARRAY_SIZE(of_data),
			variant->opcode);
	if (variant->opcode == DSM)
		try_all(_metadata, &self->e, of_dsm, ARRAY_SIZE(of_dsm),
			DSM);
	if (variant->opcode == COPY)
		try_all(_metadata, &self->e, of_copy, ARRAY_SIZE(of_copy),
			COPY);
}

FIXTURE(other) {
	struct nvme_fixture f;
	struct nvme_errors e;
};

FIXTURE_SETUP(other)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	ASSERT_EQ(0, nvme_errors_init(&self->e, &self->f.nvme,
				      &self->f.nvme.io[0]));
}

FIXTURE_TEARDOWN(other)
{
	nvme_fixture_close(&self->f);
}

TEST_F_TIMEOUT(other, every_other_opcode_is_invalid, 120)
{
	static const __u8 known[] = {
		FLUSH, WRITE, READ, COMPARE, WRITE_ZEROES, DSM, VERIFY,
		COPY,
	};

	EXPECT_EQ(-1, nvme_errors_opcodes(&self->e, known, sizeof(known)))
		TH_LOG("%s", self->e.why);
}

/* One that is bad among those that are not: nothing is deallocated. */
TEST_F(other, a_range_behind_the_end_among_others)
{
	static const struct nvme_error error = {
		"", { DSM, .nsid = 1, .cdw10 = 1, .cdw11 = 4 },
		ST_LBA_RANGE, AT_CDW10,
	};
	struct {
		__u32 attributes;
		__u32 nr;
		__u64 lba;
	} range[2] = { { .nr = 8 }, { .nr = 1 } };
	unsigned char *buf = self->e.buf;

	memset(buf, 0x5a, GUEST_PAGE);
	ASSERT_EQ(0, nvme_io(&self->f.nvme, NVME_OP_WRITE, 0, 8, buf));
	range[1].lba = self->f.nvme.nr_lbas;
	memcpy(buf, range, sizeof(range));
	EXPECT_EQ(0, nvme_errors_try(&self->e, &error))
		TH_LOG("%s", self->e.why);
	ASSERT_EQ(0, nvme_io(&self->f.nvme, NVME_OP_READ, 0, 8, buf));
	EXPECT_EQ(0x5a, buf[0]);
}

TEST_F(other, a_comparison_that_fails)
{
	static const struct nvme_error error = {
		"", { COMPARE, .nsid = 1 }, ST_COMPARE, AT_NONE,
	};
	unsigned char *buf = self->e.buf;

	memset(buf, 0x5a, GUEST_PAGE);
	ASSERT_EQ(0, nvme_io(&self->f.nvme, NVME_OP_WRITE, 0, 8, buf));
	buf[511] ^= 1;
	EXPECT_EQ(0, nvme_errors_try(&self->e, &error))
		TH_LOG("%s", self->e.why);
	buf[511] ^= 1;
	EXPECT_EQ(0, nvme_io(&self->f.nvme, COMPARE, 0, 8, buf));
}

SUITE_MAIN(suite_need_mnvme())
