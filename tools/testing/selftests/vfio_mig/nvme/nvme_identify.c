// SPDX-License-Identifier: GPL-2.0-only
/*
 * Identify: every mandatory field of NVMe 1.4, 5.15.2. If a field describes the controller's
 * behaviour, the test compares the field with the behaviour.
 */
#include <ctype.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "lib/nvme_errors.h"
#include "lib/nvme_fixture.h"

#define GET_LOG		0x02
#define IDENTIFY	0x06
#define SET_FEATURES	0x09
#define GET_FEATURES	0x0a
#define AER		0x0c

#define CNS_NAMESPACE	0
#define CNS_CONTROLLER	1
#define CNS_LIST	2
#define CNS_DESCRIPTORS	3

FIXTURE(identify) {
	struct nvme_fixture f;
	unsigned char *id;
	unsigned char *other;
	unsigned char *buf;
};

static int identify(struct nvme *nvme, __u32 nsid, __u32 cns, void *page)
{
	struct nvme_cmd cmd = {
		.opcode = IDENTIFY, .nsid = nsid, .cdw10 = cns,
		.prp1 = guest_iova(nvme->guest, page),
	};

	memset(page, 0xee, GUEST_PAGE);
	return nvme_do(nvme, &nvme->admin, &cmd, NULL);
}

FIXTURE_SETUP(identify)
{
	nvme_fixture_open(_metadata, &self->f, 8 << 20);
	self->id = guest_alloc(&self->f.guest, GUEST_PAGE);
	self->other = guest_alloc(&self->f.guest, GUEST_PAGE);
	self->buf = guest_alloc(&self->f.guest, 2 << 20);
	ASSERT_EQ(0, identify(&self->f.nvme, 0, CNS_CONTROLLER, self->id));
}

FIXTURE_TEARDOWN(identify)
{
	nvme_fixture_close(&self->f);
}

static __u16 get16(const unsigned char *at)
{
	return at[0] | at[1] << 8;
}

static __u32 get32(const unsigned char *at)
{
	return get16(at) | (__u32)get16(at + 2) << 16;
}

static __u64 get64(const unsigned char *at)
{
	return get32(at) | (__u64)get32(at + 4) << 32;
}

static bool zero(const unsigned char *at, size_t len)
{
	while (len--)
		if (*at++)
			return false;
	return true;
}

/* Returns whether the text is not empty, left-justified, and padded with spaces (1.5). */
static bool ascii(const unsigned char *at, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (at[i] < 0x20 || at[i] > 0x7e)
			return false;
	return at[0] != ' ';
}

static int command(struct nvme *nvme, struct nvme_queue *q, __u8 opcode,
		   __u32 cdw10, __u32 cdw11, const void *buf)
{
	struct nvme_cmd cmd = {
		.opcode = opcode, .nsid = q->id ? 1 : 0,
		.prp1 = guest_iova(nvme->guest, buf),
		.cdw10 = cdw10, .cdw11 = cdw11,
	};
	int ret = nvme_do(nvme, q, &cmd, NULL);

	return ret < 0 ? ret : ret & ST_CODE;
}

/* Bytes 0 to 111: identity of the controller */
TEST_F(identify, controller_names)
{
	unsigned char *id = self->id;
	struct region config;
	__u32 ids, sub, vs;

	ASSERT_RET(0, region_open(&config, &self->f.dev,
				  VFIO_PCI_CONFIG_REGION_INDEX));
	ASSERT_EQ(4, region_read(&config, 0, &ids, 4));
	ASSERT_EQ(4, region_read(&config, 0x2c, &sub, 4));
	ASSERT_RET(0, nvme_read32(&self->f.nvme, REG_VS, &vs));

	EXPECT_EQ(ids & 0xffff, get16(id));		/* VID */
	EXPECT_EQ(sub & 0xffff, get16(id + 2));		/* SSVID */
	EXPECT_TRUE(ascii(id + 4, 20));			/* SN */
	EXPECT_TRUE(ascii(id + 24, 40));		/* MN */
	EXPECT_TRUE(ascii(id + 64, 8));			/* FR */
	EXPECT_EQ(0, id[76] & 0xf0);			/* CMIC */
	EXPECT_GT(0xfff0, get16(id + 78));		/* CNTLID */
	EXPECT_EQ(vs, get32(id + 80));			/* VER */
	EXPECT_LE(0x00010400U, vs);
	EXPECT_EQ(1, id[111])				/* CNTRLTYPE */
		TH_LOG("not an I/O controller");
	EXPECT_TRUE(zero(id + 102, 9));			/* reserved */
	/* SUBNQN: "nqn.", a date, a name in reverse order, and a NUL at the end */
	EXPECT_EQ(0, memcmp(id + 768, "nqn.", 4));
	EXPECT_TRUE(isdigit(id[772]) && id[776] == '-' && id[779] == '.');
	EXPECT_EQ(0, id[768 + 255]);
	EXPECT_GE(223, strnlen((char *)id + 768, 256));
}

