// SPDX-License-Identifier: GPL-2.0-only
/* KUnit tests of the v1 front end's logic; a part of region.c */
#include "mock_test.h"

/* The protocol's transitions. A row has the old state, 000 to 100, and a column the new one. */
static const char * const transition_table[] = {
	"=yyny",
	"y=yyy",
	"yy=nn",
	"yyy=n",
	"yynn=",
};

static u64 pending_bytes(struct mock *m)
{
	u64 value = 0;

	return read_pending_bytes(&m->mig, &value) ? U64_MAX : value;
}

static void transitions_are_those_of_the_table(struct kunit *test)
{
	u32 from, to;

	KUNIT_ASSERT_EQ(test, ARRAY_SIZE(transition_table), ARRAY_SIZE(v1_transitions));
	for (from = 0; from < ARRAY_SIZE(v1_transitions); from++) {
		for (to = 0; to < 32; to++) {
			bool want = to < 5 && transition_table[from][to] == 'y';

			KUNIT_EXPECT_EQ_MSG(test, want,
					    !!(v1_transitions[from].leads_to & BIT(to)),
					    "from %u to %u", from, to);
		}
	}
}

static void what_is_written_is_what_shows(struct kunit *test)
{
	u32 value;

	for (value = 0; value < ARRAY_SIZE(v1_transitions); value++)
		KUNIT_EXPECT_EQ(test, value, v1_value[v1_transitions[value].state]);
	KUNIT_EXPECT_EQ(test, 6, v1_value[VFIO_MIG_ERROR]);
	KUNIT_EXPECT_EQ(test, 1, v1_value[VFIO_MIG_RUNNING_P2P]);
	KUNIT_EXPECT_EQ(test, 3, v1_value[VFIO_MIG_PRE_COPY_P2P]);
}

static void values_that_are_no_states(struct kunit *test)
{
	struct mock *m = test->priv;
	u32 bit;

	KUNIT_EXPECT_EQ(test, -EINVAL, set_device_state(&m->mig, 5));
	KUNIT_EXPECT_EQ(test, -EINVAL, set_device_state(&m->mig, 6));
	KUNIT_EXPECT_EQ(test, -EINVAL, set_device_state(&m->mig, 7));
	for (bit = 3; bit < 32; bit++)
		KUNIT_EXPECT_EQ(test, -EINVAL,
				set_device_state(&m->mig, BIT(bit) | 1));
	KUNIT_EXPECT_EQ(test, VFIO_MIG_RUNNING, m->mig.state);
}

static void error_state_takes_no_write(struct kunit *test)
{
	struct mock *m = test->priv;
	u32 value;

	vfio_mig_machine_fail(&m->mig);
	for (value = 0; value < 8; value++)
		KUNIT_EXPECT_EQ(test, -EIO, set_device_state(&m->mig, value));
	KUNIT_EXPECT_EQ(test, VFIO_MIG_ERROR, m->mig.state);
}

static void session_of_v2_is_busy(struct kunit *test)
{
	struct mock *m = test->priv;

	KUNIT_ASSERT_EQ(test, 0, vfio_mig_enter(&m->mig, VFIO_MIG_RUNNING_P2P,
						VFIO_MIG_RUNNING_P2P, VFIO_MIG_OWNER_V2));
	KUNIT_EXPECT_EQ(test, -EBUSY, set_device_state(&m->mig, 0));
	KUNIT_EXPECT_EQ(test, -EBUSY, set_device_state(&m->mig, 2));
	/* The region already shows this state. */
	KUNIT_EXPECT_EQ(test, 0, set_device_state(&m->mig, 1));
	KUNIT_EXPECT_EQ(test, VFIO_MIG_RUNNING_P2P, m->mig.state);
}

static void registers_have_one_width(struct kunit *test)
{
	static const u8 width[] = {
		[0] = 4, [4] = 4, [8] = 8, [16] = 8, [24] = 8, [40] = 0,
	};
	loff_t pos;
	size_t len;

	for (pos = 0; pos < ARRAY_SIZE(width); pos++)
		for (len = 1; len < 64; len++)
			KUNIT_EXPECT_EQ_MSG(test, len == width[pos],
					    is_register(pos, len),
					    "%zu bytes at %lld", len, pos);
}

