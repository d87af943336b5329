// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver offers v1, v2 or both. The test checks what a user finds of each protocol, and that
 * the state does not depend on the protocol.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "lib/check.h"
#include "lib/dma_log.h"
#include "lib/suite.h"
#include "lib/testdev.h"

#define REGION		VFIO_PCI_NUM_REGIONS	/* the migration region in other types */
#define SIZE		4096

/* One device of each type */
enum { V1, V2, BOTH, NR };

static const char * const types[NR] = { "v1", "v2", "plain" };
static struct mdev mdev[NR];

FIXTURE(offers) {
	struct endpoint end;
};

FIXTURE_VARIANT(offers) {
	int type;
	int v1;
	int v2;
};

FIXTURE_VARIANT_ADD(offers, v1_alone) { V1, 1, 0 };
FIXTURE_VARIANT_ADD(offers, v2_alone) { V2, 0, 1 };
FIXTURE_VARIANT_ADD(offers, both) { BOTH, 1, 1 };

FIXTURE_SETUP(offers)
{
	ASSERT_RET(0, endpoint_open(&self->end, mdev[variant->type].path));
}

FIXTURE_TEARDOWN(offers)
{
	endpoint_close(&self->end);
}

/* A protocol that the driver does not offer looks like a device without migration. */
TEST_F(offers, the_region_only_with_v1)
{
	struct device *dev = &self->end.dev;
	struct region r;

	EXPECT_EQ((__u32)REGION + variant->v1, dev->info.num_regions);
	EXPECT_RET(variant->v1 ? 0 : -EINVAL, region_open(&r, dev, REGION));
	EXPECT_RET(variant->v1 ? 0 : -ENOENT, v1_open(&self->end.v1, dev));
}

/* GET_REGION_INFO does not return the offset, so the test uses that of other types. */
TEST_F(offers, no_access_of_a_region_that_is_not_there)
{
	struct device *dev = &self->end.dev;
	struct region r = { .dev = dev };
	struct endpoint both;
	__u32 value = V1_STOPPED;
	void *map;

	if (variant->v1)
		SKIP(return, "the device has the region");
	ASSERT_RET(0, endpoint_open(&both, mdev[BOTH].path));
	r.offset = both.v1.region.offset;
	EXPECT_RET(-EINVAL, region_read(&r, V1_DEVICE_STATE, &value, sizeof(value)));
	EXPECT_RET(-EINVAL, region_write(&r, V1_DEVICE_STATE, &value, sizeof(value)));
	EXPECT_RET(-EINVAL, region_read(&r, both.v1.data, &value, sizeof(value)));
	EXPECT_RET(-EINVAL, region_mmap(&r, both.v1.data, SIZE, PROT_READ, MAP_SHARED,
					&map));
	endpoint_close(&both);
}

TEST_F(offers, the_features_only_with_v2)
{
	struct vfio_device_feature_migration mig;
	struct vfio_device_feature_mig_state state;
	int want = variant->v2 ? 0 : -ENOTTY;
	struct v2 *v2 = &self->end.v2;
	__u64 size;

	EXPECT_RET(want, v2_feature(v2, VFIO_DEVICE_FEATURE_GET |
				    VFIO_DEVICE_FEATURE_MIGRATION, &mig, sizeof(mig)));
	EXPECT_RET(want, v2_feature(v2, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET |
				    VFIO_DEVICE_FEATURE_MIGRATION, &mig, 0));
	EXPECT_RET(want, v2_feature(v2, VFIO_DEVICE_FEATURE_GET |
				    VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &state,
				    sizeof(state)));
	if (!variant->v2) {
		EXPECT_RET(-ENOTTY, v2_set_state(v2, V2_STOP));
		EXPECT_RET(-ENOTTY, v2_data_size(v2, &size));
	}
}

/* The devices log their DMA, if the kernel can. */
TEST_F(offers, dma_logging_only_with_v2)
{
	struct vfio_device_feature_dma_logging_range range = { .length = SIZE };
	struct v2 *v2 = &self->end.v2;
	__u64 bitmap = 0;
	int ret;

	ret = dma_log_start(v2, &range, 1, SIZE);
	if (variant->v2 && ret == -ENOTTY)
		SKIP(return, "the kernel has no iova_bitmap");
	EXPECT_RET(variant->v2 ? 0 : -ENOTTY, ret);
	EXPECT_RET(variant->v2 ? 0 : -ENOTTY, dma_log_report(v2, 0, SIZE, SIZE, &bitmap));
	EXPECT_RET(variant->v2 ? 0 : -ENOTTY, dma_log_stop(v2));
	EXPECT_EQ(0, bitmap);
}

TEST_F(offers, a_reset_and_a_close_in_a_session)
{
	struct endpoint *e = &self->end;

	ASSERT_RET(0, endpoint_stop(e));
	EXPECT_RET(0, device_reset(&e->dev));
	ASSERT_RET(0, endpoint_resume(e));
	endpoint_close(e);
	ASSERT_RET(0, endpoint_open(e, mdev[variant->type].path));
	EXPECT_RET(0, endpoint_stop(e));
	EXPECT_RET(0, endpoint_cancel(e));
}

/* Writes bytes to the device's memory, and saves its state to @stream. */
static int save(struct endpoint *e, int fill, struct buffer *stream)
{
	unsigned char bytes[SIZE];
	struct region memory;
	int ret;

	memset(bytes, fill, sizeof(bytes));
	ret = region_open(&memory, &e->dev, VFIO_PCI_BAR2_REGION_INDEX);
	if (!ret)
		ret = region_write_all(&memory, SIZE, bytes, sizeof(bytes));
	if (!ret)
		ret = endpoint_stop(e);
	if (!ret)
		ret = endpoint_drain(e, stream);
	return ret ? ret : endpoint_cancel(e);
}

static int load(struct endpoint *e, const struct buffer *stream)
{
	int ret = endpoint_resume(e);

	if (!ret)
		ret = endpoint_give(e, stream);
	return ret ? ret : endpoint_run(e);
}

static void expect_bytes(struct __test_metadata *_metadata, struct endpoint *e, int fill)
{
	unsigned char bytes[SIZE];
	struct region memory;
	int i;

	ASSERT_RET(0, region_open(&memory, &e->dev, VFIO_PCI_BAR2_REGION_INDEX));
	ASSERT_RET(0, region_read_all(&memory, SIZE, bytes, sizeof(bytes)));
	for (i = 0; i < SIZE; i++)
		ASSERT_EQ(fill, bytes[i]);
}

/* The stream does not depend on the protocol. */
TEST_F(offers, its_state_loads_where_others_are_offered)
{
	struct buffer stream = { 0 };
	struct endpoint other;
	int i;

	for (i = 0; i < NR; i++) {
		if (i == variant->type)
			continue;
		stream.len = 0;
		ASSERT_RET_FOR(0, save(&self->end, i + 1, &stream), "to %s", types[i]);
		ASSERT_RET(0, endpoint_open(&other, mdev[i].path));
		EXPECT_RET_FOR(0, load(&other, &stream), "to %s", types[i]);
		expect_bytes(_metadata, &other, i + 1);
		endpoint_close(&other);
	}
	buffer_free(&stream);
}

int main(int argc, char **argv)
{
	int i;

	(void)argc;
	testdev_init();
	for (i = 0; i < NR; i++)
		if (testdev_create(&mdev[i], types[i]))
			ksft_exit_fail_msg("no device of type %s\n", types[i]);
	SUITE_RUN(argv);
}
