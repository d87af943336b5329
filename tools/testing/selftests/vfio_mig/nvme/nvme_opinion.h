/* SPDX-License-Identifier: GPL-2.0-only */
/* Known differences between mnvme and QEMU's NVMe controller; a part of nvme_opinion.c */

static __u32 cdw10(const struct command *c)
{
	return c->cmd.cdw10 & 0xff;
}

static bool any(const struct command *c)
{
	(void)c;
	return true;
}

static bool has_nsid(const struct command *c)
{
	return c->cmd.nsid;
}

static bool has_flags(const struct command *c)
{
	return c->cmd.flags;
}

static bool unknown(__u8 opcode)
{
	switch (opcode) {
	case NVME_OP_FLUSH:
	case NVME_OP_WRITE:
	case NVME_OP_READ:
	case NVME_OP_COMPARE:
	case NVME_OP_WRITE_ZEROES:
	case NVME_OP_DSM:
	case NVME_OP_VERIFY:
	case NVME_OP_COPY:
		return false;
	default:
		return true;
	}
}

static bool broadcast(const struct command *c)
{
	return c->cmd.nsid == ~0U;
}

static bool nsid_2(const struct command *c)
{
	return c->cmd.nsid == 2;
}

static bool far(const struct command *c)
{
	return c->pointer == PRP_FAR;
}

static bool sgl_type(const struct command *c)
{
	return c->pointer == SGL_TYPE;
}

/*
 * Both controllers refuse a command that has more than one wrong field. NVMe does not say which
 * of the errors they report.
 */
static bool many(const struct command *c)
{
	const struct nvme_cmd *cmd = &c->cmd;
	int wrong = 0;

	if (!a.status || !b.status)
		return false;
	wrong += !!cmd->flags;
	wrong += c->pointer != PRP_GOOD && c->pointer != PRP_OFFSET &&
		 c->pointer != SGL_GOOD;
	if (!c->admin) {
		wrong += cmd->nsid != 1;
		wrong += unknown(cmd->opcode);
		wrong += cmd->cdw11 || cmd->cdw10 > BLOCKS - 64;
		wrong += cmd->cdw12 > 64;
		wrong += cmd->opcode == NVME_OP_DSM || cmd->opcode == NVME_OP_COPY ||
			 cmd->opcode == NVME_OP_COMPARE;
		return wrong > 1;
	}
	wrong += !!cmd->nsid;
	if (cmd->opcode == ADMIN_CREATE_SQ || cmd->opcode == ADMIN_CREATE_CQ) {
		wrong += (cmd->cdw10 & 0xffff) < 2 || (cmd->cdw10 & 0xffff) > 3;
		wrong += (cmd->cdw10 >> 16) != 15;
		wrong += !(cmd->cdw11 & 1);
		wrong += cmd->cdw11 >> 16 != 1;
		wrong += c->pointer == PRP_OFFSET;
	}
	if (cmd->opcode == ADMIN_SET_FEATURES || cmd->opcode == ADMIN_GET_FEATURES) {
		wrong += cmd->cdw10 >> 31;
		wrong += (cmd->cdw10 >> 8 & 7) > 3;
		wrong += cdw10(c) == 0 || cdw10(c) > 11 || cdw10(c) == 6;
		wrong += cdw10(c) == 5 || cdw10(c) == 7;
	}
	if (cmd->opcode == ADMIN_GET_LOG)
		wrong += 1 + !!(cmd->cdw12 & 3);
	if (cmd->opcode == ADMIN_IDENTIFY)
		wrong += !!cmd->cdw11 + (cdw10(c) > 3);
	return wrong > 1;
}

static bool odd_prp1(const struct command *c)
{
	return c->pointer == PRP_ODD;
}

static bool odd_list(const struct command *c)
{
	return c->pointer == LIST_ODD;
}

static bool not_aligned(const struct command *c)
{
	return c->pointer == PRP_OFFSET || c->pointer == PRP_ODD;
}

