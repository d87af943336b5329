// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the driver allocates, and that users map directly
 *
 * A device of the type "bitmap" finds its dirty pages itself, as hardware with a dirty
 * bitmap does. Therefore it keeps a copy of the memory, and compares the memory with the
 * copy when the library asks for the dirty pages.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "test.h"

static struct test_device *of_pages(struct vfio_mig_pages *pages)
{
	return container_of(pages, struct test_device, pages);
}

static int memory_read(struct vfio_mig_pages *pages, u64 off, void *to, size_t len)
{
	struct test_device *t = of_pages(pages);
	int ret = test_fault(t, TEST_MEM_READ);

	if (ret)
		return min(ret, 0);
	memcpy(to, t->memory + off, len);
	return 0;
}

static int memory_write(struct vfio_mig_pages *pages, u64 off, const void *from, size_t len)
{
	struct test_device *t = of_pages(pages);
	int ret = test_fault(t, TEST_MEM_WRITE);

	if (ret)
		return min(ret, 0);
	memcpy(t->memory + off, from, len);
	return 0;
}

static unsigned long memory_pfn(struct vfio_mig_pages *pages, pgoff_t index)
{
	return vmalloc_to_pfn(of_pages(pages)->memory + (index << PAGE_SHIFT));
}

static int memory_track(struct vfio_mig_pages *pages, bool on)
{
	struct test_device *t = of_pages(pages);
	int ret = on ? test_fault(t, TEST_TRACK) : 0;

	if (ret)
		return min(ret, 0);
	if (on)
		memcpy(t->known, t->memory, pages->nr << PAGE_SHIFT);
	t->tracking = on;
	return 0;
}

static int memory_dirty(struct vfio_mig_pages *pages)
{
	struct test_device *t = of_pages(pages);
	int ret = test_fault(t, TEST_DIRTY);
	u64 off;

	if (ret)
		return min(ret, 0);
	if (!t->tracking)
		return -EINVAL;
	for (off = 0; off < (u64)pages->nr << PAGE_SHIFT; off += PAGE_SIZE) {
		if (!memcmp(t->known + off, t->memory + off, PAGE_SIZE))
			continue;
		memcpy(t->known + off, t->memory + off, PAGE_SIZE);
		vfio_mig_pages_changed(pages, off, PAGE_SIZE);
	}
	return 0;
}

static const struct vfio_mig_memory_ops memory_ops = {
	.read = memory_read,
	.write = memory_write,
	.pfn = memory_pfn,
};

static const struct vfio_mig_memory_ops bitmap_ops = {
	.read = memory_read,
	.write = memory_write,
	.pfn = memory_pfn,
	.track = memory_track,
	.dirty = memory_dirty,
};

/**
 * test_memory_init - allocate the device's memory
 * @t: the device
 * @nr: number of pages
 * @bitmap: whether the device finds its dirty pages itself
 *
 * Return: 0 or -ENOMEM. The caller calls test_memory_free() in either case.
 */
int test_memory_init(struct test_device *t, pgoff_t nr, bool bitmap)
{
	t->memory = vzalloc(nr << PAGE_SHIFT);
	if (t->memory && bitmap)
		t->known = vzalloc(nr << PAGE_SHIFT);
	if (!t->memory || (bitmap && !t->known))
		return -ENOMEM;
	return vfio_mig_memory_init(&t->pages, nr, bitmap ? &bitmap_ops : &memory_ops);
}

/**
 * test_memory_clear - zero the memory, because the next user must not see its content
 * @t: the device, closed
 */
void test_memory_clear(struct test_device *t)
{
	memset(t->memory, 0, t->pages.nr << PAGE_SHIFT);
}

/**
 * test_memory_free - opposite of test_memory_init(), which may have failed
 * @t: the device. Its paged state was destroyed.
 */
void test_memory_free(struct test_device *t)
{
	vfree(t->known);
	vfree(t->memory);
}
