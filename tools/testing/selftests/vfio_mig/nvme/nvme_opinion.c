// SPDX-License-Identifier: GPL-2.0-only
/*
 * nvme_opinion MNVME OTHER COUNT [SEED]: compares mnvme with another controller
 *
 * Two NVMe controllers, an mnvme device and QEMU's own behind vfio-pci, get the same commands
 * with random fields. The program compares status, result and data. The table below has the
 * known differences with their reasons. Any other difference is a failure. DEVICEs are paths
 * in sysfs. The program prints the seed, how often each difference occurred, and differences
 * without a reason. tools/testing/second-opinion runs it.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kselftest.h"

#include "lib/errname.h"
#include "lib/nvme_case.h"

#define PAGES		4
#define BLOCKS		131072U		/* 64 MiB of both namespaces */
#define TOUCHED		256U		/* valid commands access these blocks */
#define ANY		0xffff
#define AD		4	/* Dataset Management: deallocate */

struct side {
	struct device dev;
	struct guest guest;
	struct nvme nvme;
	unsigned char *buf;
	unsigned char *queue;	/* memory for new queues */
	__u64 *list;
	int status;
	__u32 result;
};

static struct side a, b;
static __u64 state;
static unsigned long parts;	/* failed Writes that wrote a part on one side */
static unsigned long left;	/* deallocations that left data on one side */

static __u32 rnd(__u32 below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % below;
}

static __u32 pick(const __u32 *of, size_t nr)
{
	return of[rnd(nr)];
}

#define PICK(...) ({							\
	static const __u32 __of[] = { __VA_ARGS__ };			\
	pick(__of, ARRAY_SIZE(__of));			\
})

/* Place of the data. The command's flags and data pointer follow from it. */
enum pointer {
	PRP_GOOD, PRP_OFFSET, PRP_ODD, PRP2_ODD, LIST_ODD, PRP_FAR,
	SGL_GOOD, SGL_SHORT, SGL_TYPE, SGL_ODD, POINTERS
};

struct command {
	bool admin;
	enum pointer pointer;
	struct nvme_cmd cmd;
	__u32 len;		/* length of the data in bytes */
};

/* A known difference, by the results of both controllers */
struct difference {
	bool admin;
	__u16 opcode;		/* or ANY */
	__u16 mnvme;		/* status, or ANY */
	__u16 other;		/* status, or ANY */
	bool (*applies)(const struct command *c);
	const char *reason;
	unsigned long seen;
};

#include "nvme_opinion.h"

static void set_pointer(struct side *s, struct nvme_cmd *cmd, enum pointer how,
			__u32 len)
{
	__u64 at = guest_iova(&s->guest, s->buf);
	__u32 first;
	int i;

	for (i = 0; i < PAGES; i++)
		s->list[i] = at + (i + 1) * GUEST_PAGE;
	cmd->prp1 = at;
	if (how == PRP_OFFSET)
		cmd->prp1 += 256;
	first = GUEST_PAGE - cmd->prp1 % GUEST_PAGE;
	if (len > first)
		cmd->prp2 = at + GUEST_PAGE;
	if (len > first + GUEST_PAGE)
		cmd->prp2 = guest_iova(&s->guest, s->list);
	switch (how) {
	case PRP_ODD:
		cmd->prp1 += 2;
		break;
	case PRP2_ODD:
		cmd->prp2 += 512;
		break;
	case LIST_ODD:
		cmd->prp2 += 4;
		break;
	case PRP_FAR:
		cmd->prp1 = 1ULL << 44;
		break;
	case SGL_GOOD:
	case SGL_SHORT:
	case SGL_TYPE:
	case SGL_ODD:
		cmd->flags |= 1 << 6;
		cmd->prp1 = at + (how == SGL_ODD ? 3 : 0);
		cmd->prp2 = (how == SGL_SHORT ? len - 4 : len) |
			    (how == SGL_TYPE ? 0x60ULL << 56 : 0);
		break;
	default:
		break;
	}
}

