"""Whom credentials prove: SCHEMES (RFC 3261 §22, RFC 7616 §3.4, RFC 7617).

Nothing here asks what From says, save to know which domain a bare user name is of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipd import basic, digest
from sipd.core.challenge import (
    SECRETS,
    algorithms_at,
    basic_may_be_used,
    domain_of_anybody,
    kind_for,
    kind_of_anybody,
    nonce_is_good,
    offered,
)
from sipd.core.decision import LogInFailed, LogInHeld, NonceUsed, PasswordSent, UriDiffers
from sipd.core.routes import joined, names_us
from sipd.core.subscribing import asks_us
from sipd.errors import BadSyntax
from sipd.message import parse_auth, parse_uri
from sipd.trace import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sipd.core.decision import Mark
    from sipd.core.inquiry import Inquiry, OurPlaces
    from sipd.core.tables import Tables
    from sipd.digest import Credentials
    from sipd.message import AuthParams, Uri
    from sipd.rows import User

MOST_SHOWN: Final = 255
"""Characters of a user name that a log line has."""


class Verdict(NamedTuple):
    """What the credentials of a request came to."""

    user: str = ""  # whom they prove, empty: nobody
    stale: bool = False  # right, but the nonce is old or its count used (RFC 7616 §3.3); or not looked at
    given: bool = False  # there were some for a realm of ours
    marks: tuple[Mark, ...] = ()
    scheme: str = ""  # of what proved the user


NONE_GIVEN: Final = Verdict()

Tried = set[tuple[str, str]]
"""Address-of-record and algorithm of what was looked at in this request.

Some phones answer every challenge, one value per algorithm; a second one of the
same is a guess more, which is not looked at (T117).
"""


class Claimed(NamedTuple):
    """Whom a user name means."""

    aor: str  # the address-of-record, or the name as written where it can mean none of ours
    user: User | None


def credentials_of(inquiry: Inquiry, tables: Tables, sender: str) -> Verdict:
    """What the credentials for a realm of ours prove, whatever From says. Raises BadSyntax for unreadable ones."""
    request = inquiry.request
    name = "Authorization" if asks_us(inquiry, tables) else "Proxy-Authorization"
    if name not in request.names:
        return NONE_GIVEN
    verdict, tried = NONE_GIVEN, Tried()
    marks: dict[Mark, None] = {}  # each once, in the order they came
    for text in request.values(name):
        given = parse_auth(text)
        prove = SCHEMES.get(given.scheme)
        if prove is None:
            continue
        found = prove(inquiry, tables, sender, given, tried)
        if found.user:
            return found
        marks |= dict.fromkeys(found.marks)
        if found.given and not verdict.stale:
            verdict = found
    return verdict._replace(marks=tuple(marks))


# -- digest -------------------------------------------------------------------


def _prove_by_digest(inquiry: Inquiry, tables: Tables, sender: str, given: AuthParams, tried: Tried) -> Verdict:
    claim = digest.credentials(given.params)
    claimed = _claimed(inquiry, tables, sender, claim.username, claim.realm)
    if not _is_realm_of_ours(inquiry, tables, claim.realm, claimed, sender):
        return NONE_GIVEN  # another server's, which has the same header field (§22.3)
    _check_uri(inquiry, tables, claim)
    if not claim.response:
        return NONE_GIVEN
    if not _was_offered(claim, inquiry, tables) or (claimed.aor, claim.algorithm) in tried:
        return Verdict(given=True)
    tried.add((claimed.aor, claim.algorithm))
    context, request = inquiry.context, inquiry.request
    if context.guard.is_held(claimed.aor, inquiry.source.host, inquiry.now):
        return _held(inquiry, claim.username)
    user = claimed.user
    secret = "" if user is None else SECRETS[claim.algorithm](user)["@" in claim.username]
    right = digest.verify(secret or "0" * digest.DIGITS[claim.algorithm], request.method, claim, request.body)
    if user is None or not secret or not right:
        return _wrong(inquiry, claim.username, claimed.aor)
    count = claim.nonce_count
    used = NonceUsed(claim.nonce, count, user.aor)
    life = tables.settings.nonce_life
    if (
        (claim.qop and count == 0)
        or not nonce_is_good(claim.nonce, claim.realm, claim.algorithm, context, inquiry.wall, life)
        or not (context.guard.count_is_fresh(claim.nonce, count) or used in inquiry.counted)
    ):
        return Verdict(stale=True, given=True)
    return Verdict(user.aor, given=True, marks=(used,), scheme="digest")


def _was_offered(claim: Credentials, inquiry: Inquiry, tables: Tables) -> bool:
    """Whether we offer this algorithm here, and this quality of protection; none is that of RFC 2069, worth `auth`."""
    settings = tables.settings
    return (
        claim.algorithm in digest.ALGORITHMS
        and claim.algorithm in algorithms_at(settings.digest_algorithms, inquiry.near)
        and (claim.qop or "auth") in settings.digest_qop.split()
    )


def _check_uri(inquiry: Inquiry, tables: Tables, claim: Credentials) -> None:
    """The digest's uri must mean where the request goes; ports and parameters may differ (T12, RFC 8760 §2.6)."""
    request, how = inquiry.request, tables.settings.digest_uri_check
    if how == "off" or claim.uri == request.request_uri:
        return
    one, other, places = request.uri, parse_uri(claim.uri), inquiry.context.places
    same = one.host.lower().rstrip(".") == other.host.lower().rstrip(".") or (
        _is_ours(one, tables, places) and _is_ours(other, tables, places)
    )
    if how == "strict":
        same = same and one.scheme == other.scheme and one.user_unescaped == other.user_unescaped
    if not same:
        inquiry.trace.append(Step("identify", claim.username[:64], "digest uri mismatch"))
        inquiry.marks = (UriDiffers(inquiry.source.host, claim.username[:MOST_SHOWN], claim.uri, request.request_uri),)
        raise BadSyntax("Digest uri is not the Request-URI")


