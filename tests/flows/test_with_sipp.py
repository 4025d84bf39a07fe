"""RFC 3665 §2 and §3 with SIPp phones and running sipds, over sockets: order and fields as the phones see them.

The figures hop by hop, with every rule, are in test_rfc3665_registrar.py and
test_rfc3665_sessions.py; here both ends are another's software. Each test
looks at what the phones heard and at what each sipd remembers of the call.
"""

from __future__ import annotations

import re
import socket
from hashlib import md5

import pytest

from tests import wire
from tests.flows.house import House
from tests.flows.scenario import Player, Script, heard
from tests.running import HERE, free_port, stop_all

ATLANTA, BILOXI = "atlanta.test", "biloxi.test"
ALICE = f"alice@{ATLANTA}"
PASSWORD, IN_BILOXI = "pw-alice", "alice-in-biloxi"


class Town:
    """The servers of all flows, started when first needed; Bob's phone has one port, by UDP and by TCP."""

    def __init__(self, directory):
        self.directory = directory
        self.bob = free_port()
        self.nobody = 9  # the port of one who never answers
        self._houses = {}

    def house(self, name):
        if name not in self._houses:
            self._houses[name] = getattr(self, f"_{name}")()
        return self._houses[name]

    def _bindings(self):
        ways = (("bob", "udp"), ("rob", "tcp"))
        found = {name: f"sip:{name}@{HERE}:{self.bob};transport={transport}" for name, transport in ways}
        return {**found, "nobody": f"sip:nobody@{HERE}:{self.nobody}"}

    def _made(self, name, domains, users, bindings, **settings):
        return House(self.directory / name, domains, users, bindings, digest_algorithms="MD5", **settings)

    def _proxy1(self):
        return self._made("proxy1", (ATLANTA,), {ALICE: (ATLANTA, PASSWORD)}, {})

    def _people(self):
        return {f"{name}@{BILOXI}": (BILOXI, f"pw-{name}") for name in ("bob", "rob", "dave", "nobody")}

    def _proxy2(self):
        return self._made("proxy2", (BILOXI,), self._people(), self._bindings(), auth="none")

    def _asking(self):
        """Proxy 2 where it asks Alice who she is, in its own realm."""
        users = {**self._people(), ALICE: (BILOXI, IN_BILOXI)}
        return self._made("asking", (BILOXI, ATLANTA), users, self._bindings())

    def _leaving(self):
        """Proxy 2 where it doesn't stay in the dialog."""
        return self._made("leaving", (BILOXI,), self._people(), self._bindings(), auth="none", record_route=False)

    def _redirecting(self):
        moved = {"bob": f"sip:rob@{BILOXI};transport=tcp"}
        return self._made("redirecting", (BILOXI,), self._people(), moved, auth="none", mode="redirect")

    def stop(self):
        for house in self._houses.values():
            house.stop()


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    made = Town(tmp_path_factory.mktemp("town"))
    yield made
    try:
        made.stop()
    finally:
        stop_all()


def caller(town, words, directory, *, server, to="bob", route="", transport="udp", password=PASSWORD, port=0, **more):
    """Alice's phone."""
    script = Script(words, aor=ALICE, callee=f"{to}@{BILOXI}", password=password, route=route, **more)
    return Player(script, directory, "alice", server=town.house(server).port, port=port, transport=transport)


def callee(town, words, directory, *, server="proxy2", hops=3, transport="udp"):
    """Bob's phone, where he is registered."""
    script = Script(words, aor=f"bob@{BILOXI}", callee="", password="", hops=hops)
    player = Player(script, directory, "bob", server=town.house(server).port, port=town.bob, transport=transport)
    return player.listening()


def through_both(town, transport="udp"):
    """Routes by Proxy 1 to Proxy 2: no DNS knows these names."""
    two = town.house("proxy2").route
    return f"{town.house('proxy1').route}, {two.replace(';lr', ';transport=tcp;lr') if transport == 'tcp' else two}"


