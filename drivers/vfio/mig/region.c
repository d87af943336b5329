// SPDX-License-Identifier: GPL-2.0-only
/*
 * The v1 front end: the migration region
 *
 * The registers are in the first page, and the data section follows. While saving, the
 * region shows one iteration after another. A read of data_offset opens an iteration, and
 * a read of pending_bytes concludes it. In between, the registers and the data do not
 * change. While resuming, a write of data_size commits the data that the user put into the
 * data section.
 *
 * The session mutex protects the registers, the iteration and the content of the data section.
 * User memory is accessed without it. So an access to the data section uses a buffer, and
 * checks for each piece whether the iteration is still the same.
 */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/vfio.h>

#include <trace/events/vfio_mig.h>

#include "fault.h"
#include "load.h"
#include "machine.h"
#include "mig.h"
#include "region.h"
#include "save.h"
#include "window.h"

#define DATA_OFFSET	((u64)PAGE_SIZE)

/*
 * Limit of the data in an iteration, also in a larger window. Data of this size are still
 * in the processor's caches when the user copies them. The limit is not lower, because
 * QEMU reads one iteration in each round through the guest's memory. All other data would
 * come in the stop-and-copy phase.
 */
#define ITERATION_MAX	((size_t)SZ_4M)

/* Limit of the pages that are looked at for one iteration. Pages of zeros take no space. */
#define ITERATION_LOOK_MAX	SZ_16K

/*
 * Size of a buffer between the data section and the user. An access to user memory can
 * wait for any time, so no user memory is accessed while the session mutex is held.
 */
#define BOUNCE_SMALL	64
#define BOUNCE_MAX	((size_t)SZ_64K)

#define REG(name)	offsetof(struct vfio_device_migration_info, name)

/* Value of device_state in each state */
static const u32 v1_value[VFIO_MIG_NR_STATES] = {
	[VFIO_MIG_ERROR]	= VFIO_MIG_V1_ERROR,
	[VFIO_MIG_STOP]		= VFIO_MIG_V1_STOP,
	[VFIO_MIG_RUNNING]	= VFIO_MIG_V1_RUNNING,
	[VFIO_MIG_STOP_COPY]	= VFIO_MIG_V1_STOP_COPY,
	[VFIO_MIG_RESUMING]	= VFIO_MIG_V1_RESUMING,
	[VFIO_MIG_RUNNING_P2P]	= VFIO_MIG_V1_RUNNING,
	[VFIO_MIG_PRE_COPY]	= VFIO_MIG_V1_PRE_COPY,
	[VFIO_MIG_PRE_COPY_P2P]	= VFIO_MIG_V1_PRE_COPY,
};

/* For each value of device_state: the state, and the values that the user may write next */
static const struct {
	enum vfio_mig_state state;
	u32 leads_to;
} v1_transitions[] = {
	[VFIO_MIG_V1_STOP] = {
		VFIO_MIG_STOP,
		BIT(VFIO_MIG_V1_RUNNING) | BIT(VFIO_MIG_V1_STOP_COPY) |
		BIT(VFIO_MIG_V1_RESUMING),
	},
	[VFIO_MIG_V1_RUNNING] = {
		VFIO_MIG_RUNNING,
		BIT(VFIO_MIG_V1_STOP) | BIT(VFIO_MIG_V1_STOP_COPY) |
		BIT(VFIO_MIG_V1_PRE_COPY) | BIT(VFIO_MIG_V1_RESUMING),
	},
	[VFIO_MIG_V1_STOP_COPY] = {
		VFIO_MIG_STOP_COPY,
		BIT(VFIO_MIG_V1_STOP) | BIT(VFIO_MIG_V1_RUNNING),
	},
	[VFIO_MIG_V1_PRE_COPY] = {
		VFIO_MIG_PRE_COPY,
		BIT(VFIO_MIG_V1_STOP) | BIT(VFIO_MIG_V1_RUNNING) |
		BIT(VFIO_MIG_V1_STOP_COPY),
	},
	[VFIO_MIG_V1_RESUMING] = {
		VFIO_MIG_RESUMING,
		BIT(VFIO_MIG_V1_STOP) | BIT(VFIO_MIG_V1_RUNNING),
	},
};

