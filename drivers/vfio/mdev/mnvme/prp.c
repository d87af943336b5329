// SPDX-License-Identifier: GPL-2.0-only
/*
 * Physical Region Page entries and lists (NVMe 4.3)
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

static u16 mnvme_bad_prp(struct mnvme_req *req, u16 offset)
{
	req->err_loc = offset;
	return MNVME_DNR(NVME_SC_PRP_INVALID_OFFSET);
}

/**
 * mnvme_prp_init() - start with PRP1
 * @d: the walk, with the length of the transfer in @left
 * @req: the command
 *
 * Reads nothing from the guest.
 *
 * Return: NVMe status.
 */
u16 mnvme_prp_init(struct mnvme_dptr *d, struct mnvme_req *req)
{
	u64 prp1 = le64_to_cpu(req->cmd->common.dptr.prp1);
	u64 prp2 = le64_to_cpu(req->cmd->common.dptr.prp2);
	u32 page = mnvme_page_size(req->dev);

	if (prp1 & 3)
		return mnvme_bad_prp(req, offsetof(struct nvme_command,
						   common.dptr.prp1));

	d->iova = prp1;
	d->seg = min(d->left, page - mnvme_page_offset(req->dev, prp1));
	if (d->seg == d->left)
		return NVME_SC_SUCCESS;

	/* The number of bytes left decides whether PRP2 is an entry or points to a list. */
	if (d->left - d->seg <= page) {
		if (mnvme_page_offset(req->dev, prp2))
			return mnvme_bad_prp(req, offsetof(struct nvme_command,
							   common.dptr.prp2));
		d->prp[0] = cpu_to_le64(prp2);
		d->nr = 1;
		return NVME_SC_SUCCESS;
	}

	if (prp2 & 7)
		return mnvme_bad_prp(req, offsetof(struct nvme_command,
						   common.dptr.prp2));
	d->list = prp2;
	d->list_left = (page - mnvme_page_offset(req->dev, prp2)) / sizeof(u64);
	return NVME_SC_SUCCESS;
}

/*
 * Reads entries of the list behind the current segment. A failure changes nothing, so that
 * the next call fails in the same way.
 */
static u16 mnvme_prp_fill(struct mnvme_dptr *d)
{
	u32 need = DIV_ROUND_UP(d->left - d->seg, mnvme_page_size(d->dev));
	u32 nr = min3(need, d->list_left, (u32)ARRAY_SIZE(d->prp));
	u64 next;
	u16 status;

	/* With the page of PRP1, these entries are a row of the largest size. */
	if (!d->nr && nr == ARRAY_SIZE(d->prp))
		nr--;

	status = mnvme_dma_status(mnvme_dma(d->sq, d->list, d->prp,
					    nr * sizeof(u64), false));
	if (status)
		return status;

	if (nr < d->list_left || nr == need) {
		d->list += nr * sizeof(u64);
		d->list_left -= nr;
		d->nr = nr;
	} else {
		/* The last entry of a page points to the rest of the list. */
		next = le64_to_cpu(d->prp[nr - 1]);
		if (mnvme_page_offset(d->dev, next))
			return MNVME_DNR(NVME_SC_PRP_INVALID_OFFSET);
		d->list = next;
		d->list_left = mnvme_page_size(d->dev) / sizeof(u64);
		d->nr = nr - 1;
	}
	d->idx = 0;
	return NVME_SC_SUCCESS;
}

/**
 * mnvme_prp_read_ahead() - read the list while the current segment is that of PRP1
 * @d: the walk
 *
 * mnvme_prp_run() then knows the entries that follow. If the list cannot be read,
 * mnvme_prp_next() tries again, and returns the status.
 */
void mnvme_prp_read_ahead(struct mnvme_dptr *d)
{
	if (!d->nr && d->list_left && d->left > d->seg)
		mnvme_prp_fill(d);
}

/**
 * mnvme_prp_next() - go to the next entry
 * @d: the walk, with bytes left and the current segment used up
 *
 * Return: NVMe status.
 */
u16 mnvme_prp_next(struct mnvme_dptr *d)
{
	u16 status;

	/* A page of a list may contain only the pointer to the next page. */
	while (d->idx == d->nr) {
		status = mnvme_prp_fill(d);
		if (status)
			return status;
	}

	d->iova = le64_to_cpu(d->prp[d->idx++]);
	d->seg = min(d->left, mnvme_page_size(d->dev));
	if (mnvme_page_offset(d->dev, d->iova))
		return MNVME_DNR(NVME_SC_PRP_INVALID_OFFSET);
	return NVME_SC_SUCCESS;
}

/**
 * mnvme_prp_run() - return the length of contiguous guest memory
 * @d: the walk, whose current segment is not empty
 *
 * An entry that continues a segment has no offset, because the segment ends with a page.
 * Looks only at entries of the list that were read already.
 *
 * Return: number of bytes.
 */
u32 mnvme_prp_run(const struct mnvme_dptr *d)
{
	u32 run = d->seg, i;

	for (i = d->idx; i < d->nr && run < d->left; i++) {
		if (le64_to_cpu(d->prp[i]) != d->iova + run)
			break;
		run += min(d->left - run, mnvme_page_size(d->dev));
	}
	return run;
}
