/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Commands that are wrong, with what the NVMe specification says of them: a table
 * of these is a test. Each is sent to a controller that works; status and error log
 * entry are compared, and then the controller has to work still.
 */
#ifndef VFIO_MIG_LIB_NVME_ERRORS_H
#define VFIO_MIG_LIB_NVME_ERRORS_H

#include "nvme.h"

/* Status Code Type and Status Code, NVMe 1.4, 4.6.1. */
enum nvme_status {
	ST_SUCCESS		= 0x000,
	ST_INVALID_OPCODE	= 0x001,
	ST_INVALID_FIELD	= 0x002,
	ST_DATA_TRANSFER	= 0x004,
	ST_INTERNAL		= 0x006,
	ST_INVALID_NS		= 0x00b,
	ST_SEQUENCE		= 0x00c,
	ST_SGL_SEGMENT		= 0x00d,
	ST_SGL_NUMBER		= 0x00e,
	ST_SGL_LENGTH		= 0x00f,
	ST_SGL_TYPE		= 0x011,
	ST_PRP_OFFSET		= 0x013,
	ST_LBA_RANGE		= 0x080,
	ST_CQ_INVALID		= 0x100,
	ST_QUEUE_ID		= 0x101,
	ST_QUEUE_SIZE		= 0x102,
	ST_AER_LIMIT		= 0x105,
	ST_VECTOR		= 0x108,
	ST_LOG_PAGE		= 0x109,
	ST_QUEUE_DELETION	= 0x10c,
	ST_NOT_SAVEABLE		= 0x10d,
	ST_NOT_PER_NS		= 0x10f,
	ST_COPY_LIMIT		= 0x183,
	ST_COMPARE		= 0x285,
};

#define ST_CODE			0x07ff
#define ST_MORE			0x2000
#define ST_DNR			0x4000

/* Parameter Error Location: the byte of the command. */
#define AT_OPCODE	0
#define AT_FLAGS	1
#define AT_NSID		4
#define AT_PRP1		24
#define AT_PRP2		32
#define AT_CDW10	40
#define AT_CDW10_HIGH	42
#define AT_CDW11	44
#define AT_CDW11_HIGH	46
#define AT_CDW12	48
#define AT_CDW12_SECOND	49
#define AT_NONE		0xffff

/* What is added to the address of a buffer that is good. */
enum nvme_error_data {
	DATA_GOOD,
	DATA_OWN,		/* nothing: the table has the data pointer */
	DATA_PRP1,		/* @offset is added to PRP1 */
	DATA_PRP2,		/* PRP2 is the second page, with @offset */
	DATA_LIST,		/* PRP2 is a list, with @offset */
	DATA_LIST_ENTRY,	/* the list's second entry has @offset */
	DATA_SGL,		/* the descriptor is of type @offset */
};

struct nvme_error {
	const char *name;
	struct nvme_cmd cmd;
	__u16 status;
	__u16 at;
	__u8 data;
	__u64 offset;
};

struct nvme_errors {
	struct nvme *nvme;
	struct nvme_queue *q;		/* where the commands go */
	unsigned char *buf;		/* 8 pages that are good */
	__u64 *list;
	unsigned char *log;
	__u64 count;			/* errors logged so far */
	char why[240];
};

int nvme_errors_init(struct nvme_errors *e, struct nvme *nvme,
		     struct nvme_queue *q);
int nvme_errors_try(struct nvme_errors *e, const struct nvme_error *error);
int nvme_errors_opcodes(struct nvme_errors *e, const __u8 *known, int nr);

#endif /* VFIO_MIG_LIB_NVME_ERRORS_H */
