// SPDX-License-Identifier: GPL-2.0-only
/*
 * Submission and completion queues: creation, deletion and entries
 *
 * exec.c reserves an entry of the completion queue before it fetches a command. The functions
 * here write the completion to guest memory, and wake the executor of a queue that has to
 * continue.
 */
#include "mnvme.h"

/* Returns the number of entries that can be reserved. The queue's lock is held. */
static u32 mnvme_cq_room(const struct mnvme_cq *cq)
{
	u32 used = cq->tail >= cq->head ? cq->tail - cq->head :
					  cq->tail + cq->size - cq->head;

	/* One entry stays empty, because a full queue would look like an empty one. */
	return cq->size - 1 - used - cq->reserved;
}

/**
 * mnvme_cq_empty() - whether the host has taken all entries, by the values that are known
 * @cq: completion queue
 *
 * For the admin queue with shadow doorbells, the host may have written its head to the register
 * only. This value is in &mnvme_cq.rung until the executor makes it the head.
 *
 * Context: any. The queue's lock need not be held, because the result can be old in any case.
 */
bool mnvme_cq_empty(const struct mnvme_cq *cq)
{
	u32 tail = READ_ONCE(cq->tail);

	return READ_ONCE(cq->head) == tail || READ_ONCE(cq->rung) == tail;
}

/**
 * mnvme_cq_can_take() - whether a value of a completion queue's head is possible
 * @cq: completion queue, with its lock held
 * @head: the value
 */
bool mnvme_cq_can_take(const struct mnvme_cq *cq, u32 head)
{
	u32 used, taken;

	lockdep_assert_held(&cq->lock);
	if (head >= cq->size)
		return false;
	used = (cq->tail + cq->size - cq->head) % cq->size;
	taken = (head + cq->size - cq->head) % cq->size;
	return taken <= used;
}

/**
 * mnvme_cq_take() - set the head after the host took entries
 * @cq: completion queue, with its lock held
 * @head: the new head
 *
 * Return: false if this head is not possible. It is not set then.
 */
bool mnvme_cq_take(struct mnvme_cq *cq, u32 head)
{
	if (!mnvme_cq_can_take(cq, head))
		return false;
	WRITE_ONCE(cq->head, head);
	return true;
}

/**
 * mnvme_sq_can_add() - whether a submission queue has space for the commands up to a new tail
 * @sq: submission queue, with its lock held
 * @tail: the new tail
 *
 * The head that is read here may be old. The host does not know a later head, because the host
 * gets the head with a completion.
 */
bool mnvme_sq_can_add(const struct mnvme_sq *sq, u32 tail)
{
	u32 used, added;

	lockdep_assert_held(&sq->lock);
	if (tail >= sq->size)
		return false;
	used = (sq->tail + sq->size - READ_ONCE(sq->head)) % sq->size;
	added = (tail + sq->size - sq->tail) % sq->size;
	return used + added < sq->size;
}

/**
 * mnvme_cq_wake() - kick submission queues that found a completion queue full
 * @cq: completion queue, which may have free entries again
 * @except: a submission queue that need not be kicked, or NULL
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
 * mnvme_cq_reserve() - reserve entries for completions
 * @cq: completion queue
 * @nr: number of entries
 *
 * A command is fetched only after an entry for its completion was reserved.
 *
 * Return: number of reserved entries, 0..@nr. mnvme_sq_post() uses them, and
 * mnvme_cq_unreserve() gives them back. After 0 the submission queues of @cq are kicked
 * when there may be free entries.
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
 * A host that polls must not see an entry's phase tag before the rest of the entry, and a
 * copy to user memory has no order. So the entries are first written with a wrong tag in
 * the first one, and this tag is written last. A host does not look at an entry before it
 * has seen the previous entry.
 *
 * A write that fails may have stored entries after the first one, with their tags. If another
 * submission queue posts fewer entries next, the host must not take the rest for completions.
 * So &mnvme_cq.torn has the number of such entries after the tail, and the next write covers
 * all of them.
 *
 * This function writes everything except the first entry's tag.
 */
