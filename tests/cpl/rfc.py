"""The text of RFC 3880: figures and XML schema, for tests that hold ours against them. Not copied into the tree."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from textwrap import dedent

from lxml import etree

ROOT = Path(__file__).resolve().parents[2]
_PAGE = re.compile(r"\n*Lennox, et al\..*\[Page \d+\]\n\f?\nRFC 3880 .*\n+")


@cache
def rfc_3880() -> str:
    """The RFC without its page breaks; fails the test when it is not found."""
    named = os.environ.get("SIPD_RFCS")
    folders = [Path(named)] if named else [parent / "shared" / "rfc" for parent in ROOT.parents]
    for folder in folders:
        if (folder / "rfc3880.txt").is_file():
            return _PAGE.sub("\n", (folder / "rfc3880.txt").read_text("ascii"))
    raise AssertionError(
        "These tests hold sipd against the text of RFC 3880. Put rfc3880.txt, of https://www.rfc-editor.org, into"
        " ../shared/rfc, or name the folder it is in: SIPD_RFCS=/where/it/is"
    )


@cache
def rfc_schema() -> etree.XMLSchema:
    """The schema of appendix C, as it stands there."""
    found = re.search(r"^ {3}BEGIN\n+(.*?)^ {3}END$", rfc_3880(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return etree.XMLSchema(etree.fromstring(dedent(found[1]).strip().encode()))


def figures() -> dict[int, bytes]:
    """The scripts of the figures, by their numbers."""
    found: dict[int, bytes] = {}
    for part in re.finditer(r"^ +<\?xml .*?^ +Figure (\d+):", rfc_3880(), re.DOTALL | re.MULTILINE):
        text = part[0].rpartition("\n")[0]
        begin = text.rindex("<?xml ")  # a figure may show a schema before the script
        script = dedent(text[text.rfind("\n", 0, begin) + 1 :]).strip()
        if script.endswith("</cpl>"):
            found[int(part[1])] = script.encode()
    return found
