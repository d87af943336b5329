// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA: guest memory, for threads that others wait for
 *
 * Guest memory is user memory. A page of it may be missing for as long as its owner
 * likes, because the owner can hand it to userfaultfd or to a file system in user
 * space. vfio_dma_rw() holds a lock of the container while it copies, and everybody
 * who takes that lock waits uninterruptibly.
 *
 * So there are two ways to copy. vfio_mig_dma_rw_nofault() takes what is there and
 * never waits for a page. What is not there is left to the fault thread. Each open
 * device has one. It is a kernel thread, so a signal can end its wait without harm to
 * any process, and it has no address space, so it reaches memory that any process
 * mapped. A timer sends it SIGKILL when a copy has taken a slice of time: the copy
 * returns short, the container's lock is free for others, and the thread tries again
 * after a pause.
 */
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/uaccess.h>

#include "dma.h"
#include "mig.h"

/* How long one copy may hold the container's lock while a page is missing. */
#define DMA_SLICE_MS		10
/* The pause between two copies of one access doubles, up to this limit. */
#define DMA_PAUSE_MAX_MS	64
/* A caller waits for this time before it continues with other work. */
#define DMA_PATIENCE_MS		8
/* Only a file system that ignores signals keeps the fault thread for that long. */
#define DMA_DROP_TIMEOUT	(10 * HZ)

/**
 * enum dma_access_state - where an access is
 * @DMA_QUEUED: on the list, until it is tried (again)
 * @DMA_TRIED: the fault thread copies
 * @DMA_DONE: it has its result
 * @DMA_ORPHANED: the fault thread copies, and nobody waits for the result
 */
enum dma_access_state {
	DMA_QUEUED,
	DMA_TRIED,
	DMA_DONE,
	DMA_ORPHANED,
};

/**
 * struct vfio_mig_dma_access - an access that the fault thread carries out
 * @node: in the list of the device
 * @dma: who asked for it
 * @iova: address in the device's I/O address space
 * @len: bytes, all within one page
 * @write: write guest memory; else read it
 * @state: protected by &vfio_mig_faulter.lock, as all that follows
 * @tries: copies that were ended by a signal
 * @next: when to try again, in jiffies
 * @ret: the result
 * @data: the bytes
 */
struct vfio_mig_dma_access {
	struct list_head node;
	struct vfio_mig_dma *dma;
	dma_addr_t iova;
	size_t len;
	bool write;
	enum dma_access_state state;
	unsigned int tries;
	unsigned long next;
	int ret;
	u8 data[];
};

static int dma_rw(struct vfio_mig *mig, dma_addr_t iova, void *data, size_t len,
		  bool write)
{
	int ret = vfio_dma_rw(mig->vdev, iova, data, len, write);

	/* After the write: a report that comes between is followed by another. */
	if (write)
		vfio_mig_log_write(mig, iova, len);
	return ret;
}

/**
 * vfio_mig_dma_rw_nofault - read or write guest memory that is there
 * @mig: the device
 * @iova: address in the device's I/O address space
 * @data: kernel buffer
 * @len: bytes
 * @write: write guest memory; else read it
 *
 * Does what vfio_dma_rw() does, except that it does not wait for a page: a page that
 * is not present, or not writable, is -EFAULT. What is written is noted where DMA is
 * logged.
 *
 * Context: may sleep. The device is open. The thread may have the address space that
 * the memory was mapped from, or none; any other one is -EFAULT with type1.
 * Return: 0, -EFAULT as above, or another error of vfio_dma_rw(), which is final. Some
 * of the bytes may have been moved, and the rest of a read buffer zeroed.
 */
int vfio_mig_dma_rw_nofault(struct vfio_mig *mig, dma_addr_t iova, void *data,
			    size_t len, bool write)
{
	int ret;

	/* VFIO would take a process that has given up its memory for a kernel thread. */
	if (!current->mm && !(current->flags & PF_KTHREAD))
		return -EFAULT;
	/* The container takes what wraps around for a range near zero. */
	if (iova + len < iova)
		return -EINVAL;

	pagefault_disable();
	ret = vfio_dma_rw(mig->vdev, iova, data, len, write);
	pagefault_enable();
	if (write)
		vfio_mig_log_write(mig, iova, len);
	return ret;
}
EXPORT_SYMBOL_GPL(vfio_mig_dma_rw_nofault);

/**
 * vfio_mig_dma_busy - whether somebody waits for guest memory
 * @mig: the device
 *
 * A copy may then wait for the container's lock, for at most a slice of
 * &DMA_SLICE_MS. A thread that should not, a vCPU's say, leaves the copy to another.
 *
 * Context: any.
 */
