"""The control socket: who may use it, what it answers, and that nothing said to it ends the server."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from sipd.control.rpc import LONGEST, ask, control_path_of, control_service, reply_to, runtime_directory
from sipd.errors import SetupError, StoreAway
from sipd.store import Cache, parse_url
from tests.server.phones import open_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_runtime_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def url_in(directory: Path):
    return parse_url(f"sqlite://{directory}/x.sqlite3", base=directory)


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[Path]:
    """A house that can be asked at that path."""
    url = url_in(directory)
    path = control_path_of(url)
    assert path is not None
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            world = await open_world(nursery, "alice")
            task = control_service(world.house, url)
            assert task is not None
            nursery.start_soon(task)
            yield path
            nursery.cancel_scope.cancel()
    assert not path.exists(), "left behind"


async def asked(path: Path, verb: str, **arguments: object) -> object:
    return await trio.to_thread.run_sync(partial(ask, path, verb, **arguments))


async def test_verbs_are_answered(tmp_path):
    async with served(tmp_path) as path:
        assert await asked(path, "listening") == ["udp:10.0.0.1:5060", "tcp:10.0.0.1:5060"]
        assert await asked(path, "explain", call="last") == []
        stats = await asked(path, "stats")
        assert isinstance(stats, dict)
        assert stats["received"] == 0


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"[]\n", b"{}\n", b'{"verb": "no such"}\n', b'{"verb": []}\n', b"[" * 60000 + b"\n", b"\xff\n"]
)
async def test_nonsense_is_answered_or_dropped_and_does_no_harm(tmp_path, line):
    async with served(tmp_path) as path:
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(line)
            await stream.send_eof()
            said = b"".join([chunk async for chunk in stream])
        assert said == b"" or "error" in json.loads(said)
        assert await asked(path, "listening")


async def test_a_line_that_does_not_end_is_not_read_on(tmp_path):
    async with served(tmp_path) as path:
        async with await trio.open_unix_socket(path) as stream:
            with pytest.raises(trio.BrokenResourceError):
                await stream.send_all(b"x" * (100 * LONGEST))
        with pytest.raises(SetupError, match="the server says: not understood"):
            await asked(path, "no such verb")


async def test_an_answer_that_breaks_is_an_error_and_no_end():
    assert "error" in json.loads(await reply_to(None, b'{"verb": "stats"}\n'))  # type: ignore[arg-type]  # on purpose


async def test_a_database_that_is_away_is_said_and_does_not_end_the_server(tmp_path, monkeypatch):
    async def away(self) -> None:
        await trio.lowlevel.checkpoint()
        raise StoreAway("the disk is gone")

    async with served(tmp_path) as path:
        assert await asked(path, "refresh") is True
        monkeypatch.setattr(Cache, "catch_up", away)
        with pytest.raises(SetupError, match="the server says"):
            await asked(path, "refresh")
        assert await asked(path, "listening"), "it still serves"


def test_nobody_there(tmp_path):
    path = control_path_of(url_in(tmp_path))
    assert path is not None
    with pytest.raises(SetupError, match="no sipd that we may ask"):
        ask(path, "stats")


def test_one_who_hangs_up_without_an_answer(tmp_path):
    path = tmp_path / "x.ctl"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(5)

        def hang_up() -> None:
            with listener.accept()[0] as taken:
                taken.recv(LONGEST)

        far = threading.Thread(target=hang_up)
        far.start()
        with pytest.raises(SetupError, match="hung up"):
            ask(path, "stats")
        far.join()


def test_paths(tmp_path):
    one, other = (control_path_of(parse_url(f"sqlite://{tmp_path}/{name}", base=tmp_path)) for name in "ab")
    assert one != other
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert control_path_of(parse_url("sqlite:link", base=tmp_path)) == one
    assert control_path_of(parse_url("memory:", base=tmp_path)) is None
    assert control_path_of(parse_url("sql://u:one@h,i/d", base=tmp_path)) == control_path_of(
        parse_url("sql://admin:two@i,h:3306/d?tls=required", base=tmp_path)
    ), "whoever asks may have another user, order and options"
    assert runtime_directory().stat().st_mode & 0o777 == 0o700


def test_a_directory_that_others_can_enter_is_not_used(tmp_path):
    runtime_directory().chmod(0o755)
    with pytest.raises(SetupError, match="not a private directory"):
        runtime_directory()


async def test_a_server_that_can_not_be_asked_still_serves(tmp_path, monkeypatch, capsys):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))  # too long for the name of a socket
    async with trio.open_nursery() as nursery:
        world = await open_world(nursery, "alice")
        assert control_service(world.house, url_in(tmp_path)) is None
        nursery.cancel_scope.cancel()
    assert "event=no_control_socket" in capsys.readouterr().err
