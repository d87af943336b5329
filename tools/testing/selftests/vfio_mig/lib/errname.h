/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VFIO_MIG_LIB_ERRNAME_H
#define VFIO_MIG_LIB_ERRNAME_H

const char *errname(long ret);

#endif /* VFIO_MIG_LIB_ERRNAME_H */