static bool more_of_identify(const struct command *c)
{
	return cdw10(c) > 4;
}

static bool own_features(const struct command *c)
{
	return cdw10(c) == 6 || cdw10(c) > 11;
}

static bool constant_there(const struct command *c)
{
	return cdw10(c) == 1 || cdw10(c) == 2 || cdw10(c) == 8 || cdw10(c) == 9;
}

static bool sensor(const struct command *c)
{
	return cdw10(c) == 4 && c->cmd.cdw11 >> 16;
}

static bool events(const struct command *c)
{
	return cdw10(c) == 11;
}

static bool queues(const struct command *c)
{
	return cdw10(c) == 7;
}

static bool select_reserved(const struct command *c)
{
	return (c->cmd.cdw10 >> 8 & 7) > 3;
}

static bool namespace_2(const struct command *c)
{
	return c->cmd.nsid > 1;
}

static bool log_of_one(const struct command *c)
{
	return c->cmd.nsid == 1 || (!c->cmd.nsid && cdw10(c) == 2);
}

static bool log_of_its_own(const struct command *c)
{
	return cdw10(c) == 4;
}

static bool log_offset(const struct command *c)
{
	return c->cmd.cdw12;
}

static bool many_blocks(const struct command *c)
{
	return c->cmd.cdw12 > 1023;
}

static bool hints(const struct command *c)
{
	return !(c->cmd.cdw11 & AD);
}

