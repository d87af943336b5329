// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio-mig-core: a device's life from creation to removal, and the session mutex
 *
 * A vendor driver calls vfio_mig_create() and vfio_mig_destroy() once for each device,
 * vfio_mig_open() and vfio_mig_close() for each user of the device, and vfio_mig_reset() or
 * vfio_mig_reset_done() for each reset. mig.h describes the terms and the order of the locks.
 */
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#define CREATE_TRACE_POINTS
#include <trace/events/vfio_mig.h>

#include "data.h"
#include "fault.h"
#include "irq.h"
#include "machine.h"
#include "mapping.h"
#include "mig.h"
#include "pages.h"
#include "save.h"
#include "v2.h"
#include "window.h"

static unsigned int window_kib = 16384;
module_param(window_kib, uint, 0644);
MODULE_PARM_DESC(window_kib,
		 "Size of the v1 data section in KiB, for devices created from now on (64 to 1048576, a multiple of 4)");

#define WINDOW_KIB_MAX	1048576U

/* A close waits for a callback for this time, and then cancels the callback. */
#define CLOSE_PATIENCE	(10 * HZ)

/**
 * vfio_mig_lock - take the session mutex for a user
 * @mig: the device
 *
 * Enters the error state if the vendor driver has reported an error. Does not touch a
 * closed device, because a data file can outlive the device.
 *
 * Return: 0, or -EINTR if the caller is being killed.
 */
int vfio_mig_lock(struct vfio_mig *mig)
{
	if (fatal_signal_pending(current) || mutex_lock_killable(&mig->lock))
		return -EINTR;
	if (mig->opened && READ_ONCE(mig->broken) && mig->state != VFIO_MIG_ERROR)
		vfio_mig_machine_fail(mig);
	return 0;
}

/* Makes callbacks that wait for the device give up, because a reset or a close waits for them. */
static void cancel_callbacks(struct vfio_mig *mig)
{
	if (mig->desc.ops->cancel)
		mig->desc.ops->cancel(mig->vdev);
}

/**
 * vfio_mig_cancelled - whether a callback that waits has to give up
 * @mig: the library's object
 *
 * Context: any; called by callbacks of the vendor driver, which &vfio_mig_ops.cancel wakes.
 * Return: true while a user waits to reset or close the device, and when a close has waited
 * for the driver for 10 seconds. Also true until a reported reset takes effect. The callback
 * may then return any error.
 */
bool vfio_mig_cancelled(struct vfio_mig *mig)
{
	return atomic_read(&mig->cancels) || READ_ONCE(mig->reset_pending);
}
EXPORT_SYMBOL_GPL(vfio_mig_cancelled);

/**
 * vfio_mig_unlock - release the session mutex
 * @mig: the device
 *
 * Acts on a reset that was reported meanwhile, see vfio_mig_reset_done(). Either the thread
 * that reports a reset gets the mutex, or the holder of the mutex sees the report here,
 * because both hold @reset_lock.
 */
void vfio_mig_unlock(struct vfio_mig *mig)
{
	for (;;) {
		spin_lock(&mig->reset_lock);
		if (!mig->reset_pending)
			break;
		mig->reset_pending = false;
		spin_unlock(&mig->reset_lock);
		if (mig->opened)
			vfio_mig_machine_was_reset(mig);
	}
	mutex_unlock(&mig->lock);
	spin_unlock(&mig->reset_lock);
}

static bool desc_valid(const struct vfio_mig_desc *desc)
{
	const struct vfio_mig_ops *ops = desc->ops;

	/* A driver may have no control state. Otherwise it has both callbacks. */
	if (!ops->save != !ops->prepare || (desc->control_max && !ops->save))
		return false;
	if (desc->image && !(desc->image->size && desc->image->read &&
			     desc->image->write && desc->image_max))
		return false;
	if (desc->protocols & ~(VFIO_MIG_PROTOCOL_V1 | VFIO_MIG_PROTOCOL_V2))
		return false;
	return strlen(desc->type) < VFIO_MIG_STREAM_TYPE_LEN &&
	       desc->control_max <= VFIO_MIG_STREAM_CONTROL_MAX &&
	       desc->control_version_min <= desc->control_version &&
	       ops->stop && ops->run && ops->reset && ops->apply;
}

