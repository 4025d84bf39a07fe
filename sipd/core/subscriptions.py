"""One subscription to a user's registrations: what it is owed, and when (RFC 6665 §4.2.2, RFC 3680 §4.7 to §4.10).

It sends nothing. Whoever owns it asks `due`, sends what `compose` gives as one
NOTIFY transaction, and says by `answered` how that ended. No second one is due
before the first has ended, nor within PAUSE, save for who has just subscribed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sipd.core.reginfo import ENDED, MEDIA_TYPE, as_registered, document
from sipd.core.routes import leads_here, local_domain
from sipd.core.ways import is_direct, only_by_flow
from sipd.hop import Way
from sipd.message import parse_route

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sipd.core.decision import Subscribe
    from sipd.core.inquiry import Inquiry
    from sipd.core.reginfo import Key, Known, Told
    from sipd.core.tables import Tables
    from sipd.message import Uri
    from sipd.seal import Seal

PAUSE: Final = 5.0
"""Seconds between two NOTIFYs to one subscriber at the least (RFC 3680 §4.10)."""

GONE: Final = frozenset({404, 405, 408, 410, 416, *range(480, 486), 489, 501, 604})
"""Answers to a NOTIFY that say there is no such subscription any more (RFC 6665 §4.2.2); 408 stands for silence."""

Reason = Literal["", "timeout", "rejected", "noresource", "deactivated"]
DialogId = tuple[str, str, str]
"""Call-ID, our tag, their tag (RFC 3261 §12)."""


class Dialog(NamedTuple):
    """What a NOTIFY needs to know of its dialog (RFC 3261 §12.1.1)."""

    call_id: str
    local: str  # value of From in what we send, with our tag
    remote: str  # value of To
    routes: tuple[str, ...]
    target: Uri  # their Contact
    came: Way  # the flow that the last SUBSCRIBE came over
    by_flow: bool  # nothing but that flow leads there
    only_host: bool  # nothing is sent to another host than that flow's: the subscriber has proved nothing

    @property
    def next_hop(self) -> Uri:
        """The URI that says where to send."""
        return parse_route(self.routes[0]).uri if self.routes else self.target

    def addressed(self) -> tuple[str, list[tuple[str, str]]]:
        """Request-URI and Route lines (§12.2.1.1); of a strict router the former is its URI."""
        if self.routes and self.next_hop.param("lr") is None:
            routes = (*self.routes[1:], f"<{self.target.text}>")
            return self.next_hop.as_request_uri().text, [("Route", value) for value in routes]
        return self.target.text, [("Route", value) for value in self.routes]


def dialog_of(inquiry: Inquiry, tables: Tables, wanted: Subscribe, our_tag: str) -> Dialog:
    """The dialog that this SUBSCRIBE makes. Raises BadSyntax for a bad Record-Route."""
    request = inquiry.request
    routes = tuple(request.values("Record-Route")) if "Record-Route" in request.names else ()
    for value in routes:
        parse_route(value)
    to, tag = request.first("To") or "", request.to_tag
    return Dialog(
        request.call_id,
        to if tag is not None else f"{to};tag={our_tag}",
        request.first("From") or "",
        routes,
        wanted.contact,
        Way(inquiry.source, inquiry.near),
        not routes and _only_by_flow(inquiry, tables, wanted),
        not wanted.proven,
    )


def _only_by_flow(inquiry: Inquiry, tables: Tables, wanted: Subscribe) -> bool:
    """Whether the way back is the flow, as with a binding; and where a Contact is a URI of ours, such as a GRUU.

    A phone with outbound says so by `ob` (RFC 5626 §5.3.2). One who proved
    nothing can have us send to his own host only (P6).
    """
    request, source, contact = inquiry.request, inquiry.source, wanted.contact
    places = inquiry.context.places
    if local_domain(contact, tables, places) is not None or leads_here(contact, tables, places):
        return True
    if not is_direct(request):
        return False
    if contact.host == source.host and source.transport == "UDP":
        return contact.param("ob") is not None
    return contact.param("ob") is not None or only_by_flow(source, request.via, contact) or not wanted.proven


class Notify(NamedTuple):
    """One NOTIFY, but for what depends on the way it goes: Via and Contact."""

    uri: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    last: bool  # the subscription ends with it
    remote_cseq: int  # of the SUBSCRIBE that said where it goes


@dataclass(slots=True)
class Subscription:
    """Times are monotonic seconds, but `wall`."""

    aor: str
    subscriber: str
    event: str
    dialog: Dialog
    remote_cseq: int
    expires_at: float
    reason: Reason = ""  # set: it ends with the next NOTIFY, and why
    cseq: int = 0
    version: int = 0  # of the next document
    full: bool = True  # the next document has all there is
    urgent: bool = True  # the subscriber has just asked
    told: dict[str, Told] = field(default_factory=dict)  # what he is owed, by contact
    free_at: float = 0.0  # not before then, unless it is urgent
    under_way: bool = False  # a NOTIFY waits for its answer

    def refresh(self, dialog: Dialog, remote_cseq: int, expires_at: float) -> None:
        """A SUBSCRIBE in the dialog: he hears all again (§4.2.1.4); the route set stays (RFC 3261 §12.2)."""
        routes = self.dialog.routes
        self.dialog = dialog._replace(local=self.dialog.local, routes=routes, by_flow=dialog.by_flow and not routes)
        self.remote_cseq = remote_cseq
        self.expires_at = expires_at
        self.full = self.urgent = True

    def owe(self, changes: Iterable[Told]) -> None:
        """Something has become of these contacts; of each the latest counts."""
        for told in changes:
            self.told.pop(told.id, None)
            self.told[told.id] = told

    def end(self, reason: Reason) -> None:
        """It ends, with one more NOTIFY that says why; empty: it does not."""
        if reason and not self.reason:
            self.reason, self.urgent = reason, True

    def due(self, now: float) -> float:
        """When the next NOTIFY is to leave; infinity: none is, for now."""
        if self.under_way or not (self.urgent or self.told):
            return inf
        return now if self.urgent else max(now, self.free_at)

    def compose(self, known: Mapping[Key, Known], now: float, wall: float, seal: Seal) -> Notify:
        """The NOTIFY that is due; `known` are the contacts there are. From now on it is under way."""
        contacts = list(self.told.values())
        if self.full:
            latest = [self.told.pop(told.id, told) for told in as_registered(known.values())]
            contacts = [*latest, *(told for told in self.told.values() if told.event in ENDED)]
        current = [one.binding for one in known.values()]
        body = document(self.aor, self.version, contacts, current, full=self.full, wall=wall, seal=seal)
        self.cseq += 1
        self.version += 1
        self.told = {}
        self.full = self.urgent = False
        self.free_at = now + PAUSE
        self.under_way = True
        uri, routes = self.dialog.addressed()
        state = f"terminated;reason={self.reason}" if self.reason else f"active;expires={self.left(now)}"
        headers = (
            ("Max-Forwards", "70"),
            *routes,
            ("From", self.dialog.local),
            ("To", self.dialog.remote),
            ("Call-ID", self.dialog.call_id),
            ("CSeq", f"{self.cseq} NOTIFY"),
            ("Event", self.event),
            ("Subscription-State", state),
            ("Content-Type", MEDIA_TYPE),
        )
        return Notify(uri, headers, body, bool(self.reason), self.remote_cseq)

    def left(self, now: float) -> int:
        """Whole seconds it still holds."""
        return max(0, round(self.expires_at - now))

    def answered(self, notify: Notify, status: int) -> bool:
        """The NOTIFY under way came to this; says whether there still is a subscription (§4.2.2).

        Silence says nothing of one who has refreshed it meanwhile, perhaps from another place. After a NOTIFY
        that failed for another reason the next has all again.
        """
        self.under_way = False
        if notify.last or (status in GONE and (status != 408 or notify.remote_cseq == self.remote_cseq)):
            return False
        if status >= 300:
            self.full = True
        return True
