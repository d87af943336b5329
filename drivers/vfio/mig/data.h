/* SPDX-License-Identifier: GPL-2.0-only */
/* The v2 front end: the data file descriptor */
#ifndef VFIO_MIG_DATA_H
#define VFIO_MIG_DATA_H

#include <linux/types.h>

struct file;
struct vfio_mig;

int vfio_mig_data_begin(struct vfio_mig *mig);
void vfio_mig_data_end(struct vfio_mig *mig);
struct file *vfio_mig_data_take_file(struct vfio_mig *mig, int err);
size_t vfio_mig_data_in_hand(struct vfio_mig *mig);
void vfio_mig_data_wake(struct vfio_mig *mig);

#endif /* VFIO_MIG_DATA_H */
