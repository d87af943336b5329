// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images: state that comes from the vendor driver as a stream of any size
 *
 * The library has one piece of an image in memory at a time. It checks the driver's
 * answers, because they may come from firmware. A driver may read more than the library
 * asked for, or less than the driver announced. Then the library logs this, and the user
 * gets an error instead of a stream that no device loads.
 *
 * All functions are called with the session mutex held, unless they say otherwise.
 */
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/overflow.h>

#include "data.h"
#include "image.h"
#include "machine.h"
#include "mig.h"

/**
 * vfio_mig_image_error - convert a vendor driver's error for the user
 * @err: return value of a callback, not 0
 *
 * Return: @err, or another error if @err is not an errno, is for use inside the kernel
 * only, or has another meaning for the reader of a data file.
 */
int vfio_mig_image_error(int err)
{
	switch (err) {
	case -ERESTARTSYS:
		return -EINTR;
	case -EAGAIN:
	case -ENOMSG:
		return -EIO;
	}
	return err < 0 && err > -ERESTARTSYS ? err : -EIO;
}

static int report(struct vfio_mig *mig, const char *what, int err)
{
	err = vfio_mig_image_error(err);
	if (err != -EINTR && __ratelimit(&mig->log))
		dev_err(mig->vdev->dev, "the device's image: %s failed (%d)\n",
			what, err);
	return err;
}

static enum vfio_mig_image_phase phase(const struct vfio_mig *mig)
{
	if (!mig->save)
		return VFIO_MIG_IMAGE_INFO;
	return vfio_mig_stopped(mig) ? VFIO_MIG_IMAGE_STOPPED : VFIO_MIG_IMAGE_PRECOPY;
}

/**
 * vfio_mig_image_save_begin - tell the driver that a save begins
 * @mig: the device; may have no image
 * @phase: whether the device runs
 *
 * Return: 0, or the driver's error.
 */
int vfio_mig_image_save_begin(struct vfio_mig *mig, enum vfio_mig_image_phase phase)
{
	const struct vfio_mig_image_ops *ops = mig->desc.image;
	int ret;

	if (!ops)
		return 0;
	ret = ops->save_begin ? ops->save_begin(mig->vdev, phase) : 0;
	if (ret)
		return report(mig, "beginning a save", ret);
	mig->image = (struct vfio_mig_image) { .begun = true, .ready = true };
	return 0;
}

/**
 * vfio_mig_image_save_end - tell the driver that the save ends
 * @mig: the device; may have no image. The driver may have refused the save.
 */
void vfio_mig_image_save_end(struct vfio_mig *mig)
{
	const struct vfio_mig_image_ops *ops = mig->desc.image;

	if (mig->image.begun && ops->save_end)
		ops->save_end(mig->vdev);
	/* If a user asks for the size now, the answer is the size of the whole image. */
	mig->image = (struct vfio_mig_image) {};
}

static bool size_valid(const struct vfio_mig_image_size *size, u64 max)
{
	u64 sum;

	return !check_add_overflow(size->initial, size->dirty, &sum) && sum <= max &&
	       size->at_stop <= max;
}

/**
 * vfio_mig_image_ask - ask the driver for the size of the image
 * @mig: the device; may have no image
 *
 * Does not ask the driver while bytes that it announced are still to be read.
 *
 * Return: 0 or an error for the user.
 */
int vfio_mig_image_ask(struct vfio_mig *mig)
{
	const struct vfio_mig_image_ops *ops = mig->desc.image;
	struct vfio_mig_image *image = &mig->image;
	struct vfio_mig_image_size size = {};
	int ret;

	if (!ops || (mig->save && image->final))
		return 0;
	ret = ops->size(mig->vdev, phase(mig), &size);
	if (ret)
		return report(mig, "asking for its size", ret);
	if (!size_valid(&size, mig->desc.image_max)) {
		if (__ratelimit(&mig->log))
			dev_err(mig->vdev->dev,
				"the device's image: %llu, %llu and %llu bytes are said to be left, at most %llu can be\n",
				size.initial, size.dirty, size.at_stop,
				mig->desc.image_max);
		return -EIO;
	}
	image->size = size;
	image->reinit |= size.reinit;
	if (size.initial || size.dirty)
		WRITE_ONCE(image->ready, true);
	return 0;
}

static u64 known(const struct vfio_mig_image *image)
{
	return image->size.initial + image->size.dirty;
}

/**
 * vfio_mig_image_pending - return the number of bytes that can be read now
 * @mig: the device; may have no image
 *
 * Return: the driver's last estimate. While the device is stopped, the exact number
 * without padding.
 */
u64 vfio_mig_image_pending(const struct vfio_mig *mig)
{
	const struct vfio_mig_image *image = &mig->image;
	u64 bytes;

	if (!mig->desc.image)
		return 0;
	if (!vfio_mig_stopped(mig))
		return known(image);
	bytes = image->final ? image->left : known(image);
	/* An image of 0 bytes is sent as one piece without data. */
	return bytes || !image->complete ? bytes + sizeof(struct vfio_mig_image_hdr) : 0;
}

/**
 * vfio_mig_image_initial - return the number of bytes to read before the device is stopped
 * @mig: the device; may have no image
 *
 * Return: the driver's last estimate. 0 if the user does not expect new initial data.
 */
u64 vfio_mig_image_initial(const struct vfio_mig *mig)
{
	const struct vfio_mig_image *image = &mig->image;

	if (!mig->desc.image || image->late)
		return 0;
	return max(image->size.initial, min(image->announced, known(image)));
}

