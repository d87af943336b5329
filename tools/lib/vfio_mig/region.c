// SPDX-License-Identifier: GPL-2.0-only
/* Describes, reads, writes and maps the regions of a device. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device.h"

static void parse_type(struct region *r, const void *cap, size_t room)
{
	const struct vfio_region_info_cap_type *type = cap;

	if (room < sizeof(*type))
		return;
	r->type = type->type;
	r->subtype = type->subtype;
}

static void parse_sparse(struct region *r, const void *cap, size_t room)
{
	const struct vfio_region_info_cap_sparse_mmap *sparse = cap;
	__u32 i;

	if (room < sizeof(*sparse) ||
	    (room - sizeof(*sparse)) / sizeof(sparse->areas[0]) <
	    sparse->nr_areas)
		return;
	r->sparse = 1;
	r->nr_areas = sparse->nr_areas;
	for (i = 0; i < sparse->nr_areas && i < REGION_AREAS_MAX; i++)
		r->areas[i] = sparse->areas[i];
}

static int parse_caps(struct region *r, const struct vfio_region_info *info)
{
	const struct vfio_info_cap_header *cap;
	__u32 at, left = info->argsz / sizeof(*cap);
	size_t room;

	if (!(info->flags & VFIO_REGION_INFO_FLAG_CAPS))
		return 0;
	for (at = info->cap_offset; at; at = cap->next) {
		/* "left" ends a chain of capabilities that is a cycle. */
		if (at > info->argsz - sizeof(*cap) || !left--)
			return -EBADMSG;
		cap = (const void *)info + at;
		room = info->argsz - at;
		if (cap->id == VFIO_REGION_INFO_CAP_TYPE)
			parse_type(r, cap, room);
		else if (cap->id == VFIO_REGION_INFO_CAP_SPARSE_MMAP)
			parse_sparse(r, cap, room);
	}
	return 0;
}

int region_open(struct region *r, struct device *dev, __u32 index)
{
	struct vfio_region_info *info, *bigger;
	__u32 argsz = sizeof(*info);
	int ret = 0;

	memset(r, 0, sizeof(*r));
	r->dev = dev;
	r->index = index;

	info = calloc(1, argsz);
	if (!info)
		return -ENOMEM;
	for (;;) {
		info->argsz = argsz;
		info->index = index;
		if (ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, info)) {
			ret = -errno;
			break;
		}
		if (info->argsz <= argsz) {
			info->argsz = argsz;
			ret = parse_caps(r, info);
			break;
		}
		argsz = info->argsz;
		bigger = calloc(1, argsz);
		free(info);
		info = bigger;
		if (!info)
			return -ENOMEM;
	}
	r->flags = info->flags;
	r->size = info->size;
	r->offset = info->offset;
	free(info);
	return ret;
}

int region_find(struct region *r, struct device *dev, __u32 type,
		__u32 subtype)
{
	__u32 i;

	for (i = 0; i < dev->info.num_regions; i++) {
		if (region_open(r, dev, i))
			continue;
		if (r->type == type && r->subtype == subtype)
			return 0;
	}
	return -ENOENT;
}

ssize_t region_read(struct region *r, __u64 at, void *buf, size_t len)
{
	ssize_t ret = pread(r->dev->fd, buf, len, r->offset + at);

	return ret < 0 ? -errno : ret;
}

ssize_t region_write(struct region *r, __u64 at, const void *buf, size_t len)
{
	ssize_t ret = pwrite(r->dev->fd, buf, len, r->offset + at);

	return ret < 0 ? -errno : ret;
}

/* A short transfer is an error, because a register is read completely or not at all. */
int region_read_all(struct region *r, __u64 at, void *buf, size_t len)
{
	ssize_t ret = region_read(r, at, buf, len);

	return ret < 0 ? ret : (size_t)ret == len ? 0 : -EMSGSIZE;
}

int region_write_all(struct region *r, __u64 at, const void *buf, size_t len)
{
	ssize_t ret = region_write(r, at, buf, len);

	return ret < 0 ? ret : (size_t)ret == len ? 0 : -EMSGSIZE;
}

int region_mmap(struct region *r, __u64 at, size_t len, int prot, int flags,
		void **map)
{
	void *ret = mmap(NULL, len, prot, flags, r->dev->fd, r->offset + at);

	*map = ret == MAP_FAILED ? NULL : ret;
	return *map ? 0 : -errno;
}
