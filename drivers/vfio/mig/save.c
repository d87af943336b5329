// SPDX-License-Identifier: GPL-2.0-only
/*
 * The save side: a device's state as a sequence of chunks
 *
 * This file makes one chunk at a time for a front end, which sends the chunk to the user.
 * The header comes first. Then come pages and pieces of the image, as long as there are
 * any. When the device is stopped, the control state follows, and END when nothing is
 * left. A user can write a register of the stopped device after that. Then the changed
 * state is sent, and another END follows.
 *
 * All functions are called with the session mutex held, unless they say otherwise. A chunk
 * belongs to the front end, so the front end can copy the chunk without this mutex.
 */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/random.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/xxhash.h>

#include "fault.h"
#include "machine.h"
#include "memory.h"
#include "mig.h"
#include "pages.h"
#include "save.h"

static bool page_sums = true;
module_param(page_sums, bool, 0644);
MODULE_PARM_DESC(page_sums,
		 "Put checksums of page data into streams (default: true; off only to measure their cost)");

#define RUN_BYTES_MAX	20	/* two LEB128 numbers of 64 bits */
#define META_MAX	(sizeof(struct vfio_mig_chunk_hdr) +	\
			 sizeof(struct vfio_mig_control_hdr) +	\
			 VFIO_MIG_STREAM_CONTROL_PIECE)
#define IMAGE_META_MAX	(sizeof(struct vfio_mig_chunk_hdr) +	\
			 sizeof(struct vfio_mig_image_hdr) +	\
			 VFIO_MIG_STREAM_IMAGE_PIECE)
#define PAGES_META_MAX	(sizeof(struct vfio_mig_chunk_hdr) +	\
			 sizeof(struct vfio_mig_pages_hdr) +	\
			 VFIO_MIG_STREAM_RUNS_BYTES_MAX)

/*
 * Limit of the pages that are looked at for one chunk. Pages of zeros take no space in a
 * chunk, so without this limit a device full of zeros would cause a long system call.
 */
#define LOOK_MAX	4096

#define HEADER_BYTES	(sizeof(struct vfio_mig_chunk_hdr) +	\
			 sizeof(struct vfio_mig_header))
#define END_BYTES	(sizeof(struct vfio_mig_chunk_hdr) +	\
			 sizeof(struct vfio_mig_end))

static_assert(PAGES_META_MAX + PAGE_SIZE <= VFIO_MIG_CHUNK_ROOM_MIN);
static_assert(META_MAX <= VFIO_MIG_CHUNK_ROOM_MIN);
static_assert(PAGES_META_MAX <= META_MAX);
static_assert(META_MAX <= IMAGE_META_MAX);

/**
 * struct vfio_mig_save - a save in progress
 * @id: identifies the chunks of this save
 * @seq: number of the next chunk
 * @header_sent: the header chunk was made
 * @end_sent: the last chunk was END
 * @pages_sent: pages that were sent with data so far
 * @first_pass: pages that had memory at the start and were not reached yet
 * @cursor: the search for changed pages continues at this page
 * @image_last: the last chunk was a piece of the image, so pages are next
 * @control: the control state that is being sent
 * @control_len: length of @control, 0 if no control state is being sent
 * @control_off: number of bytes of @control that were sent
 */
struct vfio_mig_save {
	u64 id;
	u32 seq;
	bool header_sent;
	bool end_sent;
	u64 pages_sent;
	unsigned long first_pass;
	pgoff_t cursor;
	bool image_last;
	void *control;
	u32 control_len;
	u32 control_off;
};

/**
 * vfio_mig_chunk_alloc - allocate a chunk for a front end
 * @mig: the device
 *
 * The chunk belongs to the front end. It refers to pages only, and not to the device, so
 * the chunk can outlive the session and the device.
 *
 * Return: an empty chunk, or NULL. vfio_mig_chunk_free() frees the chunk.
 */
struct vfio_mig_chunk *vfio_mig_chunk_alloc(const struct vfio_mig *mig)
{
	struct vfio_mig_chunk *chunk;

