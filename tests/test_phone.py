"""The test phone against a real sipd: registers, calls, is called, survives what UDP loses."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from sipd.digest import credentials, ha1, verify
from sipd.hop import Hop
from sipd.message import Request, Response, parse_auth
from sipd.phone import Account, Incoming, Ladder, NoProof, NoWay, Phone, Refused, Times, Unanswered, proof, reach
from tests.running import HERE, free_port, sipdctl, start_sipd

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

QUICK = Times(t1=0.05, t2=0.2, patience=5.0, ringing=5.0)


class House:
    """A running sipd with its first two users."""

    def __init__(self, directory) -> None:
        self.url = f"sqlite://{directory}/x.sqlite3"
        self.port = free_port()
        self.child = start_sipd(self.url, f"udp:{HERE}:{self.port}", f"tcp:{HERE}:{self.port}")
        found = [
            self.child.wait_for(rf"(?P<aor>{name}@localhost) +password (?P<word>\S+)") for name in ("alice", "bob")
        ]
        self.alice, self.bob = (Account(match["aor"], match["word"]) for match in found)

    def hop(self, transport: str = "UDP") -> Hop:
        return Hop(transport, HERE, self.port)


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("phone"))
    yield made
    made.child.end_well()


@asynccontextmanager
async def living(*phones: Phone) -> AsyncIterator[None]:
    """These phones, up and registered for the length of a block; registered no longer after it."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for phone in phones:
                await nursery.start(phone.run)
                await phone.register()
            yield
            for phone in phones:
                await phone.deregister()
            nursery.cancel_scope.cancel()


def texts(ladder: Ladder, phone: str) -> list[str]:
    return [note.text for note in ladder.notes if note.phone == phone]


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
async def test_registers_with_either_algorithm_and_deregisters(house, transport, algorithm):
    known = house.alice
    hashes = {algorithm: ha1("alice", "localhost", known.password, algorithm)}
    ladder = Ladder()
    phone = Phone(Account(known.aor, realm="localhost", hashes=hashes), house.hop(transport), ladder)
    async with living(phone):
        assert phone.contact in sipdctl(house.url, "ul", "show")
    assert phone.contact not in sipdctl(house.url, "ul", "show")
    assert texts(ladder, known.aor)[:4] == ["REGISTER", "401 Unauthorized", "REGISTER", "200 OK"]
    assert f"algorithm={algorithm}" in (ladder.notes[2].message.first("Authorization") or "")


async def test_a_password_answers_the_first_challenge_there_is(house):
    ladder = Ladder()
    async with living(Phone(house.alice, house.hop(), ladder)):
        assert "algorithm=SHA-256" in (ladder.notes[2].message.first("Authorization") or "")


async def test_a_wrong_password_is_refused_after_one_try(house):
    ladder = Ladder()
    phone = Phone(Account(house.alice.aor, "not his"), house.hop(), ladder)
    async with trio.open_nursery() as nursery:
        await nursery.start(phone.run)
        with pytest.raises(Refused, match="REGISTER was answered 401") as caught:
            await phone.register()
        nursery.cancel_scope.cancel()
    assert (caught.value.method, caught.value.status) == ("REGISTER", 401)
    assert len(ladder.notes) == 4


@pytest.mark.parametrize("callers", ["UDP", "TCP"])
@pytest.mark.parametrize("callees", ["UDP", "TCP"])
async def test_a_call_is_answered_and_hung_up(house, callers, callees):
    ladder = Ladder()
    alice = Phone(house.alice, house.hop(callers), ladder, "alice", times=QUICK)
    bob = Phone(house.bob, house.hop(callees), ladder, "bob", times=QUICK, incoming=Incoming(0.02))
    async with living(alice, bob):
        call = await alice.call(house.bob.uri)
        assert call.answered
        assert call.ringing.is_set()
        rang = bob.calls[call.call_id]
        await rang.acked.wait()
        await alice.hang_up(call)
        await rang.ended.wait()
    assert (call.ended_by, rang.ended_by) == ("us", "them")
    assert [text for text in texts(ladder, "bob") if "again" not in text][4:-4] == [
        "INVITE", "180 Ringing", "200 OK", "ACK", "BYE", "200 OK",
    ]  # fmt: skip


