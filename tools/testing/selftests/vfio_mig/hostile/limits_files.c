// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files of an open device. They are closed in every order. Processes share them, and some
 * of these processes are killed. Mappings outlive them.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/clock.h"
#include "lib/endpoint.h"
#include "lib/mdev.h"
#include "lib/nvme_fixture.h"
#include "lib/poke.h"

#define IN_FLIGHT	12

static long long memory_used(void)
{
	return mdev_parent_number("mnvme", "memory_used");
}

/* The device works as after an open: NVMe and a save. */
static void check_alive(struct __test_metadata *_metadata, struct endpoint *e,
			struct guest *guest, struct nvme *nvme)
{
	struct buffer s = { 0 };

	ASSERT_STATE(V1_RUNNING, &e->v1);
	guest->used = 0;
	ASSERT_EQ(0, nvme_start(nvme, &e->dev, guest, 1, 16));
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 0, 8,
			     guest_alloc(guest, GUEST_PAGE)));
	ASSERT_RET(0, v1_save(&e->v1, &s));
	ASSERT_RET(0, v1_set_state(&e->v1, V1_RUNNING));
	buffer_free(&s);
}

/* All files and mappings, closed in every order in the middle of a session */

#define HOLDERS_MAX	6

/**
 * struct holder - something that keeps a device in use
 * @fd: a file, or -1
 * @fd2: a file that is closed together with @fd, or -1
 * @map: a mapping, or NULL
 * @size: size of the mapping
 */
struct holder {
	int fd;
	int fd2;
	void *map;
	size_t size;
};

FIXTURE(order) {
	struct endpoint end;
	struct guest guest;
	struct nvme nvme;
	long long used;
};

FIXTURE_VARIANT(order) {
	int v2;
	__u32 state;
};

FIXTURE_VARIANT_ADD(order, v1_saving) { .v2 = 0, .state = V1_PRE_COPY };
FIXTURE_VARIANT_ADD(order, v1_resuming) { .v2 = 0, .state = V1_RESUMING };
FIXTURE_VARIANT_ADD(order, v2_saving) { .v2 = 1, .state = V2_STOP_COPY };
FIXTURE_VARIANT_ADD(order, v2_resuming) { .v2 = 1, .state = V2_RESUMING };

FIXTURE_SETUP(order)
{
	memset(self, 0, sizeof(*self));
	self->used = memory_used();
	ASSERT_RET(0, guest_create(&self->guest, 4 << 20));
}

FIXTURE_TEARDOWN(order)
{
	guest_destroy(&self->guest);
}

static void hold(struct holder *holders, int *nr, int fd, int fd2)
{
	if (fd >= 0)
		holders[(*nr)++] = (struct holder){ .fd = fd, .fd2 = fd2 };
}

static void let_go(struct holder *h)
{
	if (h->map)
		munmap(h->map, h->size);
	if (h->fd >= 0)
		close(h->fd);
	if (h->fd2 >= 0)
		close(h->fd2);
}

static void submit_some(struct __test_metadata *_metadata, struct nvme *nvme,
			void *buf)
{
	int i;

	for (i = 0; i < IN_FLIGHT; i++)
		ASSERT_LE(0, nvme_submit_io(nvme, &nvme->io[0], NVME_OP_WRITE,
					    8 * i, 8, buf));
	ASSERT_RET(0, nvme_ring(nvme, &nvme->io[0]));
}

/* Opens everything, and leaves the device in a session with commands in flight. */
static void begin(struct __test_metadata *_metadata, struct endpoint *e,
		  struct guest *guest, struct nvme *nvme, int v2, __u32 state)
{
	ASSERT_RET(0, endpoint_open(e, suite_device()));
	ASSERT_RET(0, guest_attach(guest, &e->dev));
	check_alive(_metadata, e, guest, nvme);
	ASSERT_RET(0, v1_map(&e->v1));
	if (v2)
		ASSERT_RET(0, v2_set_state(&e->v2, state));
	else
		ASSERT_RET(0, v1_set_state(&e->v1, state));
	submit_some(_metadata, nvme, guest_alloc(guest, GUEST_PAGE));
}

/*
 * Writes the permutation number @turn of @nr things to @order. Returns false if there are
 * fewer.
 */
