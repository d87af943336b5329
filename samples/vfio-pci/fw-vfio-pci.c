// SPDX-License-Identifier: GPL-2.0-only
/*
 * fw-vfio-pci: a vfio-pci variant driver on vfio-mig-core, for a function with firmware
 *
 * Firmware suspends the function, and returns the function's state as an image whose format
 * the driver does not know. The function is QEMU's ivshmem-plain, which has no firmware. So the
 * first part of this file, fw_*(), takes the place of firmware. It serves BAR0 and BAR2 from
 * its own memory, and executes commands. A command takes a while, and can fail. The second
 * part, my_*(), is the code that a driver needs to migrate such a function. The third part,
 * fw_vfio_*(), connects both to vfio-pci.
 *
 * &fw_function.lock protects the state of the firmware. It is taken after the library's session
 * mutex, and no user memory is accessed while it is held.
 *
 * Only the driver_override "fw_vfio_pci" binds a function to this driver.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>
#include <linux/vfio_mig_compat.h>
#include <linux/vfio_mig_core.h>
#include <linux/vfio_pci_core.h>

/* BAR2 comes behind BAR0 in the firmware's memory. */
#define FW_BAR0_SIZE		SZ_4K
#define FW_IMAGE_MAX		SZ_1G
#define FW_COMMAND_MS		1	/* time of a command */

/* Parts of the function that can be suspended: its own DMA, and its answers to accesses */
#define FW_INITIATOR		BIT(0)
#define FW_RESPONDER		BIT(1)

struct fw_function {
	struct vfio_pci_core_device core;	/* first, because vfio-pci needs it as drvdata */
	struct vfio_mig *mig;
	wait_queue_head_t wq;		/* woken to cancel a command */
	size_t saved;			/* bytes of the image that were read */

	struct mutex lock;		/* protects the firmware's members */
	u32 suspended;
	u8 *memory;
	size_t size;
	size_t used;			/* all memory behind these bytes is zero */
};

static struct fw_function *to_fw(struct vfio_device *vdev)
{
	return container_of(vdev, struct fw_function, core.vdev);
}

/* The firmware */

/*
 * Waits for the end of a command, as a driver waits for an interrupt. A fatal signal, or a user
 * who waits to reset or close the device, ends the wait.
 */
static int fw_command(struct fw_function *fw)
{
	int ret = wait_event_killable_timeout(fw->wq, vfio_mig_cancelled(fw->mig),
					      msecs_to_jiffies(FW_COMMAND_MS));

	if (ret)
		return ret < 0 ? ret : -ECANCELED;
	return pci_device_is_present(fw->core.pdev) ? 0 : -EIO;
}

static int fw_suspend(struct fw_function *fw, u32 what)
{
	int ret = fw_command(fw);

	if (ret)
		return ret;
	mutex_lock(&fw->lock);
	fw->suspended |= what;
	mutex_unlock(&fw->lock);
	return 0;
}

static int fw_resume(struct fw_function *fw, u32 what)
{
	int ret = fw_command(fw);

	if (ret)
		return ret;
	mutex_lock(&fw->lock);
	fw->suspended &= ~what;
	mutex_unlock(&fw->lock);
	return 0;
}

/* Cannot fail, because it is a part of the function's reset and not a command. */
static void fw_reset(struct fw_function *fw)
{
	mutex_lock(&fw->lock);
	memset(fw->memory, 0, fw->used);
	fw->used = 0;
	fw->suspended = FW_INITIATOR | FW_RESPONDER;
	mutex_unlock(&fw->lock);
}

/* Accesses the firmware's memory. A write is lost while the responder is suspended. */
static void fw_access(struct fw_function *fw, size_t off, void *data, size_t len, bool write)
{
	mutex_lock(&fw->lock);
	if (!write) {
		memcpy(data, fw->memory + off, len);
	} else if (!(fw->suspended & FW_RESPONDER)) {
		memcpy(fw->memory + off, data, len);
		fw->used = max(fw->used, off + len);
	}
	mutex_unlock(&fw->lock);
}

static u64 fw_query_size(struct fw_function *fw)
{
	u64 size;

	mutex_lock(&fw->lock);
	size = fw->used;
	mutex_unlock(&fw->lock);
	return size;
}

/* Copies bytes of the image. Returns their number, or an error. */
static ssize_t fw_save(struct fw_function *fw, size_t off, void *buf, size_t len)
{
	int ret = fw_command(fw);

	if (ret)
		return ret;
	mutex_lock(&fw->lock);
	len = min(len, fw->used - min(off, fw->used));
	memcpy(buf, fw->memory + off, len);
	mutex_unlock(&fw->lock);
	return len;
}

