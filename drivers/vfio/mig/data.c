// SPDX-License-Identifier: GPL-2.0-only
/*
 * The v2 front end: the data file descriptor
 *
 * Each session has one file. A read returns the stream, one chunk after the other,
 * directly from the device's pages. A write feeds the load. When the session ends, the
 * file is dead, and every access returns -ENODEV.
 *
 * A user can make an access to user memory wait for any time. So each file has a mutex of
 * its own, which is held while data are copied. Only threads that read or write the same
 * file wait for this mutex. The session mutex is taken after the file's mutex, and only to
 * get a chunk or to find where the next bytes go. The file owns the data that are copied,
 * or holds a reference to them, so a session ends without waiting for the copy. poll() and
 * release() wait for neither mutex.
 *
 * A dead file keeps the library's object in memory, but does not touch the device. So each
 * file has a wait queue of its own, too. The next user of the device does not wake the
 * threads and the epoll instances that wait for a dead file.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/vfio.h>

#include "data.h"
#include "fault.h"
#include "load.h"
#include "machine.h"
#include "mig.h"
#include "save.h"

/* Size of a portion of a write, which is taken as a whole or not at all */
#define WRITE_SLICE	SZ_1M

/**
 * struct vfio_mig_data - a data file
 * @kref: held by the file, and by the device during the session
 * @rcu: a thread that wakes @wait may still use this when the session has ended
 * @mig: the device's library object; this structure holds a reference
 * @file: the file, until the VFIO core got it
 * @lock: held while data are copied; taken before the session mutex
 * @wait: woken when there are new data to read, and when the session ends
 * @peek: held to set @dead, and while poll() looks at the session
 * @dead: the session has ended
 * @chunk: the chunk that is being read; with @lock held. NULL in a file for a load.
 * @off: bytes of the chunk that were read; with @lock held
 * @left: bytes of the chunk that are still to be read; looked at without @lock
 * @initial: the chunk belongs to the first pass, or to another pass that was announced
 */
struct vfio_mig_data {
	struct kref kref;
	struct rcu_head rcu;
	struct vfio_mig *mig;
	struct file *file;
	struct mutex lock; /* protects chunk and off */
	wait_queue_head_t wait;
	spinlock_t peek; /* protects dead */
	bool dead;
	struct vfio_mig_chunk *chunk;
	size_t off;
	size_t left;
	bool initial;
};

static void data_free(struct kref *kref)
{
	struct vfio_mig_data *data = container_of(kref, struct vfio_mig_data, kref);
	struct vfio_mig *mig = data->mig;

	vfio_mig_chunk_free(data->chunk);
	kfree_rcu(data, rcu);
	vfio_mig_put(mig);
}

/*
 * Takes the session mutex if the file's session has not ended. A thread with a dead file must
 * not take the mutex, because the device may have another user now. This user would wait for
 * the mutex as long as the thread is not scheduled.
 */
static int session_lock(struct vfio_mig_data *data)
{
	int ret;

	if (READ_ONCE(data->dead))
		return -ENODEV;
	ret = vfio_mig_lock(data->mig);
	if (ret)
		return ret;
	if (data->mig->data == data)
		return 0;
	vfio_mig_unlock(data->mig);
	return -ENODEV;
}

static void drop_chunk(struct vfio_mig_data *data)
{
	vfio_mig_chunk_put(data->chunk);
	data->off = 0;
	WRITE_ONCE(data->left, 0);
}

/* Copies bytes of the chunk from @off on. Returns the number of bytes. */
static size_t copy_chunk(const struct vfio_mig_chunk *chunk, size_t off,
			 struct iov_iter *to)
{
	size_t done = 0, n;

	if (off < chunk->meta_len) {
		n = chunk->meta_len - off;
		done = copy_to_iter(chunk->meta + off, n, to);
		if (done < n)
			return done;
		off += done;
	}
	off -= chunk->meta_len;
	while (off < (size_t)chunk->nr_pages * PAGE_SIZE &&
	       iov_iter_count(to)) {
		struct page *page = chunk->pages[off / PAGE_SIZE];

		n = min(PAGE_SIZE - offset_in_page(off), iov_iter_count(to));
		n = copy_page_to_iter(page, offset_in_page(off), n, to);
		if (!n)
			break;
		done += n;
		off += n;
	}
	return done;
}

