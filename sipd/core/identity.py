"""Who sent this? Challenges and what answers them (RFC 3261 §22, RFC 7616, RFC 8760).

Whom somebody proved to be decides everything; what he writes in From, To or
Contact decides nothing (T13, T87). A user's level (never, requested, required)
is that of the From address and is about calls; REGISTER follows the server.
A peer (RFC 3325) is trusted to know who calls: it is asked for nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd import digest
from sipd.core.decision import Challenged, LogInFailed, NonceUsed, Respond
from sipd.core.inquiry import ANONYMOUS, Identity
from sipd.core.privacy import is_anonymous, user_asserted
from sipd.core.routes import address_of_record, joined, names_us
from sipd.core.subscribing import asks_us
from sipd.errors import BadSyntax, Forbidden
from sipd.message import parse_auth, parse_uri
from sipd.trace import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sipd.core.decision import Mark
    from sipd.core.inquiry import Context, Inquiry, OurPlaces
    from sipd.core.tables import Tables
    from sipd.digest import Credentials
    from sipd.message import Uri
    from sipd.rows import User

NONCE: Final = "nonce"
NOBODY: Final = "sip:anonymous@anonymous.invalid"
_TIME: Final = re.compile(r"[0-9a-f]{8}")
_DUMMY: Final = {"MD5": "0" * 32, "SHA-256": "0" * 64}
_FALLBACK_REALM: Final = "sip"


class Verdict(NamedTuple):
    """What the credentials of a request came to."""

    user: str = ""  # whom they prove, empty: nobody
    stale: bool = False  # right, but the nonce is old or its count used (RFC 7616 §3.3)
    given: bool = False  # there were some for a realm of ours
    marks: tuple[Mark, ...] = ()


NONE_GIVEN: Final = Verdict()


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
    sender = address_of_record(uri, tables)
    if tables.settings.auth == "none":
        if sender and tables.user(sender) is not None:
            inquiry.identity = Identity(sender)
        return None
    verdict = credentials_of(inquiry, tables, sender or inquiry.preferred)
    inquiry.marks = verdict.marks
    if verdict.user:
        _accept(inquiry, verdict.user, sender, uri)
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


def _accept(inquiry: Inquiry, user: str, sender: str, uri: Uri) -> None:
    # A delegate's REGISTER often has the user's own address in From; the registrar asks who may do that.
    if sender != user and inquiry.request.method != "REGISTER" and not is_anonymous(uri):
        inquiry.trace.append(Step("identify", user, "From is not his"))
        raise Forbidden("From is not your address")
    inquiry.identity = Identity(user, "digest")
    inquiry.trace.append(Step("identify", user, "digest"))


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


# -- challenges and nonces ---------------------------------------------------


def _challenge(inquiry: Inquiry, tables: Tables, aor: str, verdict: Verdict) -> Respond:
    """401 if it `asks_us`, else 407; one challenge per algorithm (RFC 8760 §2.3); the same for any name (T67)."""
    realm = _realm(tables, aor) if aor else _realm_of_anybody(inquiry, tables)
    user = tables.user(aor) if aor else None
    if asks_us(inquiry, tables):
        status, name = 401, "WWW-Authenticate"
    else:
        status, name = 407, "Proxy-Authenticate"
    inquiry.trace.append(Step("identify", aor, "stale" if verdict.stale else "challenge"))
    headers = tuple(
        (name, digest.challenge(realm, _nonce(inquiry, realm, algorithm), algorithm, stale=verdict.stale))
        for algorithm in _algorithms(tables.settings.digest_algorithms, user)
    )
    marks, inquiry.marks = inquiry.marks, ()
    return Respond(status, headers=headers, challenge=True, marks=marks)


def _algorithms(offered: str, user: User | None) -> list[str]:
    """The algorithms to offer, most preferred first: what is set, less what this user has no secret for (T116)."""
    known = [algorithm for algorithm in offered.split() if algorithm in _DUMMY]
    if user is None:
        return known
    has = {"MD5": user.ha1_md5 or user.ha1_md5_full, "SHA-256": user.ha1_sha256 or user.ha1_sha256_full}
    return [algorithm for algorithm in known if has[algorithm]] or known


def _realm(tables: Tables, aor: str) -> str:
    """The realm this user was created with; his domain when there is no such user."""
    if not aor:
        return tables.settings.host_name or _FALLBACK_REALM
    user = tables.user(aor)
    return aor.rpartition("@")[2] if user is None else user.realm


def _realm_of_anybody(inquiry: Inquiry, tables: Tables) -> str:
    """The realm for one who names no user of ours: of the domain he calls, else of the one this server is named by."""
    near = inquiry.near
    for host in (inquiry.uri.host, tables.settings.host_name, "" if near is None else near.host):
        domain = tables.domain(host) if host else None
        if domain is not None:
            return domain
    return tables.settings.host_name or _FALLBACK_REALM


def _nonce(inquiry: Inquiry, realm: str, algorithm: str) -> str:
    """Time, salt and seal (T11). The salt keeps phones asked in the same second apart; it is not checked again."""
    request, seal = inquiry.request, inquiry.context.seal
    salt = seal.mark("salt", request.call_id, str(request.cseq.number), str(inquiry.source))[:8]
    begin = f"{int(inquiry.wall):08x}{salt}"
    return begin + seal.mark(NONCE, begin, realm, algorithm)


def _nonce_is_good(nonce: str, realm: str, algorithm: str, context: Context, wall: float, life: int) -> bool:
    """Whether we made this nonce for that realm and algorithm, less than `life` seconds ago."""
    begin = nonce[:16]
    if len(nonce) != 40 or not context.seal.holds(nonce[16:], NONCE, begin, realm, algorithm):
        return False
    made = _TIME.match(begin)
    return made is not None and 0 <= int(wall) - int(made.group(), 16) <= life


# -- credentials --------------------------------------------------------------


def credentials_of(inquiry: Inquiry, tables: Tables, sender: str) -> Verdict:
    """What the credentials for a realm of ours prove, whatever From says. Raises BadSyntax for unreadable ones."""
    request = inquiry.request
    name = "Authorization" if asks_us(inquiry, tables) else "Proxy-Authorization"
    if name not in request.names:
        return NONE_GIVEN
    verdict = NONE_GIVEN
    for text in request.values(name):
        scheme, params = parse_auth(text)
        prove = SCHEMES.get(scheme)
        if prove is None:
            continue
        found = prove(inquiry, tables, sender, params)
        if found.user:
            return found
        if found.given and not verdict.stale:
            verdict = found
    return verdict


def _prove_by_digest(inquiry: Inquiry, tables: Tables, sender: str, params: Mapping[str, str]) -> Verdict:
    claim = digest.credentials(params)
    user, ours = _claimed(inquiry, tables, sender, claim)
    if not ours:
        return NONE_GIVEN  # another server's, which has the same header field (§22.3)
    _check_uri(inquiry, tables, claim)
    settings = tables.settings
    if not claim.response or claim.algorithm not in settings.digest_algorithms.split():
        return Verdict(given=bool(claim.response))
    secret = "" if user is None else _secret(user, claim)
    request = inquiry.request
    right = digest.verify(secret or _DUMMY[claim.algorithm], request.method, claim, request.body)
    if user is None or not secret or not right:
        inquiry.trace.append(Step("identify", claim.username[:64], "wrong"))
        return Verdict(given=True, marks=(LogInFailed(claim.username[:255], inquiry.source.host),))
    context = inquiry.context
    count = claim.nonce_count
    used = NonceUsed(claim.nonce, count)
    if (
        (claim.qop and count == 0)
        or not _nonce_is_good(claim.nonce, claim.realm, claim.algorithm, context, inquiry.wall, settings.nonce_life)
        or not (context.guard.count_is_fresh(claim.nonce, count) or used in inquiry.counted)
    ):
        return Verdict(stale=True, given=True)
    return Verdict(user.aor, given=True, marks=(used,))


def _claimed(inquiry: Inquiry, tables: Tables, sender: str, claim: Credentials) -> tuple[User | None, bool]:
    """The user a user name means (`user`, `user@domain`), and whether the realm is one of ours at all.

    A bare name is of the realm's domain, else of the sender's.
    """
    username, realm = claim.username, claim.realm
    home = tables.domain(realm)
    name, at, host = username.rpartition("@")
    if at:
        domains = [tables.domain(host)]
    else:
        name, domains = username, [home, sender.rpartition("@")[2]]
    for domain in domains:
        aor = joined(name, domain) if domain else ""
        user = tables.user(aor) if aor else None
        if user is not None and user.realm == realm:
            return user, True
    return None, home is not None or realm == _realm(tables, sender)


def _secret(user: User, claim: Credentials) -> str:
    """His HA1 for the name he wrote and the algorithm he chose; empty when there is none."""
    if claim.algorithm == "MD5":
        return user.ha1_md5_full if "@" in claim.username else user.ha1_md5
    return user.ha1_sha256_full if "@" in claim.username else user.ha1_sha256


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
        raise BadSyntax("Digest uri is not the Request-URI")


def _is_ours(uri: Uri, tables: Tables, places: OurPlaces) -> bool:
    return tables.domain(uri.host) is not None or names_us(uri.host, uri.port, tables, places)


SCHEMES: Final[Mapping[str, Callable[[Inquiry, Tables, str, Mapping[str, str]], Verdict]]] = {
    "digest": _prove_by_digest,
}
"""Authentication schemes by lower-case name. Basic is not among them (T115, RFC 8760 §2.6)."""
