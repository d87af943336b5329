// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA: access to guest memory that may be missing
 *
 * Guest memory is user memory. Its owner can make a page missing for any time, because the
 * owner can use userfaultfd or a file system in user space. vfio_dma_rw() holds a lock of
 * the container while it copies, and other threads wait for this lock uninterruptibly.
 *
 * So there are two ways to copy. vfio_mig_dma_rw_nofault() copies present pages and takes no
 * page fault. Only a page of a file that is mapped by IOMMU_IOAS_MAP_FILE can still delay
 * it, because iommufd looks up such a page itself. The fault thread copies all other pages.
 * Each open device has a fault thread. It is a kernel thread, so a signal can end its wait
 * without harm to a process. It has no address space, so it can access memory that any
 * process mapped. A timer sends SIGKILL to the thread when a copy has taken a time slice.
 * The copy then fails, the container's lock becomes free, and the thread tries again after a
 * pause.
 *
 * For the length of a time slice after such a failure no access has another slice, because the
 * other threads that need the container's lock must get it. The accesses have their slices in
 * turn. Otherwise one page that stays missing could keep all others from becoming present.
 *
 * A requester, such as a queue, has one access at a time. The access is a copy of the bytes
 * in kernel memory. It belongs to the requester, or to the fault thread if the requester gave
 * up an access that does not end. &vfio_mig_faulter.lock protects the list of accesses and
 * their states. The callback &vfio_mig_dma.ready may be called with this lock held.
 */
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/uaccess.h>

#include "dma.h"
#include "mig.h"

/* Limit of bytes in one access of the fault thread */
#define DMA_ACCESS_MAX		SZ_64K
/* Time slice in which one copy may hold the container's lock while a page is missing */
#define DMA_SLICE_MS		10
/* The pause between two copies of one access doubles, up to this limit. */
#define DMA_PAUSE_MAX_MS	64
/* A caller waits for this time before it continues with other work. */
#define DMA_PATIENCE_MS		8
/* Only a file system that ignores signals can delay the fault thread for this time. */
#define DMA_DROP_TIMEOUT	(10 * HZ)

/**
 * enum dma_access_state - state of an access
 * @DMA_QUEUED: the access is on the list
 * @DMA_TRIED: the fault thread copies
 * @DMA_DONE: the access has a result
 * @DMA_ORPHANED: the fault thread copies, and no caller waits for the result
 */
enum dma_access_state {
	DMA_QUEUED,
	DMA_TRIED,
	DMA_DONE,
	DMA_ORPHANED,
};

/**
 * struct vfio_mig_dma_access - an access that the fault thread carries out
 * @node: entry in the list of the device
 * @dma: the requester
 * @iova: address in the device's I/O address space
 * @len: number of bytes, at most %DMA_ACCESS_MAX
 * @write: true to write guest memory, false to read it
 * @state: state of the access; &vfio_mig_faulter.lock protects this and the members below
 * @tries: number of copies that failed and had a pause after them
 * @next: time of the next try, in jiffies
 * @turn: number of its last time slice, or 0 if it had none; for the fault thread only
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
	u64 turn;
	int ret;
	u8 data[];
};

static int dma_rw(struct vfio_mig *mig, dma_addr_t iova, void *data, size_t len,
		  bool write)
{
	int ret = vfio_dma_rw(mig->vdev, iova, data, len, write);

	/* After the write, because a report between the log and the write would miss the data. */
	if (write)
		vfio_mig_log_write(mig, iova, len);
	return ret;
}

/**
 * vfio_mig_dma_rw_nofault - read or write present guest memory
 * @mig: the device
 * @iova: address in the device's I/O address space
 * @data: kernel buffer
 * @len: number of bytes
 * @write: true to write guest memory, false to read it
 *
 * Works as vfio_dma_rw(), but takes no page fault. It returns -EFAULT if a page is not
 * present or not writable. For a file that is mapped by IOMMU_IOAS_MAP_FILE, iommufd
 * allocates the page instead, or reads it from swap, and the function waits. Writes are
 * recorded if DMA is logged.
 *
 * Context: may sleep. The device is open. The thread has the address space that the memory
 * was mapped from, or none. With another address space type1 returns -EFAULT.
 * Return: 0, -EFAULT as above, -EINVAL for a range that wraps around, or another error of
 * vfio_dma_rw(), which is final. After an error some bytes may have been copied, and the rest
 * of a read buffer may be zeroed.
 */
