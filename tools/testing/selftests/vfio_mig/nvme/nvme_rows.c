// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transfers of many pages, in guest memory that is adjacent, partly adjacent or scattered. The
 * controller moves adjacent pages together. The host must see no difference in the data, in
 * the place where a transfer fails, and in the data of a migration.
 */
#include <endian.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/mdev.h"
#include "lib/migrate.h"
#include "lib/nvme_fixture.h"

#define MIB		(1UL << 20)
#define PAGES		256		/* blocks of 1 MiB, the largest transfer */
#define GET_LOG		0x02
#define ERROR_LOG_LBA	16		/* byte of an entry in the error log */

/* Order of the pages in guest memory */
enum layout {
	ADJACENT,
	REVERSE,	/* no page follows the previous one */
	PAIRS,		/* two adjacent pages, then a gap */
	SEVENS,		/* seven adjacent pages, then a gap */
	GAPS,		/* every second page, then the other pages */
	ONE_DESCRIPTOR,	/* an SGL */
	DESCRIPTORS,	/* an SGL with adjacent pieces of odd length */
	LAYOUTS,
};

static const char *const layout_name[LAYOUTS] = {
	"adjacent", "reverse", "pairs", "sevens", "gaps", "one descriptor", "descriptors",
};

FIXTURE(rows) {
	struct nvme_fixture f;
	__u64 *list;
	unsigned char *data;	/* data in the order of the namespace */
	unsigned char *host;	/* data in the order of a layout */
	unsigned char *last;	/* a page without memory behind it */
};

FIXTURE_SETUP(rows)
{
	size_t size = 8 * MIB;

	nvme_fixture_open(_metadata, &self->f, size);
	self->list = guest_alloc(&self->f.guest, 2 * GUEST_PAGE);
	self->data = guest_alloc(&self->f.guest, MIB);
	/* A page more, because a transfer may begin within one. */
	self->host = guest_alloc(&self->f.guest, MIB + GUEST_PAGE);
	self->last = self->f.guest.mem + size - GUEST_PAGE;
}

FIXTURE_TEARDOWN(rows)
{
	nvme_fixture_close(&self->f);
}

/* Returns the place in memory of page @i of @nr. */
static int place(enum layout layout, int i, int nr)
{
	int group = layout == PAIRS ? 2 : 7, first = i / group * group;
	int len = nr - first < group ? nr - first : group;

	switch (layout) {
	case REVERSE:
		return nr - 1 - i;
	case PAIRS:
	case SEVENS:
		/* Groups are in reverse order, and pages within a group are in order. */
		return nr - first - len + i - first;
	case GAPS:
		return i < (nr + 1) / 2 ? 2 * i : 2 * (i - (nr + 1) / 2) + 1;
	default:
		return i;
	}
}

static void set_sgl(struct nvme_cmd *cmd, struct guest *guest, __u64 *list,
		    unsigned char *host, enum layout layout, size_t len)
{
	size_t at, n;
	int i = 0;

	cmd->flags = CMD_SGL;
	cmd->prp1 = guest_iova(guest, host);
	cmd->prp2 = SGL_DATA << 56 | len;
	if (layout == ONE_DESCRIPTOR)
		return;
	for (at = 0; at < len; at += n, i++) {
		n = i % 2 ? 3 * GUEST_PAGE + 512 : 9 * GUEST_PAGE + 100;
		n = n < len - at ? n : len - at;
		list[2 * i] = htole64(guest_iova(guest, host) + at);
		list[2 * i + 1] = htole64(SGL_DATA << 56 | n);
	}
	nvme_cmd_sgl(cmd, guest_iova(guest, list), i);
}

/* Sets PRPs for @pages pages of @host, from @offset in the first page on. */
static void set_prps(struct nvme_cmd *cmd, struct guest *guest, __u64 *list,
		     unsigned char *host, enum layout layout, int pages, int offset)
{
	int i;

	cmd->prp1 = guest_iova(guest, host) + place(layout, 0, pages) * GUEST_PAGE +
		    offset;
	for (i = 1; i < pages; i++)
		list[i - 1] = htole64(guest_iova(guest, host) +
				      place(layout, i, pages) * GUEST_PAGE);
	cmd->prp2 = pages == 2 ? le64toh(list[0]) : guest_iova(guest, list);
}

/**
 * struct transfer - a command
 * @lba: first block
 * @nr: number of blocks
 * @offset: offset of the data in the first page, for PRPs
 * @layout: order of the pages
 */
struct transfer {
	__u64 lba;
	__u32 nr;
	int offset;
	enum layout layout;
};

