/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfio-mig-core: a library that implements the VFIO migration protocols
 *
 * A vendor driver describes its device in struct vfio_mig_desc, keeps its paged state in
 * struct vfio_mig_pages, and forwards accesses to regions. The library implements the v1
 * protocol with the migration region, and the v2 protocol with file descriptors.
 * Documentation/driver-api/vfio-mig-core.rst explains the concepts.
 */
#ifndef _LINUX_VFIO_MIG_CORE_H
#define _LINUX_VFIO_MIG_CORE_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/gfp.h>
#include <linux/mm_types.h>
#include <linux/rwsem.h>
#include <linux/types.h>
#include <linux/vfio.h>
#include <linux/wait.h>
#include <linux/xarray.h>

/*
 * Flags for memory whose size or number a user, a guest or a stream decides. If the memory
 * control group is at its limit, the allocation fails and the user gets an error. The kernel
 * kills no process of the group.
 */
#define VFIO_MIG_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

struct mem_cgroup;
struct vfio_mig_bar;
struct vfio_mig_pages;
struct vfio_mig;
struct vfio_mig_dirty;
struct vfio_mig_pci;
struct vfio_mig_mapping;

/**
 * struct vfio_mig_budget - memory that several paged states share
 * @used: number of pages that are allocated now, including staged pages
 * @limit: upper bound of @used; set once, before the first page is allocated. A copy of a
 *	page may exceed it until the copy has replaced the page.
 */
struct vfio_mig_budget {
	atomic_long_t used;
	unsigned long limit;
};

/**
 * struct vfio_mig_memory_ops - callbacks for a paged state in the driver's own memory
 * @begin: Make the memory accessible until @end. For example, enable a BAR that the user
 *	has disabled. The library copies at most 256 KiB before it calls @end. NULL if the
 *	memory is always accessible.
 * @end: Opposite of @begin. NULL if and only if @begin is NULL.
 * @read: Copy @len bytes of the memory, from offset @off on, to @to.
 * @write: Copy @len bytes from @from to the memory, to offset @off.
 * @pfn: Return the page frame number of page @index. vfio_mig_pages_mmap() needs this
 *	callback. NULL in a driver that does not call vfio_mig_pages_mmap().
 * @track: Start to record which pages are written, or stop to do so if @on is false. The
 *	library starts the record when a save begins, and stops it when the save ends. If
 *	the start fails, there is no save, and the user gets the error. The library ignores
 *	an error of the stop. NULL if and only if @dirty is NULL.
 * @dirty: Call vfio_mig_pages_changed() for all pages that were written since the last call
 *	of @dirty, or since @track: by the device, by others, and by users in their mappings.
 *	NULL for a device that does not record this. Then the library finds the stores of
 *	users by page faults, and the driver calls vfio_mig_pages_changed() for all other
 *	writes.
 *
 * @off and @len are in bytes. The range is inside the memory, and inside one page. A callback
 * that fails returns a negative errno. In a save, the user gets this error, and no data are
 * lost. In a load, the device enters the error state, because a part of the memory was written.
 *
 * Context: may sleep. The library calls most callbacks with the session mutex held. For
 * vfio_mig_pages_read() and vfio_mig_pages_write(), it calls @begin, @read, @write and @end
 * without this mutex. Several of these calls can run at the same time, unless @begin takes a
 * lock. A callback may take a lock that is held around vfio_mig_reset_done(), but no lock that
 * is held around any other call of the library. At the end of a save, @track must not even take
 * the lock that is held around vfio_mig_reset_done(), because this function can end the save.
 * Page faults call @pfn with the page's lock held.
 */
struct vfio_mig_memory_ops {
	int (*begin)(struct vfio_mig_pages *p);
	void (*end)(struct vfio_mig_pages *p);
	int (*read)(struct vfio_mig_pages *p, u64 off, void *to, size_t len);
	int (*write)(struct vfio_mig_pages *p, u64 off, const void *from, size_t len);
	unsigned long (*pfn)(struct vfio_mig_pages *p, pgoff_t index);
	int (*track)(struct vfio_mig_pages *p, bool on);
	int (*dirty)(struct vfio_mig_pages *p);
};

