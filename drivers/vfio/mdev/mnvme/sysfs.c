// SPDX-License-Identifier: GPL-2.0-only
/*
 * Level and serial number, which an administrator can set before a device is opened
 */
#include <linux/device.h>
#include <linux/moduleparam.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "mnvme.h"

static unsigned int level = MNVME_LEVEL_MAX;

static int mnvme_level_param_set(const char *val, const struct kernel_param *kp)
{
	return param_set_uint_minmax(val, kp, MNVME_LEVEL_MIN, MNVME_LEVEL_MAX);
}

static const struct kernel_param_ops mnvme_level_param_ops = {
	.set = mnvme_level_param_set,
	.get = param_get_uint,
};

module_param_cb(level, &mnvme_level_param_ops, &level, 0644);
MODULE_PARM_DESC(level, "Level of devices that are created, 1 to 3 (default 3)");

/**
 * mnvme_level_init() - set the level of a new device
 * @dev: the controller
 */
void mnvme_level_init(struct mnvme *dev)
{
	dev->level = READ_ONCE(level);
}

static bool mnvme_serial_is_default(const struct mnvme *dev)
{
	char sn[MNVME_SERIAL_LEN];

	mnvme_serial_default(dev, sn);
	return !memcmp(sn, dev->serial, sizeof(sn));
}

static ssize_t level_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	const struct mnvme *mnvme = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u\n", READ_ONCE(mnvme->level));
}

static int mnvme_set_level(struct mnvme *dev, u8 level)
{
	if (level < MNVME_LEVEL_MIN || level > MNVME_LEVEL_MAX)
		return -EINVAL;
	if (dev->in_use)
		return -EBUSY;
	/* A state below level 3 has no serial number. */
	if (level < 3 && !mnvme_serial_is_default(dev))
		return -EINVAL;
	WRITE_ONCE(dev->level, level);
	return 0;
}

static ssize_t level_store(struct device *dev, struct device_attribute *attr,
			   const char *buf, size_t len)
{
	struct mnvme *mnvme = dev_get_drvdata(dev);
	u8 level;
	int ret;

	ret = kstrtou8(buf, 10, &level);
	if (ret)
		return ret;
	mutex_lock(&mnvme->lock);
	ret = mnvme_set_level(mnvme, level);
	mutex_unlock(&mnvme->lock);
	return ret ?: len;
}

static DEVICE_ATTR_RW(level);

static ssize_t serial_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	struct mnvme *mnvme = dev_get_drvdata(dev);
	char sn[MNVME_SERIAL_LEN + 1] = "";

	mutex_lock(&mnvme->lock);
	memcpy(sn, mnvme->serial, MNVME_SERIAL_LEN);
	mutex_unlock(&mnvme->lock);
	return sysfs_emit(buf, "%s\n", strim(sn));
}

static int mnvme_set_serial(struct mnvme *dev, const char sn[MNVME_SERIAL_LEN])
{
	if (dev->in_use)
		return -EBUSY;
	if (dev->level < 3)
		return -EOPNOTSUPP;
	memcpy(dev->serial, sn, sizeof(dev->serial));
	return 0;
}

static ssize_t serial_store(struct device *dev, struct device_attribute *attr,
			    const char *buf, size_t len)
{
	struct mnvme *mnvme = dev_get_drvdata(dev);
	size_t n = len && buf[len - 1] == '\n' ? len - 1 : len;
	char sn[MNVME_SERIAL_LEN];
	int ret;

	if (n > sizeof(sn))
		return -EINVAL;
	memset(sn, ' ', sizeof(sn));
	memcpy(sn, buf, n);
	if (!mnvme_serial_valid(sn))
		return -EINVAL;
	mutex_lock(&mnvme->lock);
	ret = mnvme_set_serial(mnvme, sn);
	mutex_unlock(&mnvme->lock);
	return ret ?: len;
}

static DEVICE_ATTR_RW(serial);

static struct attribute *mnvme_level_attrs[] = {
	&dev_attr_level.attr,
	&dev_attr_serial.attr,
	NULL
};

const struct attribute_group mnvme_level_group = {
	.attrs = mnvme_level_attrs,
};
