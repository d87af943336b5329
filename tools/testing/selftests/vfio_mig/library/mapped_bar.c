// SPDX-License-Identifier: GPL-2.0-only
/* Device memory that the user maps (BAR2 of mscratch) is tracked while the device migrates. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "lib/check.h"
#include "lib/migrate.h"
#include "lib/nvme.h"
#include "lib/poke.h"
#include "lib/scratch.h"
#include "lib/stream.h"
#include "lib/suite.h"
#include "lib/v1.h"

#define WINDOW_KIB	256
#define PAGE		4096UL
#define SIZE		(64UL << 20)
/* The threads write to few pages, so that they write to each page many times. */
#define HOT_PAGES	512UL

static struct mdev mdev[2];

struct side {
	struct device dev;
	struct v1 v1;
	struct region bar;
	unsigned char *map;	/* all of BAR2 */
	const unsigned char *ro;	/* mapping of the same memory without the right to write */
};

static void side_open(struct __test_metadata *_metadata, struct side *s, int i)
{
	void *map;

	ASSERT_RET(0, device_open(&s->dev, mdev[i].path));
	ASSERT_RET(0, v1_open(&s->v1, &s->dev));
	ASSERT_RET(0, region_open(&s->bar, &s->dev, VFIO_PCI_BAR2_REGION_INDEX));
	ASSERT_EQ(SIZE, s->bar.size);
	ASSERT_RET(0, region_mmap(&s->bar, 0, SIZE, PROT_READ | PROT_WRITE,
				  MAP_SHARED, &map));
	s->map = map;
	ASSERT_RET(0, region_mmap(&s->bar, 0, SIZE, PROT_READ, MAP_SHARED, &map));
	s->ro = map;
}

static void side_close(struct side *s)
{
	if (s->map)
		munmap(s->map, SIZE);
	if (s->ro)
		munmap((void *)s->ro, SIZE);
	v1_close(&s->v1);
	device_close(&s->dev);
}

/* Reads all data into @stream. Returns the number of pages with data. */
static __u64 drain(struct __test_metadata *_metadata, struct side *s,
		   struct buffer *stream)
{
	struct pages_total total;

	stream->len = 0;
	ASSERT_LE(0, v1_drain(&s->v1, stream));
	ASSERT_RET(0, stream_pages(stream, &total));
	return total.data;
}

static __u64 pending(struct __test_metadata *_metadata, struct side *s)
{
	__u64 bytes = 0;

	ASSERT_RET(0, v1_pending(&s->v1, &bytes));
	return bytes;
}

static void compare(struct __test_metadata *_metadata, struct side *a,
		    struct side *b, unsigned long pages)
{
	unsigned long i;

	for (i = 0; i < pages; i++)
		if (memcmp(a->ro + i * PAGE, b->ro + i * PAGE, PAGE))
			break;
	EXPECT_EQ(pages, i)
		TH_LOG("page %lu differs on the target", i);
}

FIXTURE(bar) {
	struct side a;
	struct side b;
	struct buffer stream;
};

FIXTURE_SETUP(bar)
{
	side_open(_metadata, &self->a, 0);
	side_open(_metadata, &self->b, 1);
}

FIXTURE_TEARDOWN(bar)
{
	buffer_free(&self->stream);
	side_close(&self->a);
	side_close(&self->b);
}

TEST_F(bar, reads_as_zeros_and_reading_is_no_change)
{
	struct side *a = &self->a;
	unsigned long i;

	for (i = 0; i < SIZE; i += PAGE)
		ASSERT_EQ(0, a->ro[i]);
	ASSERT_RET(0, v1_set_state(&a->v1, V1_STOP_COPY));
	EXPECT_EQ(0, drain(_metadata, a, &self->stream));
}

/* If the entry did not permit stores, KVM would emulate the store that follows. */
TEST_F(bar, reading_where_it_may_be_written_is_a_change)
{
	struct side *a = &self->a;
	unsigned long i;

	ASSERT_RET(0, v1_set_state(&a->v1, V1_PRE_COPY));
	drain(_metadata, a, &self->stream);
	for (i = 0; i < 16; i++)
		ASSERT_EQ(0, a->map[i * PAGE]);
	EXPECT_NE(0, pending(_metadata, a));
	/* The stream has no data of pages of zeros. */
	EXPECT_EQ(0, drain(_metadata, a, &self->stream));
	EXPECT_EQ(0, pending(_metadata, a));
}

