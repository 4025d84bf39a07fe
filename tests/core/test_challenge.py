"""What a challenge tells: nothing of who there is (T67), whatever users of a domain are like."""

from __future__ import annotations

from collections import Counter

import pytest

from sipd.core.challenge import algorithms_at
from sipd.core.decision import LogInFailed, Respond
from sipd.core.policy import decide
from sipd.digest import ha1
from sipd.hop import Hop
from sipd.message import parse_auth
from sipd.store.kinds import MOST, Kinds
from tests.core.tables import ALICE, BOB, PASSWORD, House, credentials, register, request, user

ALL = "SHA-512-256 SHA-256 MD5"
OLD = {"ha1_sha256": "", "ha1_sha256_full": "", "ha1_sha512_256": "", "ha1_sha512_256_full": ""}


def asked(made, aor):
    """Realm and algorithms that a REGISTER of this address is challenged with."""
    params = [parse_auth(value).params for value in made.answer(register(aor=aor)).values("WWW-Authenticate")]
    (realm,) = {one["realm"] for one in params}
    return realm, " ".join(one["algorithm"] for one in params)


def house(*users, **settings):
    made = House()
    made.tables.set(digest_algorithms=ALL, **settings)
    made.tables.users = {one.aor: one for one in users}
    return made


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, ("example.com", ALL)),
        ({"realm": "asterisk"}, ("asterisk", ALL)),  # as who comes from another server has it
        (OLD, ("example.com", "MD5")),  # as who never changed his password has it
        ({"realm": "asterisk", **OLD}, ("asterisk", "MD5")),
    ],
)
def test_where_users_are_of_one_kind_a_made_up_name_is_of_that_kind(changed, expected):
    made = house(*(user(aor, **changed) for aor in (ALICE, BOB)))
    assert {asked(made, aor) for aor in (ALICE, BOB, "nobody@example.com", "x@example.com")} == {expected}


def test_where_there_are_several_kinds_made_up_names_have_each_as_often_as_users():
    old = [user(f"old{n}@example.com", realm="asterisk", **OLD) for n in range(10)]
    made = house(*old, *(user(f"new{n}@example.com") for n in range(30)))
    found = Counter(asked(made, f"nobody{n}@example.com") for n in range(400))
    assert set(found) == {("asterisk", "MD5"), ("example.com", ALL)}
    assert 0.15 < found["asterisk", "MD5"] / 400 < 0.35
    before = {n: asked(made, f"nobody{n}@example.com") for n in range(100)}
    assert before == {n: asked(made, f"nobody{n}@example.com") for n in range(100)}, "always the same for one name"
    made.tables.users["new@example.com"] = user("new@example.com")
    changed = [n for n in before if before[n] != asked(made, f"nobody{n}@example.com")]
    assert len(changed) <= 3, "one user more does not reshuffle what is made up"


def test_a_domain_without_users_asks_by_its_name():
    assert asked(house(), "x@example.com") == ("example.com", ALL)


def test_a_guess_at_a_made_up_name_counts_as_one_at_a_user_with_his_own_realm():
    """Else the second would wait after five, and the first never."""
    made = house(user(ALICE, realm="asterisk"), user(BOB, realm="asterisk"))
    for aor in (ALICE, "nobody@example.com"):
        for from_ in (aor, BOB):
            challenge = made.answer(register(aor=aor)).first("WWW-Authenticate")
            text = credentials(challenge, "REGISTER", "sip:example.com", username=aor, password="wrong")
            decision = decide(made.inquiry(register(f"Authorization: {text}", aor=from_)), made.tables)
            assert decision.marks == (LogInFailed(aor, "192.0.2.10", aor),)


def test_an_anonymous_caller_is_asked_for_the_realm_that_most_users_have():
    people = [user(f"u{n}@example.com", realm="asterisk", ha1_md5=ha1(f"u{n}", "asterisk", PASSWORD)) for n in range(3)]
    made = house(*people, user(ALICE))
    made.tables.set(host_name="example.com")
    anonymous = "Anonymous <sip:anonymous@anonymous.invalid>;tag=1"
    challenge = made.decide(request("INVITE", "sip:x@else.example", from_=anonymous)).headers[-1][1]
    assert parse_auth(challenge).params["realm"] == "asterisk"
    text = credentials(challenge, "INVITE", "sip:x@else.example", username="u1")
    inquiry = made.inquiry(request("INVITE", "sip:x@else.example", f"Proxy-Authorization: {text}", from_=anonymous))
    decide(inquiry, made.tables)
    assert inquiry.identity.user == "u1@example.com"