TEST_F(identify, serial_number_is_what_sysfs_says)
{
	char path[PATH_MAX + 16], serial[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s/serial", suite_device());
	f = fopen(path, "r");
	if (!f)
		SKIP(return, "no serial in sysfs");
	EXPECT_NE(NULL, fgets(serial, sizeof(serial), f));
	fclose(f);
	EXPECT_EQ(0, strncmp(serial, (char *)self->id + 4, 20));
}

/* FR equals the active slot of the Firmware Slot log page. */
TEST_F(identify, firmware)
{
	unsigned char *id = self->id, *log = self->other;
	int slot;

	EXPECT_LE(1, (id[260] >> 1) & 7);		/* FRMW: slots */
	EXPECT_EQ(0, id[260] & 0xe0);
	ASSERT_EQ(0, command(&self->f.nvme, &self->f.nvme.admin, GET_LOG,
			     127 << 16 | 3, 0, log));
	slot = log[0] & 7;
	ASSERT_LE(1, slot);
	ASSERT_GE((id[260] >> 1) & 7, slot);
	EXPECT_EQ(0, memcmp(log + 8 * slot, id + 64, 8));
}

/* MDTS, in units of the smallest page: so many bytes, and not a block more */
TEST_F(identify, transfer_size)
{
	struct nvme *nvme = &self->f.nvme;
	__u32 most = self->id[77] ? GUEST_PAGE << self->id[77] : 0;
	struct nvme_cmd cmd = {
		.opcode = NVME_OP_READ, .nsid = 1,
		.cdw12 = most / nvme->lba_size,
	};

	if (!most)
		SKIP(return, "there is no limit");
	if (most <= 2 << 20)
		EXPECT_EQ(0, nvme_io(nvme, NVME_OP_READ, 0,
				     most / nvme->lba_size, self->buf));
	EXPECT_EQ(ST_INVALID_FIELD,
		  nvme_do(nvme, &nvme->io[0], &cmd, NULL) & ST_CODE);
}

/* A bit of OACS or ONCS, and its opcodes */
struct option {
	int bit;
	__u8 opcode[4];
};

static void check_options(struct __test_metadata *_metadata, struct nvme *nvme,
			  struct nvme_queue *q, __u16 bits,
			  const struct option *option, int nr, void *buf)
{
	int i, status;

	for (; nr--; option++) {
		for (i = 0; i < 4 && option->opcode[i]; i++) {
			/*
			 * The command has random fields, so it is refused, but not for its
			 * opcode.
			 */
			status = command(nvme, q, option->opcode[i], 0, 0, buf);
			EXPECT_EQ(!(bits & 1 << option->bit),
				  status == ST_INVALID_OPCODE)
				TH_LOG("bit %d and opcode %#x: status %#x",
				       option->bit, option->opcode[i], status);
		}
	}
}

TEST_F(identify, optional_admin_commands)
{
	static const struct option oacs[] = {
		{ 0, { 0x81, 0x82 } }, { 1, { 0x80 } }, { 2, { 0x10, 0x11 } },
		{ 3, { 0x0d, 0x15 } }, { 4, { 0x14 } }, { 5, { 0x19, 0x1a } },
		{ 6, { 0x1d, 0x1e } }, { 7, { 0x1c } }, { 8, { 0x7c } },
		{ 9, { 0x86 } },
	};
	__u16 bits = get16(self->id + 256);

	EXPECT_EQ(0, bits & 0xfc00);
	/* PRP2 is 0, which is not in memory, so Doorbell Buffer Config fails. */
	check_options(_metadata, &self->f.nvme, &self->f.nvme.admin, bits, oacs,
		      ARRAY_SIZE(oacs), self->other);
}

TEST_F(identify, optional_nvm_commands)
{
	static const struct option oncs[] = {
		{ 0, { 0x05 } }, { 1, { 0x04 } }, { 2, { 0x09 } },
		{ 3, { 0x08 } }, { 5, { 0x0d, 0x0e, 0x11, 0x15 } },
		{ 7, { 0x0c } }, { 8, { 0x19 } },
	};
	__u16 bits = get16(self->id + 520);
	struct nvme *nvme = &self->f.nvme;
	int status;

	/* Bit 8, Copy, came after 1.4. nvme_copy tests its fields. */
	EXPECT_EQ(0, bits & 0xfe00);
	check_options(_metadata, nvme, &nvme->io[0], bits, oncs,
		      ARRAY_SIZE(oncs), self->other);
	/* Bit 4: Select in Get Features. Bit 6: the feature Timestamp. */
	status = command(nvme, &nvme->admin, GET_FEATURES, 3 << 8 | 1, 0,
			 self->other);
	EXPECT_EQ(bits & 1 << 4 ? 0 : ST_INVALID_FIELD, status);
	status = command(nvme, &nvme->admin, GET_FEATURES, 0x0e, 0, self->other);
	EXPECT_EQ(!(bits & 1 << 6), status == ST_INVALID_FIELD);
}

/* AERL: one request more than its value, because it is 0's based */
TEST_F(identify, event_requests)
{
	struct nvme_queue *q = &self->f.nvme.admin;
	struct nvme_cmd cmd = { .opcode = AER };
	struct nvme_cqe cqe;
	int i;

	ASSERT_GE(20, self->id[259]);
	for (i = 0; i <= self->id[259]; i++) {
		ASSERT_LE(0, nvme_submit(&self->f.nvme, q, &cmd));
		ASSERT_RET(0, nvme_ring(&self->f.nvme, q));
	}
	ASSERT_LE(0, nvme_submit(&self->f.nvme, q, &cmd));
	ASSERT_RET(0, nvme_ring(&self->f.nvme, q));
	ASSERT_RET(0, nvme_wait(&self->f.nvme, q, &cqe));
	EXPECT_EQ(cmd.cid, cqe.cid);
	EXPECT_EQ(ST_AER_LIMIT, cqe.status >> 1 & ST_CODE);
}

/* LPA: supported operations on log pages */
TEST_F(identify, log_page_attributes)
{
	unsigned char *log = self->other;
	struct nvme *nvme = &self->f.nvme;
	struct nvme_cmd cmd = {
		.opcode = GET_LOG, .nsid = 1, .cdw10 = 127 << 16 | 2,
		.prp1 = guest_iova(nvme->guest, log),
	};
	int ret;

	/* Bit 0: health of one namespace. */
	ret = nvme_do(nvme, &nvme->admin, &cmd, NULL);
	EXPECT_EQ(!(self->id[261] & 1), !!ret);
	/* Bit 1: Commands Supported and Effects */
	ret = command(nvme, &nvme->admin, GET_LOG, 1023 << 16 | 5, 0, log);
	EXPECT_EQ(!(self->id[261] & 2), !!ret);
	EXPECT_EQ(1, log[4 * IDENTIFY] & 1);
	EXPECT_EQ(1, log[1024 + 4 * NVME_OP_READ] & 1);
	EXPECT_EQ(0, log[4 * 0x7f] & 1);
	EXPECT_EQ(get16(self->id + 256) >> 8 & 1, log[4 * 0x7c] & 1);
	/* Bit 2: an offset in log pages. The temperature is at byte 1 of the health log. */
	if (!(self->id[261] & 4))
		return;
	cmd.nsid = 0;
	cmd.cdw10 = 2;
	ASSERT_EQ(0, nvme_do(nvme, &nvme->admin, &cmd, NULL));
	ret = log[3];
	cmd.cdw12 = 0;
	memset(log, 0, 8);
	cmd.cdw12 = 4;
	ASSERT_EQ(0, nvme_do(nvme, &nvme->admin, &cmd, NULL));
	EXPECT_EQ(10, log[0])
		TH_LOG("byte 4 of the health log is the spare threshold");
	EXPECT_EQ(100, ret)
		TH_LOG("byte 3 of the health log is the available spare");
}

/* ELPE: the log has so many entries, the newest first. */
TEST_F(identify, error_log)
{
	unsigned char *log = self->buf;
	struct nvme *nvme = &self->f.nvme;
	int entries = self->id[262] + 1, i;
	struct nvme_cmd cmd = {
		.opcode = GET_LOG,
		.cdw10 = (__u32)(entries * 16 - 1) << 16 | 1,
		.prp1 = guest_iova(nvme->guest, log),
		.prp2 = guest_iova(nvme->guest, log) + GUEST_PAGE,
	};

	ASSERT_GE(128, entries);
	for (i = 0; i < entries + 3; i++)
		EXPECT_EQ(ST_INVALID_OPCODE,
			  command(nvme, &nvme->io[0], 0x7f, 0, 0, log));
	ASSERT_EQ(0, nvme_do(nvme, &nvme->admin, &cmd, NULL));
	for (i = 1; i < entries; i++)
		EXPECT_EQ(get64(log) - i, get64(log + 64 * i))
			TH_LOG("entry %d", i);
}

/* NPSS, and the descriptors of so many power states */
TEST_F(identify, power_states)
{
	int npss = self->id[263], i;

	ASSERT_GE(31, npss);
	for (i = 0; i <= npss; i++)
		EXPECT_NE(0, get16(self->id + 2048 + 32 * i));
	EXPECT_TRUE(zero(self->id + 2048 + 32 * i, 32 * (32 - i)));
	EXPECT_EQ(0, command(&self->f.nvme, &self->f.nvme.admin, SET_FEATURES, 2,
			     npss, self->other));
	EXPECT_EQ(ST_INVALID_FIELD,
		  command(&self->f.nvme, &self->f.nvme.admin, SET_FEATURES, 2,
			  npss + 1, self->other));
}

TEST_F(identify, temperatures)
{
	__u16 warning = get16(self->id + 266), critical = get16(self->id + 268);

	EXPECT_LE(0x157, warning);
	EXPECT_LT(warning, critical);
	ASSERT_EQ(0, command(&self->f.nvme, &self->f.nvme.admin, GET_LOG,
			     127 << 16 | 2, 0, self->other));
	EXPECT_GT(warning, get16(self->other + 1));
	EXPECT_EQ(0, self->other[0]);
}

/* Bytes 512 to 539: the NVM command set. */
TEST_F(identify, nvm_command_set)
{
	unsigned char *id = self->id;
	struct nvme *nvme = &self->f.nvme;
	struct nvme_cmd fused = { .opcode = 0, .flags = 1, .nsid = 1 };
	struct nvme_cmd flush = { .opcode = 0, .nsid = ~0U };
	int ret;

	EXPECT_EQ(6, id[512] & 0xf);			/* SQES */
	EXPECT_LE(6, id[512] >> 4);
	EXPECT_EQ(4, id[513] & 0xf);			/* CQES */
	EXPECT_LE(4, id[513] >> 4);
	EXPECT_LE(1, get32(id + 516));			/* NN */
	EXPECT_EQ(0, get16(id + 522) & 0xfffe);		/* FUSES */
	if (!get16(id + 522))
		EXPECT_EQ(ST_INVALID_FIELD,
			  nvme_do(nvme, &nvme->io[0], &fused, NULL) & ST_CODE);
	EXPECT_EQ(0, id[524] & 0xf8);			/* FNA */
	/* VWC: since 1.4 it describes the effect of Flush on all namespaces. */
	ASSERT_LE(2, id[525] >> 1 & 3);
	ret = nvme_do(nvme, &nvme->io[0], &flush, NULL);
	EXPECT_EQ((id[525] >> 1 & 3) == 3, !ret);
	ret = command(nvme, &nvme->admin, GET_FEATURES, 6, 0, self->other);
	EXPECT_EQ(!(id[525] & 1), ret == ST_INVALID_FIELD);
	/* AWUPF is no more than AWUN */
	EXPECT_LE(get16(id + 528), get16(id + 526));
	EXPECT_EQ(0, id[530] & 0xfe);			/* NVSCC */
	EXPECT_EQ(0, id[531] & 0xf8);			/* NWPC */
	EXPECT_GE(2, get32(id + 536) & 3);		/* SGLS */
}

TEST_F(identify, an_sgl_where_it_says_so)
{
	struct nvme *nvme = &self->f.nvme;
	struct nvme_cmd cmd = {
		.opcode = NVME_OP_READ, .flags = 1 << 6, .nsid = 1,
		.prp1 = guest_iova(nvme->guest, self->buf) + 1,
		.prp2 = nvme->lba_size,
	};
	__u32 sgls = get32(self->id + 536) & 3;

	if (!sgls)
		SKIP(return, "no SGLs");
	/* 1: no alignment is required, 2: dword alignment is required */
	EXPECT_EQ(sgls != 1, !!nvme_do(nvme, &nvme->io[0], &cmd, NULL));
}

TEST_F(identify, namespace)
{
	struct nvme *nvme = &self->f.nvme;
	unsigned char *id = self->id, *lbaf;
	__u64 nuse;
	int i;

	ASSERT_EQ(0, identify(nvme, 1, CNS_NAMESPACE, id));
	EXPECT_LT(0, get64(id));			/* NSZE */
	EXPECT_GE(get64(id), get64(id + 8));		/* NCAP */
	EXPECT_GE(get64(id + 8), get64(id + 16));	/* NUSE */
	EXPECT_EQ(0, id[24] & 0xe0);			/* NSFEAT */
	EXPECT_GE(15, id[25]);				/* NLBAF */
	EXPECT_GE(id[25], id[26] & 0xf);		/* FLBAS */
	EXPECT_EQ(0, id[26] & 0xe0);
	EXPECT_EQ(0, id[27] & 0xfc);			/* MC */
	EXPECT_EQ(0, id[28] & 0xe0);			/* DPC */
	EXPECT_EQ(0, id[29] & 0xf0);			/* DPS */
	for (i = 0; i <= id[25]; i++) {
		lbaf = id + 128 + 4 * i;
		/* Without protection there is no metadata, and blocks have at least 512 bytes. */
		EXPECT_EQ(0, get16(lbaf));
		EXPECT_LE(9, lbaf[2]);
		EXPECT_EQ(0, lbaf[3] & 0xfc);
	}
	EXPECT_TRUE(zero(id + 128 + 4 * i, 4 * (16 - i)));
	/* NGUID or EUI64, or a UUID in the descriptors */
	EXPECT_FALSE(zero(id + 104, 24));

	/* Thin provisioning: NUSE changes with writes and deallocations. */
	if (!(id[24] & 1))
		return;
	ASSERT_EQ(0, nvme_deallocate(nvme, 0, nvme->nr_lbas, self->buf));
	ASSERT_EQ(0, identify(nvme, 1, CNS_NAMESPACE, id));
	nuse = get64(id + 16);
	memset(self->buf, 0x5a, 1 << 20);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 0, (1 << 20) / nvme->lba_size,
			     self->buf));
	ASSERT_EQ(0, identify(nvme, 1, CNS_NAMESPACE, id));
	EXPECT_EQ(nuse + (1 << 20) / nvme->lba_size, get64(id + 16));
	ASSERT_EQ(0, nvme_deallocate(nvme, 0, nvme->nr_lbas, self->buf));
	ASSERT_EQ(0, identify(nvme, 1, CNS_NAMESPACE, id));
	EXPECT_EQ(nuse, get64(id + 16));
}

