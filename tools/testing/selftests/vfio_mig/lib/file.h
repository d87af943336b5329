/* SPDX-License-Identifier: GPL-2.0-only */
/* Reads and writes small files of sysfs, debugfs or cgroupfs at once. */
#ifndef VFIO_MIG_LIB_FILE_H
#define VFIO_MIG_LIB_FILE_H

#include <stddef.h>

int file_write(const char *path, const char *text);
int file_read(const char *path, char *text, size_t room);

#endif /* VFIO_MIG_LIB_FILE_H */
