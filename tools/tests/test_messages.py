# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages and docs/troubleshooting.md, as tools/check-patches compares them."""

from sandbox import ONE, SIGNED, TWO
from test_check_patches import SPDX, SeriesTest

PAGE = """\
| `not a message` | of another table |
|---|---|

| message | meaning |
|---|---|
{}"""
CALL = 'error_setg(errp, "%s: the host\'s limit of 0x%" PRIx64 " bytes "\n    "is in the way", name);\n'
START = "…: the host's limit of 0x… bytes"


class Messages(SeriesTest):

    def source(self, text):
        self.write(self.root / "qemu/hw/n.c", SPDX + text)
        if "Adds" not in (self.root / "patches" / ONE).read_text(encoding="utf-8"):
            self.add_to_message(ONE, "Adds: hw/n.c")

    def page(self, *quotes):
        self.write(self.root / "docs/troubleshooting.md",
                   PAGE.format("".join(f"| `{quote}` | why |\n" for quote in quotes)))

    def test_message_that_the_page_quotes_by_its_start(self):
        self.source(CALL)
        self.page(START)
        self.good("check-patches")

    def test_message_without_a_row(self):
        self.source(CALL)
        self.page()
        self.complains("qemu/hw/n.c", "does not explain", START)

    def test_quote_that_is_too_short(self):
        self.source(CALL)
        self.page("…: the host's")
        self.complains("does not explain", START)

    def test_row_that_no_message_has(self):
        self.page("the host is gone")
        self.complains("troubleshooting.md", "nothing says 'the host is gone'")

    def test_reason_that_another_message_contains(self):
        self.source('reason = "no such table";\n')
        self.complains("does not explain 'no such table'")

    def test_both_texts_of_a_condition(self):
        self.source('error_append_hint(errp, on ? "Switch it off.\\n" : "Switch it on.\\n");\n')
        self.page("Switch it off.")
        self.complains("does not explain 'Switch it on.'")

    def test_message_that_a_patch_adds(self):
        self.edit_patch(ONE, "+line five", '+warn_report("five is not enough");')
        self.complains(ONE, "does not explain 'five is not enough'")
        self.page("five is not enough")
        self.good("check-patches")

    def test_message_that_a_later_patch_removes(self):
        self.edit_patch(ONE, "+line five", '+warn_report("five is not enough");')
        self.edit_patch(TWO, "-other 5", '-warn_report("five is not enough");')
        self.good("check-patches")

    def test_message_of_a_test_is_for_nobody(self):
        self.write(self.root / "qemu/tests/n.c", SPDX + CALL)
        self.edit_patch(ONE, SIGNED, f"Adds: tests/n.c\n{SIGNED}")
        self.good("check-patches")

    def test_macro_is_not_a_message(self):
        self.source('#define my_log(d, fmt) error_report("device: " fmt, d)\n')
        self.good("check-patches")
