// SPDX-License-Identifier: GPL-2.0-only
/*
 * One logical block is atomic (NVMe 6.4.1) for any segments of guest memory and any number of
 * queues that write it. A reader sees the data of one command.
 */
#include <pthread.h>
#include <string.h>

#include "lib/nvme_fixture.h"

#define PIECES			32	/* segments of a block */
#define ROUNDS			(suite_long() ? 20000 : 1500)

/* The segments of a block's memory */
enum layout {
	ONE_SEGMENT,
	MANY_SEGMENTS,	/* an SGL */
	TWO_PAGES,	/* two PRP entries */
};

/**
 * struct actor - a thread with a queue
 * @opcode: opcode of its commands
 * @value: byte that it writes
 * @layout: layout of its memory
 * @torn: number of blocks that it read with data of two commands
 * @failed: other error
 */
struct actor {
	struct nvme *nvme;
	struct nvme_queue *q;
	__u8 opcode;
	unsigned char value;
	enum layout layout;
	unsigned char *data;
	__u64 *list;
	unsigned long torn;
	volatile int *stop;
	int failed;
	pthread_t thread;
};

FIXTURE(atomic) {
	struct nvme_fixture f;
	struct actor actor[3];
	volatile int stop;
};

FIXTURE_VARIANT(atomic) {
	enum layout writes;
	enum layout reads;
	__u8 other;
};

FIXTURE_VARIANT_ADD(atomic, segments) {
	.writes = MANY_SEGMENTS, .reads = MANY_SEGMENTS, .other = NVME_OP_WRITE
};

FIXTURE_VARIANT_ADD(atomic, segments_written) {
	.writes = MANY_SEGMENTS, .reads = ONE_SEGMENT, .other = NVME_OP_WRITE
};

FIXTURE_VARIANT_ADD(atomic, segments_read) {
	.writes = ONE_SEGMENT, .reads = MANY_SEGMENTS, .other = NVME_OP_WRITE
};

FIXTURE_VARIANT_ADD(atomic, one_segment) {
	.writes = ONE_SEGMENT, .reads = ONE_SEGMENT, .other = NVME_OP_WRITE
};

FIXTURE_VARIANT_ADD(atomic, two_pages) {
	.writes = TWO_PAGES, .reads = TWO_PAGES, .other = NVME_OP_WRITE
};

FIXTURE_VARIANT_ADD(atomic, against_write_zeroes) {
	.writes = MANY_SEGMENTS, .reads = MANY_SEGMENTS, .other = NVME_OP_WRITE_ZEROES
};

FIXTURE_SETUP(atomic)
{
	struct actor *a;
	int i;

	fixture_open(_metadata, suite_device(), &self->f.dev, &self->f.v1);
	ASSERT_RET(0, guest_create(&self->f.guest, 4 << 20));
	ASSERT_RET(0, guest_attach(&self->f.guest, &self->f.dev));
	ASSERT_EQ(0, nvme_start(&self->f.nvme, &self->f.dev, &self->f.guest, 3, 16));
	for (i = 0; i < 3; i++) {
		a = &self->actor[i];
		a->nvme = &self->f.nvme;
		a->q = &self->f.nvme.io[i];
		a->stop = &self->stop;
		a->opcode = i == 2 ? NVME_OP_READ : i ? variant->other : NVME_OP_WRITE;
		a->layout = i == 2 ? variant->reads : variant->writes;
		a->value = a->opcode == NVME_OP_WRITE_ZEROES ? 0 : 0xa1 + i;
		a->data = guest_alloc(&self->f.guest, 3 * GUEST_PAGE);
		a->list = guest_alloc(&self->f.guest, GUEST_PAGE);
	}
}

FIXTURE_TEARDOWN(atomic)
{
	nvme_fixture_close(&self->f);
}

/* Returns the place of the block in the actor's memory. */
static unsigned char *block_of(struct actor *a)
{
	if (a->layout == TWO_PAGES)
		return a->data + GUEST_PAGE - a->nvme->lba_size / 2;
	return a->data;
}

static void set_pointer(struct actor *a, struct nvme_cmd *cmd)
{
	__u64 at = guest_iova(a->nvme->guest, block_of(a));
	__u32 piece = a->nvme->lba_size / PIECES;
	int i;

	cmd->prp1 = at;
	if (a->layout == TWO_PAGES)
		cmd->prp2 = guest_iova(a->nvme->guest, a->data + GUEST_PAGE);
	if (a->layout != MANY_SEGMENTS)
		return;
	for (i = 0; i < PIECES; i++) {
		a->list[2 * i] = at + i * piece;
		a->list[2 * i + 1] = piece;
	}
	nvme_cmd_sgl(cmd, guest_iova(a->nvme->guest, a->list), PIECES);
}

static bool is_torn(struct actor *a)
{
	unsigned char *block = block_of(a);

	return memcmp(block, block + 1, a->nvme->lba_size - 1);
}

static void *act(void *arg)
{
	struct actor *a = arg;
	struct nvme_cmd cmd = { .opcode = a->opcode, .nsid = 1 };
	int i;

	if (a->opcode != NVME_OP_WRITE_ZEROES)
		set_pointer(a, &cmd);
	memset(block_of(a), a->value, a->nvme->lba_size);
	for (i = 0; i < ROUNDS && !a->failed && !*a->stop; i++) {
		a->failed = nvme_do(a->nvme, a->q, &cmd, NULL);
		if (a->opcode == NVME_OP_READ)
			a->torn += is_torn(a);
	}
	*a->stop = 1;
	return NULL;
}

TEST_F_TIMEOUT(atomic, a_block_is_of_one_command, 300)
{
	int i;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, pthread_create(&self->actor[i].thread, NULL, act,
					    &self->actor[i]));
	for (i = 0; i < 3; i++) {
		pthread_join(self->actor[i].thread, NULL);
		EXPECT_EQ(0, self->actor[i].failed)
			TH_LOG("queue %d: %d", i, self->actor[i].failed);
	}
	EXPECT_EQ(0, self->actor[2].torn)
		TH_LOG("%lu reads saw blocks of two commands", self->actor[2].torn);

	/* The final content is also that of one command. */
	self->stop = 0;
	act(&self->actor[2]);
	EXPECT_EQ(0, self->actor[2].torn);
}

SUITE_MAIN(suite_need_nvme())
