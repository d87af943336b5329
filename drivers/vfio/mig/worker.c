// SPDX-License-Identifier: GPL-2.0-only
/*
 * Workers: threads that belong to the user who opened a device
 *
 * Where the kernel has vhost_task, a worker is a thread of the user's process. Its CPU
 * time and the memory that it allocates count as the user's, and it dies with the
 * process. Elsewhere it is a kernel thread that borrows the user's address space and
 * memory control group while it works; nobody is charged for its CPU time.
 *
 * To stop a worker is to make sure that it works no more. The thread itself ends when
 * it gets to that. A process that is stopped by SIGSTOP or by a debugger keeps its
 * threads from ending, so nobody waits for it: the thread asks for its own burial, by a
 * work item, when it is about to end.
 */
#include <linux/kthread.h>
#include <linux/memcontrol.h>
#include <linux/mmu_context.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "mig.h"

#if VFIO_MIG_HAS_VHOST_TASK
#include <linux/sched/vhost_task.h>
#endif

/**
 * struct vfio_mig_worker - a worker
 * @work: what it does each time that it was woken
 * @data: for @work
 * @busy: held while it works
 * @wait: where the thread sleeps
 * @wanted: it was woken, and did not begin to work since
 * @stopped: it is to work no more; set with @busy held
 * @killed: the user's process ends
 * @leaving: the thread has let go of its reference; the thread's own
 * @refs: one for the driver, one for the thread until it works no more
 * @burial: waits for the thread's end and frees this
 * @vtsk: the thread, where it is the user's
 * @task: the thread, where it is the kernel's
 * @mm: with @task: the user's address space
 * @memcg: with @task: the user's memory control group
 */
struct vfio_mig_worker {
	void (*work)(void *data);
	void *data;
	struct mutex busy; /* while it works */
	wait_queue_head_t wait;
	bool wanted;
	bool stopped;
	bool killed;
	bool leaving;
	refcount_t refs;
	struct work_struct burial;
	struct vhost_task *vtsk;
	struct task_struct *task;
	struct mm_struct *mm;
	struct mem_cgroup *memcg;
};

/* Of its own: an item waits for a thread to end. */
static struct workqueue_struct *worker_wq;

static void worker_put(struct vfio_mig_worker *w)
{
	if (refcount_dec_and_test(&w->refs))
		queue_work(worker_wq, &w->burial);
}

static void worker_leave(struct vfio_mig_worker *w)
{
	if (w->leaving)
		return;
	w->leaving = true;
	worker_put(w);
}

/* Sleeps until it is woken, stopped or gets a signal; then works, if it was woken. */
static void worker_turn(struct vfio_mig_worker *w)
{
	if (wait_event_interruptible(w->wait, READ_ONCE(w->wanted) ||
				     READ_ONCE(w->stopped)))
		return;
	mutex_lock(&w->busy);
	if (!w->stopped && xchg(&w->wanted, false))
		w->work(w->data);
	mutex_unlock(&w->busy);
	cond_resched();
}

#if VFIO_MIG_HAS_VHOST_TASK
/*
 * What the scheduler leaves for the way back to user space, where this thread never
 * goes, such as to put it to sleep when its CPU time is used up. get_signal() does it.
 */
static void worker_take_notice(void)
{
	if (!test_thread_flag(TIF_NOTIFY_RESUME))
		return;
	clear_thread_flag(TIF_NOTIFY_RESUME);
	set_thread_flag(TIF_NOTIFY_SIGNAL);
}

/* Called again and again, after signals were taken; false: sleep until woken. */
static bool worker_vhost_fn(void *data)
{
	struct vfio_mig_worker *w = data;

	if (READ_ONCE(w->stopped)) {
		/* In the state that vhost_task_fn() set: vhost_task_stop() ends it. */
		worker_leave(w);
		return false;
	}
	__set_current_state(TASK_RUNNING);
	worker_turn(w);
	worker_take_notice();
	return true;
}

static void worker_vhost_killed(void *data)
{
	struct vfio_mig_worker *w = data;

	WRITE_ONCE(w->killed, true);
	worker_leave(w);
}

static int worker_start(struct vfio_mig_worker *w, const char *name)
{
	struct vhost_task *vtsk;

	vtsk = vhost_task_create(worker_vhost_fn, worker_vhost_killed, w, name);
	/* Before 6.14 there was no errno: mostly it is a limit of the user's. */
	if (IS_ERR_OR_NULL(vtsk))
		return vtsk ? PTR_ERR(vtsk) : -EAGAIN;
	w->vtsk = vtsk;
	vhost_task_start(vtsk);
	return 0;
}

static void worker_end(struct vfio_mig_worker *w)
{
	vhost_task_stop(w->vtsk);
}
#else
/* To take on an address space costs more than a small piece of work. */
#define WORKER_TURNS	64

