// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivshmem-vfio-pci: a vfio-pci variant driver on vfio-mig-core
 *
 * The driver is for QEMU's ivshmem-plain, a PCI function whose BAR2 is memory. BAR2 is the
 * paged state, and the user maps it as with vfio-pci. One register in BAR0 keeps the value
 * that is written to it, which is the control state. The function does no DMA and raises no
 * interrupt, so the driver has nothing to stop.
 *
 * vfio-pci's memory_lock protects the command register. Code that enables or disables the BARs
 * holds this lock for writing. The library's session mutex comes before memory_lock.
 *
 * Only the driver_override "ivshmem_vfio_pci" binds a function to this driver.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pm_runtime.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vfio_mig_compat.h>
#include <linux/vfio_mig_core.h>
#include <linux/vfio_pci_core.h>

#define IVSHMEM_MEMORY		VFIO_PCI_BAR2_REGION_INDEX
#define IVSHMEM_INTR_MASK	0	/* register in BAR0 */

struct ivshmem {
	struct vfio_pci_core_device core;	/* first, because vfio-pci needs it as drvdata */
	struct vfio_mig *mig;
	struct vfio_mig_pages pages;	/* BAR2 */
	void __iomem *regs;
	void __iomem *memory;
	u16 command;			/* the user's value, from begin() to end() */
};

static struct ivshmem *to_ivshmem(struct vfio_device *vdev)
{
	return container_of(vdev, struct ivshmem, core.vdev);
}

/*
 * Enables the BARs, because the user may have disabled them. VFIO takes memory_lock in a reset,
 * and when the user enables or disables the BARs. So no other code changes them until
 * ivshmem_end().
 */
static int ivshmem_enable(struct ivshmem *iv)
{
	struct pci_dev *pdev = iv->core.pdev;

	lockdep_assert_held_write(&iv->core.memory_lock);
	/* Reads from a function that is removed, or in D3hot, would return ones. */
	if (!pci_device_is_present(pdev) || pdev->current_state == PCI_D3hot)
		return -EIO;
	pci_read_config_word(pdev, PCI_COMMAND, &iv->command);
	if (!(iv->command & PCI_COMMAND_MEMORY))
		pci_write_config_word(pdev, PCI_COMMAND, iv->command | PCI_COMMAND_MEMORY);
	return 0;
}

/* Fails if the user has suspended the function, because its BARs cannot be accessed then. */
static int ivshmem_begin(struct vfio_mig_pages *pages)
{
	struct ivshmem *iv = container_of(pages, struct ivshmem, pages);
	int ret;

	down_write(&iv->core.memory_lock);
	ret = iv->core.pm_runtime_engaged ? -EIO : ivshmem_enable(iv);
	if (ret)
		up_write(&iv->core.memory_lock);
	return ret;
}

static void ivshmem_end(struct vfio_mig_pages *pages)
{
	struct ivshmem *iv = container_of(pages, struct ivshmem, pages);

	if (!(iv->command & PCI_COMMAND_MEMORY))
		pci_write_config_word(iv->core.pdev, PCI_COMMAND, iv->command);
	up_write(&iv->core.memory_lock);
}

static int ivshmem_read_memory(struct vfio_mig_pages *pages, u64 off, void *to, size_t len)
{
	memcpy_fromio(to, container_of(pages, struct ivshmem, pages)->memory + off, len);
	return 0;
}

static int ivshmem_write_memory(struct vfio_mig_pages *pages, u64 off, const void *from, size_t len)
{
	memcpy_toio(container_of(pages, struct ivshmem, pages)->memory + off, from, len);
	return 0;
}

static const struct vfio_mig_memory_ops ivshmem_memory_ops = {
	.begin = ivshmem_begin,
	.end = ivshmem_end,
	.read = ivshmem_read_memory,
	.write = ivshmem_write_memory,
};

static int ivshmem_stop(struct vfio_device *vdev, enum vfio_mig_stop_reason reason)
{
	return 0;
}

/*
 * Does nothing, and is also the reset callback, because vfio-pci has reset the function before.
 * VFIO may hold memory_lock during a reset, so this function must not take the lock.
 */
static void ivshmem_run(struct vfio_device *vdev)
{
}

static size_t ivshmem_save(struct vfio_device *vdev, void *buf)
{
	struct ivshmem *iv = to_ivshmem(vdev);

	if (ivshmem_begin(&iv->pages)) {
		vfio_mig_device_error(iv->mig);
		return 0;
	}
	put_unaligned_le32(ioread32(iv->regs + IVSHMEM_INTR_MASK), buf);
	ivshmem_end(&iv->pages);
	return sizeof(__le32);
}

