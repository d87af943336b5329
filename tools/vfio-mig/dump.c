// SPDX-License-Identifier: GPL-2.0-only
/* vfio-mig dump: describes the content of a stream. It needs no device. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "decode.h"
#include "image.h"
#include "json.h"
#include "vfio-mig.h"

#define PROBLEMS_MAX	100	/* problems that JSON lists; all are counted */
#define RUNS_SHOWN	4	/* runs of a chunk in text without --verbose */

struct dump {
	const struct options *options;
	struct json json;
	struct image image;
	int image_error;
	int output_error;	/* of standard output */
	bool bad;		/* the stream has had a problem */
	struct decode_problem *problems;
	size_t nr_problems;
};

static const char *type_name(unsigned int type)
{
	static const char * const names[] = {
		[VFIO_MIG_CHUNK_HEADER]		= "HEADER",
		[VFIO_MIG_CHUNK_PAGES]		= "PAGES",
		[VFIO_MIG_CHUNK_CONTROL]	= "CONTROL",
		[VFIO_MIG_CHUNK_END]		= "END",
		[VFIO_MIG_CHUNK_IMAGE]		= "IMAGE",
	};

	return type < sizeof(names) / sizeof(*names) && names[type] ?
	       names[type] : "unknown";
}

static void print_header(const struct decode_chunk *c)
{
	printf("save %016llx of a device of type ", c->save_id);
	/* The stream's author must not send control characters to the terminal. */
	for (const char *p = c->header.type; *p; p++)
		putchar(*p < 0x20 || *p > 0x7e ? '?' : *p);
	printf(", %llu pages (%s), control state version %u of at most %u bytes%s\n",
	       c->header.nr_pages,
	       human_size(c->header.nr_pages * VFIO_MIG_STREAM_PAGE_SIZE),
	       c->header.control_version, c->header.control_max,
	       c->header.image ? ", an image" : "");
}

static void print_pages(const struct decode_chunk *c, bool all)
{
	__u32 i;

	printf("%u with data", c->pages.nr);
	if (c->pages.holes)
		printf(", %llu zero", c->pages.holes);
	for (i = 0; i < c->pages.nr_runs; i++) {
		const struct decode_run *r = &c->pages.runs[i];

		if (!all && i == RUNS_SHOWN) {
			printf(" and %u more runs", c->pages.nr_runs - i);
			break;
		}
		printf("%s %llu", i ? "," : ": pages", r->start);
		if (r->len > 1)
			printf("-%llu", r->start + r->len - 1);
		if (r->hole)
			printf(" zero");
	}
	putchar('\n');
}

static void print_control(const struct decode_chunk *c, bool data)
{
	__u32 i;

	printf("%u bytes at %u of %u", c->control.length, c->control.offset,
	       c->control.total);
	for (i = 0; data && i < c->control.length; i++) {
		if (i % 16 == 0)
			printf("\n%18s%6x:", "", c->control.offset + i);
		printf(" %02x", c->control.data[i]);
	}
	putchar('\n');
}

static void print_image(const struct decode_chunk *c, bool data)
{
	__u32 i;

	printf("%u bytes at %llu", c->image.length, c->image.offset);
	if (c->image.final && c->image.left)
		printf(", %llu to come", c->image.left);
	else if (c->image.final)
		printf(", the last ones");
	for (i = 0; data && i < c->image.length; i++) {
		if (i % 16 == 0)
			printf("\n%14s%10llx:", "", c->image.offset + i);
		printf(" %02x", c->image.data[i]);
	}
	putchar('\n');
}

static void print_chunk(const struct dump *d, const struct decode_chunk *c)
{
	bool verbose = d->options->verbose;

	printf("%12llu  %6u  %-8s ", c->at, c->seq, type_name(c->type));
	switch (c->type) {
	case VFIO_MIG_CHUNK_HEADER:
		print_header(c);
		break;
	case VFIO_MIG_CHUNK_PAGES:
		print_pages(c, verbose);
		break;
	case VFIO_MIG_CHUNK_CONTROL:
		print_control(c, verbose);
		break;
	case VFIO_MIG_CHUNK_IMAGE:
		print_image(c, verbose);
		break;
	case VFIO_MIG_CHUNK_END:
		printf("a complete state, %llu pages sent\n",
		       c->pages_sent);
		break;
	default:
		printf("type %u, %u bytes that need not be understood\n",
		       c->type, c->length);
	}
}

