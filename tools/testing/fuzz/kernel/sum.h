/* SPDX-License-Identifier: GPL-2.0-only */
/* The checksums, by the library from which the kernel's code was made */
#ifndef FUZZ_KERNEL_SUM_H
#define FUZZ_KERNEL_SUM_H

#include "basics.h"

struct xxh64_state {
	XXH64_state_t state;
};

#define xxh64(data, len, seed)		((u64)XXH64(data, len, seed))
#define xxh64_reset(s, seed)		XXH64_reset(&(s)->state, seed)
#define xxh64_update(s, data, len)	XXH64_update(&(s)->state, data, len)
#define xxh64_digest(s)			((u64)XXH64_digest(&(s)->state))

#endif /* FUZZ_KERNEL_SUM_H */
