"""Subscriptions to registrations: takes them in, watches the rows, sends the NOTIFYs (RFC 3680, RFC 6665 §4.2).

All are dropped with the process: who refreshes hears 481 then, and subscribes
anew. There is no task for a subscription: a timer for what is due next, a
client transaction while a NOTIFY is under way, and a task only where a name
has to be looked up first.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from sipd.core.forwarding import COOKIE
from sipd.core.reginfo import Known, changes_of
from sipd.core.subscribing import may_subscribe
from sipd.core.subscriptions import Subscription, dialog_of
from sipd.errors import Forbidden, SipError
from sipd.message import Request
from sipd.net import numeric
from sipd.rows import DropBinding, DropDelegate, DropUser, PutBinding, PutUser
from sipd.server.answer import answer, local_response, our_tag, refusal
from sipd.server.hops import Hops

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sipd.core.decision import Subscribe
    from sipd.core.inquiry import Inquiry
    from sipd.core.reginfo import ContactEvent, Key, Told
    from sipd.core.subscriptions import DialogId, Notify, Reason
    from sipd.hop import Flow, Hop
    from sipd.message import Response
    from sipd.rows import Change
    from sipd.server.house import House
    from sipd.transaction import ClientTransaction, Handle, ServerTransaction

MOST_OF_ONE: Final = 100
"""Subscriptions of one user; administrators may have as many as there is room for."""

GIVEN_UP: Final = 40.0
"""Seconds after its time when a subscription goes whatever it waits for: longer than any transaction."""

AT_ONCE: Final = 50
"""Subscribers of one user who are told of a change in one turn: about 5 ms; the next so many a little later."""

APART: Final = 0.05
"""Seconds between these."""

RETRY_AFTER: Final = (("Retry-After", "60"),)


class Watched:
    """One address-of-record with subscriptions: its contacts as they were when somebody was told last."""

    __slots__ = ("known", "subscriptions")

    def __init__(self, known: dict[Key, Known]) -> None:
        self.known = known
        self.subscriptions: set[DialogId] = set()


class Notifier:
    """Every subscription of this server."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._subscriptions: dict[DialogId, Subscription] = {}
        self._timers: dict[DialogId, Handle] = {}
        self._watched: dict[str, Watched] = {}
        self._of_user: dict[str, set[DialogId]] = {}  # by subscriber

    def __len__(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscriptions)

    # --- SUBSCRIBE ---------------------------------------------------------------------------

    def subscribe(self, server: ServerTransaction, inquiry: Inquiry, wanted: Subscribe) -> None:
        """Answer a SUBSCRIBE; a NOTIFY follows its 200 at once (RFC 6665 §4.2.1.2)."""
        house, request = self._house, inquiry.request
        tag = request.to_tag or our_tag(house.seal, request)
        name = (request.call_id, tag, request.from_tag or "")
        try:
            subscription = self._taken(name, inquiry, wanted, tag)
        except SipError as fault:
            answer(house, server, refusal(house.seal, request, fault))
            house.explain.keep(inquiry.wall, request, inquiry.source, fault.status, inquiry.trace)
            return
        routes = request.values("Record-Route") if "Record-Route" in request.names else []
        headers = (
            *(("Record-Route", value) for value in routes),  # RFC 3261 §12.1.1
            ("Expires", str(wanted.expires)),
            ("Contact", _contact(server.flow, inquiry.uri.scheme)),
        )
        answer(house, server, local_response(house.seal, request, 200, headers=headers))
        house.explain.keep(inquiry.wall, request, inquiry.source, 200, inquiry.trace)
        self._look(name, subscription)

    def _taken(self, name: DialogId, inquiry: Inquiry, wanted: Subscribe, tag: str) -> Subscription:
        """The subscription made or refreshed. Raises 481, 403, 500 for an old CSeq, 503 where there is no room."""
        house, request, now = self._house, inquiry.request, inquiry.now
        subscription = self._subscriptions.get(name)
        expires_at = now + wanted.expires
        if subscription is None:
            if request.to_tag is not None:
                raise SipError("Subscription Does Not Exist", status=481)
            self._check_room(wanted)
            dialog = dialog_of(inquiry, house.tables, wanted, tag)
            subscription = Subscription(
                wanted.aor, wanted.subscriber, wanted.event, dialog, request.cseq.number, expires_at
            )
            self._add(name, subscription)
        else:
            if wanted.subscriber != subscription.subscriber or wanted.aor not in ("", subscription.aor):
                raise Forbidden
            if wanted.event != subscription.event:
                raise SipError("Dialog Sharing Not Supported", status=403)  # RFC 6665 §4.5.2
            if subscription.reason:
                raise SipError("Subscription Does Not Exist", status=481)
            if request.cseq.number <= subscription.remote_cseq:
                raise SipError("Out of order", status=500)
            subscription.refresh(dialog_of(inquiry, house.tables, wanted, tag), request.cseq.number, expires_at)
        if not wanted.expires:
            subscription.end("timeout")
        return subscription

    def _check_room(self, wanted: Subscribe) -> None:
        tables = self._house.tables
        user = tables.user(wanted.subscriber)
        of_one = len(self._of_user.get(wanted.subscriber, ()))
        if of_one >= MOST_OF_ONE and (user is None or user.role != "administrator"):
            raise SipError("Too many subscriptions", status=403)
        if len(self) >= tables.settings.max_subscriptions:
            raise SipError("Too many subscriptions", status=503, headers=RETRY_AFTER)

    def _add(self, name: DialogId, subscription: Subscription) -> None:
        self._subscriptions[name] = subscription
        self._of_user.setdefault(subscription.subscriber, set()).add(name)
        watched = self._watched.get(subscription.aor)
        if watched is None:
            _, known = self._now(subscription.aor, {}, {})
            watched = self._watched[subscription.aor] = Watched({key: Known(one.binding) for key, one in known.items()})
        watched.subscriptions.add(name)

    def _remove(self, name: DialogId) -> None:
        subscription = self._subscriptions.pop(name)
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        of_one = self._of_user[subscription.subscriber]
        of_one.discard(name)
        if not of_one:
            del self._of_user[subscription.subscriber]
        watched = self._watched[subscription.aor]
        watched.subscriptions.discard(name)
        if not watched.subscriptions:
            del self._watched[subscription.aor]

    # --- what has changed --------------------------------------------------------------------

    def heed(self, changes: Sequence[Change]) -> None:
        """Told by the cache of every change, ours and others'."""
        if not self._subscriptions:
            return
        touched: dict[str, dict[Key, ContactEvent]] = {}
        for change in changes:
            match change:
                case PutBinding():
                    if change.binding.aor in self._watched:
                        touched.setdefault(change.binding.aor, {})
                case DropBinding():
                    if change.aor in self._watched:
                        touched.setdefault(change.aor, {})[change.uri, change.key] = change.cause
                case DropUser():
                    self._user_gone(change.aor)
                case PutUser():
                    self._ask_again(self._of_user.get(change.user.aor, ()))
                case DropDelegate():
                    self._ask_again(self._of_user.get(change.delegate, ()))
                case _:
                    pass
        for aor, causes in touched.items():
            if aor in self._watched:
                self._changed(aor, causes)

    def _changed(self, aor: str, causes: Mapping[Key, ContactEvent], reason: Reason = "") -> None:
        """Tell all who watch; `reason`: why that is the end of it."""
        if not self._owe(aor, causes) and not reason:
            return
        names = tuple(self._watched[aor].subscriptions)
        for name in names:
            self._subscriptions[name].end(reason)
        self._look_at_some(iter(names), self._house.now())

    def _owe(self, aor: str, causes: Mapping[Key, ContactEvent]) -> bool:
        """Note for all who watch what has become of the contacts; whether anything has."""
        watched = self._watched[aor]
        told, watched.known = self._now(aor, watched.known, causes)
        for name in watched.subscriptions:
            self._subscriptions[name].owe(told)
        return bool(told)

    def _look_at_some(self, names: Iterator[DialogId], when: float) -> None:
        """Do what is due for the first of these, now at `when`, and come again for the others."""
        some = list(islice(names, AT_ONCE))
        for name in some:
            subscription = self._subscriptions.get(name)
            if subscription is not None:
                self._look(name, subscription)
        if len(some) == AT_ONCE:
            after = when + APART
            self._house.deadlines.call_at(after, partial(self._look_at_some, names, after))

    def _now(
        self, aor: str, old: Mapping[Key, Known], causes: Mapping[Key, ContactEvent]
    ) -> tuple[list[Told], dict[Key, Known]]:
        wall = self._house.wall()
        live = [binding for binding in self._house.tables.bindings(aor) if binding.expires_at > wall]
        return changes_of(old, live, causes, wall)

    def _user_gone(self, aor: str) -> None:
        """No user, no registrations, and no subscriptions of his (RFC 3680 §4.7.1: rejected)."""
        watched = self._watched.get(aor)
        if watched is not None:
            rejected: dict[Key, ContactEvent] = dict.fromkeys(watched.known, "rejected")
            self._changed(aor, rejected, "noresource")
        self._end(tuple(self._of_user.get(aor, ())), "rejected")

    def _ask_again(self, names: Iterable[DialogId]) -> None:
        """Whether these subscribers still may."""
        tables = self._house.tables
        lost = [
            name
            for name in names
            if not may_subscribe(self._subscriptions[name].subscriber, self._subscriptions[name].aor, tables)
        ]
        self._end(lost, "rejected")

    def _end(self, names: Sequence[DialogId], reason: Reason) -> None:
        for name in names:
            subscription = self._subscriptions.get(name)
            if subscription is not None:
                subscription.end(reason)
                self._look(name, subscription)

    # --- NOTIFY ------------------------------------------------------------------------------

    def _look(self, name: DialogId, subscription: Subscription) -> None:
        """Do what is due, and come again for what is next."""
        if self._subscriptions.get(name) is not subscription:
            return
        now = self._house.now()
        if subscription.expires_at <= now:
            subscription.end("timeout")
            if subscription.expires_at + GIVEN_UP <= now:
                self._remove(name)
                return
        if subscription.due(now) <= now:
            self._notify(name, subscription, now)
            if name not in self._subscriptions:
                return
        expiry = subscription.expires_at if subscription.expires_at > now else subscription.expires_at + GIVEN_UP
        self._look_at(min(subscription.due(now), expiry), name, subscription)

    def _look_at(self, when: float, name: DialogId, subscription: Subscription) -> None:
        timer = self._timers.get(name)
        if timer is not None:
            timer.cancel()
        self._timers[name] = self._house.deadlines.call_at(when, partial(self._look, name, subscription))

    def _notify(self, name: DialogId, subscription: Subscription, now: float) -> None:
        house, wall, watched = self._house, self._house.wall(), self._watched[subscription.aor]
        others: set[DialogId] = set()
        if any(one.binding.expires_at <= wall for one in watched.known.values()):  # the sweep has not come by yet
            self._owe(subscription.aor, {})
            others = watched.subscriptions - {name}
        notify = subscription.compose(watched.known, now, wall, house.seal)
        Notice(house, self, name, subscription, notify).start()
        self._look_at_some(iter(others), now)

    def over(self, name: DialogId, subscription: Subscription, notify: Notify, status: int) -> None:
        """A NOTIFY has ended with this status; 408: nobody answered, or there is no way there."""
        if self._subscriptions.get(name) is not subscription:
            return
        if subscription.answered(notify, status):
            self._look(name, subscription)
        else:
            self._remove(name)