/* Pages share locks, because one lock for each page would take too much memory. */
#define VFIO_MIG_PAGES_LOCKS	64

/**
 * struct vfio_mig_pages - the paged part of a device's state
 * @nr: size, in pages of VFIO_MIG_STREAM_PAGE_SIZE
 * @budget: the budget that the pages are charged to, or NULL
 *
 * A paged state is a sparse array of pages. A page that was never written, or that was
 * discarded, has no memory and reads as zeros. During a save the library tracks which pages
 * change. A driver can use its own memory as a paged state instead, see
 * vfio_mig_memory_init(). Only the library uses the other members.
 */
struct vfio_mig_pages {
	pgoff_t nr;
	struct vfio_mig_budget *budget;
	/* private: */
	const struct vfio_mig_memory_ops *memory;
	struct vfio_mig_bar *bar;
	struct xarray *xa;
	atomic_long_t resident;
	struct vfio_mig_dirty __rcu *dirty;
	struct vfio_mig_mapping *mapping;
	wait_queue_head_t *wait;
	struct mem_cgroup *memcg;
	struct rw_semaphore locks[VFIO_MIG_PAGES_LOCKS];
};

int __vfio_mig_pages_init(struct vfio_mig_pages *p, pgoff_t nr,
			  struct vfio_mig_budget *budget,
			  struct lock_class_key *key);
/**
 * vfio_mig_pages_init - set up an empty paged state
 * @p: the paged state
 * @nr: its size in pages
 * @budget: the budget that the pages are charged to, or NULL for no limit
 *
 * This is a macro, because each kind of device needs its own lockdep class. One driver may
 * do DMA during a page access, and another driver may begin a page access in a fault.
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
#define vfio_mig_pages_init(p, nr, budget)				\
	({								\
		static struct lock_class_key __key;			\
									\
		__vfio_mig_pages_init((p), (nr), (budget), &__key);	\
	})
int __vfio_mig_memory_init(struct vfio_mig_pages *p, pgoff_t nr,
			   const struct vfio_mig_memory_ops *ops,
			   struct lock_class_key *key);
/**
 * vfio_mig_memory_init - set up a paged state in the driver's own memory
 * @p: the paged state
 * @nr: its size in pages
 * @ops: callbacks that access the memory. They must stay until vfio_mig_pages_destroy().
 *
 * The memory is a BAR, for example, or other memory whose address must not change. All of
 * the memory exists at any time, so the library never allocates or frees a page of it. The
 * driver decides what the memory contains after a reset, and clears the memory before the
 * next user opens the device.
 *
 * The driver may call only these functions for such a state: vfio_mig_pages_changed(),
 * vfio_mig_pages_read(), vfio_mig_pages_write(), vfio_mig_pages_mmap(),
 * vfio_mig_pages_track_mmap() and vfio_mig_pages_destroy().
 *
 * Context: may sleep.
 * Return: 0, -ENOMEM, or -EINVAL for a size of 0, and for @ops that lack a callback which
 * &struct vfio_mig_memory_ops requires.
 */
#define vfio_mig_memory_init(p, nr, ops)				\
	({								\
		static struct lock_class_key __key;			\
									\
		__vfio_mig_memory_init((p), (nr), (ops), &__key);	\
	})
void vfio_mig_pages_destroy(struct vfio_mig_pages *p);
void vfio_mig_pages_changed(struct vfio_mig_pages *p, u64 off, u64 len);
unsigned long vfio_mig_pages_resident(struct vfio_mig_pages *p);
pgoff_t vfio_mig_pages_next(struct vfio_mig_pages *p, pgoff_t index);

struct page *vfio_mig_page_read_begin(struct vfio_mig_pages *p, pgoff_t index);
void vfio_mig_page_read_end(struct vfio_mig_pages *p, pgoff_t index);
struct page *vfio_mig_page_write_begin(struct vfio_mig_pages *p, pgoff_t index);
void vfio_mig_page_write_end(struct vfio_mig_pages *p, pgoff_t index);
int vfio_mig_page_write(struct vfio_mig_pages *p, pgoff_t index, u32 off,
			const void *data, u32 len);
