// SPDX-License-Identifier: GPL-2.0-only
/* A device that consists of memory */
#include "memory_device.h"

struct prepared {
	size_t len;
	u8 control[];
};

static struct memory_device *device_of(struct vfio_device *vdev)
{
	return container_of(vdev, struct memory_device, vdev);
}

static size_t device_save(struct vfio_device *vdev, void *buf)
{
	struct memory_device *dev = device_of(vdev);

	memcpy(buf, dev->control, dev->control_len);
	return dev->control_len;
}

/* A state that starts with 0xff is bad. */
static void *device_prepare(struct vfio_device *vdev, u32 version, const void *buf,
			    size_t len)
{
	struct prepared *p;

	(void)vdev;
	must(len <= DEVICE_CONTROL);
	if (len && *(const u8 *)buf == 0xff)
		return ERR_PTR(-EINVAL);
	p = kmalloc(sizeof(*p) + len, GFP_KERNEL);
	if (!p)
		return ERR_PTR(-ENOMEM);
	p->len = len;
	memcpy(p->control, buf, len);
	return p;
}

static void device_apply(struct vfio_device *vdev, void *prepared)
{
	struct memory_device *dev = device_of(vdev);
	struct prepared *p = prepared;

	must(!dev->mig.desc.image || dev->checked);
	dev->image_len = dev->coming_len;
	memcpy(dev->image, dev->coming, dev->coming_len);
	dev->control_len = p->len;
	memcpy(dev->control, p->control, p->len);
	kfree(p);
}

static int device_save_begin(struct vfio_device *vdev, enum vfio_mig_image_phase phase)
{
	struct memory_device *dev = device_of(vdev);

	must(!dev->saving && phase == VFIO_MIG_IMAGE_STOPPED);
	dev->saving = true;
	dev->image_read = 0;
	return 0;
}

static int device_size(struct vfio_device *vdev, enum vfio_mig_image_phase phase,
		       struct vfio_mig_image_size *size)
{
	struct memory_device *dev = device_of(vdev);

	(void)phase;
	size->dirty = dev->image_len - dev->image_read;
	return 0;
}

/* Reads return pieces of two sizes. */
static ssize_t device_read(struct vfio_device *vdev, enum vfio_mig_image_phase phase,
			   void *buf, size_t len)
{
	struct memory_device *dev = device_of(vdev);
	size_t n = min3(len, dev->image_len - dev->image_read, 700);

	must(dev->saving && phase == VFIO_MIG_IMAGE_STOPPED);
	memcpy(buf, dev->image + dev->image_read, n);
	dev->image_read += n;
	return n;
}

static void device_save_end(struct vfio_device *vdev)
{
	must(device_of(vdev)->saving);
	device_of(vdev)->saving = false;
}

static int device_load_begin(struct vfio_device *vdev)
{
	struct memory_device *dev = device_of(vdev);

	must(!dev->loading);
	dev->loading = true;
	dev->checked = false;
	dev->coming_len = 0;
	return 0;
}

static int device_write(struct vfio_device *vdev, enum vfio_mig_image_phase phase, u64 off,
			const void *buf, size_t len)
{
	struct memory_device *dev = device_of(vdev);

	(void)phase;
	must(dev->loading && off == dev->coming_len && len);
	if (len > DEVICE_IMAGE - off)
		return -EFBIG;
	memcpy(dev->coming + off, buf, len);
	dev->coming_len += len;
	dev->checked = false;
	return 0;
}

/* An image that starts with 0xff is bad. */
static int device_check(struct vfio_device *vdev, u32 version)
{
	struct memory_device *dev = device_of(vdev);

	must(dev->loading && !dev->checked && version);
	if (dev->coming_len && dev->coming[0] == 0xff)
		return -EINVAL;
	dev->checked = true;
	return 0;
}

static void device_load_end(struct vfio_device *vdev)
{
	must(device_of(vdev)->loading);
	device_of(vdev)->loading = false;
}

static const struct vfio_mig_image_ops device_image_ops = {
	.save_begin = device_save_begin,
	.size = device_size,
	.read = device_read,
	.save_end = device_save_end,
	.load_begin = device_load_begin,
	.write = device_write,
	.check = device_check,
	.load_end = device_load_end,
};

static const struct vfio_mig_ops device_ops = {
	.save = device_save,
	.prepare = device_prepare,
	.apply = device_apply,
};

void device_init(struct memory_device *dev, unsigned int has)
{
	memset(dev, 0, sizeof(*dev));
	dev->budget.limit = 2 * DEVICE_PAGES;
	must(!vfio_mig_pages_init(&dev->pages, DEVICE_PAGES, &dev->budget));
	mutex_init(&dev->mig.lock);
	dev->mig.vdev = &dev->vdev;
	dev->mig.state = VFIO_MIG_STOP;
	dev->mig.desc = (struct vfio_mig_desc) {
		.type = "memory",
		.control_version = 3,
		.control_max = DEVICE_CONTROL,
		.ops = &device_ops,
		.pages = has & DEVICE_HAS_PAGES ? &dev->pages : NULL,
		.image = has & DEVICE_HAS_IMAGE ? &device_image_ops : NULL,
		.image_max = DEVICE_IMAGE,
	};
}

/* The device must leave no memory behind. */
void device_destroy(struct memory_device *dev)
{
	must(!dev->saving && !dev->loading);
	vfio_mig_pages_destroy(&dev->pages);
	must(!dev->budget.used.v);
}

void device_fill(struct memory_device *dev, pgoff_t index, u8 value)
{
	struct page *page = vfio_mig_page_write_begin(&dev->pages, index);

	memset(page_address(page), value, PAGE_SIZE);
	vfio_mig_page_write_end(&dev->pages, index);
}
