/* SPDX-License-Identifier: GPL-2.0-only */
/* Setup and teardown that the fixtures of several programs have in common */
#ifndef VFIO_MIG_LIB_FIXTURE_H
#define VFIO_MIG_LIB_FIXTURE_H

#include "check.h"
#include "suite.h"
#include "v1.h"

static inline void fixture_open(struct __test_metadata *_metadata,
				const char *path, struct device *dev,
				struct v1 *v1)
{
	ASSERT_RET_FOR(0, device_open(dev, path), "%s", path);
	ASSERT_RET_FOR(0, v1_open(v1, dev), "%s", path);
	ASSERT_STATE(V1_RUNNING, v1);
}

static inline void fixture_close(struct device *dev, struct v1 *v1)
{
	v1_close(v1);
	device_close(dev);
}

#endif /* VFIO_MIG_LIB_FIXTURE_H */
