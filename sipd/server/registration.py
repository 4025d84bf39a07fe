"""Carries out Commit: durable first, answered then; asked again on conflict; 503 while the database is away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.errors import ServiceUnavailable, StoreAway
from sipd.message import response_to
from sipd.server.answer import answer, local_response, refusal
from sipd.server.door import report
from sipd.store import Refused

if TYPE_CHECKING:
    from sipd.core.decision import Commit
    from sipd.core.inquiry import Inquiry
    from sipd.server.house import House
    from sipd.transaction import ServerTransaction


RETRY_AFTER: Final = (("Retry-After", "10"),)


def commit(house: House, server: ServerTransaction, inquiry: Inquiry, decision: Commit) -> None:
    """Queue the changes; the 200 leaves when they are on disk (§10.3 step 8, P1)."""
    request, response = inquiry.request, decision.response

    def done(fault: Exception | None) -> None:
        try:
            say(fault)
        except Exception as broken:  # the door, here for what comes from the writer: this REGISTER is answered
            report("commit", broken, house.counters, house.log)
            house.transactions.respond(server, 500, bytes(response_to(request, 500)))

    def say(fault: Exception | None) -> None:
        if fault is None:
            said = local_response(
                house.seal, request, response.status, response.reason, response.headers, response.body
            )
            status = response.status
        elif isinstance(fault, StoreAway):
            status = 503
            said = local_response(house.seal, request, 503, "Database Unavailable", RETRY_AFTER)
        elif isinstance(fault, Refused):  # the user was removed while his REGISTER waited
            status = 404
            said = local_response(house.seal, request, 404)
        else:
            house.log.event("commit_failed", aor=decision.reads, kind=type(fault).__name__, text=fault)
            status = 500
            said = local_response(house.seal, request, 500, "Not Stored", RETRY_AFTER)
        answer(house, server, said)
        house.explain.keep(inquiry.wall, request, inquiry.source, status, inquiry.trace)

    try:
        house.writer.submit(decision.changes, decision.reads, done)
    except ServiceUnavailable as fault:
        answer(house, server, refusal(house.seal, request, fault))
