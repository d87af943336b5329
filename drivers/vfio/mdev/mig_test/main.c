// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio_mig_test: a device that has every kind of state
 *
 * The device is a mediated PCI function with memory in BAR2, and with these registers of 32 bits
 * in BAR0:
 *
 *   0x00 to 0x0c  keep the values that the guest writes: the control state
 *   0x10, 0x14    seed of the image, low half first
 *   0x18, 0x1c    size of the image in bytes, a multiple of 8, at most 8 GiB
 *
 * The types differ in the kinds of state that they have, and in their protocols.
 */
#include <linux/mdev.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "test.h"

#define MEMORY		SZ_16M
#define BAR0_SIZE	32
#define BAR0_IMAGE	16

/**
 * struct test_type - a type of test device
 * @type: mdev's part
 * @stream_type: &vfio_mig_desc.type
 * @has_image: the device has an image
 * @image_only: the device has an image, but no memory and no control state
 * @memory: the driver allocates the memory, instead of the library
 * @bitmap: with @memory: the device itself reports which pages changed
 * @protocols: VFIO_MIG_PROTOCOL_*, 0 for both
 *
 * Types that differ only in @memory, @bitmap and @protocols have the same @stream_type, because
 * the stream does not depend on these members.
 */
struct test_type {
	struct mdev_type type;
	const char *stream_type;
	bool has_image;
	bool image_only;
	bool memory;
	bool bitmap;
	u32 protocols;
};

static struct test_type types[] = {
	{ { .sysfs_name = "all" }, "vfio_mig_test-all", .has_image = true },
	{ { .sysfs_name = "image" }, "vfio_mig_test-image", .has_image = true,
	  .image_only = true },
	{ { .sysfs_name = "plain" }, "vfio_mig_test-plain" },
	{ { .sysfs_name = "memory" }, "vfio_mig_test-plain", .memory = true },
	{ { .sysfs_name = "bitmap" }, "vfio_mig_test-plain", .memory = true, .bitmap = true },
	{ { .sysfs_name = "v1" }, "vfio_mig_test-plain", .protocols = VFIO_MIG_PROTOCOL_V1 },
	{ { .sysfs_name = "v2" }, "vfio_mig_test-plain", .protocols = VFIO_MIG_PROTOCOL_V2 },
};

/* Configuration space and registers: values after a reset, and bits that can be written */
static const struct {
	u32 value;
	u32 mask;
} words[TEST_NR_WORDS] = {
	[PCI_VENDOR_ID / 4] = { 0x5c021d6b },
	[PCI_COMMAND / 4] = { 0, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER },
	[PCI_CLASS_REVISION / 4] = { PCI_CLASS_MEMORY_OTHER << 16 },
	[PCI_BASE_ADDRESS_0 / 4] = { 0, ~(BAR0_SIZE - 1) },
	[PCI_BASE_ADDRESS_2 / 4] = { PCI_BASE_ADDRESS_MEM_PREFETCH, ~(MEMORY - 1) },
	[PCI_INTERRUPT_LINE / 4] = { 0, 0xff },
	[TEST_SCRATCH] = { 0, ~0 }, [TEST_REG1] = { 0, ~0 },
	[TEST_REG2] = { 0, ~0 }, [TEST_REG3] = { 0, ~0 },
};

static const struct test_type *type_of(struct test_device *t)
{
	struct mdev_device *mdev = to_mdev_device(t->vdev.dev);

	return container_of(mdev->type, struct test_type, type);
}

static int test_quiesce(struct vfio_device *vdev)
{
	return test_fault(to_test(vdev), TEST_QUIESCE);
}

static int test_stop(struct vfio_device *vdev, enum vfio_mig_stop_reason reason)
{
	struct test_device *t = to_test(vdev);

	WRITE_ONCE(t->fault.stop_reason, reason);
	return test_fault(t, TEST_STOP);
}

static void test_start(struct vfio_device *vdev)
{
	test_fault_void(to_test(vdev), TEST_START);
}

static void test_run(struct vfio_device *vdev)
{
	test_fault_void(to_test(vdev), TEST_RUN);
}

static void test_reset(struct vfio_device *vdev)
{
	struct test_device *t = to_test(vdev);

	test_fault_void(t, TEST_RESET);
	mutex_lock(&t->lock);
	for (int i = 0; i < TEST_NR_WORDS; i++)
		t->word[i] = cpu_to_le32(words[i].value);
	if (t->image_ops)
		test_image_reset(t);
	mutex_unlock(&t->lock);
}

static size_t test_save(struct vfio_device *vdev, void *buf)
{
	struct test_device *t = to_test(vdev);

	test_fault_void(t, TEST_SAVE);
	mutex_lock(&t->lock);
	memcpy(buf, t->word, sizeof(t->word));
	mutex_unlock(&t->lock);
	return sizeof(t->word);
}

