/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VFIO device, opened by its sysfs path: through group and container or, with
 * VFIO_MIG_OPEN=cdev in the environment, through its own file and iommufd.
 *
 * Every verb returns 0 (or a count) or a negative errno, so that a test can
 * compare with the errno that a rule names.
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
	const struct opener *opener;	/* the way in which it was opened */
	int fd;
	int container;			/* through a group; else -1 */
	int group;
	int iommufd;			/* through its own file; else -1 */
	__u32 ioas;			/* its address space there */
	char path[PATH_MAX];		/* as it was opened, in sysfs */
	struct vfio_device_info info;
};

#define REGION_AREAS_MAX	8

struct region {
	struct device *dev;
	__u32 index;
	__u32 flags;			/* VFIO_REGION_INFO_FLAG_* */
	__u64 size;
	__u64 offset;			/* in the device's file */
	__u32 type;			/* of the type capability, else 0 */
	__u32 subtype;
	int sparse;			/* is there a sparse-mmap capability? */
	__u32 nr_areas;			/* of it, the first REGION_AREAS_MAX kept */
	struct vfio_region_sparse_mmap_area areas[REGION_AREAS_MAX];
};

int device_open(struct device *dev, const char *path);
const char *device_missing(const char *path);
void device_close(struct device *dev);
int device_reset(struct device *dev);

long long device_counter(struct device *dev, const char *name);

int device_map(struct device *dev, void *vaddr, __u64 iova, size_t size);
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
