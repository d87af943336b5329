// SPDX-License-Identifier: GPL-2.0-only
/*
 * Submission and completion queues: as the host makes them, and their entries
 */
#include "mnvme.h"

/* Entries that can be reserved. */
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
 * mnvme_cq_take() - the host took entries
 * @cq: completion queue, with its lock held
 * @head: where it is now, if that can be
 *
 * Return: whether it can.
 */
bool mnvme_cq_take(struct mnvme_cq *cq, u32 head)
{
	u32 used, taken;

	lockdep_assert_held(&cq->lock);
	if (head >= cq->size)
		return false;
	used = (cq->tail + cq->size - cq->head) % cq->size;
	taken = (head + cq->size - cq->head) % cq->size;
	if (taken > used)
		return false;
	WRITE_ONCE(cq->head, head);
	return true;
}

/**
 * mnvme_cq_wake() - there may be room for completions again
 * @cq: completion queue
 * @except: a submission queue that knows, or NULL
 *
 * Lets those go on that found none.
 */
void mnvme_cq_wake(struct mnvme_cq *cq, const struct mnvme_sq *except)
{
	struct mnvme *dev = cq->dev;
	bool starved;
	u16 i;

	spin_lock(&cq->lock);
	starved = cq->starved;
	cq->starved = false;
	spin_unlock(&cq->lock);

	for (i = 0; starved && i < MNVME_NR_QUEUES; i++)
		if (READ_ONCE(dev->sq[i].cqid) == cq->id && &dev->sq[i] != except)
			mnvme_sq_kick(&dev->sq[i]);
}

/**
 * mnvme_cq_reserve() - make sure that completions will have a place
 * @cq: completion queue
 * @nr: entries wanted
 *
 * A command is not fetched before there is room for its completion.
 *
 * Return: entries reserved, 0..@nr. Each is used by mnvme_cq_post() or given
 * back by mnvme_cq_unreserve(). After 0 the submission queues of @cq are kicked
 * when there may be room.
 */
u32 mnvme_cq_reserve(struct mnvme_cq *cq, u32 nr)
{
	spin_lock(&cq->lock);
	nr = cq->live ? min(nr, mnvme_cq_room(cq)) : 0;
	cq->reserved += nr;
	if (!nr)
		cq->starved = true;
	spin_unlock(&cq->lock);
	return nr;
}

void mnvme_cq_unreserve(struct mnvme_cq *cq, u32 nr)
{
	spin_lock(&cq->lock);
	cq->reserved -= nr;
	spin_unlock(&cq->lock);
	mnvme_cq_wake(cq, NULL);
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

/**
 * mnvme_queued() - I/O commands that were submitted and not executed yet
 * @dev: the controller
 *
 * Return: their number, which may change at once unless the device is stopped. Of
 * shadow doorbells what was seen last counts.
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

		cq->dev = dev;
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
	sq->shadow = sq->id && sq->dev->dbbuf.on;
	sq->rung = MNVME_NO_DOORBELL;
	sq->event_idx = 0;
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
	cq->starved = false;
	cq->shadow = cq->id && cq->dev->dbbuf.on;
	cq->event_idx = 0;
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

