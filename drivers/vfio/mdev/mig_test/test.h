/* SPDX-License-Identifier: GPL-2.0-only */
/* vfio_mig_test: a device that has every kind of state, and fails when it is told to */
#ifndef VFIO_MIG_TEST_H
#define VFIO_MIG_TEST_H

#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/vfio_mig_compat.h>
#include <linux/vfio_mig_core.h>
#include <linux/wait.h>

/* More than a test needs, and nothing of it takes memory. */
#define TEST_IMAGE_MAX		(8ULL * SZ_1G)
/* What a reset makes of the image. */
#define TEST_IMAGE_SIZE		(40 * SZ_1K)

/*
 * Callbacks that can be made to fail. They are named as the members of struct vfio_mig_ops,
 * struct vfio_mig_image_ops and, with TEST_MEM_ where these have the same name, struct
 * vfio_mig_memory_ops.
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
 * enum test_action - what a callback does in place of what it is there for
 * @TEST_NONE: nothing is wrong
 * @TEST_FAIL: it returns an error
 * @TEST_BREAK: the device breaks in it, and it returns -EIO if it can
 * @TEST_WAIT: it waits until it is released, cancelled, or the caller is killed
 * @TEST_HUGE: it says that there is more than there can be
 * @TEST_SHORT: it says that there is nothing more, and there is
 */
enum test_action {
	TEST_NONE,
	TEST_FAIL,
	TEST_BREAK,
	TEST_WAIT,
	TEST_HUGE,
	TEST_SHORT,
};

/**
 * struct test_fault - what is to go wrong, and when
 * @lock: protects what follows
 * @calls: how often each callback was called
 * @stop_reason: the reason of the last call to stop the device
 * @callback: the one that goes wrong
 * @first: from this call of it on, counted as @calls is
 * @action: what it does then
 * @err: the error it fails with
 * @waiting: it waits now
 * @wait: woken when it is released or cancelled
 * @dir: the device's folder in debugfs
 */
struct test_fault {
	spinlock_t lock; /* of all that follows */
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
 * struct test_image - an image: its content follows from these two
 * @seed: chooses the bytes
 * @size: how many bytes there are, a multiple of 8
 */
struct test_image {
	u64 seed;
	u64 size;
};

/* An image travels as records. Each has this header; little-endian. */
struct test_record {
	__le64 magic;
	__le64 seed;
	__le64 size;		/* of what follows */
};

/**
 * struct test_stream - where in its records an image is
 * @record: the record at hand
 * @pos: bytes of it that were done, its header included
 * @open: there is a record at hand
 * @sent: the image that the last record was of, at first one of no bytes
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
 * @memory: the same, where it is the driver's own, else NULL
 * @known: what was in it when the library asked what changed; NULL where the device does
 *	not know
 * @tracking: a save goes on, so the library may ask
 * @pci: its description as a PCI function
 * @image_ops: callbacks of its image, NULL without one
 * @lock: protects what follows
 * @word: configuration space, then four registers in BAR0
 * @image: what the registers behind those say: seed at 16, size at 24
 * @saving: the image while it is saved
 * @loading: the image while it is loaded
 * @saves: begun and not ended
 * @loads: begun and not ended
 * @fault: what is to go wrong
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
	struct mutex lock; /* of all that follows */
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

/* fault.c. Where a callback does something that is no error test_fault() returns: */
#define TEST_RET_HUGE	1
#define TEST_RET_SHORT	2

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
