// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control state
 *
 * The same walk over the controller writes and reads the state, so the two cannot differ.
 * Numbers are little-endian, and there is no padding. The order of the walk is the format.
 * A change of the format needs a new level, because existing levels never change.
 */
#include "mnvme.h"

/**
 * struct mnvme_codec - position of a walk
 * @pos: next byte
 * @end: end of the buffer
 * @load: fields are read from the buffer, and not written to it
 * @bad: the buffer ended early, or a flag was neither 0 nor 1
 */
struct mnvme_codec {
	u8 *pos;
	u8 *end;
	bool load;
	bool bad;
};

static void mnvme_code_bytes(struct mnvme_codec *c, void *field, size_t len)
{
	if (len > c->end - c->pos) {
		c->bad = true;
		return;
	}
	if (c->load)
		memcpy(field, c->pos, len);
	else
		memcpy(c->pos, field, len);
	c->pos += len;
}

static void mnvme_code_u8(struct mnvme_codec *c, u8 *field)
{
	mnvme_code_bytes(c, field, sizeof(*field));
}

static void mnvme_code_bool(struct mnvme_codec *c, bool *field)
{
	u8 raw = *field;

	mnvme_code_u8(c, &raw);
	if (raw > 1)
		c->bad = true;
	*field = raw & 1;
}

static void mnvme_code_u16(struct mnvme_codec *c, u16 *field)
{
	__le16 raw = cpu_to_le16(*field);

	mnvme_code_bytes(c, &raw, sizeof(raw));
	*field = le16_to_cpu(raw);
}

static void mnvme_code_u32(struct mnvme_codec *c, u32 *field)
{
	__le32 raw = cpu_to_le32(*field);

	mnvme_code_bytes(c, &raw, sizeof(raw));
	*field = le32_to_cpu(raw);
}

static void mnvme_code_u64(struct mnvme_codec *c, u64 *field)
{
	__le64 raw = cpu_to_le64(*field);

	mnvme_code_bytes(c, &raw, sizeof(raw));
	*field = le64_to_cpu(raw);
}

/* Codes one bit for each vector, in whole bytes. */
static void mnvme_code_vectors(struct mnvme_codec *c, unsigned long *map)
{
	u8 raw[DIV_ROUND_UP(MNVME_NR_VECTORS, 8)] = {};
	u16 v;

	for (v = 0; v < MNVME_NR_VECTORS; v++)
		raw[v / 8] |= test_bit(v, map) << (v % 8);
	mnvme_code_bytes(c, raw, sizeof(raw));
	for (v = 0; v < MNVME_NR_VECTORS; v++)
		__assign_bit(v, map, raw[v / 8] & BIT(v % 8));
	if (raw[MNVME_NR_VECTORS / 8] >> (MNVME_NR_VECTORS % 8))
		c->bad = true;
}

/* Codes the offers of the source to the guest, which a state below level 3 does not have. */
static void mnvme_code_told(struct mnvme_codec *c, struct mnvme *dev)
{
	bool dbbuf = mnvme_offers_dbbuf(dev);

	if (dev->level >= 3) {
		mnvme_code_bytes(c, dev->serial, sizeof(dev->serial));
		mnvme_code_bool(c, &dbbuf);
	} else if (c->load) {
		mnvme_serial_default(dev, dev->serial);
		dbbuf = dev->level >= 2;
	}
	if (!c->load)
		return;
	dev->told = true;
	dev->told_dbbuf = dbbuf;
}

static void mnvme_code_registers(struct mnvme_codec *c, struct mnvme *dev)
{
	mnvme_code_bytes(c, dev->config, sizeof(dev->config));
	mnvme_code_u32(c, &dev->cc);
	mnvme_code_u32(c, &dev->aqa);
	mnvme_code_u64(c, &dev->asq);
	mnvme_code_u64(c, &dev->acq);
	mnvme_code_u32(c, &dev->intms);
	mnvme_code_bool(c, &dev->reset_pending);
	mnvme_code_bool(c, &dev->flr_pending);
	mnvme_code_bool(c, &dev->ready);
	mnvme_code_bool(c, &dev->cfs);
	mnvme_code_u8(c, &dev->shst);
	mnvme_code_u8(c, &dev->page_shift);
}

static void mnvme_code_dbbuf(struct mnvme_codec *c, struct mnvme_dbbuf *d,
			     u8 level)
{
	u8 i;

	if (level < 2) {
		if (c->load)
			memset(d, 0, sizeof(*d));
		return;
	}
	mnvme_code_bool(c, &d->on);
	mnvme_code_u64(c, &d->shadow);
	mnvme_code_u64(c, &d->event_idx);
	for (i = 0; i < ARRAY_SIZE(d->admin); i++) {
		if (level >= 3)
			mnvme_code_u32(c, &d->admin[i]);
		else if (c->load)	/* a source of level 2 did not read them */
			d->admin[i] = d->on ? MNVME_NO_DOORBELL : 0;
	}
}

