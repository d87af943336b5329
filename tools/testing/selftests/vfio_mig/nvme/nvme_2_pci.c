// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVMe 1.4, chapter 2: configuration space, by a table of values that are written and read
 * back; a function level reset, and the registers that it keeps (PCI Express 6.6.2); messages
 * without Bus Master; and a function in D3hot
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/nvme_fixture.h"

#define PM		0x40
#define MSI		0x48
#define EXP		0x60
#define MSIX		0xa0

struct field {
	const char *section;
	const char *name;
	__u16 at;
	int width;
	__u32 value;		/* written */
	__u32 want;		/* read then */
	__u32 flr;		/* value after a function level reset */
	bool ro;		/* the reset does not change the value */
};

/* A field that the guest cannot write */
#define RO(s, n, at, width, v)	{ s, n, at, width, ~0U, v, .ro = true }

static const struct field fields[] = {
	RO("2.1.1", "identifiers", 0x00, 4, 0x5f4e1d6b),
	{ "2.1.2", "command", 0x04, 2, 0xffff, 0x0546, 0 },
	RO("2.1.3", "status: a list of capabilities", 0x06, 2, 0x10),
	RO("2.1.4", "revision and class code", 0x08, 4, 0x01080201),
	{ "2.1.6", "cache line size", 0x0c, 1, 0xff, 0xff, 0 },
	RO("2.1.7", "latency timer", 0x0d, 1, 0),
	RO("2.1.8", "header type", 0x0e, 1, 0),
	RO("2.1.9", "self-test", 0x0f, 1, 0),
	{ "2.1.10", "MLBAR", 0x10, 4, ~0U, 0xffffc004, 4 },
	{ "2.1.11", "MUBAR", 0x14, 4, ~0U, ~0U, 0 },
	RO("2.1.12", "BAR2", 0x18, 4, 0),
	RO("2.1.13", "BAR3", 0x1c, 4, 0),
	RO("2.1.14", "BAR4", 0x20, 4, 0),
	RO("2.1.15", "BAR5", 0x24, 4, 0),
	RO("2.1.16", "CardBus CIS", 0x28, 4, 0),
	RO("2.1.17", "subsystem", 0x2c, 4, 0x00011d6b),
	RO("2.1.18", "expansion ROM", 0x30, 4, 0),
	RO("2.1.19", "capabilities", 0x34, 1, PM),
	{ "2.1.20", "interrupt line", 0x3c, 1, 0xff, 0xff, 0 },
	RO("2.1.20", "interrupt pin", 0x3d, 1, 1),
	RO("2.2.1", "power management", PM, 2, MSI << 8 | 1),
	RO("2.2.2", "power management capabilities", PM + 2, 2, 3),
	{ "2.2.3", "D1, which there is not", PM + 4, 2, 1, 8, 8 },
	{ "2.2.3", "D2, which there is not", PM + 4, 2, 2, 8, 8 },
	{ "2.2.3", "PME, which there is not", PM + 4, 2, 0x8100, 8, 8 },
	RO("2.3.1", "MSI", MSI, 2, EXP << 8 | 5),
	{ "2.3.2", "MSI: enable and messages", MSI + 2, 2, 0x71, 0xfb, 0x8a },
	{ "2.3.3", "MSI: address", MSI + 4, 4, ~0U, 0xfffffffc, 0 },
	{ "2.3.4", "MSI: upper address", MSI + 8, 4, ~0U, ~0U, 0 },
	{ "2.3.5", "MSI: data", MSI + 12, 2, 0xffff, 0xffff, 0 },
	RO("2.4.1", "MSI-X", MSIX, 2, 0x11),
	{ "2.4.2", "MSI-X: enable and mask", MSIX + 2, 2, 0xffff, 0xc040, 0x40 },
	RO("2.4.3", "MSI-X: table", MSIX + 4, 4, 0x2000),
	RO("2.4.4", "MSI-X: pending bits", MSIX + 8, 4, 0x3000),
	RO("2.5.1", "PCI Express", EXP, 2, MSIX << 8 | 0x10),
	RO("2.5.2", "PCI Express capabilities: an endpoint", EXP + 2, 2, 2),
	RO("2.5.3", "device capabilities: FLR", EXP + 4, 4, 0x10008000),
	/* Extended Tag, Phantom Functions and Aux Power are read-only; see DEVCAP. */
	{ "2.5.4", "device control: Extended Tag", EXP + 8, 2, 0x0100, 0, 0x2010 },
	{ "2.5.4", "device control: Phantom Functions", EXP + 8, 2, 0x0200, 0, 0x2010 },
	{ "2.5.4", "device control: Aux Power", EXP + 8, 2, 0x0400, 0, 0x2010 },
	{ "2.5.4", "device control: FLR keeps Max_Payload_Size", EXP + 8, 2,
	  0x00a0, 0x00a0, 0x20b0 },
	{ "2.5.4", "device control: all but FLR", EXP + 8, 2, 0x7fff, 0x78ff, 0x20f0 },
	{ "2.5.4", "device control: the default", EXP + 8, 2, 0x2010, 0x2010, 0x2010 },
	RO("2.5.5", "device status", EXP + 10, 2, 0),
	RO("2.5.6", "link capabilities", EXP + 12, 4, 0x11),
	{ "2.5.7", "link control: FLR keeps it", EXP + 16, 2, 0xffff, 0xc3, 0xc3 },
	{ "2.5.7", "link control: the default", EXP + 16, 2, 0, 0, 0 },
	RO("2.5.8", "link status", EXP + 18, 2, 0x11),
	RO("2.5.9", "device capabilities 2", EXP + 0x24, 4, 0),
	RO("2.5.10", "device control 2", EXP + 0x28, 2, 0),
	RO("2.6", "extended capabilities", 0x100, 4, 0),
};

