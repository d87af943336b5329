/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file that a command writes. A regular file appears when it is whole: until
 * then its contents are in a temporary file in the same directory, which an error
 * or a signal removes. What was there before is replaced, not written over.
 */
#ifndef VFIO_MIG_TOOL_OUTPUT_H
#define VFIO_MIG_TOOL_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct stat;

struct output {
	const char *name;	/* for messages */
	int fd;
	char *path;		/* what the temporary file is renamed to, or NULL */
};

void output_init(void);
int output_open(struct output *out, const char *name);
int output_write(struct output *out, const void *data, size_t len);
int output_close(struct output *out, int ret);
int output_temporary(void);

#endif /* VFIO_MIG_TOOL_OUTPUT_H */
