// SPDX-License-Identifier: GPL-2.0-only
/*
 * An attacker's streams, with correct checksums. The device refuses each with an errno of the
 * protocol, or it loads the stream, serves I/O and can be saved again.
 *
 * VFIO_MIG_SEED is the first seed of random streams, VFIO_MIG_STREAMS is their number, and
 * VFIO_MIG_LONG makes the number large. A device whose state is large, such as memory that is
 * always there, gets fewer streams otherwise.
 */
#include <endian.h>
#include <string.h>
#include <time.h>

#include "lib/fixture.h"
#include "lib/nvme.h"
#include "lib/stream.h"

#define STREAMS		10000
#define STREAMS_LONG	200000
#define IO_EVERY	512	/* I/O follows every 512th stream that loads */
#define BITS_SHORT	4000	/* bits of a payload that a short run flips */
#define BYTES_SHORT	(4UL << 30)	/* bytes of streams, pages and windows in a short test */

struct hostile {
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct buffer good, other, s;
	unsigned char *buf;
	unsigned long pages;	/* that the device reads and writes for a stream */
	unsigned long tried, loaded;
};

FIXTURE(hostile) {
	struct hostile f;
};

/* Creates a state with queues, waiting commands and some pages. */
static void make_state(struct __test_metadata *_metadata,
		       struct hostile *self)
{
	struct nvme nvme;
	int i;

	if (nvme_probe(&self->dev))
		return;
	ASSERT_EQ(0, nvme_start(&nvme, &self->dev, &self->guest, 2, 16));
	pattern_fill(&nvme, self->buf, 0, 4096 / nvme.lba_size, 1);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, nvme_io(&nvme, NVME_OP_WRITE,
				     i * 3 * 4096 / nvme.lba_size,
				     4096 / nvme.lba_size, self->buf));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_STOPPED));
	for (i = 0; i < 4; i++)
		ASSERT_LE(0, nvme_submit_io(&nvme, &nvme.io[1], NVME_OP_READ,
					    0, 8, self->buf));
	ASSERT_RET(0, nvme_ring(&nvme, &nvme.io[1]));
	nvme_close(&nvme);
}

FIXTURE_SETUP(hostile)
{
	struct v1 *v1 = &self->f.v1;
	struct pages_total total;

	fixture_open(_metadata, suite_device(), &self->f.dev, v1);
	ASSERT_RET(0, guest_create(&self->f.guest, 4 << 20));
	ASSERT_RET(0, guest_attach(&self->f.guest, &self->f.dev));
	self->f.buf = guest_alloc(&self->f.guest, 64 << 10);
	make_state(_metadata, &self->f);
	ASSERT_RET(0, v1_save(v1, &self->f.good));
	ASSERT_EQ(0, stream_pages(&self->f.good, &total));
	self->f.pages = total.data + total.holes;
	ASSERT_RET(0, v1_set_state(v1, V1_STOPPED));
	ASSERT_RET(0, v1_save(v1, &self->f.other));
	ASSERT_RET(0, device_reset(&self->f.dev));
}

FIXTURE_TEARDOWN(hostile)
{
	buffer_free(&self->f.good);
	buffer_free(&self->f.other);
	buffer_free(&self->f.s);
	fixture_close(&self->f.dev, &self->f.v1);
	guest_destroy(&self->f.guest);
}

static bool is_named(int ret)
{
	switch (ret) {
	case -EILSEQ:
	case -EBADMSG:
	case -EPROTONOSUPPORT:
	case -ENODEV:
	case -EINVAL:
	case -ENODATA:
		return true;
	default:
		return false;
	}
}

/* A guest that starts its driver must get a working device, whatever stream was loaded. */
static void check_io(struct __test_metadata *_metadata,
		     struct hostile *self, const char *what)
{
	struct guest *guest = &self->guest;
	size_t used = guest->used;
	struct nvme nvme;
	__u32 n;

