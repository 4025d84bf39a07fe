"""By which flow somebody is reached, and the token that names it (RFC 3581 §1, RFC 5626 §5.2).

A phone behind NAT, one that only opens connections, and a browser can't be
called up at their Contact. So the way they came is kept: in a binding for new
requests, and for those in a dialog as a token, the user part of the
Record-Route or Path value of ours. A token is no secret and proves nothing;
what does is the mark beside it (`core/routes.py`).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.errors import BadSyntax
from sipd.hop import RELIABLE, WEB, Hop, Way
from sipd.message import host_key

if TYPE_CHECKING:
    from sipd.message import Request, Uri, Via

PREFIX: Final = "fl."
"""What a user part that is a flow token begins with."""

_TRANSPORTS: Final = ("UDP", "TCP", "TLS", "WS", "WSS")
_LONGEST: Final = len(PREFIX) + 50  # with two IPv6 addresses
_BOUND, _NEAR, _IPV6, _ONLY_HOST, _KIND = 0x80, 0x40, 0x20, 0x10, 0x0F
_OWN_NETWORK: Final = (".local", ".lan", ".home", ".home.arpa", ".internal", ".localdomain", ".invalid", ".localhost")
_ENDS: Final = ":>;, \t"  # what follows the host in a Contact, if anything does


class Token(NamedTuple):
    """What a flow token says."""

    way: Way
    bound: bool  # nothing but that flow leads there: when it is gone the answer is 430 (RFC 5626 §5.3.1)
    only_host: bool = False  # when it is gone, nothing but the address of its far end does: a stranger's dialog


@lru_cache(4096)
def token_text(token: Token) -> str:
    """The token as a user part; empty where the far end has no numeric address."""
    remote, near = token.way
    try:
        far = ip_address(remote.host)
        ours = None if near is None else ip_address(near.host)
        kind = _TRANSPORTS.index(remote.transport)
    except ValueError:
        return ""
    kind |= (_BOUND if token.bound else 0) | (_IPV6 if far.version == 6 else 0) | (_ONLY_HOST if token.only_host else 0)
    data = far.packed + remote.port.to_bytes(2, "big")
    if near is not None and ours is not None and ours.version == far.version:
        kind |= _NEAR
        data += ours.packed + near.port.to_bytes(2, "big")
    return PREFIX + urlsafe_b64encode(bytes([kind]) + data).decode().rstrip("=")


def token_from_text(text: str) -> Token | None:
    """What `token_text` wrote; None for anything else."""
    return _token_from(text) if len(text) <= _LONGEST else None  # anybody writes it: long text is not to be kept


@lru_cache(4096)
def _token_from(text: str) -> Token | None:
    code = text[len(PREFIX) :]
    try:
        data = urlsafe_b64decode(code + "=" * (-len(code) % 4))
    except ValueError:
        return None
    if not text.startswith(PREFIX) or not data or data[0] & _KIND >= len(_TRANSPORTS):
        return None
    kind, ends = data[0], data[1:]
    size = 18 if kind & _IPV6 else 6
    if len(ends) != (2 * size if kind & _NEAR else size):
        return None
    transport = _TRANSPORTS[kind & _KIND]
    hops = [_hop(transport, ends[at : at + size]) for at in range(0, len(ends), size)]
    return Token(Way(hops[0], hops[1] if len(hops) > 1 else None), bool(kind & _BOUND), bool(kind & _ONLY_HOST))


def _hop(transport: str, data: bytes) -> Hop:
    return Hop(transport, str(ip_address(data[:-2])), int.from_bytes(data[-2:], "big"))


def is_token(user: str | None) -> bool:
    """Whether this user part means to be a flow token."""
    return user is not None and user.startswith(PREFIX)


def only_by_flow(source: Hop, via: Via, contact: Uri) -> bool:
    """Whether the way the request came leads to whom it names, and the Contact does not.

    A phone behind NAT calls itself by an address that leads nowhere from here
    (RFC 3581 §1): it has the same host in Via and Contact, and the packet came
    from another. A name in DNS says nothing of that kind, unless it is one for
    the phone's own network. A connection is the way back to whoever opened it, and a
    browser has no other (RFC 7118 §5). Where somebody names another's address,
    that address is meant.
    """
    transport = source.transport
    if transport == "UDP":
        if contact.host == source.host or _is_in_dns(contact.host):
            return False
        return host_key(via.host) == host_key(contact.host) != host_key(source.host)
    if transport in WEB:
        if contact.transport in WEB or contact.host.lower().endswith(".invalid"):
            return True
        return host_key(contact.host) in (host_key(via.host), host_key(source.host))
    if contact.transport != transport or transport not in RELIABLE:
        return False
    return host_key(contact.host) in (host_key(via.host), host_key(source.host))


def _is_in_dns(host: str) -> bool:
    """Whether it is a full name, and not of those that mean something in one network only (RFC 6761, RFC 6762)."""
    name = host.rstrip(".").lower()
    return "." in name and not name[-1:].isdigit() and ":" not in name and not name.endswith(_OWN_NETWORK)


def is_direct(request: Request) -> bool:
    """Whether it comes from the one who made it: there is one Via (RFC 5626 §5.1)."""
    return request.one_via


def sender_token(request: Request, came: Way) -> str:
    """The token by which the sender of a request that makes a dialog is reached later; empty: by his Contact.

    One who supports outbound says `ob` (RFC 5626 §5.3.2). Behind another proxy
    that stays in the dialog, or that hides him, the way he came is not his.
    """
    names = request.names
    if "Contact" not in names:
        return ""
    line, source = request.lines[names.index("Contact")], came.remote
    host = source.host
    at = line.find(host)
    if at > 0 and line[at - 1] == "@" and source.transport == "UDP" and ";ob" not in line:
        end = at + len(host)
        if line[end : end + 1] in _ENDS:
            return ""  # he is where he says he is, as most are
    if "Record-Route" in names or not is_direct(request):
        return ""
    try:
        contacts = request.contacts
    except BadSyntax:
        return ""
    if len(contacts) != 1:
        return ""
    contact = contacts[0].uri
    outbound = contact.is_sip and contact.param("ob") is not None
    if outbound or only_by_flow(source, request.via, contact):
        if not outbound and (contact.host, contact.port) == (source.host, source.port):
            return ""  # it listens where it sends from
        return token_text(Token(came, outbound or source.transport in WEB))
    return ""
