// SPDX-License-Identifier: GPL-2.0-only
/* Loads and stores that may raise SIGBUS. A thread does one at a time. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>

#include "poke.h"

static __thread sigjmp_buf back;

static void on_sigbus(int sig)
{
	(void)sig;
	siglongjmp(back, 1);
}

static void catch_sigbus(void)
{
	struct sigaction sa = { .sa_handler = on_sigbus };

	sigaction(SIGBUS, &sa, NULL);
}

int poke_copy(void *to, const void *from, size_t len)
{
	catch_sigbus();
	if (sigsetjmp(back, 1))
		return -EFAULT;
	memcpy(to, from, len);
	return 0;
}

int poke_load(const void *at, unsigned char *value)
{
	catch_sigbus();
	if (sigsetjmp(back, 1))
		return -EFAULT;
	*value = *(const volatile unsigned char *)at;
	return 0;
}

int poke_store(void *at, unsigned char value)
{
	catch_sigbus();
	if (sigsetjmp(back, 1))
		return -EFAULT;
	*(volatile unsigned char *)at = value;
	return 0;
}
