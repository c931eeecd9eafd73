# SPDX-License-Identifier: GPL-2.0-or-later
"""What the series can say to a user, and what docs/troubleshooting.md says of it.

A message is the format of a call that prints or that sets the reason of a message,
with an ellipsis for each value in it.
"""

import re

import series
from common import ROOT

PAGE = ROOT / "docs/troubleshooting.md"
# A row quotes at least so much of the start of a message
QUOTED = 30

CALL = re.compile(r"\b(?:(?:error_setg|error_report|warn_report|info_report)\w*|"
                  r"error_(?:append_hint|prepend)|warn_once\w*|"
                  r"\w+_(?:log|fail|target_block|bad))\(|\breason = (?=\")")
TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|(\w*PRI\w+)|([^"])', re.S)
VALUE = re.compile(r"%[-+ #0]*[\d*]*(?:\.[\d*]+)?(?:[hlzj]*[diouxXcsp]|PRI)")
ESCAPES = {r"\n": " ", r"\"": '"', "%%": "%"}


def messages(patches):
    """{message: where it is} of what the new files and the patches say."""
    said = {}
    for patch in patches:
        for path, _, lines in patch.sections():
            if speaks(path):
                for message in changed(lines, "-"):
                    said.pop(message, None)
                for message in changed(lines, "+"):
                    said.setdefault(message, f"patches/{patch.path}")
    for path in series.new_files():
        if speaks(path):
            text = (series.NEW_FILES / path).read_text(encoding="utf-8")
            for message, _ in formats(text):
                said.setdefault(message, f"qemu/{path}")
    return said


def speaks(path):
    return path.endswith((".c", ".h")) and not path.startswith("tests/")


def changed(lines, sign):
    """What the calls say that have a line with this sign in a file's hunks."""
    for hunk in re.split(r"^@@ .*$", "\n".join(lines), flags=re.M):
        kept = [line for line in hunk.splitlines() if line[:1] in (" ", sign)]
        text = "".join(f"{line[1:]}\n" for line in kept)
        for message, (start, end) in formats(text):
            first, last = text.count("\n", 0, start), text.count("\n", 0, end)
            if any(line[0] == sign for line in kept[first:last + 1]):
                yield message


def formats(text):
    """(message, its place in the text) for each literal format of a call."""
    for call in CALL.finditer(text):
        end = call.end()
        # After names and constants only; one that depends has two literals
        while first := re.compile(r'[^";{}]*(?=")').match(text, end):
            literal, end = read_literal(text, first.end())
            message = VALUE.sub("…", literal)
            for escape, meaning in ESCAPES.items():
                message = message.replace(escape, meaning)
            message = " ".join(message.split())
            is_macro = text.startswith("fmt", end)
            if re.search(r"[A-Za-z]{3}", message) and not is_macro:
                yield message, (call.start(), end)
            if text[end:end + 1] != ":":
                break


def read_literal(text, at):
    """The literals that follow each other, and where they end."""
    literal = ""
    for token in TOKEN.finditer(text, at):
        string, macro, other = token.groups()
        if string is not None:
            literal += string
        elif macro:
            literal += "PRI"
        elif other and not other.isspace():
            return literal, token.start()
    return literal, len(text)


def quoted():
    """The code spans in the first column of the page's tables of messages."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    return [span for table in re.findall(r"^\| message \|.*\n((?:\|.*\n?)*)", text, re.M)
            for row in table.splitlines()
            for span in re.findall(r"`(.+?)`", row.split("|")[1])]


def problems(patches):
    said, quotes = messages(patches), quoted()
    where = PAGE.relative_to(ROOT)
    for message, place in said.items():
        if not any(is_of(quote, message) for quote in quotes):
            yield f"{place}: {where} does not explain '{message}'"
    for quote in quotes:
        if not any(is_of(quote, message) for message in said):
            yield f"{where}: nothing says '{quote}'"


def is_of(quote, message):
    return message.startswith(quote) and len(quote) >= min(QUOTED, len(message))
