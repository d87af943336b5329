// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands of a submission queue: fetched, executed and completed in batches
 *
 * The queue's executor does this. The thread that writes the doorbell executes short
 * commands itself, because waking another thread takes longer than copying a few pages.
 * &mnvme_sq.exec serialises the two threads.
 *
 * The thread that writes the doorbell does not wait for guest memory that is not present, and the
 * executor waits a few milliseconds only. If memory is still missing, the command counts as not
 * executed. The queue's head stays in front of the command, and the command begins again when the
 * library reports that its memory is present. The host cannot tell how often a command was begun,
 * because only a complete command has a completion.
 */
#include <linux/delay.h>
#include <linux/moduleparam.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>

#include "mnvme.h"

/* In microseconds. A guest's driver aborts commands whose delays together take too long. */
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

/* Limit of the commands that one write of a doorbell waits for. */
#define MNVME_HERE_COMMANDS	64

/* An executor serves the next queue after this time, or after so many batches. */
#define MNVME_TURN_NS		(2 * NSEC_PER_MSEC)
#define MNVME_BATCHES		4
/* After this time, no further command of a batch is executed in this turn. */
#define MNVME_TURN_MAX_NS	(10 * NSEC_PER_MSEC)

#define MNVME_FUSE		(NVME_CMD_FUSE_FIRST | NVME_CMD_FUSE_SECOND)

/**
 * mnvme_may_execute() - whether commands may be fetched and executed now
 * @dev: the controller
 *
 * Return: false while stopped, reset, not ready, failed, shut down or without DMA.
 */
bool mnvme_may_execute(const struct mnvme *dev)
{
	return READ_ONCE(dev->running) && !READ_ONCE(dev->resetting) &&
	       READ_ONCE(dev->ready) &&
	       READ_ONCE(dev->bus_master) && !READ_ONCE(dev->cfs) &&
	       !READ_ONCE(dev->shst);
}

/**
 * mnvme_sq_may_execute() - whether a queue's commands may go on
 * @sq: the queue
 *
 * A command also checks this between its pieces, so that SIGKILL ends the thread. A stop, a
 * reset and a deletion of the queue then do not wait for a long command either.
 *
 * Return: false as for mnvme_may_execute(), if the queue was deleted, or if the thread is
 * being killed.
 */
bool mnvme_sq_may_execute(const struct mnvme_sq *sq)
{
	return READ_ONCE(sq->live) && mnvme_may_execute(sq->dev) &&
	       !fatal_signal_pending(current);
}

/**
 * mnvme_sq_turn_over() - whether other queues wait too long for this one
 * @sq: the queue, with its exec held
 *
 * A host can make a single command long, for example by many SGL descriptors or by ranges
 * to deallocate. So a batch ends early, and a command that keeps its progress begins again
 * in the next turn.
 */
bool mnvme_sq_turn_over(const struct mnvme_sq *sq)
{
	return local_clock() > sq->turn_end;
}

/* Returns the number of submitted commands, up to the end of the queue's memory. */
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

/* Fetches commands, but no more than entries for their completions can be reserved. */
static u32 __mnvme_sq_fetch(struct mnvme_sq *sq, struct nvme_command *cmd)
{
	u32 nr;
	int ret;

	if (!mnvme_may_execute(sq->dev))
		return 0;

	nr = min_t(u32, mnvme_sq_pending(sq), MNVME_BATCH);
	if (nr)
		nr = mnvme_sq_reserve(sq, nr);
	if (!nr)
		return 0;
	ret = mnvme_dma(sq, sq->base + (u64)sq->head * sizeof(*cmd), cmd,
			nr * sizeof(*cmd), false);
	if (!ret)
		return nr;
	mnvme_cq_unreserve(&sq->dev->cq[sq->cqid], nr);
	if (ret != -EAGAIN)
		mnvme_fail(sq->dev, "a submission queue is not in guest memory");
	return 0;
}

/*
 * Returns whether there are more commands after all known ones were executed. If the queue is
 * polled, EventIdx is not set, because the host then need not write the register. The thread
 * that wrote a doorbell leaves the polling to the executor.
 */
static bool mnvme_sq_more(struct mnvme_sq *sq)
{
	bool armed = sq->event_idx == sq->tail;

	sq->polled = sq->here ? sq->poll_ns && !armed : mnvme_polls(sq);
	return mnvme_sq_idle(sq, !sq->polled);
}

static u32 mnvme_sq_fetch(struct mnvme_sq *sq, struct nvme_command *cmd)
{
	u32 nr;

	do {
		nr = __mnvme_sq_fetch(sq, cmd);
	} while (!nr && !sq->waits && mnvme_sq_more(sq));
	if (nr)
		mnvme_poll_adapt(sq);
	return nr;
}

