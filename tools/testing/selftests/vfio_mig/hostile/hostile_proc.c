// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads /proc and calls the system calls of memory management for each kind of mapping of a
 * device, before, in and after each kind of session. All figures must be plausible, and no
 * file may contain a kernel address.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/endpoint.h"
#include "lib/fill.h"
#include "lib/fixture.h"
#include "lib/mdev.h"
#include "lib/poke.h"

#define SIZE		(256UL << 10)	/* of a mapping */
#define ADDRESS_BITS	47		/* of user space; no figure is so large */

static struct mdev scratch[1];

/**
 * struct subject - a device with a mapping
 * @end: the device
 * @guest: memory that filled it
 * @map: the mapping
 * @size: size of the mapping
 */
struct subject {
	struct endpoint end;
	struct guest guest;
	unsigned char *map;
	size_t size;
};

FIXTURE(proc) {
	struct subject s;
};

FIXTURE_VARIANT(proc) {
	bool bar;	/* mscratch's BAR2, else mnvme's data section */
};

FIXTURE_VARIANT_ADD(proc, window) { .bar = false };
FIXTURE_VARIANT_ADD(proc, bar) { .bar = true };

static int map_it(struct subject *s, bool bar)
{
	struct region r;
	void *map;
	int ret;

	if (!bar) {
		ret = v1_map(&s->end.v1);
		s->map = s->end.v1.map;
		s->size = s->end.v1.window;
		return ret;
	}
	ret = region_open(&r, &s->end.dev, VFIO_PCI_BAR2_REGION_INDEX);
	if (!ret)
		ret = region_mmap(&r, 0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, &map);
	s->map = map;
	s->size = SIZE;
	return ret;
}

FIXTURE_SETUP(proc)
{
	struct subject *s = &self->s;

	memset(s, 0, sizeof(*s));
	if (variant->bar && !scratch[0].path[0])
		return;
	ASSERT_RET(0, endpoint_open(&s->end, variant->bar ? scratch[0].path :
							   suite_device()));
	if (!variant->bar)
		ASSERT_EQ(0, fill_device(&s->end.dev, &s->guest));
	ASSERT_RET(0, map_it(s, variant->bar));
}

FIXTURE_TEARDOWN(proc)
{
	struct subject *s = &self->s;

	if (!s->map)
		return;
	if (variant->bar)
		munmap(s->map, s->size);
	endpoint_close(&s->end);
	guest_destroy(&s->guest);
}

/* Checks a figure in kB of a mapping. Each page counts once at the most. */
static void check_figure(struct __test_metadata *_metadata, const char *line,
			 size_t bytes, const char *when)
{
	const char *value = strchr(line, ':');
	unsigned long long kb;
	char unit[4] = "";

	if (!value || sscanf(value + 1, "%llu %3s", &kb, unit) != 2 || strcmp(unit, "kB"))
		return;
	EXPECT_GE(bytes / 1024, kb)
		TH_LOG("%s, of %zu kB, %s", line, bytes / 1024, when);
}

/* Returns the start of the mapping that the next lines describe, or 0. */
static unsigned long start_of(const char *line)
{
	unsigned long start, end;

	return sscanf(line, "%lx-%lx", &start, &end) == 2 ? start : 0;
}

/* An earlier operation may have split the mapping. */
static bool is_inside(const struct subject *s, unsigned long at)
{
	return at - (unsigned long)s->map < s->size;
}

/* Checks the lines of the mapping. A kernel address would be a figure that is too large. */
static void check_smaps(struct __test_metadata *_metadata, struct subject *s,
			const char *when)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long start, at = 0;
	char line[512];
	int lines = 0;

	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		start = start_of(line);
		if (start)
			at = start;
		if (start || !is_inside(s, at))
			continue;
		check_figure(_metadata, line, s->size, when);
		lines++;
	}
	fclose(f);
	EXPECT_LT(10, lines)
		TH_LOG("smaps has %d lines of the mapping, %s", lines, when);
}

/* Checks the totals. No machine has memory that needs more bits. */
static void check_rollup(struct __test_metadata *_metadata, const char *when)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[512];
	int lines = 0;

	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		check_figure(_metadata, line, 1UL << ADDRESS_BITS, when);
		lines++;
	}
	fclose(f);
	EXPECT_LT(10, lines);
}

/* Reads a file to its end. Returns the number of bytes. */
static ssize_t read_all(const char *path)
{
	char buf[16384];
	ssize_t ret, sum = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while ((ret = read(fd, buf, sizeof(buf))) > 0)
		sum += ret;
	close(fd);
	return ret < 0 ? -errno : sum;
}

/* A page of a device is no swap entry, whatever its frame number is. */
static void check_pagemap(struct __test_metadata *_metadata, struct subject *s,
			  const char *when)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	__u64 entry;
	size_t at;

	ASSERT_LE(0, fd);
	for (at = 0; at < s->size; at += GUEST_PAGE) {
		ASSERT_EQ(sizeof(entry),
			  pread(fd, &entry, sizeof(entry),
				((unsigned long)s->map + at) / GUEST_PAGE * sizeof(entry)));
		EXPECT_FALSE(entry >> 62 & 1)
			TH_LOG("page %zu is said to be swapped, %s", at / GUEST_PAGE,
			       when);
	}
	close(fd);
}

