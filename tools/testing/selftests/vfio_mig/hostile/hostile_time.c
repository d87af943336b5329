// SPDX-License-Identifier: GPL-2.0-only
/*
 * A user makes calls that take long, and is killed in them. Other tasks on the same processor
 * must get CPU time, the call must end soon, and other users of the session must not lose
 * state.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/clock.h"
#include "lib/endpoint.h"
#include "lib/fixture.h"
#include "lib/mdev.h"
#include "lib/nvme_fixture.h"
#include "lib/slow.h"
#include "lib/stream.h"
#include "lib/waiter.h"

#define MIB		(1UL << 20)
#define WINDOW		(64 * MIB)
#define SAVE		0x5a5eULL
#define GAP		1.0	/* seconds that another task may wait for its turn */
#define TIMES		5	/* it may also wait this many times its usual wait */
#define GONE		10.0	/* seconds until a killed process is gone */
#define TURNS		5.0	/* seconds for which the other task runs */
#define BEGUN		100000	/* microseconds until a new process is in its call */

FIXTURE(time) {
	struct mdev mdev;
	struct endpoint end;
	struct buffer model;
	struct buffer stream;
};

FIXTURE_VARIANT(time) {
	int v2;
};

FIXTURE_VARIANT_ADD(time, v1) { .v2 = 0 };
FIXTURE_VARIANT_ADD(time, v2) { .v2 = 1 };

FIXTURE_SETUP(time)
{
	struct endpoint *e = &self->end;
	long window;

	memset(self, 0, sizeof(*self));
	window = mdev_window_kib(WINDOW / 1024);
	ASSERT_RET(0, mdev_create(&self->mdev, "mnvme", "64M"));
	mdev_window_kib(window);
	ASSERT_RET(0, endpoint_open(e, self->mdev.path));
	ASSERT_RET(0, v1_save(&e->v1, &self->model));
	ASSERT_RET(0, v1_set_state(&e->v1, V1_RUNNING));
	e->by_v2 = variant->v2;
}

FIXTURE_TEARDOWN(time)
{
	endpoint_close(&self->end);
	mdev_remove(&self->mdev);
	buffer_free(&self->model);
	buffer_free(&self->stream);
}

/* Appends a state and ENDs up to the size of a window. */
static void put_ends(struct buffer *s, const struct buffer *model)
{
	struct chunk c;
	__u32 seq = 0;
	int i;

	if (!stream_find(model, CHUNK_HEADER, 0, &c))
		stream_put_chunk(s, SAVE, seq++, &c);
	for (i = 0; !stream_find(model, CHUNK_CONTROL, i, &c); i++)
		stream_put_chunk(s, SAVE, seq++, &c);
	while (s->len + 64 < WINDOW)
		stream_put_end(s, SAVE, seq++, 0);
}

/* Binds the process to its present processor, because it may not be allowed on processor 0. */
static int stay_on_one_cpu(void)
{
	int cpu = sched_getcpu();
	cpu_set_t set;

	if (cpu < 0)
		return -errno;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

/* Starts the process that makes the call, on the parent's processor. */
static pid_t start_call(long (*call)(struct endpoint *e, void *arg), struct endpoint *e,
			void *arg)
{
	pid_t pid = child_start();

	if (pid)
		return pid;
	for (;;)
		if (call(e, arg) < 0)
			_exit(1);
}

/* Runs in turns with the call. Returns the longest wait for the processor. */
static double longest_gap(double seconds)
{
	double now = clock_now(), until = now + seconds, longest = 0, then;

	while (now < until) {
		usleep(1000);
		then = now;
		now = clock_now();
		if (now - then > longest)
			longest = now - then;
	}
	return longest;
}

static void check_call(struct __test_metadata *_metadata, struct endpoint *e,
		       long (*call)(struct endpoint *e, void *arg), void *arg)
{
	double usual, gap, since;
	int status;
	pid_t pid;

	ASSERT_RET(0, stay_on_one_cpu());
	usual = longest_gap(1);
	pid = start_call(call, e, arg);
	ASSERT_LT(0, pid);
	gap = longest_gap(TURNS);
	EXPECT_GT(waiter_patience(GAP) + TIMES * usual, gap)
		TH_LOG("another waits %.2f s for the processor, %.2f s before", gap,
		       usual);
	since = clock_now();
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status))
		TH_LOG("the call failed");
	EXPECT_GT(waiter_patience(GONE), clock_now() - since)
		TH_LOG("killed, it is gone after %.2f s", clock_now() - since);
}

