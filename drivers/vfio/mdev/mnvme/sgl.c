// SPDX-License-Identifier: GPL-2.0-only
/*
 * Scatter Gather Lists (NVMe 4.4)
 */
#include "mnvme.h"

/* Descriptor type, which is the upper half of the identifier */
enum {
	MNVME_SGL_DATA,
	MNVME_SGL_BIT_BUCKET,
	MNVME_SGL_SEGMENT,
	MNVME_SGL_LAST_SEGMENT,
};

/*
 * Limit of a command's descriptors. The largest transfer needs fewer, even with one dword
 * in each descriptor. The limit ends lists that form a loop.
 */
#define MNVME_SGL_MAX		(MNVME_XFER_MAX / 4 + 64)

static u8 mnvme_sgl_type(const struct nvme_sgl_desc *desc)
{
	return desc->type >> 4;
}

static u16 mnvme_sgl_data(struct mnvme_dptr *d, const struct nvme_sgl_desc *desc)
{
	u32 len = le32_to_cpu(desc->length);

	/* A bit bucket has no length if data go to the controller. */
	d->discard = mnvme_sgl_type(desc) == MNVME_SGL_BIT_BUCKET;
	if (d->discard && d->to_device)
		len = 0;
	d->iova = le64_to_cpu(desc->addr);
	d->seg = min(d->left, len);
	return NVME_SC_SUCCESS;
}

static u16 mnvme_sgl_segment(struct mnvme_dptr *d,
			     const struct nvme_sgl_desc *desc)
{
	u32 len = le32_to_cpu(desc->length);

	if (!len || len % sizeof(*desc) || d->last_segment)
		return MNVME_DNR(NVME_SC_SGL_INVALID_LAST);
	/* A segment is aligned to 8 bytes. */
	if (le64_to_cpu(desc->addr) & 7)
		return MNVME_DNR(NVME_SC_SGL_INVALID_LAST);
	/* Only the last descriptor of a segment may point to another segment. */
	if (d->idx < d->nr || d->list_left)
		return MNVME_DNR(NVME_SC_SGL_INVALID_COUNT);
	d->list = le64_to_cpu(desc->addr);
	d->list_left = len / sizeof(*desc);
	d->last_segment = mnvme_sgl_type(desc) == MNVME_SGL_LAST_SEGMENT;
	return NVME_SC_SUCCESS;
}

static u16 mnvme_sgl_take(struct mnvme_dptr *d, const struct nvme_sgl_desc *desc)
{
	/* The lower half is the subtype, and over PCIe only "address" is permitted. */
	if (desc->type & 0xf)
		return MNVME_DNR(NVME_SC_SGL_INVALID_TYPE);
	if (!d->sgl_left--)
		return MNVME_DNR(NVME_SC_SGL_INVALID_COUNT);

	switch (mnvme_sgl_type(desc)) {
	case MNVME_SGL_DATA:
	case MNVME_SGL_BIT_BUCKET:
		return mnvme_sgl_data(d, desc);
	case MNVME_SGL_SEGMENT:
	case MNVME_SGL_LAST_SEGMENT:
		return mnvme_sgl_segment(d, desc);
	default:
		return MNVME_DNR(NVME_SC_SGL_INVALID_TYPE);
	}
}

/**
 * mnvme_sgl_init() - start with the descriptor in the command
 * @d: the walk, with the length of the transfer in @left
 * @req: the command
 *
 * Reads nothing from the guest.
 *
 * Return: NVMe status.
 */
u16 mnvme_sgl_init(struct mnvme_dptr *d, struct mnvme_req *req)
{
	u16 status;

	d->sgl_left = MNVME_SGL_MAX;
	d->last_segment = false;
	d->to_device = req->cmd->common.opcode & 1;
	status = mnvme_sgl_take(d, &req->cmd->common.dptr.sgl);
	if (status)
		req->err_loc = offsetof(struct nvme_command, common.dptr.sgl);
	return status;
}

static u16 mnvme_sgl_fill(struct mnvme_dptr *d)
{
	u32 nr = min_t(u32, d->list_left, ARRAY_SIZE(d->sgl));
	u16 status;

	if (!nr)
		return MNVME_DNR(NVME_SC_SGL_INVALID_DATA);
	/* A list may have many descriptors, so that reading them takes long. */
	if (!mnvme_sq_may_execute(d->sq))
		return MNVME_NOT_EXECUTED;
	status = mnvme_dma_status(mnvme_dma(d->sq, d->list, d->sgl,
					    nr * sizeof(d->sgl[0]), false));
	if (status)
		return status;
	d->list += nr * sizeof(d->sgl[0]);
	d->list_left -= nr;
	d->idx = 0;
	d->nr = nr;
	return NVME_SC_SUCCESS;
}

/**
 * mnvme_sgl_next() - go to the next descriptor that has data
 * @d: the walk, with bytes left and the current segment used up
 *
 * Return: NVMe status.
 */
u16 mnvme_sgl_next(struct mnvme_dptr *d)
{
	u16 status;

	while (!d->seg) {
		if (d->idx == d->nr) {
			status = mnvme_sgl_fill(d);
			if (status)
				return status;
		}
		status = mnvme_sgl_take(d, &d->sgl[d->idx++]);
		if (status)
			return status;
	}
	return NVME_SC_SUCCESS;
}

/**
 * mnvme_sgl_run() - return the length of contiguous guest memory
 * @d: the walk, whose current segment is not empty and not a bit bucket
 *
 * Return: number of bytes.
 */
u32 mnvme_sgl_run(const struct mnvme_dptr *d)
{
	u32 run = d->seg, last = min(d->nr, d->idx + d->sgl_left), len, i;

	for (i = d->idx; i < last && run < d->left; i++) {
		len = le32_to_cpu(d->sgl[i].length);
		if (d->sgl[i].type != MNVME_SGL_DATA << 4 || !len ||
		    le64_to_cpu(d->sgl[i].addr) != d->iova + run)
			break;
		run += min(d->left - run, len);
	}
	return run;
}

/**
 * mnvme_sgl_long() - whether a command's descriptors may take long to read
 * @cmd: the command
 *
 * Drivers put the descriptors of most commands into one segment of a page.
 */
bool mnvme_sgl_long(const struct nvme_command *cmd)
{
	const struct nvme_sgl_desc *desc = &cmd->common.dptr.sgl;

	if (!(cmd->common.flags & NVME_CMD_SGL_ALL))
		return false;
	switch (mnvme_sgl_type(desc)) {
	case MNVME_SGL_SEGMENT:
		return true;
	case MNVME_SGL_LAST_SEGMENT:
		return le32_to_cpu(desc->length) > SZ_4K;
	default:
		return false;
	}
}
