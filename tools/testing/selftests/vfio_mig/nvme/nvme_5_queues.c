// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVMe 1.4, chapter 5: the admin commands that create and delete queues, Abort, and Doorbell
 * Buffer Config. The numbers of queues and vectors are those of mnvme.
 */
#include <stdio.h>

#include "lib/nvme_fixture.h"

FIXTURE(queues) {
	struct nvme_fixture f;
	struct nvme_cases c;
};

FIXTURE_SETUP(queues)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	ASSERT_EQ(0, nvme_cases_init(&self->c, &self->f.nvme,
				     &self->f.nvme.admin));
}

FIXTURE_TEARDOWN(queues)
{
	nvme_fixture_close(&self->f);
}

static const struct nvme_case abort_cases[] = {
	{ "5.1", "of a command that is not there: not aborted",
	  { ADMIN_ABORT, .cdw10 = 7U << 16 | 1 }, CASE_RESULT(1) },
	{ "5.1", "of an admin command that is not there: not aborted",
	  { ADMIN_ABORT, .cdw10 = 99U << 16 }, CASE_RESULT(1) },
	{ "5.1", "of a queue that was not created", { ADMIN_ABORT, .cdw10 = 60 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.1", "of a queue beyond the last", { ADMIN_ABORT, .cdw10 = 65 },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.1", "of queue FFFFh", { ADMIN_ABORT, .cdw10 = 0xffff },
	  ST_INVALID_FIELD, AT_CDW10 },
	{ "5.1", "of a namespace", { ADMIN_ABORT, .nsid = 1, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_NSID },
	{ "5.1", "of all namespaces", { ADMIN_ABORT, .nsid = ~0U, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_NSID },
	{ "5.1", "fused", { ADMIN_ABORT, 1, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_FLAGS },
	{ "5.1", "with an SGL", { ADMIN_ABORT, 1 << 6, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_PSDT },
};

TEST_F(queues, s5_1_abort)
{
	try_cases(_metadata, &self->c, abort_cases, ARRAY_SIZE(abort_cases));
}

static const struct nvme_case create_cq[] = {
	{ "5.3", "queue 0", { ADMIN_CREATE_CQ, .cdw10 = QUEUE(0), .cdw11 = PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.3", "beyond the last",
	  { ADMIN_CREATE_CQ, .cdw10 = QUEUE(65), .cdw11 = PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.3", "queue FFFFh",
	  { ADMIN_CREATE_CQ, .cdw10 = QUEUE(0xffff), .cdw11 = PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.3", "one that is there",
	  { ADMIN_CREATE_CQ, .cdw10 = QUEUE(1), .cdw11 = PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.3", "of one entry",
	  { ADMIN_CREATE_CQ, .cdw10 = ENTRIES(1) | 9, .cdw11 = PC },
	  ST_QUEUE_SIZE, AT_CDW10_HIGH },
	{ "5.3", "of MQES and one entry",
	  { ADMIN_CREATE_CQ, .cdw10 = ENTRIES(4097) | 9, .cdw11 = PC },
	  ST_QUEUE_SIZE, AT_CDW10_HIGH },
	{ "5.3", "of 65536 entries",
	  { ADMIN_CREATE_CQ, .cdw10 = 0xffffU << 16 | 9, .cdw11 = PC },
	  ST_QUEUE_SIZE, AT_CDW10_HIGH },
	{ "5.3", "a vector beyond the last of MSI-X",
	  { ADMIN_CREATE_CQ, .cdw10 = QUEUE(9), .cdw11 = VECTOR(65) | IEN | PC },
	  ST_VECTOR, AT_CDW11_HIGH },
	{ "5.3", "vector FFFFh",
	  { ADMIN_CREATE_CQ, .cdw10 = QUEUE(9),
	    .cdw11 = VECTOR(0xffff) | IEN | PC },
	  ST_VECTOR, AT_CDW11_HIGH },
	{ "5.3", "a vector beyond the last, without interrupts",
	  { ADMIN_CREATE_CQ, .cdw10 = QUEUE(9), .cdw11 = VECTOR(65) | PC },
	  ST_VECTOR, AT_CDW11_HIGH },
	{ "5.3", "not contiguous, though CAP.CQR asks for that",
	  { ADMIN_CREATE_CQ, .cdw10 = QUEUE(9), .cdw11 = VECTOR(1) | IEN },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "5.3", "not at a page",
	  { ADMIN_CREATE_CQ, .cdw10 = QUEUE(9), .cdw11 = PC },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 4 },
	{ "5.3", "at half a page",
	  { ADMIN_CREATE_CQ, .cdw10 = QUEUE(9), .cdw11 = PC },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 2048 },
	{ "5.3", "of a namespace",
	  { ADMIN_CREATE_CQ, .nsid = 1, .cdw10 = QUEUE(9), .cdw11 = PC },
	  ST_INVALID_FIELD, AT_NSID },
	{ "5.3", "with an SGL",
	  { ADMIN_CREATE_CQ, 1 << 6, .cdw10 = QUEUE(9), .cdw11 = PC },
	  ST_INVALID_FIELD, AT_PSDT },
	/* The largest values, and the end of each queue */
	{ "5.3", "the last queue and the last vector",
	  { ADMIN_CREATE_CQ, .cdw10 = QUEUE(64), .cdw11 = VECTOR(64) | IEN | PC } },
	{ "5.5", "the last queue", { ADMIN_DELETE_CQ, .cdw10 = 64 } },
	{ "5.3", "of two entries",
	  { ADMIN_CREATE_CQ, .cdw10 = ENTRIES(2) | 9, .cdw11 = PC } },
	{ "5.3", "the same again",
	  { ADMIN_CREATE_CQ, .cdw10 = ENTRIES(2) | 9, .cdw11 = PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.5", "of two entries", { ADMIN_DELETE_CQ, .cdw10 = 9 } },
	{ "5.3", "of MQES entries",
	  { ADMIN_CREATE_CQ, .cdw10 = ENTRIES(4096) | 9, .cdw11 = PC } },
	{ "5.5", "of MQES entries", { ADMIN_DELETE_CQ, .cdw10 = 9 } },
	{ "5.3", "without interrupts, vector 0",
	  { ADMIN_CREATE_CQ, .cdw10 = QUEUE(9), .cdw11 = PC } },
	{ "5.5", "without interrupts", { ADMIN_DELETE_CQ, .cdw10 = 9 } },
	{ "5.3", "two queues of one vector",
	  { ADMIN_CREATE_CQ, .cdw10 = QUEUE(9), .cdw11 = VECTOR(1) | IEN | PC } },
	{ "5.5", "two queues of one vector", { ADMIN_DELETE_CQ, .cdw10 = 9 } },
};

TEST_F(queues, s5_3_create_completion_queue)
{
	try_cases(_metadata, &self->c, create_cq, ARRAY_SIZE(create_cq));
}

static const struct nvme_case create_sq[] = {
	{ "5.4", "queue 0",
	  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(0), .cdw11 = CQ(1) | PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.4", "beyond the last",
	  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(65), .cdw11 = CQ(1) | PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.4", "queue FFFFh",
	  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(0xffff), .cdw11 = CQ(1) | PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.4", "one that is there",
	  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(1), .cdw11 = CQ(1) | PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.4", "of one entry",
	  { ADMIN_CREATE_SQ, .cdw10 = ENTRIES(1) | 9, .cdw11 = CQ(1) | PC },
	  ST_QUEUE_SIZE, AT_CDW10_HIGH },
	{ "5.4", "of MQES and one entry",
	  { ADMIN_CREATE_SQ, .cdw10 = ENTRIES(4097) | 9, .cdw11 = CQ(1) | PC },
	  ST_QUEUE_SIZE, AT_CDW10_HIGH },
	{ "5.4", "of 65536 entries",
	  { ADMIN_CREATE_SQ, .cdw10 = 0xffffU << 16 | 9, .cdw11 = CQ(1) | PC },
	  ST_QUEUE_SIZE, AT_CDW10_HIGH },
	{ "5.4", "for the admin completion queue",
	  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(0) | PC },
	  ST_QUEUE_ID, AT_CDW11_HIGH },
	{ "5.4", "for a completion queue beyond the last",
	  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(65) | PC },
	  ST_QUEUE_ID, AT_CDW11_HIGH },
	{ "5.4", "for completion queue FFFFh",
	  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(0xffff) | PC },
	  ST_QUEUE_ID, AT_CDW11_HIGH },
	{ "5.4", "for a completion queue that was not created",
	  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(60) | PC },
	  ST_CQ_INVALID, AT_CDW11_HIGH },
	{ "5.4", "not contiguous",
	  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(1) },
	  ST_INVALID_FIELD, AT_CDW11 },
	{ "5.4", "not at a page",
	  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(1) | PC },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 2048 },
	{ "5.4", "at a dword",
	  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(1) | PC },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 4 },
	{ "5.4", "of a namespace",
	  { ADMIN_CREATE_SQ, .nsid = 1, .cdw10 = QUEUE(9), .cdw11 = CQ(1) | PC },
	  ST_INVALID_FIELD, AT_NSID },
	{ "5.4", "with an SGL",
	  { ADMIN_CREATE_SQ, 1 << 6, .cdw10 = QUEUE(9), .cdw11 = CQ(1) | PC },
	  ST_INVALID_FIELD, AT_PSDT },
	{ "5.4", "the last queue",
	  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(64), .cdw11 = CQ(1) | PC } },
	{ "5.6", "the last queue", { ADMIN_DELETE_SQ, .cdw10 = 64 } },
	{ "5.4", "two submission queues of one completion queue",
	  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(1) | PC } },
	{ "5.4", "the same again",
	  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(1) | PC },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.6", "two submission queues of one completion queue",
	  { ADMIN_DELETE_SQ, .cdw10 = 9 } },
	{ "5.4", "of MQES entries",
	  { ADMIN_CREATE_SQ, .cdw10 = ENTRIES(4096) | 9, .cdw11 = CQ(1) | PC } },
	{ "5.6", "of MQES entries", { ADMIN_DELETE_SQ, .cdw10 = 9 } },
	{ "5.4", "of two entries, of low priority",
	  { ADMIN_CREATE_SQ, .cdw10 = ENTRIES(2) | 9, .cdw11 = CQ(1) | 3 << 1 | PC } },
	{ "5.6", "of two entries", { ADMIN_DELETE_SQ, .cdw10 = 9 } },
};

TEST_F(queues, s5_4_create_submission_queue)
{
	try_cases(_metadata, &self->c, create_sq, ARRAY_SIZE(create_sq));
}

static const struct nvme_case delete_cq[] = {
	{ "5.5", "queue 0", { ADMIN_DELETE_CQ }, ST_QUEUE_ID, AT_CDW10 },
	{ "5.5", "one that was not created", { ADMIN_DELETE_CQ, .cdw10 = 60 },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.5", "beyond the last", { ADMIN_DELETE_CQ, .cdw10 = 65 },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.5", "queue FFFFh", { ADMIN_DELETE_CQ, .cdw10 = 0xffff },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.5", "one that is in use", { ADMIN_DELETE_CQ, .cdw10 = 1 },
	  ST_QUEUE_DELETION, AT_CDW10 },
	{ "5.5", "of a namespace", { ADMIN_DELETE_CQ, .nsid = 1, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_NSID },
	{ "5.5", "with an SGL", { ADMIN_DELETE_CQ, 1 << 6, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_PSDT },
	{ "5.5", "fused", { ADMIN_DELETE_CQ, 2, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_FLAGS },
};

TEST_F(queues, s5_5_delete_completion_queue)
{
	try_cases(_metadata, &self->c, delete_cq, ARRAY_SIZE(delete_cq));
}

static const struct nvme_case delete_sq[] = {
	{ "5.6", "queue 0", { ADMIN_DELETE_SQ }, ST_QUEUE_ID, AT_CDW10 },
	{ "5.6", "one that was not created", { ADMIN_DELETE_SQ, .cdw10 = 60 },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.6", "beyond the last", { ADMIN_DELETE_SQ, .cdw10 = 65 },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.6", "queue FFFFh", { ADMIN_DELETE_SQ, .cdw10 = 0xffff },
	  ST_QUEUE_ID, AT_CDW10 },
	{ "5.6", "of a namespace", { ADMIN_DELETE_SQ, .nsid = 1, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_NSID },
	{ "5.6", "with an SGL", { ADMIN_DELETE_SQ, 1 << 6, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_PSDT },
	{ "5.6", "fused", { ADMIN_DELETE_SQ, 1, .cdw10 = 1 },
	  ST_INVALID_FIELD, AT_FLAGS },
};

TEST_F(queues, s5_6_delete_submission_queue)
{
	try_cases(_metadata, &self->c, delete_sq, ARRAY_SIZE(delete_sq));
}

static const struct nvme_case dbbuf[] = {
	{ "5.7", "doorbells not at a page", { ADMIN_DBBUF },
	  ST_INVALID_FIELD, AT_PRP1, DATA_PRP1, 2048 },
	{ "5.7", "doorbells where no memory is", { ADMIN_DBBUF },
	  ST_INVALID_FIELD, AT_PRP1, DATA_PRP1, FAR },
	{ "5.7", "EventIdx not at a page", { ADMIN_DBBUF },
	  ST_INVALID_FIELD, AT_PRP2, DATA_PRP2, 4 },
	{ "5.7", "EventIdx where no memory is", { ADMIN_DBBUF },
	  ST_INVALID_FIELD, AT_PRP2, DATA_PRP2, FAR },
	{ "5.7", "with an SGL", { ADMIN_DBBUF, 1 << 6 },
	  ST_INVALID_FIELD, AT_PSDT, DATA_PRP2 },
	{ "5.7", "of a namespace", { ADMIN_DBBUF, .nsid = 1 },
	  ST_INVALID_FIELD, AT_NSID, DATA_PRP2 },
};

TEST_F(queues, s5_7_doorbell_buffer_config)
{
	try_cases(_metadata, &self->c, dbbuf, ARRAY_SIZE(dbbuf));
}

TEST_F_TIMEOUT(queues, s5_every_other_opcode, 120)
{
	static const __u8 known[] = {
		ADMIN_DELETE_SQ, ADMIN_CREATE_SQ, ADMIN_GET_LOG,
		ADMIN_DELETE_CQ, ADMIN_CREATE_CQ, ADMIN_IDENTIFY, ADMIN_ABORT,
		ADMIN_SET_FEATURES, ADMIN_GET_FEATURES, ADMIN_AER, ADMIN_DBBUF,
	};

	EXPECT_EQ(-1, nvme_cases_opcodes(&self->c, "5", known, sizeof(known)))
		TH_LOG("%s", self->c.why);
}

/*
 * The size of entries in CC differs from the required size (5.3, 5.4; CC.IOCQES and
 * CC.IOSQES are 0).
 */
TEST_F(queues, s5_3_entry_sizes_of_0)
{
	static const struct nvme_case cases[] = {
		{ "5.3", "CC.IOCQES 0",
		  { ADMIN_CREATE_CQ, .cdw10 = QUEUE(9), .cdw11 = PC },
		  ST_QUEUE_SIZE, AT_CDW10_HIGH },
		{ "5.4", "CC.IOSQES 0",
		  { ADMIN_CREATE_SQ, .cdw10 = QUEUE(9), .cdw11 = CQ(1) | PC },
		  ST_QUEUE_SIZE, AT_CDW10_HIGH },
	};

	/* The entry sizes may change while no I/O queue exists. */
	ASSERT_RET(0, nvme_write32(&self->f.nvme, REG_CC, 1));
	try_cases(_metadata, &self->c, cases, ARRAY_SIZE(cases));
}

/* A vector that MSI does not enable, or that INTx does not have (5.3) */
FIXTURE(vectors) {
	struct nvme_fixture f;
	struct nvme_cases c;
	int fds[32];
};

FIXTURE_SETUP(vectors)
{
	int i;

	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	ASSERT_EQ(0, nvme_cases_init(&self->c, &self->f.nvme,
				     &self->f.nvme.admin));
	ASSERT_RET(0, device_irq_disable(&self->f.dev, VFIO_PCI_MSIX_IRQ_INDEX));
	for (i = 0; i < 32; i++)
		self->fds[i] = self->f.nvme.admin.eventfd;
}

FIXTURE_TEARDOWN(vectors)
{
	nvme_fixture_close(&self->f);
}

/* The controller takes vectors below @nr, and refuses others. */
static void try_vectors(struct __test_metadata *_metadata, struct nvme_cases *c,
			__u32 nr)
{
	static const __u32 vectors[] = { 0, 1, 2, 3, 4, 31, 32, 63, 64, 65, 0xffff };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		__u32 v = vectors[i];
		struct nvme_case cases[] = {
			{ "5.3", "a vector", { ADMIN_CREATE_CQ, .cdw10 = QUEUE(9),
			  .cdw11 = VECTOR(v) | IEN | PC } },
			{ "5.5", "the queue", { ADMIN_DELETE_CQ, .cdw10 = 9 } },
		};
		int tried = ARRAY_SIZE(cases);

		if (v >= nr) {
			cases[0].status = ST_VECTOR;
			cases[0].at = AT_CDW11_HIGH;
			tried = 1;
		}
		try_cases(_metadata, c, cases, tried);
	}
}

TEST_F(vectors, s5_3_of_the_pin)
{
	try_vectors(_metadata, &self->c, 1);
	ASSERT_RET(0, device_irq_eventfds(&self->f.dev, VFIO_PCI_INTX_IRQ_INDEX,
					  self->fds, 1));
	try_vectors(_metadata, &self->c, 1);
}

TEST_F(vectors, s5_3_of_four_messages_of_msi)
{
	ASSERT_RET(0, device_irq_eventfds(&self->f.dev, VFIO_PCI_MSI_IRQ_INDEX,
					  self->fds, 4));
	try_vectors(_metadata, &self->c, 4);
}

TEST_F(vectors, s5_3_of_all_messages_of_msi)
{
	ASSERT_RET(0, device_irq_eventfds(&self->f.dev, VFIO_PCI_MSI_IRQ_INDEX,
					  self->fds, 32));
	try_vectors(_metadata, &self->c, 32);
}

/* Multiple Message Enable, as a VMM's guest writes it */
TEST_F(vectors, s5_3_by_configuration_space)
{
	static const struct {
		__u16 at;
		__u16 flags;
		__u32 vectors;
	} enable[] = {
		{ 0x4a, 1 << 4 | 1, 2 },
		{ 0x4a, 5 << 4 | 1, 32 },
		{ 0x4a, 7 << 4 | 1, 32 },
		{ 0x4a, 1, 1 },
		{ 0x4a, 1 << 4, 1 },
		{ 0xa2, 1 << 15, 65 },
	};
	struct region config;
	size_t i;

	ASSERT_RET(0, region_open(&config, &self->f.dev,
				  VFIO_PCI_CONFIG_REGION_INDEX));
	for (i = 0; i < ARRAY_SIZE(enable); i++) {
		ASSERT_RET(0, region_write_all(&config, enable[i].at,
					       &enable[i].flags, 2));
		try_vectors(_metadata, &self->c, enable[i].vectors);
	}
}

SUITE_MAIN(suite_need_mnvme())
