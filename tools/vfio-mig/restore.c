// SPDX-License-Identifier: GPL-2.0-only
/* vfio-mig restore: loads a device's state from a file or a pipe. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "migdev.h"
#include "progress.h"

struct input {
	const char *name;
	int fd;
	__u64 size;		/* 0: unknown */
};

static int input_open(struct input *in, const char *name)
{
	struct stat st;

	in->name = name && strcmp(name, "-") ? name : NULL;
	in->fd = STDIN_FILENO;
	if (in->name) {
		in->fd = open(name, O_RDONLY | O_CLOEXEC);
		if (in->fd < 0)
			return error_errno(-errno, "%s", name);
	} else {
		in->name = "standard input";
		if (isatty(in->fd))
			return usage("a terminal gives no state: name a file, or read a pipe");
		fcntl(in->fd, F_SETPIPE_SZ, (int)PORTION);
	}
	if (fstat(in->fd, &st))
		return error_errno(-errno, "%s", in->name);
	if (S_ISDIR(st.st_mode))
		return error_errno(-EISDIR, "%s", in->name);
	if (S_ISREG(st.st_mode))
		in->size = st.st_size;
	return EXIT_OK;
}

static int load(struct migdev *to, struct input *in, struct progress *p)
{
	struct pollfd ready = { .fd = in->fd, .events = POLLIN };
	size_t room;
	ssize_t len;
	void *buf;
	int ret;

	buf = target_room(to, &room);
	for (;;) {
		len = read(in->fd, buf, room);
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 && errno == EAGAIN) {
			poll(&ready, 1, -1);
			continue;
		}
		if (len < 0)
			return error_errno(-errno, "%s", in->name);
		if (!len)
			return EXIT_OK;
		ret = target_commit(to, len);
		if (ret)
			return target_refused(to, ret);
		progress_add(p, len);
	}
}

static int restore(struct migdev *to, struct input *in, struct progress *p)
{
	int ret;

	ret = target_start(to);
	if (ret)
		return error_errno(ret, "%s: starting to load", to->name);
	ret = load(to, in, p);
	if (ret)
		return ret;
	ret = target_finish(to);
	return ret ? target_refused(to, ret) : EXIT_OK;
}

static void report(const struct options *o, const struct migdev *to,
		   __u64 bytes, double seconds)
{
	struct json j = { .to = stdout };

	if (!o->json) {
		if (!o->quiet)
			printf("restored %s by %s in %.2f s\n", human_size(bytes),
			       protocol_name(to->protocol), seconds);
		return;
	}
	json_open(&j, NULL, '{');
	json_string(&j, "device", to->path);
	json_string(&j, "protocol", protocol_name(to->protocol));
	json_number(&j, "bytes", bytes);
	json_seconds(&j, "seconds", seconds);
	json_close(&j, '}');
}

int cmd_restore(const struct options *o, int argc, char **argv)
{
	struct progress p;
	struct migdev to;
	struct input in = { .fd = -1 };
	int ret;

	if (argc < 1 || argc > 2)
		return usage("restore takes a device, and a file unless it is standard input");
	ret = migdev_find(&to, argv[0]);
	if (!ret)
		ret = input_open(&in, argc > 1 ? argv[1] : NULL);
	if (ret)
		return ret;
	ret = migdev_use(&to, argv[0], o->from);
	if (ret)
		return ret;
	progress_start(&p, "restore", o->quiet, in.size);
	ret = restore(&to, &in, &p);
	progress_end(&p, !ret);
	if (!ret)
		report(o, &to, p.done, seconds_now() - p.start);
	migdev_close(&to);
	return ret;
}
