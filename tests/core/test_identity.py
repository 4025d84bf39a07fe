"""Identity: challenges, what answers them, and what a caller's level means (§22, T10-T15, T61-T68, T87, T116)."""

from __future__ import annotations

import pytest

from sipd import digest
from sipd.core.decision import Challenged, LogInFailed, NonceUsed, Proxy, Relay, Respond, UriDiffers
from sipd.core.policy import decide
from sipd.core.privacy import is_anonymous
from sipd.core.tables import Missing
from sipd.digest import ha1
from sipd.errors import BadSyntax, Forbidden, SipError
from sipd.guard import Guard
from sipd.hop import Hop
from sipd.message import parse_auth, parse_uri
from sipd.rows import Binding
from sipd.store.secrets import user_row
from sipd.tools.explain import WORDS
from tests.core.tables import ALICE, BOB, PASSWORD, PHONE, WALL, House, credentials, register, request, user

URI = f"sip:{BOB}"


def house(**settings):
    made = House()
    made.tables.set(**settings)
    made.tables.contacts[BOB] = [Binding(BOB, "sip:bob@192.0.2.20", expires_at=WALL + 10_000)]
    return made


def challenges(decision):
    return [value for name, value in decision.headers if name.endswith("-Authenticate")]


def call(auth="", **kwargs):
    return request("INVITE", URI, *([f"Proxy-Authorization: {auth}"] if auth else []), **kwargs)


def signed(made, number=0, **kwargs):
    """A call that answers the challenge of this house."""
    return call(credentials(challenges(made.decide(call()))[number], "INVITE", URI, **kwargs))


def status_of(made, **changed):
    try:
        decision = made.decide(signed(made, **changed))
    except SipError as error:
        return error.status
    return 200 if isinstance(decision, Proxy) else decision.status


@pytest.mark.parametrize(
    ("made", "status", "name"), [(register(), 401, "WWW-Authenticate"), (call(), 407, "Proxy-Authenticate")]
)
def test_one_challenge_per_algorithm_most_preferred_first(made, status, name):
    decision = house().decide(made)
    assert isinstance(decision, Respond)
    assert (decision.status, decision.challenge, decision.marks) == (status, True, ())
    assert [header for header, _ in decision.headers] == [name, name]
    asked = [parse_auth(text).params for text in challenges(decision)]
    assert [params["algorithm"] for params in asked] == ["SHA-256", "MD5"]
    assert all((params["realm"], params["qop"]) == ("example.com", "auth") for params in asked)
    assert len({params["nonce"] for params in asked}) == 2  # the algorithm is fixed per nonce


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("username", ["alice", ALICE])
@pytest.mark.parametrize("qop", ["auth", ""])
def test_right_answer_is_the_user_and_spends_the_count(number, username, qop):
    made = house()
    inquiry = made.inquiry(signed(made, number, username=username, qop=qop))
    decision = decide(inquiry, made.tables)
    assert isinstance(decision, Proxy)
    assert inquiry.identity == (ALICE, "digest")
    assert [(type(mark), mark.count) for mark in decision.marks] == [(NonceUsed, 1 if qop else 0)]


@pytest.mark.parametrize("algorithms", ["MD5", "SHA-256", "MD5 SHA-256", "SHA-512-256 SHA-256 MD5"])
def test_algorithms_are_those_set_in_that_order(algorithms):
    offered = [
        parse_auth(text).params["algorithm"] for text in challenges(house(digest_algorithms=algorithms).decide(call()))
    ]
    assert offered == algorithms.split()


@pytest.mark.parametrize("username", ["alice", ALICE])
@pytest.mark.parametrize("algorithm", ["SHA-512-256", "SHA-256", "MD5"])
def test_each_algorithm_that_is_set_proves(algorithm, username):
    made = house(digest_algorithms=algorithm)
    assert isinstance(made.decide(signed(made, username=username)), Proxy)
    assert made.decide(signed(made, username=username, password="wrong")).status == 407


def test_the_algorithm_is_fixed_by_the_nonce():
    made = house(digest_algorithms="SHA-512-256 SHA-256 MD5")
    asked = [parse_auth(text).params for text in challenges(made.decide(call()))]
    for one in asked:
        for other in asked:
            answer = f'Digest realm="example.com", nonce="{one["nonce"]}", algorithm={other["algorithm"]}'
            decision = made.decide(call(credentials(answer, "INVITE", URI)))
            assert isinstance(decision, Proxy) == (one is other)


