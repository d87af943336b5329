// SPDX-License-Identifier: GPL-2.0-only
/*
 * Admin commands (NVMe 5)
 *
 * Other files execute Identify, Get Log Page, Set and Get Features, Asynchronous Event Request
 * and Doorbell Buffer Config.
 */
#include "mnvme.h"

static bool mnvme_sq_exists(struct mnvme *dev, u16 qid)
{
	return qid && qid <= MNVME_IO_QUEUES && dev->sq[qid].live;
}

static bool mnvme_cq_exists(struct mnvme *dev, u16 qid)
{
	return qid && qid <= MNVME_IO_QUEUES && dev->cq[qid].live;
}

static u16 mnvme_status_at(struct mnvme_req *req, u16 status, u16 offset)
{
	req->err_loc = offset;
	return MNVME_DNR(status);
}

#define MNVME_STATUS_AT(req, status, field) \
	mnvme_status_at(req, status, offsetof(struct nvme_command, field))

/*
 * Checks the fields that create_cq and create_sq have in common. CC has the size of the queue's
 * entries at bit @shift. The controller supports only @entry_size. Both are exponents of two.
 */
static u16 mnvme_check_queue(struct mnvme_req *req, u8 shift, u8 entry_size)
{
	const struct nvme_create_cq *c = &req->cmd->create_cq;
	u16 qsize = le16_to_cpu(c->qsize);

	if (!qsize || qsize >= MNVME_QUEUE_SIZE_MAX)
		return MNVME_STATUS_AT(req, NVME_SC_QUEUE_SIZE, create_cq.qsize);
	if (((READ_ONCE(req->dev->cc) >> shift) & 0xf) != entry_size)
		return MNVME_STATUS_AT(req, NVME_SC_QUEUE_SIZE, create_cq.qsize);
	/* CAP.CQR: the controller needs contiguous queues. */
	if (!(le16_to_cpu(c->cq_flags) & NVME_QUEUE_PHYS_CONTIG))
		return MNVME_BAD_FIELD(req, create_cq.cq_flags);
	if (le64_to_cpu(c->prp1) & ((1ull << req->dev->page_shift) - 1))
		return MNVME_STATUS_AT(req, NVME_SC_PRP_INVALID_OFFSET,
				       create_cq.prp1);
	return NVME_SC_SUCCESS;
}

/* NVMe 5.3 */
static u16 mnvme_create_cq(struct mnvme_req *req)
{
	const struct nvme_create_cq *c = &req->cmd->create_cq;
	struct mnvme *dev = req->dev;
	u16 qid = le16_to_cpu(c->cqid);
	u16 vector = le16_to_cpu(c->irq_vector);
	u16 status;

	if (!qid || qid > MNVME_IO_QUEUES || dev->cq[qid].live)
		return MNVME_STATUS_AT(req, NVME_SC_QID_INVALID, create_cq.cqid);
	status = mnvme_check_queue(req, NVME_CC_IOCQES_SHIFT, NVME_NVM_IOCQES);
	if (status)
		return status;
	if (vector >= mnvme_irq_vectors(dev))
		return MNVME_STATUS_AT(req, NVME_SC_INVALID_VECTOR,
				       create_cq.irq_vector);

	status = mnvme_dbbuf_clear(dev, qid, true);
	if (status)
		return status;
	mnvme_cq_create(&dev->cq[qid], le64_to_cpu(c->prp1),
			le16_to_cpu(c->qsize) + 1, vector,
			le16_to_cpu(c->cq_flags) & NVME_CQ_IRQ_ENABLED);
	return NVME_SC_SUCCESS;
}

/* NVMe 5.4 */
static u16 mnvme_create_sq(struct mnvme_req *req)
{
	const struct nvme_create_sq *c = &req->cmd->create_sq;
	struct mnvme *dev = req->dev;
	u16 qid = le16_to_cpu(c->sqid);
	u16 cqid = le16_to_cpu(c->cqid);
	u16 status;

	if (!qid || qid > MNVME_IO_QUEUES || dev->sq[qid].live)
		return MNVME_STATUS_AT(req, NVME_SC_QID_INVALID, create_sq.sqid);
	if (!cqid || cqid > MNVME_IO_QUEUES)
		return MNVME_STATUS_AT(req, NVME_SC_QID_INVALID, create_sq.cqid);
	if (!dev->cq[cqid].live)
		return MNVME_STATUS_AT(req, NVME_SC_CQ_INVALID, create_sq.cqid);
	status = mnvme_check_queue(req, NVME_CC_IOSQES_SHIFT, NVME_NVM_IOSQES);
	if (status)
		return status;

	status = mnvme_dbbuf_clear(dev, qid, false);
	if (status)
		return status;
	mnvme_sq_create(&dev->sq[qid], le64_to_cpu(c->prp1),
			le16_to_cpu(c->qsize) + 1, cqid,
			(le16_to_cpu(c->sq_flags) >> 1) & 3);
	return NVME_SC_SUCCESS;
}