@pytest.fixture(scope="module", autouse=True)
def unanswered(town, tmp_path_factory):
    """Flow 3.10 under way: Alice's phone, and the socket that Bob's contact leads to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((HERE, 0))
        town.nobody = silent.getsockname()[1]
        words = IS_ASKED + "< 408\n> ACK"
        directory = tmp_path_factory.mktemp("unanswered")
        yield caller(town, words, directory, server="proxy1", to="nobody", route=through_both(town)), silent


def call_id(messages):
    (known,) = {message.values("Call-ID")[0] for message in messages}
    return known


def vias(message):
    return [value.partition(" ")[2].partition(";")[0] for value in message.values("Via")]


ANSWERS = """
    < INVITE
    > 180
    > 200 sdp
    < ACK
"""
HANGS_UP = "> BYE\n< 200"
IS_HUNG_UP = "< BYE\n> 200"
IS_ASKED = """
    > INVITE sdp
    ? 100
    < 407
    > ACK
    > INVITE proven sdp
    ? 100
"""


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_2_1_to_2_4_registrations(town, tmp_path, transport):
    """New, update, query, cancel: one phone, which answers later with the nonce it has, and is not asked again."""
    words = """
        > REGISTER Contact=<sip:dave@127.0.0.1:9>
        < 401
        > REGISTER Contact=<sip:dave@127.0.0.1:9> proven
        < 200
        > REGISTER Contact=<tel:+15555550100> proven
        < 200
        > REGISTER proven
        < 200
        > REGISTER Contact=* Expires=0 proven
        < 200
        > REGISTER proven
        < 200
    """
    dave = f"dave@{BILOXI}"
    script = Script(words, aor=dave, callee=dave, password="pw-dave")
    messages = Player(script, tmp_path, "dave", server=town.house("asking").port, transport=transport).finish()
    assert heard(messages) == ["401", "200", "200", "200", "200", "200"]
    oks = [message for message in messages if message.start_line.startswith("SIP/2.0 200")]
    first, both, asked, none, after = [
        [value.partition(";")[0] for value in message.values("Contact")] for message in oks
    ]
    assert "<sip:dave@127.0.0.1:9>" in first
    assert "<tel:+15555550100>" in both
    assert asked == both
    assert none == after == []
    house = town.house("asking")
    assert [status for _, status in house.explained(call_id(messages))] == [401, 200, 200, 200, 200, 200]


def test_2_5_unsuccessful_registration(town, tmp_path):
    words = """
        > REGISTER Contact=<sip:dave@127.0.0.1:9>
        < 401
        > REGISTER Contact=<sip:dave@127.0.0.1:9> proven
        < 401
    """
    dave = f"dave@{BILOXI}"
    script = Script(words, aor=dave, callee=dave, password="not-his")
    messages = Player(script, tmp_path, "dave", server=town.house("asking").port).finish()
    assert heard(messages) == ["401", "401"]
    nonces = [re.findall('nonce="(.*?)"', message.text)[0] for message in messages if not message.sent]
    assert nonces[0] != nonces[1]
    assert ("identify", "wrong") in town.house("asking").steps(call_id(messages))


def test_3_1_successful_session_establishment(town, tmp_path):
    """Through one proxy, over TCP."""
    bob = callee(town, ANSWERS + HANGS_UP, tmp_path, hops=2, transport="tcp")
    words = "> INVITE sdp\n? 100\n< 180\n< 200\n> ACK\n" + IS_HUNG_UP
    alice = caller(town, words, tmp_path, server="proxy2", to="rob", transport="tcp")
    messages, at_bob = alice.finish(), bob.finish()
    assert heard(messages) == ["180", "200", "BYE"]
    assert heard(at_bob) == ["INVITE", "ACK", "200"]
    assert town.house("proxy2").explained(call_id(messages)) == [("INVITE", 200), ("BYE", 200)]


def test_3_2_session_establishment_through_two_proxies(town, tmp_path):
    bob = callee(town, ANSWERS + HANGS_UP, tmp_path, transport="tcp")
    words = IS_ASKED + "< 180\n< 200\n> ACK\n" + IS_HUNG_UP
    alice = caller(town, words, tmp_path, server="proxy1", to="rob", route=through_both(town, "tcp"), transport="tcp")
    messages, at_bob = alice.finish(), bob.finish()
    assert heard(messages) == ["407", "180", "200", "BYE"]
    assert heard(at_bob) == ["INVITE", "ACK", "200"]
    one, two = (f"{HERE}:{town.house(name).port}" for name in ("proxy1", "proxy2"))
    invite, ack = at_bob[0], next(message for message in at_bob if message.start_line.startswith("ACK"))
    for request in (invite, ack):
        assert vias(request) == [two, one, f"{HERE}:{alice.port}"]
        assert request.values("Max-Forwards") == ["68"]
        assert not request.values("Route")
    assert not invite.values("Proxy-Authorization")
    routes = ",".join(invite.values("Record-Route"))
    places = re.findall(r"sip:(?:[^@>]+@)?([\d.:]+)", routes)
    assert list(dict.fromkeys(places)) == [two, one], "each server's two values together, the last server's on top"
    bye = next(message for message in messages if message.start_line.startswith("BYE"))
    assert vias(bye) == [one, two, f"{HERE}:{town.bob}"]
    told = call_id(messages)
    assert town.house("proxy1").explained(told) == [("INVITE", 407), ("INVITE", 200), ("BYE", 200)]
    assert town.house("proxy2").explained(told) == [("INVITE", 200), ("BYE", 200)]


def proof(town, house, realm, password):
    """A Proxy-Authorization line for Alice's INVITE to Bob, by a nonce asked for before; `{nc}` is to be filled in."""
    port = town.house(house).port
    with wire.Asker(port) as asker:
        answer = asker.ask(wire.request("INVITE", f"sip:bob@{BILOXI}", asker.port, user="alice", domain=ATLANTA))
    assert answer
    nonce = re.findall('nonce="(.*?)"', answer)[0]
    secret, a2 = wire.ha1("alice", realm, password), _md5(f"INVITE:sip:bob@{BILOXI}")
    lines = [
        f'Proxy-Authorization: Digest username="alice", realm="{realm}", nonce="{nonce}", uri="sip:bob@{BILOXI}", '
        f'algorithm=MD5, qop=auth, nc={at:08x}, cnonce="c{at}", '
        f'response="{_md5(f"{secret}:{nonce}:{at:08x}:c{at}:auth:{a2}")}"'
        for at in (1, 2)
    ]
    return tuple(lines)


