// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data pointer of a command: Physical Region Page entries and lists
 * (NVMe 4.3)
 */
#include <linux/math.h>

#include "mnvme.h"

static u32 mnvme_page_size(const struct mnvme *dev)
{
	return 1u << dev->page_shift;
}

static u32 mnvme_page_offset(const struct mnvme *dev, u64 iova)
{
	return iova & (mnvme_page_size(dev) - 1);
}

/**
 * mnvme_dptr_init() - start at the beginning of a command's data
 * @d: to initialize
 * @req: the command
 * @len: bytes of the whole transfer, at least 1
 *
 * Reads nothing from the guest.
 *
 * Return: NVMe status.
 */
u16 mnvme_dptr_init(struct mnvme_dptr *d, struct mnvme_req *req, u32 len)
{
	const struct nvme_command *cmd = req->cmd;
	u64 prp1 = le64_to_cpu(cmd->common.dptr.prp1);
	u64 prp2 = le64_to_cpu(cmd->common.dptr.prp2);
	u32 room;

	d->dev = req->dev;
	d->left = len;
	d->idx = 0;
	d->nr = 0;
	d->list = prp2;
	d->list_left = 0;

	/* Identify says that SGLs are not supported. */
	if (cmd->common.flags & NVME_CMD_SGL_ALL)
		return MNVME_BAD_FIELD(req, common.flags);

	if (prp1 & 3) {
		req->err_loc = offsetof(struct nvme_command, common.dptr.prp1);
		return MNVME_DNR(NVME_SC_PRP_INVALID_OFFSET);
	}

	room = mnvme_page_size(req->dev) - mnvme_page_offset(req->dev, prp1);
	d->iova = prp1;
	d->seg = min(len, room);
	if (d->seg == len)
		return NVME_SC_SUCCESS;

	/* What is left decides whether PRP2 is an entry or points to a list. */
	req->err_loc = offsetof(struct nvme_command, common.dptr.prp2);
	if (len - d->seg <= mnvme_page_size(req->dev)) {
		if (mnvme_page_offset(req->dev, prp2))
			return MNVME_DNR(NVME_SC_PRP_INVALID_OFFSET);
		d->cache[0] = cpu_to_le64(prp2);
		d->nr = 1;
	} else {
		if (prp2 & 7)
			return MNVME_DNR(NVME_SC_PRP_INVALID_OFFSET);
		room = mnvme_page_size(req->dev) -
		       mnvme_page_offset(req->dev, prp2);
		d->list_left = room / sizeof(u64);
	}
	req->err_loc = MNVME_NO_LOCATION;
	return NVME_SC_SUCCESS;
}

static u16 mnvme_prp_fill(struct mnvme_dptr *d)
{
	u32 need = DIV_ROUND_UP(d->left, mnvme_page_size(d->dev));
	u32 nr = min3(need, d->list_left, (u32)ARRAY_SIZE(d->cache));

	if (mnvme_dma(d->dev, d->list, d->cache, nr * sizeof(u64), false))
		return NVME_SC_DATA_XFER_ERROR;

	d->list += nr * sizeof(u64);
	d->list_left -= nr;
	d->idx = 0;
	d->nr = nr;

	/* The last entry of a page leads to the rest of the list, if there is one. */
	if (!d->list_left && need > nr) {
		d->list = le64_to_cpu(d->cache[--d->nr]);
		d->list_left = mnvme_page_size(d->dev) / sizeof(u64);
		if (mnvme_page_offset(d->dev, d->list))
			return MNVME_DNR(NVME_SC_PRP_INVALID_OFFSET);
	}
	return NVME_SC_SUCCESS;
}

/**
 * mnvme_dptr_next() - make the current segment non-empty
 * @d: with bytes left
 *
 * May read from the guest, so it is not called within a page bracket of the
 * namespace.
 *
 * Return: NVMe status.
 */
u16 mnvme_dptr_next(struct mnvme_dptr *d)
{
	u16 status;

	if (d->seg)
		return NVME_SC_SUCCESS;

	/* A page of a list may hold nothing but the pointer to the next one. */
	while (d->idx == d->nr) {
		status = mnvme_prp_fill(d);
		if (status)
			return status;
	}

	d->iova = le64_to_cpu(d->cache[d->idx++]);
	d->seg = min(d->left, mnvme_page_size(d->dev));
	if (mnvme_page_offset(d->dev, d->iova))
		return MNVME_DNR(NVME_SC_PRP_INVALID_OFFSET);
	return NVME_SC_SUCCESS;
}

/**
 * mnvme_dptr_copy() - move bytes between a buffer and the command's data
 * @d: where to go on
 * @buf: kernel buffer
 * @len: bytes, at most what is left
 * @write: to the guest
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
		if (mnvme_dma(d->dev, d->iova, buf, n, write))
			return NVME_SC_DATA_XFER_ERROR;
		mnvme_dptr_advance(d, n);
	}
	return NVME_SC_SUCCESS;
}

static u16 mnvme_copy(struct mnvme_req *req, void *buf, u32 len, bool write)
{
	struct mnvme_dptr d;
	u16 status;

	status = mnvme_dptr_init(&d, req, len);
	if (status)
		return status;
	return mnvme_dptr_copy(&d, buf, len, write);
}

/**
 * mnvme_copy_out() - give a command's data to the guest
 * @req: the command
 * @buf: the data
 * @len: bytes, at least 1
 *
 * Return: NVMe status.
 */
u16 mnvme_copy_out(struct mnvme_req *req, void *buf, u32 len)
{
	return mnvme_copy(req, buf, len, true);
}

/**
 * mnvme_copy_in() - get a command's data from the guest
 * @req: the command
 * @buf: where to
 * @len: bytes, at least 1
 *
 * Return: NVMe status.
 */
u16 mnvme_copy_in(struct mnvme_req *req, void *buf, u32 len)
{
	return mnvme_copy(req, buf, len, false);
}
