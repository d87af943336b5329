// SPDX-License-Identifier: GPL-2.0-only
/* The fault knobs of vfio-mig-core. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "kselftest.h"
#include "file.h"
#include "knob.h"

#define DEBUGFS	"/sys/kernel/debug"
#define PATH_SIZE	(PATH_MAX + 64)

static void knob_path(char path[PATH_SIZE], const char *device,
		      const char *name)
{
	const char *last = strrchr(device, '/');

	snprintf(path, PATH_SIZE, DEBUGFS "/vfio_mig/%s/%s",
		 last ? last + 1 : device, name);
}

/* Returns whether the device at this sysfs path has knobs. Mounts debugfs if necessary. */
int knob_there(const char *device)
{
	char path[PATH_SIZE];

	knob_path(path, device, "arcs");
	if (!access(path, W_OK))
		return 1;
	mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	return !access(path, W_OK);
}

int knob_set(const struct device *dev, const char *name, const char *fmt, ...)
{
	char path[PATH_SIZE], text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	knob_path(path, dev->path, name);
	return file_write(path, text);
}

int knob_get(const struct device *dev, const char *name, char *text,
	     size_t room)
{
	char path[PATH_SIZE];

	knob_path(path, dev->path, name);
	return file_read(path, text, room);
}

int knob_all_off(const struct device *dev)
{
	static const char * const names[] = {
		"arcs", "chunk", "bandwidth", "pending", "data_size",
		"dirty_rate", "stop", "run", "reinit",
	};
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < ARRAY_SIZE(names); i++)
		ret = knob_set(dev, names[i], "off");
	return ret;
}
