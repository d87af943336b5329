// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VFIO operations of an emulated PCI function
 *
 * Little of this code is about migration. The library has it because the migration region is
 * one of the function's regions and has capabilities. Otherwise a driver that gets migration
 * would have to change all of these operations.
 */
#include <linux/hashtable.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "irq.h"
#include "mig.h"

/*
 * Devices without v2. Such a device has no mig_ops, because VFIO would offer v2 then. So
 * the device itself does not lead to the library's object.
 */
static DEFINE_HASHTABLE(without_v2, 6);
static DEFINE_SPINLOCK(without_v2_lock);

/**
 * vfio_mig_pci_add - add a device without v2 to the table
 * @mig: the device; not registered yet
 */
void vfio_mig_pci_add(struct vfio_mig *mig)
{
	spin_lock(&without_v2_lock);
	hash_add_rcu(without_v2, &mig->node, (unsigned long)mig->vdev);
	spin_unlock(&without_v2_lock);
}

/**
 * vfio_mig_pci_remove - opposite of vfio_mig_pci_add()
 * @mig: the device, not registered any more
 *
 * Context: may sleep.
 */
void vfio_mig_pci_remove(struct vfio_mig *mig)
{
	spin_lock(&without_v2_lock);
	hash_del_rcu(&mig->node);
	spin_unlock(&without_v2_lock);
	/* Others may be walking the table. */
	synchronize_rcu();
}

static struct vfio_mig *find_without_v2(struct vfio_device *vdev)
{
	struct vfio_mig *mig;

	rcu_read_lock();
	hash_for_each_possible_rcu(without_v2, mig, node, (unsigned long)vdev)
		if (mig->vdev == vdev)
			break;
	rcu_read_unlock();
	return mig;
}

/* A driver that uses these functions has the library's mig_ops, or none. */
static struct vfio_mig *to_mig(struct vfio_device *vdev)
{
	return vdev->mig_ops ? vfio_mig_of(vdev) : find_without_v2(vdev);
}

/* The migration region is the last, where there is one. */
static bool is_migration(struct vfio_mig *mig, u64 index)
{
	return index == VFIO_MIG_PCI_REGION && vfio_mig_has_v1(mig);
}

/**
 * vfio_mig_pci_open - open an emulated PCI function
 * @vdev: the device
 *
 * Context: &vfio_device_ops.open_device of a driver that has nothing else to do there.
 * Return: the return value of vfio_mig_open().
 */
int vfio_mig_pci_open(struct vfio_device *vdev)
{
	return vfio_mig_open(to_mig(vdev));
}
EXPORT_SYMBOL_GPL(vfio_mig_pci_open);

static u64 region_size(struct vfio_mig *mig, u64 index)
{
	return index < VFIO_PCI_NUM_REGIONS ?
	       mig->desc.pci->region_size[index] : 0;
}

static bool is_memory(struct vfio_mig *mig, u64 index)
{
	return region_size(mig, index) && mig->desc.pci->memory & BIT(index);
}

static u32 nr_regions(struct vfio_mig *mig)
{
	return vfio_mig_has_v1(mig) ? VFIO_MIG_PCI_REGION + 1 : VFIO_MIG_PCI_REGION;
}

static long get_info(struct vfio_mig *mig, void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info = {};
	size_t size;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;

	size = min_t(size_t, info.argsz, sizeof(info));
	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = nr_regions(mig);
	info.num_irqs = VFIO_PCI_NUM_IRQS;
	return copy_to_user(arg, &info, size) ? -EFAULT : 0;
}

/* Copies capabilities after the structure if they fit. Reports the needed size otherwise. */
static int put_region_info(void __user *arg, struct vfio_region_info *info,
			   struct vfio_info_cap *caps)
{
	u32 argsz = info->argsz;

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
 * @vdev: the device
 * @info: has the region's index; the other members are filled in
 * @caps: capabilities are added here
 *
 * Context: &vfio_device_ops.get_region_info_caps, if the kernel has this operation.
 * Otherwise vfio_mig_pci_ioctl() calls this function.
 * Return: 0, -EINVAL for an index without a region, or -ENOMEM.
 */
int vfio_mig_pci_region_info(struct vfio_device *vdev,
			     struct vfio_region_info *info,
			     struct vfio_info_cap *caps)
{
	struct vfio_mig *mig = to_mig(vdev);

