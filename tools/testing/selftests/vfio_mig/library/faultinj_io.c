// SPDX-License-Identifier: GPL-2.0-only
/*
 * I/O commands, accesses to registers, and DMA logging, with a failure at each point that can
 * fail. Either a command ends with a status on which the host sends it again, or it is
 * executed in spite of the failure. A success must have its effect.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/dma_log.h"
#include "lib/fault_each.h"
#include "lib/nvme_errors.h"
#include "lib/nvme_fixture.h"

#define MEM_BYTES	(16UL << 20)
#define PAGES		(MEM_BYTES / GUEST_PAGE)

#define PCI_COMMAND	4

/* Data of a command: it needs a PRP list, and has parts of pages. */
#define DATA_PAGES	4

struct command {
	const char *name;
	__u8 opcode;
	bool ranges;		/* the data of the command is a list of ranges */
	bool fresh;		/* the command writes blocks that were never written */
	bool zeroes;		/* the command zeroes the pattern, but not its last block */
	bool moves;		/* the test checks the blocks after the command */
};

/**
 * struct world - data of the operations
 * @f: a device and its driver
 * @used: bytes of guest memory in use, without those that a driver allocates again
 * @cmd: the command
 * @lba: its first block, if that is not the pattern's
 * @nr: number of blocks
 * @buf: data of the command
 * @pattern: data at the start of the namespace
 * @list: list of ranges
 * @v2: the device's v2
 * @logging: whether DMA logging is on
 * @seen: bitmap of the reports
 */
struct world {
	struct nvme_fixture f;
	size_t used;
	const struct command *cmd;
	__u64 lba;
	__u32 nr;
	unsigned char *buf;
	unsigned char *pattern;
	void *list;
	struct v2 v2;
	bool logging;
	__u64 seen[PAGES / 64];
};

/* Any number of starts needs no more memory for queues than one start. */
static int start_again(struct world *w)
{
	nvme_close(&w->f.nvme);
	w->f.guest.used = w->used;
	return nvme_start(&w->f.nvme, &w->f.dev, &w->f.guest, 1, 16);
}

static void set_up(struct __test_metadata *_metadata, struct world *w)
{
	struct nvme *nvme = &w->f.nvme;
	size_t len;

	nvme_fixture_open(_metadata, &w->f, MEM_BYTES);
	w->nr = DATA_PAGES * GUEST_PAGE / nvme->lba_size;
	len = w->nr * nvme->lba_size;
	w->buf = guest_alloc(&w->f.guest, len);
	w->pattern = guest_alloc(&w->f.guest, len);
	w->list = guest_alloc(&w->f.guest, GUEST_PAGE);
	w->used = w->f.guest.used;
	pattern_fill(nvme, w->pattern, 0, w->nr, 1);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 0, w->nr, w->pattern));
	/* The previous test may have ended early. */
	ASSERT_RET(0, fault_within(NULL));
}

/* Commands. */

static int status_errno(__u16 status)
{
	switch (status & (ST_CODE | ST_DNR)) {
	case ST_SUCCESS:
		return 0;
	case ST_INTERNAL:
		return -ENOMEM;
	case ST_DATA_TRANSFER:
		return -EFAULT;
	default:
		return -EIO;
	}
}

/*
 * Waits for the completion. Returns -EFAULT also for a fatal status, because a queue is not
 * in memory then.
 */
static int finish(struct world *w)
{
	struct nvme *nvme = &w->f.nvme;
	struct nvme_cqe cqe;
	__u32 csts;
	int i, ret;

	for (i = 0; i < 200000; i++) {
		ret = nvme_poll(nvme, &nvme->io[0], &cqe);
		if (ret)
			return ret < 0 ? ret : status_errno(cqe.status >> 1);
		ret = nvme_read32(nvme, REG_CSTS, &csts);
		if (ret)
			return ret;
		if (csts & CSTS_CFS)
			return -EFAULT;
		usleep(20);
	}
	return -ETIMEDOUT;
}

