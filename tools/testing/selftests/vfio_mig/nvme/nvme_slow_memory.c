// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory that does not answer, in each place where a controller accesses it: queues,
 * lists, data and doorbell pages of each kind of command. Meanwhile the controller's
 * registers, other queues, reset and stop must work, and no other user may notice. SIGKILL
 * ends the process. When the memory answers, the command completes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "lib/bystander.h"
#include "lib/child.h"
#include "lib/clock.h"
#include "lib/file.h"
#include "lib/fixture.h"
#include "lib/nvme.h"
#include "lib/nvme_fixture.h"
#include "lib/nvme_third.h"
#include "lib/slow.h"
#include "lib/waiter.h"

#define SLOW_BYTES	(64UL << 10)
#define SLOW_IOVA	0x100000000ULL
#define DOORBELLS_IOVA	0x200000000ULL
#define REACH		5.0	/* seconds until the controller accesses the memory */
#define GONE		10.0	/* seconds until a killed process is gone */
#define SOON		3.0	/* most seconds of any other action */
#define REGISTER	0.010	/* most seconds of an access to a register */
#define ACCESSES	100

#define ADMIN_GET_LOG		0x02
#define ADMIN_IDENTIFY		0x06

#define NR_BLOCKS		64	/* 32 KiB, which need a PRP list */

/* The controller's access to the memory. With write protection only stores wait. */
enum touch { LOADS = 1, STORES = 2 };

struct user;

/**
 * struct place - a place of the memory
 * @name: name for messages
 * @touch: the controller's access to the memory
 * @admin: the admin queue waits
 * @every: all queues need the memory
 * @completes: a command completes when the memory answers
 * @posts: a completion waits, so a stop waits as well
 * @begin: makes the controller use the memory; returns 0, a negative errno or an NVMe status
 * @opcode: opcode of the command
 */
struct place {
	const char *name;
	enum touch touch;
	bool admin;
	bool every;
	bool completes;
	bool posts;
	int (*begin)(struct user *u, const struct place *p);
	__u8 opcode;
};

/**
 * enum then - the event while the memory does not answer
 * @THEN_NOTHING: none, because the process will be killed
 * @THEN_RESET: VFIO_DEVICE_RESET
 * @THEN_DISABLE: CC.EN is cleared
 * @THEN_STOP: the device is stopped, and runs again
 * @THEN_DELETE: the queue that waits is deleted
 * @THEN_ANSWER: the memory answers
 */
enum then {
	THEN_NOTHING,
	THEN_RESET,
	THEN_DISABLE,
	THEN_STOP,
	THEN_DELETE,
	THEN_ANSWER,
};

/**
 * struct user - the process that has the device
 * @place: place of the memory
 * @then: event while the memory does not answer
 * @path: device
 * @fresh: whether the controller was started again
 * @failed: shared with the parent: message of a failure
 * @go: shared with the parent: the parent has seen that the controller waits
 */
struct user {
	const struct place *place;
	enum then then;
	const char *path;
	char *failed;
	volatile int *go;
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct nvme nvme;
	struct slow *slow;
	unsigned char *data;
	bool fresh;
};

/* The places. */

static int submit(struct user *u, struct nvme_queue *q, struct nvme_cmd *cmd)
{
	int cid = nvme_submit(&u->nvme, q, cmd);

	return cid < 0 ? cid : nvme_ring(&u->nvme, q);
}

static int io(struct user *u, const struct place *p, __u64 prp1, __u64 prp2, __u32 nr)
{
	struct nvme_cmd cmd = {
		.opcode = p->opcode, .nsid = 1, .prp1 = prp1, .prp2 = prp2,
		.cdw12 = nr - 1,
	};

	return submit(u, &u->nvme.io[0], &cmd);
}

static int begin_data(struct user *u, const struct place *p)
{
	return io(u, p, SLOW_IOVA, 0, 8);
}

/* The first page answers. */
static int begin_second_page(struct user *u, const struct place *p)
{
	return io(u, p, guest_iova(&u->guest, u->data), SLOW_IOVA, 16);
}

static int begin_prp_list(struct user *u, const struct place *p)
{
	return io(u, p, guest_iova(&u->guest, u->data), SLOW_IOVA, NR_BLOCKS);
}

static int begin_sgl(struct user *u, const struct place *p)
{
	struct nvme_cmd cmd = {
		.opcode = p->opcode, .nsid = 1, .cdw12 = 7,
	};

	nvme_cmd_sgl(&cmd, SLOW_IOVA, 2);
	return submit(u, &u->nvme.io[0], &cmd);
}