	if (nvme_probe(&self->dev))
		return;
	ASSERT_EQ(0, nvme_start(&nvme, &self->dev, guest, 1, 16))
		TH_LOG("after %s: the controller does not start", what);
	n = 4096 / nvme.lba_size;
	pattern_fill(&nvme, self->buf, 8 * n, n, 3);
	EXPECT_EQ(0, nvme_io(&nvme, NVME_OP_WRITE, 8 * n, n, self->buf));
	memset(self->buf, 0, 4096);
	EXPECT_EQ(0, nvme_io(&nvme, NVME_OP_READ, 8 * n, n, self->buf));
	EXPECT_EQ(-1, pattern_check(&nvme, self->buf, 8 * n, n, 3))
		TH_LOG("after %s: wrong data is read", what);
	nvme_close(&nvme);
	/* The device stops using the queues before the test uses their memory again. */
	ASSERT_RET(0, device_reset(&self->dev));
	guest->used = used;
}

/* After a load the device runs and can be saved, and the saved stream loads again. */
static void check_loaded(struct __test_metadata *_metadata,
			 struct hostile *self, const char *what)
{
	struct v1 *v1 = &self->v1;
	struct buffer again = { 0 };
	char why[128];

	EXPECT_STATE(V1_RUNNING, v1);
	ASSERT_RET_FOR(0, v1_save(v1, &again), "after %s", what);
	EXPECT_EQ(0, stream_check(&again, why, sizeof(why)))
		TH_LOG("after %s: %s", what, why);
	ASSERT_RET_FOR(0, v1_set_state(v1, V1_RUNNING), "after %s", what);
	ASSERT_RET_FOR(0, v1_load(v1, &again, 0),
		       "after %s: what was loaded and saved", what);
	ASSERT_RET_FOR(0, v1_set_state(v1, V1_RUNNING), "after %s", what);
	if (self->loaded++ % IO_EVERY == 0)
		check_io(_metadata, self, what);
	buffer_free(&again);
}

/* Loads self->s. @what describes how it was made, for messages. */
static void try(struct __test_metadata *_metadata,
		struct hostile *self, const char *what)
{
	struct v1 *v1 = &self->v1;
	int ret;

	self->tried++;
	ASSERT_RET_FOR(0, v1_set_state(v1, V1_RESUMING), "before %s", what);
	ret = v1_feed(v1, self->s.data, self->s.len, 0);
	if (ret) {
		EXPECT_TRUE(is_named(ret))
			TH_LOG("%s: the commit says %s", what, errname(ret));
		EXPECT_RET_FOR(ret, v1_set_state(v1, V1_RUNNING), "%s", what);
	} else {
		ret = v1_set_state(v1, V1_RUNNING);
		/*
		 * The device took everything, so the stream is complete, or its END is
		 * missing.
		 */
		EXPECT_TRUE(!ret || ret == -ENODATA)
			TH_LOG("%s: the transition out of 100 says %s", what,
			       errname(ret));
		if (!ret)
			check_loaded(_metadata, self, what);
	}
	ASSERT_RET_FOR(0, device_reset(&self->dev), "after %s", what);
}

/* The stream has no effect on later loads. */
static void check_sound(struct __test_metadata *_metadata,
			struct hostile *self)
{
	ASSERT_RET(0, v1_load(&self->v1, &self->good, 0));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	ASSERT_RET(0, device_reset(&self->dev));
	check_io(_metadata, self, "all of it");
	TH_LOG("%lu streams, %lu of them loaded", self->tried, self->loaded);
}

/*
 * Returns the step from one case to the next one that is tried. The step is odd, so that no
 * bit of a byte and no width of a number is left out.
 */
static unsigned long stride(const struct hostile *self, unsigned long cases)
{
	unsigned long bytes = self->good.len + self->pages * STREAM_PAGE, tries;

	/* Each load clears the window. */
	bytes += self->v1.window;
	tries = 1 + BYTES_SHORT / bytes;
	if (suite_long() || cases <= tries)
		return 1;
	return cases / tries | 1;
}

/* Starts from the good stream, and finds chunk number @index. */
static bool fresh(struct hostile *self, unsigned int index,
		  struct chunk *c)
{
	buffer_copy(&self->s, &self->good);
	return !stream_chunk(&self->s, index, c);
}