/* The load begins anew each time, as it would with the header of another save. */
static long give_ends(struct endpoint *e, void *arg)
{
	struct buffer *s = arg;
	int ret = endpoint_resume(e);

	if (!ret)
		ret = endpoint_give(e, s);
	return ret ? ret : device_reset(&e->dev);
}

TEST_F_TIMEOUT(time, ends_in_a_row, 120)
{
	if (variant->v2 && !self->end.has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	put_ends(&self->stream, &self->model);
	check_call(_metadata, &self->end, give_ends, &self->stream);
	ASSERT_RET(0, device_reset(&self->end.dev));
}

/* One commit has all ENDs, and holds the session mutex. */
TEST_F_TIMEOUT(time, a_reset_does_not_wait_for_a_commit, 120)
{
	struct v1 *v1 = &self->end.v1;
	double since;
	pid_t pid;

	if (variant->v2)
		SKIP(return, "a write of v2 releases the session mutex between its parts");
	put_ends(&self->stream, &self->model);
	ASSERT_RET(0, v1_set_state(v1, V1_RESUMING));
	ASSERT_RET(0, v1_write_data(v1, 0, self->stream.data, self->stream.len));
	pid = child_start();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(v1_write_data_size(v1, self->stream.len) ? 1 : 0);
	usleep(BEGUN);
	since = clock_now();
	ASSERT_RET(0, device_reset(&self->end.dev));
	EXPECT_GT(waiter_patience(GAP), clock_now() - since)
		TH_LOG("the reset takes %.2f s", clock_now() - since);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_STATE(V1_RUNNING, v1);
}

static long save_zeros(struct endpoint *e, void *arg)
{
	struct buffer s = { 0 };
	int ret;

	(void)arg;
	ret = endpoint_stop(e);
	if (!ret)
		ret = endpoint_drain(e, &s);
	if (!ret)
		ret = endpoint_cancel(e);
	buffer_free(&s);
	return ret;
}

/* Pages with memory that contains only zeros. One chunk has to check all of them. */
TEST_F_TIMEOUT(time, zeros_in_a_row, 120)
{
	struct endpoint *e = &self->end;
	struct guest guest;
	struct nvme nvme;
	__u32 blocks;
	__u64 lba;
	void *buf;

	if (variant->v2 && !e->has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	ASSERT_RET(0, guest_create(&guest, 4 * MIB));
	ASSERT_RET(0, guest_attach(&guest, &e->dev));
	ASSERT_EQ(0, nvme_start(&nvme, &e->dev, &guest, 1, 16));
	blocks = nvme.transfer_max / nvme.lba_size;
	if (!blocks || blocks > MIB / nvme.lba_size)
		blocks = MIB / nvme.lba_size;
	buf = guest_alloc(&guest, blocks * nvme.lba_size);
	for (lba = 0; lba + blocks <= nvme.nr_lbas; lba += blocks)
		ASSERT_EQ(0, nvme_io(&nvme, NVME_OP_WRITE, lba, blocks, buf));
	nvme_close(&nvme);
	check_call(_metadata, e, save_zeros, NULL);
	ASSERT_RET(0, device_reset(&e->dev));
	guest_destroy(&guest);
}

/* A reader is killed while it gets the next data, and another reader continues. */

#define PAGES		8
#define AT_ONCE		5	/* the page that is being written */

FIXTURE(reader) {
	struct endpoint from;
	struct endpoint to;
	struct guest guest;
	struct nvme nvme;
	struct slow slow;
	struct buffer stream;
	unsigned char *buf;
	__u32 blocks;
};

FIXTURE_SETUP(reader)
{
	struct nvme *nvme = &self->nvme;

	memset(self, 0, sizeof(*self));
	ASSERT_RET(0, endpoint_open(&self->from, suite_device()));
	ASSERT_RET(0, endpoint_open(&self->to, suite_device_b()));
	ASSERT_RET(0, guest_create(&self->guest, 1 << 20));
	ASSERT_RET(0, guest_attach(&self->guest, &self->from.dev));
	ASSERT_RET(0, guest_attach(&self->guest, &self->to.dev));
	ASSERT_EQ(0, nvme_start(nvme, &self->from.dev, &self->guest, 1, 16));
	self->blocks = GUEST_PAGE / nvme->lba_size;
	self->buf = guest_alloc(&self->guest, 2 * PAGES * GUEST_PAGE);
}

FIXTURE_TEARDOWN(reader)
{
	nvme_close(&self->nvme);
	endpoint_close(&self->from);
	endpoint_close(&self->to);
	guest_destroy(&self->guest);
	buffer_free(&self->stream);
}

/* Data from a reader, in memory that it shares with its parent */
struct reader {
	volatile int begun;
	volatile int done;
};

static struct reader *new_reader(void)
{
	void *mem = mmap(NULL, sizeof(struct reader), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static pid_t start_reader(struct v1 *v1, struct reader *reader)
{
	pid_t pid;

	reader->begun = 0;
	reader->done = 0;
	pid = child_start();
	if (pid)
		return pid;
	reader->begun = 1;
	v1_open_iteration(v1);
	reader->done = 1;
	for (;;)
		pause();
}

/*
 * Starts a write whose data is in memory that does not answer. If the doorbell waits as
 * well, another process writes it.
 */
static pid_t begin_write(struct __test_metadata *_metadata, struct nvme *nvme,
			 struct slow *slow, __u32 blocks)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_OP_WRITE,
		.nsid = 1,
		.prp1 = 1ULL << 33,
		.cdw10 = AT_ONCE * blocks,
		.cdw12 = blocks - 1,
	};
	pid_t pid;

	ASSERT_RET(0, slow_create(slow, SLOW_UFFD, GUEST_PAGE));
	ASSERT_RET(0, slow_map(slow, 0, NULL, 0));
	ASSERT_RET(0, device_map(nvme->dev, slow->mem, cmd.prp1, GUEST_PAGE));
	ASSERT_LE(0, nvme_submit(nvme, &nvme->io[0], &cmd));
	pid = child_start();
	ASSERT_LE(0, pid);
	if (!pid) {
		nvme_ring(nvme, &nvme->io[0]);
		for (;;)
			pause();
	}
	ASSERT_EQ(1, slow_waiting(slow, waiter_patience(5)));
	return pid;
}

TEST_F_TIMEOUT(reader, that_is_killed_loses_no_page, 60)
{
	struct v1 *from = &self->from.v1, *to = &self->to.v1;
	struct nvme *nvme = &self->nvme;
	__u32 blocks = self->blocks;
	unsigned char *there = self->buf + PAGES * GUEST_PAGE;
	struct reader *reader = new_reader();
	struct nvme_cqe cqe;
	pid_t ringer, pid;

	if (slow_missing(SLOW_UFFD))
		SKIP(return, "%s", slow_missing(SLOW_UFFD));
	ASSERT_NE(NULL, reader);
	memset(self->buf, 0x11, PAGES * GUEST_PAGE);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 0, PAGES * blocks, self->buf));
	ASSERT_RET(0, v1_set_state(from, V1_PRE_COPY));
	ASSERT_LT(0, v1_drain(from, &self->stream));

	/* A hole, zeros and data, and a page in the middle of a write */
	ASSERT_EQ(0, nvme_deallocate(nvme, 0, 2 * blocks, self->buf));
	memset(self->buf, 0, GUEST_PAGE);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 3 * blocks, blocks, self->buf));
	memset(self->buf, 0x22, GUEST_PAGE);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 4 * blocks, blocks, self->buf));
	ringer = begin_write(_metadata, nvme, &self->slow, blocks);
	pid = start_reader(from, reader);
	ASSERT_LT(0, pid);
	usleep(waiter_patience(300000));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	ASSERT_RET(0, slow_answer(&self->slow));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->io[0], &cqe));
	EXPECT_EQ(0, cqe.status >> 1);
	kill(ringer, SIGKILL);
	ASSERT_EQ(ringer, waitpid(ringer, NULL, 0));

	/* The data of the killed reader is still available. */
	ASSERT_LE(0, v1_iteration(from, &self->stream));
	ASSERT_LE(0, v1_drain(from, &self->stream));
	ASSERT_RET(0, v1_save(from, &self->stream));
	ASSERT_EQ(0, v1_set_state(from, V1_RUNNING));
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, 0, PAGES * blocks, self->buf));
	ASSERT_RET(0, v1_load(to, &self->stream, 0));
	ASSERT_RET(0, v1_set_state(to, V1_RUNNING));
	ASSERT_RET(0, nvme_adopt(nvme, &self->to.dev));
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, 0, PAGES * blocks, there));
	EXPECT_EQ(0, memcmp(self->buf, there, PAGES * GUEST_PAGE))
		TH_LOG("the target has old data");
	slow_destroy(&self->slow);
}

