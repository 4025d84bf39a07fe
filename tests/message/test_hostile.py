"""Linear time, whatever comes (T20-T22): no 64 KiB message takes 20 ms with all its values read."""

from __future__ import annotations

import time

import pytest

from sipd.errors import SipError
from sipd.message import Framer, parse
from tests.fuzz_message import check
from tests.message.hostile import FIELDS, MANY_LINES, TEXTS, cut_up, spread

LIMIT = 0.020


YARDSTICK = " a ,".join(map(str, range(15000)))
USUAL = 0.001
"""Seconds that `yardstick` takes where LIMIT is meant: on a machine that does little else."""


def yardstick() -> float:
    """Seconds for a fixed piece of work of the same kind."""
    begun = time.process_time()
    for piece in YARDSTICK.split(","):
        piece.strip()
    return time.process_time() - begun


def seconds_to_read(data: bytes) -> float:
    """The best of ten, in seconds of a machine at its usual speed: what else the machine does is not meant."""
    best = measure = float("inf")
    for _ in range(10):
        begun = time.process_time()
        check(data, stream=False)
        best = min(best, time.process_time() - begun)
        if best < LIMIT:
            return best
        measure = min(measure, yardstick())
    return best / max(1.0, measure / USUAL)


@pytest.mark.parametrize("text", TEXTS)
def test_no_text_is_slow_in_any_field(text: str) -> None:
    for field in FIELDS:
        for shape in (spread, cut_up):
            assert seconds_to_read(shape(field, TEXTS[text])) < LIMIT, f"{text} in {field}, {shape.__name__}"


@pytest.mark.parametrize("name", MANY_LINES)
def test_no_number_of_lines_is_slow(name: str) -> None:
    assert seconds_to_read(MANY_LINES[name]) < LIMIT


@pytest.mark.parametrize(
    ("name", "status"),
    [("20,000 lines", 400), ("500 Vias", 483), ("3,000 Routes", 400), ("3,000 Routes in a list", 400)],
)
def test_numbers_over_a_limit_are_refused(name: str, status: int) -> None:
    with pytest.raises(SipError) as fault:
        parse(MANY_LINES[name])
    assert fault.value.status == status


def test_a_line_over_its_limit_is_513() -> None:
    with pytest.raises(SipError) as fault:
        parse(spread("X-Other", b"x" * 9000))
    assert fault.value.status == 513


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_framing_is_linear_in_what_is_fed(step: int) -> None:
    data = MANY_LINES["no end"]
    framer = Framer()
    begun = time.process_time()
    for at in range(0, len(data), step):
        framer.feed(data[at : at + step])
    assert time.process_time() - begun < 0.5, "64 KiB, byte by byte"
