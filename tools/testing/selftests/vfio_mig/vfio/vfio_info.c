// SPDX-License-Identifier: GPL-2.0-only
/*
 * The description of a device: VFIO_DEVICE_GET_INFO, _GET_REGION_INFO and _GET_IRQ_INFO with
 * every argsz and index, their capabilities, and whether they agree with configuration space.
 * The rules are those of include/uapi/linux/vfio.h, and else the behaviour of vfio-pci.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/irq.h"
#include "lib/kinds.h"

#define ROOM	4096
#define CANARY	0xa5
#define CANARY_WORD	0xa5a5a5a5

#define REGION_FLAGS	(VFIO_REGION_INFO_FLAG_READ |			\
			 VFIO_REGION_INFO_FLAG_WRITE |			\
			 VFIO_REGION_INFO_FLAG_MMAP |			\
			 VFIO_REGION_INFO_FLAG_CAPS)
#define IRQ_FLAGS	(VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | \
			 VFIO_IRQ_INFO_AUTOMASKED | VFIO_IRQ_INFO_NORESIZE)

/* The three structures begin with argsz, flags and, except for the first, index. */
struct any_info {
	__u32 argsz;
	__u32 flags;
	__u32 index;
};

static const struct {
	unsigned long cmd;
	const char *name;
	size_t min;		/* smallest size of the argument */
} infos[] = {
	{ VFIO_DEVICE_GET_INFO, "GET_INFO",
	  offsetof(struct vfio_device_info, num_irqs) + sizeof(__u32) },
	{ VFIO_DEVICE_GET_REGION_INFO, "GET_REGION_INFO",
	  sizeof(struct vfio_region_info) },
	{ VFIO_DEVICE_GET_IRQ_INFO, "GET_IRQ_INFO",
	  sizeof(struct vfio_irq_info) },
};

FIXTURE(info) {
	struct device dev;
	struct region config;
	union {
		unsigned char raw[ROOM];
		struct any_info any;
		struct vfio_device_info device;
		struct vfio_region_info region;
		struct vfio_irq_info irq;
	};
};

FIXTURE_VARIANT(info) {
	struct kind kind;
};

FIXTURE_SETUP(info)
{
	ASSERT_RET(0, device_open(&self->dev, variant->kind.path));
	ASSERT_RET(0, region_open(&self->config, &self->dev,
				  VFIO_PCI_CONFIG_REGION_INDEX));
}

FIXTURE_TEARDOWN(info)
{
	device_close(&self->dev);
}

/* Calls the ioctl with marked memory around the argument. */
static int ask(struct _test_data_info *self, unsigned long cmd, __u32 argsz,
	       __u32 index)
{
	memset(self->raw, CANARY, ROOM);
	self->any.argsz = argsz;
	if (cmd != VFIO_DEVICE_GET_INFO)
		self->any.index = index;
	return ioctl(self->dev.fd, cmd, self->raw) ? -errno : 0;
}

/* Returns how many bytes the last answer wrote, from the first on. */
static size_t written(struct _test_data_info *self)
{
	size_t len = ROOM;

	while (len && self->raw[len - 1] == CANARY)
		len--;
	return len;
}

static __u32 config_read(struct _test_data_info *self, int at, int width)
{
	__u32 value = 0;

	return region_read_all(&self->config, at, &value, width) ? 0 : value;
}

static void config_write(struct _test_data_info *self, int at, __u32 value)
{
	region_write_all(&self->config, at, &value, sizeof(value));
}

