"""What can't be read, should not be believed, or is too much: an answer by the book or silence, and life goes on.

The ids in brackets are those of docs/reference/threats.md.
"""

from __future__ import annotations

import socket
import struct

import pytest

from tests.attack.foe import ALICE, BOB, status_of, statuses
from tests.e2e.house import DOMAIN
from tests.running import HERE

FAR = "<sip:zoe@far.example>;tag=1"


def case(name: str, expected: object, *more: str, **other: str):
    return pytest.param(expected, more, other, id=name)


def filled(foe, texts, others):
    here = {"port": str(foe.port), "server": str(foe.server[1])}

    def fill(text):
        for key, value in here.items():
            text = text.replace("{" + key + "}", value)
        return text

    return [fill(text) for text in texts], {key: fill(text) for key, text in others.items()}


VIA = "SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{port}"


@pytest.mark.parametrize(
    ("expected", "more", "other"),
    [
        # [T01] what stands in Vias that are not ours to read is carried; the top one must be read
        case("T01 lower Via unreadable", 200, "Via: SIP/2.0/UDP :]"),
        case("T01 lower Via empty", 200, "Via: SIP/2.0/UDP ;;;,,"),
        case("T01 rest of the top Via is bad", 400, via=VIA + "t01;=x;;rport"),
        case("T01 top Via unreadable", None, via="SIP/2.0/UDP :]"),
        case("T01 no Via", None, via=""),
        # [T02]
        case("T02 two To", 400, "To: <sip:x@127.0.0.1>;tag="),
        case("T02 two From", 400, "From: <sip:x@127.0.0.1>;tag=1"),
        case("T02 two Call-ID", 400, "Call-ID: another"),
        case("T02 two CSeq", 400, "CSeq: 1 OPTIONS"),
        case("T02 two Max-Forwards", 400, "Max-Forwards: 1"),
        case("T02 two Expires on REGISTER", 400, "Expires: 1", "Expires: 2", method="REGISTER", uri=f"sip:{DOMAIN}"),
        # [T03]
        case("T03 a tag of 330 bytes", 200, from_=f"<sip:a@127.0.0.1>;tag={'t' * 330}"),
        case("T03 a tag of 1,100 bytes", 400, from_=f"<sip:a@127.0.0.1>;tag={'t' * 1100}"),
        # [T04]
        case("T04 CSeq 2**31 - 1", 200, cseq=f"{2**31 - 1} OPTIONS"),
        case("T04 CSeq 2**31", 400, cseq=f"{2**31} OPTIONS"),
        case("T04 CSeq of many digits", 400, cseq=f"{'9' * 4000} OPTIONS"),
        case("T04 CSeq of another method", 400, cseq="1 INVITE"),
        case("T04 CSeq method of 1,400 bytes", 400, cseq=f"1 {'M' * 1400}"),
        case("T04 CSeq of other digits", 400, cseq="\xb2 OPTIONS"),
        # [T05]
        case("T05 unterminated quote in Via", 400, via=VIA + 't05;rport;received="'),
        case("T05 unterminated quote in a parameter", 400, via=VIA + 't05b;rport;x="abc'),
        # [T06]
        case("T06 unterminated tag of To", 400, to='<sip:x@127.0.0.1>;tag="\\'),
        case("T06 unterminated name", 400, to='"x <sip:x@127.0.0.1>'),
        case("T06 closing quote alone", 400, to='x" <sip:x@127.0.0.1>'),
        # [T07]
        case("T07 no host", 400, uri="sip:"),
        case("T07 dot first", 400, uri="sip:x@.1", to="<sip:x@127.0.0.1>"),
        case("T07 open bracket", 400, uri="sip:[::1", to="<sip:x@127.0.0.1>"),
        case("T07 port 65536", 400, uri="sip:x@127.0.0.1:65536", to="<sip:x@127.0.0.1>"),
        case("T07 other scheme", 416, uri="urn:service:sos", to="<sip:x@127.0.0.1>"),
        case("T07 unknown scheme", 416, uri="nobodyKnowsThisScheme:x", to="<sip:x@127.0.0.1>"),
        case("T07 header in the Request-URI", 400, uri=f"{BOB}?Route=%3Csip:far.example%3E", to=f"<{BOB}>"),
        # [T08]
        case("T08 huge Content-Length", 400, "Content-Length: 2147483647"),
        case("T08 negative Content-Length", 400, "Content-Length: -1"),
        case("T08 no digits", 400, "Content-Length: 0x10"),
        case("T08 other digits", 400, "Content-Length: \xb2"),
        # [T09]
        case("T09 NUL in a value", 400, "Subject: a\0b"),
        case("T09 bare CR", 400, "Subject: a\rb"),
        case("T09 escape character", 400, "Subject: a\x1b[2Jb"),
        case("T09 Latin-1 name", 200, "Subject: J\xf6rg", from_='"J\xf6rg" <sip:a@127.0.0.1>;tag=1'),
        case("T09 %00 in a user part is nobody's", 480, method="INVITE", uri=f"sip:bob%00@{DOMAIN}", from_=FAR),
        # [T10] tests/core has the forms one by one
        case("T10 no scheme", 400, "Authorization: ", method="REGISTER", uri=f"sip:{DOMAIN}"),
        case("T10 open quote", 400, 'Authorization: Digest username="a', method="REGISTER", uri=f"sip:{DOMAIN}"),
        case("T10 half of it", 400, 'Authorization: Digest realm="x"', method="REGISTER", uri=f"sip:{DOMAIN}"),
        case("T10 another scheme", 401, "Authorization: PGP version=5", method="REGISTER", uri=f"sip:{DOMAIN}"),
        # [T20], [T21]
        case("T20 a line of 9 KiB", 513, f"Subject: {'s' * 9000}"),
        case("T21 257 fields", 400, *(f"X-{n}: 1" for n in range(260))),
        case("T21 71 Vias", 483, *(f"Via: SIP/2.0/UDP h{n};branch=z9hG4bK{n}" for n in range(71))),
        case("T21 65 Routes", 400, *("Route: <sip:127.0.0.1:{server};lr>" for _ in range(65))),
        # [T40]
        case("T40 Max-Forwards 0, for another", 483, max_forwards="0", method="INVITE", uri=BOB),
        case("T40 Max-Forwards 0, for the server", 200, max_forwards="0"),
        case("T40 Max-Forwards 256", 400, max_forwards="256"),
        case("T40 Max-Forwards 10**20", 400, max_forwards=f"{10**20}"),
        case("T40 Max-Forwards is no number", 400, max_forwards="-1"),
        # [T66]
        case("T66 control before the colon", 400, "Subject\x01: x"),
        case("T66 blank within a name", 400, "Sub ject: x"),
        case("T66 blank before the colon", 200, "Subject \t: x"),
    ],
)
def test_datagram(foe, expected, more, other):
    texts, others = filled(foe, more, other)
    assert foe.ask(foe.message(*texts, **others)) == expected