@pytest.mark.parametrize(
    ("offered", "used", "fine"),
    [
        ("auth", "auth", True),
        ("auth", "", True),
        ("auth", "auth-int", False),
        ("auth auth-int", "auth-int", True),
        ("auth-int auth", "auth", True),
        ("auth auth-int", "", True),
        ("auth-int", "auth-int", True),
        ("auth-int", "auth", False),
        ("auth-int", "", False),  # the body would be unprotected
        ("auth auth-int", "auth-conf", False),
        ("auth auth-int", "AUTH-INT", True),
    ],
)
def test_a_quality_of_protection_must_have_been_offered(offered, used, fine):
    made = house(digest_qop=offered)
    assert parse_auth(challenges(made.decide(call()))[0]).params["qop"] == offered.replace(" ", ",")
    decision = made.decide(signed(made, qop=used))
    assert isinstance(decision, Proxy) == fine
    if not fine:
        assert (decision.status, decision.marks) == (407, ())


@pytest.mark.parametrize(
    ("signed_body", "sent_body", "fine"),
    [
        (b"", b"", True),
        (b"v=0\r\n", b"v=0\r\n", True),
        (b"v=0\r\n", b"v=0\n", False),
        (b"v=0\r\n", b"v=0\r\n\r\n", False),
        (b"v=0\r\n", b"", False),
        (b"\x00\xff", b"\x00\xff", True),
        (b"--b\r\nA: b\r\n\r\nx\r\n--b--\r\n",) * 2 + (True,),
    ],
)
def test_auth_int_is_over_the_body_as_it_came(signed_body, sent_body, fine):
    made = house(digest_qop="auth auth-int")
    for challenge in challenges(made.decide(call())):
        text = credentials(challenge, "INVITE", URI, qop="auth-int", body=signed_body)
        assert isinstance(made.decide(call(text, body=sent_body)), Proxy) == fine


def test_an_algorithm_the_user_has_no_secret_for_is_not_offered():
    made = house()
    made.tables.users[ALICE] = user(ALICE, ha1_sha256="", ha1_sha256_full="")
    assert [parse_auth(text).params["algorithm"] for text in challenges(made.decide(call()))] == ["MD5"]
    assert isinstance(made.decide(signed(made)), Proxy)


def test_an_algorithm_not_offered_is_not_taken():
    both, sha = house(), house(digest_algorithms="SHA-256")
    assert sha.decide(signed(both, 1)).status == 407


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"password": "wrong"}, 407),
        ({"username": "bob"}, 403),  # it is his password, and alice's name in From
        ({"username": "nobody"}, 407),
        ({"response": '""'}, 407),
        ({"response": '"zz"'}, 407),
        ({"response": '"' + "0" * 400 + '"'}, 407),
        ({"nonce": '"x"'}, 407),
        ({"algorithm": "SHA-512"}, 407),
        ({"opaque": '"x"'}, 200),
        ({"nc": "1"}, 400),
        ({"nc": "zzzzzzzz"}, 400),
        ({"uri": '"sip:"'}, 400),
        ({"uri": '"sip:bob@elsewhere.example"'}, 400),
    ],
)
def test_answers_good_and_bad(changed, status):
    assert status_of(house(), **changed) == status


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Digest",
        "Digest username",
        'Digest username="alice',
        "Digest username=alice,,",
        'Digest realm="example.com"',
    ],
)
def test_unreadable_credentials_are_400(text):
    with pytest.raises(BadSyntax):
        house().decide(request("INVITE", URI, f"Proxy-Authorization: {text}"))


@pytest.mark.parametrize(
    "text",
    [
        "Basic YWxpY2U6c2VjcmV0",  # never taken: T115
        'Digest username="alice", realm="elsewhere.example", nonce="n", uri="sip:x", response="00"',
    ],
)
def test_credentials_for_another_count_as_none(text):
    decision = house().decide(call(text))
    assert (decision.status, decision.marks) == (407, ())


