/* SPDX-License-Identifier: GPL-2.0-only */
/* Writes JSON. The key is NULL for an element of an array and for the document itself. */
#ifndef VFIO_MIG_TOOL_JSON_H
#define VFIO_MIG_TOOL_JSON_H

#include <stdbool.h>
#include <linux/types.h>
#include <stdio.h>

struct json {
	FILE *to;
	int depth;
	bool filled;		/* whether a comma must precede the next element */
};

void json_open(struct json *j, const char *key, char bracket);
void json_close(struct json *j, char bracket);
void json_string(struct json *j, const char *key, const char *value);
void json_number(struct json *j, const char *key, __u64 value);
void json_seconds(struct json *j, const char *key, double value);
void json_bool(struct json *j, const char *key, bool value);

#endif /* VFIO_MIG_TOOL_JSON_H */
