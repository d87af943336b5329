// SPDX-License-Identifier: GPL-2.0-only
/* An mnvme controller without VFIO, and its guest memory */
#include "nvme_device.h"

/* The namespace is small, so that random addresses are sometimes inside of it. */
static const struct mnvme_type type = {
	.name = "mnvme-fuzz", .ns_size = SZ_1M, .lba_shift = 9,
};

u8 guest[GUEST_SIZE];
struct vfio_mig_budget mnvme_budget = { .limit = 4 * SZ_1M / PAGE_SIZE };
struct workqueue_struct *mnvme_wq;

static struct mm_struct user_mm;

struct vfio_mig *vfio_mig_create(struct vfio_device *vdev,
				 const struct vfio_mig_desc *desc)
{
	struct vfio_mig *mig = calloc(1, sizeof(*mig));

	mutex_init(&mig->lock);
	mig->vdev = vdev;
	mig->desc = *desc;
	mig->state = VFIO_MIG_RUNNING;
	return mig;
}

void vfio_mig_control_changed(struct vfio_mig *mig)
{
	mig->control_dirty = true;
}

/* Pages of guest memory that are present. Other pages become present after a wait. */
static bool present[GUEST_SIZE / PAGE_SIZE];

void guest_evict(void)
{
	memset(present, 0, sizeof(present));
}

/* Makes pages present. Returns whether they were present before. */
static bool guest_touch(u64 iova, size_t len)
{
	bool was = true;
	u64 page;

	for (page = iova / PAGE_SIZE; page <= (iova + len - 1) / PAGE_SIZE; page++) {
		was &= present[page];
		present[page] = true;
	}
	return was;
}

static bool guest_valid(u64 iova, size_t len)
{
	return iova < GUEST_SIZE && len <= GUEST_SIZE - iova;
}

static void guest_rw(u64 iova, void *data, size_t len, bool write)
{
	if (write)
		memcpy(guest + iova, data, len);
	else
		memcpy(data, guest + iova, len);
}

int vfio_mig_dma_rw_nofault(struct vfio_mig *mig, dma_addr_t iova, void *data,
			    size_t len, bool write)
{
	(void)mig;
	if (!guest_valid(iova, len) || !guest_touch(iova, len))
		return -EFAULT;
	guest_rw(iova, data, len, write);
	return 0;
}

/* A queue that must wait is woken at once, and starts the command again later. */
int vfio_mig_dma_rw(struct vfio_mig_dma *dma, dma_addr_t iova, void *data,
		    size_t len, bool write)
{
	if (!guest_valid(iova, len))
		return -EFAULT;
	if (!guest_touch(iova, len)) {
		dma->ready(dma);
		return -EAGAIN;
	}
	guest_rw(iova, data, len, write);
	return 0;
}

bool vfio_mig_dma_pending(struct vfio_mig_dma *dma)
{
	(void)dma;
	return false;
}

void vfio_mig_dma_finish(struct vfio_mig_dma *dma)
{
	(void)dma;
}

bool vfio_mig_dma_drop(struct vfio_mig_dma *dma)
{
	(void)dma;
	return true;
}

bool vfio_mig_dma_busy(struct vfio_mig *mig)
{
	(void)mig;
	return false;
}

void vfio_mig_dma_init(struct vfio_mig_dma *dma, struct vfio_mig *mig,
		       void (*ready)(struct vfio_mig_dma *dma))
{
	dma->mig = mig;
	dma->ready = ready;
}

/* A work item does the work of a thread. */
struct vfio_mig_worker {
	struct work_struct item;
	void (*work)(void *data);
	void *data;
};

static void worker_item(struct work_struct *item)
{
	struct vfio_mig_worker *w = container_of(item, struct vfio_mig_worker, item);

	w->work(w->data);
}

struct vfio_mig_worker *vfio_mig_worker_create(const char *name,
					       void (*work)(void *data), void *data)
{
	struct vfio_mig_worker *w = calloc(1, sizeof(*w));

	(void)name;
	INIT_WORK(&w->item, worker_item);
	w->work = work;
	w->data = data;
	return w;
}

void vfio_mig_worker_wake(struct vfio_mig_worker *w)
{
	queue_work(NULL, &w->item);
}

bool vfio_mig_worker_killed(const struct vfio_mig_worker *w)
{
	(void)w;
	return false;
}

void vfio_mig_worker_stop(struct vfio_mig_worker *w)
{
	cancel_work_sync(&w->item);
	free(w);
}

const struct vfio_mig_pci mnvme_pci;

/* Creates a controller, as probe and open do. */
struct mnvme *nvme_new(void)
{
	struct mnvme *dev = calloc(1, sizeof(*dev));
	guid_t id = { .b = "0123456789abcde" };

	dev->type = &type;
	must(!vfio_mig_pages_init(&dev->pages, type.ns_size >> PAGE_SHIFT,
				  &mnvme_budget));
	mnvme_set_identity(dev, &id);
	dev->level = MNVME_LEVEL_MAX;
	mutex_init(&dev->ctrl);
	mutex_init(&dev->lock);
	spin_lock_init(&dev->events.lock);
	spin_lock_init(&dev->log.lock);
	INIT_WORK(&dev->ctrl_work, mnvme_ctrl_work);
	mnvme_irq_init(&dev->irq);
	mnvme_queues_init(dev);
	must(!mnvme_migration_init(dev));

	current->mm = &user_mm;
	dev->mm = &user_mm;
	guest_evict();
	must(!mnvme_executors_start(dev));
	dev->mig->desc.ops->reset(&dev->vdev);
	dev->mig->desc.ops->run(&dev->vdev);
	run_work();
	return dev;
}

void nvme_free(struct mnvme *dev)
{
	must(!mnvme_stop(dev, VFIO_MIG_STOP_FOR_RESET));
	mnvme_power_on(dev);
	mutex_lock(&dev->lock);
	mnvme_irq_release_user(dev);
	mutex_unlock(&dev->lock);
	mnvme_executors_stop(dev);
	run_work();
	vfio_mig_pages_destroy(&dev->pages);
	free(dev->mig);
	free(dev);
}

struct mnvme *nvme_migrate(struct mnvme *dev)
{
	struct mnvme *to = nvme_new();
	struct stream s;
	int ret;

	must(!mnvme_stop(to, VFIO_MIG_STOP_FOR_SAVE));
	save_all(dev->mig, SZ_1M, &s);
	must(!vfio_mig_load_begin(to->mig));
	/* Another device of the type must take any state of a device. */
	ret = feed(to->mig, s.data, s.len, SIZE_MAX);
	must(!ret);
	must(!vfio_mig_load_apply(to->mig));
	vfio_mig_load_end(to->mig);
	free(s.data);
	return to;
}

bool nvme_load_control(struct mnvme *dev, u8 level, const u8 *control, size_t len)
{
	const struct vfio_mig_ops *ops = dev->mig->desc.ops;
	void *prepared = ops->prepare(&dev->vdev, level, control, len);

	if (IS_ERR(prepared)) {
		must(PTR_ERR(prepared) == -EINVAL || PTR_ERR(prepared) == -ENOMEM);
		return false;
	}
	ops->apply(&dev->vdev, prepared);
	return true;
}

size_t nvme_save_control(struct mnvme *dev, u8 *control)
{
	return dev->mig->desc.ops->save(&dev->vdev, control);
}
