// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault knobs: a device that fails on purpose, for tests of a VMM
 *
 * Each device has a directory in debugfs. Documentation/fault-knobs.rst describes its
 * files. A fault is injected at the place at which the library would meet a real fault, so
 * the library handles both in the same way.
 *
 * The library calls these functions with the session mutex held, and only if a knob is set
 * (vfio_mig_faulty()). The files take only &vfio_mig_fault.lock, so that a knob can be changed
 * during a transition that it delays.
 */
#include <linux/bits.h>
#include <linux/debugfs.h>
#include <linux/hrtimer.h>
#include <linux/math64.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "fault.h"
#include "pages.h"

#define OFF		U64_MAX
#define ANY		VFIO_MIG_NR_STATES
#define TEXT_MAX	128
#define DELAY_MAX	600000U
/* The product of this rate and of DIRTY_TIME_MAX fits into 64 bits. */
#define DIRTY_RATE_MAX	BIT_ULL(24)
#define DIRTY_TIME_MAX	(600ULL * NSEC_PER_SEC)

/**
 * enum knob - knobs that are a number
 * @BANDWIDTH: bytes per second
 * @PENDING: number of bytes to report as pending
 * @DATA_SIZE: number of bytes to report as the size of the state
 * @DIRTY_RATE: pages per second
 * @STOP: errno of the device's stop
 * @RUN: 1 if the device breaks when it has to run
 * @REINIT: number of times that new initial data are reported
 * @NR_KNOBS: number of knobs
 */
enum knob {
	BANDWIDTH,
	PENDING,
	DATA_SIZE,
	DIRTY_RATE,
	STOP,
	RUN,
	REINIT,
	NR_KNOBS,
};

static const struct {
	u64 min;
	u64 max;
} limits[NR_KNOBS] = {
	[BANDWIDTH]	= { 1, OFF - 1 },
	[PENDING]	= { 0, OFF - 1 },
	[DATA_SIZE]	= { 0, OFF - 1 },
	[DIRTY_RATE]	= { 1, DIRTY_RATE_MAX },
	[STOP]		= { 1, MAX_ERRNO },
	[RUN]		= { 1, 1 },
	[REINIT]	= { 1, OFF - 1 },
};

/**
 * struct transition_fault - faults of a transition; all members are 0 if there are none
 * @delay: delay of the transition in milliseconds
 * @err: errno of the transition, negative
 * @breaks: the device breaks
 * @times: number of further transitions with these faults, 0 for no limit
 */
struct transition_fault {
	u32 delay;
	int err;
	bool breaks;
	u32 times;
};

/**
 * struct vfio_mig_fault - a device's fault knobs
 * @lock: protects the knobs; taken after the session mutex
 * @dir: the directory in debugfs
 * @transitions: faults of transitions, by the old and the new state
 * @number: values of the knobs by enum knob, OFF for a knob that is not set
 * @spoil: what happens to chunk @seq
 * @seq: number of a chunk in each save
 * @free_at: time in ns at which the data path may transfer more bytes; session mutex
 * @dirty_at: time in ns up to which pages were marked as changed
 * @cursor: next page to mark as changed; session mutex
 */
struct vfio_mig_fault {
	struct mutex lock; /* see above */
	struct dentry *dir;
	struct transition_fault transitions[VFIO_MIG_NR_STATES][VFIO_MIG_NR_STATES];
	u64 number[NR_KNOBS];
	enum vfio_mig_spoil spoil;
	u32 seq;
	u64 free_at;
	u64 dirty_at;
	unsigned long cursor;
};

static struct dentry *root;

/*
 * Waits for a time, or until the caller is being killed. Does not count jiffies, because they lag
 * in a virtual machine that gets little CPU time.
 */
static int wait_ns(u64 ns)
{
	ktime_t time = ns_to_ktime(ns);

	set_current_state(TASK_KILLABLE);
	return schedule_hrtimeout(&time, HRTIMER_MODE_REL);
}

/* Functions that the library calls when a knob is set. */