static void mig_free(struct kref *kref)
{
	kfree(container_of(kref, struct vfio_mig, kref));
}

/**
 * vfio_mig_put - drop a reference to the library's object
 * @mig: the device
 */
void vfio_mig_put(struct vfio_mig *mig)
{
	kref_put(&mig->kref, mig_free);
}

static bool window_valid(unsigned int kib)
{
	return kib * 1024ULL >= VFIO_MIG_CHUNK_ROOM_MIN && kib <= WINDOW_KIB_MAX &&
	       kib % (PAGE_SIZE / 1024) == 0;
}

/**
 * vfio_mig_create - make a device migratable
 * @vdev: the device, initialised and not registered yet
 * @desc: its description, which is copied. Objects that the description points to must
 *	stay until vfio_mig_destroy().
 *
 * Adds a directory "migration" to the device's sysfs directory. Offers the v2 protocol by
 * setting &vfio_device.mig_ops and &vfio_device.migration_flags, unless
 * &vfio_mig_desc.protocols excludes it.
 *
 * Context: may sleep.
 * Return: the library's object, or ERR_PTR(): -EINVAL for an invalid description or an
 * invalid module parameter, -ENOMEM.
 */
struct vfio_mig *vfio_mig_create(struct vfio_device *vdev,
				 const struct vfio_mig_desc *desc)
{
	unsigned int kib = READ_ONCE(window_kib);
	struct vfio_mig *mig;
	int ret;

	if (!desc_valid(desc))
		return ERR_PTR(-EINVAL);
	if (!window_valid(kib)) {
		dev_err(vdev->dev,
			"vfio-mig-core: window_kib=%u is not a multiple of 4 from 64 to %u\n",
			kib, WINDOW_KIB_MAX);
		return ERR_PTR(-EINVAL);
	}

	mig = kzalloc(sizeof(*mig), GFP_KERNEL);
	if (!mig)
		return ERR_PTR(-ENOMEM);
	mutex_init(&mig->lock);
	spin_lock_init(&mig->reset_lock);
	ratelimit_state_init(&mig->log, DEFAULT_RATELIMIT_INTERVAL,
			     DEFAULT_RATELIMIT_BURST);
	kref_init(&mig->kref);
	vfio_mig_irqs_init(&mig->irqs);
	mig->vdev = vdev;
	mig->desc = *desc;
	if (!mig->desc.protocols)
		mig->desc.protocols = VFIO_MIG_PROTOCOL_V1 | VFIO_MIG_PROTOCOL_V2;
	mig->state = VFIO_MIG_STOP;
	mig->window_size = (size_t)kib * 1024;

	ret = vfio_mig_sysfs_add(mig);
	if (ret) {
		vfio_mig_put(mig);
		return ERR_PTR(ret);
	}
	if (vfio_mig_has_v2(mig))
		vfio_mig_v2_offer(mig);
	else
		vfio_mig_pci_add(mig);
	vfio_mig_faulter_init(mig);
	vfio_mig_log_init(mig);
	vfio_mig_fault_init(mig);
	return mig;
}
EXPORT_SYMBOL_GPL(vfio_mig_create);

/**
 * vfio_mig_destroy - opposite of vfio_mig_create()
 * @mig: the library's object; the device is closed and cannot be opened
 *
 * Context: may sleep.
 */
void vfio_mig_destroy(struct vfio_mig *mig)
{
	vfio_mig_fault_exit(mig);
	if (!vfio_mig_has_v2(mig))
		vfio_mig_pci_remove(mig);
	vfio_mig_sysfs_remove(mig);
	vfio_mig_put(mig);
}
EXPORT_SYMBOL_GPL(vfio_mig_destroy);

/*
 * Removes all pages from the user's mappings, because these mappings must not show the data of
 * the next user.
 */
