/* SPDX-License-Identifier: GPL-2.0-only */
/* Trace events of vfio-mig-core */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfio_mig

#if !defined(_TRACE_VFIO_MIG_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VFIO_MIG_H

#include <linux/device.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

/* The name of a mediated device is its UUID. Longer names are truncated. */
#define VFIO_MIG_TRACE_NAME	40

#define vfio_mig_show_state(state)			\
	__print_symbolic(state,				\
			 { 0, "error" },		\
			 { 1, "stopped" },		\
			 { 2, "running" },		\
			 { 3, "stop-and-copy" },	\
			 { 4, "resuming" },		\
			 { 5, "running-p2p" },		\
			 { 6, "pre-copy" },		\
			 { 7, "pre-copy-p2p" })

#define vfio_mig_show_owner(owner)			\
	__print_symbolic(owner,				\
			 { 0, "none" },			\
			 { 1, "v1" },			\
			 { 2, "v2" })

/* A transition was tried. @ret is 0, or the error if the state has not changed. */
TRACE_EVENT(vfio_mig_state,
	TP_PROTO(struct device *dev, int from, int to, int owner, int ret),
	TP_ARGS(dev, from, to, owner, ret),
	TP_STRUCT__entry(
		__array(char, name, VFIO_MIG_TRACE_NAME)
		__field(int, from)
		__field(int, to)
		__field(int, owner)
		__field(int, ret)
	),
	TP_fast_assign(
		strscpy(__entry->name, dev_name(dev), VFIO_MIG_TRACE_NAME);
		__entry->from = from;
		__entry->to = to;
		__entry->owner = owner;
		__entry->ret = ret;
	),
	TP_printk("%s: %s -> %s by %s: %d", __entry->name,
		  vfio_mig_show_state(__entry->from),
		  vfio_mig_show_state(__entry->to),
		  vfio_mig_show_owner(__entry->owner), __entry->ret)
);

DECLARE_EVENT_CLASS(vfio_mig_bytes,
	TP_PROTO(struct device *dev, u64 bytes),
	TP_ARGS(dev, bytes),
	TP_STRUCT__entry(
		__array(char, name, VFIO_MIG_TRACE_NAME)
		__field(u64, bytes)
	),
	TP_fast_assign(
		strscpy(__entry->name, dev_name(dev), VFIO_MIG_TRACE_NAME);
		__entry->bytes = bytes;
	),
	TP_printk("%s: %llu bytes", __entry->name, __entry->bytes)
);

/* An iteration of the v1 region was opened, with so many bytes. */
DEFINE_EVENT(vfio_mig_bytes, vfio_mig_iteration_open,
	TP_PROTO(struct device *dev, u64 bytes),
	TP_ARGS(dev, bytes)
);

/* An iteration was concluded, so its bytes count as consumed. */
DEFINE_EVENT(vfio_mig_bytes, vfio_mig_iteration_conclude,
	TP_PROTO(struct device *dev, u64 bytes),
	TP_ARGS(dev, bytes)
);

/* An iteration was concluded before the user had read it, which breaks the protocol. */
DEFINE_EVENT(vfio_mig_bytes, vfio_mig_breach,
	TP_PROTO(struct device *dev, u64 bytes),
	TP_ARGS(dev, bytes)
);

/* A portion of a stream was given to the device. @ret is 0 or the error. */
TRACE_EVENT(vfio_mig_commit,
	TP_PROTO(struct device *dev, u64 bytes, int ret),
	TP_ARGS(dev, bytes, ret),
	TP_STRUCT__entry(
		__array(char, name, VFIO_MIG_TRACE_NAME)
		__field(u64, bytes)
		__field(int, ret)
	),
	TP_fast_assign(
		strscpy(__entry->name, dev_name(dev), VFIO_MIG_TRACE_NAME);
		__entry->bytes = bytes;
		__entry->ret = ret;
	),
	TP_printk("%s: %llu bytes: %d", __entry->name, __entry->bytes,
		  __entry->ret)
);

#endif /* _TRACE_VFIO_MIG_H */

#include <trace/define_trace.h>
