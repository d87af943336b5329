// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of guest memory that do not answer, then answer, and then are missing once more.
 *
 * A command must not take the result of an earlier command for the same bytes. What waits for
 * such a page must not be lost, and must not be written later than the host permits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "lib/child.h"
#include "lib/fixture.h"
#include "lib/nvme.h"
#include "lib/nvme_fixture.h"
#include "lib/nvme_third.h"
#include "lib/slow.h"
#include "lib/waiter.h"

#define SLOW_IOVA	0x100000000ULL
#define REACH		5.0	/* seconds until the controller accesses the memory */

#define PCI_POWER	0x44	/* in the power management capability */

FIXTURE(again) {
	struct nvme_fixture f;
	struct slow slow;
	unsigned char *buf;
};

FIXTURE_SETUP(again)
{
	if (slow_missing(SLOW_UFFD))
		SKIP(return, "%s", slow_missing(SLOW_UFFD));
	nvme_fixture_open(_metadata, &self->f, 1 << 20);
	self->buf = guest_alloc(&self->f.guest, GUEST_PAGE);
	ASSERT_RET(0, slow_create(&self->slow, SLOW_UFFD, GUEST_PAGE));
	ASSERT_RET(0, slow_map(&self->slow, 0, NULL, 0));
	ASSERT_RET(0, device_map(&self->f.dev, self->slow.mem, SLOW_IOVA, GUEST_PAGE));
}

FIXTURE_TEARDOWN(again)
{
	slow_destroy(&self->slow);
	nvme_fixture_close(&self->f);
}

/* A command for the first page of the disk */
static struct nvme_cmd page_command(__u8 opcode)
{
	return (struct nvme_cmd){
		.opcode = opcode, .nsid = 1, .prp1 = SLOW_IOVA, .cdw12 = 7,
	};
}

/* Begins a command, which waits for its memory. */
static void wait_for_memory(struct __test_metadata *_metadata, struct nvme *nvme,
			    struct slow *slow, __u8 opcode)
{
	struct nvme_cmd cmd = page_command(opcode);

	ASSERT_LE(0, nvme_submit(nvme, &nvme->io[0], &cmd));
	ASSERT_RET(0, nvme_ring(nvme, &nvme->io[0]));
	ASSERT_EQ(1, slow_waiting(slow, waiter_patience(REACH)));
	/* Longer than the controller waits before it does other work. */
	usleep(waiter_patience(100000));
}

static int for_the_page(struct nvme *nvme, __u8 opcode)
{
	struct nvme_cmd cmd = page_command(opcode);

	return nvme_do(nvme, &nvme->io[0], &cmd, NULL);
}

/* The memory answers, and the command completes. */
static void let_it_complete(struct __test_metadata *_metadata, struct nvme *nvme,
			    struct slow *slow)
{
	struct nvme_cqe cqe;

	ASSERT_RET(0, slow_answer(slow));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->io[0], &cqe));
	ASSERT_EQ(0, cqe.status >> 1);
}

/* Other memory with this content, which is present in no page table yet */
static void replace(struct __test_metadata *_metadata, unsigned char *mem, int byte)
{
	unsigned char content[GUEST_PAGE];
	int fd = memfd_create("again", MFD_CLOEXEC);

	memset(content, byte, sizeof(content));
	ASSERT_LE(0, fd);
	ASSERT_EQ(sizeof(content), (size_t)write(fd, content, sizeof(content)));
	ASSERT_EQ(mem, mmap(mem, GUEST_PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_FIXED, fd, 0));
	close(fd);
}

TEST_F(again, a_read_stores_its_data)
{
	struct nvme *nvme = &self->f.nvme;
	unsigned char *mem = self->slow.mem;

	memset(self->buf, 0x5d, GUEST_PAGE);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 0, 8, self->buf));
	wait_for_memory(_metadata, nvme, &self->slow, NVME_OP_READ);
	let_it_complete(_metadata, nvme, &self->slow);
	EXPECT_EQ(0x5d, mem[0]);
	replace(_metadata, mem, 0);
	ASSERT_EQ(0, for_the_page(nvme, NVME_OP_READ));
	EXPECT_EQ(0x5d, mem[0]);
	EXPECT_EQ(0x5d, mem[GUEST_PAGE - 1]);
}