static void drop_mappings(struct vfio_mig *mig)
{
	if (mig->window)
		vfio_mig_window_destroy(mig->window);
	mig->window = NULL;
	if (mig->desc.pages)
		vfio_mig_mapping_close(mig->desc.pages);
}

/**
 * vfio_mig_open - a user opens the device
 * @mig: the library's object
 *
 * Resets the device and runs it.
 *
 * Context: the vendor driver's &vfio_device_ops.open_device, in the user's process. From
 * now on the paged state is charged to the user's memory control group.
 * Return: 0, -ENOMEM, -ENFILE, or the error of creating the fault thread.
 */
int vfio_mig_open(struct vfio_mig *mig)
{
	struct vfio_mig_window *window = NULL;
	int ret;

	if (vfio_mig_has_v1(mig))
		window = vfio_mig_window_create(mig->window_size);
	if (IS_ERR(window))
		return PTR_ERR(window);
	ret = vfio_mig_faulter_start(mig);
	if (ret) {
		if (window)
			vfio_mig_window_destroy(window);
		return ret;
	}

	mutex_lock(&mig->lock);
	mig->window = window;
	if (mig->desc.pages)
		vfio_mig_pages_set_payer(mig->desc.pages, current->mm);
	vfio_mig_machine_start(mig);
	WRITE_ONCE(mig->opened, true);
	vfio_mig_unlock(mig);
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_mig_open);

/**
 * struct closing - a close in progress
 * @work: cancels the callbacks when the close has waited for CLOSE_PATIENCE
 * @mig: the device
 * @over: @work has cancelled the callbacks, and &vfio_mig.cancels counts this close
 */
struct closing {
	struct delayed_work work;
	struct vfio_mig *mig;
	bool over;
};

static void closing_over(struct work_struct *work)
{
	struct closing *c = container_of(work, struct closing, work.work);

	c->over = true;
	atomic_inc(&c->mig->cancels);
	cancel_callbacks(c->mig);
}

/*
 * Ends any session and stops the device. A process that is being killed closes its files
 * when it takes no signal any more. So no signal ends a callback that waits for the device, and
 * a delayed work item cancels the callback instead.
 */
static int close_rest(struct vfio_mig *mig)
{
	struct closing c = { .mig = mig };
	int ret;

	INIT_DELAYED_WORK_ONSTACK(&c.work, closing_over);
	schedule_delayed_work(&c.work, CLOSE_PATIENCE);
	ret = vfio_mig_machine_rest(mig);
	cancel_delayed_work_sync(&c.work);
	destroy_delayed_work_on_stack(&c.work);
	if (c.over)
		atomic_dec(&mig->cancels);
	return ret;
}

/**
 * vfio_mig_close - the last user closed the device
 * @mig: the library's object
 *
 * Cancels callbacks that wait, ends any session and stops the device. Callbacks that this
 * function calls are cancelled after 10 seconds. If the device does not stop, the vendor
 * driver's next &vfio_mig_ops.reset has to stop it.
 *
 * Context: the vendor driver's &vfio_device_ops.close_device.
 */
void vfio_mig_close(struct vfio_mig *mig)
{
	atomic_inc(&mig->cancels);
	cancel_callbacks(mig);
	mutex_lock(&mig->lock);
	atomic_dec(&mig->cancels);
	if (close_rest(mig) && __ratelimit(&mig->log))
		dev_err(mig->vdev->dev, "device does not stop at close\n");
	vfio_mig_faulter_stop(mig);
	vfio_mig_log_end(mig);
	vfio_mig_irqs_close(mig);
	WRITE_ONCE(mig->opened, false);
	drop_mappings(mig);
	vfio_mig_unlock(mig);
}
EXPORT_SYMBOL_GPL(vfio_mig_close);

/**
 * vfio_mig_reset - reset the device in any state
 * @mig: the library's object
 *
 * Ends any session; the device runs afterwards. The paged state does not change. A device
 * that does not stop is reset in any case. Callbacks that wait are cancelled.
 *
 * Context: the vendor driver's VFIO_DEVICE_RESET, and the device's own kinds of reset.
 * Takes the session mutex. Callers that must not wait for this mutex call
 * vfio_mig_reset_done().
 * Return: 0, or -EINTR if the caller is being killed, and then the device was not reset.
 */