def test_ours_is_found_among_those_of_other_proxies():
    made = house()
    right = credentials(challenges(made.decide(call()))[0], "INVITE", URI)
    other = 'Digest username="alice", realm="elsewhere.example", nonce="n", uri="sip:x", response="00"'
    both = request("INVITE", URI, f"Proxy-Authorization: {other}", f"Proxy-Authorization: {right}")
    assert isinstance(made.decide(both), Proxy)


def test_a_phone_may_answer_every_challenge():
    """As baresip does: right is right, in whatever order, and wrong is one failure."""
    made = house()
    asked = challenges(made.decide(call()))
    for order in (asked, asked[::-1]):
        right = [f"Proxy-Authorization: {credentials(one, 'INVITE', URI)}" for one in order]
        broken = f"Proxy-Authorization: {credentials(order[0], 'INVITE', URI, password='wrong')}"
        assert isinstance(made.decide(request("INVITE", URI, broken, *right[1:])), Proxy)
        made.guard = Guard()
        wrong = [f"Proxy-Authorization: {credentials(one, 'INVITE', URI, password='wrong')}" for one in order]
        assert made.decide(request("INVITE", URI, *wrong)).marks == (LogInFailed("alice", "192.0.2.10", ALICE),)


def test_more_than_one_guess_in_a_request_is_not_looked_at():
    """T117: else two hundred would count as one."""
    made = house()
    asked = challenges(made.decide(call()))[0]
    lines = [
        f"Proxy-Authorization: {credentials(asked, 'INVITE', URI, password=word)}" for word in ("a", "b", PASSWORD)
    ]
    decision = made.decide(request("INVITE", URI, *lines))
    assert (decision.status, decision.marks) == (407, (LogInFailed("alice", "192.0.2.10", ALICE),))


def test_a_request_that_guesses_as_many_users_is_as_many_failures():
    made = house()
    asked = challenges(made.decide(call()))[0]
    names = [f"user{n}" for n in range(20)]
    lines = [f"Proxy-Authorization: {credentials(asked, 'INVITE', URI, username=name)}" for name in names]
    marks = made.decide(request("INVITE", URI, *lines)).marks
    assert sorted(mark.username for mark in marks) == sorted(names)


@pytest.mark.parametrize("name", ["jösé", "Jäsøn Doe", "мир", 'a"b\\c'])
@pytest.mark.parametrize("password", ["Secret, or not?", "☃ м:中", ""])
def test_names_and_passwords_are_of_any_letters(name, password):
    made = house()
    aor = f"{name}@example.com"
    made.tables.users[aor] = user_row(aor, "example.com", password)
    for text in challenges(made.decide(register())):
        answer = credentials(text, "REGISTER", "sip:example.com", username=name, password=password)
        inquiry = made.inquiry(register(f"Authorization: {answer}"))
        decide(inquiry, made.tables)
        assert inquiry.identity.user == aor


def test_a_count_used_is_stale_and_the_next_is_good():
    made = house()
    challenge = challenges(made.decide(call()))[0]
    tries = [made.decide(call(credentials(challenge, "INVITE", URI, count=nc))) for nc in (1, 1, 3, 2, 3)]
    assert [isinstance(decision, Proxy) for decision in tries] == [True, False, True, True, False]
    again = challenges(tries[1])
    assert all(parse_auth(text).params["stale"] == "true" for text in again)
    assert tries[1].marks == ()


@pytest.mark.parametrize(("later", "stale"), [(0, False), (300, False), (301, True), (-1, True)])
def test_a_nonce_is_good_for_its_life(later, stale):
    made = house()
    again = signed(made)
    made.wall += later
    decision = made.decide(again)
    assert isinstance(decision, Proxy) != stale
    if stale:
        assert parse_auth(challenges(decision)[0]).params["stale"] == "true"


def test_a_wrong_answer_to_an_old_nonce_is_not_called_stale():
    made = house()
    again = signed(made, password="wrong")
    made.wall += 1000
    decision = made.decide(again)
    assert "stale" not in parse_auth(challenges(decision)[0]).params
    assert decision.marks == (LogInFailed("alice", "192.0.2.10", ALICE),)


def test_a_nonce_made_for_another_realm_or_algorithm_is_stale():
    made = house()
    asked = parse_auth(challenges(made.decide(call()))[0]).params
    forged = f'Digest realm="example.com", nonce="{asked["nonce"]}", algorithm=MD5'
    decision = made.decide(call(credentials(forged, "INVITE", URI)))
    assert parse_auth(challenges(decision)[0]).params["stale"] == "true"


