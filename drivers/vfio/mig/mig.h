/* SPDX-License-Identifier: GPL-2.0-only */
/* What the library's files share about a migratable device */
#ifndef VFIO_MIG_MIG_H
#define VFIO_MIG_MIG_H

#include <linux/kobject.h>
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
 * enum vfio_mig_state - states of the one machine behind both protocols
 * @VFIO_MIG_ERROR: the device broke, only a reset helps
 * @VFIO_MIG_STOP: at rest, no session
 * @VFIO_MIG_RUNNING: running, no session
 * @VFIO_MIG_STOP_COPY: at rest, its state is being saved
 * @VFIO_MIG_RESUMING: at rest, a state is being loaded
 * @VFIO_MIG_RUNNING_P2P: at rest towards others, still serves accesses; no session
 * @VFIO_MIG_PRE_COPY: running, its state is being saved
 * @VFIO_MIG_PRE_COPY_P2P: as RUNNING_P2P, its state is being saved
 * @VFIO_MIG_NR_STATES: how many there are
 *
 * The values are those of enum vfio_device_mig_state, of which 6.1 lacks the
 * last two.
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
 * enum vfio_mig_owner - the front end that a session belongs to
 * @VFIO_MIG_OWNER_NONE: no session, either may start one
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
 * @size: bytes prepared
 * @seen: which bytes were read by read(2), a bit each; allocated when needed
 * @unmapped: nobody had the data section mapped at any time in the iteration
 * @nr: tells iterations and sessions from each other: an access that copies without
 *	the session mutex finds out by it that the data section shows something else
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
 * enum vfio_mig_counter - what an administrator can see of a device
 * @VFIO_MIG_SAVES: saves begun
 * @VFIO_MIG_LOADS: loads that took effect
 * @VFIO_MIG_REFUSED: streams refused
 * @VFIO_MIG_BREACHES: breaches of the v1 protocol by the user
 * @VFIO_MIG_ITERATIONS: iterations of the v1 region opened
 * @VFIO_MIG_PRECOPY_BYTES: stream bytes handed out while running
 * @VFIO_MIG_STOPCOPY_BYTES: stream bytes handed out while stopped
 * @VFIO_MIG_RESUME_BYTES: stream bytes taken in
 * @VFIO_MIG_READ_BYTES: data section bytes read by system call, not mapping
 * @VFIO_MIG_PAGES_SENT: pages sent with their data
 * @VFIO_MIG_IMAGE_BYTES: bytes of images sent
 * @VFIO_MIG_NR_COUNTERS: how many there are
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
 * struct vfio_mig - a migratable device, as the library sees it
 * @kobj: the "migration" folder in the device's sysfs folder; holds the memory
 * @vdev: the device
 * @desc: what the vendor driver said of it
 * @lock: the session mutex: serialises all that follows. Taken before the locks of
 *	the paged state. User memory is never accessed with it held. Fault and mmap
 *	handlers, poll() and release() do not take it. Taken by vfio_mig_lock().
 * @cancels: users who wait for @lock to reset or close the device
 * @reset_lock: orders @reset_pending against the release of @lock
 * @reset_pending: the function was reset while somebody held @lock, who acts on it
 * @state: state of the machine
 * @owner: front end that moved the device out of RUNNING and STOP
 * @opened: a user has the device open
 * @broken: the vendor driver reported an error that only a reset mends; set
 *	without @lock
 * @faulty: one of @fault's knobs is set; looked at without any lock
 * @control_dirty: the state that is not paged changed since it was last saved;
 *	set without @lock
 * @image: the image that is being saved
 * @save: exists while saving
 * @load: exists while resuming
 * @data: the v2 session's data file
 * @wait: woken when there is something to read again, and when a session ends
 * @v2_ops: what the VFIO core calls; also how this is found from the device
 * @faulter: carries out DMA that has to wait for a page; has a lock of its own
 * @log_dma: what DMA logging noted; has a lock of its own
 * @irqs: interrupts of a PCI function that the user set up
 * @window: the v1 region's data section, while the device is open
 * @window_size: its size in bytes
 * @iteration: the v1 region's iteration
 * @region_chunk: chunk that is copied to the data section, while the region saves
 * @counters: what sysfs shows
 * @fault: knobs that make it fail, NULL without debugfs
 * @log: limits what a user can make the library write to the log
 */
struct vfio_mig {
	struct kobject kobj;
	struct vfio_device *vdev;
	struct vfio_mig_desc desc;
	struct mutex lock; /* the session mutex, see above */
	atomic_t cancels;
	spinlock_t reset_lock; /* of reset_pending */
	bool reset_pending;
	enum vfio_mig_state state;
	enum vfio_mig_owner owner;
	bool opened;
	bool broken;
	bool faulty;
	bool control_dirty;
	struct vfio_mig_image image;
	struct vfio_mig_save *save;
	struct vfio_mig_load *load;
	struct vfio_mig_data *data;
	wait_queue_head_t wait;
	struct vfio_migration_ops v2_ops;
	struct vfio_mig_faulter faulter;
	struct vfio_mig_log log_dma;
	struct vfio_mig_irqs irqs;
	struct vfio_mig_window *window;
	size_t window_size;
	struct vfio_mig_iteration iteration;
	struct vfio_mig_chunk *region_chunk;
	atomic64_t counters[VFIO_MIG_NR_COUNTERS];
	struct vfio_mig_fault *fault;
	struct ratelimit_state log;
};

/* The VFIO core has the device only; its pointer to our table leads back. */
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
int vfio_mig_lock(struct vfio_mig *mig);
void vfio_mig_unlock(struct vfio_mig *mig);

/* worker.c */
int vfio_mig_workers_init(void);
void vfio_mig_workers_exit(void);

/* sysfs.c */
extern const char * const vfio_mig_state_names[VFIO_MIG_NR_STATES];
extern const struct kobj_type vfio_mig_ktype;

/* What a save writes now. */
static inline u32 vfio_mig_version(struct vfio_mig *mig)
{
	if (mig->desc.ops->version)
		return mig->desc.ops->version(mig->vdev);
	return mig->desc.control_version;
}

/* The oldest that loads. */
static inline u32 vfio_mig_version_min(const struct vfio_mig *mig)
{
	return mig->desc.control_version_min ?: mig->desc.control_version;
}

#endif /* VFIO_MIG_MIG_H */
