/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The v1 migration region: its registers, saves and loads
 *
 * This file defines the offsets, because the kernel's uapi has no struct
 * vfio_device_migration_info any more.
 */
#ifndef VFIO_MIG_LIB_V1_H
#define VFIO_MIG_LIB_V1_H

#include "buffer.h"
#include "device.h"

#define V1_DEVICE_STATE		0	/* u32 */
#define V1_RESERVED		4	/* u32 */
#define V1_PENDING_BYTES	8	/* u64 */
#define V1_DATA_OFFSET		16	/* u64 */
#define V1_DATA_SIZE		24	/* u64 */
#define V1_REGISTERS_END	32

enum v1_state {
	V1_STOPPED	= 0,
	V1_RUNNING	= 1,
	V1_STOP_COPY	= 2,
	V1_PRE_COPY	= 3,
	V1_RESUMING	= 4,
	V1_ERROR	= 6,
};

#define V1_PAGE			4096

struct v1 {
	struct device *dev;
	struct region region;
	__u64 data;			/* offset of the data section */
	__u64 window;			/* its size */
	void *map;			/* mapping of the whole window, or NULL */
};

int v1_open(struct v1 *v1, struct device *dev);
void v1_close(struct v1 *v1);
int v1_map(struct v1 *v1);
void v1_unmap(struct v1 *v1);

int v1_read32(struct v1 *v1, __u64 at, __u32 *value);
int v1_write32(struct v1 *v1, __u64 at, __u32 value);
int v1_read64(struct v1 *v1, __u64 at, __u64 *value);
int v1_write64(struct v1 *v1, __u64 at, __u64 value);

int v1_set_state(struct v1 *v1, __u32 state);
long v1_get_state(struct v1 *v1);
const char *v1_state_name(__u32 state);
int v1_go(struct v1 *v1, __u32 state);

int v1_pending(struct v1 *v1, __u64 *bytes);
int v1_data_offset(struct v1 *v1, __u64 *offset);
int v1_data_size(struct v1 *v1, __u64 *size);
ssize_t v1_open_iteration(struct v1 *v1);
int v1_write_data_size(struct v1 *v1, __u64 size);
int v1_read_data(struct v1 *v1, __u64 at, void *buf, size_t len);
int v1_write_data(struct v1 *v1, __u64 at, const void *buf, size_t len);

/* save.c */
ssize_t v1_iteration(struct v1 *v1, struct buffer *out);
ssize_t v1_drain(struct v1 *v1, struct buffer *out);
int v1_save(struct v1 *v1, struct buffer *out);

/* load.c */
int v1_feed(struct v1 *v1, const void *data, size_t len, size_t portion);
int v1_load(struct v1 *v1, const struct buffer *in, size_t portion);

#endif /* VFIO_MIG_LIB_V1_H */
