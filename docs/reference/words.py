"""Markdown that the made pages have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MADE: Final = (
    "<!-- Made by `python -m docs.reference` from the code. Don't edit: change the code, and make it again. -->"
)


def code(text: object) -> str:
    """The text as code; nothing for an empty one."""
    return f"`{text}`" if str(text) else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table; a bar inside a cell is escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines] + [""]


def page(title: str, *blocks: Iterable[str]) -> str:
    """A whole page of these lines."""
    lines = [MADE, "", f"# {title}", ""]
    for block in blocks:
        lines += block
    return "\n".join(lines).rstrip("\n") + "\n"
