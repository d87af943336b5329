// SPDX-License-Identifier: GPL-2.0-only
/* The kernel's log, of a device, from a moment on. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "kmsg.h"

/* Most lines in a row of what is rate limited, and seconds until there are more. */
#define BURST		10
#define INTERVAL	5

/* What came before is another's. A descriptor to be closed, or a negative errno. */
int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	if (!lseek(fd, 0, SEEK_END))
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/* The text of the next record that is about @dev, until the next call; or NULL. */
const char *kmsg_next(int kmsg, const struct device *dev)
{
	const char *name = strrchr(dev->path, '/') + 1;
	static char record[8192];
	ssize_t len;
	char *text;

	for (;;) {
		len = read(kmsg, record, sizeof(record) - 1);
		if (len < 0 && errno == EPIPE)	/* some were overwritten */
			continue;
		if (len <= 0)
			return NULL;
		record[len] = 0;
		record[strcspn(record, "\n")] = 0;
		text = strchr(record, ';');
		if (text && strstr(text, name))
			return text + 1;
	}
}

/* How many there are that were not read. */
int kmsg_count(int kmsg, const struct device *dev)
{
	int lines = 0;

	while (kmsg_next(kmsg, dev))
		lines++;
	return lines;
}

/* Most lines that there may be in some time, of what is rate limited. */
int kmsg_most(double seconds)
{
	return BURST * ((int)(seconds / INTERVAL) + 2);
}
