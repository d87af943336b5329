/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small NVMe driver in user space, for one thread.
 *
 * Queues and buffers are in a struct guest. nvme_adopt() continues on another
 * device with the same queues and no initialisation, as the guest of a live
 * migration does.
 */
#ifndef VFIO_MIG_LIB_NVME_H
#define VFIO_MIG_LIB_NVME_H

#include <linux/types.h>

#include "device.h"
#include "guest.h"
#include "nvme_regs.h"

#define NVME_OP_FLUSH		0x00
#define NVME_OP_WRITE		0x01
#define NVME_OP_READ		0x02
#define NVME_OP_COMPARE		0x05
#define NVME_OP_WRITE_ZEROES	0x08
#define NVME_OP_DSM		0x09

#define NVME_OP_VERIFY		0x0c
#define NVME_OP_COPY		0x19

#define NVME_DEPTH_MAX		256
#define NVME_QUEUES_MAX		8	/* I/O queues */

/* The time after which a missing completion is an error */
#define NVME_TIMEOUT_MS		20000

struct nvme_cmd {
	__u8 opcode;
	__u8 flags;
	__u16 cid;
	__u32 nsid;
	__u64 rsvd;
	__u64 mptr;
	__u64 prp1;
	__u64 prp2;
	__u32 cdw10;
	__u32 cdw11;
	__u32 cdw12;
	__u32 cdw13;
	__u32 cdw14;
	__u32 cdw15;
};

struct nvme_cqe {
	__u32 result;
	__u32 rsvd;
	__u16 sq_head;
	__u16 sq_id;
	__u16 cid;
	__u16 status;		/* bit 0 is the phase */
};

struct nvme_queue {
	__u16 id;
	__u16 depth;
	__u16 tail;
	__u16 head;
	__u16 phase;
	__u16 in_flight;
	struct nvme_cmd *sq;
	volatile struct nvme_cqe *cq;
	__u64 *prp_lists;	/* a page for each command identifier */
	__u8 busy[NVME_DEPTH_MAX];	/* command ids in use */
	int eventfd;		/* -1: polled only */
};

struct nvme {
	struct device *dev;
	struct guest *guest;
	struct region bar0;
	__u32 doorbell_stride;
	__u32 nr_queues;
	__u32 lba_size;
	__u64 nr_lbas;
	__u32 transfer_max;	/* bytes in one command */
	volatile __u32 *shadow;	/* doorbells in memory, or NULL */
	volatile __u32 *event_idx;
	int shadow_admin;	/* whether the admin queue has some, too */
	int ring_all;		/* also write the registers, and ignore EventIdx */
	unsigned long rings;	/* number of writes to doorbell registers */
	struct nvme_queue admin;
	struct nvme_queue io[NVME_QUEUES_MAX];
};

int nvme_probe(struct device *dev);
int nvme_start(struct nvme *nvme, struct device *dev, struct guest *guest,
	       __u32 nr_queues, __u16 depth);
int nvme_adopt(struct nvme *nvme, struct device *dev);
void nvme_close(struct nvme *nvme);

/* dbbuf.c: shadow doorbells */
int nvme_dbbuf(struct nvme *nvme);
int nvme_dbbuf_at(struct nvme *nvme, __u64 shadow, __u64 event_idx);
int nvme_passes_event_idx(struct nvme *nvme, __u32 doorbell, __u16 value);

int nvme_read32(struct nvme *nvme, __u32 reg, __u32 *value);
int nvme_write32(struct nvme *nvme, __u32 reg, __u32 value);

/* Waits until CSTS is @want. Returns 0, a negative errno, or the last value of CSTS. */
int nvme_wait_csts(struct nvme *nvme, __u32 want);

/* queue.c: asynchronous */
int nvme_submit(struct nvme *nvme, struct nvme_queue *q, struct nvme_cmd *cmd);
int nvme_submit_io(struct nvme *nvme, struct nvme_queue *q, __u8 opcode,
		   __u64 lba, __u32 nr, const void *buf);
int nvme_ring(struct nvme *nvme, struct nvme_queue *q);
int nvme_poll(struct nvme *nvme, struct nvme_queue *q, struct nvme_cqe *cqe);
int nvme_poll_many(struct nvme *nvme, struct nvme_queue *q,
		   struct nvme_cqe *cqe, int max);
int nvme_wait(struct nvme *nvme, struct nvme_queue *q, struct nvme_cqe *cqe);
int nvme_irqs(struct nvme_queue *q);

/* Asynchronous Event Request. Returns the command's identifier, or a negative errno. */
int nvme_request_event(struct nvme *nvme);

/* synchronous; these return 0, a negative errno or the NVMe status */
int nvme_do(struct nvme *nvme, struct nvme_queue *q, struct nvme_cmd *cmd,
	    __u32 *result);
int nvme_io(struct nvme *nvme, __u8 opcode, __u64 lba, __u32 nr,
	    const void *buf);
int nvme_deallocate(struct nvme *nvme, __u64 lba, __u32 nr, void *scratch);
int nvme_flush(struct nvme *nvme);

/* @nr SGL descriptors at @iova describe the data of @cmd. */
static inline void nvme_cmd_sgl(struct nvme_cmd *cmd, __u64 iova, unsigned int nr)
{
	cmd->flags |= CMD_SGL;
	cmd->prp1 = iova;
	cmd->prp2 = SGL_LAST << 56 | nr * 16;
}

/* pattern.c: data that depends on the block and on the generation of the write */
void pattern_fill(struct nvme *nvme, void *buf, __u64 lba, __u32 nr, __u32 when);
__s64 pattern_check(struct nvme *nvme, const void *buf, __u64 lba, __u32 nr,
		    __u32 when);

#endif /* VFIO_MIG_LIB_NVME_H */