/* The region shows no data of a session that the v2 front end owns. */
static bool region_saving(const struct vfio_mig *mig)
{
	return mig->save && mig->owner == VFIO_MIG_OWNER_V1;
}

static bool region_resuming(const struct vfio_mig *mig)
{
	return mig->load && mig->owner == VFIO_MIG_OWNER_V1;
}

static int set_device_state(struct vfio_mig *mig, u32 value)
{
	u32 from = v1_value[mig->state];
	enum vfio_mig_state to;

	if (mig->state == VFIO_MIG_ERROR)
		return -EIO;
	if (value >= ARRAY_SIZE(v1_transitions))
		return -EINVAL;
	if (value == from)
		return 0;
	if (mig->owner == VFIO_MIG_OWNER_V2)
		return -EBUSY;
	if (!(v1_transitions[from].leads_to & BIT(value)))
		return -EINVAL;
	to = v1_transitions[value].state;
	return vfio_mig_enter(mig, to, to, VFIO_MIG_OWNER_V1);
}

/* Resets the iteration, and gives the next iteration a new number. */
static void reset_iteration(struct vfio_mig *mig)
{
	u64 nr = mig->iteration.nr;

	kvfree(mig->iteration.seen);
	memset(&mig->iteration, 0, sizeof(mig->iteration));
	mig->iteration.nr = nr + 1;
}

/**
 * vfio_mig_region_begin - begin a session of the region
 * @mig: the device; session mutex held, save or load begun
 *
 * Return: 0 or -ENOMEM.
 */
int vfio_mig_region_begin(struct vfio_mig *mig)
{
	int ret;

	mig->region_chunk = NULL;
	if (mig->save) {
		mig->region_chunk = vfio_mig_chunk_alloc(mig);
		if (!mig->region_chunk)
			return -ENOMEM;
	}
	ret = vfio_mig_window_begin(mig->window, mig->load);
	if (ret) {
		vfio_mig_chunk_free(mig->region_chunk);
		mig->region_chunk = NULL;
		return ret;
	}
	reset_iteration(mig);
	return 0;
}

/**
 * vfio_mig_region_end - end the region's session
 * @mig: the device; session mutex held
 *
 * Does nothing if there is no session, or if the session is not the region's.
 */
void vfio_mig_region_end(struct vfio_mig *mig)
{
	if (!region_saving(mig) && !region_resuming(mig))
		return;
	vfio_mig_window_end(mig->window);
	vfio_mig_chunk_free(mig->region_chunk);
	mig->region_chunk = NULL;
	reset_iteration(mig);
}

static void copy_chunk(void *to, const struct vfio_mig_chunk *chunk)
{
	u32 i;

	memcpy(to, chunk->meta, chunk->meta_len);
	to += chunk->meta_len;
	for (i = 0; i < chunk->nr_pages; i++, to += PAGE_SIZE)
		memcpy(to, page_address(chunk->pages[i]), PAGE_SIZE);
}

/*
 * The user reads data_offset. Prepares chunks until another chunk does not fit, until enough
 * pages were looked at, or until the time is over. Before the first iteration, the window shows
 * the data of the last session.
 */
static int open_iteration(struct vfio_mig *mig)
{
	size_t room = min(vfio_mig_window_size(mig->window), ITERATION_MAX);
	void *mem = vfio_mig_window_mem(mig->window);
	struct vfio_mig_iteration *it = &mig->iteration;
	struct vfio_mig_chunk *chunk = mig->region_chunk;
	u64 end = ktime_get_ns() + VFIO_MIG_CHUNK_NS;
	size_t size = 0;
	u32 looked = 0;
	int ret = 0;

	while (looked < ITERATION_LOOK_MAX && !fatal_signal_pending(current)) {
		ret = vfio_mig_save_next(mig, room - size, chunk);
		if (ret)
			break;
		copy_chunk(mem + size, chunk);
		size += vfio_mig_chunk_size(chunk);
		looked += chunk->looked;
		vfio_mig_chunk_put(chunk);
		/* A reset or a close waits for the session mutex, or the time is over. */
		if (vfio_mig_cancelled(mig) || ktime_get_ns() > end)
			break;
		cond_resched();
	}
	if (!size)
		return ret == -EAGAIN ? 0 : ret;

	it->open = true;
	it->size = size;
	it->size_read = false;
	it->unmapped = !vfio_mig_window_mapped(mig->window);
	vfio_mig_count(mig, VFIO_MIG_ITERATIONS, 1);
	trace_vfio_mig_iteration_open(mig->vdev->dev, size);
	return 0;
}

