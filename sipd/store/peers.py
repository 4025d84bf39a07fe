"""Finds the trusted server that a message comes from: by its address, or by what its certificate proves."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sipd.rows import Peer

CERTIFICATE: Final = "cert:"
"""How a match begins that is a name in a certificate (RFC 5922 §7.1)."""

_MOST_KEPT: Final = 4096


class Peers:
    """The rows of `peers`, ready to be asked; made anew when one changes. False when there are none."""

    def __init__(self, peers: Iterable[Peer] = ()) -> None:
        self._by_name: dict[str, Peer] = {}
        self._networks: list[tuple[IPv4Network | IPv6Network, Peer]] = []
        for peer in peers:
            if peer.match.startswith(CERTIFICATE):
                self._by_name[peer.match[len(CERTIFICATE) :].lower()] = peer
            elif (network := network_from_text(peer.match)) is not None:
                self._networks.append((network, peer))
        self._networks.sort(key=lambda row: -row[0].prefixlen)  # the narrowest that fits
        self._at = lru_cache(_MOST_KEPT)(self._look)

    def __bool__(self) -> bool:
        return bool(self._by_name or self._networks)

    def find(self, host: str, names: Sequence[str] = ()) -> Peer | None:
        """The peer of that numeric address, else of one of those names; None: nobody trusted."""
        found = self._at(host) if self._networks else None
        if found is None and names:
            found = next((peer for name in names if (peer := self._by_name.get(name)) is not None), None)
        return found

    def _look(self, host: str) -> Peer | None:
        try:
            address = ip_address(host)
        except ValueError:
            return None
        return next((peer for network, peer in self._networks if address in network), None)


def network_from_text(match: str) -> IPv4Network | IPv6Network | None:
    """The network that an address or `address/bits` names; None when it is neither."""
    try:
        return ip_network(match, strict=False)
    except ValueError:
        return None