bool vfio_mig_dma_busy(struct vfio_mig *mig)
{
	return READ_ONCE(mig->faulter.copying);
}
EXPORT_SYMBOL_GPL(vfio_mig_dma_busy);

static void faulter_slice_over(struct timer_list *timer)
{
	struct vfio_mig_faulter *f = container_of(timer, struct vfio_mig_faulter,
						  slice);

	send_sig(SIGKILL, f->task, 1);
}

/* A copy that waits for a page, for a slice. */
static int faulter_copy_slice(struct vfio_mig *mig, struct vfio_mig_dma_access *a)
{
	struct vfio_mig_faulter *f = &mig->faulter;
	int ret;

	WRITE_ONCE(f->copying, true);
	mod_timer(&f->slice, jiffies + msecs_to_jiffies(DMA_SLICE_MS));
	ret = dma_rw(mig, a->iova, a->data, a->len, a->write);
	timer_delete_sync(&f->slice);
	WRITE_ONCE(f->copying, false);
	return ret;
}

static int faulter_copy(struct vfio_mig *mig, struct vfio_mig_dma_access *a)
{
	struct vfio_mig_faulter *f = &mig->faulter;
	int ret;

	ret = vfio_mig_dma_rw_nofault(mig, a->iova, a->data, a->len, a->write);
	if (ret != -EFAULT)
		return ret;
	/* The container's lock was kept from others: now it is their turn. */
	if (a->tries && time_before(jiffies, f->rest))
		return -EAGAIN;
	ret = faulter_copy_slice(mig, a);
	if (!signal_pending(current))
		return ret;
	f->rest = jiffies + msecs_to_jiffies(DMA_SLICE_MS);
	return ret ? -EAGAIN : 0;
}

/* A new access first: memory that does not answer is not to hold up other memory. */
static struct vfio_mig_dma_access *faulter_pick(struct vfio_mig_faulter *f,
						unsigned long *timeout)
{
	struct vfio_mig_dma_access *a, *pick = NULL;
	unsigned long now = jiffies;

	lockdep_assert_held(&f->lock);
	*timeout = MAX_SCHEDULE_TIMEOUT;
	list_for_each_entry(a, &f->queue, node) {
		if (!a->tries)
			return a;
		if (time_after(a->next, now))
			*timeout = min(*timeout, a->next - now);
		else if (!pick)
			pick = a;
	}
	return pick;
}

static struct vfio_mig_dma_access *faulter_take(struct vfio_mig_faulter *f,
						unsigned long *timeout)
{
	struct vfio_mig_dma_access *a;

	spin_lock(&f->lock);
	a = faulter_pick(f, timeout);
	if (a) {
		list_del(&a->node);
		WRITE_ONCE(a->state, DMA_TRIED);
	}
	WRITE_ONCE(f->fresh, false);
	spin_unlock(&f->lock);
	return a;
}

static void faulter_requeue(struct vfio_mig_faulter *f,
			    struct vfio_mig_dma_access *a)
{
	unsigned int pause = DMA_PAUSE_MAX_MS;

	if (a->tries < 4)
		pause = 4u << a->tries;
	a->tries++;
	a->next = jiffies + msecs_to_jiffies(pause);
	WRITE_ONCE(a->state, DMA_QUEUED);
	list_add_tail(&a->node, &f->queue);
}

static void faulter_finish(struct vfio_mig_faulter *f,
			   struct vfio_mig_dma_access *a, int ret)
{
	struct vfio_mig_dma *dma = a->dma;

	spin_lock(&f->lock);
	/* Under the lock: a signal from vfio_mig_dma_drop() is for this access. */
	flush_signals(current);
	if (a->state == DMA_ORPHANED) {
		kfree(a);
	} else if (ret == -EAGAIN) {
		faulter_requeue(f, a);
	} else {
		a->ret = ret;
		/* From here on it is the caller's to free. */
		smp_store_release(&a->state, DMA_DONE);
		dma->ready(dma);
	}
	wake_up_all(&f->wait);
	spin_unlock(&f->lock);
}

static int faulter_thread(void *data)
{
	struct vfio_mig *mig = data;
	struct vfio_mig_faulter *f = &mig->faulter;
	struct vfio_mig_dma_access *a;
	unsigned long timeout;

	allow_kernel_signal(SIGKILL);
	while (!kthread_should_stop()) {
		a = faulter_take(f, &timeout);
		if (a)
			faulter_finish(f, a, faulter_copy(mig, a));
		else
			wait_event_idle_timeout(f->wait, READ_ONCE(f->fresh) ||
						kthread_should_stop(), timeout);
	}
	return 0;
}

