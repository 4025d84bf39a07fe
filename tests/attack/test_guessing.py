"""Who guesses names or passwords learns nothing from the answer, nor from how long it takes (T67, T68, T117)."""

from __future__ import annotations

import ast
import base64
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from sipd import digest
from sipd.core.policy import decide
from sipd.message import parse_auth
from tests.core.tables import ALICE, PHONE, House, credentials, register, request, user
from tests.message.test_hostile import USUAL, yardstick

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sipd.hop import Hop
    from sipd.message import Request

SIPD = Path(__file__).resolve().parents[2] / "sipd"
UNKNOWN = "nobody-of-that-name@example.com"


MOST_APART = 0.001
"""Seconds by which the medians may differ (T68), on a machine at its usual speed."""


def seconds(made: House, asked: Request, source: Hop) -> float:
    """Of this machine's time for one decision; nothing is counted against the source."""
    begun = time.process_time()
    decide(made.inquiry(asked, source), made.tables)
    return time.process_time() - begun


def apart(made: House, requests: Mapping[str, Request], source: Hop = PHONE, times: int = 200) -> float:
    """By how much the medians of the two differ, taken by turns, in seconds of a machine at its usual speed."""
    took: dict[str, list[float]] = {name: [] for name in requests}
    slow = yardstick() / USUAL
    for _ in range(times):
        for name, asked in requests.items():
            took[name].append(seconds(made, asked, source))
    slow = min(slow, yardstick() / USUAL)
    one, other = (median(values) for values in took.values())
    return abs(one - other) / max(1.0, slow)


def proofs(made: House, aor: str, algorithm: str, method: str) -> Request:
    """A request of that user with a wrong password, by that algorithm or Basic."""
    name = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
    uri = "sip:example.com" if method == "REGISTER" else "sip:bob@example.com"
    if algorithm == "basic":
        text = "Basic " + base64.b64encode(f"{aor}:wrong".encode()).decode()
    else:
        asked = [parse_auth(value) for value in made.answer(register(aor=aor)).values("WWW-Authenticate")]
        (params,) = (one.params for one in asked if one.params["algorithm"] == algorithm)
        challenge = f'Digest realm="{params["realm"]}", nonce="{params["nonce"]}", algorithm={algorithm}'
        text = credentials(challenge, method, uri, username=aor, password="wrong")
    return request(method, uri, f"{name}: {text}", from_=f"<sip:{aor}>;tag=1", to=f"<sip:{aor}>")


@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
@pytest.mark.parametrize("algorithm", ["SHA-512-256", "SHA-256", "MD5", "basic"])
def test_an_unknown_user_takes_as_long_as_a_wrong_password(algorithm, method):
    """[T68] An unknown user's hash is computed too."""
    made = House()
    made.tables.set(digest_algorithms="SHA-512-256 SHA-256 MD5", auth="basic" if algorithm == "basic" else "digest")
    requests = {aor: proofs(made, aor, algorithm, method) for aor in (ALICE, UNKNOWN)}
    assert apart(made, requests, PHONE._replace(transport="TLS")) < MOST_APART


@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
def test_to_be_asked_takes_as_long_whoever_one_says_he_is(method):
    """[T68] Also where users differ, and what a made-up name is asked for has to be made up."""
    made = House()
    made.tables.users["old@example.com"] = user("old@example.com", realm="asterisk", ha1_sha256="", ha1_sha256_full="")
    uri = "sip:example.com" if method == "REGISTER" else "sip:bob@example.com"
    requests = {aor: request(method, uri, from_=f"<sip:{aor}>;tag=1", to=f"<sip:{aor}>") for aor in (ALICE, UNKNOWN)}
    assert apart(made, requests) < MOST_APART


def test_a_difference_would_be_seen(monkeypatch):
    """The measure itself: one who looks twice at known users only is found out."""
    made, verify = House(), digest.verify

    def slow(secret: str, *given: Any) -> bool:
        return any(verify(secret, *given) for _ in range(1 if secret.strip("0") == "" else 4000))

    monkeypatch.setattr(digest, "verify", slow)
    requests = {aor: proofs(made, aor, "SHA-256", "REGISTER") for aor in (ALICE, UNKNOWN)}
    assert apart(made, requests, times=6) > MOST_APART


COMPOSED = {
    "control/verbs/kamailio_source.py": (
        "_select(table, names, '{}')",
        "_select(table, names, '`{}`')",
        "f'PRAGMA table_info({table})'",
    ),
    "store/migrate.py": ("f'SELECT 1 FROM {table} LIMIT 1'",),
    "store/mysql.py": ("*sql.finding(part, after, limit)", "f'SET SESSION wait_timeout = {NAME_LOST}'"),
    "store/mysql_link.py": (
        "f\"SET SESSION sql_mode = '{SQL_MODE}', SESSION innodb_lock_wait_timeout = {LOCK_WAIT}, autocommit = 1,"
        ' @sipd_origin = ?"',
        "f\"SHOW VARIABLES WHERE Variable_name IN ('wsrep_on', {', '.join(map(repr, RUN))})\"",
        "f'SET SESSION {name} = {LONGEST_RUN * seconds}'",
    ),
    "store/mysql_migrate.py": (
        "f'SELECT 1 FROM {table} LIMIT 1'",
        "f'CHECK TABLE {table}'",
        "f'SELECT COUNT(*) FROM {key.table} c LEFT JOIN {key.parent} p ON p.{parent} = c.{child}"
        " WHERE p.{parent} IS NULL'",
        "f'DO RELEASE_LOCK({LOCK_NAME})'",
        "f'SET SESSION {variable} = {value}'",
        "f'SELECT GET_LOCK({LOCK_NAME}, 0)'",
    ),
    "store/sqlite_file.py": ("f'PRAGMA cache_size = -{cache}'",),
}
"""What can't be a parameter: names of tables, columns and variables, and numbers: each is a constant of ours."""


@pytest.mark.parametrize("path", sorted(SIPD.rglob("*.py")), ids=lambda path: str(path.relative_to(SIPD)))
def test_no_sql_is_put_together_from_text(path):
    """[T35] What is executed is a constant, or one out of a table of them: never an f-string, `%` or `format`.

    The few that have to be are named one by one in COMPOSED.
    """
    name = path.relative_to(SIPD).as_posix()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
            continue
        if node.func.attr in ("execute", "executemany", "executescript", "fetch"):
            made = {type(part) for part in ast.walk(node.args[0])}
            if made & {ast.JoinedStr, ast.BinOp, ast.Call}:
                text = ast.unparse(node.args[0])
                assert text in COMPOSED.get(name, ()), f"{name}:{node.lineno}: text put together: {text}"
