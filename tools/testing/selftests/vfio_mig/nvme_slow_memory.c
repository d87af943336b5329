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
#include "lib/slow.h"
#include "lib/waiter.h"

#define SLOW_BYTES	(64UL << 10)
#define SLOW_IOVA	0x100000000ULL
#define DOORBELLS_IOVA	0x200000000ULL
#define REACH		5.0	/* seconds until the controller accesses the memory */
#define GONE		2.0	/* seconds until a killed process is gone */
#define SOON		1.0	/* most seconds of any other action */
#define REGISTER	0.010	/* most seconds of an access to a register */
#define ACCESSES	100

#define ADMIN_DELETE_SQ		0x00
#define ADMIN_CREATE_SQ		0x01
#define ADMIN_GET_LOG		0x02
#define ADMIN_DELETE_CQ		0x04
#define ADMIN_CREATE_CQ		0x05
#define ADMIN_IDENTIFY		0x06

#define PCI_POWER		0x44	/* in the power management capability */

#define THIRD			3	/* a queue that the driver does not create */
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

static int create_third(struct nvme *nvme, __u64 sq, __u64 cq)
{
	struct nvme_cmd create_cq = {
		.opcode = ADMIN_CREATE_CQ, .prp1 = cq, .cdw10 = 15 << 16 | THIRD,
		.cdw11 = 1,
	};
	struct nvme_cmd create_sq = {
		.opcode = ADMIN_CREATE_SQ, .prp1 = sq, .cdw10 = 15 << 16 | THIRD,
		.cdw11 = THIRD << 16 | 1,
	};
	int ret = nvme_do(nvme, &nvme->admin, &create_cq, NULL);

	return ret ? ret : nvme_do(nvme, &nvme->admin, &create_sq, NULL);
}

static int ring_third(struct nvme *nvme, __u32 tail)
{
	return nvme_write32(nvme, DOORBELLS + 2 * THIRD * nvme->doorbell_stride, tail);
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

static void *shared_page(void)
{
	return mmap(NULL, GUEST_PAGE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

FIXTURE_SETUP(slow)
{
	self->user.path = suite_device();
	self->user.then = variant->then;
	self->user.failed = shared_page();
	self->user.go = shared_page();
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

/*
 * Pages that do not answer, then answer, and then are missing once more. A command must not
 * take the result of an earlier command for the same bytes.
 */
FIXTURE(again) {
	struct nvme_fixture f;
	struct slow slow;
	unsigned char *buf;
};

FIXTURE_SETUP(again)
{
	if (slow_missing(SLOW_UFFD))
		SKIP(return, "%s", slow_missing(SLOW_UFFD));
	nvme_fixture_open(_metadata, &self->f, 1 << 20);
	self->buf = guest_alloc(&self->f.guest, GUEST_PAGE);
	ASSERT_RET(0, slow_create(&self->slow, SLOW_UFFD, GUEST_PAGE));
	ASSERT_RET(0, slow_map(&self->slow, 0, NULL, 0));
	ASSERT_RET(0, device_map(&self->f.dev, self->slow.mem, SLOW_IOVA, GUEST_PAGE));
}

FIXTURE_TEARDOWN(again)
{
	slow_destroy(&self->slow);
	nvme_fixture_close(&self->f);
}

/* A command for the first page of the disk */
static struct nvme_cmd page_command(__u8 opcode)
{
	return (struct nvme_cmd){
		.opcode = opcode, .nsid = 1, .prp1 = SLOW_IOVA, .cdw12 = 7,
	};
}

/* Begins a command, which waits for its memory. */
static void wait_for_memory(struct __test_metadata *_metadata, struct nvme *nvme,
			    struct slow *slow, __u8 opcode)
{
	struct nvme_cmd cmd = page_command(opcode);

	ASSERT_LE(0, nvme_submit(nvme, &nvme->io[0], &cmd));
	ASSERT_RET(0, nvme_ring(nvme, &nvme->io[0]));
	ASSERT_EQ(1, slow_waiting(slow, waiter_patience(REACH)));
	/* Longer than the controller waits before it does other work. */
	usleep(waiter_patience(100000));
}

static int for_the_page(struct nvme *nvme, __u8 opcode)
{
	struct nvme_cmd cmd = page_command(opcode);

	return nvme_do(nvme, &nvme->io[0], &cmd, NULL);
}

/* The memory answers, and the command completes. */
static void let_it_complete(struct __test_metadata *_metadata, struct nvme *nvme,
			    struct slow *slow)
{
	struct nvme_cqe cqe;

	ASSERT_RET(0, slow_answer(slow));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->io[0], &cqe));
	ASSERT_EQ(0, cqe.status >> 1);
}

/* Other memory with this content, which is present in no page table yet */
static void replace(struct __test_metadata *_metadata, unsigned char *mem, int byte)
{
	unsigned char content[GUEST_PAGE];
	int fd = memfd_create("again", MFD_CLOEXEC);

	memset(content, byte, sizeof(content));
	ASSERT_LE(0, fd);
	ASSERT_EQ(sizeof(content), (size_t)write(fd, content, sizeof(content)));
	ASSERT_EQ(mem, mmap(mem, GUEST_PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_FIXED, fd, 0));
	close(fd);
}

TEST_F(again, a_read_stores_its_data)
{
	struct nvme *nvme = &self->f.nvme;
	unsigned char *mem = self->slow.mem;

	memset(self->buf, 0x5d, GUEST_PAGE);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 0, 8, self->buf));
	wait_for_memory(_metadata, nvme, &self->slow, NVME_OP_READ);
	let_it_complete(_metadata, nvme, &self->slow);
	EXPECT_EQ(0x5d, mem[0]);
	replace(_metadata, mem, 0);
	ASSERT_EQ(0, for_the_page(nvme, NVME_OP_READ));
	EXPECT_EQ(0x5d, mem[0]);
	EXPECT_EQ(0x5d, mem[GUEST_PAGE - 1]);
}

