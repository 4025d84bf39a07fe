"""Running sipds for the flows: a domain each, a database made in a moment, what they explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from sipd.control.rpc import ask, control_path_of
from sipd.rows import Binding, PutBinding, PutDomain, PutScript, PutUser, Script, Settings
from sipd.store import create, user_row
from sipd.store.backends import open_store
from sipd.store.url import parse_url
from tests.running import HERE, READY, free_port, start_sipd

if TYPE_CHECKING:
    from pathlib import Path

    from sipd.rows import Change

FOR_EVER = 4_000_000_000.0


class House:
    """One sipd; `users` are address-of-record -> (realm, password), `bindings` and `scripts` those of users."""

    def __init__(
        self,
        directory: Path,
        domains: tuple[str, ...],
        users: dict[str, tuple[str, str]],
        bindings: dict[str, str],
        scripts: dict[str, str] | None = None,
        **settings: object,
    ) -> None:
        directory.mkdir()
        self.port = free_port()
        self.route = f"<sip:{HERE}:{self.port};lr>"
        self._url = parse_url(f"sqlite://{directory}/sipd.sqlite3", base=directory)
        changes: list[Change] = [PutUser(user_row(aor, realm, password)) for aor, (realm, password) in users.items()]
        changes += [
            PutBinding(Binding(f"{user}@{domains[0]}", contact, expires_at=FOR_EVER))
            for user, contact in bindings.items()
        ]
        changes += [
            PutScript(Script(f"{user}@{domains[0]}", "cpl", text.encode(), "application/cpl+xml", 0.0))
            for user, text in (scripts or {}).items()
        ]
        trio.run(self._make, domains, Settings(**settings), changes)  # type: ignore[arg-type]  # as the test wrote them
        listen = [f"udp:{HERE}:{self.port}", f"tcp:{HERE}:{self.port}"]
        if "tls_certificate" in settings:
            listen.append(f"tls:{HERE}:{self.port + 1}")
        self.child = start_sipd(str(self._url), *listen, cwd=directory)
        self.child.wait_for(READY)

    async def _make(self, domains: tuple[str, ...], settings: Settings, changes: list[Change]) -> None:
        store = open_store(self._url)
        more = [PutDomain(domain, domain) for domain in domains[1:]]
        await create(store, domains[:1], settings=settings, more=[*more, *changes])
        await store.close()

    def explained(self, call_id: str) -> list[tuple[str, int]]:
        """Method and final status of each request of that call that this server remembers; 0: sent on, no answer."""
        path = control_path_of(self._url)
        assert path is not None
        found = ask(path, "explain", call=call_id)
        assert isinstance(found, list)
        return [(one["method"], one["status"]) for one in found]

    def steps(self, call_id: str) -> list[tuple[str, str]]:
        """Every step of that call: what it was about, and what it chose."""
        path = control_path_of(self._url)
        assert path is not None
        found = ask(path, "explain", call=call_id)
        assert isinstance(found, list)
        return [(step["step"], step["chose"]) for one in found for step in one["trace"]]

    def stop(self) -> None:
        """End it; it has come through without an error."""
        self.child.end_well()
