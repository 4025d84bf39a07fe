"""Edits of the copy sent on and of the response sent back (RFC 3261 §16.6, §16.7, §18.2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.core.privacy import ORDINARY, assert_identity, keep_private
from sipd.core.routes import path_value, record_route_value
from sipd.core.sips import is_secure
from sipd.core.ways import Token, is_direct, sender_token, token_from_text, token_text
from sipd.errors import BadSyntax
from sipd.hop import DEFAULT_PORTS, RELIABLE, SECURE
from sipd.message import Draft, Response, Via, parse_address, split_list
from sipd.seal import Seal  # noqa: TC001 - mypyc looks it up when the class is made

if TYPE_CHECKING:
    from sipd.hop import Hop, Target, Way
    from sipd.message import Request

DIALOG_MAKERS: Final = frozenset({"INVITE", "SUBSCRIBE", "REFER", "NOTIFY"})
"""Methods whose request without a To tag may make a dialog: only there does Record-Route count (§16.6 step 4)."""

PLAIN: Final = ORDINARY - {"Route", "Record-Route"}
"""Header fields that go on as they are, where they are."""

COOKIE: Final = "z9hG4bK"
"""What every branch of RFC 3261 begins with (§8.1.1.7)."""


Ends = tuple["Way", "Way | None"]
"""The way back to the sender, and the way on; None: what he sends from where he is may go anywhere (P6)."""


class Passage(NamedTuple):
    """How one request crosses this server: what the edits need besides the request."""

    target: Target
    branch: str
    sent_by: str  # our end towards the target
    transport: str
    came_by: str  # our end towards the sender
    came_transport: str
    record_route: bool
    seal: Seal
    max_breadth: int = 60  # of this branch, to be said in the copy (RFC 5393 §5.3.3)
    came: Way | None = None  # the flow it came in by
    to_peer: bool = False  # the next hop is trusted (RFC 3325 §5)
    asserted: tuple[str, ...] = ()  # who calls, for a peer
    confined: Ends | None = None  # where the dialog may lead, if not anywhere


def stamp(request: Request, source: Hop) -> None:
    """Write into the topmost Via where the request really came from (§18.2.1, RFC 3581 §4).

    Done once, at the door, before anybody else has seen the request. What the
    client itself wrote into `received` and `rport` is overwritten.
    """
    try:
        via = request.via
    except BadSyntax:
        answerable = request.reply_via
        if answerable is None:
            return
        via = answerable
    params = via.params
    if not params[1:] and params and params[0][0] == "branch" and via.host == source.host:
        return  # he asks for nothing, and says where he is
    at = request.via_at
    if request.lines[at] == f"Via: SIP/2.0/{via.transport} {via.sent_by};branch={via.branch};rport":  # as usual
        request.lines[at] = f"{request.lines[at][:-6]};received={source.host};rport={source.port}"
        params = (via.params[0], ("received", source.host), ("rport", str(source.port)))
        request.via = Via(via.transport, via.host, via.port, params)
        return
    asked = via.param("rport") is not None
    if not asked and via.host == source.host and via.param("received") is None:
        return
    kept = [(name, value) for name, value in via.params if name not in ("received", "rport")]
    kept.append(("received", source.host))
    if asked:
        kept.append(("rport", str(source.port)))
    stamped = via._replace(params=tuple(kept))
    others = split_list(request.first("Via") or "")[1:] if "," in request.lines[at] else []
    request.lines[at] = "Via: " + ", ".join([str(stamped), *others])
    request.via = stamped


def forwarded_copy(request: Request, passage: Passage) -> bytes:
    """The request as it goes to one target, in the order of §16.6."""
    names = request.names
    extras = request.extras
    moves = "Record-Route" in names or bool(extras and not PLAIN.issuperset(extras))
    if moves or passage.target.path or passage.asserted or request.method == "REGISTER":
        draft = Draft(request)
        for edit in EDITS:  # each leaves what is not its own as it was
            edit(draft, request, passage)
        return bytes(draft)
    # What EDITS come to where there is no route and nothing to hide: three lines are new or other, nothing moves.
    lines = request.lines.copy()
    top = request.via_at
    lines[top] = f"Via: SIP/2.0/{passage.transport} {passage.sent_by};branch={passage.branch}\r\n{lines[top]}"
    hops = request.max_forwards
    if hops is None:
        lines.append("Max-Forwards: 70")
    else:
        lines[names.index("Max-Forwards")] = f"Max-Forwards: {hops - 1}"
    if "Max-Breadth" in names:
        lines[names.index("Max-Breadth")] = f"Max-Breadth: {passage.max_breadth}"
    else:
        lines.append(f"Max-Breadth: {passage.max_breadth}")
    if passage.transport in RELIABLE and "Content-Length" not in names:
        lines.append(f"Content-Length: {len(request.body)}")
    values = _record_routes(request, passage)
    routes = [f"Record-Route: {value}" for value in values] if values else ()
    head = "\r\n".join([f"{request.method} {passage.target.uri.text} SIP/2.0", *routes, *lines, "", ""])
    return head.encode("utf-8", "surrogateescape") + request.body


def set_request_uri(draft: Draft, request: Request, passage: Passage) -> None:
    """Step 2: the target's URI, in which nothing can break a line: it was parsed."""
    draft.start_line = f"{request.method} {passage.target.uri.text} SIP/2.0"