static int host_pages(const struct nvme *nvme, const struct transfer *t)
{
	return (t->offset + t->nr * nvme->lba_size + GUEST_PAGE - 1) / GUEST_PAGE;
}

static int do_transfer(struct nvme *nvme, __u8 opcode, const struct transfer *t,
		       __u64 *list, unsigned char *host)
{
	struct nvme_cmd cmd = {
		.opcode = opcode, .nsid = 1, .cdw10 = t->lba, .cdw12 = t->nr - 1,
	};

	if (t->layout >= ONE_DESCRIPTOR)
		set_sgl(&cmd, nvme->guest, list, host + t->offset, t->layout,
			t->nr * nvme->lba_size);
	else
		set_prps(&cmd, nvme->guest, list, host, t->layout,
			 host_pages(nvme, t), t->offset);
	return nvme_do(nvme, &nvme->io[0], &cmd, NULL);
}

/* Moves bytes between @data and their places in @host. */
static void arrange(const struct nvme *nvme, const struct transfer *t,
		    unsigned char *data, unsigned char *host, int to_host)
{
	size_t left = t->nr * nvme->lba_size, off = t->offset, n;
	int i, pages = host_pages(nvme, t);
	unsigned char *at;

	for (i = 0; i < pages; i++, data += n, left -= n, off = 0) {
		n = GUEST_PAGE - off < left ? GUEST_PAGE - off : left;
		at = host + place(t->layout, i, pages) * GUEST_PAGE + off;
		if (to_host)
			memcpy(at, data, n);
		else
			memcpy(data, at, n);
	}
}

/*
 * Prepares memory for a read. The memory is present, or missing as in a guest that was just
 * started, or every third page is missing.
 */
static int prepare(unsigned char *host, __u32 when)
{
	size_t size = MIB + GUEST_PAGE, at, n = when % 3 == 1 ? size : GUEST_PAGE;

	memset(host, 0xdd, size);
	if (!(when % 3))
		return 0;
	for (at = 0; at < size; at += 3 * n)
		if (madvise(host + at, n, MADV_REMOVE))
			return -errno;
	return 0;
}

static int write_and_read(struct nvme *nvme, const struct transfer *w,
			  enum layout read, __u64 *list, unsigned char *data,
			  unsigned char *host, __u32 when)
{
	struct transfer r = *w;
	int ret;

	/* Writes to deallocated blocks, and to blocks with data. */
	if (when % 2) {
		ret = nvme_deallocate(nvme, 0, nvme->nr_lbas, host);
		if (ret)
			return ret;
	}
	pattern_fill(nvme, data, w->lba, w->nr, when);
	memset(host, 0xee, MIB + GUEST_PAGE);
	arrange(nvme, w, data, host, 1);
	ret = do_transfer(nvme, NVME_OP_WRITE, w, list, host);
	if (ret)
		return ret;
	r.layout = read;
	memset(data, 0, MIB);
	ret = prepare(host, when);
	if (ret)
		return ret;
	ret = do_transfer(nvme, NVME_OP_READ, &r, list, host);
	if (ret)
		return ret;
	arrange(nvme, &r, data, host, 0);
	return pattern_check(nvme, data, w->lba, w->nr, when) == -1 ? 0 : -EILSEQ;
}

/* Ranges that start at a page, and at a block in front of a page with another lock */
static const struct {
	__u32 page;
	__u32 blocks;		/* more, in front */
	__u32 pages;
	int offset;
} places[] = {
	{ 0, 0, 256, 0 }, { 0, 0, 2, 0 }, { 0, 0, 3, 0 }, { 5, 0, 64, 0 },
	{ 63, 0, 2, 0 }, { 64, 0, 65, 0 }, { 60, 1, 100, 0 }, { 0, 3, 255, 0 },
	{ 0, 0, 255, 2048 }, { 7, 0, 33, 4 },
};

TEST_F_TIMEOUT(rows, data_is_where_its_layout_says, 300)
{
	struct nvme *nvme = &self->f.nvme;
	__u32 per_page = GUEST_PAGE / nvme->lba_size, when = 1;
	struct transfer t;
	unsigned int i;
	int w, r;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		for (w = 0; w < LAYOUTS; w++) {
			for (r = 0; r < LAYOUTS; r++, when++) {
				t = (struct transfer) {
					.lba = places[i].page * per_page +
					       places[i].blocks % per_page,
					.nr = places[i].pages * per_page,
					.offset = places[i].offset, .layout = w,
				};
				ASSERT_EQ(0, write_and_read(nvme, &t, r, self->list,
							    self->data, self->host,
							    when))
					TH_LOG("place %u: written %s, read %s", i,
					       layout_name[w], layout_name[r]);
			}
		}
	}
}

