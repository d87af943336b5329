// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVMe 1.4, 5.14 and 5.15: Get Log Page and Identify, with the values of mnvme.
 * nvme_identify.c tests the fields that any controller must have.
 */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "lib/nvme_fixture.h"

#define LOG(lid, dwords)	((__u32)((dwords) - 1) << 16 | (lid))
#define CSI(csi)		((__u32)(csi) << 24)

FIXTURE(pages) {
	struct nvme_fixture f;
	struct nvme_cases c;
};

FIXTURE_SETUP(pages)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	ASSERT_EQ(0, nvme_cases_init(&self->c, &self->f.nvme,
				     &self->f.nvme.admin));
}

FIXTURE_TEARDOWN(pages)
{
	nvme_fixture_close(&self->f);
}

#define NO_LOG(lid)	{ "5.14", "log page " #lid,			\
	{ ADMIN_GET_LOG, .cdw10 = LOG(lid, 128) }, ST_LOG_PAGE, AT_CDW10 }

static const struct nvme_case get_log[] = {
	NO_LOG(0x00), NO_LOG(0x04), NO_LOG(0x06), NO_LOG(0x07), NO_LOG(0x08),
	NO_LOG(0x09), NO_LOG(0x0a), NO_LOG(0x0b), NO_LOG(0x0c), NO_LOG(0x0d),
	NO_LOG(0x0e), NO_LOG(0x0f), NO_LOG(0x70), NO_LOG(0x80), NO_LOG(0x81),
	NO_LOG(0xc0), NO_LOG(0xff),
	{ "5.14", "of namespace 1",
	  { ADMIN_GET_LOG, .nsid = 1, .cdw10 = LOG(2, 128) },
	  ST_INVALID_FIELD, AT_NSID },
	{ "5.14", "of namespace 2",
	  { ADMIN_GET_LOG, .nsid = 2, .cdw10 = LOG(2, 128) },
	  ST_INVALID_FIELD, AT_NSID },
	{ "5.14", "the error log of namespace 1",
	  { ADMIN_GET_LOG, .nsid = 1, .cdw10 = LOG(1, 16) },
	  ST_INVALID_FIELD, AT_NSID },
	{ "5.14", "the firmware slots of namespace 1",
	  { ADMIN_GET_LOG, .nsid = 1, .cdw10 = LOG(3, 128) },
	  ST_INVALID_FIELD, AT_NSID },
	{ "5.14", "the effects of namespace 1",
	  { ADMIN_GET_LOG, .nsid = 1, .cdw10 = LOG(5, 128) },
	  ST_INVALID_FIELD, AT_NSID },
	{ "5.14", "of no namespace", { ADMIN_GET_LOG, .cdw10 = LOG(2, 128) },
	  CASE_BYTES(1, 2, 310) },
	{ "5.14", "of all namespaces",
	  { ADMIN_GET_LOG, .nsid = ~0U, .cdw10 = LOG(2, 128) },
	  CASE_BYTES(1, 2, 310) },
	{ "5.14", "an offset that is no dword's",
	  { ADMIN_GET_LOG, .cdw10 = LOG(2, 128), .cdw12 = 2 },
	  ST_INVALID_FIELD, AT_CDW12 },
	{ "5.14", "an offset of one byte",
	  { ADMIN_GET_LOG, .cdw10 = LOG(2, 128), .cdw12 = 1 },
	  ST_INVALID_FIELD, AT_CDW12 },
	{ "5.14", "an offset behind its end",
	  { ADMIN_GET_LOG, .cdw10 = LOG(2, 128), .cdw12 = 516 },
	  ST_INVALID_FIELD, AT_CDW12 },
	{ "5.14", "an offset of 2^32",
	  { ADMIN_GET_LOG, .cdw10 = LOG(2, 128), .cdw13 = 1 },
	  ST_INVALID_FIELD, AT_CDW12 },
	{ "5.14", "an offset of 2^64 - 4",
	  { ADMIN_GET_LOG, .cdw10 = LOG(2, 128), .cdw12 = -4U, .cdw13 = -1U },
	  ST_INVALID_FIELD, AT_CDW12 },
	{ "5.14", "an offset of 4: the spare threshold is first",
	  { ADMIN_GET_LOG, .cdw10 = LOG(2, 1), .cdw12 = 4 },
	  CASE_BYTES(0, 1, 10) },
	{ "5.14", "more than MDTS",
	  { ADMIN_GET_LOG, .cdw10 = 2, .cdw11 = 8 },
	  ST_INVALID_FIELD, AT_CDW10_HIGH },
	{ "5.14", "all dwords that can be named",
	  { ADMIN_GET_LOG, .cdw10 = 0xffff0002, .cdw11 = 0xffff },
	  ST_INVALID_FIELD, AT_CDW10_HIGH },
	{ "5.14", "more than the page has",
	  { ADMIN_GET_LOG, .cdw10 = LOG(2, 1024) }, CASE_BYTES(3, 2, 10 << 8 | 100) },
	{ "5.14", "one dword", { ADMIN_GET_LOG, .cdw10 = LOG(2, 1) },
	  CASE_BYTES(4, 4, 0xeeeeeeee) },
	{ "5.14", "to no dword", { ADMIN_GET_LOG, .cdw10 = LOG(2, 128) },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 2 },
	{ "5.14", "to where no memory is",
	  { ADMIN_GET_LOG, .prp1 = FAR, .cdw10 = LOG(2, 128) },
	  ST_DATA_TRANSFER, AT_NONE, DATA_OWN },
	{ "5.14", "with an SGL", { ADMIN_GET_LOG, 1 << 6, .cdw10 = LOG(2, 128) },
	  ST_INVALID_FIELD, AT_PSDT },
};

