"""The parts of sipd in process, without sockets: what each costs on the hot path.

Each row of PARTS prepares itself and gives a function without arguments; the
figure is the best of several repetitions, so that other programs of the
machine disturb it least.
"""

from __future__ import annotations

import gc
import itertools
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from sipd.core.forwarding import Passage, forwarded_copy, returned_copy
from sipd.hop import Hop, Target
from sipd.message import Draft, Framer, Request, Response, parse, parse_uri, response_to
from sipd.seal import Seal
from sipd.transaction import Transactions
from tests.bench.scenarios import SCRIPT_RFC

if TYPE_CHECKING:
    from collections.abc import Callable

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0 8\r\n"
INVITE: Final = (
    "INVITE sip:bob@example.test SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:5080;branch=z9hG4bK-524287-1---abcdef0123456789;rport\r\n"
    "Max-Forwards: 70\r\n"
    'From: "Alice Liddell" <sip:alice@example.test>;tag=8c1a77f2\r\n'
    "To: <sip:bob@example.test>\r\n"
    "Call-ID: ODhjYjM5ZGIyNzM4ZjI4ZjU1@127.0.0.1\r\n"
    "CSeq: 1 INVITE\r\n"
    "Contact: <sip:alice@127.0.0.1:5080>\r\n"
    "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE\r\n"
    "User-Agent: a phone of some make\r\n"
    "Content-Type: application/sdp\r\n"
    f"Content-Length: {len(SDP)}\r\n\r\n{SDP}"
).encode()
OURS = "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-ours\r\n"


def invite() -> Request:
    """The INVITE, read anew: nothing of it is typed yet."""
    message = parse(INVITE)
    assert isinstance(message, Request)
    return message


def answer() -> bytes:
    """The 200 to it as it comes back from the target, our Via on top."""
    made = bytes(response_to(invite(), 200, to_tag="callee", body=SDP.encode(), content_type="application/sdp"))
    return made.replace(b"Via: ", OURS.encode() + b"Via: ", 1)


class Nowhere:
    """A flow to nobody, and a user of transactions that cares about nothing."""

    remote = Hop("UDP", "127.0.0.1", 5080)
    near = Hop("UDP", "127.0.0.1", 5060)
    names = ()
    sent_by = "127.0.0.1:5060"
    reliable = False
    needs_length = False
    closed = False

    def send(self, data: bytes) -> None:
        """Gone."""

    def response(self, client: object, response: Response) -> None:
        """Heard."""

    def timed_out(self, client: object) -> None:
        """Too bad."""

    def transport_failed(self, client: object) -> None:
        """Too bad."""


def parsing() -> Callable[[], object]:
    return lambda: parse(INVITE)


def reading() -> Callable[[], object]:
    def read() -> None:
        message = parse(INVITE)
        _ = message.via, message.cseq, message.call_id

    return read


def editing() -> Callable[[], object]:
    message = invite()

    def edit() -> bytes:
        draft = Draft(message)
        draft.prepend("Via", "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-ours")
        draft.prepend("Record-Route", "<sip:127.0.0.1:5060;lr;c=0123456789abcdef>")
        draft.replace("Max-Forwards", "69")
        draft.start_line = "INVITE sip:bob@127.0.0.1:5090 SIP/2.0"
        return bytes(draft)

    return edit


def answering() -> Callable[[], object]:
    message = invite()
    return lambda: bytes(response_to(message, 180, to_tag="callee"))


def forwarding() -> Callable[[], object]:
    message, seal = invite(), Seal(b"a key for the benchmarks")
    target = Target(parse_uri("sip:bob@127.0.0.1:5090"))
    passage = Passage(target, "z9hG4bK-ours", "127.0.0.1:5060", "UDP", "127.0.0.1:5060", "UDP", True, seal)
    return lambda: forwarded_copy(message, passage)


def returning() -> Callable[[], object]:
    message = parse(answer())
    assert isinstance(message, Response)
    return lambda: bytes(returned_copy(message))


def client_transaction() -> Callable[[], object]:
    nowhere, serial = Nowhere(), itertools.count()
    now = itertools.count()  # a second an operation: each run clears away what an earlier one left
    moment = [0.0]
    table = Transactions(lambda: moment[0])
    response = parse(answer())
    assert isinstance(response, Response)

    def ask() -> None:
        moment[0] = float(next(now))
        table.expire(moment[0])
        client = table.open_client(INVITE, f"z9hG4bK-{next(serial)}", "INVITE", nowhere, nowhere)
        table.receive_response(client, response)

    return ask


def server_transaction() -> Callable[[], object]:
    nowhere, serial = Nowhere(), itertools.count()
    now = itertools.count()
    moment = [0.0]
    table = Transactions(lambda: moment[0])
    ok = bytes(response_to(invite(), 200, to_tag="callee"))

    def serve() -> None:
        moment[0] = float(next(now))
        table.expire(moment[0])
        message = parse(INVITE.replace(b"abcdef0123456789", b"%016x" % next(serial)))
        assert isinstance(message, Request)
        if table.server_for(message) is None:
            table.respond(table.open_server(message, nowhere), 200, ok)

    return serve


def framing() -> Callable[[], object]:
    framer = Framer()
    return lambda: framer.feed(INVITE)


def compiling() -> Callable[[], object]:
    from sipd.cpl import compile as compile_script

    source = SCRIPT_RFC.encode()
    return lambda: compile_script(source)


