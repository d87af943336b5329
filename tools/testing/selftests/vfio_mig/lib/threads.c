// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPU time and wakeups of the threads that work for devices
 *
 * This finds the threads by their names. If the kernel has vhost_task, executors are threads
 * of the process that opened the device, else they are kernel threads.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "threads.h"

#define PATHSIZE	128

static const char *const names[] = { "mnvme-admin", "mnvme-io", "vfio-mig-dma" };

/* Reads the first line of a file of a task in /proc. -1: the task has ended. */
static int read_line(const char *task, const char *name, char *line, int size)
{
	char path[PATHSIZE];
	char *got;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", task, name);
	f = fopen(path, "r");
	if (!f)
		return -1;
	got = fgets(line, size, f);
	fclose(f);
	return got ? 0 : -1;
}

static int is_ours(const char *task)
{
	unsigned int i;
	char comm[64];

	if (read_line(task, "comm", comm, sizeof(comm)))
		return 0;
	comm[strcspn(comm, "\n")] = 0;
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(comm, names[i]))
			return 1;
	return 0;
}

/* schedstat: CPU time, time on a run queue, and number of times on a CPU */
static int add_task(struct threads *t, const char *task)
{
	unsigned long long cpu, wait, times;
	char line[128];

	if (read_line(task, "schedstat", line, sizeof(line)) ||
	    sscanf(line, "%llu %llu %llu", &cpu, &wait, &times) != 3)
		return -EIO;
	t->nr++;
	t->cpu_ns += cpu;
	t->switches += times;
	return 0;
}

/* Returns 0, or -EIO if a file cannot be read. */
int threads_sum(struct threads *t)
{
	glob_t tasks;
	int ret = 0;
	size_t i;

	memset(t, 0, sizeof(*t));
	if (glob("/proc/[0-9]*/task/[0-9]*", GLOB_NOSORT, NULL, &tasks))
		return -EIO;
	for (i = 0; !ret && i < tasks.gl_pathc; i++)
		if (is_ours(tasks.gl_pathv[i]))
			ret = add_task(t, tasks.gl_pathv[i]);
	globfree(&tasks);
	return ret;
}
