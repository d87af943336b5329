// SPDX-License-Identifier: GPL-2.0-only
/* Failures of one's choice, by /proc/thread-self/fail-nth. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "kselftest.h"

#define DEBUGFS	"/sys/kernel/debug/"

static int fail_nth = -1;

static int set(const char *name, const char *value)
{
	ssize_t ret;
	int fd;

	fd = open(name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = write(fd, value, strlen(value));
	close(fd);
	return ret < 0 ? -errno : 0;
}

/*
 * By default what may sleep does not fail, nor does a single page, and each
 * failure is told with a stack. -ENOENT where the kernel cannot do it.
 */
int fault_init(void)
{
	static const char * const settings[][2] = {
		{ DEBUGFS "failslab/ignore-gfp-wait", "N" },
		{ DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N" },
		{ DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ DEBUGFS "fail_page_alloc/min-order", "0" },
		{ DEBUGFS "failslab/verbose", "0" },
		{ DEBUGFS "fail_page_alloc/verbose", "0" },
		{ DEBUGFS "fail_usercopy/verbose", "0" },
	};
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		ret = set(settings[i][0], settings[i][1]);
		if (ret)
			return ret;
	}
	return access("/proc/thread-self/fail-nth", W_OK) ? -errno : 0;
}

/* Where the code of a kernel function is: [from, to), or nowhere. */
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
	/* It ends where the next one begins; a module's are in no order. */
	while (*from && fscanf(f, "%lx %*c %127s%*[^\n]", &at, name) == 2)
		if (at > *from && (!*to || at < *to))
			*to = at;
	fclose(f);
}

/* Nothing fails in @function or in what it calls, if the kernel has it. */
void fault_spare(const char *function)
{
	static const char * const by[] = { "failslab", "fail_page_alloc" };
	char name[64], text[32];
	unsigned long from, to;
	size_t i;

	find_function(function, &from, &to);
	if (!from || !to)
		return;
	ksft_print_msg("no failures in %s\n", function);
	for (i = 0; i < ARRAY_SIZE(by); i++) {
		snprintf(name, sizeof(name), DEBUGFS "%s/reject-start", by[i]);
		snprintf(text, sizeof(text), "%#lx", from);
		if (set(name, text))
			abort();
		snprintf(name, sizeof(name), DEBUGFS "%s/reject-end", by[i]);
		snprintf(text, sizeof(text), "%#lx", to);
		if (set(name, text))
			abort();
	}
}

/* From now on, the @nth fails, counted from 1. */
void fault_begin(unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	/* Opened by each process: it is about the one that opened it. */
	fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (fail_nth < 0 || pwrite(fail_nth, text, len, 0) != len)
		abort();
}

/*
 * No more failures. Did one happen? The kernel counts down: what is left tells, and
 * to read it takes a user copy that must not be the one that fails.
 */
int fault_end(void)
{
	char left[16] = "";
	ssize_t len;

	len = pread(fail_nth, left, sizeof(left) - 1, 0);
	if (len < 0 && errno != EFAULT)
		abort();
	/* The read itself was what failed: nothing before it did. */
	if (len < 0)
		strcpy(left, "1");
	if (pwrite(fail_nth, "0", 1, 0) != 1 && pwrite(fail_nth, "0", 1, 0) != 1)
		abort();
	close(fail_nth);
	fail_nth = -1;
	return !atoi(left);
}
