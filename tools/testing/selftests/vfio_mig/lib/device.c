// SPDX-License-Identifier: GPL-2.0-only
/* Opening a VFIO device, its DMA mappings and its interrupts. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "device.h"

/* The number of the IOMMU group that the device is in, or a negative errno. */
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

static int group_open(struct device *dev)
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

static int container_open(struct device *dev)
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

static int device_fd(struct device *dev)
{
	char path[PATH_MAX], real[PATH_MAX];

	if (!realpath(dev->path, real))
		return -errno;
	snprintf(path, sizeof(path), "%s", basename(real));
	dev->fd = ioctl(dev->group, VFIO_GROUP_GET_DEVICE_FD, path);
	if (dev->fd < 0)
		return -errno;
	dev->info.argsz = sizeof(dev->info);
	if (ioctl(dev->fd, VFIO_DEVICE_GET_INFO, &dev->info))
		return -errno;
	return 0;
}

int device_open(struct device *dev, const char *path)
{
	int ret;

	memset(dev, 0, sizeof(*dev));
	dev->container = -1;
	dev->group = -1;
	dev->fd = -1;
	if (snprintf(dev->path, sizeof(dev->path), "%s", path) >=
	    (int)sizeof(dev->path))
		return -ENAMETOOLONG;

	ret = group_open(dev);
	if (!ret)
		ret = container_open(dev);
	if (!ret)
		ret = device_fd(dev);
	if (ret)
		device_close(dev);
	return ret;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void device_close(struct device *dev)
{
	close_fd(&dev->fd);
	close_fd(&dev->group);
	close_fd(&dev->container);
}

int device_reset(struct device *dev)
{
	return ioctl(dev->fd, VFIO_DEVICE_RESET) ? -errno : 0;
}

int device_map(struct device *dev, void *vaddr, __u64 iova, size_t size)
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

int device_unmap(struct device *dev, __u64 iova, size_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};

	return ioctl(dev->container, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -errno : 0;
}

int device_irq_count(struct device *dev, __u32 index)
{
	struct vfio_irq_info info = {
		.argsz = sizeof(info),
		.index = index,
	};

	if (ioctl(dev->fd, VFIO_DEVICE_GET_IRQ_INFO, &info))
		return -errno;
	return info.count;
}

int device_irq_eventfds(struct device *dev, __u32 index, const int *fds,
			__u32 nr)
{
	size_t size = sizeof(struct vfio_irq_set) + nr * sizeof(*fds);
	struct vfio_irq_set *set;
	int ret;

	set = calloc(1, size);
	if (!set)
		return -ENOMEM;
	set->argsz = size;
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = index;
	set->count = nr;
	memcpy(set->data, fds, nr * sizeof(*fds));
	ret = ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, set) ? -errno : 0;
	free(set);
	return ret;
}

int device_irq_disable(struct device *dev, __u32 index)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
	};

	return ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, &set) ? -errno : 0;
}

/* A number in the device's sysfs folder, or -ENOENT. */
long long device_counter(struct device *dev, const char *name)
{
	char path[PATH_MAX + 64], text[32] = "";
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dev->path, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	return len > 0 ? atoll(text) : -EIO;
}