FIXTURE(pci) {
	struct nvme_fixture f;
	struct region config;
};

FIXTURE_SETUP(pci)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	ASSERT_RET(0, region_open(&self->config, &self->f.dev,
				  VFIO_PCI_CONFIG_REGION_INDEX));
}

FIXTURE_TEARDOWN(pci)
{
	nvme_fixture_close(&self->f);
}

static int flr(struct region *config)
{
	__u16 control, command = 0xffff;
	int ret, i;

	ret = region_write_all(config, 4, &(__u16){ 6 }, 2);
	ret = ret ?: region_read_all(config, EXP + 8, &control, 2);
	control |= 0x8000;
	ret = ret ?: region_write_all(config, EXP + 8, &control, 2);
	/* A function level reset may take 100 ms. A busy machine takes longer. */
	for (i = 0; !ret && command && i < 5000; i++) {
		usleep(1000);
		ret = region_read_all(config, 4, &command, 2);
	}
	return ret ?: command ? -ETIMEDOUT : 0;
}

static __u32 get(struct region *config, const struct field *f)
{
	__u32 value = 0;

	return region_read_all(config, f->at, &value, f->width) ? ~0U : value;
}

TEST_F_TIMEOUT(pci, s2_fields, 120)
{
	const struct field *f;

	for (f = fields; f < fields + ARRAY_SIZE(fields); f++) {
		ASSERT_RET(0, region_write_all(&self->config, f->at, &f->value,
					       f->width));
		EXPECT_EQ(f->want, get(&self->config, f))
			TH_LOG("%s, %s", f->section, f->name);
		ASSERT_RET(0, flr(&self->config));
		EXPECT_EQ(f->ro ? f->want : f->flr, get(&self->config, f))
			TH_LOG("%s, %s, after FLR", f->section, f->name);
	}
}

/*
 * PCI Express 6.6.2: a function that is being reset does not answer. A host restores
 * configuration space when it reads other values than ones. A stopped device keeps the reset
 * for later, so the reset takes as long as the test wants.
 */
TEST_F(pci, s6_6_2_reads_are_ones_during_flr)
{
	__u16 control = 0x8000, command = 6;
	__u32 id;
	int i;

	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_STOPPED));
	ASSERT_RET(0, region_write_all(&self->config, EXP + 8, &control, 2));
	ASSERT_RET(0, region_read_all(&self->config, 4, &id, 4));
	EXPECT_EQ(~0U, id)
		TH_LOG("the host takes the reset for complete");
	ASSERT_RET(0, region_read_all(&self->config, 0, &id, 4));
	EXPECT_EQ(~0U, id);
	ASSERT_RET(0, v1_set_state(&self->f.v1, V1_RUNNING));
	for (i = 0, id = ~0U; id == ~0U && i < 5000; i++) {
		usleep(1000);
		ASSERT_RET(0, region_read_all(&self->config, 4, &id, 4));
	}
	EXPECT_EQ(0x00100000, id);
	/* A value that is written from now on stays. */
	ASSERT_RET(0, region_write_all(&self->config, 4, &command, 2));
	usleep(50000);
	ASSERT_RET(0, region_read_all(&self->config, 4, &id, 4));
	EXPECT_EQ(0x00100006, id);
}

