"""GETs a page for a script: bounded in size and number, from hosts that the administrator names, and no others.

Nothing of the caller, the call or the machine goes along: no cookies, no
proxies of the environment, no parameters added (RFC 3880 §5.2). The host of
the URL, and of each place a redirection points to, must be listed; whatever
address its name then has is the administrator's word (T48).
"""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

import h11
import trio

from sipd.cpl.sources import PORTS, NotFetched, check_url
from sipd.net.addresses import numeric
from sipd.net.dns import NoAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from sipd.net.dns import Dns

MOST: Final = 65536
"""Bytes of a page."""

AT_ONCE: Final = 64
AT_ONCE_OF_ONE: Final = 4
"""Pages being fetched at a time, in all and for one user; more wait for their turn, within their time."""

MOST_OF_HEAD: Final = 16384
"""Bytes of the head of an answer."""

MOST_INTERIM: Final = 10
"""Interim responses before the page."""

REDIRECTIONS: Final = 3
"""Places one page may be moved to, one after another."""

CONNECTING: Final = 5.0
"""Seconds for one address of a host, when it has several."""

CALENDAR: Final = "text/calendar"
"""The media type of time zones (RFC 5545)."""

PATIENCE: Final = 8.0
"""Seconds that one time zone may take: a phone waits 32 for the answer to its REGISTER."""

MOVED: Final = frozenset({301, 302, 303, 307, 308})


class Page(NamedTuple):
    """What a server answered."""

    status: int
    content_type: str  # empty: not said
    body: bytes  # as it came; nobody decompresses it


