"""What each verb gives is written down, in the reference and here: programs read it by `--json`."""

from __future__ import annotations

from typing import Any

from sipd.control.verbs import VERBS, Arguments
from sipd.control.verbs.shapes import SHAPES
from sipd.rows import AddScriptLog
from sipd.store import SqliteStore
from tests.store.rows import apply
from tests.tools.kamailio_house import make_file

SCRIPT = b'<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><reject status="busy"/></incoming></cpl>'
ALICE, BOB = "alice@example.com", "bob@example.com"

SCENARIO: list[tuple[str, dict[str, Any]]] = [
    ("db init", {"domain": ("example.com",)}),
    ("db upgrade", {}),
    ("domain add", {"name": "example.net"}),
    ("domain list", {}),
    ("domain rm", {"name": "example.net"}),
    ("user add", {"address": ALICE}),
    ("user add", {"address": BOB, "password": "correct horse"}),
    ("user list", {}),
    ("user show", {"address": ALICE}),
    ("user passwd", {"address": ALICE}),
    ("user set", {"address": ALICE, "setting": ("level=never",)}),
    ("user allow", {"address": ALICE, "other": BOB}),
    ("user deny", {"address": ALICE, "other": BOB}),
    ("user import", {"file": b"address,password\ncarol@example.com,correct horse\n"}),
    ("user export", {}),
    ("user rm", {"address": "carol@example.com"}),
    ("alias add", {"alias": "team@example.com", "user": (ALICE, BOB)}),
    ("alias list", {}),
    ("alias rm", {"alias": "team@example.com"}),
    ("ul add", {"address": ALICE, "contact": "sip:alice@192.0.2.1"}),
    ("ul show", {"address": ALICE}),
    ("ul list", {}),
    ("ul rm", {"address": ALICE, "all": "yes"}),
    ("peer add", {"name": "gateway", "match": "192.0.2.7"}),
    ("peer list", {}),
    ("peer rm", {"name": "gateway"}),
    ("script put", {"address": ALICE, "file": SCRIPT}),
    ("script get", {"address": ALICE}),
    ("script show", {"address": ALICE}),
    ("script show", {"address": ALICE, "version": "1"}),
    ("script list", {}),
    ("script disable", {"address": ALICE}),
    ("script put", {"address": ALICE, "file": SCRIPT + b" "}),
    ("script enable", {"address": ALICE}),
    ("script history", {"address": ALICE}),
    ("script diff", {"address": ALICE}),
    ("script rollback", {"address": ALICE}),
    ("script log", {"address": ALICE}),
    ("script rm", {"address": ALICE}),
    ("server set", {"setting": ("stagger=20",)}),
    ("server show", {}),
    ("db import-kamailio", {"url": "sqlite:k.sqlite", "skip": "yes"}),
    ("db check", {}),
]


async def played(directory) -> dict[str, list[dict[str, Any]]]:
    """The objects that each verb gave, by itself or in a list."""
    make_file(directory / "k.sqlite", "INSERT INTO subscriber (username, domain) VALUES ('x', 'example.com');")
    verbs = {f"{verb.noun} {verb.name}": verb for verb in VERBS}
    store = SqliteStore(directory / "sip.sqlite3")
    found: dict[str, list[dict[str, Any]]] = {}
    for name, values in SCENARIO:
        told: Any = await verbs[name].run(store, Arguments(values))
        assert isinstance(told, list) is SHAPES[name].many, name
        found.setdefault(name, []).extend(told if isinstance(told, list) else [told])
        if name == "script get":
            await apply(store, AddScriptLog(ALICE, 1.0, "calls", "one"))
    await store.close()
    return found


async def test_every_verb_gives_what_is_written_of_it(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = await played(tmp_path)
    assert SHAPES.keys() == {f"{verb.noun} {verb.name}" for verb in VERBS}, "each verb has a line"
    for name, rows in found.items():
        shape = SHAPES[name]
        must, may = set(shape.names.split()), set(shape.sometimes.split())
        for row in rows:
            assert must <= set(row) <= must | may, name


def test_every_verb_is_played() -> None:
    assert {name for name, _ in SCENARIO} == set(SHAPES)
