"""RFC 5359 with SIPp phones and a running sipd: holding, transferring, and what the server does by script.

The figures hop by hop, of all services, are in test_rfc5359.py. A SIPp has one
call at a time: what a phone does in a second call is a second run.
"""

from __future__ import annotations

import pytest

from tests.flows.house import House
from tests.flows.scenario import Player, Script, heard
from tests.running import HERE, free_port, stop_all

DOMAIN = "home.test"
ALICE = f"alice@{DOMAIN}"
CPL = '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><{0}>{1}</{0}></cpl>'
PHONES = ("bob", "carol", "b1", "b2", "b3", "b4", "gateway")
ASKED = """
    > INVITE sdp
    ? 100
    < 407
    > ACK
    > INVITE proven sdp
    ? 100
"""
ANSWERS = """
    < INVITE
    > 180
    > 200 sdp
    < ACK
"""
IS_CANCELLED = """
    < INVITE
    > 180
    < CANCEL
    > 200 CANCEL
    > 487 INVITE
    < ACK
"""
IS_HUNG_UP = "< BYE\n> 200"
HANGS_UP = "> BYE\n< 200"


def then(url, *, outcome="default", timeout=1, inside=""):
    """A place to ring, and what follows when it didn't answer."""
    more = f"<{outcome}>{inside}</{outcome}>" if inside else ""
    return f'<location url="{url}" clear="yes"><proxy timeout="{timeout}">{more}</proxy></location>'


def screened(who, field):
    refusal = '<reject status="403" reason="Screening Failure"/>'
    return f'<address-switch field="{field}"><address is="sip:{who}@{DOMAIN}">{refusal}</address></address-switch>'


class Home:
    """The server, with a user for each service, and the ports of the phones."""

    def __init__(self, directory):
        self.ports = {name: free_port() for name in PHONES}
        uri = {name: f"sip:{name}@{HERE}:{port}" for name, port in self.ports.items()}
        first = then(uri["b4"], timeout=20)
        for name in ("b3", "b2", "b1"):
            first = then(uri[name], inside=first)
        scripts = {
            "unconditional": CPL.format("incoming", then(uri["gateway"], timeout=20)),
            "busy": CPL.format("incoming", then(uri["b1"], outcome="busy", timeout=20, inside=then(uri["b2"]))),
            "noanswer": CPL.format("incoming", then(uri["b1"], outcome="noanswer", inside=then(uri["b2"]))),
            "findme": CPL.format("incoming", first),
            "screening": CPL.format("incoming", screened("alice", "origin")),
            "screened": CPL.format("outgoing", screened("carol", "original-destination")),
        }
        users = ("alice", "bob", "carol", *scripts)
        self.house = House(
            directory / "home",
            (DOMAIN,),
            {f"{name}@{DOMAIN}": (DOMAIN, f"pw-{name}") for name in users},
            {name: uri[name] for name in ("bob", "carol")},
            scripts,
            digest_algorithms="MD5",
        )

    def calls(self, words, directory, *, to, who="alice"):
        script = Script(words, aor=f"{who}@{DOMAIN}", callee=f"{to}@{DOMAIN}", password=f"pw-{who}")
        return Player(script, directory, who, server=self.house.port)

    def phone(self, name, words, directory):
        script = Script(words, aor=f"{name}@{DOMAIN}", callee="", password="", hops=2)
        return Player(script, directory, name, server=self.house.port, port=self.ports[name]).listening()

    def remembers(self, messages):
        (call_id,) = {message.values("Call-ID")[0] for message in messages}
        return self.house.explained(call_id)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    made = Home(tmp_path_factory.mktemp("home"))
    yield made
    try:
        made.house.stop()
    finally:
        stop_all()


ASKED_THEN_200 = [("INVITE", 407), ("INVITE", 200)]


def test_2_1_call_hold(home, tmp_path):
    hold = "> INVITE sdp\n? 100\n< 200\n> ACK\n"
    bob = home.phone("bob", f"{ANSWERS}{hold}{hold}{IS_HUNG_UP}", tmp_path)
    held = "< INVITE\n> 200 sdp\n< ACK\n"
    alice = home.calls(f"{ASKED}< 180\n< 200\n> ACK\n{held}{held}{HANGS_UP}", tmp_path, to="bob")
    said = alice.finish()
    assert heard(said) == ["407", "180", "200", "INVITE", "ACK", "INVITE", "ACK", "200"]
    assert heard(bob.finish()) == ["INVITE", "ACK", "200", "200", "BYE"]
    assert home.remembers(said) == [*ASKED_THEN_200, ("INVITE", 200), ("INVITE", 200), ("BYE", 200)]


