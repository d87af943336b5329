// SPDX-License-Identifier: GPL-2.0-only
/* One function for each of VFIO_DEVICE_FEATURE_DMA_LOGGING_* */
#include <stdio.h>
#include <string.h>

#include "dma_log.h"

/* Returns whether the kernel has iova_bitmap, without which no device can log its DMA. */
int dma_log_in_kernel(void)
{
	char line[512];
	int found = 0;
	FILE *f;

	f = fopen("/proc/kallsyms", "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = !!strstr(line, " iova_bitmap_set");
	if (f)
		fclose(f);
	return found;
}

/* Returns 0 if the device offers DMA logging. -ENOTTY also if the kernel has no iova_bitmap. */
int dma_log_probe(struct v2 *v2)
{
	return v2_feature(v2, VFIO_DEVICE_FEATURE_PROBE |
			  VFIO_DEVICE_FEATURE_SET |
			  VFIO_DEVICE_FEATURE_DMA_LOGGING_START, NULL, 0);
}

int dma_log_start(struct v2 *v2,
		  struct vfio_device_feature_dma_logging_range *ranges, __u32 nr,
		  __u64 page_size)
{
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = page_size,
		.num_ranges = nr,
		.ranges = (__u64)(unsigned long)ranges,
	};

	return v2_feature(v2, VFIO_DEVICE_FEATURE_SET |
			  VFIO_DEVICE_FEATURE_DMA_LOGGING_START, &control,
			  sizeof(control));
}

/* Starts logging of pages @first to @first + @nr - 1 of the guest's memory. */
int dma_log_pages(struct v2 *v2, const struct guest *guest, __u64 first,
		  __u64 nr)
{
	struct vfio_device_feature_dma_logging_range range = {
		.iova = guest->iova + first * GUEST_PAGE,
		.length = nr * GUEST_PAGE,
	};

	return dma_log_start(v2, &range, 1, GUEST_PAGE);
}

int dma_log_stop(struct v2 *v2)
{
	return v2_feature(v2, VFIO_DEVICE_FEATURE_SET |
			  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0);
}

/* Sets the bit of each dirty page in @bitmap. Other bits keep their value. */
int dma_log_report(struct v2 *v2, __u64 iova, __u64 length, __u64 page_size,
		   __u64 *bitmap)
{
	struct vfio_device_feature_dma_logging_report report = {
		.iova = iova,
		.length = length,
		.page_size = page_size,
		.bitmap = (__u64)(unsigned long)bitmap,
	};

	return v2_feature(v2, VFIO_DEVICE_FEATURE_GET |
			  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, &report,
			  sizeof(report));
}
