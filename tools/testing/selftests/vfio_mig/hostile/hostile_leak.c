// SPDX-License-Identifier: GPL-2.0-only
/*
 * Looks for data of the kernel or of other processes. The test marks memory before it is
 * freed and the device gets it. With "make test-poison" the kernel marks all other memory, by
 * page_poison=1 and slub_debug=P. A user must never read a mark from a device.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/endpoint.h"
#include "lib/mdev.h"
#include "lib/nvme_fixture.h"
#include "lib/poke.h"
#include "lib/stream.h"

#define MARK		"a page of another process\n"
#define PIPES		200
#define PIPE_BYTES	(1 << 20)
#define IN_A_ROW	16	/* equal bytes of a mark that cannot be a coincidence */
#define BUF_BYTES	(64UL << 10)

/* Bytes of page_poison, and of slub_debug=P in free objects and in new objects */
static const unsigned char poisons[] = { 0xaa, 0x6b, 0x5a };

static struct mdev scratch;

/* The memory of a process's pipes is free when the process has ended. */
static void mark_free_memory(void)
{
	char page[GUEST_PAGE];
	int ends[2], i;
	size_t at;
	pid_t pid;

	pid = fork();
	if (pid) {
		waitpid(pid, NULL, 0);
		return;
	}
	for (at = 0; at < sizeof(page); at++)
		page[at] = MARK[at % (sizeof(MARK) - 1)];
	for (i = 0; i < PIPES && !pipe(ends); i++) {
		fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
		fcntl(ends[1], F_SETFL, O_NONBLOCK);
		while (write(ends[1], page, sizeof(page)) > 0)
			;
	}
	_exit(0);
}

/* Returns the offset of a mark in the buffer, or -1. */
static long find_mark(const void *buf, size_t len)
{
	const unsigned char *bytes = buf;
	size_t at, row = 1;
	const char *mark;

	mark = memmem(buf, len, MARK, sizeof(MARK) - 1);
	if (mark)
		return mark - (const char *)buf;
	for (at = 1; at < len; at++) {
		row = bytes[at] == bytes[at - 1] ? row + 1 : 1;
		if (row == IN_A_ROW && memchr(poisons, bytes[at], sizeof(poisons)))
			return at + 1 - row;
	}
	return -1;
}

#define EXPECT_CLEAN(buf, len, fmt, ...) do {				\
	const void *__buf = (buf);					\
	long __at = find_mark(__buf, len);				\
									\
	EXPECT_EQ(-1, __at)						\
		TH_LOG(fmt ": %#x at %ld", ##__VA_ARGS__,		\
		       ((const unsigned char *)__buf)[__at], __at);	\
} while (0)

FIXTURE(leak) {
	struct nvme_fixture f;
	struct v2 v2;
	int has_v2;
	unsigned char *buf;
};

FIXTURE_SETUP(leak)
{
	mark_free_memory();
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	self->has_v2 = !v2_open(&self->v2, &self->f.dev);
	self->buf = guest_alloc(&self->f.guest, BUF_BYTES);
}

FIXTURE_TEARDOWN(leak)
{
	v2_close(&self->v2);
	nvme_fixture_close(&self->f);
}

/* Sends an admin command that returns data. The command may fail. */
static int admin(struct nvme *nvme, unsigned char *buf, __u8 opcode, __u32 nsid,
		 __u32 cdw10, __u32 cdw11)
{
	struct nvme_cmd cmd = {
		.opcode = opcode,
		.nsid = nsid,
		.prp1 = guest_iova(nvme->guest, buf),
		.cdw10 = cdw10,
		.cdw11 = cdw11,
	};

	memset(buf, 0, GUEST_PAGE);
	return nvme_do(nvme, &nvme->admin, &cmd, NULL);
}

#define ADMIN_GET_LOG		0x02
#define ADMIN_IDENTIFY		0x06
#define ADMIN_GET_FEATURES	0x0a
#define LOG_DWORDS		(GUEST_PAGE / 4 - 1)

