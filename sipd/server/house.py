"""What the parts of floor 4 share: the tables, the transactions, the ways out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sipd.hop import SECURE
from sipd.log import LOG, EventLog
from sipd.metrics import Counters, Gauge
from sipd.server.explain import Explain
from sipd.server.ids import Ids
from sipd.server.returning import Returning
from sipd.server.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sipd.core.inquiry import Context
    from sipd.hop import Flow
    from sipd.net import Network
    from sipd.net.fetch import Web
    from sipd.net.resolver import Resolver
    from sipd.seal import Seal
    from sipd.server.admission import Admission
    from sipd.server.diary import Diary
    from sipd.server.mailing import Mailer
    from sipd.store import Cache, Writer
    from sipd.transaction import Deadlines, Transactions

    StartTask = Callable[[Callable[[], Awaitable[None]]], None]


@dataclass(slots=True)
class House:
    """One server's equals, made by `startup` and handed to dispatch, calls and branches."""

    tables: Cache
    writer: Writer
    network: Network
    resolver: Resolver
    deadlines: Deadlines = field(init=False)  # of the transactions, and of all else
    transactions: Transactions
    seal: Seal
    admission: Admission
    context: Context
    now: Callable[[], float]  # monotonic seconds
    wall: Callable[[], float]  # seconds since 1970
    start_task: StartTask  # starts a guarded task in the nursery of all calls
    diary: Diary  # what scripts log
    mailer: Mailer  # what they mail
    web: Web  # what they have fetched
    ids: Ids = field(default_factory=Ids)
    counters: Counters = field(default_factory=Counters)
    explain: Explain = field(default_factory=Explain)
    runs: Runs = field(default_factory=Runs)
    returning: Returning = field(default_factory=Returning)
    log: EventLog = LOG
    gauges: dict[str, Gauge] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.deadlines = self.transactions.deadlines

    def is_peer(self, flow: Flow) -> bool:
        """Whether a trusted server is at the far end: by address, or by a name it has proved (RFC 3325 §5).

        A connection still being opened is good for the name it was asked for: without proof it carries nothing.
        """
        if not self.tables.has_peers:
            return False
        remote = flow.remote
        names = flow.names or ((remote.name,) if remote.name and remote.transport in SECURE else ())
        return self.tables.peer(remote.host, names) is not None
