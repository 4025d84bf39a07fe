"""What is different between two images, and how the rows of some keys get into one.

Everything here is done a piece at a time or concerns few rows: with 100,000
users no step may hold up the loop.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from sipd.rows import (
    DropAlias,
    DropBinding,
    DropDelegate,
    DropDial,
    DropDomain,
    DropPeer,
    DropScript,
    DropTimezone,
    DropUser,
    PutAlias,
    PutBinding,
    PutDelegate,
    PutDomain,
    PutPeer,
    PutScript,
    PutSettings,
    PutUser,
)
from sipd.store.image import KINDS, Image
from sipd.store.some import Part, names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence

    from sipd.rows import Binding, Change
    from sipd.store.base import Key, Snapshot

K = TypeVar("K")
V = TypeVar("V")

PIECE: Final = 500
"""Rows compared in one step: a part of a millisecond, and some when all are different."""


def differences(old: Image, new: Image) -> Iterator[list[Change]]:
    """The changes that lead from one image to the other in the tables that are large, a step at a time.

    Script versions are as they are in `new`. Neither image may change meanwhile.
    """
    for aors in _pieces(old.users):
        yield [DropUser(aor) for aor in aors if aor not in new.users]
    for aors in _pieces(new.users):
        yield [PutUser(new.users[aor]) for aor in aors if not new.users.as_in(aor, old.users)]
    for aors in _pieces(old.bindings):
        yield [
            change
            for aor in aors
            if not new.bindings.as_in(aor, old.bindings)
            for change in _bindings(aor, old.bindings[aor], new.bindings.get(aor, ()))
        ]
    for aors in _pieces(new.bindings):
        yield [PutBinding(binding) for aor in aors if aor not in old.bindings for binding in new.bindings[aor]]
    for keys in _pieces(new.scripts):
        yield [PutScript(new.scripts[key]) for key in keys if old.scripts.get(key) != new.scripts[key]]
    for keys in _pieces(old.scripts):
        yield [DropScript(*key) for key in keys if key not in new.scripts]
    for aliases in _pieces(old.aliases):
        yield [change for alias in aliases for change in _alias(alias, old, new)]
    for aliases in _pieces(new.aliases):
        yield [change for alias in aliases if alias not in old.aliases for change in _alias(alias, old, new)]


def small_differences(old: Image, new: Image) -> list[Change]:
    """The same in the tables that are small."""
    changes: list[Change] = [PutDomain(*row) for row in new.domains.items() - old.domains.items()]
    changes += [DropDomain(name) for name in old.domains if name not in new.domains]
    changes += [PutDelegate(*row) for row in new.delegates - old.delegates]
    changes += [DropDelegate(*row) for row in old.delegates - new.delegates]
    changes += [row for position, row in new.dialplan.items() if old.dialplan.get(position) != row]
    changes += [DropDial(position) for position in old.dialplan if position not in new.dialplan]
    changes += [PutPeer(peer) for name, peer in new.peers.items() if old.peers.get(name) != peer]
    changes += [DropPeer(name) for name in old.peers if name not in new.peers]
    changes += [PutSettings(row) for name, row in new.settings.items() if old.settings.get(name) != row]
    changes += [zone for url, zone in new.timezones.items() if old.timezones.get(url) != zone]
    changes += [DropTimezone(url) for url in old.timezones if url not in new.timezones]
    return changes


def take(image: Image, keys: Iterable[Key], snapshot: Snapshot) -> list[Change]:
    """Have the rows of these keys in `image` as they are in `snapshot`, and no others; what was changed by that.

    Uses up the snapshot's users and bindings.
    """
    new = Image()
    for _ in new.fill(snapshot, image):
        pass
    changes: list[Change] = []
    for part, names in names_of(keys).items():
        changes += _TAKE[part](image, new, names)
    return changes


def _pieces(rows: Iterable[K]) -> Iterator[list[K]]:
    rest = iter(rows)
    while piece := list(islice(rest, PIECE)):
        yield piece


def _bindings(aor: str, before: Sequence[Binding], after: Sequence[Binding]) -> Iterator[Change]:
    yield from (PutBinding(binding) for binding in after if binding not in before)
    left = {(binding.uri, binding.key) for binding in after}
    yield from (DropBinding(aor, one.uri, one.key) for one in before if (one.uri, one.key) not in left)


def _alias(alias: str, old: Image, new: Image) -> Iterator[Change]:
    before, after = old.aliases.get(alias, ()), new.aliases.get(alias, ())
    if before != after:
        yield from (PutAlias(alias, user) for user in after if user not in before)
        yield from (DropAlias(alias, user) for user in before if user not in after)


# one part of what some keys stand for


def _take_users(image: Image, new: Image, names: Sequence[str]) -> Iterator[Change]:
    for aor in names:
        before, after = image.users.get(aor), new.users.get(aor)
        if before == after:
            continue
        image.kinds.change(before, after)
        if after is None:
            del image.users[aor]
            yield DropUser(aor)
        else:
            image.users[aor] = after
            yield PutUser(after)


def _take_bindings(image: Image, new: Image, names: Sequence[str]) -> Iterator[Change]:
    for aor in names:
        if not new.bindings.as_in(aor, image.bindings):
            before, after = image.bindings.get(aor, ()), new.bindings.get(aor, ())
            if after:
                image.bindings[aor] = after
            else:
                del image.bindings[aor]
            yield from _bindings(aor, before, after)


def _take_versions(image: Image, new: Image, names: Sequence[str]) -> Iterator[Change]:
    return _take_silently(image.versions, new.versions, names)


def _take_scripts(image: Image, new: Image, names: Sequence[str]) -> Iterator[Change]:
    keys = [(aor, kind) for aor in names for kind in KINDS]
    return _take_rows(image.scripts, new.scripts, keys, PutScript, lambda key: DropScript(*key))


def _take_removed(image: Image, new: Image, names: Sequence[str]) -> Iterator[Change]:
    return _take_silently(image.removed, new.removed, [(aor, kind) for aor in names for kind in KINDS])


def _take_delegates(image: Image, new: Image, names: Sequence[str], place: int = 0) -> Iterator[Change]:
    whose = set(names)
    before, after = ({row for row in one.delegates if row[place] in whose} for one in (image, new))
    image.delegates -= before - after
    image.delegates |= after
    yield from (DropDelegate(*row) for row in before - after)
    yield from (PutDelegate(*row) for row in after - before)


def _take_delegated(image: Image, new: Image, names: Sequence[str]) -> Iterator[Change]:
    return _take_delegates(image, new, names, 1)


def _take_aliases(image: Image, new: Image, names: Sequence[str]) -> Iterator[Change]:
    for alias in names:
        changes = list(_alias(alias, image, new))
        if alias in new.aliases:
            image.aliases[alias] = new.aliases[alias]
        else:
            image.aliases.pop(alias, None)
        yield from changes


def _take_aliases_of_users(image: Image, new: Image, names: Sequence[str]) -> Iterator[Change]:
    whose = set(names)
    before, after = (
        {(alias, user) for alias, users in one.aliases.items() for user in users if user in whose}
        for one in (image, new)
    )
    changes: list[Change] = [DropAlias(*row) for row in before - after]
    changes += [PutAlias(*row) for row in after - before]
    for change in changes:
        image.apply(change)
    yield from changes


def _take_domains(image: Image, new: Image, names: Sequence[str]) -> Iterator[Change]:
    for name in names:
        canonical = new.domains.get(name)
        if canonical is None:
            if image.domains.pop(name, None) is not None:
                yield DropDomain(name)
        elif image.domains.get(name) != canonical:
            image.domains[name] = canonical
            yield PutDomain(name, canonical)


def _take_peers(image: Image, new: Image, names: Sequence[str]) -> Iterator[Change]:
    return _take_rows(image.peers, new.peers, names, PutPeer, DropPeer)


def _take_settings(image: Image, new: Image, names: Sequence[str]) -> Iterator[Change]:
    for name in names:  # a server whose row is removed goes on with what it has
        row = new.settings.get(name)
        if row is not None and image.settings.get(name) != row:
            image.settings[name] = row
            yield PutSettings(row)


def _take_timezones(image: Image, new: Image, names: Sequence[str]) -> Iterator[Change]:
    return _take_rows(image.timezones, new.timezones, names, lambda row: row, DropTimezone)


def _take_dialplan(image: Image, new: Image, names: Sequence[str]) -> Iterator[Change]:
    return _take_rows(image.dialplan, new.dialplan, [int(name) for name in names], lambda row: row, DropDial)


def _take_rows(
    old: MutableMapping[K, V],
    new: Mapping[K, V],
    keys: Iterable[K],
    put: Callable[[V], Change],
    drop: Callable[[K], Change],
) -> Iterator[Change]:
    for key in keys:
        row = new.get(key)
        if row is None:
            if old.pop(key, None) is not None:
                yield drop(key)
        elif old.get(key) != row:
            old[key] = row
            yield put(row)


def _take_silently(old: dict[K, V], new: Mapping[K, V], keys: Iterable[K]) -> Iterator[Change]:
    for key in keys:
        if key in new:
            old[key] = new[key]
        else:
            old.pop(key, None)
    yield from ()


_TAKE: Final[Mapping[Part, Callable[[Image, Image, Sequence[str]], Iterator[Change]]]] = {
    Part("users", "aor"): _take_users,
    Part("bindings", "aor"): _take_bindings,
    Part("versions", "aor"): _take_versions,
    Part("scripts", "aor"): _take_scripts,
    Part("removed", "aor"): _take_removed,
    Part("delegates", "aor"): _take_delegates,
    Part("delegates", "delegate"): _take_delegated,
    Part("aliases", "primary_user"): _take_aliases_of_users,
    Part("aliases", "alias"): _take_aliases,
    Part("domains", "name"): _take_domains,
    Part("peers", "name"): _take_peers,
    Part("settings", "name"): _take_settings,
    Part("timezones", "url"): _take_timezones,
    Part("dialplan", "position"): _take_dialplan,
}
