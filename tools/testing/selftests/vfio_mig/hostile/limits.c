// SPDX-License-Identifier: GPL-2.0-only
/*
 * The user of a device runs out of something: memory of the control group, descriptors or
 * address space. Or something disappears, such as the memory for DMA. The user must get an
 * errno or an NVMe status, no other user may notice, and everything must work when there is
 * enough again.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/endpoint.h"
#include "lib/fixture.h"
#include "lib/mdev.h"
#include "lib/memcg.h"
#include "lib/nvme_errors.h"
#include "lib/nvme_fixture.h"
#include "lib/poke.h"

#define MIB		(1LL << 20)
#define LIMIT		(8 * MIB)
#define PORTION		(64U << 10)

static long long memory_used(void)
{
	return mdev_parent_number("mnvme", "memory_used");
}

/* A memory control group at its limit */

struct charged {
	struct mdev mdev[2];
	struct endpoint end[2];		/* the group pays for the first one */
	struct guest guest;
	struct nvme nvme;
	unsigned char *buf;
	struct memcg group;
	pid_t bystander;		/* the only process in the group */
	long long used;			/* the module's figure before the test */
};

static pid_t start_bystander(struct memcg *group)
{
	pid_t pid = child_start();

	if (pid)
		return pid;
	if (memcg_enter(group))
		_exit(1);
	for (;;)
		pause();
}

/* The process is in the group when it opens the device, so the group pays for it. */
static int open_charged(struct memcg *group, struct endpoint *e, const char *path)
{
	int ret = memcg_enter(group), left;

	if (ret)
		return ret;
	ret = endpoint_open(e, path);
	left = memcg_leave(group);
	return ret ? ret : left;
}

static void charged_open(struct __test_metadata *_metadata, struct charged *c)
{
	long window;
	int i;

	memset(c, 0, sizeof(*c));
	c->used = memory_used();
	window = mdev_window_kib(SUITE_WINDOW_KIB);
	for (i = 0; i < 2; i++)
		ASSERT_RET(0, mdev_create(&c->mdev[i], "mnvme", "64M"));
	mdev_window_kib(window);
	ASSERT_RET(0, memcg_create(&c->group, LIMIT));
	c->bystander = start_bystander(&c->group);
	ASSERT_LT(0, c->bystander);
	ASSERT_RET(0, guest_create(&c->guest, 4 << 20));
	ASSERT_RET(0, open_charged(&c->group, &c->end[0], c->mdev[0].path));
	ASSERT_RET(0, endpoint_open(&c->end[1], c->mdev[1].path));
	for (i = 0; i < 2; i++)
		ASSERT_RET(0, guest_attach(&c->guest, &c->end[i].dev));
	c->buf = guest_alloc(&c->guest, PORTION);
}

static void charged_close(struct __test_metadata *_metadata, struct charged *c)
{
	int i;

	nvme_close(&c->nvme);
	for (i = 0; i < 2; i++) {
		endpoint_close(&c->end[i]);
		mdev_remove(&c->mdev[i]);
	}
	guest_destroy(&c->guest);
	kill(c->bystander, SIGKILL);
	waitpid(c->bystander, NULL, 0);
	EXPECT_EQ(c->used, memory_used());
	EXPECT_RET(0, memcg_destroy(&c->group));
}

/* The group is at its limit, and the kernel has killed nobody in it. */
static void check_limit(struct __test_metadata *_metadata, struct charged *c)
{
	EXPECT_LT(0, memcg_event(&c->group, "max"));
	EXPECT_EQ(0, memcg_event(&c->group, "oom_kill"));
	EXPECT_EQ(0, waitpid(c->bystander, NULL, WNOHANG))
		TH_LOG("somebody in the group was killed");
}

/* Writes until a write fails. Returns the place, and the status of the failure. */
static __u64 write_until(struct nvme *nvme, void *buf, __u64 end, int *status)
{
	__u32 blocks = PORTION / nvme->lba_size;
	__u64 lba;

	*status = 0;
	for (lba = 0; lba < end && !*status; lba += blocks) {
		pattern_fill(nvme, buf, lba, blocks, 1);
		*status = nvme_io(nvme, NVME_OP_WRITE, lba, blocks, buf);
	}
	return *status ? lba - blocks : lba;
}

