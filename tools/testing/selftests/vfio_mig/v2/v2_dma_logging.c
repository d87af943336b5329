// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_DEVICE_FEATURE_DMA_LOGGING_*: pages of the user's memory that a device wrote. An NVMe
 * controller writes to known places. The log must report these, and no others.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/dma_log.h"
#include "lib/fixture.h"
#include "lib/nvme.h"
#include "lib/v2.h"

#define MEM_BYTES	(32UL << 20)
#define PAGES		(MEM_BYTES / GUEST_PAGE)
#define WORD_BITS	64
/* Data is read to the upper half, because queues and lists are in the lower half. */
#define DATA		(PAGES / 2)

FIXTURE(dma) {
	struct device dev;
	struct v2 v2;
	struct guest guest;
	struct nvme nvme;
	__u8 want[PAGES];	/* 1: was written */
	__u64 seen[PAGES / WORD_BITS + 1];
};

FIXTURE_SETUP(dma)
{
	ASSERT_RET(0, device_open(&self->dev, suite_device()));
	ASSERT_RET(0, v2_open(&self->v2, &self->dev));
	ASSERT_RET(0, guest_create(&self->guest, MEM_BYTES));
	ASSERT_RET(0, guest_attach(&self->guest, &self->dev));
	ASSERT_EQ(0, nvme_start(&self->nvme, &self->dev, &self->guest, 1, 64));
	ASSERT_GT(DATA, self->guest.used / GUEST_PAGE);
}

FIXTURE_TEARDOWN(dma)
{
	nvme_close(&self->nvme);
	v2_close(&self->v2);
	device_close(&self->dev);
	guest_destroy(&self->guest);
}

static void wrote(__u8 *want, const struct guest *guest, const void *at,
		  size_t len)
{
	size_t first = ((const unsigned char *)at - guest->mem) / GUEST_PAGE;
	size_t last = ((const unsigned char *)at + len - 1 - guest->mem) /
		      GUEST_PAGE;

	for (; first <= last; first++)
		want[first] = 1;
}

/* Makes the device write @blocks blocks from byte @at of the data pages on. */
static void read_to(struct __test_metadata *_metadata, struct nvme *nvme,
		    __u8 *want, size_t at, __u32 blocks)
{
	unsigned char *buf = nvme->guest->mem + DATA * GUEST_PAGE + at;
	struct nvme_queue *q = &nvme->io[0];

	wrote(want, nvme->guest, (const void *)&q->cq[q->head],
	      sizeof(q->cq[0]));
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, 0, blocks, buf));
	wrote(want, nvme->guest, buf, (size_t)blocks * nvme->lba_size);
}

static bool bit(const __u64 *map, size_t i)
{
	return map[i / WORD_BITS] >> (i % WORD_BITS) & 1;
}

/*
 * Requests a report of pages @first to @first + @nr - 1, which must have exactly the
 * written pages. From then on these count as not written.
 */
static void check_report(struct __test_metadata *_metadata, struct v2 *v2,
			 const struct guest *guest, __u8 *want, __u64 *seen,
			 size_t first, size_t nr)
{
	size_t i, wrong = 0;

	memset(seen, 0, (PAGES / WORD_BITS + 1) * sizeof(*seen));
	ASSERT_RET(0, dma_log_report(v2, guest->iova + first * GUEST_PAGE,
				     nr * GUEST_PAGE, GUEST_PAGE, seen));
	for (i = 0; i < nr; i++) {
		EXPECT_EQ(want[first + i], bit(seen, i))
			TH_LOG("page %zu %s", first + i, want[first + i] ?
			       "was written and is not reported" :
			       "is reported and was not written");
		wrong += want[first + i] != bit(seen, i);
		want[first + i] = 0;
		ASSERT_GT(10, wrong);
	}
	/* No bit beyond the requested range is set. */
	for (; i < PAGES + WORD_BITS; i++)
		ASSERT_EQ(0, bit(seen, i));
}

#define REPORT(first, nr)						\
	check_report(_metadata, &self->v2, &self->guest, self->want,	\
		     self->seen, first, nr)
#define READ_TO(at, blocks)						\
	read_to(_metadata, &self->nvme, self->want, at, blocks)

#define FILE_PAGES	256
#define MOVED		64	/* pages of a command */

/* Guest memory that is a memfd, and that a VMM maps by the file, not by an address */
struct file_memory {
	unsigned char *mem;
	__u64 iova;
	int fd;
};

