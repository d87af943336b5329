// SPDX-License-Identifier: GPL-2.0-only
/* Loads a state into a device by either protocol. */
#include <errno.h>

#include "migdev.h"

int target_start(struct migdev *m)
{
	if (m->protocol == PROTOCOL_V1)
		return v1_set_state(&m->v1, V1_RESUMING);
	return v2_set_state(&m->v2, V2_RESUMING);
}

/* The state takes effect. The device stays stopped, because nobody uses it. */
int target_finish(struct migdev *m)
{
	if (m->protocol == PROTOCOL_V1)
		return v1_set_state(&m->v1, V1_STOPPED);
	return v2_set_state(&m->v2, V2_STOP);
}

/* Returns the place for bytes of a stream, for target_commit(). */
void *target_room(struct migdev *m, size_t *room)
{
	*room = PORTION;
	if (m->protocol == PROTOCOL_V2)
		return m->buf;
	if (m->v1.window < *room)
		*room = m->v1.window;
	return m->v1.map;
}

int target_commit(struct migdev *m, size_t len)
{
	if (m->protocol == PROTOCOL_V1)
		return v1_write_data_size(&m->v1, len);
	return v2_feed(&m->v2, m->buf, len, 0);
}

/* Loads bytes of a stream from any buffer. */
int target_feed(struct migdev *m, const void *data, size_t len)
{
	if (m->protocol == PROTOCOL_V1)
		return v1_feed(&m->v1, data, len, 0);
	return v2_feed(&m->v2, data, len, 0);
}

static const char *refusal(int ret)
{
	switch (ret) {
	case -EILSEQ:
		return "a chunk is missing, repeated or out of order";
	case -EBADMSG:
		return "it is damaged or malformed";
	case -EPROTONOSUPPORT:
		return "it is of another version, or has a part that the driver does not know";
	case -ENODEV:
		return "it is of another type or size of device";
	case -EINVAL:
		return "it has a value that no such device can have";
	case -ENODATA:
		return "it is not complete";
	default:
		return NULL;
	}
}

/*
 * Prints why a device refused a stream. Returns an exit code, which distinguishes a fault
 * of the stream from others.
 */
int target_refused(struct migdev *m, int ret)
{
	const char *why = refusal(ret);

	if (!why)
		return error_errno(ret, "%s: loading the state", m->name);
	error("%s: the device refuses the stream: %s (%s)", m->name, why,
	      errno_name(ret));
	fputs("The kernel's log says more, and so does 'vfio-mig dump'.\n", stderr);
	return EXIT_STREAM;
}
