// SPDX-License-Identifier: GPL-2.0-only
/* Devices of vfio_mig_test: their image, and fault injection into their driver */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"
#include "kselftest.h"
#include "suite.h"
#include "testdev.h"

#define PARENT	"vfio_mig_test"
#define DEBUGFS	"/sys/kernel/debug"

#define REG_IMAGE	16	/* seed and size, in BAR0 */

/* Called before the harness runs. Skips all tests if there is no such device. */
void testdev_init(void)
{
	if (system("modprobe -q " PARENT " 2>/dev/null"))
		ksft_print_msg("modprobe " PARENT " did not succeed\n");
	if (access(DEBUGFS "/" PARENT, F_OK))
		mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	mdev_init();
	atexit(mdev_sweep);
	if (!access(DEBUGFS "/" PARENT, F_OK))
		return;
	ksft_print_header();
	ksft_exit_skip("the module " PARENT " is not loaded\n");
}

/* Creates a device with a small data section, so that a save takes several iterations. */
int testdev_create(struct mdev *mdev, const char *type)
{
	long window = mdev_window_kib(SUITE_WINDOW_KIB);
	int ret = mdev_create(mdev, PARENT, type);

	mdev_window_kib(window);
	return ret;
}

int testdev_open(struct testdev *t, const struct mdev *mdev)
{
	int ret = endpoint_open(&t->end, mdev->path);

	if (ret)
		return ret;
	ret = region_open(&t->bar, &t->end.dev, VFIO_PCI_BAR0_REGION_INDEX);
	if (ret)
		endpoint_close(&t->end);
	return ret;
}

void testdev_close(struct testdev *t)
{
	endpoint_close(&t->end);
}

int testdev_set_image(struct testdev *t, __u64 seed, __u64 size)
{
	__le64 regs[2] = { htole64(seed), htole64(size) };
	int ret;

	ret = region_write_all(&t->bar, REG_IMAGE, &regs[0], 8);
	return ret ? ret : region_write_all(&t->bar, REG_IMAGE + 8, &regs[1], 8);
}

int testdev_image(struct testdev *t, struct testdev_image *image)
{
	__le64 regs[2];
	int ret;

	ret = region_read_all(&t->bar, REG_IMAGE, &regs[0], 8);
	if (!ret)
		ret = region_read_all(&t->bar, REG_IMAGE + 8, &regs[1], 8);
	image->seed = le64toh(regs[0]);
	image->size = le64toh(regs[1]);
	return ret;
}

static int knob(const struct mdev *mdev, const char *name, const char *set, char *get,
		size_t room)
{
	char path[256];

	snprintf(path, sizeof(path), DEBUGFS "/" PARENT "/%s/%s", mdev->uuid, name);
	return set ? file_write(path, set) : file_read(path, get, room);
}

int testdev_fault(const struct mdev *mdev, const char *line)
{
	return knob(mdev, "fault", line, NULL, 0);
}

/* Returns whether a callback waits now or within @seconds. */
int testdev_waits(const struct mdev *mdev, double seconds)
{
	double end = clock_now() + seconds;
	char text[128];

	do {
		if (!knob(mdev, "fault", NULL, text, sizeof(text)) &&
		    strstr(text, "waiting"))
			return 1;
		usleep(10000);
	} while (clock_now() < end);
	return 0;
}

/* Returns how often the library called a callback, or a negative errno. */
long testdev_calls(const struct mdev *mdev, const char *callback)
{
	char text[1024], name[32], *line, *next;
	long calls;
	int ret;

	ret = knob(mdev, "calls", NULL, text, sizeof(text));
	if (ret)
		return ret;
	for (line = text; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			next++;
		if (sscanf(line, "%31s %ld", name, &calls) == 2 && !strcmp(name, callback))
			return calls;
	}
	return -ENOENT;
}

/* Returns whether the library stopped the device last for this reason. */
int testdev_stop_reason(const struct mdev *mdev, const char *reason)
{
	char text[64];

	if (knob(mdev, "stop_reason", NULL, text, sizeof(text)))
		return 0;
	text[strcspn(text, "\n")] = 0;
	return !strcmp(text, reason);
}

/* Returns whether each save and each load that has begun has ended. */
int testdev_idle(const struct mdev *mdev)
{
	char text[64];

	return !knob(mdev, "open", NULL, text, sizeof(text)) && !strncmp(text, "0 0", 3);
}
