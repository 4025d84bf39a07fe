"""The example scripts of RFC 3880, taken from its text, do what the words beside them say (§2, §12)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sipd.cpl import CplError, compile
from sipd.script import Default, Log, Lookup, LookupResult, Mail, ProxyResult, ProxyTo, Redirect, Reject
from tests.cpl.calls import as_words, facts, run, targets
from tests.cpl.rfc import figures

PHONES = "sip:jones@192.0.2.7 sip:me@mobile.provider.net"
BUSY, NOANSWER, FAILED = (ProxyResult(outcome) for outcome in ("busy", "noanswer", "failure"))
MOVED = ProxyResult("redirection", targets("sip:jones@elsewhere.example.com"))
FOUND, NOBODY, BROKEN = LookupResult("success", targets(PHONES)), LookupResult("notfound"), LookupResult("failure")
NEW_YORK_9_AM = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)  # a Monday
VOICEMAIL = "sip:jones@voicemail.example.com"

CALLS = [
    # figure, the call, what is answered, what is done
    (2, {"from_": "sip:a@sales.example.com"}, [BUSY], ["proxy sip:jones@example.com 10", f"302 {VOICEMAIL}"]),
    (2, {"from_": "sip:a@example.com"}, [NOANSWER], ["proxy sip:jones@example.com 10", f"302 {VOICEMAIL}"]),
    (2, {"from_": "sip:a@example.com"}, [FAILED], ["proxy sip:jones@example.com 10", f"302 {VOICEMAIL}"]),
    (2, {"from_": "sip:a@example.org"}, [], [f"302 {VOICEMAIL}"]),
    (19, {}, [], ["302 sip:smith@phone.example.com"]),
    (20, {}, [BUSY], ["proxy sip:jones@jonespc.example.com 8", f"proxy {VOICEMAIL} None", "best so far"]),
    (20, {}, [NOANSWER, BUSY], ["proxy sip:jones@jonespc.example.com 8", f"proxy {VOICEMAIL} None", "best so far"]),
    (20, {}, [FAILED], ["proxy sip:jones@jonespc.example.com 8", "best so far"]),
    # recurse is yes where nothing is said, so redirection is never taken (§6.1), whatever the figure means to show.
    (21, {}, [MOVED, BUSY], ["proxy sip:jones@jonespc.example.com 20", f"proxy {VOICEMAIL} None", "best so far"]),
    (21, {}, [FAILED], ["proxy sip:jones@jonespc.example.com 20", f"proxy {VOICEMAIL} None", "best so far"]),
    (22, {"from_": "sip:anonymous@example.com"}, [], ["603 I reject anonymous calls"]),
    (22, {"from_": "sip:alice@example.com"}, [], ["as without a script"]),
    # greater than urgent is emergency alone (§4.5), whatever the text beside the figure says of urgent calls.
    (23, {"priority": "emergency"}, [], ["as without a script"]),
    (23, {"priority": "EMERGENCY"}, [], ["as without a script"]),
    (23, {"priority": "urgent"}, [], ["proxy sip:english@operator.example.com None", "best so far"]),
    (23, {"priority": "unheard-of"}, [], ["proxy sip:english@operator.example.com None", "best so far"]),
    (23, {"accept_language": "en, es;q=0.5"}, [], ["proxy sip:spanish@operator.example.com None", "best so far"]),
    (23, {"accept_language": "es;q=0"}, [], ["proxy sip:english@operator.example.com None", "best so far"]),
    (24, {"direction": "outgoing", "uri": "tel:+1-900-555-1212"}, [], ["603 Not allowed to make 1-900 calls."]),
    (24, {"direction": "outgoing", "uri": "sip:19005551212@example.com;user=phone"}, [],
     ["603 Not allowed to make 1-900 calls."]),
    (24, {"direction": "outgoing", "uri": "tel:+1-800-555-1212"}, [], ["to tel:+1-800-555-1212"]),
    (25, {"now": NEW_YORK_9_AM}, [FOUND, BUSY], ["lookup registration 30", f"proxy {PHONES} None", "best so far"]),
    (25, {"now": NEW_YORK_9_AM}, [NOBODY], ["lookup registration 30", "as without a script"]),
    (25, {"now": NEW_YORK_9_AM.replace(hour=13, minute=59)}, [], [f"proxy {VOICEMAIL} None", "best so far"]),
    (25, {"now": NEW_YORK_9_AM.replace(hour=22)}, [], [f"proxy {VOICEMAIL} None", "best so far"]),
    (25, {"now": NEW_YORK_9_AM.replace(day=22)}, [], [f"proxy {VOICEMAIL} None", "best so far"]),
    (26, {"user_agent": "Inadequate software SIP User Agent/0.9beta2"}, [FOUND, BUSY],
     ["lookup registration 30", "proxy sip:jones@192.0.2.7 None", "best so far"]),
    (26, {"user_agent": "Good/1.0"}, [], ["as without a script"]),
    (27, {}, [FOUND, BUSY],
     ["lookup http://www.example.com/cgi-bin/locate.cgi?user=mary 8", f"proxy {PHONES} None", "best so far"]),
    (27, {}, [BROKEN],
     ["lookup http://www.example.com/cgi-bin/locate.cgi?user=mary 8", "mail mary@example.com: Lookup failed",
      "as without a script"]),
    (27, {}, [NOBODY], ["lookup http://www.example.com/cgi-bin/locate.cgi?user=mary 8", "as without a script"]),
    (30, {"from_": "sip:boss@example.com"}, [NOANSWER],
     ["proxy sip:jones@phone.example.com 8", "proxy tel:+19175551212 None", "best so far"]),
    (30, {"from_": "sip:a@example.com"}, [NOANSWER], ["proxy sip:jones@phone.example.com 8", f"302 {VOICEMAIL}"]),
    (30, {}, [BUSY], ["proxy sip:jones@phone.example.com 8", f"302 {VOICEMAIL}"]),
]  # fmt: skip


def said(value: object) -> str:
    """An effect or an end in short."""
    match value:
        case ProxyTo(some, _, timeout, _):
            return f"proxy {as_words(some)} {timeout if timeout is None else f'{timeout:g}'}"
        case Lookup(source, timeout):
            return f"lookup {source} {timeout:g}"
        case Mail(to=to, subject=subject):
            return f"mail {', '.join(to)}: {subject}"
        case Log(name, comment):
            return f"log {name}: {comment}"
        case Redirect(some, permanent):
            return f"{301 if permanent else 302} {as_words(some)}"
        case Reject(status, reason):
            return f"{status} {reason}"
        case Default(proxied=True):
            return "best so far"
        case Default(targets=None):
            return "as without a script"
        case Default(targets=some):
            return f"to {as_words(some or ())}"
    raise AssertionError(value)


@pytest.mark.parametrize(("figure", "call", "answers", "done"), CALLS)
def test_a_figure_does_what_its_text_says(figure, call, answers, done):
    effects, end = run(compile(figures()[figure], hosts={"www.example.com"}), facts(**call), answers)
    assert [said(value) for value in (*effects, end)] == done


def test_every_figure_of_the_base_language_is_called():
    assert {row[0] for row in CALLS} == set(figures()) - {28, 29}


@pytest.mark.parametrize("figure", [28, 29])
def test_extensions_nobody_knows_are_refused(figure):
    with pytest.raises(CplError) as raised:
        compile(figures()[figure])
    assert {finding.code for finding in raised.value.findings} == {"CPL-NAMESPACE"}
    assert all(finding.line > 1 for finding in raised.value.findings)


def test_where_a_figure_slips_the_author_is_warned():
    assert [warning.code for warning in compile(figures()[21]).warnings] == ["CPL-UNREACHABLE"]
