/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VFIO device that is opened by its sysfs path. With VFIO_MIG_OPEN=cdev in the
 * environment it is opened through its character device and an iommufd, else through its
 * group and a container.
 *
 * Each function returns 0 (or a count) or a negative errno, so that a test can compare the
 * errno with the specified one.
 */
#ifndef VFIO_MIG_LIB_DEVICE_H
#define VFIO_MIG_LIB_DEVICE_H

#include <limits.h>
#include <linux/types.h>
#include <linux/vfio.h>
#include <stddef.h>
#include <sys/types.h>

struct opener;

struct device {
	const struct opener *opener;	/* that opened it */
	int fd;
	int container;			/* -1 if not opened through a group */
	int group;
	int iommufd;			/* -1 if not opened through its character device */
	__u32 ioas;			/* address space in the iommufd */
	char path[PATH_MAX];		/* in sysfs, as the caller spelled it */
	struct vfio_device_info info;
};

#define REGION_AREAS_MAX	8

struct region {
	struct device *dev;
	__u32 index;
	__u32 flags;			/* VFIO_REGION_INFO_FLAG_* */
	__u64 size;
	__u64 offset;			/* offset in the device's file */
	__u32 type;			/* from the type capability, 0 without one */
	__u32 subtype;
	int sparse;			/* whether there is a sparse-mmap capability */
	__u32 nr_areas;			/* in the capability; @areas has the first of them */
	struct vfio_region_sparse_mmap_area areas[REGION_AREAS_MAX];
};

int device_open(struct device *dev, const char *path);
const char *device_missing(const char *path);
void device_close(struct device *dev);
int device_reset(struct device *dev);

long long device_counter(struct device *dev, const char *name);

int device_map(struct device *dev, void *vaddr, __u64 iova, size_t size);
int device_map_file(struct device *dev, int fd, __u64 iova, size_t size);
int device_unmap(struct device *dev, __u64 iova, size_t size);

int device_irq_count(struct device *dev, __u32 index);
int device_irq_eventfds(struct device *dev, __u32 index, const int *fds,
			__u32 nr);
int device_irq_disable(struct device *dev, __u32 index);

int region_open(struct region *r, struct device *dev, __u32 index);
int region_find(struct region *r, struct device *dev, __u32 type,
		__u32 subtype);
ssize_t region_read(struct region *r, __u64 at, void *buf, size_t len);
ssize_t region_write(struct region *r, __u64 at, const void *buf, size_t len);
int region_read_all(struct region *r, __u64 at, void *buf, size_t len);
int region_write_all(struct region *r, __u64 at, const void *buf, size_t len);
int region_mmap(struct region *r, __u64 at, size_t len, int prot, int flags,
		void **map);

#endif /* VFIO_MIG_LIB_DEVICE_H */
