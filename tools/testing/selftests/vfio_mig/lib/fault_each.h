/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations that fail at each point at which they can; for test programs.
 *
 * Each failure is an errno that says so, leaves the state that was, and the
 * operation succeeds when it is done again.
 */
#ifndef VFIO_MIG_LIB_FAULT_EACH_H
#define VFIO_MIG_LIB_FAULT_EACH_H

#include "check.h"
#include "fault.h"

/* No operation has as many points; one that never passes would. */
#define POINTS_MAX	2000

/* What the operations of a program work on: its own. */
struct world;

/**
 * struct operation - what is made to fail
 * @name: for people
 * @before: brings things to where it starts, before each attempt; may be NULL
 * @act: it. Returns 0 or a negative errno
 * @intact: after it failed, is all as it was? May be NULL
 * @after: after it passed, is its work there? May be NULL
 */
struct operation {
	const char *name;
	int (*before)(struct world *w);
	int (*act)(struct world *w);
	int (*intact)(struct world *w);
	int (*after)(struct world *w);
};

/* Memory, or the user's memory; ENOSPC is shmem's word for a lack of an inode. */
static inline bool fault_is_clean(int ret)
{
	return ret == -ENOMEM || ret == -EFAULT || ret == -ENOSPC;
}

/* @op said @ret when something failed for the @n-th time; it need not have minded. */
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
 * struct fault_module - a failure inside of the module that fault_within() named
 * @kind: of what
 * @times: in a row, so that who tries again fails, too
 */
struct fault_module {
	enum fault_kind kind;
	unsigned int times;
};

/* Has the @n-th fail, of @module or of this thread. Returns what @op said. */
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
 * Fails @op at each point of @module, in whichever thread that is, or, if it is NULL,
 * of this thread. Returns how often something failed.
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

/* For main(): without a kernel that can all is skipped. */
static inline void fault_need(void)
{
	int ret;

	/* A test's process ends without writing what is left in a buffer. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	ret = fault_init();
	if (!ret)
		return;
	ksft_print_header();
	ksft_exit_skip("the kernel cannot fail on request: %s\n", errname(ret));
}

#endif /* VFIO_MIG_LIB_FAULT_EACH_H */
