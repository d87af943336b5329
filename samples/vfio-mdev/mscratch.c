// SPDX-License-Identifier: GPL-2.0-only
/*
 * mscratch: the smallest complete vendor driver on vfio-mig-core
 *
 * The device is a mediated PCI function. It has 64 MiB of scratch memory in BAR2, and these
 * registers of 32 bits in BAR0:
 *
 *   0x0 SCRATCH   keeps the value that the guest writes
 *   0x4 DOORBELL  a value that is not 0 raises the interrupt, and becomes 0 again
 *   0x8 STATUS    1 after an interrupt was raised, until the guest writes 0
 *   0xc COUNT     counts the interrupts that were raised; the guest can set the value
 *
 * The interrupt is an MSI. A device of the type "intx" has INTx as well.
 *
 * Two comments that begin with "Migration:" enclose the part that a driver without
 * migration does not need.
 */
#include <linux/mdev.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/vfio_mig_compat.h>
#include <linux/vfio_mig_core.h>

#define MSCRATCH_VENDOR_ID	0x1d6b
#define MSCRATCH_DEVICE_ID	0x5c00
#define MSCRATCH_BAR0_SIZE	0x10
#define MSCRATCH_BAR2_SIZE	SZ_64M
#define MSCRATCH_MSI		0x40	/* offset of the MSI capability */

/* Registers in BAR0 */
#define MSCRATCH_REG_SCRATCH	0x0
#define MSCRATCH_REG_DOORBELL	0x4
#define MSCRATCH_REG_STATUS	0x8
#define   MSCRATCH_STATUS_IRQ	BIT(0)
#define MSCRATCH_REG_COUNT	0xc

/* Configuration space: values after a reset, and bits that the guest can write */
static const struct {
	u32 reset;
	u32 writable;
} mscratch_config[PCI_CFG_SPACE_SIZE / 4] = {
	[PCI_VENDOR_ID / 4] = { .reset = MSCRATCH_DEVICE_ID << 16 | MSCRATCH_VENDOR_ID },
	[PCI_COMMAND / 4] = {
		.reset = PCI_STATUS_CAP_LIST << 16,
		.writable = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
	},
	[PCI_CLASS_REVISION / 4] = { .reset = PCI_CLASS_MEMORY_OTHER << 16 },
	[PCI_BASE_ADDRESS_0 / 4] = { .writable = ~(MSCRATCH_BAR0_SIZE - 1) },
	[PCI_BASE_ADDRESS_2 / 4] = {
		.reset = PCI_BASE_ADDRESS_MEM_PREFETCH,
		.writable = ~(MSCRATCH_BAR2_SIZE - 1),
	},
	[PCI_CAPABILITY_LIST / 4] = { .reset = MSCRATCH_MSI },
	[PCI_INTERRUPT_LINE / 4] = { .writable = 0xff },
	[MSCRATCH_MSI / 4] = {
		.reset = PCI_MSI_FLAGS_64BIT << 16 | PCI_CAP_ID_MSI,
		.writable = PCI_MSI_FLAGS_ENABLE << 16,
	},
	[(MSCRATCH_MSI + PCI_MSI_ADDRESS_LO) / 4] = { .writable = ~0x3 },
	[(MSCRATCH_MSI + PCI_MSI_ADDRESS_HI) / 4] = { .writable = ~0 },
	[(MSCRATCH_MSI + PCI_MSI_DATA_64) / 4] = { .writable = 0xffff },
};

/* The control state as a stream carries it, so the layout is fixed. */
struct mscratch_state {
	__le32 config[PCI_CFG_SPACE_SIZE / 4];
	__le32 scratch;
	__le32 doorbell;
	__le32 status;
	__le32 count;
};

struct mscratch {
	struct vfio_device vdev;
	struct vfio_mig *mig;
	struct vfio_mig_pages pages;	/* BAR2 */
	struct vfio_mig_pci pci;
	struct mutex lock;		/* protects the members below */
	struct mscratch_state state;
	bool running;
	bool irq_pending;		/* mscratch_act() has to signal the MSI */
};

static struct mdev_type mscratch_msi = { .sysfs_name = "64M" };
static struct mdev_type mscratch_intx = { .sysfs_name = "intx" };

static struct mscratch *to_mscratch(struct vfio_device *vdev)
{
	return container_of(vdev, struct mscratch, vdev);
}

/*
 * Returns a word of configuration space after a reset. Only the interrupt pin differs
 * between the types.
 */
static u32 mscratch_config_reset(struct mscratch *s, int i)
{
	if (i == PCI_INTERRUPT_LINE / 4)
		return s->pci.nr_irqs[VFIO_PCI_INTX_IRQ_INDEX] << 8;
	return mscratch_config[i].reset;
}

static void mscratch_reset(struct vfio_device *vdev)
{
	struct mscratch *s = to_mscratch(vdev);
	int i;

	mutex_lock(&s->lock);
	memset(&s->state, 0, sizeof(s->state));
	for (i = 0; i < ARRAY_SIZE(s->state.config); i++)
		s->state.config[i] = cpu_to_le32(mscratch_config_reset(s, i));
	s->irq_pending = false;
	mutex_unlock(&s->lock);
}

