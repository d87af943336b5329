// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts of an emulated PCI function whose eventfds the library keeps
 *
 * This file handles VFIO_DEVICE_SET_IRQS as vfio-pci does. One of INTx, MSI and MSI-X is in use
 * at a time. A signal masks INTx. INTx has a level: as long as the driver reports a cause, each
 * unmask by the user signals INTx again. VMMs rely on this, because they unmask INTx before they
 * know whether the guest has handled the cause. The user may signal any interrupt to test its
 * own handler (loopback).
 *
 * A mutex serialises VFIO_DEVICE_SET_IRQS. A spinlock protects the eventfds while a driver
 * signals an interrupt, because a driver may do so in any context.
 */
#include <linux/delay.h>
#include <linux/eventfd.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include "irq.h"
#include "mig.h"

#define NO_KIND	(-1)

/**
 * vfio_mig_irqs_init - initialise, with no interrupt in use
 * @irqs: the interrupts of a device
 */
void vfio_mig_irqs_init(struct vfio_mig_irqs *irqs)
{
	mutex_init(&irqs->set);
	spin_lock_init(&irqs->lock);
	irqs->kind = NO_KIND;
}

/* ERR and REQ can be used together with INTx, MSI or MSI-X. */
static bool is_exclusive(u32 index)
{
	return index <= VFIO_PCI_MSIX_IRQ_INDEX;
}

static bool in_use(const struct vfio_mig_irqs *irqs, u32 index)
{
	return !is_exclusive(index) || irqs->kind == index;
}

/* Signals INTx if it has a cause, and is neither masked nor held. */
static void deliver_intx(struct vfio_mig_irqs *irqs)
{
	struct eventfd_ctx **eventfds = irqs->eventfds[VFIO_PCI_INTX_IRQ_INDEX];

	lockdep_assert_held(&irqs->lock);
	if (!eventfds || !eventfds[0])
		return;
	if (!(irqs->pending || irqs->level) || irqs->masked || irqs->held)
		return;
	irqs->pending = false;
	/* VFIO_IRQ_INFO_AUTOMASKED: masked until the user unmasks it. */
	irqs->masked = true;
	vfio_mig_signal(eventfds[0]);
}

static void raise(struct vfio_mig_irqs *irqs, u32 index, u32 i)
{
	struct eventfd_ctx **eventfds = irqs->eventfds[index];

	lockdep_assert_held(&irqs->lock);
	if (!eventfds || !eventfds[i])
		return;
	if (index == VFIO_PCI_INTX_IRQ_INDEX) {
		irqs->pending = true;
		deliver_intx(irqs);
	} else {
		vfio_mig_signal(eventfds[i]);
	}
}

/**
 * vfio_mig_pci_signal - signal an interrupt
 * @mig: the device, whose &vfio_mig_pci.set_irqs is NULL
 * @index: kind of the interrupt, such as VFIO_PCI_MSI_IRQ_INDEX
 * @i: number of the interrupt
 *
 * Does nothing if the user set no eventfd for this interrupt. A signalled INTx becomes
 * masked. Further calls while it is masked are remembered as one interrupt, which is
 * signalled when the user unmasks INTx. A device with INTx calls vfio_mig_pci_intx() instead,
 * because INTx has a level.
 *
 * Context: any but an NMI.
 */
void vfio_mig_pci_signal(struct vfio_mig *mig, u32 index, u32 i)
{
	struct vfio_mig_irqs *irqs = &mig->irqs;
	unsigned long flags;

	if (index >= VFIO_PCI_NUM_IRQS || i >= mig->desc.pci->nr_irqs[index])
		return;
	spin_lock_irqsave(&irqs->lock, flags);
	raise(irqs, index, i);
	spin_unlock_irqrestore(&irqs->lock, flags);
}
EXPORT_SYMBOL_GPL(vfio_mig_pci_signal);

/**
 * vfio_mig_pci_intx - set the level of INTx (PCI 3.0, 2.2.6)
 * @mig: the device, whose &vfio_mig_pci.set_irqs is NULL
 * @high: the cause of the interrupt is present
 *
 * If the level is high, INTx is signalled once, and again each time when the user unmasks it.
 * The driver calls this function after each change of the cause, and in &vfio_mig_ops.run. A
 * reset lowers the level.
 *
 * Context: any but an NMI.
 */
void vfio_mig_pci_intx(struct vfio_mig *mig, bool high)
{
	struct vfio_mig_irqs *irqs = &mig->irqs;
	unsigned long flags;

	spin_lock_irqsave(&irqs->lock, flags);
	WRITE_ONCE(irqs->level, high);
	deliver_intx(irqs);
	spin_unlock_irqrestore(&irqs->lock, flags);
}
EXPORT_SYMBOL_GPL(vfio_mig_pci_intx);