/* One range of Dataset Management or of Copy */
static int begin_ranges(struct user *u, const struct place *p)
{
	struct nvme_cmd cmd = {
		.opcode = p->opcode, .nsid = 1, .prp1 = SLOW_IOVA,
		.cdw11 = p->opcode == NVME_OP_DSM ? 4 : 0,
	};

	return submit(u, &u->nvme.io[0], &cmd);
}

static int begin_admin(struct user *u, const struct place *p)
{
	struct nvme_cmd cmd = {
		.opcode = p->opcode, .prp1 = SLOW_IOVA,
		.cdw10 = p->opcode == ADMIN_IDENTIFY ? 1 : 1 | 127 << 16,
	};

	return submit(u, &u->nvme.admin, &cmd);
}

static int begin_sq(struct user *u, const struct place *p)
{
	int ret = create_third(&u->nvme, SLOW_IOVA, guest_iova(&u->guest, u->data));

	(void)p;
	return ret ? ret : ring_third(&u->nvme, 2);
}

static int begin_cq(struct user *u, const struct place *p)
{
	int ret = create_third(&u->nvme, guest_iova(&u->guest, u->data), SLOW_IOVA);

	(void)p;
	memset(u->data, 0, GUEST_PAGE);
	return ret ? ret : ring_third(&u->nvme, 2);
}

/* Doorbell Buffer Config accesses its pages itself. */
static int begin_dbbuf(struct user *u, const struct place *p)
{
	__u64 there = guest_iova(&u->guest, u->data);
	struct nvme_cmd cmd = { .opcode = 0x7c, .prp1 = SLOW_IOVA, .prp2 = there };

	if (p->touch == STORES) {
		cmd.prp1 = there;
		cmd.prp2 = SLOW_IOVA;
	}
	return submit(u, &u->nvme.admin, &cmd);
}

/*
 * The doorbell pages do not answer any more, because other memory is at their addresses.
 * The new values are 0, as those of the queues are.
 */
static int begin_doorbells(struct user *u, const struct place *p)
{
	unsigned char *pages = guest_alloc(&u->guest, 2 * GUEST_PAGE);
	struct nvme_cmd cmd = { .opcode = ADMIN_IDENTIFY, .cdw10 = 1 };
	__u64 slow = DOORBELLS_IOVA;
	int ret;

	ret = device_map(&u->dev, pages, DOORBELLS_IOVA, 2 * GUEST_PAGE);
	if (!ret)
		ret = nvme_dbbuf_at(&u->nvme, DOORBELLS_IOVA,
				    DOORBELLS_IOVA + GUEST_PAGE);
	cmd.prp1 = guest_iova(&u->guest, u->data);
	while (!ret && u->nvme.admin.tail)
		ret = nvme_do(&u->nvme, &u->nvme.admin, &cmd, NULL);
	/* A stopped device does not read the pages while none is there. */
	if (!ret)
		ret = v1_set_state(&u->v1, V1_STOPPED);
	if (!ret)
		ret = device_unmap(&u->dev, DOORBELLS_IOVA, 2 * GUEST_PAGE);
	if (ret)
		return ret;

	if (p->touch == STORES)
		slow += GUEST_PAGE;
	ret = device_map(&u->dev, pages, 2 * DOORBELLS_IOVA - slow + GUEST_PAGE,
			 GUEST_PAGE);
	if (!ret)
		ret = device_map(&u->dev, u->slow->mem, slow, GUEST_PAGE);
	if (!ret)
		ret = v1_set_state(&u->v1, V1_RUNNING);
	return ret ? ret : submit(u, &u->nvme.admin, &cmd);
}

