/* SPDX-License-Identifier: GPL-2.0-only */
/* The library around the reader and the writer of streams, as far as they need it. */
#ifndef FUZZ_LIBRARY_H
#define FUZZ_LIBRARY_H

#include "load.h"
#include "mig.h"
#include "pages.h"
#include "save.h"

/* What is checked all the time, unlike assert() not to be turned off. */
#define must(cond)							\
	do {								\
		if (!(cond)) {						\
			fprintf(stderr, "%s:%d: must be: %s\n",		\
				__FILE__, __LINE__, #cond);		\
			abort();					\
		}							\
	} while (0)

struct stream {
	u8 *data;
	size_t len;
	size_t room;
};

void stream_append(struct stream *s, const void *data, size_t len);
/* Saves all of a device at rest, chunks of at most @room bytes. */
void save_all(struct vfio_mig *mig, size_t room, struct stream *stream);
int feed(struct vfio_mig *mig, const u8 *data, size_t len, size_t fault);

#endif /* FUZZ_LIBRARY_H */
