/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault injection (CONFIG_FAULT_INJECTION). The Nth allocation or user copy of this thread
 * fails, or the Nth allocation or user copy of any thread within a module.
 */
#ifndef VFIO_MIG_LIB_FAULT_H
#define VFIO_MIG_LIB_FAULT_H

enum fault_kind {
	FAULT_SLAB,
	FAULT_PAGE,
	FAULT_USERCOPY,
	FAULT_NR_KINDS,
};

int fault_init(void);
void fault_spare(const char *function);
void fault_begin(unsigned int nth);
int fault_end(void);

const char *fault_kind_name(enum fault_kind kind);
int fault_within(const char *module);
void fault_arm(enum fault_kind kind, unsigned int after, unsigned int times);
int fault_disarm(enum fault_kind kind);

#endif /* VFIO_MIG_LIB_FAULT_H */
