// SPDX-License-Identifier: GPL-2.0-only
/*
 * States of the controller: enable, reset, shutdown (NVMe 7.3, 7.6), stop and run
 *
 * A write of a register only stores the value and queues a work item. The work item reads the
 * registers and acts on them, with &mnvme.ctrl held, so the steps are serialised. When a
 * stopped device runs again, the same work item acts on values that were written meanwhile.
 */
#include <linux/jiffies.h>
#include <linux/sched/signal.h>

#include "mnvme.h"

#define MNVME_STOP_TIMEOUT	(10 * HZ)
/* Limit of steps of the work item in a tick; a host that starts the controller needs three. */
#define MNVME_STEPS		4

/**
 * mnvme_fail() - set CSTS.CFS (NVMe 3.1.6)
 * @dev: the controller
 * @why: the reason, for the log
 *
 * No command is executed until the host resets the controller.
 *
 * Context: any.
 */
void mnvme_fail(struct mnvme *dev, const char *why)
{
	WRITE_ONCE(dev->cfs, true);
	mnvme_warn(dev, "controller fatal status: %s\n", why);
}

/* Returns the reason why the controller cannot be enabled, or NULL. */
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

	if (mnvme_executors_killed(dev))
		why = "the process that opened the device has ended";
	if (why)
		return mnvme_fail(dev, why);

	dev->page_shift = ((dev->cc >> NVME_CC_MPS_SHIFT) & 0xf) + 12;
	WRITE_ONCE(dev->shst, 0);
	mnvme_offers_update(dev);
	mnvme_cq_create(&dev->cq[0], dev->acq, (dev->aqa >> 16) + 1, 0, true);
	mnvme_sq_create(&dev->sq[0], dev->asq, (dev->aqa & 0xfff) + 1, 0, 0);
	WRITE_ONCE(dev->ready, true);
}

/*
 * Ends the execution of commands, and deletes all queues. @resetting ends the commands of all
 * queues at once, so the wait takes only as long as the slowest queue. The admin queue comes
 * first, because its commands create other queues.
 */
static void mnvme_halt(struct mnvme *dev)
{
	u16 i;

	lockdep_assert_held(&dev->ctrl);
	WRITE_ONCE(dev->resetting, true);
	smp_mb(); /* code that runs after the waits below sees the new value */
	wake_up_all(&dev->halt);
	for (i = 0; i < MNVME_NR_QUEUES; i++)
		mnvme_sq_delete(&dev->sq[i]);
	for (i = 0; i < MNVME_NR_QUEUES; i++)
		mnvme_cq_delete(&dev->cq[i]);
}

/* Clears the state of a controller that was halted, as a controller reset does. */
static void mnvme_ctrl_clear(struct mnvme *dev)
{
	lockdep_assert_held(&dev->lock);
	mnvme_features_reset(&dev->features);
	mnvme_events_reset(dev);
	memset(&dev->dbbuf, 0, sizeof(dev->dbbuf));
	WRITE_ONCE(dev->intms, 0);
	WRITE_ONCE(dev->shst, 0);
	WRITE_ONCE(dev->cfs, false);
	WRITE_ONCE(dev->ready, false);
	dev->reset_pending = false;
	WRITE_ONCE(dev->resetting, false);
	/* Drops pending interrupts of queues that do not exist any more. */
	mnvme_irq_update(dev);
}

/*
 * A controller reset does not change AQA, ASQ and ACQ. CC became 0 when the host cleared
 * CC.EN, and the host may have written CC again since then.
 */
static void mnvme_ctrl_reset(struct mnvme *dev)
{
	mnvme_halt(dev);
	mutex_lock(&dev->lock);
	mnvme_ctrl_clear(dev);
	mutex_unlock(&dev->lock);
}

static void __mnvme_power_on(struct mnvme *dev)
{
	mnvme_halt(dev);
	mutex_lock(&dev->lock);
	mnvme_ctrl_clear(dev);
	dev->flr_pending = false;
	WRITE_ONCE(dev->cc, 0);
	dev->aqa = 0;
	dev->asq = 0;
	dev->acq = 0;
	mnvme_irq_reset(dev);
	mnvme_config_reset(dev);
	mutex_unlock(&dev->lock);
}

/**
 * mnvme_power_on() - reset all but the namespace, its identity and counters
 * @dev: the controller, running or stopped
 *
 * Registers and configuration space can be accessed meanwhile.
 *
 * Context: may sleep. Takes &mnvme.ctrl and &mnvme.lock.
 */
void mnvme_power_on(struct mnvme *dev)
{
	mutex_lock(&dev->ctrl);
	__mnvme_power_on(dev);
	mutex_unlock(&dev->ctrl);
}

/*
 * Waits until no queue executes a command or accesses guest memory. The caller has made all
 * commands end. Returns false if an access does not end.
 *
 * All submission queues come first, because the end of a batch posts to any completion queue.
 */
