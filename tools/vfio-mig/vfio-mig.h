/* SPDX-License-Identifier: GPL-2.0-only */
/* Declarations that all commands of vfio-mig use */
#ifndef VFIO_MIG_TOOL_H
#define VFIO_MIG_TOOL_H

#include <stdbool.h>
#include <linux/types.h>
#include <stdio.h>

/* Exit codes, documented in the man page. */
enum {
	EXIT_OK		= 0,
	EXIT_FAILED	= 1,	/* a device, a file or the system failed */
	EXIT_USAGE	= 2,
	EXIT_STREAM	= 3,	/* the stream is damaged or was refused */
};

enum protocol {
	PROTOCOL_ANY,
	PROTOCOL_V1,
	PROTOCOL_V2,
};

struct options {
	enum protocol from;	/* protocol of the device, or of the source */
	enum protocol to;	/* protocol of the target */
	bool json;
	bool quiet;
	bool verbose;
	bool summary;
	int rounds;		/* limit of pre-copy rounds; -1: default of the command */
	__u64 threshold;	/* bytes left at which no other round begins */
	const char *extract;	/* file for the pages of a stream */
};

/* Each function gets the words behind the command's name, and returns an exit code. */
int cmd_copy(const struct options *o, int argc, char **argv);
int cmd_dump(const struct options *o, int argc, char **argv);
int cmd_info(const struct options *o, int argc, char **argv);
int cmd_restore(const struct options *o, int argc, char **argv);
int cmd_save(const struct options *o, int argc, char **argv);
int cmd_states(const struct options *o, int argc, char **argv);

/* util.c */
#define __printf(fmt, args)	__attribute((format(printf, fmt, args)))

const char *errno_name(long ret);
int error(const char *fmt, ...) __printf(1, 2);
int error_errno(long ret, const char *fmt, ...)
	__printf(2, 3);
int usage(const char *fmt, ...) __printf(1, 2);
const char *human_size(__u64 bytes);
double seconds_now(void);

#endif /* VFIO_MIG_TOOL_H */
