"""What somebody is asked to prove himself by: realm, schemes, algorithms, nonce (RFC 7616 §3.3, RFC 8760 §2.3).

It is the same for a name that nobody has as for one that somebody has (T67):
where users of a domain differ, in their realm or in what they have secrets for,
a made-up name gets what as many names in a hundred get as users have it, and
always the same.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd import basic, digest
from sipd.hop import DEFAULT_PORTS, SECURE, Hop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sipd.core.inquiry import Context, Inquiry
    from sipd.core.tables import Tables
    from sipd.rows import Settings, User
    from sipd.seal import Seal

NONCE: Final = "nonce"
KIND: Final = "kind"
_TIME: Final = re.compile(r"[0-9a-f]{8}")
_FALLBACK_REALM: Final = "sip"

SECRETS: Final[Mapping[str, Callable[[User], tuple[str, str]]]] = {
    "SHA-512-256": lambda user: (user.ha1_sha512_256, user.ha1_sha512_256_full),
    "SHA-256": lambda user: (user.ha1_sha256, user.ha1_sha256_full),
    "MD5": lambda user: (user.ha1_md5, user.ha1_md5_full),
}
"""A user's HA1 by algorithm: for the name without the domain, and with it; empty where there is none."""


class Kind(NamedTuple):
    """What a challenge tells of a user."""

    realm: str
    algorithms: tuple[str, ...]  # those he has a secret for


def kind_of(user: User) -> Kind:
    """His kind."""
    return Kind(user.realm, tuple([name for name, secrets in SECRETS.items() if any(secrets(user))]))


def kind_for(aor: str, tables: Tables, seal: Seal) -> Kind:
    """The kind of the user of that address-of-record; one that he might have when there is no such user (T67)."""
    user = tables.user(aor)
    if user is not None:
        return kind_of(user)
    kinds = tables.kinds(aor.rpartition("@")[2])
    if not kinds:
        return Kind(aor.rpartition("@")[2], tuple(SECRETS))
    if len(kinds) == 1:
        return kinds[0][0]
    left = int(seal.mark(KIND, aor)[:8], 16) / 2**32 * sum(users for _, users in kinds)
    for kind, users in kinds:
        left -= users
        if left < 0:
            return kind
    return kinds[0][0]


def domain_of_anybody(inquiry: Inquiry, tables: Tables) -> str:
    """For one who names no user of ours: the domain he calls, else the one this server is named by; empty: none."""
    near = inquiry.near
    for host in (inquiry.uri.host, tables.settings.host_name, "" if near is None else near.host):
        domain = tables.domain(host) if host else None
        if domain is not None:
            return domain
    return ""


def kind_of_anybody(inquiry: Inquiry, tables: Tables) -> Kind:
    """For the same one: what most users of that domain are."""
    domain = domain_of_anybody(inquiry, tables)
    kinds = tables.kinds(domain) if domain else ()
    realm = domain or tables.settings.host_name or _FALLBACK_REALM
    return kinds[0][0] if kinds else Kind(realm, tuple(SECRETS))


def challenges(inquiry: Inquiry, tables: Tables, aor: str, *, stale: bool = False) -> list[str]:
    """The values to send, most preferred first: a digest for each algorithm, and Basic last where it may be used.

    `aor`: who is asked; empty: nobody of ours.
    """
    settings = tables.settings
    kind = kind_for(aor, tables, inquiry.context.seal) if aor else kind_of_anybody(inquiry, tables)
    qop = ",".join(settings.digest_qop.split())
    asked = [
        digest.challenge(kind.realm, _nonce(inquiry, kind.realm, name), name, qop=qop, stale=stale)
        for name in offered(settings, kind, inquiry.near)
    ]
    if basic_may_be_used(inquiry, settings):
        asked.append(basic.challenge(kind.realm))
    return asked


def offered(settings: Settings, kind: Kind, near: Hop | None) -> list[str]:
    """The algorithms to offer: what is set, less what there is no secret for (T116); all of it when none is left."""
    known = [name for name in algorithms_at(settings.digest_algorithms, near) if name in digest.ALGORITHMS]
    return [name for name in known if name in kind.algorithms] or known


def algorithms_at(text: str, near: Hop | None) -> tuple[str, ...]:
    """What the setting `digest_algorithms` has for who comes by that socket of ours (T116), most preferred first."""
    lists = algorithm_lists(text)
    return lists.get(near) or lists[None]


@lru_cache(64)
def algorithm_lists(text: str) -> Mapping[Hop | None, tuple[str, ...]]:
    """The algorithms by listener: those before any listener's name are for all that are not named (None).

    What follows a word with a colon that names no listener is nobody's.
    """
    lists: dict[Hop | None, list[str]] = {None: []}
    words = lists[None]
    for word in text.split():
        if ":" in word:
            try:
                words = lists.setdefault(listener_from_text(word), [])
            except ValueError:
                words = []
        else:
            words.append(word)
    return {near: tuple(names) for near, names in lists.items()}


def listener_from_text(text: str) -> Hop:
    """The listener that this names, its address in the one spelling that sockets have. Raises ValueError for none."""
    hop = Hop.from_text(text)
    if hop.transport not in DEFAULT_PORTS:
        raise ValueError(f"no transport: {text!r}")
    return hop._replace(host=str(ip_address(hop.host)))


def basic_may_be_used(inquiry: Inquiry, settings: Settings) -> bool:
    """Where the setting says so, and a password can be read by nobody: over TLS or on this machine (P18).

    Only from the phone itself: how a request came to another proxy can't be seen.
    """
    source = inquiry.source
    return (
        settings.auth == "basic"
        and inquiry.request.one_via
        and (source.transport in SECURE or source.host.startswith("127.") or source.host == "::1")
    )


def _nonce(inquiry: Inquiry, realm: str, algorithm: str) -> str:
    """Time, salt and seal (T11). The salt keeps phones asked in the same second apart; it is not checked again."""
    request, seal = inquiry.request, inquiry.context.seal
    salt = seal.mark("salt", request.call_id, str(request.cseq.number), str(inquiry.source))[:8]
    begin = f"{int(inquiry.wall):08x}{salt}"
    return begin + seal.mark(NONCE, begin, realm, algorithm)


def nonce_is_good(nonce: str, realm: str, algorithm: str, context: Context, wall: float, life: int) -> bool:
    """Whether we made this nonce for that realm and algorithm, less than `life` seconds ago."""
    begin = nonce[:16]
    if len(nonce) != 40 or not context.seal.holds(nonce[16:], NONCE, begin, realm, algorithm):
        return False
    made = _TIME.match(begin)
    return made is not None and 0 <= int(wall) - int(made.group(), 16) <= life