/* Returns the first block in error, from the last entry of the error log. */
static __u64 error_lba(struct nvme *nvme, unsigned char *buf)
{
	struct nvme_cmd cmd = {
		.opcode = ADMIN_GET_LOG, .cdw10 = 15 << 16 | 1,
		.prp1 = guest_iova(nvme->guest, buf),
	};
	__u64 lba;

	if (nvme_do(nvme, &nvme->admin, &cmd, NULL))
		return ~0ULL;
	memcpy(&lba, buf + 16, sizeof(lba));
	return le64toh(lba);
}

static void check_blocks(struct __test_metadata *_metadata, struct nvme *nvme,
			 void *buf, __u64 end)
{
	__u32 blocks = PORTION / nvme->lba_size;
	__u64 lba;

	for (lba = 0; lba < end; lba += blocks) {
		ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, lba, blocks, buf));
		ASSERT_EQ(-1, pattern_check(nvme, buf, lba, blocks, 1));
	}
}

FIXTURE(memcg) {
	struct charged c;
};

FIXTURE_SETUP(memcg)
{
	if (!memcg_missing())
		charged_open(_metadata, &self->c);
}

FIXTURE_TEARDOWN(memcg)
{
	if (!memcg_missing())
		charged_close(_metadata, &self->c);
}

TEST_F_TIMEOUT(memcg, a_write_fails_and_nobody_is_killed, 120)
{
	struct charged *c = &self->c;
	struct nvme *nvme = &c->nvme;
	__u64 end, lba;
	int status;

	if (memcg_missing())
		SKIP(return, "%s", memcg_missing());
	ASSERT_EQ(0, nvme_start(nvme, &c->end[0].dev, &c->guest, 1, 16));
	end = write_until(nvme, c->buf, nvme->nr_lbas, &status);
	/* The host may try again, so Do Not Retry is not set. */
	EXPECT_EQ(ST_INTERNAL, status & (ST_CODE | ST_DNR))
		TH_LOG("status %#x at block %llu", status, end);
	EXPECT_LT(LIMIT / 2, end * nvme->lba_size);
	EXPECT_GT(LIMIT, end * nvme->lba_size);
	check_limit(_metadata, c);
	/* There was no memory for a page of 4 KiB, and its first block is the first in error. */
	lba = error_lba(nvme, c->buf);
	EXPECT_LE(end, lba);
	EXPECT_GT(end + PORTION / nvme->lba_size, lba);
	EXPECT_EQ(0, lba * nvme->lba_size % GUEST_PAGE);

	/* Commands that need no memory work all the time. */
	check_blocks(_metadata, nvme, c->buf, end);
	EXPECT_EQ(0, nvme_flush(nvme));
	pattern_fill(nvme, c->buf, 0, 1, 1);
	EXPECT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 0, 1, c->buf));

	ASSERT_EQ(0, nvme_deallocate(nvme, 0, nvme->nr_lbas, c->buf));
	EXPECT_EQ(c->used, memory_used());
	EXPECT_GT(LIMIT / 2, memcg_used(&c->group));
	end = write_until(nvme, c->buf, LIMIT / 2 / nvme->lba_size, &status);
	EXPECT_EQ(0, status);
	check_blocks(_metadata, nvme, c->buf, end);
	EXPECT_EQ(0, memcg_event(&c->group, "oom_kill"));
}

/* Copies @blocks blocks from the disk's beginning. @buf is for the range. */
static int copy(struct nvme *nvme, unsigned char *buf, __u64 to, __u32 blocks)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_OP_COPY, .nsid = 1, .prp1 = guest_iova(nvme->guest, buf),
		.cdw10 = to, .cdw11 = to >> 32,
	};
	__u16 nlb = blocks - 1;

	memset(buf, 0, 32);
	memcpy(buf + 16, &nlb, sizeof(nlb));
	return nvme_do(nvme, &nvme->io[0], &cmd, NULL);
}

