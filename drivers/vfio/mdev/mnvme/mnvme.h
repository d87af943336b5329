/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mnvme: a mediated NVMe controller whose namespace is host memory
 *
 * The namespace is the paged state of vfio-mig-core, and all other state is control state. An
 * executor is a thread that executes commands. A work item, &mnvme.ctrl_work, enables, resets
 * and shuts down the controller. A level is a set of features that a guest sees, as a number.
 * Documentation/driver-api/mnvme.rst describes the device.
 *
 * Locks, in the order in which they are taken:
 *
 * - the library's session mutex, which is held in the callbacks of migration.c
 * - &mnvme.ctrl, which its holder keeps while it waits for executors
 * - &mnvme.lock, whose holder waits for no executor and for no guest memory
 * - &mnvme_sq.exec of the admin queue, and then that of an I/O queue
 * - &mnvme_cq.post
 * - the library's page locks, in a page access
 * - &mnvme_sq.lock and &mnvme_cq.lock, and then the spinlocks of events, log and irq
 *
 * "NVMe" in comments is the NVM Express Base Specification, revision 1.4.
 */
#ifndef _MNVME_H
#define _MNVME_H

#include <linux/bitmap.h>
#include <linux/eventfd.h>
#include <linux/mdev.h>
#include <linux/mutex.h>
#include <linux/nvme.h>
#include <linux/pci_regs.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/uuid.h>
#include <linux/vfio.h>
#include <linux/vfio_mig_compat.h>
#include <linux/vfio_mig_core.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

/* Queue identifiers: 0 is the admin queue, and 1..MNVME_IO_QUEUES are I/O queues. */
#define MNVME_IO_QUEUES		64
#define MNVME_NR_QUEUES		(1 + MNVME_IO_QUEUES)
#define MNVME_NR_VECTORS	MNVME_NR_QUEUES
#define MNVME_NR_MSI		32

/* Largest queue in entries. CAP.MQES reports this number minus 1. */
#define MNVME_QUEUE_SIZE_MAX	4096

#define MNVME_PAGE_SHIFT_MIN	12
#define MNVME_PAGE_SHIFT_MAX	16

/* Largest transfer of one command: 2^MNVME_MDTS pages of the smallest size. */
#define MNVME_MDTS		8
#define MNVME_XFER_MAX		BIT(MNVME_MDTS + MNVME_PAGE_SHIFT_MIN)

/* The namespace is kept in pages of this size, for every block size. */
#define MNVME_NS_PAGE_SHIFT	12
#define MNVME_NS_PAGE_SIZE	((u32)BIT(MNVME_NS_PAGE_SHIFT))

#define MNVME_SERIAL_LEN	20

/* I/O command Copy, which <linux/nvme.h> does not have, and its limits. */
#define MNVME_CMD_COPY		0x19
#define MNVME_COPY_RANGES	128	/* source range entries, which fill a page */
#define MNVME_BUF_SIZE		SZ_4K	/* size of an executor's buffer */

#define MNVME_AER_MAX		4	/* outstanding Asynchronous Event Requests */
#define MNVME_ERROR_LOG		64	/* entries */
#define MNVME_BATCH		16	/* commands fetched at once */

/* BAR0: registers, doorbells, MSI-X table, pending bit array. */
#define MNVME_BAR_SIZE		0x4000
#define MNVME_BAR_DOORBELLS	0x1000
#define MNVME_BAR_MSIX_TABLE	0x2000
#define MNVME_BAR_MSIX_PBA	0x3000

#define MNVME_CONFIG_SIZE	256	/* higher offsets read as 0 */

/*
 * NVMe 4.6.1 (status field), without the phase bit. <linux/nvme.h> renamed its names of both
 * bits, also within a stable series. They are enumerators there, which the preprocessor cannot
 * test, so this driver has names of its own.
 */
#define MNVME_STATUS_MORE	0x2000
#define MNVME_STATUS_DNR	0x4000
/* Adds the bit "Do Not Retry", because a retry of the command would fail again. */
#define MNVME_DNR(sc)		((sc) | MNVME_STATUS_DNR)
/* Not an NVMe status: the command stays outstanding, and has no completion yet. */
#define MNVME_NO_COMPLETION	0xffff
/*
 * Not an NVMe status: the command begins again later, because guest memory is not present, or
 * because the queue must stop or its turn is over. Where kernel-doc of this driver has "NVMe
 * status", this value is possible, too.
 */
#define MNVME_NOT_EXECUTED	0xfffe
/* Not a value of a doorbell: there is no value, or the driver does not know it. */
#define MNVME_NO_DOORBELL	U32_MAX
/* NVMe figure "Error Information Log Entry": the error is not about one field. */
#define MNVME_NO_LOCATION	0xffff
/* In the same figure: the error is not about one queue or command. */
#define MNVME_NO_QUEUE		0xffff