TEST_F(again, a_write_takes_the_data_of_now)
{
	struct nvme *nvme = &self->f.nvme;

	wait_for_memory(_metadata, nvme, &self->slow, NVME_OP_WRITE);
	let_it_complete(_metadata, nvme, &self->slow);
	replace(_metadata, self->slow.mem, 0xa7);
	ASSERT_EQ(0, for_the_page(nvme, NVME_OP_WRITE));
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, 0, 8, self->buf));
	EXPECT_EQ(0xa7, self->buf[0]);
	EXPECT_EQ(0xa7, self->buf[GUEST_PAGE - 1]);
}

/*
 * A Read waits for its memory. The function must not store the data after the write of
 * configuration space that forbids DMA. The Read completes when DMA is permitted again.
 */
static void check_no_dma(struct __test_metadata *_metadata, struct _test_data_again *self,
			 __u16 at, __u16 forbid, __u16 permit)
{
	unsigned char *mem = self->slow.mem;
	struct nvme *nvme = &self->f.nvme;
	struct region config;
	struct nvme_cqe cqe;

	ASSERT_RET(0, region_open(&config, &self->f.dev, VFIO_PCI_CONFIG_REGION_INDEX));
	memset(self->buf, 0x5d, GUEST_PAGE);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 0, 8, self->buf));
	wait_for_memory(_metadata, nvme, &self->slow, NVME_OP_READ);
	ASSERT_RET(0, region_write_all(&config, at, &forbid, sizeof(forbid)));
	ASSERT_RET(0, slow_answer(&self->slow));
	/* The controller tries several times in this time. */
	usleep(waiter_patience(300000));
	EXPECT_EQ(0, mem[0])
		TH_LOG("the data were stored");
	EXPECT_EQ(0, nvme_poll(nvme, &nvme->io[0], &cqe));
	ASSERT_RET(0, region_write_all(&config, at, &permit, sizeof(permit)));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->io[0], &cqe));
	EXPECT_EQ(0, cqe.status >> 1);
	EXPECT_EQ(0x5d, mem[0]);
}

TEST_F(again, no_read_after_bus_master)
{
	check_no_dma(_metadata, self, PCI_COMMAND, 2, 6);
}

TEST_F(again, no_read_in_d3hot)
{
	check_no_dma(_metadata, self, PCI_POWER, 3, 0);
}

static int delete_third(struct nvme *nvme)
{
	struct nvme_cmd delete_sq = { .opcode = ADMIN_DELETE_SQ, .cdw10 = THIRD };
	struct nvme_cmd delete_cq = { .opcode = ADMIN_DELETE_CQ, .cdw10 = THIRD };
	int ret = nvme_do(nvme, &nvme->admin, &delete_sq, NULL);

	return ret ? ret : nvme_do(nvme, &nvme->admin, &delete_cq, NULL);
}

#define DELETIONS	100

/* A thread that writes the third doorbell all the time. */
struct ringer {
	pthread_t thread;
	struct nvme *nvme;
	volatile int stop;
};

static void *keep_ringing(void *arg)
{
	struct ringer *r = arg;

	while (!r->stop)
		ring_third(r->nvme, 1);
	return NULL;
}

/* Waits for the phase tag of an entry of the third queue, which the driver does not know. */
static bool third_completes(volatile struct nvme_cqe *cqe, double seconds)
{
	double until = clock_now() + seconds;

	while (!(cqe->status & 1) && clock_now() < until)
		usleep(100);
	return cqe->status & 1;
}

/*
 * A completion waits for the completion queue's memory, and the host deletes both queues.
 * Meanwhile another thread writes the doorbell, so that the controller looks at the submission
 * queue during the deletion. A new queue with the same identifier has other memory, and must
 * not wait for the memory of the old queue.
 */
