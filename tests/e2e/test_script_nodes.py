"""A scripted call for each node of CPL: uploaded by a SIPp phone with digest, called by one, answered by others."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.e2e.house import DOMAIN, Server
from tests.e2e.phones import Sipp, registered
from tests.net.mail_server import MailServer
from tests.net.web_server import WebServer
from tests.running import HERE, stop_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Case(NamedTuple):
    """One script and one call."""

    script: str  # of bob, who is called; {name} is where a phone listens
    ends: str  # the start of the caller's last status line
    rung: str = ""  # the phones that were rung
    phones: str = "desk=answer"  # name=scenario, or name=status for one that refuses
    extra: str = "Subject: nothing"  # a header field of the caller
    contacts: str = ""  # of the 3xx he is told
    direction: str = "incoming"  # outgoing: the script is the caller's
    at_home: str = ""  # phones that are registered for bob


FINAL = re.compile(r"SIP/2\.0 [2-6]")
OK, BUSY, DECLINE = "SIP/2.0 200", "SIP/2.0 486", "SIP/2.0 603"


def choice(switch: str, output: str) -> str:
    """That output rings the desk, all else is refused."""
    rings = f'<{output}><location url="{{desk}}"><proxy/></location></{output.split()[0]}>'
    return f'<{switch}>{rings}<otherwise><reject status="busy"/></otherwise></{switch.split()[0]}>'


def ring(*names: str, then: str = "<proxy/>") -> str:
    """These locations, the best first, and what is done then."""
    for place, name in reversed(list(enumerate(names))):
        then = f'<location url="{{{name}}}" priority="{1 - place / 10}">{then}</location>'
    return then


def outcome(output: str, parameters: str = "") -> str:
    """The desk, and on that outcome the other phone."""
    return ring("desk", then=f"<proxy{parameters}><{output}>{ring('other')}</{output}></proxy>")


LOOKUP = '<lookup source="registration"><success>{}</success><notfound><reject status="notfound"/></notfound></lookup>'
DAILY = 'time dtstart="20000101T000000Z" duration="P1D" freq="daily"'
LATER = 'time dtstart="20990101T000000Z" duration="P1D"'
CALLER = 'address-switch field="origin"'
SUBJECT = 'string-switch field="subject"'
TWO = "desk=answer other=answer"

CASES = {
    "address-switch": Case(choice(CALLER, f'address is="sip:alice@{DOMAIN}"'), OK, "desk"),
    "address-switch otherwise": Case(choice(CALLER, f'address is="sip:carol@{DOMAIN}"'), BUSY),
    "address-switch subdomain-of": Case(
        choice('address-switch field="origin" subfield="host"', 'address subdomain-of="test"'), OK, "desk"
    ),
    "string-switch": Case(
        choice(SUBJECT, 'string is="dinner tonight"'), OK, "desk", extra="Subject: Dinner Tonight"
    ),
    "string-switch otherwise": Case(choice(SUBJECT, 'string is="dinner tonight"'), BUSY),
    "language-switch": Case(
        choice("language-switch", 'language matches="es"'), OK, "desk", extra="Accept-Language: en;q=0.5, es"
    ),
    "language-switch otherwise": Case(
        choice("language-switch", 'language matches="es"'), BUSY, extra="Accept-Language: en, es;q=0"
    ),
    "time-switch": Case(choice('time-switch tzid="Europe/Helsinki"', DAILY), OK, "desk"),
    "time-switch otherwise": Case(choice("time-switch", LATER), BUSY),
    "priority-switch": Case(
        choice("priority-switch", 'priority greater="normal"'), OK, "desk", extra="Priority: emergency"
    ),
    "priority-switch otherwise": Case(choice("priority-switch", 'priority greater="normal"'), BUSY),
    "location": Case(
        '<location url="sip:gone@there"><location url="{desk}" clear="yes"><redirect/></location></location>',
        "SIP/2.0 302", contacts="{desk}",
    ),
    "lookup": Case(LOOKUP.format("<proxy/>"), OK, "desk", at_home="desk"),
    "lookup notfound": Case(LOOKUP.format("<proxy/>"), "SIP/2.0 404"),
    "remove-location": Case(
        LOOKUP.format('<remove-location location="{desk}"><proxy/></remove-location>'), OK, "other", TWO,
        at_home="desk other",
    ),
    "proxy parallel": Case(
        ring("first", "second"), OK, "first second", "first=ring_until_cancelled second=answer_late"
    ),
    "proxy sequential": Case(
        ring("first", "second", "third", then='<proxy ordering="sequential"/>'), OK, "first second",
        "first=404 second=answer third=answer",
    ),
    "proxy first-only": Case(
        ring("first", "second", then='<proxy ordering="first-only"><default><proxy/></default></proxy>'), OK,
        "first second", "first=404 second=answer",
    ),
    "proxy busy": Case(outcome("busy"), OK, "desk other", "desk=486 other=answer"),
    "proxy busy everywhere": Case(outcome("busy"), OK, "desk other", "desk=600 other=answer"),
    "proxy noanswer": Case(
        outcome("noanswer", ' timeout="1"'), OK, "desk other", "desk=ring_until_cancelled other=answer"
    ),
    "proxy redirection": Case(
        ring("desk", then='<proxy recurse="no"><redirection><redirect/></redirection></proxy>'), "SIP/2.0 302", "desk",
        "desk=302", contacts="sip:moved@there",
    ),
    "proxy recursion": Case(ring("desk"), OK, "desk other", "desk=301 other=answer"),
    "proxy failure": Case(outcome("failure"), OK, "desk other", "desk=404 other=answer"),
    "proxy default": Case(outcome("default"), OK, "desk other", "desk=603 other=answer"),
    "proxy and no output": Case(ring("desk"), "SIP/2.0 480", "desk", "desk=480"),
    "redirect": Case(ring("desk", then="<redirect/>"), "SIP/2.0 302", contacts="{desk}"),
    "redirect permanent": Case(
        ring("desk", then='<redirect permanent="yes"/>'), "SIP/2.0 301", contacts="{desk}"
    ),
    "reject": Case('<reject status="reject" reason="Not today"/>', "SIP/2.0 603 Not today"),
    "reject by number": Case('<reject status="403" reason="Never"/>', "SIP/2.0 403 Never"),
    "sub": Case('<sub ref="busy"/>', BUSY),
    "outgoing": Case(
        f'<address-switch field="destination"><address is="sip:bob@{DOMAIN}"><reject status="reject"/></address>'
        "</address-switch>", DECLINE, direction="outgoing",
    ),
    "nothing": Case("", "SIP/2.0 480"),
}  # fmt: skip


@pytest.fixture(scope="module")
def beside() -> Iterator[tuple[MailServer, WebServer]]:
    """A mail server, and a web server that knows where people are."""
    with MailServer() as mails, WebServer() as pages:
        yield mails, pages


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory, beside: tuple[MailServer, WebServer]) -> Iterator[Server]:
    """One server for all these calls; each script replaces the one before."""
    mails, pages = beside
    server = Server(
        tmp_path_factory.mktemp("scripted"), digest_algorithms="MD5", script_hosts=f"{HERE}:{pages.port}",
        mail_server=f"{HERE}:{mails.port}", mail_from=f"sipd@{DOMAIN}",
    )  # fmt: skip
    server.prepare()
    server.start()
    yield server
    try:
        server.stop()
    finally:
        stop_all()


def filled(text: str, places: dict[str, str]) -> str:
    """With the places of the phones for their names."""
    for name, place in places.items():
        text = text.replace("{" + name + "}", place)
    return text


def document(case: Case, places: dict[str, str]) -> str:
    """The whole script of a case."""
    script = filled(case.script, places)
    busy = '<subaction id="busy"><reject status="busy"/></subaction>'
    return f'<cpl xmlns="urn:ietf:params:xml:ns:cpl">{busy}<{case.direction}>{script}</{case.direction}></cpl>'


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_call_for_each_node(scripted: Server, tmp_path: Path, case: Case) -> None:
    phones: dict[str, Sipp] = {}
    places: dict[str, str] = {}
    for name, _, scenario in (word.partition("=") for word in reversed(case.phones.split())):
        contact = "<sip:moved@there>" if scenario == "302" else f"<{places.get('other', 'sip:nobody@there')}>"
        user = "bob" if name in case.at_home.split() else "voicemail"
        status = scenario if scenario.isdigit() else ""
        phone = Sipp(
            "refuse" if status else scenario, tmp_path, server=scripted.port, user=user, status=status, contact=contact
        )
        phones[name], places[name] = phone, f"sip:{phone.user}@{HERE}:{phone.port};transport=udp"
    owner = "alice" if case.direction == "outgoing" else "bob"
    Sipp("upload", tmp_path, server=scripted.port, user=owner, script=document(case, places)).finish()
    for name, phone in phones.items():
        phone.wait_until_listening()
        if name in case.at_home.split():
            registered(scripted.port, phone, tmp_path)

    seen = Sipp("call_any", tmp_path, server=scripted.port, user="alice", callee="bob", extra=case.extra).finish()

    ended = [one for one in seen if not one.sent and one.values("CSeq") == ["2 INVITE"] and FINAL.match(one.start_line)]
    assert [one.start_line.startswith(case.ends) for one in ended] == [True], ended
    if case.contacts:
        assert filled(case.contacts, places) in ended[0].values("Contact")[0]
    for name in case.rung.split():
        phones[name].finish(seconds=10)
    for phone in phones.values():
        phone.child.stop()
    rung = {name for name, phone in phones.items() if any("INVITE" in one.start_line for one in phone.messages())}
    assert rung == set(case.rung.split())
    Sipp("forget", tmp_path, server=scripted.port, user=owner).finish()


def test_a_call_that_is_logged(scripted: Server, tmp_path: Path) -> None:
    script = '<log name="calls" comment="somebody rang"><reject status="busy"/></log>'
    Sipp("upload", tmp_path, server=scripted.port, user="bob", script=document(Case(script, BUSY), {})).finish()
    Sipp("call_any", tmp_path, server=scripted.port, user="alice", callee="bob", extra="Subject: none").finish()
    assert re.search(r"calls.*somebody rang", scripted.ctl("script", "log", f"bob@{DOMAIN}"))
    Sipp("forget", tmp_path, server=scripted.port, user="bob").finish()


def test_a_call_that_is_mailed(scripted: Server, tmp_path: Path, beside: tuple[MailServer, WebServer]) -> None:
    mails, _ = beside
    script = f'<mail url="mailto:bob@{DOMAIN}?subject=Missed"><reject status="busy"/></mail>'
    Sipp("upload", tmp_path, server=scripted.port, user="bob", script=document(Case(script, BUSY), {})).finish()
    Sipp("call_any", tmp_path, server=scripted.port, user="alice", callee="bob", extra="Subject: Lunch").finish()
    deadline = time.monotonic() + 10
    while not mails.got and time.monotonic() < deadline:
        assert scripted.child is not None
        scripted.child.pause()
    [mail] = mails.got
    assert mail.recipients == [f"bob@{DOMAIN}"]
    assert mail.message["Subject"] == "Missed"
    assert f"sip:alice@{DOMAIN}" in mail.message.get_content()
    Sipp("forget", tmp_path, server=scripted.port, user="bob").finish()


@pytest.mark.parametrize("page", ["list", "nowhere"])
def test_a_call_to_where_a_web_server_says(
    scripted: Server, tmp_path: Path, beside: tuple[MailServer, WebServer], page: str
) -> None:
    _, pages = beside
    desk = Sipp("answer", tmp_path, server=scripted.port, user="voicemail").wait_until_listening()
    pages.page("/list", f"sip:bob@{HERE}:{desk.port}")
    outputs = '<success><proxy/></success><notfound><reject status="notfound"/></notfound>'
    script = f'<lookup source="http://{HERE}:{pages.port}/{page}" timeout="5">{outputs}</lookup>'
    Sipp("upload", tmp_path, server=scripted.port, user="bob", script=document(Case(script, OK), {})).finish()
    seen = Sipp("call_any", tmp_path, server=scripted.port, user="alice", callee="bob", extra="Subject: no").finish()
    if page == "list":
        desk.finish(seconds=10)
    else:
        assert any(one.start_line.startswith("SIP/2.0 404") for one in seen)
    desk.child.stop()
    Sipp("forget", tmp_path, server=scripted.port, user="bob").finish()