TEST_F(bar, is_the_same_memory_as_read_and_write)
{
	struct side *a = &self->a;
	unsigned char buf[3 * PAGE], byte;

	/* A load maps a page of zeros first. Then a system call writes the page. */
	ASSERT_RET(0, poke_load(a->map + 5 * PAGE, &byte));
	memset(buf, 0xa1, sizeof(buf));
	ASSERT_EQ(sizeof(buf), region_write(&a->bar, 4 * PAGE + 17, buf,
					    sizeof(buf)));
	EXPECT_EQ(0, memcmp(a->map + 4 * PAGE + 17, buf, sizeof(buf)));
	EXPECT_EQ(0, a->map[4 * PAGE + 16]);
	memset(a->map + 5 * PAGE, 0xb2, PAGE);
	ASSERT_EQ(sizeof(buf), region_read(&a->bar, 4 * PAGE, buf,
					   sizeof(buf)));
	EXPECT_EQ(0, memcmp(a->map + 4 * PAGE, buf, sizeof(buf)));
	EXPECT_EQ(0xb2, buf[PAGE]);
}

/* The buffer is in the device's memory, so no lock may be taken twice. */
TEST_F(bar, system_calls_take_it_as_their_buffer)
{
	struct side *a = &self->a;

	memset(a->map, 0xc3, PAGE);
	EXPECT_EQ(PAGE, region_read(&a->bar, 0, a->map, PAGE));
	EXPECT_EQ(PAGE, region_write(&a->bar, PAGE, a->map, PAGE));
	EXPECT_EQ(4 * PAGE, region_write(&a->bar, 8 * PAGE, a->map + 9 * PAGE,
					 4 * PAGE));
	EXPECT_EQ(0, memcmp(a->map, a->map + PAGE, PAGE));
}

TEST_F(bar, maps_in_part_and_shared_only)
{
	struct side *a = &self->a;
	void *map;

	EXPECT_RET(-EINVAL, region_mmap(&a->bar, 0, SIZE, PROT_READ,
					MAP_PRIVATE, &map));
	EXPECT_RET(-EINVAL, region_mmap(&a->bar, PAGE, SIZE, PROT_READ,
					MAP_SHARED, &map));
	EXPECT_RET(-EINVAL, region_mmap(&a->bar, SIZE, PAGE, PROT_READ,
					MAP_SHARED, &map));
	ASSERT_RET(0, region_mmap(&a->bar, SIZE - PAGE, PAGE,
				  PROT_READ | PROT_WRITE, MAP_SHARED, &map));
	memset(map, 0xd4, PAGE);
	EXPECT_EQ(0xd4, a->map[SIZE - 1]);
	EXPECT_EQ(0, a->map[SIZE - PAGE - 1]);
	munmap(map, PAGE);
}

TEST_F(bar, is_loaded_and_shows_in_an_older_mapping)
{
	struct side *a = &self->a, *b = &self->b;
	unsigned long i;

	for (i = 0; i < 64; i++) {
		memset(a->map + 3 * i * PAGE, i + 1, PAGE);
		/* The target has read some pages and written others. */
		b->map[2 * i * PAGE] = i & 1 ? 0xee : b->map[i * PAGE];
	}
	ASSERT_RET(0, migrate(&a->v1, &b->v1));
	compare(_metadata, a, b, SIZE / PAGE);
	ASSERT_RET(0, v1_set_state(&b->v1, V1_RUNNING));
	b->map[0]++;
	EXPECT_EQ(a->map[0] + 1, b->map[0]);
}

TEST_F(bar, only_what_was_stored_to_is_sent_again)
{
	struct side *a = &self->a;
	unsigned long i, sum = 0;

	for (i = 0; i < 32; i++)
		a->map[i * PAGE] = 1;
	ASSERT_RET(0, v1_set_state(&a->v1, V1_PRE_COPY));
	EXPECT_EQ(32, drain(_metadata, a, &self->stream));
	for (i = 0; i < 64; i++)
		sum += a->ro[i * PAGE];
	EXPECT_EQ(32, sum);
	EXPECT_EQ(0, pending(_metadata, a))
		TH_LOG("loads count as changes");
	/* Pages mapped by a read and pages not mapped, old ones and new ones */
	a->map[7 * PAGE + 1] = 2;
	a->map[7 * PAGE + 2] = 2;
	a->map[40 * PAGE] = 2;
	a->map[1000 * PAGE] = 2;
	EXPECT_EQ(3, drain(_metadata, a, &self->stream));
	a->map[7 * PAGE + 1] = 3;
	EXPECT_EQ(1, drain(_metadata, a, &self->stream));
	EXPECT_EQ(0, pending(_metadata, a));
}

