"""Users and bindings kept small: of either there are 100,000, and one is looked at in a call.

What is kept of a row is a tuple with what differs from phone to phone; what
most have in common is one object for all of them. A row is made anew when
somebody asks for it. Hashes are kept as bytes, half as long as their digits.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from functools import lru_cache
from itertools import accumulate, chain
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, overload

from sipd.rows import Binding, User
from sipd.store.statements import as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sipd.rows import Action, Level, Role
    from sipd.store.kinds import Kinds

D = TypeVar("D")

MOST_COMMON: Final = 4096
"""Things that bindings have in common of which the object is remembered while all are loaded."""

RECENT: Final = 512
"""Users of whom the row that was made last is kept: a REGISTER asks for one several times."""


class _Kin(NamedTuple):
    """What users have in common. `ends`: where in the digits of all hashes each one ends."""

    realm: str
    level: Level
    role: Role
    gateway_class: str
    ends: tuple[int, int, int, int, int]


class _Dense(NamedTuple):
    aor: str
    kin: _Kin
    hashes: bytes
    full_name: str


_kin: Final = lru_cache(1024)(_Kin)


def _dense(user: Sequence[Any]) -> _Dense | User:  # Any: a driver's rows have no types
    """A user, or a row of his columns, kept small; as a User where a hash is not such digits as we write."""
    aor, realm, md5, md5_full, sha, sha_full, level, role, gateway_class, full_name, sha5, sha5_full = user
    digits = f"{md5}{md5_full}{sha}{sha_full}{sha5}{sha5_full}"
    try:
        hashes = bytes.fromhex(digits)
    except ValueError:
        return User(*user)
    if hashes.hex() != digits:
        return User(*user)
    first = len(md5)
    second = first + len(md5_full)
    third = second + len(sha)
    fourth = third + len(sha_full)
    kin = _kin(realm, level, role, gateway_class, (first, second, third, fourth, fourth + len(sha5)))
    return _Dense(aor, kin, hashes, full_name)


def _user(row: _Dense | User) -> User:
    if isinstance(row, User):
        return row
    aor, (realm, level, role, gateway_class, (a, b, c, d, e)), hashes, full_name = row
    digits = hashes.hex()
    return User(
        aor, realm, digits[:a], digits[a:b], digits[b:c], digits[c:d], level, role, gateway_class, full_name,
        digits[d:e], digits[e:],
    )  # fmt: skip


class Users(MutableMapping[str, User]):
    """Users by their address-of-record."""

    __slots__ = ("_recent", "_rows")

    def __init__(self) -> None:
        self._rows: dict[str, _Dense | User] = {}
        self._recent: dict[str, User] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __contains__(self, aor: object) -> bool:
        return aor in self._rows

    def __getitem__(self, aor: str) -> User:
        user = self._recent.get(aor)
        if user is None:
            user = _user(self._rows[aor])
            if len(self._recent) >= RECENT:
                self._recent.clear()
            self._recent[aor] = user
        return user

    @overload
    def get(self, aor: str, default: None = None, /) -> User | None: ...
    @overload
    def get(self, aor: str, default: User | D, /) -> User | D: ...
    def get(self, aor: str, default: User | D | None = None, /) -> User | D | None:
        """The user, or `default`."""
        user = self._recent.get(aor)
        if user is not None:
            return user
        return self[aor] if aor in self._rows else default

    def __setitem__(self, aor: str, user: User) -> None:
        self._recent.pop(aor, None)
        row = _dense(user)
        self._rows[row.aor] = row  # the key is its aor itself, not another text that is equal

    def __delitem__(self, aor: str) -> None:
        self._recent.pop(aor, None)
        del self._rows[aor]

    def popitem(self) -> tuple[str, User]:
        """Take the last one away."""
        aor, row = self._rows.popitem()
        self._recent.pop(aor, None)
        return aor, _user(row)

    def let_go(self, most: int) -> None:
        """Forget so many of them, whichever, if there are as many."""
        self._recent.clear()
        _let_go(self._rows, most)

    def known_as(self, aor: str) -> str:
        """This address-of-record as the text that is kept here, so that there is one; itself where it is nobody's."""
        row = self._rows.get(aor)
        return aor if row is None else row.aor

    def as_in(self, aor: str, other: Users) -> bool:
        """Whether both know this user as the same, or neither does."""
        return self._rows.get(aor) == other._rows.get(aor)

    def take(self, rows: UserRows, kinds: Kinds) -> None:
        """Have all of `rows`, which has none then, and count their kinds."""
        self._rows, rows.rows = rows.rows, {}
        for kin, size, domains in rows.kin.values():  # `size` says whether there is a last hash
            for domain, count in domains.items():
                kinds.add(_user(_Dense(f"@{domain}", kin, bytes(size), "")), count)
        for row in self._rows.values() if rows.odd else ():
            if isinstance(row, User):
                kinds.change(None, row)


