// SPDX-License-Identifier: GPL-2.0-only
/*
 * The v1 region's data section: memory that the user reads, writes and maps
 *
 * A user can map the window at any time. The mapping can outlive the session, the open
 * device and the device itself. Page faults fill the mapping.
 *
 * The window gets its memory in the first session after the device was opened. The memory
 * stays until the device is closed, because a thread of QEMU 7.2 copies from the mapping
 * without a lock. A session can end during that copy, and SIGBUS would kill QEMU. After a
 * session the window still shows its last contents, which users can only read.
 *
 * Each opening of the device has its own window. So a mapping of an earlier user does not
 * show the sessions of a later user.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vfio_mig_core.h>
#include <linux/vmalloc.h>

#include "space.h"
#include "window.h"

/* One fault enters several pages, because a fault takes longer than an entry. */
#define FAULT_AROUND	16

/**
 * struct vfio_mig_window - a data section
 * @space: its mappings
 * @size: size in bytes, a multiple of the page size
 * @lock: held for reading by faults, and for writing to change the members below; taken
 *	after mmap_lock
 * @pages: the pages of @mem
 * @mem: the memory, NULL before the first session and after the device was closed
 * @used: @mem may contain other bytes than zeros
 * @hidden: the device is in the error state, so any access to a mapping raises SIGBUS
 * @writable: a load is in progress, so users may store to mappings
 * @maps: number of mappings
 */
struct vfio_mig_window {
	struct vfio_mig_space space;
	size_t size;
	struct rw_semaphore lock;
	struct page **pages;
	void *mem;
	bool used;
	bool hidden;
	bool writable;
	atomic_t maps;
};

static int window_release(struct inode *inode, struct file *file)
{
	struct vfio_mig_window *win = file->private_data;

	vfio_mig_space_release(&win->space);
	kfree(win);
	return 0;
}

static const struct file_operations window_fops = {
	.owner = THIS_MODULE,
	.release = window_release,
};

/**
 * vfio_mig_window_create - make a data section
 * @size: its size in bytes, a multiple of the page size
 *
 * Return: the window, without memory, or ERR_PTR().
 */
struct vfio_mig_window *vfio_mig_window_create(size_t size)
{
	struct vfio_mig_window *win;
	int ret;

	win = kzalloc(sizeof(*win), GFP_KERNEL_ACCOUNT);
	if (!win)
		return ERR_PTR(-ENOMEM);
	init_rwsem(&win->lock);
	win->size = size;

	ret = vfio_mig_space_init(&win->space, &window_fops, win);
	if (ret) {
		kfree(win);
		return ERR_PTR(ret);
	}
	return win;
}

static void free_pages_array(struct page **pages, unsigned long nr)
{
	unsigned long i;

	for (i = 0; i < nr; i++) {
		__free_page(pages[i]);
		cond_resched();
	}
	kvfree(pages);
}

static struct page **alloc_pages_array(unsigned long nr)
{
	struct page **pages = kvmalloc_array(nr, sizeof(*pages), VFIO_MIG_GFP);
	unsigned long i;

	if (!pages)
		return NULL;
	for (i = 0; i < nr; i++) {
		pages[i] = fatal_signal_pending(current) ? NULL :
			   alloc_page(VFIO_MIG_GFP | __GFP_ZERO);
		if (!pages[i]) {
			free_pages_array(pages, i);
			return NULL;
		}
		cond_resched();
	}
	return pages;
}

/*
 * Does not use vmalloc(), because Linux 7.3 frees the pages of a failed vmalloc() in a work
 * item. Until the work item runs, the user's control group is full, and the next small
 * allocation of the user calls the OOM killer.
 */
static int alloc_memory(struct vfio_mig_window *win)
{
	unsigned long nr = win->size >> PAGE_SHIFT;
	struct page **pages = alloc_pages_array(nr);
	void *mem;

	if (!pages)
		return -ENOMEM;
	mem = vmap(pages, nr, VM_MAP, PAGE_KERNEL);
	if (!mem) {
		free_pages_array(pages, nr);
		return -ENOMEM;
	}
	down_write(&win->lock);
	win->pages = pages;
	win->mem = mem;
	up_write(&win->lock);
	return 0;
}

/**
 * vfio_mig_window_destroy - free the memory when the device is closed
 * @win: the window, which may still be mapped; no session is open
 *
 * Any later access to a mapping raises SIGBUS.
 */
void vfio_mig_window_destroy(struct vfio_mig_window *win)
{
	void *mem = win->mem;

	down_write(&win->lock);
	win->mem = NULL;
	up_write(&win->lock);
	/* From here on no fault enters a page. */
	vfio_mig_space_unmap(&win->space, 0, 0);
	if (mem) {
		vunmap(mem);
		free_pages_array(win->pages, win->size >> PAGE_SHIFT);
	}
	fput(win->space.file);
}

static void set_writable(struct vfio_mig_window *win, bool writable)
{
	down_write(&win->lock);
	win->writable = writable;
	up_write(&win->lock);
	/* The next access faults, and then gets the access rights of the new state. */
	vfio_mig_space_unmap(&win->space, 0, 0);
}

/* Clears the memory in pieces with cond_resched(), because a window can have 1 GiB. */
static void clear_memory(struct vfio_mig_window *win)
{
	size_t off, n;

	for (off = 0; off < win->size; off += n) {
		n = min_t(size_t, win->size - off, SZ_1M);
		memset(win->mem + off, 0, n);
		cond_resched();
	}
}