TEST_F(bar, a_store_after_END_is_sent_with_another_END)
{
	struct side *a = &self->a, *b = &self->b;
	struct buffer all = { 0 };

	a->map[PAGE] = 1;
	ASSERT_RET(0, v1_save(&a->v1, &all));
	EXPECT_EQ(1, stream_count(&all, CHUNK_END));
	a->map[PAGE] = 2;
	a->map[9 * PAGE] = 3;
	EXPECT_NE(0, pending(_metadata, a));
	ASSERT_LT(0, v1_drain(&a->v1, &all));
	EXPECT_EQ(2, stream_count(&all, CHUNK_END));
	ASSERT_RET(0, v1_load(&b->v1, &all, 0));
	ASSERT_RET(0, v1_set_state(&b->v1, V1_STOPPED));
	compare(_metadata, a, b, SIZE / PAGE);
	buffer_free(&all);
}

TEST_F(bar, a_store_does_not_reach_what_is_prepared)
{
	struct side *a = &self->a;
	struct buffer first = { 0 }, second = { 0 };

	memset(a->map, 1, 16 * PAGE);
	ASSERT_RET(0, v1_set_state(&a->v1, V1_PRE_COPY));
	ASSERT_LT(0, v1_iteration(&a->v1, &first));
	memset(a->map, 2, 16 * PAGE);
	ASSERT_LT(0, v1_iteration(&a->v1, &second));
	ASSERT_EQ(first.len, second.len);
	EXPECT_EQ(0, memcmp(first.data, second.data, first.len));
	EXPECT_EQ(16, drain(_metadata, a, &self->stream));
	buffer_free(&first);
	buffer_free(&second);
}