/* The user's memory is kept only while there is something to do, and not for long. */
static void worker_kthread_turn(struct vfio_mig_worker *w)
{
	struct mem_cgroup *old;
	bool used;
	int n;

	wait_event_interruptible(w->wait, READ_ONCE(w->wanted) ||
				 READ_ONCE(w->stopped));
	used = mmget_not_zero(w->mm);
	if (used)
		kthread_use_mm(w->mm);
	old = set_active_memcg(w->memcg);
	for (n = 0; n < WORKER_TURNS && READ_ONCE(w->wanted) &&
	     !READ_ONCE(w->stopped); n++)
		worker_turn(w);
	set_active_memcg(old);
	if (used) {
		kthread_unuse_mm(w->mm);
		mmput(w->mm);
	}
}

static int worker_kthread_fn(void *data)
{
	struct vfio_mig_worker *w = data;

	while (!READ_ONCE(w->stopped))
		worker_kthread_turn(w);
	worker_leave(w);
	wait_event_interruptible(w->wait, kthread_should_stop());
	return 0;
}

static int worker_start(struct vfio_mig_worker *w, const char *name)
{
	struct task_struct *task;

	task = kthread_create(worker_kthread_fn, w, "%s", name);
	if (IS_ERR(task))
		return PTR_ERR(task);
	w->task = task;
	w->mm = current->mm;
	mmgrab(w->mm);
	w->memcg = get_mem_cgroup_from_mm(w->mm);
	wake_up_process(task);
	return 0;
}

static void worker_end(struct vfio_mig_worker *w)
{
	kthread_stop(w->task);
	mem_cgroup_put(w->memcg);
	mmdrop(w->mm);
}
#endif

static void worker_bury(struct work_struct *work)
{
	struct vfio_mig_worker *w = container_of(work, struct vfio_mig_worker, burial);

	worker_end(w);
	kfree(w);
	/* vfio_mig_workers_exit() waits for the rest of this function. */
	module_put(THIS_MODULE);
}

/**
 * vfio_mig_worker_create - start a thread for the user who opens a device
 * @name: its name
 * @work: what it does each time that it was woken. Waits for nothing that the user
 *	can hold up, and returns soon when the device is to stop.
 * @data: for @work
 *
 * Context: &vfio_device_ops.open_device, in the user's process.
 * Return: the worker or ERR_PTR(): -ENOMEM, -EAGAIN where the user may have no more
 * threads, or another error of creating one. Ended by vfio_mig_worker_stop().
 */
struct vfio_mig_worker *vfio_mig_worker_create(const char *name,
					       void (*work)(void *data), void *data)
{
	struct vfio_mig_worker *w;
	int ret;

	/* A kernel thread that opens a device has no process for it to belong to. */
	if (!current->mm)
		return ERR_PTR(-EINVAL);
	w = kzalloc(sizeof(*w), GFP_KERNEL_ACCOUNT);
	if (!w)
		return ERR_PTR(-ENOMEM);
	w->work = work;
	w->data = data;
	mutex_init(&w->busy);
	init_waitqueue_head(&w->wait);
	refcount_set(&w->refs, 2);
	INIT_WORK(&w->burial, worker_bury);
	ret = worker_start(w, name);
	if (ret) {
		kfree(w);
		return ERR_PTR(ret);
	}
	/* The thread runs this module's code until it has ended. */
	__module_get(THIS_MODULE);
	return w;
}
EXPORT_SYMBOL_GPL(vfio_mig_worker_create);

/**
 * vfio_mig_worker_wake - have a worker work once more
 * @w: the worker
 *
 * Context: any.
 */
void vfio_mig_worker_wake(struct vfio_mig_worker *w)
{
	/* What there is to do was said before. */
	smp_store_release(&w->wanted, true);
	wake_up(&w->wait);
}
EXPORT_SYMBOL_GPL(vfio_mig_worker_wake);

/**
 * vfio_mig_worker_killed - whether the process that a worker belongs to has ended
 * @w: the worker
 *
 * It works no more then. Another process may still have the device open.
 *
 * Context: any.
 */
bool vfio_mig_worker_killed(const struct vfio_mig_worker *w)
{
	return READ_ONCE(w->killed);
}
EXPORT_SYMBOL_GPL(vfio_mig_worker_killed);

/**
 * vfio_mig_worker_stop - have a worker work no more
 * @w: the worker, or NULL; not to be used afterwards
 *
 * When it returns the worker does not work, and it does not begin to.
 *
 * Context: may sleep until the worker has finished what it does.
 */
void vfio_mig_worker_stop(struct vfio_mig_worker *w)
{
	if (!w)
		return;
	mutex_lock(&w->busy);
	WRITE_ONCE(w->stopped, true);
	mutex_unlock(&w->busy);
	wake_up(&w->wait);
	worker_put(w);
}
EXPORT_SYMBOL_GPL(vfio_mig_worker_stop);

/**
 * vfio_mig_workers_init - the library is loaded
 *
 * Return: 0 or -ENOMEM.
 */
int vfio_mig_workers_init(void)
{
	worker_wq = alloc_workqueue("vfio_mig_workers", WQ_UNBOUND, 0);
	return worker_wq ? 0 : -ENOMEM;
}

/**
 * vfio_mig_workers_exit - the library is unloaded: all threads have ended
 */
void vfio_mig_workers_exit(void)
{
	destroy_workqueue(worker_wq);
}