/* The first executor is for the admin queue, and the others are for I/O queues. */
#define MNVME_EXECUTORS_MAX	MNVME_NR_QUEUES

struct mnvme;

/**
 * struct mnvme_type - an mdev type
 * @type: the mdev core's structure
 * @name: full name; states migrate between devices of the same name
 * @ns_size: size of the namespace, in bytes
 * @lba_shift: size of a block, as a power of two
 */
struct mnvme_type {
	struct mdev_type type;
	const char *name;
	u64 ns_size;
	u8 lba_shift;
};

/**
 * struct mnvme_counters - a queue's part of the counters of the SMART / Health log
 * @sectors_read: 512-byte units read by the host
 * @sectors_written: 512-byte units written by the host
 * @reads: Read and Compare commands completed
 * @writes: Write commands completed
 * @busy_ns: time spent on commands
 */
struct mnvme_counters {
	u64 sectors_read;
	u64 sectors_written;
	u64 reads;
	u64 writes;
	u64 busy_ns;
};

/**
 * struct mnvme_executor - a thread of the user that executes commands
 * @dev: the controller
 * @worker: the thread, while the device is open
 * @buf: %MNVME_BUF_SIZE bytes for the current command, while the device is open. A command
 *	that stores nothing uses them, so that it cannot fail if there is no memory.
 * @kicked: queues to look at
 * @last: the queue that was looked at last
 */
struct mnvme_executor {
	struct mnvme *dev;
	struct vfio_mig_worker *worker;
	void *buf;
	DECLARE_BITMAP(kicked, MNVME_NR_QUEUES);
	unsigned int last;
};

/**
 * struct mnvme_sq - a submission queue
 * @dev: the controller
 * @id: queue identifier
 * @executor: the executor of this queue
 * @exec: Held while commands are fetched, executed and completed, by @executor or by the
 *	thread that writes the doorbell. Only the holder uses @head of a live queue. The
 *	holder waits for a bounded time only, also if guest memory is missing.
 * @dma: accesses to guest memory for this queue; @exec protects this and the members up to
 *	@owed_at
 * @turn_end: time after which another queue has its turn. This time, @last_ns and @irq_since
 *	are values of local_clock(), in nanoseconds.
 * @last_ns: time at which commands were executed last
 * @poll_ns: duration of polling the doorbell after @last_ns, in nanoseconds
 * @polled: the queue is polled, so EventIdx was not armed
 * @irq_owed: number of completions for which no interrupt was signalled yet
 * @irq_since: time of the first of these completions
 * @irq_gain: number of waits without another completion that are left, see %MNVME_GAIN
 * @irq_timer: ends a wait that the host asked for with the feature Interrupt Coalescing
 * @spare: a page that is filled and then becomes a page of the namespace, or NULL
 * @row: contiguous memory that is filled and then becomes pages of the namespace
 * @here: the present thread must not wait for memory
 * @waits: an access found missing memory, or an allocation failed with @here
 * @done: completions of executed commands, which are still to be posted
 * @nr_done: number of completions in @done
 * @owed: all of @done was written, except one byte with the first entry's phase tag
 * @owed_at: guest address of this byte
 * @lock: protects @live, @tail, @shadow and @rung, and orders kicks against deletion
 * @live: the queue exists
 * @base: guest address of the queue
 * @size: number of entries
 * @cqid: identifier of the completion queue
 * @prio: priority class; not used, because arbitration is round robin
 * @head: next entry to execute
 * @tail: last value of the doorbell
 * @shadow: the doorbell is in guest memory. @tail is then the value that was read there
 *	last, and also changes with @exec held.
 * @rung: with @shadow, the value that the register was written with since @tail was read,
 *	or %MNVME_NO_DOORBELL
 * @event_idx: with @shadow, last written value of EventIdx; with @exec held
 * @count: statistics, written with @exec held
 *
 * The members between @live and @head change only while nothing executes.
 */
struct mnvme_sq {
	struct mnvme *dev;
	u16 id;
	struct mnvme_executor *executor;
	struct mutex exec; /* protects head, count and the members below */
	struct vfio_mig_dma dma;
	u64 turn_end;
	u64 last_ns;
	u64 poll_ns;
	bool polled;
	u32 irq_owed;
	u64 irq_since;
	u8 irq_gain;
	struct timer_list irq_timer;
	struct page *spare;
	struct vfio_mig_row row;
	bool here;
	bool waits;
	struct nvme_completion done[MNVME_BATCH + MNVME_AER_MAX];
	u32 nr_done;
	bool owed;
	u64 owed_at;
	spinlock_t lock; /* protects live, tail, shadow and rung */
	bool live;
	u64 base;
	u32 size;
	u16 cqid;
	u8 prio;
	u32 head;
	u32 tail;
	bool shadow;
	u32 rung;
	u32 event_idx;
	struct mnvme_counters count;
};

