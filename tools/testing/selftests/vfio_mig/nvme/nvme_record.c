// SPDX-License-Identifier: GPL-2.0-only
/*
 * Not a test: saves the state of an mnvme device in use in a file, for drivers of other
 * versions.
 *
 *   nvme_record save v1|v2 LEVEL FILE	write the state of lib/recorded.c's guest
 *   nvme_record check v1|v2 LEVEL FILE	load it, continue as the guest, and verify
 *
 * The last driver of each level wrote its file in streams/ once. The exit status is 0, 1 with
 * a message that names the error, or 3 if the first chunk was refused.
 */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/errname.h"
#include "lib/file.h"
#include "lib/recorded.h"
#include "lib/stream.h"
#include "lib/suite.h"
#include "lib/v1.h"
#include "lib/v2.h"

#define HEADER	(sizeof(struct chunk_hdr) + sizeof(struct header_payload))

struct side {
	struct device dev;
	struct v1 v1;
	struct v2 v2;
};

static struct side source, target;
static struct guest guest;
static struct recorded r;
static struct buffer s;
static bool use_v2;

static int side_open(struct side *side, const char *path)
{
	int ret = device_open(&side->dev, path);

	ret = ret ?: v1_open(&side->v1, &side->dev);
	if (use_v2)
		ret = ret ?: v2_open(&side->v2, &side->dev);
	return ret ?: guest_attach(&guest, &side->dev);
}

static int save(const char *path)
{
	FILE *f;
	int ret;

	ret = use_v2 ? v2_save(&source.v2, &s, 0) : v1_save(&source.v1, &s);
	if (ret)
		return ret;
	f = fopen(path, "w");
	if (!f)
		return -errno;
	if (fwrite(s.data, 1, s.len, f) != s.len)
		ret = -EIO;
	return fclose(f) ? -errno : ret;
}

static int read_file(const char *path)
{
	unsigned char part[4096];
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f)
		return -errno;
	while ((n = fread(part, 1, sizeof(part), f)))
		buffer_append(&s, part, n);
	fclose(f);
	return 0;
}

static int feed(size_t from, size_t to)
{
	if (use_v2)
		return v2_feed(&target.v2, s.data + from, to - from, 0);
	return v1_feed(&target.v1, s.data + from, to - from, 0);
}

/* Loads the header alone, because an incompatible driver must refuse it. */
static int load_header(void)
{
	int ret;

	ret = use_v2 ? v2_set_state(&target.v2, V2_RESUMING) :
		       v1_set_state(&target.v1, V1_RESUMING);
	return ret ?: feed(0, HEADER);
}

static int load_rest(void)
{
	int ret = feed(HEADER, s.len);

	if (ret)
		return ret;
	return use_v2 ? v2_set_state(&target.v2, V2_RUNNING) :
			v1_set_state(&target.v1, V1_RUNNING);
}

/* Returns whether the guest can use the features that it has read: Copy and shadow doorbells. */
static int use_offers(struct nvme *nvme, int level)
{
	struct nvme_cmd copy = {
		.opcode = NVME_OP_COPY, .nsid = 1, .cdw10 = 8,
		.prp1 = guest_iova(nvme->guest, r.buf),
	};
	int ret = 0;

	memset(r.buf, 0, GUEST_PAGE);
	if (level >= 2)
		ret = nvme_do(nvme, &nvme->io[0], &copy, NULL);
	return ret ?: level >= 2 ? nvme_dbbuf(nvme) : 0;
}

/* From now on only the target uses the guest's memory. */
static int stop_source(void)
{
	return use_v2 ? v2_set_state(&source.v2, V2_STOP) :
			v1_set_state(&source.v1, V1_STOPPED);
}

static int check(int level)
{
	struct nvme *nvme = &r.nvme;
	int ret, i;

	ret = stop_source();
	ret = ret ?: load_rest();
	ret = ret ?: nvme_adopt(nvme, &target.dev);
	if (ret)
		return ret;
	for (i = 0; !ret && i < 50; i++)
		ret = nvme_flush(nvme);
	memset(r.buf, 0, RECORDED_BLOCKS * nvme->lba_size);
	ret = ret ?: nvme_io(nvme, NVME_OP_READ, RECORDED_LBA, RECORDED_BLOCKS, r.buf);
	if (ret)
		return ret;
	if (pattern_check(nvme, r.buf, RECORDED_LBA, RECORDED_BLOCKS,
			  RECORDED_WHEN) >= 0)
		return -EILSEQ;
	return use_offers(nvme, level);
}

/*
 * The guest's memory must be the same as with a device of this level, because the device
 * writes the doorbells of its admin queue there from level 3 on. An older driver has one
 * level and no attribute.
 */
static int set_level(const char *device, int level)
{
	char path[PATH_MAX], text[16];
	int ret;

	snprintf(path, sizeof(path), "%s/level", device);
	snprintf(text, sizeof(text), "%d\n", level);
	ret = file_write(path, text);
	return ret == -ENOENT ? 0 : ret;
}

static int set_up(int level)
{
	int ret;

	ret = set_level(suite_device(), level);
	ret = ret ?: guest_create(&guest, RECORDED_MEMORY);
	ret = ret ?: side_open(&source, suite_device());
	ret = ret ?: side_open(&target, suite_device_b());
	return ret ?: recorded_drive(&r, &source.dev, &guest, level);
}

/* Called before the mdevs are removed, because the removal waits for the close. */
static void close_all(void)
{
	nvme_close(&r.nvme);
	v1_close(&source.v1);
	v1_close(&target.v1);
	if (use_v2) {
		v2_close(&source.v2);
		v2_close(&target.v2);
	}
	device_close(&source.dev);
	device_close(&target.dev);
}

int main(int argc, char **argv)
{
	bool checks;
	int ret, level;

	if (argc != 5) {
		fprintf(stderr, "usage: nvme_record save|check v1|v2 LEVEL FILE\n");
		return 2;
	}
	checks = !strcmp(argv[1], "check");
	use_v2 = !strcmp(argv[2], "v2");
	level = atoi(argv[3]);
	suite_init(1, argv, SUITE_WINDOW_KIB);
	ret = checks ? read_file(argv[4]) : 0;
	ret = ret ?: set_up(level);
	if (checks && !ret) {
		ret = load_header();
		if (ret) {
			printf("%s: refused by the first chunk: %s\n", argv[4],
			       errname(ret));
			close_all();
			return 3;
		}
	}
	ret = ret ?: checks ? check(level) : save(argv[4]);
	printf("%s, %s, level %d, %s: %s\n", argv[1], argv[2], level, argv[4],
	       ret > 0 ? "a command failed" : ret ? errname(ret) : "good");
	close_all();
	return ret ? 1 : 0;
}