/* Makes the next chunk. Called with the session mutex held. */
static int next_chunk(struct vfio_mig_data *data, size_t room)
{
	struct vfio_mig *mig = data->mig;
	bool initial;
	int ret;

	if (!mig->save)
		return -EINVAL;
	initial = vfio_mig_save_initial(mig);
	ret = vfio_mig_save_next(mig, room, data->chunk);
	if (!ret) {
		WRITE_ONCE(data->left, vfio_mig_chunk_size(data->chunk));
		WRITE_ONCE(data->initial, initial);
	}
	/* While the device runs, more data may come, so this is not the end. */
	if (ret == -EAGAIN)
		return vfio_mig_stopped(mig) ? 1 : -ENOMSG;
	return ret;
}

/*
 * Gets the current chunk, or makes a new one of at most @room bytes. Returns 0, an error,
 * or 1 if there is nothing to read.
 */
static int get_chunk(struct vfio_mig_data *data, size_t room)
{
	struct vfio_mig *mig = data->mig;
	int ret;

	/* If the device broke, taking the mutex ends the session. */
	if (data->left && !READ_ONCE(mig->broken))
		return READ_ONCE(data->dead) ? -ENODEV : 0;

	ret = session_lock(data);
	if (ret)
		return ret;
	if (!data->left)
		ret = next_chunk(data, room);
	vfio_mig_unlock(mig);
	return ret;
}

/* Reads the rest of one chunk. Returns the number of bytes, 0 at the end, or an error. */
static ssize_t read_some(struct vfio_mig_data *data, struct iov_iter *to)
{
	size_t room = iov_iter_count(to), n;
	int ret;

	/* A small read gets a part of the chunk. */
	if (room < VFIO_MIG_CHUNK_ROOM_MIN)
		room = VFIO_MIG_CHUNK_ROOM_MAX;
	ret = get_chunk(data, room);
	if (ret)
		return min(ret, 0);
	n = copy_chunk(data->chunk, data->off, to);
	if (!n)
		return -EFAULT;
	data->off += n;
	WRITE_ONCE(data->left, data->left - n);
	if (!data->left)
		drop_chunk(data);
	return n;
}

/*
 * Returns whether a read continues with another chunk. The read ends after a chunk if another
 * whole chunk may not fit, because a VMM sends the data of each read as one unit. If the VMM
 * gives up the save after a read, the stream is at the end of a chunk, and another save may
 * begin there.
 */
static bool goes_on(const struct vfio_mig_data *data, size_t done, size_t room)
{
	return room && (!done || data->left || room >= VFIO_MIG_CHUNK_ROOM_MIN);
}

/*
 * Releases the file's lock. If the session has ended, nobody needs the chunk any more, and the
 * reader drops it. The end of the session drops the chunk itself, unless a reader has the lock.
 * So the reader looks again after the release, because the session may have ended in between.
 */
static void reader_unlock(struct vfio_mig_data *data)
{
	do {
		if (READ_ONCE(data->dead) && data->left)
			drop_chunk(data);
		mutex_unlock(&data->lock);
		smp_mb(); /* pairs with the barrier in vfio_mig_data_end() */
	} while (READ_ONCE(data->dead) && READ_ONCE(data->left) && mutex_trylock(&data->lock));
}

static ssize_t data_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct vfio_mig_data *data = iocb->ki_filp->private_data;
	ssize_t done = 0, ret = 0;

	if (mutex_lock_killable(&data->lock))
		return -EINTR;
	/* A read of 0 bytes returns an error if the session has ended. */
	if (!iov_iter_count(to))
		ret = READ_ONCE(data->dead) ? -ENODEV : 0;
	while (goes_on(data, done, iov_iter_count(to))) {
		ret = read_some(data, to);
		if (ret <= 0)
			break;
		done += ret;
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}
	reader_unlock(data);
	return done ? done : ret;
}

/*
 * Takes @n bytes of @from, or fewer if the driver gets a piece of its image. After an error
 * none are taken. The session mutex is not held during copies. Returns the number of bytes
 * or an error.
 */
static ssize_t write_slice(struct vfio_mig_data *data, struct iov_iter *from, size_t n)
{
	struct vfio_mig *mig = data->mig;
	struct vfio_mig_portion portion;
	int ret;

	ret = session_lock(data);
	if (ret)
		return ret;
	ret = mig->load ? vfio_mig_portion_begin(mig, &portion, n) : -EINVAL;
	while (!ret && portion.left) {
		size_t room = portion.room, got;

		vfio_mig_unlock(mig);
		got = copy_from_iter(portion.to, room, from);
		cond_resched();
		ret = session_lock(data);
		if (ret) {
			vfio_mig_portion_abandon(&portion);
			return ret;
		}
		ret = vfio_mig_portion_taken(mig, &portion, got);
	}
	vfio_mig_unlock(mig);
	return ret ? ret : portion.size;
}

