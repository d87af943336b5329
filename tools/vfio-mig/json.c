// SPDX-License-Identifier: GPL-2.0-only
/* Writes JSON. */

#include "json.h"

/* The output is ASCII, because other bytes come from a stream and may be anything. */
static void put_string(struct json *j, const char *text)
{
	const unsigned char *c;

	fputc('"', j->to);
	for (c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			fprintf(j->to, "\\%c", *c);
		else if (*c < 0x20 || *c > 0x7e)
			fprintf(j->to, "\\u%04x", *c);
		else
			fputc(*c, j->to);
	}
	fputc('"', j->to);
}

static void next_line(struct json *j)
{
	fprintf(j->to, "\n%*s", 2 * j->depth, "");
}

static void put_key(struct json *j, const char *key)
{
	if (j->filled)
		fputc(',', j->to);
	if (j->depth)
		next_line(j);
	j->filled = true;
	if (!key)
		return;
	put_string(j, key);
	fputs(": ", j->to);
}

void json_open(struct json *j, const char *key, char bracket)
{
	put_key(j, key);
	fputc(bracket, j->to);
	j->depth++;
	j->filled = false;
}

void json_close(struct json *j, char bracket)
{
	j->depth--;
	if (j->filled)
		next_line(j);
	fputc(bracket, j->to);
	j->filled = true;
	if (!j->depth)
		fputc('\n', j->to);
}

void json_string(struct json *j, const char *key, const char *value)
{
	put_key(j, key);
	put_string(j, value);
}

void json_number(struct json *j, const char *key, __u64 value)
{
	put_key(j, key);
	fprintf(j->to, "%llu", value);
}

void json_seconds(struct json *j, const char *key, double value)
{
	put_key(j, key);
	fprintf(j->to, "%.6f", value);
}

void json_bool(struct json *j, const char *key, bool value)
{
	put_key(j, key);
	fputs(value ? "true" : "false", j->to);
}