/* The iteration: closed, open, concluded. */

static u64 data_offset(struct kunit *test, struct mock *m)
{
	u64 value = ~0ULL;

	KUNIT_ASSERT_EQ(test, 0, read_data_offset(&m->mig, &value));
	return value;
}

/* Opens an iteration with pages to send. Returns the size of its data. */
static u64 open_some(struct kunit *test, struct mock *m)
{
	mock_fill(test, m, 7, 0x11);
	mock_fill(test, m, 900, 0x22);
	KUNIT_ASSERT_EQ(test, 0, set_device_state(&m->mig, 2));
	KUNIT_EXPECT_EQ(test, DATA_OFFSET, data_offset(test, m));
	KUNIT_ASSERT_GT(test, m->mig.iteration.size, 2 * PAGE_SIZE);
	return m->mig.iteration.size;
}

static void no_session_shows_nothing(struct kunit *test)
{
	struct mock *m = test->priv;

	KUNIT_EXPECT_EQ(test, 0, pending_bytes(m));
	KUNIT_EXPECT_EQ(test, 0, data_offset(test, m));
	KUNIT_EXPECT_EQ(test, 0, read_data_size(&m->mig));
	KUNIT_EXPECT_EQ(test, -EINVAL, commit(&m->mig, 0));
}

static void pending_bytes_opens_nothing(struct kunit *test)
{
	struct mock *m = test->priv;
	int i;

	KUNIT_ASSERT_EQ(test, 0, set_device_state(&m->mig, 3));
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_NE(test, 0, pending_bytes(m));
		KUNIT_EXPECT_FALSE(test, m->mig.iteration.open);
		KUNIT_EXPECT_EQ(test, 0, read_data_size(&m->mig));
	}
	KUNIT_EXPECT_EQ(test, 0, mock_count(m, VFIO_MIG_ITERATIONS));
}

static void data_offset_opens_once(struct kunit *test)
{
	struct mock *m = test->priv;
	u64 size = open_some(test, m);

	KUNIT_EXPECT_TRUE(test, m->mig.iteration.open);
	KUNIT_EXPECT_EQ(test, DATA_OFFSET, data_offset(test, m));
	KUNIT_EXPECT_EQ(test, size, read_data_size(&m->mig));
	KUNIT_EXPECT_EQ(test, 1, mock_count(m, VFIO_MIG_ITERATIONS));
	KUNIT_EXPECT_EQ(test, -EINVAL, commit(&m->mig, 0));
}

static void all_that_was_read_is_no_breach(struct kunit *test)
{
	struct mock *m = test->priv;
	u64 size = open_some(test, m);

	/* Reads the data in two parts, the second part first, and one byte twice. */
	KUNIT_EXPECT_EQ(test, size, read_data_size(&m->mig));
	KUNIT_ASSERT_EQ(test, 0, note_seen(&m->mig, 99, size - 99));
	KUNIT_ASSERT_EQ(test, 0, note_seen(&m->mig, 0, 100));
	pending_bytes(m);
	KUNIT_EXPECT_FALSE(test, m->mig.iteration.open);
	KUNIT_EXPECT_EQ(test, 0, m->mig.iteration.size);
	KUNIT_EXPECT_EQ(test, 0, mock_count(m, VFIO_MIG_BREACHES));
}

static void a_byte_not_read_is_a_breach(struct kunit *test)
{
	struct mock *m = test->priv;
	u64 size = open_some(test, m);

	read_data_size(&m->mig);
	KUNIT_ASSERT_EQ(test, 0, note_seen(&m->mig, 0, 100));
	KUNIT_ASSERT_EQ(test, 0, note_seen(&m->mig, 101, size - 101));
	pending_bytes(m);
	KUNIT_EXPECT_FALSE(test, m->mig.iteration.open);
	KUNIT_EXPECT_EQ(test, 1, mock_count(m, VFIO_MIG_BREACHES));
}

static void size_not_read_is_a_breach(struct kunit *test)
{
	struct mock *m = test->priv;
	u64 size = open_some(test, m);

	KUNIT_ASSERT_EQ(test, 0, note_seen(&m->mig, 0, size));
	pending_bytes(m);
	KUNIT_EXPECT_EQ(test, 1, mock_count(m, VFIO_MIG_BREACHES));
}

