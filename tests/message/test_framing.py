"""Streams: every split gives the same items (T24, T25, T28-T30)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipd.errors import BadSyntax
from sipd.message import PING, Framer, parse
from tests.data.torture import TORTURE
from tests.message.samples import ACK, BYE, INVITE, OK, REGISTER, SAMPLES

PIECES = [*SAMPLES, PING, b"\r\n", b"\r", b"\n", b"\r\n\r\n\r\n", b"x", *(row.data for row in TORTURE)]


def items(*pieces: bytes) -> tuple[list[bytes], bool, bool]:
    framer = Framer()
    found = [item for piece in pieces for item in framer.feed(piece)]
    return found, framer.broken, framer.partial


def test_whole_messages_come_out_in_order() -> None:
    assert items(INVITE + ACK + b"\r\n\r\n" + REGISTER + b"\r\n" + BYE + OK) == (
        [INVITE, ACK, PING, REGISTER, BYE, OK],
        False,
        False,
    )


@pytest.mark.parametrize("row", TORTURE, ids=lambda row: row.file)
def test_every_split_of_a_torture_message_gives_the_same(row: object) -> None:
    data = getattr(row, "data")  # noqa: B009
    for stream in (data, INVITE + data):
        whole = items(stream)
        assert items(*(stream[at : at + 1] for at in range(len(stream)))) == whole
        for at in range(len(stream)):
            assert items(stream[:at], stream[at:]) == whole


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=6), st.data())
def test_every_split_of_a_pipeline_gives_the_same(pieces: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert items(*parts) == items(stream)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=5), st.integers(0, 10000))
def test_a_prefix_gives_a_prefix(pieces: list[bytes], end: int) -> None:
    stream = b"".join(pieces)
    whole, part = items(stream)[0], items(stream[:end])[0]
    assert whole[: len(part)] == part


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b"Content-Length: 150", b"X: 150", "Missing Content-Length"),
        (b"Content-Length: 150", b"Content-Length: five", "Bad Content-Length"),
        (b"Content-Length: 150", b"Content-Length:", "Bad Content-Length"),
        (b"Content-Length: 150", b"l: 1\r\n 50", "Bad Content-Length"),
        (b"Content-Length: 150", b"Content-Length: 1234567890", "Bad Content-Length"),
        (b"Content-Length: 150", b"Content-Length: 150\r\nl : 0", "Duplicate Content-Length"),
        (b"Content-Length: 150", b"Content-Length: 131073", "Body too large"),
    ],
)
def test_a_length_that_can_t_be_trusted_breaks_the_stream(old: bytes, new: bytes, text: str) -> None:
    framer = Framer()
    (item,) = framer.feed(INVITE.replace(old, new) + BYE)
    assert framer.broken, "the connection is to be closed"
    assert not framer.partial
    assert framer.feed(BYE) == [], "what hides behind is not run"
    with pytest.raises(BadSyntax) as fault:
        parse(item, stream=True)
    assert fault.value.text == text
    assert fault.value.request is not None


@pytest.mark.parametrize(
    "line",
    [
        b"l:150",
        b"Content-Length: 150 \t",
        b"Content-Length:  150",
        b"Content-Length: 150\r\n ",
        b"CONTENT-LENGTH \t:\r\n 150 ",
        b"L\t: 0150\r\n ",
    ],
)
def test_a_length_is_found_however_it_is_written(line: bytes) -> None:
    data = INVITE.replace(b"Content-Length: 150", line)
    assert items(data + BYE)[0] == [data, BYE]
    assert bytes(parse(data, stream=True)) == data


def test_a_head_without_end_breaks_at_its_limit() -> None:
    framer = Framer(max_head=1000)
    assert framer.feed(b"INVITE sip:a SIP/2.0\r\n" + b"a: b\r\n" * 100) == []
    assert framer.partial
    (item,) = framer.feed(b"a: b\r\n" * 100)
    assert (len(item), framer.broken) == (1000, True)


def test_the_head_of_64_kib_without_end_is_513() -> None:
    (item,) = Framer().feed(INVITE[:400] + b"a: b\r\n" * 12000)
    with pytest.raises(BadSyntax) as fault:
        parse(item, stream=True)
    assert fault.value.status == 513


def test_line_ends_between_messages_are_skipped_and_pings_told() -> None:
    assert items(b"\r\n" + INVITE)[0] == [INVITE]
    assert items(b"\r\n" * 5 + INVITE)[0] == [PING, PING, INVITE]
    for rest in (b"", b"\r", b"\r\n", b"\r\n\r"):
        assert items(INVITE + rest) == ([INVITE], False, False), "no message has begun"
    assert items(b"I") == ([], False, True)