def test_unknown_user_and_wrong_password_look_the_same():
    made = house()
    unknown = "carol@example.com"
    answers = []
    for aor in (ALICE, unknown):
        first = made.answer(register(aor=aor))
        text = credentials(
            first.first("WWW-Authenticate"), "REGISTER", "sip:example.com", username=aor, password="wrong"
        )
        answers += [(first, aor), (made.answer(register(f"Authorization: {text}", aor=aor)), aor)]

    def shape(response, aor):
        params = [parse_auth(text).params for text in response.values("WWW-Authenticate")]
        return response.status, response.reason, response.names, [{**one, "nonce": len(one["nonce"])} for one in params]

    assert len({repr(shape(*each)) for each in answers}) == 1


@pytest.mark.parametrize("username", ["alice", "nobody"])
def test_an_unknown_user_costs_one_digest_as_a_known_one_does(monkeypatch, username):
    """T68: no clock is needed to see it."""
    made, verify, verified = house(), digest.verify, []
    text = credentials(challenges(made.decide(call()))[0], "INVITE", URI, username=username, password="wrong")

    def counted(*given):
        verified.append(given)
        return verify(*given)

    monkeypatch.setattr(digest, "verify", counted)
    assert made.decide(call(text)).status == 407
    assert len(verified) == 1


@pytest.mark.parametrize(
    ("from_", "fine"),
    [
        (f"<sip:{ALICE}>;tag=1", True),
        ("<sip:alice@EXAMPLE.com.>;tag=1", True),
        ("<sips:%61lice@example.com;user=phone>;tag=1", True),
        ("Anonymous <sip:anonymous@anonymous.invalid>;tag=1", True),
        (f"<sip:{BOB}>;tag=1", False),
        ("<sip:ALICE@example.com>;tag=1", False),
        ("<sip:alice@elsewhere.example>;tag=1", False),
        ("<tel:+123>;tag=1", False),
    ],
)
def test_from_must_be_his_own_or_anonymous(from_, fine):
    made = house()
    text = credentials(challenges(made.decide(call()))[0], "INVITE", URI)
    if fine:
        assert isinstance(made.decide(call(text, from_=from_)), Proxy)
        return
    # The refusal has a mark: the count is spent all the same.
    decision = made.decide(call(text, from_=from_))
    assert (decision.status, len(decision.marks)) == (403, 1)


@pytest.mark.parametrize("level", ["never", "requested", "required"])
def test_what_a_level_means_without_credentials(level):
    made = house()
    made.tables.users[ALICE] = user(ALICE, level=level)
    results = []
    for _ in range(2):
        inquiry = made.inquiry(call())
        decision = decide(inquiry, made.tables)
        made.note(decision)
        results.append(decision.status if isinstance(decision, Respond) else inquiry.identity)
    assert results == {"never": [(ALICE, "")] * 2, "requested": [407, ("", "")], "required": [407, 407]}[level]


def test_requested_remembers_the_call_not_the_caller():
    made = house()
    made.tables.users[ALICE] = user(ALICE, level="requested")
    assert made.decide(call(call_id="one")).marks == (Challenged("one"),)
    assert made.decide(call(call_id="two")).status == 407


@pytest.mark.parametrize("level", ["never", "requested"])
def test_a_wrong_password_does_not_stop_a_call_that_needs_none(level):
    made = house()
    made.tables.users[ALICE] = user(ALICE, level=level)
    text = credentials('Digest realm="example.com", nonce="x", algorithm=MD5', "INVITE", URI, password="wrong")
    decision = made.decide(call(text))
    assert isinstance(decision, Proxy)
    assert decision.marks == (LogInFailed("alice", "192.0.2.10", ALICE),)


def test_register_is_challenged_whatever_the_level():
    made = house()
    made.tables.users[ALICE] = user(ALICE, level="never")
    assert made.decide(register()).status == 401


ANONYMOUS = "Anonymous <sip:anonymous@anonymous.invalid>;tag=1"


def anonymous_call(made, *headers, uri="sip:x@else.example", near=None):
    inquiry = made.inquiry(request("INVITE", uri, *headers, from_=ANONYMOUS))
    inquiry.near = near
    return decide(inquiry, made.tables)


