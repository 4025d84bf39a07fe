"""Scripts in REGISTER: the numbered lines of SCRIPTING section 4."""

from __future__ import annotations

import pytest

from sipd.core.dates import date_value
from sipd.core.decision import Commit, NonceUsed, Respond, ScriptChecked
from sipd.core.uploads import LARGEST_OVER_UDP, disposition_from_text
from sipd.errors import BadSyntax
from sipd.hop import Hop
from sipd.message import response_to
from sipd.rows import DropScript, PutBinding, PutScript, Script
from tests.core.tables import ALICE, BOB, WALL, House, credentials, register, request, user

SCRIPT = b'<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><reject status="busy"/></incoming></cpl>'
BROKEN = b'<cpl xmlns="urn:ietf:params:xml:ns:cpl">\n<incoming><rejekt status="busy"/></incoming></cpl>'
TYPE = "Content-Type: application/cpl+xml"
STORE = "Content-Disposition: script;action=store"
REMOVE = "Content-Disposition: script;action=remove"
CONTACT = "Contact: <sip:alice@192.0.2.10>"
WANTED = "Accept: application/cpl+xml"
TCP = Hop("TCP", "192.0.2.10", 5060)
STORED = Script(ALICE, "cpl", SCRIPT, "application/cpl+xml", WALL - 100)


def house(script=None):
    made = House()
    if script is not None:
        made.tables.scripts[ALICE, "cpl"] = script
    return made


def upload(made, *lines, body=b"", source=TCP, username="alice"):
    """What a REGISTER of alice with right credentials comes to."""
    asked = made.answer(register()).first("WWW-Authenticate")
    text = credentials(asked, "REGISTER", "sip:example.com", username=username)
    return made.decide(register(f"Authorization: {text}", *lines, body=body), source)


def header(respond, name):
    return [value for key, value in respond.headers if key == name]


def script_of(decision):
    """The body of the 200 and its headers; None when there is no script in it."""
    respond = decision.response if isinstance(decision, Commit) else decision
    assert respond.status == 200
    if not respond.body:
        assert not header(respond, "Content-Disposition")
        return None
    return respond.body, header(respond, "Content-Type"), header(respond, "Content-Disposition")


def test_store_with_a_contact_is_one_commit():
    decision = upload(house(), TYPE, STORE, CONTACT, body=SCRIPT)
    assert isinstance(decision, Commit)
    assert type(decision.changes[0]) is PutBinding
    assert decision.changes[1:] == (PutScript(Script(ALICE, "cpl", SCRIPT, "application/cpl+xml", WALL, ALICE)),)
    assert header(decision.response, "Accept") == ["application/cpl+xml"]
    assert header(decision.response, "Accept-Disposition") == ["script"]
    assert [type(mark) for mark in decision.marks] == [NonceUsed, ScriptChecked]


@pytest.mark.parametrize("kind", ["application/cpl+xml;charset=utf-8", "APPLICATION/CPL-XML"])
def test_store_without_contact_and_by_the_old_type(kind):
    made = house()
    decision = upload(made, f"Content-Type: {kind}", STORE, body=SCRIPT)
    assert isinstance(decision, Commit)
    assert made.tables.scripts[ALICE, "cpl"].text == SCRIPT


def test_a_date_and_a_file_name_in_the_disposition_are_nothing_to_us():
    made = house()
    more = f'{STORE};modification-date="{date_value(0)}";filename="../../etc/passwd"'
    assert isinstance(upload(made, TYPE, more, body=SCRIPT), Commit)
    assert made.tables.scripts[ALICE, "cpl"].modified == WALL


def test_a_delegate_stores_for_the_user_in_to():
    made = house()
    made.tables.delegates.add((BOB, ALICE))
    assert isinstance(upload(made, TYPE, STORE, body=SCRIPT, username="bob"), Commit)
    assert made.tables.scripts[ALICE, "cpl"].modified_by == BOB