static int mnvme_cq_write(struct mnvme_sq *sq, struct mnvme_cq *cq, u32 nr)
{
	u64 base = cq->base + (u64)cq->tail * sizeof(sq->done[0]);
	u32 first = min(nr, cq->size - cq->tail);
	int ret = 0;

	WRITE_ONCE(cq->torn, nr);
	if (first < nr)
		ret = mnvme_cq_dma(cq, &cq->dma, sq, cq->base, sq->done + first,
				   (nr - first) * sizeof(sq->done[0]));
	if (!ret)
		ret = mnvme_cq_dma(cq, &cq->dma, sq, base, sq->done, first * sizeof(sq->done[0]));
	if (!ret)
		WRITE_ONCE(cq->torn, 0);
	return ret;
}

/* Returns the phase tag that the host expects in the entry @i entries after the tail. */
static __le16 mnvme_phase(const struct mnvme_cq *cq, u32 i)
{
	bool wrapped = cq->tail + i >= cq->size;

	return cpu_to_le16(cq->phase ^ wrapped);
}

/* Prepares @nr entries. The first one, and those after the last completion, get a wrong tag. */
static void mnvme_set_phases(struct mnvme_sq *sq, const struct mnvme_cq *cq, u32 nr)
{
	const __le16 phase = cpu_to_le16(1);
	u32 i;

	for (i = sq->nr_done; i < nr; i++)
		sq->done[i] = (struct nvme_completion) {};
	for (i = 0; i < nr; i++) {
		sq->done[i].status &= ~phase;
		sq->done[i].status |= mnvme_phase(cq, i);
		if (!i || i >= sq->nr_done)
			sq->done[i].status ^= phase;
	}
}

/* Called before the host can see an entry, because the host's head must not pass the tail. */
static void mnvme_cq_advance(struct mnvme_cq *cq, u32 nr)
{
	u32 next;

	spin_lock(&cq->lock);
	next = cq->tail + nr;
	if (next >= cq->size) {
		next -= cq->size;
		cq->phase ^= 1;
	}
	WRITE_ONCE(cq->tail, next);
	cq->reserved -= nr;
	spin_unlock(&cq->lock);
}

/*
 * If an earlier call has written everything except the first entry's tag, &mnvme_sq.owed is set,
 * and this call only writes the tag.
 *
 * Context: &mnvme_cq.post is held, so the tail does not change.
 */
static int __mnvme_sq_post(struct mnvme_sq *sq, struct mnvme_cq *cq)
{
	u32 nr = max(sq->nr_done, cq->torn);
	int ret;

	if (!sq->owed) {
		mnvme_set_phases(sq, cq, nr);
		ret = mnvme_cq_write(sq, cq, nr);
		if (ret)
			return ret;
		sq->done[0].status ^= cpu_to_le16(1);
		sq->owed_at = cq->base + (u64)cq->tail * sizeof(sq->done[0]) +
			      offsetof(struct nvme_completion, status);
		sq->owed = true;
		mnvme_cq_advance(cq, sq->nr_done);
		smp_wmb(); /* the entries before the first entry's phase tag */
	}
	return mnvme_cq_dma(cq, &cq->dma, sq, sq->owed_at, &sq->done[0].status, 1);
}

/**
 * mnvme_sq_complete() - complete an executed command
 * @sq: the command's queue, with its exec held
 * @cqe: the completion without phase tag, for which an entry is reserved
 *
 * mnvme_sq_post() posts the completion later.
 */
void mnvme_sq_complete(struct mnvme_sq *sq, const struct nvme_completion *cqe)
{
	if (!WARN_ON_ONCE(sq->nr_done == ARRAY_SIZE(sq->done)))
		sq->done[sq->nr_done++] = *cqe;
}

