// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bad streams: the target refuses each with its errno, and the device can be used again after
 * a reset.
 */
#include <endian.h>
#include <string.h>

#include "lib/fill.h"
#include "lib/fixture.h"
#include "lib/stream.h"

/*
 * Edits a good stream. @other is another save of the same device. Returns false if this
 * stream cannot have the error.
 */
typedef bool (*edit_fn)(struct buffer *s, const struct buffer *other);

FIXTURE(bad) {
	struct device dev;
	struct v1 v1;
	struct guest guest;
	struct buffer good, other, stream;
};

FIXTURE_VARIANT(bad) {
	edit_fn edit;
	int want;
	bool transition;	/* the transition out of 100 reports the error, not a commit */
};

/* Sequence */

static bool first_of(const struct buffer *s, int type, struct chunk *c)
{
	return !stream_find(s, type, 0, c);
}

static int last_index(const struct buffer *s)
{
	return stream_count(s, 0) - 1;
}

static bool lose_the_header(struct buffer *s, const struct buffer *other)
{
	(void)other;
	stream_remove(s, 0);
	return true;
}

static bool lose_the_second(struct buffer *s, const struct buffer *other)
{
	(void)other;
	stream_remove(s, 1);
	return true;
}

static bool lose_one_before_the_end(struct buffer *s,
				    const struct buffer *other)
{
	(void)other;
	stream_remove(s, last_index(s) - 1);
	return true;
}

static bool repeat_the_header(struct buffer *s, const struct buffer *other)
{
	(void)other;
	stream_repeat(s, 0);
	return true;
}

static bool repeat_the_second(struct buffer *s, const struct buffer *other)
{
	(void)other;
	stream_repeat(s, 1);
	return true;
}

static bool repeat_the_end(struct buffer *s, const struct buffer *other)
{
	(void)other;
	stream_repeat(s, last_index(s));
	return true;
}

static bool header_again_later(struct buffer *s, const struct buffer *other)
{
	struct buffer header = { 0 };
	struct chunk c;

	(void)other;
	if (!first_of(s, CHUNK_HEADER, &c))
		return false;
	buffer_append(&header, c.hdr, c.size);
	buffer_append(s, header.data, header.len);
	buffer_free(&header);
	return true;
}

static bool swap_the_first_two(struct buffer *s, const struct buffer *other)
{
	(void)other;
	stream_swap(s, 0, 1);
	return true;
}

static bool swap_the_last_two(struct buffer *s, const struct buffer *other)
{
	(void)other;
	stream_swap(s, last_index(s) - 1, last_index(s));
	return true;
}

/* One chunk comes from another save, with a valid number. */
static bool mix_two_saves(struct buffer *s, const struct buffer *other)
{
	struct chunk a, b;

	if (stream_chunk(s, 1, &a) || stream_chunk(other, 1, &b))
		return false;
	buffer_cut(s, a.at, a.size);
	buffer_insert(s, a.at, b.hdr, b.size);
	return true;
}

/* The start of one save and the rest of another save */
static bool splice_two_saves(struct buffer *s, const struct buffer *other)
{
	struct chunk a, b;

	if (stream_chunk(s, 1, &a) || stream_chunk(other, 1, &b))
		return false;
	s->len = a.at;
	buffer_append(s, b.hdr, other->len - b.at);
	return true;
}

static bool number_one_later(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	if (stream_chunk(s, 1, &c))
		return false;
	c.hdr->seq = htole32(le32toh(c.hdr->seq) + 1);
	chunk_sum_header(&c);
	return true;
}

static bool number_the_header(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	if (!first_of(s, CHUNK_HEADER, &c))
		return false;
	c.hdr->seq = htole32(1);
	chunk_sum_header(&c);
	return true;
}

FIXTURE_VARIANT_ADD(bad, lose_the_header) {
	.edit = lose_the_header, .want = -EILSEQ
};

FIXTURE_VARIANT_ADD(bad, lose_the_second) {
	.edit = lose_the_second, .want = -EILSEQ
};

FIXTURE_VARIANT_ADD(bad, lose_one_before_the_end) {
	.edit = lose_one_before_the_end, .want = -EILSEQ
};

FIXTURE_VARIANT_ADD(bad, repeat_the_header) {
	.edit = repeat_the_header, .want = -EILSEQ
};

FIXTURE_VARIANT_ADD(bad, repeat_the_second) {
	.edit = repeat_the_second, .want = -EILSEQ
};

