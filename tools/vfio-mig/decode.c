// SPDX-License-Identifier: GPL-2.0-only
/* Decodes a stream: its chunks, their order, and the bytes between them. */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "decode-priv.h"

/*
 * Reports a problem at a place. A device refuses the stream with the errno of the first
 * problem.
 */
int problem_at(struct decoder *d, __u64 at, int err, const char *fmt, ...)
{
	struct decode_problem p = { .at = at, .chunk = d->seq, .err = err };
	va_list args;

	va_start(args, fmt);
	vsnprintf(p.text, sizeof(p.text), fmt, args);
	va_end(args);
	d->totals->problems++;
	d->ops->problem(d->ctx, &p);
	return err;
}

/* Waits if a read failed only because the input does not block, and has no data yet. */
static bool read_again(FILE *in)
{
	struct pollfd ready = { .fd = fileno(in), .events = POLLIN };

	if (!ferror(in) || errno != EAGAIN)
		return false;
	clearerr(in);
	poll(&ready, 1, -1);
	return true;
}

static size_t get(struct decoder *d, void *buf, size_t len)
{
	size_t n = 0;

	do {
		errno = 0;
		n += fread(buf + n, 1, len - n, d->in);
	} while (n < len && read_again(d->in));
	if (n < len && ferror(d->in) && !d->read_error)
		d->read_error = errno ? -errno : -EIO;
	d->at += n;
	return n;
}

/* Returns EOF at the end of the stream. */
static int get_byte(struct decoder *d)
{
	int c;

	do {
		errno = 0;
		c = getc_unlocked(d->in);
	} while (c == EOF && read_again(d->in));
	if (c != EOF)
		d->at++;
	else if (ferror(d->in) && !d->read_error)
		d->read_error = errno ? -errno : -EIO;
	return c;
}

static __u32 header_sum(const struct vfio_mig_chunk_hdr *hdr)
{
	return XXH64(hdr, offsetof(struct vfio_mig_chunk_hdr, hdr_sum), 0);
}

static bool is_chunk(const struct vfio_mig_chunk_hdr *hdr)
{
	return le32toh(hdr->magic) == VFIO_MIG_STREAM_MAGIC &&
	       le32toh(hdr->hdr_sum) == header_sum(hdr);
}

/* Searches byte by byte for the start of a chunk. Returns false at the end of the stream. */
static bool find_chunk(struct decoder *d, struct vfio_mig_chunk_hdr *hdr)
{
	unsigned char *bytes = (unsigned char *)hdr;
	int c;

	do {
		c = get_byte(d);
		if (c == EOF)
			return false;
		memmove(bytes, bytes + 1, sizeof(*hdr) - 1);
		bytes[sizeof(*hdr) - 1] = c;
	} while (!is_chunk(hdr));
	return true;
}

/* Returns false at the end of the stream. */
static bool next_header(struct decoder *d, struct vfio_mig_chunk_hdr *hdr)
{
	__u64 at = d->at;
	size_t n;

	n = get(d, hdr, sizeof(*hdr));
	if (!n)
		return false;
	if (n < sizeof(*hdr)) {
		problem_at(d, at, ENODATA,
			   "the stream ends in a chunk's header, after %zu bytes",
			   n);
		return false;
	}
	if (is_chunk(hdr))
		return true;

	if (le32toh(hdr->magic) != VFIO_MIG_STREAM_MAGIC)
		problem_at(d, at, EBADMSG, "no chunk starts here: the magic is %#x",
			   le32toh(hdr->magic));
	else
		problem_at(d, at, EBADMSG, "the chunk header's sum is wrong");
	if (find_chunk(d, hdr)) {
		problem_at(d, at, EBADMSG, "%llu bytes are skipped up to the next chunk",
			   (d->at - sizeof(*hdr) - at));
		return true;
	}
	problem_at(d, at, EBADMSG, "no other chunk up to the end, %llu bytes on",
		   (d->at - at));
	return false;
}

