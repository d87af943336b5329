/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The devices that a test program uses
 *
 * VFIO_MIG_DEVICE is the sysfs path of a device, and VFIO_MIG_DEVICE_B that of a second
 * device of the same type. The program's first two arguments do the same. Without these the
 * program creates mnvme devices, and removes them at its end. VFIO_MIG_OPEN selects how
 * devices are opened (device.h).
 */
#ifndef VFIO_MIG_LIB_SUITE_H
#define VFIO_MIG_LIB_SUITE_H

void suite_init(int argc, char **argv, long window_kib);
void suite_need_opener(const char *path);
void suite_need_v1(void);
void suite_need_v2(void);
void suite_need_pre_copy(void);
void suite_need_stream(void);
void suite_need_nvme(void);
void suite_need_mnvme(void);
void suite_need_b(void);

int suite_given(void);
unsigned long suite_number(const char *name, unsigned long other);
int suite_long(void);

const char *suite_device(void);
const char *suite_device_b(void);

/*
 * Size of the data section of devices that the suite creates. It is small, so that sessions
 * start fast, and a save takes several iterations. The minimum is for tests that have very
 * many sessions.
 */
#define SUITE_WINDOW_KIB	256
#define SUITE_WINDOW_KIB_MIN	64

/*
 * The end of a main(). Each test may take VFIO_MIG_SLOW times longer than usual, for example
 * on a kernel with KASAN.
 */
#define SUITE_RUN(argv) do {						\
	unsigned long __times = suite_number("VFIO_MIG_SLOW", 1);	\
	struct __fixture_metadata *__f;					\
	struct __test_metadata *__t;					\
									\
	for (__f = __fixture_list; __f; __f = __f->next)		\
		for (__t = __f->tests; __t; __t = __t->next)		\
			__t->timeout *= __times;			\
	exit(test_harness_run(1, argv));				\
} while (0)

#define SUITE_MAIN(need)	SUITE_MAIN_WINDOW(SUITE_WINDOW_KIB, need)

#define SUITE_MAIN_WINDOW(window_kib, need)				\
	int main(int argc, char **argv)					\
	{								\
		suite_init(argc, argv, window_kib);			\
		need;							\
		SUITE_RUN(argv);					\
	}

#endif /* VFIO_MIG_LIB_SUITE_H */