@pytest.mark.parametrize(
    ("uri", "host_name", "near", "realm"),
    [
        ("sip:x@else.example", "other.example", None, "other.example"),  # the domain this server is named by
        ("sip:x@else.example", "sip.example.com", Hop("UDP", "192.0.2.1", 5060), "example.com"),  # its address's
        ("sip:x@else.example", "sip.example.com", None, "sip.example.com"),
        ("sip:x@else.example", "", None, "sip"),
    ],
)
def test_the_realm_for_an_anonymous_caller_is_one_he_can_answer_for(uri, host_name, near, realm):
    decision = anonymous_call(house(host_name=host_name), uri=uri, near=near)
    assert parse_auth(challenges(decision)[0]).params["realm"] == realm


def test_an_anonymous_caller_proves_himself_by_the_credentials_he_was_asked_for():
    made = house(host_name="example.com")
    answer = credentials(challenges(anonymous_call(made))[0], "INVITE", "sip:x@else.example")
    assert isinstance(anonymous_call(made, f"Proxy-Authorization: {answer}"), Proxy)


def test_a_preferred_identity_hints_whose_credentials_to_ask_for():
    """RFC 3325 §6 and the example in §10.2: From is anonymous, the hint names the user, whose realm is his own."""
    made, hint = house(), f"P-Preferred-Identity: <sip:{ALICE}>"
    made.tables.users[ALICE] = user(ALICE, realm="Our House", ha1_md5=ha1("alice", "Our House", PASSWORD))
    asked = challenges(anonymous_call(made, hint))[-1]
    assert parse_auth(asked).params["realm"] == "Our House"
    answer = credentials(asked, "INVITE", "sip:x@else.example")
    assert isinstance(anonymous_call(made, hint, f"Proxy-Authorization: {answer}"), Proxy)
    assert anonymous_call(made, "P-Preferred-Identity: <sip:alice@").status == 407, "what can't be read hints nothing"


def test_realm_is_the_users_own():
    made = house()
    made.tables.users[ALICE] = user(ALICE, realm="Our House")
    assert parse_auth(challenges(made.decide(call()))[0]).params["realm"] == "Our House"


def test_ack_is_never_challenged():
    with pytest.raises(Forbidden):
        house().decide(request("ACK", "sip:x@elsewhere.example"))
    assert isinstance(house().decide(request("ACK", URI)), Relay)


def test_ack_passes_with_the_credentials_of_its_invite():
    """§22.1: their count is spent, and their digest is of another method."""
    made = house()
    invite = signed(made)
    assert isinstance(made.decide(invite), Proxy)
    ack = request("ACK", URI, f"Proxy-Authorization: {invite.first('Proxy-Authorization')}")
    assert isinstance(made.decide(ack), Relay)


@pytest.mark.parametrize(
    ("how", "uri", "fine"),
    [
        ("host", "sip:example.com", True),
        ("host", "sip:carol@example.com:5070;transport=tcp", True),
        ("host", "sip:bob@192.0.2.1", True),  # both are ours
        ("host", "sip:bob@elsewhere.example", False),
        ("strict", "sip:bob@example.com;transport=tcp", True),
        ("strict", "sip:carol@example.com", False),
        ("strict", "sips:bob@example.com", False),
        ("off", "sip:any@elsewhere.example", True),
    ],
)
def test_digest_uri_check(how, uri, fine):
    made = house(digest_uri_check=how)
    text = credentials(challenges(made.decide(call()))[0], "INVITE", uri)
    decision = made.decide(call(text))
    if fine:
        assert isinstance(decision, Proxy)
    else:
        assert decision.status == 400
        assert decision.marks == (UriDiffers("192.0.2.10", "alice", uri, URI),)


def test_authentication_off_takes_from_at_its_word():
    made = house(auth="none")
    for from_, identity in [(ALICE, (ALICE, "")), ("x@elsewhere.example", ("", "")), ("carol@example.com", ("", ""))]:
        inquiry = made.inquiry(call(from_=f"<sip:{from_}>;tag=1"))
        assert isinstance(decide(inquiry, made.tables), Proxy)
        assert inquiry.identity == identity


