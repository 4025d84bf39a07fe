"""Who sent this? Challenges and what answers them (RFC 3261 §22, RFC 7616, RFC 8760).

Whom somebody proved to be decides everything; what he writes in From, To or
Contact decides nothing (T13, T87). A user's level (never, requested, required)
is that of the From address and is about calls; REGISTER follows the server.
A peer (RFC 3325) is trusted to know who calls: it is asked for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.core.challenge import challenges
from sipd.core.credentials import NONE_GIVEN, Verdict, credentials_of
from sipd.core.decision import Challenged, Respond
from sipd.core.inquiry import ANONYMOUS, Identity
from sipd.core.privacy import is_anonymous, user_asserted
from sipd.core.routes import address_of_record, primary
from sipd.core.subscribing import asks_us
from sipd.errors import Forbidden
from sipd.trace import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables

NOBODY: Final = "sip:anonymous@anonymous.invalid"


def identify(inquiry: Inquiry, tables: Tables) -> Respond | None:
    """A challenge, or None with `inquiry.identity` filled in. Raises Forbidden for a From of somebody else.

    A peer's word is enough, save for REGISTER to us, which wants the user's own
    proof, whatever his level, as SUBSCRIBE to registrations does; ACK and CANCEL
    can't be challenged (§22.1); a request in a dialog of ours has our seal; with
    the server's authentication off, From is taken at its word.
    """
    request = inquiry.request
    method = request.method
    if inquiry.in_dialog:
        return None
    asked = asks_us(inquiry, tables)
    if inquiry.peer is not None and not (asked and method == "REGISTER"):
        inquiry.identity = Identity(user_asserted(inquiry, tables), "peer")
        inquiry.trace.append(Step("identify", inquiry.peer.name, "peer"))
        if inquiry.identity.user:
            inquiry.trace.append(Step("identify", inquiry.identity.user, "asserted"))
        return None
    if method == "ACK" or method == "CANCEL" or inquiry.identity.scheme:
        return None  # the last: a copy of what he has proved to have sent
    uri = request.from_.uri
    sender = primary(address_of_record(uri, tables), tables)
    if tables.settings.auth == "none":
        if sender and tables.user(sender) is not None:
            inquiry.identity = Identity(sender)
        return None
    verdict = credentials_of(inquiry, tables, sender or inquiry.preferred)
    inquiry.marks = verdict.marks
    if verdict.user:
        _accept(inquiry, tables, verdict, sender)
        return None
    if asked:
        return _challenge(inquiry, tables, sender or address_of_record(request.to.uri, tables), verdict)
    if not sender:
        return None  # a stranger: whom he may call is asked by `may_relay`
    user = tables.user(sender)
    level = "required" if user is None else user.level
    return LEVELS[level](inquiry, tables, sender, verdict)


def demand(inquiry: Inquiry, tables: Tables) -> Respond:
    """The challenge to somebody who wants what only a proven user may have (T63)."""
    sender = address_of_record(inquiry.request.from_.uri, tables)
    return _challenge(inquiry, tables, sender or inquiry.preferred, NONE_GIVEN)


def _accept(inquiry: Inquiry, tables: Tables, verdict: Verdict, sender: str) -> None:
    request, user = inquiry.request, verdict.user
    # A delegate's REGISTER often has the user's own address in From; the registrar asks who may do that.
    if sender != user and request.method != "REGISTER" and not is_anonymous(request.from_.uri):
        speaks_for_group = sender != "" and tables.user(sender) is None and user in tables.alias(sender)
        if not speaks_for_group:
            inquiry.trace.append(Step("identify", user, "From is not his"))
            raise Forbidden("From is not your address")
    inquiry.identity = Identity(user, verdict.scheme)
    inquiry.trace.append(Step("identify", user, verdict.scheme))


# -- levels of a caller without right credentials ---------------------------


def _never(inquiry: Inquiry, tables: Tables, sender: str, verdict: Verdict) -> None:
    inquiry.identity = Identity(sender)


def _requested(inquiry: Inquiry, tables: Tables, sender: str, verdict: Verdict) -> Respond | None:
    """One challenge per Call-ID; then, or with a wrong answer, the call goes on as nobody's."""
    call_id = inquiry.request.call_id
    if not verdict.stale and (verdict.given or inquiry.context.guard.was_challenged(call_id)):
        inquiry.identity = ANONYMOUS
        inquiry.trace.append(Step("identify", sender, "unproven"))
        return None
    answer = _challenge(inquiry, tables, sender, verdict)
    return answer._replace(marks=(*answer.marks, Challenged(call_id)))


def _required(inquiry: Inquiry, tables: Tables, sender: str, verdict: Verdict) -> Respond:
    return _challenge(inquiry, tables, sender, verdict)


LEVELS: Final[Mapping[str, Callable[[Inquiry, Tables, str, Verdict], Respond | None]]] = {
    "never": _never,
    "requested": _requested,
    "required": _required,
}
"""What happens to a request whose From is a user of ours and who isn't proven, by his level."""


def _challenge(inquiry: Inquiry, tables: Tables, aor: str, verdict: Verdict) -> Respond:
    """401 if it `asks_us`, 407 for all else (§22.2, §22.3)."""
    if asks_us(inquiry, tables):
        status, name = 401, "WWW-Authenticate"
    else:
        status, name = 407, "Proxy-Authenticate"
    inquiry.trace.append(Step("identify", aor, "stale" if verdict.stale else "challenge"))
    headers = tuple((name, text) for text in challenges(inquiry, tables, aor, stale=verdict.stale))
    marks, inquiry.marks = inquiry.marks, ()
    return Respond(status, headers=headers, challenge=True, marks=marks)
