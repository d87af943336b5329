// SPDX-License-Identifier: GPL-2.0-only
/*
 * The NVM command set (NVMe 6)
 *
 * Data moves in one copy between the guest's memory and the page of the
 * namespace. A bracket around a page is held for one segment of guest memory
 * and never nested.
 */
#include <linux/blkdev.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "mnvme.h"

/* Reads of what was never written get this page. */
static void *mnvme_zeros(void)
{
	return page_address(ZERO_PAGE(0));
}

/**
 * mnvme_check_range() - find the blocks that a command names
 * @req: the command
 * @slba: first block
 * @nlb: number of blocks
 * @range: what they are in the namespace
 *
 * Return: NVMe status.
 */
u16 mnvme_check_range(struct mnvme_req *req, u64 slba, u64 nlb,
		      struct mnvme_range *range)
{
	u64 blocks = mnvme_nr_blocks(req->dev);
	u8 shift = req->dev->type->lba_shift;

	if (slba >= blocks || nlb > blocks - slba) {
		req->err_loc = offsetof(struct nvme_command, rw.slba);
		req->err_lba = slba;
		return MNVME_DNR(NVME_SC_LBA_RANGE);
	}
	range->pos = slba << shift;
	range->len = nlb << shift;
	return NVME_SC_SUCCESS;
}

static u16 mnvme_rw_range(struct mnvme_req *req, struct mnvme_range *range)
{
	const struct nvme_rw_command *rw = &req->cmd->rw;

	return mnvme_check_range(req, le64_to_cpu(rw->slba),
				 le16_to_cpu(rw->length) + 1, range);
}

/* The same for commands that move data: no more than MDTS allows. */
static u16 mnvme_data_range(struct mnvme_req *req, struct mnvme_range *range)
{
	u16 status = mnvme_rw_range(req, range);

	if (status)
		return status;
	if (range->len > MNVME_XFER_MAX)
		return MNVME_BAD_FIELD(req, rw.length);
	return NVME_SC_SUCCESS;
}

static u16 mnvme_read_piece(struct mnvme *dev, struct mnvme_dptr *d,
			    pgoff_t index, u32 off, u32 len)
{
	struct page *page = vfio_mig_page_read_begin(&dev->pages, index);
	void *data = page ? page_address(page) + off : mnvme_zeros();
	u16 status = mnvme_dptr_dma(d, data, len, true);

	vfio_mig_page_read_end(&dev->pages, index);
	return status;
}

/**
 * mnvme_alloc_status() - what a command ends with that gets no page to write to
 * @page: what vfio_mig_page_write_begin() said
 *
 * No retry helps while the memory that all devices share is used up.
 *
 * Return: NVMe status.
 */
u16 mnvme_alloc_status(struct page *page)
{
	if (PTR_ERR(page) == -ENOSPC)
		return MNVME_DNR(NVME_SC_CAP_EXCEEDED);
	return NVME_SC_INTERNAL;
}

static u16 mnvme_write_piece(struct mnvme *dev, struct mnvme_dptr *d,
			     pgoff_t index, u32 off, u32 len)
{
	struct page *page = vfio_mig_page_write_begin(&dev->pages, index);
	u16 status;

	if (IS_ERR(page))
		return mnvme_alloc_status(page);
	status = mnvme_dptr_dma(d, page_address(page) + off, len, false);
	vfio_mig_page_write_end(&dev->pages, index);
	return status;
}

static u16 mnvme_read_write(struct mnvme_req *req, bool write)
{
	struct mnvme *dev = req->dev;
	struct mnvme_counters *count = &req->sq->count;
	struct mnvme_range r;
	struct mnvme_dptr d;
	u32 off, len;
	u16 status;

	status = mnvme_data_range(req, &r);
	if (!status)
		status = mnvme_dptr_init(&d, req, r.len);
	if (status)
		return status;

	for (; d.left; r.pos += len) {
		status = mnvme_dptr_next(&d);
		if (status)
			break;

		off = r.pos & (MNVME_NS_PAGE_SIZE - 1);
		len = min(d.seg, MNVME_NS_PAGE_SIZE - off);
		if (write)
			status = mnvme_write_piece(dev, &d, r.pos >> MNVME_NS_PAGE_SHIFT,
						   off, len);
		else
			status = mnvme_read_piece(dev, &d, r.pos >> MNVME_NS_PAGE_SHIFT,
						  off, len);
		if (status)
			break;
		mnvme_dptr_advance(&d, len);
	}
	if (status) {
		req->err_lba = r.pos >> dev->type->lba_shift;
		return status;
	}

	req->bytes += r.len;
	if (write) {
		count->sectors_written += r.len >> SECTOR_SHIFT;
		count->writes++;
	} else {
		count->sectors_read += r.len >> SECTOR_SHIFT;
		count->reads++;
	}
	return NVME_SC_SUCCESS;
}

