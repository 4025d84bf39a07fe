"""sipd and Kamailio one after the other, in both orders: each forwards, records its route and forks for the other.

Phones are SIPp's. `over` is the transport of each hop: caller to the first
server, between the two, and from the second to the phone called.
"""

from __future__ import annotations

import re
from itertools import count

import pytest

from tests import wire
from tests.flows.house import House
from tests.flows.scenario import Player, Script, heard
from tests.interop.kamailio import Kamailio
from tests.net.certificates import Authority
from tests.running import HERE, free_port, stop_all

NUMBERS = count()
USERS = tuple(f"{side}{at}" for side in ("near", "far", "other") for at in range(80))
ORDERS = ("sipd in front", "sipd behind")
HOPS = [
    ("udp", "udp", "udp"), ("tcp", "tcp", "tcp"), ("tcp", "udp", "tcp"), ("udp", "tcp", "udp"),
    ("udp", "tls", "udp"), ("tcp", "tls", "tcp"),
]  # fmt: skip


class Chain:
    """Two servers in a row. `front` is called; its contact for a user is that user at `behind`."""

    def __init__(self, sipd, front, behind, directory):
        self.sipd = sipd
        self.front = front
        self.behind = behind
        self.directory = directory

    def register(self, server, user, *contacts):
        """Bind the user there, and nothing else of him."""
        with wire.Asker(server.port) as asker:
            lines = "".join(f"Contact: <{contact}>;expires=600\r\n" for contact in contacts)
            request = wire.request("REGISTER", f"sip:{HERE}", asker.port, user=user, domain=HERE,
                                   to=f"<sip:{user}@{HERE}>", headers=lines)  # fmt: skip
            answer = asker.ask(request)
        assert answer, server
        assert answer.startswith("SIP/2.0 200"), answer

    def phone(self, words, over, *, hops=3, port=0, at=None):
        """A phone that is called by the second server, or by that one."""
        script = Script(words, aor=f"callee@{HERE}", callee="", password="", hops=hops)
        return Player(
            script, self.directory, "callee", server=(at or self.behind).port, transport=over, port=port
        ).listening()

    def leads_to(self, over, *phones):
        """A user of the front whose calls go to these phones, by way of the one behind; the phones ring together."""
        at = next(NUMBERS)
        near, far = f"near{at}", f"far{at}"
        self.register(self.behind, far, *(f"sip:{far}@{HERE}:{phone.port};transport={over[2]}" for phone in phones))
        self.register(self.front, near, self.at_behind(far, over))
        return near

    def at_behind(self, user, over):
        return f"sip:{user}@{HERE}:{self.behind.port + (over[1] == 'tls')};transport={over[1]}"

    def call(self, words, to, over):
        script = Script(words, aor=f"caller@{HERE}", callee=f"{to}@{HERE}", password="")
        return Player(script, self.directory, "caller", server=self.front.port, transport=over[0])

    def passed(self, request, caller, over):
        """The servers' Vias are on a request that the phone called heard, the last on top."""
        ends = [value.partition(" ")[2].partition(";")[0] for value in request.values("Via")]
        ports = [self.behind.port, self.front.port + (over[1] == "tls"), caller.port]
        assert ends == [f"{HERE}:{port}" for port in ports]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pair")
    users = {f"{user}@{host}": (host, "none") for user in USERS for host in (HERE, "localhost")}
    authority = Authority(directory)
    certificates = [authority.signed(HERE).chain for _ in range(2)]
    files = {"tls_certificate": str(certificates[0]), "tls_ca": str(authority.path), "tls_client": "required"}
    sipd = House(directory / "sipd", (HERE, "localhost"), users, {}, None, auth="none", **files)
    kamailio = Kamailio(directory / "kamailio", certificates[1], authority.path)
    yield sipd, kamailio
    try:
        sipd.stop()
        kamailio.stop()
    finally:
        stop_all()


@pytest.fixture(params=ORDERS)
def chain(request, pair, tmp_path):
    front, behind = pair if request.param == ORDERS[0] else pair[::-1]
    return Chain(pair[0], front, behind, tmp_path)


def call_id(messages):
    (known,) = {message.values("Call-ID")[0] for message in messages}
    return known


def requests(messages, method=""):
    """The requests that a phone heard."""
    return [one for one in messages if not one.sent and re.match(rf"{method}[A-Z]* sip:", one.start_line)]


