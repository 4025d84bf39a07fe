"""cpl-check: says whether a CPL script is sound and, when not, where, why, and how to mend it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

from sipd import __version__
from sipd.cpl import CplError, Finding, compile
from sipd.cpl.document import source_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

SOUND: Final = 0
REFUSED: Final = 1
COULD_NOT_RUN: Final = 2

_WIDTH: Final = 100
"""Characters of a source line that are shown."""

_COLOURS: Final = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "hint": "\x1b[36m", "bold": "\x1b[1m"}
_PLAIN: Final = "\x1b[0m"

EPILOG: Final = """\
exit status: 0 when every script is sound (warnings allowed), 1 when one is refused,
2 when something could not be checked at all: a file that can't be read, a wrong option."""


class Checked(NamedTuple):
    """One file after its check."""

    name: str
    source: bytes
    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    trouble: str = ""  # why it could not be read

    @property
    def verdict(self) -> str:
        """One word for it."""
        return "unreadable" if self.trouble else "refused" if self.errors else "sound"


def main(argv: Sequence[str] | None = None) -> int:
    """Check the scripts named on the command line; the exit status."""
    options = _parser().parse_args(argv)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 still gets the findings
    checked = [check(name, options.operations, options.max_bytes) for name in options.files]
    if options.json:
        print(json.dumps([_as_json(each) for each in checked], indent=2))
    elif options.format == "gcc":
        _print_gcc(checked)
    else:
        _print_human(checked, options.quiet)
    if any(each.trouble for each in checked):
        return COULD_NOT_RUN
    return REFUSED if any(each.errors for each in checked) else SOUND


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cpl-check",
        description="Check scripts in the Call Processing Language (RFC 3880).",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a script; - reads standard input")
    parser.add_argument("--format", choices=("human", "gcc"), default="human", help="how findings are written")
    parser.add_argument("--json", action="store_true", help="write one JSON list instead, an object for each file")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing of sound scripts without warnings")
    parser.add_argument(
        "--operations",
        default="all",
        metavar="NAMES",
        help="operations the server permits: all, or their names",
    )
    parser.add_argument("--max-bytes", type=int, default=65536, metavar="N", help="largest script taken")
    parser.add_argument("--version", action="version", version=f"cpl-check {__version__}")
    return parser


def check(name: str, operations: str = "all", max_bytes: int = 65536) -> Checked:
    """Read and compile one script; `-` is standard input."""
    try:
        source = _read(name, max_bytes)
    except OSError as error:
        return Checked(name, b"", (), (), error.strerror or str(error))
    shown_name = "<stdin>" if name == "-" else name
    try:
        program = compile(source, operations=operations, max_bytes=max_bytes)
    except CplError as error:
        return Checked(shown_name, source, error.findings, error.warnings)
    except ValueError as error:
        return Checked(shown_name, source, (), (), str(error))
    return Checked(shown_name, source, (), program.warnings)


def _read(name: str, max_bytes: int) -> bytes:
    # One byte more than allowed is enough to see that it is too much.
    if name == "-":
        return sys.stdin.buffer.read(max_bytes + 1)
    with open(name, "rb") as file:
        return file.read(max_bytes + 1)


def _as_json(checked: Checked) -> dict[str, object]:
    return {
        "file": checked.name,
        "verdict": checked.verdict,
        "trouble": checked.trouble,
        "errors": [finding._asdict() for finding in checked.errors],
        "warnings": [finding._asdict() for finding in checked.warnings],
    }


def _print_gcc(checked: Sequence[Checked]) -> None:
    for each in checked:
        if each.trouble:
            print(f"{each.name}: error: {each.trouble}", file=sys.stderr)
        for finding in (*each.errors, *each.warnings):
            hint = f" ({finding.hint})" if finding.hint else ""
            place = f"{each.name}:{finding.line}:{finding.column}"
            print(f"{place}: {finding.severity}: {finding.text}{hint} [{finding.code}]")


def _print_human(checked: Sequence[Checked], quiet: bool) -> None:
    paint = _painter(sys.stdout)
    for each in checked:
        if each.trouble:
            print(f"{each.name}: {each.trouble}", file=sys.stderr)
            continue
        lines = source_lines(each.source)
        for finding in (*each.errors, *each.warnings):
            _print_finding(each.name, finding, lines, paint)
        if not quiet or each.errors or each.warnings:
            print(_summary(each))
    if len(checked) > 1 and not (quiet and all(each.verdict == "sound" for each in checked)):
        verdicts = [each.verdict for each in checked]
        counts = (f"{verdicts.count(word)} {word}" for word in ("sound", "refused", "unreadable") if word in verdicts)
        print(f"{len(checked)} files: {', '.join(counts)}")


def _print_finding(name: str, finding: Finding, lines: list[str], paint: _Paint) -> None:
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
    counts = [_many(len(checked.errors), "error")] if checked.errors else []
    counts += [_many(len(checked.warnings), "warning")] if checked.warnings else []
    detail = f" ({', '.join(counts)})" if counts else ""
    return f"{checked.name}: {checked.verdict}{detail}"


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


class _Paint:
    """Puts colours on words, or not."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, colour: str, text: str) -> str:
        return f"{_COLOURS[colour]}{text}{_PLAIN}" if self._on else text


def _painter(stream: TextIO) -> _Paint:
    """Colours on a terminal only, and not when NO_COLOR is set to anything (no-color.org)."""
    return _Paint(stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


if __name__ == "__main__":
    sys.exit(main())
