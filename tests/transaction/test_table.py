"""Matching, bounds, memory, and users that call back or raise."""

from __future__ import annotations

import pytest

from sipd.errors import ServiceUnavailable
from sipd.message import Request, parse
from sipd.transaction import kinds
from tests.transaction.scene import Scene, request, request_bytes, response

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
    monkeypatch.setattr(kinds, "MOST_KEPT", 50)
    scene = Scene()
    first, second = scene.server("BYE", "z9hG4bKa"), scene.server("BYE", "z9hG4bKb")
    scene.answers(first, 200)
    scene.answers(second, 200)
    assert 0 < scene.table.kept_bytes == len(first.kept) <= 50
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
