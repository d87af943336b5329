// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps of VMMs with a device. Each sequence has its VMM's name: QEMU 7.2
 * (hw/vfio/migration.c, v1), QEMU 10 and 11 (v2 with pre-copy and P2P) and Cloud Hypervisor of
 * 2026 (v2 without these). The device is mscratch. The target must have the source's state,
 * and must signal its interrupt.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/dma_log.h"
#include "lib/irq.h"
#include "lib/knob.h"
#include "lib/scratch.h"
#include "lib/suite.h"
#include "lib/v1.h"
#include "lib/v2.h"

#define WINDOW_KIB	1024
#define PAGE		4096UL
#define MIB		(1UL << 20)
#define MEMORY		(4 * MIB)

#define MSI		VFIO_PCI_MSI_IRQ_INDEX
#define MSI_CONTROL	0x42		/* in mscratch's configuration space */
#define COMMAND		(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)

enum { SCRATCH = 0, DOORBELL = 4, STATUS = 8, COUNT = 12 };

static struct mdev mdev[2];

/* A device of a VMM, and the guest's actions on it */
struct vmm {
	struct device dev;
	struct region config;
	struct region regs;
	struct region bar;
	struct v1 v1;
	struct v2 v2;
	int irq;
};

struct pair {
	struct vmm from;
	struct vmm to;
	struct buffer stream;
	unsigned char *memory;		/* value that the guest wrote */
	unsigned int rings;
};

static int put(struct region *r, __u64 at, __u32 value, size_t len)
{
	value = htole32(value);
	return region_write_all(r, at, &value, len);
}

static __u32 get(struct region *r, __u64 at, size_t len)
{
	__u32 value = 0;

	return region_read_all(r, at, &value, len) ? ~0U : le32toh(value);
}

/* The setup of every VMM: the PCI command register and the interrupts */
static void set_up(struct __test_metadata *_metadata, struct vmm *vmm)
{
	ASSERT_RET(0, put(&vmm->config, PCI_COMMAND, COMMAND, 2));
	ASSERT_RET(0, irq_eventfds(&vmm->dev, MSI, 0, &vmm->irq, 1));
	ASSERT_RET(0, put(&vmm->config, MSI_CONTROL, PCI_MSI_FLAGS_ENABLE, 2));
}

static void start(struct __test_metadata *_metadata, struct vmm *vmm, int i)
{
	ASSERT_RET(0, device_open(&vmm->dev, mdev[i].path));
	ASSERT_RET(0, region_open(&vmm->config, &vmm->dev,
				  VFIO_PCI_CONFIG_REGION_INDEX));
	ASSERT_RET(0, region_open(&vmm->regs, &vmm->dev,
				  VFIO_PCI_BAR0_REGION_INDEX));
	ASSERT_RET(0, region_open(&vmm->bar, &vmm->dev,
				  VFIO_PCI_BAR2_REGION_INDEX));
	ASSERT_RET(0, v1_open(&vmm->v1, &vmm->dev));
	ASSERT_RET(0, v2_open(&vmm->v2, &vmm->dev));
	vmm->irq = irq_open();
	ASSERT_LE(0, vmm->irq);
}

static void end(struct vmm *vmm)
{
	knob_all_off(&vmm->dev);
	close(vmm->irq);
	v1_close(&vmm->v1);
	v2_close(&vmm->v2);
	device_close(&vmm->dev);
}

static void pair_start(struct __test_metadata *_metadata, struct pair *p)
{
	start(_metadata, &p->from, 0);
	start(_metadata, &p->to, 1);
	set_up(_metadata, &p->from);
	p->memory = calloc(1, MEMORY);
	ASSERT_NE(NULL, p->memory);
}

static void pair_end(struct pair *p)
{
	buffer_free(&p->stream);
	free(p->memory);
	end(&p->from);
	end(&p->to);
}

/* The guest writes some memory, a register and the doorbell. */
static void work(struct __test_metadata *_metadata, struct pair *p,
		 struct vmm *vmm)
{
	size_t page = MEMORY / PAGE, at;

	for (at = p->rings % 7 * PAGE; at < page * PAGE; at += 7 * PAGE) {
		memset(p->memory + at, p->rings + 1, PAGE);
		ASSERT_RET(0, region_write_all(&vmm->bar, at, p->memory + at, PAGE));
	}
	ASSERT_RET(0, put(&vmm->regs, SCRATCH, ++p->rings, 4));
	ASSERT_RET(0, put(&vmm->regs, DOORBELL, 1, 4));
	EXPECT_EQ(1, irq_taken(vmm->irq));
	ASSERT_RET(0, put(&vmm->regs, STATUS, 0, 4));
}

