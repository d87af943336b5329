/* SPDX-License-Identifier: GPL-2.0-only */
/* DMA logging: which pages of guest memory the device wrote */
#ifndef VFIO_MIG_LOG_H
#define VFIO_MIG_LOG_H

#include <linux/rwsem.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct vfio_mig;
struct vfio_mig_log_range;

/**
 * struct vfio_mig_log - pages that DMA wrote since they were last reported
 * @on: logging was started; also looked at without @lock
 * @lock: held for writing to start and stop, for reading to note and to report
 * @pages: the pages, BITS_PER_XA_VALUE to an entry
 * @ranges: what is to be logged
 * @nr_ranges: how many there are
 */
struct vfio_mig_log {
	bool on;
	struct rw_semaphore lock;
	struct xarray pages;
	struct vfio_mig_log_range *ranges;
	u32 nr_ranges;
};

void vfio_mig_log_init(struct vfio_mig *mig);
void vfio_mig_log_end(struct vfio_mig *mig);

#endif /* VFIO_MIG_LOG_H */
