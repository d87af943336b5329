// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data pointer of a command: guest memory as a sequence of segments
 *
 * A segment is a range of guest memory of one PRP entry or SGL descriptor. prp.c and sgl.c find
 * the next segment.
 */
#include "mnvme.h"

/**
 * mnvme_dptr_init() - start at the beginning of a command's data
 * @d: the walk to initialise
 * @req: the command
 * @len: number of bytes of the whole transfer, at least 1
 *
 * Return: NVMe status.
 */
u16 mnvme_dptr_init(struct mnvme_dptr *d, struct mnvme_req *req, u32 len)
{
	bool sgl = req->cmd->common.flags & NVME_CMD_SGL_ALL;

	d->dev = req->dev;
	d->sq = req->sq;
	d->left = len;
	d->seg = 0;
	d->idx = 0;
	d->nr = 0;
	d->list_left = 0;
	d->discard = false;
	d->sgl_in_use = sgl;
	return sgl ? mnvme_sgl_init(d, req) : mnvme_prp_init(d, req);
}

/**
 * mnvme_dptr_next() - go to the next segment if the current one is empty
 * @d: the walk, with bytes left
 *
 * May read from the guest, so it must not be called inside an access to a page of the
 * namespace, unless mnvme_dptr_at_hand() returns true.
 *
 * Return: NVMe status.
 */
u16 mnvme_dptr_next(struct mnvme_dptr *d)
{
	if (d->seg)
		return NVME_SC_SUCCESS;
	return d->sgl_in_use ? mnvme_sgl_next(d) : mnvme_prp_next(d);
}

/**
 * mnvme_dptr_read_ahead() - read the list now, so that mnvme_dptr_run() knows its entries
 * @d: the walk
 *
 * May read from the guest, as mnvme_dptr_next(), which also returns the errors.
 */
void mnvme_dptr_read_ahead(struct mnvme_dptr *d)
{
	if (!d->sgl_in_use)
		mnvme_prp_read_ahead(d);
}

/**
 * mnvme_dptr_at_hand() - whether mnvme_dptr_next() will not read from the guest
 * @d: the walk
 */
bool mnvme_dptr_at_hand(const struct mnvme_dptr *d)
{
	/* SGL descriptors can be empty, so that the next one with data is not known. */
	return d->seg || (!d->sgl_in_use && d->idx < d->nr);
}

/**
 * mnvme_dptr_dma() - move bytes at the current position
 * @d: the walk, which stays where it is
 * @buf: kernel buffer
 * @len: number of bytes, at most the rest of the segment or the return value of
 *	mnvme_dptr_run()
 * @write: true to write to the guest
 *
 * Return: NVMe status.
 */
u16 mnvme_dptr_dma(struct mnvme_dptr *d, void *buf, u32 len, bool write)
{
	if (d->discard)
		return NVME_SC_SUCCESS;
	return mnvme_dma_status(mnvme_dma(d->sq, d->iova, buf, len, write));
}

/**
 * mnvme_dptr_copy() - move bytes between a buffer and the command's data
 * @d: the walk, which continues behind the bytes
 * @buf: kernel buffer
 * @len: number of bytes, at most the rest of the transfer
 * @write: true to write to the guest
 *
 * Return: NVMe status.
 */
u16 mnvme_dptr_copy(struct mnvme_dptr *d, void *buf, u32 len, bool write)
{
	u16 status;
	u32 n;

	for (; len; len -= n, buf += n) {
		status = mnvme_dptr_next(d);
		if (status)
			return status;

		n = min(len, d->seg);
		status = mnvme_dptr_dma(d, buf, n, write);
		if (status)
			return status;
		mnvme_dptr_advance(d, n);
	}
	return NVME_SC_SUCCESS;
}

/**
 * mnvme_dptr_run() - return the length of contiguous guest memory
 * @d: the walk, whose current segment is not empty
 *
 * Looks only at entries of the list that were read already.
 *
 * Return: number of bytes from the current position on that are contiguous in the guest,
 * also beyond the current segment; 0 for a bit bucket.
 */
u32 mnvme_dptr_run(const struct mnvme_dptr *d)
{
	if (d->discard)
		return 0;
	return d->sgl_in_use ? mnvme_sgl_run(d) : mnvme_prp_run(d);
}

/**
 * mnvme_dptr_skip() - skip bytes that were moved
 * @d: the walk, which continues behind the bytes
 * @len: number of bytes, at most the return value of mnvme_dptr_run()
 *
 * Reads nothing from the guest.
 *
 * Return: NVMe status.
 */
u16 mnvme_dptr_skip(struct mnvme_dptr *d, u32 len)
{
	u16 status;
	u32 n;

	for (; len; len -= n) {
		status = mnvme_dptr_next(d);
		if (status)
			return status;
		n = min(len, d->seg);
		mnvme_dptr_advance(d, n);
	}
	return NVME_SC_SUCCESS;
}

static u16 mnvme_dptr_move(struct mnvme_req *req, void *buf, u32 len, u32 total,
			   bool write)
{
	struct mnvme_dptr d;
	u16 status;

	status = mnvme_dptr_init(&d, req, total);
	if (status)
		return status;
	return mnvme_dptr_copy(&d, buf, len, write);
}

/**
 * mnvme_copy_out() - copy a command's data to the guest
 * @req: the command
 * @buf: the data
 * @len: bytes, at most @total
 * @total: bytes that the command asks for, at least 1; this number decides whether PRP2
 *	points to a list
 *
 * Return: NVMe status.
 */
u16 mnvme_copy_out(struct mnvme_req *req, void *buf, u32 len, u32 total)
{
	return mnvme_dptr_move(req, buf, len, total, true);
}

/**
 * mnvme_copy_in() - copy a command's data from the guest
 * @req: the command
 * @buf: buffer for the data
 * @len: bytes, at least 1
 *
 * Return: NVMe status.
 */
u16 mnvme_copy_in(struct mnvme_req *req, void *buf, u32 len)
{
	return mnvme_dptr_move(req, buf, len, len, false);
}
