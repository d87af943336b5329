// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copy (NVMe TP 4065; in 2.0 a part of the NVM Command Set Specification)
 *
 * The whole source is read before the first block of the destination is written, so the
 * result does not depend on an overlap. Zeros of the source take no memory in the
 * destination, also if a host wrote them.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "mnvme.h"

/* Fields of dword 12 */
#define MNVME_COPY_NR		0xff	/* number of ranges, 0's based */
#define MNVME_COPY_FORMAT	0xf00	/* descriptor format */

/* "Command Size Limit Exceeded", which <linux/nvme.h> does not name. */
#define MNVME_SC_COPY_LIMIT	0x183

/**
 * struct mnvme_copy_source - source range entry, descriptor format 0
 * @rsvd0: reserved
 * @slba: first block
 * @nlb: number of blocks, 0's based
 * @rsvd18: reserved
 * @eilbrt: for protection information, which the namespace does not have
 * @elbat: for protection information
 * @elbatm: for protection information
 */
struct mnvme_copy_source {
	__le64 rsvd0;
	__le64 slba;
	__le16 nlb;
	u8 rsvd18[6];
	__le32 eilbrt;
	__le16 elbat;
	__le16 elbatm;
};

static u32 mnvme_copy_blocks(const struct mnvme_copy_source *source)
{
	return le16_to_cpu(source->nlb) + 1;
}

static u16 mnvme_copy_limit(struct mnvme_req *req, u16 location)
{
	req->err_loc = location;
	return MNVME_DNR(MNVME_SC_COPY_LIMIT);
}

static u16 mnvme_copy_source_range(struct mnvme_req *req,
				   const struct mnvme_copy_source *source,
				   struct mnvme_range *range)
{
	u16 status = mnvme_check_range(req, le64_to_cpu(source->slba),
				       mnvme_copy_blocks(source), range);

	/* The bad field is in a range, and not in the command. */
	req->err_loc = MNVME_NO_LOCATION;
	return status;
}

/* Checks all entries before a block is moved. The completion has the number of a bad entry. */
static u16 mnvme_copy_check(struct mnvme_req *req,
			    const struct mnvme_copy_source *source, u32 nr,
			    struct mnvme_range *to)
{
	u32 max = mnvme_copy_max(req->dev), blocks = 0, i;
	struct mnvme_range from;
	u16 status;

	for (i = 0; i < nr; i++) {
		req->result = i;
		blocks += mnvme_copy_blocks(source + i);
		if (blocks > max)
			return mnvme_copy_limit(req, MNVME_NO_LOCATION);
		status = mnvme_copy_source_range(req, source + i, &from);
		if (status)
			return status;
	}
	req->result = 0;
	return mnvme_check_range(req, le64_to_cpu(req->cmd->rw.slba), blocks, to);
}

/* Returns how many bytes of @range are in its first page. */
static u32 mnvme_first_piece(const struct mnvme_range *range)
{
	u32 off = range->pos & (MNVME_NS_PAGE_SIZE - 1);

	return min_t(u64, range->len, MNVME_NS_PAGE_SIZE - off);
}

static void mnvme_advance(struct mnvme_range *range, u32 len)
{
	range->pos += len;
	range->len -= len;
}

static void mnvme_gather(struct mnvme *dev, struct mnvme_range from, void *buf)
{
	struct page *page;
	pgoff_t index;
	u32 len;

	for (; from.len; mnvme_advance(&from, len), buf += len) {
		len = mnvme_first_piece(&from);
		index = from.pos >> MNVME_NS_PAGE_SHIFT;
		page = vfio_mig_page_read_begin(&dev->pages, index);
		if (page)
			memcpy(buf, page_address(page) +
			       (from.pos & (MNVME_NS_PAGE_SIZE - 1)), len);
		else
			memset(buf, 0, len);
		vfio_mig_page_read_end(&dev->pages, index);
	}
}

static u16 mnvme_scatter_piece(struct mnvme_req *req, u64 pos, const void *buf, u32 len)
{
	struct mnvme_range piece = { .pos = pos, .len = len };
	pgoff_t index = pos >> MNVME_NS_PAGE_SHIFT;

	if (!memchr_inv(buf, 0, len))
		return mnvme_zero(req, piece);

	return mnvme_alloc_status(vfio_mig_page_write(&req->dev->pages, index,
						      pos & (MNVME_NS_PAGE_SIZE - 1),
						      buf, len));
}

static u16 mnvme_scatter(struct mnvme_req *req, struct mnvme_range to,
			 const void *buf)
{
	u16 status;
	u32 len;

	for (; to.len; mnvme_advance(&to, len), buf += len) {
		len = mnvme_first_piece(&to);
		status = mnvme_scatter_piece(req, to.pos, buf, len);
		if (status) {
			req->err_lba = to.pos >> req->dev->type->lba_shift;
			return status;
		}
	}
	return NVME_SC_SUCCESS;
}

/* Copies the ranges, which were checked and together are as long as @to. */
static u16 mnvme_copy_data(struct mnvme_req *req,
			   const struct mnvme_copy_source *source, u32 nr,
			   struct mnvme_range to)
{
	struct mnvme_range from;
	u16 status = NVME_SC_SUCCESS;
	void *buf, *at;
	u32 i;

	buf = kvmalloc(to.len, VFIO_MIG_GFP);
	if (!buf)
		return NVME_SC_INTERNAL;

	for (i = 0, at = buf; i < nr; i++, at += from.len) {
		mnvme_copy_source_range(req, source + i, &from);
		mnvme_gather(req->dev, from, at);
	}
	for (i = 0, at = buf; i < nr && !status; i++, at += to.len) {
		/* If the copy fails, the completion has the first entry that was not copied. */
		req->result = i;
		to.len = (u64)mnvme_copy_blocks(source + i) <<
			 req->dev->type->lba_shift;
		status = mnvme_scatter(req, to, at);
		to.pos += to.len;
	}
	kvfree(buf);
	if (!status)
		req->result = 0;
	return status;
}

/**
 * mnvme_copy() - execute Copy
 * @req: the command
 *
 * Return: NVMe status.
 */
u16 mnvme_copy(struct mnvme_req *req)
{
	u32 cdw12 = le32_to_cpu(req->cmd->common.cdw12);
	u32 nr = (cdw12 & MNVME_COPY_NR) + 1;
	struct mnvme_copy_source *source = req->sq->executor->buf;
	struct mnvme_range to;
	u16 status;

	BUILD_BUG_ON(sizeof(*source) != 32);
	BUILD_BUG_ON(MNVME_COPY_RANGES * sizeof(*source) > MNVME_BUF_SIZE);
	if (cdw12 & MNVME_COPY_FORMAT)
		return mnvme_bad_field(req, offsetof(struct nvme_command,
						     common.cdw12) + 1);
	if (nr > MNVME_COPY_RANGES)
		return mnvme_copy_limit(req, offsetof(struct nvme_command,
						      common.cdw12));

	status = mnvme_copy_in(req, source, nr * sizeof(*source));
	if (!status)
		status = mnvme_copy_check(req, source, nr, &to);
	if (!status)
		status = mnvme_copy_data(req, source, nr, to);
	if (!status)
		req->bytes += to.len;
	return status;
}