/* NVMe 5.6 */
static u16 mnvme_delete_sq(struct mnvme_req *req)
{
	u16 qid = le16_to_cpu(req->cmd->delete_queue.qid);

	if (!mnvme_sq_exists(req->dev, qid))
		return MNVME_STATUS_AT(req, NVME_SC_QID_INVALID,
				       delete_queue.qid);
	mnvme_sq_delete(&req->dev->sq[qid]);
	return NVME_SC_SUCCESS;
}

/* NVMe 5.5 */
static u16 mnvme_delete_cq(struct mnvme_req *req)
{
	struct mnvme *dev = req->dev;
	u16 qid = le16_to_cpu(req->cmd->delete_queue.qid);
	u16 i;

	if (!mnvme_cq_exists(dev, qid))
		return MNVME_STATUS_AT(req, NVME_SC_QID_INVALID,
				       delete_queue.qid);
	for (i = 1; i <= MNVME_IO_QUEUES; i++)
		if (dev->sq[i].live && dev->sq[i].cqid == qid)
			return MNVME_STATUS_AT(req, NVME_SC_INVALID_QUEUE,
					       delete_queue.qid);
	mnvme_cq_delete(&dev->cq[qid]);
	/* Drops a pending interrupt, so that no later queue with the vector gets it. */
	mnvme_irq_update(dev);
	return NVME_SC_SUCCESS;
}

/*
 * NVMe 5.1. Only Asynchronous Event Requests can be aborted, because other commands are
 * either not fetched or complete. Bit 0 of the result reports that a command was not
 * aborted.
 */
static u16 mnvme_abort(struct mnvme_req *req)
{
	u16 sqid = le16_to_cpu(req->cmd->abort.sqid);

	req->result = 1;
	if (sqid && !mnvme_sq_exists(req->dev, sqid))
		return MNVME_BAD_FIELD(req, abort.sqid);
	if (!sqid && mnvme_event_abort(req, req->cmd->abort.cid))
		req->result = 0;
	return NVME_SC_SUCCESS;
}

/* Returns whether a command uses the namespace identifier (NVMe figure 140). */
static bool mnvme_admin_uses_nsid(u8 opcode)
{
	switch (opcode) {
	case nvme_admin_get_log_page:
	case nvme_admin_identify:
	case nvme_admin_set_features:
	case nvme_admin_get_features:
		return true;
	default:
		return false;
	}
}

static bool mnvme_admin_known(const struct mnvme *dev, u8 opcode)
{
	switch (opcode) {
	case nvme_admin_delete_sq:
	case nvme_admin_create_sq:
	case nvme_admin_get_log_page:
	case nvme_admin_delete_cq:
	case nvme_admin_create_cq:
	case nvme_admin_identify:
	case nvme_admin_abort_cmd:
	case nvme_admin_set_features:
	case nvme_admin_get_features:
	case nvme_admin_async_event:
		return true;
	case nvme_admin_dbbuf:
		return mnvme_offers_dbbuf(dev);
	default:
		return false;
	}
}

/**
 * mnvme_admin_command() - execute a command of the admin queue
 * @req: the command
 *
 * Context: the admin queue's executor.
 * Return: NVMe status, or %MNVME_NO_COMPLETION.
 */
u16 mnvme_admin_command(struct mnvme_req *req)
{
	u8 opcode = req->cmd->common.opcode;

	if (!mnvme_admin_known(req->dev, opcode))
		return MNVME_STATUS_AT(req, NVME_SC_INVALID_OPCODE, common.opcode);
	if (req->cmd->common.nsid && !mnvme_admin_uses_nsid(opcode))
		return MNVME_BAD_FIELD(req, common.nsid);

	switch (opcode) {
	case nvme_admin_delete_sq:
		return mnvme_delete_sq(req);
	case nvme_admin_create_sq:
		return mnvme_create_sq(req);
	case nvme_admin_get_log_page:
		return mnvme_get_log_page(req);
	case nvme_admin_delete_cq:
		return mnvme_delete_cq(req);
	case nvme_admin_create_cq:
		return mnvme_create_cq(req);
	case nvme_admin_identify:
		return mnvme_identify(req);
	case nvme_admin_abort_cmd:
		return mnvme_abort(req);
	case nvme_admin_set_features:
		return mnvme_set_features(req);
	case nvme_admin_get_features:
		return mnvme_get_features(req);
	case nvme_admin_async_event:
		return mnvme_async_event(req);
	default:
		return mnvme_dbbuf_config(req);
	}
}
