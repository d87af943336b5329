/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfio-mig-core: the VFIO migration protocols, owned by a library
 *
 * A vendor driver describes its device (struct vfio_mig_desc), hands over its
 * paged state (struct vfio_mig_pages) and forwards region accesses. The library
 * speaks the v1 migration region and the v2 file-descriptor protocol with it.
 * Documentation/driver-api/vfio-mig-core.rst tells the concepts.
 */
#ifndef _LINUX_VFIO_MIG_CORE_H
#define _LINUX_VFIO_MIG_CORE_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/mm_types.h>
#include <linux/rwsem.h>
#include <linux/types.h>
#include <linux/vfio.h>
#include <linux/wait.h>
#include <linux/xarray.h>

struct mem_cgroup;
struct vfio_mig;
struct vfio_mig_dirty;
struct vfio_mig_pci;
struct vfio_mig_mapping;

/**
 * struct vfio_mig_budget - memory that several paged states share
 * @used: pages allocated now, staged and copied ones included
 * @limit: upper bound of @used; set once, before the first page is asked for
 */
struct vfio_mig_budget {
	atomic_long_t used;
	unsigned long limit;
};

#define VFIO_MIG_PAGES_LOCKS	64

/**
 * struct vfio_mig_pages - the paged part of a device's state
 * @nr: size, in pages of VFIO_MIG_STREAM_PAGE_SIZE
 * @budget: what its pages are charged to, or NULL
 *
 * A sparse array of pages. One that was never written, or was discarded, takes
 * no memory and reads as zeros. The library tracks which pages changed while a
 * save goes on. The other members are the library's own.
 */