TEST_F_TIMEOUT(leak, identify_log_pages_and_features, 120)
{
	static const __u32 nsids[] = { 0, 1, ~0U };
	struct nvme *nvme = &self->f.nvme;
	unsigned int i, n, done = 0;

	for (i = 0; i < 256; i++) {
		for (n = 0; n < ARRAY_SIZE(nsids); n++) {
			done += !admin(nvme, self->buf, ADMIN_IDENTIFY, nsids[n], i, 0);
			EXPECT_CLEAN(self->buf, GUEST_PAGE, "Identify %#x", i);
			done += !admin(nvme, self->buf, ADMIN_GET_LOG, nsids[n],
				       i | LOG_DWORDS << 16, 0);
			EXPECT_CLEAN(self->buf, GUEST_PAGE, "Get Log Page %#x", i);
			done += !admin(nvme, self->buf, ADMIN_GET_FEATURES, nsids[n],
				       i, 0);
			EXPECT_CLEAN(self->buf, GUEST_PAGE, "Get Features %#x", i);
		}
	}
	/* Without successful commands the test would show nothing. */
	EXPECT_LT(10, done);
}

/* Reads each region with all kinds of access that it permits. */
TEST_F(leak, regions)
{
	struct device *dev = &self->f.dev;
	unsigned char *all = malloc(BUF_BYTES);
	struct region r;
	__u32 index;
	size_t at;

	ASSERT_NE(NULL, all);
	for (index = 0; index < dev->info.num_regions; index++) {
		if (region_open(&r, dev, index))
			continue;
		memset(all, 0, BUF_BYTES);
		for (at = 0; at + 4 <= r.size && at + 4 <= BUF_BYTES; at += 4)
			region_read(&r, at, all + at, 4);
		EXPECT_CLEAN(all, BUF_BYTES, "region %u", index);
	}
	free(all);
}

TEST_F(leak, descriptions)
{
	struct device *dev = &self->f.dev;
	unsigned char arg[GUEST_PAGE];
	struct vfio_region_info *region = (void *)arg;
	struct vfio_device_info *info = (void *)arg;
	struct vfio_irq_info *irq = (void *)arg;
	__u32 i;

	for (i = 0; i < 16; i++) {
		memset(arg, 0, sizeof(arg));
		*region = (struct vfio_region_info) { .argsz = sizeof(arg), .index = i };
		ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, arg);
		EXPECT_CLEAN(arg, sizeof(arg), "GET_REGION_INFO %u", i);
		memset(arg, 0, sizeof(arg));
		*irq = (struct vfio_irq_info) { .argsz = sizeof(arg), .index = i };
		ioctl(dev->fd, VFIO_DEVICE_GET_IRQ_INFO, arg);
		EXPECT_CLEAN(arg, sizeof(arg), "GET_IRQ_INFO %u", i);
	}
	memset(arg, 0, sizeof(arg));
	*info = (struct vfio_device_info) { .argsz = sizeof(arg) };
	ioctl(dev->fd, VFIO_DEVICE_GET_INFO, arg);
	EXPECT_CLEAN(arg, sizeof(arg), "GET_INFO");
	for (i = 0; i < 16 && self->has_v2; i++) {
		memset(arg, 0, sizeof(arg));
		v2_feature(&self->v2, VFIO_DEVICE_FEATURE_GET | i, arg, 256);
		EXPECT_CLEAN(arg, sizeof(arg), "FEATURE %u", i);
	}
}

static void check_zero(struct __test_metadata *_metadata, const unsigned char *buf,
		       size_t len, const char *what)
{
	size_t at;

	for (at = 0; at < len && !buf[at]; at++)
		;
	EXPECT_EQ(len, at)
		TH_LOG("%s: %#x at %zu", what, at < len ? buf[at] : 0, at);
}