def _md5(text):
    return md5(text.encode()).hexdigest()


def test_3_3_session_with_multiple_proxy_authentication(town, tmp_path):
    """SIPp answers one challenge at a time: that of Proxy 1 is answered by hand, with a nonce asked for before."""
    bob = callee(town, "< INVITE\n> 200 sdp\n< ACK\n", tmp_path, server="asking")
    words = """
        > INVITE sdp
        < 407
        > ACK
        > INVITE known sdp
        ? 100
        < 407
        > ACK
        > INVITE known proven sdp
        ? 100
        < 200
        > ACK
    """
    alice = caller(
        town, words, tmp_path, server="proxy1", password=IN_BILOXI, proofs=proof(town, "proxy1", ATLANTA, PASSWORD),
        route=f"{town.house('proxy1').route}, {town.house('asking').route}",
    )  # fmt: skip
    messages, at_bob = alice.finish(), bob.finish()
    assert heard(messages) == ["407", "407", "200"]
    assert heard(at_bob) == ["INVITE", "ACK"]
    realms = [re.findall('realm="(.*?)"', one.text)[0] for one in messages if one.start_line.startswith("SIP/2.0 407")]
    assert realms == [ATLANTA, BILOXI]
    assert not at_bob[0].values("Proxy-Authorization"), "each proxy consumed what was for it"
    told = call_id(messages)
    assert town.house("proxy1").explained(told) == [("INVITE", 407), ("INVITE", 407), ("INVITE", 200)]
    assert town.house("asking").explained(told) == [("INVITE", 407), ("INVITE", 200)]


