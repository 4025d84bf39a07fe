"""Requests that a phone sends, until their final answer: transactions of the client (RFC 3261 §17.1, §22.2)."""

from __future__ import annotations

import secrets
from contextlib import suppress
from ipaddress import ip_address
from math import inf
from typing import TYPE_CHECKING, Final

import trio

from sipd.hop import DEFAULT_PORTS, RELIABLE, Hop
from sipd.message import Request, Response, parse_address, parse_uri
from sipd.phone.account import HEADERS, is_stale, proof
from sipd.phone.dialog import COOKIE, hop_by_hop
from sipd.phone.faults import NoWay, Unanswered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sipd.message import Message
    from sipd.phone.account import Account
    from sipd.phone.dialog import Dialog, Times
    from sipd.phone.wire import Wire

CHALLENGES: Final = 3
"""Answers to a challenge that are tried: the nonce of one may be too old."""


class Clients:
    """The client side of a phone: sends, repeats over UDP, answers challenges, acknowledges."""

    def __init__(
        self, account: Account, server: Hop, wire: Wire, times: Times, sent: Callable[[Message, Hop, bool], None]
    ) -> None:
        self._account = account
        self._server = server
        self._wire = wire
        self._times = times
        self._sent = sent
        self._waiting: dict[tuple[str, str], trio.MemorySendChannel[Response]] = {}
        self._acks: dict[str, tuple[Request, Hop]] = {}  # by branch of the INVITE: said again when its answer is

    async def send(self, message: Message, far: Hop, again: bool = False) -> None:
        """Send a message and write it down."""
        self._sent(message, far, again)
        await self._wire.send(bytes(message), far)

    def via(self, far: Hop) -> str:
        """A Via value for a new transaction (§8.1.1.7)."""
        return f"SIP/2.0/{far.transport} {self._wire.sent_by};branch={COOKIE}{secrets.token_hex(8)};rport"

    async def ask(
        self,
        dialog: Dialog,
        method: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        ringing: Callable[[], None] | None = None,
    ) -> tuple[Request, Response]:
        """The final answer, and the request that got it: a challenge is answered once, a stale nonce again (§22.2).

        Raises PhoneError when there is no answer, or a challenge can't be answered.
        """
        far = await self.next_hop(dialog)
        answers: tuple[tuple[str, str], ...] = ()
        for left in reversed(range(CHALLENGES)):
            dialog.cseq += 1
            request = dialog.request(method, self.via(far), (*answers, *headers), body)
            response = await self.exchange(request, far, ringing)
            if response.status not in HEADERS or not left or (answers and not is_stale(response)):
                break
            answers = (proof(self._account, request, response),)
        return request, response

    async def exchange(self, request: Request, far: Hop, ringing: Callable[[], None] | None = None) -> Response:
        """The final answer to this one request (§17.1.1.2, §17.1.2.2); an INVITE that rings too long is cancelled.

        Raises Unanswered when nothing came in time, NoWay when it can't be sent.
        """
        key = request.via.branch or "", request.method
        inbox, heard = trio.open_memory_channel[Response](100)
        self._waiting[key] = inbox
        try:
            response = await self._final(request, far, heard, ringing)
        finally:
            del self._waiting[key]
        if request.method == "INVITE" and response.status >= 300:
            await self._acknowledge(request, hop_by_hop(request, "ACK", response.first("To") or ""), far)
        return response

    async def _final(
        self,
        request: Request,
        far: Hop,
        heard: trio.MemoryReceiveChannel[Response],
        ringing: Callable[[], None] | None,
    ) -> Response:
        times, is_invite = self._times, request.method == "INVITE"
        gap = inf if far.transport in RELIABLE else times.t1
        now = trio.current_time()
        again_at, give_up_at = now + gap, now + times.patience
        await self.send(request, far)
        provisional, cancelled = 0, False
        while True:
            response = None
            with trio.move_on_at(min(again_at, give_up_at)):  # timers A or E, and B or F
                response = await heard.receive()
            now = trio.current_time()
            if response is not None and response.status >= 200:
                return response
            if response is not None and is_invite:  # §17.1.1.2: no more copies
                again_at = inf
                if provisional <= 100:
                    provisional = response.status
                    give_up_at = now + (times.ringing if provisional > 100 else max(times.patience, times.ringing))
                if response.status > 100 and ringing is not None:
                    ringing()
            elif response is not None:
                gap, provisional = times.t2, response.status
            elif now < give_up_at:
                gap = gap * 2 if is_invite else min(gap * 2, times.t2)
                again_at = now + gap
                await self.send(request, far, again=True)
            elif is_invite and provisional and not cancelled:
                cancelled = True
                await self.exchange(hop_by_hop(request, "CANCEL"), far)
                give_up_at = trio.current_time() + times.patience
            else:
                raise _unanswered(request, far, times.patience, provisional)

    async def next_hop(self, dialog: Dialog) -> Hop:
        """Where a request goes: to the server; within a call along the route set, else to the far end (§12.2.1.1)."""
        if not dialog.established:
            return self._server
        uri = parse_address(dialog.routes[0]).uri if dialog.routes else parse_uri(dialog.target)
        transport = uri.transport
        port = uri.port or DEFAULT_PORTS.get(transport, 5060)
        host = uri.param("maddr") or uri.host
        try:
            return Hop(transport, ip_address(host).compressed, port)
        except ValueError:
            pass
        try:
            found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
        except OSError as fault:
            raise NoWay(f"the next hop {uri} is a name without an address", "ACK") from fault
        return Hop(transport, str(found[0][4][0]), port)

    async def accept(self, dialog: Dialog, invite: Request) -> None:
        """Acknowledge the 2xx of that INVITE, along the route set (§13.2.2.4)."""
        far = await self.next_hop(dialog)
        ack = dialog.request("ACK", self.via(far), cseq=invite.cseq.number)
        await self._acknowledge(invite, ack, far)

    async def _acknowledge(self, invite: Request, ack: Request, far: Hop) -> None:
        self._acks[invite.via.branch or ""] = (ack, far)
        await self.send(ack, far)

    def known(self, response: Response) -> bool:
        """Whether this final answer of an INVITE was acknowledged before."""
        return response.status >= 200 and response.cseq.method == "INVITE" and response.via.branch in self._acks

    async def hear(self, response: Response) -> None:
        """Give a response to whoever waits for it; say the ACK again when one comes again."""
        branch = response.via.branch or ""
        if self.known(response):
            await self.send(*self._acks[branch], again=True)
            return
        inbox = self._waiting.get((branch, response.cseq.method))
        if inbox is not None:
            with suppress(trio.WouldBlock):  # a hundred answers and none final: enough
                inbox.send_nowait(response)


def _unanswered(request: Request, far: Hop, patience: float, provisional: int) -> Unanswered:
    what = f"only {provisional}" if provisional else "nothing"
    return Unanswered(f"{request.method} to {far}: {what} came back within {patience:g} s", request.method)