/* The device needs memory for the data, and for the blocks that it writes. */
TEST_F_TIMEOUT(memcg, a_copy_fails_and_nobody_is_killed, 120)
{
	struct charged *c = &self->c;
	struct nvme *nvme = &c->nvme;
	int status, i;

	if (memcg_missing())
		SKIP(return, "%s", memcg_missing());
	ASSERT_EQ(0, nvme_start(nvme, &c->end[0].dev, &c->guest, 1, 16));
	ASSERT_LT(MIB, write_until(nvme, c->buf, nvme->nr_lbas, &status) * nvme->lba_size);
	ASSERT_NE(0, status);
	for (i = 0; i < 8; i++) {
		status = copy(nvme, c->buf, nvme->nr_lbas / 2, MIB / nvme->lba_size);
		EXPECT_EQ(ST_INTERNAL, status & (ST_CODE | ST_DNR))
			TH_LOG("status %#x", status);
	}
	check_limit(_metadata, c);
}

/* Keeps work items of this CPU from running, or lets them run again. */
static int alone(int on)
{
	struct sched_param param = { .sched_priority = on };
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	if (on && sched_setaffinity(0, sizeof(cpus), &cpus))
		return -errno;
	return sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &param) ? -errno : 0;
}

/*
 * The user pays for the data section at the start of the session. When a session is
 * refused, the group has all of the section's memory again, and at once.
 */
TEST_F(memcg, a_session_that_is_too_large_is_refused)
{
	struct charged *c = &self->c;
	struct endpoint *e = &c->end[0];
	struct mdev large;
	long window;
	void *mine;
	int ret;

	if (memcg_missing())
		SKIP(return, "%s", memcg_missing());
	mine = mmap(NULL, LIMIT / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mine);
	window = mdev_window_kib(2 * LIMIT / 1024);
	ret = mdev_create(&large, "mnvme", "64M");
	mdev_window_kib(window);
	ASSERT_RET(0, ret);
	endpoint_close(e);
	ASSERT_RET(0, endpoint_open(e, large.path));
	ASSERT_RET(0, memcg_enter(&c->group));
	ASSERT_RET(0, alone(1));
	ret = v1_set_state(&e->v1, V1_PRE_COPY);
	memset(mine, 1, LIMIT / 2);
	ASSERT_RET(0, alone(0));
	munmap(mine, LIMIT / 2);
	ASSERT_RET(0, memcg_leave(&c->group));
	EXPECT_EQ(-ENOMEM, ret)
		TH_LOG("saw %s", errname(ret));
	check_limit(_metadata, c);
	EXPECT_STATE(V1_RUNNING, &e->v1);
	EXPECT_RET(0, v1_set_state(&e->v1, V1_PRE_COPY));
	endpoint_close(e);
	ASSERT_RET(0, mdev_remove(&large));
	ASSERT_RET(0, endpoint_open(e, c->mdev[0].path));
}

/* A store to mapped memory cannot return an error. */
TEST_F_TIMEOUT(memcg, a_store_is_SIGBUS_and_nobody_is_killed, 120)
{
	struct charged *c = &self->c;
	struct mdev scratch;
	struct device dev;
	struct region bar;
	size_t at;
	void *map;
	int ret;

	if (memcg_missing())
		SKIP(return, "%s", memcg_missing());
	ret = mdev_create(&scratch, "mscratch", "64M");
	if (ret == -ENOENT)
		SKIP(return, "there is no mscratch");
	ASSERT_RET(0, ret);
	ASSERT_RET(0, memcg_enter(&c->group));
	ret = device_open(&dev, scratch.path);
	ASSERT_RET(0, memcg_leave(&c->group));
	ASSERT_RET(0, ret);
	ASSERT_RET(0, region_open(&bar, &dev, VFIO_PCI_BAR2_REGION_INDEX));
	ASSERT_RET(0, region_mmap(&bar, 0, bar.size, PROT_READ | PROT_WRITE,
				  MAP_SHARED, &map));
	for (at = 0; at < bar.size && !poke_store(map + at, 1); at += GUEST_PAGE)
		;
	EXPECT_LT(LIMIT / 2, at);
	EXPECT_GT(LIMIT, at);
	check_limit(_metadata, c);
	ASSERT_RET(0, memcg_set_limit(&c->group, 2 * LIMIT));
	EXPECT_RET(0, poke_store(map + at, 1));
	munmap(map, bar.size);
	device_close(&dev);
	ASSERT_RET(0, mdev_remove(&scratch));
}

