// SPDX-License-Identifier: GPL-2.0-only
/* Messages, numbers and time. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "vfio-mig.h"

static void message(const char *fmt, va_list args)
{
	fprintf(stderr, "vfio-mig: ");
	vfprintf(stderr, fmt, args);
}

/* Prints a message and returns EXIT_FAILED. */
int error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	message(fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_FAILED;
}

/* Returns "EINVAL", for example, for errno.h's readers and for scripts. */
const char *errno_name(long ret)
{
	const char *name = strerrorname_np(ret < 0 ? -ret : ret);

	return name ? name : "unknown";
}

/* As error(), with the meaning of a negative errno */
int error_errno(long ret, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	message(fmt, args);
	va_end(args);
	fprintf(stderr, ": %s (%s)\n", strerror(-ret), errno_name(ret));
	return EXIT_FAILED;
}

int usage(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	message(fmt, args);
	va_end(args);
	fputs("\nTry 'vfio-mig --help'.\n", stderr);
	return EXIT_USAGE;
}

/* Returns "1.5 MiB", for example. The text of the last four calls is valid. */
const char *human_size(__u64 bytes)
{
	static const char * const units[] = {
		"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB",
	};
	static char text[4][32];
	static int turn;
	double value = bytes;
	int unit;

	turn = (turn + 1) % 4;
	for (unit = 0; value >= 1024; unit++)
		value /= 1024;
	snprintf(text[turn], sizeof(text[turn]), "%.*f %s",
		 unit && value < 100 ? 1 : 0, value, units[unit]);
	return text[turn];
}

double seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}