static const struct place places[] = {
	{ "data of a Read", STORES, .completes = true, .begin = begin_data,
	  .opcode = NVME_OP_READ },
	{ "second page of a Read", STORES, .completes = true,
	  .begin = begin_second_page, .opcode = NVME_OP_READ },
	{ "data of a Write", LOADS, .completes = true, .begin = begin_data,
	  .opcode = NVME_OP_WRITE },
	{ "second page of a Write", LOADS, .completes = true,
	  .begin = begin_second_page, .opcode = NVME_OP_WRITE },
	{ "data of a Compare", LOADS, .completes = true, .begin = begin_data,
	  .opcode = NVME_OP_COMPARE },
	{ "PRP list of a Read", LOADS, .completes = true, .begin = begin_prp_list,
	  .opcode = NVME_OP_READ },
	{ "PRP list of a Write", LOADS, .completes = true, .begin = begin_prp_list,
	  .opcode = NVME_OP_WRITE },
	{ "SGL segment of a Read", LOADS, .completes = true, .begin = begin_sgl,
	  .opcode = NVME_OP_READ },
	{ "ranges of a Dataset Management", LOADS, .completes = true,
	  .begin = begin_ranges, .opcode = NVME_OP_DSM },
	{ "ranges of a Copy", LOADS, .completes = true, .begin = begin_ranges,
	  .opcode = NVME_OP_COPY },
	{ "submission queue", LOADS, .begin = begin_sq },
	{ "completion queue", STORES, .posts = true, .begin = begin_cq },
	{ "data of an Identify", STORES, .admin = true, .completes = true,
	  .begin = begin_admin, .opcode = ADMIN_IDENTIFY },
	{ "data of a Get Log Page", STORES, .admin = true, .completes = true,
	  .begin = begin_admin, .opcode = ADMIN_GET_LOG },
	{ "shadow doorbells", LOADS, .admin = true, .completes = true,
	  .begin = begin_dbbuf },
	{ "EventIdx", STORES, .admin = true, .completes = true,
	  .begin = begin_dbbuf },
	{ "shadow doorbells that are there no more", LOADS, .admin = true, .every = true,
	  .completes = true, .begin = begin_doorbells },
	{ "EventIdx that is there no more", STORES, .admin = true, .every = true,
	  .completes = true, .begin = begin_doorbells },
};

/* Runs in the process that has the device. Stores a message if the call failed. */

static int fails(struct user *u, int ret, const char *what, ...)
{
	va_list args;

	va_start(args, what);
	vsnprintf(u->failed, GUEST_PAGE, what, args);
	va_end(args);
	return ret ? ret : -EIO;
}

static int open_all(struct user *u)
{
	int ret;

	ret = device_open(&u->dev, u->path);
	if (!ret)
		ret = v1_open(&u->v1, &u->dev);
	if (!ret)
		ret = guest_create(&u->guest, 4 << 20);
	if (!ret)
		ret = guest_attach(&u->guest, &u->dev);
	if (!ret)
		ret = slow_map(u->slow, 0, "", 0);
	if (!ret)
		ret = device_map(&u->dev, u->slow->mem, SLOW_IOVA, SLOW_BYTES);
	if (!ret)
		ret = nvme_start(&u->nvme, &u->dev, &u->guest, 2, 16);
	u->data = guest_alloc(&u->guest, NR_BLOCKS * 512);
	return ret;
}

/* Returns the slowest of some accesses to registers and configuration space. */
static int check_registers(struct user *u)
{
	double start, took, slowest = 0, limit = waiter_patience(REGISTER);
	struct region config;
	int i, ret, late = 0;
	__u32 value;

	ret = region_open(&config, &u->dev, VFIO_PCI_CONFIG_REGION_INDEX);
	for (i = 0; !ret && i < ACCESSES; i++) {
		start = clock_now();
		ret = nvme_read32(&u->nvme, REG_CSTS, &value);
		if (!ret)
			ret = region_read_all(&config, 0, &value, sizeof(value));
		/* Writes a doorbell of the queue that waits. */
		if (!ret)
			ret = nvme_ring(&u->nvme, &u->nvme.io[0]);
		took = clock_now() - start;
		slowest = took > slowest ? took : slowest;
		late += took > limit;
		usleep(500);
	}
	if (ret)
		return fails(u, ret, "registers do not answer");
	/* The machine has other work, so a few of many accesses may be late. */
	if (late > ACCESSES / 5 || slowest > waiter_patience(SOON))
		return fails(u, 0, "%d of %d accesses of registers were late, one took %.1f ms",
			     late, ACCESSES, slowest * 1e3);
	return 0;
}

static int check_queued(struct user *u)
{
	char path[PATH_MAX + 16], text[64];
	double start = clock_now();
	int ret;

	snprintf(path, sizeof(path), "%s/queued", u->path);
	ret = file_read(path, text, sizeof(text));
	if (ret || clock_now() - start > waiter_patience(SOON))
		return fails(u, ret, "queued does not answer");
	return 0;
}

static int check_other_queue(struct user *u)
{
	struct nvme_queue *q = &u->nvme.io[1];
	struct nvme_cmd cmd = {
		.opcode = NVME_OP_WRITE, .nsid = 1, .cdw10 = 4096, .cdw12 = 7,
		.prp1 = guest_iova(&u->guest, u->data + GUEST_PAGE),
	};
	double start = clock_now();
	int i, ret;

	if (u->place->every && !u->fresh)
		return 0;
	for (i = 0; i < 20; i++) {
		cmd.opcode = i % 2 ? NVME_OP_READ : NVME_OP_WRITE;
		ret = nvme_do(&u->nvme, q, &cmd, NULL);
		if (ret)
			return fails(u, ret, "the other queue does not work: %d", ret);
	}
	if (clock_now() - start > waiter_patience(2 * SOON))
		return fails(u, 0, "20 commands of another queue took %.2f s",
			     clock_now() - start);
	return 0;
}

