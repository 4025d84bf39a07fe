"""Asking a running server: one line of JSON to its Unix socket, one line back.

The socket lies in a directory that only its owner can enter, under a name
made from the database's, so `sipdctl -D URL` finds the server that runs on
that URL.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
from collections.abc import Awaitable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from sipd.errors import SetupError
from sipd.server.runs import plain
from sipd.store.url import shown_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.server.house import House
    from sipd.store import DatabaseUrl

    Verb = Callable[[House, dict[str, object]], object]  # an awaitable, where it has to wait for its answer

LONGEST: Final = 65536
"""Bytes of one request line."""

PATIENCE: Final = 10.0
"""Seconds one exchange may take."""


def runtime_directory() -> Path:
    """Our directory for sockets: in XDG_RUNTIME_DIR, else a private one beside temporary files.

    Raises SetupError when somebody else's directory is in the way.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    made = (
        Path(base) / "sipd"
        if base and os.access(base, os.W_OK)
        else Path(tempfile.gettempdir()) / f"sipd-{os.getuid()}"
    )
    made.mkdir(mode=0o700, parents=True, exist_ok=True)
    seen = made.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o077:
        raise SetupError(f"{made} is not a private directory of ours", "Remove it, or set XDG_RUNTIME_DIR.")
    return made


def control_path(database: str) -> Path:
    """Where the server on this database (its absolute path or URL) listens for questions."""
    return runtime_directory() / f"{sha256(database.encode('utf-8', 'surrogateescape')).hexdigest()[:24]}.ctl"


def control_path_of(url: DatabaseUrl) -> Path | None:
    """The same for a URL, one for all spellings of a file's path; None where nobody else can mean the same database."""
    if url.path is not None:
        return control_path(f"{url.scheme}:{url.path.resolve()}")
    hosts = ",".join(sorted(map(shown_host, url.hosts)))  # whoever asks may have another user, order and options
    return None if url.scheme == "memory" else control_path(f"{url.scheme}://{hosts}/{url.database}")


# --- the server's side ---------------------------------------------------------------------------


def explain(house: House, arguments: dict[str, object]) -> object:
    """The requests of one Call-ID, or of the `last` call, with the steps that decided them."""
    return house.explain.find(str(arguments.get("call", "last")))


async def script_runs(house: House, arguments: dict[str, object]) -> object:
    """The last `count` runs of the script of `user`, oldest first."""
    found = []
    for run in house.runs.last(str(arguments["user"]), int(str(arguments["count"]))):
        found.append(plain(run))
        await trio.lowlevel.checkpoint()  # a long script takes milliseconds to put into words: calls go first
    return found


def stats(house: House, arguments: dict[str, object]) -> object:
    """The counters of the server, and how full its tables are."""
    sizes = {name: gauge.size() for name, gauge in house.gauges.items()}
    return house.counters.as_dict() | sizes | house.network.gauges()


def listening(house: House, arguments: dict[str, object]) -> object:
    """Where the server listens, as transport:address:port."""
    return [str(hop) for hop in house.network.listening]


async def refresh(house: House, arguments: dict[str, object]) -> object:
    """Take over at once what another program has changed in the database."""
    await house.tables.catch_up()
    return True


VERBS: Final[dict[str, Verb]] = {
    "explain": explain,
    "listening": listening,
    "refresh": refresh,
    "script_runs": script_runs,
    "stats": stats,
}
"""What can be asked."""


async def reply_to(house: House, line: bytes) -> bytes:
    """The answer to one request line; an error is an answer too."""
    try:
        asked = json.loads(line)
        result = VERBS[asked["verb"]](house, asked)
        if isinstance(result, Awaitable):
            result = await result
        said: dict[str, object] = {"result": result}
    except Exception as fault:  # the door: what breaks here must not end the server
        said = {"error": f"not understood: {type(fault).__name__}"}
    return json.dumps(said).encode() + b"\n"


def control_service(house: House, url: DatabaseUrl) -> Callable[[], Awaitable[None]] | None:
    """The task that answers questions about this server; None for a database that only this process has.

    The socket is there when this returns: who sees the server ready can ask.
    A file left over by a killed server is replaced; the lock on the database
    says that nobody lives there. A server that can't be asked still serves.
    """
    try:
        path = control_path_of(url)
        if path is None:
            return None
        listener = open_control(path)
    except (OSError, SetupError) as fault:
        house.log.event("no_control_socket", text=fault)
        return None
    return lambda: serve_control(house, listener, path)


def open_control(path: Path) -> socket.socket:
    """The listening socket, whose file only we can use. Raises OSError."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(16)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


async def serve_control(house: House, listener: socket.socket, path: Path) -> None:
    """Answer questions at that socket until cancelled; the file is removed at the end."""

    async def one(stream: trio.SocketStream) -> None:
        async with stream:
            with trio.move_on_after(PATIENCE):  # bounds one exchange
                try:
                    line = await _line_from(stream)
                    if line:
                        await stream.send_all(await reply_to(house, line))
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return  # who asked is gone

    try:
        await trio.serve_listeners(one, [trio.SocketListener(trio.socket.from_stdlib_socket(listener))])
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _line_from(stream: trio.SocketStream) -> bytes:
    """One line, or nothing when it does not come whole."""
    line = b""
    while not line.endswith(b"\n"):
        chunk = await stream.receive_some(LONGEST)
        if not chunk or len(line) > LONGEST:
            return b""
        line += chunk
    return line


# --- the asking side -----------------------------------------------------------------------------


def tell_server(url: DatabaseUrl) -> None:
    """Have the server on this database, if one runs, take over what was changed; it would see it soon by itself."""
    path = control_path_of(url)
    if path is not None and path.exists():
        with suppress(SetupError):
            ask(path, "refresh")


def ask(path: Path, verb: str, **arguments: object) -> object:
    """The server's answer. Raises SetupError when none is there, or when it refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(PATIENCE)
        try:
            asking.connect(str(path))
            asking.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            said = b""
            while not said.endswith(b"\n"):
                chunk = asking.recv(65536)
                if not chunk:
                    break
                said += chunk
        except TimeoutError as fault:
            raise SetupError(
                f"sipd did not answer within {PATIENCE:g} s", "It is there, and too busy or stuck"
            ) from fault
        except OSError as fault:
            raise SetupError(
                "no sipd that we may ask is running on this database",
                "Start it, or ask as the user it runs as; what it remembers ends with it",
            ) from fault
    try:
        answer = json.loads(said)
    except ValueError as fault:
        raise SetupError("sipd hung up without an answer", "Ask again; its log may say more") from fault
    if "error" in answer:
        raise SetupError(f"the server says: {answer['error']}")
    return answer.get("result")
