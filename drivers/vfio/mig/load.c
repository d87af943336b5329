// SPDX-License-Identifier: GPL-2.0-only
/*
 * The load side: a stream that nobody vouches for, made into a state
 *
 * The stream comes in portions of any size. It is taken apart as it comes, each
 * byte copied once to memory that only the kernel can change and looked at only
 * there. What is accepted is staged beside the device's own state; the END chunk
 * has all of it checked and everything allocated, so that applying it cannot
 * fail. The first thing that is wrong ends the session: it stays refused, with
 * the errno that tells why, until the session ends.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/xxhash.h>

#include <trace/events/vfio_mig.h>

#include "fault.h"
#include "load.h"
#include "mig.h"
#include "pages.h"

/* The longest that a header chunk of any version may be. */
#define HEADER_MAX	4096
#define BUF_MAX		(sizeof(struct vfio_mig_pages_hdr) +	\
			 VFIO_MIG_STREAM_RUNS_BYTES_MAX)

static_assert(HEADER_MAX <= BUF_MAX);

/**
 * enum load_part - what the next bytes of the stream are
 * @PART_CHUNK_HDR: a chunk's header
 * @PART_HEADER: payload of a header chunk
 * @PART_PAGES_HDR: start of a pages chunk's payload
 * @PART_RUNS: a pages chunk's runs
 * @PART_PAGE: a page of a pages chunk
 * @PART_CONTROL_HDR: start of a control chunk's payload
 * @PART_CONTROL: a piece of the control state
 * @PART_END: payload of an end chunk
 * @PART_PADDING: zeros up to the end of the chunk
 * @PART_SKIP: payload of a chunk that need not be understood
 */
enum load_part {
	PART_CHUNK_HDR,
	PART_HEADER,
	PART_PAGES_HDR,
	PART_RUNS,
	PART_PAGE,
	PART_CONTROL_HDR,
	PART_CONTROL,
	PART_END,
	PART_PADDING,
	PART_SKIP,
};

/**
 * struct load_run - pages in a row that are alike
 * @start: first page
 * @len: number of pages
 * @hole: they read as zeros, no data follows for them
 */
struct load_run {
	u64 start;
	u64 len;
	bool hole;
};

/**
 * struct load_pos - how far the stream was taken
 * @part: what comes next
 * @have: bytes of it taken
 * @want: bytes of it in all
 * @left: bytes of the chunk's payload after this part
 * @sum: running sum of the payload
 * @hdr: the chunk's header
 * @started: a header chunk was accepted
 * @save_id: whose
 * @seq: of the next chunk
 * @pages: data pages taken in this save
 * @nr_runs: runs of the pages chunk
 * @run: the one at hand
 * @run_page: the page in it
 * @control_total: size of the control state
 * @control_have: bytes of it taken
 * @control_done: all of it is there
 * @complete: the last chunk taken was END, and all of it was found good
 */
struct load_pos {
	enum load_part part;
	u32 have;
	u32 want;
	u32 left;
	struct xxh64_state sum;
	struct vfio_mig_chunk_hdr hdr;
	bool started;
	u64 save_id;
	u32 seq;
	u64 pages;
	u32 nr_runs;
	u32 run;
	u64 run_page;
	u32 control_total;
	u32 control_have;
	bool control_done;
	bool complete;
};

/**
 * struct load_cursor - a place in the stream
 * @pos: how far the stream was taken
 * @runs: runs of the pages chunk at hand
 * @buf: the part at hand, while it is collected
 */
struct load_cursor {
	struct load_pos pos;
	struct load_run runs[VFIO_MIG_STREAM_RUNS_MAX];
	u8 buf[BUF_MAX] __aligned(8);
};

/**
 * struct vfio_mig_load - a load that goes on
 * @error: why it was refused, 0 if it was not
 * @restarts: how often something staged was dropped for something newer
 * @staged: the pages
 * @nr_staged: how many
 * @control: the control state
 * @prepared: what the vendor driver made of it
 * @at: where the stream is, and what was collected of the part at hand
 * @before: the same, as it was when the portion at hand began
 */
struct vfio_mig_load {
	int error;
	u32 restarts;
	struct xarray *staged;
	unsigned long nr_staged;
	void *control;
	void *prepared;
	struct load_cursor at;
	struct load_cursor before;
};

