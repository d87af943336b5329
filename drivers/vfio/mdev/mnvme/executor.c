// SPDX-License-Identifier: GPL-2.0-only
/*
 * Executors: threads of the user who opened the device, which execute commands
 *
 * The admin queue has its own executor, so that I/O commands do not delay an admin command.
 * The I/O queues share the other executors, and each queue has one of them. An executor
 * serves kicked queues one after the other. It leaves a queue whose guest memory is not
 * present.
 */
#include <linux/cpumask.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "mnvme.h"

static unsigned int executors;
module_param(executors, uint, 0644);
MODULE_PARM_DESC(executors,
		 "Threads of each device that execute I/O commands, at most 64, for devices opened from now on (default 0: as many as there are CPUs)");

/* Returns the first kicked queue from @from on, or MNVME_NR_QUEUES. */
static unsigned int mnvme_executor_find(struct mnvme_executor *ex, unsigned int from)
{
	/* If this misses a bit that is set now, the kick's wake-up starts another search. */
	return data_race(find_next_bit(ex->kicked, MNVME_NR_QUEUES, from));
}

/* Returns the next kicked queue behind the last one, or MNVME_NR_QUEUES. */
static unsigned int mnvme_executor_next(struct mnvme_executor *ex)
{
	unsigned int i = mnvme_executor_find(ex, ex->last + 1);

	return i < MNVME_NR_QUEUES ? i : mnvme_executor_find(ex, 0);
}

/* Serves one queue, so that the worker can handle signals between two queues. */
static void mnvme_executor_work(void *data)
{
	struct mnvme_executor *ex = data;
	unsigned int i = mnvme_executor_next(ex);

	if (i == MNVME_NR_QUEUES)
		return;
	ex->last = i;
	clear_bit(i, ex->kicked);
	smp_mb__after_atomic(); /* before the queue is read; a later kick sets the bit again */
	mnvme_sq_execute(&ex->dev->sq[i]);
	if (mnvme_executor_find(ex, 0) < MNVME_NR_QUEUES)
		vfio_mig_worker_wake(ex->worker);
}

/**
 * mnvme_executor_kick() - make a queue's executor serve the queue
 * @sq: the queue
 *
 * Context: any; the device runs, so its executors exist.
 */
void mnvme_executor_kick(struct mnvme_sq *sq)
{
	set_bit(sq->id, sq->executor->kicked);
	vfio_mig_worker_wake(sq->executor->worker);
}

/**
 * mnvme_executors_killed() - whether the executors have ended with their process
 * @dev: the controller
 *
 * The executors are threads of the process that opened the device. When this process ends,
 * another one may still have the device open, but nobody executes commands any more.
 */
bool mnvme_executors_killed(const struct mnvme *dev)
{
	return vfio_mig_worker_killed(dev->executor[0].worker);
}

static unsigned int mnvme_io_executors(void)
{
	unsigned int nr = READ_ONCE(executors) ?: num_online_cpus();

	return min(nr, MNVME_EXECUTORS_MAX - 1U);
}

static int mnvme_executor_start(struct mnvme *dev, unsigned int i)
{
	struct mnvme_executor *ex = &dev->executor[i];
	struct vfio_mig_worker *worker;

	ex->dev = dev;
	ex->last = 0;
	bitmap_zero(ex->kicked, MNVME_NR_QUEUES);
	ex->buf = kmalloc(MNVME_BUF_SIZE, GFP_KERNEL_ACCOUNT);
	if (!ex->buf)
		return -ENOMEM;
	worker = vfio_mig_worker_create(i ? "mnvme-io" : "mnvme-admin",
					mnvme_executor_work, ex);
	if (IS_ERR(worker)) {
		kfree(ex->buf);
		return PTR_ERR(worker);
	}
	ex->worker = worker;
	return 0;
}

static void mnvme_executor_stop(struct mnvme_executor *ex)
{
	vfio_mig_worker_stop(ex->worker);
	ex->worker = NULL;
	kfree(ex->buf);
}

/**
 * mnvme_executors_start() - start the executors when the device is opened
 * @dev: the controller
 *
 * Context: the user's process.
 * Return: 0, -ENOMEM, or an error of vfio_mig_worker_create().
 */
int mnvme_executors_start(struct mnvme *dev)
{
	unsigned int io = mnvme_io_executors();
	u16 i;
	int ret;

	for (dev->nr_executors = 0; dev->nr_executors <= io; dev->nr_executors++) {
		ret = mnvme_executor_start(dev, dev->nr_executors);
		if (ret) {
			mnvme_executors_stop(dev);
			return ret;
		}
	}
	dev->sq[0].executor = &dev->executor[0];
	for (i = 1; i < MNVME_NR_QUEUES; i++)
		dev->sq[i].executor = &dev->executor[1 + (i - 1) % io];
	return 0;
}

/**
 * mnvme_executors_stop() - stop the executors when the device is closed
 * @dev: the controller, stopped
 */
void mnvme_executors_stop(struct mnvme *dev)
{
	while (dev->nr_executors)
		mnvme_executor_stop(&dev->executor[--dev->nr_executors]);
}
