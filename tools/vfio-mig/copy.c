// SPDX-License-Identifier: GPL-2.0-only
/* vfio-mig copy: migrates a state from one device to another, as a VMM does */
#include "json.h"
#include "transfer.h"

#define ROUNDS	8

struct copy {
	const struct options *options;
	struct migdev from;
	struct migdev to;
	struct json json;
};

static int put(void *ctx, const void *data, size_t len)
{
	struct copy *c = ctx;
	int ret = target_feed(&c->to, data, len);

	return ret ? target_refused(&c->to, ret) : EXIT_OK;
}

static void round_json(struct json *j, const struct round *r)
{
	json_open(j, NULL, '{');
	json_string(j, "phase", r->nr ? "pre-copy" : "stop-and-copy");
	json_number(j, "bytes", r->bytes);
	json_seconds(j, "seconds", r->seconds);
	json_number(j, "left", r->left);
	json_close(j, '}');
}

static void show_round(void *ctx, const struct round *r)
{
	struct copy *c = ctx;

	if (c->options->json) {
		round_json(&c->json, r);
		return;
	}
	if (c->options->quiet)
		return;
	if (r->nr)
		printf("round %-3u", r->nr);
	else
		printf("stopped  ");
	printf("%10s in %.3f s", human_size(r->bytes), r->seconds);
	if (r->nr)
		printf(", %s left", human_size(r->left));
	putchar('\n');
	fflush(stdout);
}

static int run(struct copy *c, struct transfer *t)
{
	int ret;

	ret = target_start(&c->to);
	if (ret)
		return error_errno(ret, "%s: starting to load", c->to.name);
	ret = transfer_run(t);
	if (ret)
		return ret;
	ret = target_finish(&c->to);
	return ret ? target_refused(&c->to, ret) : EXIT_OK;
}

static void open_report(struct copy *c)
{
	struct json *j = &c->json;

	json_open(j, NULL, '{');
	json_string(j, "from", c->from.path);
	json_string(j, "from_protocol", protocol_name(c->from.protocol));
	json_string(j, "to", c->to.path);
	json_string(j, "to_protocol", protocol_name(c->to.protocol));
	json_open(j, "rounds", '[');
}

/* Closes the report also after a failure, so that the JSON is complete. */
static void close_report(struct copy *c, struct transfer *t, bool copied)
{
	struct json *j = &c->json;

	json_close(j, ']');
	json_number(j, "bytes", t->bytes);
	json_seconds(j, "seconds", t->seconds);
	json_seconds(j, "stopped_seconds", t->stopped);
	json_bool(j, "copied", copied);
	json_close(j, '}');
}

static int copy(struct copy *c)
{
	const struct options *o = c->options;
	struct transfer t = {
		.from = &c->from,
		.options = o,
		.what = "copy",
		.rounds = o->rounds < 0 ? ROUNDS : o->rounds,
		.put = put,
		.round = show_round,
		.ctx = c,
	};
	int ret;

	if (!migdev_can_precopy(&c->from))
		t.rounds = 0;
	if (o->json)
		open_report(c);
	ret = run(c, &t);
	if (o->json)
		close_report(c, &t, !ret);
	else if (!ret && !o->quiet)
		printf("copied %s from %s to %s in %.2f s, stopped for %.3f s\n",
		       human_size(t.bytes), protocol_name(c->from.protocol),
		       protocol_name(c->to.protocol), t.seconds, t.stopped);
	return ret;
}

int cmd_copy(const struct options *o, int argc, char **argv)
{
	struct copy c = { .options = o, .json.to = stdout };
	int ret;

	if (argc != 2)
		return usage("copy takes two devices: from and to");
	/* Both devices are found before the first is opened, because an open resets a device. */
	ret = migdev_find(&c.from, argv[0]);
	if (!ret)
		ret = migdev_find(&c.to, argv[1]);
	if (!ret && migdev_same(&c.from, &c.to))
		ret = usage("%s and %s are the same device", argv[0], argv[1]);
	if (!ret)
		ret = migdev_use(&c.from, argv[0], o->from);
	if (ret)
		return ret;
	ret = migdev_use(&c.to, argv[1], o->to);
	if (!ret) {
		ret = copy(&c);
		migdev_close(&c.to);
	}
	migdev_close(&c.from);
	return ret;
}