TEST_F_TIMEOUT(hostile, every_bit_of_the_chunk_headers, 900)
{
	unsigned long i, bit, bits = sizeof(struct chunk_hdr) * 8, cases, step;
	struct chunk c;
	char what[64];

	cases = stream_count(&self->f.good, 0) * bits;
	step = stride(&self->f, cases);
	for (i = 0; i < cases; i += step) {
		ASSERT_TRUE(fresh(&self->f, i / bits, &c));
		bit = i % bits;
		((unsigned char *)c.hdr)[bit / 8] ^= 1 << bit % 8;
		/* The header's checksum itself stays wrong. */
		if (bit / 8 < offsetof(struct chunk_hdr, hdr_sum))
			chunk_sum_header(&c);
		snprintf(what, sizeof(what), "header of chunk %lu, bit %lu", i / bits, bit);
		try(_metadata, &self->f, what);
	}
	check_sound(_metadata, &self->f);
}

static void every_bit(struct __test_metadata *_metadata,
		      struct hostile *self, int type)
{
	unsigned long bit, bits, step;
	struct chunk c;
	char what[64];

	buffer_copy(&self->s, &self->good);
	ASSERT_EQ(0, stream_find(&self->s, type, 0, &c));
	bits = c.length * 8;
	step = suite_long() ? 1 : 1 + bits / BITS_SHORT;
	if (step < stride(self, bits))
		step = stride(self, bits);
	for (bit = 0; bit < bits; bit += step) {
		buffer_copy(&self->s, &self->good);
		ASSERT_EQ(0, stream_find(&self->s, type, 0, &c));
		((unsigned char *)c.payload)[bit / 8] ^= 1 << bit % 8;
		chunk_sum(&c);
		snprintf(what, sizeof(what), "chunk of type %d, bit %lu", type, bit);
		try(_metadata, self, what);
	}
	check_sound(_metadata, self);
}

TEST_F_TIMEOUT(hostile, every_bit_of_the_header, 900)
{
	every_bit(_metadata, &self->f, CHUNK_HEADER);
}

TEST_F_TIMEOUT(hostile, every_bit_of_the_control_state, 1800)
{
	every_bit(_metadata, &self->f, CHUNK_CONTROL);
}

TEST_F_TIMEOUT(hostile, every_bit_of_the_end, 300)
{
	every_bit(_metadata, &self->f, CHUNK_END);
}

static const __u64 extremes[] = {
	0, 1, 2, 7, 8, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000,
	0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff, 0x100000000,
	0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffffff8,
	0xffffffffffffffff
};

/* Tries each place in a payload as a number of each width. */
static void extremes_in(struct __test_metadata *_metadata,
			struct hostile *self, int type, size_t most)
{
	static const size_t widths[] = { 2, 4, 8 };
	unsigned long n = 0, step = stride(self, most / 2 * ARRAY_SIZE(extremes) * 3);
	unsigned int i, w;
	struct chunk c;
	char what[96];
	size_t at;

	for (at = 0; at < most; at += 2) {
		for (i = 0; i < ARRAY_SIZE(extremes) * 3; i++) {
			w = widths[i % 3];
			if (n++ % step)
				continue;
			buffer_copy(&self->s, &self->good);
			if (stream_find(&self->s, type, 0, &c) ||
			    at + w > c.length || at % w)
				continue;
			memcpy(c.payload + at, &extremes[i / 3], w);
			chunk_sum(&c);
			snprintf(what, sizeof(what),
				 "chunk of type %d, %#llx in %u bytes at %zu",
				 type, extremes[i / 3], w, at);
			try(_metadata, self, what);
		}
	}
}

