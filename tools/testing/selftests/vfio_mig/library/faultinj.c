// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lets an operation fail at each point at which it can lack memory, or at which the user's
 * memory is missing. The first attempt fails at the first point, the second attempt at the
 * second point, and so on until the operation succeeds. The operation must return the errno of
 * the failure, leave the state unchanged, and succeed when it is repeated.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/fault_each.h"
#include "lib/file.h"
#include "lib/fixture.h"
#include "lib/nvme.h"
#include "lib/v2.h"

/**
 * struct world - data of the operations
 * @dev: two devices; the operations work on the first one
 * @v1: their migration regions
 * @v2: the first device's v2
 * @to: the second device's v2
 * @has_v2: the devices have v2
 * @guest: memory for DMA
 * @nvme: a driver of the first device
 * @stream: a saved state of the first device
 * @at: position in @stream
 * @types: file that creates a device
 * @transition: states before and after a transition
 */
struct world {
	struct device dev[2];
	struct v1 v1[2];
	struct v2 v2;
	struct v2 to;
	bool has_v2;
	struct guest guest;
	struct nvme nvme;
	struct buffer stream;
	size_t at;
	char types[PATH_MAX];
	__u32 transition[2];
};

FIXTURE(fault) {
	struct world w;
};

FIXTURE_SETUP(fault)
{
	struct world *w = &self->w;
	int i;

	w->nvme.guest = NULL;
	ASSERT_RET(0, guest_create(&w->guest, 8 << 20));
	for (i = 0; i < 2; i++) {
		fixture_open(_metadata, i ? suite_device_b() : suite_device(),
			     &w->dev[i], &w->v1[i]);
		ASSERT_RET(0, guest_attach(&w->guest, &w->dev[i]));
	}
	w->has_v2 = !v2_open(&w->v2, &w->dev[0]);
	ASSERT_EQ(0, nvme_start(&w->nvme, &w->dev[0], &w->guest, 1, 16));
	/* Something to send. */
	ASSERT_EQ(0, nvme_io(&w->nvme, NVME_OP_WRITE, 0, 8, w->guest.mem));
}

FIXTURE_TEARDOWN(fault)
{
	struct world *w = &self->w;
	int i;

	if (!w->guest.size)
		return;
	nvme_close(&w->nvme);
	v2_close(&w->v2);
	for (i = 0; i < 2; i++)
		fixture_close(&w->dev[i], &w->v1[i]);
	guest_destroy(&w->guest);
	buffer_free(&w->stream);
}

/* Opens: group, container and device, or character device and iommufd */

static int close_b(struct world *w)
{
	v1_close(&w->v1[1]);
	device_close(&w->dev[1]);
	return 0;
}

static int open_b(struct world *w)
{
	return device_open(&w->dev[1], suite_device_b());
}

static int map_b(struct world *w)
{
	return guest_attach(&w->guest, &w->dev[1]);
}

static int unmap_b(struct world *w)
{
	guest_detach(&w->guest, &w->dev[1]);
	return 0;
}

TEST_F_TIMEOUT(fault, opening, 300)
{
	static const struct operation ops[] = {
		{ "open", close_b, open_b, close_b },
		/* iommufd maps the memory, and may then fail to return its address. */
		{ "map memory for DMA", unmap_b, map_b, unmap_b },
	};

	fail_all(_metadata, &self->w, ops, ARRAY_SIZE(ops));
	EXPECT_RET(0, v1_open(&self->w.v1[1], &self->w.dev[1]));
}

/* Creates and removes devices. */

#define UUID	"76ffffff-0000-4000-8000-00000000fa17"

static int no_mdev(struct world *w)
{
	(void)w;
	if (access("/sys/bus/mdev/devices/" UUID, F_OK))
		return 0;
	return file_write("/sys/bus/mdev/devices/" UUID "/remove", "1");
}

static int is_gone(struct world *w)
{
	(void)w;
	return access("/sys/bus/mdev/devices/" UUID, F_OK) ? 0 : -EEXIST;
}

static int create(struct world *w)
{
	return file_write(w->types, UUID);
}

