// SPDX-License-Identifier: GPL-2.0-only
/* A memory control group. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "memcg.h"

#define ROOT	"/sys/fs/cgroup"

static int write_file(const char *dir, const char *name, const char *text)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return file_write(path, text);
}

static int read_file(const char *dir, const char *name, char *text, size_t room)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return file_read(path, text, room);
}

/* Returns the reason why the test cannot create a group, or NULL. */
const char *memcg_missing(void)
{
	char text[256];

	if (read_file(ROOT, "cgroup.controllers", text, sizeof(text)))
		return "no cgroup v2 at " ROOT;
	if (!strstr(text, "memory"))
		return "cgroup v2 has no memory controller here";
	return NULL;
}

static int find_home(struct memcg *g)
{
	char text[PATH_MAX], *line;
	int ret;

	ret = read_file("/proc/self", "cgroup", text, sizeof(text));
	if (ret)
		return ret;
	line = strstr(text, "0::/");
	if (!line)
		return -ENOENT;
	line[strcspn(line, "\n")] = '\0';
	snprintf(g->home, sizeof(g->home), ROOT "%s", line + strlen("0::"));
	return 0;
}

/* Creates an empty group with a limit of @limit bytes. */
int memcg_create(struct memcg *g, long long limit)
{
	int ret;

	ret = find_home(g);
	if (!ret)
		ret = write_file(ROOT, "cgroup.subtree_control", "+memory");
	if (ret)
		return ret;
	snprintf(g->path, sizeof(g->path), ROOT "/vfio_mig-%d", getpid());
	if (mkdir(g->path, 0755))
		return -errno;
	ret = memcg_set_limit(g, limit);
	if (ret)
		memcg_destroy(g);
	return ret;
}

int memcg_destroy(struct memcg *g)
{
	return rmdir(g->path) ? -errno : 0;
}

int memcg_enter(struct memcg *g)
{
	return write_file(g->path, "cgroup.procs", "0");
}

/* Memory that was charged to the group stays charged to it. */
int memcg_leave(struct memcg *g)
{
	return write_file(g->home, "cgroup.procs", "0");
}

int memcg_set_limit(struct memcg *g, long long limit)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", limit);
	return write_file(g->path, "memory.max", text);
}

long long memcg_used(struct memcg *g)
{
	char text[32];
	int ret = read_file(g->path, "memory.current", text, sizeof(text));

	return ret ? ret : atoll(text);
}

/* Reads the number behind @name in the group's @file. Returns a negative errno if there is none. */
static long long number_of(struct memcg *g, const char *file, const char *name)
{
	char text[4096], want[32], *at;
	int ret;

	text[0] = '\n';
	ret = read_file(g->path, file, text + 1, sizeof(text) - 1);
	if (ret)
		return ret;
	snprintf(want, sizeof(want), "\n%s ", name);
	at = strstr(text, want);
	return at ? atoll(at + strlen(want)) : -ENOENT;
}

/* Reads a counter of memory.events, for example "max" or "oom_kill". */
long long memcg_event(struct memcg *g, const char *name)
{
	return number_of(g, "memory.events", name);
}

/* Reads bytes of memory.stat, for example "kernel" for all memory of the kernel. */
long long memcg_stat(struct memcg *g, const char *name)
{
	return number_of(g, "memory.stat", name);
}