def lower_max_forwards(draft: Draft, request: Request, passage: Passage) -> None:
    """Step 3: one less; 70 where there was none. It comes once at most."""
    hops = request.max_forwards
    if hops is None:
        draft.append("Max-Forwards", "70")
    else:
        draft.lines[draft.names.index("Max-Forwards")] = f"Max-Forwards: {hops - 1}"


def share_breadth(draft: Draft, request: Request, passage: Passage) -> None:
    """The share of this branch of how many the request may have at once (RFC 5393 §5.3.3)."""
    draft.replace("Max-Breadth", str(passage.max_breadth))


def record_route(draft: Draft, request: Request, passage: Passage) -> None:
    """Step 4: stay in the dialog; between a phone and its registrar, in the way back (RFC 3327 §5.2)."""
    for value in reversed(_record_routes(request, passage)):
        draft.prepend("Record-Route", value)
    if request.method == "REGISTER" and passage.came is not None and is_direct(request) and _knows_path(request):
        token = token_text(Token(passage.came, True))
        if token:
            secure = is_secure(request, passage.target)
            draft.prepend("Path", path_value(passage.sent_by, passage.transport, passage.seal, token, secure=secure))


def _record_routes(request: Request, passage: Passage) -> tuple[str, ...]:
    """Our own values, topmost first: both our ends where they differ (RFC 5658 §3).

    Both, too, where one side is reached by its flow only: the value of that
    side names it, and the order says which way a request goes. Sips URIs where
    the Request-URI or the next hop's is one; where it changes between secure and
    not we stay in any case (§16.6 step 4).
    """
    if request.method not in DIALOG_MAKERS or request.to_tag is not None:
        return ()
    here = "" if passage.came is None else sender_token(request, passage.came)
    there = _target_token(passage.target)
    secure = is_secure(request, passage.target)
    by_itself = passage.record_route or here or there or secure != (passage.came_transport in SECURE)
    if not (by_itself or _must_stay(request, passage.target)):
        return ()
    only_from = ""
    if passage.confined is not None:
        back, onward = passage.confined
        here = _of_stranger(here, back)
        there = there if onward is None else _of_stranger(there, onward)
        only_from = back.remote.host
    seal = passage.seal
    came = record_route_value(request, passage.came_by, passage.came_transport, seal, here, secure=secure)
    if passage.sent_by == passage.came_by and passage.transport == passage.came_transport and not here and not there:
        return (came,)
    onwards = record_route_value(
        request, passage.sent_by, passage.transport, seal, there, secure=secure, only_from=only_from
    )
    return onwards, came


def _of_stranger(token: str, way: Way) -> str:
    """The token of one side of a dialog with a stranger: his seal must lead him to that flow, or its address, only."""
    known = token_from_text(token) if token else None
    return token if known is not None and known.bound else token_text(Token(way, False, True))


