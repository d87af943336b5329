// SPDX-License-Identifier: GPL-2.0-only
/*
 * The load side: a stream that nobody vouches for, made into a state
 *
 * The stream comes in portions of any size. parse.c parses it as it comes. Each byte is
 * copied once, to memory that only the kernel can change, and looked at only there.
 * What is accepted is staged beside the device's own state. The END chunk has all of
 * it checked and everything allocated, so that applying it cannot fail.
 *
 * A portion is taken as a whole or not at all. Where user memory cannot be read, no
 * memory is left, or the caller is being killed, the parser goes back to where the
 * portion began, and the user may go on with any other bytes.
 *
 * The first thing that is wrong with the stream ends the session: it stays refused,
 * with the errno that tells why, until a reset.
 *
 * The copies from user memory are the caller's. It is told where the next bytes go,
 * lets go of the session mutex, copies, and says how many bytes came. What it copies
 * to stays valid by references that it holds, whatever becomes of the session.
 */
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include <trace/events/vfio_mig.h>

#include "fault.h"
#include "load.h"
#include "mig.h"
#include "pages.h"
#include "parse.h"

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
	kref_init(&load->kref);
	load->control[0] = kvzalloc(mig->desc.control_max, GFP_KERNEL_ACCOUNT);
	if (mig->desc.image)
		load->piece = kvmalloc(VFIO_MIG_STREAM_IMAGE_PIECE, GFP_KERNEL_ACCOUNT);
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
 * vfio_mig_load_end - end a load and drop what it staged
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

/* Parts that are collected in the buffer; the others go where they belong. */
static bool part_buffered(enum load_part part)
{
	return part != PART_PAGE && part != PART_CONTROL && part != PART_IMAGE &&
	       part != PART_SKIP;
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

/* The open portion was taken, or refused, which is for good too. */
static void keep_portion(struct vfio_mig *mig)
{
	struct vfio_mig_load *load = mig->load;

	vfio_mig_stage_keep(&load->stage);
	if (load->prepared_changed)
		vfio_mig_discard_prepared(mig, load->prepared_before);
	load->prepared_before = NULL;
	load->prepared_changed = false;
}

/* Goes back to where the open portion began: any other bytes may come. */
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

/* The portion is over: taken, taken back, or the stream is refused. */
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
 * vfio_mig_portion_begin - a portion of the stream comes
 * @mig: the device; session mutex held, resuming
 * @p: the portion; filled in. &vfio_mig_portion.to and &vfio_mig_portion.room say
 *	where the first bytes go.
 * @size: its size in bytes
 *
 * The caller copies bytes to where they go, and calls vfio_mig_portion_taken(), as
 * long as &vfio_mig_portion.left is not 0. The portion may end early, see
 * &vfio_mig_portion.size, and the rest is another one. The caller may let go of the
 * session mutex for the copy. If it cannot go on it calls vfio_mig_portion_abandon().
 *
 * Context: may sleep. Touches no user memory.
 * Return: 0, or an error as from vfio_mig_load_feed(), and there is nothing to copy.
 */
int vfio_mig_portion_begin(struct vfio_mig *mig, struct vfio_mig_portion *p,
			   size_t size)
{
	struct vfio_mig_load *load = mig->load;
	int ret;

	*p = (struct vfio_mig_portion) { .size = size, .left = size };
	/* Whoever gave the last one was killed, and never came back. */
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
 * vfio_mig_portion_taken - bytes of a portion were copied to where they go
 * @mig: the device; session mutex held
 * @p: the portion
 * @n: how many came, at most &vfio_mig_portion.room. 0: user memory cannot be read.
 *
 * Context: may sleep. Touches no user memory.
 * Return: 0, or an error as from vfio_mig_load_feed(), and the portion is over. It is
 * over as well when &vfio_mig_portion.left is 0.
 */
int vfio_mig_portion_taken(struct vfio_mig *mig, struct vfio_mig_portion *p,
			   size_t n)
{
	struct vfio_mig_load *load = p->load;
	int ret;

	/* Without the mutex held somebody asked for the end of the load, in vain. */
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
	/* What the driver was given cannot be taken back, so a portion ends there. */
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
 * vfio_mig_portion_abandon - do not go on with a portion
 * @p: the portion; may be over
 *
 * Context: any. The session may have ended. Where it has not, the portion is taken
 * back before anything else is done with the stream.
 */
void vfio_mig_portion_abandon(struct vfio_mig_portion *p)
{
	release_target(p);
	if (p->load)
		kref_put(&p->load->kref, load_free);
	p->load = NULL;
}

/**
 * vfio_mig_load_feed - take a portion that is in the kernel's memory
 * @mig: the device; session mutex held, resuming
 * @from: the portion, of any length. A user's mapping may change it while it is read.
 *
 * Return: 0 when all was taken. -EILSEQ, -EBADMSG, -EPROTONOSUPPORT, -ENODEV or
 * -EINVAL where the stream is refused, now and from now on. -ENOMEM, -ENOSPC, -EFAULT
 * or, where the caller is being killed, -EINTR: nothing was taken, and any portion
 * may follow. Where the driver has got a part of the portion already, these refuse the
 * stream, too.
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

	if (load->stage.open)
		undo_portion(mig);
	if (load->error)
		return load->error;
	if (!pos->complete || pos->have)
		return vfio_mig_refuse(mig, -ENODATA,
			      "the device is to run, the state is incomplete");

	if (mig->desc.pages)
		vfio_mig_pages_replace(mig->desc.pages,
				       vfio_mig_stage_take(&load->stage),
				       load->stage.nr, &mig->lock);
	mig->desc.ops->apply(mig->vdev, load->prepared);
	load->prepared = NULL;
	vfio_mig_count(mig, VFIO_MIG_LOADS, 1);
	return 0;
}
