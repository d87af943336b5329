/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Locks, atomics, RCU and work items, for one thread. A lock knows whether it is
 * held: to take it twice, or to let go of what is not held, is a finding.
 */
#ifndef FUZZ_KERNEL_SYNC_H
#define FUZZ_KERNEL_SYNC_H

#include "basics.h"

typedef struct { int v; } atomic_t;
typedef struct { long v; } atomic_long_t;
typedef struct { long long v; } atomic64_t;

#define ATOMIC_INIT(n)			{ (n) }
#define atomic_read(a)			((a)->v)
#define atomic_long_read(a)		((a)->v)
#define atomic_long_set(a, n)		((void)((a)->v = (n)))
#define atomic_long_inc(a)		((void)(a)->v++)
#define atomic_long_dec(a)		((void)(a)->v--)
#define atomic_long_sub(n, a)		((void)((a)->v -= (n)))
#define atomic_long_add(n, a)		((void)((a)->v += (n)))
#define atomic_long_inc_return(a)	(++(a)->v)
#define atomic64_add(n, a)		((void)((a)->v += (n)))
#define atomic64_read(a)		((a)->v)

#define cmpxchg(p, old, new)						\
	({								\
		typeof(*(p)) __cur = *(p);				\
									\
		if (__cur == (old))					\
			*(p) = (new);					\
		__cur;							\
	})

#define READ_ONCE(x)		(x)
#define data_race(expr)		(expr) /* defines it, so there is no race to explain */
#define WRITE_ONCE(x, value)	((x) = (value))
#define smp_mb()		do { } while (0)
#define smp_mb__after_atomic()	do { } while (0)
#define smp_wmb()		do { } while (0)
#define cond_resched()		do { } while (0)

struct rcu_head {
	int unused;
};

#define rcu_read_lock()				do { } while (0)
#define rcu_read_unlock()			do { } while (0)
#define rcu_dereference(p)			(p)
#define rcu_access_pointer(p)			(p)
#define rcu_dereference_protected(p, c)		(p)
#define rcu_assign_pointer(p, value)		((p) = (value))
#define RCU_INIT_POINTER(p, value)		((p) = (value))
#define rcu_replace_pointer(p, value, c)				\
	({								\
		typeof(p) __old = (p);					\
									\
		(p) = (value);						\
		__old;							\
	})
#define kvfree_rcu(p, member)			kvfree(p)

struct lock_class_key {
	int unused;
};

struct mutex {
	int held;
};

typedef struct mutex spinlock_t;

static inline void mutex_init(struct mutex *m)
{
	m->held = 0;
}

static inline void mutex_lock(struct mutex *m)
{
	assert(!m->held);
	m->held = 1;
}

static inline bool mutex_trylock(struct mutex *m)
{
	if (m->held)
		return false;
	m->held = 1;
	return true;
}

static inline void mutex_unlock(struct mutex *m)
{
	assert(m->held);
	m->held = 0;
}

#define spin_lock_init		mutex_init
#define spin_lock		mutex_lock
#define spin_unlock		mutex_unlock
#define lockdep_assert_held(m)	assert((m)->held)

/* @held: number of readers, or -1 for a writer */
struct rw_semaphore {
	int held;
};

static inline void __init_rwsem(struct rw_semaphore *s, const char *name,
				struct lock_class_key *key)
{
	(void)name;
	(void)key;
	s->held = 0;
}

static inline void down_read(struct rw_semaphore *s)
{
	assert(s->held >= 0);
	s->held++;
}

static inline void up_read(struct rw_semaphore *s)
{
	assert(s->held > 0);
	s->held--;
}

static inline void down_write(struct rw_semaphore *s)
{
	assert(!s->held);
	s->held = -1;
}

static inline void up_write(struct rw_semaphore *s)
{
	assert(s->held == -1);
	s->held = 0;
}

static inline void downgrade_write(struct rw_semaphore *s)
{
	assert(s->held == -1);
	s->held = 1;
}

#define lockdep_assert_held_write(s)	assert((s)->held == -1)

static inline int down_write_killable(struct rw_semaphore *s)
{
	down_write(s);
	return 0;
}

#define down_write_nest_lock(s, nest)	down_write(s)

struct kref {
	int count;
};

static inline void kref_init(struct kref *k)
{
	k->count = 1;
}

static inline void kref_get(struct kref *k)
{
	assert(k->count > 0);
	k->count++;
}

static inline void kref_put(struct kref *k, void (*release)(struct kref *k))
{
	assert(k->count > 0);
	if (!--k->count)
		release(k);
}

typedef struct { int unused; } wait_queue_head_t;

/* Time does not pass, so each wait has already taken long enough. */
#define HZ				250
#define jiffies				0UL
#define time_after(a, b)		((long)((b) - (a)) < 0)
#define schedule_timeout_killable(n)	((void)(n))
#define schedule_timeout_idle(n)	((void)(n))
#define init_waitqueue_head(w)		((void)(w))
#define wake_up_all(w)			((void)(w))
#define ns_to_ktime(n)			(n)
#define wait_event_interruptible_hrtimeout(w, cond, timeout)		\
	((void)&(w), (void)(cond), (void)(timeout))
#define wake_up_interruptible(w)	((void)(w))

struct workqueue_struct;
struct work_struct;
typedef void (*work_func_t)(struct work_struct *work);

struct work_struct {
	work_func_t func;
	struct work_struct *next;
	struct workqueue_struct *wq;
	bool pending;
};

#define INIT_WORK(w, f)	(*(w) = (struct work_struct){ .func = (f) })

#define INIT_WORK_ONSTACK	INIT_WORK
#define destroy_work_on_stack(w)	((void)(w))

bool queue_work(struct workqueue_struct *wq, struct work_struct *work);
bool cancel_work_sync(struct work_struct *work);
bool flush_work(struct work_struct *work);
/* For the fuzz targets: runs queued work items until none is left. */
void run_work(void);
void flush_workqueue(struct workqueue_struct *wq);

#endif /* FUZZ_KERNEL_SYNC_H */
