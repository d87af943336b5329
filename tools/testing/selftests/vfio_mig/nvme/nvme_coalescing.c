// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVMe 1.4, 5.21.1.8 and 5.21.1.9: Interrupt Coalescing and Interrupt Vector Configuration.
 * An interrupt waits as long as the host has requested. Any event that ends the wait must
 * signal the interrupt, so that none is lost.
 */
#include <stdio.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/irq.h"
#include "lib/nvme_fixture.h"
#include "lib/slow.h"
#include "lib/waiter.h"

#define FEATURE_COALESCING	8
#define FEATURE_VECTOR		9
#define COALESCING_DISABLE	(1 << 16)
/* The longest time: 25.5 ms */
#define TIME_MAX		(255 << 8)
/* An interrupt within this time did not wait. A preempted thread may measure more. */
#define AT_ONCE_S		0.015
#define TRIES			20
/* A signal that must come, comes within this time. */
#define COMES_S			5

#define PCI_COMMAND		4
#define PCI_COMMAND_MEM		2
#define PCI_COMMAND_MEM_MASTER	6
#define MSIX_CONTROL_MASK	(1 << 14)

/* Memory that does not answer */
#define SLOW_IOVA		0x100000000ULL
#define REACH			5.0	/* seconds until the controller accesses the memory */

/* Number of completions that wait. A queue of 16 entries takes 15 commands. */
#define OWED			3
#define THRESHOLD		9	/* 0's based: an interrupt after 10 completions */

FIXTURE(coalescing) {
	struct nvme_fixture f;
	struct region config;
	struct nvme_queue *q;
	__u16 msix;		/* offset of the capability */
};

FIXTURE_VARIANT(coalescing) {
	__u32 index;		/* of the interrupt */
};

FIXTURE_VARIANT_ADD(coalescing, msix) { .index = VFIO_PCI_MSIX_IRQ_INDEX };
FIXTURE_VARIANT_ADD(coalescing, msi) { .index = VFIO_PCI_MSI_IRQ_INDEX };
FIXTURE_VARIANT_ADD(coalescing, intx) { .index = VFIO_PCI_INTX_IRQ_INDEX };

/* The queue uses vector 1, or INTx, which the admin queue uses, too. */
static int use_irq(struct device *dev, struct nvme *nvme, __u32 index)
{
	int fds[2] = { nvme->admin.eventfd, nvme->io[0].eventfd };
	int ret;

	if (index == VFIO_PCI_MSIX_IRQ_INDEX)
		return 0;
	ret = irq_disable(dev, VFIO_PCI_MSIX_IRQ_INDEX);
	if (ret)
		return ret;
	if (index == VFIO_PCI_INTX_IRQ_INDEX)
		return irq_eventfds(dev, index, 0, fds + 1, 1);
	return irq_eventfds(dev, index, 0, fds, 2);
}

static int find_msix(struct region *config, __u16 *at)
{
	__u8 id, next;
	int ret;

	ret = region_read_all(config, 0x34, &next, 1);
	while (!ret && next) {
		*at = next;
		ret = region_read_all(config, *at, &id, 1);
		if (!ret && id == 0x11)
			return 0;
		if (!ret)
			ret = region_read_all(config, *at + 1, &next, 1);
	}
	return ret ? ret : -1;
}

FIXTURE_SETUP(coalescing)
{
	struct nvme_fixture *f = &self->f;

	nvme_fixture_open(_metadata, f, 4 << 20);
	self->q = &f->nvme.io[0];
	ASSERT_RET(0, region_open(&self->config, &f->dev, VFIO_PCI_CONFIG_REGION_INDEX));
	ASSERT_EQ(0, find_msix(&self->config, &self->msix));
	ASSERT_RET(0, use_irq(&f->dev, &f->nvme, variant->index));
}

FIXTURE_TEARDOWN(coalescing)
{
	nvme_fixture_close(&self->f);
}

