// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parser of streams
 *
 * A stream is a sequence of parts, such as a chunk's header or a page. The parser provides
 * the memory for the current part. When the part is complete, the parser checks it, acts
 * on it, and goes to the next part. So a stream can be split at any byte. load.c feeds the
 * parser, and can undo a portion.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "load.h"
#include "mig.h"
#include "parse.h"

/**
 * vfio_mig_refuse - refuse the stream for good, and log the reason
 * @mig: the device; session mutex held, resuming
 * @err: the errno
 * @fmt: the reason
 *
 * Return: @err.
 */
int vfio_mig_refuse(struct vfio_mig *mig, int err, const char *fmt, ...)
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

/* Goes to the next part of the payload. The caller checked that the part fits. */
static void payload_part(struct load_pos *pos, enum load_part part, u32 want)
{
	next_part(pos, part, want);
	pos->left -= want;
}

/**
 * vfio_mig_discard_prepared - free an object that the vendor driver prepared
 * @mig: the device; session mutex held
 * @prepared: return value of &vfio_mig_ops.prepare, or NULL
 */
void vfio_mig_discard_prepared(struct vfio_mig *mig, void *prepared)
{
	if (prepared && mig->desc.ops->discard)
		mig->desc.ops->discard(mig->vdev, prepared);
	else
		kfree(prepared);
}

/* Keeps the object from before the portion, because the portion may be undone. */
static void set_prepared(struct vfio_mig *mig, void *prepared)
{
	struct vfio_mig_load *load = mig->load;

	if (load->prepared_changed)
		vfio_mig_discard_prepared(mig, load->prepared);
	else
		load->prepared_before = load->prepared;
	load->prepared_changed = true;
	load->prepared = prepared;
}

/* Drops all staged data, because another save begins. */
static int start_over(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;
	struct load_pos *pos = &load->at.pos;
	int ret;

	ret = vfio_mig_stage_restart(&load->stage);
	if (ret)
		return ret;
	set_prepared(mig, NULL);
	pos->started = false;
	pos->pages = 0;
	pos->control_done = false;
	pos->control_checked = false;
	pos->control_have = 0;
	pos->image_begun = false;
	pos->image_off = 0;
	pos->image_left = 0;
	pos->image_done = false;
	pos->image_checked = false;
	return 0;
}

/* A header chunk starts a save. Any other chunk continues the current save. */
static int check_sequence(struct vfio_mig *mig, u16 type, u64 save_id, u32 seq)
{
	struct load_pos *pos = &mig->load->at.pos;

	if (type == VFIO_MIG_CHUNK_HEADER) {
		if (seq)
			return vfio_mig_refuse(mig, -EILSEQ,
				      "a header out of order, numbered %u",
				      seq);
		if (!pos->started)
			return 0;
		if (save_id == pos->save_id)
			return vfio_mig_refuse(mig, -EILSEQ,
				      "the same save's header once more");
		return start_over(mig);
	}
	if (!pos->started)
		return vfio_mig_refuse(mig, -EILSEQ,
			      "the stream starts with chunk %u, not a header",
			      seq);
	if (save_id != pos->save_id)
		return vfio_mig_refuse(mig, -EILSEQ, "chunk %u of another save", seq);
	if (seq != pos->seq)
		return vfio_mig_refuse(mig, -EILSEQ, "chunk %u where %u was due", seq,
			      pos->seq);
	return 0;
}

