"""Client transactions: scripts of (time, input) -> what is sent and told."""

from __future__ import annotations

import pytest

from sipd.message import Request, parse
from tests.transaction.scene import BRANCH, Scene, Wire, response

DOUBLING = [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
UP_TO_T2 = [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]

# --- INVITE client (§17.1.1, RFC 6026) ---


def test_an_unanswered_invite_is_sent_seven_times_and_times_out_at_64_t1() -> None:
    scene = Scene()
    scene.client()
    scene.run()
    assert scene.wire.times == DOUBLING
    assert (scene.user.told, scene.now) == (["timed out"], 32)
    assert scene.table.clients == 0


def test_over_tcp_it_is_sent_once() -> None:
    scene = Scene(reliable=True)
    scene.client()
    scene.run()
    assert (scene.wire.times, scene.user.told, scene.now) == ([0], ["timed out"], 32)


def test_a_provisional_stops_retransmission_and_timeout() -> None:
    scene = Scene()
    client = scene.client()
    scene.run(0.6)
    scene.hears(client, 100, 180)
    scene.run()
    assert (scene.wire.times, scene.user.told) == ([0, 0.5], [100, 180])
    assert (client.state, scene.table.clients, len(scene.table.deadlines)) == ("proceeding", 1, 0)


def test_every_2xx_reaches_the_user_for_64_t1() -> None:
    scene = Scene()
    client = scene.client()
    scene.hears(client, 180, 200, 200)
    scene.run(31.9)
    scene.hears(client, 200, 180, 486)
    assert scene.user.told == [180, 200, 200, 200]
    scene.run()
    assert (scene.now, client.state, scene.table.clients, scene.wire.methods) == (32, "terminated", 0, ["INVITE"])


@pytest.mark.parametrize("reliable", [False, True])
def test_a_refusal_is_acked_and_told_once(reliable: bool) -> None:
    scene = Scene(reliable=reliable)
    client = scene.client()
    scene.hears(client, 180, 486, 486, 200)
    assert scene.user.told == [180, 486]
    assert scene.wire.methods == ["INVITE"] + ["ACK"] * (1 if reliable else 2)
    ack = parse(scene.wire.data[1])
    assert isinstance(ack, Request)
    assert (ack.to_tag, ack.via.branch, str(ack.cseq.number), ack.cseq.method) == ("9", BRANCH, "7", "ACK")
    scene.run()
    assert scene.table.clients == 0


# --- CANCEL (§9.1) ---


def test_cancel_waits_for_a_provisional_and_is_sent_once() -> None:
    scene = Scene()
    client = scene.client()
    scene.table.cancel(client, "SIP;cause=200")
    scene.table.cancel(client, "SIP;cause=200")
    assert scene.wire.methods == ["INVITE"]
    scene.run(0.6)
    scene.hears(client, 180, 183)
    scene.table.cancel(client)
    assert scene.wire.methods == ["INVITE", "INVITE", "CANCEL"]
    assert b"Reason: SIP;cause=200" in scene.wire.data[-1]
    scene.hears(client, 487)
    assert scene.user.told == [180, 183, 487]
    assert scene.wire.methods[-1] == "ACK"


def test_cancel_is_a_transaction_of_its_own_with_the_same_branch() -> None:
    scene = Scene()
    client = scene.client()
    scene.hears(client, 180)
    scene.table.cancel(client)
    answer = response(200, "CANCEL")
    cancel = scene.table.client_for(answer)
    assert cancel is not None
    assert cancel is not client
    scene.table.receive_response(cancel, answer)
    assert (cancel.state, client.state, scene.user.told) == ("completed", "cancelling", [180])


def test_a_phone_that_ignores_cancel_times_out_64_t1_later() -> None:
    scene = Scene()
    client = scene.client()
    scene.table.cancel(client)
    scene.run(31.9)
    scene.hears(client, 180)
    scene.run()
    assert scene.user.told == [180, "timed out"]
    assert scene.now == pytest.approx(63.9, abs=0.1)
    assert scene.table.clients == 0


@pytest.mark.parametrize("final", [200, 486])
def test_no_cancel_after_the_final_response(final: int) -> None:
    scene = Scene()
    client = scene.client()
    scene.table.cancel(client)
    scene.hears(client, final)
    scene.table.cancel(client)
    assert "CANCEL" not in scene.wire.methods


def test_a_non_invite_is_not_cancelled() -> None:
    scene = Scene()
    client = scene.client("MESSAGE")
    scene.hears(client, 100)
    scene.table.cancel(client)
    assert scene.wire.methods == ["MESSAGE"]


# --- non-INVITE client (§17.1.2) ---


def test_an_unanswered_non_invite_is_repeated_up_to_every_t2() -> None:
    scene = Scene()
    scene.client("BYE")
    scene.run()
    assert (scene.wire.times, scene.user.told, scene.now) == (UP_TO_T2, ["timed out"], 32)


def test_after_a_provisional_it_is_repeated_every_t2_from_the_next_time_on() -> None:
    scene = Scene()
    client = scene.client("BYE")
    scene.run(0.6)
    scene.hears(client, 100)
    scene.run()
    assert scene.wire.times == [0, 0.5, 1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5]
    assert (scene.user.told, scene.now) == ([100, "timed out"], 32)


def test_a_final_response_is_told_once_and_its_repetitions_absorbed_for_t4() -> None:
    scene = Scene()
    client = scene.client("BYE")
    scene.hears(client, 200, 200)
    assert scene.user.told == [200]
    scene.run()
    assert (scene.now, scene.table.clients, scene.wire.times) == (5, 0, [0])


def test_over_tcp_it_ends_with_the_final_response() -> None:
    scene = Scene(reliable=True)
    client = scene.client("BYE")
    scene.hears(client, 200)
    assert (scene.user.told, scene.table.clients, client.state) == ([200], 0, "terminated")


# --- transport errors (§17.1.4, RFC 6026 §8.8) ---


@pytest.mark.parametrize("reliable", [False, True])
def test_a_failed_flow_ends_the_clients_that_wait_on_it_and_no_other(reliable: bool) -> None:
    scene = Scene(reliable=reliable)
    waiting, ringing = scene.client(branch="z9hG4bKa"), scene.client(branch="z9hG4bKb")
    answered = scene.client(branch="z9hG4bKc")
    scene.hears(ringing, 180)
    scene.hears(answered, 200)
    server = scene.server()
    failing, scene.wire = scene.wire, Wire(scene, reliable)
    other = scene.client(branch="z9hG4bKd")
    scene.table.flow_failed(failing)
    assert scene.user.told == [180, 200, "failed", "failed"]
    states = [transaction.state for transaction in (waiting, ringing, answered, other, server)]
    assert states == ["terminated", "terminated", "accepted", "calling", "proceeding"]