/**
 * mnvme_cq_lock() - take &mnvme_cq.post
 * @cq: completion queue
 * @sq: the submission queue that needs the lock, with its exec held
 *
 * Another thread may hold the lock while it waits a few milliseconds for guest memory. The
 * thread that wrote a doorbell must not wait for the lock, so it leaves the rest to the executor.
 *
 * Return: false if the lock is not taken. &mnvme_sq.waits is set then.
 */
bool mnvme_cq_lock(struct mnvme_cq *cq, struct mnvme_sq *sq)
{
	if (!sq->here)
		mutex_lock(&cq->post);
	else if (!mutex_trylock(&cq->post))
		sq->waits = true;
	else
		return true;
	return !sq->here;
}

/**
 * mnvme_sq_post() - write completions and signal an interrupt
 * @sq: the queue of the executed commands, with its exec held
 *
 * Context: process context. Takes &mnvme_cq.post and innermost locks.
 * Return: 0, -EAGAIN, or another errno if the completion queue's memory does not exist. -EAGAIN
 * means that the memory is not present yet, or that the thread that wrote a doorbell found
 * &mnvme_cq.post held. After another errno the controller has failed. After each error the
 * completions stay in &mnvme_sq.done.
 */
int mnvme_sq_post(struct mnvme_sq *sq)
{
	struct mnvme_cq *cq = &sq->dev->cq[sq->cqid];
	u32 nr;
	int ret;

	if (!sq->nr_done)
		return 0;
	if (!mnvme_cq_lock(cq, sq))
		return -EAGAIN;
	ret = __mnvme_sq_post(sq, cq);
	if (ret != -EAGAIN)
		vfio_mig_dma_finish(&cq->dma);
	mutex_unlock(&cq->post);

	if (!ret) {
		nr = sq->nr_done;
		sq->nr_done = 0;
		sq->owed = false;
		mnvme_irq_owe(sq, nr);
	} else if (ret != -EAGAIN) {
		mnvme_fail(sq->dev, "a completion queue is not in guest memory");
	}
	return ret;
}

/**
 * mnvme_cq_mend() - overwrite entries of a write that failed
 * @cq: completion queue; need not exist
 * @sq: any submission queue, with its exec held
 *
 * The entries after the tail get a wrong phase tag. While the device runs, mnvme_sq_post()
 * overwrites these entries with the next completions. But the state of a device does not contain
 * &mnvme_cq.torn, so the target would not overwrite them.
 *
 * Context: a stop of the device; process context. Takes &mnvme_cq.post.
 * Return: 0; -EAGAIN if the queue's memory is not present yet; or another errno if this memory
 * does not exist.
 */
int mnvme_cq_mend(struct mnvme_cq *cq, struct mnvme_sq *sq)
{
	int ret = 0;
	u32 i;

	mutex_lock(&cq->post);
	for (i = 0; READ_ONCE(cq->live) && !ret && i < cq->torn; i++) {
		u64 at = cq->base + (u64)((cq->tail + i) % cq->size) * sizeof(sq->done[0]);
		__le16 tag = mnvme_phase(cq, i) ^ cpu_to_le16(1);

		ret = mnvme_cq_dma(cq, &cq->dma, sq, at + offsetof(struct nvme_completion, status),
				   &tag, 1);
	}
	if (!ret)
		WRITE_ONCE(cq->torn, 0);
	if (ret != -EAGAIN)
		vfio_mig_dma_finish(&cq->dma);
	mutex_unlock(&cq->post);
	return ret;
}

