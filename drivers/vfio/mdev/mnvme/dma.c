// SPDX-License-Identifier: GPL-2.0-only
/*
 * Access to guest memory
 */
#include "mnvme.h"

/* Context: a spinlock of the library is held. */
static void mnvme_dma_ready(struct vfio_mig_dma *dma)
{
	mnvme_sq_kick(container_of(dma, struct mnvme_sq, dma));
}

void mnvme_dma_init(struct mnvme_sq *sq)
{
	vfio_mig_dma_init(&sq->dma, sq->dev->mig, mnvme_dma_ready);
}

/**
 * mnvme_dma() - copy bytes between guest memory and a kernel buffer
 * @sq: the submission queue that needs the access, with its exec held
 * @iova: address in the guest
 * @buf: kernel buffer
 * @len: number of bytes
 * @write: true to write to the guest
 *
 * If &mnvme_sq.here is set, the queue's executor has to access missing memory.
 *
 * Context: may sleep for a bounded time.
 * Return: 0; -EAGAIN if the memory is not present, and then &mnvme_sq.waits is set and the
 * executor begins again later; or another errno. Some bytes may have been copied.
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
