"""Users and bindings kept small: of either there are 100,000, and one is looked at in a call.

What is kept of a row is a tuple with what differs from phone to phone; what
most have in common is one object for all of them. A row is made anew when
somebody asks for it. Hashes are kept as bytes, half as long as their digits.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, overload

from sipd.rows import Binding, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.rows import Action, Level, Role
    from sipd.store.dense_rows import BindingRows, UserRows
    from sipd.store.kinds import Kinds

D = TypeVar("D")

RECENT: Final = 512
"""Users of whom the row that was made last is kept: a REGISTER asks for one several times."""


class Kin(NamedTuple):
    """What users have in common. `ends`: where in the digits of all hashes each one ends."""

    realm: str
    level: Level
    role: Role
    gateway_class: str
    ends: tuple[int, int, int, int, int]


class DenseUser(NamedTuple):
    """A user, kept small. `hashes`: all of them, one after another."""

    aor: str
    kin: Kin
    hashes: bytes
    full_name: str


kin_of: Final = lru_cache(1024)(Kin)


def dense_user(user: Sequence[Any]) -> DenseUser | User:  # Any: a driver's rows have no types
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
    kin = kin_of(realm, level, role, gateway_class, (first, second, third, fourth, fourth + len(sha5)))
    return DenseUser(aor, kin, hashes, full_name)


def user_of(row: DenseUser | User) -> User:
    """The row that was kept small."""
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

    __slots__ = ("_recent", "rows")

    def __init__(self) -> None:
        self.rows: dict[str, DenseUser | User] = {}
        self._recent: dict[str, User] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __contains__(self, aor: object) -> bool:
        return aor in self.rows

    def __getitem__(self, aor: str) -> User:
        user = self._recent.get(aor)
        if user is None:
            user = user_of(self.rows[aor])
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
        return self[aor] if aor in self.rows else default

    def __setitem__(self, aor: str, user: User) -> None:
        self._recent.pop(aor, None)
        row = dense_user(user)
        self.rows[row.aor] = row  # the key is its aor itself, not another text that is equal

    def __delitem__(self, aor: str) -> None:
        self._recent.pop(aor, None)
        del self.rows[aor]

    def popitem(self) -> tuple[str, User]:
        """Take the last one away."""
        aor, row = self.rows.popitem()
        self._recent.pop(aor, None)
        return aor, user_of(row)

    def let_go(self, most: int) -> None:
        """Forget so many of them, whichever, if there are as many."""
        self._recent.clear()
        _let_go(self.rows, most)

    def known_as(self, aor: str) -> str:
        """This address-of-record as the text that is kept here, so that there is one; itself where it is nobody's."""
        row = self.rows.get(aor)
        return aor if row is None else row.aor

    def as_in(self, aor: str, other: Users) -> bool:
        """Whether both know this user as the same, or neither does."""
        return self.rows.get(aor) == other.rows.get(aor)

    def take(self, rows: UserRows, kinds: Kinds) -> None:
        """Have all of `rows`, which has none then, and count their kinds."""
        self.rows, rows.rows = rows.rows, {}
        for kin, size, domains in rows.kin.values():  # `size` says whether there is a last hash
            for domain, count in domains.items():
                kinds.add(user_of(DenseUser(f"@{domain}", kin, bytes(size), "")), count)
        for row in self.rows.values() if rows.odd else ():
            if isinstance(row, User):
                kinds.change(None, row)


class Common(NamedTuple):
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


class Bound(NamedTuple):
    """A binding, kept small, of an address-of-record that stands elsewhere."""

    uri: str
    call_id: str
    cseq: int
    expires_at: float
    refreshed_at: float
    common: Common


common_of: Final = lru_cache(4096)(Common)


def bound_of(binding: Sequence[Any], old: Bound | None = None) -> Bound:  # Any: a driver's rows have no types
    """A binding, or a row of its columns, kept small; texts that are as in `old` are those of `old`."""
    (_, uri, q, expires_at, call_id, cseq, action, path, received, user_agent, instance, reg_id, params, key,
     refreshed_at, gruu) = binding  # fmt: skip
    if type(path) is str:  # as it stands in the database
        path = tuple(path.split("\n")) if path else ()
    common = (Common if received or instance else common_of)(
        q, action, path, received, user_agent, instance, reg_id, params, key, gruu
    )
    if old is not None:
        if old.uri == uri:
            uri = old.uri
        if old.call_id == call_id:
            call_id = old.call_id
        if old.common == common:
            common = old.common
    return Bound(uri, call_id, cseq, expires_at, refreshed_at, common)


