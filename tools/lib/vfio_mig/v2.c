// SPDX-License-Identifier: GPL-2.0-only
/* The v2 protocol: an ioctl for the state, and a file descriptor for the data */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "v2.h"

#define PRECOPY_INFO	_IO(VFIO_TYPE, VFIO_BASE + 21)

/* Calls VFIO_DEVICE_FEATURE. @size is the size of the data behind the header. */
int v2_feature(struct v2 *v2, __u32 flags, void *data, size_t size)
{
	struct vfio_device_feature *feature;
	size_t argsz = sizeof(*feature) + size;
	int ret;

	feature = calloc(1, argsz);
	if (!feature)
		return -ENOMEM;
	feature->argsz = argsz;
	feature->flags = flags;
	memcpy(feature->data, data, size);
	ret = ioctl(v2->dev->fd, VFIO_DEVICE_FEATURE, feature) ? -errno : 0;
	memcpy(data, feature->data, size);
	free(feature);
	return ret;
}

/* -ENOTTY: the device does not have v2. */
int v2_open(struct v2 *v2, struct device *dev)
{
	struct vfio_device_feature_migration mig = { 0 };
	int ret;

	memset(v2, 0, sizeof(*v2));
	v2->dev = dev;
	v2->data = -1;
	ret = v2_feature(v2, VFIO_DEVICE_FEATURE_GET |
			 VFIO_DEVICE_FEATURE_MIGRATION, &mig, sizeof(mig));
	v2->flags = mig.flags;
	return ret;
}

void v2_close(struct v2 *v2)
{
	if (v2->data >= 0)
		close(v2->data);
	v2->data = -1;
}

/* Returns whether the device has the state, according to its flags. */
int v2_has(struct v2 *v2, __u32 state)
{
	switch (state) {
	case V2_RUNNING_P2P:
		return !!(v2->flags & V2_F_P2P);
	case V2_PRE_COPY:
		return !!(v2->flags & V2_F_PRE_COPY);
	case V2_PRE_COPY_P2P:
		return v2_has(v2, V2_RUNNING_P2P) && v2_has(v2, V2_PRE_COPY);
	default:
		return state < V2_NR_STATES;
	}
}

const char *v2_state_name(__u32 state)
{
	static const char * const names[V2_NR_STATES] = {
		"ERROR", "STOP", "RUNNING", "STOP_COPY", "RESUMING",
		"RUNNING_P2P", "PRE_COPY", "PRE_COPY_P2P",
	};

	return state < V2_NR_STATES ? names[state] : "no state";
}

/* If the transition returns a data file, it replaces the previous data file. */
int v2_set_state(struct v2 *v2, __u32 state)
{
	struct vfio_device_feature_mig_state mig = {
		.device_state = state,
		.data_fd = -1,
	};
	int ret;

	ret = v2_feature(v2, VFIO_DEVICE_FEATURE_SET |
			 VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &mig,
			 sizeof(mig));
	if (ret || mig.data_fd < 0)
		return ret;
	v2_close(v2);
	v2->data = mig.data_fd;
	return 0;
}

long v2_get_state(struct v2 *v2)
{
	struct vfio_device_feature_mig_state mig = { 0 };
	int ret;

	ret = v2_feature(v2, VFIO_DEVICE_FEATURE_GET |
			 VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &mig,
			 sizeof(mig));
	return ret ? ret : (long)mig.device_state;
}

int v2_data_size(struct v2 *v2, __u64 *size)
{
	return v2_feature(v2, VFIO_DEVICE_FEATURE_GET | V2_FEATURE_DATA_SIZE,
			  size, sizeof(*size));
}

int v2_precopy_info(struct v2 *v2, struct v2_precopy_info *info)
{
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	return ioctl(v2->data, PRECOPY_INFO, info) ? -errno : 0;
}

/* From now on the flags of v2_precopy_info() are valid. -ENOTTY: the kernel has none. */
int v2_precopy_opt_in(struct v2 *v2)
{
	return v2_feature(v2, VFIO_DEVICE_FEATURE_SET | V2_FEATURE_PRECOPY_INFO_V2, NULL, 0);
}

ssize_t v2_read(struct v2 *v2, void *buf, size_t len)
{
	ssize_t ret = read(v2->data, buf, len);

	return ret < 0 ? -errno : ret;
}

ssize_t v2_write(struct v2 *v2, const void *buf, size_t len)
{
	ssize_t ret = write(v2->data, buf, len);

	return ret < 0 ? -errno : ret;
}

/*
 * Reads until the end of the stream in STOP_COPY, or until the device has no data at present
 * in PRE_COPY. Returns the number of bytes.
 */
ssize_t v2_drain(struct v2 *v2, struct buffer *out, size_t portion)
{
	size_t before = out->len;
	ssize_t ret;
	void *to;

	if (!portion)
		portion = 1 << 20;
	do {
		to = buffer_grow(out, portion);
		ret = v2_read(v2, to, portion);
		out->len -= portion - (ret > 0 ? ret : 0);
	} while (ret > 0);
	return ret && ret != -ENOMSG ? ret : (ssize_t)(out->len - before);
}

/* Enters STOP_COPY, and reads the rest of the stream. */
int v2_save(struct v2 *v2, struct buffer *out, size_t portion)
{
	ssize_t ret = v2_set_state(v2, V2_STOP_COPY);

	if (!ret)
		ret = v2_drain(v2, out, portion);
	return ret < 0 ? ret : 0;
}

int v2_feed(struct v2 *v2, const void *data, size_t len, size_t portion)
{
	ssize_t ret;

	while (len) {
		ret = v2_write(v2, data, portion && portion < len ? portion :
								    len);
		if (ret <= 0)
			return ret ? ret : -EIO;
		data += ret;
		len -= ret;
	}
	return 0;
}

/* Enters RESUMING, and loads a stream. */
int v2_load(struct v2 *v2, const struct buffer *in, size_t portion)
{
	int ret = v2_set_state(v2, V2_RESUMING);

	return ret ? ret : v2_feed(v2, in->data, in->len, portion);
}
