// SPDX-License-Identifier: GPL-2.0-only
/*
 * Levels of mnvme: a guest keeps the features that it has read, on any target, and states of
 * older drivers load. The last driver of each level wrote its files in streams/.
 */
#include <endian.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/nvme_fixture.h"
#include "lib/recorded.h"
#include "lib/stream.h"

#define LEVELS		3
#define PARAMETERS	"/sys/module/mnvme/parameters/"

static char streams[PATH_MAX];

static int attribute(const char *device, const char *name, const char *value)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", device, name);
	return file_write(path, value);
}

static int get_attribute(const char *device, const char *name, char *value,
			 size_t room)
{
	char path[PATH_MAX + 64];
	int ret;

	snprintf(path, sizeof(path), "%s/%s", device, name);
	ret = file_read(path, value, room);
	if (!ret)
		value[strcspn(value, "\n")] = '\0';
	return ret;
}

static int number(const char *device, const char *name)
{
	char value[32] = "";
	int ret = get_attribute(device, name, value, sizeof(value));

	return ret ? ret : atoi(value);
}

static int set_level(const char *device, int level)
{
	char text[8];

	snprintf(text, sizeof(text), "%d\n", level);
	return attribute(device, "level", text);
}

/* Closed devices. The teardown restores the attributes. */
FIXTURE(closed) {
	char serial[32];
};

FIXTURE_SETUP(closed)
{
	ASSERT_RET(0, get_attribute(suite_device(), "serial", self->serial,
				    sizeof(self->serial)));
}

FIXTURE_TEARDOWN(closed)
{
	EXPECT_RET(0, set_level(suite_device(), LEVELS));
	EXPECT_RET(0, attribute(suite_device(), "serial", self->serial));
}

TEST_F(closed, level_of_a_device)
{
	struct device dev;
	int i;

	EXPECT_EQ(LEVELS, number(suite_device(), "level"));
	EXPECT_EQ(1, number(suite_device(), "migration/control_version_min"));
	EXPECT_EQ(LEVELS, number(suite_device(), "migration/control_version_max"));
	for (i = 1; i <= LEVELS; i++) {
		EXPECT_RET(0, set_level(suite_device(), i));
		EXPECT_EQ(i, number(suite_device(), "level"));
		EXPECT_EQ(i, number(suite_device(), "migration/control_version"));
	}
	EXPECT_RET(-EINVAL, set_level(suite_device(), 0));
	EXPECT_RET(-EINVAL, set_level(suite_device(), LEVELS + 1));
	EXPECT_RET(-EINVAL, attribute(suite_device(), "level", "two\n"));
	EXPECT_RET(-ERANGE, attribute(suite_device(), "level", "259\n"));
	ASSERT_RET(0, device_open(&dev, suite_device()));
	EXPECT_RET(-EBUSY, set_level(suite_device(), 2));
	device_close(&dev);
	EXPECT_RET(0, set_level(suite_device(), 2));
}

TEST_F(closed, level_of_devices_that_are_created)
{
	EXPECT_RET(-EINVAL, file_write(PARAMETERS "level", "0"));
	EXPECT_RET(-EINVAL, file_write(PARAMETERS "level", "4"));
	EXPECT_RET(0, file_write(PARAMETERS "level", "2"));
	/* Existing devices keep their level. */
	EXPECT_EQ(LEVELS, number(suite_device(), "level"));
	EXPECT_RET(0, file_write(PARAMETERS "level", "3"));
}

/* Text of the file, text that is written, and the result */
static const struct {
	const char *text;
	int ret;
} serials[] = {
	{ "S1", 0 },
	{ "A serial 20 long abc", 0 },
	{ "A serial 20 long abc\n", 0 },
	{ "with-a-newline\n", 0 },
	{ "A serial of 21 letter", -EINVAL },
	{ "\n", -EINVAL },
	{ " leading", -EINVAL },
	{ "tab\there", -EINVAL },
	{ "bell\a", -EINVAL },
	{ "\xc3\xa4", -EINVAL },
	{ "two\nlines", -EINVAL },
};

