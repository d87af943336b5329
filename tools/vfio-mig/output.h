/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file that a command writes. A regular file appears when it is complete. Until then the
 * data is in a temporary file in the same directory, which is removed on an error or a
 * signal. An old file is replaced, and not overwritten.
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
	char *path;		/* final name of the temporary file, or NULL */
};

void output_init(void);
int output_open(struct output *out, const char *name);
int output_write(struct output *out, const void *data, size_t len);
int output_close(struct output *out, int ret);
int output_temporary(void);

#endif /* VFIO_MIG_TOOL_OUTPUT_H */
