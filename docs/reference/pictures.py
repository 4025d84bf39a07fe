"""Makes the pictures of the how-to pages, and the script that one of them is of."""

from __future__ import annotations

from pathlib import Path

from sipd.cpl import LookupResult, ProxyResult, Trace, call, compile, evaluate, place
from sipd.cpl.convert import convert
from sipd.cpl.picture import draw, way_of

PICTURES = Path(__file__).resolve().parents[1] / "how-to" / "pictures"


def made() -> dict[Path, str]:
    """Pictures and scripts by the file each is in."""
    office = (PICTURES / "office.cpl").read_bytes()
    policy = convert((PICTURES / "policy-expressway.cpl").read_bytes()).text
    return {
        PICTURES / "office.svg": draw(office),
        PICTURES / "office-call.svg": draw(office, way_of(unanswered(office))),
        PICTURES / "policy.cpl": policy.decode(),
        PICTURES / "policy.svg": draw(policy),
    }


def unanswered(source: bytes) -> Trace:
    """The trace of a call on a Tuesday morning that nobody answers, neither at the desk nor the voicemail."""
    trace: Trace = []
    facts = call("sip:alice@partner.example", "sip:anna.lindqvist@example.com", at="2026-12-01T10:00+01:00")
    running = evaluate(compile(source), facts, trace)
    next(running)  # the phones are looked up
    try:
        running.send(LookupResult("success", (place("sip:anna@192.0.2.7"),)))
        while True:
            running.send(ProxyResult("noanswer"))
    except StopIteration:
        return trace