static void put_eventfds(struct eventfd_ctx **eventfds, u32 nr)
{
	u32 i;

	for (i = 0; eventfds && i < nr; i++)
		if (eventfds[i])
			eventfd_ctx_put(eventfds[i]);
	kvfree(eventfds);
}

/* A file descriptor of -1 removes an eventfd. */
static struct eventfd_ctx **get_eventfds(const s32 *fds, u32 nr)
{
	struct eventfd_ctx **eventfds, *ctx;
	u32 i;

	eventfds = kvcalloc(nr, sizeof(*eventfds), GFP_KERNEL_ACCOUNT);
	if (!eventfds)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < nr; i++) {
		if (fds[i] == -1)
			continue;
		ctx = fds[i] < 0 ? ERR_PTR(-EINVAL) : eventfd_ctx_fdget(fds[i]);
		if (IS_ERR(ctx)) {
			put_eventfds(eventfds, i);
			return ERR_CAST(ctx);
		}
		eventfds[i] = ctx;
	}
	return eventfds;
}

/* Allocates memory for all eventfds of a kind when the user sets the first of them. */
static int make_room(struct vfio_mig_irqs *irqs, u32 index, u32 nr)
{
	struct eventfd_ctx **room;

	if (irqs->eventfds[index])
		return 0;
	room = kvcalloc(nr, sizeof(*room), GFP_KERNEL_ACCOUNT);
	if (!room)
		return -ENOMEM;
	spin_lock_irq(&irqs->lock);
	irqs->eventfds[index] = room;
	spin_unlock_irq(&irqs->lock);
	return 0;
}

/* Sets all eventfds, or none after an error. */
static int set_eventfds(struct vfio_mig *mig, const struct vfio_irq_set *set,
			const s32 *fds)
{
	u32 nr = mig->desc.pci->nr_irqs[set->index], i;
	struct vfio_mig_irqs *irqs = &mig->irqs;
	struct eventfd_ctx **eventfds;
	int ret;

	if (is_exclusive(set->index) && irqs->kind != NO_KIND &&
	    irqs->kind != set->index)
		return -EINVAL;
	eventfds = get_eventfds(fds, set->count);
	if (IS_ERR(eventfds))
		return PTR_ERR(eventfds);
	ret = make_room(irqs, set->index, nr);
	if (ret)
		goto out;

	spin_lock_irq(&irqs->lock);
	for (i = 0; i < set->count; i++)
		swap(irqs->eventfds[set->index][set->start + i], eventfds[i]);
	if (is_exclusive(set->index))
		irqs->kind = set->index;
	deliver_intx(irqs);
	spin_unlock_irq(&irqs->lock);
out:
	put_eventfds(eventfds, set->count);
	return ret;
}

static void disable(struct vfio_mig *mig, u32 index)
{
	struct vfio_mig_irqs *irqs = &mig->irqs;
	struct eventfd_ctx **eventfds;

	if (index == VFIO_PCI_INTX_IRQ_INDEX)
		vfio_virqfd_disable(&irqs->unmask);

	spin_lock_irq(&irqs->lock);
	eventfds = irqs->eventfds[index];
	irqs->eventfds[index] = NULL;
	if (irqs->kind == index)
		irqs->kind = NO_KIND;
	if (index == VFIO_PCI_INTX_IRQ_INDEX) {
		irqs->masked = false;
		irqs->pending = false;
	}
	spin_unlock_irq(&irqs->lock);

	put_eventfds(eventfds, mig->desc.pci->nr_irqs[index]);
}

/* Returns whether the user's data select an interrupt. */
static bool is_set(const struct vfio_irq_set *set, const u8 *bools, u32 i)
{
	return set->flags & VFIO_IRQ_SET_DATA_NONE || bools[i];
}

/* Loopback: signals interrupts as if the device had raised them. */
static int loop_back(struct vfio_mig_irqs *irqs, const struct vfio_irq_set *set,
		     const u8 *bools)
{
	u32 i;

	if (!in_use(irqs, set->index))
		return -EINVAL;
	for (i = 0; i < set->count; i++) {
		if (!is_set(set, bools, i))
			continue;
		/* A lock for each signal, because a user can make an eventfd's signal take long. */
		spin_lock_irq(&irqs->lock);
		raise(irqs, set->index, set->start + i);
		spin_unlock_irq(&irqs->lock);
		cond_resched();
	}
	return 0;
}

