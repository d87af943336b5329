// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state machine behind both front ends
 *
 * A state has two properties: the activity of the device, and the kind of session. A
 * transition changes one or both of them. So one function does all transitions. Each
 * protocol has a table of the transitions that it permits.
 *
 * A transition slows the device down first, then changes the session, and lets the device run
 * last. So a step that fails can be undone: the device continues in its old state.
 *
 * All functions are called with the session mutex held. A lockless reader may read the state
 * and the owner.
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

static const struct {
	enum vfio_mig_activity activity;
	enum session session;
} states[VFIO_MIG_NR_STATES] = {
	[VFIO_MIG_ERROR]	= { VFIO_MIG_STOPPED, SESSION_NONE },
	[VFIO_MIG_STOP]		= { VFIO_MIG_STOPPED, SESSION_NONE },
	[VFIO_MIG_RUNNING]	= { VFIO_MIG_ACTIVE, SESSION_NONE },
	[VFIO_MIG_STOP_COPY]	= { VFIO_MIG_STOPPED, SESSION_SAVE },
	[VFIO_MIG_RESUMING]	= { VFIO_MIG_STOPPED, SESSION_LOAD },
	[VFIO_MIG_RUNNING_P2P]	= { VFIO_MIG_QUIESCED, SESSION_NONE },
	[VFIO_MIG_PRE_COPY]	= { VFIO_MIG_ACTIVE, SESSION_SAVE },
	[VFIO_MIG_PRE_COPY_P2P]	= { VFIO_MIG_QUIESCED, SESSION_SAVE },
};

/* A device that cannot quiesce is stopped instead, because no device does DMA to it. */
static enum vfio_mig_activity activity(const struct vfio_mig *mig, enum vfio_mig_state state)
{
	if (states[state].activity == VFIO_MIG_QUIESCED && !mig->desc.ops->quiesce)
		return VFIO_MIG_STOPPED;
	return states[state].activity;
}

/* Returns the reason for a stop on the way to @target, which is the state that the user wants. */
static enum vfio_mig_stop_reason stop_reason(enum vfio_mig_state target)
{
	switch (states[target].session) {
	case SESSION_SAVE:
		return VFIO_MIG_STOP_FOR_SAVE;
	case SESSION_LOAD:
		return VFIO_MIG_STOP_FOR_LOAD;
	default:
		return VFIO_MIG_STOP_FOR_PAUSE;
	}
}

static int stop(struct vfio_mig *mig, enum vfio_mig_stop_reason reason)
{
	int ret = mig->desc.ops->stop(mig->vdev, reason);

	/* If the user unmasks INTx now, the interrupt waits until the device runs. */
	if (!ret)
		vfio_mig_irqs_hold(&mig->irqs, true);
	return ret;
}

static void run(struct vfio_mig *mig)
{
	mig->desc.ops->run(mig->vdev);
	/* Now the driver has set the level of INTx from the present registers. */
	vfio_mig_irqs_hold(&mig->irqs, false);
}

static void speed_up(struct vfio_mig *mig, enum vfio_mig_activity to)
{
	const struct vfio_mig_ops *ops = mig->desc.ops;
	enum vfio_mig_activity from = mig->activity;

	if (from == VFIO_MIG_STOPPED && to > VFIO_MIG_STOPPED && ops->start)
		ops->start(mig->vdev);
	if (from < VFIO_MIG_ACTIVE && to == VFIO_MIG_ACTIVE)
		run(mig);
	mig->activity = max(from, to);
}

/*
 * Quiesces the device first if it can. After an error the activity is unchanged, except if the
 * reason is a reset. Then a device that does not quiesce is stopped nevertheless. A device that
 * quiesces but does not stop stays quiesced, because it must not continue its work.
 */
static int slow_down(struct vfio_mig *mig, enum vfio_mig_activity to,
		     enum vfio_mig_stop_reason reason)
{
	const struct vfio_mig_ops *ops = mig->desc.ops;
	enum vfio_mig_activity from = mig->activity;
	int ret = 0;

	if (from == VFIO_MIG_ACTIVE && to < VFIO_MIG_ACTIVE && ops->quiesce) {
		ret = ops->quiesce(mig->vdev);
		if (!ret)
			mig->activity = VFIO_MIG_QUIESCED;
		else if (reason != VFIO_MIG_STOP_FOR_RESET)
			return ret;
	}
	if (from > VFIO_MIG_STOPPED && to == VFIO_MIG_STOPPED)
		ret = stop(mig, reason);
	if (!ret)
		mig->activity = min(from, to);
	else if (reason != VFIO_MIG_STOP_FOR_RESET)
		speed_up(mig, from);
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

static int follow_transition(struct vfio_mig *mig, enum vfio_mig_state to,
			     enum vfio_mig_state target, enum vfio_mig_owner owner)
{
	enum vfio_mig_activity before = mig->activity, after = activity(mig, to);
	int ret;

