// SPDX-License-Identifier: GPL-2.0-only
/* KUnit tests of the state machine; a part of machine.c */
#include "mock_test.h"

static void device_rests_and_runs(struct kunit *test)
{
	struct mock *m = test->priv;
	int stops = m->stops, runs = m->runs;

	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_STOP));
	KUNIT_EXPECT_EQ(test, stops + 1, m->stops);
	/* A transition between two stopped states does not call the driver. */
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_STOP_COPY));
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_STOP));
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_RESUMING));
	KUNIT_EXPECT_EQ(test, stops + 1, m->stops);
	KUNIT_EXPECT_EQ(test, runs, m->runs);
}

static void device_runs_in_pre_copy(struct kunit *test)
{
	struct mock *m = test->priv;
	int stops = m->stops, runs = m->runs;
	struct vfio_mig_save *save;

	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_PRE_COPY));
	KUNIT_EXPECT_EQ(test, stops, m->stops);
	save = m->mig.save;
	KUNIT_ASSERT_NOT_NULL(test, save);
	/* The same save continues when the device stops. */
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_STOP_COPY));
	KUNIT_EXPECT_EQ(test, stops + 1, m->stops);
	KUNIT_EXPECT_PTR_EQ(test, save, m->mig.save);
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_RUNNING));
	KUNIT_EXPECT_EQ(test, runs + 1, m->runs);
	KUNIT_EXPECT_NULL(test, m->mig.save);
}

/* Each state is stopped or not, and has a save, a load or no session. */
static void states_have_their_session(struct kunit *test)
{
	static const struct {
		enum vfio_mig_state state;
		enum vfio_mig_activity activity;
		bool save, load;
	} want[] = {
		{ VFIO_MIG_ERROR, VFIO_MIG_STOPPED, false, false },
		{ VFIO_MIG_STOP, VFIO_MIG_STOPPED, false, false },
		{ VFIO_MIG_RUNNING, VFIO_MIG_ACTIVE, false, false },
		{ VFIO_MIG_STOP_COPY, VFIO_MIG_STOPPED, true, false },
		{ VFIO_MIG_RESUMING, VFIO_MIG_STOPPED, false, true },
		{ VFIO_MIG_RUNNING_P2P, VFIO_MIG_QUIESCED, false, false },
		{ VFIO_MIG_PRE_COPY, VFIO_MIG_ACTIVE, true, false },
		{ VFIO_MIG_PRE_COPY_P2P, VFIO_MIG_QUIESCED, true, false },
	};
	int i;

	KUNIT_ASSERT_EQ(test, (int)VFIO_MIG_NR_STATES, (int)ARRAY_SIZE(want));
	for (i = 0; i < ARRAY_SIZE(want); i++) {
		enum session session = states[want[i].state].session;

		KUNIT_EXPECT_EQ(test, want[i].activity,
				states[want[i].state].activity);
		KUNIT_EXPECT_EQ(test, want[i].save, session == SESSION_SAVE);
		KUNIT_EXPECT_EQ(test, want[i].load, session == SESSION_LOAD);
	}
}

static void owner_is_of_the_session(struct kunit *test)
{
	struct mock *m = test->priv;

	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_STOP_COPY));
	KUNIT_EXPECT_EQ(test, VFIO_MIG_OWNER_V1, m->mig.owner);
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_STOP));
	KUNIT_EXPECT_EQ(test, VFIO_MIG_OWNER_NONE, m->mig.owner);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_enter(&m->mig, VFIO_MIG_RUNNING_P2P,
						VFIO_MIG_RUNNING_P2P, VFIO_MIG_OWNER_V2));
	KUNIT_EXPECT_EQ(test, VFIO_MIG_OWNER_V2, m->mig.owner);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_enter(&m->mig, VFIO_MIG_RUNNING,
						VFIO_MIG_RUNNING, VFIO_MIG_OWNER_V2));
	KUNIT_EXPECT_EQ(test, VFIO_MIG_OWNER_NONE, m->mig.owner);
}

/* The driver gets the reason for a stop, also if STOP is only a state on the way to another. */
static void stop_has_a_reason(struct kunit *test)
{
	static const struct {
		enum vfio_mig_state to, target;
		enum vfio_mig_stop_reason reason;
	} want[] = {
		{ VFIO_MIG_STOP, VFIO_MIG_STOP, VFIO_MIG_STOP_FOR_PAUSE },
		{ VFIO_MIG_RUNNING_P2P, VFIO_MIG_RUNNING_P2P, VFIO_MIG_STOP_FOR_PAUSE },
		{ VFIO_MIG_STOP, VFIO_MIG_STOP_COPY, VFIO_MIG_STOP_FOR_SAVE },
		{ VFIO_MIG_STOP_COPY, VFIO_MIG_STOP_COPY, VFIO_MIG_STOP_FOR_SAVE },
		{ VFIO_MIG_PRE_COPY_P2P, VFIO_MIG_PRE_COPY_P2P, VFIO_MIG_STOP_FOR_SAVE },
		{ VFIO_MIG_RUNNING_P2P, VFIO_MIG_RESUMING, VFIO_MIG_STOP_FOR_LOAD },
		{ VFIO_MIG_RESUMING, VFIO_MIG_RESUMING, VFIO_MIG_STOP_FOR_LOAD },
	};
	struct mock *m = test->priv;
	int i;

	for (i = 0; i < ARRAY_SIZE(want); i++) {
		vfio_mig_machine_start(&m->mig);
		m->reason = -1;
		KUNIT_ASSERT_EQ(test, 0, vfio_mig_enter(&m->mig, want[i].to,
							want[i].target, VFIO_MIG_OWNER_V1));
		KUNIT_EXPECT_EQ(test, want[i].reason, m->reason);
	}
	vfio_mig_machine_start(&m->mig);
	vfio_mig_machine_start(&m->mig);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_STOP_FOR_RESET, m->reason);
}

