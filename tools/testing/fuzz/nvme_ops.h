/* SPDX-License-Identifier: GPL-2.0-only */
/* Operations of a guest and of its user on a controller, as a sequence of bytes */
#ifndef FUZZ_NVME_OPS_H
#define FUZZ_NVME_OPS_H

#include "nvme_device.h"

/**
 * enum nvme_op - the first byte of an operation, modulo their number
 * @OP_CONFIG: access to configuration space: offset (1), length and direction (1),
 *	value (4)
 * @OP_BAR: access to BAR0: offset (2), length and direction (1), value (8)
 * @OP_GUEST: the guest writes to its memory: address (3), length (1), data
 * @OP_COMMAND: a command: queue (1), the command (64)
 * @OP_RING: a doorbell write that announces all entries of a queue: queue (1)
 * @OP_CONSUME: the host takes all completions of a queue: queue (1)
 * @OP_ENABLE: initialise and enable the controller
 * @OP_QUEUE: create an I/O queue: queue (1)
 * @OP_STOP: stop the device, or run it if it is stopped
 * @OP_MIGRATE: continue on another device
 * @OP_STATE: change bytes of the control state, and load it if the device takes it:
 *	offset (2), length (1), data
 * @OP_IRQS: VFIO_DEVICE_SET_IRQS: index (1), flags (1), start (1), count (1), data
 * @OP_RESET: VFIO_DEVICE_RESET
 * @OP_FAIL: fail an allocation of the next operation: number of the allocation (1)
 */
enum nvme_op {
	OP_CONFIG,
	OP_BAR,
	OP_GUEST,
	OP_COMMAND,
	OP_RING,
	OP_CONSUME,
	OP_ENABLE,
	OP_QUEUE,
	OP_STOP,
	OP_MIGRATE,
	OP_STATE,
	OP_IRQS,
	OP_RESET,
	OP_FAIL,
	NR_OPS,
};

/* Does all operations on @dev, and frees it. The final state must migrate. */
void nvme_do(struct mnvme *dev, const u8 *data, size_t size);

#endif /* FUZZ_NVME_OPS_H */