/* The controller works as a new one does. */
static int check_fresh(struct user *u)
{
	int ret;

	u->guest.used = 0;
	ret = nvme_start(&u->nvme, &u->dev, &u->guest, 2, 16);
	u->data = guest_alloc(&u->guest, NR_BLOCKS * 512);
	u->fresh = true;
	if (ret)
		return fails(u, ret, "the controller does not start again");
	return check_other_queue(u);
}

static int do_reset(struct user *u)
{
	double start = clock_now();
	int ret = device_reset(&u->dev);

	if (ret || clock_now() - start > waiter_patience(SOON))
		return fails(u, ret, "reset took %.2f s", clock_now() - start);
	return check_fresh(u);
}

static int do_disable(struct user *u)
{
	double until = clock_now() + waiter_patience(SOON);
	__u32 csts;
	int ret;

	ret = nvme_write32(&u->nvme, REG_CC, 0);
	do {
		if (!ret)
			ret = nvme_read32(&u->nvme, REG_CSTS, &csts);
		if (ret || clock_now() > until)
			return fails(u, ret, "RDY stays after CC.EN was cleared");
		usleep(1000);
	} while (csts & CSTS_RDY);
	return check_fresh(u);
}

static int do_stop(struct user *u)
{
	bool posts = u->place->posts;
	double start = clock_now();
	int ret;

	ret = v1_set_state(&u->v1, V1_STOPPED);
	if (posts && ret != -ETIMEDOUT)
		return fails(u, ret, "a stop that cannot post: %d", ret);
	if (!posts && (ret || clock_now() - start > waiter_patience(SOON)))
		return fails(u, ret, "the stop took %.2f s: %d", clock_now() - start, ret);
	ret = posts ? 0 : v1_set_state(&u->v1, V1_RUNNING);
	if (ret)
		return fails(u, ret, "it does not run again");
	return check_other_queue(u);
}

static int do_delete(struct user *u)
{
	struct nvme_cmd cmd = { .opcode = ADMIN_DELETE_SQ, .cdw10 = 1 };
	double start = clock_now();
	int ret;

	if (u->place->admin)
		return 0;
	if (u->place->begin == begin_sq || u->place->begin == begin_cq)
		cmd.cdw10 = THIRD;
	ret = nvme_do(&u->nvme, &u->nvme.admin, &cmd, NULL);
	if (ret || clock_now() - start > waiter_patience(SOON))
		return fails(u, ret, "Delete took %.2f s: %d", clock_now() - start, ret);
	return check_other_queue(u);
}

/* The parent makes the memory answer. */
static int do_answer(struct user *u)
{
	struct nvme_queue *q = u->place->admin ? &u->nvme.admin : &u->nvme.io[0];
	struct nvme_cqe cqe;
	int ret;

	*u->go = 2;
	if (!u->place->completes)
		return check_other_queue(u);
	ret = nvme_wait(&u->nvme, q, &cqe);
	if (ret)
		return fails(u, ret, "there is no completion");
	/* The doorbells are in memory from now on, which the driver does not know. */
	return u->place->begin == begin_dbbuf ? 0 : check_other_queue(u);
}

static long use_slow(struct slow *s, void *arg)
{
	struct user *u = arg;
	int ret;

	u->slow = s;
	ret = open_all(u);
	if (ret)
		return fails(u, ret, "the device does not start: %d", ret);
	ret = u->place->begin(u, u->place);
	if (ret)
		return fails(u, ret, "it does not begin: %d", ret);
	while (!*u->go)
		usleep(1000);

	ret = check_registers(u);
	if (!ret)
		ret = check_queued(u);
	if (!ret)
		ret = check_other_queue(u);
	if (ret)
		return ret;
	switch (u->then) {
	case THEN_RESET:
		return do_reset(u);
	case THEN_DISABLE:
		return do_disable(u);
	case THEN_STOP:
		return do_stop(u);
	case THEN_DELETE:
		return do_delete(u);
	case THEN_ANSWER:
		return do_answer(u);
	default:
		return 0;
	}
}

FIXTURE(slow) {
	struct bystander other;
	struct waiter waiter;
	struct user user;
};

FIXTURE_VARIANT(slow) {
	enum slow_kind kind;
	enum then then;
};