/* If the device does not stop, the transition fails and changes nothing. */
static void transition_fails_with_stop(struct kunit *test)
{
	struct mock *m = test->priv;
	int runs = m->runs;

	m->stop_ret = -EBUSY;
	KUNIT_EXPECT_EQ(test, -EBUSY, mock_enter(m, VFIO_MIG_STOP));
	KUNIT_EXPECT_EQ(test, -EBUSY, mock_enter(m, VFIO_MIG_STOP_COPY));
	KUNIT_EXPECT_EQ(test, -EBUSY, mock_enter(m, VFIO_MIG_RESUMING));
	m->stop_ret = 0;
	KUNIT_EXPECT_EQ(test, VFIO_MIG_RUNNING, m->mig.state);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_OWNER_NONE, m->mig.owner);
	KUNIT_EXPECT_NULL(test, m->mig.save);
	KUNIT_EXPECT_NULL(test, m->mig.load);
	KUNIT_EXPECT_EQ(test, runs, m->runs);
}

static void resuming_is_not_left_without_a_state(struct kunit *test)
{
	struct mock *m = test->priv;
	int i;

	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_RESUMING));
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, -ENODATA,
				mock_enter(m, VFIO_MIG_RUNNING));
		KUNIT_EXPECT_EQ(test, -ENODATA, mock_enter(m, VFIO_MIG_STOP));
		KUNIT_EXPECT_EQ(test, VFIO_MIG_RESUMING, m->mig.state);
	}
	KUNIT_EXPECT_EQ(test, 1, mock_count(m, VFIO_MIG_REFUSED));
}

static void only_a_start_leaves_the_error_state(struct kunit *test)
{
	struct mock *m = test->priv;
	int resets = m->resets, runs = m->runs;

	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_PRE_COPY));
	vfio_mig_machine_fail(&m->mig);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_ERROR, m->mig.state);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_OWNER_NONE, m->mig.owner);
	KUNIT_EXPECT_NULL(test, m->mig.save);

	vfio_mig_machine_start(&m->mig);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_RUNNING, m->mig.state);
	KUNIT_EXPECT_EQ(test, resets + 1, m->resets);
	KUNIT_EXPECT_EQ(test, runs + 1, m->runs);
}

/* A device that can be quiesced is quiesced and not stopped in the P2P states. */
static void a_device_is_quiesced_before_it_stops(struct kunit *test)
{
	struct mock *m = test->priv;
	int stops = m->stops, runs = m->runs, starts;

	m->mig.desc.ops = &mock_p2p_ops;
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_RUNNING_P2P));
	KUNIT_EXPECT_EQ(test, 1, m->quiesces);
	KUNIT_EXPECT_EQ(test, stops, m->stops);
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_STOP));
	KUNIT_EXPECT_EQ(test, stops + 1, m->stops);
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_RUNNING_P2P));
	KUNIT_EXPECT_EQ(test, 1, m->starts);
	KUNIT_EXPECT_EQ(test, runs, m->runs);
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_RUNNING));
	KUNIT_EXPECT_EQ(test, runs + 1, m->runs);
	KUNIT_EXPECT_EQ(test, 1, m->quiesces);

	/* Both steps in one transition. If the second one fails, the first is undone. */
	m->stop_ret = -EBUSY;
	KUNIT_EXPECT_EQ(test, -EBUSY, mock_enter(m, VFIO_MIG_STOP));
	m->stop_ret = 0;
	KUNIT_EXPECT_EQ(test, 2, m->quiesces);
	KUNIT_EXPECT_EQ(test, runs + 2, m->runs);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_RUNNING, m->mig.state);
	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_STOP));
	KUNIT_EXPECT_EQ(test, 3, m->quiesces);

	/* A reset undoes both steps. */
	starts = m->starts;
	vfio_mig_machine_start(&m->mig);
	KUNIT_EXPECT_EQ(test, starts + 1, m->starts);
	KUNIT_EXPECT_EQ(test, runs + 3, m->runs);
	m->mig.desc.ops = &mock_ops;
}

