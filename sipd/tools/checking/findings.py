"""Findings printed: with the line they are about, or a line each as compilers do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from sipd.cpl.document import source_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.cpl import Finding
    from sipd.tools.checking.checked import Checked
    from sipd.tools.checking.paint import Paint

_WIDTH: Final = 100
"""Characters of a source line that are shown."""


def print_gcc(each: Checked) -> None:
    """A line for each finding."""
    if each.trouble:
        print(f"{each.name}: error: {each.trouble}", file=sys.stderr)
    for finding in (*each.errors, *each.warnings):
        hint = f" ({finding.hint})" if finding.hint else ""
        place = f"{each.name}:{finding.line}:{finding.column}"
        print(f"{place}: {finding.severity}: {finding.text}{hint} [{finding.code}]")


def print_human(each: Checked, paint: Paint, *, quiet: bool) -> None:
    """Each finding with its line, and the verdict."""
    if each.trouble:
        print(f"{each.name}: {each.trouble}", file=sys.stderr)
        return
    lines = source_lines(each.source)
    for finding in (*each.errors, *each.warnings):
        _print_finding(each.name, finding, lines, paint)
    if not quiet or each.errors or each.warnings:
        print(_summary(each))


def print_count(checked: Sequence[Checked], *, quiet: bool) -> None:
    """How many of each verdict, where there are several scripts."""
    if len(checked) > 1 and not (quiet and all(each.verdict == "sound" for each in checked)):
        verdicts = [each.verdict for each in checked]
        counts = (f"{verdicts.count(word)} {word}" for word in ("sound", "refused", "unreadable") if word in verdicts)
        print(f"{len(checked)} {'scripts' if checked[0].owner else 'files'}: {', '.join(counts)}")


def _print_finding(name: str, finding: Finding, lines: list[str], paint: Paint) -> None:
    head = paint("bold", f"{name}:{finding.line}:{finding.column}:")
    print(f"{head} {paint(finding.severity, finding.severity)}: {finding.text}")
    if 0 < finding.line <= len(lines) and lines[finding.line - 1].strip():
        shown, caret = _excerpt(lines[finding.line - 1], finding.column - 1)
        number = f"{finding.line:5} | "
        print(number + shown)
        print(" " * (len(number) - 2) + "| " + caret + paint(finding.severity, "^"))
    if finding.hint:
        print(f"        {paint('hint', 'hint:')} {finding.hint}")
    where = f" at {finding.path}" if finding.path else ""
    print(f"        {finding.code}, {finding.rule}{where}")


def _excerpt(line: str, column: int) -> tuple[str, str]:
    """The part of a line around a column, safe for a terminal, and the blanks that lead to the column."""
    begin = max(column - _WIDTH + 20, 0)
    part = "".join(c if c.isprintable() else " " for c in line[begin : begin + _WIDTH])
    return part, " " * (column - begin)


def _summary(checked: Checked) -> str:
    details = [checked.remark] if checked.remark else []
    details += [_many(len(checked.errors), "error")] if checked.errors else []
    details += [_many(len(checked.warnings), "warning")] if checked.warnings else []
    detail = f" ({', '.join(details)})" if details else ""
    return f"{checked.name}: {checked.verdict}{detail}"


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
