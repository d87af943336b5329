/* SPDX-License-Identifier: GPL-2.0-only */
/* The v2 front end: states */
#ifndef VFIO_MIG_V2_H
#define VFIO_MIG_V2_H

struct vfio_mig;

void vfio_mig_v2_offer(struct vfio_mig *mig);

#endif /* VFIO_MIG_V2_H */
