"""Which hosts and ports are ours: a set, kept up to date (§16.4, §16.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.hop import is_default
from sipd.net.addresses import WILDCARDS, family_of, local_addresses, numeric

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.hop import Hop

LOOPBACKS: Final = frozenset({"127.0.0.1", "::1"})


class Places:
    """The addresses and names under which our listeners can be reached."""

    def __init__(self, addresses: Callable[[], frozenset[str]] = local_addresses) -> None:
        self._addresses = addresses
        self._listening: list[Hop] = []
        self._names: set[str] = set()
        self._places: set[tuple[str, int]] = set()  # 0: where no port is named
        self._anywhere: set[int] = set()  # ports on which every IPv4 address is ours

    def add(self, hop: Hop) -> None:
        """Takes in a listener; a wildcard stands for every address of its family."""
        self._listening.append(hop)
        self.refresh()

    def add_name(self, host: str) -> None:
        """Says that a host name means us, at every port we listen on."""
        self._names.add(host.lower().rstrip("."))
        self.refresh()

    def refresh(self) -> None:
        """Looks again which addresses the machine has."""
        has_wildcard = any(hop.host in WILDCARDS for hop in self._listening)
        addresses = self._addresses() if has_wildcard else frozenset()
        self._places = {
            (host, port)
            for hop in self._listening
            for host in (*self._hosts(hop, addresses), *self._names)
            for port in _ports(hop)
        }
        self._anywhere = {port for hop in self._listening if hop.host == "0.0.0.0" for port in _ports(hop)}

    def _hosts(self, hop: Hop, addresses: frozenset[str]) -> set[str]:
        hosts = {hop.host}
        if hop.host in WILDCARDS:
            hosts |= {address for address in addresses if family_of(address) == WILDCARDS[hop.host]}
        if hosts & LOOPBACKS:
            hosts |= {"localhost", "::" if ":" in hop.host else "0.0.0.0"}  # sending to the latter comes back to us
        return hosts

    def is_ours(self, host: str, port: int | None) -> bool:
        """Whether this host and port name one of our listeners; no port means the default one of any transport."""
        port = port or 0
        if (host, port) in self._places:
            return True
        plain = numeric(host)
        if plain is None:
            return (host.lower().rstrip("."), port) in self._places
        # All of 127/8 comes back to a wildcard.
        return (plain, port) in self._places or (port in self._anywhere and plain.startswith("127."))


def _ports(hop: Hop) -> tuple[int, ...]:
    """How the listener's port may be written: not at all, where it is the default one (§19.1.2)."""
    return (hop.port, 0) if is_default(hop) else (hop.port,)