/* The device has the guest's state, and continues from there. */
static void is_there(struct __test_metadata *_metadata, struct pair *p,
		     struct vmm *vmm)
{
	unsigned char *is = malloc(MEMORY);

	ASSERT_NE(NULL, is);
	ASSERT_RET(0, region_read_all(&vmm->bar, 0, is, MEMORY));
	EXPECT_EQ(0, memcmp(is, p->memory, MEMORY));
	free(is);
	EXPECT_EQ(p->rings, get(&vmm->regs, SCRATCH, 4));
	EXPECT_EQ(p->rings, get(&vmm->regs, COUNT, 4));
	EXPECT_EQ(COMMAND, get(&vmm->config, PCI_COMMAND, 2));
	EXPECT_EQ(PCI_MSI_FLAGS_ENABLE,
		  get(&vmm->config, MSI_CONTROL, 2) & PCI_MSI_FLAGS_ENABLE);
	irq_taken(vmm->irq);
	work(_metadata, p, vmm);
}

/* QEMU 7.2 */

FIXTURE(qemu_7_2) {
	struct pair p;
};

FIXTURE_SETUP(qemu_7_2)
{
	pair_start(_metadata, &self->p);
	ASSERT_RET(0, v1_map(&self->p.from.v1));
	ASSERT_RET(0, v1_map(&self->p.to.v1));
}

FIXTURE_TEARDOWN(qemu_7_2)
{
	pair_end(&self->p);
}

/* vfio_migration_set_state(): it keeps bits that it does not know. */
static int set_v1(struct v1 *v1, __u32 mask, __u32 value)
{
	__u32 state;
	int ret = v1_read32(v1, V1_DEVICE_STATE, &state);

	return ret ? ret : v1_write32(v1, V1_DEVICE_STATE, (state & mask) | value);
}

static void save_rounds(struct __test_metadata *_metadata, struct pair *p)
{
	__u64 pending;
	int i;

	for (i = 0; i < 3; i++) {
		work(_metadata, p, &p->from);
		/* vfio_save_pending() comes before each buffer, and after it. */
		ASSERT_RET(0, v1_pending(&p->from.v1, &pending));
		ASSERT_LT(0, v1_iteration(&p->from.v1, &p->stream));
		ASSERT_RET(0, v1_pending(&p->from.v1, &pending));
	}
}

TEST_F(qemu_7_2, migrates)
{
	struct vmm *from = &self->p.from, *to = &self->p.to;
	__u64 pending = 1;

	ASSERT_RET(0, set_v1(&from->v1, ~0U, V1_STOP_COPY));
	save_rounds(_metadata, &self->p);
	/* The guest stops, and again at the completion. */
	ASSERT_RET(0, set_v1(&from->v1, ~(__u32)V1_RUNNING, 0));
	ASSERT_RET(0, set_v1(&from->v1, ~(__u32)V1_RUNNING, V1_STOP_COPY));
	while (pending) {
		ASSERT_LE(0, v1_iteration(&from->v1, &self->p.stream));
		ASSERT_RET(0, v1_pending(&from->v1, &pending));
	}
	ASSERT_RET(0, set_v1(&from->v1, ~(__u32)V1_STOP_COPY, 0));

	ASSERT_RET(0, set_v1(&to->v1, 0, V1_RESUMING));
	ASSERT_RET(0, v1_feed(&to->v1, self->p.stream.data, self->p.stream.len, 0));
	/* vfio_load_state() of VFIO_MIG_FLAG_DEV_CONFIG_STATE */
	set_up(_metadata, to);
	ASSERT_RET(0, set_v1(&to->v1, ~(__u32)V1_RESUMING, V1_RUNNING));
	is_there(_metadata, &self->p, to);
}

TEST_F(qemu_7_2, cancels)
{
	struct vmm *from = &self->p.from;

	ASSERT_RET(0, set_v1(&from->v1, ~0U, V1_STOP_COPY));
	save_rounds(_metadata, &self->p);
	ASSERT_RET(0, set_v1(&from->v1, ~(__u32)(V1_STOP_COPY | V1_RESUMING),
			     V1_RUNNING));
	is_there(_metadata, &self->p, from);
}

