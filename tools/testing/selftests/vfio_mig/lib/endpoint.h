/* SPDX-License-Identifier: GPL-2.0-only */
/* One end of a migration. Each session can use another protocol. */
#ifndef VFIO_MIG_LIB_ENDPOINT_H
#define VFIO_MIG_LIB_ENDPOINT_H

#include "v1.h"
#include "v2.h"

struct endpoint {
	struct device dev;
	struct v1 v1;
	struct v2 v2;
	int has_v1;
	int has_v2;
	int by_v2;	/* present protocol; at first v1 if the device has it */
};

int endpoint_open(struct endpoint *e, const char *path);
void endpoint_close(struct endpoint *e);

/* For the source */
int endpoint_precopy(struct endpoint *e);
ssize_t endpoint_take(struct endpoint *e, struct buffer *out);
int endpoint_stop(struct endpoint *e);
int endpoint_drain(struct endpoint *e, struct buffer *out);
int endpoint_cancel(struct endpoint *e);
int endpoint_rest(struct endpoint *e);
/* For the target */
int endpoint_resume(struct endpoint *e);
int endpoint_give(struct endpoint *e, const struct buffer *in);
int endpoint_run(struct endpoint *e);

#endif /* VFIO_MIG_LIB_ENDPOINT_H */
