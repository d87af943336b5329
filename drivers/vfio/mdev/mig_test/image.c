// SPDX-License-Identifier: GPL-2.0-only
/*
 * The test device's image
 *
 * A seed determines the bytes of the image. So an image of gigabytes takes no memory,
 * neither at the source nor at the target, which checks each byte. A stream carries the
 * image as a record. If the guest changes the image later, the stream carries another
 * record.
 *
 * The library calls these functions with its session mutex held. The device's own lock
 * protects the registers, because the user can write them at any time.
 */
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "test.h"

#define MAGIC		0x31474d4954534554ULL	/* "TESTIMG1" */
#define HDR		sizeof(struct test_record)
/* All words of 8 bytes within a block are equal. */
#define BLOCK		SZ_4K

static u64 record_size(const struct test_stream *s)
{
	return HDR + le64_to_cpu(s->record.size);
}

static bool same(const struct test_image *a, const struct test_image *b)
{
	return a->seed == b->seed && a->size == b->size;
}

static struct test_image image_of(const struct test_record *record)
{
	return (struct test_image) {
		.seed = le64_to_cpu(record->seed),
		.size = le64_to_cpu(record->size),
	};
}

static struct test_image image_now(struct test_device *t)
{
	struct test_image image;

	mutex_lock(&t->lock);
	image = t->image;
	mutex_unlock(&t->lock);
	return image;
}

/* The word at @off of an image */
static u64 pattern(u64 seed, u64 off)
{
	return seed + (off / BLOCK + 1) * 0x9e3779b97f4a7c15ULL;
}

/* Returns how many bytes from @off on belong to the same block, @len at the most. */
static size_t alike(u64 off, size_t len)
{
	return min_t(u64, len, BLOCK - off % BLOCK);
}

static void fill(u8 *to, u64 seed, u64 off, size_t len)
{
	for (size_t n; len; to += n, off += n, len -= n) {
		__le64 value = cpu_to_le64(pattern(seed, off));

		n = alike(off, len);
		for (size_t i = 0; i < n; i++)
			to[i] = ((u8 *)&value)[(off + i) % 8];
	}
}

/* As fill(), but faster. The caller aligns all arguments to 8 bytes. */
static void fill_words(__le64 *to, u64 seed, u64 off, size_t len)
{
	for (size_t n; len; to += n / 8, off += n, len -= n) {
		n = alike(off, len);
		memset64((u64 *)to, (__force u64)cpu_to_le64(pattern(seed, off)), n / 8);
	}
}

static void fill_image(void *to, u64 seed, u64 off, size_t len)
{
	if ((unsigned long)to % 8 || off % 8 || len % 8)
		fill(to, seed, off, len);
	else
		fill_words(to, seed, off, len);
}

/* Checks the first word of each block, and compares each other word with its predecessor. */
static bool good(const u8 *from, u64 seed, u64 off, size_t len)
{
	u8 first[8];

	for (size_t n; len; from += n, off += n, len -= n) {
		n = alike(off, len);
		fill(first, seed, off, 8);
		if (memcmp(from, first, min_t(size_t, n, 8)) ||
		    (n > 8 && memcmp(from, from + 8, n - 8)))
			return false;
	}
	return true;
}

static void end_record(struct test_stream *s)
{
	s->open = false;
	s->pos = 0;
	s->sent = image_of(&s->record);
}

/*
 * Begins a record if the current one is complete, and the image has changed since. Returns
 * whether there is a record to send.
 */
static bool next_record(struct test_stream *s, struct test_image now)
{
	if (s->open || same(&now, &s->sent))
		return s->open;
	s->record = (struct test_record) {
		.magic = cpu_to_le64(MAGIC),
		.seed = cpu_to_le64(now.seed),
		.size = cpu_to_le64(now.size),
	};
	s->open = true;
	return true;
}

/* Returns the bytes of the rest of the record, and of another one if the image has changed. */
static u64 bytes_due(const struct test_stream *s, struct test_image now)
{
	struct test_stream rest = *s;
	u64 bytes = 0;

	while (next_record(&rest, now)) {
		bytes += record_size(&rest) - rest.pos;
		end_record(&rest);
	}
	return bytes;
}

static int image_save_begin(struct vfio_device *vdev, enum vfio_mig_image_phase phase)
{
	struct test_device *t = to_test(vdev);
	int ret = test_fault(t, TEST_SAVE_BEGIN);

	if (ret)
		return ret;
	memset(&t->saving, 0, sizeof(t->saving));
	t->saves++;
	return 0;
}

/* The header of the next record is new initial data, and the image behind it is not. */
static void new_initial_data(struct vfio_mig_image_size *size)
{
	u64 n = min_t(u64, size->dirty, HDR);

	size->initial += n;
	size->dirty -= n;
	size->reinit = true;
}

static int image_size(struct vfio_device *vdev, enum vfio_mig_image_phase phase,
		      struct vfio_mig_image_size *size)
{
	struct test_device *t = to_test(vdev);
	struct test_image now = image_now(t);
	struct test_stream none = {};
	int ret = test_fault(t, TEST_SIZE);

