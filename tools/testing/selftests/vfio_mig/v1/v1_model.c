// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compares the device with the reference model: all short sequences of operations, then long
 * random ones.
 *
 * The program shrinks and prints a sequence that shows a difference. VFIO_MIG_SEED is the
 * first seed of random sequences, VFIO_MIG_OPS is their total length, and VFIO_MIG_LONG makes
 * it large. VFIO_MIG_MOVES is the length of the sequences that are all tried. The device
 * clears its data section for each load, so there are fewer sequences if it is large.
 */
#include <string.h>
#include <time.h>

#include "lib/fixture.h"
#include "lib/model.h"

#define LENGTH_MAX	512
/* Each additional operation takes eleven times as long. */
#define MOVES		5
#define MOVES_LARGE	3	/* if the data section is large */
#define RANDOM_OPS	1000000
#define RANDOM_OPS_LONG	20000000
#define WINDOW_LARGE	(1 << 20)
/*
 * If the data section is large, one of so many sequences is tried. The number is coprime to the
 * number of operations, so each operation occurs at each position.
 */
#define STEP_LARGE	10

FIXTURE(model) {
	struct device dev;
	struct v1 v1;
	struct buffer good;
	struct model m;
};

FIXTURE_SETUP(model)
{
	fixture_open(_metadata, suite_device(), &self->dev, &self->v1);
	ASSERT_RET(0, v1_save(&self->v1, &self->good));
	ASSERT_RET(0, device_reset(&self->dev));
	ASSERT_RET(0, model_init(&self->m, &self->v1, &self->good));
}

FIXTURE_TEARDOWN(model)
{
	model_free(&self->m);
	buffer_free(&self->good);
	fixture_close(&self->dev, &self->v1);
}

/* Returns -1, or the operation at which device and model differ. */
static int run_on(struct model *m, const struct op *ops, int nr)
{
	int i;

	for (i = 0; i < nr; i++)
		if (!model_step(m, &ops[i]))
			return i;
	return -1;
}

static int run(struct model *m, const struct op *ops, int nr)
{
	if (device_reset(m->v1->dev))
		return 0;
	model_reset(m);
	return run_on(m, ops, nr);
}

/* As run(), but resets only if no transition leads back, because a reset takes long. */
static int run_fast(struct model *m, const struct op *ops, int nr)
{
	static const struct op back = { OP_SET_STATE, V1_RUNNING };

	if (m->state == V1_RESUMING || !model_step(m, &back))
		return run(m, ops, nr);
	return run_on(m, ops, nr);
}

/* Removes operations that the difference does not need. Returns the number that is left. */
static int shrink(struct model *m, struct op *ops, int nr)
{
	struct op fewer[LENGTH_MAX];
	int cut, at, rest, bad;

	for (cut = nr / 2; cut; cut /= 2) {
		for (at = 0; at + cut <= nr; ) {
			rest = nr - at - cut;
			memcpy(fewer, ops, at * sizeof(*ops));
			memcpy(fewer + at, ops + at + cut,
			       rest * sizeof(*ops));
			bad = run(m, fewer, nr - cut);
			if (bad < 0) {
				at += cut;
				continue;
			}
			nr = bad + 1;
			memcpy(ops, fewer, nr * sizeof(*ops));
		}
	}
	return nr;
}

static void report(struct __test_metadata *_metadata, struct model *m,
		   const struct op *ops, int bad)
{
	struct op copy[LENGTH_MAX];
	int i, nr;

	memcpy(copy, ops, (bad + 1) * sizeof(*ops));
	nr = shrink(m, copy, bad + 1);
	run(m, copy, nr);
	TH_LOG("device and model differ: %s", m->why);
	TH_LOG("the shortest sequence found, after a reset:");
	for (i = 0; i < nr; i++)
		TH_LOG("  %d. %s", i + 1, op_name(&copy[i]));
}

/* Operations that change the situation of the device */
static const struct op moves[] = {
	{ OP_SET_STATE, V1_STOPPED },
	{ OP_SET_STATE, V1_RUNNING },
	{ OP_SET_STATE, V1_STOP_COPY },
	{ OP_SET_STATE, V1_PRE_COPY },
	{ OP_SET_STATE, V1_RESUMING },
	{ OP_READ_PENDING },
	{ OP_READ_OFFSET },
	{ OP_READ_SIZE },
	{ OP_FEED_CHUNK },
	{ OP_FEED_ALL },
	{ OP_RESET },
};