/* Blocks that were never written read as zeros, next to written blocks and to a failed write. */
TEST_F(leak, a_disk)
{
	struct nvme *nvme = &self->f.nvme;
	__u32 blocks = GUEST_PAGE / nvme->lba_size, nr = BUF_BYTES / nvme->lba_size;
	__u64 lba;

	ASSERT_EQ(0, nvme_deallocate(nvme, 0, nvme->nr_lbas, self->buf));
	memset(self->buf, 0x11, nvme->lba_size);
	for (lba = 0; lba < nr; lba += blocks)
		ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, lba, 1, self->buf));
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, 0, nr, self->buf));
	for (lba = 0; lba < nr && blocks > 1; lba += blocks)
		check_zero(_metadata, self->buf + (lba + 1) * nvme->lba_size,
			   GUEST_PAGE - nvme->lba_size, "beside a block");

	/* The data of a write is missing: the second of its two pages is not mapped. */
	ASSERT_EQ(0, nvme_deallocate(nvme, 0, nvme->nr_lbas, self->buf));
	for (lba = 0; lba < nr; lba += 2 * blocks) {
		struct nvme_cmd cmd = {
			.opcode = NVME_OP_WRITE,
			.nsid = 1,
			.prp1 = guest_iova(nvme->guest, self->buf),
			.prp2 = 1ULL << 40,
			.cdw10 = lba,
			.cdw12 = 2 * blocks - 1,
		};

		EXPECT_NE(0, nvme_do(nvme, &nvme->io[0], &cmd, NULL));
	}
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, 0, nr, self->buf));
	EXPECT_CLEAN(self->buf, BUF_BYTES, "after writes that failed");
	for (lba = blocks; lba < nr; lba += 2 * blocks)
		check_zero(_metadata, self->buf + lba * nvme->lba_size, GUEST_PAGE,
			   "a page that could not be written");
}

TEST_F(leak, streams)
{
	struct nvme_fixture *f = &self->f;
	struct buffer s = { 0 };

	memset(self->buf, 0x11, BUF_BYTES);
	ASSERT_EQ(0, nvme_io(&f->nvme, NVME_OP_WRITE, 3, 1, self->buf));
	ASSERT_RET(0, v1_save(&f->v1, &s));
	EXPECT_CLEAN(s.data, s.len, "by v1");
	ASSERT_RET(0, v1_set_state(&f->v1, V1_RUNNING));
	if (self->has_v2) {
		s.len = 0;
		ASSERT_RET(0, v2_save(&self->v2, &s, 333));
		EXPECT_CLEAN(s.data, s.len, "by v2");
		ASSERT_RET(0, v2_set_state(&self->v2, V2_RUNNING));
	}
	buffer_free(&s);
}

/* Reads the whole window, also the part without data. */
TEST_F(leak, a_window)
{
	static const __u32 states[] = { V1_STOP_COPY, V1_PRE_COPY, V1_RESUMING };
	struct v1 *v1 = &self->f.v1;
	unsigned char *copy = malloc(v1->window);
	unsigned int i;

	ASSERT_NE(NULL, copy);
	ASSERT_RET(0, v1_map(v1));
	for (i = 0; i < 2 * ARRAY_SIZE(states); i++) {
		ASSERT_RET(0, v1_set_state(v1, states[i % ARRAY_SIZE(states)]));
		if (states[i % ARRAY_SIZE(states)] != V1_RESUMING)
			ASSERT_LE(0, v1_open_iteration(v1));
		memset(copy, 0, v1->window);
		if (!poke_copy(copy, v1->map, v1->window))
			EXPECT_CLEAN(copy, v1->window, "in %s",
				     v1_state_name(states[i % ARRAY_SIZE(states)]));
		ASSERT_RET(0, device_reset(&self->f.dev));
		memset(copy, 0, v1->window);
		if (!poke_copy(copy, v1->map, v1->window))
			EXPECT_CLEAN(copy, v1->window, "after a session");
	}
	free(copy);
}

