// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random NVMe commands. Threads and processes share the queues without synchronisation,
 * and none of them takes completions.
 */
#include <string.h>
#include <unistd.h>

#include "exercise.h"
#include "nvme.h"

#define DEPTH		32

#define ADMIN_CREATE_SQ	0x01
#define ADMIN_CREATE_CQ	0x05

/* Use of the pages of guest memory */
enum {
	PAGE_SQ,		/* of the admin queue, then of the I/O queue */
	PAGE_CQ		= 2,
	PAGE_LIST	= 4,
	PAGE_TAILS	= 5,
	PAGE_DATA	= 6,
};

static void *page(struct exercised *x, int nr)
{
	return x->guest.mem + nr * GUEST_PAGE;
}

static __u64 iova(struct exercised *x, int nr)
{
	return x->guest.iova + nr * GUEST_PAGE;
}

/* Index of the next entry, which all users of the queue share */
static __u32 *tail(struct exercised *x, int queue)
{
	return (__u32 *)page(x, PAGE_TAILS) + queue;
}

static void write32(struct actor *a, struct exercised *x, __u32 reg, __u32 value)
{
	region_write(&x->bar, reg, &value, sizeof(value));
	exercise_did(&a->counts->accesses);
}

static void wait_ready(struct actor *a, struct exercised *x, __u32 ready)
{
	__u32 csts = ~ready;
	int i;

	for (i = 0; i < 50 && (csts & 1) != ready; i++) {
		usleep(1000);
		region_read(&x->bar, REG_CSTS, &csts, sizeof(csts));
		exercise_did(&a->counts->accesses);
	}
}

static void submit(struct actor *a, struct exercised *x, int queue,
		   const struct nvme_cmd *cmd)
{
	__u32 at = __atomic_fetch_add(tail(x, queue), 1, __ATOMIC_RELAXED);

	memcpy((struct nvme_cmd *)page(x, PAGE_SQ + queue) + at % DEPTH, cmd,
	       sizeof(*cmd));
	write32(a, x, DOORBELLS + 8 * queue, (at + 1) % DEPTH);
	/* Mostly acknowledges all completions. */
	write32(a, x, DOORBELLS + 8 * queue + 4,
		actor_dice(a, 8) ? at % DEPTH : actor_number(a));
	exercise_did(&a->counts->commands);
}

static void start(struct actor *a, struct exercised *x)
{
	struct nvme_cmd cq = {
		.opcode = ADMIN_CREATE_CQ,
		.prp1 = iova(x, PAGE_CQ + 1),
		.cdw10 = (DEPTH - 1) << 16 | 1,
		.cdw11 = 1 << 16 | 3,
	};
	struct nvme_cmd sq = {
		.opcode = ADMIN_CREATE_SQ,
		.cid = 1,
		.prp1 = iova(x, PAGE_SQ + 1),
		.cdw10 = (DEPTH - 1) << 16 | 1,
		.cdw11 = 1 << 16 | 1,
	};
	__u16 command = 6;
	struct region config;

	if (!region_open(&config, &x->end.dev, VFIO_PCI_CONFIG_REGION_INDEX))
		region_write(&config, 4, &command, sizeof(command));
	write32(a, x, REG_CC, 0);
	wait_ready(a, x, 0);
	write32(a, x, REG_AQA, (DEPTH - 1) << 16 | (DEPTH - 1));
	write32(a, x, REG_ASQ, iova(x, PAGE_SQ));
	write32(a, x, REG_ASQ + 4, 0);
	write32(a, x, REG_ACQ, iova(x, PAGE_CQ));
	write32(a, x, REG_ACQ + 4, 0);
	memset(tail(x, 0), 0, 2 * sizeof(__u32));
	write32(a, x, REG_CC, CC_ENABLE);
	wait_ready(a, x, 1);
	submit(a, x, 0, &cq);
	submit(a, x, 0, &sq);
}

/* An address in or near guest memory, or any other address */
static __u64 address(struct actor *a, struct exercised *x)
{
	__u64 at = iova(x, actor_dice(a, x->guest.size / GUEST_PAGE));

	if (!actor_dice(a, 4))
		at += actor_dice(a, GUEST_PAGE) & ~3;
	return actor_dice(a, 32) ? at : actor_number(a);
}

static void random_command(struct actor *a, struct exercised *x, int queue)
{
	static const __u8 io[] = {
		NVME_OP_WRITE, NVME_OP_READ, NVME_OP_WRITE, NVME_OP_READ,
		NVME_OP_FLUSH, NVME_OP_WRITE_ZEROES, NVME_OP_DSM, NVME_OP_VERIFY,
		0x05,
	};
	static const __u8 admin[] = {
		0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0c, 0x7c,
		0x06, 0x02,
	};
	struct nvme_cmd cmd = {
		.opcode = queue ? io[actor_dice(a, sizeof(io))] :
				  admin[actor_dice(a, sizeof(admin))],
		.flags = actor_dice(a, 16) ? 0 : actor_number(a),
		.cid = actor_number(a),
		.nsid = actor_dice(a, 16) ? 1 : actor_number(a),
		.prp1 = address(a, x),
		.prp2 = actor_dice(a, 2) ? iova(x, PAGE_LIST) : address(a, x),
		.cdw10 = actor_number(a),
		.cdw11 = actor_dice(a, 4) ? 0 : actor_number(a),
		.cdw12 = actor_dice(a, 64),
		.cdw13 = actor_dice(a, 8) ? 0 : actor_number(a),
	};
	__u64 *list = page(x, PAGE_LIST);

	list[actor_dice(a, 512)] = address(a, x);
	if (queue && actor_dice(a, 4))
		cmd.cdw10 = actor_dice(a, 1 << 17);
	if (!actor_dice(a, 32))
		cmd.opcode = actor_number(a);
	submit(a, x, queue, &cmd);
}

/* Sends commands to the controller, and restarts it now and then. */
void exercise_nvme(struct actor *a, struct exercised *x)
{
	int i;

	if (!x->is_nvme)
		return;
	if (!actor_dice(a, 4))
		start(a, x);
	for (i = actor_dice(a, 24); i; i--)
		random_command(a, x, actor_dice(a, 4) != 0);
}
