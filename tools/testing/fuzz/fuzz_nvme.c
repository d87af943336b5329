// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzz target: the decoders of registers and commands. An input is a row of
 * operations on a controller. Whatever was done to it, its state must load into
 * another one.
 */
#include "nvme_ops.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	memset(guest, 0, sizeof(guest));
	nvme_do(nvme_new(), data, size);
	return 0;
}