static bool access_matches(const struct vfio_mig_dma_access *a, dma_addr_t iova,
			   const void *data, size_t len, bool write)
{
	if (a->iova != iova || a->len != len || a->write != write)
		return false;
	return !write || a->ret || !memcmp(a->data, data, len);
}

/* Takes the result of @dma's access, if there is one and it answers the question. */
static bool access_claim(struct vfio_mig_dma *dma, dma_addr_t iova, void *data,
			 size_t len, bool write, int *ret)
{
	struct vfio_mig_dma_access *a = dma->access;
	bool match;

	if (!a)
		return false;
	if (vfio_mig_dma_pending(dma)) {
		*ret = -EAGAIN;
		return true;
	}
	match = access_matches(a, iova, data, len, write);
	if (match) {
		*ret = a->ret;
		if (!write && !a->ret)
			memcpy(data, a->data, len);
	}
	dma->access = NULL;
	kfree(a);
	return match;
}

static bool access_start(struct vfio_mig_dma *dma, dma_addr_t iova,
			 const void *data, size_t len, bool write)
{
	struct vfio_mig_faulter *f = &dma->mig->faulter;
	struct vfio_mig_dma_access *a;

	a = kmalloc(struct_size(a, data, len), GFP_KERNEL_ACCOUNT);
	if (!a)
		return false;
	*a = (struct vfio_mig_dma_access) {
		.dma = dma, .iova = iova, .len = len, .write = write,
		.state = DMA_QUEUED,
	};
	if (write)
		memcpy(a->data, data, len);

	dma->access = a;
	spin_lock(&f->lock);
	list_add_tail(&a->node, &f->queue);
	WRITE_ONCE(f->fresh, true);
	spin_unlock(&f->lock);
	wake_up_all(&f->wait);
	return true;
}

/* Within a page: what one copy of the fault thread moves. */
static int dma_rw_piece(struct vfio_mig_dma *dma, dma_addr_t iova, void *data,
			size_t len, bool write)
{
	struct vfio_mig_faulter *f = &dma->mig->faulter;
	int ret;

	ret = vfio_mig_dma_rw_nofault(dma->mig, iova, data, len, write);
	if (ret != -EFAULT || access_claim(dma, iova, data, len, write, &ret))
		return ret;

	if (!access_start(dma, iova, data, len, write)) {
		/* At the limit of the user's memory: the caller is to come again. */
		schedule_timeout_killable(msecs_to_jiffies(DMA_PATIENCE_MS));
		dma->ready(dma);
		return -EAGAIN;
	}
	wait_event_killable_timeout(f->wait, !vfio_mig_dma_pending(dma),
				    msecs_to_jiffies(DMA_PATIENCE_MS));
	if (!access_claim(dma, iova, data, len, write, &ret))
		ret = -EAGAIN;
	return ret;
}

/**
 * vfio_mig_dma_rw - read or write guest memory, wherever it is
 * @dma: for whom; one access at a time
 * @iova: address in the device's I/O address space
 * @data: kernel buffer
 * @len: bytes
 * @write: write guest memory; else read it
 *
 * Takes what is there at once. For what is not, it waits a few milliseconds. If that
 * is not enough the access goes on in the fault thread, and the caller does something
 * else until &vfio_mig_dma.ready is called. The caller then begins its work again: it
 * repeats all accesses from the first one, which are quick now, because the memory is
 * there.
 *
 * Context: may sleep, for a bounded time. The device is open.
 * Return: 0, -EAGAIN while the access goes on, or an error of vfio_dma_rw(), which is
 * final. Some of the bytes may have been moved.
 */