/* Loads that are refused in the middle, and a successful load after them */
TEST_F(leak, a_disk_after_loads_that_failed)
{
	struct nvme_fixture *f = &self->f;
	struct nvme *nvme = &f->nvme;
	__u32 nr = BUF_BYTES / nvme->lba_size;
	struct buffer s = { 0 };
	struct chunk c;

	ASSERT_EQ(0, nvme_deallocate(nvme, 0, nvme->nr_lbas, self->buf));
	ASSERT_RET(0, v1_save(&f->v1, &s));
	ASSERT_RET(0, v1_set_state(&f->v1, V1_RUNNING));
	ASSERT_EQ(0, stream_find(&s, CHUNK_END, 0, &c));
	s.data[c.at] ^= 1;
	EXPECT_RET(-EBADMSG, v1_load(&f->v1, &s, 0));
	ASSERT_RET(0, device_reset(&f->dev));
	s.data[c.at] ^= 1;
	ASSERT_RET(0, v1_load(&f->v1, &s, 0));
	ASSERT_RET(0, v1_set_state(&f->v1, V1_RUNNING));
	f->guest.used = 0;
	nvme_close(nvme);
	ASSERT_EQ(0, nvme_start(nvme, &f->dev, &f->guest, 1, 16));
	self->buf = guest_alloc(&f->guest, BUF_BYTES);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, 0, nr, self->buf));
	check_zero(_metadata, self->buf, BUF_BYTES, "a disk that was never written");
	buffer_free(&s);
}

/* A BAR that is device memory: by read and by mapping, also next to stored data */
TEST_F(leak, mscratch)
{
	unsigned char *all = malloc(BUF_BYTES), *map;
	struct device dev;
	struct region bar;
	size_t at;

	if (!scratch.path[0])
		SKIP(return, "there is no mscratch");
	ASSERT_NE(NULL, all);
	ASSERT_RET(0, device_open(&dev, scratch.path));
	ASSERT_RET(0, region_open(&bar, &dev, VFIO_PCI_BAR2_REGION_INDEX));
	ASSERT_RET(0, region_write_all(&bar, 100, "x", 1));
	ASSERT_RET(0, region_read_all(&bar, 0, all, BUF_BYTES));
	all[100] = 0;
	check_zero(_metadata, all, BUF_BYTES, "read");
	ASSERT_RET(0, region_mmap(&bar, 0, BUF_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
				  (void **)&map));
	for (at = 0; at < BUF_BYTES; at += GUEST_PAGE)
		map[at] = 0;
	map[100] = 0;
	check_zero(_metadata, map, BUF_BYTES, "mapped");
	munmap(map, BUF_BYTES);
	device_close(&dev);
	free(all);
}

/* A data file that is closed at the moment in which another thread ends its session */

#define RACE_SECONDS	5.0
#define RACE_PAGES	256	/* at least as many as a chunk has */
#define RACE_BATCH	64	/* rounds between two checks of the disk */
#define RACE_SPIN	4096	/* longest delay of a thread, in turns of a loop */
#define NO_FILE		(-1)
#define NO_MORE		(-2)

/**
 * struct closer - a thread that closes files
 * @fd: the next file, NO_FILE until there is one, NO_MORE to end the thread
 * @closed: number of closed files
 * @thread: the thread
 */
struct closer {
	int fd;
	unsigned int closed;
	pthread_t thread;
};

/* Delays the thread, so that the two calls overlap differently in each round. */
static void spin(unsigned int *seed)
{
	volatile int turns = rand_r(seed) % RACE_SPIN;

	while (turns)
		turns--;
}

static void *close_files(void *arg)
{
	struct closer *c = arg;
	unsigned int seed = 1;
	int fd;

	for (;;) {
		fd = __atomic_exchange_n(&c->fd, NO_FILE, __ATOMIC_ACQ_REL);
		if (fd == NO_MORE)
			return NULL;
		if (fd == NO_FILE) {
			sched_yield();
			continue;
		}
		spin(&seed);
		close(fd);
		__atomic_add_fetch(&c->closed, 1, __ATOMIC_RELEASE);
	}
}

