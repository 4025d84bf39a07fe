"""One request that comes to us twice, by two ways of a fork elsewhere (RFC 3261 §8.2.2.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.recent import Recent

if TYPE_CHECKING:
    from sipd.message import Request

REMEMBERED: Final = 1000
"""Requests, come by way of another proxy and answered here, that are known again when they come by a second way."""

_Key = tuple[str, int, str | None, str]


class Merged:
    """The branch by which each such request came first."""

    __slots__ = ("_first",)

    def __init__(self) -> None:
        self._first: Recent[_Key, str] = Recent(REMEMBERED)

    def __len__(self) -> int:
        return len(self._first)

    def is_merged(self, request: Request) -> bool:
        """Whether the same request came by another way before: then only that one is answered, this with 482."""
        if request.one_via or request.to_tag is not None:
            return False
        key = (request.call_id, request.cseq.number, request.from_tag, request.method)
        way = f"{request.via.sent_by} {request.branch}"
        first = self._first.get(key)
        if first is None:
            self._first.put(key, way)
        return first is not None and first != way
