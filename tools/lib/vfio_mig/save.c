// SPDX-License-Identifier: GPL-2.0-only
/* The source of a v1 migration. A buffer collects the data of the iterations. */
#include <errno.h>
#include <string.h>

#include "v1.h"

/*
 * Opens an iteration, and appends its data. The next read of pending_bytes concludes the
 * iteration. Returns the size of the data, 0 if there is nothing to send.
 */
ssize_t v1_iteration(struct v1 *v1, struct buffer *out)
{
	ssize_t size = v1_open_iteration(v1);
	void *to;
	int ret;

	if (size <= 0)
		return size;
	to = buffer_grow(out, size);
	if (v1->map) {
		memcpy(to, v1->map, size);
		return size;
	}
	ret = v1_read_data(v1, 0, to, size);
	return ret ? ret : size;
}

/* Reads data until pending_bytes, which *@pending returns, is 0 or there is no data. */
static int drain(struct v1 *v1, struct buffer *out, __u64 *pending)
{
	ssize_t ret;

	do {
		ret = v1_pending(v1, pending);
		if (ret || !*pending)
			return ret;
		ret = v1_iteration(v1, out);
	} while (ret > 0);
	return ret;
}

/*
 * Reads data until pending_bytes is 0, as QEMU does. Returns the number of bytes. This may
 * never end in pre-copy if the device is busy. Use v1_iteration() there.
 */
ssize_t v1_drain(struct v1 *v1, struct buffer *out)
{
	size_t before = out->len;
	__u64 pending;
	int ret = drain(v1, out, &pending);

	return ret ? ret : (ssize_t)(out->len - before);
}

/*
 * Enters the stop-and-copy phase (state 010), and reads the rest of the stream. -ENOMSG if
 * pending_bytes is not 0, but there is no data. The stream is complete when pending_bytes is
 * 0. A second read could find a change that the user of the device made after the first one.
 */
int v1_save(struct v1 *v1, struct buffer *out)
{
	__u64 pending;
	int ret;

	ret = v1_set_state(v1, V1_STOP_COPY);
	if (!ret)
		ret = drain(v1, out, &pending);
	if (ret)
		return ret;
	return pending ? -ENOMSG : 0;
}
