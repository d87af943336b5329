// SPDX-License-Identifier: GPL-2.0-only
/*
 * A random change of a stream makes its first checksum wrong, so the code behind that check
 * is never reached. So this file repairs the checksums after most changes, and sometimes
 * the numbers of the chunks. Sometimes it changes whole chunks.
 */
#include <uapi/linux/vfio_mig_stream.h>

#include "mutate.h"

size_t LLVMFuzzerMutate(u8 *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(u8 *data, size_t size, size_t max,
			       unsigned int seed);

#define HDR	sizeof(struct vfio_mig_chunk_hdr)
#define CHUNKS	32

/* Finds the starts of chunks, as far as the lengths are valid. */
static size_t find_chunks(const u8 *data, size_t size, size_t *at)
{
	struct vfio_mig_chunk_hdr h;
	size_t n = 0, pos = OPTIONS;

	while (n < CHUNKS && pos + HDR <= size) {
		memcpy(&h, data + pos, HDR);
		at[n++] = pos;
		if (le32_to_cpu(h.length) > size - pos - HDR)
			break;
		pos += HDR + le32_to_cpu(h.length);
	}
	at[n] = min(pos, size);
	return n;
}

static void mend_chunk(u8 *chunk, size_t size, size_t nr, bool number)
{
	struct vfio_mig_chunk_hdr h;

	memcpy(&h, chunk, HDR);
	h.magic = cpu_to_le32(VFIO_MIG_STREAM_MAGIC);
	if (number) {
		h.seq = cpu_to_le32(nr);
		h.save_id = cpu_to_le64(1);
		h.reserved = 0;
		h.flags &= cpu_to_le16(VFIO_MIG_CHUNK_F_KNOWN);
	}
	if (h.flags & cpu_to_le16(VFIO_MIG_CHUNK_F_SUM))
		h.sum = cpu_to_le64(xxh64(chunk + HDR,
					  min(size - HDR, le32_to_cpu(h.length)),
					  0));
	h.hdr_sum = cpu_to_le32(xxh64(&h, offsetof(typeof(h), hdr_sum), 0));
	memcpy(chunk, &h, HDR);
}

static void mend(u8 *data, size_t size, bool number)
{
	size_t at[CHUNKS + 1], i, n = find_chunks(data, size, at);

	for (i = 0; i < n; i++)
		mend_chunk(data + at[i], size - at[i], i, number);
}

/* Removes a chunk, repeats it, or swaps it with the next one. */
static size_t change_chunks(u8 *data, size_t size, size_t max, unsigned int seed)
{
	size_t at[CHUNKS + 1], n = find_chunks(data, size, at), i, len;

	if (n < 2)
		return size;
	i = seed / 4 % (n - 1);
	len = at[i + 1] - at[i];
	if (seed % 4 == 0) {
		memmove(data + at[i], data + at[i + 1], size - at[i + 1]);
		return size - len;
	}
	if (size + len > max)
		return size;
	memmove(data + at[i + 1], data + at[i], size - at[i]);
	return size + len;
}

size_t LLVMFuzzerCustomMutator(u8 *data, size_t size, size_t max,
			       unsigned int seed)
{
	if (seed % 8 == 7)
		size = change_chunks(data, size, max, seed / 8);
	else
		size = LLVMFuzzerMutate(data, size, max);
	if (seed / 64 % 8)
		mend(data, size, seed / 512 % 2);
	return size;
}