/* The user reads pending_bytes. All data of the iteration count as consumed. */
static void conclude_iteration(struct vfio_mig *mig)
{
	struct vfio_mig_iteration *it = &mig->iteration;
	bool unread;

	trace_vfio_mig_iteration_conclude(mig->vdev->dev, it->size);
	unread = it->unmapped && !vfio_mig_window_mapped(mig->window) &&
		 !(it->seen && bitmap_full(it->seen, it->size));
	if (!it->size_read || unread) {
		vfio_mig_count(mig, VFIO_MIG_BREACHES, 1);
		trace_vfio_mig_breach(mig->vdev->dev, it->size);
		if (__ratelimit(&mig->log))
			dev_warn(mig->vdev->dev,
				 "%zu bytes of migration data were not read before pending_bytes was: the stream will be refused\n",
				 it->size);
	}
	if (it->seen)
		bitmap_zero(it->seen, it->size);
	it->open = false;
	it->size = 0;
	it->nr++;
}

static int read_pending_bytes(struct vfio_mig *mig, u64 *value)
{
	int ret;

	if (!region_saving(mig))
		return 0;
	/* If the driver fails, the iteration stays open, and another read tries again. */
	ret = vfio_mig_save_ask(mig);
	if (ret)
		return ret;
	if (mig->iteration.open)
		conclude_iteration(mig);
	*value = vfio_mig_fault_pending(mig, vfio_mig_save_pending(mig));
	return 0;
}

static int read_data_offset(struct vfio_mig *mig, u64 *value)
{
	*value = 0;
	if (!region_saving(mig) && !region_resuming(mig))
		return 0;
	*value = DATA_OFFSET;
	if (region_saving(mig) && !mig->iteration.open)
		return open_iteration(mig);
	return 0;
}

static u64 read_data_size(struct vfio_mig *mig)
{
	mig->iteration.size_read = true;
	return mig->iteration.size;
}

static int commit(struct vfio_mig *mig, u64 n)
{
	struct iov_iter from;
	struct kvec vec;

	if (!region_resuming(mig))
		return -EINVAL;
	if (n > vfio_mig_window_size(mig->window))
		return -EINVAL;
	vec.iov_base = vfio_mig_window_mem(mig->window);
	vec.iov_len = n;
	iov_iter_kvec(&from, WRITE, &vec, 1, n);
	return vfio_mig_load_feed(mig, &from);
}

/* Returns whether an access is to a whole register. The rest of the page is a hole. */
static bool is_register(loff_t pos, size_t count)
{
	switch (pos) {
	case REG(device_state):
	case REG(reserved):
		return count == sizeof(u32);
	case REG(pending_bytes):
	case REG(data_offset):
	case REG(data_size):
		return count == sizeof(u64);
	}
	return false;
}

static int read_register(struct vfio_mig *mig, loff_t pos, u64 *value)
{
	*value = 0;
	switch (pos) {
	case REG(device_state):
		*value = v1_value[mig->state];
		return 0;
	case REG(pending_bytes):
		return read_pending_bytes(mig, value);
	case REG(data_offset):
		return read_data_offset(mig, value);
	case REG(data_size):
		*value = read_data_size(mig);
		return 0;
	}
	return 0;
}

static int write_register(struct vfio_mig *mig, loff_t pos, u64 value)
{
	switch (pos) {
	case REG(device_state):
		return set_device_state(mig, value);
	case REG(reserved):
		return 0;
	case REG(data_size):
		return commit(mig, value);
	}
	return -EINVAL;
}

