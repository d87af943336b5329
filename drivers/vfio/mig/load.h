/* SPDX-License-Identifier: GPL-2.0-only */
/* The load side: an untrusted stream becomes a device's state */
#ifndef VFIO_MIG_LOAD_H
#define VFIO_MIG_LOAD_H

#include <linux/types.h>

struct iov_iter;
struct page;
struct vfio_mig;
struct vfio_mig_load;

/**
 * struct vfio_mig_portion - a portion of a stream, while it is copied
 * @to: memory for the next bytes, valid without any lock
 * @room: number of bytes at @to
 * @left: number of bytes that are still to come, with @room; 0 when the portion is over
 * @size: Number of bytes in all. If the driver gets a piece of its image, the portion
 *	ends there, and @size is reduced.
 * @load: the load, with a reference; NULL when the portion is over
 * @page: the page that @to is in, with a reference, or NULL
 * @nr: number of the portion, which differs from the numbers of other portions
 */
struct vfio_mig_portion {
	void *to;
	size_t room;
	size_t left;
	size_t size;
	struct vfio_mig_load *load;
	struct page *page;
	unsigned long nr;
};

int vfio_mig_load_begin(struct vfio_mig *mig);
void vfio_mig_load_end(struct vfio_mig *mig);
int vfio_mig_portion_begin(struct vfio_mig *mig, struct vfio_mig_portion *p,
			   size_t size);
int vfio_mig_portion_taken(struct vfio_mig *mig, struct vfio_mig_portion *p,
			   size_t n);
void vfio_mig_portion_abandon(struct vfio_mig_portion *p);
int vfio_mig_load_feed(struct vfio_mig *mig, struct iov_iter *from);
int vfio_mig_load_apply(struct vfio_mig *mig);
int vfio_mig_load_error(struct vfio_mig *mig);

#endif /* VFIO_MIG_LOAD_H */
