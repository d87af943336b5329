/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A memory control group of cgroup v2 that the test creates.
 *
 * Each function returns 0 (or a number) or a negative errno.
 */
#ifndef VFIO_MIG_LIB_MEMCG_H
#define VFIO_MIG_LIB_MEMCG_H

#include <limits.h>

struct memcg {
	char path[128];
	char home[PATH_MAX];	/* where the process was before */
};

const char *memcg_missing(void);
int memcg_create(struct memcg *g, long long limit);
int memcg_destroy(struct memcg *g);
int memcg_enter(struct memcg *g);
int memcg_leave(struct memcg *g);
int memcg_set_limit(struct memcg *g, long long limit);
long long memcg_used(struct memcg *g);
long long memcg_event(struct memcg *g, const char *name);
long long memcg_stat(struct memcg *g, const char *name);

#endif /* VFIO_MIG_LIB_MEMCG_H */