/**
 * struct mnvme_cq - a completion queue
 * @dev: the controller
 * @id: queue identifier
 * @lock: protects all members except @post, @dma, @arm, @torn and @event_idx
 * @post: Held while entries are written, or while the host's head is read, by one
 *	submission queue at a time. As for &mnvme_sq.exec, only for a bounded time.
 * @dma: writes of entries to guest memory; with @post held
 * @arm: writes of EventIdx to guest memory, which must not delay entries; with @post held
 * @live: the queue exists
 * @ien: interrupts are enabled
 * @phase: phase tag of the entries that are written in this pass
 * @vector: interrupt vector
 * @base: guest address of the queue
 * @size: number of entries
 * @head: last value of the doorbell
 * @tail: next entry to write
 * @reserved: number of entries that are reserved for commands in execution
 * @torn: number of entries after @tail that a failed write may have stored; with @post held
 * @starved: a submission queue waits for free entries
 * @shadow: the doorbell is in guest memory, and @head is the value that was read there last
 * @rung: for the admin queue with @shadow, the value that the register was written with
 *	since @head was read, or %MNVME_NO_DOORBELL
 * @event_idx: with @shadow, last written value of EventIdx; with @post held
 */
struct mnvme_cq {
	struct mnvme *dev;
	u16 id;
	spinlock_t lock; /* protects all members but post, dma, arm, torn and event_idx */
	struct mutex post; /* held by the one writer of entries */
	struct vfio_mig_dma dma;
	struct vfio_mig_dma arm;
	bool live;
	bool ien;
	u8 phase;
	u16 vector;
	u64 base;
	u32 size;
	u32 head;
	u32 tail;
	u32 reserved;
	u32 torn;
	bool starved;
	bool shadow;
	u32 rung;
	u32 event_idx;
};

/**
 * struct mnvme_req - a command in execution
 * @dev: the controller
 * @sq: the command's queue
 * @cmd: a private copy of the command, because the guest may change the original
 * @result: dword 0 of the completion
 * @bytes: number of bytes that were moved
 * @freed: the command has freed a page of the namespace
 * @no_rows: a row failed, so the rest of the command is moved page by page
 * @err_loc: "Parameter Error Location" for the error log
 * @err_lba: first block that the error is about
 * @unlogged: an error does not go to the error log
 */
struct mnvme_req {
	struct mnvme *dev;
	struct mnvme_sq *sq;
	const struct nvme_command *cmd;
	u32 result;
	u32 bytes;
	bool freed;
	bool no_rows;
	u16 err_loc;
	u64 err_lba;
	bool unlogged;
};

/* Returns the status for a bad field, and records the field's offset in the command. */
#define MNVME_BAD_FIELD(req, field) \
	mnvme_bad_field(req, offsetof(struct nvme_command, field))

static inline u16 mnvme_bad_field(struct mnvme_req *req, u16 offset)
{
	req->err_loc = offset;
	return MNVME_DNR(NVME_SC_INVALID_FIELD);
}

/* As MNVME_BAD_FIELD(), for a parameter that begins at bit @bit of @field. */
#define MNVME_BAD_BIT(req, field, bit) \
	mnvme_bad_bit(req, offsetof(struct nvme_command, field), bit)

/* NVMe figure "Error Information Log Entry": bits 10:8 have the bit in the byte. */
static inline u16 mnvme_bad_bit(struct mnvme_req *req, u16 offset, u8 bit)
{
	return mnvme_bad_field(req, (offset + bit / 8) | (bit % 8) << 8);
}

/*
 * Returns the status for a bad field of a command that hosts send only to detect a feature.
 * This error gets no entry in the error log, because tools watch the number of entries.
 */
static inline u16 mnvme_not_offered(struct mnvme_req *req, u16 offset)
{
	req->unlogged = true;
	return mnvme_bad_field(req, offset);
}

/**
 * struct mnvme_irq - interrupts
 * @lock: protects all members that name no other lock. An innermost lock, which is not taken
 *	in interrupt context.
 * @held: the device is stopped, so vectors become pending and are not signalled
 * @resync: signal every vector whose cause stands when @held ends
 * @index: VFIO_PCI_{INTX,MSI,MSIX}_IRQ_INDEX that is in use, or -1; written with &mnvme.lock
 *	held
 * @vector: eventfds of the MSI or MSI-X vectors
 * @intx: eventfd of INTx
 * @intx_masked: INTx was signalled or masked, and was not unmasked since
 * @intx_unmask: eventfd by which the user unmasks INTx; with &mnvme.lock
 * @intx_unmasks: how often @intx_unmask was signalled since the host took entries, and since
 *	INTx was signalled for new ones; not protected
 * @intx_trigger: the user asked to signal INTx
 * @req: eventfd that asks the user to release the device
 * @masked: MSI-X vectors that the user masked in the table. These differ from the table's
 *	mask bits, because a reset sets those bits, and a VMM that emulates the table never
 *	clears them.
 * @pending: vectors to signal as soon as possible
 * @triggered: vectors that are pending because the user asked for them
 * @posted: completion queues with entries for which INTx was not signalled
 * @table: MSI-X table, for users that read it
 */