def test_remove():
    made = house(STORED)
    decision = upload(made, REMOVE)
    assert isinstance(decision, Commit)
    assert decision.changes == (DropScript(ALICE, "cpl", WALL, ALICE),)
    again = house()
    assert script_of(upload(again, TYPE, REMOVE)) is None  # removing nothing is a success


@pytest.mark.parametrize(
    ("lines", "body", "status"),
    [
        ([TYPE], SCRIPT, 400),  # an action is needed
        ([TYPE, "Content-Disposition: script"], SCRIPT, 400),
        ([TYPE, "Content-Disposition: script;action=keep"], SCRIPT, 400),
        ([TYPE, "Content-Disposition: script;action=store;action"], b"", 400),
        ([TYPE, 'Content-Disposition: script;"'], SCRIPT, 400),
        ([TYPE, REMOVE], SCRIPT, 400),
        ([TYPE, STORE], b"", 400),  # an empty script is not CPL
        ([TYPE, STORE], BROKEN, 400),
        ([TYPE, STORE], SCRIPT + b" " * 65536, 413),
        ([STORE], SCRIPT, 415),
        (["Content-Type: text/plain", STORE], SCRIPT, 415),
        (["Content-Type: application/sdp"], b"v=0", 415),
        (["Content-Type: bad", STORE], SCRIPT, 400),
        ([TYPE, STORE, "Content-Encoding: gzip"], SCRIPT, 415),
        (["Content-Type: application/x-perl", STORE], b"#!/usr/bin/perl", 415),
        (["Content-Type: application/sip-cgi", STORE], b"#!/usr/bin/perl", 415),
        (["Content-Type: application/x-perl", "Content-Disposition: sip-cgi;action=store"], b"#!/usr/bin/perl", 403),
        (["Content-Type: application/octet-stream", "Content-Disposition: sip-cgi;action=store"], b"#!/bin/sh", 403),
        (["Content-Disposition: sip-cgi;action=remove"], b"", 403),
        (["Content-Type: multipart/mixed", STORE], SCRIPT, 400),
        (["Content-Type: multipart/mixed;boundary=b"], b"--b\r\n\r\nx\r\n--b--", 415),
    ],
)
def test_a_refused_upload_carries_nothing_out_and_says_what_is_taken(lines, body, status):
    made = house(STORED)
    before = dict(made.tables.scripts)
    decision = upload(made, CONTACT, *lines, body=body)
    assert isinstance(decision, Respond)
    assert decision.status == status
    assert header(decision, "Accept") == ["application/cpl+xml"]
    assert header(decision, "Accept-Disposition") == ["script"]
    assert (made.tables.scripts, made.tables.contacts) == (before, {})
    assert [type(mark) for mark in decision.marks][:1] == [NonceUsed]  # the nonce count is spent all the same


def test_a_refused_script_names_its_first_error():
    decision = upload(house(), TYPE, STORE, body=BROKEN)
    (warning,) = header(decision, "Warning")
    assert warning.startswith('399 sipd "line 2, column ')
    assert "CPL-TAG" in warning
    assert decision.body == b""
    response_to(register(), decision.status, decision.reason, headers=decision.headers)  # can be written


@pytest.mark.parametrize(
    ("accept", "listed"),
    [
        ("text/plain", True),
        ("application/sdp, text/*;q=0.1", True),
        ("*/*", True),
        ("text/html", False),
        ("text/plain;q=0", False),
    ],
)
def test_all_errors_are_listed_for_who_reads_text(accept, listed):
    decision = upload(house(), TYPE, STORE, f"Accept: {accept}", body=BROKEN)
    assert bool(decision.body) is listed
    if listed:
        assert header(decision, "Content-Type") == ["text/plain;charset=utf-8"]
        assert b"CPL-TAG" in decision.body