TEST_F(pages, s5_14_get_log_page)
{
	try_cases(_metadata, &self->c, get_log, ARRAY_SIZE(get_log));
}

/*
 * More dwords than the page has, in so many pages of memory that PRP2 points to a list.
 * The end of the log goes to the list's first page, and the list stays as it is.
 */
TEST_F(pages, s5_14_prp_list_for_more_than_there_is)
{
	struct guest *guest = &self->f.guest;
	unsigned char *data = guest_alloc(guest, 3 * GUEST_PAGE);
	__u64 *list = guest_alloc(guest, GUEST_PAGE);
	struct nvme_cmd cmd = {
		.opcode = ADMIN_GET_LOG, .nsid = ~0U, .cdw10 = LOG(5, 2 * 1024),
		.prp1 = guest_iova(guest, data) + 1024,
		.prp2 = guest_iova(guest, list),
	};

	memset(list, 0, GUEST_PAGE);
	list[0] = htole64(guest_iova(guest, data) + GUEST_PAGE);
	list[1] = htole64(guest_iova(guest, data) + 2 * GUEST_PAGE);
	memset(data, 0xee, 3 * GUEST_PAGE);
	ASSERT_EQ(0, nvme_do(&self->f.nvme, &self->f.nvme.admin, &cmd, NULL));
	EXPECT_EQ(1, data[1024]);
	EXPECT_EQ(htole64(guest_iova(guest, data) + GUEST_PAGE), list[0]);
	/* The last 1024 bytes of the page are reserved. */
	EXPECT_EQ(0, data[GUEST_PAGE]);
	EXPECT_EQ(0, data[GUEST_PAGE + 1023]);
	EXPECT_EQ(0xee, data[GUEST_PAGE + 1024]);
}

#define EFFECT(at, v)	{ "5.14.1.5", "effects at " #at,		\
	{ ADMIN_GET_LOG, .cdw10 = LOG(5, 1024) }, CASE_BYTES(at, 4, v) }