static bool mnvme_quiesce(struct mnvme *dev)
{
	bool ended = true;
	u16 i;

	for (i = 0; i < MNVME_NR_QUEUES; i++)
		ended &= mnvme_sq_quiesce(&dev->sq[i]);
	for (i = 0; i < MNVME_NR_QUEUES; i++)
		ended &= mnvme_cq_quiesce(&dev->cq[i]);
	return ended;
}

/**
 * mnvme_end_dma() - wait until no queue accesses guest memory
 * @dev: the controller, which has lost Bus Master or is not in D0
 *
 * A command that waits for its memory is given up, because its memory may come when the host
 * uses the memory for something else. The command begins again when Bus Master is set.
 *
 * Context: may sleep for a bounded time. &mnvme.lock is not held.
 */
void mnvme_end_dma(struct mnvme *dev)
{
	smp_mb(); /* code that runs after the waits below sees the new value */
	wake_up_all(&dev->halt);
	mnvme_quiesce(dev);
	/* Another thread may have set Bus Master meanwhile, and its kicks came too early. */
	mnvme_sq_kick_all(dev);
}

/* There is no cache to flush, because executed commands are complete. */
static void mnvme_shutdown(struct mnvme *dev)
{
	WRITE_ONCE(dev->shst, NVME_CSTS_SHST_OCCUR);
	smp_mb(); /* code that runs after the waits below sees the new value */
	wake_up_all(&dev->halt);
	mnvme_quiesce(dev);
	WRITE_ONCE(dev->shst, NVME_CSTS_SHST_CMPLT);
}

/* The next step of the work item. The registers, read with &mnvme.lock held, determine it. */
enum mnvme_ctrl_step {
	MNVME_CTRL_NOTHING,
	MNVME_CTRL_POWER_ON,
	MNVME_CTRL_RESET,
	MNVME_CTRL_ENABLE,
	MNVME_CTRL_SHUTDOWN,
};

static enum mnvme_ctrl_step mnvme_ctrl_next(const struct mnvme *dev)
{
	if (!READ_ONCE(dev->running))
		return MNVME_CTRL_NOTHING;
	if (dev->flr_pending)
		return MNVME_CTRL_POWER_ON;
	if (dev->reset_pending)
		return MNVME_CTRL_RESET;
	if ((dev->cc & NVME_CC_ENABLE) && !dev->ready && !dev->cfs)
		return MNVME_CTRL_ENABLE;
	if ((dev->cc & NVME_CC_SHN_MASK) && !dev->shst)
		return MNVME_CTRL_SHUTDOWN;
	return MNVME_CTRL_NOTHING;
}

/**
 * mnvme_ctrl_kick() - queue the work item if it has something to do
 * @dev: the controller, with &mnvme.lock held
 */
void mnvme_ctrl_kick(struct mnvme *dev)
{
	lockdep_assert_held(&dev->lock);
	if (mnvme_ctrl_next(dev) != MNVME_CTRL_NOTHING)
		queue_work(mnvme_wq, &dev->ctrl_work);
}

static bool mnvme_ctrl_step(struct mnvme *dev)
{
	enum mnvme_ctrl_step step;

	mutex_lock(&dev->lock);
	step = mnvme_ctrl_next(dev);
	if (step == MNVME_CTRL_ENABLE)
		mnvme_ctrl_enable(dev);
	mutex_unlock(&dev->lock);

	/* These steps wait without the lock, so the registers can be accessed meanwhile. */
	if (step == MNVME_CTRL_POWER_ON)
		__mnvme_power_on(dev);
	else if (step == MNVME_CTRL_RESET)
		mnvme_ctrl_reset(dev);
	else if (step == MNVME_CTRL_SHUTDOWN)
		mnvme_shutdown(dev);
	return step != MNVME_CTRL_NOTHING;
}

/*
 * A user can write CC all the time. Nobody is charged for the CPU time of the work item, so it
 * waits after a few steps in one tick of the clock.
 */
static void mnvme_ctrl_pace(struct mnvme *dev)
{
	lockdep_assert_held(&dev->ctrl);
	if (time_after(jiffies, dev->step_tick)) {
		dev->step_tick = jiffies;
		dev->steps = 0;
	}
	if (++dev->steps > MNVME_STEPS)
		schedule_timeout_idle(1);
}

void mnvme_ctrl_work(struct work_struct *work)
{
	struct mnvme *dev = container_of(work, struct mnvme, ctrl_work);

	mutex_lock(&dev->ctrl);
	while (mnvme_ctrl_step(dev))
		mnvme_ctrl_pace(dev);
	mutex_unlock(&dev->ctrl);
}

/*
 * Posts what is left for the submission queue and the completion queue of number @i. A
 * controller that failed or was shut down posts no completion, because the host has to reset
 * it. Without Bus Master there is no DMA, so a controller that still has completions fails.
 */
