/* SPDX-License-Identifier: GPL-2.0-only */
/* Registers of an NVMe controller, and their fields (NVMe 1.4, 3.1). */
#ifndef VFIO_MIG_LIB_NVME_REGS_H
#define VFIO_MIG_LIB_NVME_REGS_H

#define REG_CAP_LOW		0x00
#define REG_CAP_HIGH		0x04
#define REG_VS			0x08
#define REG_INTMS		0x0c
#define REG_CC			0x14
#define REG_CSTS		0x1c
#define REG_AQA			0x24
#define REG_ASQ			0x28
#define REG_ACQ			0x30
#define DOORBELLS		0x1000

/* Queue entries of 64 and 16 bytes, pages of 4 KiB */
#define CC_ENABLE		((6 << 16) | (4 << 20) | 1)
#define CC_SHN			(1 << 14)

#define CSTS_RDY		0x1
#define CSTS_CFS		0x2
#define CSTS_SHST_DONE		0x8
#define CSTS_ALL		0xf

/* SGLs (NVMe 1.4, 4.4): the flag of a command, and types with subtype 0. */
#define CMD_SGL			(1 << 6)
#define SGL_DATA		0x00ULL
#define SGL_BUCKET		0x10ULL
#define SGL_SEGMENT		0x20ULL
#define SGL_LAST		0x30ULL

#endif /* VFIO_MIG_LIB_NVME_REGS_H */
