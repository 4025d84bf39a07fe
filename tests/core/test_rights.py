"""Rights: OPTIONS to us, REGISTER for whom, and that we are no open relay (T13, T16, T63, T64)."""

from __future__ import annotations

import pytest

from sipd.core.decision import NonceUsed, Registering, Respond
from sipd.errors import SipError
from sipd.message import parse, parse_auth
from sipd.rows import Binding
from tests.core.tables import ALICE, BOB, WALL, House, credentials, register, request, user

STRANGER = "<sip:zoe@elsewhere.example>;tag=z"
NOBODY = "<sip:anonymous@anonymous.invalid>;tag=n"
ALICES = f"<sip:{ALICE}>;tag=a"
TYPO = "<sip:alicia@example.com>;tag=t"
FOREIGN = "sip:joe@far.example"


def house(**settings):
    made = House()
    made.tables.set(**settings)
    made.tables.contacts[BOB] = [Binding(BOB, "sip:bob@192.0.2.20", expires_at=WALL + 100)]
    made.tables.users["peter@example.com"] = user("peter@example.com", level="never")
    return made


def outcome(made, request):
    try:
        decision = made.decide(request)
    except SipError as error:
        return error.status
    return decision.status if isinstance(decision, Respond) else type(decision).__name__


def proven(made, request, username="alice", realm="example.com"):
    """The request again, with right credentials of that user."""
    is_register = request.method == "REGISTER"
    asked = made.answer(register(aor=f"{username}@{realm}")).first("WWW-Authenticate")
    text = credentials(asked, request.method, request.request_uri, username=username)
    name = "Authorization" if is_register else "Proxy-Authorization"
    data = bytes(request).replace(b"Content-Length:", f"{name}: {text}\r\nContent-Length:".encode())
    return parse(data)


@pytest.mark.parametrize("from_", [STRANGER, ALICES, NOBODY])
@pytest.mark.parametrize("auth", ["digest", "none"])
def test_options_to_the_server_are_answered_to_anybody(from_, auth):
    answer = house(auth=auth).answer(request("OPTIONS", "sip:example.com", from_=from_))
    assert answer.status == 200
    headers = {
        name: answer.first(name) for name in ("Accept", "Accept-Disposition", "Supported", "Allow", "Allow-Events")
    }
    assert headers == {
        "Accept": "application/cpl+xml",
        "Accept-Disposition": "script",
        "Supported": "gruu, outbound, path, pref",
        "Allow": "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, SUBSCRIBE",
        "Allow-Events": "reg",
    }


@pytest.mark.parametrize(
    ("from_", "uri", "without", "with_credentials"),
    [
        (STRANGER, f"sip:{BOB}", "Proxy", 403),  # a foreign From may call us; our user may not lend it
        (STRANGER, FOREIGN, 403, 403),
        (NOBODY, f"sip:{BOB}", "Proxy", "Proxy"),
        (NOBODY, FOREIGN, 407, "Proxy"),
        (ALICES, f"sip:{BOB}", 407, "Proxy"),
        (ALICES, FOREIGN, 407, "Proxy"),
        (TYPO, f"sip:{BOB}", 407, 403),
        (TYPO, FOREIGN, 407, 403),
        ("<sip:peter@example.com>;tag=p", f"sip:{BOB}", "Proxy", 403),
        ("<sip:peter@example.com>;tag=p", FOREIGN, 407, 403),  # never is about calls to us, P6
    ],
)
@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "FOO"])
def test_who_may_reach_whom(from_, uri, without, with_credentials, method):
    made = house()
    plain = request(method, uri, from_=from_)
    assert outcome(made, plain) == without
    assert outcome(made, proven(made, plain)) == with_credentials


@pytest.mark.parametrize(
    ("from_", "uri", "expected"),
    [(STRANGER, f"sip:{BOB}", "Proxy"), (STRANGER, FOREIGN, 403), (ALICES, FOREIGN, "Proxy"), (NOBODY, FOREIGN, 403)],
)
def test_authentication_off_is_still_no_relay_for_strangers(from_, uri, expected):
    assert outcome(house(auth="none"), request("INVITE", uri, from_=from_)) == expected


