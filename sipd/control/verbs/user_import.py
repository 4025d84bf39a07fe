"""Many users at once: from a CSV file, and into one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from sipd.control.verbs.base import Arguments, Parameter, Plain, Refusal, Verb
from sipd.control.verbs.names import address_of_record, carry_out, realm_text, still_as_they_were
from sipd.control.verbs.sheets import FIELDS, HASHES, Complaints, field_text, hash_text, lines_of, written
from sipd.control.verbs.user import SHORTEST, password_text
from sipd.rows import PutAlias, PutUser, User
from sipd.store import with_password

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.control.verbs.sheets import Line
    from sipd.rows import Change
    from sipd.store import Snapshot, Store

TURN: Final = 200
"""Lines read between two looks whether somebody has lost patience."""


async def take(store: Store, arguments: Arguments) -> Plain:
    """Add the users of a file, all of them or none."""
    update, skip = arguments.flag("update"), arguments.flag("skip")
    if update and skip:
        raise Refusal("--update and --skip can't both be", "Say which: change users who are there, or leave them alone")
    content = arguments.content("file")
    total = max(0, content.count(b"\n") - 1)
    snapshot = await store.load_all(lambda: None)
    sheet = _Sheet(snapshot, arguments, update=update, skip=skip)
    for count, line in enumerate(lines_of(content, sheet.complaints), 1):
        sheet.take(line)
        if count % TURN == 0:
            arguments.progress("reading", count, total)
            await trio.lowlevel.checkpoint()
    sheet.look_at_aliases()
    sheet.complaints.raise_if_any()
    warnings: list[Plain] = []
    if sheet.secrets and arguments.exposed("file"):
        warnings.append("others can read the file, and it holds secrets: chmod 600 it, and remove it in the end")
    told: dict[str, Plain] = {**sheet.counts, "aliases": len(sheet.aliases)}
    if arguments.flag("dry-run"):
        return {**told, "stored": False, "warnings": warnings}
    if sheet.changes:
        await still_as_they_were(store, sheet.changes)
        await carry_out(store, [*sheet.changes, *sheet.aliases], arguments.progress)
    return {**told, "stored": True, "warnings": warnings}


class _Sheet:
    """What is to be done with the lines of one file."""

    def __init__(self, snapshot: Snapshot, arguments: Arguments, *, update: bool, skip: bool) -> None:
        self.complaints = Complaints()
        self.changes: list[Change] = []
        self.aliases: list[PutAlias] = []
        self.counts = {"added": 0, "updated": 0, "skipped": 0}
        self.secrets = False
        self._update, self._skip = update, skip
        self._least = 1 if arguments.flag("short-passwords") else SHORTEST
        self._domains = {row.name: row.canonical for row in snapshot.domains}
        self._there = {user.aor: user for user in snapshot.users}
        self._seen: dict[str, int] = {}  # address-of-record -> the line that has it
        self._asked: list[tuple[int, str, str]] = []  # line, alias, user

    def take(self, line: Line) -> None:
        """Note what one line asks for, or what is wrong with it."""
        cells = line.cells
        bad = self.complaints.count
        aor = self._read(line, "address", self._address)
        self.secrets = self.secrets or "password" in cells or not HASHES.keys().isdisjoint(cells)
        if aor is None:
            return
        if aor in self._seen:
            self.complaints.add(line.number, "address", f"{aor} stands in line {self._seen[aor]} already")
            return
        self._seen[aor] = line.number
        old = self._there.get(aor)
        if old is not None and self._skip:
            self.counts["skipped"] += 1
            return
        if old is not None and not self._update:
            self.complaints.add(
                line.number, "address", f"there is a user {aor} already (--update changes him, --skip leaves him alone)"
            )
            return
        user = self._user(line, aor, old)
        if self.complaints.count == bad:
            self.changes.append(PutUser(user))
            self.counts["added" if old is None else "updated"] += 1
        for word in cells.get("aliases", "").replace(",", " ").replace(";", " ").split():
            alias = self._read(line, "aliases", self._address, word)
            if alias is not None:
                self._asked.append((line.number, alias, aor))

    def look_at_aliases(self) -> None:
        """An alias is no user's own address."""
        for number, alias, aor in self._asked:
            if alias in self._seen or alias in self._there:
                self.complaints.add(number, "aliases", f"{alias} is a user himself")
            else:
                self.aliases.append(PutAlias(alias, aor))

    def _address(self, text: str) -> str:
        return address_of_record(text, self._domains)

    def _user(self, line: Line, aor: str, old: User | None) -> User:
        """The user that the line makes; what is wrong with it has been complained of."""
        cells = line.cells
        user = old if old is not None else User(aor, aor.rpartition("@")[2])
        given = {"realm": self._read(line, "realm", realm_text)} if "realm" in cells else {}
        for column, field in FIELDS.items():
            if column in cells:
                given[field] = self._read(line, column, partial(field_text, field))
        user = User(**user._asdict() | {field: text for field, text in given.items() if text is not None})
        hashes = [column for column in HASHES if column in cells]
        if hashes and "password" in cells:
            self.complaints.add(line.number, hashes[0], "there is a password too: leave one of them empty")
        elif hashes:
            taken = {column: self._read(line, column, partial(hash_text, column)) or "" for column in hashes}
            user = User(**user._asdict() | dict.fromkeys(HASHES, "") | taken)
        elif "password" in cells:
            password = self._read(line, "password", partial(password_text, least=self._least))
            user = user if password is None else with_password(user, password)
        elif old is None:
            self.complaints.add(line.number, "password", "is empty, and there is no hash: nobody could log in")
        elif user.realm != old.realm:
            self.complaints.add(line.number, "realm", "is another one: it needs the password or hashes too")
        return user

    def _read(self, line: Line, column: str, reader: Callable[[str], str], text: str | None = None) -> str | None:
        """What the cell, or this word of it, says; None when it was complained of."""
        try:
            return reader(line.cells.get(column, "") if text is None else text)
        except Refusal as error:
            self.complaints.add(line.number, column, str(error))
            return None


async def give(store: Store, arguments: Arguments) -> Plain:
    """The users as a file that `import` reads."""
    snapshot = await store.load_all()
    aliases: dict[str, list[str]] = {}
    for row in sorted(snapshot.aliases):
        aliases.setdefault(row.user, []).append(row.alias)
    users = sorted(snapshot.users)
    return {"users": len(users), "csv": written(users, aliases, secrets=arguments.flag("secrets"))}


VERBS: Final = (
    Verb(
        "user",
        "import",
        "add the users of a CSV file, all or none",
        (
            Parameter("file", "the CSV file (- is standard input); its first line names the columns", "file"),
            Parameter("update", "change users who are there already", "flag"),
            Parameter("skip", "leave users alone who are there already", "flag"),
            Parameter("short-passwords", f"take passwords of fewer than {SHORTEST} letters", "flag"),
            Parameter("dry-run", "look whether all could be done, and store nothing", "flag"),
        ),
        take,
        long=True,
    ),
    Verb(
        "user",
        "export",
        "all users as a CSV file that `import` reads",
        (
            Parameter("secrets", "with the hashes of their passwords", "flag"),
            Parameter("output", "a new file to write to, which only its owner can read", "output"),
        ),
        give,
        prints="csv",
        long=True,
    ),
)
