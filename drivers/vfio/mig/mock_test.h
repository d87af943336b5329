/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A migratable device for the KUnit tests in this directory
 *
 * The device is a structure in memory. It is not registered, so only the test uses it. The
 * tests take the session mutex only if lockdep checks that it is held, because an assertion
 * that fails ends the test's thread, and the mutex would stay locked.
 */
#ifndef VFIO_MIG_MOCK_TEST_H
#define VFIO_MIG_MOCK_TEST_H

#include <kunit/test.h>
#include <linux/vfio.h>

#include "load.h"
#include "machine.h"
#include "mig.h"
#include "pages.h"
#include "save.h"
#include "window.h"

#define MOCK_PAGES	1000
#define MOCK_CONTROL	100
/* The data section is large enough for all data of a test in one iteration. */
#define MOCK_WINDOW	SZ_256K

/* Counts calls of the driver's callbacks, and has their return values. */
struct mock {
	struct vfio_mig mig;
	struct vfio_device vdev;
	struct device dev;
	struct vfio_mig_pages pages;
	struct vfio_mig_budget budget;
	bool has_pages;
	int quiesces;
	int stops;
	int starts;
	int runs;
	int resets;
	int stop_ret;
	enum vfio_mig_stop_reason reason;
	bool run_breaks;
	struct vfio_mig_chunk *chunk;
	u8 control[MOCK_CONTROL];
};

static inline struct mock *mock_of(struct vfio_device *vdev)
{
	return container_of(vdev, struct mock, vdev);
}

static inline int mock_quiesce(struct vfio_device *vdev)
{
	mock_of(vdev)->quiesces++;
	return 0;
}

static inline void mock_start(struct vfio_device *vdev)
{
	mock_of(vdev)->starts++;
}

static inline int mock_stop(struct vfio_device *vdev, enum vfio_mig_stop_reason reason)
{
	struct mock *m = mock_of(vdev);

	m->reason = reason;
	if (!m->stop_ret)
		m->stops++;
	return m->stop_ret;
}

static inline void mock_run(struct vfio_device *vdev)
{
	struct mock *m = mock_of(vdev);

	m->runs++;
	if (m->run_breaks)
		WRITE_ONCE(m->mig.broken, true);
}

static inline void mock_reset(struct vfio_device *vdev)
{
	mock_of(vdev)->resets++;
}

static inline size_t mock_save(struct vfio_device *vdev, void *buf)
{
	memcpy(buf, mock_of(vdev)->control, MOCK_CONTROL);
	return MOCK_CONTROL;
}

/* The first byte of a valid state is never 0xff. */
static inline void *mock_prepare(struct vfio_device *vdev, u32 version,
				 const void *buf, size_t len)
{
	void *copy;

	if (len != MOCK_CONTROL || *(const u8 *)buf == 0xff)
		return ERR_PTR(-EINVAL);
	copy = kmemdup(buf, len, GFP_KERNEL);
	return copy ? copy : ERR_PTR(-ENOMEM);
}

static inline void mock_apply(struct vfio_device *vdev, void *prepared)
{
	memcpy(mock_of(vdev)->control, prepared, MOCK_CONTROL);
	kfree(prepared);
}

static const struct vfio_mig_ops mock_ops = {
	.stop = mock_stop,
	.run = mock_run,
	.reset = mock_reset,
	.save = mock_save,
	.prepare = mock_prepare,
	.apply = mock_apply,
};

/* As mock_ops, for a device that can be quiesced */
static const struct vfio_mig_ops mock_p2p_ops __maybe_unused = {
	.quiesce = mock_quiesce,
	.stop = mock_stop,
	.start = mock_start,
	.run = mock_run,
	.reset = mock_reset,
	.save = mock_save,
	.prepare = mock_prepare,
	.apply = mock_apply,
};

/* Makes a transition with the session mutex held, as a front end does. */
static inline int mock_enter(struct mock *m, enum vfio_mig_state to)
{
	int ret;

	mutex_lock(&m->mig.lock);
	ret = vfio_mig_enter(&m->mig, to, to, VFIO_MIG_OWNER_V1);
	mutex_unlock(&m->mig.lock);
	return ret;
}

static inline u64 mock_count(struct mock *m, enum vfio_mig_counter counter)
{
	return atomic64_read(&m->mig.counters[counter]);
}

/* Fills a page of the paged state with @value. */
static inline void mock_fill(struct kunit *test, struct mock *m, pgoff_t index,
			     u8 value)
{
	struct page *page = vfio_mig_page_write_begin(&m->pages, index);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, page);
	memset(page_address(page), value, PAGE_SIZE);
	vfio_mig_page_write_end(&m->pages, index);
}

static inline void mock_destroy(struct mock *m)
{
	if (m->mig.window) {
		vfio_mig_machine_rest(&m->mig);
		vfio_mig_window_destroy(m->mig.window);
	}
	vfio_mig_chunk_free(m->chunk);
	if (m->has_pages)
		vfio_mig_pages_destroy(&m->pages);
}

/* A device that runs. mock_destroy() is for the suite's exit. */
static inline int mock_init(struct mock *m)
{
	struct vfio_mig_window *window;
	int ret;

	m->dev.init_name = "mock";
	m->vdev.dev = &m->dev;
	m->budget.limit = 2 * MOCK_PAGES;
	ret = vfio_mig_pages_init(&m->pages, MOCK_PAGES, &m->budget);
	if (ret)
		return ret;
	m->has_pages = true;

	mutex_init(&m->mig.lock);
	spin_lock_init(&m->mig.reset_lock);
	vfio_mig_irqs_init(&m->mig.irqs);
	ratelimit_state_init(&m->mig.log, DEFAULT_RATELIMIT_INTERVAL,
			     DEFAULT_RATELIMIT_BURST);
	m->mig.vdev = &m->vdev;
	m->mig.desc = (struct vfio_mig_desc) {
		.type = "mock",
		.control_version = 1,
		.control_max = MOCK_CONTROL,
		.ops = &mock_ops,
		.pages = &m->pages,
		.protocols = VFIO_MIG_PROTOCOL_V1 | VFIO_MIG_PROTOCOL_V2,
	};
	m->mig.state = VFIO_MIG_STOP;

	window = vfio_mig_window_create(MOCK_WINDOW);
	if (IS_ERR(window))
		return PTR_ERR(window);
	m->mig.window = window;
	m->chunk = vfio_mig_chunk_alloc(&m->mig);
	if (!m->chunk)
		return -ENOMEM;
	vfio_mig_machine_start(&m->mig);
	m->mig.opened = true;
	return 0;
}

/* Init and exit of a suite whose tests have a device as their priv. */
static inline int mock_suite_init(struct kunit *test)
{
	struct mock *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);

	if (!m)
		return -ENOMEM;
	test->priv = m;
	return mock_init(m);
}

static inline void mock_suite_exit(struct kunit *test)
{
	if (test->priv)
		mock_destroy(test->priv);
}

#endif /* VFIO_MIG_MOCK_TEST_H */