static struct difference known[] = {
	/* QEMU accepts a command that NVMe 1.4 requires it to refuse, or reports another error. */
	{ true, ANY, ST_INVALID_FIELD, ANY, has_nsid,
	  "1.4, NSID: an admin command that does not use it refuses it; QEMU ignores it" },
	{ true, ADMIN_GET_FEATURES, ST_INVALID_NS, ANY, namespace_2,
	  "5.13: Get Features of an invalid namespace is refused; QEMU ignores it" },
	{ false, ANY, ST_INVALID_FIELD, ST_INVALID_NS, broadcast,
	  "1.4, NSID: FFFFFFFFh is Invalid Field if it is not supported; QEMU: Invalid Namespace" },
	{ false, ANY, ST_INVALID_NS, ST_INVALID_FIELD, nsid_2,
	  "6.1: mnvme has one NSID (NN), 2 is invalid; QEMU has 256, and 2 is inactive" },
	{ true, ADMIN_IDENTIFY, ST_INVALID_NS, ST_SUCCESS, nsid_2,
	  "6.1: mnvme has one NSID (NN), 2 is invalid; QEMU has 256, and 2 is inactive" },
	{ true, ADMIN_IDENTIFY, ST_INVALID_NS, ST_INVALID_FIELD, nsid_2,
	  "6.1: mnvme has one NSID (NN), 2 is invalid; QEMU has 256, and 2 is inactive" },
	{ true, ADMIN_SET_FEATURES, ST_INVALID_NS, ANY, nsid_2,
	  "6.1: mnvme has one NSID (NN), 2 is invalid; QEMU has 256, and 2 is inactive" },
	{ false, ANY, ST_DATA_TRANSFER, ANY, far,
	  "4.3: Data Transfer Error; QEMU does not see that the IOMMU refuses an access" },
	{ true, ANY, ST_DATA_TRANSFER, ANY, far,
	  "4.3: Data Transfer Error; QEMU does not see that the IOMMU refuses an access" },
	{ false, ANY, ST_SGL_TYPE, ST_SGL_SEGMENT, sgl_type,
	  "4.4: SGL Descriptor Type Invalid; QEMU takes it for a segment" },
	{ false, ANY, ST_INVALID_FIELD, ANY, has_flags,
	  "4.2: FUSE and PSDT are looked at in each command; QEMU where it has data" },
	{ true, ANY, ST_INVALID_FIELD, ST_INVALID_OPCODE, has_flags,
	  "4.2: FUSE and PSDT are looked at before the opcode; QEMU looks at that first" },
	{ false, ANY, ST_PRP_OFFSET, ANY, odd_prp1,
	  "4.3: PRP1 is a dword's; QEMU takes any" },
	{ true, ANY, ST_PRP_OFFSET, ANY, odd_prp1,
	  "4.3: PRP1 is a dword's; QEMU takes any" },
	{ false, ANY, ST_PRP_OFFSET, ANY, odd_list,
	  "4.3: a PRP list is at a qword; QEMU reads what is there" },
	{ true, ADMIN_GET_FEATURES, ST_INVALID_FIELD, ANY, select_reserved,
	  "5.13: a reserved Select is refused; QEMU takes it for the current value" },
	{ true, ADMIN_SET_FEATURES, ST_INVALID_FIELD, ANY, sensor,
	  "5.21.1.4: a sensor that is not there is refused; QEMU ignores it" },
	{ true, ADMIN_GET_FEATURES, ST_INVALID_FIELD, ANY, sensor,
	  "5.21.1.4: a sensor that is not there is refused; QEMU ignores it" },
	{ true, ADMIN_SET_FEATURES, ST_INVALID_FIELD, ST_SUCCESS, events,
	  "5.21.1.11: events that OAES does not have are refused; QEMU takes them" },
	/* NVMe 1.4 names the status, and QEMU reports another one. */
	{ true, ADMIN_DELETE_CQ, ST_QUEUE_ID, ST_CQ_INVALID, any,
	  "5.5: Invalid Queue Identifier; QEMU says Completion Queue Invalid" },
	{ true, ADMIN_CREATE_SQ, ANY, ST_CQ_INVALID, any,
	  "5.4: 0 and above the maximum are Invalid Queue Identifier; QEMU has one status" },
	{ true, ADMIN_GET_LOG, ST_LOG_PAGE, ST_INVALID_FIELD, any,
	  "5.14: Invalid Log Page; QEMU says Invalid Field" },
	/* One controller has an optional feature that the other does not have. */
	{ true, ADMIN_IDENTIFY, ST_INVALID_FIELD, ANY, more_of_identify,
	  "QEMU has more I/O command sets and controllers to identify" },
	{ true, ADMIN_SET_FEATURES, ANY, ANY, own_features,
	  "QEMU has a write cache, a timestamp and other features" },
	{ true, ADMIN_SET_FEATURES, ANY, 0x10e, constant_there,
	  "QEMU does not let Arbitration, power and interrupts be set" },
	{ true, ADMIN_SET_FEATURES, ANY, ANY, queues,
	  "5.21.1.7: which of two errors is told is the controller's" },
	{ true, ADMIN_GET_LOG, ANY, ANY, log_of_one,
	  "5.14.1.2: QEMU has health of one namespace (LPA), and of none refuses it" },
	{ true, ADMIN_GET_LOG, ANY, ANY, log_of_its_own,
	  "QEMU has Changed Namespace List" },
	{ true, ADMIN_GET_LOG, ANY, ANY, log_offset,
	  "5.14: QEMU's error log has one entry, and an offset at the end is an error" },
	{ false, NVME_OP_VERIFY, ST_SUCCESS, ST_INVALID_FIELD, many_blocks,
	  "QEMU limits Verify (VSL)" },
	{ false, NVME_OP_DSM, ST_LBA_RANGE, ST_SUCCESS, any,
	  "6.7: a range behind the end is LBA Out of Range; QEMU skips it" },
	{ false, NVME_OP_DSM, ANY, ANY, hints,
	  "6.7: hints only: QEMU does not read the ranges" },
	/* NVMe 1.4 permits both results. */
	{ true, ADMIN_CREATE_CQ, ANY, ANY, not_aligned,
	  "5.3: which of two errors is told is the controller's" },
	{ true, ANY, ANY, ANY, many,
	  "which of two errors in one admin command is told is the controller's" },
	{ false, ANY, ANY, ANY, many,
	  "which of two errors in one I/O command is told is the controller's" },
};
