// SPDX-License-Identifier: GPL-2.0-only
/* Reads and writes small files of sysfs, debugfs or cgroupfs at once. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

int file_write(const char *path, const char *text)
{
	ssize_t len = strlen(text), done;
	int fd, ret = 0;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	done = write(fd, text, len);
	if (done < 0)
		ret = -errno;
	else if (done != len)
		ret = -EIO;
	close(fd);
	return ret;
}

int file_read(const char *path, char *text, size_t room)
{
	ssize_t len;
	int fd, ret = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, text, room - 1);
	if (len < 0)
		ret = -errno;
	else
		text[len] = '\0';
	close(fd);
	return ret;
}
