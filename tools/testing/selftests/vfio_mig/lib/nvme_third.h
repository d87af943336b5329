/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A third pair of queues, which the tests' driver does not create and does not know. A test
 * chooses the memory of each, for example memory that does not answer.
 */
#ifndef VFIO_MIG_LIB_NVME_THIRD_H
#define VFIO_MIG_LIB_NVME_THIRD_H

#include <stdbool.h>

#include "nvme.h"

#define THIRD			3	/* identifier of both queues */

#define ADMIN_DELETE_SQ		0x00
#define ADMIN_CREATE_SQ		0x01
#define ADMIN_DELETE_CQ		0x04
#define ADMIN_CREATE_CQ		0x05

int create_third(struct nvme *nvme, __u64 sq, __u64 cq);
int create_third_sized(struct nvme *nvme, __u64 sq, __u32 sq_size, __u64 cq, __u32 cq_size);
int delete_third(struct nvme *nvme);
int ring_third(struct nvme *nvme, __u32 tail);
bool third_completes(volatile struct nvme_cqe *cqe, double seconds);

#endif /* VFIO_MIG_LIB_NVME_THIRD_H */