/* How many bytes from @pos on are those of @buf; at most @len, within a page. */
static u32 mnvme_equal(struct mnvme *dev, u64 pos, const u8 *buf, u32 len)
{
	pgoff_t index = pos >> MNVME_NS_PAGE_SHIFT;
	struct page *page = vfio_mig_page_read_begin(&dev->pages, index);
	const u8 *data = page ? page_address(page) : mnvme_zeros();
	u32 n = 0;

	data += pos & (MNVME_NS_PAGE_SIZE - 1);
	if (!memcmp(data, buf, len))
		n = len;
	else
		while (data[n] == buf[n])
			n++;
	vfio_mig_page_read_end(&dev->pages, index);
	return n;
}

static u16 mnvme_compare(struct mnvme_req *req)
{
	struct mnvme *dev = req->dev;
	struct mnvme_range r;
	struct mnvme_dptr d;
	u64 end;
	u16 status;
	u8 *buf;
	u32 len, equal;

	status = mnvme_data_range(req, &r);
	if (!status)
		status = mnvme_dptr_init(&d, req, r.len);
	if (status)
		return status;

	buf = kmalloc(MNVME_NS_PAGE_SIZE, GFP_KERNEL);
	if (!buf)
		return NVME_SC_INTERNAL;

	for (end = r.pos + r.len; r.pos < end; r.pos += len) {
		len = min_t(u64, end - r.pos, MNVME_NS_PAGE_SIZE -
			    (r.pos & (MNVME_NS_PAGE_SIZE - 1)));
		status = mnvme_dptr_copy(&d, buf, len, false);
		if (status) {
			r.pos = end - d.left;
			break;
		}
		equal = mnvme_equal(dev, r.pos, buf, len);
		if (equal < len) {
			r.pos += equal;
			status = MNVME_DNR(NVME_SC_COMPARE_FAILED);
			break;
		}
	}
	kfree(buf);
	if (status) {
		req->err_lba = r.pos >> dev->type->lba_shift;
		return status;
	}

	req->bytes += r.len;
	req->sq->count.sectors_read += r.len >> SECTOR_SHIFT;
	req->sq->count.reads++;
	return NVME_SC_SUCCESS;
}

/* Part of a page: only written to if it is there at all. */
static u16 mnvme_zero_piece(struct mnvme *dev, u64 pos, u32 len)
{
	pgoff_t index = pos >> MNVME_NS_PAGE_SHIFT;
	struct page *page;

	page = vfio_mig_page_read_begin(&dev->pages, index);
	vfio_mig_page_read_end(&dev->pages, index);
	if (!page)
		return NVME_SC_SUCCESS;

	page = vfio_mig_page_write_begin(&dev->pages, index);
	if (IS_ERR(page))
		return mnvme_alloc_status(page);
	memset(page_address(page) + (pos & (MNVME_NS_PAGE_SIZE - 1)), 0, len);
	vfio_mig_page_write_end(&dev->pages, index);
	return NVME_SC_SUCCESS;
}

/**
 * mnvme_zero() - make blocks read as zeros
 * @dev: the controller
 * @r: the blocks
 *
 * Whole pages give their memory back.
 *
 * Return: NVMe status.
 */
u16 mnvme_zero(struct mnvme *dev, struct mnvme_range r)
{
	u64 end = r.pos + r.len;
	u64 first = round_up(r.pos, MNVME_NS_PAGE_SIZE);
	u64 last = round_down(end, MNVME_NS_PAGE_SIZE);
	u16 status = NVME_SC_SUCCESS;

	if (first > last)
		return mnvme_zero_piece(dev, r.pos, r.len);

	if (r.pos < first)
		status = mnvme_zero_piece(dev, r.pos, first - r.pos);
	if (!status && last < end)
		status = mnvme_zero_piece(dev, last, end - last);
	if (!status)
		vfio_mig_pages_discard(&dev->pages, first >> MNVME_NS_PAGE_SHIFT,
				       (last - first) >> MNVME_NS_PAGE_SHIFT);
	return status;
}

