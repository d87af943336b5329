// SPDX-License-Identifier: GPL-2.0-only
/*
 * The v2 front end: states
 *
 * The VFIO core passes on VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE and _DATA_SIZE. Its state
 * machine helper finds the transitions from one state to another. The data use the file
 * descriptor of data.c.
 */
#include <linux/fs.h>
#include <linux/vfio.h>

#include "data.h"
#include "fault.h"
#include "machine.h"
#include "mig.h"
#include "save.h"
#include "v2.h"

static int v2_walk(struct vfio_mig *mig, enum vfio_device_mig_state to)
{
	enum vfio_device_mig_state cur, next;
	int ret;

	while (mig->state != (enum vfio_mig_state)to) {
		cur = (enum vfio_device_mig_state)mig->state;
		ret = vfio_mig_get_next_state(mig->vdev, cur, to, &next);
		if (ret)
			return ret;
		ret = vfio_mig_enter(mig, (enum vfio_mig_state)next,
				     (enum vfio_mig_state)to, VFIO_MIG_OWNER_V2);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Returns true if no transitions lead to @to. VFIO's helper must not be called then, because
 * the helper warns about the error state. From STOP_COPY to pre-copy the helper of Linux 6.12
 * loops without end, and that of Linux 7.3 returns an error.
 */
static bool v2_no_way(const struct vfio_mig *mig, enum vfio_mig_state to)
{
	if (mig->state == VFIO_MIG_ERROR || (u32)to >= VFIO_MIG_NR_STATES)
		return true;
	/*
	 * v1 can have entered pre-copy. A user of v2 must not ask for this state if this kernel's
	 * v2 lacks it.
	 */
	if (!VFIO_MIG_V2_PRE_COPY && to >= VFIO_MIG_PRE_COPY)
		return true;
	return mig->state == VFIO_MIG_STOP_COPY &&
	       (to == VFIO_MIG_PRE_COPY || to == VFIO_MIG_PRE_COPY_P2P);
}

static struct file *v2_set_state(struct vfio_device *vdev,
				 enum vfio_device_mig_state to)
{
	struct vfio_mig *mig = vfio_mig_of(vdev);
	struct file *file = NULL;
	int ret;

	ret = vfio_mig_lock(mig);
	if (ret)
		return ERR_PTR(ret);
	if (v2_no_way(mig, (enum vfio_mig_state)to))
		ret = -EINVAL;
	else if (mig->owner == VFIO_MIG_OWNER_V1)
		ret = mig->state == (enum vfio_mig_state)to ? 0 : -EBUSY;
	else
		ret = v2_walk(mig, to);
	file = vfio_mig_data_take_file(mig, ret);
	vfio_mig_unlock(mig);
	return ret ? ERR_PTR(ret) : file;
}

static int v2_get_state(struct vfio_device *vdev,
			enum vfio_device_mig_state *state)
{
	struct vfio_mig *mig = vfio_mig_of(vdev);
	int ret;

	ret = vfio_mig_lock(mig);
	if (ret)
		return ret;
	*state = (enum vfio_device_mig_state)mig->state;
	/* The v1 protocol can enter pre-copy, which this kernel's v2 protocol lacks. */
	if (mig->state == VFIO_MIG_PRE_COPY && !VFIO_MIG_V2_PRE_COPY)
		*state = VFIO_DEVICE_STATE_RUNNING;
	vfio_mig_unlock(mig);
	return 0;
}

#ifdef VFIO_DEVICE_FEATURE_MIG_DATA_SIZE
static int v2_get_data_size(struct vfio_device *vdev, unsigned long *size)
{
	struct vfio_mig *mig = vfio_mig_of(vdev);
	int ret;

	ret = vfio_mig_lock(mig);
	if (ret)
		return ret;
	ret = vfio_mig_save_ask(mig);
	if (!ret)
		*size = vfio_mig_fault_data_size(mig, vfio_mig_save_stop_size(mig) +
						      vfio_mig_data_in_hand(mig));
	vfio_mig_unlock(mig);
	return ret;
}
#endif

/**
 * vfio_mig_v2_offer - offer the v2 protocol to the device's users
 * @mig: the device; not registered yet
 */
void vfio_mig_v2_offer(struct vfio_mig *mig)
{
	mig->v2_ops.migration_set_state = v2_set_state;
	mig->v2_ops.migration_get_state = v2_get_state;
#ifdef VFIO_DEVICE_FEATURE_MIG_DATA_SIZE
	mig->v2_ops.migration_get_data_size = v2_get_data_size;
#endif
	mig->vdev->mig_ops = &mig->v2_ops;
	mig->vdev->migration_flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIG_V2_PRE_COPY;
	if (mig->desc.p2p || mig->desc.ops->quiesce)
		mig->vdev->migration_flags |= VFIO_MIGRATION_P2P;
}