/* A reset ends every failure, also if the device does not stop. */
static void a_reset_does_not_depend_on_stop(struct kunit *test)
{
	struct mock *m = test->priv;
	int resets = m->resets;

	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_PRE_COPY));
	m->stop_ret = -ETIMEDOUT;
	vfio_mig_machine_start(&m->mig);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_RUNNING, m->mig.state);
	KUNIT_EXPECT_EQ(test, resets + 1, m->resets);
	KUNIT_EXPECT_NULL(test, m->mig.save);
	m->stop_ret = 0;
}

/*
 * A device that breaks and does not stop is in the error state, and may still do DMA. So a
 * close tries to stop it again, in the steps that are left, and a device that is quiesced does
 * not begin its work anew.
 */
static void a_close_stops_a_broken_device(struct kunit *test)
{
	struct mock *m = test->priv;
	int stops = m->stops, runs = m->runs;

	m->mig.desc.ops = &mock_p2p_ops;
	m->stop_ret = -ETIMEDOUT;
	vfio_mig_machine_fail(&m->mig);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_ERROR, m->mig.state);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_QUIESCED, m->mig.activity);
	KUNIT_EXPECT_EQ(test, 1, m->quiesces);
	KUNIT_EXPECT_EQ(test, stops, m->stops);
	m->stop_ret = 0;
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_machine_rest(&m->mig));
	KUNIT_EXPECT_EQ(test, 1, m->quiesces);
	KUNIT_EXPECT_EQ(test, stops + 1, m->stops);
	KUNIT_EXPECT_EQ(test, runs, m->runs);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_STOPPED, m->mig.activity);
	m->mig.desc.ops = &mock_ops;
}

/* run() cannot fail, but the device can break in it. */
static void a_device_that_breaks_in_run_is_an_error(struct kunit *test)
{
	struct mock *m = test->priv;

	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_STOP));
	m->run_breaks = true;
	KUNIT_EXPECT_EQ(test, -EIO, mock_enter(m, VFIO_MIG_RUNNING));
	KUNIT_EXPECT_EQ(test, VFIO_MIG_ERROR, m->mig.state);
	m->run_breaks = false;
	vfio_mig_machine_start(&m->mig);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_RUNNING, m->mig.state);
}

/* The holder of the session mutex acts on a reset that was reported meanwhile. */
static void a_reported_reset_waits_for_nobody(struct kunit *test)
{
	struct mock *m = test->priv;
	int resets = m->resets, stops;

	KUNIT_ASSERT_EQ(test, 0, mock_enter(m, VFIO_MIG_STOP_COPY));
	stops = m->stops;
	mutex_lock(&m->mig.lock);
	vfio_mig_reset_done(&m->mig);
	KUNIT_EXPECT_EQ(test, resets, m->resets);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_STOP_COPY, m->mig.state);
	vfio_mig_unlock(&m->mig);
	KUNIT_EXPECT_EQ(test, resets + 1, m->resets);
	KUNIT_EXPECT_EQ(test, stops, m->stops);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_RUNNING, m->mig.state);
	KUNIT_EXPECT_NULL(test, m->mig.save);

	vfio_mig_reset_done(&m->mig);
	KUNIT_EXPECT_EQ(test, resets + 2, m->resets);
}

/* A data file takes the session mutex after the device broke and was closed. */
static void a_closed_device_is_left_alone(struct kunit *test)
{
	struct mock *m = test->priv;
	int stops = m->stops;

	m->mig.opened = false;
	vfio_mig_device_error(&m->mig);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_lock(&m->mig));
	vfio_mig_unlock(&m->mig);
	KUNIT_EXPECT_EQ(test, stops, m->stops);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_RUNNING, m->mig.state);

	m->mig.opened = true;
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_lock(&m->mig));
	vfio_mig_unlock(&m->mig);
	KUNIT_EXPECT_EQ(test, stops + 1, m->stops);
	KUNIT_EXPECT_EQ(test, VFIO_MIG_ERROR, m->mig.state);
}

static struct kunit_case machine_cases[] = {
	KUNIT_CASE(states_have_their_session),
	KUNIT_CASE(device_rests_and_runs),
	KUNIT_CASE(device_runs_in_pre_copy),
	KUNIT_CASE(owner_is_of_the_session),
	KUNIT_CASE(stop_has_a_reason),
	KUNIT_CASE(transition_fails_with_stop),
	KUNIT_CASE(resuming_is_not_left_without_a_state),
	KUNIT_CASE(only_a_start_leaves_the_error_state),
	KUNIT_CASE(a_device_is_quiesced_before_it_stops),
	KUNIT_CASE(a_reset_does_not_depend_on_stop),
	KUNIT_CASE(a_close_stops_a_broken_device),
	KUNIT_CASE(a_device_that_breaks_in_run_is_an_error),
	KUNIT_CASE(a_reported_reset_waits_for_nobody),
	KUNIT_CASE(a_closed_device_is_left_alone),
	{}
};

static struct kunit_suite machine_suite = {
	.name = "vfio_mig_machine",
	.init = mock_suite_init,
	.exit = mock_suite_exit,
	.test_cases = machine_cases,
};

kunit_test_suite(machine_suite);