/* Begins a save and reads one byte of a chunk of pages, so that the file has the others. */
static void begin_chunk(struct __test_metadata *_metadata, struct v2 *v2)
{
	unsigned char header[GUEST_PAGE];

	ASSERT_RET(0, v2_set_state(v2, V2_STOP_COPY));
	ASSERT_LT(0, v2_read(v2, header, sizeof(header)));
	ASSERT_RET(1, v2_read(v2, header, 1));
}

static void race(struct __test_metadata *_metadata, struct v2 *v2, struct closer *c,
		 unsigned int *seed)
{
	unsigned int before = c->closed;
	int fd;

	begin_chunk(_metadata, v2);
	fd = v2->data;
	v2->data = -1;
	__atomic_store_n(&c->fd, fd, __ATOMIC_RELEASE);
	spin(seed);
	ASSERT_RET(0, v2_set_state(v2, V2_RUNNING));
	while (__atomic_load_n(&c->closed, __ATOMIC_ACQUIRE) == before)
		sched_yield();
}

static unsigned char race_fill(unsigned int page)
{
	return 1 + page % 251;
}

/* Writes the pages of the disk, or compares them. */
static void race_disk(struct __test_metadata *_metadata, struct nvme *nvme,
		      unsigned char *buf, __u8 opcode)
{
	__u32 blocks = BUF_BYTES / nvme->lba_size;
	unsigned int page, i;
	size_t at;

	for (page = 0; page < RACE_PAGES; page += BUF_BYTES / GUEST_PAGE) {
		for (i = 0; opcode == NVME_OP_WRITE && i < BUF_BYTES / GUEST_PAGE; i++)
			memset(buf + i * GUEST_PAGE, race_fill(page + i), GUEST_PAGE);
		ASSERT_EQ(0, nvme_io(nvme, opcode, page * (GUEST_PAGE / nvme->lba_size),
				     blocks, buf));
		for (at = 0; at < BUF_BYTES; at++)
			ASSERT_EQ(race_fill(page + at / GUEST_PAGE), buf[at])
				TH_LOG("page %zu at %zu", page + at / GUEST_PAGE,
				       at % GUEST_PAGE);
	}
}

/* This process gets pages that are free by mistake, and stores to them. */
static void use_free_memory(struct __test_metadata *_metadata)
{
	size_t len = 4 * RACE_PAGES * GUEST_PAGE;
	void *mem;

	mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	memset(mem, 0xee, len);
	munmap(mem, len);
}

TEST_F_TIMEOUT(leak, a_file_closed_while_its_session_ends, 120)
{
	struct closer closer = { .fd = NO_FILE };
	struct nvme *nvme = &self->f.nvme;
	unsigned int seed = 2, i;
	double end;

	if (!self->has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	ASSERT_EQ(0, nvme_deallocate(nvme, 0, nvme->nr_lbas, self->buf));
	race_disk(_metadata, nvme, self->buf, NVME_OP_WRITE);
	ASSERT_EQ(0, pthread_create(&closer.thread, NULL, close_files, &closer));
	end = clock_now() + RACE_SECONDS;
	do {
		for (i = 0; i < RACE_BATCH; i++)
			race(_metadata, &self->v2, &closer, &seed);
		use_free_memory(_metadata);
		race_disk(_metadata, nvme, self->buf, NVME_OP_READ);
	} while (clock_now() < end);
	__atomic_store_n(&closer.fd, NO_MORE, __ATOMIC_RELEASE);
	pthread_join(closer.thread, NULL);
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
	suite_need_stream();
	if (system("modprobe -q mscratch") || mdev_create(&scratch, "mscratch", "64M"))
		ksft_print_msg("there is no mscratch\n");
}

SUITE_MAIN(need_all())
