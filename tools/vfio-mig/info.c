// SPDX-License-Identifier: GPL-2.0-only
/* vfio-mig info: shows what a device offers, its state and its counters. */
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "migdev.h"

#define MIGRATION_DIR	"migration"

struct info {
	struct migdev m;
	int open_error;
	char driver[64];
	char type[128];
	bool dma_logging;
	__u64 size;			/* present size of the state */
	int size_error;
};

static void read_link_name(const struct info *i, const char *link, char *name,
			   size_t room)
{
	char path[PATH_MAX + 32], target[PATH_MAX];
	ssize_t len;

	snprintf(path, sizeof(path), "%s/%s", i->m.path, link);
	len = readlink(path, target, sizeof(target) - 1);
	target[len > 0 ? len : 0] = '\0';
	snprintf(name, room, "%s", len > 0 ? basename(target) : "");
}

/*
 * Reads a file of the device's directory "migration" as one line. Returns false if there is
 * none.
 */
static bool read_attribute(const struct info *i, const char *name, char *value,
			   size_t room)
{
	char path[PATH_MAX + 300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/" MIGRATION_DIR "/%s", i->m.path, name);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(value, room, f))
		value[0] = '\0';
	value[strcspn(value, "\n")] = '\0';
	fclose(f);
	return true;
}

static int visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/* Calls @show for each attribute, in the order of their names. */
static void each_attribute(const struct info *i, struct json *j,
			   void (*show)(struct json *j, const char *name,
					const char *value))
{
	char path[PATH_MAX + 32], value[64];
	struct dirent **names;
	int nr, n;

	snprintf(path, sizeof(path), "%s/" MIGRATION_DIR, i->m.path);
	nr = scandir(path, &names, visible, alphasort);
	for (n = 0; n < nr; n++) {
		if (read_attribute(i, names[n]->d_name, value, sizeof(value)))
			show(j, names[n]->d_name, value);
		free(names[n]);
	}
	if (nr >= 0)
		free(names);
}

static bool has_dma_logging(struct v2 *v2)
{
	return !v2_feature(v2, VFIO_DEVICE_FEATURE_PROBE |
			   VFIO_DEVICE_FEATURE_SET |
			   VFIO_DEVICE_FEATURE_DMA_LOGGING_START, NULL, 0);
}

/* If v2 cannot report the size, the device is stopped, and v1 reports it. */
static int measure(struct info *i)
{
	struct migdev *m = &i->m;
	__u64 size = 0;
	int ret;

	ret = m->has_v2 ? v2_data_size(&m->v2, &size) : -ENOTTY;
	if (ret == -ENOTTY && m->has_v1) {
		ret = v1_set_state(&m->v1, V1_STOP_COPY);
		if (!ret)
			ret = v1_pending(&m->v1, &size);
		v1_set_state(&m->v1, V1_RUNNING);
	}
	i->size = size;
	return ret;
}

/* Runs after the attributes in sysfs are read, because it changes them. */
static void open_and_measure(struct info *i)
{
	i->open_error = migdev_open(&i->m);
	if (i->open_error)
		return;
	i->size_error = measure(i);
	i->dma_logging = i->m.has_v2 && has_dma_logging(&i->m.v2);
}

static void v2_states_json(struct json *j, struct v2 *v2)
{
	__u32 state;

	json_open(j, "states", '[');
	for (state = V2_STOP; state < V2_NR_STATES; state++)
		if (v2_has(v2, state))
			json_string(j, NULL, v2_state_name(state));
	json_close(j, ']');
}

static void attribute_json(struct json *j, const char *name, const char *value)
{
	char *end;
	__u64 number = strtoull(value, &end, 10);

	if (*value && !*end)
		json_number(j, name, number);
	else
		json_string(j, name, value);
}

static void protocols_json(struct json *j, struct info *i)
{
	if (i->m.has_v1) {
		json_open(j, "v1", '{');
		json_number(j, "region", i->m.v1.region.index);
		json_number(j, "region_bytes", i->m.v1.region.size);
		json_number(j, "window_bytes", i->m.v1.window);
		json_close(j, '}');
	}
	if (i->m.has_v2) {
		json_open(j, "v2", '{');
		v2_states_json(j, &i->m.v2);
		json_bool(j, "dma_logging", i->dma_logging);
		json_close(j, '}');
	}
}

static void show_json(struct info *i)
{
	struct json j = { .to = stdout };

	json_open(&j, NULL, '{');
	json_string(&j, "device", i->m.path);
	json_string(&j, "driver", i->driver);
	json_string(&j, "type", i->type);
	json_open(&j, "migration", '{');
	each_attribute(i, &j, attribute_json);
	json_close(&j, '}');

	open_and_measure(i);
	if (i->open_error)
		json_string(&j, "open_error", errno_name(i->open_error));
	protocols_json(&j, i);
	if (!i->open_error && !i->size_error)
		json_number(&j, "state_bytes", i->size);
	json_close(&j, '}');
}

static void print_attribute(struct json *j, const char *name, const char *value)
{
	(void)j;
	printf("  %-16s %s\n", name, value);
}

static void print_protocols(struct info *i)
{
	__u32 state;

	if (i->m.has_v1)
		printf("v1        region %u, data section %s\n",
		       i->m.v1.region.index, human_size(i->m.v1.window));
	if (i->m.has_v2) {
		printf("v2        states");
		for (state = V2_STOP; state < V2_NR_STATES; state++)
			if (v2_has(&i->m.v2, state))
				printf(" %s", v2_state_name(state));
		printf("; DMA logging: %s\n", i->dma_logging ? "yes" : "no");
	}
	if (!i->m.has_v1 && !i->m.has_v2)
		puts("migration none: its driver offers neither v1 nor v2");
	if (!i->size_error)
		printf("size      %s to be saved\n", human_size(i->size));
}

static void show(struct info *i)
{
	printf("device    %s\n", i->m.path);
	if (i->driver[0])
		printf("driver    %s\n", i->driver);
	if (i->type[0])
		printf("type      %s\n", i->type);
	puts("migration");
	each_attribute(i, NULL, print_attribute);

	open_and_measure(i);
	if (i->open_error)
		printf("protocols not known: the device cannot be opened: %s (%s)\n",
		       strerror(-i->open_error), errno_name(i->open_error));
	else
		print_protocols(i);
}

/* If a VMM has the device open, the counters are shown, and this is no failure. */
static int verdict(const struct info *i)
{
	if (i->open_error)
		return migdev_in_use(i->open_error) ? EXIT_OK :
		       migdev_not_opened(&i->m, i->open_error);
	if (i->size_error && i->size_error != -ENOTTY)
		return error_errno(i->size_error, "%s: the size of its state",
				   i->m.name);
	return EXIT_OK;
}

int cmd_info(const struct options *o, int argc, char **argv)
{
	struct info i = { 0 };
	int ret;

	if (argc != 1)
		return usage("info takes a device");
	ret = migdev_find(&i.m, argv[0]);
	if (ret)
		return ret;
	read_link_name(&i, "driver", i.driver, sizeof(i.driver));
	read_link_name(&i, "mdev_type", i.type, sizeof(i.type));
	if (o->json)
		show_json(&i);
	else
		show(&i);
	ret = verdict(&i);
	migdev_close(&i.m);
	return ret;
}
