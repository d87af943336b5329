/* SPDX-License-Identifier: GPL-2.0-only */
/* DMA: access to guest memory that may be missing */
#ifndef VFIO_MIG_DMA_H
#define VFIO_MIG_DMA_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/wait.h>

struct task_struct;
struct vfio_mig;

/**
 * struct vfio_mig_faulter - a device's fault thread, for accesses that wait for a page
 * @task: the fault thread, while the device is open
 * @lock: protects the accesses and @queue; taken in process context only
 * @queue: accesses that the thread has to try
 * @wait: woken when there is a new access, and when an access was tried
 * @fresh: there is a new access
 * @copying: a copy may be waiting for a page, with the container's lock held
 * @slice: timer that ends a copy after a time slice
 * @rest: time in jiffies before which only a new access waits for a page
 * @turns: number of time slices so far; for the fault thread only
 */
struct vfio_mig_faulter {
	struct task_struct *task;
	spinlock_t lock; /* protects the accesses and the queue */
	struct list_head queue;
	wait_queue_head_t wait;
	bool fresh;
	bool copying;
	struct timer_list slice;
	unsigned long rest;
	u64 turns;
};

void vfio_mig_faulter_init(struct vfio_mig *mig);
int vfio_mig_faulter_start(struct vfio_mig *mig);
void vfio_mig_faulter_stop(struct vfio_mig *mig);

#endif /* VFIO_MIG_DMA_H */
