"""A request that is not answered on the spot: a server transaction over a tree of Search, Fork and Branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from sipd.core.checks import loop_mark
from sipd.core.decision import Proxy
from sipd.core.forwarding import COOKIE
from sipd.core.privacy import assertion
from sipd.core.recursion import uri_key
from sipd.core.rights import ends_of
from sipd.core.routes import local_domain
from sipd.errors import StoreAway
from sipd.hop import Way
from sipd.server.answer import answer, local_response
from sipd.server.branch import Branch
from sipd.server.door import guarded, report
from sipd.server.fetching import find_by_uri
from sipd.server.fork import Fork, follows_3xx
from sipd.server.late import LateAnswers
from sipd.server.node import MOST_BRANCHES
from sipd.server.registration import commit, not_stored
from sipd.server.search import Search
from sipd.server.sources import SOURCES, look_up
from sipd.trace import Step
from sipd.transaction.table import WAITING_OUT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sipd.core.decision import Commit, Decision
    from sipd.core.forwarding import Ends
    from sipd.core.inquiry import Inquiry
    from sipd.core.recursion import Key
    from sipd.core.tables import Missing
    from sipd.hop import Flow, Target
    from sipd.message import Request, Response, Uri
    from sipd.script import Lookup, LookupResult
    from sipd.server.house import House
    from sipd.server.node import Awaited, Node, Parent
    from sipd.trace import Trace
    from sipd.transaction import ServerTransaction


class Call:
    """One request under way. It ends when its final response is sent and its last branch has ended."""

    __slots__ = (
        "_answered",
        "_branches",
        "_inquiry",
        "_live",
        "_loop_mark",
        "_nursery",
        "_over",
        "_root",
        "_status",
        "_targets",
        "_tried",
        "_waiting",
        "came",
        "flow",
        "followed",
        "house",
        "request",
        "server",
        "supervised",
        "trace",
    )

    def __init__(self, house: House, server: ServerTransaction, inquiry: Inquiry, flow: Flow) -> None:
        self.house = house
        self.server = server
        self.flow = flow
        self.came = Way(inquiry.source, inquiry.near)
        self.request: Request = inquiry.request
        self.trace: Trace = inquiry.trace
        self.supervised = True
        self._inquiry = inquiry
        self._answered = False
        self._over = False
        self._status = 0
        self._live = 0
        self._branches: list[Branch] = []
        self._root: Node | None = None
        self._nursery: trio.Nursery | None = None
        self._waiting: list[Callable[[], Awaitable[None]]] | None = []  # for the nursery to come
        self._loop_mark = ""
        self._targets: list[Uri] = []  # handed to `child`
        self._tried: dict[Key, int] = {}  # the same and the request's own, once a 3xx is to be followed
        self.followed = 0
        server.user = self

    def begin(self, decision: Decision | Missing) -> None:
        """Carry out what policy decided; or load the row it missed and ask again."""
        if type(decision) is Proxy:  # all is known: no search stands over it
            self.supervised = not decision.quick
            if decision.quick and (self._inquiry.in_dialog or not follows_3xx(self.house, decision)):
                self._root = self._branch(self, decision.targets[0], self._inquiry.breadth)
            else:
                self._root = Fork.by_q(self, self, self._inquiry, decision)
            self._root.start()
        else:
            search = Search(self, self, self._inquiry)
            self._root = search
            if isinstance(decision, Exception):
                search.load(decision)
            else:
                search.carry_out(decision)
        if self._waiting:
            self.house.start_task(self._run)

    async def _run(self) -> None:
        """The call's own task: its nursery lives until the last branch has ended.

        A branch is started by the end of another or by a timer while another
        rings, always before the task of that one wakes: so the nursery is
        open for it.
        """
        async with trio.open_nursery() as nursery:  # bounds every branch and every row awaited of this call
            self._nursery = nursery
            waiting, self._waiting = self._waiting or [], None
            if len(waiting) == 1:  # the usual call: one target needs no task beside this
                await self._guarded(waiting[0])
            else:
                for task in waiting:
                    nursery.start_soon(self._guarded, task)
        self._nursery = None

    def commit(self, decision: Commit) -> None:
        """Hand a REGISTER that had to wait for its turn to the writer; the answer comes from there."""
        self._answered = True
        commit(self.house, self.server, self._inquiry, decision, ask_again)
        self._release()

    def spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task that lives no longer than the call."""
        if self._nursery is not None:
            self._nursery.start_soon(self._guarded, task)
        elif self.supervised and self._waiting is not None:
            self._waiting.append(task)  # before the nursery: `begin` starts it with these
        else:
            self.house.start_task(lambda: self._guarded(task))

    def load(self, missing: Missing, inquiry: Inquiry, loaded: Callable[[], None]) -> None:
        """Fetch that row: into the cache, or for this inquiry alone what is no row of ours."""

        async def fetch_and_ask() -> None:
            if missing.kind in SOURCES:
                rows = await look_up(self.house, missing)
                inquiry.looked_up = {**(inquiry.looked_up or {}), (missing.kind, missing.key): rows}
            else:
                try:
                    await self.house.tables.load(missing.kind, missing.key)
                except StoreAway as fault:
                    self.receive(None, not_stored(self.house.seal, self.request, fault))
                    return
            loaded()

        self.spawn(fetch_and_ask)

    def find_by_uri(self, owner: str, effect: Lookup, found: Callable[[LookupResult], None]) -> Awaited:
        """Find out by a URI where to go; the caller and other calls can do what they like meanwhile."""
        scope = trio.CancelScope()  # ended by the script when it needs no answer any more

        async def fetch_and_resume() -> None:
            started = self.house.now()
            with scope:
                result = await find_by_uri(self.house, owner, effect)
                found(result._replace(took=self.house.now() - started))

        self.spawn(fetch_and_resume)
        return scope

    async def _guarded(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except Exception as fault:  # the door, here for the tasks of one call: it ends alone
            self.broke(fault)

    def guarded(self, function: Callable[[], None]) -> None:
        """Call it; when it breaks this call ends with a 500, and no other hears of it."""
        try:
            function()
        except Exception as fault:  # the door, here for what responses and timers do to one call
            self.broke(fault)

    def broke(self, fault: Exception) -> None:
        """Something of ours broke: say so in the log; the call ends with a 500."""
        report("call", fault, self.house.counters, self.house.log)
        guarded("call", self.fail, self.house.counters, self.house.log)

    # --- what the server transaction tells ---------------------------------------------------

    def acked(self, server: ServerTransaction, ack: Request) -> None:
        """An ACK on the transaction's own branch after a 2xx: not told, dispatch passes it on."""

    def ended(self, server: ServerTransaction) -> None:
        """The transaction is over; the call ends by its branches."""

    # --- downwards ---------------------------------------------------------------------------

    def cancel(self) -> None:
        """The caller's CANCEL: every branch is cancelled, their 487 goes up (§16.10)."""
        if self._root is not None and not self._answered:
            self.trace.append(Step("call", "CANCEL", "branches cancelled"))
            self._root.cancel()

    def fail(self) -> None:
        """Something of ours broke: this call, and only this, ends with a 500."""
        if not self._answered:
            self.receive(None, local_response(self.house.seal, self.request, 500))
        for branch in tuple(self._branches):
            guarded("branch", branch.abandon, self.house.counters, self.house.log)
        self._close()

    # --- upwards -----------------------------------------------------------------------------

    def receive(self, child: Node | None, response: Response) -> None:
        """What the tree says goes to the caller: provisionals, one final, and late 2xx (§16.7)."""
        status = response.status
        if status < 200:
            # RFC 4320 §4.1: to other methods only a 100, and that is not ours to pass on
            if not self._answered and self.request.method == "INVITE":
                answer(self.house, self.server, response)
            return
        if self._answered:
            if status < 300 and self.request.method == "INVITE":
                answer(self.house, self.server, response)
            return
        self._answered = True
        self._status = status
        if status == 408 and self.request.method != "INVITE":
            # RFC 4320 §4.2: nobody waits for it any more, and a 408 would only do harm
            self._status = 0
            self.house.transactions.abandon(self.server)
        else:
            answer(self.house, self.server, response)
        if self._live == 0:
            self._close()

    def branch_ended(self) -> None:
        """One branch less to wait for; after the last the call is over."""
        self._live -= 1
        if self._live == 0 and self._answered:
            self._close()

    def branch_id(self) -> str:
        """A fresh branch parameter (§16.6 step 8).

        It ends in the mark by which a loop is known (RFC 5393 §4.2), save in
        a dialog: such a request has one way, and is never searched for.
        """
        fresh = self.house.ids.fresh()
        if self._inquiry.in_dialog:
            return f"{COOKIE}{fresh}"
        if not self._loop_mark:
            self._loop_mark = loop_mark(self.request, self.house.seal)
        return f"{COOKIE}{fresh}.{self._loop_mark}"

    @property
    def room(self) -> int:
        """How many more children the call may have (T38: what nobody sent on is bounded, too)."""
        room = MOST_BRANCHES - len(self._targets)
        transactions = self.house.transactions
        in_all = WAITING_OUT * transactions.capacity - transactions.clients
        return max(0, min(room, in_all)) if in_all < MOST_BRANCHES else room

    @property
    def overloaded(self) -> bool:
        """Whether the server has as many client transactions as it may have (T59, T120)."""
        transactions = self.house.transactions
        return transactions.clients >= WAITING_OUT * transactions.capacity

    @property
    def unmet_privacy(self) -> tuple[str, ...]:
        """Critical privacy that only a peer might give (RFC 3323 §5)."""
        return self._inquiry.unmet_privacy

    def ends(self, target: Target, onward: Flow, to_peer: bool) -> Ends | None:
        """The ends to which the dialog that this may make is confined (P6)."""
        return ends_of(self._inquiry, self.house.tables, target, self.flow, onward, to_peer)

    @property
    def asserted(self) -> tuple[str, ...]:
        """Who calls, as a peer is told it (RFC 3325 §5)."""
        return assertion(self._inquiry.identity, self.house.tables)

    def child(self, parent: Parent, target: Target, inquiry: Inquiry, breadth: int) -> Node:
        """A Search for a URI of this house, and for a number; a Branch for any other target; `breadth` is its share."""
        house = self.house
        self._targets.append(target.uri)
        if target.uri.scheme == "tel" or local_domain(target.uri, house.tables, house.context.places) is not None:
            return Search(self, parent, inquiry.toward(target.uri, through=target.owner, breadth=breadth))
        return self._branch(parent, target, breadth)

    def _branch(self, parent: Parent, target: Target, breadth: int) -> Branch:
        """A Branch, counted in; its request says `breadth`, which is its share."""
        branch = Branch(self, parent, target, breadth)
        self._live += 1
        self._branches.append(branch)
        return branch

    def tried(self, ahead: Sequence[Target]) -> dict[Key, int]:
        """Where the request has been, or is about to be, sent by us, with how many 3xx led there; may be added to."""
        for uri in (self.request.uri, *self._targets, *(target.uri for target in ahead)):
            self._tried.setdefault(uri_key(uri), 0)
        return self._tried

    def _close(self) -> None:
        """Over: tell explain, leave a thin link for late 2xx, break the cycles."""
        if self._over:  # its server transaction may be gone before, as over TCP nobody repeats a request
            return
        house = self.house
        house.explain.keep(self._inquiry.wall, self.request, self._inquiry.source, self._status, self.trace)
        self._release()

    def _release(self) -> None:
        """Leave no cycle behind: what is not needed goes at once, and the collector finds nothing."""
        self._over = True
        self.server.user = None
        house = self.house
        if self.request.method == "INVITE":
            late = LateAnswers(house, self.server)
            for branch in self._branches:
                branch.link(late)
        self._branches.clear()
        if self._root is not None:
            self._root.release()
            self._root = None


def ask_again(house: House, server: ServerTransaction, inquiry: Inquiry, missing: Missing) -> None:
    """Have a REGISTER decided anew when that row is there: another server was first (see `registration`)."""
    Call(house, server, inquiry, server.flow).begin(missing)