int vfio_mig_reset(struct vfio_mig *mig)
{
	int ret;

	atomic_inc(&mig->cancels);
	cancel_callbacks(mig);
	ret = mutex_lock_killable(&mig->lock);
	atomic_dec(&mig->cancels);
	if (ret)
		return -EINTR;
	vfio_mig_machine_start(mig);
	vfio_mig_unlock(mig);
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_mig_reset);

/**
 * vfio_mig_reset_done - report that another driver has reset the function
 * @mig: the library's object
 *
 * Ends any session and calls &vfio_mig_ops.reset, &vfio_mig_ops.start and
 * &vfio_mig_ops.run. Does not call &vfio_mig_ops.stop, because the reset has stopped the
 * device. If another thread holds the session mutex, that thread does this work before it
 * releases the mutex. So this function does not wait for the mutex.
 *
 * Context: &pci_error_handlers.reset_done of a driver that embeds a struct
 * vfio_pci_core_device. VFIO holds its memory_lock during the call, and callbacks that run
 * with the session mutex held may take memory_lock. Callbacks that end a session, run the
 * device or cancel other callbacks must not take memory_lock, because this function may call
 * them. These callbacks are &vfio_mig_ops.reset, start, run, discard and cancel,
 * &vfio_mig_image_ops.save_end and load_end, and &vfio_mig_memory_ops.track at the end of a
 * save. May sleep.
 */
void vfio_mig_reset_done(struct vfio_mig *mig)
{
	spin_lock(&mig->reset_lock);
	mig->reset_pending = true;
	if (!mutex_trylock(&mig->lock)) {
		spin_unlock(&mig->reset_lock);
		cancel_callbacks(mig);
		return;
	}
	spin_unlock(&mig->reset_lock);
	vfio_mig_unlock(mig);
}
EXPORT_SYMBOL_GPL(vfio_mig_reset_done);

/**
 * vfio_mig_control_changed - report that the control state has changed
 * @mig: the library's object
 *
 * A driver calls this after a change while the device is stopped, for example when the
 * user has written a register. Calls at other times do no harm.
 *
 * Context: any.
 */
void vfio_mig_control_changed(struct vfio_mig *mig)
{
	smp_mb(); /* A save that clears the flag sees the change; pairs with make_control(). */
	WRITE_ONCE(mig->control_dirty, true);
}
EXPORT_SYMBOL_GPL(vfio_mig_control_changed);

/**
 * vfio_mig_device_error - report that the device broke and needs a reset
 * @mig: the library's object
 *
 * The device enters the error state when a thread next takes the session mutex. Any session is
 * lost.
 *
 * Context: any.
 */
void vfio_mig_device_error(struct vfio_mig *mig)
{
	WRITE_ONCE(mig->broken, true);
	/* poll() reports the error at once. */
	vfio_mig_data_wake(mig);
}
EXPORT_SYMBOL_GPL(vfio_mig_device_error);

struct workqueue_struct *vfio_mig_wq;

static int __init vfio_mig_init(void)
{
	int ret;

	vfio_mig_wq = alloc_workqueue("vfio_mig", WQ_UNBOUND, 0);
	if (!vfio_mig_wq)
		return -ENOMEM;
	ret = vfio_mig_workers_init();
	if (ret) {
		destroy_workqueue(vfio_mig_wq);
		return ret;
	}
	vfio_mig_fault_setup();
	return 0;
}
module_init(vfio_mig_init);

static void __exit vfio_mig_exit(void)
{
	vfio_mig_fault_cleanup();
	vfio_mig_workers_exit();
	destroy_workqueue(vfio_mig_wq);
}
module_exit(vfio_mig_exit);

MODULE_DESCRIPTION("VFIO device migration protocols, v1 and v2");
MODULE_AUTHOR("The vfio-mig-core authors");
MODULE_LICENSE("GPL");
VFIO_MIG_IMPORT_IOMMUFD();