/* Records bytes that a system call read, to find at the end whether all were read. */
static int note_seen(struct vfio_mig *mig, size_t off, size_t count)
{
	struct vfio_mig_iteration *it = &mig->iteration;
	size_t max = min(vfio_mig_window_size(mig->window), ITERATION_MAX);

	if (!it->seen)
		it->seen = kvcalloc(BITS_TO_LONGS(max), sizeof(long), VFIO_MIG_GFP);
	if (!it->seen)
		return -ENOMEM;
	bitmap_set(it->seen, off, count);
	vfio_mig_count(mig, VFIO_MIG_READ_BYTES, count);
	return 0;
}

/* Returns how many bytes of the data section can be read now. */
static size_t readable(struct vfio_mig *mig)
{
	return region_resuming(mig) ? vfio_mig_window_size(mig->window) :
				      mig->iteration.size;
}

/* Returns how many bytes of the data section can be written now. */
static size_t writable(struct vfio_mig *mig)
{
	return region_resuming(mig) ? vfio_mig_window_size(mig->window) : 0;
}

static bool inside(size_t off, size_t count, size_t size)
{
	return off <= size && count <= size - off;
}

/**
 * struct bounce - an access to the data section through a buffer
 * @buf: the buffer
 * @size: size of the buffer in bytes
 * @nr: number of the iteration that the access belongs to
 * @small: memory for @buf in a small access. QEMU 7.2 reads 8 bytes at a time if it has
 *	no mapping.
 */
struct bounce {
	void *buf;
	size_t size;
	u64 nr;
	u8 small[BOUNCE_SMALL];
};

static int bounce_init(struct bounce *b, size_t count)
{
	b->buf = b->small;
	b->size = sizeof(b->small);
	if (count <= b->size)
		return 0;
	b->size = min(count, BOUNCE_MAX);
	b->buf = kvmalloc(b->size, VFIO_MIG_GFP);
	return b->buf ? 0 : -ENOMEM;
}

static void bounce_free(struct bounce *b)
{
	if (b->buf != b->small)
		kvfree(b->buf);
}

/* The whole access is checked first, so that a refused access has no effect. */
static int check_data(struct vfio_mig *mig, struct bounce *b, size_t count,
		      size_t off, bool write)
{
	int ret = vfio_mig_lock(mig);

	if (ret)
		return ret;
	if (!inside(off, count, write ? writable(mig) : readable(mig)))
		ret = -EINVAL;
	b->nr = mig->iteration.nr;
	vfio_mig_unlock(mig);
	return ret;
}

/*
 * Copies between the buffer and the data section. Fails if the session or the iteration ended
 * since the last piece.
 */
static int copy_piece(struct vfio_mig *mig, struct bounce *b, size_t n, size_t off,
		      bool write)
{
	int ret = vfio_mig_lock(mig);
	void *mem;

	if (ret)
		return ret;
	if (mig->iteration.nr != b->nr ||
	    !inside(off, n, write ? writable(mig) : readable(mig))) {
		vfio_mig_unlock(mig);
		return -EINVAL;
	}

	mem = vfio_mig_window_mem(mig->window) + off;
	if (write)
		memcpy(mem, b->buf, n);
	else
		memcpy(b->buf, mem, n);
	vfio_mig_unlock(mig);
	return 0;
}

/* The piece counts as read only now, because it has reached the user. */
static int note_piece(struct vfio_mig *mig, struct bounce *b, size_t n,
		      size_t off)
{
	int ret = vfio_mig_lock(mig);

	if (ret)
		return ret;
	if (mig->iteration.nr == b->nr && region_saving(mig))
		ret = note_seen(mig, off, n);
	vfio_mig_unlock(mig);
	return ret;
}

static int read_piece(struct vfio_mig *mig, struct bounce *b, char __user *buf,
		      size_t n, size_t off)
{
	int ret = copy_piece(mig, b, n, off, false);

	if (ret)
		return ret;
	if (copy_to_user(buf, b->buf, n))
		return -EFAULT;
	return note_piece(mig, b, n, off);
}