TEST_F(closed, serial_numbers)
{
	char got[32];
	struct device dev;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(serials); i++) {
		EXPECT_EQ(serials[i].ret, attribute(suite_device(), "serial",
						    serials[i].text))
			TH_LOG("'%s'", serials[i].text);
		if (serials[i].ret)
			continue;
		ASSERT_RET(0, get_attribute(suite_device(), "serial", got,
					    sizeof(got)));
		EXPECT_EQ(0, strncmp(got, serials[i].text, strlen(got)));
	}
	/* A state below level 3 has no serial number. */
	EXPECT_RET(-EINVAL, set_level(suite_device(), 2));
	EXPECT_RET(0, attribute(suite_device(), "serial", self->serial));
	EXPECT_RET(0, set_level(suite_device(), 2));
	EXPECT_RET(-EOPNOTSUPP, attribute(suite_device(), "serial", "S1"));
	EXPECT_RET(0, set_level(suite_device(), 3));
	ASSERT_RET(0, device_open(&dev, suite_device()));
	EXPECT_RET(-EBUSY, attribute(suite_device(), "serial", "S1"));
	device_close(&dev);
}

/* All that a host can read of the controller, without values that change by themselves */
struct told {
	unsigned char ctrl[4096];
	unsigned char ns[4096];
	unsigned char descs[4096];
	unsigned char effects[4096];
	unsigned char config[256];
	__u64 cap;
	__u32 vs;
	__u32 queues;
};

static int page(struct nvme *nvme, struct nvme_cmd cmd, void *buf,
		unsigned char *to)
{
	int ret;

	cmd.prp1 = guest_iova(nvme->guest, buf);
	memset(buf, 0, GUEST_PAGE);
	ret = nvme_do(nvme, &nvme->admin, &cmd, NULL);
	memcpy(to, buf, GUEST_PAGE);
	return ret;
}

static int read_told(struct nvme *nvme, void *buf, struct told *t)
{
	struct nvme_cmd queues = { ADMIN_GET_FEATURES, .cdw10 = 7 };
	struct region config;
	int ret;

	memset(t, 0, sizeof(*t));
	ret = page(nvme, (struct nvme_cmd){ ADMIN_IDENTIFY, .cdw10 = 1 }, buf, t->ctrl);
	ret = ret ?: page(nvme, (struct nvme_cmd){ ADMIN_IDENTIFY, .nsid = 1 }, buf,
			  t->ns);
	ret = ret ?: page(nvme, (struct nvme_cmd){ ADMIN_IDENTIFY, .nsid = 1,
			  .cdw10 = 3 }, buf, t->descs);
	ret = ret ?: page(nvme, (struct nvme_cmd){ ADMIN_GET_LOG,
			  .cdw10 = 1023 << 16 | 5 }, buf, t->effects);
	ret = ret ?: nvme_do(nvme, &nvme->admin, &queues, &t->queues);
	ret = ret ?: region_read_all(&nvme->bar0, 0, &t->cap, 8);
	ret = ret ?: nvme_read32(nvme, REG_VS, &t->vs);
	ret = ret ?: region_open(&config, nvme->dev, VFIO_PCI_CONFIG_REGION_INDEX);
	ret = ret ?: region_read_all(&config, 0, t->config, 256);
	memset(t->ns + 16, 0, 8);	/* NUSE */
	return ret;
}

FIXTURE(level) {
	struct device dev[2];
	struct v1 v1[2];
	struct guest guest;
	struct nvme nvme;
	void *buf;
	struct told before;
	struct told after;
};

FIXTURE_VARIANT(level) {
	int level;
	const char *there;	/* shadow_doorbells of the source ... */
	const char *here;	/* ... and of the target */
	__u16 oacs;
	__u16 oncs;
	__u16 ocfs;
	__u16 nows;
	__u32 mcl;
	__u16 devctl;		/* value with all bits written */
};

FIXTURE_VARIANT_ADD(level, 1) {
	.level = 1, .there = "Y", .here = "Y", .oncs = 0x9d, .devctl = 0x7bff
};

FIXTURE_VARIANT_ADD(level, 2) {
	.level = 2, .there = "Y", .here = "Y", .oacs = 0x100, .oncs = 0x19d,
	.ocfs = 1, .mcl = 2048, .devctl = 0x7bff
};

FIXTURE_VARIANT_ADD(level, 2_and_the_target_offers_less) {
	.level = 2, .there = "Y", .here = "N", .oacs = 0x100, .oncs = 0x19d,
	.ocfs = 1, .mcl = 2048, .devctl = 0x7bff
};

FIXTURE_VARIANT_ADD(level, 3) {
	.level = 3, .there = "Y", .here = "Y", .oacs = 0x100, .oncs = 0x19d,
	.ocfs = 1, .mcl = 2048, .nows = 7, .devctl = 0x78ff
};

FIXTURE_VARIANT_ADD(level, 3_and_the_target_offers_less) {
	.level = 3, .there = "Y", .here = "N", .oacs = 0x100, .oncs = 0x19d,
	.ocfs = 1, .mcl = 2048, .nows = 7, .devctl = 0x78ff
};

