// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow doorbells: the doorbells in guest memory (NVMe 5.7, 7.13)
 *
 * The host writes a doorbell's value to memory. It writes the register only when the value
 * passes EventIdx. This driver sets EventIdx to the value that it has read last, so the
 * host writes the register for its next command. After that the driver executes a full
 * barrier and reads the value again. The host has a full barrier between its write and its
 * read of EventIdx. So at least one side sees the other's write.
 *
 * The admin queue's registers and its values in memory are both used. Some hosts keep its
 * doorbells in memory, as NVMe 7.13 describes, and others, such as Linux, write the
 * registers only. A host of the first kind writes to memory before it writes the register.
 * So if the value in memory has not changed, the register counts and is copied to memory.
 *
 * The values come from an untrusted host, so they are checked like values of registers.
 */
#include <linux/moduleparam.h>

#include "mnvme.h"

static bool shadow_doorbells = true;
module_param(shadow_doorbells, bool, 0644);
MODULE_PARM_DESC(shadow_doorbells,
		 "Offer Doorbell Buffer Config to hosts that start a controller (default Y)");

/* Limit of reads of a value that changes each time */
#define MNVME_SHADOW_TRIES	8

bool mnvme_dbbuf_offered(void)
{
	return READ_ONCE(shadow_doorbells);
}

static void mnvme_dbbuf_lost(struct mnvme *dev)
{
	mnvme_fail(dev, "a doorbell buffer is not in guest memory");
}

/* Returns the guest address of a queue's value in a page. The stride is that of CAP.DSTRD. */
static u64 mnvme_dbbuf_at(u64 page, u16 qid, bool is_cq)
{
	return page + (2 * qid + is_cq) * sizeof(u32);
}

/* Writes a value for the queue @by, whose exec is held. */
static int mnvme_dbbuf_put(struct mnvme_sq *by, u64 page, u16 qid, bool is_cq,
			   u32 val)
{
	__le32 raw = cpu_to_le32(val);

	return mnvme_dma(by, mnvme_dbbuf_at(page, qid, is_cq), &raw, sizeof(raw),
			 true);
}

/* Writes the initial values to both pages. */
static int mnvme_dbbuf_init(struct mnvme *dev, u16 qid, bool is_cq, u32 val)
{
	struct mnvme_sq *admin = &dev->sq[0];
	int ret;

	ret = mnvme_dbbuf_put(admin, dev->dbbuf.shadow, qid, is_cq, val);
	return ret ?: mnvme_dbbuf_put(admin, dev->dbbuf.event_idx, qid, is_cq, val);
}

/*
 * A copy from user memory may read a value byte by byte while the host changes it. For example,
 * the copy can read 01ffh while the host changes 00ffh to 0100h. So a value counts only if two
 * reads in a row return it. This is enough, because the host only increases the value, and by
 * less than one turn of the ring until its commands are taken. A read of @known or @rung counts
 * at once, because the host has written these values before.
 *
 * Returns 0, an error of mnvme_dma(), or -EBUSY if the value changed at each read.
 */
static int mnvme_shadow_read(struct mnvme_sq *by, u16 qid, bool is_cq, u32 known,
			     u32 rung, u32 *val)
{
	u64 at = mnvme_dbbuf_at(by->dev->dbbuf.shadow, qid, is_cq);
	u32 now, last = known;
	__le32 raw;
	int i, ret;

	for (i = 0; i < MNVME_SHADOW_TRIES; i++, last = now) {
		ret = mnvme_dma(by, at, &raw, sizeof(raw), false);
		if (ret)
			return ret;
		/* The upper half is reserved, as in the registers. */
		now = le32_to_cpu(raw) & 0xffff;
		if (now == last || now == rung) {
			*val = now;
			return 0;
		}
	}
	return -EBUSY;
}

/*
 * Reads a value of the admin queue. The value in memory counts if the host has changed it since
 * the last read. Otherwise the register's value counts. The queue's values move only in this
 * function's callers, so the host cannot go around the queue between two reads.
 *
 * Return: 1 if memory counts, else as mnvme_shadow_read().
 */
