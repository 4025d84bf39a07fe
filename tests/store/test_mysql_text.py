"""What a value looks like in a statement, held against a real server: it reads back as it was, and is never code."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipd.store.mysql_link import open_link
from sipd.store.mysql_rows import Column, Ended, OutOfStep, converters, take_rows
from sipd.store.mysql_text import MOST_ROWS, compose, compose_many
from sipd.store.mysql_wire import Login
from tests.mariadb import PASSWORD, USER
from tests.running import HERE

NASTY = ["'", "\\", "\\'", "''", '"', "%s", "?", "%", "`", "--", "/*", ";", "\0", "\n", "\x1a", "\u00e9", "\U0001f600"]


class TestCompose:
    def test_values_take_the_place_of_the_marks(self):
        text = compose("SELECT ?, ?, ?, ?, ?, ?", (1, 0.1, "a'b\\", b"\xff'", None, True))
        assert text == b"SELECT 1, 0.1e0, 'a''b\\\\', _binary'\xff''', NULL, 1"

    def test_a_mark_in_a_value_is_no_mark(self):
        assert compose("SELECT ?, ?", ("?", "%s")) == b"SELECT '?', '%s'"

    @pytest.mark.parametrize("row", [(), (1, 2)])
    def test_as_many_values_as_marks(self, row):
        with pytest.raises(ValueError, match="values for a statement with 1"):
            compose("SELECT ?", row)

    @pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
    def test_no_number_is_refused(self, value):
        with pytest.raises(OverflowError):
            compose("SELECT ?", (value,))

    def test_a_text_that_stands_for_no_bytes_is_refused(self):
        with pytest.raises(UnicodeEncodeError):
            compose("SELECT ?", ("\ud83d",))

    def test_bytes_that_are_no_utf_8_come_through(self):
        assert compose("SELECT ?", ("T\udce9l",)) == b"SELECT _binary'T\xe9l'"


class TestComposeMany:
    ONE = "INSERT INTO t (a, b) VALUES (?, ?) ON DUPLICATE KEY UPDATE b = VALUES(b)"

    def test_one_statement_for_many_rows(self):
        [text] = compose_many(self.ONE, [(1, "x"), (2, "y?")], 10_000)
        assert text == b"INSERT INTO t (a, b) VALUES (1, 'x'),(2, 'y?') ON DUPLICATE KEY UPDATE b = VALUES(b)"

    def test_none_for_no_rows(self):
        assert list(compose_many(self.ONE, [], 10_000)) == []

    def test_none_is_longer_than_the_server_takes(self):
        texts = list(compose_many(self.ONE, [(number, "x" * 40) for number in range(100)], 500))
        assert len(texts) > 10
        assert all(len(text) <= 500 for text in texts)
        assert sum(text.count(b"x" * 40) for text in texts) == 100

    def test_nor_has_more_rows_than_is_good(self):
        texts = list(compose_many(self.ONE, [(number, "") for number in range(MOST_ROWS + 1)], 1 << 20))
        assert len(texts) == 2


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.text(st.one_of(st.sampled_from("".join(NASTY)), st.characters(exclude_categories=["Cs"]))),
            st.text(st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)),
            st.binary(),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False, allow_infinity=False),
            st.none(),
        ),
        min_size=1,
        max_size=20,
    )
)
async def test_every_value_reads_back_as_it_was(mariadb, values):
    link = await open_link(HERE, mariadb.port, Login(USER, PASSWORD, ""), seconds=5)
    try:
        [row] = await link.fetch(f"SELECT {', '.join('?' * len(values))}", values)
    finally:
        await link.quit()
    for sent, got in zip(values, row, strict=True):
        assert _raw(got) == _raw(sent)


def _raw(value: object) -> object:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


class TestTakeRows:
    HOW = converters([Column("a", 8, 63), Column("b", 253, 45), Column("c", 252, 63)], text=False)

    @staticmethod
    def packet(number: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "little") + bytes([number]) + payload

    def stream(self) -> tuple[bytes, list[tuple[object, ...]]]:
        rows: list[tuple[object, ...]] = [(1, "", b""), (-5, "x" * 300, None), (2**40, "é" * 40_000, b"\xff" * 70_000)]
        data = b""
        for number, row in enumerate(rows):
            payload = b""
            for value in row:
                raw = value if isinstance(value, bytes) else str(value).encode()
                if value is None:
                    payload += b"\xfb"
                elif len(raw) < 251:
                    payload += bytes([len(raw)]) + raw
                elif len(raw) < 65536:
                    payload += b"\xfc" + len(raw).to_bytes(2, "little") + raw
                else:
                    payload += b"\xfd" + len(raw).to_bytes(3, "little") + raw
            data += self.packet((7 + number) & 0xFF, payload)
        return data + self.packet(7 + len(rows), b"\xfe\0\0\2\0"), rows

    @pytest.mark.parametrize("piece", [1, 3, 100, 10_000, 1 << 20])
    def test_in_whatever_pieces_they_come(self, piece):
        data, expected = self.stream()
        got: list[tuple[object, ...]] = []
        held, number, ended = b"", 7, None
        for at in range(0, len(data), piece):
            held += data[at : at + piece]
            if piece > 3 or at > len(data) - 12 or len(held) % 997 == 0:
                used, number, ended = take_rows(held, 0, number, self.HOW, got)
                held = held[used:]
        assert got == expected
        assert ended == Ended(b"\xfe\0\0\2\0")
        assert held == b""

    @pytest.mark.parametrize(
        "data",
        [
            b"\x03\0\0\x08\x01\x31\0",  # not the next number
            b"\x02\0\0\x07\x01\x31",  # a column too few
            b"\x05\0\0\x07\x01\x31\0\0\0",  # and a byte too many
            b"\x04\0\0\x07\x01\x78\0\0",  # no number
            b"\x04\0\0\x07\x7f\x31\0\0",  # longer than its packet
        ],
    )
    def test_what_makes_no_sense_is_said(self, data):
        with pytest.raises(OutOfStep):
            take_rows(data, 0, 7, self.HOW, [])

    @given(st.binary(max_size=60))
    def test_garbage_raises_nothing_else(self, data):
        try:
            take_rows(data, 0, data[3] if len(data) > 3 else 0, self.HOW, [])
        except OutOfStep:
            return

    def test_a_row_of_sixteen_megabytes_comes_in_two_packets(self):
        long = b"y" * (0xFFFFFF - 7)
        row = b"\x011\x00\xfd" + len(long).to_bytes(3, "little") + long  # a whole packet, and an empty one behind it
        data = self.packet(7, row[:0xFFFFFF]) + self.packet(8, row[0xFFFFFF:]) + self.packet(9, b"\xfe\0\0\2\0")
        got: list[tuple[object, ...]] = []
        assert take_rows(data[:-20], 0, 7, self.HOW, got) == (0, 7, None)
        _, number, ended = take_rows(data, 0, 7, self.HOW, got)
        assert (len(got), number, ended is not None) == (1, 10, True)
        assert got[0][2] == long
