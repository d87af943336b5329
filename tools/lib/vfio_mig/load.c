// SPDX-License-Identifier: GPL-2.0-only
/* The target of a v1 migration */
#include <string.h>

#include "v1.h"

static int commit(struct v1 *v1, const void *data, size_t len)
{
	int ret = 0;

	if (v1->map)
		memcpy(v1->map, data, len);
	else
		ret = v1_write_data(v1, 0, data, len);
	return ret ? ret : v1_write_data_size(v1, len);
}

/*
 * Writes a part of a stream in commits of @portion bytes, or of the window's size if
 * @portion is 0. Returns the first error.
 */
int v1_feed(struct v1 *v1, const void *data, size_t len, size_t portion)
{
	size_t n;
	int ret;

	if (!portion || portion > v1->window)
		portion = v1->window;
	for (; len; data += n, len -= n) {
		n = len < portion ? len : portion;
		ret = commit(v1, data, n);
		if (ret)
			return ret;
	}
	return 0;
}

/* Loads a stream. The device is in state 001 or 000 before, and in 100 afterwards. */
int v1_load(struct v1 *v1, const struct buffer *in, size_t portion)
{
	int ret;

	ret = v1_set_state(v1, V1_RESUMING);
	return ret ? ret : v1_feed(v1, in->data, in->len, portion);
}
