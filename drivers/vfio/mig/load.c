// SPDX-License-Identifier: GPL-2.0-only
/*
 * The load side: an untrusted stream becomes a device's state
 *
 * The stream comes in portions of any size, and parse.c parses them at once. Each byte is
 * copied once, to memory that only the kernel can change, and is checked only there.
 * Accepted data are staged beside the device's own state. END checks the whole state and
 * allocates all memory, so that applying the state cannot fail.
 *
 * A portion is taken as a whole or not at all. If user memory cannot be read, if there is
 * no memory, or if the caller is being killed, then the parser goes back to the start of
 * the portion. The user may continue with other bytes.
 *
 * The first error in the stream refuses the stream. The session then returns the errno of
 * this error until a reset.
 *
 * The caller copies from user memory. The library gives it the memory for the next bytes.
 * The caller releases the session mutex, copies, and reports the number of bytes. The
 * caller holds references, so this memory stays valid if the session ends.
 */
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include <trace/events/vfio_mig.h>

#include "fault.h"
#include "load.h"
#include "memory.h"
#include "mig.h"
#include "pages.h"
#include "parse.h"

/**
 * vfio_mig_load_begin - start a load
 * @mig: the device; session mutex held, stopped, no session open
 *
 * Return: 0 or -ENOMEM.
 */
int vfio_mig_load_begin(struct vfio_mig *mig)
{
	struct vfio_mig_load *load;

	load = kvzalloc(sizeof(*load), VFIO_MIG_GFP);
	if (!load)
		return -ENOMEM;
	kref_init(&load->kref);
	load->control[0] = kvzalloc(mig->desc.control_max, VFIO_MIG_GFP);
	if (mig->desc.image)
		load->piece = kvmalloc(VFIO_MIG_STREAM_IMAGE_PIECE, VFIO_MIG_GFP);
	if (!load->control[0] || (mig->desc.image && !load->piece) ||
	    vfio_mig_stage_init(&load->stage, mig->desc.pages)) {
		kvfree(load->piece);
		kvfree(load->control[0]);
		kvfree(load);
		return -ENOMEM;
	}
	vfio_mig_parse_start(&load->at.pos);
	mig->load = load;
	return 0;
}

static void load_free(struct kref *kref)
{
	struct vfio_mig_load *load = container_of(kref, struct vfio_mig_load, kref);

	kvfree(load->piece);
	kvfree(load->control[1]);
	kvfree(load->control[0]);
	kvfree(load);
}

/**
 * vfio_mig_load_end - end a load and drop the staged state
 * @mig: the device; session mutex held
 */
void vfio_mig_load_end(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;

	if (load->prepared_changed)
		vfio_mig_discard_prepared(mig, load->prepared_before);
	vfio_mig_discard_prepared(mig, load->prepared);
	vfio_mig_parse_image_end(mig);
	vfio_mig_stage_destroy(&load->stage);
	mig->load = NULL;
	kref_put(&load->kref, load_free);
}

/* Returns whether a part is collected in the buffer. Other parts have their own memory. */
static bool part_buffered(enum load_part part)
{
	return part != PART_PAGE && part != PART_CONTROL && part != PART_IMAGE &&
	       part != PART_SKIP;
}

/* Copies only the members of a cursor that are valid at its position. */
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

/* Keeps the open portion, which was taken, or which refused the stream for good. */
static void keep_portion(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;

	vfio_mig_stage_keep(&load->stage);
	if (load->prepared_changed)
		vfio_mig_discard_prepared(mig, load->prepared_before);
	load->prepared_before = NULL;
	load->prepared_changed = false;
}

/* Goes back to the start of the open portion, so that other bytes may come. */
static int undo_portion(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;
	int ret;

	ret = vfio_mig_stage_undo(&load->stage);
	copy_cursor(&load->at, &load->before);
	if (load->prepared_changed) {
		vfio_mig_discard_prepared(mig, load->prepared);
		load->prepared = load->prepared_before;
	}
	load->prepared_before = NULL;
	load->prepared_changed = false;
	if (ret)
		return vfio_mig_refuse(mig, ret,
			      "no memory left to take a portion back");
	return 0;
}