def _is_ours(uri: Uri, tables: Tables, places: OurPlaces) -> bool:
    return tables.domain(uri.host) is not None or names_us(uri.host, uri.port, tables, places)


# -- Basic --------------------------------------------------------------------


def _prove_by_basic(inquiry: Inquiry, tables: Tables, sender: str, given: AuthParams, tried: Tried) -> Verdict:
    """By the password itself, where it may be sent (P18); elsewhere it counts as nothing (T115)."""
    if not basic_may_be_used(inquiry, tables.settings):
        return NONE_GIVEN
    name, password = basic.credentials(given.token)
    claimed = _claimed(inquiry, tables, sender, name)
    source, user = inquiry.source.host, claimed.user
    if (claimed.aor, "basic") in tried:
        return Verdict(given=True)
    tried.add((claimed.aor, "basic"))
    if inquiry.context.guard.is_held(claimed.aor, source, inquiry.now):
        return _held(inquiry, name)
    kind = kind_for(claimed.aor, tables, inquiry.context.seal)
    stored = [name for name in kind.algorithms if name in digest.ALGORITHMS]
    preferred = [name for name in offered(tables.settings, kind, inquiry.near) if name in stored]
    algorithm = (preferred or stored or list(digest.ALGORITHMS))[0]  # here nobody but us need know it
    short, full = ("", "") if user is None else SECRETS[algorithm](user)
    hashed = claimed.aor.rpartition("@")[0] if short or not full else claimed.aor
    secret = short or full
    right = digest.is_password(secret or "0" * digest.DIGITS[algorithm], hashed, kind.realm, password, algorithm)
    if user is None or not secret or not right:
        return _wrong(inquiry, name, claimed.aor)
    return Verdict(user.aor, given=True, marks=(PasswordSent(user.aor, source),), scheme="basic")


# -- both ---------------------------------------------------------------------


def _wrong(inquiry: Inquiry, username: str, aor: str) -> Verdict:
    inquiry.trace.append(Step("identify", username[:64], "wrong"))
    return Verdict(given=True, marks=(LogInFailed(username[:MOST_SHOWN], inquiry.source.host, aor),))


def _held(inquiry: Inquiry, username: str) -> Verdict:
    """One who guesses: not looked at, and asked again; `stale` has an honest phone try once more by itself (T117)."""
    inquiry.trace.append(Step("identify", username[:64], "held"))
    return Verdict(stale=True, given=True, marks=(LogInHeld(inquiry.source.host),))


def _claimed(inquiry: Inquiry, tables: Tables, sender: str, username: str, realm: str = "") -> Claimed:
    """The user that a name means (`user`, `user@domain`); with a realm only one whose realm that is.

    A bare name is of the realm's domain, else of the sender's.
    """
    name, at, host = username.rpartition("@")
    if at:
        domains = [tables.domain(host)]
    else:
        near = sender.rpartition("@")[2] or domain_of_anybody(inquiry, tables)
        name, domains = username, [tables.domain(realm) if realm else None, near]
    aors = [aor for domain in domains if domain and (aor := joined(name, domain))]
    for aor in aors:
        user = tables.user(aor)
        if user is not None and (not realm or user.realm == realm):
            return Claimed(aor, user)
    return Claimed(aors[0] if aors else username, None)


def _is_realm_of_ours(inquiry: Inquiry, tables: Tables, realm: str, claimed: Claimed, sender: str) -> bool:
    """Whether we ask for that realm: it is a domain of ours, or what this user or this sender is asked for (T67)."""
    if claimed.user is not None or tables.domain(realm) is not None:
        return True
    seal = inquiry.context.seal
    if any(realm == kind_for(aor, tables, seal).realm for aor in (claimed.aor, sender) if "@" in aor):
        return True
    return not sender and realm == kind_of_anybody(inquiry, tables).realm


SCHEMES: Final[Mapping[str, Callable[[Inquiry, Tables, str, AuthParams, Tried], Verdict]]] = {
    "digest": _prove_by_digest,
    "basic": _prove_by_basic,
}
"""Authentication schemes by lower-case name."""