class Notice:
    """One NOTIFY under way: its hops in turn (RFC 3263 §4.3). Told by its transactions."""

    __slots__ = ("_client", "_hops", "_house", "_name", "_notifier", "_notify", "_subscription")

    def __init__(
        self, house: House, notifier: Notifier, name: DialogId, subscription: Subscription, notify: Notify
    ) -> None:
        self._house = house
        self._notifier = notifier
        self._name = name
        self._subscription = subscription
        self._notify = notify
        self._hops: Hops | None = None
        self._client: ClientTransaction | None = None

    def start(self) -> None:
        """Send it, at once where the way is known."""
        house, dialog = self._house, self._subscription.dialog
        if dialog.by_flow:
            flow = house.network.on(dialog.came)
            if flow is None:
                self._over(408)
            else:
                self._send(flow)
            return
        hops = house.resolver.now(dialog.next_hop)
        if hops is None:
            house.start_task(self._find_and_send)
        else:
            self._try(hops)

    async def _find_and_send(self) -> None:
        try:
            hops = await self._house.resolver.find(self._subscription.dialog.next_hop)
        except SipError:
            self._over(408)
        else:
            self._try(hops)

    def _try(self, hops: list[Hop]) -> None:
        dialog = self._subscription.dialog
        if dialog.only_host:
            hops = [hop for hop in hops if hop.host == dialog.came.remote.host]
        self._hops = Hops(hops, self._house.resolver.dead)
        self._next()

    def _next(self) -> None:
        house, hops = self._house, self._hops
        while hops is not None and (hop := hops.next()) is not None:
            try:
                flow = house.network.to(hop, house.network.on(self._subscription.dialog.came))
            except SipError:
                continue
            self._send(flow)
            return
        self._over(408)

    def _send(self, flow: Flow) -> None:
        house, hops = self._house, self._hops
        branch = f"{COOKIE}{house.ids.fresh()}"
        data = self._written(flow, branch)
        if hops is not None and numeric(self._subscription.dialog.next_hop.host) is None:  # no phone behind a NAT
            twin = hops.tcp_first(len(data))
            if twin is not None:
                try:
                    flow = house.network.to(twin, flow)
                except SipError:
                    hops.next()
                else:
                    data = self._written(flow, branch)
        self._client = house.transactions.open_client(data, branch, "NOTIFY", flow, self)

    def _written(self, flow: Flow, branch: str) -> bytes:
        notify = self._notify
        via = f"SIP/2.0/{flow.remote.transport} {flow.sent_by};branch={branch}"
        contact = _contact(flow, self._subscription.dialog.target.scheme)
        headers = (("Via", via), *notify.headers, ("Contact", contact))
        return bytes(Request.build("NOTIFY", notify.uri, headers, notify.body))

    def _over(self, status: int) -> None:
        self._notifier.over(self._name, self._subscription, self._notify, status)

    # --- what the client transaction tells ---------------------------------------------------

    def response(self, client: ClientTransaction, response: Response) -> None:
        """An answer came."""
        if response.status >= 200 and client is self._client:
            self._over(response.status)

    def timed_out(self, client: ClientTransaction) -> None:
        """That hop is silent."""
        self._failed(client)

    def transport_failed(self, client: ClientTransaction) -> None:
        """That hop can't be reached."""
        self._failed(client)

    def _failed(self, client: ClientTransaction) -> None:
        if client is self._client:
            if self._hops is not None:
                self._hops.failed()
            self._next()


def _contact(flow: Flow, scheme: str) -> str:
    """Where the subscriber reaches us within the dialog: the socket of ours that he is talked to by."""
    transport = flow.remote.transport
    if scheme == "sips":
        return f"<sips:{flow.sent_by}{';transport=ws' if transport == 'WSS' else ''}>"
    return f"<sip:{flow.sent_by}>" if transport == "UDP" else f"<sip:{flow.sent_by};transport={transport.lower()}>"
