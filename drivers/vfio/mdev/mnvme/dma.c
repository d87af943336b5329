// SPDX-License-Identifier: GPL-2.0-only
/*
 * Access to guest memory, from any thread
 *
 * vfio_dma_rw() copies to and from the address space that the memory was mapped
 * from. A thread with that address space just copies; one without takes it on and
 * lets go of it, which costs more than a small copy; one with another is refused.
 */
#include <linux/kthread.h>
#include <linux/mmu_context.h>
#include <linux/sched/mm.h>

#include "mnvme.h"

/**
 * mnvme_use_mm() - let a kernel thread have the address space of the device's user
 * @dev: the controller
 *
 * Spares it to take that on in each mnvme_dma().
 *
 * Return: whether mnvme_unuse_mm() is to be called.
 */
bool mnvme_use_mm(struct mnvme *dev)
{
	if (!dev->mm || !mmget_not_zero(dev->mm))
		return false;
	kthread_use_mm(dev->mm);
	return true;
}

void mnvme_unuse_mm(struct mnvme *dev)
{
	kthread_unuse_mm(dev->mm);
	mmput(dev->mm);
}

/**
 * struct mnvme_dma_work - an access by a thread without an address space
 * @work: the work
 * @dev: the controller
 * @iova: address in the guest
 * @buf: kernel buffer
 * @len: bytes
 * @write: to the guest
 * @ret: what vfio_mig_dma_rw() said
 */
struct mnvme_dma_work {
	struct work_struct work;
	struct mnvme *dev;
	u64 iova;
	void *buf;
	size_t len;
	bool write;
	int ret;
};

static void mnvme_dma_work(struct work_struct *work)
{
	struct mnvme_dma_work *w = container_of(work, struct mnvme_dma_work, work);

	w->ret = vfio_mig_dma_rw(w->dev->mig, w->iova, w->buf, w->len, w->write);
}

static int mnvme_dma_elsewhere(struct mnvme *dev, u64 iova, void *buf, size_t len,
			       bool write)
{
	struct mnvme_dma_work w = {
		.dev = dev, .iova = iova, .buf = buf, .len = len, .write = write,
	};

	INIT_WORK_ONSTACK(&w.work, mnvme_dma_work);
	queue_work(mnvme_dma_wq, &w.work);
	flush_work(&w.work);
	destroy_work_on_stack(&w.work);
	return w.ret;
}

/**
 * mnvme_dma() - move bytes between guest memory and a kernel buffer
 * @dev: the controller
 * @iova: address in the guest
 * @buf: kernel buffer
 * @len: bytes
 * @write: to the guest
 *
 * Context: any thread; the fastest are those of the process that opened the
 * device, and those that called mnvme_use_mm(). May sleep.
 * Return: 0 or an errno; some of the bytes may have been moved.
 */
int mnvme_dma(struct mnvme *dev, u64 iova, void *buf, size_t len, bool write)
{
	int ret;

	/* The container takes what wraps around for a range near zero. */
	if (iova + len < iova)
		return -EFAULT;

	ret = vfio_mig_dma_rw(dev->mig, iova, buf, len, write);
	/* Memory that another process mapped is reached without an address space. */
	if (ret && current->mm)
		ret = mnvme_dma_elsewhere(dev, iova, buf, len, write);
	return ret;
}