static int mnvme_admin_read(struct mnvme_sq *by, bool is_cq, u32 known, u32 rung,
			    u32 *val)
{
	u32 *seen = &by->dev->dbbuf.admin[is_cq];
	u32 was = *seen, now;
	int ret;

	ret = mnvme_shadow_read(by, 0, is_cq, was, rung, &now);
	if (ret)
		return ret;
	*seen = now;
	if (now != was && was != MNVME_NO_DOORBELL) {
		*val = now;
		return 1;
	}

	*val = rung == MNVME_NO_DOORBELL ? known : rung;
	if (rung == MNVME_NO_DOORBELL || rung == now)
		return 0;
	ret = mnvme_dbbuf_put(by, by->dev->dbbuf.shadow, 0, is_cq, rung);
	/* After an error the value may still be written later, so nothing is known. */
	*seen = ret ? MNVME_NO_DOORBELL : rung;
	return ret;
}

/* Keeps a register's value for later, unless the host has written the register again. */
static void mnvme_sq_ring_again(struct mnvme_sq *sq, u32 rung)
{
	spin_lock(&sq->lock);
	if (sq->rung == MNVME_NO_DOORBELL)
		sq->rung = rung;
	spin_unlock(&sq->lock);
}

/*
 * Reads the tail of @sq from guest memory, with an access of the queue @by. The exec of both
 * queues is held. Returns 1 if the tail moved, 0 if not, an error of mnvme_dma(), or -EBUSY for
 * a value that always changes.
 *
 * If memory counts, the function drops a value that the host wrote to the register meanwhile. This
 * value may be older than memory. Its write also kicks the queue, so memory is read again.
 */
static int mnvme_sq_look(struct mnvme_sq *sq, struct mnvme_sq *by)
{
	bool live, moved, ok;
	u32 rung, val;
	int ret;

	spin_lock(&sq->lock);
	live = sq->live;
	rung = sq->rung;
	sq->rung = MNVME_NO_DOORBELL;
	spin_unlock(&sq->lock);
	if (!live)
		return 0;

	if (sq->id)
		ret = mnvme_shadow_read(by, sq->id, false, sq->tail, rung, &val);
	else
		ret = mnvme_admin_read(by, false, sq->tail, rung, &val);
	if (ret < 0) {
		mnvme_sq_ring_again(sq, rung);
		return ret;
	}

	spin_lock(&sq->lock);
	/* A later value may be older than the one that was read. Its writer kicks the queue. */
	if (ret)
		sq->rung = MNVME_NO_DOORBELL;
	live = sq->live;
	moved = live && val != sq->tail;
	ok = moved && mnvme_sq_can_add(sq, val);
	if (ok)
		sq->tail = val;
	spin_unlock(&sq->lock);
	if (moved && !ok)
		mnvme_doorbell_refused(sq->dev, sq->id, false, true, val);
	return ok;
}

/* Sets EventIdx, so that the host writes the register for commands behind @sq's tail. */
static int mnvme_sq_arm(struct mnvme_sq *sq)
{
	int ret;

	if (sq->event_idx == sq->tail)
		return 0;
	/* A write that has to wait may end later, so EventIdx is not known until then. */
	sq->event_idx = MNVME_NO_DOORBELL;
	ret = mnvme_dbbuf_put(sq, sq->dev->dbbuf.event_idx, sq->id, false, sq->tail);
	if (ret)
		return ret;
	sq->event_idx = sq->tail;
	smp_mb(); /* EventIdx before the look; pairs with the host's, see above */
	return 0;
}

/**
 * mnvme_sq_idle() - look for more commands after all known ones were executed
 * @sq: the queue, with its exec held
 * @arm: set EventIdx, so that the host writes the register for more commands
 *
 * Return: whether there are more commands.
 */
bool mnvme_sq_idle(struct mnvme_sq *sq, bool arm)
{
	int ret = 0;

	if (!READ_ONCE(sq->shadow) || !mnvme_may_execute(sq->dev))
		return false;
	/* Commands are left because the completion queue has no free entry. */
	if (sq->head != sq->tail)
		return false;

	if (arm)
		ret = mnvme_sq_arm(sq);
	if (!ret)
		ret = mnvme_sq_look(sq, sq);
	if (ret == -EBUSY)
		mnvme_sq_kick(sq);
	else if (ret < 0 && ret != -EAGAIN)
		mnvme_dbbuf_lost(sq->dev);
	return ret > 0;
}

/* Does the same as mnvme_sq_ring_again(), for the head. */
static void mnvme_cq_ring_again(struct mnvme_cq *cq, u32 rung)
{
	spin_lock(&cq->lock);
	if (cq->rung == MNVME_NO_DOORBELL)
		WRITE_ONCE(cq->rung, rung);
	spin_unlock(&cq->lock);
}

