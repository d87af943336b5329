// SPDX-License-Identifier: GPL-2.0-only
/* device_state: the transitions, and the state after a refused transition */
#include "lib/fixture.h"

#define NO	(-EINVAL)

FIXTURE(transition) {
	struct device dev;
	struct v1 v1;
	struct buffer stream;
};

FIXTURE_VARIANT(transition) {
	__u32 from;
	int to[5];		/* results of the writes of 000 ... 100 */
};

/* The rows of the table */
FIXTURE_VARIANT_ADD(transition, from_000) {
	.from = V1_STOPPED,	.to = { 0, 0, 0, NO, 0 }
};

FIXTURE_VARIANT_ADD(transition, from_001) {
	.from = V1_RUNNING,	.to = { 0, 0, 0, 0, 0 }
};

FIXTURE_VARIANT_ADD(transition, from_010) {
	.from = V1_STOP_COPY,	.to = { 0, 0, 0, NO, NO }
};

FIXTURE_VARIANT_ADD(transition, from_011) {
	.from = V1_PRE_COPY,	.to = { 0, 0, 0, 0, NO }
};

FIXTURE_VARIANT_ADD(transition, from_100) {
	.from = V1_RESUMING,	.to = { 0, 0, NO, NO, 0 }
};

/*
 * A whole stream is loaded before 100 is left, because the transition fails with ENODATA
 * otherwise.
 */
FIXTURE_SETUP(transition)
{
	struct v1 *v1 = &self->v1;

	fixture_open(_metadata, suite_device(), &self->dev, v1);
	if (variant->from != V1_RESUMING) {
		ASSERT_RET(0, v1_go(v1, variant->from));
		return;
	}
	ASSERT_RET(0, v1_save(v1, &self->stream));
	ASSERT_RET(0, v1_set_state(v1, V1_RUNNING));
	ASSERT_RET(0, v1_load(v1, &self->stream, 0));
	ASSERT_STATE(V1_RESUMING, v1);
}

FIXTURE_TEARDOWN(transition)
{
	buffer_free(&self->stream);
	fixture_close(&self->dev, &self->v1);
}

static void check_transition(struct __test_metadata *_metadata, struct v1 *v1,
			     __u32 from, __u32 to, int want)
{
	EXPECT_RET_FOR(want, v1_set_state(v1, to), "from %s to %s",
		       v1_state_name(from), v1_state_name(to));
	EXPECT_STATE(want ? from : to, v1);
}

TEST_F(transition, to_000)
{
	check_transition(_metadata, &self->v1, variant->from, 0, variant->to[0]);
}

TEST_F(transition, to_001)
{
	check_transition(_metadata, &self->v1, variant->from, 1, variant->to[1]);
}

TEST_F(transition, to_010)
{
	check_transition(_metadata, &self->v1, variant->from, 2, variant->to[2]);
}

TEST_F(transition, to_011)
{
	check_transition(_metadata, &self->v1, variant->from, 3, variant->to[3]);
}

TEST_F(transition, to_100)
{
	check_transition(_metadata, &self->v1, variant->from, 4, variant->to[4]);
}

/* A refused transition is not a step towards a permitted one. */
TEST_F(transition, a_refused_transition_leaves_the_state)
{
	__u32 to;

	for (to = 0; to < 5; to++)
		if (variant->to[to])
			check_transition(_metadata, &self->v1, variant->from, to,
					 variant->to[to]);
	check_transition(_metadata, &self->v1, variant->from, V1_RUNNING, 0);
}

TEST_F(transition, to_an_invalid_value_is_EINVAL)
{
	static const __u32 values[] = { 5, 7, 8, 9, 15, 0xff, ~0U };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(values); i++)
		check_transition(_metadata, &self->v1, variant->from, values[i],
				 -EINVAL);
}

TEST_F(transition, to_110_is_EINVAL)
{
	check_transition(_metadata, &self->v1, variant->from, V1_ERROR, -EINVAL);
}

TEST_F(transition, with_any_of_bits_3_to_31_is_EINVAL)
{
	__u32 bit, to;

	for (bit = 3; bit < 32; bit++)
		for (to = 0; to < 8; to++)
			check_transition(_metadata, &self->v1, variant->from,
					 1U << bit | to, -EINVAL);
}

TEST_F(transition, no_op_succeeds_any_number_of_times)
{
	int i;

	for (i = 0; i < 100; i++)
		check_transition(_metadata, &self->v1, variant->from, variant->from, 0);
}

TEST_F(transition, reset_leads_to_001)
{
	EXPECT_RET(0, device_reset(&self->dev));
	EXPECT_STATE(V1_RUNNING, &self->v1);
}

/* The close of the device ends any session. After the next open the device runs. */
TEST_F(transition, close_and_open_leads_to_001)
{
	fixture_close(&self->dev, &self->v1);
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	EXPECT_REG64(0, &self->v1, V1_PENDING_BYTES);
	EXPECT_REG64(0, &self->v1, V1_DATA_SIZE);
}

FIXTURE(states) {
	struct device dev;
	struct v1 v1;
};

FIXTURE_SETUP(states)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
}

FIXTURE_TEARDOWN(states)
{
	fixture_close(&self->dev, &self->v1);
}

TEST_F(states, running_is_the_default_when_opened)
{
	EXPECT_STATE(V1_RUNNING, &self->v1);
}

/* Repeats every transition that needs no stream. */
TEST_F_TIMEOUT(states, every_transition_a_hundred_times, 120)
{
	static const __u32 walk[] = {
		0, 1, 2, 1, 2, 0, 2, 2, 0, 0, 1, 1, 3, 3, 1, 3, 0, 1, 3, 2, 1,
		3, 2, 0, 2, 1
	};
	unsigned int i, round;

	for (round = 0; round < 100; round++) {
		for (i = 0; i < ARRAY_SIZE(walk); i++) {
			ASSERT_RET_FOR(0, v1_set_state(&self->v1, walk[i]),
				       "round %u, step %u, to %s", round, i,
				       v1_state_name(walk[i]));
			ASSERT_STATE(walk[i], &self->v1);
		}
	}
}

/* Enters and leaves resuming 100 times, from 001 and from 000 in turn. */
TEST_F_TIMEOUT(states, resuming_a_hundred_times, 120)
{
	struct buffer stream = { 0 };
	unsigned int round;
	__u32 out;

	ASSERT_RET(0, v1_save(&self->v1, &stream));
	ASSERT_RET(0, v1_set_state(&self->v1, V1_RUNNING));
	for (round = 0; round < 100; round++) {
		out = round % 2 ? V1_RUNNING : V1_STOPPED;
		ASSERT_RET_FOR(0, v1_load(&self->v1, &stream, 0), "round %u",
			       round);
		ASSERT_RET_FOR(0, v1_set_state(&self->v1, out), "round %u",
			       round);
		ASSERT_STATE(out, &self->v1);
	}
	buffer_free(&stream);
}

SUITE_MAIN(suite_need_v1())