/* Gives portions until the device refuses one. Returns the error, and its place in @at. */
static int feed_until(struct endpoint *e, const struct buffer *s, size_t *at)
{
	ssize_t ret;
	size_t n;

	while (*at < s->len) {
		n = s->len - *at < PORTION ? s->len - *at : PORTION;
		if (e->by_v2) {
			ret = v2_write(&e->v2, s->data + *at, n);
			n = ret;
		} else {
			ret = v1_feed(&e->v1, s->data + *at, n, n);
		}
		if (ret < 0)
			return ret;
		*at += n;
	}
	return 0;
}

/* Saves more than the group's limit, from a device that is not charged to the group. */
static void save_twelve(struct __test_metadata *_metadata, struct charged *c,
			struct buffer *stream)
{
	struct v1 *from = &c->end[1].v1;
	struct nvme *nvme = &c->nvme;
	int status;

	ASSERT_EQ(0, nvme_start(nvme, from->dev, &c->guest, 1, 16));
	write_until(nvme, c->buf, 12 * MIB / nvme->lba_size, &status);
	ASSERT_EQ(0, status);
	ASSERT_RET(0, v1_save(from, stream));
	ASSERT_RET(0, v1_set_state(from, V1_STOPPED));
}

FIXTURE(memcg_load) {
	struct charged c;
};

FIXTURE_VARIANT(memcg_load) {
	int v2;
};

FIXTURE_VARIANT_ADD(memcg_load, v1) { .v2 = 0 };
FIXTURE_VARIANT_ADD(memcg_load, v2) { .v2 = 1 };

FIXTURE_SETUP(memcg_load)
{
	if (!memcg_missing())
		charged_open(_metadata, &self->c);
}

FIXTURE_TEARDOWN(memcg_load)
{
	if (!memcg_missing())
		charged_close(_metadata, &self->c);
}

TEST_F_TIMEOUT(memcg_load, a_load_fails_and_goes_on_when_there_is_memory, 180)
{
	struct charged *c = &self->c;
	struct endpoint *to = &c->end[0];
	struct nvme *nvme = &c->nvme;
	struct buffer stream = { 0 };
	size_t at = 0, before;
	long long used;

	if (memcg_missing())
		SKIP(return, "%s", memcg_missing());
	if (variant->v2 && !to->has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	to->by_v2 = variant->v2;
	save_twelve(_metadata, c, &stream);
	used = memory_used();

	/* The cancelled load frees all of its memory. */
	ASSERT_RET(0, endpoint_resume(to));
	EXPECT_RET(-ENOMEM, feed_until(to, &stream, &at));
	EXPECT_LT(LIMIT / 2, at);
	check_limit(_metadata, c);
	EXPECT_LT(used, memory_used());
	ASSERT_RET(0, device_reset(&to->dev));
	EXPECT_EQ(used, memory_used());
	EXPECT_GT(LIMIT / 2, memcg_used(&c->group));

	/* The session continues after the failure. */
	at = 0;
	ASSERT_RET(0, endpoint_resume(to));
	ASSERT_RET(-ENOMEM, feed_until(to, &stream, &at));
	/* The kernel uncharges some memory late, by RCU. This may be room for another portion. */
	do {
		before = at;
		EXPECT_RET(-ENOMEM, feed_until(to, &stream, &at));
	} while (before < at);
	ASSERT_RET(0, memcg_set_limit(&c->group, 8 * LIMIT));
	ASSERT_RET(0, feed_until(to, &stream, &at));
	ASSERT_RET(0, nvme_adopt(nvme, &to->dev));
	ASSERT_RET(0, endpoint_run(to));
	check_blocks(_metadata, nvme, c->buf, 12 * MIB / nvme->lba_size);
	EXPECT_EQ(0, memcg_event(&c->group, "oom_kill"));
	buffer_free(&stream);
}

/* Limits of a process */

FIXTURE(rlimit) {
	struct nvme_fixture f;
	struct v2 v2;
	int has_v2;
	struct rlimit old;
};

FIXTURE_SETUP(rlimit)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
	self->has_v2 = !v2_open(&self->v2, &self->f.dev);
}