static void runs_json(struct json *j, const struct decode_chunk *c)
{
	__u32 i;

	json_open(j, "runs", '[');
	for (i = 0; i < c->pages.nr_runs; i++) {
		json_open(j, NULL, '{');
		json_number(j, "start", c->pages.runs[i].start);
		json_number(j, "pages", c->pages.runs[i].len);
		json_bool(j, "zero", c->pages.runs[i].hole);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void chunk_json(struct json *j, const struct decode_chunk *c)
{
	char id[17];

	snprintf(id, sizeof(id), "%016llx", c->save_id);
	json_open(j, NULL, '{');
	json_number(j, "at", c->at);
	json_number(j, "seq", c->seq);
	json_string(j, "type", type_name(c->type));
	json_string(j, "save_id", id);
	json_number(j, "length", c->length);
	switch (c->type) {
	case VFIO_MIG_CHUNK_HEADER:
		json_string(j, "device_type", c->header.type);
		json_number(j, "version", c->header.version);
		json_number(j, "nr_pages", c->header.nr_pages);
		json_number(j, "control_version", c->header.control_version);
		json_number(j, "control_max", c->header.control_max);
		json_bool(j, "image", c->header.image);
		break;
	case VFIO_MIG_CHUNK_PAGES:
		json_number(j, "pages", c->pages.nr);
		json_number(j, "zero_pages", c->pages.holes);
		runs_json(j, c);
		break;
	case VFIO_MIG_CHUNK_CONTROL:
		json_number(j, "total", c->control.total);
		json_number(j, "offset", c->control.offset);
		json_number(j, "bytes", c->control.length);
		break;
	case VFIO_MIG_CHUNK_IMAGE:
		json_number(j, "offset", c->image.offset);
		json_number(j, "bytes", c->image.length);
		json_number(j, "left", c->image.left);
		json_bool(j, "final", c->image.final);
		break;
	case VFIO_MIG_CHUNK_END:
		json_number(j, "pages_sent", c->pages_sent);
		break;
	}
	json_close(j, '}');
}

/* Nobody reads the rest if standard output failed, as it does if "head" has ended. */
static int check_output(struct dump *d)
{
	if (ferror(stdout))
		d->output_error = errno ? -errno : -EIO;
	return d->output_error;
}

static int on_chunk(void *ctx, const struct decode_chunk *c)
{
	struct dump *d = ctx;

	if (!d->options->summary && d->options->json)
		chunk_json(&d->json, c);
	else if (!d->options->summary && !d->options->quiet)
		print_chunk(d, c);
	if (!d->options->extract)
		return check_output(d);
	/* The image of a stream with a problem is not kept. */
	if (d->bad)
		return 0;
	d->image_error = image_chunk(&d->image, c);
	return d->image_error;
}

static void on_problem(void *ctx, const struct decode_problem *p)
{
	struct dump *d = ctx;

	d->bad = true;
	if (d->options->json) {
		if (d->nr_problems < PROBLEMS_MAX)
			d->problems[d->nr_problems++] = *p;
		return;
	}
	printf("%12llu  %6u  WRONG    %s (%s)\n", p->at, p->chunk,
	       p->text, errno_name(p->err));
}

static void totals_json(struct dump *d, const struct decode_totals *t)
{
	struct json *j = &d->json;
	size_t i;

	json_open(j, "problems", '[');
	for (i = 0; i < d->nr_problems; i++) {
		json_open(j, NULL, '{');
		json_number(j, "at", d->problems[i].at);
		json_number(j, "chunk", d->problems[i].chunk);
		json_string(j, "errno", errno_name(d->problems[i].err));
		json_string(j, "text", d->problems[i].text);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_number(j, "nr_problems", t->problems);
	json_bool(j, "complete", t->complete);
	json_number(j, "bytes", t->bytes);
	json_number(j, "nr_chunks", t->chunks);
	json_number(j, "saves", t->saves);
	json_number(j, "pages", t->pages);
	json_number(j, "zero_pages", t->holes);
	json_number(j, "control_bytes", t->control_total);
	json_number(j, "image_bytes", t->image);
	json_close(j, '}');
}

static void print_totals(const struct decode_totals *t)
{
	printf("%s: %s in %llu chunks", t->complete ? "complete" : "NOT GOOD",
	       human_size(t->bytes), t->chunks);
	if (t->saves > 1)
		printf(", %u saves; the last one has", t->saves);
	printf(", %llu pages with data (%s), %llu zero pages", t->pages,
	       human_size(t->pages * VFIO_MIG_STREAM_PAGE_SIZE), t->holes);
	printf(", %u bytes of control state", t->control_total);
	if (t->has_image)
		printf(", an image of %s", human_size(t->image));
	putchar('\n');
	if (t->problems)
		printf("errors: %llu; a device refuses the stream at the first one\n",
		       t->problems);
}

static int dump(struct dump *d, FILE *in, const char *name)
{
	static const struct decode_ops ops = { on_chunk, on_problem };
	struct decode_totals totals;
	int ret;

	if (d->options->json) {
		json_open(&d->json, NULL, '{');
		json_open(&d->json, "chunks", '[');
	}
	ret = decode(in, &ops, d, &totals);
	if (d->options->json) {
		json_close(&d->json, ']');
		totals_json(d, &totals);
	} else if (!ret && !d->options->quiet) {
		/* An error of a file does not tell whether the stream is good. */
		print_totals(&totals);
	}
	if (d->image_error)
		return error_errno(d->image_error, "%s", image_name(&d->image));
	if (d->output_error)
		return error_errno(d->output_error, "standard output");
	if (ret)
		return error_errno(ret, "%s", name);
	return totals.complete ? EXIT_OK : EXIT_STREAM;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return S_ISREG(a->st_mode) && a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* No output may replace the file that is read, or append to the file. */
static int check_outputs(const struct options *o, FILE *in)
{
	struct stat from, to;

	if (fstat(fileno(in), &from))
		return EXIT_OK;
	if (o->extract && !stat(o->extract, &to) && same_file(&from, &to))
		return usage("%s is the stream itself", o->extract);
	if (!fstat(STDOUT_FILENO, &to) && same_file(&from, &to))
		return usage("standard output is the stream itself");
	return EXIT_OK;
}

static int dump_and_extract(struct dump *d, FILE *in, const char *name)
{
	int ret;

	ret = check_outputs(d->options, in);
	if (ret)
		return ret;
	if (!d->options->extract)
		return dump(d, in, name);
	ret = image_open(&d->image, d->options->extract);
	if (!ret)
		ret = dump(d, in, name);
	if (ret == EXIT_STREAM)
		error("%s: not written, because the stream is not good",
		      d->image.out.name);
	return image_close(&d->image, ret);
}

int cmd_dump(const struct options *o, int argc, char **argv)
{
	bool file = argc == 1 && strcmp(argv[0], "-");
	const char *name = file ? argv[0] : "standard input";
	struct dump d = { .options = o, .json.to = stdout };
	FILE *in = stdin;
	int ret;

	if (argc > 1)
		return usage("dump takes a file, unless it is standard input");
	if (file)
		in = fopen(name, "re");
	if (!in)
		return error_errno(-errno, "%s", name);
	if (isatty(fileno(in))) {
		ret = usage("a terminal gives no stream: name a file, or read a pipe");
	} else {
		d.problems = calloc(PROBLEMS_MAX, sizeof(*d.problems));
		ret = d.problems ? dump_and_extract(&d, in, name) :
				   error("no memory");
	}
	free(d.problems);
	if (file)
		fclose(in);
	return ret;
}
