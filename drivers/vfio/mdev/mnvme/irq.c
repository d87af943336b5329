// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts
 *
 * VFIO_DEVICE_SET_IRQS sets the kind of interrupt and an eventfd for each vector. A vector that
 * cannot be signalled stays pending. The reason can be that the device is stopped, that it may
 * not write to memory, that the vector is masked, or that it has no eventfd. When the reason
 * is gone, the vector is signalled if its cause still stands.
 *
 * The cause of a vector is a completion queue with entries that the host has not taken.
 * &mnvme_irq.lock is an innermost lock. &mnvme.lock serialises VFIO_DEVICE_SET_IRQS.
 */
#include <linux/delay.h>
#include <linux/slab.h>

#include "mnvme.h"

/*
 * Limit of unmasks of INTx while the controller posts no completion and the host takes none.
 * After that each unmask takes a millisecond or two.
 */
#define MNVME_UNMASKS	16

void mnvme_irq_init(struct mnvme_irq *irq)
{
	spin_lock_init(&irq->lock);
	irq->index = -1;
}

static void mnvme_signal(struct eventfd_ctx *ctx)
{
	vfio_mig_signal(ctx);
}

static bool mnvme_vector_blocked(struct mnvme *dev, u16 v)
{
	struct mnvme_irq *irq = &dev->irq;

	if (irq->held || !irq->vector[v])
		return true;
	/*
	 * A message is a write to memory, so it needs Bus Master. A vector that the user
	 * triggers does not need it, because VFIO and not the function signals it.
	 */
	if (!READ_ONCE(dev->bus_master) && !test_bit(v, irq->triggered))
		return true;
	if (irq->index == VFIO_PCI_MSIX_IRQ_INDEX)
		return test_bit(v, irq->masked) ||
		       READ_ONCE(dev->msix_masked);
	return v < MNVME_NR_MSI && (READ_ONCE(dev->intms) & BIT(v));
}

static void mnvme_vector_raise(struct mnvme *dev, u16 v)
{
	struct mnvme_irq *irq = &dev->irq;

	lockdep_assert_held(&irq->lock);
	if (mnvme_vector_blocked(dev, v)) {
		__set_bit(v, irq->pending);
		return;
	}
	__clear_bit(v, irq->pending);
	__clear_bit(v, irq->triggered);
	mnvme_signal(irq->vector[v]);
}

/* Returns a completion queue's vector. MSI has fewer vectors than a queue may ask for. */
static u16 mnvme_cq_vector(struct mnvme *dev, const struct mnvme_cq *cq)
{
	if (dev->irq.index == VFIO_PCI_MSI_IRQ_INDEX && cq->vector >= MNVME_NR_MSI)
		return 0;
	return cq->vector;
}

static bool mnvme_cq_wants_irq(const struct mnvme_cq *cq)
{
	return READ_ONCE(cq->live) && READ_ONCE(cq->ien) && !mnvme_cq_empty(cq);
}

/*
 * With doorbells in guest memory the driver does not know at once which entries the host
 * has taken. Then INTx is signalled for new entries only, because the host has seen the
 * entries from before the last signal.
 */
static bool mnvme_cq_asserts_intx(struct mnvme *dev, const struct mnvme_cq *cq)
{
	if (!mnvme_cq_wants_irq(cq))
		return false;
	return !READ_ONCE(cq->shadow) || READ_ONCE(dev->irq.intx_masked) ||
	       test_bit(cq->id, dev->irq.posted);
}

/**
 * mnvme_intx_level() - state of the interrupt pin, without its mask
 * @dev: the controller
 *
 * Without MSI and MSI-X the pin is asserted while a completion queue has entries that the
 * host has not taken (NVMe 7.5.1). A function that is not in D0 sends no messages, also not
 * those of INTx (PCI Express 5.3.1.4).
 */
bool mnvme_intx_level(struct mnvme *dev)
{
	u16 i;

	if (READ_ONCE(dev->irq.index) != VFIO_PCI_INTX_IRQ_INDEX ||
	    !READ_ONCE(dev->powered) || (READ_ONCE(dev->intms) & 1))
		return false;
	for (i = 0; i < MNVME_NR_QUEUES; i++)
		if (mnvme_cq_asserts_intx(dev, &dev->cq[i]))
			return true;
	return false;
}