static int trigger(struct vfio_mig *mig, const struct vfio_irq_set *set,
		   const void *data)
{
	bool several = set->index == VFIO_PCI_MSI_IRQ_INDEX ||
		       set->index == VFIO_PCI_MSIX_IRQ_INDEX;

	if (!set->count) {
		if (set->flags & VFIO_IRQ_SET_DATA_NONE)
			disable(mig, set->index);
		else if (!several || !in_use(&mig->irqs, set->index))
			return -EINVAL;
		return 0;
	}
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return set_eventfds(mig, set, data);
	return loop_back(&mig->irqs, set, data);
}

static void set_masked(struct vfio_mig_irqs *irqs, bool masked)
{
	spin_lock_irq(&irqs->lock);
	irqs->masked = masked;
	deliver_intx(irqs);
	spin_unlock_irq(&irqs->lock);
}

/*
 * A work item of VFIO calls this when the user has signalled the unmask eventfd. A user can have
 * INTx signal this very eventfd, so a level that stays high must not keep a CPU busy.
 */
static void unmask_thread(void *opaque, void *unused)
{
	struct vfio_mig_irqs *irqs = opaque;

	if (READ_ONCE(irqs->level))
		usleep_range(1000, 2000);
	set_masked(irqs, false);
}

static int unmask_eventfd(struct vfio_mig_irqs *irqs, s32 fd)
{
	if (fd < 0) {
		vfio_virqfd_disable(&irqs->unmask);
		return 0;
	}
	/* No handler, because a handler would run with the eventfd's lock held. */
	return vfio_virqfd_enable(irqs, NULL, unmask_thread, NULL,
				  &irqs->unmask, fd);
}

static int mask(struct vfio_mig_irqs *irqs, const struct vfio_irq_set *set,
		const void *data)
{
	bool masked = set->flags & VFIO_IRQ_SET_ACTION_MASK;

	if (set->count != 1 || !in_use(irqs, VFIO_PCI_INTX_IRQ_INDEX))
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return masked ? -ENOTTY :
				unmask_eventfd(irqs, *(const s32 *)data);
	if (is_set(set, data, 0))
		set_masked(irqs, masked);
	return 0;
}

/**
 * vfio_mig_irqs_set - handle VFIO_DEVICE_SET_IRQS if the library keeps the eventfds
 * @mig: the device
 * @set: the request, with index, start and count checked
 * @data: data of the request
 *
 * Context: may sleep.
 * Return: 0; -EINVAL for a kind that is not in use, for a second kind, and for a file that
 * is not an eventfd; -EBADF, -ENOMEM; -EBUSY for a second unmask eventfd; -ENOTTY for an
 * action that the kind does not support.
 */
int vfio_mig_irqs_set(struct vfio_mig *mig, const struct vfio_irq_set *set,
		      const void *data)
{
	struct vfio_mig_irqs *irqs = &mig->irqs;
	int ret = -ENOTTY;

	mutex_lock(&irqs->set);
	switch (set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) {
	case VFIO_IRQ_SET_ACTION_MASK:
	case VFIO_IRQ_SET_ACTION_UNMASK:
		if (set->index == VFIO_PCI_INTX_IRQ_INDEX)
			ret = mask(irqs, set, data);
		break;
	case VFIO_IRQ_SET_ACTION_TRIGGER:
		ret = trigger(mig, set, data);
		break;
	}
	mutex_unlock(&irqs->set);
	return ret;
}

/**
 * vfio_mig_irqs_hold - hold INTx while the device is stopped
 * @irqs: the interrupts of a device
 * @held: true when the device stops, false when it runs again
 *
 * MSI and MSI-X need no hold, because no eventfd unmasks them. Only the vendor driver
 * and the user's loopback signal them, and the driver of a stopped device signals nothing.
 *
 * Context: process context, with interrupts enabled.
 */
void vfio_mig_irqs_hold(struct vfio_mig_irqs *irqs, bool held)
{
	spin_lock_irq(&irqs->lock);
	irqs->held = held;
	deliver_intx(irqs);
	spin_unlock_irq(&irqs->lock);
}

/**
 * vfio_mig_irqs_reset - drop a pending INTx, and lower its level, when the device is reset
 * @irqs: the interrupts of a device
 *
 * The user's eventfds and the mask of INTx do not change.
 */
void vfio_mig_irqs_reset(struct vfio_mig_irqs *irqs)
{
	spin_lock_irq(&irqs->lock);
	irqs->pending = false;
	WRITE_ONCE(irqs->level, false);
	spin_unlock_irq(&irqs->lock);
}

/**
 * vfio_mig_irqs_close - drop the user's eventfds when the device is closed
 * @mig: the device, stopped
 */
void vfio_mig_irqs_close(struct vfio_mig *mig)
{
	u32 index;

	if (!mig->desc.pci)
		return;
	mutex_lock(&mig->irqs.set);
	for (index = 0; index < VFIO_PCI_NUM_IRQS; index++)
		disable(mig, index);
	mutex_unlock(&mig->irqs.set);
}
