// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault injection into the test device's callbacks: /sys/kernel/debug/vfio_mig_test/UUID/
 *
 * fault        "CALLBACK N ACTION": from its Nth call on, the callback does ACTION (enum
 *              test_action) instead of its task. Calls are counted from the write on. The
 *              action "fail" needs an errno as a positive number behind it. "off" ends the
 *              fault.
 * calls        how often the library called each callback
 * open         the numbers of saves and of loads that have begun and not ended
 * stop_reason  the reason of the last call of the stop callback
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "test.h"

#define LINE_MAX	128

static const char * const callbacks[TEST_NR_CALLBACKS] = {
	[TEST_QUIESCE]		= "quiesce",
	[TEST_STOP]		= "stop",
	[TEST_START]		= "start",
	[TEST_RUN]		= "run",
	[TEST_RESET]		= "reset",
	[TEST_SAVE]		= "save",
	[TEST_PREPARE]		= "prepare",
	[TEST_APPLY]		= "apply",
	[TEST_DISCARD]		= "discard",
	[TEST_SAVE_BEGIN]	= "save_begin",
	[TEST_SIZE]		= "size",
	[TEST_READ]		= "read",
	[TEST_SAVE_END]		= "save_end",
	[TEST_LOAD_BEGIN]	= "load_begin",
	[TEST_WRITE]		= "write",
	[TEST_CHECK]		= "check",
	[TEST_LOAD_END]		= "load_end",
	[TEST_MEM_READ]		= "mem_read",
	[TEST_MEM_WRITE]	= "mem_write",
	[TEST_TRACK]		= "track",
	[TEST_DIRTY]		= "dirty",
};

static const char * const actions[] = {
	[TEST_NONE]	= "none",
	[TEST_FAIL]	= "fail",
	[TEST_BREAK]	= "break",
	[TEST_WAIT]	= "wait",
	[TEST_HUGE]	= "huge",
	[TEST_SHORT]	= "short",
	[TEST_REINIT]	= "reinit",
};

static const char * const stop_reasons[] = {
	[VFIO_MIG_STOP_FOR_PAUSE]	= "pause",
	[VFIO_MIG_STOP_FOR_SAVE]	= "save",
	[VFIO_MIG_STOP_FOR_LOAD]	= "load",
	[VFIO_MIG_STOP_FOR_RESET]	= "reset",
};

static struct dentry *root;

static bool released(struct test_device *t)
{
	return READ_ONCE(t->fault.action) != TEST_WAIT || vfio_mig_cancelled(t->mig);
}

static int wait_here(struct test_device *t)
{
	struct test_fault *f = &t->fault;
	int ret;

	WRITE_ONCE(f->waiting, true);
	ret = wait_event_killable(f->wait, released(t));
	WRITE_ONCE(f->waiting, false);
	if (ret)
		return ret;
	return vfio_mig_cancelled(t->mig) ? -ECANCELED : 0;
}

/* Counts a call, and returns its action. */
static enum test_action next_action(struct test_fault *f, enum test_callback callback,
				    int *err)
{
	enum test_action action = TEST_NONE;

	spin_lock(&f->lock);
	f->calls[callback]++;
	if (f->action && f->callback == callback && f->calls[callback] >= f->first) {
		action = f->action;
		*err = f->err;
	}
	spin_unlock(&f->lock);
	return action;
}

/**
 * test_fault - count the call of a callback, and inject a fault
 * @t: the device
 * @callback: the callback that is called
 *
 * Context: may wait, if the action is TEST_WAIT.
 * Return: 0 if the callback does its task, or the error that the callback returns.
 * TEST_RET_HUGE or TEST_RET_SHORT if the callback has to return a wrong result.
 * TEST_RET_REINIT if the callback reports new initial data.
 */
int test_fault(struct test_device *t, enum test_callback callback)
{
	int err = 0;

	switch (next_action(&t->fault, callback, &err)) {
	case TEST_FAIL:
		return err;
	case TEST_BREAK:
		vfio_mig_device_error(t->mig);
		return -EIO;
	case TEST_WAIT:
		return wait_here(t);
	case TEST_HUGE:
		return TEST_RET_HUGE;
	case TEST_SHORT:
		return TEST_RET_SHORT;
	case TEST_REINIT:
		return TEST_RET_REINIT;
	default:
		return 0;
	}
}

/**
 * test_fault_void - as test_fault(), for a callback that cannot return an error
 * @t: the device
 * @callback: the callback that is called
 *
 * Where test_fault() returns an error other than -ECANCELED, this function calls
 * vfio_mig_device_error().
 *
 * Context: as test_fault().
 * Return: whether a fault was injected.
 */
bool test_fault_void(struct test_device *t, enum test_callback callback)
{
	int ret = test_fault(t, callback);

	if (ret && ret != -ECANCELED)
		vfio_mig_device_error(t->mig);
	return ret;
}

