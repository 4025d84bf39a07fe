"""The response context against a few-line model, in all orders; then the rules of §16.7 one by one."""

from __future__ import annotations

from itertools import combinations_with_replacement, permutations

import pytest

from sipd.core.response_context import CancelOthers, Forward, ResponseContext, Settled, preference
from sipd.message import Response


def reply(status: int, *headers: tuple[str, str]) -> Response:
    return Response.build(status, "", [("Call-ID", "1"), *headers])


def told(actions: tuple[object, ...]) -> list[object]:
    """Actions in short: 180 forwarded, ("cancel", branches), ("settled", 486)."""
    short: list[object] = []
    for action in actions:
        match action:
            case Forward(response):
                short.append(response.status)
            case CancelOthers(branches):
                short.append(("cancel", *branches))
            case Settled(response):
                short.append(("settled", response.status))
    return short


def model(statuses: list[int]) -> tuple[list[int], int | None]:
    """What goes upstream when branch n says statuses[n], in that order: the 2xx, else the best."""
    answers = [status for status in statuses if status < 300]
    if answers:
        return answers, None
    refusals = [status for status in statuses if status >= 600] or [
        status for status in statuses if status // 100 == min(statuses) // 100
    ]
    last = ({408}, {487}, {440, 482, 483}, {503})
    for group in ({401, 407}, {415, 420, 484}, set(refusals).difference(*last), *last):
        chosen = [status for status in refusals if status in group]
        if chosen:
            return [], 500 if chosen[0] == 503 else chosen[0]
    raise AssertionError


STATUSES = (200, 302, 401, 404, 407, 482, 484, 486, 500, 503, 603)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_all_orders_against_the_model(count: int) -> None:
    replies = {status: reply(status) for status in STATUSES}
    orders = {
        order
        for some in combinations_with_replacement(STATUSES if count < 5 else (*STATUSES[::2], 407, 503), count)
        for order in permutations(some)
    }
    for order in orders:
        context: ResponseContext[int] = ResponseContext()
        for branch in range(count):
            context.add(branch)
        actions = [action for branch, status in enumerate(order) for action in context.receive(branch, replies[status])]
        forwarded = [action.response.status for action in actions if isinstance(action, Forward)]
        settled = [action.response.status for action in actions if isinstance(action, Settled)]
        best = model(list(order))
        assert (forwarded, settled) == (best[0], [] if best[1] is None else [best[1]]), order
        assert sum(isinstance(action, CancelOthers) for action in actions) <= 2, order


@pytest.mark.parametrize(
    ("statuses", "best"),
    [
        ([404, 486], 404),  # lowest class; within 4xx the first to come
        ([404, 407], 407),  # a challenge the caller can act on
        ([302, 404], 302),
        ([486, 603], 603),  # 6xx beats all
        ([603, 302], 603),
        ([503], 500),  # it speaks of that next hop, not of us
        ([503, 501], 501),
        ([503, 407, 501, 404], 407),  # the example of §16.7 step 6
        ([484, 401], 401),
        ([404, 420], 420),
        ([408, 408], 408),
    ],
)
def test_best_response(statuses: list[int], best: int) -> None:
    context: ResponseContext[int] = ResponseContext()
    for branch in range(len(statuses)):
        context.add(branch)
    actions = [told(context.receive(branch, reply(status))) for branch, status in enumerate(statuses)]
    assert actions[-1] == [("settled", best)]
    assert context.settled
    assert not context.answered


def context_of(*branches: str, is_invite: bool = True, expect_more: bool = False) -> ResponseContext[str]:
    context: ResponseContext[str] = ResponseContext(is_invite=is_invite, expect_more=expect_more)
    for branch in branches:
        context.add(branch)
    return context


def test_provisionals_go_up_at_once_but_100() -> None:
    context = context_of("a", "b")
    assert told(context.receive("a", reply(100))) == []
    assert told(context.receive("a", reply(180))) == [180]
    assert told(context.receive("b", reply(183))) == [183]


def test_a_2xx_goes_up_and_cancels_the_others_once() -> None:
    context = context_of("a", "b", "c")
    context.receive("a", reply(486))
    assert told(context.receive("b", reply(200))) == [200, ("cancel", "c")]
    assert context.answered
    assert context.pending == ("c",)
    assert told(context.receive("c", reply(180))) == [], "no provisional after the final response"
    assert told(context.receive("c", reply(200))) == [200], "a second 2xx goes up too"
    assert told(context.receive("b", reply(200))) == [200], "and so does one repeated"
    assert told(context.receive("c", reply(487))) == []