/* Takes the register's value, which only mnvme_cq_doorbell() of the admin queue stores. */
static u32 mnvme_cq_rung(struct mnvme_cq *cq)
{
	u32 rung;

	spin_lock(&cq->lock);
	rung = cq->rung;
	WRITE_ONCE(cq->rung, MNVME_NO_DOORBELL);
	spin_unlock(&cq->lock);
	return rung;
}

/* As mnvme_sq_look(), for the head. &mnvme_cq.post and the exec of @by are held. */
static int mnvme_cq_look(struct mnvme_cq *cq, struct mnvme_sq *by)
{
	u32 rung = mnvme_cq_rung(cq), head = READ_ONCE(cq->head), val;
	bool moved, ok;
	int ret;

	if (cq->id)
		ret = mnvme_shadow_read(by, cq->id, true, head, rung, &val);
	else
		ret = mnvme_admin_read(by, true, head, rung, &val);
	if (ret < 0) {
		mnvme_cq_ring_again(cq, rung);
		return ret;
	}

	spin_lock(&cq->lock);
	if (ret) /* as in mnvme_sq_look() */
		WRITE_ONCE(cq->rung, MNVME_NO_DOORBELL);
	moved = cq->live && val != head;
	ok = moved && mnvme_cq_take(cq, val);
	spin_unlock(&cq->lock);
	if (moved && !ok)
		mnvme_doorbell_refused(cq->dev, cq->id, true, true, val);
	return ok;
}

/* Reads the head. If it has not moved, sets EventIdx and reads it again. */
static int mnvme_cq_look_or_arm(struct mnvme_cq *cq, struct mnvme_sq *by)
{
	int ret = mnvme_cq_look(cq, by);
	u32 head = READ_ONCE(cq->head);
	__le32 raw = cpu_to_le32(head);

	if (ret || cq->event_idx == head)
		return ret;
	cq->event_idx = MNVME_NO_DOORBELL; /* as in mnvme_sq_arm() */
	ret = mnvme_cq_dma(cq, &cq->arm, by,
			   mnvme_dbbuf_at(cq->dev->dbbuf.event_idx, cq->id, true),
			   &raw, sizeof(raw));
	if (ret)
		return ret;
	vfio_mig_dma_finish(&cq->arm);
	cq->event_idx = head;
	smp_mb(); /* EventIdx before the look; pairs with the host's, see above */
	return mnvme_cq_look(cq, by);
}

/**
 * mnvme_cq_full() - look for free entries in a completion queue that seems full
 * @cq: the queue
 * @sq: the submission queue that needs entries, with its exec held
 *
 * While commands are executed, the driver reads the head of an I/O queue only here. Before that
 * the head does not matter, because there are free entries.
 *
 * Return: whether there may be free entries. If not, the host writes the register when it
 * has taken entries, and then the submission queues are kicked.
 */
bool mnvme_cq_full(struct mnvme_cq *cq, struct mnvme_sq *sq)
{
	int ret;

	if (!READ_ONCE(cq->shadow) || !mnvme_cq_lock(cq, sq))
		return false;
	/* Read again, because Doorbell Buffer Config changes @shadow with the lock held. */
	ret = READ_ONCE(cq->shadow) ? mnvme_cq_look_or_arm(cq, sq) : 0;
	mutex_unlock(&cq->post);
	if (ret > 0)
		mnvme_cq_wake(cq, sq);
	else if (ret == -EBUSY)
		mnvme_cq_wake(cq, NULL);
	else if (ret < 0 && ret != -EAGAIN)
		mnvme_dbbuf_lost(cq->dev);
	return ret > 0;
}

/**
 * mnvme_dbbuf_look() - read the admin queue's doorbells if &mnvme_dbbuf.look is set
 * @dev: the controller, with exec of the admin queue held
 *
 * If a register's value was used without a read of memory, memory has to be read before
 * the host can go around the queue. Later the driver could not tell that the host wrote to
 * memory.
 *
 * Return: false if memory is not present. The admin queue is kicked then.
 */
bool mnvme_dbbuf_look(struct mnvme *dev)
{
	struct mnvme_sq *sq = &dev->sq[0];
	struct mnvme_cq *cq = &dev->cq[0];
	int ret;

	if (!dev->dbbuf.look || !READ_ONCE(sq->shadow) || !mnvme_may_execute(dev))
		return true;

	ret = mnvme_sq_look(sq, sq);
	if (ret >= 0) {
		mutex_lock(&cq->post);
		ret = mnvme_cq_look(cq, sq);
		mutex_unlock(&cq->post);
	}
	if (ret >= 0)
		dev->dbbuf.look = false;
	else if (ret == -EBUSY)
		mnvme_sq_kick(sq);
	else if (ret != -EAGAIN)
		mnvme_dbbuf_lost(dev);
	return ret >= 0;
}