static void *test_prepare(struct vfio_device *vdev, u32 version, const void *buf, size_t len)
{
	bool good = len == sizeof(__le32) * TEST_NR_WORDS;
	int ret = test_fault(to_test(vdev), TEST_PREPARE);
	const __le32 *word = buf;
	void *copy;

	if (ret)
		return ERR_PTR(ret);
	for (int i = 0; good && i < TEST_NR_WORDS; i++)
		good = !((le32_to_cpu(word[i]) ^ words[i].value) & ~words[i].mask);
	if (!good) {
		dev_err_ratelimited(vdev->dev, "a control state that is none\n");
		return ERR_PTR(-EINVAL);
	}
	copy = kmemdup(buf, len, GFP_KERNEL_ACCOUNT);
	return copy ? copy : ERR_PTR(-ENOMEM);
}

static void test_apply(struct vfio_device *vdev, void *prepared)
{
	struct test_device *t = to_test(vdev);

	test_fault_void(t, TEST_APPLY);
	mutex_lock(&t->lock);
	if (prepared)
		memcpy(t->word, prepared, sizeof(t->word));
	if (t->image_ops)
		test_image_apply(t);
	mutex_unlock(&t->lock);
	kfree(prepared);
}

static void test_discard(struct vfio_device *vdev, void *prepared)
{
	test_fault_void(to_test(vdev), TEST_DISCARD);
	kfree(prepared);
}

static const struct vfio_mig_ops test_ops = {
	.quiesce = test_quiesce,
	.stop = test_stop,
	.start = test_start,
	.run = test_run,
	.reset = test_reset,
	.save = test_save,
	.prepare = test_prepare,
	.apply = test_apply,
	.discard = test_discard,
	.cancel = test_cancel,
};

/* For a device that has an image, but neither memory nor control state */
static const struct vfio_mig_ops test_image_only_ops = {
	.stop = test_stop,
	.run = test_run,
	.reset = test_reset,
	.apply = test_apply,
	.cancel = test_cancel,
};

static void access_words(struct test_device *t, u64 off, u8 *val, size_t len, bool write)
{
	u8 *at = (u8 *)t->word, mask;

	for (; len; len--, off++, val++) {
		mask = words[off / 4].mask >> (off % 4 * 8);
		if (write)
			at[off] = (at[off] & ~mask) | (*val & mask);
		else
			*val = at[off];
	}
}

static void access_image(struct test_device *t, u64 off, u8 *val, size_t len, bool write)
{
	__le64 regs[2] = { cpu_to_le64(t->image.seed), cpu_to_le64(t->image.size) };

	if (!write) {
		memcpy(val, (u8 *)regs + off, len);
		return;
	}
	memcpy((u8 *)regs + off, val, len);
	t->image.seed = le64_to_cpu(regs[0]);
	t->image.size = min(le64_to_cpu(regs[1]) & ~7ULL, TEST_IMAGE_MAX);
}

static int test_access(struct vfio_device *vdev, u32 index, u64 off, u8 *val, size_t len,
		       bool write)
{
	struct test_device *t = to_test(vdev);
	bool bar = index == VFIO_PCI_BAR0_REGION_INDEX;

	mutex_lock(&t->lock);
	if (bar && off >= BAR0_IMAGE)
		access_image(t, off - BAR0_IMAGE, val, len, write);
	else
		access_words(t, off + (bar ? 4 * TEST_SCRATCH : 0), val, len, write);
	mutex_unlock(&t->lock);
	if (write) {
		vfio_mig_control_changed(t->mig);
		vfio_mig_image_changed(t->mig);
	}
	return 0;
}

static const struct vfio_mig_pci test_pci = {
	.region_size[VFIO_PCI_CONFIG_REGION_INDEX] = PCI_CFG_SPACE_SIZE,
	.region_size[VFIO_PCI_BAR0_REGION_INDEX] = BAR0_SIZE,
	.region_size[VFIO_PCI_BAR2_REGION_INDEX] = MEMORY,
	.memory = BIT(VFIO_PCI_BAR2_REGION_INDEX),
	.access = test_access,
};

/* Clears the memory, because the next user must not see the data of this user. */
static void test_close(struct vfio_device *vdev)
{
	struct test_device *t = to_test(vdev);

	vfio_mig_close(t->mig);
	if (t->memory)
		test_memory_clear(t);
	else
		vfio_mig_pages_discard(&t->pages, 0, t->pages.nr);
}

static void test_release(struct vfio_device *vdev)
{
	struct test_device *t = to_test(vdev);

	vfio_mig_pages_destroy(&t->pages);
	test_memory_free(t);
	vfio_mig_free_device(vdev);
}

