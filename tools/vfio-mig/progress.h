/* SPDX-License-Identifier: GPL-2.0-only */
/* A progress bar on standard error, if that is a terminal */
#ifndef VFIO_MIG_TOOL_PROGRESS_H
#define VFIO_MIG_TOOL_PROGRESS_H

#include <stdbool.h>
#include <linux/types.h>

struct progress {
	const char *what;
	bool shown;
	__u64 total;		/* an estimate; 0: unknown */
	__u64 done;
	double start;
	double drawn;
};

void progress_start(struct progress *p, const char *what, bool quiet,
		    __u64 total);
void progress_add(struct progress *p, __u64 bytes);
void progress_clear(const struct progress *p);
void progress_end(struct progress *p, bool whole);

#endif /* VFIO_MIG_TOOL_PROGRESS_H */