/**
 * test_cancel - wake a callback that waits
 * @vdev: the device
 *
 * The library calls this function after vfio_mig_cancelled() has become true. The callback that
 * waits then returns -ECANCELED.
 */
void test_cancel(struct vfio_device *vdev)
{
	wake_up_all(&to_test(vdev)->fault.wait);
}

/* Only image_size() and image_read() have results that are not just an error. */
static bool possible(enum test_callback c, enum test_action a)
{
	if (a == TEST_HUGE)
		return c == TEST_SIZE || c == TEST_READ;
	if (a == TEST_REINIT)
		return c == TEST_SIZE;
	return a != TEST_SHORT || c == TEST_READ;
}

static int parse(struct test_fault *f, char *line)
{
	char callback[16], action[16];
	unsigned int first;
	int c, a, err = 0, n;

	if (!strcmp(line, "off")) {
		f->action = TEST_NONE;
		return 0;
	}
	n = sscanf(line, "%15s %u %15s %d", callback, &first, action, &err);
	if (n < 3)
		return -EINVAL;
	c = match_string(callbacks, ARRAY_SIZE(callbacks), callback);
	a = match_string(actions, ARRAY_SIZE(actions), action);
	if (c < 0 || a <= 0 || !first || n != (a == TEST_FAIL ? 4 : 3))
		return -EINVAL;
	if (!possible(c, a))
		return -EINVAL;
	if (err < 0 || err > MAX_ERRNO)
		return -EINVAL;
	f->callback = c;
	f->first = f->calls[c] + first;
	f->err = -err;
	WRITE_ONCE(f->action, a);
	return 0;
}

static ssize_t fault_write(struct file *file, const char __user *buf, size_t count,
			   loff_t *ppos)
{
	struct test_device *t = file_inode(file)->i_private;
	struct test_fault *f = &t->fault;
	char *line;
	int ret;

	if (count > LINE_MAX)
		return -EINVAL;
	line = memdup_user_nul(buf, count);
	if (IS_ERR(line))
		return PTR_ERR(line);
	spin_lock(&f->lock);
	ret = parse(f, strim(line));
	spin_unlock(&f->lock);
	kfree(line);
	wake_up_all(&f->wait);
	return ret ? ret : count;
}

static ssize_t fault_read(struct file *file, char __user *buf, size_t count, loff_t *ppos)
{
	struct test_device *t = file_inode(file)->i_private;
	struct test_fault *f = &t->fault;
	char line[LINE_MAX];
	int len;

	spin_lock(&f->lock);
	if (f->action)
		len = scnprintf(line, sizeof(line), "%s %llu %s%s\n", callbacks[f->callback],
				f->first, actions[f->action],
				f->waiting ? ", waiting" : "");
	else
		len = scnprintf(line, sizeof(line), "off\n");
	spin_unlock(&f->lock);
	return simple_read_from_buffer(buf, count, ppos, line, len);
}

static const struct file_operations fault_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = fault_read,
	.write = fault_write,
	.llseek = default_llseek,
};

static int calls_show(struct seq_file *m, void *unused)
{
	struct test_device *t = m->private;
	int i;

	for (i = 0; i < TEST_NR_CALLBACKS; i++)
		seq_printf(m, "%s %llu\n", callbacks[i], READ_ONCE(t->fault.calls[i]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(calls);

static int stop_reason_show(struct seq_file *m, void *unused)
{
	struct test_device *t = m->private;

	seq_printf(m, "%s\n", stop_reasons[READ_ONCE(t->fault.stop_reason)]);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stop_reason);

/* The library ends each save and each load that it begins, so both become 0 again. */
static int open_show(struct seq_file *m, void *unused)
{
	struct test_device *t = m->private;

	seq_printf(m, "%d %d\n", READ_ONCE(t->saves), READ_ONCE(t->loads));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(open);

/**
 * test_fault_init - create the device's files in debugfs; no fault is injected yet
 * @t: the device, not registered yet
 */
void test_fault_init(struct test_device *t)
{
	struct test_fault *f = &t->fault;

	spin_lock_init(&f->lock);
	init_waitqueue_head(&f->wait);
	f->dir = debugfs_create_dir(dev_name(t->vdev.dev), root);
	debugfs_create_file("fault", 0600, f->dir, t, &fault_fops);
	debugfs_create_file("calls", 0400, f->dir, t, &calls_fops);
	debugfs_create_file("stop_reason", 0400, f->dir, t, &stop_reason_fops);
	debugfs_create_file("open", 0400, f->dir, t, &open_fops);
}

/**
 * test_fault_exit - opposite of test_fault_init()
 * @t: the device, which is unregistered
 */
void test_fault_exit(struct test_device *t)
{
	debugfs_remove(t->fault.dir);
}

/**
 * test_fault_setup - create the module's directory in debugfs
 */
void test_fault_setup(void)
{
	root = debugfs_create_dir("vfio_mig_test", NULL);
}

/**
 * test_fault_cleanup - opposite of test_fault_setup()
 */
void test_fault_cleanup(void)
{
	debugfs_remove(root);
}
