// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asynchronous events (NVMe 5.2)
 *
 * Any code can raise an event. Only the admin queue's executor knows the outstanding
 * requests and posts to the admin completion queue, so the executor reports the event. After
 * the report, the event's type is masked until the host reads the log page of this type. The
 * log page contains all events that were raised before the read, so the controller does not
 * report them any more.
 */
#include "mnvme.h"

/* Log page of each type */
static const u8 mnvme_event_lid[MNVME_EVENT_TYPES] = {
	[MNVME_EVENT_ERROR]	= NVME_LOG_ERROR,
	[MNVME_EVENT_SMART]	= NVME_LOG_SMART,
};

/**
 * mnvme_async_event() - Asynchronous Event Request
 * @req: the command
 *
 * Return: %MNVME_NO_COMPLETION or an NVMe status.
 */
u16 mnvme_async_event(struct mnvme_req *req)
{
	struct mnvme_events *ev = &req->dev->events;
	u16 cid = req->cmd->common.command_id;
	u8 i;

	/* Two requests with one identifier cannot be distinguished, and would not migrate. */
	for (i = 0; i < ev->nr; i++)
		if (ev->cid[i] == cid)
			return MNVME_DNR(NVME_SC_CMDID_CONFLICT);
	if (ev->nr == MNVME_AER_MAX)
		return MNVME_DNR(NVME_SC_ASYNC_LIMIT);

	ev->cid[ev->nr++] = cid;

	return MNVME_NO_COMPLETION;
}

static u16 mnvme_event_take_cid(struct mnvme_events *ev, u8 i)
{
	u16 cid = ev->cid[i];

	ev->nr--;
	memmove(&ev->cid[i], &ev->cid[i + 1], (ev->nr - i) * sizeof(cid));
	return cid;
}

static void mnvme_event_complete(struct mnvme *dev, u16 cid, u32 result,
				 u16 status)
{
	struct nvme_completion cqe = {
		.result.u32 = cpu_to_le32(result),
		.sq_head = cpu_to_le16(dev->sq[0].head),
		.command_id = cid,
		.status = cpu_to_le16(status << 1),
	};

	mnvme_sq_complete(&dev->sq[0], &cqe);
}

/* Reserves an entry. The host may have reported taken entries in guest memory only. */
static bool mnvme_event_reserve(struct mnvme *dev)
{
	struct mnvme_cq *cq = &dev->cq[0];
	u32 got;

	do {
		got = mnvme_cq_reserve(cq, 1);
	} while (!got && mnvme_cq_full(cq, &dev->sq[0]));
	return got;
}

/**
 * mnvme_event_abort() - abort an Asynchronous Event Request
 * @req: the Abort command
 * @cid: command identifier of the request
 *
 * Context: the admin queue's executor.
 * Return: true if the request was outstanding, and there was an entry for its completion.
 */
bool mnvme_event_abort(struct mnvme_req *req, u16 cid)
{
	struct mnvme_events *ev = &req->dev->events;
	u8 i;

	for (i = 0; i < ev->nr; i++)
		if (ev->cid[i] == cid)
			break;
	if (i == ev->nr || !mnvme_event_reserve(req->dev))
		return false;

	mnvme_event_take_cid(ev, i);
	mnvme_event_complete(req->dev, cid, 0, NVME_SC_ABORT_REQ);
	return true;
}

/**
 * mnvme_event_raise() - raise an event
 * @dev: the controller
 * @type: event type
 * @info: "Asynchronous Event Information" of that type
 *
 * A stopped device keeps the event.
 *
 * Context: any that may take spinlocks.
 */
void mnvme_event_raise(struct mnvme *dev, enum mnvme_event_type type, u8 info)
{
	struct mnvme_events *ev = &dev->events;

	spin_lock(&ev->lock);
	ev->pending |= BIT(type);
	ev->info[type] = info;
	ev->raised[type]++;
	spin_unlock(&ev->lock);

	mnvme_sq_kick(&dev->sq[0]);
}

/**
 * mnvme_event_raised() - return the number of raised events, for mnvme_event_clear()
 * @dev: the controller
 * @type: event type
 *
 * Return: a number that changes when an event of this type is raised.
 */
u32 mnvme_event_raised(struct mnvme *dev, enum mnvme_event_type type)
{
	struct mnvme_events *ev = &dev->events;
	u32 raised;

	spin_lock(&ev->lock);
	raised = ev->raised[type];
	spin_unlock(&ev->lock);
	return raised;
}

/**
 * mnvme_event_clear() - clear an event type whose log page was read
 * @dev: the controller
 * @type: event type
 * @raised: return value of mnvme_event_raised() before the page was built
 *
 * The page contains all events that were raised before @raised was read. A later event may not
 * be in the page, so it stays pending.
 */
void mnvme_event_clear(struct mnvme *dev, enum mnvme_event_type type, u32 raised)
{
	struct mnvme_events *ev = &dev->events;

	spin_lock(&ev->lock);
	ev->masked &= ~BIT(type);
	if (ev->raised[type] == raised)
		ev->pending &= ~BIT(type);
	spin_unlock(&ev->lock);
}

/**
 * mnvme_event_drop() - drop an event that was not reported, because the host disabled it
 * @dev: the controller
 * @type: event type
 */
void mnvme_event_drop(struct mnvme *dev, enum mnvme_event_type type)
{
	struct mnvme_events *ev = &dev->events;

	spin_lock(&ev->lock);
	ev->pending &= ~BIT(type);
	spin_unlock(&ev->lock);
}

/* Takes an event that can be reported. Returns false if there is none. */
static bool mnvme_event_next(struct mnvme_events *ev, u32 *result)
{
	unsigned long ready;
	u8 type;

	spin_lock(&ev->lock);
	ready = ev->pending & ~ev->masked;
	if (ready) {
		type = __ffs(ready);
		ev->pending &= ~BIT(type);
		ev->masked |= BIT(type);
		*result = type | ev->info[type] << 8 | mnvme_event_lid[type] << 16;
	}
	spin_unlock(&ev->lock);
	return ready;
}

/**
 * mnvme_events_deliver() - complete requests if there are events
 * @dev: the controller
 *
 * Context: the admin queue's executor, with all of the queue's completions posted.
 */
void mnvme_events_deliver(struct mnvme *dev)
{
	struct mnvme_events *ev = &dev->events;
	u32 result;

	while (ev->nr && mnvme_may_execute(dev)) {
		if (!mnvme_event_reserve(dev))
			return;
		if (!mnvme_event_next(ev, &result)) {
			mnvme_cq_unreserve(&dev->cq[0], 1);
			return;
		}
		mnvme_event_complete(dev, mnvme_event_take_cid(ev, 0), result,
				     NVME_SC_SUCCESS);
	}
}

/* Context: no executor and no work item of the device runs. */
void mnvme_events_reset(struct mnvme *dev)
{
	struct mnvme_events *ev = &dev->events;

	spin_lock(&ev->lock);
	ev->pending = 0;
	ev->masked = 0;
	spin_unlock(&ev->lock);
	ev->nr = 0;
}
