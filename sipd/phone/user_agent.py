"""The phone: registers, calls, is called (RFC 3261 §10.2, §13, §15)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from sipd.errors import BadSyntax
from sipd.message import PING, Request, Response, parse
from sipd.phone.clients import Clients
from sipd.phone.dialog import Call, Dialog, Incoming, Times, session
from sipd.phone.faults import NoWay, Refused
from sipd.phone.servers import Servers
from sipd.phone.wire import Wire

if TYPE_CHECKING:
    from sipd.hop import Hop
    from sipd.message import Message
    from sipd.phone.account import Account
    from sipd.phone.ladder import Ladder

EXPIRES: Final = 300
"""Seconds a registration is asked for."""

AGENT: Final = (("User-Agent", "sipd-test-phone"),)
SESSION: Final = ("Content-Type", "application/sdp")


class Phone:
    """One user agent of one account, behind one server. Live from `run` on."""

    def __init__(
        self,
        account: Account,
        server: Hop,
        ladder: Ladder,
        name: str = "",
        *,
        times: Times | None = None,
        incoming: Incoming | None = None,
    ) -> None:
        self.account = account
        self.name = name or account.aor
        self.server = server
        self.calls: dict[str, Call] = {}  # by Call-ID, those made and those received
        self.registered = False
        self._ladder = ladder
        self._times = times or Times()
        self._wire = Wire(self._hear)
        self._clients = Clients(account, server, self._wire, self._times, self._sent)
        self._servers = Servers(self._clients.send, self.calls, self._times, incoming or Incoming())
        self._registration = Dialog.begun(account, account.uri, f"sip:{account.domain}")

    @property
    def contact(self) -> str:
        """Our own URI, where this phone is reached."""
        transport = "" if self.server.transport == "UDP" else f";transport={self.server.transport.lower()}"
        return f"sip:{self.account.user_part}@{self._wire.sent_by}{transport}"

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be there until cancelled. Raises NoWay when no address of ours leads to the server."""
        async with trio.open_nursery() as nursery:  # bounds the calls that ring, and the sockets
            await nursery.start(self._wire.run, self.server)
            self._servers.begin(nursery, self.contact, self._wire.host)
            task_status.started()

    # --- what it does ------------------------------------------------------------------------

    async def register(self, expires: int = EXPIRES) -> None:
        """Register our contact for `expires` seconds, or as briefly as the server takes (§10.2). Raises PhoneError."""
        response = await self._register(expires)
        if response.status == 423:
            least = response.first("Min-Expires") or ""
            if least.isascii() and least.isdigit() and len(least) < 9:
                response = await self._register(int(least))
        if not 200 <= response.status < 300:
            raise Refused(
                f"{self.account.aor}: REGISTER was answered {response.status} {response.reason}",
                "REGISTER",
                response.status,
            )
        self.registered = expires > 0

    async def deregister(self) -> None:
        """Take the contact away again (§10.2.2). Raises PhoneError."""
        await self.register(0)

    async def _register(self, expires: int) -> Response:
        headers = (("Contact", f"<{self.contact}>;expires={expires}"), ("Expires", str(expires)), *AGENT)
        _, response = await self._clients.ask(self._registration, "REGISTER", headers)
        return response

    async def call(self, uri: str) -> Call:
        """Call somebody: the call once it is answered and acknowledged, refused, or was cancelled (§13.2).

        Raises PhoneError when there was no answer at all.
        """
        dialog = Dialog.begun(self.account, uri, uri)
        call = self.calls[dialog.call_id] = Call(dialog.call_id, dialog)
        headers = (("Contact", f"<{self.contact}>"), *AGENT, SESSION)
        begin = trio.current_time()
        invite, response = await self._clients.ask(
            dialog, "INVITE", headers, session(self._wire.host), call.ringing.set
        )
        call.status, call.reason, call.seconds = response.status, response.reason, trio.current_time() - begin
        if call.answered:
            try:
                dialog.establish(response)
                await self._clients.accept(dialog, invite)
            except BadSyntax as fault:
                raise Refused(
                    f"{self.account.aor}: the {response.status} to INVITE has an unreadable Contact or Record-Route",
                    "INVITE",
                    response.status,
                ) from fault
        else:
            call.ended.set()
        return call

    async def hang_up(self, call: Call) -> None:
        """End a call that we made (§15.1.1), unless the far end was faster. Raises PhoneError."""
        if call.dialog is None or call.ended.is_set():
            return
        call.ended_by = "us"
        _, response = await self._clients.ask(call.dialog, "BYE", AGENT)
        call.ended.set()
        if not 200 <= response.status < 300:
            raise Refused(
                f"{self.account.aor}: BYE was answered {response.status} {response.reason}", "BYE", response.status
            )

    # --- what it hears -----------------------------------------------------------------------

    def _sent(self, message: Message, far: Hop, again: bool) -> None:
        self._ladder.note(self.name, True, far, message, again)

    async def _hear(self, data: bytes, far: Hop) -> None:
        if data == PING:
            return
        try:
            message = parse(data, stream=far.transport != "UDP")
            await self._take(message, far)
        except (BadSyntax, NoWay):  # nothing that could be answered, or nobody there to take the answer
            return

    async def _take(self, message: Request | Response, far: Hop) -> None:
        if isinstance(message, Response):
            again = self._clients.known(message)
            self._ladder.note(self.name, False, far, message, again)
            await self._clients.hear(message)
        else:
            again = self._servers.known(message)
            self._ladder.note(self.name, False, far, message, again)
            await self._servers.hear(message, far)