/* Checks only the length, because the register takes any value. */
static void *ivshmem_prepare(struct vfio_device *vdev, u32 version, const void *buf, size_t len)
{
	if (len == sizeof(__le32))
		return kmemdup(buf, len, GFP_KERNEL_ACCOUNT) ?: ERR_PTR(-ENOMEM);
	dev_err_ratelimited(vdev->dev, "%zu bytes are no interrupt mask\n", len);
	return ERR_PTR(-EINVAL);
}

static void ivshmem_apply(struct vfio_device *vdev, void *prepared)
{
	struct ivshmem *iv = to_ivshmem(vdev);

	if (ivshmem_begin(&iv->pages)) {
		vfio_mig_device_error(iv->mig);
	} else {
		iowrite32(get_unaligned_le32(prepared), iv->regs + IVSHMEM_INTR_MASK);
		ivshmem_end(&iv->pages);
	}
	kfree(prepared);
}

static const struct vfio_mig_ops ivshmem_mig_ops = {
	.stop = ivshmem_stop,
	.run = ivshmem_run,
	.reset = ivshmem_run,
	.save = ivshmem_save,
	.prepare = ivshmem_prepare,
	.apply = ivshmem_apply,
};

/* Reports a change also for a write that failed, because it may have stored a part. */
static ssize_t ivshmem_write(struct vfio_device *vdev, const char __user *buf, size_t count,
			     loff_t *ppos)
{
	struct ivshmem *iv = to_ivshmem(vdev);
	loff_t pos = *ppos;
	ssize_t ret = vfio_pci_core_write(vdev, buf, count, ppos);

	if (VFIO_PCI_OFFSET_TO_INDEX(pos) == IVSHMEM_MEMORY)
		vfio_mig_pages_changed(&iv->pages, pos & VFIO_PCI_OFFSET_MASK, count);
	else
		vfio_mig_control_changed(iv->mig);
	return ret;
}

static int ivshmem_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	u64 pos = (u64)vma->vm_pgoff << PAGE_SHIFT;
	int ret = vfio_pci_core_mmap(vdev, vma);

	if (ret || VFIO_PCI_OFFSET_TO_INDEX(pos) != IVSHMEM_MEMORY)
		return ret;
	return vfio_mig_pages_track_mmap(&to_ivshmem(vdev)->pages, vma,
					 (pos & VFIO_PCI_OFFSET_MASK) >> PAGE_SHIFT);
}

/* VFIO_DEVICE_IOEVENTFD is refused, because the library cannot track the stores of an eventfd. */
static long ivshmem_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	return cmd == VFIO_DEVICE_IOEVENTFD ? -ENOTTY : vfio_pci_core_ioctl(vdev, cmd, arg);
}

static int ivshmem_open(struct vfio_device *vdev)
{
	struct ivshmem *iv = to_ivshmem(vdev);
	int ret = vfio_pci_core_enable(&iv->core);

	if (ret)
		return ret;
	ret = vfio_mig_open(iv->mig);
	if (ret)
		vfio_pci_core_disable(&iv->core);
	else
		vfio_pci_core_finish_enable(&iv->core);
	return ret;
}

/*
 * Clears the memory, because the next user must not see this user's data. Clears it in pieces,
 * because this takes long: the memory may be large, and it is not cached.
 */
static void ivshmem_clear(struct ivshmem *iv)
{
	size_t off, n, size = (size_t)iv->pages.nr << PAGE_SHIFT;

	for (off = 0; off < size; off += n) {
		n = min_t(size_t, size - off, SZ_256K);
		down_write(&iv->core.memory_lock);
		if (ivshmem_enable(iv)) {
			up_write(&iv->core.memory_lock);
			return;
		}
		memset_io(iv->memory + off, 0, n);
		ivshmem_end(&iv->pages);
		cond_resched();
	}
}

/*
 * Resumes the function to clear its memory, because the user may have suspended it, and VFIO
 * resumes it only in vfio_pci_core_close_device().
 */
static void ivshmem_close(struct vfio_device *vdev)
{
	struct ivshmem *iv = to_ivshmem(vdev);
	struct device *dev = &iv->core.pdev->dev;

	vfio_mig_close(iv->mig);
	if (!pm_runtime_resume_and_get(dev)) {
		ivshmem_clear(iv);
		pm_runtime_put(dev);
	}
	vfio_pci_core_close_device(vdev);
}

