"""Which database: -D, -f, SIPD_DATABASE, ./cinema_db.conf, /etc/cinema_db.conf, else an embedded one.

On Windows the registry is asked before the embedded one.
"""

from __future__ import annotations

import dataclasses
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sipd.errors import SetupError
from sipd.store.url import DatabaseUrl, parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE: Final = "SIPD_DATABASE"
FILE: Final = "cinema_db.conf"
ETC: Final = Path("/etc")
EMBEDDED: Final = "sipd.sqlite3"


LONGEST: Final = 65536
"""Bytes of a file that says which database."""

REGISTRY_KEY: Final = r"SOFTWARE\sipd"
REGISTRY_VALUE: Final = "database"
"""Where the URL is on Windows: under HKEY_LOCAL_MACHINE."""


def from_registry() -> str | None:
    """The URL that the Windows registry has; None where there is none, or no registry."""
    if sys.platform == "win32":
        import winreg

        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, REGISTRY_KEY) as key:
                value, _ = winreg.QueryValueEx(key, REGISTRY_VALUE)
        except OSError:
            return None
        return value if isinstance(value, str) else None
    return None


def locate(
    explicit_url: str | None,
    file: str | os.PathLike[str] | None,
    environ: Mapping[str, str],
    cwd: Path,
    *,
    root: Path | None = None,
    etc: Path = ETC,
    registry: Callable[[], str | None] = from_registry,
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
            warnings += (f"a password in -D stays in the history of the shell: use -f FILE or {VARIABLE}",)
        return dataclasses.replace(url, warnings=warnings)
    if file is not None:
        return _from_file(cwd / file, f"-f {file}")
    if environ.get(VARIABLE):
        return parse_url(environ[VARIABLE], base=cwd, where=VARIABLE)
    for found, ours in ((cwd / FILE, True), (etc / FILE, False)):
        if os.path.lexists(found):
            _check_found(found, ours)
            return _from_file(found, str(found))
    registered = registry()
    if registered is not None:
        return parse_url(registered, base=cwd, where=f"HKEY_LOCAL_MACHINE\\{REGISTRY_KEY}")
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


def _check_found(path: Path, ours: bool) -> None:
    """Refuse a file that nobody named and that says what a stranger wants. `ours`: it must be ours, or root's."""
    try:
        status = path.stat()
    except OSError:
        return  # reading it says what is wrong
    if not stat.S_ISREG(status.st_mode):
        raise SetupError(f"{path} is no regular file", "It holds one line, the database URL")
    if os.name != "posix":
        return
    if ours and status.st_uid not in (0, os.geteuid()):
        raise SetupError(f"{path} belongs to another user, so it is not used", f"If you trust it: -f {path}")
    if status.st_mode & stat.S_IWOTH:
        raise SetupError(f"everybody can write {path}, so it is not used", f"chmod go-w {path}")


def _from_file(path: Path, where: str) -> DatabaseUrl:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(LONGEST + 1)
    except FileNotFoundError:
        raise SetupError(f"there is no file {path} (from {where})") from None
    except OSError as error:
        raise SetupError(f"can't read {path} (from {where}): {error.strerror}") from error
    if len(content) > LONGEST:
        raise SetupError(f"{path} has more than {LONGEST} bytes", "It holds one line, the database URL")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SetupError(f"{path} is not a text file", "It holds one line, the database URL") from None
    lines = [line for line in (line.strip(" \t\r") for line in text.split("\n")) if line and not line.startswith("#")]
    if len(lines) != 1:
        raise SetupError(f"{path} has {len(lines)} lines", "It holds one line, the database URL")
    url = parse_url(lines[0], base=path.parent, where=where)
    warnings: tuple[str, ...] = ()
    if os.name == "posix" and stat.S_ISREG(mode):  # a pipe is what a shell makes of <(...)
        if url.password and mode & (stat.S_IRGRP | stat.S_IROTH):
            warnings += (f"{path} holds a password and others can read it: chmod 600 {path}",)
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            warnings += (f"others can write {path}, and so say which database is used: chmod go-w {path}",)
    return dataclasses.replace(url, warnings=warnings)
