// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz target: the reader of streams. The input is four bytes that describe how the stream is
 * given, and the stream.
 *
 * The stream is given three times: in one piece, in portions, and in portions while an
 * allocation and a copy fail once and are repeated. The result and the state must be the same
 * each time. The fourth time the test omits each portion that fails. Then the result and the
 * state must be those of the portions that were taken.
 */
#include "memory_device.h"
#include "mutate.h"

/**
 * struct way - how a stream is given
 * @portion: bytes of a portion, 0 for the whole stream at once
 * @fail: number of the allocation that fails, counted from 1; 0 for none
 * @fault: byte of the stream at which user memory cannot be read once; 0 for none
 */
struct way {
	size_t portion;
	unsigned int fail;
	size_t fault;
};

static bool again(int ret)
{
	return ret == -ENOMEM || ret == -EFAULT;
}

/* Gives a portion. After a lack of memory or a fault the portion is given again. */
static int give(struct memory_device *dev, const u8 *data, size_t len,
		size_t fault)
{
	int ret = feed(&dev->mig, data, len, fault);

	/* The failure is final, because the portion had dropped older data. */
	if (!again(ret) || vfio_mig_load_error(&dev->mig))
		return ret;
	fail_nth = 0;
	return feed(&dev->mig, data, len, SIZE_MAX);
}

static int give_all(struct memory_device *dev, const u8 *data, size_t len,
		    const struct way *way)
{
	size_t at, n;
	int ret = 0;

	for (at = 0; at < len && !ret; at += n) {
		n = way->portion ? min(way->portion, len - at) : len;
		ret = give(dev, data + at, n,
			   way->fault > at ? way->fault - at : SIZE_MAX);
	}
	fail_nth = 0;
	return ret;
}

/* Returns the size of the chunk that starts here, or all that is left. */
static size_t chunk_size(const u8 *data, size_t left)
{
	struct vfio_mig_chunk_hdr h;

	if (left < sizeof(h))
		return left;
	memcpy(&h, data, sizeof(h));
	return min(sizeof(h) + le32_to_cpu(h.length), left);
}

static bool chunk_starts_save(const u8 *chunk, size_t len)
{
	struct vfio_mig_chunk_hdr h;

	if (len < sizeof(h))
		return false;
	memcpy(&h, chunk, sizeof(h));
	return h.type == cpu_to_le16(VFIO_MIG_CHUNK_HEADER);
}

/* Returns the number of pages that a chunk announces. */
static u64 chunk_pages(const u8 *chunk, size_t len)
{
	struct vfio_mig_pages_hdr pages;
	struct vfio_mig_chunk_hdr h;

	if (len < sizeof(h) + sizeof(pages))
		return 0;
	memcpy(&h, chunk, sizeof(h));
	memcpy(&pages, chunk + sizeof(h), sizeof(pages));
	return h.type == cpu_to_le16(VFIO_MIG_CHUNK_PAGES) ?
	       le32_to_cpu(pages.nr_pages) : 0;
}

/* Makes a chunk the next one after @nr chunks and @pages pages that were taken. */
static void mend_chunk(u8 *chunk, size_t len, u32 nr, u64 pages)
{
	struct vfio_mig_end end = { .pages_sent = cpu_to_le64(pages) };
	struct vfio_mig_chunk_hdr h;

	if (len < sizeof(h))
		return;
	memcpy(&h, chunk, sizeof(h));
	if (h.type == cpu_to_le16(VFIO_MIG_CHUNK_HEADER))
		return;
	h.seq = cpu_to_le32(nr);
	if (h.type == cpu_to_le16(VFIO_MIG_CHUNK_END) && len == sizeof(h) + sizeof(end)) {
		memcpy(chunk + sizeof(h), &end, sizeof(end));
		h.sum = h.flags & cpu_to_le16(VFIO_MIG_CHUNK_F_SUM) ?
			cpu_to_le64(xxh64(&end, sizeof(end), 0)) : 0;
	}
	h.hdr_sum = cpu_to_le32(xxh64(&h, offsetof(typeof(h), hdr_sum), 0));
	memcpy(chunk, &h, sizeof(h));
}

/*
 * Each portion is a chunk. A chunk that fails is not given again. The next chunk takes its
 * place, with a matching number and a matching end.
 */
static int give_others(struct memory_device *dev, const u8 *data, size_t len,
		       const struct way *way, struct stream *taken)
{
	size_t at, n, room;
	u64 pages = 0;
	int ret = 0;
	u32 nr = 0;
	u8 *chunk;

	for (at = 0; at < len && !ret; at += n) {
		n = chunk_size(data + at, len - at);
		room = taken->len;
		stream_append(taken, data + at, n);
		chunk = taken->data + room;
		mend_chunk(chunk, n, nr, pages);
		fail_nth = way->fail;
		ret = feed(&dev->mig, chunk, n,
			   way->fault >= at ? way->fault - at : SIZE_MAX);
		if (again(ret) && !vfio_mig_load_error(&dev->mig)) {
			taken->len = room;
			ret = 0;
			continue;
		}
		nr = chunk_starts_save(chunk, n) ? 1 : nr + 1;
		pages = nr == 1 ? 0 : pages + chunk_pages(chunk, n);
	}
	fail_nth = 0;
	return ret;
}

