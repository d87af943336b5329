// SPDX-License-Identifier: GPL-2.0-only
/* Fault injection by /proc/thread-self/fail-nth and by debugfs */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "file.h"
#include "kselftest.h"

#define DEBUGFS	"/sys/kernel/debug/"

static int fail_nth = -1;

static const char * const kinds[FAULT_NR_KINDS] = {
	"failslab", "fail_page_alloc", "fail_usercopy",
};

/* The number of failures that fault_arm() requested */
static int armed[FAULT_NR_KINDS];

static int set(enum fault_kind kind, const char *what, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "%s/%s", kinds[kind], what);
	return file_write(path, value);
}

static int set_number(enum fault_kind kind, const char *what, unsigned long number)
{
	char text[32];

	snprintf(text, sizeof(text), "%#lx", number);
	return set(kind, what, text);
}

/* Finds a module's address. @size covers code and data, so it exceeds the code. */
static int find_module(const char *module, unsigned long *at, unsigned long *size)
{
	char name[64];
	FILE *f;

	f = fopen("/proc/modules", "re");
	if (!f)
		return -errno;
	*at = 0;
	while (fscanf(f, "%63s %lu %*s %*s %*s %lx%*[^\n]", name, size, at) == 3 &&
	       strcmp(name, module))
		*at = 0;
	fclose(f);
	return *at ? 0 : -ENOENT;
}

/*
 * From now on only calls fail that have @module in their stack. This holds for fault_arm()
 * and for fault_begin(). With NULL, all calls can fail. -ENOENT: the module is not loaded.
 */
int fault_within(const char *module)
{
	unsigned long from = 0, to = ULONG_MAX, size;
	enum fault_kind kind;
	int ret = 0;

	if (module) {
		ret = find_module(module, &from, &size);
		to = from + size;
	}
	for (kind = 0; kind < FAULT_NR_KINDS && !ret; kind++)
		ret = set_number(kind, "require-start", from) ?:
		      set_number(kind, "require-end", to);
	return ret;
}

/*
 * Changes the kernel's defaults: allocations that may sleep and allocations of a single page
 * can fail, too, and the kernel does not log the stack of each failure. Removes limits that
 * an earlier program set. -ENOENT: the kernel has no fault injection.
 */
int fault_init(void)
{
	static const struct {
		enum fault_kind kind;
		const char *what, *value;
	} settings[] = {
		{ FAULT_SLAB, "ignore-gfp-wait", "N" },
		{ FAULT_PAGE, "ignore-gfp-wait", "N" },
		{ FAULT_PAGE, "ignore-gfp-highmem", "N" },
		{ FAULT_PAGE, "min-order", "0" },
	};
	enum fault_kind kind;
	int ret = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(settings) && !ret; i++)
		ret = set(settings[i].kind, settings[i].what, settings[i].value);
	for (kind = 0; kind < FAULT_NR_KINDS && !ret; kind++)
		ret = set(kind, "verbose", "0") ?:
		      set(kind, "probability", "0") ?:
		      set_number(kind, "reject-start", 0) ?:
		      set_number(kind, "reject-end", 0);
	ret = ret ?: fault_within(NULL);
	if (ret)
		return ret;
	return access("/proc/thread-self/fail-nth", W_OK) ? -errno : 0;
}

/* Finds the code of a kernel function: [from, to). Both are 0 if there is no such function. */
static void find_function(const char *function, unsigned long *from,
			  unsigned long *to)
{
	unsigned long at;
	char name[128];
	FILE *f;

	*from = 0;
	*to = 0;
	f = fopen("/proc/kallsyms", "re");
	if (!f)
		return;
	while (!*from && fscanf(f, "%lx %*c %127s%*[^\n]", &at, name) == 2)
		if (!strcmp(name, function))
			*from = at;
	rewind(f);
	/* A function ends at the next higher symbol. Symbols of a module are not sorted. */
	while (*from && fscanf(f, "%lx %*c %127s%*[^\n]", &at, name) == 2)
		if (at > *from && (!*to || at < *to))
			*to = at;
	fclose(f);
}

/* Calls that have @function in their stack do not fail. The kernel may lack @function. */
void fault_spare(const char *function)
{
	unsigned long from, to;
	enum fault_kind kind;

	find_function(function, &from, &to);
	if (!from || !to)
		return;
	ksft_print_msg("no failures in %s\n", function);
	for (kind = FAULT_SLAB; kind <= FAULT_PAGE; kind++)
		if (set_number(kind, "reject-start", from) ||
		    set_number(kind, "reject-end", to))
			abort();
}

/* The @nth call from now on fails, counted from 1. */
void fault_begin(unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	/* Each process opens the file, because it applies to the process that opened it. */
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fail_nth < 0 || pwrite(fail_nth, text, len, 0) != len)
		abort();
}

/*
 * Ends fault_begin(). Returns whether a call failed. The kernel counts the file's number
 * down to 0, but the read of the number is itself a copy to the user that can fail.
 */
int fault_end(void)
{
	char left[16] = "";
	ssize_t len;

	len = pread(fail_nth, left, sizeof(left) - 1, 0);
	if (len < 0 && errno != EFAULT)
		abort();
	/* The read failed, so no call before it did. */
	if (len < 0)
		strcpy(left, "1");
	if (pwrite(fail_nth, "0", 1, 0) != 1 && pwrite(fail_nth, "0", 1, 0) != 1)
		abort();
	close(fail_nth);
	fail_nth = -1;
	return !atoi(left);
}

const char *fault_kind_name(enum fault_kind kind)
{
	return kinds[kind];
}

/*
 * @after calls of @kind succeed, and @times calls after them fail. The kernel counts slab
 * allocations by their bytes, so @after counts units of 8 bytes for them. Steps of one unit
 * miss no allocation, and meet many more than once.
 */
void fault_arm(enum fault_kind kind, unsigned int after, unsigned int times)
{
	armed[kind] = times;
	if (set_number(kind, "space", kind == FAULT_SLAB ? after * 8UL : after) ||
	    set_number(kind, "times", times) ||
	    set(kind, "probability", "100"))
		abort();
}

/* Ends fault_arm(). Returns how many calls failed. */
int fault_disarm(enum fault_kind kind)
{
	char path[128], left[16];

	snprintf(path, sizeof(path), DEBUGFS "%s/times", kinds[kind]);
	if (set(kind, "probability", "0") ||
	    file_read(path, left, sizeof(left)) < 0)
		abort();
	return armed[kind] - atoi(left);
}