static int write_piece(struct vfio_mig *mig, struct bounce *b,
		       const char __user *buf, size_t n, size_t off)
{
	if (copy_from_user(b->buf, buf, n))
		return -EFAULT;
	return copy_piece(mig, b, n, off, true);
}

static int access_data(struct vfio_mig *mig, char __user *buf, size_t count,
		       size_t off, bool write)
{
	struct bounce b;
	size_t done, n;
	int ret;

	ret = check_data(mig, &b, count, off, write);
	if (!ret)
		ret = bounce_init(&b, count);
	if (ret)
		return ret;
	for (done = 0; !ret && done < count; done += n) {
		n = min(count - done, b.size);
		ret = write ? write_piece(mig, &b, buf + done, n, off + done) :
			      read_piece(mig, &b, buf + done, n, off + done);
		cond_resched();
	}
	bounce_free(&b);
	return ret;
}

static int access_register(struct vfio_mig *mig, loff_t pos, u64 *value,
			   bool write)
{
	int ret = vfio_mig_lock(mig);

	if (ret)
		return ret;
	ret = write ? write_register(mig, pos, *value) :
		      read_register(mig, pos, value);
	vfio_mig_unlock(mig);
	return ret;
}

/**
 * vfio_mig_region_read - read(2) of the migration region
 * @mig: the device
 * @buf: user buffer
 * @count: bytes to read
 * @pos: offset in the region
 *
 * Context: the vendor driver's &vfio_device_ops.read. Takes the session mutex, but
 * not while user memory is accessed.
 * Return: @count, never less; -EINVAL for an access that the protocol does not permit,
 * and for a device without v1; -EFAULT, -ENOMEM, or -EINTR if the caller is being killed.
 * A read of pending_bytes or data_offset can also return the driver's error if the driver
 * cannot read its image or its memory. The state does not change then, and another read tries
 * again.
 */
ssize_t vfio_mig_region_read(struct vfio_mig *mig, char __user *buf,
			     size_t count, loff_t pos)
{
	u64 value;
	int ret;

	if (!vfio_mig_has_v1(mig))
		return -EINVAL;
	if (!count)
		return 0;
	if (pos >= DATA_OFFSET) {
		ret = access_data(mig, buf, count, pos - DATA_OFFSET, false);
		return ret ? ret : count;
	}
	if (!is_register(pos, count))
		return -EINVAL;
	ret = access_register(mig, pos, &value, false);
	if (ret)
		return ret;

	/* Registers are little-endian, as all registers of PCI are. */
	value = le64_to_cpu((__force __le64)value);
	return copy_to_user(buf, &value, count) ? -EFAULT : count;
}
EXPORT_SYMBOL_GPL(vfio_mig_region_read);

/**
 * vfio_mig_region_write - write(2) of the migration region
 * @mig: the device
 * @buf: user buffer
 * @count: bytes to write
 * @pos: offset in the region
 *
 * Context: the vendor driver's &vfio_device_ops.write. Takes the session mutex, but
 * not while user memory is accessed.
 * Return: @count, never less; -EINVAL for an access or a state that the protocol does not
 * permit, -EIO in the error state and if the device broke meanwhile, -EBUSY in a session
 * of the v2 protocol, an error of vfio_mig_load_feed() for a commit, -EFAULT, or -EINTR if
 * the caller is being killed. After an error the data section may contain a part of the
 * data.
 */
ssize_t vfio_mig_region_write(struct vfio_mig *mig, const char __user *buf,
			      size_t count, loff_t pos)
{
	u64 value = 0;
	int ret;

	if (!vfio_mig_has_v1(mig))
		return -EINVAL;
	if (!count)
		return 0;
	if (pos >= DATA_OFFSET) {
		ret = access_data(mig, (char __user *)buf, count,
				  pos - DATA_OFFSET, true);
		return ret ? ret : count;
	}
	if (!is_register(pos, count))
		return -EINVAL;
	if (copy_from_user(&value, buf, count))
		return -EFAULT;
	value = le64_to_cpu((__force __le64)value);
	ret = access_register(mig, pos, &value, true);
	return ret ? ret : count;
}
EXPORT_SYMBOL_GPL(vfio_mig_region_write);