def test_after_a_2xx_refusals_are_dropped() -> None:
    context = context_of("a", "b")
    context.receive("a", reply(200))
    assert told(context.receive("b", reply(603))) == []
    assert context.pending == ()


def test_a_6xx_cancels_and_waits_for_the_others() -> None:
    context = context_of("a", "b", "c", expect_more=True)
    assert told(context.receive("a", reply(603))) == [("cancel", "b", "c")]
    assert not context.may_add
    assert told(context.receive("b", reply(600))) == []
    assert told(context.receive("c", reply(180))) == [180]
    assert told(context.receive("c", reply(487))) == [("settled", 603)]


def test_a_2xx_that_crosses_a_6xx_wins() -> None:
    context = context_of("a", "b")
    context.receive("a", reply(603))
    assert told(context.receive("b", reply(200))) == [200]
    assert told(context.receive("a", reply(603))) == []


def test_after_the_settled_response_only_a_2xx_to_invite_goes_up() -> None:
    context = context_of("a")
    assert told(context.receive("a", reply(486))) == [("settled", 486)]
    assert told(context.receive("a", reply(180))) == []
    assert told(context.receive("a", reply(603))) == []
    assert told(context.receive("a", reply(200))) == [200]


def test_a_non_invite_gets_one_final_response_and_no_provisional() -> None:
    context = context_of("a", "b", is_invite=False)
    assert told(context.receive("a", reply(183))) == [], "RFC 4320 §4.1"
    assert told(context.receive("a", reply(200))) == [200, ("cancel", "b")]
    assert told(context.receive("b", reply(202))) == []
    context = context_of("a", is_invite=False)
    context.receive("a", reply(404))
    assert told(context.receive("a", reply(200))) == []


def test_it_does_not_settle_while_more_is_expected() -> None:
    context = context_of("a", expect_more=True)
    assert told(context.receive("a", reply(486))) == []
    assert context.may_add
    assert context.best is not None
    context.add("b")
    assert told(context.no_more()) == []
    assert told(context.receive("b", reply(404))) == [("settled", 486)]
    assert told(context.no_more()) == []
    assert not context.may_add


def test_no_more_settles_when_all_have_ended() -> None:
    context = context_of("a", expect_more=True)
    context.receive("a", reply(486))
    assert told(context.no_more()) == [("settled", 486)]


def test_a_6xx_settles_even_if_more_was_expected() -> None:
    context = context_of("a", expect_more=True)
    assert told(context.receive("a", reply(603))) == [("settled", 603)]


def test_without_a_branch_there_is_nothing_to_settle() -> None:
    assert context_of().no_more() == ()


def test_a_branch_ends_once() -> None:
    context = context_of("a", "b")
    context.receive("a", reply(486))
    assert told(context.receive("a", reply(302))) == []
    assert told(context.receive("a", reply(180))) == []
    assert told(context.receive("b", reply(404))) == [("settled", 486)]


def test_no_branch_may_start_after_the_answer() -> None:
    context = context_of("a")
    context.receive("a", reply(200))
    with pytest.raises(AssertionError):
        context.add("b")


def test_challenges_of_all_branches_are_in_the_one_forwarded() -> None:
    context = context_of("a", "b", "c", "d")
    context.receive("a", reply(401, ("WWW-Authenticate", 'Digest realm="a", nonce="1"')))
    context.receive("b", reply(404, ("WWW-Authenticate", 'Digest realm="no"')))
    context.receive("c", reply(407, ("Proxy-Authenticate", 'Digest realm="c", nonce="2"')))
    two = [("WWW-Authenticate", f'Digest realm="d", nonce="3", algorithm={name}') for name in ("SHA-256", "MD5")]
    (settled,) = context.receive("d", reply(401, *two))
    assert isinstance(settled, Settled)
    assert settled.response.status == 401
    assert settled.response.values("WWW-Authenticate") == ['Digest realm="a", nonce="1"', *[value for _, value in two]]
    assert settled.response.values("Proxy-Authenticate") == ['Digest realm="c", nonce="2"']


def test_a_503_becomes_a_500_without_retry_after() -> None:
    context = context_of("a")
    (settled,) = context.receive("a", reply(503, ("Retry-After", "60"), ("X-Kept", "yes")))
    assert isinstance(settled, Settled)
    assert settled.response.first("Retry-After") is None
    assert settled.response.first("X-Kept") == "yes"
    assert bytes(settled.response).startswith(b"SIP/2.0 500 ")


def test_preference_is_a_total_order_of_the_refusals() -> None:
    order = sorted(range(300, 700), key=preference)
    assert order[:100] == list(range(600, 700))
    assert order[100:200] == list(range(300, 400))
    assert order[200:205] == [401, 407, 415, 420, 484]
    assert order[-1] == 503