/* Refuses the stream for good, and tells a person why. */
static __printf(3, 4) int refuse(struct vfio_mig *mig, int err,
				 const char *fmt, ...)
{
	struct vfio_mig_load *load = mig->load;
	struct va_format vaf;
	va_list args;

	load->error = err;
	vfio_mig_count(mig, VFIO_MIG_REFUSED, 1);
	if (!__ratelimit(&mig->log))
		return err;

	va_start(args, fmt);
	vaf.fmt = fmt;
	vaf.va = &args;
	dev_err(mig->vdev->dev, "migration stream refused (%d), chunk %u: %pV\n",
		err, load->at.pos.seq, &vaf);
	va_end(args);
	return err;
}

static void next_part(struct load_pos *pos, enum load_part part, u32 want)
{
	pos->part = part;
	pos->have = 0;
	pos->want = want;
}

/* The next part of the payload; its size was checked against the chunk's. */
static void payload_part(struct load_pos *pos, enum load_part part, u32 want)
{
	next_part(pos, part, want);
	pos->left -= want;
}

static void drop_prepared(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;

	if (load->prepared && mig->desc.ops->discard)
		mig->desc.ops->discard(mig->vdev, load->prepared);
	else
		kfree(load->prepared);
	load->prepared = NULL;
}

/* Forgets all that was staged: another save begins. */
static void start_over(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;

	drop_prepared(mig);
	if (load->staged)
		vfio_mig_pages_drop(mig->desc.pages, load->staged, 0,
				    ULONG_MAX);
	load->nr_staged = 0;
	load->at.pos.started = false;
	load->at.pos.pages = 0;
	load->at.pos.control_done = false;
	load->at.pos.control_have = 0;
}

/**
 * vfio_mig_load_begin - start a load
 * @mig: the device; session mutex held, at rest, no session open
 *
 * Return: 0 or -ENOMEM.
 */
int vfio_mig_load_begin(struct vfio_mig *mig)
{
	struct vfio_mig_load *load;

	load = kvzalloc(sizeof(*load), GFP_KERNEL_ACCOUNT);
	if (!load)
		return -ENOMEM;
	load->control = kvzalloc(mig->desc.control_max, GFP_KERNEL_ACCOUNT);
	if (!load->control)
		goto err;
	if (mig->desc.pages) {
		load->staged = vfio_mig_pages_new_array();
		if (!load->staged)
			goto err;
	}
	next_part(&load->at.pos, PART_CHUNK_HDR, sizeof(load->at.pos.hdr));
	mig->load = load;
	return 0;

err:
	kvfree(load->control);
	kvfree(load);
	return -ENOMEM;
}

/**
 * vfio_mig_load_end - end a load and drop what it staged
 * @mig: the device; session mutex held
 */
void vfio_mig_load_end(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;

	drop_prepared(mig);
	if (load->staged)
		vfio_mig_pages_free_array(mig->desc.pages, load->staged);
	mig->load = NULL;
	kvfree(load->control);
	kvfree(load);
}

/* A header chunk starts a save; any other continues the one at hand. */
static int check_sequence(struct vfio_mig *mig, u16 type, u64 save_id, u32 seq)
{
	struct load_pos *pos = &mig->load->at.pos;

	if (type == VFIO_MIG_CHUNK_HEADER) {
		if (seq)
			return refuse(mig, -EILSEQ,
				      "a header out of order, numbered %u",
				      seq);
		if (!pos->started)
			return 0;
		if (save_id == pos->save_id)
			return refuse(mig, -EILSEQ,
				      "the same save's header once more");
		mig->load->restarts++;
		start_over(mig);
		return 0;
	}
	if (!pos->started)
		return refuse(mig, -EILSEQ,
			      "the stream starts with chunk %u, not a header",
			      seq);
	if (save_id != pos->save_id)
		return refuse(mig, -EILSEQ, "chunk %u of another save", seq);
	if (seq != pos->seq)
		return refuse(mig, -EILSEQ, "chunk %u where %u was due", seq,
			      pos->seq);
	return 0;
}