int vfio_mig_dma_rw_nofault(struct vfio_mig *mig, dma_addr_t iova, void *data,
			    size_t len, bool write)
{
	int ret;

	/* For a process without an address space, VFIO would call kthread_use_mm(), which warns. */
	if (!current->mm && !(current->flags & PF_KTHREAD))
		return -EFAULT;
	/* The container would treat a range that wraps around as a range near zero. */
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
 * vfio_mig_dma_busy - whether the fault thread may be waiting for guest memory
 * @mig: the device
 *
 * While the fault thread waits, it holds the container's lock, for at most %DMA_SLICE_MS. Any
 * other copy waits for this lock. So a vCPU should leave a copy to another thread.
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

/* Copies, and waits for a page for at most one time slice. */
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
	/* Other threads had to wait for the container's lock, so they get it now. */
	if (a->turn && time_before(jiffies, f->rest))
		return -EAGAIN;
	a->turn = ++f->turns;
	ret = faulter_copy_slice(mig, a);
	if (!signal_pending(current))
		return ret;
	/* The time slice is over, or the requester gives up the access. */
	f->rest = jiffies + msecs_to_jiffies(DMA_SLICE_MS);
	return ret ? -EAGAIN : 0;
}

/* Returns the access of the two that may be tried first. One of the two may be NULL. */
static struct vfio_mig_dma_access *access_first(struct vfio_mig_dma_access *fresh,
						struct vfio_mig_dma_access *tried)
{
	if (!fresh || !tried)
		return fresh ?: tried;
	return time_before(tried->next, fresh->next) ? tried : fresh;
}

/*
 * The accesses that had a time slice before are tried in turn. A new access comes before them,
 * because missing memory must not delay other memory. But if the pause of a tried access ended
 * before the new access began, the tried access comes first. Otherwise a requester that makes
 * one access after the other could keep the tried access waiting for ever.
 */
