// SPDX-License-Identifier: GPL-2.0-only
/* Opens a device through its group, in a new container. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "opener.h"

/* Returns the number of the device's IOMMU group, or a negative errno. */
static int group_number(const char *path)
{
	char link[PATH_MAX], target[PATH_MAX];
	ssize_t len;

	if (snprintf(link, sizeof(link), "%s/iommu_group", path) >=
	    (int)sizeof(link))
		return -ENAMETOOLONG;
	len = readlink(link, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	return atoi(basename(target));
}

static int open_group(struct device *dev)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char name[64];
	int nr;

	nr = group_number(dev->path);
	if (nr < 0)
		return nr;
	snprintf(name, sizeof(name), "/dev/vfio/%d", nr);
	dev->group = open(name, O_RDWR | O_CLOEXEC);
	if (dev->group < 0)
		return -errno;
	if (ioctl(dev->group, VFIO_GROUP_GET_STATUS, &status))
		return -errno;
	return status.flags & VFIO_GROUP_FLAGS_VIABLE ? 0 : -EPERM;
}

static int open_container(struct device *dev)
{
	dev->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (dev->container < 0)
		return -errno;
	if (ioctl(dev->group, VFIO_GROUP_SET_CONTAINER, &dev->container))
		return -errno;
	if (ioctl(dev->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -errno;
	return 0;
}

static int open_device(struct device *dev)
{
	char path[PATH_MAX], real[PATH_MAX];

	if (!realpath(dev->path, real))
		return -errno;
	snprintf(path, sizeof(path), "%s", basename(real));
	dev->fd = ioctl(dev->group, VFIO_GROUP_GET_DEVICE_FD, path);
	return dev->fd < 0 ? -errno : 0;
}

static int group_open(struct device *dev)
{
	int ret;

	ret = open_group(dev);
	if (!ret)
		ret = open_container(dev);
	if (!ret)
		ret = open_device(dev);
	return ret;
}

/* All supported kernels have groups, so a lack of them is an error of the open. */
static const char *group_missing(const char *path)
{
	(void)path;
	return NULL;
}

static int group_map(struct device *dev, void *vaddr, __u64 iova, size_t size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (__u64)(unsigned long)vaddr,
		.iova = iova,
		.size = size,
	};

	return ioctl(dev->container, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

static int group_unmap(struct device *dev, __u64 iova, size_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};

	return ioctl(dev->container, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -errno : 0;
}

const struct opener group_opener = {
	.name = "group",
	.open = group_open,
	.missing = group_missing,
	.map = group_map,
	.unmap = group_unmap,
};
