"""What stays of a call that is over: nobody to tell, but for the caller of a 2xx that comes late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.core.forwarding import returned_copy
from sipd.server.answer import answer

if TYPE_CHECKING:
    from sipd.message import Response
    from sipd.server.house import House
    from sipd.server.node import Node
    from sipd.transaction import ClientTransaction, ServerTransaction


class _Nobody:
    """The parent of a branch whose call is over."""

    def receive(self, child: Node, response: Response) -> None:
        """Nothing is left to be done."""


NOBODY: Final = _Nobody()


class LateAnswers:
    """What stays of a call that is over: 2xx that come late still reach the caller (§16.7 step 10)."""

    __slots__ = ("_house", "_server")

    def __init__(self, house: House, server: ServerTransaction) -> None:
        self._house = house
        self._server = server

    def response(self, client: ClientTransaction, response: Response) -> None:
        """Pass a 2xx on; all else was settled before."""
        if 200 <= response.status < 300:
            answer(self._house, self._server, returned_copy(response))

    def timed_out(self, client: ClientTransaction) -> None:
        """Nothing to do: the call is over."""

    def transport_failed(self, client: ClientTransaction) -> None:
        """Nothing to do: the call is over."""
