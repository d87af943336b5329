// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files in sysfs that everybody may read, from the moment at which they exist. The files of the
 * parent device exist before the initialisation of the module has ended.
 */
#include <stdlib.h>
#include <sys/wait.h>

#include "lib/child.h"
#include "lib/file.h"
#include "lib/fixture.h"
#include "lib/mdev.h"

#define PARENT	"/sys/devices/virtual/mnvme/mnvme/"
#define READERS	2	/* processes */
#define LOADS	20

static const char * const files[] = {
	PARENT "memory_used", PARENT "memory_limit", PARENT "instances",
};

FIXTURE(load) {
	pid_t reader[READERS];
};

static void read_files(void)
{
	char text[32];
	size_t i;

	for (;;)
		for (i = 0; i < ARRAY_SIZE(files); i++)
			file_read(files[i], text, sizeof(text));
}

FIXTURE_SETUP(load)
{
	int i;

	for (i = 0; i < READERS; i++) {
		self->reader[i] = child_start();
		if (!self->reader[i])
			read_files();
		ASSERT_LT(0, self->reader[i]);
	}
}

FIXTURE_TEARDOWN(load)
{
	int i;

	for (i = 0; i < READERS; i++) {
		if (self->reader[i] <= 0)
			continue;
		kill(self->reader[i], SIGKILL);
		waitpid(self->reader[i], NULL, 0);
	}
}

/* A NULL pointer dereference in the kernel ends the process that reads. */
static void check_readers(struct __test_metadata *_metadata, pid_t *reader, int loads)
{
	int i, status = 0;

	for (i = 0; i < READERS; i++) {
		ASSERT_EQ(0, waitpid(reader[i], &status, WNOHANG))
			TH_LOG("a reader ended after %d loads: %#x", loads, status);
	}
}

TEST_F_TIMEOUT(load, files_can_be_read_from_the_first_moment, 300)
{
	char text[32];
	int i;

	for (i = 1; i <= LOADS; i++) {
		ASSERT_EQ(0, system("rmmod mnvme"));
		ASSERT_EQ(0, system("modprobe mnvme"));
		check_readers(_metadata, self->reader, i);
	}
	for (i = 0; i < (int)ARRAY_SIZE(files); i++)
		EXPECT_RET_FOR(0, file_read(files[i], text, sizeof(text)), "%s", files[i]);
}

/* Returns the reason why the module cannot be unloaded here, or NULL. */
static const char *missing(int argc)
{
	if (argc > 1 || getenv("VFIO_MIG_DEVICE"))
		return "is about mnvme: runs without VFIO_MIG_DEVICE";
	if (system("modprobe -q mnvme"))
		return "there is no mnvme";
	if (mdev_parent_number("mnvme", "instances"))
		return "there are mnvme devices, whose data would be lost";
	return NULL;
}

int main(int argc, char **argv)
{
	const char *reason = missing(argc);

	if (reason) {
		ksft_print_header();
		ksft_exit_skip("%s\n", reason);
	}
	SUITE_RUN(argv);
}
