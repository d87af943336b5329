/* SPDX-License-Identifier: GPL-2.0-only */
/* The v1 front end: functions for the state machine */
#ifndef VFIO_MIG_REGION_H
#define VFIO_MIG_REGION_H

struct vfio_mig;

int vfio_mig_region_begin(struct vfio_mig *mig);
void vfio_mig_region_end(struct vfio_mig *mig);

#endif /* VFIO_MIG_REGION_H */
