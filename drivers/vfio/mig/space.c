// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file of its own for what a user maps
 *
 * The kernel finds all mappings of a page, in every process and after every fork,
 * mremap and split, by the file's address space. The device file cannot serve: on
 * Linux 6.1 its address space is the one of all anonymous files. So an object that is
 * mapped has a file of its own, with an inode of its own, on a pseudo file system, as
 * VFIO devices have one since 6.10. Each mapping is moved to that file when it is made.
 *
 * File, inode and address space belong together, because code that walks a VMA, such
 * as /proc/PID/smaps, goes from one to the other.
 *
 * The file keeps the object, and this module, while there is a mapping.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include <linux/vfio_mig_compat.h>

#include "space.h"

#define VFIO_MIG_FS_MAGIC	0x4d464d56	/* "VMFM" */

static int fs_init_context(struct fs_context *fc)
{
	return init_pseudo(fc, VFIO_MIG_FS_MAGIC) ? 0 : -ENOMEM;
}

static struct file_system_type fs_type = {
	.name = "vfio_mig",
	.owner = THIS_MODULE,
	.init_fs_context = fs_init_context,
	.kill_sb = kill_anon_super,
};

/* Mounted while there is a file: for ever would keep the module loaded. */
static struct vfsmount *fs_mount;
static int fs_users;

static struct file *file_new(const struct file_operations *fops, void *object)
{
	struct inode *inode = alloc_anon_inode(fs_mount->mnt_sb);
	struct file *file;

	if (IS_ERR(inode))
		return ERR_CAST(inode);
	file = alloc_file_pseudo(inode, fs_mount, "[vfio-mig]", O_RDWR, fops);
	if (IS_ERR(file)) {
		iput(inode);
		return file;
	}
	file->private_data = object;
	return file;
}

/**
 * vfio_mig_space_init - make a file for an object to be mapped
 * @space: the space, a part of @object
 * @fops: operations of its file. &file_operations.owner is this module;
 *	&file_operations.release calls vfio_mig_space_release() and frees the object.
 * @object: what the file has as private_data
 *
 * The object is let go of by fput() of &vfio_mig_space.file.
 *
 * Return: 0, -ENOMEM or -ENFILE.
 */
int vfio_mig_space_init(struct vfio_mig_space *space,
			const struct file_operations *fops, void *object)
{
	int ret;

	ret = simple_pin_fs(&fs_type, &fs_mount, &fs_users);
	if (ret)
		return ret;
	space->file = file_new(fops, object);
	if (IS_ERR(space->file)) {
		simple_release_fs(&fs_mount, &fs_users);
		return PTR_ERR(space->file);
	}
	/* The last fput() gives it back. */
	__module_get(fops->owner);
	return 0;
}

/**
 * vfio_mig_space_release - the space's file is gone, and all mappings with it
 * @space: the space
 */
void vfio_mig_space_release(struct vfio_mig_space *space)
{
	simple_release_fs(&fs_mount, &fs_users);
}

/**
 * vfio_mig_space_mmap - move a mapping of the device's file to the space
 * @space: the space
 * @vma: the mapping; gets vm_private_data from the space's file
 * @first: the object's page at which it starts
 * @nr: size of the object in pages
 * @ops: bring pages in. They are entered without any reference to them.
 *
 * Context: an mmap handler, with mmap_lock held.
 * Return: 0, or -EINVAL for a private mapping or one that is not wholly inside.
 */
int vfio_mig_space_mmap(struct vfio_mig_space *space,
			struct vm_area_struct *vma, pgoff_t first, pgoff_t nr,
			const struct vm_operations_struct *ops)
{
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (first >= nr || vma_pages(vma) > nr - first)
		return -EINVAL;

	vma_set_file(vma, space->file);
	vma->vm_pgoff = first;
	vma->vm_private_data = space->file->private_data;
	vma->vm_ops = ops;
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	return 0;
}

/**
 * vfio_mig_space_unmap - take pages away from all mappings
 * @space: the space
 * @first: first page
 * @nr: number of pages, 0 for all from @first on
 *
 * The caller sees to it that no fault enters them again meanwhile.
 *
 * Context: may sleep; takes no mmap_lock.
 */
void vfio_mig_space_unmap(struct vfio_mig_space *space, pgoff_t first,
			  pgoff_t nr)
{
	unmap_mapping_range(space->file->f_mapping, (loff_t)first << PAGE_SHIFT,
			    (loff_t)nr << PAGE_SHIFT, 1);
}
