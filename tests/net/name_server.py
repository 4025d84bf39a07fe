"""A name server for tests: answers from a dict on a loopback UDP socket."""

from __future__ import annotations

import socket

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import trio


class NameServer:
    """`records[name, type]` are the texts of the records; a name without any does not exist."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.ttl = 300
        self.is_silent = False
        self.rcode: int | None = None  # answered to everything
        self.asked: list[tuple[str, str]] = []
        self.address = ("127.0.0.1", 0)
        self.gate: trio.Event | None = None  # waited for before each answer
        self._socket = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        with self._socket:
            await self._socket.bind(("127.0.0.1", 0))
            async with trio.open_nursery() as nursery:
                self.address = self._socket.getsockname()
                task_status.started()
                while True:
                    data, address = await self._socket.recvfrom(4096)
                    nursery.start_soon(self._answer, data, address)

    async def _answer(self, data: bytes, address: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if self.gate is not None:
            await self.gate.wait()
        if self.is_silent:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        texts = self.records.get((name, kind), [])
        if texts:
            answer.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", kind, *texts))
        elif not any(known == name for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        if self.rcode is not None:
            answer.answer.clear()
            answer.set_rcode(dns.rcode.Rcode(self.rcode))
        await self._socket.sendto(answer.to_wire(), address)
