"""The branch of what is passed on without a transaction, and what it says of the way back (RFC 3261 §16.11).

It begins with a hash that is the same for every copy of a request, and for
the ACK and CANCEL that belong to it. Then comes a mark over it, the Via below
and the place the request came from: so a response is known as one to what we
passed on, and goes nowhere else (T112, T114).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.core.forwarding import COOKIE
from sipd.errors import BadSyntax
from sipd.message import parse_via

if TYPE_CHECKING:
    from sipd.message import Request, Response, Via
    from sipd.seal import Seal

_PURPOSE: Final = "passed"
_MARK: Final = 24  # characters of a mark
_PLACE: Final = 6  # two hex digits for the listener, four for the port


class Back(NamedTuple):
    """Where the answers to a request go, besides what its Via says."""

    listener: int  # which of ours it came in by, counted from 0
    port: int  # of the far end

    def __str__(self) -> str:
        return f"{self.listener:02x}{self.port:04x}"


def unique_part(request: Request, seal: Seal) -> str:
    """What is the same for every copy of a request, its ACK and CANCEL, and for no other request.

    §16.11 would have the To tag in it for a client of RFC 2543; the ACK of a
    refusal has one where the INVITE had none, so it is left out.
    """
    branch = request.branch or ""
    if branch[: len(COOKIE)] == COOKIE and branch != COOKIE:
        return seal.mark("relay", branch, request.via.sent_by)
    number = str(request.cseq.number)
    return seal.mark("relay", str(request.via), request.from_tag or "", request.call_id, number, request.request_uri)


def sealed_branch(request: Request, unique: str, back: Back, loop: str, seal: Seal) -> str:
    """The branch of the copy sent on; `loop` is the mark by which a loop is known, or empty."""
    mark = seal.mark(_PURPOSE, *_words(request.via, unique, back, request.call_id))
    branch = f"{COOKIE}{unique}{mark}{back}"
    return f"{branch}.{loop}" if loop else branch


def way_back(response: Response, seal: Seal) -> tuple[Via, Back] | None:
    """The Via below ours and the rest of the way, where the branch on top has our seal; else None."""
    branch = response.branch or ""
    at = len(COOKIE) + 2 * _MARK
    text = branch[at : at + _PLACE]
    if not branch.startswith(COOKIE) or len(text) < _PLACE or branch[at + _PLACE :][:1] not in ("", "."):
        return None
    try:
        back = Back(int(text[:2], 16), int(text[2:], 16))
        vias = response.values("Via")
        below = parse_via(vias[1]) if len(vias) > 1 else None
        unique = branch[len(COOKIE) : len(COOKIE) + _MARK]
        if below is None or not seal.holds(
            branch[at - _MARK : at], _PURPOSE, *_words(below, unique, back, response.call_id)
        ):
            return None
    except (BadSyntax, ValueError):
        return None
    return below, back


def _words(via: Via, unique: str, back: Back, call_id: str) -> tuple[str, ...]:
    place = f"{via.transport} {via.host.lower()} {via.port} {via.received} {via.rport} {via.branch}"
    return (unique, str(back), place, call_id)