	chunk = kvzalloc(sizeof(*chunk), VFIO_MIG_GFP);
	if (!chunk)
		return NULL;
	chunk->meta = kvzalloc(mig->desc.image ? IMAGE_META_MAX : META_MAX,
			       VFIO_MIG_GFP);
	if (chunk->meta)
		return chunk;
	kvfree(chunk);
	return NULL;
}

/**
 * vfio_mig_chunk_put - empty a chunk after its last use
 * @chunk: the chunk; may be empty already
 *
 * Context: may sleep. Needs no lock and no device.
 */
void vfio_mig_chunk_put(struct vfio_mig_chunk *chunk)
{
	u32 i;

	for (i = 0; i < chunk->nr_pages; i++)
		put_page(chunk->pages[i]);
	chunk->nr_pages = 0;
	chunk->meta_len = 0;
}

/**
 * vfio_mig_chunk_free - opposite of vfio_mig_chunk_alloc()
 * @chunk: the chunk or NULL
 */
void vfio_mig_chunk_free(struct vfio_mig_chunk *chunk)
{
	if (!chunk)
		return;
	vfio_mig_chunk_put(chunk);
	kvfree(chunk->meta);
	kvfree(chunk);
}

/*
 * Returns the number of changed pages, 0 for a device without a paged state.
 *
 * A thread that marks a page of the driver's own memory sets the bit first and counts it later.
 * Meanwhile the count is too low. So at the stop, where 0 means that the save is complete, the
 * bits decide.
 */
static unsigned long dirty_pages(struct vfio_mig *mig)
{
	struct vfio_mig_pages *p = mig->desc.pages;
	unsigned long nr = p ? vfio_mig_pages_dirty(p) : 0;

	if (nr || !p || !vfio_mig_stopped(mig))
		return nr;
	return vfio_mig_pages_next_dirty(p, 0) < p->nr;
}

static int track_pages(struct vfio_mig *mig)
{
	struct vfio_mig_pages *p = mig->desc.pages;
	int ret;

	if (!p)
		return 0;
	ret = vfio_mig_memory_begin(p);
	if (ret)
		return vfio_mig_memory_error(mig, "starting to track it", ret);
	ret = vfio_mig_pages_track(p);
	if (ret)
		vfio_mig_memory_end(p);
	return ret;
}

/**
 * vfio_mig_save_begin - start a save
 * @mig: the device; session mutex held, no session open
 * @to: the state that the device enters
 *
 * Return: 0, -ENOMEM, or the driver's error if the driver cannot save its image or track
 * its memory.
 */
int vfio_mig_save_begin(struct vfio_mig *mig, enum vfio_mig_state to)
{
	struct vfio_mig_save *save;
	int ret = -ENOMEM;

	save = kvzalloc(sizeof(*save), VFIO_MIG_GFP);
	if (!save)
		return -ENOMEM;
	save->control = kvzalloc(mig->desc.control_max, VFIO_MIG_GFP);
	if (!save->control)
		goto err;
	ret = vfio_mig_image_save_begin(mig, to == VFIO_MIG_STOP_COPY ?
					     VFIO_MIG_IMAGE_STOPPED :
					     VFIO_MIG_IMAGE_PRECOPY);
	if (ret)
		goto err;
	ret = track_pages(mig);
	if (ret) {
		vfio_mig_image_save_end(mig);
		goto err;
	}

	save->id = get_random_u64();
	mig->save = save;
	save->first_pass = dirty_pages(mig);
	WRITE_ONCE(mig->control_dirty, true);
	vfio_mig_count(mig, VFIO_MIG_SAVES, 1);
	return 0;

err:
	kvfree(save->control);
	kvfree(save);
	return ret;
}

/**
 * vfio_mig_save_end - end a save, complete or not
 * @mig: the device; session mutex held
 */
void vfio_mig_save_end(struct vfio_mig *mig)
{
	struct vfio_mig_save *save = mig->save;

	if (mig->desc.pages) {
		vfio_mig_pages_untrack(mig->desc.pages);
		vfio_mig_memory_end(mig->desc.pages);
	}
	vfio_mig_image_save_end(mig);
	mig->save = NULL;
	kvfree(save->control);
	kvfree(save);
}

