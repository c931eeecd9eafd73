# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/check-properties: what it takes for a property, and what it refuses."""

import importlib.machinery
import importlib.util
import sys
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent


def load():
    sys.path.insert(0, str(TOOLS))
    loader = importlib.machinery.SourceFileLoader("check_properties",
                                                  str(TOOLS / "check-properties"))
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("check_properties", loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


TOOL = load()
BEFORE = """
static const Property made_up[] = {
    DEFINE_PROP_BOOL("one", MadeUp, one, false),
    DEFINE_PROP_UINT8("two", MadeUp,
                      two, 2), /* DEFINE_PROP_BOOL("comment") */
};
GlobalProperty made_up_compat[] = {
    { "made-up", "one", "on" },
};
"""


class CheckProperties(unittest.TestCase):

    def problems(self, after, allowed=()):
        found = list(TOOL.changes("hw/m.c", BEFORE, after))
        return list(TOOL.judge(found, TOOL.Counter(allowed)))

    def refuses(self, after, *words):
        problems = self.problems(after)
        self.assertTrue(any(all(word in problem for word in words) for problem in problems),
                        problems)

    def test_layout_and_order_do_not_count(self):
        moved = BEFORE.replace("MadeUp,\n                      two", "MadeUp, two")
        self.assertNotEqual(moved, BEFORE)
        self.assertEqual(self.problems(moved + "int other(void);"), [])

    def test_type_that_changes(self):
        self.refuses(BEFORE.replace("PROP_BOOL(\"one\"", "PROP_ON_OFF_AUTO(\"one\""),
                     "- hw/m.c", "PROP_BOOL", "one")

    def test_default_that_changes(self):
        self.refuses(BEFORE.replace("two, 2", "two, 3"), "+ hw/m.c", "two, 3")

    def test_property_that_is_gone(self):
        self.refuses(BEFORE.replace('    DEFINE_PROP_BOOL("one", MadeUp, one, false),\n', ""),
                     "- hw/m.c", "one")

    def test_compatibility_that_changes(self):
        self.refuses(BEFORE.replace('"on"', '"off"'), "+ hw/m.c", '"off"')

    def test_property_of_a_class(self):
        self.refuses(BEFORE + 'void f(void) { object_class_property_add(oc, "x", "(", g); }',
                     "+ hw/m.c", '"x"', '"("')

    def test_type_of_its_own(self):
        self.refuses(BEFORE + 'const PropertyInfo p = { .type = "str", .get = get };',
                     "PropertyInfo p")

    def test_property_without_a_macro(self):
        self.refuses(BEFORE + 'Property q = { .name = "q", .info = &p };', '"q"')

    def test_listed_addition(self):
        after = BEFORE + 'Property q = { .name = "q", .info = &p };'
        self.assertEqual(self.problems(after, ['+ hw/m.c: { .name = "q",']), [])

    def test_listed_once_but_added_twice(self):
        after = BEFORE + 'Property q[] = {{ .name = "q", .info = &p },' \
                         '                { .name = "q", .info = &p }};'
        self.assertEqual(len(self.problems(after, ['+ hw/m.c: { .name = "q",'])), 1)

    def test_listed_but_not_there(self):
        self.assertEqual(len(self.problems(BEFORE, ['+ hw/m.c: { .name = "q",'])), 1)


if __name__ == "__main__":
    unittest.main()