/**
 * mnvme_dbbuf_clear() - clear the doorbells of a queue that is about to be created
 * @dev: the controller
 * @qid: identifier of the queue
 * @is_cq: true for a completion queue
 *
 * An earlier queue with this identifier may have left its values in guest memory.
 *
 * Context: the admin queue's executor.
 * Return: NVMe status.
 */
u16 mnvme_dbbuf_clear(struct mnvme *dev, u16 qid, bool is_cq)
{
	u16 status;

	if (!dev->dbbuf.on)
		return NVME_SC_SUCCESS;
	status = mnvme_dma_status(mnvme_dbbuf_init(dev, qid, is_cq, 0));
	if (status && status != MNVME_NOT_EXECUTED)
		mnvme_dbbuf_lost(dev);
	return status;
}

/* The caller executes a command of the admin queue, so it already holds exec of this queue. */
static void mnvme_sq_hold(struct mnvme_sq *sq)
{
	if (sq->id)
		mutex_lock(&sq->exec);
}

static void mnvme_sq_unhold(struct mnvme_sq *sq)
{
	if (sq->id)
		mutex_unlock(&sq->exec);
}

/* Makes the register's value the tail, because memory is not read any more. */
static void mnvme_sq_settle_rung(struct mnvme_sq *sq)
{
	lockdep_assert_held(&sq->lock);
	if (sq->live && sq->rung != MNVME_NO_DOORBELL && mnvme_sq_can_add(sq, sq->rung))
		sq->tail = sq->rung;
	sq->rung = MNVME_NO_DOORBELL;
}

static void mnvme_cq_settle_rung(struct mnvme_cq *cq)
{
	lockdep_assert_held(&cq->lock);
	if (cq->live && cq->rung != MNVME_NO_DOORBELL)
		mnvme_cq_take(cq, cq->rung);
	WRITE_ONCE(cq->rung, MNVME_NO_DOORBELL);
}

/*
 * Makes a queue use the register again, and reads the value in memory for the last time.
 * Returns 0, or -EAGAIN if the memory is not present.
 */
static int mnvme_sq_leave(struct mnvme_sq *sq)
{
	int ret = 0;

	mnvme_sq_hold(sq);
	if (READ_ONCE(sq->shadow))
		ret = mnvme_sq_look(sq, &sq->dev->sq[0]);
	if (ret != -EAGAIN) {
		spin_lock(&sq->lock);
		mnvme_sq_settle_rung(sq);
		sq->shadow = false;
		spin_unlock(&sq->lock);
	}
	mnvme_sq_unhold(sq);
	return ret == -EAGAIN ? ret : 0;
}

static int mnvme_cq_leave(struct mnvme_cq *cq)
{
	int ret = 0;

	mutex_lock(&cq->post);
	if (READ_ONCE(cq->shadow))
		ret = mnvme_cq_look(cq, &cq->dev->sq[0]);
	if (ret != -EAGAIN) {
		spin_lock(&cq->lock);
		mnvme_cq_settle_rung(cq);
		cq->shadow = false;
		spin_unlock(&cq->lock);
	}
	mutex_unlock(&cq->post);
	return ret == -EAGAIN ? ret : 0;
}

/* Makes the queues that have left use memory again. EventIdx may have changed meanwhile. */
static void mnvme_dbbuf_stay(struct mnvme *dev)
{
	u16 i;

	for (i = 0; i < MNVME_NR_QUEUES; i++) {
		struct mnvme_sq *sq = &dev->sq[i];
		struct mnvme_cq *cq = &dev->cq[i];

		mnvme_sq_hold(sq);
		spin_lock(&sq->lock);
		sq->shadow = sq->live;
		sq->event_idx = MNVME_NO_DOORBELL;
		spin_unlock(&sq->lock);
		mnvme_sq_unhold(sq);

		mutex_lock(&cq->post);
		spin_lock(&cq->lock);
		cq->shadow = cq->live;
		cq->event_idx = MNVME_NO_DOORBELL;
		spin_unlock(&cq->lock);
		mutex_unlock(&cq->post);
	}
	/* The host may have written to memory only. */
	mnvme_sq_kick_all(dev);
}

