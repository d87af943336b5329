// SPDX-License-Identifier: GPL-2.0-only
/* Does operations on a v1 region, and names them for messages. */
#include <stdio.h>
#include <string.h>

#include "model.h"

/* Accesses of a wrong width or alignment, and accesses between the registers */
static const struct {
	__u64 at;
	size_t len;
} wrong[OP_WRONG_NR] = {
	{ 0, 1 }, { 0, 2 }, { 0, 8 }, { 1, 4 }, { 4, 8 }, { 8, 4 },
	{ 12, 4 }, { 16, 4 }, { 20, 8 }, { 24, 4 }, { 32, 8 }, { 0, 32 },
};

void op_wrong(const struct model *m, __u32 index, __u64 *at, size_t *len)
{
	(void)m;
	*at = wrong[index % OP_WRONG_NR].at;
	*len = wrong[index % OP_WRONG_NR].len;
}

static void read_reg(struct model *m, __u64 at, struct result *r)
{
	r->ret = v1_read64(m->v1, at, &r->value);
}

static void feed(struct model *m, const struct op *op, struct result *r)
{
	size_t len = model_feed_size(m, op);
	size_t from = m->pos == m->good->len ? 0 : m->pos;

	if (!len)
		return;
	if (op->code == OP_FEED_BAD)
		memset(m->scratch, 0xff, len);
	else
		memcpy(m->scratch, m->good->data + from, len);
	r->ret = v1_write_data(m->v1, 0, m->scratch, len);
	r->value = v1_write_data_size(m->v1, len);
}

static void access_wrong(struct model *m, const struct op *op,
			 struct result *r)
{
	unsigned char buf[32] = { 0 };
	__u64 at;
	size_t len;

	op_wrong(m, op->arg, &at, &len);
	/* A value that would be a transition if the device took the access. */
	buf[0] = m->state == V1_RUNNING ? V1_STOPPED : V1_RUNNING;
	if (op->code == OP_READ_WRONG)
		r->ret = region_read(&m->v1->region, at, buf, len);
	else
		r->ret = region_write(&m->v1->region, at, buf, len);
}

static void data(struct model *m, const struct op *op, struct result *r)
{
	struct v1 *v1 = m->v1;
	__u64 size = m->size ? m->size : 1;

	switch (op->code) {
	case OP_DATA_READ_1:
		r->ret = v1_read_data(v1, 0, m->scratch, 1);
		break;
	case OP_DATA_READ_ALL:
		r->ret = v1_read_data(v1, 0, m->scratch, size);
		break;
	case OP_DATA_READ_MORE:
		r->ret = v1_read_data(v1, 0, m->scratch, size + 1);
		break;
	case OP_DATA_READ_PAST:
		r->ret = v1_read_data(v1, v1->window - 4, m->scratch, 8);
		break;
	case OP_DATA_WRITE:
		memset(m->scratch, op->arg & 0xff, 8);
		r->ret = v1_write_data(v1, op->arg % (v1->window - 8),
				       m->scratch, 8);
		break;
	default:
		r->ret = v1_write_data(v1, v1->window - 4, m->scratch, 8);
		break;
	}
	r->value = m->scratch[0];
}

/* Does @op. Data that it reads is in @m->scratch. */
void op_run(struct model *m, const struct op *op, struct result *r)
{
	struct v1 *v1 = m->v1;
	__u32 value = 0;

	r->ret = 0;
	r->value = 0;
	switch (op->code) {
	case OP_SET_STATE:
		r->ret = v1_set_state(v1, op->arg);
		break;
	case OP_GET_STATE:
		r->ret = v1_read32(v1, V1_DEVICE_STATE, &value);
		r->value = value;
		break;
	case OP_READ_PENDING:
		read_reg(m, V1_PENDING_BYTES, r);
		break;
	case OP_READ_OFFSET:
		read_reg(m, V1_DATA_OFFSET, r);
		break;
	case OP_READ_SIZE:
		read_reg(m, V1_DATA_SIZE, r);
		break;
	case OP_RESET:
		r->ret = device_reset(v1->dev);
		break;
	case OP_FEED_BYTE:
	case OP_FEED_CHUNK:
	case OP_FEED_ALL:
	case OP_FEED_BAD:
		feed(m, op, r);
		break;
	case OP_COMMIT_0:
		r->ret = v1_write_data_size(v1, 0);
		break;
	case OP_COMMIT_TOO_MUCH:
		r->ret = v1_write_data_size(v1, op->arg ? ~0ULL :
						v1->window + 1);
		break;
	case OP_READ_RESERVED:
		r->ret = v1_read32(v1, V1_RESERVED, &value);
		r->value = value;
		break;
	case OP_WRITE_RESERVED:
		r->ret = v1_write32(v1, V1_RESERVED, 0x1234567);
		break;
	case OP_WRITE_PENDING:
		r->ret = v1_write64(v1, V1_PENDING_BYTES, 0);
		break;
	case OP_WRITE_OFFSET:
		r->ret = v1_write64(v1, V1_DATA_OFFSET, v1->data);
		break;
	case OP_READ_WRONG:
	case OP_WRITE_WRONG:
		access_wrong(m, op, r);
		break;
	default:
		data(m, op, r);
		break;
	}
}

const char *op_name(const struct op *op)
{
	static const char * const names[OP_NR_CODES] = {
		[OP_SET_STATE] = "write device_state",
		[OP_GET_STATE] = "read device_state",
		[OP_READ_PENDING] = "read pending_bytes",
		[OP_READ_OFFSET] = "read data_offset",
		[OP_READ_SIZE] = "read data_size",
		[OP_RESET] = "VFIO_DEVICE_RESET",
		[OP_FEED_BYTE] = "commit one byte of a good stream",
		[OP_FEED_CHUNK] = "commit a chunk of a good stream",
		[OP_FEED_ALL] = "commit the rest of a good stream",
		[OP_FEED_BAD] = "commit junk",
		[OP_COMMIT_0] = "write data_size 0",
		[OP_COMMIT_TOO_MUCH] = "write data_size too large",
		[OP_READ_RESERVED] = "read reserved",
		[OP_WRITE_RESERVED] = "write reserved",
		[OP_WRITE_PENDING] = "write pending_bytes",
		[OP_WRITE_OFFSET] = "write data_offset",
		[OP_READ_WRONG] = "read by a wrong access",
		[OP_WRITE_WRONG] = "write by a wrong access",
		[OP_DATA_READ_1] = "read the first byte of data",
		[OP_DATA_READ_ALL] = "read all data",
		[OP_DATA_READ_MORE] = "read more than all data",
		[OP_DATA_READ_PAST] = "read across the window's end",
		[OP_DATA_WRITE] = "write data",
		[OP_DATA_WRITE_PAST] = "write across the window's end",
	};
	static char text[64];

	snprintf(text, sizeof(text), "%s (%#x)", names[op->code], op->arg);
	return text;
}
