/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The v2 protocol: VFIO_DEVICE_FEATURE_MIGRATION and the data file descriptor
 *
 * This file defines the additions of Linux 6.2 to the uapi itself, so that the tests build
 * with older headers. v2_open() finds out whether the running kernel has them.
 */
#ifndef VFIO_MIG_LIB_V2_H
#define VFIO_MIG_LIB_V2_H

#include "buffer.h"
#include "device.h"

enum v2_state {
	V2_ERROR,
	V2_STOP,
	V2_RUNNING,
	V2_STOP_COPY,
	V2_RESUMING,
	V2_RUNNING_P2P,
	V2_PRE_COPY,
	V2_PRE_COPY_P2P,
	V2_NR_STATES,
};

#define V2_F_STOP_COPY	(1 << 0)
#define V2_F_P2P	(1 << 1)
#define V2_F_PRE_COPY	(1 << 2)

#define V2_FEATURE_DATA_SIZE	9
/* VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 and VFIO_PRECOPY_INFO_REINIT, of Linux 7.x */
#define V2_FEATURE_PRECOPY_INFO_V2	12
#define V2_PRECOPY_REINIT	(1 << 0)

/* struct vfio_precopy_info */
struct v2_precopy_info {
	__u32 argsz;
	__u32 flags;
	__u64 initial_bytes;
	__u64 dirty_bytes;
};

struct v2 {
	struct device *dev;
	__u64 flags;		/* V2_F_*: states that the device has */
	int data;		/* the session's file, or -1 */
};

int v2_open(struct v2 *v2, struct device *dev);
void v2_close(struct v2 *v2);

int v2_feature(struct v2 *v2, __u32 flags, void *data, size_t size);
int v2_has(struct v2 *v2, __u32 state);
const char *v2_state_name(__u32 state);
int v2_set_state(struct v2 *v2, __u32 state);
long v2_get_state(struct v2 *v2);
int v2_data_size(struct v2 *v2, __u64 *size);
int v2_precopy_info(struct v2 *v2, struct v2_precopy_info *info);
int v2_precopy_opt_in(struct v2 *v2);

ssize_t v2_read(struct v2 *v2, void *buf, size_t len);
ssize_t v2_write(struct v2 *v2, const void *buf, size_t len);
ssize_t v2_drain(struct v2 *v2, struct buffer *out, size_t portion);
int v2_save(struct v2 *v2, struct buffer *out, size_t portion);
int v2_feed(struct v2 *v2, const void *data, size_t len, size_t portion);
int v2_load(struct v2 *v2, const struct buffer *in, size_t portion);

#endif /* VFIO_MIG_LIB_V2_H */