/* Where a chunk's payload starts, and whether it can be as long as it says. */
static int start_payload(struct vfio_mig *mig, u16 type, u16 flags, u32 len)
{
	struct load_pos *pos = &mig->load->at.pos;

	pos->left = len;
	switch (type) {
	case VFIO_MIG_CHUNK_HEADER:
		if (len < sizeof(__le32) || len > HEADER_MAX)
			break;
		payload_part(pos, PART_HEADER, len);
		return 0;
	case VFIO_MIG_CHUNK_PAGES:
		if (len < sizeof(struct vfio_mig_pages_hdr))
			break;
		payload_part(pos, PART_PAGES_HDR,
			     sizeof(struct vfio_mig_pages_hdr));
		return 0;
	case VFIO_MIG_CHUNK_CONTROL:
		if (len < sizeof(struct vfio_mig_control_hdr))
			break;
		payload_part(pos, PART_CONTROL_HDR,
			     sizeof(struct vfio_mig_control_hdr));
		return 0;
	case VFIO_MIG_CHUNK_END:
		if (len != sizeof(struct vfio_mig_end))
			break;
		payload_part(pos, PART_END, len);
		return 0;
	default:
		if (flags & VFIO_MIG_CHUNK_F_MANDATORY)
			return refuse(mig, -EPROTONOSUPPORT,
				      "unknown mandatory chunk type %u", type);
		payload_part(pos, PART_SKIP, len);
		return 0;
	}
	return refuse(mig, -EBADMSG, "a chunk of type %u with %u bytes", type,
		      len);
}

static int take_chunk_hdr(struct vfio_mig *mig)
{
	struct load_pos *pos = &mig->load->at.pos;
	struct vfio_mig_chunk_hdr *hdr = &pos->hdr;
	u16 flags, type;
	u32 len, sum;
	int ret;

	memcpy(hdr, mig->load->at.buf, sizeof(*hdr));
	sum = xxh64(hdr, offsetof(typeof(*hdr), hdr_sum), 0);
	if (hdr->magic != cpu_to_le32(VFIO_MIG_STREAM_MAGIC))
		return refuse(mig, -EBADMSG, "no chunk starts here (%#x)",
			      le32_to_cpu(hdr->magic));
	if (hdr->hdr_sum != cpu_to_le32(sum))
		return refuse(mig, -EBADMSG, "damaged chunk header");

	type = le16_to_cpu(hdr->type);
	flags = le16_to_cpu(hdr->flags);
	len = le32_to_cpu(hdr->length);
	if (flags & ~VFIO_MIG_CHUNK_F_KNOWN)
		return refuse(mig, -EPROTONOSUPPORT, "unknown chunk flags %#x",
			      flags);
	if (hdr->reserved || len % VFIO_MIG_STREAM_ALIGN)
		return refuse(mig, -EBADMSG, "malformed chunk header");

	ret = check_sequence(mig, type, le64_to_cpu(hdr->save_id),
			     le32_to_cpu(hdr->seq));
	if (ret)
		return ret;
	pos->complete = false;
	xxh64_reset(&pos->sum, 0);
	return start_payload(mig, type, flags, len);
}

/* A name, then nothing but NULs, at least one. */
static bool type_valid(const struct vfio_mig_header *h)
{
	size_t len = strnlen(h->type, sizeof(h->type));

	return len < sizeof(h->type) &&
	       !memchr_inv(h->type + len, 0, sizeof(h->type) - len);
}

static int check_header(struct vfio_mig *mig, const struct vfio_mig_header *h)
{
	struct vfio_mig_pages *pages = mig->desc.pages;
	u64 nr_pages = pages ? pages->nr : 0;

	if (le32_to_cpu(h->page_size) != VFIO_MIG_STREAM_PAGE_SIZE)
		return refuse(mig, -EPROTONOSUPPORT, "pages of %u bytes",
			      le32_to_cpu(h->page_size));
	if (h->features)
		return refuse(mig, -EPROTONOSUPPORT, "unknown features %#llx",
			      le64_to_cpu(h->features));
	if (!type_valid(h))
		return refuse(mig, -EBADMSG, "malformed device type");
	if (strcmp(h->type, mig->desc.type))
		return refuse(mig, -ENODEV, "a state of '%*pE', this is '%s'",
			      (int)strlen(h->type), h->type, mig->desc.type);
	if (le64_to_cpu(h->nr_pages) != nr_pages)
		return refuse(mig, -ENODEV,
			      "a state of %llu pages, this device has %llu",
			      le64_to_cpu(h->nr_pages), nr_pages);
	if (le32_to_cpu(h->control_version) != mig->desc.control_version)
		return refuse(mig, -EPROTONOSUPPORT,
			      "control state version %u, this driver has %u",
			      le32_to_cpu(h->control_version),
			      mig->desc.control_version);
	if (le32_to_cpu(h->control_max) != mig->desc.control_max)
		return refuse(mig, -ENODEV,
			      "control state of up to %u bytes, here it is %u",
			      le32_to_cpu(h->control_max),
			      mig->desc.control_max);
	return 0;
}