static struct vfio_mig_dma_access *faulter_pick(struct vfio_mig_faulter *f,
						unsigned long *timeout)
{
	struct vfio_mig_dma_access *a, *fresh = NULL, *tried = NULL;
	unsigned long now = jiffies;

	lockdep_assert_held(&f->lock);
	*timeout = MAX_SCHEDULE_TIMEOUT;
	list_for_each_entry(a, &f->queue, node) {
		if (time_after(a->next, now))
			*timeout = min(*timeout, a->next - now);
		else if (!a->turn)
			fresh = fresh ?: a;
		else if (!tried || a->turn < tried->turn)
			tried = a;
	}
	return access_first(fresh, tried);
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

/*
 * If another access had the last time slice, this one may have been refused a slice. Then it is
 * tried again as soon as it may have one. Otherwise it would wait for as long as the other one,
 * and would come too late each time.
 */
static void faulter_requeue(struct vfio_mig_faulter *f,
			    struct vfio_mig_dma_access *a)
{
	unsigned int pause = DMA_PAUSE_MAX_MS;
	unsigned long now = jiffies;

	if (a->turn != f->turns && time_before(now, f->rest)) {
		a->next = f->rest;
	} else {
		if (a->tries < 4)
			pause = 4u << a->tries;
		a->tries++;
		a->next = now + msecs_to_jiffies(pause);
	}
	WRITE_ONCE(a->state, DMA_QUEUED);
	list_add_tail(&a->node, &f->queue);
}

static void faulter_finish(struct vfio_mig_faulter *f,
			   struct vfio_mig_dma_access *a, int ret)
{
	struct vfio_mig_dma_access *orphan = NULL;
	struct vfio_mig_dma *dma = a->dma;

	spin_lock(&f->lock);
	/*
	 * With the lock held, so that a signal of vfio_mig_dma_drop() for this access does not
	 * end the copy of the next access.
	 */
	flush_signals(current);
	if (a->state == DMA_ORPHANED) {
		orphan = a;
	} else if (ret == -EAGAIN) {
		faulter_requeue(f, a);
	} else {
		a->ret = ret;
		/* From here on the caller may free the access. */
		smp_store_release(&a->state, DMA_DONE);
		dma->ready(dma);
	}
	wake_up_all(&f->wait);
	spin_unlock(&f->lock);
	kvfree(orphan);
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

static bool access_is_for(const struct vfio_mig_dma_access *a, dma_addr_t iova, size_t len,
			  bool write)
{
	return a->iova == iova && a->len == len && a->write == write;
}

static bool access_matches(const struct vfio_mig_dma_access *a, dma_addr_t iova,
			   const void *data, size_t len, bool write)
{
	if (!access_is_for(a, iova, len, write))
		return false;
	return !write || a->ret || !memcmp(a->data, data, len);
}

/*
 * Drops the fault thread's result for bytes that were copied without this thread, because
 * their page is present again. If the result stayed, a later access to these bytes would take
 * the result, and copy nothing.
 */
static void access_supersede(struct vfio_mig_dma *dma, dma_addr_t iova, size_t len,
			     bool write)
{
	if (dma->access && access_is_for(dma->access, iova, len, write))
		vfio_mig_dma_finish(dma);
}

/* Takes the result of @dma's access, if there is an access for the same bytes. */
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
	kvfree(a);
	return match;
}

static bool access_start(struct vfio_mig_dma *dma, dma_addr_t iova,
			 const void *data, size_t len, bool write)
{
	struct vfio_mig_faulter *f = &dma->mig->faulter;
	struct vfio_mig_dma_access *a;

	a = kvmalloc(struct_size(a, data, len), VFIO_MIG_GFP);
	if (!a)
		return false;
	*a = (struct vfio_mig_dma_access) {
		.dma = dma, .iova = iova, .len = len, .write = write,
		.state = DMA_QUEUED, .next = jiffies,
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

/*
 * Copies at most %DMA_ACCESS_MAX bytes. Returns -ENOBUFS if the fault thread has to copy, and
 * there is no memory for the access. vfio_dma_rw() does not return this error.
 */
static int dma_rw_piece(struct vfio_mig_dma *dma, dma_addr_t iova, void *data,
			size_t len, bool write)
{
	struct vfio_mig_faulter *f = &dma->mig->faulter;
	int ret;

	/* The fault thread would overwrite the bytes of a newer write with those of its access. */
	if (vfio_mig_dma_pending(dma))
		return -EAGAIN;
	ret = vfio_mig_dma_rw_nofault(dma->mig, iova, data, len, write);
	if (ret != -EFAULT) {
		access_supersede(dma, iova, len, write);
		return ret;
	}
	if (access_claim(dma, iova, data, len, write, &ret))
		return ret;

	if (!access_start(dma, iova, data, len, write))
		return -ENOBUFS;
	dma->waited = true;
	wait_event_killable_timeout(f->wait, !vfio_mig_dma_pending(dma),
				    msecs_to_jiffies(DMA_PATIENCE_MS));
	if (!access_claim(dma, iova, data, len, write, &ret))
		ret = -EAGAIN;
	return ret;
}

/* Copies page by page, because there was no memory for a larger access. */
static int dma_rw_pages(struct vfio_mig_dma *dma, dma_addr_t iova, void *data,
			size_t len, bool write)
{
	size_t n;
	int ret;

	for (; len; len -= n, iova += n, data += n) {
		n = min_t(size_t, len, PAGE_SIZE - offset_in_page(iova));
		ret = dma_rw_piece(dma, iova, data, n, write);
		if (ret)
			return ret;
	}
	return 0;
}

/**
 * vfio_mig_dma_rw - read or write guest memory, present or not
 * @dma: the requester, which has one access at a time
 * @iova: address in the device's I/O address space
 * @data: kernel buffer
 * @len: number of bytes
 * @write: true to write guest memory, false to read it
 *
 * Copies present pages at once. Waits a few milliseconds for a page that is not present.
 * If the page is still missing, the fault thread continues the access, and the caller does
 * other work until &vfio_mig_dma.ready is called. The caller then begins its work again and
 * repeats all its accesses. They are fast now, because the memory is present. The caller
 * calls vfio_mig_dma_finish() when the work is complete.
 *
 * Context: may sleep, for a bounded time; serialised by the caller against other calls for the
 * same @dma. The device is open, and has &vfio_mig_desc.dma_logging, because other devices have
 * no fault thread.
 * Return: 0; -EAGAIN while the access is in progress, or if there is no memory for it; -EINVAL
 * for a range that wraps around; or an error of vfio_dma_rw(), which is final. After an error
 * some bytes may have been copied.
 */
int vfio_mig_dma_rw(struct vfio_mig_dma *dma, dma_addr_t iova, void *data,
		    size_t len, bool write)
{
	size_t n;
	int ret;

	if (iova + len < iova)
		return -EINVAL;
	for (; len; len -= n, iova += n, data += n) {
		n = min_t(size_t, len, DMA_ACCESS_MAX);
		ret = dma_rw_piece(dma, iova, data, n, write);
		if (ret == -ENOBUFS && n > PAGE_SIZE)
			ret = dma_rw_pages(dma, iova, data, n, write);
		if (ret == -ENOBUFS) {
			/* The user is at the limit of its memory, so the caller tries again. */
			schedule_timeout_killable(msecs_to_jiffies(DMA_PATIENCE_MS));
			dma->ready(dma);
			return -EAGAIN;
		}
		if (ret)
			return ret;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_mig_dma_rw);

/**
 * vfio_mig_dma_pending - whether an access is in progress
 * @dma: the requester
 *
 * Context: any; serialised by the caller against vfio_mig_dma_rw() and
 * vfio_mig_dma_drop() of the same @dma.
 */
bool vfio_mig_dma_pending(struct vfio_mig_dma *dma)
{
	/* After this load the caller sees the fault thread's earlier stores. */
	return dma->access && smp_load_acquire(&dma->access->state) != DMA_DONE;
}
EXPORT_SYMBOL_GPL(vfio_mig_dma_pending);

/**
 * vfio_mig_dma_finish - a requester's work is complete
 * @dma: the requester
 *
 * Work that begins again can make other accesses than before, for example because the guest
 * changed a list of addresses meanwhile. Then nobody takes the result of the earlier access.
 * This function drops such a result, so that later work cannot take it for its own. It does
 * nothing while an access is in progress.
 *
 * Context: may sleep; serialised by the caller against vfio_mig_dma_rw() and
 * vfio_mig_dma_drop() of the same @dma.
 */
void vfio_mig_dma_finish(struct vfio_mig_dma *dma)
{
	if (!dma->access || vfio_mig_dma_pending(dma))
		return;
	kvfree(dma->access);
	dma->access = NULL;
}
EXPORT_SYMBOL_GPL(vfio_mig_dma_finish);

/* Ends an access. Returns true if the fault thread copies, and ends its wait then. */
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

/* Leaves an access to the fault thread, which frees it. Returns false if the copy has ended. */
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
 * vfio_mig_dma_drop - give up an access
 * @dma: the requester; may have no access
 *
 * After a return value of true no bytes are copied for @dma any more, and &vfio_mig_dma.ready
 * is not called any more, so @dma can be freed. The access counts as not made, although a part
 * of it may have been made.
 *
 * Context: may sleep. Serialised by the caller against vfio_mig_dma_rw() of the same
 * @dma.
 * Return: true, or false if the copy has not ended in 10 seconds. The reason is then a
 * file system whose wait no signal ends, such as a FUSE server that took a request. The fault
 * thread may still copy then, but does not use @dma any more.
 */
bool vfio_mig_dma_drop(struct vfio_mig_dma *dma)
{
	struct vfio_mig_faulter *f = &dma->mig->faulter;
	struct vfio_mig_dma_access *a = dma->access;
	unsigned long end = jiffies + DMA_DROP_TIMEOUT;

	if (!a) {
		/* The caller took the result, and the fault thread may still call ready(). */
		spin_lock(&f->lock);
		spin_unlock(&f->lock);
		return true;
	}
	dma->access = NULL;
	/* In a loop, because the fault thread may have queued the access for another try. */
	while (access_end(f, a)) {
		wait_event_timeout(f->wait, READ_ONCE(a->state) != DMA_TRIED, HZ / 10);
		if (time_before(jiffies, end))
			continue;
		if (access_orphan(f, a))
			return false;
	}
	kvfree(a);
	return true;
}
EXPORT_SYMBOL_GPL(vfio_mig_dma_drop);

/**
 * vfio_mig_dma_init - set up a requester of accesses to guest memory
 * @dma: the requester, for example a member of a queue
 * @mig: the device
 * @ready: see &struct vfio_mig_dma
 *
 * Context: any.
 */
void vfio_mig_dma_init(struct vfio_mig_dma *dma, struct vfio_mig *mig,
		       void (*ready)(struct vfio_mig_dma *dma))
{
	dma->mig = mig;
	dma->ready = ready;
	dma->waited = false;
	dma->access = NULL;
}
EXPORT_SYMBOL_GPL(vfio_mig_dma_init);

/**
 * vfio_mig_faulter_init - set up a device's list of accesses that wait
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
 * vfio_mig_faulter_start - start the fault thread when the device is opened
 * @mig: the device
 *
 * Return: 0, or an error of kthread_create().
 */
int vfio_mig_faulter_start(struct vfio_mig *mig)
{
	struct vfio_mig_faulter *f = &mig->faulter;
	struct task_struct *task;

	/* Other devices do not call vfio_mig_dma_rw(). */
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
 * vfio_mig_faulter_stop - end the fault thread when the device is closed
 * @mig: the device, which has dropped all accesses
 *
 * Waits for a copy in progress, because the container may be freed when the device is
 * closed.
 *
 * Context: may sleep. The session mutex is held.
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
