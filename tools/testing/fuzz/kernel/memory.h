/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Allocations, pages, arrays of pages and iterators over user memory. Each
 * allocation is one of malloc()'s, so that the address sanitizer watches it.
 */
#ifndef FUZZ_KERNEL_MEMORY_H
#define FUZZ_KERNEL_MEMORY_H

#include "basics.h"

#define GFP_KERNEL		0u
#define GFP_KERNEL_ACCOUNT	1u
#define __GFP_ZERO		2u
#define __GFP_RETRY_MAYFAIL	4u
#define __GFP_NOWARN		8u
#define __GFP_ACCOUNT		16u
#define GFP_NOWAIT		0u

#define PAGE_SHIFT		12
#define PAGE_SIZE		4096UL

/* For the fuzz targets: the number of the allocation that fails, from 1, or 0 for none */
extern unsigned int fail_nth;

void *kernel_alloc(size_t size, bool zero);

#define kmalloc(size, gfp)		kernel_alloc(size, false)
#define kzalloc(size, gfp)		kernel_alloc(size, true)
#define kvmalloc(size, gfp)		kernel_alloc(size, false)
#define kvzalloc(size, gfp)		kernel_alloc(size, true)
#define kmalloc_array(n, size, gfp)	kernel_alloc((n) * (size), false)
#define kvmalloc_array(n, size, gfp)	kernel_alloc((n) * (size), false)
#define kfree(p)			free(p)
#define kvfree(p)			free((void *)(p))

struct mem_cgroup;
struct mm_struct {
	int unused;
};

#define set_active_memcg(m)		((void)(m), (struct mem_cgroup *)NULL)
#define get_mem_cgroup_from_mm(m)	((void)(m), (struct mem_cgroup *)NULL)
#define mem_cgroup_put(m)		((void)(m))

/* For the fuzz targets: pages that were allocated, and are freed, in one piece */
struct page_block {
	unsigned int live;
	struct page *first;
	void *data;
};

struct page {
	unsigned long private;
	int count;
	void *data;
	struct page_block *block;
};

struct page *alloc_page(gfp_t gfp);
struct page *alloc_pages(gfp_t gfp, unsigned int order);
#define split_page(page, order)	((void)(page), (void)(order))
void put_page(struct page *page);
struct page *kernel_zero_page(void);

#define page_address(p)		((p)->data)
#define page_count(p)		((p)->count)
#define get_page(p)		((void)(p)->count++)
#define page_private(p)		((p)->private)
#define set_page_private(p, v)	((void)((p)->private = (v)))
#define copy_page(to, from)	memcpy(to, from, PAGE_SIZE)
#define ZERO_PAGE(address)	kernel_zero_page()

/* All indexes that the sources store are small, and this is checked. */
#define XARRAY_MAX		BIT(20)
#define XA_FLAGS_ACCOUNT	0

struct xarray {
	void **entry;
	unsigned long size;
};

void xa_init_flags(struct xarray *xa, unsigned int flags);
void xa_destroy(struct xarray *xa);
void *xa_load(struct xarray *xa, unsigned long index);
void *xa_erase(struct xarray *xa, unsigned long index);
void *xa_cmpxchg(struct xarray *xa, unsigned long index, void *old, void *new,
		 gfp_t gfp);
/* For the fuzz targets: returns the next entry at or after *@index. */
void *xa_next_at(struct xarray *xa, unsigned long *index, unsigned long last);

struct xa_state {
	struct xarray *xa;
	unsigned long xa_index;
};

#define XA_STATE(name, array, index)					\
	struct xa_state name = { .xa = (array), .xa_index = (index) }
#define xas_for_each(xas, p, last)					\
	for (; ((p) = xa_next_at((xas)->xa, &(xas)->xa_index, (last)));	\
	     (xas)->xa_index++)
#define xas_retry(xas, p)	((void)(xas), (void)(p), false)
#define xas_pause(xas)		((void)(xas))
#define xas_set(xas, index)	((void)(index))
#define xas_lock(xas)		((void)(xas))
#define xas_unlock(xas)		((void)(xas))
#define xas_load(xas)		xa_load((xas)->xa, (xas)->xa_index)
#define xas_next(xas)		((xas)->xa_index++, xas_load(xas))
/* Replaces an existing entry only. */
#define xas_store(xas, p)	((void)((xas)->xa->entry[(xas)->xa_index] = (p)))

static inline bool xa_empty(struct xarray *xa)
{
	unsigned long i = 0;

	return !xa_next_at(xa, &i, ULONG_MAX);
}

#define xa_is_err(p)		IS_ERR(p)
#define xa_err(p)		PTR_ERR(p)
#define xa_for_each_range(xa, i, p, first, last)			\
	for ((i) = (first); ((p) = xa_next_at((xa), &(i), (last))); (i)++)
#define xa_for_each(xa, i, p)	xa_for_each_range(xa, i, p, 0, ULONG_MAX)
#define XA_PRESENT	0
#define xa_find(xa, index, max, mark)	xa_next_at(xa, index, max)

/* @fault: number of bytes that can be read; the memory behind them is not mapped */
struct iov_iter {
	const u8 *from;
	size_t count;
	size_t fault;
};

#define iov_iter_count(i)	((i)->count)

size_t copy_from_iter(void *to, size_t len, struct iov_iter *from);

#endif /* FUZZ_KERNEL_MEMORY_H */