struct page *vfio_mig_spare_alloc(struct vfio_mig_pages *p);
int vfio_mig_page_exchange(struct vfio_mig_pages *p, pgoff_t index,
			   struct page **spare);

/**
 * struct vfio_mig_row - contiguous memory that becomes pages of a paged state
 * @first: the first page
 * @nr: number of pages; 0 if there are none
 *
 * The driver initialises the structure with zeros. Before vfio_mig_row_exchange(), only the
 * driver uses the pages.
 */
struct vfio_mig_row {
	struct page *first;
	u32 nr;
};

u32 vfio_mig_row_alloc(struct vfio_mig_pages *p, struct vfio_mig_row *row,
		       pgoff_t index, u32 nr);
u32 vfio_mig_row_exchange(struct vfio_mig_pages *p, pgoff_t index,
			  struct vfio_mig_row *row, u32 nr);
void vfio_mig_row_free(struct vfio_mig_row *row);
u32 vfio_mig_row_read_begin(struct vfio_mig_pages *p, pgoff_t index, u32 nr);
struct page *vfio_mig_row_read_next(struct vfio_mig_pages *p, pgoff_t index, u32 *nr);
ssize_t vfio_mig_pages_read(struct vfio_mig_pages *p, char __user *buf,
			    size_t count, loff_t off);
ssize_t vfio_mig_pages_write(struct vfio_mig_pages *p, const char __user *buf,
			     size_t count, loff_t off);
int vfio_mig_pages_mmap(struct vfio_mig_pages *p, struct vm_area_struct *vma,
			pgoff_t first);
int vfio_mig_pages_track_mmap(struct vfio_mig_pages *p, struct vm_area_struct *vma,
			      pgoff_t first);
void vfio_mig_pages_discard(struct vfio_mig_pages *p, pgoff_t index, pgoff_t nr);

/**
 * enum vfio_mig_stop_reason - reason for which the library stops a device
 * @VFIO_MIG_STOP_FOR_PAUSE: The user wants a stopped device. A save or a load may follow,
 *	because some VMMs stop the device first and save its state later.
 * @VFIO_MIG_STOP_FOR_SAVE: the user saves the state next, or saves it already
 * @VFIO_MIG_STOP_FOR_LOAD: the user loads another state next
 * @VFIO_MIG_STOP_FOR_RESET: the device is reset or closed next, or is in the error state
 *
 * The reason shows what the user has asked for. If this request fails, the device runs again
 * or stays stopped, and needs its state. So the driver keeps the state until a load replaces
 * it. Only after VFIO_MIG_STOP_FOR_RESET the driver may drop the state, because the library
 * calls &vfio_mig_ops.reset before &vfio_mig_ops.run.
 */
enum vfio_mig_stop_reason {
	VFIO_MIG_STOP_FOR_PAUSE,
	VFIO_MIG_STOP_FOR_SAVE,
	VFIO_MIG_STOP_FOR_LOAD,
	VFIO_MIG_STOP_FOR_RESET,
};

