"""Scripts of (time, input) -> what is sent and told; matching; capacity."""

from __future__ import annotations

import pytest

from sipd.errors import ServiceUnavailable
from sipd.message import Request, parse
from sipd.transaction import kinds
from tests.transaction.scene import BRANCH, Scene, Wire, request, request_bytes, response

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


# --- INVITE server (§17.2.1, RFC 6026) ---


def test_a_repeated_invite_gets_the_last_provisional() -> None:
    scene = Scene()
    server = scene.server()
    scene.again(server, "INVITE")
    scene.answers(server, 100, 180)
    scene.again(server, "INVITE")
    assert scene.wire.statuses == [100, 180, 180]


def test_a_refusal_is_repeated_until_the_ack() -> None:
    scene = Scene()
    server = scene.server()
    scene.answers(server, 486)
    scene.run(2)
    scene.again(server, "INVITE")
    scene.again(server, "ACK")
    scene.again(server, "ACK")
    scene.again(server, "INVITE")
    scene.run()
    assert scene.wire.times == [0, 0.5, 1.5, 2]
    assert (scene.user.told, scene.now, scene.table.servers) == (["ended"], 7, 0)


def test_without_an_ack_it_ends_at_64_t1() -> None:
    scene = Scene()
    server = scene.server()
    scene.answers(server, 486)
    scene.run()
    assert (scene.wire.times, scene.user.told, scene.now) == (UP_TO_T2, ["ended"], 32)


def test_over_tcp_a_refusal_is_sent_once() -> None:
    scene = Scene(reliable=True)
    server = scene.server()
    scene.answers(server, 486)
    scene.run(10)
    scene.again(server, "ACK")
    assert (scene.wire.times, scene.user.told, scene.table.servers) == ([0], ["ended"], 0)


def test_after_a_2xx_repetitions_are_absorbed_further_2xx_pass_and_acks_are_told() -> None:
    scene = Scene()
    server = scene.server()
    scene.answers(server, 180, 200)
    scene.again(server, "INVITE")
    scene.answers(server, 200, 180, 486)
    scene.again(server, "ACK")
    assert (scene.wire.statuses, scene.user.told) == ([180, 200, 200], ["acked"])
    scene.run()
    assert (scene.now, scene.user.told, scene.table.servers) == (32, ["acked", "ended"], 0)


def test_a_2xx_after_the_refusal_still_goes_to_the_caller() -> None:
    scene = Scene()
    server = scene.server()
    scene.answers(server, 487, 200)
    scene.again(server, "INVITE")
    assert scene.wire.statuses == [487, 200, 487]


# --- non-INVITE server (§17.2.2) ---


def test_a_final_response_is_repeated_on_demand_for_64_t1() -> None:
    scene = Scene()
    server = scene.server("BYE")
    scene.again(server, "BYE")
    scene.answers(server, 200, 500)
    scene.again(server, "BYE")
    assert scene.wire.statuses == [200, 200]
    scene.run()
    assert (scene.now, scene.user.told, scene.table.servers) == (32, ["ended"], 0)


def test_over_tcp_it_ends_with_its_answer() -> None:
    scene = Scene(reliable=True)
    scene.answers(scene.server("BYE"), 200)
    assert (scene.wire.statuses, scene.user.told, scene.table.servers) == ([200], ["ended"], 0)


def test_a_request_given_up_absorbs_repetitions_in_silence() -> None:
    scene = Scene()
    server = scene.server("BYE")
    scene.answers(server, 100)
    scene.table.abandon(server)
    scene.again(server, "BYE")
    scene.answers(server, 200)
    assert (scene.wire.statuses, server.answered, scene.table.unanswered) == ([100], True, 0)
    scene.run()
    assert (scene.now, scene.table.servers) == (32, 0)


# --- matching (§17.1.3, §17.2.3, §9.2) ---


def test_branch_sent_by_and_method_make_a_request_a_repetition() -> None:
    scene = Scene()
    server = scene.server("BYE")
    assert scene.table.server_for(request("BYE")) is server
    assert scene.table.server_for(request("MESSAGE")) is None
    assert scene.table.server_for(request("BYE", "z9hG4bK-2")) is None
    for sent_by in (b"192.0.2.2:5060", b"192.0.2.1:5070", b"192.0.2.1"):
        other = parse(request_bytes("BYE").replace(b"192.0.2.1:5060", sent_by))
        assert isinstance(other, Request)
        assert scene.table.server_for(other) is None


def test_cancel_finds_its_invite_and_is_not_a_repetition_of_it() -> None:
    scene = Scene()
    server = scene.server()
    assert scene.table.invite_for(request("CANCEL")) is server
    assert scene.table.server_for(request("CANCEL")) is None
    assert scene.table.invite_for(request("CANCEL", "z9hG4bK-2")) is None


