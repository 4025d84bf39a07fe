"""Progress is for people at a terminal, on standard error, and leaves nothing behind."""

import io
import time

import pytest

from sipd.tools.progress import Bar, line


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """What the bar takes for the time."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_bar_says_what_how_far_and_of_how_many():
    assert line("reading", 25000, 100000) == "reading: [#####---------------] 25,000 of 100,000"
    assert line("reading", 7, 5) == "reading: [####################] 7 of 5", "never longer than it is"
    assert line("reading", 1234, 0) == "reading: 1,234"


def test_what_is_quick_shows_nothing_and_what_is_long_is_drawn_seldom_and_taken_away(clock):
    stream = Terminal()
    bar = Bar(stream)
    bar("reading", 1, 10)
    assert stream.getvalue() == ""
    clock[0] = 1.0
    for done in range(2, 9):
        bar("reading", done, 10)
    assert stream.getvalue().count("reading") == 1
    clock[0] = 2.0
    bar("reading", 9, 10)
    assert stream.getvalue().count("reading") == 2
    bar.close()
    assert stream.getvalue().endswith("\r\x1b[K"), "the next line begins in an empty one"
    before = stream.getvalue()
    bar.close()
    assert stream.getvalue() == before


@pytest.mark.parametrize(("stream", "shown"), [(io.StringIO(), True), (Terminal(), False)])
def test_a_pipe_and_who_wants_quiet_see_nothing(clock, stream, shown):
    bar = Bar(stream, shown=shown)
    clock[0] = 9.0
    bar("reading", 1, 10)
    bar.close()
    assert stream.getvalue() == ""
