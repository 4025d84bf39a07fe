"""Makes the reference pages and the pictures from the code and docs/standards: `python -m docs.reference`.

What is made is committed, so that it can be read without building anything;
tests/docs/test_reference.py says when it has to be made again.
"""

from __future__ import annotations

from pathlib import Path

from docs.reference import flags, machines, pictures, standards, tables, threats

HERE = Path(__file__).resolve().parent
TRANSACTIONS = HERE.parent / "explanation" / "transactions.md"


def pages() -> dict[Path, str]:
    """Every page that is made, whole or in part: where it is, and its text."""
    return {
        HERE / "commands.md": flags.page(),
        HERE / "settings.md": tables.settings_page(),
        HERE / "cpl.md": tables.cpl_page(),
        HERE / "limits.md": tables.limits_page(),
        HERE / "standards.md": standards.standards_page(),
        HERE / "threats.md": threats.threats_page(),
        **pictures.made(),
        TRANSACTIONS: machines.filled(TRANSACTIONS.read_text("utf-8")),
    }
