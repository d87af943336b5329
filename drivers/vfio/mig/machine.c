// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state machine behind both front ends
 *
 * A state says two things: what the device may do, and whether there is a session and
 * of which kind. A transition changes one or both. So there is one function for all
 * transitions, and which ones a protocol allows is that protocol's table.
 */
#include <trace/events/vfio_mig.h>

#include "data.h"
#include "fault.h"
#include "irq.h"
#include "load.h"
#include "machine.h"
#include "region.h"
#include "save.h"
#include "window.h"

/**
 * enum session - kinds of session
 * @SESSION_NONE: none
 * @SESSION_SAVE: the state is being saved
 * @SESSION_LOAD: a state is being loaded
 */
enum session {
	SESSION_NONE,
	SESSION_SAVE,
	SESSION_LOAD,
};

/**
 * enum activity - what a device may do
 * @STOPPED: nothing but answer accesses of its registers
 * @QUIESCED: serve others, and start no DMA
 * @ACTIVE: all
 */
enum activity {
	STOPPED,
	QUIESCED,
	ACTIVE,
};

static const struct {
	enum activity activity;
	enum session session;
} states[VFIO_MIG_NR_STATES] = {
	[VFIO_MIG_ERROR]	= { STOPPED, SESSION_NONE },
	[VFIO_MIG_STOP]		= { STOPPED, SESSION_NONE },
	[VFIO_MIG_RUNNING]	= { ACTIVE, SESSION_NONE },
	[VFIO_MIG_STOP_COPY]	= { STOPPED, SESSION_SAVE },
	[VFIO_MIG_RESUMING]	= { STOPPED, SESSION_LOAD },
	[VFIO_MIG_RUNNING_P2P]	= { QUIESCED, SESSION_NONE },
	[VFIO_MIG_PRE_COPY]	= { ACTIVE, SESSION_SAVE },
	[VFIO_MIG_PRE_COPY_P2P]	= { QUIESCED, SESSION_SAVE },
};

/* A device that nobody does DMA to is stopped where others are quiesced. */
static enum activity activity(const struct vfio_mig *mig, enum vfio_mig_state state)
{
	if (states[state].activity == QUIESCED && !mig->desc.ops->quiesce)
		return STOPPED;
	return states[state].activity;
}

static int stop(struct vfio_mig *mig)
{
	int ret = mig->desc.ops->stop(mig->vdev);

	/* An interrupt that waits for the user to unmask it goes on waiting. */
	if (!ret)
		vfio_mig_irqs_hold(&mig->irqs, true);
	return ret;
}

static void run(struct vfio_mig *mig)
{
	vfio_mig_irqs_hold(&mig->irqs, false);
	mig->desc.ops->run(mig->vdev);
}

static void speed_up(struct vfio_mig *mig, enum activity from, enum activity to)
{
	const struct vfio_mig_ops *ops = mig->desc.ops;

	if (from == STOPPED && to > STOPPED && ops->start)
		ops->start(mig->vdev);
	if (from < ACTIVE && to == ACTIVE)
		run(mig);
}

/* In two steps where the device has two. An error leaves it as active as it was. */
static int slow_down(struct vfio_mig *mig, enum activity from, enum activity to)
{
	const struct vfio_mig_ops *ops = mig->desc.ops;
	int ret = 0;

	if (from == ACTIVE && to < ACTIVE && ops->quiesce)
		ret = ops->quiesce(mig->vdev);
	if (ret)
		return ret;
	if (from > STOPPED && to == STOPPED)
		ret = stop(mig);
	if (ret && ops->quiesce)
		speed_up(mig, QUIESCED, from);
	return ret;
}

static void end_session(struct vfio_mig *mig)
{
	vfio_mig_region_end(mig);
	vfio_mig_data_end(mig);
	if (mig->save)
		vfio_mig_save_end(mig);
	if (mig->load)
		vfio_mig_load_end(mig);
}

static int begin_session(struct vfio_mig *mig, enum vfio_mig_state to,
			 enum vfio_mig_owner owner)
{
	enum session session = states[to].session;
	int ret;

	if (session == SESSION_NONE)
		return 0;
	ret = session == SESSION_SAVE ? vfio_mig_save_begin(mig, to) :
					vfio_mig_load_begin(mig);
	if (ret)
		return ret;
	ret = owner == VFIO_MIG_OWNER_V1 ? vfio_mig_region_begin(mig) :
					   vfio_mig_data_begin(mig);
	if (ret) {
		if (mig->save)
			vfio_mig_save_end(mig);
		else
			vfio_mig_load_end(mig);
	}
	return ret;
}

static int change_session(struct vfio_mig *mig, enum vfio_mig_state to,
			  enum vfio_mig_owner owner)
{
	enum session from = states[mig->state].session;
	int ret;

	if (from == states[to].session)
		return 0;
	if (from == SESSION_LOAD) {
		ret = vfio_mig_load_apply(mig);
		if (ret)
			return ret;
	}
	end_session(mig);
	return begin_session(mig, to, owner);
}

