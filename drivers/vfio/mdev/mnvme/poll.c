// SPDX-License-Identifier: GPL-2.0-only
/*
 * Polling of shadow doorbells, and interrupts that wait for more completions
 *
 * A host writes a doorbell register when its value passes EventIdx, and takes an interrupt
 * for completions. In a virtual machine each of the two causes an exit, which takes longer than
 * a command. So the driver polls the doorbell of a busy queue for a while before it arms
 * EventIdx, and an interrupt may wait meanwhile.
 *
 * Both times adapt. The driver polls for twice the last gap between commands. It does not
 * poll if the gap was longer than the limit, like KVM's halt polling. An interrupt waits
 * only if more completions came during the last waits.
 *
 * An executor polls only while no other task wants its CPU.
 */
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/moduleparam.h>
#include <linux/sched/clock.h>
#include <linux/sched/stat.h>

#include "mnvme.h"

#define MNVME_POLL_MAX_US	100000U
/* In nanoseconds. Shorter polling would end before the host has handled an interrupt. */
#define MNVME_POLL_MIN		(20ull * NSEC_PER_USEC)
/* After so many waits in a row without more completions, interrupts do not wait. */
#define MNVME_GAIN		8

static unsigned int poll_us = 5000;
module_param(poll_us, uint, 0644);
MODULE_PARM_DESC(poll_us,
		 "Longest time that a queue with shadow doorbells is polled after a command, in microseconds, at most 100000 (default 5000, 0: never)");

static unsigned int coalesce_us = 2000;
module_param(coalesce_us, uint, 0644);
MODULE_PARM_DESC(coalesce_us,
		 "Longest time that an interrupt waits for more completions while a queue is polled, in microseconds, at most 100000 (default 2000, 0: not at all)");

/* Returns 0 on one CPU, because polling would prevent the host from submitting commands. */
static u64 mnvme_poll_bound(void)
{
	u64 us = min(READ_ONCE(poll_us), MNVME_POLL_MAX_US);

	return num_online_cpus() > 1 ? us * NSEC_PER_USEC : 0;
}

static u64 mnvme_since(u64 then)
{
	u64 now = local_clock();

	/* The clocks of two CPUs can differ a little. */
	return now > then ? now - then : 0;
}

/**
 * mnvme_poll_adapt() - adapt the time of polling when commands came
 * @sq: the queue, with its exec held
 *
 * Return: whether to poll the queue after these commands.
 */
bool mnvme_poll_adapt(struct mnvme_sq *sq)
{
	u64 bound = mnvme_poll_bound(), gap = mnvme_since(sq->last_ns);

	if (!sq->id || !READ_ONCE(sq->shadow) || gap > bound)
		sq->poll_ns = 0;
	else
		sq->poll_ns = clamp_t(u64, max(2 * gap, sq->poll_ns - sq->poll_ns / 8),
				      min(bound, MNVME_POLL_MIN), bound);
	if (sq->irq_owed)
		sq->irq_gain = MNVME_GAIN;
	return sq->poll_ns;
}

/**
 * mnvme_polls() - whether to read the doorbell again before EventIdx is armed
 * @sq: the queue, without commands; with its exec held
 */
bool mnvme_polls(const struct mnvme_sq *sq)
{
	return !sq->here && sq->poll_ns && READ_ONCE(sq->shadow) &&
	       mnvme_sq_may_execute(sq) && sq->head == sq->tail &&
	       mnvme_since(sq->last_ns) < sq->poll_ns && single_task_running();
}

/* Returns whether Interrupt Vector Configuration forbids that this interrupt waits. */
static bool mnvme_never_waits(const struct mnvme *dev, const struct mnvme_cq *cq)
{
	return !cq->id || test_bit(cq->vector, dev->features.no_coalescing);
}

/**
 * struct mnvme_wait - limits for the wait of an interrupt
 * @ns: longest time; 0 if the interrupt must not wait
 * @entries: largest number of completions
 * @asked: the host asked for the wait, so the interrupt also waits without polling
 */
struct mnvme_wait {
	u64 ns;
	u32 entries;
	bool asked;
};