/* Returns the offset of a capability in configuration space, or 0. */
static int find_cap(struct _test_data_info *self, int id)
{
	int at = 0, left = 48;

	if (config_read(self, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST)
		at = config_read(self, PCI_CAPABILITY_LIST, 1);
	while (at && left-- && (int)config_read(self, at, 1) != id)
		at = config_read(self, at + PCI_CAP_LIST_NEXT, 1);
	return at;
}

TEST_F(info, an_argsz_that_is_too_small_is_EINVAL)
{
	unsigned int i;
	__u32 argsz;

	for (i = 0; i < ARRAY_SIZE(infos); i++)
		for (argsz = 0; argsz < infos[i].min; argsz++) {
			EXPECT_RET_FOR(-EINVAL, ask(self, infos[i].cmd, argsz, 0),
				       "%s, argsz %u", infos[i].name, argsz);
			EXPECT_GE(sizeof(struct any_info), written(self));
		}
}

TEST_F(info, nothing_is_written_beyond_argsz)
{
	unsigned int i;
	__u32 argsz;

	for (i = 0; i < ARRAY_SIZE(infos); i++)
		for (argsz = infos[i].min; argsz < 512; argsz++) {
			ASSERT_RET_FOR(0, ask(self, infos[i].cmd, argsz, 0),
				       "%s, argsz %u", infos[i].name, argsz);
			EXPECT_GE(argsz, written(self))
				TH_LOG("%s, argsz %u", infos[i].name, argsz);
		}
}

TEST_F(info, an_address_that_is_none_is_EFAULT)
{
	void *page = mmap(NULL, 2 * ROOM, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct any_info *half = page + ROOM - sizeof(*half);
	unsigned int i;

	ASSERT_NE(MAP_FAILED, page);
	ASSERT_EQ(0, munmap(page + ROOM, ROOM));
	half->argsz = ROOM;
	half->index = 0;
	for (i = 0; i < ARRAY_SIZE(infos); i++) {
		EXPECT_EQ(-1, ioctl(self->dev.fd, infos[i].cmd, NULL));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(-1, ioctl(self->dev.fd, infos[i].cmd, half));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(-1, ioctl(self->dev.fd, infos[i].cmd, ~0UL - 7));
		EXPECT_EQ(EFAULT, errno);
	}
	munmap(page, ROOM);
}

TEST_F(info, an_ioctl_that_is_none_is_ENOTTY)
{
	EXPECT_EQ(-1, ioctl(self->dev.fd, _IO(VFIO_TYPE, VFIO_BASE + 99), self->raw));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, ioctl(self->dev.fd, _IO('!', 1), self->raw));
	EXPECT_EQ(ENOTTY, errno);
}

/* QEMU 7.2 cannot reset a guest if a device does not report that it has a reset. */
TEST_F(info, it_is_a_PCI_function_with_a_reset)
{
	ASSERT_RET(0, ask(self, VFIO_DEVICE_GET_INFO, ROOM, 0));
	EXPECT_TRUE(self->device.flags & VFIO_DEVICE_FLAGS_PCI);
	EXPECT_TRUE(self->device.flags & VFIO_DEVICE_FLAGS_RESET);
	EXPECT_RET(0, device_reset(&self->dev));
	EXPECT_LE(VFIO_PCI_NUM_REGIONS, self->device.num_regions);
	EXPECT_LE(VFIO_PCI_NUM_IRQS, self->device.num_irqs);
}

/* A member that was added to the struct later is 0 if the kernel does not use it. */
TEST_F(info, without_capabilities_their_offset_is_0)
{
	ASSERT_RET(0, ask(self, VFIO_DEVICE_GET_INFO, 24, 0));
	if (!(self->device.flags & (1 << 7 /* VFIO_DEVICE_FLAGS_CAPS */)))
		EXPECT_EQ(0, *(__u32 *)(self->raw + 16));
}

TEST_F(info, an_index_beyond_the_last_is_EINVAL)
{
	const __u32 beyond[] = { 0, 1, 2, 100, 1000 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(beyond); i++) {
		EXPECT_RET(-EINVAL, ask(self, VFIO_DEVICE_GET_REGION_INFO, ROOM,
					self->dev.info.num_regions + beyond[i]));
		EXPECT_RET(-EINVAL, ask(self, VFIO_DEVICE_GET_IRQ_INFO, ROOM,
					self->dev.info.num_irqs + beyond[i]));
	}
	EXPECT_RET(-EINVAL, ask(self, VFIO_DEVICE_GET_REGION_INFO, ROOM, ~0U));
	EXPECT_RET(-EINVAL, ask(self, VFIO_DEVICE_GET_IRQ_INFO, ROOM, ~0U));
	EXPECT_RET(-EINVAL, ask(self, VFIO_DEVICE_GET_IRQ_INFO, ROOM, 1U << 31));
}

/* If there are no capabilities, vfio-pci does not change the user's value. */
static int cap_offset_fits(const struct vfio_region_info *r)
{
	if (r->flags & VFIO_REGION_INFO_FLAG_CAPS)
		return r->cap_offset >= sizeof(*r);
	return !r->cap_offset || r->cap_offset == CANARY_WORD;
}

TEST_F(info, every_region_is_described)
{
	const struct vfio_region_info *r = &self->region;
	__u64 end = 0;
	__u32 i;

	for (i = 0; i < self->dev.info.num_regions; i++) {
		if (i == VFIO_PCI_VGA_REGION_INDEX)
			continue;	/* EINVAL if there is no such region */
		ASSERT_RET_FOR(0, ask(self, VFIO_DEVICE_GET_REGION_INFO, ROOM, i),
			       "region %u", i);
		EXPECT_EQ(i, r->index);
		EXPECT_EQ(0, r->flags & ~REGION_FLAGS);
		EXPECT_TRUE(cap_offset_fits(r));
		if (!r->size) {
			EXPECT_EQ(0, r->flags);
			continue;
		}
		EXPECT_TRUE(r->flags & (VFIO_REGION_INFO_FLAG_READ |
					VFIO_REGION_INFO_FLAG_WRITE));
		EXPECT_LE(end, r->offset)
			TH_LOG("region %u overlaps another", i);
		end = r->offset + r->size;
		EXPECT_LT(r->offset, end);
		if (r->flags & VFIO_REGION_INFO_FLAG_MMAP) {
			EXPECT_EQ(0, r->offset % getpagesize());
			/* vfio-pci maps the page of a BAR that is smaller than a page. */
			EXPECT_TRUE(!(r->size % getpagesize()) ||
				    r->size < (__u64)getpagesize());
		}
	}
}

TEST_F(info, configuration_space_is_read_and_written_only)
{
	ASSERT_RET(0, ask(self, VFIO_DEVICE_GET_REGION_INFO, ROOM,
			  VFIO_PCI_CONFIG_REGION_INDEX));
	EXPECT_TRUE(self->region.size == 256 || self->region.size == 4096);
	EXPECT_EQ(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
		  self->region.flags);
}

/* A guest finds the size of a BAR by writing ones to it. */
TEST_F(info, BAR_sizes_are_those_of_configuration_space)
{
	__u32 low, mask;
	int bar, at;

	for (bar = 0; bar < 6; bar++) {
		at = PCI_BASE_ADDRESS_0 + 4 * bar;
		ASSERT_RET(0, ask(self, VFIO_DEVICE_GET_REGION_INFO, ROOM, bar));
		low = config_read(self, at, 4);
		config_write(self, at, ~0U);
		mask = config_read(self, at, 4);
		config_write(self, at, low);
		if (mask & PCI_BASE_ADDRESS_SPACE_IO)
			mask &= ~3U;
		else
			mask &= ~0xfU;
		EXPECT_EQ(self->region.size > (1U << 31) ? 0 : self->region.size,
			  mask ? -mask : 0)
			TH_LOG("BAR %d has %#llx bytes, configuration space says %#x",
			       bar, self->region.size, mask ? -mask : 0);
		if ((low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) ==
		    PCI_BASE_ADDRESS_MEM_TYPE_64)
			bar++;
	}
}

/* Follows the chain of capabilities. Returns their number, or -1 if the chain is broken. */
static int walk_caps(struct _test_data_info *self)
{
	const struct vfio_region_info *r = &self->region;
	const struct vfio_info_cap_header *cap;
	size_t end = written(self);
	__u32 at, nr = 0;

	for (at = r->cap_offset; at; at = cap->next, nr++) {
		cap = (void *)self->raw + at;
		if (at < sizeof(*r) || at % 8 || at + sizeof(*cap) > end ||
		    nr > 16 || !cap->version ||
		    (cap->next && cap->next <= at))
			return -1;
	}
	return nr;
}

TEST_F(info, capabilities_come_whole_or_not_at_all)
{
	const struct vfio_region_info *r = &self->region;
	__u32 i, argsz, need;

	for (i = 0; i < self->dev.info.num_regions; i++) {
		if (ask(self, VFIO_DEVICE_GET_REGION_INFO, sizeof(*r), i) ||
		    !(r->flags & VFIO_REGION_INFO_FLAG_CAPS))
			continue;
		need = r->argsz;
		ASSERT_LT(sizeof(*r), need);
		for (argsz = sizeof(*r); argsz < need; argsz++) {
			ASSERT_RET(0, ask(self, VFIO_DEVICE_GET_REGION_INFO,
					  argsz, i));
			EXPECT_TRUE(r->flags & VFIO_REGION_INFO_FLAG_CAPS);
			EXPECT_EQ(0, r->cap_offset);
			EXPECT_EQ(need, r->argsz);
			EXPECT_GE(sizeof(*r), written(self));
		}
		for (; argsz < need + 64; argsz++) {
			ASSERT_RET(0, ask(self, VFIO_DEVICE_GET_REGION_INFO,
					  argsz, i));
			EXPECT_LT(0, walk_caps(self))
				TH_LOG("region %u, argsz %u: no good chain", i, argsz);
		}
	}
}

TEST_F(info, mappable_areas_are_inside_their_region)
{
	struct region r;
	__u32 i, n;

	for (i = 0; i < self->dev.info.num_regions; i++) {
		if (region_open(&r, &self->dev, i) || !r.sparse)
			continue;
		EXPECT_TRUE(r.flags & VFIO_REGION_INFO_FLAG_MMAP);
		EXPECT_GE(REGION_AREAS_MAX, r.nr_areas);
		for (n = 0; n < r.nr_areas && n < REGION_AREAS_MAX; n++) {
			EXPECT_EQ(0, r.areas[n].offset % getpagesize());
			EXPECT_EQ(0, r.areas[n].size % getpagesize());
			EXPECT_GE(r.size, r.areas[n].offset + r.areas[n].size);
			EXPECT_LE(r.areas[n].offset,
				  r.areas[n].offset + r.areas[n].size);
		}
	}
}

/* "Unimplemented IRQ types return a count of zero." */
TEST_F(info, an_absent_interrupt_has_a_count_of_0)
{
	const struct vfio_irq_info *irq = &self->irq;
	__u32 i;

	for (i = 0; i < self->dev.info.num_irqs; i++) {
		if (i == VFIO_PCI_ERR_IRQ_INDEX)
			continue;
		ASSERT_RET_FOR(0, ask(self, VFIO_DEVICE_GET_IRQ_INFO, ROOM, i),
			       "%s", irq_name(i));
		EXPECT_EQ(i, irq->index);
		EXPECT_EQ(0, irq->flags & ~IRQ_FLAGS);
		if (irq->count)
			EXPECT_TRUE(irq->flags & VFIO_IRQ_INFO_EVENTFD);
	}
}

/* ERR must be absent or have a count of 1. QEMU warns if its count is 0. */
TEST_F(info, ERR_has_an_interrupt_or_is_EINVAL)
{
	int ret = ask(self, VFIO_DEVICE_GET_IRQ_INFO, ROOM,
		      VFIO_PCI_ERR_IRQ_INDEX);

	EXPECT_RET(ret ? -EINVAL : 0, ret);
	if (!ret)
		EXPECT_EQ(1, self->irq.count);
}

TEST_F(info, intx_is_masked_by_itself_and_by_the_user)
{
	ASSERT_RET(0, ask(self, VFIO_DEVICE_GET_IRQ_INFO, ROOM,
			  VFIO_PCI_INTX_IRQ_INDEX));
	if (!self->irq.count)
		return;		/* It has none. */
	EXPECT_TRUE(self->irq.flags & VFIO_IRQ_INFO_MASKABLE);
	EXPECT_TRUE(self->irq.flags & VFIO_IRQ_INFO_AUTOMASKED);
}

/* The user can enable the interrupts that configuration space shows to the guest. */
TEST_F(info, interrupts_are_those_of_configuration_space)
{
	int intx = device_irq_count(&self->dev, VFIO_PCI_INTX_IRQ_INDEX);
	int msi = device_irq_count(&self->dev, VFIO_PCI_MSI_IRQ_INDEX);
	int msix = device_irq_count(&self->dev, VFIO_PCI_MSIX_IRQ_INDEX);
	int at;

	EXPECT_EQ(!!config_read(self, PCI_INTERRUPT_PIN, 1), intx);
	at = find_cap(self, PCI_CAP_ID_MSI);
	EXPECT_EQ(at ? 1 << ((config_read(self, at + PCI_MSI_FLAGS, 2) &
			      PCI_MSI_FLAGS_QMASK) >> 1) : 0, msi);
	at = find_cap(self, PCI_CAP_ID_MSIX);
	EXPECT_EQ(at ? (int)(config_read(self, at + PCI_MSIX_FLAGS, 2) &
			     PCI_MSIX_FLAGS_QSIZE) + 1 : 0, msix);
}

TEST_F(info, what_is_outside_of_any_region_is_an_error)
{
	struct region r, last = { 0 };
	unsigned char byte = 0;
	__u32 i;

	for (i = 0; i < self->dev.info.num_regions; i++) {
		if (region_open(&r, &self->dev, i))
			continue;
		EXPECT_GT(0, region_read(&r, r.size, &byte, 1))
			TH_LOG("region %u, at its end", i);
		EXPECT_GT(0, region_write(&r, r.size, &byte, 1))
			TH_LOG("region %u, at its end", i);
		if (r.offset >= last.offset)
			last = r;
	}
	r = last;
	r.offset += r.size;
	EXPECT_GT(0, region_read(&r, 1ULL << 40, &byte, 1));
	EXPECT_GT(0, region_write(&r, 1ULL << 40, &byte, 1));
	r.offset = 1ULL << 62;
	EXPECT_GT(0, region_read(&r, 0, &byte, 1));
}

/* Reads of 4, 2 and 1 bytes return the same registers. */
TEST_F(info, configuration_space_is_the_same_by_any_width)
{
	unsigned char whole[64], part[64];
	unsigned int width, at;

	ASSERT_RET(0, region_read_all(&self->config, 0, whole, sizeof(whole)));
	for (width = 1; width <= 4; width *= 2) {
		for (at = 0; at < sizeof(part); at += width)
			ASSERT_RET(0, region_read_all(&self->config, at,
						      part + at, width));
		EXPECT_EQ(0, memcmp(whole, part, sizeof(whole)));
	}
}

KINDS_MAIN()