static int follow_arc(struct vfio_mig *mig, enum vfio_mig_state to,
		      enum vfio_mig_owner owner)
{
	enum activity before = activity(mig, mig->state), after = activity(mig, to);
	int ret;

	ret = slow_down(mig, before, after);
	if (ret)
		return ret;
	if (after < before)
		ret = vfio_mig_fault_stop(mig);
	if (!ret)
		ret = vfio_mig_fault_arc(mig, to);
	if (!ret)
		ret = change_session(mig, to, owner);
	if (ret) {
		speed_up(mig, min(before, after), before);
		return ret;
	}
	speed_up(mig, before, after);
	if (after > before)
		vfio_mig_fault_run(mig);
	return 0;
}

/**
 * vfio_mig_enter - follow an arc
 * @mig: the device; session mutex held, not broken
 * @to: the new state; the front end's table allows the arc
 * @owner: the front end
 *
 * Return: 0; or an error, and the state is what it was: what stopping, starting
 * a session or leaving a load said. If the device broke meanwhile it is in the
 * error state, and the error is -EIO where nothing else failed.
 */
int vfio_mig_enter(struct vfio_mig *mig, enum vfio_mig_state to,
		   enum vfio_mig_owner owner)
{
	enum vfio_mig_state from = mig->state;
	int ret = follow_arc(mig, to, owner);

	if (!ret) {
		WRITE_ONCE(mig->state, to);
		WRITE_ONCE(mig->owner, to == VFIO_MIG_RUNNING ||
			   to == VFIO_MIG_STOP ? VFIO_MIG_OWNER_NONE : owner);
		/* What can be read changes with the state. */
		wake_up_interruptible(&mig->wait);
	}
	/* The device may have broken in a callback that cannot fail, such as run(). */
	if (READ_ONCE(mig->broken)) {
		vfio_mig_machine_fail(mig);
		ret = ret ?: -EIO;
	}
	trace_vfio_mig_state(mig->vdev->dev, from, to, owner, ret);
	return ret;
}

/**
 * vfio_mig_machine_rest - end any session and bring the device to rest
 * @mig: the device; session mutex held
 *
 * Return: 0, or what stopping said. The session has ended either way.
 */
int vfio_mig_machine_rest(struct vfio_mig *mig)
{
	enum activity before = activity(mig, mig->state);
	int ret;

	end_session(mig);
	WRITE_ONCE(mig->owner, VFIO_MIG_OWNER_NONE);
	ret = slow_down(mig, before, STOPPED);
	/* It has stopped, and a knob says that it has not. */
	if (!ret && before > STOPPED)
		ret = vfio_mig_fault_stop(mig);
	WRITE_ONCE(mig->state, ret ? VFIO_MIG_RUNNING : VFIO_MIG_STOP);
	return ret;
}

/* The device is as after power-on, and runs. */
static void started(struct vfio_mig *mig)
{
	WRITE_ONCE(mig->broken, false);
	mig->desc.ops->reset(mig->vdev);
	vfio_mig_irqs_reset(&mig->irqs);
	run(mig);
	WRITE_ONCE(mig->state, VFIO_MIG_RUNNING);
	if (mig->window)
		vfio_mig_window_hide(mig->window, false);
}

/**
 * vfio_mig_machine_start - power-on: reset the device and let it run
 * @mig: the device; session mutex held
 *
 * A reset is the way out of every failure, so it does not depend on a device that
 * stops when it is asked to.
 */
void vfio_mig_machine_start(struct vfio_mig *mig)
{
	int ret = vfio_mig_machine_rest(mig);

	if (ret && __ratelimit(&mig->log))
		dev_warn(mig->vdev->dev,
			 "device does not stop (%d), it is reset all the same\n",
			 ret);
	started(mig);
}

/**
 * vfio_mig_machine_was_reset - somebody else has reset the device
 * @mig: the device; session mutex held
 *
 * As vfio_mig_machine_start(), but the device is not asked to stop: it has.
 */
void vfio_mig_machine_was_reset(struct vfio_mig *mig)
{
	end_session(mig);
	WRITE_ONCE(mig->owner, VFIO_MIG_OWNER_NONE);
	started(mig);
}

/**
 * vfio_mig_machine_fail - the device broke: show it, and only a reset helps
 * @mig: the device; session mutex held
 */
void vfio_mig_machine_fail(struct vfio_mig *mig)
{
	if (vfio_mig_machine_rest(mig) && __ratelimit(&mig->log))
		dev_err(mig->vdev->dev,
			"device is in error and does not stop\n");
	WRITE_ONCE(mig->state, VFIO_MIG_ERROR);
	if (mig->window)
		vfio_mig_window_hide(mig->window, true);
	wake_up_interruptible(&mig->wait);
}

#if IS_ENABLED(CONFIG_VFIO_MIG_CORE_KUNIT_TEST)
#include "machine_test.c"
#endif
