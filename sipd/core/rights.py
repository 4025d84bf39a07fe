"""May this request do what it wants here: OPTIONS to us, dialogs of ours, REGISTER, relaying (§10.3, §16.3, §22)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.core.checks import EXTENSIONS, OWN_METHODS, is_options_to_us
from sipd.core.decision import Registering, Respond
from sipd.core.forwarding import DIALOG_MAKERS
from sipd.core.gruu import callee_of, is_gruu
from sipd.core.identity import demand
from sipd.core.location import forward
from sipd.core.privacy import is_anonymous
from sipd.core.routes import address_of_record, leads_here, local_domain, primary, registers_elsewhere
from sipd.core.subscribing import ALLOW_EVENTS
from sipd.core.uploads import ACCEPT_HEADERS
from sipd.errors import BadSyntax, Forbidden, NotFound
from sipd.hop import Target, Way
from sipd.trace import Step

if TYPE_CHECKING:
    from sipd.core.decision import Decision
    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables
    from sipd.hop import Flow
    from sipd.message import Uri

_CAPABILITIES: Final = (
    ("Allow", ", ".join(OWN_METHODS)),
    ("Supported", ", ".join(sorted(EXTENSIONS))),
    *ALLOW_EVENTS,
    *ACCEPT_HEADERS,
    ("Accept-Encoding", "identity"),
    ("Accept-Language", "en"),
)


def answer_options(inquiry: Inquiry, tables: Tables) -> Respond | None:
    """200 with what we can, to whoever asks the server itself: peers ping with it (§11)."""
    if inquiry.request.method != "OPTIONS" or not is_options_to_us(inquiry, tables):
        return None
    inquiry.trace.append(Step("options", "the server", "200"))
    return Respond(200, headers=_CAPABILITIES)


def follow_route(inquiry: Inquiry, tables: Tables) -> Decision | None:
    """A request in a dialog whose seal we know goes where Route and Request-URI say (§16.5, T65).

    Where they say a user of ours (his Contact is his address-of-record or a
    GRUU), he is searched; from a dialog with a stranger by GRUU only (P6). One
    whose Route names a flow goes by that, be it of a dialog or a new one that a
    registrar sends by our Path (RFC 5626 §5.3).
    """
    through = inquiry.through
    if not inquiry.in_dialog and through is None:
        return None
    uri = inquiry.uri
    may_search = through is None or not through.only_host or is_gruu(uri)  # a stranger's dialog leads to no other user
    in_dialog = inquiry.in_dialog and "Route" not in inquiry.request.names
    if in_dialog and may_search and leads_here(uri, tables, inquiry.context.places):
        return None
    if through is None:
        return forward(inquiry, (Target(uri),))
    return forward(inquiry, (Target(uri, received=through.way, bound=through.bound, only_host=through.only_host),))


def may_register(inquiry: Inquiry, tables: Tables) -> None:
    """The address-of-record is one of that domain, and the sender is its user or was named by him (§10.3 steps 3-5).

    Raises 400 for a To that is no sip or sips URI (T15), 404 for one of another
    domain than the Request-URI or, where nobody proves anything, of no user;
    403 for a stranger (T13, T16). Fills in `callee`.
    """
    request = inquiry.request
    if request.method != "REGISTER" or registers_elsewhere(inquiry, tables):
        return
    to = request.to.uri
    if not to.is_sip or not to.user:
        raise BadSyntax("To is no address-of-record")
    aor = address_of_record(to, tables)
    if not aor or aor.rpartition("@")[2] != tables.domain(inquiry.uri.host):
        raise NotFound
    aor = primary(aor, tables)  # an alias of one user registers his contacts
    user, sender = tables.user(aor), inquiry.identity.user
    if tables.settings.auth == "none":
        if user is None:
            raise NotFound
        # From is the asserted identity (step 3); one that is no user here asserts nothing about others.
        if not sender:
            sender = primary(address_of_record(request.from_.uri, tables), tables) or aor
    if sender != aor:
        _check_delegate(inquiry, tables, sender, aor, known=user is not None)
    inquiry.callee = aor


def _check_delegate(inquiry: Inquiry, tables: Tables, sender: str, aor: str, *, known: bool) -> None:
    """Whether the user named `sender` as one who may register for him, and not the other way round; else 403."""
    allowed = known and tables.may_register_for(sender, aor)
    inquiry.trace.append(Step("may_register", f"{sender} for {aor}", "delegate" if allowed else "denied"))
    mark = Registering(sender, aor, allowed)
    if mark not in inquiry.marks:  # it is, where a row had to be waited for
        inquiry.marks = (*inquiry.marks, mark)
    if not allowed:
        raise Forbidden


def may_relay(inquiry: Inquiry, tables: Tables) -> Respond | None:
    """What leaves this house needs a proven user or a peer (T63, T64): else 407 to our own and the anonymous, or 403.

    A call to a user of ours needs nothing, unless a Route leads it elsewhere
    first. ACK can't be challenged: raises 403, which nobody is told. Fills in
    `callee` for a URI of ours.
    """
    request = inquiry.request
    if request.method == "REGISTER" and inquiry.callee:
        return None  # for us, and `may_register` had its say
    places, uri = inquiry.context.places, inquiry.uri
    domain = local_domain(uri, tables, places)
    if domain is not None:
        inquiry.callee = callee_of(uri, domain, inquiry.context.seal)
        if "Route" not in request.names:
            return None
    if may_call_out(inquiry, tables):
        return None
    sender = request.from_.uri
    ours = is_of_ours(sender, tables)
    if request.method == "ACK" or not (ours or is_anonymous(sender)) or tables.settings.auth == "none":
        inquiry.trace.append(Step("may_relay", uri.text, "denied"))
        raise Forbidden
    return demand(inquiry, tables)


def may_call_out(inquiry: Inquiry, tables: Tables) -> bool:
    """Whether the sender may have a request of his sent to foreign places (T63)."""
    if inquiry.in_dialog or inquiry.identity.scheme:
        return True
    return tables.settings.auth == "none" and is_of_ours(inquiry.request.from_.uri, tables)


def ends_of(
    inquiry: Inquiry, tables: Tables, target: Target, back: Flow, onward: Flow, to_peer: bool
) -> tuple[Way, Way | None] | None:
    """The two ends to which the dialog that this request may make is confined; None: it is not (P6).

    Both, where the caller may not call out. Where he may, and calls somebody
    elsewhere who is no peer: his own end; what he sends goes anywhere from there.
    """
    if inquiry.request.method not in DIALOG_MAKERS:
        return None
    if not may_call_out(inquiry, tables):
        return Way(back.remote, back.near), Way(onward.remote, onward.near)
    elsewhere = target.owner is None or "@" not in target.owner  # no user of ours chose that place
    if elsewhere and not to_peer and not inquiry.in_dialog:
        return Way(back.remote, back.near), None
    return None


def is_of_ours(sender: Uri, tables: Tables) -> bool:
    """Whether From says a domain of ours."""
    return sender.is_sip and tables.domain(sender.host) is not None