TEST_F(again, a_write_takes_the_data_of_now)
{
	struct nvme *nvme = &self->f.nvme;

	wait_for_memory(_metadata, nvme, &self->slow, NVME_OP_WRITE);
	let_it_complete(_metadata, nvme, &self->slow);
	replace(_metadata, self->slow.mem, 0xa7);
	ASSERT_EQ(0, for_the_page(nvme, NVME_OP_WRITE));
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, 0, 8, self->buf));
	EXPECT_EQ(0xa7, self->buf[0]);
	EXPECT_EQ(0xa7, self->buf[GUEST_PAGE - 1]);
}

/*
 * A Read waits for its memory. The function must not store the data after the write of
 * configuration space that forbids DMA. The Read completes when DMA is permitted again.
 */
static void check_no_dma(struct __test_metadata *_metadata, struct _test_data_again *self,
			 __u16 at, __u16 forbid, __u16 permit)
{
	unsigned char *mem = self->slow.mem;
	struct nvme *nvme = &self->f.nvme;
	struct region config;
	struct nvme_cqe cqe;

	ASSERT_RET(0, region_open(&config, &self->f.dev, VFIO_PCI_CONFIG_REGION_INDEX));
	memset(self->buf, 0x5d, GUEST_PAGE);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_WRITE, 0, 8, self->buf));
	wait_for_memory(_metadata, nvme, &self->slow, NVME_OP_READ);
	ASSERT_RET(0, region_write_all(&config, at, &forbid, sizeof(forbid)));
	ASSERT_RET(0, slow_answer(&self->slow));
	/* The controller tries several times in this time. */
	usleep(waiter_patience(300000));
	EXPECT_EQ(0, mem[0])
		TH_LOG("the data were stored");
	EXPECT_EQ(0, nvme_poll(nvme, &nvme->io[0], &cqe));
	ASSERT_RET(0, region_write_all(&config, at, &permit, sizeof(permit)));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->io[0], &cqe));
	EXPECT_EQ(0, cqe.status >> 1);
	EXPECT_EQ(0x5d, mem[0]);
}

TEST_F(again, no_read_after_bus_master)
{
	check_no_dma(_metadata, self, PCI_COMMAND, 2, 6);
}

TEST_F(again, no_read_in_d3hot)
{
	check_no_dma(_metadata, self, PCI_POWER, 3, 0);
}

#define DELETIONS	100

/* A thread that writes the third doorbell all the time. */
struct ringer {
	pthread_t thread;
	struct nvme *nvme;
	volatile int stop;
};

static void *keep_ringing(void *arg)
{
	struct ringer *r = arg;

	while (!r->stop)
		ring_third(r->nvme, 1);
	return NULL;
}

/*
 * A completion waits for the completion queue's memory, and the host deletes both queues.
 * Meanwhile another thread writes the doorbell, so that the controller looks at the submission
 * queue during the deletion. A new queue with the same identifier has other memory, and must
 * not wait for the memory of the old queue.
 */
TEST_F_TIMEOUT(again, a_new_queue_waits_for_no_old_memory, 180)
{
	unsigned char *cq = guest_alloc(&self->f.guest, GUEST_PAGE);
	struct ringer ringer = { .nvme = &self->f.nvme };
	__u64 sq = guest_iova(&self->f.guest, self->buf);
	int i;

	for (i = 0; i < DELETIONS; i++) {
		memset(self->buf, 0, GUEST_PAGE);
		ASSERT_EQ(0, create_third(ringer.nvme, sq, SLOW_IOVA));
		ASSERT_RET(0, ring_third(ringer.nvme, 1));
		/* Longer than the controller waits before it does other work. */
		usleep(waiter_patience(20000));
		ringer.stop = 0;
		ASSERT_EQ(0, pthread_create(&ringer.thread, NULL, keep_ringing, &ringer));
		EXPECT_EQ(0, delete_third(ringer.nvme));
		ringer.stop = 1;
		pthread_join(ringer.thread, NULL);

		memset(cq, 0, GUEST_PAGE);
		ASSERT_EQ(0, create_third(ringer.nvme, sq,
					  guest_iova(&self->f.guest, cq)));
		ASSERT_RET(0, ring_third(ringer.nvme, 1));
		ASSERT_TRUE(third_completes((void *)cq, waiter_patience(REACH)))
			TH_LOG("after deletion %d the new queue waits", i);
		ASSERT_EQ(0, delete_third(ringer.nvme));
	}
}