FIXTURE_TEARDOWN(rlimit)
{
	v2_close(&self->v2);
	nvme_fixture_close(&self->f);
}

/* Permits the process to open @nr more files. */
static void allow_files(struct __test_metadata *_metadata, struct rlimit *old,
			rlim_t nr)
{
	struct rlimit limit = *old;
	int fd = dup(0);

	ASSERT_LE(0, fd);
	close(fd);
	limit.rlim_cur = fd + nr;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
}

TEST_F(rlimit, opening_without_descriptors_is_EMFILE)
{
	struct device dev;
	int ret, nr;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &self->old));
	for (nr = 0, ret = -EMFILE; nr < 8 && ret; nr++) {
		allow_files(_metadata, &self->old, nr);
		ret = device_open(&dev, suite_device_b());
		if (ret)
			EXPECT_EQ(-EMFILE, ret)
				TH_LOG("%d files: %s", nr, errname(ret));
		setrlimit(RLIMIT_NOFILE, &self->old);
	}
	EXPECT_RET(0, ret);
	/* Group, container and device; or device and iommufd. */
	EXPECT_LT(2, nr);
	device_close(&dev);
}

TEST_F(rlimit, v1_takes_no_descriptor)
{
	struct v1 *v1 = &self->f.v1;
	struct buffer s = { 0 };

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &self->old));
	allow_files(_metadata, &self->old, 0);
	EXPECT_RET(0, v1_map(v1));
	EXPECT_RET(0, v1_save(v1, &s));
	EXPECT_RET(0, v1_set_state(v1, V1_RUNNING));
	EXPECT_RET(0, v1_load(v1, &s, 0));
	EXPECT_RET(0, v1_set_state(v1, V1_RUNNING));
	setrlimit(RLIMIT_NOFILE, &self->old);
	buffer_free(&s);
}

/* VFIO creates the descriptor after the transition, so the new state stays. */
TEST_F(rlimit, v2_without_a_descriptor_can_be_left)
{
	static const __u32 states[] = { V2_STOP_COPY, V2_RESUMING, V2_PRE_COPY };
	struct buffer s = { 0 };
	unsigned int i;
	int ret;

	if (!self->has_v2)
		SKIP(return, "the device does not speak the v2 protocol");
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &self->old));
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		if (!v2_has(&self->v2, states[i]))
			continue;
		allow_files(_metadata, &self->old, 0);
		ret = v2_set_state(&self->v2, states[i]);
		setrlimit(RLIMIT_NOFILE, &self->old);
		EXPECT_EQ(-EMFILE, ret)
			TH_LOG("%s: %s", v2_state_name(states[i]), errname(ret));
		EXPECT_LT(-1, v2_get_state(&self->v2));
		ASSERT_RET(0, device_reset(&self->f.dev));
		EXPECT_EQ(V2_RUNNING, v2_get_state(&self->v2));
		ASSERT_RET(0, v2_save(&self->v2, &s, 0));
		ASSERT_RET(0, v2_set_state(&self->v2, V2_RUNNING));
	}
	buffer_free(&s);
}

