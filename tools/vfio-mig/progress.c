// SPDX-License-Identifier: GPL-2.0-only
/* A progress bar on standard error, if that is a terminal */
#include <string.h>
#include <unistd.h>

#include "progress.h"
#include "vfio-mig.h"

#define INTERVAL	0.1	/* seconds between two drawings */
#define WIDTH		30

static void draw_bar(const struct progress *p)
{
	/* The total is an estimate, so there may be more. */
	double part = p->done < p->total ? (double)p->done / p->total : 1;
	int filled = part * WIDTH;
	char bar[WIDTH + 1];

	memset(bar, '.', WIDTH);
	memset(bar, '#', filled);
	bar[WIDTH] = '\0';
	fprintf(stderr, " [%s] %3d%%", bar, (int)(part * 100));
}

static void draw(struct progress *p, double now)
{
	double seconds = now - p->start;

	p->drawn = now;
	fprintf(stderr, "\r%s", p->what);
	if (p->total)
		draw_bar(p);
	fprintf(stderr, " %s", human_size(p->done));
	if (seconds > 0)
		fprintf(stderr, ", %s/s", human_size(p->done / seconds));
	fputs("\033[K", stderr);
}

void progress_start(struct progress *p, const char *what, bool quiet,
		    __u64 total)
{
	memset(p, 0, sizeof(*p));
	p->what = what;
	p->shown = !quiet && isatty(STDERR_FILENO);
	p->total = total;
	p->start = seconds_now();
}

void progress_add(struct progress *p, __u64 bytes)
{
	double now;

	p->done += bytes;
	if (!p->shown)
		return;
	now = seconds_now();
	if (now - p->drawn >= INTERVAL)
		draw(p, now);
}

/* Removes the bar before another line is printed. */
void progress_clear(const struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
}

/* Leaves the line with its last value. If @whole, all was moved, whatever the estimate was. */
void progress_end(struct progress *p, bool whole)
{
	if (!p->shown)
		return;
	if (whole)
		p->total = p->done;
	draw(p, seconds_now());
	fputc('\n', stderr);
	p->shown = false;
}
