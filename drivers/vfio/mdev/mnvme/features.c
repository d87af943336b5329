// SPDX-License-Identifier: GPL-2.0-only
/*
 * Features (NVMe 5.21). No feature can be saved, and a controller reset restores the
 * defaults.
 */
#include "mnvme.h"

/* Get Features: Select */
enum {
	MNVME_SEL_CURRENT,
	MNVME_SEL_DEFAULT,
	MNVME_SEL_SAVED,
	MNVME_SEL_CAPABILITIES,
};

#define MNVME_CAP_NAMESPACE	BIT(1)
#define MNVME_CAP_CHANGEABLE	BIT(2)

/* Temperature Threshold (NVMe 5.21.1.4) */
#define MNVME_TEMP_SENSORS	2	/* composite, and sensor 1 with the same value */
#define MNVME_TEMP_ALL		0xf
#define MNVME_TEMP_OVER_DEFAULT	343

#define MNVME_VECTOR_CD		BIT(16)
#define MNVME_ASYNC_EVENTS	0xff	/* SMART: one bit for each warning */
#define MNVME_TLER		0xffff

void mnvme_features_reset(struct mnvme_features *f)
{
	memset(f, 0, sizeof(*f));
	f->temp_over[0] = MNVME_TEMP_OVER_DEFAULT;
	f->temp_over[1] = 0xffff;
}

/**
 * mnvme_features_valid() - whether a host could have set these values
 * @f: values, from a stream
 */
bool mnvme_features_valid(const struct mnvme_features *f)
{
	return !(f->arbitration & ~0xffffff07) &&
	       !(f->error_recovery & ~MNVME_TLER) &&
	       !(f->irq_coalescing & ~0xffff) &&
	       !(f->write_atomicity & ~1) &&
	       !(f->async_event & ~MNVME_ASYNC_EVENTS);
}

/**
 * mnvme_critical_warning() - return "Critical Warning" of the health log
 * @dev: the controller
 */
u8 mnvme_critical_warning(const struct mnvme *dev)
{
	const struct mnvme_features *f = &dev->features;
	u8 i;

	for (i = 0; i < MNVME_TEMP_SENSORS; i++)
		if (f->temp_over[i] <= MNVME_TEMPERATURE ||
		    f->temp_under[i] >= MNVME_TEMPERATURE)
			return NVME_SMART_CRIT_TEMPERATURE;
	return 0;
}

static u16 *mnvme_threshold(struct mnvme_features *f, u32 dw11)
{
	u32 sensor = (dw11 >> NVME_TEMP_THRESH_SELECT_SHIFT) & 0xf;

	if (sensor >= MNVME_TEMP_SENSORS)
		return NULL;
	switch ((dw11 >> 20) & 3) {
	case 0:
		return &f->temp_over[sensor];
	case 1:
		return &f->temp_under[sensor];
	default:
		return NULL;
	}
}

/* TMPSEL has bits 19:16, and THSEL bits 21:20. */
static u16 mnvme_bad_threshold(struct mnvme_req *req, u32 dw11)
{
	u32 sensor = (dw11 >> NVME_TEMP_THRESH_SELECT_SHIFT) & 0xf;

	return MNVME_BAD_BIT(req, features.dword11, sensor >= MNVME_TEMP_SENSORS ? 16 : 20);
}

static u16 mnvme_set_threshold(struct mnvme_req *req, u32 dw11)
{
	struct mnvme_features *f = &req->dev->features;
	u32 sensor = (dw11 >> NVME_TEMP_THRESH_SELECT_SHIFT) & 0xf;
	u8 i, last = sensor;
	u32 one;
	u16 *value;

	if (sensor == MNVME_TEMP_ALL) {
		sensor = 0;
		last = MNVME_TEMP_SENSORS - 1;
	}
	for (i = sensor; i <= last; i++) {
		one = (dw11 & ~0xf0000) | i << NVME_TEMP_THRESH_SELECT_SHIFT;
		value = mnvme_threshold(f, one);
		if (!value)
			return mnvme_bad_threshold(req, one);
		*value = dw11 & NVME_TEMP_THRESH_MASK;
	}

	if (mnvme_critical_warning(req->dev) &&
	    (f->async_event & NVME_SMART_CRIT_TEMPERATURE))
		mnvme_event_raise(req->dev, MNVME_EVENT_SMART, 1);
	return NVME_SC_SUCCESS;
}