/**
 * struct vfio_mig_ops - callbacks of a vendor driver
 * @stop: Stop the device. After a return value of 0 no DMA is in flight, no DMA starts, no
 *	interrupt is signalled, and nothing inside the device changes until @run. Registers
 *	stay accessible and keep values that the user writes. The reason says whether the
 *	library needs the device's state. After an error the device still runs. With
 *	VFIO_MIG_STOP_FOR_RESET it may be stopped nevertheless.
 * @run: Run the device from its present registers. The device continues submitted work
 *	that is not finished. If @apply or @reset was called since @stop, the device signals
 *	every interrupt whose cause is present.
 * @quiesce: Start no more DMA, and finish no work. The device still serves accesses, with
 *	DMA of other devices. Called before @stop, and for the P2P states of the v2
 *	protocol, which are offered to users if this callback exists. After an error the
 *	device still runs, and for VFIO_MIG_STOP_FOR_RESET @stop is called nevertheless. NULL
 *	for a device that no other device does DMA to.
 * @start: Opposite of @stop for a device that has @quiesce. The device serves accesses
 *	again, and starts no DMA. Called before @run of a stopped device, also after @reset.
 *	Cannot fail. NULL if there is nothing to do.
 * @reset: Set the control state to its power-on values. Called between @stop and @run. Also
 *	called after @stop failed, and then it has to stop the device. Cannot fail.
 * @save: Write the control state to @buf, which has &vfio_mig_desc.control_max bytes.
 *	Return its length in bytes. Called only between @stop and @run.
 * @version: Return the version of the control state that @save writes now, within the range
 *	of &vfio_mig_desc. The version does not change while the device is open and not
 *	resuming. NULL if it is always &vfio_mig_desc.control_version. This callback is
 *	called in any context, also without the session mutex.
 * @prepare: Check a control state of version @version, which is within the range of
 *	&vfio_mig_desc. @save wrote the state on another host, or an attacker made it.
 *	Allocate everything that @apply needs, and change nothing in the device. Return a
 *	vendor object, or ERR_PTR(): -ENOMEM, -ENODEV for a state of another device, or
 *	-EINVAL for a value that no such device can have. Log this value.
 * @apply: Replace the control state by the object from @prepare, and keep or free the
 *	object. Cannot fail. Called between @stop and @run.
 * @discard: Free an object from @prepare that is not applied. NULL if kfree() is enough.
 * @cancel: The user resets or closes the device, or a close has waited for a callback for 10
 *	seconds. Wake a callback that waits. That callback then sees that
 *	vfio_mig_cancelled() is true, and gives up. @cancel may sleep, but does not wait for
 *	the other callback. Called without the session mutex. It must not take a lock that is
 *	held around vfio_mig_reset_done(), because this function calls @cancel. NULL if no
 *	callback waits for long.
 *
 * @save and @prepare are NULL in a driver without control state: the whole state is paged,
 * or an image.
 *
 * Context: The library calls all callbacks except @version and @cancel with the session mutex
 * held, in a context that may sleep. The callbacks must not call the library, except for the
 * vfio_mig_page_*() and vfio_mig_dma_*() functions, vfio_mig_control_changed(),
 * vfio_mig_image_changed(), vfio_mig_device_error(), vfio_mig_cancelled(),
 * vfio_mig_pci_signal(), vfio_mig_pci_intx() and vfio_mig_worker_wake(). If a callback waits
 * for the device, a fatal signal must end the wait. @cancel must end the wait, too, because a
 * process that is being killed takes no signal when it closes the device.
 */
struct vfio_mig_ops {
	int (*quiesce)(struct vfio_device *vdev);
	int (*stop)(struct vfio_device *vdev, enum vfio_mig_stop_reason reason);
	void (*start)(struct vfio_device *vdev);
	void (*run)(struct vfio_device *vdev);
	void (*reset)(struct vfio_device *vdev);
	size_t (*save)(struct vfio_device *vdev, void *buf);
	u32 (*version)(struct vfio_device *vdev);
	void *(*prepare)(struct vfio_device *vdev, u32 version, const void *buf,
			 size_t len);
	void (*apply)(struct vfio_device *vdev, void *prepared);
	void (*discard)(struct vfio_device *vdev, void *prepared);
	void (*cancel)(struct vfio_device *vdev);
};

/**
 * enum vfio_mig_image_phase - reason for which the library asks for an image
 * @VFIO_MIG_IMAGE_INFO: there is no save, and a user asks for the size of a save
 * @VFIO_MIG_IMAGE_PRECOPY: the state is saved while the device runs
 * @VFIO_MIG_IMAGE_STOPPED: the state is saved, and the device is stopped
 */
enum vfio_mig_image_phase {
	VFIO_MIG_IMAGE_INFO,
	VFIO_MIG_IMAGE_PRECOPY,
	VFIO_MIG_IMAGE_STOPPED,
};