/**
 * vfio_mig_save_ask - ask the driver how much data there are to send
 * @mig: the device; session mutex held. There may be no save.
 *
 * A front end calls this function before it reports a size to the user.
 *
 * Return: 0, or an error for the user.
 */
int vfio_mig_save_ask(struct vfio_mig *mig)
{
	int ret = vfio_mig_memory_sync(mig);

	return ret ? ret : vfio_mig_image_ask(mig);
}

/**
 * vfio_mig_save_pending - estimate the size of the data that are still to be sent
 * @mig: the device; session mutex held, saving
 *
 * While the device runs, only data that can be sent early count. The size of the image is
 * the answer of the last vfio_mig_save_ask().
 *
 * Return: number of bytes. It is 0 if and only if vfio_mig_save_next() has no chunk.
 */
u64 vfio_mig_save_pending(struct vfio_mig *mig)
{
	struct vfio_mig_save *save = mig->save;
	u64 bytes;

	vfio_mig_fault_dirty(mig);
	bytes = (u64)dirty_pages(mig) * PAGE_SIZE + vfio_mig_image_pending(mig);
	if (!save->header_sent)
		bytes += HEADER_BYTES;
	if (!vfio_mig_stopped(mig))
		return bytes;
	bytes += save->control_len - save->control_off;
	if (READ_ONCE(mig->control_dirty))
		bytes += mig->desc.control_max;
	if (bytes || !save->end_sent)
		bytes += END_BYTES;
	return bytes;
}

/**
 * vfio_mig_save_initial - estimate the rest of the first pass
 * @mig: the device; session mutex held, saving
 *
 * Return: number of bytes, which vfio_mig_save_pending() includes. They are the header,
 * the pages that had memory when the save began and were not reached yet, and the initial
 * bytes of the image.
 */
u64 vfio_mig_save_initial(struct vfio_mig *mig)
{
	struct vfio_mig_save *save = mig->save;
	u64 bytes = (u64)min(save->first_pass, dirty_pages(mig)) * PAGE_SIZE;

	bytes += vfio_mig_image_initial(mig);
	if (!save->header_sent)
		bytes += HEADER_BYTES;
	return bytes;
}

/**
 * vfio_mig_save_again - send all pages that have memory once more
 * @mig: the device; session mutex held, saving
 */
void vfio_mig_save_again(struct vfio_mig *mig)
{
	if (mig->desc.pages)
		vfio_mig_pages_redirty_all(mig->desc.pages);
}

/**
 * vfio_mig_save_announce - count all data that can be sent now as initial data
 * @mig: the device; session mutex held, saving. vfio_mig_save_ask() was called.
 *
 * The user is told of new initial data. Changes that were not sent before are a part of
 * these data, and only later changes count as changes.
 */
void vfio_mig_save_announce(struct vfio_mig *mig)
{
	struct vfio_mig_save *save = mig->save;

	save->cursor = 0;
	save->first_pass = dirty_pages(mig);
	vfio_mig_image_announce(mig);
}

/**
 * vfio_mig_save_stop_size - estimate the size of the data if the device stopped now
 * @mig: the device; session mutex held, saving or not. vfio_mig_save_ask() was called.
 *
 * Before a save the estimate is at least VFIO_MIG_CHUNK_ROOM_MIN. QEMU allocates its read
 * buffer once, with the size of this estimate. If the guest fills an empty device during the
 * save, each read with a smaller buffer would return a small part of a chunk.
 *
 * Return: number of bytes of the stream, without the chunk that the front end has.
 */
u64 vfio_mig_save_stop_size(struct vfio_mig *mig)
{
	struct vfio_mig_pages *pages = mig->desc.pages;
	u64 bytes = mig->desc.control_max + END_BYTES;

	if (mig->save && vfio_mig_stopped(mig))
		return vfio_mig_save_pending(mig);
	if (mig->save)
		return vfio_mig_save_pending(mig) + bytes + mig->image.size.at_stop;
	bytes += HEADER_BYTES;
	if (pages)
		bytes += (u64)vfio_mig_pages_resident(pages) * PAGE_SIZE;
	bytes = max_t(u64, bytes, VFIO_MIG_CHUNK_ROOM_MIN);
	return bytes + vfio_mig_image_pending(mig) + mig->image.size.at_stop;
}