static const struct vfio_device_ops ivshmem_ops = {
	.name = "ivshmem-vfio-pci",
	.init = vfio_pci_core_init_dev,
	.release = vfio_pci_core_release_dev,
	.open_device = ivshmem_open,
	.close_device = ivshmem_close,
	.ioctl = ivshmem_ioctl,
	VFIO_MIG_REGION_INFO_OP(vfio_pci_ioctl_get_region_info)
	.device_feature = vfio_pci_core_ioctl_feature,
	.read = vfio_pci_core_read,
	.write = ivshmem_write,
	.mmap = ivshmem_mmap,
	.request = vfio_pci_core_request,
	.match = vfio_pci_core_match,
	VFIO_MIG_PCI_TOKEN_OP
	VFIO_MIG_IOMMUFD_PHYSICAL_OPS
};

static int ivshmem_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct ivshmem *iv;
	int ret;

	/* driver_override can bind any function to this driver. */
	if (!(pci_resource_flags(pdev, VFIO_PCI_BAR0_REGION_INDEX) & IORESOURCE_MEM) ||
	    !(pci_resource_flags(pdev, IVSHMEM_MEMORY) & IORESOURCE_MEM))
		return -ENODEV;
	iv = vfio_alloc_device(ivshmem, core.vdev, &pdev->dev, &ivshmem_ops);
	if (IS_ERR(iv))
		return PTR_ERR(iv);
	dev_set_drvdata(&pdev->dev, &iv->core);
	/* The mapping is uncached, as the user's mappings of the BARs are. */
	iv->regs = pcim_iomap(pdev, VFIO_PCI_BAR0_REGION_INDEX, 0);
	iv->memory = pcim_iomap(pdev, IVSHMEM_MEMORY, 0);
	ret = iv->regs && iv->memory ?
	      vfio_mig_memory_init(&iv->pages,
				   pci_resource_len(pdev, IVSHMEM_MEMORY) >> PAGE_SHIFT,
				   &ivshmem_memory_ops) : -ENOMEM;
	if (ret)
		goto err;
	iv->mig = vfio_mig_create(&iv->core.vdev, &(struct vfio_mig_desc) {
		.type = "ivshmem-plain",
		.control_max = sizeof(__le32),
		.ops = &ivshmem_mig_ops,
		.pages = &iv->pages,
		.protocols = VFIO_MIG_PROTOCOL_V2,
		.dma_logging = true,	/* The function does no DMA, so the log is complete. */
	});
	ret = PTR_ERR_OR_ZERO(iv->mig);
	if (ret)
		goto err;
	ret = vfio_pci_core_register_device(&iv->core);
	if (!ret)
		return 0;
	vfio_mig_destroy(iv->mig);
err:
	vfio_mig_pages_destroy(&iv->pages);
	vfio_put_device(&iv->core.vdev);
	return ret;
}

static void ivshmem_remove(struct pci_dev *pdev)
{
	struct ivshmem *iv = dev_get_drvdata(&pdev->dev);

	vfio_pci_core_unregister_device(&iv->core);
	vfio_mig_destroy(iv->mig);
	vfio_mig_pages_destroy(&iv->pages);
	vfio_put_device(&iv->core.vdev);
}

/*
 * VFIO holds memory_lock, so this function must not wait for the session mutex. Another thread
 * may hold the mutex and wait for memory_lock in ivshmem_begin(). vfio_mig_reset_done() does not
 * wait for the mutex.
 */
static void ivshmem_reset_done(struct pci_dev *pdev)
{
	struct ivshmem *iv = dev_get_drvdata(&pdev->dev);

	vfio_mig_reset_done(iv->mig);
}

static const struct pci_error_handlers ivshmem_err_handlers = {
	.reset_done = ivshmem_reset_done,
	.error_detected = vfio_pci_core_aer_err_detected,
};

static const struct pci_device_id ivshmem_table[] = {
	{ PCI_DRIVER_OVERRIDE_DEVICE_VFIO(PCI_VENDOR_ID_REDHAT_QUMRANET, 0x1110) }, {}
};
MODULE_DEVICE_TABLE(pci, ivshmem_table);

static struct pci_driver ivshmem_driver = {
	.name = KBUILD_MODNAME,
	.id_table = ivshmem_table,
	.probe = ivshmem_probe,
	.remove = ivshmem_remove,
	.err_handler = &ivshmem_err_handlers,
	.driver_managed_dma = true,
};
module_pci_driver(ivshmem_driver);
MODULE_DESCRIPTION("vfio-pci variant for QEMU's ivshmem-plain, a sample for vfio-mig-core");
MODULE_LICENSE("GPL");
