// SPDX-License-Identifier: GPL-2.0-only
/*
 * Identify (NVMe 5.15)
 */

#include "mnvme.h"

/* Bits that <linux/nvme.h> does not have */
#define MNVME_ONCS_SAVE		BIT(4)	/* Save and Select in features */
#define MNVME_ONCS_VERIFY	BIT(7)
#define MNVME_ONCS_COPY		BIT(8)
#define MNVME_LPA_EXTENDED	BIT(2)	/* Get Log Page: offset, long lengths */
#define MNVME_FRMW_1_READ_ONLY	(BIT(0) | 1 << 1)	/* one slot */
#define MNVME_VWC_FLUSH_ALL	(3 << 1) /* no cache; Flush of all namespaces */
#define MNVME_SGLS		(1 | BIT(16) | BIT(18)) /* bit bucket, excess length */
#define MNVME_NSFEAT_OPTPERF	BIT(4)	/* NPWG to NOWS are defined */
#define MNVME_DLFEAT_ZEROES	(1 | BIT(3))	/* zeros; Write Zeroes deallocates */

/*
 * These belong to I/O Command Sets, which came after 1.4 with TP 4056. A host can only
 * detect by trying whether a controller has them.
 */
#define MNVME_CNS_CS_NS		0x05
#define MNVME_CNS_CS_CTRL	0x06
#define MNVME_CNS_CS_NS_LIST	0x07
#define MNVME_CNS_INDEP_NS	0x08
#define MNVME_CNS_CS_NS_ALL	0x1a
#define MNVME_CNS_INDEP_NS_ALL	0x1b
#define MNVME_CNS_CS_VECTOR	0x1c
#define MNVME_CSI(cdw11)	((cdw11) >> 24)
#define MNVME_CSI_NVM		0

/* Fields for Copy, which came after 1.4 */
#define MNVME_ID_CTRL_OCFS	534	/* Optional Copy Formats Supported */
#define MNVME_ID_NS_MSSRL	74	/* Maximum Single Source Range Length */
#define MNVME_ID_NS_MCL		76	/* Maximum Copy Length */
#define MNVME_ID_NS_MSRC	80	/* Maximum Source Range Count, 0's based */

/**
 * mnvme_serial_default() - make a serial number from the identity
 * @dev: the controller
 * @sn: buffer for the serial number, which is not terminated
 *
 * A UUID has 32 digits, and the field has 20 characters. The serial number has the first
 * and the last group. UUIDs that were made one after another differ there, because they
 * are made from the time, at random, or by counting.
 */
void mnvme_serial_default(const struct mnvme *dev, char sn[MNVME_SERIAL_LEN])
{
	char hex[MNVME_SERIAL_LEN + 1];

	snprintf(hex, sizeof(hex), "%4phN%6phN", dev->id.b, dev->id.b + 10);
	memcpy(sn, hex, MNVME_SERIAL_LEN);
}

/**
 * mnvme_set_identity() - make the mdev's UUID the namespace's identity
 * @dev: the controller
 * @guid: the UUID in the mdev core's form, whose first fields are little-endian
 *
 * UUIDs in NVMe are big-endian, in the order in which they are printed.
 */
void mnvme_set_identity(struct mnvme *dev, const guid_t *guid)
{
	static const u8 order[UUID_SIZE] = {
		3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15
	};
	int i;

	for (i = 0; i < UUID_SIZE; i++)
		dev->id.b[i] = guid->b[order[i]];
	mnvme_serial_default(dev, dev->serial);
}

static void mnvme_pad(char *field, size_t len, const char *text)
{
	memset(field, ' ', len);
	memcpy(field, text, min(len, strlen(text)));
}

