"""What a trace says of the order of writing, syncing and answering."""

from __future__ import annotations

from tests.endure.synced import Order, order

WRITE = '7 pwrite64(9</srv/sip.sqlite3-wal>, "SQLite"..., 24, 0) = 24'
SYNC = "8 fdatasync(9</srv/sip.sqlite3-wal>) = 0"
ANSWER = '7 sendto(5<socket:[1]>, "SIP/2.0 200 OK\\r\\nVia: SIP/2"..., 300, 0, NULL, 0) = 300'


def test_an_answer_before_its_sync_is_found():
    assert order([WRITE, SYNC, ANSWER]) == Order(1, 0, 1)
    assert order([WRITE, ANSWER, SYNC]) == Order(0, 1, 1)


def test_a_sync_counts_when_it_has_ended():
    begun = "8 fdatasync(9</srv/sip.sqlite3-wal> <unfinished ...>"
    ended = "8 <... fdatasync resumed>) = 0"
    assert order([WRITE, begun, ANSWER, ended, ANSWER]) == Order(1, 1, 1)
    assert order([WRITE, "8 fdatasync(3</srv/other>) = 0", ANSWER]) == Order(0, 1, 0)
    assert order([WRITE, "8 fdatasync(9</srv/sip.sqlite3-wal>) = -1 EIO", ANSWER]) == Order(0, 1, 0)
