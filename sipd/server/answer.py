"""Answers that this server makes itself, and the one way every answer leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipd.core.privacy import ORDINARY, shown
from sipd.message import Response, response_to

if TYPE_CHECKING:
    from sipd.errors import SipError
    from sipd.hop import Flow
    from sipd.message import Request
    from sipd.seal import Seal
    from sipd.server.house import House
    from sipd.transaction import ServerTransaction


def our_tag(seal: Seal, request: Request) -> str:
    """The To tag of our own answers: the same for every copy of a request, known again without state."""
    return seal.mark("to", request.first("Call-ID") or "", request.first("From") or "")


def local_response(
    seal: Seal,
    request: Request,
    status: int,
    reason: str = "",
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
) -> Response:
    """A response of our own to this request (§8.2.6)."""
    return response_to(request, status, reason, to_tag=our_tag(seal, request), headers=headers, body=body)


def refusal(seal: Seal, request: Request, fault: SipError) -> Response:
    """The answer that a fault asks for."""
    return local_response(seal, request, fault.status, fault.text, fault.headers)


def discreet(house: House, response: Response, flow: Flow) -> Response:
    """A response as the far end of this flow may see it (RFC 3325 §7)."""
    if not response.extras or ORDINARY.issuperset(response.extras) or house.is_peer(flow):
        return response
    return shown(response)


def answer(house: House, server: ServerTransaction, response: Response) -> None:
    """Send this upstream through its transaction."""
    if response.status >= 200:
        house.counters.answered += 1
    data = bytes(discreet(house, response, server.flow))
    if server.flow.closed:
        house.returning.reopen(house, server, data)
    house.transactions.respond(server, response.status, data)