/* Waits for an interrupt. Returns the number of signals. */
static int comes(struct nvme_queue *q)
{
	double until = clock_now() + COMES_S;
	int nr;

	while (!(nr = nvme_irqs(q)) && clock_now() < until)
		usleep(100);
	return nr;
}

/* Takes all completions. A signal masks INTx, so INTx is unmasked again. */
static void settle(struct nvme_fixture *f, struct nvme_queue *q, __u32 index)
{
	struct nvme_cqe cqe;

	while (nvme_poll(&f->nvme, q, &cqe) > 0)
		;
	do {
		if (index == VFIO_PCI_INTX_IRQ_INDEX)
			irq_set(&f->dev, IRQ_NONE | IRQ_UNMASK, index, 0, 1, NULL, 0);
		usleep(1000);
	} while (nvme_irqs(q));
}

static int set_feature(struct nvme *nvme, __u8 fid, __u32 value)
{
	struct nvme_cmd cmd = {
		.opcode = ADMIN_SET_FEATURES, .cdw10 = fid, .cdw11 = value,
	};

	return nvme_do(nvme, &nvme->admin, &cmd, NULL);
}

static int flushes(struct nvme *nvme, struct nvme_queue *q, int nr)
{
	struct nvme_cmd cmd = { .opcode = NVME_OP_FLUSH, .nsid = 1 };
	int ret = 0;

	while (nr-- && ret >= 0)
		ret = nvme_submit(nvme, q, &cmd);
	return ret < 0 ? ret : nvme_ring(nvme, q);
}

static __u16 last_phase(struct nvme_queue *q, int nr)
{
	return q->cq[(q->head + nr - 1) % q->depth].status & 1;
}

/*
 * Leaves completions without a signal. Returns false if commands failed, or if this thread
 * was preempted for longer than an interrupt may wait.
 */
static bool owed(struct nvme_fixture *f, struct nvme_queue *q, __u32 index)
{
	__u16 end = (q->head + OWED - 1) % q->depth;
	__u16 phase = end < q->head ? !q->phase : q->phase;
	double begin = clock_now();

	if (flushes(&f->nvme, q, OWED))
		return false;
	while (last_phase(q, OWED) != phase && clock_now() - begin < COMES_S)
		;
	if (!nvme_irqs(q) && clock_now() - begin < AT_ONCE_S)
		return true;
	settle(f, q, index);
	return false;
}

static void ask_for(struct __test_metadata *_metadata, struct nvme_fixture *f,
		    __u32 index, __u32 coalescing, __u32 vector)
{
	ASSERT_EQ(0, set_feature(&f->nvme, FEATURE_COALESCING, coalescing));
	ASSERT_EQ(0, set_feature(&f->nvme, FEATURE_VECTOR, vector));
	settle(f, &f->nvme.io[0], index);
}

/* Values of both features and commands, with and without a wait */
static const struct {
	const char *name;
	__u32 coalescing;
	__u32 vector;
	int commands;
	bool at_once;
} waits[] = {
	{ "nothing is asked for", 0, 1, 1, true },
	{ "a threshold without a time", THRESHOLD, 1, 1, true },
	{ "a time without a threshold", TIME_MAX, 1, 1, true },
	{ "one completion less than is asked for", TIME_MAX | THRESHOLD, 1, THRESHOLD,
	  false },
	{ "as many as are asked for", TIME_MAX | THRESHOLD, 1, THRESHOLD + 1, true },
	{ "a vector that never waits", TIME_MAX | THRESHOLD, COALESCING_DISABLE | 1, 1,
	  true },
	{ "a vector that waits again", TIME_MAX | THRESHOLD, 1, 1, false },
};

static int try_wait(struct nvme_fixture *f, struct nvme_queue *q, int commands,
		    double *took)
{
	double begin = clock_now();
	int ret;

	ret = flushes(&f->nvme, q, commands);
	if (ret)
		return ret;
	ret = comes(q);
	*took = clock_now() - begin;
	return ret;
}

