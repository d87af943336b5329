// SPDX-License-Identifier: GPL-2.0-only
/*
 * Levels: versions of the controller that a guest sees
 *
 * Identify, the registers and configuration space depend on the controller's level, as
 * QEMU's devices depend on the machine type. The level is the version of the state. A
 * device gets the level of the state that it loads. If the target's driver does not know the
 * level, the library refuses the first chunk of the stream. A change that a guest can see needs
 * a new level, because existing levels never change.
 */
#include <linux/ctype.h>

#include "mnvme.h"

/* Returns whether the guest may use Doorbell Buffer Config. */
bool mnvme_offers_dbbuf(const struct mnvme *dev)
{
	return dev->level >= 2 && dev->told_dbbuf;
}

/**
 * mnvme_offers_update() - decide which features to offer to a host that starts the controller
 * @dev: the controller
 *
 * A host may use an offered feature until it starts the controller again. So a change of the
 * module's parameter has no effect before. A controller that came by a migration keeps the
 * source's offer until the device is closed.
 *
 * Context: &mnvme.lock is held.
 */
void mnvme_offers_update(struct mnvme *dev)
{
	lockdep_assert_held(&dev->lock);
	if (!dev->told)
		dev->told_dbbuf = mnvme_dbbuf_offered();
}

/* Returns whether the guest may use Copy. */
bool mnvme_offers_copy(const struct mnvme *dev)
{
	return dev->level >= 2;
}

/**
 * mnvme_serial_valid() - whether NVMe permits a serial number (1.5, 5.15)
 * @sn: the serial number, padded with spaces
 */
bool mnvme_serial_valid(const char sn[MNVME_SERIAL_LEN])
{
	int i;

	for (i = 0; i < MNVME_SERIAL_LEN; i++)
		if (!isascii(sn[i]) || !isprint(sn[i]))
			return false;
	return sn[0] != ' ';
}
