// SPDX-License-Identifier: GPL-2.0-only
/* vfio-mig save: a device's state to a file or a pipe. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "transfer.h"

struct output {
	const char *name;
	int fd;
	bool created;		/* a file of ours: removed if the save fails */
};

static int output_open(struct output *out, const char *name)
{
	struct stat st;

	out->name = name && strcmp(name, "-") ? name : NULL;
	out->fd = STDOUT_FILENO;
	if (!out->name) {
		out->name = "standard output";
		if (isatty(out->fd))
			return usage("a state is not for a terminal: name a file, or use a pipe");
		/* Two who do not wait for each other. Fails where it is no pipe. */
		fcntl(out->fd, F_SETPIPE_SZ, (int)PORTION);
		return EXIT_OK;
	}
	out->fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out->fd < 0)
		return error_errno(-errno, "%s", name);
	out->created = !fstat(out->fd, &st) && S_ISREG(st.st_mode);
	return EXIT_OK;
}

/* Part of a state is of no use to anybody. */
static int output_close(struct output *out, int ret)
{
	if (out->fd < 0)
		return ret;
	if (close(out->fd) && !ret)
		ret = error_errno(-errno, "%s", out->name);
	if (ret && out->created)
		unlink(out->name);
	return ret;
}

static int output_put(void *ctx, const void *data, size_t len)
{
	struct output *out = ctx;
	ssize_t ret;

	for (; len; data += ret, len -= ret) {
		ret = write(out->fd, data, len < PORTION ? len : PORTION);
		if (ret < 0 && errno != EINTR)
			return error_errno(-errno, "%s", out->name);
		if (ret < 0)
			ret = 0;
	}
	return EXIT_OK;
}

/* On standard error where the stream has taken standard output. */
static void report(const struct transfer *t, const struct output *out)
{
	FILE *to = out->fd == STDOUT_FILENO ? stderr : stdout;
	struct json j = { .to = to };

	if (!t->options->json) {
		if (!t->options->quiet)
			fprintf(to, "saved %s by %s in %.2f s\n",
				human_size(t->bytes),
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

int cmd_save(const struct options *o, int argc, char **argv)
{
	struct output out = { .fd = -1 };
	struct migdev from;
	struct transfer t = {
		.from = &from,
		.options = o,
		.what = "save",
		.rounds = o->rounds < 0 ? 0 : o->rounds,
		.put = output_put,
		.ctx = &out,
	};
	int ret;

	if (argc < 1 || argc > 2)
		return usage("save takes a device, and a file unless it is standard output");
	ret = migdev_use(&from, argv[0], o->from);
	if (ret)
		return ret;
	if (t.rounds && !migdev_can_precopy(&from))
		ret = error("%s: the device has no pre-copy by %s", from.name,
			    protocol_name(from.protocol));
	if (!ret)
		ret = output_open(&out, argv[1]);
	if (!ret)
		ret = transfer_run(&t);
	if (!ret)
		report(&t, &out);
	migdev_close(&from);
	return output_close(&out, ret);
}
