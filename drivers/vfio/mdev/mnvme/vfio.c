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
	mnvme_level_init(dev);
	mutex_init(&dev->ctrl);
	mutex_init(&dev->lock);
	spin_lock_init(&dev->events.lock);
	spin_lock_init(&dev->log.lock);
	init_waitqueue_head(&dev->halt);
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
	vfio_mig_free_device(vdev);
}

static int mnvme_open_device(struct vfio_device *vdev)
{
	struct mnvme *dev = to_mnvme(vdev);
	int ret;

	/* The executors start first, because vfio_mig_open() makes the device run. */
	ret = mnvme_executors_start(dev);
	if (ret)
		return ret;
	dev->mm = current->mm;
	mmgrab(dev->mm);
	ret = vfio_mig_open(dev->mig);
	if (!ret) {
		mnvme_power_came(dev);
	} else {
		mnvme_executors_stop(dev);
		mmdrop(dev->mm);
		dev->mm = NULL;
	}
	return ret;
}

static void mnvme_close_device(struct vfio_device *vdev)
{
	struct mnvme *dev = to_mnvme(vdev);

	/*
	 * The session ends first. Its data file can still be read, and the reader must not get
	 * the state of a controller that has lost its power.
	 */
	vfio_mig_close(dev->mig);
	/* Closing the device is like a loss of power. The next user finds the namespace's data. */
	mnvme_power_went(dev);
	mnvme_power_on(dev);

	mutex_lock(&dev->lock);
	mnvme_irq_release_user(dev);
	mutex_unlock(&dev->lock);
	mnvme_executors_stop(dev);
	mmdrop(dev->mm);
	dev->mm = NULL;
}

static int mnvme_set_irqs(struct vfio_device *vdev,
			  const struct vfio_irq_set *set, const void *data)
{
	struct mnvme *dev = to_mnvme(vdev);
	int ret;

	mutex_lock(&dev->lock);
	ret = mnvme_irq_set(dev, set, data);
	mutex_unlock(&dev->lock);
	return ret;
}

/* Serves an aligned access of 1, 2 or 4 bytes, or of 8 bytes in a BAR. */
static int mnvme_access(struct vfio_device *vdev, u32 index, u64 off, u8 *buf,
			size_t len, bool write)
{
	struct mnvme *dev = to_mnvme(vdev);

	if (index == VFIO_PCI_BAR0_REGION_INDEX)
		return write ? mnvme_bar_write(dev, off, buf, len) :
			       mnvme_bar_read(dev, off, buf, len);
	if (write)
		mnvme_config_write(dev, off, buf, len);
	else
		mnvme_config_read(dev, off, buf, len);
	return 0;
}

/* Users cannot map these regions, because accesses to registers have side effects. */
const struct vfio_mig_pci mnvme_pci = {
	.region_size[VFIO_PCI_BAR0_REGION_INDEX] = MNVME_BAR_SIZE,
	.region_size[VFIO_PCI_CONFIG_REGION_INDEX] = PCI_CFG_SPACE_EXP_SIZE,
	.nr_irqs[VFIO_PCI_INTX_IRQ_INDEX] = 1,
	.nr_irqs[VFIO_PCI_MSI_IRQ_INDEX] = MNVME_NR_MSI,
	.nr_irqs[VFIO_PCI_MSIX_IRQ_INDEX] = MNVME_NR_VECTORS,
	.nr_irqs[VFIO_PCI_REQ_IRQ_INDEX] = 1,
	.access = mnvme_access,
	.set_irqs = mnvme_set_irqs,
};

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
	.read = vfio_mig_pci_read,
	.write = vfio_mig_pci_write,
	.mmap = vfio_mig_pci_mmap,
	.ioctl = vfio_mig_pci_ioctl,
	VFIO_MIG_REGION_INFO_OP(vfio_mig_pci_region_info)
	VFIO_MIG_IOMMUFD_OPS
	.request = mnvme_request,
};