/*
 * Serves the doorbell and signals a pending interrupt. A stopped device does
 * neither. The library signals only the kind of interrupt that the user enabled.
 */
static void mscratch_act(struct mscratch *s)
{
	lockdep_assert_held(&s->lock);

	if (!s->running)
		return;

	if (s->state.doorbell) {
		s->state.doorbell = 0;
		s->state.status = cpu_to_le32(MSCRATCH_STATUS_IRQ);
		le32_add_cpu(&s->state.count, 1);
		s->irq_pending = true;
	}
	vfio_mig_pci_intx(s->mig, s->state.status);
	if (s->irq_pending) {
		vfio_mig_pci_signal(s->mig, VFIO_PCI_MSI_IRQ_INDEX, 0);
		s->irq_pending = false;
	}
}

/* Migration: from here */
static int mscratch_stop(struct vfio_device *vdev, enum vfio_mig_stop_reason reason)
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
	memcpy(buf, &s->state, sizeof(s->state));
	mutex_unlock(&s->lock);
	return sizeof(s->state);
}

/* Returns the offset of a word that no such device can have, or -1. */
static int mscratch_find_bad(struct mscratch *s, const struct mscratch_state *state)
{
	u32 changed;
	int i;

	for (i = 0; i < ARRAY_SIZE(state->config); i++) {
		changed = le32_to_cpu(state->config[i]) ^ mscratch_config_reset(s, i);
		if (changed & ~mscratch_config[i].writable)
			return 4 * i;
	}
	if (le32_to_cpu(state->status) & ~MSCRATCH_STATUS_IRQ)
		return offsetof(struct mscratch_state, status);
	return -1;
}

/* Refuses each state that this device cannot be in, and changes nothing. */
static void *mscratch_prepare(struct vfio_device *vdev, u32 version, const void *buf,
			      size_t len)
{
	const struct mscratch_state *state = buf;
	void *copy;
	int bad;

	if (len != sizeof(*state)) {
		dev_err_ratelimited(vdev->dev, "control state of %zu bytes instead of %zu\n",
				    len, sizeof(*state));
		return ERR_PTR(-EINVAL);
	}
	bad = mscratch_find_bad(to_mscratch(vdev), state);
	if (bad >= 0) {
		dev_err_ratelimited(vdev->dev, "control state: bad value at offset %#x\n",
				    bad);
		return ERR_PTR(-EINVAL);
	}

	copy = kmemdup(state, len, GFP_KERNEL_ACCOUNT);
	return copy ?: ERR_PTR(-ENOMEM);
}

/*
 * If the cause of an interrupt is present, run() signals the interrupt again. The source may
 * have signalled the interrupt when no guest was listening any more.
 */
static void mscratch_apply(struct vfio_device *vdev, void *prepared)
{
	struct mscratch *s = to_mscratch(vdev);

	mutex_lock(&s->lock);
	memcpy(&s->state, prepared, sizeof(s->state));
	s->irq_pending = s->state.status;
	mutex_unlock(&s->lock);
	kfree(prepared);
}

static const struct vfio_mig_ops mscratch_mig_ops = {
	.stop = mscratch_stop,
	.run = mscratch_run,
	.reset = mscratch_reset,
	.save = mscratch_save,
	.prepare = mscratch_prepare,
	.apply = mscratch_apply,
};

/* Migration: up to here */

static u32 mscratch_read_word(struct mscratch *s, u32 index, u64 off)
{
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		return le32_to_cpu(s->state.config[off / 4]);

	switch (off) {
	case MSCRATCH_REG_SCRATCH:
		return le32_to_cpu(s->state.scratch);
	case MSCRATCH_REG_DOORBELL:
		return le32_to_cpu(s->state.doorbell);
	case MSCRATCH_REG_STATUS:
		return le32_to_cpu(s->state.status);
	case MSCRATCH_REG_COUNT:
		return le32_to_cpu(s->state.count);
	default:
		return 0;
	}
}

static void mscratch_write_config(struct mscratch *s, int i, u32 val)
{
	u32 writable = mscratch_config[i].writable;
	u32 old = le32_to_cpu(s->state.config[i]);

	s->state.config[i] = cpu_to_le32((old & ~writable) | (val & writable));
}

static void mscratch_write_word(struct mscratch *s, u32 index, u64 off, u32 val)
{
	if (index == VFIO_PCI_CONFIG_REGION_INDEX)
		return mscratch_write_config(s, off / 4, val);

	switch (off) {
	case MSCRATCH_REG_SCRATCH:
		s->state.scratch = cpu_to_le32(val);
		break;
	case MSCRATCH_REG_DOORBELL:
		s->state.doorbell = cpu_to_le32(val);
		break;
	case MSCRATCH_REG_STATUS:
		s->state.status = cpu_to_le32(val & MSCRATCH_STATUS_IRQ);
		break;
	case MSCRATCH_REG_COUNT:
		s->state.count = cpu_to_le32(val);
		break;
	}
}