static void mnvme_code_irq(struct mnvme_codec *c, struct mnvme_irq *irq)
{
	u16 v, i;

	spin_lock(&irq->lock);
	mnvme_code_vectors(c, irq->masked);
	mnvme_code_vectors(c, irq->pending);
	for (v = 0; v < MNVME_NR_VECTORS; v++)
		for (i = 0; i < 4; i++)
			mnvme_code_u32(c, &irq->table[v][i]);
	mnvme_code_bool(c, &irq->intx_trigger);
	spin_unlock(&irq->lock);
}

static void mnvme_code_features(struct mnvme_codec *c, struct mnvme_features *f)
{
	u8 i;

	mnvme_code_u32(c, &f->arbitration);
	for (i = 0; i < ARRAY_SIZE(f->temp_over); i++) {
		mnvme_code_u16(c, &f->temp_over[i]);
		mnvme_code_u16(c, &f->temp_under[i]);
	}
	mnvme_code_u32(c, &f->error_recovery);
	mnvme_code_u32(c, &f->irq_coalescing);
	mnvme_code_u32(c, &f->write_atomicity);
	mnvme_code_u32(c, &f->async_event);
	mnvme_code_vectors(c, f->no_coalescing);
}

static void mnvme_code_events(struct mnvme_codec *c, struct mnvme_events *ev)
{
	u8 i;

	spin_lock(&ev->lock);
	mnvme_code_u8(c, &ev->pending);
	mnvme_code_u8(c, &ev->masked);
	mnvme_code_bytes(c, ev->info, sizeof(ev->info));
	mnvme_code_u8(c, &ev->nr);
	for (i = 0; i < min_t(u8, ev->nr, MNVME_AER_MAX); i++)
		mnvme_code_u16(c, &ev->cid[i]);
	spin_unlock(&ev->lock);
}

static void mnvme_code_counters(struct mnvme_codec *c, struct mnvme_counters *n)
{
	mnvme_code_u64(c, &n->sectors_read);
	mnvme_code_u64(c, &n->sectors_written);
	mnvme_code_u64(c, &n->reads);
	mnvme_code_u64(c, &n->writes);
	mnvme_code_u64(c, &n->busy_ns);
}

static void mnvme_code_log(struct mnvme_codec *c, struct mnvme_log *log, u8 level)
{
	u64 i;

	/* A write of a doorbell adds errors, also while the device is stopped. */
	spin_lock(&log->lock);
	mnvme_code_u64(c, &log->errors);
	for (i = 0; i < min_t(u64, log->errors, MNVME_ERROR_LOG); i++)
		mnvme_code_bytes(c, &log->entry[i], sizeof(log->entry[i]));
	mnvme_code_u64(c, &log->unsafe_shutdowns);
	if (level >= 3)
		mnvme_code_u64(c, &log->power_cycles);
	else if (c->load)
		log->power_cycles = 1;	/* the value that old sources reported */
	mnvme_code_u64(c, &log->power_on_ns);
	mnvme_code_counters(c, &log->count);
	spin_unlock(&log->lock);
}

static void mnvme_code_sq(struct mnvme_codec *c, struct mnvme_sq *sq)
{
	spin_lock(&sq->lock);
	mnvme_code_bool(c, &sq->live);
	if (sq->live) {
		mnvme_code_u64(c, &sq->base);
		mnvme_code_u32(c, &sq->size);
		mnvme_code_u16(c, &sq->cqid);
		mnvme_code_u8(c, &sq->prio);
		mnvme_code_u32(c, &sq->head);
		mnvme_code_u32(c, &sq->tail);
		mnvme_code_counters(c, &sq->count);
	} else if (c->load) {
		/* Counters of the queues that this device had before the load are dropped. */
		memset(&sq->count, 0, sizeof(sq->count));
	}
	spin_unlock(&sq->lock);
}

static void mnvme_code_cq(struct mnvme_codec *c, struct mnvme_cq *cq)
{
	spin_lock(&cq->lock);
	mnvme_code_bool(c, &cq->live);
	if (cq->live) {
		mnvme_code_u64(c, &cq->base);
		mnvme_code_u32(c, &cq->size);
		mnvme_code_u16(c, &cq->vector);
		mnvme_code_bool(c, &cq->ien);
		mnvme_code_u8(c, &cq->phase);
		mnvme_code_u32(c, &cq->head);
		mnvme_code_u32(c, &cq->tail);
	}
	/* A stopped device executes nothing, and mnvme_run() kicks all queues. */
	cq->reserved = 0;
	cq->starved = false;
	/* The state has no torn entries, and those of the earlier queue are gone. */
	if (c->load)
		WRITE_ONCE(cq->torn, 0);
	spin_unlock(&cq->lock);
}