static int fw_load(struct fw_function *fw, u64 off, const void *buf, size_t len)
{
	int ret = fw_command(fw);

	if (ret)
		return ret;
	if (off > fw->size || len > fw->size - off)
		return -EINVAL;
	mutex_lock(&fw->lock);
	memcpy(fw->memory + off, buf, len);
	fw->used = max_t(size_t, fw->used, off + len);
	mutex_unlock(&fw->lock);
	return 0;
}

/* Migration: from here */
static int my_quiesce(struct vfio_device *vdev)
{
	return fw_suspend(to_fw(vdev), FW_INITIATOR);
}

static int my_stop(struct vfio_device *vdev, enum vfio_mig_stop_reason reason)
{
	return fw_suspend(to_fw(vdev), FW_RESPONDER);
}

static void my_start(struct vfio_device *vdev)
{
	if (fw_resume(to_fw(vdev), FW_RESPONDER))
		vfio_mig_device_error(to_fw(vdev)->mig);
}

static void my_run(struct vfio_device *vdev)
{
	if (fw_resume(to_fw(vdev), FW_INITIATOR))
		vfio_mig_device_error(to_fw(vdev)->mig);
}

/* VFIO has reset the function before, and a reset of the function also resets its firmware. */
static void my_reset(struct vfio_device *vdev)
{
	fw_reset(to_fw(vdev));
}

/* Does nothing, because my_write() has loaded the image into the function already. */
static void my_apply(struct vfio_device *vdev, void *prepared)
{
}

static void my_cancel(struct vfio_device *vdev)
{
	wake_up_all(&to_fw(vdev)->wq);
}

static const struct vfio_mig_ops my_mig_ops = {
	.quiesce = my_quiesce,
	.stop = my_stop,
	.start = my_start,
	.run = my_run,
	.reset = my_reset,
	.apply = my_apply,
	.cancel = my_cancel,
};

static int my_save_begin(struct vfio_device *vdev, enum vfio_mig_image_phase phase)
{
	to_fw(vdev)->saved = 0;
	return 0;
}

/* Reports all bytes as bytes of the stop, because only a suspended function returns an image. */
static int my_size(struct vfio_device *vdev, enum vfio_mig_image_phase phase,
		   struct vfio_mig_image_size *size)
{
	struct fw_function *fw = to_fw(vdev);

	if (phase == VFIO_MIG_IMAGE_STOPPED)
		size->dirty = fw_query_size(fw) - fw->saved;
	else
		size->at_stop = fw_query_size(fw);
	return 0;
}

static ssize_t my_read(struct vfio_device *vdev, enum vfio_mig_image_phase phase, void *buf,
		       size_t len)
{
	struct fw_function *fw = to_fw(vdev);
	ssize_t n = phase == VFIO_MIG_IMAGE_STOPPED ? fw_save(fw, fw->saved, buf, len) : 0;

	if (n > 0)
		fw->saved += n;
	return n;
}

/* Drops the function's own state, because my_write() loads the image into the function itself. */
static int my_load_begin(struct vfio_device *vdev)
{
	fw_reset(to_fw(vdev));
	return 0;
}

static int my_write(struct vfio_device *vdev, enum vfio_mig_image_phase phase, u64 off,
		    const void *buf, size_t len)
{
	int ret = fw_load(to_fw(vdev), off, buf, len);

	if (ret)
		dev_err_ratelimited(vdev->dev, "firmware refuses an image (%d)\n", ret);
	return ret;
}

static const struct vfio_mig_image_ops my_image_ops = {
	.save_begin = my_save_begin,
	.size = my_size,
	.read = my_read,
	.load_begin = my_load_begin,
	.write = my_write,
};

static const struct vfio_mig_desc my_desc = {
	.type = "fw-vfio-pci",
	.ops = &my_mig_ops,
	.image = &my_image_ops,
	.image_max = FW_IMAGE_MAX,
	.dma_logging = true,	/* The function does no DMA, so all of it is logged. */
};

/* The v1 protocol: from here. Only v1 needs a region, which is registered with vfio-pci. */
static ssize_t my_region_rw(struct vfio_pci_core_device *core, char __user *buf, size_t count,
			    loff_t *ppos, bool write)
{
	struct vfio_mig *mig = to_fw(&core->vdev)->mig;
	loff_t pos = *ppos & VFIO_PCI_OFFSET_MASK;
	ssize_t ret = write ? vfio_mig_region_write(mig, buf, count, pos) :
			      vfio_mig_region_read(mig, buf, count, pos);

	if (ret > 0)
		*ppos += ret;
	return ret;
}

