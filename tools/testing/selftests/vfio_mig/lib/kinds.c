// SPDX-License-Identifier: GPL-2.0-only
/* One device of each kind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "kind.h"
#include "kselftest.h"
#include "mdev.h"
#include "suite.h"

static const struct {
	const char *name;
	const char *parent;
	const char *type;
} made[] = {
	{ "mnvme", "mnvme", "64M" },
	{ "mscratch", "mscratch", "64M" },
	{ "intx", "mscratch", "intx" },
};

static struct mdev mdevs[ARRAY_SIZE(made)];
static struct kind kinds[ARRAY_SIZE(made)];
static unsigned int nr_kinds;

const struct kind *kinds_get(unsigned int i)
{
	return i < nr_kinds ? &kinds[i] : NULL;
}

/* A device that cannot be opened counts as one of them, so that the tests fail. */
static int asked(const char *path, int (*has)(struct device *dev))
{
	struct device dev;
	int ret;

	if (!has || device_missing(path) || device_open(&dev, path))
		return 1;
	ret = has(&dev);
	device_close(&dev);
	return ret;
}

static void add(const char *name, const char *path,
		int (*has)(struct device *dev))
{
	if (asked(path, has))
		kinds[nr_kinds++] = (struct kind) { name, path };
}

static void create(int (*has)(struct device *dev))
{
	unsigned int i;
	char load[64];
	int ret;

	mdev_init();
	atexit(mdev_sweep);
	for (i = 0; i < ARRAY_SIZE(made); i++) {
		snprintf(load, sizeof(load), "modprobe -q %s 2>/dev/null",
			 made[i].parent);
		if (system(load))
			ksft_print_msg("%s did not succeed\n", load);
		ret = mdev_create(&mdevs[i], made[i].parent, made[i].type);
		if (ret)
			ksft_print_msg("not tested: no %s device of the type %s: %s\n",
				       made[i].parent, made[i].type, strerror(-ret));
		else
			add(made[i].name, mdevs[i].path, has);
	}
}

/* Called before the harness runs. Skips all tests if there is no device. */
void kinds_init(int argc, char **argv, int (*has)(struct device *dev))
{
	const char *given = argc > 1 ? argv[1] : getenv("VFIO_MIG_DEVICE");

	if (given)
		add("given", given, has);
	else
		create(has);
	if (nr_kinds)
		return suite_need_opener(kinds[0].path);
	ksft_print_header();
	ksft_exit_skip("no VFIO_MIG_DEVICE, and no device of a kind that this is about\n");
}