static const struct nvme_case log_values[] = {
	{ "5.14.1.2", "no critical warning", { ADMIN_GET_LOG, .cdw10 = LOG(2, 128) },
	  CASE_BYTES(0, 1, 0) },
	{ "5.14.1.2", "Available Spare", { ADMIN_GET_LOG, .cdw10 = LOG(2, 128) },
	  CASE_BYTES(3, 1, 100) },
	{ "5.14.1.2", "Percentage Used", { ADMIN_GET_LOG, .cdw10 = LOG(2, 128) },
	  CASE_BYTES(5, 1, 0) },
	{ "5.14.1.2", "Media and Data Integrity Errors",
	  { ADMIN_GET_LOG, .cdw10 = LOG(2, 128) }, CASE_BYTES(160, 8, 0) },
	{ "5.14.1.2", "sensor 1", { ADMIN_GET_LOG, .cdw10 = LOG(2, 128) },
	  CASE_BYTES(200, 2, 310) },
	{ "5.14.1.2", "sensor 2", { ADMIN_GET_LOG, .cdw10 = LOG(2, 128) },
	  CASE_BYTES(202, 2, 0) },
	{ "5.14.1.3", "slot 1 is active", { ADMIN_GET_LOG, .cdw10 = LOG(3, 128) },
	  CASE_BYTES(0, 1, 1) },
	{ "5.14.1.3", "its revision", { ADMIN_GET_LOG, .cdw10 = LOG(3, 128) },
	  CASE_BYTES(8, 8, 0x2020202020302e31) },
	EFFECT(4 * 0x00, 1), EFFECT(4 * 0x01, 1), EFFECT(4 * 0x02, 1),
	EFFECT(4 * 0x03, 0), EFFECT(4 * 0x04, 1), EFFECT(4 * 0x05, 1),
	EFFECT(4 * 0x06, 1), EFFECT(4 * 0x08, 1), EFFECT(4 * 0x09, 1),
	EFFECT(4 * 0x0a, 1), EFFECT(4 * 0x0c, 1), EFFECT(4 * 0x0d, 0),
	EFFECT(4 * 0x10, 0), EFFECT(4 * 0x18, 0), EFFECT(4 * 0x7c, 1),
	EFFECT(4 * 0x80, 0),
	EFFECT(1024 + 4 * 0x00, 1), EFFECT(1024 + 4 * 0x01, 3),
	EFFECT(1024 + 4 * 0x02, 1), EFFECT(1024 + 4 * 0x04, 0),
	EFFECT(1024 + 4 * 0x05, 1), EFFECT(1024 + 4 * 0x08, 3),
	EFFECT(1024 + 4 * 0x09, 3), EFFECT(1024 + 4 * 0x0c, 1),
	EFFECT(1024 + 4 * 0x0d, 0), EFFECT(1024 + 4 * 0x19, 3),
};

TEST_F(pages, s5_14_1_values)
{
	try_cases(_metadata, &self->c, log_values, ARRAY_SIZE(log_values));
}

#define NO_CNS(cns)	{ "5.15", "CNS " #cns,				\
	{ ADMIN_IDENTIFY, .nsid = 1, .cdw10 = cns },			\
	ST_INVALID_FIELD, AT_CDW10 }
/* A later specification defines this value, and mnvme does not have it. */
#define NOT_YET(cns)	{ "5.15", "CNS " #cns ", of I/O command sets",	\
	{ ADMIN_IDENTIFY, .nsid = 1, .cdw10 = cns },			\
	ST_INVALID_FIELD, AT_NO_ENTRY }