@pytest.mark.parametrize(
    "response",
    [
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx\r\n",
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:{server};branch=z9hG4bKguessed\r\n"
        "Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKy\r\n",
        "SIP/2.0 200 OK\r\n",
        "SIP/2.0 99 Low\r\nVia: SIP/2.0/UDP 127.0.0.1:{server};branch=z9hG4bK1\r\n",
        "SIP/2.0 4294967301 Big\r\nVia: SIP/2.0/UDP 127.0.0.1:{server};branch=z9hG4bK1\r\n",
    ],
)
def test_a_response_that_answers_nothing_of_ours_is_dropped(foe, response):
    """[T04, T19, T114] Neither passed on nor answered, whatever its CSeq."""
    for cseq in ("1 INVITE", f"1 {'M' * 1400}", f"{2**31} INVITE"):
        text = response + f"From: <sip:a@b>;tag=1\r\nTo: <sip:b@b>;tag=2\r\nCall-ID: x\r\nCSeq: {cseq}\r\n\r\n"
        [filled_in], _ = filled(foe, [text], {})
        foe.send(filled_in.encode())
    foe.send(foe.message(call_id="the-last-one"))
    heard = foe.hear()
    assert heard is not None
    assert b"the-last-one" in heard, "the first thing to come is the answer to our own request"
    assert foe.hear(0.2) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"\0" * 200,
        b"\r\n" * 100,
        b"x",
        b"HELLO\r\n\r\n",
        b"\xff" * 1400,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_sip_is_not_answered(foe, data):
    """[T30, T96]"""
    foe.send(data)
    assert foe.hear(0.3) is None


