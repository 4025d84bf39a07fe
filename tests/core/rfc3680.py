"""The text of RFC 3680: its schema (§5.4) and its documents (§5.3, §6). Not copied into the tree."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from textwrap import dedent

from lxml import etree

ROOT = Path(__file__).resolve().parents[2]
_PAGE = re.compile(r"\n*Rosenberg +Standards Track +\[Page \d+\]\n\f?\nRFC 3680 .*\n+")
_XML_NAMES = (
    b'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/XML/1998/namespace">'
    b'<xs:attribute name="lang" type="xs:language"/></xs:schema>'
)


class _AtHand(etree.Resolver):
    """The schema of xml:lang, which the RFC's has imported from the Web."""

    def resolve(self, system_url, public_id, context):
        return self.resolve_string(_XML_NAMES, context)


@cache
def rfc_3680() -> str:
    """The RFC without its page breaks; fails the test when it is not found."""
    named = os.environ.get("SIPD_RFCS")
    folders = [Path(named)] if named else [parent / "shared" / "rfc" for parent in ROOT.parents]
    for folder in folders:
        if (folder / "rfc3680.txt").is_file():
            return _PAGE.sub("\n", (folder / "rfc3680.txt").read_text("ascii"))
    raise AssertionError(
        "These tests hold sipd against the text of RFC 3680. Put rfc3680.txt, of https://www.rfc-editor.org, into"
        " ../shared/rfc, or name the folder it is in: SIPD_RFCS=/where/it/is"
    )


@cache
def schema() -> etree.XMLSchema:
    """The schema of §5.4, as it stands there."""
    found = re.search(r'^<\?xml version="1.0" encoding="UTF-8"\?>\n<xs:schema.*?^</xs:schema>', rfc_3680(), re.S | re.M)
    assert found is not None
    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(_AtHand())
    return etree.XMLSchema(etree.fromstring(found[0].encode(), parser))


def documents() -> list[etree._Element]:
    """The documents that the RFC shows, in its order."""
    found = re.findall(r'^ +<\?xml version="1.0"\?>\n +<reginfo.*?^ +</reginfo>', rfc_3680(), re.S | re.M)
    return [etree.fromstring(dedent(text).strip().encode()) for text in found]
