"""Who is told who calls: identity asserted between trusted servers, and privacy (RFC 3323, RFC 3324, RFC 3325).

The trust domain is this server and its peers (the table of that name). What
RFC 3324 §2.4 wants written down, its Spec(T), for sipd:

* Users are authenticated by digest, or by a peer. From others nothing is
  believed: their P-Asserted-Identity and Remote-Party-ID go no further.
* A peer is told by P-Asserted-Identity who the authenticated caller is.
* Without a Privacy header what a peer asserts is passed on to anybody, unless
  From is anonymous; with one it leaves the domain only where that says "none".
* Of the privacy services of RFC 3323 a proxy can give only that: the others
  take a back-to-back user agent. Where they are `critical` the request is
  refused (§5), save towards a peer, who may give them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sipd.core.inquiry import PROOFS
from sipd.core.routes import address_of_record
from sipd.errors import BadSyntax, SipError
from sipd.message import Address, Response, escaped_user, is_address, parse_address, parse_uri, sip_uri
from sipd.message.headers import CANONICAL

if TYPE_CHECKING:
    from sipd.core.inquiry import Identity, Inquiry
    from sipd.core.tables import Tables
    from sipd.message import Draft, Message, Request, Uri

ASSERTED: Final = "P-Asserted-Identity"
PREFERRED: Final = "P-Preferred-Identity"
CLAIMS: Final = frozenset({ASSERTED, PREFERRED, "Remote-Party-ID"})
"""Header fields by which somebody says who he is; only a peer is believed (T66)."""

NEVER_ASSERTED: Final = frozenset({"ACK", "CANCEL"})
"""Methods that carry no identity (RFC 3325 §9.1)."""

OUR_OWN: Final = "X-Sipd-"
"""How header fields begin that only servers of this kind write, for each other."""

ORDINARY: Final = frozenset(CANONICAL.values()) - CLAIMS - {"Privacy"}
"""Header fields that this module has nothing to do with: asked of `extras` that is the cheap question."""

GIVEN: Final = frozenset({"id"})
"""Privacy that a proxy can give."""

NAMED: Final = ("header", "session", "user", "history")
"""Values of Privacy that we name in a refusal; others are from a client that may write anything."""

_NUMBER: Final = re.compile(r"\+?[0-9]{1,32}", re.ASCII)


def weigh_claims(inquiry: Inquiry, tables: Tables) -> None:
    """See whether a peer sent it, and take off what is not to be believed; and what it says of privacy.

    Raises SipError (500) for a REGISTER with critical privacy (RFC 3323 §5).
    P-Preferred-Identity is a wish to the first proxy, and always ends here
    (RFC 3325 §6): it hints whose credentials to ask for where From is
    anonymous. What we assert is the user himself, by address and number, in any case.
    """
    if tables.has_peers:
        inquiry.peer = tables.peer(inquiry.source.host, inquiry.names)
    request = inquiry.request
    names = request.names
    if not request.extras or ORDINARY.issuperset(request.extras):
        return
    if PREFERRED in names:
        inquiry.preferred = _hint(request, tables)
    if "Privacy" in names:
        inquiry.unmet_privacy = unmet(request)
        if inquiry.unmet_privacy and request.method == "REGISTER":  # ends here: nobody else will give it
            raise SipError(no_privacy(inquiry.unmet_privacy))
    believed = inquiry.peer is not None and request.method not in NEVER_ASSERTED
    doubtful = _doubtful(request, believed)
    if doubtful:
        kept = [at for at, name in enumerate(names) if name not in doubtful]
        inquiry.request = request.with_lines([names[at] for at in kept], [request.lines[at] for at in kept])


def _hint(request: Request, tables: Tables) -> str:
    """The address-of-record here that P-Preferred-Identity names; empty: none, or it can't be read."""
    try:
        found = [address_of_record(parse_address(value).uri, tables) for value in request.values(PREFERRED)]
    except BadSyntax:
        return ""
    return next(filter(None, found), "")


def _doubtful(message: Message, believed: bool) -> set[str]:
    """The header fields that are not to go on: all claims of a stranger, of a peer those that are ill-formed."""
    if not believed:
        return {name for name in message.names if name in CLAIMS or name.startswith(OUR_OWN)}
    doubtful = {PREFERRED} & set(message.names)
    return doubtful | {ASSERTED} if ASSERTED in message.names and not identities(message) else doubtful


def identities(message: Message) -> tuple[Uri, ...]:
    """Whom P-Asserted-Identity names: a sip or sips URI, a tel URI, or one of each; else nobody (RFC 3325 §9.1)."""
    if ASSERTED not in message.names:
        return ()
    try:
        found = tuple(parse_address(value).uri for value in message.values(ASSERTED))
    except BadSyntax:
        return ()
    kinds = ["sip" if uri.is_sip else uri.scheme for uri in found]
    return found if sorted(kinds) in (["sip"], ["tel"], ["sip", "tel"]) else ()


