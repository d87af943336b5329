// SPDX-License-Identifier: GPL-2.0-only
/* NVMe submission and completion. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "nvme.h"

static int ring(struct nvme *nvme, struct nvme_queue *q, int cq, __u16 value)
{
	__u32 doorbell = 2 * q->id + cq;

	if (nvme->shadow && (q->id || nvme->shadow_admin) &&
	    !nvme_passes_event_idx(nvme, doorbell, value) && !nvme->ring_all)
		return 0;
	nvme->rings++;
	return nvme_write32(nvme, DOORBELLS + doorbell * nvme->doorbell_stride,
			    value);
}

static int free_cid(struct nvme_queue *q)
{
	int cid;

	/* One entry of a full queue is empty. */
	if (q->in_flight >= q->depth - 1)
		return -EBUSY;
	for (cid = 0; q->busy[cid]; cid++)
		;
	q->busy[cid] = 1;
	q->in_flight++;
	return cid;
}

/* Puts a command into the queue without a doorbell. Returns its identifier. */
int nvme_submit(struct nvme *nvme, struct nvme_queue *q, struct nvme_cmd *cmd)
{
	int cid = free_cid(q);

	(void)nvme;
	if (cid < 0)
		return cid;
	cmd->cid = cid;
	q->sq[q->tail] = *cmd;
	q->tail = (q->tail + 1) % q->depth;
	return cid;
}

/* Buffers are contiguous in guest memory. A list is needed only for more than two pages. */
static void set_prps(struct nvme *nvme, struct nvme_queue *q,
		     struct nvme_cmd *cmd, int cid, const void *buf, size_t len)
{
	__u64 iova = guest_iova(nvme->guest, buf);
	__u64 first = GUEST_PAGE - iova % GUEST_PAGE;
	__u64 *list = q->prp_lists + cid * (GUEST_PAGE / sizeof(*list));
	size_t i;

	cmd->prp1 = iova;
	if (len <= first)
		return;
	len -= first;
	iova += first;
	if (len <= GUEST_PAGE) {
		cmd->prp2 = iova;
		return;
	}
	for (i = 0; i * GUEST_PAGE < len; i++)
		list[i] = iova + i * GUEST_PAGE;
	cmd->prp2 = guest_iova(nvme->guest, list);
}

/* As nvme_submit(), for an I/O command on @nr blocks from @lba on. */
int nvme_submit_io(struct nvme *nvme, struct nvme_queue *q, __u8 opcode,
		   __u64 lba, __u32 nr, const void *buf)
{
	struct nvme_cmd cmd = {
		.opcode = opcode,
		.nsid = 1,
		.cdw10 = (__u32)lba,
		.cdw11 = lba >> 32,
		.cdw12 = nr - 1,
	};
	int cid = free_cid(q);

	if (cid < 0)
		return cid;
	if (buf)
		set_prps(nvme, q, &cmd, cid, buf, (size_t)nr * nvme->lba_size);
	cmd.cid = cid;
	q->sq[q->tail] = cmd;
	q->tail = (q->tail + 1) % q->depth;
	return cid;
}

int nvme_ring(struct nvme *nvme, struct nvme_queue *q)
{
	__sync_synchronize();
	return ring(nvme, q, 0, q->tail);
}

/* Takes the next completion. Returns 1, 0 if there is none, or -EPROTO as nvme_poll_many(). */
static int take(struct nvme_queue *q, struct nvme_cqe *cqe)
{
	volatile struct nvme_cqe *at = &q->cq[q->head];

	if ((at->status & 1) != q->phase)
		return 0;
	__sync_synchronize();
	cqe->result = at->result;
	cqe->sq_head = at->sq_head;
	cqe->sq_id = at->sq_id;
	cqe->cid = at->cid;
	cqe->status = at->status;

	q->head = (q->head + 1) % q->depth;
	if (!q->head)
		q->phase ^= 1;
	if (cqe->sq_id != q->id || cqe->cid >= q->depth || !q->busy[cqe->cid])
		return -EPROTO;
	q->busy[cqe->cid] = 0;
	q->in_flight--;
	return 1;
}

/*
 * Takes all completions, @max at the most, with one write of the doorbell. Returns their
 * number, or -EPROTO for a completion whose command is not in flight.
 */
