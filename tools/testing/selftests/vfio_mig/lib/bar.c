// SPDX-License-Identifier: GPL-2.0-only
/* BARs that are memory, which a user can map. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "bar.h"

/* The first that has @size bytes or more, or -ENOENT. */
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
 * Pages of zeros take no room in a stream. So what is to be known of a stream's size is
 * known only after this, of a device whose memory is always there. A device without such
 * a BAR is left as it is.
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
