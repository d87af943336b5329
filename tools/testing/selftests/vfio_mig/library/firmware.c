// SPDX-License-Identifier: GPL-2.0-only
/*
 * A PCI function whose firmware gives the state as an image (samples/vfio-pci/fw-vfio-pci.c).
 * The image has the contents of BAR2, up to the last byte that was written.
 *
 * Not among the programs that run by themselves, because the test needs two such functions.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/endpoint.h"
#include "lib/file.h"
#include "lib/stream.h"
#include "lib/suite.h"

#define SIZE	(300 << 10)	/* more than the library reads at a time */

FIXTURE(firmware) {
	struct endpoint a, b;
	struct region bar_a, bar_b;
	struct buffer stream;
	unsigned char *bytes, *seen;
};

FIXTURE_VARIANT(firmware) {
	int v2;
};

FIXTURE_VARIANT_ADD(firmware, v1) { 0 };
FIXTURE_VARIANT_ADD(firmware, v2) { 1 };

FIXTURE_SETUP(firmware)
{
	int i;

	ASSERT_RET(0, endpoint_open(&self->a, suite_device()));
	ASSERT_RET(0, endpoint_open(&self->b, suite_device_b()));
	ASSERT_TRUE(variant->v2 ? self->a.has_v2 : self->a.has_v1);
	self->a.by_v2 = variant->v2;
	self->b.by_v2 = variant->v2;
	ASSERT_RET(0, region_open(&self->bar_a, &self->a.dev, VFIO_PCI_BAR2_REGION_INDEX));
	ASSERT_RET(0, region_open(&self->bar_b, &self->b.dev, VFIO_PCI_BAR2_REGION_INDEX));
	self->bytes = malloc(SIZE);
	self->seen = malloc(SIZE);
	ASSERT_TRUE(self->bytes && self->seen);
	for (i = 0; i < SIZE; i++)
		self->bytes[i] = 1 + i % 251;
	ASSERT_RET(0, region_write_all(&self->bar_a, 0, self->bytes, SIZE));
}

FIXTURE_TEARDOWN(firmware)
{
	buffer_free(&self->stream);
	free(self->bytes);
	free(self->seen);
	endpoint_close(&self->a);
	endpoint_close(&self->b);
}

static int save(struct _test_data_firmware *self)
{
	return endpoint_stop(&self->a) ?: endpoint_drain(&self->a, &self->stream);
}

static int load(struct _test_data_firmware *self)
{
	return endpoint_resume(&self->b) ?: endpoint_give(&self->b, &self->stream) ?:
	       endpoint_run(&self->b);
}

static void expect_moved(struct __test_metadata *_metadata, struct _test_data_firmware *self)
{
	EXPECT_RET(0, region_read_all(&self->bar_b, 0, self->seen, SIZE));
	EXPECT_EQ(0, memcmp(self->bytes, self->seen, SIZE));
}

TEST_F(firmware, image_moves_and_the_device_runs)
{
	unsigned char byte = 0x77;

	ASSERT_RET(0, save(self));
	EXPECT_LT(SIZE, self->stream.len);
	ASSERT_RET(0, load(self));
	expect_moved(_metadata, self);
	EXPECT_RET(0, region_write_all(&self->bar_b, 1, &byte, 1));
	EXPECT_RET(0, region_read_all(&self->bar_b, 1, self->seen, 1));
	EXPECT_EQ(byte, self->seen[0]);
}

/* Nothing is left of what the target had, also behind the end of the image. */
TEST_F(firmware, image_replaces_all_of_the_target)
{
	unsigned char byte = 0x66;

	ASSERT_RET(0, region_write_all(&self->bar_b, SIZE + 5, &byte, 1));
	ASSERT_RET(0, save(self));
	ASSERT_RET(0, load(self));
	expect_moved(_metadata, self);
	EXPECT_RET(0, region_read_all(&self->bar_b, SIZE + 5, self->seen, 1));
	EXPECT_EQ(0, self->seen[0]);
}

/* The source goes on after a save that was given up, and can be saved again. */
TEST_F(firmware, source_goes_on_with_its_state)
{
	unsigned char byte = 0x55;

	ASSERT_RET(0, endpoint_stop(&self->a));
	ASSERT_LT(0, endpoint_take(&self->a, &self->stream));
	ASSERT_RET(0, endpoint_cancel(&self->a));
	self->stream.len = 0;
	self->bytes[7] = byte;
	ASSERT_RET(0, region_write_all(&self->bar_a, 7, &byte, 1));
	ASSERT_RET(0, save(self));
	ASSERT_RET(0, load(self));
	expect_moved(_metadata, self);
}

TEST_F(firmware, image_cut_short_is_refused_until_a_reset)
{
	size_t whole;

	ASSERT_RET(0, save(self));
	whole = self->stream.len;
	self->stream.len -= 64;
	EXPECT_RET(-ENODATA, load(self));
	ASSERT_RET(0, device_reset(&self->b.dev));
	self->stream.len = whole;
	ASSERT_RET(0, load(self));
	expect_moved(_metadata, self);
}

/* A reset of the function resets its firmware, whatever session is open. */
TEST_F(firmware, reset_clears_the_state)
{
	ASSERT_RET(0, endpoint_stop(&self->a));
	ASSERT_LT(0, endpoint_take(&self->a, &self->stream));
	ASSERT_RET(0, device_reset(&self->a.dev));
	EXPECT_RET(0, region_read_all(&self->bar_a, 0, self->seen, SIZE));
	EXPECT_EQ(0, self->seen[0] | self->seen[SIZE - 1]);
	self->stream.len = 0;
	ASSERT_RET(0, save(self));
	ASSERT_RET(0, load(self));
}

TEST_F(firmware, state_is_not_for_the_next_user)
{
	endpoint_close(&self->a);
	ASSERT_RET(0, endpoint_open(&self->a, suite_device()));
	ASSERT_RET(0, region_open(&self->bar_a, &self->a.dev, VFIO_PCI_BAR2_REGION_INDEX));
	EXPECT_RET(0, region_read_all(&self->bar_a, 0, self->seen, SIZE));
	EXPECT_EQ(0, self->seen[0] | self->seen[SIZE - 1]);
}

/* The firmware is behind the BARs, so a mapping would show something else. */
TEST_F(firmware, bars_cannot_be_mapped)
{
	void *map;

	EXPECT_EQ(0, self->bar_a.flags & VFIO_REGION_INFO_FLAG_MMAP);
	EXPECT_RET(-EINVAL, region_mmap(&self->bar_a, 0, 4096, PROT_READ, MAP_SHARED, &map));
}

SUITE_MAIN(suite_need_b())
