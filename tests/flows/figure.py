"""Figures of flows as text, compared with what went over the network; and the rules every message keeps there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sipd.core.forwarding import DIALOG_MAKERS
from sipd.hop import DEFAULT_PORTS
from sipd.message import Request, Response, parse, parse_via

if TYPE_CHECKING:
    from sipd.message import Message
    from tests.flows.stage import Proxy, Stage

COOKIE = "z9hG4bK"


class Arrow(NamedTuple):
    """One message of a figure."""

    source: str
    target: str
    message: Message
    data: bytes

    @property
    def what(self) -> str:
        """A request's method, a response's status."""
        message = self.message
        if isinstance(message, Request):
            return message.method
        assert isinstance(message, Response)
        return str(message.status)

    @property
    def vias(self) -> list[str]:
        return self.message.values("Via")

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What an answer and its request, and the copies of one message at each hop, have in common."""
        message = self.message
        return (message.call_id, message.cseq.number, message.cseq.method, message.from_tag or "")

    def is_copy(self, other: Arrow) -> bool:
        """Whether both are one message, at different hops."""
        same = self.key == other.key and self.what == other.what
        return same and self.message.to_tag == other.message.to_tag

    def __str__(self) -> str:
        return f"{self.source} -> {self.target} {self.what}"


def arrows(stage: Stage) -> list[Arrow]:
    """All that was sent, in order."""
    return [
        Arrow(stage.actors[sent.source.host], stage.actors[sent.target.host], parse(sent.data), sent.data)
        for sent in stage.network.sent
    ]


def expect(stage: Stage, figure: str, *, since: int = 0) -> None:
    """The flow was that of the figure, and every message of a proxy kept the rules.

    A line of the figure is `F1 alice -> proxy1 INVITE`; the number is the RFC's.
    """
    _compare(stage, "\n".join(str(arrow) for arrow in arrows(stage)[since:]), figure)


def expect_end_to_end(stage: Stage, figure: str, *, since: int = 0) -> None:
    """The same without the proxies: what each phone heard, and who wrote it."""
    _compare(stage, end_to_end(stage, since), figure)


def _compare(stage: Stage, shown: str, figure: str) -> None:
    wanted = "\n".join(line.strip().partition(" ")[2].strip() for line in figure.strip().splitlines())
    assert shown == wanted, f"not as in the figure:\n{shown}"
    keep_the_rules(stage)
    for agent in stage.agents.values():
        assert agent.quiet(), f"{agent.name} heard more than the figure shows"
    for proxy in stage.proxies.values():
        assert proxy.house.counters.faults == 0, "something broke behind the door"


def keep_the_rules(stage: Stage) -> None:
    """Look at every message that a proxy sent: Via, Route, Max-Forwards, branch, tags, what must be left alone."""
    before: list[Arrow] = []
    branches: dict[tuple[str, str], Arrow] = {}
    for arrow in arrows(stage):
        proxy = stage.proxies.get(arrow.source)
        if proxy is not None:
            heard = [one for one in before if one.target == arrow.source and one.key == arrow.key]
            if isinstance(arrow.message, Response):
                _response(arrow, heard)
            elif _is_hop_by_hop(arrow, before):
                _hop_by_hop(arrow, before)
            else:
                _request(proxy, arrow, heard, branches)
        before.append(arrow)


def _request(proxy: Proxy, arrow: Arrow, heard: list[Arrow], branches: dict[tuple[str, str], Arrow]) -> None:
    """A request sent on (RFC 3261 §16.6)."""
    copy = arrow.message
    came = next(one.message for one in heard if isinstance(one.message, Request) and one.what == arrow.what)
    via = parse_via(arrow.vias[0])
    assert (via.host, via.port) == (proxy.host, DEFAULT_PORTS[via.transport]), f"{arrow}: not its own Via"
    assert (via.branch or "").startswith(COOKIE), f"{arrow}: a branch without the cookie"
    known = branches.setdefault((via.branch or "", arrow.what), arrow)
    assert known.data == arrow.data, f"{arrow}: the branch of another request (§8.1.1.7)"
    below = [parse_via(text) for text in arrow.vias[1:]]
    theirs = [parse_via(text) for text in came.values("Via")]
    assert [(one.sent_by, one.branch) for one in below] == [(one.sent_by, one.branch) for one in theirs], arrow
    assert below[0].param("received"), f"{arrow}: a Via with a host name says where it came from (§18.2.1)"
    assert copy.max_forwards == (came.max_forwards or 71) - 1, f"{arrow}: Max-Forwards {copy.max_forwards}"
    added = copy.values("Record-Route")
    if "Record-Route" in came.names:
        added = added[: -len(came.values("Record-Route"))]
    wants = proxy.records_route and arrow.what in DIALOG_MAKERS and came.to_tag is None
    assert bool(added) == wants, f"{arrow}: Record-Route {added}"
    for value in added:
        assert proxy.host in value, f"{arrow}: the Record-Route of another"
        assert ";lr" in value, f"{arrow}: a Record-Route without lr"
    ours, rest = came.values("Route"), copy.values("Route")
    assert ours[len(ours) - len(rest) :] == rest, f"{arrow}: Route {rest}"
    assert len(ours) - len(rest) == sum(proxy.host in value for value in ours), f"{arrow}: Route {rest}"
    _same(arrow, copy, came, "From", "To", "Call-ID", "CSeq", "Contact", "Refer-To", "Replaces", "Join", "Event")