def user_asserted(inquiry: Inquiry, tables: Tables) -> str:
    """The user of ours that the peer says the sender is, as if we had authenticated him (§5); empty: none of ours."""
    for uri in identities(inquiry.request):
        aor = address_of_record(uri, tables)
        if aor and tables.user(aor) is not None:
            return aor
    return ""


def assertion(identity: Identity, tables: Tables) -> tuple[str, ...]:
    """What a peer is told about a user who proved himself here: his address, and his number when he is one (§5)."""
    if identity.scheme not in PROOFS:
        return ()
    user = tables.user(identity.user)
    name, _, domain = identity.user.rpartition("@")
    display = None if user is None or not user.full_name else user.full_name
    values = [str(Address(display, sip_uri(domain, user=escaped_user(name))))]
    if _NUMBER.fullmatch(name) and not is_address(domain):
        context = "" if name[0] == "+" else f";phone-context={domain}"
        values.append(f"<{parse_uri(f'tel:{name}{context}').text}>")
    return tuple(values)


# -- privacy ----------------------------------------------------------------------


def is_anonymous(uri: Uri) -> bool:
    """Whether a From says that it doesn't say who calls (RFC 3323 §4.1)."""
    if not uri.is_sip:
        return False
    host = uri.host.lower().rstrip(".")
    return host == "anonymous.invalid" or uri.user == "anonymous"


def privacy_of(message: Message) -> frozenset[str]:
    """What Privacy asks for, in lower case; a comma parts values too, as some write it (RFC 3323 §4.2)."""
    if "Privacy" not in message.names:
        return frozenset()
    said = ";".join(message.values("Privacy")).replace(",", ";").lower()
    return frozenset(value.strip(" \t") for value in said.split(";")) - {""}


def is_private(message: Message) -> bool:
    """Whether an asserted identity must not leave the trust domain (RFC 3325 §7).

    Any wish for privacy counts as one for `id`. Without any, an anonymous From is taken for it.
    """
    wishes = privacy_of(message)
    if wishes:
        return "none" not in wishes
    try:
        return type(message) is not Response and is_anonymous(message.from_.uri)
    except BadSyntax:
        return True


def unmet(request: Request) -> tuple[str, ...]:
    """The critical services that we can't give, to be named in the 500 (RFC 3323 §5); empty: none is critical."""
    wishes = privacy_of(request)
    if "critical" not in wishes or "none" in wishes:
        return ()
    missing = wishes - GIVEN - {"critical"}
    named = tuple(name for name in NAMED if name in missing)
    return named if len(named) == len(missing) else (*named, "other")


def no_privacy(missing: tuple[str, ...]) -> str:
    """The reason of the 500 to a request whose critical privacy can't be given (RFC 3323 §5)."""
    return f"Privacy Not Available: {', '.join(missing)}"


def can_be_given(request: Request) -> bool:
    """Whether we understand `Proxy-Require: privacy` of this request: all that it asks for can be given (§4.3)."""
    return privacy_of(request) <= GIVEN | {"none", "critical"}


# -- edits --------------------------------------------------------------------------


def assert_identity(draft: Draft, request: Request, values: tuple[str, ...]) -> None:
    """Tell a peer who calls, unless another peer has said so (RFC 3325 §5).

    A caller whose From is anonymous wants to be: where he has not said
    `Privacy` himself, the peer is told so with his name.
    """
    if not values or ASSERTED in draft.names or request.method in NEVER_ASSERTED:
        return
    for value in values:
        draft.append(ASSERTED, value)
    if "Privacy" not in draft.names and is_private(request):
        draft.append("Privacy", "id")


def keep_private(draft: Draft, request: Request) -> None:
    """Take off, for one who is no peer, what shall not leave the trust domain (RFC 3325 §7).

    `Privacy` stays, as in RFC 3325 §10.2: to do it again does no harm. The
    next proxy need not know of it any more where all is done (RFC 3323 §4.3).
    """
    if is_private(request):
        draft.remove(ASSERTED)
        draft.remove("Remote-Party-ID")
    for name in {name for name in draft.names if name.startswith(OUR_OWN)}:
        draft.remove(name)
    if "Proxy-Require" in draft.names and can_be_given(request):
        left = [tag for tag in request.values("Proxy-Require") if tag.lower() != "privacy"]
        draft.remove("Proxy-Require")
        if left:
            draft.append("Proxy-Require", ", ".join(left))


def believed(response: Response, from_peer: bool) -> Response:
    """A response as it came in, without the claims of one who is no peer (RFC 3325 §5)."""
    return _without(response, _doubtful(response, from_peer))


def shown(response: Response) -> Response:
    """A response as one who is no peer may see it: without what is private, or between servers (RFC 3325 §7)."""
    unwanted = {name for name in response.names if name.startswith(OUR_OWN)}
    return _without(response, unwanted | {ASSERTED, "Remote-Party-ID"} if is_private(response) else unwanted)


def _without(response: Response, unwanted: set[str]) -> Response:
    kept = [at for at, name in enumerate(response.names) if name not in unwanted]
    if len(kept) == len(response.names):
        return response
    names, lines = [response.names[at] for at in kept], [response.lines[at] for at in kept]
    return Response(response.start_line, names, lines, response.body)