@pytest.mark.parametrize("branch", [None, "1", "z9hG4bK"])
def test_without_the_cookie_a_request_is_matched_by_rfc_2543(branch: str | None) -> None:
    scene = Scene()
    server = scene.server("INVITE", branch)
    assert scene.table.server_for(request("INVITE", branch)) is server
    for old, new in [
        (b"c1", b"c2"),
        (b"tag=1", b"tag=2"),
        (b"CSeq: 7", b"CSeq: 8"),
        (b"sip:b@example.com S", b"sip:z S"),
    ]:
        other = parse(request_bytes("INVITE", branch).replace(old, new))
        assert isinstance(other, Request)
        assert scene.table.server_for(other) is None, old
    scene.answers(server, 486)
    assert scene.table.server_for(request("ACK", branch, ";tag=other")) is None
    scene.again(server, "ACK", branch)
    assert server.state == "confirmed"
    scene.again(server, "ACK", branch)


def test_a_response_needs_the_branch_and_the_method() -> None:
    scene = Scene()
    client = scene.client()
    assert scene.table.client_for(response(200)) is client
    assert scene.table.client_for(response(200, "CANCEL")) is None
    assert scene.table.client_for(response(200, branch="z9hG4bK-2")) is None


# --- bounds and memory (T59) ---


def test_capacity_counts_what_waits_for_an_answer() -> None:
    scene = Scene(capacity=2)
    servers = [scene.server(branch=f"z9hG4bK{number}") for number in range(2)]
    with pytest.raises(ServiceUnavailable):
        scene.server(branch="z9hG4bKx")
    scene.answers(servers[0], 200)
    scene.server(branch="z9hG4bKx")
    assert (scene.table.unanswered, scene.table.servers, scene.table.counts.refused) == (2, 3, 1)


def test_answered_ones_are_bounded_too() -> None:
    scene = Scene(capacity=2)
    for number in range(16):
        scene.answers(scene.server("BYE", f"z9hG4bK{number}"), 200)
    with pytest.raises(ServiceUnavailable):
        scene.server()
    scene.run()
    scene.server()


def test_kept_responses_are_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "MOST_KEPT", 100)
    scene = Scene()
    first, second = scene.server("BYE", "z9hG4bKa"), scene.server("BYE", "z9hG4bKb")
    scene.answers(first, 200)
    scene.answers(second, 200)
    assert 0 < scene.table.kept_bytes == len(first.kept) <= 100
    scene.again(first, "BYE", "z9hG4bKa")
    scene.again(second, "BYE", "z9hG4bKb")
    assert scene.wire.statuses == [200, 200, 200], "the second is absorbed in silence"
    scene.run()
    assert scene.table.kept_bytes == 0


def test_what_is_no_longer_needed_is_dropped() -> None:
    scene = Scene()
    server, client = scene.server(), scene.client()
    assert server.request.method == "INVITE"
    scene.hears(client, 200)
    scene.answers(server, 200)
    assert (server.kept, client.kept) == (b"", b"")
    with pytest.raises(AssertionError):
        _ = server.request
    other = scene.client("BYE", "z9hG4bKbye")
    scene.hears(other, 200)
    assert (other.kept, other.user) == (b"", None)
    scene.run()
    assert (client.user, server.user) == (None, None)


def test_a_user_may_call_back_while_he_is_told() -> None:
    scene = Scene()
    client = scene.client()
    told = scene.user.response

    def cancel_at_once(client, response) -> None:
        told(client, response)
        scene.table.cancel(client)

    scene.user.response = cancel_at_once  # type: ignore[method-assign]
    scene.hears(client, 180)
    assert (client.state, scene.wire.methods) == ("cancelling", ["INVITE", "CANCEL"])


def test_a_user_that_raises_leaves_the_machine_sound() -> None:
    scene = Scene()
    client, other = scene.client(), scene.client(branch="z9hG4bK-2")

    def breaks(client, response=None) -> None:
        raise ArithmeticError

    scene.user.response = breaks  # type: ignore[method-assign]
    scene.user.timed_out = breaks  # type: ignore[method-assign]
    with pytest.raises(ArithmeticError):
        scene.hears(client, 200)
    with pytest.raises(ArithmeticError):
        scene.run()
    scene.run()
    assert (client.state, other.state, scene.table.clients) == ("terminated", "terminated", 0)


def test_a_status_outside_1xx_to_6xx_is_dropped() -> None:
    scene = Scene()
    client = scene.client()
    odd = response(200)
    odd.status = 700  # parse() lets none through
    scene.table.receive_response(client, odd)
    assert (client.state, scene.user.told) == ("calling", [])
