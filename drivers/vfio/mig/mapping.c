// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory: a paged state that the user reads, writes and maps
 *
 * The kernel does not see stores to a mapping, so page faults find the changed pages. A
 * fault that enters a page in a writable mapping also marks the page as changed. The save
 * side removes the page-table entry when it takes the page to send it. Between these two
 * moments the page counts as changed. So tracking costs one fault for each page and each round
 * of a save, and nothing at other times. All information is in the page tables.
 *
 * An entry of a writable mapping always permits stores, also if a read caused the fault.
 * KVM treats an entry without this permission as read-only memory. It emulates stores to
 * such memory and does not fault again. KVM's emulator knows few instructions, and other
 * instructions end the guest. So a read of a writable mapping allocates the page and marks
 * the page as changed. A read-only mapping has the page without the permission, or the
 * zero page, so that a read needs no memory.
 *
 * If the memory is the driver's own, a fault enters the driver's page, and also marks the page
 * if the fault is a read. So every page in a page table counts as changed. If the driver
 * records itself which pages are written, the library marks no page and removes no entry.
 *
 * vfio-pci maps the BARs of a physical function itself. For such a BAR the library replaces
 * the fault handler of vfio-pci's mapping by bar_fault(), which calls vfio-pci's handler and
 * marks the page.
 *
 * A page is entered with the page's lock held. An entry becomes stale when a copy replaces
 * the page, and by a discard or a load. Each of these removes the entry with the lock held
 * for writing. Lock order: mmap_lock, the mapping's lock, the page's lock.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio_mig_compat.h>

#include "mapping.h"
#include "memory.h"
#include "pages.h"
#include "space.h"

/*
 * Limit of the time in which vfio_mig_mapping_lock() tries to take mmap_lock. It is not a number
 * of tries, because a sleep between two tries can take much longer than LOCK_WAIT_US.
 */
#define LOCK_TIMEOUT_NS	NSEC_PER_SEC
#define LOCK_WAIT_US	500

/**
 * struct vfio_mig_mapping - the mappings of a device's memory
 * @space: the file whose address space has all these mappings
 * @lock: held for reading by faults, and for writing to change @pages
 * @pages: the memory, NULL after the device was closed
 *
 * The object can outlive the device, because each mapping holds a reference.
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

/* Returns the mappings of the device's present user. The first call allocates them. */
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

/* Enters the page even if a chunk has it, because the mapping does not permit stores. */
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
	/* vm_page_prot does not permit stores, because there is a pfn_mkwrite. */
	pgprot_t prot = vm_get_page_prot(vmf->vma->vm_flags);
	struct page *page;
	vm_fault_t ret;

	page = vfio_mig_page_write_begin(p, vmf->pgoff);
	/* With VM_FAULT_OOM the kernel would try again until there is memory. */
	if (IS_ERR(page))
		return VM_FAULT_SIGBUS;
	/* Marked first, because another thread can store as soon as there is an entry. */
	vfio_mig_pages_redirty(p, vmf->pgoff);
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
 * If a mapping becomes writable, its read-only entries are removed. No fault can come in
 * between, because mmap_lock is held for writing.
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
 * No entry of a writable mapping is read-only, so this function is never needed. Without
 * it the kernel could make an entry writable by itself, and the store would not be marked.
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

/* Marks the page for a read, too, because the entry permits stores without another fault. */
static vm_fault_t memory_fault(struct vm_fault *vmf)
{
	struct vfio_mig_mapping *m = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	struct vfio_mig_pages *p;

	down_read(&m->lock);
	p = m->pages;
	if (p) {
		down_read(page_lock(p, vmf->pgoff));
		/* First, as in fault_write() */
		if (!p->memory->dirty)
			vfio_mig_pages_redirty(p, vmf->pgoff);
		ret = vmf_insert_pfn(vmf->vma, vmf->address,
				     p->memory->pfn(p, vmf->pgoff));
		up_read(page_lock(p, vmf->pgoff));
	}
	up_read(&m->lock);
	return ret;
}

static const struct vm_operations_struct memory_vm_ops = {
	.fault = memory_fault,
};