static int take_header(struct vfio_mig *mig)
{
	const struct vfio_mig_header *h = (void *)mig->load->at.buf;
	struct load_pos *pos = &mig->load->at.pos;
	u32 version = le32_to_cpu(h->version);
	int ret;

	if (version != VFIO_MIG_STREAM_VERSION)
		return refuse(mig, -EPROTONOSUPPORT,
			      "stream version %u, this driver reads %u",
			      version, VFIO_MIG_STREAM_VERSION);
	if (pos->want != sizeof(*h))
		return refuse(mig, -EBADMSG, "a header of %u bytes", pos->want);
	ret = check_header(mig, h);
	if (ret)
		return ret;
	pos->started = true;
	pos->save_id = le64_to_cpu(pos->hdr.save_id);
	return 0;
}

static int take_pages_hdr(struct vfio_mig *mig)
{
	const struct vfio_mig_pages_hdr *h = (void *)mig->load->at.buf;
	struct load_pos *pos = &mig->load->at.pos;
	u32 nr = le32_to_cpu(h->nr_pages), runs = le32_to_cpu(h->runs_bytes);
	u32 padded = ALIGN(runs, VFIO_MIG_STREAM_ALIGN);

	if (!mig->desc.pages)
		return refuse(mig, -EINVAL, "pages for a device without any");
	if (nr > VFIO_MIG_STREAM_PAGES_MAX || !runs ||
	    runs > VFIO_MIG_STREAM_RUNS_BYTES_MAX ||
	    pos->left != padded + nr * PAGE_SIZE)
		return refuse(mig, -EBADMSG,
			      "%u pages and %u bytes of runs in %u bytes", nr,
			      runs, pos->left);

	/* The runs go behind their header, which is still needed. */
	payload_part(pos, PART_RUNS, sizeof(*h) + padded);
	pos->left += sizeof(*h);
	pos->have = sizeof(*h);
	return 0;
}