static void make_queue(struct command *c)
{
	__u32 id = PICK(0, 2, 3, 60, 65, 0xffff);
	__u32 size = PICK(0, 1, 15, 15, 15, 0x7ff, 0xffff);

	c->cmd.cdw10 = size << 16 | id;
	c->cmd.cdw11 = PICK(0, 1, 1, 1, 1, 3);
	if (c->cmd.opcode == ADMIN_CREATE_SQ)
		c->cmd.cdw11 |= PICK(0, 1, 1, 1, 2, 60, 65, 0xffff) << 16;
	else
		c->cmd.cdw11 |= PICK(0, 1, 2, 2, 200, 0xffff) << 16;
}

static void make_admin(struct command *c)
{
	struct nvme_cmd *cmd = &c->cmd;

	cmd->opcode = PICK(ADMIN_DELETE_SQ, ADMIN_CREATE_SQ, ADMIN_GET_LOG,
			   ADMIN_GET_LOG, ADMIN_DELETE_CQ, ADMIN_CREATE_CQ,
			   ADMIN_IDENTIFY, ADMIN_IDENTIFY, ADMIN_ABORT,
			   ADMIN_SET_FEATURES, ADMIN_SET_FEATURES,
			   ADMIN_GET_FEATURES, ADMIN_GET_FEATURES, 0x03, 0x07, 0x0b,
			   0x10, 0x11, 0x14, 0x18, 0x7f, 0x84, 0xc0, 0xff);
	cmd->nsid = PICK(0, 0, 0, 0, 0, 1, 1, 2, ~0U, ~0U - 1);
	switch (cmd->opcode) {
	case ADMIN_CREATE_SQ:
	case ADMIN_CREATE_CQ:
		make_queue(c);
		break;
	case ADMIN_DELETE_SQ:
	case ADMIN_DELETE_CQ:
		cmd->cdw10 = PICK(0, 2, 3, 60, 65, 0xffff);
		break;
	case ADMIN_GET_LOG:
		c->len = 4 * (1 + PICK(0, 15, 127, 127, 1023));
		cmd->cdw10 = PICK(0, 1, 2, 2, 3, 4, 5, 6, 0x0d, 0x70, 0x80, 0xc0) |
			     PICK(0, 0, 1 << 15) | (c->len / 4 - 1) << 16;
		cmd->cdw12 = PICK(0, 0, 0, 4, 2, 512, 516, 8192);
		break;
	case ADMIN_IDENTIFY:
		c->len = 4096;
		cmd->cdw10 = PICK(0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0x14, 0x1c, 0x20);
		cmd->cdw11 = PICK(0, 0, 0, 0, 1, 2) << 24;
		break;
	case ADMIN_ABORT:
		cmd->cdw10 = PICK(0, 1, 1, 60, 65, 0xffff) | PICK(0, 5, 99) << 16;
		break;
	case ADMIN_SET_FEATURES:
	case ADMIN_GET_FEATURES:
		cmd->cdw10 = PICK(0, 1, 2, 4, 4, 5, 5, 7, 8, 9, 10, 11, 0x0c, 0x0d,
				  0x70, 0x80, 0xc0, 0xff);
		if (cmd->opcode == ADMIN_GET_FEATURES)
			cmd->cdw10 |= PICK(0, 0, 0, 1, 3, 4, 7) << 8;
		else
			cmd->cdw10 |= PICK(0, 0, 0, 1U << 31);
		cmd->cdw11 = PICK(0, 1, 2, 64, 65, 0x1f0, 0xffff, 0xffff0000, 1 << 16,
				  2 << 16, 1 << 20, 2 << 20);
		/* DULBE, which QEMU's namespace supports, would make later reads fail. */
		if ((cmd->cdw10 & 0xff) == 5)
			cmd->cdw11 &= 0xffff;
		break;
	}
}