/* Starts a chunk's payload, and checks the payload's length. */
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
	case VFIO_MIG_CHUNK_IMAGE:
		if (len < sizeof(struct vfio_mig_image_hdr))
			break;
		payload_part(pos, PART_IMAGE_HDR, sizeof(struct vfio_mig_image_hdr));
		return 0;
	case VFIO_MIG_CHUNK_END:
		if (len != sizeof(struct vfio_mig_end))
			break;
		payload_part(pos, PART_END, len);
		return 0;
	default:
		if (flags & VFIO_MIG_CHUNK_F_MANDATORY)
			return vfio_mig_refuse(mig, -EPROTONOSUPPORT,
				      "unknown mandatory chunk type %u", type);
		payload_part(pos, PART_SKIP, len);
		return 0;
	}
	return vfio_mig_refuse(mig, -EBADMSG, "a chunk of type %u with %u bytes", type,
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
		return vfio_mig_refuse(mig, -EBADMSG, "no chunk starts here (%#x)",
			      le32_to_cpu(hdr->magic));
	if (hdr->hdr_sum != cpu_to_le32(sum))
		return vfio_mig_refuse(mig, -EBADMSG, "damaged chunk header");

	type = le16_to_cpu(hdr->type);
	flags = le16_to_cpu(hdr->flags);
	len = le32_to_cpu(hdr->length);
	if (flags & ~VFIO_MIG_CHUNK_F_KNOWN)
		return vfio_mig_refuse(mig, -EPROTONOSUPPORT, "unknown chunk flags %#x",
			      flags);
	if (hdr->reserved || len % VFIO_MIG_STREAM_ALIGN ||
	    (hdr->sum && !(flags & VFIO_MIG_CHUNK_F_SUM)))
		return vfio_mig_refuse(mig, -EBADMSG, "malformed chunk header");

	ret = check_sequence(mig, type, le64_to_cpu(hdr->save_id),
			     le32_to_cpu(hdr->seq));
	if (ret)
		return ret;
	pos->complete = false;
	xxh64_reset(&pos->sum, 0);
	return start_payload(mig, type, flags, len);
}

/* The type is a string with at least one NUL, and with NULs up to its end. */
static bool type_valid(const struct vfio_mig_header *h)
{
	size_t len = strnlen(h->type, sizeof(h->type));

	return len < sizeof(h->type) &&
	       !memchr_inv(h->type + len, 0, sizeof(h->type) - len);
}

