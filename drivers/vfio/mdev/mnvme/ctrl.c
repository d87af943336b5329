// SPDX-License-Identifier: GPL-2.0-only
/*
 * The controller's life: enable, reset, shutdown (NVMe 7.3, 7.6), stop and run
 *
 * Nothing of it happens where a register is written: a work item acts on what
 * the registers say. So it is one thing at a time, and what was written while
 * the device is stopped is acted upon by the same code when it runs.
 */
#include "mnvme.h"

/**
 * mnvme_fail() - set CSTS.CFS (NVMe 3.1.6)
 * @dev: the controller
 * @why: for the log
 *
 * Nothing is executed until the host resets the controller.
 */
void mnvme_fail(struct mnvme *dev, const char *why)
{
	WRITE_ONCE(dev->cfs, true);
	mnvme_warn(dev, "controller fatal status: %s\n", why);
}

/* What is wrong with the registers that CC.EN takes effect with, or NULL. */
static const char *mnvme_check_enable(const struct mnvme *dev)
{
	u32 mps = (dev->cc >> NVME_CC_MPS_SHIFT) & 0xf;
	u64 page_mask = (1ull << (mps + 12)) - 1;

	if (dev->cc & NVME_CC_CSS_MASK)
		return "CC.CSS selects a command set that is not supported";
	if (mps + 12 > MNVME_PAGE_SHIFT_MAX)
		return "CC.MPS is above CAP.MPSMAX";
	if ((dev->cc >> NVME_CC_AMS_SHIFT) & 7)
		return "CC.AMS selects an arbitration that is not supported";
	if (!(dev->aqa & 0xfff) || !(dev->aqa >> 16))
		return "AQA has a queue of less than two entries";
	if ((dev->asq | dev->acq) & page_mask)
		return "ASQ or ACQ is not aligned to a page";
	return NULL;
}

static void mnvme_ctrl_enable(struct mnvme *dev)
{
	const char *why = mnvme_check_enable(dev);

	if (why)
		return mnvme_fail(dev, why);

	dev->page_shift = ((dev->cc >> NVME_CC_MPS_SHIFT) & 0xf) + 12;
	WRITE_ONCE(dev->shst, 0);
	mnvme_cq_create(&dev->cq[0], dev->acq, (dev->aqa >> 16) + 1, 0, true);
	mnvme_sq_create(&dev->sq[0], dev->asq, (dev->aqa & 0xfff) + 1, 0, 0);
	WRITE_ONCE(dev->ready, true);
}

/* Lets no command execute any more. The admin queue first: it makes others. */
static void mnvme_delete_queues(struct mnvme *dev)
{
	u16 i;

	for (i = 0; i < MNVME_NR_QUEUES; i++)
		mnvme_sq_delete(&dev->sq[i]);
	for (i = 0; i < MNVME_NR_QUEUES; i++)
		mnvme_cq_delete(&dev->cq[i]);
}

/**
 * mnvme_ctrl_reset() - controller reset
 * @dev: the controller
 *
 * CC, AQA, ASQ and ACQ stay.
 *
 * Context: &mnvme.lock is held; no work takes it but the one that calls this.
 */
void mnvme_ctrl_reset(struct mnvme *dev)
{
	lockdep_assert_held(&dev->lock);

	mnvme_delete_queues(dev);
	mnvme_features_reset(&dev->features);
	mnvme_events_reset(dev);
	memset(&dev->dbbuf, 0, sizeof(dev->dbbuf));
	WRITE_ONCE(dev->intms, 0);
	WRITE_ONCE(dev->shst, 0);
	WRITE_ONCE(dev->cfs, false);
	WRITE_ONCE(dev->ready, false);
	dev->reset_pending = false;
}

/**
 * mnvme_power_on() - reset of all but the namespace, its identity and counters
 * @dev: the controller
 *
 * Context: &mnvme.lock is held; no work takes it but the one that calls this.
 */
void mnvme_power_on(struct mnvme *dev)
{
	if (dev->ready && dev->shst != NVME_CSTS_SHST_CMPLT)
		dev->log.unsafe_shutdowns++;
	mnvme_ctrl_reset(dev);
	dev->flr_pending = false;
	WRITE_ONCE(dev->cc, 0);
	dev->aqa = 0;
	dev->asq = 0;
	dev->acq = 0;
	mnvme_irq_reset(dev);
	mnvme_config_reset(dev);
}

/* What was executed is complete: there is no cache to flush. */
static void mnvme_shutdown(struct mnvme *dev)
{
	u16 i;

	WRITE_ONCE(dev->shst, NVME_CSTS_SHST_OCCUR);
	for (i = 0; i < MNVME_NR_QUEUES; i++)
		mnvme_sq_quiesce(&dev->sq[i]);
	WRITE_ONCE(dev->shst, NVME_CSTS_SHST_CMPLT);
}

void mnvme_ctrl_work(struct work_struct *work)
{
	struct mnvme *dev = container_of(work, struct mnvme, ctrl_work);

	mutex_lock(&dev->lock);
	if (!READ_ONCE(dev->running))
		goto out;

	if (dev->flr_pending)
		mnvme_power_on(dev);
	if (dev->reset_pending)
		mnvme_ctrl_reset(dev);
	if ((dev->cc & NVME_CC_ENABLE) && !dev->ready && !dev->cfs)
		mnvme_ctrl_enable(dev);
	if ((dev->cc & NVME_CC_SHN_MASK) && !dev->shst)
		mnvme_shutdown(dev);
out:
	mutex_unlock(&dev->lock);
}

/**
 * mnvme_stop() - bring the device to rest
 * @dev: the controller
 *
 * When it returns each command is either complete, interrupt included, or was
 * not fetched.
 *
 * Context: may sleep. &mnvme.lock is not held: the work that is waited for
 * takes it.
 */
void mnvme_stop(struct mnvme *dev)
{
	u16 i;

	dev->log.power_on_ns = mnvme_power_on_ns(dev);
	WRITE_ONCE(dev->running, false);
	smp_mb(); /* a work that starts after the waits below sees it */
	cancel_work_sync(&dev->ctrl_work);
	for (i = 0; i < MNVME_NR_QUEUES; i++)
		mnvme_sq_quiesce(&dev->sq[i]);
	mnvme_irq_hold(dev);
	mnvme_dbbuf_stop(dev);
}

/**
 * mnvme_run() - let the device go on from its present registers
 * @dev: the controller
 */
void mnvme_run(struct mnvme *dev)
{
	mnvme_irq_unhold(dev);
	dev->log.since = ktime_get_ns();
	WRITE_ONCE(dev->running, true);
	queue_work(mnvme_wq, &dev->ctrl_work);
	mnvme_sq_kick_all(dev);
}