/* Returns 0, a negative errno, or the status of a command that moves pages of the file. */
static int move(struct nvme *nvme, __u8 opcode, const struct file_memory *file, size_t first)
{
	__u64 *list = guest_alloc(nvme->guest, GUEST_PAGE);
	struct nvme_cmd cmd = {
		.opcode = opcode,
		.nsid = 1,
		.prp1 = file->iova + first * GUEST_PAGE,
		.cdw12 = MOVED * GUEST_PAGE / nvme->lba_size - 1,
	};
	int i;

	if (!list)
		return -ENOMEM;
	for (i = 1; i < MOVED; i++)
		list[i - 1] = cmd.prp1 + i * GUEST_PAGE;
	cmd.prp2 = guest_iova(nvme->guest, list);
	return nvme_do(nvme, &nvme->io[0], &cmd, NULL);
}

/*
 * QEMU from 10.1 on maps guest memory that is a memfd by IOMMU_IOAS_MAP_FILE. The kernel
 * copies to such memory by its pages, and not by an address space.
 */
TEST_F(dma, memory_that_is_mapped_by_its_file)
{
	struct file_memory file = { .iova = self->guest.iova + MEM_BYTES };
	struct vfio_device_feature_dma_logging_range range = {
		file.iova, FILE_PAGES * GUEST_PAGE
	};
	__u64 seen[FILE_PAGES / WORD_BITS] = { 0 };
	size_t i;
	int ret;

	file.fd = memfd_create("guest", MFD_CLOEXEC);
	ASSERT_LE(0, file.fd);
	ASSERT_EQ(0, ftruncate(file.fd, FILE_PAGES * GUEST_PAGE));
	ret = device_map_file(&self->dev, file.fd, file.iova, FILE_PAGES * GUEST_PAGE);
	if (ret == -ENOTTY)
		SKIP(return, "needs VFIO_MIG_OPEN=cdev, and IOMMU_IOAS_MAP_FILE of Linux 6.14");
	ASSERT_RET(0, ret);
	file.mem = mmap(NULL, FILE_PAGES * GUEST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			file.fd, 0);
	ASSERT_NE(MAP_FAILED, file.mem);

	ASSERT_RET(0, dma_log_start(&self->v2, &range, 1, GUEST_PAGE));
	for (i = 0; i < MOVED; i++)
		memset(file.mem + i * GUEST_PAGE, i + 1, GUEST_PAGE);
	ASSERT_EQ(0, move(&self->nvme, NVME_OP_WRITE, &file, 0));
	/* Nobody has touched the memory that the device writes now. */
	ASSERT_EQ(0, move(&self->nvme, NVME_OP_READ, &file, 100));
	EXPECT_EQ(0, memcmp(file.mem, file.mem + 100 * GUEST_PAGE, MOVED * GUEST_PAGE));
	ASSERT_RET(0, dma_log_report(&self->v2, range.iova, range.length, GUEST_PAGE, seen));
	for (i = 0; i < FILE_PAGES; i++)
		EXPECT_EQ(i >= 100 && i < 100 + MOVED, bit(seen, i))
			TH_LOG("page %zu", i);

	ASSERT_RET(0, device_unmap(&self->dev, file.iova, FILE_PAGES * GUEST_PAGE));
	EXPECT_NE(0, move(&self->nvme, NVME_OP_READ, &file, 100));
	munmap(file.mem, FILE_PAGES * GUEST_PAGE);
	close(file.fd);
}

TEST_F(dma, written_pages_are_reported_once_no_others)
{
	__u32 per_page = GUEST_PAGE / self->nvme.lba_size;

	ASSERT_RET(0, dma_log_pages(&self->v2, &self->guest, 0, PAGES));
	REPORT(0, PAGES);
	READ_TO(0, per_page);
	READ_TO(70 * GUEST_PAGE, 3 * per_page);
	READ_TO(1000 * GUEST_PAGE, 64 * per_page);
	REPORT(0, PAGES);
	REPORT(0, PAGES);
	READ_TO(70 * GUEST_PAGE, per_page);
	REPORT(0, PAGES);
	REPORT(0, PAGES);
	EXPECT_RET(0, dma_log_stop(&self->v2));
}

/* A write that crosses two pages marks both, and only those. */
TEST_F(dma, a_write_that_is_not_aligned)
{
	__u32 lba = self->nvme.lba_size, per_page = GUEST_PAGE / lba;
	size_t at;

	ASSERT_RET(0, dma_log_pages(&self->v2, &self->guest, 0, PAGES));
	/* Only PRP1 may have an offset, which is any multiple of 4. */
	for (at = 4; at < 4096; at += 724) {
		READ_TO(10 * GUEST_PAGE + at, 1);
		REPORT(0, PAGES);
		READ_TO(20 * GUEST_PAGE + at, per_page);
		REPORT(0, PAGES);
	}
}

