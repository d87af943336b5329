/* SPDX-License-Identifier: GPL-2.0-only */
/* Types, numbers, bits, bytes and strings, as the kernel spells them. */
#ifndef FUZZ_KERNEL_BASICS_H
#define FUZZ_KERNEL_BASICS_H

#include <assert.h>
#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <linux/types.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
/* The kernel prints both by %llu. */
typedef unsigned long long u64;
typedef signed int s32;
typedef unsigned long pgoff_t;
typedef u64 dma_addr_t;
typedef unsigned int gfp_t;

#define U32_MAX		UINT32_MAX
#define U64_MAX		UINT64_MAX
#define SZ_4K		0x1000
#define SZ_16K		0x4000
#define SZ_32K		0x8000
#define SZ_64K		0x10000
#define SZ_128K		0x20000
#define SZ_1M		0x100000
#define SZ_16M		0x1000000
#define SZ_64M		0x4000000
#define SZ_1G		0x40000000
#define NSEC_PER_SEC	1000000000L
#define NSEC_PER_USEC	1000L
#define NSEC_PER_MSEC	1000000L
#define SECTOR_SHIFT	9

#define IS_ENABLED(option)	0
#define KERNEL_VERSION(a, b, c)	((a) << 16 | (b) << 8 | (c))
#define LINUX_VERSION_CODE	KERNEL_VERSION(7, 3, 0)

#define ERESTARTSYS	512

#define __user
#define __force
#define __rcu
#define __iomem
#define __init
#define __exit
#define __packed		__attribute__((packed))
#define __aligned(n)		__attribute__((aligned(n)))
#define __printf(a, b)
#define fallthrough		__attribute__((fallthrough))
#define likely(x)		(x)
#define unlikely(x)		(x)
#define EXPORT_SYMBOL_GPL(x)	static_assert(1, "")
#define noinline_for_stack	__attribute__((noinline))
#define module_param(name, type, perm)	static_assert(1, "")
#define MODULE_PARM_DESC(name, text)	static_assert(1, "")

#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))
#define struct_size(p, member, n) \
	(sizeof(*(p)) + sizeof((p)->member[0]) * (n))
#define struct_group(name, ...)						\
	union {								\
		struct { __VA_ARGS__ };					\
		struct { __VA_ARGS__ } name;				\
	}