TEST_F(qemu_7_2, resets_the_guest_in_pre_copy)
{
	struct vmm *from = &self->p.from;

	ASSERT_RET(0, set_v1(&from->v1, ~0U, V1_STOP_COPY));
	save_rounds(_metadata, &self->p);
	ASSERT_RET(0, irq_disable(&from->dev, MSI));
	ASSERT_RET(0, device_reset(&from->dev));
	EXPECT_STATE(V1_RUNNING, &from->v1);
	set_up(_metadata, from);
	self->p.rings = 0;
	work(_metadata, &self->p, from);
}

/* QEMU 10 and 11, and steps of all VMMs that use v2 */

/* vfio_migration_set_state(): after a failure it enters @recover, or else resets the device. */
static int set_v2(struct vmm *vmm, __u32 state, __u32 recover)
{
	int ret = v2_set_state(&vmm->v2, state);

	if (ret && (recover == V2_ERROR || v2_set_state(&vmm->v2, recover)))
		device_reset(&vmm->dev);
	return ret;
}

FIXTURE(qemu_10) {
	struct pair p;
	bool pre_copy;		/* the kernel's v2 has this state */
};

FIXTURE_SETUP(qemu_10)
{
	pair_start(_metadata, &self->p);
	self->pre_copy = v2_has(&self->p.from.v2, V2_PRE_COPY);
}

FIXTURE_TEARDOWN(qemu_10)
{
	pair_end(&self->p);
}

/* vfio_save_block(): reads 1 MiB at a time, until there are no data now, or no more data. */
static void read_all(struct __test_metadata *_metadata, struct pair *p)
{
	ASSERT_LE(0, v2_drain(&p->from.v2, &p->stream, MIB));
}

static void pre_copy(struct __test_metadata *_metadata, struct pair *p)
{
	struct v2_precopy_info info;
	int i;

	ASSERT_RET(0, set_v2(&p->from, V2_PRE_COPY, V2_RUNNING));
	for (i = 0; i < 3; i++) {
		work(_metadata, p, &p->from);
		ASSERT_RET(0, v2_precopy_info(&p->from.v2, &info));
		EXPECT_NE(0, info.initial_bytes + info.dirty_bytes);
		read_all(_metadata, p);
	}
	EXPECT_RET(0, v2_precopy_info(&p->from.v2, &info));
	EXPECT_EQ(0, info.initial_bytes + info.dirty_bytes);
}

/* vfio_vmstate_change_prepare() and vfio_vmstate_change(), as the guest stops. */
static void stop(struct __test_metadata *_metadata, struct vmm *vmm, bool saving)
{
	ASSERT_RET(0, set_v2(vmm, saving ? V2_PRE_COPY_P2P : V2_RUNNING_P2P,
			     V2_ERROR));
	ASSERT_RET(0, set_v2(vmm, saving ? V2_STOP_COPY : V2_STOP, V2_ERROR));
}

static void resume(struct __test_metadata *_metadata, struct vmm *vmm)
{
	ASSERT_RET(0, set_v2(vmm, V2_RUNNING_P2P, V2_ERROR));
	ASSERT_RET(0, set_v2(vmm, V2_RUNNING, V2_ERROR));
}

static void load(struct __test_metadata *_metadata, struct pair *p)
{
	struct vmm *to = &p->to;

	stop(_metadata, to, false);
	ASSERT_RET(0, set_v2(to, V2_RESUMING, V2_STOP));
	ASSERT_RET(0, v2_feed(&to->v2, p->stream.data, p->stream.len, MIB));
	set_up(_metadata, to);
	resume(_metadata, to);
}

TEST_F(qemu_10, migrates)
{
	struct vmm *from = &self->p.from;
	__u64 size;

	if (self->pre_copy) {
		ASSERT_RET(0, v2_data_size(&from->v2, &size));
		pre_copy(_metadata, &self->p);
	}
	work(_metadata, &self->p, from);
	stop(_metadata, from, self->pre_copy);
	/* vfio_save_complete_precopy() */
	ASSERT_RET(0, set_v2(from, V2_STOP_COPY, V2_STOP));
	read_all(_metadata, &self->p);
	ASSERT_RET(0, set_v2(from, V2_STOP, V2_ERROR));
	load(_metadata, &self->p);
	is_there(_metadata, &self->p, &self->p.to);
}

