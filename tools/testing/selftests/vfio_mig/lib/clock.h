/* SPDX-License-Identifier: GPL-2.0-only */
/* Monotonic time in seconds */
#ifndef VFIO_MIG_LIB_CLOCK_H
#define VFIO_MIG_LIB_CLOCK_H

#include <time.h>

static inline double clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

#endif /* VFIO_MIG_LIB_CLOCK_H */
