// SPDX-License-Identifier: GPL-2.0-only
/*
 * The directory "migration" of a device, for administrators
 *
 * No file takes the session mutex, so an administrator can look at a device whose transition
 * does not end. Documentation/ABI/testing/sysfs-bus-mdev-vfio-mig describes the files.
 */
#include <linux/device.h>
#include <linux/sysfs.h>

#include "mig.h"

/* A device resource leads to the library's object, because the vendor driver has the drvdata. */
static void sysfs_unlink(struct device *dev, void *res)
{
}

static struct vfio_mig *to_mig(struct device *dev)
{
	struct vfio_mig **link = devres_find(dev, sysfs_unlink, NULL, NULL);

	return *link;
}

const char * const vfio_mig_state_names[VFIO_MIG_NR_STATES] = {
	[VFIO_MIG_ERROR]	= "error",
	[VFIO_MIG_STOP]		= "stopped",
	[VFIO_MIG_RUNNING]	= "running",
	[VFIO_MIG_STOP_COPY]	= "stop-and-copy",
	[VFIO_MIG_RESUMING]	= "resuming",
	[VFIO_MIG_RUNNING_P2P]	= "running-p2p",
	[VFIO_MIG_PRE_COPY]	= "pre-copy",
	[VFIO_MIG_PRE_COPY_P2P]	= "pre-copy-p2p",
};

static ssize_t state_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	struct vfio_mig *mig = to_mig(dev);

	if (!READ_ONCE(mig->opened))
		return sysfs_emit(buf, "closed\n");
	return sysfs_emit(buf, "%s\n",
			  vfio_mig_state_names[READ_ONCE(mig->state)]);
}

static DEVICE_ATTR_RO(state);

static const char * const owner_names[] = {
	[VFIO_MIG_OWNER_NONE]	= "none",
	[VFIO_MIG_OWNER_V1]	= "v1",
	[VFIO_MIG_OWNER_V2]	= "v2",
};

static ssize_t owner_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%s\n",
			  owner_names[READ_ONCE(to_mig(dev)->owner)]);
}

static DEVICE_ATTR_RO(owner);

static ssize_t control_version_show(struct device *dev,
				    struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", vfio_mig_version(to_mig(dev)));
}

static DEVICE_ATTR_RO(control_version);

static ssize_t control_version_min_show(struct device *dev,
					struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", vfio_mig_version_min(to_mig(dev)));
}

static DEVICE_ATTR_RO(control_version_min);

static ssize_t control_version_max_show(struct device *dev,
					struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", to_mig(dev)->desc.control_version);
}

static DEVICE_ATTR_RO(control_version_max);

struct counter_attr {
	struct device_attribute attr;
	enum vfio_mig_counter counter;
};

static ssize_t counter_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	struct counter_attr *c = container_of(attr, struct counter_attr, attr);

	return sysfs_emit(buf, "%lld\n",
			  atomic64_read(&to_mig(dev)->counters[c->counter]));
}

#define COUNTER(_name, _counter)					\
	static struct counter_attr _name##_attr = {			\
		.attr = __ATTR(_name, 0444, counter_show, NULL),	\
		.counter = (_counter),					\
	}

COUNTER(saves, VFIO_MIG_SAVES);
COUNTER(loads, VFIO_MIG_LOADS);
COUNTER(refused, VFIO_MIG_REFUSED);
COUNTER(breaches, VFIO_MIG_BREACHES);
COUNTER(iterations, VFIO_MIG_ITERATIONS);
COUNTER(precopy_bytes, VFIO_MIG_PRECOPY_BYTES);
COUNTER(stopcopy_bytes, VFIO_MIG_STOPCOPY_BYTES);
COUNTER(resume_bytes, VFIO_MIG_RESUME_BYTES);
COUNTER(read_bytes, VFIO_MIG_READ_BYTES);
COUNTER(pages_sent, VFIO_MIG_PAGES_SENT);
COUNTER(image_bytes, VFIO_MIG_IMAGE_BYTES);

static struct attribute *vfio_mig_attrs[] = {
	&dev_attr_state.attr,
	&dev_attr_owner.attr,
	&dev_attr_control_version.attr,
	&dev_attr_control_version_min.attr,
	&dev_attr_control_version_max.attr,
	&saves_attr.attr.attr,
	&loads_attr.attr.attr,
	&refused_attr.attr.attr,
	&breaches_attr.attr.attr,
	&iterations_attr.attr.attr,
	&precopy_bytes_attr.attr.attr,
	&stopcopy_bytes_attr.attr.attr,
	&resume_bytes_attr.attr.attr,
	&read_bytes_attr.attr.attr,
	&pages_sent_attr.attr.attr,
	&image_bytes_attr.attr.attr,
	NULL
};

static const struct attribute_group vfio_mig_group = {
	.name = "migration",
	.attrs = vfio_mig_attrs,
};

/**
 * vfio_mig_sysfs_add - add the directory "migration" to a device
 * @mig: the device
 *
 * Return: 0 or an errno.
 */
int vfio_mig_sysfs_add(struct vfio_mig *mig)
{
	struct device *dev = mig->vdev->dev;
	struct vfio_mig **link;
	int ret;

	link = devres_alloc(sysfs_unlink, sizeof(*link), GFP_KERNEL);
	if (!link)
		return -ENOMEM;
	*link = mig;
	devres_add(dev, link);

	ret = sysfs_create_group(&dev->kobj, &vfio_mig_group);
	if (ret)
		devres_destroy(dev, sysfs_unlink, NULL, NULL);
	return ret;
}

/**
 * vfio_mig_sysfs_remove - opposite of vfio_mig_sysfs_add()
 * @mig: the device
 *
 * Waits for readers of the files, which use the library's object.
 */
void vfio_mig_sysfs_remove(struct vfio_mig *mig)
{
	struct device *dev = mig->vdev->dev;

	sysfs_remove_group(&dev->kobj, &vfio_mig_group);
	devres_destroy(dev, sysfs_unlink, NULL, NULL);
}
