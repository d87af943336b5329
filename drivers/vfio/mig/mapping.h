/* SPDX-License-Identifier: GPL-2.0-only */
/* Mappings of device memory: functions for the rest of the library */
#ifndef VFIO_MIG_MAPPING_H
#define VFIO_MIG_MAPPING_H

#include <linux/vfio_mig_core.h>

struct mm_struct *vfio_mig_mapping_lock(struct vfio_mig_pages *p);
void vfio_mig_mapping_unlock(struct mm_struct *mm);
void vfio_mig_mapping_unmap(struct vfio_mig_pages *p, pgoff_t first,
			    pgoff_t nr);
void vfio_mig_mapping_close(struct vfio_mig_pages *p);

#endif /* VFIO_MIG_MAPPING_H */