static int my_region_mmap(struct vfio_pci_core_device *core, struct vfio_pci_region *region,
			  struct vm_area_struct *vma)
{
	pgoff_t first = vma->vm_pgoff & (VFIO_PCI_OFFSET_MASK >> PAGE_SHIFT);

	return vfio_mig_region_mmap(to_fw(&core->vdev)->mig, vma, first);
}

static int my_region_sparse(struct vfio_pci_core_device *core, struct vfio_pci_region *region,
			    struct vfio_info_cap *caps)
{
	return vfio_mig_region_sparse(to_fw(&core->vdev)->mig, caps);
}

static void my_region_release(struct vfio_pci_core_device *core,
			      struct vfio_pci_region *region)
{
}

static const struct vfio_pci_regops my_region_ops = {
	.rw = my_region_rw,
	.mmap = my_region_mmap,
	.add_capability = my_region_sparse,
	.release = my_region_release,
};

static int my_add_region(struct fw_function *fw)
{
	return vfio_pci_core_register_dev_region(&fw->core,
			VFIO_REGION_TYPE_MIGRATION_DEPRECATED,
			VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED,
			&my_region_ops, vfio_mig_region_size(fw->mig),
			VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
			VFIO_REGION_INFO_FLAG_MMAP, NULL);
}

/* The v1 protocol: up to here */

/* Called between vfio_pci_core_enable(), which drops all regions, and _finish_enable(). */
static int my_open(struct fw_function *fw)
{
	return my_add_region(fw) ?: vfio_mig_open(fw->mig);
}

/*
 * VFIO holds its memory_lock, so this function does not wait for the session mutex. If another
 * thread has the mutex, that thread acts on the reset later.
 */
static void my_reset_done(struct pci_dev *pdev)
{
	struct fw_function *fw = dev_get_drvdata(&pdev->dev);

	vfio_mig_reset_done(fw->mig);
}

/* Migration: up to here */

/* Copies in pieces by a buffer on the stack, because fw_access() must not access user memory. */
static ssize_t fw_rw(struct fw_function *fw, char __user *buf, size_t count, size_t off,
		     bool write)
{
	u8 piece[SZ_256];
	size_t n, done;

	for (done = 0; done < count; done += n) {
		n = min(count - done, sizeof(piece));
		if (fatal_signal_pending(current))
			return done ?: -EINTR;
		if (write && copy_from_user(piece, buf + done, n))
			return done ?: -EFAULT;
		fw_access(fw, off + done, piece, n, write);
		if (!write && copy_to_user(buf + done, piece, n))
			return done ?: -EFAULT;
		cond_resched();
	}
	return done;
}

/* Returns whether the firmware serves the region of @pos, and the region's place and size. */
static bool fw_range(struct fw_function *fw, loff_t pos, size_t *off, size_t *size)
{
	u64 index = VFIO_PCI_OFFSET_TO_INDEX(pos);
	struct pci_dev *pdev = fw->core.pdev;

	if (index != VFIO_PCI_BAR0_REGION_INDEX && index != VFIO_PCI_BAR2_REGION_INDEX)
		return false;
	*size = pci_resource_len(pdev, index);
	*off = index == VFIO_PCI_BAR0_REGION_INDEX ? 0 : FW_BAR0_SIZE;
	return true;
}

static ssize_t fw_vfio_rw(struct vfio_device *vdev, char __user *buf, size_t count,
			  loff_t *ppos, bool write)
{
	u64 pos = *ppos & VFIO_PCI_OFFSET_MASK;
	struct fw_function *fw = to_fw(vdev);
	size_t off, size;
	ssize_t ret;

	if (!fw_range(fw, *ppos, &off, &size))
		return write ? vfio_pci_core_write(vdev, (const char __user *)buf, count, ppos) :
			       vfio_pci_core_read(vdev, buf, count, ppos);
	if (pos >= size)
		return -EINVAL;
	ret = fw_rw(fw, buf, min_t(u64, count, size - pos), off + pos, write);
	if (ret > 0)
		*ppos += ret;
	return ret;
}

static ssize_t fw_vfio_read(struct vfio_device *vdev, char __user *buf, size_t count,
			    loff_t *ppos)
{
	return fw_vfio_rw(vdev, buf, count, ppos, false);
}

static ssize_t fw_vfio_write(struct vfio_device *vdev, const char __user *buf, size_t count,
			     loff_t *ppos)
{
	return fw_vfio_rw(vdev, (char __user *)buf, count, ppos, true);
}