def _target_token(target: Target) -> str:
    """The token of the flow that a request goes by; empty where it goes by the URI or by a Path."""
    return "" if target.received is None or target.path else token_text(Token(target.received, target.bound))


def _must_stay(request: Request, target: Target) -> bool:
    """Whether a GRUU needs us in the dialog, whatever the setting says (RFC 5627 §6.2)."""
    if target.path and target.owner:
        return True
    return "Record-Route" in request.names and ";gr" in (request.first("Contact") or "")


EDGE: Final = frozenset({"path", "outbound"})


def _knows_path(request: Request) -> bool:
    """Whether the client says that it knows Path, as those who know outbound do (RFC 3327 §5.2)."""
    return "Supported" in request.names and not EDGE.isdisjoint(map(str.lower, request.values("Supported")))


def add_path(draft: Draft, request: Request, passage: Passage) -> None:
    """The Path of the binding as Route, first hop on top (RFC 3327 §5.3)."""
    for value in reversed(passage.target.path):
        draft.prepend("Route", value)


def follow_strict_route(draft: Draft, request: Request, passage: Passage) -> None:
    """Step 6: a next hop without `lr` wants itself as Request-URI and the target at the end of Route."""
    if "Route" not in draft.names:
        return
    uri = parse_address(draft.first_value("Route") or "").uri
    if uri.param("lr") is None:
        draft.remove_first_value("Route")
        draft.append("Route", f"<{passage.target.uri.text}>")
        draft.start_line = f"{request.method} {uri.text} SIP/2.0"


def add_via(draft: Draft, request: Request, passage: Passage) -> None:
    """Step 8: our own Via above the others; all of its text is ours."""
    at = draft.names.index("Via")
    draft.names.insert(at, "Via")
    draft.lines.insert(at, f"Via: SIP/2.0/{passage.transport} {passage.sent_by};branch={passage.branch}")


def show_or_hide(draft: Draft, request: Request, passage: Passage) -> None:
    """Who calls: told to a peer, kept from others where it is private (RFC 3325 §5, §7)."""
    if passage.to_peer:
        assert_identity(draft, request, passage.asserted)
    elif not ORDINARY.issuperset(draft.names):
        keep_private(draft, request)


def add_content_length(draft: Draft, request: Request, passage: Passage) -> None:
    """Step 9: a stream is cut into messages by it (§18.3); a datagram may have come without."""
    if passage.transport in RELIABLE and "Content-Length" not in draft.names:
        draft.append("Content-Length", str(len(request.body)))


EDITS: Final = (
    set_request_uri,
    lower_max_forwards,
    share_breadth,
    record_route,
    add_path,
    follow_strict_route,
    show_or_hide,
    add_via,
    add_content_length,
)


def returned_copy(response: Response) -> Response:
    """The response without our Via, as the hop before us shall see it (§16.7 step 3).

    One that came without Content-Length gets it: the way back may be a stream (§18.3).
    """
    if "Content-Length" not in response.names:
        response = _with_length(response)
    at = response.via_at
    names, lines = response.names, response.lines.copy()
    rest = split_list(response.first("Via") or "")[1:] if "," in lines[at] else ()
    if rest:
        lines[at] = "Via: " + ", ".join(rest)
    else:
        names = names.copy()
        del names[at], lines[at]
    returned = Response(response.start_line, names, lines, response.body)
    returned.extras = response.extras
    return returned


def _with_length(response: Response) -> Response:
    length = f"Content-Length: {len(response.body)}"
    names, lines = [*response.names, "Content-Length"], [*response.lines, length]
    return Response(response.start_line, names, lines, response.body)


def is_ours(response: Response, sent_by: str) -> bool:
    """Whether the top Via of a response is one that we put there with this sent-by (§18.1.2)."""
    if sent_by in response.lines[response.via_at]:
        return True
    via = response.via  # another spelling of it
    named = via if via.port is not None else via._replace(port=DEFAULT_PORTS.get(via.transport))
    return named.sent_by.lower() == sent_by.lower()