static int drop_ipc_lock(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return -errno;
	data[0].effective &= ~(1U << CAP_IPC_LOCK);
	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

/* Reads a number of kB from /proc/self/status. */
static long status_kb(const char *name)
{
	char line[256];
	long kb = -1;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && kb < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			kb = atol(line + strlen(name) + 1);
	if (f)
		fclose(f);
	return kb;
}

/* The device copies for DMA, so it locks no page, not even a mapped one. */
TEST_F(rlimit, nothing_counts_as_locked_memory)
{
	struct nvme_fixture *f = &self->f;
	struct rlimit none = { 0, 0 };
	struct buffer s = { 0 };

	nvme_fixture_close(f);
	v2_close(&self->v2);
	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &none));
	ASSERT_RET(0, drop_ipc_lock());
	nvme_fixture_open(_metadata, f, 4 << 20);
	EXPECT_EQ(0, nvme_io(&f->nvme, NVME_OP_WRITE, 0, 64,
			     guest_alloc(&f->guest, 64 << 12)));
	EXPECT_RET(0, v1_map(&f->v1));
	EXPECT_RET(0, v1_save(&f->v1, &s));
	EXPECT_EQ(0, status_kb("VmLck:"));
	EXPECT_EQ(0, status_kb("VmPin:"));
	buffer_free(&s);
}

TEST_F(rlimit, without_address_space_data_is_read_instead)
{
	struct v1 *v1 = &self->f.v1;
	struct buffer s = { 0 };
	struct rlimit limit;
	int ret;

	ASSERT_EQ(0, getrlimit(RLIMIT_AS, &self->old));
	limit = self->old;
	limit.rlim_cur = GUEST_PAGE;
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	ret = v1_map(v1);
	setrlimit(RLIMIT_AS, &self->old);
	EXPECT_EQ(-ENOMEM, ret)
		TH_LOG("saw %s", errname(ret));
	EXPECT_RET(0, v1_save(v1, &s));
	EXPECT_LT(0, s.len);
	EXPECT_RET(0, v1_map(v1));
	buffer_free(&s);
}

/* The limit on the size of files does not apply to a device's files. */
TEST_F(rlimit, the_size_of_files_is_no_limit)
{
	struct rlimit none = { 0, 0 };
	struct v1 *v1 = &self->f.v1;
	struct buffer s = { 0 };

	ASSERT_RET(0, v1_save(v1, &s));
	ASSERT_RET(0, v1_set_state(v1, V1_RUNNING));
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &none));
	EXPECT_RET(0, v1_load(v1, &s, 0));
	EXPECT_RET(0, v1_set_state(v1, V1_RUNNING));
	if (self->has_v2) {
		EXPECT_RET(0, v2_load(&self->v2, &s, 0));
		EXPECT_RET(0, v2_set_state(&self->v2, V2_RUNNING));
	}
	buffer_free(&s);
}

/* Memory for DMA that disappears */

#define COMMANDS	48
#define PAGES		(PORTION / GUEST_PAGE)
#define ROUNDS		40

FIXTURE(dma) {
	struct nvme_fixture f;		/* queues and lists, in memory that stays */
	struct guest data;		/* data, in memory that disappears */
	__u64 *lists;			/* a page for each command */
};

FIXTURE_SETUP(dma)
{
	struct nvme_fixture *f = &self->f;

	fixture_open(_metadata, suite_device(), &f->dev, &f->v1);
	ASSERT_RET(0, guest_create(&f->guest, 4 << 20));
	ASSERT_RET(0, guest_attach(&f->guest, &f->dev));
	ASSERT_EQ(0, nvme_start(&f->nvme, &f->dev, &f->guest, 1, 64));
	ASSERT_RET(0, guest_create(&self->data, COMMANDS * PORTION));
	self->data.iova = 1ULL << 32;
	ASSERT_RET(0, guest_attach(&self->data, &f->dev));
	self->lists = guest_alloc(&f->guest, COMMANDS * GUEST_PAGE);
}

FIXTURE_TEARDOWN(dma)
{
	nvme_fixture_close(&self->f);
	guest_destroy(&self->data);
}

