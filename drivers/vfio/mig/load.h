/* SPDX-License-Identifier: GPL-2.0-only */
/* The load side: a stream that nobody vouches for, made into a state */
#ifndef VFIO_MIG_LOAD_H
#define VFIO_MIG_LOAD_H

#include <linux/types.h>

struct iov_iter;
struct page;
struct vfio_mig;
struct vfio_mig_load;

/**
 * struct vfio_mig_portion - a portion of a stream, while it is copied
 * @to: where the next bytes go, valid without any lock
 * @room: how many go there
 * @left: how many are still to come, @room included; 0 when the portion is over
 * @size: How many there are in all. The portion ends where the driver was given
 *	something: then it is how many there were up to there.
 * @load: the load, with a reference; NULL when the portion is over
 * @page: the page that @to is in, with a reference, or NULL
 * @nr: tells the portion from others
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
