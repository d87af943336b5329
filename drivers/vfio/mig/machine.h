/* SPDX-License-Identifier: GPL-2.0-only */
/* The state machine behind both front ends */
#ifndef VFIO_MIG_MACHINE_H
#define VFIO_MIG_MACHINE_H

#include "mig.h"

/* The device is stopped in a save, so the control state can be saved. */
static inline bool vfio_mig_stopped(const struct vfio_mig *mig)
{
	return mig->state == VFIO_MIG_STOP_COPY;
}

int vfio_mig_enter(struct vfio_mig *mig, enum vfio_mig_state to,
		   enum vfio_mig_state target, enum vfio_mig_owner owner);
void vfio_mig_machine_start(struct vfio_mig *mig);
void vfio_mig_machine_was_reset(struct vfio_mig *mig);
int vfio_mig_machine_rest(struct vfio_mig *mig);
void vfio_mig_machine_fail(struct vfio_mig *mig);

#endif /* VFIO_MIG_MACHINE_H */