static void mnvme_intx_update(struct mnvme *dev)
{
	struct mnvme_irq *irq = &dev->irq;

	lockdep_assert_held(&irq->lock);
	if (irq->index != VFIO_PCI_INTX_IRQ_INDEX || irq->held ||
	    irq->intx_masked || !irq->intx || READ_ONCE(dev->intx_disabled))
		return;
	if (!irq->intx_trigger && !mnvme_intx_level(dev))
		return;
	/* VFIO_IRQ_INFO_AUTOMASKED: masked until the user unmasks it. */
	irq->intx_masked = true;
	irq->intx_trigger = false;
	/* The host may take entries without a register, if its doorbells are in memory. */
	if (!bitmap_empty(irq->posted, MNVME_NR_QUEUES))
		WRITE_ONCE(irq->intx_unmasks, 0);
	bitmap_zero(irq->posted, MNVME_NR_QUEUES);
	mnvme_signal(irq->intx);
}

static bool mnvme_cq_causes(struct mnvme *dev, const struct mnvme_cq *cq, u16 v)
{
	if (!READ_ONCE(cq->live) || !READ_ONCE(cq->ien) ||
	    mnvme_cq_vector(dev, cq) != v)
		return false;
	return dev->irq.index != VFIO_PCI_MSI_IRQ_INDEX || !mnvme_cq_empty(cq);
}

/*
 * Returns whether the cause of a pending vector stands. The vector's queues may not exist
 * any more. For a vector that INTMS masked, the host may have taken the entries (NVMe
 * 7.5.1.1). A pending message of MSI-X is always sent (NVMe 7.5.1.2).
 */
static bool mnvme_vector_caused(struct mnvme *dev, u16 v)
{
	u16 i;

	if (test_bit(v, dev->irq.triggered))
		return true;
	for (i = 0; i < MNVME_NR_QUEUES; i++)
		if (mnvme_cq_causes(dev, &dev->cq[i], v))
			return true;
	return false;
}

/* A stopped device keeps its pending vectors, because they are a part of its state. */
static void mnvme_pending_update(struct mnvme *dev)
{
	u16 v;

	lockdep_assert_held(&dev->irq.lock);
	if (dev->irq.held)
		return;
	for_each_set_bit(v, dev->irq.pending, MNVME_NR_VECTORS)
		if (!mnvme_vector_caused(dev, v))
			__clear_bit(v, dev->irq.pending);
}

static void __mnvme_irq_update(struct mnvme *dev)
{
	u16 v;

	mnvme_pending_update(dev);
	for_each_set_bit(v, dev->irq.pending, MNVME_NR_VECTORS)
		mnvme_vector_raise(dev, v);
	mnvme_intx_update(dev);
}

/**
 * mnvme_irq_update() - signal pending vectors and INTx if nothing prevents it
 * @dev: the controller
 *
 * Drops pending vectors whose cause has ended.
 */
void mnvme_irq_update(struct mnvme *dev)
{
	spin_lock(&dev->irq.lock);
	__mnvme_irq_update(dev);
	spin_unlock(&dev->irq.lock);
}

/**
 * mnvme_irq_unmask() - signal vectors whose mask bits INTMC cleared
 * @dev: the controller
 * @vectors: bits that the host cleared, and that were set before
 *
 * With MSI, clearing a mask bit sends a message if the vector has entries that the host has
 * not taken (NVMe 7.5.1.1). A message that was sent for these entries before does not matter.
 * A queue with shadow doorbells is an exception. Its head can be old, so the messages would
 * never end. Such a queue sends a message only for entries that were posted while the vector
 * was masked.
 */
void mnvme_irq_unmask(struct mnvme *dev, u32 vectors)
{
	struct mnvme_irq *irq = &dev->irq;
	u16 i, v;

	spin_lock(&irq->lock);
	for (i = 0; irq->index == VFIO_PCI_MSI_IRQ_INDEX && i < MNVME_NR_QUEUES; i++) {
		v = mnvme_cq_vector(dev, &dev->cq[i]);
		if ((vectors & BIT(v)) && !READ_ONCE(dev->cq[i].shadow) &&
		    mnvme_cq_wants_irq(&dev->cq[i]))
			__set_bit(v, irq->pending);
	}
	__mnvme_irq_update(dev);
	spin_unlock(&irq->lock);
}