/**
 * vfio_mig_pages_mmap - mmap(2) of device memory
 * @p: the paged state that is the memory, which is &vfio_mig_desc.pages
 * @vma: the mapping
 * @first: page of the memory at which the mapping starts
 *
 * A save tracks stores to the mapping, and a load becomes visible in the mapping. In a
 * writable mapping a read counts as a change, too. The first access to a page allocates
 * the page. This access raises SIGBUS if the budget or the user's memory control group is
 * used up. So the budget should have the full size of the memory, and the same amount
 * again for a load. A read-only mapping changes and allocates nothing. After the device
 * was closed any access raises SIGBUS.
 *
 * A fault takes a page's lock with mmap_lock held. So a driver must not copy from or to
 * user memory inside a page access. vfio_mig_pages_read() and vfio_mig_pages_write() use a
 * buffer for this reason.
 *
 * The driver's own memory is mapped by &vfio_mig_memory_ops.pfn. If this memory must not be
 * cached, the caller changes &vm_area_struct.vm_page_prot after this function.
 *
 * Context: the vendor driver's &vfio_device_ops.mmap.
 * Return: 0, -ENOMEM, -ENFILE, or -EINVAL for a private mapping, for a mapping that exceeds
 * the memory, and for a driver's own memory without &vfio_mig_memory_ops.pfn.
 */
int vfio_mig_pages_mmap(struct vfio_mig_pages *p, struct vm_area_struct *vma,
			pgoff_t first)
{
	struct vfio_mig_mapping *m;

	if (p->memory && !p->memory->pfn)
		return -EINVAL;
	m = mapping_get(p);
	if (IS_ERR(m))
		return PTR_ERR(m);
	return vfio_mig_space_mmap(&m->space, vma, first, p->nr,
				   p->memory ? &memory_vm_ops : &mapping_vm_ops);
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_mmap);

/**
 * struct vfio_mig_bar - a BAR that vfio-pci maps and the library tracks
 * @ops: operations of the BAR's mappings, in place of @theirs
 * @theirs: vfio-pci's operations
 * @pages: the paged state that the BAR is
 * @space: address space of the device's file, which has all mappings of the BAR
 * @first: page of the device's file at which the BAR starts
 *
 * Exists from the first mapping until vfio_mig_pages_destroy().
 */
struct vfio_mig_bar {
	const struct vm_operations_struct ops;
	const struct vm_operations_struct *theirs;
	struct vfio_mig_pages *pages;
	struct address_space *space;
	pgoff_t first;
};

/*
 * The save side takes the page's lock for writing, so it never takes the page between the mark
 * and the entry. The mark is first, as in fault_write().
 */
static vm_fault_t bar_fault(struct vm_fault *vmf)
{
	struct vfio_mig_bar *bar = container_of(vmf->vma->vm_ops, struct vfio_mig_bar, ops);
	pgoff_t index = vmf->pgoff - bar->first;
	vm_fault_t ret;

	down_read(page_lock(bar->pages, index));
	vfio_mig_pages_redirty(bar->pages, index);
	ret = bar->theirs->fault(vmf);
	up_read(page_lock(bar->pages, index));
	return ret;
}

static struct vfio_mig_bar *bar_get(struct vfio_mig_pages *p, struct vm_area_struct *vma,
				    pgoff_t first)
{
	struct vfio_mig_bar *bar = READ_ONCE(p->bar), *other;

	if (bar)
		return bar;
	bar = kmemdup(&(struct vfio_mig_bar) {
		.ops.fault = bar_fault,
		.theirs = vma->vm_ops,
		.pages = p,
		.space = vma->vm_file->f_mapping,
		.first = vma->vm_pgoff - first,
	}, sizeof(*bar), GFP_KERNEL_ACCOUNT);
	if (!bar)
		return ERR_PTR(-ENOMEM);
	other = cmpxchg(&p->bar, NULL, bar);
	if (!other)
		return bar;
	kfree(bar);
	return other;
}

/**
 * vfio_mig_pages_track_mmap - track stores to a mapping of a BAR that vfio-pci has made
 * @p: the paged state that is the BAR, which is &vfio_mig_desc.pages
 * @vma: the mapping, after vfio_pci_core_mmap() has succeeded
 * @first: page of the BAR at which the mapping starts
 *
 * The mapping stays a mapping of vfio-pci, so vfio-pci removes its pages in a reset, and when
 * the user disables the BARs. From now on a fault enters one page, and marks the page as
 * changed. If the driver records itself which pages are written, this function does nothing.
 *
 * Context: the vendor driver's &vfio_device_ops.mmap. A fault in the mapping takes the page's
 * lock, and then vfio-pci's memory_lock.
 * Return: 0, -ENOMEM, -EINVAL for a mapping that exceeds the BAR, or -EOPNOTSUPP before Linux
 * 6.12, because a fault in vfio-pci's mapping enters the whole mapping there.
 */