@pytest.mark.parametrize(("status", "reason"), [(486, "Busy Here"), (603, "Decline")])
async def test_a_refusal_is_what_the_caller_hears(house, status, reason):
    ladder = Ladder()
    alice = Phone(house.alice, house.hop(), ladder, "alice", times=QUICK)
    bob = Phone(house.bob, house.hop(), ladder, "bob", times=QUICK, incoming=Incoming(0, status))
    async with living(alice, bob):
        call = await alice.call(house.bob.uri)
    assert (call.status, call.reason, call.answered) == (status, reason, False)
    assert texts(ladder, "alice").count("ACK") == 2  # of the 407, of the refusal


async def test_a_call_that_rings_too_long_is_cancelled(house):
    ladder = Ladder()
    alice = Phone(house.alice, house.hop(), ladder, "alice", times=QUICK._replace(ringing=0.1))
    bob = Phone(house.bob, house.hop(), ladder, "bob", times=QUICK, incoming=Incoming(0, 0))
    async with living(alice, bob):
        call = await alice.call(house.bob.uri)
        assert call.status == 487
        assert bob.calls[call.call_id].status == 487
    assert "CANCEL" in texts(ladder, "bob")


async def test_nobody_registered_is_480(house):
    alice = Phone(house.alice, house.hop(), Ladder(), times=QUICK)
    async with living(alice):
        assert (await alice.call(house.bob.uri)).status == 480


# --- loss ----------------------------------------------------------------------------------------


class Lossy:
    """A way to the server that loses the first copy of everything."""

    def __init__(self, server: Hop) -> None:
        self._server = server
        self._seen: set[bytes] = set()
        self._far: tuple[str, int] | None = None
        self.hop = server
        self.lost = 0

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with (
            trio.socket.socket(type=trio.socket.SOCK_DGRAM) as near,
            trio.socket.socket(type=trio.socket.SOCK_DGRAM) as far,
        ):
            await near.bind((HERE, 0))
            await far.connect((self._server.host, self._server.port))
            self.hop = Hop("UDP", HERE, near.getsockname()[1])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._forth, near, far)
                nursery.start_soon(self._back, near, far)
                task_status.started()

    def _passes(self, data: bytes) -> bool:
        if data in self._seen:
            return True
        self._seen.add(data)
        self.lost += 1
        return False

    async def _forth(self, near, far) -> None:
        while True:
            data, self._far = await near.recvfrom(65535)
            if self._passes(data):
                await far.send(data)

    async def _back(self, near, far) -> None:
        while True:
            data = await far.recv(65535)
            if self._passes(data):
                await near.sendto(data, self._far)


async def test_what_udp_loses_is_sent_again(house):
    ladder = Ladder()
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            ways = [Lossy(house.hop()), Lossy(house.hop())]
            for way in ways:
                await nursery.start(way.run)
            alice = Phone(house.alice, ways[0].hop, ladder, "alice", times=QUICK)
            bob = Phone(house.bob, ways[1].hop, ladder, "bob", times=QUICK, incoming=Incoming(0.02))
            async with living(alice, bob):
                call = await alice.call(house.bob.uri)
                assert call.answered
                await bob.calls[call.call_id].acked.wait()
                await alice.hang_up(call)
            nursery.cancel_scope.cancel()
    assert ways[0].lost > 8
    assert "INVITE (again)" in texts(ladder, "alice")
    assert "200 OK (again)" in texts(ladder, "bob")


