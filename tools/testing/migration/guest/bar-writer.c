// SPDX-License-Identifier: GPL-2.0-only
/*
 * Usage: bar-writer DEVICE STOP [memory]
 * Keeps writing to a PCI function's memory, mapped, until the file STOP appears:
 * DEVICE is the folder in sysfs of an mscratch (samples/vfio-mdev/mscratch.c). It
 * stores with each instruction that compilers and C libraries use, because a guest
 * may use any. What was written is kept here, in memory of another kind, and each
 * place is compared before it is written again, all of them at the end; so is the
 * count of doorbells. With "memory" the device has no doorbell. Prints "stores N of K
 * kinds"; a line and status 1 where something is not what it should be.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE		4096UL
#define SIZE		(64UL << 20)
/* All over the memory, and few enough that most are written again in each round. */
#define PLACES		512UL
#define STRIDE		(SIZE / PLACES)
/* A place is around the boundary of two pages, which is in its middle. */
#define PLACE		512UL
#define BOUNDARY	(PLACE / 2)
#define BURST		16
#define PAUSE_US	20000

enum { SCRATCH, DOORBELL, STATUS, COUNT };

static char *memory;
static volatile uint32_t *registers;
static char written[PLACES][PLACE];

#define STORE_BY(name, load, store)					\
	static void name(void *to, const void *from)			\
	{								\
		asm volatile(load "\n\t" store : : "r" (to), "r" (from)	\
			     : "rax", "xmm0", "memory");		\
	}

STORE_BY(movb, "movb (%1), %%al", "movb %%al, (%0)")
STORE_BY(movw, "movw (%1), %%ax", "movw %%ax, (%0)")
STORE_BY(movl, "movl (%1), %%eax", "movl %%eax, (%0)")
STORE_BY(movq, "movq (%1), %%rax", "movq %%rax, (%0)")
STORE_BY(movnti, "movq (%1), %%rax", "movnti %%rax, (%0)")
STORE_BY(xchg, "movq (%1), %%rax", "xchgq %%rax, (%0)")
STORE_BY(movlps, "movlps (%1), %%xmm0", "movlps %%xmm0, (%0)")
STORE_BY(movhps, "movhps (%1), %%xmm0", "movhps %%xmm0, (%0)")
STORE_BY(movsd, "movsd (%1), %%xmm0", "movsd %%xmm0, (%0)")
STORE_BY(movups, "movups (%1), %%xmm0", "movups %%xmm0, (%0)")
STORE_BY(movaps, "movups (%1), %%xmm0", "movaps %%xmm0, (%0)")
STORE_BY(movdqu, "movdqu (%1), %%xmm0", "movdqu %%xmm0, (%0)")
STORE_BY(movntps, "movups (%1), %%xmm0", "movntps %%xmm0, (%0)")
STORE_BY(movntdq, "movdqu (%1), %%xmm0", "movntdq %%xmm0, (%0)")
STORE_BY(vmovups, "vmovups (%1), %%ymm0", "vmovups %%ymm0, (%0)")
STORE_BY(vmovntdq, "vmovdqu (%1), %%ymm0", "vmovntdq %%ymm0, (%0)")

#define REP	100

static void rep_movsb(void *to, const void *from)
{
	unsigned long n = REP;

	asm volatile("rep movsb" : "+D" (to), "+S" (from), "+c" (n) : : "memory");
}

static void rep_movsq(void *to, const void *from)
{
	unsigned long n = REP / 8;

	asm volatile("rep movsq" : "+D" (to), "+S" (from), "+c" (n) : : "memory");
}

static void rep_stosb(void *to, const void *from)
{
	unsigned long n = REP;

	asm volatile("rep stosb" : "+D" (to), "+c" (n)
		     : "a" (*(const char *)from) : "memory");
}

static void exchange16(void *to, const void *from)
{
	const uint64_t *new = from;
	volatile uint64_t *is = to;
	uint64_t low = is[0], high = is[1];

	asm volatile("1: lock cmpxchg16b (%2)\n\tjnz 1b"
		     : "+a" (low), "+d" (high)
		     : "r" (to), "b" (new[0]), "c" (new[1]) : "memory", "cc");
}