struct mnvme_irq {
	spinlock_t lock; /* protects all members but index, intx_unmask and intx_unmasks */
	bool held;
	bool resync;
	int index;
	struct eventfd_ctx *vector[MNVME_NR_VECTORS];
	struct eventfd_ctx *intx;
	bool intx_masked;
	struct virqfd *intx_unmask;
	unsigned int intx_unmasks;
	bool intx_trigger;
	struct eventfd_ctx *req;
	DECLARE_BITMAP(masked, MNVME_NR_VECTORS);
	DECLARE_BITMAP(pending, MNVME_NR_VECTORS);
	DECLARE_BITMAP(triggered, MNVME_NR_VECTORS);
	DECLARE_BITMAP(posted, MNVME_NR_QUEUES);
	u32 table[MNVME_NR_VECTORS][4];
};

/**
 * struct mnvme_features - current values of the features
 * @arbitration: Arbitration
 * @temp_over: Temperature Threshold, over temperature, composite and sensor 1
 * @temp_under: Temperature Threshold, under temperature, composite and sensor 1
 * @error_recovery: Error Recovery of the namespace
 * @irq_coalescing: Interrupt Coalescing
 * @write_atomicity: Write Atomicity Normal
 * @async_event: Asynchronous Event Configuration
 * @no_coalescing: Interrupt Vector Configuration: coalescing disabled
 */
struct mnvme_features {
	u32 arbitration;
	u16 temp_over[2];
	u16 temp_under[2];
	u32 error_recovery;
	u32 irq_coalescing;
	u32 write_atomicity;
	u32 async_event;
	DECLARE_BITMAP(no_coalescing, MNVME_NR_VECTORS);
};

/* Event types of the controller, which are values of NVMe "Async. Event Type" */
enum mnvme_event_type {
	MNVME_EVENT_ERROR,
	MNVME_EVENT_SMART,
	MNVME_EVENT_TYPES,
};

/**
 * struct mnvme_events - asynchronous events
 * @lock: protects @pending, @masked, @info and @raised
 * @pending: types with an event to report
 * @masked: types that were reported and whose log page was not read since
 * @info: "Asynchronous Event Information" of the pending event
 * @raised: number of raised events of each type; not a part of a state
 * @nr: number of outstanding requests; only the admin queue's executor uses this and @cid
 * @cid: command identifiers of the requests, oldest first
 */
struct mnvme_events {
	spinlock_t lock; /* protects pending, masked, info and raised */
	u8 pending;
	u8 masked;
	u8 info[MNVME_EVENT_TYPES];
	u32 raised[MNVME_EVENT_TYPES];
	u8 nr;
	u16 cid[MNVME_AER_MAX];
};

/**
 * struct mnvme_dbbuf - shadow doorbells, as Doorbell Buffer Config set them up
 * @on: shadow doorbells are in use
 * @shadow: guest address of the doorbells
 * @event_idx: guest address of the EventIdx values
 * @admin: tail and head of the admin queue in guest memory when they were read or written
 *	last. %MNVME_NO_DOORBELL if they are not known, because the state came from a driver
 *	that did not read them.
 * @look: read the admin queue's doorbells before it continues; not a part of a state
 *
 * Written with &mnvme_sq.exec of the admin queue held, or while nothing executes. Each queue
 * has its own flag, &mnvme_sq.shadow or &mnvme_cq.shadow.
 */
struct mnvme_dbbuf {
	bool on;
	u64 shadow;
	u64 event_idx;
	u32 admin[2];
	bool look;
};

/**
 * struct mnvme_log - the error log, and counters that survive a reset
 * @lock: protects @entry, and writes of @errors and @count
 * @entry: ring with the newest entry at (@errors - 1) modulo its size
 * @errors: number of errors since the device was created
 * @unsafe_shutdowns: how often the controller lost power without a shutdown; with &mnvme.lock
 * @power_cycles: how often the controller was switched on; with &mnvme.lock
 * @power_on_ns: operating time until the device was stopped last, in nanoseconds; written with
 *	the library's session mutex held
 * @since: time at which the device began to run, from ktime_get_ns(); written as @power_on_ns
 * @count: counters of submission queues that were deleted
 */
