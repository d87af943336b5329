/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guest memory, which devices access by DMA. It keeps its address when another device takes
 * the place of the first one in a migration.
 */
#ifndef VFIO_MIG_LIB_GUEST_H
#define VFIO_MIG_LIB_GUEST_H

#include <linux/types.h>
#include <stddef.h>

#include "device.h"

#define GUEST_PAGE	4096UL

struct guest {
	unsigned char *mem;
	size_t size;
	size_t used;
	__u64 iova;		/* of the first byte */
};

int guest_create(struct guest *g, size_t size);
void guest_destroy(struct guest *g);
int guest_attach(struct guest *g, struct device *dev);
int guest_detach(struct guest *g, struct device *dev);

void *guest_alloc(struct guest *g, size_t size);
__u64 guest_iova(const struct guest *g, const void *at);
__u64 guest_sum(const struct guest *g);

#endif /* VFIO_MIG_LIB_GUEST_H */
