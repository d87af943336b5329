// SPDX-License-Identifier: GPL-2.0-only
/* Reads the state of a device by either protocol. */
#include <errno.h>

#include "migdev.h"

int source_start(struct migdev *m, bool precopy)
{
	if (m->protocol == PROTOCOL_V1)
		return v1_set_state(&m->v1, precopy ? V1_PRE_COPY :
						      V1_STOP_COPY);
	return v2_set_state(&m->v2, precopy ? V2_PRE_COPY : V2_STOP_COPY);
}

/* Leaves pre-copy: the device stops, and the rest can be read. */
int source_stop(struct migdev *m)
{
	return source_start(m, false);
}

int source_finish(struct migdev *m)
{
	if (m->protocol == PROTOCOL_V1)
		return v1_set_state(&m->v1, V1_STOPPED);
	return v2_set_state(&m->v2, V2_STOP);
}

/* Estimates the bytes that can be read now. -ENOTTY: v2 of an old kernel has no such estimate. */
int source_left(struct migdev *m, __u64 *bytes)
{
	struct v2_precopy_info info;
	__u64 value = 0;
	int ret;

	*bytes = 0;
	if (m->protocol == PROTOCOL_V1) {
		ret = v1_pending(&m->v1, &value);
	} else if (v2_get_state(&m->v2) == V2_PRE_COPY) {
		ret = v2_precopy_info(&m->v2, &info);
		value = info.initial_bytes + info.dirty_bytes;
	} else {
		ret = v2_data_size(&m->v2, &value);
	}
	*bytes = ret ? 0 : value;
	return ret;
}

/* The data is valid until the next call, which concludes the iteration. */
static ssize_t next_v1(struct v1 *v1, const void **data)
{
	__u64 pending;
	int ret;

	ret = v1_pending(v1, &pending);
	if (ret || !pending)
		return ret;
	*data = v1->map;
	return v1_open_iteration(v1);
}

static ssize_t next_v2(struct migdev *m, const void **data)
{
	ssize_t ret = v2_read(&m->v2, m->buf, PORTION);

	*data = m->buf;
	return ret == -ENOMSG ? 0 : ret;
}

/*
 * Reads the next bytes of the state, which are valid until the next call. Returns their
 * number. 0 means none at present in pre-copy, and the end in stop-and-copy.
 */
ssize_t source_next(struct migdev *m, const void **data)
{
	return m->protocol == PROTOCOL_V1 ? next_v1(&m->v1, data) :
					    next_v2(m, data);
}
