// SPDX-License-Identifier: GPL-2.0-only
/*
 * The NVM command set (NVMe 6)
 *
 * If a whole page is written, a new page is filled by DMA first, and then replaces the old page.
 * A part of a page is written to a buffer by DMA, and then copied to the page. So a write of
 * one logical block is atomic (NVMe 6.4.1). A page access never waits for guest memory.
 *
 * Whole pages are moved in rows, with one copy for each contiguous part of guest memory. A row
 * is a sequence of pages of the namespace that share a page lock. The copies do not wait for
 * missing memory. If memory is missing, the rest of the command is moved page by page.
 *
 * A read that has to wait for guest memory moves several pages at once. Guests often read into
 * memory that they have never touched, and a wait for each page would be slow.
 */
#include <linux/blkdev.h>
#include <linux/mm.h>

#include "mnvme.h"

/* Number of bytes that are freed before the command checks whether it may continue */
#define MNVME_ZERO_PIECE	SZ_1M
/* Limit of bytes that are read at once if guest memory is missing */
#define MNVME_READ_MAX		SZ_64K

/* Returns a page of zeros, for reads of blocks that were never written. */
static void *mnvme_zeros(void)
{
	return page_address(ZERO_PAGE(0));
}

/**
 * mnvme_check_range() - check a range of blocks
 * @req: the command
 * @slba: first block
 * @nlb: number of blocks
 * @range: the range in bytes of the namespace is stored here
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
		/* The first block in error (NVMe 5.14.1.1); earlier blocks exist. */
		req->err_lba = max(slba, blocks);
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

/* Checks the range of a command that moves data, also against MDTS. */
static u16 mnvme_data_range(struct mnvme_req *req, struct mnvme_range *range)
{
	u16 status = mnvme_rw_range(req, range);

	if (status)
		return status;
	if (range->len > MNVME_XFER_MAX)
		return MNVME_BAD_FIELD(req, rw.length);
	return NVME_SC_SUCCESS;
}

/**
 * mnvme_alloc_status() - convert the result of a page's allocation to a status
 * @ret: 0 or an errno
 *
 * The status has "Do Not Retry" if the memory that all devices share is used up.
 *
 * Return: NVMe status.
 */
u16 mnvme_alloc_status(int ret)
{
	if (!ret)
		return NVME_SC_SUCCESS;
	return ret == -ENOSPC ? MNVME_DNR(NVME_SC_CAP_EXCEEDED) : NVME_SC_INTERNAL;
}

/*
 * Returns the queue's spare page, which may become a page of the namespace. If there is no
 * memory for the page, returns the executor's buffer, because a read, and a write to
 * allocated pages, must not fail then. The thread that writes a doorbell has no such
 * buffer, so the executor has to execute the command.
 */
static void *mnvme_piece_buf(struct mnvme_sq *sq)
{
	if (!sq->spare)
		sq->spare = vfio_mig_spare_alloc(&sq->dev->pages);
	if (sq->spare)
		return page_address(sq->spare);
	sq->waits |= sq->here;
	return sq->here ? NULL : sq->executor->buf;
}

static pgoff_t mnvme_page_index(u64 pos)
{
	return pos >> MNVME_NS_PAGE_SHIFT;
}

static u32 mnvme_page_off(u64 pos)
{
	return pos & (MNVME_NS_PAGE_SIZE - 1);
}

static void mnvme_read_page(struct mnvme *dev, u64 pos, void *buf, u32 len)
{
	struct page *page = vfio_mig_page_read_begin(&dev->pages, mnvme_page_index(pos));

	if (page)
		memcpy(buf, page_address(page) + mnvme_page_off(pos), len);
	else
		memset(buf, 0, len);
	vfio_mig_page_read_end(&dev->pages, mnvme_page_index(pos));
}

