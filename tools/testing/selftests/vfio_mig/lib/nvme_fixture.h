/* SPDX-License-Identifier: GPL-2.0-only */
/* Setup and teardown of fixtures with an initialised controller */
#ifndef VFIO_MIG_LIB_NVME_FIXTURE_H
#define VFIO_MIG_LIB_NVME_FIXTURE_H

#include "fixture.h"
#include "nvme.h"
#include "nvme_case.h"

struct nvme_fixture {
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct nvme nvme;
};

/* Opens the suite's device with @memory bytes of guest memory, and creates queues of 16. */
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

/* Two devices with 16 MiB of guest memory. The controller of the first one is initialised. */
struct nvme_pair {
	struct device dev[2];
	struct v1 v1[2];
	struct guest guest;
	struct nvme nvme;
};

static inline void nvme_pair_open(struct __test_metadata *_metadata, struct nvme_pair *p,
				  int nr_queues, int depth)
{
	int i;

	ASSERT_RET(0, guest_create(&p->guest, 16 << 20));
	for (i = 0; i < 2; i++) {
		fixture_open(_metadata, i ? suite_device_b() : suite_device(),
			     &p->dev[i], &p->v1[i]);
		ASSERT_RET(0, guest_attach(&p->guest, &p->dev[i]));
	}
	ASSERT_EQ(0, nvme_start(&p->nvme, &p->dev[0], &p->guest, nr_queues, depth));
}

static inline void nvme_pair_close(struct nvme_pair *p)
{
	int i;

	nvme_close(&p->nvme);
	for (i = 0; i < 2; i++)
		fixture_close(&p->dev[i], &p->v1[i]);
	guest_destroy(&p->guest);
}

/* Tries all commands of a table. */
static inline void try_cases(struct __test_metadata *_metadata,
			     struct nvme_cases *c, const struct nvme_case *one,
			     size_t nr)
{
	for (; nr--; one++)
		EXPECT_EQ(0, nvme_case_try(c, one))
			TH_LOG("%s", c->why);
}

/* As try_cases(), with @opcode for all commands of the table. */
static inline void try_opcode(struct __test_metadata *_metadata,
			      struct nvme_cases *c, const struct nvme_case *cases,
			      size_t nr, __u8 opcode)
{
	struct nvme_case one;

	for (; nr--; cases++) {
		one = *cases;
		one.cmd.opcode = opcode;
		try_cases(_metadata, c, &one, 1);
	}
}

#endif /* VFIO_MIG_LIB_NVME_FIXTURE_H */
