// SPDX-License-Identifier: GPL-2.0-only
/* vfio-mig states: tries all transitions of the state machine, or goes through some. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "json.h"
#include "migdev.h"

struct state {
	const char *name;	/* name in the device's file migration/state */
	const char *bits;	/* name in v1; NULL: v1 has no such state */
	const char *uapi;	/* name in v2 */
	__u32 v1;
	__u32 v2;
};

static const struct state states[] = {
	{ "stopped", "000", "STOP", V1_STOPPED, V2_STOP },
	{ "running", "001", "RUNNING", V1_RUNNING, V2_RUNNING },
	{ "stop-and-copy", "010", "STOP_COPY", V1_STOP_COPY, V2_STOP_COPY },
	{ "pre-copy", "011", "PRE_COPY", V1_PRE_COPY, V2_PRE_COPY },
	{ "resuming", "100", "RESUMING", V1_RESUMING, V2_RESUMING },
	{ "running-p2p", NULL, "RUNNING_P2P", 0, V2_RUNNING_P2P },
	{ "pre-copy-p2p", NULL, "PRE_COPY_P2P", 0, V2_PRE_COPY_P2P },
};

#define NR_STATES	((int)(sizeof(states) / sizeof(*states)))

static bool has_state(struct migdev *m, const struct state *s)
{
	return m->protocol == PROTOCOL_V1 ? !!s->bits : v2_has(&m->v2, s->v2);
}

static int set_state(struct migdev *m, const struct state *s)
{
	return m->protocol == PROTOCOL_V1 ? v1_set_state(&m->v1, s->v1) :
					    v2_set_state(&m->v2, s->v2);
}

static const char *spelled(struct migdev *m, const struct state *s)
{
	return m->protocol == PROTOCOL_V1 ? s->bits : s->uapi;
}

/* The state that the device reports */
static const char *get_state(struct migdev *m)
{
	long value = m->protocol == PROTOCOL_V1 ? v1_get_state(&m->v1) :
						  v2_get_state(&m->v2);
	int i;

	if (value < 0)
		return errno_name(value);
	for (i = 0; i < NR_STATES; i++)
		if (has_state(m, &states[i]) &&
		    value == (long)(m->protocol == PROTOCOL_V1 ? states[i].v1 :
								 states[i].v2))
			return states[i].name;
	return "error";
}

/*
 * Goes to @s from any state. A reset lets the device run, and a running device can enter
 * any state.
 */
static int go(struct migdev *m, const struct state *s)
{
	int ret = device_reset(&m->dev);

	return ret ? ret : set_state(m, s);
}

static const char *answer(int ret)
{
	return ret ? errno_name(ret) : "yes";
}

static int try_transition(struct migdev *m, const struct state *from,
			  const struct state *to, int *result)
{
	int ret = go(m, from);

	if (ret)
		return error_errno(ret, "%s: reset, and then %s", m->name,
				   spelled(m, from));
	*result = set_state(m, to);
	return EXIT_OK;
}

static int table_row(struct migdev *m, const struct state *from)
{
	int i, ret, result;

	printf("%-12s ", spelled(m, from));
	for (i = 0; i < NR_STATES; i++) {
		if (!has_state(m, &states[i]))
			continue;
		ret = try_transition(m, from, &states[i], &result);
		if (ret)
			return ret;
		printf(" %-12s", from == &states[i] && !result ? "=" :
		       answer(result));
	}
	putchar('\n');
	return EXIT_OK;
}

static int print_table(struct migdev *m)
{
	int i, ret = EXIT_OK;

	printf("%s           ", protocol_name(m->protocol));
	for (i = 0; i < NR_STATES; i++)
		if (has_state(m, &states[i]))
			printf(" %-12s", spelled(m, &states[i]));
	putchar('\n');
	for (i = 0; i < NR_STATES && !ret; i++)
		if (has_state(m, &states[i]))
			ret = table_row(m, &states[i]);
	return ret;
}