/* Interrupt Coalescing sets the limits if the host uses it. Otherwise they adapt. */
static struct mnvme_wait mnvme_irq_wait(const struct mnvme_sq *sq,
					const struct mnvme_cq *cq)
{
	u32 feature = READ_ONCE(sq->dev->features.irq_coalescing);
	u32 threshold = feature & 0xff, time = feature >> 8 & 0xff;
	struct mnvme_wait wait = { .entries = U32_MAX };

	if (mnvme_never_waits(sq->dev, cq))
		return wait;
	if (threshold && time) {
		wait.ns = time * 100ull * NSEC_PER_USEC;
		wait.entries = threshold + 1;
		wait.asked = true;
	} else if (!sq->here && sq->poll_ns) {
		wait.ns = min(READ_ONCE(coalesce_us), MNVME_POLL_MAX_US) *
			  (u64)NSEC_PER_USEC;
	}
	return wait;
}

static void mnvme_irq_pay(struct mnvme_sq *sq)
{
	sq->irq_owed = 0;
	mnvme_irq_raise(sq->dev, &sq->dev->cq[sq->cqid]);
}

/*
 * The host asked for the wait, so the queue may have no commands until the wait is over.
 * The timer counts jiffies and can fire early, because jiffies lag when a virtual machine
 * gets no CPU time. So each function that leaves an interrupt waiting calls this function again.
 */
static void mnvme_irq_timer_arm(struct mnvme_sq *sq, const struct mnvme_wait *wait)
{
	u64 since = mnvme_since(sq->irq_since);
	u64 left = wait->ns > since ? wait->ns - since : 0;

	if (!timer_pending(&sq->irq_timer))
		mod_timer(&sq->irq_timer, jiffies + nsecs_to_jiffies(left) + 1);
}

/**
 * mnvme_irq_owe() - signal an interrupt for posted completions, now or a little later
 * @sq: the queue of the completed commands, with its exec held
 * @nr: number of completions
 */
void mnvme_irq_owe(struct mnvme_sq *sq, u32 nr)
{
	struct mnvme_wait wait = mnvme_irq_wait(sq, &sq->dev->cq[sq->cqid]);

	if (!sq->irq_owed)
		sq->irq_since = local_clock();
	sq->irq_owed += nr;
	if (sq->irq_owed >= wait.entries || mnvme_since(sq->irq_since) >= wait.ns)
		mnvme_irq_pay(sq);
	else if (wait.asked)
		mnvme_irq_timer_arm(sq, &wait);
}

/**
 * mnvme_irq_settle() - signal a waiting interrupt when the queue has no more commands
 * @sq: the queue, with its exec held
 * @again: the executor looks at the queue again soon
 */
void mnvme_irq_settle(struct mnvme_sq *sq, bool again)
{
	struct mnvme_wait wait;

	if (!sq->irq_owed)
		return;
	wait = mnvme_irq_wait(sq, &sq->dev->cq[sq->cqid]);
	if (mnvme_since(sq->irq_since) < wait.ns) {
		if (wait.asked)
			mnvme_irq_timer_arm(sq, &wait);
		if (wait.asked || (again && sq->irq_gain))
			return;
	}
	if (sq->irq_gain)
		sq->irq_gain--;
	mnvme_irq_pay(sq);
}

/**
 * mnvme_irq_flush() - signal a waiting interrupt when the queue stops
 * @sq: the queue, with its exec held
 */
void mnvme_irq_flush(struct mnvme_sq *sq)
{
	timer_delete_sync(&sq->irq_timer);
	if (sq->irq_owed)
		mnvme_irq_pay(sq);
	sq->poll_ns = 0;
}

/*
 * Runs in interrupt context, where the queue's lock must not be taken. mnvme_irq_flush() waits
 * for this function before the executors stop, so the executor exists.
 */
static void mnvme_irq_timer(struct timer_list *timer)
{
	mnvme_executor_kick(container_of(timer, struct mnvme_sq, irq_timer));
}

void mnvme_poll_init(struct mnvme_sq *sq)
{
	timer_setup(&sq->irq_timer, mnvme_irq_timer, 0);
}
