// SPDX-License-Identifier: GPL-2.0-only
/* Random operations on an open device */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exercise.h"
#include "nvme.h"
#include "poke.h"
#include "stream.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define ARG_BYTES	4096
#define STREAM_MAX	(1U << 20)

/* Saves a state, which random operations change and load later. */
static int save(struct exercised *x)
{
	int ret = v1_save(&x->end.v1, &x->stream);

	if (ret)
		return ret;
	if (x->stream.len > STREAM_MAX)
		x->stream.len = STREAM_MAX;
	return v1_set_state(&x->end.v1, V1_RUNNING);
}

int exercised_open(struct exercised *x, const char *path)
{
	int ret;

	memset(x, 0, sizeof(*x));
	ret = endpoint_open(&x->end, path);
	if (ret)
		return ret;
	x->is_nvme = !nvme_probe(&x->end.dev);
	ret = region_open(&x->bar, &x->end.dev, VFIO_PCI_BAR0_REGION_INDEX);
	if (!ret)
		ret = guest_create(&x->guest, 1 << 20);
	if (!ret)
		ret = guest_attach(&x->guest, &x->end.dev);
	return ret ? ret : save(x);
}

void actor_init(struct actor *a, struct exercised *devices, int nr,
		unsigned int seed, struct exercise_counts *counts)
{
	int i;

	memset(a, 0, sizeof(*a));
	a->devices = devices;
	a->nr = nr;
	a->seed = seed;
	a->counts = counts;
	for (i = 0; i < nr; i++) {
		a->own[i] = devices[i].end;
		a->own[i].v2.data = -1;
		a->own[i].v1.map = NULL;
	}
}

void actor_end(struct actor *a)
{
	int i;

	for (i = 0; i < a->nr; i++) {
		v1_unmap(&a->own[i].v1);
		v2_close(&a->own[i].v2);
	}
}

/* Closes a file that an ioctl created. */
static void drop_file(unsigned int nr, const __u32 *arg, int ret)
{
	const struct vfio_device_feature_mig_state *mig = (const void *)(arg + 2);

	if (ret < 0)
		return;
	if (nr == VFIO_GROUP_GET_DEVICE_FD && ret > 2)
		close(ret);
	if (nr == VFIO_DEVICE_FEATURE && arg[1] & VFIO_DEVICE_FEATURE_SET &&
	    (arg[1] & VFIO_DEVICE_FEATURE_MASK) ==
	    VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE &&
	    !(arg[1] & VFIO_DEVICE_FEATURE_PROBE) && mig->data_fd > 2)
		close(mig->data_fd);
}

/* Any ioctl of VFIO or iommufd, on any of the files */
static void random_ioctl(struct actor *a, struct exercised *x)
{
	const int fds[] = {
		x->end.dev.fd, x->end.dev.fd, x->end.dev.group,
		x->end.dev.container, x->end.dev.iommufd,
	};
	static const __u32 sizes[] = { 0, 4, 8, 16, 20, 24, 32, 40, 64, 4096, ~0U };
	__u32 arg[ARG_BYTES / 4] = { 0 };
	unsigned int nr, i, fd;
	int ret;

	fd = actor_dice(a, ARRAY_SIZE(fds));
	nr = _IO(VFIO_TYPE, VFIO_BASE + actor_dice(a, 24));
	if (fd == 4 && actor_dice(a, 4))
		nr = _IO(';', 0x80 + actor_dice(a, 16));
	arg[0] = sizes[actor_dice(a, ARRAY_SIZE(sizes))];
	for (i = 1; i < 16; i++)
		arg[i] = actor_dice(a, 3) ? actor_dice(a, 8) : actor_number(a);
	ret = ioctl(fds[fd], nr, actor_dice(a, 16) ? arg : (void *)actor_number(a));
	exercise_did(&a->counts->ioctls);
	drop_file(nr, arg, ret);
}

/* Any feature with any flags, in a buffer that may be too large or too small */
static void feature(struct actor *a, struct exercised *x)
{
	__u32 arg[32] = { 0 };
	unsigned int i;
	int ret;

	arg[0] = actor_dice(a, 4) ? 8 + 8 * actor_dice(a, 8) : actor_number(a);
	arg[1] = actor_dice(a, 14) | actor_dice(a, 8) << 16;
	for (i = 2; i < ARRAY_SIZE(arg); i++)
		arg[i] = actor_dice(a, 8);
	ret = ioctl(x->end.dev.fd, VFIO_DEVICE_FEATURE, arg);
	exercise_did(&a->counts->ioctls);
	drop_file(VFIO_DEVICE_FEATURE, arg, ret);
}

