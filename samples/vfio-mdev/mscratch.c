// SPDX-License-Identifier: GPL-2.0-only
/*
 * mscratch: the smallest complete vendor driver on vfio-mig-core
 *
 * A mediated PCI function with scratch memory in BAR2 and, in BAR0, registers:
 *
 *   0x0 SCRATCH   keeps what is written to it
 *   0x4 DOORBELL  not 0: raise the interrupt; then it is 0 again
 *   0x8 STATUS    1 after an interrupt was raised, until the guest writes 0
 *   0xc COUNT     interrupts that were raised
 *
 * The interrupt is an MSI; a device of the type intx has INTx as well.
 *
 * What is there for migration alone is between the two lines that say so.
 */
#include <linux/mdev.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/vfio_mig_compat.h>
#include <linux/vfio_mig_core.h>

#define SIZE		SZ_64M		/* of BAR2 */
#define MSI		0x40		/* where the capability is */

/* Configuration space, then BAR0: after a reset, and what can be written. */
enum { SCRATCH = PCI_CFG_SPACE_SIZE / 4, DOORBELL, STATUS, COUNT, NR_WORDS };

static const struct {
	u32 value;
	u32 mask;
} words[NR_WORDS] = {
	[PCI_VENDOR_ID / 4] = { 0x5c001d6b }, [PCI_BASE_ADDRESS_0 / 4] = { 0, ~15 },
	[PCI_COMMAND / 4] = { PCI_STATUS_CAP_LIST << 16, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER },
	[PCI_CLASS_REVISION / 4] = { PCI_CLASS_MEMORY_OTHER << 16 },
	[PCI_BASE_ADDRESS_2 / 4] = { PCI_BASE_ADDRESS_MEM_PREFETCH, ~(SIZE - 1) },
	[PCI_CAPABILITY_LIST / 4] = { MSI }, [PCI_INTERRUPT_LINE / 4] = { 0, 0xff },
	[MSI / 4] = { PCI_CAP_ID_MSI | PCI_MSI_FLAGS_64BIT << 16, PCI_MSI_FLAGS_ENABLE << 16 },
	[(MSI + PCI_MSI_ADDRESS_LO) / 4] = { 0, ~3 }, [(MSI + PCI_MSI_ADDRESS_HI) / 4] = { 0, ~0 },
	[(MSI + PCI_MSI_DATA_64) / 4] = { 0, 0xffff },
	[SCRATCH] = { 0, ~0 }, [DOORBELL] = { 0, ~0 }, [STATUS] = { 0, 1 }, [COUNT] = { 0, ~0 },
};

struct mscratch {
	struct vfio_device vdev;
	struct vfio_mig *mig;
	struct vfio_mig_pages pages;	/* BAR2 */
	struct vfio_mig_pci pci;
	struct mutex lock;		/* protects what follows */
	__le32 word[NR_WORDS];
	bool running;
	bool owed;			/* an interrupt, once it runs */
};

static struct mscratch *to_mscratch(struct vfio_device *vdev)
{
	return container_of(vdev, struct mscratch, vdev);
}

static u32 mscratch_value(struct mscratch *s, int i)
{
	u32 pin = s->pci.nr_irqs[VFIO_PCI_INTX_IRQ_INDEX];

	return words[i].value | (i == PCI_INTERRUPT_LINE / 4 ? pin << 8 : 0);
}

static void mscratch_reset(struct vfio_device *vdev)
{
	struct mscratch *s = to_mscratch(vdev);

	mutex_lock(&s->lock);
	for (int i = 0; i < NR_WORDS; i++)
		s->word[i] = cpu_to_le32(mscratch_value(s, i));
	s->owed = false;
	mutex_unlock(&s->lock);
}

/* Acts upon what the registers say. Called with the lock held. */
static void mscratch_act(struct mscratch *s)
{
	if (!s->running)
		return;
	if (s->word[DOORBELL]) {
		s->word[DOORBELL] = 0;
		s->word[STATUS] = cpu_to_le32(1);
		le32_add_cpu(&s->word[COUNT], 1);
		s->owed = true;
	}
	if (s->owed) {	/* Only the kind that the user enabled is signalled. */
		vfio_mig_pci_signal(s->mig, VFIO_PCI_INTX_IRQ_INDEX, 0);
		vfio_mig_pci_signal(s->mig, VFIO_PCI_MSI_IRQ_INDEX, 0);
	}
	s->owed = false;
}