/* Writes the table also if the device failed, so that the JSON is complete. */
static int table_json(struct migdev *m, struct json *j)
{
	int from, to, ret = EXIT_OK, result;

	json_open(j, protocol_name(m->protocol), '[');
	for (from = 0; from < NR_STATES && !ret; from++) {
		for (to = 0; to < NR_STATES && !ret; to++) {
			if (!has_state(m, &states[from]) ||
			    !has_state(m, &states[to]))
				continue;
			ret = try_transition(m, &states[from], &states[to], &result);
			if (ret)
				break;
			json_open(j, NULL, '{');
			json_string(j, "from", states[from].name);
			json_string(j, "to", states[to].name);
			json_string(j, "result", result ? errno_name(result) :
							  "success");
			json_close(j, '}');
		}
	}
	json_close(j, ']');
	return ret;
}

/* Tries all transitions of the named protocol, or of both. */
static int all_transitions(struct migdev *m, const struct options *o)
{
	struct json j = { .to = stdout };
	enum protocol p;
	int ret = EXIT_OK;

	if (o->json)
		json_open(&j, NULL, '{');
	for (p = PROTOCOL_V1; p <= PROTOCOL_V2 && !ret; p++) {
		if (p == PROTOCOL_V1 ? !m->has_v1 : !m->has_v2)
			continue;
		if (o->from != PROTOCOL_ANY && o->from != p)
			continue;
		m->protocol = p;
		ret = o->json ? table_json(m, &j) : print_table(m);
	}
	device_reset(&m->dev);
	if (o->json)
		json_close(&j, '}');
	else if (!ret)
		puts("ENODATA: RESUMING is left with a complete state only; none was loaded.");
	return ret;
}

static const struct state *find_state(struct migdev *m, const char *name)
{
	int i;

	for (i = 0; i < NR_STATES; i++) {
		const struct state *s = &states[i];

		if (has_state(m, s) && (!strcasecmp(s->name, name) ||
					!strcasecmp(s->uapi, name) ||
					(s->bits && !strcmp(s->bits, name))))
			return s;
	}
	return NULL;
}

static void show_step(const struct options *o, struct json *j,
		      struct migdev *m, const struct state *s, int result,
		      double seconds)
{
	if (!o->json) {
		printf("%-14s %-8s %8.3f ms  now %s\n", s->name,
		       answer(result), seconds * 1000, get_state(m));
		return;
	}
	json_open(j, NULL, '{');
	json_string(j, "to", s->name);
	json_string(j, "result", result ? errno_name(result) : "success");
	json_seconds(j, "seconds", seconds);
	json_string(j, "state", get_state(m));
	json_close(j, '}');
}

/* Goes through the named states in order, and ends at the first refusal. */
static int go_through(struct migdev *m, const struct options *o, int nr,
		      char **names)
{
	struct json j = { .to = stdout };
	const struct state *s;
	int i, result = 0;
	double start;

	for (i = 0; i < nr; i++)
		if (!find_state(m, names[i]))
			return usage("%s has no state %s by %s", m->name,
				     names[i], protocol_name(m->protocol));
	if (o->json)
		json_open(&j, NULL, '[');
	for (i = 0; i < nr && !result; i++) {
		s = find_state(m, names[i]);
		start = seconds_now();
		result = set_state(m, s);
		show_step(o, &j, m, s, result, seconds_now() - start);
	}
	if (o->json)
		json_close(&j, ']');
	return result ? EXIT_FAILED : EXIT_OK;
}

int cmd_states(const struct options *o, int argc, char **argv)
{
	struct migdev m;
	int ret;

	if (argc < 1)
		return usage("states takes a device, and states to go through");
	ret = migdev_use(&m, argv[0], o->from);
	if (ret)
		return ret;
	ret = argc > 1 ? go_through(&m, o, argc - 1, argv + 1) :
			 all_transitions(&m, o);
	migdev_close(&m);
	return ret;
}
