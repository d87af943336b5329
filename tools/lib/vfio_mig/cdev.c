// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opens a device through its character device /dev/vfio/devices/vfioN, and binds it to a
 * new iommufd. Linux 6.6 added this.
 *
 * This file defines the new parts of the uapi itself, so that the tests build with older
 * headers. cdev_missing() finds out whether the running kernel has them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "opener.h"

#define IOMMU	"/dev/iommu"
#define DEVICES	"/dev/vfio/devices"

#define BIND_IOMMUFD	_IO(VFIO_TYPE, VFIO_BASE + 18)
#define ATTACH_PT	_IO(VFIO_TYPE, VFIO_BASE + 19)

/* struct vfio_device_bind_iommufd as in 6.6; later versions are longer. */
struct bind_iommufd {
	__u32 argsz;
	__u32 flags;
	__s32 iommufd;
	__u32 out_devid;
};

/* struct vfio_device_attach_iommufd_pt */
struct attach_pt {
	__u32 argsz;
	__u32 flags;
	__u32 pt_id;
};

#define IOAS_ALLOC	_IO(';', 0x81)
#define IOAS_MAP	_IO(';', 0x85)
#define IOAS_UNMAP	_IO(';', 0x86)
#define IOAS_MAP_FILE	_IO(';', 0x8f)

/* struct iommu_ioas_alloc, _map, _map_file and _unmap, and the flags for both kinds of _map */
struct ioas_alloc {
	__u32 size;
	__u32 flags;
	__u32 out_ioas_id;
};

#define MAP_FIXED_IOVA	(1 << 0)
#define MAP_WRITEABLE	(1 << 1)
#define MAP_READABLE	(1 << 2)

struct ioas_map {
	__u32 size;
	__u32 flags;
	__u32 ioas_id;
	__u32 reserved;
	__aligned_u64 user_va;
	__aligned_u64 length;
	__aligned_u64 iova;
};

struct ioas_map_file {
	__u32 size;
	__u32 flags;
	__u32 ioas_id;
	__s32 fd;
	__aligned_u64 start;
	__aligned_u64 length;
	__aligned_u64 iova;
};

struct ioas_unmap {
	__u32 size;
	__u32 ioas_id;
	__aligned_u64 iova;
	__aligned_u64 length;
};

/* glob() would not report why it cannot read the directory. */
static int cdev_name(const char *path, char *name, size_t size)
{
	char folder[PATH_MAX];
	struct dirent *entry;
	int ret;
	DIR *dir;

	if (snprintf(folder, sizeof(folder), "%s/vfio-dev", path) >=
	    (int)sizeof(folder))
		return -ENAMETOOLONG;
	dir = opendir(folder);
	if (!dir)
		return -errno;
	do {
		errno = 0;
		entry = readdir(dir);
	} while (entry && strncmp(entry->d_name, "vfio", 4));
	ret = entry ? 0 : errno ? -errno : -ENOENT;
	if (entry)
		snprintf(name, size, DEVICES "/%s", entry->d_name);
	closedir(dir);
	return ret;
}

static const char *cdev_missing(const char *path)
{
	char name[PATH_MAX];

	if (access(IOMMU, F_OK))
		return "the kernel has no iommufd: there is no " IOMMU;
	if (cdev_name(path, name, sizeof(name)) || access(name, F_OK))
		return "the kernel has no device file for it in " DEVICES;
	return NULL;
}

static int bind_iommufd(struct device *dev)
{
	struct bind_iommufd bind = { .argsz = sizeof(bind) };

	dev->iommufd = open(IOMMU, O_RDWR | O_CLOEXEC);
	if (dev->iommufd < 0)
		return -errno;
	bind.iommufd = dev->iommufd;
	return ioctl(dev->fd, BIND_IOMMUFD, &bind) ? -errno : 0;
}

/* An emulated device attaches to the IOAS itself, because it has no page table. */
static int attach_ioas(struct device *dev)
{
	struct ioas_alloc alloc = { .size = sizeof(alloc) };
	struct attach_pt attach = { .argsz = sizeof(attach) };

	if (ioctl(dev->iommufd, IOAS_ALLOC, &alloc))
		return -errno;
	dev->ioas = alloc.out_ioas_id;
	attach.pt_id = dev->ioas;
	return ioctl(dev->fd, ATTACH_PT, &attach) ? -errno : 0;
}

static int cdev_open(struct device *dev)
{
	char name[PATH_MAX];
	int ret;

	ret = cdev_name(dev->path, name, sizeof(name));
	if (ret)
		return ret;
	dev->fd = open(name, O_RDWR | O_CLOEXEC);
	if (dev->fd < 0)
		return -errno;
	ret = bind_iommufd(dev);
	return ret ? ret : attach_ioas(dev);
}

static int cdev_map(struct device *dev, void *vaddr, __u64 iova, size_t size)
{
	struct ioas_map map = {
		.size = sizeof(map),
		.flags = MAP_FIXED_IOVA | MAP_WRITEABLE | MAP_READABLE,
		.ioas_id = dev->ioas,
		.user_va = (__u64)(unsigned long)vaddr,
		.length = size,
		.iova = iova,
	};

	return ioctl(dev->iommufd, IOAS_MAP, &map) ? -errno : 0;
}

static int cdev_map_file(struct device *dev, int fd, __u64 iova, size_t size)
{
	struct ioas_map_file map = {
		.size = sizeof(map),
		.flags = MAP_FIXED_IOVA | MAP_WRITEABLE | MAP_READABLE,
		.ioas_id = dev->ioas,
		.fd = fd,
		.length = size,
		.iova = iova,
	};

	return ioctl(dev->iommufd, IOAS_MAP_FILE, &map) ? -errno : 0;
}

static int cdev_unmap(struct device *dev, __u64 iova, size_t size)
{
	struct ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = dev->ioas,
		.iova = iova,
		.length = size,
	};

	return ioctl(dev->iommufd, IOAS_UNMAP, &unmap) ? -errno : 0;
}

const struct opener cdev_opener = {
	.name = "cdev",
	.open = cdev_open,
	.missing = cdev_missing,
	.map = cdev_map,
	.map_file = cdev_map_file,
	.unmap = cdev_unmap,
};