/* NVMe 5.21.1.7: the controller allocates all queues, also if the host asks for fewer. */
static u16 mnvme_set_num_queues(struct mnvme_req *req, u32 dw11)
{
	u16 i;

	if ((dw11 & 0xffff) == 0xffff)
		return MNVME_BAD_FIELD(req, features.dword11);
	if (dw11 >> 16 == 0xffff)
		return MNVME_BAD_BIT(req, features.dword11, 16);
	for (i = 1; i <= MNVME_IO_QUEUES; i++)
		if (req->dev->sq[i].live || req->dev->cq[i].live)
			return MNVME_DNR(NVME_SC_CMD_SEQ_ERROR);
	req->result = (MNVME_IO_QUEUES - 1) << 16 | (MNVME_IO_QUEUES - 1);
	return NVME_SC_SUCCESS;
}

/*
 * NVMe 5.21.1.11: if the condition of an event is true when the host enables the event, the
 * event is sent. An event that is disabled is not reported.
 */
static u16 mnvme_set_async_event(struct mnvme_req *req, u32 dw11)
{
	struct mnvme_features *f = &req->dev->features;
	u32 enabled = dw11 & ~f->async_event;

	/* Only health has events. */
	if (dw11 & ~MNVME_ASYNC_EVENTS)
		return MNVME_BAD_BIT(req, features.dword11,
				     __ffs(dw11 & ~MNVME_ASYNC_EVENTS));
	f->async_event = dw11;
	if (!(dw11 & NVME_SMART_CRIT_TEMPERATURE))
		mnvme_event_drop(req->dev, MNVME_EVENT_SMART);
	else if (enabled & mnvme_critical_warning(req->dev))
		mnvme_event_raise(req->dev, MNVME_EVENT_SMART, 1);
	return NVME_SC_SUCCESS;
}

static u16 mnvme_set_vector(struct mnvme_req *req, u32 dw11)
{
	u16 vector = dw11;

	if (vector >= MNVME_NR_VECTORS)
		return MNVME_BAD_FIELD(req, features.dword11);
	__assign_bit(vector, req->dev->features.no_coalescing,
		     dw11 & MNVME_VECTOR_CD);
	return NVME_SC_SUCCESS;
}

static u16 mnvme_check_feature_ns(struct mnvme_req *req, u8 fid, bool set)
{
	u32 nsid = le32_to_cpu(req->cmd->features.nsid);

	req->err_loc = offsetof(struct nvme_command, features.nsid);
	if (fid == NVME_FEAT_ERR_RECOVERY) {
		if (nsid != 1 && !(set && nsid == NVME_NSID_ALL))
			return MNVME_DNR(NVME_SC_INVALID_NS);
	} else if (nsid && nsid != NVME_NSID_ALL) {
		if (nsid != 1)
			return MNVME_DNR(NVME_SC_INVALID_NS);
		if (set)
			return MNVME_DNR(NVME_SC_FEATURE_NOT_PER_NS);
	}
	req->err_loc = MNVME_NO_LOCATION;
	return NVME_SC_SUCCESS;
}

static bool mnvme_feature_known(u8 fid)
{
	switch (fid) {
	case NVME_FEAT_ARBITRATION:
	case NVME_FEAT_POWER_MGMT:
	case NVME_FEAT_TEMP_THRESH:
	case NVME_FEAT_ERR_RECOVERY:
	case NVME_FEAT_NUM_QUEUES:
	case NVME_FEAT_IRQ_COALESCE:
	case NVME_FEAT_IRQ_CONFIG:
	case NVME_FEAT_WRITE_ATOMIC:
	case NVME_FEAT_ASYNC_EVENT:
		return true;
	default:
		return false;
	}
}

/**
 * mnvme_set_features() - execute Set Features
 * @req: the command
 *
 * Context: the admin queue's executor.
 * Return: NVMe status.
 */