/**
 * struct vfio_mig_image_size - size of the part of an image that is still to be read
 * @initial: bytes that should reach the target before the device is stopped
 * @dirty: further bytes that can be read now
 * @at_stop: Estimate of the bytes that the stop of the device will add. Users plan the
 *	downtime with this number. 0 while the device is stopped.
 * @reinit: There are new initial data, for example after a large change of the device. The
 *	library reports this to the user, and then reports all bytes that can be read now as
 *	initial.
 *
 * The numbers are estimates while the device runs. While the device is stopped, @initial
 * and @dirty together are the exact number of bytes that the library reads.
 */
struct vfio_mig_image_size {
	u64 initial;
	u64 dirty;
	u64 at_stop;
	bool reinit;
};

/**
 * struct vfio_mig_image_ops - callbacks for a state that is a stream of any size
 * @save_begin: A save begins. The phase says whether the device runs. If the callback fails,
 *	there is no save, and the user gets the error. May be NULL.
 * @size: Report the size of the image in @size. The library calls this callback often, so it
 *	has to be fast.
 * @read: Copy up to @len bytes of the image to @buf. Return the number of bytes, or 0 if
 *	there are none now. While the device is stopped, 0 before the announced end is an
 *	error. A call that fails has read nothing. The user gets the error, the state does
 *	not change, and the user's next read calls @read again.
 * @save_end: The save is over, complete or not. Called once for each @save_begin that
 *	succeeded. May be NULL.
 * @load_begin: An image begins. Drop the data of an earlier image. May be NULL.
 * @write: Take @len bytes of the image from offset @off on. The phase is the one in which
 *	the source read these bytes. An attacker may have made them.
 * @check: The image is complete. Check whether &vfio_mig_ops.apply can use it, and do
 *	everything that can fail. More of the image may follow, and then another call.
 *	@version is the stream's version, as for &vfio_mig_ops.prepare. May be NULL.
 * @load_end: The load is over, after &vfio_mig_ops.apply or without it. Called once for
 *	each @load_begin that succeeded. May be NULL.
 *
 * An error of @load_begin, @write or @check refuses the stream for good, and only a reset or
 * a close ends the session. So a driver may load into the device itself while the image
 * comes, if &vfio_mig_ops.reset undoes the load. A driver whose device broke calls
 * vfio_mig_device_error() before it returns.
 *
 * Context: as the callbacks of &struct vfio_mig_ops.
 */
struct vfio_mig_image_ops {
	int (*save_begin)(struct vfio_device *vdev, enum vfio_mig_image_phase phase);
	int (*size)(struct vfio_device *vdev, enum vfio_mig_image_phase phase,
		    struct vfio_mig_image_size *size);
	ssize_t (*read)(struct vfio_device *vdev, enum vfio_mig_image_phase phase,
			void *buf, size_t len);
	void (*save_end)(struct vfio_device *vdev);
	int (*load_begin)(struct vfio_device *vdev);
	int (*write)(struct vfio_device *vdev, enum vfio_mig_image_phase phase, u64 off,
		     const void *buf, size_t len);
	int (*check)(struct vfio_device *vdev, u32 version);
	void (*load_end)(struct vfio_device *vdev);
};

/* The protocols, a bit each. */
#define VFIO_MIG_PROTOCOL_V1	BIT(0)
#define VFIO_MIG_PROTOCOL_V2	BIT(1)

