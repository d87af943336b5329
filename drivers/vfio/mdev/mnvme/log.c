// SPDX-License-Identifier: GPL-2.0-only
/*
 * Log pages (NVMe 5.14.1)
 */
#include <linux/ktime.h>
#include <linux/timekeeping.h>

#include "mnvme.h"

/* Get Log Page: Retain Asynchronous Event */
#define MNVME_LSP_RAE		BIT(7)

static void mnvme_log_add(struct mnvme_log *log, struct nvme_error_slot *entry)
{
	spin_lock(&log->lock);
	entry->error_count = cpu_to_le64(++log->errors);
	log->entry[(log->errors - 1) % MNVME_ERROR_LOG] = *entry;
	spin_unlock(&log->lock);
}

/**
 * mnvme_log_error() - add a failed command to the error log
 * @req: the command
 * @status: its NVMe status
 */
void mnvme_log_error(struct mnvme_req *req, u16 status)
{
	struct nvme_error_slot e = {
		.sqid = cpu_to_le16(req->sq->id),
		.cmdid = cpu_to_le16((__force u16)req->cmd->common.command_id),
		/* Shifted as in the completion, because bit 0 is the phase tag. */
		.status_field = cpu_to_le16((status | MNVME_STATUS_MORE) << 1),
		.param_error_location = cpu_to_le16(req->err_loc),
		.lba = cpu_to_le64(req->err_lba),
		.nsid = req->cmd->common.nsid,
	};

	mnvme_log_add(&req->dev->log, &e);
}

/**
 * mnvme_log_no_command() - add an error that is not about a command
 * @dev: the controller
 * @status: the NVMe status that describes the error best
 */
void mnvme_log_no_command(struct mnvme *dev, u16 status)
{
	struct nvme_error_slot e = {
		.sqid = cpu_to_le16(MNVME_NO_QUEUE),
		.cmdid = cpu_to_le16(MNVME_NO_QUEUE),
		.status_field = cpu_to_le16(status << 1),
		.param_error_location = cpu_to_le16(MNVME_NO_LOCATION),
	};

	mnvme_log_add(&dev->log, &e);
}

static void mnvme_log_page_error(struct mnvme *dev, void *buf)
{
	struct mnvme_log *log = &dev->log;
	struct nvme_error_slot *out = buf;
	u64 nr, i;

	spin_lock(&log->lock);
	nr = min_t(u64, log->errors, MNVME_ERROR_LOG);
	for (i = 0; i < nr; i++)	/* newest first */
		out[i] = log->entry[(log->errors - 1 - i) % MNVME_ERROR_LOG];
	spin_unlock(&log->lock);
}

/**
 * mnvme_power_on_ns() - time that the controller has been in use
 * @dev: the controller
 *
 * Return: nanoseconds.
 */
u64 mnvme_power_on_ns(const struct mnvme *dev)
{
	u64 ns = dev->log.power_on_ns;

	/* The time does not advance while the device is stopped. */
	if (READ_ONCE(dev->running))
		ns += ktime_get_ns() - dev->log.since;
	return ns;
}

/**
 * mnvme_power_came() - count a power cycle when a user opens the device
 * @dev: the controller
 */
void mnvme_power_came(struct mnvme *dev)
{
	mutex_lock(&dev->lock);
	dev->in_use = true;
	mnvme_offers_update(dev);
	dev->log.power_cycles++;
	mutex_unlock(&dev->lock);
}

/**
 * mnvme_power_went() - power off when the user closes the device
 * @dev: the controller, not reset yet
 *
 * Clears all of configuration space, because the next user has another guest. mnvme_power_on(),
 * which the caller calls next, keeps some fields, as a function level reset does.
 */
void mnvme_power_went(struct mnvme *dev)
{
	mutex_lock(&dev->lock);
	if (dev->ready && dev->shst != NVME_CSTS_SHST_CMPLT)
		dev->log.unsafe_shutdowns++;
	memset(dev->config, 0, sizeof(dev->config));
	dev->told = false;
	dev->in_use = false;
	mutex_unlock(&dev->lock);
}