#define ROUNDS		32
#define MANY_BYTES	(4 * MIB)

/* Writes most of the disk again, and deallocates a part: pages, zeros and holes. */
static void change_disk(struct __test_metadata *_metadata, struct nvme *nvme,
			unsigned char *buf, int round)
{
	__u32 blocks = (64 << 10) / nvme->lba_size;
	__u64 lba, end = MANY_BYTES / nvme->lba_size;

	for (lba = 0; lba < end; lba += blocks) {
		pattern_fill(nvme, buf, lba, blocks, round);
		if (lba / blocks % 3 == 1)
			memset(buf, 0, 64 << 10);
		ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, lba, blocks, buf));
	}
	ASSERT_EQ(0, nvme_deallocate(nvme, round * blocks, blocks, buf));
}

/* Compares both disks. */
static void compare(struct __test_metadata *_metadata, struct nvme *nvme,
		    struct endpoint *to, unsigned char *buf)
{
	__u32 blocks = (64 << 10) / nvme->lba_size;
	__u64 lba, end = MANY_BYTES / nvme->lba_size;
	unsigned char *here = malloc(MANY_BYTES);

	ASSERT_NE(NULL, here);
	for (lba = 0; lba < end; lba += blocks) {
		ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, lba, blocks, buf));
		memcpy(here + lba * nvme->lba_size, buf, 64 << 10);
	}
	ASSERT_RET(0, nvme_adopt(nvme, &to->dev));
	for (lba = 0; lba < end; lba += blocks) {
		ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, lba, blocks, buf));
		EXPECT_EQ(0, memcmp(here + lba * nvme->lba_size, buf, 64 << 10))
			TH_LOG("the target has old data at block %llu", lba);
	}
	free(here);
}