/*
 * Fused commands are not supported. Admin commands use PRPs only. A metadata pointer is
 * never an SGL segment, because SGLS does not offer such pointers.
 */
static u16 mnvme_check_flags(struct mnvme_req *req)
{
	u8 psdt = req->cmd->common.flags & NVME_CMD_SGL_ALL;

	if (req->cmd->common.flags & MNVME_FUSE)
		return MNVME_BAD_FIELD(req, common.flags);
	if (psdt && (!req->sq->id || psdt != NVME_CMD_SGL_METABUF))
		return MNVME_BAD_BIT(req, common.flags, 6);
	return NVME_SC_SUCCESS;
}

static u16 mnvme_execute(struct mnvme_req *req)
{
	u16 status = mnvme_check_flags(req);

	if (!status)
		status = req->sq->id ? mnvme_io_command(req) : mnvme_admin_command(req);

	if (status != NVME_SC_SUCCESS && status != MNVME_NO_COMPLETION &&
	    status != MNVME_NOT_EXECUTED && !req->unlogged) {
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
	req->freed = false;
	req->no_rows = false;
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

/* delay_us makes the disk slow, so that a stop finds commands in flight. */
static void mnvme_delay(const struct mnvme_sq *sq)
{
	unsigned int us = min(READ_ONCE(delay_us), MNVME_DELAY_MAX);

	if (us && sq->id)
		wait_event_interruptible_hrtimeout(sq->dev->halt,
						   !mnvme_sq_may_execute(sq),
						   ns_to_ktime(us * NSEC_PER_USEC));
}

/*
 * Executes @nr commands, or fewer if the device has to stop, if guest memory is not
 * present, or if they take too long. Posts their completions as far as the completion
 * queue's memory is present. Gives back the reserved entries of commands that were not executed
 * or have no completion yet.
 */
static void mnvme_sq_batch(struct mnvme_sq *sq, const struct nvme_command *cmd,
			   u32 nr)
{
	struct mnvme *dev = sq->dev;
	struct mnvme_req req = { .dev = dev, .sq = sq };
	struct nvme_completion cqe;
	u32 i, left = nr;
	u16 status;

	for (i = 0; i < nr && !sq->waits && !(i && mnvme_sq_turn_over(sq)); i++) {
		mnvme_delay(sq);
		if (!mnvme_sq_may_execute(sq))
			break;
		mnvme_req_init(&req, cmd + i);
		status = mnvme_execute(&req);
		if (status == MNVME_NOT_EXECUTED)
			break;
		vfio_mig_dma_finish(&sq->dma);
		mnvme_sq_advance(sq);
		if (status == MNVME_NO_COMPLETION)
			continue;

		mnvme_cqe_fill(&cqe, &req, status);
		mnvme_sq_complete(sq, &cqe);
		left--;
		if (req.bytes >= MNVME_BATCH_BYTES) {
			mnvme_sq_post(sq);
			req.bytes = 0;
		}
	}

	mnvme_sq_post(sq);
	if (left)
		mnvme_cq_unreserve(&dev->cq[sq->cqid], left);
	sq->last_ns = local_clock();
}

/*
 * local_clock() takes a few cycles, while a read of the exact clock can trap. The clocks
 * of two CPUs differ a little, so the end can be before the start.
 */
static void mnvme_count_busy(struct mnvme_sq *sq, u64 start)
{
	/* If no command was executed since @start, the last one is older. */
	if (sq->last_ns > start)
		sq->count.busy_ns += sq->last_ns - start;
}

/*
 * Posts the completions of executed commands. For the admin queue, also delivers events
 * to Asynchronous Event Requests. Returns false if the memory of the completion queue is
 * not present.
 */
static bool mnvme_sq_settle(struct mnvme_sq *sq)
{
	if (mnvme_sq_post(sq))
		return false;
	if (sq->id)
		return true;
	mnvme_events_deliver(sq->dev);
	return !mnvme_sq_post(sq);
}

/* Called with @sq's exec held. Returns whether there may be more commands now. */
static bool mnvme_sq_turn(struct mnvme_sq *sq)
{
	struct nvme_command cmd[MNVME_BATCH];
	u64 start = local_clock();
	u32 nr, i;

	sq->turn_end = start + MNVME_TURN_MAX_NS;
	/* A kick can be older than a stop, a deletion or a reset of the queue. */
	if (!mnvme_sq_may_execute(sq))
		return false;
	if (!sq->id && !mnvme_dbbuf_look(sq->dev))
		return false;
	if (!mnvme_sq_settle(sq))
		return false;
	for (i = 0; i < MNVME_BATCHES && local_clock() - start < MNVME_TURN_NS; i++) {
		nr = mnvme_sq_fetch(sq, cmd);
		if (!nr)
			return false;
		mnvme_sq_batch(sq, cmd, nr);
		if (sq->waits || !mnvme_sq_settle(sq))
			return false;
		cond_resched();
	}
	return true;
}

/**
 * mnvme_sq_execute() - execute commands of a submission queue
 * @sq: the queue
 *
 * After some batches the function kicks the queue again and returns, so that the executor
 * serves the other queues. It also kicks a queue that is polled.
 *
 * While a command waits for memory, the function only posts the completions of earlier commands
 * and signals their interrupts.
 *
 * Context: the queue's executor.
 */
void mnvme_sq_execute(struct mnvme_sq *sq)
{
	bool more = false;
	u64 start;

	mutex_lock(&sq->exec);
	/* The end of a pending access kicks the queue. */
	if (!vfio_mig_dma_pending(&sq->dma)) {
		start = local_clock();
		sq->waits = false;
		sq->dma.waited = false;
		sq->polled = false;
		more = mnvme_sq_turn(sq);
		more |= sq->polled && !sq->waits;
		if (!sq->waits)
			vfio_mig_dma_finish(&sq->dma);
		mnvme_irq_settle(sq, more);
		mnvme_count_busy(sq, start);
	} else {
		/* What earlier commands owe to the host does not wait for this one's memory. */
		if (mnvme_sq_may_execute(sq))
			mnvme_sq_settle(sq);
		mnvme_irq_settle(sq, false);
	}
	mutex_unlock(&sq->exec);
	if (more)
		mnvme_sq_kick(sq);
}

/* Returns the bytes that a command moves, or U32_MAX if the time that it takes is not known. */
static u32 mnvme_weight(const struct mnvme *dev, const struct nvme_command *cmd)
{
	switch (cmd->common.opcode) {
	case nvme_cmd_flush:
		return 0;
	case nvme_cmd_read:
	case nvme_cmd_write:
		if (mnvme_sgl_long(cmd))
			return U32_MAX;
		return (le16_to_cpu(cmd->rw.length) + 1) << dev->type->lba_shift;
	default:
		return U32_MAX;
	}
}

/*
 * Returns how many of the first commands move at most *@bytes together. Subtracts the bytes of
 * these commands.
 */
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

/* Returns whether there may be more commands. Does not read doorbells in memory. */
static bool mnvme_sq_may_have_more(struct mnvme_sq *sq)
{
	return READ_ONCE(sq->shadow) || mnvme_sq_pending(sq);
}

/* Called with @sq's exec held. Returns false if the executor has to continue. */
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
		if (light < nr || sq->waits)
			return false;
		if (commands >= MNVME_HERE_COMMANDS || mnvme_sq_turn_over(sq))
			return !mnvme_sq_may_have_more(sq);
	}
	return !sq->waits && !sq->polled;
}