/**
 * vfio_mig_image_reinit - whether to report new initial data to the user
 * @mig: the device; may have no image
 * @opted_in: the user has asked for such reports
 *
 * Return: true once for each time that there are new initial data.
 */
bool vfio_mig_image_reinit(struct vfio_mig *mig, bool opted_in)
{
	bool reinit = mig->image.reinit;

	mig->image.reinit = false;
	mig->image.late |= reinit && !opted_in;
	return reinit && opted_in;
}

/**
 * vfio_mig_image_announce - count all bytes that can be read now as initial
 * @mig: the device; may have no image. The user gets a report of new initial data.
 *
 * The driver may have reported some of these bytes as dirty before. They count as initial until
 * the user has read them.
 */
void vfio_mig_image_announce(struct vfio_mig *mig)
{
	mig->image.late = false;
	mig->image.announced = known(&mig->image);
}

static ssize_t read_some(struct vfio_mig *mig, struct vfio_mig_image_hdr *h, size_t len)
{
	ssize_t n = mig->desc.image->read(mig->vdev, phase(mig), h + 1, len);

	if (n < 0)
		return report(mig, "a read", n);
	if (n <= len)
		return n;
	if (__ratelimit(&mig->log))
		dev_err(mig->vdev->dev,
			"the device's image: a read gave %zd bytes, asked for were %zu\n",
			n, len);
	return -EIO;
}

static void piece(struct vfio_mig *mig, struct vfio_mig_image_hdr *h, size_t n)
{
	struct vfio_mig_image *image = &mig->image;

	*h = (struct vfio_mig_image_hdr) {
		.offset = cpu_to_le64(image->off),
		.left = cpu_to_le64(image->left),
		.length = cpu_to_le32(n),
		.flags = cpu_to_le32(image->final ? VFIO_MIG_IMAGE_F_FINAL : 0),
	};
	image->off += n;
	vfio_mig_count(mig, VFIO_MIG_IMAGE_BYTES, n);
}

static int read_running(struct vfio_mig *mig, struct vfio_mig_image_hdr *h, size_t room)
{
	struct vfio_mig_image_size *size = &mig->image.size;
	ssize_t n;
	u64 first;

	/* Cleared before the read, so that data which come later set the flag again. */
	WRITE_ONCE(mig->image.ready, false);
	smp_mb(); /* pairs with vfio_mig_image_changed() */
	n = read_some(mig, h, room);
	if (n)
		WRITE_ONCE(mig->image.ready, true);
	if (n <= 0)
		return n;
	first = min_t(u64, size->initial, n);
	size->initial -= first;
	size->dirty -= min_t(u64, size->dirty, n - first);
	mig->image.announced -= min_t(u64, mig->image.announced, n);
	piece(mig, h, n);
	return 1;
}

/*
 * Reads exactly the bytes that the driver has announced. After the last byte, the next call asks
 * the driver once more, because the image of a stopped device may have changed.
 */
static int read_stopped(struct vfio_mig *mig, struct vfio_mig_image_hdr *h, size_t room)
{
	struct vfio_mig_image *image = &mig->image;
	ssize_t n = 0;
	int ret;

	if (!image->final) {
		ret = vfio_mig_image_ask(mig);
		if (ret)
			return ret;
		if (image->complete && !known(image))
			return 0;
		image->final = true;
		image->complete = false;
		image->left = known(image);
	}
	if (image->left)
		n = read_some(mig, h, min_t(u64, room, image->left));
	if (n < 0)
		return n;
	if (image->left && !n) {
		if (__ratelimit(&mig->log))
			dev_err(mig->vdev->dev,
				"the device's image ended %llu bytes before its announced end\n",
				image->left);
		return -EIO;
	}
	image->left -= n;
	piece(mig, h, n);
	if (!image->left) {
		image->final = false;
		image->complete = true;
		image->size = (struct vfio_mig_image_size) {};
	}
	return 1;
}

/**
 * vfio_mig_image_read - read the next piece of the image
 * @mig: the device, which has an image; saving
 * @h: buffer for the piece's header and the bytes of the piece behind the header
 * @room: size of the buffer in bytes. At most VFIO_MIG_STREAM_IMAGE_PIECE bytes of the
 *	image are read.
 *
 * Return: 1; 0 if there is nothing to send now; or an error for the user, and then
 * nothing was read.
 */
int vfio_mig_image_read(struct vfio_mig *mig, struct vfio_mig_image_hdr *h, size_t room)
{
	room = min_t(size_t, room - sizeof(*h), VFIO_MIG_STREAM_IMAGE_PIECE);
	room = ALIGN_DOWN(room, VFIO_MIG_STREAM_ALIGN);
	return vfio_mig_stopped(mig) ? read_stopped(mig, h, room) :
				       read_running(mig, h, room);
}

/**
 * vfio_mig_image_changed - report that there is more of an image to read
 * @mig: the library's object
 *
 * Wakes users who wait in poll() for data of a data file. While the device is stopped, a
 * call means that the image changed and that the library has to save it again. Calls at
 * other times do no harm.
 *
 * Context: any.
 */
void vfio_mig_image_changed(struct vfio_mig *mig)
{
	smp_mb(); /* A read that clears the flag sees the change; pairs with read_running(). */
	WRITE_ONCE(mig->image.ready, true);
	vfio_mig_data_wake(mig);
}
EXPORT_SYMBOL_GPL(vfio_mig_image_changed);
