"""Where the XML schema of CPL is. The compiler does not use it: its own rules say more, and say it better."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.etree import XMLSchema

_PACKAGE = Path(__file__).parent.parent


def schema_path() -> Path:
    """The file: in the installed package, or beside it in a source tree. Raises FileNotFoundError."""
    for place in (_PACKAGE / "schemas", _PACKAGE.parent / "schemas"):
        if (place / "cpl.xsd").is_file():
            return place / "cpl.xsd"
    raise FileNotFoundError("schemas/cpl.xsd")


@cache
def schema() -> XMLSchema:
    """The schema, read on first use (RFC 3880 appendix C says what such a schema is for)."""
    from lxml import etree

    return etree.XMLSchema(etree.parse(schema_path()))
