"""How groups of changes get into MySQL: what many REGISTERs change in a handful of statements, all else one by one.

Groups that only change bindings and users, each of another row, are a Run: it
is written by statements of many rows. When the database refuses one of them
the run is halved, until the group at fault stands alone; so a refusal costs a
few statements more, however many groups came with it.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Final

from sipd.rows import DropBinding, Expect, PutAlias, PutBinding, PutDelegate, PutDial, PutDomain, PutUser
from sipd.store import statements as sql
from sipd.store.base import Conflict, Refused
from sipd.store.mysql_text import compose, compose_many
from sipd.store.mysql_wire import Gone, Trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sipd.rows import Binding, Change
    from sipd.store.mysql_link import Link
    from sipd.store.statements import Value

    Results = list[Exception | None]
    Row = tuple[Value, ...]

REFUSALS: Final = frozenset({1048, 1062, 1153, 1216, 1217, 1264, 1265, 1366, 1406, 1451, 1452, 1557, 1690, 3819, 4025})
"""Errors by which a row, and not the database, is at fault: duplicate, without its user, too long, out of range."""

NO_USER: Final = frozenset({1216, 1452})
DUPLICATE: Final = frozenset({1062})

BAD_VALUES: Final = (OverflowError, UnicodeEncodeError)
"""What no statement can be made of."""


def _or_update(insert: str, *key: str) -> str:
    """The same statement where a row of that key is changed in its place: REPLACE would fire two triggers."""
    found = re.search(r"INTO \w+ \(([^)]*)\)", insert)
    assert found is not None
    columns = [name.strip() for name in found[1].split(",")]
    values = ", ".join(f"{name} = VALUES({name})" for name in columns if name not in key)
    return f"{insert.strip()} ON DUPLICATE KEY UPDATE {values}"


PUT_BINDING: Final = _or_update(sql.ADD_BINDING, "aor", "uri", "flow_key")
PUT_USER: Final = _or_update(sql.ADD_USER, "aor")
FIRST_VERSIONS: Final = "INSERT INTO registrations (aor, version) VALUES (?, 1)"
NEXT_VERSIONS: Final = """
    INSERT INTO registrations (aor, version) VALUES (?, ? + 1)
    ON DUPLICATE KEY UPDATE version = IF(version + 1 = VALUES(version), VALUES(version), version)"""
CHANGED: Final = 2
"""Rows that such an INSERT counts for one that it changed; 1: it was left as it is, or was not there."""

DROP_BINDINGS: Final = "DELETE FROM contacts WHERE "
ONE_BINDING: Final = "(aor = ? AND uri = ? AND flow_key = ?)"
MOST_DROPS: Final = 200
"""Bindings that one statement removes."""


class Run:
    """Groups that can be written together, in any order among them."""

    def __init__(self) -> None:
        self.groups: list[tuple[int, Sequence[Change]]] = []
        self._expected: set[str] = set()
        self._touched: set[str] = set()  # addresses-of-record whose user must be there already
        self._put: set[tuple[str, str, str]] = set()

    def take(self, number: int, group: Sequence[Change]) -> bool:
        """Have this group written with the others, if that makes no difference."""
        if not all(self._fits(change) for change in group):
            return False
        self.groups.append((number, group))
        return True

    def _fits(self, change: Change) -> bool:
        match change:
            case PutBinding():
                binding = change.binding
                self._put.add((binding.aor, binding.uri, binding.key))
                self._touched.add(binding.aor)
            case DropBinding():  # these are written first
                return change[:3] not in self._put
            case Expect():
                if change.aor in self._expected:
                    return False
                self._expected.add(change.aor)
                self._touched.add(change.aor)
            case PutUser():  # and these before all
                return change.user.aor not in self._touched
            case _:
                return False
        return True


def in_runs(groups: Sequence[Sequence[Change]]) -> list[Run]:
    """The groups in their order; one that can't be written with others is a run by itself."""
    runs: list[Run] = []
    open_run = False
    for number, group in enumerate(groups):
        if open_run and runs[-1].take(number, group):
            continue
        run = Run()
        open_run = run.take(number, group)
        if not open_run:
            run.groups.append((number, group))
        runs.append(run)
    return runs


async def write(link: Link, groups: Sequence[Sequence[Change]]) -> Results:
    """Carry out all groups in the transaction that is open; what became of each.

    Raises Trouble; then nothing of it may be committed.
    """
    results: Results = [None] * len(groups)
    runs = in_runs(groups)
    if len(runs) == 1 and _many(runs[0].groups):
        try:
            await _together(link, runs[0].groups)
        except Refused:
            await link.roll_back()
        else:
            return results
    for run in runs:
        await _halved(link, run.groups, results)
    return results