TEST_F(qemu_10, cancels_in_pre_copy)
{
	struct vmm *from = &self->p.from;

	if (!self->pre_copy)
		SKIP(return, "the kernel's v2 protocol has no PRE_COPY");
	pre_copy(_metadata, &self->p);
	ASSERT_RET(0, set_v2(from, V2_RUNNING, V2_ERROR));
	is_there(_metadata, &self->p, from);
}

/*
 * QEMU 11.1 asks for new initial data once more as the guest stops. If there are any, the
 * migration fails, because the target did not acknowledge them. The guest continues at the
 * source, and moves in the next migration.
 */
TEST_F(qemu_10, new_initial_data_at_the_switchover)
{
	struct vmm *from = &self->p.from;
	struct v2_precopy_info info;

	if (!self->pre_copy || v2_precopy_opt_in(&from->v2) == -ENOTTY)
		SKIP(return, "the kernel has no VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2");
	if (!knob_there(from->dev.path))
		SKIP(return, "no fault knobs: CONFIG_VFIO_MIG_CORE_FAULT_KNOBS");
	pre_copy(_metadata, &self->p);
	ASSERT_RET(0, knob_set(&from->dev, "reinit", "1"));
	ASSERT_RET(0, set_v2(from, V2_PRE_COPY_P2P, V2_ERROR));
	ASSERT_RET(0, v2_precopy_info(&from->v2, &info));
	EXPECT_EQ(V2_PRECOPY_REINIT, info.flags);
	EXPECT_NE(0, info.initial_bytes);
	EXPECT_EQ(0, info.dirty_bytes);
	ASSERT_RET(0, set_v2(from, V2_STOP_COPY, V2_ERROR));
	resume(_metadata, from);
	is_there(_metadata, &self->p, from);

	self->p.stream.len = 0;
	pre_copy(_metadata, &self->p);
	ASSERT_RET(0, set_v2(from, V2_PRE_COPY_P2P, V2_ERROR));
	ASSERT_RET(0, v2_precopy_info(&from->v2, &info));
	EXPECT_EQ(0, info.flags);
	EXPECT_EQ(0, info.initial_bytes + info.dirty_bytes);
	ASSERT_RET(0, set_v2(from, V2_STOP_COPY, V2_ERROR));
	read_all(_metadata, &self->p);
	ASSERT_RET(0, set_v2(from, V2_STOP, V2_ERROR));
	load(_metadata, &self->p);
	is_there(_metadata, &self->p, &self->p.to);
}

/* A migration that fails in the stop-and-copy phase: the guest continues at the source. */
TEST_F(qemu_10, goes_on_at_the_source)
{
	struct vmm *from = &self->p.from;

	if (self->pre_copy)
		pre_copy(_metadata, &self->p);
	stop(_metadata, from, self->pre_copy);
	ASSERT_RET(0, set_v2(from, V2_STOP_COPY, V2_STOP));
	ASSERT_RET(0, set_v2(from, V2_STOP, V2_ERROR));
	resume(_metadata, from);
	is_there(_metadata, &self->p, from);
}

TEST_F(qemu_10, recovers_from_a_failed_transition)
{
	struct vmm *from = &self->p.from;

	if (!knob_there(from->dev.path))
		SKIP(return, "no fault knobs: CONFIG_VFIO_MIG_CORE_FAULT_KNOBS");
	work(_metadata, &self->p, from);
	stop(_metadata, from, false);
	ASSERT_RET(0, knob_set(&from->dev, "arcs", "any stop-and-copy fail 5 times 1"));
	EXPECT_RET(-EIO, set_v2(from, V2_STOP_COPY, V2_STOP));
	EXPECT_EQ(V2_STOP, v2_get_state(&from->v2));
	resume(_metadata, from);
	is_there(_metadata, &self->p, from);
}

TEST_F(qemu_10, resets_where_there_is_no_other_state)
{
	struct vmm *from = &self->p.from;

	if (!knob_there(from->dev.path))
		SKIP(return, "no fault knobs: CONFIG_VFIO_MIG_CORE_FAULT_KNOBS");
	ASSERT_RET(0, knob_set(&from->dev, "arcs", "running any break times 1"));
	EXPECT_RET(-EIO, set_v2(from, V2_STOP, V2_ERROR));
	EXPECT_EQ(V2_RUNNING, v2_get_state(&from->v2));
	set_up(_metadata, from);
	work(_metadata, &self->p, from);
}

/* Cloud Hypervisor of 2026 uses neither pre-copy nor P2P, and moves the state as one blob. */