int __vfio_mig_fault_transition(struct vfio_mig *mig, enum vfio_mig_state to)
{
	struct vfio_mig_fault *fault = mig->fault;
	struct transition_fault *set = &fault->transitions[mig->state][to], now;

	__vfio_mig_fault_dirty(mig);
	mutex_lock(&fault->lock);
	now = *set;
	if (set->times && !--set->times)
		memset(set, 0, sizeof(*set));
	mutex_unlock(&fault->lock);

	if (now.delay && wait_ns((u64)now.delay * NSEC_PER_MSEC))
		return -EINTR;
	if (now.breaks)
		vfio_mig_device_error(mig);
	return now.err;
}

int __vfio_mig_fault_stop(struct vfio_mig *mig)
{
	u64 number = READ_ONCE(mig->fault->number[STOP]);

	return number == OFF ? 0 : -(int)number;
}

void __vfio_mig_fault_run(struct vfio_mig *mig)
{
	if (READ_ONCE(mig->fault->number[RUN]) != OFF)
		vfio_mig_device_error(mig);
}

enum vfio_mig_spoil __vfio_mig_fault_chunk(struct vfio_mig *mig, u32 seq)
{
	struct vfio_mig_fault *fault = mig->fault;
	enum vfio_mig_spoil spoil = VFIO_MIG_SPOIL_NOT;

	mutex_lock(&fault->lock);
	if (seq == fault->seq)
		spoil = fault->spoil;
	mutex_unlock(&fault->lock);
	return spoil;
}

/*
 * Waits in pieces, because the user may lift the limit meanwhile. A reset or the close of
 * the device ends the wait, because the session mutex is held.
 */
void __vfio_mig_fault_transfer(struct vfio_mig *mig, size_t bytes)
{
	struct vfio_mig_fault *fault = mig->fault;
	u64 rate = READ_ONCE(fault->number[BANDWIDTH]), now = ktime_get_ns();

	if (rate == OFF)
		return;
	fault->free_at = max(fault->free_at, now) +
			 div64_u64((u64)bytes * NSEC_PER_SEC, rate);
	while (now + TICK_NSEC <= fault->free_at &&
	       !fatal_signal_pending(current) && !vfio_mig_cancelled(mig)) {
		u64 wait = min_t(u64, fault->free_at - now, NSEC_PER_SEC / 10);

		wait_ns(wait);
		now = ktime_get_ns();
		if (READ_ONCE(fault->number[BANDWIDTH]) != rate)
			fault->free_at = now;
	}
	/* Later transfers do not wait for the rest of a wait that was cut short. */
	if (fatal_signal_pending(current) || vfio_mig_cancelled(mig))
		fault->free_at = now;
}

static u64 reported(struct vfio_mig *mig, enum knob knob, u64 bytes)
{
	u64 number = READ_ONCE(mig->fault->number[knob]);

	return number == OFF ? bytes : number;
}

u64 __vfio_mig_fault_pending(struct vfio_mig *mig, u64 bytes)
{
	return reported(mig, PENDING, bytes);
}

u64 __vfio_mig_fault_data_size(struct vfio_mig *mig, u64 bytes)
{
	return reported(mig, DATA_SIZE, bytes);
}

bool __vfio_mig_fault_reinit(struct vfio_mig *mig)
{
	struct vfio_mig_fault *fault = mig->fault;
	u64 times;

	mutex_lock(&fault->lock);
	times = fault->number[REINIT];
	if (times != OFF)
		WRITE_ONCE(fault->number[REINIT], times > 1 ? times - 1 : OFF);
	mutex_unlock(&fault->lock);
	return times != OFF;
}

/* Moves the cursor to the next page that has memory. All of a driver's own memory is there. */
static bool next_page(struct vfio_mig_fault *fault, struct vfio_mig_pages *p)
{
	if (p->memory) {
		fault->cursor %= p->nr;
		return true;
	}
	if (xa_find(p->xa, &fault->cursor, ULONG_MAX, XA_PRESENT))
		return true;
	fault->cursor = 0;
	return xa_find(p->xa, &fault->cursor, ULONG_MAX, XA_PRESENT);
}

/* Marks pages that have memory, in turn. A page without memory takes no time to send. */
static void dirty_pages(struct vfio_mig_fault *fault, struct vfio_mig_pages *p,
			u64 nr)
{
	nr = min_t(u64, nr, p->memory ? p->nr : vfio_mig_pages_resident(p));
	while (nr-- && next_page(fault, p)) {
		vfio_mig_pages_redirty(p, fault->cursor++);
		cond_resched();
	}
}

