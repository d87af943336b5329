// SPDX-License-Identifier: GPL-2.0-only
/* Finding and opening a device that can be migrated. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "migdev.h"

/* By its path in sysfs, an mdev's UUID, or a PCI address. Returns an exit code. */
int migdev_find(struct migdev *m, const char *name)
{
	static const char * const places[] = {
		"/sys/bus/mdev/devices/", "/sys/bus/pci/devices/",
		"/sys/bus/pci/devices/0000:",
	};
	size_t i;

	memset(m, 0, sizeof(*m));
	m->name = name;
	m->dev.fd = -1;
	if (strchr(name, '/')) {
		snprintf(m->path, sizeof(m->path), "%s", name);
		if (!access(m->path, F_OK))
			return EXIT_OK;
	}
	for (i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(m->path, sizeof(m->path), "%s%s", places[i], name);
		if (!access(m->path, F_OK))
			return EXIT_OK;
	}
	return error("%s: no device: it is no path in sysfs, no mdev's UUID and no PCI address",
		     name);
}

/* What a person can do about it; the errno alone seldom tells. */
static const char *open_hint(int ret)
{
	switch (ret) {
	case -EBUSY:
	case -EINVAL:	/* by VFIO_DEVICE_BIND_IOMMUFD */
		return "somebody has it open, a VMM perhaps";
	case -EACCES:
	case -EPERM:
		return "to open its group in /dev/vfio takes root, or a udev rule";
	case -ENOENT:
		return "it has no IOMMU group, or no VFIO driver is bound to it";
	case -ENODEV:
		return "is vfio_iommu_type1 loaded?";
	default:
		return NULL;
	}
}

/* Opening a device resets it. */
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

/* v2, unless only v1 can copy before the device stops. */
static enum protocol choose(struct migdev *m)
{
	if (m->has_v2 && (!m->has_v1 || v2_has(&m->v2, V2_PRE_COPY)))
		return PROTOCOL_V2;
	return m->has_v1 ? PROTOCOL_V1 : PROTOCOL_ANY;
}

/* Makes ready what the data go through. */
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
	const char *hint;
	int ret;

	ret = migdev_find(m, name);
	if (ret)
		return ret;
	ret = migdev_open(m);
	if (ret) {
		hint = open_hint(ret);
		return error_errno(ret, "%s: cannot be opened%s%s%s", name,
				   hint ? " (" : "", hint ? hint : "",
				   hint ? ")" : "");
	}

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
