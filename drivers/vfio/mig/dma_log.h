/* SPDX-License-Identifier: GPL-2.0-only */
/* DMA logging: a log of the guest pages that the device wrote */
#ifndef VFIO_MIG_DMA_LOG_H
#define VFIO_MIG_DMA_LOG_H

#include <linux/rwsem.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct mem_cgroup;
struct vfio_mig;
struct vfio_mig_log_range;

/**
 * struct vfio_mig_log - pages that DMA wrote since they were last reported
 * @on: logging was started; also read without @lock
 * @lock: held for writing to start and stop, and for reading to log and to report
 * @pages: a bit for each page, BITS_PER_XA_VALUE bits in each value entry
 * @ranges: ranges that are logged
 * @nr_ranges: number of ranges
 * @memcg: memory control group of the user who started the log, which is charged
 */
struct vfio_mig_log {
	bool on;
	struct rw_semaphore lock;
	struct xarray *pages;
	struct vfio_mig_log_range *ranges;
	u32 nr_ranges;
	struct mem_cgroup *memcg;
};

void vfio_mig_log_init(struct vfio_mig *mig);
void vfio_mig_log_write(struct vfio_mig *mig, dma_addr_t iova, size_t len);
void vfio_mig_log_end(struct vfio_mig *mig);

#endif /* VFIO_MIG_DMA_LOG_H */