int vfio_mig_pages_track_mmap(struct vfio_mig_pages *p, struct vm_area_struct *vma,
			      pgoff_t first)
{
	struct vfio_mig_bar *bar;

	if (p->memory->dirty)
		return 0;
	if (!VFIO_MIG_PCI_FAULTS_BY_PAGE)
		return -EOPNOTSUPP;
	if (first >= p->nr || vma_pages(vma) > p->nr - first)
		return -EINVAL;
	bar = bar_get(p, vma, first);
	if (IS_ERR(bar))
		return PTR_ERR(bar);
	if (WARN_ON_ONCE(bar->first != vma->vm_pgoff - first || bar->theirs != vma->vm_ops))
		return -EINVAL;
	vma->vm_ops = &bar->ops;
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_track_mmap);

/**
 * vfio_mig_mapping_lock - take mmap_lock, so that KVM looks up no page that is being removed
 * @p: the paged state
 *
 * KVM causes a fault for a page, and then looks the page up in the page table. KVM holds
 * mmap_lock for reading during both steps. If the entry is removed in between, KVM treats the
 * address as a bad one, and the guest ends. So the library takes mmap_lock for writing before
 * it removes entries. This is the caller's mmap_lock, because the caller is the VMM.
 *
 * The wait is bounded, because the caller holds the session mutex, and the holder of
 * mmap_lock may wait for user memory for any time.
 *
 * Context: the session mutex is held, the pages' locks are not.
 * Return: the argument for vfio_mig_mapping_unlock(). It is NULL if there is no mapping, and if
 * the lock was not taken in time. The caller then removes the entries without the lock.
 */
struct mm_struct *vfio_mig_mapping_lock(struct vfio_mig_pages *p)
{
	u64 end = ktime_get_ns() + LOCK_TIMEOUT_NS;
	struct mm_struct *mm = current->mm;

	if (!mm || !(READ_ONCE(p->mapping) || READ_ONCE(p->bar)))
		return NULL;
	/*
	 * Newer kernels lack mmap_write_trylock(). The sequence count that mmap_write_lock()
	 * changes is for readers of VMAs, and no VMA changes here.
	 */
	while (!down_write_trylock(&mm->mmap_lock)) {
		if (fatal_signal_pending(current) || ktime_get_ns() > end)
			return NULL;
		usleep_range(LOCK_WAIT_US, 2 * LOCK_WAIT_US);
	}
	return mm;
}

/**
 * vfio_mig_mapping_unlock - undo vfio_mig_mapping_lock()
 * @mm: return value of vfio_mig_mapping_lock()
 */
void vfio_mig_mapping_unlock(struct mm_struct *mm)
{
	if (mm)
		up_write(&mm->mmap_lock);
}

/**
 * vfio_mig_mapping_unmap - remove pages from all mappings
 * @p: the paged state
 * @first: first page
 * @nr: number of pages, 0 for all from @first on
 *
 * Context: the pages' locks are held for writing, so no fault enters the pages again.
 */
void vfio_mig_mapping_unmap(struct vfio_mig_pages *p, pgoff_t first,
			    pgoff_t nr)
{
	struct vfio_mig_mapping *m = READ_ONCE(p->mapping);
	struct vfio_mig_bar *bar = READ_ONCE(p->bar);

	if (m)
		vfio_mig_space_unmap(&m->space, first, nr);
	if (bar)
		unmap_mapping_range(bar->space, (loff_t)(bar->first + first) << PAGE_SHIFT,
				    (loff_t)(nr ? nr : p->nr - first) << PAGE_SHIFT, 1);
}

/**
 * vfio_mig_mapping_close - remove all pages from mappings when the device is closed
 * @p: the paged state
 *
 * The mappings stay, and any access to them raises SIGBUS. The next user's mappings have
 * another object.
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
	/* Waits for threads that still use @m to unmap a page, which hold that page's lock. */
	for (i = 0; i < VFIO_MIG_PAGES_LOCKS; i++) {
		down_write(&p->locks[i]);
		up_write(&p->locks[i]);
	}
	fput(m->space.file);
}