static void mnvme_add_counters(struct mnvme_counters *sum,
			       const struct mnvme_counters *c)
{
	sum->sectors_read += READ_ONCE(c->sectors_read);
	sum->sectors_written += READ_ONCE(c->sectors_written);
	sum->reads += READ_ONCE(c->reads);
	sum->writes += READ_ONCE(c->writes);
	sum->busy_ns += READ_ONCE(c->busy_ns);
}

/**
 * mnvme_fold_counters() - keep the counters of a submission queue
 * @sq: the queue, which executes nothing
 */
void mnvme_fold_counters(struct mnvme_sq *sq)
{
	struct mnvme_log *log = &sq->dev->log;

	spin_lock(&log->lock);
	mnvme_add_counters(&log->count, &sq->count);
	memset(&sq->count, 0, sizeof(sq->count));
	spin_unlock(&log->lock);
}

/* "Data Units" are thousands of 512-byte units, rounded up. */
static void mnvme_put_units(u64 sectors, u8 *field)
{
	put_unaligned_le64(DIV_ROUND_UP_ULL(sectors, 1000), field);
}

static void mnvme_log_page_smart(struct mnvme *dev, void *buf)
{
	struct mnvme_counters sum = dev->log.count;
	struct nvme_smart_log *s = buf;
	u16 i;

	for (i = 0; i < MNVME_NR_QUEUES; i++)
		mnvme_add_counters(&sum, &dev->sq[i].count);
	s->critical_warning = mnvme_critical_warning(dev);
	put_unaligned_le16(MNVME_TEMPERATURE, s->temperature);
	s->avail_spare = 100;
	s->spare_thresh = 10;
	mnvme_put_units(sum.sectors_read, s->data_units_read);
	mnvme_put_units(sum.sectors_written, s->data_units_written);
	put_unaligned_le64(sum.reads, s->host_reads);
	put_unaligned_le64(sum.writes, s->host_writes);
	put_unaligned_le64(div64_u64(sum.busy_ns, 60ull * NSEC_PER_SEC),
			   s->ctrl_busy_time);
	/* Drivers of earlier levels did not count. */
	put_unaligned_le64(dev->level >= 3 ? dev->log.power_cycles : 1, s->power_cycles);
	put_unaligned_le64(div64_u64(mnvme_power_on_ns(dev),
				     3600ull * NSEC_PER_SEC), s->power_on_hours);
	put_unaligned_le64(dev->log.unsafe_shutdowns, s->unsafe_shutdowns);
	put_unaligned_le64(dev->log.errors, s->num_err_log_entries);
	s->temp_sensor[0] = cpu_to_le16(MNVME_TEMPERATURE);
}

static void mnvme_log_page_firmware(void *buf)
{
	struct nvme_fw_slot_info_log *fw = buf;

	fw->afi = 1;
	memset(&fw->frs[0], ' ', sizeof(fw->frs[0]));
	memcpy(&fw->frs[0], MNVME_FIRMWARE, strlen(MNVME_FIRMWARE));
}

static void mnvme_log_page_effects(struct mnvme *dev, void *buf)
{
	static const u8 admin[] = {
		nvme_admin_delete_sq, nvme_admin_create_sq,
		nvme_admin_get_log_page, nvme_admin_delete_cq,
		nvme_admin_create_cq, nvme_admin_identify,
		nvme_admin_abort_cmd, nvme_admin_set_features,
		nvme_admin_get_features, nvme_admin_async_event,
	};
	static const u8 io[] = {
		nvme_cmd_flush, nvme_cmd_read, nvme_cmd_compare, nvme_cmd_verify,
	};
	static const u8 io_change[] = {
		nvme_cmd_write, nvme_cmd_write_zeroes, nvme_cmd_dsm,
	};
	struct nvme_effects_log *e = buf;
	int i;

	for (i = 0; i < ARRAY_SIZE(admin); i++)
		e->acs[admin[i]] = cpu_to_le32(NVME_CMD_EFFECTS_CSUPP);
	if (mnvme_offers_dbbuf(dev))
		e->acs[nvme_admin_dbbuf] = cpu_to_le32(NVME_CMD_EFFECTS_CSUPP);
	for (i = 0; i < ARRAY_SIZE(io); i++)
		e->iocs[io[i]] = cpu_to_le32(NVME_CMD_EFFECTS_CSUPP);
	for (i = 0; i < ARRAY_SIZE(io_change); i++)
		e->iocs[io_change[i]] = cpu_to_le32(NVME_CMD_EFFECTS_CSUPP |
						    NVME_CMD_EFFECTS_LBCC);
	if (mnvme_offers_copy(dev))
		e->iocs[MNVME_CMD_COPY] = cpu_to_le32(NVME_CMD_EFFECTS_CSUPP |
						      NVME_CMD_EFFECTS_LBCC);
}