FIXTURE_VARIANT_ADD(level, 3_and_the_target_offers_more) {
	.level = 3, .there = "N", .here = "Y", .oncs = 0x19d, .ocfs = 1,
	.mcl = 2048, .nows = 7, .devctl = 0x78ff
};

FIXTURE_SETUP(level)
{
	const char * const path[] = { suite_device(), suite_device_b() };
	int i;

	ASSERT_RET(0, set_level(path[0], variant->level));
	ASSERT_RET(0, guest_create(&self->guest, 4 << 20));
	ASSERT_RET(0, file_write(PARAMETERS "shadow_doorbells", variant->there));
	for (i = 0; i < 2; i++) {
		fixture_open(_metadata, path[i], &self->dev[i], &self->v1[i]);
		ASSERT_RET(0, guest_attach(&self->guest, &self->dev[i]));
	}
	ASSERT_EQ(0, nvme_start(&self->nvme, &self->dev[0], &self->guest, 1, 16));
	self->buf = guest_alloc(&self->guest, GUEST_PAGE);
}

FIXTURE_TEARDOWN(level)
{
	int i;

	EXPECT_RET(0, file_write(PARAMETERS "shadow_doorbells", "Y"));
	nvme_close(&self->nvme);
	for (i = 0; i < 2; i++)
		fixture_close(&self->dev[i], &self->v1[i]);
	guest_destroy(&self->guest);
	EXPECT_RET(0, set_level(suite_device(), LEVELS));
	EXPECT_RET(0, set_level(suite_device_b(), LEVELS));
}

static __u32 get(const unsigned char *at, int len)
{
	__u32 value = 0;

	memcpy(&value, at, len);
	return value;
}

/* The level determines the offered features. */
TEST_F(level, offers)
{
	unsigned char smart[GUEST_PAGE];
	__u16 control = 0x7fff;
	struct region config;

	ASSERT_EQ(0, read_told(&self->nvme, self->buf, &self->before));
	EXPECT_EQ(variant->oacs, get(self->before.ctrl + 256, 2));
	EXPECT_EQ(variant->oncs, get(self->before.ctrl + 520, 2));
	EXPECT_EQ(variant->ocfs, get(self->before.ctrl + 534, 2));
	EXPECT_EQ(variant->nows, get(self->before.ns + 72, 2));
	EXPECT_EQ(variant->mcl, get(self->before.ns + 76, 4));
	EXPECT_EQ(variant->oacs >> 8, get(self->before.effects + 4 * 0x7c, 1));
	EXPECT_EQ(variant->ocfs, get(self->before.effects + 1024 + 4 * 0x19, 1) & 1);
	ASSERT_RET(0, region_open(&config, &self->dev[0],
				  VFIO_PCI_CONFIG_REGION_INDEX));
	ASSERT_RET(0, region_write_all(&config, 0x68, &control, 2));
	ASSERT_RET(0, region_read_all(&config, 0x68, &control, 2));
	EXPECT_EQ(variant->devctl, control);
	/* This program has opened the device more than once. Only level 3 counts. */
	ASSERT_EQ(0, page(&self->nvme, (struct nvme_cmd){ ADMIN_GET_LOG, .nsid = ~0U,
			  .cdw10 = 127 << 16 | 2 }, self->buf, smart));
	EXPECT_EQ(variant->level >= 3, get(smart + 112, 4) > 1)
		TH_LOG("%u power cycles", get(smart + 112, 4));
}

/* Returns 0 if the controller has the features that it reports. */
static int keeps_its_word(struct nvme *nvme, const struct told *t, void *buf)
{
	struct nvme_cmd copy = {
		NVME_OP_COPY, .nsid = 1, .cdw10 = 8,
		.prp1 = guest_iova(nvme->guest, buf),
	};
	int ret;

	memset(buf, 0, GUEST_PAGE);
	ret = nvme_do(nvme, &nvme->io[0], &copy, NULL) & ST_CODE;
	if (ret != (t->ctrl[521] & 1 ? 0 : ST_INVALID_OPCODE))
		return ret ?: -1;
	ret = nvme_dbbuf(nvme) & ST_CODE;
	if (ret != (t->ctrl[257] & 1 ? 0 : ST_INVALID_OPCODE))
		return ret ?: -1;
	return nvme_flush(nvme);
}

/* Returns the version in the header, which is the payload of the first chunk. */
static int version_of(const struct buffer *s)
{
	const struct header_payload *h = (void *)(s->data + sizeof(struct chunk_hdr));

	return le32toh(h->control_version);
}

