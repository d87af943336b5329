// SPDX-License-Identifier: GPL-2.0-only
/* Guest memory, which devices access by DMA */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "guest.h"

/* Not 0, so that DMA to address 0 fails. */
#define GUEST_IOVA	0x10000000UL

int guest_create(struct guest *g, size_t size)
{
	memset(g, 0, sizeof(*g));
	g->mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (g->mem == MAP_FAILED)
		return -errno;
	g->size = size;
	g->iova = GUEST_IOVA;
	return 0;
}

void guest_destroy(struct guest *g)
{
	if (g->size)
		munmap(g->mem, g->size);
	memset(g, 0, sizeof(*g));
}

int guest_attach(struct guest *g, struct device *dev)
{
	return device_map(dev, g->mem, g->iova, g->size);
}

int guest_detach(struct guest *g, struct device *dev)
{
	return device_unmap(dev, g->iova, g->size);
}

/* Allocates whole pages, which are never freed. A lack of pages ends the test. */
void *guest_alloc(struct guest *g, size_t size)
{
	void *at = g->mem + g->used;

	size = (size + GUEST_PAGE - 1) & ~(GUEST_PAGE - 1);
	if (size > g->size - g->used)
		abort();
	g->used += size;
	return at;
}

__u64 guest_iova(const struct guest *g, const void *at)
{
	return g->iova + ((const unsigned char *)at - g->mem);
}

/* A checksum, to find out whether a byte has changed */
__u64 guest_sum(const struct guest *g)
{
	return XXH64(g->mem, g->used, 0);
}