/* All queues leave the memory, or none, because the command may fail when it begins again. */
static int mnvme_dbbuf_leave(struct mnvme *dev)
{
	int ret = 0;
	u16 i;

	for (i = 0; !ret && i < MNVME_NR_QUEUES; i++) {
		ret = mnvme_sq_leave(&dev->sq[i]);
		if (!ret)
			ret = mnvme_cq_leave(&dev->cq[i]);
	}
	if (ret && dev->dbbuf.on)
		mnvme_dbbuf_stay(dev);
	return ret;
}

static int mnvme_sq_enter(struct mnvme_sq *sq)
{
	u32 tail;
	int ret;

	mnvme_sq_hold(sq);
	spin_lock(&sq->lock);
	tail = sq->tail;
	sq->shadow = true;
	sq->rung = MNVME_NO_DOORBELL;
	spin_unlock(&sq->lock);
	ret = mnvme_dbbuf_init(sq->dev, sq->id, false, tail);
	sq->event_idx = tail;
	if (!sq->id)
		sq->dev->dbbuf.admin[0] = tail;
	if (ret) {
		spin_lock(&sq->lock);
		mnvme_sq_settle_rung(sq);
		sq->shadow = false;
		spin_unlock(&sq->lock);
	}
	mnvme_sq_unhold(sq);
	return ret;
}

static int mnvme_cq_enter(struct mnvme_cq *cq)
{
	u32 head;
	int ret;

	mutex_lock(&cq->post);
	spin_lock(&cq->lock);
	head = cq->head;
	cq->shadow = true;
	WRITE_ONCE(cq->rung, MNVME_NO_DOORBELL);
	spin_unlock(&cq->lock);
	ret = mnvme_dbbuf_init(cq->dev, cq->id, true, head);
	cq->event_idx = head;
	if (!cq->id)
		cq->dev->dbbuf.admin[1] = head;
	if (ret) {
		spin_lock(&cq->lock);
		mnvme_cq_settle_rung(cq);
		cq->shadow = false;
		spin_unlock(&cq->lock);
	}
	mutex_unlock(&cq->post);
	return ret;
}

/* Makes all existing queues use memory, beginning with their present values. */
static int mnvme_dbbuf_enter(struct mnvme *dev)
{
	int ret = 0;
	u16 i;

	for (i = 0; !ret && i < MNVME_NR_QUEUES; i++) {
		if (dev->sq[i].live)
			ret = mnvme_sq_enter(&dev->sq[i]);
		if (!ret && dev->cq[i].live)
			ret = mnvme_cq_enter(&dev->cq[i]);
	}
	return ret;
}

/* Makes all queues use the registers again, without a read of memory. */
static void mnvme_dbbuf_forget(struct mnvme *dev)
{
	u16 i;

	for (i = 0; i < MNVME_NR_QUEUES; i++) {
		struct mnvme_sq *sq = &dev->sq[i];
		struct mnvme_cq *cq = &dev->cq[i];

		mnvme_sq_hold(sq);
		spin_lock(&sq->lock);
		mnvme_sq_settle_rung(sq);
		sq->shadow = false;
		spin_unlock(&sq->lock);
		mnvme_sq_unhold(sq);

		mutex_lock(&cq->post);
		spin_lock(&cq->lock);
		mnvme_cq_settle_rung(cq);
		cq->shadow = false;
		spin_unlock(&cq->lock);
		mutex_unlock(&cq->post);
	}
	memset(&dev->dbbuf, 0, sizeof(dev->dbbuf));
}

/* Reads bytes that belong to no queue, and writes them back, to test the page. */
static int mnvme_dbbuf_test(struct mnvme *dev, u64 page)
{
	u64 raw, at = page + BIT(MNVME_PAGE_SHIFT_MIN) - sizeof(raw);
	int ret;

	if (page & ((1ull << dev->page_shift) - 1))
		return -EINVAL;
	ret = mnvme_dma(&dev->sq[0], at, &raw, sizeof(raw), false);
	return ret ?: mnvme_dma(&dev->sq[0], at, &raw, sizeof(raw), true);
}

/**
 * mnvme_dbbuf_config() - execute Doorbell Buffer Config
 * @req: the command
 *
 * Context: the admin queue's executor.
 * Return: NVMe status.
 */