TEST_F(level, goes_with_the_guest_and_back)
{
	struct buffer s = { 0 };
	int i;

	ASSERT_EQ(0, read_told(&self->nvme, self->buf, &self->before));
	/* There and back. The parameter is that of the host with the guest. */
	for (i = 0; i < 2; i++) {
		ASSERT_RET(0, file_write(PARAMETERS "shadow_doorbells",
					 i ? variant->here : variant->there));
		s.len = 0;
		ASSERT_RET(0, v1_save(&self->v1[i], &s));
		EXPECT_EQ(variant->level, version_of(&s));
		ASSERT_RET(0, file_write(PARAMETERS "shadow_doorbells",
					 i ? variant->there : variant->here));
		ASSERT_RET(0, v1_load(&self->v1[!i], &s, 0));
		ASSERT_RET(0, v1_set_state(&self->v1[i], V1_STOPPED));
		ASSERT_RET(0, v1_set_state(&self->v1[!i], V1_RUNNING));
		ASSERT_EQ(0, nvme_adopt(&self->nvme, &self->dev[!i]));
		EXPECT_EQ(variant->level, number(i ? suite_device() :
						 suite_device_b(), "level"));
		ASSERT_EQ(0, read_told(&self->nvme, self->buf, &self->after));
		EXPECT_EQ(0, memcmp(&self->before, &self->after,
				    sizeof(self->before)));
	}
	buffer_free(&s);
	EXPECT_EQ(0, keeps_its_word(&self->nvme, &self->after, self->buf));
}

FIXTURE(serial) {
	struct device dev[2];
	struct v1 v1[2];
	struct guest guest;
	struct nvme nvme;
	char old[2][32];
};

FIXTURE_SETUP(serial)
{
	const char * const path[] = { suite_device(), suite_device_b() };
	int i;

	ASSERT_RET(0, guest_create(&self->guest, 4 << 20));
	for (i = 0; i < 2; i++)
		ASSERT_RET(0, get_attribute(path[i], "serial", self->old[i], 32));
	ASSERT_RET(0, attribute(path[0], "serial", "the administrator's"));
	for (i = 0; i < 2; i++) {
		fixture_open(_metadata, path[i], &self->dev[i], &self->v1[i]);
		ASSERT_RET(0, guest_attach(&self->guest, &self->dev[i]));
	}
	ASSERT_EQ(0, nvme_start(&self->nvme, &self->dev[0], &self->guest, 1, 16));
}

FIXTURE_TEARDOWN(serial)
{
	int i;

	nvme_close(&self->nvme);
	for (i = 0; i < 2; i++)
		fixture_close(&self->dev[i], &self->v1[i]);
	guest_destroy(&self->guest);
	EXPECT_RET(0, attribute(suite_device(), "serial", self->old[0]));
	EXPECT_RET(0, attribute(suite_device_b(), "serial", self->old[1]));
}

TEST_F(serial, is_the_guests_on_both_sides)
{
	void *buf = guest_alloc(&self->guest, GUEST_PAGE);
	unsigned char id[GUEST_PAGE];
	struct buffer s = { 0 };
	char text[32];

	ASSERT_EQ(0, page(&self->nvme, (struct nvme_cmd){ ADMIN_IDENTIFY,
			  .cdw10 = 1 }, buf, id));
	EXPECT_EQ(0, memcmp(id + 4, "the administrator's ", 20));
	ASSERT_RET(0, v1_save(&self->v1[0], &s));
	ASSERT_RET(0, v1_load(&self->v1[1], &s, 0));
	ASSERT_RET(0, v1_set_state(&self->v1[1], V1_RUNNING));
	buffer_free(&s);
	ASSERT_EQ(0, nvme_adopt(&self->nvme, &self->dev[1]));
	ASSERT_EQ(0, page(&self->nvme, (struct nvme_cmd){ ADMIN_IDENTIFY,
			  .cdw10 = 1 }, buf, id));
	EXPECT_EQ(0, memcmp(id + 4, "the administrator's ", 20));
	ASSERT_RET(0, get_attribute(suite_device_b(), "serial", text, 32));
	EXPECT_EQ(0, strcmp("the administrator's", text));
}

/* The state of another driver, with the guest of lib/recorded.c */
FIXTURE(file) {
	struct device dev[2];
	struct v1 v1[2];
	struct guest guest;
	struct recorded r;
	struct buffer s;
};

FIXTURE_VARIANT(file) {
	const char *name;
	int level;
};

FIXTURE_VARIANT_ADD(file, level_1) { .name = "mnvme-level-1", .level = 1 };
FIXTURE_VARIANT_ADD(file, level_2) { .name = "mnvme-level-2", .level = 2 };
FIXTURE_VARIANT_ADD(file, level_3) { .name = "mnvme-level-3", .level = 3 };

