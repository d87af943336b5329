// SPDX-License-Identifier: GPL-2.0-only
/* A third pair of queues, both with the same identifier. */
#include <unistd.h>

#include "clock.h"
#include "nvme_regs.h"
#include "nvme_third.h"

int create_third_sized(struct nvme *nvme, __u64 sq, __u32 sq_size, __u64 cq, __u32 cq_size)
{
	struct nvme_cmd create_cq = {
		.opcode = ADMIN_CREATE_CQ, .prp1 = cq, .cdw10 = (cq_size - 1) << 16 | THIRD,
		.cdw11 = 1,
	};
	struct nvme_cmd create_sq = {
		.opcode = ADMIN_CREATE_SQ, .prp1 = sq, .cdw10 = (sq_size - 1) << 16 | THIRD,
		.cdw11 = THIRD << 16 | 1,
	};
	int ret = nvme_do(nvme, &nvme->admin, &create_cq, NULL);

	return ret ? ret : nvme_do(nvme, &nvme->admin, &create_sq, NULL);
}

int create_third(struct nvme *nvme, __u64 sq, __u64 cq)
{
	return create_third_sized(nvme, sq, 16, cq, 16);
}

int ring_third(struct nvme *nvme, __u32 tail)
{
	return nvme_write32(nvme, DOORBELLS + 2 * THIRD * nvme->doorbell_stride, tail);
}

int delete_third(struct nvme *nvme)
{
	struct nvme_cmd delete_sq = { .opcode = ADMIN_DELETE_SQ, .cdw10 = THIRD };
	struct nvme_cmd delete_cq = { .opcode = ADMIN_DELETE_CQ, .cdw10 = THIRD };
	int ret = nvme_do(nvme, &nvme->admin, &delete_sq, NULL);

	return ret ? ret : nvme_do(nvme, &nvme->admin, &delete_cq, NULL);
}

/* Waits for the phase tag of an entry of the third queue, which the driver does not know. */
bool third_completes(volatile struct nvme_cqe *cqe, double seconds)
{
	double until = clock_now() + seconds;

	while (!(cqe->status & 1) && clock_now() < until)
		usleep(100);
	return cqe->status & 1;
}
