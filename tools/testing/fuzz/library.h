/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of the library that the reader and the writer of streams need */
#ifndef FUZZ_LIBRARY_H
#define FUZZ_LIBRARY_H

#include "load.h"
#include "mig.h"
#include "pages.h"
#include "save.h"

/* A check that, unlike assert(), cannot be turned off */
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
/* Saves the whole state of a stopped device, in chunks of at most @room bytes. */
void save_all(struct vfio_mig *mig, size_t room, struct stream *stream);
int feed(struct vfio_mig *mig, const u8 *data, size_t len, size_t fault);

#endif /* FUZZ_LIBRARY_H */