static bool nth_order(int turn, int nr, int *order)
{
	int left[HOLDERS_MAX], i, at;

	for (i = 0; i < nr; i++)
		left[i] = i;
	for (i = nr; i; i--) {
		at = turn % i;
		turn /= i;
		order[nr - i] = left[at];
		memmove(left + at, left + at + 1, (i - at - 1) * sizeof(*left));
	}
	return !turn;
}

TEST_F_TIMEOUT(order, all_is_closed_in_every_order, 600)
{
	struct endpoint *e = &self->end;
	struct nvme *nvme = &self->nvme;
	int order[HOLDERS_MAX], nr = 1, turn, i;
	struct holder h[HOLDERS_MAX];

	for (turn = 0; nth_order(turn, nr, order); turn++) {
		begin(_metadata, e, &self->guest, nvme, variant->v2,
		      variant->state);
		nr = 0;
		hold(h, &nr, e->dev.fd, -1);
		hold(h, &nr, e->dev.container, -1);
		hold(h, &nr, e->dev.group, -1);
		hold(h, &nr, e->dev.iommufd, -1);
		hold(h, &nr, nvme->admin.eventfd, nvme->io[0].eventfd);
		hold(h, &nr, e->v2.data, -1);
		if (nr < HOLDERS_MAX)
			h[nr++] = (struct holder){ -1, -1, e->v1.map,
						   e->v1.window };
		else
			v1_unmap(&e->v1);
		nth_order(turn, nr, order);
		for (i = 0; i < nr; i++)
			let_go(&h[order[i]]);
	}
	ksft_print_msg("%d orders of %d things\n", turn, nr);
	EXPECT_LE(24, turn);
	ASSERT_RET(0, endpoint_open(e, suite_device()));
	ASSERT_RET(0, guest_attach(&self->guest, &e->dev));
	check_alive(_metadata, e, &self->guest, nvme);
	ASSERT_EQ(0, nvme_deallocate(nvme, 0, 1024, self->guest.mem +
				     self->guest.used));
	EXPECT_EQ(self->used, memory_used());
	nvme_close(nvme);
	endpoint_close(e);
}

/* Two processes with one open device */

#define KILLS	8

FIXTURE(shared) {
	struct endpoint end;
	struct guest guest;
	struct nvme nvme;
	int sock[2];
};

FIXTURE_VARIANT(shared) {
	bool sent;	/* else inherited */
};

FIXTURE_VARIANT_ADD(shared, by_fork) { .sent = false };
FIXTURE_VARIANT_ADD(shared, by_SCM_RIGHTS) { .sent = true };

static int send_fd(int sock, int fd)
{
	char room[CMSG_SPACE(sizeof(fd))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = room, .msg_controllen = sizeof(room),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -errno;
}

static int receive_fd(int sock)
{
	char room[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = room, .msg_controllen = sizeof(room),
	};
	struct cmsghdr *cmsg;
	int fd;

	if (recvmsg(sock, &msg, 0) != 1)
		return -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

FIXTURE_SETUP(shared)
{
	memset(self, 0, sizeof(*self));
	self->end.dev.fd = -1;
	ASSERT_RET(0, guest_create(&self->guest, 4 << 20));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, self->sock));
}

FIXTURE_TEARDOWN(shared)
{
	nvme_close(&self->nvme);
	if (self->end.dev.fd >= 0)
		endpoint_close(&self->end);
	guest_destroy(&self->guest);
}

/* Makes a struct endpoint of a file descriptor. */
static int adopt(struct endpoint *e, int fd)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	if (fd < 0)
		return fd;
	memset(e, 0, sizeof(*e));
	e->dev.fd = fd;
	e->dev.group = -1;
	e->dev.container = -1;
	e->dev.iommufd = -1;
	if (ioctl(fd, VFIO_DEVICE_GET_INFO, &info))
		return -errno;
	e->dev.info = info;
	e->has_v2 = !v2_open(&e->v2, &e->dev);
	return v1_open(&e->v1, &e->dev);
}