/* A preempted thread makes the measured time longer, and nothing makes it shorter. */
TEST_F_TIMEOUT(coalescing, s5_21_1_8_waits_as_asked_for, 120)
{
	struct nvme_fixture *f = &self->f;
	double took = 0, best;
	unsigned int i;
	int try;

	for (i = 0; i < ARRAY_SIZE(waits); i++) {
		ask_for(_metadata, f, variant->index, waits[i].coalescing,
			waits[i].vector);
		best = COMES_S;
		for (try = 0; try < TRIES && best >= AT_ONCE_S; try++) {
			EXPECT_EQ(1, try_wait(f, self->q, waits[i].commands, &took))
				TH_LOG("%s", waits[i].name);
			best = took < best ? took : best;
			settle(f, self->q, variant->index);
		}
		EXPECT_EQ(waits[i].at_once, best < AT_ONCE_S)
			TH_LOG("%s: after %.1f ms", waits[i].name, best * 1e3);
	}
}

/* Events that end a wait */
enum event {
	STOP,
	STOP_AND_COPY,
	PRE_COPY_AND_STOP,
	DELETE_QUEUE,
	CONTROLLER_RESET,
	MASK_AND_UNMASK,
};

static const struct {
	const char *name;
	enum event event;
} events[] = {
	{ "stop", STOP },
	{ "stop and copy", STOP_AND_COPY },
	{ "pre-copy, then stop and copy", PRE_COPY_AND_STOP },
	{ "masked and unmasked", MASK_AND_UNMASK },
	{ "the queue is deleted", DELETE_QUEUE },
	{ "the controller is reset", CONTROLLER_RESET },
};

/* Masks INTx by VFIO, MSI-X by its function mask, and MSI by Bus Master. */
static int mask(struct nvme_fixture *f, struct region *config, __u16 msix,
		__u32 index, bool on)
{
	__u16 value;
	int ret;

	if (index == VFIO_PCI_INTX_IRQ_INDEX)
		return irq_set(&f->dev, IRQ_NONE | (on ? IRQ_MASK : IRQ_UNMASK), index,
			       0, 1, NULL, 0);
	if (index == VFIO_PCI_MSI_IRQ_INDEX) {
		value = on ? PCI_COMMAND_MEM : PCI_COMMAND_MEM_MASTER;
		return region_write_all(config, PCI_COMMAND, &value, sizeof(value));
	}
	ret = region_read_all(config, msix + 2, &value, sizeof(value));
	if (ret)
		return ret;
	value = on ? value | MSIX_CONTROL_MASK : value & ~MSIX_CONTROL_MASK;
	return region_write_all(config, msix + 2, &value, sizeof(value));
}

static int stop(struct v1 *v1, enum event event)
{
	int ret = 0;

	if (event == PRE_COPY_AND_STOP)
		ret = v1_set_state(v1, V1_PRE_COPY);
	if (!ret)
		ret = v1_set_state(v1, event == STOP ? V1_STOPPED : V1_STOP_COPY);
	return ret;
}

static int delete_queue(struct nvme *nvme)
{
	struct nvme_cmd cmd = { .opcode = ADMIN_DELETE_SQ, .cdw10 = 1 };

	return nvme_do(nvme, &nvme->admin, &cmd, NULL);
}

static int reset(struct nvme *nvme)
{
	__u32 csts = CSTS_RDY;
	int ret;

	ret = nvme_write32(nvme, REG_CC, 0);
	while (!ret && csts & CSTS_RDY) {
		usleep(100);
		ret = nvme_read32(nvme, REG_CSTS, &csts);
	}
	return ret;
}