static void make_io(struct command *c)
{
	struct nvme_cmd *cmd = &c->cmd;
	__u32 nlb = PICK(1, 1, 2, 7, 8, 9, 16, 24, 24, 4096);
	__u64 lba = rnd(TOUCHED);

	cmd->opcode = PICK(NVME_OP_FLUSH, NVME_OP_WRITE, NVME_OP_WRITE, NVME_OP_WRITE,
			   NVME_OP_READ, NVME_OP_READ, NVME_OP_READ, NVME_OP_COMPARE,
			   NVME_OP_WRITE_ZEROES, NVME_OP_DSM, NVME_OP_VERIFY,
			   NVME_OP_COPY, 0x04, 0x0d, 0x0e, 0x11, 0x15, 0x7e, 0xff);
	cmd->nsid = PICK(1, 1, 1, 1, 1, 1, 1, 1, 0, 2, ~0U, ~0U - 1);
	if (!rnd(16))
		lba = PICK(BLOCKS - 1, BLOCKS, BLOCKS + 1) | (__u64)PICK(0, 0, 1, ~0U) << 32;
	if (cmd->opcode == NVME_OP_FLUSH || cmd->opcode > NVME_OP_COPY)
		return;
	if (cmd->opcode == NVME_OP_DSM) {
		c->len = 16;
		cmd->cdw11 = PICK(0, 4, 4, 3);
		return;
	}
	cmd->cdw10 = lba;
	cmd->cdw11 = lba >> 32;
	if (cmd->opcode == NVME_OP_COPY) {
		c->len = 32;
		cmd->cdw12 = PICK(0, 0, 0, 0, 1 << 8, 200);
		return;
	}
	cmd->cdw12 = nlb - 1;
	c->len = cmd->opcode == NVME_OP_WRITE_ZEROES || cmd->opcode == NVME_OP_VERIFY ?
		 0 : nlb * 512;
	if (nlb == 4096)
		c->len = 512;
}

static void make(struct command *c)
{
	memset(c, 0, sizeof(*c));
	c->admin = !rnd(3);
	if (c->admin)
		make_admin(c);
	else
		make_io(c);
	c->cmd.flags = PICK(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2 << 6, 3 << 6);
	c->pointer = rnd(3) ? PRP_GOOD : rnd(POINTERS);
	/* A command that needs no second page or list does not use a bad pointer to it. */
	if ((c->pointer == PRP2_ODD && c->len != 2 * GUEST_PAGE) ||
	    (c->pointer == LIST_ODD && c->len < 3 * GUEST_PAGE))
		c->pointer = PRP_GOOD;
	if (c->pointer >= SGL_GOOD && (c->admin || !c->len))
		c->pointer = PRP_GOOD;
	/* QEMU writes data that it could not read; see the table. */
	if (c->pointer == PRP_FAR && c->cmd.opcode == NVME_OP_WRITE)
		c->pointer = PRP_GOOD;
}

/* Both sides get the same data: a range, or random bytes. */
static void fill(const struct command *c)
{
	static unsigned char bytes[PAGES * GUEST_PAGE];
	size_t i;
	__u32 *word = (void *)bytes;
	__u32 lba = rnd(16) ? rnd(TOUCHED) : BLOCKS - rnd(2);

	for (i = 0; i < sizeof(bytes) / 4; i++)
		word[i] = c->cmd.opcode == NVME_OP_COMPARE ? 0 : rnd(~0U);
	if (!c->admin && c->cmd.opcode == NVME_OP_DSM) {
		memset(bytes, 0, 16);
		word[1] = 1 + rnd(16);
		word[2] = lba;
	}
	if (!c->admin && c->cmd.opcode == NVME_OP_COPY) {
		memset(bytes, 0, 32);
		word[2] = lba;
		word[4] = rnd(8);
	}
	memcpy(a.buf, bytes, sizeof(bytes));
	memcpy(b.buf, bytes, sizeof(bytes));
}

static void give(struct side *s, const struct command *c)
{
	struct nvme_cmd cmd = c->cmd;

	set_pointer(s, &cmd, c->pointer, c->len ? c->len : 4);
	if (c->admin && (cmd.opcode == ADMIN_CREATE_SQ || cmd.opcode == ADMIN_CREATE_CQ) &&
	    c->pointer == PRP_GOOD)
		cmd.prp1 = guest_iova(&s->guest, s->queue);
	s->result = 0;
	s->status = nvme_do(&s->nvme, c->admin ? &s->nvme.admin : &s->nvme.io[0], &cmd,
			    &s->result);
	if (s->status > 0)
		s->status &= ST_CODE;
}

