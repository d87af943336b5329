// SPDX-License-Identifier: GPL-2.0-only
/*
 * Submission and completion queues
 *
 * Each submission queue has a work item of its own, so that queues on different
 * CPUs do not contend. A doorbell notes the new value and kicks the work, which
 * executes everything that is there. A single small command is executed on the
 * spot instead: that takes less time than to wake a thread for it.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mmu_context.h>
#include <linux/moduleparam.h>
#include <linux/sched/mm.h>
#include <linux/timekeeping.h>

#include "mnvme.h"

/* A longer delay would make a guest's driver give a command up. */
#define MNVME_DELAY_MAX		1000000U

static unsigned int delay_us;
module_param(delay_us, uint, 0644);
MODULE_PARM_DESC(delay_us,
		 "Time that each I/O command takes at least, in microseconds, at most 1000000 (default 0)");

/* Completions are not held back while more than this many bytes are moved. */
#define MNVME_BATCH_BYTES	SZ_128K

/* A command that moves no more may be executed where the doorbell is written. */
#define MNVME_SMALL_BYTES	SZ_16K

#define MNVME_FUSE		(NVME_CMD_FUSE_FIRST | NVME_CMD_FUSE_SECOND)

/**
 * mnvme_dma() - move bytes between guest memory and a kernel buffer
 * @dev: the controller
 * @iova: address in the guest
 * @buf: kernel buffer
 * @len: bytes
 * @write: to the guest
 *
 * Context: a kernel thread, or a thread of the process that opened the device.
 * May sleep.
 * Return: 0 or an errno; some of the bytes may have been moved.
 */
int mnvme_dma(struct mnvme *dev, u64 iova, void *buf, size_t len, bool write)
{
	struct mm_struct *mm = current->mm;
	int ret;

	/* The container takes what wraps around for a range near zero. */
	if (iova + len < iova)
		return -EFAULT;

	ret = vfio_mig_dma_rw(dev->mig, iova, buf, len, write);
	if (!ret || !mm || !(current->flags & PF_KTHREAD))
		return ret;

	/*
	 * Memory mapped by another process than the one that opened the device
	 * is reached only from a thread without an address space.
	 */
	kthread_unuse_mm(mm);
	ret = vfio_mig_dma_rw(dev->mig, iova, buf, len, write);
	kthread_use_mm(mm);
	return ret;
}

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

static u32 mnvme_cq_room(const struct mnvme_cq *cq)
{
	u32 used = cq->tail >= cq->head ? cq->tail - cq->head :
					  cq->tail + cq->size - cq->head;

	/* One entry stays empty: a full queue would look like an empty one. */
	return cq->size - 1 - used - cq->reserved;
}

bool mnvme_cq_empty(const struct mnvme_cq *cq)
{
	return READ_ONCE(cq->head) == READ_ONCE(cq->tail);
}

/**
 * mnvme_cq_reserve() - make sure that completions will have a place
 * @cq: completion queue
 * @nr: entries wanted
 *
 * A command is not fetched before there is room for its completion.
 *
 * Return: entries reserved, 0..@nr. Each is used by mnvme_cq_post() or given
 * back by mnvme_cq_unreserve().
 */
u32 mnvme_cq_reserve(struct mnvme_cq *cq, u32 nr)
{
	spin_lock(&cq->lock);
	nr = cq->live ? min(nr, mnvme_cq_room(cq)) : 0;
	cq->reserved += nr;
	spin_unlock(&cq->lock);
	return nr;
}

void mnvme_cq_unreserve(struct mnvme_cq *cq, u32 nr)
{
	spin_lock(&cq->lock);
	cq->reserved -= nr;
	spin_unlock(&cq->lock);
}

/*
 * A host that polls must not see an entry's phase tag before the rest of it, and
 * copies to user memory promise no order. So all is written with the first
 * entry's tag still wrong, and that tag last: a host does not look at an entry
 * before it has seen the one in front of it.
 */
static int mnvme_cq_write(struct mnvme *dev, const struct mnvme_cq *cq,
			  u32 tail, struct nvme_completion *cqe, u32 nr)
{
	u64 base = cq->base + (u64)tail * sizeof(*cqe);
	u32 first = min(nr, cq->size - tail);
	__le16 phase = cpu_to_le16(1);
	int ret = 0;

	if (first < nr)
		ret = mnvme_dma(dev, cq->base, cqe + first,
				(nr - first) * sizeof(*cqe), true);
	if (ret)
		return ret;

	cqe->status ^= phase;
	ret = mnvme_dma(dev, base, cqe, first * sizeof(*cqe), true);
	cqe->status ^= phase;
	if (ret)
		return ret;

	smp_wmb(); /* the rest before the first entry's phase tag */
	return mnvme_dma(dev, base + offsetof(struct nvme_completion, status),
			 &cqe->status, 1, true);
}

