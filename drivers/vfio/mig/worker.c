// SPDX-License-Identifier: GPL-2.0-only
/*
 * Workers: threads that belong to the user who opened a device
 *
 * If the kernel has vhost_task, a worker is a thread of the user's process. The user is
 * charged for its CPU time and memory, and the worker dies with the process. Otherwise a
 * worker is a kernel thread that uses the user's address space and memory control group
 * while it works. No user is charged for its CPU time then.
 *
 * vfio_mig_worker_stop() only ensures that the worker does not work any more. The thread
 * ends later. A thread of a process that SIGSTOP, a debugger or the freezer stopped cannot
 * end, so no function waits for the thread. Instead, the thread queues a work item when
 * nothing can stop it any more, and this work item frees the worker.
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
 * struct vfio_mig_worker - a thread for the user who opened the device
 * @work: function that the worker calls after each wake-up
 * @data: argument of @work
 * @busy: held while the worker works
 * @wait: the thread sleeps here
 * @wanted: the worker was woken, and has not begun to work since
 * @stopped: the worker must not work any more; set with @busy held
 * @killed: the thread ends, with the user's process or after @stopped
 * @refs: one for the driver, and one for the thread until it does not work any more
 * @burial: work item that waits for the thread's end and frees the worker
 * @vtsk: the thread, if it belongs to the user's process
 * @task: the thread, if it is a kernel thread
 * @mm: with @task: the user's address space
 * @memcg: with @task: the user's memory control group
 */
struct vfio_mig_worker {
	void (*work)(void *data);
	void *data;
	struct mutex busy; /* held while the worker works */
	wait_queue_head_t wait;
	bool wanted;
	bool stopped;
	bool killed;
	refcount_t refs;
	struct work_struct burial;
	struct vhost_task *vtsk;
	struct task_struct *task;
	struct mm_struct *mm;
	struct mem_cgroup *memcg;
};

/* Workers have their own workqueue, because a work item waits for a thread to end. */
static struct workqueue_struct *worker_wq;

static void worker_put(struct vfio_mig_worker *w)
{
	if (refcount_dec_and_test(&w->refs))
		queue_work(worker_wq, &w->burial);
}

/* Sleeps until the worker is woken or stopped, or gets a signal. Works if it was woken. */
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
 * The scheduler leaves some work for the return to user space. For example, it puts a
 * thread to sleep there when the CPU time of its group is used up. This thread never
 * returns to user space, so get_signal() has to do the work.
 */
static void worker_take_notice(void)
{
	if (!test_thread_flag(TIF_NOTIFY_RESUME))
		return;
	clear_thread_flag(TIF_NOTIFY_RESUME);
	set_thread_flag(TIF_NOTIFY_SIGNAL);
}

/*
 * Ends this thread alone, as SIGKILL would end the process. vhost_task_stop() cannot be used,
 * because its caller waits, and a SIGSTOP for the process can stop the thread before the thread
 * ends. A thread with a fatal signal does not stop. When the thread has taken the signal,
 * vhost_task calls worker_vhost_killed().
 */
static void worker_exit(void)
{
	/* A thread keeps its sighand until it has ended. */
	struct sighand_struct *sighand = rcu_dereference_protected(current->sighand, true);

	spin_lock_irq(&sighand->siglock);
	sigaddset(&current->pending.signal, SIGKILL);
	set_thread_flag(TIF_SIGPENDING);
	spin_unlock_irq(&sighand->siglock);
}

/* vhost_task calls this in a loop, and handles signals. */
static bool worker_vhost_fn(void *data)
{
	struct vfio_mig_worker *w = data;

	__set_current_state(TASK_RUNNING);
	if (READ_ONCE(w->stopped)) {
		worker_exit();
		return true;
	}
	worker_turn(w);
	worker_take_notice();
	return true;
}

static void worker_vhost_killed(void *data)
{
	struct vfio_mig_worker *w = data;

	WRITE_ONCE(w->killed, true);
	worker_put(w);
}

static int worker_start(struct vfio_mig_worker *w, const char *name)
{
	struct vhost_task *vtsk;

	vtsk = vhost_task_create(worker_vhost_fn, worker_vhost_killed, w, name);
	/* Before Linux 6.14 there is no errno. Mostly the user is at a limit. */
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
/*
 * A worker keeps the address space for this number of calls, because it takes long to switch
 * to an address space.
 */
#define WORKER_TURNS	64

/* Holds the user's address space only while there is work, and for a limited time. */
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
	worker_put(w);
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
	/* vfio_mig_workers_exit() waits for this function to return. */
	module_put(THIS_MODULE);
}

/**
 * vfio_mig_worker_create - start a thread for the user who opens a device
 * @name: name of the thread
 * @work: function that the worker calls after each wake-up. The function must not wait
 *	for anything that the user can delay, and returns soon when the device has to stop.
 * @data: argument of @work
 *
 * Context: &vfio_device_ops.open_device, in the user's process.
 * Return: the worker or ERR_PTR(): -ENOMEM, -EAGAIN if the user may have no more threads,
 * -EINVAL if a kernel thread opens the device, or another error of creating a thread.
 * vfio_mig_worker_stop() ends the worker.
 */
struct vfio_mig_worker *vfio_mig_worker_create(const char *name,
					       void (*work)(void *data), void *data)
{
	struct vfio_mig_worker *w;
	int ret;

	/* A worker cannot belong to a kernel thread that opens a device. */
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
	/* The thread executes code of this module until it has ended. */
	__module_get(THIS_MODULE);
	return w;
}
EXPORT_SYMBOL_GPL(vfio_mig_worker_create);

/**
 * vfio_mig_worker_wake - make a worker work once more
 * @w: the worker
 *
 * Context: any.
 */
void vfio_mig_worker_wake(struct vfio_mig_worker *w)
{
	/* The caller's earlier stores are visible to the worker. */
	smp_store_release(&w->wanted, true);
	wake_up(&w->wait);
}
EXPORT_SYMBOL_GPL(vfio_mig_worker_wake);

/**
 * vfio_mig_worker_killed - whether the worker's process has ended
 * @w: the worker
 *
 * The worker does not work any more then. Another process may still have the device open.
 * The function returns false for a kernel thread, which outlives the process.
 *
 * Context: any.
 */
bool vfio_mig_worker_killed(const struct vfio_mig_worker *w)
{
	return READ_ONCE(w->killed);
}
EXPORT_SYMBOL_GPL(vfio_mig_worker_killed);

/**
 * vfio_mig_worker_stop - stop a worker
 * @w: the worker, or NULL; must not be used afterwards
 *
 * When this function returns, the worker does not work, and does not begin to work.
 *
 * Context: may sleep until the worker's present call of its function has returned.
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
 * vfio_mig_workers_init - initialise when the library is loaded
 *
 * Return: 0 or -ENOMEM.
 */
int vfio_mig_workers_init(void)
{
	worker_wq = alloc_workqueue("vfio_mig_workers", WQ_UNBOUND, 0);
	return worker_wq ? 0 : -ENOMEM;
}

/**
 * vfio_mig_workers_exit - clean up when the library is unloaded
 *
 * All threads have ended, because each of them holds a reference to the module. The workqueue
 * may still execute the end of worker_bury(), and destroy_workqueue() waits for that.
 */
void vfio_mig_workers_exit(void)
{
	destroy_workqueue(worker_wq);
}