	if (info->index >= nr_regions(mig))
		return -EINVAL;

	info->offset = (u64)info->index << VFIO_MIG_PCI_SHIFT;
	/* VFIO of Linux 7.3 would return the user's own value. */
	info->cap_offset = 0;
	if (is_migration(mig, info->index))
		return vfio_mig_region_info(mig, info, caps);
	info->flags = 0;
	info->size = region_size(mig, info->index);
	if (info->size)
		info->flags |= VFIO_REGION_INFO_FLAG_READ |
			       VFIO_REGION_INFO_FLAG_WRITE;
	if (is_memory(mig, info->index))
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_mig_pci_region_info);

static long get_region_info(struct vfio_device *vdev, void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_region_info, offset);
	struct vfio_region_info info = {};
	struct vfio_info_cap caps = {};
	long ret;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	ret = vfio_mig_pci_region_info(vdev, &info, &caps);
	if (!ret)
		ret = put_region_info(arg, &info, &caps);
	kfree(caps.buf);
	return ret;
}

/*
 * A kind of interrupt that the device does not have is reported with a count of 0. ERR is
 * refused instead, as by vfio-pci, because QEMU warns about an ERR with a count of 0.
 */
static long get_irq_info(const struct vfio_mig_pci *pci, void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_irq_info, count);
	struct vfio_irq_info info;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz || info.index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	if (info.index == VFIO_PCI_ERR_IRQ_INDEX && !pci->nr_irqs[info.index])
		return -EINVAL;

	info.count = pci->nr_irqs[info.index];
	info.flags = VFIO_IRQ_INFO_EVENTFD;
	if (info.index == VFIO_PCI_INTX_IRQ_INDEX)
		info.flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long set_irqs(struct vfio_mig *mig, void __user *arg)
{
	const struct vfio_mig_pci *pci = mig->desc.pci;
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
	ret = pci->set_irqs ? pci->set_irqs(mig->vdev, &set, data) :
			      vfio_mig_irqs_set(mig, &set, data);
	kfree(data);
	return ret;
}

/**
 * vfio_mig_pci_ioctl - answer the ioctls of an emulated PCI function
 * @vdev: the device
 * @cmd: VFIO_DEVICE_GET_INFO, _GET_REGION_INFO, _GET_IRQ_INFO, _SET_IRQS or
 *	_RESET
 * @arg: argument of the ioctl
 *
 * Context: &vfio_device_ops.ioctl.
 * Return: 0, -ENOTTY for any other ioctl, -EINVAL, -EFAULT, -ENOMEM, or an error of
 * &vfio_mig_pci.set_irqs or vfio_mig_reset().
 */
