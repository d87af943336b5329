// SPDX-License-Identifier: GPL-2.0-only
/*
 * Access to guest memory
 *
 * An access of the thread that writes a doorbell never waits for memory. An access of an executor
 * waits a few milliseconds, and then the library continues the access. At the end of the access
 * the library calls back, and the queue is kicked.
 */
#include "mnvme.h"

/* Context: the library may hold a spinlock. */
static void mnvme_dma_ready(struct vfio_mig_dma *dma)
{
	mnvme_sq_kick(container_of(dma, struct mnvme_sq, dma));
}

void mnvme_dma_init(struct mnvme_sq *sq)
{
	vfio_mig_dma_init(&sq->dma, sq->dev->mig, mnvme_dma_ready);
}

/* Context: a spinlock of the library is held. */
static void mnvme_cq_dma_ready(struct vfio_mig_dma *dma)
{
	mnvme_cq_kick(container_of(dma, struct mnvme_cq, dma));
}

/* Context: a spinlock of the library is held. */
static void mnvme_cq_arm_ready(struct vfio_mig_dma *dma)
{
	mnvme_cq_kick(container_of(dma, struct mnvme_cq, arm));
}

void mnvme_cq_dma_init(struct mnvme_cq *cq)
{
	vfio_mig_dma_init(&cq->dma, cq->dev->mig, mnvme_cq_dma_ready);
	vfio_mig_dma_init(&cq->arm, cq->dev->mig, mnvme_cq_arm_ready);
}

/*
 * Copies bytes for @sq by an access of @dma. The caller holds the lock of @dma. If the thread that
 * writes a doorbell gets -EFAULT, the executor finds out whether the memory is only missing.
 */
static int mnvme_dma_by(struct mnvme_sq *sq, struct vfio_mig_dma *dma, u64 iova, void *buf,
			size_t len, bool write)
{
	int ret;

	if (sq->here) {
		ret = vfio_mig_dma_rw_nofault(sq->dev->mig, iova, buf, len, write);
		if (ret == -EFAULT)
			ret = -EAGAIN;
	} else {
		ret = vfio_mig_dma_rw(dma, iova, buf, len, write);
	}
	if (ret == -EAGAIN)
		sq->waits = true;
	return ret;
}

/**
 * mnvme_dma() - copy bytes between guest memory and a kernel buffer
 * @sq: the submission queue that needs the access, with its exec held
 * @iova: address in the guest
 * @buf: kernel buffer
 * @len: number of bytes
 * @write: true to write to the guest
 *
 * If &mnvme_sq.here is set, the queue's executor has to access missing memory. If the queue's
 * turn is over and an access of this turn has waited, the command begins again in the next
 * turn. So memory that comes slowly does not delay other queues. The memory that has come is
 * present then, so each turn makes progress.
 *
 * Context: may sleep for a bounded time.
 * Return: 0; -EAGAIN if the memory is not present, and then &mnvme_sq.waits is set and the
 * executor begins again later; or another errno. Some bytes may have been copied.
 */
int mnvme_dma(struct mnvme_sq *sq, u64 iova, void *buf, size_t len, bool write)
{
	if (!sq->here && sq->dma.waited && mnvme_sq_turn_over(sq)) {
		sq->waits = true;
		mnvme_sq_kick(sq);
		return -EAGAIN;
	}
	return mnvme_dma_by(sq, &sq->dma, iova, buf, len, write);
}

/**
 * mnvme_cq_dma() - write for a completion queue
 * @cq: completion queue, with its post held
 * @dma: &mnvme_cq.dma for entries, &mnvme_cq.arm for EventIdx
 * @sq: one of its submission queues, with its exec held
 * @iova: address in the guest
 * @buf: kernel buffer
 * @len: number of bytes
 *
 * If an entry's memory is missing, the tail does not move. Then several submission queues try to
 * write to the same entry, and a late access of one queue would overwrite the entry of another.
 * So there is one access at a time, and its end kicks all these submission queues.
 *
 * Context: may sleep for a bounded time.
 * Return: as mnvme_dma(); -EAGAIN also while the access of another submission queue is in
 * progress.
 */
int mnvme_cq_dma(struct mnvme_cq *cq, struct vfio_mig_dma *dma, struct mnvme_sq *sq, u64 iova,
		 void *buf, size_t len)
{
	lockdep_assert_held(&cq->post);
	if (!vfio_mig_dma_pending(dma))
		return mnvme_dma_by(sq, dma, iova, buf, len, true);
	sq->waits = true;
	return -EAGAIN;
}

/**
 * mnvme_dma_status() - convert a return value of mnvme_dma() to a status
 * @ret: 0 or an errno
 *
 * Return: NVMe status, or %MNVME_NOT_EXECUTED.
 */
u16 mnvme_dma_status(int ret)
{
	if (!ret)
		return NVME_SC_SUCCESS;
	return ret == -EAGAIN ? MNVME_NOT_EXECUTED : NVME_SC_DATA_XFER_ERROR;
}