FIXTURE_VARIANT_ADD(bad, repeat_the_end) {
	.edit = repeat_the_end, .want = -EILSEQ
};

FIXTURE_VARIANT_ADD(bad, header_again_later) {
	.edit = header_again_later, .want = -EILSEQ
};

FIXTURE_VARIANT_ADD(bad, swap_the_first_two) {
	.edit = swap_the_first_two, .want = -EILSEQ
};

FIXTURE_VARIANT_ADD(bad, swap_the_last_two) {
	.edit = swap_the_last_two, .want = -EILSEQ
};

FIXTURE_VARIANT_ADD(bad, mix_two_saves) {
	.edit = mix_two_saves, .want = -EILSEQ
};

FIXTURE_VARIANT_ADD(bad, splice_two_saves) {
	.edit = splice_two_saves, .want = -EILSEQ
};

FIXTURE_VARIANT_ADD(bad, number_one_later) {
	.edit = number_one_later, .want = -EILSEQ
};

FIXTURE_VARIANT_ADD(bad, number_the_header) {
	.edit = number_the_header, .want = -EILSEQ
};

/* Damage */

static bool flip_a_payload_bit(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	if (stream_chunk(s, 1, &c) || !c.length)
		return false;
	((unsigned char *)c.payload)[c.length / 2] ^= 1;
	return true;
}

static bool flip_a_bit_of_the_end(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	if (!first_of(s, CHUNK_END, &c))
		return false;
	*(unsigned char *)c.payload ^= 1;
	return true;
}

static bool flip_a_header_bit(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	if (stream_chunk(s, 1, &c))
		return false;
	c.hdr->length ^= htole32(8);
	return true;
}

static bool flip_a_checksum_bit(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	if (stream_chunk(s, 1, &c))
		return false;
	c.hdr->hdr_sum ^= htole32(1);
	return true;
}

static bool another_magic(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	if (stream_chunk(s, 0, &c))
		return false;
	c.hdr->magic = htole32(0x12345678);
	chunk_sum_header(&c);
	return true;
}

static bool reserved_not_zero(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	if (stream_chunk(s, 1, &c))
		return false;
	c.hdr->reserved = htole32(1);
	chunk_sum_header(&c);
	return true;
}

static bool checksum_without_its_flag(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	if (stream_chunk(s, 1, &c))
		return false;
	c.hdr->flags &= ~htole16(CHUNK_SUM);
	c.hdr->sum = htole64(1);
	chunk_sum_header(&c);
	return true;
}

static bool odd_length(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	if (stream_chunk(s, 1, &c))
		return false;
	c.hdr->length = htole32(c.length - 4);
	chunk_sum_header(&c);
	return true;
}

static bool enormous_length(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	if (stream_chunk(s, 1, &c))
		return false;
	c.hdr->length = htole32(0xfffffff8);
	chunk_sum_header(&c);
	return true;
}

static bool junk_behind_the_end(struct buffer *s, const struct buffer *other)
{
	(void)other;
	memset(buffer_grow(s, 64), 0x5a, 64);
	return true;
}

static bool zeros_only(struct buffer *s, const struct buffer *other)
{
	(void)other;
	memset(s->data, 0, s->len);
	return true;
}

static bool control_longer_than_it_may_be(struct buffer *s,
					  const struct buffer *other)
{
	struct control_payload *control;
	struct chunk c;

	(void)other;
	if (!first_of(s, CHUNK_CONTROL, &c))
		return false;
	control = c.payload;
	control->total = htole32(~0U);
	chunk_sum(&c);
	return true;
}

static bool control_with_a_gap(struct buffer *s, const struct buffer *other)
{
	struct control_payload *control;
	struct chunk c;

	(void)other;
	if (!first_of(s, CHUNK_CONTROL, &c))
		return false;
	control = c.payload;
	control->offset = htole32(8);
	chunk_sum(&c);
	return true;
}

/* The stream has an END, but no control state. */
static bool no_control_state(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	while (first_of(s, CHUNK_CONTROL, &c))
		buffer_cut(s, c.at, c.size);
	stream_renumber(s);
	return true;
}

static bool pages_miscounted(struct buffer *s, const struct buffer *other)
{
	struct end_payload *end;
	struct chunk c;

	(void)other;
	if (!first_of(s, CHUNK_END, &c))
		return false;
	end = c.payload;
	end->pages_sent = htole64(le64toh(end->pages_sent) + 1);
	chunk_sum(&c);
	return true;
}