/* Returns false if guest memory is missing or not in one segment. Nothing was done then. */
static bool mnvme_read_direct(struct mnvme *dev, struct mnvme_dptr *d, u64 pos,
			      u32 len)
{
	struct page *page;
	bool done;
	void *data;

	if (d->seg < len || d->discard)
		return false;
	page = vfio_mig_page_read_begin(&dev->pages, mnvme_page_index(pos));
	data = page ? page_address(page) + mnvme_page_off(pos) : mnvme_zeros();
	done = !vfio_mig_dma_rw_nofault(dev->mig, d->iova, data, len, true);
	vfio_mig_page_read_end(&dev->pages, mnvme_page_index(pos));
	if (done)
		mnvme_dptr_advance(d, len);
	return done;
}

/* Copies @len bytes, which are whole blocks, to contiguous guest memory. */
static u16 mnvme_read_by(struct mnvme_req *req, struct mnvme_dptr *d, u64 pos, u8 *buf,
			 u32 len)
{
	u32 off, n;

	for (off = 0; off < len; off += n) {
		n = min_t(u32, len - off, MNVME_NS_PAGE_SIZE - mnvme_page_off(pos + off));
		mnvme_read_page(req->dev, pos + off, buf + off, n);
	}
	return mnvme_dptr_dma(d, buf, len, true);
}

/*
 * Reads several pages if guest memory is contiguous. Sets @len to the number of bytes. If a
 * page cannot be accessed, or if there is no memory for a buffer, @len is 0.
 */
static u16 mnvme_read_pages(struct mnvme_req *req, struct mnvme_dptr *d, u64 pos, u32 *len)
{
	u32 size = min_t(u32, mnvme_dptr_run(d), MNVME_READ_MAX);
	u16 status;
	void *buf;

	*len = 0;
	size = round_down(size, 1u << req->dev->type->lba_shift);
	if (size <= MNVME_NS_PAGE_SIZE)
		return NVME_SC_SUCCESS;
	buf = kvmalloc(size, VFIO_MIG_GFP);
	if (!buf)
		return NVME_SC_SUCCESS;
	status = mnvme_read_by(req, d, pos, buf, size);
	kvfree(buf);
	if (status)
		return status == MNVME_NOT_EXECUTED ? status : NVME_SC_SUCCESS;
	*len = size;
	return mnvme_dptr_skip(d, size);
}

/*
 * Reads a part of a page, or several pages if guest memory is missing. All bytes of a page
 * are read at one time, so each block is as one Write left it, however the segments of guest
 * memory divide the block. Sets @len to the number of bytes that were read.
 */
static u16 mnvme_read_piece(struct mnvme_req *req, struct mnvme_dptr *d, u64 pos,
			    u32 *len)
{
	u32 done = 0;
	u16 status;
	void *buf;

	if (mnvme_read_direct(req->dev, d, pos, *len))
		return NVME_SC_SUCCESS;
	/* A thread that wrote a doorbell must not wait for memory. */
	if (!req->sq->here) {
		status = mnvme_read_pages(req, d, pos, &done);
		if (status)
			return status;
	}
	if (done) {
		*len = done;
		return NVME_SC_SUCCESS;
	}
	/* Page by page, because the error log has the first block in error. */
	buf = mnvme_piece_buf(req->sq);
	if (!buf)
		return MNVME_NOT_EXECUTED;
	mnvme_read_page(req->dev, pos, buf, *len);
	return mnvme_dptr_copy(d, buf, *len, true);
}

/*
 * Writes a part of a page. The data are collected first and then written at one time, so no
 * reader sees a part of a block, however the segments of guest memory divide the block.
 */
static u16 mnvme_write_piece(struct mnvme_req *req, struct mnvme_dptr *d, u64 pos,
			     u32 len)
{
	struct vfio_mig_pages *pages = &req->dev->pages;
	void *buf = mnvme_piece_buf(req->sq);
	u16 status;

	if (!buf)
		return MNVME_NOT_EXECUTED;
	status = mnvme_dptr_copy(d, buf, len, false);
	if (status)
		return status;
	if (req->sq->spare && len == MNVME_NS_PAGE_SIZE)
		return mnvme_alloc_status(vfio_mig_page_exchange(pages,
								 mnvme_page_index(pos),
								 &req->sq->spare));
	return mnvme_alloc_status(vfio_mig_page_write(pages, mnvme_page_index(pos),
						      mnvme_page_off(pos), buf, len));
}