static void mnvme_code(struct mnvme_codec *c, struct mnvme *dev)
{
	u16 i;

	mnvme_code_bytes(c, &dev->id, sizeof(dev->id));
	mnvme_code_told(c, dev);
	mnvme_code_registers(c, dev);
	mnvme_code_dbbuf(c, &dev->dbbuf, dev->level);
	mnvme_code_irq(c, &dev->irq);
	mnvme_code_features(c, &dev->features);
	mnvme_code_events(c, &dev->events);
	mnvme_code_log(c, &dev->log, dev->level);
	for (i = 0; i < MNVME_NR_QUEUES; i++)
		mnvme_code_sq(c, &dev->sq[i]);
	for (i = 0; i < MNVME_NR_QUEUES; i++)
		mnvme_code_cq(c, &dev->cq[i]);
	if (c->load)
		mnvme_dbbuf_loaded(dev);
}

/**
 * mnvme_state_save() - write a controller's state
 * @dev: the controller, stopped
 * @buf: buffer of %MNVME_STATE_MAX bytes
 *
 * Context: &mnvme.lock is held.
 * Return: length of the state in bytes.
 */
size_t mnvme_state_save(struct mnvme *dev, void *buf)
{
	struct mnvme_codec c = { .pos = buf, .end = buf + MNVME_STATE_MAX };

	mnvme_dbbuf_settle(dev);
	mnvme_code(&c, dev);
	WARN_ON_ONCE(c.bad);
	return c.pos - (u8 *)buf;
}

/**
 * mnvme_state_load() - read a controller's state
 * @dev: a stopped controller, or a shadow controller
 * @level: version of the state, which this driver knows; the controller gets this level
 * @buf: a state that mnvme_state_save() wrote, or any other bytes
 * @len: length of the state in bytes
 *
 * Checks only the format. mnvme_state_check() checks the values. After a failure the controller
 * has a part of the state, so a state is first loaded into a shadow controller.
 *
 * Context: &mnvme.lock is held, or @dev is a shadow controller.
 * Return: NULL, or the reason why the state is bad.
 */
const char *mnvme_state_load(struct mnvme *dev, u8 level, const void *buf,
			     size_t len)
{
	struct mnvme_codec c = {
		.pos = (u8 *)buf,
		.end = (u8 *)buf + len,
		.load = true,
	};

	WRITE_ONCE(dev->level, level);
	mnvme_code(&c, dev);
	if (c.bad)
		return "truncated, or a flag is neither 0 nor 1";
	if (c.pos != c.end)
		return "longer than it should be";
	return NULL;
}

/**
 * mnvme_shadow_init() - initialise a shadow controller, which never runs
 * @dev: zeroed memory
 * @type: type of the controller
 *
 * A state is loaded into a shadow controller to check the state.
 */
void mnvme_shadow_init(struct mnvme *dev, const struct mnvme_type *type)
{
	dev->type = type;
	mnvme_irq_init(&dev->irq);
	mnvme_queues_init(dev);
	spin_lock_init(&dev->events.lock);
	spin_lock_init(&dev->log.lock);
}

static const char *mnvme_check_registers(const struct mnvme *dev)
{
	if (!mnvme_serial_valid(dev->serial))
		return "serial number";
	if (!mnvme_config_valid(dev))
		return "PCI configuration space";
	if (dev->cc & ~MNVME_CC_WRITABLE)
		return "reserved bits of CC";
	if (dev->aqa & ~MNVME_AQA_WRITABLE)
		return "reserved bits of AQA";
	if ((dev->asq | dev->acq) & 0xfff)
		return "ASQ or ACQ not aligned";
	if (dev->shst && dev->shst != NVME_CSTS_SHST_CMPLT)
		return "CSTS.SHST";
	if (dev->ready && (dev->page_shift < MNVME_PAGE_SHIFT_MIN ||
			   dev->page_shift > MNVME_PAGE_SHIFT_MAX))
		return "memory page size";
	if (!dev->ready && dev->page_shift > MNVME_PAGE_SHIFT_MAX)
		return "memory page size of a disabled controller";
	/* After CC.EN was cleared only a pending reset clears the bits of CSTS. */
	if ((dev->ready || dev->cfs) && !(dev->cc & NVME_CC_ENABLE) &&
	    !dev->reset_pending && !dev->flr_pending)
		return "a controller that is ready or failed, is disabled and is not to be reset";
	return NULL;
}

