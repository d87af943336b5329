// SPDX-License-Identifier: GPL-2.0-only
/* Opens a VFIO device, maps its DMA and sets up its interrupts. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "opener.h"

/* Finds the opener that VFIO_MIG_OPEN names. NULL if there is no such opener. */
static const struct opener *find_opener(void)
{
	const char *name = getenv("VFIO_MIG_OPEN");

	if (!name || !strcmp(name, group_opener.name))
		return &group_opener;
	if (!strcmp(name, cdev_opener.name))
		return &cdev_opener;
	fprintf(stderr, "VFIO_MIG_OPEN=%s: neither \"%s\" nor \"%s\"\n", name,
		group_opener.name, cdev_opener.name);
	return NULL;
}

/* Returns the reason why the opener of VFIO_MIG_OPEN cannot open the device, or NULL. */
const char *device_missing(const char *path)
{
	const struct opener *opener = find_opener();

	return opener ? opener->missing(path) : NULL;
}

static int get_info(struct device *dev)
{
	dev->info.argsz = sizeof(dev->info);
	return ioctl(dev->fd, VFIO_DEVICE_GET_INFO, &dev->info) ? -errno : 0;
}

int device_open(struct device *dev, const char *path)
{
	int ret;

	memset(dev, 0, sizeof(*dev));
	dev->fd = -1;
	dev->container = -1;
	dev->group = -1;
	dev->iommufd = -1;
	dev->opener = find_opener();
	if (!dev->opener)
		return -EINVAL;
	if (snprintf(dev->path, sizeof(dev->path), "%s", path) >=
	    (int)sizeof(dev->path))
		return -ENAMETOOLONG;

	ret = dev->opener->open(dev);
	if (!ret)
		ret = get_info(dev);
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
	close_fd(&dev->iommufd);
}

int device_reset(struct device *dev)
{
	return ioctl(dev->fd, VFIO_DEVICE_RESET) ? -errno : 0;
}

int device_map(struct device *dev, void *vaddr, __u64 iova, size_t size)
{
	return dev->opener->map(dev, vaddr, iova, size);
}

/* -ENOTTY: there is no iommufd, or the kernel is older than 6.14. */
int device_map_file(struct device *dev, int fd, __u64 iova, size_t size)
{
	if (!dev->opener->map_file)
		return -ENOTTY;
	return dev->opener->map_file(dev, fd, iova, size);
}

int device_unmap(struct device *dev, __u64 iova, size_t size)
{
	return dev->opener->unmap(dev, iova, size);
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

/* Reads a number from the device's directory in sysfs, or returns -ENOENT. */
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