/* Returns the limit of pages in the next row, or 0. */
static u32 mnvme_row_size(const struct mnvme_req *req, const struct mnvme_dptr *d, u64 pos)
{
	u32 nr = d->left >> MNVME_NS_PAGE_SHIFT;

	/* A row of one page has no advantage. */
	return req->no_rows || mnvme_page_off(pos) || nr < 2 ? 0 : nr;
}

/* Returns how many whole pages of guest memory are contiguous, at most @max. */
static u32 mnvme_run_pages(const struct mnvme_dptr *d, u32 max)
{
	return min(max, mnvme_dptr_run(d) >> MNVME_NS_PAGE_SHIFT);
}

/*
 * Fills a row, and moves @d on. Returns the number of filled pages, which is less than @nr
 * if a segment of guest memory has no whole page or is not present.
 */
static u32 mnvme_row_from_guest(struct mnvme_dptr *d, void *data, u32 nr)
{
	u32 done, n, len;

	for (done = 0; done < nr; done += n, data += len) {
		if (mnvme_dptr_next(d))
			break;
		n = mnvme_run_pages(d, nr - done);
		len = n << MNVME_NS_PAGE_SHIFT;
		if (!n || vfio_mig_dma_rw_nofault(d->dev->mig, d->iova, data, len, false) ||
		    mnvme_dptr_skip(d, len))
			break;
	}
	return done;
}

/* Returns the number of pages that were written, which may be 0. */
static u32 mnvme_write_row(struct mnvme_req *req, struct mnvme_dptr *d, u64 pos, u32 nr)
{
	struct vfio_mig_pages *pages = &req->dev->pages;
	struct vfio_mig_row *row = &req->sq->row;
	pgoff_t index = mnvme_page_index(pos);
	u32 done;

	/* 0: no memory, so later rows would fail, too. 1: no second page has the same lock. */
	nr = vfio_mig_row_alloc(pages, row, index, nr);
	if (nr < 2) {
		req->no_rows = !nr;
		return 0;
	}
	done = mnvme_row_from_guest(d, page_address(row->first), nr);
	if (done)
		done = vfio_mig_row_exchange(pages, index, row, done);
	req->no_rows = done < nr;
	return done;
}

/*
 * Returns the number of pages that were copied. A failed copy may have written to some of the
 * pages, and VFIO has not marked these pages as dirty. So the function writes the pages again,
 * one by one, up to the first missing page.
 */
static u32 mnvme_run_to_guest(struct mnvme *dev, u64 iova, void *data, u32 nr)
{
	u32 size = MNVME_NS_PAGE_SIZE, i;

	if (!vfio_mig_dma_rw_nofault(dev->mig, iova, data, nr * size, true))
		return nr;
	for (i = 0; i < nr; i++)
		if (vfio_mig_dma_rw_nofault(dev->mig, iova + i * size, data + i * size,
					    size, true))
			break;
	return i;
}

/*
 * Copies pages to the guest, inside a page access to @index, and moves @d on. Returns the
 * number of copied pages. The copy ends where more of a list would have to be read, because
 * reading can take long.
 */
static u32 mnvme_row_to_guest(struct mnvme_req *req, struct mnvme_dptr *d, pgoff_t index,
			      u32 nr)
{
	u32 done = 0, run = 0, n, copied;
	struct page *page;
	void *data;

	while (done < nr && mnvme_dptr_at_hand(d) && !mnvme_dptr_next(d)) {
		if (!run)
			run = mnvme_run_pages(d, nr - done);
		if (!run)
			goto no_rows;
		n = run;
		page = vfio_mig_row_read_next(&d->dev->pages, index + done, &n);
		data = page ? page_address(page) : mnvme_zeros();
		copied = mnvme_run_to_guest(d->dev, d->iova, data, n);
		done += copied;
		run -= n;
		if (copied < n || mnvme_dptr_skip(d, n << MNVME_NS_PAGE_SHIFT))
			goto no_rows;
	}
	return done;

no_rows:
	req->no_rows = true;
	return done;
}

