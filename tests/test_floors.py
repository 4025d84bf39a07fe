"""Imports go down only: the table of docs/explanation/architecture.md, checked with `ast`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOOR_OF_ROOM = {
    "errors": 0, "hop": 0, "rows": 0, "script": 0, "trace": 0, "seal": 0, "recent": 0, "form": 0, "log": 0,
    "metrics": 0, "message": 0,
    "transaction": 1, "cpl": 1, "guard": 1, "digest": 1, "basic": 1,
    "core": 2,
    "net": 3, "store": 3,
    "server": 4,
    "cli": 5, "__main__": 5, "programs": 5, "hiding": 5, "tools": 5, "control": 5, "phone": 5,
}  # fmt: skip
SEPARATE_FLOORS = {1, 3}  # rooms of these don't import each other; startup hands them their equals
SHELL_ONLY = {
    "trio",
    "socket",
    "select",
    "selectors",
    "threading",
    "subprocess",
    "asyncio",
    "time",
    "random",
    "sqlite3",
}
PURE_EXCEPTIONS = {("log", "time")}  # an event line carries the time of day
WAITS = {"_find_and_send"}  # tasks of their own, for what is not at hand
WITHIN_SERVER = [  # each imports only those before it
    "ids",
    "explain",
    "door",
    "admission",
    "returning",
    "diary",
    "mailing",
    "runs",
    "house",
    "debug",
    "answer",
    "node",
    "clock",
    "wall",
    "prepared",
    "late",
    "hops",
    "pins",
    "branch",
    "fork",
    "registration",
    "fetching",
    "scripting",
    "sources",
    "search",
    "ringing",
    "simulation",
    "call",
    "stateless",
    "trying",
    "merged",
    "notifier",
    "dispatch",
    "gauges",
    "certificates",
    "limits",
    "scheme",
    "startup",
]


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "sipd").parts
    return parts[0].removesuffix(".py")


def modules() -> list[Path]:
    return sorted(
        path for path in (ROOT / "sipd").rglob("*.py") if path.parent != ROOT / "sipd" or path.stem != "__init__"
    )


def imports(path: Path) -> list[tuple[str, int]]:
    """Dotted names imported anywhere in the file, those for types alone included."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found.append((node.module or "", node.lineno))
            if node.module == "sipd":
                found += [(f"sipd.{name.name}", node.lineno) for name in node.names]
        elif isinstance(node, ast.Import):
            found += [(name.name, node.lineno) for name in node.names]
    return found


def type_only_lines(path: Path) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    room = room_of(path)
    assert room in FLOOR_OF_ROOM, f"{room} has no floor: give it a row"
    floor = FLOOR_OF_ROOM[room]
    types_only = type_only_lines(path)
    for name, line in imports(path):
        where = f"{path.relative_to(ROOT)}:{line} imports {name}"
        top = name.split(".")[0]
        if top != "sipd":
            pure = floor <= 2 and line not in types_only and (room, top) not in PURE_EXCEPTIONS
            assert not (pure and top in SHELL_ONLY), f"{where}: not on floor {floor}"
            continue
        other = name.split(".")[1] if "." in name else ""
        if other in ("", "__version__") or other == room:
            continue
        below = FLOOR_OF_ROOM[other]
        # core.tables is a Protocol of floor 2 that names the Program of floor 1: that is downwards too
        assert below <= floor, f"{where}: floor {floor} imports floor {below}"
        if floor in SEPARATE_FLOORS and below == floor:
            pytest.fail(f"{where}: rooms of floor {floor} don't import each other")


def test_server_modules_import_only_those_below() -> None:
    for path in (ROOT / "sipd" / "server").glob("*.py"):
        if path.stem == "__init__":
            continue
        rank = WITHIN_SERVER.index(path.stem)
        types_only = type_only_lines(path)
        for name, line in imports(path):
            if name.startswith("sipd.server.") and line not in types_only:
                other = name.split(".")[2]
                assert WITHIN_SERVER.index(other) < rank, f"{path.name}:{line} imports {other}, which stands above it"


def test_architecture_names_every_module_of_core_server_net_and_cpl() -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
    section = page.partition("## Inside the rooms")[2].partition("\n## ")[0]
    rooms = dict(
        zip(("core", "server", "net", "cpl"), re.split(r"^\*\*\w+\*\*", section, flags=re.MULTILINE)[1:], strict=True)
    )
    for room, text in rooms.items():
        named = re.findall(r"`(\w+)`", text)
        there = {path.stem for path in (ROOT / "sipd" / room).glob("*.py")} - {"__init__"}
        assert (sorted(named), room) == (sorted(there), room)
        assert room != "server" or named == WITHIN_SERVER


def test_what_runs_between_a_datagram_and_its_answer_never_awaits() -> None:
    for module in (
        "server/dispatch.py",
        "server/stateless.py",
        "server/trying.py",
        "server/fork.py",
        "server/answer.py",
        "server/registration.py",
        "server/search.py",
        "server/scripting.py",
    ):
        tree = ast.parse((ROOT / "sipd" / module).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.AsyncFunctionDef) and node.name not in WAITS:
                pytest.fail(f"{module}:{node.lineno}: async def {node.name}")