def test_kinds_are_kept_up_as_users_come_change_and_go():
    kinds = Kinds()
    one, other = user(ALICE), user(BOB)
    kinds.change(None, one)
    kinds.change(None, other)
    assert [count for _, count in kinds.of("example.com")] == [2]
    moved = other._replace(realm="r")
    kinds.change(other, moved)
    kinds.change(moved, moved)
    assert [(kind.realm, count) for kind, count in kinds.of("example.com")] == [("example.com", 1), ("r", 1)]
    kinds.change(one, None)
    assert [(kind.realm, count) for kind, count in kinds.of("example.com")] == [("r", 1)]
    kinds.change(moved, None)
    assert (kinds.of("example.com"), kinds.of("other.example")) == ((), ())


def test_only_the_most_frequent_kinds_are_told():
    kinds = Kinds()
    for n in range(2 * MOST):
        kinds.change(None, user(f"u{n}@example.com", realm=f"r{n}"))
    kinds.change(None, user("x@example.com", realm="r31"))
    told = kinds.of("example.com")
    assert len(told) == MOST
    assert (told[0][0].realm, told[0][1]) == ("r31", 2)


OLD_PORT = Hop("UDP", "192.0.2.1", 5070)


def test_a_listener_may_have_algorithms_of_its_own():
    """[T116] Old phones that stop at a name they don't know have a port where there is none such."""
    made = house(user(ALICE), user(BOB))
    made.tables.set(digest_algorithms=f"SHA-256 MD5 {OLD_PORT} MD5 tls:[2001:db8::1]:5061 SHA-512-256")
    for near, expected in (
        (None, "SHA-256 MD5"),
        (Hop("UDP", "192.0.2.1", 5060), "SHA-256 MD5"),
        (Hop("TCP", "192.0.2.1", 5070), "SHA-256 MD5"),
        (OLD_PORT, "MD5"),
        (Hop("TLS", "2001:db8::1", 5061), "SHA-512-256"),
    ):
        for aor in (ALICE, "nobody@example.com"):
            inquiry = made.inquiry(register(aor=aor))
            inquiry.near = near
            answer = decide(inquiry, made.tables)
            assert isinstance(answer, Respond)
            params = [parse_auth(value).params for _, value in answer.headers]
            assert " ".join(one["algorithm"] for one in params) == expected


@pytest.mark.parametrize("text", ["tls:[2001:DB8::1]:5061", "TLS:[2001:db8:0:0::1]:5061", "tls:[2001:0db8::0001]:5061"])
def test_a_listener_is_known_however_its_address_is_spelled(text):
    assert algorithms_at(f"SHA-256 {text} MD5", Hop("TLS", "2001:db8::1", 5061)) == ("MD5",)


def test_what_one_listener_offers_is_not_taken_at_another():
    made = house(user(ALICE))
    made.tables.set(digest_algorithms=f"SHA-256 {OLD_PORT} MD5")

    def answer(*lines, near):
        inquiry = made.inquiry(register(*lines))
        inquiry.near = near
        made_of = decide(inquiry, made.tables)
        assert isinstance(made_of, Respond)
        return made_of

    ((_, challenge),) = answer(near=OLD_PORT).headers
    text = credentials(challenge, "REGISTER", "sip:example.com")
    assert answer(f"Authorization: {text}", near=OLD_PORT).status == 200
    assert answer(f"Authorization: {text}", near=None).status == 401


@pytest.mark.parametrize("text", ["SHA-256 udp:x MD5", "SHA-256 :: MD5", "SHA-256 udp:192.0.2.1:5070", "SHA-256 a:1"])
def test_a_listener_that_somebody_wrote_badly_changes_nothing_for_others(text):
    assert algorithms_at(text, None) == ("SHA-256",)
    assert algorithms_at(text, OLD_PORT) == ("SHA-256",)