/* Returns the number of pages that were read, which may be 0. */
static u32 mnvme_read_row(struct mnvme_req *req, struct mnvme_dptr *d, u64 pos, u32 nr)
{
	struct vfio_mig_pages *pages = &req->dev->pages;
	pgoff_t index = mnvme_page_index(pos);
	u32 done;

	nr = vfio_mig_row_read_begin(pages, index, nr);
	done = mnvme_row_to_guest(req, d, index, nr);
	vfio_mig_page_read_end(pages, index);
	return done;
}

/*
 * Moves at most @nr pages. Sets @len to the number of bytes that were moved, or to 0. A row
 * can end anywhere, so it has a walk of its own, and @d continues behind its last page.
 */
static noinline_for_stack u16 mnvme_row(struct mnvme_req *req, struct mnvme_dptr *d, u64 pos,
					bool write, u32 nr, u32 *len)
{
	struct mnvme_dptr walk;

	mnvme_dptr_read_ahead(d);
	walk = *d;
	nr = write ? mnvme_write_row(req, &walk, pos, nr) :
		     mnvme_read_row(req, &walk, pos, nr);
	*len = nr << MNVME_NS_PAGE_SHIFT;
	return mnvme_dptr_skip(d, *len);
}

/*
 * Returns the number of bytes up to the end of the page of the namespace. For a read, the piece
 * also ends with the whole blocks of the guest's segment, if there are any.
 */
static u32 mnvme_piece(struct mnvme *dev, const struct mnvme_dptr *d, u64 pos,
		       u64 left, bool write)
{
	u32 len = min_t(u64, left, MNVME_NS_PAGE_SIZE - mnvme_page_off(pos));
	u32 whole = round_down(d->seg, 1u << dev->type->lba_shift);

	return write || !whole ? len : min(len, whole);
}

static void mnvme_count(struct mnvme_req *req, u64 len, bool write)
{
	struct mnvme_counters *count = &req->sq->count;

	req->bytes += len;
	if (write) {
		count->sectors_written += len >> SECTOR_SHIFT;
		count->writes++;
	} else {
		count->sectors_read += len >> SECTOR_SHIFT;
		count->reads++;
	}
}

/* Moves a row, a piece of a page or several pages. Sets @len to the number of moved bytes. */
static u16 mnvme_move(struct mnvme_req *req, struct mnvme_dptr *d, u64 pos, bool write,
		      u32 *len)
{
	u16 status;
	u32 nr;

	*len = 0;
	status = mnvme_dptr_next(d);
	nr = mnvme_row_size(req, d, pos);
	if (!status && nr)
		status = mnvme_row(req, d, pos, write, nr, len);
	/*
	 * The read-ahead of the list may have begun an access that is still in progress. The
	 * command must not complete before this access ends, so it begins again.
	 */
	if (vfio_mig_dma_pending(&req->sq->dma))
		return MNVME_NOT_EXECUTED;
	if (status || *len)
		return status;
	*len = mnvme_piece(req->dev, d, pos, d->left, write);
	return write ? mnvme_write_piece(req, d, pos, *len) :
		       mnvme_read_piece(req, d, pos, len);
}

/*
 * Returns the first byte in error. @at is the data pointer's position. If it is behind the
 * piece at @pos, all data of the piece were collected, and the piece could not be stored.
 */
static u64 mnvme_first_bad(u64 pos, u32 len, u64 at)
{
	return at < pos + len ? at : pos;
}

