/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included before every file: what of the kernel's API the code under test uses,
 * made of the C library. The kernel's own headers of the same names are empty
 * files then; those of its uapi are the real ones.
 */
#ifndef FUZZ_KERNEL_H
#define FUZZ_KERNEL_H

/* First, as it has a word of its own for fallthrough. */
#include <xxhash.h>

#include "basics.h"
#include "sync.h"
#include "memory.h"
#include "device.h"
#include "sum.h"

#define trace_vfio_mig_commit(dev, bytes, ret)	((void)(dev))

#endif /* FUZZ_KERNEL_H */