static int an_mdev(struct world *w)
{
	int ret = no_mdev(w);

	return ret ? ret : create(w);
}

static int remove_it(struct world *w)
{
	(void)w;
	return file_write("/sys/bus/mdev/devices/" UUID "/remove", "1");
}

TEST_F_TIMEOUT(fault, creating_and_removing, 300)
{
	static const struct operation ops[] = {
		{ "create", no_mdev, create, is_gone },
		{ "remove", an_mdev, remove_it },
	};

	snprintf(self->w.types, sizeof(self->w.types),
		 "%s/mdev_type/create", suite_device());
	fail_all(_metadata, &self->w, ops, ARRAY_SIZE(ops));
	EXPECT_RET(0, no_mdev(&self->w));
}

/* Transitions of v1. */

static int before_transition(struct world *w)
{
	int ret = 0;

	/* From 011 the device can enter 010 directly. */
	if (v1_get_state(&w->v1[0]) != w->transition[0])
		ret = v1_go(&w->v1[0], w->transition[0]);
	return ret;
}

static int transition(struct world *w)
{
	return v1_set_state(&w->v1[0], w->transition[1]);
}

static int transition_intact(struct world *w)
{
	long state = v1_get_state(&w->v1[0]);

	return state == (long)w->transition[0] ? 0 : state < 0 ? state : -EPROTO;
}

TEST_F_TIMEOUT(fault, v1_transitions, 300)
{
	static const __u32 transitions[][2] = {
		{ V1_RUNNING, V1_STOPPED }, { V1_STOPPED, V1_RUNNING },
		{ V1_RUNNING, V1_PRE_COPY }, { V1_PRE_COPY, V1_STOP_COPY },
		{ V1_RUNNING, V1_STOP_COPY }, { V1_STOPPED, V1_STOP_COPY },
		{ V1_PRE_COPY, V1_RUNNING }, { V1_STOP_COPY, V1_STOPPED },
		{ V1_RUNNING, V1_RESUMING }, { V1_STOPPED, V1_RESUMING },
	};
	static const struct operation op = {
		"transition", before_transition, transition, transition_intact
	};
	struct world *w = &self->w;
	unsigned int points;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(transitions); i++) {
		memcpy(w->transition, transitions[i], sizeof(w->transition));
		points = fail_each(_metadata, w, &op);
		ksft_print_msg("%s to %s: %u points\n",
			       v1_state_name(w->transition[0]), v1_state_name(w->transition[1]),
			       points);
		ASSERT_RET(0, v1_go(&w->v1[0], V1_RUNNING));
	}
}

/* A save and a load by v1. Each step fails at each of its points. */

static int pending(struct world *w)
{
	__u64 bytes;

	return v1_pending(&w->v1[0], &bytes);
}

static int open_iteration(struct world *w)
{
	__u64 offset;

	return v1_data_offset(&w->v1[0], &offset);
}

static int size(struct world *w)
{
	__u64 bytes;

	return v1_data_size(&w->v1[0], &bytes);
}

/* Allocates the buffer before allocations fail. */
static int room(struct world *w)
{
	w->stream.len = w->at;
	buffer_grow(&w->stream, w->v1[0].window);
	w->stream.len = w->at;
	return 0;
}

static int take_data(struct world *w)
{
	ssize_t ret;

	w->stream.len = w->at;
	ret = v1_iteration(&w->v1[0], &w->stream);
	return ret < 0 ? ret : 0;
}

static int give(struct world *w)
{
	size_t left = w->stream.len - w->at;

	return v1_feed(&w->v1[1], w->stream.data + w->at,
		       left < w->v1[1].window ? left : w->v1[1].window, 0);
}

/* A device takes a stream once. */
static int new_load(struct world *w)
{
	int ret = device_reset(&w->dev[1]);

	return ret ? ret : v1_set_state(&w->v1[1], V1_RESUMING);
}

static int resume(struct world *w)
{
	return v1_set_state(&w->v1[1], V1_RUNNING);
}