class _Counted(NamedTuple):
    """What users have in common, the bytes of their hashes, and how many there are in each domain."""

    kin: _Kin
    size: int
    domains: dict[str, int]


class UserRows(Sequence[User]):
    """Users as they were loaded, kept small already; those that are in `known` are the objects there."""

    __slots__ = ("_there", "kin", "odd", "rows")

    def __init__(self, rows: Iterable[Sequence[Any]] = (), known: Known | None = None) -> None:
        self.rows: dict[str, _Dense | User] = {}
        self.kin: dict[tuple[str | int, ...], _Counted] = {}
        self.odd = False  # whether there are any that can't be kept small
        self._there = {} if known is None else known.users._rows
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
            counted = [self._counted(key) for key in keys]
            if not all(type(text) is str for text in chain(aors, names)):
                raise TypeError
        except (TypeError, ValueError):  # one of them at least is none that we have written
            for user in rows:
                self._add_alone(as_text(user))
            return
        here, there, new = self.rows, self._there, tuple.__new__
        at = 0
        for aor, full_name, (kin, size, domains) in zip(aors, names, counted, strict=True):
            row = new(_Dense, (aor, kin, hashes[at : at + size], full_name))
            at += size
            domain = aor[aor.rfind("@") + 1 :]
            domains[domain] = domains.get(domain, 0) + 1
            if there and (old := there.get(aor)) == row and old is not None:
                here[old.aor] = old
            else:
                here[aor] = row

    def _counted(self, key: tuple[Any, ...]) -> _Counted:
        """What users with this realm, level, role, class and these lengths of their hashes have in common."""
        found = self.kin.get(key)
        if found is None:
            a, b, c, d, e, f = accumulate(key[4:])
            if f % 2 or not all(type(text) is str for text in key[:4]):
                raise ValueError
            found = self.kin[key] = _Counted(_kin(*key[:4], (a, b, c, d, e)), f // 2, {})
        return found

    def _add_alone(self, user: Sequence[Any]) -> None:
        row = _dense(user)
        try:
            if isinstance(row, User):
                raise ValueError
            domains = self._counted((*row.kin[:4], *map(len, (*user[2:6], *user[10:])))).domains
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
        return map(_user, self.rows.values())


class _Common(NamedTuple):
    """What bindings have in common: all of it may be the same for thousands of phones."""

    q: int
    action: Action
    path: tuple[str, ...]
    received: str
    user_agent: str
    instance: str
    reg_id: int
    params: str
    key: str
    gruu: str


class _Bound(NamedTuple):
    uri: str
    call_id: str
    cseq: int
    expires_at: float
    refreshed_at: float
    common: _Common


_common: Final = lru_cache(4096)(_Common)


def _bound(binding: Sequence[Any], old: _Bound | None = None) -> _Bound:  # Any: a driver's rows have no types
    """A binding, or a row of its columns, kept small; texts that are as in `old` are those of `old`."""
    (_, uri, q, expires_at, call_id, cseq, action, path, received, user_agent, instance, reg_id, params, key,
     refreshed_at, gruu) = binding  # fmt: skip
    if type(path) is str:  # as it stands in the database
        path = tuple(path.split("\n")) if path else ()
    common = (_Common if received or instance else _common)(
        q, action, path, received, user_agent, instance, reg_id, params, key, gruu
    )
    if old is not None:
        if old.uri == uri:
            uri = old.uri
        if old.call_id == call_id:
            call_id = old.call_id
        if old.common == common:
            common = old.common
    return _Bound(uri, call_id, cseq, expires_at, refreshed_at, common)


def _binding(aor: str, bound: _Bound) -> Binding:
    uri, call_id, cseq, expires_at, refreshed_at, common = bound
    q, action, path, received, user_agent, instance, reg_id, params, key, gruu = common
    return Binding(
        aor, uri, q, expires_at, call_id, cseq, action, path, received, user_agent, instance, reg_id, params, key,
        refreshed_at, gruu,
    )  # fmt: skip


class Bindings(MutableMapping[str, tuple[Binding, ...]]):
    """The bindings of each address-of-record, in the order they came."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: dict[str, _Bound | list[_Bound]] = {}  # most have one

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __contains__(self, aor: object) -> bool:
        return aor in self._rows

    def __getitem__(self, aor: str) -> tuple[Binding, ...]:
        found = self._rows[aor]
        if isinstance(found, list):
            return tuple([_binding(aor, bound) for bound in found])
        return (_binding(aor, found),)

    @overload
    def get(self, aor: str, default: None = None, /) -> tuple[Binding, ...] | None: ...
    @overload
    def get(self, aor: str, default: tuple[Binding, ...] | D, /) -> tuple[Binding, ...] | D: ...
    def get(self, aor: str, default: tuple[Binding, ...] | D | None = None, /) -> tuple[Binding, ...] | D | None:
        """The bindings, or `default`."""
        return self[aor] if aor in self._rows else default

    def __setitem__(self, aor: str, bindings: tuple[Binding, ...]) -> None:
        rows = [_bound(binding) for binding in bindings]
        self._rows[aor] = rows[0] if len(rows) == 1 else rows

    def __delitem__(self, aor: str) -> None:
        del self._rows[aor]

    def popitem(self) -> tuple[str, tuple[Binding, ...]]:
        """Take the last one away."""
        aor, found = self._rows.popitem()
        return aor, tuple([_binding(aor, bound) for bound in (found if isinstance(found, list) else (found,))])

    def let_go(self, most: int) -> None:
        """Forget those of so many addresses-of-record, whichever, if there are as many."""
        _let_go(self._rows, most)

    def put(self, binding: Binding, known_as: str) -> None:
        """Add it, or have it in the place of the one with the same URI and key. `known_as`: its aor, see Users."""
        found = self._rows.get(known_as)
        if found is None:
            self._rows[known_as] = _bound(binding)
            return
        rows = found if isinstance(found, list) else [found]
        for place, old in enumerate(rows):
            if old.uri == binding.uri and old.common.key == binding.key:
                rows[place] = _bound(binding, old)
                break
        else:
            rows.append(_bound(binding))
        self._rows[known_as] = rows[0] if len(rows) == 1 else rows

    def as_in(self, aor: str, other: Bindings) -> bool:
        """Whether both have the same for this address-of-record."""
        return self._rows.get(aor) == other._rows.get(aor)

    def take(self, rows: BindingRows, readable: Callable[[Binding], Binding]) -> Iterator[None]:
        """Have all of `rows`, which has none then. Those that nobody may be able to read are looked at, one a step.

        `readable`: gives a binding that says where it is to be reached without what can't be read.
        """
        self._rows, rows.rows = rows.rows, {}
        here = self._rows
        while rows.odd:
            aor = rows.odd.pop()
            found = here[aor]
            bounds = found if isinstance(found, list) else [found]
            seen = [_bound(readable(_binding(aor, bound)), bound) for bound in bounds]
            if seen != bounds:
                here[aor] = seen if isinstance(found, list) else seen[0]
            yield

    def ends(self) -> Iterator[tuple[str, float]]:
        """When each binding ends."""
        for aor, found in self._rows.items():
            if isinstance(found, list):
                for bound in found:
                    yield aor, bound.expires_at
            else:
                yield aor, found.expires_at

    def with_flow(self) -> Iterator[Binding]:
        """Those that came by a flow which is to be kept."""
        for aor, found in self._rows.items():
            for bound in found if isinstance(found, list) else (found,):
                if bound.common.received:
                    yield _binding(aor, bound)


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
        self.rows: dict[str, _Bound | list[_Bound]] = {}
        self.odd: list[str] = []  # whose rows nobody may be able to read; who has several is there as often
        self._commons: dict[tuple[Any, ...], _Common] = {}
        self._there = {} if known is None else known.bindings._rows
        self._users = {} if users is None else users.rows
        self.extend(rows)

    def extend(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add bindings, or rows of their columns."""
        here, there, users, commons, new = self.rows, self._there, self._users, self._commons, tuple.__new__
        for row in rows:
            (aor, uri, q, end, call_id, cseq, action, path, received, user_agent, instance, reg_id, params, key,
             begin, gruu) = row  # fmt: skip
            common = commons.get((q, action, path, received, user_agent, instance, reg_id, params, key, gruu))
            if common is not None and type(uri) is type(call_id) is str:
                bound = new(_Bound, (uri, call_id, cseq, end, begin, common))
            else:
                bound = _bound(as_text(row))
                if len(commons) < MOST_COMMON and not received and not instance and bytes not in map(type, row):
                    commons[q, action, path, received, user_agent, instance, reg_id, params, key, gruu] = bound.common
            user = users.get(aor)
            if user is not None:
                aor = user.aor
            if received or gruu or not (type(end) is type(begin) is float and isfinite(end + begin)):
                self.odd.append(aor)
            found = here.get(aor)
            if found is not None:
                here[aor] = [*found, bound] if isinstance(found, list) else [found, bound]
            elif there and (old := there.get(aor)) == bound and old is not None:
                here[aor] = old
            else:
                here[aor] = bound

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
                yield _binding(aor, bound)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, list | BindingRows) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it can be changed


def _let_go(rows: dict[str, Any], most: int) -> None:
    for _ in range(min(most, len(rows))):
        rows.popitem()
