"""Where responses go over UDP: the packet's source with rport, else its address and the port of Via (RFC 3581 §4)."""

from __future__ import annotations

import pytest

from tests.server.phones import DOMAIN, SERVER, open_world

BOB = f"sip:bob@{DOMAIN}"
NAT = "10.0.7.7"


@pytest.mark.parametrize(
    ("via", "port", "received"),
    [
        ("192.168.0.9:5060;branch=z9hG4bKa;rport", 40123, f";received={NAT};rport=40123"),
        ("192.168.0.9;branch=z9hG4bKa;rport", 40123, f";received={NAT};rport=40123"),
        (f"{NAT}:40123;branch=z9hG4bKa;rport", 40123, f";received={NAT};rport=40123"),
        ("192.168.0.9:5070;branch=z9hG4bKa", 5070, f";received={NAT}"),
        ("192.168.0.9;branch=z9hG4bKa", 5060, f";received={NAT}"),
    ],
)
async def test_where_a_response_goes(nursery, autojump_clock, via, port, received):
    """A phone behind NAT says 192.168.0.9; its packets come from port 40123 of another address."""
    world = await open_world(nursery, "alice", "bob")
    alice = world.phone("alice", host=NAT, port=40123)
    bob = world.phone("bob", "rings answers")
    world.bind(f"bob@{DOMAIN}", bob)
    there = alice if port == 40123 else world.phone("there", host=NAT, port=port)
    request = alice.request("INVITE", BOB)
    at = request.names.index("Via")
    request.lines[at] = f"Via: SIP/2.0/UDP {via}"
    alice.send(request)
    ok = await there.status(200)
    assert [top.partition("branch=z9hG4bKa")[2] for top in ok.values("Via")] == [received]
    answers = [sent for sent in world.network.sent if sent.source == SERVER and sent.target.host == NAT]
    assert answers
    assert {(sent.source, sent.target.port) for sent in answers} == {(SERVER, port)}, "from where the request came to"