/**
 * mnvme_queued() - count I/O commands that were submitted and not executed yet
 * @dev: the controller
 *
 * Return: number of commands, which may change at any time unless the device is stopped.
 * For shadow doorbells the last read values count.
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

void mnvme_queues_init(struct mnvme *dev)
{
	u16 i;

	for (i = 0; i < MNVME_NR_QUEUES; i++) {
		struct mnvme_sq *sq = &dev->sq[i];
		struct mnvme_cq *cq = &dev->cq[i];

		sq->dev = dev;
		sq->id = i;
		spin_lock_init(&sq->lock);
		/*
		 * Two calls make two lockdep classes. The admin queue's executor holds exec of
		 * its queue while it takes that of an I/O queue.
		 */
		if (i)
			mutex_init(&sq->exec);
		else
			mutex_init(&sq->exec);

		mnvme_poll_init(sq);
		cq->dev = dev;
		cq->id = i;
		cq->rung = MNVME_NO_DOORBELL;
		spin_lock_init(&cq->lock);
		mutex_init(&cq->post);
	}
}

/*
 * @size is a number of entries.
 *
 * Context: the admin queue's executor, or the work item that enables the controller.
 */
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
	sq->poll_ns = 0;
	sq->last_ns = 0;
	sq->live = true;
	spin_unlock(&sq->lock);
}

/* @size and context as for mnvme_sq_create() */
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
	WRITE_ONCE(cq->torn, 0);
	cq->starved = false;
	cq->shadow = cq->id && cq->dev->dbbuf.on;
	cq->rung = MNVME_NO_DOORBELL;
	cq->event_idx = 0;
	cq->live = true;
	spin_unlock(&cq->lock);
}

/* Called with @sq's exec held. Gives up the command in execution, see mnvme_sq_quiesce(). */
static bool __mnvme_sq_quiesce(struct mnvme_sq *sq)
{
	lockdep_assert_held(&sq->exec);
	mnvme_irq_flush(sq);
	if (vfio_mig_dma_drop(&sq->dma))
		return true;
	mnvme_warn(sq->dev, "submission queue %u: an access to guest memory does not end\n",
		   sq->id);
	return false;
}

/**
 * mnvme_sq_quiesce() - wait for the command in execution
 * @sq: the queue, which must not execute another command, because mnvme_may_execute() is
 *	false
 *
 * A command whose memory is missing is given up, and counts as not executed.
 *
 * Return: false if an access to guest memory is still in progress, see vfio_mig_dma_drop().
 */
bool mnvme_sq_quiesce(struct mnvme_sq *sq)
{
	bool ended;

	/* A kick holds the lock, so a later kick sees that nothing may be executed. */
	spin_lock(&sq->lock);
	spin_unlock(&sq->lock);
	mutex_lock(&sq->exec);
	ended = __mnvme_sq_quiesce(sq);
	mutex_unlock(&sq->exec);
	return ended;
}

/**
 * mnvme_sq_drop() - drop completions that are still to be posted
 * @sq: the queue, which executes nothing, with its exec held
 *
 * If &mnvme_sq.owed is set, the completions are in their entries, so no entry is reserved.
 */
void mnvme_sq_drop(struct mnvme_sq *sq)
{
	lockdep_assert_held(&sq->exec);
	if (sq->nr_done && !sq->owed)
		mnvme_cq_unreserve(&sq->dev->cq[sq->cqid], sq->nr_done);
	sq->nr_done = 0;
	sq->owed = false;
}

/*
 * The phase tag of this queue's first entry may not be written yet, and entries of other
 * submission queues may follow. The host does not look at them before it has seen the first
 * entry, so the tag is written before the queue is deleted.
 */
static void mnvme_sq_pay(struct mnvme_sq *sq)
{
	if (sq->owed && mnvme_sq_post(sq) == -EAGAIN)
		mnvme_fail(sq->dev, "a completion queue is not in guest memory");
}

/**
 * mnvme_sq_delete() - delete a submission queue
 * @sq: the queue; need not exist
 *
 * Waits for the command in execution. Later commands are dropped, as NVMe 5.6 permits.
 * Completions that cannot be written to guest memory are dropped, too. The executor may
 * still look at the queue, because of an earlier kick. So all this is done with exec held,
 * and the executor then finds nothing to do.
 *
 * Context: may sleep. Takes &mnvme_sq.exec, &mnvme_cq.post and spinlocks.
 */