/* Each process acts without regard to the other: states, data, registers, doorbells. */
static void act(struct endpoint *e, unsigned int *seed)
{
	static const __u32 states[] = {
		V1_STOPPED, V1_RUNNING, V1_STOP_COPY, V1_PRE_COPY, V1_RESUMING,
		V1_RUNNING,
	};
	struct region bar;
	unsigned char byte;
	__u32 value = 0;

	v1_set_state(&e->v1, states[rand_r(seed) % ARRAY_SIZE(states)]);
	v1_open_iteration(&e->v1);
	if (!v1_map(&e->v1)) {
		poke_load(e->v1.map, &byte);
		poke_store(e->v1.map, 1);
		v1_unmap(&e->v1);
	}
	if (e->has_v2 && rand_r(seed) % 4 == 0) {
		v2_set_state(&e->v2, rand_r(seed) % V2_NR_STATES);
		v2_read(&e->v2, &byte, 1);
		v2_close(&e->v2);
	}
	if (rand_r(seed) % 16 == 0)
		device_reset(&e->dev);
	if (region_open(&bar, &e->dev, VFIO_PCI_BAR0_REGION_INDEX))
		return;
	region_read(&bar, rand_r(seed) % 0x40 & ~3, &value, 4);
	value = rand_r(seed) % 16;
	region_write(&bar, 0x1000 + rand_r(seed) % 4 * 4, &value, 4);
}

static void other(int sock, struct endpoint *e, bool sent, unsigned int seed)
{
	char byte = 0;

	if (sent && adopt(e, receive_fd(sock)))
		_exit(1);
	if (write(sock, &byte, 1) != 1)
		_exit(2);
	for (;;)
		act(e, &seed);
}

static pid_t start_other(int sock[2], struct endpoint *e, bool sent, int round)
{
	pid_t pid = child_start();

	if (!pid)
		other(sock[1], e, sent, 2 * round + 1);
	return pid;
}

static void open_all(struct __test_metadata *_metadata, struct endpoint *e,
		     struct guest *guest, struct nvme *nvme)
{
	ASSERT_RET(0, endpoint_open(e, suite_device()));
	ASSERT_RET(0, guest_attach(guest, &e->dev));
	check_alive(_metadata, e, guest, nvme);
}

TEST_F_TIMEOUT(shared, both_act_and_one_is_killed, 300)
{
	struct endpoint *e = &self->end;
	unsigned int seed = 1, rounds;
	int i, status;
	double until;
	pid_t pid = 0;
	char byte;

	for (i = 0; i < KILLS; i++) {
		/* A process that inherits the file exists before the file does. */
		if (variant->sent)
			pid = start_other(self->sock, e, true, i);
		open_all(_metadata, e, &self->guest, &self->nvme);
		if (!variant->sent)
			pid = start_other(self->sock, e, false, i);
		ASSERT_LT(0, pid);
		if (variant->sent)
			ASSERT_RET(0, send_fd(self->sock[0], e->dev.fd));
		ASSERT_EQ(1, read(self->sock[0], &byte, 1));
		until = clock_now() + 1;
		rounds = 0;
		do {
			act(e, &seed);
		} while (rounds++ < 20 || clock_now() < until);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status))
			TH_LOG("the other ended by itself: %#x", status);

		/* The remaining process still has the same open device. */
		ASSERT_RET(0, device_reset(&e->dev));
		nvme_close(&self->nvme);
		check_alive(_metadata, e, &self->guest, &self->nvme);
		nvme_close(&self->nvme);
		endpoint_close(e);
	}
}

FIXTURE(sent) {
	struct endpoint end;
	struct guest guest;
	struct nvme nvme;
	int sock[2];
};

FIXTURE_SETUP(sent)
{
	memset(self, 0, sizeof(*self));
	ASSERT_RET(0, guest_create(&self->guest, 4 << 20));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, self->sock));
}

FIXTURE_TEARDOWN(sent)
{
	guest_destroy(&self->guest);
}

/* The process owned the memory. The device that remains cannot do DMA. */
TEST_F_TIMEOUT(sent, by_one_that_is_killed, 120)
{
	struct endpoint *e = &self->end, left;
	struct nvme *nvme = &self->nvme;
	struct buffer s = { 0 };
	unsigned int seed = 1;
	int i, status;
	pid_t pid;

	for (i = 0; i < KILLS; i++) {
		pid = child_start();
		ASSERT_LE(0, pid);
		if (!pid) {
			open_all(_metadata, e, &self->guest, nvme);
			submit_some(_metadata, nvme, self->guest.mem);
			if (send_fd(self->sock[1], e->dev.fd))
				_exit(1);
			for (;;)
				pause();
		}
		ASSERT_RET(0, adopt(&left, receive_fd(self->sock[0])));
		if (i & 1)
			act(&left, &seed);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
		for (status = 0; status < 20; status++)
			act(&left, &seed);
		ASSERT_RET(0, device_reset(&left.dev));
		ASSERT_STATE(V1_RUNNING, &left.v1);
		s.len = 0;
		ASSERT_RET(0, v1_save(&left.v1, &s));
		device_close(&left.dev);

		open_all(_metadata, e, &self->guest, nvme);
		nvme_close(nvme);
		endpoint_close(e);
	}
	buffer_free(&s);
}