static int check_header(struct vfio_mig *mig, const struct vfio_mig_header *h)
{
	struct vfio_mig_pages *pages = mig->desc.pages;
	u64 nr_pages = pages ? pages->nr : 0, features = le64_to_cpu(h->features);
	bool image = features & VFIO_MIG_STREAM_F_IMAGE;
	u32 version = le32_to_cpu(h->control_version);

	if (le32_to_cpu(h->page_size) != VFIO_MIG_STREAM_PAGE_SIZE)
		return vfio_mig_refuse(mig, -EPROTONOSUPPORT, "pages of %u bytes",
			      le32_to_cpu(h->page_size));
	if (features & ~VFIO_MIG_STREAM_F_KNOWN)
		return vfio_mig_refuse(mig, -EPROTONOSUPPORT, "unknown features %#llx",
			      features);
	if (!type_valid(h))
		return vfio_mig_refuse(mig, -EBADMSG, "malformed device type");
	if (strcmp(h->type, mig->desc.type))
		return vfio_mig_refuse(mig, -ENODEV, "a state of '%*pE', this is '%s'",
			      (int)strlen(h->type), h->type, mig->desc.type);
	if (image != !!mig->desc.image)
		return vfio_mig_refuse(mig, -ENODEV,
			      "a state with%s an image, this device has %s",
			      image ? "" : "out", image ? "none" : "one");
	if (le64_to_cpu(h->nr_pages) != nr_pages)
		return vfio_mig_refuse(mig, -ENODEV,
			      "a state of %llu pages, this device has %llu",
			      le64_to_cpu(h->nr_pages), nr_pages);
	if (version < vfio_mig_version_min(mig) ||
	    version > mig->desc.control_version)
		return vfio_mig_refuse(mig, -EPROTONOSUPPORT,
			      "control state version %u, this driver reads %u to %u",
			      version, vfio_mig_version_min(mig),
			      mig->desc.control_version);
	if (le32_to_cpu(h->control_max) != mig->desc.control_max)
		return vfio_mig_refuse(mig, -ENODEV,
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
		return vfio_mig_refuse(mig, -EPROTONOSUPPORT,
			      "stream version %u, this driver reads %u",
			      version, VFIO_MIG_STREAM_VERSION);
	if (pos->want != sizeof(*h))
		return vfio_mig_refuse(mig, -EBADMSG, "a header of %u bytes", pos->want);
	ret = check_header(mig, h);
	if (ret)
		return ret;
	pos->started = true;
	pos->save_id = le64_to_cpu(pos->hdr.save_id);
	pos->control_version = le32_to_cpu(h->control_version);
	return 0;
}

static int take_pages_hdr(struct vfio_mig *mig)
{
	const struct vfio_mig_pages_hdr *h = (void *)mig->load->at.buf;
	struct load_pos *pos = &mig->load->at.pos;
	u32 nr = le32_to_cpu(h->nr_pages), runs = le32_to_cpu(h->runs_bytes);
	u32 padded = ALIGN(runs, VFIO_MIG_STREAM_ALIGN);

	if (!mig->desc.pages)
		return vfio_mig_refuse(mig, -EINVAL, "pages for a device without any");
	if (nr > VFIO_MIG_STREAM_PAGES_MAX || !runs ||
	    runs > VFIO_MIG_STREAM_RUNS_BYTES_MAX ||
	    pos->left != padded + nr * PAGE_SIZE)
		return vfio_mig_refuse(mig, -EBADMSG,
			      "%u pages and %u bytes of runs in %u bytes", nr,
			      runs, pos->left);

	/*
	 * The runs are stored behind their header, because the header is still needed. So the new
	 * part includes the header, which was subtracted from the payload before.
	 */
	payload_part(pos, PART_RUNS, sizeof(*h) + padded);
	pos->left += sizeof(*h);
	pos->have = sizeof(*h);
	return 0;
}

/* Reads one LEB128 number. Returns false if the bytes are not a valid number. */
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
	/* Each number has only one valid form, which has no leading zeros. */
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
		return vfio_mig_refuse(mig, -EBADMSG, "padding that is not zero");

	/* Bit 0 of a gap: the length follows. Bit 1: the run is a hole. */
	while (from < end) {
		if (n == VFIO_MIG_STREAM_RUNS_MAX)
			return vfio_mig_refuse(mig, -EBADMSG, "too many runs");
		if (!get_leb128(&from, end, &gap))
			return vfio_mig_refuse(mig, -EBADMSG, "malformed runs");
		len = 1;
		if ((gap & 1) && (!get_leb128(&from, end, &len) || len < 2))
			return vfio_mig_refuse(mig, -EBADMSG, "malformed runs");
		/* Differences instead of sums, because a sum could overflow. */
		if (next > nr || gap >> 2 > nr - next ||
		    len > nr - next - (gap >> 2))
			return vfio_mig_refuse(mig, -EINVAL,
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
		return vfio_mig_refuse(mig, -EBADMSG, "runs of %llu pages for %u", data,
			      le32_to_cpu(h->nr_pages));
	load->at.pos.nr_runs = n;
	return 0;
}

/* Stages holes up to the next page with data, and goes to this page. */
static int next_page(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;
	struct load_pos *pos = &load->at.pos;

	while (pos->run < pos->nr_runs) {
		struct load_run *run = &load->at.runs[pos->run];
		int ret;

		if (!run->hole && pos->run_page < run->len) {
			payload_part(pos, PART_PAGE, PAGE_SIZE);
			return 0;
		}
		if (run->hole) {
			ret = vfio_mig_stage_hole(&load->stage, run->start,
						  run->len);
			if (ret)
				return ret;
		}
		pos->run++;
		pos->run_page = 0;
	}
	payload_part(pos, PART_PADDING, pos->left);
	return 0;
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
	return next_page(mig);
}

/* Stages a complete page. */
static int take_page(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;
	struct load_pos *pos = &load->at.pos;
	int ret;

	ret = vfio_mig_stage_page(&load->stage, load->at.runs[pos->run].start +
						pos->run_page);
	if (ret)
		return ret;
	pos->pages++;
	pos->run_page++;
	return next_page(mig);
}

/*
 * A new control state replaces the present one. A state from before the open portion
 * stays in the other buffer, because the portion may be undone.
 */
static int new_control(struct vfio_mig *mig, u32 total)
{
	struct vfio_mig_load *load = mig->load;
	const struct load_pos *before = &load->before.pos;
	struct load_pos *pos = &load->at.pos;
	bool keep = before->control_have || before->part == PART_CONTROL;

	if (keep && pos->control_slot == before->control_slot) {
		u8 slot = !pos->control_slot;

		if (!load->control[slot])
			load->control[slot] = kvzalloc(mig->desc.control_max,
						       VFIO_MIG_GFP);
		if (!load->control[slot])
			return -ENOMEM;
		pos->control_slot = slot;
	}
	pos->control_total = total;
	pos->control_have = 0;
	pos->control_done = false;
	pos->control_checked = false;
	return 0;
}

static int take_control_hdr(struct vfio_mig *mig)
{
	const struct vfio_mig_control_hdr *h = (void *)mig->load->at.buf;
	u32 total = le32_to_cpu(h->total), offset = le32_to_cpu(h->offset);
	u32 len = le32_to_cpu(h->length);
	struct load_pos *pos = &mig->load->at.pos;
	int ret;

	if (h->reserved || len > VFIO_MIG_STREAM_CONTROL_PIECE ||
	    pos->left != ALIGN(len, VFIO_MIG_STREAM_ALIGN))
		return vfio_mig_refuse(mig, -EBADMSG, "%u bytes of control state in %u",
			      len, pos->left);
	if (total > mig->desc.control_max)
		return vfio_mig_refuse(mig, -EBADMSG, "%u bytes of control state",
			      total);
	if (!offset) {
		ret = new_control(mig, total);
		if (ret)
			return ret;
	}
	if (total != pos->control_total || offset != pos->control_have ||
	    len > total - offset || (!len && total))
		return vfio_mig_refuse(mig, -EBADMSG,
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

static int take_image_hdr(struct vfio_mig *mig)
{
	const struct vfio_mig_image_hdr *h = (void *)mig->load->at.buf;
	u64 offset = le64_to_cpu(h->offset), left = le64_to_cpu(h->left);
	u32 len = le32_to_cpu(h->length), flags = le32_to_cpu(h->flags);
	bool final = flags & VFIO_MIG_IMAGE_F_FINAL;
	struct load_pos *pos = &mig->load->at.pos;

	if (!mig->desc.image)
		return vfio_mig_refuse(mig, -EINVAL, "an image for a device without any");
	if (flags & ~VFIO_MIG_IMAGE_F_FINAL || len > VFIO_MIG_STREAM_IMAGE_PIECE ||
	    pos->left != ALIGN(len, VFIO_MIG_STREAM_ALIGN) ||
	    (left && !final) || (!len && (left || !final)))
		return vfio_mig_refuse(mig, -EBADMSG,
			      "an image's piece of %u bytes in %u, flags %#x, %llu to come",
			      len, pos->left, flags, left);
	if (offset != pos->image_off)
		return vfio_mig_refuse(mig, -EBADMSG,
			      "an image's piece at %llu where %llu was due", offset,
			      pos->image_off);
	if (left > mig->desc.image_max || len > mig->desc.image_max - left)
		return vfio_mig_refuse(mig, -EBADMSG,
			      "%u and %llu bytes of image, this device has at most %llu",
			      len, left, mig->desc.image_max);
	if (pos->image_done && !final)
		return vfio_mig_refuse(mig, -EBADMSG,
			      "%u bytes of image that are not final, after its end", len);
	if (pos->image_left && (!final || left + len != pos->image_left))
		return vfio_mig_refuse(mig, -EBADMSG,
			      "%u and %llu bytes of image where %llu were announced",
			      len, left, pos->image_left);
	pos->image_len = len;
	pos->image_final = final;
	pos->image_next = left;
	payload_part(pos, PART_IMAGE, len);
	return 0;
}

/* Called after the first valid piece, because the driver cannot undo load_begin(). */
static int begin_image(struct vfio_mig *mig)
{
	const struct vfio_mig_image_ops *ops = mig->desc.image;
	int ret;

	vfio_mig_parse_image_end(mig);
	ret = ops->load_begin ? ops->load_begin(mig->vdev) : 0;
	if (ret)
		return vfio_mig_refuse(mig, vfio_mig_image_error(ret),
			      "the device takes no image now");
	mig->load->image_begun = true;
	mig->load->at.pos.image_begun = true;
	return 0;
}

/* Gives the driver a piece whose checksum is right. */
static int take_image(struct vfio_mig *mig)
{
	const struct vfio_mig_image_ops *ops = mig->desc.image;
	struct load_pos *pos = &mig->load->at.pos;
	int ret = 0;

	mig->load->handed_over = true;
	if (!pos->image_begun)
		ret = begin_image(mig);
	if (ret)
		return ret;
	if (pos->image_len)
		ret = ops->write(mig->vdev, pos->image_final ? VFIO_MIG_IMAGE_STOPPED :
							       VFIO_MIG_IMAGE_PRECOPY,
				 pos->image_off, mig->load->piece, pos->image_len);
	if (ret)
		return vfio_mig_refuse(mig, vfio_mig_image_error(ret),
			      "the device does not take its image at %llu",
			      pos->image_off);
	pos->image_off += pos->image_len;
	pos->image_left = pos->image_next;
	pos->image_done = pos->image_final && !pos->image_left;
	pos->image_checked = false;
	return 0;
}

/**
 * vfio_mig_parse_image_end - tell the driver that the load of its image is over
 * @mig: the device; session mutex held, resuming. The device may have no image.
 */
void vfio_mig_parse_image_end(struct vfio_mig *mig)
{
	const struct vfio_mig_image_ops *ops = mig->desc.image;

	if (mig->load->image_begun && ops->load_end)
		ops->load_end(mig->vdev);
	mig->load->image_begun = false;
}

static int check_image(struct vfio_mig *mig)
{
	const struct vfio_mig_image_ops *ops = mig->desc.image;
	struct load_pos *pos = &mig->load->at.pos;
	int ret;

	if (!ops || pos->image_checked)
		return 0;
	mig->load->handed_over = true;
	ret = ops->check ? ops->check(mig->vdev, pos->control_version) : 0;
	if (ret)
		return vfio_mig_refuse(mig, vfio_mig_image_error(ret),
			      "the device cannot use its image");
	pos->image_checked = true;
	return 0;
}

static int check_control(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;
	struct load_pos *pos = &load->at.pos;
	void *prepared;

	if (pos->control_checked || !mig->desc.ops->prepare)
		return 0;
	prepared = mig->desc.ops->prepare(mig->vdev, pos->control_version,
					  load->control[pos->control_slot],
					  pos->control_total);
	if (prepared == ERR_PTR(-ENOMEM))
		return -ENOMEM;
	if (IS_ERR(prepared))
		return vfio_mig_refuse(mig, PTR_ERR(prepared),
			      "the device cannot be in such a state");
	set_prepared(mig, prepared);
	pos->control_checked = true;
	return 0;
}

/* The last chunk: checks and allocates everything, because applying cannot fail. */
static int take_end(struct vfio_mig *mig)
{
	const struct vfio_mig_end *e = (void *)mig->load->at.buf;
	struct load_pos *pos = &mig->load->at.pos;
	int ret;

	if (le64_to_cpu(e->pages_sent) != pos->pages)
		return vfio_mig_refuse(mig, -EBADMSG, "%llu pages came, %llu were sent",
			      pos->pages, le64_to_cpu(e->pages_sent));
	if (!pos->control_done)
		return vfio_mig_refuse(mig, -EBADMSG, "the end without control state");

	if (mig->desc.image && !pos->image_done)
		return vfio_mig_refuse(mig, -EBADMSG, "the end without a whole image");

	/* Several END chunks may follow each other. Only new data are checked. */
	ret = check_control(mig);
	if (!ret)
		ret = check_image(mig);
	pos->complete = !ret;
	return ret;
}

/* Takes a complete part. */
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
	case PART_IMAGE_HDR:
		return take_image_hdr(mig);
	case PART_IMAGE:
		payload_part(pos, PART_PADDING, pos->left);
		return 0;
	case PART_PADDING:
		if (memchr_inv(mig->load->at.buf, 0, pos->want))
			return vfio_mig_refuse(mig, -EBADMSG,
				      "padding that is not zero");
		fallthrough;
	default:
		next_part(pos, PART_CHUNK_HDR, 0);
		return 0;
	}
}

/*
 * Ends a payload and checks its checksum. Only then a header, an END and a piece of an image
 * take effect. Pages and control state were staged before, and a refused stream drops them.
 */
static int end_chunk(struct vfio_mig *mig, enum load_part last)
{
	struct load_pos *pos = &mig->load->at.pos;
	int ret = 0;

	if ((le16_to_cpu(pos->hdr.flags) & VFIO_MIG_CHUNK_F_SUM) &&
	    xxh64_digest(&pos->sum) != le64_to_cpu(pos->hdr.sum))
		return vfio_mig_refuse(mig, -EBADMSG, "damaged chunk, type %u",
			      le16_to_cpu(pos->hdr.type));
	if (last == PART_HEADER)
		ret = take_header(mig);
	else if (last == PART_END)
		ret = take_end(mig);
	else if (pos->hdr.type == cpu_to_le16(VFIO_MIG_CHUNK_IMAGE))
		ret = take_image(mig);
	if (ret)
		return ret;
	pos->seq = le32_to_cpu(pos->hdr.seq) + 1;
	next_part(pos, PART_CHUNK_HDR, sizeof(pos->hdr));
	return 0;
}

/**
 * vfio_mig_parse_target - provide memory for the next bytes of a stream
 * @mig: the device; session mutex held, resuming
 * @p: the current portion, which gets the memory. The memory is a part of the load or of
 *	a page.
 *
 * Parts that the parser skips use a buffer.
 *
 * Return: 0, -ENOMEM or -ENOSPC.
 */
int vfio_mig_parse_target(struct vfio_mig *mig, struct vfio_mig_portion *p)
{
	struct vfio_mig_load *load = mig->load;
	struct load_pos *pos = &load->at.pos;
	size_t room = pos->want - pos->have;
	struct page *page;

	switch (pos->part) {
	case PART_PAGE:
		page = vfio_mig_stage_fill(&load->stage);
		if (IS_ERR(page))
			return PTR_ERR(page);
		get_page(page);
		p->page = page;
		p->to = page_address(page) + pos->have;
		break;
	case PART_CONTROL:
		p->to = load->control[pos->control_slot] + pos->control_have +
			pos->have;
		break;
	case PART_IMAGE:
		p->to = load->piece + pos->have;
		break;
	case PART_SKIP:
		room = min_t(size_t, room, BUF_MAX);
		p->to = load->at.buf;
		break;
	default:
		p->to = load->at.buf + pos->have;
		break;
	}
	p->room = min(room, p->left);
	return 0;
}

/**
 * vfio_mig_parse_bytes - parse bytes of the current part
 * @mig: the device; session mutex held, resuming
 * @from: the memory that vfio_mig_parse_target() provided
 * @n: number of bytes
 *
 * Return: 0, the errno that refuses the stream, or -ENOMEM or -EINTR.
 */
int vfio_mig_parse_bytes(struct vfio_mig *mig, const void *from, size_t n)
{
	struct load_pos *pos = &mig->load->at.pos;
	enum load_part part = pos->part;

	if (part != PART_CHUNK_HDR)
		xxh64_update(&pos->sum, from, n);
	pos->have += n;
	if (pos->have < pos->want)
		return 0;

	/* A part of 0 bytes is complete without more input. */
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

/**
 * vfio_mig_parse_start - prepare for the first chunk of a stream
 * @pos: zeroed
 */
void vfio_mig_parse_start(struct load_pos *pos)
{
	next_part(pos, PART_CHUNK_HDR, sizeof(pos->hdr));
}

#if IS_ENABLED(CONFIG_VFIO_MIG_CORE_KUNIT_TEST)
#include "load_test.c"
#endif
