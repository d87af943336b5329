// SPDX-License-Identifier: GPL-2.0-only
/* The functions of the kernel that do not fit into a macro */
#include "device.h"

unsigned int fail_nth;
struct eventfd_ctx kernel_eventfds[EVENTFDS];

static struct task_struct user_task;
struct task_struct *current = &user_task;

/* The numbers differ, and are the same in each run. */
u64 get_random_u64(void)
{
	static u64 n;

	return ++n * 0x9e3779b97f4a7c15ull;
}

u64 ktime_get_ns(void)
{
	static u64 now;

	return now += 1000;
}

static struct work_struct *first, **last = &first;

bool queue_work(struct workqueue_struct *wq, struct work_struct *work)
{
	if (work->pending)
		return false;
	work->wq = wq;
	work->pending = true;
	work->next = NULL;
	*last = work;
	last = &work->next;
	return true;
}

static void unlink_work(struct work_struct *work)
{
	struct work_struct **at = &first;

	while (*at != work)
		at = &(*at)->next;
	*at = work->next;
	if (last == &work->next)
		last = at;
	work->pending = false;
}

bool cancel_work_sync(struct work_struct *work)
{
	bool was = work->pending;

	if (was)
		unlink_work(work);
	return was;
}

void run_work(void)
{
	struct task_struct *user = current, worker = { .flags = PF_KTHREAD };

	current = &worker;
	while (first) {
		struct work_struct *work = first;

		unlink_work(work);
		work->func(work);
	}
	current = user;
}

void flush_workqueue(struct workqueue_struct *wq)
{
	struct work_struct *work = first;

	while (work) {
		struct work_struct *next = work->next;

		if (work->wq == wq)
			flush_work(work);
		work = next;
	}
}

/* No work item runs by itself. A caller that waits for it runs it. */
bool flush_work(struct work_struct *work)
{
	bool was = cancel_work_sync(work);

	if (was)
		work->func(work);
	return was;
}

static bool fails(void)
{
	return fail_nth && !--fail_nth;
}

void *kernel_alloc(size_t size, bool zero)
{
	if (fails())
		return NULL;
	return zero ? calloc(1, size) : malloc(size);
}

struct page *alloc_page(gfp_t gfp)
{
	struct page *page;

	if (fails())
		return NULL;
	page = calloc(1, sizeof(*page));
	page->data = malloc(PAGE_SIZE);
	page->count = 1;
	/* Marks, so that a read of memory that nobody has written is noticed. */
	memset(page->data, gfp & __GFP_ZERO ? 0 : 0xa5, PAGE_SIZE);
	return page;
}

struct page *alloc_pages(gfp_t gfp, unsigned int order)
{
	unsigned int i, nr = 1U << order;
	struct page_block *block;
	struct page *page;

	if (fails())
		return NULL;
	page = calloc(1, nr * sizeof(*page) + sizeof(*block));
	block = (void *)(page + nr);
	block->live = nr;
	block->data = malloc(nr * PAGE_SIZE);
	memset(block->data, gfp & __GFP_ZERO ? 0 : 0xa5, nr * PAGE_SIZE);
	for (i = 0; i < nr; i++) {
		page[i].count = 1;
		page[i].data = block->data + i * PAGE_SIZE;
		page[i].block = block;
	}
	block->first = page;
	return page;
}

static void put_block(struct page_block *block)
{
	if (--block->live)
		return;
	free(block->data);
	free(block->first);
}

void put_page(struct page *page)
{
	assert(page->count > 0);
	if (--page->count)
		return;
	if (page->block) {
		put_block(page->block);
		return;
	}
	free(page->data);
	free(page);
}

struct page *kernel_zero_page(void)
{
	static struct page zero;

	if (!zero.data)
		zero.data = calloc(1, PAGE_SIZE);
	return &zero;
}

void xa_init_flags(struct xarray *xa, unsigned int flags)
{
	(void)flags;
	xa->entry = NULL;
	xa->size = 0;
}

void xa_destroy(struct xarray *xa)
{
	free(xa->entry);
	xa_init_flags(xa, 0);
}

void *xa_load(struct xarray *xa, unsigned long index)
{
	return index < xa->size ? xa->entry[index] : NULL;
}

void *xa_erase(struct xarray *xa, unsigned long index)
{
	void *old = xa_load(xa, index);

	if (old)
		xa->entry[index] = NULL;
	return old;
}

void *xa_cmpxchg(struct xarray *xa, unsigned long index, void *old, void *new,
		 gfp_t gfp)
{
	void *cur = xa_load(xa, index);
	unsigned long size;

	(void)gfp;
	assert(index < XARRAY_MAX);
	if (cur != old)
		return cur;
	if (fails())
		return ERR_PTR(-ENOMEM);
	if (index >= xa->size) {
		size = index + 64;
		xa->entry = realloc(xa->entry, size * sizeof(*xa->entry));
		memset(xa->entry + xa->size, 0,
		       (size - xa->size) * sizeof(*xa->entry));
		xa->size = size;
	}
	xa->entry[index] = new;
	return old;
}

void *xa_next_at(struct xarray *xa, unsigned long *index, unsigned long last_index)
{
	for (; *index < xa->size && *index <= last_index; (*index)++)
		if (xa->entry[*index])
			return xa->entry[*index];
	return NULL;
}

size_t copy_from_iter(void *to, size_t len, struct iov_iter *from)
{
	size_t n = min(min(len, from->count), from->fault);

	memcpy(to, from->from, n);
	from->from += n;
	from->count -= n;
	from->fault -= n;
	return n;
}

struct eventfd_ctx *eventfd_ctx_fdget(int fd)
{
	if (fd >= EVENTFDS)
		return ERR_PTR(-EBADF);
	kernel_eventfds[fd].refs++;
	return &kernel_eventfds[fd];
}

void eventfd_ctx_put(struct eventfd_ctx *ctx)
{
	assert(ctx->refs > 0);
	ctx->refs--;
}

void eventfd_signal(struct eventfd_ctx *ctx)
{
	assert(ctx->refs > 0);
	ctx->signals++;
}
