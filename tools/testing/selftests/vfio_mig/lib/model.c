// SPDX-License-Identifier: GPL-2.0-only
/* The reference model of the v1 migration region. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errname.h"
#include "model.h"
#include "stream.h"

#define JUNK	64

int model_init(struct model *m, struct v1 *v1, const struct buffer *good)
{
	size_t room = v1->window > good->len ? v1->window : good->len;

	memset(m, 0, sizeof(*m));
	m->v1 = v1;
	m->good = good;
	m->window = calloc(1, room + 16);
	m->scratch = malloc(room + 16);
	if (!m->window || !m->scratch)
		return -ENOMEM;
	model_reset(m);
	return 0;
}

void model_free(struct model *m)
{
	free(m->window);
	free(m->scratch);
	buffer_free(&m->data);
	buffer_free(&m->stream);
}

static void no_session(struct model *m)
{
	m->open = false;
	m->rest = false;
	m->size = 0;
	m->learned = false;
	m->poison = 0;
	m->pos = 0;
}

/* The state of a device after an open or a reset */
void model_reset(struct model *m)
{
	no_session(m);
	m->state = V1_RUNNING;
}

static bool saving(const struct model *m)
{
	return m->state == V1_STOP_COPY || m->state == V1_PRE_COPY;
}

static bool resuming(const struct model *m)
{
	return m->state == V1_RESUMING;
}

static bool differ(struct model *m, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(m->why, sizeof(m->why), fmt, args);
	va_end(args);
	return false;
}

static bool want_ret(struct model *m, const struct result *r, int want)
{
	if (r->ret == want)
		return true;
	return differ(m, "expected %s, saw %s", errname(want),
		      errname(r->ret));
}

static bool want_value(struct model *m, const struct result *r, __u64 want)
{
	if (r->ret)
		return want_ret(m, r, 0);
	if (r->value == want)
		return true;
	return differ(m, "expected %#llx, saw %#llx", want, r->value);
}

/* device_state */

/* Bitmaps of the states that each state leads to, itself included */
static const unsigned char transitions[5] = {
	[V1_STOPPED]	= 0x17,
	[V1_RUNNING]	= 0x1f,
	[V1_STOP_COPY]	= 0x07,
	[V1_PRE_COPY]	= 0x0f,
	[V1_RESUMING]	= 0x13,
};

static bool complete(const struct model *m)
{
	return m->pos == m->good->len;
}

static void begin_session(struct model *m, __u32 to)
{
	no_session(m);
	if (to == V1_RESUMING) {
		memset(m->window, 0, m->used);
		m->used = 0;
	}
	/* A save sends at least its first chunk. */
	m->rest = to == V1_STOP_COPY || to == V1_PRE_COPY;
	m->stream.len = 0;
	m->gap = false;
}

static bool judge_set_state(struct model *m, __u32 to, const struct result *r)
{
	if (to > V1_RESUMING || !(transitions[m->state] & 1 << to))
		return want_ret(m, r, -EINVAL);
	if (to == m->state)
		return want_ret(m, r, 0);
	if (resuming(m)) {
		if (!m->poison && !complete(m))
			m->poison = -ENODATA;
		if (m->poison)
			return want_ret(m, r, m->poison);
	}
	if (!want_ret(m, r, 0))
		return false;
	/* A stopped device has more to send. An open iteration stays open. */
	if (m->state == V1_PRE_COPY && to == V1_STOP_COPY)
		m->rest = true;
	else
		begin_session(m, to);
	m->state = to;
	return true;
}

/* saving */

static bool conclude(struct model *m)
{
	if (m->learned)
		buffer_append(&m->stream, m->data.data, m->size);
	else
		m->gap = true;
	m->open = false;
	m->size = 0;
	m->learned = false;
	return true;
}

static bool judge_end(struct model *m)
{
	char why[160];

	if (m->state != V1_STOP_COPY || m->gap ||
	    stream_count(&m->stream, 0) <= 0)
		return true;
	if (!stream_check(&m->stream, why, sizeof(why)))
		return true;
	return differ(m, "nothing is pending, and the stream is not whole: %s",
		      why);
}

static bool judge_pending(struct model *m, const struct result *r)
{
	bool had = m->rest, was_open = m->open;

	if (!saving(m))
		return want_value(m, r, 0);
	if (r->ret)
		return want_ret(m, r, 0);
	if (was_open)
		conclude(m);
	else if (had != !!r->value)
		return differ(m, "there is %s to send, and pending_bytes is %llu",
			      had ? "something" : "nothing", r->value);
	m->rest = r->value;
	return m->rest ? true : judge_end(m);
}

static bool judge_offset(struct model *m, const struct result *r)
{
	if (!saving(m) && !resuming(m))
		return want_value(m, r, 0);
	if (!want_value(m, r, m->v1->data))
		return false;
	if (saving(m) && !m->open)
		m->open = m->rest;
	return true;
}

static bool judge_size(struct model *m, const struct result *r)
{
	if (!m->open || m->size)
		return want_value(m, r, m->size);
	if (r->ret)
		return want_ret(m, r, 0);
	if (!r->value || r->value > m->v1->window)
		return differ(m, "%llu bytes are ready, in a window of %llu",
			      r->value, m->v1->window);
	m->size = r->value;
	return true;
}

static bool same_data(struct model *m, const void *want, size_t len)
{
	if (!memcmp(m->scratch, want, len))
		return true;
	return differ(m, "%zu bytes of data are not what they were", len);
}