/**
 * vfio_mig_save_ready - estimate whether there are data to read
 * @mig: the device, saving; the session cannot end meanwhile
 *
 * Context: any. The session mutex need not be held, because poll() must not wait for a
 * transition.
 */
bool vfio_mig_save_ready(struct vfio_mig *mig)
{
	return READ_ONCE(mig->state) == VFIO_MIG_STOP_COPY ||
	       !READ_ONCE(mig->save->header_sent) || dirty_pages(mig) ||
	       READ_ONCE(mig->image.ready);
}

static void *chunk_payload(struct vfio_mig_chunk *chunk)
{
	return chunk->meta + sizeof(struct vfio_mig_chunk_hdr);
}

/* Returns the checksum of the payload, which includes the pages. */
static u64 chunk_sum(struct vfio_mig_chunk *chunk, size_t len)
{
	struct xxh64_state state;
	u32 i;

	if (!chunk->nr_pages)
		return xxh64(chunk_payload(chunk), len, 0);

	xxh64_reset(&state, 0);
	xxh64_update(&state, chunk_payload(chunk), len);
	for (i = 0; i < chunk->nr_pages; i++)
		xxh64_update(&state, page_address(chunk->pages[i]), PAGE_SIZE);
	return xxh64_digest(&state);
}

/* Pads the payload of @len bytes and puts a chunk header before it. */
static void chunk_close(struct vfio_mig_save *save,
			struct vfio_mig_chunk *chunk, u16 type, size_t len)
{
	struct vfio_mig_chunk_hdr *hdr = chunk->meta;
	bool sum = type != VFIO_MIG_CHUNK_PAGES || READ_ONCE(page_sums);
	size_t padded = ALIGN(len, VFIO_MIG_STREAM_ALIGN);

	memset(chunk_payload(chunk) + len, 0, padded - len);
	*hdr = (struct vfio_mig_chunk_hdr) {
		.magic = cpu_to_le32(VFIO_MIG_STREAM_MAGIC),
		.type = cpu_to_le16(type),
		.flags = cpu_to_le16(VFIO_MIG_CHUNK_F_MANDATORY |
				     (sum ? VFIO_MIG_CHUNK_F_SUM : 0)),
		.save_id = cpu_to_le64(save->id),
		.seq = cpu_to_le32(save->seq++),
		.length = cpu_to_le32(padded + chunk->nr_pages * PAGE_SIZE),
		.sum = cpu_to_le64(sum ? chunk_sum(chunk, padded) : 0),
	};
	hdr->hdr_sum = cpu_to_le32(xxh64(hdr, offsetof(typeof(*hdr), hdr_sum),
					 0));
	chunk->meta_len = sizeof(*hdr) + padded;
	save->end_sent = type == VFIO_MIG_CHUNK_END;
}

static void make_header(struct vfio_mig *mig, struct vfio_mig_chunk *chunk)
{
	struct vfio_mig_pages *pages = mig->desc.pages;
	struct vfio_mig_save *save = mig->save;
	struct vfio_mig_header *h = chunk_payload(chunk);

	*h = (struct vfio_mig_header) {
		.version = cpu_to_le32(VFIO_MIG_STREAM_VERSION),
		.page_size = cpu_to_le32(VFIO_MIG_STREAM_PAGE_SIZE),
		.features = cpu_to_le64(mig->desc.image ? VFIO_MIG_STREAM_F_IMAGE : 0),
		.nr_pages = cpu_to_le64(pages ? pages->nr : 0),
		.control_version = cpu_to_le32(vfio_mig_version(mig)),
		.control_max = cpu_to_le32(mig->desc.control_max),
	};
	strscpy(h->type, mig->desc.type, sizeof(h->type));
	chunk_close(save, chunk, VFIO_MIG_CHUNK_HEADER, sizeof(*h));
	WRITE_ONCE(save->header_sent, true);
}

/**
 * struct run - a run of a pages chunk
 * @start: first page
 * @len: number of pages, 0 if there is no run yet
 * @hole: the pages read as zeros
 */
