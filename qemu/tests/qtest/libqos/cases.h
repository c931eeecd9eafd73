/*
 * Tests that differ in nothing but data
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QTEST_LIBQOS_CASES_H
#define QTEST_LIBQOS_CASES_H

#include "../libqtest.h"

/**
 * qtest_add_cases: a test for each element of an array
 * @path: to it a slash and the element's name are added
 * @cases: the array, of structures with a member @name
 * @func: is given the element
 */
#define qtest_add_cases(path, cases, func)                              \
    do {                                                                \
        for (size_t i_ = 0; i_ < ARRAY_SIZE(cases); i_++) {             \
            g_autofree char *name_ = g_strdup_printf("%s/%s", path,     \
                                                     (cases)[i_].name); \
                                                                        \
            qtest_add_data_func(name_, &(cases)[i_], func);             \
        }                                                               \
    } while (0)

#endif