def test_asking_again_after_a_missing_row_counts_nothing_twice():
    made = house()
    right = signed(made)
    inquiry = made.inquiry(right)
    made.tables.unknown = {("user", BOB)}
    for handed_out in (1, 0):
        with pytest.raises(Missing) as missing:
            decide(inquiry, made.tables)
        assert len(missing.value.marks) == handed_out
        made.note(missing.value)
        assert not inquiry.admitted
    made.tables.unknown = set()
    decision = decide(inquiry, made.tables)
    assert isinstance(decision, Proxy)
    assert decision.marks == ()
    assert inquiry.admitted


def test_a_copy_that_comes_while_a_row_is_awaited_finds_the_count_used():
    """T11: the count is spent when it is found right, not when the decision has been made."""
    made = house()
    right = signed(made)
    made.tables.unknown = {("user", BOB)}
    with pytest.raises(Missing) as missing:
        decide(made.inquiry(right), made.tables)
    made.note(missing.value)
    made.tables.unknown = set()
    assert parse_auth(challenges(made.decide(right))[0]).params["stale"] == "true"


def test_a_wrong_password_is_counted_once_though_a_row_was_missing():
    made = house()
    made.tables.users[ALICE] = user(ALICE, level="never")
    text = credentials(challenges(made.decide(register()))[0], "INVITE", URI, password="wrong")
    inquiry = made.inquiry(call(text))
    made.tables.unknown = {("user", BOB)}
    with pytest.raises(Missing) as missing:
        decide(inquiry, made.tables)
    assert [type(mark) for mark in missing.value.marks] == [LogInFailed]
    made.tables.unknown = set()
    assert decide(inquiry, made.tables).marks == ()


def test_same_request_same_nonce_and_another_phones_is_another():
    made = house()
    assert challenges(made.decide(call())) == challenges(made.decide(call()))
    other = made.decide(call(), source=PHONE._replace(port=5099))
    assert not set(challenges(made.decide(call()))) & set(challenges(other))


@pytest.mark.parametrize(
    ("uri", "anonymous"),
    [("sip:anonymous@anonymous.invalid", True), ("sip:x@Anonymous.Invalid.", True), ("tel:1", False), (URI, False)],
)
def test_anonymous(uri, anonymous):
    assert is_anonymous(parse_uri(uri)) is anonymous


@pytest.mark.parametrize(
    ("from_", "status"),
    [
        ("al@example.com", 200),  # an alias of his
        ("team@example.com", 200),  # a group that he is in
        ("bobs@example.com", 403),  # an alias of another
        (BOB, 403),
        ("bob2@example.com", 403),
    ],
)
def test_from_may_be_an_alias_of_his(from_, status):
    made = House()
    made.tables.aliases = {
        "al@example.com": (ALICE,),
        "team@example.com": (ALICE, BOB),
        "bobs@example.com": (BOB,),
        BOB: (ALICE,),  # there is a user of that name: the user wins
    }
    made.tables.contacts[BOB] = [Binding(BOB, "sip:bob@192.0.2.20", expires_at=WALL + 100)]
    uri = f"sip:{BOB}"
    asked = made.answer(request("INVITE", uri, from_=f"<sip:{ALICE}>;tag=a")).first("Proxy-Authenticate") or ""
    sent = request(
        "INVITE", uri, f"Proxy-Authorization: {credentials(asked, 'INVITE', uri)}", from_=f"<sip:{from_}>;tag=a"
    )
    decision = made.decide(sent)
    assert (decision.status if isinstance(decision, Respond) else 200) == status


def test_every_step_of_it_has_words():
    """`sipdctl explain` says what was seen, not only that something was."""
    made, seen = house(), set()
    asked = challenges(made.decide(call()))[0]
    tries = [
        call(),
        signed(made),
        *(call(credentials(asked, "INVITE", URI, password="wrong", count=n)) for n in range(7)),
    ]
    tries.append(call(credentials(asked, "INVITE", "sip:bob@elsewhere.example")))
    tries.append(call(credentials(asked, "INVITE", URI, count=1), from_=f"<sip:{BOB}>;tag=1"))
    for one in tries:
        inquiry = made.inquiry(one)
        made.note(decide(inquiry, made.tables))
        seen |= {(step.step, step.chose) for step in inquiry.trace if step.step == "identify"}
    assert {chose for _, chose in seen} >= {"challenge", "digest", "wrong", "held", "stale", "digest uri mismatch"}
    assert seen <= WORDS.keys()
