/* SPDX-License-Identifier: GPL-2.0-only */
/* VFIO_DEVICE_FEATURE_DMA_LOGGING_*: pages of the user's memory that a device wrote */
#ifndef VFIO_MIG_LIB_DMA_LOG_H
#define VFIO_MIG_LIB_DMA_LOG_H

#include "guest.h"
#include "v2.h"

int dma_log_in_kernel(void);
int dma_log_probe(struct v2 *v2);
int dma_log_start(struct v2 *v2,
		  struct vfio_device_feature_dma_logging_range *ranges, __u32 nr,
		  __u64 page_size);
int dma_log_pages(struct v2 *v2, const struct guest *guest, __u64 first,
		  __u64 nr);
int dma_log_stop(struct v2 *v2);
int dma_log_report(struct v2 *v2, __u64 iova, __u64 length, __u64 page_size,
		   __u64 *bitmap);

#endif /* VFIO_MIG_LIB_DMA_LOG_H */
