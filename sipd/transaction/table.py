"""Transactions: the table of them all. Match, open, receive, respond, expire (RFC 3261 §17, RFC 6026).

The caller parses, decides and answers; this table absorbs repetitions, repeats
what may be lost, and sees to it that every transaction ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.errors import ServiceUnavailable
from sipd.transaction.actions import CLIENT_DO, SERVER_DO, forget_client, forget_server, release_client, release_server
from sipd.transaction.hop_by_hop import cancel_for, to_tag_of
from sipd.transaction.kinds import ClientPayload, ClientTransaction, ServerPayload, ServerTransaction
from sipd.transaction.machine import (
    ACK,
    AGAIN,
    CANCEL,
    COMPLETED,
    GIVE_UP,
    MACHINES,
    PROVISIONAL,
    REFUSAL,
    SUCCESS,
    TRANSPORT_ERROR,
    Input,
    Machine,
)
from sipd.transaction.plan import Plan, prepare
from sipd.transaction.timers import DEFAULTS, Deadlines, TimerValues

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from sipd.hop import Flow
    from sipd.message import Request, Response
    from sipd.transaction.kinds import ClientUser

COOKIE: Final = "z9hG4bK"
"""How a branch begins that is unique, as RFC 3261 has it (§8.1.1.7)."""

CAPACITY: Final = 20_000
"""Requests that may wait for their answer at a time (T59)."""

WAITING_OUT: Final = 8
"""All server transactions, answered ones included, are at most this many times the capacity."""

INPUT_OF_CLASS: Final[tuple[Input | None, ...]] = (
    *(None, PROVISIONAL, SUCCESS, REFUSAL, REFUSAL, REFUSAL, REFUSAL),
    *(None, None, None),
)
"""The input that a response is, by the first digit of its status."""


class Counts:
    """Plain counters, for the metrics."""

    __slots__ = ("absorbed", "clients", "refused", "repeated", "servers", "timeouts")

    def __init__(self) -> None:
        self.servers = 0  # opened
        self.clients = 0  # opened
        self.absorbed = 0  # requests and ACKs that belonged to a transaction
        self.repeated = 0  # messages sent once more
        self.timeouts = 0  # clients that got no final response
        self.refused = 0  # requests over capacity


class Transactions:
    """Every transaction of a process, and the deadlines of the house.

    `unanswered` is how many requests wait for their final response; it is
    what `capacity` bounds. Answered ones stay for half a minute and are small.
    """

    def __init__(self, clock: Callable[[], float], timers: TimerValues = DEFAULTS, capacity: int = CAPACITY) -> None:
        self.clock = clock
        self.timers = timers
        self.capacity = capacity
        self.deadlines = Deadlines(clock)
        self.counts = Counts()
        self.unanswered = 0
        self.kept_bytes = 0  # of the servers' responses
        self._clients: dict[tuple[str, str], ClientTransaction] = {}
        self._servers: dict[Hashable, ServerTransaction] = {}
        self._over: dict[Flow, set[ClientTransaction]] = {}  # by reliable flow
        invite_client, client, invite_server, server = MACHINES
        self._client_plans = (self._client_pair(client), self._client_pair(invite_client))  # [is INVITE][is reliable]
        self._server_plans = (self._server_pair(server), self._server_pair(invite_server))

    def _client_pair(self, machine: Machine) -> tuple[Plan[ClientPayload], Plan[ClientPayload]]:
        return (self._client_plan(machine, reliable=False), self._client_plan(machine, reliable=True))

    def _client_plan(self, machine: Machine, *, reliable: bool) -> Plan[ClientPayload]:
        return prepare(
            machine,
            self.timers,
            reliable=reliable,
            do=CLIENT_DO,
            forget=forget_client,
            release=release_client,
            nothing=None,
        )

    def _server_pair(self, machine: Machine) -> tuple[Plan[ServerPayload], Plan[ServerPayload]]:
        return (self._server_plan(machine, reliable=False), self._server_plan(machine, reliable=True))

    def _server_plan(self, machine: Machine, *, reliable: bool) -> Plan[ServerPayload]:
        return prepare(
            machine,
            self.timers,
            reliable=reliable,
            do=SERVER_DO,
            forget=forget_server,
            release=release_server,
            nothing=None,
        )

    # --- servers -------------------------------------------------------------------------------------------------

    def server_for(self, request: Request) -> ServerTransaction | None:
        """The transaction this request repeats, or, for an ACK, acknowledges (§17.2.3).

        Raises BadSyntax for a bad Via; without a branch of RFC 3261 also for a bad From, Call-ID or CSeq.
        """
        method = request.method
        server = self._servers.get(_server_key(request, "INVITE" if method == "ACK" else method))
        if server is not None and method == "ACK" and not _acknowledges(request, server):
            return None
        return server

    def invite_for(self, cancel: Request) -> ServerTransaction | None:
        """The INVITE that this CANCEL means: same branch and sent-by (§9.2)."""
        return self._servers.get(_server_key(cancel, "INVITE"))

    def open_server(self, request: Request, flow: Flow) -> ServerTransaction:
        """A transaction for a request that `server_for` does not know; it is answered over `flow`.

        Raises ServiceUnavailable over capacity.
        """
        if self.unanswered >= self.capacity or len(self._servers) >= WAITING_OUT * self.capacity:
            self.counts.refused += 1
            raise ServiceUnavailable
        method = request.method
        key = _server_key(request, method)
        plan = self._server_plans[method == "INVITE"][flow.reliable]
        server = self._servers[key] = ServerTransaction(self, plan, key, flow, request)
        self.unanswered += 1
        self.counts.servers += 1
        return server

    def receive_again(self, server: ServerTransaction, request: Request) -> None:
        """Take a request that `server_for` found a transaction for: a repetition, or an ACK."""
        self.counts.absorbed += 1
        server.step(ACK if request.method == "ACK" else AGAIN, request)

    def respond(self, server: ServerTransaction, status: int, data: bytes) -> None:
        """Send a response: what the state does not allow, such as a second refusal, is dropped."""
        given = INPUT_OF_CLASS[status // 100]
        if given is not None:
            server.step(given, data)

    def abandon(self, server: ServerTransaction) -> None:
        """There will be no answer (RFC 4320 §4.2): a non-INVITE is absorbed for as long as it may be repeated."""
        server.step(GIVE_UP, None)

    def forget_server(self, server: ServerTransaction) -> None:
        """Take it out of the table; for the machine."""
        self._servers.pop(server.key, None)

    # --- clients -------------------------------------------------------------------------------------------------

    def open_client(
        self, data: bytes, branch: str, method: str, flow: Flow, user: ClientUser | None
    ) -> ClientTransaction:
        """Send a request with this branch in its top Via, and tell `user` what comes of it. Not for ACK."""
        key = (branch, method)
        reliable = flow.reliable
        plan = self._client_plans[method == "INVITE"][reliable]
        client = self._clients[key] = ClientTransaction(self, plan, key, flow, data, user)
        if reliable:
            self._over.setdefault(flow, set()).add(client)
        self.counts.clients += 1
        client.arm(plan.start)
        flow.send(data)
        return client

    def client_for(self, response: Response) -> ClientTransaction | None:
        """The request that this answers (§17.1.3); None: it is to be dropped (RFC 6026 §8.9).

        Raises BadSyntax for a bad Via or CSeq.
        """
        return self._clients.get((response.branch or "", response.cseq.method))

    def receive_response(self, client: ClientTransaction, response: Response) -> None:
        """Take a response that `client_for` found a request for; its user is told, a refusal of INVITE is ACKed."""
        given = INPUT_OF_CLASS[response.status // 100]
        if given is not None:
            client.step(given, response)

    def cancel(self, client: ClientTransaction, reason: str = "") -> None:
        """Send a CANCEL as soon as §9.1 allows: with the first provisional, and not after the final response.

        Without a final response 64*T1 later the client times out. `reason`
        is the value of a Reason header field (RFC 3326).
        """
        client.reason = reason
        client.step(CANCEL, None)

    def send_cancel(self, client: ClientTransaction) -> None:
        """Send the CANCEL now; for the machine."""
        data = cancel_for(client.kept, client.reason)
        self.open_client(data, client.branch, "CANCEL", client.flow, None)

    def flow_failed(self, flow: Flow) -> None:
        """A transport error for every client over this flow (§17.1.4): users that still wait are told.

        Servers stay as they are (RFC 6026 §8.8).
        """
        over = self._over.get(flow)
        if over is None:
            over = {client for client in self._clients.values() if client.flow is flow}
        for client in tuple(over):
            client.step(TRANSPORT_ERROR, None)

    def forget_client(self, client: ClientTransaction) -> None:
        """Take it out of the table; for the machine."""
        self._clients.pop(client.key, None)
        over = self._over.get(client.flow)
        if over is not None:
            over.discard(client)
            if not over:
                del self._over[client.flow]

    # --- time and numbers ----------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Run every timer that is due. When a user raises, the rest stays due: call it again."""
        self.deadlines.expire(now)

    @property
    def servers(self) -> int:
        """Server transactions in the table."""
        return len(self._servers)

    @property
    def clients(self) -> int:
        """Client transactions in the table."""
        return len(self._clients)


def _server_key(request: Request, method: str) -> Hashable:
    """What a request and its repetitions have in common, if it is of this method (§17.2.3)."""
    via, branch = request.via, request.branch
    if branch is not None and branch[:7] == COOKIE and branch[7:]:
        return (branch, via.host, via.port, method)
    # RFC 2543: the To tag, which an ACK has and its INVITE has not, is compared apart.
    return (method, request.request_uri, via, request.call_id, request.from_tag, request.cseq.number)


def _acknowledges(ack: Request, server: ServerTransaction) -> bool:
    """Whether the To tag of an ACK by RFC 2543 is that of the refusal; with RFC 3261 the branch has said it."""
    branch = ack.via.branch
    if server.state != COMPLETED or (branch is not None and branch.startswith(COOKIE) and branch != COOKIE):
        return True
    return ack.to_tag == to_tag_of(server.kept)
