"""Who a phone is, and how he proves it: the client's side of digest (RFC 3261 §22.2, RFC 7616, RFC 8760 §2.4)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.digest import ALGORITHMS, Credentials, expected, ha1
from sipd.errors import BadSyntax
from sipd.message import escaped_user, parse_auth
from sipd.message import quote as quoted
from sipd.phone.faults import NoProof

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sipd.message import Request, Response

HEADERS: Final = {
    401: ("WWW-Authenticate", "Authorization"),
    407: ("Proxy-Authenticate", "Proxy-Authorization"),
}
"""Status of a challenge -> where it stands, and where its answer goes (§22.2, §22.3)."""


class Account(NamedTuple):
    """An address-of-record with a password, or with the HA1 hashes that stand for one in one realm."""

    aor: str  # user@domain, not escaped
    password: str = ""
    realm: str = ""  # the realm that the hashes are for
    hashes: Mapping[str, str] = {}  # algorithm -> H(user:realm:password) in lower-case hex

    @property
    def user(self) -> str:
        """The user part, which is the name in digest too."""
        return self.aor.rpartition("@")[0]

    @property
    def domain(self) -> str:
        """The domain as a host in a URI, IPv6 in brackets."""
        host = self.aor.rpartition("@")[2]
        return f"[{host}]" if ":" in host else host

    @property
    def uri(self) -> str:
        """The address-of-record as a SIP URI."""
        return f"sip:{self.user_part}@{self.domain}"

    @property
    def user_part(self) -> str:
        """The user part as URIs write it (§19.1.2)."""
        return escaped_user(self.user)

    def secret(self, realm: str, algorithm: str) -> str:
        """HA1 in that realm; empty when it is not known."""
        if self.password:
            return ha1(self.user, realm, self.password, algorithm)
        return self.hashes.get(algorithm, "") if realm == self.realm else ""


def proof(account: Account, request: Request, response: Response) -> tuple[str, str]:
    """The header field that answers a challenge: of the first algorithm that we know and have a secret for.

    Raises NoProof when there is none, and says why.
    """
    asked, answered = HEADERS[response.status]
    seen = []
    for text in response.values(asked):
        try:
            scheme, params, _ = parse_auth(text)
        except BadSyntax:
            continue
        algorithm = params.get("algorithm", "MD5").upper()
        realm = params.get("realm", "")
        seen.append(f"{scheme} {algorithm} for the realm {realm!r}")
        qops = [word.strip(" \t").lower() for word in params.get("qop", "").split(",") if word.strip(" \t")]
        if scheme != "digest" or algorithm not in ALGORITHMS or (qops and "auth" not in qops):
            continue
        secret = account.secret(realm, algorithm)
        if secret:
            return answered, _credentials(account.user, secret, request, params, algorithm, bool(qops))
    what = "; ".join(seen) or "nothing that can be read"
    known = "no password" if not account.hashes else f"hashes for the realm {account.realm!r}"
    raise NoProof(
        f"{account.aor}: the challenge to {request.method} asks for {what}; there is {known} to answer it with",
        request.method,
        response.status,
    )


def _credentials(
    user: str, secret: str, request: Request, params: Mapping[str, str], algorithm: str, with_qop: bool
) -> str:
    claim = Credentials(
        user,
        params.get("realm", ""),
        params.get("nonce", ""),
        request.request_uri,
        "",
        algorithm,
        "auth" if with_qop else "",
        secrets.token_hex(8) if with_qop else "",
        "00000001" if with_qop else "",  # each nonce is used once
    )
    pairs = [
        f"username={quoted(claim.username)}",
        f"realm={quoted(claim.realm)}",
        f"nonce={quoted(claim.nonce)}",
        f"uri={quoted(claim.uri)}",
        f'response="{expected(secret, request.method, claim, request.body)}"',
        f"algorithm={claim.algorithm}",
    ]
    if with_qop:
        pairs += [f'cnonce="{claim.cnonce}"', "qop=auth", f"nc={claim.nc}"]
    if "opaque" in params:
        pairs.append(f"opaque={quoted(params['opaque'])}")
    return "Digest " + ", ".join(pairs)


def is_stale(response: Response) -> bool:
    """Whether a challenge says that only the nonce was too old (RFC 7616 §3.3): trying again is worth while."""
    asked, _ = HEADERS[response.status]
    for text in response.values(asked):
        try:
            if parse_auth(text).params.get("stale", "").lower() == "true":
                return True
        except BadSyntax:
            continue
    return False
