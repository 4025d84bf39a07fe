"""Users and bindings as they come out of a database: kept small at once, and taken over as they are (see `dense`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple, overload

from sipd.rows import Binding, User
from sipd.store.dense import Bound, DenseUser, binding_of, bound_of, dense_user, kin_of, user_of
from sipd.store.statements import as_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sipd.store.dense import Bindings, Common, Kin, Users

MOST_COMMON: Final = 4096
"""Things that bindings have in common of which the object is remembered while all are loaded."""


class Counted(NamedTuple):
    """What users have in common, the bytes of their hashes, and how many there are in each domain."""

    kin: Kin
    size: int
    domains: dict[str, int]


class UserRows(Sequence[User]):
    """Users as they were loaded, kept small already; those that are in `known` are the objects there."""

    __slots__ = ("_there", "kin", "odd", "rows")

    def __init__(self, rows: Iterable[Sequence[Any]] = (), known: Known | None = None) -> None:
        self.rows: dict[str, DenseUser | User] = {}
        self.kin: dict[tuple[str | int, ...], Counted] = {}
        self.odd = False  # whether there are any that can't be kept small
        self._there = {} if known is None else known.users.rows
        self.extend(rows)

    def extend(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add users, or rows of their columns; a hundred thousand of them are much of what a start takes."""
        rows = list(rows)
        if not rows:
            return
        aors, realms, md5, md5_full, sha, sha_full, levels, roles, classes, names, sha5, sha5_full = zip(
            *rows, strict=True
        )
        parts = (md5, md5_full, sha, sha_full, sha5, sha5_full)
        try:
            digits = "".join(chain.from_iterable(zip(*parts, strict=True)))
            hashes = bytes.fromhex(digits)
            if hashes.hex() != digits:
                raise ValueError
            keys = list(zip(realms, levels, roles, classes, *(map(len, part) for part in parts), strict=True))
            counted = [self._alike(key) for key in keys]
            if not all(type(text) is str for text in chain(aors, names)):
                raise TypeError
        except (TypeError, ValueError):  # one of them at least is none that we have written
            for user in rows:
                self._add_alone(as_text(user))
            return
        here, there, new = self.rows, self._there, tuple.__new__
        at = 0
        for aor, full_name, (kin, size, domains) in zip(aors, names, counted, strict=True):
            row = new(DenseUser, (aor, kin, hashes[at : at + size], full_name))
            at += size
            domain = aor[aor.rfind("@") + 1 :]
            domains[domain] = domains.get(domain, 0) + 1
            if there and (old := there.get(aor)) == row and old is not None:
                here[old.aor] = old
            else:
                here[aor] = row

    def _alike(self, key: tuple[Any, ...]) -> Counted:
        """What users with this realm, level, role, class and these lengths of their hashes have in common."""
        found = self.kin.get(key)
        if found is None:
            a, b, c, d, e, f = accumulate(key[4:])
            if f % 2 or not all(type(text) is str for text in key[:4]):
                raise ValueError
            found = self.kin[key] = Counted(kin_of(*key[:4], (a, b, c, d, e)), f // 2, {})
        return found

    def _add_alone(self, user: Sequence[Any]) -> None:
        row = dense_user(user)
        try:
            if isinstance(row, User):
                raise ValueError
            domains = self._alike((*row.kin[:4], *map(len, (*user[2:6], *user[10:])))).domains
        except ValueError:
            row = User(*user)
            self.odd = True
        else:
            domain = row.aor.rpartition("@")[2]
            domains[domain] = domains.get(domain, 0) + 1
        old = self._there.get(row.aor)
        if old is not None and old == row:
            row = old
        self.rows[row.aor] = row

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, at: int) -> User: ...
    @overload
    def __getitem__(self, at: slice) -> list[User]: ...
    def __getitem__(self, at: int | slice) -> User | list[User]:
        return list(self)[at]

    def __iter__(self) -> Iterator[User]:
        return map(user_of, self.rows.values())


class Known(NamedTuple):
    """What memory has when all is loaded again.

    Most is the same, and is let go as soon as it is read: or memory would hold
    everything twice, and what was taken for that is not given back whole.
    """

    users: Users
    bindings: Bindings


class BindingRows(Sequence[Binding]):
    """Bindings as they were loaded, kept small already; those that are in `known` are the objects there.

    `users`: those that were loaded with them, so that each address-of-record is one text.
    """

    __slots__ = ("_commons", "_there", "_users", "odd", "rows")

    def __init__(
        self, rows: Iterable[Sequence[Any]] = (), known: Known | None = None, users: UserRows | None = None
    ) -> None:
        self.rows: dict[str, Bound | list[Bound]] = {}
        self.odd: list[str] = []  # whose rows nobody may be able to read; who has several is there as often
        self._commons: dict[tuple[Any, ...], Common] = {}
        self._there = {} if known is None else known.bindings.rows
        self._users = {} if users is None else users.rows
        self.extend(rows)

    def extend(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add bindings, or rows of their columns."""
        here, there, users, commons, new = self.rows, self._there, self._users, self._commons, tuple.__new__
        odd = self.odd
        for row in rows:
            (aor, uri, q, end, call_id, cseq, action, path, received, user_agent, instance, reg_id, params, key,
             begin, gruu) = row  # fmt: skip
            common = commons.get((q, action, path, received, user_agent, instance, reg_id, params, key, gruu))
            if common is not None and type(aor) is type(uri) is type(call_id) is str and type(cseq) is int:
                bound = new(Bound, (uri, call_id, cseq, end, begin, common))
            else:
                text = as_text(row)
                aor, bound = text[0], bound_of(text)
                if path or not f"{instance}{params}".isprintable():
                    odd.append(aor)
                elif len(commons) < MOST_COMMON and not received and not instance and bytes not in map(type, row):
                    commons[q, action, path, received, user_agent, instance, reg_id, params, key, gruu] = bound.common
            user = users.get(aor)
            if user is not None:
                aor = user.aor
            found = here.get(aor)
            if found is not None:
                here[aor] = [*found, bound] if isinstance(found, list) else [found, bound]
            elif there and (old := there.get(aor)) == bound and old is not None:
                here[aor] = old
                continue
            else:
                here[aor] = bound
            sound = type(q) is int and 0 <= q <= 1000 and type(end) is type(begin) is float and isfinite(end + begin)
            if received or gruu or not sound:
                odd.append(aor)

    def __len__(self) -> int:
        return sum(len(found) if isinstance(found, list) else 1 for found in self.rows.values())

    @overload
    def __getitem__(self, at: int) -> Binding: ...
    @overload
    def __getitem__(self, at: slice) -> list[Binding]: ...
    def __getitem__(self, at: int | slice) -> Binding | list[Binding]:
        return list(self)[at]

    def __iter__(self) -> Iterator[Binding]:
        for aor, found in self.rows.items():
            for bound in found if isinstance(found, list) else (found,):
                yield binding_of(aor, bound)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, list | BindingRows) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it can be changed