int vfio_mig_dma_rw(struct vfio_mig_dma *dma, dma_addr_t iova, void *data,
		    size_t len, bool write)
{
	size_t n;
	int ret;

	if (iova + len < iova)
		return -EINVAL;
	for (; len; len -= n, iova += n, data += n) {
		n = min_t(size_t, len, PAGE_SIZE - offset_in_page(iova));
		ret = dma_rw_piece(dma, iova, data, n, write);
		if (ret)
			return ret;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_mig_dma_rw);

/**
 * vfio_mig_dma_pending - whether an access goes on
 * @dma: for whom
 *
 * Context: any; serialised by the caller against vfio_mig_dma_rw() and
 * vfio_mig_dma_drop() of the same @dma.
 */
bool vfio_mig_dma_pending(struct vfio_mig_dma *dma)
{
	/* What the fault thread did before is seen after it. */
	return dma->access && smp_load_acquire(&dma->access->state) != DMA_DONE;
}
EXPORT_SYMBOL_GPL(vfio_mig_dma_pending);

/* Returns whether the fault thread copies, and ends its wait. */
static bool access_end(struct vfio_mig_faulter *f, struct vfio_mig_dma_access *a)
{
	bool tried;

	spin_lock(&f->lock);
	tried = a->state == DMA_TRIED;
	if (tried)
		send_sig(SIGKILL, f->task, 1);
	else if (a->state == DMA_QUEUED)
		list_del(&a->node);
	if (!tried)
		a->state = DMA_DONE;
	spin_unlock(&f->lock);
	return tried;
}

static bool access_orphan(struct vfio_mig_faulter *f, struct vfio_mig_dma_access *a)
{
	bool tried;

	spin_lock(&f->lock);
	tried = a->state == DMA_TRIED;
	if (tried)
		WRITE_ONCE(a->state, DMA_ORPHANED);
	spin_unlock(&f->lock);
	return tried;
}

/**
 * vfio_mig_dma_drop - give up an access that goes on
 * @dma: for whom; it may have none
 *
 * When it returns true nothing is copied for @dma any more. The access counts as not
 * made, although a part of it may have been.
 *
 * Context: may sleep. Serialised by the caller against vfio_mig_dma_rw() of the same
 * @dma.
 * Return: false where the copy has not ended in 10 seconds. Only a file system that
 * lets no signal end its wait does that, such as a FUSE server that took a request.
 */
bool vfio_mig_dma_drop(struct vfio_mig_dma *dma)
{
	struct vfio_mig_faulter *f;
	struct vfio_mig_dma_access *a = dma->access;
	unsigned long end = jiffies + DMA_DROP_TIMEOUT;

	if (!a)
		return true;
	f = &dma->mig->faulter;
	dma->access = NULL;
	/* A copy that came back from its wait is put on the list again. */
	while (access_end(f, a)) {
		wait_event_timeout(f->wait, READ_ONCE(a->state) != DMA_TRIED, HZ / 10);
		if (time_before(jiffies, end))
			continue;
		if (access_orphan(f, a))
			return false;
	}
	kfree(a);
	return true;
}
EXPORT_SYMBOL_GPL(vfio_mig_dma_drop);

/**
 * vfio_mig_dma_init - set up a user of guest memory
 * @dma: a queue's, say
 * @mig: the device
 * @ready: see &struct vfio_mig_dma
 */
void vfio_mig_dma_init(struct vfio_mig_dma *dma, struct vfio_mig *mig,
		       void (*ready)(struct vfio_mig_dma *dma))
{
	dma->mig = mig;
	dma->ready = ready;
	dma->access = NULL;
}
EXPORT_SYMBOL_GPL(vfio_mig_dma_init);

/**
 * vfio_mig_faulter_init - set up what a device has for accesses that wait
 * @mig: the device
 */
void vfio_mig_faulter_init(struct vfio_mig *mig)
{
	struct vfio_mig_faulter *f = &mig->faulter;

	spin_lock_init(&f->lock);
	INIT_LIST_HEAD(&f->queue);
	init_waitqueue_head(&f->wait);
	timer_setup(&f->slice, faulter_slice_over, 0);
}

/**
 * vfio_mig_faulter_start - the device is opened: start its fault thread
 * @mig: the device
 *
 * Return: 0, or what kthread_run() said.
 */
int vfio_mig_faulter_start(struct vfio_mig *mig)
{
	struct vfio_mig_faulter *f = &mig->faulter;
	struct task_struct *task;

	if (!mig->desc.dma_logging)
		return 0;
	f->rest = jiffies;
	task = kthread_create(faulter_thread, mig, "vfio-mig-dma");
	if (IS_ERR(task))
		return PTR_ERR(task);
	f->task = task;
	wake_up_process(task);
	return 0;
}

/**
 * vfio_mig_faulter_stop - the device is closed: end its fault thread
 * @mig: the device, which has dropped all accesses
 *
 * Waits for a copy that goes on, since the container may go when the device is closed.
 */
void vfio_mig_faulter_stop(struct vfio_mig *mig)
{
	struct vfio_mig_faulter *f = &mig->faulter;

	if (!f->task)
		return;
	WARN_ON_ONCE(!list_empty(&f->queue));
	send_sig(SIGKILL, f->task, 1);
	kthread_stop(f->task);
	f->task = NULL;
}
