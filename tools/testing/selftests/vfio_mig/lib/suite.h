/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which devices a test program works on.
 *
 * VFIO_MIG_DEVICE names one by its sysfs path, VFIO_MIG_DEVICE_B a second one of
 * the same type; the program's first two arguments do the same. Without them the
 * program creates mnvme devices, and removes them at its end. VFIO_MIG_OPEN says how
 * they are opened, see device.h.
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
 * The data section of devices that are created: a small one, so that sessions
 * start fast and what there is to send takes several iterations. The smallest
 * there is where a test goes through very many sessions.
 */
#define SUITE_WINDOW_KIB	256
#define SUITE_WINDOW_KIB_MIN	64

/*
 * The end of a main(). Where all is slow, as on a kernel that checks every access,
 * VFIO_MIG_SLOW says how many times longer each test may take.
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
