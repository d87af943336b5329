// SPDX-License-Identifier: GPL-2.0-only
/* The messages about one device in the kernel's log */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "kmsg.h"

/* The kernel's rate limit: number of lines in an interval, and its length in seconds */
#define BURST		10
#define INTERVAL	5

/* Opens the log behind its last message. Returns a file descriptor or a negative errno. */
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

/* Returns the next message about @dev, or NULL. The text is valid until the next call. */
const char *kmsg_next(int kmsg, const struct device *dev)
{
	const char *name = strrchr(dev->path, '/') + 1;
	static char record[8192];
	ssize_t len;
	char *text;

	for (;;) {
		len = read(kmsg, record, sizeof(record) - 1);
		if (len < 0 && errno == EPIPE)	/* the kernel overwrote some messages */
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

/* Returns the number of messages that were not read yet. */
int kmsg_count(int kmsg, const struct device *dev)
{
	int lines = 0;

	while (kmsg_next(kmsg, dev))
		lines++;
	return lines;
}

/* Returns how many lines a rate-limited message may have in @seconds. */
int kmsg_most(double seconds)
{
	return BURST * ((int)(seconds / INTERVAL) + 2);
}
