/* SPDX-License-Identifier: GPL-2.0-only */
/* vfio_mig_test: a device that has every kind of state, with fault injection */
#ifndef VFIO_MIG_TEST_H
#define VFIO_MIG_TEST_H

#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/vfio_mig_compat.h>
#include <linux/vfio_mig_core.h>
#include <linux/wait.h>

/* The largest image. It is large because images take no memory. */
#define TEST_IMAGE_MAX		(8ULL * SZ_1G)
/* Size of the image after a reset */
#define TEST_IMAGE_SIZE		(40 * SZ_1K)

/*
 * Callbacks that fault injection reaches. Their names are those of the members of struct
 * vfio_mig_ops, struct vfio_mig_image_ops and struct vfio_mig_memory_ops. TEST_MEM_READ and
 * TEST_MEM_WRITE are @read and @write of struct vfio_mig_memory_ops.
 */
enum test_callback {
	TEST_QUIESCE,
	TEST_STOP,
	TEST_START,
	TEST_RUN,
	TEST_RESET,
	TEST_SAVE,
	TEST_PREPARE,
	TEST_APPLY,
	TEST_DISCARD,
	TEST_SAVE_BEGIN,
	TEST_SIZE,
	TEST_READ,
	TEST_SAVE_END,
	TEST_LOAD_BEGIN,
	TEST_WRITE,
	TEST_CHECK,
	TEST_LOAD_END,
	TEST_MEM_READ,
	TEST_MEM_WRITE,
	TEST_TRACK,
	TEST_DIRTY,
	TEST_NR_CALLBACKS,
};

/**
 * enum test_action - action of a callback instead of its task
 * @TEST_NONE: no other action; the callback does its task
 * @TEST_FAIL: return an error
 * @TEST_BREAK: call vfio_mig_device_error(), and return -EIO if the callback can fail
 * @TEST_WAIT: wait until the test writes another action, the library cancels the
 *	callback, or the caller is killed
 * @TEST_HUGE: report a size that no state can have
 * @TEST_SHORT: report the end of the data before it is reached
 * @TEST_REINIT: report new initial data
 */
enum test_action {
	TEST_NONE,
	TEST_FAIL,
	TEST_BREAK,
	TEST_WAIT,
	TEST_HUGE,
	TEST_SHORT,
	TEST_REINIT,
};

/**
 * struct test_fault - fault injection into one callback
 * @lock: protects @calls, and the members from @callback to @err
 * @calls: how often the library called each callback
 * @stop_reason: the reason of the last call to stop the device
 * @callback: the callback with the fault
 * @first: the first call with the fault, as a value of @calls
 * @action: the action of @callback then
 * @err: the error of TEST_FAIL
 * @waiting: whether @callback waits now
 * @wait: TEST_WAIT waits here
 * @dir: the device's directory in debugfs
 */
struct test_fault {
	spinlock_t lock; /* protects calls, and callback to err */
	u64 calls[TEST_NR_CALLBACKS];
	enum vfio_mig_stop_reason stop_reason;
	enum test_callback callback;
	u64 first;
	enum test_action action;
	int err;
	bool waiting;
	wait_queue_head_t wait;
	struct dentry *dir;
};

/**
 * struct test_image - an image, whose content these two numbers determine
 * @seed: chooses the bytes
 * @size: how many bytes there are, a multiple of 8
 */
struct test_image {
	u64 seed;
	u64 size;
};

/* The header of a record, which an image follows in a stream; little-endian */
struct test_record {
	__le64 magic;
	__le64 seed;
	__le64 size;		/* of the image */
};

/**
 * struct test_stream - a position in a sequence of records
 * @record: header of the current record
 * @pos: position in the current record, including its header
 * @open: whether there is a current record
 * @sent: image of the last complete record; an image of no bytes before the first one
 */
struct test_stream {
	struct test_record record;
	u64 pos;
	bool open;
	struct test_image sent;
};

enum { TEST_SCRATCH = PCI_CFG_SPACE_SIZE / 4, TEST_REG1, TEST_REG2, TEST_REG3, TEST_NR_WORDS };

/**
 * struct test_device - a test device
 * @vdev: the device
 * @mig: the library's object
 * @pages: memory in BAR2
 * @memory: the memory behind @pages if the driver allocated it, else NULL
 * @known: type "bitmap": content of @memory when the library asked for the dirty pages last,
 *	else NULL
 * @tracking: type "bitmap": whether the library may ask for the dirty pages
 * @pci: description of the PCI function
 * @image_ops: callbacks of the image; NULL without an image
 * @lock: protects @word and @image. The members from @saving to @loads are written with the
 *	library's session mutex held.
 * @word: configuration space, then the first four registers of BAR0
 * @image: the other registers of BAR0: seed at 16, size at 24
 * @saving: position in the image that is saved
 * @loading: position in the image that is loaded
 * @saves: number of saves that have begun and not ended
 * @loads: number of loads that have begun and not ended
 * @fault: fault injection
 */
struct test_device {
	struct vfio_device vdev;
	struct vfio_mig *mig;
	struct vfio_mig_pages pages;
	void *memory;
	void *known;
	bool tracking;
	struct vfio_mig_pci pci;
	const struct vfio_mig_image_ops *image_ops;
	struct mutex lock; /* protects word and image */
	__le32 word[TEST_NR_WORDS];
	struct test_image image;
	struct test_stream saving;
	struct test_stream loading;
	int saves;
	int loads;
	struct test_fault fault;
};

static inline struct test_device *to_test(struct vfio_device *vdev)
{
	return container_of(vdev, struct test_device, vdev);
}

/* fault.c. test_fault() returns these for actions that are not an error: */
#define TEST_RET_HUGE	1
#define TEST_RET_SHORT	2
#define TEST_RET_REINIT	3

int test_fault(struct test_device *t, enum test_callback callback);
bool test_fault_void(struct test_device *t, enum test_callback callback);
void test_cancel(struct vfio_device *vdev);
void test_fault_init(struct test_device *t);
void test_fault_exit(struct test_device *t);
void test_fault_setup(void);
void test_fault_cleanup(void);

/* image.c */
extern const struct vfio_mig_image_ops test_image_ops;
void test_image_reset(struct test_device *t);
void test_image_apply(struct test_device *t);

/* memory.c */
int test_memory_init(struct test_device *t, pgoff_t nr, bool bitmap);
void test_memory_clear(struct test_device *t);
void test_memory_free(struct test_device *t);

#endif /* VFIO_MIG_TEST_H */
