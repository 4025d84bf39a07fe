"""The two kinds of transaction, client and server, and what their users are told.

Both are rows of one table (`table.py`) that move by a Plan (`plan.py`). What
a transaction no longer needs it drops as soon as it has its final response:
most of them only wait then, for half a minute.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from sipd.message import Request, Response

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sipd.hop import Flow
    from sipd.transaction.machine import Input, State
    from sipd.transaction.plan import Plan
    from sipd.transaction.table import Transactions

MOST_KEPT: Final = 64 * 1024 * 1024
"""Bytes of all responses kept for repetition; beyond it a repeated request is absorbed in silence."""

Payload = TypeVar("Payload")
"""What an input brings along: for a client a response, for a server bytes to send or an ACK; None with timers."""

ClientPayload = Response | None
ServerPayload = bytes | Request | None


class ClientUser(Protocol):
    """Who sent a request: told of each of these in the turn it happens. A final response but 2xx to INVITE is last."""

    def response(self, client: ClientTransaction, response: Response) -> None:
        """A response; of an INVITE also each further 2xx."""

    def timed_out(self, client: ClientTransaction) -> None:
        """No final response in 64*T1 (Timers B, F), or after CANCEL (§9.1)."""

    def transport_failed(self, client: ClientTransaction) -> None:
        """The flow failed while an answer was awaited (§17.1.4)."""


class ServerUser(Protocol):
    """Who answers a request, told of what comes after the answer."""

    def acked(self, server: ServerTransaction, ack: Request) -> None:
        """An ACK of the transaction's own branch came after a 2xx (RFC 6026 §7.1)."""

    def ended(self, server: ServerTransaction) -> None:
        """The transaction is over; nothing can be sent through it any more."""


class Transaction(Generic[Payload]):
    """What both kinds have: a plan, a state in it, deadlines, and what would be sent again."""

    __slots__ = ("ends_at", "flow", "interval", "kept", "plan", "queued_at", "resend_at", "state", "table")

    def __init__(self, table: Transactions, plan: Plan[Payload], flow: Flow, kept: bytes) -> None:
        self.table = table
        self.plan = plan
        self.flow = flow
        self.kept = kept  # a client's request or ACK, a server's last response
        self.state: State = plan.first
        self.interval = inf  # between retransmissions
        self.resend_at = inf  # Timers A, E, G
        self.ends_at = inf  # all others
        self.queued_at = inf  # the tick of the entry in the queue that counts

    def step(self, given: Input, payload: Payload) -> None:
        """Take one input: change the state, then its timers, then act."""
        move = self.plan.moves[self.state].get(given)
        if move is None:
            return
        self.state, timers, actions = move
        if timers is not None:
            self.arm(timers)
        for action in actions:
            action(self, payload)

    def arm(self, timers: tuple[float, float]) -> None:
        """Set the retransmission timer and the one that ends the state; a negative value keeps what runs."""
        resend, end = timers
        if resend == inf == end:  # none runs: there is nothing to wait for
            self.interval = self.resend_at = self.ends_at = inf
            return
        now = self.table.clock()
        if resend >= 0:
            self.interval = resend
            self.resend_at = now + resend
        if end >= 0:
            self.ends_at = now + end
        when = self.resend_at if self.resend_at < self.ends_at else self.ends_at
        if when < self.queued_at:
            self.queued_at = self.table.deadlines.arm(when, self)

    def queue(self) -> None:
        """See to it that the queue has an entry no later than the next deadline."""
        when = self.resend_at if self.resend_at < self.ends_at else self.ends_at
        if when < self.queued_at:
            self.queued_at = self.table.deadlines.arm(when, self)

    def due(self, when: float, now: float) -> None:
        """An entry of the queue came up: run the timer that is due, if any, and wait for the next."""
        if when != self.queued_at:
            return
        self.queued_at = inf
        if self.ends_at <= now:
            timer = self.plan.ends[self.state]
        elif self.resend_at <= now:
            timer = self.plan.resends[self.state]
        else:
            timer = None
        if timer is not None:
            self.step(timer, self.plan.nothing)
        self.queue()


class ClientTransaction(Transaction[ClientPayload]):
    """A request we sent (§17.1). `user` is None once it has been told all, and for a CANCEL."""

    __slots__ = ("__weakref__", "key", "reason", "user")

    def __init__(
        self,
        table: Transactions,
        plan: Plan[ClientPayload],
        key: tuple[str, str],
        flow: Flow,
        kept: bytes,
        user: ClientUser | None,
    ) -> None:
        Transaction.__init__(self, table, plan, flow, kept)
        self.key = key
        self.user = user
        self.reason = ""  # value of a Reason header field for the CANCEL (RFC 3326)

    @property
    def branch(self) -> str:
        """The branch parameter of our Via."""
        return self.key[0]

    @property
    def method(self) -> str:
        """The method of the request."""
        return self.key[1]


class ServerTransaction(Transaction[ServerPayload]):
    """A request we received (§17.2). `user` may be set by whoever answers it."""

    __slots__ = ("_request", "answered", "is_invite", "key", "user", "via")

    def __init__(
        self, table: Transactions, plan: Plan[ServerPayload], key: Hashable, flow: Flow, request: Request
    ) -> None:
        Transaction.__init__(self, table, plan, flow, b"")
        self.key = key
        self._request: Request | None = request
        self.is_invite = request.method == "INVITE"
        self.answered = False  # it has its final response, or will get none
        self.user: ServerUser | None = None
        self.via = request.via if flow.reliable else None  # of who sent it, should its connection be lost (§18.2.2)

    @property
    def request(self) -> Request:
        """The request: only until it has its final response."""
        assert self._request is not None, "the request is dropped with the final response"
        return self._request

    def drop_request(self) -> None:
        """Forget the request: it has its final response, or will get none."""
        self._request = None
        self.answered = True

    def keep(self, response: bytes) -> None:
        """Have this sent again when the request comes again; nothing, while all that are kept are too many (T59)."""
        table = self.table
        if not response and not self.kept:
            return
        more = len(response) - len(self.kept)
        if more > 0 and table.kept_bytes + more > MOST_KEPT:
            response, more = b"", -len(self.kept)
        table.kept_bytes += more
        self.kept = response