/*
 * Loads a stream into an existing device. Returns the result. @taken gets the data that the
 * device took. If @taken is NULL, the device must take all data.
 */
static int load(struct memory_device *dev, const u8 *data, size_t len,
		const struct way *way, struct stream *taken)
{
	int ret;

	must(!vfio_mig_load_begin(&dev->mig));
	fail_nth = way->fail;
	ret = taken ? give_others(dev, data, len, way, taken) :
		      give_all(dev, data, len, way);
	if (ret) {
		/* A refused stream stays refused, whatever follows. */
		must(vfio_mig_load_error(&dev->mig) == ret);
		must(feed(&dev->mig, data, len, SIZE_MAX) == ret || !len);
		must(vfio_mig_load_apply(&dev->mig) == ret);
	} else {
		ret = vfio_mig_load_apply(&dev->mig);
		must(!ret || ret == -ENODATA);
	}
	vfio_mig_load_end(&dev->mig);
	/* Frees the memory that the load replaced. */
	run_work();
	return ret;
}

static void same_page(struct memory_device *a, struct memory_device *b, pgoff_t i)
{
	struct page *pa = xa_load(a->pages.xa, i), *pb = xa_load(b->pages.xa, i);

	must(!pa == !pb);
	must(!pa || !memcmp(page_address(pa), page_address(pb), PAGE_SIZE));
}

static void same(struct memory_device *a, struct memory_device *b)
{
	pgoff_t i;

	must(a->control_len == b->control_len);
	must(!memcmp(a->control, b->control, a->control_len));
	must(a->image_len == b->image_len);
	must(!memcmp(a->image, b->image, a->image_len));
	must(vfio_mig_pages_resident(&a->pages) ==
	     vfio_mig_pages_resident(&b->pages));
	must(a->budget.used.v == b->budget.used.v);
	for (i = 0; i < DEVICE_PAGES; i++)
		same_page(a, b, i);
}

/* Gives the device a state, which it must keep if it refuses a stream. */
static void old_state(struct memory_device *dev, unsigned int has)
{
	device_init(dev, has);
	device_fill(dev, 1, 0xee);
	device_fill(dev, 40, 0xee);
	dev->control_len = 3;
	memcpy(dev->control, "old", 3);
	dev->image_len = 5;
	memcpy(dev->image, "older", 5);
}

/* A loaded state must save and load again as the same state. */
static void round_trip(struct memory_device *dev, unsigned int has)
{
	static const struct way whole;
	struct memory_device other;
	struct stream s;

	save_all(&dev->mig, VFIO_MIG_CHUNK_ROOM_MIN, &s);
	old_state(&other, has);
	must(!load(&other, s.data, s.len, &whole, NULL));
	must(other.control_len == dev->control_len);
	must(!memcmp(other.control, dev->control, dev->control_len));
	must(other.image_len == dev->image_len);
	must(!memcmp(other.image, dev->image, dev->image_len));
	free(s.data);
	device_destroy(&other);
}

/* After each failure the stream continues with something else. */
static void differently(const u8 *data, size_t size, const struct way *way,
			unsigned int has)
{
	static const struct way whole;
	struct memory_device a, b;
	struct stream taken = { 0 };
	int ret;

	old_state(&a, has);
	ret = load(&a, data, size, way, &taken);
	/* Unless a failure was final */
	if (!again(ret)) {
		old_state(&b, has);
		must(load(&b, taken.data, taken.len, &whole, NULL) == ret);
		same(&a, &b);
		device_destroy(&b);
	}
	free(taken.data);
	device_destroy(&a);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const struct way whole;
	struct memory_device a, b;
	struct way way = { 0 };
	unsigned int has;
	int ret, other;

	if (size < OPTIONS)
		return 0;
	has = (data[0] & 1 ? 0 : DEVICE_HAS_PAGES) |
	      (data[0] & 4 ? DEVICE_HAS_IMAGE : 0);
	way.portion = 1 + data[1] * 5;
	data += OPTIONS;
	size -= OPTIONS;

	old_state(&a, has);
	ret = load(&a, data, size, &whole, NULL);
	old_state(&b, has);
	must(load(&b, data, size, &way, NULL) == ret);
	same(&a, &b);
	device_destroy(&b);

	way.portion = data[-4] & 2 ? way.portion : 0;
	way.fail = data[-2];
	way.fault = data[-1] * 64;
	old_state(&b, has);
	other = load(&b, data, size, &way, NULL);
	/* Unless a failure was final */
	must(other == ret || again(other));
	if (other == ret)
		same(&a, &b);
	device_destroy(&b);
	differently(data, size, &way, has);

	if (!ret)
		round_trip(&a, has);
	device_destroy(&a);
	return 0;
}