/* Submits a read or a write of PORTION bytes. @list is the address of the PRP list. */
static int submit(struct nvme *nvme, struct guest *data, int slot, __u64 *list,
		  __u64 list_iova)
{
	__u64 iova = data->iova + (__u64)slot * PORTION;
	__u32 blocks = PORTION / nvme->lba_size;
	struct nvme_cmd cmd = {
		.opcode = slot & 1 ? NVME_OP_READ : NVME_OP_WRITE,
		.nsid = 1,
		.prp1 = iova,
		.prp2 = list_iova,
		.cdw10 = slot * blocks,
		.cdw12 = blocks - 1,
	};
	unsigned int i;

	for (i = 1; list && i < PAGES; i++)
		list[i - 1] = iova + i * GUEST_PAGE;
	return nvme_submit(nvme, &nvme->io[0], &cmd);
}

static void submit_all(struct __test_metadata *_metadata, struct nvme *nvme,
		       struct guest *data, __u64 *lists)
{
	int i;

	for (i = 0; i < COMMANDS; i++) {
		__u64 *list = lists + i * (GUEST_PAGE / sizeof(*list));

		ASSERT_LE(0, submit(nvme, data, i, list,
				    guest_iova(nvme->guest, list)));
	}
	ASSERT_RET(0, nvme_ring(nvme, &nvme->io[0]));
}

/* Each command completes once. Returns how many failed. */
static int collect(struct __test_metadata *_metadata, struct nvme *nvme)
{
	int failed = 0, i, status;
	struct nvme_cqe cqe;

	for (i = 0; i < COMMANDS; i++) {
		ASSERT_RET(0, nvme_wait(nvme, &nvme->io[0], &cqe));
		status = cqe.status >> 1 & ST_CODE;
		if (status)
			EXPECT_EQ(ST_DATA_TRANSFER, status);
		failed += !!status;
	}
	EXPECT_RET(0, nvme_poll(nvme, &nvme->io[0], &cqe));
	return failed;
}

TEST_F_TIMEOUT(dma, is_unmapped_while_commands_are_in_flight, 120)
{
	struct nvme *nvme = &self->f.nvme;
	int round, failed, mixed = 0;

	for (round = 0; round < ROUNDS; round++) {
		submit_all(_metadata, nvme, &self->data, self->lists);
		usleep(round % 8 * 100);
		ASSERT_RET(0, guest_detach(&self->data, &self->f.dev));
		failed = collect(_metadata, nvme);
		mixed += failed && failed < COMMANDS;
		ASSERT_RET(0, guest_attach(&self->data, &self->f.dev));
		submit_all(_metadata, nvme, &self->data, self->lists);
		ASSERT_EQ(0, collect(_metadata, nvme));
	}
	/* Without a mix of results the test would show nothing. */
	EXPECT_LT(0, mixed)
		TH_LOG("in no round it was unmapped in the middle");
}