static const struct vfio_device_ops test_vfio_ops = {
	.name = "vfio_mig_test",
	.release = test_release,
	.open_device = vfio_mig_pci_open,
	.close_device = test_close,
	.read = vfio_mig_pci_read,
	.write = vfio_mig_pci_write,
	.mmap = vfio_mig_pci_mmap,
	.ioctl = vfio_mig_pci_ioctl,
	VFIO_MIG_REGION_INFO_OP(vfio_mig_pci_region_info)
	VFIO_MIG_IOMMUFD_OPS
};

static struct vfio_mig *create_mig(struct test_device *t)
{
	const struct test_type *type = type_of(t);
	struct vfio_mig_desc desc = {
		.type = type->stream_type,
		.control_version = 1,
		.ops = type->image_only ? &test_image_only_ops : &test_ops,
		.image = t->image_ops,
		.image_max = 2 * (TEST_IMAGE_MAX + SZ_4K),
		.pci = &t->pci,
		.protocols = type->protocols,
		.dma_logging = true,	/* The device does no DMA, so the log is complete. */
	};

	if (!type->image_only) {
		desc.control_max = sizeof(t->word);
		desc.pages = &t->pages;
	}
	return vfio_mig_create(&t->vdev, &desc);
}

static int create_memory(struct test_device *t)
{
	const struct test_type *type = type_of(t);

	if (type->memory)
		return test_memory_init(t, MEMORY / PAGE_SIZE, type->bitmap);
	return vfio_mig_pages_init(&t->pages, MEMORY / PAGE_SIZE, NULL);
}

static int test_probe(struct mdev_device *mdev)
{
	struct test_device *t = vfio_alloc_device(test_device, vdev, &mdev->dev,
						  &test_vfio_ops);
	int ret;

	if (IS_ERR(t))
		return PTR_ERR(t);
	dev_set_drvdata(&mdev->dev, t);
	mutex_init(&t->lock);
	t->image_ops = type_of(t)->has_image ? &test_image_ops : NULL;
	t->pci = test_pci;
	if (type_of(t)->image_only) {
		t->pci.region_size[VFIO_PCI_BAR2_REGION_INDEX] = 0;
		t->pci.memory = 0;
	}
	ret = create_memory(t);
	if (ret)
		goto err_put;
	t->mig = create_mig(t);
	ret = PTR_ERR_OR_ZERO(t->mig);
	if (ret)
		goto err_put;
	test_fault_init(t);
	ret = vfio_register_emulated_iommu_dev(&t->vdev);
	if (!ret)
		return 0;
	test_fault_exit(t);
	vfio_mig_destroy(t->mig);
err_put:
	vfio_put_device(&t->vdev);
	return ret;
}

static void test_remove(struct mdev_device *mdev)
{
	struct test_device *t = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&t->vdev);
	test_fault_exit(t);
	vfio_mig_destroy(t->mig);
	vfio_put_device(&t->vdev);
}

static struct mdev_driver test_driver = {
	.device_api = VFIO_DEVICE_API_PCI_STRING,
	.max_instances = 64,
	.driver = { .name = "vfio_mig_test", .owner = THIS_MODULE },
	.probe = test_probe,
	.remove = test_remove,
};

static struct mdev_type *mdev_types[ARRAY_SIZE(types)];
static VFIO_MIG_CONST_CLASS struct class test_class = { .name = "vfio_mig_test" };
static struct mdev_parent test_parent;
static struct device *test_dev;

static int __init test_init(void)
{
	int ret = class_register(&test_class);

	if (ret)
		return ret;
	for (int i = 0; i < ARRAY_SIZE(types); i++)
		mdev_types[i] = &types[i].type;
	test_fault_setup();
	ret = mdev_register_driver(&test_driver);
	if (ret)
		goto err_class;
	test_dev = device_create(&test_class, NULL, 0, NULL, "vfio_mig_test");
	ret = PTR_ERR_OR_ZERO(test_dev);
	if (ret)
		goto err_driver;
	ret = mdev_register_parent(&test_parent, test_dev, &test_driver, mdev_types,
				   ARRAY_SIZE(mdev_types));
	if (!ret)
		return 0;
	device_unregister(test_dev);
err_driver:
	mdev_unregister_driver(&test_driver);
err_class:
	test_fault_cleanup();
	class_unregister(&test_class);
	return ret;
}

static void __exit test_exit(void)
{
	mdev_unregister_parent(&test_parent);
	device_unregister(test_dev);
	mdev_unregister_driver(&test_driver);
	test_fault_cleanup();
	class_unregister(&test_class);
}

module_init(test_init);
module_exit(test_exit);
MODULE_DESCRIPTION("Test device of the VFIO migration library");
MODULE_AUTHOR("The vfio-mig-core authors");
MODULE_LICENSE("GPL");