static void save_failing(struct __test_metadata *_metadata, struct world *w)
{
	static const struct operation steps[] = {
		{ "pending_bytes", NULL, pending },
		{ "data_size", NULL, size },
		{ "data", room, take_data },
	};
	static const struct operation open = {
		"data_offset", NULL, open_iteration
	};
	__u64 bytes;

	w->at = 0;
	for (;;) {
		/*
		 * The read of pending_bytes concludes the iteration, but not if its data
		 * was not read.
		 */
		ASSERT_RET(0, v1_pending(&w->v1[0], &bytes));
		if (!bytes)
			break;
		fail_each(_metadata, w, &steps[0]);
		fail_each(_metadata, w, &open);
		fail_all(_metadata, w, steps + 1, 2);
		w->at = w->stream.len;
	}
}

TEST_F_TIMEOUT(fault, v1_save_and_load, 300)
{
	static const struct operation commit = { "commit", new_load, give };
	static const struct operation run = { "100 to 001", NULL, resume };
	struct world *w = &self->w;

	ASSERT_RET(0, v1_set_state(&w->v1[0], V1_PRE_COPY));
	save_failing(_metadata, w);
	ASSERT_RET(0, v1_set_state(&w->v1[0], V1_STOP_COPY));
	w->stream.len = 0;
	ASSERT_RET(0, v1_go(&w->v1[0], V1_STOP_COPY));
	save_failing(_metadata, w);

	/* Reads the whole stream again without faults, and loads it into the other device. */
	ASSERT_RET(0, v1_go(&w->v1[0], V1_RUNNING));
	w->stream.len = 0;
	ASSERT_RET(0, v1_save(&w->v1[0], &w->stream));
	w->at = 0;
	ksft_print_msg("commit: %u points\n", fail_each(_metadata, w, &commit));
	fail_each(_metadata, w, &run);
	EXPECT_STATE(V1_RUNNING, &w->v1[1]);
}

/* Mappings of the data section */

static int unmapped(struct world *w)
{
	v1_unmap(&w->v1[0]);
	return 0;
}

static int map_window(struct world *w)
{
	return v1_map(&w->v1[0]);
}

static int touch(struct world *w)
{
	memset(w->v1[0].map, 1, w->v1[0].window);
	return 0;
}

static int another_window(struct world *w)
{
	v1_unmap(&w->v1[0]);
	return v1_map(&w->v1[0]);
}

TEST_F(fault, mappings)
{
	static const struct operation ops[] = {
		{ "mmap", unmapped, map_window, unmapped },
		{ "fault", another_window, touch },
	};

	ASSERT_RET(0, v1_set_state(&self->w.v1[0], V1_RESUMING));
	fail_all(_metadata, &self->w, ops, ARRAY_SIZE(ops));
}

/* Reset and interrupts. */

static int reset(struct world *w)
{
	return device_reset(&w->dev[0]);
}

static int irqs(struct world *w)
{
	return device_irq_eventfds(&w->dev[0], VFIO_PCI_MSIX_IRQ_INDEX,
				   &w->nvme.admin.eventfd, 1);
}

static int no_irqs(struct world *w)
{
	return device_irq_disable(&w->dev[0], VFIO_PCI_MSIX_IRQ_INDEX);
}

TEST_F(fault, reset_and_interrupts)
{
	static const struct operation ops[] = {
		{ "set interrupts", no_irqs, irqs },
		{ "reset", NULL, reset },
	};

	fail_all(_metadata, &self->w, ops, ARRAY_SIZE(ops));
}

/* The same operations by v2 */

static int before_v2(struct world *w)
{
	int ret = 0;

	v2_close(&w->v2);
	if (v2_get_state(&w->v2) != V2_RUNNING)
		ret = v2_set_state(&w->v2, V2_RUNNING);
	if (ret)
		ret = device_reset(&w->dev[0]);
	return ret || w->transition[0] == V2_RUNNING ? ret :
	       v2_set_state(&w->v2, w->transition[0]);
}

static int transition_v2(struct world *w)
{
	return v2_set_state(&w->v2, w->transition[1]);
}

/*
 * The VFIO core goes through a transition in steps, and creates the file descriptor at the
 * end. If the latter fails, the state is an intermediate one or the new one.
 */
