// SPDX-License-Identifier: GPL-2.0-only
/*
 * Usage: bar-writer DEVICE STOP
 * Keeps writing to a PCI function's memory, mapped, until the file STOP appears:
 * DEVICE is the folder in sysfs of an mscratch (samples/vfio-mdev/mscratch.c). What was
 * written is kept here, in memory of another kind, and each page is compared before
 * it is written again, all of them at the end; so is the count of doorbells.
 * Prints "stores N"; a line and status 1 where something is not what it should be.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE		4096UL
#define SIZE		(64UL << 20)
/* All over the memory, and few enough that most are written again in each round. */
#define PAGES		1024UL
#define STRIDE		(SIZE / PAGES)
#define BURST		32
#define PAUSE_US	20000

enum { SCRATCH, DOORBELL, STATUS, COUNT };

static volatile uint64_t *memory;
static volatile uint32_t *registers;
static uint64_t written[PAGES];

static volatile void *map(const char *device, const char *resource, size_t size)
{
	char path[256];
	void *at;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", device, resource);
	fd = open(path, O_RDWR);
	if (fd < 0)
		err(1, "%s", path);
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		err(1, "%s: mmap", path);
	close(fd);
	return at;
}

/* The word of a page that is used: not the same in each. */
static volatile uint64_t *word(unsigned long page)
{
	return memory + (page * STRIDE + page * 8 % PAGE) / sizeof(*memory);
}

static void check(unsigned long page)
{
	uint64_t is = *word(page);

	if (is != written[page])
		errx(1, "page %lu has %#llx instead of %#llx", page,
		     (unsigned long long)is, (unsigned long long)written[page]);
}

static void ring(uint32_t bursts)
{
	registers[SCRATCH] = bursts;
	registers[DOORBELL] = 1;
	registers[STATUS] = 0;
	if (registers[COUNT] != bursts || registers[SCRATCH] != bursts)
		errx(1, "doorbell %u: count %u, scratch %u", bursts,
		     registers[COUNT], registers[SCRATCH]);
}

int main(int argc, char **argv)
{
	unsigned long long stores = 0;
	unsigned long page = 0;
	uint32_t bursts = 0;

	if (argc != 3)
		errx(2, "usage: bar-writer DEVICE STOP");
	registers = map(argv[1], "resource0", PAGE);
	memory = map(argv[1], "resource2", SIZE);
	while (access(argv[2], F_OK)) {
		for (int i = 0; i < BURST; i++) {
			page = (page * 5 + 1) % PAGES;
			check(page);
			written[page] = ++stores << 16 | page;
			*word(page) = written[page];
		}
		ring(++bursts);
		usleep(PAUSE_US);
	}
	for (page = 0; page < PAGES; page++)
		check(page);
	printf("stores %llu\n", stores);
	return 0;
}
