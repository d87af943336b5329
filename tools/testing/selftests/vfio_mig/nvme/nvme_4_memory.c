// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVMe 1.4, chapter 4: PRP entries and lists (4.3) and SGLs (4.4) of Read, Write and Compare.
 * With a valid layout the test compares each byte of the data.
 */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "lib/nvme_fixture.h"

#define BLOCK		512

/* A descriptor in the command, with any address */
#define OWN(type, at, len)						\
	.flags = CMD_SGL, .prp1 = (at), .prp2 = (__u64)(type) << 56 | (len)

/* Blocks have 512 bytes. */
static const struct nvme_case bad[] = {
	{ "4.3", "PRP1 of no dword", { .nsid = 1 },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 2 },
	{ "4.3", "PRP1 of an odd byte", { .nsid = 1 },
	  ST_PRP_OFFSET, AT_PRP1, DATA_PRP1, 1 },
	{ "4.3", "PRP1 where no memory is", { .nsid = 1 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_PRP1, FAR },
	{ "4.3", "PRP2 with an offset of a dword", { .nsid = 1, .cdw12 = 15 },
	  ST_PRP_OFFSET, AT_PRP2, DATA_PRP2, 4 },
	{ "4.3", "PRP2 with an offset of a block", { .nsid = 1, .cdw12 = 15 },
	  ST_PRP_OFFSET, AT_PRP2, DATA_PRP2, 512 },
	{ "4.3", "PRP2 where no memory is", { .nsid = 1, .cdw12 = 15 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_PRP2, FAR },
	{ "4.3", "a list at no qword", { .nsid = 1, .cdw12 = 31 },
	  ST_PRP_OFFSET, AT_PRP2, DATA_LIST, 4 },
	{ "4.3", "a list at an odd byte", { .nsid = 1, .cdw12 = 31 },
	  ST_PRP_OFFSET, AT_PRP2, DATA_LIST, 1 },
	{ "4.3", "a list where no memory is", { .nsid = 1, .cdw12 = 31 },
	  ST_DATA_TRANSFER, AT_NONE, DATA_LIST, FAR },
	{ "4.3", "an entry of a list with an offset", { .nsid = 1, .cdw12 = 31 },
	  ST_PRP_OFFSET, AT_NONE, DATA_LIST_ENTRY, 512 },
	{ "4.3", "an entry of a list with an offset of a dword",
	  { .nsid = 1, .cdw12 = 31 }, ST_PRP_OFFSET, AT_NONE, DATA_LIST_ENTRY, 4 },
	{ "4.3", "an entry of a list to where no memory is",
	  { .nsid = 1, .cdw12 = 31 }, ST_DATA_TRANSFER, AT_NONE, DATA_LIST_ENTRY,
	  FAR },
	{ "4.4", "a descriptor of type 4, keyed", { .nsid = 1, .prp2 = 512 },
	  ST_SGL_TYPE, AT_PRP1, DATA_SGL, 0x40 },
	{ "4.4", "a descriptor of type 5, of a transport", { .nsid = 1, .prp2 = 512 },
	  ST_SGL_TYPE, AT_PRP1, DATA_SGL, 0x50 },
	{ "4.4", "a descriptor of type 6, reserved", { .nsid = 1, .prp2 = 512 },
	  ST_SGL_TYPE, AT_PRP1, DATA_SGL, 0x60 },
	{ "4.4", "a descriptor of type Eh, reserved", { .nsid = 1, .prp2 = 512 },
	  ST_SGL_TYPE, AT_PRP1, DATA_SGL, 0xe0 },
	{ "4.4", "a descriptor of type Fh, a vendor's", { .nsid = 1, .prp2 = 512 },
	  ST_SGL_TYPE, AT_PRP1, DATA_SGL, 0xf0 },
	{ "4.4", "subtype 1, an offset", { .nsid = 1, .prp2 = 512 },
	  ST_SGL_TYPE, AT_PRP1, DATA_SGL, 0x01 },
	{ "4.4", "subtype Ah, of a transport", { .nsid = 1, .prp2 = 512 },
	  ST_SGL_TYPE, AT_PRP1, DATA_SGL, 0x0a },
	{ "4.4", "a segment of subtype 1", { .nsid = 1, .prp2 = 512 },
	  ST_SGL_TYPE, AT_PRP1, DATA_SGL, 0x21 },
	{ "4.4", "less than the data", { .nsid = 1, .prp2 = 508 },
	  ST_SGL_LENGTH, AT_NONE, DATA_SGL, SGL_DATA },
	{ "4.4", "nothing at all", { .nsid = 1 },
	  ST_SGL_LENGTH, AT_NONE, DATA_SGL, SGL_DATA },
	{ "4.4", "a segment of no descriptor", { .nsid = 1 },
	  ST_SGL_SEGMENT, AT_PRP1, DATA_SGL, SGL_SEGMENT },
	{ "4.4", "a last segment of no descriptor", { .nsid = 1 },
	  ST_SGL_SEGMENT, AT_PRP1, DATA_SGL, SGL_LAST },
	{ "4.4", "a segment of half a descriptor", { .nsid = 1, .prp2 = 8 },
	  ST_SGL_SEGMENT, AT_PRP1, DATA_SGL, SGL_SEGMENT },
	{ "4.4", "a last segment of one and a half descriptors",
	  { .nsid = 1, .prp2 = 24 }, ST_SGL_SEGMENT, AT_PRP1, DATA_SGL, SGL_LAST },
	{ "4.4", "a segment at no qword", { .nsid = 1, OWN(SGL_SEGMENT, 4, 16) },
	  ST_SGL_SEGMENT, AT_PRP1, DATA_OWN },
	{ "4.4", "a last segment at no qword", { .nsid = 1, OWN(SGL_LAST, 4, 16) },
	  ST_SGL_SEGMENT, AT_PRP1, DATA_OWN },
	{ "4.4", "a last segment at an odd byte", { .nsid = 1, OWN(SGL_LAST, 1, 16) },
	  ST_SGL_SEGMENT, AT_PRP1, DATA_OWN },
	{ "4.4", "a segment where no memory is",
	  { .nsid = 1, OWN(SGL_SEGMENT, FAR, 16) },
	  ST_DATA_TRANSFER, AT_NONE, DATA_OWN },
	{ "4.4", "a last segment where no memory is",
	  { .nsid = 1, OWN(SGL_LAST, FAR, 16) },
	  ST_DATA_TRANSFER, AT_NONE, DATA_OWN },
	{ "4.4", "data where no memory is", { .nsid = 1, OWN(SGL_DATA, FAR, 512) },
	  ST_DATA_TRANSFER, AT_NONE, DATA_OWN },
	{ "4.4", "data that wrap around", { .nsid = 1, OWN(SGL_DATA, -256ULL, 512) },
	  ST_DATA_TRANSFER, AT_NONE, DATA_OWN },
	{ "4.2", "PSDT 2, which SGLS does not offer",
	  { .flags = 2 << 6, .nsid = 1, .prp2 = 512 },
	  ST_INVALID_FIELD, AT_PSDT },
	{ "4.2", "PSDT 3, which is reserved", { .flags = 3 << 6, .nsid = 1 },
	  ST_INVALID_FIELD, AT_PSDT },
};

FIXTURE(memory) {
	struct nvme_fixture f;
	struct nvme_cases c;
	unsigned char *data;	/* content of the namespace */
	unsigned char *host;	/* host memory of the layouts */
	void *list;
};

FIXTURE_VARIANT(memory) {
	__u8 opcode;
};

FIXTURE_VARIANT_ADD(memory, read) { .opcode = NVME_OP_READ };
FIXTURE_VARIANT_ADD(memory, write) { .opcode = NVME_OP_WRITE };
FIXTURE_VARIANT_ADD(memory, compare) { .opcode = NVME_OP_COMPARE };

#define PAGES	8

FIXTURE_SETUP(memory)
{
	nvme_fixture_open(_metadata, &self->f, 8 << 20);
	ASSERT_EQ(0, nvme_cases_init(&self->c, &self->f.nvme,
				     &self->f.nvme.io[0]));
	self->data = guest_alloc(&self->f.guest, PAGES * GUEST_PAGE);
	self->host = guest_alloc(&self->f.guest, 2 * PAGES * GUEST_PAGE);
	self->list = guest_alloc(&self->f.guest, 2 * GUEST_PAGE);
}

FIXTURE_TEARDOWN(memory)
{
	nvme_fixture_close(&self->f);
}

TEST_F_TIMEOUT(memory, s4_pointers_that_are_wrong, 120)
{
	/* Compare needs equal data before the error in the layout. */
	ASSERT_EQ(0, nvme_io(&self->f.nvme, NVME_OP_WRITE, 0, 32, self->c.buf));
	try_opcode(_metadata, &self->c, bad, ARRAY_SIZE(bad), variant->opcode);
}

/* Consecutive parts of host memory that a transfer uses */
struct part {
	__u32 at;		/* offset in that memory */
	__u32 len;
	bool bucket;		/* nowhere */
};

/*
 * Moves data of the namespace by @cmd, and compares @parts of host memory. A part that is a
 * bit bucket takes bytes of a read, and none of a write.
 */
static int transfer(struct nvme *nvme, struct nvme_cmd *cmd, unsigned char *data,
		    unsigned char *host, const struct part *part, int nr,
		    __u32 blocks)
{
	size_t len = blocks * BLOCK, done = 0, n;
	bool read = cmd->opcode == NVME_OP_READ;
	int ret, i;

	for (done = 0; done < len; done++)
		data[done] = done * 7 + (done >> 8) + cmd->opcode;
	ret = nvme_io(nvme, NVME_OP_WRITE, 0, blocks, data);
	if (ret)
		return ret;
	memset(host, 0xee, 2 * PAGES * GUEST_PAGE);
	for (i = 0, done = 0; !read && i < nr; i++) {
		if (part[i].bucket)
			continue;
		memcpy(host + part[i].at, data + done, part[i].len);
		done += part[i].len;
	}
	if (cmd->opcode == NVME_OP_WRITE)
		ret = nvme_deallocate(nvme, 0, 2048, data + PAGES * GUEST_PAGE - 16);
	cmd->nsid = 1;
	cmd->cdw12 = blocks - 1;
	ret = ret ?: nvme_do(nvme, &nvme->io[0], cmd, NULL);
	if (ret || cmd->opcode == NVME_OP_COMPARE)
		return ret;
	if (cmd->opcode == NVME_OP_WRITE) {
		memset(host, 0, len);
		ret = nvme_io(nvme, NVME_OP_READ, 0, blocks, host);
		return ret ?: memcmp(host, data, len) ? -EILSEQ : 0;
	}
	for (i = 0, done = 0; i < nr && done < len; i++) {
		n = part[i].len < len - done ? part[i].len : len - done;
		if (!part[i].bucket && memcmp(host + part[i].at, data + done, n))
			return -EILSEQ;
		done += n;
	}
	return 0;
}

struct prp_layout {
	const char *name;
	__u32 blocks;
	__u32 offset;		/* offset of PRP1 in its page */
	__u32 list;		/* offset of the list in its two pages */
};

static const struct prp_layout prps[] = {
	{ "one block", 1, 0 },
	{ "one block at the second dword", 1, 4 },
	{ "one block at a page's end", 1, GUEST_PAGE - BLOCK },
	{ "one block over a page's end", 1, GUEST_PAGE - 4 },
	{ "one page", 8, 0 },
	{ "one page from its middle", 8, 2048 },
	{ "two pages", 16, 0 },
	{ "two pages but a dword", 15, BLOCK - 4 },
	{ "three pages, a list", 24, 0 },
	{ "two pages from the middle of one, a list", 16, 2048 },
	{ "a list with an offset", 32, 0, 1024 },
	{ "a list whose last entry is its page's", 24, 0, GUEST_PAGE - 16 },
	{ "a list over the end of its page: a pointer", 32, 0, GUEST_PAGE - 16 },
	{ "a list whose page has a pointer only", 32, 0, GUEST_PAGE - 8 },
	{ "seven pages from the second dword", 56, 4, 8 },
};

TEST_F(memory, s4_3_prp_layouts)
{
	struct guest *guest = &self->f.guest;
	struct nvme_cmd cmd;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(prps); i++) {
		const struct prp_layout *p = &prps[i];
		__u32 first = GUEST_PAGE - p->offset, len = p->blocks * BLOCK, n;
		struct part part = { p->offset, len };
		__u64 page = guest_iova(guest, self->host) + GUEST_PAGE;
		__u64 *entry = self->list + p->list;
		void *end = self->list + GUEST_PAGE;

		cmd = (struct nvme_cmd){
			.opcode = variant->opcode,
			.prp1 = guest_iova(guest, self->host) + p->offset,
		};
		n = len > first ? (len - first + GUEST_PAGE - 1) / GUEST_PAGE : 0;
		cmd.prp2 = n > 1 ? guest_iova(guest, entry) : n ? page : 0;
		for (; n; n--, page += GUEST_PAGE) {
			if ((void *)(entry + 1) == end && n > 1) {
				*entry = htole64(guest_iova(guest, end));
				entry = end;
			}
			*entry++ = htole64(page);
		}
		EXPECT_EQ(0, transfer(&self->f.nvme, &cmd, self->data, self->host,
				      &part, 1, p->blocks))
			TH_LOG("4.3: %s", p->name);
	}
}

struct desc {
	__u8 type;
	__u32 at;		/* offset of data in host memory, or of segments in the list */
	__u32 len;
};

struct sgl_layout {
	const char *name;
	__u32 blocks;
	struct desc first;
	/* descriptors of the list; the others are 0 */
	struct desc list[8];
	int status;
	bool read_only;
};

#define DATA(at, len)	{ SGL_DATA, at, len }
#define BUCKET(len)	{ SGL_BUCKET, 0, len }
#define SEGMENT(i, n)	{ SGL_SEGMENT, 16 * (i), 16 * (n) }
#define LAST(i, n)	{ SGL_LAST, 16 * (i), 16 * (n) }

static const struct sgl_layout sgls[] = {
	{ "one block", 1, DATA(0, 512) },
	{ "one block at an odd byte", 1, DATA(1, 512) },
	{ "one block over a page's end", 1, DATA(4001, 512) },
	{ "four pages as one", 32, DATA(3, 4 * 4096) },
	{ "more than the data, which SGLS allows", 1, DATA(0, 8192) },
	{ "a last segment of one", 1, LAST(0, 1), { DATA(7, 512) } },
	{ "a last segment of three", 1, LAST(0, 3),
	  { DATA(1, 100), DATA(1000, 300), DATA(5000, 112) } },
	{ "pieces of a byte", 1, LAST(0, 4),
	  { DATA(1, 1), DATA(9, 1), DATA(4, 1), DATA(5000, 509) } },
	{ "one of no length among them", 1, LAST(0, 3),
	  { DATA(1, 256), DATA(9, 0), DATA(3000, 256) } },
	{ "a segment, then the last", 2, SEGMENT(0, 2),
	  { DATA(0, 512), LAST(4, 1), { 0 }, { 0 }, DATA(2000, 512) } },
	{ "three segments", 3, SEGMENT(0, 2),
	  { DATA(0, 512), SEGMENT(2, 2), DATA(1000, 512), LAST(6, 1),
	    { 0 }, { 0 }, DATA(3000, 512) } },
	{ "a segment with nothing but a pointer", 1, SEGMENT(0, 1),
	  { LAST(3, 1), { 0 }, { 0 }, DATA(77, 512) } },
	{ "the second of two blocks nowhere", 2, LAST(0, 2),
	  { DATA(0, 512), BUCKET(512) }, .read_only = true },
	{ "the first of two blocks nowhere", 2, LAST(0, 2),
	  { BUCKET(512), DATA(0, 512) }, .read_only = true },
	{ "a bit bucket, which has no length for a write", 1, LAST(0, 2),
	  { BUCKET(512), DATA(0, 512) } },
	{ "all of it nowhere", 1, BUCKET(512), .read_only = true },
	{ "less than the data", 2, LAST(0, 2), { DATA(0, 512), DATA(600, 511) },
	  ST_SGL_LENGTH },
	{ "a last segment that leads on", 1, LAST(0, 2),
	  { DATA(0, 256), LAST(3, 1), { 0 }, DATA(600, 256) }, ST_SGL_SEGMENT },
	{ "a segment that is not at the end", 1, SEGMENT(0, 2),
	  { LAST(3, 1), DATA(0, 256), { 0 }, DATA(600, 256) }, ST_SGL_NUMBER },
	{ "a segment of no descriptor in the list", 1, SEGMENT(0, 2),
	  { DATA(0, 256), LAST(3, 0), { 0 }, DATA(600, 256) }, ST_SGL_SEGMENT },
	{ "a segment that leads to itself", 1, SEGMENT(0, 1), { SEGMENT(0, 1) },
	  ST_SGL_NUMBER },
	{ "a reserved type in the list", 1, LAST(0, 2),
	  { DATA(0, 256), { 0x60, 0, 256 } }, ST_SGL_TYPE },
	{ "a segment in the list at no qword", 1, SEGMENT(0, 2),
	  { DATA(0, 256), { SGL_LAST, 52, 16 } }, ST_SGL_SEGMENT },
};

static __u64 desc_address(struct guest *guest, const struct desc *d, void *host,
			  void *list)
{
	bool segment = d->type == SGL_SEGMENT || d->type == SGL_LAST;

	return guest_iova(guest, segment ? list : host) + d->at;
}

/* Returns the parts that the descriptors name, in their order. */
static int parts_of(const struct sgl_layout *s, struct part *part)
{
	int i, nr = 0;
	const struct desc *d = &s->first;

	for (i = -1; i < 8; i++, d = &s->list[i]) {
		if (d->type == SGL_SEGMENT || d->type == SGL_LAST)
			continue;
		part[nr++] = (struct part){ d->at, d->len, d->type == SGL_BUCKET };
	}
	return nr;
}

TEST_F_TIMEOUT(memory, s4_4_sgl_layouts, 120)
{
	struct guest *guest = &self->f.guest;
	struct part part[9];
	size_t i;
	int j, nr;

	for (i = 0; i < ARRAY_SIZE(sgls); i++) {
		const struct sgl_layout *s = &sgls[i];
		struct nvme_cmd cmd = {
			.opcode = variant->opcode, .flags = CMD_SGL,
			.prp1 = desc_address(guest, &s->first, self->host,
					     self->list),
			.prp2 = (__u64)s->first.type << 56 | s->first.len,
		};
		__u64 *list = self->list;

		if (s->read_only && variant->opcode != NVME_OP_READ)
			continue;
		/* The length of a bit bucket counts for a read only. */
		if (!s->read_only && variant->opcode == NVME_OP_READ &&
		    s->list[0].type == SGL_BUCKET)
			continue;
		for (j = 0; j < 8; j++) {
			list[2 * j] = htole64(desc_address(guest, &s->list[j],
							   self->host, self->list));
			list[2 * j + 1] = htole64((__u64)s->list[j].type << 56 |
						  s->list[j].len);
		}
		nr = parts_of(s, part);
		EXPECT_EQ(s->status, transfer(&self->f.nvme, &cmd, self->data,
					      self->host, part, nr, s->blocks) &
			  ST_CODE)
			TH_LOG("4.4: %s", s->name);
		EXPECT_EQ(0, nvme_flush(&self->f.nvme));
	}
}

SUITE_MAIN(suite_need_mnvme())