/**
 * vfio_mig_region_mmap - mmap(2) of the migration region
 * @mig: the device
 * @vma: the mapping
 * @first: the page of the region at which the mapping starts. The driver subtracts the
 *	offset of the region in the device's file.
 *
 * Context: the vendor driver's &vfio_device_ops.mmap.
 * Return: 0, or -EINVAL for a private mapping, for a mapping that exceeds the data
 * section, and for a device without v1.
 */
int vfio_mig_region_mmap(struct vfio_mig *mig, struct vm_area_struct *vma,
			 pgoff_t first)
{
	if (!vfio_mig_has_v1(mig) || first < DATA_OFFSET >> PAGE_SHIFT)
		return -EINVAL;
	return vfio_mig_window_mmap(mig->window, vma,
				    first - (DATA_OFFSET >> PAGE_SHIFT));
}
EXPORT_SYMBOL_GPL(vfio_mig_region_mmap);

/**
 * vfio_mig_region_size - return the size of the migration region
 * @mig: the device
 *
 * Context: any, from vfio_mig_create() on, because a driver that embeds a struct
 * vfio_pci_core_device registers its regions before the device is open.
 * Return: number of bytes; 0 for a device without v1.
 */
u64 vfio_mig_region_size(struct vfio_mig *mig)
{
	return vfio_mig_has_v1(mig) ? DATA_OFFSET + mig->window_size : 0;
}
EXPORT_SYMBOL_GPL(vfio_mig_region_size);

/**
 * vfio_mig_region_sparse - add the capability that describes the mappable part
 * @mig: the device
 * @caps: the capability is added here
 *
 * Only a driver that embeds a struct vfio_pci_core_device calls this function. Other drivers
 * call vfio_mig_region_info(), which also adds this capability.
 *
 * Context: &vfio_pci_regops.add_capability. VFIO itself adds the capability for the region's
 * type there.
 * Return: 0 or -ENOMEM.
 */
int vfio_mig_region_sparse(struct vfio_mig *mig, struct vfio_info_cap *caps)
{
	struct {
		struct vfio_region_info_cap_sparse_mmap cap;
		struct vfio_region_sparse_mmap_area area;
	} sparse = {
		.cap.header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP,
		.cap.header.version = 1,
		.cap.nr_areas = 1,
		.area.offset = DATA_OFFSET,
		.area.size = mig->window_size,
	};

	return vfio_info_add_capability(caps, &sparse.cap.header,
					sizeof(sparse));
}
EXPORT_SYMBOL_GPL(vfio_mig_region_sparse);

/**
 * vfio_mig_region_info - describe the migration region
 * @mig: the device
 * @info: filled in, except for index and offset
 * @caps: the capabilities are added here
 *
 * Context: the vendor driver's VFIO_DEVICE_GET_REGION_INFO.
 * Return: 0, -ENOMEM, or -EINVAL for a device that does not offer v1.
 */
int vfio_mig_region_info(struct vfio_mig *mig, struct vfio_region_info *info,
			 struct vfio_info_cap *caps)
{
	struct vfio_region_info_cap_type type = {
		.header.id = VFIO_REGION_INFO_CAP_TYPE,
		.header.version = 1,
		.type = VFIO_REGION_TYPE_MIGRATION_DEPRECATED,
		.subtype = VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED,
	};
	int ret;

	if (!vfio_mig_has_v1(mig))
		return -EINVAL;
	info->size = vfio_mig_region_size(mig);
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
		      VFIO_REGION_INFO_FLAG_MMAP;
	ret = vfio_info_add_capability(caps, &type.header, sizeof(type));
	return ret ? ret : vfio_mig_region_sparse(mig, caps);
}
EXPORT_SYMBOL_GPL(vfio_mig_region_info);

#if IS_ENABLED(CONFIG_VFIO_MIG_CORE_KUNIT_TEST)
#include "region_test.c"
#endif
