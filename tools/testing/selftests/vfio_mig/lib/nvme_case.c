// SPDX-License-Identifier: GPL-2.0-only
/* Sends commands that are wrong, and looks at what comes of it. */
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nvme_errors.h"

#define ADMIN_GET_LOG	0x02
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

static int read_log(struct nvme_errors *e, struct entry *entry)
{
	struct nvme_cmd cmd = {
		.opcode = ADMIN_GET_LOG,
		.nsid = ~0U,
		.prp1 = guest_iova(e->nvme->guest, e->log),
		.cdw10 = (64 / 4 - 1) << 16 | LOG_ERROR,
	};
	int ret = nvme_do(e->nvme, &e->nvme->admin, &cmd, NULL);

	memcpy(entry, e->log, sizeof(*entry));
	return ret;
}

/* @q: where the commands are to go, one of @nvme's. */
int nvme_errors_init(struct nvme_errors *e, struct nvme *nvme,
		     struct nvme_queue *q)
{
	struct entry entry;
	int ret;

	memset(e, 0, sizeof(*e));
	e->nvme = nvme;
	e->q = q;
	e->buf = guest_alloc(nvme->guest, PAGES * GUEST_PAGE);
	memset(e->buf, 0, PAGES * GUEST_PAGE);
	e->list = guest_alloc(nvme->guest, GUEST_PAGE);
	e->log = guest_alloc(nvme->guest, GUEST_PAGE);
	ret = read_log(e, &entry);
	e->count = entry.count;
	return ret;
}

static void set_data(struct nvme_errors *e, struct nvme_cmd *cmd,
		     const struct nvme_error *error)
{
	__u64 good = guest_iova(e->nvme->guest, e->buf), off = error->offset;
	int i;

	if (error->data == DATA_OWN)
		return;
	for (i = 0; i < PAGES - 1; i++)
		e->list[i] = htole64(good + (i + 1) * GUEST_PAGE);
	cmd->prp1 = good;
	switch (error->data) {
	case DATA_PRP1:
		cmd->prp1 += off;
		break;
	case DATA_PRP2:
		cmd->prp2 = good + GUEST_PAGE + off;
		break;
	case DATA_LIST_ENTRY:
		e->list[1] = htole64(good + 2 * GUEST_PAGE + off);
		cmd->prp2 = guest_iova(e->nvme->guest, e->list);
		break;
	case DATA_LIST:
		cmd->prp2 = guest_iova(e->nvme->guest, e->list) + off;
		break;
	case DATA_SGL:
		cmd->flags |= 1 << 6;
		cmd->prp2 = off << 56 | cmd->prp2;
		break;
	}
}

static int complain(struct nvme_errors *e, const struct nvme_error *error,
		    const char *fmt, ...)
{
	va_list args;
	int n;

	n = snprintf(e->why, sizeof(e->why), "opcode %#x, %s: ",
		     error->cmd.opcode, error->name ? error->name : "");
	va_start(args, fmt);
	vsnprintf(e->why + n, sizeof(e->why) - n, fmt, args);
	va_end(args);
	return -1;
}

/* 0, or -1 with the reason in @why. */
static int check_log(struct nvme_errors *e, const struct nvme_cmd *cmd,
		     const struct nvme_error *error, __u16 status)
{
	struct entry entry;

	if (read_log(e, &entry))
		return complain(e, error, "no error log");
	if (entry.count != e->count + 1 || entry.sqid != e->q->id ||
	    entry.cid != cmd->cid || entry.status >> 1 != status ||
	    entry.at != error->at || entry.nsid != cmd->nsid) {
		e->count = entry.count;
		return complain(e, error,
				"error log: number %llu, queue %u, command %u, status %#x, at %u, namespace %#x",
				entry.count, entry.sqid, entry.cid,
				entry.status >> 1, entry.at, entry.nsid);
	}
	e->count++;
	if (error->status == ST_LBA_RANGE && cmd->opcode != NVME_OP_DSM &&
	    entry.lba != (cmd->cdw10 | (__u64)cmd->cdw11 << 32))
		return complain(e, error, "error log: block %#llx", entry.lba);
	return 0;
}

/* A controller that has been sent it works: 0, or -1 with the reason. */
int nvme_errors_try(struct nvme_errors *e, const struct nvme_error *error)
{
	struct nvme_cmd cmd = error->cmd;
	int got, want = error->status | ST_MORE | ST_DNR, ret;

	/* A transfer may well succeed the next time. */
	if (error->status == ST_DATA_TRANSFER)
		want &= ~ST_DNR;
	set_data(e, &cmd, error);
	got = nvme_do(e->nvme, e->q, &cmd, NULL);
	if (got != want)
		return complain(e, error, "status %#x, not %#x", got, want);
	if (check_log(e, &cmd, error, got))
		return -1;
	ret = nvme_flush(e->nvme);
	return ret ? complain(e, error, "a Flush after it: %#x", ret) : 0;
}

/* All opcodes but the @nr @known ones. The first that is not refused, or -1. */
int nvme_errors_opcodes(struct nvme_errors *e, const __u8 *known, int nr)
{
	struct nvme_error error = {
		.status = ST_INVALID_OPCODE, .at = AT_OPCODE,
	};
	int opcode;

	for (opcode = 0; opcode < 256; opcode++) {
		if (memchr(known, opcode, nr))
			continue;
		error.cmd.opcode = opcode;
		error.cmd.nsid = 1;
		if (nvme_errors_try(e, &error))
			return opcode;
	}
	return -1;
}
