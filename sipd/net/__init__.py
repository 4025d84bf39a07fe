"""Sockets, connections and names: how messages come in and go out (RFC 3261 §18, RFC 3263)."""

from __future__ import annotations

from sipd.net.addresses import Unreachable, numeric, parse_listen
from sipd.net.base import Event, FlowFailed, Network, Receiver, Tap
from sipd.net.connections import Room
from sipd.net.flows import Flows
from sipd.net.memory import MemoryFlow, MemoryHost, MemoryListener, MemoryNetwork, Sent
from sipd.net.stream import Patience
from sipd.net.udp import UdpListener

__all__ = [
    "Event",
    "FlowFailed",
    "Flows",
    "MemoryFlow",
    "MemoryHost",
    "MemoryListener",
    "MemoryNetwork",
    "Network",
    "Patience",
    "Receiver",
    "Room",
    "Sent",
    "Tap",
    "UdpListener",
    "Unreachable",
    "numeric",
    "parse_listen",
]
