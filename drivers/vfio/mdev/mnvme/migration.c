// SPDX-License-Identifier: GPL-2.0-only
/*
 * Migration: the callbacks for vfio-mig-core
 *
 * state.c has the contents of the control state. The library saves and loads the namespace
 * without the driver's help, because the namespace is paged state.
 */
#include <linux/slab.h>

#include "mnvme.h"

static int mnvme_mig_stop(struct vfio_device *vdev, enum vfio_mig_stop_reason reason)
{
	return mnvme_stop(to_mnvme(vdev), reason);
}

static void mnvme_mig_run(struct vfio_device *vdev)
{
	mnvme_run(to_mnvme(vdev));
}

static void mnvme_mig_reset(struct vfio_device *vdev)
{
	mnvme_power_on(to_mnvme(vdev));
}

static u32 mnvme_mig_version(struct vfio_device *vdev)
{
	return READ_ONCE(to_mnvme(vdev)->level);
}

static size_t mnvme_mig_save(struct vfio_device *vdev, void *buf)
{
	struct mnvme *dev = to_mnvme(vdev);
	size_t len;

	mutex_lock(&dev->lock);
	len = mnvme_state_save(dev, buf);
	mutex_unlock(&dev->lock);
	return len;
}

/* A checked state for mnvme_mig_apply() */
struct mnvme_prepared {
	u8 level;
	size_t len;
	u8 buf[];
};

static void *mnvme_mig_prepare(struct vfio_device *vdev, u32 version,
			       const void *buf, size_t len)
{
	struct mnvme *dev = to_mnvme(vdev);
	struct mnvme_prepared *prepared;
	struct mnvme *shadow;
	const char *why;

	prepared = kvmalloc(struct_size(prepared, buf, len), VFIO_MIG_GFP);
	shadow = kvzalloc(sizeof(*shadow), VFIO_MIG_GFP);
	if (!prepared || !shadow) {
		why = NULL;
		goto err;
	}

	/* A bad state changes only the shadow controller, and not the device. */
	mnvme_shadow_init(shadow, dev->type);
	why = mnvme_state_load(shadow, version, buf, len);
	if (!why)
		why = mnvme_state_check(shadow);
	if (why)
		goto err;

	kvfree(shadow);
	prepared->level = version;
	prepared->len = len;
	memcpy(prepared->buf, buf, len);
	return prepared;

err:
	kvfree(shadow);
	kvfree(prepared);
	if (!why)
		return ERR_PTR(-ENOMEM);
	mnvme_warn(dev, "state refused: %s\n", why);
	return ERR_PTR(-EINVAL);
}

/* Cannot fail, because mnvme_mig_prepare() has loaded and checked the same bytes. */
static void mnvme_mig_apply(struct vfio_device *vdev, void *data)
{
	struct mnvme_prepared *prepared = data;
	struct mnvme *dev = to_mnvme(vdev);

	mutex_lock(&dev->lock);
	mnvme_state_load(dev, prepared->level, prepared->buf, prepared->len);
	dev->irq.resync = true;
	mnvme_config_update(dev);
	mutex_unlock(&dev->lock);
	kvfree(prepared);
}

static void mnvme_mig_discard(struct vfio_device *vdev, void *prepared)
{
	kvfree(prepared);
}

static const struct vfio_mig_ops mnvme_mig_ops = {
	.stop = mnvme_mig_stop,
	.run = mnvme_mig_run,
	.reset = mnvme_mig_reset,
	.save = mnvme_mig_save,
	.version = mnvme_mig_version,
	.prepare = mnvme_mig_prepare,
	.apply = mnvme_mig_apply,
	.discard = mnvme_mig_discard,
};

/**
 * mnvme_migration_init() - make the device migratable
 * @dev: the controller, not registered yet
 *
 * Return: 0 or an errno. vfio_mig_destroy() undoes this.
 */
int mnvme_migration_init(struct mnvme *dev)
{
	struct vfio_mig_desc desc = {
		.type = dev->type->name,
		.control_version = MNVME_LEVEL_MAX,
		.control_version_min = MNVME_LEVEL_MIN,
		.control_max = MNVME_STATE_MAX,
		.ops = &mnvme_mig_ops,
		.pages = &dev->pages,
		.pci = &mnvme_pci,
		.p2p = true,
		.dma_logging = true,
	};
	u16 i;

	dev->mig = vfio_mig_create(&dev->vdev, &desc);
	if (IS_ERR(dev->mig))
		return PTR_ERR(dev->mig);
	for (i = 0; i < MNVME_NR_QUEUES; i++) {
		mnvme_dma_init(&dev->sq[i]);
		mnvme_cq_dma_init(&dev->cq[i]);
	}
	return 0;
}
