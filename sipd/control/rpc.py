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
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from sipd.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.server.house import House

    Verb = Callable[[House, dict[str, object]], object]

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
    return runtime_directory() / f"{sha256(database.encode()).hexdigest()[:24]}.ctl"


# --- the server's side ---------------------------------------------------------------------------


def explain(house: House, arguments: dict[str, object]) -> object:
    """The requests of one Call-ID, or of the `last` call, with the steps that decided them."""
    return house.explain.find(str(arguments.get("call", "last")))


def stats(house: House, arguments: dict[str, object]) -> object:
    """The counters of the server."""
    return house.counters.as_dict()


VERBS: Final[dict[str, Verb]] = {"explain": explain, "stats": stats}
"""What can be asked."""


def reply_to(house: House, line: bytes) -> bytes:
    """The answer to one request line; an error is an answer too."""
    try:
        asked = json.loads(line)
        verb = VERBS[asked["verb"]]
        said: dict[str, object] = {"result": verb(house, asked)}
    except (ValueError, KeyError, TypeError) as fault:
        said = {"error": f"not understood: {type(fault).__name__}"}
    return json.dumps(said).encode() + b"\n"


def _tidy(path: Path, *, remove: bool = True) -> None:
    """Remove the socket file, or make it ours alone: quick calls on a local directory."""
    if remove:
        path.unlink(missing_ok=True)
    else:
        path.chmod(0o600)


async def serve_control(
    house: House, path: Path, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer questions at that socket until cancelled; the file is removed at the end."""
    _tidy(path)
    listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    await listener.bind(str(path))
    _tidy(path, remove=False)
    listener.listen(16)

    async def one(stream: trio.SocketStream) -> None:
        with trio.move_on_after(PATIENCE):  # bounds one exchange
            try:
                line = b""
                while not line.endswith(b"\n") and len(line) <= LONGEST:
                    chunk = await stream.receive_some(LONGEST)
                    if not chunk:
                        return
                    line += chunk
                await stream.send_all(reply_to(house, line))
            except trio.BrokenResourceError:
                pass
            finally:
                with trio.CancelScope(shield=True):  # closing a local socket does not wait
                    await stream.aclose()

    try:
        task_status.started()
        await trio.serve_listeners(one, [trio.SocketListener(listener)])
    finally:
        _tidy(path)


# --- the asking side -----------------------------------------------------------------------------


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
        except OSError as fault:
            raise SetupError(
                "no sipd is running on this database", "Start it first; what it remembers ends with it."
            ) from fault
    answer = json.loads(said or b"{}")
    if "error" in answer:
        raise SetupError(f"the server says: {answer['error']}")
    return answer.get("result")