FIXTURE(cloud_hypervisor) {
	struct pair p;
};

FIXTURE_SETUP(cloud_hypervisor)
{
	pair_start(_metadata, &self->p);
}

FIXTURE_TEARDOWN(cloud_hypervisor)
{
	pair_end(&self->p);
}

static void save_stopped(struct __test_metadata *_metadata, struct pair *p)
{
	ASSERT_RET(0, set_v2(&p->from, V2_STOP_COPY, V2_STOP));
	ASSERT_LT(0, v2_drain(&p->from.v2, &p->stream, MIB));
	ASSERT_RET(0, set_v2(&p->from, V2_STOP, V2_RUNNING));
}

static void save_blob(struct __test_metadata *_metadata, struct pair *p)
{
	work(_metadata, p, &p->from);
	ASSERT_RET(0, set_v2(&p->from, V2_STOP, V2_RUNNING));
	save_stopped(_metadata, p);
}

static void load_blob(struct __test_metadata *_metadata, struct pair *p)
{
	struct vmm *to = &p->to;

	ASSERT_RET(0, set_v2(to, V2_RESUMING, V2_RUNNING));
	ASSERT_RET(0, v2_feed(&to->v2, p->stream.data, p->stream.len, 0));
	/* Cloud Hypervisor sets up the device while it is RESUMING. */
	set_up(_metadata, to);
	ASSERT_RET(0, set_v2(to, V2_RUNNING, V2_ERROR));
}

TEST_F(cloud_hypervisor, migrates)
{
	save_blob(_metadata, &self->p);
	load_blob(_metadata, &self->p);
	is_there(_metadata, &self->p, &self->p.to);
}

/*
 * VfioPciDevice::start_dirty_log(): it refuses to migrate a device without a log. mscratch does
 * no DMA, so the log has no pages.
 */
TEST_F(cloud_hypervisor, migrates_with_a_log_of_DMA)
{
	struct vfio_device_feature_dma_logging_range ram = { 0, MEMORY };
	struct v2 *from = &self->p.from.v2;
	__u64 dirty[MEMORY / PAGE / 64] = { 0 }, none[MEMORY / PAGE / 64] = { 0 };

	if (!dma_log_in_kernel())
		SKIP(return, "the kernel has no iova_bitmap: CONFIG_IOMMUFD_DRIVER");
	ASSERT_RET(0, dma_log_start(from, &ram, 1, PAGE));
	work(_metadata, &self->p, &self->p.from);
	EXPECT_RET(0, dma_log_report(from, ram.iova, ram.length, PAGE, dirty));
	ASSERT_RET(0, set_v2(&self->p.from, V2_STOP, V2_ERROR));
	EXPECT_RET(0, dma_log_report(from, ram.iova, ram.length, PAGE, dirty));
	EXPECT_EQ(0, memcmp(dirty, none, sizeof(dirty)));
	save_stopped(_metadata, &self->p);
	EXPECT_RET(0, dma_log_stop(from));
	load_blob(_metadata, &self->p);
	is_there(_metadata, &self->p, &self->p.to);
}

TEST_F(cloud_hypervisor, goes_on_at_the_source)
{
	save_blob(_metadata, &self->p);
	ASSERT_RET(0, set_v2(&self->p.from, V2_RUNNING, V2_ERROR));
	is_there(_metadata, &self->p, &self->p.from);
}

/* The VMM enters the state to recover to, resets the device, and loads the state again. */
TEST_F(cloud_hypervisor, resets_after_a_load_that_failed)
{
	struct pair *p = &self->p;

	save_blob(_metadata, p);
	ASSERT_RET(0, set_v2(&p->to, V2_RESUMING, V2_RUNNING));
	ASSERT_RET(0, v2_feed(&p->to.v2, p->stream.data, p->stream.len / 2, 0));
	set_up(_metadata, &p->to);
	EXPECT_GT(0, set_v2(&p->to, V2_RUNNING, V2_STOP));
	ASSERT_RET(0, irq_disable(&p->to.dev, MSI));
	ASSERT_RET(0, device_reset(&p->to.dev));
	EXPECT_EQ(V2_RUNNING, v2_get_state(&p->to.v2));
	load_blob(_metadata, p);
	is_there(_metadata, p, &p->to);
}

int main(int argc, char **argv)
{
	(void)argc;
	scratch_create(mdev, WINDOW_KIB);
	SUITE_RUN(argv);
}