struct run {
	pgoff_t start;
	pgoff_t len;
	bool hole;
};

static u8 *put_leb128(u8 *to, u64 value)
{
	while (value >= 0x80) {
		*to++ = value | 0x80;
		value >>= 7;
	}
	*to++ = value;
	return to;
}

static u8 *put_run(u8 *to, const struct run *run, pgoff_t prev_end)
{
	u64 gap = (u64)(run->start - prev_end) << 2;

	to = put_leb128(to, gap | (run->len > 1) | (run->hole ? 2 : 0));
	return run->len > 1 ? put_leb128(to, run->len) : to;
}

/**
 * struct runs - the runs of a pages chunk that is being made
 * @to: the next run is written here
 * @end: end of the buffer
 * @nr: number of runs, with the current one
 * @prev_end: page after the last written run
 * @run: the current run, which is not written yet
 */
struct runs {
	u8 *to;
	u8 *end;
	u32 nr;
	pgoff_t prev_end;
	struct run run;
};

/* Returns how many pages can be added if each starts a run. The current run needs space, too. */
static u32 runs_room(const struct runs *runs)
{
	return min_t(u32, VFIO_MIG_STREAM_RUNS_MAX - runs->nr,
		     (runs->end - runs->to) / RUN_BYTES_MAX - 1);
}

static void runs_add(struct runs *runs, pgoff_t index, bool hole)
{
	struct run *run = &runs->run;

	if (run->len && run->start + run->len == index && run->hole == hole) {
		run->len++;
		return;
	}
	if (run->len) {
		runs->to = put_run(runs->to, run, runs->prev_end);
		runs->prev_end = run->start + run->len;
	}
	runs->nr++;
	*run = (struct run) { .start = index, .len = 1, .hole = hole };
}

/*
 * Adds @nr pages, which are stored behind the chunk's pages. The chunk keeps pages with
 * data. A page of zeros is sent as a hole, because the target needs no memory for a hole.
 */
static void chunk_add(struct vfio_mig_chunk *chunk, u32 nr, struct runs *runs)
{
	u32 i = chunk->nr_pages, end = i + nr;

	for (; i < end; i++) {
		struct page *page = chunk->pages[i];
		pgoff_t index = chunk->index[i];

		if (page && !memchr_inv(page_address(page), 0, PAGE_SIZE)) {
			put_page(page);
			page = NULL;
		}
		runs_add(runs, index, !page);
		if (!page)
			continue;
		chunk->pages[chunk->nr_pages++] = page;
	}
}

static int take(struct vfio_mig_pages *p, pgoff_t first, u32 max, struct page **pages,
		pgoff_t *index)
{
	return p->memory ? vfio_mig_memory_take(p, first, max, pages, index) :
			   vfio_mig_pages_take(p, first, max, pages, index);
}

/*
 * Takes changed pages from @first on. Ends when @max pages have data, when the buffer of
 * the runs is full, when enough pages were looked at, or when the chunk takes too long. Also
 * ends if the caller is being killed, or if a user waits to reset or close the device. An early
 * end loses nothing, because the pages up to there are a complete chunk. Returns the size of the
 * encoded runs in bytes, or an error if no page was taken.
 *
 * The time is limited, because others wait for the session mutex meanwhile, and a user can make
 * this slow. If the memory is mapped, each block of pages needs the user's mmap_lock, see
 * vfio_mig_mapping_lock().
 */
