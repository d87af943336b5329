/* SPDX-License-Identifier: GPL-2.0-only */
/* Loads and stores that may raise SIGBUS */
#ifndef VFIO_MIG_LIB_POKE_H
#define VFIO_MIG_LIB_POKE_H

#include <stddef.h>

/* Each function returns 0, or -EFAULT if the access raised SIGBUS. */
int poke_load(const void *at, unsigned char *value);
int poke_store(void *at, unsigned char value);
int poke_copy(void *to, const void *from, size_t len);

#endif /* VFIO_MIG_LIB_POKE_H */