#define BUILD_BUG_ON(cond)	assert(!(cond))
/* A warning of the kernel is a finding. */
#define WARN_ON_ONCE(cond)						\
	({								\
		bool __warn = (cond);					\
									\
		if (__warn) {						\
			fprintf(stderr, "WARN_ON_ONCE(%s)\n", #cond);	\
			abort();					\
		}							\
		__warn;							\
	})

#define min(a, b)		((a) < (b) ? (a) : (b))
#define max(a, b)		((a) > (b) ? (a) : (b))
#define check_add_overflow(a, b, sum)	__builtin_add_overflow(a, b, sum)
#define min3(a, b, c)		min(min(a, b), c)
#define min_t(t, a, b)		min((t)(a), (t)(b))
#define clamp_t(t, v, lo, hi)	min((t)(hi), max((t)(v), (t)(lo)))
#define max_t(t, a, b)		max((t)(a), (t)(b))
#define ALIGN(x, a)		(((x) + (a) - 1) & ~((typeof(x))(a) - 1))
#define ALIGN_DOWN(x, a)		round_down(x, a)
#define PTR_ALIGN(p, a)		((typeof(p))ALIGN((unsigned long)(p), (a)))
#define round_up(x, a)		ALIGN(x, (typeof(x))(a))
#define round_down(x, a)	((x) & ~((typeof(x))(a) - 1))
#define ilog2(n)		(31 - __builtin_clz(n))
#define swap(a, b)							\
	do { typeof(a) __tmp = (a); (a) = (b); (b) = __tmp; } while (0)
#define DIV_ROUND_UP(n, d)	(((n) + (d) - 1) / (d))
#define DIV_ROUND_UP_ULL(n, d)	DIV_ROUND_UP((u64)(n), d)
#define div64_u64(a, b)		((a) / (b))
#define lower_32_bits(x)	((u32)(x))
#define upper_32_bits(x)	((u32)((u64)(x) >> 32))

#define cpu_to_le16		htole16
#define cpu_to_le32		htole32
#define cpu_to_le64		htole64
#define le16_to_cpu		le16toh
#define le32_to_cpu		le32toh
#define le64_to_cpu		le64toh

#define get_unaligned(type, p)						\
	({								\
		type __value;						\
									\
		memcpy(&__value, (p), sizeof(__value));			\
		__value;						\
	})
#define put_unaligned(type, value, p)					\
	do {								\
		type __value = (value);					\
									\
		memcpy((p), &__value, sizeof(__value));			\
	} while (0)
#define get_unaligned_le16(p)	get_unaligned(u16, p)
#define get_unaligned_le32(p)	get_unaligned(u32, p)
#define put_unaligned_le16(v, p) put_unaligned(u16, v, p)
#define put_unaligned_le32(v, p) put_unaligned(u32, v, p)
#define put_unaligned_le64(v, p) put_unaligned(u64, v, p)

#define BITS_PER_LONG		64
#define BIT(n)			(1UL << (n))
#define hweight_long(w)		__builtin_popcountl(w)
#define BIT_ULL(n)		(1ULL << (n))
#define GENMASK(h, l)		(~0UL >> (63 - (h)) & ~0UL << (l))
#define BITS_TO_LONGS(n)	DIV_ROUND_UP(n, BITS_PER_LONG)
#define DECLARE_BITMAP(name, n)	unsigned long name[BITS_TO_LONGS(n)]
#define __ffs(x)		((unsigned int)__builtin_ctzl(x))
#define clear_bit		__clear_bit
#define set_bit			__set_bit
#define test_and_clear_bit	__test_and_clear_bit
#define test_and_set_bit	__test_and_set_bit
#define for_each_set_bit(bit, map, n)					\
	for ((bit) = find_next_bit((map), (n), 0); (bit) < (n);		\
	     (bit) = find_next_bit((map), (n), (bit) + 1))

static inline unsigned long roundup_pow_of_two(unsigned long n)
{
	unsigned long pow = 1;

	while (pow < n)
		pow <<= 1;
	return pow;
}

static inline bool test_bit(unsigned long nr, const unsigned long *map)
{
	return map[nr / BITS_PER_LONG] >> (nr % BITS_PER_LONG) & 1;
}

static inline void __set_bit(unsigned long nr, unsigned long *map)
{
	map[nr / BITS_PER_LONG] |= BIT(nr % BITS_PER_LONG);
}

static inline void __clear_bit(unsigned long nr, unsigned long *map)
{
	map[nr / BITS_PER_LONG] &= ~BIT(nr % BITS_PER_LONG);
}

static inline void __assign_bit(unsigned long nr, unsigned long *map,
				unsigned long value)
{
	if (value)
		__set_bit(nr, map);
	else
		__clear_bit(nr, map);
}

static inline bool __test_and_set_bit(unsigned long nr, unsigned long *map)
{
	bool was = test_bit(nr, map);

	__set_bit(nr, map);
	return was;
}

static inline bool __test_and_clear_bit(unsigned long nr, unsigned long *map)
{
	bool was = test_bit(nr, map);

	__clear_bit(nr, map);
	return was;
}

static inline unsigned long find_next_bit(const unsigned long *map,
					  unsigned long n, unsigned long from)
{
	while (from < n && !test_bit(from, map))
		from++;
	return min(from, n);
}

static inline bool bitmap_empty(const unsigned long *map, unsigned long n)
{
	return find_next_bit(map, n, 0) == n;
}

static inline void bitmap_zero(unsigned long *map, unsigned long n)
{
	memset(map, 0, BITS_TO_LONGS(n) * sizeof(long));
}

/* Returns the first byte that differs from @c, or NULL. */
static inline void *memchr_inv(const void *p, int c, size_t n)
{
	const u8 *byte = p;

	for (; n; n--, byte++)
		if (*byte != (u8)c)
			return (void *)byte;
	return NULL;
}

static inline ssize_t strscpy(char *to, const char *from, size_t size)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
	return len;
}

/* Only the size of the buffer matters here, because libc lacks formats such as %pUb. */
static inline int kernel_snprintf(char *to, size_t size, const char *fmt, ...)
{
	(void)fmt;
	memset(to, 'x', size - 1);
	to[size - 1] = '\0';
	return size - 1;
}

#define snprintf		kernel_snprintf

#define MAX_ERRNO		4095
#define IS_ERR_VALUE(x)		((unsigned long)(x) >= (unsigned long)-MAX_ERRNO)

static inline void *ERR_PTR(long error)
{
	return (void *)error;
}

static inline long PTR_ERR(const void *p)
{
	return (long)p;
}

static inline bool IS_ERR(const void *p)
{
	return IS_ERR_VALUE(p);
}

static inline bool IS_ERR_OR_NULL(const void *p)
{
	return !p || IS_ERR(p);
}

static inline int PTR_ERR_OR_ZERO(const void *p)
{
	return IS_ERR(p) ? PTR_ERR(p) : 0;
}

u64 get_random_u64(void);
u64 ktime_get_ns(void);

#define local_clock		ktime_get_ns

static inline void usleep_range(unsigned long from, unsigned long to)
{
	(void)from;
	(void)to;
}

#endif /* FUZZ_KERNEL_BASICS_H */