static void release_target(struct vfio_mig_portion *p)
{
	if (p->page)
		put_page(p->page);
	p->page = NULL;
}

/* Ends a portion: keeps it if it was taken or refused the stream, and undoes it otherwise. */
static int end_portion(struct vfio_mig *mig, struct vfio_mig_portion *p, int ret)
{
	struct vfio_mig_load *load = p->load;

	if (!ret || load->error)
		keep_portion(mig);
	else
		ret = undo_portion(mig) ?: ret;
	trace_vfio_mig_commit(mig->vdev->dev, p->size, ret);
	if (!ret)
		vfio_mig_count(mig, VFIO_MIG_RESUME_BYTES, p->size);
	vfio_mig_portion_abandon(p);
	return ret;
}

/**
 * vfio_mig_portion_begin - begin a portion of the stream
 * @mig: the device; session mutex held, resuming
 * @p: the portion, which is filled in. &vfio_mig_portion.to and &vfio_mig_portion.room
 *	are the memory for the first bytes.
 * @size: size of the portion in bytes
 *
 * While &vfio_mig_portion.left is not 0, the caller copies bytes to &vfio_mig_portion.to
 * and calls vfio_mig_portion_taken(). The portion may end early, see
 * &vfio_mig_portion.size. Then the rest is another portion. The caller may release the
 * session mutex for the copy. If the caller cannot continue, it calls
 * vfio_mig_portion_abandon().
 *
 * Context: may sleep. Accesses no user memory.
 * Return: 0, or an error as from vfio_mig_load_feed(), and then there is nothing to copy.
 */
int vfio_mig_portion_begin(struct vfio_mig *mig, struct vfio_mig_portion *p,
			   size_t size)
{
	struct vfio_mig_load *load = mig->load;
	int ret;

	*p = (struct vfio_mig_portion) { .size = size, .left = size };
	/* The writer of the last portion was killed before the portion ended. */
	if (load->stage.open)
		undo_portion(mig);
	if (load->error)
		return load->error;
	vfio_mig_fault_transfer(mig, size);
	ret = vfio_mig_stage_open(&load->stage, size);
	if (ret)
		return ret;
	copy_cursor(&load->before, &load->at);
	load->handed_over = false;
	kref_get(&load->kref);
	p->load = load;
	p->nr = load->stage.portion;
	if (size)
		ret = vfio_mig_parse_target(mig, p);
	return ret || !size ? end_portion(mig, p, ret) : 0;
}

/**
 * vfio_mig_portion_taken - take bytes of a portion that were copied
 * @mig: the device; session mutex held
 * @p: the portion
 * @n: number of bytes, at most &vfio_mig_portion.room. 0 if user memory cannot be read.
 *
 * Context: may sleep. Accesses no user memory.
 * Return: 0, or an error as from vfio_mig_load_feed(). After an error, and when
 * &vfio_mig_portion.left is 0, the portion is over.
 */
int vfio_mig_portion_taken(struct vfio_mig *mig, struct vfio_mig_portion *p,
			   size_t n)
{
	struct vfio_mig_load *load = p->load;
	int ret;

	/* While the mutex was free, another thread tried to end the load, and undid the portion. */
	if (!load->stage.open || load->stage.portion != p->nr) {
		ret = load->error ?: -EBUSY;
		vfio_mig_portion_abandon(p);
		return ret;
	}
	ret = n ? vfio_mig_parse_bytes(mig, p->to, n) : -EFAULT;
	release_target(p);
	if (ret)
		return end_portion(mig, p, ret);
	p->left -= n;
	/* The driver cannot undo a piece of its image, so the portion ends here. */
	if (load->handed_over) {
		p->size -= p->left;
		p->left = 0;
	}
	if (!p->left)
		return end_portion(mig, p, 0);
	if (fatal_signal_pending(current))
		return end_portion(mig, p, -EINTR);
	ret = vfio_mig_parse_target(mig, p);
	return ret ? end_portion(mig, p, ret) : 0;
}

