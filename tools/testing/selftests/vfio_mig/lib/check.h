/* SPDX-License-Identifier: GPL-2.0-only */
/* Additions to the harness's checks. Their messages name the errno and the state. */
#ifndef VFIO_MIG_LIB_CHECK_H
#define VFIO_MIG_LIB_CHECK_H

#include "kselftest_harness.h"

#include "errname.h"
#include "v1.h"

#define __CHECK_RET(macro, want, call, fmt, ...) do {			\
	long __want = (want), __got = (call);				\
									\
	macro(__want, __got)						\
		TH_LOG("%s: expected %s, saw %s" fmt, #call,		\
		       errname(__want), errname(__got), ##__VA_ARGS__);	\
} while (0)

/* The call returns @want: 0 or a negative errno. */
#define EXPECT_RET(want, call)						\
	__CHECK_RET(EXPECT_EQ, want, call, "")
#define ASSERT_RET(want, call)						\
	__CHECK_RET(ASSERT_EQ, want, call, "")
/* As EXPECT_RET(). The message also says which case failed. */
#define EXPECT_RET_FOR(want, call, fmt, ...)				\
	__CHECK_RET(EXPECT_EQ, want, call, ": " fmt, ##__VA_ARGS__)
#define ASSERT_RET_FOR(want, call, fmt, ...)				\
	__CHECK_RET(ASSERT_EQ, want, call, ": " fmt, ##__VA_ARGS__)

#define __CHECK_STATE(macro, want, v1) do {				\
	long __state = v1_get_state(v1), __want = (want);		\
									\
	macro(__want, __state)						\
		TH_LOG("device_state: expected %s, saw %s",		\
		       v1_state_name(__want), __state < 0 ?		\
		       errname(__state) : v1_state_name(__state));	\
} while (0)

#define EXPECT_STATE(want, v1)	__CHECK_STATE(EXPECT_EQ, want, v1)
#define ASSERT_STATE(want, v1)	__CHECK_STATE(ASSERT_EQ, want, v1)

/* A read of the 64-bit register at @at returns @want. */
#define EXPECT_REG64(want, v1, at) do {					\
	__u64 __want = (want), __value = ~0ULL;				\
	int __at = (at);						\
									\
	EXPECT_EQ(0, v1_read64(v1, __at, &__value));			\
	EXPECT_EQ(__want, __value)					\
		TH_LOG("register at %d: expected %#llx, saw %#llx",	\
		       __at, __want, __value);				\
} while (0)

#endif /* VFIO_MIG_LIB_CHECK_H */