/* Reads one LEB128 number. Returns false where it is not one. */
static bool get_leb128(const u8 **from, const u8 *end, u64 *value)
{
	unsigned int shift = 0;
	u8 byte;

	*value = 0;
	do {
		if (*from == end || shift > 63)
			return false;
		byte = *(*from)++;
		if (shift == 63 && (byte & 0x7e))
			return false;
		*value |= (u64)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	/* Each number has one form only: no zeros on top. */
	return byte || shift == 7;
}

static int decode_runs(struct vfio_mig *mig, const struct vfio_mig_pages_hdr *h)
{
	const u8 *from = (const u8 *)(h + 1);
	const u8 *end = from + le32_to_cpu(h->runs_bytes);
	u64 next = le64_to_cpu(h->base), nr = mig->desc.pages->nr;
	struct vfio_mig_load *load = mig->load;
	u64 data = 0, gap, len;
	u32 n = 0;

	if (memchr_inv(end, 0, PTR_ALIGN(end, VFIO_MIG_STREAM_ALIGN) - end))
		return refuse(mig, -EBADMSG, "padding that is not zero");

	while (from < end) {
		if (n == VFIO_MIG_STREAM_RUNS_MAX)
			return refuse(mig, -EBADMSG, "too many runs");
		if (!get_leb128(&from, end, &gap))
			return refuse(mig, -EBADMSG, "malformed runs");
		len = 1;
		if ((gap & 1) && (!get_leb128(&from, end, &len) || len < 2))
			return refuse(mig, -EBADMSG, "malformed runs");
		if (next > nr || gap >> 2 > nr - next ||
		    len > nr - next - (gap >> 2))
			return refuse(mig, -EINVAL,
				      "page %llu and beyond, of %llu",
				      next + (gap >> 2), nr);
		next += gap >> 2;
		load->at.runs[n++] = (struct load_run) {
			.start = next, .len = len, .hole = gap & 2,
		};
		if (!(gap & 2))
			data += len;
		next += len;
	}
	if (data != le32_to_cpu(h->nr_pages))
		return refuse(mig, -EBADMSG, "runs of %llu pages for %u", data,
			      le32_to_cpu(h->nr_pages));
	load->at.pos.nr_runs = n;
	return 0;
}

static void stage_hole(struct vfio_mig *mig, const struct load_run *run)
{
	struct vfio_mig_load *load = mig->load;
	struct page *page;
	unsigned long i;

	xa_for_each_range(load->staged, i, page, run->start,
			  run->start + run->len - 1) {
		xa_erase(load->staged, i);
		vfio_mig_pages_free(mig->desc.pages, page);
		load->nr_staged--;
	}
}

/* Goes to the next page with data, through the holes before it. */
static void next_page(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;
	struct load_pos *pos = &load->at.pos;

	while (pos->run < pos->nr_runs) {
		struct load_run *run = &load->at.runs[pos->run];

		if (!run->hole && pos->run_page < run->len) {
			payload_part(pos, PART_PAGE, PAGE_SIZE);
			return;
		}
		if (run->hole)
			stage_hole(mig, run);
		pos->run++;
		pos->run_page = 0;
	}
	payload_part(pos, PART_PADDING, pos->left);
}

static int take_runs(struct vfio_mig *mig)
{
	struct load_pos *pos = &mig->load->at.pos;
	int ret;

	ret = decode_runs(mig, (void *)mig->load->at.buf);
	if (ret)
		return ret;
	pos->run = 0;
	pos->run_page = 0;
	next_page(mig);
	return 0;
}

static int take_page(struct vfio_mig *mig)
{
	struct load_pos *pos = &mig->load->at.pos;

	pos->pages++;
	pos->run_page++;
	next_page(mig);
	return 0;
}

static int take_control_hdr(struct vfio_mig *mig)
{
	const struct vfio_mig_control_hdr *h = (void *)mig->load->at.buf;
	u32 total = le32_to_cpu(h->total), offset = le32_to_cpu(h->offset);
	u32 len = le32_to_cpu(h->length);
	struct load_pos *pos = &mig->load->at.pos;

	if (h->reserved || len > VFIO_MIG_STREAM_CONTROL_PIECE ||
	    pos->left != ALIGN(len, VFIO_MIG_STREAM_ALIGN))
		return refuse(mig, -EBADMSG, "%u bytes of control state in %u",
			      len, pos->left);
	if (total > mig->desc.control_max)
		return refuse(mig, -EBADMSG, "%u bytes of control state",
			      total);
	/* A new control state takes the place of one that is there. */
	if (!offset) {
		if (pos->control_have)
			mig->load->restarts++;
		pos->control_total = total;
		pos->control_have = 0;
		pos->control_done = false;
	}
	if (total != pos->control_total || offset != pos->control_have ||
	    len > total - offset || (!len && total))
		return refuse(mig, -EBADMSG,
			      "control state %u+%u of %u where %u of %u was due",
			      offset, len, total, pos->control_have,
			      pos->control_total);
	payload_part(pos, PART_CONTROL, len);
	return 0;
}

static int take_control(struct vfio_mig *mig)
{
	struct load_pos *pos = &mig->load->at.pos;

	pos->control_have += pos->want;
	pos->control_done = pos->control_have == pos->control_total;
	payload_part(pos, PART_PADDING, pos->left);
	return 0;
}

/* The last chunk: all is checked and allocated here, for apply cannot fail. */
static int take_end(struct vfio_mig *mig)
{
	const struct vfio_mig_end *e = (void *)mig->load->at.buf;
	struct vfio_mig_load *load = mig->load;
	struct load_pos *pos = &load->at.pos;
	void *prepared;

	if (le64_to_cpu(e->pages_sent) != pos->pages)
		return refuse(mig, -EBADMSG, "%llu pages came, %llu were sent",
			      pos->pages, le64_to_cpu(e->pages_sent));
	if (!pos->control_done)
		return refuse(mig, -EBADMSG, "the end without control state");

	prepared = mig->desc.ops->prepare(mig->vdev, load->control,
					  pos->control_total);
	if (prepared == ERR_PTR(-ENOMEM))
		return -ENOMEM;
	if (IS_ERR(prepared))
		return refuse(mig, PTR_ERR(prepared),
			      "the device cannot be in such a state");
	drop_prepared(mig);
	load->prepared = prepared;
	pos->complete = true;
	return 0;
}

/* A whole part is there. */
static int take_part(struct vfio_mig *mig)
{
	struct load_pos *pos = &mig->load->at.pos;

	switch (pos->part) {
	case PART_CHUNK_HDR:
		return take_chunk_hdr(mig);
	case PART_PAGES_HDR:
		return take_pages_hdr(mig);
	case PART_RUNS:
		return take_runs(mig);
	case PART_PAGE:
		return take_page(mig);
	case PART_CONTROL_HDR:
		return take_control_hdr(mig);
	case PART_CONTROL:
		return take_control(mig);
	case PART_PADDING:
		if (memchr_inv(mig->load->at.buf, 0, pos->want))
			return refuse(mig, -EBADMSG,
				      "padding that is not zero");
		fallthrough;
	default:
		next_part(pos, PART_CHUNK_HDR, 0);
		return 0;
	}
}

/* The payload is over. Its sum decides before anything acts on it. */
static int end_chunk(struct vfio_mig *mig, enum load_part last)
{
	struct load_pos *pos = &mig->load->at.pos;
	int ret = 0;

	if ((le16_to_cpu(pos->hdr.flags) & VFIO_MIG_CHUNK_F_SUM) &&
	    xxh64_digest(&pos->sum) != le64_to_cpu(pos->hdr.sum))
		return refuse(mig, -EBADMSG, "damaged chunk, type %u",
			      le16_to_cpu(pos->hdr.type));
	if (last == PART_HEADER)
		ret = take_header(mig);
	else if (last == PART_END)
		ret = take_end(mig);
	if (ret)
		return ret;
	pos->seq = le32_to_cpu(pos->hdr.seq) + 1;
	next_part(pos, PART_CHUNK_HDR, sizeof(pos->hdr));
	return 0;
}

/* Where the bytes of a page go; allocates the page at its first byte. */
static void *page_target(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;
	struct load_pos *pos = &load->at.pos;
	struct vfio_mig_pages *p = mig->desc.pages;
	u64 index = load->at.runs[pos->run].start + pos->run_page;
	struct page *page, *cur;

	page = xa_load(load->staged, index);
	if (page)
		return page_address(page);
	page = vfio_mig_pages_alloc(p, 0, false);
	if (IS_ERR(page))
		return page;
	cur = vfio_mig_pages_store(p, load->staged, index, NULL, page);
	if (xa_is_err(cur)) {
		vfio_mig_pages_free(p, page);
		return ERR_PTR(xa_err(cur));
	}
	load->nr_staged++;
	return page_address(page);
}

/* Memory for the part at hand. Parts that are not kept go through the buffer. */
static void *part_target(struct vfio_mig *mig, u32 *room)
{
	struct vfio_mig_load *load = mig->load;
	struct load_pos *pos = &load->at.pos;
	void *page;

	*room = pos->want - pos->have;
	switch (pos->part) {
	case PART_PAGE:
		page = page_target(mig);
		return IS_ERR(page) ? page : page + pos->have;
	case PART_CONTROL:
		return load->control + pos->control_have + pos->have;
	case PART_SKIP:
		*room = min_t(u32, *room, BUF_MAX);
		return load->at.buf;
	default:
		return load->at.buf + pos->have;
	}
}

/* Takes as much of the part at hand as there is. */
static int feed_part(struct vfio_mig *mig, struct iov_iter *from)
{
	struct load_pos *pos = &mig->load->at.pos;
	enum load_part part = pos->part;
	size_t n;
	void *to;
	u32 room;

	to = part_target(mig, &room);
	if (IS_ERR(to))
		return PTR_ERR(to);
	n = copy_from_iter(to, min_t(size_t, room, iov_iter_count(from)), from);
	if (!n && room)
		return -EFAULT;
	if (part != PART_CHUNK_HDR)
		xxh64_update(&pos->sum, to, n);
	pos->have += n;
	if (pos->have < pos->want)
		return 0;

	/* Parts of no bytes need no more input to be whole. */
	do {
		int ret;

		part = pos->part;
		if (part == PART_HEADER || part == PART_END)
			return end_chunk(mig, part);
		ret = take_part(mig);
		if (ret)
			return ret;
		if (part == PART_PADDING || part == PART_SKIP)
			return end_chunk(mig, part);
	} while (pos->have == pos->want);
	return 0;
}

/* Parts that are collected in the buffer; the others go where they belong. */
static bool part_buffered(enum load_part part)
{
	return part != PART_PAGE && part != PART_CONTROL && part != PART_SKIP;
}

/* Copies what of a cursor has a meaning at its position, and no more. */
static void copy_cursor(struct load_cursor *to, const struct load_cursor *from)
{
	const struct load_pos *pos = &from->pos;

	to->pos = *pos;
	if (part_buffered(pos->part))
		memcpy(to->buf, from->buf, pos->have);
	if (pos->part == PART_PAGE)
		memcpy(to->runs, from->runs,
		       pos->nr_runs * sizeof(from->runs[0]));
}

/*
 * Goes back to where a portion began, so that it can be given again. Where
 * something older was dropped in the portion there is no way back, and the
 * session has failed.
 */
static int take_back(struct vfio_mig *mig, u32 restarts, int err)
{
	struct vfio_mig_load *load = mig->load;
	bool complete = load->at.pos.complete;

	if (load->restarts != restarts)
		return refuse(mig, err, "no memory left as a save started over");
	copy_cursor(&load->at, &load->before);
	/* What was staged may be ahead of a complete state. */
	load->at.pos.complete &= complete;
	return err;
}

/**
 * vfio_mig_load_feed - take the next portion of the stream
 * @mig: the device; session mutex held, resuming
 * @from: the portion, of any length. A user's memory may change while it is
 *	read.
 *
 * Return: 0 when all was taken. -EILSEQ, -EBADMSG, -EPROTONOSUPPORT, -ENODEV or
 * -EINVAL where the stream is refused, now and from now on. -ENOMEM, -ENOSPC or
 * -EFAULT where nothing was taken and the portion can be given again.
 */
int vfio_mig_load_feed(struct vfio_mig *mig, struct iov_iter *from)
{
	struct vfio_mig_load *load = mig->load;
	size_t len = iov_iter_count(from);
	u32 restarts = load->restarts;
	int ret = load->error;

	vfio_mig_fault_transfer(mig, len);
	copy_cursor(&load->before, &load->at);
	while (!ret && iov_iter_count(from)) {
		ret = feed_part(mig, from);
		cond_resched();
	}
	if (ret && !load->error)
		ret = take_back(mig, restarts, ret);
	trace_vfio_mig_commit(mig->vdev->dev, len, ret);
	if (!ret)
		vfio_mig_count(mig, VFIO_MIG_RESUME_BYTES, len);
	return ret;
}

/**
 * vfio_mig_load_error - why the session was refused
 * @mig: the device; session mutex held, resuming
 *
 * Return: the errno, or 0.
 */
int vfio_mig_load_error(struct vfio_mig *mig)
{
	return mig->load->error;
}

/**
 * vfio_mig_load_apply - let the loaded state take effect, all at once
 * @mig: the device; session mutex held, resuming, at rest
 *
 * Return: 0, or the error that the session was refused with; -ENODATA, from now
 * on, where the stream is not complete. Nothing was changed then.
 */
int vfio_mig_load_apply(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;
	struct load_pos *pos = &load->at.pos;

	if (load->error)
		return load->error;
	if (!pos->complete || pos->have)
		return refuse(mig, -ENODATA,
			      "the device is to run, the state is incomplete");

	if (mig->desc.pages) {
		vfio_mig_pages_replace(mig->desc.pages, load->staged,
				       load->nr_staged, &mig->lock);
		load->staged = NULL;
	}
	mig->desc.ops->apply(mig->vdev, load->prepared);
	load->prepared = NULL;
	vfio_mig_count(mig, VFIO_MIG_LOADS, 1);
	return 0;
}

#if IS_ENABLED(CONFIG_VFIO_MIG_CORE_KUNIT_TEST)
#include "load_test.c"
#endif