static void interrupts(struct actor *a, struct exercised *x)
{
	struct {
		struct vfio_irq_set set;
		__s32 fds[16];
	} arg = {
		.set.argsz = actor_dice(a, 8) ? sizeof(arg) : actor_number(a),
		.set.flags = 1U << actor_dice(a, 3) | 8U << actor_dice(a, 3),
		.set.index = actor_dice(a, 6),
		.set.start = actor_dice(a, 4) ? 0 : actor_number(a),
		.set.count = actor_dice(a, 4) ? actor_dice(a, 17) : actor_number(a),
	};
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(arg.fds); i++)
		arg.fds[i] = actor_dice(a, 4) ? fd : (int)actor_dice(a, 8) - 1;
	ioctl(x->end.dev.fd, VFIO_DEVICE_SET_IRQS, &arg);
	exercise_did(&a->counts->ioctls);
	if (fd >= 0)
		close(fd);
}

/* An offset at the start or end of something, or any other offset */
static __u64 place(struct actor *a, const struct region *r)
{
	switch (actor_dice(a, 4)) {
	case 0:
		return actor_dice(a, 64);
	case 1:
		return r->size - actor_dice(a, 16);
	case 2:
		return actor_dice(a, 2) ? 0x1000 + actor_dice(a, 32) : actor_number(a);
	default:
		return actor_number(a) % (r->size ? r->size : 1);
	}
}

static void accesses(struct actor *a, struct exercised *x)
{
	unsigned char buf[GUEST_PAGE];
	struct region r;
	unsigned int i;
	size_t len;

	if (region_open(&r, &x->end.dev,
			actor_dice(a, x->end.dev.info.num_regions + 2)))
		return;
	exercise_did(&a->counts->ioctls);
	for (i = 0; i < sizeof(buf); i += sizeof(__u32))
		memcpy(buf + i, &(__u32){ actor_number(a) }, sizeof(__u32));
	for (i = 0; i < 32; i++) {
		len = actor_dice(a, 4) ? 1U << actor_dice(a, 4) :
					 actor_dice(a, sizeof(buf));
		if (actor_dice(a, 2))
			region_read(&r, place(a, &r), buf, len);
		else
			region_write(&r, place(a, &r), buf, len);
		exercise_did(&a->counts->accesses);
	}
}

static void touch(struct actor *a, unsigned char *map, size_t len)
{
	unsigned char byte;
	int i;

	for (i = 0; i < 32; i++) {
		if (actor_dice(a, 2))
			poke_load(map + actor_number(a) % len, &byte);
		else
			poke_store(map + actor_number(a) % len, i);
	}
}

/* Maps a region, accesses it, splits and moves the mapping, and unmaps it. */
static void mappings(struct actor *a, struct exercised *x)
{
	size_t len = (1 + actor_dice(a, 32)) * GUEST_PAGE;
	struct region r;
	void *map, *to;
	__u64 at;

	if (region_open(&r, &x->end.dev,
			actor_dice(a, x->end.dev.info.num_regions)))
		return;
	exercise_did(&a->counts->ioctls);
	at = actor_dice(a, 2) ? actor_dice(a, 20) * GUEST_PAGE :
				place(a, &r) & ~(GUEST_PAGE - 1);
	exercise_did(&a->counts->mappings);
	if (region_mmap(&r, at, len, PROT_READ | PROT_WRITE,
			actor_dice(a, 8) ? MAP_SHARED : MAP_PRIVATE, &map))
		return;
	touch(a, map, len);
	if (actor_dice(a, 2)) {
		mprotect(map, GUEST_PAGE, PROT_READ);
		mprotect(map, len, PROT_READ | PROT_WRITE);
	}
	if (!actor_dice(a, 4))
		madvise(map, len, MADV_DONTNEED);
	to = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mremap(map, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) != MAP_FAILED)
		map = to;
	else
		munmap(to, len);
	touch(a, map, len);
	/* Two calls, because the mapping may be split. */
	munmap(map, GUEST_PAGE);
	if (len > GUEST_PAGE)
		munmap(map + GUEST_PAGE, len - GUEST_PAGE);
}

static void v1_session(struct actor *a, struct endpoint *e)
{
	static const __u32 states[] = { 0, 1, 2, 3, 4, 2, 3, 1, 6, 7, ~0U };
	struct v1 *v1 = &e->v1;
	unsigned char buf[512];
	__u64 value;
	int i;

	v1_set_state(v1, states[actor_dice(a, ARRAY_SIZE(states))]);
	if (!actor_dice(a, 4)) {
		v1_unmap(v1);
		v1_map(v1);
		exercise_did(&a->counts->mappings);
	}
	for (i = actor_dice(a, 6); i; i--) {
		v1_pending(v1, &value);
		v1_open_iteration(v1);
		v1_read_data(v1, actor_dice(a, v1->window), buf, sizeof(buf));
		v1_write_data(v1, actor_dice(a, v1->window), buf, sizeof(buf));
		if (v1->map)
			touch(a, v1->map, v1->window);
		if (!actor_dice(a, 4))
			v1_write_data_size(v1, actor_number(a));
	}
	a->counts->accesses += 8;
}