static u16 mnvme_read_write(struct mnvme_req *req, bool write)
{
	struct mnvme_range r;
	struct mnvme_dptr d;
	u16 status;
	u64 pos, end;
	u32 len = 0;

	status = mnvme_data_range(req, &r);
	if (!status)
		status = mnvme_dptr_init(&d, req, r.len);
	if (status)
		return status;

	end = r.pos + r.len;
	for (pos = r.pos; pos < end; pos += len) {
		status = MNVME_NOT_EXECUTED;
		if (mnvme_sq_may_execute(req->sq))
			status = mnvme_move(req, &d, pos, write, &len);
		if (status)
			break;
	}
	if (!status)
		mnvme_count(req, r.len, write);
	else
		req->err_lba = mnvme_first_bad(pos, len, end - d.left) >>
			       req->dev->type->lba_shift;
	return status;
}

/* Returns how many bytes from @pos on equal those of @buf. @len is within one page. */
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
	u8 *buf = req->sq->executor->buf;
	u64 end;
	u16 status;
	u32 len, equal;

	status = mnvme_data_range(req, &r);
	if (!status)
		status = mnvme_dptr_init(&d, req, r.len);
	if (status)
		return status;

	BUILD_BUG_ON(MNVME_NS_PAGE_SIZE > MNVME_BUF_SIZE);
	for (end = r.pos + r.len; r.pos < end; r.pos += len) {
		len = min_t(u64, end - r.pos, MNVME_NS_PAGE_SIZE -
			    (r.pos & (MNVME_NS_PAGE_SIZE - 1)));
		status = mnvme_sq_may_execute(req->sq) ?
			 mnvme_dptr_copy(&d, buf, len, false) : MNVME_NOT_EXECUTED;
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
	if (status) {
		req->err_lba = r.pos >> dev->type->lba_shift;
		return status;
	}

	req->bytes += r.len;
	req->sq->count.sectors_read += r.len >> SECTOR_SHIFT;
	req->sq->count.reads++;
	return NVME_SC_SUCCESS;
}

/* Zeroes a part of a page, if the page has memory. */
static u16 mnvme_zero_piece(struct mnvme_req *req, u64 pos, u32 len)
{
	struct vfio_mig_pages *pages = &req->dev->pages;
	pgoff_t index = pos >> MNVME_NS_PAGE_SHIFT;
	struct page *page;
	u16 status;

	page = vfio_mig_page_read_begin(pages, index);
	vfio_mig_page_read_end(pages, index);
	if (!page)
		return NVME_SC_SUCCESS;

	status = mnvme_alloc_status(vfio_mig_page_write(pages, index, mnvme_page_off(pos),
							mnvme_zeros(), len));
	if (status)
		req->err_lba = pos >> req->dev->type->lba_shift;
	return status;
}

/**
 * mnvme_zero() - make blocks read as zeros
 * @req: the command
 * @r: the blocks
 *
 * The memory of whole pages is freed.
 *
 * Return: NVMe status.
 */
u16 mnvme_zero(struct mnvme_req *req, struct mnvme_range r)
{
	u64 end = r.pos + r.len;
	u64 first = round_up(r.pos, MNVME_NS_PAGE_SIZE);
	u64 last = round_down(end, MNVME_NS_PAGE_SIZE);
	u16 status = NVME_SC_SUCCESS;

	if (first > last)
		return mnvme_zero_piece(req, r.pos, r.len);

	if (r.pos < first)
		status = mnvme_zero_piece(req, r.pos, first - r.pos);
	if (!status && last < end)
		status = mnvme_zero_piece(req, last, end - last);
	if (!status)
		vfio_mig_pages_discard(&req->dev->pages, first >> MNVME_NS_PAGE_SHIFT,
				       (last - first) >> MNVME_NS_PAGE_SHIFT);
	return status;
}

/* Skips blocks that read as zeros already, because their pages have no memory. */
static void mnvme_skip_zeros(struct mnvme *dev, struct mnvme_range *r)
{
	pgoff_t next = vfio_mig_pages_next(&dev->pages, mnvme_page_index(r->pos));
	u64 end = r->pos + r->len;

	r->pos = clamp_t(u64, (u64)next << MNVME_NS_PAGE_SHIFT, r->pos, end);
	r->len = end - r->pos;
}