def test_over_udp_as_many_errors_are_listed_as_there_is_room_for():
    broken = b"<cpl>\n" + b"<rejekt/>\n" * 50 + b"</cpl>"
    over_tcp = upload(house(), TYPE, STORE, "Accept: text/plain", body=broken, source=TCP)
    over_udp = upload(house(), TYPE, STORE, "Accept: text/plain", body=broken, source=Hop("UDP", "192.0.2.10", 5060))
    assert over_tcp.body.count(b"\n") == 51  # and a warning
    *lines, last = over_udp.body.splitlines(keepends=True)
    assert over_tcp.body.startswith(b"".join(lines))
    assert len(lines) >= 3
    assert last == b"and %d more: ask over TCP\n" % (51 - len(lines))
    assert len(over_udp.body) < LARGEST_OVER_UDP - 300


@pytest.mark.parametrize("operations", ["location proxy", "reject"])
def test_operations_can_be_forbidden(operations):
    made = house()
    made.tables.set(script_operations=operations)
    decision = upload(made, TYPE, STORE, body=SCRIPT)
    assert isinstance(decision, Commit) == (operations == "reject")


@pytest.mark.parametrize(("user_class", "status"), [("", 200), ("staff", 200), ("guest", 400), ("kiosk", 403)])
def test_operations_are_permitted_by_the_class_of_the_user(user_class, status):
    made = house()
    made.tables.set(script_operations="all guest:location,proxy kiosk:none")
    made.tables.users[ALICE] = user(ALICE, gateway_class=user_class)
    decision = upload(made, TYPE, STORE, CONTACT, body=SCRIPT)
    assert isinstance(decision, Commit) == (status == 200)
    assert (decision.response if isinstance(decision, Commit) else decision).status == status


# -- who may ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1", 200), ("127.8.9.1", 200), ("::1", 200), ("192.0.2.10", 403), ("::2", 403)]
)
@pytest.mark.parametrize("lines", [[TYPE, STORE], [REMOVE]])
def test_with_authentication_off_only_this_host_uploads(host, status, lines):
    made = house(STORED)
    made.tables.set(auth="none")
    answer = made.answer(register(*lines, body=SCRIPT if TYPE in lines else b""), Hop("UDP", host, 5060))
    assert answer.status == status


def test_without_credentials_it_is_401_and_not_looked_at():
    assert house().answer(register(TYPE, STORE, body=BROKEN)).status == 401


# -- If-Unmodified-Since -----------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "status"),
    [
        (date_value(int(WALL) - 200), 412),
        (date_value(int(WALL) - 100), 200),
        (date_value(int(WALL)), 200),
        ("last week", 200),  # a bad date is ignored
    ],
)
@pytest.mark.parametrize("lines", [[TYPE, STORE], [REMOVE]])
def test_if_unmodified_since(since, status, lines):
    made = house(STORED)
    decision = upload(made, CONTACT, *lines, f"If-Unmodified-Since: {since}", body=SCRIPT if TYPE in lines else b"")
    assert (decision.response if isinstance(decision, Commit) else decision).status == status
    assert bool(made.tables.contacts) == (status == 200)


def test_if_unmodified_since_does_not_hide_another_fault():
    since = f"If-Unmodified-Since: {date_value(0)}"
    assert upload(house(STORED), TYPE, STORE, since, body=BROKEN).status == 400


def test_a_first_script_is_never_too_late():
    since = f"If-Unmodified-Since: {date_value(0)}"
    assert isinstance(upload(house(), TYPE, STORE, since, body=SCRIPT), Commit)


# -- the script in the answer ---------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ([], None),  # no Accept means application/sdp (RFC 3261 §20.1)
        ([WANTED], "application/cpl+xml"),
        (["Accept: application/sdp, application/cpl-xml"], "application/cpl-xml"),
        (["Accept: */*"], "application/cpl+xml"),
        (["Accept: application/*;q=0.3"], "application/cpl+xml"),
        (["Accept: application/sdp"], None),
        (["Accept:"], None),
        (["Accept: */*, application/cpl+xml;q=0, application/cpl-xml;q=0.0"], None),
        ([WANTED, "Accept-Disposition: script"], "application/cpl+xml"),
        ([WANTED, "Accept-Disposition: sip-cgi, *;x=y"], "application/cpl+xml"),
        ([WANTED, "Accept-Disposition:"], None),
        ([WANTED, "Accept-Disposition: sip-cgi"], None),
        ([WANTED, CONTACT], "application/cpl+xml"),  # any REGISTER is a query
        (["Accept: multipart/mixed, application/cpl+xml"], "application/cpl+xml"),  # one kind, so never several
    ],
)
def test_a_query_brings_the_stored_script_to_who_wants_it(lines, kind):
    found = script_of(upload(house(STORED), *lines))
    disposition = f'script;modification-date="{date_value(int(WALL) - 100)}"'
    assert found == (None if kind is None else (SCRIPT, [kind], [disposition]))