	ret = slow_down(mig, after, stop_reason(target));
	if (ret)
		return ret;
	if (after < before)
		ret = vfio_mig_fault_stop(mig);
	if (!ret)
		ret = vfio_mig_fault_transition(mig, to);
	if (!ret)
		ret = change_session(mig, to, owner);
	if (ret) {
		speed_up(mig, before);
		return ret;
	}
	speed_up(mig, after);
	if (after > before)
		vfio_mig_fault_run(mig);
	return 0;
}

/**
 * vfio_mig_enter - make one transition
 * @mig: the device; session mutex held, not broken
 * @to: the new state; the front end's table permits the transition
 * @target: the state that the user asks for; @to is on the way there. The driver learns
 *	from @target why the device stops.
 * @owner: the front end
 *
 * Return: 0; or the error of stopping, of starting a session or of ending a load, and
 * then the state is unchanged. If the device broke meanwhile, the device is in the error
 * state, and the error is -EIO if nothing else failed.
 */
int vfio_mig_enter(struct vfio_mig *mig, enum vfio_mig_state to,
		   enum vfio_mig_state target, enum vfio_mig_owner owner)
{
	enum vfio_mig_state from = mig->state;
	int ret = follow_transition(mig, to, target, owner);

	if (!ret) {
		WRITE_ONCE(mig->state, to);
		WRITE_ONCE(mig->owner, to == VFIO_MIG_RUNNING ||
			   to == VFIO_MIG_STOP ? VFIO_MIG_OWNER_NONE : owner);
		/* The data that can be read change with the state. */
		vfio_mig_data_wake(mig);
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
 * vfio_mig_machine_rest - end any session and stop the device
 * @mig: the device; session mutex held
 *
 * Also stops a device that is in the error state, if an earlier stop failed.
 *
 * Return: 0, or the error of stopping, and then the state is RUNNING. The session has ended in
 * both cases.
 */
int vfio_mig_machine_rest(struct vfio_mig *mig)
{
	enum vfio_mig_activity before = mig->activity;
	int ret;

	end_session(mig);
	WRITE_ONCE(mig->owner, VFIO_MIG_OWNER_NONE);
	ret = slow_down(mig, VFIO_MIG_STOPPED, VFIO_MIG_STOP_FOR_RESET);
	/* A fault knob can report an error although the device has stopped. */
	if (!ret && before > VFIO_MIG_STOPPED)
		ret = vfio_mig_fault_stop(mig);
	WRITE_ONCE(mig->state, ret ? VFIO_MIG_RUNNING : VFIO_MIG_STOP);
	return ret;
}

/* Resets the device to its state after power-on, and runs it. */
static void started(struct vfio_mig *mig)
{
	WRITE_ONCE(mig->broken, false);
	mig->desc.ops->reset(mig->vdev);
	vfio_mig_irqs_reset(&mig->irqs);
	/* If the device did not stop before, reset() has stopped it. */
	mig->activity = VFIO_MIG_STOPPED;
	/* In two steps, because the device was stopped in two steps. */
	speed_up(mig, VFIO_MIG_ACTIVE);
	WRITE_ONCE(mig->state, VFIO_MIG_RUNNING);
	if (mig->window)
		vfio_mig_window_hide(mig->window, false);
}

/**
 * vfio_mig_machine_start - reset the device and run it
 * @mig: the device; session mutex held
 *
 * A reset has to end every failure, so it does not fail if the device does not stop. A device
 * in the error state has been told to stop, and the reset does not wait for that once more.
 */
void vfio_mig_machine_start(struct vfio_mig *mig)
{
	int ret = 0;

	if (mig->state != VFIO_MIG_ERROR)
		ret = vfio_mig_machine_rest(mig);
	if (ret && __ratelimit(&mig->log))
		dev_warn(mig->vdev->dev,
			 "device does not stop (%d), it is reset all the same\n",
			 ret);
	started(mig);
}

/**
 * vfio_mig_machine_was_reset - continue after another driver has reset the device
 * @mig: the device; session mutex held
 *
 * As vfio_mig_machine_start(), but without a call to stop the device, because the reset
 * has stopped it.
 */
void vfio_mig_machine_was_reset(struct vfio_mig *mig)
{
	end_session(mig);
	WRITE_ONCE(mig->owner, VFIO_MIG_OWNER_NONE);
	started(mig);
}

/**
 * vfio_mig_machine_fail - enter the error state, which only a reset ends
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
	vfio_mig_data_wake(mig);
}

#if IS_ENABLED(CONFIG_VFIO_MIG_CORE_KUNIT_TEST)
#include "machine_test.c"
#endif
