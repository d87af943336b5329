/* SPDX-License-Identifier: GPL-2.0-only */
/* Fault knobs: a device that fails on purpose, for tests of a VMM */
#ifndef VFIO_MIG_FAULT_H
#define VFIO_MIG_FAULT_H

#include "mig.h"

/**
 * enum vfio_mig_spoil - what happens to a chunk
 * @VFIO_MIG_SPOIL_NOT: nothing
 * @VFIO_MIG_SPOIL_DAMAGE: the chunk is damaged
 * @VFIO_MIG_SPOIL_DROP: the chunk is dropped
 */
enum vfio_mig_spoil {
	VFIO_MIG_SPOIL_NOT,
	VFIO_MIG_SPOIL_DAMAGE,
	VFIO_MIG_SPOIL_DROP,
};

void __vfio_mig_fault_setup(void);
void __vfio_mig_fault_cleanup(void);
void __vfio_mig_fault_init(struct vfio_mig *mig);
void __vfio_mig_fault_exit(struct vfio_mig *mig);

int __vfio_mig_fault_transition(struct vfio_mig *mig, enum vfio_mig_state to);
int __vfio_mig_fault_stop(struct vfio_mig *mig);
void __vfio_mig_fault_run(struct vfio_mig *mig);
enum vfio_mig_spoil __vfio_mig_fault_chunk(struct vfio_mig *mig, u32 seq);
void __vfio_mig_fault_transfer(struct vfio_mig *mig, size_t bytes);
u64 __vfio_mig_fault_pending(struct vfio_mig *mig, u64 bytes);
u64 __vfio_mig_fault_data_size(struct vfio_mig *mig, u64 bytes);
void __vfio_mig_fault_dirty(struct vfio_mig *mig);
bool __vfio_mig_fault_reinit(struct vfio_mig *mig);

/* Without the option this is a constant, so the compiler drops the code that depends on it. */
static inline bool vfio_mig_faulty(const struct vfio_mig *mig)
{
	return IS_ENABLED(CONFIG_VFIO_MIG_CORE_FAULT_KNOBS) &&
	       unlikely(READ_ONCE(mig->faulty));
}

/* Called when the library is loaded, and when it is unloaded. */
static inline void vfio_mig_fault_setup(void)
{
	if (IS_ENABLED(CONFIG_VFIO_MIG_CORE_FAULT_KNOBS))
		__vfio_mig_fault_setup();
}

static inline void vfio_mig_fault_cleanup(void)
{
	if (IS_ENABLED(CONFIG_VFIO_MIG_CORE_FAULT_KNOBS))
		__vfio_mig_fault_cleanup();
}

/* Called when a device is created, and when it is destroyed. */
static inline void vfio_mig_fault_init(struct vfio_mig *mig)
{
	if (IS_ENABLED(CONFIG_VFIO_MIG_CORE_FAULT_KNOBS))
		__vfio_mig_fault_init(mig);
}

static inline void vfio_mig_fault_exit(struct vfio_mig *mig)
{
	if (IS_ENABLED(CONFIG_VFIO_MIG_CORE_FAULT_KNOBS))
		__vfio_mig_fault_exit(mig);
}

/* Called in a transition to @to. Returns 0, or the error of the transition. */
static inline int vfio_mig_fault_transition(struct vfio_mig *mig,
					    enum vfio_mig_state to)
{
	return vfio_mig_faulty(mig) ? __vfio_mig_fault_transition(mig, to) : 0;
}

/* Called when the device has stopped. Returns 0, or an error to report nevertheless. */
static inline int vfio_mig_fault_stop(struct vfio_mig *mig)
{
	return vfio_mig_faulty(mig) ? __vfio_mig_fault_stop(mig) : 0;
}

/* Called when the device runs. May break the device. */
static inline void vfio_mig_fault_run(struct vfio_mig *mig)
{
	if (vfio_mig_faulty(mig))
		__vfio_mig_fault_run(mig);
}

/* Called when chunk @seq of a save was made. */
static inline enum vfio_mig_spoil vfio_mig_fault_chunk(struct vfio_mig *mig,
						       u32 seq)
{
	return vfio_mig_faulty(mig) ? __vfio_mig_fault_chunk(mig, seq) :
				      VFIO_MIG_SPOIL_NOT;
}

/* Called for each transfer of bytes of a stream. Waits if the bandwidth is limited. */
static inline void vfio_mig_fault_transfer(struct vfio_mig *mig, size_t bytes)
{
	if (vfio_mig_faulty(mig))
		__vfio_mig_fault_transfer(mig, bytes);
}

/* Returns the number of bytes to report as pending, instead of @bytes. */
static inline u64 vfio_mig_fault_pending(struct vfio_mig *mig, u64 bytes)
{
	return vfio_mig_faulty(mig) ? __vfio_mig_fault_pending(mig, bytes) :
				      bytes;
}

/* Returns the number of bytes to report for MIG_DATA_SIZE, instead of @bytes. */
static inline u64 vfio_mig_fault_data_size(struct vfio_mig *mig, u64 bytes)
{
	return vfio_mig_faulty(mig) ? __vfio_mig_fault_data_size(mig, bytes) :
				      bytes;
}

/* Called before the library looks for changed pages. Marks pages as changed. */
static inline void vfio_mig_fault_dirty(struct vfio_mig *mig)
{
	if (vfio_mig_faulty(mig))
		__vfio_mig_fault_dirty(mig);
}

/* Called for VFIO_MIG_GET_PRECOPY_INFO. Returns whether to report new initial data. */
static inline bool vfio_mig_fault_reinit(struct vfio_mig *mig)
{
	return vfio_mig_faulty(mig) && __vfio_mig_fault_reinit(mig);
}

#endif /* VFIO_MIG_FAULT_H */
