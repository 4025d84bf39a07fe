"""A phone that nobody here wrote (baresip, by baresip-python), driven over standard input and output.

Each line in is a JSON object with `do`: register, dial (`uri`), answer, hangup, reject, unregister, quit.
Each line out is a JSON object with `event`: ready, registered, registration_failed, incoming, ringing,
established, closed, error ... It runs in a process of its own, as it has its own threads and event loop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from typing import Any

import baresip  # its events and calls are taken as Any: it ships types, but changes them with each release


def tell(event: str, **more: Any) -> None:
    """Write one event."""
    print(json.dumps({"event": event, **more}), flush=True)


class Phone:
    """One account, one call at a time."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._runtime = baresip.Runtime()
        self._agent: Any = None
        self._call: Any = None

    async def run(self) -> None:
        """Take commands until there are no more."""
        text = f"sip_listen 127.0.0.1:{self._options.port}\n"
        if self._options.authorities:
            text += f"sip_cafile {self._options.authorities}\nsip_verify_server yes\n"
        config = baresip.Config(
            net_interface="127.0.0.1",
            native_log_level="info",
            sip_trace=self._options.trace,
            extra_config_text=text,
        )
        await self._runtime.start(config)
        self._runtime.subscribe(self._heard)
        account = baresip.Account(
            user=self._options.user,
            domain=self._options.domain,
            password=self._options.password,
            registrar=self._options.proxy,
            transport=self._options.transport,
            reg_interval=600,
        )
        self._agent = await baresip.UserAgent.create(self._runtime, account)
        self._agent.on_incoming(self._rung)
        tell("ready")
        try:
            await self._take_commands()
        finally:
            await self._runtime.close()

    async def _take_commands(self) -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            command = json.loads(line)
            if command["do"] == "quit":
                return
            try:
                await getattr(self, f"do_{command.pop('do')}")(**command)
            except baresip.BaresipError as error:
                tell("error", text=str(error), status=getattr(error, "status", None))

    async def do_register(self) -> None:
        """Register, with digest when challenged."""
        try:
            await self._agent.register(timeout=15)
        except baresip.RegistrationError as error:
            tell("registration_failed", status=error.status, text=str(error))
        else:
            tell("registered")

    async def do_unregister(self) -> None:
        """Take the binding away."""
        await self._agent.unregister(timeout=15)
        tell("unregistered")

    async def do_dial(self, uri: str) -> None:
        """Call somebody; how it goes comes as events."""
        self._call = await self._agent.dial(uri)

    async def do_answer(self) -> None:
        """Take the call that rings."""
        await self._call.answer()

    async def do_hangup(self) -> None:
        """End the call."""
        await self._call.hangup()

    async def do_reject(self) -> None:
        """Refuse the call that rings (486)."""
        await self._call.reject()

    async def do_mark(self, text: str) -> None:
        """Say this behind all that was traced so far."""
        print(text, file=sys.stderr, flush=True)

    def _rung(self, call: Any) -> None:
        self._call = call
        tell("incoming", peer=call.peer, call_id=call.call_id)

    def _heard(self, event: Any) -> None:
        names = {"CALL_RINGING": "ringing", "CALL_ESTABLISHED": "established", "CALL_CLOSED": "closed"}
        if name := names.get(event.event.name):
            tell(name, text=event.text, call_id=event.call_id)


def main() -> None:
    """Run until told to quit, or standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", default="")
    parser.add_argument("--domain", required=True)
    parser.add_argument("--proxy", default=None)
    parser.add_argument("--transport", choices=("udp", "tcp", "tls"), default="udp")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--authorities", help="PEM file of those trusted over TLS")
    parser.add_argument("--trace", action="store_true", help="all SIP messages on standard error")
    options = parser.parse_args()
    logging.basicConfig(level=logging.DEBUG if options.trace else logging.WARNING, stream=sys.stderr)
    asyncio.run(Phone(options).run())


if __name__ == "__main__":
    main()
