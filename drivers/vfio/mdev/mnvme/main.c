// SPDX-License-Identifier: GPL-2.0-only
/*
 * mnvme: the module, its parent device, its mdev types, and the limits for all devices together
 */
#include <linux/device.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sysfs.h>

#include "mnvme.h"

#define MNVME_INSTANCES_MAX	4096

static unsigned int memory_mib;
module_param(memory_mib, uint, 0444);
MODULE_PARM_DESC(memory_mib,
		 "Memory for all namespaces together, in MiB (default 0: half of the machine's)");

static unsigned int max_instances = 256;
module_param(max_instances, uint, 0444);
MODULE_PARM_DESC(max_instances, "Devices that can exist at once, 1 to 4096 (default 256)");

/* Runs ctrl_work, which does not access guest memory. */
struct workqueue_struct *mnvme_wq;
/* Memory of all devices together, in pages */
struct vfio_mig_budget mnvme_budget;

static atomic_t mnvme_instances = ATOMIC_INIT(0);
static struct mdev_parent mnvme_parent;
static struct device *mnvme_parent_dev;

static struct mnvme_type mnvme_types[] = {
	{ .name = "mnvme-64M", .ns_size = SZ_64M, .lba_shift = 9 },
	{ .name = "mnvme-1G", .ns_size = SZ_1G, .lba_shift = 9 },
	{ .name = "mnvme-16G", .ns_size = 16ull * SZ_1G, .lba_shift = 9 },
	{ .name = "mnvme-64M-4k", .ns_size = SZ_64M, .lba_shift = 12 },
	{ .name = "mnvme-1G-4k", .ns_size = SZ_1G, .lba_shift = 12 },
	{ .name = "mnvme-16G-4k", .ns_size = 16ull * SZ_1G, .lba_shift = 12 },
};

static struct mdev_type *mnvme_mdev_types[ARRAY_SIZE(mnvme_types)];

static const struct mnvme_type *to_mnvme_type(struct mdev_type *type)
{
	return container_of(type, struct mnvme_type, type);
}

static u64 mnvme_memory_used(void)
{
	return (u64)atomic_long_read(&mnvme_budget.used) << PAGE_SHIFT;
}

static u64 mnvme_memory_limit(void)
{
	return (u64)mnvme_budget.limit << PAGE_SHIFT;
}

/**
 * mnvme_instance_get() - count a new device
 * @type: type of the device
 *
 * Return: 0 or -ENOSPC. mnvme_instance_put() undoes this.
 */
int mnvme_instance_get(const struct mnvme_type *type)
{
	/* A namespace gets memory when it is written, so a new device needs none. */
	if (mnvme_memory_used() >= mnvme_memory_limit()) {
		pr_warn_ratelimited("%s refused: all %llu bytes of memory_mib are in use\n",
				    type->name, mnvme_memory_limit());
		return -ENOSPC;
	}
	if (!atomic_add_unless(&mnvme_instances, 1, max_instances)) {
		pr_warn_ratelimited("%s refused: there are max_instances=%u devices\n",
				    type->name, max_instances);
		return -ENOSPC;
	}
	return 0;
}

void mnvme_instance_put(void)
{
	atomic_dec(&mnvme_instances);
}

static unsigned int mnvme_get_available(struct mdev_type *type)
{
	int left = max_instances - atomic_read(&mnvme_instances);

	if (mnvme_memory_used() >= mnvme_memory_limit())
		return 0;
	return max(left, 0);
}

static ssize_t mnvme_show_description(struct mdev_type *mtype, char *buf)
{
	const struct mnvme_type *type = to_mnvme_type(mtype);

	return sysfs_emit(buf, "NVMe controller, %llu MiB in blocks of %u bytes, in memory\n",
			  type->ns_size >> 20, 1u << type->lba_shift);
}

static int mnvme_probe(struct mdev_device *mdev)
{
	struct mnvme *dev;
	int ret;

	dev = vfio_alloc_device(mnvme, vdev, &mdev->dev, &mnvme_vfio_ops);
	if (IS_ERR(dev))
		return PTR_ERR(dev);

	dev_set_drvdata(&mdev->dev, dev);
	ret = mnvme_migration_init(dev);
	if (ret)
		goto err_put;
	ret = vfio_register_emulated_iommu_dev(&dev->vdev);
	if (ret)
		goto err_migration;
	return 0;

err_migration:
	vfio_mig_destroy(dev->mig);
err_put:
	vfio_put_device(&dev->vdev);
	return ret;
}

/* Asks the user to close the device, and waits for that. */
static void mnvme_remove(struct mdev_device *mdev)
{
	struct mnvme *dev = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&dev->vdev);
	vfio_mig_destroy(dev->mig);
	vfio_put_device(&dev->vdev);
}

static ssize_t memory_used_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	struct mnvme *mnvme = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%llu\n",
			  (u64)vfio_mig_pages_resident(&mnvme->pages) << PAGE_SHIFT);
}
static DEVICE_ATTR_RO(memory_used);

