// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes the first inputs of the fuzzer: seeds DIR. The code that saves makes streams and
 * control states. The operations are those of a guest that starts and uses its disk.
 */
#include "memory_device.h"
#include "mutate.h"
#include "nvme_ops.h"

#undef snprintf

static const char *dir;

static void put(const char *target, const char *name, const void *a, size_t a_len,
		const void *b, size_t b_len)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/%s", dir, target, name);
	f = fopen(path, "wb");
	if (!f || fwrite(a, 1, a_len, f) != a_len ||
	    fwrite(b, 1, b_len, f) != b_len || fclose(f)) {
		perror(path);
		exit(1);
	}
}

/* Saves a device that uses every @step-th of @pages pages. */
static void stream(const char *name, const u8 *options, u32 pages, u32 step,
		   size_t control, size_t image)
{
	struct memory_device dev;
	struct stream s;
	u32 i;

	device_init(&dev, (options[0] & 1 ? 0 : DEVICE_HAS_PAGES) |
			  (options[0] & 4 ? DEVICE_HAS_IMAGE : 0));
	for (i = 0; i < pages; i++)
		device_fill(&dev, i * step, i % 3 == 2 ? 0 : i + 1);
	dev.control_len = control;
	memset(dev.control, 0x11, control);
	dev.image_len = image;
	memset(dev.image, 0x22, image);
	save_all(&dev.mig, VFIO_MIG_CHUNK_ROOM_MIN, &s);
	put("stream", name, options, OPTIONS, s.data, s.len);
	free(s.data);
	device_destroy(&dev);
}

static void streams(void)
{
	static const u8 plain[OPTIONS], no_pages[OPTIONS] = { 1, 3 };
	static const u8 fails[OPTIONS] = { 2, 20, 2, 0 };
	static const u8 faults[OPTIONS] = { 0, 255, 0, 5 };
	static const u8 image[OPTIONS] = { 4, 30 };
	static const u8 image_fails[OPTIONS] = { 5, 40, 3, 20 };

	stream("empty", plain, 0, 1, 0, 0);
	stream("control", plain, 0, 1, 100, 0);
	stream("no-pages", no_pages, 0, 1, DEVICE_CONTROL, 0);
	stream("page", fails, 1, 1, 8, 0);
	stream("holes", faults, 6, 1, 9, 0);
	stream("spread", fails, 7, 9, 1, 0);
	stream("image", image, 3, 5, 4, DEVICE_IMAGE);
	stream("no-image", image, 0, 1, 0, 0);
	stream("image-alone", image_fails, 0, 1, 9, 800);
}

static struct nvme_command command(u8 opcode, u64 prp1)
{
	struct nvme_command c = { .common = {
		.opcode = opcode,
		.nsid = cpu_to_le32(1),
		.command_id = opcode,
	} };

	c.common.dptr.prp1 = cpu_to_le64(prp1);
	return c;
}

struct ops {
	u8 data[4096];
	size_t len;
};

static void op(struct ops *o, u8 op, u8 arg)
{
	o->data[o->len++] = op;
	if (op != OP_ENABLE && op != OP_STOP && op != OP_MIGRATE && op != OP_RESET)
		o->data[o->len++] = arg;
}

static void op_of(struct ops *o, u8 qid, const struct nvme_command *c)
{
	op(o, OP_COMMAND, qid);
	memcpy(o->data + o->len, c, sizeof(*c));
	o->len += sizeof(*c);
}

static void start(struct ops *o)
{
	static const u8 msix[] = { OP_IRQS, 2, 7, 0, 4, 1, 0, 0, 0 };

	o->len = 0;
	op(o, OP_ENABLE, 0);
	op(o, OP_QUEUE, 0);
	memcpy(o->data + o->len, msix, sizeof(msix));
	o->len += sizeof(msix);
}

static void admin(struct ops *o)
{
	static const u8 cns[] = { 0, 1, 2, 3, 7 };
	static const u8 lid[] = { 1, 2, 3, 5 };
	static const u8 fid[] = { 1, 2, 4, 5, 7, 8, 9, 10, 11, 6 };
	struct nvme_command c;
	size_t i;

	for (i = 0; i < sizeof(cns); i++) {
		c = command(nvme_admin_identify, 0x8000);
		c.identify.cns = cns[i];
		op_of(o, 0, &c);
	}
	for (i = 0; i < sizeof(lid); i++) {
		c = command(nvme_admin_get_log_page, 0x9000);
		c.get_log_page.nsid = 0;
		c.get_log_page.lid = lid[i];
		c.get_log_page.numdl = cpu_to_le16(15);
		op_of(o, 0, &c);
		op(o, OP_CONSUME, 0);
	}
	for (i = 0; i < sizeof(fid); i++) {
		c = command(i % 2 ? nvme_admin_get_features :
				    nvme_admin_set_features, 0);
		c.features.nsid = 0;
		c.features.fid = cpu_to_le32(fid[i]);
		op_of(o, 0, &c);
		op(o, OP_CONSUME, 0);
	}
	c = command(nvme_admin_async_event, 0);
	op_of(o, 0, &c);
	op_of(o, 0, &c);
	c.common.command_id = 77;
	op_of(o, 0, &c);
	c = command(nvme_admin_abort_cmd, 0);
	c.abort.cid = 77;
	op_of(o, 0, &c);
}

