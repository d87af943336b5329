/* SPDX-License-Identifier: GPL-2.0-only */
/* An mnvme controller with a small namespace, and a guest's memory. */
#ifndef FUZZ_NVME_DEVICE_H
#define FUZZ_NVME_DEVICE_H

#include "library.h"
#include "mnvme.h"

/* From address 0 on; what is above it is not there. */
#define GUEST_SIZE	SZ_128K

extern u8 guest[GUEST_SIZE];

/* No page is there any more until somebody waits for it. */
void guest_evict(void);

struct mnvme *nvme_new(void);
void nvme_free(struct mnvme *dev);

/* Saves the one, which is stopped, and loads it into a new one, which is returned. */
struct mnvme *nvme_migrate(struct mnvme *dev);
/* Lets @dev, stopped, have a control state of @level if it takes it. */
bool nvme_load_control(struct mnvme *dev, u8 level, const u8 *control, size_t len);
size_t nvme_save_control(struct mnvme *dev, u8 *control);

#endif /* FUZZ_NVME_DEVICE_H */