static const struct nvme_case identify[] = {
	{ "5.15.2.1", "namespace 0", { ADMIN_IDENTIFY },
	  ST_INVALID_NS, AT_NSID },
	{ "5.15.2.1", "namespace 2", { ADMIN_IDENTIFY, .nsid = 2 },
	  ST_INVALID_NS, AT_NSID },
	{ "5.15.2.1", "namespace FFFFFFFEh", { ADMIN_IDENTIFY, .nsid = ~0U - 1 },
	  ST_INVALID_NS, AT_NSID },
	{ "5.15.2.1", "all namespaces, which cannot be managed",
	  { ADMIN_IDENTIFY, .nsid = ~0U }, ST_INVALID_NS, AT_NSID },
	{ "5.15.2.2", "the controller, of namespace 1",
	  { ADMIN_IDENTIFY, .nsid = 1, .cdw10 = 1 }, ST_INVALID_FIELD, AT_NSID },
	{ "5.15.2.2", "the controller, of namespace 2",
	  { ADMIN_IDENTIFY, .nsid = 2, .cdw10 = 1 }, ST_INVALID_FIELD, AT_NSID },
	{ "5.15.2.2", "the controller, of all namespaces",
	  { ADMIN_IDENTIFY, .nsid = ~0U, .cdw10 = 1 }, ST_INVALID_FIELD, AT_NSID },
	{ "5.15.2.3", "the list behind FFFFFFFEh",
	  { ADMIN_IDENTIFY, .nsid = ~0U - 1, .cdw10 = 2 },
	  ST_INVALID_NS, AT_NSID },
	{ "5.15.2.3", "the list behind FFFFFFFFh",
	  { ADMIN_IDENTIFY, .nsid = ~0U, .cdw10 = 2 }, ST_INVALID_NS, AT_NSID },
	{ "5.15.2.3", "the list from the first",
	  { ADMIN_IDENTIFY, .cdw10 = 2 }, CASE_BYTES(0, 8, 1) },
	{ "5.15.2.3", "the list behind 1",
	  { ADMIN_IDENTIFY, .nsid = 1, .cdw10 = 2 }, CASE_BYTES(0, 8, 0) },
	{ "5.15.2.3", "the list behind FFFFFFFDh",
	  { ADMIN_IDENTIFY, .nsid = ~0U - 2, .cdw10 = 2 }, CASE_BYTES(0, 8, 0) },
	{ "5.15.2.4", "descriptors of namespace 0",
	  { ADMIN_IDENTIFY, .cdw10 = 3 }, ST_INVALID_NS, AT_NSID },
	{ "5.15.2.4", "descriptors of namespace 2",
	  { ADMIN_IDENTIFY, .nsid = 2, .cdw10 = 3 }, ST_INVALID_NS, AT_NSID },
	{ "5.15.2.4", "descriptors of all namespaces",
	  { ADMIN_IDENTIFY, .nsid = ~0U, .cdw10 = 3 }, ST_INVALID_NS, AT_NSID },
	{ "5.15.2.4", "descriptors: a NGUID first",
	  { ADMIN_IDENTIFY, .nsid = 1, .cdw10 = 3 }, CASE_BYTES(0, 2, 16 << 8 | 2) },
	{ "5.15.2.4", "descriptors: a UUID then",
	  { ADMIN_IDENTIFY, .nsid = 1, .cdw10 = 3 }, CASE_BYTES(20, 2, 16 << 8 | 3) },
	{ "5.15.2.4", "descriptors: the end",
	  { ADMIN_IDENTIFY, .nsid = 1, .cdw10 = 3 }, CASE_BYTES(40, 4, 0) },
	NO_CNS(0x04), NO_CNS(0x09), NO_CNS(0x0a), NO_CNS(0x10), NO_CNS(0x11),
	NO_CNS(0x12), NO_CNS(0x13), NO_CNS(0x14), NO_CNS(0x15), NO_CNS(0x16),
	NO_CNS(0x17), NO_CNS(0x20), NO_CNS(0x80), NO_CNS(0xff),
	NOT_YET(0x07), NOT_YET(0x08), NOT_YET(0x1a), NOT_YET(0x1b),
	NOT_YET(0x1c),
	{ "TP 4056", "CNS 05h, the NVM command set of namespace 1",
	  { ADMIN_IDENTIFY, .nsid = 1, .cdw10 = 5 }, CASE_BYTES(0, 8, 0) },
	{ "TP 4056", "CNS 05h, no extended LBA formats",
	  { ADMIN_IDENTIFY, .nsid = 1, .cdw10 = 5 }, CASE_BYTES(8, 8, 0) },
	{ "TP 4056", "CNS 05h of namespace 2",
	  { ADMIN_IDENTIFY, .nsid = 2, .cdw10 = 5 }, ST_INVALID_NS, AT_NSID },
	{ "TP 4056", "CNS 05h of namespace 0",
	  { ADMIN_IDENTIFY, .cdw10 = 5 }, ST_INVALID_NS, AT_NSID },
	{ "TP 4056", "CNS 05h, zoned namespaces",
	  { ADMIN_IDENTIFY, .nsid = 1, .cdw10 = 5, .cdw11 = CSI(2) },
	  ST_INVALID_FIELD, AT_NO_ENTRY },
	{ "TP 4056", "CNS 05h, key values",
	  { ADMIN_IDENTIFY, .nsid = 1, .cdw10 = 5, .cdw11 = CSI(1) },
	  ST_INVALID_FIELD, AT_NO_ENTRY },
	{ "TP 4056", "CNS 06h, the NVM command set: no limits",
	  { ADMIN_IDENTIFY, .cdw10 = 6 }, CASE_BYTES(0, 8, 0) },
	{ "TP 4056", "CNS 06h, no limit of Dataset Management",
	  { ADMIN_IDENTIFY, .cdw10 = 6 }, CASE_BYTES(8, 8, 0) },
	{ "TP 4056", "CNS 06h of namespace 1",
	  { ADMIN_IDENTIFY, .nsid = 1, .cdw10 = 6 }, ST_INVALID_FIELD, AT_NSID },
	{ "TP 4056", "CNS 06h, zoned namespaces",
	  { ADMIN_IDENTIFY, .cdw10 = 6, .cdw11 = CSI(2) },
	  ST_INVALID_FIELD, AT_NO_ENTRY },
	{ "5.15", "to no dword", { ADMIN_IDENTIFY, .cdw10 = 1 },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 1 },
	{ "5.15", "over the end of a page, PRP2 with an offset",
	  { ADMIN_IDENTIFY, .cdw10 = 1, .prp1 = 0, .prp2 = 0 },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 3 },
	{ "5.15", "to where no memory is",
	  { ADMIN_IDENTIFY, .prp1 = FAR, .cdw10 = 1 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_OWN },
	{ "5.15", "fused", { ADMIN_IDENTIFY, 2, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_FLAGS },
	{ "5.15", "with an SGL", { ADMIN_IDENTIFY, 1 << 6, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_PSDT },
	{ "5.15", "with an SGL and a metadata segment",
	  { ADMIN_IDENTIFY, 2 << 6, .cdw10 = 1 }, ST_INVALID_FIELD, AT_PSDT },
	{ "5.15", "with a data pointer that is reserved",
	  { ADMIN_IDENTIFY, 3 << 6, .cdw10 = 1 }, ST_INVALID_FIELD, AT_PSDT },
};

TEST_F(pages, s5_15_identify)
{
	try_cases(_metadata, &self->c, identify, ARRAY_SIZE(identify));
}

#define CTRL(n, at, len, v)	{ "5.15.2.2", n,			\
	{ ADMIN_IDENTIFY, .cdw10 = 1 }, CASE_BYTES(at, len, v) }

/* Values that a guest reads. A change of a value needs a new level (mnvme.rst). */
static const struct nvme_case ctrl[] = {
	CTRL("VID", 0, 2, 0x1d6b), CTRL("SSVID", 2, 2, 0x1d6b),
	CTRL("MN", 24, 8, 0x656d20656d766e6d), CTRL("FR", 64, 8, 0x2020202020302e31),
	CTRL("RAB", 72, 1, 6), CTRL("IEEE", 73, 3, 0), CTRL("CMIC", 76, 1, 0),
	CTRL("MDTS", 77, 1, 8), CTRL("CNTLID", 78, 2, 0), CTRL("VER", 80, 4, 0x10400),
	CTRL("RTD3R", 84, 4, 0), CTRL("RTD3E", 88, 4, 0), CTRL("OAES", 92, 4, 0),
	CTRL("CTRATT", 96, 4, 0), CTRL("RRLS", 100, 2, 0), CTRL("CNTRLTYPE", 111, 1, 1),
	CTRL("OACS", 256, 2, 0x100), CTRL("ACL", 258, 1, 3), CTRL("AERL", 259, 1, 3),
	CTRL("FRMW", 260, 1, 3), CTRL("LPA", 261, 1, 6), CTRL("ELPE", 262, 1, 63),
	CTRL("NPSS", 263, 1, 0), CTRL("AVSCC", 264, 1, 0), CTRL("APSTA", 265, 1, 0),
	CTRL("WCTEMP", 266, 2, 343), CTRL("CCTEMP", 268, 2, 373),
	CTRL("MTFA", 270, 2, 0), CTRL("HMPRE", 272, 4, 0), CTRL("HMMIN", 276, 4, 0),
	CTRL("TNVMCAP", 280, 8, 0), CTRL("RPMBS", 312, 4, 0), CTRL("KAS", 320, 2, 0),
	CTRL("SANICAP", 328, 4, 0), CTRL("SQES", 512, 1, 0x66), CTRL("CQES", 513, 1, 0x44),
	CTRL("MAXCMD", 514, 2, 0), CTRL("NN", 516, 4, 1), CTRL("ONCS", 520, 2, 0x19d),
	CTRL("FUSES", 522, 2, 0), CTRL("FNA", 524, 1, 0), CTRL("VWC", 525, 1, 6),
	CTRL("AWUN", 526, 2, 0), CTRL("AWUPF", 528, 2, 0), CTRL("NVSCC", 530, 1, 0),
	CTRL("NWPC", 531, 1, 0), CTRL("ACWU", 532, 2, 0), CTRL("OCFS", 534, 2, 1),
	CTRL("SGLS", 536, 4, 0x50001), CTRL("MNAN", 540, 4, 0),
	CTRL("SUBNQN", 768, 8, 0x343130322e6e716e), CTRL("PSD0", 2048, 2, 100),
	CTRL("PSD1", 2080, 8, 0),
};

TEST_F(pages, s5_15_2_2_controller)
{
	try_cases(_metadata, &self->c, ctrl, ARRAY_SIZE(ctrl));
}

#define NS(n, at, len, v)	{ "5.15.2.1", n,			\
	{ ADMIN_IDENTIFY, .nsid = 1 }, CASE_BYTES(at, len, v) }

/* The namespace of mnvme-64M */
static const struct nvme_case ns[] = {
	NS("NSZE", 0, 8, 131072), NS("NCAP", 8, 8, 131072), NS("NSFEAT", 24, 1, 0x11),
	NS("NLBAF", 25, 1, 0), NS("FLBAS", 26, 1, 0), NS("MC", 27, 1, 0),
	NS("DPC", 28, 1, 0), NS("DPS", 29, 1, 0), NS("NMIC", 30, 1, 0),
	NS("RESCAP", 31, 1, 0), NS("FPI", 32, 1, 0), NS("DLFEAT", 33, 1, 9),
	NS("NAWUN", 34, 2, 0), NS("NAWUPF", 36, 2, 0), NS("NACWU", 38, 2, 0),
	NS("NABSN", 40, 2, 0), NS("NABO", 42, 2, 0), NS("NABSPF", 44, 2, 0),
	NS("NOIOB", 46, 2, 0), NS("NVMCAP", 48, 8, 64 << 20), NS("NPWG", 64, 2, 7),
	NS("NPWA", 66, 2, 7), NS("NPDG", 68, 2, 7), NS("NPDA", 70, 2, 7),
	NS("NOWS, a multiple of NPWG", 72, 2, 7), NS("MSSRL", 74, 2, 2048),
	NS("MCL", 76, 4, 2048), NS("MSRC", 80, 1, 127), NS("ANAGRPID", 92, 4, 0),
	NS("NSATTR", 99, 1, 0), NS("NVMSETID", 100, 2, 0), NS("ENDGID", 102, 2, 0),
	NS("EUI64", 120, 8, 0), NS("LBAF0", 128, 4, 9 << 16), NS("LBAF1", 132, 4, 0),
};

TEST_F(pages, s5_15_2_1_namespace)
{
	try_cases(_metadata, &self->c, ns, ARRAY_SIZE(ns));
}

SUITE_MAIN(suite_need_mnvme())
