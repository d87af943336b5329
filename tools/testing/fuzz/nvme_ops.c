// SPDX-License-Identifier: GPL-2.0-only
/* Operations on a controller, read from bytes; see enum nvme_op. */
#include "nvme_ops.h"

#define ASQ	0x1000
#define ACQ	0x2000
#define IOSQ	0x4000
#define IOCQ	0x6000

/* The rest of the input, which reads as zeros behind its end */
struct input {
	const u8 *data;
	size_t left;
};

static void take(struct input *in, void *to, size_t len)
{
	size_t n = min(len, in->left);

	memset(to, 0, len);
	memcpy(to, in->data, n);
	in->data += n;
	in->left -= n;
}

static u32 number(struct input *in, size_t bytes)
{
	__le32 n = 0;

	take(in, &n, bytes);
	return le32_to_cpu(n);
}

/* The library permits only these accesses: natural widths, aligned. */
static void op_config(struct mnvme *dev, struct input *in)
{
	u32 off = number(in, 1), how = number(in, 1);
	size_t len = 1 << how % 3;
	u8 val[4];

	off &= ~(len - 1);
	take(in, val, sizeof(val));
	if (how & 0x80)
		mnvme_config_read(dev, off, val, len);
	else
		mnvme_config_write(dev, off, val, len);
}

static void op_bar(struct mnvme *dev, struct input *in)
{
	u32 off = number(in, 2) % MNVME_BAR_SIZE, how = number(in, 1);
	size_t len = 1 << how % 4;
	u8 val[8];

	off &= ~(len - 1);
	take(in, val, sizeof(val));
	if (how & 0x80)
		mnvme_bar_read(dev, off, val, len);
	else
		mnvme_bar_write(dev, off, val, len);
}

static void bar32(struct mnvme *dev, u32 off, u32 val)
{
	__le32 raw = cpu_to_le32(val);

	mnvme_bar_write(dev, off, (u8 *)&raw, sizeof(raw));
}

static void config16(struct mnvme *dev, u32 off, u16 val)
{
	__le16 raw = cpu_to_le16(val);

	mnvme_config_write(dev, off, (u8 *)&raw, sizeof(raw));
}

static void op_guest(struct input *in)
{
	u32 at = number(in, 3) % GUEST_SIZE, len = number(in, 1);

	len = min(len, GUEST_SIZE - at);
	take(in, guest + at, min(len, in->left));
}

/* If the doorbell is also in memory, the register's value does not count. */
static void ring_at(struct mnvme *dev, u32 qid, u32 tail)
{
	u64 at = dev->dbbuf.shadow + qid * 8;
	__le32 raw = cpu_to_le32(tail);

	if (dev->sq[qid].shadow && at <= GUEST_SIZE - sizeof(raw))
		memcpy(guest + at, &raw, sizeof(raw));
	bar32(dev, MNVME_BAR_DOORBELLS + qid * 8, tail);
}

static void ring(struct mnvme *dev, u32 qid)
{
	struct mnvme_sq *sq = &dev->sq[qid];

	if (sq->live && sq->size)
		ring_at(dev, qid, (sq->tail + 1) % sq->size);
}

static void submit(struct mnvme *dev, u32 qid, const void *command)
{
	struct mnvme_sq *sq = &dev->sq[qid];
	u64 at = sq->base + (u64)sq->tail * 64;

	if (sq->live && at <= GUEST_SIZE - 64)
		memcpy(guest + at, command, 64);
	ring(dev, qid);
}

static void op_command(struct mnvme *dev, struct input *in)
{
	u32 qid = number(in, 1) % MNVME_NR_QUEUES;
	u8 command[64];

	take(in, command, sizeof(command));
	submit(dev, qid, command);
}

/* Several commands at once, for batches */
static void op_ring(struct mnvme *dev, struct input *in)
{
	u32 qid = number(in, 1) % MNVME_NR_QUEUES;
	struct mnvme_sq *sq = &dev->sq[qid];

	if (sq->live)
		ring_at(dev, qid, (sq->tail + sq->size - 1) % sq->size);
}

static void op_consume(struct mnvme *dev, struct input *in)
{
	u32 qid = number(in, 1) % MNVME_NR_QUEUES;

	bar32(dev, MNVME_BAR_DOORBELLS + qid * 8 + 4, dev->cq[qid].tail);
}