void __vfio_mig_fault_dirty(struct vfio_mig *mig)
{
	struct vfio_mig_fault *fault = mig->fault;
	u64 rate = READ_ONCE(fault->number[DIRTY_RATE]), now = ktime_get_ns();
	u64 nr, time;

	if (rate == OFF || mig->state != VFIO_MIG_PRE_COPY || !mig->desc.pages) {
		WRITE_ONCE(fault->dirty_at, now);
		return;
	}
	time = min(now - min(READ_ONCE(fault->dirty_at), now), DIRTY_TIME_MAX);
	nr = div_u64(time * rate, NSEC_PER_SEC);
	/* The time for a fraction of a page counts in the next call. */
	WRITE_ONCE(fault->dirty_at,
		   now - time + div64_u64(nr * NSEC_PER_SEC, rate));
	dirty_pages(fault, mig->desc.pages, nr);
}

/* Functions that parse and print text. Callers hold &vfio_mig_fault.lock. */

static char *next_word(char **text)
{
	char *word;

	do {
		word = strsep(text, " \t");
	} while (word && !*word);
	return word;
}

/* Returns a state, ANY, or an error. No transition leaves or enters the error state. */
static int next_state(char **text)
{
	const char *word = next_word(text);
	int state;

	if (!word)
		return -EINVAL;
	if (!strcmp(word, "any"))
		return ANY;
	state = match_string(vfio_mig_state_names, VFIO_MIG_NR_STATES, word);
	return state == VFIO_MIG_ERROR ? -EINVAL : state;
}

static int parse_fault(char *text, struct transition_fault *f)
{
	const char *word, *value;
	u32 n;

	memset(f, 0, sizeof(*f));
	while ((word = next_word(&text))) {
		if (!strcmp(word, "break")) {
			f->breaks = true;
			f->err = -EIO;
			continue;
		}
		value = next_word(&text);
		if (!value || kstrtou32(value, 0, &n) || !n)
			return -EINVAL;
		if (!strcmp(word, "delay") && n <= DELAY_MAX)
			f->delay = n;
		else if (!strcmp(word, "fail") && n <= MAX_ERRNO)
			f->err = -(int)n;
		else if (!strcmp(word, "times"))
			f->times = n;
		else
			return -EINVAL;
	}
	return 0;
}

static int transitions_store(struct vfio_mig *mig, char *text)
{
	struct vfio_mig_fault *fault = mig->fault;
	int from, to, i, j, ret;
	struct transition_fault f;

	if (!strcmp(text, "off")) {
		memset(fault->transitions, 0, sizeof(fault->transitions));
		return 0;
	}
	from = next_state(&text);
	to = next_state(&text);
	if (from < 0 || to < 0)
		return -EINVAL;
	ret = parse_fault(text, &f);
	if (ret)
		return ret;
	for (i = VFIO_MIG_STOP; i < VFIO_MIG_NR_STATES; i++) {
		for (j = VFIO_MIG_STOP; j < VFIO_MIG_NR_STATES; j++) {
			if (i != j && (from == ANY || from == i) &&
			    (to == ANY || to == j))
				fault->transitions[i][j] = f;
		}
	}
	return 0;
}

static bool transition_set(const struct transition_fault *f)
{
	return f->delay || f->err;
}

static void show_transition(struct seq_file *s, const struct transition_fault *f)
{
	if (f->delay)
		seq_printf(s, " delay %u", f->delay);
	if (f->breaks)
		seq_puts(s, " break");
	else if (f->err)
		seq_printf(s, " fail %d", -f->err);
	if (f->times)
		seq_printf(s, " times %u", f->times);
	seq_putc(s, '\n');
}

static void transitions_show(struct seq_file *s, struct vfio_mig_fault *fault)
{
	int i, j;

	for (i = 0; i < VFIO_MIG_NR_STATES; i++) {
		for (j = 0; j < VFIO_MIG_NR_STATES; j++) {
			if (!transition_set(&fault->transitions[i][j]))
				continue;
			seq_printf(s, "%s %s", vfio_mig_state_names[i],
				   vfio_mig_state_names[j]);
			show_transition(s, &fault->transitions[i][j]);
		}
	}
}