	if (ret == TEST_RET_HUGE)
		size->dirty = U64_MAX;
	if (ret && ret != TEST_RET_REINIT)
		return min(ret, 0);
	/* The first record is the initial data of VFIO_MIG_GET_PRECOPY_INFO. */
	if (phase == VFIO_MIG_IMAGE_INFO)
		size->initial = bytes_due(&none, now);
	else if (!t->saving.sent.size)
		size->initial = bytes_due(&t->saving, now);
	else
		size->dirty = bytes_due(&t->saving, now);
	if (ret)
		new_initial_data(size);
	return 0;
}

/* Reads bytes of the current record: of its header or of its image. */
static size_t read_record(struct test_stream *s, void *buf, size_t len)
{
	size_t n = min_t(u64, len, record_size(s) - s->pos);

	if (s->pos < HDR) {
		n = min_t(size_t, n, HDR - s->pos);
		memcpy(buf, (u8 *)&s->record + s->pos, n);
	} else {
		fill_image(buf, le64_to_cpu(s->record.seed), s->pos - HDR, n);
	}
	s->pos += n;
	if (s->pos == record_size(s))
		end_record(s);
	return n;
}

static ssize_t image_read(struct vfio_device *vdev, enum vfio_mig_image_phase phase,
			  void *buf, size_t len)
{
	struct test_device *t = to_test(vdev);
	int ret = test_fault(t, TEST_READ);
	size_t done = 0;

	if (ret == TEST_RET_HUGE)
		return len + 1;
	if (ret)
		return min(ret, 0);
	while (done < len && next_record(&t->saving, image_now(t)))
		done += read_record(&t->saving, buf + done, len - done);
	return done;
}

static void image_save_end(struct vfio_device *vdev)
{
	test_fault_void(to_test(vdev), TEST_SAVE_END);
	to_test(vdev)->saves--;
}

static int image_load_begin(struct vfio_device *vdev)
{
	struct test_device *t = to_test(vdev);
	int ret = test_fault(t, TEST_LOAD_BEGIN);

	if (ret)
		return ret;
	memset(&t->loading, 0, sizeof(t->loading));
	t->loads++;
	return 0;
}

static bool record_valid(const struct test_stream *s)
{
	u64 size = le64_to_cpu(s->record.size);

	return s->record.magic == cpu_to_le64(MAGIC) && size <= TEST_IMAGE_MAX && !(size % 8);
}

/* Takes @n bytes. All of them belong to the header, or all of them belong to the image. */
static bool write_record(struct test_stream *s, const void *buf, size_t n)
{
	if (s->pos < HDR) {
		memcpy((u8 *)&s->record + s->pos, buf, n);
		if (s->pos + n == HDR && !record_valid(s))
			return false;
	} else if (!good(buf, le64_to_cpu(s->record.seed), s->pos - HDR, n)) {
		return false;
	}
	s->pos += n;
	s->open = true;
	if (s->pos >= HDR && s->pos == record_size(s))
		end_record(s);
	return true;
}

static int image_write(struct vfio_device *vdev, enum vfio_mig_image_phase phase, u64 off,
		       const void *buf, size_t len)
{
	struct test_device *t = to_test(vdev);
	struct test_stream *s = &t->loading;
	int ret = test_fault(t, TEST_WRITE);
	size_t n;

	if (ret)
		return ret;
	for (; len; buf += n, len -= n, off += n) {
		n = s->pos < HDR ? min_t(size_t, len, HDR - s->pos) :
				   min_t(u64, len, record_size(s) - s->pos);
		if (!write_record(s, buf, n)) {
			dev_err_ratelimited(vdev->dev, "an image with bad bytes at %llu\n",
					    off);
			return -EINVAL;
		}
	}
	return 0;
}

static int image_check(struct vfio_device *vdev, u32 version)
{
	struct test_device *t = to_test(vdev);
	int ret = test_fault(t, TEST_CHECK);

	if (ret)
		return ret;
	if (!t->loading.open)
		return 0;
	dev_err_ratelimited(vdev->dev, "an image that ends in a record\n");
	return -EINVAL;
}

static void image_load_end(struct vfio_device *vdev)
{
	test_fault_void(to_test(vdev), TEST_LOAD_END);
	to_test(vdev)->loads--;
}

const struct vfio_mig_image_ops test_image_ops = {
	.save_begin = image_save_begin,
	.size = image_size,
	.read = image_read,
	.save_end = image_save_end,
	.load_begin = image_load_begin,
	.write = image_write,
	.check = image_check,
	.load_end = image_load_end,
};

/**
 * test_image_reset - give the image its value after power-on
 * @t: the device; its lock is held
 */
void test_image_reset(struct test_device *t)
{
	t->image = (struct test_image) { .size = TEST_IMAGE_SIZE };
}

/**
 * test_image_apply - give the device the image that was loaded
 * @t: the device; its lock is held, and the image was checked
 */
void test_image_apply(struct test_device *t)
{
	t->image = t->loading.sent;
}