static int collect_pages(struct vfio_mig *mig, struct vfio_mig_chunk *chunk,
			 pgoff_t first, u32 max)
{
	u8 *start = chunk_payload(chunk) + sizeof(struct vfio_mig_pages_hdr);
	struct runs runs = {
		.to = start,
		.end = start + VFIO_MIG_STREAM_RUNS_BYTES_MAX,
		.prev_end = first,
	};
	struct vfio_mig_save *save = mig->save;
	struct vfio_mig_pages *p = mig->desc.pages;
	u64 end = ktime_get_ns() + VFIO_MIG_CHUNK_NS;
	pgoff_t i = first;

	while (i < p->nr && chunk->looked < LOOK_MAX) {
		u32 had = chunk->nr_pages, room = min(max - had, runs_room(&runs));
		int n;

		if (!room)
			break;
		n = take(p, i, room, &chunk->pages[had], &chunk->index[had]);
		if (n < 0 && !chunk->looked)
			return n;
		if (n < 0)
			break;
		i = vfio_mig_pages_next_dirty(p, chunk->index[had + n - 1] + 1);
		chunk_add(chunk, n, &runs);
		chunk->looked += n;
		save->first_pass -= min_t(unsigned long, save->first_pass, n);
		if (fatal_signal_pending(current) || vfio_mig_cancelled(mig) ||
		    ktime_get_ns() > end)
			break;
		cond_resched();
	}
	save->cursor = i;
	return put_run(runs.to, &runs.run, runs.prev_end) - start;
}

static int make_pages(struct vfio_mig *mig, struct vfio_mig_chunk *chunk,
		      size_t room)
{
	struct vfio_mig_pages *p = mig->desc.pages;
	struct vfio_mig_save *save = mig->save;
	struct vfio_mig_pages_hdr *h = chunk_payload(chunk);
	pgoff_t first = vfio_mig_pages_next_dirty(p, save->cursor);
	u32 max;
	int len;

	room = min_t(size_t, room, VFIO_MIG_CHUNK_ROOM_MAX);
	max = min_t(size_t, (room - PAGES_META_MAX) / PAGE_SIZE,
		    VFIO_MIG_STREAM_PAGES_MAX);
	if (first >= p->nr) {
		save->first_pass = 0;
		first = vfio_mig_pages_next_dirty(p, 0);
	}
	/* The count can differ from the set for a moment, so there may be no page. */
	if (first >= p->nr)
		return -EAGAIN;

	len = collect_pages(mig, chunk, first, max);
	if (len < 0)
		return p->memory && len != -ENOMEM ?
		       vfio_mig_memory_error(mig, "a read", len) : len;
	*h = (struct vfio_mig_pages_hdr) {
		.base = cpu_to_le64(first),
		.nr_pages = cpu_to_le32(chunk->nr_pages),
		.runs_bytes = cpu_to_le32(len),
	};
	save->pages_sent += chunk->nr_pages;
	vfio_mig_count(mig, VFIO_MIG_PAGES_SENT, chunk->nr_pages);
	chunk_close(save, chunk, VFIO_MIG_CHUNK_PAGES, sizeof(*h) + len);
	return 0;
}

/* Makes the next piece of the control state. If none is being sent, the driver saves one. */
static void make_control(struct vfio_mig *mig, struct vfio_mig_chunk *chunk)
{
	struct vfio_mig_save *save = mig->save;
	struct vfio_mig_control_hdr *h = chunk_payload(chunk);
	u32 len;

	if (!save->control_len) {
		/* Cleared before the save, so that later changes set the flag again. */
		WRITE_ONCE(mig->control_dirty, false);
		smp_mb(); /* pairs with vfio_mig_control_changed() */
		if (mig->desc.ops->save)
			save->control_len = mig->desc.ops->save(mig->vdev,
								save->control);
	}
	len = min_t(u32, save->control_len - save->control_off,
		    VFIO_MIG_STREAM_CONTROL_PIECE);
	*h = (struct vfio_mig_control_hdr) {
		.total = cpu_to_le32(save->control_len),
		.offset = cpu_to_le32(save->control_off),
		.length = cpu_to_le32(len),
	};
	memcpy(h + 1, save->control + save->control_off, len);
	save->control_off += len;
	if (save->control_off == save->control_len) {
		save->control_len = 0;
		save->control_off = 0;
	}
	chunk_close(save, chunk, VFIO_MIG_CHUNK_CONTROL, sizeof(*h) + len);
}

static int make_image(struct vfio_mig *mig, struct vfio_mig_chunk *chunk, size_t room)
{
	struct vfio_mig_image_hdr *h = chunk_payload(chunk);
	int ret;

	ret = vfio_mig_image_read(mig, h, room - sizeof(struct vfio_mig_chunk_hdr));
	if (ret <= 0)
		return ret ?: -EAGAIN;
	chunk_close(mig->save, chunk, VFIO_MIG_CHUNK_IMAGE,
		    sizeof(*h) + le32_to_cpu(h->length));
	return 0;
}

