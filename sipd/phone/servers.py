"""Requests that come to a phone, and what it answers: transactions of the server (RFC 3261 §17.2, §13.3, §9.2)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import trio

from sipd.hop import RELIABLE
from sipd.message import Response, response_to
from sipd.phone.dialog import FINAL_OF_CANCEL, Call, session
from sipd.phone.faults import NoWay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sipd.hop import Hop
    from sipd.message import Message, Request
    from sipd.phone.dialog import Incoming, Times

    Send = Callable[[Message, Hop, bool], Awaitable[None]]

ALLOW: Final = "INVITE, ACK, CANCEL, BYE, OPTIONS"
"""What a phone understands."""


class Servers:
    """The server side of a phone: rings and answers, and says an answer again when it is asked again."""

    def __init__(self, send: Send, calls: dict[str, Call], times: Times, incoming: Incoming) -> None:
        self._send = send
        self._calls = calls
        self._times = times
        self._incoming = incoming
        self._nursery: trio.Nursery | None = None
        self._contact = ""
        self._host = ""
        self._answers: dict[tuple[str, str], Response | None] = {}  # the last one, by branch and method
        self._simple: dict[str, Callable[[Request], Response]] = {
            "CANCEL": self._cancelled,
            "BYE": self._ended,
            "OPTIONS": lambda request: response_to(request, 200, headers=(("Allow", ALLOW),)),
        }

    def begin(self, nursery: trio.Nursery, contact: str, host: str) -> None:
        """Know where calls ring, and what to put into answers; before the first request."""
        self._nursery, self._contact, self._host = nursery, contact, host

    def known(self, request: Request) -> bool:
        """Whether this request came before (§17.2.3)."""
        return request.method != "ACK" and _key(request) in self._answers

    async def hear(self, request: Request, far: Hop) -> None:
        """Answer one request, or begin to ring."""
        if request.method == "ACK":
            call = self._calls.get(request.call_id)
            if call is not None:
                call.acked.set()
            return
        key = _key(request)
        if key in self._answers:
            known = self._answers[key]
            if known is not None:
                await self._send(known, far, True)
            return
        self._answers[key] = None
        if request.method == "INVITE" and request.to_tag is None:
            assert self._nursery is not None
            self._nursery.start_soon(self._ring, request, far)
            return
        answer = self._simple.get(request.method, self._not_allowed)
        await self._answer(request, answer(request), far)

    async def _answer(self, request: Request, response: Response, far: Hop, again: bool = False) -> None:
        self._answers[_key(request)] = response
        await self._send(response, far, again)

    def _not_allowed(self, request: Request) -> Response:
        return response_to(request, 405, headers=(("Allow", ALLOW),))

    def _cancelled(self, request: Request) -> Response:
        call = self._calls.get(request.call_id)
        if call is None or (request.via.branch or "", "INVITE") not in self._answers:
            return response_to(request, 481)
        call.cancelled.set()
        return response_to(request, 200)

    def _ended(self, request: Request) -> Response:
        call = self._calls.get(request.call_id)
        if call is None or not (call.answered or call.dialog is not None):
            return response_to(request, 481)
        call.ended_by = call.ended_by or "them"
        call.ended.set()
        return response_to(request, 200)

    async def _ring(self, invite: Request, far: Hop) -> None:
        """One call, from its INVITE to the ACK of its final answer (§13.3.1)."""
        call = self._calls[invite.call_id] = Call(invite.call_id)
        tag = secrets.token_hex(8)
        begin = trio.current_time()
        routes = tuple(("Record-Route", value) for value in invite.values("Record-Route"))
        contact = ("Contact", f"<{self._contact}>")
        incoming = self._incoming
        try:
            if incoming.status < 300:
                ringing = response_to(invite, 180, to_tag=tag, headers=(*routes, contact))
                await self._answer(invite, ringing, far)
                call.ringing.set()
                if incoming.status:
                    with trio.move_on_after(incoming.ring):  # how long it rings
                        await call.cancelled.wait()
                else:
                    await call.cancelled.wait()
            call.status = FINAL_OF_CANCEL if call.cancelled.is_set() else incoming.status
            call.seconds = trio.current_time() - begin
            if call.answered:
                final = response_to(
                    invite,
                    call.status,
                    to_tag=tag,
                    headers=(*routes, contact, ("Allow", ALLOW)),
                    body=session(self._host),
                    content_type="application/sdp",
                )
            else:
                final = response_to(invite, call.status, to_tag=tag)
                call.ended.set()
            call.reason = final.reason
            await self._until_acked(call, invite, final, far)
        except NoWay:  # whoever called is gone: the ladder shows what was sent
            return

    async def _until_acked(self, call: Call, invite: Request, final: Response, far: Hop) -> None:
        """Say it, and again until the ACK comes: a 2xx over any transport (§13.3.1.4), a refusal over UDP (§17.2.1)."""
        gap = self._times.t1
        await self._answer(invite, final, far)
        if far.transport in RELIABLE and not call.answered:
            return
        with trio.move_on_after(64 * self._times.t1):  # timer H
            while True:
                with trio.move_on_after(gap):  # timer G
                    await call.acked.wait()
                    return
                gap = min(2 * gap, self._times.t2)
                await self._answer(invite, final, far, again=True)


def _key(request: Request) -> tuple[str, str]:
    return request.via.branch or "", request.method