#define STOPS		3

/*
 * Has another process stop the device, which waits for the memory of a completion, and resets
 * the device meanwhile. Returns the errno of the stop, or 0.
 */
static int reset_during_a_stop(struct __test_metadata *_metadata, struct nvme_fixture *f,
			       struct slow *slow, volatile int *begun)
{
	unsigned char *sq;
	int status = 0;
	pid_t pid;

	f->guest.used = 0;
	*begun = 0;
	EXPECT_EQ(0, nvme_start(&f->nvme, &f->dev, &f->guest, 1, 16));
	sq = guest_alloc(&f->guest, GUEST_PAGE);
	memset(sq, 0, GUEST_PAGE);
	EXPECT_EQ(0, create_third(&f->nvme, guest_iova(&f->guest, sq), SLOW_IOVA));
	EXPECT_RET(0, ring_third(&f->nvme, 1));
	EXPECT_EQ(1, slow_waiting(slow, waiter_patience(REACH)));

	pid = child_start();
	if (!pid) {
		*begun = 1;
		_exit(-v1_set_state(&f->v1, V1_STOPPED));
	}
	EXPECT_LT(0, pid);
	while (!*begun && !waitpid(pid, NULL, WNOHANG))
		usleep(1000);
	usleep(waiter_patience(200000));
	EXPECT_RET(0, device_reset(&f->dev));
	waitpid(pid, &status, 0);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_RET(0, device_reset(&f->dev));
	return WEXITSTATUS(status);
}

/*
 * The process that resets the device can be killed before the reset. So a stop that found the
 * reset waiting must not succeed without the completion, because a save may follow it.
 */
TEST_F_TIMEOUT(again, a_stop_that_a_reset_ends_fails, 120)
{
	volatile int *begun = child_shared_page();
	int i, err = 0;

	ASSERT_NE(MAP_FAILED, (void *)begun);
	/* The process that stops the device may have come after the reset. */
	for (i = 0; !err && i < STOPS; i++)
		err = reset_during_a_stop(_metadata, &self->f, &self->slow, begun);
	EXPECT_EQ(ECANCELED, err);
}

/*
 * Two submission queues have completions for one completion queue, whose memory is missing.
 * Each has its own entry at last, and the write of the one does not undo that of the other.
 */
TEST_F(again, two_queues_post_to_missing_memory)
{
	volatile struct nvme_cqe *cq = (void *)self->slow.mem;
	__u64 sq = guest_iova(&self->f.guest, self->buf);
	struct nvme *nvme = &self->f.nvme;
	struct nvme_cmd fourth = {
		.opcode = ADMIN_CREATE_SQ, .prp1 = sq, .cdw10 = 15 << 16 | 4,
		.cdw11 = THIRD << 16 | 1,
	};

	memset(self->buf, 0, GUEST_PAGE);
	ASSERT_EQ(0, create_third(nvme, sq, SLOW_IOVA));
	ASSERT_EQ(0, nvme_do(nvme, &nvme->admin, &fourth, NULL));
	ASSERT_RET(0, ring_third(nvme, 1));
	/* The controller's attempts for the two come at different times. */
	usleep(waiter_patience(30000));
	ASSERT_RET(0, nvme_write32(nvme, DOORBELLS + 2 * 4 * nvme->doorbell_stride, 1));
	usleep(waiter_patience(200000));
	ASSERT_RET(0, slow_answer(&self->slow));
	ASSERT_TRUE(third_completes(&cq[1], waiter_patience(REACH)));
	/* Longer than the pause before an attempt */
	usleep(waiter_patience(200000));
	EXPECT_EQ(1, cq[0].status & 1)
		TH_LOG("the first completion was overwritten");
	EXPECT_EQ(1, cq[1].status & 1);
	EXPECT_EQ(THIRD + 4, cq[0].sq_id + cq[1].sq_id);
	EXPECT_EQ(0, cq[2].status);
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
	suite_need_b();
}

SUITE_MAIN(need_all())
