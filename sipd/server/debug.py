"""What `-d` shows while the server runs: messages, session descriptions, changes, reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.log import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sipd.hop import Flow
    from sipd.server.explain import Told
    from sipd.server.house import House

    Say = Callable[[str], None]

CATEGORIES: Final = ("sql", "net", "sdp", "misc")
"""What `-d` can show; `all` stands for every one."""

SECRET_HEADERS: Final = ("authorization", "proxy-authorization")
"""What `-d net` does not show the values of."""


def tap_of(say: Say, debug: set[str]) -> Callable[[str, Flow, bytes], None] | None:
    """What shows messages, for `-d net` whole, for `-d sdp` their session descriptions; None: nothing."""
    if "net" in debug:
        return tap_to(say)
    return sdp_to(say) if "sdp" in debug else None


def sdp_to(say: Say) -> Callable[[str, Flow, bytes], None]:
    """Shows each session description in and out."""

    def shown(direction: str, flow: Flow, data: bytes) -> None:
        body = data.partition(b"\r\n\r\n")[2]
        if body.startswith(b"v="):
            say(f"{'<--' if direction == 'in' else '-->'} {flow.remote}\n{printable(body)}\n")

    return shown


def show_more(house: House, debug: set[str], say: Say) -> None:
    """`-d sql`: what is written to the database; `-d misc`: why each request went as it did."""
    if "sql" in debug:
        house.tables.watch(lambda changes: say(f"sql: {', '.join(type(change).__name__ for change in changes)}"))
    if "misc" in debug:
        house.explain.listen(lambda told: say(in_words(told)))


def in_words(told: Told) -> str:
    """One settled request and its steps, a line each."""
    steps = "".join(f"\n    {escaped(step.step)}: {escaped(step.saw)}: {escaped(step.chose)}" for step in told.trace)
    uri = escaped(told.request_uri)
    return f"misc: {escaped(told.method)} {uri} from {told.source}: {told.status or 'no answer'}{steps}"


def printable(data: bytes) -> str:
    """Bytes of a peer as text that can't do anything to a terminal."""
    text = data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text).rstrip()


def without_secrets(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a message without the values of SECRET_HEADERS, however many lines each takes (§7.3.1)."""
    in_secret = False
    for line in lines:
        if in_secret and line.startswith((" ", "\\x09")):
            continue
        in_secret = line.lower().startswith(SECRET_HEADERS)
        yield f"{line.partition(':')[0]}: ***" if in_secret else line


def tap_to(say: Say) -> Callable[[str, Flow, bytes], None]:
    """Shows each message in and out, for `-d net`; credentials are cut out (T123)."""

    def shown(direction: str, flow: Flow, data: bytes) -> None:
        text = "\n".join(without_secrets(printable(data).split("\n")))
        say(f"{'<--' if direction == 'in' else '-->'} {flow.remote}\n{text}\n")

    return shown
