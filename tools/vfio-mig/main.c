// SPDX-License-Identifier: GPL-2.0-only
/* vfio-mig: look at, save, restore and copy the state of VFIO devices. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "vfio-mig.h"

#ifndef VERSION
#define VERSION		"of a kernel tree"
#endif

static const char help[] =
"Usage: vfio-mig COMMAND [OPTION...] [ARGUMENT...]\n"
"\n"
"Commands:\n"
"  info DEVICE               what the device offers, its state and its counters\n"
"  save DEVICE [FILE]        write the device's state to a file or a pipe\n"
"  restore DEVICE [FILE]     load a state from a file or a pipe\n"
"  copy DEVICE DEVICE        from one device to the other, as a VMM migrates\n"
"  dump [FILE]               say what is in a stream, and what is wrong with it\n"
"  states DEVICE [STATE...]  try all transitions, or go through some states\n"
"\n"
"Options:\n"
"  -p, --protocol=P          v1 or v2; copy also takes one of each: v1,v2\n"
"  -r, --rounds=N            save, copy: at most N rounds of pre-copy (0, 8)\n"
"  -t, --threshold=SIZE      save, copy: stop when no more is left (1M)\n"
"  -s, --summary             dump: not each chunk, but the end result\n"
"  -v, --verbose             dump: all runs of pages, and the control state\n"
"  -x, --extract=FILE        dump: write the pages as an image, as sparse as they are\n"
"  -j, --json                for scripts\n"
"  -q, --quiet               only errors\n"
"  -h, --help, -V, --version\n"
"\n"
"DEVICE is a path in sysfs, an mdev's UUID or a PCI address.\n"
"Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a stream that is damaged or refused.\n";

static const struct option options[] = {
	{ "protocol", required_argument, NULL, 'p' },
	{ "rounds", required_argument, NULL, 'r' },
	{ "threshold", required_argument, NULL, 't' },
	{ "summary", no_argument, NULL, 's' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "extract", required_argument, NULL, 'x' },
	{ "json", no_argument, NULL, 'j' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ }
};

struct command {
	const char *name;
	int (*run)(const struct options *o, int argc, char **argv);
	const char *accepts;
};

static const struct command commands[] = {
	{ "copy", cmd_copy, "prtjq" },
	{ "dump", cmd_dump, "svxjq" },
	{ "info", cmd_info, "j" },
	{ "restore", cmd_restore, "pjq" },
	{ "save", cmd_save, "prtjq" },
	{ "states", cmd_states, "pj" },
};

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int parse_protocol(struct options *o, const char *text, bool two)
{
	static const struct {
		const char *text;
		enum protocol from, to;
	} known[] = {
		{ "v1", PROTOCOL_V1, PROTOCOL_V1 },
		{ "v2", PROTOCOL_V2, PROTOCOL_V2 },
		{ "v1,v2", PROTOCOL_V1, PROTOCOL_V2 },
		{ "v2,v1", PROTOCOL_V2, PROTOCOL_V1 },
	};
	size_t i;

	for (i = 0; i < (two ? 4 : 2); i++) {
		if (strcmp(known[i].text, text))
			continue;
		o->from = known[i].from;
		o->to = known[i].to;
		return EXIT_OK;
	}
	return usage("%s is no protocol here", text);
}

static int parse_number(const char *text, const char *units, __u64 *value)
{
	const char *unit;
	int shift = 0;
	char *end;

	/* strtoull() takes blanks and a sign, too. */
	if (!isdigit((unsigned char)*text))
		return usage("\"%s\" is no number", text);
	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno)
		return usage("%s is too large", text);
	if (*end) {
		unit = strchr(units, *end);
		if (!unit || end[1])
			return usage("%s is no number", text);
		shift = 10 * (unit - units + 1);
	}
	if (*value > UINT64_MAX >> shift)
		return usage("%s is too large", text);
	*value <<= shift;
	return EXIT_OK;
}

static int parse_option(struct options *o, int c, const struct command *cmd)
{
	__u64 value;
	int ret = EXIT_OK;

	switch (c) {
	case 'p':
		return parse_protocol(o, optarg, cmd->run == cmd_copy);
	case 'r':
		ret = parse_number(optarg, "", &value);
		if (!ret && value > 1000000)
			ret = usage("%s rounds are too many", optarg);
		o->rounds = value;
		break;
	case 't':
		ret = parse_number(optarg, "KMG", &o->threshold);
		break;
	case 's':
		o->summary = true;
		break;
	case 'v':
		o->verbose = true;
		break;
	case 'x':
		o->extract = optarg;
		break;
	case 'j':
		o->json = true;
		break;
	case 'q':
		o->quiet = true;
		break;
	}
	return ret;
}

/* If standard output did not take all data, the command must fail. */
static int flush(int ret)
{
	bool failed = ferror(stdout);

	errno = 0;
	if (!fflush(stdout) && !failed)
		return ret;
	return ret ? ret : error("standard output: %s",
				 strerror(errno ? errno : EIO));
}

static void print_version(void)
{
	puts("vfio-mig " VERSION);
}

static bool is_option(int c)
{
	const struct option *o;

	for (o = options; o->name; o++)
		if (o->val == c)
			return true;
	return false;
}

/*
 * Says which option getopt_long() did not take. optind is behind a long option, but not always
 * behind a word of short options. optopt is 0 for an unknown long option.
 */
static int bad_option(const struct command *cmd, int c, char **argv)
{
	const char *word = argv[optind - 1];

	if (c == ':')
		return usage("%s: %s needs a value", cmd->name, word);
	if (optopt && !is_option(optopt))
		return usage("%s has no option -%c", cmd->name, optopt);
	return usage("%s does not take %s", cmd->name, word);
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct options o = { .rounds = -1, .threshold = 1 << 20 };
	int c, ret;

	while ((c = getopt_long(argc, argv, ":p:r:t:svx:jqhV", options,
				NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return EXIT_OK;
		}
		if (c == 'V') {
			print_version();
			return EXIT_OK;
		}
		if (c == '?' || c == ':')
			return bad_option(cmd, c, argv);
		if (!strchr(cmd->accepts, c))
			return usage("%s has no option -%c", cmd->name, c);
		ret = parse_option(&o, c, cmd);
		if (ret)
			return ret;
	}
	return cmd->run(&o, argc - optind, argv + optind);
}

int main(int argc, char **argv)
{
	const struct command *cmd;
	const char *name = argc > 1 ? argv[1] : "--help";

	output_init();
	if (!strcmp(name, "-h") || !strcmp(name, "--help")) {
		fputs(help, argc > 1 ? stdout : stderr);
		return argc > 1 ? flush(EXIT_OK) : EXIT_USAGE;
	}
	if (!strcmp(name, "-V") || !strcmp(name, "--version")) {
		print_version();
		return flush(EXIT_OK);
	}
	cmd = find_command(name);
	if (!cmd)
		return usage("%s is no command", name);
	return flush(run(cmd, argc - 1, argv + 1));
}
