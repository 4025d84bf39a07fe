"""A name server for tests: answers from a dict on a loopback port, over UDP and TCP."""

from __future__ import annotations

import socket
import struct

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import trio

MAX_CHAIN = 20


class NameServer:
    """`records[name, type]` are the texts of the records; a name without any does not exist."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.ttl = 300
        self.soa_minimum: int | None = None  # said with what does not exist
        self.is_silent = False
        self.silent_about: set[str] = set()  # types that get no answer
        self.is_truncating = False  # over UDP: the whole answer is to be had over TCP only
        self.rcode: int | None = None  # answered to everything
        self.asked: list[tuple[str, str]] = []
        self.asked_over_tcp = 0
        self.at_once = 0  # questions waiting for their answer now
        self.most_at_once = 0
        self.address = ("127.0.0.1", 0)
        self.news = trio.lowlevel.ParkingLot()  # whoever waits for questions
        self.gate: trio.Event | None = None  # waited for before each answer
        self._socket = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        with self._socket:
            listeners = await self._bind()
            async with trio.open_nursery() as nursery:
                await nursery.start(trio.serve_listeners, self._answer_stream, listeners)
                task_status.started()
                while True:
                    data, address = await self._socket.recvfrom(4096)
                    nursery.start_soon(self._answer, data, address)

    async def _bind(self) -> list[trio.SocketListener]:
        """One port that is free for both transports."""
        while True:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            self.address = listeners[0].socket.getsockname()
            try:
                await self._socket.bind(self.address)
            except OSError:
                await listeners[0].aclose()
            else:
                return listeners

    async def until_asked(self, at_once: int) -> None:
        """Wait until that many questions wait for their answer."""
        while self.at_once < at_once:
            await self.news.park()

    async def _answer(self, data: bytes, address: tuple[str, int]) -> None:
        answer = await self._answer_to(data)
        if answer is None:
            return
        if self.is_truncating:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
        await self._socket.sendto(answer.to_wire(), address)

    async def _answer_stream(self, stream: trio.SocketStream) -> None:
        data = await stream.receive_some()
        self.asked_over_tcp += 1
        answer = await self._answer_to(data[2:])
        if answer is not None:
            wire = answer.to_wire()
            await stream.send_all(struct.pack("!H", len(wire)) + wire)

    async def _answer_to(self, data: bytes) -> dns.message.Message | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        self.at_once += 1
        self.news.unpark_all()
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.gate is not None:
            await self.gate.wait()
        self.at_once -= 1
        if self.is_silent or kind in self.silent_about:
            return None
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        self._fill(answer, name, kind)
        if self.rcode is not None:
            answer.answer.clear()
            answer.set_rcode(dns.rcode.Rcode(self.rcode))
        return answer

    def _fill(self, answer: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(MAX_CHAIN):
            texts = self.records.get((name, kind), [])
            alias = self.records.get((name, "CNAME"), [])
            if not texts and not alias:
                break
            said = kind if texts else "CNAME"
            answer.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", said, *(texts or alias)))
            if texts:
                return
            name = alias[0].rstrip(".")
        if not any(known == name for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        if self.soa_minimum is not None:
            soa = f"ns.test. admin.test. 1 3600 600 86400 {self.soa_minimum}"
            answer.authority.append(dns.rrset.from_text("test.", 3600, "IN", "SOA", soa))