async def test_silence_is_an_error_after_a_bounded_time():
    ladder = Ladder()
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as deaf, trio.fail_after(10):
        await deaf.bind((HERE, 0))
        silent = Hop("UDP", HERE, deaf.getsockname()[1])
        phone = Phone(Account("a@example.com", "x"), silent, ladder, times=Times(t1=0.05, patience=0.3))
        async with trio.open_nursery() as nursery:
            await nursery.start(phone.run)
            with pytest.raises(Unanswered, match=r"REGISTER to udp:.*: nothing came back within 0.3 s"):
                await phone.register()
            nursery.cancel_scope.cancel()
        assert [note.text for note in ladder.notes] == ["REGISTER", *["REGISTER (again)"] * 2]  # at 0, 0.05, 0.15 s
        with pytest.raises(Unanswered):
            await reach(silent, 0.1)


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
async def test_where_nobody_listens_is_said_at_once(transport):
    nobody = Hop(transport, HERE, free_port())
    with trio.fail_after(5), pytest.raises(NoWay, match="nobody listens"):
        await reach(nobody, 60)


# --- without a server ----------------------------------------------------------------------------


def challenged(*challenges: str) -> tuple[Request, Response]:
    request = Request.build("INVITE", "sip:bob@example.com", ())
    return request, Response.build(407, "", [("Proxy-Authenticate", text) for text in challenges])


@pytest.mark.parametrize("qop", ["", ', qop="auth"', ', qop="auth-int, auth"'])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_proof_verifies(qop, algorithm):
    account = Account("alice@example.com", "secret")
    request, response = challenged(f'Digest realm="r", nonce="n", opaque="o", algorithm={algorithm}{qop}')
    name, value = proof(account, request, response)
    scheme, params, _ = parse_auth(value)
    assert (name, scheme, params["opaque"]) == ("Proxy-Authorization", "digest", "o")
    assert verify(ha1("alice", "r", "secret", algorithm), "INVITE", credentials(params))


@pytest.mark.parametrize(
    "challenge",
    [
        'Basic realm="r"',
        'Digest realm="r", nonce="n", algorithm=SHA-512-256',
        'Digest realm="r", nonce="n", qop="auth-int"',
        'Digest realm="another", nonce="n"',
        "Digest",
    ],
)
def test_a_challenge_that_can_not_be_answered_is_said_to_be(challenge):
    account = Account("alice@example.com", realm="r", hashes={"MD5": "0" * 32})
    with pytest.raises(NoProof, match=re.escape("alice@example.com: the challenge to INVITE asks for ")):
        proof(account, *challenged(challenge))


def test_the_first_challenge_that_is_known_is_answered():
    account = Account("alice@example.com", "secret")
    challenges = [f'Digest realm="r", nonce="n", algorithm={name}' for name in ("X", "SHA-256", "MD5")]
    assert "algorithm=SHA-256" in proof(account, *challenged(*challenges))[1]


def test_the_ladder_has_a_column_for_each_and_draws_each_message_once():
    ladder = Ladder(clock=iter((0.0, 0.001, 0.002, 0.003, 0.004)).__next__)
    one, other, server = (Hop("UDP", HERE, port) for port in (1001, 1002, 5060))
    forwarded = Request.build("INVITE", "sip:b@192.0.2.1", ())
    invite = Request.build("INVITE", "sip:b", ())
    busy = Response.build(486, "Busy Here " + "x" * 80 + "\x1b", ())
    ladder.note("a", True, server, invite)
    ladder.note("b", False, server, forwarded)
    ladder.note("b", True, one, busy)  # directly, past the server
    ladder.note("a", False, other, busy)
    assert [rung[:3] for rung in ladder.rungs()] == [(1, "a", "sipd"), (2, "sipd", "b"), (3, "b", "a")]
    lines = ladder.lines(["a", "sipd", "b"])
    assert len({len(line) for line in lines[1:]}) == 1, "\n".join(lines)
    assert re.fullmatch(r" +1   \|--- INVITE -+>\| +\|", lines[1])
    assert re.fullmatch(r" +2   \| +\|--- INVITE -+>\|", lines[2])
    assert re.fullmatch(r" +3   \|<-- 486 Busy Here x+\.\. -\|", lines[3])