static ssize_t data_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct vfio_mig_data *data = iocb->ki_filp->private_data;
	size_t left = iov_iter_count(from), done = 0;
	ssize_t ret = 0;

	if (mutex_lock_killable(&data->lock))
		return -EINTR;
	if (!left)
		ret = READ_ONCE(data->dead) ? -ENODEV : 0;
	while (left) {
		ret = write_slice(data, from, min_t(size_t, left, WRITE_SLICE));
		if (ret < 0)
			break;
		done += ret;
		left -= ret;
		if (fatal_signal_pending(current))
			break;
	}
	mutex_unlock(&data->lock);
	return done ? done : ret;
}

static __poll_t data_poll(struct file *file, struct poll_table_struct *wait)
{
	struct vfio_mig_data *data = file->private_data;
	struct vfio_mig *mig = data->mig;
	__poll_t events = 0;

	poll_wait(file, &data->wait, wait);
	/* While the lock is held, the session cannot end and its objects stay. */
	spin_lock(&data->peek);
	if (data->dead || READ_ONCE(mig->broken))
		events = EPOLLERR | EPOLLHUP;
	else if (!data->chunk)
		events = EPOLLOUT | EPOLLWRNORM;
	else if (READ_ONCE(data->left) || vfio_mig_save_ready(mig))
		events = EPOLLIN | EPOLLRDNORM;
	spin_unlock(&data->peek);
	return events;
}

#ifdef VFIO_MIG_GET_PRECOPY_INFO
/* Reports new initial data of the driver or of a fault knob, if the user wants such reports. */
static void reinit(struct vfio_mig *mig, struct vfio_precopy_info *info)
{
	bool opted_in = vfio_mig_precopy_info_v2(mig->vdev);
	bool again = vfio_mig_fault_reinit(mig);

	if (again)
		vfio_mig_save_again(mig);
	if (!(vfio_mig_image_reinit(mig, opted_in) || (again && opted_in)))
		return;
	info->flags |= VFIO_MIG_PRECOPY_REINIT;
	vfio_mig_save_announce(mig);
	/* The user reads the current chunk before the new data, so it counts as initial, too. */
	WRITE_ONCE(mig->data->initial, true);
}

static void fill_precopy_info(struct vfio_mig *mig,
			      struct vfio_precopy_info *info)
{
	size_t in_hand = vfio_mig_data_in_hand(mig);
	u64 pending;

	info->flags = 0;
	reinit(mig, info);
	pending = vfio_mig_save_pending(mig);
	info->initial_bytes = min(pending, vfio_mig_save_initial(mig));
	info->dirty_bytes = pending - info->initial_bytes;
	/* The rest of a chunk counts as the chunk did when it was made. */
	if (READ_ONCE(mig->data->initial))
		info->initial_bytes += in_hand;
	else
		info->dirty_bytes += in_hand;
	pending = vfio_mig_fault_pending(mig, info->initial_bytes +
					      info->dirty_bytes);
	info->initial_bytes = min(info->initial_bytes, pending);
	info->dirty_bytes = pending - info->initial_bytes;
}

/*
 * Does not use the kernel's vfio_check_precopy_ioctl(), because that function uses the device
 * before the session was checked. A dead file can outlive the device.
 */
static long data_precopy_info(struct vfio_mig_data *data, void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_precopy_info, dirty_bytes);
	struct vfio_precopy_info info = {};
	struct vfio_mig *mig = data->mig;
	int ret;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	ret = session_lock(data);
	if (ret)
		return ret;
	if (mig->state == VFIO_MIG_PRE_COPY ||
	    mig->state == VFIO_MIG_PRE_COPY_P2P)
		ret = vfio_mig_save_ask(mig);
	else
		ret = -EINVAL;
	if (!ret)
		fill_precopy_info(mig, &info);
	vfio_mig_unlock(mig);
	if (ret)
		return ret;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long data_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	if (cmd != VFIO_MIG_GET_PRECOPY_INFO)
		return -ENOTTY;
	return data_precopy_info(file->private_data, (void __user *)arg);
}
#endif

static int data_release(struct inode *inode, struct file *file)
{
	struct vfio_mig_data *data = file->private_data;

	/*
	 * There are no readers any more, so only the end of the session can hold the lock.
	 * It drops the chunk then.
	 */
	if (data->chunk && mutex_trylock(&data->lock)) {
		drop_chunk(data);
		mutex_unlock(&data->lock);
	}
	kref_put(&data->kref, data_free);
	return 0;
}