/*
 * Acts as a host does after a failure. After a fatal status it resets the controller, else
 * it writes the doorbell again, and the commands in the queue complete.
 */
static int settle(struct world *w)
{
	struct nvme *nvme = &w->f.nvme;
	struct nvme_queue *q = &nvme->io[0];
	struct nvme_cqe cqe;
	__u32 csts;
	int ret = nvme_read32(nvme, REG_CSTS, &csts);

	if (ret)
		return ret;
	if (csts & CSTS_CFS)
		return start_again(w);
	while (q->in_flight) {
		ret = nvme_ring(nvme, q) ?: nvme_wait(nvme, q, &cqe);
		if (ret)
			return ret;
	}
	return 0;
}

/* Dataset Management or Copy, with one range in the command's format */
static int submit_ranges(struct world *w)
{
	struct nvme *nvme = &w->f.nvme;
	struct nvme_cmd cmd = {
		.opcode = w->cmd->opcode,
		.nsid = 1,
		.prp1 = guest_iova(nvme->guest, w->list),
	};
	struct {
		__u32 attributes;
		__u32 nr;
		__u64 lba;
	} range = { .nr = w->nr - 1, .lba = w->lba };
	struct {
		__u64 rsvd;
		__u64 lba;
		__u16 nr;
		__u8 rest[14];
	} source = { .nr = w->nr - 1 };

	if (w->cmd->opcode == NVME_OP_COPY) {
		memcpy(w->list, &source, sizeof(source));
		cmd.cdw10 = w->lba;
		cmd.cdw11 = w->lba >> 32;
	} else {
		memcpy(w->list, &range, sizeof(range));
		cmd.cdw11 = 1 << 2;	/* AD */
	}
	return nvme_submit(nvme, &nvme->io[0], &cmd);
}

static int submit(struct world *w)
{
	__u64 lba = w->cmd->fresh || w->cmd->zeroes ? w->lba : 0;
	/* The zeroes end in the middle of a page. */
	__u32 nr = w->nr - w->cmd->zeroes;

	if (w->cmd->ranges)
		return submit_ranges(w);
	return nvme_submit_io(&w->f.nvme, &w->f.nvme.io[0], w->cmd->opcode, lba,
			      nr, w->buf);
}

static int before_command(struct world *w)
{
	size_t len = w->nr * w->f.nvme.lba_size;
	int ret = settle(w);

	/* Each command writes to another place, so it needs memory. */
	w->lba += w->nr;
	memcpy(w->buf, w->pattern, len);
	if (!ret && w->cmd->zeroes)
		ret = nvme_io(&w->f.nvme, NVME_OP_WRITE, w->lba, w->nr, w->buf);
	if (w->cmd->opcode == NVME_OP_READ)
		memset(w->buf, 0, len);
	return ret;
}

static int send(struct world *w)
{
	int ret = settle(w);

	if (!ret)
		ret = submit(w);
	if (ret < 0)
		return ret;
	return nvme_ring(&w->f.nvme, &w->f.nvme.io[0]) ?: finish(w);
}

/* The written blocks have the new data, and all other blocks have the old data. */
static int after_command(struct world *w)
{
	size_t len = w->nr * w->f.nvme.lba_size, zeroed = 0, i;
	int ret = settle(w);

	if (!w->cmd->moves)
		return ret;
	if (!ret && w->cmd->opcode != NVME_OP_READ)
		ret = nvme_io(&w->f.nvme, NVME_OP_READ, w->lba, w->nr, w->buf);
	if (ret)
		return ret;
	if (w->cmd->zeroes)
		zeroed = len - w->f.nvme.lba_size;
	for (i = 0; i < zeroed; i++)
		if (w->buf[i])
			return -EILSEQ;
	return memcmp(w->buf + i, w->pattern + i, len - i) ? -EILSEQ : 0;
}

