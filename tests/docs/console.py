"""Pages as programs: the files they have the reader write, the commands they have him type, what they say he sees."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FENCE = re.compile(
    r"^```(?:(?P<console>console)|\{code-block\}[ ]\w+\n:caption:[ ](?P<file>\S+)\n)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
SETTING = re.compile(r"export (\w+)=(\S+)")
ANYTHING = "..."


class Written(NamedTuple):
    """A file that the reader writes."""

    name: str
    text: str


class Typed(NamedTuple):
    """A command, and the lines that the page shows under it."""

    line: int
    command: str
    shown: tuple[str, ...]

    @property
    def setting(self) -> tuple[str, str] | None:
        """The variable that an `export NAME=VALUE` sets."""
        found = SETTING.fullmatch(self.command)
        return None if found is None else (found[1], found[2])

    @property
    def stays(self) -> bool:
        """Whether it runs on while the reader types the next one: the server, and what ends in `&`."""
        return self.command.startswith("sipd ") or self.command.endswith(" &")


def steps(page: Path) -> Iterator[Written | Typed]:
    """What the reader does, in order."""
    text = page.read_text("utf-8")
    for fence in FENCE.finditer(text):
        if fence["file"]:
            yield Written(fence["file"], fence["text"])
            continue
        first = text.count("\n", 0, fence.start("text")) + 1
        lines = fence["text"].splitlines()
        begins = [at for at, line in enumerate(lines) if line.startswith("$ ")]
        assert begins[:1] == [0], f"{page.name}:{first}: a console block begins with a command"
        for begin, end in zip(begins, [*begins[1:], len(lines)], strict=True):
            yield Typed(first + begin, lines[begin].removeprefix("$ "), tuple(lines[begin + 1 : end]))


def pattern(shown: tuple[str, ...]) -> re.Pattern[str]:
    """What the whole output must look like: `...` alone is any number of lines, in a line any text of that line."""
    parts = []
    for line in shown:
        if line == ANYTHING:
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(r".*".join(re.escape(part) for part in line.rstrip().split(ANYTHING)) + r"\n")
    return re.compile("".join(parts))


def fits(shown: tuple[str, ...], output: str) -> bool:
    """Whether the output is what the page shows; blanks at the ends of lines and empty last lines don't count."""
    lines = "".join(f"{line.rstrip()}\n" for line in output.rstrip().splitlines())
    return pattern(shown).fullmatch(lines) is not None
