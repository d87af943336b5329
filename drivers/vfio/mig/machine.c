// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state machine behind both front ends
 *
 * A state says two things: whether the device is at rest, and whether there is a
 * session and of which kind. An arc changes one or both. So there is one
 * function for all arcs, and which arcs a protocol allows is that protocol's
 * table.
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
	bool at_rest;
	enum session session;
} states[VFIO_MIG_NR_STATES] = {
	[VFIO_MIG_ERROR]	= { true, SESSION_NONE },
	[VFIO_MIG_STOP]		= { true, SESSION_NONE },
	[VFIO_MIG_RUNNING]	= { false, SESSION_NONE },
	[VFIO_MIG_STOP_COPY]	= { true, SESSION_SAVE },
	[VFIO_MIG_RESUMING]	= { true, SESSION_LOAD },
	[VFIO_MIG_RUNNING_P2P]	= { true, SESSION_NONE },
	[VFIO_MIG_PRE_COPY]	= { false, SESSION_SAVE },
	[VFIO_MIG_PRE_COPY_P2P]	= { true, SESSION_SAVE },
};

static void end_session(struct vfio_mig *mig)
{
	vfio_mig_region_end(mig);
	vfio_mig_data_end(mig);
	if (mig->save)
		vfio_mig_save_end(mig);
	if (mig->load)
		vfio_mig_load_end(mig);
}

static int begin_session(struct vfio_mig *mig, enum session session,
			 enum vfio_mig_owner owner)
{
	int ret;

	if (session == SESSION_NONE)
		return 0;
	ret = session == SESSION_SAVE ? vfio_mig_save_begin(mig) :
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

static int change_session(struct vfio_mig *mig, enum session to,
			  enum vfio_mig_owner owner)
{
	enum session from = states[mig->state].session;
	int ret;

	if (from == to)
		return 0;
	if (from == SESSION_LOAD) {
		ret = vfio_mig_load_apply(mig);
		if (ret)
			return ret;
	}
	end_session(mig);
	return begin_session(mig, to, owner);
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

static int follow_arc(struct vfio_mig *mig, enum vfio_mig_state to,
		      enum vfio_mig_owner owner)
{
	bool was_at_rest = states[mig->state].at_rest;
	int ret;

	if (!was_at_rest && states[to].at_rest) {
		ret = stop(mig);
		if (ret)
			return ret;
	}
	ret = vfio_mig_fault_arc(mig, to);
	if (!ret)
		ret = change_session(mig, states[to].session, owner);
	if (ret) {
		if (!was_at_rest && states[to].at_rest)
			run(mig);
		return ret;
	}
	if (was_at_rest && !states[to].at_rest)
		run(mig);
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
	bool at_rest = states[mig->state].at_rest;

	end_session(mig);
	WRITE_ONCE(mig->owner, VFIO_MIG_OWNER_NONE);
	WRITE_ONCE(mig->state, at_rest ? VFIO_MIG_STOP : VFIO_MIG_RUNNING);
	if (!at_rest) {
		int ret = stop(mig);

		if (ret)
			return ret;
	}
	WRITE_ONCE(mig->state, VFIO_MIG_STOP);
	return 0;
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