/* Reports of odd ranges. The next report has the pages that a report leaves out. */
TEST_F(dma, a_report_of_a_part_leaves_the_rest)
{
	static const size_t sizes[] = { 1, 63, 2, 64, 65, 1, 127, 129, 3 };
	__u32 per_page = GUEST_PAGE / self->nvme.lba_size;
	size_t first, nr;
	unsigned int i;

	ASSERT_RET(0, dma_log_pages(&self->v2, &self->guest, 0, PAGES));
	for (i = 0; i < 40; i++)
		READ_TO((i * 97 % 500) * GUEST_PAGE, per_page + i % 3 * per_page);
	/* Backwards, so that each page has neighbours outside of the request */
	first = DATA + 520;
	for (i = 0; first > DATA; i++) {
		nr = sizes[i % ARRAY_SIZE(sizes)];
		if (nr > first - DATA)
			nr = first - DATA;
		first -= nr;
		REPORT(first, nr);
	}
	/* Only the page of the completion queue is left. */
	REPORT(0, PAGES);
}

TEST_F(dma, larger_pages_are_reported_whole)
{
	__u32 per_page = GUEST_PAGE / self->nvme.lba_size;
	size_t factor, i, j, nr;

	ASSERT_RET(0, dma_log_pages(&self->v2, &self->guest, 0, PAGES));
	for (factor = 2; factor <= 512; factor *= 16) {
		READ_TO(3 * GUEST_PAGE, 2 * per_page);
		READ_TO(2047 * GUEST_PAGE, per_page);
		memset(self->seen, 0, sizeof(self->seen));
		ASSERT_RET(0, dma_log_report(&self->v2, self->guest.iova,
					     MEM_BYTES, factor * GUEST_PAGE,
					     self->seen));
		for (i = 0; i < PAGES / factor; i++) {
			for (j = 0, nr = 0; j < factor; j++)
				nr += self->want[i * factor + j];
			EXPECT_EQ(nr > 0, bit(self->seen, i))
				TH_LOG("pages of %zu: number %zu", factor, i);
		}
		memset(self->want, 0, sizeof(self->want));
	}
}

/* A report adds bits to the bitmap. */
TEST_F(dma, bits_that_are_set_stay)
{
	ASSERT_RET(0, dma_log_pages(&self->v2, &self->guest, 0, PAGES));
	self->seen[3] = ~0ULL;
	ASSERT_RET(0, dma_log_report(&self->v2, self->guest.iova, MEM_BYTES,
				     GUEST_PAGE, self->seen));
	EXPECT_EQ(~0ULL, self->seen[3]);
	EXPECT_EQ(0, self->seen[2]);
}

TEST_F(dma, only_ranges_that_are_logged_are_reported)
{
	struct vfio_device_feature_dma_logging_range ranges[] = {
		{ self->guest.iova + (DATA + 5) * GUEST_PAGE, 3 * GUEST_PAGE },
		{ self->guest.iova + (DATA + 100) * GUEST_PAGE, GUEST_PAGE },
	};
	__u32 per_page = GUEST_PAGE / self->nvme.lba_size;
	size_t i;

	ASSERT_RET(0, dma_log_start(&self->v2, ranges, 2, GUEST_PAGE));
	READ_TO(0, 16 * per_page);
	READ_TO(98 * GUEST_PAGE, 8 * per_page);
	for (i = 0; i < PAGES; i++)
		self->want[i] = (i >= DATA + 5 && i < DATA + 8) ||
				i == DATA + 100;
	REPORT(0, PAGES);
}

/* The log also has pages that the device wrote during a session, up to the stop. */
TEST_F(dma, a_session_does_not_disturb_it)
{
	__u32 per_page = GUEST_PAGE / self->nvme.lba_size;

	ASSERT_RET(0, dma_log_pages(&self->v2, &self->guest, 0, PAGES));
	if (v2_has(&self->v2, V2_PRE_COPY))
		ASSERT_RET(0, v2_set_state(&self->v2, V2_PRE_COPY));
	READ_TO(7 * GUEST_PAGE, 2 * per_page);
	ASSERT_RET(0, v2_set_state(&self->v2, V2_STOP_COPY));
	REPORT(0, PAGES);
	ASSERT_RET(0, v2_set_state(&self->v2, V2_RUNNING));
	READ_TO(9 * GUEST_PAGE, per_page);
	REPORT(0, PAGES);
}