static int v2_intact(struct world *w)
{
	long state = v2_get_state(&w->v2);

	if (state <= V2_ERROR)
		return state < 0 ? state : -EPROTO;
	return before_v2(w);
}

TEST_F_TIMEOUT(fault, v2_transitions, 300)
{
	static const __u32 transitions[][2] = {
		{ V2_RUNNING, V2_STOP }, { V2_STOP, V2_RUNNING },
		{ V2_RUNNING, V2_PRE_COPY }, { V2_PRE_COPY, V2_STOP_COPY },
		{ V2_RUNNING, V2_STOP_COPY }, { V2_STOP, V2_RESUMING },
		{ V2_STOP_COPY, V2_STOP },
	};
	static const struct operation op = { "transition", before_v2, transition_v2, v2_intact };
	struct world *w = &self->w;
	unsigned int points;
	size_t i;

	if (!w->has_v2)
		SKIP(return, "no v2");
	for (i = 0; i < ARRAY_SIZE(transitions); i++) {
		memcpy(w->transition, transitions[i], sizeof(w->transition));
		if (!v2_has(&w->v2, transitions[i][0]) || !v2_has(&w->v2, transitions[i][1]))
			continue;
		points = fail_each(_metadata, w, &op);
		ksft_print_msg("%s to %s: %u points\n", v2_state_name(transitions[i][0]),
			       v2_state_name(transitions[i][1]), points);
	}
}

#define PORTION	8192

/* A read or write that fails takes nothing. A short one continues. */
static int read_v2(struct world *w)
{
	ssize_t ret;

	w->stream.len = w->at;
	ret = v2_read(&w->v2, w->stream.data + w->at, PORTION);
	if (ret < 0)
		return ret;
	w->at += ret;
	return 0;
}

static int room_v2(struct world *w)
{
	w->stream.len = w->at;
	buffer_grow(&w->stream, PORTION);
	w->stream.len = w->at;
	return 0;
}

/* A device takes a stream once, from its beginning, if it has no part of it. */
static int new_load_v2(struct world *w)
{
	int ret;

	w->at = 0;
	v2_close(&w->to);
	ret = device_reset(&w->dev[1]);
	return ret ? ret : v2_set_state(&w->to, V2_RESUMING);
}

/* Writes the rest. Data that was taken before a write failed is not written again. */
static int give_v2(struct world *w)
{
	size_t left;
	ssize_t ret;

	while ((left = w->stream.len - w->at)) {
		ret = v2_write(&w->to, w->stream.data + w->at,
			       left < PORTION ? left : PORTION);
		if (ret <= 0)
			return ret ? ret : -EIO;
		w->at += ret;
	}
	return 0;
}

TEST_F_TIMEOUT(fault, v2_save_and_load, 300)
{
	static const struct operation take = { "read", room_v2, read_v2 };
	static const struct operation give = { "write", new_load_v2, give_v2 };
	struct world *w = &self->w;
	unsigned int points = 0;
	size_t at;

	if (!w->has_v2)
		SKIP(return, "no v2");
	ASSERT_RET(0, v2_set_state(&w->v2, V2_STOP_COPY));
	do {
		at = w->at;
		points += fail_each(_metadata, w, &take);
	} while (w->at != at);
	w->stream.len = w->at;
	ksft_print_msg("read: %u points\n", points);

	ASSERT_RET(0, v2_open(&w->to, &w->dev[1]));
	ksft_print_msg("write: %u points\n", fail_each(_metadata, w, &give));
	ASSERT_RET(0, v2_set_state(&w->to, V2_RUNNING));
	v2_close(&w->to);
}

static void need_faults(void)
{
	suite_need_v1();
	suite_need_nvme();
	suite_need_mnvme();
	suite_need_b();
	fault_need();
	/*
	 * If VFIO cannot create a group, it drops one that is set up. vfio_group_release()
	 * has a WARN_ON(iommu_group) for that.
	 */
	fault_spare("vfio_create_group");
}

SUITE_MAIN(need_faults())
