/* SPDX-License-Identifier: GPL-2.0-only */
/* Files for objects that a user maps */
#ifndef VFIO_MIG_SPACE_H
#define VFIO_MIG_SPACE_H

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/types.h>

/**
 * struct vfio_mig_space - the file that an object's mappings are moved to
 * @file: the file. Its private_data is the object, and its last reference frees the object.
 */
struct vfio_mig_space {
	struct file *file;
};

int vfio_mig_space_init(struct vfio_mig_space *space,
			const struct file_operations *fops, void *object);
void vfio_mig_space_release(struct vfio_mig_space *space);
int vfio_mig_space_mmap(struct vfio_mig_space *space,
			struct vm_area_struct *vma, pgoff_t first, pgoff_t nr,
			const struct vm_operations_struct *ops);
void vfio_mig_space_unmap(struct vfio_mig_space *space, pgoff_t first,
			  pgoff_t nr);

#endif /* VFIO_MIG_SPACE_H */