/* Returns the failed block in the newest entry of the error log. */
static long long failed_block(struct nvme *nvme, unsigned char *page)
{
	struct nvme_cmd cmd = {
		.opcode = GET_LOG, .nsid = ~0U, .prp1 = guest_iova(nvme->guest, page),
		.cdw10 = (GUEST_PAGE / 4 - 1) << 16 | 1,
	};
	__u64 lba;

	if (nvme_do(nvme, &nvme->admin, &cmd, NULL))
		return -1;
	memcpy(&lba, page + ERROR_LOG_LBA, sizeof(lba));
	return le64toh(lba);
}

/* The memory ends @pages pages behind the start of a transfer with adjacent pages. */
static void check_failure(struct __test_metadata *_metadata, struct nvme *nvme,
			  __u8 opcode, __u64 *list, unsigned char *last, int pages)
{
	__u32 per_page = GUEST_PAGE / nvme->lba_size;
	struct transfer t = {
		.lba = 0, .nr = PAGES * per_page, .layout = ADJACENT,
	};
	unsigned char *host = last - (pages - 1) * GUEST_PAGE;
	int i;

	memset(host, 0x11, pages * GUEST_PAGE);
	EXPECT_EQ(ST_DATA_TRANSFER, ST_CODE & do_transfer(nvme, opcode, &t, list, host));
	EXPECT_EQ(pages * per_page, failed_block(nvme, (void *)list));
	/* The transfer moved everything before that page. */
	for (i = 0; opcode == NVME_OP_READ && i < pages; i++)
		EXPECT_EQ(0xab, host[i * GUEST_PAGE])
			TH_LOG("page %d of %d", i, pages);
}

TEST_F_TIMEOUT(rows, a_failure_names_the_block, 120)
{
	static const int ends[] = { 1, 2, 40, 64, 65, 130 };
	struct nvme *nvme = &self->f.nvme;
	unsigned int i;

	memset(self->data, 0xab, MIB);
	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 0, MIB / nvme->lba_size,
				     self->data));
		check_failure(_metadata, nvme, NVME_OP_READ, self->list, self->last,
			      ends[i]);
		check_failure(_metadata, nvme, NVME_OP_WRITE, self->list, self->last,
			      ends[i]);
	}
}

/* Entry @bad of the PRP list has an offset. PRP1 is in front of entry 0. */
static void check_bad_entry(struct __test_metadata *_metadata, struct nvme *nvme,
			    __u64 *list, unsigned char *host, enum layout layout, int bad)
{
	__u32 per_page = GUEST_PAGE / nvme->lba_size;
	struct nvme_cmd cmd = {
		.opcode = NVME_OP_WRITE, .nsid = 1, .cdw12 = PAGES * per_page - 1,
	};
	int i;

	memset(host, 0, MIB);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 0, MIB / nvme->lba_size, host));
	memset(host, 0xcd, MIB);
	set_prps(&cmd, nvme->guest, list, host, layout, PAGES, 0);
	list[bad] |= htole64(512);
	EXPECT_EQ(ST_PRP_OFFSET, ST_CODE & nvme_do(nvme, &nvme->io[0], &cmd, NULL));
	EXPECT_EQ((bad + 1) * per_page, failed_block(nvme, (void *)list));
	/* The pages in front of the entry are written, and no other page. */
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, 0, MIB / nvme->lba_size, host));
	for (i = 0; i < PAGES; i++)
		EXPECT_EQ(i <= bad ? 0xcd : 0, host[i * GUEST_PAGE])
			TH_LOG("page %d, %s, entry %d", i, layout_name[layout], bad);
}

TEST_F_TIMEOUT(rows, a_bad_entry_names_its_block, 120)
{
	static const int entries[] = { 0, 1, 30, 62, 63, 64, 126, 200, 254 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(entries); i++) {
		check_bad_entry(_metadata, &self->f.nvme, self->list, self->host,
				ADJACENT, entries[i]);
		check_bad_entry(_metadata, &self->f.nvme, self->list, self->host,
				REVERSE, entries[i]);
	}
}