static bool judge_read_all(struct model *m, const struct result *r)
{
	if (!m->open)
		return want_ret(m, r, -EINVAL);
	if (!want_ret(m, r, 0))
		return false;
	/* If data_size was not read, the operation reads only one byte. */
	if (!m->size)
		return true;
	if (m->learned)
		return same_data(m, m->data.data, m->size);
	m->data.len = 0;
	buffer_append(&m->data, m->scratch, m->size);
	m->learned = true;
	return true;
}

static bool judge_data_read(struct model *m, const struct op *op,
			    const struct result *r)
{
	size_t len = op->code == OP_DATA_READ_MORE ? 2 : 1;

	if (op->code == OP_DATA_READ_PAST)
		return want_ret(m, r, -EINVAL);
	if (resuming(m))
		return want_ret(m, r, 0) && same_data(m, m->window, len);
	if (op->code == OP_DATA_READ_ALL)
		return judge_read_all(m, r);
	if (!m->open)
		return want_ret(m, r, -EINVAL);
	if (op->code == OP_DATA_READ_1)
		return want_ret(m, r, 0) &&
		       (!m->learned || same_data(m, m->data.data, 1));
	/* The size is unknown, so there may be two bytes. */
	return !m->size || want_ret(m, r, -EINVAL);
}

/* resuming */

static size_t chunk_end(const struct model *m, size_t pos)
{
	struct chunk c;
	size_t at;

	for (at = 0; !stream_chunk_at(m->good, at, &c); at += c.size)
		if (at + c.size > pos)
			return at + c.size;
	return m->good->len;
}

static bool at_boundary(const struct model *m)
{
	return !m->pos || complete(m) || chunk_end(m, m->pos - 1) == m->pos;
}

/* Returns the size of the commit; 0: the operation does not apply in this state. */
size_t model_feed_size(const struct model *m, const struct op *op)
{
	size_t pos = complete(m) ? 0 : m->pos, len;

	switch (op->code) {
	case OP_FEED_BYTE:
		return complete(m) ? 0 : 1;
	case OP_FEED_CHUNK:
		len = chunk_end(m, pos) - pos;
		break;
	case OP_FEED_ALL:
		len = m->good->len - pos;
		break;
	default:
		len = at_boundary(m) ? JUNK : 0;
		break;
	}
	return len > m->v1->window ? 0 : len;
}

static void used_up_to(struct model *m, size_t end)
{
	if (end > m->used)
		m->used = end;
}

static bool judge_feed(struct model *m, const struct op *op,
		       const struct result *r)
{
	struct result commit = { .ret = (int)r->value };
	size_t len = model_feed_size(m, op);

	if (!len)
		return true;
	if (!resuming(m))
		return want_ret(m, r, -EINVAL) &&
		       want_ret(m, &commit, -EINVAL);
	if (!want_ret(m, r, 0))
		return false;
	memcpy(m->window, m->scratch, len);
	used_up_to(m, len);
	if (m->poison)
		return want_ret(m, &commit, m->poison);
	/* Either the header of the save for a second time, or no chunk at all. */
	if (op->code == OP_FEED_BAD)
		m->poison = -EBADMSG;
	else if (complete(m))
		m->poison = -EILSEQ;
	if (m->poison)
		return want_ret(m, &commit, m->poison);
	m->pos += len;
	return want_ret(m, &commit, 0);
}

static bool judge_commit_0(struct model *m, const struct result *r)
{
	if (!resuming(m))
		return want_ret(m, r, -EINVAL);
	/* The protocol permits both: the commit does nothing, or each further commit fails. */
	return (m->poison && r->ret == m->poison) || want_ret(m, r, 0);
}

static bool judge_data_write(struct model *m, const struct op *op,
			     const struct result *r)
{
	size_t at = op->arg % (m->v1->window - 8);

	if (!resuming(m) || op->code == OP_DATA_WRITE_PAST)
		return want_ret(m, r, -EINVAL);
	memset(m->window + at, op->arg & 0xff, 8);
	used_up_to(m, at + 8);
	return want_ret(m, r, 0);
}

/* Returns whether the result is right. If not, @m->why has the reason. */
bool model_judge(struct model *m, const struct op *op, const struct result *r)
{
	switch (op->code) {
	case OP_SET_STATE:
		return judge_set_state(m, op->arg, r);
	case OP_GET_STATE:
		return want_value(m, r, m->state);
	case OP_READ_PENDING:
		return judge_pending(m, r);
	case OP_READ_OFFSET:
		return judge_offset(m, r);
	case OP_READ_SIZE:
		return judge_size(m, r);
	case OP_RESET:
		model_reset(m);
		return want_ret(m, r, 0);
	case OP_FEED_BYTE:
	case OP_FEED_CHUNK:
	case OP_FEED_ALL:
	case OP_FEED_BAD:
		return judge_feed(m, op, r);
	case OP_COMMIT_0:
		return judge_commit_0(m, r);
	case OP_READ_RESERVED:
		return want_value(m, r, 0);
	case OP_WRITE_RESERVED:
		return want_ret(m, r, 0);
	case OP_DATA_READ_1:
	case OP_DATA_READ_ALL:
	case OP_DATA_READ_MORE:
	case OP_DATA_READ_PAST:
		return judge_data_read(m, op, r);
	case OP_DATA_WRITE:
	case OP_DATA_WRITE_PAST:
		return judge_data_write(m, op, r);
	default:
		return want_ret(m, r, -EINVAL);
	}
}

bool model_step(struct model *m, const struct op *op)
{
	struct result r;

	op_run(m, op, &r);
	return model_judge(m, op, &r);
}