def test_2_4_transfer_unattended(home, tmp_path):
    """Bob refers Alice to Carol, and hears by NOTIFY how that went; her call to Carol is a run of its own."""
    refers = f"> REFER Refer-To=<sip:carol@{DOMAIN}>\n< 202\n< NOTIFY\n> 200\n"
    bob = home.phone("bob", f"{ANSWERS}{refers}{HANGS_UP}", tmp_path)
    notifies = "> NOTIFY Event=refer Subscription-State=active\n< 200\n"
    alice = home.calls(f"{ASKED}< 180\n< 200\n> ACK\n< REFER\n> 202\n{notifies}{IS_HUNG_UP}", tmp_path, to="bob")
    said, got = alice.finish(), bob.finish()
    assert heard(said) == ["407", "180", "200", "REFER", "200", "BYE"]
    assert heard(got) == ["INVITE", "ACK", "202", "NOTIFY", "200"]
    [refer] = [message for message in said if message.start_line.startswith("REFER")]
    assert refer.values("Refer-To") == [f"<sip:carol@{DOMAIN}>"]
    assert home.remembers(said) == [*ASKED_THEN_200, ("REFER", 202), ("NOTIFY", 200), ("BYE", 200)]
    carol = home.phone("carol", f"{ANSWERS}{IS_HUNG_UP}", tmp_path)
    words = ASKED.replace("INVITE", f"INVITE Referred-By=<sip:bob@{DOMAIN}>")
    home.calls(f"{words}< 180\n< 200\n> ACK\n{HANGS_UP}", tmp_path, to="carol").finish()
    invite = carol.finish()[0]
    assert invite.values("Referred-By") == [f"<sip:bob@{DOMAIN}>"]


def test_2_7_call_forwarding_unconditional(home, tmp_path):
    gateway = home.phone("gateway", f"{ANSWERS}{IS_HUNG_UP}", tmp_path)
    said = home.calls(f"{ASKED}< 180\n< 200\n> ACK\n{HANGS_UP}", tmp_path, to="unconditional").finish()
    assert heard(said) == ["407", "180", "200", "200"]
    assert heard(gateway.finish()) == ["INVITE", "ACK", "BYE"]
    assert home.remembers(said) == [*ASKED_THEN_200, ("BYE", 200)]


def test_2_8_call_forwarding_busy(home, tmp_path):
    b1 = home.phone("b1", "< INVITE\n> 486\n< ACK", tmp_path)
    b2 = home.phone("b2", f"{ANSWERS}{IS_HUNG_UP}", tmp_path)
    said = home.calls(f"{ASKED}< 180\n< 200\n> ACK\n{HANGS_UP}", tmp_path, to="busy").finish()
    assert heard(said) == ["407", "180", "200", "200"]
    assert heard(b1.finish()) == ["INVITE", "ACK"]
    assert heard(b2.finish()) == ["INVITE", "ACK", "BYE"]


def test_2_9_call_forwarding_no_answer(home, tmp_path):
    b1 = home.phone("b1", IS_CANCELLED, tmp_path)
    b2 = home.phone("b2", f"{ANSWERS}{IS_HUNG_UP}", tmp_path)
    said = home.calls(f"{ASKED}< 180\n< 180\n< 200\n> ACK\n{HANGS_UP}", tmp_path, to="noanswer").finish()
    assert heard(said) == ["407", "180", "180", "200", "200"]
    assert heard(b1.finish()) == ["INVITE", "CANCEL", "ACK"]
    assert heard(b2.finish()) == ["INVITE", "ACK", "BYE"]


def test_2_12_find_me(home, tmp_path):
    b1 = home.phone("b1", IS_CANCELLED, tmp_path)
    b2, b3 = (home.phone(name, f"< INVITE\n> {status}\n< ACK", tmp_path) for name, status in (("b2", 480), ("b3", 486)))
    b4 = home.phone("b4", f"{ANSWERS}{HANGS_UP}", tmp_path)
    said = home.calls(f"{ASKED}< 180\n< 180\n< 200\n> ACK\n{IS_HUNG_UP}", tmp_path, to="findme").finish()
    assert heard(said) == ["407", "180", "180", "200", "BYE"]
    assert heard(b1.finish()) == ["INVITE", "CANCEL", "ACK"]
    assert [heard(phone.finish()) for phone in (b2, b3)] == [["INVITE", "ACK"]] * 2
    assert heard(b4.finish()) == ["INVITE", "ACK", "200"]
    assert home.remembers(said) == [*ASKED_THEN_200, ("BYE", 200)]


@pytest.mark.parametrize(("who", "to"), [("alice", "screening"), ("screened", "carol")], ids=["2.13", "2.14"])
def test_2_13_and_2_14_call_screening(home, tmp_path, who, to):
    said = home.calls(f"{ASKED}< 403\n> ACK", tmp_path, to=to, who=who).finish()
    assert heard(said) == ["407", "403"]
    [refused] = [message for message in said if message.start_line.startswith("SIP/2.0 403")]
    assert refused.start_line == "SIP/2.0 403 Screening Failure"
    assert home.remembers(said) == [("INVITE", 407), ("INVITE", 403)]