static int mnvme_post(struct mnvme *dev, u16 i)
{
	struct mnvme_sq *sq = &dev->sq[i];
	struct mnvme_cq *cq = &dev->cq[i];
	int ret;

	if (READ_ONCE(dev->cfs) || READ_ONCE(dev->shst))
		return -EIO;
	if (!READ_ONCE(dev->bus_master)) {
		if (sq->nr_done || (READ_ONCE(cq->live) && READ_ONCE(cq->torn)))
			mnvme_fail(dev, "Bus Master is off, and completions are left to post");
		return -EIO;
	}
	ret = mnvme_sq_post(sq);
	return ret ?: mnvme_cq_mend(cq, sq);
}

/*
 * Posts what is left, or drops it if it cannot be posted. Returns -EAGAIN if guest memory is
 * not present. A state does not contain completions, so a completion that stays would be
 * posted to the queues of the next state that is loaded.
 */
static int mnvme_post_or_drop(struct mnvme *dev, u16 i)
{
	struct mnvme_sq *sq = &dev->sq[i];
	int ret;

	mutex_lock(&sq->exec);
	ret = mnvme_post(dev, i);
	if (ret && ret != -EAGAIN)
		mnvme_sq_drop(sq);
	mutex_unlock(&sq->exec);
	return ret;
}

/*
 * Posts completions that wait for guest memory, so that the host has them at the stop. All
 * queues have the same time limit @end. Otherwise a user whose memory answers late for each
 * queue could multiply the limit.
 *
 * The stop fails if a user waits to reset the device. That user can still be killed, and then
 * nobody resets the device, so a state without these completions must not be saved.
 */
static int mnvme_finish_posts(struct mnvme *dev, u16 i, unsigned long end)
{
	int ret;

	for (;;) {
		ret = mnvme_post_or_drop(dev, i);
		if (ret != -EAGAIN)
			return 0;
		if (vfio_mig_cancelled(dev->mig))
			return -ECANCELED;
		if (time_after(jiffies, end))
			return -ETIMEDOUT;
		schedule_timeout_killable(1);
		if (fatal_signal_pending(current))
			return -EINTR;
	}
}

/* Posts all completions if @post, and then waits until no queue executes a command. */
static int mnvme_come_to_rest(struct mnvme *dev, bool post)
{
	unsigned long end = jiffies + MNVME_STOP_TIMEOUT;
	int ret = 0;
	u16 i;

	for (i = 0; post && !ret && i < MNVME_NR_QUEUES; i++)
		ret = mnvme_finish_posts(dev, i, end);
	if (ret)
		return ret;
	return mnvme_quiesce(dev) ? 0 : -ETIMEDOUT;
}

/**
 * mnvme_stop() - stop the device
 * @dev: the controller
 * @reason: reason for which the library stops the device
 *
 * After a return value of 0 each command is either complete, with its interrupt, or counts
 * as not executed. If a reset or a close follows, nobody needs the completions, and the
 * function does not wait for their memory.
 *
 * Context: the library's session mutex is held; may sleep. Neither &mnvme.ctrl nor &mnvme.lock is
 * held, because the work item that this function waits for takes both.
 * Return: 0; -ETIMEDOUT if guest memory was missing for 10 seconds, -ECANCELED if it was
 * missing when a user waited to reset the device, or -EINTR. After an error the device still
 * runs. If a reset or a close follows, the device is stopped even after an error. Then an access
 * to guest memory is still in progress, and its result is dropped.
 */
int mnvme_stop(struct mnvme *dev, enum vfio_mig_stop_reason reason)
{
	bool again = reason != VFIO_MIG_STOP_FOR_RESET;
	int ret;

	dev->log.power_on_ns = mnvme_power_on_ns(dev);
	WRITE_ONCE(dev->running, false);
	smp_mb(); /* code that runs after the waits below sees the new value */
	wake_up_all(&dev->halt);
	/* A thread that saw the old value queues the work item before it releases the lock. */
	mutex_lock(&dev->lock);
	mutex_unlock(&dev->lock);
	cancel_work_sync(&dev->ctrl_work);
	ret = mnvme_come_to_rest(dev, again);
	if (ret == -ETIMEDOUT)
		mnvme_warn(dev, "does not stop: guest memory that a completion or a copy needs does not answer\n");
	if (ret && again) {
		mnvme_run(dev);
		return ret;
	}
	mnvme_irq_hold(dev);
	if (again)
		mnvme_dbbuf_stop(dev);
	return ret;
}

/**
 * mnvme_run() - run the device from its present registers
 * @dev: the controller, stopped
 *
 * Context: the library's session mutex is held.
 */
void mnvme_run(struct mnvme *dev)
{
	mnvme_irq_unhold(dev);
	dev->log.since = ktime_get_ns();
	WRITE_ONCE(dev->running, true);
	queue_work(mnvme_wq, &dev->ctrl_work);
	mnvme_sq_kick_all(dev);
}