static void fail_command(struct __test_metadata *_metadata, struct world *w,
			 const struct command *cmd)
{
	static const struct fault_module modules[] = {
		{ FAULT_SLAB, 1 },
		{ FAULT_PAGE, 1 },
		/* If one failure occurs, another thread copies the data. */
		{ FAULT_USERCOPY, 1 },
		{ FAULT_USERCOPY, 2 },
	};
	const struct operation op = {
		cmd->name, before_command, send, NULL, after_command
	};
	size_t i;

	w->cmd = cmd;
	ksft_print_msg("%s: %u points\n", cmd->name, fail_each(_metadata, w, &op));
	ASSERT_RET(0, fault_within("mnvme"));
	for (i = 0; i < ARRAY_SIZE(modules); i++)
		ksft_print_msg("%s, %s of mnvme, %u: %u failures\n", cmd->name,
			       fault_kind_name(modules[i].kind), modules[i].times,
			       fail_each_of(_metadata, w, &op, &modules[i]));
	ASSERT_RET(0, nvme_deallocate(&w->f.nvme, w->nr, w->lba, w->list));
}

FIXTURE(io) {
	struct world w;
};

FIXTURE_VARIANT(io) {
	struct command cmd;
};

FIXTURE_VARIANT_ADD(io, flush) {
	.cmd = { "flush", NVME_OP_FLUSH },
};

FIXTURE_VARIANT_ADD(io, write) {
	.cmd = { "write", NVME_OP_WRITE, .fresh = true, .moves = true },
};

FIXTURE_VARIANT_ADD(io, read) {
	.cmd = { "read", NVME_OP_READ, .moves = true },
};

FIXTURE_VARIANT_ADD(io, compare) {
	.cmd = { "compare", NVME_OP_COMPARE },
};

FIXTURE_VARIANT_ADD(io, write_zeroes) {
	.cmd = { "write zeroes", NVME_OP_WRITE_ZEROES,
		 .zeroes = true, .moves = true },
};

FIXTURE_VARIANT_ADD(io, verify) {
	.cmd = { "verify", NVME_OP_VERIFY },
};

FIXTURE_VARIANT_ADD(io, copy) {
	.cmd = { "copy", NVME_OP_COPY,
		 .ranges = true, .fresh = true, .moves = true },
};

FIXTURE_VARIANT_ADD(io, deallocate) {
	.cmd = { "deallocate", NVME_OP_DSM,
		 .ranges = true, .zeroes = true, .moves = true },
};

FIXTURE_SETUP(io)
{
	set_up(_metadata, &self->w);
}

FIXTURE_TEARDOWN(io)
{
	nvme_fixture_close(&self->w.f);
}

TEST_F_TIMEOUT(io, command, 300)
{
	fail_command(_metadata, &self->w, &variant->cmd);
}

/* Registers, and ioctls that return information */

FIXTURE(user) {
	struct world w;
};

FIXTURE_SETUP(user)
{
	set_up(_metadata, &self->w);
	if (v2_open(&self->w.v2, &self->w.f.dev))
		self->w.v2.dev = NULL;
}

FIXTURE_TEARDOWN(user)
{
	v2_close(&self->w.v2);
	nvme_fixture_close(&self->w.f);
}

static int read_register(struct world *w)
{
	__u32 csts;

	return nvme_read32(&w->f.nvme, REG_CSTS, &csts);
}

static int write_register(struct world *w)
{
	return nvme_write32(&w->f.nvme, REG_INTMS, 0);
}

static int read_config(struct world *w)
{
	struct region config;
	__u16 command;
	int ret = region_open(&config, &w->f.dev, VFIO_PCI_CONFIG_REGION_INDEX);

	return ret ?: region_read_all(&config, PCI_COMMAND, &command,
				      sizeof(command));
}

static int write_config(struct world *w)
{
	struct region config;
	__u16 command = 6;
	int ret = region_open(&config, &w->f.dev, VFIO_PCI_CONFIG_REGION_INDEX);

	return ret ?: region_write_all(&config, PCI_COMMAND, &command,
				       sizeof(command));
}

static int region_info(struct world *w)
{
	struct region r;

	return region_open(&r, &w->f.dev, w->f.v1.region.index);
}