static void io(struct ops *o)
{
	static const u8 opcodes[] = {
		nvme_cmd_write, nvme_cmd_read, nvme_cmd_compare, nvme_cmd_flush,
		nvme_cmd_write_zeroes, nvme_cmd_dsm, nvme_cmd_verify,
		MNVME_CMD_COPY,
	};
	struct nvme_command c;
	size_t i;

	for (i = 0; i < sizeof(opcodes); i++) {
		c = command(opcodes[i], 0x8200);
		c.common.dptr.prp2 = cpu_to_le64(0x9000);
		c.rw.length = cpu_to_le16(7);
		if (opcodes[i] == nvme_cmd_dsm) {
			c.dsm.nr = 0;
			c.dsm.attributes = cpu_to_le32(NVME_DSMGMT_AD);
		}
		op_of(o, 1, &c);
		op(o, OP_CONSUME, 1);
		/* The same transfer by SGLs */
		c.common.flags = NVME_CMD_SGL_METABUF;
		c.common.dptr.sgl.length = cpu_to_le32(4096);
		c.common.dptr.sgl.type = 0;
		op_of(o, 1, &c);
		op(o, OP_CONSUME, 1);
	}
	/* A list of pages. Guest memory has no valid list at this address. */
	c = command(nvme_cmd_write, 0x8000);
	c.rw.length = cpu_to_le16(63);
	c.common.dptr.prp2 = cpu_to_le64(0xa000);
	op_of(o, 1, &c);
	op(o, OP_RING, 1);
}

static void shadow_doorbells(struct ops *o)
{
	struct nvme_command c = command(nvme_admin_dbbuf, 0xb000);

	c.dbbuf.prp2 = cpu_to_le64(0xc000);
	op_of(o, 0, &c);
	op(o, OP_CONSUME, 0);
}

static void operations(void)
{
	static struct ops o;

	start(&o);
	put("nvme", "start", o.data, o.len, NULL, 0);
	admin(&o);
	put("nvme", "admin", o.data, o.len, NULL, 0);
	start(&o);
	io(&o);
	op(&o, OP_MIGRATE, 0);
	op(&o, OP_RESET, 0);
	put("nvme", "io", o.data, o.len, NULL, 0);
	start(&o);
	op(&o, OP_STOP, 0);
	io(&o);
	op(&o, OP_STOP, 0);
	op(&o, OP_FAIL, 1);
	op(&o, OP_STATE, 0);
	put("nvme", "stopped", o.data, o.len, NULL, 0);
	start(&o);
	shadow_doorbells(&o);
	io(&o);
	op(&o, OP_QUEUE, 2);
	op(&o, OP_MIGRATE, 0);
	io(&o);
	op(&o, OP_STOP, 0);
	io(&o);
	op(&o, OP_STOP, 0);
	put("nvme", "shadow", o.data, o.len, NULL, 0);
}

/*
 * Writes the state of @dev, which is stopped, with the bytes that fuzz_state expects before
 * it.
 */
static void put_state(struct mnvme *dev, const char *name, const struct ops *o)
{
	static u8 control[3 + MNVME_STATE_MAX];
	size_t len;

	len = nvme_save_control(dev, control + 3);
	put_unaligned_le16(len, control);
	control[2] = dev->level - MNVME_LEVEL_MIN;
	put("state", name, control, 3 + len, o->data, o->len);
}

/* States of a controller of each level, after a reset and in use */
static void states(void)
{
	struct mnvme *dev = nvme_new();
	static struct ops o;

	start(&o);
	io(&o);
	mnvme_stop(dev, VFIO_MIG_STOP_FOR_SAVE);
	put_state(dev, "reset", &o);
	mnvme_run(dev);

	/* As OP_ENABLE does */
	dev->cc = NVME_CC_ENABLE | NVME_NVM_IOSQES << 16 | NVME_NVM_IOCQES << 20;
	dev->config[PCI_COMMAND] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	dev->aqa = 15 << 16 | 15;
	dev->asq = 0x1000;
	dev->acq = 0x2000;
	queue_work(mnvme_wq, &dev->ctrl_work);
	run_work();
	mnvme_cq_create(&dev->cq[1], 0x6000, 16, 1, true);
	mnvme_sq_create(&dev->sq[1], 0x4000, 16, 1, 0);
	dev->events.cid[dev->events.nr++] = 9;
	mnvme_stop(dev, VFIO_MIG_STOP_FOR_SAVE);
	o.len = 0;
	io(&o);
	put_state(dev, "in-use", &o);
	dev->level = 2;
	put_state(dev, "in-use-2", &o);
	dev->level = 1;
	put_state(dev, "in-use-1", &o);
	nvme_free(dev);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	dir = argv[1];
	streams();
	operations();
	states();
	return 0;
}