/* Deletes a queue that only one of them created or deleted. */
static void undo_queue(const struct command *c)
{
	struct nvme_cmd cmd = { .cdw10 = c->cmd.cdw10 & 0xffff };
	struct side *did = a.status ? &b : &a, *did_not = a.status ? &a : &b;
	struct side *s;

	switch (c->cmd.opcode) {
	case ADMIN_CREATE_SQ:
	case ADMIN_CREATE_CQ:
		s = did;
		break;
	case ADMIN_DELETE_SQ:
	case ADMIN_DELETE_CQ:
		s = did_not;
		break;
	default:
		return;
	}
	cmd.opcode = c->cmd.opcode == ADMIN_CREATE_CQ ||
		     c->cmd.opcode == ADMIN_DELETE_CQ ? ADMIN_DELETE_CQ :
							ADMIN_DELETE_SQ;
	nvme_do(&s->nvme, &s->nvme.admin, &cmd, NULL);
}

static int clear(struct side *s)
{
	memset(s->buf, 0, PAGES * GUEST_PAGE);
	return nvme_io(&s->nvme, NVME_OP_WRITE_ZEROES, 0, TOUCHED + 64, NULL) ?:
	       nvme_io(&s->nvme, NVME_OP_WRITE_ZEROES, BLOCKS - 64, 64, NULL);
}

/* Returns whether the blocks of valid commands are the same, or an errno. */
static int same_blocks(__u64 lba, __u32 nr)
{
	if (!nr || nr > PAGES * GUEST_PAGE / 512 || lba + nr > TOUCHED + 64)
		return 1;
	if (nvme_io(&a.nvme, NVME_OP_READ, lba, nr, a.buf) ||
	    nvme_io(&b.nvme, NVME_OP_READ, lba, nr, b.buf))
		return -EIO;
	return !memcmp(a.buf, b.buf, nr * 512);
}

/*
 * Two commands with the same status may leave different blocks in two cases. Both refuse a
 * Write for its data pointer, but only QEMU checks the whole pointer before it writes.
 * Deallocated blocks are zeros with mnvme, and may keep their data with QEMU.
 */
static int undo_blocks(const struct command *c)
{
	const struct nvme_cmd *cmd = &c->cmd;
	const __u32 *range = (void *)a.buf;
	unsigned long *count;
	int same;

	if (c->admin)
		return 0;
	if (a.status && cmd->opcode == NVME_OP_WRITE && c->pointer != PRP_GOOD) {
		count = &parts;
		same = same_blocks(cmd->cdw10 | (__u64)cmd->cdw11 << 32, c->len / 512);
	} else if (!a.status && cmd->opcode == NVME_OP_DSM && cmd->cdw11 & AD) {
		count = &left;
		same = same_blocks(range[2] | (__u64)range[3] << 32, range[1]);
	} else {
		return 0;
	}
	if (same)
		return same < 0 ? same : 0;
	++*count;
	return clear(&a) ?: clear(&b);
}

/*
 * Undoes the effect that only one of the controllers had, so that both continue with the
 * same state.
 */
static int undo(const struct command *c)
{
	if (!a.status == !b.status)
		return undo_blocks(c);
	if (c->admin) {
		undo_queue(c);
		return 0;
	}
	return clear(&a) ?: clear(&b);
}

/* Results must be the same if they are not numbers of the controller. */
static bool result_counts(const struct command *c)
{
	return c->admin && c->cmd.opcode == ADMIN_ABORT;
}

static bool data_count(const struct command *c)
{
	return !c->admin && c->cmd.opcode == NVME_OP_READ;
}

static struct difference *explain(const struct command *c)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++) {
		struct difference *d = &known[i];

		if (d->admin == c->admin &&
		    (d->opcode == ANY || d->opcode == c->cmd.opcode) &&
		    (d->mnvme == ANY || d->mnvme == a.status) &&
		    (d->other == ANY || d->other == b.status) && d->applies(c))
			return d;
	}
	return NULL;
}

