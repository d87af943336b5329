// SPDX-License-Identifier: GPL-2.0-only
/*
 * BAR0: the controller's registers (NVMe 3), the MSI-X table and pending bits
 *
 * Registers consist of 32-bit words. A 64-bit access is to two words, with the lock held
 * for both. NVMe does not permit narrower writes, and they have no effect.
 */

#include "mnvme.h"

#define MNVME_CAP_CQR		BIT_ULL(16)
/* In units of 500 ms. This is a long time, because emulated guests are slow. */
#define MNVME_CAP_TO		60

static u64 mnvme_cap(void)
{
	return (MNVME_QUEUE_SIZE_MAX - 1) | MNVME_CAP_CQR |
	       (u64)MNVME_CAP_TO << 24 | (u64)NVME_CAP_CSS_NVM << 37 |
	       (u64)(MNVME_PAGE_SHIFT_MIN - 12) << 48 |
	       (u64)(MNVME_PAGE_SHIFT_MAX - 12) << 52;
}

static u32 mnvme_csts(const struct mnvme *dev)
{
	u32 csts = READ_ONCE(dev->shst);

	if (READ_ONCE(dev->ready))
		csts |= NVME_CSTS_RDY;
	/* A pending reset clears CFS, and the host must not see CFS until then. */
	if (READ_ONCE(dev->cfs) && !dev->reset_pending)
		csts |= NVME_CSTS_CFS;
	return csts;
}

static u32 mnvme_reg_read(struct mnvme *dev, u32 off)
{
	switch (off) {
	case NVME_REG_CAP:
		return lower_32_bits(mnvme_cap());
	case NVME_REG_CAP + 4:
		return upper_32_bits(mnvme_cap());
	case NVME_REG_VS:
		return NVME_VS(1, 4, 0);
	case NVME_REG_INTMS:
	case NVME_REG_INTMC:
		return dev->intms;
	case NVME_REG_CC:
		return dev->cc;
	case NVME_REG_CSTS:
		return mnvme_csts(dev);
	case NVME_REG_AQA:
		return dev->aqa;
	case NVME_REG_ASQ:
		return lower_32_bits(dev->asq);
	case NVME_REG_ASQ + 4:
		return upper_32_bits(dev->asq);
	case NVME_REG_ACQ:
		return lower_32_bits(dev->acq);
	case NVME_REG_ACQ + 4:
		return upper_32_bits(dev->acq);
	default: /* absent optional registers, doorbells */
		return 0;
	}
}

static void mnvme_write_cc(struct mnvme *dev, u32 val)
{
	val &= MNVME_CC_WRITABLE;
	if ((dev->cc & NVME_CC_ENABLE) && !(val & NVME_CC_ENABLE)) {
		dev->reset_pending = true;
		/*
		 * The reset sets CC to 0 (NVMe 3.1.5). Otherwise an old CC.SHN would shut
		 * the controller down again. If this write sets CC.SHN for the first time,
		 * the shutdown comes after the reset.
		 */
		val = dev->cc & NVME_CC_SHN_MASK ? 0 : val & NVME_CC_SHN_MASK;
	}
	WRITE_ONCE(dev->cc, val);
	mnvme_ctrl_kick(dev);
}

static void mnvme_set_half(u64 *reg, bool high, u32 val)
{
	if (high)
		*reg = lower_32_bits(*reg) | (u64)val << 32;
	else
		*reg = (*reg & ~0xffffffffull) | (val & ~0xfffu);
}

static void mnvme_reg_write(struct mnvme *dev, u32 off, u32 val)
{
	switch (off) {
	case NVME_REG_INTMS:
		WRITE_ONCE(dev->intms, dev->intms | val);
		break;
	case NVME_REG_INTMC:
		val &= dev->intms;
		WRITE_ONCE(dev->intms, dev->intms & ~val);
		mnvme_irq_unmask(dev, val);
		break;
	case NVME_REG_CC:
		mnvme_write_cc(dev, val);
		break;
	case NVME_REG_AQA:
		dev->aqa = val & MNVME_AQA_WRITABLE;
		break;
	case NVME_REG_ASQ:
	case NVME_REG_ASQ + 4:
		mnvme_set_half(&dev->asq, off & 4, val);
		break;
	case NVME_REG_ACQ:
	case NVME_REG_ACQ + 4:
		mnvme_set_half(&dev->acq, off & 4, val);
		break;
	default: /* read-only or absent */
		break;
	}
}

static bool mnvme_is_msix(u32 off)
{
	return off >= MNVME_BAR_MSIX_TABLE;
}

static bool mnvme_is_doorbell(u32 off)
{
	return off >= MNVME_BAR_DOORBELLS && off < MNVME_BAR_MSIX_TABLE;
}

/**
 * mnvme_bar_read() - read from BAR0
 * @dev: the controller
 * @off: offset in the BAR
 * @buf: buffer for the value
 * @len: 1, 2, 4 or 8; naturally aligned
 *
 * Context: takes &mnvme.lock.
 * Return: 0, or -EIO while the guest has memory space disabled.
 */
int mnvme_bar_read(struct mnvme *dev, u32 off, u8 *buf, size_t len)
{
	u32 word = off & ~3u;
	__le32 val[2] = {};
	u32 i;

	if (!READ_ONCE(dev->mem_enabled))
		return -EIO;

	mutex_lock(&dev->lock);
	for (i = 0; i * 4 < len; i++) {
		u32 v = mnvme_is_msix(off) ? mnvme_msix_read(dev, word + i * 4) :
					     mnvme_reg_read(dev, word + i * 4);

		val[i] = cpu_to_le32(v);
	}
	mutex_unlock(&dev->lock);
	memcpy(buf, (u8 *)val + (off & 3), len);
	return 0;
}

/**
 * mnvme_bar_write() - write to BAR0
 * @dev: the controller
 * @off: offset in the BAR
 * @buf: the value
 * @len: 1, 2, 4 or 8; naturally aligned
 *
 * A stopped device keeps the value, and acts on the value when it runs.
 *
 * Context: takes &mnvme.lock. For a doorbell the thread does not take it, but may execute
 * commands, see mnvme_sq_execute_here().
 * Return: 0, or -EIO while the guest has memory space disabled.
 */
int mnvme_bar_write(struct mnvme *dev, u32 off, const u8 *buf, size_t len)
{
	u32 i;

	if (!READ_ONCE(dev->mem_enabled))
		return -EIO;
	if (len < sizeof(u32)) {
		mnvme_warn(dev, "write of %zu bytes at 0x%x ignored\n", len, off);
		return 0;
	}

	if (mnvme_is_doorbell(off)) {
		/* Writes of doorbells are frequent, so doorbells have their own locks. */
		for (i = 0; i < len; i += 4)
			mnvme_doorbell(dev, off + i - MNVME_BAR_DOORBELLS,
				       get_unaligned_le32(buf + i));
	} else {
		mutex_lock(&dev->lock);
		for (i = 0; i < len; i += 4) {
			u32 val = get_unaligned_le32(buf + i);

			if (mnvme_is_msix(off))
				mnvme_msix_write(dev, off + i, val);
			else
				mnvme_reg_write(dev, off + i, val);
		}
		mutex_unlock(&dev->lock);
	}
	vfio_mig_control_changed(dev->mig);
	return 0;
}
