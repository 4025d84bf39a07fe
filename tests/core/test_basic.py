"""Basic: only where nobody can read it, and by the same secrets as digest (RFC 7617, T115, P18)."""

from __future__ import annotations

import base64

import pytest

from sipd import digest
from sipd.core.decision import LogInFailed, PasswordSent, Proxy, Relay
from sipd.core.policy import decide
from sipd.errors import BadSyntax
from sipd.hop import Hop
from sipd.message import parse, parse_auth
from sipd.rows import Binding
from tests.core.tables import ALICE, BOB, PASSWORD, PHONE, WALL, House, register, request, user

URI = f"sip:{BOB}"
OVER_TLS = Hop("TLS", "192.0.2.10", 40000)
SAFE = [OVER_TLS, Hop("WSS", "192.0.2.10", 40000), Hop("UDP", "127.0.0.1", 5060), Hop("TCP", "::1", 5060)]
UNSAFE = [PHONE, Hop("TCP", "192.0.2.10", 5060), Hop("WS", "192.0.2.10", 80), Hop("UDP", "2001:db8::1", 5060)]


def house(**settings):
    made = House()
    made.tables.set(auth="basic", **settings)
    made.tables.contacts[BOB] = [Binding(BOB, "sip:bob@192.0.2.20", expires_at=WALL + 10_000)]
    return made


def basic(name="alice", password=PASSWORD):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def call(auth="", **kwargs):
    return request("INVITE", URI, *([f"Proxy-Authorization: {auth}"] if auth else []), **kwargs)


def schemes(decision):
    return [parse_auth(value).scheme for name, value in decision.headers if name.endswith("-Authenticate")]


@pytest.mark.parametrize("source", SAFE + UNSAFE, ids=str)
@pytest.mark.parametrize("made", [call(), register()], ids=["INVITE", "REGISTER"])
def test_it_is_offered_last_and_only_where_nobody_can_listen(source, made):
    asked = schemes(house().decide(made, source))
    assert asked == ["digest", "digest", "basic"] if source in SAFE else ["digest", "digest"]


@pytest.mark.parametrize("source", SAFE, ids=str)
@pytest.mark.parametrize("name", ["alice", ALICE, "alice@EXAMPLE.com."])
def test_the_right_password_proves_the_user(source, name):
    made = house()
    inquiry = made.inquiry(call(basic(name)), source)
    decision = decide(inquiry, made.tables)
    assert isinstance(decision, Proxy)
    assert inquiry.identity == (ALICE, "basic")
    assert decision.marks == (PasswordSent(ALICE, source.host),)
    assert "Proxy-Authorization" not in inquiry.request.names, "it goes no further"


@pytest.mark.parametrize("source", UNSAFE, ids=str)
def test_elsewhere_the_right_password_proves_nothing(source):
    decision = house().decide(call(basic()), source)
    assert (decision.status, decision.marks, "basic" in schemes(decision)) == (407, (), False)


@pytest.mark.parametrize("auth", ["digest", "none"])
def test_where_the_setting_says_otherwise_it_proves_nothing(auth):
    made = house()
    made.tables.set(auth=auth)
    inquiry = made.inquiry(call(basic()), OVER_TLS)
    decide(inquiry, made.tables)
    assert inquiry.identity.scheme == ""


def test_what_came_by_another_proxy_may_have_been_read_on_its_way():
    """The phone's own hop is not seen here: neither asked for nor taken."""
    made = house()
    via = b"Via: SIP/2.0/UDP 192.0.2.99:5060;branch=z9hG4bKbefore\r\n"
    for auth in ("", basic()):
        data = bytes(call(auth)).replace(b"Max-Forwards:", via + b"Max-Forwards:")
        decision = made.decide(parse(data), OVER_TLS)
        assert (decision.status, schemes(decision)) == (407, ["digest", "digest"])