/* mprotect() permits stores again. A store must still mark the page. */
TEST_F(bar, a_store_after_mprotect_counts)
{
	struct side *a = &self->a;
	unsigned char byte;

	a->map[0] = 1;
	ASSERT_RET(0, v1_set_state(&a->v1, V1_PRE_COPY));
	ASSERT_EQ(0, mprotect(a->map, SIZE, PROT_READ));
	EXPECT_EQ(1, drain(_metadata, a, &self->stream));
	ASSERT_RET(0, poke_load(a->map, &byte));
	ASSERT_EQ(0, mprotect(a->map, SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, pending(_metadata, a));
	a->map[0] = 2;
	EXPECT_EQ(1, drain(_metadata, a, &self->stream));
}

TEST_F(bar, a_store_where_it_was_moved_to_counts)
{
	struct side *a = &self->a;
	void *to, *moved;

	a->map[0] = 1;
	ASSERT_RET(0, v1_set_state(&a->v1, V1_PRE_COPY));
	to = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, to);
	moved = mremap(a->map, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	ASSERT_NE(MAP_FAILED, moved);
	a->map = moved;
	EXPECT_EQ(1, drain(_metadata, a, &self->stream));
	a->map[0] = 2;
	EXPECT_EQ(1, drain(_metadata, a, &self->stream));
}

TEST_F(bar, a_store_by_a_child_counts)
{
	struct side *a = &self->a;
	int i, status;
	pid_t pid;

	a->map[0] = 1;
	ASSERT_RET(0, v1_set_state(&a->v1, V1_PRE_COPY));
	for (i = 2; i < 4; i++) {
		EXPECT_EQ(1, drain(_metadata, a, &self->stream));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			a->map[0]++;
			_exit(0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_EQ(i, a->map[0]);
	}
	EXPECT_EQ(1, drain(_metadata, a, &self->stream));
}

TEST_F(bar, is_gone_for_a_mapping_after_the_close)
{
	struct side *a = &self->a;
	unsigned char byte, *map = a->map;

	memset(map, 0xe5, 4 * PAGE);
	v1_close(&a->v1);
	device_close(&a->dev);
	EXPECT_RET(-EFAULT, poke_load(map, &byte));
	EXPECT_RET(-EFAULT, poke_store(map, 0));
	side_open(_metadata, a, 0);
	EXPECT_EQ(0, a->map[0])
		TH_LOG("the last user's memory is there");
	a->map[0] = 1;
	EXPECT_RET(-EFAULT, poke_load(map, &byte));
	munmap(map, SIZE);
}

/* The mapping must not show the data section of the next user either. */
TEST_F(bar, the_data_section_is_gone_for_it_too)
{
	struct side *a = &self->a;
	unsigned char byte, *map;

	ASSERT_RET(0, v1_map(&a->v1));
	map = a->v1.map;
	munmap(a->map, SIZE);
	device_close(&a->dev);
	side_open(_metadata, a, 0);
	ASSERT_RET(0, v1_set_state(&a->v1, V1_PRE_COPY));
	ASSERT_LT(0, v1_iteration(&a->v1, &self->stream));
	EXPECT_RET(-EFAULT, poke_load(map, &byte));
	munmap(map, a->v1.window);
}

/*
 * A disk does DMA to the memory, because a VMM maps the guest's BARs for the DMA of all
 * devices. So the guest can use a BAR as a buffer.
 */
FIXTURE(dma) {
	struct side a;
	struct mdev disk;
	struct device dev;
	struct guest guest;
	struct nvme nvme;
	struct buffer stream;
};

#define BAR_IOVA	(1ULL << 32)
#define BLOCKS		8U	/* of a page */

FIXTURE_SETUP(dma)
{
	void *buf;

	side_open(_metadata, &self->a, 0);
	ASSERT_RET(0, mdev_create(&self->disk, "mnvme", "64M"));
	ASSERT_RET(0, device_open(&self->dev, self->disk.path));
	ASSERT_RET(0, guest_create(&self->guest, 1 << 20));
	ASSERT_RET(0, guest_attach(&self->guest, &self->dev));
	ASSERT_RET(0, device_map(&self->dev, self->a.map, BAR_IOVA, SIZE));
	ASSERT_EQ(0, nvme_start(&self->nvme, &self->dev, &self->guest, 1, 16));
	buf = guest_alloc(&self->guest, PAGE);
	memset(buf, 0x5d, PAGE);
	ASSERT_EQ(0, nvme_io(&self->nvme, NVME_OP_WRITE, 0, BLOCKS, buf));
}

FIXTURE_TEARDOWN(dma)
{
	nvme_close(&self->nvme);
	device_close(&self->dev);
	mdev_remove(&self->disk);
	guest_destroy(&self->guest);
	buffer_free(&self->stream);
	side_close(&self->a);
}

/* The disk reads its first page into a page of the memory, or writes it from there. */
static int disk_io(struct nvme *nvme, __u8 opcode, unsigned long page, __u64 lba)
{
	struct nvme_cmd cmd = {
		.opcode = opcode,
		.nsid = 1,
		.prp1 = BAR_IOVA + page * PAGE,
		.cdw10 = lba,
		.cdw12 = BLOCKS - 1,
	};

	return nvme_do(nvme, &nvme->io[0], &cmd, NULL);
}

TEST_F(dma, into_it_counts_as_a_change)
{
	struct side *a = &self->a;
	int i;

	ASSERT_RET(0, v1_set_state(&a->v1, V1_PRE_COPY));
	drain(_metadata, a, &self->stream);
	for (i = 0; i < 3; i++) {
		memset(a->map + 5 * PAGE, i, PAGE);
		EXPECT_EQ(!!i, drain(_metadata, a, &self->stream));
		ASSERT_EQ(0, disk_io(&self->nvme, NVME_OP_READ, 5, 0));
		EXPECT_EQ(0x5d, a->ro[5 * PAGE]);
		EXPECT_EQ(0x5d, a->ro[6 * PAGE - 1]);
		EXPECT_EQ(1, drain(_metadata, a, &self->stream))
			TH_LOG("round %d: the disk's DMA is not sent", i);
		EXPECT_EQ(0, pending(_metadata, a));
	}
}

TEST_F(dma, out_of_it_reads_what_is_there)
{
	memset(self->a.map + 9 * PAGE, 0xd5, PAGE);
	ASSERT_EQ(0, disk_io(&self->nvme, NVME_OP_WRITE, 9, 2 * BLOCKS));
	ASSERT_EQ(0, disk_io(&self->nvme, NVME_OP_READ, 11, 2 * BLOCKS));
	EXPECT_EQ(0, memcmp(self->a.ro + 9 * PAGE, self->a.ro + 11 * PAGE, PAGE));
}

/* Threads that write all the time, each to another word of a page */
struct writer {
	pthread_t thread;
	unsigned char *map;
	unsigned int id;
	volatile int stop;
	volatile unsigned long stores;
};

#define WRITERS	3

static void *writer_run(void *arg)
{
	struct writer *w = arg;
	unsigned int seed = w->id;
	unsigned long page, word;

	while (!w->stop) {
		page = rand_r(&seed) % HOT_PAGES;
		word = rand_r(&seed) % (PAGE / 32) * 4 + w->id;
		((volatile __u64 *)(w->map + page * PAGE))[word] = w->stores + 1;
		w->stores++;
	}
	return NULL;
}

/* Waits until each thread has stored twice, because one store may have begun before. */
static void writers_go_on(struct writer *w)
{
	unsigned long from;
	int i;

	for (i = 0; i < WRITERS; i++)
		for (from = w[i].stores; w[i].stores < from + 2;)
			sched_yield();
}

static void writers_start(struct __test_metadata *_metadata, struct writer *w,
			  unsigned char *map)
{
	int i;

	memset(w, 0, WRITERS * sizeof(*w));
	for (i = 0; i < WRITERS; i++) {
		w[i].map = map;
		w[i].id = i;
		ASSERT_EQ(0, pthread_create(&w[i].thread, NULL, writer_run,
					    &w[i]));
	}
}

static void writers_stop(struct __test_metadata *_metadata, struct writer *w)
{
	int i;

	for (i = 0; i < WRITERS; i++) {
		w[i].stop = 1;
		ASSERT_EQ(0, pthread_join(w[i].thread, NULL));
	}
}

static void move(struct __test_metadata *_metadata, struct side *a,
		 struct side *b, unsigned int rounds)
{
	struct buffer chunk = { 0 };

	while (rounds-- && pending(_metadata, a)) {
		chunk.len = 0;
		ASSERT_LE(0, v1_iteration(&a->v1, &chunk));
		ASSERT_RET(0, v1_feed(&b->v1, chunk.data, chunk.len, 0));
	}
	buffer_free(&chunk);
}

FIXTURE(busy) {
	struct side a;
	struct side b;
	struct writer writers[WRITERS];
};

FIXTURE_VARIANT(busy) {
	bool mapped;		/* the data section */
	unsigned int after;	/* rounds with writes after the stop */
};

FIXTURE_VARIANT_ADD(busy, until_the_stop) { .mapped = true };
FIXTURE_VARIANT_ADD(busy, until_the_stop_by_read) { .mapped = false };
FIXTURE_VARIANT_ADD(busy, after_the_stop_too) { .mapped = true, .after = 40 };

FIXTURE_SETUP(busy)
{
	side_open(_metadata, &self->a, 0);
	side_open(_metadata, &self->b, 1);
	if (!variant->mapped)
		return;
	ASSERT_RET(0, v1_map(&self->a.v1));
	ASSERT_RET(0, v1_map(&self->b.v1));
}

FIXTURE_TEARDOWN(busy)
{
	side_close(&self->a);
	side_close(&self->b);
}

/* There and back: loaded data is tracked like written data. */
TEST_F_TIMEOUT(busy, the_target_has_what_was_there_at_the_stop, 300)
{
	struct side *from = &self->a, *to = &self->b, *next;
	unsigned int round;
	int i;

	for (i = 0; i < 4; i++) {
		writers_start(_metadata, self->writers, from->map);
		ASSERT_RET(0, v1_set_state(&from->v1, V1_PRE_COPY));
		ASSERT_RET(0, v1_set_state(&to->v1, V1_RESUMING));
		for (round = 0; round < 60; round++) {
			writers_go_on(self->writers);
			move(_metadata, from, to, 1);
		}
		if (!variant->after)
			writers_stop(_metadata, self->writers);
		ASSERT_RET(0, v1_set_state(&from->v1, V1_STOP_COPY));
		for (round = 0; round < variant->after; round++) {
			writers_go_on(self->writers);
			move(_metadata, from, to, 1);
		}
		if (variant->after)
			writers_stop(_metadata, self->writers);
		move(_metadata, from, to, -1);
		ASSERT_RET(0, v1_set_state(&from->v1, V1_STOPPED));
		ASSERT_RET(0, v1_set_state(&to->v1, V1_RUNNING));
		compare(_metadata, from, to, SIZE / PAGE);
		next = from;
		from = to;
		to = next;
	}
}

int main(int argc, char **argv)
{
	(void)argc;
	scratch_create(mdev, WINDOW_KIB);
	if (system("modprobe -q mnvme 2>/dev/null"))
		ksft_print_msg("modprobe mnvme did not succeed\n");
	SUITE_RUN(argv);
}
