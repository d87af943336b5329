// SPDX-License-Identifier: GPL-2.0-only
/*
 * The v2 front end: the data file descriptor
 *
 * One file a session. Reading it gives the stream, a chunk after the other,
 * straight from the frozen pages; writing it feeds the load. When the session ends
 * the file is dead: whoever still has it gets -ENODEV. It keeps the library's
 * object in memory, but not the device.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/vfio.h>

#include "data.h"
#include "fault.h"
#include "load.h"
#include "machine.h"
#include "mig.h"
#include "save.h"

/* A write is fed in slices, so that a signal does not wait for all of it. */
#define WRITE_SLICE	SZ_1M

/**
 * struct vfio_mig_data - a data file
 * @mig: the device; alive in this session while &vfio_mig.data points here
 * @file: the file, until it was handed to the VFIO core
 * @chunk: the chunk being read, NULL for none
 * @off: bytes of it that were read
 */
struct vfio_mig_data {
	struct vfio_mig *mig;
	struct file *file;
	const struct vfio_mig_chunk *chunk;
	size_t off;
};

/* Takes the session mutex if the file's session still goes on. */
static int data_lock(struct vfio_mig_data *data)
{
	int ret;

	ret = vfio_mig_lock(data->mig);
	if (ret)
		return ret;
	if (data->mig->data == data)
		return 0;
	mutex_unlock(&data->mig->lock);
	return -ENODEV;
}

/* Copies what follows @off of the chunk. Returns the bytes copied. */
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

/* Reads one chunk's worth. Returns the bytes, 0 for none now, or an error. */
static ssize_t read_some(struct vfio_mig_data *data, struct iov_iter *to)
{
	struct vfio_mig *mig = data->mig;
	size_t n;
	int ret;

	if (!data->chunk) {
		ret = vfio_mig_save_next(mig, SIZE_MAX, &data->chunk);
		if (ret)
			return ret == -EAGAIN ? 0 : ret;
		data->off = 0;
	}
	n = copy_chunk(data->chunk, data->off, to);
	if (!n)
		return -EFAULT;
	data->off += n;
	if (data->off == vfio_mig_chunk_size(data->chunk)) {
		data->chunk = NULL;
		vfio_mig_save_put(mig);
	}
	return n;
}

static ssize_t data_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct vfio_mig_data *data = iocb->ki_filp->private_data;
	ssize_t done = 0, ret;

	ret = data_lock(data);
	if (ret)
		return ret;
	if (!data->mig->save) {
		ret = -EINVAL;
		goto out;
	}
	while (iov_iter_count(to)) {
		ret = read_some(data, to);
		if (ret <= 0)
			break;
		done += ret;
		cond_resched();
	}
	/* Nothing for now is not the end, as long as the device runs. */
	if (!done && !ret && iov_iter_count(to) && !vfio_mig_stopped(data->mig))
		ret = -ENOMSG;
out:
	mutex_unlock(&data->mig->lock);
	return done ? done : ret;
}

static ssize_t data_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct vfio_mig_data *data = iocb->ki_filp->private_data;
	size_t left = iov_iter_count(from), done = 0;
	int ret;

	ret = data_lock(data);
	if (ret)
		return ret;
	if (!data->mig->load)
		ret = -EINVAL;
	while (!ret && left) {
		size_t n = min_t(size_t, left, WRITE_SLICE);

		iov_iter_truncate(from, n);
		ret = vfio_mig_load_feed(data->mig, from);
		if (ret)
			break;
		done += n;
		left -= n;
		iov_iter_reexpand(from, left);
		if (fatal_signal_pending(current))
			break;
	}
	mutex_unlock(&data->mig->lock);
	return done ? done : ret;
}

static __poll_t data_poll(struct file *file, struct poll_table_struct *wait)
{
	struct vfio_mig_data *data = file->private_data;
	struct vfio_mig *mig = data->mig;
	__poll_t events = 0;

	poll_wait(file, &mig->wait, wait);
	if (data_lock(data))
		return EPOLLERR | EPOLLHUP;
	if (mig->load)
		events = EPOLLOUT | EPOLLWRNORM;
	else if (data->chunk || vfio_mig_stopped(mig) ||
		 vfio_mig_save_pending(mig))
		events = EPOLLIN | EPOLLRDNORM;
	mutex_unlock(&mig->lock);
	return events;
}

#ifdef VFIO_MIG_GET_PRECOPY_INFO
static long data_precopy_info(struct vfio_mig_data *data, void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_precopy_info, dirty_bytes);
	struct vfio_precopy_info info = {};
	struct vfio_mig *mig = data->mig;
	u64 pending;
	int ret;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	ret = data_lock(data);
	if (ret)
		return ret;
	if (mig->state == VFIO_MIG_PRE_COPY ||
	    mig->state == VFIO_MIG_PRE_COPY_P2P) {
		info.flags = 0;
		pending = vfio_mig_save_pending(mig);
		info.initial_bytes = vfio_mig_save_initial(mig);
		info.dirty_bytes = pending - min(pending, info.initial_bytes);
		/* A chunk that is half read belongs to what it was part of. */
		if (info.initial_bytes)
			info.initial_bytes += vfio_mig_data_in_hand(mig);
		else
			info.dirty_bytes += vfio_mig_data_in_hand(mig);
		pending = vfio_mig_fault_pending(mig, info.initial_bytes +
						      info.dirty_bytes);
		info.initial_bytes = min(info.initial_bytes, pending);
		info.dirty_bytes = pending - info.initial_bytes;
	} else {
		ret = -EINVAL;
	}
	mutex_unlock(&mig->lock);
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
	struct vfio_mig *mig = data->mig;

	mutex_lock(&mig->lock);
	if (mig->data == data)
		mig->data = NULL;
	mutex_unlock(&mig->lock);
	kobject_put(&mig->kobj);
	kfree(data);
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
 * vfio_mig_data_begin - a session begins that has a data file
 * @mig: the device; session mutex held, save or load begun
 *
 * Return: 0, -ENOMEM or -ENFILE.
 */
int vfio_mig_data_begin(struct vfio_mig *mig)
{
	struct vfio_mig_data *data;

	data = kzalloc(sizeof(*data), GFP_KERNEL_ACCOUNT);
	if (!data)
		return -ENOMEM;
	data->mig = mig;
	data->file = anon_inode_getfile("[vfio-mig-data]", &data_fops, data,
					mig->load ? O_WRONLY : O_RDONLY);
	if (IS_ERR(data->file)) {
		int ret = PTR_ERR(data->file);

		kfree(data);
		return ret;
	}
	kobject_get(&mig->kobj);
	stream_open(file_inode(data->file), data->file);
	mig->data = data;
	return 0;
}

/**
 * vfio_mig_data_end - the data file's session ends: the file is dead
 * @mig: the device; session mutex held
 *
 * Where there is no session, or it has no data file, nothing is done.
 */
void vfio_mig_data_end(struct vfio_mig *mig)
{
	mig->data = NULL;
	wake_up_interruptible(&mig->wait);
}

/**
 * vfio_mig_data_take_file - the file that a change of state brought about
 * @mig: the device; session mutex held
 * @err: the change failed
 *
 * Return: the file, for the VFIO core to install, or NULL where there is none or
 * it was taken before.
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
 * vfio_mig_data_in_hand - bytes of a chunk that is partly read
 * @mig: the device; session mutex held
 */
size_t vfio_mig_data_in_hand(struct vfio_mig *mig)
{
	struct vfio_mig_data *data = mig->data;

	return data && data->chunk ?
	       vfio_mig_chunk_size(data->chunk) - data->off : 0;
}