/* Other operations. All except the last two, the feeds, must not change the situation. */
static const struct op others[] = {
	{ OP_SET_STATE, 5 },
	{ OP_SET_STATE, V1_ERROR },
	{ OP_SET_STATE, 7 },
	{ OP_SET_STATE, 9 },
	{ OP_SET_STATE, 0x80000001 },
	{ OP_GET_STATE },
	{ OP_READ_RESERVED },
	{ OP_WRITE_RESERVED },
	{ OP_WRITE_PENDING },
	{ OP_WRITE_OFFSET },
	{ OP_COMMIT_0 },
	{ OP_COMMIT_TOO_MUCH, 0 },
	{ OP_COMMIT_TOO_MUCH, 1 },
	{ OP_READ_WRONG, 0 }, { OP_READ_WRONG, 2 }, { OP_READ_WRONG, 5 },
	{ OP_READ_WRONG, 7 }, { OP_READ_WRONG, 9 }, { OP_READ_WRONG, 10 },
	{ OP_WRITE_WRONG, 0 }, { OP_WRITE_WRONG, 2 }, { OP_WRITE_WRONG, 3 },
	{ OP_WRITE_WRONG, 9 }, { OP_WRITE_WRONG, 10 },
	{ OP_DATA_READ_1 },
	{ OP_DATA_READ_ALL },
	{ OP_DATA_READ_MORE },
	{ OP_DATA_READ_PAST },
	{ OP_DATA_WRITE, 4096 },
	{ OP_DATA_WRITE_PAST },
	{ OP_FEED_BYTE },
	{ OP_FEED_BAD },
};

#define ALL	(ARRAY_SIZE(moves) + ARRAY_SIZE(others))

static struct op nth(unsigned int i)
{
	return i < ARRAY_SIZE(moves) ? moves[i] :
				       others[i - ARRAY_SIZE(moves)];
}

/* Returns sequence number @nr of @depth operations out of the first @base. */
static void sequence(struct op *ops, int depth, unsigned int base,
		     unsigned int nr)
{
	int i;

	for (i = 0; i < depth; i++, nr /= base)
		ops[i] = nth(nr % base);
}

/*
 * Tries every sequence, and behind it every operation that must not change the situation.
 * Later sequences read the registers after each.
 */
static void every_sequence(struct __test_metadata *_metadata, struct model *m,
			   int depth, unsigned int base, unsigned int step)
{
	struct op ops[LENGTH_MAX];
	unsigned int nr, total = 1;
	int i, tail = 0, bad;

	for (i = 0; i < depth; i++)
		total *= base;
	if (base == ARRAY_SIZE(moves)) {
		tail = ARRAY_SIZE(others) - 2;	/* without feeds, which change the situation */
		memcpy(ops + depth, others, tail * sizeof(*ops));
	}
	for (nr = 0; nr < total; nr += step) {
		sequence(ops, depth, base, nr);
		bad = run_fast(m, ops, depth + tail);
		if (bad < 0)
			continue;
		report(_metadata, m, ops, bad);
		ASSERT_EQ(-1, bad);
	}
	total = (total + step - 1) / step;
	TH_LOG("%u sequences, %u operations", total, total * (depth + tail));
}

static bool window_is_large(const struct v1 *v1)
{
	return v1->window > WINDOW_LARGE;
}

TEST_F_TIMEOUT(model, every_sequence_of_moves, 900)
{
	int depth = suite_number("VFIO_MIG_MOVES", window_is_large(&self->v1) ?
				 MOVES_LARGE : MOVES);

	TH_LOG("VFIO_MIG_MOVES=%d", depth);
	every_sequence(_metadata, &self->m, depth, ARRAY_SIZE(moves), 1);
}

TEST_F_TIMEOUT(model, every_sequence_of_3_operations_of_any_kind, 900)
{
	every_sequence(_metadata, &self->m, 3, ALL,
		       window_is_large(&self->v1) ? STEP_LARGE : 1);
}

/* Arguments that the lists above do not have */
static struct op random_op(void)
{
	struct op op = nth(rand() % (rand() % 3 ? ARRAY_SIZE(moves) : ALL));

	switch (op.code) {
	case OP_READ_WRONG:
	case OP_WRITE_WRONG:
		op.arg = rand() % OP_WRONG_NR;
		break;
	case OP_DATA_WRITE:
		op.arg = rand();
		break;
	case OP_SET_STATE:
		if (!(rand() % 32))
			op.arg = 1U << rand() % 32 | rand() % 8;
		break;
	case OP_RESET:
		/* Resets rarely, so that sessions get long. */
		if (rand() % 8)
			op = (struct op){ OP_READ_PENDING };
		break;
	default:
		break;
	}
	return op;
}

TEST_F_TIMEOUT(model, random_sequences, 7200)
{
	unsigned long ops_default = suite_long() ? RANDOM_OPS_LONG : RANDOM_OPS;
	unsigned long total = suite_number("VFIO_MIG_OPS", window_is_large(&self->v1) ?
					   ops_default / 64 : ops_default);
	unsigned int seed = suite_number("VFIO_MIG_SEED", time(NULL));
	unsigned long done;
	struct op ops[LENGTH_MAX];
	int i, bad;

	TH_LOG("VFIO_MIG_SEED=%u VFIO_MIG_OPS=%lu", seed, total);
	for (done = 0; done < total; done += LENGTH_MAX, seed++) {
		srand(seed);
		for (i = 0; i < LENGTH_MAX; i++)
			ops[i] = random_op();
		bad = run(&self->m, ops, LENGTH_MAX);
		if (bad < 0)
			continue;
		TH_LOG("VFIO_MIG_SEED=%u, operation %d", seed, bad);
		report(_metadata, &self->m, ops, bad);
		ASSERT_EQ(-1, bad);
	}
}

SUITE_MAIN_WINDOW(SUITE_WINDOW_KIB_MIN, suite_need_stream())
