/* SPDX-License-Identifier: GPL-2.0-only */
/* Set-up and teardown of fixtures with a controller that works; for test programs. */
#ifndef VFIO_MIG_LIB_NVME_FIXTURE_H
#define VFIO_MIG_LIB_NVME_FIXTURE_H

#include "fixture.h"
#include "nvme.h"

struct nvme_fixture {
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct nvme nvme;
};

/* The suite's device with @memory bytes of guest, and a pair of queues of 16. */
static inline void nvme_fixture_open(struct __test_metadata *_metadata,
				     struct nvme_fixture *f, size_t memory)
{
	fixture_open(_metadata, suite_device(), &f->dev, &f->v1);
	ASSERT_RET(0, guest_create(&f->guest, memory));
	ASSERT_RET(0, guest_attach(&f->guest, &f->dev));
	ASSERT_EQ(0, nvme_start(&f->nvme, &f->dev, &f->guest, 1, 16));
}

static inline void nvme_fixture_close(struct nvme_fixture *f)
{
	nvme_close(&f->nvme);
	fixture_close(&f->dev, &f->v1);
	guest_destroy(&f->guest);
}

#endif /* VFIO_MIG_LIB_NVME_FIXTURE_H */