def test_3_4_successful_session_with_proxy_failure(town, tmp_path):
    """Proxy 1 is a socket that says nothing; SIPp sends seven times, faster than a phone would."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((HERE, 0))
        script = Script("> INVITE sdp\n< 200", aor=ALICE, callee=f"bob@{BILOXI}", password="", retrans=30)
        lost = Player(
            script, tmp_path, "lost", server=silent.getsockname()[1], more=("-max_invite_retrans", "6")
        )  # fmt: skip
        lost.finish(code=1)
        silent.settimeout(1)
        assert {silent.recv(9000)[:6] for _ in range(7)} == {b"INVITE"}
    bob = callee(town, ANSWERS + HANGS_UP, tmp_path, server="asking", hops=2)
    words = IS_ASKED + "< 180\n< 200\n> ACK\n" + IS_HUNG_UP
    alice = caller(town, words, tmp_path, server="asking", password=IN_BILOXI)
    messages = alice.finish()
    assert heard(messages) == ["407", "180", "200", "BYE"]
    assert heard(bob.finish()) == ["INVITE", "ACK", "200"]
    assert town.house("asking").explained(call_id(messages)) == [("INVITE", 407), ("INVITE", 200), ("BYE", 200)]


def test_3_5_session_through_an_alg(town, tmp_path):
    """The ALG is Proxy 1, which stays in the dialog; Proxy 2 doesn't, and hears neither ACK nor BYE."""
    answers = ANSWERS.replace("< ACK", f"< ACK at={town.house('proxy1').port}")  # SIPp stays with who called first
    bob = callee(town, answers + IS_HUNG_UP, tmp_path, server="leaving")
    route = f"{town.house('proxy1').route}, {town.house('leaving').route}"
    words = IS_ASKED + "< 180\n< 200\n> ACK\n" + HANGS_UP
    alice = caller(town, words, tmp_path, server="proxy1", route=route)
    messages, at_bob = alice.finish(), bob.finish()
    assert heard(messages) == ["407", "180", "200", "200"]
    assert heard(at_bob) == ["INVITE", "ACK", "BYE"]
    alg = f"{HERE}:{town.house('proxy1').port}"
    for request in (message for message in at_bob if message.start_line.startswith(("ACK", "BYE"))):
        assert vias(request) == [alg, f"{HERE}:{alice.port}"]
    assert town.house("leaving").explained(call_id(messages)) == [("INVITE", 200)]


def test_3_6_session_via_redirect_and_proxy_servers_with_sdp_in_ack(town, tmp_path):
    """SIPp speaks one transport at a time: the call by TCP, to where the 302 pointed, is a second run."""
    asked = caller(town, "> INVITE\n< 302\n> ACK", tmp_path, server="redirecting").finish()
    (moved,) = next(one for one in asked if one.start_line.startswith("SIP/2.0 302")).values("Contact")
    assert moved == f"<sip:rob@{BILOXI};transport=tcp>"
    assert town.house("redirecting").explained(call_id(asked)) == [("INVITE", 302)]
    bob = callee(town, ANSWERS + HANGS_UP, tmp_path, hops=2, transport="tcp")
    words = "> INVITE\n? 100\n< 180\n< 200\n> ACK sdp\n" + IS_HUNG_UP
    alice = caller(town, words, tmp_path, server="proxy2", to="rob", transport="tcp")
    messages, at_bob = alice.finish(), bob.finish()
    assert heard(messages) == ["180", "200", "BYE"]
    bodies = {message.start_line.split()[0]: bool(message.body.strip()) for message in at_bob if not message.sent}
    assert bodies["INVITE"] is False
    assert bodies["ACK"] is True


