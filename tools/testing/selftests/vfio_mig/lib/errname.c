// SPDX-License-Identifier: GPL-2.0-only
/* Errno names, for messages. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "errname.h"

/* Returns "success", "-EINVAL", or the number. The text of the last four calls is valid. */
const char *errname(long ret)
{
	static __thread char text[4][32];
	static __thread int turn;
	const char *name = ret < 0 ? strerrorname_np(-ret) : NULL;

	if (!ret)
		return "success";
	turn = (turn + 1) % 4;
	if (name)
		snprintf(text[turn], sizeof(text[turn]), "-%s", name);
	else
		snprintf(text[turn], sizeof(text[turn]), "%ld", ret);
	return text[turn];
}