BOTH_AGAIN = """
    > INVITE sdp
    ? 100
    < 200
    > ACK
    < INVITE
    > 200 sdp
    < ACK
"""


@pytest.mark.parametrize("over", HOPS, ids="-".join)
def test_a_call_with_a_re_invite_from_either_side(chain, over):
    """INVITE, 180, 200, ACK; both re-INVITE; the caller hangs up. Everything takes the way that was recorded."""
    callee = chain.phone(f"< INVITE\n> 180\n> 200 sdp\n< ACK\n{BOTH_AGAIN}\n< BYE\n> 200", over[2])
    words = (
        "> INVITE sdp\n? 100\n< 180\n< 200\n> ACK\n< INVITE\n> 200 sdp\n< ACK\n> INVITE sdp\n? 100\n< 200\n> ACK\n"
        "> BYE\n< 200"
    )
    caller = chain.call(words, chain.leads_to(over, callee), over)
    said, got = caller.finish(), callee.finish()
    assert heard(said) == ["180", "200", "INVITE", "ACK", "200", "200"]
    assert heard(got) == ["INVITE", "ACK", "200", "INVITE", "ACK", "BYE"]
    for request in requests(got):
        chain.passed(request, caller, over)
        assert not request.values("Route"), "each took its own value off"
        assert request.values("Max-Forwards") == ["68"]
    routes = ",".join(requests(got)[0].values("Record-Route"))
    ports = [int(port) for port in re.findall(rf"sips?:{HERE}:(\d+)", routes)]
    assert list(dict.fromkeys(port & ~1 for port in ports)) == [chain.behind.port, chain.front.port]
    assert routes.count(";lr") == len(ports)
    back = requests(said, "INVITE")[0]
    ports = [int(port) & ~1 for port in re.findall(rf" {HERE}:(\d+);", " ".join(back.values("Via")))]
    assert ports[:2] == [chain.front.port, chain.behind.port]
    assert chain.sipd.explained(call_id(said)) == [("INVITE", 200)] * 3 + [("BYE", 200)]


@pytest.mark.parametrize("over", HOPS, ids="-".join)
def test_the_called_side_hangs_up(chain, over):
    callee = chain.phone("< INVITE\n> 180\n> 200 sdp\n< ACK\n> BYE\n< 200", over[2])
    caller = chain.call("> INVITE sdp\n? 100\n< 180\n< 200\n> ACK\n< BYE\n> 200", chain.leads_to(over, callee), over)
    said = caller.finish()
    assert heard(callee.finish()) == ["INVITE", "ACK", "200"]
    assert heard(said) == ["180", "200", "BYE"]
    assert chain.sipd.explained(call_id(said)) == [("INVITE", 200), ("BYE", 200)]


@pytest.mark.parametrize("over", HOPS, ids="-".join)
def test_cancel_goes_hop_by_hop_and_487_all_the_way(chain, over):
    callee = chain.phone("< INVITE\n> 180\n< CANCEL\n> 200 CANCEL\n> 487 INVITE\n< ACK", over[2])
    caller = chain.call("> INVITE sdp\n? 100\n< 180\n> CANCEL\n< 200\n< 487\n> ACK", chain.leads_to(over, callee), over)
    said, got = caller.finish(), callee.finish()
    assert heard(said) == ["180", "200", "487"]
    invite, cancel, ack = requests(got)
    assert cancel.values("Via") == ack.values("Via") == invite.values("Via")[:1]
    assert ("INVITE", 487) in chain.sipd.explained(call_id(said))


@pytest.mark.parametrize("status", [404, 486, 603])
def test_a_refusal_comes_back(chain, status):
    over = ("udp", "udp", "udp")
    callee = chain.phone(f"< INVITE\n> {status}\n< ACK", "udp")
    caller = chain.call(f"> INVITE sdp\n? 100\n< {status}\n> ACK", chain.leads_to(over, callee), over)
    said = caller.finish()
    assert heard(callee.finish()) == ["INVITE", "ACK"]
    assert chain.sipd.explained(call_id(said)) == [("INVITE", status)]


ANSWERS_LATE = "< INVITE\n> 180\nwait 400\n> 200 sdp\n< ACK\n< BYE\n> 200"
IS_CANCELLED = "< INVITE\n> 180\n< CANCEL\n> 200 CANCEL\n> 487 INVITE\n< ACK"
TALKS = "> INVITE sdp\n? 100\n< 180\n? 180\n< 200\n> ACK\n> BYE\n< 200"


