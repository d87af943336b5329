// SPDX-License-Identifier: GPL-2.0-only
/* VFIO_DEVICE_SET_IRQS with any arguments, and eventfds */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "irq.h"

const char *irq_name(__u32 index)
{
	static const char * const names[] = { "INTx", "MSI", "MSI-X", "ERR", "REQ" };

	return index < VFIO_PCI_NUM_IRQS ? names[index] : "beyond";
}

/* Returns whether the kind of interrupt can have several vectors. */
int irq_is_vector(__u32 index)
{
	return index == VFIO_PCI_MSI_IRQ_INDEX ||
	       index == VFIO_PCI_MSIX_IRQ_INDEX;
}

int irq_set_argsz(struct device *dev, __u32 argsz, __u32 flags, __u32 index,
		  __u32 start, __u32 count, const void *data, size_t len)
{
	struct vfio_irq_set *set;
	int ret;

	set = calloc(1, sizeof(*set) + len);
	if (!set)
		return -ENOMEM;
	set->argsz = argsz;
	set->flags = flags;
	set->index = index;
	set->start = start;
	set->count = count;
	if (len)
		memcpy(set->data, data, len);
	ret = ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, set) ? -errno : 0;
	free(set);
	return ret;
}

int irq_set(struct device *dev, __u32 flags, __u32 index, __u32 start,
	    __u32 count, const void *data, size_t len)
{
	return irq_set_argsz(dev, sizeof(struct vfio_irq_set) + len, flags,
			     index, start, count, data, len);
}

int irq_eventfds(struct device *dev, __u32 index, __u32 start, const int *fds,
		 __u32 nr)
{
	return irq_set(dev, IRQ_EVENTFD | IRQ_TRIGGER, index, start, nr, fds,
		       nr * sizeof(*fds));
}

/* Loopback: VFIO signals the eventfds as if the device had raised the interrupts. */
int irq_fire(struct device *dev, __u32 index, __u32 start, __u32 count)
{
	return irq_set(dev, IRQ_NONE | IRQ_TRIGGER, index, start, count, NULL, 0);
}

int irq_disable(struct device *dev, __u32 index)
{
	return irq_set(dev, IRQ_NONE | IRQ_TRIGGER, index, 0, 0, NULL, 0);
}

int irq_open(void)
{
	return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

/* Returns how often an eventfd was signalled since the last call. */
int irq_taken(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}