static void v2_session(struct actor *a, struct endpoint *e)
{
	struct pollfd p = { .events = POLLIN | POLLOUT };
	struct v2_precopy_info info;
	unsigned char buf[GUEST_PAGE] = { 0 };
	__u64 size;
	int i;

	if (!e->has_v2)
		return;
	v2_set_state(&e->v2, actor_dice(a, V2_NR_STATES + 1));
	v2_get_state(&e->v2);
	v2_data_size(&e->v2, &size);
	a->counts->ioctls += 3;
	if (e->v2.data < 0)
		return;
	for (i = actor_dice(a, 8); i; i--) {
		p.fd = e->v2.data;
		poll(&p, 1, 0);
		v2_read(&e->v2, buf, actor_dice(a, sizeof(buf)));
		v2_write(&e->v2, buf, actor_dice(a, 64));
		v2_precopy_info(&e->v2, &info);
	}
	if (!actor_dice(a, 4))
		v2_close(&e->v2);
}

/* Changes bytes of a stream. Some of the changed chunks get correct checksums. */
static void mutate(struct actor *a, struct buffer *s)
{
	struct chunk c;
	int i;

	for (i = actor_dice(a, 4); i; i--) {
		if (stream_chunk(s, actor_dice(a, 4), &c) || !c.length)
			continue;
		((unsigned char *)c.payload)[actor_dice(a, c.length)] =
			actor_number(a);
		chunk_sum(&c);
	}
	switch (actor_dice(a, 6)) {
	case 0:
		s->len = actor_dice(a, s->len + 1);
		break;
	case 1:
		if (s->len)
			s->data[actor_dice(a, s->len)] ^= 1U << actor_dice(a, 8);
		break;
	case 2:
		if (stream_count(s, 0) > 2)
			stream_swap(s, 0, 1);
		break;
	case 3:
		for (i = 0; i < 256 && (size_t)i < s->len; i++)
			s->data[i] = actor_number(a);
		break;
	default:
		break;
	}
}

/* Uses read() and write(), because a mapping loses its pages if another thread ends the session. */
static void stream(struct actor *a, struct exercised *x, struct endpoint *e)
{
	void *map = e->v1.map;
	struct buffer s = { 0 };

	e->v1.map = NULL;
	e->by_v2 = e->has_v2 && actor_dice(a, 2);
	buffer_copy(&s, &x->stream);
	mutate(a, &s);
	exercise_did(&a->counts->streams);
	if (!endpoint_resume(e) || actor_dice(a, 2))
		endpoint_give(e, &s);
	if (actor_dice(a, 4))
		endpoint_run(e);
	e->v1.map = map;
	buffer_free(&s);
}

/* Unmaps guest memory and maps it again, also a part of it. */
static void memory(struct actor *a, struct exercised *x)
{
	struct guest *g = &x->guest;
	size_t at = actor_dice(a, g->size / GUEST_PAGE) * GUEST_PAGE;

	device_unmap(&x->end.dev, g->iova, g->size);
	usleep(actor_dice(a, 500));
	guest_attach(g, &x->end.dev);
	device_map(&x->end.dev, g->mem + at, (1ULL << 32) + at, GUEST_PAGE);
	device_unmap(&x->end.dev, (1ULL << 32) + at, GUEST_PAGE);
	a->counts->ioctls += 4;
}

static void resets(struct actor *a, struct exercised *x)
{
	device_reset(&x->end.dev);
	exercise_did(&a->counts->ioctls);
}

/* Opens the device's file again, and reads all files of its directory in sysfs. */
static void files(struct actor *a, struct exercised *x)
{
	char path[PATH_MAX + 300], text[256];
	struct dirent *entry;
	int fd = dup(x->end.dev.fd);
	DIR *dir;

	(void)a;
	if (fd >= 0)
		close(fd);
	snprintf(path, sizeof(path), "%s/migration", x->end.dev.path);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/migration/%s",
			 x->end.dev.path, entry->d_name);
		fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, text, sizeof(text)) < 0)
			errno = 0;
		close(fd);
	}
	closedir(dir);
}

/* Does one operation on one device. */
void actor_act(struct actor *a)
{
	int i = actor_dice(a, a->nr);
	struct exercised *x = &a->devices[i];
	struct endpoint *e = &a->own[i];

	switch (actor_dice(a, 22)) {
	case 0 ... 3:
		random_ioctl(a, x);
		break;
	case 4:
		feature(a, x);
		break;
	case 5:
		interrupts(a, x);
		break;
	case 6 ... 7:
		accesses(a, x);
		break;
	case 8 ... 9:
		mappings(a, x);
		break;
	case 10 ... 11:
		v1_session(a, e);
		break;
	case 12:
		v2_session(a, e);
		break;
	case 13:
		stream(a, x, e);
		break;
	case 14 ... 16:
		exercise_nvme(a, x);
		break;
	case 17:
		memory(a, x);
		break;
	case 18:
		resets(a, x);
		break;
	case 19 ... 20:
		exercise_slow(a, x, e);
		break;
	default:
		files(a, x);
		break;
	}
}