static int read_file(const char *name, struct buffer *s)
{
	char path[PATH_MAX + 64];
	unsigned char part[4096];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", streams, name);
	f = fopen(path, "r");
	if (!f)
		return -errno;
	while ((n = fread(part, 1, sizeof(part), f)))
		buffer_append(s, part, n);
	fclose(f);
	return 0;
}

FIXTURE_SETUP(file)
{
	const char * const path[] = { suite_device(), suite_device_b() };
	int i;

	ASSERT_RET_FOR(0, read_file(variant->name, &self->s), "%s/%s", streams,
		       variant->name);
	ASSERT_RET(0, guest_create(&self->guest, RECORDED_MEMORY));
	ASSERT_RET(0, set_level(path[0], variant->level));
	for (i = 0; i < 2; i++) {
		fixture_open(_metadata, path[i], &self->dev[i], &self->v1[i]);
		ASSERT_RET(0, guest_attach(&self->guest, &self->dev[i]));
	}
	/* The guest's memory at the time of the recording */
	ASSERT_EQ(0, recorded_drive(&self->r, &self->dev[0], &self->guest,
				    variant->level));
	ASSERT_RET(0, v1_set_state(&self->v1[0], V1_STOPPED));
}

FIXTURE_TEARDOWN(file)
{
	int i;

	nvme_close(&self->r.nvme);
	for (i = 0; i < 2; i++)
		fixture_close(&self->dev[i], &self->v1[i]);
	guest_destroy(&self->guest);
	buffer_free(&self->s);
	EXPECT_RET(0, set_level(suite_device(), LEVELS));
	EXPECT_RET(0, set_level(suite_device_b(), LEVELS));
}

static int get_feature(struct nvme *nvme, __u32 fid, __u32 *value)
{
	struct nvme_cmd cmd = { ADMIN_GET_FEATURES, .cdw10 = fid };

	return nvme_do(nvme, &nvme->admin, &cmd, value);
}

TEST_F(file, loads_and_the_guest_goes_on)
{
	struct nvme *nvme = &self->r.nvme;
	struct nvme_cqe cqe;
	struct buffer again = { 0 };
	__u32 value;

	EXPECT_EQ(variant->level, version_of(&self->s));
	ASSERT_RET(0, v1_load(&self->v1[1], &self->s, 0));
	/* A save after the load writes the same state. */
	ASSERT_RET(0, v1_set_state(&self->v1[1], V1_STOPPED));
	ASSERT_RET(0, v1_save(&self->v1[1], &again));
	EXPECT_EQ(variant->level, version_of(&again));
	ASSERT_RET(0, v1_set_state(&self->v1[1], V1_STOPPED));
	buffer_free(&again);
	ASSERT_RET(0, v1_set_state(&self->v1[1], V1_RUNNING));
	ASSERT_EQ(0, nvme_adopt(nvme, &self->dev[1]));
	EXPECT_EQ(variant->level, number(suite_device_b(), "level"));

	EXPECT_EQ(0, nvme_flush(nvme));
	memset(self->r.buf, 0, RECORDED_BLOCKS * 512);
	ASSERT_EQ(0, nvme_io(nvme, NVME_OP_READ, RECORDED_LBA, RECORDED_BLOCKS,
			     self->r.buf));
	EXPECT_EQ(-1, pattern_check(nvme, self->r.buf, RECORDED_LBA,
				    RECORDED_BLOCKS, RECORDED_WHEN));
	EXPECT_EQ(0, get_feature(nvme, 1, &value));
	EXPECT_EQ(0x03020103, value);
	EXPECT_EQ(0, get_feature(nvme, 4, &value));
	EXPECT_EQ(0x1f0, value);
	/* The request has been outstanding since the recording. */
	ASSERT_RET(0, nvme_write32(nvme, DOORBELLS + 2 * nvme->doorbell_stride,
				   0x40));
	ASSERT_RET(0, nvme_wait(nvme, &nvme->admin, &cqe));
	EXPECT_EQ(self->r.event, cqe.cid);
}

int main(int argc, char **argv)
{
	char here[PATH_MAX];

	suite_init(argc, argv, SUITE_WINDOW_KIB);
	suite_need_v1();
	suite_need_b();
	suite_need_mnvme();
	if (readlink("/proc/self/exe", here, sizeof(here) - 1) > 0)
		snprintf(streams, sizeof(streams), "%s/streams", dirname(here));
	SUITE_RUN(argv);
}
