"""The response context of RFC 3261 §16.7: what the branches of one request say, and what is made of it.

A node that rings several targets tells the context which branches it starts
and what each of them answers; the context says what to do. It holds the
promise that exactly one final response goes upstream, and after it nothing
but further 2xx to an INVITE.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from sipd.message import STATUS, Draft, Response

Branch = TypeVar("Branch", bound=Hashable)


class Forward(NamedTuple):
    """Send this upstream now: a provisional or a 2xx (step 5)."""

    response: Response


class CancelOthers(NamedTuple, Generic[Branch]):
    """Cancel these branches, which have no final response yet, and start no other (step 10)."""

    branches: tuple[Branch, ...]


class Settled(NamedTuple):
    """Every branch has ended and none with a 2xx: send the best response (step 6).

    The challenges of the other branches are in it already (step 7), and a 503
    has been made a 500.
    """

    response: Response


Action = Forward | CancelOthers[Branch] | Settled

PREFERENCE: Final = {401: 0, 407: 0, 415: 1, 420: 1, 484: 1, 408: 6, 487: 7, 440: 8, 482: 8, 483: 8, 503: 9}
"""Rank of a status within its class, DEFAULT_RANK for others, the least is best; equal ones in the order they came.

First what the caller can act upon, challenges before all (step 6). Last what
says nothing of the one who was called: nobody answered, we cancelled, the
request went in circles. A 503 speaks of that next hop, not of us: any other
5xx says more.
"""

DEFAULT_RANK: Final = 5

CHALLENGES: Final = frozenset({401, 407})
CHALLENGE_FIELDS: Final = ("WWW-Authenticate", "Proxy-Authenticate")


def best_of(finals: Sequence[Response]) -> Response:
    """The one to send upstream of some that are not 2xx (§16.7 steps 6 and 7).

    The challenges of the others are in it; a 503 has been made a 500.
    """
    best = min(finals, key=lambda response: preference(response.status))
    if best.status == 503:
        return _as_500(best)
    if best.status in CHALLENGES and len(finals) > 1:
        return _with_challenges(best, finals)
    return best


def preference(status: int) -> tuple[int, int]:
    """Sort key of a final response that is not 2xx: 6xx, then the lowest class, then PREFERENCE."""
    family = status // 100
    return (0 if family == 6 else family, PREFERENCE.get(status, DEFAULT_RANK))


class ResponseContext(Generic[Branch]):
    """The responses of one request's branches.

    `expect_more`: further branches may be added after those there are now
    (the next q group, a script's next step), so the context does not settle
    when these have ended; `no_more()` says when that is over.
    """

    __slots__ = ("_answered", "_finals", "_pending", "_refused_by_all", "_settled", "expect_more", "is_invite")

    def __init__(self, *, is_invite: bool = True, expect_more: bool = False) -> None:
        self.is_invite = is_invite
        self.expect_more = expect_more
        self._pending: dict[Branch, None] = {}  # in the order they were added
        self._finals: list[Response] = []
        self._answered = False
        self._refused_by_all = False
        self._settled = False

    @property
    def answered(self) -> bool:
        """Whether a 2xx was forwarded."""
        return self._answered

    @property
    def settled(self) -> bool:
        """Whether a final response has gone upstream."""
        return self._answered or self._settled

    @property
    def may_add(self) -> bool:
        """Whether a new branch makes sense: nobody has answered, and no 6xx came (step 5)."""
        return not (self._answered or self._settled or self._refused_by_all)

    @property
    def pending(self) -> tuple[Branch, ...]:
        """The branches without a final response."""
        return tuple(self._pending)

    @property
    def best(self) -> Response | None:
        """The best refusal so far, as it came."""
        return min(self._finals, key=lambda response: preference(response.status)) if self._finals else None

    def add(self, branch: Branch) -> None:
        """A branch starts; only while `may_add`."""
        assert self.may_add, "no branch may start after the answer"
        self._pending[branch] = None

    def forget(self, branch: Branch) -> None:
        """A branch is replaced by those its 3xx pointed to: it has no say any more (step 4)."""
        self._pending.pop(branch, None)

    def receive(self, branch: Branch, response: Response) -> tuple[Action[Branch], ...]:
        """What to do about a response of a branch, in this order.

        A branch ends with its first final response, made by itself when it
        got none; of what comes then only a 2xx to INVITE counts.
        """
        status = response.status
        if status >= 300:
            return self._refused(branch, response)
        if status >= 200:
            return self._succeeded(branch, response)
        # RFC 4320 §4.1: to a non-INVITE there is no provisional but 100, and that is for one hop.
        if status == 100 or not self.is_invite or self._answered or self._settled or branch not in self._pending:
            return ()
        return (Forward(response),)

    def no_more(self) -> tuple[Action[Branch], ...]:
        """No branch will be added any more: settle if all have ended.

        Where no branch ever started there is nothing to settle with: the answer is up to the caller.
        """
        self.expect_more = False
        return self._settle()

    def _succeeded(self, branch: Branch, response: Response) -> tuple[Action[Branch], ...]:
        self._pending.pop(branch, None)
        if self._answered or self._settled:
            return (Forward(response),) if self.is_invite else ()
        self._answered = True
        self._finals.clear()
        if not self._pending:
            return (Forward(response),)
        return (Forward(response), CancelOthers(tuple(self._pending)))

    def _refused(self, branch: Branch, response: Response) -> tuple[Action[Branch], ...]:
        if branch not in self._pending:
            return ()
        del self._pending[branch]
        if self._answered or self._settled:
            return ()
        self._finals.append(response)
        first_600 = response.status >= 600 and not self._refused_by_all
        self._refused_by_all = self._refused_by_all or first_600
        if not self._pending:
            return self._settle()
        return (CancelOthers(tuple(self._pending)),) if first_600 else ()

    def _settle(self) -> tuple[Action[Branch], ...]:
        if self._pending or self._answered or self._settled or (self.expect_more and not self._refused_by_all):
            return ()
        if not self._finals:
            return ()
        best = best_of(self._finals)
        self._settled = True
        self._finals.clear()
        return (Settled(best),)


def _as_500(response: Response) -> Response:
    """The 503 of one next hop as what it is to the caller (step 6); when to retry that hop is not his matter."""
    draft = Draft(response)
    draft.start_line = f"SIP/2.0 500 {STATUS[500]}"
    draft.remove("Retry-After")
    return _response(draft)


def _with_challenges(best: Response, finals: Sequence[Response]) -> Response:
    """`best` with the challenges of the other 401 and 407 added unchanged (step 7)."""
    draft = Draft(best)
    for other in finals:
        if other is best or other.status not in CHALLENGES:
            continue
        for name in CHALLENGE_FIELDS:
            for value in other.values(name):
                draft.append(name, value)
    return _response(draft)


def _response(draft: Draft) -> Response:
    return Response(draft.start_line, draft.names, draft.lines, draft.body)