@pytest.mark.parametrize(
    ("auth", "username", "aor"),
    [
        (basic(password="wrong"), "alice", ALICE),
        (basic(password=""), "alice", ALICE),
        (basic("nobody"), "nobody", "nobody@example.com"),
        (basic("nobody@example.com"), "nobody@example.com", "nobody@example.com"),
        (basic("alice@other.example"), "alice@other.example", "alice@other.example"),
        (basic("alice@far.example"), "alice@far.example", "alice@far.example"),
    ],
)
def test_a_wrong_one_is_a_failure_as_any_other(auth, username, aor):
    made = house()
    decision = made.decide(call(auth), OVER_TLS)
    assert (decision.status, decision.marks) == (407, (LogInFailed(username, "192.0.2.10", aor),))
    assert schemes(decision) == ["digest", "digest", "basic"]
    status = made.decide(register(f"Authorization: {auth}"), OVER_TLS).status
    assert status == 401


@pytest.mark.parametrize("auth", ["Basic !", "Basic YQ==", "Basic YToA", "Basic a=b, c"])
def test_a_malformed_one_is_400(auth):
    made = house()
    with pytest.raises(BadSyntax):
        made.decide(call(auth), OVER_TLS)


@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_an_unknown_user_costs_one_hash_as_a_known_one_does(monkeypatch, name):
    """T68."""
    made, compared, is_password = house(), [], digest.is_password

    def counted(*given):
        compared.append(given)
        return is_password(*given)

    monkeypatch.setattr(digest, "is_password", counted)
    assert made.decide(call(basic(name, "wrong")), OVER_TLS).status == 407
    assert len(compared) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"ha1_sha256": "", "ha1_sha256_full": ""},
        {"ha1_sha256": "", "ha1_sha256_full": "", "ha1_sha512_256": "", "ha1_sha512_256_full": "", "ha1_md5": ""},
        {"realm": "Our House", "ha1_sha256": digest.ha1("alice", "Our House", PASSWORD, "SHA-256")},
    ],
)
def test_whatever_hash_of_it_is_stored_will_do(changed):
    made = house()
    made.tables.users[ALICE] = user(ALICE, **changed)
    for name in ("alice", ALICE):
        assert isinstance(made.decide(call(basic(name)), OVER_TLS), Proxy)
        assert made.decide(call(basic(name, "wrong")), OVER_TLS).status == 407


@pytest.mark.parametrize("only", ["SHA-512-256", "SHA-256", "MD5"])
@pytest.mark.parametrize("offered", ["SHA-512-256", "SHA-256", "MD5"])
def test_it_does_not_matter_by_which_algorithm_it_is_stored(only, offered):
    """As the password itself is there, what phones with a digest are offered is nothing to it."""
    made = house()
    made.tables.set(digest_algorithms=offered)
    names = {"MD5": "ha1_md5", "SHA-256": "ha1_sha256", "SHA-512-256": "ha1_sha512_256"}
    none = {f"{names[name]}{end}": "" for name in names if name != only for end in ("", "_full")}
    made.tables.users[ALICE] = user(ALICE, **none)
    assert isinstance(made.decide(call(basic("alice")), OVER_TLS), Proxy)
    assert made.decide(call(basic("alice", "wrong")), OVER_TLS).status == 407


def test_an_anonymous_caller_is_of_the_domain_he_calls():
    made = house()
    text = basic()
    anonymous = "Anonymous <sip:anonymous@anonymous.invalid>;tag=1"
    assert isinstance(made.decide(call(text, from_=anonymous), OVER_TLS), Proxy)
    assert made.decide(call(basic("alice", "wrong"), from_=anonymous), OVER_TLS).marks


def test_a_password_sent_in_a_dialog_goes_no_further():
    """Nobody asked for it there, and nobody looks: it must not reach the other side all the same."""
    made = house()
    for folded in (basic(), "\r\n " + basic()):
        inquiry = made.inquiry(request("ACK", URI, f"Proxy-Authorization: {folded}"))
        assert isinstance(decide(inquiry, made.tables), Relay)
        assert "Proxy-Authorization" not in inquiry.request.names


def test_guesses_are_counted_and_held_as_those_by_digest():
    made = house()
    for _ in range(5):
        made.decide(call(basic(password="wrong")), OVER_TLS)
    held = made.decide(call(basic()), OVER_TLS)
    assert held.status == 407, "the right one is not looked at now"
    assert parse_auth(held.headers[0][1]).params["stale"] == "true"