TEST_F(identify, active_namespaces)
{
	struct nvme *nvme = &self->f.nvme;

	ASSERT_EQ(0, identify(nvme, 0, CNS_LIST, self->other));
	EXPECT_EQ(1, get32(self->other));
	EXPECT_TRUE(zero(self->other + 4, GUEST_PAGE - 4));
	ASSERT_EQ(0, identify(nvme, 1, CNS_LIST, self->other));
	EXPECT_TRUE(zero(self->other, GUEST_PAGE));
	ASSERT_EQ(0, identify(nvme, ~0U - 2, CNS_LIST, self->other));
	EXPECT_TRUE(zero(self->other, GUEST_PAGE));
}

TEST_F(identify, namespace_descriptors)
{
	static const int length[] = { 0, 8, 16, 16, 1 };
	unsigned char *at = self->other;
	int seen[5] = { 0 };

	ASSERT_EQ(0, identify(&self->f.nvme, 1, CNS_NAMESPACE, self->id));
	ASSERT_EQ(0, identify(&self->f.nvme, 1, CNS_DESCRIPTORS, at));
	while (at[1]) {
		ASSERT_TRUE(at[0] >= 1 && at[0] <= 4);
		EXPECT_EQ(length[at[0]], at[1]);
		EXPECT_EQ(0, get16(at + 2));
		EXPECT_EQ(1, ++seen[at[0]]);
		/* The same identifiers as in Identify Namespace. */
		if (at[0] == 1)
			EXPECT_EQ(0, memcmp(at + 4, self->id + 120, 8));
		if (at[0] == 2)
			EXPECT_EQ(0, memcmp(at + 4, self->id + 104, 16));
		at += 4 + at[1];
		ASSERT_GT(self->other + GUEST_PAGE, at);
	}
	EXPECT_TRUE(zero(at, self->other + GUEST_PAGE - at));
	EXPECT_EQ(!zero(self->id + 120, 8), seen[1]);
	EXPECT_EQ(!zero(self->id + 104, 16), seen[2]);
	EXPECT_LT(0, seen[1] + seen[2] + seen[3]);
}

SUITE_MAIN(suite_need_nvme())
