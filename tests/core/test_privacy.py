"""Peers, asserted identity and privacy in decisions and in what is sent on (RFC 3323, RFC 3325, T63, T66, T87)."""

from __future__ import annotations

import pytest

from sipd.core.decision import Proxy, Relay, Respond
from sipd.core.forwarding import Passage, forwarded_copy
from sipd.core.inquiry import Identity
from sipd.core.policy import decide
from sipd.core.privacy import assertion, believed, identities, is_private, shown, unmet
from sipd.errors import BadExtension, Forbidden, NotFound, SipError, TemporarilyUnavailable
from sipd.hop import Hop, Target
from sipd.message import Response, parse, parse_uri, response_to
from sipd.rows import Binding, Peer
from tests.core.tables import ALICE, BOB, SEAL, WALL, House, register, request, user

GATEWAY = Hop("TCP", "192.0.2.77", 5060)
STRANGER = Hop("UDP", "198.51.100.9", 5060)
CLAIMS = (
    "P-Asserted-Identity: <sip:alice@example.com>",
    'Remote-Party-ID: "A" <sip:alice@example.com>;party=calling',
    "P-Preferred-Identity: <sip:alice@example.com>",
    "X-Sipd-Class: gold",
)


def house(*peers, **settings):
    made = House()
    made.tables.set(**settings)
    made.tables.contacts[BOB] = [Binding(BOB, "sip:bob@192.0.2.20", expires_at=WALL + 10_000)]
    made.tables.peers = list(peers) or [Peer("gateway", "192.0.2.77", "pstn"), Peer("isp", "cert:sip.isp.example")]
    return made


def admitted(made, sent, source=GATEWAY, names=()):
    """The inquiry after the decision about it, and the decision."""
    inquiry = made.inquiry(sent, source)
    inquiry.names = names
    decision = decide(inquiry, made.tables)
    return inquiry, decision


def foreign(*more, method="INVITE", **kwargs):
    return request(method, "sip:+1555@carrier.example", *more, **kwargs)


# --- who is a peer, and what he may (T63) ---------------------------------------------------------


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "OPTIONS", "FROBNICATE"])
@pytest.mark.parametrize(
    "from_", [f"<sip:{ALICE}>;tag=a", "<sip:+1212@192.0.2.77>;tag=a", "<sip:anonymous@anonymous.invalid>;tag=a"]
)
def test_a_peer_is_not_challenged_and_may_relay(method, from_):
    inquiry, decision = admitted(house(), foreign(method=method, from_=from_))
    assert isinstance(decision, Proxy)
    assert (inquiry.identity, inquiry.peer.name) == (Identity("", "peer"), "gateway")
    assert ("identify", "gateway", "peer") in inquiry.trace


def test_a_peer_is_known_by_its_certificate_too():
    _, decision = admitted(house(), foreign(), STRANGER, names=("sip.isp.example",))
    assert isinstance(decision, Proxy)
    with pytest.raises(Forbidden):
        admitted(house(), foreign(from_="<sip:x@else.example>;tag=a"), STRANGER, names=("other.example",))


def test_the_ack_of_a_peer_passes_without_our_seal():
    assert isinstance(admitted(house(), foreign(method="ACK", to="<sip:x@y.example>;tag=t"))[1], Relay)


def test_strangers_are_asked_as_ever():
    assert admitted(house(), foreign(), STRANGER)[1].status == 407
    with pytest.raises(Forbidden):
        admitted(house(), foreign(from_="<sip:x@else.example>;tag=a"), STRANGER)


def test_a_peer_does_not_register_for_users():
    """A peer knows who calls; a binding takes the user's own proof (T13)."""
    decision = admitted(house(), register(f"Contact: <sip:alice@{GATEWAY.host}>", *CLAIMS[:1]))[1]
    assert isinstance(decision, Respond)
    assert decision.status == 401


def test_with_authentication_off_a_peer_is_a_peer_still():
    made = house(auth="none")
    inquiry, _ = admitted(made, foreign(from_=f"<sip:{ALICE}>;tag=a"))
    assert inquiry.identity == Identity("", "peer")


def test_who_is_unknown_here_is_said_to_a_peer_and_not_to_strangers():
    with pytest.raises(NotFound):
        admitted(house(), request("INVITE", "sip:nobody@example.com", from_="<sip:x@else.example>;tag=a"))
    with pytest.raises(TemporarilyUnavailable):
        admitted(house(), request("INVITE", "sip:nobody@example.com", from_="<sip:x@else.example>;tag=a"), STRANGER)


