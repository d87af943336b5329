// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI configuration space
 *
 * Configuration space is an array of bytes, &mnvme.config, which &mnvme.lock protects. A table
 * has the value of each field after a reset, and a mask of its writable bits. The whole array
 * migrates.
 */

#include "mnvme.h"

/* These are not registered. NVMe drivers bind to the class code 01 08 02. */
#define MNVME_VENDOR_ID		0x1d6b
#define MNVME_DEVICE_ID		0x5f4e
#define MNVME_CLASS		0x010802

#define MNVME_CAP_PM		0x40
#define MNVME_CAP_MSI		0x48
#define MNVME_CAP_EXP		0x60
#define MNVME_CAP_MSIX		0xa0

#define MNVME_MSI_MMC		5	/* 32 vectors */

/*
 * Extended Tag, Phantom Functions and Aux Power are read-only, because Device
 * Capabilities and the power management capability do not offer them.
 */
#define MNVME_DEVCTL_WRITABLE						\
	(PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE |			\
	 PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE |			\
	 PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_PAYLOAD |		\
	 PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ)
#define MNVME_LNKCTL_WRITABLE						\
	(PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES)

/**
 * struct mnvme_config_field - a field of configuration space
 * @off: offset
 * @size: 1, 2 or 4 bytes
 * @value: value after a reset
 * @mask: writable bits
 * @flr_keeps: bits that a function level reset does not change (PCI Express 6.6.2)
 */
struct mnvme_config_field {
	u8 off;
	u8 size;
	u32 value;
	u32 mask;
	u32 flr_keeps;
};

static const struct mnvme_config_field mnvme_config_fields[] = {
	{ PCI_VENDOR_ID, 2, MNVME_VENDOR_ID },
	{ PCI_DEVICE_ID, 2, MNVME_DEVICE_ID },
	{ PCI_COMMAND, 2, 0, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
			     PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
			     PCI_COMMAND_INTX_DISABLE },
	{ PCI_STATUS, 2, PCI_STATUS_CAP_LIST },
	{ PCI_CLASS_REVISION, 4, MNVME_CLASS << 8 | 1 },
	{ PCI_CACHE_LINE_SIZE, 1, 0, 0xff },
	{ PCI_BASE_ADDRESS_0, 4, PCI_BASE_ADDRESS_MEM_TYPE_64,
				 ~(MNVME_BAR_SIZE - 1) },
	{ PCI_BASE_ADDRESS_1, 4, 0, ~0 },
	{ PCI_SUBSYSTEM_VENDOR_ID, 2, MNVME_VENDOR_ID },
	{ PCI_SUBSYSTEM_ID, 2, 1 },
	{ PCI_CAPABILITY_LIST, 1, MNVME_CAP_PM },
	{ PCI_INTERRUPT_LINE, 1, 0, 0xff },
	{ PCI_INTERRUPT_PIN, 1, 1 },

	{ MNVME_CAP_PM, 2, PCI_CAP_ID_PM | MNVME_CAP_MSI << 8 },
	{ MNVME_CAP_PM + PCI_PM_PMC, 2, 3 },
	{ MNVME_CAP_PM + PCI_PM_CTRL, 2, PCI_PM_CTRL_NO_SOFT_RESET,
					 PCI_PM_CTRL_STATE_MASK },

	{ MNVME_CAP_MSI, 2, PCI_CAP_ID_MSI | MNVME_CAP_EXP << 8 },
	{ MNVME_CAP_MSI + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_64BIT |
					    MNVME_MSI_MMC << 1,
					    PCI_MSI_FLAGS_ENABLE |
					    PCI_MSI_FLAGS_QSIZE },
	{ MNVME_CAP_MSI + PCI_MSI_ADDRESS_LO, 4, 0, ~3 },
	{ MNVME_CAP_MSI + PCI_MSI_ADDRESS_HI, 4, 0, ~0 },
	{ MNVME_CAP_MSI + PCI_MSI_DATA_64, 2, 0, 0xffff },

	{ MNVME_CAP_EXP, 2, PCI_CAP_ID_EXP | MNVME_CAP_MSIX << 8 },
	{ MNVME_CAP_EXP + PCI_EXP_FLAGS, 2, 2 | PCI_EXP_TYPE_ENDPOINT << 4 },
	{ MNVME_CAP_EXP + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_RBER |
					     PCI_EXP_DEVCAP_FLR },
	/* The mask lacks the bit that starts a function level reset, because it is not stored. */
	{ MNVME_CAP_EXP + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_RELAX_EN |
					     PCI_EXP_DEVCTL_READRQ_512B,
					     MNVME_DEVCTL_WRITABLE,
					     PCI_EXP_DEVCTL_PAYLOAD },
	{ MNVME_CAP_EXP + PCI_EXP_LNKCAP, 4, PCI_EXP_LNKCAP_SLS_2_5GB |
					     1 << 4 },
	{ MNVME_CAP_EXP + PCI_EXP_LNKCTL, 2, 0, MNVME_LNKCTL_WRITABLE,
						MNVME_LNKCTL_WRITABLE },
	{ MNVME_CAP_EXP + PCI_EXP_LNKSTA, 2, PCI_EXP_LNKSTA_CLS_2_5GB |
					     PCI_EXP_LNKSTA_NLW_X1 },

	{ MNVME_CAP_MSIX, 2, PCI_CAP_ID_MSIX },
	{ MNVME_CAP_MSIX + PCI_MSIX_FLAGS, 2, MNVME_NR_VECTORS - 1,
					      PCI_MSIX_FLAGS_ENABLE |
					      PCI_MSIX_FLAGS_MASKALL },
	{ MNVME_CAP_MSIX + PCI_MSIX_TABLE, 4, MNVME_BAR_MSIX_TABLE },
	{ MNVME_CAP_MSIX + PCI_MSIX_PBA, 4, MNVME_BAR_MSIX_PBA },
};

