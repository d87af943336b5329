// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVMe 1.4, 5.13 and 5.21: Get Features and Set Features. The values, and which of them a host
 * can change, are those of mnvme.
 */
#include <stdio.h>

#include "lib/nvme_fixture.h"

#define SET		ADMIN_SET_FEATURES
#define GET		ADMIN_GET_FEATURES

/* Get Features: Select, in CDW10. */
#define DEFAULT		(1 << 8)
#define SAVED		(2 << 8)
#define CAPABILITIES	(3 << 8)
#define SAVE		(1U << 31)

#define CHANGEABLE	4
#define OF_NAMESPACE	2

/* Number of Queues: 64 of each, 0's based */
#define ALL_QUEUES	(63 << 16 | 63)

FIXTURE(features) {
	struct nvme_fixture f;
	struct nvme_cases c;
};

FIXTURE_SETUP(features)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	ASSERT_EQ(0, nvme_cases_init(&self->c, &self->f.nvme,
				     &self->f.nvme.admin));
}

FIXTURE_TEARDOWN(features)
{
	nvme_fixture_close(&self->f);
}

static const struct nvme_case get[] = {
	{ "5.13", "feature 0", { GET }, ST_INVALID_FIELD, AT_CDW10 },
	{ "5.13", "LBA Range Type, which there is not", { GET, .nsid = 1, .cdw10 = 3 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.13", "Volatile Write Cache, which there is not", { GET, .cdw10 = 6 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.13", "Autonomous Power State Transition", { GET, .cdw10 = 0x0c },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.13", "Host Memory Buffer", { GET, .cdw10 = 0x0d },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.13", "Timestamp", { GET, .cdw10 = 0x0e },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.13", "Keep Alive Timer", { GET, .cdw10 = 0x0f },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.13", "Host Controlled Thermal Management", { GET, .cdw10 = 0x10 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.13", "Non-Operational Power State Config", { GET, .cdw10 = 0x11 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.13", "one that is reserved", { GET, .cdw10 = 0x70 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.13", "Software Progress Marker", { GET, .cdw10 = 0x80 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.13", "one that is a vendor's", { GET, .cdw10 = 0xc0 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.13", "feature FFh", { GET, .cdw10 = 0xff },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.13", "Select 4, which is reserved", { GET, .cdw10 = 4 << 8 | 1 },
	  ST_INVALID_FIELD, AT(41, 0) },
	{ "5.13", "Select 5, which is reserved", { GET, .cdw10 = 5 << 8 | 1 },
	  ST_INVALID_FIELD, AT(41, 0) },
	{ "5.13", "Select 7, which is reserved", { GET, .cdw10 = 7 << 8 | 1 },
	  ST_INVALID_FIELD, AT(41, 0) },
	{ "5.13", "of namespace 2", { GET, .nsid = 2, .cdw10 = 1 },
	  ST_INVALID_NS, AT_NSID },
	{ "5.13", "of namespace 1: the controller's", { GET, .nsid = 1, .cdw10 = 7 },
	  CASE_RESULT(ALL_QUEUES) },
	{ "5.13", "of all namespaces: the controller's",
	  { GET, .nsid = ~0U, .cdw10 = 7 }, CASE_RESULT(ALL_QUEUES) },
	{ "5.13", "with an SGL", { GET, 1 << 6, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_PSDT },
	{ "5.13", "fused", { GET, 1, .cdw10 = 1 }, ST_INVALID_FIELD, AT_FLAGS },
};

TEST_F(features, s5_13_get_features)
{
	try_cases(_metadata, &self->c, get, ARRAY_SIZE(get));
}

static const struct nvme_case set[] = {
	{ "5.21", "feature 0", { SET }, ST_INVALID_FIELD, AT_CDW10 },
	{ "5.21", "Volatile Write Cache, which there is not",
	  { SET, .cdw10 = 6, .cdw11 = 1 }, ST_INVALID_FIELD, AT_CDW10 },
	{ "5.21", "Timestamp", { SET, .cdw10 = 0x0e },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.21", "one that is reserved", { SET, .cdw10 = 0x70 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.21", "one that is a vendor's", { SET, .cdw10 = 0xc0 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.21", "saved", { SET, .cdw10 = SAVE | 1 },
	  ST_NOT_SAVEABLE, AT_NONE },
	{ "5.21", "Temperature Threshold saved", { SET, .cdw10 = SAVE | 4 },
	  ST_NOT_SAVEABLE, AT_NONE },
	{ "5.21", "the controller's of namespace 1",
	  { SET, .nsid = 1, .cdw10 = 1 }, ST_NOT_PER_NS, AT_NSID },
	{ "5.21", "the controller's of namespace 2",
	  { SET, .nsid = 2, .cdw10 = 1 }, ST_INVALID_NS, AT_NSID },
	{ "5.21", "the controller's of all namespaces",
	  { SET, .nsid = ~0U, .cdw10 = 1, .cdw11 = 3 } },
	{ "5.21", "with an SGL", { SET, 1 << 6, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_PSDT },
};

TEST_F(features, s5_21_set_features)
{
	try_cases(_metadata, &self->c, set, ARRAY_SIZE(set));
}

/* A feature of the controller: its default, and values that a host sets and reads back */
struct feature {
	const char *section;
	const char *name;
	__u8 fid;
	__u32 set;		/* CDW11 */
	__u32 which;		/* CDW11 of Get Features: the threshold, the vector */
	__u32 now;
	__u32 first;
};

static const struct feature features[] = {
	{ "5.21.1.1", "Arbitration", 1, 0x03020103, 0, 0x03020103, 0 },
	{ "5.21.1.1", "Arbitration, reserved bits", 1, 0x030201fb, 0, 0x03020103, 0 },
	{ "5.21.1.2", "Power Management", 2, 0, 0, 0, 0 },
	{ "5.21.1.2", "Power Management, a hint", 2, 1 << 5, 0, 0, 0 },
	{ "5.21.1.4", "Temperature Threshold, over", 4, 0x1f0, 0, 0x1f0, 343 },
	{ "5.21.1.4", "Temperature Threshold, sensor 1", 4,
	  1 << 16 | 0x1f1, 1 << 16, 0x1f1, 0xffff },
	{ "5.21.1.4", "Temperature Threshold, under", 4,
	  1 << 20 | 0x12, 1 << 20, 0x12, 0 },
	{ "5.21.1.4", "Temperature Threshold, under, sensor 1", 4,
	  1 << 20 | 1 << 16 | 0x13, 1 << 20 | 1 << 16, 0x13, 0 },
	{ "5.21.1.8", "Interrupt Coalescing", 8, 0x0507, 0, 0x0507, 0 },
	{ "5.21.1.9", "Interrupt Vector Configuration", 9, 1 << 16 | 3, 3,
	  1 << 16 | 3, 3 },
	{ "5.21.1.9", "the last vector", 9, 1 << 16 | 64, 64, 1 << 16 | 64, 64 },
	{ "5.21.1.10", "Write Atomicity Normal", 10, 1, 0, 1, 0 },
	{ "5.21.1.11", "Asynchronous Event Configuration", 11, 0x1e, 0, 0x1e, 0 },
};

TEST_F(features, s5_21_1_values)
{
	const struct feature *f;

	for (f = features; f < features + ARRAY_SIZE(features); f++) {
		const struct nvme_case cases[] = {
			{ f->section, f->name, { GET, .cdw10 = CAPABILITIES | f->fid,
			  .cdw11 = f->which }, CASE_RESULT(CHANGEABLE) },
			{ f->section, f->name,
			  { SET, .cdw10 = f->fid, .cdw11 = f->set } },
			{ f->section, f->name, { GET, .cdw10 = f->fid,
			  .cdw11 = f->which }, CASE_RESULT(f->now) },
			{ f->section, f->name, { GET, .cdw10 = DEFAULT | f->fid,
			  .cdw11 = f->which }, CASE_RESULT(f->first) },
			{ f->section, f->name, { GET, .cdw10 = SAVED | f->fid,
			  .cdw11 = f->which }, CASE_RESULT(f->first) },
		};

		try_cases(_metadata, &self->c, cases, ARRAY_SIZE(cases));
	}
}

static const struct nvme_case wrong[] = {
	{ "5.21.1.2", "power state 1", { SET, .cdw10 = 2, .cdw11 = 1 },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "5.21.1.2", "power state 31", { SET, .cdw10 = 2, .cdw11 = 31 },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "5.21.1.4", "sensor 2, which there is not",
	  { SET, .cdw10 = 4, .cdw11 = 2 << 16 }, ST_INVALID_FIELD, AT_CDW11_HIGH },
	{ "5.21.1.4", "sensor 8, which there is not",
	  { SET, .cdw10 = 4, .cdw11 = 8 << 16 }, ST_INVALID_FIELD, AT_CDW11_HIGH },
	{ "5.21.1.4", "sensor 14, which is reserved",
	  { SET, .cdw10 = 4, .cdw11 = 14 << 16 }, ST_INVALID_FIELD, AT_CDW11_HIGH },
	{ "5.21.1.4", "type 2, which is reserved",
	  { SET, .cdw10 = 4, .cdw11 = 2 << 20 }, ST_INVALID_FIELD, AT(46, 4) },
	{ "5.21.1.4", "type 3, which is reserved",
	  { SET, .cdw10 = 4, .cdw11 = 3 << 20 }, ST_INVALID_FIELD, AT(46, 4) },
	{ "5.21.1.4", "all sensors at once",
	  { SET, .cdw10 = 4, .cdw11 = 0xf << 16 | 0x1ff } },
	{ "5.21.1.4", "the first of them", { GET, .cdw10 = 4 },
	  CASE_RESULT(0x1ff) },
	{ "5.21.1.4", "the second of them", { GET, .cdw10 = 4, .cdw11 = 1 << 16 },
	  CASE_RESULT(0x1ff) },
	{ "5.21.1.4", "get all sensors", { GET, .cdw10 = 4, .cdw11 = 0xf << 16 },
	  ST_INVALID_FIELD, AT_CDW11_HIGH },
	{ "5.21.1.4", "get sensor 2, which there is not",
	  { GET, .cdw10 = 4, .cdw11 = 2 << 16 }, ST_INVALID_FIELD, AT_CDW11_HIGH },
	{ "5.21.1.5", "Error Recovery of no namespace", { SET, .cdw10 = 5 },
	  ST_INVALID_NS, AT_NSID },
	{ "5.21.1.5", "get Error Recovery of no namespace", { GET, .cdw10 = 5 },
	  ST_INVALID_NS, AT_NSID },
	{ "5.21.1.5", "get Error Recovery of all namespaces",
	  { GET, .nsid = ~0U, .cdw10 = 5 }, ST_INVALID_NS, AT_NSID },
	{ "5.21.1.5", "DULBE, which the namespace has not",
	  { SET, .nsid = 1, .cdw10 = 5, .cdw11 = 1 << 16 },
	  ST_INVALID_FIELD, AT_CDW11_HIGH },
	{ "5.21.1.5", "TLER", { SET, .nsid = 1, .cdw10 = 5, .cdw11 = 0x1234 } },
	{ "5.21.1.5", "TLER is told", { GET, .nsid = 1, .cdw10 = 5 },
	  CASE_RESULT(0x1234) },
	{ "5.21.1.5", "TLER of all namespaces",
	  { SET, .nsid = ~0U, .cdw10 = 5, .cdw11 = 0x4321 } },
	{ "5.21.1.5", "TLER of all namespaces is told",
	  { GET, .nsid = 1, .cdw10 = 5 }, CASE_RESULT(0x4321) },
	{ "5.21.1.5", "capabilities: of a namespace",
	  { GET, .nsid = 1, .cdw10 = CAPABILITIES | 5 },
	  CASE_RESULT(CHANGEABLE | OF_NAMESPACE) },
	{ "5.21.1.7", "65536 submission queues",
	  { SET, .cdw10 = 7, .cdw11 = 0xffff }, ST_INVALID_FIELD, AT_CDW11 },
	{ "5.21.1.7", "65536 completion queues",
	  { SET, .cdw10 = 7, .cdw11 = 0xffffU << 16 },
	  ST_INVALID_FIELD, AT_CDW11_HIGH },
	{ "5.21.1.7", "when there are queues",
	  { SET, .cdw10 = 7, .cdw11 = 1 << 16 | 1 }, ST_SEQUENCE, AT_NONE },
	{ "5.21.1.7", "is told", { GET, .cdw10 = 7 }, CASE_RESULT(ALL_QUEUES) },
	{ "5.21.1.9", "a vector beyond the last",
	  { SET, .cdw10 = 9, .cdw11 = 65 }, ST_INVALID_FIELD, AT_CDW11 },
	{ "5.21.1.9", "vector FFFFh", { SET, .cdw10 = 9, .cdw11 = 0xffff },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "5.21.1.9", "get a vector beyond the last",
	  { GET, .cdw10 = 9, .cdw11 = 65 }, ST_INVALID_FIELD, AT_CDW11 },
	{ "5.21.1.11", "Namespace Attribute Notices, which OAES has not",
	  { SET, .cdw10 = 11, .cdw11 = 1 << 8 }, ST_INVALID_FIELD, AT(45, 0) },
	{ "5.21.1.11", "Firmware Activation Notices, which OAES has not",
	  { SET, .cdw10 = 11, .cdw11 = 1 << 9 }, ST_INVALID_FIELD, AT(45, 1) },
	{ "5.21.1.11", "a reserved bit", { SET, .cdw10 = 11, .cdw11 = 1U << 31 },
	  ST_INVALID_FIELD, AT(47, 7) },
};

TEST_F(features, s5_21_1_what_is_wrong)
{
	try_cases(_metadata, &self->c, wrong, ARRAY_SIZE(wrong));
}

/* Any number up to FFFEh is valid before an I/O queue exists. */
TEST_F(features, s5_21_1_7_number_of_queues)
{
	static const struct nvme_case cases[] = {
		{ "5.6", "the last queue goes", { ADMIN_DELETE_SQ, .cdw10 = 1 } },
		{ "5.21.1.7", "a submission queue is gone, its completion queue not",
		  { SET, .cdw10 = 7 }, ST_SEQUENCE, AT_NONE },
		{ "5.5", "the last queue goes", { ADMIN_DELETE_CQ, .cdw10 = 1 } },
		{ "5.21.1.7", "one of each", { SET, .cdw10 = 7 },
		  CASE_RESULT(ALL_QUEUES) },
		{ "5.21.1.7", "FFFEh of each",
		  { SET, .cdw10 = 7, .cdw11 = 0xfffefffe },
		  CASE_RESULT(ALL_QUEUES) },
	};
	struct nvme_cmd make[] = {
		{ ADMIN_CREATE_CQ, .cdw10 = 15 << 16 | 1,
		  .cdw11 = VECTOR(1) | IEN | PC,
		  .prp1 = guest_iova(&self->f.guest,
				     (void *)self->f.nvme.io[0].cq) },
		{ ADMIN_CREATE_SQ, .cdw10 = 15 << 16 | 1, .cdw11 = CQ(1) | PC,
		  .prp1 = guest_iova(&self->f.guest, self->f.nvme.io[0].sq) },
	};
	struct nvme *nvme = &self->f.nvme;
	struct nvme_cmd cmd;
	__u32 result;
	size_t i;

	/* There is no I/O queue, so no Flush after each command. */
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		cmd = cases[i].cmd;
		EXPECT_EQ(cases[i].status,
			  nvme_do(nvme, &nvme->admin, &cmd, &result) & ST_CODE)
			TH_LOG("%s: %s", cases[i].section, cases[i].name);
		if (cases[i].want == WANT_RESULT)
			EXPECT_EQ(cases[i].value, result);
	}
	for (i = 0; i < ARRAY_SIZE(make); i++)
		EXPECT_EQ(0, nvme_do(nvme, &nvme->admin, &make[i], NULL));
}

/* A controller reset restores the defaults (7.3.2). */
TEST_F(features, s5_21_a_reset_brings_the_defaults)
{
	static const struct nvme_case set_all[] = {
		{ "5.21", "Arbitration", { SET, .cdw10 = 1, .cdw11 = 0x01010107 } },
		{ "5.21", "Temperature Threshold", { SET, .cdw10 = 4, .cdw11 = 0x1f0 } },
		{ "5.21", "Error Recovery",
		  { SET, .nsid = 1, .cdw10 = 5, .cdw11 = 7 } },
		{ "5.21", "Write Atomicity Normal", { SET, .cdw10 = 10, .cdw11 = 1 } },
		{ "5.21", "Asynchronous Event Configuration",
		  { SET, .cdw10 = 11, .cdw11 = 0x1f } },
	};
	static const struct nvme_case get_all[] = {
		{ "7.3.2", "Arbitration", { GET, .cdw10 = 1 }, CASE_RESULT(0) },
		{ "7.3.2", "Temperature Threshold", { GET, .cdw10 = 4 },
		  CASE_RESULT(343) },
		{ "7.3.2", "Error Recovery", { GET, .nsid = 1, .cdw10 = 5 },
		  CASE_RESULT(0) },
		{ "7.3.2", "Write Atomicity Normal", { GET, .cdw10 = 10 },
		  CASE_RESULT(0) },
		{ "7.3.2", "Asynchronous Event Configuration", { GET, .cdw10 = 11 },
		  CASE_RESULT(0) },
	};

	try_cases(_metadata, &self->c, set_all, ARRAY_SIZE(set_all));
	nvme_close(&self->f.nvme);
	ASSERT_EQ(0, nvme_start(&self->f.nvme, &self->f.dev, &self->f.guest, 1,
				16));
	ASSERT_EQ(0, nvme_cases_init(&self->c, &self->f.nvme,
				     &self->f.nvme.admin));
	try_cases(_metadata, &self->c, get_all, ARRAY_SIZE(get_all));
}

SUITE_MAIN(suite_need_mnvme())
