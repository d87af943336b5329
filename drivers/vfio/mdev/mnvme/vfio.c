// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VFIO device: regions, ioctls, open and close
 */
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "mnvme.h"

static int mnvme_init_dev(struct vfio_device *vdev)
{
	struct mdev_device *mdev = to_mdev_device(vdev->dev);
	struct mnvme *dev = to_mnvme(vdev);
	int ret;

	dev->type = container_of(mdev->type, struct mnvme_type, type);
	ret = mnvme_instance_get(dev->type);
	if (ret)
		return ret;

	ret = vfio_mig_pages_init(&dev->pages,
				  dev->type->ns_size >> MNVME_NS_PAGE_SHIFT,
				  &mnvme_budget);
	if (ret) {
		mnvme_instance_put();
		return ret;
	}

	mnvme_set_identity(dev, &mdev->uuid);
	mutex_init(&dev->lock);
	spin_lock_init(&dev->events.lock);
	spin_lock_init(&dev->log.lock);
	INIT_WORK(&dev->ctrl_work, mnvme_ctrl_work);
	mnvme_irq_init(&dev->irq);
	mnvme_queues_init(dev);
	return 0;
}

static void mnvme_release_dev(struct vfio_device *vdev)
{
	struct mnvme *dev = to_mnvme(vdev);

	vfio_mig_pages_destroy(&dev->pages);
	mnvme_instance_put();
	vfio_free_device(vdev);
}

static int mnvme_open_device(struct vfio_device *vdev)
{
	struct mnvme *dev = to_mnvme(vdev);
	int ret;

	dev->mm = current->mm;
	if (dev->mm)
		mmgrab(dev->mm);
	ret = vfio_mig_open(dev->mig);
	if (ret && dev->mm)
		mmdrop(dev->mm);
	return ret;
}

static void mnvme_close_device(struct vfio_device *vdev)
{
	struct mnvme *dev = to_mnvme(vdev);

	vfio_mig_close(dev->mig);

	/* As if the machine lost power: what the next user finds is a disk. */
	mutex_lock(&dev->lock);
	mnvme_power_on(dev);
	mnvme_irq_release_user(dev);
	mutex_unlock(&dev->lock);

	if (dev->mm)
		mmdrop(dev->mm);
	dev->mm = NULL;
}

static u64 mnvme_region_size(u32 index)
{
	switch (index) {
	case VFIO_PCI_BAR0_REGION_INDEX:
		return MNVME_BAR_SIZE;
	case VFIO_PCI_CONFIG_REGION_INDEX:
		return PCI_CFG_SPACE_EXP_SIZE;
	default:
		return 0;
	}
}

/* One access of 1, 2, 4 or (BAR only) 8 bytes, naturally aligned. */
static int mnvme_access(struct mnvme *dev, u32 index, u32 off, u8 *buf,
			size_t len, bool write)
{
	if (index == VFIO_PCI_BAR0_REGION_INDEX)
		return write ? mnvme_bar_write(dev, off, buf, len) :
			       mnvme_bar_read(dev, off, buf, len);
	if (write)
		mnvme_config_write(dev, off, buf, len);
	else
		mnvme_config_read(dev, off, buf, len);
	return 0;
}

/* The widest access that is aligned and stays within what is asked for. */
static size_t mnvme_access_size(u32 index, u64 off, size_t count)
{
	size_t len = index == VFIO_PCI_BAR0_REGION_INDEX ? 8 : 4;

	while (len > count || off & (len - 1))
		len /= 2;
	return len;
}

static ssize_t mnvme_rw(struct mnvme *dev, char __user *buf, size_t count,
			u32 index, u64 off, bool write)
{
	u64 size = mnvme_region_size(index);
	size_t len, done;
	u8 val[8];
	int ret;

	if (!size || off >= size)
		return -EINVAL;

	count = min_t(u64, count, size - off);
	for (done = 0; done < count; done += len) {
		len = mnvme_access_size(index, off + done, count - done);
		if (write && copy_from_user(val, buf + done, len))
			return -EFAULT;
		ret = mnvme_access(dev, index, off + done, val, len, write);
		if (ret)
			return ret;
		if (!write && copy_to_user(buf + done, val, len))
			return -EFAULT;
	}
	return done;
}

static ssize_t mnvme_read(struct vfio_device *vdev, char __user *buf,
			  size_t count, loff_t *ppos)
{
	struct mnvme *dev = to_mnvme(vdev);
	u32 index = *ppos >> MNVME_REGION_SHIFT;
	u64 off = *ppos & MNVME_REGION_MASK;
	ssize_t ret;

	if (index == MNVME_REGION_MIGRATION)
		ret = vfio_mig_region_read(dev->mig, buf, count, off);
	else
		ret = mnvme_rw(dev, buf, count, index, off, false);
	if (ret > 0)
		*ppos += ret;
	return ret;
}

