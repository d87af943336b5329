// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doorbells (NVMe 3.1.16, 3.1.17)
 */
#include "mnvme.h"

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
