/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Failures of one's choice: the n-th allocation or user copy of this thread fails,
 * where the kernel can do that (CONFIG_FAULT_INJECTION).
 */
#ifndef VFIO_MIG_LIB_FAULT_H
#define VFIO_MIG_LIB_FAULT_H

int fault_init(void);
void fault_spare(const char *function);
void fault_begin(unsigned int nth);
int fault_end(void);

#endif /* VFIO_MIG_LIB_FAULT_H */