TEST_F(dma, start_and_stop_come_in_turn)
{
	ASSERT_GT(0, dma_log_stop(&self->v2));
	EXPECT_GT(0, dma_log_report(&self->v2, self->guest.iova, MEM_BYTES,
				    GUEST_PAGE, self->seen));
	ASSERT_RET(0, dma_log_pages(&self->v2, &self->guest, 0, PAGES));
	EXPECT_RET(-EINVAL, dma_log_pages(&self->v2, &self->guest, 0, PAGES));
	ASSERT_RET(0, dma_log_stop(&self->v2));
	EXPECT_GT(0, dma_log_stop(&self->v2));
	EXPECT_GT(0, dma_log_report(&self->v2, self->guest.iova, MEM_BYTES,
				    GUEST_PAGE, self->seen));
}

/* Pages written before a start, or between a stop and a start, are not reported. */
TEST_F(dma, a_start_begins_with_nothing_written)
{
	__u32 per_page = GUEST_PAGE / self->nvme.lba_size;

	READ_TO(0, 4 * per_page);
	ASSERT_RET(0, dma_log_pages(&self->v2, &self->guest, 0, PAGES));
	READ_TO(8 * GUEST_PAGE, 4 * per_page);
	ASSERT_RET(0, dma_log_stop(&self->v2));
	READ_TO(16 * GUEST_PAGE, 4 * per_page);
	ASSERT_RET(0, dma_log_pages(&self->v2, &self->guest, 0, PAGES));
	memset(self->want, 0, sizeof(self->want));
	REPORT(0, PAGES);
}

TEST_F(dma, closing_the_device_ends_it)
{
	ASSERT_RET(0, dma_log_pages(&self->v2, &self->guest, 0, PAGES));
	device_close(&self->dev);
	ASSERT_RET(0, device_open(&self->dev, suite_device()));
	EXPECT_GT(0, dma_log_stop(&self->v2));
	EXPECT_RET(0, dma_log_pages(&self->v2, &self->guest, 0, PAGES));
}

TEST_F(dma, what_makes_no_sense_is_EINVAL)
{
	struct vfio_device_feature_dma_logging_range twice[] = {
		{ self->guest.iova, 2 * GUEST_PAGE },
		{ self->guest.iova + GUEST_PAGE, GUEST_PAGE },
	};

	EXPECT_RET(-EINVAL, dma_log_start(&self->v2, twice, 0, GUEST_PAGE));
	EXPECT_RET(-EINVAL, dma_log_start(&self->v2, twice, 2, GUEST_PAGE));
	ASSERT_RET(0, dma_log_pages(&self->v2, &self->guest, 0, PAGES));
	EXPECT_RET(-EINVAL, dma_log_report(&self->v2, self->guest.iova, MEM_BYTES,
					   3000, self->seen));
	EXPECT_RET(-EINVAL, dma_log_report(&self->v2, self->guest.iova, MEM_BYTES,
					   512, self->seen));
}

/* A report from the middle of a page has no bit for this page. */
TEST_F(dma, a_report_between_pages_takes_nothing)
{
	__u32 per_page = GUEST_PAGE / self->nvme.lba_size;
	__u64 iova = self->guest.iova + (DATA + 10) * GUEST_PAGE;

	ASSERT_RET(0, dma_log_pages(&self->v2, &self->guest, 0, PAGES));
	READ_TO(10 * GUEST_PAGE, 4 * per_page);
	EXPECT_RET(-EINVAL, dma_log_report(&self->v2, iova + GUEST_PAGE / 2, 2 * GUEST_PAGE,
					   GUEST_PAGE, self->seen));
	EXPECT_RET(-EINVAL, dma_log_report(&self->v2, iova + 1, GUEST_PAGE, GUEST_PAGE,
					   self->seen));
	REPORT(0, PAGES);
}

static void need_dma_logging(void)
{
	struct device dev;
	struct v2 v2;
	int ret;

	suite_need_v2();
	suite_need_nvme();
	if (device_open(&dev, suite_device()))
		return;
	ret = v2_open(&v2, &dev);
	if (!ret)
		ret = dma_log_probe(&v2);
	device_close(&dev);
	if (!ret)
		return;
	ksft_print_header();
	ksft_exit_skip("no DMA logging: %s (this kernel may have no iova_bitmap)\n",
		       errname(ret));
}

SUITE_MAIN(need_dma_logging())
