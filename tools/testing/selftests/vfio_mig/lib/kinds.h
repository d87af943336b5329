/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices for tests of VFIO's interface, which do not depend on the device's function. There
 * is one device of each kind in this project, or only the device that the suite was given
 * (suite.h). Each fixture has a variant for each kind: FIXTURE_VARIANT(name) { struct kind
 * kind; };
 */
#ifndef VFIO_MIG_LIB_KINDS_H
#define VFIO_MIG_LIB_KINDS_H

#include <stdlib.h>

#include "kind.h"
#include "kselftest_harness.h"
#include "suite.h"

static inline void kinds_register(void)
{
	struct __fixture_variant_metadata *variant;
	struct __fixture_metadata *f;
	const struct kind *kind;
	unsigned int i;

	for (f = __fixture_list; f; f = f->next)
		for (i = 0; (kind = kinds_get(i)); i++) {
			variant = calloc(1, sizeof(*variant));
			if (!variant)
				abort();
			variant->name = kind->name;
			variant->data = kind;
			__register_fixture_variant(f, variant);
		}
}

/* @has returns whether the program tests the device. */
#define KINDS_MAIN_OF(has)						\
	int main(int argc, char **argv)					\
	{								\
		kinds_init(argc, argv, has);				\
		kinds_register();					\
		SUITE_RUN(argv);					\
	}

#define KINDS_MAIN()	KINDS_MAIN_OF(NULL)

#endif /* VFIO_MIG_LIB_KINDS_H */
