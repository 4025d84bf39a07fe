"""A script with the time zones that its tzurls lead to: fetched when it is uploaded, and never in a call (§4.4)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.cpl import CplError, compile_on
from sipd.cpl.sources import NotFetched, check_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sipd.cpl import Program, Terms

MOST: Final = 4
"""Time zones that one script may have fetched."""

MOST_KEPT: Final = 500
"""Time zones that are kept, of all scripts."""

CODE: Final = "CPL-TZURL"


class Unfetched(Exception):
    """The script can be judged only with what these URLs lead to."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        super().__init__(" ".join(urls))
        self.urls = urls


class Compiled(NamedTuple):
    """A sound script, and what was fetched for it and is to be kept: the data by URL."""

    program: Program
    fetched: dict[str, bytes]


class _Zones(Mapping[str, bytes]):
    """Time zones that note which of them were asked for."""

    def __init__(self, known: Mapping[str, bytes]) -> None:
        self._known = known
        self.asked: dict[str, None] = {}

    def __getitem__(self, url: str) -> bytes:
        self.asked[url] = None
        return self._known[url]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def compiled_with_zones(
    body: bytes, terms: Terms, stored: Mapping[str, bytes], fetched: Mapping[str, bytes | None]
) -> Compiled:
    """The script, compiled with the time zones fetched for it now, or with the last good ones (§4.4).

    `stored` is what was fetched for earlier uploads, `fetched` for this one;
    None: it could not be had. Raises Unfetched for what is to be fetched
    first, and CplError with everything that is wrong; nothing is fetched for
    a script that has other faults.
    """
    fresh = {url: data for url, data in fetched.items() if data is not None}
    zones = _Zones({**stored, **fresh})
    fault: CplError | None = None
    try:
        program = compile_on(terms._replace(timezones=zones), body)
    except CplError as error:
        if any(finding.code != CODE for finding in error.findings):
            raise
        fault = error
    wanted = tuple(url for url in zones.asked if url not in fetched and _may_be(url, terms))
    if wanted and len(zones.asked) <= MOST:
        raise Unfetched(wanted)
    if fault is None:
        return Compiled(program, {url: data for url, data in fresh.items() if url in zones.asked})
    if any(url in stored for url in fresh):  # it has changed for the worse: what was good once still is
        return Compiled(compile_on(terms._replace(timezones=stored), body), {})
    raise fault


def zones_asked_for(body: bytes, terms: Terms) -> frozenset[str]:
    """The tzurls that a script needs the data of, be it sound or not."""
    zones = _Zones({})
    with suppress(CplError):
        compile_on(terms._replace(timezones=zones), body)
    return frozenset(zones.asked)


def _may_be(url: str, terms: Terms) -> bool:
    try:
        check_url(url, terms.hosts)
    except NotFetched:
        return False
    return True
