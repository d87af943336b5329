// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls whose buffer is in memory that does not answer (slow.h). The caller waits until
 * the memory answers, or until its process is killed.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "exercise.h"
#include "slow.h"

#define SLOW_BYTES	(16UL << 10)
#define WAITS		50000	/* longest wait in microseconds */

/**
 * struct slow_call - a call whose buffer is in memory that does not answer
 * @x: the device
 * @end: the thread's own files of the device
 * @slow: the memory
 * @dice: random number that chooses the call and the place in the memory
 */
struct slow_call {
	struct exercised *x;
	struct endpoint *end;
	struct slow slow;
	unsigned int dice;
};

static void call(struct slow_call *c)
{
	unsigned char *mem = c->slow.mem - c->dice % 64;
	struct endpoint *e = c->end;
	struct region r;

	switch (c->dice / 64 % 8) {
	case 0:
		ioctl(e->dev.fd, _IO(VFIO_TYPE, VFIO_BASE + c->dice / 512 % 24), mem);
		break;
	case 1:
		v2_read(&e->v2, mem, SLOW_BYTES);
		break;
	case 2:
		v2_write(&e->v2, mem, SLOW_BYTES);
		break;
	case 3:
		v1_read_data(&e->v1, 0, mem, SLOW_BYTES);
		break;
	case 4:
		v1_write_data(&e->v1, 0, mem, SLOW_BYTES);
		break;
	case 5:
		/* The memory takes the place of guest memory, so the DMA of commands meets it. */
		device_unmap(&e->dev, c->x->guest.iova, c->x->guest.size);
		device_map(&e->dev, c->slow.mem, c->x->guest.iova, SLOW_BYTES);
		break;
	default:
		if (region_open(&r, &e->dev, c->dice / 512 % 10))
			break;
		if (c->dice & 1)
			region_read(&r, c->dice / 512 % 4096 & ~7, mem, 8);
		else
			region_write(&r, c->dice / 512 % 4096 & ~7, mem, 8);
		break;
	}
}

/* Starts the process that does the call. It inherits the open files of the actor. */
static pid_t start_caller(struct slow_call *c)
{
	pid_t pid = child_start();

	if (pid)
		return pid;
	if (!slow_map(&c->slow, 0, NULL, 0))
		call(c);
	_exit(0);
}

/* After a short wait the memory answers, or the process is killed, or both. */
void exercise_slow(struct actor *a, struct exercised *x, struct endpoint *e)
{
	struct slow_call c = { .x = x, .end = e };
	pid_t pid;

	c.dice = actor_number(a);
	if (slow_create(&c.slow, actor_dice(a, SLOW_FUSE), SLOW_BYTES))
		return;
	pid = start_caller(&c);
	if (pid > 0) {
		slow_waiting(&c.slow, 0.02);
		usleep(actor_dice(a, WAITS));
		if (actor_dice(a, 2))
			slow_answer(&c.slow);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		exercise_did(&a->counts->slow);
	}
	slow_destroy(&c.slow);
}
