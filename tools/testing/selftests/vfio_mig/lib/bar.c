// SPDX-License-Identifier: GPL-2.0-only
/* BARs that consist of memory and that a user can map */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "bar.h"

/* Finds the first such BAR of @size bytes or more. Returns 0 or -ENOENT. */
int bar_find(struct region *r, struct device *dev, size_t size)
{
	unsigned int i;

	for (i = 0; i < VFIO_PCI_ROM_REGION_INDEX; i++)
		if (!region_open(r, dev, i) && r->size >= size && !r->sparse &&
		    r->flags & VFIO_REGION_INFO_FLAG_MMAP)
			return 0;
	return -ENOENT;
}

/*
 * Fills all BARs that consist of memory. A stream has no data of pages of zeros, so a test
 * of a stream's size does this first. A device without such a BAR stays as it is.
 */
int bar_fill(struct device *dev, int byte)
{
	struct region r;
	void *map;
	int ret;

	if (bar_find(&r, dev, 0x10000))
		return 0;
	ret = region_mmap(&r, 0, r.size, PROT_READ | PROT_WRITE, MAP_SHARED, &map);
	if (ret)
		return ret;
	memset(map, byte, r.size);
	munmap(map, r.size);
	return 0;
}