/*
 * Zeroes a range in pieces, because it may be most of the namespace. If this takes long, the
 * command begins again in the queue's next turn. In each turn the command frees at least one
 * page, so the command ends after a finite number of turns.
 */
static u16 mnvme_zero_range(struct mnvme_req *req, struct mnvme_range r)
{
	struct mnvme_range piece;
	u16 status;
	u32 size;

	for (;; r.pos += piece.len, r.len -= piece.len) {
		mnvme_skip_zeros(req->dev, &r);
		if (!r.len)
			return NVME_SC_SUCCESS;
		if (!mnvme_sq_may_execute(req->sq) ||
		    (req->freed && mnvme_sq_turn_over(req->sq)))
			return MNVME_NOT_EXECUTED;
		piece.pos = r.pos;
		/* A piece begins with a page if possible, because only such pieces count. */
		size = mnvme_page_off(r.pos) ? MNVME_NS_PAGE_SIZE : MNVME_ZERO_PIECE;
		piece.len = min_t(u64, r.len, size - (r.pos & (size - 1)));
		status = mnvme_zero(req, piece);
		if (status)
			return status;
		/* The first page had memory. */
		req->freed |= !mnvme_page_off(piece.pos) &&
			      piece.len >= MNVME_NS_PAGE_SIZE;
		cond_resched();
	}
}

static u16 mnvme_write_zeroes(struct mnvme_req *req)
{
	struct mnvme_range r;
	u16 status = mnvme_rw_range(req, &r);

	return status ?: mnvme_zero_range(req, r);
}

static u16 mnvme_verify(struct mnvme_req *req)
{
	struct mnvme_range r;
	u16 status = mnvme_rw_range(req, &r);

	if (!status)
		req->sq->count.sectors_read += r.len >> SECTOR_SHIFT;
	return status;
}

/* Checks all ranges before the first range is deallocated. */
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
		/* The bad field is in the range, and not in the command. */
		req->err_loc = MNVME_NO_LOCATION;
		if (!status && act)
			status = mnvme_zero_range(req, r);
		if (status)
			return status;
	}
	return NVME_SC_SUCCESS;
}

static u16 mnvme_dsm(struct mnvme_req *req)
{
	u32 nr = (le32_to_cpu(req->cmd->dsm.nr) & 0xff) + 1;
	u32 attr = le32_to_cpu(req->cmd->dsm.attributes);
	struct nvme_dsm_range *range = req->sq->executor->buf;
	u16 status;

	BUILD_BUG_ON(NVME_DSM_MAX_RANGES * sizeof(*range) > MNVME_BUF_SIZE);
	status = mnvme_copy_in(req, range, nr * sizeof(*range));
	if (!status)
		status = mnvme_dsm_ranges(req, range, nr, false);
	/* The other attributes are hints, which are of no use here. */
	if (!status && (attr & NVME_DSMGMT_AD))
		status = mnvme_dsm_ranges(req, range, nr, true);
	return status;
}

static bool mnvme_io_known(const struct mnvme *dev, u8 opcode)
{
	switch (opcode) {
	case nvme_cmd_flush:
	case nvme_cmd_write:
	case nvme_cmd_read:
	case nvme_cmd_compare:
	case nvme_cmd_write_zeroes:
	case nvme_cmd_dsm:
	case nvme_cmd_verify:
		return true;
	case MNVME_CMD_COPY:
		return mnvme_offers_copy(dev);
	default:
		return false;
	}
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

	if (!mnvme_io_known(req->dev, opcode)) {
		req->err_loc = offsetof(struct nvme_command, common.opcode);
		return MNVME_DNR(NVME_SC_INVALID_OPCODE);
	}
	/* Only Flush may be for all namespaces. */
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