static void mnvme_config_build(u8 level, u8 *value, u8 *mask)
{
	const struct mnvme_config_field *f = mnvme_config_fields;
	const struct mnvme_config_field *end =
		f + ARRAY_SIZE(mnvme_config_fields);
	u8 i;

	memset(value, 0, MNVME_CONFIG_SIZE);
	memset(mask, 0, MNVME_CONFIG_SIZE);
	for (; f < end; f++) {
		for (i = 0; i < f->size; i++) {
			value[f->off + i] = f->value >> (8 * i);
			mask[f->off + i] = f->mask >> (8 * i);
		}
	}
	/* Below level 3 the bits were writable, although no capability offers them. */
	if (level < 3)
		mask[MNVME_CAP_EXP + PCI_EXP_DEVCTL + 1] |=
			(PCI_EXP_DEVCTL_EXT_TAG | PCI_EXP_DEVCTL_PHANTOM) >> 8;
}

static u16 mnvme_config_word(const struct mnvme *dev, u32 off)
{
	return get_unaligned_le16(dev->config + off);
}

/* Returns the number of messages that MSI is enabled for, 0 without MSI. */
static u8 mnvme_config_msi(const struct mnvme *dev)
{
	u16 flags = mnvme_config_word(dev, MNVME_CAP_MSI + PCI_MSI_FLAGS);
	u8 order = (flags & PCI_MSI_FLAGS_QSIZE) >> 4;

	if (!(flags & PCI_MSI_FLAGS_ENABLE))
		return 0;
	return 1 << min_t(u8, order, MNVME_MSI_MMC);
}

static bool mnvme_powered(const struct mnvme *dev)
{
	return !(dev->config[MNVME_CAP_PM + PCI_PM_CTRL] &
		 PCI_PM_CTRL_STATE_MASK);
}

/**
 * mnvme_config_update() - update the flags that depend on configuration space
 * @dev: the controller
 *
 * Code that does not hold &mnvme.lock reads these flags. This code must not read configuration
 * space, because another thread can change the bytes at the same time.
 *
 * Context: &mnvme.lock is held.
 */
void mnvme_config_update(struct mnvme *dev)
{
	u16 command = mnvme_config_word(dev, PCI_COMMAND);
	u16 msix = mnvme_config_word(dev, MNVME_CAP_MSIX + PCI_MSIX_FLAGS);
	bool powered = mnvme_powered(dev);
	bool was = dev->bus_master;

	lockdep_assert_held(&dev->lock);
	WRITE_ONCE(dev->mem_enabled, powered && command & PCI_COMMAND_MEMORY);
	WRITE_ONCE(dev->bus_master, powered && command & PCI_COMMAND_MASTER);
	WRITE_ONCE(dev->powered, powered);
	WRITE_ONCE(dev->intx_disabled, command & PCI_COMMAND_INTX_DISABLE);
	WRITE_ONCE(dev->msix_masked, msix & PCI_MSIX_FLAGS_MASKALL);
	WRITE_ONCE(dev->msix_enabled, msix & PCI_MSIX_FLAGS_ENABLE);
	WRITE_ONCE(dev->msi_messages, mnvme_config_msi(dev));
	if (dev->bus_master && !was)
		mnvme_sq_kick_all(dev);
	mnvme_irq_update(dev);
}

/**
 * mnvme_config_reset() - function level reset of configuration space
 * @dev: the controller
 *
 * Context: &mnvme.lock is held.
 */