FIXTURE_VARIANT_ADD(bad, flip_a_payload_bit) {
	.edit = flip_a_payload_bit, .want = -EBADMSG
};

FIXTURE_VARIANT_ADD(bad, flip_a_bit_of_the_end) {
	.edit = flip_a_bit_of_the_end, .want = -EBADMSG
};

FIXTURE_VARIANT_ADD(bad, flip_a_header_bit) {
	.edit = flip_a_header_bit, .want = -EBADMSG
};

FIXTURE_VARIANT_ADD(bad, flip_a_checksum_bit) {
	.edit = flip_a_checksum_bit, .want = -EBADMSG
};

FIXTURE_VARIANT_ADD(bad, another_magic) {
	.edit = another_magic, .want = -EBADMSG
};

FIXTURE_VARIANT_ADD(bad, checksum_without_its_flag) {
	.edit = checksum_without_its_flag, .want = -EBADMSG
};

FIXTURE_VARIANT_ADD(bad, reserved_not_zero) {
	.edit = reserved_not_zero, .want = -EBADMSG
};

FIXTURE_VARIANT_ADD(bad, odd_length) { .edit = odd_length, .want = -EBADMSG };

FIXTURE_VARIANT_ADD(bad, enormous_length) {
	.edit = enormous_length, .want = -EBADMSG
};

FIXTURE_VARIANT_ADD(bad, junk_behind_the_end) {
	.edit = junk_behind_the_end, .want = -EBADMSG
};

FIXTURE_VARIANT_ADD(bad, zeros_only) { .edit = zeros_only, .want = -EBADMSG };

FIXTURE_VARIANT_ADD(bad, control_longer_than_it_may_be) {
	.edit = control_longer_than_it_may_be, .want = -EBADMSG
};

FIXTURE_VARIANT_ADD(bad, control_with_a_gap) {
	.edit = control_with_a_gap, .want = -EBADMSG
};

FIXTURE_VARIANT_ADD(bad, no_control_state) {
	.edit = no_control_state, .want = -EBADMSG
};

FIXTURE_VARIANT_ADD(bad, pages_miscounted) {
	.edit = pages_miscounted, .want = -EBADMSG
};

/* Versions */

static struct header_payload *header(struct buffer *s, struct chunk *c)
{
	return first_of(s, CHUNK_HEADER, c) ? c->payload : NULL;
}

static bool a_later_version(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	header(s, &c)->version = htole32(STREAM_VERSION + 1);
	chunk_sum(&c);
	return true;
}

static bool version_0(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	header(s, &c)->version = 0;
	chunk_sum(&c);
	return true;
}

static bool an_unknown_feature(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	header(s, &c)->features = htole64(1ULL << 63);
	chunk_sum(&c);
	return true;
}

static bool another_control_version(struct buffer *s,
				    const struct buffer *other)
{
	struct chunk c;

	(void)other;
	header(s, &c)->control_version = htole32(0x7fffffff);
	chunk_sum(&c);
	return true;
}

static bool an_unknown_mandatory_chunk(struct buffer *s,
				       const struct buffer *other)
{
	(void)other;
	stream_insert_unknown(s, CHUNK_MANDATORY | CHUNK_SUM);
	return true;
}

FIXTURE_VARIANT_ADD(bad, a_later_version) {
	.edit = a_later_version, .want = -EPROTONOSUPPORT
};

FIXTURE_VARIANT_ADD(bad, version_0) {
	.edit = version_0, .want = -EPROTONOSUPPORT
};

FIXTURE_VARIANT_ADD(bad, an_unknown_feature) {
	.edit = an_unknown_feature, .want = -EPROTONOSUPPORT
};

FIXTURE_VARIANT_ADD(bad, another_control_version) {
	.edit = another_control_version, .want = -EPROTONOSUPPORT
};

FIXTURE_VARIANT_ADD(bad, an_unknown_mandatory_chunk) {
	.edit = an_unknown_mandatory_chunk, .want = -EPROTONOSUPPORT
};

/* Other devices */

static bool another_type(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	header(s, &c)->type[0] ^= 1;
	chunk_sum(&c);
	return true;
}

static bool a_longer_type(struct buffer *s, const struct buffer *other)
{
	struct header_payload *h;
	struct chunk c;

	(void)other;
	h = header(s, &c);
	memset(h->type + strlen(h->type), 'x', 1);
	chunk_sum(&c);
	return true;
}

static bool a_larger_device(struct buffer *s, const struct buffer *other)
{
	struct header_payload *h;
	struct chunk c;

	(void)other;
	h = header(s, &c);
	h->nr_pages = htole64(le64toh(h->nr_pages) + 1);
	chunk_sum(&c);
	return true;
}