/* Memory is missing, and page @bad cannot be accessed at all. */
static void check_bad_page(struct __test_metadata *_metadata, struct nvme *nvme,
			   __u64 *list, unsigned char *host, int bad)
{
	__u32 per_page = GUEST_PAGE / nvme->lba_size;
	struct transfer t = {
		.lba = 0, .nr = PAGES * per_page, .layout = ADJACENT,
	};
	unsigned char *page = host + bad * GUEST_PAGE;
	int i;

	ASSERT_EQ(0, madvise(host, MIB, MADV_REMOVE));
	ASSERT_EQ(0, mprotect(page, GUEST_PAGE, PROT_NONE));
	EXPECT_EQ(ST_DATA_TRANSFER,
		  ST_CODE & do_transfer(nvme, NVME_OP_READ, &t, list, host));
	ASSERT_EQ(0, mprotect(page, GUEST_PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(bad * per_page, failed_block(nvme, (void *)list));
	for (i = 0; i < bad; i++)
		EXPECT_EQ(0xab, host[i * GUEST_PAGE])
			TH_LOG("page %d of %d", i, bad);
}

TEST_F_TIMEOUT(rows, a_bad_page_names_its_block, 120)
{
	static const int bad[] = { 0, 1, 15, 16, 50, 64, 255 };
	struct nvme *nvme = &self->f.nvme;
	unsigned int i;

	memset(self->data, 0xab, MIB);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 0, MIB / nvme->lba_size, self->data));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		check_bad_page(_metadata, nvme, self->list, self->host, bad[i]);
}

FIXTURE(saved_rows) {
	struct nvme_fixture f[2];
	struct mdev mdev[2];
	struct migration m;
	unsigned char *data;
};

FIXTURE_SETUP(saved_rows)
{
	struct nvme_fixture *f = self->f;
	int i;

	ASSERT_RET(0, guest_create(&f->guest, 4 * MIB));
	for (i = 0; i < 2; i++) {
		ASSERT_RET(0, mdev_create(&self->mdev[i], "mnvme", "64M"));
		fixture_open(_metadata, self->mdev[i].path, &f[i].dev, &f[i].v1);
		ASSERT_RET(0, guest_attach(&f->guest, &f[i].dev));
		ASSERT_RET(0, v1_map(&f[i].v1));
	}
	ASSERT_EQ(0, nvme_start(&f->nvme, &f->dev, &f->guest, 1, 16));
	self->data = guest_alloc(&f->guest, MIB);
	self->m = (struct migration) { .from = &f[0].v1, .to = &f[1].v1 };
}

FIXTURE_TEARDOWN(saved_rows)
{
	int i;

	nvme_close(&self->f->nvme);
	for (i = 0; i < 2; i++) {
		fixture_close(&self->f[i].dev, &self->f[i].v1);
		mdev_remove(&self->mdev[i]);
	}
	guest_destroy(&self->f->guest);
}

static int write_mib(struct nvme *nvme, unsigned char *data, __u32 mib, __u32 when)
{
	__u32 nr = MIB / nvme->lba_size;

	pattern_fill(nvme, data, mib * nr, nr, when);
	return nvme_io(nvme, NVME_OP_WRITE, mib * nr, nr, data);
}

static int check_mib(struct nvme *nvme, unsigned char *data, __u32 mib, __u32 when)
{
	__u32 nr = MIB / nvme->lba_size;
	int ret = nvme_io(nvme, NVME_OP_READ, mib * nr, nr, data);

	if (ret)
		return ret;
	return pattern_check(nvme, data, mib * nr, nr, when) == -1 ? 0 : -EILSEQ;
}

/* Rows over pages that were sent, and rows over deallocated blocks */
TEST_F_TIMEOUT(saved_rows, written_in_precopy_arrive, 120)
{
	struct nvme *nvme = &self->f->nvme;
	__u32 i;

	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, write_mib(nvme, self->data, i, 1));
	ASSERT_RET(0, migration_begin(&self->m));
	ASSERT_RET(0, migration_precopy(&self->m, 0));
	for (i = 2; i < 6; i++)
		ASSERT_EQ(0, write_mib(nvme, self->data, i, 2));
	ASSERT_RET(0, migration_blackout(&self->m));
	ASSERT_RET(0, migration_finish(&self->m, V1_STOPPED));
	EXPECT_LE(4 * MIB, self->m.blackout_bytes);
	migration_free(&self->m);

	ASSERT_RET(0, nvme_adopt(nvme, &self->f[1].dev));
	ASSERT_RET(0, v1_set_state(&self->f[1].v1, V1_RUNNING));
	for (i = 0; i < 6; i++)
		EXPECT_EQ(0, check_mib(nvme, self->data, i, i < 2 ? 1 : 2))
			TH_LOG("MiB %u", i);
}

SUITE_MAIN(suite_need_mnvme())