static u32 mnvme_log_page_size(u8 lid)
{
	switch (lid) {
	case NVME_LOG_ERROR:
		return MNVME_ERROR_LOG * sizeof(struct nvme_error_slot);
	case NVME_LOG_SMART:
		return sizeof(struct nvme_smart_log);
	case NVME_LOG_FW_SLOT:
		return sizeof(struct nvme_fw_slot_info_log);
	case NVME_LOG_CMD_EFFECTS:
		return sizeof(struct nvme_effects_log);
	default:
		return 0;
	}
}

static void mnvme_log_page_fill(struct mnvme *dev, u8 lid, void *buf)
{
	switch (lid) {
	case NVME_LOG_ERROR:
		return mnvme_log_page_error(dev, buf);
	case NVME_LOG_SMART:
		return mnvme_log_page_smart(dev, buf);
	case NVME_LOG_FW_SLOT:
		return mnvme_log_page_firmware(buf);
	default:
		return mnvme_log_page_effects(dev, buf);
	}
}

/* Returns the event type of a log page, or MNVME_EVENT_TYPES if there is none. */
static enum mnvme_event_type mnvme_log_page_events(u8 lid)
{
	switch (lid) {
	case NVME_LOG_ERROR:
		return MNVME_EVENT_ERROR;
	case NVME_LOG_SMART:
		return MNVME_EVENT_SMART;
	default:
		return MNVME_EVENT_TYPES;
	}
}

/**
 * mnvme_get_log_page() - execute Get Log Page
 * @req: the command
 *
 * Context: the admin queue's executor.
 * Return: NVMe status.
 */
u16 mnvme_get_log_page(struct mnvme_req *req)
{
	const struct nvme_get_log_page_command *c = &req->cmd->get_log_page;
	u64 off = le64_to_cpu(c->lpo);
	u64 dwords = ((u64)le16_to_cpu(c->numdu) << 16 |
		      le16_to_cpu(c->numdl)) + 1;
	u32 nsid = le32_to_cpu(c->nsid);
	u32 size = mnvme_log_page_size(c->lid);
	enum mnvme_event_type type = mnvme_log_page_events(c->lid);
	u32 raised = 0, asked;
	void *buf = req->sq->executor->buf;
	u16 status;

	if (!size) {
		req->err_loc = offsetof(struct nvme_command, get_log_page.lid);
		return MNVME_DNR(NVME_SC_INVALID_LOG_PAGE);
	}
	/* All log pages are for the controller, and not for a namespace (NVMe 5.14.1). */
	if (nsid && nsid != NVME_NSID_ALL)
		return MNVME_BAD_FIELD(req, get_log_page.nsid);
	if (off & 3 || off > size)
		return MNVME_BAD_FIELD(req, get_log_page.lpo);
	if (dwords * sizeof(u32) > MNVME_XFER_MAX)
		return MNVME_BAD_FIELD(req, get_log_page.numdl);

	BUILD_BUG_ON(MNVME_ERROR_LOG * sizeof(struct nvme_error_slot) > MNVME_BUF_SIZE);
	BUILD_BUG_ON(sizeof(struct nvme_effects_log) > MNVME_BUF_SIZE);
	memset(buf, 0, size);
	if (type < MNVME_EVENT_TYPES)
		raised = mnvme_event_raised(req->dev, type);
	mnvme_log_page_fill(req->dev, c->lid, buf);
	/* The host may ask for more than there is. */
	asked = dwords * sizeof(u32);
	status = mnvme_copy_out(req, buf + off, min_t(u64, size - off, asked), asked);
	if (!status && type < MNVME_EVENT_TYPES && !(c->lsp & MNVME_LSP_RAE))
		mnvme_event_clear(req->dev, type, raised);
	return status;
}
