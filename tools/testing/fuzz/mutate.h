/* SPDX-License-Identifier: GPL-2.0-only */
/* Changes streams so that they still look like streams. */
#ifndef FUZZ_MUTATE_H
#define FUZZ_MUTATE_H

/* Bytes before the stream */
#define OPTIONS		4

#endif /* FUZZ_MUTATE_H */
