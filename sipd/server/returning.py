"""Responses whose connection is gone before they could go: a new one, to where the Via says (RFC 3261 §18.2.2)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from sipd.errors import SipError
from sipd.guard import Rate
from sipd.message import sip_uri
from sipd.net import Unreachable, numeric
from sipd.net.locating import sender_hop

if TYPE_CHECKING:
    from sipd.hop import Flow, Hop
    from sipd.message import Uri, Via
    from sipd.server.house import House
    from sipd.transaction import ServerTransaction

MOST_SENT: Final = 1000
"""Responses remembered while the connection for them is being opened."""

REMEMBERED: Final = 32.0
"""Seconds for which: then it is open, or nobody waits for the response any more."""

MOST_OPENED: Final = 10
"""Connections a second that one source can have opened by hanging up; what is not answered there holds its place."""


class _Sent:
    """A response on its way over a connection opened for it."""

    __slots__ = ("data", "hops", "server", "uri")

    def __init__(self, server: ServerTransaction, data: bytes, uri: Uri) -> None:
        self.server = server
        self.data = data
        self.uri = uri  # of who sent the request, by his own words
        self.hops: list[Hop] | None = None  # what is left of where DNS says that is


class Returning:
    """Opens connections for responses; where that fails, a trusted sender is looked for by name (RFC 3263 §5).

    Only a trusted one: anybody else could have our responses delivered to a
    host of his choice by naming it in Via and hanging up (T18). For
    the same reason the Via is that of the request as it came, not what the
    one who answers has made of it.
    """

    __slots__ = ("_opened", "_sent")

    def __init__(self) -> None:
        self._sent: dict[Flow, _Sent] = {}
        self._opened = Rate(MOST_OPENED)  # for those who are no peers

    def __len__(self) -> int:
        return len(self._sent)

    def reopen(self, house: House, server: ServerTransaction, data: bytes) -> None:
        """Give a transaction whose connection is gone another: to `received`, at the port of sent-by."""
        via = server.via
        hop = None if via is None else sender_hop(via)
        is_peer = house.is_peer(server.flow)
        try:
            if hop is None or not (is_peer or self._may_open(house, hop)):
                raise Unreachable
            server.flow = house.network.to(hop)
        except SipError:
            house.counters.unsent += 1  # no way there: the response is lost, as §16.9 has it
            return
        if is_peer and via is not None and numeric(via.host) is None:
            self._note(house, server.flow, _Sent(server, data, _uri_of(via)))

    def _may_open(self, house: House, hop: Hop) -> bool:
        """Whether there is a connection already, or this source may have one opened."""
        return house.network.known(hop) is not None or not self._opened.excess(hop.host, house.now)

    def flow_failed(self, house: House, flow: Flow) -> None:
        """A connection is gone: if it was opened for a response, that goes elsewhere."""
        sent = self._sent.pop(flow, None) if self._sent else None
        if sent is not None:
            house.start_task(partial(self._elsewhere, house, sent))

    async def _elsewhere(self, house: House, sent: _Sent) -> None:
        """To the next place that DNS knows for the sender: the task of one response, ended by the look-up."""
        try:
            if sent.hops is None:
                sent.hops = (await house.resolver.find(sent.uri))[::-1]
            if sent.hops:
                flow = sent.server.flow = house.network.to(sent.hops.pop())
                self._note(house, flow, sent)
                flow.send(sent.data)
        except SipError:
            house.counters.unsent += 1

    def _note(self, house: House, flow: Flow, sent: _Sent) -> None:
        if len(self._sent) < MOST_SENT:
            self._sent[flow] = sent
            house.transactions.deadlines.call_later(REMEMBERED, partial(self._forget, flow))

    def _forget(self, flow: Flow) -> None:
        self._sent.pop(flow, None)


def _uri_of(via: Via) -> Uri:
    """The sender as a URI: sent-by and the transport of the Via, which is looked up like any other (§5)."""
    return sip_uri(via.host, via.port, params=(("transport", via.transport.lower()),))
