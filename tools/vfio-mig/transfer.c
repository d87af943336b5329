// SPDX-License-Identifier: GPL-2.0-only
/*
 * The order in which the state of a device is read: rounds, then the rest
 *
 * While the device runs, its state is read in rounds. A round ends after as many bytes as
 * there were at its start. So data that the device changes during a round belong to the next
 * round. If little is left, or after the last permitted round, the device is stopped, and the
 * rest is read.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "transfer.h"

static int source_failed(struct transfer *t, long ret, const char *what)
{
	return error_errno(ret, "%s: %s", t->from->name, what);
}

/* Reads until nothing is left, or at least @limit bytes. */
static int drain(struct transfer *t, __u64 limit, __u64 *bytes)
{
	const void *data;
	ssize_t len;
	int ret;

	*bytes = 0;
	while (*bytes < limit) {
		len = source_next(t->from, &data);
		if (len < 0)
			return source_failed(t, len, "reading the state");
		if (!len)
			break;
		ret = t->put(t->ctx, data, len);
		if (ret)
			return ret;
		*bytes += len;
		progress_add(&t->progress, len);
	}
	t->bytes += *bytes;
	return EXIT_OK;
}

static void tell(struct transfer *t, const struct round *r)
{
	if (!t->round)
		return;
	progress_clear(&t->progress);
	t->round(t->ctx, r);
}

static int precopy(struct transfer *t, __u64 left)
{
	struct round r = { .left = left };
	double start;
	int ret;

	while ((int)r.nr < t->rounds && r.left) {
		start = seconds_now();
		r.nr++;
		ret = drain(t, r.left, &r.bytes);
		if (ret)
			return ret;
		ret = source_left(t->from, &r.left);
		if (ret)
			return source_failed(t, ret, "what is left in pre-copy");
		r.seconds = seconds_now() - start;
		tell(t, &r);
		if (r.left <= t->options->threshold)
			break;
	}
	return EXIT_OK;
}

static int stop_and_copy(struct transfer *t)
{
	struct round r = { 0 };
	double start = seconds_now();
	int ret;

	if (t->rounds) {
		ret = source_stop(t->from);
		if (ret)
			return source_failed(t, ret, "stopping the device");
	}
	ret = drain(t, UINT64_MAX, &r.bytes);
	if (ret)
		return ret;
	r.seconds = seconds_now() - start;
	t->stopped = r.seconds;
	tell(t, &r);
	ret = source_finish(t->from);
	return ret ? source_failed(t, ret, "ending the save") : EXIT_OK;
}

/* Reads a whole state. Returns an exit code. */
int transfer_run(struct transfer *t)
{
	double start = seconds_now();
	__u64 left;
	int ret;

	ret = source_start(t->from, t->rounds > 0);
	if (ret)
		return source_failed(t, ret, "starting to save");
	ret = source_left(t->from, &left);
	if (ret && ret != -ENOTTY)
		return source_failed(t, ret, "asking how much there is");

	progress_start(&t->progress, t->what, t->options->quiet, left);
	ret = t->rounds ? precopy(t, left) : EXIT_OK;
	if (!ret)
		ret = stop_and_copy(t);
	progress_end(&t->progress, !ret);
	t->seconds = seconds_now() - start;
	return ret;
}