def test_an_upload_brings_back_what_is_stored_by_then():
    new = SCRIPT.replace(b"busy", b"reject")
    found = script_of(upload(house(STORED), TYPE, STORE, WANTED, body=new))
    assert found == (new, ["application/cpl+xml"], [f'script;modification-date="{date_value(int(WALL))}"'])
    assert script_of(upload(house(STORED), REMOVE, WANTED)) is None
    assert script_of(upload(house(), CONTACT, WANTED)) is None


@pytest.mark.parametrize(("size", "over_udp"), [(300, True), (1200, False), (60000, False)])
def test_over_udp_a_long_script_is_left_out(size, over_udp):
    script = STORED._replace(text=SCRIPT.ljust(size))
    udp = upload(house(script), WANTED, source=TCP._replace(transport="UDP"))
    assert (script_of(udp) is not None) is over_udp
    assert script_of(upload(house(script), WANTED)) is not None
    made = response_to(register(WANTED), 200, to_tag="0123456789abcdef", headers=udp.headers, body=udp.body)
    assert len(bytes(made)) <= LARGEST_OVER_UDP


# -- multipart ---------------------------------------------------------------------------


def mixed(*parts):
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


SCRIPT_PART = b"Content-Type: application/cpl+xml\r\nContent-Disposition: script;action=store\r\n\r\n" + SCRIPT
MIXED = "Content-Type: multipart/mixed;boundary=b"


def test_a_script_in_a_multipart():
    made = house()
    optional = b"Content-Type: text/plain\r\nContent-Disposition: render;handling=optional\r\n\r\nhello"
    assert isinstance(upload(made, MIXED, body=mixed(optional, SCRIPT_PART)), Commit)
    assert made.tables.scripts[ALICE, "cpl"].text == SCRIPT


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (mixed(SCRIPT_PART, SCRIPT_PART), 400),
        (mixed(SCRIPT_PART, b"Content-Type: text/plain\r\n\r\nx"), 415),
        (mixed(b"Content-Transfer-Encoding: base64\r\n" + SCRIPT_PART), 415),
        (mixed(SCRIPT_PART)[:-6], 400),
    ],
)
def test_a_multipart_that_is_refused(body, status):
    assert upload(house(), MIXED, body=body).status == status


def test_an_encoding_we_do_not_know_is_415_with_those_we_do():
    decision = upload(house(), TYPE, STORE, "Content-Encoding: gzip", body=SCRIPT)
    assert (decision.status, header(decision, "Accept-Encoding")) == (415, ["identity"])


def test_a_body_that_may_be_passed_over_is():
    lines = ["Content-Type: text/plain", "Content-Disposition: render;handling=optional", CONTACT]
    assert isinstance(upload(house(), *lines, body=b"hi"), Commit)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("script", ("script", None, False)),
        (' SCRIPT ; Action="Store";filename="../../etc/passwd"', ("script", "store", False)),
        ("session;handling=optional", ("session", None, True)),
    ],
)
def test_disposition(text, made):
    assert disposition_from_text(text.strip()) == made


def test_a_bad_disposition():
    with pytest.raises(BadSyntax):
        disposition_from_text("script;action=store;;")


def test_options_say_what_is_taken():
    answer = house().answer(request("OPTIONS", "sip:example.com"))
    assert answer.first("Accept-Disposition") == "script"
