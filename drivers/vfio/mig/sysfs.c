// SPDX-License-Identifier: GPL-2.0-only
/*
 * The directory "migration" of a device, for administrators
 */
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "mig.h"

static struct vfio_mig *to_mig(struct kobject *kobj)
{
	return container_of(kobj, struct vfio_mig, kobj);
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

/* Reads without the session mutex, because a slow transition must not delay this. */
static ssize_t state_show(struct kobject *kobj, struct kobj_attribute *attr,
			  char *buf)
{
	struct vfio_mig *mig = to_mig(kobj);

	if (!READ_ONCE(mig->opened))
		return sysfs_emit(buf, "closed\n");
	return sysfs_emit(buf, "%s\n",
			  vfio_mig_state_names[READ_ONCE(mig->state)]);
}

static struct kobj_attribute state_attr = __ATTR_RO(state);

static const char * const owner_names[] = {
	[VFIO_MIG_OWNER_NONE]	= "none",
	[VFIO_MIG_OWNER_V1]	= "v1",
	[VFIO_MIG_OWNER_V2]	= "v2",
};

static ssize_t owner_show(struct kobject *kobj, struct kobj_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%s\n",
			  owner_names[READ_ONCE(to_mig(kobj)->owner)]);
}

static struct kobj_attribute owner_attr = __ATTR_RO(owner);

static ssize_t control_version_show(struct kobject *kobj,
				    struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", vfio_mig_version(to_mig(kobj)));
}

static struct kobj_attribute control_version_attr = __ATTR_RO(control_version);

static ssize_t control_version_min_show(struct kobject *kobj,
					struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", vfio_mig_version_min(to_mig(kobj)));
}

static struct kobj_attribute control_version_min_attr =
	__ATTR_RO(control_version_min);

static ssize_t control_version_max_show(struct kobject *kobj,
					struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", to_mig(kobj)->desc.control_version);
}

static struct kobj_attribute control_version_max_attr =
	__ATTR_RO(control_version_max);

struct counter_attr {
	struct kobj_attribute attr;
	enum vfio_mig_counter counter;
};

static ssize_t counter_show(struct kobject *kobj, struct kobj_attribute *attr,
			    char *buf)
{
	struct counter_attr *c = container_of(attr, struct counter_attr, attr);

	return sysfs_emit(buf, "%lld\n",
			  atomic64_read(&to_mig(kobj)->counters[c->counter]));
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
	&state_attr.attr,
	&owner_attr.attr,
	&control_version_attr.attr,
	&control_version_min_attr.attr,
	&control_version_max_attr.attr,
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
ATTRIBUTE_GROUPS(vfio_mig);

static void vfio_mig_kobj_release(struct kobject *kobj)
{
	kfree(to_mig(kobj));
}

const struct kobj_type vfio_mig_ktype = {
	.release = vfio_mig_kobj_release,
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = vfio_mig_groups,
};