static void op_enable(struct mnvme *dev)
{
	config16(dev, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	bar32(dev, NVME_REG_AQA, 15 << 16 | 15);
	bar32(dev, NVME_REG_ASQ, ASQ);
	bar32(dev, NVME_REG_ACQ, ACQ);
	bar32(dev, NVME_REG_CC, NVME_CC_ENABLE | NVME_NVM_IOSQES << 16 |
				NVME_NVM_IOCQES << 20);
}

static void op_queue(struct mnvme *dev, struct input *in)
{
	u32 qid = 1 + number(in, 1) % MNVME_IO_QUEUES;
	struct nvme_command c = { .create_cq = {
		.opcode = nvme_admin_create_cq,
		.prp1 = cpu_to_le64(IOCQ + qid % 2 * 0x1000),
		.cqid = cpu_to_le16(qid),
		.qsize = cpu_to_le16(15),
		.cq_flags = cpu_to_le16(NVME_QUEUE_PHYS_CONTIG |
					NVME_CQ_IRQ_ENABLED),
		.irq_vector = cpu_to_le16(qid),
	} };
	struct nvme_command s = { .create_sq = {
		.opcode = nvme_admin_create_sq,
		.prp1 = cpu_to_le64(IOSQ + qid % 2 * 0x1000),
		.sqid = cpu_to_le16(qid),
		.qsize = cpu_to_le16(15),
		.sq_flags = cpu_to_le16(NVME_QUEUE_PHYS_CONTIG),
		.cqid = cpu_to_le16(qid),
	} };

	submit(dev, 0, &c);
	run_work();
	submit(dev, 0, &s);
	run_work();
	bar32(dev, MNVME_BAR_DOORBELLS + 4, dev->cq[0].tail);
}

static void stop(struct mnvme *dev)
{
	if (dev->running)
		mnvme_stop(dev, VFIO_MIG_STOP_FOR_SAVE);
}

static void op_stop(struct mnvme *dev)
{
	if (dev->running)
		mnvme_stop(dev, VFIO_MIG_STOP_FOR_SAVE);
	else
		mnvme_run(dev);
}

static struct mnvme *op_migrate(struct mnvme *dev)
{
	struct mnvme *to;

	stop(dev);
	to = nvme_migrate(dev);
	nvme_free(dev);
	mnvme_run(to);
	return to;
}

static void op_state(struct mnvme *dev, struct input *in)
{
	static u8 control[MNVME_STATE_MAX];
	u32 off = number(in, 2), len = number(in, 1) % 16;
	u8 change[16];
	size_t size, i;

	stop(dev);
	take(in, change, len);
	size = nvme_save_control(dev, control);
	for (i = 0; i < len; i++)
		control[(off + i) % size] = change[i];
	nvme_load_control(dev, dev->level, control, size);
	mnvme_run(dev);
}

static void op_irqs(struct mnvme *dev, struct input *in)
{
	static const u32 count[VFIO_PCI_NUM_IRQS] = {
		1, MNVME_NR_MSI, MNVME_NR_VECTORS, 0, 1
	};
	struct vfio_irq_set set = { .index = number(in, 1) % VFIO_PCI_NUM_IRQS };
	u32 how = number(in, 1);
	s32 data[MNVME_NR_VECTORS];
	size_t i;

	set.flags = 1u << how % 3 | 1u << (3 + how / 3 % 3);
	set.start = number(in, 1);
	set.count = number(in, 1);
	if (set.start >= count[set.index])
		return;
	set.count = min(set.count, count[set.index] - set.start);
	take(in, data, sizeof(data) / 16);
	for (i = 0; i < ARRAY_SIZE(data); i++)
		data[i] = data[i] % (EVENTFDS + 1);
	/* The library passes no data pointer if the request has no data. */
	mutex_lock(&dev->lock);
	mnvme_irq_set(dev, &set,
		      set.flags & VFIO_IRQ_SET_DATA_NONE ? NULL : data);
	mutex_unlock(&dev->lock);
}

static void op_reset(struct mnvme *dev)
{
	stop(dev);
	dev->mig->desc.ops->reset(&dev->vdev);
	mnvme_run(dev);
}

static struct mnvme *one(struct mnvme *dev, struct input *in)
{
	switch (number(in, 1) % NR_OPS) {
	case OP_CONFIG:
		op_config(dev, in);
		break;
	case OP_BAR:
		op_bar(dev, in);
		break;
	case OP_GUEST:
		op_guest(in);
		break;
	case OP_COMMAND:
		op_command(dev, in);
		break;
	case OP_RING:
		op_ring(dev, in);
		break;
	case OP_CONSUME:
		op_consume(dev, in);
		break;
	case OP_ENABLE:
		op_enable(dev);
		break;
	case OP_QUEUE:
		op_queue(dev, in);
		break;
	case OP_STOP:
		op_stop(dev);
		break;
	case OP_MIGRATE:
		return op_migrate(dev);
	case OP_STATE:
		op_state(dev, in);
		break;
	case OP_IRQS:
		op_irqs(dev, in);
		break;
	default:
		op_reset(dev);
		break;
	}
	return dev;
}

void nvme_do(struct mnvme *dev, const u8 *data, size_t size)
{
	struct input in = { data, size };
	u32 n;
	u8 i;

	for (n = 0; in.left && n < 200; n++) {
		if (*in.data % NR_OPS == OP_FAIL) {
			number(&in, 1);
			fail_nth = number(&in, 1) % 32;
			if (in.left && (*in.data % NR_OPS == OP_MIGRATE))
				fail_nth = 0;
		}
		if (n % 4 == 3)
			guest_evict();
		dev = one(dev, &in);
		run_work();
		fail_nth = 0;
	}
	dev = op_migrate(dev);
	run_work();
	nvme_free(dev);

	must(!mnvme_budget.used.v);
	for (i = 0; i < EVENTFDS; i++)
		must(!kernel_eventfds[i].refs);
}
