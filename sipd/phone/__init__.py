"""Floor 5: the built-in test phone, a small SIP user agent over real sockets (RFC 3261 §8, §10, §13, §15)."""

from __future__ import annotations

from sipd.phone.account import Account, proof
from sipd.phone.dialog import Call, Incoming, Times
from sipd.phone.faults import NoProof, NoWay, PhoneError, Refused, Unanswered
from sipd.phone.ladder import Ladder, Note
from sipd.phone.user_agent import Phone
from sipd.phone.wire import Wire, reach

__all__ = [
    "Account",
    "Call",
    "Incoming",
    "Ladder",
    "NoProof",
    "NoWay",
    "Note",
    "Phone",
    "PhoneError",
    "Refused",
    "Times",
    "Unanswered",
    "Wire",
    "proof",
    "reach",
]