# --- whom a peer names (RFC 3325 §5, §9.1) ----------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "who"),
    [
        (["<sip:alice@example.com>"], ALICE),
        (["<sips:alice@EXAMPLE.com.>"], ALICE),
        (["sip:%61lice@example.com"], ALICE),
        (['"A, B" <sip:alice@example.com>', "<tel:+1555>"], ALICE),
        (["<tel:+1555>, <sip:alice@example.com>"], ALICE),
        (["<tel:+1555>"], ""),
        (["<sip:nobody@example.com>"], ""),
        (["<sip:alice@else.example>"], ""),
    ],
)
def test_a_user_of_ours_whom_a_peer_names_is_as_good_as_authenticated(values, who):
    sent = foreign(*(f"P-Asserted-Identity: {value}" for value in values), from_="<sip:anything@x.example>;tag=a")
    inquiry, _ = admitted(house(), sent)
    assert inquiry.identity == Identity(who, "peer")
    assert inquiry.request.values("P-Asserted-Identity") == sent.values("P-Asserted-Identity"), "kept as it came"


@pytest.mark.parametrize(
    "values",
    [
        ["<sip:alice@example.com>", "<sip:bob@example.com>"],
        ["<sip:alice@example.com>, <sips:alice@example.com>"],
        ["<tel:+1>", "<tel:+2>"],
        ["<sip:alice@example.com>", "<tel:+1>", "<tel:+1>"],
        ["<mailto:alice@example.com>"],
        ["<sip:alice@example.com"],
        [""],
    ],
)
def test_an_identity_that_is_not_one_is_taken_off_even_from_a_peer(values):
    inquiry, decision = admitted(house(), foreign(*(f"P-Asserted-Identity: {value}" for value in values)))
    assert isinstance(decision, Proxy)
    assert inquiry.identity == Identity("", "peer")
    assert "P-Asserted-Identity" not in inquiry.request.names


@pytest.mark.parametrize("spelling", ["{}", "{} ", "{}\t"])
@pytest.mark.parametrize("claim", CLAIMS)
def test_claims_of_others_are_taken_off(claim, spelling):
    name, _, value = claim.partition(":")
    sent = request("INVITE", f"sip:{BOB}", f"{spelling.format(name.lower())}:{value}", claim, from_="<sip:x@y.z>;tag=a")
    inquiry, decision = admitted(house(), sent, STRANGER)
    assert isinstance(decision, Proxy)
    assert sorted(set(inquiry.request.names)) == sorted(set(request().names))
    assert inquiry.request.via is sent.via, "nothing else is read again"


def test_claims_in_a_dialog_are_taken_off_too():
    route = f"Route: <sip:192.0.2.1:5060;lr;sd={SEAL.mark('record-route', 'call-1', 'a1')}>"
    sent = request("BYE", "sip:bob@192.0.2.20", route, *CLAIMS, to=f"<sip:{BOB}>;tag=b1")
    inquiry, decision = admitted(house(), sent, STRANGER)
    assert isinstance(decision, Proxy)
    assert inquiry.in_dialog
    assert not {"P-Asserted-Identity", "Remote-Party-ID", "P-Preferred-Identity", "X-Sipd-Class"} & set(
        inquiry.request.names
    )


def test_a_peer_keeps_what_it_says_but_for_the_wish():
    inquiry, _ = admitted(house(), foreign(*CLAIMS))
    names = set(inquiry.request.names)
    assert {"P-Asserted-Identity", "Remote-Party-ID", "X-Sipd-Class"} <= names
    assert "P-Preferred-Identity" not in names, "it is a wish to the first proxy only (RFC 3325 §6)"


def test_an_ack_carries_no_identity():
    inquiry, _ = admitted(house(), foreign(CLAIMS[0], method="ACK", to="<sip:x@y.example>;tag=t"))
    assert "P-Asserted-Identity" not in inquiry.request.names


