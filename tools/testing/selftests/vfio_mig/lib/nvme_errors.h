/* SPDX-License-Identifier: GPL-2.0-only */
/* Errors that an NVMe controller reports for a bad command */
#ifndef VFIO_MIG_LIB_NVME_ERRORS_H
#define VFIO_MIG_LIB_NVME_ERRORS_H

/* Status Code Type and Status Code, NVMe 1.4, 4.6.1. */
enum nvme_status {
	ST_SUCCESS		= 0x000,
	ST_INVALID_OPCODE	= 0x001,
	ST_INVALID_FIELD	= 0x002,
	ST_ID_CONFLICT		= 0x003,
	ST_DATA_TRANSFER	= 0x004,
	ST_INTERNAL		= 0x006,
	ST_ABORTED		= 0x007,
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

/* Parameter Error Location: the byte in the command, and the first bit in that byte */
#define AT(byte, bit)	((byte) | (bit) << 8)
#define AT_OPCODE	0
#define AT_FLAGS	1
#define AT_PSDT		AT(1, 6)
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
/* The error log gets no entry. */
#define AT_NO_ENTRY	0xfffe

#endif /* VFIO_MIG_LIB_NVME_ERRORS_H */