/**
 * mnvme_irq_raise() - signal that entries were added to a completion queue
 * @dev: the controller
 * @cq: the queue
 */
void mnvme_irq_raise(struct mnvme *dev, struct mnvme_cq *cq)
{
	if (!cq->ien)
		return;

	spin_lock(&dev->irq.lock);
	__set_bit(cq->id, dev->irq.posted);
	if (dev->irq.index == VFIO_PCI_INTX_IRQ_INDEX)
		mnvme_intx_update(dev);
	else
		mnvme_vector_raise(dev, mnvme_cq_vector(dev, cq));
	spin_unlock(&dev->irq.lock);
}

/**
 * mnvme_irq_vectors() - return the number of interrupt vectors for completion queues
 * @dev: the controller
 *
 * A user may enable MSI or MSI-X by VFIO_DEVICE_SET_IRQS alone, and not in configuration
 * space, as with vfio-pci.
 *
 * Return: the number of vectors; 1 if only the pin is in use (NVMe 5.3).
 */
u16 mnvme_irq_vectors(struct mnvme *dev)
{
	struct mnvme_irq *irq = &dev->irq;
	u16 v, nr = max_t(u16, READ_ONCE(dev->msi_messages), 1);

	if (READ_ONCE(dev->msix_enabled))
		return MNVME_NR_VECTORS;

	spin_lock(&irq->lock);
	if (irq->index == VFIO_PCI_MSIX_IRQ_INDEX)
		nr = MNVME_NR_VECTORS;
	for (v = 0; irq->index == VFIO_PCI_MSI_IRQ_INDEX && v < MNVME_NR_MSI; v++)
		if (irq->vector[v])
			nr = max_t(u16, nr, roundup_pow_of_two(v + 1));
	spin_unlock(&irq->lock);
	return nr;
}

/* After this function no vector is signalled until mnvme_irq_unhold(). */
void mnvme_irq_hold(struct mnvme *dev)
{
	spin_lock(&dev->irq.lock);
	dev->irq.held = true;
	spin_unlock(&dev->irq.lock);
}

/*
 * Signals interrupts again. After a load or a reset the driver does not know whether the host has
 * seen an interrupt for the entries in its queues. So it signals the vector of each such queue
 * once more, which does no harm.
 */
void mnvme_irq_unhold(struct mnvme *dev)
{
	struct mnvme_irq *irq = &dev->irq;
	u16 i;

	spin_lock(&irq->lock);
	irq->held = false;
	for (i = 0; irq->resync && i < MNVME_NR_QUEUES; i++)
		if (mnvme_cq_wants_irq(&dev->cq[i])) {
			__set_bit(mnvme_cq_vector(dev, &dev->cq[i]), irq->pending);
			__set_bit(i, irq->posted);
		}
	irq->resync = false;
	__mnvme_irq_update(dev);
	spin_unlock(&irq->lock);
}

/**
 * mnvme_irq_reset() - reset the device's part of interrupts
 * @dev: the controller
 *
 * The user's eventfds stay, as with a real device.
 *
 * Context: &mnvme.lock is held.
 */
void mnvme_irq_reset(struct mnvme *dev)
{
	struct mnvme_irq *irq = &dev->irq;
	u16 v;

	spin_lock(&irq->lock);
	bitmap_zero(irq->masked, MNVME_NR_VECTORS);
	bitmap_zero(irq->pending, MNVME_NR_VECTORS);
	bitmap_zero(irq->triggered, MNVME_NR_VECTORS);
	memset(irq->table, 0, sizeof(irq->table));
	for (v = 0; v < MNVME_NR_VECTORS; v++)
		irq->table[v][3] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
	irq->intx_masked = false;
	irq->intx_trigger = false;
	irq->resync = true;
	spin_unlock(&irq->lock);
}

/* Sets an eventfd, and drops the reference to the old one. */
static void mnvme_set_trigger(struct mnvme_irq *irq, struct eventfd_ctx **place,
			      struct eventfd_ctx *ctx)
{
	struct eventfd_ctx *old;

	spin_lock(&irq->lock);
	old = *place;
	*place = ctx;
	spin_unlock(&irq->lock);
	if (old)
		eventfd_ctx_put(old);
}