long vfio_mig_pci_ioctl(struct vfio_device *vdev, unsigned int cmd,
			unsigned long arg)
{
	struct vfio_mig *mig = to_mig(vdev);
	void __user *uarg = (void __user *)arg;

	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return get_info(mig, uarg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return get_region_info(vdev, uarg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return get_irq_info(mig->desc.pci, uarg);
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(mig, uarg);
	case VFIO_DEVICE_RESET:
		return vfio_mig_reset(mig);
	default:
		return -ENOTTY;
	}
}
EXPORT_SYMBOL_GPL(vfio_mig_pci_ioctl);

/* Returns the width of the widest access that is aligned and within the request. */
static size_t access_len(u64 index, u64 off, size_t count)
{
	size_t len = index == VFIO_PCI_CONFIG_REGION_INDEX ? 4 : 8;

	while (len > count || off & (len - 1))
		len /= 2;
	return len;
}

static ssize_t access(struct vfio_mig *mig, u64 index, u64 off, char __user *buf,
		      size_t count, bool write)
{
	const struct vfio_mig_pci *pci = mig->desc.pci;
	u64 size = region_size(mig, index);
	size_t len, done;
	u8 val[8];
	int ret;

	if (off >= size)
		return -EINVAL;

	count = min_t(u64, count, size - off);
	for (done = 0; done < count; done += len) {
		len = access_len(index, off + done, count - done);
		if (write && copy_from_user(val, buf + done, len))
			return -EFAULT;
		ret = pci->access(mig->vdev, index, off + done, val, len,
				  write);
		if (ret)
			return ret;
		if (!write && copy_to_user(buf + done, val, len))
			return -EFAULT;
	}
	return done;
}

static ssize_t pci_rw(struct vfio_device *vdev, char __user *buf, size_t count,
		      loff_t *ppos, bool write)
{
	u64 index = vfio_mig_pci_index(*ppos), off = vfio_mig_pci_offset(*ppos);
	struct vfio_mig *mig = to_mig(vdev);
	ssize_t ret;

	if (is_migration(mig, index))
		ret = write ? vfio_mig_region_write(mig, buf, count, off) :
			      vfio_mig_region_read(mig, buf, count, off);
	else if (is_memory(mig, index))
		ret = write ? vfio_mig_pages_write(mig->desc.pages, buf, count, off) :
			      vfio_mig_pages_read(mig->desc.pages, buf, count, off);
	else
		ret = access(mig, index, off, buf, count, write);
	if (ret > 0)
		*ppos += ret;
	return ret;
}

/**
 * vfio_mig_pci_read - read(2) of an emulated PCI function's regions
 * @vdev: the device
 * @buf: user buffer
 * @count: bytes to read
 * @ppos: offset in the device's file
 *
 * Context: &vfio_device_ops.read.
 * Return: the number of bytes read, which is less than @count at the end of a region only;
 * -EINVAL for an offset outside of all regions, -EFAULT, or an error of
 * &vfio_mig_pci.access, vfio_mig_pages_read() or vfio_mig_region_read().
 */
ssize_t vfio_mig_pci_read(struct vfio_device *vdev, char __user *buf,
			  size_t count, loff_t *ppos)
{
	return pci_rw(vdev, buf, count, ppos, false);
}
EXPORT_SYMBOL_GPL(vfio_mig_pci_read);

/**
 * vfio_mig_pci_write - write(2) of an emulated PCI function's regions
 * @vdev: the device
 * @buf: user buffer
 * @count: bytes to write
 * @ppos: offset in the device's file
 *
 * Context: &vfio_device_ops.write.
 * Return: as vfio_mig_pci_read().
 */
ssize_t vfio_mig_pci_write(struct vfio_device *vdev, const char __user *buf,
			   size_t count, loff_t *ppos)
{
	return pci_rw(vdev, (char __user *)buf, count, ppos, true);
}
EXPORT_SYMBOL_GPL(vfio_mig_pci_write);

/**
 * vfio_mig_pci_mmap - mmap(2) of an emulated PCI function's regions
 * @vdev: the device
 * @vma: the mapping
 *
 * Context: &vfio_device_ops.mmap.
 * Return: 0, -EINVAL for a region that cannot be mapped, or an error of
 * vfio_mig_region_mmap() or vfio_mig_pages_mmap().
 */
int vfio_mig_pci_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	u64 pos = (u64)vma->vm_pgoff << PAGE_SHIFT;
	pgoff_t first = vfio_mig_pci_offset(pos) >> PAGE_SHIFT;
	u64 index = vfio_mig_pci_index(pos);
	struct vfio_mig *mig = to_mig(vdev);

	if (is_migration(mig, index))
		return vfio_mig_region_mmap(mig, vma, first);
	if (is_memory(mig, index))
		return vfio_mig_pages_mmap(mig->desc.pages, vma, first);
	return -EINVAL;
}
EXPORT_SYMBOL_GPL(vfio_mig_pci_mmap);
