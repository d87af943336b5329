/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Structures that the library's files share
 *
 * A session is one save or one load of a device's state. A front end is the code that speaks
 * one protocol with user space: region.c and window.c for v1, v2.c and data.c for v2. Both front
 * ends use the same state machine (machine.c), the same writer (save.c) and the same reader
 * (load.c, parse.c, stage.c). A device has one session at most, which belongs to one front end.
 * The device and its data files hold references to the library's object, struct vfio_mig.
 *
 * Locks, in the order in which they are taken:
 *
 * - &vfio_mig_data.lock of a data file, during copies to and from user memory
 * - the session mutex, &vfio_mig.lock. No user memory is accessed while it is held.
 * - mmap_lock of a user, see vfio_mig_mapping_lock()
 * - the lock of the window (window.c), or that of the mappings of device memory (mapping.c)
 * - the page locks, see page_lock()
 * - the lock of the DMA log (dma_log.c)
 *
 * Locks of the vendor driver's callbacks come after the session mutex. Spinlocks come last.
 */
#ifndef VFIO_MIG_MIG_H
#define VFIO_MIG_MIG_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/ratelimit.h>
#include <linux/vfio_mig_compat.h>
#include <linux/vfio_mig_core.h>
#include <linux/wait.h>
#include <uapi/linux/vfio_mig_region.h>
#include <uapi/linux/vfio_mig_stream.h>

#include "dma.h"
#include "dma_log.h"
#include "image.h"
#include "irq.h"

struct vfio_mig_chunk;
struct vfio_mig_data;
struct vfio_mig_fault;
struct vfio_mig_load;
struct vfio_mig_save;
struct vfio_mig_window;

/**
 * enum vfio_mig_state - states of the state machine behind both protocols
 * @VFIO_MIG_ERROR: the device broke, and only a reset helps
 * @VFIO_MIG_STOP: stopped, no session
 * @VFIO_MIG_RUNNING: running, no session
 * @VFIO_MIG_STOP_COPY: stopped, its state is being saved
 * @VFIO_MIG_RESUMING: stopped, a state is being loaded
 * @VFIO_MIG_RUNNING_P2P: quiesced, no session
 * @VFIO_MIG_PRE_COPY: running, its state is being saved
 * @VFIO_MIG_PRE_COPY_P2P: quiesced, its state is being saved
 * @VFIO_MIG_NR_STATES: number of states
 *
 * The values are those of enum vfio_device_mig_state. Linux 6.1 does not have the last two.
 */
enum vfio_mig_state {
	VFIO_MIG_ERROR		= 0,
	VFIO_MIG_STOP		= 1,
	VFIO_MIG_RUNNING	= 2,
	VFIO_MIG_STOP_COPY	= 3,
	VFIO_MIG_RESUMING	= 4,
	VFIO_MIG_RUNNING_P2P	= 5,
	VFIO_MIG_PRE_COPY	= 6,
	VFIO_MIG_PRE_COPY_P2P	= 7,
	VFIO_MIG_NR_STATES,
};

/**
 * enum vfio_mig_activity - what a device does
 * @VFIO_MIG_STOPPED: serves accesses to its registers, and does nothing else
 * @VFIO_MIG_QUIESCED: serves all accesses, and starts no DMA
 * @VFIO_MIG_ACTIVE: runs
 */
enum vfio_mig_activity {
	VFIO_MIG_STOPPED,
	VFIO_MIG_QUIESCED,
	VFIO_MIG_ACTIVE,
};

/**
 * enum vfio_mig_owner - the front end that owns a session
 * @VFIO_MIG_OWNER_NONE: no session, and each front end may start one
 * @VFIO_MIG_OWNER_V1: the migration region
 * @VFIO_MIG_OWNER_V2: the data file descriptor
 */
enum vfio_mig_owner {
	VFIO_MIG_OWNER_NONE,
	VFIO_MIG_OWNER_V1,
	VFIO_MIG_OWNER_V2,
};

/**
 * struct vfio_mig_iteration - the v1 region's iteration, while saving
 * @open: data_offset was read, and pending_bytes not since
 * @size_read: data_size was read in this iteration
 * @size: number of prepared bytes
 * @seen: bytes that were read by read(2), a bit each; allocated when needed
 * @unmapped: the data section had no mapping when the iteration was opened
 * @nr: number of the iteration, which no other iteration of the device has. An access that
 *	releases the session mutex compares the number, to find out whether the data section
 *	still shows the same data.
 */
struct vfio_mig_iteration {
	bool open;
	bool size_read;
	bool unmapped;
	size_t size;
	unsigned long *seen;
	u64 nr;
};

/**
 * enum vfio_mig_counter - counters that an administrator can see in sysfs
 * @VFIO_MIG_SAVES: saves begun
 * @VFIO_MIG_LOADS: loads that took effect
 * @VFIO_MIG_REFUSED: streams refused
 * @VFIO_MIG_BREACHES: breaches of the v1 protocol by the user
 * @VFIO_MIG_ITERATIONS: iterations of the v1 region opened
 * @VFIO_MIG_PRECOPY_BYTES: stream bytes handed out while running
 * @VFIO_MIG_STOPCOPY_BYTES: stream bytes handed out while stopped
 * @VFIO_MIG_RESUME_BYTES: stream bytes taken
 * @VFIO_MIG_READ_BYTES: data section bytes read by a system call
 * @VFIO_MIG_PAGES_SENT: pages sent with their data
 * @VFIO_MIG_IMAGE_BYTES: bytes of images sent
 * @VFIO_MIG_NR_COUNTERS: number of counters
 */
