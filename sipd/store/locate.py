"""Which database: -D, -f, SIPD_DATABASE, ./cinema_db.conf, /etc/cinema_db.conf, else an embedded one."""

from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sipd.errors import SetupError
from sipd.store.url import DatabaseUrl, parse_url

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "SIPD_DATABASE"
FILE: Final = "cinema_db.conf"
ETC: Final = Path("/etc")
EMBEDDED: Final = "sipd.sqlite3"


def locate(
    explicit_url: str | None,
    file: str | os.PathLike[str] | None,
    environ: Mapping[str, str],
    cwd: Path,
    *,
    root: Path | None = None,
    etc: Path = ETC,
) -> DatabaseUrl:
    """The database to use, with where its name came from and what to warn about.

    `explicit_url` is the value of -D, `file` that of -f, `root` the server
    root, when it was given. Raises SetupError; nothing is passed over because
    it could not be read.
    """
    if explicit_url is not None:
        url = parse_url(explicit_url, base=cwd, where="-D")
        warnings: tuple[str, ...] = ()
        if file is not None:
            warnings += (f"-D is used, -f {file} is not",)
        if url.password:
            warnings += (f"a password in -D can be seen by every user of this machine: use -f FILE or {VARIABLE}",)
        return dataclasses.replace(url, warnings=warnings)
    if file is not None:
        return _from_file(cwd / file, f"-f {file}")
    if environ.get(VARIABLE):
        return parse_url(environ[VARIABLE], base=cwd, where=VARIABLE)
    for found in (cwd / FILE, etc / FILE):
        if os.path.lexists(found):
            return _from_file(found, str(found))
    return DatabaseUrl("sqlite", path=server_root(environ, root) / EMBEDDED, where="embedded", embedded=True)


def server_root(environ: Mapping[str, str], root: Path | None = None) -> Path:
    """Where a server keeps its files: as told, by the service manager, or in the user's state directory."""
    if root is not None:
        return root
    if environ.get("STATE_DIRECTORY"):  # of systemd; several are separated by colons
        return Path(environ["STATE_DIRECTORY"].partition(":")[0])
    if environ.get("prefix"):
        return Path(environ["prefix"]) / "sipd"
    if environ.get("XDG_STATE_HOME", "").startswith("/"):
        return Path(environ["XDG_STATE_HOME"]) / "sipd"
    if environ.get("HOME"):
        return Path(environ["HOME"]) / ".local" / "state" / "sipd"
    raise SetupError("nobody says where to keep the database", "Give -D sqlite:///path/file or --root DIRECTORY")


def _from_file(path: Path, where: str) -> DatabaseUrl:
    try:
        mode = path.stat().st_mode
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise SetupError(f"there is no file {path} (from {where})") from None
    except OSError as error:
        raise SetupError(f"can't read {path} (from {where}): {error.strerror}") from error
    except UnicodeDecodeError:
        raise SetupError(f"{path} is not a text file", "It holds one line, the database URL") from None
    lines = [line for line in (line.strip(" \t\r") for line in text.split("\n")) if line and not line.startswith("#")]
    if len(lines) != 1:
        raise SetupError(f"{path} has {len(lines)} lines", "It holds one line, the database URL")
    url = parse_url(lines[0], base=path.parent, where=where)
    if url.password and mode & (stat.S_IRGRP | stat.S_IROTH):
        url = dataclasses.replace(url, warnings=(f"{path} holds a password and others can read it: chmod 600 {path}",))
    return url