@pytest.mark.parametrize(
    "claimed", ["received=198.51.100.9", "rport=99999", "rport;rport", "received=198.51.100.9;rport=7"]
)
def test_the_answer_goes_where_the_packet_came_from(foe, claimed):
    """[T17, T18] What a Via claims of itself is overwritten or refused, never followed."""
    heard = foe.answer(foe.message(via=f"SIP/2.0/UDP 198.51.100.7:{foe.port};branch=z9hG4bK{claimed[:6]};{claimed}"))
    assert heard is not None, "it came to the real source"
    assert status_of(heard) in (200, 400)
    if status_of(heard) == 200:
        assert f"received={HERE}".encode() in heard
        assert b"198.51.100.9" not in heard.partition(b"\r\n\r\n")[0].replace(b"received=127.0.0.1", b"")


def test_a_maddr_in_via_is_not_followed(foe):
    """[T18]"""
    heard = foe.answer(foe.message(via=f"SIP/2.0/UDP {HERE}:{foe.port};branch=z9hG4bKmaddr;maddr=198.51.100.9"))
    assert heard is not None
    assert status_of(heard) == 200


def test_a_challenge_is_no_weapon(foe):
    """[T61, T62, P14] One answer to one packet, at most three times its size, and nothing is kept of it."""
    asked = foe.message(method="INVITE", uri=BOB, from_=f"<{ALICE}>;tag=1", to=f"<{BOB}>")
    foe.send(asked)
    heard = foe.hear()
    assert heard is not None
    assert status_of(heard) == 407
    assert len(heard) <= 3 * len(asked)
    assert foe.hear(1.2) is None, "no 100, and no retransmission"


def test_escaped_line_ends_stay_escaped(foe, server):
    """[T32] `%0d%0a` in a URI that is answered or forwarded is three plus three characters, never a line end."""
    uri = f"sip:x%0d%0aX-Forged:%20yes@{HERE}:{foe.port}"
    heard = foe.answer(foe.message(method="INVITE", uri=uri, to=f"<{uri}>", from_=f"<{ALICE}>;tag=1"))
    assert heard is not None
    assert b"\r\nX-Forged" not in heard
    assert b"%0d%0aX-Forged" in heard


def test_a_log_line_is_one_line(foe, server):
    """[T33] Control characters of a guessed user name come out escaped, on one line."""
    name = "x\\\x1b[31m' OR 1=1; DROP TABLE users; --"
    challenge = foe.answer(foe.message(method="REGISTER", uri=f"sip:{DOMAIN}", to=f"<{ALICE}>"))
    assert challenge is not None
    nonce = challenge.partition(b'nonce="')[2].partition(b'"')[0].decode()
    proof = (
        f'Authorization: Digest username="{name}", realm="{DOMAIN}", nonce="{nonce}", uri="sip:{DOMAIN}", '
        f'algorithm=MD5, response="{"0" * 32}"'
    )
    assert foe.ask(foe.message(proof, method="REGISTER", uri=f"sip:{DOMAIN}", to=f"<{ALICE}>")) == 401
    assert server.child is not None
    line = server.child.wait_for(r"event=login_failed.*DROP TABLE").string
    assert "\x1b" not in line
    assert "\\x1b[31m" in line


