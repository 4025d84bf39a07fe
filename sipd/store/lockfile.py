"""One server per database file (T102)."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sipd.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform != "win32":
    import fcntl


class LockFile:
    """A file that one process at a time holds; the system lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises SetupError when another process has it."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SetupError(f"can't write {self._path}: {error.strerror}") from error
        try:
            if sys.platform != "win32":
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            who = f" (process {holder})" if holder else ""
            raise SetupError(
                f"another sipd{who} is using {str(self._path).removesuffix('.lock')}",
                "Stop it, or give this one another database",
            ) from error
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of it, if we have it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
