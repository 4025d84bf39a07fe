"""Names as administrators write them, in the form that is stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, overload

from sipd.control.verbs.base import STAGE, Refusal, Stage
from sipd.rows import PutUser
from sipd.store import Conflict, Key, Refused, domain_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sipd.control.verbs.base import Arguments, Progress
    from sipd.rows import Change, User
    from sipd.store import Snapshot, Store

LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})", re.ASCII)
SCHEME: Final = re.compile(r"sips?:", re.ASCII | re.IGNORECASE)
FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f:\"<>\ud800-\udfff]")
"""Not in a user name: control characters, space, what ends a name in a digest (`:`) or in an address."""

LONGEST: Final = 255

TURN: Final = 200
"""Changes carried out between two words of how far it has come."""


def domain_name(text: str) -> str:
    """The host name or numeric address as it is stored. Raises Refusal."""
    name = domain_key(text)
    try:
        return ip_address(name).compressed
    except ValueError:
        pass
    labels = name.split(".")
    if not name or len(name) > LONGEST or not all(LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise Refusal(f"not a host name or address: {text!r}", "Write for instance example.com or 192.0.2.1")
    return name


def address_of_record(text: str, domains: Mapping[str, str] | None = None) -> str:
    """`user@domain` in its canonical form; a `sip:` in front is taken off (RFC 3261 §10.3 step 5).

    With `domains`, the domain must be one of them and is replaced by its
    canonical one. Raises Refusal.
    """
    bare = SCHEME.sub("", text, count=1) if SCHEME.match(text) else text
    user, at, host = bare.rpartition("@")
    try:
        raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), user.encode())
        user = raw.decode("utf-8")
    except UnicodeError:
        user = ""
    if not at or not user or len(user) > LONGEST - 64 or FORBIDDEN.search(user):
        raise Refusal(f"not an address: {text!r}", "Write user@domain, for instance alice@example.com")
    domain = domain_name(host)
    if domains is not None:
        if domain not in domains:
            raise Refusal(f"{domain} is not a local domain", f"Make it one with: sipdctl domain add {domain}")
        domain = domains[domain]
    return f"{user}@{domain}"


def canonical(text: str, snapshot: Snapshot) -> str:
    """The address-of-record that `text` means in this database. Raises Refusal when its domain isn't local."""
    return address_of_record(text, {row.name: row.canonical for row in snapshot.domains})


async def about(store: Store, *texts: str, more: Sequence[Key] = ()) -> Snapshot:
    """The rows of the domains and users that these addresses mean, of `more`, and of no others.

    With 100,000 users that is milliseconds where everything takes seconds.
    Raises Refusal for a text that is no address.
    """
    aors = [address_of_record(text) for text in texts]
    domains = [*(Key("domain", aor.rpartition("@")[2]) for aor in aors), *more]
    snapshot = await store.load_some([*domains, *(Key("users", aor) for aor in aors)])
    main = {row.name: row.canonical for row in snapshot.domains}
    meant = [f"{user}@{main.get(domain, domain)}" for user, _, domain in (aor.rpartition("@") for aor in aors)]
    if meant != aors:
        snapshot = await store.load_some([*domains, *(Key("users", aor) for aor in meant)])
    return snapshot


def page_of(arguments: Arguments) -> tuple[str, int | None]:
    """After which address a list begins, and how long it is at most; None: as long as it is."""
    after = arguments.optional("after") or ""
    return address_of_record(after) if after else "", arguments.number("limit", 1, 10_000_000)


def known_user(text: str, snapshot: Snapshot) -> User:
    """The user of that address. Raises Refusal when there is none."""
    aor = canonical(text, snapshot)
    for user in snapshot.users:
        if user.aor == aor:
            return user
    raise Refusal(f"there is no user {aor}", f"Add one with: sipdctl user add {aor}")


def realm_text(realm: str) -> str:
    """The digest realm, when it can be one. Raises Refusal."""
    if not realm or len(realm) > LONGEST or '"' in realm or "\\" in realm or not realm.isprintable():
        raise Refusal(f"not a realm: {realm!r}", "Write a domain name, for instance example.com")
    return realm


class _Steps(Sequence["Change"]):
    """Changes that tell how many of them the database has taken."""

    def __init__(self, changes: Sequence[Change], progress: Progress) -> None:
        self._changes = changes
        self._progress = progress

    def __len__(self) -> int:
        return len(self._changes)

    @overload
    def __getitem__(self, place: int) -> Change: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Change]: ...
    def __getitem__(self, place: int | slice) -> Change | Sequence[Change]:
        return self._changes[place]

    def __iter__(self) -> Iterator[Change]:
        for count, change in enumerate(self._changes):
            if count % TURN == 0:
                self._progress("storing", count, len(self._changes))
            yield change


async def carry_out(store: Store, changes: Sequence[Change], progress: Progress | None = None) -> None:
    """Make these changes, all or none. Raises Refusal when the database does not accept them."""
    stage = STAGE.get(Stage())
    stage.storing = True
    if progress is not None and store.shared:  # it takes many rows at once, and says no more until it is done
        progress("the database stores rows", len(changes), 0)
    elif progress is not None:
        changes = _Steps(changes, progress)
    [error] = await store.apply([changes])
    stage.storing, stage.stored = False, error is None
    if isinstance(error, Conflict):
        raise Refusal(str(error), "Look at what is there now, and try again")
    if isinstance(error, Refused):
        raise Refusal(str(error))
    if error is not None:
        raise error


async def still_as_they_were(store: Store, changes: Sequence[Change]) -> None:
    """Raises Refusal where somebody has changed, added or removed one of these users since all were loaded.

    To read and hash many takes seconds. What is changed in the milliseconds after this is overwritten.
    """
    news = await store.news()
    if news is None:
        raise Refusal("too much was changed meanwhile", "Try again")
    changed = {key.name for key in news if key.what == "users"}
    for change in changes:
        if isinstance(change, PutUser) and change.user.aor in changed:
            raise Refusal(f"{change.user.aor} was changed meanwhile", "Look at what is there now, and try again")