enum vfio_mig_counter {
	VFIO_MIG_SAVES,
	VFIO_MIG_LOADS,
	VFIO_MIG_REFUSED,
	VFIO_MIG_BREACHES,
	VFIO_MIG_ITERATIONS,
	VFIO_MIG_PRECOPY_BYTES,
	VFIO_MIG_STOPCOPY_BYTES,
	VFIO_MIG_RESUME_BYTES,
	VFIO_MIG_READ_BYTES,
	VFIO_MIG_PAGES_SENT,
	VFIO_MIG_IMAGE_BYTES,
	VFIO_MIG_NR_COUNTERS,
};

/**
 * struct vfio_mig - a migratable device
 * @kref: held by vfio_mig_create(), and by each data file
 * @vdev: the device
 * @desc: the vendor driver's description
 * @lock: The session mutex, which serialises all members below. vfio_mig_lock() takes it,
 *	before the locks of the paged state. No user memory is accessed while it is held.
 *	Fault and mmap handlers, poll() and release() do not take it.
 * @cancels: number of users who wait for @lock to reset or close the device, and of closes
 *	that have waited too long for a callback
 * @reset_lock: orders @reset_pending against the release of @lock
 * @reset_pending: the function was reset while a thread held @lock. The holder of @lock acts
 *	on the reset before it releases @lock.
 * @state: the device's state
 * @activity: The activity that the driver's callbacks last permitted. It differs from the
 *	activity of @state if the device did not stop. Then vfio_mig_machine_rest() tries to
 *	stop the device once more, in the error state or at a close.
 * @owner: front end that moved the device out of RUNNING and STOP
 * @opened: a user has the device open
 * @broken: the vendor driver reported an error that only a reset fixes; set without @lock
 * @faulty: a knob of @fault is set; read without any lock
 * @control_dirty: the control state changed since it was last saved; set without @lock
 * @image: the image that is being saved
 * @save: exists while saving
 * @load: exists while resuming
 * @data: the v2 session's data file. vfio_mig_data_wake() reads it without @lock, in an RCU
 *	read-side section.
 * @v2_ops: operations that the VFIO core calls; leads from the device to this structure
 * @faulter: carries out DMA that has to wait for a page; has its own lock
 * @log_dma: the DMA log; has its own lock
 * @irqs: interrupts of a PCI function that the user set up
 * @node: entry in the table of the devices without v2, which @v2_ops does not lead to
 * @window: the v1 region's data section, while the device is open; NULL without v1
 * @window_size: size of the data section in bytes
 * @iteration: the v1 region's iteration
 * @region_chunk: chunk that is copied to the data section, while the region saves
 * @counters: counters in sysfs
 * @fault: fault knobs of the device, or NULL
 * @log: limits the lines that a user can make the library log
 */
struct vfio_mig {
	struct kref kref;
	struct vfio_device *vdev;
	struct vfio_mig_desc desc;
	struct mutex lock; /* the session mutex, see above */
	atomic_t cancels;
	spinlock_t reset_lock; /* of reset_pending */
	bool reset_pending;
	enum vfio_mig_state state;
	enum vfio_mig_activity activity;
	enum vfio_mig_owner owner;
	bool opened;
	bool broken;
	bool faulty;
	bool control_dirty;
	struct vfio_mig_image image;
	struct vfio_mig_save *save;
	struct vfio_mig_load *load;
	struct vfio_mig_data *data;
	struct vfio_migration_ops v2_ops;
	struct vfio_mig_faulter faulter;
	struct vfio_mig_log log_dma;
	struct vfio_mig_irqs irqs;
	struct hlist_node node;
	struct vfio_mig_window *window;
	size_t window_size;
	struct vfio_mig_iteration iteration;
	struct vfio_mig_chunk *region_chunk;
	atomic64_t counters[VFIO_MIG_NR_COUNTERS];
	struct vfio_mig_fault *fault;
	struct ratelimit_state log;
};

static inline bool vfio_mig_has_v1(const struct vfio_mig *mig)
{
	return mig->desc.protocols & VFIO_MIG_PROTOCOL_V1;
}

static inline bool vfio_mig_has_v2(const struct vfio_mig *mig)
{
	return mig->desc.protocols & VFIO_MIG_PROTOCOL_V2;
}

/* &vfio_device.mig_ops points to a member of the library's object, if the device has v2. */
static inline struct vfio_mig *vfio_mig_of(struct vfio_device *vdev)
{
	return container_of(vdev->mig_ops, struct vfio_mig, v2_ops);
}

static inline void vfio_mig_count(struct vfio_mig *mig,
				  enum vfio_mig_counter counter, u64 n)
{
	atomic64_add(n, &mig->counters[counter]);
}

/* main.c */
void vfio_mig_put(struct vfio_mig *mig);
int vfio_mig_lock(struct vfio_mig *mig);
void vfio_mig_unlock(struct vfio_mig *mig);

/* pci.c */
void vfio_mig_pci_add(struct vfio_mig *mig);
void vfio_mig_pci_remove(struct vfio_mig *mig);

/* worker.c */
int vfio_mig_workers_init(void);
void vfio_mig_workers_exit(void);

/* sysfs.c */
extern const char * const vfio_mig_state_names[VFIO_MIG_NR_STATES];
int vfio_mig_sysfs_add(struct vfio_mig *mig);
void vfio_mig_sysfs_remove(struct vfio_mig *mig);

/* Returns the version of the control state that a save writes now. */
static inline u32 vfio_mig_version(struct vfio_mig *mig)
{
	if (mig->desc.ops->version)
		return mig->desc.ops->version(mig->vdev);
	return mig->desc.control_version;
}

/* Returns the oldest version of the control state that loads. */
static inline u32 vfio_mig_version_min(const struct vfio_mig *mig)
{
	return mig->desc.control_version_min ?: mig->desc.control_version;
}

#endif /* VFIO_MIG_MIG_H */
