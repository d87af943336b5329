// SPDX-License-Identifier: GPL-2.0-only
/* Finds and opens a device that can be migrated. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migdev.h"

static bool has_file(const struct migdev *m, const char *name)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", m->path, name);
	return !access(path, F_OK);
}

/* The directory of every device in sysfs has these two files. */
static bool is_device(const struct migdev *m)
{
	return has_file(m, "subsystem") && has_file(m, "uevent");
}

static int set_path(struct migdev *m, const char *place, const char *name)
{
	int len = snprintf(m->path, sizeof(m->path), "%s%s", place, name);

	return len < (int)sizeof(m->path) ? 0 : -ENAMETOOLONG;
}

/* Finds an mdev by its UUID, or a PCI function by its address. sysfs has both in lower case. */
static bool find_by_name(struct migdev *m, const char *name)
{
	static const char * const places[] = {
		"/sys/bus/mdev/devices/", "/sys/bus/pci/devices/",
		"/sys/bus/pci/devices/0000:",
	};
	char *c;
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(*places); i++) {
		if (set_path(m, places[i], name))
			return false;
		for (c = m->path + strlen(places[i]); *c; c++)
			*c = tolower((unsigned char)*c);
		if (is_device(m))
			return true;
	}
	return false;
}

/* Checks VFIO_MIG_OPEN. The code that opens devices reads it, too, but cannot report an error. */
static int check_environment(void)
{
	const char *way = getenv("VFIO_MIG_OPEN");

	if (!way || !strcmp(way, "group") || !strcmp(way, "cdev"))
		return EXIT_OK;
	return usage("VFIO_MIG_OPEN is \"%s\": there are group and cdev", way);
}

/* Finds a device by its path in sysfs, an mdev's UUID, or a PCI address. Returns an exit code. */
int migdev_find(struct migdev *m, const char *name)
{
	int ret = check_environment();

	if (ret)
		return ret;
	memset(m, 0, sizeof(*m));
	m->name = name;
	m->dev.fd = -1;
	if (!strchr(name, '/'))
		return find_by_name(m, name) ? EXIT_OK :
			error("\"%s\": no device has this UUID or PCI address",
			      name);

	ret = set_path(m, "", name);
	if (!ret && access(m->path, F_OK))
		ret = -errno;
	if (ret)
		return error_errno(ret, "%s", name);
	return is_device(m) ? EXIT_OK :
	       error("%s: this is no device's folder in sysfs", name);
}

/* Returns whether two names are those of the same device. */
bool migdev_same(const struct migdev *a, const struct migdev *b)
{
	struct stat one, other;

	return !stat(a->path, &one) && !stat(b->path, &other) &&
	       one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static bool by_cdev(void)
{
	const char *way = getenv("VFIO_MIG_OPEN");

	return way && !strcmp(way, "cdev");
}

/* Returns whether an open failed because another process has the device open. */
bool migdev_in_use(int ret)
{
	/* VFIO_DEVICE_BIND_IOMMUFD returns the latter. */
	return ret == -EBUSY || (ret == -EINVAL && by_cdev());
}

/* Advice to the user, because the errno alone seldom helps */
static const char *open_hint(const struct migdev *m, int ret)
{
	const char *missing = device_missing(m->path);

	if (missing)
		return missing;
	if (migdev_in_use(ret))
		return "somebody has it open, or another device of its group: a VMM perhaps";
	switch (ret) {
	case -EACCES:
	case -EPERM:
		/* The group is not viable. */
		if (ret == -EPERM && !geteuid())
			return "another device of its IOMMU group has a driver of the host";
		return "to open it takes root, or a udev rule for its file in /dev/vfio";
	case -ENOENT:
		return "it has no IOMMU group, or no VFIO driver is bound to it";
	case -ENODEV:
		return "is vfio_iommu_type1 loaded?";
	default:
		return NULL;
	}
}

/* Prints why a device could not be opened. Returns an exit code. */
int migdev_not_opened(const struct migdev *m, int ret)
{
	const char *hint = open_hint(m, ret);

	return error_errno(ret, "%s: cannot be opened%s%s%s", m->name,
			   hint ? " (" : "", hint ? hint : "", hint ? ")" : "");
}

/* Opens a device, which resets it. */
int migdev_open(struct migdev *m)
{
	int ret = device_open(&m->dev, m->path);

	if (ret)
		return ret;
	m->has_v1 = !v1_open(&m->v1, &m->dev);
	m->has_v2 = !v2_open(&m->v2, &m->dev);
	return 0;
}

void migdev_close(struct migdev *m)
{
	if (m->has_v1)
		v1_close(&m->v1);
	if (m->has_v2)
		v2_close(&m->v2);
	if (m->dev.fd >= 0)
		device_close(&m->dev);
	free(m->buf);
	m->buf = NULL;
}

const char *protocol_name(enum protocol protocol)
{
	return protocol == PROTOCOL_V1 ? "v1" : "v2";
}

bool migdev_can_precopy(struct migdev *m)
{
	return m->protocol == PROTOCOL_V1 || v2_has(&m->v2, V2_PRE_COPY);
}

/* Selects v2, unless only v1 can copy before the device stops. */
static enum protocol choose(struct migdev *m)
{
	if (m->has_v2 && (!m->has_v1 || v2_has(&m->v2, V2_PRE_COPY)))
		return PROTOCOL_V2;
	return m->has_v1 ? PROTOCOL_V1 : PROTOCOL_ANY;
}

/* Prepares the buffer or the mapping for the data. */
static int set_up(struct migdev *m)
{
	if (m->protocol == PROTOCOL_V1)
		return v1_map(&m->v1);
	m->buf = aligned_alloc(V1_PAGE, PORTION);
	return m->buf ? 0 : -ENOMEM;
}

/* Opens a device to save or load it. Returns an exit code. */
int migdev_use(struct migdev *m, const char *name, enum protocol protocol)
{
	int ret;

	ret = migdev_find(m, name);
	if (ret)
		return ret;
	ret = migdev_open(m);
	if (ret)
		return migdev_not_opened(m, ret);

	m->protocol = protocol == PROTOCOL_ANY ? choose(m) : protocol;
	if (m->protocol == PROTOCOL_ANY) {
		ret = error("%s: cannot be migrated: its driver offers neither v1 nor v2",
			    name);
	} else if (m->protocol == PROTOCOL_V1 ? !m->has_v1 : !m->has_v2) {
		ret = error("%s: the device does not speak %s", name,
			    protocol_name(m->protocol));
	} else {
		ret = set_up(m);
		if (ret)
			ret = error_errno(ret, "%s: %s", name,
					  m->protocol == PROTOCOL_V1 ?
					  "mapping the data section" :
					  "memory for the data");
	}
	if (ret)
		migdev_close(m);
	return ret;
}
