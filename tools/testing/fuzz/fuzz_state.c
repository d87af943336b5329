// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz target: the control state of a stream. The input is its length (2), its level (1),
 * the state, and operations as in fuzz_nvme. If the controller takes a state, it must save
 * the same state again, and work.
 */
#include "nvme_ops.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 control[MNVME_STATE_MAX];
	struct mnvme *dev;
	size_t len, saved;
	bool taken;
	u8 level;

	if (size < 3)
		return 0;
	len = min(get_unaligned_le16(data), size - 3);
	/* The library has refused all other levels. */
	level = MNVME_LEVEL_MIN + data[2] % (MNVME_LEVEL_MAX - MNVME_LEVEL_MIN + 1);
	data += 3;
	size -= 3;
	if (len > MNVME_STATE_MAX)
		return 0;

	memset(guest, 0, sizeof(guest));
	dev = nvme_new();
	mnvme_stop(dev, VFIO_MIG_STOP_FOR_SAVE);
	taken = nvme_load_control(dev, level, data, len);
	if (taken) {
		saved = nvme_save_control(dev, control);
		must(saved == len);
		must(!memcmp(control, data, len));
	}
	mnvme_run(dev);
	run_work();
	nvme_do(dev, data + len, taken ? size - len : 0);
	return 0;
}
