// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory: a paged state that the user reads, writes and maps
 *
 * A store to a mapping makes no noise, so what changed is found out by faults. A
 * page is entered in a mapping that can be written by a fault that marks it as
 * changed, and is taken out again when it is taken to be sent: in between it counts
 * as changed anyway. So tracking costs a fault for each page and round, nothing
 * outside a save, and all that need be known is in the page tables.
 *
 * An entry of such a mapping always has the right to write, also where a load
 * brought it about. KVM takes an entry without that right for memory that cannot be
 * written, does not ask for it again, and emulates the store: its emulator knows few
 * instructions, and a guest that uses another is ended. So reading there allocates the
 * page and marks it. A mapping that cannot be written has the page without the right,
 * or the zero page where there is none, so that reading takes no memory.
 *
 * Pages are entered with the page's lock held, and whatever makes an entry stale
 * (a copy takes a page's place, a discard, a load) removes it with the lock held
 * for writing. Locks: mmap_lock, the mapping's, the page's.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "mapping.h"
#include "pages.h"
#include "space.h"

/* A second, at least, in all. */
#define LOCK_TRIES	2000
#define LOCK_WAIT_US	500

/**
 * struct vfio_mig_mapping - the mappings of a device's memory
 * @space: finds them
 * @lock: held for reading by faults, for writing to change what follows
 * @pages: the memory, NULL after the device was closed
 *
 * Outlives the device where somebody keeps a mapping.
 */
struct vfio_mig_mapping {
	struct vfio_mig_space space;
	struct rw_semaphore lock;
	struct vfio_mig_pages *pages;
};

static int mapping_release(struct inode *inode, struct file *file)
{
	struct vfio_mig_mapping *m = file->private_data;

	vfio_mig_space_release(&m->space);
	kfree(m);
	return 0;
}

static const struct file_operations mapping_fops = {
	.owner = THIS_MODULE,
	.release = mapping_release,
};

/* The one of the device's present user, made when it is first needed. */
static struct vfio_mig_mapping *mapping_get(struct vfio_mig_pages *p)
{
	struct vfio_mig_mapping *m, *other;
	int ret;

	m = READ_ONCE(p->mapping);
	if (m)
		return m;

	m = kzalloc(sizeof(*m), GFP_KERNEL_ACCOUNT);
	if (!m)
		return ERR_PTR(-ENOMEM);
	init_rwsem(&m->lock);
	m->pages = p;
	ret = vfio_mig_space_init(&m->space, &mapping_fops, m);
	if (ret) {
		kfree(m);
		return ERR_PTR(ret);
	}
	other = cmpxchg(&p->mapping, NULL, m);
	if (!other)
		return m;
	fput(m->space.file);
	return other;
}

/* Whatever is there is entered: the mapping gives no right to write. */
static vm_fault_t fault_read(struct vfio_mig_pages *p, struct vm_fault *vmf)
{
	struct page *page = vfio_mig_page_read_begin(p, vmf->pgoff);
	vm_fault_t ret;

	if (!page)
		page = ZERO_PAGE(vmf->address);
	ret = vmf_insert_pfn(vmf->vma, vmf->address, page_to_pfn(page));
	vfio_mig_page_read_end(p, vmf->pgoff);
	return ret;
}

static vm_fault_t fault_write(struct vfio_mig_pages *p, struct vm_fault *vmf)
{
	/* vm_page_prot leaves it out, because there is a pfn_mkwrite. */
	pgprot_t prot = vm_get_page_prot(vmf->vma->vm_flags);
	struct page *page;
	vm_fault_t ret;

	page = vfio_mig_page_write_begin(p, vmf->pgoff);
	/* Not VM_FAULT_OOM, which tries again until there is memory. */
	if (IS_ERR(page))
		return VM_FAULT_SIGBUS;
	ret = vmf_insert_pfn_prot(vmf->vma, vmf->address, page_to_pfn(page),
				  prot);
	vfio_mig_page_write_end(p, vmf->pgoff);
	return ret;
}

static vm_fault_t mapping_fault(struct vm_fault *vmf)
{
	struct vfio_mig_mapping *m = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	down_read(&m->lock);
	if (m->pages)
		ret = vmf->vma->vm_flags & VM_WRITE ?
		      fault_write(m->pages, vmf) : fault_read(m->pages, vmf);
	up_read(&m->lock);
	return ret;
}

/*
 * A mapping that is to be written gets entries that can be: what was entered before
 * goes. No fault comes in between, because mmap_lock is held for writing.
 */
static int mapping_mprotect(struct vm_area_struct *vma, unsigned long start,
			    unsigned long end, unsigned long newflags)
{
	struct vfio_mig_mapping *m = vma->vm_private_data;

	if (newflags & VM_WRITE)
		vfio_mig_space_unmap(&m->space, linear_page_index(vma, start),
				     (end - start) >> PAGE_SHIFT);
	return 0;
}

/*
 * There are no entries that this is for. Without it the kernel would add the right
 * to write by itself, unnoticed, should it ever take it from an entry.
 */
static vm_fault_t mapping_mkwrite(struct vm_fault *vmf)
{
	struct vfio_mig_mapping *m = vmf->vma->vm_private_data;

	vfio_mig_space_unmap(&m->space, vmf->pgoff, 1);
	return mapping_fault(vmf);
}

static const struct vm_operations_struct mapping_vm_ops = {
	.fault = mapping_fault,
	.mprotect = mapping_mprotect,
	.pfn_mkwrite = mapping_mkwrite,
};

/**
 * vfio_mig_pages_mmap - mmap(2) of device memory
 * @p: the paged state that is the memory, the one of &vfio_mig_desc.pages
 * @vma: the mapping
 * @first: page of the memory at which it starts
 *
 * A save tracks what is stored to the mapping, a load shows in it. In a mapping that
 * can be written reading counts as a change, too. Pages are allocated by the first
 * access; where the budget or the user's memory control group is used up that raises
 * SIGBUS, so a driver should set aside all that the memory can take, and as much
 * again for a load. A mapping for reading alone changes and allocates nothing. After
 * the device was closed any access raises SIGBUS.
 *
 * Faults take a page's lock with mmap_lock held: such memory must not be
 * accessed by copies to and from users inside a page's bracket, see
 * vfio_mig_pages_read() and vfio_mig_pages_write().
 *
 * Context: the vendor driver's &vfio_device_ops.mmap.
 * Return: 0, -EINVAL for a private mapping or one that is not wholly inside,
 * -ENOMEM or -ENFILE.
 */
int vfio_mig_pages_mmap(struct vfio_mig_pages *p, struct vm_area_struct *vma,
			pgoff_t first)
{
	struct vfio_mig_mapping *m = mapping_get(p);

	if (IS_ERR(m))
		return PTR_ERR(m);
	return vfio_mig_space_mmap(&m->space, vma, first, p->nr,
				   &mapping_vm_ops);
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_mmap);

/**
 * vfio_mig_mapping_lock - keep KVM from looking for pages that are taken away
 * @p: the paged state
 *
 * KVM brings a page in by a fault, then looks it up in the page table, with mmap_lock
 * held over both. A page that is gone in between is a bad address for KVM, and the
 * guest ends. So pages that the guest may use are taken away with mmap_lock held for
 * writing: that of the caller, who is the VMM.
 *
 * The wait is bounded, because whoever holds the lock may wait for memory that does
 * not answer, and the caller holds the session mutex.
 *
 * Context: the session mutex is held, the pages' locks are not.
 * Return: what is to be given to vfio_mig_mapping_unlock(), maybe NULL.
 */
struct mm_struct *vfio_mig_mapping_lock(struct vfio_mig_pages *p)
{
	struct mm_struct *mm = current->mm;
	int tries;

	if (!mm || !READ_ONCE(p->mapping))
		return NULL;
	for (tries = 0; tries < LOCK_TRIES; tries++) {
		/* mmap_write_trylock() is gone; no VMA is changed here. */
		if (down_write_trylock(&mm->mmap_lock))
			return mm;
		if (fatal_signal_pending(current))
			break;
		usleep_range(LOCK_WAIT_US, 2 * LOCK_WAIT_US);
	}
	return NULL;
}

/**
 * vfio_mig_mapping_unlock - undo vfio_mig_mapping_lock()
 * @mm: what it returned
 */
void vfio_mig_mapping_unlock(struct mm_struct *mm)
{
	if (mm)
		up_write(&mm->mmap_lock);
}

/**
 * vfio_mig_mapping_unmap - take pages out of all mappings
 * @p: the paged state
 * @first: first page
 * @nr: number of pages, 0 for all from @first on
 *
 * Context: the pages' locks held for writing, so that no fault enters them.
 */
void vfio_mig_mapping_unmap(struct vfio_mig_pages *p, pgoff_t first,
			    pgoff_t nr)
{
	struct vfio_mig_mapping *m = READ_ONCE(p->mapping);

	if (m)
		vfio_mig_space_unmap(&m->space, first, nr);
}

/**
 * vfio_mig_mapping_close - the device was closed: mappings have no pages any more
 * @p: the paged state
 */
void vfio_mig_mapping_close(struct vfio_mig_pages *p)
{
	struct vfio_mig_mapping *m = p->mapping;
	int i;

	if (!m)
		return;
	down_write(&m->lock);
	m->pages = NULL;
	up_write(&m->lock);
	vfio_mig_space_unmap(&m->space, 0, 0);

	WRITE_ONCE(p->mapping, NULL);
	/* Who still uses it to unmap a page holds that page's lock. */
	for (i = 0; i < VFIO_MIG_PAGES_LOCKS; i++) {
		down_write(&p->locks[i]);
		up_write(&p->locks[i]);
	}
	fput(m->space.file);
}

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
	bounce = kmalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
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
		cond_resched();
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
	bounce = kmalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
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
		cond_resched();
	}
	kfree(bounce);
	return ret ? ret : count;
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_write);