/**
 * vfio_mig_portion_abandon - give up a portion
 * @p: the portion; may be over
 *
 * Context: any. The session may have ended. If it has not, the next operation on the
 * stream undoes the portion first.
 */
void vfio_mig_portion_abandon(struct vfio_mig_portion *p)
{
	release_target(p);
	if (p->load)
		kref_put(&p->load->kref, load_free);
	p->load = NULL;
}

/**
 * vfio_mig_load_feed - take a portion that is in kernel memory
 * @mig: the device; session mutex held, resuming
 * @from: the portion, of any length. A user's mapping may change it during the call.
 *
 * Return: 0 if the whole portion was taken. -EILSEQ, -EBADMSG, -EPROTONOSUPPORT, -ENODEV
 * or -EINVAL if the stream is refused; later calls return the same error. -ENOMEM,
 * -ENOSPC, -EFAULT, -EINTR if the caller is being killed, or -EINVAL if a user waits to reset
 * or close the device. After an error of this second group nothing was taken, and another
 * portion may follow. But if the driver already has a part of the portion, the error refuses
 * the stream, too.
 */
int vfio_mig_load_feed(struct vfio_mig *mig, struct iov_iter *from)
{
	struct vfio_mig_portion p;
	bool handed_over = false;
	int ret;

	do {
		ret = vfio_mig_portion_begin(mig, &p, iov_iter_count(from));
		while (!ret && p.left) {
			ret = vfio_mig_portion_taken(mig, &p,
						     copy_from_iter(p.to, p.room, from));
			/* A user waits to reset the device, so the reset comes first. */
			if (!ret && p.left && vfio_mig_cancelled(mig))
				ret = end_portion(mig, &p, -EINVAL);
			cond_resched();
		}
		if (ret && handed_over && !mig->load->error)
			vfio_mig_refuse(mig, ret,
					"a part of the data went to the device, and the rest cannot be read");
		handed_over = mig->load->handed_over;
	} while (!ret && iov_iter_count(from));
	return ret;
}

/**
 * vfio_mig_load_error - return the error that refused the stream
 * @mig: the device; session mutex held, resuming
 *
 * Return: the errno, or 0 if the stream was not refused.
 */
int vfio_mig_load_error(struct vfio_mig *mig)
{
	return mig->load->error;
}

/* Cannot fail, unless the driver has to write its own memory. */
static int apply_pages(struct vfio_mig *mig)
{
	struct vfio_mig_pages *p = mig->desc.pages;
	struct vfio_mig_load *load = mig->load;
	int ret;

	if (!p)
		return 0;
	if (!p->memory) {
		vfio_mig_pages_replace(p, vfio_mig_stage_take(&load->stage),
				       load->stage.nr, &mig->lock);
		return 0;
	}
	ret = vfio_mig_memory_load(mig, load->stage.xa);
	if (ret) {
		load->error = ret;
		vfio_mig_device_error(mig);
		return ret;
	}
	vfio_mig_pages_free_array_later(p, vfio_mig_stage_take(&load->stage));
	return 0;
}

/**
 * vfio_mig_load_apply - apply the whole loaded state
 * @mig: the device; session mutex held, resuming, stopped
 *
 * Return: 0; the error that refused the stream; or -ENODATA if the stream is not complete,
 * and later calls return -ENODATA, too. After an error the device's state is unchanged. If the
 * driver fails to write its own memory, this returns the driver's error, and the device is
 * in the error state.
 */
int vfio_mig_load_apply(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;
	struct load_pos *pos = &load->at.pos;
	int ret;

	if (load->stage.open)
		undo_portion(mig);
	if (load->error)
		return load->error;
	if (!pos->complete || pos->have)
		return vfio_mig_refuse(mig, -ENODATA,
			      "the device is to run, the state is incomplete");

	ret = apply_pages(mig);
	if (ret)
		return ret;
	mig->desc.ops->apply(mig->vdev, load->prepared);
	load->prepared = NULL;
	vfio_mig_count(mig, VFIO_MIG_LOADS, 1);
	return 0;
}