/* Bytes that were read in one iteration do not count for the next one. */
static void reading_counts_for_one_iteration(struct kunit *test)
{
	struct mock *m = test->priv;
	u64 size = open_some(test, m);

	read_data_size(&m->mig);
	KUNIT_ASSERT_EQ(test, 0, note_seen(&m->mig, 0, size));
	pending_bytes(m);
	mock_fill(test, m, 7, 0x33);
	data_offset(test, m);
	KUNIT_ASSERT_TRUE(test, m->mig.iteration.open);
	KUNIT_EXPECT_LE(test, m->mig.iteration.size, size);
	read_data_size(&m->mig);
	pending_bytes(m);
	KUNIT_EXPECT_EQ(test, 1, mock_count(m, VFIO_MIG_BREACHES));
}

static void with_nothing_to_send_nothing_opens(struct kunit *test)
{
	struct mock *m = test->priv;
	int i;

	KUNIT_ASSERT_EQ(test, 0, set_device_state(&m->mig, 2));
	for (i = 0; i < 100 && pending_bytes(m); i++)
		data_offset(test, m);
	KUNIT_ASSERT_EQ(test, 0, pending_bytes(m));
	KUNIT_EXPECT_EQ(test, DATA_OFFSET, data_offset(test, m));
	KUNIT_EXPECT_FALSE(test, m->mig.iteration.open);
	KUNIT_EXPECT_EQ(test, 0, read_data_size(&m->mig));
}

static void leaving_drops_what_is_open(struct kunit *test)
{
	struct mock *m = test->priv;

	open_some(test, m);
	KUNIT_ASSERT_EQ(test, 0, set_device_state(&m->mig, 1));
	KUNIT_EXPECT_FALSE(test, m->mig.iteration.open);
	KUNIT_EXPECT_EQ(test, 0, read_data_size(&m->mig));
	KUNIT_EXPECT_EQ(test, 0, mock_count(m, VFIO_MIG_BREACHES));
}

static void commits_have_bounds(struct kunit *test)
{
	struct mock *m = test->priv;
	size_t window = vfio_mig_window_size(m->mig.window);

	KUNIT_ASSERT_EQ(test, 0, set_device_state(&m->mig, 4));
	KUNIT_EXPECT_EQ(test, 0, commit(&m->mig, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, commit(&m->mig, window + 1));
	KUNIT_EXPECT_EQ(test, -EINVAL, commit(&m->mig, U64_MAX));
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_load_error(&m->mig));
	/* Zeros are not a valid stream. */
	KUNIT_EXPECT_EQ(test, -EBADMSG, commit(&m->mig, window));
	KUNIT_EXPECT_EQ(test, -EBADMSG, vfio_mig_load_error(&m->mig));
}

static struct kunit_case region_cases[] = {
	KUNIT_CASE(transitions_are_those_of_the_table),
	KUNIT_CASE(what_is_written_is_what_shows),
	KUNIT_CASE(values_that_are_no_states),
	KUNIT_CASE(error_state_takes_no_write),
	KUNIT_CASE(session_of_v2_is_busy),
	KUNIT_CASE(registers_have_one_width),
	KUNIT_CASE(no_session_shows_nothing),
	KUNIT_CASE(pending_bytes_opens_nothing),
	KUNIT_CASE(data_offset_opens_once),
	KUNIT_CASE(all_that_was_read_is_no_breach),
	KUNIT_CASE(a_byte_not_read_is_a_breach),
	KUNIT_CASE(size_not_read_is_a_breach),
	KUNIT_CASE(reading_counts_for_one_iteration),
	KUNIT_CASE(with_nothing_to_send_nothing_opens),
	KUNIT_CASE(leaving_drops_what_is_open),
	KUNIT_CASE(commits_have_bounds),
	{}
};

static struct kunit_suite region_suite = {
	.name = "vfio_mig_region",
	.init = mock_suite_init,
	.exit = mock_suite_exit,
	.test_cases = region_cases,
};

kunit_test_suite(region_suite);
