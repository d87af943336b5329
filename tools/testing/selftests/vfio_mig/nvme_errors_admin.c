// SPDX-License-Identifier: GPL-2.0-only
/*
 * Admin commands that are wrong: each opcode with each field that can be, by NVMe 1.4,
 * chapter 5. The numbers of queues, vectors and the like are mnvme's.
 */
#include <stdio.h>

#include "lib/nvme_errors.h"
#include "lib/nvme_fixture.h"

#define DELETE_SQ	0x00
#define CREATE_SQ	0x01
#define GET_LOG		0x02
#define DELETE_CQ	0x04
#define CREATE_CQ	0x05
#define IDENTIFY	0x06
#define ABORT		0x08
#define SET_FEATURES	0x09
#define GET_FEATURES	0x0a
#define AER		0x0c
#define DBBUF		0x7c

/* CDW10 of what creates a queue: 32 entries; and its CDW11. */
#define QUEUE(id)	(31U << 16 | (id))
#define PC		1U
#define CQ(id)		((__u32)(id) << 16)
#define VECTOR(v)	((__u32)(v) << 16)
#define ENTRIES(n)	((__u32)((n) - 1) << 16)

/* Nothing is there. */
#define FAR		(1ULL << 50)

static const struct nvme_error table[] = {
	{ "Delete I/O Submission Queue: 0", { DELETE_SQ },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "... that was not created", { DELETE_SQ, .cdw10 = 60 },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "... beyond the last", { DELETE_SQ, .cdw10 = 65 },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "... 65535", { DELETE_SQ, .cdw10 = 0xffff },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "... with an SGL", { DELETE_SQ, 1 << 6, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_FLAGS },
	{ "... fused", { DELETE_SQ, 1, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_FLAGS },

	{ "Create I/O Submission Queue: 0",
	  { CREATE_SQ, .cdw10 = QUEUE(0), .cdw11 = CQ(1) | PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "... beyond the last",
	  { CREATE_SQ, .cdw10 = QUEUE(65), .cdw11 = CQ(1) | PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "... that is there",
	  { CREATE_SQ, .cdw10 = QUEUE(1), .cdw11 = CQ(1) | PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "... of one entry",
	  { CREATE_SQ, .cdw10 = ENTRIES(1) | 9, .cdw11 = CQ(1) | PC },
	  ST_QUEUE_SIZE, AT_CDW10_HIGH },
	{ "... of more than MQES",
	  { CREATE_SQ, .cdw10 = ENTRIES(4097) | 9, .cdw11 = CQ(1) | PC },
	  ST_QUEUE_SIZE, AT_CDW10_HIGH },
	{ "... for the admin completion queue",
	  { CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(0) | PC },
	  ST_QUEUE_ID, AT_CDW11_HIGH },
	{ "... for a completion queue beyond the last",
	  { CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(65) | PC },
	  ST_QUEUE_ID, AT_CDW11_HIGH },
	{ "... for a completion queue that was not created",
	  { CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(60) | PC },
	  ST_CQ_INVALID, AT_CDW11_HIGH },
	{ "... not contiguous",
	  { CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(1) },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "... not at a page",
	  { CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(1) | PC },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 2048 },

	{ "Get Log Page: 0", { GET_LOG, .cdw10 = ENTRIES(128) },
	  ST_LOG_PAGE, AT_CDW10 },
	{ "... 70h", { GET_LOG, .cdw10 = ENTRIES(128) | 0x70 },
	  ST_LOG_PAGE, AT_CDW10 },
	{ "... FFh", { GET_LOG, .cdw10 = ENTRIES(128) | 0xff },
	  ST_LOG_PAGE, AT_CDW10 },
	{ "... of a namespace", { GET_LOG, .nsid = 1, .cdw10 = ENTRIES(128) | 2 },
	  ST_INVALID_FIELD, AT_NSID },
	{ "... of a namespace that is none",
	  { GET_LOG, .nsid = 2, .cdw10 = ENTRIES(128) | 2 },
	  ST_INVALID_FIELD, AT_NSID },
	{ "... at an offset that is no dword's",
	  { GET_LOG, .cdw10 = ENTRIES(128) | 2, .cdw12 = 2 },
	  ST_INVALID_FIELD, AT_CDW12 },
	{ "... at an offset behind its end",
	  { GET_LOG, .cdw10 = ENTRIES(128) | 2, .cdw12 = 516 },
	  ST_INVALID_FIELD, AT_CDW12 },
	{ "... at an offset of 2^32",
	  { GET_LOG, .cdw10 = ENTRIES(128) | 2, .cdw13 = 1 },
	  ST_INVALID_FIELD, AT_CDW12 },
	{ "... of more than MDTS",
	  { GET_LOG, .cdw10 = 2, .cdw11 = 8 },
	  ST_INVALID_FIELD, AT_CDW10_HIGH },
	{ "... to no dword", { GET_LOG, .cdw10 = ENTRIES(128) | 2 },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 2 },
	{ "... to where no memory is",
	  { GET_LOG, .prp1 = FAR, .cdw10 = ENTRIES(128) | 2 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_OWN },
	{ "... with an SGL", { GET_LOG, 1 << 6, .cdw10 = ENTRIES(128) | 2 },
	  ST_INVALID_FIELD, AT_FLAGS },

	{ "Delete I/O Completion Queue: 0", { DELETE_CQ },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "... that was not created", { DELETE_CQ, .cdw10 = 60 },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "... beyond the last", { DELETE_CQ, .cdw10 = 65 },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "... that is in use", { DELETE_CQ, .cdw10 = 1 },
	  ST_QUEUE_DELETION, AT_CDW10 },

	{ "Create I/O Completion Queue: 0",
	  { CREATE_CQ, .cdw10 = QUEUE(0), .cdw11 = PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "... beyond the last",
	  { CREATE_CQ, .cdw10 = QUEUE(65), .cdw11 = PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "... that is there",
	  { CREATE_CQ, .cdw10 = QUEUE(1), .cdw11 = PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "... of one entry",
	  { CREATE_CQ, .cdw10 = ENTRIES(1) | 9, .cdw11 = PC },
	  ST_QUEUE_SIZE, AT_CDW10_HIGH },
	{ "... of more than MQES",
	  { CREATE_CQ, .cdw10 = ENTRIES(4097) | 9, .cdw11 = PC },
	  ST_QUEUE_SIZE, AT_CDW10_HIGH },
	{ "... with a vector beyond the last",
	  { CREATE_CQ, .cdw10 = QUEUE(9), .cdw11 = VECTOR(65) | 2 | PC },
	  ST_VECTOR, AT_CDW11_HIGH },
	{ "... not contiguous",
	  { CREATE_CQ, .cdw10 = QUEUE(9), .cdw11 = VECTOR(1) | 2 },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "... not at a page",
	  { CREATE_CQ, .cdw10 = QUEUE(9), .cdw11 = PC },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 4 },

	{ "Identify: namespace 0", { IDENTIFY },
	  ST_INVALID_NS, AT_NSID },
	{ "... namespace 2", { IDENTIFY, .nsid = 2 },
	  ST_INVALID_NS, AT_NSID },
	{ "... all namespaces, which cannot be managed",
	  { IDENTIFY, .nsid = ~0U },
	  ST_INVALID_NS, AT_NSID },
	{ "... the list behind FFFFFFFEh",
	  { IDENTIFY, .nsid = ~0U - 1, .cdw10 = 2 },
	  ST_INVALID_NS, AT_NSID },
	{ "... the list behind FFFFFFFFh",
	  { IDENTIFY, .nsid = ~0U, .cdw10 = 2 },
	  ST_INVALID_NS, AT_NSID },
	{ "... descriptors of namespace 0", { IDENTIFY, .cdw10 = 3 },
	  ST_INVALID_NS, AT_NSID },
	{ "... descriptors of namespace 2",
	  { IDENTIFY, .nsid = 2, .cdw10 = 3 },
	  ST_INVALID_NS, AT_NSID },
	{ "... CNS 10h, of namespaces that are managed",
	  { IDENTIFY, .nsid = 1, .cdw10 = 0x10 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "... CNS 20h", { IDENTIFY, .nsid = 1, .cdw10 = 0x20 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "... CNS FFh", { IDENTIFY, .nsid = 1, .cdw10 = 0xff },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "... to no dword", { IDENTIFY, .cdw10 = 1 },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 1 },
	{ "... to where no memory is", { IDENTIFY, .prp1 = FAR, .cdw10 = 1 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_OWN },
	{ "... fused", { IDENTIFY, 2, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_FLAGS },
	{ "... with an SGL", { IDENTIFY, 2 << 6, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_FLAGS },
	{ "... with a data pointer that is reserved",
	  { IDENTIFY, 3 << 6, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_FLAGS },

	{ "Abort: of a queue that was not created", { ABORT, .cdw10 = 60 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "... of a queue beyond the last", { ABORT, .cdw10 = 65 },
	  ST_INVALID_FIELD, AT_CDW10 },

	{ "Set Features: 0", { SET_FEATURES },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "... Volatile Write Cache, which there is not",
	  { SET_FEATURES, .cdw10 = 6, .cdw11 = 1 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "... one that is reserved", { SET_FEATURES, .cdw10 = 0x70 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "... one that is a vendor's", { SET_FEATURES, .cdw10 = 0xc0 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "... saved", { SET_FEATURES, .cdw10 = 1U << 31 | 1 },
	  ST_NOT_SAVEABLE, AT_NONE },
	{ "... of a namespace", { SET_FEATURES, .nsid = 1, .cdw10 = 1 },
	  ST_NOT_PER_NS, AT_NSID },
	{ "... of a namespace that is none",
	  { SET_FEATURES, .nsid = 2, .cdw10 = 1 },
	  ST_INVALID_NS, AT_NSID },
	{ "... a power state that is none", { SET_FEATURES, .cdw10 = 2, .cdw11 = 1 },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "... the threshold of a sensor that is none",
	  { SET_FEATURES, .cdw10 = 4, .cdw11 = 5 << 16 },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "... a threshold of a type that is reserved",
	  { SET_FEATURES, .cdw10 = 4, .cdw11 = 2 << 20 },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "... Error Recovery of no namespace", { SET_FEATURES, .cdw10 = 5 },
	  ST_INVALID_NS, AT_NSID },
	{ "... DULBE, which the namespace has not",
	  { SET_FEATURES, .nsid = 1, .cdw10 = 5, .cdw11 = 1 << 16 },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "... 65536 submission queues",
	  { SET_FEATURES, .cdw10 = 7, .cdw11 = 0xffff },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "... 65536 completion queues",
	  { SET_FEATURES, .cdw10 = 7, .cdw11 = 0xffffU << 16 },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "... Number of Queues when there are some",
	  { SET_FEATURES, .cdw10 = 7, .cdw11 = 1 << 16 | 1 },
	  ST_SEQUENCE, AT_NONE },
	{ "... a vector beyond the last",
	  { SET_FEATURES, .cdw10 = 9, .cdw11 = 65 },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "... an event that is not supported",
	  { SET_FEATURES, .cdw10 = 11, .cdw11 = 1 << 8 },
	  ST_INVALID_FIELD, AT_CDW11 },

	{ "Get Features: 0", { GET_FEATURES },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "... one that is reserved", { GET_FEATURES, .cdw10 = 0x70 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "... a Select that is reserved",
	  { GET_FEATURES, .cdw10 = 4 << 8 | 1 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "... the other one", { GET_FEATURES, .cdw10 = 7 << 8 | 1 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "... of a namespace that is none",
	  { GET_FEATURES, .nsid = 2, .cdw10 = 1 },
	  ST_INVALID_NS, AT_NSID },
	{ "... Error Recovery of no namespace", { GET_FEATURES, .cdw10 = 5 },
	  ST_INVALID_NS, AT_NSID },
	{ "... the threshold of a sensor that is none",
	  { GET_FEATURES, .cdw10 = 4, .cdw11 = 5 << 16 },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "... a vector beyond the last",
	  { GET_FEATURES, .cdw10 = 9, .cdw11 = 65 },
	  ST_INVALID_FIELD, AT_CDW11 },

	{ "Doorbell Buffer Config: doorbells not at a page", { DBBUF },
	  ST_INVALID_FIELD, AT_PRP1, DATA_PRP1, 2048 },
	{ "... EventIdx not at a page", { DBBUF },
	  ST_INVALID_FIELD, AT_PRP2, DATA_PRP2, 4 },
	{ "... EventIdx where no memory is", { DBBUF },
	  ST_INVALID_FIELD, AT_PRP2, DATA_PRP2, FAR },
	{ "... with an SGL", { DBBUF, 1 << 6 },
	  ST_INVALID_FIELD, AT_FLAGS, DATA_PRP2 },
};

FIXTURE(admin) {
	struct nvme_fixture f;
	struct nvme_errors e;
};

FIXTURE_SETUP(admin)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	ASSERT_EQ(0, nvme_errors_init(&self->e, &self->f.nvme,
				      &self->f.nvme.admin));
}

FIXTURE_TEARDOWN(admin)
{
	nvme_fixture_close(&self->f);
}

TEST_F_TIMEOUT(admin, what_is_wrong_has_the_status_that_is_specified, 120)
{
	const struct nvme_error *error;

	for (error = table; error < table + ARRAY_SIZE(table); error++)
		EXPECT_EQ(0, nvme_errors_try(&self->e, error))
			TH_LOG("%s", self->e.why);
}

TEST_F_TIMEOUT(admin, every_other_opcode_is_invalid, 120)
{
	static const __u8 known[] = {
		DELETE_SQ, CREATE_SQ, GET_LOG, DELETE_CQ, CREATE_CQ, IDENTIFY,
		ABORT, SET_FEATURES, GET_FEATURES, AER, DBBUF,
	};

	EXPECT_EQ(-1, nvme_errors_opcodes(&self->e, known, sizeof(known)))
		TH_LOG("%s", self->e.why);
}

/* One more Asynchronous Event Request than AERL says. */
TEST_F(admin, requests_for_events_beyond_the_limit)
{
	const struct nvme_error fifth = {
		"", { AER }, ST_AER_LIMIT, AT_NONE, DATA_OWN,
	};
	struct nvme_queue *q = &self->f.nvme.admin;
	int i;

	for (i = 0; i < 4; i++) {
		struct nvme_cmd cmd = { AER };

		ASSERT_LE(0, nvme_submit(&self->f.nvme, q, &cmd));
		ASSERT_RET(0, nvme_ring(&self->f.nvme, q));
	}
	EXPECT_EQ(0, nvme_errors_try(&self->e, &fifth))
		TH_LOG("%s", self->e.why);
}

SUITE_MAIN(suite_need_mnvme())