# --- what we assert ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aor", "name", "values"),
    [
        ("alice@example.com", "", ("<sip:alice@example.com>",)),
        ("alice@example.com", 'Al "x" Ice', ('"Al \\"x\\" Ice" <sip:alice@example.com>',)),
        ("+15551234@example.com", "", ("<sip:+15551234@example.com>", "<tel:+15551234>")),
        ("207@example.com", "", ("<sip:207@example.com>", "<tel:207;phone-context=example.com>")),
        ("207@192.0.2.1", "", ("<sip:207@192.0.2.1>",)),
        ("a b\xe9@example.com", "", ("<sip:a%20b%C3%A9@example.com>",)),
    ],
)
def test_the_user_is_asserted_by_address_and_number(aor, name, values):
    made = house()
    made.tables.users[aor] = user(aor, full_name=name)
    assert assertion(Identity(aor, "digest"), made.tables) == values


@pytest.mark.parametrize("identity", [Identity(""), Identity(ALICE), Identity(ALICE, "peer")])
def test_nobody_is_asserted_who_did_not_prove_himself_here(identity):
    assert assertion(identity, house().tables) == ()


def copy(sent, *, to_peer=False, asserted=()):
    target, near = Target(parse_uri("sip:bob@192.0.2.20:5062")), "192.0.2.1:5060"
    passage = Passage(target, "z9hG4bKours", near, "UDP", near, "UDP", True, SEAL, to_peer=to_peer, asserted=asserted)
    return parse(forwarded_copy(sent, passage))


OURS = ("<sip:alice@example.com>", "<tel:+1555>")


def test_a_peer_is_told_who_calls():
    assert copy(request(), to_peer=True, asserted=OURS).values("P-Asserted-Identity") == list(OURS)
    assert copy(request("INVITE", f"sip:{BOB}", "Privacy: id"), to_peer=True, asserted=OURS).values(
        "P-Asserted-Identity"
    ) == list(OURS), "privacy is for those outside"


@pytest.mark.parametrize(
    ("from_", "privacy", "told"),
    [
        (f"<sip:{ALICE}>;tag=a", (), []),
        ("<sip:anonymous@anonymous.invalid>;tag=a", (), ["id"]),
        ("<sip:anonymous@anonymous.invalid>;tag=a", ("Privacy: none",), ["none"]),
        ("<sip:anonymous@anonymous.invalid>;tag=a", ("Privacy: id;critical",), ["id;critical"]),
    ],
)
def test_a_peer_is_told_that_an_anonymous_caller_wants_to_stay_so(from_, privacy, told):
    out = copy(request("INVITE", f"sip:{BOB}", *privacy, from_=from_), to_peer=True, asserted=OURS)
    assert out.values("P-Asserted-Identity") == list(OURS)
    assert out.values("Privacy") == told


@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
def test_what_carries_no_identity_is_given_none(method):
    assert "P-Asserted-Identity" not in copy(request(method), to_peer=True, asserted=OURS).names


def test_what_servers_of_ours_tell_each_other_goes_to_nobody_else():
    sent = foreign("X-Sipd-Class: gold")
    assert "X-Sipd-Class" in copy(sent, to_peer=True).names
    assert "X-Sipd-Class" not in copy(sent).names
    assert "X-Sipd-Class" not in shown(answer("X-Sipd-Class: gold")).names


def test_what_another_peer_has_said_stays():
    sent = foreign("P-Asserted-Identity: <tel:+1999>")
    assert copy(sent, to_peer=True, asserted=OURS).values("P-Asserted-Identity") == ["<tel:+1999>"]


@pytest.mark.parametrize(
    ("privacy", "from_", "leaves"),
    [
        (None, f"<sip:{ALICE}>;tag=a", True),
        (None, '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=a', False),
        (None, "<sip:anonymous@example.com>;tag=a", False),
        ("none", "<sip:anonymous@anonymous.invalid>;tag=a", True),
        ("id", f"<sip:{ALICE}>;tag=a", False),
        ("ID;critical", f"<sip:{ALICE}>;tag=a", False),
        ("header ; id", f"<sip:{ALICE}>;tag=a", False),
        ("user", f"<sip:{ALICE}>;tag=a", False),
        ("header,session", f"<sip:{ALICE}>;tag=a", False),
    ],
)
def test_an_asserted_identity_leaves_the_trust_domain_only_where_it_is_not_private(privacy, from_, leaves):
    more = () if privacy is None else (f"Privacy: {privacy}",)
    sent = foreign("P-Asserted-Identity: <tel:+1999>", "Remote-Party-ID: <sip:a@b.c>", *more, from_=from_)
    out = copy(sent)
    assert ("P-Asserted-Identity" in out.names, "Remote-Party-ID" in out.names) == (leaves, leaves)
    assert out.values("Privacy") == sent.values("Privacy"), "as in the example of RFC 3325 §10.2"
    assert "P-Asserted-Identity" in copy(sent, to_peer=True).names


