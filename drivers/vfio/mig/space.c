// SPDX-License-Identifier: GPL-2.0-only
/*
 * An address space of its own for mappings
 *
 * Pages that a user has mapped can only be taken away when all mappings are
 * found, in every process and after every fork, mremap and split. The kernel
 * does that for the mappings of a file's address space. VFIO device files of
 * Linux 6.1 share one with all other anonymous files, so an object that is
 * mapped has a file of its own, to which each mapping is moved when it is made.
 * The file also keeps the object, and this module, while there is a mapping.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/shmem_fs.h>
#include <linux/vfio_mig_compat.h>

#include "space.h"

/**
 * vfio_mig_space_init - make an address space for an object
 * @space: the address space, a part of @object
 * @fops: operations of its file. &file_operations.release calls
 *	vfio_mig_space_release() and frees the object.
 * @object: what the file has as private_data
 *
 * The object is let go of by fput() of &vfio_mig_space.file.
 *
 * Return: 0, -ENOMEM or -ENFILE.
 */
int vfio_mig_space_init(struct vfio_mig_space *space,
			const struct file_operations *fops, void *object)
{
	struct file *file;

	space->backing = shmem_file_setup("vfio-mig", 0, VFIO_MIG_SHMEM_FLAGS);
	if (IS_ERR(space->backing))
		return PTR_ERR(space->backing);
	file = anon_inode_getfile("[vfio-mig]", fops, object, O_RDWR);
	if (IS_ERR(file)) {
		fput(space->backing);
		return PTR_ERR(file);
	}
	file->f_mapping = space->backing->f_mapping;
	space->file = file;
	return 0;
}

/**
 * vfio_mig_space_release - the space's file is gone, and all mappings with it
 * @space: the address space
 */
void vfio_mig_space_release(struct vfio_mig_space *space)
{
	fput(space->backing);
}

/**
 * vfio_mig_space_mmap - make a mapping of the device's file one of the space's
 * @space: the address space
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
 * @space: the address space
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
