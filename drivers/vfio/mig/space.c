// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files for objects that a user maps
 *
 * The kernel uses a file's address space to find all mappings of a page, in every process
 * and after every fork, mremap and split. The device file is of no use here, because on
 * Linux 6.1 all anonymous files share one address space. So each object that a user maps
 * has its own file and its own inode on a pseudo file system. VFIO devices have had such
 * inodes since Linux 6.10. Each mapping is moved to the object's file when it is made.
 *
 * File, inode and address space belong together, because code that walks a VMA, such as
 * /proc/PID/smaps, follows the pointers from the file to the other two.
 *
 * A mapping holds a reference to the file. The file keeps the object and this module.
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

/* Mounted only while there is a file, because the mount keeps the module loaded. */
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
 * vfio_mig_space_init - create the file of an object that users map
 * @space: the space, a member of @object
 * @fops: operations of the file. &file_operations.owner is this module.
 *	&file_operations.release calls vfio_mig_space_release() and frees the object.
 * @object: private_data of the file
 *
 * The caller drops its reference by fput() of &vfio_mig_space.file.
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
	/* The last fput() drops this reference. */
	__module_get(fops->owner);
	return 0;
}

/**
 * vfio_mig_space_release - release the space when its file is released
 * @space: the space, which has no mappings any more
 */
void vfio_mig_space_release(struct vfio_mig_space *space)
{
	simple_release_fs(&fs_mount, &fs_users);
}

/**
 * vfio_mig_space_mmap - move a mapping of the device's file to the space
 * @space: the space
 * @vma: the mapping; gets vm_private_data from the space's file
 * @first: page of the object at which the mapping starts
 * @nr: size of the object in pages
 * @ops: operations that enter pages. The entries hold no references to the pages.
 *
 * Context: an mmap handler, with mmap_lock held.
 * Return: 0, or -EINVAL for a private mapping, or for a mapping that exceeds the object.
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
 * vfio_mig_space_unmap - remove pages from all mappings
 * @space: the space
 * @first: first page
 * @nr: number of pages, 0 for all from @first on
 *
 * The caller prevents that faults enter the pages again meanwhile.
 *
 * Context: may sleep; takes no mmap_lock.
 */
void vfio_mig_space_unmap(struct vfio_mig_space *space, pgoff_t first,
			  pgoff_t nr)
{
	unmap_mapping_range(space->file->f_mapping, (loff_t)first << PAGE_SHIFT,
			    (loff_t)nr << PAGE_SHIFT, 1);
}