int nvme_poll_many(struct nvme *nvme, struct nvme_queue *q,
		   struct nvme_cqe *cqe, int max)
{
	int nr = 0, ret = 0, rung;
	__u16 head = q->head;

	while (nr < max && (ret = take(q, cqe + nr)) > 0)
		nr++;
	if (q->head == head)
		return 0;
	rung = ring(nvme, q, 1, q->head);
	if (rung)
		return rung;
	return ret < 0 ? ret : nr;
}

/* Takes a completion. Returns 1, 0 if there is none, or an errno of nvme_poll_many(). */
int nvme_poll(struct nvme *nvme, struct nvme_queue *q, struct nvme_cqe *cqe)
{
	return nvme_poll_many(nvme, q, cqe, 1);
}

/* Waits for a completion. Returns 0 or -ETIMEDOUT. */
int nvme_wait(struct nvme *nvme, struct nvme_queue *q, struct nvme_cqe *cqe)
{
	double until = clock_now() + NVME_TIMEOUT_MS / 1000;
	int ret;

	for (;;) {
		ret = nvme_poll(nvme, q, cqe);
		if (ret)
			return ret < 0 ? ret : 0;
		if (clock_now() > until)
			return -ETIMEDOUT;
		usleep(50);
	}
}

/* Returns how often the queue's interrupt was signalled since the last call. */
int nvme_irqs(struct nvme_queue *q)
{
	__u64 count;

	if (read(q->eventfd, &count, sizeof(count)) != sizeof(count))
		return 0;
	return count;
}

int nvme_request_event(struct nvme *nvme)
{
	struct nvme_cmd cmd = { .opcode = 0x0c };
	int cid = nvme_submit(nvme, &nvme->admin, &cmd), ret;

	if (cid < 0)
		return cid;
	ret = nvme_ring(nvme, &nvme->admin);
	return ret ? ret : cid;
}

static int finish(struct nvme *nvme, struct nvme_queue *q, int cid,
		  __u32 *result)
{
	struct nvme_cqe cqe;
	int ret;

	if (cid < 0)
		return cid;
	ret = nvme_ring(nvme, q);
	if (!ret)
		ret = nvme_wait(nvme, q, &cqe);
	if (ret)
		return ret;
	if (cqe.cid != cid)
		return -EPROTO;
	if (result)
		*result = cqe.result;
	return cqe.status >> 1;
}

int nvme_do(struct nvme *nvme, struct nvme_queue *q, struct nvme_cmd *cmd,
	    __u32 *result)
{
	return finish(nvme, q, nvme_submit(nvme, q, cmd), result);
}

/* Splits the range into commands, because the device limits the length of a transfer. */
int nvme_io(struct nvme *nvme, __u8 opcode, __u64 lba, __u32 nr,
	    const void *buf)
{
	__u32 most = nvme->transfer_max / nvme->lba_size, n;
	struct nvme_queue *q = &nvme->io[0];
	int ret;

	for (; nr; lba += n, nr -= n) {
		n = nr < most ? nr : most;
		ret = finish(nvme, q, nvme_submit_io(nvme, q, opcode, lba, n,
						     buf), NULL);
		if (ret)
			return ret;
		if (buf)
			buf += (size_t)n * nvme->lba_size;
	}
	return 0;
}

/* @scratch is a page of guest memory, which takes the description of the range. */
int nvme_deallocate(struct nvme *nvme, __u64 lba, __u32 nr, void *scratch)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_OP_DSM,
		.nsid = 1,
		.prp1 = guest_iova(nvme->guest, scratch),
		.cdw11 = 1 << 2,	/* AD */
	};
	struct {
		__u32 attributes;
		__u32 nr;
		__u64 lba;
	} range = { .nr = nr, .lba = lba };

	memcpy(scratch, &range, sizeof(range));
	return nvme_do(nvme, &nvme->io[0], &cmd, NULL);
}

int nvme_flush(struct nvme *nvme)
{
	struct nvme_cmd cmd = { .opcode = NVME_OP_FLUSH, .nsid = 1 };

	return nvme_do(nvme, &nvme->io[0], &cmd, NULL);
}
