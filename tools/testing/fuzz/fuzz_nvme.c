// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz target: the decoders of registers and commands. The input is a sequence of
 * operations on a controller. After any operations the controller's state must load into
 * another controller.
 */
#include "nvme_ops.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	memset(guest, 0, sizeof(guest));
	nvme_do(nvme_new(), data, size);
	return 0;
}
