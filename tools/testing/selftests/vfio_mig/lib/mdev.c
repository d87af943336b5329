// SPDX-License-Identifier: GPL-2.0-only
/* Creates and removes mediated devices. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "file.h"
#include "mdev.h"

#define MDEV_DEVICES	"/sys/bus/mdev/devices"

/* First part of the UUIDs of this program's devices, by which it finds them again */
static char prefix[9];

#define PARAMETERS	"/sys/module/{mnvme,mscratch,vfio_mig_core}/parameters/*"

/* The modules' parameters before the program, which other programs get again */
static glob_t parameters;
static char (*values)[32];

static void keep_parameters(void)
{
	size_t i;

	if (glob(PARAMETERS, GLOB_BRACE, NULL, &parameters))
		return;
	values = calloc(parameters.gl_pathc, sizeof(*values));
	for (i = 0; values && i < parameters.gl_pathc; i++)
		if (file_read(parameters.gl_pathv[i], values[i], sizeof(*values)))
			values[i][0] = '\0';
}

/* A test that failed or was killed may have left a value that later programs do not expect. */
static void put_parameters_back(void)
{
	char now[sizeof(*values)];
	size_t i;

	for (i = 0; values && i < parameters.gl_pathc; i++)
		if (values[i][0] && !file_read(parameters.gl_pathv[i], now, sizeof(now)) &&
		    strcmp(values[i], now))
			file_write(parameters.gl_pathv[i], values[i]);
}

/* Called once, before the harness forks the processes of the tests. */
void mdev_init(void)
{
	snprintf(prefix, sizeof(prefix), "76%06x", getpid() & 0xffffff);
	keep_parameters();
}

static void new_uuid(char *uuid)
{
	unsigned char r[12] = { 0 };
	int i, at;

	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		abort();
	at = sprintf(uuid, "%s-%02x%02x-4%x%02x-8%x%02x-", prefix, r[0], r[1],
		     r[2] & 0xf, r[3], r[4] & 0xf, r[5]);
	for (i = 6; i < 12; i++)
		at += sprintf(uuid + at, "%02x", r[i]);
}

/*
 * Creates a device of the parent driver @parent. @type is the end of the type's name: "64M"
 * finds "mnvme-64M". -ENOENT if there is no such type.
 */
int mdev_create(struct mdev *mdev, const char *parent, const char *type)
{
	char name[PATH_MAX];
	glob_t found;
	int ret;

	mdev->path[0] = '\0';
	snprintf(name, sizeof(name),
		 "/sys/class/mdev_bus/%s*/mdev_supported_types/*%s/create",
		 parent, type);
	if (glob(name, 0, NULL, &found))
		return -ENOENT;

	new_uuid(mdev->uuid);
	ret = file_write(found.gl_pathv[0], mdev->uuid);
	globfree(&found);
	if (!ret)
		snprintf(mdev->path, sizeof(mdev->path), MDEV_DEVICES "/%s",
			 mdev->uuid);
	return ret;
}

int mdev_remove(struct mdev *mdev)
{
	char name[PATH_MAX + 8];

	if (!mdev->path[0])
		return 0;
	snprintf(name, sizeof(name), "%s/remove", mdev->path);
	mdev->path[0] = '\0';
	return file_write(name, "1");
}

/* Undoes what tests that failed or were killed have left behind. */
void mdev_sweep(void)
{
	struct dirent *entry;
	struct mdev mdev;
	DIR *dir;

	put_parameters_back();
	dir = opendir(MDEV_DEVICES);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)))
			continue;
		snprintf(mdev.path, sizeof(mdev.path), MDEV_DEVICES "/%s",
			 entry->d_name);
		mdev_remove(&mdev);
	}
	closedir(dir);
}

/* Reads a number from a file, or returns a negative errno. */
static long long number_in(const char *path)
{
	char text[32];
	int ret;

	ret = file_read(path, text, sizeof(text));
	if (ret)
		return ret;
	return text[0] ? atoll(text) : -EIO;
}

/*
 * Sets the size of the data section of devices that are created from now on, if @kib is not
 * 0. Returns the previous size, or a negative errno.
 */
long mdev_window_kib(long kib)
{
	static const char name[] =
		"/sys/module/vfio_mig_core/parameters/window_kib";
	long was = number_in(name);
	char value[32];
	int ret;

	if (was < 0 || !kib)
		return was;
	snprintf(value, sizeof(value), "%ld", kib);
	ret = file_write(name, value);
	return ret ? ret : was;
}

/* Reads an attribute of the parent device of driver @parent, or returns a negative errno. */
long long mdev_parent_number(const char *parent, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/class/%s/%s/%s", parent, parent, name);
	return number_in(path);
}