static bool a_smaller_device(struct buffer *s, const struct buffer *other)
{
	struct header_payload *h;
	struct chunk c;

	(void)other;
	h = header(s, &c);
	if (!h->nr_pages)
		return false;
	h->nr_pages = htole64(le64toh(h->nr_pages) - 1);
	chunk_sum(&c);
	return true;
}

FIXTURE_VARIANT_ADD(bad, another_type) {
	.edit = another_type, .want = -ENODEV
};

FIXTURE_VARIANT_ADD(bad, a_longer_type) {
	.edit = a_longer_type, .want = -ENODEV
};

FIXTURE_VARIANT_ADD(bad, a_larger_device) {
	.edit = a_larger_device, .want = -ENODEV
};

FIXTURE_VARIANT_ADD(bad, a_smaller_device) {
	.edit = a_smaller_device, .want = -ENODEV
};

/* Values */

static bool a_page_beyond_the_end(struct buffer *s, const struct buffer *other)
{
	struct pages_payload *pages;
	struct chunk head, c;

	(void)other;
	if (!first_of(s, CHUNK_PAGES, &c))
		return false;
	pages = c.payload;
	pages->base = header(s, &head)->nr_pages;
	chunk_sum(&c);
	return true;
}

static bool a_page_number_that_overflows(struct buffer *s,
					 const struct buffer *other)
{
	struct pages_payload *pages;
	struct chunk c;

	(void)other;
	if (!first_of(s, CHUNK_PAGES, &c))
		return false;
	pages = c.payload;
	pages->base = htole64(~0ULL);
	chunk_sum(&c);
	return true;
}

/* No device has a state in which all bits are ones. */
static bool an_impossible_control_state(struct buffer *s,
					const struct buffer *other)
{
	struct control_payload *control;
	struct chunk c;
	int i;

	(void)other;
	for (i = 0; !stream_find(s, CHUNK_CONTROL, i, &c); i++) {
		control = c.payload;
		memset(control + 1, 0xff, le32toh(control->length));
		chunk_sum(&c);
	}
	return i;
}

FIXTURE_VARIANT_ADD(bad, a_page_beyond_the_end) {
	.edit = a_page_beyond_the_end, .want = -EINVAL
};

FIXTURE_VARIANT_ADD(bad, a_page_number_that_overflows) {
	.edit = a_page_number_that_overflows, .want = -EINVAL
};

FIXTURE_VARIANT_ADD(bad, an_impossible_control_state) {
	.edit = an_impossible_control_state, .want = -EINVAL
};

/* Incomplete */

static bool nothing_at_all(struct buffer *s, const struct buffer *other)
{
	(void)other;
	s->len = 0;
	return true;
}

static bool half_a_chunk_header(struct buffer *s, const struct buffer *other)
{
	(void)other;
	s->len = sizeof(struct chunk_hdr) / 2;
	return true;
}

static bool the_header_only(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	if (stream_chunk(s, 1, &c))
		return false;
	s->len = c.at;
	return true;
}

static bool all_but_the_end(struct buffer *s, const struct buffer *other)
{
	struct chunk c;

	(void)other;
	if (stream_chunk(s, last_index(s), &c))
		return false;
	s->len = c.at;
	return true;
}

static bool all_but_the_last_byte(struct buffer *s, const struct buffer *other)
{
	(void)other;
	s->len--;
	return true;
}

/* Another save starts behind a complete save. */
static bool another_header_behind_the_end(struct buffer *s,
					  const struct buffer *other)
{
	struct chunk c;

	if (stream_chunk(other, 0, &c))
		return false;
	buffer_append(s, c.hdr, c.size);
	return true;
}

static bool one_more_byte_behind_the_end(struct buffer *s,
					 const struct buffer *other)
{
	buffer_append(s, other->data, 1);
	return true;
}

FIXTURE_VARIANT_ADD(bad, nothing_at_all) {
	.edit = nothing_at_all, .want = -ENODATA, .transition = true
};

FIXTURE_VARIANT_ADD(bad, half_a_chunk_header) {
	.edit = half_a_chunk_header, .want = -ENODATA, .transition = true
};

FIXTURE_VARIANT_ADD(bad, the_header_only) {
	.edit = the_header_only, .want = -ENODATA, .transition = true
};

FIXTURE_VARIANT_ADD(bad, all_but_the_end) {
	.edit = all_but_the_end, .want = -ENODATA, .transition = true
};

