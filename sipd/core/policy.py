"""What shall happen to a request: the order of the steps, no rules (RFC 3261 §16.2-16.5).

`decide` walks ADMIT once per request and SEARCH once per URI sought. A step
gives a Decision, or None for the next one; it raises SipError for a refusal
and Missing for a row that must be loaded first. Nothing is sent, written or
awaited here: asked the same again, it answers the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.core.calls import consult_incoming, consult_outgoing, find_user, seek
from sipd.core.checks import check_request
from sipd.core.consumed import consume_credentials
from sipd.core.decision import Proxy, Relay, Respond, RunScript
from sipd.core.identity import identify
from sipd.core.location import locate
from sipd.core.privacy import weigh_claims
from sipd.core.registrar import register
from sipd.core.rights import answer_options, follow_route, may_register, may_relay
from sipd.core.routes import strip_routes
from sipd.core.subscribing import subscribe
from sipd.core.tables import Missing
from sipd.errors import SipError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.core.decision import Decision, Mark
    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables

    Step = Callable[[Inquiry, Tables], Decision | None]

ADMIT: Final[tuple[Step, ...]] = (
    strip_routes,
    check_request,
    weigh_claims,
    answer_options,
    follow_route,
    identify,
    may_register,
    may_relay,
)
"""May this request come in, and who sent it? Routes first: what is checked is the request they mean."""

SEARCH: Final[tuple[Step, ...]] = (
    seek,
    consult_outgoing,
    subscribe,
    find_user,
    consult_incoming,
    register,
    locate,
)
"""Where does the URI sought lead?"""

ONLY_FOR: Final[dict[Step, tuple[str, ...]]] = {
    answer_options: ("OPTIONS",),
    may_register: ("REGISTER",),
    register: ("REGISTER",),
    subscribe: ("SUBSCRIBE",),
    consult_outgoing: ("INVITE",),
    consult_incoming: ("INVITE",),
}
"""Steps that speak of these methods; with any other they are passed over."""


def _steps_of(method: str, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return tuple(step for step in steps if step not in ONLY_FOR or method in ONLY_FOR[step])


_METHODS: Final = ("INVITE", "OPTIONS", "REGISTER", "SUBSCRIBE")
_ADMIT_OF: Final = {method: _steps_of(method, ADMIT) for method in _METHODS}
_ADMIT_OF_OTHERS: Final = _steps_of("", ADMIT)
_SEARCH_OF: Final = {method: _steps_of(method, SEARCH) for method in _METHODS}
_SEARCH_OF_OTHERS: Final = _steps_of("", SEARCH)

SENDS_ON: Final = frozenset({Proxy, Relay, RunScript})
"""Decisions after which the request leaves this server, or may."""


def decide(inquiry: Inquiry, tables: Tables) -> Decision:
    """What shall happen to this request, or to the further URI its Search is about.

    Raises SipError for a refusal, and Missing when a row must be loaded; then
    the same is asked again. Marks (nonce used, log-in failed) are in the
    Decision, or in the Missing that came before it; a refusal that has marks is
    a Respond.
    """
    try:
        decision = _walk(inquiry, tables)
    except Missing as missing:
        missing.marks = _not_yet_counted(inquiry)
        inquiry.counted += missing.marks
        raise
    except SipError as error:
        if not inquiry.marks:
            raise
        decision = Respond(error.status, error.text, error.headers)
    if "Proxy-Authorization" in inquiry.request.names and type(decision) in SENDS_ON:
        consume_credentials(inquiry, tables)
    if inquiry.marks:
        decision = decision._replace(marks=_not_yet_counted(inquiry))
    return decision


def _not_yet_counted(inquiry: Inquiry) -> tuple[Mark, ...]:
    marks, inquiry.marks = inquiry.marks, ()
    return tuple(mark for mark in marks if mark not in inquiry.counted)


def _walk(inquiry: Inquiry, tables: Tables) -> Decision:
    method = inquiry.request.method
    if not inquiry.admitted:
        for step in _ADMIT_OF.get(method, _ADMIT_OF_OTHERS):
            decision = step(inquiry, tables)
            if decision is not None:
                return decision
    for step in _SEARCH_OF.get(method, _SEARCH_OF_OTHERS):
        decision = step(inquiry, tables)
        if decision is not None:
            inquiry.admitted = True
            return decision
    raise AssertionError("the last step of SEARCH always decides")
