"""Who guesses names or passwords learns nothing from the answer, nor from how long it takes (T67, T68, T117)."""

from __future__ import annotations

import ast
import time
from pathlib import Path
from statistics import median

import pytest

from tests.core.tables import ALICE, House, credentials, register

SIPD = Path(__file__).resolve().parents[2] / "sipd"
UNKNOWN = "nobody-of-that-name@example.com"


def seconds(made: House, message) -> float:
    begun = time.process_time()
    made.answer(message)
    return time.process_time() - begun


def test_an_unknown_user_takes_as_long_as_a_wrong_password():
    """[T68] The medians differ by less than a millisecond: an unknown user's digest is computed too."""
    took: dict[str, list[float]] = {ALICE: [], UNKNOWN: []}
    made = House()
    for aor in took:
        first = made.answer(register(aor=aor)).first("WWW-Authenticate")
        assert first is not None
        text = credentials(first, "REGISTER", "sip:example.com", username=aor, password="wrong")
        message = register(f"Authorization: {text}", aor=aor)
        took[aor] = [seconds(made, message) for _ in range(200)]
    assert abs(median(took[ALICE]) - median(took[UNKNOWN])) < 0.001


@pytest.mark.parametrize("path", sorted(SIPD.rglob("*.py")), ids=lambda path: str(path.relative_to(SIPD)))
def test_no_sql_is_put_together_from_text(path):
    """[T35] What is executed is a constant, or one out of a table of them: never an f-string, `%` or `format`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
            continue
        if node.func.attr in ("execute", "executemany", "executescript", "fetch"):
            made = [type(part) for part in ast.walk(node.args[0])]
            assert ast.JoinedStr not in made, f"{path.name}:{node.lineno}: an f-string"
            assert ast.BinOp not in made, f"{path.name}:{node.lineno}: text put together"
            assert ast.Call not in made, f"{path.name}:{node.lineno}: text that is made"