u16 mnvme_dbbuf_config(struct mnvme_req *req)
{
	u64 shadow = le64_to_cpu(req->cmd->dbbuf.prp1);
	u64 event_idx = le64_to_cpu(req->cmd->dbbuf.prp2);
	struct mnvme *dev = req->dev;
	u16 status;
	int ret;

	ret = mnvme_dbbuf_test(dev, shadow);
	if (ret)
		return ret == -EAGAIN ? MNVME_NOT_EXECUTED :
					MNVME_BAD_FIELD(req, dbbuf.prp1);
	ret = mnvme_dbbuf_test(dev, event_idx);
	if (ret)
		return ret == -EAGAIN ? MNVME_NOT_EXECUTED :
					MNVME_BAD_FIELD(req, dbbuf.prp2);

	if (mnvme_dbbuf_leave(dev))
		return MNVME_NOT_EXECUTED;
	/*
	 * @on stays false until both pages have all values. If memory is not present, the
	 * command begins again, and this may be on the target of a migration.
	 */
	dev->dbbuf.on = false;
	dev->dbbuf.shadow = shadow;
	dev->dbbuf.event_idx = event_idx;
	status = mnvme_dma_status(mnvme_dbbuf_enter(dev));
	dev->dbbuf.on = !status;
	if (status)
		mnvme_dbbuf_forget(dev);
	if (status && status != MNVME_NOT_EXECUTED)
		mnvme_dbbuf_lost(dev);
	return status;
}

static void mnvme_admin_cq_look(struct mnvme *dev)
{
	mutex_lock(&dev->cq[0].post);
	mnvme_cq_look(&dev->cq[0], &dev->sq[0]);
	mutex_unlock(&dev->cq[0].post);
}

/**
 * mnvme_dbbuf_stop() - read the doorbells when the device stops
 * @dev: the controller, which executes nothing
 *
 * Commands that were submitted before count as queued, and are executed when the device
 * runs. &mnvme_sq.here makes the reads not wait for memory. If a doorbell cannot be read now,
 * it is read when the device runs.
 */
void mnvme_dbbuf_stop(struct mnvme *dev)
{
	u16 i;

	if (!dev->dbbuf.on || READ_ONCE(dev->cfs) || READ_ONCE(dev->shst))
		return;
	for (i = 0; i < MNVME_NR_QUEUES; i++) {
		struct mnvme_sq *sq = &dev->sq[i];
		bool look;

		mutex_lock(&sq->exec);
		/* A write that clears Bus Master waits for exec, and then there is no DMA. */
		look = READ_ONCE(sq->shadow) && READ_ONCE(dev->bus_master);
		sq->here = true;
		if (look)
			mnvme_sq_look(sq, sq);
		if (!i && look)
			mnvme_admin_cq_look(dev);
		sq->here = false;
		mutex_unlock(&sq->exec);
	}
}

/**
 * mnvme_dbbuf_settle() - prepare the admin queue's doorbells for a save
 * @dev: the controller, stopped
 *
 * The state has the queue's tail and head, and not the values that the registers were
 * written with since the stop. So these values are used now. If the host keeps its
 * doorbells in memory, the device that runs next reads them there.
 */
void mnvme_dbbuf_settle(struct mnvme *dev)
{
	struct mnvme_sq *sq = &dev->sq[0];
	struct mnvme_cq *cq = &dev->cq[0];

	spin_lock(&sq->lock);
	mnvme_sq_settle_rung(sq);
	spin_unlock(&sq->lock);
	spin_lock(&cq->lock);
	mnvme_cq_settle_rung(cq);
	spin_unlock(&cq->lock);
	dev->dbbuf.look = dev->dbbuf.on;
}

/**
 * mnvme_dbbuf_loaded() - continue with shadow doorbells after a load
 * @dev: the controller, stopped
 *
 * EventIdx is written again, because its value in guest memory is not known.
 */
void mnvme_dbbuf_loaded(struct mnvme *dev)
{
	u16 i;

	dev->dbbuf.look = dev->dbbuf.on;
	for (i = 0; i < MNVME_NR_QUEUES; i++) {
		dev->sq[i].shadow = dev->dbbuf.on && dev->sq[i].live;
		dev->sq[i].rung = MNVME_NO_DOORBELL;
		dev->sq[i].event_idx = MNVME_NO_DOORBELL;
		dev->cq[i].shadow = dev->dbbuf.on && dev->cq[i].live;
		dev->cq[i].rung = MNVME_NO_DOORBELL;
		dev->cq[i].event_idx = MNVME_NO_DOORBELL;
	}
}