/* Migration: from here */
static int mscratch_stop(struct vfio_device *vdev)
{
	struct mscratch *s = to_mscratch(vdev);

	mutex_lock(&s->lock);
	s->running = false;
	mutex_unlock(&s->lock);
	return 0;
}

static void mscratch_run(struct vfio_device *vdev)
{
	struct mscratch *s = to_mscratch(vdev);

	mutex_lock(&s->lock);
	s->running = true;
	mscratch_act(s);
	mutex_unlock(&s->lock);
}

static size_t mscratch_save(struct vfio_device *vdev, void *buf)
{
	struct mscratch *s = to_mscratch(vdev);

	mutex_lock(&s->lock);
	memcpy(buf, s->word, sizeof(s->word));
	mutex_unlock(&s->lock);
	return sizeof(s->word);
}

/* Only a state that this device can have gets through. */
static void *mscratch_prepare(struct vfio_device *vdev, u32 version, const void *buf,
			      size_t len)
{
	bool good = len == sizeof(__le32) * NR_WORDS;
	struct mscratch *s = to_mscratch(vdev);
	const __le32 *word = buf;
	int i;

	for (i = 0; good && i < NR_WORDS; i++)
		good = !((le32_to_cpu(word[i]) ^ mscratch_value(s, i)) & ~words[i].mask);
	if (good)
		return kmemdup(buf, len, GFP_KERNEL_ACCOUNT) ?: ERR_PTR(-ENOMEM);
	dev_err_ratelimited(vdev->dev, "%zu bytes, bad at word %d\n", len, i - 1);
	return ERR_PTR(-EINVAL);
}

static void mscratch_apply(struct vfio_device *vdev, void *prepared)
{
	struct mscratch *s = to_mscratch(vdev);

	mutex_lock(&s->lock);
	memcpy(s->word, prepared, sizeof(s->word));
	s->owed = s->word[STATUS];
	mutex_unlock(&s->lock);
	kfree(prepared);
}

static const struct vfio_mig_ops mscratch_mig_ops = {
	.stop = mscratch_stop, .run = mscratch_run,
	.reset = mscratch_reset,
	.save = mscratch_save,
	.prepare = mscratch_prepare, .apply = mscratch_apply,
};

/* Migration: up to here */

/* Words are read and written byte by byte, whatever the width. */
static int mscratch_access(struct vfio_device *vdev, u32 index, u64 off, u8 *val,
			   size_t len, bool write)
{
	struct mscratch *s = to_mscratch(vdev);
	u8 *at = (u8 *)s->word, mask;

	off += index == VFIO_PCI_BAR0_REGION_INDEX ? 4 * SCRATCH : 0;
	mutex_lock(&s->lock);
	for (; len; len--, off++, val++) {
		mask = words[off / 4].mask >> (off % 4 * 8);
		if (write)
			at[off] = (at[off] & ~mask) | (*val & mask);
		else
			*val = at[off];
	}
	mscratch_act(s);
	mutex_unlock(&s->lock);
	if (write)
		vfio_mig_control_changed(s->mig);
	return 0;
}

static const struct vfio_mig_pci mscratch_pci = {
	.region_size[VFIO_PCI_CONFIG_REGION_INDEX] = PCI_CFG_SPACE_SIZE,
	.region_size[VFIO_PCI_BAR0_REGION_INDEX] = 4 * (NR_WORDS - SCRATCH),
	.region_size[VFIO_PCI_BAR2_REGION_INDEX] = SIZE,
	.memory = BIT(VFIO_PCI_BAR2_REGION_INDEX),
	.nr_irqs[VFIO_PCI_MSI_IRQ_INDEX] = 1,
	.access = mscratch_access,
};

/* What one user left is not for the next. */
static void mscratch_close(struct vfio_device *vdev)
{
	struct mscratch *s = to_mscratch(vdev);

	vfio_mig_close(s->mig);
	vfio_mig_pages_discard(&s->pages, 0, s->pages.nr);
}

