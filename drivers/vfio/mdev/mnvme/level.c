// SPDX-License-Identifier: GPL-2.0-only
/*
 * Levels: what a guest was told stays true wherever it goes
 *
 * All that Identify, the registers and configuration space say of the controller
 * depends on its level, as a machine's devices do on a machine type. The level is the
 * version of the state: a device takes on the level of the state that it loads, and a
 * host whose driver does not know the level refuses the stream by its first chunk.
 * What a change adds for the guest to see is a new level; an old one is not changed.
 */
#include <linux/ctype.h>

#include "mnvme.h"

/* Whether the guest may use Doorbell Buffer Config. */
bool mnvme_offers_dbbuf(const struct mnvme *dev)
{
	if (dev->level < 2)
		return false;
	return dev->told ? dev->told_dbbuf : mnvme_dbbuf_offered();
}

/* Whether the guest may use Copy. */
bool mnvme_offers_copy(const struct mnvme *dev)
{
	return dev->level >= 2;
}

/**
 * mnvme_serial_valid() - whether a serial number is one that NVMe allows (1.5, 5.15)
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
