// SPDX-License-Identifier: GPL-2.0-only
/* Saves and loads without a front end. Nothing maps pages here. */
#include "data.h"
#include "library.h"
#include "mapping.h"
#include "pages.h"

struct workqueue_struct *vfio_mig_wq;

void vfio_mig_mapping_unmap(struct vfio_mig_pages *p, pgoff_t first, pgoff_t nr)
{
	(void)p;
	(void)first;
	(void)nr;
}

struct mm_struct *vfio_mig_mapping_lock(struct vfio_mig_pages *p)
{
	(void)p;
	return NULL;
}

void vfio_mig_mapping_unlock(struct mm_struct *mm)
{
	(void)mm;
}

void vfio_mig_mapping_close(struct vfio_mig_pages *p)
{
	(void)p;
}

void vfio_mig_data_wake(struct vfio_mig *mig)
{
	(void)mig;
}

bool vfio_mig_cancelled(struct vfio_mig *mig)
{
	(void)mig;
	return false;
}

void vfio_mig_device_error(struct vfio_mig *mig)
{
	mig->broken = true;
}

void stream_append(struct stream *s, const void *data, size_t len)
{
	if (s->len + len > s->room) {
		s->room = 2 * (s->len + len);
		s->data = realloc(s->data, s->room);
	}
	memcpy(s->data + s->len, data, len);
	s->len += len;
}

void save_all(struct vfio_mig *mig, size_t room, struct stream *s)
{
	struct vfio_mig_chunk *chunk = vfio_mig_chunk_alloc(mig);
	u32 i;

	must(chunk);
	memset(s, 0, sizeof(*s));
	mig->state = VFIO_MIG_STOP_COPY;
	must(!vfio_mig_save_begin(mig, VFIO_MIG_STOP_COPY));
	while (!vfio_mig_save_next(mig, room, chunk)) {
		stream_append(s, chunk->meta, chunk->meta_len);
		for (i = 0; i < chunk->nr_pages; i++)
			stream_append(s, page_address(chunk->pages[i]), PAGE_SIZE);
		vfio_mig_chunk_put(chunk);
	}
	vfio_mig_chunk_free(chunk);
	must(!vfio_mig_save_pending(mig));
	/* The sanitizer notices reads behind the end, because the buffer has this size. */
	s->room = s->len;
	s->data = realloc(s->data, s->room);
	vfio_mig_save_end(mig);
	mig->state = VFIO_MIG_STOP;
}

/* Gives a portion of a stream. User memory can be read up to @fault bytes. */
int feed(struct vfio_mig *mig, const u8 *data, size_t len, size_t fault)
{
	struct iov_iter from = { .from = data, .count = len, .fault = fault };

	return vfio_mig_load_feed(mig, &from);
}
