"""Mutates messages and reads all that can be read of them: `python -m tests.fuzz_message --count 1000000 [--seed N]`.

Only SipError may come out, what is accepted must come back byte for byte, and
no message may take long. Exits 1 on a violation and shows the message.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import NamedTuple

from sipd.errors import SipError
from sipd.message import (
    PING,
    Draft,
    Framer,
    Message,
    Request,
    expires_from_text,
    parse,
    parse_auth,
    q_from_text,
    response_to,
)
from tests.data.torture import TORTURE
from tests.message.samples import SAMPLES

LAZY = sorted(Message._readers)
HOSTILE = [
    *(bytes([byte]) for byte in b"\x00\x01\t\n\r\x1b\x7f\x80\xff\"'<>;,:@?&=%\\()[]{} *"),
    *(
        b"\r\n",
        b"\r\n ",
        b"\r\n\r\n",
        b"\n\n",
        b"\r\r\n",
        b"%00",
        b"%0d%0a",
        b"%zz",
        b"%C3%28",
        b"\xc0\xaf",
        b"\xe2\x80\xa8",
    ),
    *(
        b'\\"' * 20,
        b"(" * 50,
        b"\r\n " * 20,
        b";a=" * 20,
        b"," * 30,
        b";" * 30,
        b"<" * 20,
        b'"' * 21,
        b" " * 60,
        b"\t" * 9,
    ),
    *(b"::", b"[::1]", b"[", b"[::ffff:1.2.3.4]", b":99999", b":0", b"-1", b"9" * 30, b"\xd9\xa1", b"0x10", b"1e3"),
    *(
        b";tag=",
        b';tag="\\',
        b";branch=",
        b";received=",
        b";rport=99999",
        b";rport;rport",
        b"*",
        b"sip:",
        b"sips:",
        b"tel:+1",
    ),
    *(
        b"Via: ",
        b"v:",
        b"To: ",
        b"Content-Length: 0\r\n",
        b"l: 5\r\n",
        b"Contact: *\r\n",
        b" SIP/2.0",
        b"SIP/2.0 ",
        b"ACK ",
    ),
    *(
        "\N{EM SPACE}".encode(),
        "\N{ARABIC-INDIC DIGIT ONE}".encode(),
        "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}".encode(),
    ),
]
CORPUS = [row.data for row in TORTURE] + SAMPLES


class Outcome(NamedTuple):
    """What a run came to."""

    done: int
    accepted: int
    seconds: float
    slowest: float
    slowest_data: bytes
    violation: str = ""
    violation_data: bytes = b""


def mutated(chance: random.Random) -> bytes:
    """A message of the corpus after one to six mutations, mostly one."""
    data = bytearray(chance.choice(CORPUS))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        size = len(data)
        at = chance.randint(0, size)
        end = min(size, at + chance.choice((1, 2, 5, 20, 100)))
        kind = chance.randrange(9)
        if kind == 0 and at < size:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[at:end]
        elif kind == 2:
            data[at:at] = data[at:end]
        elif kind == 3:
            other = chance.choice(CORPUS)
            start = chance.randint(0, len(other))
            data[at:at] = other[start : start + chance.choice((3, 10, 60, 400))]
        elif kind == 4:
            del data[at:]
        elif kind == 5 and at < size:
            data[at] = chance.randrange(256)
        elif kind == 6:
            lines = bytes(data).split(b"\r\n")
            lines.insert(chance.randint(1, len(lines)), chance.choice(lines))
            data = bytearray(b"\r\n".join(lines))
        else:
            data[at:end] = chance.choice(HOSTILE)
    return bytes(data)


def read_all(message: Message) -> None:
    """Read every typed value and everything made of them; a SipError is an answer too."""
    for name in (*LAZY, *(("uri",) if isinstance(message, Request) else ())):
        try:
            value = getattr(message, name)
        except SipError:
            continue
        if name in ("via", "from_", "to", "uri"):
            str(value)
        if name == "uri":
            value.same_as(value)
            _ = value.user_unescaped, value.transport
        if name == "via":
            _ = value.branch, value.received, value.rport, str(value.with_params(received="192.0.2.1", rport="5060"))
        for address in value if isinstance(value, list) else ():
            try:
                _ = str(address), address.tag, q_from_text(address.param("q") or "1"), address.uri.same_as(address.uri)
            except SipError:
                continue
    for name in ("Authorization", "Supported", "Warning", "X-Unknown"):
        for text in message.values(name):
            expires_from_text(text)
            try:
                parse_auth(text)
            except SipError:
                continue


def edited(message: Message) -> bytes:
    """The message as a proxy would send it on."""
    draft = Draft(message)
    draft.remove_first_value("Via")
    draft.prepend("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKfuzz")
    draft.replace("Max-Forwards", "69")
    draft.remove_first_value("Route")
    draft.remove("Contact")
    draft.append("X-Fuzz", "1")
    draft.body = b"fuzz"
    return bytes(draft)


def answered(request: Request) -> None:
    """Answer it, and read the answer."""
    data = bytes(response_to(request, 400, to_tag="fuzz"))
    try:
        parse(data, stream=True)
    except SipError as fault:
        if fault.status not in (400, 483, 513):
            raise AssertionError(f"an answer of ours is refused with {fault.status}") from fault


def check(data: bytes, *, stream: bool) -> bool:
    """Do with one message all that the server would; True when it was accepted. Raises what must not be raised."""
    try:
        message = parse(data, stream=stream)
    except SipError as fault:
        request = getattr(fault, "request", None)
        if request is not None:
            read_all(request)
            answered(request)
        return False
    whole = data.lstrip(b"\r\n") if data[:1] == b"\r" else data
    assert whole.startswith(bytes(message)), "an accepted message does not come back byte for byte"
    read_all(message)
    if isinstance(message, Request):
        answered(message)
        answered_100 = bytes(response_to(message, 100))
        assert answered_100.startswith(b"SIP/2.0 100 Trying\r\n"), "no 100"
    forwarded = parse(edited(message), stream=True)
    assert forwarded.body == b"fuzz", "an edit lost the body"
    return True


def framed(data: bytes, chance: random.Random) -> None:
    """The stream cut at random gives what it gives whole."""
    whole = Framer().feed(data)
    framer, items, at = Framer(), [], 0
    while at < len(data):
        size = chance.choice((1, 3, 50, 1000))
        items += framer.feed(data[at : at + size])
        at += size
    assert items == whole, "a split stream gives other items"
    for number, item in enumerate(whole, 1):
        accepted = check(item, stream=True)
        if framer.broken and number == len(whole):
            assert not accepted, "a stream broken for nothing"
        elif not accepted and item != PING:
            assert "Content-Length" not in fault_of(item), "framed by a Content-Length that is refused"


def fault_of(item: bytes) -> str:
    """What is said of a message that is refused."""
    try:
        parse(item, stream=True)
    except SipError as fault:
        return fault.text
    return ""


def run(count: int, seed: int, *, stop_at: float = float("inf")) -> Outcome:
    """Fuzz; the first violation ends it."""
    chance = random.Random(seed)
    accepted, slowest, slowest_data = 0, 0.0, b""
    begun = time.perf_counter()
    done, violation, data = 0, "", b""
    for number in range(count):
        data = mutated(chance)
        start = time.perf_counter()
        try:
            accepted += check(data, stream=number % 4 == 0)
            if number % 16 == 0:
                framed(data + mutated(chance), chance)
        except Exception as fault:  # what comes out is what is looked for
            violation = f"{type(fault).__name__}: {fault}"
        spent = time.perf_counter() - start
        done += 1
        if spent > slowest:
            slowest, slowest_data = spent, data
        if violation or time.perf_counter() - begun > stop_at:
            break
    seconds = time.perf_counter() - begun
    return Outcome(done, accepted, seconds, slowest, slowest_data, violation, data if violation else b"")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    outcome = run(options.count, options.seed)
    print(
        f"{outcome.done} messages, {outcome.accepted} accepted, {outcome.done / outcome.seconds:.0f}/s, "
        f"slowest {outcome.slowest * 1000:.2f} ms ({len(outcome.slowest_data)} bytes)"
    )
    again = []
    for _ in range(5):
        begun = time.process_time()
        check(outcome.slowest_data, stream=False)
        again.append(time.process_time() - begun)
    print(f"the slowest takes {min(again) * 1000:.2f} ms when it is asked again, the machine's other work left out")
    if outcome.violation:
        print(f"VIOLATION {outcome.violation}\n{outcome.violation_data!r}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
