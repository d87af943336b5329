// SPDX-License-Identifier: GPL-2.0-only
/* A device that is nothing but memory. */
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

/* No state starts with 0xff. */
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

	dev->control_len = p->len;
	memcpy(dev->control, p->control, p->len);
	kfree(p);
}

static const struct vfio_mig_ops device_ops = {
	.save = device_save,
	.prepare = device_prepare,
	.apply = device_apply,
};

void device_init(struct memory_device *dev, bool has_pages)
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
		.pages = has_pages ? &dev->pages : NULL,
	};
}

/* Whatever happened to it, nothing of it is left. */
void device_destroy(struct memory_device *dev)
{
	vfio_mig_pages_destroy(&dev->pages);
	must(!dev->budget.used.v);
}

void device_fill(struct memory_device *dev, pgoff_t index, u8 value)
{
	struct page *page = vfio_mig_page_write_begin(&dev->pages, index);

	memset(page_address(page), value, PAGE_SIZE);
	vfio_mig_page_write_end(&dev->pages, index);
}