/*
 * The parent has an attribute of the same name. It has its own function, because a user can
 * read it before mnvme_init() knows the parent device.
 */
static ssize_t parent_memory_used_show(struct device *dev,
				       struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", mnvme_memory_used());
}

static struct device_attribute memory_used_attr =
	__ATTR(memory_used, 0444, parent_memory_used_show, NULL);

static ssize_t memory_limit_show(struct device *dev,
				 struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", mnvme_memory_limit());
}
static DEVICE_ATTR_RO(memory_limit);

static ssize_t instances_show(struct device *dev,
			      struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&mnvme_instances));
}
static DEVICE_ATTR_RO(instances);

static struct attribute *mnvme_parent_attrs[] = {
	&memory_used_attr.attr,
	&dev_attr_memory_limit.attr,
	&dev_attr_instances.attr,
	NULL
};
ATTRIBUTE_GROUPS(mnvme_parent);

static ssize_t queued_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "%u\n", mnvme_queued(dev_get_drvdata(dev)));
}
static DEVICE_ATTR_RO(queued);

static struct attribute *mnvme_attrs[] = {
	&dev_attr_memory_used.attr,
	&dev_attr_queued.attr,
	NULL
};

static const struct attribute_group mnvme_group = {
	.attrs = mnvme_attrs,
};

static const struct attribute_group *mnvme_groups[] = {
	&mnvme_group,
	&mnvme_level_group,
	NULL
};

static struct mdev_driver mnvme_driver = {
	.device_api = VFIO_DEVICE_API_PCI_STRING,
	.driver = {
		.name = "mnvme",
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
		.dev_groups = mnvme_groups,
	},
	.probe = mnvme_probe,
	.remove = mnvme_remove,
	.get_available = mnvme_get_available,
	.show_description = mnvme_show_description,
};

static VFIO_MIG_CONST_CLASS struct class mnvme_class = {
	.name = "mnvme",
};

static int __init mnvme_check_parameters(void)
{
	unsigned int machine = totalram_pages() >> (20 - PAGE_SHIFT);

	if (!max_instances || max_instances > MNVME_INSTANCES_MAX) {
		pr_err("mnvme: max_instances=%u is not within 1 to %u\n",
		       max_instances, MNVME_INSTANCES_MAX);
		return -EINVAL;
	}
	if (memory_mib > machine) {
		pr_err("mnvme: memory_mib=%u is more than the machine's %u MiB\n",
		       memory_mib, machine);
		return -EINVAL;
	}
	mnvme_budget.limit = memory_mib ?
			     (unsigned long)memory_mib << (20 - PAGE_SHIFT) :
			     totalram_pages() / 2;
	return 0;
}

static int __init mnvme_init(void)
{
	int i, ret;

	ret = mnvme_check_parameters();
	if (ret)
		return ret;

	for (i = 0; i < ARRAY_SIZE(mnvme_types); i++) {
		/* The mdev core adds the driver's name in front. */
		mnvme_types[i].type.sysfs_name = mnvme_types[i].name +
						 strlen("mnvme-");
		mnvme_types[i].type.pretty_name = mnvme_types[i].name;
		mnvme_mdev_types[i] = &mnvme_types[i].type;
	}

	mnvme_wq = alloc_workqueue("mnvme", WQ_UNBOUND, WQ_UNBOUND_MAX_ACTIVE);
	if (!mnvme_wq)
		return -ENOMEM;

	ret = class_register(&mnvme_class);
	if (ret)
		goto err_wq;
	ret = mdev_register_driver(&mnvme_driver);
	if (ret)
		goto err_class;

	mnvme_parent_dev = device_create_with_groups(&mnvme_class, NULL, 0, NULL,
						     mnvme_parent_groups, "mnvme");
	if (IS_ERR(mnvme_parent_dev)) {
		ret = PTR_ERR(mnvme_parent_dev);
		goto err_driver;
	}
	ret = mdev_register_parent(&mnvme_parent, mnvme_parent_dev, &mnvme_driver,
				   mnvme_mdev_types, ARRAY_SIZE(mnvme_types));
	if (ret)
		goto err_device;
	return 0;

err_device:
	device_unregister(mnvme_parent_dev);
err_driver:
	mdev_unregister_driver(&mnvme_driver);
err_class:
	class_unregister(&mnvme_class);
err_wq:
	destroy_workqueue(mnvme_wq);
	return ret;
}

static void __exit mnvme_exit(void)
{
	mdev_unregister_parent(&mnvme_parent);
	device_unregister(mnvme_parent_dev);
	mdev_unregister_driver(&mnvme_driver);
	class_unregister(&mnvme_class);
	destroy_workqueue(mnvme_wq);
}

module_init(mnvme_init);
module_exit(mnvme_exit);

MODULE_DESCRIPTION("Mediated NVMe controller that migrates");
MODULE_AUTHOR("The vfio-mig-core authors");
MODULE_LICENSE("GPL");