static void mnvme_identify_ctrl(struct mnvme *dev, void *buf)
{
	struct nvme_id_ctrl *id = buf;

	id->vid = cpu_to_le16(get_unaligned_le16(dev->config + PCI_VENDOR_ID));
	id->ssvid = cpu_to_le16(get_unaligned_le16(dev->config +
						   PCI_SUBSYSTEM_VENDOR_ID));
	memcpy(id->sn, dev->serial, sizeof(id->sn));
	mnvme_pad(id->mn, sizeof(id->mn), "mnvme mediated NVMe controller");
	mnvme_pad(id->fr, sizeof(id->fr), MNVME_FIRMWARE);
	id->rab = 6;
	id->mdts = MNVME_MDTS;
	id->ver = cpu_to_le32(NVME_VS(1, 4, 0));
	id->cntrltype = NVME_CTRL_IO;
	if (mnvme_offers_dbbuf(dev))
		id->oacs = cpu_to_le16(NVME_CTRL_OACS_DBBUF_SUPP);
	id->acl = 3;
	id->aerl = MNVME_AER_MAX - 1;
	id->frmw = MNVME_FRMW_1_READ_ONLY;
	id->lpa = NVME_CTRL_LPA_CMD_EFFECTS_LOG | MNVME_LPA_EXTENDED;
	id->elpe = MNVME_ERROR_LOG - 1;
	id->wctemp = cpu_to_le16(343);
	id->cctemp = cpu_to_le16(373);
	id->sqes = NVME_NVM_IOSQES << 4 | NVME_NVM_IOSQES;
	id->cqes = NVME_NVM_IOCQES << 4 | NVME_NVM_IOCQES;
	id->nn = cpu_to_le32(1);
	id->oncs = cpu_to_le16(NVME_CTRL_ONCS_COMPARE | NVME_CTRL_ONCS_DSM |
			       NVME_CTRL_ONCS_WRITE_ZEROES |
			       MNVME_ONCS_SAVE | MNVME_ONCS_VERIFY);
	if (mnvme_offers_copy(dev)) {
		id->oncs |= cpu_to_le16(MNVME_ONCS_COPY);
		put_unaligned_le16(BIT(0), buf + MNVME_ID_CTRL_OCFS);
	}
	id->vwc = MNVME_VWC_FLUSH_ALL;
	id->sgls = cpu_to_le32(MNVME_SGLS);
	snprintf(id->subnqn, sizeof(id->subnqn),
		 "nqn.2014-08.org.nvmexpress:uuid:%pUb", &dev->id);
	id->psd[0].max_power = cpu_to_le16(100);
}

static u16 mnvme_identify_ns(struct mnvme_req *req, void *buf)
{
	struct mnvme *dev = req->dev;
	struct nvme_id_ns *id = buf;
	u8 shift = dev->type->lba_shift;
	u64 nuse = (u64)vfio_mig_pages_resident(&dev->pages) <<
		   MNVME_NS_PAGE_SHIFT >> shift;

	if (le32_to_cpu(req->cmd->identify.nsid) != 1) {
		req->err_loc = offsetof(struct nvme_command, identify.nsid);
		return MNVME_DNR(NVME_SC_INVALID_NS);
	}

	id->nsze = cpu_to_le64(mnvme_nr_blocks(dev));
	id->ncap = id->nsze;
	id->nuse = cpu_to_le64(nuse);
	id->nsfeat = NVME_NS_FEAT_THIN | MNVME_NSFEAT_OPTPERF;
	id->dlfeat = MNVME_DLFEAT_ZEROES;
	/* Memory is allocated and freed in pages, so hosts should write whole pages. */
	id->npwg = cpu_to_le16((MNVME_NS_PAGE_SIZE >> shift) - 1);
	id->npwa = id->npwg;
	id->npdg = id->npwg;
	id->npda = id->npwg;
	if (dev->level >= 3)
		id->nows = id->npwg;
	if (mnvme_offers_copy(dev)) {
		put_unaligned_le16(mnvme_copy_max(dev), buf + MNVME_ID_NS_MSSRL);
		put_unaligned_le32(mnvme_copy_max(dev), buf + MNVME_ID_NS_MCL);
		*(u8 *)(buf + MNVME_ID_NS_MSRC) = MNVME_COPY_RANGES - 1;
	}
	put_unaligned_le64(dev->type->ns_size, id->nvmcap);
	memcpy(id->nguid, &dev->id, sizeof(id->nguid));
	id->lbaf[0].ds = shift;
	return NVME_SC_SUCCESS;
}