/**
 * vfio_mig_window_begin - begin a session
 * @win: the window; callers serialise, and no session is open
 * @load: true for a load, which clears the window and permits stores to mappings. A save
 *	does not change the window until data are prepared.
 *
 * Context: may sleep; in the user's process, whose memory control group is charged.
 * Return: 0 or -ENOMEM.
 */
int vfio_mig_window_begin(struct vfio_mig_window *win, bool load)
{
	int ret;

	if (!win->mem) {
		ret = alloc_memory(win);
		if (ret)
			return ret;
	} else if (load && win->used) {
		clear_memory(win);
	}
	win->used = true;
	if (load)
		set_writable(win, true);
	return 0;
}

/**
 * vfio_mig_window_end - end a session
 * @win: the window; callers serialise
 *
 * The memory stays, and the user can read it. A store to a mapping raises SIGBUS.
 */
void vfio_mig_window_end(struct vfio_mig_window *win)
{
	if (win->writable)
		set_writable(win, false);
}

/**
 * vfio_mig_window_hide - hide the memory from mappings, or show it again
 * @win: the window; callers serialise, and no session is open
 * @hidden: true if any access to a mapping raises SIGBUS
 */
void vfio_mig_window_hide(struct vfio_mig_window *win, bool hidden)
{
	down_write(&win->lock);
	win->hidden = hidden;
	up_write(&win->lock);
	if (hidden)
		vfio_mig_space_unmap(&win->space, 0, 0);
}

/**
 * vfio_mig_window_mem - return the window's memory, as the kernel sees it
 * @win: the window, in a session; callers serialise with begin and destroy
 */
void *vfio_mig_window_mem(struct vfio_mig_window *win)
{
	return win->mem;
}

/**
 * vfio_mig_window_size - return the window's size in bytes
 * @win: the window
 */
size_t vfio_mig_window_size(struct vfio_mig_window *win)
{
	return win->size;
}

/**
 * vfio_mig_window_mapped - whether there is a mapping of the window now
 * @win: the window
 */
bool vfio_mig_window_mapped(struct vfio_mig_window *win)
{
	return atomic_read(&win->maps);
}

static void window_vm_open(struct vm_area_struct *vma)
{
	struct vfio_mig_window *win = vma->vm_private_data;

	atomic_inc(&win->maps);
}

static void window_vm_close(struct vm_area_struct *vma)
{
	struct vfio_mig_window *win = vma->vm_private_data;

	atomic_dec(&win->maps);
}

/* Enters the page that faulted and the pages that follow within the mapping. */
static vm_fault_t window_insert(struct vfio_mig_window *win,
				struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long nr = min3((unsigned long)FAULT_AROUND,
				(vma->vm_end - vmf->address) >> PAGE_SHIFT,
				(win->size >> PAGE_SHIFT) - vmf->pgoff);
	pgprot_t prot = vma->vm_page_prot;
	unsigned long i;

	/*
	 * vm_page_prot does not permit stores, because the window has pfn_mkwrite.
	 * Only this function permits stores, and it holds the lock.
	 */
	if (win->writable)
		prot = vm_get_page_prot(vma->vm_flags);
	for (i = 0; i < nr; i++) {
		unsigned long pfn = page_to_pfn(win->pages[vmf->pgoff + i]);
		vm_fault_t ret = vmf_insert_pfn_prot(vma, (vmf->address &
				PAGE_MASK) + (i << PAGE_SHIFT), pfn, prot);

		if (ret != VM_FAULT_NOPAGE)
			return i ? VM_FAULT_NOPAGE : ret;
	}
	return VM_FAULT_NOPAGE;
}

static vm_fault_t window_fault(struct vm_fault *vmf)
{
	struct vfio_mig_window *win = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	down_read(&win->lock);
	if (win->mem && !win->hidden &&
	    (win->writable || !(vmf->flags & FAULT_FLAG_WRITE)))
		ret = window_insert(win, vmf);
	up_read(&win->lock);
	return ret;
}

/*
 * A user stored through an entry that does not permit stores. If the window permits stores,
 * the entry was made before an mprotect() made the mapping writable. So this function removes
 * the entry, and the store faults again.
 */
static vm_fault_t window_mkwrite(struct vm_fault *vmf)
{
	struct vfio_mig_window *win = vmf->vma->vm_private_data;
	bool writable;

	down_read(&win->lock);
	writable = win->mem && !win->hidden && win->writable;
	up_read(&win->lock);
	if (!writable)
		return VM_FAULT_SIGBUS;
	vfio_mig_space_unmap(&win->space, vmf->pgoff, 1);
	return VM_FAULT_NOPAGE;
}

static const struct vm_operations_struct window_vm_ops = {
	.open = window_vm_open,
	.close = window_vm_close,
	.fault = window_fault,
	.pfn_mkwrite = window_mkwrite,
};

/**
 * vfio_mig_window_mmap - map the window
 * @win: the window
 * @vma: a mapping of the device file, which becomes a mapping of the window
 * @first: the page of the window at which the mapping starts
 *
 * Context: an mmap handler, with mmap_lock held.
 * Return: 0, or -EINVAL for a private mapping, or for a mapping that exceeds the window.
 */
int vfio_mig_window_mmap(struct vfio_mig_window *win,
			 struct vm_area_struct *vma, pgoff_t first)
{
	int ret;

	ret = vfio_mig_space_mmap(&win->space, vma, first,
				  win->size >> PAGE_SHIFT, &window_vm_ops);
	if (!ret)
		window_vm_open(vma);
	return ret;
}