static void mscratch_release(struct vfio_device *vdev)
{
	vfio_mig_pages_destroy(&to_mscratch(vdev)->pages);
	vfio_mig_free_device(vdev);
}

static const struct vfio_device_ops mscratch_ops = {
	.name = "mscratch",
	.release = mscratch_release,
	.open_device = vfio_mig_pci_open,
	.close_device = mscratch_close,
	.read = vfio_mig_pci_read,
	.write = vfio_mig_pci_write,
	.mmap = vfio_mig_pci_mmap,
	.ioctl = vfio_mig_pci_ioctl,
	VFIO_MIG_REGION_INFO_OP(vfio_mig_pci_region_info)
	VFIO_MIG_IOMMUFD_OPS
};

static struct mdev_type mscratch_msi = { .sysfs_name = "64M" };
static struct mdev_type mscratch_intx = { .sysfs_name = "intx" };

static int mscratch_probe(struct mdev_device *mdev)
{
	struct mscratch *s = vfio_alloc_device(mscratch, vdev, &mdev->dev, &mscratch_ops);
	int ret;

	if (IS_ERR(s))
		return PTR_ERR(s);
	dev_set_drvdata(&mdev->dev, s);
	mutex_init(&s->lock);
	s->pci = mscratch_pci;
	s->pci.nr_irqs[VFIO_PCI_INTX_IRQ_INDEX] = mdev->type == &mscratch_intx;
	ret = vfio_mig_pages_init(&s->pages, SIZE / PAGE_SIZE, NULL);
	if (ret)
		goto err_put;
	s->mig = vfio_mig_create(&s->vdev, &(struct vfio_mig_desc) {
		.type = mdev->type == &mscratch_intx ? "mscratch-intx" : "mscratch",
		.control_max = sizeof(s->word),
		.ops = &mscratch_mig_ops,
		.pages = &s->pages,
		.pci = &s->pci,
		.p2p = true,
	});
	ret = PTR_ERR_OR_ZERO(s->mig);
	if (ret)
		goto err_put;
	ret = vfio_register_emulated_iommu_dev(&s->vdev);
	if (!ret)
		return 0;
	vfio_mig_destroy(s->mig);
err_put:
	vfio_put_device(&s->vdev);
	return ret;
}

static void mscratch_remove(struct mdev_device *mdev)
{
	struct mscratch *s = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&s->vdev);
	vfio_mig_destroy(s->mig);
	vfio_put_device(&s->vdev);
}

static struct mdev_driver mscratch_driver = {
	.device_api = VFIO_DEVICE_API_PCI_STRING,
	.max_instances = 16,
	.driver = { .name = "mscratch", .owner = THIS_MODULE },
	.probe = mscratch_probe,
	.remove = mscratch_remove,
};

static struct mdev_type *mscratch_types[] = { &mscratch_msi, &mscratch_intx };
static struct class mscratch_class = { .name = "mscratch" };	/* before "-64M" in sysfs */
static struct mdev_parent mscratch_parent;
static struct device *mscratch_dev;

static int __init mscratch_module_init(void)
{
	int ret = class_register(&mscratch_class);

	if (ret)
		return ret;
	ret = mdev_register_driver(&mscratch_driver);
	if (ret)
		goto err_class;
	mscratch_dev = device_create(&mscratch_class, NULL, 0, NULL, "mscratch");
	ret = PTR_ERR_OR_ZERO(mscratch_dev);
	if (ret)
		goto err_driver;
	ret = mdev_register_parent(&mscratch_parent, mscratch_dev, &mscratch_driver,
				   mscratch_types, ARRAY_SIZE(mscratch_types));
	if (!ret)
		return 0;
	device_unregister(mscratch_dev);
err_driver:
	mdev_unregister_driver(&mscratch_driver);
err_class:
	class_unregister(&mscratch_class);
	return ret;
}

static void __exit mscratch_module_exit(void)
{
	mdev_unregister_parent(&mscratch_parent);
	device_unregister(mscratch_dev);
	mdev_unregister_driver(&mscratch_driver);
	class_unregister(&mscratch_class);
}

module_init(mscratch_module_init);
module_exit(mscratch_module_exit);
MODULE_DESCRIPTION("Mediated PCI function with scratch memory, a sample for vfio-mig-core");
MODULE_LICENSE("GPL");