/* Lists active namespaces with identifiers above the command's. */
static u16 mnvme_identify_list(struct mnvme_req *req, void *buf)
{
	u32 nsid = le32_to_cpu(req->cmd->identify.nsid);

	if (nsid >= NVME_NSID_ALL - 1) {
		req->err_loc = offsetof(struct nvme_command, identify.nsid);
		return MNVME_DNR(NVME_SC_INVALID_NS);
	}
	if (!nsid)
		put_unaligned_le32(1, buf);
	return NVME_SC_SUCCESS;
}

static void *mnvme_add_id(void *pos, u8 type, const void *id, u8 len)
{
	struct nvme_ns_id_desc *desc = pos;

	desc->nidt = type;
	desc->nidl = len;
	memcpy(desc + 1, id, len);
	return pos + sizeof(*desc) + len;
}

static u16 mnvme_identify_descs(struct mnvme_req *req, void *buf)
{
	if (le32_to_cpu(req->cmd->identify.nsid) != 1) {
		req->err_loc = offsetof(struct nvme_command, identify.nsid);
		return MNVME_DNR(NVME_SC_INVALID_NS);
	}
	buf = mnvme_add_id(buf, NVME_NIDT_NGUID, &req->dev->id,
			   NVME_NIDT_NGUID_LEN);
	mnvme_add_id(buf, NVME_NIDT_UUID, &req->dev->id, NVME_NIDT_UUID_LEN);
	return NVME_SC_SUCCESS;
}

/* All fields are 0, because MDTS is the only limit and there is no protection information. */
static u16 mnvme_identify_cs(struct mnvme_req *req, bool ns)
{
	u32 nsid = le32_to_cpu(req->cmd->identify.nsid);

	if (MNVME_CSI(le32_to_cpu(req->cmd->common.cdw11)) != MNVME_CSI_NVM)
		return mnvme_not_offered(req, offsetof(struct nvme_command,
						       common.cdw11) + 3);
	if (ns && nsid != 1) {
		req->err_loc = offsetof(struct nvme_command, identify.nsid);
		return MNVME_DNR(NVME_SC_INVALID_NS);
	}
	if (!ns && nsid)
		return MNVME_BAD_FIELD(req, identify.nsid);
	return NVME_SC_SUCCESS;
}

static u16 mnvme_identify_fill(struct mnvme_req *req, void *buf)
{
	u8 cns = req->cmd->identify.cns;

	switch (cns) {
	case NVME_ID_CNS_NS:
		return mnvme_identify_ns(req, buf);
	case NVME_ID_CNS_CTRL:
		if (req->cmd->identify.nsid)
			return MNVME_BAD_FIELD(req, identify.nsid);
		mnvme_identify_ctrl(req->dev, buf);
		return NVME_SC_SUCCESS;
	case NVME_ID_CNS_NS_ACTIVE_LIST:
		return mnvme_identify_list(req, buf);
	case NVME_ID_CNS_NS_DESC_LIST:
		return mnvme_identify_descs(req, buf);
	case MNVME_CNS_CS_NS:
	case MNVME_CNS_CS_CTRL:
		return mnvme_identify_cs(req, cns == MNVME_CNS_CS_NS);
	case MNVME_CNS_CS_NS_LIST:
	case MNVME_CNS_INDEP_NS:
	case MNVME_CNS_CS_NS_ALL:
	case MNVME_CNS_INDEP_NS_ALL:
	case MNVME_CNS_CS_VECTOR:
		return mnvme_not_offered(req, offsetof(struct nvme_command,
						       identify.cns));
	default:
		return MNVME_BAD_FIELD(req, identify.cns);
	}
}

/**
 * mnvme_identify() - execute Identify
 * @req: the command
 *
 * Return: NVMe status.
 */
u16 mnvme_identify(struct mnvme_req *req)
{
	void *buf = req->sq->executor->buf;
	u16 status;

	BUILD_BUG_ON(NVME_IDENTIFY_DATA_SIZE > MNVME_BUF_SIZE);
	memset(buf, 0, NVME_IDENTIFY_DATA_SIZE);
	status = mnvme_identify_fill(req, buf);
	if (status)
		return status;
	return mnvme_copy_out(req, buf, NVME_IDENTIFY_DATA_SIZE,
			      NVME_IDENTIFY_DATA_SIZE);
}
