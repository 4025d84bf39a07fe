"""Names that the machine knows without DNS: its hosts file, and localhost (RFC 6761 §6.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.net.addresses import numeric

if TYPE_CHECKING:
    from pathlib import Path

LOCALHOST: Final = ("127.0.0.1", "::1")


class WatchedFile:
    """Says whether a file has changed since it was last asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = (0, 0, 0)  # of no file

    def has_changed(self) -> bool:
        """Whether the file is another one, or has come or gone, since the last call; True at first."""
        try:
            status = self.path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            seen = None
        changed = seen != self._seen
        self._seen = seen
        return changed

    def text(self) -> str:
        """What is in it; nothing when it can't be read."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


class Hosts:
    """The hosts file, read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._file = WatchedFile(path)
        self._addresses: dict[str, tuple[str, ...]] = {}

    def refresh(self) -> bool:
        """Reads the file again if it has changed; whether it has."""
        changed = self._file.has_changed()
        if changed:
            self._addresses = parse_hosts(self._file.text())
        return changed

    def addresses(self, name: str) -> tuple[str, ...]:
        """The numeric addresses of a lower-case name, in the order of the file; none when it is not there."""
        found = self._addresses.get(name)
        if found is None and (name == "localhost" or name.endswith(".localhost")):
            return LOCALHOST
        return found or ()


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """Lower-case names and their addresses; lines that are none are passed over."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.split("\n"):
        address, *names = line.partition("#")[0].split() or [""]
        plain = numeric(address)
        for name in names if plain else ():
            known = found.get(name.lower(), ())
            if plain and plain not in known:
                found[name.lower()] = (*known, plain)
    return found