/*
 * The device has words of 32 bits. An access of 1 or 2 bytes is a part of one
 * word, and an access of 8 bytes is two words.
 */
static int mscratch_access(struct vfio_device *vdev, u32 index, u64 off, u8 *val,
			   size_t len, bool write)
{
	struct mscratch *s = to_mscratch(vdev);
	size_t part = min_t(size_t, len, 4);
	size_t done;
	__le32 word;
	u64 start;
	u8 *bytes;

	mutex_lock(&s->lock);
	for (done = 0; done < len; done += part) {
		start = round_down(off + done, 4);
		word = cpu_to_le32(mscratch_read_word(s, index, start));
		bytes = (u8 *)&word + off % 4;
		if (write) {
			memcpy(bytes, val + done, part);
			mscratch_write_word(s, index, start, le32_to_cpu(word));
		} else {
			memcpy(val + done, bytes, part);
		}
	}
	mscratch_act(s);
	mutex_unlock(&s->lock);

	if (write)
		vfio_mig_control_changed(s->mig);
	return 0;
}

static const struct vfio_mig_pci mscratch_pci = {
	.region_size[VFIO_PCI_CONFIG_REGION_INDEX] = PCI_CFG_SPACE_SIZE,
	.region_size[VFIO_PCI_BAR0_REGION_INDEX] = MSCRATCH_BAR0_SIZE,
	.region_size[VFIO_PCI_BAR2_REGION_INDEX] = MSCRATCH_BAR2_SIZE,
	.memory = BIT(VFIO_PCI_BAR2_REGION_INDEX),
	.nr_irqs[VFIO_PCI_MSI_IRQ_INDEX] = 1,
	.access = mscratch_access,
};

/* Discards the memory, because the next user must not see this user's data. */
static void mscratch_close(struct vfio_device *vdev)
{
	struct mscratch *s = to_mscratch(vdev);

	vfio_mig_close(s->mig);
	vfio_mig_pages_discard(&s->pages, 0, s->pages.nr);
}

static void mscratch_release(struct vfio_device *vdev)
{
	struct mscratch *s = to_mscratch(vdev);

	vfio_mig_pages_destroy(&s->pages);
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

static int mscratch_probe(struct mdev_device *mdev)
{
	bool intx = mdev->type == &mscratch_intx;
	struct vfio_mig_desc desc = {
		.type = intx ? "mscratch-intx" : "mscratch",
		.control_max = sizeof(struct mscratch_state),
		.ops = &mscratch_mig_ops,
		.p2p = true,
		.dma_logging = true,	/* The device does no DMA, so the log is complete. */
	};
	struct mscratch *s;
	int ret;

	s = vfio_alloc_device(mscratch, vdev, &mdev->dev, &mscratch_ops);
	if (IS_ERR(s))
		return PTR_ERR(s);

	dev_set_drvdata(&mdev->dev, s);
	mutex_init(&s->lock);
	s->pci = mscratch_pci;
	s->pci.nr_irqs[VFIO_PCI_INTX_IRQ_INDEX] = intx;
	ret = vfio_mig_pages_init(&s->pages, MSCRATCH_BAR2_SIZE / PAGE_SIZE, NULL);
	if (ret)
		goto err_put;

	desc.pages = &s->pages;
	desc.pci = &s->pci;
	s->mig = vfio_mig_create(&s->vdev, &desc);
	if (IS_ERR(s->mig)) {
		ret = PTR_ERR(s->mig);
		goto err_put;
	}

	ret = vfio_register_emulated_iommu_dev(&s->vdev);
	if (ret)
		goto err_destroy;
	return 0;

err_destroy:
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
	.driver = {
		.name = "mscratch",
		.owner = THIS_MODULE,
	},
	.probe = mscratch_probe,
	.remove = mscratch_remove,
};

static struct mdev_type *mscratch_types[] = {
	&mscratch_msi,
	&mscratch_intx,
};

/* The class's name is the first part of a type's name in sysfs: mscratch-64M. */
static VFIO_MIG_CONST_CLASS struct class mscratch_class = {
	.name = "mscratch",
};

static struct mdev_parent mscratch_parent;
static struct device *mscratch_dev;

static int __init mscratch_module_init(void)
{
	int ret;

	ret = class_register(&mscratch_class);
	if (ret)
		return ret;

	ret = mdev_register_driver(&mscratch_driver);
	if (ret)
		goto err_class;

	mscratch_dev = device_create(&mscratch_class, NULL, 0, NULL, "mscratch");
	if (IS_ERR(mscratch_dev)) {
		ret = PTR_ERR(mscratch_dev);
		goto err_driver;
	}

	ret = mdev_register_parent(&mscratch_parent, mscratch_dev, &mscratch_driver,
				   mscratch_types, ARRAY_SIZE(mscratch_types));
	if (ret)
		goto err_device;
	return 0;

err_device:
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