/* Removes all eventfds. Also drops the user's triggers, because they were for these eventfds. */
static void mnvme_vectors_disable(struct mnvme_irq *irq)
{
	u16 v;

	spin_lock(&irq->lock);
	bitmap_zero(irq->triggered, MNVME_NR_VECTORS);
	spin_unlock(&irq->lock);
	for (v = 0; v < MNVME_NR_VECTORS; v++)
		mnvme_set_trigger(irq, &irq->vector[v], NULL);
	WRITE_ONCE(irq->index, -1);
}

/*
 * Context: &mnvme.lock is held. Without its eventfd INTx is not signalled, and the function that
 * unmasks INTx has ended. So the flags can be cleared without &mnvme_irq.lock.
 */
static void mnvme_intx_disable(struct mnvme_irq *irq)
{
	vfio_virqfd_disable(&irq->intx_unmask);
	mnvme_set_trigger(irq, &irq->intx, NULL);
	irq->intx_masked = false;
	irq->intx_trigger = false;
	WRITE_ONCE(irq->index, -1);
}

/* Drops the user's eventfds when the device is closed. Context: &mnvme.lock is held. */
void mnvme_irq_release_user(struct mnvme *dev)
{
	mnvme_vectors_disable(&dev->irq);
	mnvme_intx_disable(&dev->irq);
	mnvme_set_trigger(&dev->irq, &dev->irq.req, NULL);
}

/*
 * Reads a word of the MSI-X table or of the pending bits. @off is an offset in the BAR.
 *
 * Context: &mnvme.lock is held, so the table does not change.
 */
u32 mnvme_msix_read(struct mnvme *dev, u32 off)
{
	struct mnvme_irq *irq = &dev->irq;
	u32 word = (off - MNVME_BAR_MSIX_TABLE) / 4;
	u32 first, val = 0;

	if (off < MNVME_BAR_MSIX_PBA) {
		if (word < MNVME_NR_VECTORS * 4)
			val = irq->table[word / 4][word % 4];
		return val;
	}

	first = (off - MNVME_BAR_MSIX_PBA) * 8;
	spin_lock(&irq->lock);
	mnvme_pending_update(dev);
	for (word = 0; word < 32 && first + word < MNVME_NR_VECTORS; word++)
		if (test_bit(first + word, irq->pending))
			val |= BIT(word);
	spin_unlock(&irq->lock);
	return val;
}

/* Writes as mnvme_msix_read() reads. The pending bits are read-only. */
void mnvme_msix_write(struct mnvme *dev, u32 off, u32 val)
{
	struct mnvme_irq *irq = &dev->irq;
	u32 word = (off - MNVME_BAR_MSIX_TABLE) / 4;
	u16 v = word / 4;

	if (off >= MNVME_BAR_MSIX_PBA || v >= MNVME_NR_VECTORS)
		return;

	spin_lock(&irq->lock);
	switch (word % 4) {
	case 0:
		irq->table[v][0] = val & ~3u;
		break;
	case 3:
		irq->table[v][3] = val & PCI_MSIX_ENTRY_CTRL_MASKBIT;
		__assign_bit(v, irq->masked, irq->table[v][3]);
		__mnvme_irq_update(dev);
		break;
	default:
		irq->table[v][word % 4] = val;
		break;
	}
	spin_unlock(&irq->lock);
}

static bool mnvme_irq_bool(const struct vfio_irq_set *hdr, const void *data,
			   u32 i)
{
	if (hdr->flags & VFIO_IRQ_SET_DATA_NONE)
		return true;
	return ((const u8 *)data)[i];
}

/* A file descriptor of -1 removes an eventfd. */
static struct eventfd_ctx *mnvme_get_eventfd(const void *data, u32 i)
{
	int fd = ((const s32 *)data)[i];

	if (fd == -1)
		return NULL;
	if (fd < 0)
		return ERR_PTR(-EINVAL);
	return eventfd_ctx_fdget(fd);
}

static int mnvme_set_eventfd(struct mnvme *dev, struct eventfd_ctx **place,
			     const void *data, u32 i)
{
	struct eventfd_ctx *ctx = mnvme_get_eventfd(data, i);

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	mnvme_set_trigger(&dev->irq, place, ctx);
	return 0;
}

/* Checks all eventfds before the first is set, so that all are set or none. */
static int mnvme_check_eventfds(const struct vfio_irq_set *hdr,
				const void *data)
{
	struct eventfd_ctx *ctx;
	u32 i;

	for (i = 0; i < hdr->count; i++) {
		ctx = mnvme_get_eventfd(data, i);
		if (IS_ERR(ctx))
			return PTR_ERR(ctx);
		if (ctx)
			eventfd_ctx_put(ctx);
	}
	return 0;
}