/* A loss of power keeps no register. */
TEST_F(pci, s2_5_4_a_loss_of_power_keeps_nothing)
{
	static const struct field f = { "", "", EXP + 8, 2 };
	__u16 control = 0x20b0;

	ASSERT_RET(0, region_write_all(&self->config, f.at, &control, 2));
	nvme_fixture_close(&self->f);
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	ASSERT_RET(0, region_open(&self->config, &self->f.dev,
				  VFIO_PCI_CONFIG_REGION_INDEX));
	EXPECT_EQ(0x2010, get(&self->config, &f));
}

static int set_master(struct region *config, bool on)
{
	__u16 command = on ? 6 : 2;

	return region_write_all(config, 4, &command, 2);
}

static int wait_irq(struct nvme_queue *q)
{
	int i, n = 0;

	for (i = 0; !n && i < 2000; i++) {
		usleep(1000);
		n = nvme_irqs(q);
	}
	return n;
}

/*
 * The controller posts an entry while its vector is masked. Bus Master is cleared, and the
 * vector is unmasked. The message must wait.
 */
TEST_F(pci, s2_1_2_no_message_without_bus_master)
{
	struct nvme_cmd cmd = { .opcode = NVME_OP_FLUSH, .nsid = 1 };
	struct nvme *nvme = &self->f.nvme;
	struct nvme_queue *q = &nvme->io[0];
	__u32 mask = 1, pending;

	nvme_irqs(q);
	ASSERT_RET(0, nvme_write32(nvme, 0x2000 + 16 * q->id + 12, mask));
	ASSERT_LE(0, nvme_submit(nvme, q, &cmd));
	ASSERT_RET(0, nvme_ring(nvme, q));
	while ((q->cq[q->head].status & 1) != q->phase)
		usleep(100);
	EXPECT_EQ(0, nvme_irqs(q));
	ASSERT_RET(0, set_master(&self->config, false));
	mask = 0;
	ASSERT_RET(0, nvme_write32(nvme, 0x2000 + 16 * q->id + 12, mask));
	usleep(50000);
	EXPECT_EQ(0, nvme_irqs(q));
	ASSERT_RET(0, nvme_read32(nvme, 0x3000, &pending));
	EXPECT_EQ(1 << q->id, pending);
	ASSERT_RET(0, set_master(&self->config, true));
	EXPECT_EQ(1, wait_irq(q));
	ASSERT_RET(0, nvme_read32(nvme, 0x3000, &pending));
	EXPECT_EQ(0, pending);
}

static int set_power(struct region *config, __u16 state)
{
	return region_write_all(config, PM + 4, &state, 2);
}

/*
 * In D3hot the function answers accesses to configuration space only, and executes nothing.
 * No_Soft_Reset: in D0 everything is as before.
 */
TEST_F(pci, s2_2_3_a_function_that_sleeps)
{
	struct nvme_cmd cmd = { .opcode = NVME_OP_FLUSH, .nsid = 1 };
	struct nvme *nvme = &self->f.nvme;
	struct nvme_queue *q = &nvme->io[0];
	struct nvme_cqe cqe;
	__u16 state;
	__u32 value;

	ASSERT_RET(0, set_power(&self->config, 3));
	ASSERT_RET(0, region_read_all(&self->config, PM + 4, &state, 2));
	EXPECT_EQ(0xb, state);
	EXPECT_RET(-EIO, nvme_read32(nvme, REG_CSTS, &value));
	EXPECT_RET(-EIO, nvme_write32(nvme, REG_CC, 0));
	ASSERT_LE(0, nvme_submit(nvme, q, &cmd));
	EXPECT_RET(-EIO, nvme_ring(nvme, q));
	/* Also the other bits of the command register have no effect. */
	ASSERT_RET(0, set_master(&self->config, false));
	ASSERT_RET(0, set_master(&self->config, true));
	EXPECT_RET(-EIO, nvme_read32(nvme, REG_CSTS, &value));

	ASSERT_RET(0, set_power(&self->config, 0));
	EXPECT_EQ(0, nvme_wait_csts(nvme, CSTS_RDY));
	usleep(50000);
	EXPECT_EQ(0, nvme_poll(nvme, q, &cqe))
		TH_LOG("a doorbell was written in D3hot");
	ASSERT_RET(0, nvme_ring(nvme, q));
	ASSERT_RET(0, nvme_wait(nvme, q, &cqe));
	EXPECT_EQ(0, cqe.status >> 1);
}

SUITE_MAIN(suite_need_mnvme())