/* VFIO_DEVICE_IOEVENTFD is refused, because it stores to the real BAR and not to the firmware's. */
static long fw_vfio_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	return cmd == VFIO_DEVICE_IOEVENTFD ? -ENOTTY : vfio_pci_core_ioctl(vdev, cmd, arg);
}

static int fw_vfio_open(struct vfio_device *vdev)
{
	struct fw_function *fw = to_fw(vdev);
	int ret = vfio_pci_core_enable(&fw->core);

	if (ret)
		return ret;
	ret = my_open(fw);
	if (ret) {
		vfio_pci_core_disable(&fw->core);
		return ret;
	}
	vfio_pci_core_finish_enable(&fw->core);
	/* The user must not map the BARs, because the firmware serves them. */
	memset(fw->core.bar_mmap_supported, 0, sizeof(fw->core.bar_mmap_supported));
	return 0;
}

/* Clears the firmware's memory, because the next user must not see this user's data. */
static void fw_vfio_close(struct vfio_device *vdev)
{
	vfio_mig_close(to_fw(vdev)->mig);
	fw_reset(to_fw(vdev));
	vfio_pci_core_close_device(vdev);
}

static const struct vfio_device_ops fw_vfio_ops = {
	.name = "fw-vfio-pci",
	.init = vfio_pci_core_init_dev,
	.release = vfio_pci_core_release_dev,
	.open_device = fw_vfio_open,
	.close_device = fw_vfio_close,
	.ioctl = fw_vfio_ioctl,
	VFIO_MIG_REGION_INFO_OP(vfio_pci_ioctl_get_region_info)
	.device_feature = vfio_pci_core_ioctl_feature,
	.read = fw_vfio_read,
	.write = fw_vfio_write,
	.mmap = vfio_pci_core_mmap,
	.request = vfio_pci_core_request,
	.match = vfio_pci_core_match,
	VFIO_MIG_PCI_TOKEN_OP
	VFIO_MIG_IOMMUFD_PHYSICAL_OPS
};

static int fw_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct fw_function *fw;
	int ret = -ENOMEM;

	/* driver_override can bind any function to this driver. */
	if (pci_resource_len(pdev, VFIO_PCI_BAR0_REGION_INDEX) > FW_BAR0_SIZE ||
	    !pci_resource_len(pdev, VFIO_PCI_BAR2_REGION_INDEX))
		return -ENODEV;
	fw = vfio_alloc_device(fw_function, core.vdev, &pdev->dev, &fw_vfio_ops);
	if (IS_ERR(fw))
		return PTR_ERR(fw);
	dev_set_drvdata(&pdev->dev, &fw->core);
	init_waitqueue_head(&fw->wq);
	mutex_init(&fw->lock);
	fw->size = FW_BAR0_SIZE + pci_resource_len(pdev, VFIO_PCI_BAR2_REGION_INDEX);
	fw->memory = fw->size <= FW_IMAGE_MAX ? vzalloc(fw->size) : NULL;
	if (!fw->memory)
		goto err_put;
	fw->mig = vfio_mig_create(&fw->core.vdev, &my_desc);
	ret = PTR_ERR_OR_ZERO(fw->mig);
	if (ret)
		goto err_free;
	ret = vfio_pci_core_register_device(&fw->core);
	if (!ret)
		return 0;
	vfio_mig_destroy(fw->mig);
err_free:
	vfree(fw->memory);
err_put:
	vfio_put_device(&fw->core.vdev);
	return ret;
}

static void fw_remove(struct pci_dev *pdev)
{
	struct fw_function *fw = dev_get_drvdata(&pdev->dev);

	vfio_pci_core_unregister_device(&fw->core);
	vfio_mig_destroy(fw->mig);
	vfree(fw->memory);
	vfio_put_device(&fw->core.vdev);
}

static const struct pci_error_handlers fw_err_handlers = {
	.reset_done = my_reset_done,
	.error_detected = vfio_pci_core_aer_err_detected,
};

static const struct pci_device_id fw_table[] = {
	{ PCI_DRIVER_OVERRIDE_DEVICE_VFIO(PCI_VENDOR_ID_REDHAT_QUMRANET, 0x1110) }, {}
};
MODULE_DEVICE_TABLE(pci, fw_table);

static struct pci_driver fw_driver = {
	.name = KBUILD_MODNAME,
	.id_table = fw_table,
	.probe = fw_probe,
	.remove = fw_remove,
	.err_handler = &fw_err_handlers,
	.driver_managed_dma = true,
};
module_pci_driver(fw_driver);
MODULE_DESCRIPTION("vfio-pci variant with mock firmware, a sample for vfio-mig-core");
MODULE_LICENSE("GPL");