@pytest.mark.parametrize(
    ("uri", "route"),
    [
        (f"sip:{BOB}", "<sip:far.example;lr>"),
        (f"sip:{BOB}", "<sip:192.0.2.1:5060;lr>, <sip:far.example;lr>"),
        (f"sip:{BOB};maddr=198.51.100.1", ""),
        (f"sip:{BOB}:5099", ""),
    ],
)
def test_a_route_or_maddr_elsewhere_needs_credentials(uri, route):
    made = house()
    lines = [f"Route: {route}"] if route else []
    assert outcome(made, request("INVITE", uri, *lines, from_=STRANGER)) == 403
    plain = request("INVITE", uri, *lines, from_=ALICES)
    assert outcome(made, plain) == 407
    assert outcome(made, proven(made, plain)) == "Proxy"


def test_a_stranger_without_domain_gets_a_realm_to_answer():
    (first, _) = house().decide(request("INVITE", FOREIGN, from_=NOBODY)).headers
    assert parse_auth(first[1]).params["realm"] == "sip.example.com"


# -- REGISTER ------------------------------------------------------------------------


CONTACT = "Contact: <sip:x@192.0.2.10>"


@pytest.mark.parametrize(
    ("made", "username", "expected"),
    [
        (register(CONTACT), "alice", "Commit"),
        (register(CONTACT), "bob", 403),  # T13
        (register(CONTACT, aor=BOB), "alice", 403),
        (register(CONTACT, from_=ALICES, to=f"<sip:{BOB}>"), "alice", 403),
        (register(CONTACT, from_=f"<sip:{BOB}>;tag=1", to=f"<sip:{ALICE}>"), "bob", "Commit"),  # named by alice
        (register(CONTACT), "nobody", 401),
        (register(CONTACT, aor="nobody@example.com"), "alice", 403),
        (register(CONTACT, to="<tel:+1>"), "alice", 400),
        (register(CONTACT, to="<sip:example.com>"), "alice", 400),
        (register(CONTACT, to="<sip:alice@other.example>"), "alice", 404),
        (register(CONTACT, to="<sip:alice@elsewhere.example>"), "alice", 404),
        (register(CONTACT, to="<sip:%61lice@EXAMPLE.com.;user=phone>"), "alice", "Commit"),
        (register(CONTACT, to="<sips:alice@192.0.2.1>"), "alice", "Commit"),
    ],
)
def test_who_may_register_whom(made, username, expected):
    here = house()
    here.tables.delegates.add((BOB, ALICE))
    if made.from_.uri.text == f"sip:{ALICE}" and username == "bob" and expected == 403:
        here.tables.delegates.clear()
    before = dict(here.tables.contacts)
    assert outcome(here, proven(here, made, username)) == expected
    assert (here.tables.contacts == before) == (expected != "Commit")


def test_who_acts_for_another_is_marked_with_both_names():
    """So that the log can say it, be it done or refused (T13, T16)."""
    here = house()
    here.tables.delegates.add((BOB, ALICE))
    done = here.decide(proven(here, register(CONTACT), "bob"))
    assert Registering(BOB, ALICE, True) in done.marks
    here.wall += 1  # another nonce
    denied = here.decide(proven(here, register(CONTACT, aor=BOB), "alice"))
    assert isinstance(denied, Respond)
    assert (denied.status, [type(mark) for mark in denied.marks]) == (403, [NonceUsed, Registering])
    assert Registering(ALICE, BOB, False) in denied.marks
    here.wall += 1
    own = here.decide(proven(here, register(CONTACT, cseq=9)))
    assert [type(mark) for mark in own.marks] == [NonceUsed]


def test_a_delegate_may_write_the_users_address_in_from():
    here = house()
    here.tables.delegates.add((BOB, ALICE))
    assert outcome(here, proven(here, register(CONTACT), "bob")) == "Commit"
    here.wall += 1  # another nonce
    assert outcome(here, proven(here, register(CONTACT, aor=BOB), "alice")) == 403  # one way only (T16)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (register(CONTACT), "Commit"),
        (register(CONTACT, from_=STRANGER), "Commit"),  # nobody proves anything here
        (register(CONTACT, from_=f"<sip:{BOB}>;tag=1"), 403),
        (register(CONTACT, from_=TYPO), 403),
        (register(CONTACT, aor="nobody@example.com"), 404),
    ],
)
def test_with_authentication_off_from_is_the_identity(made, expected):
    assert outcome(house(auth="none"), made) == expected