@pytest.mark.parametrize("over", [HOPS[0], HOPS[1], HOPS[4]], ids="-".join)
def test_the_one_behind_forks_and_the_first_answer_cancels_the_other(chain, over):
    loser, winner = (chain.phone(words, over[2]) for words in (IS_CANCELLED, ANSWERS_LATE))
    caller = chain.call(TALKS, chain.leads_to(over, loser, winner), over)
    said = caller.finish()
    assert heard(winner.finish()) == ["INVITE", "ACK", "BYE"]
    assert heard(loser.finish()) == ["INVITE", "CANCEL", "ACK"]
    assert heard(said).count("200") == 2, "one for INVITE, one for BYE"


@pytest.mark.parametrize("over", [HOPS[0], HOPS[1], HOPS[4]], ids="-".join)
def test_the_one_in_front_forks_to_two_users_of_the_one_behind(chain, over):
    loser, winner = (chain.phone(words, over[2]) for words in (IS_CANCELLED, ANSWERS_LATE))
    at = next(NUMBERS)
    there = []
    for name, phone in ((f"far{at}", loser), (f"other{at}", winner)):
        chain.register(chain.behind, name, f"sip:{name}@{HERE}:{phone.port};transport={over[2]}")
        there.append(chain.at_behind(name, over))
    chain.register(chain.front, f"near{at}", *there)
    said = chain.call(TALKS, f"near{at}", over).finish()
    assert heard(winner.finish()) == ["INVITE", "ACK", "BYE"]
    assert heard(loser.finish()) == ["INVITE", "CANCEL", "ACK"]
    assert heard(said).count("200") == 2, "one for INVITE, one for BYE"


def test_a_phone_registers_through_the_one_in_front_and_is_called_back_that_way(chain):
    """RFC 3327: the edge puts itself into Path, and the registrar behind it sends calls along that.

    A sipd in front puts the phone's flow into it, too (RFC 5626 §5.1): the REGISTER comes from the phone's port.
    """
    user, port = f"far{next(NUMBERS)}", free_port()
    host = "registrar.test" if chain.front is chain.sipd else "localhost"
    route = ", ".join(f"<sip:{HERE}:{server.port};lr>" for server in (chain.front, chain.behind))
    with wire.Asker(chain.front.port, port) as asker:
        headers = f"Route: {route}\r\nContact: <sip:{user}@{HERE}:{port}>;expires=600\r\nSupported: path\r\n"
        sender = HERE if chain.front is chain.sipd else host  # a user of the one who lets it pass, or of the registrar
        register = wire.request("REGISTER", f"sip:{host}", port, user=user, domain=sender,
                                to=f"<sip:{user}@{host}>", headers=headers)  # fmt: skip
        answer = asker.ask(register)
    assert answer
    assert answer.startswith("SIP/2.0 200"), answer
    callee = chain.phone("< INVITE\n> 180\n> 200 sdp\n< ACK\n< BYE\n> 200", "udp", port=port, at=chain.front)
    script = Script("> INVITE sdp\n? 100\n< 180\n< 200\n> ACK\n> BYE\n< 200", aor=f"caller@{HERE}",
                    callee=f"{user}@{host}", password="")  # fmt: skip
    caller = Player(script, chain.directory, "caller", server=chain.behind.port)
    said, got = caller.finish(), callee.finish()
    assert heard(said) == ["180", "200", "200"]
    assert heard(got) == ["INVITE", "ACK", "BYE"]
    for request in requests(got):
        ends = [value.partition(" ")[2].partition(";")[0] for value in request.values("Via")]
        assert ends == [f"{HERE}:{at}" for at in (chain.front.port, chain.behind.port, caller.port)]
        assert not request.values("Route")


def test_a_loop_between_both_ends(chain):
    """Each sends the call to the other: sipd knows a call it has sent on before (RFC 5393), 482."""
    at = next(NUMBERS)
    chain.register(chain.front, f"near{at}", f"sip:far{at}@{HERE}:{chain.behind.port}")
    chain.register(chain.behind, f"far{at}", f"sip:near{at}@{HERE}:{chain.front.port}")
    said = chain.call("> INVITE sdp\n? 100\n< 482\n> ACK", f"near{at}", ("udp", "udp", "udp")).finish()
    assert heard(said) == ["482"]