static u16 mnvme_write_zeroes(struct mnvme_req *req)
{
	struct mnvme_range r;
	u16 status = mnvme_rw_range(req, &r);

	return status ?: mnvme_zero(req->dev, r);
}

static u16 mnvme_verify(struct mnvme_req *req)
{
	struct mnvme_range r;
	u16 status = mnvme_rw_range(req, &r);

	if (!status)
		req->sq->count.sectors_read += r.len >> SECTOR_SHIFT;
	return status;
}

/* All ranges are checked before the first is deallocated. */
static u16 mnvme_dsm_ranges(struct mnvme_req *req,
			    const struct nvme_dsm_range *range, u32 nr, bool act)
{
	struct mnvme_range r;
	u16 status;
	u32 i;

	for (i = 0; i < nr; i++) {
		if (!range[i].nlb)
			continue;
		status = mnvme_check_range(req, le64_to_cpu(range[i].slba),
					   le32_to_cpu(range[i].nlb), &r);
		/* The field at fault is the range's, and not one of the command. */
		req->err_loc = MNVME_NO_LOCATION;
		if (!status && act)
			status = mnvme_zero(req->dev, r);
		if (status)
			return status;
	}
	return NVME_SC_SUCCESS;
}

static u16 mnvme_dsm(struct mnvme_req *req)
{
	u32 nr = (le32_to_cpu(req->cmd->dsm.nr) & 0xff) + 1;
	u32 attr = le32_to_cpu(req->cmd->dsm.attributes);
	struct nvme_dsm_range *range;
	u16 status;

	range = kmalloc_array(nr, sizeof(*range), GFP_KERNEL);
	if (!range)
		return NVME_SC_INTERNAL;

	status = mnvme_copy_in(req, range, nr * sizeof(*range));
	if (!status)
		status = mnvme_dsm_ranges(req, range, nr, false);
	/* The other attributes are hints, of no use to memory. */
	if (!status && (attr & NVME_DSMGMT_AD))
		status = mnvme_dsm_ranges(req, range, nr, true);
	kfree(range);
	return status;
}

/**
 * mnvme_io_command() - execute a command of an I/O queue
 * @req: the command
 *
 * Return: NVMe status.
 */
u16 mnvme_io_command(struct mnvme_req *req)
{
	u8 opcode = req->cmd->common.opcode;
	u32 nsid = le32_to_cpu(req->cmd->common.nsid);

	switch (opcode) {
	case nvme_cmd_flush:
	case nvme_cmd_write:
	case nvme_cmd_read:
	case nvme_cmd_compare:
	case nvme_cmd_write_zeroes:
	case nvme_cmd_dsm:
	case nvme_cmd_verify:
	case MNVME_CMD_COPY:
		break;
	default:
		req->err_loc = offsetof(struct nvme_command, common.opcode);
		return MNVME_DNR(NVME_SC_INVALID_OPCODE);
	}

	/* Only Flush may name all namespaces. */
	if (nsid == NVME_NSID_ALL && opcode != nvme_cmd_flush)
		return MNVME_BAD_FIELD(req, common.nsid);
	if (nsid != NVME_NSID_ALL && nsid != 1) {
		req->err_loc = offsetof(struct nvme_command, common.nsid);
		return MNVME_DNR(NVME_SC_INVALID_NS);
	}

	switch (opcode) {
	case nvme_cmd_write:
		return mnvme_read_write(req, true);
	case nvme_cmd_read:
		return mnvme_read_write(req, false);
	case nvme_cmd_compare:
		return mnvme_compare(req);
	case nvme_cmd_write_zeroes:
		return mnvme_write_zeroes(req);
	case nvme_cmd_dsm:
		return mnvme_dsm(req);
	case nvme_cmd_verify:
		return mnvme_verify(req);
	case MNVME_CMD_COPY:
		return mnvme_copy(req);
	default: /* Flush: there is no cache */
		return NVME_SC_SUCCESS;
	}
}
