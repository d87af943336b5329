/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of the driver core, VFIO, eventfds, logging and threads that the sources need */
#ifndef FUZZ_KERNEL_DEVICE_H
#define FUZZ_KERNEL_DEVICE_H

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "basics.h"
#include "memory.h"
#include "sync.h"

struct device {
	int unused;
};

struct hlist_node {
	int unused;
};

struct vm_area_struct;
struct vfio_info_cap;
struct vfio_device_ops;

struct vfio_migration_ops {
	int unused;
};

struct vfio_device {
	struct device *dev;
	const struct vfio_migration_ops *mig_ops;
};

struct mdev_type {
	const char *sysfs_name;
	const char *pretty_name;
};

typedef struct { u8 b[16]; } guid_t;
typedef struct { u8 b[16]; } uuid_t;
#define UUID_SIZE	16

#ifndef PCI_CFG_SPACE_EXP_SIZE
#define PCI_CFG_SPACE_EXP_SIZE	4096
#endif

struct ratelimit_state {
	int unused;
};

struct va_format {
	const char *fmt;
	va_list *va;
};

#define __ratelimit(r)			((void)(r), true)
#define dev_err(dev, ...)		((void)(dev))
#define dev_warn(dev, ...)		((void)(dev))
#define dev_warn_ratelimited(dev, ...)	((void)(dev))
#define dev_notice_ratelimited(dev, ...) ((void)(dev))

/* One for each descriptor, with the number of references */
#define EVENTFDS	8

struct eventfd_ctx {
	int refs;
	u64 signals;
};

extern struct eventfd_ctx kernel_eventfds[EVENTFDS];

struct eventfd_ctx *eventfd_ctx_fdget(int fd);
void eventfd_ctx_put(struct eventfd_ctx *ctx);
void eventfd_signal(struct eventfd_ctx *ctx);

struct virqfd;

/* An eventfd that is signalled at once calls the callback. */
#define vfio_virqfd_enable(opaque, handler, thread, data, place, fd)	\
	((fd) < EVENTFDS ? (thread)((opaque), NULL), 0 : -EBADF)
#define vfio_virqfd_disable(place)	((void)(place))

#define PF_KTHREAD	1

struct task_struct {
	struct mm_struct *mm;
	unsigned int flags;
};

extern struct task_struct *current;
#define fatal_signal_pending(task)	((void)(task), false)

struct list_head {
	int unused;
};

struct timer_list {
	int unused;
};

#define num_online_cpus()		2U
/* Returns 0 from time to time, so that a loop that polls ends. */
#define single_task_running()		(ktime_get_ns() / 1000 % 4)
#define timer_setup(t, f, flags)	((void)(t), (void)(f))
#define timer_pending(t)		((void)(t), false)
#define mod_timer(t, when)		((void)(t), (void)(when))
#define timer_delete_sync(t)		((void)(t))
#define nsecs_to_jiffies(n)		(n)

#endif /* FUZZ_KERNEL_DEVICE_H */
