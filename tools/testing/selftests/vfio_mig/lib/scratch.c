// SPDX-License-Identifier: GPL-2.0-only
/* Two mscratch devices */
#include <stdlib.h>
#include <string.h>

#include "kselftest.h"
#include "scratch.h"
#include "suite.h"

#define PARENT	"mscratch"

/* Called before the harness runs. Skips all tests if there is no such device. */
void scratch_create(struct mdev mdev[2], long window_kib)
{
	int i, ret = 0;
	long window;

	if (system("modprobe -q " PARENT " 2>/dev/null"))
		ksft_print_msg("modprobe " PARENT " did not succeed\n");
	mdev_init();
	atexit(mdev_sweep);
	window = mdev_window_kib(window_kib);
	for (i = 0; i < 2 && !ret; i++)
		ret = mdev_create(&mdev[i], PARENT, "64M");
	mdev_window_kib(window);
	if (!ret)
		return suite_need_opener(mdev[0].path);
	ksft_print_header();
	ksft_exit_skip("no " PARENT " device: %s\n", strerror(-ret));
}