static int chunk_store(struct vfio_mig *mig, char *text)
{
	struct vfio_mig_fault *fault = mig->fault;
	enum vfio_mig_spoil spoil;
	const char *word;
	u32 seq;

	if (!strcmp(text, "off")) {
		fault->spoil = VFIO_MIG_SPOIL_NOT;
		return 0;
	}
	word = next_word(&text);
	if (!word || kstrtou32(word, 0, &seq))
		return -EINVAL;
	word = next_word(&text);
	if (!word || next_word(&text))
		return -EINVAL;
	if (!strcmp(word, "damage"))
		spoil = VFIO_MIG_SPOIL_DAMAGE;
	else if (!strcmp(word, "drop"))
		spoil = VFIO_MIG_SPOIL_DROP;
	else
		return -EINVAL;
	fault->seq = seq;
	fault->spoil = spoil;
	return 0;
}

static void chunk_show(struct seq_file *s, struct vfio_mig_fault *fault)
{
	if (fault->spoil == VFIO_MIG_SPOIL_NOT)
		seq_puts(s, "off\n");
	else
		seq_printf(s, "%u %s\n", fault->seq,
			   fault->spoil == VFIO_MIG_SPOIL_DROP ? "drop" :
								 "damage");
}

static int number_store(struct vfio_mig *mig, enum knob knob, const char *text)
{
	u64 value;

	if (!strcmp(text, "off"))
		value = OFF;
	else if (kstrtou64(text, 0, &value) || value < limits[knob].min ||
		 value > limits[knob].max)
		return -EINVAL;
	WRITE_ONCE(mig->fault->number[knob], value);
	return 0;
}

static int bandwidth_store(struct vfio_mig *mig, char *text)
{
	return number_store(mig, BANDWIDTH, text);
}

static int pending_store(struct vfio_mig *mig, char *text)
{
	return number_store(mig, PENDING, text);
}

static int data_size_store(struct vfio_mig *mig, char *text)
{
	return number_store(mig, DATA_SIZE, text);
}

/* The rate counts from now on, and not from the last call of __vfio_mig_fault_dirty(). */
static int dirty_rate_store(struct vfio_mig *mig, char *text)
{
	WRITE_ONCE(mig->fault->dirty_at, ktime_get_ns());
	return number_store(mig, DIRTY_RATE, text);
}

static int stop_store(struct vfio_mig *mig, char *text)
{
	return number_store(mig, STOP, text);
}

static int run_store(struct vfio_mig *mig, char *text)
{
	return number_store(mig, RUN, text);
}

static int reinit_store(struct vfio_mig *mig, char *text)
{
	return number_store(mig, REINIT, text);
}

static void number_show(struct seq_file *s, u64 number)
{
	if (number == OFF)
		seq_puts(s, "off\n");
	else
		seq_printf(s, "%llu\n", number);
}

static int break_store(struct vfio_mig *mig, char *text)
{
	if (strcmp(text, "1"))
		return -EINVAL;
	vfio_mig_device_error(mig);
	return 0;
}

/* Files in debugfs. */

static bool anything_set(const struct vfio_mig_fault *fault)
{
	const struct transition_fault *transition = fault->transitions[0];
	int i;

	for (i = 0; i < VFIO_MIG_NR_STATES * VFIO_MIG_NR_STATES; i++) {
		if (transition_set(&transition[i]))
			return true;
	}
	for (i = 0; i < NR_KNOBS; i++) {
		if (fault->number[i] != OFF)
			return true;
	}
	return fault->spoil != VFIO_MIG_SPOIL_NOT;
}

static ssize_t knob_write(struct file *file, const char __user *buf,
			  size_t count,
			  int (*store)(struct vfio_mig *mig, char *text))
{
	struct vfio_mig *mig = file_inode(file)->i_private;
	struct vfio_mig_fault *fault = mig->fault;
	char *text;
	bool set;
	int ret;

	if (count > TEXT_MAX)
		return -EINVAL;
	text = memdup_user_nul(buf, count);
	if (IS_ERR(text))
		return PTR_ERR(text);

	mutex_lock(&fault->lock);
	ret = store(mig, strim(text));
	set = anything_set(fault);
	if (set && !mig->faulty)
		dev_notice(mig->vdev->dev,
			   "fault knobs are set: this device fails on purpose\n");
	WRITE_ONCE(mig->faulty, set);
	mutex_unlock(&fault->lock);
	kfree(text);
	return ret ? ret : count;
}

