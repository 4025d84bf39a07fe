"""How full every table of the server is, and how full it may get (T120)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.metrics import Gauge
from sipd.net.dead import MAX_DEAD
from sipd.net.lookups import MAX_KEPT
from sipd.server import diary, mailing, merged, returning, stateless
from sipd.server import dispatch as door
from sipd.store import writer
from sipd.transaction.table import WAITING_OUT

if TYPE_CHECKING:
    from sipd.server.dispatch import Dispatch
    from sipd.server.house import House

TWICE: Final = 2
"""Tables in two generations hold up to twice what they promise."""


def gauges_of(house: House, dispatch: Dispatch) -> dict[str, Gauge]:
    """A gauge for each table that what comes in can make longer, by name."""
    transactions, guard, admission = house.transactions, house.admission.guard, house.admission
    waiting, kept = transactions.capacity, WAITING_OUT * transactions.capacity
    nonces, challenged, failures = guard.nonces, guard.challenged, guard.failures
    explain, dead = house.explain, house.resolver.dead
    return {
        "requests_unanswered": Gauge(lambda: transactions.unanswered, waiting),
        "server_transactions": Gauge(lambda: transactions.servers, kept),
        "client_transactions": Gauge(lambda: transactions.clients, TWICE * kept + waiting),  # each may have its CANCEL
        "non_invites_under_way": Gauge(lambda: len(dispatch.trying), kept),
        "merged_known": Gauge(lambda: len(dispatch.merged), TWICE * merged.REMEMBERED),
        "stateless_known": Gauge(lambda: len(dispatch.stateless), TWICE * TWICE * stateless.REMEMBERED),
        "responses_returning": Gauge(lambda: len(house.returning), returning.MOST_SENT),
        "nonces": Gauge(lambda: len(nonces), nonces.capacity),
        "calls_challenged": Gauge(lambda: len(challenged), challenged.capacity),
        "challenges_delayed": Gauge(lambda: dispatch.delayed, door.MOST_DELAYED),
        "log_ins_failed": Gauge(lambda: len(failures), failures.capacity),
        "users_proven": Gauge(lambda: failures.known, TWICE * failures.capacity),  # each at one source
        "script_uploads_counted": Gauge(lambda: len(guard.uploads), guard.uploads.capacity),
        "sources_counted": Gauge(lambda: len(admission.rate), admission.rate.capacity),
        "sources_proven": Gauge(lambda: len(admission.proven), TWICE * admission.proven.size),
        "names_known": Gauge(lambda: house.resolver.remembered, TWICE * TWICE * MAX_KEPT),  # and numbers
        "hops_dead": Gauge(lambda: len(dead), TWICE * MAX_DEAD),
        "calls_explained": Gauge(lambda: len(explain), explain.most),
        "script_runs": Gauge(lambda: len(house.runs), house.runs.most),
        "log_lines_waiting": Gauge(lambda: len(house.diary), diary.WAITING),
        "mails_waiting": Gauge(lambda: len(house.mailer), mailing.QUEUED),
        "subscriptions": Gauge(lambda: len(dispatch.notifier), house.tables.settings.max_subscriptions),
        "db_up": Gauge(lambda: int(house.tables.reach.up), 1),  # no table: whether the database can be read and written
        "changes_waiting": Gauge(lambda: len(house.writer), writer.CAPACITY),
    }