/*
 * Pages and pieces of the image take turns, so that both make progress. The driver is asked for
 * changed pages only when all known changes were sent.
 */
static int make_bulk(struct vfio_mig *mig, struct vfio_mig_chunk *chunk, size_t room)
{
	struct vfio_mig_save *save = mig->save;
	bool dirty = dirty_pages(mig);
	int ret = dirty ? 0 : vfio_mig_memory_sync(mig);

	if (ret)
		return ret;
	dirty = dirty_pages(mig);
	if (mig->desc.image && !(dirty && save->image_last)) {
		ret = make_image(mig, chunk, room);
		save->image_last = !ret;
		if (ret != -EAGAIN)
			return ret;
	}
	save->image_last = false;
	return dirty ? make_pages(mig, chunk, room) : -EAGAIN;
}

static void make_end(struct vfio_mig_save *save, struct vfio_mig_chunk *chunk)
{
	struct vfio_mig_end *e = chunk_payload(chunk);

	e->pages_sent = cpu_to_le64(save->pages_sent);
	chunk_close(save, chunk, VFIO_MIG_CHUNK_END, sizeof(*e));
}

static int make_chunk(struct vfio_mig *mig, struct vfio_mig_chunk *chunk,
		      size_t room)
{
	struct vfio_mig_save *save = mig->save;
	int ret;

	if (!save->header_sent) {
		make_header(mig, chunk);
		return 0;
	}
	if (!save->control_len) {
		ret = make_bulk(mig, chunk, room);
		if (ret != -EAGAIN)
			return ret;
	}
	if (!vfio_mig_stopped(mig))
		return -EAGAIN;
	if (save->control_len || READ_ONCE(mig->control_dirty)) {
		make_control(mig, chunk);
		return 0;
	}
	if (save->end_sent)
		return -EAGAIN;
	make_end(save, chunk);
	return 0;
}

/* A fault knob may damage the chunk, or drop it. Returns true if the chunk was dropped. */
static bool spoil_chunk(struct vfio_mig *mig, struct vfio_mig_chunk *chunk)
{
	u8 *meta = chunk->meta;

	switch (vfio_mig_fault_chunk(mig, mig->save->seq - 1)) {
	case VFIO_MIG_SPOIL_DROP:
		vfio_mig_chunk_put(chunk);
		return true;
	case VFIO_MIG_SPOIL_DAMAGE:
		meta[chunk->meta_len - 1] ^= 1;
		return false;
	default:
		return false;
	}
}

/**
 * vfio_mig_save_next - make the next chunk
 * @mig: the device; session mutex held, saving
 * @room: the largest possible size of the chunk in bytes
 * @chunk: an empty chunk, which is filled
 *
 * Context: may sleep. Accesses no user memory. Looks at a bounded number of pages.
 * Return: 0; -EAGAIN if there is nothing to send now, or if @room is less than
 * VFIO_MIG_CHUNK_ROOM_MIN; -ENOMEM; or the driver's error if the driver cannot read its image
 * or its memory now. After an error nothing is lost.
 */
int vfio_mig_save_next(struct vfio_mig *mig, size_t room,
		       struct vfio_mig_chunk *chunk)
{
	int ret;

	if (room < VFIO_MIG_CHUNK_ROOM_MIN)
		return -EAGAIN;
	vfio_mig_fault_dirty(mig);
	do {
		chunk->looked = 0;
		ret = make_chunk(mig, chunk, room);
		if (ret)
			return ret;
	} while (spoil_chunk(mig, chunk));
	vfio_mig_fault_transfer(mig, vfio_mig_chunk_size(chunk));

	vfio_mig_count(mig, vfio_mig_stopped(mig) ? VFIO_MIG_STOPCOPY_BYTES :
						    VFIO_MIG_PRECOPY_BYTES,
		       vfio_mig_chunk_size(chunk));
	return 0;
}

#if IS_ENABLED(CONFIG_VFIO_MIG_CORE_KUNIT_TEST)
#include "save_test.c"
#endif
