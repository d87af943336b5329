// SPDX-License-Identifier: GPL-2.0-only
/*
 * What every emulated PCI function answers to VFIO's ioctls
 *
 * None of it is about migration, but the region of the v1 protocol comes with
 * capabilities, which a driver without it need not know how to hand over.
 */
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "mig.h"

static long get_info(void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;

	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = VFIO_MIG_PCI_REGION + 1;
	info.num_irqs = VFIO_PCI_NUM_IRQS;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

/* Puts capabilities after the structure if there is room, else says how much. */
static int put_region_info(void __user *arg, struct vfio_region_info *info,
			   struct vfio_info_cap *caps)
{
	u32 argsz = info->argsz;

	info->cap_offset = 0;
	if (caps->size) {
		info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
		info->argsz = sizeof(*info) + caps->size;
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

/**
 * vfio_mig_pci_region_info - describe a region of an emulated PCI function
 * @mig: the device
 * @pci: what the function has
 * @info: has the region's index; the rest is filled in
 * @caps: capabilities are added here
 *
 * Context: &vfio_device_ops.get_region_info_caps, where the kernel has that;
 * elsewhere vfio_mig_pci_ioctl() serves.
 * Return: 0, -EINVAL for an index that there is not, or -ENOMEM.
 */
int vfio_mig_pci_region_info(struct vfio_mig *mig,
			     const struct vfio_mig_pci *pci,
			     struct vfio_region_info *info,
			     struct vfio_info_cap *caps)
{
	if (info->index > VFIO_MIG_PCI_REGION)
		return -EINVAL;

	info->offset = (u64)info->index << VFIO_MIG_PCI_SHIFT;
	if (info->index == VFIO_MIG_PCI_REGION)
		return vfio_mig_region_info(mig, info, caps);
	info->flags = 0;
	info->size = pci->region_size[info->index];
	if (info->size)
		info->flags |= VFIO_REGION_INFO_FLAG_READ |
			       VFIO_REGION_INFO_FLAG_WRITE;
	if (info->size && pci->mappable & BIT(info->index))
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_mig_pci_region_info);

static long get_region_info(struct vfio_mig *mig,
			    const struct vfio_mig_pci *pci, void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_region_info, offset);
	struct vfio_region_info info = {};
	struct vfio_info_cap caps = {};
	long ret;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	ret = vfio_mig_pci_region_info(mig, pci, &info, &caps);
	if (!ret)
		ret = put_region_info(arg, &info, &caps);
	kfree(caps.buf);
	return ret;
}

static long get_irq_info(const struct vfio_mig_pci *pci, void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_irq_info, count);
	struct vfio_irq_info info;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz || info.index >= VFIO_PCI_NUM_IRQS ||
	    !pci->nr_irqs[info.index])
		return -EINVAL;

	info.count = pci->nr_irqs[info.index];
	info.flags = VFIO_IRQ_INFO_EVENTFD;
	if (info.index == VFIO_PCI_INTX_IRQ_INDEX)
		info.flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long set_irqs(struct vfio_mig *mig, const struct vfio_mig_pci *pci,
		     void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_irq_set, count);
	struct vfio_irq_set set;
	void *data = NULL;
	size_t size;
	int ret;

	if (copy_from_user(&set, arg, minsz))
		return -EFAULT;
	if (set.index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	ret = vfio_set_irqs_validate_and_prepare(&set, pci->nr_irqs[set.index],
						 VFIO_PCI_NUM_IRQS, &size);
	if (ret)
		return ret;

	if (size) {
		data = memdup_user(arg + minsz, size);
		if (IS_ERR(data))
			return PTR_ERR(data);
	}
	ret = pci->set_irqs(mig->vdev, &set, data);
	kfree(data);
	return ret;
}

/**
 * vfio_mig_pci_ioctl - answer the ioctls of an emulated PCI function
 * @mig: the device
 * @pci: what the function has
 * @cmd: VFIO_DEVICE_GET_INFO, _GET_REGION_INFO, _GET_IRQ_INFO, _SET_IRQS or
 *	_RESET
 * @arg: its argument
 *
 * Context: the vendor driver's &vfio_device_ops.ioctl.
 * Return: 0, -ENOTTY for any other ioctl, -EINVAL, -EFAULT, -ENOMEM, or what
 * &vfio_mig_pci.set_irqs or vfio_mig_reset() returned.
 */
long vfio_mig_pci_ioctl(struct vfio_mig *mig, const struct vfio_mig_pci *pci,
			unsigned int cmd, unsigned long arg)
{
	void __user *uarg = (void __user *)arg;

	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return get_info(uarg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return get_region_info(mig, pci, uarg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return get_irq_info(pci, uarg);
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(mig, pci, uarg);
	case VFIO_DEVICE_RESET:
		return vfio_mig_reset(mig);
	default:
		return -ENOTTY;
	}
}
EXPORT_SYMBOL_GPL(vfio_mig_pci_ioctl);
