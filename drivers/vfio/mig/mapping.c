// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory: a paged state that the user reads, writes and maps
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "pages.h"

/* The part of an access that is in one page. */
static size_t in_page(loff_t off, size_t count)
{
	return min_t(size_t, count, PAGE_SIZE - offset_in_page(off));
}

static int bounds(struct vfio_mig_pages *p, size_t *count, loff_t off)
{
	u64 size = (u64)p->nr << PAGE_SHIFT;

	if (off < 0 || off >= size)
		return -EINVAL;
	*count = min_t(u64, *count, size - off);
	return 0;
}

/**
 * vfio_mig_pages_read - read(2) of device memory
 * @p: the paged state that is the memory
 * @buf: user buffer, which may be a mapping of the same memory
 * @count: bytes to read
 * @off: where
 *
 * Context: may sleep and fault; not in the bracket of a page.
 * Return: the bytes read, fewer than @count at the end of the memory only;
 * -EINVAL for @off beyond it, -EFAULT, -ENOMEM, or -EINTR where the caller is
 * being killed.
 */
ssize_t vfio_mig_pages_read(struct vfio_mig_pages *p, char __user *buf,
			    size_t count, loff_t off)
{
	size_t done, n;
	void *bounce;
	int ret;

	ret = bounds(p, &count, off);
	if (ret)
		return ret;
	/* The buffer's own fault may need the lock that the bracket holds. */
	bounce = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (!bounce)
		return -ENOMEM;

	for (done = 0; !ret && done < count; done += n) {
		pgoff_t index = (off + done) >> PAGE_SHIFT;
		struct page *page = vfio_mig_page_read_begin(p, index);

		n = in_page(off + done, count - done);
		if (page)
			memcpy(bounce, page_address(page) +
			       offset_in_page(off + done), n);
		else
			memset(bounce, 0, n);
		vfio_mig_page_read_end(p, index);
		if (copy_to_user(buf + done, bounce, n))
			ret = -EFAULT;
		else if (fatal_signal_pending(current))
			ret = -EINTR;
	}
	kfree(bounce);
	return ret ? ret : count;
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_read);

/**
 * vfio_mig_pages_write - write(2) of device memory
 * @p: the paged state that is the memory
 * @buf: user buffer, which may be a mapping of the same memory
 * @count: bytes to write
 * @off: where
 *
 * Context: may sleep and fault; not in the bracket of a page.
 * Return: the bytes written, fewer than @count at the end of the memory only;
 * as vfio_mig_pages_read(), and -ENOSPC where the budget is used up. With an
 * error a part may have been written.
 */
ssize_t vfio_mig_pages_write(struct vfio_mig_pages *p, const char __user *buf,
			     size_t count, loff_t off)
{
	size_t done, n;
	void *bounce;
	int ret;

	ret = bounds(p, &count, off);
	if (ret)
		return ret;
	bounce = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (!bounce)
		return -ENOMEM;

	for (done = 0; !ret && done < count; done += n) {
		pgoff_t index = (off + done) >> PAGE_SHIFT;
		struct page *page;

		n = in_page(off + done, count - done);
		if (copy_from_user(bounce, buf + done, n)) {
			ret = -EFAULT;
			break;
		}
		page = vfio_mig_page_write_begin(p, index);
		if (IS_ERR(page)) {
			ret = PTR_ERR(page);
			break;
		}
		memcpy(page_address(page) + offset_in_page(off + done), bounce,
		       n);
		vfio_mig_page_write_end(p, index);
		if (fatal_signal_pending(current))
			ret = -EINTR;
	}
	kfree(bounce);
	return ret ? ret : count;
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_write);
