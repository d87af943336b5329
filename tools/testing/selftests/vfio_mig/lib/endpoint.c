// SPDX-License-Identifier: GPL-2.0-only
/* One end of a migration, by v1 or v2. */
#include <errno.h>
#include <string.h>

#include "endpoint.h"

#define PORTION	(256 << 10)

int endpoint_open(struct endpoint *e, const char *path)
{
	int ret;

	memset(e, 0, sizeof(*e));
	ret = device_open(&e->dev, path);
	if (ret)
		return ret;
	ret = v1_open(&e->v1, &e->dev);
	if (ret && ret != -ENOENT) {
		device_close(&e->dev);
		return ret;
	}
	e->has_v1 = !ret;
	e->has_v2 = !v2_open(&e->v2, &e->dev);
	e->by_v2 = !e->has_v1;
	return 0;
}

void endpoint_close(struct endpoint *e)
{
	v2_close(&e->v2);
	v1_close(&e->v1);
	device_close(&e->dev);
}

/* If v2 has no pre-copy, as in 6.1, the device continues to run. */
int endpoint_precopy(struct endpoint *e)
{
	if (!e->by_v2)
		return v1_set_state(&e->v1, V1_PRE_COPY);
	v2_close(&e->v2);
	return v2_has(&e->v2, V2_PRE_COPY) ? v2_set_state(&e->v2, V2_PRE_COPY) : 0;
}

/* Reads the data that the device has now. Returns the number of bytes, which may be 0. */
ssize_t endpoint_take(struct endpoint *e, struct buffer *out)
{
	__u64 pending;
	ssize_t ret;

	if (!e->by_v2) {
		ret = v1_pending(&e->v1, &pending);
		return ret || !pending ? ret : v1_iteration(&e->v1, out);
	}
	if (e->v2.data < 0)
		return 0;
	ret = v2_read(&e->v2, buffer_grow(out, PORTION), PORTION);
	out->len -= PORTION - (ret > 0 ? ret : 0);
	return ret == -ENOMSG ? 0 : ret;
}

int endpoint_stop(struct endpoint *e)
{
	return e->by_v2 ? v2_set_state(&e->v2, V2_STOP_COPY) :
			  v1_set_state(&e->v1, V1_STOP_COPY);
}

/* Reads the rest of the stream. The device is stopped. */
int endpoint_drain(struct endpoint *e, struct buffer *out)
{
	ssize_t ret;

	do
		ret = endpoint_take(e, out);
	while (ret > 0);
	return ret;
}

int endpoint_cancel(struct endpoint *e)
{
	return e->by_v2 ? v2_set_state(&e->v2, V2_RUNNING) :
			  v1_set_state(&e->v1, V1_RUNNING);
}

int endpoint_rest(struct endpoint *e)
{
	return e->by_v2 ? v2_set_state(&e->v2, V2_STOP) :
			  v1_set_state(&e->v1, V1_STOPPED);
}

int endpoint_resume(struct endpoint *e)
{
	return e->by_v2 ? v2_set_state(&e->v2, V2_RESUMING) :
			  v1_set_state(&e->v1, V1_RESUMING);
}

int endpoint_give(struct endpoint *e, const struct buffer *in)
{
	return e->by_v2 ? v2_feed(&e->v2, in->data, in->len, 0) :
			  v1_feed(&e->v1, in->data, in->len, 0);
}

int endpoint_run(struct endpoint *e)
{
	return endpoint_cancel(e);
}