struct mnvme_log {
	spinlock_t lock; /* protects entry, and writes of errors and count */
	struct nvme_error_slot entry[MNVME_ERROR_LOG];
	u64 errors;
	u64 unsafe_shutdowns;
	u64 power_cycles;
	u64 power_on_ns;
	u64 since;
	struct mnvme_counters count;
};

/**
 * struct mnvme - a controller
 * @vdev: the VFIO device
 * @mig: the library's object
 * @pages: the namespace
 * @type: the mdev type
 * @id: source of the namespace identifiers. At first the mdev's UUID; migrates with the
 *	contents of the namespace
 * @serial: serial number, padded with spaces; migrates, too
 * @level: level of the features that the guest sees, see level.c
 * @told: @told_dbbuf came with a state, so it does not change until the device is closed
 * @told_dbbuf: Doorbell Buffer Config was offered to the guest
 * @in_use: the device is open, so sysfs does not change @level and @serial
 * @mm: address space of the process that opened the device
 * @lock: protects @config, the registers and the flags that follow them, @serial and
 *	@level
 * @config: PCI configuration space, the first 256 bytes
 * @cc: Controller Configuration
 * @aqa: Admin Queue Attributes
 * @asq: Admin Submission Queue Base Address
 * @acq: Admin Completion Queue Base Address
 * @intms: interrupt mask
 * @reset_pending: CC.EN was cleared
 * @flr_pending: a function level reset was requested
 * @ctrl_work: acts on changes of CC, and on function level resets
 * @step_tick: time of the last step of @ctrl_work, in jiffies; with @ctrl held
 * @steps: number of steps at that time; with @ctrl held
 * @halt: woken when commands must not be executed any more
 * @executor: the admin queue's executor, then those of I/O queues
 * @nr_executors: number of executors, while the device is open
 * @ctrl: Held to reset, enable or shut down the controller. Taken before @lock. A thread
 *	that serves an access to a register does not take it.
 * @resetting: a reset is in progress, so no command is executed
 * @running: mnvme_run() was called, and mnvme_stop() was not called since
 * @mem_enabled: the function responds to accesses to its BAR
 * @bus_master: the guest permits DMA
 * @powered: the function is in D0
 * @intx_disabled: the command register disables INTx
 * @msix_masked: the function mask masks all MSI-X vectors
 * @msix_enabled: the message control register enables MSI-X
 * @msi_messages: number of messages that MSI is enabled for, 0 without MSI
 * @ready: CSTS.RDY
 * @cfs: CSTS.CFS
 * @shst: CSTS.SHST, at its position in CSTS
 * @page_shift: memory page size in use while @ready, as a power of two
 * @irq: interrupts
 * @features: features, written by the admin queue's executor, or while nothing executes. Other
 *	threads read Interrupt Coalescing and Interrupt Vector Configuration.
 * @events: asynchronous events
 * @log: error log and counters
 * @dbbuf: shadow doorbells
 * @sq: submission queues
 * @cq: completion queues
 */
struct mnvme {
	struct vfio_device vdev;
	struct vfio_mig *mig;
	struct vfio_mig_pages pages;
	const struct mnvme_type *type;
	uuid_t id;
	char serial[MNVME_SERIAL_LEN];
	u8 level;
	bool told;
	bool told_dbbuf;
	bool in_use;
	struct mm_struct *mm;

	struct mutex lock; /* protects configuration space and registers */
	u8 config[MNVME_CONFIG_SIZE];
	u32 cc;
	u32 aqa;
	u64 asq;
	u64 acq;
	u32 intms;
	bool reset_pending;
	bool flr_pending;
	struct work_struct ctrl_work;
	unsigned long step_tick;
	unsigned int steps;
	wait_queue_head_t halt;
	struct mnvme_executor executor[MNVME_EXECUTORS_MAX];
	unsigned int nr_executors;

	struct mutex ctrl; /* serialises resets */
	bool resetting;
	bool running;
	bool mem_enabled;
	bool bus_master;
	bool powered;
	bool intx_disabled;
	bool msix_masked;
	bool msix_enabled;
	u8 msi_messages;
	bool ready;
	bool cfs;
	u8 shst;
	u8 page_shift;

	struct mnvme_irq irq;
	struct mnvme_features features;
	struct mnvme_events events;
	struct mnvme_log log;
	struct mnvme_dbbuf dbbuf;
	struct mnvme_sq sq[MNVME_NR_QUEUES];
	struct mnvme_cq cq[MNVME_NR_QUEUES];
};

static inline struct mnvme *to_mnvme(struct vfio_device *vdev)
{
	return container_of(vdev, struct mnvme, vdev);
}

