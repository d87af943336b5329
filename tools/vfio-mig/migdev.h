/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device that can be migrated, by either protocol
 *
 * Functions that return an int return 0 or a negative errno. Some return an exit code, as
 * their comment says, and have printed the error then.
 */
#ifndef VFIO_MIG_TOOL_MIGDEV_H
#define VFIO_MIG_TOOL_MIGDEV_H

#include "device.h"
#include "v1.h"
#include "v2.h"
#include "vfio-mig.h"

struct migdev {
	const char *name;		/* as the user spelled it */
	char path[PATH_MAX];		/* in sysfs */
	struct device dev;
	struct v1 v1;
	struct v2 v2;
	bool has_v1;
	bool has_v2;
	enum protocol protocol;		/* the protocol in use */
	unsigned char *buf;		/* PORTION bytes, for v2 */
};

/* Bytes of one read or write */
#define PORTION		(1UL << 20)

int migdev_find(struct migdev *m, const char *name);
int migdev_open(struct migdev *m);
int migdev_not_opened(const struct migdev *m, int ret);
bool migdev_same(const struct migdev *a, const struct migdev *b);
bool migdev_in_use(int ret);
void migdev_close(struct migdev *m);
int migdev_use(struct migdev *m, const char *name, enum protocol protocol);
const char *protocol_name(enum protocol protocol);
bool migdev_can_precopy(struct migdev *m);

/* source.c: saves a device */
int source_start(struct migdev *m, bool precopy);
int source_stop(struct migdev *m);
int source_finish(struct migdev *m);
int source_left(struct migdev *m, __u64 *bytes);
ssize_t source_next(struct migdev *m, const void **data);

/* target.c: loads a device */
int target_start(struct migdev *m);
int target_finish(struct migdev *m);
void *target_room(struct migdev *m, size_t *room);
int target_commit(struct migdev *m, size_t len);
int target_feed(struct migdev *m, const void *data, size_t len);
int target_refused(struct migdev *m, int ret);

#endif /* VFIO_MIG_TOOL_MIGDEV_H */