class NoPage(Exception):
    """There is no page to be had; `text` says why, for the log."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Web:
    """Fetches pages. `hosts` says whom from, as `hosts_from_text` makes them; `authorities` is a PEM file or empty."""

    def __init__(self, dns: Dns, hosts: Callable[[], frozenset[str]], authorities: Callable[[], str]) -> None:
        self._dns = dns
        self._hosts = hosts
        self._authorities = authorities
        self._all = trio.CapacityLimiter(AT_ONCE)
        self._users: dict[str, tuple[trio.CapacityLimiter, int]] = {}  # whose fetch, and how many wait or run
        self._context: tuple[str, ssl.SSLContext] | None = None

    def __len__(self) -> int:
        """Users for whom something is being fetched."""
        return len(self._users)

    async def get(self, owner: str, url: str, accept: str) -> Page:
        """The page; `accept` is the media type wanted. Raises NoPage.

        It takes as long as it takes: whoever asks sets the time.
        """
        for _ in range(REDIRECTIONS + 1):
            try:
                check_url(url, self._hosts())
            except (NotFetched, ValueError) as fault:  # ValueError: the setting was written past the tools
                raise NoPage(str(fault)) from fault
            async with self._turn(owner):
                page, moved_to = await self._fetch(url, accept)
            if not moved_to:
                return page
            if url.lower().startswith("https:") and not moved_to.lower().startswith("https:"):
                raise NoPage("moved from https to http")
            url = moved_to
        raise NoPage("moved too often")

    @asynccontextmanager
    async def _turn(self, owner: str) -> AsyncIterator[None]:
        """Until it is this user's turn, and then while it lasts."""
        limiter, count = self._users.get(owner, (None, 0))
        limiter = limiter or trio.CapacityLimiter(AT_ONCE_OF_ONE)
        self._users[owner] = (limiter, count + 1)
        try:
            async with limiter, self._all:
                yield
        finally:
            _, count = self._users[owner]
            if count > 1:
                self._users[owner] = (limiter, count - 1)
            else:
                del self._users[owner]

    async def _fetch(self, url: str, accept: str) -> tuple[Page, str]:
        """The page, and where it says it has moved to, if so. One connection for one page: nothing is left of it."""
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), parts.hostname or ""
        start = url.index("//") + 2 + len(parts.netloc)
        headers = [
            ("Host", parts.netloc),
            ("Accept", accept),
            ("Accept-Encoding", "identity"),
            ("User-Agent", "sipd"),
            ("Connection", "close"),
        ]
        try:
            context = await self._tls() if scheme == "https" else None
            stream = await self._connect(host, parts.port or PORTS[scheme], context)
            async with _Closing(stream):
                target = url[start:] if url[start : start + 1] == "/" else f"/{url[start:]}"
                return await _exchange(stream, h11.Request(method="GET", target=target, headers=headers), url)
        except (h11.ProtocolError, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as fault:
            raise NoPage(_words(fault)) from fault

    async def _connect(self, host: str, port: int, context: ssl.SSLContext | None) -> trio.abc.Stream:
        addresses = await _addresses(self._dns, host)
        fault: OSError = TimeoutError(f"{host} did not answer")
        for number, address in enumerate(addresses):
            patience = CONNECTING if number + 1 < len(addresses) else float("inf")
            with trio.move_on_after(patience):  # then it is the next one's turn
                try:
                    stream = await trio.open_tcp_stream(address, port)
                except OSError as error:
                    fault = error
                    continue
                return (
                    stream
                    if context is None
                    else trio.SSLStream(stream, context, server_hostname=host.rstrip("."), https_compatible=True)
                )
        raise fault

    async def _tls(self) -> ssl.SSLContext:
        authorities = self._authorities()
        if self._context is None or self._context[0] != authorities:
            # In a thread: the certificates of all authorities take 50 ms to read.
            made = await trio.to_thread.run_sync(lambda: ssl.create_default_context(cafile=authorities or None))
            self._context = (authorities, made)
        return self._context[1]


async def fetch_all(web: Web, urls: Iterable[str], accept: str, failed: Callable[[str, str], None]) -> dict[str, bytes]:
    """What each of these URLs gives that gives a page, all asked at once; of the others `failed` is told why."""
    found: dict[str, bytes] = {}

    async def fetch(url: str) -> None:
        why = f"no answer in {PATIENCE:g} s"
        with trio.move_on_after(PATIENCE):  # waiting for its turn included
            try:
                page = await web.get("", url, accept)
            except NoPage as fault:
                why = fault.text
            else:
                if page.status == 200:
                    found[url] = page.body
                    return
                why = f"status {page.status}"
        failed(url, why)

    async with trio.open_nursery() as nursery:  # as long as the slowest of them
        for url in urls:
            nursery.start_soon(fetch, url)
    return found


class _Closing:
    """Closes a stream at once, whatever its other end does."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def __aenter__(self) -> None:
        """It is open."""

    async def __aexit__(self, *exc: object) -> None:
        await trio.aclose_forcefully(self._stream)


async def _exchange(stream: trio.abc.Stream, request: h11.Request, url: str) -> tuple[Page, str]:
    """Ask, and read the answer as far as it is allowed to go."""
    connection = h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=MOST_OF_HEAD)
    await stream.send_all(connection.send(request) + connection.send(h11.EndOfMessage()))
    page, body, interim = Page(0, "", b""), bytearray(), 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(MOST)))
        elif isinstance(event, h11.InformationalResponse):
            interim += 1
            if interim > MOST_INTERIM:
                raise NoPage("it says a lot and no page comes")
        elif isinstance(event, h11.Response):
            page, moved_to = _head_of(event, url)
            if moved_to:
                return page, moved_to
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MOST:
                raise NoPage(f"it has more than {MOST} bytes")
        else:
            return page._replace(body=bytes(body)), ""


def _head_of(response: h11.Response, url: str) -> tuple[Page, str]:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
    if response.status_code in MOVED and headers.get("location"):
        try:
            return Page(response.status_code, "", b""), urljoin(url, headers["location"])
        except ValueError:
            raise NoPage("moved to what is no URL") from None
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise NoPage("it came compressed")
    return Page(response.status_code, headers.get("content-type", ""), b""), ""


async def _addresses(dns: Dns, host: str) -> tuple[str, ...]:
    address = numeric(host)
    if address is not None:
        return (address,)
    dns.recheck()
    try:
        found = (await dns.addresses(host.rstrip("."))).records
    except NoAnswer as fault:
        raise NoPage(f"{host} could not be looked up") from fault
    if not found:
        raise NoPage(f"there is no host {host}")
    return found


def _words(fault: BaseException) -> str:
    """What went wrong, from the innermost cause."""
    while fault.__cause__ is not None or (fault.__context__ is not None and not str(fault)):
        fault = fault.__cause__ or fault.__context__ or fault
    return f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