/*
 * Kills a reader after @part thousandths of the time that a reader needs. Returns the time
 * in microseconds that this reader needed, or 0 if it was killed before its end.
 */
static double kill_reader(struct __test_metadata *_metadata, struct v1 *from,
			  struct reader *reader, double us, unsigned int part)
{
	double begun;
	pid_t pid;

	pid = start_reader(from, reader);
	ASSERT_LT(0, pid);
	while (!reader->begun)
		sched_yield();
	begun = clock_now();
	while (!reader->done && clock_now() - begun < us * part / 1e9)
		sched_yield();
	us = reader->done ? (clock_now() - begun) * 1e6 : 0;
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	return us;
}

TEST_F_TIMEOUT(reader, killed_at_any_moment_loses_no_page, 60)
{
	struct v1 *from = &self->from.v1, *to = &self->to.v1;
	struct reader *reader = new_reader();
	struct nvme *nvme = &self->nvme;
	double us = 0, took;
	__u64 pending;
	int round;

	ASSERT_NE(NULL, reader);
	ASSERT_RET(0, v1_set_state(from, V1_PRE_COPY));
	for (round = 0; round < ROUNDS; round++) {
		change_disk(_metadata, nvme, self->buf, round);
		/* The first reader may run for a second. */
		took = kill_reader(_metadata, from, reader, us ?: 1e6,
				   us ? 1000 * round / ROUNDS : 1000);
		us = us ?: took;
		/* Takes the iteration that the killed reader opened, if it did. */
		ASSERT_LE(0, v1_iteration(from, &self->stream));
		ASSERT_RET(0, v1_pending(from, &pending));
	}
	ASSERT_RET(0, v1_save(from, &self->stream));
	ASSERT_RET(0, v1_load(to, &self->stream, 0));
	ASSERT_RET(0, v1_set_state(to, V1_RUNNING));
	ASSERT_RET(0, v1_set_state(from, V1_RUNNING));
	compare(_metadata, nvme, &self->to, self->buf);
}

/*
 * A reader whose address space is held: another thread of its process reads its memory
 * through /proc, from a file whose server does not answer. The save removes pages from
 * mappings with that lock held, so each block of pages waits for a while.
 */

#define BAR_BYTES	(64 * MIB)
#define BLOCK_BYTES	(256UL << 10)	/* pages that are removed together */
#define CALL		5.0		/* seconds for a call meanwhile */

struct held {
	struct slow slow;
	volatile int *go;	/* shared: 1 to read, 2 when it has begun */
	struct v1 v1;
};