/* The interrupts that waited are signalled when the wait ends. */
TEST_F_TIMEOUT(coalescing, what_is_owed_is_signalled, 120)
{
	struct nvme_fixture *f = &self->f;
	unsigned int i;
	int try, ret, nr;

	for (i = 0; i < ARRAY_SIZE(events); i++) {
		enum event event = events[i].event;

		ask_for(_metadata, f, variant->index, TIME_MAX | THRESHOLD, 1);
		for (try = 0; try < TRIES; try++)
			if (owed(f, self->q, variant->index))
				break;
		ASSERT_GT(TRIES, try)
			TH_LOG("%s: interrupts never wait", events[i].name);
		switch (event) {
		case DELETE_QUEUE:
			ret = delete_queue(&f->nvme);
			break;
		case CONTROLLER_RESET:
			ret = reset(&f->nvme);
			break;
		case MASK_AND_UNMASK:
			ret = mask(f, &self->config, self->msix, variant->index, true);
			/* The wait ends while the interrupt is masked. */
			usleep(50000);
			EXPECT_EQ(0, nvme_irqs(self->q));
			ret |= mask(f, &self->config, self->msix, variant->index, false);
			break;
		default:
			ret = stop(&f->v1, event);
		}
		EXPECT_RET_FOR(0, ret, "%s", events[i].name);
		nr = event == MASK_AND_UNMASK ? comes(self->q) : nvme_irqs(self->q);
		EXPECT_LE(1, nr)
			TH_LOG("%s: it is lost", events[i].name);
		if (event == DELETE_QUEUE) {
			nvme_close(&f->nvme);
			/*
			 * The kinds of interrupt exclude each other, and the device starts
			 * with MSI-X.
			 */
			ASSERT_RET(0, irq_disable(&f->dev, variant->index));
			ASSERT_EQ(0, nvme_start(&f->nvme, &f->dev, &f->guest, 1, 16));
			ASSERT_RET(0, use_irq(&f->dev, &f->nvme, variant->index));
			continue;
		}
		if (event == CONTROLLER_RESET)
			continue;
		ASSERT_RET(0, v1_set_state(&f->v1, V1_RUNNING));
		settle(f, self->q, variant->index);
	}
}

/* A Flush, and behind it a Read whose memory does not answer */
static int flush_and_read(struct nvme *nvme, struct nvme_queue *q)
{
	struct nvme_cmd cmd[] = {
		{ .opcode = NVME_OP_FLUSH, .nsid = 1 },
		{ .opcode = NVME_OP_READ, .nsid = 1, .prp1 = SLOW_IOVA },
	};
	int ret = nvme_submit(nvme, q, &cmd[0]);

	ret = ret < 0 ? ret : nvme_submit(nvme, q, &cmd[1]);
	return ret < 0 ? ret : nvme_ring(nvme, q);
}

/* The interrupt for a completion does not wait for the memory of a later command. */
TEST_F_TIMEOUT(coalescing, does_not_wait_for_memory, 120)
{
	struct nvme_fixture *f = &self->f;
	struct slow slow;

	if (slow_missing(SLOW_UFFD))
		SKIP(return, "%s", slow_missing(SLOW_UFFD));
	ASSERT_RET(0, slow_create(&slow, SLOW_UFFD, GUEST_PAGE));
	ASSERT_RET(0, slow_map(&slow, 0, NULL, 0));
	ASSERT_RET(0, device_map(&f->dev, slow.mem, SLOW_IOVA, GUEST_PAGE));
	ask_for(_metadata, f, variant->index, TIME_MAX | THRESHOLD, 1);
	ASSERT_RET(0, flush_and_read(&f->nvme, self->q));
	ASSERT_EQ(1, slow_waiting(&slow, waiter_patience(REACH)));
	EXPECT_EQ(1, comes(self->q))
		TH_LOG("the interrupt waits for memory");
	ASSERT_RET(0, slow_answer(&slow));
	settle(f, self->q, variant->index);
	slow_destroy(&slow);
}

SUITE_MAIN(suite_need_mnvme())
