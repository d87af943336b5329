/* SPDX-License-Identifier: GPL-2.0-only */
/* The load side: a stream that nobody vouches for, made into a state */
#ifndef VFIO_MIG_LOAD_H
#define VFIO_MIG_LOAD_H

#include <linux/uio.h>

struct vfio_mig;

int vfio_mig_load_begin(struct vfio_mig *mig);
void vfio_mig_load_end(struct vfio_mig *mig);
int vfio_mig_load_feed(struct vfio_mig *mig, struct iov_iter *from);
int vfio_mig_load_apply(struct vfio_mig *mig);
int vfio_mig_load_error(struct vfio_mig *mig);

#endif /* VFIO_MIG_LOAD_H */