u16 mnvme_set_features(struct mnvme_req *req)
{
	struct mnvme_features *f = &req->dev->features;
	u32 dw10 = le32_to_cpu(req->cmd->features.fid);
	u32 dw11 = le32_to_cpu(req->cmd->features.dword11);
	u8 fid = dw10;
	u16 status;

	if (!mnvme_feature_known(fid))
		return MNVME_BAD_FIELD(req, features.fid);
	if (dw10 & BIT(31))
		return MNVME_DNR(NVME_SC_FEATURE_NOT_SAVEABLE);
	status = mnvme_check_feature_ns(req, fid, true);
	if (status)
		return status;

	switch (fid) {
	case NVME_FEAT_ARBITRATION:
		f->arbitration = dw11 & 0xffffff07;
		return NVME_SC_SUCCESS;
	case NVME_FEAT_POWER_MGMT:
		/* There is one power state. */
		return dw11 & 0x1f ? MNVME_BAD_FIELD(req, features.dword11) :
				     NVME_SC_SUCCESS;
	case NVME_FEAT_TEMP_THRESH:
		return mnvme_set_threshold(req, dw11);
	case NVME_FEAT_ERR_RECOVERY:
		/* DULBE needs a namespace that supports it. */
		if (dw11 & BIT(16))
			return MNVME_BAD_BIT(req, features.dword11, 16);
		f->error_recovery = dw11 & MNVME_TLER;
		return NVME_SC_SUCCESS;
	case NVME_FEAT_NUM_QUEUES:
		return mnvme_set_num_queues(req, dw11);
	case NVME_FEAT_IRQ_COALESCE:
		f->irq_coalescing = dw11 & 0xffff;
		return NVME_SC_SUCCESS;
	case NVME_FEAT_IRQ_CONFIG:
		return mnvme_set_vector(req, dw11);
	case NVME_FEAT_WRITE_ATOMIC:
		f->write_atomicity = dw11 & 1;
		return NVME_SC_SUCCESS;
	default: /* NVME_FEAT_ASYNC_EVENT */
		return mnvme_set_async_event(req, dw11);
	}
}

static u16 mnvme_feature_value(struct mnvme_req *req,
			       struct mnvme_features *f, u8 fid, u32 dw11)
{
	u16 *threshold;

	switch (fid) {
	case NVME_FEAT_ARBITRATION:
		req->result = f->arbitration;
		break;
	case NVME_FEAT_TEMP_THRESH:
		threshold = mnvme_threshold(f, dw11);
		if (!threshold)
			return mnvme_bad_threshold(req, dw11);
		req->result = *threshold;
		break;
	case NVME_FEAT_ERR_RECOVERY:
		req->result = f->error_recovery;
		break;
	case NVME_FEAT_NUM_QUEUES:
		req->result = (MNVME_IO_QUEUES - 1) << 16 | (MNVME_IO_QUEUES - 1);
		break;
	case NVME_FEAT_IRQ_COALESCE:
		req->result = f->irq_coalescing;
		break;
	case NVME_FEAT_IRQ_CONFIG:
		if ((dw11 & 0xffff) >= MNVME_NR_VECTORS)
			return MNVME_BAD_FIELD(req, features.dword11);
		req->result = dw11 & 0xffff;
		if (test_bit(dw11 & 0xffff, f->no_coalescing))
			req->result |= MNVME_VECTOR_CD;
		break;
	case NVME_FEAT_WRITE_ATOMIC:
		req->result = f->write_atomicity;
		break;
	case NVME_FEAT_ASYNC_EVENT:
		req->result = f->async_event;
		break;
	default: /* NVME_FEAT_POWER_MGMT */
		req->result = 0;
		break;
	}
	return NVME_SC_SUCCESS;
}

/**
 * mnvme_get_features() - execute Get Features
 * @req: the command
 *
 * Context: the admin queue's executor.
 * Return: NVMe status.
 */
u16 mnvme_get_features(struct mnvme_req *req)
{
	u32 dw10 = le32_to_cpu(req->cmd->features.fid);
	u32 dw11 = le32_to_cpu(req->cmd->features.dword11);
	struct mnvme_features defaults;
	u8 fid = dw10;
	u16 status;

	if (!mnvme_feature_known(fid))
		return MNVME_BAD_FIELD(req, features.fid);
	status = mnvme_check_feature_ns(req, fid, false);
	if (status)
		return status;

	switch ((dw10 >> 8) & 7) {
	case MNVME_SEL_CURRENT:
		return mnvme_feature_value(req, &req->dev->features, fid, dw11);
	case MNVME_SEL_DEFAULT:
	case MNVME_SEL_SAVED:
		/* The saved value of a feature that cannot be saved is its default. */
		mnvme_features_reset(&defaults);
		return mnvme_feature_value(req, &defaults, fid, dw11);
	case MNVME_SEL_CAPABILITIES:
		req->result = MNVME_CAP_CHANGEABLE;
		if (fid == NVME_FEAT_ERR_RECOVERY)
			req->result |= MNVME_CAP_NAMESPACE;
		return NVME_SC_SUCCESS;
	default:
		return MNVME_BAD_BIT(req, features.fid, 8);
	}
}