static int irq_info(struct world *w)
{
	int nr = device_irq_count(&w->f.dev, VFIO_PCI_MSIX_IRQ_INDEX);

	return nr < 0 ? nr : 0;
}

TEST_F(user, registers_and_infos)
{
	static const struct operation ops[] = {
		{ "read a register", NULL, read_register },
		{ "write a register", NULL, write_register },
		{ "read configuration space", NULL, read_config },
		{ "write configuration space", NULL, write_config },
		{ "GET_REGION_INFO", NULL, region_info },
		{ "GET_IRQ_INFO", NULL, irq_info },
	};

	fail_all(_metadata, &self->w, ops, ARRAY_SIZE(ops));
}

/* Requests of v2 other than states and data */

static int v2_state(struct world *w)
{
	long state = v2_get_state(&w->v2);

	return state < 0 ? state : state == V2_PRE_COPY ? 0 : -EPROTO;
}

static int data_size(struct world *w)
{
	__u64 size;

	return v2_data_size(&w->v2, &size);
}

static int precopy_info(struct world *w)
{
	struct v2_precopy_info info;

	return v2_precopy_info(&w->v2, &info);
}

TEST_F(user, v2_infos)
{
	static const struct operation ops[] = {
		{ "MIG_DEVICE_STATE", NULL, v2_state },
		{ "MIG_DATA_SIZE", NULL, data_size },
		{ "PRECOPY_INFO", NULL, precopy_info },
	};

	if (!self->w.v2.dev || !v2_has(&self->w.v2, V2_PRE_COPY))
		SKIP(return, "no pre-copy by v2");
	ASSERT_RET(0, v2_set_state(&self->w.v2, V2_PRE_COPY));
	fail_all(_metadata, &self->w, ops, ARRAY_SIZE(ops));
}

/* DMA logging */

static int log_on(struct world *w)
{
	int ret = w->logging ? 0 : dma_log_pages(&w->v2, &w->f.guest, 0, PAGES);

	if (!ret)
		w->logging = true;
	return ret;
}

static int log_off(struct world *w)
{
	int ret = w->logging ? dma_log_stop(&w->v2) : 0;

	if (!ret)
		w->logging = false;
	return ret;
}

/* Only a stop shows whether logging is on. */
static int is_off(struct world *w)
{
	return dma_log_stop(&w->v2) ? 0 : -EPROTO;
}

static int report(struct world *w)
{
	return dma_log_report(&w->v2, w->f.guest.iova, MEM_BYTES, GUEST_PAGE,
			      w->seen);
}

/* The device writes to memory. Earlier reports have reported all earlier writes. */
static int before_report(struct world *w)
{
	int ret = log_on(w) ?: report(w);

	memset(w->seen, 0, sizeof(w->seen));
	return ret ?: nvme_io(&w->f.nvme, NVME_OP_READ, 0, w->nr, w->buf);
}

/* A report that failed loses nothing. The next report has its pages. */
static int after_report(struct world *w)
{
	size_t first = (w->buf - w->f.guest.mem) / GUEST_PAGE, i;

	for (i = first; i < first + DATA_PAGES; i++)
		if (!(w->seen[i / 64] >> i % 64 & 1))
			return -ENODATA;
	return 0;
}

TEST_F_TIMEOUT(user, dma_logging, 300)
{
	static const struct operation ops[] = {
		{ "DMA_LOGGING_START", log_off, log_on, is_off },
		{ "DMA_LOGGING_REPORT", before_report, report, NULL,
		  after_report },
		{ "DMA_LOGGING_STOP", log_on, log_off },
	};

	if (!self->w.v2.dev || dma_log_probe(&self->w.v2))
		SKIP(return, "no logging of DMA");
	fail_all(_metadata, &self->w, ops, ARRAY_SIZE(ops));
}

static void need_io(void)
{
	suite_need_v1();
	suite_need_nvme();
	suite_need_mnvme();
	fault_need();
}

SUITE_MAIN(need_io())
