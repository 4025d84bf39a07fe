"""A sipd that runs for one test: its database, its users, its ports, its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from sipd.rows import PutDomain, PutUser, Settings
from sipd.store import SqliteStore, create, user_row
from sipd.store.options import settings_from_texts
from tests.running import HERE, READY, Child, free_port, sipdctl, start_sipd

if TYPE_CHECKING:
    from pathlib import Path

DOMAIN = "example.test"
"""Not an address: contacts on 127.0.0.1 are then never names of this domain."""

USERS = {name: f"pass word of {name}".replace(" ", "-") for name in ("alice", "bob", "carol", "voicemail")}


class Server:
    """One sipd on an SQLite database of its own, on one port of UDP and TCP.

    If wanted it listens on the next ones too, for TLS and WebSocket.
    """

    def __init__(self, directory: Path, *, tls: bool = False, **settings: str) -> None:
        self.port = free_port()
        self.tls_port = self.port + 1 if tls else 0
        self.ws_port, self.wss_port = (self.port + 2, self.port + 3) if tls else (0, 0)
        self.url = f"sqlite://{directory}/sipd.sqlite3"
        self.directory = directory
        self._settings = settings
        self.child: Child | None = None

    def prepare(self, *domains: str) -> None:
        """Make the database, with DOMAIN and these, the users and the settings: what some sipdctl calls would do."""
        texts = [f"{key}={value}" for key, value in self._settings.items()]
        settings = Settings()._replace(**settings_from_texts(texts))  # type: ignore[arg-type]  # checked when read
        rows = [PutUser(user_row(f"{name}@{DOMAIN}", DOMAIN, password)) for name, password in USERS.items()]

        async def make() -> None:
            store = SqliteStore(self.directory / "sipd.sqlite3")
            await create(store, [DOMAIN], settings=settings, more=[*(PutDomain(n, n) for n in domains), *rows])
            await store.close()

        trio.run(make)

    def add_user(self, name: str, password: str) -> None:
        """Add name@DOMAIN, by sipdctl."""
        secret = self.directory / "secret"
        secret.write_text(password + "\n")
        self.ctl("user", "add", f"{name}@{DOMAIN}", "--password-file", str(secret))
        secret.unlink()

    def ctl(self, *words: str) -> str:
        """What sipdctl says about this server's database."""
        return sipdctl(self.url, *words)

    def start(self) -> None:
        """Come up, ready to be spoken to."""
        listen = [f"udp:{HERE}:{self.port}", f"tcp:{HERE}:{self.port}"]
        if self.tls_port:
            listen += [f"tls:{HERE}:{self.tls_port}", f"ws:{HERE}:{self.ws_port}", f"wss:{HERE}:{self.wss_port}"]
        self.child = start_sipd(self.url, *listen, cwd=self.directory)
        where = self.child.wait_for(READY)["where"]
        assert where.split() == listen

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self.child is not None
        self.child.kill()
        self.child = None

    def stop(self) -> None:
        """Let it end. Raises AssertionError when it was gone already, or left a traceback."""
        if self.child is None:
            return
        child, self.child = self.child, None
        child.end_well()