def running(source: str, *, traced: bool) -> Callable[[], object]:
    """One run of that script for a call from alice to bob on a Monday at noon, up to its proxy or its end."""
    from datetime import UTC, datetime

    from sipd.cpl import compile as compile_script
    from sipd.cpl import evaluate
    from sipd.message import parse_address
    from sipd.script import Facts, Lookup, LookupResult

    program = compile_script(source.encode())
    facts = Facts(
        owner="bob@example.test", direction="incoming", origin=parse_address("<sip:alice@example.test>;tag=1"),
        destination=parse_uri("sip:bob@example.test"), now=datetime(2026, 11, 23, 12, tzinfo=UTC),
        original_destination=parse_address("<sip:bob@example.test>"), subject="Lunch",
    )  # fmt: skip
    found = LookupResult("success", (Target(parse_uri("sip:bob@127.0.0.1:5090")),))

    def run() -> None:
        steps = evaluate(program, facts, [] if traced else None)
        try:
            if type(steps.send(None)) is Lookup:
                steps.send(found)
        except StopIteration:
            return
        steps.close()

    return run


FIVE_NODES: Final = """<cpl><incoming>
 <address-switch field="origin" subfield="user"><address is="boss"/><otherwise>
  <string-switch field="subject"><string is="urgent"/><otherwise>
   <address-switch field="origin" subfield="host"><address subdomain-of="example.test">
    <location url="sip:mailbox@example.test"><redirect/></location>
   </address></address-switch>
  </otherwise></string-switch>
 </otherwise></address-switch>
</incoming></cpl>"""
TYPICAL: Final = """<cpl><incoming>
 <address-switch field="origin" subfield="user"><address is="boss"><reject status="busy"/></address><otherwise>
  <time-switch tzid="Europe/Berlin">
   <time dtstart="20060102T090000" dtend="20060102T170000" freq="weekly" byday="MO,TU,WE,TH,FR">
    <lookup source="registration"><success><proxy timeout="15"><noanswer/></proxy></success></lookup>
   </time>
   <otherwise><reject status="reject"/></otherwise>
  </time-switch>
 </otherwise></address-switch>
</incoming></cpl>"""


TIMES: Final = {
    "once": "duration='P14D'",
    "weekly": "duration='PT8H' freq='weekly' byday='MO,TU,WE,TH,FR'",
    "last work day": "duration='PT8H' freq='monthly' byday='MO,TU,WE,TH,FR' bysetpos='-1'",
    "every 7th minute since 1970": "duration='PT1M' freq='minutely' interval='7'",
}
"""Times of scripts by what they are called here."""


def telling_the_time(name: str) -> Callable[[], object]:
    """Asks a time-switch with one time, at another moment each time."""
    from datetime import UTC, datetime, timedelta

    from sipd.cpl import compile as compile_script
    from sipd.cpl import evaluate
    from sipd.message import parse_address
    from sipd.script import Facts

    start = "20260105T090000" if name in ("once", "weekly") else "19700105T090000"
    switch = f"<time-switch tzid='Europe/Paris'><time dtstart='{start}' {TIMES[name]}/></time-switch>"
    program = compile_script(f"<cpl><incoming>{switch}</incoming></cpl>".encode())
    someone = parse_address("<sip:alice@example.test>;tag=1")
    moments = [datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=977 * n) for n in range(1000)]
    calls = itertools.cycle([
        Facts("bob@example.test", "incoming", someone, someone.uri, someone, moment) for moment in moments
    ])  # fmt: skip

    def ask() -> None:
        for _ in evaluate(program, next(calls)):
            pass

    return ask


PARTS: Final[dict[str, tuple[Callable[[], Callable[[], object]], float | None]]] = {
    "parse an INVITE": (parsing, 10),
    "... and read Via, CSeq, Call-ID": (reading, 13),
    "frame it from a stream": (framing, None),
    "four edits, as bytes": (editing, 4),
    "an answer, as bytes": (answering, 6),
    "forwarded copy (§16.6)": (forwarding, None),
    "returned copy, as bytes (§16.7)": (returning, None),
    "client transaction, 200": (client_transaction, 8),
    "server transaction, 200, with parse": (server_transaction, 16),
    "compile a CPL script": (compiling, None),
    "run it to its proxy": (partial(running, SCRIPT_RFC, traced=False), 10),
    "... and keep a trace": (partial(running, SCRIPT_RFC, traced=True), 10),
    "run five nodes": (partial(running, FIVE_NODES, traced=False), 10),
    "five nodes, and keep a trace": (partial(running, FIVE_NODES, traced=True), 10),
    "run address, time, lookup, proxy": (partial(running, TYPICAL, traced=False), 20),
    "these four, and keep a trace": (partial(running, TYPICAL, traced=True), 20),
    **{f"time-switch, {name}": (partial(telling_the_time, name), 20) for name in TIMES},
}
"""What is measured: how to prepare it, and its budget in microseconds (None: none was set)."""


def microseconds(operation: Callable[[], object], *, repetitions: int = 7, seconds: float = 0.05) -> float:
    """The best of some repetitions of that length."""
    operation()
    began, loops = time.perf_counter(), 1
    while time.perf_counter() - began < seconds / 5:
        operation()
        loops += 1
    loops = max(1, loops * 5)
    best = float("inf")
    gc.collect()
    gc.disable()
    try:
        for _ in range(repetitions):
            began = time.perf_counter()
            for _ in itertools.repeat(None, loops):
                operation()
            best = min(best, (time.perf_counter() - began) / loops)
    finally:
        gc.enable()
    return 1e6 * best


def table() -> str:
    """One line for each part: its cost, its budget, and whether it keeps it."""
    lines = [f"{'part':<38}{'us':>8}{'budget':>9}"]
    for name, (prepare, budget) in PARTS.items():
        took = microseconds(prepare())
        word = "" if budget is None or took <= budget else "  OVER"
        lines.append(f"{name:<38}{took:>8.2f}{'' if budget is None else f'{budget:g}':>9}{word}")
    return "\n".join(lines)
