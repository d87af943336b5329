/* SPDX-License-Identifier: GPL-2.0-only */
/* An mnvme controller with a small namespace, and its guest memory */
#ifndef FUZZ_NVME_DEVICE_H
#define FUZZ_NVME_DEVICE_H

#include "library.h"
#include "mnvme.h"

/* Guest memory starts at 0. There is nothing above it. */
#define GUEST_SIZE	SZ_128K

extern u8 guest[GUEST_SIZE];

/* No page is present until a queue waits for it. */
void guest_evict(void);

struct mnvme *nvme_new(void);
void nvme_free(struct mnvme *dev);

/* Saves a stopped controller, and loads its state into a new one, which is returned. */
struct mnvme *nvme_migrate(struct mnvme *dev);
/* Loads a control state of @level into @dev, which is stopped. Returns whether @dev took it. */
bool nvme_load_control(struct mnvme *dev, u8 level, const u8 *control, size_t len);
size_t nvme_save_control(struct mnvme *dev, u8 *control);

#endif /* FUZZ_NVME_DEVICE_H */