FIXTURE_VARIANT_ADD(bad, all_but_the_last_byte) {
	.edit = all_but_the_last_byte, .want = -ENODATA, .transition = true
};

FIXTURE_VARIANT_ADD(bad, another_header_behind_the_end) {
	.edit = another_header_behind_the_end, .want = -ENODATA, .transition = true
};

FIXTURE_VARIANT_ADD(bad, one_more_byte_behind_the_end) {
	.edit = one_more_byte_behind_the_end, .want = -ENODATA, .transition = true
};

FIXTURE_SETUP(bad)
{
	struct v1 *v1 = &self->v1;

	fixture_open(_metadata, suite_device(), &self->dev, v1);
	ASSERT_EQ(0, fill_device(&self->dev, &self->guest));
	ASSERT_RET(0, v1_save(v1, &self->good));
	ASSERT_RET(0, v1_set_state(v1, V1_RUNNING));
	ASSERT_RET(0, v1_save(v1, &self->other));
	ASSERT_RET(0, v1_set_state(v1, V1_RUNNING));
	buffer_copy(&self->stream, &self->good);
}

FIXTURE_TEARDOWN(bad)
{
	buffer_free(&self->good);
	buffer_free(&self->other);
	buffer_free(&self->stream);
	fixture_close(&self->dev, &self->v1);
	guest_destroy(&self->guest);
}

/* After the first refusal each call returns the same errno until a reset. */
static void check_poisoned(struct __test_metadata *_metadata, struct v1 *v1,
			   const struct buffer *good, int want)
{
	int i;

	for (i = 0; i < 2; i++) {
		EXPECT_STATE(V1_RESUMING, v1);
		EXPECT_RET(want, v1_feed(v1, good->data, good->len, 0));
		EXPECT_RET(want, v1_set_state(v1, V1_RUNNING));
		EXPECT_RET(want, v1_set_state(v1, V1_STOPPED));
		EXPECT_RET(0, v1_set_state(v1, V1_RESUMING));
		EXPECT_RET(-EINVAL, v1_set_state(v1, V1_STOP_COPY));
		EXPECT_RET(-EINVAL, v1_write_data_size(v1, v1->window + 1));
	}
	EXPECT_STATE(V1_RESUMING, v1);
}

static void check_recovers(struct __test_metadata *_metadata, struct v1 *v1,
			   const struct buffer *good)
{
	struct buffer again = { 0 };

	EXPECT_RET(0, device_reset(v1->dev));
	ASSERT_STATE(V1_RUNNING, v1);
	EXPECT_RET(0, v1_load(v1, good, 0));
	EXPECT_RET(0, v1_set_state(v1, V1_RUNNING));
	EXPECT_RET(0, v1_save(v1, &again));
	EXPECT_RET(0, v1_set_state(v1, V1_RUNNING));
	buffer_free(&again);
}

TEST_F_TIMEOUT(bad, is_refused_and_a_reset_recovers, 120)
{
	struct v1 *v1 = &self->v1;
	int ret;

	if (!variant->edit(&self->stream, &self->other))
		SKIP(return, "the stream has no chunk of that kind");
	ASSERT_RET(0, v1_set_state(v1, V1_RESUMING));
	ret = v1_feed(v1, self->stream.data, self->stream.len, 0);
	if (variant->transition) {
		ASSERT_RET(0, ret);
		ret = v1_set_state(v1, V1_RUNNING);
	}
	EXPECT_RET(variant->want, ret);
	check_poisoned(_metadata, v1, &self->good, variant->want);
	check_recovers(_metadata, v1, &self->good);
}

/* The device refuses the stream for the same reason, however it is split. */
TEST_F_TIMEOUT(bad, is_refused_the_same_way_in_small_portions, 120)
{
	struct v1 *v1 = &self->v1;
	int ret;

	if (!variant->edit(&self->stream, &self->other))
		SKIP(return, "the stream has no chunk of that kind");
	ASSERT_RET(0, v1_set_state(v1, V1_RESUMING));
	ret = v1_feed(v1, self->stream.data, self->stream.len, 61);
	if (variant->transition) {
		ASSERT_RET(0, ret);
		ret = v1_set_state(v1, V1_STOPPED);
	}
	EXPECT_RET(variant->want, ret);
	EXPECT_STATE(V1_RESUMING, v1);
	check_recovers(_metadata, v1, &self->good);
}

SUITE_MAIN(suite_need_stream())