def binding_of(aor: str, bound: Bound) -> Binding:
    """The row that was kept small."""
    uri, call_id, cseq, expires_at, refreshed_at, common = bound
    q, action, path, received, user_agent, instance, reg_id, params, key, gruu = common
    return Binding(
        aor, uri, q, expires_at, call_id, cseq, action, path, received, user_agent, instance, reg_id, params, key,
        refreshed_at, gruu,
    )  # fmt: skip


class Bindings(MutableMapping[str, tuple[Binding, ...]]):
    """The bindings of each address-of-record, in the order they came."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows: dict[str, Bound | list[Bound]] = {}  # most have one

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __contains__(self, aor: object) -> bool:
        return aor in self.rows

    def __getitem__(self, aor: str) -> tuple[Binding, ...]:
        found = self.rows[aor]
        if isinstance(found, list):
            return tuple([binding_of(aor, bound) for bound in found])
        return (binding_of(aor, found),)

    @overload
    def get(self, aor: str, default: None = None, /) -> tuple[Binding, ...] | None: ...
    @overload
    def get(self, aor: str, default: tuple[Binding, ...] | D, /) -> tuple[Binding, ...] | D: ...
    def get(self, aor: str, default: tuple[Binding, ...] | D | None = None, /) -> tuple[Binding, ...] | D | None:
        """The bindings, or `default`."""
        return self[aor] if aor in self.rows else default

    def __setitem__(self, aor: str, bindings: tuple[Binding, ...]) -> None:
        rows = [bound_of(binding) for binding in bindings]
        self.rows[aor] = rows[0] if len(rows) == 1 else rows

    def __delitem__(self, aor: str) -> None:
        del self.rows[aor]

    def popitem(self) -> tuple[str, tuple[Binding, ...]]:
        """Take the last one away."""
        aor, found = self.rows.popitem()
        return aor, tuple([binding_of(aor, bound) for bound in (found if isinstance(found, list) else (found,))])

    def let_go(self, most: int) -> None:
        """Forget those of so many addresses-of-record, whichever, if there are as many."""
        _let_go(self.rows, most)

    def put(self, binding: Binding, known_as: str) -> None:
        """Add it, or have it in the place of the one with the same URI and key. `known_as`: its aor, see Users."""
        found = self.rows.get(known_as)
        if found is None:
            self.rows[known_as] = bound_of(binding)
            return
        rows = found if isinstance(found, list) else [found]
        for place, old in enumerate(rows):
            if old.uri == binding.uri and old.common.key == binding.key:
                rows[place] = bound_of(binding, old)
                break
        else:
            rows.append(bound_of(binding))
        self.rows[known_as] = rows[0] if len(rows) == 1 else rows

    def as_in(self, aor: str, other: Bindings) -> bool:
        """Whether both have the same for this address-of-record."""
        return self.rows.get(aor) == other.rows.get(aor)

    def take(self, rows: BindingRows, readable: Callable[[Binding], Binding]) -> Iterator[None]:
        """Have all of `rows`, which has none then. Those that nobody may be able to read are looked at, one a step.

        `readable`: gives a binding that says where it is to be reached without what can't be read.
        """
        self.rows, rows.rows = rows.rows, {}
        here = self.rows
        while rows.odd:
            aor = rows.odd.pop()
            found = here[aor]
            bounds = found if isinstance(found, list) else [found]
            seen = [bound_of(readable(binding_of(aor, bound)), bound) for bound in bounds]
            if seen != bounds:
                here[aor] = seen if isinstance(found, list) else seen[0]
            yield

    def ends(self) -> Iterator[tuple[str, float]]:
        """When each binding ends."""
        for aor, found in self.rows.items():
            if isinstance(found, list):
                for bound in found:
                    yield aor, bound.expires_at
            else:
                yield aor, found.expires_at

    def with_flow(self) -> Iterator[Binding]:
        """Those that came by a flow which is to be kept."""
        for aor, found in self.rows.items():
            for bound in found if isinstance(found, list) else (found,):
                if bound.common.received:
                    yield binding_of(aor, bound)


def _let_go(rows: dict[str, Any], most: int) -> None:
    for _ in range(min(most, len(rows))):
        rows.popitem()
