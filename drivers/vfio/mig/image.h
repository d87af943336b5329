/* SPDX-License-Identifier: GPL-2.0-only */
/* Images: state that comes from the vendor driver as a stream of any size */
#ifndef VFIO_MIG_IMAGE_H
#define VFIO_MIG_IMAGE_H

#include <linux/types.h>
#include <linux/vfio_mig_core.h>
#include <uapi/linux/vfio_mig_stream.h>

struct vfio_mig;

/**
 * struct vfio_mig_image - an image that is being saved
 * @size: the driver's last answer about the size
 * @begun: &vfio_mig_image_ops.save_begin has succeeded
 * @off: bytes that were read in this save
 * @final: the device is stopped, and the driver has announced the size of the rest
 * @left: announced bytes that are still to be read
 * @complete: all announced bytes were read
 * @reinit: there are new initial data that were not reported to a user
 * @late: there were new initial data, and the user has not opted in to such reports, so
 *	the data count as dirty
 * @announced: bytes that the last report of new initial data counted, and that are still to
 *	be read
 * @ready: there may be data to read; looked at without the session mutex
 */
struct vfio_mig_image {
	struct vfio_mig_image_size size;
	bool begun;
	u64 off;
	bool final;
	u64 left;
	bool complete;
	bool reinit;
	bool late;
	u64 announced;
	bool ready;
};

int vfio_mig_image_save_begin(struct vfio_mig *mig, enum vfio_mig_image_phase phase);
void vfio_mig_image_save_end(struct vfio_mig *mig);
int vfio_mig_image_ask(struct vfio_mig *mig);
u64 vfio_mig_image_pending(const struct vfio_mig *mig);
u64 vfio_mig_image_initial(const struct vfio_mig *mig);
bool vfio_mig_image_reinit(struct vfio_mig *mig, bool opted_in);
void vfio_mig_image_announce(struct vfio_mig *mig);
int vfio_mig_image_read(struct vfio_mig *mig, struct vfio_mig_image_hdr *h, size_t room);

int vfio_mig_image_load_begin(struct vfio_mig *mig);
int vfio_mig_image_error(int err);

#endif /* VFIO_MIG_IMAGE_H */
