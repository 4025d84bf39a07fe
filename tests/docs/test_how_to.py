"""How-to pages hold: what they have the reader type gives what they show, beside a server that he has already."""

from __future__ import annotations

import pytest

from tests.docs.console import Typed, Written, steps
from tests.docs.reader import Reader
from tests.running import HERE, REPOSITORY, free_port

PAGES = {
    "script-history.md": ("alice", "bob", "carol"),
    "import.md": ("alice",),
    "users.md": (),
    "registration.md": ("alice", "bob", "carol"),
    "database.md": ("alice",),
    "authentication.md": ("alice",),
    "mariadb.md": ("alice",),
}
"""Page -> the users of example.com that it speaks of."""

ON_MARIADB = {"mariadb.md"}
"""Pages whose reader has his database there."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_what_it_says(tmp_path, name, request) -> None:
    database = "sqlite:sip.sqlite3"
    if name in ON_MARIADB:
        mariadb = request.getfixturevalue("mariadb")
        database = mariadb.url(mariadb.new_database())
    page = REPOSITORY / "docs" / "how-to" / name
    reader = Reader(page, tmp_path)
    where = f"udp:{HERE}:{free_port()}"
    try:
        for command, *shown in (
            (f"export SIPD_DATABASE={database}",),
            ("sipdctl db init example.com", "..."),
            *((f"sipdctl user add {user}@example.com", "...") for user in PAGES[name]),
            (f"sipd --listen {where} --listen {where.replace('udp', 'tcp')}", "...", "listening on ..."),
        ):
            reader.type(Typed(0, command, tuple(shown)))
        for step in steps(page):
            if isinstance(step, Written):
                reader.write(step)
            else:
                reader.type(step)
    finally:
        reader.leave()