static void by_memcpy(void *to, const void *from)
{
	memcpy(to, from, REP);
}

static const struct store {
	void (*store)(void *to, const void *from);
	unsigned int at;	/* in the place */
	unsigned int len;
	int avx;		/* it needs that */
	int same;		/* it stores one byte, over and over */
} stores[] = {
	{ movb, 3, 1 }, { movw, 6, 2 }, { movl, 12, 4 }, { movq, 24, 8 },
	{ movq, BOUNDARY - 3, 8 },
	{ movnti, 40, 8 }, { movnti, BOUNDARY - 5, 8 }, { xchg, 48, 8 },
	{ movlps, 60, 8 }, { movlps, BOUNDARY - 4, 8 }, { movhps, 68, 8 },
	{ movsd, 72, 8 },
	{ movups, 83, 16 }, { movups, BOUNDARY - 8, 16 }, { movaps, 112, 16 },
	{ movdqu, 131, 16 }, { movntps, 160, 16 }, { movntdq, 176, 16 },
	{ exchange16, 208, 16 }, { exchange16, BOUNDARY, 16 },
	{ vmovups, 300, 32, 1 }, { vmovups, BOUNDARY - 16, 32, 1 },
	{ vmovntdq, 320, 32, 1 },
	{ rep_movsb, 361, REP }, { rep_movsb, BOUNDARY - 50, REP },
	{ rep_movsq, BOUNDARY - 52, REP / 8 * 8 },
	{ rep_stosb, BOUNDARY - 30, REP, 0, 1 },
	{ by_memcpy, BOUNDARY - 70, REP }, { by_memcpy, 400, REP },
};

#define KINDS	(sizeof(stores) / sizeof(*stores))

static void *map(const char *device, const char *resource, size_t size)
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

static char *place(unsigned long i)
{
	return memory + i * STRIDE + PAGE - BOUNDARY;
}

static void check(unsigned long i)
{
	const char *is = place(i);
	unsigned int at;

	for (at = 0; at < PLACE; at++)
		if (is[at] != written[i][at])
			errx(1, "byte %u of place %lu is %#hhx instead of %#hhx", at, i,
			     is[at], written[i][at]);
}

/* Stores a value that depends on @nr in each word, so that it differs each time. */
static void store(unsigned long i, const struct store *s, uint64_t nr)
{
	uint64_t from[REP / 8 + 1];
	unsigned int n;

	for (n = 0; n < sizeof(from) / 8; n++)
		from[n] = (nr << 16 | i) * 0x9e3779b97f4a7c15ULL + n;
	if (s->same)
		memset(from, nr, sizeof(from));
	s->store(place(i) + s->at, from);
	memcpy(written[i] + s->at, from, s->len);
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
	int avx = __builtin_cpu_supports("avx") != 0;
	unsigned long kinds = 0, i = 0;
	const struct store *s = stores;
	uint64_t nr = 0;
	uint32_t bursts = 0;

	if (argc != 3 && argc != 4)
		errx(2, "usage: bar-writer DEVICE STOP [memory]");
	/*
	 * No page fault in between: where QEMU emulates virtualization, an exit after an
	 * exception looks to KVM of 6.14 and later as one in the middle of it, and then it
	 * does not emulate an access to registers (Documentation/emulation.rst).
	 */
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		err(1, "mlockall");
	if (argc == 3)
		registers = map(argv[1], "resource0", PAGE);
	memory = map(argv[1], "resource2", SIZE);
	for (unsigned int k = 0; k < KINDS; k++)
		kinds += avx || !stores[k].avx;
	while (access(argv[2], F_OK)) {
		for (int n = 0; n < BURST; n++) {
			do {
				s = s + 1 < stores + KINDS ? s + 1 : stores;
			} while (s->avx && !avx);
			i = (i * 5 + 1) % PLACES;
			/* Not compared by each: a store may be a page's first access. */
			if (nr % 3)
				check(i);
			store(i, s, ++nr);
		}
		if (registers)
			ring(++bursts);
		usleep(PAUSE_US);
	}
	for (i = 0; i < PLACES; i++)
		check(i);
	printf("stores %llu of %lu kinds\n", (unsigned long long)nr, kinds);
	return 0;
}
