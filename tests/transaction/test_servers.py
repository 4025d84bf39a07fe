"""Server transactions: scripts of (time, input) -> what is sent and told."""

from __future__ import annotations

from tests.transaction.scene import Scene

UP_TO_T2 = [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]

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


def test_a_2xx_after_the_end_is_passed_on_without_state() -> None:
    scene = Scene()
    server = scene.server()
    scene.answers(server, 486)
    scene.again(server, "ACK")
    scene.run()
    scene.answers(server, 180, 404, 200)
    assert scene.wire.statuses == [486, 200]
    assert (scene.table.servers, scene.user.told, len(scene.table.deadlines)) == (0, ["ended"], 0)


def test_a_2xx_after_the_end_disturbs_no_later_transaction_of_the_same_branch() -> None:
    scene = Scene(reliable=True)
    server = scene.server()
    scene.answers(server, 486)
    scene.again(server, "ACK")
    later = scene.server()
    scene.answers(server, 200)
    assert (later.state, scene.table.servers) == ("proceeding", 1)


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
