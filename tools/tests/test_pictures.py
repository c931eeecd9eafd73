# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/pictures draws what is in docs/, and nothing that does not fit."""

from sandbox import TOOLS, Sandbox

DOCS = TOOLS.parent / "docs"
# What "make bench-guest" draws from what it has counted
MEASURED = {"guest.svg"}


class Pictures(Sandbox):

    def setUp(self):
        super().setUp()
        (self.root / "docs").mkdir()

    def test_docs_have_what_it_draws(self):
        self.good("pictures")
        drawn = {file.name: file.read_bytes() for file in (self.root / "docs").iterdir()}
        kept = {file.name: file.read_bytes() for file in DOCS.glob("*.svg")
                if file.name not in MEASURED}
        self.assertEqual(drawn, kept, "run tools/pictures")

    def test_text_that_does_not_fit(self):
        script = self.root / "tools/pictures"
        text = script.read_text(encoding="utf-8")
        self.assertIn('"guest memory"', text)
        script.write_text(text.replace('"guest memory"', f'"guest {"memory " * 5}"'),
                          encoding="utf-8")
        self.assertIn("is too long", self.bad("pictures"))
