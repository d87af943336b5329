// SPDX-License-Identifier: GPL-2.0-only
/* Sends the commands of a table, and checks the results. */
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nvme_case.h"

#define LOG_ERROR	1
#define PAGES		8

/* Error Information Log Entry, NVMe 1.4, 5.14.1.1. */
struct entry {
	__u64 count;
	__u16 sqid;
	__u16 cid;
	__u16 status;
	__u16 at;
	__u64 lba;
	__u32 nsid;
};

static int read_log(struct nvme_cases *c, struct entry *entry)
{
	struct nvme_cmd cmd = {
		.opcode = ADMIN_GET_LOG,
		.nsid = ~0U,
		.prp1 = guest_iova(c->nvme->guest, c->log),
		.cdw10 = (64 / 4 - 1) << 16 | LOG_ERROR,
	};
	int ret = nvme_do(c->nvme, &c->nvme->admin, &cmd, NULL);

	memcpy(entry, c->log, sizeof(*entry));
	return ret;
}

/* The commands go to @q, which is a queue of @nvme. */
int nvme_cases_init(struct nvme_cases *c, struct nvme *nvme,
		    struct nvme_queue *q)
{
	struct entry entry;
	int ret;

	memset(c, 0, sizeof(*c));
	c->nvme = nvme;
	c->q = q;
	c->buf = guest_alloc(nvme->guest, PAGES * GUEST_PAGE);
	memset(c->buf, 0, PAGES * GUEST_PAGE);
	c->list = guest_alloc(nvme->guest, GUEST_PAGE);
	c->log = guest_alloc(nvme->guest, GUEST_PAGE);
	ret = read_log(c, &entry);
	c->count = entry.count;
	return ret;
}

static void set_data(struct nvme_cases *c, struct nvme_cmd *cmd,
		     const struct nvme_case *one)
{
	__u64 good = guest_iova(c->nvme->guest, c->buf), off = one->offset;
	int i;

	if (one->data == DATA_OWN)
		return;
	for (i = 0; i < PAGES - 1; i++)
		c->list[i] = htole64(good + (i + 1) * GUEST_PAGE);
	cmd->prp1 = good;
	switch (one->data) {
	case DATA_PRP1:
		cmd->prp1 += off;
		break;
	case DATA_PRP2:
		cmd->prp2 = good + GUEST_PAGE + off;
		break;
	case DATA_LIST_ENTRY:
		c->list[1] = htole64(good + 2 * GUEST_PAGE + off);
		cmd->prp2 = guest_iova(c->nvme->guest, c->list);
		break;
	case DATA_LIST:
		cmd->prp2 = guest_iova(c->nvme->guest, c->list) + off;
		break;
	case DATA_SGL:
		cmd->flags |= 1 << 6;
		cmd->prp2 = off << 56 | cmd->prp2;
		break;
	}
}

static int complain(struct nvme_cases *c, const struct nvme_case *one,
		    const char *fmt, ...)
{
	va_list args;
	int n;

	n = snprintf(c->why, sizeof(c->why), "%s, opcode %#x, %s: ",
		     one->section ? one->section : "", one->cmd.opcode,
		     one->name ? one->name : "");
	va_start(args, fmt);
	vsnprintf(c->why + n, sizeof(c->why) - n, fmt, args);
	va_end(args);
	return -1;
}

/* A success must not add an entry to the error log. */
static int check_no_entry(struct nvme_cases *c, const struct nvme_case *one)
{
	struct entry entry;

	if (read_log(c, &entry))
		return complain(c, one, "no error log");
	if (entry.count == c->count)
		return 0;
	c->count = entry.count;
	return complain(c, one, "an entry in the error log, status %#x, at %u",
			entry.status >> 1, entry.at);
}

/* Returns 0, or -1 with the reason in @why. */
static int check_entry(struct nvme_cases *c, const struct nvme_cmd *cmd,
		       const struct nvme_case *one, __u16 status)
{
	struct entry entry;
	__u64 lba;

	if (read_log(c, &entry))
		return complain(c, one, "no error log");
	if (entry.count != c->count + 1 || entry.sqid != c->q->id ||
	    entry.cid != cmd->cid || entry.status >> 1 != status ||
	    entry.at != one->at || entry.nsid != cmd->nsid) {
		c->count = entry.count;
		return complain(c, one,
				"error log: number %llu, queue %u, command %u, status %#x, at %u, namespace %#x",
				entry.count, entry.sqid, entry.cid,
				entry.status >> 1, entry.at, entry.nsid);
	}
	c->count++;
	/* The first block in error is the first one that does not exist (5.14.1.1). */
	lba = cmd->cdw10 | (__u64)cmd->cdw11 << 32;
	if (lba < c->nvme->nr_lbas)
		lba = c->nvme->nr_lbas;
	if (one->status == ST_LBA_RANGE && cmd->opcode != NVME_OP_DSM && entry.lba != lba)
		return complain(c, one, "error log: block %#llx", entry.lba);
	return 0;
}

static int check_given(struct nvme_cases *c, const struct nvme_case *one,
		       __u32 result)
{
	__u64 got = 0;

	if (one->want == WANT_RESULT && result != one->value)
		return complain(c, one, "result %#x, not %#llx", result,
				one->value);
	if (one->want != WANT_BYTES)
		return 0;
	memcpy(&got, c->buf + one->byte, one->len);
	if (le64toh(got) != one->value)
		return complain(c, one, "%#llx at byte %u, not %#llx",
				(unsigned long long)le64toh(got), one->byte,
				one->value);
	return 0;
}

static int expected(const struct nvme_case *one)
{
	int want = one->status;

	if (!want)
		return 0;
	if (one->at != AT_NO_ENTRY)
		want |= ST_MORE;
	/* A transfer error has no DNR bit, because a second attempt may succeed. */
	return want == (ST_DATA_TRANSFER | ST_MORE) ? want : want | ST_DNR;
}

/* The controller must work after the command. Returns 0, or -1 with the reason in @why. */
int nvme_case_try(struct nvme_cases *c, const struct nvme_case *one)
{
	struct nvme_cmd cmd = one->cmd;
	int got, want = expected(one), ret;
	__u32 result = 0;

	set_data(c, &cmd, one);
	if (one->want == WANT_BYTES)
		memset(c->buf, 0xee, GUEST_PAGE);
	got = nvme_do(c->nvme, c->q, &cmd, &result);
	if (got != want)
		return complain(c, one, "status %#x, not %#x", got, want);
	if (one->status && one->at != AT_NO_ENTRY)
		ret = check_entry(c, &cmd, one, got);
	else
		ret = check_no_entry(c, one);
	if (!ret && !one->status)
		ret = check_given(c, one, result);
	if (ret)
		return -1;
	ret = nvme_flush(c->nvme);
	return ret ? complain(c, one, "a Flush after it: %#x", ret) : 0;
}

/* Tries all opcodes except for @known. Returns the first that is not refused, or -1. */
int nvme_cases_opcodes(struct nvme_cases *c, const char *section,
		       const __u8 *known, int nr)
{
	struct nvme_case one = {
		.section = section,
		.status = ST_INVALID_OPCODE, .at = AT_OPCODE,
	};
	int opcode;

	for (opcode = 0; opcode < 256; opcode++) {
		if (memchr(known, opcode, nr))
			continue;
		one.cmd.opcode = opcode;
		one.cmd.nsid = 1;
		if (nvme_case_try(c, &one))
			return opcode;
	}
	return -1;
}