def test_3_7_session_with_re_invite(town, tmp_path):
    """After the first exchange the phones talk without the proxy; Bob's address stays, as a SIPp has one."""
    port = free_port()
    again = f"> INVITE sdp\n< 200\n> ACK\n{IS_HUNG_UP}"
    bob = callee(town, f"< INVITE\n> 180\n> 200 sdp\n< ACK at={port}\n{again}", tmp_path, server="leaving", hops=2)
    words = f"> INVITE sdp\n? 100\n< 180\n< 200 at={town.bob}\n> ACK\n< INVITE\n> 200 sdp\n< ACK\n" + HANGS_UP
    alice = caller(town, words, tmp_path, server="leaving", port=port)
    messages, at_bob = alice.finish(), bob.finish()
    assert heard(messages) == ["180", "200", "INVITE", "ACK", "200"]
    assert heard(at_bob) == ["INVITE", "ACK", "200", "BYE"]
    again = next(message for message in messages if message.start_line.startswith("INVITE") and not message.sent)
    assert vias(again) == [f"{HERE}:{town.bob}"]
    assert town.house("leaving").explained(call_id(messages)) == [("INVITE", 200)], "and nothing after"


def test_3_8_unsuccessful_no_answer(town, tmp_path):
    bob = callee(town, "< INVITE\n> 180\n< CANCEL\n> 200 CANCEL\n> 487 INVITE\n< ACK", tmp_path)
    words = IS_ASKED + "< 180\n> CANCEL\n< 200\n< 487\n> ACK"
    alice = caller(town, words, tmp_path, server="proxy1", route=through_both(town))
    messages, at_bob = alice.finish(), bob.finish()
    assert heard(messages) == ["407", "180", "200", "487"]
    assert heard(at_bob) == ["INVITE", "CANCEL", "ACK"]
    invite, cancel, ack = (message for message in at_bob if not message.sent)
    assert vias(cancel) == vias(ack) == vias(invite)[:1], "hop by hop"
    assert cancel.values("Via") == ack.values("Via") == invite.values("Via")[:1], "the INVITE's branch"
    told = call_id(messages)
    for name, before in (("proxy1", [("INVITE", 407)]), ("proxy2", [])):
        assert ("INVITE", 487) in town.house(name).explained(told)[len(before) :]
        assert ("call", "branches cancelled") in town.house(name).steps(told)


@pytest.mark.parametrize(
    ("flow", "at_bob", "status", "transport"),
    [
        ("3.9", "> 486", 486, "tcp"),
        ("3.9", "> 486", 486, "udp"),
        ("3.11", "> 180\n> 480", 480, "udp"),
    ],
)
def test_3_9_and_3_11_busy_and_unavailable(town, tmp_path, flow, at_bob, status, transport):
    to = "rob" if transport == "tcp" else "bob"
    bob = callee(town, f"< INVITE\n{at_bob}\n< ACK", tmp_path, transport=transport)
    rings = "< 180\n" * ("180" in at_bob)
    words = IS_ASKED + rings + f"< {status}\n> ACK"
    alice = caller(
        town, words, tmp_path, server="proxy1", to=to, route=through_both(town, transport), transport=transport
    )
    messages, trace = alice.finish(), bob.finish()
    assert heard(messages) == ["407", *(["180"] if rings else []), str(status)], flow
    assert heard(trace) == ["INVITE", "ACK"]
    told = call_id(messages)
    assert town.house("proxy1").explained(told) == [("INVITE", 407), ("INVITE", status)]
    assert town.house("proxy2").explained(told) == [("INVITE", status)]


def test_3_10_unsuccessful_no_response_from_user_agent(town, tmp_path, unanswered):
    """408 where the RFC has 480, as RFC 3261 §16.8 says; begun with the first test, for it takes timer B, 32 s."""
    alice, silent = unanswered
    messages = alice.finish()
    assert heard(messages) == ["407", "408"]
    silent.settimeout(1)
    assert len({silent.recv(9000) for _ in range(7)}) == 1, "sent seven times, the same"
    told = call_id(messages)
    assert town.house("proxy1").explained(told) == [("INVITE", 407), ("INVITE", 408)]
    assert town.house("proxy2").explained(told) == [("INVITE", 408)]