/* The VMM unmaps its memory, and the device's mapping stays. */
TEST_F_TIMEOUT(dma, goes_away_under_commands, 120)
{
	struct nvme *nvme = &self->f.nvme;
	int round, failed, mixed = 0;

	for (round = 0; round < ROUNDS; round++) {
		submit_all(_metadata, nvme, &self->data, self->lists);
		usleep(round % 8 * 100);
		munmap(self->data.mem, self->data.size);
		failed = collect(_metadata, nvme);
		mixed += failed && failed < COMMANDS;
		ASSERT_EQ(self->data.mem,
			  mmap(self->data.mem, self->data.size,
			       PROT_READ | PROT_WRITE, MAP_SHARED |
			       MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
		/* The device finds the present content. */
		submit_all(_metadata, nvme, &self->data, self->lists);
		ASSERT_EQ(0, collect(_metadata, nvme));
	}
	EXPECT_LT(0, mixed)
		TH_LOG("in no round it went away in the middle");
}

static int one(struct nvme *nvme, struct guest *data, __u64 list)
{
	struct nvme_cqe cqe;
	int ret = submit(nvme, data, 0, NULL, list);

	if (ret >= 0)
		ret = nvme_ring(nvme, &nvme->io[0]);
	if (!ret)
		ret = nvme_wait(nvme, &nvme->io[0], &cqe);
	return ret ? ret : cqe.status >> 1 & ST_CODE;
}

TEST_F(dma, lists_that_go_away_are_transfer_errors)
{
	struct nvme *nvme = &self->f.nvme;
	struct guest lists;
	struct buffer s = { 0 };

	ASSERT_RET(0, guest_create(&lists, GUEST_PAGE));
	lists.iova = 1ULL << 33;
	ASSERT_RET(0, guest_attach(&lists, &self->f.dev));
	memcpy(lists.mem, self->lists, GUEST_PAGE);
	submit_all(_metadata, nvme, &self->data, self->lists);
	ASSERT_EQ(0, collect(_metadata, nvme));
	memcpy(lists.mem, self->lists, GUEST_PAGE);
	EXPECT_EQ(0, one(nvme, &self->data, lists.iova));
	ASSERT_RET(0, guest_detach(&lists, &self->f.dev));
	guest_destroy(&lists);
	EXPECT_EQ(ST_DATA_TRANSFER, one(nvme, &self->data, 1ULL << 33));
	EXPECT_EQ(0, nvme_flush(nvme));
	EXPECT_RET(0, v1_save(&self->f.v1, &s));
	EXPECT_RET(0, v1_set_state(&self->f.v1, V1_RUNNING));
	buffer_free(&s);
}

static int wait_csts(struct nvme *nvme, __u32 want)
{
	__u32 csts = ~0U;
	int i;

	for (i = 0; i < NVME_TIMEOUT_MS; i++) {
		if (nvme_read32(nvme, REG_CSTS, &csts) ||
		    (csts & (CSTS_RDY | CSTS_CFS)) == want)
			return 0;
		usleep(1000);
	}
	return csts;
}

FIXTURE(queues) {
	struct nvme_fixture f;
};

FIXTURE_VARIANT(queues) {
	bool unmap;
	bool by_reset;	/* else by CC.EN */
};

FIXTURE_VARIANT_ADD(queues, unmapped) { .unmap = true };
FIXTURE_VARIANT_ADD(queues, gone) { .unmap = false };
FIXTURE_VARIANT_ADD(queues, unmapped_then_reset) { .unmap = true, .by_reset = true };
FIXTURE_VARIANT_ADD(queues, gone_then_reset) { .unmap = false, .by_reset = true };

FIXTURE_SETUP(queues)
{
	nvme_fixture_open(_metadata, &self->f, 4 << 20);
}

FIXTURE_TEARDOWN(queues)
{
	nvme_fixture_close(&self->f);
}

TEST_F(queues, in_memory_that_goes_are_fatal_until_a_reset)
{
	struct nvme_fixture *f = &self->f;
	struct nvme *nvme = &f->nvme;
	struct guest old = f->guest;

	ASSERT_EQ(0, nvme_flush(nvme));
	if (variant->unmap)
		ASSERT_RET(0, guest_detach(&old, &f->dev));
	munmap(old.mem, old.size);
	nvme->io[0].tail++;
	ASSERT_RET(0, nvme_ring(nvme, &nvme->io[0]));
	EXPECT_EQ(0, wait_csts(nvme, CSTS_RDY | CSTS_CFS));

	ASSERT_RET(0, guest_create(&f->guest, 4 << 20));
	if (!variant->unmap)
		ASSERT_RET(0, guest_detach(&old, &f->dev));
	ASSERT_RET(0, guest_attach(&f->guest, &f->dev));
	if (variant->by_reset)
		ASSERT_RET(0, device_reset(&f->dev));
	else
		ASSERT_RET(0, nvme_write32(nvme, REG_CC, 0));
	ASSERT_EQ(0, wait_csts(nvme, 0));
	nvme_close(nvme);
	ASSERT_EQ(0, nvme_start(nvme, &f->dev, &f->guest, 1, 16));
	EXPECT_EQ(0, nvme_flush(nvme));
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
	suite_need_b();
	if (system("modprobe -q mscratch"))
		ksft_print_msg("modprobe mscratch did not succeed\n");
}

SUITE_MAIN(need_all())