def _response(arrow: Arrow, heard: list[Arrow]) -> None:
    """A response sent back (§16.7), or one of its own (§8.2.6)."""
    message = arrow.message
    assert isinstance(message, Response)
    if message.status > 100:
        assert message.to_tag, f"{arrow}: no To tag"
    for one in heard:
        came = one.message
        if isinstance(came, Response) and one.is_copy(arrow) and one.vias[1:] == arrow.vias:
            _same(arrow, message, came, "From", "To", "Call-ID", "CSeq", "Contact", "Record-Route")
            return
    request = next(one for one in heard if isinstance(one.message, Request))  # of its own
    assert [parse_via(text).branch for text in arrow.vias] == [parse_via(text).branch for text in request.vias], arrow
    assert not message.values("Record-Route"), f"{arrow}: makes no dialog"
    assert parse_via(arrow.vias[0]).param("received"), f"{arrow}: §18.2.1"
    _same(arrow, message, request.message, "From", "Call-ID", "CSeq")


def _is_hop_by_hop(arrow: Arrow, before: list[Arrow]) -> bool:
    """Whether it is a CANCEL, or the ACK of a refusal: not sent on, but of the INVITE sent before."""
    return arrow.what == "CANCEL" or (arrow.what == "ACK" and _invite_of(arrow, before) is not None)


def _invite_of(arrow: Arrow, before: list[Arrow]) -> Arrow | None:
    branch = parse_via(arrow.vias[0]).branch
    for one in before:
        if one.source == arrow.source and one.what == "INVITE" and parse_via(one.vias[0]).branch == branch:
            return one
    return None


def _hop_by_hop(arrow: Arrow, before: list[Arrow]) -> None:
    """§9.1 and §17.1.1.3: one Via, that of the INVITE; its Request-URI, From, Call-ID, number and Route."""
    sent = _invite_of(arrow, before)
    assert sent is not None, f"{arrow}: of no INVITE"
    message, invite = arrow.message, sent.message
    assert isinstance(message, Request)
    assert isinstance(invite, Request)
    assert arrow.vias == [sent.vias[0]], f"{arrow}: Via {arrow.vias}"
    assert message.request_uri == invite.request_uri, arrow
    assert message.cseq.number == invite.cseq.number, arrow
    assert message.max_forwards, f"{arrow}: Max-Forwards {message.max_forwards}"
    assert message.values("Route") == invite.values("Route"), arrow
    _same(arrow, message, invite, "From", "Call-ID")
    answers = [
        one
        for one in before
        if isinstance(one.message, Response) and one.target == arrow.source and one.vias[:1] == _stamped(one, sent)
    ]
    if arrow.what == "CANCEL":
        _same(arrow, message, invite, "To")
        assert answers, f"{arrow}: before any provisional response (§9.1)"
    else:
        finals = [one for one in answers if one.message.cseq.method == "INVITE" and int(one.what) >= 300]
        _same(arrow, message, finals[0].message, "To")


def _stamped(answer: Arrow, sent: Arrow) -> list[str]:
    """The top Via of an answer when it is to this request, whatever the other end added to it."""
    top = answer.vias[0]
    return [top] if parse_via(top).branch == parse_via(sent.vias[0]).branch else []


def _same(arrow: Arrow, one: Message, other: Message, *names: str) -> None:
    for name in names:
        assert one.values(name) == other.values(name), f"{arrow}: {name} {one.values(name)}, {other.values(name)}"
    if type(one) is type(other) and arrow.what not in ("ACK", "CANCEL"):
        assert one.body == other.body, f"{arrow}: the body is another"


def end_to_end(stage: Stage, since: int) -> str:
    """The figure without the proxies: what each phone heard, and from whom it is."""
    lines = []
    all_of_them = arrows(stage)[since:]
    for at, arrow in enumerate(all_of_them):
        if arrow.target in stage.proxies or arrow.what == "100":
            continue
        source = arrow.source
        if source in stage.proxies:
            author = (one for one in all_of_them[:at] if one.source not in stage.proxies and one.is_copy(arrow))
            source = next((one.source for one in author), source)
        lines.append(f"{source} -> {arrow.target} {arrow.what}")
    return "\n".join(lines)