void mnvme_sq_delete(struct mnvme_sq *sq)
{
	spin_lock(&sq->lock);
	sq->live = false;
	spin_unlock(&sq->lock);
	wake_up_all(&sq->dev->halt);
	mutex_lock(&sq->exec);
	if (mnvme_may_execute(sq->dev))
		mnvme_sq_pay(sq);
	__mnvme_sq_quiesce(sq);
	mnvme_sq_drop(sq);
	if (sq->spare)
		put_page(sq->spare);
	sq->spare = NULL;
	vfio_mig_row_free(&sq->row);
	spin_lock(&sq->lock);
	sq->shadow = false;
	spin_unlock(&sq->lock);
	mnvme_fold_counters(sq);
	mutex_unlock(&sq->exec);
}

/**
 * mnvme_cq_quiesce() - give up the writes in progress
 * @cq: the queue; need not exist
 *
 * The entries that were to be written are still to be posted.
 *
 * Context: may sleep, for as long as vfio_mig_dma_drop(). Takes &mnvme_cq.post.
 * Return: false if a write is still in progress, see vfio_mig_dma_drop().
 */
bool mnvme_cq_quiesce(struct mnvme_cq *cq)
{
	bool ended;

	mutex_lock(&cq->post);
	ended = vfio_mig_dma_drop(&cq->dma);
	ended &= vfio_mig_dma_drop(&cq->arm);
	mutex_unlock(&cq->post);
	if (!ended)
		mnvme_warn(cq->dev, "completion queue %u: an access to guest memory does not end\n",
			   cq->id);
	return ended;
}

/* Called when no submission queue uses @cq any more. */
void mnvme_cq_delete(struct mnvme_cq *cq)
{
	mnvme_cq_quiesce(cq);
	mutex_lock(&cq->post);
	WRITE_ONCE(cq->torn, 0);
	mutex_unlock(&cq->post);
	spin_lock(&cq->lock);
	cq->live = false;
	cq->head = 0;
	cq->tail = 0;
	cq->shadow = false;
	cq->rung = MNVME_NO_DOORBELL;
	spin_unlock(&cq->lock);
}

/*
 * Called with the lock held. mnvme_sq_quiesce() and mnvme_sq_delete() take the lock after
 * @running or @live became false. So no later kick wakes an executor, which may be gone.
 */
static void __mnvme_sq_kick(struct mnvme_sq *sq)
{
	lockdep_assert_held(&sq->lock);
	if (sq->live && READ_ONCE(sq->dev->running))
		mnvme_executor_kick(sq);
}

/**
 * mnvme_sq_kick() - make the executor look for commands of a submission queue
 * @sq: the queue; need not exist
 *
 * Does nothing if the device is stopped.
 *
 * Context: does not sleep. Not for interrupt context, because &mnvme_sq.lock is taken.
 */
void mnvme_sq_kick(struct mnvme_sq *sq)
{
	spin_lock(&sq->lock);
	__mnvme_sq_kick(sq);
	spin_unlock(&sq->lock);
}

/**
 * mnvme_cq_kick() - kick the submission queues of a completion queue
 * @cq: the completion queue
 *
 * Context: as for mnvme_sq_kick().
 */
void mnvme_cq_kick(struct mnvme_cq *cq)
{
	struct mnvme *dev = cq->dev;
	u16 i;

	for (i = 0; i < MNVME_NR_QUEUES; i++)
		if (READ_ONCE(dev->sq[i].cqid) == cq->id)
			mnvme_sq_kick(&dev->sq[i]);
}

void mnvme_sq_kick_all(struct mnvme *dev)
{
	u16 i;

	for (i = 0; i < MNVME_NR_QUEUES; i++)
		mnvme_sq_kick(&dev->sq[i]);
}