static inline u64 mnvme_nr_blocks(const struct mnvme *dev)
{
	return dev->type->ns_size >> dev->type->lba_shift;
}

/* One Copy may move as many blocks as one Write. */
static inline u32 mnvme_copy_max(const struct mnvme *dev)
{
	return MNVME_XFER_MAX >> dev->type->lba_shift;
}

#define mnvme_warn(mnvme, fmt, ...) \
	dev_warn_ratelimited((mnvme)->vdev.dev, fmt, ##__VA_ARGS__)

/* main.c */
extern struct workqueue_struct *mnvme_wq;
extern struct vfio_mig_budget mnvme_budget;
int mnvme_instance_get(const struct mnvme_type *type);
void mnvme_instance_put(void);

/* vfio.c */
extern const struct vfio_mig_pci mnvme_pci;
extern const struct vfio_device_ops mnvme_vfio_ops;

/* config.c */
void mnvme_config_reset(struct mnvme *dev);
void mnvme_config_update(struct mnvme *dev);
void mnvme_config_read(struct mnvme *dev, u32 off, u8 *buf, size_t len);
void mnvme_config_write(struct mnvme *dev, u32 off, const u8 *buf, size_t len);
bool mnvme_config_valid(const struct mnvme *dev);

/* bar.c */
#define MNVME_CC_WRITABLE	0x00fffff1
#define MNVME_AQA_WRITABLE	0x0fff0fff
int mnvme_bar_read(struct mnvme *dev, u32 off, u8 *buf, size_t len);
int mnvme_bar_write(struct mnvme *dev, u32 off, const u8 *buf, size_t len);

/* ctrl.c */
void mnvme_ctrl_work(struct work_struct *work);
void mnvme_ctrl_kick(struct mnvme *dev);
void mnvme_power_on(struct mnvme *dev);
void mnvme_end_dma(struct mnvme *dev);
void mnvme_fail(struct mnvme *dev, const char *why);
int mnvme_stop(struct mnvme *dev, enum vfio_mig_stop_reason reason);
void mnvme_run(struct mnvme *dev);

/* irq.c */
void mnvme_irq_init(struct mnvme_irq *irq);
void mnvme_irq_reset(struct mnvme *dev);
void mnvme_irq_release_user(struct mnvme *dev);
void mnvme_irq_hold(struct mnvme *dev);
void mnvme_irq_unhold(struct mnvme *dev);
void mnvme_irq_update(struct mnvme *dev);
void mnvme_irq_unmask(struct mnvme *dev, u32 vectors);
void mnvme_irq_raise(struct mnvme *dev, struct mnvme_cq *cq);
bool mnvme_intx_level(struct mnvme *dev);
u16 mnvme_irq_vectors(struct mnvme *dev);
int mnvme_irq_set(struct mnvme *dev, const struct vfio_irq_set *hdr,
		  const void *data);
void mnvme_irq_request(struct mnvme *dev, unsigned int count);
u32 mnvme_msix_read(struct mnvme *dev, u32 off);
void mnvme_msix_write(struct mnvme *dev, u32 off, u32 val);

/* dma.c */
void mnvme_dma_init(struct mnvme_sq *sq);
void mnvme_cq_dma_init(struct mnvme_cq *cq);
int mnvme_cq_dma(struct mnvme_cq *cq, struct vfio_mig_dma *dma, struct mnvme_sq *sq, u64 iova,
		 void *buf, size_t len);
int mnvme_dma(struct mnvme_sq *sq, u64 iova, void *buf, size_t len, bool write);
u16 mnvme_dma_status(int ret);

/* executor.c */
int mnvme_executors_start(struct mnvme *dev);
void mnvme_executors_stop(struct mnvme *dev);
void mnvme_executor_kick(struct mnvme_sq *sq);
bool mnvme_executors_killed(const struct mnvme *dev);

/* poll.c */
void mnvme_poll_init(struct mnvme_sq *sq);
bool mnvme_poll_adapt(struct mnvme_sq *sq);
bool mnvme_polls(const struct mnvme_sq *sq);
void mnvme_irq_owe(struct mnvme_sq *sq, u32 nr);
void mnvme_irq_settle(struct mnvme_sq *sq, bool again);
void mnvme_irq_flush(struct mnvme_sq *sq);

/* exec.c */
bool mnvme_may_execute(const struct mnvme *dev);
bool mnvme_sq_may_execute(const struct mnvme_sq *sq);
bool mnvme_sq_turn_over(const struct mnvme_sq *sq);
void mnvme_sq_execute(struct mnvme_sq *sq);
bool mnvme_sq_execute_here(struct mnvme_sq *sq);

/* doorbell.c */
void mnvme_doorbell(struct mnvme *dev, u32 off, u32 val);
void mnvme_doorbell_refused(struct mnvme *dev, u16 qid, bool is_cq, bool live,
			    u32 val);

/* dbbuf.c */
bool mnvme_dbbuf_offered(void);
u16 mnvme_dbbuf_config(struct mnvme_req *req);
u16 mnvme_dbbuf_clear(struct mnvme *dev, u16 qid, bool is_cq);
bool mnvme_sq_idle(struct mnvme_sq *sq, bool arm);
bool mnvme_cq_full(struct mnvme_cq *cq, struct mnvme_sq *sq);
bool mnvme_dbbuf_look(struct mnvme *dev);
void mnvme_dbbuf_stop(struct mnvme *dev);
void mnvme_dbbuf_settle(struct mnvme *dev);
void mnvme_dbbuf_loaded(struct mnvme *dev);

/* queue.c */
void mnvme_queues_init(struct mnvme *dev);
void mnvme_sq_create(struct mnvme_sq *sq, u64 base, u32 size, u16 cqid, u8 prio);
void mnvme_cq_create(struct mnvme_cq *cq, u64 base, u32 size, u16 vector,
		     bool ien);
bool mnvme_sq_quiesce(struct mnvme_sq *sq);
void mnvme_sq_drop(struct mnvme_sq *sq);
void mnvme_sq_delete(struct mnvme_sq *sq);
bool mnvme_cq_quiesce(struct mnvme_cq *cq);
void mnvme_cq_delete(struct mnvme_cq *cq);
void mnvme_cq_kick(struct mnvme_cq *cq);
u32 mnvme_queued(struct mnvme *dev);
void mnvme_sq_kick(struct mnvme_sq *sq);
void mnvme_sq_kick_all(struct mnvme *dev);
bool mnvme_sq_can_add(const struct mnvme_sq *sq, u32 tail);
bool mnvme_cq_can_take(const struct mnvme_cq *cq, u32 head);
bool mnvme_cq_take(struct mnvme_cq *cq, u32 head);
void mnvme_cq_wake(struct mnvme_cq *cq, const struct mnvme_sq *except);
u32 mnvme_cq_reserve(struct mnvme_cq *cq, u32 nr);
void mnvme_cq_unreserve(struct mnvme_cq *cq, u32 nr);
void mnvme_sq_complete(struct mnvme_sq *sq, const struct nvme_completion *cqe);
bool mnvme_cq_lock(struct mnvme_cq *cq, struct mnvme_sq *sq);
int mnvme_sq_post(struct mnvme_sq *sq);
int mnvme_cq_mend(struct mnvme_cq *cq, struct mnvme_sq *sq);
bool mnvme_cq_empty(const struct mnvme_cq *cq);

/* dptr.c */
/**
 * struct mnvme_dptr - a walk over the guest memory of a command's data pointer
 * @dev: the controller
 * @sq: the command's queue
 * @left: bytes of the transfer that are still to be moved
 * @iova: guest address of the current segment
 * @seg: bytes left in the segment; never more than @left
 * @discard: the current segment is a bit bucket
 * @sgl_in_use: the data pointer is an SGL, and not a PRP
 * @to_device: SGL: data go to the controller
 * @last_segment: SGL: no segment follows this one
 * @sgl_left: SGL: limit of the descriptors that may still come
 * @list: guest address of the next entry of the list
 * @list_left: entries from @list to the end of its page (PRP) or segment (SGL)
 * @idx: next entry of @prp or @sgl
 * @nr: number of entries in @prp or @sgl
 * @prp: a part of the PRP list
 * @sgl: a part of the SGL segment
 */
struct mnvme_dptr {
	struct mnvme *dev;
	struct mnvme_sq *sq;
	u32 left;
	u64 iova;
	u32 seg;
	bool discard;
	bool sgl_in_use;
	bool to_device;
	bool last_segment;
	u32 sgl_left;
	u64 list;
	u32 list_left;
	u32 idx;
	u32 nr;
	union {
		__le64 prp[64];
		struct nvme_sgl_desc sgl[32];
	};
};

u16 mnvme_dptr_init(struct mnvme_dptr *d, struct mnvme_req *req, u32 len);
u16 mnvme_dptr_next(struct mnvme_dptr *d);
void mnvme_dptr_read_ahead(struct mnvme_dptr *d);
bool mnvme_dptr_at_hand(const struct mnvme_dptr *d);
u32 mnvme_dptr_run(const struct mnvme_dptr *d);
u16 mnvme_dptr_skip(struct mnvme_dptr *d, u32 len);
u16 mnvme_dptr_dma(struct mnvme_dptr *d, void *buf, u32 len, bool write);
u16 mnvme_dptr_copy(struct mnvme_dptr *d, void *buf, u32 len, bool write);
u16 mnvme_copy_out(struct mnvme_req *req, void *buf, u32 len, u32 total);
u16 mnvme_copy_in(struct mnvme_req *req, void *buf, u32 len);

static inline void mnvme_dptr_advance(struct mnvme_dptr *d, u32 len)
{
	d->iova += len;
	d->seg -= len;
	d->left -= len;
}

/* prp.c */
u16 mnvme_prp_init(struct mnvme_dptr *d, struct mnvme_req *req);
u16 mnvme_prp_next(struct mnvme_dptr *d);
void mnvme_prp_read_ahead(struct mnvme_dptr *d);
u32 mnvme_prp_run(const struct mnvme_dptr *d);

/* sgl.c */
u16 mnvme_sgl_init(struct mnvme_dptr *d, struct mnvme_req *req);
u16 mnvme_sgl_next(struct mnvme_dptr *d);
u32 mnvme_sgl_run(const struct mnvme_dptr *d);
bool mnvme_sgl_long(const struct nvme_command *cmd);

/* io.c */
/**
 * struct mnvme_range - blocks of a command, as a range of bytes of the namespace
 * @pos: offset of the first byte
 * @len: number of bytes
 */
struct mnvme_range {
	u64 pos;
	u64 len;
};

u16 mnvme_io_command(struct mnvme_req *req);
u16 mnvme_check_range(struct mnvme_req *req, u64 slba, u64 nlb,
		      struct mnvme_range *range);
u16 mnvme_zero(struct mnvme_req *req, struct mnvme_range r);
u16 mnvme_alloc_status(int ret);

/* copy.c */
u16 mnvme_copy(struct mnvme_req *req);

/* admin.c */
u16 mnvme_admin_command(struct mnvme_req *req);

/* identify.c */
u16 mnvme_identify(struct mnvme_req *req);
void mnvme_set_identity(struct mnvme *dev, const guid_t *guid);
void mnvme_serial_default(const struct mnvme *dev, char sn[MNVME_SERIAL_LEN]);

/* features.c */
void mnvme_features_reset(struct mnvme_features *f);
bool mnvme_features_valid(const struct mnvme_features *f);
u16 mnvme_set_features(struct mnvme_req *req);
u16 mnvme_get_features(struct mnvme_req *req);
u8 mnvme_critical_warning(const struct mnvme *dev);

/* log.c */
#define MNVME_TEMPERATURE	310	/* Kelvin; a constant, because there is no sensor */
#define MNVME_FIRMWARE		"1.0"
u16 mnvme_get_log_page(struct mnvme_req *req);
void mnvme_log_error(struct mnvme_req *req, u16 status);
void mnvme_log_no_command(struct mnvme *dev, u16 status);
u64 mnvme_power_on_ns(const struct mnvme *dev);
void mnvme_power_came(struct mnvme *dev);
void mnvme_power_went(struct mnvme *dev);
void mnvme_fold_counters(struct mnvme_sq *sq);

/* event.c */
u16 mnvme_async_event(struct mnvme_req *req);
bool mnvme_event_abort(struct mnvme_req *req, u16 cid);
void mnvme_event_raise(struct mnvme *dev, enum mnvme_event_type type, u8 info);
u32 mnvme_event_raised(struct mnvme *dev, enum mnvme_event_type type);
void mnvme_event_clear(struct mnvme *dev, enum mnvme_event_type type, u32 raised);
void mnvme_event_drop(struct mnvme *dev, enum mnvme_event_type type);
void mnvme_events_deliver(struct mnvme *dev);
void mnvme_events_reset(struct mnvme *dev);

/* migration.c */
int mnvme_migration_init(struct mnvme *dev);

/* level.c */
/*
 * Level 1 is the first one. Level 2 adds shadow doorbells and Copy. Level 3 adds a serial number
 * that can be set, a count of power cycles, NOWS, and read-only bits of Device Control.
 */
#define MNVME_LEVEL_MIN		1
#define MNVME_LEVEL_MAX		3
bool mnvme_offers_dbbuf(const struct mnvme *dev);
void mnvme_offers_update(struct mnvme *dev);
bool mnvme_offers_copy(const struct mnvme *dev);
bool mnvme_serial_valid(const char sn[MNVME_SERIAL_LEN]);

/* sysfs.c */
extern const struct attribute_group mnvme_level_group;
void mnvme_level_init(struct mnvme *dev);

/* state.c */
#define MNVME_STATE_MAX		SZ_32K
size_t mnvme_state_save(struct mnvme *dev, void *buf);
const char *mnvme_state_load(struct mnvme *dev, u8 level, const void *buf,
			     size_t len);
const char *mnvme_state_check(const struct mnvme *dev);
void mnvme_shadow_init(struct mnvme *dev, const struct mnvme_type *type);

#endif /* _MNVME_H */