static const struct file_operations data_fops = {
	.owner = THIS_MODULE,
	.read_iter = data_read_iter,
	.write_iter = data_write_iter,
	.poll = data_poll,
#ifdef VFIO_MIG_GET_PRECOPY_INFO
	.unlocked_ioctl = data_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
#endif
	.release = data_release,
	.llseek = noop_llseek,
};

/**
 * vfio_mig_data_begin - begin a session that has a data file
 * @mig: the device; session mutex held, save or load begun
 *
 * Return: 0, -ENOMEM or -ENFILE.
 */
int vfio_mig_data_begin(struct vfio_mig *mig)
{
	struct vfio_mig_data *data;
	int ret = 0;

	data = kzalloc(sizeof(*data), GFP_KERNEL_ACCOUNT);
	if (!data)
		return -ENOMEM;
	kref_init(&data->kref);
	mutex_init(&data->lock);
	init_waitqueue_head(&data->wait);
	spin_lock_init(&data->peek);
	data->mig = mig;
	kref_get(&mig->kref);
	if (mig->save) {
		data->chunk = vfio_mig_chunk_alloc(mig);
		ret = data->chunk ? 0 : -ENOMEM;
	}
	if (!ret) {
		data->file = anon_inode_getfile("[vfio-mig-data]", &data_fops,
						data, mig->load ? O_WRONLY :
								  O_RDONLY);
		ret = PTR_ERR_OR_ZERO(data->file);
	}
	if (ret) {
		kref_put(&data->kref, data_free);
		return ret;
	}
	stream_open(file_inode(data->file), data->file);
	kref_get(&data->kref); /* The file holds the other reference. */
	/*
	 * Threads that find the wait queue by these two pointers find it initialised. Pairs with
	 * the address dependencies in vfio_mig_data_wake() and page_mark().
	 */
	smp_wmb();
	WRITE_ONCE(mig->data, data);
	if (mig->desc.pages)
		WRITE_ONCE(mig->desc.pages->wait, &data->wait);
	return 0;
}

/**
 * vfio_mig_data_end - end the data file's session
 * @mig: the device; session mutex held
 *
 * The file is dead afterwards. Does nothing if there is no session with a data file.
 */
void vfio_mig_data_end(struct vfio_mig *mig)
{
	struct vfio_mig_data *data = mig->data;

	if (!data)
		return;
	WRITE_ONCE(mig->data, NULL);
	if (mig->desc.pages)
		WRITE_ONCE(mig->desc.pages->wait, NULL);
	spin_lock(&data->peek);
	WRITE_ONCE(data->dead, true);
	spin_unlock(&data->peek);
	/* A reader that is copying drops the chunk at the end of its copy. */
	smp_mb(); /* pairs with the barrier in reader_unlock() */
	if (data->chunk && mutex_trylock(&data->lock)) {
		drop_chunk(data);
		mutex_unlock(&data->lock);
	}
	wake_up_interruptible(&data->wait);
	/* If the file is still here, its transition failed later, and no user has the file. */
	if (data->file)
		fput(data->file);
	kref_put(&data->kref, data_free);
}

/**
 * vfio_mig_data_wake - wake the threads that wait for the session's data file
 * @mig: the device. It may have no session, or a session without a data file.
 *
 * Context: any.
 */
void vfio_mig_data_wake(struct vfio_mig *mig)
{
	struct vfio_mig_data *data;

	rcu_read_lock();
	data = READ_ONCE(mig->data);
	if (data)
		wake_up_interruptible(&data->wait);
	rcu_read_unlock();
}

/**
 * vfio_mig_data_take_file - take the file that a transition has made
 * @mig: the device; session mutex held
 * @err: error of the transition, or 0
 *
 * Return: the file, which the VFIO core installs, or NULL if there is none or if the file
 * was taken before.
 */
struct file *vfio_mig_data_take_file(struct vfio_mig *mig, int err)
{
	struct file *file;

	if (!mig->data || err)
		return NULL;
	file = mig->data->file;
	mig->data->file = NULL;
	return file;
}

/**
 * vfio_mig_data_in_hand - return the number of unread bytes of the current chunk
 * @mig: the device; session mutex held. There may be no data file.
 */
size_t vfio_mig_data_in_hand(struct vfio_mig *mig)
{
	return mig->data ? READ_ONCE(mig->data->left) : 0;
}