static void *hold_mmap_lock(void *arg)
{
	struct held *h = arg;
	int fd = open("/proc/self/mem", O_RDONLY);
	char byte;

	(void)!pread(fd, &byte, 1, (unsigned long)h->slow.mem);
	return NULL;
}

static void read_while_held(struct held *h)
{
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (slow_map(&h->slow, 0, NULL, 0) ||
	    pthread_create(&thread, NULL, hold_mmap_lock, h))
		_exit(1);
	while (!*h->go)
		usleep(1000);
	*h->go = 2;
	v1_open_iteration(&h->v1);
	for (;;)
		pause();
}

FIXTURE(mapped) {
	struct mdev mdev;
	struct device dev;
};

FIXTURE_SETUP(mapped)
{
	memset(self, 0, sizeof(*self));
	if (system("modprobe -q mscratch"))
		SKIP(return, "there is no mscratch");
	ASSERT_RET(0, mdev_create(&self->mdev, "mscratch", "64M"));
	ASSERT_RET(0, device_open(&self->dev, self->mdev.path));
}

FIXTURE_TEARDOWN(mapped)
{
	device_close(&self->dev);
	mdev_remove(&self->mdev);
}

/* Another process calls while the reader has the session mutex. */
static void call_while_held(struct __test_metadata *_metadata, struct device *dev,
			    int (*call)(struct v1 *v1), const char *what)
{
	struct held h = { 0 };
	unsigned char *map;
	struct region bar;
	double start;
	size_t at;
	pid_t pid;

	ASSERT_RET(0, slow_create(&h.slow, SLOW_FUSE, GUEST_PAGE));
	ASSERT_RET(0, v1_open(&h.v1, dev));
	ASSERT_RET(0, region_open(&bar, dev, VFIO_PCI_BAR2_REGION_INDEX));
	ASSERT_RET(0, region_mmap(&bar, 0, BAR_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
				  (void **)&map));
	for (at = 0; at < BAR_BYTES; at += BLOCK_BYTES)
		map[at] = 1;
	ASSERT_RET(0, v1_set_state(&h.v1, V1_PRE_COPY));
	h.go = mmap(NULL, sizeof(*h.go), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		    -1, 0);
	ASSERT_NE(MAP_FAILED, h.go);
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		read_while_held(&h);
	EXPECT_EQ(1, slow_waiting(&h.slow, waiter_patience(5)));
	*h.go = 1;
	while (*h.go != 2)
		usleep(1000);
	usleep(500000);
	start = clock_now();
	EXPECT_RET_FOR(0, call(&h.v1), "%s", what);
	EXPECT_GT(waiter_patience(CALL), clock_now() - start)
		TH_LOG("%s takes %.1f s", what, clock_now() - start);
	/* Its thread cannot be killed before the server answers or ends. */
	kill(pid, SIGKILL);
	slow_destroy(&h.slow);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	munmap(map, BAR_BYTES);
	v1_close(&h.v1);
}

static int reset_call(struct v1 *v1)
{
	return device_reset(v1->region.dev);
}

static int query_call(struct v1 *v1)
{
	long state = v1_get_state(v1);

	return state < 0 ? state : state == V1_PRE_COPY ? 0 : -EPROTO;
}

static int cancel_call(struct v1 *v1)
{
	return v1_set_state(v1, V1_RUNNING);
}

TEST_F_TIMEOUT(mapped, a_reset_does_not_wait_for_the_mmap_lock, 60)
{
	if (slow_missing(SLOW_FUSE))
		SKIP(return, "%s", slow_missing(SLOW_FUSE));
	call_while_held(_metadata, &self->dev, reset_call, "the reset");
}

TEST_F_TIMEOUT(mapped, a_query_does_not_wait_for_the_mmap_lock, 60)
{
	if (slow_missing(SLOW_FUSE))
		SKIP(return, "%s", slow_missing(SLOW_FUSE));
	call_while_held(_metadata, &self->dev, query_call, "the query of the state");
}

TEST_F_TIMEOUT(mapped, a_cancel_does_not_wait_for_the_mmap_lock, 60)
{
	if (slow_missing(SLOW_FUSE))
		SKIP(return, "%s", slow_missing(SLOW_FUSE));
	call_while_held(_metadata, &self->dev, cancel_call, "the end of the save");
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
	suite_need_b();
	suite_need_stream();
}

SUITE_MAIN(need_all())