static int knob_open(struct inode *inode, struct file *file,
		     int (*show)(struct seq_file *s, void *unused))
{
	return single_open(file, show, inode->i_private);
}

#define KNOB(_name, _show, _store)					\
static int _name##_seq_show(struct seq_file *s, void *unused)		\
{									\
	struct vfio_mig *mig = s->private;				\
	struct vfio_mig_fault *fault = mig->fault;			\
									\
	mutex_lock(&fault->lock);					\
	_show;								\
	mutex_unlock(&fault->lock);					\
	return 0;							\
}									\
									\
static int _name##_open(struct inode *inode, struct file *file)	\
{									\
	return knob_open(inode, file, _name##_seq_show);		\
}									\
									\
static ssize_t _name##_write(struct file *file, const char __user *buf,\
			     size_t count, loff_t *pos)			\
{									\
	return knob_write(file, buf, count, _store);			\
}									\
									\
static const struct file_operations _name##_fops = {			\
	.owner = THIS_MODULE,						\
	.open = _name##_open,						\
	.read = seq_read,						\
	.write = _name##_write,						\
	.llseek = seq_lseek,						\
	.release = single_release,					\
}

KNOB(transitions, transitions_show(s, fault), transitions_store);
KNOB(chunk, chunk_show(s, fault), chunk_store);
KNOB(bandwidth, number_show(s, fault->number[BANDWIDTH]), bandwidth_store);
KNOB(pending, number_show(s, fault->number[PENDING]), pending_store);
KNOB(data_size, number_show(s, fault->number[DATA_SIZE]), data_size_store);
KNOB(dirty_rate, number_show(s, fault->number[DIRTY_RATE]), dirty_rate_store);
KNOB(stop, number_show(s, fault->number[STOP]), stop_store);
KNOB(run, number_show(s, fault->number[RUN]), run_store);
KNOB(reinit, number_show(s, fault->number[REINIT]), reinit_store);

static ssize_t break_write(struct file *file, const char __user *buf,
			   size_t count, loff_t *pos)
{
	return knob_write(file, buf, count, break_store);
}

static const struct file_operations break_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = break_write,
	.llseek = noop_llseek,
};

/* Errors of debugfs are ignored, as usual. The files are missing then. */
void __vfio_mig_fault_init(struct vfio_mig *mig)
{
	struct vfio_mig_fault *fault;
	int i;

	fault = kzalloc(sizeof(*fault), GFP_KERNEL);
	if (!fault)
		return;
	mutex_init(&fault->lock);
	for (i = 0; i < NR_KNOBS; i++)
		fault->number[i] = OFF;
	mig->fault = fault;

	fault->dir = debugfs_create_dir(dev_name(mig->vdev->dev), root);
	/* The uapi's word for a transition, which the file has kept */
	debugfs_create_file("arcs", 0600, fault->dir, mig, &transitions_fops);
	debugfs_create_file("break", 0200, fault->dir, mig, &break_fops);
	debugfs_create_file("chunk", 0600, fault->dir, mig, &chunk_fops);
	debugfs_create_file("bandwidth", 0600, fault->dir, mig,
			    &bandwidth_fops);
	debugfs_create_file("pending", 0600, fault->dir, mig, &pending_fops);
	debugfs_create_file("data_size", 0600, fault->dir, mig,
			    &data_size_fops);
	debugfs_create_file("dirty_rate", 0600, fault->dir, mig,
			    &dirty_rate_fops);
	debugfs_create_file("stop", 0600, fault->dir, mig, &stop_fops);
	debugfs_create_file("run", 0600, fault->dir, mig, &run_fops);
	debugfs_create_file("reinit", 0600, fault->dir, mig, &reinit_fops);
}

void __vfio_mig_fault_exit(struct vfio_mig *mig)
{
	struct vfio_mig_fault *fault = mig->fault;

	if (!fault)
		return;
	/* debugfs_remove() waits for users of a file, so no knob is set after it. */
	debugfs_remove(fault->dir);
	mig->faulty = false;
	mig->fault = NULL;
	kfree(fault);
}

void __vfio_mig_fault_setup(void)
{
	root = debugfs_create_dir("vfio_mig", NULL);
}

void __vfio_mig_fault_cleanup(void)
{
	debugfs_remove(root);
}
