// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accesses to device memory that the user maps (BAR2 of mscratch), with a failure at each
 * point that can fail. A load or store succeeds in spite of it, or raises SIGBUS. No store
 * may be lost, and the stream must contain each store.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/fault_each.h"
#include "lib/fixture.h"
#include "lib/poke.h"
#include "lib/scratch.h"

#define WINDOW_KIB	256
#define PAGE		4096UL
#define SIZE		(64UL << 20)
/* Length of a read or write, with parts of pages at both ends */
#define PIECE		(3 * PAGE)

static struct mdev mdev[2];

/**
 * struct world - data of the operations
 * @dev: an mscratch device
 * @v1: its migration region
 * @bar: its BAR2
 * @map: a mapping of BAR2, or NULL
 * @page: the next page, which no operation has accessed yet
 * @stream: data that was sent
 * @piece: buffer of a read or write by system call
 */
struct world {
	struct device dev;
	struct v1 v1;
	struct region bar;
	unsigned char *map;
	unsigned long page;
	struct buffer stream;
	unsigned char piece[PIECE];
};

FIXTURE(fault) {
	struct world w;
};

static int map(struct world *w)
{
	void *at;
	int ret = region_mmap(&w->bar, 0, SIZE, PROT_READ | PROT_WRITE,
			      MAP_SHARED, &at);

	if (!ret)
		w->map = at;
	return ret;
}

static int unmapped(struct world *w)
{
	if (w->map)
		munmap(w->map, SIZE);
	w->map = NULL;
	return 0;
}

FIXTURE_SETUP(fault)
{
	struct world *w = &self->w;

	fixture_open(_metadata, mdev[0].path, &w->dev, &w->v1);
	ASSERT_RET(0, region_open(&w->bar, &w->dev, VFIO_PCI_BAR2_REGION_INDEX));
	ASSERT_EQ(SIZE, w->bar.size);
	ASSERT_RET(0, map(w));
}

FIXTURE_TEARDOWN(fault)
{
	unmapped(&self->w);
	buffer_free(&self->w.stream);
	fixture_close(&self->w.dev, &self->w.v1);
}

static unsigned char *here(struct world *w)
{
	return w->map + w->page * PAGE;
}

static int map_again(struct world *w)
{
	unmapped(w);
	w->page++;
	return map(w);
}

static int load(struct world *w)
{
	unsigned char byte;
	int ret = poke_load(here(w), &byte);

	return ret ? ret : byte ? -EILSEQ : 0;
}

static int next_page(struct world *w)
{
	w->page++;
	return 0;
}

static int store(struct world *w)
{
	return poke_store(here(w) + 1, 0x5a);
}

static int is_stored(struct world *w)
{
	return here(w)[1] == 0x5a ? 0 : -EILSEQ;
}

/* Parts of two pages and a whole page. None of them exists yet. */
static int next_piece(struct world *w)
{
	w->page += 4;
	memset(w->piece, 0xc3, PIECE);
	return 0;
}

static int write_piece(struct world *w)
{
	return region_write_all(&w->bar, w->page * PAGE + 17, w->piece, PIECE);
}

static int read_piece(struct world *w)
{
	return region_read_all(&w->bar, w->page * PAGE + 17, w->piece, PIECE);
}

static int is_written(struct world *w)
{
	return memcmp(here(w) + 17, w->piece, PIECE) ? -EILSEQ : 0;
}

TEST_F_TIMEOUT(fault, mapping_and_access, 300)
{
	static const struct operation ops[] = {
		{ "mmap", unmapped, map, unmapped },
		{ "load", map_again, load },
		{ "store", next_page, store, NULL, is_stored },
		{ "write", next_piece, write_piece, NULL, is_written },
		{ "read", next_piece, read_piece, NULL, is_written },
	};

	fail_all(_metadata, &self->w, ops, ARRAY_SIZE(ops));
}

/* A page that was sent. The next store to it causes a fault. */
static int sent(struct world *w)
{
	ssize_t ret;

	w->page++;
	ret = poke_store(here(w), 1);
	w->stream.len = 0;
	if (!ret)
		ret = v1_drain(&w->v1, &w->stream);
	return ret < 0 ? ret : 0;
}

static int is_pending(struct world *w)
{
	__u64 bytes;
	int ret = v1_pending(&w->v1, &bytes);

	if (ret)
		return ret;
	return !bytes ? -ENODATA : is_stored(w);
}

/* A new mapping of a page that exists. The data of the page that was sent is old. */
static int sent_and_mapped_again(struct world *w)
{
	int ret = sent(w);

	unmapped(w);
	return ret ? ret : map(w);
}

TEST_F_TIMEOUT(fault, stores_in_pre_copy, 300)
{
	static const struct operation ops[] = {
		{ "store to what was sent", sent, store, NULL, is_pending },
		{ "the same by another mapping", sent_and_mapped_again, store,
		  NULL, is_pending },
		{ "store to what is new", next_page, store, NULL, is_pending },
	};

	ASSERT_RET(0, v1_set_state(&self->w.v1, V1_PRE_COPY));
	fail_all(_metadata, &self->w, ops, ARRAY_SIZE(ops));
}

/* A session that begins with written pages */
static int begin(struct world *w)
{
	return v1_set_state(&w->v1, V1_PRE_COPY);
}

static int running(struct world *w)
{
	int ret = v1_go(&w->v1, V1_RUNNING);

	next_page(w);
	return ret ? ret : store(w);
}

static int is_running(struct world *w)
{
	return v1_get_state(&w->v1) == V1_RUNNING ? 0 : -EPROTO;
}

TEST_F_TIMEOUT(fault, start_of_a_session, 300)
{
	static const struct operation op = {
		"001 to 011", running, begin, is_running
	};

	fail_all(_metadata, &self->w, &op, 1);
}

int main(int argc, char **argv)
{
	(void)argc;
	fault_need();
	scratch_create(mdev, WINDOW_KIB);
	SUITE_RUN(argv);
}
