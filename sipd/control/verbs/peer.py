"""Peers: servers that are trusted, such as gateways, PBXs and other proxies (RFC 3325)."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from sipd.control.verbs.base import Arguments, Parameter, Plain, Refusal, Verb
from sipd.control.verbs.names import carry_out, domain_name
from sipd.rows import DropPeer, Peer, PutPeer
from sipd.store import WHOLE, Key
from sipd.store.peers import CERTIFICATE

if TYPE_CHECKING:
    from sipd.store import Store

LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
HOW: Final = "an address, a network as 192.0.2.0/24, or cert: and a name of its certificate"


async def add(store: Store, arguments: Arguments) -> Plain:
    """Trust a server: it is not challenged, may relay, and is believed about who calls."""
    name = arguments.word("name")
    if not LABEL.fullmatch(name):
        raise Refusal(f"not a name for a peer: {name!r}", "Write up to 64 letters, digits, dots and dashes")
    match = match_text(arguments.word("match"))
    gateway_class = arguments.optional("gateway-class") or ""
    if len(gateway_class) > 64 or not gateway_class.isprintable():
        raise Refusal(f"not a gateway class: {gateway_class!r}", "It is one line of at most 64 letters")
    for peer in (await store.load_some([Key("peers", WHOLE)])).peers:
        if peer.name == name:
            raise Refusal(f"there is a peer {name} already", f"Remove it first: sipdctl peer rm {name}")
        if peer.match == match:
            raise Refusal(f"{match} is the peer {peer.name} already")
    await carry_out(store, [PutPeer(Peer(name, match, gateway_class))])
    return {"peer": name, "match": match, "gateway_class": gateway_class}


async def listing(store: Store, arguments: Arguments) -> Plain:
    """All peers."""
    return [
        {"peer": peer.name, "match": peer.match, "gateway_class": peer.gateway_class}
        for peer in sorted((await store.load_some([Key("peers", WHOLE)])).peers)
    ]


async def remove(store: Store, arguments: Arguments) -> Plain:
    """Trust a server no longer."""
    name = arguments.word("name")
    if name not in {peer.name for peer in (await store.load_some([Key("peers", WHOLE)])).peers}:
        raise Refusal(f"there is no peer {name}", "See: sipdctl peer list")
    await carry_out(store, [DropPeer(name)])
    return {"removed": name}


def match_text(text: str) -> str:
    """How a peer is known, in the form that is stored. Raises Refusal."""
    if text[: len(CERTIFICATE)].lower() == CERTIFICATE:
        return CERTIFICATE + domain_name(text[len(CERTIFICATE) :])
    if "/" not in text:
        try:
            return ip_address(text.strip("[]")).compressed
        except ValueError:
            raise Refusal(f"not a match: {text!r}", f"Write {HOW}") from None
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise Refusal(f"not a network: {text!r}", f"Write {HOW}") from None
    if network.prefixlen == 0:
        raise Refusal(f"{text} is every address there is", "Peers are not challenged: name those you know")
    if ip_address(text.partition("/")[0]) != network.network_address:
        raise Refusal(f"{text} is an address within a network", f"Write {network} for all of it")
    return network.compressed


NAME: Final = Parameter("name", "what it is called here")

VERBS: Final = (
    Verb(
        "peer",
        "add",
        "trust a server: it is not challenged, may relay, and is believed about who calls",
        (
            NAME,
            Parameter("match", HOW),
            Parameter("gateway-class", "its class, for a dial plan to come; nothing reads it yet", "option"),
        ),
        add,
    ),
    Verb("peer", "list", "all peers", (), listing, unmade="no peers"),
    Verb("peer", "rm", "trust a server no longer", (NAME,), remove),
)