/* Reads the payload. If the payload is too long to be valid, only its checksum is computed. */
static bool get_payload(struct decoder *d, const struct vfio_mig_chunk_hdr *hdr,
			__u64 at)
{
	__u32 length = le32toh(hdr->length), left = length;
	XXH64_state_t sum;
	size_t want, n;

	XXH64_reset(&sum, 0);
	while (left) {
		want = left < sizeof(d->payload) ? left : sizeof(d->payload);
		n = get(d, d->payload, want);
		XXH64_update(&sum, d->payload, n);
		left -= n;
		if (n < want) {
			problem_at(d, at, ENODATA,
				   "the stream ends in this chunk, after %u of %u bytes",
				   length - left, length);
			return false;
		}
	}
	if ((le16toh(hdr->flags) & VFIO_MIG_CHUNK_F_SUM) &&
	    XXH64_digest(&sum) != le64toh(hdr->sum)) {
		problem_at(d, at, EBADMSG, "the payload's sum is wrong: the %u bytes are damaged",
			   length);
		return false;
	}
	return true;
}

/* Checks whether the chunk has the expected place. Later chunks are compared with this chunk. */
static void check_sequence(struct decoder *d, const struct decode_chunk *c)
{
	if (c->type == VFIO_MIG_CHUNK_HEADER) {
		if (c->seq)
			problem_at(d, c->at, EILSEQ, "a header is numbered %u",
				   c->seq);
		else if (d->started && c->save_id == d->save_id)
			problem_at(d, c->at, EILSEQ, "the same save's header comes once more");
		d->started = true;
	} else if (!d->started) {
		problem_at(d, c->at, EILSEQ, "the stream starts with chunk %u, not with a header",
			   c->seq);
		d->started = true;
	} else if (c->save_id != d->save_id) {
		problem_at(d, c->at, EILSEQ, "this is chunk %u of another save, %016llx",
			   c->seq, c->save_id);
	} else if (c->seq != d->seq) {
		problem_at(d, c->at, EILSEQ, "this is chunk %u, %s", c->seq,
			   c->seq < d->seq ? "which came before or is out of order" :
					     "some before it are missing");
	}
	d->save_id = c->save_id;
	d->seq = c->seq;
}

static void check_header(struct decoder *d, const struct decode_chunk *c,
			 const struct vfio_mig_chunk_hdr *hdr)
{
	if (c->flags & ~VFIO_MIG_CHUNK_F_KNOWN)
		problem_at(d, c->at, EPROTONOSUPPORT, "unknown chunk flags %#x",
			   c->flags);
	if (hdr->reserved || c->length % VFIO_MIG_STREAM_ALIGN ||
	    (hdr->sum && !(c->flags & VFIO_MIG_CHUNK_F_SUM)))
		problem_at(d, c->at, EBADMSG, "a malformed chunk header");
}

static int one_chunk(struct decoder *d, const struct vfio_mig_chunk_hdr *hdr)
{
	struct decode_chunk c = {
		.at = d->at - sizeof(*hdr),
		.type = le16toh(hdr->type),
		.flags = le16toh(hdr->flags),
		.save_id = le64toh(hdr->save_id),
		.seq = le32toh(hdr->seq),
		.length = le32toh(hdr->length),
	};
	int ret = 0;

	check_header(d, &c, hdr);
	check_sequence(d, &c);
	d->totals->complete = false;
	if (get_payload(d, hdr, c.at) && !decode_payload(d, &c)) {
		d->totals->chunks++;
		ret = d->ops->chunk(d->ctx, &c);
	}
	d->seq++;
	return ret;
}

/*
 * Decodes a stream. Returns 0, -ENOMEM, the errno of a read that failed, or the value with
 * which a callback ended the decoding. A callback gets the problems of the stream.
 */
int decode(FILE *in, const struct decode_ops *ops, void *ctx,
	   struct decode_totals *totals)
{
	struct vfio_mig_chunk_hdr hdr;
	struct decoder *d;
	int ret = 0;

	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->in = in;
	d->ops = ops;
	d->ctx = ctx;
	d->totals = totals;
	memset(totals, 0, sizeof(*totals));

	while (!ret && next_header(d, &hdr))
		ret = one_chunk(d, &hdr);
	totals->bytes = d->at;
	if (!ret)
		ret = d->read_error;
	if (!ret && !totals->problems && !totals->complete)
		problem_at(d, d->at, ENODATA, "%s", d->at ?
			   "the stream is not complete: its last chunk is no end" :
			   "there is nothing in it");
	totals->complete &= !totals->problems;
	free(d);
	return ret;
}
