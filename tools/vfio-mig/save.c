// SPDX-License-Identifier: GPL-2.0-only
/* vfio-mig save: writes a device's state to a file or a pipe. */
#include "json.h"
#include "output.h"
#include "transfer.h"

static int put(void *ctx, const void *data, size_t len)
{
	return output_write(ctx, data, len);
}

static void report(const struct transfer *t)
{
	struct json j = { .to = stdout };

	if (!t->options->json) {
		if (!t->options->quiet)
			printf("saved %s by %s in %.2f s\n", human_size(t->bytes),
			       protocol_name(t->from->protocol), t->seconds);
		return;
	}
	json_open(&j, NULL, '{');
	json_string(&j, "device", t->from->path);
	json_string(&j, "protocol", protocol_name(t->from->protocol));
	json_number(&j, "bytes", t->bytes);
	json_seconds(&j, "seconds", t->seconds);
	json_seconds(&j, "stopped_seconds", t->stopped);
	json_close(&j, '}');
}

static int save(struct transfer *t)
{
	if (t->rounds && !migdev_can_precopy(t->from))
		return error("%s: the device has no pre-copy by %s", t->from->name,
			     protocol_name(t->from->protocol));
	return transfer_run(t);
}

/*
 * The output is opened first, because a device must not be reset for a file that cannot be
 * written.
 */
int cmd_save(const struct options *o, int argc, char **argv)
{
	struct output out;
	struct migdev from;
	struct transfer t = {
		.from = &from,
		.options = o,
		.what = "save",
		.rounds = o->rounds < 0 ? 0 : o->rounds,
		.put = put,
		.ctx = &out,
	};
	int ret;

	if (argc < 1 || argc > 2)
		return usage("save takes a device, and a file unless it is standard output");
	ret = migdev_find(&from, argv[0]);
	if (ret)
		return ret;
	ret = output_open(&out, argc > 1 ? argv[1] : NULL);
	if (!ret)
		ret = migdev_use(&from, argv[0], o->from);
	if (!ret) {
		ret = save(&t);
		migdev_close(&from);
	}
	ret = output_close(&out, ret);
	if (!ret)
		report(&t);
	return ret;
}