/**
 * mnvme_sq_execute_here() - execute commands in the thread that wrote a doorbell
 * @sq: the queue
 *
 * The thread may be a vCPU, so it uses only memory that is present, and waits for no memory. A
 * thread with another address space than the opener of the device cannot access guest memory
 * without the fault thread. While the fault thread may hold the container's lock, a copy would
 * wait for this lock (vfio_mig_dma_busy()). In both cases the executor has to look at the queue.
 *
 * Return: false if the executor has to look at the queue.
 */
bool mnvme_sq_execute_here(struct mnvme_sq *sq)
{
	bool done = false;
	u64 start;

	if (!sq->id || current->mm != sq->dev->mm || READ_ONCE(delay_us) ||
	    vfio_mig_dma_busy(sq->dev->mig))
		return false;
	if (!mutex_trylock(&sq->exec))
		return false;
	if (!vfio_mig_dma_pending(&sq->dma)) {
		start = local_clock();
		sq->turn_end = start + MNVME_TURN_MAX_NS;
		sq->here = true;
		sq->waits = false;
		sq->polled = false;
		if (mnvme_sq_may_execute(sq) && !mnvme_sq_post(sq))
			done = mnvme_sq_execute_light(sq);
		sq->here = false;
		if (!sq->waits)
			vfio_mig_dma_finish(&sq->dma);
		mnvme_count_busy(sq, start);
	}
	mutex_unlock(&sq->exec);
	/* A doorbell that found the mutex held has kicked the executor. */
	return done;
}