struct vfio_mig_pages {
	pgoff_t nr;
	struct vfio_mig_budget *budget;
	/* private: */
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
 * @budget: what its pages are charged to, NULL where nothing limits them
 *
 * A macro, so that each kind of device has a lockdep class of its own: one
 * driver may hold a page while it does DMA, another may take one in a fault.
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
void vfio_mig_pages_destroy(struct vfio_mig_pages *p);
unsigned long vfio_mig_pages_resident(struct vfio_mig_pages *p);

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
 * struct vfio_mig_row - memory in one piece that is to become pages of a paged state
 * @first: the first page of it
 * @nr: how many pages there are; 0 for none
 *
 * Initialised with zeros. The pages are the caller's alone: nobody sees what is in them
 * before vfio_mig_row_exchange().
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
struct page *vfio_mig_row_read_begin(struct vfio_mig_pages *p, pgoff_t index,
				     u32 *nr);
ssize_t vfio_mig_pages_read(struct vfio_mig_pages *p, char __user *buf,
			    size_t count, loff_t off);
ssize_t vfio_mig_pages_write(struct vfio_mig_pages *p, const char __user *buf,
			     size_t count, loff_t off);
int vfio_mig_pages_mmap(struct vfio_mig_pages *p, struct vm_area_struct *vma,
			pgoff_t first);
void vfio_mig_pages_discard(struct vfio_mig_pages *p, pgoff_t index, pgoff_t nr);

/**
 * struct vfio_mig_ops - what the library asks of a vendor driver
 * @stop: Bring the device to rest. When it returns 0 there is no DMA in flight,
 *	none starts, no interrupt is signalled and nothing inside the device
 *	advances until @run. Registers stay accessible and keep what is written.
 *	An error leaves the device running.
 * @run: Let the device go on, from its present registers: work that was
 *	submitted and not finished is taken up. Signals every interrupt whose
 *	cause stands if @apply or @reset came since @stop.
 * @quiesce: Start no DMA any more, but go on to serve accesses, DMA of other devices
 *	included, and finish nothing by yourself. Called before @stop, and for the P2P
 *	states of the v2 protocol, which are offered to users if this is there. An
 *	error leaves the device running. NULL for a device that others do no DMA to.
 * @start: Opposite of @stop for a device that has @quiesce: it serves accesses again,
 *	and starts no DMA. Cannot fail. NULL where there is nothing to do.
 * @reset: Bring everything that is not paged to its power-on values. Called
 *	between @stop and @run; or where @stop failed, and then the device has to be
 *	stopped here, whatever it is doing. Cannot fail.
 * @save: Write the state that is not paged to @buf, which has room for
 *	&vfio_mig_desc.control_max bytes. Returns the length. Only called
 *	between @stop and @run.
 * @version: Version of what @save writes for this device as it is now, within the
 *	range of &vfio_mig_desc. Does not change while the device is open and not
 *	resuming. NULL where it always is &vfio_mig_desc.control_version. Unlike the
 *	others it is called in any context, also without the session mutex.
 * @prepare: Check a state of version @version, which is within the range of
 *	&vfio_mig_desc, that @save wrote on some other host, or that an attacker
 *	made up, and allocate all that @apply needs. Changes nothing in the
 *	device. Returns a vendor object, or ERR_PTR(): -EINVAL for a value that no
 *	such device can have, after a line in the log that says which, -ENODEV for
 *	another device.
 * @apply: Replace the state that is not paged by what @prepare returned, and
 *	take over (or free) the object. Cannot fail. Called between @stop and
 *	@run.
 * @discard: Free what @prepare returned; it will not be applied. NULL where
 *	kfree() does that.
 * @cancel: The user resets or closes the device. A callback that waits gives up soon:
 *	wake it, and it finds vfio_mig_cancelled() true. Called without the session mutex,
 *	may sleep, does not wait for the callback. NULL where no callback waits for long.
 *
 * @save and @prepare are NULL in a driver whose state is paged or an image.
 *
 * All but @version and @cancel are called with the library's session mutex held, in a
 * context that may sleep; none may call back into the library, except for the
 * vfio_mig_page_*() functions, vfio_mig_control_changed(), vfio_mig_image_changed(),
 * vfio_mig_device_error(), vfio_mig_cancelled() and vfio_mig_pci_signal(). A callback
 * that waits for a device does so in a way that a fatal signal ends.
 */
struct vfio_mig_ops {
	int (*quiesce)(struct vfio_device *vdev);
	int (*stop)(struct vfio_device *vdev);
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
 * enum vfio_mig_image_phase - why the library calls for an image
 * @VFIO_MIG_IMAGE_INFO: there is no save; somebody asks how large one would be
 * @VFIO_MIG_IMAGE_PRECOPY: the state is saved while the device runs
 * @VFIO_MIG_IMAGE_STOPPED: the state is saved, and the device is stopped
 */
enum vfio_mig_image_phase {
	VFIO_MIG_IMAGE_INFO,
	VFIO_MIG_IMAGE_PRECOPY,
	VFIO_MIG_IMAGE_STOPPED,
};

/**
 * struct vfio_mig_image_size - how much of an image is still to be read
 * @initial: bytes that should reach the target before the device is stopped
 * @dirty: bytes that can be read now beyond those
 * @at_stop: Bytes that stopping the device will add. An estimate, which users plan the
 *	downtime with. 0 once the device is stopped.
 * @reinit: there is new initial data, as after a large change of the device
 *
 * The numbers are estimates while the device runs. Once it is stopped @initial and
 * @dirty together are exact: so many bytes are read, no more and no less.
 */
struct vfio_mig_image_size {
	u64 initial;
	u64 dirty;
	u64 at_stop;
	bool reinit;
};

/**
 * struct vfio_mig_image_ops - a state that comes as a stream of any size
 * @save_begin: A save begins; the phase says whether the device runs. An error is the
 *	user's, and there is no save. May be NULL.
 * @size: Say how much there is. Often called, so it has to be cheap.
 * @read: Put up to @len bytes of the image into @buf. Returns how many; 0 where there is
 *	nothing now, which while the device is stopped is an error before all is read. A
 *	call that fails has read nothing: the user gets the error, the state stays, and the
 *	next read(2) calls again.
 * @save_end: The save is over, complete or not. Called once for each @save_begin that
 *	succeeded. May be NULL.
 * @load_begin: An image comes. What came of another before is to be dropped. May be NULL.
 * @write: Take @len bytes of the image, which are at @off of what was sent. Phase: the
 *	one in which they were read. The bytes are as a source has sent them, or as an
 *	attacker made them up.
 * @check: All of an image is here: see whether &vfio_mig_ops.apply can use it, and do all
 *	of it that can fail. More of the image may follow, and then another call. @version is
 *	the stream's, as &vfio_mig_ops.prepare gets it. May be NULL.
 * @load_end: The load is over, after &vfio_mig_ops.apply or instead. Called once for each
 *	@load_begin that succeeded. May be NULL.
 *
 * An error of @load_begin, @write or @check refuses the stream for good. Then only a reset
 * leads out, so a driver may load into the device itself as the image comes, as long as
 * &vfio_mig_ops.reset undoes that. A driver whose device broke says so by
 * vfio_mig_device_error(), before it returns the error or anything else.
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

/**
 * struct vfio_mig_desc - a migratable device, described
 * @type: identifies devices whose states can be exchanged: a stream loads only
 *	where it is the same. Shorter than VFIO_MIG_STREAM_TYPE_LEN.
 * @control_version: newest version of the control state that loads; and what
 *	&vfio_mig_ops.save writes, unless &vfio_mig_ops.version says otherwise
 * @control_version_min: oldest version that loads; 0 where only @control_version
 *	does. Every version in between loads, too.
 * @control_max: most that &vfio_mig_ops.save writes, in bytes; at most
 *	VFIO_MIG_STREAM_CONTROL_MAX
 * @ops: the callbacks
 * @pages: the paged state, or NULL
 * @image: how to read and write the state's image, or NULL
 * @image_max: more bytes of image than this are never there at a time; not 0 with @image
 * @pci: the PCI function, for vfio_mig_pci_*(), or NULL
 * @p2p: without &vfio_mig_ops.quiesce: no device does DMA to this one, so it may be
 *	stopped in the P2P states, which are offered to users then. QEMU migrates more
 *	than one device only if all of them have these states.
 * @dma_logging: the device does DMA, and all of it goes through the library, which
 *	can log it: vfio_mig_dma_rw() and vfio_mig_dma_rw_nofault()
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
 * struct vfio_mig_dma - somebody in a driver who reads and writes guest memory
 * @mig: the device
 * @ready: An access that vfio_mig_dma_rw() said -EAGAIN of is over, so the work that
 *	needed it can begin again. Called with a spinlock held; it may wake others, and
 *	does not call back. A call too many does no harm.
 *
 * A queue, say. Has one access at a time. The other members are the library's own.
 */
struct vfio_mig_dma {
	struct vfio_mig *mig;
	void (*ready)(struct vfio_mig_dma *dma);
	/* private: */
	struct vfio_mig_dma_access *access;
};

void vfio_mig_dma_init(struct vfio_mig_dma *dma, struct vfio_mig *mig,
		       void (*ready)(struct vfio_mig_dma *dma));
int vfio_mig_dma_rw(struct vfio_mig_dma *dma, dma_addr_t iova, void *data,
		    size_t len, bool write);
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

/* The migration region comes after those that every PCI function has. */
#define VFIO_MIG_PCI_REGION	VFIO_PCI_NUM_REGIONS
/* In an offset of the device's file the region's index is above this bit. */
#define VFIO_MIG_PCI_SHIFT	40

/**
 * vfio_mig_pci_index - region that an offset of the device's file is in
 * @pos: the offset
 */
static inline u64 vfio_mig_pci_index(u64 pos)
{
	return pos >> VFIO_MIG_PCI_SHIFT;
}

/**
 * vfio_mig_pci_offset - where in its region an offset of the device's file is
 * @pos: the offset
 */
static inline u64 vfio_mig_pci_offset(u64 pos)
{
	return pos & (BIT_ULL(VFIO_MIG_PCI_SHIFT) - 1);
}

/**
 * struct vfio_mig_pci - what an emulated PCI function has
 * @region_size: size of each region in bytes, 0 for none
 * @memory: a bit for the region that is &vfio_mig_desc.pages, if one is: the
 *	library reads, writes and maps it
 * @nr_irqs: number of interrupts of each kind, 0 for none
 * @access: Read or write @len bytes at @off of any other region: 1, 2, 4 or, in
 *	a BAR, 8 bytes, naturally aligned and wholly inside. Returns 0 or an error.
 * @set_irqs: VFIO_DEVICE_SET_IRQS. Index, start and count are checked, the data
 *	that the flags announce are there. Returns 0 or an error. NULL where the
 *	library is to keep the eventfds: vfio_mig_pci_signal() signals them.
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

#endif /* _LINUX_VFIO_MIG_CORE_H */
