/* SPDX-License-Identifier: GPL-2.0-only */
/* Two mscratch devices */
#ifndef VFIO_MIG_LIB_SCRATCH_H
#define VFIO_MIG_LIB_SCRATCH_H

#include "mdev.h"

void scratch_create(struct mdev mdev[2], long window_kib);

#endif /* VFIO_MIG_LIB_SCRATCH_H */
