// SPDX-License-Identifier: GPL-2.0-only
/*
 * Access to guest memory
 */
#include "mnvme.h"

/* Context: a spinlock of the library's is held. */
static void mnvme_dma_ready(struct vfio_mig_dma *dma)
{
	mnvme_sq_kick(container_of(dma, struct mnvme_sq, dma));
}

void mnvme_dma_init(struct mnvme_sq *sq)
{
	vfio_mig_dma_init(&sq->dma, sq->dev->mig, mnvme_dma_ready);
}

/**
 * mnvme_dma() - move bytes between guest memory and a kernel buffer
 * @sq: the submission queue that it is done for, with its exec held
 * @iova: address in the guest
 * @buf: kernel buffer
 * @len: bytes
 * @write: to the guest
 *
 * Where &mnvme_sq.here is set, memory that is not there is left to the queue's
 * executor.
 *
 * Context: may sleep for a bounded time.
 * Return: 0; -EAGAIN if the memory is not there yet: &mnvme_sq.waits is set, and the
 * executor begins again later; or another errno. Some of the bytes may have been moved.
 */
int mnvme_dma(struct mnvme_sq *sq, u64 iova, void *buf, size_t len, bool write)
{
	int ret;

	if (sq->here) {
		ret = vfio_mig_dma_rw_nofault(sq->dev->mig, iova, buf, len, write);
		if (ret == -EFAULT)
			ret = -EAGAIN;
	} else {
		ret = vfio_mig_dma_rw(&sq->dma, iova, buf, len, write);
	}
	if (ret == -EAGAIN)
		sq->waits = true;
	return ret;
}

/**
 * mnvme_dma_status() - what a command ends with for what mnvme_dma() returned
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
