"""`sipdctl script put` with a time zone that is to be fetched (RFC 3880 §4.4)."""

from __future__ import annotations

import pytest
import trio

from sipd.store import SqliteStore
from tests.core.test_fetched import BAD, ZONE, script
from tests.net.web_server import WebServer
from tests.tools.test_script_history import Shell
from tests.tools.test_sipdctl import ALICE


@pytest.fixture
def server():
    with WebServer() as made:
        yield made


@pytest.fixture
def shell(tmp_path, server):
    made = Shell(tmp_path)
    made("db", "init", "example.com")
    made("user", "add", ALICE)
    made("server", "set", f"script_hosts=127.0.0.1:{server.port}")
    return made


async def kept(shell) -> dict[str, bytes]:
    store = SqliteStore(shell.directory / "sip.sqlite3")
    await store.open()
    found = {zone.url: zone.data for zone in (await store.load_all()).timezones}
    await store.close()
    return found


def test_it_is_fetched_and_kept(shell, server):

    server.pages["/tz"] = (200, {"Content-Type": "text/calendar"}, ZONE)
    url = f"http://127.0.0.1:{server.port}/tz"
    text = script(url).decode()
    shell("script", "put", ALICE, "-", stdin=text)
    assert trio.run(kept, shell) == {url: ZONE}
    server.pages["/tz"] = (200, {"Content-Type": "text/calendar"}, BAD)
    shell("script", "put", ALICE, "-", stdin=text)
    assert trio.run(kept, shell) == {url: ZONE}, "the last good one"
    assert len(server.asked) == 2
    shell("script", "list")
    assert len(server.asked) == 2, "to look at scripts asks nobody"


def test_what_can_not_be_had_is_refused_by_name(shell, server):
    said = shell("script", "put", ALICE, "-", stdin=script(f"http://127.0.0.1:{server.port}/none").decode(), status=1)
    assert f"http://127.0.0.1:{server.port}/none" in said


def test_from_others_nothing_is_fetched(shell, server):
    said = shell("script", "put", ALICE, "-", stdin=script(f"http://localhost:{server.port}/tz").decode(), status=1)
    assert "script_hosts" in said
    assert server.asked == []
