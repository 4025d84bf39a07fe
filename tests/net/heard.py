"""A receiver for tests: remembers what came, and lets a test wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.hop import Flow

IN_TIME = 10.0  # seconds; only a failing test takes as long


class Heard:
    """Use it as `receive`; `then` is called for each message after it was remembered."""

    def __init__(self, then: Callable[[bytes, Flow], None] | None = None) -> None:
        self.items: list[bytes] = []
        self.flows: list[Flow] = []
        self.then = then
        self._news = trio.lowlevel.ParkingLot()

    def __call__(self, data: bytes, flow: Flow) -> None:
        self.items.append(data)
        self.flows.append(flow)
        if self.then is not None:
            self.then(data, flow)
        self._news.unpark_all()

    async def count(self, wanted: int) -> None:
        """Waits until that many messages have come."""
        with trio.fail_after(IN_TIME):
            while len(self.items) < wanted:
                await self._news.park()


class Failed:
    """Use it as `on_failed`."""

    def __init__(self) -> None:
        self.flows: list[Flow] = []
        self._news = trio.lowlevel.ParkingLot()

    def __call__(self, flow: Flow) -> None:
        self.flows.append(flow)
        self._news.unpark_all()

    async def count(self, wanted: int) -> None:
        with trio.fail_after(IN_TIME):
            while len(self.flows) < wanted:
                await self._news.park()


def echo(data: bytes, flow: Flow) -> None:
    flow.send(data)


def message(name: str = "one", body: bytes = b"") -> bytes:
    """A request that frames well."""
    return (
        f"OPTIONS sip:{name}@example.com SIP/2.0\r\nCall-ID: {name}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