void mnvme_config_reset(struct mnvme *dev)
{
	u8 value[MNVME_CONFIG_SIZE], mask[MNVME_CONFIG_SIZE];
	const struct mnvme_config_field *f = mnvme_config_fields;
	const struct mnvme_config_field *end =
		f + ARRAY_SIZE(mnvme_config_fields);
	u8 i, keeps;

	mnvme_config_build(dev->level, value, mask);
	for (; f < end; f++) {
		for (i = 0; i < f->size; i++) {
			keeps = f->flr_keeps >> (8 * i);
			value[f->off + i] = (value[f->off + i] & ~keeps) |
					    (dev->config[f->off + i] & keeps);
		}
	}
	memcpy(dev->config, value, sizeof(dev->config));
	mnvme_config_update(dev);
}

/**
 * mnvme_config_valid() - whether the device can have the values of its configuration space
 * @dev: a controller whose configuration space came from a stream
 */
bool mnvme_config_valid(const struct mnvme *dev)
{
	const u8 *config = dev->config;
	u8 value[MNVME_CONFIG_SIZE], mask[MNVME_CONFIG_SIZE];
	u8 state = config[MNVME_CAP_PM + PCI_PM_CTRL] & PCI_PM_CTRL_STATE_MASK;
	u32 i;

	mnvme_config_build(dev->level, value, mask);
	for (i = 0; i < MNVME_CONFIG_SIZE; i++)
		if ((config[i] ^ value[i]) & ~mask[i])
			return false;
	return state == 0 || state == 3;
}

/**
 * mnvme_config_read() - read from configuration space
 * @dev: the controller
 * @off: offset, below PCI_CFG_SPACE_EXP_SIZE
 * @buf: buffer for the value
 * @len: 1, 2 or 4; naturally aligned
 *
 * A function that is being reset does not answer, so the host reads ones. A host waits for
 * 100 ms and then reads until it gets other values (PCI Express 6.6.2). Otherwise it would
 * restore registers that the reset then clears.
 */
void mnvme_config_read(struct mnvme *dev, u32 off, u8 *buf, size_t len)
{
	size_t i;

	mutex_lock(&dev->lock);
	if (dev->flr_pending) {
		memset(buf, 0xff, len);
		goto out;
	}
	for (i = 0; i < len; i++) {
		/* There are no extended capabilities, so that part reads as 0. */
		buf[i] = off + i < MNVME_CONFIG_SIZE ? dev->config[off + i] : 0;
		if (off + i == PCI_STATUS && mnvme_intx_level(dev))
			buf[i] |= PCI_STATUS_INTERRUPT;
	}
out:
	mutex_unlock(&dev->lock);
}

static void mnvme_config_write_byte(struct mnvme *dev, u32 off, u8 val, u8 mask)
{
	u8 state = val & PCI_PM_CTRL_STATE_MASK;

	/* D1 and D2 are not supported, so a transition to them is ignored. */
	if (off == MNVME_CAP_PM + PCI_PM_CTRL && (state == 1 || state == 2))
		return;
	if (off == MNVME_CAP_EXP + PCI_EXP_DEVCTL + 1 &&
	    (val & (PCI_EXP_DEVCTL_BCR_FLR >> 8)))
		dev->flr_pending = true;
	dev->config[off] = (dev->config[off] & ~mask) | (val & mask);
}

/**
 * mnvme_config_write() - write to configuration space
 * @dev: the controller
 * @off: offset, below PCI_CFG_SPACE_EXP_SIZE
 * @buf: the value
 * @len: 1, 2 or 4; naturally aligned
 *
 * A write that clears Bus Master, or that puts the function into D3hot, ends all accesses to
 * guest memory before it returns. The reason is that the host then uses this memory for
 * something else.
 *
 * Context: may sleep for a bounded time.
 */
void mnvme_config_write(struct mnvme *dev, u32 off, const u8 *buf, size_t len)
{
	u8 value[MNVME_CONFIG_SIZE], mask[MNVME_CONFIG_SIZE];
	bool was, ends;
	size_t i;

	if (off >= MNVME_CONFIG_SIZE)
		return;

	mutex_lock(&dev->lock);
	mnvme_config_build(dev->level, value, mask);
	was = dev->bus_master;
	/* The write is lost, as mnvme_config_read() shows. The reset would clear its value. */
	if (dev->flr_pending)
		len = 0;
	for (i = 0; i < len; i++)
		mnvme_config_write_byte(dev, off + i, buf[i], mask[off + i]);
	mnvme_config_update(dev);
	ends = was && !dev->bus_master;
	mnvme_ctrl_kick(dev);
	mutex_unlock(&dev->lock);
	if (ends)
		mnvme_end_dma(dev);
	vfio_mig_control_changed(dev->mig);
}
