"""The server configuration: one row per server name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from sipd.control.verbs.base import Arguments, Parameter, Plain, Refusal, Verb
from sipd.control.verbs.names import carry_out
from sipd.errors import SetupError
from sipd.net import parse_listen
from sipd.rows import PutSettings, Settings
from sipd.store import WHOLE, Key, choose
from sipd.store.options import settings_from_texts

if TYPE_CHECKING:
    from collections.abc import Collection

    from sipd.store import Snapshot, Store


LONGEST: Final = 64
"""Letters of a server's name."""


async def show(store: Store, arguments: Arguments) -> Plain:
    """Every setting of one server."""
    return dict(_settings(await store.load_some([Key("server", WHOLE)]), arguments)._asdict())


async def change(store: Store, arguments: Arguments) -> Plain:
    """Change settings, all or none; of a server that has no row yet it makes one."""
    snapshot = await store.load_some([Key("server", WHOLE)])
    texts = arguments.words("setting")
    if not texts:
        raise Refusal("nothing to set", "Write KEY=VALUE, for instance: sipdctl server set auth=none")
    try:
        values = settings_from_texts(texts)
        for text in str(values.get("listen", "")).split():
            parse_listen(text)
    except SetupError as error:
        near = [get_close_matches(text.partition("=")[0], Settings._fields, 1, 0.75) for text in texts]
        wrong = [
            found[0] for found, text in zip(near, texts, strict=True) if found and text.partition("=")[0] != found[0]
        ]
        raise Refusal(error.text, f"Did you mean {wrong[0]}?" if wrong else error.hint) from error
    name = arguments.optional("server")
    if name is not None and name not in {row.name for row in snapshot.settings}:
        old = Settings(_name(name))  # one server more on this database
    else:
        old = _settings(snapshot, arguments, values) if snapshot.settings else Settings()
    new = Settings(**{**old._asdict(), **values})
    if new.min_expires > new.max_expires or not new.min_expires <= new.default_expires <= new.max_expires:
        raise Refusal("min_expires, default_expires and max_expires must not fall", "Set all three together")
    await carry_out(store, [PutSettings(new)])
    return {"server": new.name, **{name: getattr(new, name) for name in values}}


def _name(text: str) -> str:
    """The name, when a server can have it. Raises Refusal."""
    if not text or len(text) > LONGEST or not text.isprintable() or text != text.strip():
        raise Refusal(f"--server can't be {text[:40]!r}", f"It is one line of at most {LONGEST} letters, such as east")
    return text


def _settings(snapshot: Snapshot, arguments: Arguments, but: Collection[str] = ()) -> Settings:
    try:
        return choose(snapshot.settings, arguments.optional("server") or "", but)
    except SetupError as error:
        raise Refusal(error.text, error.hint.replace("-S", "--server")) from error


SERVER: Final = Parameter("server", "its name, where there are several", "option")

VERBS: Final = (
    Verb("server", "show", "every setting", (SERVER,), show),
    Verb(
        "server",
        "set",
        "change settings",
        (
            Parameter("setting", "KEY=VALUE", "words"),
            SERVER._replace(help=f"{SERVER.help}; a new one: one server more"),
        ),
        change,
    ),
)