static int copy_out(struct vfio_mig_pages *p, loff_t off, void *to, size_t n)
{
	pgoff_t index = off >> PAGE_SHIFT;
	struct page *page;

	if (p->memory)
		return vfio_mig_memory_read(p, off, to, n);
	page = vfio_mig_page_read_begin(p, index);
	if (page)
		memcpy(to, page_address(page) + offset_in_page(off), n);
	else
		memset(to, 0, n);
	vfio_mig_page_read_end(p, index);
	return 0;
}

static int copy_in(struct vfio_mig_pages *p, loff_t off, const void *from, size_t n)
{
	pgoff_t index = off >> PAGE_SHIFT;
	struct page *page;

	if (p->memory)
		return vfio_mig_memory_write(p, off, from, n);
	page = vfio_mig_page_write_begin(p, index);
	if (IS_ERR(page))
		return PTR_ERR(page);
	memcpy(page_address(page) + offset_in_page(off), from, n);
	vfio_mig_page_write_end(p, index);
	return 0;
}

/* Returns how many bytes of an access are in its first page. */
static size_t in_page(loff_t off, size_t count)
{
	return min_t(size_t, count, PAGE_SIZE - offset_in_page(off));
}

static int read_piece(struct vfio_mig_pages *p, char __user *buf, size_t n,
		      loff_t off, void *bounce)
{
	int ret = copy_out(p, off, bounce, n);

	if (ret)
		return ret;
	return copy_to_user(buf, bounce, n) ? -EFAULT : 0;
}

static int write_piece(struct vfio_mig_pages *p, const char __user *buf, size_t n,
		       loff_t off, void *bounce)
{
	if (copy_from_user(bounce, buf, n))
		return -EFAULT;
	return copy_in(p, off, bounce, n);
}

static ssize_t pages_rw(struct vfio_mig_pages *p, char __user *buf, size_t count,
			loff_t off, bool write)
{
	u64 size = (u64)p->nr << PAGE_SHIFT;
	size_t done, n;
	void *bounce;
	int ret = 0;

	if (off < 0 || off >= size)
		return -EINVAL;
	count = min_t(u64, count, size - off);
	/* A fault in the user's buffer may need the lock that the page access holds. */
	bounce = kmalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
	if (!bounce)
		return -ENOMEM;

	for (done = 0; !ret && done < count; done += n) {
		n = in_page(off + done, count - done);
		ret = write ? write_piece(p, buf + done, n, off + done, bounce) :
			      read_piece(p, buf + done, n, off + done, bounce);
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}
	kfree(bounce);
	return ret ? ret : count;
}

/**
 * vfio_mig_pages_read - read(2) of device memory
 * @p: the paged state that is the memory
 * @buf: user buffer, which may be a mapping of the same memory
 * @count: number of bytes to read
 * @off: offset in the memory, in bytes
 *
 * Context: may sleep and fault; not inside a page access.
 * Return: the number of bytes read, which is less than @count at the end of the memory
 * only; -EINVAL for an @off beyond the memory, -EFAULT, -ENOMEM, -EINTR if the caller is
 * being killed, or the driver's error if the driver cannot read its own memory.
 */
ssize_t vfio_mig_pages_read(struct vfio_mig_pages *p, char __user *buf,
			    size_t count, loff_t off)
{
	return pages_rw(p, buf, count, off, false);
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_read);

/**
 * vfio_mig_pages_write - write(2) of device memory
 * @p: the paged state that is the memory
 * @buf: user buffer, which may be a mapping of the same memory
 * @count: number of bytes to write
 * @off: offset in the memory, in bytes
 *
 * Context: may sleep and fault; not inside a page access.
 * Return: the number of bytes written, which is less than @count at the end of the memory
 * only; an error of vfio_mig_pages_read(); or -ENOSPC if the budget is used up. After an
 * error a part of the data may have been written.
 */
ssize_t vfio_mig_pages_write(struct vfio_mig_pages *p, const char __user *buf,
			     size_t count, loff_t off)
{
	return pages_rw(p, (char __user *)buf, count, off, true);
}
EXPORT_SYMBOL_GPL(vfio_mig_pages_write);