static const char *mnvme_check_dbbuf(const struct mnvme *dev)
{
	const struct mnvme_dbbuf *d = &dev->dbbuf;
	u64 both = d->shadow | d->event_idx;
	u8 i;

	if (d->on && !dev->ready)
		return "shadow doorbells of a controller that is not ready";
	if (d->on ? both & ((1ull << dev->page_shift) - 1) : both)
		return "address of the shadow doorbells";
	for (i = 0; i < ARRAY_SIZE(d->admin); i++)
		if (d->on ? d->admin[i] > 0xffff && d->admin[i] != MNVME_NO_DOORBELL :
			    d->admin[i])
			return "shadow doorbells of the admin queue";
	return NULL;
}

static const char *mnvme_check_irq(const struct mnvme_irq *irq)
{
	u16 v;

	for (v = 0; v < MNVME_NR_VECTORS; v++) {
		if (irq->table[v][0] & 3 || irq->table[v][3] > 1)
			return "reserved bits of the MSI-X table";
		if (test_bit(v, irq->masked) && !irq->table[v][3])
			return "masked MSI-X vector without its mask bit";
	}
	return NULL;
}

static const char *mnvme_check_events(const struct mnvme *dev)
{
	const struct mnvme_events *ev = &dev->events;
	u8 i, j;

	if ((ev->pending | ev->masked) & ~(BIT(MNVME_EVENT_TYPES) - 1))
		return "unknown asynchronous event type";
	for (i = 0; i < MNVME_EVENT_TYPES; i++)
		if (ev->info[i] > 1)
			return "unknown asynchronous event";
	if (ev->nr > MNVME_AER_MAX || (ev->nr && !dev->ready))
		return "too many Asynchronous Event Requests";
	for (i = 0; i < ev->nr; i++)
		for (j = 0; j < i; j++)
			if (ev->cid[i] == ev->cid[j])
				return "Asynchronous Event Requests with one identifier";
	return NULL;
}

static const char *mnvme_check_log(const struct mnvme_log *log)
{
	u64 i, first;

	/* Entry i has the latest error number n with (n - 1) % MNVME_ERROR_LOG == i. */
	for (i = 0; i < min_t(u64, log->errors, MNVME_ERROR_LOG); i++) {
		first = log->errors - 1 - (log->errors - 1 - i) % MNVME_ERROR_LOG;
		if (le64_to_cpu(log->entry[i].error_count) != first + 1)
			return "error log out of order";
	}
	return NULL;
}

static bool mnvme_queue_valid(const struct mnvme *dev, u64 base, u32 size,
			      u32 head, u32 tail)
{
	return !(base & ((1ull << dev->page_shift) - 1)) &&
	       size >= 2 && size <= MNVME_QUEUE_SIZE_MAX &&
	       head < size && tail < size;
}

static const char *mnvme_check_queues(const struct mnvme *dev)
{
	u16 i;

	if (dev->sq[0].live != dev->ready || dev->cq[0].live != dev->ready)
		return "admin queue without a ready controller, or the reverse";
	for (i = 0; i < MNVME_NR_QUEUES; i++) {
		const struct mnvme_sq *sq = &dev->sq[i];
		const struct mnvme_cq *cq = &dev->cq[i];

		if ((sq->live || cq->live) && !dev->ready)
			return "queue of a controller that is not ready";
		if (sq->live && !mnvme_queue_valid(dev, sq->base, sq->size,
						   sq->head, sq->tail))
			return "submission queue";
		if (sq->live && (sq->cqid >= MNVME_NR_QUEUES ||
				 !dev->cq[sq->cqid].live || !sq->cqid != !i))
			return "completion queue of a submission queue";
		if (sq->live && sq->prio > 3)
			return "priority of a submission queue";
		if (cq->live && !mnvme_queue_valid(dev, cq->base, cq->size,
						   cq->head, cq->tail))
			return "completion queue";
		if (cq->live && (cq->phase > 1 || cq->vector >= MNVME_NR_VECTORS))
			return "phase or vector of a completion queue";
		if (cq->live && !i && (cq->vector || !cq->ien))
			return "vector of the admin completion queue";
	}
	return NULL;
}

/**
 * mnvme_state_check() - check whether a device can have the values of a loaded state
 * @dev: a shadow controller
 *
 * Return: NULL, or the reason why the state is bad.
 */
const char *mnvme_state_check(const struct mnvme *dev)
{
	const char *why = mnvme_check_registers(dev);

	if (!why)
		why = mnvme_check_dbbuf(dev);
	if (!why)
		why = mnvme_check_irq(&dev->irq);
	if (!why && !mnvme_features_valid(&dev->features))
		why = "value of a feature";
	if (!why)
		why = mnvme_check_events(dev);
	if (!why)
		why = mnvme_check_log(&dev->log);
	if (!why)
		why = mnvme_check_queues(dev);
	return why;
}
