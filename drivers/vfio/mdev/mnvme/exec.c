// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands of a submission queue: fetched, executed and completed in batches
 *
 * That is done by a work item of the queue's own, so that queues on different CPUs
 * do not contend, or, for commands that do not take long, by the thread that
 * writes the doorbell: to wake another takes longer than a few pages are copied
 * in. &mnvme_sq.exec keeps the two apart.
 */
#include <linux/delay.h>
#include <linux/moduleparam.h>
#include <linux/sched/clock.h>

#include "mnvme.h"

/* A longer delay would make a guest's driver give a command up. */
#define MNVME_DELAY_MAX		1000000U
#define MNVME_INLINE_MAX	65536U

static unsigned int delay_us;
module_param(delay_us, uint, 0644);
MODULE_PARM_DESC(delay_us,
		 "Time that each I/O command takes at least, in microseconds, at most 1000000 (default 0)");

static unsigned int inline_kib = MNVME_XFER_MAX >> 10;
module_param(inline_kib, uint, 0644);
MODULE_PARM_DESC(inline_kib,
		 "KiB that the thread which writes a doorbell may move before it leaves the rest to another, at most 65536 (default 1024)");

/* Completions are not held back while more than this many bytes are moved. */
#define MNVME_BATCH_BYTES	SZ_128K

/* Commands that one write of a doorbell may be held up by. */
#define MNVME_HERE_COMMANDS	64

#define MNVME_FUSE		(NVME_CMD_FUSE_FIRST | NVME_CMD_FUSE_SECOND)

/**
 * mnvme_may_execute() - whether commands may be fetched and executed now
 * @dev: the controller
 *
 * Return: false while stopped, not ready, failed, shut down or without DMA.
 */
bool mnvme_may_execute(const struct mnvme *dev)
{
	return READ_ONCE(dev->running) && READ_ONCE(dev->ready) &&
	       READ_ONCE(dev->bus_master) && !READ_ONCE(dev->cfs) &&
	       !READ_ONCE(dev->shst);
}

/* Commands that the doorbell announced, up to the end of the queue's memory. */
static u32 mnvme_sq_pending(struct mnvme_sq *sq)
{
	u32 nr;

	spin_lock(&sq->lock);
	if (!sq->live)
		nr = 0;
	else if (sq->tail >= sq->head)
		nr = sq->tail - sq->head;
	else
		nr = sq->size - sq->head;
	spin_unlock(&sq->lock);
	return nr;
}

static u32 mnvme_sq_reserve(struct mnvme_sq *sq, u32 nr)
{
	struct mnvme_cq *cq = &sq->dev->cq[sq->cqid];
	u32 got;

	do {
		got = mnvme_cq_reserve(cq, nr);
	} while (!got && mnvme_cq_full(cq, sq));
	return got;
}

/* Fetches as many commands as there is room for their completions. */
static u32 __mnvme_sq_fetch(struct mnvme_sq *sq, struct nvme_command *cmd)
{
	u32 nr;

	if (!mnvme_may_execute(sq->dev))
		return 0;

	nr = min_t(u32, mnvme_sq_pending(sq), MNVME_BATCH);
	if (nr)
		nr = mnvme_sq_reserve(sq, nr);
	if (nr && mnvme_dma(sq->dev, sq->base + (u64)sq->head * sizeof(*cmd), cmd,
			    nr * sizeof(*cmd), false)) {
		mnvme_cq_unreserve(&sq->dev->cq[sq->cqid], nr);
		mnvme_fail(sq->dev, "a submission queue is not in guest memory");
		return 0;
	}
	return nr;
}

static u32 mnvme_sq_fetch(struct mnvme_sq *sq, struct nvme_command *cmd)
{
	u32 nr;

	do {
		nr = __mnvme_sq_fetch(sq, cmd);
	} while (!nr && mnvme_sq_idle(sq));
	return nr;
}

/*
 * Nothing is fused. Admin commands have PRPs only, and no metadata pointer is an SGL
 * segment, because SGLS does not offer that.
 */
static bool mnvme_flags_valid(const struct mnvme_req *req)
{
	u8 psdt = req->cmd->common.flags & NVME_CMD_SGL_ALL;

	if (req->cmd->common.flags & MNVME_FUSE)
		return false;
	return !psdt || (req->sq->id && psdt == NVME_CMD_SGL_METABUF);
}

static u16 mnvme_execute(struct mnvme_req *req)
{
	u16 status;

	if (!mnvme_flags_valid(req))
		status = MNVME_BAD_FIELD(req, common.flags);
	else if (req->sq->id)
		status = mnvme_io_command(req);
	else
		status = mnvme_admin_command(req);

	if (status != NVME_SC_SUCCESS && status != MNVME_NO_COMPLETION &&
	    !req->unlogged) {
		mnvme_log_error(req, status);
		status |= MNVME_STATUS_MORE;
	}
	return status;
}

static void mnvme_sq_advance(struct mnvme_sq *sq)
{
	WRITE_ONCE(sq->head, sq->head + 1 == sq->size ? 0 : sq->head + 1);
}

static void mnvme_req_init(struct mnvme_req *req, const struct nvme_command *cmd)
{
	req->cmd = cmd;
	req->result = 0;
	req->err_loc = MNVME_NO_LOCATION;
	req->err_lba = 0;
	req->unlogged = false;
}