/**
 * struct vfio_mig_desc - description of a migratable device
 * @type: identifies devices whose states can be exchanged, because a stream loads only into
 *	a device of the same type. Shorter than VFIO_MIG_STREAM_TYPE_LEN.
 * @control_version: newest version of the control state that loads. &vfio_mig_ops.save
 *	writes this version, unless &vfio_mig_ops.version returns another.
 * @control_version_min: oldest version that loads; 0 if only @control_version loads. All
 *	versions in between load, too.
 * @control_max: largest size of the control state in bytes; at most
 *	VFIO_MIG_STREAM_CONTROL_MAX
 * @ops: the callbacks
 * @pages: the paged state, or NULL
 * @image: callbacks for the state's image, or NULL
 * @image_max: largest size of an image in bytes; not 0 with @image
 * @pci: the PCI function, for vfio_mig_pci_*(), or NULL
 * @protocols: protocols that the device offers, VFIO_MIG_PROTOCOL_*; 0 for both. A device
 *	without v1 has no migration region. A device without v2 answers the features of v2
 *	with -ENOTTY.
 * @p2p: For a device without &vfio_mig_ops.quiesce: no other device does DMA to this
 *	device. Then the library offers the P2P states, and stops the device in them. QEMU
 *	migrates more than one device only if all devices have these states.
 * @dma_logging: the device does DMA by vfio_mig_dma_rw() and vfio_mig_dma_rw_nofault() only,
 *	so the library can log the DMA
 */
struct vfio_mig_desc {
	const char *type;
	u32 control_version;
	u32 control_version_min;
	u32 control_max;
	const struct vfio_mig_ops *ops;
	struct vfio_mig_pages *pages;
	const struct vfio_mig_image_ops *image;
	u64 image_max;
	const struct vfio_mig_pci *pci;
	u32 protocols;
	bool p2p;
	bool dma_logging;
};

struct vfio_mig *vfio_mig_create(struct vfio_device *vdev,
				 const struct vfio_mig_desc *desc);
void vfio_mig_destroy(struct vfio_mig *mig);

int vfio_mig_open(struct vfio_mig *mig);
void vfio_mig_close(struct vfio_mig *mig);
int vfio_mig_reset(struct vfio_mig *mig);
void vfio_mig_reset_done(struct vfio_mig *mig);
void vfio_mig_control_changed(struct vfio_mig *mig);
void vfio_mig_image_changed(struct vfio_mig *mig);
bool vfio_mig_cancelled(struct vfio_mig *mig);
void vfio_mig_device_error(struct vfio_mig *mig);

struct vfio_mig_dma_access;

/**
 * struct vfio_mig_dma - a requester of accesses to guest memory
 * @mig: the device
 * @ready: Called when an access has ended for which vfio_mig_dma_rw() returned -EAGAIN. The
 *	work that needs the access can begin again. The library may hold a spinlock during
 *	the call, so the callback must not sleep. It may wake other threads, but must not
 *	call the library. There may be more calls than accesses.
 * @waited: Set when vfio_mig_dma_rw() waits for memory, also if the memory comes in time. The
 *	driver clears it. A driver that finds @waited set can give up its present work and begin
 *	this work again later, so that other work is not delayed. The work then makes progress,
 *	because the memory that has come is present.
 *
 * A requester is a queue, for example. A requester has one access at a time. Only the library
 * uses the other members.
 */
struct vfio_mig_dma {
	struct vfio_mig *mig;
	void (*ready)(struct vfio_mig_dma *dma);
	bool waited;
	/* private: */
	struct vfio_mig_dma_access *access;
};

void vfio_mig_dma_init(struct vfio_mig_dma *dma, struct vfio_mig *mig,
		       void (*ready)(struct vfio_mig_dma *dma));
int vfio_mig_dma_rw(struct vfio_mig_dma *dma, dma_addr_t iova, void *data,
		    size_t len, bool write);
void vfio_mig_dma_finish(struct vfio_mig_dma *dma);
bool vfio_mig_dma_pending(struct vfio_mig_dma *dma);
bool vfio_mig_dma_drop(struct vfio_mig_dma *dma);
int vfio_mig_dma_rw_nofault(struct vfio_mig *mig, dma_addr_t iova, void *data,
			    size_t len, bool write);
bool vfio_mig_dma_busy(struct vfio_mig *mig);

struct vfio_mig_worker;

struct vfio_mig_worker *vfio_mig_worker_create(const char *name,
					       void (*work)(void *data), void *data);
