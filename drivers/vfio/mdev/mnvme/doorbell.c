// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doorbells (NVMe 3.1.16, 3.1.17)
 *
 * A write of a doorbell register stores the new tail or head. Then the thread that writes it
 * executes commands itself, or wakes the executor. dbbuf.c has the doorbells in guest memory.
 */
#include "mnvme.h"

static bool mnvme_sq_doorbell(struct mnvme_sq *sq, u32 val)
{
	bool ok;

	spin_lock(&sq->lock);
	if (!sq->live)
		ok = false;
	else if (sq->shadow)
		ok = val < sq->size;
	else
		ok = mnvme_sq_can_add(sq, val);
	if (ok && sq->shadow)
		sq->rung = val;
	else if (ok)
		sq->tail = val;
	spin_unlock(&sq->lock);

	if (ok && !mnvme_sq_execute_here(sq))
		mnvme_sq_kick(sq);
	return ok;
}

/*
 * With shadow doorbells, the register of an I/O queue only reports that memory has to be read. The
 * admin queue keeps the register's value, because some hosts write only the register.
 */
static bool mnvme_cq_doorbell(struct mnvme_cq *cq, u32 val)
{
	bool ok;

	spin_lock(&cq->lock);
	if (!cq->live)
		ok = false;
	else if (cq->shadow && cq->id)
		ok = val < cq->size;
	else if (cq->shadow)
		ok = mnvme_cq_can_take(cq, val);
	else
		ok = mnvme_cq_take(cq, val);
	if (ok && cq->shadow && !cq->id)
		WRITE_ONCE(cq->rung, val);
	spin_unlock(&cq->lock);

	/* Submission queues that found the completion queue full continue now. */
	if (ok)
		mnvme_cq_wake(cq, NULL);
	if (ok && READ_ONCE(cq->dev->irq.intx_unmasks))
		WRITE_ONCE(cq->dev->irq.intx_unmasks, 0);
	return ok;
}

/**
 * mnvme_doorbell_refused() - report a bad value of a doorbell
 * @dev: the controller
 * @qid: queue identifier
 * @is_cq: true for the completion queue
 * @live: the queue exists
 * @val: the value
 */
void mnvme_doorbell_refused(struct mnvme *dev, u16 qid, bool is_cq, bool live,
			    u32 val)
{
	/* Logged before the event, because a reader of the event looks for the entry. */
	mnvme_log_no_command(dev, live ? NVME_SC_INVALID_FIELD :
					 NVME_SC_QID_INVALID);
	/* NVMe figure "Asynchronous Event Information - Error Status" */
	mnvme_event_raise(dev, MNVME_EVENT_ERROR, live ? 1 : 0);
	mnvme_warn(dev, "%s %u: doorbell value %u refused\n",
		   is_cq ? "completion queue" : "submission queue", qid, val);
}

/**
 * mnvme_doorbell() - handle a write of a doorbell register
 * @dev: the controller
 * @off: offset from the first doorbell
 * @val: the value
 *
 * A stopped device only keeps the value. If the doorbells of an I/O queue are in guest
 * memory, the value does not count, and the write makes the driver read memory.
 *
 * Context: the user's thread, without &mnvme.lock.
 */
void mnvme_doorbell(struct mnvme *dev, u32 off, u32 val)
{
	u32 qid = off / (2 * sizeof(u32));
	bool is_cq = off & sizeof(u32);
	bool live, ok;

	if (!READ_ONCE(dev->ready) || READ_ONCE(dev->resetting))
		return;

	val &= 0xffff;
	if (qid >= MNVME_NR_QUEUES) {
		mnvme_doorbell_refused(dev, qid, is_cq, false, val);
		return;
	}
	if (is_cq) {
		live = READ_ONCE(dev->cq[qid].live);
		ok = mnvme_cq_doorbell(&dev->cq[qid], val);
	} else {
		live = READ_ONCE(dev->sq[qid].live);
		ok = mnvme_sq_doorbell(&dev->sq[qid], val);
	}
	if (!ok)
		mnvme_doorbell_refused(dev, qid, is_cq, live, val);
}