def test_a_request_without_any_of_this_goes_on_byte_for_byte():
    with_unknown = request("INVITE", f"sip:{BOB}", "X-Whatever:  odd ")
    plain = copy(with_unknown)
    assert "X-Whatever:  odd " in plain.lines
    assert len(plain.names) == len(with_unknown.names) + 3, "our Via, Record-Route and Max-Breadth"


# --- responses -----------------------------------------------------------------------------------------


def answer(*headers):
    return response_to(request(), 200, to_tag="b", headers=tuple(tuple(text.split(": ", 1)) for text in headers))


def test_a_response_brings_only_a_peers_claims():
    said = answer("P-Asserted-Identity: <sip:bob@example.com>", "Remote-Party-ID: <sip:b@c.d>", "X-Sipd-A: 1")
    assert not {"P-Asserted-Identity", "Remote-Party-ID", "X-Sipd-A"} & set(believed(said, from_peer=False).names)
    assert believed(said, from_peer=True) is said
    two = answer("P-Asserted-Identity: <sip:a@b.c>, <sip:d@e.f>", "P-Preferred-Identity: <sip:a@b.c>")
    assert believed(two, from_peer=True).names == answer().names


def test_what_the_callee_wants_private_is_shown_to_peers_only():
    said = answer("P-Asserted-Identity: <tel:+1>", "Privacy: id")
    assert "P-Asserted-Identity" not in shown(said).names
    for open_one in (answer("P-Asserted-Identity: <tel:+1>"), answer("P-Asserted-Identity: <tel:+1>", "Privacy: none")):
        assert shown(open_one) is open_one
    assert isinstance(parse(bytes(shown(said))), Response)


# --- privacy that a proxy can't give (RFC 3323 §4.2, §4.3, §5) ---------------------------------------------


@pytest.mark.parametrize(
    ("privacy", "missing"),
    [
        ("id;critical", ()),
        ("header", ()),
        ("none", ()),
        ("none;critical", ()),
        ("header;session;critical", ("header", "session")),
        ("critical; USER", ("user",)),
        ("header;critical;x-made-up\tthing", ("header", "other")),
        ("", ()),
    ],
)
def test_critical_privacy_that_we_cannot_give(privacy, missing):
    assert unmet(request("INVITE", f"sip:{BOB}", f"Privacy: {privacy}")) == missing


def test_a_register_with_critical_privacy_is_refused_here():
    with pytest.raises(SipError, match="Privacy Not Available: user") as refusal:
        admitted(house(), register("Contact: <sip:alice@192.0.2.9>", "Privacy: user;critical"))
    assert refusal.value.status == 500
    assert admitted(house(), register("Contact: <sip:alice@192.0.2.9>", "Privacy: user"))[1].status == 401


def test_the_inquiry_remembers_what_only_a_peer_might_give():
    inquiry, _ = admitted(house(), foreign("Privacy: session;critical"))
    assert inquiry.unmet_privacy == ("session",)


@pytest.mark.parametrize(
    ("privacy", "understood"),
    [("id", True), ("id;critical", True), ("none", True), ("header", False), ("user;id", False)],
)
def test_proxy_require_privacy_is_understood_where_all_of_it_can_be_given(privacy, understood):
    sent = foreign(f"Privacy: {privacy}", "Proxy-Require: privacy")
    if understood:
        assert isinstance(admitted(house(), sent)[1], Proxy)
    else:
        with pytest.raises(BadExtension) as refusal:
            admitted(house(), sent)
        assert refusal.value.headers == (("Unsupported", "privacy"),)


def test_the_tag_goes_once_all_is_done():
    sent = foreign("Privacy: id", "Proxy-Require: privacy, pref")
    assert copy(sent).values("Proxy-Require") == ["pref"]
    assert copy(foreign("Privacy: id", "Proxy-Require: privacy")).values("Proxy-Require") == []
    assert copy(sent, to_peer=True).values("Proxy-Require") == ["privacy", "pref"], "the peer has it still to do"


def test_a_from_that_cannot_be_read_counts_as_private():
    made = parse(bytes(request()).replace(f"<sip:{ALICE}>".encode(), b"<sip:alice@"))
    assert is_private(made)


def test_no_identity_is_no_identity():
    assert identities(request()) == ()