TEST_F_TIMEOUT(hostile, extremes_in_every_length_and_count, 900)
{
	extremes_in(_metadata, &self->f, CHUNK_HEADER,
		    offsetof(struct header_payload, type));
	extremes_in(_metadata, &self->f, CHUNK_PAGES,
		    sizeof(struct pages_payload) + 16);
	extremes_in(_metadata, &self->f, CHUNK_CONTROL,
		    sizeof(struct control_payload));
	extremes_in(_metadata, &self->f, CHUNK_END, sizeof(struct end_payload));
	check_sound(_metadata, &self->f);
}

/* Random damage: several edits of one stream */

static void damage(struct buffer *s)
{
	struct chunk c;
	size_t at, n;
	int chunks = stream_count(s, 0);

	if (chunks <= 0 || stream_chunk(s, rand() % chunks, &c) || !c.length)
		return;
	/* The place is mostly near the start of a payload, because the structures are there. */
	at = rand() % (rand() % 2 || c.length < 64 ? c.length : 64);
	for (n = 1 + rand() % 8; n && at < c.length; n--, at++)
		((unsigned char *)c.payload)[at] =
			rand() % 2 ? rand() : rand() % 2 ? 0xff : 0;
	chunk_sum(&c);
}

static void damage_header(struct buffer *s)
{
	struct chunk c;
	int chunks = stream_count(s, 0);

	if (chunks <= 0 || stream_chunk(s, rand() % chunks, &c))
		return;
	((unsigned char *)c.hdr)[rand() % sizeof(*c.hdr)] = rand();
	chunk_sum_header(&c);
}

static void splice(struct buffer *s, const struct buffer *other)
{
	size_t from = rand() % other->len, len = rand() % (other->len - from);
	size_t at = s->len ? rand() % s->len : 0;
	struct chunk a, b;

	/* Half of the cuts are at the bounds of chunks. */
	if (rand() % 2 && stream_count(s, 0) > 0 &&
	    !stream_chunk(s, rand() % stream_count(s, 0), &a) &&
	    !stream_chunk(other, rand() % stream_count(other, 0), &b)) {
		at = a.at;
		from = b.at;
		len = b.size;
	}
	if (rand() % 2)
		buffer_insert(s, at, other->data + from, len);
	else if (len <= s->len - at)
		memcpy(s->data + at, other->data + from, len);
	if (rand() % 2)
		stream_renumber(s);
}

static void reshape(struct buffer *s)
{
	int chunks = stream_count(s, 0);

	if (chunks < 2)
		return;
	switch (rand() % 4) {
	case 0:
		stream_remove(s, rand() % chunks);
		break;
	case 1:
		stream_repeat(s, rand() % chunks);
		break;
	case 2:
		stream_swap(s, 0, 1 + rand() % (chunks - 1));
		break;
	default:
		s->len = rand() % s->len;
		break;
	}
	if (rand() % 4)
		stream_renumber(s);
}

TEST_F_TIMEOUT(hostile, random_damage_and_splices, 7200)
{
	unsigned long total = suite_number("VFIO_MIG_STREAMS", suite_long() ? STREAMS_LONG :
					   1 + STREAMS / stride(&self->f, STREAMS) /
					   suite_number("VFIO_MIG_SLOW", 1));
	unsigned int seed = suite_number("VFIO_MIG_SEED", time(NULL));
	unsigned long n;
	char what[64];
	int edits;

	TH_LOG("VFIO_MIG_SEED=%u VFIO_MIG_STREAMS=%lu", seed, total);
	for (n = 0; n < total; n++, seed++) {
		srand(seed);
		buffer_copy(&self->f.s, &self->f.good);
		for (edits = 1 + rand() % 3; edits; edits--) {
			switch (rand() % 8) {
			case 0:
				splice(&self->f.s, &self->f.other);
				break;
			case 1:
				reshape(&self->f.s);
				break;
			case 2:
				damage_header(&self->f.s);
				break;
			default:
				damage(&self->f.s);
				break;
			}
		}
		snprintf(what, sizeof(what), "VFIO_MIG_SEED=%u", seed);
		try(_metadata, &self->f, what);
	}
	check_sound(_metadata, &self->f);
}

SUITE_MAIN_WINDOW(SUITE_WINDOW_KIB_MIN, suite_need_stream())