/* Mappings that exist when all other uses of the device have ended */

#define BAR_SIZE	(1UL << 20)

FIXTURE(outlive) {
	struct mdev mdev;
	struct endpoint end;
	void *bar;
	long long used;
	long refs;
};

FIXTURE_VARIANT(outlive) {
	const char *parent;
	bool bar;
};

FIXTURE_VARIANT_ADD(outlive, mnvme) { .parent = "mnvme" };
FIXTURE_VARIANT_ADD(outlive, mscratch) { .parent = "mscratch", .bar = true };

/* Returns the number of references to the library, by its drivers and by mappings. */
static long library_refs(void)
{
	FILE *f = fopen("/sys/module/vfio_mig_core/refcnt", "r");
	long refs = -1;

	if (f) {
		if (fscanf(f, "%ld", &refs) != 1)
			refs = -1;
		fclose(f);
	}
	return refs;
}

FIXTURE_SETUP(outlive)
{
	struct endpoint *e = &self->end;
	struct region bar;
	int ret;

	memset(self, 0, sizeof(*self));
	self->used = memory_used();
	ret = mdev_create(&self->mdev, variant->parent, "64M");
	if (ret == -ENOENT)
		return;
	ASSERT_RET(0, ret);
	self->refs = library_refs();
	ASSERT_RET(0, endpoint_open(e, self->mdev.path));
	ASSERT_RET(0, v1_map(&e->v1));
	if (!variant->bar)
		return;
	ASSERT_RET(0, region_open(&bar, &e->dev, VFIO_PCI_BAR2_REGION_INDEX));
	ASSERT_RET(0, region_mmap(&bar, 0, BAR_SIZE, PROT_READ | PROT_WRITE,
				  MAP_SHARED, &self->bar));
}

FIXTURE_TEARDOWN(outlive)
{
	mdev_remove(&self->mdev);
}

/* A load and a store, at the start and in the middle */
static void expect_gone(struct __test_metadata *_metadata, void *map, size_t size)
{
	unsigned char byte;

	EXPECT_RET(-EFAULT, poke_load(map, &byte));
	EXPECT_RET(-EFAULT, poke_store(map, 1));
	EXPECT_RET(-EFAULT, poke_load(map + size / 2, &byte));
	EXPECT_RET(-EFAULT, poke_store(map + size / 2, 1));
}

TEST_F(outlive, a_mapping_is_SIGBUS_and_keeps_the_code_only)
{
	struct endpoint *e = &self->end;
	void *window = e->v1.map;
	size_t size = e->v1.window;

	if (!self->mdev.path[0])
		SKIP(return, "there is no %s", variant->parent);
	ASSERT_RET(0, v1_set_state(&e->v1, V1_RESUMING));
	ASSERT_RET(0, poke_store(window, 1));
	if (self->bar)
		memset(self->bar, 1, BAR_SIZE);
	e->v1.map = NULL;
	endpoint_close(e);
	expect_gone(_metadata, window, size);
	ASSERT_RET(0, mdev_remove(&self->mdev));
	EXPECT_EQ(self->used, memory_used());
	expect_gone(_metadata, window, size);
	if (self->bar)
		expect_gone(_metadata, self->bar, BAR_SIZE);
	/* The mapping keeps the module, because the module has the fault handler. */
	EXPECT_LT(self->refs, library_refs());
	munmap(window, size);
	if (self->bar)
		munmap(self->bar, BAR_SIZE);
	EXPECT_EQ(self->refs, library_refs());
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
	if (system("modprobe -q mscratch"))
		ksft_print_msg("modprobe mscratch did not succeed\n");
}

SUITE_MAIN(need_all())