def _many(groups: Sequence[tuple[int, Sequence[Change]]]) -> bool:
    return all(type(change) in TOGETHER for _, group in groups for change in group)


TOGETHER: Final = frozenset({PutBinding, DropBinding, Expect, PutUser})


async def _halved(link: Link, groups: Sequence[tuple[int, Sequence[Change]]], results: Results) -> None:
    """Carry out these groups together, or each half of them, or the only one step by step."""
    if not groups:
        return
    if len(groups) == 1:
        [(number, group)] = groups
        results[number] = await _alone(link, group)
        return
    await link.execute("SAVEPOINT run")
    try:
        await _together(link, groups)
    except Refused:
        await link.execute("ROLLBACK TO SAVEPOINT run")
    else:
        await link.execute("RELEASE SAVEPOINT run")
        return
    middle = len(groups) // 2
    await _halved(link, groups[:middle], results)
    await _halved(link, groups[middle:], results)


async def _alone(link: Link, group: Sequence[Change]) -> Exception | None:
    await link.execute("SAVEPOINT whole")
    try:
        for kind, same in groupby(group, type):
            await _stretch(link, kind, list(same))
    except Refused as refused:
        await link.execute("ROLLBACK TO SAVEPOINT whole")
        await link.execute("RELEASE SAVEPOINT whole")
        return refused
    await link.execute("RELEASE SAVEPOINT whole")
    return None


FEW: Final = 10
"""Changes that are as well carried out one by one."""

ONE_ROW: Final = frozenset({PutAlias, PutDelegate, PutDial, PutDomain})
"""Changes that are one row of one REPLACE each: many are one statement."""


async def _stretch(link: Link, kind: type, changes: Sequence[Change]) -> None:
    """Carry out changes of one kind, which follow each other in a group: 100,000 users are imported as one."""
    if len(changes) > FEW and kind in ONE_ROW:
        steps = [next(sql.WRITE[kind](change)) for change in changes]
        try:
            await link.executemany(steps[0][0], [row for _, row in steps])
        except (Trouble, *BAD_VALUES) as error:
            raise_refused(error)
            raise
    elif len(changes) > FEW and kind in TOGETHER and Run().take(0, changes):
        await _together(link, [(0, changes)])
    else:
        for change in changes:
            await _step_by_step(link, change)


async def _step_by_step(link: Link, change: Change) -> None:
    steps = sql.WRITE[type(change)](change)
    step = next(steps, None)
    while step is not None:
        statement, row = step
        try:
            ran = await link.execute(statement, row)
        except (Trouble, *BAD_VALUES) as error:
            raise_refused(error)
            raise
        try:
            step = steps.send(ran)
        except StopIteration:
            return


async def _together(link: Link, groups: Sequence[tuple[int, Sequence[Change]]]) -> None:
    """Write them by statements of many rows, sent together, each sorted, so that two servers take locks in one order.

    Raises Refused when any of them is; what was written before is to be undone.
    """
    changes = [change for _, group in groups for change in group]
    users = [change.user for change in changes if type(change) is PutUser]
    expected = sorted(change for change in changes if type(change) is Expect)
    drops = sorted({change[:3] for change in changes if type(change) is DropBinding})
    puts = [change.binding for change in changes if type(change) is PutBinding]
    known = [change for change in expected if change.version]
    most = link.most
    try:
        versions = [*compose_many(NEXT_VERSIONS, known, most)]
        others = [
            *compose_many(PUT_USER, [(*user[1:], user.aor) for user in users], most),
            *compose_many(FIRST_VERSIONS, [(change.aor,) for change in expected if not change.version], most),
            *(
                DROP_BINDINGS.encode()
                + b" OR ".join([compose(ONE_BINDING, drop) for drop in drops[at : at + MOST_DROPS]])
                for at in range(0, len(drops), MOST_DROPS)
            ),
            *compose_many(PUT_BINDING, map(sql.binding_row, sorted(puts, key=_key)), most),
        ]
        answers = await link.run_all([*versions, *others])
    except (Trouble, *BAD_VALUES) as error:
        raise_refused(error)
        raise
    if sum(answer.rowcount for answer in answers[: len(versions)]) != CHANGED * len(known):
        raise Conflict("bindings were changed meanwhile")


def _key(binding: Binding) -> tuple[str, str, str]:
    return binding.aor, binding.uri, binding.key


def raise_refused(error: Exception) -> None:
    """Raise Refused where a row is at fault; return where it is the database."""
    if isinstance(error, BAD_VALUES):
        raise Refused("a value that can't be stored") from None
    if isinstance(error, Trouble) and not isinstance(error, Gone) and error.code in REFUSALS:
        if error.code in NO_USER:
            raise Refused("no such user") from None
        raise Refused(error.text) from None
