/* SPDX-License-Identifier: GPL-2.0-only */
/* Interrupts of an emulated PCI function whose eventfds the library keeps */
#ifndef VFIO_MIG_IRQ_H
#define VFIO_MIG_IRQ_H

#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/vfio.h>

struct eventfd_ctx;
struct vfio_mig;

/**
 * struct vfio_mig_irqs - the interrupts that a user of the device set up
 * @set: serialises VFIO_DEVICE_SET_IRQS
 * @lock: protects the members below while an interrupt is signalled; VFIO protects @unmask
 * @eventfds: by kind: an eventfd for each interrupt, or NULL if the user set none
 * @kind: index of the kind that is in use, which is INTx, MSI or MSI-X, or -1
 * @held: the device is stopped, so INTx is not signalled when it is unmasked
 * @masked: INTx is masked, because it was signalled, or because the user masked it
 * @pending: INTx was raised while it was masked or held
 * @level: the cause of INTx is present; also read without @lock
 * @unmask: the eventfd by which the user unmasks INTx
 */
struct vfio_mig_irqs {
	struct mutex set; /* taken before @lock */
	spinlock_t lock; /* taken when a driver signals, in any context */
	struct eventfd_ctx **eventfds[VFIO_PCI_NUM_IRQS];
	int kind;
	bool held;
	bool masked;
	bool pending;
	bool level;
	struct virqfd *unmask;
};

void vfio_mig_irqs_init(struct vfio_mig_irqs *irqs);
int vfio_mig_irqs_set(struct vfio_mig *mig, const struct vfio_irq_set *set,
		      const void *data);
void vfio_mig_irqs_hold(struct vfio_mig_irqs *irqs, bool held);
void vfio_mig_irqs_reset(struct vfio_mig_irqs *irqs);
void vfio_mig_irqs_close(struct vfio_mig *mig);

#endif /* VFIO_MIG_IRQ_H */
