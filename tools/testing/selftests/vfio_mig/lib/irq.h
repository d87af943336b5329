/* SPDX-License-Identifier: GPL-2.0-only */
/* VFIO_DEVICE_SET_IRQS with any arguments, and eventfds */
#ifndef VFIO_MIG_LIB_IRQ_H
#define VFIO_MIG_LIB_IRQ_H

#include "device.h"

#define IRQ_NONE	VFIO_IRQ_SET_DATA_NONE
#define IRQ_BOOL	VFIO_IRQ_SET_DATA_BOOL
#define IRQ_EVENTFD	VFIO_IRQ_SET_DATA_EVENTFD
#define IRQ_MASK	VFIO_IRQ_SET_ACTION_MASK
#define IRQ_UNMASK	VFIO_IRQ_SET_ACTION_UNMASK
#define IRQ_TRIGGER	VFIO_IRQ_SET_ACTION_TRIGGER

const char *irq_name(__u32 index);
int irq_is_vector(__u32 index);

int irq_set_argsz(struct device *dev, __u32 argsz, __u32 flags, __u32 index,
		  __u32 start, __u32 count, const void *data, size_t len);
int irq_set(struct device *dev, __u32 flags, __u32 index, __u32 start,
	    __u32 count, const void *data, size_t len);
int irq_eventfds(struct device *dev, __u32 index, __u32 start, const int *fds,
		 __u32 nr);
int irq_fire(struct device *dev, __u32 index, __u32 start, __u32 count);
int irq_disable(struct device *dev, __u32 index);

int irq_open(void);
int irq_taken(int fd);

#endif /* VFIO_MIG_LIB_IRQ_H */