FIXTURE_VARIANT_ADD(slow, uffd_killed) { .kind = SLOW_UFFD, .then = THEN_NOTHING };
FIXTURE_VARIANT_ADD(slow, uffd_kept_killed) { .kind = SLOW_UFFD_KEPT, .then = THEN_NOTHING };
FIXTURE_VARIANT_ADD(slow, uffd_wp_killed) { .kind = SLOW_UFFD_WP, .then = THEN_NOTHING };
FIXTURE_VARIANT_ADD(slow, fuse_killed) { .kind = SLOW_FUSE, .then = THEN_NOTHING };
FIXTURE_VARIANT_ADD(slow, uffd_reset) { .kind = SLOW_UFFD_KEPT, .then = THEN_RESET };
FIXTURE_VARIANT_ADD(slow, fuse_reset) { .kind = SLOW_FUSE, .then = THEN_RESET };
FIXTURE_VARIANT_ADD(slow, uffd_disabled) { .kind = SLOW_UFFD_KEPT, .then = THEN_DISABLE };
FIXTURE_VARIANT_ADD(slow, uffd_stopped) { .kind = SLOW_UFFD_KEPT, .then = THEN_STOP };
FIXTURE_VARIANT_ADD(slow, fuse_stopped) { .kind = SLOW_FUSE, .then = THEN_STOP };
FIXTURE_VARIANT_ADD(slow, uffd_deleted) { .kind = SLOW_UFFD_KEPT, .then = THEN_DELETE };
FIXTURE_VARIANT_ADD(slow, uffd_answers) { .kind = SLOW_UFFD_KEPT, .then = THEN_ANSWER };
FIXTURE_VARIANT_ADD(slow, uffd_wp_answers) { .kind = SLOW_UFFD_WP, .then = THEN_ANSWER };
FIXTURE_VARIANT_ADD(slow, fuse_answers) { .kind = SLOW_FUSE, .then = THEN_ANSWER };

FIXTURE_SETUP(slow)
{
	self->user.path = suite_device();
	self->user.then = variant->then;
	self->user.failed = child_shared_page();
	self->user.go = child_shared_page();
	ASSERT_NE(MAP_FAILED, (void *)self->user.failed);
	ASSERT_NE(MAP_FAILED, (void *)self->user.go);
	ASSERT_RET_FOR(0, bystander_start(&self->other, suite_device(),
					  suite_device_b()),
		       "%s", self->other.failed);
}

FIXTURE_TEARDOWN(slow)
{
	bystander_end(&self->other);
}

static void wait_for_answer(struct waiter *w, struct user *u)
{
	double until = clock_now() + waiter_patience(REACH);

	while (*u->go != 2 && !u->failed[0] && clock_now() < until)
		usleep(1000);
	slow_answer(&w->slow);
}

static void check_place(struct __test_metadata *_metadata, struct bystander *other,
			struct waiter *w, struct user *u, enum slow_kind kind)
{
	const struct place *p = u->place;
	bool waits = kind != SLOW_UFFD_WP || p->touch & STORES;
	long ret = 0;

	*u->go = 0;
	u->failed[0] = 0;
	if (!waits)
		return;
	ASSERT_RET(0, waiter_start(w, kind, SLOW_BYTES, use_slow, u));
	EXPECT_EQ(1, waiter_waits(w, waiter_patience(REACH)))
		TH_LOG("%s: nothing waits: %s", p->name, u->failed);
	*u->go = 1;
	EXPECT_RET_FOR(0, bystander_lives(other), "%s: %s", p->name, other->failed);
	if (u->then == THEN_ANSWER)
		wait_for_answer(w, u);
	EXPECT_RET_FOR(0, waiter_result(w, waiter_patience(30), &ret), "%s", p->name);
	EXPECT_EQ(0, ret)
		TH_LOG("%s: %s (%s)", p->name, u->failed, errname(ret));
	EXPECT_RET_FOR(0, waiter_kill(w, waiter_patience(GONE)),
		       "%s: killed, in state %c", p->name, waiter_state(w));
	waiter_end(w);
	EXPECT_RET_FOR(0, bystander_reopens(other), "%s: %s", p->name, other->failed);
}

TEST_F_TIMEOUT(slow, guest_memory, 300)
{
	unsigned int i;

	if (slow_missing(variant->kind))
		SKIP(return, "%s", slow_missing(variant->kind));
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		self->user.place = &places[i];
		check_place(_metadata, &self->other, &self->waiter, &self->user,
			    variant->kind);
	}
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
	suite_need_b();
}

SUITE_MAIN(need_all())