/**
 * mnvme_cq_post() - write completions and interrupt
 * @dev: the controller
 * @cq: completion queue, with @nr entries reserved
 * @cqe: completions without phase tags
 * @nr: how many, at least 1
 *
 * Context: process context. Takes &mnvme_cq.post and leaf locks.
 */
void mnvme_cq_post(struct mnvme *dev, struct mnvme_cq *cq,
		   struct nvme_completion *cqe, u32 nr)
{
	u32 i, tail, next;
	int ret;

	mutex_lock(&cq->post);
	/* Before the host can see an entry, or it would take one too many. */
	spin_lock(&cq->lock);
	tail = cq->tail;
	next = tail + nr;
	for (i = 0; i < nr; i++)
		cqe[i].status |= cpu_to_le16(cq->phase ^ (tail + i >= cq->size));
	if (next >= cq->size) {
		next -= cq->size;
		cq->phase ^= 1;
	}
	WRITE_ONCE(cq->tail, next);
	cq->reserved -= nr;
	spin_unlock(&cq->lock);

	ret = mnvme_cq_write(dev, cq, tail, cqe, nr);
	mutex_unlock(&cq->post);

	if (ret)
		mnvme_fail(dev, "a completion queue is not in guest memory");
	else
		mnvme_irq_raise(dev, cq);
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

static int mnvme_sq_read(struct mnvme_sq *sq, struct nvme_command *cmd, u32 nr)
{
	return mnvme_dma(sq->dev, sq->base + (u64)sq->head * sizeof(*cmd), cmd,
			 nr * sizeof(*cmd), false);
}

/* Fetches as many commands as there is room for their completions. */
static u32 mnvme_sq_fetch(struct mnvme_sq *sq, struct nvme_command *cmd)
{
	struct mnvme_cq *cq = &sq->dev->cq[sq->cqid];
	u32 nr;

	if (!mnvme_may_execute(sq->dev))
		return 0;

	nr = min_t(u32, mnvme_sq_pending(sq), MNVME_BATCH);
	if (nr)
		nr = mnvme_cq_reserve(cq, nr);
	if (nr && mnvme_sq_read(sq, cmd, nr)) {
		mnvme_cq_unreserve(cq, nr);
		mnvme_fail(sq->dev, "a submission queue is not in guest memory");
		return 0;
	}
	return nr;
}

/**
 * mnvme_queued() - I/O commands that were submitted and not executed yet
 * @dev: the controller
 *
 * Return: their number, which may change at once unless the device is stopped.
 */
u32 mnvme_queued(struct mnvme *dev)
{
	u32 nr = 0;
	u16 i;

	for (i = 1; i < MNVME_NR_QUEUES; i++) {
		struct mnvme_sq *sq = &dev->sq[i];

		spin_lock(&sq->lock);
		if (sq->live)
			nr += (sq->tail + sq->size - sq->head) % sq->size;
		spin_unlock(&sq->lock);
	}
	return nr;
}

static u16 mnvme_execute(struct mnvme_req *req)
{
	u16 status;

	if (req->cmd->common.flags & MNVME_FUSE)
		status = MNVME_BAD_FIELD(req, common.flags);
	else if (req->sq->id)
		status = mnvme_io_command(req);
	else
		status = mnvme_admin_command(req);

	if (status != NVME_SC_SUCCESS && status != MNVME_NO_COMPLETION) {
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

static void mnvme_sq_execute(struct mnvme_sq *sq)
{
	struct nvme_command cmd[MNVME_BATCH];
	u64 start = ktime_get_ns();
	bool busy = false;
	u32 nr;

	mutex_lock(&sq->exec);
	while ((nr = mnvme_sq_fetch(sq, cmd))) {
		mnvme_sq_batch(sq, cmd, nr);
		busy = true;
		cond_resched();
	}

	if (busy)
		sq->count.busy_ns += ktime_get_ns() - start;
	mutex_unlock(&sq->exec);
}

/* Reads and writes of a few pages, which take no longer than to wake a thread. */
static bool mnvme_is_small(const struct mnvme *dev, const struct nvme_command *cmd)
{
	u32 len = (le16_to_cpu(cmd->rw.length) + 1) << dev->type->lba_shift;

	return (cmd->rw.opcode == nvme_cmd_read ||
		cmd->rw.opcode == nvme_cmd_write) && len <= MNVME_SMALL_BYTES;
}

/*
 * Executes the one command there is, with @sq's exec and a place for its
 * completion taken. Where that fails in a way that may be due to this thread's
 * address space, nothing was completed, and the work does it again.
 */
static bool mnvme_sq_try_one(struct mnvme_sq *sq)
{
	struct mnvme_req req = { .dev = sq->dev, .sq = sq };
	struct nvme_completion cqe;
	struct nvme_command cmd;

	if (!mnvme_may_execute(sq->dev) || mnvme_sq_pending(sq) != 1)
		return false;
	if (mnvme_sq_read(sq, &cmd, 1) || !mnvme_is_small(sq->dev, &cmd))
		return false;

	mnvme_req_init(&req, &cmd);
	if ((cmd.common.flags & MNVME_FUSE) || mnvme_io_command(&req))
		return false;

	mnvme_sq_advance(sq);
	mnvme_cqe_fill(&cqe, &req, NVME_SC_SUCCESS);
	mnvme_cq_post(sq->dev, &sq->dev->cq[sq->cqid], &cqe, 1);
	return true;
}

/* In the thread that wrote the doorbell. False: the work has to do it. */
static bool mnvme_sq_execute_here(struct mnvme_sq *sq)
{
	struct mnvme_cq *cq = &sq->dev->cq[sq->cqid];
	u64 start = ktime_get_ns();
	bool done = false;

	if (!sq->id || current->mm != sq->dev->mm || READ_ONCE(delay_us))
		return false;
	if (!mutex_trylock(&sq->exec))
		return false;
	if (mnvme_cq_reserve(cq, 1)) {
		done = mnvme_sq_try_one(sq);
		if (done)
			sq->count.busy_ns += ktime_get_ns() - start;
		else
			mnvme_cq_unreserve(cq, 1);
	}
	mutex_unlock(&sq->exec);
	/* What came meanwhile found the mutex taken, and kicked the work. */
	return done;
}

/*
 * vfio_dma_rw() takes on the address space that it copies to, and lets go of it,
 * in each call from a thread that has none. Having it for the whole run saves
 * that.
 */
static bool mnvme_use_mm(struct mnvme *dev)
{
	if (!dev->mm || !mmget_not_zero(dev->mm))
		return false;
	kthread_use_mm(dev->mm);
	return true;
}

static void mnvme_unuse_mm(struct mnvme *dev)
{
	kthread_unuse_mm(dev->mm);
	mmput(dev->mm);
}

static void mnvme_io_work(struct work_struct *work)
{
	struct mnvme_sq *sq = container_of(work, struct mnvme_sq, work);
	bool used = mnvme_use_mm(sq->dev);

	mnvme_sq_execute(sq);
	if (used)
		mnvme_unuse_mm(sq->dev);
}

static void mnvme_admin_work(struct work_struct *work)
{
	struct mnvme_sq *sq = container_of(work, struct mnvme_sq, work);
	bool used = mnvme_use_mm(sq->dev);

	mnvme_events_deliver(sq->dev);
	mnvme_sq_execute(sq);
	mnvme_events_deliver(sq->dev);
	if (used)
		mnvme_unuse_mm(sq->dev);
}

void mnvme_queues_init(struct mnvme *dev)
{
	u16 i;

	for (i = 0; i < MNVME_NR_QUEUES; i++) {
		struct mnvme_sq *sq = &dev->sq[i];
		struct mnvme_cq *cq = &dev->cq[i];

		sq->dev = dev;
		sq->id = i;
		spin_lock_init(&sq->lock);
		/* Apart, as the admin queue's work waits for the others. */
		if (i) {
			INIT_WORK(&sq->work, mnvme_io_work);
			mutex_init(&sq->exec);
		} else {
			INIT_WORK(&sq->work, mnvme_admin_work);
			mutex_init(&sq->exec);
		}

		cq->id = i;
		spin_lock_init(&cq->lock);
		mutex_init(&cq->post);
	}
}

void mnvme_sq_create(struct mnvme_sq *sq, u64 base, u32 size, u16 cqid, u8 prio)
{
	spin_lock(&sq->lock);
	sq->base = base;
	sq->size = size;
	sq->cqid = cqid;
	sq->prio = prio;
	sq->head = 0;
	sq->tail = 0;
	sq->live = true;
	spin_unlock(&sq->lock);
}

void mnvme_cq_create(struct mnvme_cq *cq, u64 base, u32 size, u16 vector,
		     bool ien)
{
	spin_lock(&cq->lock);
	cq->base = base;
	cq->size = size;
	cq->vector = vector;
	cq->ien = ien;
	cq->phase = 1;
	cq->head = 0;
	cq->tail = 0;
	cq->reserved = 0;
	cq->live = true;
	spin_unlock(&cq->lock);
}

/**
 * mnvme_sq_quiesce() - wait for the commands that are being executed
 * @sq: the queue, which may not execute more: mnvme_may_execute() says so, or it
 *	was marked as not existing
 */
void mnvme_sq_quiesce(struct mnvme_sq *sq)
{
	cancel_work_sync(&sq->work);
	/* And for one that is executed where the doorbell was written. */
	mutex_lock(&sq->exec);
	mutex_unlock(&sq->exec);
}

/**
 * mnvme_sq_delete() - end a submission queue
 * @sq: the queue; need not exist
 *
 * Waits for the command that is being executed. Those behind it are dropped,
 * as NVMe 5.6 allows.
 */
void mnvme_sq_delete(struct mnvme_sq *sq)
{
	spin_lock(&sq->lock);
	sq->live = false;
	spin_unlock(&sq->lock);
	mnvme_sq_quiesce(sq);
	mnvme_fold_counters(sq);
}

/* No submission queue uses @cq any more. */
void mnvme_cq_delete(struct mnvme_cq *cq)
{
	spin_lock(&cq->lock);
	cq->live = false;
	cq->head = 0;
	cq->tail = 0;
	spin_unlock(&cq->lock);
}

/* Under the lock: after mnvme_sq_delete() nothing may start the work again. */
static void __mnvme_sq_kick(struct mnvme_sq *sq)
{
	lockdep_assert_held(&sq->lock);
	if (sq->live && READ_ONCE(sq->dev->running))
		queue_work(mnvme_wq, &sq->work);
}

/**
 * mnvme_sq_kick() - let a submission queue look at its commands
 * @sq: the queue; need not exist
 */
void mnvme_sq_kick(struct mnvme_sq *sq)
{
	spin_lock(&sq->lock);
	__mnvme_sq_kick(sq);
	spin_unlock(&sq->lock);
}

void mnvme_sq_kick_all(struct mnvme *dev)
{
	u16 i;

	for (i = 0; i < MNVME_NR_QUEUES; i++)
		mnvme_sq_kick(&dev->sq[i]);
}

static bool mnvme_sq_doorbell(struct mnvme_sq *sq, u32 val)
{
	bool ok;

	spin_lock(&sq->lock);
	ok = sq->live && val < sq->size;
	if (ok)
		sq->tail = val;
	spin_unlock(&sq->lock);

	if (ok && !mnvme_sq_execute_here(sq))
		mnvme_sq_kick(sq);
	return ok;
}

static bool mnvme_cq_doorbell(struct mnvme *dev, struct mnvme_cq *cq, u32 val)
{
	u32 used, taken;
	bool ok, full;
	u16 i;

	spin_lock(&cq->lock);
	ok = cq->live && val < cq->size;
	if (ok) {
		used = (cq->tail + cq->size - cq->head) % cq->size;
		taken = (val + cq->size - cq->head) % cq->size;
		ok = taken <= used;
	}
	full = ok && !mnvme_cq_room(cq);
	if (ok)
		WRITE_ONCE(cq->head, val);
	spin_unlock(&cq->lock);

	/* Whoever found the queue full gave up: this is where it goes on. */
	for (i = 0; full && i < MNVME_NR_QUEUES; i++)
		if (READ_ONCE(dev->sq[i].cqid) == cq->id)
			mnvme_sq_kick(&dev->sq[i]);
	return ok;
}

/**
 * mnvme_doorbell() - a doorbell register was written
 * @dev: the controller
 * @off: offset from the first doorbell
 * @val: what was written
 *
 * Context: the user's thread, without &mnvme.lock. While the device is stopped
 * the value is kept and nothing else happens.
 */
void mnvme_doorbell(struct mnvme *dev, u32 off, u32 val)
{
	u32 qid = off / (2 * sizeof(u32));
	bool is_cq = off & sizeof(u32);
	bool live, ok;

	if (!READ_ONCE(dev->ready) || qid >= MNVME_NR_QUEUES)
		return;

	val &= 0xffff;
	if (is_cq) {
		live = READ_ONCE(dev->cq[qid].live);
		ok = mnvme_cq_doorbell(dev, &dev->cq[qid], val);
	} else {
		live = READ_ONCE(dev->sq[qid].live);
		ok = mnvme_sq_doorbell(&dev->sq[qid], val);
	}
	if (ok)
		return;

	/* NVMe figure "Asynchronous Event Information - Error Status" */
	mnvme_event_raise(dev, MNVME_EVENT_ERROR, live ? 1 : 0);
	mnvme_warn(dev, "%s %u: doorbell value %u refused\n",
		   is_cq ? "completion queue" : "submission queue", qid, val);
}
