"""Whatever comes in whatever order, every transaction ends, and tells its user no more than it may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.transaction.scene import BRANCH, Scene, request

if TYPE_CHECKING:
    from sipd.transaction import ClientTransaction

STATUSES = (100, 180, 200, 302, 486, 603)
PAUSES = (0.0, 0.1, 0.5, 3.0, 16.0, 32.0)

client_inputs = st.lists(
    st.one_of(st.sampled_from(STATUSES), st.sampled_from(PAUSES), st.sampled_from(["cancel", "failed"])), max_size=12
)
server_inputs = st.lists(
    st.one_of(st.sampled_from(STATUSES), st.sampled_from(PAUSES), st.sampled_from(["again", "ACK", "give up"])),
    max_size=12,
)


@given(st.sampled_from(["INVITE", "BYE"]), st.booleans(), client_inputs)
def test_a_client_ends_by_itself_but_an_invite_in_proceeding(
    method: str, reliable: bool, inputs: list[float | int | str]
) -> None:
    scene = Scene(reliable=reliable)
    client = scene.client(method)
    for given_ in inputs:
        if isinstance(given_, float):
            scene.run(scene.now + given_)
        elif given_ == "cancel":
            scene.table.cancel(client)
        elif given_ == "failed":
            scene.table.flow_failed(scene.wire)
        elif isinstance(given_, int):
            scene.hears(client, given_)
    scene.run()
    if client.state == "proceeding":
        assert (method, scene.table.clients) == ("INVITE", 1)
    else:
        assert (client.state, scene.table.clients) == ("terminated", 0)
        assert (client.user, client.kept) == (None, b"")
        assert not scene.table._over
    assert len(scene.table.deadlines) == 0

    told = scene.user.told
    finals = [at for at, what in enumerate(told) if what not in (100, 180)]
    if finals:
        after = told[finals[0] + 1 :]
        assert method == "INVITE" or not after, "one final response"
        assert set(after) <= ({200} if told[finals[0]] == 200 else set()), "after it, at most further 2xx"
    if client.state == "terminated":
        assert finals, "the user heard how it ended"
    assert scene.wire.methods.count("CANCEL") <= 11 * (method == "INVITE")


@given(st.sampled_from(["INVITE", "BYE"]), st.booleans(), server_inputs)
def test_a_server_ends_once_it_is_answered(method: str, reliable: bool, inputs: list[float | int | str]) -> None:
    scene = Scene(reliable=reliable)
    server = scene.server(method)
    answered = False
    for given_ in inputs:
        if isinstance(given_, float):
            scene.run(scene.now + given_)
        elif given_ == "again":
            if scene.table.server_for(request(method)) is server:
                scene.again(server, method)
        elif given_ == "ACK":
            scene.table.receive_again(server, request("ACK", BRANCH, ";tag=9"))
        elif given_ == "give up":
            scene.table.abandon(server)
            answered = True
        elif isinstance(given_, int):
            scene.answers(server, given_)
            answered = answered or given_ >= 200
    scene.run()
    assert (server.state == "terminated") == answered
    assert scene.table.servers == scene.table.unanswered == (not answered)
    assert server.answered == answered
    assert scene.table.kept_bytes == len(server.kept) == (0 if answered else len(server.kept))
    assert scene.user.told.count("ended") == answered
    assert len(scene.table.deadlines) == 0
    if method == "BYE" and scene.wire.data:
        finals = [status for status in scene.wire.statuses if status >= 200]
        assert len(set(finals)) <= 1


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["open", *map(str, STATUSES)])), max_size=20))
def test_transactions_do_not_disturb_each_other(steps: list[tuple[int, str]]) -> None:
    scene = Scene()
    open_: dict[int, ClientTransaction] = {}
    for number, what in steps:
        if what == "open" and number not in open_:
            open_[number] = scene.client("BYE", f"z9hG4bK{number}")
        elif what != "open" and number in open_:
            scene.hears(open_[number], int(what))
    assert scene.table.clients == len(open_)
    scene.run()
    assert scene.table.clients == 0
    assert sum(what not in (100, 180) for what in scene.user.told) == len(open_)
