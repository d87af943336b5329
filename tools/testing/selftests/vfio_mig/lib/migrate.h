/* SPDX-License-Identifier: GPL-2.0-only */
/* A migration from one device to another, in one process. */
#ifndef VFIO_MIG_LIB_MIGRATE_H
#define VFIO_MIG_LIB_MIGRATE_H

#include "v1.h"

struct migration {
	struct v1 *from;
	struct v1 *to;
	size_t portion;		/* size of a commit; 0: size of the window */
	__u64 precopy_bytes;
	__u64 blackout_bytes;
	struct buffer *keep;	/* the whole stream, if not NULL */
	struct buffer chunk;	/* the data in transit */
};

int migration_begin(struct migration *m);
int migration_precopy(struct migration *m, unsigned int rounds);
int migration_blackout(struct migration *m);
int migration_finish(struct migration *m, __u32 state);
void migration_free(struct migration *m);
int migrate(struct v1 *from, struct v1 *to);

#endif /* VFIO_MIG_LIB_MIGRATE_H */