def test_sql_in_a_name_is_a_name(foe, server):
    """[T35]"""
    for user in ("'; DROP TABLE users; --", "%27%3B%20DROP", "a' OR 'a'='a", "x\\'", "%"):
        escaped = "".join(letter if letter.isalnum() else f"%{ord(letter):02X}" for letter in user)
        assert foe.ask(foe.message(method="INVITE", uri=f"sip:{escaped}@{DOMAIN}", from_=FAR)) == 480
    assert f"alice@{DOMAIN}" in server.ctl("user", "list")


# -- streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length: 2147483647",
        "Content-Length: -5",
        "Content-Length: 1e3",
        "Content-Length: 5\r\nl: 6",
        "X-No: length",
    ],
)
def test_a_length_that_can_not_be_trusted_ends_the_connection(foe, line):
    """[T08, T25, T28] Answered 400 or 513, closed, and what follows is not run."""
    hidden = foe.over_tcp(call_id="hidden")
    bad = foe.over_tcp(line).replace(b"X-No: length\r\nContent-Length: 0\r\n", b"")
    heard, closed = foe.stream(bad + hidden)
    assert closed
    assert statuses(heard) in ([400], [413], [513])
    assert b"hidden" not in heard


def test_what_follows_a_short_length_is_the_next_message_or_nothing(foe):
    """[T24] A second legal message is run; garbage is refused and ends the connection."""
    first, second = foe.over_tcp(call_id="first"), foe.over_tcp(call_id="second")
    heard, closed = foe.stream(first + second)
    assert (statuses(heard), closed) == ([200, 200], False)
    heard, closed = foe.stream(first.replace(b"branch=z9hG4bK", b"branch=z9hG4bKx") + b"garbage\r\n\r\n" + second)
    assert closed
    assert statuses(heard)[0] == 200
    assert b"second" not in heard


def test_a_datagram_longer_than_its_length_is_cut_there(foe):
    """[T26] And one that is shorter is refused."""
    rest = foe.message(call_id="smuggled")
    assert foe.ask(foe.message(call_id="whole") + rest) == 200
    assert foe.hear(0.2) is None, "the rest was not run"
    assert foe.ask(foe.message("Content-Length: 10")) == 400


def test_a_head_without_end_is_refused_at_its_limit(foe):
    """[T20] 64 KiB and no more are read; then 513 or 400, and the end."""
    heard, closed = foe.stream(foe.over_tcp()[:-4], *([b"X-Filler: " + b"f" * 4000 + b"\r\n"] * 30))
    assert closed
    assert statuses(heard) in ([400], [513], [])


def test_32_mib_without_a_line_end_are_not_kept(foe, server):
    """[T20] Memory stays where it was."""
    assert server.child is not None
    before = resident(server.child.pid)
    _, closed = foe.stream(*([b"x" * (1 << 20)] * 32))
    assert closed
    assert resident(server.child.pid) - before < 8 << 20


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_a_reset_in_mid_request_harms_nobody(foe):
    """[T31] Half a message, then the connection is gone; also with the answer under way."""
    for data in (foe.over_tcp()[:40], foe.over_tcp(), foe.over_tcp() * 20):
        with socket.create_connection(foe.server) as connection:
            connection.sendall(data)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_answers_are_sent_after_a_half_close(foe):
    """[T30]"""
    heard, closed = foe.stream(b"\r\n\r\n" + foe.over_tcp(), end=True)
    assert closed
    assert heard.startswith(b"\r\n"), "the ping was answered"
    assert statuses(heard) == [200]


def test_a_hundred_pipelined_requests_are_answered_in_order(foe):
    """[T29] However the bytes are cut."""
    whole = b"".join(foe.over_tcp(call_id=f"c{number:03}") for number in range(100))
    for size in (len(whole), 1000, 7):
        data = whole.replace(b"branch=z9hG4bK", f"branch=z9hG4bK{size}".encode())
        heard, _ = foe.stream(*(data[at : at + size] for at in range(0, len(data), size)))
        order = [line for line in heard.decode().split("\r\n") if line.startswith("Call-ID: ")]
        assert order == [f"Call-ID: c{number:03}" for number in range(100)]
