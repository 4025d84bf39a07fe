"""Whom a URI means and whose scripts have a say before he is rung (RFC 3261 §16.5, RFC 3880 §2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.core.aliases import follow_alias
from sipd.core.checks import OWN_METHODS
from sipd.core.decision import RunScript
from sipd.core.gruu import callee_of
from sipd.core.numbers import by_number
from sipd.core.routes import leads_here, local_domain, means_server
from sipd.errors import (
    LoopDetected,
    MethodNotAllowed,
    MethodNotImplemented,
    NotFound,
    TemporarilyUnavailable,
    TooManyHops,
)
from sipd.message.values import METHODS
from sipd.trace import Step

if TYPE_CHECKING:
    from sipd.core.decision import Decision
    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables
    from sipd.script import Direction


MOST_DEEP: Final = 20
"""Users that one search may lead through, one after another (T38); beyond it 483, as after too many hops."""


def seek(inquiry: Inquiry, tables: Tables) -> None:
    """Fill in `callee`: the address-of-record that the URI sought means, empty when it leads out of the house."""
    if not inquiry.callee:
        domain = local_domain(inquiry.uri, tables, inquiry.context.places)
        if domain is not None:
            inquiry.callee = callee_of(inquiry.uri, domain, inquiry.context.seal)


def consult_outgoing(inquiry: Inquiry, tables: Tables) -> RunScript | None:
    """The script of the caller, when he is one of ours: once in a call, before anything is looked up."""
    if inquiry.request.method != "INVITE" or inquiry.path or not inquiry.identity.user:
        return None
    return _consult(inquiry, tables, inquiry.identity.user, "outgoing")


def find_user(inquiry: Inquiry, tables: Tables) -> Decision | None:
    """Whether the one sought exists: 404 for nobody, to a stranger 480 as for one who is out (T67).

    What is no user may be an alias of one, or of several: then he is meant, or
    they are. A number that no user has may be known elsewhere: then that is
    the decision.

    Raises 482 when the search comes through one user twice, 404 for the
    server itself (405 or 501 for what it is never asked), a place that is no
    domain, and a number no gateway is known for.
    """
    callee = inquiry.callee
    if not callee or tables.user(callee) is None:
        decision = follow_alias(inquiry, tables)
        if decision is not None:
            return decision
        callee = inquiry.callee
    if not callee:
        uri, places = inquiry.uri, inquiry.context.places
        server = means_server(uri, tables, places)
        if server:
            _check_method(inquiry.request.method)
        if server or not uri.is_sip or leads_here(uri, tables, places):
            decision = by_number(inquiry, tables)
            if decision is None:
                inquiry.trace.append(Step("find_user", uri.text, "nobody"))
                raise NotFound
            return decision
        return None
    if inquiry.path:
        _check_path(inquiry, callee)
    if tables.user(callee) is not None:
        return None
    decision = by_number(inquiry, tables)
    if decision is not None:
        return decision
    settings = tables.settings
    inquiry.trace.append(Step("find_user", callee, "unknown"))
    if settings.unknown_callee == "404" and (any(inquiry.identity) or settings.auth == "none"):
        raise NotFound
    raise TemporarilyUnavailable


def _check_path(inquiry: Inquiry, callee: str) -> None:
    """482 where the search has come through this user already, 483 where it has come through too many."""
    if callee in inquiry.path and not _named_by_own_script(inquiry, callee):
        inquiry.trace.append(Step("find_user", callee, "twice"))
        raise LoopDetected
    if len(inquiry.path) > MOST_DEEP:
        inquiry.trace.append(Step("find_user", callee, "too deep"))
        raise TooManyHops


def _named_by_own_script(inquiry: Inquiry, callee: str) -> bool:
    """Whether the user's own script has just named him: then his phones are meant, once (ADR 19).

    He stands twice at the end of the path then, as who was called and as who
    wrote the location; a third time is a circle.
    """
    path = inquiry.path
    return path[-2:] == (callee, callee) and path.count(callee) == 2 and (callee, "incoming") in inquiry.consulted


def _check_method(method: str) -> None:
    """Whether it is a method that the server itself knows; ACK is never answered (§8.2.1, §21.5.2)."""
    if method in OWN_METHODS:
        return
    if method in METHODS:
        raise MethodNotAllowed(headers=(("Allow", ", ".join(OWN_METHODS)),))
    raise MethodNotImplemented


def consult_incoming(inquiry: Inquiry, tables: Tables) -> RunScript | None:
    """The script of the one sought, when he has one that speaks about incoming calls."""
    if inquiry.request.method != "INVITE" or not inquiry.callee:
        return None
    return _consult(inquiry, tables, inquiry.callee, "incoming")


def _consult(inquiry: Inquiry, tables: Tables, owner: str, direction: Direction) -> RunScript | None:
    """RunScript unless it had its say, or the request is in a dialog that our seal proves (no To tag does, T65)."""
    if inquiry.in_dialog or (inquiry.consulted and (owner, direction) in inquiry.consulted):
        return None
    program = tables.program(owner)
    if program is None or not (program.has_outgoing if direction == "outgoing" else program.has_incoming):
        return None
    inquiry.trace.append(Step("consult", owner, direction))
    return RunScript(program, owner, direction)