/* As with vfio-pci, the user has to disable one kind before it uses another. */
static bool mnvme_kind_usable(const struct mnvme_irq *irq, u32 index)
{
	return irq->index == index || irq->index == -1;
}

static int mnvme_vectors_enable(struct mnvme *dev,
				const struct vfio_irq_set *hdr,
				const void *data)
{
	struct mnvme_irq *irq = &dev->irq;
	bool first = irq->index == -1;
	int ret;
	u32 i;

	if (!mnvme_kind_usable(irq, hdr->index))
		return -EINVAL;
	/* Without vectors there is nothing to enable. */
	if (!hdr->count)
		return first ? -EINVAL : 0;
	ret = mnvme_check_eventfds(hdr, data);
	if (ret)
		return ret;

	WRITE_ONCE(irq->index, hdr->index);
	for (i = 0; !ret && i < hdr->count; i++)
		ret = mnvme_set_eventfd(dev, &irq->vector[hdr->start + i], data, i);
	if (ret && first)
		mnvme_vectors_disable(irq);
	else
		mnvme_irq_update(dev);
	return ret;
}

static int mnvme_vectors_set(struct mnvme *dev, const struct vfio_irq_set *hdr,
			     const void *data)
{
	struct mnvme_irq *irq = &dev->irq;
	u32 i;

	if (!hdr->count && (hdr->flags & VFIO_IRQ_SET_DATA_NONE)) {
		if (irq->index == hdr->index)
			mnvme_vectors_disable(irq);
		return 0;
	}
	if (hdr->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return mnvme_vectors_enable(dev, hdr, data);

	if (irq->index != hdr->index)
		return -EINVAL;
	spin_lock(&irq->lock);
	for (i = 0; i < hdr->count; i++) {
		if (!mnvme_irq_bool(hdr, data, i) || !irq->vector[hdr->start + i])
			continue;
		__set_bit(hdr->start + i, irq->triggered);
		mnvme_vector_raise(dev, hdr->start + i);
	}
	spin_unlock(&irq->lock);
	return 0;
}

static int mnvme_intx_set(struct mnvme *dev, const struct vfio_irq_set *hdr,
			  const void *data)
{
	struct mnvme_irq *irq = &dev->irq;
	int ret;

	if (!hdr->count && (hdr->flags & VFIO_IRQ_SET_DATA_NONE)) {
		if (irq->index == VFIO_PCI_INTX_IRQ_INDEX)
			mnvme_intx_disable(irq);
		return 0;
	}
	if (hdr->count != 1)
		return -EINVAL;

	if (hdr->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		if (!mnvme_kind_usable(irq, VFIO_PCI_INTX_IRQ_INDEX))
			return -EINVAL;
		ret = mnvme_set_eventfd(dev, &irq->intx, data, 0);
		if (ret)
			return ret;
		WRITE_ONCE(irq->index, VFIO_PCI_INTX_IRQ_INDEX);
		mnvme_irq_update(dev);
		return 0;
	}

	if (irq->index != VFIO_PCI_INTX_IRQ_INDEX)
		return -EINVAL;
	spin_lock(&irq->lock);
	if (mnvme_irq_bool(hdr, data, 0))
		irq->intx_trigger = true;
	mnvme_intx_update(dev);
	spin_unlock(&irq->lock);
	return 0;
}

static void mnvme_intx_set_masked(struct mnvme *dev, bool mask)
{
	struct mnvme_irq *irq = &dev->irq;

	spin_lock(&irq->lock);
	irq->intx_masked = mask;
	mnvme_intx_update(dev);
	spin_unlock(&irq->lock);
}

/*
 * Called for the unmask eventfd, which KVM signals at the guest's end of interrupt.
 *
 * A user may connect the two eventfds of INTx, so that each signal leads to the next while
 * there are entries. A work item of VFIO executes this function, and no user is charged for its
 * CPU time. So the function sleeps if there are no new entries and the host takes none.
 *
 * The function must not take &mnvme.lock, because vfio_virqfd_disable() waits for the function
 * with this lock held.
 */
static void mnvme_intx_unmask_thread(void *opaque, void *unused)
{
	struct mnvme *dev = opaque;
	unsigned int nr = READ_ONCE(dev->irq.intx_unmasks);

	if (nr < MNVME_UNMASKS)
		WRITE_ONCE(dev->irq.intx_unmasks, nr + 1);
	else
		usleep_range(1000, 2000);
	mnvme_intx_set_masked(dev, false);
}

static int mnvme_intx_unmask_eventfd(struct mnvme *dev, const void *data)
{
	struct mnvme_irq *irq = &dev->irq;
	s32 fd = *(const s32 *)data;

	if (fd < 0) {
		vfio_virqfd_disable(&irq->intx_unmask);
		return 0;
	}
	/* No handler, because it would be called with a lock held and interrupts disabled. */
	return vfio_virqfd_enable(dev, NULL, mnvme_intx_unmask_thread, NULL,
				  &irq->intx_unmask, fd);
}

static int mnvme_intx_mask(struct mnvme *dev, const struct vfio_irq_set *hdr,
			   const void *data, bool mask)
{
	if (hdr->count != 1 || dev->irq.index != VFIO_PCI_INTX_IRQ_INDEX)
		return -EINVAL;
	if (hdr->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return mask ? -ENOTTY : mnvme_intx_unmask_eventfd(dev, data);

	if (mnvme_irq_bool(hdr, data, 0))
		mnvme_intx_set_masked(dev, mask);
	return 0;
}

static int mnvme_req_set(struct mnvme *dev, const struct vfio_irq_set *hdr,
			 const void *data)
{
	struct mnvme_irq *irq = &dev->irq;

	if (hdr->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return hdr->count == 1 ?
		       mnvme_set_eventfd(dev, &irq->req, data, 0) : -EINVAL;

	if (!hdr->count && (hdr->flags & VFIO_IRQ_SET_DATA_NONE)) {
		mnvme_set_trigger(irq, &irq->req, NULL);
		return 0;
	}
	if (hdr->count != 1)
		return -EINVAL;

	spin_lock(&irq->lock);
	if (irq->req && mnvme_irq_bool(hdr, data, 0))
		mnvme_signal(irq->req);
	spin_unlock(&irq->lock);
	return 0;
}

/**
 * mnvme_irq_set() - handle VFIO_DEVICE_SET_IRQS
 * @dev: the controller
 * @hdr: request, with index, start and count checked
 * @data: data of the request
 *
 * Context: &mnvme.lock is held, which serialises requests.
 * Return: 0, -ENOTTY for an action that is not supported, or -EINVAL for a wrong count or for a
 * request that does not fit the kind of interrupt in use. Also the errors of eventfd_ctx_fdget()
 * and vfio_virqfd_enable().
 */
int mnvme_irq_set(struct mnvme *dev, const struct vfio_irq_set *hdr,
		  const void *data)
{
	u32 action = hdr->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	bool intx = hdr->index == VFIO_PCI_INTX_IRQ_INDEX;

	lockdep_assert_held(&dev->lock);
	if (intx && (action == VFIO_IRQ_SET_ACTION_MASK ||
		     action == VFIO_IRQ_SET_ACTION_UNMASK))
		return mnvme_intx_mask(dev, hdr, data,
				       action == VFIO_IRQ_SET_ACTION_MASK);
	if (action != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -ENOTTY;
	if (intx)
		return mnvme_intx_set(dev, hdr, data);
	if (hdr->index == VFIO_PCI_REQ_IRQ_INDEX)
		return mnvme_req_set(dev, hdr, data);
	return mnvme_vectors_set(dev, hdr, data);
}

/**
 * mnvme_irq_request() - ask the user to release the device
 * @dev: the controller
 * @count: number of earlier requests
 */
void mnvme_irq_request(struct mnvme *dev, unsigned int count)
{
	struct mnvme_irq *irq = &dev->irq;
	bool asked;

	spin_lock(&irq->lock);
	asked = irq->req;
	if (asked)
		mnvme_signal(irq->req);
	spin_unlock(&irq->lock);

	if (asked && !(count % 10))
		dev_notice_ratelimited(dev->vdev.dev,
				       "Relaying device request to user (#%u)\n",
				       count);
	else if (!asked && !count)
		dev_warn(dev->vdev.dev,
			 "No device request channel registered, blocked until released by user\n");
}
