/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A test is a table of commands with the results that the NVMe specification requires. Each
 * command goes to a controller that works. The test compares status, error log entry, result
 * and data. The controller must still work after each command.
 */
#ifndef VFIO_MIG_LIB_NVME_CASE_H
#define VFIO_MIG_LIB_NVME_CASE_H

#include <stdbool.h>

#include "nvme.h"
#include "nvme_errors.h"

/* Opcodes of admin commands */
#define ADMIN_DELETE_SQ		0x00
#define ADMIN_CREATE_SQ		0x01
#define ADMIN_GET_LOG		0x02
#define ADMIN_DELETE_CQ		0x04
#define ADMIN_CREATE_CQ		0x05
#define ADMIN_IDENTIFY		0x06
#define ADMIN_ABORT		0x08
#define ADMIN_SET_FEATURES	0x09
#define ADMIN_GET_FEATURES	0x0a
#define ADMIN_AER		0x0c
#define ADMIN_DBBUF		0x7c

/* CDW10 and CDW11 of a command that creates a queue of 32 entries */
#define QUEUE(id)	(31U << 16 | (id))
#define PC		1U
#define IEN		2U
#define CQ(id)		((__u32)(id) << 16)
#define VECTOR(v)	((__u32)(v) << 16)
#define ENTRIES(n)	((__u32)((n) - 1) << 16)

/* An address without memory */
#define FAR		(1ULL << 50)

/* The place of the command's data, and the error in its description */
enum nvme_case_data {
	DATA_GOOD,
	DATA_OWN,		/* the table has the data pointer */
	DATA_PRP1,		/* @offset is added to PRP1 */
	DATA_PRP2,		/* PRP2 is the second page, with @offset */
	DATA_LIST,		/* PRP2 is a list, with @offset */
	DATA_LIST_ENTRY,	/* the list's second entry has @offset */
	DATA_SGL,		/* the descriptor is of type @offset */
};

/* The result of a command that succeeds */
enum nvme_case_want {
	WANT_NOTHING,
	WANT_RESULT,		/* dword 0 of the completion is @value */
	WANT_BYTES,		/* @len bytes at @byte of the data are @value */
};

struct nvme_case {
	const char *section;	/* section of NVMe 1.4 */
	const char *name;
	struct nvme_cmd cmd;
	__u16 status;
	__u16 at;		/* AT_*: location of the error in the error log */
	__u8 data;
	__u64 offset;
	__u8 want;
	__u16 byte;
	__u8 len;
	__u64 value;
};

#define CASE_RESULT(v)		.want = WANT_RESULT, .value = (v)
#define CASE_BYTES(b, l, v)						\
	.want = WANT_BYTES, .byte = (b), .len = (l), .value = (v)

struct nvme_cases {
	struct nvme *nvme;
	struct nvme_queue *q;		/* queue of the commands */
	unsigned char *buf;		/* 8 valid pages */
	__u64 *list;
	unsigned char *log;
	__u64 count;			/* number of errors in the log so far */
	char why[256];
};

int nvme_cases_init(struct nvme_cases *c, struct nvme *nvme,
		    struct nvme_queue *q);
int nvme_case_try(struct nvme_cases *c, const struct nvme_case *one);
int nvme_cases_opcodes(struct nvme_cases *c, const char *section,
		       const __u8 *known, int nr);

#endif /* VFIO_MIG_LIB_NVME_CASE_H */