void vfio_mig_worker_wake(struct vfio_mig_worker *w);
bool vfio_mig_worker_killed(const struct vfio_mig_worker *w);
void vfio_mig_worker_stop(struct vfio_mig_worker *w);

u64 vfio_mig_region_size(struct vfio_mig *mig);
int vfio_mig_region_sparse(struct vfio_mig *mig, struct vfio_info_cap *caps);
int vfio_mig_region_info(struct vfio_mig *mig, struct vfio_region_info *info,
			 struct vfio_info_cap *caps);
ssize_t vfio_mig_region_read(struct vfio_mig *mig, char __user *buf,
			     size_t count, loff_t pos);
ssize_t vfio_mig_region_write(struct vfio_mig *mig, const char __user *buf,
			      size_t count, loff_t pos);
int vfio_mig_region_mmap(struct vfio_mig *mig, struct vm_area_struct *vma,
			 pgoff_t first);

/* The migration region comes after the regions that every PCI function has. */
#define VFIO_MIG_PCI_REGION	VFIO_PCI_NUM_REGIONS
/* An offset in the device's file has the region's index from this bit on. */
#define VFIO_MIG_PCI_SHIFT	40

/**
 * vfio_mig_pci_index - return the region of an offset in the device's file
 * @pos: the offset
 */
static inline u64 vfio_mig_pci_index(u64 pos)
{
	return pos >> VFIO_MIG_PCI_SHIFT;
}

/**
 * vfio_mig_pci_offset - convert an offset in the device's file to one in its region
 * @pos: the offset
 */
static inline u64 vfio_mig_pci_offset(u64 pos)
{
	return pos & (BIT_ULL(VFIO_MIG_PCI_SHIFT) - 1);
}

/**
 * struct vfio_mig_pci - description of an emulated PCI function
 * @region_size: size of each region in bytes, 0 for none
 * @memory: BIT() of the index of the region that is &vfio_mig_desc.pages, or 0. The library
 *	reads, writes and maps this region.
 * @nr_irqs: number of interrupts of each kind, 0 for none
 * @access: Read or write @len bytes at @off of any other region. @len is 1, 2, 4 or, in a
 *	BAR, 8. The access is naturally aligned and inside the region. Returns 0 or an
 *	error.
 * @set_irqs: Handle VFIO_DEVICE_SET_IRQS. Index, start and count are checked, and the data
 *	are present as the flags announce. Returns 0 or an error. NULL if the library
 *	keeps the eventfds, and then vfio_mig_pci_signal() and vfio_mig_pci_intx() signal them.
 *
 * Context: The library calls @access and @set_irqs in the user's thread, without the session
 * mutex. The callbacks may sleep. Several threads can call them at the same time.
 */
struct vfio_mig_pci {
	u64 region_size[VFIO_PCI_NUM_REGIONS];
	u32 memory;
	u32 nr_irqs[VFIO_PCI_NUM_IRQS];
	int (*access)(struct vfio_device *vdev, u32 index, u64 off, u8 *val,
		      size_t len, bool write);
	int (*set_irqs)(struct vfio_device *vdev,
			const struct vfio_irq_set *set, const void *data);
};

int vfio_mig_pci_open(struct vfio_device *vdev);
ssize_t vfio_mig_pci_read(struct vfio_device *vdev, char __user *buf,
			  size_t count, loff_t *ppos);
ssize_t vfio_mig_pci_write(struct vfio_device *vdev, const char __user *buf,
			   size_t count, loff_t *ppos);
int vfio_mig_pci_mmap(struct vfio_device *vdev, struct vm_area_struct *vma);
int vfio_mig_pci_region_info(struct vfio_device *vdev,
			     struct vfio_region_info *info,
			     struct vfio_info_cap *caps);
long vfio_mig_pci_ioctl(struct vfio_device *vdev, unsigned int cmd,
			unsigned long arg);
void vfio_mig_pci_signal(struct vfio_mig *mig, u32 index, u32 i);
void vfio_mig_pci_intx(struct vfio_mig *mig, bool high);

#endif /* _LINUX_VFIO_MIG_CORE_H */