/* Returns 0 if they agree, or if the difference is known. */
static int compare(const struct command *c)
{
	const struct nvme_cmd *cmd = &c->cmd;
	struct difference *d;

	if (a.status == b.status && (a.status || !result_counts(c) ||
				     a.result == b.result) &&
	    (a.status || !data_count(c) || !memcmp(a.buf, b.buf, c->len)))
		return 0;
	d = explain(c);
	if (d) {
		d->seen++;
		return 0;
	}
	printf("# %s opcode %#x flags %#x nsid %#x pointer %d len %u cdw10-12 %#x %#x %#x: ",
	       c->admin ? "admin" : "I/O", cmd->opcode, cmd->flags, cmd->nsid,
	       c->pointer, c->len, cmd->cdw10, cmd->cdw11, cmd->cdw12);
	printf("mnvme %#x, result %#x; other %#x, result %#x%s\n", a.status, a.result,
	       b.status, b.result,
	       a.status == b.status ? ", data or result differ" : "");
	return 1;
}

static int side_open(struct side *s, const char *path)
{
	int ret = device_open(&s->dev, path);

	ret = ret ?: guest_create(&s->guest, 16 << 20);
	ret = ret ?: guest_attach(&s->guest, &s->dev);
	ret = ret ?: nvme_start(&s->nvme, &s->dev, &s->guest, 1, 16);
	if (ret)
		return ret;
	s->buf = guest_alloc(&s->guest, (PAGES + 1) * GUEST_PAGE);
	s->queue = guest_alloc(&s->guest, 64 * GUEST_PAGE);
	s->list = guest_alloc(&s->guest, GUEST_PAGE);
	return clear(s);
}

/* At the end both namespaces must have the same data. */
static int compare_namespaces(void)
{
	__u32 lba;

	for (lba = 0; lba < TOUCHED + 64; lba += 8) {
		if (nvme_io(&a.nvme, NVME_OP_READ, lba, 8, a.buf) ||
		    nvme_io(&b.nvme, NVME_OP_READ, lba, 8, b.buf) ||
		    memcmp(a.buf, b.buf, 8 * 512)) {
			printf("# blocks from %u differ\n", lba);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long count, i, bad = 0, same = 0;
	struct command c;
	size_t d;
	int ret;

	if (argc < 4) {
		fprintf(stderr, "usage: nvme_opinion MNVME OTHER COUNT [SEED]\n");
		return 2;
	}
	count = strtoul(argv[3], NULL, 0);
	state = argc > 4 ? strtoull(argv[4], NULL, 0) : (__u64)time(NULL);
	printf("# %lu commands, seed %llu\n", count, (unsigned long long)state);
	state = state * 0x9e3779b97f4a7c15ULL | 1;
	ret = side_open(&a, argv[1]);
	ret = ret ?: side_open(&b, argv[2]);
	if (ret) {
		printf("not ok 1 second opinion # %s\n",
		       ret < 0 ? errname(ret) : "a command failed");
		return 1;
	}
	for (i = 0; i < count && bad < 500; i++) {
		make(&c);
		fill(&c);
		give(&a, &c);
		give(&b, &c);
		if (a.status < 0 || b.status < 0) {
			printf("# no completion: %s, %s\n", errname(a.status),
			       errname(b.status));
			bad++;
			compare(&c);
			break;
		}
		same += a.status == b.status;
		bad += compare(&c);
		if (undo(&c)) {
			printf("# one of them does not work any more\n");
			bad++;
			break;
		}
	}
	bad += compare_namespaces();
	printf("# %lu commands, %lu with one status; differences that are known:\n", i,
	       same);
	for (d = 0; d < ARRAY_SIZE(known); d++)
		printf("# %7lu %s\n", known[d].seen, known[d].reason);
	printf("# %7lu %s\n", parts,
	       "6.15: a Write that fails may have written a part; QEMU's does not");
	printf("# %7lu %s\n", left,
	       "6.7: blocks may stay as they were, as QEMU's do; mnvme's are zeros");
	printf("%sok 1 second opinion of %lu commands, %lu differences without a reason\n",
	       bad ? "not " : "", i, bad);
	return bad ? 1 : 0;
}