static ssize_t mnvme_write(struct vfio_device *vdev, const char __user *buf,
			   size_t count, loff_t *ppos)
{
	struct mnvme *dev = to_mnvme(vdev);
	u32 index = *ppos >> MNVME_REGION_SHIFT;
	u64 off = *ppos & MNVME_REGION_MASK;
	ssize_t ret;

	if (index == MNVME_REGION_MIGRATION)
		ret = vfio_mig_region_write(dev->mig, buf, count, off);
	else
		ret = mnvme_rw(dev, (char __user *)buf, count, index, off, true);
	if (ret > 0)
		*ppos += ret;
	return ret;
}

static int mnvme_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	u32 index = vma->vm_pgoff >> (MNVME_REGION_SHIFT - PAGE_SHIFT);

	/* Registers are trapped. */
	if (index != MNVME_REGION_MIGRATION)
		return -EINVAL;
	return vfio_mig_region_mmap(to_mnvme(vdev)->mig, vma);
}

static long mnvme_get_info(void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;

	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = MNVME_NR_REGIONS;
	info.num_irqs = VFIO_PCI_NUM_IRQS;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

/* Puts capabilities after the structure if there is room, else says how much. */
static long mnvme_copy_region_info(void __user *arg,
				   struct vfio_region_info *info,
				   struct vfio_info_cap *caps)
{
	u32 argsz = info->argsz;

	if (caps->size) {
		info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
		info->argsz = sizeof(*info) + caps->size;
		info->cap_offset = 0;
		if (argsz >= info->argsz) {
			vfio_info_cap_shift(caps, sizeof(*info));
			if (copy_to_user(arg + sizeof(*info), caps->buf,
					 caps->size))
				return -EFAULT;
			info->cap_offset = sizeof(*info);
		}
	}
	return copy_to_user(arg, info, min_t(size_t, argsz, sizeof(*info))) ?
	       -EFAULT : 0;
}

static long mnvme_get_region_info(struct mnvme *dev, void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_region_info, offset);
	struct vfio_info_cap caps = {};
	struct vfio_region_info info = {};
	long ret = 0;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz || info.index >= MNVME_NR_REGIONS)
		return -EINVAL;

	info.flags = 0;
	info.cap_offset = 0;
	info.size = mnvme_region_size(info.index);
	if (info.index == MNVME_REGION_MIGRATION)
		ret = vfio_mig_region_info(dev->mig, &info, &caps);
	else if (info.size)
		info.flags = VFIO_REGION_INFO_FLAG_READ |
			     VFIO_REGION_INFO_FLAG_WRITE;
	info.offset = (u64)info.index << MNVME_REGION_SHIFT;
	if (!ret)
		ret = mnvme_copy_region_info(arg, &info, &caps);
	kfree(caps.buf);
	return ret;
}

static long mnvme_get_irq_info(void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_irq_info, count);
	struct vfio_irq_info info;
	int ret;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz || info.index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;

	ret = mnvme_irq_info(&info);
	if (ret)
		return ret;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long mnvme_set_irqs(struct mnvme *dev, void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_irq_set, count);
	struct vfio_irq_set hdr;
	void *data = NULL;
	size_t size;
	int ret;

	if (copy_from_user(&hdr, arg, minsz))
		return -EFAULT;
	ret = vfio_set_irqs_validate_and_prepare(&hdr, mnvme_irq_count(hdr.index),
						 VFIO_PCI_NUM_IRQS, &size);
	if (ret)
		return ret;

	if (size) {
		data = memdup_user(arg + minsz, size);
		if (IS_ERR(data))
			return PTR_ERR(data);
	}
	mutex_lock(&dev->lock);
	ret = mnvme_irq_set(dev, &hdr, data);
	mutex_unlock(&dev->lock);
	kfree(data);
	return ret;
}

static long mnvme_ioctl(struct vfio_device *vdev, unsigned int cmd,
			unsigned long arg)
{
	struct mnvme *dev = to_mnvme(vdev);
	void __user *uarg = (void __user *)arg;

	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return mnvme_get_info(uarg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return mnvme_get_region_info(dev, uarg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return mnvme_get_irq_info(uarg);
	case VFIO_DEVICE_SET_IRQS:
		return mnvme_set_irqs(dev, uarg);
	case VFIO_DEVICE_RESET:
		return vfio_mig_reset(dev->mig);
	default:
		return -ENOTTY;
	}
}

static void mnvme_request(struct vfio_device *vdev, unsigned int count)
{
	mnvme_irq_request(to_mnvme(vdev), count);
}

const struct vfio_device_ops mnvme_vfio_ops = {
	.name = "mnvme",
	.init = mnvme_init_dev,
	.release = mnvme_release_dev,
	.open_device = mnvme_open_device,
	.close_device = mnvme_close_device,
	.read = mnvme_read,
	.write = mnvme_write,
	.mmap = mnvme_mmap,
	.ioctl = mnvme_ioctl,
	.request = mnvme_request,
};
