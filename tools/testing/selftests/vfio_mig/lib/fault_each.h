/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Repeats an operation, and lets each of its allocations and user copies fail in turn.
 *
 * The operation must return the errno of the failure and leave the state unchanged. It must
 * succeed when it is repeated.
 */
#ifndef VFIO_MIG_LIB_FAULT_EACH_H
#define VFIO_MIG_LIB_FAULT_EACH_H

#include "check.h"
#include "fault.h"

/* Exceeds the number of points in any operation, so an operation that never succeeds ends. */
#define POINTS_MAX	2000

/* The data of the operations, which each program defines */
struct world;

/**
 * struct operation - an operation that is made to fail
 * @name: name for messages
 * @before: prepares each attempt; may be NULL
 * @act: does the operation; returns 0 or a negative errno
 * @intact: returns whether the state is unchanged after a failure; may be NULL
 * @after: returns whether the result is right after a success; may be NULL
 */
struct operation {
	const char *name;
	int (*before)(struct world *w);
	int (*act)(struct world *w);
	int (*intact)(struct world *w);
	int (*after)(struct world *w);
};

/* Errors of a lack of memory or of bad user memory. shmem returns ENOSPC if it has no inode. */
static inline bool fault_is_clean(int ret)
{
	return ret == -ENOMEM || ret == -EFAULT || ret == -ENOSPC;
}

/* @op returned @ret when the @n-th call failed. It may have succeeded in spite of this. */
static inline void fault_check(struct __test_metadata *_metadata, struct world *w,
			       const struct operation *op, unsigned int n, int ret)
{
	if (ret) {
		EXPECT_TRUE(fault_is_clean(ret))
			TH_LOG("%s failed at %u with %s", op->name, n,
			       errname(ret));
		if (op->intact)
			EXPECT_RET_FOR(0, op->intact(w), "%s, %u", op->name, n);
		ASSERT_RET_FOR(0, op->act(w), "%s again, %u", op->name, n);
	}
	if (op->after)
		EXPECT_RET_FOR(0, op->after(w), "%s, %u", op->name, n);
}

/**
 * struct fault_module - failures within the module that fault_within() named
 * @kind: kind of call
 * @times: number of calls in a row that fail, so that a second attempt fails, too
 */
struct fault_module {
	enum fault_kind kind;
	unsigned int times;
};

/* Does @op while the @n-th call of @module or of this thread fails. Returns the result of @op. */
static inline int fault_try(struct world *w, const struct operation *op,
			    const struct fault_module *module, unsigned int n,
			    int *hits)
{
	int ret;

	if (module)
		fault_arm(module->kind, n - 1, module->times);
	else
		fault_begin(n);
	ret = op->act(w);
	*hits = module ? fault_disarm(module->kind) : fault_end();
	return ret;
}

/*
 * Repeats @op and lets one call after another fail: those of any thread within @module, or
 * those of this thread if @module is NULL. Returns the number of failures.
 */
static inline unsigned int fail_each_of(struct __test_metadata *_metadata,
					struct world *w,
					const struct operation *op,
					const struct fault_module *module)
{
	unsigned int n, all = 0;
	int hits, ret;

	for (n = 1; n < POINTS_MAX; n++) {
		if (op->before)
			ASSERT_RET_FOR(0, op->before(w), "%s, %u", op->name, n);
		ret = fault_try(w, op, module, n, &hits);
		if (!hits) {
			ASSERT_RET_FOR(0, ret, "%s, after %u failures", op->name,
				       all);
			return all;
		}
		all += hits;
		fault_check(_metadata, w, op, n, ret);
	}
	ASSERT_LT(n, POINTS_MAX)
		TH_LOG("%s never passes", op->name);
	return 0;
}

static inline unsigned int fail_each(struct __test_metadata *_metadata,
				     struct world *w, const struct operation *op)
{
	return fail_each_of(_metadata, w, op, NULL);
}

static inline void fail_all(struct __test_metadata *_metadata, struct world *w,
			    const struct operation *ops, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		ksft_print_msg("%s: %u points\n", ops[i].name,
			       fail_each(_metadata, w, &ops[i]));
}

/* Called by main(). Skips all tests if the kernel has no fault injection. */
static inline void fault_need(void)
{
	int ret;

	/* The process of a test ends without flushing its buffers. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	ret = fault_init();
	if (!ret)
		return;
	ksft_print_header();
	ksft_exit_skip("the kernel cannot fail on request: %s\n", errname(ret));
}

#endif /* VFIO_MIG_LIB_FAULT_EACH_H */