TEST_F_TIMEOUT(again, a_new_queue_waits_for_no_old_memory, 180)
{
	unsigned char *cq = guest_alloc(&self->f.guest, GUEST_PAGE);
	struct ringer ringer = { .nvme = &self->f.nvme };
	__u64 sq = guest_iova(&self->f.guest, self->buf);
	int i;

	for (i = 0; i < DELETIONS; i++) {
		memset(self->buf, 0, GUEST_PAGE);
		ASSERT_EQ(0, create_third(ringer.nvme, sq, SLOW_IOVA));
		ASSERT_RET(0, ring_third(ringer.nvme, 1));
		/* Longer than the controller waits before it does other work. */
		usleep(waiter_patience(20000));
		ringer.stop = 0;
		ASSERT_EQ(0, pthread_create(&ringer.thread, NULL, keep_ringing, &ringer));
		EXPECT_EQ(0, delete_third(ringer.nvme));
		ringer.stop = 1;
		pthread_join(ringer.thread, NULL);

		memset(cq, 0, GUEST_PAGE);
		ASSERT_EQ(0, create_third(ringer.nvme, sq,
					  guest_iova(&self->f.guest, cq)));
		ASSERT_RET(0, ring_third(ringer.nvme, 1));
		ASSERT_TRUE(third_completes((void *)cq, waiter_patience(REACH)))
			TH_LOG("after deletion %d the new queue waits", i);
		ASSERT_EQ(0, delete_third(ringer.nvme));
	}
}

#define STOPS		3

/*
 * Has another process stop the device, which waits for the memory of a completion, and resets
 * the device meanwhile. Returns the errno of the stop, or 0.
 */
static int reset_during_a_stop(struct __test_metadata *_metadata, struct nvme_fixture *f,
			       struct slow *slow, volatile int *begun)
{
	unsigned char *sq;
	int status = 0;
	pid_t pid;

	f->guest.used = 0;
	*begun = 0;
	EXPECT_EQ(0, nvme_start(&f->nvme, &f->dev, &f->guest, 1, 16));
	sq = guest_alloc(&f->guest, GUEST_PAGE);
	memset(sq, 0, GUEST_PAGE);
	EXPECT_EQ(0, create_third(&f->nvme, guest_iova(&f->guest, sq), SLOW_IOVA));
	EXPECT_RET(0, ring_third(&f->nvme, 1));
	EXPECT_EQ(1, slow_waiting(slow, waiter_patience(REACH)));

	pid = child_start();
	if (!pid) {
		*begun = 1;
		_exit(-v1_set_state(&f->v1, V1_STOPPED));
	}
	EXPECT_LT(0, pid);
	while (!*begun && !waitpid(pid, NULL, WNOHANG))
		usleep(1000);
	usleep(waiter_patience(200000));
	EXPECT_RET(0, device_reset(&f->dev));
	waitpid(pid, &status, 0);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_RET(0, device_reset(&f->dev));
	return WEXITSTATUS(status);
}

/*
 * The process that resets the device can be killed before the reset. So a stop that found the
 * reset waiting must not succeed without the completion, because a save may follow it.
 */
TEST_F_TIMEOUT(again, a_stop_that_a_reset_ends_fails, 120)
{
	volatile int *begun = shared_page();
	int i, err = 0;

	ASSERT_NE(MAP_FAILED, (void *)begun);
	/* The process that stops the device may have come after the reset. */
	for (i = 0; !err && i < STOPS; i++)
		err = reset_during_a_stop(_metadata, &self->f, &self->slow, begun);
	EXPECT_EQ(ECANCELED, err);
}

/*
 * Two submission queues have completions for one completion queue, whose memory is missing.
 * Each has its own entry at last, and the write of the one does not undo that of the other.
 */
TEST_F(again, two_queues_post_to_missing_memory)
{
	volatile struct nvme_cqe *cq = (void *)self->slow.mem;
	__u64 sq = guest_iova(&self->f.guest, self->buf);
	struct nvme *nvme = &self->f.nvme;
	struct nvme_cmd fourth = {
		.opcode = ADMIN_CREATE_SQ, .prp1 = sq, .cdw10 = 15 << 16 | 4,
		.cdw11 = THIRD << 16 | 1,
	};

	memset(self->buf, 0, GUEST_PAGE);
	ASSERT_EQ(0, create_third(nvme, sq, SLOW_IOVA));
	ASSERT_EQ(0, nvme_do(nvme, &nvme->admin, &fourth, NULL));
	ASSERT_RET(0, ring_third(nvme, 1));
	/* The controller's attempts for the two come at different times. */
	usleep(waiter_patience(30000));
	ASSERT_RET(0, nvme_write32(nvme, DOORBELLS + 2 * 4 * nvme->doorbell_stride, 1));
	usleep(waiter_patience(200000));
	ASSERT_RET(0, slow_answer(&self->slow));
	ASSERT_TRUE(third_completes(&cq[1], waiter_patience(REACH)));
	/* Longer than the pause before an attempt */
	usleep(waiter_patience(200000));
	EXPECT_EQ(1, cq[0].status & 1)
		TH_LOG("the first completion was overwritten");
	EXPECT_EQ(1, cq[1].status & 1);
	EXPECT_EQ(THIRD + 4, cq[0].sq_id + cq[1].sq_id);
	EXPECT_EQ(0, cq[2].status);
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
	suite_need_b();
}

SUITE_MAIN(need_all())