static void mnvme_cqe_fill(struct nvme_completion *cqe,
			   const struct mnvme_req *req, u16 status)
{
	cqe->result.u64 = cpu_to_le64(req->result);
	cqe->sq_head = cpu_to_le16(req->sq->head);
	cqe->sq_id = cpu_to_le16(req->sq->id);
	cqe->command_id = req->cmd->common.command_id;
	cqe->status = cpu_to_le16(status << 1);
}

/* A disk as slow as is asked for: commands are in flight when it is stopped. */
static void mnvme_delay(const struct mnvme_sq *sq)
{
	unsigned int us = min(READ_ONCE(delay_us), MNVME_DELAY_MAX);

	if (us && sq->id)
		usleep_range(us, us + us / 4 + 1);
}

/* Executes @nr commands, or fewer if the device is to stop, and completes them. */
static void mnvme_sq_batch(struct mnvme_sq *sq, const struct nvme_command *cmd,
			   u32 nr)
{
	struct nvme_completion cqe[MNVME_BATCH];
	struct mnvme *dev = sq->dev;
	struct mnvme_cq *cq = &dev->cq[sq->cqid];
	struct mnvme_req req = { .dev = dev, .sq = sq };
	u32 done, posted = 0, n = 0;
	u16 status;

	for (done = 0; done < nr && mnvme_may_execute(dev); done++) {
		mnvme_delay(sq);
		mnvme_req_init(&req, cmd + done);
		mnvme_sq_advance(sq);
		status = mnvme_execute(&req);
		if (status == MNVME_NO_COMPLETION)
			continue;

		mnvme_cqe_fill(&cqe[n++], &req, status);
		if (req.bytes >= MNVME_BATCH_BYTES) {
			mnvme_cq_post(dev, cq, cqe, n);
			posted += n;
			n = 0;
			req.bytes = 0;
		}
	}

	if (n)
		mnvme_cq_post(dev, cq, cqe, n);
	posted += n;
	if (posted < nr)
		mnvme_cq_unreserve(cq, nr - posted);
}

/*
 * A clock that is read in a few cycles, where reading the exact one can trap. Of
 * two CPUs it is not the same.
 */
static void mnvme_count_busy(struct mnvme_sq *sq, u64 start)
{
	u64 end = local_clock();

	if (end > start)
		sq->count.busy_ns += end - start;
}

/**
 * mnvme_sq_execute() - execute all commands of a submission queue
 * @sq: the queue
 *
 * Context: the queue's work.
 */
void mnvme_sq_execute(struct mnvme_sq *sq)
{
	struct nvme_command cmd[MNVME_BATCH];
	u64 start;
	u32 nr;

	mutex_lock(&sq->exec);
	start = local_clock();
	while ((nr = mnvme_sq_fetch(sq, cmd))) {
		mnvme_sq_batch(sq, cmd, nr);
		cond_resched();
	}
	mnvme_count_busy(sq, start);
	mutex_unlock(&sq->exec);
}

/* What a command adds to the time that it takes, in bytes. */
static u32 mnvme_weight(const struct mnvme *dev, const struct nvme_command *cmd)
{
	switch (cmd->common.opcode) {
	case nvme_cmd_flush:
		return 0;
	case nvme_cmd_read:
	case nvme_cmd_write:
		return (le16_to_cpu(cmd->rw.length) + 1) << dev->type->lba_shift;
	default:
		return U32_MAX;
	}
}

/* Of @nr commands those in front that move no more than @bytes together. */
static u32 mnvme_light(const struct mnvme *dev, const struct nvme_command *cmd,
		       u32 nr, u32 *bytes)
{
	u32 i, weight;

	for (i = 0; i < nr; i++) {
		weight = mnvme_weight(dev, cmd + i);
		if (weight > *bytes)
			break;
		*bytes -= weight;
	}
	return i;
}

/* With @sq's exec taken. False: there is something left for the work. */
static bool mnvme_sq_execute_light(struct mnvme_sq *sq)
{
	struct nvme_command cmd[MNVME_BATCH];
	u32 bytes = min(READ_ONCE(inline_kib), MNVME_INLINE_MAX) << 10;
	u32 nr, light, commands = 0;

	while ((nr = mnvme_sq_fetch(sq, cmd))) {
		light = mnvme_light(sq->dev, cmd, nr, &bytes);
		if (light < nr)
			mnvme_cq_unreserve(&sq->dev->cq[sq->cqid], nr - light);
		if (light)
			mnvme_sq_batch(sq, cmd, light);
		commands += light;
		if (light < nr || commands >= MNVME_HERE_COMMANDS)
			return false;
	}
	return true;
}

/**
 * mnvme_sq_execute_here() - execute commands in the thread that wrote a doorbell
 * @sq: the queue
 *
 * Return: false if the work has to look at the queue.
 */
bool mnvme_sq_execute_here(struct mnvme_sq *sq)
{
	bool done;
	u64 start;

	if (!sq->id || current->mm != sq->dev->mm || READ_ONCE(delay_us))
		return false;
	if (!mutex_trylock(&sq->exec))
		return false;
	start = local_clock();
	done = mnvme_sq_execute_light(sq);
	mnvme_count_busy(sq, start);
	mutex_unlock(&sq->exec);
	/* What came meanwhile found the mutex taken, and kicked the work. */
	return done;
}
