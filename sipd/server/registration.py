"""Carries out Commit: durable first, answered then; asked again on conflict; 503 while the database is away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.core.tables import Missing
from sipd.errors import CommitUnknown, ServiceUnavailable, StoreAway
from sipd.hop import Way
from sipd.message import response_to
from sipd.server.answer import answer, local_response, refusal
from sipd.server.door import report
from sipd.server.pins import lost_meanwhile
from sipd.store import Conflict, Refused
from sipd.trace import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.core.decision import Commit
    from sipd.core.inquiry import Inquiry
    from sipd.message import Request, Response
    from sipd.seal import Seal
    from sipd.server.house import House
    from sipd.transaction import ServerTransaction

    AskAgain = Callable[[House, ServerTransaction, Inquiry, Missing], None]

RETRY_AFTER: Final = (("Retry-After", "10"),)

MOST_CONFLICTS: Final = 5
"""How often a REGISTER is decided anew because another server was first."""


def commit(house: House, server: ServerTransaction, inquiry: Inquiry, decision: Commit, ask_again: AskAgain) -> None:
    """Queue the changes; the 200 leaves when they are on disk (§10.3 step 8, P1).

    Where another server was first, policy is asked again when the bindings as
    they are now have been loaded: so the order of Call-ID and CSeq holds
    whichever server a phone speaks to (§10.3 step 7).
    """
    request, response = inquiry.request, decision.response

    def done(fault: Exception | None) -> None:
        try:
            if isinstance(fault, Conflict) and inquiry.conflicts < MOST_CONFLICTS:
                inquiry.conflicts += 1
                inquiry.counted += decision.marks
                inquiry.trace.append(Step("register", decision.reads, "another server was first"))
                ask_again(house, server, inquiry, Missing("settled", decision.reads))
            else:
                say(fault)
            if fault is None:
                lost_meanwhile(house, Way(inquiry.source, inquiry.near), decision.changes)
        except Exception as broken:  # the door, here for what comes from the writer: this REGISTER is answered
            report("commit", broken, house.counters, house.log)
            house.transactions.respond(server, 500, bytes(response_to(request, 500)))

    def say(fault: Exception | None) -> None:
        if fault is None:
            said = local_response(
                house.seal, request, response.status, response.reason, response.headers, response.body
            )
        else:
            said = not_stored(house.seal, request, fault)
            if not isinstance(fault, StoreAway | Refused):
                house.log.event("commit_failed", aor=decision.reads, kind=type(fault).__name__, text=fault)
        answer(house, server, said)
        house.explain.keep(inquiry.wall, request, inquiry.source, said.status, inquiry.trace)

    try:
        house.writer.submit(decision.changes, decision.reads, done)
    except ServiceUnavailable as fault:
        said = refusal(house.seal, request, fault)
        answer(house, server, said)
        house.explain.keep(inquiry.wall, request, inquiry.source, said.status, inquiry.trace)


def not_stored(seal: Seal, request: Request, fault: Exception) -> Response:
    """The answer to a REGISTER that the database did not take, or of which nobody knows (§10.3 step 7)."""
    status, reason, headers = next(answer for kind, answer in ANSWERS if isinstance(fault, kind))
    return local_response(seal, request, status, reason, headers)


ANSWERS: Final[tuple[tuple[type[Exception], tuple[int, str, tuple[tuple[str, str], ...]]], ...]] = (
    (CommitUnknown, (500, "Perhaps Not Stored", RETRY_AFTER)),
    (StoreAway, (503, "Database Unavailable", RETRY_AFTER)),
    (Conflict, (503, "Registered Elsewhere Too Often", RETRY_AFTER)),
    (Refused, (404, "", ())),  # the user was removed while his REGISTER waited
    (Exception, (500, "Not Stored", RETRY_AFTER)),
)
"""The first that fits counts."""
