// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that does not answer, as the buffer of whatever a device is asked to do: by
 * threads that wait for it until it answers, or until their process is killed.
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
#define WAITS		50000	/* us that one waits, at most */

/**
 * struct slow_call - one call with such memory
 * @x: the device
 * @end: the thread's own files of it
 * @slow: the memory
 * @dice: which call, and where in the memory
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
		/* As guest memory: what commands say where theirs is finds it there. */
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

/* A process that waits; it shares what the actor has open. */
static pid_t start_caller(struct slow_call *c)
{
	pid_t pid = child_start();

	if (pid)
		return pid;
	if (!slow_map(&c->slow, 0, NULL, 0))
		call(c);
	_exit(0);
}

/* It waits a little; then the memory answers, or the process is killed, or both. */
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