/* Each file shows the mapping, and cannot be used to open the device again. */
static void check_map_files(struct __test_metadata *_metadata, struct subject *s,
			    const char *when)
{
	char target[256] = "";
	struct dirent *entry;
	int parts = 0, dir;
	DIR *d;

	d = opendir("/proc/self/map_files");
	ASSERT_NE(NULL, d);
	dir = dirfd(d);
	while ((entry = readdir(d))) {
		if (!is_inside(s, start_of(entry->d_name)))
			continue;
		EXPECT_LT(0, readlinkat(dir, entry->d_name, target, sizeof(target)))
			TH_LOG("%s, %s", entry->d_name, when);
		EXPECT_GT(0, openat(dir, entry->d_name, O_RDWR | O_CLOEXEC));
		parts++;
	}
	closedir(d);
	EXPECT_LT(0, parts)
		TH_LOG("map_files lacks the mapping, %s", when);
}

static void check_clear_refs(struct __test_metadata *_metadata)
{
	static const char what[] = "1234";
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC), i;

	ASSERT_LE(0, fd);
	for (i = 0; i < 4; i++)
		if (write(fd, what + i, 1) != 1)
			EXPECT_EQ(EINVAL, errno);
	close(fd);
}

/* System calls that walk a mapping. The kernel may refuse them. */
static void walk(struct subject *s)
{
	static const int advice[] = {
		MADV_NORMAL, MADV_WILLNEED, MADV_DONTNEED, MADV_COLD, MADV_PAGEOUT,
		MADV_FREE, MADV_REMOVE, MADV_HUGEPAGE, MADV_MERGEABLE,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE,
	};
	static unsigned char resident[1 << 12];
	unsigned int i;
	void *copy;

	mincore(s->map, s->size, resident);
	for (i = 0; i < ARRAY_SIZE(advice); i++)
		madvise(s->map, s->size, advice[i]);
	mprotect(s->map, GUEST_PAGE, PROT_READ);
	mprotect(s->map, GUEST_PAGE, PROT_READ | PROT_WRITE);
	mlock(s->map, s->size);
	munlock(s->map, s->size);
	msync(s->map, s->size, MS_SYNC);
	/*
	 * A larger mapping must not show data behind the old one. A shrunk mapping is as
	 * before.
	 */
	if (mremap(s->map, s->size, s->size + GUEST_PAGE, 0) == s->map)
		mremap(s->map, s->size + GUEST_PAGE, s->size, 0);
	/* Maps the same pages a second time, if the kernel permits it. */
	copy = mremap(s->map, 0, s->size, MREMAP_MAYMOVE);
	if (copy != MAP_FAILED)
		munmap(copy, s->size);
}

static void touch(struct subject *s)
{
	unsigned char byte;
	size_t at;

	for (at = 0; at < s->size; at += GUEST_PAGE) {
		poke_load(s->map + at, &byte);
		poke_store(s->map + at, byte);
	}
}

/* Checks the mapping as it is, with all of its pages, and after all operations. */
static void look(struct __test_metadata *_metadata, struct subject *s, const char *when)
{
	int i;

	for (i = 0; i < 3; i++) {
		check_smaps(_metadata, s, when);
		check_rollup(_metadata, when);
		check_pagemap(_metadata, s, when);
		check_map_files(_metadata, s, when);
		check_clear_refs(_metadata);
		EXPECT_LT(0, read_all("/proc/self/maps"));
		if (!access("/proc/self/numa_maps", R_OK))
			EXPECT_LT(0, read_all("/proc/self/numa_maps"));
		if (!i)
			touch(s);
		else
			walk(s);
	}
}

static void look_at_v1(struct __test_metadata *_metadata, struct subject *s)
{
	static const __u32 sessions[] = { V1_PRE_COPY, V1_STOP_COPY, V1_RESUMING };
	struct v1 *v1 = &s->end.v1;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sessions); i++) {
		ASSERT_RET(0, v1_set_state(v1, sessions[i]));
		look(_metadata, s, v1_state_name(sessions[i]));
		if (sessions[i] != V1_RESUMING) {
			ASSERT_LE(0, v1_open_iteration(v1));
			look(_metadata, s, "in an iteration");
		}
		ASSERT_RET(0, device_reset(&s->end.dev));
		look(_metadata, s, "after a session of v1");
	}
}

static void look_at_v2(struct __test_metadata *_metadata, struct subject *s)
{
	static const __u32 sessions[] = { V2_PRE_COPY, V2_STOP_COPY, V2_RESUMING };
	struct v2 *v2 = &s->end.v2;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sessions); i++) {
		if (!s->end.has_v2 || !v2_has(v2, sessions[i]))
			continue;
		ASSERT_RET(0, v2_set_state(v2, sessions[i]));
		look(_metadata, s, v2_state_name(sessions[i]));
		ASSERT_RET(0, device_reset(&s->end.dev));
		look(_metadata, s, "after a session of v2");
	}
}

TEST_F_TIMEOUT(proc, knows_a_mapping_for_what_it_is, 120)
{
	struct subject *s = &self->s;

	if (!s->map)
		SKIP(return, "there is no mscratch");
	look(_metadata, s, "before any session");
	look_at_v1(_metadata, s);
	look_at_v2(_metadata, s);
	/* The device is closed, and the mapping stays. */
	s->end.v1.map = NULL;
	endpoint_close(&s->end);
	look(_metadata, s, "after the device was closed");
	munmap(s->map, s->size);
	s->map = NULL;
}

static void need_all(void)
{
	suite_need_nvme();
	suite_need_mnvme();
	if (system("modprobe -q mscratch") ||
	    mdev_create(&scratch[0], "mscratch", "64M"))
		ksft_print_msg("there is no mscratch\n");
}

SUITE_MAIN(need_all())
